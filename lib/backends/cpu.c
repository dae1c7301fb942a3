// SPDX-License-Identifier: MIT
/* An actor on cpu as its worker sees it: control, messages, the phases of its life. */
#include "backends/cpu_trial.h"
#include "clock.h"

#include <stdlib.h>
#include <string.h>

static void enter(struct rk_ctx *actor, enum cpu_phase phase)
{
	/* R2: pairs with A2 in lib/actor_cpu.c: whoever reads CPU_CLOSING or CPU_FAILED sees the
	 * state as the last call of the handler left it.
	 */
	__atomic_store_n(&actor->phase, phase, __ATOMIC_RELEASE);
}

/* Messages are handled in these phases alone. */
static bool takes(const struct rk_ctx *actor)
{
	return actor->phase == CPU_RUNNING || actor->phase == CPU_DRAINING;
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

int rk_any(struct rk_ctx *ctx, int said)
{
	(void)ctx;
	return said;
}

/* Between host threads A0 has done it: the message could not be taken without. */
void rk_acquire(const struct rk_ctx *ctx)
{
	(void)ctx;
}

void *rk_reach(struct rk_ctx *ctx, uint64_t address, uint64_t bytes)
{
	bool reached = !ctx->confined;

	for (uint32_t i = 0; i < ctx->grants && !reached; i++)
		reached = rk_gpu_grants(&ctx->grant[i], address, bytes);
	if (!reached)
		cpu_count(&ctx->counters.refused, 1);
	return reached ? (void *)(uintptr_t)address : NULL;
}

/* --- Calls of the handler --- */

static void handle(struct rk_ctx *actor, const struct rk_msg *msg)
{
	cpu_begin_call(actor, msg, msg->type >= RK_MSG_PACKET);
	actor->type->handle(actor, actor->state, msg);
	cpu_end_call(actor);
}

/* --- The end --- */

static void close_inboxes(struct rk_ctx *actor, uint64_t reason)
{
	for (uint32_t i = 0; i < actor->inboxes; i++)
		if (!actor->inbox[i]->closed)
			rk_ring_refuse(actor->inbox[i], reason);
}

/* No more messages; the outboxes are closed in the polls to come. */
static void begin_closing(struct rk_ctx *actor)
{
	if (actor->trial)
		cpu_trial_keep(actor);
	close_inboxes(actor, actor->failed_for_good ? RK_CLOSE_PEER_DIED : RK_CLOSE_STOPPED);
	enter(actor, CPU_CLOSING);
	actor->stopped(actor->owner);
}

static void answer(struct rk_ctx *actor)
{
	/* R9: pairs with A9 in lib/actor_cpu.c: what was asked for has been done. */
	__atomic_store_n(&actor->obeyed, actor->obeyed + 1, __ATOMIC_RELEASE);
	actor->obeying = false;
	actor->answered(actor->owner);
}

/* A call of the handler ended by @signal. */
static void fail(struct rk_ctx *actor, int signal)
{
	enum cpu_phase phase = actor->phase;

	if (actor->trial) {
		cpu_trial_undo(actor, signal);
		if (actor->obeying)
			answer(actor);
		return;
	}
	cpu_end_call(actor);
	actor->guarded.inside = actor->guarded.late = 0;
	actor->holding = false;
	__atomic_store_n(&actor->why, (uint32_t)signal, __ATOMIC_RELAXED);
	cpu_count(&actor->counters.failures, 1);
	cpu_count(&actor->counters.failed_messages, actor->in_call);
	enter(actor, CPU_FAILED);
	if (actor->obeying)
		answer(actor);
	/* It was told to stop: it has. */
	if (phase == CPU_DRAINING || !actor->failed(actor->owner)) {
		actor->failed_for_good = true;
		begin_closing(actor);
	}
}

/* --- Control --- */

static void start(struct rk_ctx *actor, const struct rk_msg *msg)
{
	enter(actor, CPU_STARTING);
	handle(actor, msg);
	enter(actor, CPU_RUNNING);
}

/* With its state goes what it was lent: whoever lent it has it back. */
static void forget(struct rk_ctx *actor)
{
	for (uint32_t i = 0; i < actor->inboxes; i++)
		rk_ring_rx_forget(actor->inbox[i], cpu_handled(actor, i));
}

static void restart(struct rk_ctx *actor, const struct rk_msg *first, const void *state,
		    const struct rk_actor_type *whose)
{
	if (actor->phase == CPU_DRAINING || actor->phase >= CPU_CLOSING)
		return;
	if (actor->trial)
		cpu_trial_keep(actor);
	forget(actor);
	if (whose != actor->type)
		state = NULL;
	if (state)
		memcpy(actor->state, state, actor->type->state_bytes);
	else
		memset(actor->state, 0, actor->type->state_bytes);
	cpu_count(&actor->counters.restarts, 1);
	if (state)
		enter(actor, CPU_RUNNING);
	else
		start(actor, first);
}

/* Begin, or go on after a pause. */
static void resume(struct rk_ctx *actor, const struct rk_msg *msg)
{
	if (actor->phase == CPU_DORMANT)
		start(actor, msg);
	else if (actor->phase == CPU_PAUSED)
		enter(actor, CPU_RUNNING);
}

/* The handler of an actor that runs gets RK_MSG_STOP when its inboxes are empty. */
static void drain(struct rk_ctx *actor)
{
	if (cpu_hurry_of(actor) == CPU_KILLED && actor->phase < CPU_CLOSING)
		begin_closing(actor);
	else if (actor->phase == CPU_RUNNING || actor->phase == CPU_PAUSED)
		enter(actor, CPU_DRAINING);
	else if (actor->phase < CPU_CLOSING && actor->phase != CPU_DRAINING)
		begin_closing(actor);
}

static void add_inbox(struct rk_ctx *actor, struct rk_ring_rx *rx, struct cpu_flow_in *flow)
{
	actor->flow_in[actor->inboxes] = flow;
	actor->inbox[actor->inboxes++] = rx;
	actor->unguarded |= *rx->peer_unguarded;
}

static void add_outbox(struct rk_ctx *actor, struct rk_ring_tx *tx, struct cpu_flow_out *flow)
{
	struct cpu_outbox *box = &actor->outbox[actor->outboxes++];

	box->tx = tx;
	box->flow = flow;
	actor->levels |= flow->high_slots > 0;
	actor->unguarded |= *tx->peer_unguarded;
}

static void obey(struct rk_ctx *actor, const struct rk_msg *msg)
{
	void *what[3];
	cpu_call_fn *call;

	memcpy(what, rk_msg_payload(msg), sizeof(what));
	switch (msg->type) {
	case RK_MSG_START:
		resume(actor, msg);
		break;
	case RK_MSG_STOP:
		drain(actor);
		break;
	case RK_MSG_QUIESCE:
		if (actor->phase == CPU_RUNNING)
			enter(actor, CPU_PAUSED);
		break;
	case CPU_RESTART:
		restart(actor, what[0], what[1], what[2]);
		break;
	case CPU_GRANT:
		memcpy(&actor->grant[actor->grants++], msg->body, sizeof(*actor->grant));
		break;
	case CPU_LEAVE:
		actor->leaving = actor->phase < CPU_CLOSING;
		break;
	case CPU_INBOX:
		add_inbox(actor, what[0], what[1]);
		break;
	case CPU_OUTBOX:
		add_outbox(actor, what[0], what[1]);
		break;
	case CPU_CALL:
		memcpy(&call, &what[0], sizeof(call));
		call(actor, what[1]);
		break;
	}
}

static int take_control(struct rk_ctx *actor)
{
	struct rk_msg cells[CPU_CONTROL_CELLS];
	int taken = 0;

	while (!actor->leaving && rk_ring_recv(&actor->control, cells, CPU_CONTROL_CELLS) > 0) {
		actor->obeying = true;
		obey(actor, cells);
		answer(actor);
		taken = 1;
	}
	return taken;
}

/* --- Receiving --- */

/* A message with a stamp gets ours of its receipt, which is greater. */
static void stamp_received(struct rk_ctx *actor, struct rk_msg *msg)
{
	uint64_t stamp, physical;

	if (!(msg->flags & RK_MSG_F_CLOCK))
		return;
	physical = clock_ns(CLOCK_REALTIME);
	stamp = rk_hlc_receive_at(actor->clock, rk_msg_clock(msg), physical);
	rk_msg_set_clock(msg, stamp ? stamp : rk_hlc_now_at(actor->clock, physical));
}

/* It is shed, or its deadline is over: it is dropped. */
static bool is_dropped(struct rk_ctx *actor, const struct rk_msg *msg)
{
	struct cpu_flow_in *flow = actor->flow_in[actor->from_inbox];

	if (actor->shedding) {
		cpu_flow_shed(flow, msg);
		cpu_count(&actor->counters.dropped_shed, 1);
		return true;
	}
	if (!cpu_flow_is_late(flow, msg))
		return false;
	cpu_count(&actor->counters.dropped_expired, 1);
	return true;
}

/* One cell, not the runtime's own, and no deadline to be judged. */
static bool is_plain(const struct rk_msg *msg)
{
	const uint32_t least = 1U << 24 | RK_MSG_PACKET, most = 1U << 24 | 0xffff;
	uint32_t head = rk_ring_head(msg) & (most | 0xffU << 24 | RK_MSG_F_DEADLINE << 16);

	/* One comparison: it is asked of every message. */
	return head - least <= most - least;
}

/* Plain messages in a row at the front of @cells. */
static uint32_t count_plain(const struct rk_msg *cells, uint32_t most)
{
	uint32_t found = 0;

	while (found < most && is_plain(&cells[found]))
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
	cpu_count(&actor->counters.received_slots, found);
	cpu_count(&actor->counters.received, found);
	for (uint32_t i = 0; actor->clock && i < found; i++)
		stamp_received(actor, &msgs[i]);
	cpu_begin_call(actor, msgs, found);
	actor->type->batch(actor, actor->state, msgs, found);
	cpu_end_call(actor);
	return found;
}

/* Handle what was taken from an inbox, until something it sends has to wait; true when through. */
static bool handle_received(struct rk_ctx *actor)
{
	while (actor->handled_cells < actor->received_cells && takes(actor)) {
		struct rk_msg *msg = &actor->received[actor->handled_cells];

		if (!cpu_flush(actor))
			return false;
		if (actor->type->batch && !actor->shedding && handle_batch(actor))
			continue;
		actor->handled_cells += msg->slots;
		cpu_count(&actor->counters.received_slots, msg->slots);
		if (msg->type < RK_MSG_PACKET) {
			cpu_cut_control(actor, msg);
			continue;
		}
		if (rk_unlikely((msg->flags & RK_MSG_F_DEADLINE) | actor->shedding) &&
		    is_dropped(actor, msg))
			continue;
		cpu_count(&actor->counters.received, 1);
		if (rk_unlikely(actor->clock))
			stamp_received(actor, msg);
		handle(actor, msg);
	}
	return cpu_flush(actor);
}

/* A batch, or as much of one as the inbox has a share in its actor's time. */
static int take_turn(struct rk_ctx *actor, uint32_t index)
{
	struct cpu_flow_in *flow = actor->flow_in[index];
	struct rk_ring_rx *rx = actor->inbox[index];

	/* Relaxed: the level orders nothing. */
	actor->shedding = rk_unlikely(flow->shed_at) &&
			  flow->shed_at <= __atomic_load_n(actor->shed_level, __ATOMIC_RELAXED);
	if (rk_unlikely(flow->share_slots | flow->share_messages))
		return cpu_flow_take(flow, rx, actor->received, CPU_BATCH_CELLS);
	return rk_ring_recv_batch(rx, actor->received, CPU_BATCH_CELLS);
}

/*
 * A turn at each inbox, for as long as all that it makes us send finds room. Who is held up goes on
 * with the next: or those behind would wait for as long as those in front have anything.
 */
static int take_inboxes(struct rk_ctx *actor)
{
	int taken = 0;

	for (uint32_t n = 0; n < actor->inboxes && takes(actor) && !cpu_hurry_of(actor); n++) {
		uint32_t i = actor->next_inbox;
		struct rk_ring_rx *rx = actor->inbox[i];
		int cells;

		if (rk_unlikely(actor->pace.slots_per_s) && cpu_pace_holds(&actor->pace))
			break;
		actor->next_inbox = i + 1 < actor->inboxes ? i + 1 : 0;
		if (rx->closed)
			continue;
		cells = take_turn(actor, i);
		/* What is too long for one turn is there, and comes in another. */
		taken |= cells < 0;
		actor->received_cells = cells > 0 ? (uint32_t)cells : 0;
		actor->handled_cells = 0;
		actor->from_inbox = i;
		actor->pace.left_slots -= actor->received_cells;
		if (rx->closed) {
			actor->inboxes_closed++;
			/* The last credit: who wrote the ring from afar waits for it. */
			rk_ring_rx_credit(rx);
		}
		/* A link made before these were sent is in effect for them (A0 of the ring). */
		if (cells > 0)
			taken |= 1 | take_control(actor);
		if (!handle_received(actor) || actor->handled_cells < actor->received_cells)
			break;
	}
	return taken;
}

/*
 * Tell the handler of outboxes that have filled up or emptied. Nothing waits that it must wait for;
 * on trial it is told later, for messages of the runtime's own end a trial.
 */
static void tell_levels(struct rk_ctx *actor)
{
	struct rk_msg event;

	for (uint32_t i = 0; i < actor->outboxes && takes(actor) && !actor->trial; i++)
		if (cpu_flow_crossed(&actor->outbox[i], i, &event))
			handle(actor, &event);
}

/* RK_MSG_STOP to the handler, then no more messages. */
static void stop(struct rk_ctx *actor)
{
	static const struct rk_msg msg = {.type = RK_MSG_STOP, .slots = 1};

	take_control(actor);
	if (!takes(actor))
		return;
	enter(actor, CPU_DRAINING);
	if (cpu_hurry_of(actor) != CPU_KILLED)
		handle(actor, &msg);
	begin_closing(actor);
}

static int take_messages(struct rk_ctx *actor)
{
	bool through = handle_received(actor);
	bool ended, idle;
	int taken;

	if (rk_unlikely(actor->levels) && through)
		tell_levels(actor);
	taken = through ? take_inboxes(actor) : 0;
	idle = through && !taken && !actor->pace.waits;
	ended = actor->inboxes && actor->inboxes_closed == actor->inboxes;
	/* In a hurry nothing waits for room, so what was taken already is handled first. */
	if ((cpu_hurry_of(actor) && handle_received(actor)) ||
	    (idle && (ended || actor->phase == CPU_DRAINING)))
		stop(actor);
	return taken;
}

static int poll_actor(struct rk_task *task)
{
	struct rk_ctx *actor = (struct rk_ctx *)task;
	int worked = take_control(actor);

	actor->pace.waits = false;
	if (actor->leaving)
		return -1;
	if (rk_unlikely(__atomic_load_n(&actor->orphaned, __ATOMIC_RELAXED)))
		drain(actor);
	if (takes(actor))
		worked |= take_messages(actor);
	else if (actor->phase < CPU_CLOSING)
		cpu_flush(actor);
	if (actor->phase == CPU_CLOSING && cpu_close_outboxes(actor)) {
		/* Told to go elsewhere as it stopped: it is over here. */
		actor->leaving = false;
		enter(actor, CPU_DONE);
		return -1;
	}
	return worked;
}

/* The same, and a call that fails comes back here. */
static int poll_guarded(struct rk_task *task)
{
	struct rk_ctx *actor = (struct rk_ctx *)task;
	sigjmp_buf env;
	int signal = sigsetjmp(env, 0), worked = 1;

	if (signal) {
		fail(actor, signal);
	} else {
		cpu_guard_run(&actor->guarded, &env);
		worked = poll_actor(task);
	}
	cpu_guard_run(NULL, NULL);
	if (signal)
		cpu_guard_unblock();
	return worked;
}

/* A device wakes nobody: look again soon. Nor does the time that an actor has to wait. */
static uint64_t due_ns(const struct rk_task *task)
{
	const struct rk_ctx *actor = (const struct rk_ctx *)task;
	uint64_t pace_ns = cpu_pace_due_ns(&actor->pace);
	uint64_t nap_ns = actor->unguarded ? now_ns() + CPU_UNGUARDED_NAP_NS : UINT64_MAX;

	return pace_ns < nap_ns ? pace_ns : nap_ns;
}

static void finished(struct rk_task *task)
{
	struct rk_ctx *actor = (struct rk_ctx *)task;

	actor->done(actor->owner);
}

void cpu_actor_prepare(struct rk_ctx *actor, const struct rk_actor_type *type, void *state,
		       bool guarded)
{
	static const struct rk_msg none = {.slots = 1};

	actor->task = (struct rk_task){.poll = guarded ? poll_guarded : poll_actor,
				       .due_ns = due_ns,
				       .finished = finished,
				       .fd = -1};
	actor->type = type;
	actor->state = state;
	actor->current = &none;
}

void cpu_actor_release(struct rk_ctx *actor)
{
	for (uint32_t i = 0; i < actor->outboxes; i++)
		free(actor->outbox[i].waiting);
	free(actor->trial_log);
}
