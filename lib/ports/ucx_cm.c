// SPDX-License-Identifier: MIT
/* Connections by UCX: listening, connecting, and the end of them. */
#include "ports/ucx.h"

#if RK_HAVE_UCX

#include <stdlib.h>

enum { LAST_MS = 200 };

static struct ucx_conn *conn_of(struct remote_conn *conn)
{
	return (struct ucx_conn *)conn;
}

/* --- Connecting --- */

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

static void on_error(void *arg, ucp_ep_h ep, ucs_status_t status)
{
	(void)ep;
	((struct ucx_conn *)arg)->gone = status;
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
	conn->conn.heard = conn->heard;
	*out = &conn->conn;
	result = make_worker(lib, &conn->worker);
	if (!result)
		result = ucx_handle_messages(conn);
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

int ucx_connect(struct remote_conn **out, const struct sockaddr_in *address)
{
	const struct ucx_lib *lib = ucx_lib();

	return lib ? make(out, lib, address, NULL) : -ENOENT;
}

/* UCX queues what is sent before the peer has answered. */
int ucx_up(struct remote_conn *remote)
{
	int result = ucx_progress(remote);

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

void ucx_close(struct remote_conn *remote)
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

	if (listener->head - listener->tail == UCX_QUEUE)
		listener->lib->ucp_listener_reject(listener->listener, request);
	else
		listener->queue[listener->head++ % UCX_QUEUE] = request;
}

int ucx_listen(struct remote_listener **out, const struct sockaddr_in *address)
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

int ucx_accept(struct remote_listener *remote, struct remote_conn **out)
{
	struct ucx_listener *listener = (struct ucx_listener *)remote;
	struct remote_conn *conn = NULL;
	int result;

	for (int i = 0; i < UCX_MOST_STEPS; i++)
		if (!listener->lib->ucp_worker_progress(listener->worker))
			break;
	if (listener->head == listener->tail)
		return 0;
	result = make(&conn, listener->lib, NULL, listener->queue[listener->tail++ % UCX_QUEUE]);
	if (result && conn)
		ucx_close(conn);
	if (result)
		return result;
	*out = conn;
	return 1;
}

void ucx_unlisten(struct remote_listener *remote)
{
	struct ucx_listener *listener = (struct ucx_listener *)remote;

	while (listener->head != listener->tail)
		listener->lib->ucp_listener_reject(listener->listener,
						   listener->queue[listener->tail++ % UCX_QUEUE]);
	if (listener->listener)
		listener->lib->ucp_listener_destroy(listener->listener);
	if (listener->worker) {
		listener->lib->ucp_worker_destroy(listener->worker);
		ucx_context_put(listener->lib);
	}
	free(listener);
}

int ucx_listen_fd(const struct remote_listener *listener)
{
	(void)listener;
	return -1;
}

#endif
