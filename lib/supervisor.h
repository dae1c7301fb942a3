/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - supervisor.c opens and closes, supervisor_watch.c decides, supervisor_child.c
 * does; private.
 *
 * All of it is under the runtime's mutex. Nothing here waits for an actor: what was told to it is
 * looked for at the next heartbeat, or as soon as it answers.
 */
#ifndef RK_LIB_SUPERVISOR_H
#define RK_LIB_SUPERVISOR_H

#include "rk_supervisor.h"
#include "runtime.h"

/* How far a child is on its way to begin anew, or to its end. */
enum step {
	STEP_IDLE,
	STEP_COPYING,	 /* told to copy its state */
	STEP_PAUSE,	 /* to be told so */
	STEP_PAUSING,	 /* told */
	STEP_READY,	 /* paused, or failed: to be restarted, once the supervisor lets it */
	STEP_RESTARTING, /* told */
	STEP_STOP,	 /* to be told */
	STEP_STOPPING,	 /* told */
	STEP_GONE,	 /* watched no more */
};

struct child {
	struct child *next;
	struct rk_supervisor *supervisor;
	struct rk_actor *actor; /* either */
	struct rk_supervisor *sub;
	struct rk_child_opts opts;
	enum step step;
	uint32_t told; /* the actor's count, of what this step waits for */

	uint64_t call; /* the last one seen, and since when */
	uint64_t call_ns;
	uint64_t failures; /* told so far */
	uint64_t failed_messages;
	uint64_t restarts;

	struct actor_copy copy[2]; /* the last, and the one being taken */
	unsigned int last;
	uint64_t copied_ns;
	uint64_t base_received; /* at its last restart or copy, as the actor counts */
	uint64_t base_failed;
	uint64_t known; /* messages that the last copy knows of, since a fresh start */

	uint32_t news; /* bits of enum rk_supervisor_news, to be told, with what follows */
	uint64_t lost;
	uint64_t forgotten;
	int signal;
};

struct rk_supervisor {
	struct rk_runtime *runtime;
	struct rk_supervisor *next; /* of the runtime's */
	struct rk_supervisor_opts opts;
	struct child *as_child; /* of its parent, or NULL */
	struct child *children;
	struct rk_supervisor_info info;
	uint64_t *restarted_ns; /* the last opts.max_restarts of them, a ring */
	uint64_t admitted;
	bool escalated; /* held because it gave up, and its parent does not know yet */
	bool news;	/* it gave up: to be told */
	bool closing;
	bool started;
	pthread_t thread;
	char *name;
};

/* Make @child look after @actor or @sub. 0 or -ENOMEM, said. */
int child_init(struct child *child, struct rk_supervisor *supervisor, struct rk_actor *actor,
	       struct rk_supervisor *sub, const struct rk_child_opts *opts);
void child_free(struct child *child);

enum child_looks {
	CHILD_WELL,
	CHILD_FAILED, /* and nobody has seen to that yet */
	CHILD_LOST,   /* and nobody can: it was on a GPU, which ends its actors for good */
};

/* Notice what has become of it. */
enum child_looks child_look(struct child *child, uint64_t now);

/* Do what its step asks for, as far as that can be done now. */
void child_advance(struct child *child, uint64_t now);

/* It is to begin anew: pause it, or if it has failed take it as it is. */
void child_begin(struct child *child);

/* Watch it no more. */
void child_let_go(struct child *child);

/* Why it failed, for people. */
const char *child_reason(const struct child *child);

/* All of its children are on their way to a pause, until supervisor_release(). */
void supervisor_hold(struct rk_supervisor *supervisor);
void supervisor_release(struct rk_supervisor *supervisor);
bool supervisor_is_quiet(const struct rk_supervisor *supervisor);
bool supervisor_is_idle(const struct rk_supervisor *supervisor);

/* Stop its children; it has failed for good, for @reason. */
void supervisor_fail(struct rk_supervisor *supervisor, const char *reason);

/* @child may be restarted now: the others are quiet, and those before it are done. */
bool supervisor_lets(const struct rk_supervisor *supervisor, const struct child *child);

/* Its thread; @argument: the supervisor. */
void *supervisor_run(void *argument);

#endif
