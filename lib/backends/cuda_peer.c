// SPDX-License-Identifier: MIT
/* Two GPUs: who reaches whose memory, and what an actor has, brought from one to the other. */
#include "backends/cuda.h"
#include "rk_error.h"

/* --- Reach --- */

static int enable_peer(struct cuda_gpu *from, struct cuda_gpu *to)
{
	const struct rk_cuda *cuda = from->gpu.cuda;
	int can = 0, error = cuda->device_can_access_peer(&can, from->gpu.device, to->gpu.device);

	if (!error && !can)
		return rk_fail(
			EOPNOTSUPP,
			"GPU %d cannot reach the memory of GPU %d: put the ring in the host's",
			from->gpu.ordinal, to->gpu.ordinal);
	if (!error)
		error = rk_cuda_enter(&from->gpu);
	if (error)
		return rk_cuda_fail(cuda, error, "GPU %d: peer access", from->gpu.ordinal);
	error = cuda->ctx_enable_peer(to->gpu.context, 0);
	rk_cuda_leave(&from->gpu);
	if (error && error != RK_CUDA_PEER_ALREADY_ENABLED)
		return rk_cuda_fail(cuda, error, "GPU %d: access to the memory of GPU %d",
				    from->gpu.ordinal, to->gpu.ordinal);
	return 0;
}

int cuda_join_peers(struct cuda_gpu *one, struct cuda_gpu *other)
{
	int result = enable_peer(one, other);

	return result ? result : enable_peer(other, one);
}

bool cuda_reaches(struct cuda_gpu *gpu, uint64_t gpu_addr)
{
	uint64_t there = 0;
	int error = rk_cuda_enter(&gpu->gpu);

	if (error)
		return false;
	error = gpu->gpu.cuda->pointer_get(&there, RK_CUDA_POINTER_GPU_POINTER, gpu_addr);
	rk_cuda_leave(&gpu->gpu);
	return !error && there == gpu_addr;
}

/* --- What an actor has --- */

int cuda_home_take(struct cuda_home *home, const struct cuda_actor *actor,
		   const struct cuda_kernel *kernel)
{
	int result = cuda_join_peers(actor->gpu, kernel->gpu);

	home->gpu = kernel->gpu;
	if (!result)
		result = cuda_take(home->gpu, CUDA_DEEP, actor->state.bytes, "an actor's state",
				   &home->state);
	if (!result)
		result = cuda_take(home->gpu, CUDA_DEEP, kernel->scratch_bytes,
				   "what an actor sends", &home->scratch);
	if (!result)
		result = cuda_take(home->gpu, CUDA_DEEP, kernel->parcel_bytes,
				   "what an actor takes along", &home->parcel);
	return result;
}

void cuda_home_give(const struct cuda_home *home)
{
	if (!home->gpu)
		return;
	cuda_give(home->gpu, &home->state);
	cuda_give(home->gpu, &home->scratch);
	cuda_give(home->gpu, &home->parcel);
}

static int start_copy(const struct cuda_home *to, const struct cuda_part *part,
		      const struct cuda_home *from, const struct cuda_part *former)
{
	return from->gpu->gpu.cuda->copy_peer_async(part->gpu_addr, to->gpu->gpu.context,
						    former->gpu_addr, from->gpu->gpu.context,
						    former->bytes, from->gpu->copies);
}

/* By the GPU that has it: stores across are not waited for, as loads are. */
static int copy_home(const struct cuda_home *to, const struct cuda_home *from)
{
	const struct rk_cuda *cuda = from->gpu->gpu.cuda;
	int error = rk_cuda_enter(&from->gpu->gpu);

	if (error)
		return error;
	error = start_copy(to, &to->state, from, &from->state);
	if (!error)
		error = start_copy(to, &to->scratch, from, &from->scratch);
	if (!error)
		error = cuda->stream_synchronize(from->gpu->copies);
	rk_cuda_leave(&from->gpu->gpu);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: copy an actor's state to GPU %d",
				    from->gpu->gpu.ordinal, to->gpu->gpu.ordinal)
		     : 0;
}

int cuda_actor_carry(struct cuda_actor *actor, struct cuda_home *home)
{
	const struct cuda_home former = {actor->gpu, actor->state, actor->scratch, actor->parcel};
	int result = copy_home(home, &former);

	if (result)
		return result;
	/* Its watcher looks at it until it sits elsewhere. */
	pthread_mutex_lock(&former.gpu->mutex);
	actor->gpu = home->gpu;
	actor->state = home->state;
	actor->scratch = home->scratch;
	actor->parcel = home->parcel;
	pthread_mutex_unlock(&former.gpu->mutex);
	*home = former;
	return 0;
}
