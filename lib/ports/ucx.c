// SPDX-License-Identifier: MIT
/*
 * Port ucx: the transport of a ring for hosts without RDMA, over UCX and its TCP.
 *
 * Hello, slots and lines are active messages. Over TCP the receiving side's CPU copies in any case,
 * and this way it checks each offset before it writes, and writes whole words. Each connection has
 * a worker of its own, used under its end's mutex.
 */
#include "ports/remote.h"
#include "ports/ucx_lib.h"

#if RK_HAVE_UCX

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AM_HELLO, AM_SLOTS, AM_LINE, AMS };
enum { DEPTH = 64, QUEUE = 16, LAST_MS = 200, MOST_STEPS = 32 };

/* A message under way: what of it must stay in place, and what its end means. */
struct sending {
	uint64_t offset;
	uint64_t position;
	struct remote_line line;
	const struct ucx_lib *lib;
	bool done;
};

struct ucx_conn {
	struct remote_conn conn;
	const struct ucx_lib *lib;
	ucp_worker_h worker;
	ucp_ep_h ep;
	ucs_status_t gone; /* UCS_OK while it is not */
	const char *bad;   /* what the peer did wrong */

	uint32_t heard_bytes;
	uint8_t heard[sizeof(struct remote_hello) + RK_CACHE_LINE_BYTES];
	struct rk_slot *slots; /* the peer's to write */
	uint64_t slots_bytes;
	struct remote_line *line;

	struct remote_hello told;
	const struct rk_slot *stage;
	uint64_t position; /* of the last slot sent */
	struct sending sending[DEPTH];
	uint32_t head, tail;
};

struct ucx_listener {
	const struct ucx_lib *lib;
	ucp_worker_h worker;
	ucp_listener_h listener;
	ucp_conn_request_h queue[QUEUE];
	uint32_t head, tail;
};

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
	if (!is_whole(conn, param) || conn->heard_bytes)
		return UCS_OK;
	conn->heard_bytes = bytes < sizeof(conn->heard) ? (uint32_t)bytes : sizeof(conn->heard);
	memcpy(conn->heard, data, conn->heard_bytes);
	if (!conn->heard_bytes)
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
	    offset > conn->slots_bytes || bytes > conn->slots_bytes - offset) {
		conn->bad = "the peer wrote outside of its ring";
		return UCS_OK;
	}
	for (size_t i = 0; i < bytes; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		/* Relaxed: a slot validates itself. */
		__atomic_store_n((uint64_t *)((char *)conn->slots + offset + i), word,
				 __ATOMIC_RELAXED);
	}
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

static void on_error(void *arg, ucp_ep_h ep, ucs_status_t status)
{
	(void)ep;
	((struct ucx_conn *)arg)->gone = status;
}

/* --- Making and ending --- */

static int make_worker(const struct ucx_lib *lib, ucp_worker_h *worker)
{
	const ucp_worker_params_t params = {.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
					    .thread_mode = UCS_THREAD_MODE_SERIALIZED};
	ucp_context_h context;
	int result = ucx_context_get(lib, &context);
	ucs_status_t status;

	if (result)
		return result;
	status = lib->ucp_worker_create(context, &params, worker);
	if (!status)
		return 0;
	ucx_context_put(lib);
	return ucx_fail(lib, "ucp_worker_create", status);
}

static int handle_messages(struct ucx_conn *conn)
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

/* To @address, or to whoever sent @request. */
static int make(struct remote_conn **out, const struct ucx_lib *lib,
		const struct sockaddr_in *address, ucp_conn_request_h request)
{
	struct ucx_conn *conn = calloc(1, sizeof(*conn));
	ucp_ep_params_t params = {.field_mask = UCP_EP_PARAM_FIELD_ERR_HANDLER |
						UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE,
				  .err_mode = UCP_ERR_HANDLING_MODE_PEER,
				  .err_handler = {on_error, conn}};
	ucs_status_t status;
	int result;

	if (!conn)
		return rk_fail(ENOMEM, "no memory for a connection");
	conn->lib = lib;
	*out = &conn->conn;
	result = make_worker(lib, &conn->worker);
	if (!result)
		result = handle_messages(conn);
	if (result)
		return result;
	if (request) {
		params.field_mask |= UCP_EP_PARAM_FIELD_CONN_REQUEST;
		params.conn_request = request;
	} else {
		params.field_mask |= UCP_EP_PARAM_FIELD_FLAGS | UCP_EP_PARAM_FIELD_SOCK_ADDR;
		params.flags = UCP_EP_PARAMS_FLAGS_CLIENT_SERVER;
		params.sockaddr.addr = (const struct sockaddr *)address;
		params.sockaddr.addrlen = sizeof(*address);
	}
	status = lib->ucp_ep_create(conn->worker, &params, &conn->ep);
	return status ? ucx_fail(lib, "ucp_ep_create", status) : 0;
}

