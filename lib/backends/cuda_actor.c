// SPDX-License-Identifier: MIT
/* One actor at its seat, as the host sees it: a free seat, control messages, phases, the end. */
#include "backends/cuda.h"
#include "clock.h"
#include "rk_error.h"

#include <stdlib.h>
#include <time.h>
#include <string.h>

/* How long a spawn waits for an actor that leaves its seat. */
#define LEAVE_NS 20000000ULL
/* And how long an empty seat may take to see that it is not empty any more. */
#define SETTLE_NS 1000000000ULL

static struct rk_gpu_status *status_at(const struct cuda_seat *seat)
{
	return &seat->kernel->status[seat->index];
}

static struct rk_gpu_status *status_of(const struct cuda_actor *actor)
{
	return status_at(cuda_seat_of(actor));
}

/* --- Seats; the GPU's mutex held --- */

static bool block_is_empty(const struct cuda_kernel *kernel, unsigned int block)
{
	for (unsigned int i = 0; i < RK_GPU_WARPS; i++)
		if (kernel->seat[block * RK_GPU_WARPS + i].actor)
			return false;
	return true;
}

/* Whether a seat of @block is where @opts want it. */
static bool block_fits(const struct cuda_kernel *kernel, unsigned int block,
		       const struct cuda_actor_opts *opts)
{
	unsigned int other;

	if (opts->where == CUDA_ANYWHERE)
		return true;
	if (cuda_seat_of(opts->other)->kernel != kernel)
		return opts->where == CUDA_APART;
	other = cuda_seat_of(opts->other)->index / RK_GPU_WARPS;
	switch (opts->where) {
	case CUDA_BESIDE:
		return block == other;
	case CUDA_CLUSTER:
		return block != other && block / kernel->cluster == other / kernel->cluster;
	default:
		return block / kernel->cluster != other / kernel->cluster;
	}
}

/* The first free seat, or the first seat of an empty block, nearest first; NULL when there is none. */
static struct cuda_seat *find_seat(const struct cuda_kernel *kernel,
				   const struct cuda_actor_opts *opts)
{
	for (unsigned int i = 0; i < kernel->blocks; i++) {
		unsigned int block = kernel->order[i];

		if (!block_fits(kernel, block, opts))
			continue;
		if (opts->group == RK_GPU_GROUP_BLOCK) {
			if (block_is_empty(kernel, block))
				return &kernel->seat[block * RK_GPU_WARPS];
			continue;
		}
		for (unsigned int warp = 0; warp < RK_GPU_WARPS; warp++)
			if (!kernel->seat[block * RK_GPU_WARPS + warp].actor)
				return &kernel->seat[block * RK_GPU_WARPS + warp];
	}
	return NULL;
}

/* @actor sits at @seat, and where it is a block at those behind; or nobody any more. */
static void occupy(struct cuda_seat *seat, const struct cuda_actor *actor, bool leaves)
{
	unsigned int seats = actor->opts.group == RK_GPU_GROUP_BLOCK ? RK_GPU_WARPS : 1;

	for (unsigned int i = 0; i < seats; i++)
		seat[i].actor = leaves ? NULL : (struct cuda_actor *)(uintptr_t)actor;
	seat->beat_ns = 0;
	seat->hurry = RK_GPU_PATIENT;
}

/* Whether an actor of the kernel is about to leave its seat. */
static bool someone_leaves(const struct cuda_kernel *kernel)
{
	for (unsigned int i = 0; i < kernel->grid * RK_GPU_WARPS; i++) {
		const struct cuda_actor *actor = kernel->seat[i].actor;

		if (actor && !actor->failed && cuda_actor_phase(actor) >= RK_GPU_CLOSING)
			return true;
	}
	return false;
}

