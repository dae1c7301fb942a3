// SPDX-License-Identifier: MIT
/* Supervisors are opened, given children, asked, closed. */
#include "supervisor.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

/* --- Opening --- */

static int check(const struct rk_runtime *runtime, const struct rk_supervisor *supervisor)
{
	const struct rk_supervisor_opts *opts = &supervisor->opts;

	if (!runtime->opts.guard)
		return rk_fail(EINVAL,
			       "supervisor '%s': where handlers are not guarded a failure "
			       "ends the process: open the runtime with opts.guard",
			       supervisor->name);
	if (opts->max_restarts > RK_MAX_RESTARTS)
		return rk_fail(EINVAL, "supervisor '%s': %u restarts: at most %u", supervisor->name,
			       opts->max_restarts, RK_MAX_RESTARTS);
	if (opts->strategy > RK_REST_FOR_ONE)
		return rk_fail(EINVAL, "supervisor '%s': strategy %d: give one of enum rk_strategy",
			       supervisor->name, opts->strategy);
	if (opts->parent && opts->parent->runtime != runtime)
		return rk_fail(EINVAL, "supervisor '%s': parent '%s' is of another runtime",
			       supervisor->name, opts->parent->name);
	return 0;
}

static void set_defaults(struct rk_supervisor_opts *opts)
{
	if (!opts->max_restarts)
		opts->max_restarts = RK_SUPERVISOR_RESTARTS;
	if (!opts->window_ns)
		opts->window_ns = RK_SUPERVISOR_WINDOW_NS;
	if (!opts->heartbeat_ns)
		opts->heartbeat_ns = RK_SUPERVISOR_HEARTBEAT_NS;
	if (!opts->stuck_ns)
		opts->stuck_ns = RK_SUPERVISOR_STUCK_NS;
}

static int check_watching(const struct rk_supervisor *supervisor)
{
	if (supervisor->closing || supervisor->info.state >= RK_SUPERVISOR_FAILED)
		return rk_fail(EPIPE, "supervisor '%s': it has given up, or is closed",
			       supervisor->name);
	return 0;
}

/* As the last child. Mutex held. */
static void append(struct rk_supervisor *supervisor, struct child *child)
{
	struct child **link = &supervisor->children;

	while (*link)
		link = &(*link)->next;
	*link = child;
	supervisor->info.children++;
	/* All siblings are paused: so is this one. */
	if (supervisor->info.state == RK_SUPERVISOR_HELD)
		child_begin(child);
}

static void free_supervisor(struct rk_supervisor *supervisor)
{
	struct child *child, *next;

	for (child = supervisor->children; child; child = next) {
		next = child->next;
		child_free(child);
	}
	free(supervisor->restarted_ns);
	free(supervisor->name);
	free(supervisor);
}

static int make(struct rk_supervisor **out, struct rk_runtime *runtime,
		const struct rk_supervisor_opts *opts)
{
	struct rk_supervisor *supervisor = calloc(1, sizeof(*supervisor));

	if (!supervisor)
		return rk_fail(ENOMEM, "supervisor: no memory");
	*out = supervisor;
	supervisor->runtime = runtime;
	supervisor->opts = *opts;
	supervisor->name = strdup(opts->name ? opts->name : "supervisor");
	if (!supervisor->name)
		return rk_fail(ENOMEM, "supervisor: no memory");
	supervisor->info.name = supervisor->name;
	set_defaults(&supervisor->opts);
	return check(runtime, supervisor);
}

/* Its thread looks at it no sooner than the mutex is ours no more. */
static int start(struct rk_supervisor *supervisor)
{
	static const struct rk_child_opts defaults = {.size = sizeof(defaults)};
	struct rk_supervisor *parent = supervisor->opts.parent;
	struct child *child = parent ? calloc(1, sizeof(*child)) : NULL;
	int result = parent ? check_watching(parent) : 0;

	if (!result && parent && !child)
		result = rk_fail(ENOMEM, "supervisor '%s': no memory", supervisor->name);
	if (!result) {
		result = pthread_create(&supervisor->thread, NULL, supervisor_run, supervisor);
		supervisor->started = !result;
		if (result)
			rk_fail(result, "supervisor '%s': no thread: %s", supervisor->name,
				strerror(result));
		result = -result;
	}
	if (result || !child) {
		free(child);
		return result;
	}
	child_init(child, parent, NULL, supervisor, &defaults);
	supervisor->as_child = child;
	append(parent, child);
	return 0;
}

