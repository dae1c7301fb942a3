/* SPDX-License-Identifier: MIT */
/*
 * echo.h - the smallest actor: what comes in goes out, on outbox 0. The example to copy.
 */
#ifndef RK_ECHO_H
#define RK_ECHO_H

#include "rk_handler.h"

/**
 * struct rk_echo_state - the actor's state
 * @messages: sent back
 * @sends_dropped: not taken by rk_send()
 */
struct rk_echo_state {
	uint64_t messages;
	uint64_t sends_dropped;
};

RK_BEGIN_DECLS

/**
 * rk_echo() - the handler
 * @ctx: the actor's context
 * @state: struct rk_echo_state
 * @msg: packets and the user's messages go back with the same type, tag, extensions and payload
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_echo(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

/**
 * rk_echo_batch() - the same for plain messages that came in a row
 * @ctx: the actor's context
 * @state: struct rk_echo_state
 * @msgs: one cell each
 * @count: messages
 *
 * Context: called by a backend, host or device; all lanes send.
 */
RK_DEVICE void rk_echo_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count);

RK_END_DECLS

#endif
