// SPDX-License-Identifier: MIT
/* Connections by rdma_cm: listening, connecting, and the end of them. */
#include "ports/verbs.h"

#if RK_HAVE_VERBS

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG = 16, RESOLVE_MS = 1000, LAST_WRITES_MS = 200 };

static struct verbs_conn *conn_of(struct remote_conn *conn)
{
	return (struct verbs_conn *)conn;
}

int verbs_gone(struct verbs_conn *conn, const char *format, ...)
{
	va_list args;

	if (conn->state != VERBS_GONE) {
		va_start(args, format);
		vsnprintf(conn->gone, sizeof(conn->gone), format, args);
		va_end(args);
	}
	conn->state = VERBS_GONE;
	return rk_fail(ENOTCONN, "%s", conn->gone);
}

/* A channel whose events are asked for without waiting. */
static struct rdma_event_channel *open_channel(const struct verbs_lib *lib)
{
	struct rdma_event_channel *channel = lib->rdma_create_event_channel();

	if (!channel)
		rk_fail(errno, "rdma_create_event_channel: %s", strerror(errno));
	else
		fcntl(channel->fd, F_SETFL, fcntl(channel->fd, F_GETFL) | O_NONBLOCK);
	return channel;
}

static int make(struct verbs_conn **out, const struct verbs_lib *lib)
{
	struct verbs_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return rk_fail(ENOMEM, "no memory for a connection");
	conn->lib = lib;
	conn->buffers = aligned_alloc(RK_PAGE_BYTES, RK_PAGE_BYTES);
	if (conn->buffers)
		conn->channel = open_channel(lib);
	if (!conn->buffers || !conn->channel) {
		int result = conn->buffers ? -ENODEV : rk_fail(ENOMEM, "no memory");

		free(conn->buffers);
		free(conn);
		return result;
	}
	memset(conn->buffers, 0, RK_PAGE_BYTES);
	conn->conn.heard = conn->buffers->heard;
	*out = conn;
	return 0;
}

RK_STATIC_ASSERT(sizeof(struct verbs_buffers) <= RK_PAGE_BYTES, "one page is registered");

/* The queue pair, with as much inline room as the device has. */
static int make_qp(struct verbs_conn *conn)
{
	struct ibv_qp_init_attr attr;
	int failed = -1;

	for (uint32_t room = VERBS_INLINE_BYTES; failed; room /= 2) {
		attr = (struct ibv_qp_init_attr){
			.send_cq = conn->cq,
			.recv_cq = conn->cq,
			.qp_type = IBV_QPT_RC,
			.cap = {.max_send_wr = VERBS_DEPTH,
				.max_recv_wr = 1,
				.max_send_sge = 1,
				.max_recv_sge = 1,
				.max_inline_data = room < sizeof(struct rk_slot) ? 0 : room}};
		failed = conn->lib->rdma_create_qp(conn->id, conn->pd, &attr);
		if (!room && failed)
			return rk_fail(errno, "rdma_create_qp: %s", strerror(errno));
	}
	conn->inline_bytes = attr.cap.max_inline_data;
	return 0;
}

/* The device is known: make what a connection needs on it, and be ready for the peer's hello. */
static int equip(struct verbs_conn *conn)
{
	const struct verbs_lib *lib = conn->lib;
	struct verbs_buffers *buffers = conn->buffers;
	struct ibv_recv_wr *bad, recv = {.num_sge = 1};
	struct ibv_sge sge = {.addr = (uintptr_t)buffers->heard, .length = sizeof(buffers->heard)};
	int result;

	conn->pd = lib->ibv_alloc_pd(conn->id->verbs);
	if (!conn->pd)
		return rk_fail(errno, "ibv_alloc_pd: %s", strerror(errno));
	conn->cq = lib->ibv_create_cq(conn->id->verbs, VERBS_DEPTH + 1, NULL, NULL, 0);
	if (!conn->cq)
		return rk_fail(errno, "ibv_create_cq: %s", strerror(errno));
	conn->hello_mr = lib->ibv_reg_mr(conn->pd, buffers, RK_PAGE_BYTES, IBV_ACCESS_LOCAL_WRITE);
	if (!conn->hello_mr)
		return rk_fail(errno, "ibv_reg_mr: %s: see `ulimit -l`", strerror(errno));
	result = make_qp(conn);
	if (result)
		return result;
	sge.lkey = conn->hello_mr->lkey;
	recv.sg_list = &sge;
	result = ibv_post_recv(conn->id->qp, &recv, &bad);
	return result ? rk_fail(result, "ibv_post_recv: %s", strerror(result)) : 0;
}

