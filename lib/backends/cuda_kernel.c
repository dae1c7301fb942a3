// SPDX-License-Identifier: MIT
/* One launch of the persistent kernel: its module, its grid, its seats; and its end. */
#include "backends/cuda.h"
#include "actors.h"
#include "clock.h"
#include "rk_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define START_NS 3000000000ULL /* for the whole grid to be resident */
#define END_NS 500000000ULL    /* for every warp to leave */
#define POOL_BYTES (64u << 10)
#define NEAR_NAP_NS 100	   /* of an empty seat */
#define ACROSS_NAP_NS 4000 /* and of one whose control ring lies in memory of the host */

static unsigned int seats_of(const struct cuda_kernel *kernel)
{
	return kernel->blocks * RK_GPU_WARPS;
}

/* Sleep a little; false once @end_ns has passed. */
static bool wait_a_little(uint64_t end_ns)
{
	const struct timespec nap = {.tv_nsec = 50000};

	nanosleep(&nap, NULL);
	return now_ns() < end_ns;
}

/* --- The module --- */

static int read_sizes(struct cuda_kernel *kernel, uint32_t sizes[2])
{
	const struct rk_cuda *cuda = kernel->gpu->gpu.cuda;
	uint64_t at;
	size_t bytes;
	int error = cuda->module_global(&at, &bytes, kernel->module, "rk_sizes");

	if (!error)
		error = cuda->copy_to_host(sizes, at, 2 * sizeof(*sizes));
	return error;
}

static int load(struct cuda_kernel *kernel, struct rk_cuda_function **function)
{
	const struct rk_cuda *cuda = kernel->gpu->gpu.cuda;
	const char *name = kernel->type ? kernel->type->name : "shipped";
	struct cuda_code code;
	int error, result = cuda_code_get(&code, kernel->gpu, kernel->type);

	if (result)
		return result;
	error = cuda->module_load(&kernel->module, code.image, 0, NULL, NULL);
	if (!error)
		error = cuda->module_function(function, kernel->module, "rk_persistent");
	cuda_code_free(&code);
	return error ? rk_cuda_fail(cuda, error, "GPU %d (%s, compute capability %d.%d): load the "
				    "code of actor '%s'",
				    kernel->gpu->gpu.ordinal, kernel->gpu->name, kernel->gpu->major,
				    kernel->gpu->minor, name) :
		       0;
}

/* Shared memory of a block: the seats' own, and rings between them as far as there is room. */
static int size_block(struct cuda_kernel *kernel, struct rk_cuda_function *function)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	uint32_t most = (uint32_t)rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_SHARED_PER_BLOCK_OPTIN);
	uint32_t sizes[2];
	int error = read_sizes(kernel, sizes);

	if (error)
		return rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: read the module's sizes",
				    gpu->gpu.ordinal);
	if (sizes[0] > most)
		return rk_fail(ENODEV, "GPU %d (%s): %u bytes of shared memory a block: %u are needed",
			       gpu->gpu.ordinal, gpu->name, most, sizes[0]);
	kernel->pool_bytes = most - sizes[0] < POOL_BYTES ? (most - sizes[0]) / 4096 * 4096 :
							    POOL_BYTES;
	kernel->scratch_bytes = sizes[1];
	error = gpu->gpu.cuda->function_set_attribute(function, RK_CUDA_FUNC_MAX_DYNAMIC_SHARED_BYTES,
						      (int)(sizes[0] + kernel->pool_bytes));
	return error ? rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: %u bytes of shared memory a block",
				    gpu->gpu.ordinal, sizes[0] + kernel->pool_bytes) :
		       (int)(sizes[0] + kernel->pool_bytes);
}

/* --- The grid --- */

static int refuse_grid(const struct cuda_kernel *kernel, const char *why)
{
	return rk_fail(EBUSY,
		       "GPU %d (%s, %d multiprocessors): a grid of %u blocks is not resident%s: ask "
		       "for fewer blocks, or end other kernels",
		       kernel->gpu->gpu.ordinal, kernel->gpu->name, kernel->gpu->multiprocessors,
		       kernel->blocks, why);
}

static int check_room(struct cuda_kernel *kernel, struct rk_cuda_function *function,
		      unsigned int shared_bytes)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	int each = 0, error;

	error = gpu->gpu.cuda->occupancy(&each, function, RK_GPU_WARPS * RK_GPU_WARP_LANES,
					 shared_bytes);
	if (error)
		return rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: occupancy", gpu->gpu.ordinal);
	if (gpu->blocks_taken + kernel->blocks > (unsigned int)(each * gpu->multiprocessors))
		return refuse_grid(kernel, " beside those that run");
	return 0;
}

