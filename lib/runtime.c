// SPDX-License-Identifier: MIT
/* The runtime as a whole: its workers, waiting for the end of everything, and taking it down. */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* For all to let go; an actor on a GPU whose handler never returns is left behind then. */
#define CLOSE_NS 2000000000ULL

void runtime_give_way(struct rk_runtime *runtime)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += RK_WAKE_NAP_NS;
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	pthread_cond_timedwait(&runtime->changed, &runtime->mutex, &end);
}

int runtime_add_task(struct rk_runtime *runtime, int index, struct rk_task *task)
{
	int result;

	while ((result = rk_worker_add(runtime->worker[index], task)) == -EAGAIN)
		runtime_give_way(runtime);
	if (!result)
		runtime->live++;
	return result;
}

void runtime_task_done(struct rk_runtime *runtime)
{
	pthread_mutex_lock(&runtime->mutex);
	runtime->live--;
	pthread_cond_broadcast(&runtime->changed);
	pthread_mutex_unlock(&runtime->mutex);
}

void runtime_keep_failure(struct rk_runtime *runtime, int result)
{
	if (runtime->result)
		return;
	runtime->result = result;
	snprintf(runtime->result_text, sizeof(runtime->result_text), "%s", rk_errmsg());
	pthread_cond_broadcast(&runtime->changed);
}

void runtime_failed(struct rk_runtime *runtime, int result)
{
	pthread_mutex_lock(&runtime->mutex);
	runtime_keep_failure(runtime, result);
	pthread_mutex_unlock(&runtime->mutex);
}

int runtime_worker_index(const struct rk_runtime *runtime, int asked, int otherwise)
{
	if (asked == RK_ANY_WORKER)
		return otherwise % (int)runtime->workers;
	if (asked < 0 || asked >= (int)runtime->workers)
		return rk_fail(EINVAL, "worker %d: this runtime has 0 to %u", asked,
			       runtime->workers - 1);
	return asked;
}

/* The CPUs this process may use, in turn; returns how many. */
static unsigned int allowed_cpus(int *cpus)
{
	unsigned int found = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < RK_MAX_WORKERS; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[found++] = cpu;
	return found;
}

static int choose_cpus(struct rk_runtime *runtime, const struct rk_runtime_opts *opts)
{
	int allowed[RK_MAX_WORKERS];
	unsigned int found = allowed_cpus(allowed);
	unsigned int workers = opts->workers ? opts->workers : found ? found : 1;

	if (workers > RK_MAX_WORKERS)
		return rk_fail(EINVAL, "runtime: %u workers: at most %d", workers, RK_MAX_WORKERS);
	for (unsigned int i = 0; i < workers; i++) {
		bool pinned = !opts->unpinned && found;

		runtime->cpu[i] = opts->cpus ? opts->cpus[i] : pinned ? allowed[i % found] : -1;
	}
	runtime->workers = workers;
	return 0;
}

static int start_workers(struct rk_runtime *runtime, const struct rk_runtime_opts *opts)
{
	uint32_t looks = opts->spin_looks ? opts->spin_looks : RK_SPIN_LOOKS;
	unsigned int wanted = runtime->workers;
	char name[16];

	runtime->workers = 0;
	while (runtime->workers < wanted) {
		unsigned int i = runtime->workers;
		int result;

		snprintf(name, sizeof(name), "rk-%u", i);
		result = rk_worker_open(&runtime->worker[i], name, runtime->cpu[i], looks,
					!opts->no_doorbells);
		if (result)
			return result;
		runtime->workers++;
	}
	return 0;
}

