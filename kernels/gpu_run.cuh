/* SPDX-License-Identifier: MIT */
/*
 * gpu_run.cuh - the life of an actor at its seat: poll, handle, send, give credit, until it stops.
 *
 * Made once for each handler and each kind of group, so that the handler is inlined into the loop.
 * The order of one turn, by which nothing but the message lies between a slot's arrival and the
 * answer's departure: poll, handle, store what was sent, then counters and credit.
 */
#ifndef RK_GPU_RUN_CUH
#define RK_GPU_RUN_CUH

#include "gpu_actor.cuh"

#define RK_IDLE_POLLS 32    /* between two looks aside while nothing comes */
#define RK_BUSY_TURNS 16    /* and while messages come */
#define RK_BEAT_LOOKS 64    /* looks aside between two beats */
#define RK_GATHER_POLLS 256 /* for the rest of a long message */

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

/* One inbox as the loop holds it, and what the last poll found there. */
struct rk_gpu_turn {
	struct rk_gpu_rx rx;
	uint32_t plain;	  /* messages in the group's cells */
	uint32_t special; /* the next one is there, but is not plain */
};

static __device__ __forceinline__ struct rk_gpu_shared *rk_shared()
{
	extern __shared__ uint8_t rk_block_memory[];

	return (struct rk_gpu_shared *)rk_block_memory;
}

/* --- Taking messages --- */

/* A warp's poll is one load of eight slots. */
static __device__ __forceinline__ void rk_poll(struct rk_warp_group, struct rk_gpu_turn *turn,
					       uint8_t *cells, uint32_t lane)
{
	const struct rk_gpu_found found = rk_poll_judge(
		&turn->rx, turn->rx.position, lane, rk_poll_load(&turn->rx, turn->rx.position, lane));

	turn->plain = found.plain;
	turn->special = found.fresh > found.plain;
	if (found.plain) {
		if (lane / 4 < found.plain)
			rk_put_chunk(cells, lane, found.chunk);
		__syncwarp();
	}
}

/* A block's poll: each warp its eight slots; what counts is the run without a hole. */
static __device__ __forceinline__ void rk_poll(struct rk_block_group, struct rk_gpu_turn *turn,
					       uint8_t *cells, uint32_t lane)
{
	uint32_t warp = lane / RK_GPU_WARP_LANES, in_warp = lane % RK_GPU_WARP_LANES, full;
	uint64_t position = turn->rx.position + warp * RK_POLL_SLOTS;
	/* A ring shorter than the block's reach: warps beyond it would see their first slots' next lap. */
	bool reach = warp * RK_POLL_SLOTS < 1ull << turn->rx.capacity_log2;
	const struct rk_gpu_found found = rk_poll_judge(&turn->rx, position, in_warp,
							rk_poll_load(&turn->rx, position, in_warp));
	uint32_t plain = reach ? found.plain : 0, total;

	if (in_warp / 4 < plain)
		rk_put_chunk(cells + warp * RK_POLL_SLOTS * RK_CELL_BYTES, in_warp, found.chunk);
	if (in_warp == 0)
		rk_shared()->plain[warp] = plain | (found.fresh > plain && reach ? 0x100u : 0);
	__syncthreads();
	total = in_warp < RK_GPU_WARPS ? rk_shared()->plain[in_warp] : 0;
	full = __ballot_sync(RK_FULL_WARP, (total & 0xff) == RK_POLL_SLOTS);
	full = (uint32_t)__ffs((int)~full) - 1; /* warps that are full, from the first on */
	total = full < RK_GPU_WARPS ? __shfl_sync(RK_FULL_WARP, total, full) : 0;
	turn->plain = full * RK_POLL_SLOTS + (total & 0xff);
	turn->special = total >> 8;
}

/*
 * Slots of the special message at the ring's position, of which lane 0 has word 0; what is not a
 * message ends here: 0. The group's first warp.
 */
static __device__ uint32_t rk_check_special(struct rk_gpu_rx *rx, uint32_t head)
{
	uint32_t slots = head >> 24, most;
	uint64_t capacity = 1ull << rx->capacity_log2;

	most = capacity / 2 < RK_MSG_MAX_SLOTS ? (uint32_t)capacity / 2 : RK_MSG_MAX_SLOTS;
	if (slots == 0 || slots > most || head >> 16 & 0xff & ~RK_MSG_F_ALL)
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
		const struct rk_gpu_found found =
			rk_poll_judge(rx, position, lane, rk_poll_load(rx, position, lane));
		uint32_t now = found.fresh < slots - done ? found.fresh : slots - done;

		if (lane / 4 < now)
			rk_put_chunk(out + done * RK_CELL_BYTES, lane, found.chunk);
		done += now;
	}
	__syncwarp();
	return done == slots;
}

