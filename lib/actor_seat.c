// SPDX-License-Identifier: MIT
/*
 * An actor on a GPU takes another seat: to sit elsewhere, to have another handler, or to be on
 * another GPU. It is paused, leaves its seat with all it has in hand but rings and state, and goes
 * on from there; what is sent to it meanwhile waits in its inboxes. The rings stay where they lie,
 * and so does the state, but for another GPU, to which it is copied.
 */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"
#include "rk_reload.h"

#include <stdlib.h>
#include <string.h>

#define LEAVE_NS 1000000000ULL /* to leave; it stands still, so this is for a GPU that has died */

/* What has to be there before the actor may leave. */
struct handover {
	const struct rk_actor_type *type; /* for a new handler, as the next four */
	rk_convert_fn *convert;
	void *from, *to;
	struct cuda_part state;
	struct cuda_home home; /* for another GPU */
	unsigned int reached;  /* and how much is known to be reached from there */
};

/* --- Whether it can; mutex held --- */

static bool has_end_of(const struct rk_actor *actor, const struct rk_link *link)
{
	return link->from == actor || link->to == actor;
}

/* Who or what has the other end, for people. */
static const char *other_end(const struct rk_actor *actor, const struct rk_link *link)
{
	const struct rk_actor *other = link->from == actor ? link->to : link->from;
	const struct rk_port *port = link->in_port ? link->in_port : link->out_port;

	return other ? other->name : port ? rk_port_uri(port) : "the host";
}

/* Links and parts of memory that it has: it only ever gets more. */
static unsigned int reach_of(const struct rk_actor *actor)
{
	return actor->inboxes + actor->outboxes + actor->grants;
}

static int check(const struct rk_actor *actor, const char *verb)
{
	if (actor_has_stopped(actor) || actor->ops->state(actor) == RK_ACTOR_DRAINING)
		return actor_over(actor, verb);
	for (struct rk_link *link = actor->runtime->links; link; link = link->next)
		if (has_end_of(actor, link) && link->memory.device.place == RK_GPU_SHARED)
			return rk_fail(
				EOPNOTSUPP,
				"actor '%s': %s: its link with '%s' lies in shared memory of "
				"the block: link them with place RK_PLACE_GPU",
				actor->name, verb, other_end(actor, link));
	return 0;
}

/* --- Leaving and sitting down; mutex held --- */

static int leave(struct rk_actor *actor, uint64_t parcel, const char *verb)
{
	const struct rk_msg msg = actor_order(RK_GPU_MOVE, (const void *)(uintptr_t)parcel, NULL);
	uint64_t end_ns = now_ns() + LEAVE_NS;
	int result;

	result = actor_tell(actor, &msg);
	while (!result && !actor_has_obeyed(actor, actor->told)) {
		if (actor_has_stopped(actor))
			result = actor_over(actor, verb);
		else if (now_ns() > end_ns)
			result = rk_fail(EIO, "actor '%s': %s: it does not leave its seat",
					 actor->name, verb);
	}
	return result;
}

/* All that it has to another GPU; the actor sits nowhere. */
static int go_over(struct rk_actor *actor, struct handover *handover)
{
	struct cuda_actor *cuda = actor_cuda_of(actor);
	int result = cuda_actor_carry(cuda, &handover->home);

	actor->gpu = cuda->gpu;
	return result;
}

/* The state as the new handler wants it; the actor sits nowhere. */
static int hand_over(struct rk_actor *actor, struct handover *handover)
{
	struct cuda_actor *cuda = actor_cuda_of(actor);
	struct cuda_part former = cuda->state;
	int result = 0;

	if (handover->convert) {
		result = cuda_copy_out(actor->gpu, handover->from, former.gpu_addr,
				       actor->type->state_bytes);
		if (!result)
			handover->convert(handover->to, handover->from);
		if (!result)
			result = cuda_copy_in(actor->gpu, handover->state.gpu_addr, handover->to,
					      handover->type->state_bytes);
		if (result)
			return result;
		cuda->state = handover->state;
		handover->state = former;
	}
	actor->type = cuda->type = handover->type;
	actor->reloads++;
	return 0;
}

