/* SPDX-License-Identifier: MIT */
/*
 * gpu_run.cuh - the life of an actor at its seat: poll, handle, send, give credit, until it stops.
 *
 * Made once for each handler and each kind of group, so that the handler is inlined into the loop.
 * The order of one turn, by which little but the message lies between a slot's arrival and the
 * answer's departure: poll, ask for the next slots, handle, store what was sent, then the rest.
 */
#ifndef RK_GPU_RUN_CUH
#define RK_GPU_RUN_CUH

#include "gpu_actor.cuh"

#define RK_IDLE_POLLS 1024  /* between two looks aside while nothing comes: some 0.3 ms */
#define RK_WATCH_POLLS 16   /* between two looks at what else there is, where polls are short */
#define RK_BUSY_TURNS 64    /* and while messages come */
#define RK_REAP_MOST 256	    /* completions between two looks at all else */
#define RK_REAP_LOOKS 8	    /* for the next one */
#define RK_LAST_POLLS 4	    /* of all inboxes, before an actor that is to stop does */
#define RK_GATHER_POLLS 256 /* for the rest of a long message */
#define RK_WARP_SLOTS (RK_BLOCK_POLLS * RK_POLL_SLOTS) /* of a warp that is part of a block */
#define RK_BLOCK_SLOTS (RK_GPU_WARPS * RK_WARP_SLOTS)

/* A warp, or a block, as the group that calls a handler. */
struct rk_warp_group {
	static const uint32_t lanes = RK_GPU_WARP_LANES;
	static __device__ __forceinline__ void sync() { __syncwarp(); }
	static __device__ __forceinline__ bool any(bool mine)
	{
		return __any_sync(RK_FULL_WARP, mine);
	}
};

struct rk_block_group {
	static const uint32_t lanes = RK_GPU_WARPS * RK_GPU_WARP_LANES;
	static __device__ __forceinline__ void sync() { __syncthreads(); }
	static __device__ __forceinline__ bool any(bool mine) { return __syncthreads_or(mine); }
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

/* Judge what was asked for. Return: whether plain messages lie in the cells. */
static __device__ __forceinline__ bool rk_poll(struct rk_warp_group, struct rk_ctx *ctx,
					       struct rk_gpu_turn *turn, uint8_t *cells)
{
	const struct rk_gpu_rx *rx = &turn->rx;
	struct rk_found found = rk_poll_judge(rx, rx->position, ctx->lane, turn->words[0]);

