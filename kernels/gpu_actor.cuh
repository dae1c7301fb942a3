/* SPDX-License-Identifier: MIT */
/*
 * gpu_actor.cuh - an actor at its seat: the context that its handler is given, and what it sends.
 *
 * The desk, in shared memory, holds the state of things; the leader (lane 0 of the group) works on
 * it alone, and what the others read of it was written before a barrier of the group. While plain
 * messages flow, the loop of gpu_run.cuh holds what they need in registers, the same in every lane
 * but for what is staged: one inbox, and one outbox, which the context has while it is @hot; the
 * desk's copy is stale then.
 *
 * A call, or the context's address given away, would push all of that out of the registers. So what
 * a handler may run into is inlined, the rarest of it too, and takes the desk; the rest of the seat's
 * work is called from outside the loop.
 */
#ifndef RK_GPU_ACTOR_CUH
#define RK_GPU_ACTOR_CUH

#include "gpu_ring.cuh"
#include "rk_handler.h"
#include "rk_io.h"

#define RK_BLOCK_POLLS 2 /* of each warp of a block actor, one behind the other: 256 slots */
#define RK_STAGING_CELLS 16
#define RK_SQUEEZE_CELLS 256 /* of what waits, before the gaps in it are closed */
#define RK_STAGING_FULL 8 /* from so many on, what is staged is stored before the next message */

/*
 * One end of a link, as far as plain messages have nothing to do with it (gpu_flow.cuh). The leader's.
 * @flow: address of struct rk_gpu_flow; 0: nobody wants to know
 * @pinned: cells from the first that waits to the end of the last that is the runtime's own
 */
struct rk_gpu_end {
	uint64_t flow;
	struct rk_gpu_tx dead; /* letters; slots 0: none are kept */
	uint32_t full;	       /* enum rk_gpu_full */
	uint32_t backlog;
	uint32_t high_slots;
	uint32_t low_slots;
	uint32_t pinned;
	uint32_t unused;
	struct rk_gpu_flow_counts counts;
};

/* One actor's part of device memory. */
struct rk_gpu_scratch {
	uint8_t longer[RK_GPU_LONG_CELLS * RK_CELL_BYTES];   /* a message of several cells */
	uint8_t outgoing[RK_GPU_LONG_CELLS * RK_CELL_BYTES]; /* one that is sent */
	uint8_t waiting_to[RK_GPU_WAITING];		     /* outbox of each cell; 0xff: sent */
	uint8_t waiting[RK_GPU_WAITING * RK_CELL_BYTES];
	struct rk_gpu_end in[RK_GPU_LINKS];
	struct rk_gpu_end out[RK_GPU_LINKS];
};

RK_STATIC_ASSERT(offsetof(struct rk_gpu_scratch, outgoing) == RK_GPU_OUTGOING_AT, "as the host has it");

/*
 * One group's part of shared memory. From @rx on it is the actor's, which takes it along to another
 * seat; from @seat on the warp's own, whatever sits there.
 */