/* A seat, if one is free; -EAGAIN: one will be soon. */
static int try_seat(struct cuda_actor *actor, struct cuda_kernel *kernel,
		    const struct cuda_actor_opts *opts, struct cuda_seat **seat)
{
	int result = 0;

	pthread_mutex_lock(&kernel->gpu->mutex);
	cuda_actors_reap(kernel);
	*seat = find_seat(kernel, opts);
	if (kernel->gpu->failed)
		result = -EIO;
	else if (*seat)
		occupy(*seat, actor, false);
	else
		result = someone_leaves(kernel) ? -EAGAIN : -EBUSY;
	pthread_mutex_unlock(&kernel->gpu->mutex);
	return result;
}

int cuda_actor_reserve(struct cuda_actor *actor, struct cuda_kernel *kernel,
		       const struct cuda_actor_opts *opts, struct cuda_seat **seat)
{
	const struct timespec nap = {.tv_nsec = 50000};
	uint64_t end_ns = now_ns() + LEAVE_NS;
	int result;

	while ((result = try_seat(actor, kernel, opts, seat)) == -EAGAIN && now_ns() < end_ns)
		nanosleep(&nap, NULL);
	if (!result)
		return 0;
	if (result == -EIO)
		return rk_fail(EIO, "actor '%s': %s", actor->name, kernel->gpu->failure);
	return rk_fail(EBUSY,
		       "actor '%s': no free %s where it is wanted on GPU %d, whose kernel has "
		       "%u blocks of %d: open the runtime with more blocks",
		       actor->name, actor->opts.group == RK_GPU_GROUP_BLOCK ? "block" : "seat",
		       kernel->gpu->gpu.ordinal, kernel->blocks, RK_GPU_WARPS);
}

/* --- Control --- */

static int send(struct cuda_seat *seat, const struct rk_msg *msg)
{
	int sent = rk_ring_send(&seat->control, msg);

	if (sent <= 0)
		return sent ? sent : -EAGAIN;
	/* First the message, and all that this thread sent before, then the count. */
	rk_codec_flush();
	seat->told++;
	cuda_seat_say(seat->kernel, seat->index);
	return 0;
}

int cuda_actor_tell(struct cuda_actor *actor, const struct rk_msg *msg)
{
	struct rk_msg cells[RK_RING_PAGES + 1];

	if (actor->failed || actor->gpu->failed || cuda_actor_phase(actor) >= RK_GPU_CLOSING)
		return rk_fail(EPIPE, "actor '%s': it has stopped", actor->name);
	memcpy(cells, msg, (size_t)msg->slots * RK_CELL_BYTES);
	/* The seat passes over what is for an actor that sat there before. */
	cells[0].tag = (uint32_t)actor->serial;
	return send(cuda_seat_of(actor), cells);
}

bool cuda_actor_has_taken(struct cuda_actor *actor)
{
	return rk_ring_tx_free(&cuda_seat_of(actor)->control) == RK_GPU_CONTROL_SLOTS;
}

uint32_t cuda_actor_obeyed(const struct cuda_actor *actor)
{
	/* A11: pairs with R11 in kernels/gpu_control.cuh: what was asked for has been done. */
	uint64_t word = __atomic_load_n(&status_of(actor)->obeyed, __ATOMIC_ACQUIRE);

	return word >> 32 == (uint32_t)actor->serial ? (uint32_t)word : 0;
}

void cuda_actor_hurry(struct cuda_actor *actor, enum rk_gpu_hurry hurry)
{
	struct cuda_seat *seat = cuda_seat_of(actor);

	if (hurry <= seat->hurry || actor->done)
		return;
	seat->hurry = hurry;
	cuda_seat_say(seat->kernel, seat->index);
}

/* As the seat clears and copies it. */
static uint32_t state_bytes(const struct cuda_actor *actor)
{
	return (actor->type->state_bytes + 15) / 16 * 16;
}

static int send_spawn(const struct cuda_actor *actor, struct cuda_seat *seat, bool kept,
		      uint64_t parcel)
{
	struct rk_msg msg = {.type = RK_GPU_SPAWN, .slots = 1};
	struct rk_gpu_spawn spawn = {
		.state = actor->state.gpu_addr,
		.scratch = actor->scratch.gpu_addr,
		.serial = actor->serial,
		.parcel = parcel,
		.state_bytes = state_bytes(actor),
		.handler = actor->handler,
		.group = (uint16_t)actor->opts.group,
		.kept = kept,
		.tenant = actor->opts.tenant,
	};

	memcpy(msg.body, &spawn, sizeof(spawn));
	return send(seat, &msg);
}

