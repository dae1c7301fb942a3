/* SPDX-License-Identifier: MIT */
/*
 * gpu_take.cuh - how a group takes messages from an inbox: eight slots a warp at once, asked for ahead
 * and judged in registers, plain ones into its cells, any other one by itself; and what it keeps an
 * eye on meanwhile.
 */
#ifndef RK_GPU_TAKE_CUH
#define RK_GPU_TAKE_CUH

#include "gpu_control.cuh"

#define RK_GATHER_POLLS 256 /* for the rest of a long message */
#define RK_WARP_SLOTS (RK_BLOCK_POLLS * RK_POLL_SLOTS) /* of a warp that is part of a block */
#define RK_BLOCK_SLOTS (RK_GPU_WARPS * RK_WARP_SLOTS)

/* A warp, or a block, as the group that calls a handler. */
struct rk_warp_group {
	static const uint32_t lanes = RK_GPU_WARP_LANES;
	static const uint32_t polls = 4; /* of a round, after which it looks what else there may be */
	static __device__ __forceinline__ void sync() { __syncwarp(); }
};

struct rk_block_group {
	static const uint32_t lanes = RK_GPU_WARPS * RK_GPU_WARP_LANES;
	static const uint32_t polls = 1;
	static __device__ __forceinline__ void sync() { __syncthreads(); }
};

/* The inbox in turn, in registers, and what lies in the group's cells. */
struct rk_gpu_turn {
	struct rk_gpu_rx rx;
	/* Of the slots at the ring's position, asked for before; a warp that is none of a block asks
	 * for the first eight only.
	 */
	struct rk_words words[RK_BLOCK_POLLS];
	bool mixed;	  /* as of the context */
	uint32_t plain;	  /* messages in the group's cells */
	uint32_t special; /* the next one is there, but is not plain */
	uint32_t told;	  /* there is something else to do; in one lane, then in all */
};

static __device__ __forceinline__ struct rk_gpu_shared *rk_shared()
{
	extern __shared__ uint8_t rk_block_memory[];

	return (struct rk_gpu_shared *)rk_block_memory;
}

/* --- Taking messages --- */

/* Ask for the eight slots at the ring's position. */
static __device__ __forceinline__ void rk_ask(struct rk_warp_group, struct rk_gpu_turn *turn,
					      uint32_t lane)
{
	rk_poll_load(&turn->words[0], &turn->rx, turn->rx.position, lane, turn->mixed);
}

/* Ask for those from @ahead behind the ring's position on. */
static __device__ __forceinline__ void rk_ask_ahead(struct rk_gpu_turn *turn, uint32_t lane,
						    uint32_t ahead)
{
	uint64_t position =
		turn->rx.position + ahead + lane / RK_GPU_WARP_LANES * RK_WARP_SLOTS;

#pragma unroll
	for (uint32_t i = 0; i < RK_BLOCK_POLLS; i++)
		rk_poll_load(&turn->words[i], &turn->rx, position + i * RK_POLL_SLOTS,
			     lane % RK_GPU_WARP_LANES, turn->mixed);
}

static __device__ __forceinline__ void rk_ask(struct rk_block_group, struct rk_gpu_turn *turn,
					      uint32_t lane)
{
	rk_ask_ahead(turn, lane, 0);
}

/*
 * Ask for the slots behind those that were just found; the position is theirs. A block has asked
 * already for those behind its full reach (rk_poll()).
 */
static __device__ __forceinline__ void rk_ask_next(struct rk_warp_group group,
						   struct rk_gpu_turn *turn, uint32_t lane)
{
	rk_ask(group, turn, lane);
}

static __device__ __forceinline__ void rk_ask_next(struct rk_block_group group,
						   struct rk_gpu_turn *turn, uint32_t lane)
{
	if (turn->plain != RK_BLOCK_SLOTS)
		rk_ask(group, turn, lane);
}

/*
 * Judge what was asked for, and while nothing is there ask again, @looks times in all: a loop of a
 * dozen instructions, for a warp needs some five cycles for each, and what comes meanwhile waits.
 * Return: whether plain messages lie in the cells.
 */
static __device__ __forceinline__ bool rk_poll(struct rk_warp_group group, struct rk_ctx *ctx,
					       struct rk_gpu_turn *turn, uint8_t *cells, uint32_t looks)
{
	const struct rk_gpu_rx *rx = &turn->rx;
	uint64_t tag = rk_tag_at(rx->position + ctx->lane / 4, rx->capacity_log2);
	uint32_t there = rk_poll_there(tag, turn->words[0]), plain;