struct rk_gpu_desk {
	uint8_t staging[RK_STAGING_CELLS * RK_CELL_BYTES]; /* sent by the handler, not yet stored */
	struct rk_gpu_rx rx[RK_GPU_LINKS];
	struct rk_gpu_tx tx[RK_GPU_LINKS];
	struct rk_gpu_counters counters;
	struct rk_gpu_grant grant[RK_GPU_GRANTS];
	struct rk_gpu_spawn spawn;
	struct rk_msg control; /* the runtime's own message, for the handler */
	uint32_t inboxes;
	uint32_t outboxes;
	uint32_t grants;
	uint16_t flowing; /* outboxes that have policies, by their bits; and those with levels */
	uint16_t levels;
	uint32_t kept;	  /* all that waits is backlog, for which nobody waits */
	uint32_t news;	  /* of links' counts, for the host */
	uint32_t hot_outbox; /* the one that was sent to last */
	uint32_t next_inbox; /* to be looked at */
	uint32_t mixed;	     /* a link lies in shared memory */
	uint32_t phase;
	uint32_t hurry;
	uint32_t dropping; /* in a hurry something was dropped: so is all that follows */
	uint32_t started;  /* it has had its RK_MSG_START, or was given a state that had */
	uint32_t obeyed;   /* control messages, and how many of them the host knows of */
	uint32_t answered;
	uint32_t event;	   /* what the whole group has to do for the last one: enum rk_gpu_event */
	uint64_t event_at; /* the device address that it named */
	struct rk_gpu_cut cut; /* a snapshot, while it is taken: inboxes whose marker is to come */
	struct rk_io *io;  /* the ring for its own I/O, or NULL */
	uint32_t waiting_first; /* cells, a ring of RK_GPU_WAITING */
	uint32_t waiting_cells;
	uint64_t share[2]; /* what the leader tells the group, in turns */
	struct rk_gpu_scratch *scratch;
	uint64_t seat; /* addresses of struct rk_gpu_seat, rk_gpu_marker, rk_gpu_status */
	uint64_t marker;
	uint64_t status;
	uint64_t clock; /* address of struct rk_gpu_clock_line */
	uint64_t control_position; /* in slots, and in messages */
	uint64_t control_taken;
	uint64_t host_word; /* as last read */
	uint64_t beat;
};

#define RK_PARCEL_AT	offsetof(struct rk_gpu_desk, rx)
#define RK_PARCEL_WORDS ((offsetof(struct rk_gpu_desk, seat) - RK_PARCEL_AT) / 8)

/* A block's shared memory; the rings between its actors follow, aligned as slots are. */
struct RK_ALIGNED(RK_SLOT_BYTES) rk_gpu_shared {
	uint8_t cells[RK_GPU_WARPS][RK_BLOCK_POLLS * RK_POLL_SLOTS * RK_CELL_BYTES];
	struct rk_gpu_desk desk[RK_GPU_WARPS];
	uint32_t plain[2][RK_GPU_WARPS];
	uint32_t block_serial; /* of the block actor that all warps are to run: atomic */
};

struct rk_ctx {
	struct rk_gpu_desk *desk;
	const struct rk_msg *current;
	uint32_t lanes;
	uint32_t lane;
	uint32_t turn;	 /* counts up; its last bit picks one of two copies in shared memory */
	bool mixed;	 /* rings may lie in shared memory: known when it is compiled */
	bool hot;	 /* @out is the outbox @to, which is open, and nothing waits */
	uint32_t to;
	struct rk_gpu_tx out;
	uint32_t sent;	 /* messages, and slots, not yet in the desk's counters */
	uint32_t sent_slots;
	uint32_t staged; /* the leader's: cells and messages for @to */
	uint32_t staged_messages;
	bool slow;	 /* something waits; the leader's until rk_flush() */
};

extern "C" __device__ __forceinline__ uint32_t rk_lane(const struct rk_ctx *ctx)
{
	return ctx->lane;
}

extern "C" __device__ __forceinline__ uint32_t rk_lanes(const struct rk_ctx *ctx)
{
	return ctx->lanes;
}

extern "C" __device__ __forceinline__ void rk_add(const struct rk_ctx *ctx, uint64_t *sum,
						  uint64_t amount)
{
	(void)ctx;
	rk_add_to(sum, amount);
}

extern "C" __device__ __forceinline__ int rk_any(struct rk_ctx *ctx, int said)
{
	if (ctx->lanes != RK_GPU_WARP_LANES)
		return __syncthreads_or(said);
	__syncwarp();
	return __any_sync(RK_FULL_WARP, said);
}

extern "C" __device__ __forceinline__ void rk_acquire(const struct rk_ctx *ctx)
{
	/* Of the caches as well: a buffer is used for one frame after another. */
	(void)ctx;
	rk_fence();
}

