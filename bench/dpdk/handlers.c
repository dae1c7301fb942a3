// SPDX-License-Identifier: MIT
/*
 * handlers.c - the actor that is given heads and nothing else to do: it reads their headers,
 * verifies the checksum of each and adds up their sources, each lane its share. One text for every
 * backend, in the handler subset.
 */
#include "rk_frame.h"
#include "rk_handler.h"

typedef uint16_t half_word __attribute__((may_alias));

enum { LANES_MOST = 512, ETHERNET_BYTES = 14, IP_HALVES = 10 };

struct frame_check_state {
	uint64_t good[LANES_MOST];
	uint64_t sum[LANES_MOST];
	uint64_t frames;
};

/*
 * UDP over IPv4 without options, its checksum right: a sum of one's complement is the same in
 * either order of bytes. *@source gets the address it came from, as it lies in memory.
 */
static RK_DEVICE int is_good(const struct rk_frame_head *head, uint32_t *source)
{
	const half_word *ip = (const half_word *)(head->data + ETHERNET_BYTES);
	uint32_t sum = 0;

	for (int i = 0; i < IP_HALVES; i++)
		sum += ip[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*source = (uint32_t)ip[7] << 16 | ip[6];
	return head->data[12] == 8 && head->data[13] == 0 && head->data[14] == 0x45 &&
	       head->data[23] == 17 && head->bytes >= 42 && sum == 0xffff;
}

static RK_DEVICE void frame_check_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
					uint32_t count)
{
	struct frame_check_state *s = (struct frame_check_state *)state;
	uint64_t good = 0, sum = 0;

	for (uint32_t i = rk_lane(ctx); i < count; i += rk_lanes(ctx)) {
		uint32_t source;

		if (msgs[i].type != RK_FRAME_HEAD ||
		    !is_good((const struct rk_frame_head *)msgs[i].body, &source))
			continue;
		good++;
		sum += source;
	}
	rk_add(ctx, &s->good[rk_lane(ctx)], good);
	rk_add(ctx, &s->sum[rk_lane(ctx)], sum);
	if (rk_lane(ctx) == 0)
		rk_add(ctx, &s->frames, count);
}

/* What is no plain message is none of ours. */
static RK_DEVICE void frame_check_one(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)ctx;
	(void)state;
	(void)msg;
}

#ifndef __CUDACC__

#include "bench.h"

RK_SOURCE(handlers_text, "bench/dpdk/handlers.c");

const struct rk_actor_type frame_check = {
	.name = "frame_check",
	.summary = "verifies headers, counts and adds up",
	.handle = frame_check_one,
	.batch = frame_check_batch,
	.source = handlers_text,
	.function = "frame_check_one",
	.batch_function = "frame_check_batch",
	.state_bytes = sizeof(struct frame_check_state),
};

struct frame_check_result frame_check_result(const void *state)
{
	const struct frame_check_state *s = state;
	struct frame_check_result result = {.frames = s->frames};

	for (uint32_t i = 0; i < LANES_MOST; i++) {
		result.good += s->good[i];
		result.sum += s->sum[i];
	}
	return result;
}

#endif
