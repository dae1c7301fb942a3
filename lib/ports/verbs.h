/* SPDX-License-Identifier: MIT */
/*
 * verbs.h - a reliable connection over RDMA verbs, as the transport of a ring. Not installed.
 *
 * The hello travels by one SEND each way, into a receive posted before connecting; from then on
 * there is no receive queue: slots and lines go by RDMA WRITE. Nothing asks the fabric for order.
 * Memory is registered anew for each connection, so that what an old one was allowed ends with it.
 *
 * Relaxed ordering is not asked for: after a reconnection a slot may be written a second time, and
 * that write must not land behind the one of the next lap.
 */
#ifndef VERBS_H
#define VERBS_H

#include "ports/remote.h"
#include "ports/verbs_memory.h"

#if RK_HAVE_VERBS

enum {
	VERBS_DEPTH = 256,	  /* work requests in flight */
	VERBS_LINES = 8,	  /* of them kept for lines and the hello */
	VERBS_INLINE_BYTES = 256, /* asked for; less is taken */
	VERBS_SIGNAL = VERBS_DEPTH / 8,
};

enum verbs_state { VERBS_RESOLVING, VERBS_CONNECTING, VERBS_UP, VERBS_GONE };

/* What a completion says: so many requests are done, and the ring's slots up to @position. */
struct verbs_signal {
	uint64_t position;
	uint32_t requests;
};

struct verbs_conn {
	struct remote_conn conn;
	const struct verbs_lib *lib;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_mr *hello_mr, *stage_mr;
	struct verbs_memory slots, line;
	enum verbs_state state;
	char gone[REMOTE_TEXT_BYTES]; /* why, in VERBS_GONE */
	uint32_t inline_bytes;

	struct rk_slot *stage;
	struct remote_window to;
	struct remote_window line_to;

	uint32_t posted; /* requests not known to be done */
	uint32_t unsignalled;
	uint64_t unsignalled_from; /* position up to which a completion was asked for */
	uint64_t position;	   /* of the last slot posted */
	struct verbs_signal signals[VERBS_DEPTH];
	uint32_t signal_head, signal_tail;

	/* Registered, and touched by the device. */
	struct verbs_buffers {
		struct remote_hello told;
		uint8_t heard[sizeof(struct remote_hello) + RK_CACHE_LINE_BYTES];
		struct remote_line line;
	} * buffers;
};

struct verbs_listener {
	const struct verbs_lib *lib;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
};

/* --- verbs_cm.c --- */

int verbs_listen(struct remote_listener **out, const struct sockaddr_in *address);
int verbs_accept(struct remote_listener *listener, struct remote_conn **out);
void verbs_unlisten(struct remote_listener *listener);
int verbs_listen_fd(const struct remote_listener *listener);
int verbs_reach(struct remote_listener *listener, const struct remote_memory *memory,
		char how[REMOTE_TEXT_BYTES]);
int verbs_connect(struct remote_conn **out, const struct sockaddr_in *address);
int verbs_up(struct remote_conn *conn);
void verbs_close(struct remote_conn *conn);

/* The connection is of no more use; why, for people. Returns -ENOTCONN, with that text. */
int verbs_gone(struct verbs_conn *conn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- verbs.c --- */

int verbs_progress(struct remote_conn *conn);

#endif
#endif