static int launch(struct cuda_kernel *kernel, struct rk_cuda_function *function,
		  unsigned int shared_bytes)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	bool near = rk_region_info(gpu->memory[CUDA_NEAR].region)->on_gpu;
	struct rk_gpu_params params = {.seats = kernel->seats_part.gpu_addr,
				       .markers = kernel->markers_part.gpu_addr,
				       .status = kernel->status_part.gpu_addr,
				       .nap_ns = near ? NEAR_NAP_NS : ACROSS_NAP_NS};
	struct rk_cuda_launch_attr cluster = {.id = RK_CUDA_LAUNCH_CLUSTER,
					      .value.cluster = {kernel->cluster, 1, 1}};
	struct rk_cuda_launch how = {.grid_x = kernel->blocks,
				     .grid_y = 1,
				     .grid_z = 1,
				     .block_x = RK_GPU_WARPS * RK_GPU_WARP_LANES,
				     .block_y = 1,
				     .block_z = 1,
				     .shared_bytes = shared_bytes,
				     .attrs = &cluster,
				     .attr_count = kernel->cluster > 1};
	void *arguments[] = {&params};
	int error = gpu->gpu.cuda->stream_create(&kernel->stream, RK_CUDA_STREAM_NON_BLOCKING, 0);

	how.stream = kernel->stream;
	if (!error)
		error = gpu->gpu.cuda->launch_ex(&how, function, arguments, NULL);
	return error ? rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: launch %u blocks",
				    gpu->gpu.ordinal, kernel->blocks) :
		       0;
}

/* Every warp says where it sits: the whole grid is resident, or it never will be. */
static int await_grid(struct cuda_kernel *kernel)
{
	uint64_t end_ns = now_ns() + START_NS;

	for (unsigned int i = 0; i < seats_of(kernel); i++)
		while (!__atomic_load_n(&kernel->status[i].place, __ATOMIC_RELAXED)) {
			int error = kernel->gpu->gpu.cuda->stream_query(kernel->stream);

			if (error != RK_CUDA_NOT_READY)
				return rk_cuda_fail(kernel->gpu->gpu.cuda, error,
						    "GPU %d: its kernel ended at once",
						    kernel->gpu->gpu.ordinal);
			if (!wait_a_little(end_ns))
				return refuse_grid(kernel, " after 3 s");
		}
	return 0;
}

/* --- The seats --- */

static int open_seat(struct cuda_kernel *kernel, unsigned int index)
{
	struct cuda_seat *seat = &kernel->seat[index];
	const struct rk_ring_parts parts = {
		.size = sizeof(parts),
		.slots = kernel->seats[index].control,
		.credit = &kernel->status[index],
		.sleep = &seat->sleep,
		.slots_far = rk_region_info(kernel->gpu->memory[CUDA_NEAR].region)->write_combined,
		.device = true,
	};
	struct rk_ring ring;
	int result = rk_ring_place(&ring, &parts, RK_GPU_CONTROL_SLOTS, 0, "control");

	return result ? result : rk_ring_tx_open(&seat->control, &ring);
}

static int open_seats(struct cuda_kernel *kernel)
{
	struct cuda_gpu *gpu = kernel->gpu;
	unsigned int seats = seats_of(kernel);
	int result;

	kernel->seat = aligned_alloc(RK_CACHE_LINE_BYTES, seats * sizeof(*kernel->seat));
	kernel->pool = calloc(kernel->blocks, sizeof(*kernel->pool));
	if (!kernel->seat || !kernel->pool)
		return rk_fail(ENOMEM, "GPU %d: no memory for %u seats", gpu->gpu.ordinal, seats);
	memset(kernel->seat, 0, seats * sizeof(*kernel->seat));
	for (unsigned int i = 0; i < kernel->blocks; i++)
		kernel->pool[i].size = kernel->pool_bytes;
	result = cuda_take(gpu, CUDA_NEAR, seats * sizeof(struct rk_gpu_seat), "seats",
			   &kernel->seats_part);
	if (!result)
		result = cuda_take(gpu, CUDA_NEAR, seats * sizeof(struct rk_gpu_marker), "markers",
				   &kernel->markers_part);
	if (!result)
		result = cuda_take(gpu, CUDA_HOST, seats * sizeof(struct rk_gpu_status), "status",
				   &kernel->status_part);
	kernel->seats = kernel->seats_part.host;
	kernel->markers = kernel->markers_part.host;
	kernel->status = kernel->status_part.host;
	for (unsigned int i = 0; !result && i < seats; i++)
		result = open_seat(kernel, i);
	return result;
}

