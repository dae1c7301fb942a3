// SPDX-License-Identifier: MIT
/* Port ucx: the data path of a connection, and the kind. */
#include "ports/ucx.h"

#if RK_HAVE_UCX

#include <string.h>

enum { AM_HELLO, AM_SLOTS, AM_LINE, AMS };

static struct ucx_conn *conn_of(struct remote_conn *conn)
{
	return (struct ucx_conn *)conn;
}

static int gone(const struct ucx_conn *conn)
{
	if (conn->bad)
		return rk_fail(EPROTO, "%s", conn->bad);
	return rk_fail(ENOTCONN, "the peer is gone or was never there: %s",
		       conn->lib->ucs_status_string(conn->gone));
}

/* --- What arrives; called by progress --- */

static bool is_whole(struct ucx_conn *conn, const ucp_am_recv_param_t *param)
{
	if (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV)
		conn->bad = "the peer sent what must be asked for first";
	return !conn->bad;
}

static ucs_status_t on_hello(void *arg, const void *header, size_t header_bytes, void *data,
			     size_t bytes, const ucp_am_recv_param_t *param)
{
	struct ucx_conn *conn = arg;

	(void)header;
	(void)header_bytes;
	if (!is_whole(conn, param) || conn->conn.heard_bytes)
		return UCS_OK;
	conn->conn.heard_bytes = bytes < sizeof(conn->heard) ? bytes : sizeof(conn->heard);
	memcpy(conn->heard, data, conn->conn.heard_bytes);
	if (!conn->conn.heard_bytes)
		conn->bad = "the peer sent an empty hello";
	return UCS_OK;
}

static ucs_status_t on_slots(void *arg, const void *header, size_t header_bytes, void *data,
			     size_t bytes, const ucp_am_recv_param_t *param)
{
	struct ucx_conn *conn = arg;
	uint64_t offset, word;

	if (!is_whole(conn, param))
		return UCS_OK;
	if (header_bytes == sizeof(offset))
		memcpy(&offset, header, sizeof(offset));
	if (header_bytes != sizeof(offset) || offset % RK_SLOT_BYTES || bytes % RK_SLOT_BYTES ||
	    offset > conn->slots.bytes || bytes > conn->slots.bytes - offset) {
		conn->bad = "the peer wrote outside of its ring";
		return UCS_OK;
	}
	for (size_t i = 0; i < bytes; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		/* Relaxed: a slot validates itself. */
		__atomic_store_n((uint64_t *)((char *)conn->slots.addr + offset + i), word,
				 __ATOMIC_RELAXED);
	}
	if (conn->slots_far)
		rk_codec_flush();
	return UCS_OK;
}

static ucs_status_t on_line(void *arg, const void *header, size_t header_bytes, void *data,
			    size_t bytes, const ucp_am_recv_param_t *param)
{
	struct ucx_conn *conn = arg;
	struct remote_line line;

	(void)header;
	(void)header_bytes;
	if (!is_whole(conn, param))
		return UCS_OK;
	if (bytes != sizeof(line) || !conn->line) {
		conn->bad = "the peer sent a line that is none";
		return UCS_OK;
	}
	memcpy(&line, data, sizeof(line));
	__atomic_store_n(&conn->line->closed, line.closed, __ATOMIC_RELAXED);
	__atomic_store_n(&conn->line->beat, line.beat, __ATOMIC_RELAXED);
	/* R20: pairs with A20 in remote_out.c: it hands on what the consumer released over there.
	 */
	__atomic_store_n(&conn->line->consumed, line.consumed, __ATOMIC_RELEASE);
	return UCS_OK;
}

int ucx_handle_messages(struct ucx_conn *conn)
{
	static const ucp_am_recv_callback_t handlers[AMS] = {on_hello, on_slots, on_line};

	for (unsigned int i = 0; i < AMS; i++) {
		const ucp_am_handler_param_t param = {
			.field_mask =
				UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
				UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG,
			.id = i,
			.flags = UCP_AM_FLAG_WHOLE_MSG,
			.cb = handlers[i],
			.arg = conn};
		ucs_status_t status =
			conn->lib->ucp_worker_set_am_recv_handler(conn->worker, &param);

		if (status)
			return ucx_fail(conn->lib, "ucp_worker_set_am_recv_handler", status);
	}
	return 0;
}

int ucx_progress(struct remote_conn *remote)
{
	struct ucx_conn *conn = conn_of(remote);

	for (int i = 0; i < UCX_MOST_STEPS && !conn->bad && !conn->gone; i++)
		if (!conn->lib->ucp_worker_progress(conn->worker))
			break;
	while (conn->tail != conn->head && conn->sending[conn->tail % UCX_DEPTH].done)
		remote->completed = conn->sending[conn->tail++ % UCX_DEPTH].position;
	return conn->bad || conn->gone ? gone(conn) : 0;
}

/* --- Sending --- */

/* A failure is told by on_error() as well. */
static void on_sent(void *request, ucs_status_t status, void *argument)
{
	struct ucx_sending *sending = argument;

	(void)status;
	sending->done = true;
	sending->lib->ucp_request_free(request);
}

