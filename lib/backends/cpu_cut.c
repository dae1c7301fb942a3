// SPDX-License-Identifier: MIT
#include "backends/cpu_cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void cpu_cut_lend(struct rk_ctx *actor, struct cpu_cut *cut)
{
	__atomic_store_n(&cut->lent, 1, __ATOMIC_RELAXED);
	/* R12: pairs with A12 in cut_of(): whoever finds it finds it ready. */
	__atomic_store_n(&actor->cut, cut, __ATOMIC_RELEASE);
}

static struct cpu_cut *cut_of(const struct rk_ctx *actor)
{
	/* A12: pairs with R12 in cpu_cut_lend(). */
	return __atomic_load_n(&actor->cut, __ATOMIC_ACQUIRE);
}

bool cpu_cut_is_back(const struct cpu_cut *cut)
{
	/* A13: pairs with R13 in give_back(): all that the worker wrote into it is seen. */
	return !__atomic_load_n(&cut->lent, __ATOMIC_ACQUIRE);
}

static void give_back(struct rk_ctx *actor, struct cpu_cut *cut)
{
	if (cut->begun)
		actor->type = cut->real;
	/* Relaxed: only this thread and the next lender care. */
	__atomic_store_n(&actor->cut, NULL, __ATOMIC_RELAXED);
	/* R13: pairs with A13 in cpu_cut_is_back(). */
	__atomic_store_n(&cut->lent, 0, __ATOMIC_RELEASE);
	actor->answered(actor->owner);
}

void cpu_cut_reset(struct cpu_cut *cut)
{
	for (uint32_t i = 0; i < cut->inboxes; i++)
		free(cut->inbox[i].cells);
	free(cut->state);
	memset(cut, 0, sizeof(*cut));
}

/* --- Recording --- */

/* A message, or plain ones in a row, from the inbox that is being handled. */
static void record(struct rk_ctx *actor, struct cpu_cut *cut, const struct rk_msg *msgs,
		   uint32_t cells)
{
	struct cpu_cut_end *from = &cut->inbox[actor->from_inbox];

	if (actor->from_inbox >= cut->inboxes || !from->inside || from->marked || cut->failed)
		return;
	if (cells > from->room - from->count) {
		uint32_t room = 2 * (from->count + cells);
		struct rk_msg *more = realloc(from->cells, (size_t)room * RK_CELL_BYTES);

		if (!more) {
			cut->failed = -ENOMEM;
			return;
		}
		from->cells = more;
		from->room = room;
	}
	memcpy(from->cells + from->count, msgs, (size_t)cells * RK_CELL_BYTES);
	from->count += cells;
}

static void record_one(struct rk_ctx *actor, void *state, const struct rk_msg *msg)
{
	struct cpu_cut *cut = cut_of(actor);

	if (msg->type >= RK_MSG_PACKET) {
		cpu_enter_runtime(actor);
		record(actor, cut, msg, msg->slots);
		cpu_leave_runtime(actor);
	}
	cut->real->handle(actor, state, msg);
}

static void record_batch(struct rk_ctx *actor, void *state, struct rk_msg *msgs, uint32_t count)
{
	struct cpu_cut *cut = cut_of(actor);

	cpu_enter_runtime(actor);
	record(actor, cut, msgs, count);
	cpu_leave_runtime(actor);
	cut->real->batch(actor, state, msgs, count);
}

/* --- The cut --- */

static bool is_inside(const struct cpu_cut *cut, const void *end)
{
	for (uint32_t i = 0; i < cut->insides; i++)
		if (cut->inside[i] == end)
			return true;
	return false;
}

static bool is_handling(const struct rk_ctx *actor, uint32_t index)
{
	return index == actor->from_inbox && actor->handled_cells < actor->received_cells;
}

/* Slots taken from the inbox that is being handled, and not handled yet. */
static uint32_t unhandled(const struct rk_ctx *actor)
{
	uint32_t slots = 0;

	for (uint32_t at = actor->handled_cells; at < actor->received_cells;
	     at += actor->received[at].slots)
		/* It stays in the ring: no position counts it. */
		if (actor->received[at].type != RK_MSG_CLOSED)
			slots += actor->received[at].slots;
	return slots;
}

