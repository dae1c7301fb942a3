/* SPDX-License-Identifier: MIT */
/*
 * rk_reload.h - a new handler for an actor that runs, without a message lost or reordered.
 *
 * Between two messages the state is converted and the handler replaced. The first messages may be
 * a trial: what the new handler sends about one goes out when it has come back from it, and if it
 * traps, is stuck, or does not please, all is as if it had never been: the former handler goes
 * over the messages of the trial again, with the state of before and nobody hearing what it sends,
 * and then handles the message that the new one failed at, for real. What the new handler did by
 * I/O of its own (rk_io.h) stays done, and is done again.
 */
#ifndef RK_RELOAD_H
#define RK_RELOAD_H

#include "rk_actor.h"

#define RK_MAX_TRIAL 65536 /* messages */

/**
 * rk_convert_fn - make a state for the new handler
 * @to: zeroed, of the new type's size
 * @from: of the former type's size
 *
 * Keeps to the subset of rk_handler.h, as a handler does: on the actor's worker, between two of its
 * messages. A trap in it undoes the reload.
 */
typedef void rk_convert_fn(void *to, const void *from);

/**
 * struct rk_reload_opts - zero is the default
 * @size: sizeof(struct rk_reload_opts)
 * @trial_messages: at most RK_MAX_TRIAL; 0: none
 * @stuck_ns: a call of the trial that lasts longer is ended, while rk_actor_reload() waits and
 *where the runtime guards its handlers; 0: never
 * @check: called after each message of the trial with the new state; false: undo. On the actor's
 *	worker, in the subset of rk_handler.h; may be NULL
 * @user: first argument of @check
 */
struct rk_reload_opts {
	size_t size;
	uint32_t trial_messages;
	uint64_t stuck_ns;
	bool (*check)(void *user, const void *state, const struct rk_msg *msg);
	void *user;
};

RK_BEGIN_DECLS

/**
 * rk_actor_reload() - replace the handler of an actor that runs
 * @actor: running or dormant
 * @type: its handlers and state from now on; must outlive the runtime
 * @convert: NULL: the state stays as it is, byte for byte
 * @opts: NULL for the default
 * @timeout_ns: at most this long; the reload and its trial go on after it
 *
 * The name and the arguments of the actor stay; RK_MSG_START is not sent again. An actor that is
 * restarted or stopped during the trial keeps the new handler.
 * On a GPU there is no trial: a trap there ends the context, and all actors of the process on that GPU
 * with it, and a call that does not come back cannot be ended from outside: so the two failures that a
 * trial is for could not be undone. @convert is called on the calling thread. The actor takes a seat in the kernel that has the new handler; the first of a
 * user's own is launched then, and all kernels of that GPU pause while its code is loaded.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0 once the trial is over; -EFAULT when it was undone, with why; -EINVAL for states of
 * different sizes without @convert, or a trial that is too long; -EBUSY during another reload, copy,
 * restart or snapshot; -EPIPE when the actor has stopped, drains or has failed; -ETIMEDOUT when its
 * handler has not come back, or the trial's messages have not come; -EOPNOTSUPP for a trial on a GPU,
 * or when a link there lies in shared memory of a block; what rk_actor_spawn() returns for a type on
 * a GPU; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_actor_reload(struct rk_actor *actor, const struct rk_actor_type *type,
			   rk_convert_fn *convert, const struct rk_reload_opts *opts,
			   uint64_t timeout_ns);

RK_END_DECLS

#endif
