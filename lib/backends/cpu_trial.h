/* SPDX-License-Identifier: MIT */
/*
 * cpu_trial.h - another handler for an actor, on trial at first; private.
 *
 * During the trial the actor's type is a wrapper around the new one, so nothing that handles
 * messages without a trial looks for one. What a call sends is held back by an outbox that seems
 * to have something waiting already.
 */
#ifndef RK_BACKENDS_CPU_TRIAL_H
#define RK_BACKENDS_CPU_TRIAL_H

#include "backends/cpu.h"

enum cpu_outcome {
	CPU_TRIAL_OPEN,
	CPU_TRIAL_KEPT,
	CPU_TRIAL_REFUSED, /* the actor does not run */
	CPU_TRIAL_TRAPPED, /* by @signal, in a message or in the conversion */
	CPU_TRIAL_DISLIKED,
	CPU_TRIAL_NO_MEMORY, /* to keep its messages */
};

struct cpu_trial {
	/* Set by the caller. */
	const struct rk_actor_type *type;
	void *state; /* zeroed, of @type's size */
	void (*convert)(void *to, const void *from);
	bool (*check)(void *user, const void *state, const struct rk_msg *msg);
	void *user;
	uint32_t messages;
	void (*over)(struct cpu_trial *trial); /* @outcome is known; on the worker's thread */
	void *owner;

	/* Of the worker. */
	enum cpu_outcome outcome;
	int signal;
	const struct rk_actor_type *former_type;
	void *former_state;
	struct rk_actor_type wrapper;
	struct cpu_counters before; /* the message at hand */
	uint32_t log_cells;	    /* of the messages handled so far, in the actor's trial_log */
	uint32_t handled;
};

/* Begin; a cpu_call_fn, @argument: the trial. */
void cpu_trial_begin(struct rk_ctx *actor, void *argument);

/* The new handler stays. */
void cpu_trial_keep(struct rk_ctx *actor);

/* The call at hand was ended by @signal: undo, and handle its message as before. */
void cpu_trial_undo(struct rk_ctx *actor, int signal);

#endif