	while (!rk_has_first(there) && --looks) {
		rk_ask(group, turn, ctx->lane);
		there = rk_poll_there(tag, turn->words[0]);
	}
	plain = rk_poll_plain(there, ctx->lane, turn->words[0]);
	if (!rk_has_first(plain)) {
		turn->special = rk_has_first(there);
		return false;
	}
	turn->plain = rk_leading_slots(plain);
	if (ctx->lane / 4 < turn->plain)
		rk_put_cell(cells, ctx->lane, turn->words[0]);
	__syncwarp();
	return true;
}

#define RK_SAYS_SPECIAL 0x100
#define RK_SAYS_TOLD	0x200

/* What one warp of a block finds: plain slots at the front of its own, RK_SAYS_. */
static __device__ __forceinline__ uint32_t rk_judge_warp(struct rk_gpu_turn *turn, uint64_t position,
							 uint32_t in_warp, uint8_t *cells)
{
	uint32_t says = 0;

#pragma unroll
	for (uint32_t i = 0; i < RK_BLOCK_POLLS; i++) {
		struct rk_found found = rk_poll_judge(&turn->rx, position + i * RK_POLL_SLOTS,
						      in_warp, turn->words[i]);

		/* What is behind a hole is put too, and counts for nothing. */
		rk_put_cell(cells + i * RK_POLL_SLOTS * RK_CELL_BYTES, in_warp, turn->words[i]);
		if (says != i * RK_POLL_SLOTS)
			continue;
		says += rk_leading_slots(found.plain);
		if (rk_leading_slots(found.there) > says - i * RK_POLL_SLOTS)
			says |= RK_SAYS_SPECIAL;
	}
	return says;
}

/* A block's: each warp its slots; what counts is the run without a hole. */
static __device__ __forceinline__ bool rk_poll(struct rk_block_group, struct rk_ctx *ctx,
					       struct rk_gpu_turn *turn, uint8_t *cells, uint32_t)
{
	uint32_t warp = ctx->lane / RK_GPU_WARP_LANES, in_warp = ctx->lane % RK_GPU_WARP_LANES;
	/* A ring shorter than the block's reach: who is beyond it would see first slots again. */
	uint32_t capacity = 1u << turn->rx.capacity_log2, first = warp * RK_WARP_SLOTS, left;
	uint32_t *each = rk_shared()->plain[ctx->turn++ % 2], full, last, mine;

	mine = rk_judge_warp(turn, turn->rx.position + first, in_warp,
			     cells + first * RK_CELL_BYTES);
	left = first < capacity ? capacity - first : 0;
	if ((mine & 0xff) > left || !left)
		mine = left;
	/* Into the same registers, always: a choice would wait for what was loaded. */
	rk_ask_ahead(turn, ctx->lane, RK_BLOCK_SLOTS);
	if (warp == 0 && __any_sync(RK_FULL_WARP, turn->told))
		mine |= RK_SAYS_TOLD;
	if (in_warp == 0)
		each[warp] = mine;
	__syncthreads();
	last = in_warp < RK_GPU_WARPS ? each[in_warp] : 0;
	full = __ballot_sync(RK_FULL_WARP, (last & 0xff) == RK_WARP_SLOTS);
	full = (uint32_t)__ffs((int)~full) - 1; /* warps that are full, from the first on */
	turn->told = __shfl_sync(RK_FULL_WARP, last, 0) & RK_SAYS_TOLD;
	last = __shfl_sync(RK_FULL_WARP, last, (int)full);
	turn->plain = full * RK_WARP_SLOTS + (last & 0xff);
	turn->special = last & RK_SAYS_SPECIAL;
	return turn->plain;
}

/* Slots of the special message of @head, its first word; 0 if no producer of ours can have sent it. */
static __device__ uint32_t rk_special_slots(const struct rk_gpu_rx *rx, uint32_t head)
{
	uint32_t slots = head >> 24;

	if (slots > rk_max_slots(rx->capacity_log2) || head >> 16 & 0xff & ~RK_MSG_F_ALL)
		return 0;
	return slots;
}

/* Copy @slots cells to @out; false when some have not come yet. All lanes of one warp. */
static __device__ bool rk_gather(const struct rk_gpu_rx *rx, uint32_t slots, uint8_t *out,
				 uint32_t lane)
{
	uint32_t done = 0;

	for (uint32_t polls = 0; done < slots && polls < RK_GATHER_POLLS; polls++) {
		uint64_t position = rx->position + done;
		struct rk_words words;
		uint32_t now;

		rk_poll_load(&words, rx, position, lane, true);
		now = rk_leading_slots(rk_poll_judge(rx, position, lane, words).there);
		now = now < slots - done ? now : slots - done;
		if (lane / 4 < now)
			rk_put_cell(out + done * RK_CELL_BYTES, lane, words);
		done += now;
	}
	__syncwarp();
	return done == slots;
}

enum rk_gpu_special {
	RK_SPECIAL_LATER,
	RK_SPECIAL_PADDING,
	RK_SPECIAL_PASSED,
	RK_SPECIAL_MESSAGE,
	RK_SPECIAL_CLOSED,
};

