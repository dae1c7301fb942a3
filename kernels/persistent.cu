/* SPDX-License-Identifier: MIT */
/*
 * persistent.cu - the persistent kernel: a grid of blocks, each warp a seat. An empty seat polls
 * its control ring, so that an actor begins with a message and not with a launch; a seat whose actor
 * is done is empty again. The kernel ends when every seat was told to leave.
 *
 * RK_HANDLERS(X) is the module's table: X(index, handler, batch handler or nullptr). Compiled ahead of
 * time it names, with RK_CALLED(X), the shipped actors whose type has a @function, in the order of
 * kernels/actors.c; compiled by NVRTC for a user's handler, that one.
 */
#include "gpu_calibrate.cuh"
#include "gpu_run.cuh"

#ifndef RK_HANDLERS
#include "echo.c"
#include "l2_forward.c"
#define RK_HANDLERS(X)               \
	X(0, rk_echo, rk_echo_batch) \
	X(4, rk_l2_forward, rk_l2_forward_batch)

/* Called by a loop that they share, and sending by a call: one for each takes minutes to compile. */
#define rk_send rk_send_called
#include "broadcast.c"
#include "count.c"
#include "file_scan.c"
#include "mdp3_book.c"
#include "partition.c"
#include "topic.c"
#undef rk_send
#define RK_CALLED(X)        \
	X(1, rk_count)      \
	X(2, rk_file_scan)  \
	X(3, rk_mdp3_book)  \
	X(5, rk_broadcast)  \
	X(6, rk_partition)  \
	X(7, rk_topic_route)

static __device__ __noinline__ void rk_call_shipped(struct rk_ctx *ctx, void *state,
						    const struct rk_msg *msg)
{
	switch (ctx->desk->spawn.handler) {
#define RK_CALL(index, handle)           \
	case index:                      \
		handle(ctx, state, msg); \
		break;
		RK_CALLED(RK_CALL)
	}
}
#endif

/* For the host, in bytes: shared memory of a block, scratch of an actor, what one takes along. */
extern "C" __device__ const uint32_t rk_sizes[3] = {sizeof(struct rk_gpu_shared),
						    sizeof(struct rk_gpu_scratch),
						    8 * RK_PARCEL_WORDS};

/* Run the actor whose spawn message lies on the desk. Return: true when it was paused. */
template <class GROUP>
static __device__ bool rk_dispatch(uint32_t seat, uint32_t lane, bool resume)
{
	switch (rk_shared()->desk[seat].spawn.handler) {
#define RK_CASE(index, handle, batch) \
	case index:                   \
		return rk_life<GROUP, handle, batch>::run(seat, lane, resume);
		RK_HANDLERS(RK_CASE)
	}
#ifdef RK_CALLED
	return rk_life<GROUP, rk_call_shipped, nullptr>::run(seat, lane, resume);
#else
	return false;
#endif
}

/* Take a spawn message from the control ring; any other is for an actor that is gone. One lane. */
static __device__ bool rk_take_spawn(struct rk_gpu_desk *desk)
{
	uint64_t *cell = rk_control_cells(desk);
	bool spawn;

	if (!rk_take_control(desk, cell))
		return false;
	spawn = (cell[0] & 0xffff) == RK_GPU_SPAWN;
	if (spawn)
		desk->spawn = *(const struct rk_gpu_spawn *)(cell + 1);
	else if ((cell[0] & 0xffff) == RK_MSG_PROBE)
		rk_answer_probe(desk, (uint32_t)(cell[0] >> 32));
	rk_control_done(desk, false);
	return spawn;
}

enum rk_gpu_call { RK_CALL_NONE, RK_CALL_SPAWN, RK_CALL_LEAVE };

/* What an empty seat is called to do: one load where the host has said nothing. One lane. */
static __device__ uint32_t rk_look(struct rk_gpu_desk *desk)
{
	struct rk_words host = rk_load_words(desk->seat + offsetof(struct rk_gpu_seat, word));

	if (host.w0 >> 32 != (uint32_t)desk->control_taken)
		return rk_take_spawn(desk) ? RK_CALL_SPAWN : RK_CALL_NONE;
	return host.w1 ? RK_CALL_LEAVE : RK_CALL_NONE;
}