/* Send @data, of which UCX may keep only a reference: 1; 0 no room now; -errno. */
static int send_am(struct ucx_conn *conn, unsigned int id, struct ucx_sending *sending,
		   const void *data, size_t bytes)
{
	const ucp_request_param_t param = {.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK |
							   UCP_OP_ATTR_FIELD_USER_DATA |
							   UCP_OP_ATTR_FIELD_FLAGS,
					   .flags = UCP_AM_SEND_FLAG_EAGER,
					   .cb.send = on_sent,
					   .user_data = sending};
	void *request = conn->lib->ucp_am_send_nbx(conn->ep, id, &sending->offset,
						   id == AM_SLOTS ? sizeof(sending->offset) : 0,
						   data, bytes, &param);

	conn->head++;
	if (UCS_PTR_IS_ERR(request)) {
		conn->gone = UCS_PTR_STATUS(request);
		return gone(conn);
	}
	if (!request)
		sending->done = true;
	return 1;
}

/* The next entry of the queue; NULL when it is full. */
static struct ucx_sending *next(struct ucx_conn *conn)
{
	struct ucx_sending *sending = &conn->sending[conn->head % UCX_DEPTH];

	if (conn->head - conn->tail == UCX_DEPTH)
		return NULL;
	sending->lib = conn->lib;
	sending->done = false;
	sending->position = conn->position;
	return sending;
}

static int put(struct remote_conn *remote, const struct remote_run *runs, uint32_t count,
	       uint64_t position)
{
	struct ucx_conn *conn = conn_of(remote);
	uint32_t taken = 0;

	(void)position;
	for (; taken < count; taken++) {
		struct ucx_sending *sending = next(conn);
		const struct remote_run *run = &runs[taken];

		if (!sending)
			break;
		conn->position += run->bytes / RK_SLOT_BYTES;
		sending->position = conn->position;
		sending->offset = run->offset;
		if (send_am(conn, AM_SLOTS, sending, (const char *)conn->stage + run->offset,
			    run->bytes) < 0)
			return -ENOTCONN;
	}
	return (int)taken;
}

static int put_line(struct remote_conn *remote, const struct remote_line *line)
{
	struct ucx_conn *conn = conn_of(remote);
	struct ucx_sending *sending = next(conn);

	if (!sending)
		return 0;
	sending->line = *line;
	return send_am(conn, AM_LINE, sending, &sending->line, sizeof(*line));
}

static int tell(struct remote_conn *remote, const struct remote_hello *hello)
{
	struct ucx_conn *conn = conn_of(remote);
	struct ucx_sending *sending = next(conn);
	int result;

	conn->told = *hello;
	result = sending ? send_am(conn, AM_HELLO, sending, &conn->told, sizeof(conn->told)) : 0;
	return result > 0 ? 0 : result ? result : -EAGAIN;
}

/* Windows are not addressed: offsets are, and are checked on arrival. */
static int offer_slots(struct remote_conn *remote, const struct remote_memory *memory,
		       struct remote_window *window)
{
	struct ucx_conn *conn = conn_of(remote);

	conn->slots = *memory;
	conn->slots_far = memory->region && rk_region_info(memory->region)->write_combined;
	*window = (struct remote_window){RK_PAGE_BYTES, memory->bytes, 0};
	return 0;
}

static int offer_line(struct remote_conn *remote, struct remote_line *line,
		      struct remote_window *window)
{
	conn_of(remote)->line = line;
	*window = (struct remote_window){RK_PAGE_BYTES, sizeof(*line), 0};
	return 0;
}

static int aim(struct remote_conn *remote, struct rk_slot *slots, const struct remote_window *to)
{
	(void)to;
	conn_of(remote)->stage = slots;
	conn_of(remote)->position = remote->completed;
	return 0;
}

static void aim_line(struct remote_conn *remote, const struct remote_window *to)
{
	(void)remote;
	(void)to;
}

/* This host's CPU writes there, as any port does. */
static int reach(struct remote_listener *listener, const struct remote_memory *memory,
		 char how[REMOTE_TEXT_BYTES])
{
	(void)listener;
	if (remote_is_on_gpu(memory))
		strcpy(how, "memory of the GPU, by this host's CPU");
	return 0;
}

static int ready(void)
{
	return ucx_lib() ? 0 : -EOPNOTSUPP;
}

/* --- The kind --- */

static const struct remote_transport transport = {
	.name = "ucx",
	.ready = ready,
	.listen = ucx_listen,
	.accept = ucx_accept,
	.unlisten = ucx_unlisten,
	.listen_fd = ucx_listen_fd,
	.reach = reach,
	.connect = ucx_connect,
	.up = ucx_up,
	.tell = tell,
	.offer_slots = offer_slots,
	.offer_line = offer_line,
	.aim = aim,
	.aim_line = aim_line,
	.put = put,
	.put_line = put_line,
	.progress = ucx_progress,
	.close = ucx_close,
};

static struct remote_kind kind = {
	.kind.about = {"ucx", "as verbs, over UCX: for hosts without RDMA", REMOTE_OPTIONS, NULL},
	.transport = &transport,
};

static const struct port_kind *load(void)
{
	return remote_kind_load(&kind);
}

const struct port_kind port_ucx = {.load = load, .about.name = "ucx"};

#else

const struct port_kind port_ucx = {
	.about = {"ucx", "as verbs, over UCX: for hosts without RDMA", REMOTE_OPTIONS,
		  "built without <ucp/api/ucp.h>: apt-get install libucx-dev, then make"},
};

#endif
