// SPDX-License-Identifier: MIT
#include "backends/cpu.h"
#include "clock.h"

#include <stdlib.h>
#include <string.h>

static void count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

static void enter(struct rk_ctx *actor, enum cpu_phase phase)
{
	/* R2: pairs with A2 in lib/actor.c and lib/runtime.c: whoever reads CPU_CLOSING sees the
	 * state as RK_MSG_STOP left it.
	 */
	__atomic_store_n(&actor->phase, phase, __ATOMIC_RELEASE);
}

static uint32_t hurry_of(const struct rk_ctx *actor)
{
	return __atomic_load_n(&actor->hurry, __ATOMIC_RELAXED);
}

uint32_t rk_lane(const struct rk_ctx *ctx)
{
	(void)ctx;
	return 0;
}

uint32_t rk_lanes(const struct rk_ctx *ctx)
{
	(void)ctx;
	return 1;
}

void rk_add(const struct rk_ctx *ctx, uint64_t *sum, uint64_t amount)
{
	(void)ctx;
	*sum += amount;
}

/* --- Sending --- */

/* The message as it goes out: the current one's extensions, the payload, zeros to the end. */
static uint32_t build(struct rk_ctx *ctx, uint16_t type, uint32_t tag, const void *payload,
		      uint32_t bytes)
{
	struct rk_msg *msg = ctx->sending;
	uint8_t flags = ctx->current->flags;
	uint32_t front = rk_msg_extension_bytes(flags);
	uint32_t cells = rk_msg_cells(flags, bytes);
	uint32_t used = RK_MSG_HEADER_BYTES + front + bytes;

	msg->type = type;
	msg->flags = flags;
	msg->slots = (uint8_t)cells;
	msg->tag = tag;
	memcpy(msg->body, ctx->current->body, front);
	if (bytes)
		memcpy((char *)msg + RK_MSG_HEADER_BYTES + front, payload, bytes);
	memset((char *)msg + used, 0, cells * RK_CELL_BYTES - used);
	return cells;
}

static void count_sent(struct rk_ctx *ctx, uint32_t cells)
{
	count(&ctx->counters.sent, 1);
	count(&ctx->counters.sent_slots, cells);
}

/* Put a message behind those that wait already. */
static int append(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg)
{
	if (box->cells + msg->slots > box->room) {
		uint32_t room = 2 * (box->cells + msg->slots);
		struct rk_msg *more = realloc(box->waiting, (size_t)room * RK_CELL_BYTES);

		if (!more) {
			count(&ctx->counters.dropped_no_memory, 1);
			return 0;
		}
		box->waiting = more;
		box->room = room;
	}
	memcpy(box->waiting + box->cells, msg, (size_t)msg->slots * RK_CELL_BYTES);
	box->cells += msg->slots;
	return 1;
}

int rk_send(struct rk_ctx *ctx, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
	    uint32_t bytes)
{
	struct cpu_outbox *box;
	uint32_t cells;

	if (outbox >= ctx->outboxes) {
		count(&ctx->counters.dropped_no_outbox, 1);
		return 0;
	}
	box = &ctx->outbox[outbox];
	if (type < RK_MSG_PACKET || bytes > RK_MSG_MAX_SLOTS * RK_CELL_BYTES ||
	    rk_msg_cells(ctx->current->flags, bytes) > box->tx->max_slots) {
		count(&ctx->counters.dropped_bad, 1);
		return 0;
	}
	cells = build(ctx, type, tag, payload, bytes);
	if (!box->cells && rk_ring_send(box->tx, ctx->sending)) {
		count_sent(ctx, cells);
		return 1;
	}
	if (box->tx->closed) {
		count(&ctx->counters.dropped_closed, 1);
		return 0;
	}
	return append(ctx, box, ctx->sending);
}

