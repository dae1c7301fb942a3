/* SPDX-License-Identifier: MIT */
/*
 * gpu_flow.cuh - what becomes of messages that find no room or come too late: policies, dead letters,
 * levels. All of it is the leader's alone, and none of it lies on the way of a message that finds room
 * and has no deadline.
 *
 * What a handler sends and finds no room waits, whatever its link's policy; that is applied when the
 * handler has come back. So the handler itself has nothing of this in it.
 */
#ifndef RK_GPU_FLOW_CUH
#define RK_GPU_FLOW_CUH

#include "gpu_actor.cuh"

/* --- An end, as the host describes it --- */

static __device__ uint32_t rk_load_half(uint64_t address)
{
	return (uint32_t)(rk_load_word(address & ~7ull) >> 8 * (address & 4));
}

static __device__ void rk_load_policies(struct rk_gpu_end *end)
{
	uint64_t flow = end->flow;

	end->dead.slots = rk_load_word(flow + offsetof(struct rk_gpu_flow, dead_slots));
	end->dead.credit = rk_load_word(flow + offsetof(struct rk_gpu_flow, dead_credit));
	end->dead.capacity_log2 = rk_load_half(flow + offsetof(struct rk_gpu_flow, dead_capacity_log2));
	end->dead.limit = 1ull << end->dead.capacity_log2;
	end->full = rk_load_half(flow + offsetof(struct rk_gpu_flow, full));
	end->backlog = rk_load_half(flow + offsetof(struct rk_gpu_flow, backlog));
	end->high_slots = rk_load_half(flow + offsetof(struct rk_gpu_flow, high_slots));
	end->low_slots = rk_load_half(flow + offsetof(struct rk_gpu_flow, low_slots));
}

/* A link's end is taken. */
static __device__ void rk_open_end(struct rk_gpu_end *end, const struct rk_gpu_ring *ring)
{
	uint64_t *words = (uint64_t *)end;

	for (uint32_t i = 0; i < sizeof(*end) / 8; i++)
		words[i] = 0;
	end->flow = ring->flow;
	if (ring->policies)
		rk_load_policies(end);
}

/* Tell the host what became of messages. */
static __device__ void rk_publish_ends(const struct rk_gpu_end *ends, uint32_t count)
{
	for (uint32_t at = 0; at < count; at++) {
		const uint64_t *words = (const uint64_t *)&ends[at].counts;
		uint64_t to = ends[at].flow + offsetof(struct rk_gpu_flow, counts);

		for (uint32_t i = 0; ends[at].flow && i < sizeof(ends[at].counts) / 8; i++)
			rk_store_word(to + 8 * i, words[i]);
	}
}

/* --- Dead letters --- */

/*
 * The front and the message, or nothing: whoever reads the one waits for the other. Its cells lie from
 * number @first on in a ring of @wrap at @cells.
 */
static __device__ __noinline__ void rk_bury(const struct rk_gpu_desk *desk, struct rk_gpu_end *end,
					    const uint8_t *cells, uint32_t first, uint32_t wrap,
					    uint32_t slots, uint32_t why)
{
	uint64_t front[7] = {(uint64_t)why << 32 | 1u << 24 | RK_DEAD_FRONT, 0, slots, 0, 0, 0, 0};

	if (!end->dead.slots)
		return;
	if (rk_tx_room(&end->dead, slots + 1) < slots + 1) {
		end->counts.dead_lost++;
		return;
	}
	front[1] = rk_load_word(desk->clock + offsetof(struct rk_gpu_clock_line, realtime_ns));
	rk_store_cell(&end->dead, end->dead.position++, front);
	for (uint32_t i = 0; i < slots; i++)
		rk_store_cell(&end->dead, end->dead.position++,
			      (const uint64_t *)(cells + (first + i) % wrap * RK_CELL_BYTES));
}

/* A message of the runtime's own, which is never dropped for want of room. */
static __device__ bool rk_is_own(struct rk_gpu_desk *desk, uint32_t index)
{
	return (*rk_waiting_cell(desk, index) & 0xffff) < RK_MSG_PACKET;
}