enum rk_gpu_special { RK_SPECIAL_LATER, RK_SPECIAL_PASSED, RK_SPECIAL_MESSAGE, RK_SPECIAL_CLOSED };

/*
 * Deal with the message at the ring's position that is not plain. The group's first warp.
 * RK_SPECIAL_MESSAGE: it lies in scratch->longer, @slots cells.
 */
static __device__ __noinline__ uint32_t rk_take_special(struct rk_gpu_desk *desk,
							struct rk_gpu_rx *rx, uint32_t lane,
							uint32_t *slots)
{
	uint64_t word0 = rk_poll_load(rx, rx->position, lane).w0;
	uint32_t head = (uint32_t)__shfl_sync(RK_FULL_WARP, word0, 0), type = head & 0xffff;

	*slots = rk_check_special(rx, head);
	if (!*slots) {
		if (lane == 0)
			rk_refuse(rx, 3 /* RK_CLOSE_BAD_HEADER of rk_ring.h */);
		return RK_SPECIAL_CLOSED;
	}
	if (type == RK_MSG_PAD) {
		/* No producer sends beyond its credit: so this loop ends, whoever writes. */
		if (rx->position + *slots - rx->credited <= 1ull << rx->capacity_log2)
			return RK_SPECIAL_PASSED;
		if (lane == 0)
			rk_refuse(rx, 3);
		return RK_SPECIAL_CLOSED;
	}
	if (!rk_gather(rx, *slots, desk->scratch->longer, lane))
		return RK_SPECIAL_LATER;
	if (type == RK_MSG_CLOSED)
		return RK_SPECIAL_CLOSED;
	return type < RK_MSG_PACKET ? RK_SPECIAL_PASSED : RK_SPECIAL_MESSAGE;
}

/* --- Handling --- */

