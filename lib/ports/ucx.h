/* SPDX-License-Identifier: MIT */
/*
 * ucx.h - a connection over UCX and its TCP, as the transport of a ring for hosts without RDMA. Not
 * installed.
 *
 * Hello, slots and lines are active messages. Over TCP the receiving side's CPU copies in any case,
 * and this way it checks each offset before it writes, and writes whole words. Each connection has
 * a worker of its own, used under its end's mutex.
 */
#ifndef UCX_H
#define UCX_H

#include "ports/remote.h"
#include "ports/ucx_lib.h"

#if RK_HAVE_UCX

enum { UCX_DEPTH = 64, UCX_QUEUE = 16, UCX_MOST_STEPS = 32 };

/* A message under way: what of it must stay in place, and what its end means. */
struct ucx_sending {
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

	uint8_t heard[sizeof(struct remote_hello) + RK_CACHE_LINE_BYTES];
	struct remote_memory slots; /* the peer's to write */
	bool slots_far;		    /* across a bus */
	struct remote_line *line;

	struct remote_hello told;
	const struct rk_slot *stage;
	uint64_t position; /* of the last slot sent */
	struct ucx_sending sending[UCX_DEPTH];
	uint32_t head, tail;
};

struct ucx_listener {
	const struct ucx_lib *lib;
	ucp_worker_h worker;
	ucp_listener_h listener;
	ucp_conn_request_h queue[UCX_QUEUE];
	uint32_t head, tail;
};

/* --- ucx_cm.c --- */

int ucx_listen(struct remote_listener **out, const struct sockaddr_in *address);
int ucx_accept(struct remote_listener *listener, struct remote_conn **out);
void ucx_unlisten(struct remote_listener *listener);
int ucx_listen_fd(const struct remote_listener *listener);
int ucx_connect(struct remote_conn **out, const struct sockaddr_in *address);
int ucx_up(struct remote_conn *conn);
void ucx_close(struct remote_conn *conn);

/* --- ucx.c --- */

int ucx_progress(struct remote_conn *conn);

/* Take the messages of @conn's worker; 0 or -errno. */
int ucx_handle_messages(struct ucx_conn *conn);

#endif
#endif