/*
 * Deal with the message at the ring's position that is not plain. The group's first warp, all
 * lanes. Return: slots << 8 | enum rk_gpu_special; RK_SPECIAL_MESSAGE: it lies in scratch->longer.
 */
static __device__ __noinline__ uint32_t rk_take_special(struct rk_gpu_desk *desk, struct rk_gpu_rx rx,
							uint32_t lane)
{
	struct rk_words words;
	uint32_t head, type, slots;
	bool beyond;

	rk_poll_load(&words, &rx, rx.position, lane, true);
	head = (uint32_t)__shfl_sync(RK_FULL_WARP, words.w0, 0);
	type = head & 0xffff;
	slots = rk_special_slots(&rx, head);
	/* No producer sends beyond its credit: so padding ends, whoever writes. */
	beyond = rx.position + slots - rx.credited > 1ull << rx.capacity_log2;
	if (!slots || (type == RK_MSG_PAD && beyond)) {
		if (lane == 0)
			rk_refuse(&rx, RK_CLOSE_BAD_HEADER);
		return RK_SPECIAL_CLOSED;
	}
	if (type == RK_MSG_PAD)
		return slots << 8 | RK_SPECIAL_PADDING;
	if (!rk_gather(&rx, slots, desk->scratch->longer, lane))
		return RK_SPECIAL_LATER;
	/* It stays in the ring, never given back: whoever comes later meets it. */
	if (type == RK_MSG_CLOSED)
		return slots << 8 | RK_SPECIAL_CLOSED;
	return slots << 8 | (type < RK_MSG_PACKET ? RK_SPECIAL_PASSED : RK_SPECIAL_MESSAGE);
}

/*
 * What else to keep an eye on while one inbox is polled: lane 0 the host's word, lane 1 + i the first
 * word of the next slot of inbox i, the lane behind those what the kernel has completed of the actor's
 * own I/O. Each is one load, and judged when the next is asked for, so that
 * no message waits for it: by a warp, only while nothing comes.
 */
enum rk_gpu_watched {
	RK_WATCH_NOTHING,
	RK_WATCH_HOST, /* a word like what is expected is no news */
	RK_WATCH_SLOT, /* a word of its tag is */
	RK_WATCH_IO,   /* as the first, by one half of the word: that of the address */
};

struct rk_gpu_watch {
	uint64_t address;
	uint64_t expected;
	uint64_t seen;
	uint32_t shared;
	uint32_t what; /* enum rk_gpu_watched */
};

static __device__ __forceinline__ void rk_watch_begin(struct rk_gpu_watch *watch,
						      const struct rk_gpu_desk *desk, uint32_t lane,
						      uint32_t polled)
{
	const struct rk_gpu_rx *rx = &desk->rx[lane - 1];

	watch->what = lane == 0 ? RK_WATCH_HOST : RK_WATCH_NOTHING;
	watch->shared = RK_SHARED_NOT;
	watch->address = desk->seat + offsetof(struct rk_gpu_seat, word);
	watch->expected = watch->seen = desk->host_word;
	if (lane >= 1 && lane <= desk->inboxes && lane - 1 != polled && !rx->closed) {
		watch->what = RK_WATCH_SLOT;
		watch->address = rk_slot_at(rx->slots, rx->position, rx->capacity_log2);
		watch->expected = rk_tag_at(rx->position, rx->capacity_log2);
		watch->seen = ~watch->expected;
		watch->shared = rx->shared;
	} else if (desk->io && lane == desk->inboxes + 1) {
		watch->what = RK_WATCH_IO;
		watch->address = (uint64_t)rk_io_word(desk->io, desk->io->cq_tail);
		watch->expected = (uint64_t)desk->io->cq_next << 32 | desk->io->cq_next;
		watch->seen = watch->expected;
	}
}

/* Whether there was something to see. */
static __device__ __forceinline__ bool rk_watch_judge(const struct rk_gpu_watch *watch, uint32_t lane)
{
	uint64_t differs = watch->seen ^ watch->expected;

	if (watch->what == RK_WATCH_IO)
		return (uint32_t)(differs >> (watch->address & 4) * 8) != 0;
	return watch->what && (lane == 0 ? differs != 0 : !(differs & RK_WORD_TAG_MASK));
}

static __device__ __forceinline__ void rk_watch_ask(struct rk_gpu_watch *watch, bool mixed)
{
	if (watch->what)
		rk_load_word_of(&watch->seen, watch->address & ~7ull, watch->shared, mixed);
}

/* Judge what was asked for, and ask anew. One warp. */
static __device__ __forceinline__ bool rk_watch(struct rk_gpu_watch *watch, uint32_t lane, bool mixed)
{
	bool found = rk_watch_judge(watch, lane);

	rk_watch_ask(watch, mixed);
	return found;
}

#endif
