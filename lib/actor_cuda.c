// SPDX-License-Identifier: MIT
/* Actors of the cuda backend, and the GPUs that a runtime has opened. */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"
#include "rk_tenant.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

RK_STATIC_ASSERT(RK_MAX_GPU_LINKS == RK_GPU_LINKS, "the backend takes as many links as we promise");
RK_STATIC_ASSERT(RK_MAX_GPUS == CUDA_GPUS, "and as many GPUs");
RK_STATIC_ASSERT(RK_MAX_GRANTS == RK_GPU_GRANTS, "and as many parts of memory");

#define OBEYED_NS 1000000000ULL

struct gpu_actor {
	struct rk_actor base;
	struct cuda_actor *cuda;
	struct actor_copy taken; /* where its part of a snapshot is put */
	bool live; /* counted as such */
};

static struct gpu_actor *gpu_of(const struct rk_actor *actor)
{
	return (struct gpu_actor *)(uintptr_t)actor;
}

struct cuda_actor *actor_cuda_of(const struct rk_actor *actor)
{
	return gpu_of(actor)->cuda;
}

static void on_stopped(void *owner)
{
	struct gpu_actor *actor = owner;

	if (actor->cuda->failed) {
		rk_fail(EIO, "%s", actor->cuda->gpu->failure);
		runtime_failed(actor->base.runtime, -EIO);
	}
	actor_stopped(&actor->base);
}

static bool on_failed(void *owner)
{
	struct gpu_actor *actor = owner;

	return links_orphaned(&actor->base);
}

static void on_done(void *owner)
{
	struct gpu_actor *actor = owner;

	runtime_task_done(actor->base.runtime);
}

static void on_answered(void *owner)
{
	struct gpu_actor *actor = owner;

	actor_answered(&actor->base);
}

static int tell(struct rk_actor *actor, const struct rk_msg *msg)
{
	return cuda_actor_tell(gpu_of(actor)->cuda, msg);
}

/* Slots in shared memory are cleared by their consumer before the producer may know of them. */
static int await_obedience(struct rk_actor *actor)
{
	struct cuda_actor *cuda = gpu_of(actor)->cuda;
	uint64_t end_ns = now_ns() + OBEYED_NS;

	while (!cuda_actor_has_taken(cuda)) {
		if (cuda_actor_phase(cuda) >= RK_GPU_CLOSING || now_ns() > end_ns)
			return rk_fail(EPIPE, "actor '%s': it does not take its inbox", actor->name);
		sched_yield();
	}
	return 0;
}

static int give_end(struct rk_actor *actor, struct rk_link *link, bool inbox)
{
	struct rk_msg msg = {.type = inbox ? RK_GPU_INBOX : RK_GPU_OUTBOX, .slots = 1};
	const struct rk_actor *other = inbox ? link->from : link->to;
	struct rk_gpu_ring ring = link->memory.device;
	int result;

	ring.rank = inbox ? link->memory.producer_rank : link->memory.consumer_rank;
	if (other)
		ring.tenant = tenant_id(other->tenant);
	ring.flow = link->gpu_flow[inbox].part.gpu_addr;
	ring.policies = link->gpu_flow[inbox].policies;
	memcpy(msg.body, &ring, sizeof(ring));
	result = cuda_actor_tell(gpu_of(actor)->cuda, &msg);
	return !result && inbox && ring.place == RK_GPU_SHARED ? await_obedience(actor) : result;
}

static void hurry(struct rk_actor *actor, enum cpu_hurry how)
{
	static const enum rk_gpu_hurry as[] = {
		[CPU_PATIENT] = RK_GPU_PATIENT,
		[CPU_HURRY] = RK_GPU_HURRY,
		[CPU_KILLED] = RK_GPU_KILL,
		[CPU_LET_GO] = RK_GPU_LET_GO,
	};

	cuda_actor_hurry(gpu_of(actor)->cuda, as[how]);
}

static enum rk_actor_state state_of(const struct rk_actor *actor)
{
	const struct cuda_actor *cuda = gpu_of(actor)->cuda;

	if (__atomic_load_n(&cuda->failed, __ATOMIC_RELAXED))
		return RK_ACTOR_FAILED;
	switch (cuda_actor_phase(cuda)) {
	case RK_GPU_EMPTY:
	case RK_GPU_DORMANT:
		return RK_ACTOR_DORMANT;
	case RK_GPU_STARTING:
		return RK_ACTOR_STARTING;
	case RK_GPU_RUNNING:
		return RK_ACTOR_RUNNING;
	case RK_GPU_DRAINING:
		return RK_ACTOR_DRAINING;
	default:
		return RK_ACTOR_STOPPED;
	}
}

static bool is_over(const struct rk_actor *actor)
{
	return state_of(actor) >= RK_ACTOR_STOPPED;
}

static uint32_t obeyed(const struct rk_actor *actor)
{
	return cuda_actor_obeyed(gpu_of(actor)->cuda);
}

/* A store, for nothing must keep it from being said. */
static void orphan(struct rk_actor *actor)
{
	cuda_actor_hurry(gpu_of(actor)->cuda, RK_GPU_DRAIN);
}

