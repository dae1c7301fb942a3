// SPDX-License-Identifier: MIT
/*
 * handlers.c - the actors that are measured, as a user would write them: in the handler subset, one
 * text for every backend. The C compiler takes it with the rest of the program; for a GPU, NVRTC
 * compiles the same text at run time.
 */
#include "rk_handler.h"

/* Over a message's body, which is an array of bytes. */
typedef uint64_t payload_word __attribute__((may_alias));

enum { PAYLOAD_WORDS = RK_MSG_BODY_BYTES / 8, LANES_MOST = 512 };

static RK_DEVICE payload_word *payload_of(const struct rk_msg *msg)
{
	return (payload_word *)(uintptr_t)msg->body;
}

/* --- compute: each word of the payload times a factor, plus the tag, goes back on outbox 0 --- */

#define COMPUTE_FACTOR 6364136223846793005ull

struct compute_state {
	uint64_t messages;
};

static RK_DEVICE uint64_t computed(uint64_t word, uint32_t tag)
{
	return word * COMPUTE_FACTOR + tag;
}

static RK_DEVICE void compute_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				    uint32_t count)
{
	struct compute_state *s = (struct compute_state *)state;

	for (uint32_t i = rk_lane(ctx); i < count * PAYLOAD_WORDS; i += rk_lanes(ctx)) {
		struct rk_msg *msg = &msgs[i / PAYLOAD_WORDS];
		payload_word *word = payload_of(msg) + i % PAYLOAD_WORDS;

		*word = computed(*word, msg->tag);
	}
	count = rk_send_batch(ctx, 0, msgs, count);
	if (rk_lane(ctx) == 0)
		s->messages += count;
}

static RK_DEVICE void compute(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct compute_state *s = (struct compute_state *)state;
	uint64_t words[PAYLOAD_WORDS];

	if (rk_lane(ctx) || msg->type < RK_MSG_USER)
		return;
	for (uint32_t i = 0; i < PAYLOAD_WORDS; i++)
		words[i] = computed(payload_of(msg)[i], msg->tag);
	s->messages += (uint32_t)rk_send(ctx, 0, msg->type, msg->tag, words, sizeof(words));
}

/* --- sum: all words of all payloads, each lane its share --- */

struct sum_state {
	uint64_t messages;
	uint64_t lane_sum[LANES_MOST];
};

static RK_DEVICE void sum_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				uint32_t count)
{
	struct sum_state *s = (struct sum_state *)state;
	uint64_t sum = 0;

	for (uint32_t i = rk_lane(ctx); i < count * PAYLOAD_WORDS; i += rk_lanes(ctx))
		sum += payload_of(&msgs[i / PAYLOAD_WORDS])[i % PAYLOAD_WORDS];
	s->lane_sum[rk_lane(ctx)] += sum;
	if (rk_lane(ctx) == 0)
		s->messages += count;
}

static RK_DEVICE void sum(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct sum_state *s = (struct sum_state *)state;

	if (rk_lane(ctx) || msg->type < RK_MSG_USER)
		return;
	for (uint32_t i = 0; i < PAYLOAD_WORDS; i++)
		s->lane_sum[0] += payload_of(msg)[i];
	s->messages++;
}

/* --- What the host knows of them --- */

#ifndef __CUDACC__

#include "gpu.h"

RK_SOURCE(handlers_text, "bench/gpu/handlers.c");

const struct rk_actor_type gpu_compute = {
	.name = "compute",
	.summary = "each word of the payload times a factor, plus the tag",
	.handle = compute,
	.batch = compute_batch,
	.source = handlers_text,
	.function = "compute",
	.batch_function = "compute_batch",
	.state_bytes = sizeof(struct compute_state),
};

const struct rk_actor_type gpu_sum = {
	.name = "sum",
	.summary = "the sum of all words of all payloads",
	.handle = sum,
	.batch = sum_batch,
	.source = handlers_text,
	.function = "sum",
	.batch_function = "sum_batch",
	.state_bytes = sizeof(struct sum_state),
};

uint64_t gpu_computed(uint64_t word, uint32_t tag)
{
	return computed(word, tag);
}

uint64_t gpu_summed(const void *state)
{
	const struct sum_state *s = state;
	uint64_t all = 0;

	for (uint32_t i = 0; i < LANES_MOST; i++)
		all += s->lane_sum[i];
	return all;
}

#endif
