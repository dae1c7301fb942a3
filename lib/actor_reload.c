// SPDX-License-Identifier: MIT
/* Replacing the handler of an actor that runs, and waiting for what comes of it. */
#include "backends/cpu_trial.h"
#include "clock.h"
#include "rk_error.h"
#include "rk_reload.h"
#include "runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct actor_reload {
	struct cpu_trial trial;
	struct rk_actor *actor;
	bool over; /* under the mutex, as the next */
	bool awaited;
};

/* The trial has ended, and the one state that is not the actor's with it. On the worker's thread.
 */
static void on_over(struct cpu_trial *trial)
{
	struct actor_reload *reload = trial->owner;
	struct rk_actor *actor = reload->actor;

	pthread_mutex_lock(&actor->runtime->mutex);
	if (trial->outcome == CPU_TRIAL_KEPT) {
		actor->type = trial->type;
		free(trial->former_state);
	} else {
		free(trial->state);
	}
	trial->state = NULL;
	actor_copy_free(&actor->spare); /* of the former size */
	actor->spare_lent = false;
	reload->over = true;
	pthread_cond_broadcast(&actor->runtime->changed);
	pthread_mutex_unlock(&actor->runtime->mutex);
}

void actor_reload_free(struct actor_reload *reload)
{
	/* One that has begun has the actor's own state, or none. */
	if (reload && !reload->trial.former_state)
		free(reload->trial.state);
	free(reload);
}

static int check(const struct rk_actor *actor, const struct rk_actor_type *type,
		 rk_convert_fn *convert, const struct rk_reload_opts *opts)
{
	if (actor->gpu && opts->trial_messages)
		return rk_fail(EOPNOTSUPP,
			       "actor '%s': reload: a trial of %u messages: on a GPU there is none, "
			       "for a trap there ends all its actors",
			       actor->name, opts->trial_messages);
	if (!convert && type->state_bytes != actor->type->state_bytes)
		return rk_fail(EINVAL,
			       "actor '%s': reload: %u bytes of state become %u: give a function "
			       "that converts them",
			       actor->name, actor->type->state_bytes, type->state_bytes);
	if (opts->trial_messages > RK_MAX_TRIAL)
		return rk_fail(EINVAL, "actor '%s': reload: a trial of %u messages: at most %d",
			       actor->name, opts->trial_messages, RK_MAX_TRIAL);
	return 0;
}

static int make(struct actor_reload **out, struct rk_actor *actor, const struct rk_actor_type *type,
		rk_convert_fn *convert, const struct rk_reload_opts *opts)
{
	struct actor_reload *reload = calloc(1, sizeof(*reload));
	void *state = actor_cpu_state(type);

	if (!reload || !state) {
		free(reload);
		free(state);
		return rk_fail(ENOMEM, "actor '%s': reload: no memory for %u bytes of state",
			       actor->name, type->state_bytes);
	}
	reload->actor = actor;
	reload->trial = (struct cpu_trial){.type = type,
					   .state = state,
					   .convert = convert,
					   .check = opts->check,
					   .user = opts->user,
					   .messages = opts->trial_messages,
					   .over = on_over,
					   .owner = reload};
	*out = reload;
	return 0;
}