static int ucx_connect(struct remote_conn **out, const struct sockaddr_in *address)
{
	const struct ucx_lib *lib = ucx_lib();

	return lib ? make(out, lib, address, NULL) : -ENOENT;
}

static int progress(struct remote_conn *remote)
{
	struct ucx_conn *conn = conn_of(remote);

	for (int i = 0; i < MOST_STEPS && !conn->bad && !conn->gone; i++)
		if (!conn->lib->ucp_worker_progress(conn->worker))
			break;
	while (conn->tail != conn->head && conn->sending[conn->tail % DEPTH].done)
		remote->completed = conn->sending[conn->tail++ % DEPTH].position;
	return conn->bad || conn->gone ? gone(conn) : 0;
}

/* UCX queues what is sent before the peer has answered. */
static int up(struct remote_conn *remote)
{
	int result = progress(remote);

	return result ? result : 1;
}

/* End the connection; what it still has to say is said first, if the peer listens. */
static void close_ep(struct ucx_conn *conn)
{
	const ucp_request_param_t force = {.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS,
					   .flags = UCP_EP_CLOSE_FLAG_FORCE};
	const ucp_request_param_t gently = {.op_attr_mask = 0};
	uint64_t until_ns = now_ns() + LAST_MS * REMOTE_MS;
	void *request =
		conn->lib->ucp_ep_close_nbx(conn->ep, conn->gone || conn->bad ? &force : &gently);

	if (!UCS_PTR_IS_PTR(request))
		return;
	while (conn->lib->ucp_request_check_status(request) == UCS_INPROGRESS &&
	       now_ns() < until_ns)
		conn->lib->ucp_worker_progress(conn->worker);
	conn->lib->ucp_request_free(request);
}

static void ucx_close(struct remote_conn *remote)
{
	struct ucx_conn *conn = conn_of(remote);

	if (conn->ep)
		close_ep(conn);
	if (conn->worker) {
		conn->lib->ucp_worker_destroy(conn->worker);
		ucx_context_put(conn->lib);
	}
	free(conn);
}

/* --- Listening --- */

static void on_request(ucp_conn_request_h request, void *arg)
{
	struct ucx_listener *listener = arg;

	if (listener->head - listener->tail == QUEUE)
		listener->lib->ucp_listener_reject(listener->listener, request);
	else
		listener->queue[listener->head++ % QUEUE] = request;
}

static int ucx_listen(struct remote_listener **out, const struct sockaddr_in *address)
{
	const struct ucx_lib *lib = ucx_lib();
	struct ucx_listener *listener = lib ? calloc(1, sizeof(*listener)) : NULL;
	const ucp_listener_params_t params = {
		.field_mask =
			UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | UCP_LISTENER_PARAM_FIELD_CONN_HANDLER,
		.sockaddr = {(const struct sockaddr *)address, sizeof(*address)},
		.conn_handler = {on_request, listener}};
	ucs_status_t status;
	int result;

	if (!listener)
		return lib ? rk_fail(ENOMEM, "no memory to listen") : -ENOENT;
	listener->lib = lib;
	*out = (struct remote_listener *)listener;
	result = make_worker(lib, &listener->worker);
	if (result)
		return result;
	status = lib->ucp_listener_create(listener->worker, &params, &listener->listener);
	if (status == UCS_ERR_BUSY)
		return rk_fail(EADDRINUSE,
			       "the address is in use, or was within the last minute: with "
			       "UCX_TCP_CM_REUSEADDR=y in the environment UCX takes it again");
	return status ? ucx_fail(lib, "ucp_listener_create", status) : 0;
}