/* @kernel NULL: the one where it is by now, with its handler there. */
static int take_seat(struct rk_actor *actor, struct cuda_kernel *kernel, uint32_t handler,
		     const struct cuda_actor_opts *opts, struct handover *handover,
		     const char *verb)
{
	struct cuda_actor *cuda = actor_cuda_of(actor);
	uint64_t parcel = handover ? handover->home.parcel.gpu_addr : 0;
	struct cuda_seat *seat;
	int result = check(actor, verb);

	if (!result && handover && handover->home.gpu && handover->reached != reach_of(actor))
		result = rk_fail(EBUSY, "actor '%s': %s: it was linked or given memory meanwhile",
				 actor->name, verb);
	if (!kernel) {
		kernel = cuda_seat_of(cuda)->kernel;
		handler = cuda->handler;
	}
	if (!result && !parcel)
		result = cuda_actor_parcel(cuda, kernel, &parcel);
	if (!result)
		result = cuda_actor_reserve(cuda, kernel, opts, &seat);
	if (result)
		return result;
	result = leave(actor, parcel, verb);
	if (!result && handover) {
		result = (handover->home.gpu ? go_over : hand_over)(actor, handover);
		if (result)
			cuda_actor_lose(cuda);
	}
	if (result)
		cuda_seat_release(cuda, seat);
	return result ? result : cuda_actor_settle(cuda, seat, handler);
}

/* Pause it, so that nobody waits for a call of its handler with the mutex; then as it was. */
static int move_paused(struct rk_actor *actor, struct cuda_kernel *kernel, uint32_t handler,
		       const struct cuda_actor_opts *opts, struct handover *handover,
		       uint64_t timeout_ns, const char *verb)
{
	const struct rk_msg pause = {.type = RK_MSG_QUIESCE, .slots = 1};
	bool dormant = actor->ops->state(actor) == RK_ACTOR_DORMANT;
	int result = actor_command(actor, &pause, timeout_ns, verb), started = 0;

	pthread_mutex_lock(&actor->runtime->mutex);
	if (!result)
		result = take_seat(actor, kernel, handler, opts, handover, verb);
	/* It has the order, and obeys it whether we wait for that or not. */
	if (result && !dormant && !actor_has_stopped(actor))
		actor_tell(actor, actor->start);
	pthread_mutex_unlock(&actor->runtime->mutex);
	if (!result && !dormant)
		started = actor_command(actor, actor->start, timeout_ns, verb);
	return result ? result : started;
}