template <class GROUP, rk_handler_fn *HANDLE, rk_batch_fn *BATCH> struct rk_life {
	static __device__ __forceinline__ void call(struct rk_ctx *ctx, void *state,
						    const struct rk_msg *msg)
	{
		ctx->current = msg;
		HANDLE(ctx, state, msg);
		GROUP::sync();
		if (ctx->lane < RK_GPU_WARP_LANES)
			rk_flush(ctx);
	}

	/* For the host to read after a fault: whose handler was running. */
	static __device__ __forceinline__ void mark(const struct rk_ctx *ctx, uint64_t serial)
	{
		if (ctx->lane == 0)
			rk_store_word(ctx->desk->marker, serial);
	}

	static __device__ __forceinline__ void handle_plain(struct rk_ctx *ctx, void *state,
							    const uint8_t *cells, uint32_t count)
	{
		const struct rk_msg *msgs = (const struct rk_msg *)cells;

		mark(ctx, ctx->desk->spawn.serial);
		if (BATCH) {
			ctx->current = msgs;
			BATCH(ctx, state, msgs, count);
			GROUP::sync();
			if (ctx->lane < RK_GPU_WARP_LANES)
				rk_flush(ctx);
		} else {
			for (uint32_t i = 0; i < count; i++)
				call(ctx, state, &msgs[i]);
		}
		mark(ctx, 0);
	}

	static __device__ void handle_special(struct rk_ctx *ctx, void *state,
					      struct rk_gpu_turn *turn)
	{
		struct rk_gpu_desk *desk = ctx->desk;
		uint32_t slots = 0, what = 0;

		if (ctx->lane < RK_GPU_WARP_LANES)
			what = rk_take_special(desk, &turn->rx, ctx->lane, &slots);
		if (ctx->lane == 0)
			desk->share = (uint64_t)slots << 32 | what;
		GROUP::sync();
		slots = (uint32_t)(desk->share >> 32);
		what = (uint32_t)desk->share;
		if (what == RK_SPECIAL_MESSAGE) {
			mark(ctx, desk->spawn.serial);
			call(ctx, state, (const struct rk_msg *)desk->scratch->longer);
			mark(ctx, 0);
		}
		GROUP::sync();
		if (what == RK_SPECIAL_CLOSED)
			turn->rx.closed = 1;
		if (what == RK_SPECIAL_MESSAGE || what == RK_SPECIAL_PASSED) {
			turn->rx.position += slots;
			if (ctx->lane == 0) {
				desk->counters.received += what == RK_SPECIAL_MESSAGE;
				desk->counters.received_slots += slots;
			}
		}
	}

	/* Look at one inbox, at most @polls times; true if something came. */
	static __device__ __forceinline__ bool take(struct rk_ctx *ctx, void *state, uint8_t *cells,
						    struct rk_gpu_turn *turn, uint32_t polls)
	{
		do {
			rk_poll(GROUP(), turn, cells, ctx->lane);
		} while (!turn->plain && !turn->special && --polls);
		if (turn->plain) {
			handle_plain(ctx, state, cells, turn->plain);
			turn->rx.position += turn->plain;
			if (ctx->lane == 0) {
				ctx->desk->counters.received += turn->plain;
				ctx->desk->counters.received_slots += turn->plain;
			}
		} else if (turn->special) {
			handle_special(ctx, state, turn);
		}
		if (rk_credit_is_due(&turn->rx) || (!polls && turn->rx.position != turn->rx.credited)) {
			turn->rx.credited = turn->rx.position;
			if (ctx->lane == 0)
				rk_give_credit(&turn->rx);
		}
		GROUP::sync();
		return polls;
	}

	/* --- Control --- */

	/*
	 * What is not messages: control, hurry, what waits, the beat. True when anything was done.
	 * @host: the host's words, as the leader saw them.
	 */
	static __device__ __noinline__ bool look_aside(struct rk_gpu_desk *desk, uint32_t lane,
						       struct rk_words host)
	{
		if (lane == 0) {
			desk->event = RK_GPU_NOTHING;
			desk->hurry = rk_hurry_for(desk, host.w0);
			rk_drain(desk);
			desk->share = 0;
			while (desk->event == RK_GPU_NOTHING && desk->control_taken != host.w1 &&
			       rk_obey(desk))
				desk->share = 1;
			rk_beat(desk);
			rk_publish(desk);
		}
		GROUP::sync();
		return desk->share;
	}

	/* The runtime's own messages to the handler: what `longer` or `control` hold. */
	static __device__ __noinline__ void tell(struct rk_gpu_desk *desk, uint32_t lane, void *state,
						 const struct rk_msg *msg)
	{
		struct rk_ctx ctx = {desk, msg, GROUP::lanes, lane, 0, 0, 0};

		mark(&ctx, desk->spawn.serial);
		call(&ctx, state, msg);
		mark(&ctx, 0);
		GROUP::sync();
	}

	/* --- The end --- */

	static __device__ bool close_outbox(struct rk_gpu_desk *desk, struct rk_gpu_tx *tx)
	{
		uint64_t cell[7] = {1ull << 24 | RK_MSG_CLOSED};

		if (tx->closed)
			return true;
		if (desk->waiting_cells || !rk_tx_room(tx, 1))
			return tx->closed;
		cell[1] = desk->hurry ? 2 /* RK_CLOSE_STOPPED */ : 1 /* RK_CLOSE_DONE */;
		rk_store_cell(tx, tx->position++, cell);
		tx->closed = (uint32_t)cell[1];
		return true;
	}

	/* The leader's: close all outboxes, or give up when let go. */
	static __device__ __noinline__ void close_outboxes(struct rk_gpu_desk *desk)
	{
		bool all;

		do {
			all = true;
			desk->hurry = rk_hurry_of(desk);
			rk_drain(desk);
			for (uint32_t i = 0; i < desk->outboxes; i++)
				all &= close_outbox(desk, &desk->tx[i]);
			rk_beat(desk);
		} while (!all && desk->hurry != RK_GPU_LET_GO);
	}

	static __device__ __noinline__ void stop(struct rk_gpu_desk *desk, uint32_t lane, void *state)
	{
		if (lane == 0) {
			for (uint32_t i = 0; i < sizeof(desk->control) / 8; i++)
				((uint64_t *)&desk->control)[i] = 0;
			desk->control.type = RK_MSG_STOP;
			desk->control.slots = 1;
		}
		GROUP::sync();
		tell(desk, lane, state, &desk->control);
		__threadfence_system(); /* the state, by all who wrote it, before the phase */
		GROUP::sync();
		if (lane == 0) {
			for (uint32_t i = 0; i < desk->inboxes; i++)
				if (!desk->rx[i].closed)
					rk_refuse(&desk->rx[i], 2 /* RK_CLOSE_STOPPED */);
			rk_enter(desk, RK_GPU_CLOSING);
			close_outboxes(desk);
			rk_enter(desk, RK_GPU_DONE);
			desk->spawn.serial = 0;
		}
		GROUP::sync();
	}

	static __device__ void begin(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (!desk->spawn.resume)
			for (uint32_t i = lane; i < desk->spawn.state_bytes / 16; i += GROUP::lanes)
				((ulonglong2 *)desk->spawn.state)[i] = make_ulonglong2(0, 0);
		if (lane == 0) {
			desk->scratch = (struct rk_gpu_scratch *)desk->spawn.scratch;
			desk->inboxes = desk->outboxes = 0;
			desk->waiting_first = desk->waiting_cells = 0;
			desk->event = desk->hurry = 0;
			for (uint32_t i = 0; i < sizeof(desk->counters) / 8; i++)
				((uint64_t *)&desk->counters)[i] = 0;
			rk_enter(desk, RK_GPU_RUNNING);
		}
		GROUP::sync();
	}

	/* One look at every inbox; true if something came. */
	static __device__ __forceinline__ bool round(struct rk_ctx *ctx, void *state, uint8_t *cells,
						     struct rk_gpu_turn *turn, uint32_t inboxes)
	{
		bool came = false;

		if (inboxes == 1)
			return take(ctx, state, cells, turn, RK_IDLE_POLLS);
		for (uint32_t i = 0; i < inboxes; i++) {
			if (ctx->desk->rx[i].closed)
				continue;
			turn->rx = ctx->desk->rx[i];
			came |= take(ctx, state, cells, turn, 1);
			if (ctx->lane == 0)
				ctx->desk->rx[i] = turn->rx;
			GROUP::sync();
		}
		return came;
	}

	/* Asked to stop, or all inboxes closed; and nothing waits. */
	static __device__ bool is_over(const struct rk_gpu_desk *desk)
	{
		uint32_t closed = 0;

		for (uint32_t i = 0; i < desk->inboxes; i++)
			closed += desk->rx[i].closed != 0;
		return !desk->waiting_cells && (desk->phase == RK_GPU_DRAINING ||
						(desk->inboxes && closed == desk->inboxes));
	}

	/* From spawn to done. */
	static __device__ __noinline__ void run(struct rk_gpu_desk *desk, uint8_t *cells, uint32_t lane)
	{
		void *state = (void *)desk->spawn.state;
		struct rk_ctx ctx = {desk, 0, GROUP::lanes, lane, 0, 0, 0};
		struct rk_words host = {0, 0};
		struct rk_gpu_turn turn;
		uint32_t inboxes = 0, turns = 0, looks = 0;
		bool came, aside, news = false;

		turn.rx.closed = 1;
		begin(desk, lane);
		do {
			came = false;
			if (!desk->waiting_cells && (inboxes != 1 || !turn.rx.closed))
				came = round(&ctx, state, cells, &turn, inboxes);
			news |= came;
			if (came && ++turns % RK_BUSY_TURNS)
				continue;
			/* The words were asked for a turn ago, so that no message waits for them. */
			aside = GROUP::any(lane == 0 &&
					   (host.w1 != desk->control_taken || news ||
					    rk_hurry_for(desk, host.w0) || desk->waiting_cells ||
					    desk->phase == RK_GPU_DRAINING ||
					    ++looks % RK_BEAT_LOOKS == 0));
			if (aside) {
				if (inboxes == 1 && lane == 0)
					desk->rx[0] = turn.rx;
				GROUP::sync();
				aside = look_aside(desk, lane, host);
				news = false;
				if (desk->event == RK_GPU_START)
					tell(desk, lane, state,
					     (const struct rk_msg *)desk->scratch->longer);
				if (desk->hurry || (!came && !aside && is_over(desk)))
					break;
				inboxes = desk->inboxes;
				if (inboxes == 1)
					turn.rx = desk->rx[0];
				GROUP::sync();
			}
			if (lane == 0)
				host = rk_load_words(desk->seat + offsetof(struct rk_gpu_seat, hurry));
		} while (true);
		GROUP::sync();
		stop(desk, lane, state);
	}
};

#endif