uint32_t rk_send_batch(struct rk_ctx *ctx, uint32_t outbox, const struct rk_msg *msgs,
		       uint32_t count_msgs)
{
	struct cpu_outbox *box;
	int sent = 0;

	if (outbox >= ctx->outboxes) {
		count(&ctx->counters.dropped_no_outbox, count_msgs);
		return 0;
	}
	box = &ctx->outbox[outbox];
	if (!box->cells)
		sent = rk_ring_send_batch(box->tx, msgs, count_msgs);
	if (sent > 0) {
		count(&ctx->counters.sent, (uint64_t)sent);
		count(&ctx->counters.sent_slots, (uint64_t)sent);
	}
	if (sent == (int)count_msgs)
		return count_msgs;
	if (box->tx->closed) {
		count(&ctx->counters.dropped_closed, count_msgs - (uint32_t)(sent > 0 ? sent : 0));
		return 0;
	}
	for (uint32_t i = sent > 0 ? (uint32_t)sent : 0; i < count_msgs; i++)
		append(ctx, box, &msgs[i]);
	return count_msgs;
}

/* Count all that waits as dropped. */
static void drop_waiting(struct cpu_outbox *box, uint64_t *reason)
{
	for (; box->out < box->cells; box->out += box->waiting[box->out].slots)
		count(reason, 1);
}

/* Send what waits; true when nothing waits any more. */
static bool flush(struct rk_ctx *actor, struct cpu_outbox *box)
{
	if (!box->cells)
		return true;
	while (box->out < box->cells) {
		const struct rk_msg *msg = &box->waiting[box->out];

		if (!rk_ring_send(box->tx, msg))
			break;
		count_sent(actor, msg->slots);
		box->out += msg->slots;
	}
	if (box->tx->closed)
		drop_waiting(box, &actor->counters.dropped_closed);
	else if (hurry_of(actor))
		drop_waiting(box, &actor->counters.dropped_stopped);
	if (box->out < box->cells)
		return false;
	box->out = box->cells = 0;
	return true;
}

static bool flush_all(struct rk_ctx *actor)
{
	bool all = true;

	for (uint32_t i = 0; i < actor->outboxes; i++)
		all &= flush(actor, &actor->outbox[i]);
	return all;
}

/* Say RK_MSG_CLOSED in every outbox; true when all have it or nobody is left to be told. */
static bool close_outboxes(struct rk_ctx *actor)
{
	uint64_t reason = hurry_of(actor) ? RK_CLOSE_STOPPED : RK_CLOSE_DONE;
	bool all = true;

	for (uint32_t i = 0; i < actor->outboxes; i++)
		if (!flush(actor, &actor->outbox[i]) ||
		    !rk_ring_close(actor->outbox[i].tx, reason))
			all = false;
	return all || hurry_of(actor) == CPU_LET_GO;
}

/* --- Receiving --- */

static void handle(struct rk_ctx *actor, const struct rk_msg *msg)
{
	actor->current = msg;
	actor->type->handle(actor, actor->state, msg);
}

static void obey(struct rk_ctx *actor, const struct rk_msg *msg)
{
	void *end;

	memcpy(&end, rk_msg_payload(msg), sizeof(end));
	switch (msg->type) {
	case RK_MSG_START:
		handle(actor, msg);
		break;
	case RK_MSG_STOP:
		if (actor->phase == CPU_RUNNING)
			enter(actor, CPU_DRAINING);
		break;
	case CPU_INBOX:
		actor->inbox[actor->inboxes++] = end;
		actor->unguarded |= *actor->inbox[actor->inboxes - 1]->peer_unguarded;
		break;
	case CPU_OUTBOX:
		actor->outbox[actor->outboxes++].tx = end;
		actor->unguarded |= *actor->outbox[actor->outboxes - 1].tx->peer_unguarded;
		break;
	}
}

static int take_control(struct rk_ctx *actor)
{
	struct rk_msg cells[CPU_CONTROL_CELLS];
	int taken = 0;

	while (rk_ring_recv(&actor->control, cells, CPU_CONTROL_CELLS) > 0) {
		obey(actor, cells);
		taken = 1;
	}
	return taken;
}

/* Plain messages in a row at the front of @cells: one cell each, and not the runtime's own. */
static uint32_t count_plain(const struct rk_msg *cells, uint32_t most)
{
	uint32_t found = 0;

	while (found < most && cells[found].slots == 1 && cells[found].type >= RK_MSG_PACKET)
		found++;
	return found;
}

