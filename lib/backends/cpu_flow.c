// SPDX-License-Identifier: MIT
/* What becomes of a message that finds no room or comes too late, and what waits in an outbox. */
#include "backends/cpu_flow.h"
#include "backends/cpu.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Dead letters --- */

/* The front and the message, or nothing: whoever reads the one waits for the other. */
static void bury(struct cpu_dead *dead, const struct rk_msg *msg, enum rk_drop why)
{
	const struct rk_dead_front front = {.time_ns = clock_ns(CLOCK_REALTIME),
					     .slots = msg->slots};
	struct rk_msg first = {.type = RK_DEAD_FRONT, .slots = 1, .tag = why};

	if (!dead->open)
		return;
	if (rk_ring_tx_free(&dead->tx) < 1u + msg->slots) {
		cpu_count(&dead->lost, 1);
		return;
	}
	memcpy(first.body, &front, sizeof(front));
	rk_ring_send(&dead->tx, &first);
	rk_ring_send(&dead->tx, msg);
}

static uint64_t *counter_of(struct cpu_counters *counters, enum rk_drop why)
{
	switch (why) {
	case RK_DROP_FULL:
		return &counters->dropped_full;
	case RK_DROP_OLD:
		return &counters->dropped_old;
	case RK_DROP_CLOSED:
		return &counters->dropped_closed;
	case RK_DROP_STOPPED:
		return &counters->dropped_stopped;
	default:
		return &counters->dropped_no_memory;
	}
}

static void drop(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg,
		 enum rk_drop why)
{
	if (msg->type < RK_MSG_PACKET)
		return;
	cpu_count(counter_of(&ctx->counters, why), 1);
	cpu_count(&box->flow->dropped[why], 1);
	bury(&box->flow->dead, msg, why);
}

/* --- What waits --- */

void cpu_flow_note_waiting(struct cpu_outbox *box)
{
	__atomic_store_n(&box->flow->waiting, box->cells - box->out, __ATOMIC_RELAXED);
}

int cpu_flow_append(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg)
{
	if (box->cells + msg->slots > box->flow->room) {
		uint32_t room = 2 * (box->cells + msg->slots);
		struct rk_msg *more = realloc(box->waiting, (size_t)room * RK_CELL_BYTES);

		if (!more) {
			drop(ctx, box, msg, RK_DROP_NO_MEMORY);
			return 0;
		}
		box->waiting = more;
		box->flow->room = room;
	}
	memcpy(box->waiting + box->cells, msg, (size_t)msg->slots * RK_CELL_BYTES);
	box->cells += msg->slots;
	cpu_flow_note_waiting(box);
	return 1;
}

void cpu_flow_drop_waiting(struct rk_ctx *ctx, struct cpu_outbox *box, enum rk_drop why)
{
	for (; box->out < box->cells; box->out += box->waiting[box->out].slots)
		drop(ctx, box, &box->waiting[box->out], why);
}

/* --- Drop oldest --- */

/* The front of what waits, which is never empty for long, would else grow for ever. */
static void squeeze(struct cpu_outbox *box)
{
	struct cpu_flow_out *flow = box->flow;

	if (box->out <= flow->backlog)
		return;
	memmove(box->waiting, box->waiting + box->out,
		(size_t)(box->cells - box->out) * RK_CELL_BYTES);
	flow->pinned -= flow->pinned < box->out ? flow->pinned : box->out;
	box->cells -= box->out;
	box->out = 0;
}

/* The oldest that may go. What a snapshot has counted, before its marker, may not. */
static bool drop_oldest(struct rk_ctx *ctx, struct cpu_outbox *box)
{
	uint32_t pinned = box->flow->pinned, at = pinned > box->out ? pinned : box->out;
	struct rk_msg *msg = &box->waiting[at];
	uint32_t slots;

	if (at == box->cells)
		return false;
	slots = msg->slots;
	drop(ctx, box, msg, RK_DROP_OLD);
	if (at == box->out) {
		box->out += slots;
		return true;
	}
	memmove(msg, msg + slots, (size_t)(box->cells - at - slots) * RK_CELL_BYTES);
	box->cells -= slots;
	return true;
}

static int keep_newest(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg)
{
	while (box->cells - box->out + msg->slots > box->flow->backlog)
		if (!drop_oldest(ctx, box)) {
			drop(ctx, box, msg, RK_DROP_OLD);
			return 0;
		}
	squeeze(box);
	return cpu_flow_append(ctx, box, msg);
}

int cpu_flow_no_room(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg)
{
	/* What may have to be forgotten is not sent yet, so nothing can have become of it. */
	if (ctx->holding)
		return cpu_flow_append(ctx, box, msg);
	if (box->tx->closed) {
		drop(ctx, box, msg, RK_DROP_CLOSED);
		return 0;
	}
	switch (box->flow->full) {
	case RK_FULL_DROP_NEWEST:
		drop(ctx, box, msg, RK_DROP_FULL);
		return 0;
	case RK_FULL_DROP_OLDEST:
		return keep_newest(ctx, box, msg);
	default:
		return cpu_flow_append(ctx, box, msg);
	}
}

/* --- What is not delivered --- */

bool cpu_flow_is_late(struct cpu_flow_in *flow, const struct rk_msg *msg)
{
	/* One that is never over costs no look at the clock. */
	if (rk_msg_deadline(msg) == RK_NO_DEADLINE || rk_msg_deadline(msg) >= now_ns())
		return false;
	cpu_count(&flow->expired, 1);
	bury(&flow->dead, msg, RK_DROP_EXPIRED);
	return true;
}