	if (!rk_has_first(found.plain)) {
		turn->special = rk_has_first(found.there);
		return false;
	}
	turn->plain = rk_leading_slots(found.plain);
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
					       struct rk_gpu_turn *turn, uint8_t *cells)
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

/* --- Handling --- */

/* Why the loop over plain messages ended. */
enum rk_gpu_pause {
	RK_PAUSE_IDLE,	  /* nothing came for a while */
	RK_PAUSE_BUSY,	  /* much came */
	RK_PAUSE_TOLD,	  /* the host has said something, or another inbox has a message */
	RK_PAUSE_SPECIAL, /* the next message is not plain */
	RK_PAUSE_WAITING, /* something that was sent waits */
};

enum rk_gpu_aside { RK_ASIDE_NOTHING, RK_ASIDE_OBEYED, RK_ASIDE_PAUSED };

template <class GROUP, rk_handler_fn *HANDLE, rk_batch_fn *BATCH> struct rk_life {
	static __device__ __forceinline__ void call(struct rk_ctx *ctx, void *state,
						    const struct rk_msg *msg, bool last)
	{
		ctx->current = msg;
		HANDLE(ctx, state, msg);
		rk_flush(ctx, last);
	}

	static __device__ __forceinline__ void handle_plain(struct rk_ctx *ctx, void *state,
							    uint8_t *cells, uint32_t count)
	{
		struct rk_msg *msgs = (struct rk_msg *)cells;

		if (BATCH) {
			ctx->current = msgs;
			BATCH(ctx, state, msgs, count);
			rk_flush(ctx, true);
		} else {
			for (uint32_t i = 0; i < count; i++)
				call(ctx, state, &msgs[i], i + 1 == count);
		}
	}

	/* The address comes from the desk, for the loop has no register to spare for it. */
	static __device__ __forceinline__ void give_credit(const struct rk_gpu_desk *desk,
							   uint32_t lane, uint32_t index,
							   struct rk_gpu_turn *turn)
	{
		const volatile struct rk_gpu_rx *rx = &desk->rx[index];

		if (lane == 0)
			rk_store_word_to(rx->credit, turn->rx.position, turn->rx.shared);
		turn->rx.credited = turn->rx.position;
	}

	/*
	 * Take plain messages from inbox @index until something else is to be done, and at least
	 * @idle_polls times nothing or @busy_turns times something came. All that it needs lies in
	 * registers; at its end the desk is right again. @MIXED: rings may lie in shared memory.
	 * Return: enum rk_gpu_pause.
	 */
	template <bool MIXED>
	static __device__ __noinline__ uint32_t flow(uint32_t seat, uint32_t lane, uint32_t index,
						     uint32_t idle_polls, uint32_t busy_turns)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		uint8_t *cells = rk_shared()->cells[seat];
		void *state = (void *)desk->spawn.state;
		uint64_t serial = desk->spawn.serial, marker = desk->marker;
		uint32_t received = 0, idle = 0, busy = 0, pause;
		struct rk_ctx ctx = {desk, 0, GROUP::lanes, lane, 0, MIXED};
		struct rk_gpu_watch watch;
		struct rk_gpu_turn turn;
		/* A load from afar takes many polls of shared memory. */
		const uint32_t watch_polls =
			MIXED && idle_polls > RK_LAST_POLLS ? RK_WATCH_POLLS : 1;

		turn.told = false;
		turn.mixed = MIXED;
		turn.rx = desk->rx[index];
		if (!MIXED)
			turn.rx.shared = RK_SHARED_NOT;
		rk_hold(&ctx);
		rk_watch_begin(&watch, desk, lane, index);
		rk_ask(GROUP(), &turn, lane);
		for (;;) {
			if (GROUP::lanes != RK_GPU_WARP_LANES && lane < RK_GPU_WARP_LANES)
				turn.told = rk_watch(&watch, lane, MIXED);
			if (rk_poll(GROUP(), &ctx, &turn, cells)) {
				turn.rx.position += turn.plain;
				/*
				 * Asked for now, the next are there when this is done. Around a
				 * handler that sends by itself the registers move, and would wait
				 * for them first.
				 */
				if (BATCH)
					rk_ask_next(GROUP(), &turn, lane);
				if (lane == 0)
					rk_store_word(marker, serial);
				handle_plain(&ctx, state, cells, turn.plain);
				if (lane == 0)
					rk_store_word(marker, 0);
				if (!BATCH)
					rk_ask_next(GROUP(), &turn, lane);
				received += turn.plain;
				if (rk_credit_is_due(&turn.rx)) {
					give_credit(desk, lane, index, &turn);
				}
				idle = 0;
				pause = RK_PAUSE_BUSY;
				if (++busy == busy_turns)
					break;
				pause = RK_PAUSE_WAITING;
				if (ctx.slow)
					break;
			} else {
				pause = RK_PAUSE_SPECIAL;
				if (turn.special)
					break;
				rk_ask(GROUP(), &turn, lane);
				if (turn.rx.position != turn.rx.credited) {
					give_credit(desk, lane, index, &turn);
				}
				if (GROUP::lanes == RK_GPU_WARP_LANES && idle % watch_polls == 0)
					turn.told = __any_sync(RK_FULL_WARP,
							       rk_watch(&watch, lane, MIXED));
				pause = RK_PAUSE_TOLD;
				if (turn.told)
					break;
				pause = RK_PAUSE_IDLE;
				if (++idle >= idle_polls)
					break;
			}
		}
		GROUP::sync();
		if (lane == 0) {
			rk_settle(&ctx);
			desk->rx[index].position = turn.rx.position;
			desk->rx[index].credited = turn.rx.credited;
			desk->counters.received += received;
			desk->counters.received_slots += received;
		}
		GROUP::sync();
		return pause;
	}

	/* The message at the position of inbox @index that is not plain. All lanes. */
	static __device__ __noinline__ void take_special(uint32_t seat, uint32_t lane, uint32_t index)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		struct rk_gpu_rx *rx = &desk->rx[index];
		uint32_t what = 0;

