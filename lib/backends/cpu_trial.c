// SPDX-License-Identifier: MIT
/* A new handler on trial: its sends held back, its messages kept, and all of it undone. */
#include "backends/cpu_trial.h"

#include <stdlib.h>
#include <string.h>

/* What is sent from now on waits, and cpu_flush() lets it go: nothing waits before a call. */
static void hold_back(struct rk_ctx *actor)
{
	actor->holding = true;
	for (uint32_t i = 0; i < actor->outboxes; i++)
		actor->outbox[i].cells = actor->outbox[i].out = 1;
}

static void forget_sends(struct rk_ctx *actor, const struct cpu_counters *before)
{
	actor->holding = false;
	for (uint32_t i = 0; i < actor->outboxes; i++) {
		actor->outbox[i].cells = actor->outbox[i].out = 0;
		cpu_flow_note_waiting(&actor->outbox[i]);
	}
	actor->counters.dropped_no_outbox = before->dropped_no_outbox;
	actor->counters.dropped_closed = before->dropped_closed;
	actor->counters.dropped_bad = before->dropped_bad;
	actor->counters.dropped_no_memory = before->dropped_no_memory;
}

static void end(struct rk_ctx *actor, enum cpu_outcome outcome)
{
	struct cpu_trial *trial = actor->trial;

	actor->trial = NULL;
	trial->outcome = outcome;
	trial->over(trial);
}

void cpu_trial_keep(struct rk_ctx *actor)
{
	actor->type = actor->trial->type;
	cpu_count(&actor->counters.reloads, 1);
	end(actor, CPU_TRIAL_KEPT);
}

/*
 * The former handler sees all that the new one has handled; what it sends has been sent. Each is a
 * call of its own; one that fails costs the message that the new handler failed at.
 */
static void replay(struct rk_ctx *actor, uint32_t cells)
{
	const struct cpu_counters before = actor->counters;
	const struct rk_msg *log = actor->trial_log;

	for (uint32_t at = 0; at < cells; at += log[at].slots) {
		hold_back(actor);
		cpu_end_call(actor);
		cpu_begin_call(actor, &log[at], 1);
		actor->type->handle(actor, actor->state, &log[at]);
		forget_sends(actor, &before);
	}
}

/* Within a call of the new handler, which goes on as one of the former. */
static void undo(struct rk_ctx *actor, enum cpu_outcome outcome)
{
	const struct cpu_trial *trial = actor->trial;
	const struct rk_msg *msg = actor->current;
	const uint32_t cells = trial->log_cells;

	if (msg->type >= RK_MSG_PACKET)
		forget_sends(actor, &trial->before);
	actor->type = trial->former_type;
	actor->state = trial->former_state;
	cpu_count(&actor->counters.rollbacks, 1);
	end(actor, outcome);
	cpu_come_back(actor);
	if (msg->type < RK_MSG_PACKET)
		return;
	replay(actor, cells);
	cpu_end_call(actor);
	cpu_begin_call(actor, msg, 1);
	actor->type->handle(actor, actor->state, msg);
}

void cpu_trial_undo(struct rk_ctx *actor, int signal)
{
	const struct rk_msg *msg = actor->current;
	const uint32_t messages = actor->in_call;

	/* Another call, which what was to end that one does not end. */
	cpu_end_call(actor);
	cpu_begin_call(actor, msg, messages);
	actor->guarded.late = 0;
	cpu_enter_runtime(actor);
	actor->trial->signal = signal;
	undo(actor, CPU_TRIAL_TRAPPED);
	cpu_end_call(actor);
}

/* Behind those that were handled; it counts as one of them once it is. */
static bool note(struct rk_ctx *actor, const struct rk_msg *msg)
{
	uint32_t cells = actor->trial->log_cells;

	if (cells + msg->slots > actor->trial_room) {
		uint32_t room = 2 * (cells + msg->slots);
		struct rk_msg *more = realloc(actor->trial_log, (size_t)room * RK_CELL_BYTES);

		if (!more)
			return false;
		actor->trial_log = more;
		actor->trial_room = room;
	}
	memcpy(actor->trial_log + cells, msg, (size_t)msg->slots * RK_CELL_BYTES);
	return true;
}

/* What the wrapper calls: the new handler with a message of the trial. */
static void try(struct rk_ctx *actor, void *state, const struct rk_msg *msg)
{
	struct cpu_trial *trial = actor->trial;
	bool pleases;

	cpu_enter_runtime(actor);
	if (msg->type < RK_MSG_PACKET) {
		cpu_trial_keep(actor);
		cpu_leave_runtime(actor);
		actor->type->handle(actor, state, msg);
		return;
	}
	trial->before = actor->counters;
	if (!note(actor, msg)) {
		undo(actor, CPU_TRIAL_NO_MEMORY);
		return;
	}
	hold_back(actor);
	cpu_leave_runtime(actor);
	trial->type->handle(actor, state, msg);
	pleases = !trial->check || trial->check(trial->user, state, msg);
	cpu_enter_runtime(actor);
	if (!pleases) {
		undo(actor, CPU_TRIAL_DISLIKED);
		return;
	}
	actor->holding = false;
	trial->log_cells += msg->slots;
	if (++trial->handled == trial->messages)
		cpu_trial_keep(actor);
	cpu_come_back(actor);
}

static void convert(struct rk_ctx *actor)
{
	static const struct rk_msg none = {.slots = 1};
	struct cpu_trial *trial = actor->trial;

	cpu_begin_call(actor, &none, 0);
	if (trial->convert)
		trial->convert(trial->state, actor->state);
	else
		memcpy(trial->state, actor->state, trial->type->state_bytes);
	cpu_end_call(actor);
}

void cpu_trial_begin(struct rk_ctx *actor, void *argument)
{
	struct cpu_trial *trial = argument;
	bool begun = actor->phase == CPU_RUNNING || actor->phase == CPU_PAUSED;

	if (!begun && actor->phase != CPU_DORMANT) {
		trial->outcome = CPU_TRIAL_REFUSED;
		trial->over(trial);
		return;
	}
	trial->former_type = actor->type;
	trial->former_state = actor->state;
	trial->wrapper = *trial->type;
	trial->wrapper.handle = try;
	trial->wrapper.batch = NULL;
	actor->trial = trial;
	if (begun)
		convert(actor);
	actor->state = trial->state;
	actor->type = &trial->wrapper;
	if (!begun || !trial->messages)
		cpu_trial_keep(actor);
}
