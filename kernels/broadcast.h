/* SPDX-License-Identifier: MIT */
/*
 * broadcast.h - fan-out: what comes in goes out on every outbox.
 *
 * Several receivers are several rings. By default the slowest of them holds all up; give a link
 * another policy (rk_flow.h) where it is to miss messages instead.
 */
#ifndef RK_BROADCAST_H
#define RK_BROADCAST_H

#include "rk_handler.h"

/**
 * struct rk_broadcast_state - the actor's state
 * @outboxes: the argument: 0 to @outboxes - 1 are sent to
 * @messages: received
 * @sent: of them, for each outbox that took one
 * @sends_dropped: not taken by rk_send()
 */
struct rk_broadcast_state {
	uint64_t outboxes;
	uint64_t messages;
	uint64_t sent;
	uint64_t sends_dropped;
};

RK_BEGIN_DECLS

/**
 * rk_broadcast() - the handler
 * @ctx: the actor's context
 * @state: struct rk_broadcast_state
 * @msg: packets and the user's messages go out with the same type, tag, extensions and payload
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_broadcast(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

/**
 * rk_broadcast_batch() - the same for plain messages that came in a row
 * @ctx: the actor's context
 * @state: struct rk_broadcast_state
 * @msgs: one cell each
 * @count: messages
 *
 * Context: called by a backend, host or device; all lanes send.
 */
RK_DEVICE void rk_broadcast_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				  uint32_t count);

RK_END_DECLS

#endif