/* --- Together --- */

static int start(struct cuda_kernel *kernel)
{
	struct rk_cuda_function *function;
	int shared_bytes, result = rk_cuda_enter(&kernel->gpu->gpu);

	if (result)
		return result;
	result = load(kernel, &function);
	shared_bytes = result ? result : size_block(kernel, function);
	if (shared_bytes > 0)
		result = check_room(kernel, function, (unsigned int)shared_bytes);
	else
		result = shared_bytes;
	rk_cuda_leave(&kernel->gpu->gpu);
	if (!result)
		result = open_seats(kernel);
	if (result || (result = rk_cuda_enter(&kernel->gpu->gpu)))
		return result;
	result = launch(kernel, function, (unsigned int)shared_bytes);
	if (!result)
		result = await_grid(kernel);
	rk_cuda_leave(&kernel->gpu->gpu);
	return result;
}

static int open_kernel(struct cuda_gpu *gpu, const struct rk_actor_type *type,
		       struct cuda_kernel **out)
{
	struct cuda_kernel *kernel = calloc(1, sizeof(*kernel));
	int result;

	if (!kernel)
		return rk_fail(ENOMEM, "GPU %d: no memory", gpu->gpu.ordinal);
	kernel->gpu = gpu;
	kernel->type = type;
	kernel->blocks = gpu->blocks;
	kernel->cluster = gpu->major >= 9 && gpu->blocks % 2 == 0 ? 2 : 1;
	result = start(kernel);
	pthread_mutex_lock(&gpu->mutex);
	if (!result) {
		kernel->next = gpu->kernels;
		gpu->kernels = kernel;
		gpu->blocks_taken += kernel->blocks;
	}
	pthread_mutex_unlock(&gpu->mutex);
	if (result) {
		char why[512];

		snprintf(why, sizeof(why), "%s", rk_errmsg());
		cuda_kernel_close(kernel);
		if (!kernel->abandoned)
			free(kernel);
		return rk_fail(-result, "%s", why);
	}
	*out = kernel;
	return 0;
}

int cuda_kernel_for(struct cuda_gpu *gpu, const struct rk_actor_type *type,
		    struct cuda_kernel **out, uint32_t *handler)
{
	const struct rk_actor_type *shipped;
	uint32_t index = 0;

	while ((shipped = rk_actor_type_at(index)) && shipped != type)
		index++;
	*handler = shipped ? index : 0;
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (kernel->type == (shipped ? NULL : type)) {
			*out = kernel;
			return 0;
		}
	return open_kernel(gpu, shipped ? NULL : type, out);
}

/* Tell all warps to leave; true when the kernel has ended. */
static bool end(struct cuda_kernel *kernel)
{
	const struct rk_cuda *cuda = kernel->gpu->gpu.cuda;
	uint64_t end_ns = now_ns() + END_NS;
	int error;

	for (unsigned int i = 0; i < seats_of(kernel); i++)
		kernel->seats[i].leave = 1;
	rk_codec_flush();
	while ((error = cuda->stream_query(kernel->stream)) == RK_CUDA_NOT_READY)
		if (!wait_a_little(end_ns))
			return false;
	return true;
}

void cuda_kernel_close(struct cuda_kernel *kernel)
{
	struct cuda_gpu *gpu = kernel->gpu;

	if (rk_cuda_enter(&gpu->gpu)) {
		kernel->abandoned = true;
		return;
	}
	if (kernel->stream) {
		kernel->abandoned = !end(kernel);
		if (!kernel->abandoned)
			gpu->gpu.cuda->stream_destroy(kernel->stream);
	}
	if (kernel->module && !kernel->abandoned)
		gpu->gpu.cuda->module_unload(kernel->module);
	rk_cuda_leave(&gpu->gpu);
	if (kernel->abandoned)
		return;
	cuda_give(gpu, &kernel->seats_part);
	cuda_give(gpu, &kernel->markers_part);
	cuda_give(gpu, &kernel->status_part);
	for (unsigned int i = 0; kernel->pool && i < kernel->blocks; i++)
		arena_free(&kernel->pool[i]);
	free(kernel->pool);
	free(kernel->seat);
}