extern "C" __device__ __forceinline__ void *rk_reach(struct rk_ctx *ctx, uint64_t address,
						     uint64_t bytes)
{
	struct rk_gpu_desk *desk = ctx->desk;
	bool reached = !desk->spawn.tenant;

#pragma unroll 1
	for (uint32_t i = 0; i < desk->grants && !reached; i++)
		reached = rk_gpu_grants(&desk->grant[i], address, bytes);
	if (!reached)
		atomicAdd((unsigned long long *)&desk->counters.refused, 1ull);
	return reached ? (void *)address : NULL;
}

/* What the leader says, in every lane. */
static __device__ __forceinline__ uint64_t rk_agree(struct rk_ctx *ctx, uint64_t said)
{
	if (ctx->lanes == RK_GPU_WARP_LANES)
		return __shfl_sync(RK_FULL_WARP, said, 0);
	if (ctx->lane == 0)
		ctx->desk->share[ctx->turn % 2] = said;
	__syncthreads();
	return ctx->desk->share[ctx->turn++ % 2];
}

/* A short word of the leader's, likewise. */
static __device__ __forceinline__ uint32_t rk_agree_short(struct rk_ctx *ctx, uint32_t said)
{
	if (ctx->lanes == RK_GPU_WARP_LANES)
		return __shfl_sync(RK_FULL_WARP, said, 0);
	return (uint32_t)rk_agree(ctx, said);
}

/* Whether the leader says so, in every lane. */
static __device__ __forceinline__ bool rk_leader_says(const struct rk_ctx *ctx, bool said)
{
	said = said && ctx->lane == 0;
	return ctx->lanes == RK_GPU_WARP_LANES ? __any_sync(RK_FULL_WARP, said) :
						 __syncthreads_or(said);
}

/* What the host's word says of hurry, if that is about this actor. */
static __device__ __forceinline__ uint32_t rk_hurry_in(const struct rk_gpu_desk *desk, uint64_t word)
{
	return (uint32_t)word >> 8 == (desk->spawn.serial & 0xffffff) ? (uint32_t)word & 0xff : 0;
}

/* Neither a pause nor draining is a hurry. */
static __device__ __forceinline__ uint32_t rk_hurry_for(const struct rk_gpu_desk *desk, uint64_t word)
{
	uint32_t hurry = rk_hurry_in(desk, word);

	return hurry == RK_GPU_PAUSE || hurry == RK_GPU_DRAIN ? RK_GPU_PATIENT : hurry;
}

static __device__ __forceinline__ uint64_t rk_host_word(const struct rk_gpu_desk *desk)
{
	return rk_load_word(desk->seat + offsetof(struct rk_gpu_seat, word));
}

static __device__ __forceinline__ void rk_beat(struct rk_gpu_desk *desk)
{
	rk_store_word(desk->status + offsetof(struct rk_gpu_status, beat), ++desk->beat);
}

/* --- What waits: the leader's alone --- */

static __device__ __forceinline__ uint64_t *rk_waiting_cell(struct rk_gpu_desk *desk, uint32_t index)
{
	return (uint64_t *)(desk->scratch->waiting + index % RK_GPU_WAITING * RK_CELL_BYTES);
}

/* Leave the cells that were sent behind; nothing waits before them. */
static __device__ __forceinline__ void rk_drop_sent(struct rk_gpu_desk *desk)
{
	while (desk->waiting_cells &&
	       desk->scratch->waiting_to[desk->waiting_first % RK_GPU_WAITING] == 0xff) {
		desk->waiting_first++;
		desk->waiting_cells--;
	}
}

/* A message for outbox @to is dropped. */
static __device__ __forceinline__ void rk_count_drop(struct rk_gpu_desk *desk, uint32_t to, uint32_t why)
{
	struct rk_gpu_counters *counters = &desk->counters;

	counters->dropped_no_outbox += why == RK_GPU_NO_OUTBOX;
	counters->dropped_closed += why == RK_GPU_CLOSED;
	counters->dropped_stopped += why == RK_GPU_STOPPED;
	counters->dropped_full += why == RK_GPU_FULL;
	counters->dropped_old += why == RK_GPU_OLD;
	if (why != RK_GPU_NO_OUTBOX && to < desk->outboxes) {
		desk->scratch->out[to].counts.dropped[why]++;
		desk->news = 1;
	}
}