int rk_supervisor_open(struct rk_supervisor **out, struct rk_runtime *runtime,
		       const struct rk_supervisor_opts *opts)
{
	static const struct rk_supervisor_opts defaults = {.size = sizeof(defaults)};
	struct rk_supervisor *supervisor = NULL;
	int result = make(&supervisor, runtime, opts ? opts : &defaults);

	if (!result) {
		supervisor->restarted_ns =
			calloc(supervisor->opts.max_restarts, sizeof(*supervisor->restarted_ns));
		if (!supervisor->restarted_ns)
			result = rk_fail(ENOMEM, "supervisor '%s': no memory", supervisor->name);
	}
	if (!result) {
		pthread_mutex_lock(&runtime->mutex);
		result = start(supervisor);
		if (!result) {
			supervisor->next = runtime->supervisors;
			runtime->supervisors = *out = supervisor;
		}
		pthread_mutex_unlock(&runtime->mutex);
	}
	if (result && supervisor)
		free_supervisor(supervisor);
	return result;
}

/* --- Adding --- */

static int check_child(const struct rk_supervisor *supervisor, struct rk_actor *actor,
		       const struct rk_child_opts *opts)
{
	if (actor->runtime != supervisor->runtime)
		return rk_fail(EINVAL, "supervisor '%s': actor '%s' is of another runtime",
			       supervisor->name, actor->name);
	if (opts->restart > RK_RESTART_NEVER)
		return rk_fail(EINVAL, "actor '%s': restart %d: give one of enum rk_restart",
			       actor->name, opts->restart);
	if (actor_has_stopped(actor))
		return rk_fail(EPIPE, "actor '%s': it has stopped", actor->name);
	return 0;
}

/* Mutex held. */
static int add(struct rk_supervisor *supervisor, struct child *child)
{
	struct rk_actor *actor = child->actor;
	bool restarts = child->opts.restart != RK_RESTART_NEVER;
	int result = check_watching(supervisor);

	if (result)
		return result;
	if (restarts && __atomic_load_n(&actor->expected, __ATOMIC_RELAXED))
		return rk_fail(EBUSY, "actor '%s': it has a supervisor, or is being killed",
			       actor->name);
	if (restarts)
		__atomic_fetch_or(&actor->expected, ACTOR_WATCHED, __ATOMIC_RELAXED);
	/* For as long as it is watched: whatever it answers, and that it failed, wakes us. */
	__atomic_fetch_add(&actor->awaited, 1, __ATOMIC_SEQ_CST);
	append(supervisor, child);
	return 0;
}

int rk_supervisor_add(struct rk_supervisor *supervisor, struct rk_actor *actor,
		      const struct rk_child_opts *opts)
{
	static const struct rk_child_opts defaults = {.size = sizeof(defaults)};
	struct child *child = calloc(1, sizeof(*child));
	int result;

	if (!child)
		return rk_fail(ENOMEM, "supervisor '%s': no memory", supervisor->name);
	if (!opts)
		opts = &defaults;
	pthread_mutex_lock(&supervisor->runtime->mutex);
	result = check_child(supervisor, actor, opts);
	if (!result)
		result = child_init(child, supervisor, actor, NULL, opts);
	if (!result)
		result = add(supervisor, child);
	pthread_mutex_unlock(&supervisor->runtime->mutex);
	if (result)
		child_free(child);
	return result;
}

void rk_supervisor_info(struct rk_supervisor *supervisor, struct rk_supervisor_info *info)
{
	pthread_mutex_lock(&supervisor->runtime->mutex);
	*info = supervisor->info;
	pthread_mutex_unlock(&supervisor->runtime->mutex);
}

/* --- Closing --- */

int rk_supervisor_close(struct rk_supervisor *supervisor)
{
	bool started;

	if (!supervisor)
		return 0;
	pthread_mutex_lock(&supervisor->runtime->mutex);
	started = supervisor->started;
	if (started && pthread_equal(pthread_self(), supervisor->thread)) {
		pthread_mutex_unlock(&supervisor->runtime->mutex);
		return rk_fail(EDEADLK,
			       "supervisor '%s': close it from another thread than its own",
			       supervisor->name);
	}
	supervisor->started = false;
	supervisor->closing = true;
	pthread_cond_broadcast(&supervisor->runtime->changed);
	pthread_mutex_unlock(&supervisor->runtime->mutex);
	if (started)
		pthread_join(supervisor->thread, NULL);
	return 0;
}

void supervisors_close(struct rk_runtime *runtime)
{
	for (struct rk_supervisor *one = runtime->supervisors; one; one = one->next)
		rk_supervisor_close(one);
}

void supervisors_free(struct rk_runtime *runtime)
{
	struct rk_supervisor *one, *next;

	for (one = runtime->supervisors; one; one = next) {
		next = one->next;
		free_supervisor(one);
	}
}
