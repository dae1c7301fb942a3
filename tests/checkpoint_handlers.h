/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_handlers.h - actors whose every step depends on all that came before, for every backend
 * (see actor_handlers.h).
 */
#include "rk_handler.h"

struct step_state {
	uint64_t count;
	uint64_t sum; /* of values: of the same messages the same, in whatever order */
	uint64_t last;
	uint64_t started;
	uint64_t history[1024]; /* by tag: changes a page here, a page there */
};

struct hop_state {
	uint64_t hops;
};

RK_BEGIN_DECLS
RK_DEVICE void step(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_DEVICE void step_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count);
RK_DEVICE void split(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_DEVICE void join(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_DEVICE void hop(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_END_DECLS

static RK_DEVICE uint64_t step_word(const struct rk_msg *msg)
{
	return *(const uint64_t *)rk_msg_payload(msg);
}

/* True for a message that counts, in one lane. */
static RK_DEVICE int step_takes(struct rk_ctx *ctx, struct step_state *s, const struct rk_msg *msg)
{
	if (rk_lane(ctx))
		return 0;
	s->started += msg->type == RK_MSG_START;
	return msg->type >= RK_MSG_PACKET;
}

static RK_DEVICE void step_note(struct step_state *s, uint32_t tag, uint64_t value)
{
	s->count++;
	s->sum += value;
	s->history[tag % 1024] += value;
}

/* What goes out depends on all that came in before: nothing may be missing, doubled or swapped. */
RK_DEVICE void step(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = (struct step_state *)state;
	uint64_t value;

	if (!step_takes(ctx, s, msg))
		return;
	value = step_word(msg);
	s->last = s->last * 31 + value;
	value += s->last;
	step_note(s, msg->tag, value);
	rk_send(ctx, 0, RK_MSG_USER, msg->tag, &value, sizeof(value));
}

RK_DEVICE void step_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		step(ctx, state, &msgs[i]);
}

/* Long and short ones, to the left and to the right. */
RK_DEVICE void split(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = (struct step_state *)state;
	uint64_t words[20] = {0};

	if (!step_takes(ctx, s, msg))
		return;
	words[0] = step_word(msg);
	step_note(s, msg->tag, words[0]);
	rk_send(ctx, msg->tag % 3 == 0, RK_MSG_USER, msg->tag, words,
		msg->tag % 5 ? 8 : sizeof(words));
}

/* The last: from two sides, so in no order. */
RK_DEVICE void join(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = (struct step_state *)state;
	uint64_t value;

	if (!step_takes(ctx, s, msg))
		return;
	value = step_word(msg);
	step_note(s, msg->tag, value);
	rk_send(ctx, 0, RK_MSG_USER, msg->tag, &value, sizeof(value));
}

/* On, as often as the message says; then out. */
RK_DEVICE void hop(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct hop_state *s = (struct hop_state *)state;
	uint64_t left;

	if (rk_lane(ctx) || msg->type < RK_MSG_PACKET)
		return;
	left = step_word(msg);
	s->hops++;
	left -= left > 0;
	rk_send(ctx, left ? 0 : 1, RK_MSG_USER, msg->tag, &left, sizeof(left));
}