/* From now on it sits there. */
static void sit_down(struct cuda_actor *actor, struct cuda_seat *seat)
{
	/* R12: pairs with A12 in cuda_seat_of(): the seat of a kernel that has been made. */
	__atomic_store_n(&actor->at, seat, __ATOMIC_RELEASE);
}

/* Never 0, and no two alike in this process: an actor keeps its own on whatever GPU it goes on. */
static uint64_t next_serial(void)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

static int sit_down_first(struct cuda_actor *actor, struct cuda_kernel *kernel, bool kept)
{
	struct cuda_seat *seat;
	int result = cuda_actor_reserve(actor, kernel, &actor->opts, &seat);

	if (result)
		return result;
	pthread_mutex_lock(&actor->gpu->mutex);
	actor->serial = next_serial();
	sit_down(actor, seat);
	pthread_mutex_unlock(&actor->gpu->mutex);
	return send_spawn(actor, seat, kept, 0);
}

int cuda_actor_open(struct cuda_actor **out, struct cuda_gpu *gpu, const struct rk_actor_type *type,
		    const char *name, const void *state, const struct cuda_actor_opts *opts)
{
	struct cuda_actor *actor = calloc(1, sizeof(*actor));
	struct cuda_kernel *kernel;
	int result;

	*out = actor;
	if (!actor || !(actor->name = strdup(name)))
		return rk_fail(ENOMEM, "actor '%s': no memory", name);
	actor->gpu = gpu;
	actor->type = type;
	actor->opts = *opts;
	result = cuda_kernel_for(gpu, type, &kernel, &actor->handler);
	if (!result)
		result = cuda_take(gpu, CUDA_DEEP, type->state_bytes + 16, "an actor's state",
				   &actor->state);
	if (!result)
		result = cuda_take(gpu, CUDA_DEEP, kernel->scratch_bytes, "what an actor sends",
				   &actor->scratch);
	if (!result && state)
		result = cuda_copy_in(gpu, actor->state.gpu_addr, state, type->state_bytes);
	return result ? result : sit_down_first(actor, kernel, state != NULL);
}

/* --- Another seat --- */

int cuda_actor_parcel(struct cuda_actor *actor, const struct cuda_kernel *kernel,
		      uint64_t *gpu_addr)
{
	int result = 0;

	if (!actor->parcel.bytes)
		result = cuda_take(actor->gpu, CUDA_DEEP, kernel->parcel_bytes,
				   "what an actor takes along", &actor->parcel);
	*gpu_addr = actor->parcel.gpu_addr;
	return result;
}

void cuda_seat_release(struct cuda_actor *actor, struct cuda_seat *seat)
{
	pthread_mutex_lock(&seat->kernel->gpu->mutex);
	occupy(seat, actor, true);
	pthread_mutex_unlock(&seat->kernel->gpu->mutex);
}

void cuda_actor_lose(struct cuda_actor *actor)
{
	pthread_mutex_lock(&actor->gpu->mutex);
	actor->failed = true;
	pthread_mutex_unlock(&actor->gpu->mutex);
}

