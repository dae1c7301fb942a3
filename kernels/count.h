/* SPDX-License-Identifier: MIT */
/*
 * count.h - an actor with state: counts what comes in, and answers on outbox 0 when asked.
 */
#ifndef RK_COUNT_H
#define RK_COUNT_H

#include "rk_handler.h"

enum {
	RK_COUNT_QUERY = RK_MSG_USER + 0x20, /* no payload; not counted itself */
	RK_COUNT_REPLY = RK_MSG_USER + 0x21, /* struct rk_count_reply; tag: the query's */
};

/**
 * struct rk_count_reply - payload of RK_COUNT_REPLY: counts before the query
 * @messages: packets and the user's messages
 * @packets: of @messages, packets
 * @payload_bytes: of packets their datagrams, of other messages their whole cells
 */
struct rk_count_reply {
	uint64_t messages;
	uint64_t packets;
	uint64_t payload_bytes;
};

/**
 * struct rk_count_state - the actor's state
 * @count: so far
 * @replies: sent
 * @sends_dropped: not taken by rk_send()
 */
struct rk_count_state {
	struct rk_count_reply count;
	uint64_t replies;
	uint64_t sends_dropped;
};

RK_BEGIN_DECLS

/**
 * rk_count() - the handler
 * @ctx: the actor's context
 * @state: struct rk_count_state
 * @msg: packets and the user's messages are counted; RK_COUNT_QUERY is answered
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_count(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

RK_END_DECLS

#endif