/* --- Its state --- */

/* What @copy has on a GPU that the actor has left is of no use to it. */
static void come_along(struct actor_copy *copy, struct cuda_gpu *gpu)
{
	if (copy->gpu && copy->gpu != gpu) {
		cuda_give(copy->gpu, &copy->device);
		copy->device = (struct cuda_part){.bytes = 0};
	}
	copy->gpu = gpu;
}

static int restart_order(struct rk_actor *actor, struct actor_copy *from, struct rk_msg *cells)
{
	uint64_t gpu_addr;
	int result;

	if (!from) {
		memcpy(cells, actor->start, actor->start->slots * sizeof(*cells));
		cells->type = RK_GPU_BEGIN;
		return 0;
	}
	come_along(from, actor->gpu);
	result = cuda_actor_room(gpu_of(actor)->cuda, &from->device, from->state, &gpu_addr);
	*cells = actor_order(RK_GPU_RESTORE, (const void *)(uintptr_t)gpu_addr, NULL);
	return result;
}

static int copy_order(struct rk_actor *actor, struct actor_copy *to, struct rk_msg *msg)
{
	uint64_t gpu_addr;
	int result;

	to->type = NULL;
	to->sound = false;
	come_along(to, actor->gpu);
	result = cuda_actor_room(gpu_of(actor)->cuda, &to->device, NULL, &gpu_addr);
	*msg = actor_order(RK_GPU_COPY, (const void *)(uintptr_t)gpu_addr, NULL);
	return result;
}

static int copied(struct rk_actor *actor, struct actor_copy *to)
{
	struct rk_gpu_copied at_end;
	int result = cuda_actor_copied(gpu_of(actor)->cuda, &to->device, to->state, &at_end);

	if (result)
		return result;
	to->type = actor->type;
	to->received = at_end.counters.received;
	to->failed = 0;
	to->sound = at_end.sound;
	return 0;
}

/* --- Its part of a snapshot --- */

/* The taken copy's place on the GPU that it is on now. */
static int lend(struct rk_actor *actor)
{
	struct gpu_actor *gpu = gpu_of(actor);
	uint64_t gpu_addr;

	come_along(&gpu->taken, actor->gpu);
	actor->cut->lent = 1;
	return cuda_actor_room(gpu->cuda, &gpu->taken.device, NULL, &gpu_addr);
}

static bool is_inside(const struct cpu_cut *cut, const void *end)
{
	for (uint32_t i = 0; i < cut->insides; i++)
		if (cut->inside[i] == end)
			return true;
	return false;
}

static void cut_order(const struct rk_actor *actor, bool forget, struct rk_msg *msg)
{
	struct cpu_cut *cut = actor->cut;
	struct rk_gpu_cut order = {.epoch = cut->epoch};

	/* Given up, it is back once it has obeyed, which whoever gave it up sees to. */
	cut->lent = !forget;
	if (!forget)
		order.at = gpu_of(actor)->taken.device.gpu_addr;
	for (const struct rk_link *link = actor->runtime->links; link; link = link->next) {
		if (link->to == actor && link->inbox && is_inside(cut, &link->rx))
			order.inboxes |= 1u << (link->inbox - 1);
		if (link->from == actor && link->outbox && is_inside(cut, &link->tx))
			order.outboxes |= 1u << (link->outbox - 1);
	}
	*msg = (struct rk_msg){.type = RK_GPU_CUT, .slots = 1};
	memcpy(msg->body, &order, sizeof(order));
}

static bool cut_is_back(const struct rk_actor *actor)
{
	return !actor->cut->lent ||
	       cuda_actor_has_cut(gpu_of(actor)->cuda, actor->cut->epoch);
}

static int bring_cut(struct rk_actor *actor)
{
	struct gpu_actor *gpu = gpu_of(actor);
	struct cpu_cut *cut = actor->cut;
	struct rk_gpu_ends ends;
	int result = cuda_actor_cut(gpu->cuda, &gpu->taken.device, cut->state, &ends);

	/* It is the host's again, also when the actor sits elsewhere. */
	cut->lent = 0;
	cut->inboxes = cut->outboxes = RK_GPU_LINKS;
	for (const struct rk_link *link = actor->runtime->links; !result && link;
	     link = link->next) {
		if (link->to == actor && link->inbox)
			cut->inbox[link->inbox - 1] = (struct cpu_cut_end){
				.end = &link->rx, .position = ends.received[link->inbox - 1]};
		if (link->from == actor && link->outbox)
			cut->outbox[link->outbox - 1] = (struct cpu_cut_end){
				.end = &link->tx, .position = ends.sent[link->outbox - 1]};
	}
	return result;
}