static struct rdma_conn_param conn_param(void)
{
	return (struct rdma_conn_param){.retry_count = 7, .rnr_retry_count = 7};
}

/* --- Connecting --- */

int verbs_connect(struct remote_conn **out, const struct sockaddr_in *address)
{
	const struct verbs_lib *lib = verbs_lib();
	struct sockaddr_in to = *address;
	struct verbs_conn *conn;
	int result;

	if (!lib)
		return -ENODEV;
	result = make(&conn, lib);
	if (result)
		return result;
	*out = &conn->conn;
	if (lib->rdma_create_id(conn->channel, &conn->id, conn, RDMA_PS_TCP))
		return rk_fail(errno, "rdma_create_id: %s", strerror(errno));
	if (lib->rdma_resolve_addr(conn->id, NULL, (struct sockaddr *)&to, RESOLVE_MS))
		return rk_fail(errno, "rdma_resolve_addr: %s", strerror(errno));
	return 0;
}

static int ask_to_connect(struct verbs_conn *conn)
{
	struct rdma_conn_param param = conn_param();
	int result = equip(conn);

	if (result)
		return verbs_gone(conn, "%.150s", rk_errmsg());
	conn->state = VERBS_CONNECTING;
	if (conn->lib->rdma_connect(conn->id, &param))
		return verbs_gone(conn, "rdma_connect: %s", strerror(errno));
	return 0;
}

/* What an event of the connection means to it. */
static void handle(struct verbs_conn *conn, enum rdma_cm_event_type type, int status)
{
	switch (type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (conn->lib->rdma_resolve_route(conn->id, RESOLVE_MS))
			verbs_gone(conn, "rdma_resolve_route: %s", strerror(errno));
		return;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		ask_to_connect(conn);
		return;
	case RDMA_CM_EVENT_ESTABLISHED:
		conn->state = VERBS_UP;
		return;
	case RDMA_CM_EVENT_REJECTED:
		verbs_gone(conn, "nobody listens there");
		return;
	case RDMA_CM_EVENT_DISCONNECTED:
		verbs_gone(conn, "the peer closed the connection, or died");
		return;
	case RDMA_CM_EVENT_ADDR_CHANGE:
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		return;
	default:
		verbs_gone(conn, "%s: %s", conn->lib->rdma_event_str(type),
			   status < 0 ? strerror(-status) : "not reached");
	}
}

int verbs_up(struct remote_conn *remote)
{
	struct verbs_conn *conn = conn_of(remote);
	struct rdma_cm_event *event;

	while (conn->id && !conn->lib->rdma_get_cm_event(conn->channel, &event)) {
		enum rdma_cm_event_type type = event->event;
		int status = event->status;

		conn->lib->rdma_ack_cm_event(event);
		handle(conn, type, status);
	}
	if (conn->state == VERBS_GONE)
		return verbs_gone(conn, "%s", "");
	return conn->state == VERBS_UP;
}

/* Wait a little for what was written last; a broken connection has nothing to wait for. */
static void settle(struct verbs_conn *conn)
{
	uint64_t until_ns = now_ns() + LAST_WRITES_MS * REMOTE_MS;
	struct timespec pause = {.tv_nsec = 100000};

	while (conn->state == VERBS_UP && conn->posted && now_ns() < until_ns &&
	       !verbs_progress(&conn->conn))
		nanosleep(&pause, NULL);
}

void verbs_close(struct remote_conn *remote)
{
	struct verbs_conn *conn = conn_of(remote);
	const struct verbs_lib *lib = conn->lib;
	struct ibv_mr *const mrs[] = {conn->hello_mr, conn->slots.mr, conn->line.mr,
				      conn->stage_mr};

	settle(conn);
	if (conn->id && conn->id->qp) {
		lib->rdma_disconnect(conn->id);
		lib->rdma_destroy_qp(conn->id);
	}
	for (size_t i = 0; i < sizeof(mrs) / sizeof(mrs[0]); i++)
		if (mrs[i])
			lib->ibv_dereg_mr(mrs[i]);
	if (conn->cq)
		lib->ibv_destroy_cq(conn->cq);
	if (conn->pd)
		lib->ibv_dealloc_pd(conn->pd);
	if (conn->id)
		lib->rdma_destroy_id(conn->id);
	lib->rdma_destroy_event_channel(conn->channel);
	free(conn->buffers);
	free(conn);
}

