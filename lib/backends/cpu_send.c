// SPDX-License-Identifier: MIT
/* What a handler on cpu sends: straight into the ring, or waiting for room in it. */
#include "backends/cpu.h"

#include <stdlib.h>
#include <string.h>

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
	if (rk_unlikely(ctx->clock) && flags & RK_MSG_F_CLOCK)
		rk_msg_set_clock(msg, rk_hlc_now(ctx->clock));
	if (bytes)
		memcpy((char *)msg + RK_MSG_HEADER_BYTES + front, payload, bytes);
	memset((char *)msg + used, 0, cells * RK_CELL_BYTES - used);
	return cells;
}

static void count_sent(struct rk_ctx *ctx, uint32_t cells)
{
	cpu_count(&ctx->counters.sent, 1);
	cpu_count(&ctx->counters.sent_slots, cells);
}

/* One that had to wait; the runtime's own are not counted. */
static void count_waited(struct rk_ctx *ctx, const struct rk_msg *msg)
{
	if (msg->type >= RK_MSG_PACKET)
		count_sent(ctx, msg->slots);
}

static int send_one(struct rk_ctx *ctx, uint32_t outbox, uint16_t type, uint32_t tag,
		    const void *payload, uint32_t bytes)
{
	struct cpu_outbox *box;
	uint32_t cells;

	if (outbox >= ctx->outboxes) {
		cpu_count(&ctx->counters.dropped_no_outbox, 1);
		return 0;
	}
	box = &ctx->outbox[outbox];
	if (type < RK_MSG_PACKET || bytes > RK_MSG_MAX_SLOTS * RK_CELL_BYTES ||
	    rk_msg_cells(ctx->current->flags, bytes) > box->tx->max_slots) {
		cpu_count(&ctx->counters.dropped_bad, 1);
		return 0;
	}
	cells = build(ctx, type, tag, payload, bytes);
	if (!box->cells && rk_ring_send(box->tx, ctx->sending)) {
		count_sent(ctx, cells);
		return 1;
	}
	return cpu_flow_no_room(ctx, box, ctx->sending);
}

int rk_send(struct rk_ctx *ctx, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
	    uint32_t bytes)
{
	int sent;

	cpu_enter_runtime(ctx);
	sent = send_one(ctx, outbox, type, tag, payload, bytes);
	cpu_leave_runtime(ctx);
	return sent;
}

/* A trap on what the handler gave us comes now, and not in the middle of a slot. */
static void touch(const struct rk_msg *msgs, uint32_t count)
{
	const volatile char *byte = (const volatile char *)msgs;
	size_t bytes = (size_t)count * RK_CELL_BYTES;

	for (size_t at = 0; at < bytes; at += RK_PAGE_BYTES)
		(void)byte[at];
	if (bytes)
		(void)byte[bytes - 1];
}

static uint32_t send_many(struct rk_ctx *ctx, uint32_t outbox, const struct rk_msg *msgs,
			  uint32_t count_msgs)
{
	struct cpu_outbox *box;
	uint32_t taken = 0;

	if (outbox >= ctx->outboxes) {
		cpu_count(&ctx->counters.dropped_no_outbox, count_msgs);
		return 0;
	}
	box = &ctx->outbox[outbox];
	if (!box->cells) {
		int sent = rk_ring_send_batch(box->tx, msgs, count_msgs);

		taken = sent > 0 ? (uint32_t)sent : 0;
		cpu_count(&ctx->counters.sent, taken);
		cpu_count(&ctx->counters.sent_slots, taken);
	}
	for (uint32_t i = taken; i < count_msgs; i++)
		taken += (uint32_t)cpu_flow_no_room(ctx, box, &msgs[i]);
	return taken;
}

uint32_t rk_send_batch(struct rk_ctx *ctx, uint32_t outbox, const struct rk_msg *msgs,
		       uint32_t count)
{
	uint32_t sent;

	cpu_enter_runtime(ctx);
	touch(msgs, count);
	sent = send_many(ctx, outbox, msgs, count);
	cpu_leave_runtime(ctx);
	return sent;
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
		count_waited(actor, msg);
		box->out += msg->slots;
	}
	if (box->tx->closed)
		cpu_flow_drop_waiting(actor, box, RK_DROP_CLOSED);
	else if (cpu_hurry_of(actor))
		cpu_flow_drop_waiting(actor, box, RK_DROP_STOPPED);
	cpu_flow_note_waiting(box);
	if (box->out < box->cells)
		return false;
	box->out = box->cells = box->flow->pinned = 0;
	return true;
}

bool cpu_send_own(struct rk_ctx *actor, struct cpu_outbox *box, const struct rk_msg *msg)
{
	if (!box->cells && rk_ring_send(box->tx, msg)) {
		count_waited(actor, msg);
		return true;
	}
	if (box->tx->closed)
		return true;
	if (!cpu_flow_append(actor, box, msg))
		return false;
	box->flow->pinned = box->cells;
	return true;
}

/* A handler on trial waits for all: what it has sent may have to be forgotten. */
static bool must_wait(const struct rk_ctx *actor, const struct cpu_outbox *box)
{
	return box->flow->full == RK_FULL_WAIT || actor->trial;
}

bool cpu_flush(struct rk_ctx *actor)
{
	bool all = true;

	for (uint32_t i = 0; i < actor->outboxes; i++)
		all &= flush(actor, &actor->outbox[i]) || !must_wait(actor, &actor->outbox[i]);
	return all;
}

bool cpu_close_outboxes(struct rk_ctx *actor)
{
	uint64_t reason = actor->failed_for_good ? RK_CLOSE_PEER_DIED
			  : cpu_hurry_of(actor)	 ? RK_CLOSE_STOPPED
						 : RK_CLOSE_DONE;
	bool all = true;

	for (uint32_t i = 0; i < actor->outboxes; i++)
		if (!flush(actor, &actor->outbox[i]) || !rk_ring_close(actor->outbox[i].tx, reason))
			all = false;
	return all || cpu_hurry_of(actor) == CPU_LET_GO;
}
