// SPDX-License-Identifier: MIT
/*
 * handlers.c - the actors that are measured, as a user would write them: in the handler subset, one
 * text for every backend. The C compiler takes it with the rest of the program; for a GPU, NVRTC
 * compiles the same text at run time.
 */
#include "rk_handler.h"
#include "rk_io.h"

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

	/* Eight lanes a message, of which two have nothing to do: so nothing is divided by six. */
	for (uint32_t i = rk_lane(ctx) / 8; i < count && rk_lane(ctx) % 8 < PAYLOAD_WORDS;
	     i += rk_lanes(ctx) / 8) {
		payload_word *word = payload_of(&msgs[i]) + rk_lane(ctx) % 8;

		*word = computed(*word, msgs[i].tag);
	}
	count = rk_send_batch(ctx, 0, msgs, count);
	if (rk_lane(ctx) == 0)
		rk_add(ctx, &s->messages, count);
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

	/* Four lanes a message, two words each, and one lane with none. */
	for (uint32_t i = rk_lane(ctx) / 4; i < count && rk_lane(ctx) % 4 < PAYLOAD_WORDS / 2;
	     i += rk_lanes(ctx) / 4) {
		const payload_word *words = payload_of(&msgs[i]) + rk_lane(ctx) % 4 * 2;

		sum += words[0] + words[1];
	}
	rk_add(ctx, &s->lane_sum[rk_lane(ctx)], sum);
	if (rk_lane(ctx) == 0)
		rk_add(ctx, &s->messages, count);
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

/* --- reader: blocks of a file, read by itself, so many at once; then it says how that went --- */

enum { READ_BYTES = 4096, READ_FILE_BYTES = 16 << 20 };

struct reader_state {
	uint64_t reads; /* done, ever */
	uint64_t count, started, done, bytes;
	uint64_t nothing; /* no-ops instead */
	struct rk_io *io;
};

static RK_DEVICE void start_read(struct reader_state *s, uint32_t tag)
{
	uint64_t offset = s->started * READ_BYTES % READ_FILE_BYTES;

	if (s->started < s->count &&
	    rk_io_submit(s->io, s->nothing ? RK_IO_NOP : RK_IO_READ, 0, offset,
			 (uint64_t)tag * READ_BYTES, s->nothing ? 0 : READ_BYTES, tag) == 1)
		s->started++;
}

/* A message says how many, and its tag how many at once. */
static RK_DEVICE void reader(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct reader_state *s = (struct reader_state *)state;
	const void *payload = rk_msg_payload(msg);

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_IO_OPEN) {
		s->io = (struct rk_io *)(uintptr_t)((const struct rk_io_open *)payload)->io;
	} else if (msg->type == RK_MSG_IO_DONE) {
		int32_t result = ((const struct rk_io_done *)payload)->result;

		s->bytes += result > 0 ? (uint32_t)result : 0;
		s->reads++;
		start_read(s, msg->tag);
		if (++s->done == s->started)
			rk_send(ctx, 0, RK_MSG_USER, 0, &s->bytes, sizeof(s->bytes));
	} else if (msg->type == RK_MSG_USER + 1) {
		rk_io_finish(s->io);
	} else if (msg->type == RK_MSG_USER || msg->type == RK_MSG_USER + 2) {
		s->nothing = msg->type != RK_MSG_USER;
		s->count = *(const uint64_t *)payload;
		s->started = s->done = s->bytes = 0;
		for (uint32_t i = 0; i < msg->tag; i++)
			start_read(s, i);
	}
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

const struct rk_actor_type gpu_reader = {
	.name = "reader",
	.summary = "reads of a file that it starts itself",
	.handle = reader,
	.source = handlers_text,
	.function = "reader",
	.state_bytes = sizeof(struct reader_state),
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
