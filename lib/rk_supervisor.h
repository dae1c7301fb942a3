/* SPDX-License-Identifier: MIT */
/*
 * rk_supervisor.h - who sees to it that failed actors begin anew.
 *
 *   struct rk_supervisor       a thread that watches its children, in their order
 *     rk_supervisor_add()      an actor becomes a child
 *     opts.parent              a supervisor becomes a child of another
 *
 * A child fails when its handler traps, or is interrupted because one call took longer than
 * `stuck_ns`; the runtime must guard its handlers (struct rk_runtime_opts). Its links stay, what
 * was sent to it waits, and it is restarted: alone, with all its siblings, or with those after it.
 * Those that have not failed are paused first, so that none handles a message while others are yet
 * to begin anew; then all are restarted in their order. What is lost are the messages of the calls
 * that failed, and what the state forgets: both are counted and told.
 *
 * Where children fail too often the supervisor gives up. If it has a parent, its children stay
 * paused and it counts there as one failed child, to be restarted with all that it watches; else
 * its children are stopped, and rk_runtime_wait() returns.
 *
 * A child that has stopped, or was killed, has not failed. A dormant one is left as it is. An actor
 * whose RK_MSG_START may fail is spawned dormant, added, and started.
 */
#ifndef RK_SUPERVISOR_H
#define RK_SUPERVISOR_H

#include "rk_runtime.h"

#define RK_SUPERVISOR_HEARTBEAT_NS 1000000ULL /* defaults */
#define RK_SUPERVISOR_STUCK_NS	   1000000000ULL
#define RK_SUPERVISOR_RESTARTS	   3
#define RK_SUPERVISOR_WINDOW_NS	   5000000000ULL
#define RK_MAX_RESTARTS		   (1u << 20)

struct rk_supervisor;

/* Who is restarted when a child has failed. */
enum rk_strategy {
	RK_ONE_FOR_ONE,	 /* it alone */
	RK_ONE_FOR_ALL,	 /* all children */
	RK_REST_FOR_ONE, /* it, and those that were added after it */
};

/* What a child begins with. */
enum rk_restart {
	RK_RESTART_FRESH, /* zeros, and RK_MSG_START with the arguments it was spawned with */
	RK_RESTART_COPY,  /* the last copy of its state; fresh before there is one */
	RK_RESTART_NEVER, /* it is watched, and a failure told */
};

enum rk_supervisor_state {
	RK_SUPERVISOR_WATCHING,
	RK_SUPERVISOR_HELD,   /* its children are paused, until its parent restarts it */
	RK_SUPERVISOR_FAILED, /* it gave up: its children are stopped */
	RK_SUPERVISOR_CLOSED, /* it watches no more */
};

enum rk_supervisor_news {
	RK_NEWS_RESTARTED,
	RK_NEWS_INTERRUPTED, /* a call was stuck and is being ended: a failure follows */
	RK_NEWS_FAILED,
	RK_NEWS_STOPPED, /* it has ended, whoever asked it to; it is watched no more */
	RK_NEWS_GAVE_UP, /* about the supervisor itself */
};

/**
 * struct rk_supervisor_event - one thing that happened
 * @news: what
 * @supervisor: that tells
 * @actor: the child; NULL when it is a supervisor, or with RK_NEWS_GAVE_UP
 * @child: the child that is a supervisor, or NULL
 * @time_ns: of noticing it, CLOCK_MONOTONIC
 * @signal: of RK_NEWS_FAILED: that ended the call; SIGURG: it was stuck; 0 on a GPU
 * @lost: of RK_NEWS_FAILED: messages that the failed call was about
 * @forgotten: of RK_NEWS_RESTARTED: messages handled well that the state knows no more of
 * @reason: for people; "" if there is none
 *
 * No event is dropped, and the sums of @lost are the actors' failed_messages.
 */
struct rk_supervisor_event {
	enum rk_supervisor_news news;
	struct rk_supervisor *supervisor;
	struct rk_actor *actor;
	struct rk_supervisor *child;
	uint64_t time_ns;
	int signal;
	uint64_t lost;
	uint64_t forgotten;
	const char *reason;
};

