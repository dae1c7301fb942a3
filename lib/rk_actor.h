/* SPDX-License-Identifier: MIT */
/*
 * rk_actor.h - an actor's life: spawned, paused, moved, restarted, stopped.
 *
 *            rk_actor_start()                    rk_actor_stop()
 *   DORMANT -----------------> STARTING, RUNNING ---------------> DRAINING --> STOPPED
 *      ^   <-----------------       |    ^                                       ^
 *          rk_actor_pause()         v    | rk_actor_restart()                    |
 *                                 FAILED ------------------- rk_actor_kill() ----+
 *
 * All of it reaches the actor as messages in a ring of its own, and happens between two of the
 * user's messages. Its links stay as they are until it has stopped: what is sent to it meanwhile
 * waits in its inboxes, and nothing is lost, doubled or reordered.
 */
#ifndef RK_ACTOR_H
#define RK_ACTOR_H

#include "rk_handler.h"

#include <stdbool.h>
#include <stddef.h>

#define RK_MAX_ARGS   16 /* of one actor type */
#define RK_ANY_WORKER (-1)

struct rk_runtime;
struct rk_actor;
struct rk_tenant;

/* Who runs an actor. */
enum rk_backend {
	RK_BACKEND_CPU,	 /* a worker: a pinned thread */
	RK_BACKEND_CUDA, /* a seat in a persistent kernel on an NVIDIA GPU */
};

/* The threads that call a handler together. */
enum rk_group {
	RK_GROUP_WARP,	/* 32 lanes on a GPU, one thread on cpu */
	RK_GROUP_BLOCK, /* 512 lanes on a GPU: many times the rate, at some more latency */
};

/* Where on its GPU an actor sits, seen from another. */
enum rk_where {
	RK_WHERE_ANY,
	RK_WHERE_BLOCK,	  /* in the same block */
	RK_WHERE_CLUSTER, /* in another block of the same cluster (compute capability 9.0 and later)
			   */
	RK_WHERE_APART,	  /* in a block of another cluster */
};

/**
 * struct rk_actor_opts - zero is the default but for @worker
 * @size: sizeof(struct rk_actor_opts)
 * @name: for messages to people; NULL: the type's
 * @worker: index of the worker that hosts it, or RK_ANY_WORKER
 * @args: values for the type's arguments, in their order; the handler sees missing ones as 0
 * @arg_count: at most RK_MAX_ARGS
 * @backend: who runs it
 * @gpu: ordinal, as CUDA counts; RK_BACKEND_CUDA only, as the following
 * @group: who calls its handler
 * @where: where it sits, seen from @other
 * @other: an actor on the same GPU, with @where
 * @dormant: it takes no message before rk_actor_start()
 * @parent: when that one has stopped, this one drains and stops; NULL: none
 * @state: what it goes on with, of its type's size; copied. It gets no RK_MSG_START then. NULL:
 *	zeros, and RK_MSG_START
 * @tenant: whose it is (rk_tenant.h); NULL: the operator's
 * @slots_per_s: how fast it takes from its inboxes, at most, in slots of 56 bytes, but for a
 *	hundredth of a second's, or 256, at once; 0: as fast as it can. RK_BACKEND_CPU only
 */
struct rk_actor_opts {
	size_t size;
	const char *name;
	int worker;
	const uint64_t *args;
	unsigned int arg_count;
	enum rk_backend backend;
	int gpu;
	enum rk_group group;
	enum rk_where where;
	const struct rk_actor *other;
	bool dormant;
	struct rk_actor *parent;
	const void *state;
	struct rk_tenant *tenant;
	uint32_t slots_per_s;
};

enum rk_actor_state {
	RK_ACTOR_DORMANT,  /* takes no messages: spawned so, or paused */
	RK_ACTOR_STARTING, /* its handler has RK_MSG_START */
	RK_ACTOR_RUNNING,
	RK_ACTOR_DRAINING, /* asked to stop after what is in its inboxes */
	RK_ACTOR_STOPPED,  /* nothing will be received any more */
	RK_ACTOR_FAILED,   /* its handler trapped or never came back, or its GPU failed */
};

enum rk_stop {
	RK_STOP_DRAIN, /* after what is in the inboxes now */
	RK_STOP_NOW,   /* after what it has taken out already; the rest stays in the inboxes */
};

