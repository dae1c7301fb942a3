/* SPDX-License-Identifier: MIT */
/*
 * rk_checkpoint.h - snapshots of actors that run, and going on from them.
 *
 *   rk_snapshot_take()      a group of actors, under load, at one moment that they agree upon
 *   rk_snapshot_store_put() that into a file (snapshot/rk_snapshot.h)
 *   rk_snapshot_newest()    after a crash
 *   rk_snapshot_restore()   the same actors, links and messages in flight, in a new runtime
 *
 * The moment is between two messages of each actor, and such that every message from one of the
 * group to another is either in the sender's past and the receiver's, or in the sender's alone:
 * then it was in flight, and is in the snapshot. Actors go on meanwhile; each waits for a copy of
 * its state.
 *
 * With the outside it is agreed by positions, in slots. What came from outside counts up to
 * @received of its link: replay from there. What went outside counts up to @sent: who received it
 * keeps that much before the snapshot is put into a file, and after a restore goes on behind it.
 * So every message has its effect exactly once. Positions go on over restores.
 */
#ifndef RK_CHECKPOINT_H
#define RK_CHECKPOINT_H

#include "rk_actor.h"
#include "rk_runtime.h"
#include "snapshot/rk_snapshot.h"

/**
 * struct rk_restore_opts - how to go on from a snapshot
 * @size: sizeof(struct rk_restore_opts)
 * @types: those that the snapshot's actors may be of, by name
 * @type_count: of them
 * @timeout_ns: for each actor, at most
 * @join: makes a link with the outside anew, by one of rk_link_...(): called in the order in which
 *	links were made, so that outboxes have their numbers. @from or @to is NULL: the outside.
 *	Returns 0 or -errno, said; may be NULL where there is no such link
 * @argument: first argument of @join and @place
 * @place: sets where an actor goes on: backend, gpu, group, where, other or worker of @with, and
 *	nothing else; NULL: on any worker. It need not be where the snapshot was taken
 */
struct rk_restore_opts {
	size_t size;
	const struct rk_actor_type *const *types;
	unsigned int type_count;
	uint64_t timeout_ns;
	int (*join)(void *argument, const struct rk_snapshot_link *link, struct rk_actor *from,
		    struct rk_actor *to);
	void *argument;
	void (*place)(void *argument, const struct rk_snapshot_actor *actor,
		      struct rk_actor_opts *with);
};

RK_BEGIN_DECLS

/**
 * rk_snapshot_take() - what a group of actors is, at one moment, while it runs
 * @snapshot: out
 * @actors: of one runtime, each once; all running
 * @count: of them
 * @timeout_ns: at most this long
 *
 * One at a time in a runtime; links that are made meanwhile, and seats that are changed, wait for its
 * end. What is in flight to an actor on a CPU is kept whole while it is taken, in memory: with long
 * rings, that many messages. An actor on a GPU keeps nothing: it takes no more from one of the group
 * whose marker has come, until all have.
 *
 * Context: any thread but a worker's; sleeps.
 * Owner: rk_snapshot_free() frees @snapshot.
 * Return: 0; -EINVAL for a group that is none; -EBUSY when an actor is dormant, has failed or has a
 * handler on trial, when
 * another snapshot is being taken, or an earlier one that came too late is not over; -EPIPE when
 * an actor has stopped; -ETIMEDOUT when a handler has not come back; -ENOMEM; -EOPNOTSUPP for a
 * cycle of actors on GPUs; said in rk_errmsg().
 */
RK_API int rk_snapshot_take(struct rk_snapshot **snapshot, struct rk_actor *const *actors,
			    unsigned int count, uint64_t timeout_ns);

/**
 * rk_snapshot_restore() - go on from a snapshot
 * @actors: out: @snapshot->actors of them, in its order
 * @runtime: open
 * @snapshot: taken, or read; may be freed after
 * @opts: types at least
 *
 * The actors have their states and get no RK_MSG_START. What was in flight is handled before all
 * that is sent anew. An actor goes on wherever @opts->place puts it: on GPUs its type needs code for
 * them. Links between them have their capacities, and no policies (rk_flow.h); they are
 * the operator's, whoever had them (rk_tenant.h). After a failure those that were spawned have stopped.
 *
 * Context: any thread but a worker's; sleeps.
 * Owner: the runtime.
 * Return: 0; -EINVAL for a type that is not among @opts->types or has another size of state, or a
 * link that @opts->join did not make; -ENOSPC when more is in flight than an actor on a GPU and its
 * ring hold; -ETIMEDOUT when a worker does not come back; what
 * rk_actor_spawn(), rk_link_actors() and @opts->join return; said in rk_errmsg().
 */
RK_API int rk_snapshot_restore(struct rk_actor **actors, struct rk_runtime *runtime,
			       const struct rk_snapshot *snapshot,
			       const struct rk_restore_opts *opts);

RK_END_DECLS

#endif