int cuda_actor_settle(struct cuda_actor *actor, struct cuda_seat *seat, uint32_t handler)
{
	uint64_t obeyed = actor->serial << 32 | cuda_actor_obeyed(actor), end_ns;
	struct cuda_seat *former = actor->at;
	struct cuda_gpu *left = former->kernel->gpu;
	int result;

	/* Who was in a hurry still is. */
	seat->hurry = former->hurry;
	actor->handler = handler;
	result = send_spawn(actor, seat, true, actor->parcel.gpu_addr);
	end_ns = now_ns() + SETTLE_NS;
	/* A11: R11: the seat has all that was taken along. */
	while (!result && __atomic_load_n(&status_at(seat)->obeyed, __ATOMIC_ACQUIRE) != obeyed)
		if (now_ns() > end_ns || actor->gpu->failed)
			result = rk_fail(EIO, "actor '%s': it does not sit down at another seat",
					 actor->name);
	/* Nobody else locks two: callers take turns. */
	pthread_mutex_lock(&left->mutex);
	if (left != actor->gpu)
		pthread_mutex_lock(&actor->gpu->mutex);
	sit_down(actor, seat);
	occupy(former, actor, true);
	actor->failed |= result != 0;
	if (left != actor->gpu)
		pthread_mutex_unlock(&actor->gpu->mutex);
	pthread_mutex_unlock(&left->mutex);
	return result;
}

/* --- Another state, or a copy of it --- */

int cuda_actor_room(struct cuda_actor *actor, struct cuda_part *part, const void *state,
		    uint64_t *gpu_addr)
{
	const uint64_t bytes = state_bytes(actor) + sizeof(struct rk_gpu_copied) +
			       sizeof(struct rk_gpu_ends);
	int result = 0;

	/* Another handler may have a larger state. */
	if (part->bytes < bytes) {
		cuda_give(actor->gpu, part);
		part->bytes = 0;
		result = cuda_take(actor->gpu, CUDA_DEEP, bytes, "a copy of an actor's state", part);
	}
	*gpu_addr = part->gpu_addr;
	if (!result && state)
		result = cuda_copy_in(actor->gpu, *gpu_addr, state, actor->type->state_bytes);
	return result;
}

int cuda_actor_copied(struct cuda_actor *actor, const struct cuda_part *part, void *state,
		      struct rk_gpu_copied *copied)
{
	uint64_t from = part->gpu_addr;
	int result = cuda_copy_out(actor->gpu, state, from, actor->type->state_bytes);

	return result ? result :
			cuda_copy_out(actor->gpu, copied, from + state_bytes(actor), sizeof(*copied));
}

bool cuda_actor_has_cut(const struct cuda_actor *actor, uint32_t epoch)
{
	/* A28: pairs with R28 in kernels/gpu_cut.cuh: what was copied is there. */
	return __atomic_load_n(&status_of(actor)->cut, __ATOMIC_ACQUIRE) ==
	       (actor->serial << 32 | epoch);
}

int cuda_actor_cut(struct cuda_actor *actor, const struct cuda_part *part, void *state,
		   struct rk_gpu_ends *ends)
{
	uint64_t from = part->gpu_addr + state_bytes(actor) + sizeof(struct rk_gpu_copied);
	int result = cuda_copy_out(actor->gpu, state, part->gpu_addr, actor->type->state_bytes);

	return result ? result : cuda_copy_out(actor->gpu, ends, from, sizeof(*ends));
}

int cuda_actor_put(struct cuda_actor *actor, const void *cells, uint32_t count)
{
	return cuda_copy_in(actor->gpu, actor->scratch.gpu_addr + RK_GPU_OUTGOING_AT, cells,
			    (size_t)count * RK_CELL_BYTES);
}

/* --- Watching --- */

enum rk_gpu_phase cuda_actor_phase(const struct cuda_actor *actor)
{
	uint64_t word;

	if (__atomic_load_n(&actor->done, __ATOMIC_ACQUIRE)) /* A3: R3 */
		return RK_GPU_DONE;
	/* A2: pairs with R2 in kernels/gpu_control.cuh: the state is as RK_MSG_STOP left it. */
	word = __atomic_load_n(&status_of(actor)->serial_phase, __ATOMIC_ACQUIRE);
	return word >> 8 == actor->serial ? (enum rk_gpu_phase)(word & 0xff) : RK_GPU_EMPTY;
}

unsigned int cuda_actor_sm(const struct cuda_actor *actor)
{
	return (unsigned int)__atomic_load_n(&status_of(actor)->place, __ATOMIC_RELAXED) - 1;
}