/**
 * struct rk_supervisor_opts - zero is the default
 * @size: sizeof(struct rk_supervisor_opts)
 * @name: for messages to people; NULL: "supervisor"
 * @parent: whose child it becomes, the last; NULL: none
 * @strategy: who is restarted
 * @max_restarts: within @window_ns; the next failure makes it give up. Failures that one restart
 *	sees to count once. 0: RK_SUPERVISOR_RESTARTS; at most RK_MAX_RESTARTS
 * @window_ns: 0: RK_SUPERVISOR_WINDOW_NS
 * @heartbeat_ns: between two looks, if nothing is told before; 0: RK_SUPERVISOR_HEARTBEAT_NS
 * @stuck_ns: a call that lasts longer is ended; 0: RK_SUPERVISOR_STUCK_NS; UINT64_MAX: never
 * @event: called on the supervisor's thread with each event, in order; it may use all of the
 *	library but close this supervisor. Watching waits for it. May be NULL
 * @user: first argument of @event
 */
struct rk_supervisor_opts {
	size_t size;
	const char *name;
	struct rk_supervisor *parent;
	enum rk_strategy strategy;
	uint32_t max_restarts;
	uint64_t window_ns;
	uint64_t heartbeat_ns;
	uint64_t stuck_ns;
	void (*event)(void *user, const struct rk_supervisor_event *event);
	void *user;
};

/**
 * struct rk_child_opts - zero is the default
 * @size: sizeof(struct rk_child_opts)
 * @restart: what it begins with
 * @copy_ns: RK_RESTART_COPY: a copy is taken so often, between two messages; 0: at each look
 */
struct rk_child_opts {
	size_t size;
	enum rk_restart restart;
	uint64_t copy_ns;
};

/**
 * struct rk_supervisor_info - what a supervisor did; counts since it was opened
 * @name: of it
 * @state: at the time of asking
 * @children: it watches
 * @failures: of children
 * @restarts: of children, each counted, whatever it was for
 * @interrupts: calls that were stuck
 * @lost: messages of failed calls
 * @forgotten: messages handled well that restarted children know no more of
 * @gave_up: times
 * @reason: why it gave up last; ""
 */
struct rk_supervisor_info {
	const char *name;
	enum rk_supervisor_state state;
	uint32_t children;
	uint64_t failures;
	uint64_t restarts;
	uint64_t interrupts;
	uint64_t lost;
	uint64_t forgotten;
	uint64_t gave_up;
	char reason[160];
};

RK_BEGIN_DECLS

/**
 * rk_supervisor_open() - start to watch
 * @supervisor: out
 * @runtime: open, with opts.guard
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; @supervisor is valid until rk_runtime_close(), which closes it.
 * Return: 0; -EINVAL for a runtime without guard, a parent of another runtime or more than
 * RK_MAX_RESTARTS; -EPIPE when the parent has given up or is closed; -ENOMEM; the errno of starting
 * a thread; said in rk_errmsg().
 */
RK_API int rk_supervisor_open(struct rk_supervisor **supervisor, struct rk_runtime *runtime,
			      const struct rk_supervisor_opts *opts);

/**
 * rk_supervisor_add() - watch an actor, as the last child
 * @supervisor: open
 * @actor: of the same runtime, dormant or running
 * @opts: NULL for the default
 *
 * An actor on a GPU begins anew with the others of its group. Its own failure is for good: a trap
 * ends all actors that this process has on that GPU, which only a new process can use again, and a
 * handler that does not come back keeps its seat. Then, unless it has RK_RESTART_NEVER, the supervisor
 * gives up.
 *
 * Context: any thread; sleeps.
 * Return: 0; -EINVAL for an actor of another runtime; -EBUSY when it has a supervisor or is being
 * killed; -EPIPE when it has stopped, or the supervisor has given up or is closed; -ENOMEM; said in
 * rk_errmsg().
 */
RK_API int rk_supervisor_add(struct rk_supervisor *supervisor, struct rk_actor *actor,
			     const struct rk_child_opts *opts);

/**
 * rk_supervisor_info() - what a supervisor did
 * @supervisor: opened
 * @info: out
 *
 * Context: any thread.
 */
RK_API void rk_supervisor_info(struct rk_supervisor *supervisor, struct rk_supervisor_info *info);

/**
 * rk_supervisor_close() - watch no more
 * @supervisor: opened, or NULL
 *
 * Its children go on; those that it had paused are started again. One that has failed and is not
 * restarted yet stays so: rk_actor_restart() or rk_actor_kill() it. A supervisor that was its child
 * has no parent any more.
 *
 * Context: any thread but the supervisor's own; sleeps, until the event that is being told is told.
 * Return: 0, also when it was closed; -EDEADLK from its own thread, said in rk_errmsg().
 */
RK_API int rk_supervisor_close(struct rk_supervisor *supervisor);

RK_END_DECLS

#endif