/* One that waits is dropped, and kept as a letter where that is wanted. */
static __device__ void rk_drop_waiting(struct rk_gpu_desk *desk, uint32_t index, uint32_t slots,
				       uint32_t why)
{
	uint32_t to = desk->scratch->waiting_to[index % RK_GPU_WAITING];

	/* What it says is of use no more. */
	if (!rk_is_own(desk, index)) {
		rk_count_drop(desk, to, why);
		if (to < desk->outboxes)
			rk_bury(desk, &desk->scratch->out[to], desk->scratch->waiting, index,
				RK_GPU_WAITING, slots, why);
	}
	rk_leave_waiting(desk, index, slots);
}

/* --- What waits --- */

/* The next message that waits, from number @i on: its slots, and its first cell's number; 0: none. */
static __device__ __forceinline__ uint32_t rk_find_waiting(struct rk_gpu_desk *desk, uint32_t *i)
{
	for (; *i < desk->waiting_cells; ++*i) {
		uint32_t index = desk->waiting_first + *i;

		if (desk->scratch->waiting_to[index % RK_GPU_WAITING] != 0xff)
			return (uint32_t)(*rk_waiting_cell(desk, index) >> 24 & 0xff);
	}
	return 0;
}

/* Close the gaps that what was sent has left. */
static __device__ void rk_squeeze(struct rk_gpu_desk *desk)
{
	uint8_t *waiting_to = desk->scratch->waiting_to;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < desk->waiting_cells; i++) {
		uint32_t from = desk->waiting_first + i, to = desk->waiting_first + kept;

		if (waiting_to[from % RK_GPU_WAITING] == 0xff)
			continue;
		for (uint32_t word = 0; word < 7 && from != to; word++)
			rk_waiting_cell(desk, to)[word] = rk_waiting_cell(desk, from)[word];
		waiting_to[to % RK_GPU_WAITING] = waiting_to[from % RK_GPU_WAITING];
		kept++;
	}
	desk->waiting_cells = kept;
}

/* How much waits for each outbox, and up to where what waits may not be dropped. Cells in all. */
static __device__ uint32_t rk_count_waiting(struct rk_gpu_desk *desk)
{
	struct rk_gpu_end *out = desk->scratch->out;
	uint32_t cells = 0, slots;

	for (uint32_t i = 0; i < desk->outboxes; i++)
		out[i].counts.waiting = out[i].pinned = 0;
	for (uint32_t i = 0; (slots = rk_find_waiting(desk, &i)); i += slots) {
		uint32_t index = desk->waiting_first + i;
		uint32_t to = desk->scratch->waiting_to[index % RK_GPU_WAITING];

		cells += slots;
		if (to >= desk->outboxes)
			continue;
		out[to].counts.waiting += slots;
		if (rk_is_own(desk, index))
			out[to].pinned = i + slots;
	}
	return cells;
}

/* Where the oldest are dropped, those beyond the backlog. True if all that waits then is backlog. */
static __device__ bool rk_keep_newest(struct rk_gpu_desk *desk)
{
	struct rk_gpu_end *out = desk->scratch->out;
	bool all = true;
	uint32_t slots;

	for (uint32_t i = 0; (slots = rk_find_waiting(desk, &i)); i += slots) {
		uint32_t index = desk->waiting_first + i;
		uint32_t to = desk->scratch->waiting_to[index % RK_GPU_WAITING];

		if (to >= desk->outboxes || out[to].full != RK_GPU_DROP_OLDEST) {
			all = false;
			continue;
		}
		if (out[to].counts.waiting <= out[to].backlog || i < out[to].pinned)
			continue;
		out[to].counts.waiting -= slots;
		rk_drop_waiting(desk, index, slots, RK_GPU_OLD);
	}
	return all;
}

/* Apply the policies to what is left waiting. */
static __device__ __noinline__ void rk_apply_policies(struct rk_gpu_desk *desk)
{
	uint32_t cells = rk_count_waiting(desk);

	desk->kept = rk_keep_newest(desk);
	desk->news = 1;
	rk_drop_sent(desk);
	if (desk->waiting_cells > RK_SQUEEZE_CELLS && desk->waiting_cells > 2 * cells)
		rk_squeeze(desk);
}