int rk_runtime_open(struct rk_runtime **out, const struct rk_runtime_opts *opts)
{
	static const struct rk_runtime_opts defaults = {.size = sizeof(defaults)};
	struct rk_runtime *runtime = calloc(1, sizeof(*runtime));
	pthread_condattr_t attributes;
	int result;

	if (!runtime)
		return rk_fail(ENOMEM, "runtime: no memory");
	if (!opts)
		opts = &defaults;
	runtime->opts = *opts;
	pthread_mutex_init(&runtime->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&runtime->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	result = opts->guard ? cpu_guard_install() : 0;
	if (!result)
		result = choose_cpus(runtime, opts);
	if (!result)
		result = start_workers(runtime, opts);
	if (result) {
		rk_runtime_close(runtime);
		return result;
	}
	runtime->next_worker = 1;
	*out = runtime;
	return 0;
}

int runtime_wait_until(struct rk_runtime *runtime, bool (*reached)(const void *), const void *what,
		       uint64_t timeout_ns)
{
	struct timespec end;

	/* A hundred years is for ever, and does not overflow. */
	if (timeout_ns > 3155760000ULL * 1000000000ULL)
		timeout_ns = 3155760000ULL * 1000000000ULL;
	clock_gettime(CLOCK_MONOTONIC, &end);
	timeout_ns += (uint64_t)end.tv_nsec;
	end.tv_sec += (time_t)(timeout_ns / 1000000000);
	end.tv_nsec = (long)(timeout_ns % 1000000000);
	while (!reached(what))
		if (pthread_cond_timedwait(&runtime->changed, &runtime->mutex, &end) == ETIMEDOUT)
			return reached(what) ? 0 : -ETIMEDOUT;
	return 0;
}

static bool nothing_lives(const void *what)
{
	return !((const struct rk_runtime *)what)->live;
}

static bool nothing_lives_or_failed(const void *what)
{
	return !((const struct rk_runtime *)what)->live ||
	       ((const struct rk_runtime *)what)->result;
}

static int wait_for(struct rk_runtime *runtime, bool (*reached)(const void *), uint64_t timeout_ns)
{
	int result;

	pthread_mutex_lock(&runtime->mutex);
	result = runtime_wait_until(runtime, reached, runtime, timeout_ns);
	if (result)
		rk_fail(ETIMEDOUT, "runtime: %u actors and ports still run", runtime->live);
	else if (runtime->result)
		result = rk_fail(-runtime->result, "%s", runtime->result_text);
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

int rk_runtime_wait(struct rk_runtime *runtime, uint64_t timeout_ns)
{
	return wait_for(runtime, nothing_lives_or_failed, timeout_ns);
}

static void wake_workers(struct rk_runtime *runtime)
{
	for (unsigned int i = 0; i < runtime->workers; i++) {
		const struct rk_wake wake = rk_worker_wake(runtime->worker[i]);

		rk_wake_up(&wake);
	}
}

static void stop_all(struct rk_runtime *runtime, enum rk_stop how, enum cpu_hurry hurry)
{
	pthread_mutex_lock(&runtime->mutex);
	/* Ports first: to drain is to let what they gave flow out, actor after actor. */
	for (struct rk_link *link = runtime->links; link; link = link->next)
		__atomic_store_n(&link->hurry, hurry ? hurry : CPU_HURRY, __ATOMIC_RELAXED);
	/* An actor fed by ports and actors alone stops when the last of them has closed its ring.
	 */
	for (struct rk_actor *actor = runtime->actors; actor; actor = actor->next)
		if (how == RK_STOP_NOW || !actor->inboxes || actor->host_inboxes)
			actor_ask_stop(actor, hurry);
	wake_workers(runtime);
	pthread_mutex_unlock(&runtime->mutex);
}

int rk_runtime_stop(struct rk_runtime *runtime, enum rk_stop how, uint64_t timeout_ns)
{
	stop_all(runtime, how, how == RK_STOP_NOW ? CPU_HURRY : CPU_PATIENT);
	return wait_for(runtime, nothing_lives, timeout_ns);
}

int rk_runtime_worker(const struct rk_runtime *runtime, unsigned int index,
		      struct rk_worker_info *info)
{
	struct rk_worker_stats stats;

	if (index >= runtime->workers)
		return -ENOENT;
	rk_worker_stats(runtime->worker[index], &stats);
	*info = (struct rk_worker_info){
		.cpu = runtime->cpu[index],
		.polls = stats.polls,
		.worked = stats.worked,
		.sleeps = stats.sleeps,
		.cpu_ns = rk_worker_cpu_ns(runtime->worker[index]),
	};
	return 0;
}

void runtime_add_note(struct rk_runtime *runtime, const char *note)
{
	size_t used = strlen(runtime->note);

	if (*note && !strstr(runtime->note, note))
		snprintf(runtime->note + used, sizeof(runtime->note) - used, "%s%s",
			 used ? "; " : "", note);
}

const char *rk_runtime_note(const struct rk_runtime *runtime)
{
	return runtime->note;
}

int rk_runtime_close(struct rk_runtime *runtime)
{
	struct rk_actor *actor, *next_actor;
	struct rk_link *link, *next_link;
	int result = 0;

	if (!runtime)
		return 0;
	supervisors_close(runtime);
	stop_all(runtime, RK_STOP_NOW, CPU_LET_GO);
	/* Workers last: an actor that closes its rings wakes those at their other ends. */
	wait_for(runtime, nothing_lives, CLOSE_NS);
	for (unsigned int i = 0; i < runtime->workers; i++)
		rk_worker_close(runtime->worker[i]);
	for (unsigned int i = 0; i < RK_MAX_GPUS; i++)
		runtime->gpu_held |= runtime->gpu[i] && !cuda_gpu_halt(runtime->gpu[i]);
	for (link = runtime->links; link; link = next_link) {
		int closed;

		next_link = link->next;
		closed = link_free(link);
		result = result ? result : closed;
	}
	supervisors_free(runtime);
	for (actor = runtime->actors; actor; actor = next_actor) {
		next_actor = actor->next;
		actor->ops->free(actor);
	}
	names_free(runtime);
	dead_letters_free(runtime);
	tenants_free(runtime);
	for (unsigned int i = 0; i < RK_MAX_GPUS; i++)
		cuda_gpu_close(runtime->gpu[i]);
	pthread_cond_destroy(&runtime->changed);
	pthread_mutex_destroy(&runtime->mutex);
	free(runtime);
	return result;
}