static __device__ void rk_sit_down(struct rk_gpu_desk *desk, struct rk_gpu_params params,
				   uint32_t index)
{
	desk->seat = params.seats + index * sizeof(struct rk_gpu_seat);
	desk->marker = params.markers + index * sizeof(struct rk_gpu_marker);
	desk->status = params.status + index * sizeof(struct rk_gpu_status);
	desk->clock = params.clock;
	if (!params.resume) {
		desk->control_position = desk->control_taken = desk->beat = 0;
		desk->spawn.serial = 0;
	}
	rk_store_word(desk->status + offsetof(struct rk_gpu_status, place),
		      rk_multiprocessor() + 1);
}

/* Copy the block's shared memory to or from its image. All threads. */
static __device__ void rk_copy_image(const struct rk_gpu_params *params, bool load)
{
	ulonglong2 *image = (ulonglong2 *)(params->image + (uint64_t)blockIdx.x * params->image_bytes);
	ulonglong2 *shared = (ulonglong2 *)rk_shared();

	for (uint32_t i = threadIdx.x; i < params->image_bytes / 16; i += blockDim.x) {
		if (load)
			shared[i] = image[i];
		else
			image[i] = shared[i];
	}
}

/* The block actor that all warps are to run, or 0; the same in all lanes of a warp. */
static __device__ uint32_t rk_block_serial(uint32_t lane)
{
	uint32_t serial = lane == 0 ? atomicAdd(&rk_shared()->block_serial, 0) : 0;

	return __shfl_sync(RK_FULL_WARP, serial, 0);
}

/*
 * The block actor, of which every warp of the block is a part: what its spawn message says is theirs
 * behind the barrier. Return: true when it was paused.
 */
static __device__ bool rk_join(bool resume)
{
	bool paused;

	__syncthreads();
	paused = rk_dispatch<rk_block_group>(0, threadIdx.x, resume);
	__syncthreads();
	if (threadIdx.x == 0 && !paused)
		atomicExch(&rk_shared()->block_serial, 0);
	__syncthreads();
	return paused;
}

/* What was there when the kernel was paused goes on. Return: true when it was paused again. */
static __device__ bool rk_go_on(uint32_t warp, uint32_t lane)
{
	uint32_t serial = rk_block_serial(lane);

	/* All know who was there before one of them is told who comes next. */
	__syncthreads();
	if (serial)
		return rk_join(true);
	return rk_shared()->desk[warp].spawn.serial && rk_dispatch<rk_warp_group>(warp, lane, true);
}

/* A warp at its seat, until it is told to leave or its actor is paused. */
static __device__ void rk_sit(const struct rk_gpu_params *params)
{
	uint32_t warp = threadIdx.x / RK_GPU_WARP_LANES, lane = threadIdx.x % RK_GPU_WARP_LANES;
	struct rk_gpu_shared *shared = rk_shared();
	struct rk_gpu_desk *desk = &shared->desk[warp];
	uint32_t call;

	if (params->resume && rk_go_on(warp, lane))
		return;
	for (;;) {
		if (rk_block_serial(lane)) {
			if (rk_join(false))
				return;
			continue;
		}
		call = lane == 0 ? rk_look(desk) : 0;
		/* A shuffle orders nothing: what the leader put on the desk is all lanes' behind this. */
		__syncwarp();
		call = __shfl_sync(RK_FULL_WARP, call, 0);
		if (call == RK_CALL_LEAVE)
			return;
		if (call == RK_CALL_SPAWN && desk->spawn.group == RK_GPU_GROUP_BLOCK) {
			if (lane == 0)
				atomicExch(&shared->block_serial, (uint32_t)desk->spawn.serial);
		} else if (call == RK_CALL_SPAWN) {
			if (rk_dispatch<rk_warp_group>(warp, lane, false))
				return;
		} else {
			__nanosleep((uint32_t)params->nap_ns);
		}
		__syncwarp();
	}
}

/*
 * Seats of a block, and of a cluster, end together: until the last has left, the others may write
 * into its shared memory.
 */
extern "C" __global__ void __launch_bounds__(RK_GPU_WARPS * RK_GPU_WARP_LANES, 1)
	rk_persistent(struct rk_gpu_params params)
{
	uint32_t warp = threadIdx.x / RK_GPU_WARP_LANES, lane = threadIdx.x % RK_GPU_WARP_LANES;

	if (params.resume)
		rk_copy_image(&params, true);
	else if (threadIdx.x == 0)
		rk_shared()->block_serial = 0;
	__syncthreads();
	rk_sync_cluster();
	if (lane == 0)
		rk_sit_down(&rk_shared()->desk[warp], params, blockIdx.x * RK_GPU_WARPS + warp);
	__syncthreads();
	rk_sit(&params);
	__syncthreads();
	rk_sync_cluster();
	rk_copy_image(&params, false);
}