/* In the place of the last one, unless somebody still reads what came of that. */
static int install(struct actor_reload *reload)
{
	struct rk_actor *actor = reload->actor;
	int result = 0;

	pthread_mutex_lock(&actor->runtime->mutex);
	if (actor->reload && actor->reload->awaited)
		result = rk_fail(EBUSY, "actor '%s': reload: another is ending", actor->name);
	else if (actor->runtime->taking)
		result = rk_fail(EBUSY, "actor '%s': reload: a snapshot is being taken: wait",
				 actor->name);
	if (result) {
		actor_reload_free(reload);
	} else {
		actor_reload_free(actor->reload);
		actor->reload = reload;
		reload->awaited = true;
	}
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

bool actor_is_reloading(const struct rk_actor *actor)
{
	return actor->reload && !actor->reload->over;
}

static bool is_over(const void *what)
{
	return ((const struct actor_reload *)what)->over;
}

static int await_over(struct actor_reload *reload, uint64_t most_ns)
{
	struct rk_runtime *runtime = reload->actor->runtime;
	int result;

	pthread_mutex_lock(&runtime->mutex);
	result = runtime_wait_until(runtime, is_over, reload, most_ns);
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

/* Until the trial is over; its calls that are stuck are ended. */
static int wait_for_trial(struct actor_reload *reload, uint64_t stuck_ns, uint64_t end_ns)
{
	struct rk_actor *actor = reload->actor;
	uint64_t call = 0, now;

	while ((now = now_ns()) < end_ns) {
		uint64_t most = end_ns - now, before = call;

		if (stuck_ns && stuck_ns < most)
			most = stuck_ns;
		if (!await_over(reload, most))
			return 0;
		call = actor->ops->calls(actor);
		if (stuck_ns && (call & 1) && call == before)
			actor->ops->interrupt(actor, call);
	}
	return await_over(reload, 0);
}

static int outcome(const struct actor_reload *reload)
{
	const struct cpu_trial *trial = &reload->trial;
	const char *name = reload->actor->name;

	switch (trial->outcome) {
	case CPU_TRIAL_KEPT:
		return 0;
	case CPU_TRIAL_TRAPPED:
		return rk_fail(EFAULT,
			       "actor '%s': reload: undone: after %u messages '%s' was ended by "
			       "signal %d (%s)",
			       name, trial->handled, trial->type->name, trial->signal,
			       strsignal(trial->signal));
	case CPU_TRIAL_DISLIKED:
		return rk_fail(EFAULT,
			       "actor '%s': reload: undone: the check refused what '%s' did with "
			       "message %u",
			       name, trial->type->name, trial->handled + 1);
	case CPU_TRIAL_NO_MEMORY:
		return rk_fail(ENOMEM,
			       "actor '%s': reload: undone: no memory to keep %u messages of the "
			       "trial",
			       name, trial->handled + 1);
	default:
		return rk_fail(EPIPE, "actor '%s': reload: it has stopped, drains or has failed",
			       name);
	}
}

static int carry_out(struct actor_reload *reload, uint64_t stuck_ns, uint64_t timeout_ns)
{
	uint64_t end_ns = deadline_ns(timeout_ns);
	cpu_call_fn *begin = cpu_trial_begin;
	struct rk_msg msg = actor_order(CPU_CALL, *(void **)&begin, &reload->trial);
	int result = actor_command(reload->actor, &msg, timeout_ns, "reload");

	if (result)
		return result;
	if (wait_for_trial(reload, stuck_ns, end_ns))
		return rk_fail(ETIMEDOUT,
			       "actor '%s': reload: the trial of %u messages is not over: it goes "
			       "on",
			       reload->actor->name, reload->trial.messages);
	return outcome(reload);
}

int rk_actor_reload(struct rk_actor *actor, const struct rk_actor_type *type,
		    rk_convert_fn *convert, const struct rk_reload_opts *opts, uint64_t timeout_ns)
{
	static const struct rk_reload_opts defaults = {.size = sizeof(defaults)};
	int result = actor_borrow_spare(actor, "reload");
	struct actor_reload *reload = NULL;

	if (result)
		return result;
	if (!opts)
		opts = &defaults;
	result = check(actor, type, convert, opts);
	if (!result && actor->gpu) {
		result = actor_cuda_reload(actor, type, convert, timeout_ns);
		actor_give_spare_back(actor, result);
		return result;
	}
	if (!result)
		result = make(&reload, actor, type, convert, opts);
	if (!result)
		result = install(reload);
	if (result) {
		actor_give_spare_back(actor, result);
		return result;
	}
	result = carry_out(reload, opts->stuck_ns, timeout_ns);
	pthread_mutex_lock(&actor->runtime->mutex);
	reload->awaited = false;
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}