/* Not while a snapshot is taken, nor is one begun meanwhile. */
static int change_seat(struct rk_actor *actor, struct cuda_kernel *kernel, uint32_t handler,
		       const struct cuda_actor_opts *opts, struct handover *handover,
		       uint64_t timeout_ns, const char *verb)
{
	struct rk_runtime *runtime = actor->runtime;
	int result;

	pthread_mutex_lock(&runtime->mutex);
	while (runtime->taking)
		runtime_give_way(runtime);
	runtime->joining++;
	pthread_mutex_unlock(&runtime->mutex);
	result = move_paused(actor, kernel, handler, opts, handover, timeout_ns, verb);
	pthread_mutex_lock(&runtime->mutex);
	runtime->joining--;
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

/* --- Another seat --- */

int rk_actor_reseat(struct rk_actor *actor, enum rk_where where, const struct rk_actor *other,
		    uint64_t timeout_ns)
{
	struct cuda_actor_opts opts;
	int result;

	if (!actor->gpu)
		return rk_fail(EOPNOTSUPP, "actor '%s': reseat: it is on a CPU: rk_actor_move() it",
			       actor->name);
	result = actor_cuda_place(&opts, actor->gpu->gpu.ordinal, where, other, actor->name);
	if (result)
		return result;
	opts.group = actor_cuda_of(actor)->opts.group;
	return change_seat(actor, NULL, 0, &opts, NULL, timeout_ns, "reseat");
}

/* --- Another GPU --- */

/* Every part of the ring, from @gpu. One in memory of the host is reached from all. */
static bool reaches(struct cuda_gpu *gpu, const struct link_memory *memory)
{
	for (int i = 0; i < 3; i++) {
		struct cuda_gpu *owner = memory->owner[i];

		if (!owner || owner == gpu || memory->parts[i].kind == CUDA_HOST)
			continue;
		if (cuda_join_peers(gpu, owner) || !cuda_reaches(gpu, memory->parts[i].gpu_addr))
			return false;
	}
	return true;
}

/* Before it is paused, for it takes its time. Dead letters and policies lie with the host. */
static int check_links(const struct rk_actor *actor, struct cuda_gpu *gpu)
{
	uint64_t gpu_io;
	int on;

	if (actor->grants)
		return rk_fail(EOPNOTSUPP,
			       "actor '%s': migrate: it was given memory as GPU %d sees it",
			       actor->name, actor->gpu->gpu.ordinal);
	for (struct rk_link *link = actor->runtime->links; link; link = link->next) {
		if (!has_end_of(actor, link))
			continue;
		if (link->in_port && rk_port_own_io(link->in_port, &gpu_io, &on))
			return rk_fail(
				EOPNOTSUPP,
				"actor '%s': migrate: port '%s' is a ring for its own I/O from "
				"GPU %d",
				actor->name, other_end(actor, link), on);
		if (!reaches(gpu, &link->memory))
			return rk_fail(
				EOPNOTSUPP,
				"actor '%s': migrate: its link with '%s' lies in memory that "
				"GPU %d does not reach: link them with place RK_PLACE_HOST",
				actor->name, other_end(actor, link), gpu->gpu.ordinal);
	}
	return 0;
}

static int prepare_gpu(struct rk_actor *actor, int ordinal, struct handover *handover,
		       struct cuda_kernel **kernel, uint32_t *handler)
{
	struct cuda_gpu *gpu;
	int result;

	pthread_mutex_lock(&actor->runtime->mutex);
	result = check(actor, "migrate");
	if (!result && actor->gpu->gpu.ordinal == ordinal)
		result = rk_fail(EINVAL,
				 "actor '%s': migrate: it is on GPU %d: there rk_actor_reseat() it",
				 actor->name, ordinal);
	if (!result)
		result = actor_cuda_gpu(actor->runtime, ordinal, &gpu);
	if (!result)
		result = check_links(actor, gpu);
	handover->reached = reach_of(actor);
	if (!result)
		result = cuda_kernel_for(gpu, actor->type, kernel, handler);
	if (!result)
		result = cuda_home_take(&handover->home, actor_cuda_of(actor), *kernel);
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

static int migrate(struct rk_actor *actor, const struct rk_actor_opts *to, uint64_t timeout_ns)
{
	struct handover handover = {.type = actor->type};
	struct cuda_actor_opts opts;
	struct cuda_kernel *kernel;
	uint32_t handler;
	int result = actor_cuda_place(&opts, to->gpu, to->where, to->other, actor->name);

	opts.group = actor_cuda_of(actor)->opts.group;
	if (!result)
		result = prepare_gpu(actor, to->gpu, &handover, &kernel, &handler);
	if (!result)
		result = change_seat(actor, kernel, handler, &opts, &handover, timeout_ns,
				     "migrate");
	cuda_home_give(&handover.home);
	return result;
}

int rk_actor_migrate(struct rk_actor *actor, const struct rk_actor_opts *to, uint64_t timeout_ns)
{
	int result;

	if (!actor->gpu || to->backend != RK_BACKEND_CUDA)
		return rk_fail(EOPNOTSUPP,
			       "actor '%s': migrate: from GPU to GPU only; among workers "
			       "rk_actor_move() it",
			       actor->name);
	result = actor_borrow_spare(actor, "migrate");
	if (result)
		return result;
	result = migrate(actor, to, timeout_ns);
	actor_give_spare_back(actor, result);
	return result;
}

/* --- Another handler --- */

static int prepare(struct rk_actor *actor, struct handover *handover, struct cuda_kernel **kernel,
		   uint32_t *handler)
{
	uint32_t bytes = handover->type->state_bytes;
	int result = 0;

	if (handover->convert) {
		handover->from = malloc(actor->type->state_bytes + 1);
		handover->to = calloc(1, bytes + 1);
		if (!handover->from || !handover->to)
			return rk_fail(ENOMEM,
				       "actor '%s': reload: no memory for %u bytes of state",
				       actor->name, bytes);
	}
	pthread_mutex_lock(&actor->runtime->mutex);
	if (handover->convert)
		result = cuda_take(actor->gpu, CUDA_DEEP, bytes + 16, "an actor's state",
				   &handover->state);
	if (!result)
		result = cuda_kernel_for(actor->gpu, handover->type, kernel, handler);
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

int actor_cuda_reload(struct rk_actor *actor, const struct rk_actor_type *type,
		      rk_convert_fn *convert, uint64_t timeout_ns)
{
	const struct cuda_actor_opts anywhere = {.group = actor_cuda_of(actor)->opts.group};
	struct handover handover = {.type = type, .convert = convert};
	struct cuda_kernel *kernel;
	uint32_t handler;
	int result = prepare(actor, &handover, &kernel, &handler);

	if (!result)
		result = change_seat(actor, kernel, handler, &anywhere, &handover, timeout_ns,
				     "reload");
	cuda_give(actor->gpu, &handover.state);
	free(handover.from);
	free(handover.to);
	return result;
}