/* All plain messages that come next, at once; 0 when there is none. */
static uint32_t handle_batch(struct rk_ctx *actor)
{
	struct rk_msg *msgs = &actor->received[actor->handled_cells];
	uint32_t found = count_plain(msgs, actor->received_cells - actor->handled_cells);

	if (!found)
		return 0;
	actor->handled_cells += found;
	count(&actor->counters.received_slots, found);
	count(&actor->counters.received, found);
	actor->current = msgs;
	actor->type->batch(actor, actor->state, msgs, found);
	return found;
}

/* Handle what was taken from an inbox, until something it sends has to wait; true when through. */
static bool handle_received(struct rk_ctx *actor)
{
	while (actor->handled_cells < actor->received_cells) {
		const struct rk_msg *msg = &actor->received[actor->handled_cells];

		if (!flush_all(actor))
			return false;
		if (actor->type->batch && handle_batch(actor))
			continue;
		actor->handled_cells += msg->slots;
		count(&actor->counters.received_slots, msg->slots);
		if (msg->type < RK_MSG_PACKET)
			continue;
		count(&actor->counters.received, 1);
		handle(actor, msg);
	}
	return flush_all(actor);
}

/* A batch from each inbox in turn, for as long as all that it makes us send finds room. */
static int take_inboxes(struct rk_ctx *actor)
{
	int taken = 0;

	for (uint32_t i = 0; i < actor->inboxes && !hurry_of(actor); i++) {
		struct rk_ring_rx *rx = actor->inbox[i];
		int cells;

		if (rx->closed)
			continue;
		cells = rk_ring_recv_batch(rx, actor->received, CPU_BATCH_CELLS);
		actor->received_cells = cells > 0 ? (uint32_t)cells : 0;
		actor->handled_cells = 0;
		/* A link made before these were sent is in effect for them (A0 of the ring). */
		if (cells > 0)
			taken |= 1 | take_control(actor);
		if (rx->closed)
			actor->inboxes_closed++;
		if (!handle_received(actor))
			break;
	}
	return taken;
}

/* RK_MSG_STOP to the handler, then no more messages. */
static void stop(struct rk_ctx *actor)
{
	static const struct rk_msg msg = {.type = RK_MSG_STOP, .slots = 1};

	take_control(actor);
	handle(actor, &msg);
	for (uint32_t i = 0; i < actor->inboxes; i++)
		if (!actor->inbox[i]->closed)
			rk_ring_refuse(actor->inbox[i], RK_CLOSE_STOPPED);
	enter(actor, CPU_CLOSING);
	actor->stopped(actor->owner);
}

static int poll_actor(struct rk_task *task)
{
	struct rk_ctx *actor = (struct rk_ctx *)task;
	int worked = take_control(actor);

	if (actor->phase < CPU_CLOSING) {
		bool through = handle_received(actor);
		int taken = through ? take_inboxes(actor) : 0;
		bool idle = through && !taken;
		bool ended = actor->inboxes && actor->inboxes_closed == actor->inboxes;

		/* In a hurry nothing waits for room, so what was taken already is handled first. */
		if ((hurry_of(actor) && handle_received(actor)) ||
		    (idle && (ended || actor->phase == CPU_DRAINING)))
			stop(actor);
		worked |= taken;
	}
	if (actor->phase == CPU_CLOSING && close_outboxes(actor)) {
		enter(actor, CPU_DONE);
		return -1;
	}
	return worked;
}

/* A device wakes nobody: look again soon. */
static uint64_t due_ns(const struct rk_task *task)
{
	return ((const struct rk_ctx *)task)->unguarded ? now_ns() + CPU_UNGUARDED_NAP_NS :
							       UINT64_MAX;
}

static void finished(struct rk_task *task)
{
	struct rk_ctx *actor = (struct rk_ctx *)task;

	actor->done(actor->owner);
}

void cpu_actor_prepare(struct rk_ctx *actor, const struct rk_actor_type *type, void *state,
		       struct rk_worker *worker)
{
	static const struct rk_msg none = {.slots = 1};

	actor->task = (struct rk_task){
		.poll = poll_actor, .due_ns = due_ns, .finished = finished, .fd = -1};
	actor->type = type;
	actor->state = state;
	actor->worker = worker;
	actor->current = &none;
}

void cpu_actor_release(struct rk_ctx *actor)
{
	for (uint32_t i = 0; i < actor->outboxes; i++)
		free(actor->outbox[i].waiting);
}