/**
 * struct rk_actor_info - what an actor did; counts since it was spawned
 * @name: of the actor
 * @state: at the time of asking
 * @received: messages handled, without the runtime's own
 * @received_slots: slots of all messages taken from its inboxes
 * @sent: messages sent
 * @sent_slots: slots of them
 * @dropped_no_outbox: sends to an outbox that does not exist
 * @dropped_closed: sends to an outbox that its consumer closed
 * @dropped_bad: sends of a type of the runtime's own, or too long for the outbox
 * @dropped_stopped: sends that were waiting for room when the actor was stopped
 * @dropped_no_memory: sends that found no room in the ring and no memory to wait in
 * @dropped_full: sends that found no room, on links that drop the newest (rk_flow.h)
 * @dropped_old: sends that were waiting for room when newer ones came, on links that drop the oldest
 * @dropped_expired: messages taken from its inboxes after their deadline, and not handled
 * @dropped_shed: messages taken from its inboxes and not handled, on links that were shed
 * @failures: calls of its handler that were ended by a signal
 * @failed_messages: messages that these calls were about: received, and not handled to the end
 * @failure: number of the last such signal; SIGURG: the call took too long and was interrupted
 * @refused: references to memory that it was not given, and ends of rings that lead to another tenant
 *	(rk_tenant.h)
 * @restarts: by rk_actor_restart(), or by a supervisor
 * @reloads: by rk_actor_reload(), that were kept
 * @rollbacks: and that were undone
 */
struct rk_actor_info {
	const char *name;
	enum rk_actor_state state;
	uint64_t received;
	uint64_t received_slots;
	uint64_t sent;
	uint64_t sent_slots;
	uint64_t dropped_no_outbox;
	uint64_t dropped_closed;
	uint64_t dropped_bad;
	uint64_t dropped_stopped;
	uint64_t dropped_no_memory;
	uint64_t dropped_full;
	uint64_t dropped_old;
	uint64_t dropped_expired;
	uint64_t dropped_shed;
	uint64_t failures;
	uint64_t failed_messages;
	uint64_t refused;
	uint64_t restarts;
	uint64_t reloads;
	uint64_t rollbacks;
	int failure;
};

RK_BEGIN_DECLS

/**
 * rk_actor_spawn() - start an actor
 * @actor: out
 * @runtime: open
 * @type: its handler and state; must outlive @runtime
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; @actor is valid until rk_runtime_close().
 * The first actor on a GPU opens it and launches its kernel; after that, spawning is a message.
 *
 * Return: 0; -EINVAL for a worker, GPU or arguments that do not exist; -EACCES for a parent of another
 * tenant, -EDQUOT beyond the budget of its own; -EOPNOTSUPP for a pace on a GPU; -ENOMEM; -ENODEV without a driver or with one too
 * old; -ENOENT for a type without code for GPUs; -EBUSY when no seat is free or the kernel does not
 * fit; -EIO after the GPU failed; said in rk_errmsg().
 */
RK_API int rk_actor_spawn(struct rk_actor **actor, struct rk_runtime *runtime,
			  const struct rk_actor_type *type, const struct rk_actor_opts *opts);

/**
 * rk_actor_stop() - stop an actor
 * @actor: spawned
 * @how: now, or after what is in its inboxes
 * @timeout_ns: at most this long; the stop goes on after it
 *
 * Its handler gets RK_MSG_STOP, its outboxes are closed, its inboxes refuse.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0 stopped, or had stopped; -ETIMEDOUT when its handler has not come back, said in
 * rk_errmsg().
 */
RK_API int rk_actor_stop(struct rk_actor *actor, enum rk_stop how, uint64_t timeout_ns);

/**
 * rk_actor_kill() - stop an actor without asking its handler
 * @actor: spawned
 * @timeout_ns: at most this long; the kill goes on after it
 *
 * No RK_MSG_STOP; what its outboxes have no room for is dropped and counted; its rings are closed.
 * On a CPU, where the runtime guards its handlers, a call that does not come back is ended.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0 stopped, or had stopped; -ETIMEDOUT when its handler has not come back; said in
 * rk_errmsg().
 */
RK_API int rk_actor_kill(struct rk_actor *actor, uint64_t timeout_ns);

/**
 * rk_actor_pause() - let it take no more messages
 * @actor: running
 * @timeout_ns: at most this long; the pause comes after it
 *
 * It ends between two messages. What it has sent goes out; what is sent to it waits.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0 paused, or was dormant; -EPIPE when it has stopped, drains or has failed; -ETIMEDOUT
 * when its handler has not come back; said in rk_errmsg().
 */
RK_API int rk_actor_pause(struct rk_actor *actor, uint64_t timeout_ns);

/**
 * rk_actor_start() - let a dormant actor take messages
 * @actor: spawned dormant, or paused
 * @timeout_ns: at most this long
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0, also when it runs already; -EPIPE when it has stopped or failed; -ETIMEDOUT when its
 * handler has not come back from RK_MSG_START; said in rk_errmsg().
 */