		if (lane < RK_GPU_WARP_LANES)
			what = rk_take_special(desk, *rx, lane);
		if (lane == 0)
			desk->event = what;
		GROUP::sync();
		what = desk->event;
		if ((what & 0xff) == RK_SPECIAL_MESSAGE)
			tell(desk, lane, (const struct rk_msg *)desk->scratch->longer);
		if (lane == 0) {
			if ((what & 0xff) == RK_SPECIAL_CLOSED)
				rx->closed = 1;
			else
				rx->position += what >> 8;
			desk->counters.received += (what & 0xff) == RK_SPECIAL_MESSAGE;
			if ((what & 0xff) != RK_SPECIAL_PADDING)
				desk->counters.received_slots += what >> 8;
			if (rk_credit_is_due(rx)) {
				rk_give_credit(rx);
			}
		}
		GROUP::sync();
	}

	/* The next inbox that is open; the number of inboxes when there is none. */
	static __device__ __forceinline__ uint32_t next_inbox(const struct rk_gpu_desk *desk)
	{
		uint32_t inboxes = desk->inboxes;

		for (uint32_t i = 0; i < inboxes; i++) {
			uint32_t index = (desk->next_inbox + i) % inboxes;

			if (!desk->rx[index].closed)
				return index;
		}
		return inboxes;
	}

	/* Where no message is taken: as long as a round in which none comes. The leader. */
	static __device__ __noinline__ void await_word(const struct rk_gpu_desk *desk)
	{
		uint32_t polls = 0;

		while (rk_host_word(desk) == desk->host_word && ++polls < RK_IDLE_POLLS)
			;
	}

	/*
	 * Take from one inbox, with an eye on the others, for as long as it gives. False: nothing was
	 * in any; true if something came, or nobody looked for what was sent before must go first.
	 */
	static __device__ __forceinline__ bool round(uint32_t seat, uint32_t lane)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		uint32_t index = next_inbox(desk), polls, pause;
		bool hasty = desk->phase == RK_GPU_DRAINING;

		if (!desk->started || desk->phase == RK_GPU_DORMANT) {
			if (lane == 0 && desk->phase == RK_GPU_DORMANT)
				await_word(desk);
			GROUP::sync();
			return false;
		}
		if (desk->waiting_cells || index == desk->inboxes)
			return desk->waiting_cells;
		polls = hasty ? RK_LAST_POLLS : RK_IDLE_POLLS;
		pause = desk->mixed ? flow<true>(seat, lane, index, polls, RK_BUSY_TURNS) :
				      flow<false>(seat, lane, index, polls, RK_BUSY_TURNS);
		if (pause == RK_PAUSE_SPECIAL)
			take_special(seat, lane, index);
		else if (lane == 0)
			desk->next_inbox = index + 1;
		GROUP::sync();
		return pause != RK_PAUSE_IDLE;
	}

	/* --- Control --- */

	/*
	 * The leader's: what is not messages: control, hurry, what waits, the beat.
	 */
	static __device__ __noinline__ enum rk_gpu_aside look_aside(struct rk_gpu_desk *desk)
	{
		enum rk_gpu_aside found = RK_ASIDE_NOTHING;

		desk->host_word = rk_host_word(desk);
		desk->event = RK_GPU_NOTHING;
		desk->hurry = rk_hurry_for(desk, desk->host_word);
		if (rk_hurry_in(desk, desk->host_word) == RK_GPU_DRAIN)
			rk_begin_drain(desk);
		while (desk->event == RK_GPU_NOTHING &&
		       (uint32_t)desk->control_taken != desk->host_word >> 32 && rk_obey(desk))
			found = RK_ASIDE_OBEYED;
		rk_drain(desk);
		rk_beat(desk);
		rk_publish(desk);
		if (desk->event == RK_GPU_NOTHING &&
		    rk_hurry_in(desk, desk->host_word) == RK_GPU_PAUSE)
			found = RK_ASIDE_PAUSED;
		return found;
	}

	/* One message to the handler, with no outbox held. All lanes, between barriers. */
	static __device__ __noinline__ void tell(struct rk_gpu_desk *desk, uint32_t lane,
						 const struct rk_msg *msg)
	{
		struct rk_ctx ctx = {desk, msg, GROUP::lanes, lane, 0, true};

		GROUP::sync();
		if (lane == 0)
			rk_store_word(desk->marker, desk->spawn.serial);
		rk_hold(&ctx);
		call(&ctx, (void *)desk->spawn.state, msg, true);
		GROUP::sync();
		if (lane == 0) {
			rk_settle(&ctx);
			rk_drain(desk);
			rk_store_word(desk->marker, 0);
		}
		GROUP::sync();
	}

	/*
	 * Completions that are there, at most one for each lane of a warp. All lanes ask at once, for each
	 * look across the bus takes a microsecond.
	 */
	static __device__ __forceinline__ uint32_t ask_completions(const struct rk_io *io,
								   uint32_t lane,
								   struct rk_words *words)
	{
		/* A21 */
		uint32_t there = rk_io_load_acquire(rk_io_word(io, io->cq_tail)) - io->cq_next;

		there = there < RK_GPU_WARP_LANES ? there : RK_GPU_WARP_LANES;
		if (lane < there)
			*words = rk_load_words((uint64_t)rk_io_completion(io, io->cq_next + lane));
		return there;
	}

	/* Each a message; what the handler starts meanwhile, the kernel is told of at once. */
	static __device__ __forceinline__ void take_completions(struct rk_gpu_desk *desk, uint32_t lane,
								uint32_t count,
								struct rk_words words)
	{
		struct rk_io *io = desk->io;

		if (lane == 0) {
			io->cq_next += count;
			io->gathering = 1;
			rk_io_store_read(rk_io_word(io, io->cq_head), io->cq_next);
		}
		for (uint32_t i = 0; i < count; i++) {
			uint64_t name = __shfl_sync(RK_FULL_WARP, words.w0, i);
			uint64_t result = __shfl_sync(RK_FULL_WARP, words.w1, i);

			if (lane == 0)
				desk->share[0] = rk_io_take(io, name, (int32_t)(uint32_t)result,
							    &desk->control);
			GROUP::sync();
			if (desk->share[0])
				tell(desk, lane, &desk->control);
			if (lane == 0) {
				desk->counters.received += desk->share[0];
				desk->counters.received_slots += desk->share[0];
			}
			GROUP::sync();
		}
		if (lane == 0) {
			io->gathering = 0;
			rk_io_publish(io);
		}
	}

	/*
	 * Completions of the actor's own I/O; true if there was one. While something is in flight a few
	 * looks more are cheaper than to go round.
	 */
	static __device__ __noinline__ bool reap(struct rk_gpu_desk *desk, uint32_t lane)
	{
		struct rk_words words = {0, 0};
		uint32_t looks = 0, taken = 0, count;

		while (looks < RK_REAP_LOOKS && taken < RK_REAP_MOST) {
			if (lane < RK_GPU_WARP_LANES)
				count = ask_completions(desk->io, lane, &words);
			if (lane == 0)
				desk->share[1] = count;
			GROUP::sync();
			count = (uint32_t)desk->share[1];
			if (count)
				take_completions(desk, lane, count, words);
			taken += count;
			looks = count ? 0 : looks + 1;
			GROUP::sync();
			if (desk->io->sq_next == desk->io->cq_next)
				break;
		}
		return taken;
	}

	/* Asked to stop, or all inboxes closed; and nothing waits. */
	static __device__ bool is_over(const struct rk_gpu_desk *desk)
	{
		uint32_t closed = 0;

		if (desk->waiting_cells || desk->phase == RK_GPU_DORMANT)
			return false;
		for (uint32_t i = 0; i < desk->inboxes; i++)
			closed += desk->rx[i].closed != 0;
		return desk->phase == RK_GPU_DRAINING || (desk->inboxes && closed == desk->inboxes);
	}

	/* --- Its state --- */

	static __device__ __noinline__ void clear_state(const struct rk_gpu_desk *desk, uint32_t lane)
	{
		ulonglong2 *state = (ulonglong2 *)desk->spawn.state;
		const uint32_t words = desk->spawn.state_bytes / 16;

#pragma unroll 8
		for (uint32_t i = lane; i < words; i += GROUP::lanes)
			state[i] = make_ulonglong2(0, 0);
	}

	/*
	 * Relaxed loads: what others of the group or a copy engine wrote is in the L2 cache. Several at
	 * once, for each takes a microsecond.
	 */
	static __device__ __noinline__ void copy_words(uint64_t to, uint64_t from, uint32_t bytes,
						       uint32_t lane)
	{
		const uint32_t words = bytes / 16, at_once = 8;

		for (uint32_t at = lane; at < words; at += at_once * GROUP::lanes) {
			struct rk_words some[at_once];

#pragma unroll
			for (uint32_t i = 0; i < at_once; i++)
				if (at + i * GROUP::lanes < words)
					some[i] = rk_load_words(from + 16 * (at + i * GROUP::lanes));
#pragma unroll
			for (uint32_t i = 0; i < at_once; i++)
				if (at + i * GROUP::lanes < words)
					rk_store_words(to + 16 * (at + i * GROUP::lanes), some[i]);
		}
	}

	/* The state as it is between two messages, with what had been counted. */
	static __device__ __noinline__ void copy_state(struct rk_gpu_desk *desk, uint32_t lane)
	{
		uint64_t behind = desk->event_at + desk->spawn.state_bytes;
		const uint64_t *counters = (const uint64_t *)&desk->counters;

		copy_words(desk->event_at, desk->spawn.state, desk->spawn.state_bytes, lane);
		if (lane < sizeof(desk->counters) / 8)
			rk_store_word(behind + 8 * lane, counters[lane]);
		if (lane == 0)
			rk_store_word(behind + offsetof(struct rk_gpu_copied, sound), desk->started);
		__threadfence_system();
	}

	static __device__ __noinline__ void start(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (lane == 0) {
			desk->started = 1;
			rk_enter(desk, RK_GPU_STARTING);
		}
		tell(desk, lane, (const struct rk_msg *)desk->scratch->longer);
		if (lane == 0)
			rk_enter(desk, RK_GPU_RUNNING);
	}

	/* From zeros or from another state; the handler hears of the first only. */
	static __device__ __noinline__ void restart(struct rk_gpu_desk *desk, uint32_t lane)
	{
		bool fresh = desk->event == RK_GPU_TO_BEGIN;

		if (fresh)
			clear_state(desk, lane);
		else
			copy_words(desk->spawn.state, desk->event_at, desk->spawn.state_bytes, lane);
		GROUP::sync();
		if (lane == 0)
			desk->counters.restarts++;
		if (fresh)
			start(desk, lane);
		else if (lane == 0) {
			desk->started = 1;
			rk_enter(desk, RK_GPU_RUNNING);
		}
	}

	/* All that another seat needs to go on from here. */
	static __device__ __noinline__ void pack(const struct rk_gpu_desk *desk, uint32_t lane)
	{
		const uint64_t *words = (const uint64_t *)((const uint8_t *)desk + RK_PARCEL_AT);

		for (uint32_t i = lane; i < RK_PARCEL_WORDS; i += GROUP::lanes)
			rk_store_word(desk->event_at + 8 * i, words[i]);
		__threadfence_system();
	}

	/* The spawn message stays as it came: code and state may be others than before. */
	static __device__ __noinline__ void unpack(struct rk_gpu_desk *desk, uint32_t lane)
	{
		uint64_t *words = (uint64_t *)((uint8_t *)desk + RK_PARCEL_AT);
		struct rk_gpu_spawn spawn = desk->spawn;

		GROUP::sync();
		for (uint32_t i = lane; i < RK_PARCEL_WORDS; i += GROUP::lanes)
			words[i] = rk_load_word(spawn.parcel + 8 * i);
		GROUP::sync();
		if (lane == 0) {
			desk->spawn = spawn;
			desk->host_word = rk_host_word(desk);
			desk->event = RK_GPU_NOTHING;
			desk->answered = ~desk->obeyed;
			rk_enter(desk, (enum rk_gpu_phase)desk->phase);
			rk_answer(desk);
		}
		GROUP::sync();
	}

	/* What is left to do of the last control message, and the answer. */
	static __device__ __forceinline__ void obey(struct rk_gpu_desk *desk, uint32_t lane)
	{
		switch (desk->event) {
		case RK_GPU_TO_START:
			start(desk, lane);
			break;
		case RK_GPU_TO_BEGIN:
		case RK_GPU_TO_RESTORE:
			restart(desk, lane);
			break;
		case RK_GPU_TO_COPY:
			copy_state(desk, lane);
			break;
		case RK_GPU_TO_LEAVE:
			pack(desk, lane);
			break;
		}
		GROUP::sync();
		if (lane == 0)
			rk_answer(desk);
	}

	/* --- The end --- */

	static __device__ bool close_outbox(struct rk_gpu_desk *desk, struct rk_gpu_tx *tx)
	{
		uint64_t cell[7] = {1ull << 24 | RK_MSG_CLOSED};

		if (tx->closed)
			return true;
		if (desk->waiting_cells || !rk_tx_room(tx, 1))
			return tx->closed;
		cell[1] = desk->hurry ? RK_CLOSE_STOPPED : RK_CLOSE_DONE;
		rk_store_cell(tx, tx->position++, cell);
		tx->closed = (uint16_t)cell[1];
		return true;
	}

	/* The leader's: close all outboxes, or give up when let go. False when paused before. */
	static __device__ __noinline__ bool close_outboxes(struct rk_gpu_desk *desk)
	{
		bool all;

		do {
			uint64_t word = rk_host_word(desk);

			if (rk_hurry_in(desk, word) == RK_GPU_PAUSE)
				return false;
			all = true;
			desk->hurry = rk_hurry_for(desk, word);
			rk_drain(desk);
			for (uint32_t i = 0; i < desk->outboxes; i++)
				all &= close_outbox(desk, &desk->tx[i]);
			rk_beat(desk);
		} while (!all && desk->hurry != RK_GPU_LET_GO);
		return true;
	}

	/* RK_MSG_STOP to the handler, if it ever started and is not killed; then no more messages. */
	static __device__ __noinline__ void stop(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (lane == 0) {
			for (uint32_t i = 0; i < sizeof(desk->control) / 8; i++)
				((uint64_t *)&desk->control)[i] = 0;
			desk->control.type = RK_MSG_STOP;
			desk->control.slots = 1;
		}
		if (desk->started && desk->hurry != RK_GPU_KILL)
			tell(desk, lane, &desk->control);
		__threadfence_system(); /* the state, by all who wrote it, before the phase */
		GROUP::sync();
		if (lane == 0) {
			for (uint32_t i = 0; i < desk->inboxes; i++)
				if (!desk->rx[i].closed)
					rk_refuse(&desk->rx[i], RK_CLOSE_STOPPED);
			rk_enter(desk, RK_GPU_CLOSING);
		}
		GROUP::sync();
	}

	/* False when paused before all that was sent is out. */
	static __device__ __noinline__ bool finish(struct rk_gpu_desk *desk, uint32_t lane)
	{
		GROUP::sync(); /* all have seen the phase before */
		if (lane == 0) {
			desk->share[0] = close_outboxes(desk);
			if (desk->share[0]) {
				rk_enter(desk, RK_GPU_DONE);
				desk->spawn.serial = 0;
			}
		}
		GROUP::sync();
		return desk->share[0];
	}

	/* --- From spawn to done, or from pause to pause --- */

	static __device__ void begin(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (!desk->spawn.kept)
			clear_state(desk, lane);
		if (lane == 0) {
			desk->scratch = (struct rk_gpu_scratch *)desk->spawn.scratch;
			desk->inboxes = desk->outboxes = desk->hot_outbox = desk->next_inbox = 0;
			desk->mixed = 0;
			desk->host_word = rk_host_word(desk);
			desk->waiting_first = desk->waiting_cells = 0;
			desk->event = desk->hurry = desk->dropping = 0;
			desk->obeyed = desk->answered = 0;
			desk->io = NULL;
			desk->started = desk->spawn.kept;
			for (uint32_t i = 0; i < sizeof(desk->counters) / 8; i++)
				((uint64_t *)&desk->counters)[i] = 0;
			rk_publish(desk);
			rk_enter(desk, RK_GPU_DORMANT);
		}
		GROUP::sync();
	}

	/* The seat is empty from here on; the actor is told where else to go on. */
	static __device__ bool leave(struct rk_gpu_desk *desk, uint32_t lane)
	{
		GROUP::sync();
		if (lane == 0)
			desk->spawn.serial = 0;
		return false;
	}

	/* @resume: go on where a pause came. Return: true when paused: the desk holds all there is. */
	static __device__ __noinline__ bool run(uint32_t seat, uint32_t lane, bool resume)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		bool came;

		if (!resume && desk->spawn.parcel)
			unpack(desk, lane);
		else if (!resume)
			begin(desk, lane);
		while (desk->phase < RK_GPU_CLOSING) {
			came = round(seat, lane);
			if (desk->io && desk->started && desk->phase != RK_GPU_DORMANT)
				came |= reap(desk, lane);
			if (lane == 0)
				desk->share[0] = look_aside(desk);
			GROUP::sync();
			if (desk->share[0] == RK_ASIDE_PAUSED)
				return true;
			obey(desk, lane);
			if (desk->event == RK_GPU_TO_LEAVE)
				return leave(desk, lane);
			/* Not before it has obeyed all: of a link that it does not know it would tell nobody. */
			if (desk->event == RK_GPU_NOTHING &&
			    (uint32_t)desk->control_taken == desk->host_word >> 32 &&
			    (desk->hurry || (!came && !desk->share[0] && is_over(desk))))
				stop(desk, lane);
			GROUP::sync();
		}
		return !finish(desk, lane);
	}
};

#endif