static int ucx_accept(struct remote_listener *remote, struct remote_conn **out)
{
	struct ucx_listener *listener = (struct ucx_listener *)remote;
	struct remote_conn *conn = NULL;
	int result;

	for (int i = 0; i < MOST_STEPS; i++)
		if (!listener->lib->ucp_worker_progress(listener->worker))
			break;
	if (listener->head == listener->tail)
		return 0;
	result = make(&conn, listener->lib, NULL, listener->queue[listener->tail++ % QUEUE]);
	if (result && conn)
		ucx_close(conn);
	if (result)
		return result;
	*out = conn;
	return 1;
}

static void ucx_unlisten(struct remote_listener *remote)
{
	struct ucx_listener *listener = (struct ucx_listener *)remote;

	while (listener->head != listener->tail)
		listener->lib->ucp_listener_reject(listener->listener,
						   listener->queue[listener->tail++ % QUEUE]);
	if (listener->listener)
		listener->lib->ucp_listener_destroy(listener->listener);
	if (listener->worker) {
		listener->lib->ucp_worker_destroy(listener->worker);
		ucx_context_put(listener->lib);
	}
	free(listener);
}

static int no_fd(const struct remote_listener *listener)
{
	(void)listener;
	return -1;
}

/* --- Sending --- */

/* A failure is told by on_error() as well. */
static void on_sent(void *request, ucs_status_t status, void *argument)
{
	struct sending *sending = argument;

	(void)status;
	sending->done = true;
	sending->lib->ucp_request_free(request);
}

/* Send @data, of which UCX may keep only a reference: 1; 0 no room now; -errno. */
static int send_am(struct ucx_conn *conn, unsigned int id, struct sending *sending,
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
static struct sending *next(struct ucx_conn *conn)
{
	struct sending *sending = &conn->sending[conn->head % DEPTH];

	if (conn->head - conn->tail == DEPTH)
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
		struct sending *sending = next(conn);
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
	struct sending *sending = next(conn);

	if (!sending)
		return 0;
	sending->line = *line;
	return send_am(conn, AM_LINE, sending, &sending->line, sizeof(*line));
}

static int tell(struct remote_conn *remote, const struct remote_hello *hello)
{
	struct ucx_conn *conn = conn_of(remote);
	struct sending *sending = next(conn);
	int result;

	conn->told = *hello;
	result = sending ? send_am(conn, AM_HELLO, sending, &conn->told, sizeof(conn->told)) : 0;
	return result > 0 ? 0 : result ? result : -EAGAIN;
}

static int hear(struct remote_conn *remote, void *hello, size_t room)
{
	struct ucx_conn *conn = conn_of(remote);
	size_t bytes;

	if (progress(remote) && !conn->heard_bytes)
		return -ENOTCONN;
	bytes = conn->heard_bytes < room ? conn->heard_bytes : room;
	memcpy(hello, conn->heard, bytes);
	return (int)bytes;
}

/* Windows are not addressed: offsets are, and are checked on arrival. */
static int offer_slots(struct remote_conn *remote, struct rk_slot *slots, uint64_t bytes,
		       struct remote_window *window)
{
	conn_of(remote)->slots = slots;
	conn_of(remote)->slots_bytes = bytes;
	*window = (struct remote_window){RK_PAGE_BYTES, bytes, 0};
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
	.listen_fd = no_fd,
	.connect = ucx_connect,
	.up = up,
	.tell = tell,
	.hear = hear,
	.offer_slots = offer_slots,
	.offer_line = offer_line,
	.aim = aim,
	.aim_line = aim_line,
	.put = put,
	.put_line = put_line,
	.progress = progress,
	.close = ucx_close,
};

static int ucx_in_open(struct rk_port *port, const char *what)
{
	return remote_in_open(port, what, &transport);
}

static int ucx_out_open(struct rk_port *port, const char *what)
{
	return remote_out_open(port, what, &transport);
}

static struct remote_kind kind = {
	.kind.about = {"ucx", "as verbs, over UCX: for hosts without RDMA", REMOTE_OPTIONS, NULL},
	.in_open = ucx_in_open,
	.out_open = ucx_out_open,
	.ready = ready,
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
