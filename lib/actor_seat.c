// SPDX-License-Identifier: MIT
/*
 * An actor on a GPU takes another seat there: to sit elsewhere, or to have another handler. It is
 * paused, leaves its seat with all it has in hand but rings and state, which stay where they lie,
 * and goes on from there; what is sent to it meanwhile waits in its inboxes.
 */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"
#include "rk_reload.h"

#include <stdlib.h>
#include <string.h>

#define LEAVE_NS 1000000000ULL /* to leave; it stands still, so this is for a GPU that has died */

/* What a new handler needs before the actor may leave. */
struct handover {
	const struct rk_actor_type *type;
	rk_convert_fn *convert;
	void *from, *to;
	struct cuda_part state;
};

/* --- Whether it can; mutex held --- */

static int check(const struct rk_actor *actor, const char *verb)
{
	if (actor_has_stopped(actor) || actor->ops->state(actor) == RK_ACTOR_DRAINING)
		return actor_over(actor, verb);
	for (struct rk_link *link = actor->runtime->links; link; link = link->next)
		if ((link->from == actor || link->to == actor) &&
		    link->memory.device.place == RK_GPU_SHARED)
			return rk_fail(
				EOPNOTSUPP,
				"actor '%s': %s: its link with '%s' lies in shared memory of "
				"the block: link them with place RK_PLACE_GPU",
				actor->name, verb,
				link->from == actor ? link->to->name : link->from->name);
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

static int take_seat(struct rk_actor *actor, struct cuda_kernel *kernel, uint32_t handler,
		     const struct cuda_actor_opts *opts, struct handover *handover,
		     const char *verb)
{
	struct cuda_actor *cuda = actor_cuda_of(actor);
	struct cuda_seat *seat;
	uint64_t parcel;
	int result = check(actor, verb);

	if (!result)
		result = cuda_actor_reserve(cuda, kernel, opts, &seat, &parcel);
	if (result)
		return result;
	result = leave(actor, parcel, verb);
	if (!result && handover)
		result = hand_over(actor, handover);
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
	struct cuda_actor *cuda;
	struct cuda_seat *seat;
	struct cuda_actor_opts opts;
	int result;

	if (!actor->gpu)
		return rk_fail(EOPNOTSUPP, "actor '%s': reseat: it is on a CPU: rk_actor_move() it",
			       actor->name);
	result = actor_cuda_place(&opts, actor->gpu->gpu.ordinal, where, other, actor->name);
	if (result)
		return result;
	cuda = actor_cuda_of(actor);
	seat = cuda_seat_of(cuda);
	opts.group = cuda->opts.group;
	return change_seat(actor, seat->kernel, cuda->handler, &opts, NULL, timeout_ns, "reseat");
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