static void get_info(const struct rk_actor *actor, struct rk_actor_info *info)
{
	struct rk_gpu_counters from;

	cuda_actor_counters(gpu_of(actor)->cuda, &from);
	info->received = from.received;
	info->received_slots = from.received_slots;
	info->sent = from.sent;
	info->sent_slots = from.sent_slots;
	info->dropped_no_outbox = from.dropped_no_outbox;
	info->dropped_closed = from.dropped_closed;
	info->dropped_bad = from.dropped_bad;
	info->dropped_stopped = from.dropped_stopped;
	info->dropped_full = from.dropped_full;
	info->dropped_old = from.dropped_old;
	info->dropped_expired = from.dropped_expired;
	info->refused = from.refused;
	info->restarts = from.restarts;
	info->reloads = actor->reloads;
}

static const void *memory_of(struct rk_actor *actor)
{
	return cuda_actor_state(gpu_of(actor)->cuda);
}

static void free_actor(struct rk_actor *actor)
{
	actor_copy_free(&actor->spare);
	actor_copy_free(&gpu_of(actor)->taken);
	if (actor->cut)
		cpu_cut_reset(actor->cut);
	free(actor->cut);
	cuda_actor_free(gpu_of(actor)->cuda);
	free(actor->name);
	free(actor);
}

static const struct actor_ops ops = {
	.tell = tell,
	.give_end = give_end,
	.hurry = hurry,
	.state = state_of,
	.over = is_over,
	.info = get_info,
	.memory = memory_of,
	.obeyed = obeyed,
	.orphan = orphan,
	.restart = restart_order,
	.copy = copy_order,
	.free = free_actor,
	.copied = copied,
	.lend = lend,
	.cut = cut_order,
	.cut_is_back = cut_is_back,
	.bring_cut = bring_cut,
};

int actor_cuda_gpu(struct rk_runtime *runtime, int ordinal, struct cuda_gpu **gpu)
{
	const struct cuda_gpu_opts opts = {
		.ordinal = ordinal,
		.blocks = runtime->opts.gpu_blocks,
		.nap_ns = runtime->opts.gpu_nap_ns,
		.stuck_ns = runtime->opts.gpu_stuck_ns,
		.provider = runtime->opts.gpu_provider,
		.calibrate = runtime->opts.gpu_calibrate,
	};
	int result;

	if (ordinal < 0 || ordinal >= RK_MAX_GPUS)
		return rk_fail(EINVAL, "GPU %d: give one from 0 to %d", ordinal, RK_MAX_GPUS - 1);
	if (!runtime->gpu[ordinal]) {
		result = cuda_gpu_open(&runtime->gpu[ordinal], &opts);
		if (result)
			return result;
		runtime_add_note(runtime, runtime->gpu[ordinal]->note);
	}
	*gpu = runtime->gpu[ordinal];
	return 0;
}

int actor_cuda_place(struct cuda_actor_opts *out, int gpu, enum rk_where where,
		     const struct rk_actor *other, const char *name)
{
	static const enum cuda_where as[] = {
		[RK_WHERE_ANY] = CUDA_ANYWHERE,
		[RK_WHERE_BLOCK] = CUDA_BESIDE,
		[RK_WHERE_CLUSTER] = CUDA_CLUSTER,
		[RK_WHERE_APART] = CUDA_APART,
	};

	*out = (struct cuda_actor_opts){.where = CUDA_ANYWHERE};
	if (where == RK_WHERE_ANY)
		return 0;
	if (where > RK_WHERE_APART || !other || !other->gpu || other->gpu->gpu.ordinal != gpu)
		return rk_fail(EINVAL, "actor '%s': a place seen from another: give an actor on GPU %d",
			       name, gpu);
	out->where = as[where];
	out->other = actor_cuda_of(other);
	return 0;
}

int actor_cuda_create(struct rk_actor **out, struct rk_runtime *runtime,
		      const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	const char *name = opts->name ? opts->name : type->name;
	struct gpu_actor *actor = calloc(1, sizeof(*actor));
	struct cuda_actor_opts cuda_opts;
	int result;

	if (!actor)
		return rk_fail(ENOMEM, "actor '%s': no memory", name);
	*out = &actor->base;
	actor->base = (struct rk_actor){
		.ops = &ops, .runtime = runtime, .type = type, .max_links = RK_MAX_GPU_LINKS};
	actor->base.name = strdup(name);
	if (!actor->base.name)
		return rk_fail(ENOMEM, "actor '%s': no memory", name);
	result = actor_cuda_place(&cuda_opts, opts->gpu, opts->where, opts->other, name);
	cuda_opts.group = opts->group == RK_GROUP_BLOCK ? RK_GPU_GROUP_BLOCK : RK_GPU_GROUP_WARP;
	cuda_opts.tenant = tenant_id(opts->tenant);
	cuda_opts.stopped = on_stopped;
	cuda_opts.failed = on_failed;
	cuda_opts.done = on_done;
	cuda_opts.answered = on_answered;
	cuda_opts.owner = actor;
	if (!result && (result = actor_cuda_gpu(runtime, opts->gpu, &actor->base.gpu)))
		rk_fail_within(result, "actor '%s'", name);
	/* Live from before it is told: it may be over before we come back. */
	runtime->live++;
	if (!result)
		result = cuda_actor_open(&actor->cuda, actor->base.gpu, type, name, opts->state,
					 &cuda_opts);
	if (result)
		runtime->live--;
	return result;
}