static __device__ bool rk_drops_newest(struct rk_gpu_desk *desk, uint32_t index, uint32_t to)
{
	return desk->flowing >> to & 1 && desk->scratch->out[to].full == RK_GPU_DROP_NEWEST &&
	       !rk_is_own(desk, index);
}

/* Send what waits, each outbox in its order, as far as there is room. */
static __device__ __noinline__ void rk_drain(struct rk_gpu_desk *desk)
{
	uint32_t blocked = 0, slots, fate;

	for (uint32_t i = 0; (slots = rk_find_waiting(desk, &i)); i += slots) {
		uint32_t index = desk->waiting_first + i;
		uint32_t to = desk->scratch->waiting_to[index % RK_GPU_WAITING];

		if (blocked >> to & 1)
			continue;
		fate = rk_send_waiting(desk, index, slots);
		if (fate == RK_GPU_WAITS && rk_drops_newest(desk, index, to))
			fate = RK_GPU_FULL;
		if (fate == RK_GPU_SENT)
			rk_leave_waiting(desk, index, slots);
		else if (fate != RK_GPU_WAITS)
			rk_drop_waiting(desk, index, slots, fate);
		else
			blocked |= 1u << to;
		if (desk->outboxes == 1 && blocked)
			break;
	}
	rk_drop_sent(desk);
	if (rk_unlikely(desk->flowing))
		rk_apply_policies(desk);
}

/* Something waits, and the actor with it. */
static __device__ __forceinline__ bool rk_is_held_up(const struct rk_gpu_desk *desk)
{
	return desk->waiting_cells && !(desk->flowing && desk->kept);
}

/* --- Levels --- */

/* Slots sent on a link and not given back, and what waits for it. */
static __device__ uint64_t rk_level_of(struct rk_gpu_tx *tx, const struct rk_gpu_end *end)
{
	struct rk_words now;

	rk_load_words_of(&now, tx->credit, tx->shared, true);
	rk_believe(tx, now);
	return (1ull << tx->capacity_log2) - (tx->limit - tx->position) + end->counts.waiting;
}

/* Whether an outbox has crossed a level; then what its actor is to hear lies in desk->control. */
static __device__ __noinline__ bool rk_crossed(struct rk_gpu_desk *desk)
{
	uint64_t *message = (uint64_t *)&desk->control;

	for (uint32_t to = 0; to < desk->outboxes; to++) {
		struct rk_gpu_end *end = &desk->scratch->out[to];
		bool was_high = end->counts.is_high;
		uint64_t slots;

		if (!end->high_slots || desk->tx[to].closed)
			continue;
		slots = rk_level_of(&desk->tx[to], end);
		if (was_high ? slots > end->low_slots : slots < end->high_slots)
			continue;
		end->counts.is_high = !was_high;
		end->counts.highs += !was_high;
		end->counts.lows += was_high;
		desk->news = 1;
		message[0] = 1u << 24 | (was_high ? RK_MSG_LOW : RK_MSG_HIGH);
		message[1] = slots;
		message[2] = to;
		for (uint32_t i = 3; i < 7; i++)
			message[i] = 0;
		return true;
	}
	return false;
}

/* --- What is not delivered --- */

/* Whether the message in scratch->longer, of inbox @index, is late; then it is counted, and kept. */
static __device__ __noinline__ bool rk_is_late(struct rk_gpu_desk *desk, uint32_t index, uint32_t slots)
{
	struct rk_gpu_end *end = &desk->scratch->in[index];
	uint64_t deadline = rk_msg_deadline((const struct rk_msg *)desk->scratch->longer);

	if (deadline == RK_NO_DEADLINE ||
	    deadline >= rk_load_word(desk->clock + offsetof(struct rk_gpu_clock_line, monotonic_ns)))
		return false;
	desk->counters.dropped_expired++;
	end->counts.dropped[RK_GPU_EXPIRED]++;
	desk->news = 1;
	rk_bury(desk, end, desk->scratch->longer, 0, RK_GPU_LONG_CELLS, slots, RK_GPU_EXPIRED);
	return true;
}

#endif