/* The same, where nobody can stay to write its letter. */
static __device__ __forceinline__ void rk_drop_unkept(struct rk_gpu_desk *desk, uint32_t to, uint32_t why)
{
	rk_count_drop(desk, to, why);
	if (to < desk->outboxes && desk->flowing >> to & 1)
		desk->scratch->out[to].counts.dead_lost += desk->scratch->out[to].dead.slots != 0;
}

/* Send one waiting message if there is room. Return: enum rk_gpu_fate. */
static __device__ __forceinline__ uint32_t rk_send_waiting(struct rk_gpu_desk *desk, uint32_t index,
							   uint32_t slots)
{
	uint32_t to = desk->scratch->waiting_to[index % RK_GPU_WAITING];
	struct rk_gpu_tx *tx = &desk->tx[to];

	if (to >= desk->outboxes)
		return RK_GPU_NO_OUTBOX;
	if (!desk->dropping && rk_tx_room(tx, slots) >= slots) {
		for (uint32_t i = 0; i < slots; i++)
			rk_store_cell(tx, tx->position + i, rk_waiting_cell(desk, index + i));
		tx->position += slots;
		desk->counters.sent++;
		desk->counters.sent_slots += slots;
		return RK_GPU_SENT;
	}
	if (tx->closed)
		return RK_GPU_CLOSED;
	/* In a hurry, what finds no room is dropped, and all that comes after it: no message is missing
	 * before one that is there.
	 */
	if (!desk->hurry)
		return RK_GPU_WAITS;
	desk->dropping = 1;
	return RK_GPU_STOPPED;
}

/* It waits no more. */
static __device__ __forceinline__ void rk_leave_waiting(struct rk_gpu_desk *desk, uint32_t index,
							uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++)
		desk->scratch->waiting_to[(index + i) % RK_GPU_WAITING] = 0xff;
}

/*
 * Room for @cells more to wait. The queue is long; a handler that sends still more in one call
 * waits here for its consumers, the first in the queue first, as long as nobody is in a hurry and
 * their link does not drop.
 */
static __device__ __forceinline__ void rk_waiting_room(struct rk_gpu_desk *desk, uint32_t cells)
{
	while (rk_unlikely(desk->waiting_cells + cells > RK_GPU_WAITING)) {
		uint32_t slots = (uint32_t)(*rk_waiting_cell(desk, desk->waiting_first) >> 24 & 0xff);
		uint32_t to = desk->scratch->waiting_to[desk->waiting_first % RK_GPU_WAITING], fate;

		desk->hurry = rk_hurry_for(desk, rk_host_word(desk));
		fate = rk_send_waiting(desk, desk->waiting_first, slots);
		if (fate == RK_GPU_WAITS && desk->flowing >> to & 1 && desk->scratch->out[to].full)
			fate = desk->scratch->out[to].full == RK_GPU_DROP_NEWEST ? RK_GPU_FULL :
										   RK_GPU_OLD;
		if (fate == RK_GPU_WAITS) {
			rk_beat(desk);
			continue;
		}
		if (fate != RK_GPU_SENT)
			rk_drop_unkept(desk, to, fate);
		rk_leave_waiting(desk, desk->waiting_first, slots);
		rk_drop_sent(desk);
	}
}