RK_API int rk_actor_start(struct rk_actor *actor, uint64_t timeout_ns);

/**
 * rk_actor_restart() - begin anew, with the same links
 * @actor: running, dormant or failed
 * @state: what it begins with, of its type's size; copied. NULL: zeros, and RK_MSG_START with the
 *	arguments that it was spawned with
 * @timeout_ns: at most this long; the restart comes after it
 *
 * Messages that it had not begun to handle are handled after.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -EPIPE when it has stopped or drains; -EFAULT when it failed again in RK_MSG_START;
 * -ENOMEM; -ETIMEDOUT when its handler has not come back; what the driver says of a copy to a GPU;
 * said in rk_errmsg().
 */
RK_API int rk_actor_restart(struct rk_actor *actor, const void *state, uint64_t timeout_ns);

/**
 * rk_actor_move() - to another worker
 * @actor: spawned
 * @worker: index
 * @timeout_ns: at most this long; the move goes on after it
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -EINVAL for a worker that is not there; -EPIPE when it has stopped; -EBUSY while it
 * moves; -ETIMEDOUT when its handler has not come back; -EOPNOTSUPP on a GPU; said in rk_errmsg().
 */
RK_API int rk_actor_move(struct rk_actor *actor, int worker, uint64_t timeout_ns);

/**
 * rk_actor_reseat() - to another seat of its GPU
 * @actor: on a GPU
 * @where: seen from @other; RK_WHERE_ANY: where one is free, nearest to the host first
 * @other: an actor on the same GPU; NULL with RK_WHERE_ANY
 * @timeout_ns: at most this long for its handler to come back
 *
 * Rings and state stay where they lie. A block actor moves to an empty block.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -EINVAL for a place that there is not; -EBUSY when no seat is free there; -EPIPE when it
 * has stopped or drains; -ETIMEDOUT when its handler has not come back; -EOPNOTSUPP on a CPU, or when a link of it lies in shared memory of a block; -EIO
 * when the GPU has died; said in rk_errmsg().
 */
RK_API int rk_actor_reseat(struct rk_actor *actor, enum rk_where where,
			   const struct rk_actor *other, uint64_t timeout_ns);

/**
 * rk_actor_migrate() - to another GPU
 * @actor: on a GPU
 * @to: @backend RK_BACKEND_CUDA, @gpu, @where and @other, as for rk_actor_spawn(); the rest is not read
 * @timeout_ns: at most this long for its handler to come back
 *
 * Its state is copied, its rings stay where they lie: the other GPU has to reach them. The first
 * actor of a GPU opens it and launches its kernel, before this one is paused. An actor that can then
 * not go on has failed.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -EINVAL for the GPU where it is, or a GPU or place that there is not; -EOPNOTSUPP from
 * or to a CPU, when a link of it lies in shared memory of a block or in memory that the other GPU does
 * not reach, with a port for its own I/O, or once it was given memory (rk_actor_grant()); -EBUSY when
 * no seat is free there, during a copy, restart or reload, or when it is linked meanwhile; -EPIPE
 * when it has stopped or drains; -ETIMEDOUT when its handler has not come back; what rk_actor_spawn()
 * returns for a GPU; -EIO when one has died; said in rk_errmsg().
 */
RK_API int rk_actor_migrate(struct rk_actor *actor, const struct rk_actor_opts *to,
			    uint64_t timeout_ns);

/**
 * rk_actor_copy() - the state of an actor that runs, as it is between two messages
 * @actor: spawned
 * @state: out; of its type's size
 * @timeout_ns: at most this long
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -ENOMEM; -EPIPE when it has failed on a GPU; -ETIMEDOUT when its handler has not come
 * back; what the driver says of a copy from a GPU; said in rk_errmsg().
 */
RK_API int rk_actor_copy(struct rk_actor *actor, void *state, uint64_t timeout_ns);

/**
 * rk_actor_info() - what an actor did
 * @actor: spawned
 * @info: out
 *
 * Context: any thread; a reading of a running actor may be a few messages old.
 */
RK_API void rk_actor_info(const struct rk_actor *actor, struct rk_actor_info *info);

/**
 * rk_actor_state() - the state of an actor that has stopped or failed
 * @actor: spawned
 *
 * Context: any thread.
 * Return: @type->state_bytes bytes that live as long as the runtime; NULL while it is running.
 */
RK_API const void *rk_actor_state(const struct rk_actor *actor);

RK_END_DECLS

#endif