/* --- Listening --- */

int verbs_listen(struct remote_listener **out, const struct sockaddr_in *address)
{
	const struct verbs_lib *lib = verbs_lib();
	struct verbs_listener *listener;
	struct sockaddr_in at = *address;
	int yes = 1;

	if (!lib)
		return -ENODEV;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return rk_fail(ENOMEM, "no memory to listen");
	*out = (struct remote_listener *)listener;
	listener->lib = lib;
	listener->channel = open_channel(lib);
	if (!listener->channel)
		return -ENODEV;
	if (lib->rdma_create_id(listener->channel, &listener->id, NULL, RDMA_PS_TCP))
		return rk_fail(errno, "rdma_create_id: %s", strerror(errno));
	lib->rdma_set_option(listener->id, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes,
			     sizeof(yes));
	if (lib->rdma_bind_addr(listener->id, (struct sockaddr *)&at))
		return rk_fail(errno, "rdma_bind_addr: %s", strerror(errno));
	if (lib->rdma_listen(listener->id, BACKLOG))
		return rk_fail(errno, "rdma_listen: %s", strerror(errno));
	return 0;
}

/* Answer a request on a channel of its own. @conn is the caller's to close, also on failure. */
static int take(struct verbs_conn *conn)
{
	struct rdma_conn_param param = conn_param();
	int result;

	conn->state = VERBS_CONNECTING;
	if (conn->lib->rdma_migrate_id(conn->id, conn->channel))
		return rk_fail(errno, "rdma_migrate_id: %s", strerror(errno));
	result = equip(conn);
	if (!result && conn->lib->rdma_accept(conn->id, &param))
		result = rk_fail(errno, "rdma_accept: %s", strerror(errno));
	return result;
}

int verbs_accept(struct remote_listener *remote, struct remote_conn **out)
{
	struct verbs_listener *listener = (struct verbs_listener *)remote;
	struct rdma_cm_event *event;
	struct verbs_conn *conn;
	struct rdma_cm_id *id;
	int result;

	if (listener->lib->rdma_get_cm_event(listener->channel, &event))
		return errno == EAGAIN ? 0 : -errno;
	id = event->event == RDMA_CM_EVENT_CONNECT_REQUEST ? event->id : NULL;
	listener->lib->rdma_ack_cm_event(event);
	if (!id)
		return 0;
	result = make(&conn, listener->lib);
	if (result) {
		listener->lib->rdma_destroy_id(id);
		return result;
	}
	conn->id = id;
	result = take(conn);
	if (result) {
		verbs_close(&conn->conn);
		return result;
	}
	*out = &conn->conn;
	return 1;
}

void verbs_unlisten(struct remote_listener *remote)
{
	struct verbs_listener *listener = (struct verbs_listener *)remote;

	if (listener->id)
		listener->lib->rdma_destroy_id(listener->id);
	if (listener->channel)
		listener->lib->rdma_destroy_event_channel(listener->channel);
	free(listener);
}

int verbs_listen_fd(const struct remote_listener *listener)
{
	return ((const struct verbs_listener *)listener)->channel->fd;
}

int verbs_reach(struct remote_listener *remote, const struct remote_memory *memory,
		char how[REMOTE_TEXT_BYTES])
{
	const struct verbs_listener *listener = (const struct verbs_listener *)remote;
	const struct verbs_lib *lib = listener->lib;
	struct ibv_device **devices;
	int count = 0, result = 0;

	if (!remote_is_on_gpu(memory))
		return 0;
	if (listener->id->verbs)
		return verbs_try(lib, listener->id->verbs->device, memory, how);
	/* Peers may come in by any of them. */
	devices = lib->ibv_get_device_list(&count);
	for (int i = 0; devices && i < count && !result; i++)
		result = verbs_try(lib, devices[i], memory, how);
	if (devices)
		lib->ibv_free_device_list(devices);
	return result;
}

#endif
