// SPDX-License-Identifier: MIT
/* One actor as the host sees it: spawning, control, what it did and what it leaves. */
#include "runtime.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

RK_STATIC_ASSERT(RK_MAX_LINKS == CPU_MAX_LINKS, "the backend takes as many links as we promise");
RK_STATIC_ASSERT(RK_MSG_HEADER_BYTES + 8 * RK_MAX_ARGS <= CPU_CONTROL_CELLS * RK_CELL_BYTES,
		 "all arguments fit one control message");

static void on_stopped(void *owner)
{
	struct rk_actor *actor = owner;

	pthread_mutex_lock(&actor->runtime->mutex);
	pthread_cond_broadcast(&actor->runtime->changed);
	pthread_mutex_unlock(&actor->runtime->mutex);
}

static void on_done(void *owner)
{
	struct rk_actor *actor = owner;

	runtime_task_done(actor->runtime);
}

int runtime_control(struct rk_actor *actor, const struct rk_msg *message)
{
	int sent;

	while (!(sent = rk_ring_send(&actor->control, message))) {
		if (__atomic_load_n(&actor->ctx.phase, __ATOMIC_ACQUIRE) >= CPU_CLOSING) /* A2: R2 */
			return rk_fail(EPIPE, "actor '%s': it has stopped", actor->name);
		runtime_give_way(actor->runtime);
	}
	return sent < 0 ? sent : 0;
}

static int open_control(struct rk_actor *actor)
{
	size_t bytes = rk_ring_bytes(CPU_CONTROL_SLOTS);
	struct rk_ring ring;

	actor->control_memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	if (!actor->control_memory)
		return rk_fail(ENOMEM, "actor '%s': no memory for its control ring", actor->name);
	rk_ring_format(&ring, actor->control_memory, bytes, CPU_CONTROL_SLOTS, 0, actor->name);
	rk_ring_tx_open(&actor->control, &ring);
	rk_ring_rx_open(&actor->ctx.control, &ring, NULL);
	actor->control.consumer = rk_worker_wake(actor->ctx.worker);
	return 0;
}

/* RK_MSG_START with all arguments of the type; those not given are 0. */
static int send_start(struct rk_actor *actor, const struct rk_actor_opts *opts)
{
	struct rk_msg start[CPU_CONTROL_CELLS] = {{.type = RK_MSG_START}};
	unsigned int count = 0;

	while (actor->ctx.type->args && actor->ctx.type->args[count])
		count++;
	if (opts->arg_count > count || count > RK_MAX_ARGS)
		return rk_fail(EINVAL, "actor '%s': %u arguments: type '%s' takes %u", actor->name,
			       opts->arg_count, actor->ctx.type->name, count);
	if (opts->arg_count)
		memcpy(start[0].body, opts->args, opts->arg_count * sizeof(uint64_t));
	start[0].slots = (uint8_t)rk_msg_cells(0, count * sizeof(uint64_t));
	return runtime_control(actor, start);
}

static int create(struct rk_actor **out, struct rk_runtime *runtime,
		  const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	struct rk_actor *actor = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*actor));
	size_t state_bytes = (type->state_bytes + RK_CACHE_LINE_BYTES) / RK_CACHE_LINE_BYTES *
			     RK_CACHE_LINE_BYTES;

	*out = actor;
	if (!actor)
		return rk_fail(ENOMEM, "actor '%s': no memory", type->name);
	memset(actor, 0, sizeof(*actor));
	actor->runtime = runtime;
	actor->name = strdup(opts->name ? opts->name : type->name);
	actor->state = aligned_alloc(RK_CACHE_LINE_BYTES, state_bytes);
	if (!actor->name || !actor->state)
		return rk_fail(ENOMEM, "actor '%s': no memory for %u bytes of state", type->name,
			       type->state_bytes);
	memset(actor->state, 0, state_bytes);
	return 0;
}

void actor_free(struct rk_actor *actor)
{
	if (!actor)
		return;
	cpu_actor_release(&actor->ctx);
	free(actor->control_memory);
	free(actor->state);
	free(actor->name);
	free(actor);
}

int rk_actor_spawn(struct rk_actor **out, struct rk_runtime *runtime,
		   const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	static const struct rk_actor_opts defaults = {.size = sizeof(defaults),
						      .worker = RK_ANY_WORKER};
	struct rk_actor *actor = NULL;
	int worker, result;

	if (!opts)
		opts = &defaults;
	pthread_mutex_lock(&runtime->mutex);
	worker = result = runtime_worker_index(runtime, opts->worker, (int)runtime->next_worker);
	if (worker >= 0)
		result = create(&actor, runtime, type, opts);
	if (!result) {
		cpu_actor_prepare(&actor->ctx, type, actor->state, runtime->worker[worker]);
		actor->ctx.owner = actor;
		actor->ctx.stopped = on_stopped;
		actor->ctx.done = on_done;
		result = open_control(actor);
	}
	if (!result)
		result = send_start(actor, opts);
	if (!result)
		result = runtime_add_task(runtime, worker, &actor->ctx.task);
	if (!result) {
		/* Worker 0 polls the ports that do not say where. */
		runtime->next_worker++;
		if (runtime->next_worker % runtime->workers == 0)
			runtime->next_worker++;
		actor->next = runtime->actors;
		runtime->actors = actor;
		*out = actor;
	} else {
		actor_free(actor);
	}
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

static enum rk_actor_state state_of(const struct rk_actor *actor)
{
	/* A2: pairs with R2 in enter(): the state is as RK_MSG_STOP left it. */
	switch (__atomic_load_n(&actor->ctx.phase, __ATOMIC_ACQUIRE)) {
	case CPU_RUNNING:
		return RK_ACTOR_RUNNING;
	case CPU_DRAINING:
		return RK_ACTOR_DRAINING;
	default:
		return RK_ACTOR_STOPPED;
	}
}

void rk_actor_info(const struct rk_actor *actor, struct rk_actor_info *info)
{
	const struct cpu_counters *from = &actor->ctx.counters;

	info->name = actor->name;
	info->state = state_of(actor);
	/* Relaxed: each is a count of its own. */
	info->received = __atomic_load_n(&from->received, __ATOMIC_RELAXED);
	info->received_slots = __atomic_load_n(&from->received_slots, __ATOMIC_RELAXED);
	info->sent = __atomic_load_n(&from->sent, __ATOMIC_RELAXED);
	info->sent_slots = __atomic_load_n(&from->sent_slots, __ATOMIC_RELAXED);
	info->dropped_no_outbox = __atomic_load_n(&from->dropped_no_outbox, __ATOMIC_RELAXED);
	info->dropped_closed = __atomic_load_n(&from->dropped_closed, __ATOMIC_RELAXED);
	info->dropped_bad = __atomic_load_n(&from->dropped_bad, __ATOMIC_RELAXED);
	info->dropped_stopped = __atomic_load_n(&from->dropped_stopped, __ATOMIC_RELAXED);
	info->dropped_no_memory = __atomic_load_n(&from->dropped_no_memory, __ATOMIC_RELAXED);
}

const void *rk_actor_state(const struct rk_actor *actor)
{
	return state_of(actor) == RK_ACTOR_STOPPED ? actor->state : NULL;
}