/* Put a message behind those that wait. */
static __device__ __forceinline__ void rk_append(struct rk_gpu_desk *desk, uint32_t to,
						 const uint8_t *cells, uint32_t slots)
{
	rk_waiting_room(desk, slots);
	if (desk->dropping) {
		rk_drop_unkept(desk, to, RK_GPU_STOPPED);
		return;
	}
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t index = desk->waiting_first + desk->waiting_cells++;
		const uint64_t *from = (const uint64_t *)(cells + i * RK_CELL_BYTES);

#pragma unroll 1
		for (uint32_t word = 0; word < 7; word++)
			rk_waiting_cell(desk, index)[word] = from[word];
		desk->scratch->waiting_to[index % RK_GPU_WAITING] = (uint8_t)to;
	}
}

/* Put the @staged cells, all for outbox @to, behind what waits. */
static __device__ __forceinline__ void rk_spill(struct rk_gpu_desk *desk, uint32_t staged, uint32_t to)
{
	for (uint32_t i = 0; i < staged;) {
		const uint8_t *cell = desk->staging + i * RK_CELL_BYTES;
		uint32_t slots = cell[offsetof(struct rk_msg, slots)];

		rk_append(desk, to, cell, slots);
		i += slots;
	}
}

/* --- One outbox, in registers or at the desk --- */

/* Write it back; the desk is right from here on. The leader. */
static __device__ __forceinline__ void rk_settle(struct rk_ctx *ctx)
{
	struct rk_gpu_desk *desk = ctx->desk;

	if (ctx->hot) {
		desk->tx[ctx->to].position = ctx->out.position;
		desk->tx[ctx->to].limit = ctx->out.limit;
		desk->tx[ctx->to].closed = ctx->out.closed;
	}
	desk->counters.sent += ctx->sent;
	desk->counters.sent_slots += ctx->sent_slots;
	ctx->sent = ctx->sent_slots = 0;
	ctx->hot = false;
}

/* Take it up, where it is open and nothing waits. All lanes, behind a barrier. */
static __device__ __forceinline__ void rk_hold(struct rk_ctx *ctx)
{
	const struct rk_gpu_desk *desk = ctx->desk;

	ctx->to = desk->hot_outbox;
	ctx->out = desk->tx[ctx->to];
	if (!ctx->mixed)
		ctx->out.shared = RK_SHARED_NOT;
	ctx->hot = ctx->to < desk->outboxes && !desk->waiting_cells && !desk->dropping &&
		   !ctx->out.closed;
	ctx->sent = ctx->sent_slots = 0;
}

/* Room for @wanted slots in the hot outbox. All lanes; the same answer in each. */
static __device__ __forceinline__ bool rk_hot_room(struct rk_ctx *ctx, uint32_t wanted)
{
	struct rk_words now = {0, 0};

	if (!ctx->hot || rk_likely((uint32_t)(ctx->out.limit - ctx->out.position) >= wanted))
		return ctx->hot;
	if (ctx->lane == 0)
		rk_load_words_of(&now, *(volatile uint64_t *)&ctx->desk->tx[ctx->to].credit,
				 ctx->out.shared, ctx->mixed);
	now.w0 = rk_agree(ctx, now.w0);
	now.w1 = rk_agree(ctx, now.w1);
	rk_believe(&ctx->out, now);
	return !ctx->out.closed && ctx->out.limit - ctx->out.position >= wanted;
}

/* --- Sending --- */

/* Eight bytes from @from, of which the first @bytes count. */
static __device__ __forceinline__ uint64_t rk_load_bytes(const uint8_t *from, uint32_t bytes)
{
	uint64_t word = 0;

	for (uint32_t i = 0; i < bytes; i++)
		word |= (uint64_t)from[i] << (8 * i);
	return word;
}