void cuda_actor_counters(const struct cuda_actor *actor, struct rk_gpu_counters *counters)
{
	const uint64_t *from = (const uint64_t *)&status_of(actor)->counters;

	if (__atomic_load_n(&actor->done, __ATOMIC_ACQUIRE)) { /* A3: R3 */
		*counters = actor->counters;
		return;
	}
	/* Relaxed: each is a count of its own. */
	for (unsigned int i = 0; i < sizeof(*counters) / sizeof(uint64_t); i++)
		((uint64_t *)counters)[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/*
 * The seat is empty: keep what the actor leaves, and let the next one sit down. What it sent from is
 * half a megabyte, and free again. Mutex held.
 */
static void finish(struct cuda_actor *actor)
{
	struct rk_gpu_counters counters;

	cuda_actor_counters(actor, &counters);
	actor->counters = counters;
	arena_give(&actor->gpu->memory[CUDA_DEEP].arena, actor->scratch.bytes, actor->scratch.at);
	actor->scratch.bytes = 0;
	occupy(actor->at, actor, true);
	actor->next_done = actor->gpu->done;
	actor->gpu->done = actor;
	/* R3: pairs with A3 above: whoever sees it done sees its counters. */
	__atomic_store_n(&actor->done, true, __ATOMIC_RELEASE);
}

void cuda_actors_reap(struct cuda_kernel *kernel)
{
	for (unsigned int i = 0; i < kernel->grid * RK_GPU_WARPS; i++) {
		struct cuda_actor *actor = kernel->seat[i].actor;

		if (actor && actor->at == &kernel->seat[i] && !actor->failed &&
		    cuda_actor_phase(actor) == RK_GPU_DONE)
			finish(actor);
	}
}

unsigned int cuda_actor_watch(struct cuda_actor *actor)
{
	enum rk_gpu_phase phase = cuda_actor_phase(actor);
	uint32_t obeyed = cuda_actor_obeyed(actor);
	uint64_t cut = __atomic_load_n(&status_of(actor)->cut, __ATOMIC_RELAXED);
	unsigned int news =
		obeyed != actor->answered || cut != actor->cut ? CUDA_ANSWERED : 0;

	actor->answered = obeyed;
	actor->cut = cut;
	if (actor->gpu->failed)
		__atomic_store_n(&actor->failed, true, __ATOMIC_RELAXED);
	if ((phase >= RK_GPU_CLOSING || actor->failed) && !actor->told_stopped) {
		actor->told_stopped = true;
		news |= CUDA_STOPPED;
	}
	if (actor->failed && !actor->closed)
		return news | CUDA_FAILED;
	if (phase == RK_GPU_DONE || actor->gpu->failed) {
		finish(actor);
	} else if (actor->failed && !actor->told_finished) {
		/* A handler that never returns keeps its seat; for all others the actor is over. */
		actor->told_finished = true;
		news |= CUDA_FINISHED;
	}
	return news;
}

const void *cuda_actor_state(struct cuda_actor *actor)
{
	void *copy = actor->state_copy;

	if (cuda_actor_phase(actor) < RK_GPU_CLOSING || actor->gpu->failed)
		return NULL;
	if (copy)
		return copy;
	copy = malloc(actor->type->state_bytes + 16);
	if (copy && cuda_copy_out(actor->gpu, copy, actor->state.gpu_addr, actor->type->state_bytes)) {
		free(copy);
		copy = NULL;
	}
	return actor->state_copy = copy;
}

void cuda_actor_free(struct cuda_actor *actor)
{
	if (!actor)
		return;
	if (actor->serial && !actor->done) {
		pthread_mutex_lock(&actor->gpu->mutex);
		occupy(actor->at, actor, true);
		pthread_mutex_unlock(&actor->gpu->mutex);
	}
	cuda_give(actor->gpu, &actor->state);
	cuda_give(actor->gpu, &actor->scratch);
	cuda_give(actor->gpu, &actor->parcel);
	free(actor->state_copy);
	free(actor->name);
	free(actor);
}
