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

#include "gpu_io.cuh"

#define RK_NEAR_POLLS 16    /* of shared memory in a round: they take as long as one from afar */
#define RK_BUSY_TURNS 64    /* and while messages come */
#define RK_REAP_MOST 128	    /* completions between two looks at all else */
#define RK_REAP_LOOKS 8	    /* for the next one */
#define RK_LAST_ROUNDS 4    /* of all inboxes, before an actor that is to stop does */

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
	 * Take plain messages from inbox @index until something else is to be done, and at least in
	 * @idle_rounds of polls nothing or @busy_turns times something came. All that it needs lies in
	 * registers; at its end the desk is right again. @MIXED: rings may lie in shared memory.
	 * Return: enum rk_gpu_pause.
	 */
	template <bool MIXED>
	static __device__ __noinline__ uint32_t flow(uint32_t seat, uint32_t lane, uint32_t index,
						     uint32_t idle_rounds, uint32_t busy_turns)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		uint8_t *cells = rk_shared()->cells[seat];
		void *state = (void *)desk->spawn.state;
		uint64_t serial = desk->spawn.serial, marker = desk->marker;
		uint32_t received = 0, idle = 0, busy = 0, pause;
		struct rk_ctx ctx = {desk, 0, GROUP::lanes, lane, 0, MIXED};
		struct rk_gpu_watch watch;
		struct rk_gpu_turn turn;

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
			if (rk_poll(GROUP(), &ctx, &turn, cells,
				    MIXED ? RK_NEAR_POLLS : GROUP::polls)) {
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
				if (GROUP::lanes == RK_GPU_WARP_LANES)
					turn.told = __any_sync(RK_FULL_WARP,
							       rk_watch(&watch, lane, MIXED));
				pause = RK_PAUSE_TOLD;
				if (turn.told)
					break;
				pause = RK_PAUSE_IDLE;
				if (++idle >= idle_rounds)
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
		if (lane == 0 && (what & 0xff) == RK_SPECIAL_MESSAGE &&
		    rk_is_late(desk, index, what >> 8))
			what = (what & ~0xffu) | RK_SPECIAL_PASSED;
		if (lane == 0)
			desk->event = what;
		GROUP::sync();
		what = desk->event;
		if ((what & 0xff) == RK_SPECIAL_MESSAGE)
			tell(desk, lane, (const struct rk_msg *)desk->scratch->longer, 1);
		if (lane == 0) {
			if ((what & 0xff) == RK_SPECIAL_PASSED)
				rk_take_marker(desk, index);
			if ((what & 0xff) == RK_SPECIAL_CLOSED)
				rk_take_closed(desk, index);
			else
				rx->position += what >> 8;
			desk->counters.received += (what & 0xff) == RK_SPECIAL_MESSAGE;
			if ((what & 0xff) != RK_SPECIAL_PADDING)
				desk->counters.received_slots += what >> 8;
			/* What never comes whole keeps nothing back of what came before it. */
			if (rk_credit_is_due(rx) || ((what & 0xff) == RK_SPECIAL_LATER &&
						     rx->position != rx->credited)) {
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
		uint32_t index = next_inbox(desk), rounds, turns, pause;
		/*
		 * Who hears of levels, or has a backlog, looks aside often; and while its own I/O is in
		 * flight a completion is what it waits for.
		 */
		bool hasty = desk->phase == RK_GPU_DRAINING || desk->levels || desk->waiting_cells ||
			     (desk->io && desk->io->sq_next != desk->io->cq_next);
		bool held_up = rk_is_held_up(desk);

		if (!desk->started || desk->phase == RK_GPU_DORMANT) {
			if (lane == 0 && desk->phase == RK_GPU_DORMANT)
				await_word(desk);
			return false;
		}
		if (held_up || index == desk->inboxes)
			return held_up;
		rounds = hasty ? RK_LAST_ROUNDS : RK_IDLE_POLLS / GROUP::polls;
		turns = desk->levels ? 1 : RK_BUSY_TURNS;
		pause = desk->mixed ? flow<true>(seat, lane, index, rounds, turns) :
				      flow<false>(seat, lane, index, rounds, turns);
		if (pause == RK_PAUSE_SPECIAL)
			take_special(seat, lane, index);
		else if (lane == 0)
			desk->next_inbox = index + 1;
		return pause != RK_PAUSE_IDLE;
	}

	/* --- Control --- */

	static __device__ bool takes(const struct rk_gpu_desk *desk)
	{
		return desk->started &&
		       (desk->phase == RK_GPU_RUNNING || desk->phase == RK_GPU_DRAINING);
	}

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
		if (rk_unlikely(desk->levels) && desk->event == RK_GPU_NOTHING && !desk->hurry &&
		    takes(desk) && rk_crossed(desk))
			desk->event = RK_GPU_TO_TELL;
		rk_beat(desk);
		rk_publish(desk);
		if (desk->event == RK_GPU_NOTHING &&
		    rk_hurry_in(desk, desk->host_word) == RK_GPU_PAUSE)
			found = RK_ASIDE_PAUSED;
		return found;
	}

	/* Those of @msgs of @which to the handler, with no outbox held before. All lanes. */
	static __device__ __noinline__ void tell(struct rk_gpu_desk *desk, uint32_t lane,
						 const struct rk_msg *msgs, uint32_t which)
	{
		struct rk_ctx ctx = {desk, msgs, GROUP::lanes, lane, 0, true};
		uint32_t at;

		GROUP::sync();
		if (lane == 0)
			rk_store_word(desk->marker, desk->spawn.serial);
		rk_hold(&ctx);
		for (; which; which &= which - 1) {
			at = (uint32_t)__ffs((int)which) - 1;
			call(&ctx, (void *)desk->spawn.state, &msgs[at], !(which & (which - 1)));
		}
		GROUP::sync();
		if (lane == 0) {
			rk_settle(&ctx);
			rk_drain(desk);
			rk_store_word(desk->marker, 0);
		}
		GROUP::sync();
	}

	/* Completions as messages; what the handler starts meanwhile, the kernel is told of at once. */
	static __device__ __forceinline__ void tell_completions(struct rk_gpu_desk *desk, uint32_t lane,
								const struct rk_msg *msgs,
								uint32_t which)
	{
		struct rk_io *io = desk->io;
		uint32_t before = 0;

		if (lane == 0) {
			before = io->sq_next;
			io->gathering = 1;
		}
		tell(desk, lane, msgs, which);
		if (lane == 0) {
			io->gathering = 0;
			if (io->sq_next != before)
				rk_io_publish(io);
			desk->counters.received += (uint32_t)__popc(which);
			desk->counters.received_slots += (uint32_t)__popc(which);
		}
		GROUP::sync();
	}

#define RK_REAP_OVER 0x80000000u

	/*
	 * Completions of the actor's own I/O; true if there was one. While something is in flight a few
	 * looks more are cheaper than to go round.
	 */
	static __device__ __noinline__ bool reap(uint32_t seat, uint32_t lane)
	{
		struct rk_gpu_desk *desk = &rk_shared()->desk[seat];
		struct rk_msg *msgs = (struct rk_msg *)rk_shared()->cells[seat];
		uint32_t looks = 0, taken = 0, count = 0, which = 0;
		struct rk_gpu_reaper reaper;
		struct rk_words words;

		rk_reap_begin(&reaper, desk->io);
		while (looks < RK_REAP_LOOKS && taken < RK_REAP_MOST) {
			if (lane < RK_GPU_WARP_LANES) {
				count = rk_reap_look(&reaper, lane, &words);
				which = count ? rk_reap_take(&reaper, lane, count, words, msgs) : 0;
				if (!count && rk_reap_is_over(&reaper))
					which = RK_REAP_OVER;
			}
			if (GROUP::lanes != RK_GPU_WARP_LANES) {
				if (lane == 0)
					desk->share[1] = (uint64_t)count << 32 | which;
				GROUP::sync();
				which = (uint32_t)desk->share[1];
				count = (uint32_t)(desk->share[1] >> 32);
				GROUP::sync();
			}
			if (which == RK_REAP_OVER)
				break;
			if (which) {
				tell_completions(desk, lane, msgs, which);
				reaper.submitted = reaper.io->sq_next;
			}
			taken += count;
			looks = count ? 0 : looks + 1;
		}
		return taken;
	}

	/* Asked to stop, or all inboxes closed; and nothing waits. */
	static __device__ bool is_over(const struct rk_gpu_desk *desk)
	{
		uint32_t closed = 0;

		if (desk->waiting_cells || desk->phase == RK_GPU_DORMANT)
			return false;
		for (uint32_t i = 0; i < desk->inboxes; i++) {
			if (desk->rx[i].closed == RK_INBOX_HELD)
				return false;
			closed += desk->rx[i].closed;
		}
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

	/* Its part of a snapshot, between two messages: all markers have come. */
	static __device__ __noinline__ void cut(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (lane == 0)
			desk->event_at = desk->cut.at;
		GROUP::sync();
		copy_state(desk, lane);
		GROUP::sync();
		if (lane == 0)
			rk_cut(desk);
		GROUP::sync();
	}

	static __device__ __noinline__ void start(struct rk_gpu_desk *desk, uint32_t lane)
	{
		if (lane == 0) {
			desk->started = 1;
			rk_enter(desk, RK_GPU_STARTING);
		}
		tell(desk, lane, (const struct rk_msg *)desk->scratch->longer, 1);
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
		if (lane == 0) {
			desk->counters.restarts++;
			rk_forget(desk);
		}
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

	/* The spawn message stays as it came: code, state and GPU may be others than before. */
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
			desk->scratch = (struct rk_gpu_scratch *)spawn.scratch;
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
		case RK_GPU_TO_TELL:
			tell(desk, lane, &desk->control, 1);
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
			tell(desk, lane, &desk->control, 1);
		__threadfence_system(); /* the state, by all who wrote it, before the phase */
		GROUP::sync();
		if (lane == 0) {
			for (uint32_t i = 0; i < desk->inboxes; i++)
				if (desk->rx[i].closed != RK_INBOX_CLOSED)
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
			desk->mixed = desk->grants = desk->kept = desk->news = 0;
			desk->flowing = desk->levels = 0;
			desk->host_word = rk_host_word(desk);
			desk->waiting_first = desk->waiting_cells = 0;
			desk->event = desk->hurry = desk->dropping = 0;
			desk->obeyed = desk->answered = 0;
			desk->cut.at = 0;
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
				came |= reap(seat, lane);
			GROUP::sync(); /* all have seen the desk as it was */
			if (lane == 0)
				desk->share[0] = look_aside(desk);
			GROUP::sync();
			if (desk->share[0] == RK_ASIDE_PAUSED)
				return true;
			obey(desk, lane);
			if (desk->event == RK_GPU_TO_LEAVE)
				return leave(desk, lane);
			if (desk->cut.at && !desk->cut.inboxes) {
				cut(desk, lane);
				came = true; /* from inboxes that were held something may */
			}
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