/* The message as it goes out: the current one's extensions, the payload, zeros to the end. */
static __device__ __forceinline__ void rk_build(uint8_t *out, const struct rk_msg *current,
						uint32_t slots, uint16_t type, uint32_t tag,
						const void *payload, uint32_t bytes)
{
	uint32_t front = rk_msg_extension_bytes(current->flags) / 8, at = 1 + front, i;
	const uint64_t *extension = (const uint64_t *)current->body;
	const uint8_t *from = (const uint8_t *)payload;
	uint64_t *words = (uint64_t *)out;

	words[0] = (uint64_t)tag << 32 | slots << 24 | (uint32_t)current->flags << 16 | type;
	for (i = 0; i < front; i++)
		words[1 + i] = extension[i];
	if (rk_likely((uintptr_t)payload % 8 == 0 && bytes == RK_MSG_BODY_BYTES && !front)) {
		/* One full cell, all of whose words are asked for before the first is stored. */
#pragma unroll
		for (i = 0; i < RK_MSG_BODY_BYTES / 8; i++)
			words[1 + i] = ((const uint64_t *)payload)[i];
		return;
	}
	if ((uintptr_t)payload % 8 == 0) {
		for (i = 0; i < bytes / 8; i++)
			words[at++] = ((const uint64_t *)payload)[i];
	} else {
		for (i = 0; i < bytes / 8; i++)
			words[at++] = rk_load_bytes(from + 8 * i, 8);
	}
	if (bytes % 8)
		words[at++] = rk_load_bytes(from + bytes / 8 * 8, bytes % 8);
	while (at < slots * 7)
		words[at++] = 0;
}

/*
 * Whether an outbox takes messages. One that is not known may still be in the control ring, for a
 * link is made before what it is made for is sent: what is for it waits, and is dropped if the ring
 * did not name it.
 */
static __device__ __forceinline__ bool rk_takes(struct rk_gpu_desk *desk, uint32_t outbox,
						uint32_t slots, uint32_t messages)
{
	if (outbox >= desk->outboxes) {
		if (rk_host_word(desk) >> 32 != (uint32_t)desk->control_taken &&
		    outbox < RK_GPU_LINKS)
			return true;
		desk->counters.dropped_no_outbox += messages;
		return false;
	}
	if (slots > rk_max_slots(desk->tx[outbox].capacity_log2)) {
		desk->counters.dropped_bad += messages;
		return false;
	}
	/* Where letters may be kept, by way of the queue. */
	if (desk->tx[outbox].closed && !(desk->flowing >> outbox & 1)) {
		desk->counters.dropped_closed += messages;
		desk->scratch->out[outbox].counts.dropped[RK_GPU_CLOSED] += messages;
		desk->news = 1;
		return false;
	}
	return true;
}

/*
 * Send by way of the queue of what waits: a long message, or one whose outbox is not the one that
 * the context holds. The leader, settled. Return as rk_send().
 */
static __device__ __forceinline__ int rk_send_slowly(struct rk_gpu_desk *desk,
						     const struct rk_msg *current, uint32_t outbox,
						     uint16_t type, uint32_t tag, const void *payload,
						     uint32_t bytes)
{
	uint32_t slots = rk_msg_cells(current->flags, bytes);

	if (type < RK_MSG_PACKET || bytes > RK_MSG_MAX_SLOTS * RK_CELL_BYTES ||
	    slots > RK_MSG_MAX_SLOTS) {
		desk->counters.dropped_bad++;
		return 0;
	}
	if (!rk_takes(desk, outbox, slots, 1))
		return 0;
	rk_build(desk->scratch->outgoing, current, slots, type, tag, payload, bytes);
	rk_append(desk, outbox, desk->scratch->outgoing, slots);
	desk->hot_outbox = outbox;
	return 1;
}

extern "C" __device__ __forceinline__ int rk_send(struct rk_ctx *ctx, uint32_t outbox,
						  uint16_t type, uint32_t tag, const void *payload,
						  uint32_t bytes)
{
	uint32_t slots = rk_msg_cells(ctx->current->flags, bytes);
	struct rk_gpu_desk *desk = ctx->desk;

	if (rk_likely(ctx->hot && outbox == ctx->to && type >= RK_MSG_PACKET &&
		      slots <= RK_STAGING_CELLS - ctx->staged &&
		      slots <= rk_max_slots(ctx->out.capacity_log2))) {
		rk_build(desk->staging + ctx->staged * RK_CELL_BYTES, ctx->current, slots, type, tag,
			 payload, bytes);
		ctx->staged += slots;
		ctx->staged_messages++;
		return 1;
	}
	rk_settle(ctx);
	rk_spill(desk, ctx->staged, ctx->to);
	ctx->staged = ctx->staged_messages = 0;
	ctx->slow = true;
	return rk_send_slowly(desk, ctx->current, outbox, type, tag, payload, bytes);
}