void cpu_flow_shed(struct cpu_flow_in *flow, const struct rk_msg *msg)
{
	cpu_count(&flow->shed, 1);
	bury(&flow->dead, msg, RK_DROP_SHED);
}

/* --- Shares --- */

static int take_messages(struct cpu_flow_in *flow, struct rk_ring_rx *rx, struct rk_msg *cells,
			 uint32_t room)
{
	uint32_t got = 0;

	for (uint32_t i = 0; i < flow->share_messages && !rx->closed; i++) {
		int more = rk_ring_recv(rx, cells + got, room - got);

		if (more <= 0)
			break;
		got += (uint32_t)more;
	}
	return (int)got;
}

/*
 * Deficit round robin (Shreedhar and Varghese): what a share leaves over, for the next message is
 * longer, is added to the next; what it leaves over because nothing is there is lost.
 */
static int take_slots(struct cpu_flow_in *flow, struct rk_ring_rx *rx, struct rk_msg *cells,
		      uint32_t room)
{
	uint32_t most = flow->unused_slots + flow->share_slots, left;
	int got;

	if (most > room)
		most = room;
	got = rk_ring_recv_batch(rx, cells, most);
	left = most - (got > 0 ? (uint32_t)got : 0);
	flow->unused_slots = left && rk_ring_wait_recv(rx, 0) > 0 ? left : 0;
	return got;
}

int cpu_flow_take(struct cpu_flow_in *flow, struct rk_ring_rx *rx, struct rk_msg *cells,
		  uint32_t room)
{
	return flow->share_messages ? take_messages(flow, rx, cells, room)
				    : take_slots(flow, rx, cells, room);
}

/* --- Pace --- */

/* What it has not used for longer is lost: a hundredth of a second's, and a batch at least. */
static int64_t burst_of(const struct cpu_pace *pace)
{
	return pace->slots_per_s / 100 > CPU_BATCH_CELLS ? pace->slots_per_s / 100
							 : CPU_BATCH_CELLS;
}

bool cpu_pace_holds(struct cpu_pace *pace)
{
	uint64_t now = now_ns(), elapsed_ns = now - pace->counted_ns, earned;

	/* A second fills any bucket, and its product fits a word. */
	if (elapsed_ns > 1000000000) {
		elapsed_ns = 1000000000;
		pace->counted_ns = now - elapsed_ns;
	}
	earned = elapsed_ns * pace->slots_per_s / 1000000000;
	pace->left_slots += (int64_t)earned;
	if (pace->left_slots > burst_of(pace))
		pace->left_slots = burst_of(pace);
	/* What was not enough for a slot counts on. */
	pace->counted_ns += earned * 1000000000 / pace->slots_per_s;
	pace->waits = pace->left_slots <= 0;
	return pace->waits;
}

uint64_t cpu_pace_due_ns(const struct cpu_pace *pace)
{
	if (!pace->waits)
		return UINT64_MAX;
	return pace->counted_ns +
	       ((uint64_t)(1 - pace->left_slots) * 1000000000 + pace->slots_per_s - 1) /
		       pace->slots_per_s;
}

/* --- Levels --- */

bool cpu_flow_crossed(struct cpu_outbox *box, uint32_t index, struct rk_msg *event)
{
	struct cpu_flow_out *flow = box->flow;
	struct rk_level level = {.outbox = index};
	bool was_high = flow->is_high;

	if (!flow->high_slots || box->tx->closed)
		return false;
	level.slots = (1ULL << box->tx->capacity_log2) - rk_ring_tx_free(box->tx) +
		      (box->cells - box->out);
	if (was_high ? level.slots > flow->low_slots : level.slots < flow->high_slots)
		return false;
	__atomic_store_n(&flow->is_high, !was_high, __ATOMIC_RELAXED);
	cpu_count(was_high ? &flow->lows : &flow->highs, 1);
	*event = (struct rk_msg){.type = was_high ? RK_MSG_LOW : RK_MSG_HIGH, .slots = 1};
	memcpy(event->body, &level, sizeof(level));
	return true;
}

/* --- Letters sent again --- */

/* The next one, which has no deadline from now on: its slots; 0: no more, or no room. */
static uint32_t replay_next(struct cpu_replay *order)
{
	struct rk_msg *msg = order->sent < order->count ? order->msgs[order->sent] : NULL;
	uint64_t deadline_ns;
	int sent;

	if (!msg)
		return 0;
	deadline_ns = rk_msg_deadline(msg);
	rk_msg_set_deadline(msg, RK_NO_DEADLINE);
	sent = rk_ring_send(order->tx, msg);
	if (sent > 0) {
		order->sent++;
		return (uint32_t)sent;
	}
	rk_msg_set_deadline(msg, deadline_ns);
	order->failed = order->tx->closed ? -EPIPE : sent;
	return 0;
}

void cpu_replay_here(struct cpu_replay *order)
{
	while (replay_next(order))
		;
}

void cpu_replay(struct rk_ctx *actor, void *argument)
{
	struct cpu_replay *order = argument;
	uint32_t slots;

	/* The order may be gone when it has stopped. */
	if (actor->phase >= CPU_CLOSING)
		return;
	for (uint32_t i = 0; i < actor->outboxes; i++)
		while (actor->outbox[i].tx == order->tx && !actor->outbox[i].cells &&
		       (slots = replay_next(order))) {
			cpu_count(&actor->counters.sent, 1);
			cpu_count(&actor->counters.sent_slots, slots);
		}
}