uint64_t cpu_handled(const struct rk_ctx *actor, uint32_t index)
{
	return rk_ring_rx_position(actor->inbox[index]) -
	       (is_handling(actor, index) ? unhandled(actor) : 0);
}

static void cut_inbox(struct rk_ctx *actor, struct cpu_cut *cut, uint32_t index)
{
	const struct rk_ring_rx *rx = actor->inbox[index];
	struct cpu_cut_end *end = &cut->inbox[index];

	*end = (struct cpu_cut_end){.end = rx, .inside = is_inside(cut, rx)};
	end->position = cpu_handled(actor, index) - rx->padded_slots;
	/* Closed and empty: no marker will come. */
	end->marked = rx->closed && !is_handling(actor, index);
	cut->open += end->inside && !end->marked;
}

static void cut_outbox(struct rk_ctx *actor, struct cpu_cut *cut, uint32_t index)
{
	const struct rk_msg marker = {.type = RK_MSG_CHECKPOINT, .slots = 1, .tag = cut->epoch};
	struct cpu_outbox *box = &actor->outbox[index];
	struct cpu_cut_end *end = &cut->outbox[index];

	*end = (struct cpu_cut_end){.end = box->tx, .inside = is_inside(cut, box->tx)};
	end->position =
		rk_ring_tx_position(box->tx) - box->tx->padded_slots + (box->cells - box->out);
	if (end->inside && !cpu_send_own(actor, box, &marker))
		cut->failed = -ENOMEM;
}

/* Between two messages. */
static void begin(struct rk_ctx *actor, struct cpu_cut *cut)
{
	cut->begun = true;
	cut->open = 1; /* the order */
	cut->inboxes = actor->inboxes;
	cut->outboxes = actor->outboxes;
	memcpy(cut->state, actor->state, actor->type->state_bytes);
	for (uint32_t i = 0; i < actor->inboxes; i++)
		cut_inbox(actor, cut, i);
	for (uint32_t i = 0; i < actor->outboxes; i++)
		cut_outbox(actor, cut, i);
	cut->real = actor->type;
	cut->recorder = *actor->type;
	cut->recorder.handle = record_one;
	cut->recorder.batch = actor->type->batch ? record_batch : NULL;
	actor->type = &cut->recorder;
}

/* One thing less to come. */
static void close_one(struct rk_ctx *actor, struct cpu_cut *cut)
{
	if (!--cut->open)
		give_back(actor, cut);
}

void cpu_cut_order(struct rk_ctx *actor, void *argument)
{
	struct cpu_cut *cut = cut_of(actor);

	if (cut != argument || actor->phase >= CPU_FAILED)
		return;
	if (!cut->begun)
		begin(actor, cut);
	close_one(actor, cut);
}

void cpu_cut_forget(struct rk_ctx *actor, void *argument)
{
	struct cpu_cut *cut = cut_of(actor);

	if (cut == argument)
		give_back(actor, cut);
}

void cpu_cut_control(struct rk_ctx *actor, const struct rk_msg *msg)
{
	struct cpu_cut *cut = cut_of(actor);
	bool marker = msg->type == RK_MSG_CHECKPOINT && cut && msg->tag == cut->epoch;
	struct cpu_cut_end *from;

	/* Anyone may send anything from outside: a marker counts between two of the group alone. */
	if (!cut || !is_inside(cut, actor->inbox[actor->from_inbox]) ||
	    (!marker && msg->type != RK_MSG_CLOSED))
		return;
	if (marker && !cut->begun)
		begin(actor, cut);
	from = &cut->inbox[actor->from_inbox];
	if (!cut->begun || from->marked)
		return;
	from->marked = true;
	close_one(actor, cut);
}

/* --- What was in flight --- */

void cpu_refill(struct rk_ctx *actor, void *argument)
{
	const struct cpu_refill *refill = argument;

	for (uint32_t i = 0; i < actor->outboxes; i++)
		for (uint32_t at = 0; actor->outbox[i].tx == refill->tx && at < refill->count;
		     at += refill->cells[at].slots)
			cpu_send_own(actor, &actor->outbox[i], &refill->cells[at]);
}