static __device__ __noinline__ int rk_send_called(struct rk_ctx *ctx, uint32_t outbox, uint16_t type,
						  uint32_t tag, const void *payload, uint32_t bytes)
{
	return rk_send(ctx, outbox, type, tag, payload, bytes);
}

/*
 * After the handler, in every lane: what the leader staged leaves, unless it is little and not the
 * @last. Where the leader had to settle, or there is no room, it goes by the queue, and nobody holds
 * an outbox any more.
 */
static __device__ __forceinline__ void rk_flush(struct rk_ctx *ctx, bool last)
{
	uint32_t said, staged;

	said = rk_agree_short(ctx, (uint32_t)ctx->slow << 31 | ctx->staged_messages << 8 | ctx->staged);
	if (!said)
		return;
	staged = said & 0xff;
	ctx->slow = said >> 31;
	if (!ctx->slow && !last && staged < RK_STAGING_FULL)
		return;
	if (rk_likely(!ctx->slow && rk_hot_room(ctx, staged))) {
		if (ctx->lane < RK_GPU_WARP_LANES)
			rk_store_cells(&ctx->out, ctx->out.position, ctx->desk->staging, staged,
				       ctx->lane, RK_GPU_WARP_LANES);
		ctx->out.position += staged;
		ctx->sent += said >> 8 & 0xff;
		ctx->sent_slots += staged;
	} else {
		if (ctx->lane == 0) {
			rk_settle(ctx);
			rk_spill(ctx->desk, staged, ctx->to);
		}
		ctx->hot = false;
		ctx->slow = true;
	}
	ctx->staged = ctx->staged_messages = 0;
}

/* The leader's: let a batch wait, or drop it. Return as rk_send_batch(). */
static __device__ __forceinline__ uint32_t rk_batch_slowly(struct rk_gpu_desk *desk, uint32_t outbox,
							   const uint8_t *cells, uint32_t count)
{
	if (!rk_takes(desk, outbox, 1, count))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		rk_append(desk, outbox, cells + i * RK_CELL_BYTES, 1);
	desk->hot_outbox = outbox;
	return count;
}

extern "C" __device__ __forceinline__ uint32_t rk_send_batch(struct rk_ctx *ctx, uint32_t outbox,
							     const struct rk_msg *msgs,
							     uint32_t count)
{
	const uint8_t *cells = (const uint8_t *)msgs;

	/* The lanes may have written them: in a block, what the leader says is behind a barrier. */
	if (ctx->lanes == RK_GPU_WARP_LANES)
		__syncwarp();
	/* The leader may have sent by itself before, and hold the outbox no more. */
	if (rk_unlikely(rk_leader_says(ctx, ctx->staged || !ctx->hot || outbox != ctx->to) ||
			!rk_hot_room(ctx, count))) {
		if (ctx->lane == 0) {
			rk_settle(ctx);
			rk_spill(ctx->desk, ctx->staged, ctx->to);
			count = rk_batch_slowly(ctx->desk, outbox, cells, count);
		}
		ctx->staged = ctx->staged_messages = 0;
		ctx->hot = false;
		ctx->slow = true;
		return (uint32_t)rk_agree(ctx, count);
	}
	rk_store_cells(&ctx->out, ctx->out.position, cells, count, ctx->lane, ctx->lanes);
	ctx->out.position += count;
	ctx->sent += count;
	ctx->sent_slots += count;
	return count;
}

#endif
