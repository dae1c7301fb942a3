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

#define START_NS 3000000000ULL /* for the blocks to be resident */
#define ENOUGH_NS 5000000ULL   /* for more of them than are needed, to choose from */
#define END_NS 500000000ULL    /* for every warp to leave */
#define POOL_BYTES (64u << 10)
#define NEAR_NAP_NS 100	   /* of an empty seat */
#define ACROSS_NAP_NS 4000 /* and of one whose control ring lies in memory of the host */

static unsigned int seats_of(const struct cuda_kernel *kernel)
{
	return kernel->grid * RK_GPU_WARPS;
}

/* Sleep a little; false once @end_ns has passed. */
static bool wait_a_little(uint64_t end_ns)
{
	const struct timespec nap = {.tv_nsec = 50000};

	nanosleep(&nap, NULL);
	return now_ns() < end_ns;
}

/* --- The module --- */

static int read_sizes(struct cuda_kernel *kernel, uint32_t sizes[3])
{
	const struct rk_cuda *cuda = kernel->gpu->gpu.cuda;
	uint64_t at;
	size_t bytes;
	int error = cuda->module_global(&at, &bytes, kernel->module, "rk_sizes");

	if (error)
		return rk_cuda_fail(cuda, error, "GPU %d: the module's sizes",
				    kernel->gpu->gpu.ordinal);
	return cuda_copy_out(kernel->gpu, sizes, at, 3 * sizeof(*sizes));
}

static int load(struct cuda_kernel *kernel, const struct cuda_code *code)
{
	const struct rk_cuda *cuda = kernel->gpu->gpu.cuda;
	int error = cuda->module_load(&kernel->module, code->image, 0, NULL, NULL);

	if (!error)
		error = cuda->module_function(&kernel->function, kernel->module, "rk_persistent");
	return error ? rk_cuda_fail(cuda, error, "GPU %d (%s, compute capability %d.%d): load the "
				    "code of actor '%s'",
				    kernel->gpu->gpu.ordinal, kernel->gpu->name, kernel->gpu->major,
				    kernel->gpu->minor,
				    kernel->type ? kernel->type->name : "shipped") :
		       0;
}

/* Shared memory of a block: the seats' own, and rings between them as far as there is room. */
static int size_block(struct cuda_kernel *kernel)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	uint32_t most = (uint32_t)rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_SHARED_PER_BLOCK_OPTIN);
	uint32_t sizes[3];
	int error, result = read_sizes(kernel, sizes);

	if (result)
		return result;
	if (sizes[0] > most)
		return rk_fail(ENODEV, "GPU %d (%s): %u bytes of shared memory a block: %u are needed",
			       gpu->gpu.ordinal, gpu->name, most, sizes[0]);
	kernel->pool_bytes = most - sizes[0] < POOL_BYTES ? (most - sizes[0]) / 4096 * 4096 :
							    POOL_BYTES;
	kernel->shared_bytes = (sizes[0] + kernel->pool_bytes) / 16 * 16;
	kernel->scratch_bytes = sizes[1];
	kernel->parcel_bytes = sizes[2];
	error = gpu->gpu.cuda->function_set_attribute(kernel->function,
						      RK_CUDA_FUNC_MAX_DYNAMIC_SHARED_BYTES,
						      (int)kernel->shared_bytes);
	return error ? rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: %u bytes of shared memory a block",
				    gpu->gpu.ordinal, kernel->shared_bytes) :
		       0;
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

static int check_room(struct cuda_kernel *kernel)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	unsigned int room;
	int each = 0, error;

	error = gpu->gpu.cuda->occupancy(&each, kernel->function, RK_GPU_WARPS * RK_GPU_WARP_LANES,
					 kernel->shared_bytes);
	if (error)
		return rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: occupancy", gpu->gpu.ordinal);
	room = (unsigned int)(each * gpu->multiprocessors) - gpu->blocks_taken;
	if (kernel->blocks > room)
		return refuse_grid(kernel, " beside those that run");
	kernel->grid = gpu->calibration.cycles ? room / kernel->cluster * kernel->cluster :
						 kernel->blocks;
	return 0;
}

/* Start the grid; @resume: from the image that it left when it was paused. */
static int launch(struct cuda_kernel *kernel, bool resume)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	bool near = rk_region_info(gpu->memory[CUDA_NEAR].region)->on_gpu;
	uint32_t nap_ns = near ? NEAR_NAP_NS : ACROSS_NAP_NS;
	struct rk_gpu_params params = {.seats = kernel->seats_part.gpu_addr,
				       .markers = kernel->markers_part.gpu_addr,
				       .status = kernel->status_part.gpu_addr,
				       .nap_ns = gpu->nap_ns ? gpu->nap_ns : nap_ns,
				       .clock = gpu->clock_part.gpu_addr,
				       .image = kernel->image_part.gpu_addr,
				       .image_bytes = kernel->shared_bytes,
				       .resume = resume};
	struct rk_cuda_launch_attr cluster = {.id = RK_CUDA_LAUNCH_CLUSTER,
					      .value.cluster = {kernel->cluster, 1, 1}};
	struct rk_cuda_launch how = {.grid_x = kernel->grid,
				     .grid_y = 1,
				     .grid_z = 1,
				     .block_x = RK_GPU_WARPS * RK_GPU_WARP_LANES,
				     .block_y = 1,
				     .block_z = 1,
				     .shared_bytes = kernel->shared_bytes,
				     .stream = kernel->stream,
				     .attrs = &cluster,
				     .attr_count = kernel->cluster > 1};
	void *arguments[] = {&params};
	int error;

	for (unsigned int i = 0; i < seats_of(kernel); i++)
		kernel->status[i].place = 0;
	error = gpu->gpu.cuda->launch_ex(&how, kernel->function, arguments, NULL);
	return error ? rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: launch %u blocks",
				    gpu->gpu.ordinal, kernel->blocks) :
		       0;
}

/* Blocks of the grid whose warps have said where they sit. */
static unsigned int placed(const struct cuda_kernel *kernel)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < kernel->grid; i++)
		count += __atomic_load_n(&kernel->status[(i + 1) * RK_GPU_WARPS - 1].place,
					 __ATOMIC_RELAXED) != 0;
	return count;
}

/* The blocks that host actors are resident: all of the grid, or enough of it after a while. */
static int await_grid(struct cuda_kernel *kernel)
{
	uint64_t begin_ns = now_ns(), end_ns = begin_ns + START_NS;
	unsigned int count;

	while ((count = placed(kernel)) < kernel->grid) {
		int error = kernel->gpu->gpu.cuda->stream_query(kernel->stream);

		if (error != RK_CUDA_NOT_READY)
			return rk_cuda_fail(kernel->gpu->gpu.cuda, error,
					    "GPU %d: its kernel ended at once",
					    kernel->gpu->gpu.ordinal);
		if (count >= kernel->blocks && now_ns() > begin_ns + ENOUGH_NS)
			return 0;
		if (!wait_a_little(end_ns))
			return refuse_grid(kernel, " after 3 s");
	}
	return 0;
}

/* How far the cluster that begins with @block is; not placed is the farthest. */
static uint64_t distance_of(const struct cuda_kernel *kernel, unsigned int block)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < kernel->cluster; i++) {
		uint64_t place = kernel->status[(block + i) * RK_GPU_WARPS].place;

		if (!place)
			return UINT64_MAX;
		sum += cuda_distance(kernel->gpu, (unsigned int)place - 1);
	}
	return sum;
}

/* Put the nearest clusters first in the order, and let the blocks that are not wanted end. */
static void choose_blocks(struct cuda_kernel *kernel)
{
	for (unsigned int i = 0; i < kernel->blocks; i += kernel->cluster) {
		unsigned int best = i;

		for (unsigned int j = i; j < kernel->grid; j += kernel->cluster)
			if (distance_of(kernel, kernel->order[j]) <
			    distance_of(kernel, kernel->order[best]))
				best = j;
		for (unsigned int k = 0; k < kernel->cluster; k++) {
			unsigned int block = kernel->order[i + k];

			kernel->order[i + k] = kernel->order[best + k];
			kernel->order[best + k] = block;
		}
	}
	for (unsigned int i = kernel->blocks; i < kernel->grid; i++)
		for (unsigned int warp = 0; warp < RK_GPU_WARPS; warp++)
			kernel->seats[kernel->order[i] * RK_GPU_WARPS + warp].leave = RK_GPU_LEAVE;
	rk_codec_flush();
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
	int result;

	seat->kernel = kernel;
	seat->index = index;
	result = rk_ring_place(&ring, &parts, RK_GPU_CONTROL_SLOTS, 0, "control");

	return result ? result : rk_ring_tx_open(&seat->control, &ring);
}

static int open_seats(struct cuda_kernel *kernel)
{
	struct cuda_gpu *gpu = kernel->gpu;
	unsigned int seats = seats_of(kernel);
	int result;

	kernel->seat = aligned_alloc(RK_CACHE_LINE_BYTES, seats * sizeof(*kernel->seat));
	kernel->pool = calloc(kernel->grid, sizeof(*kernel->pool));
	kernel->order = calloc(kernel->grid, sizeof(*kernel->order));
	if (!kernel->seat || !kernel->pool || !kernel->order)
		return rk_fail(ENOMEM, "GPU %d: no memory for %u seats", gpu->gpu.ordinal, seats);
	memset(kernel->seat, 0, seats * sizeof(*kernel->seat));
	for (unsigned int i = 0; i < kernel->grid; i++) {
		kernel->pool[i].size = kernel->pool_bytes;
		kernel->order[i] = i;
	}
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

/* --- Pausing --- */

void cuda_seat_say(struct cuda_kernel *kernel, unsigned int index)
{
	const struct cuda_seat *seat = &kernel->seat[index];
	uint64_t serial = seat->actor ? seat->actor->serial : 0;

	/* Relaxed: whoever calls has flushed what is to be seen before it. */
	__atomic_store_n(&kernel->seats[index].word, rk_gpu_word(seat->told, serial, seat->hurry),
			 __ATOMIC_RELAXED);
	rk_codec_flush();
}

/* Tell every seat of a block that hosts actors to leave, and every actor to pause; or neither. */
static void tell_seats(struct cuda_kernel *kernel, bool leave)
{
	for (unsigned int n = 0; n < kernel->blocks * RK_GPU_WARPS; n++) {
		unsigned int i = kernel->order[n / RK_GPU_WARPS] * RK_GPU_WARPS + n % RK_GPU_WARPS;
		struct cuda_seat *seat = &kernel->seat[i];
		uint32_t hurry = seat->hurry;

		kernel->seats[i].leave = leave ? RK_GPU_LEAVE : RK_GPU_STAY;
		if (leave && seat->actor)
			seat->hurry = RK_GPU_PAUSE;
		cuda_seat_say(kernel, i);
		seat->hurry = hurry;
	}
}

/* Whether the kernel has ended, within @most_ns. */
static bool await_end(struct cuda_kernel *kernel, uint64_t most_ns)
{
	uint64_t end_ns = now_ns() + most_ns;

	while (kernel->gpu->gpu.cuda->stream_query(kernel->stream) == RK_CUDA_NOT_READY)
		if (!wait_a_little(end_ns))
			return false;
	return true;
}

/* Who keeps a kernel from being paused: an actor whose handler does not come back. */
static int refuse_pause(struct cuda_kernel *kernel)
{
	const char *name = "?";

	for (unsigned int i = 0; i < seats_of(kernel); i++)
		if (kernel->seat[i].actor && kernel->markers[i].inside)
			name = kernel->seat[i].actor->name;
	return rk_fail(EBUSY, "the handler of actor '%s' has not come back", name);
}

/*
 * An actor that was just spawned sits down first: not all warps of its block may know of it yet, and
 * those that left would be missed at its barriers.
 */
static int await_seated(struct cuda_kernel *kernel)
{
	uint64_t end_ns = now_ns() + END_NS;

	for (unsigned int i = 0; i < seats_of(kernel); i++) {
		const struct cuda_actor *actor = kernel->seat[i].actor;

		while (actor && actor->at == &kernel->seat[i] && !actor->failed &&
		       cuda_actor_phase(actor) == RK_GPU_EMPTY)
			if (!wait_a_little(end_ns))
				return rk_fail(EBUSY, "actor '%s' has not come to its seat",
					       actor->name);
	}
	return 0;
}

static int pause_all(struct cuda_gpu *gpu)
{
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (!kernel->failed && await_seated(kernel))
			return -EBUSY;
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (!kernel->failed)
			tell_seats(kernel, true);
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (!kernel->failed && !await_end(kernel, END_NS))
			return refuse_pause(kernel);
	return 0;
}

/* Those that have paused go on; one that has not, goes on as far as it can. */
static int resume_all(struct cuda_gpu *gpu)
{
	int result = 0;

	for (struct cuda_kernel *kernel = gpu->kernels; kernel && !result; kernel = kernel->next) {
		if (kernel->failed)
			continue;
		tell_seats(kernel, false);
		if (gpu->gpu.cuda->stream_query(kernel->stream) != RK_CUDA_NOT_READY)
			result = launch(kernel, true);
	}
	return result;
}

/* --- Opening and closing --- */

/* All that the driver does only while no kernel runs. */
static int prepare(struct cuda_kernel *kernel, const struct cuda_code *code)
{
	const struct cuda_gpu *gpu = kernel->gpu;
	int error, result = load(kernel, code);

	if (!result)
		result = size_block(kernel);
	if (!result)
		result = check_room(kernel);
	if (!result)
		result = cuda_take(kernel->gpu, CUDA_DEEP,
				   (uint64_t)kernel->grid * kernel->shared_bytes,
				   "the image of a kernel", &kernel->image_part);
	if (!result)
		result = open_seats(kernel);
	if (result)
		return result;
	error = gpu->gpu.cuda->stream_create(&kernel->stream, RK_CUDA_STREAM_NON_BLOCKING, 0);
	return error ? rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: a stream", gpu->gpu.ordinal) : 0;
}

static int start(struct cuda_kernel *kernel)
{
	struct cuda_gpu *gpu = kernel->gpu;
	struct cuda_code code;
	int result = cuda_code_get(&code, gpu, kernel->type), resumed;

	if (!result)
		result = rk_cuda_enter(&gpu->gpu);
	if (result)
		return result;
	result = pause_all(gpu);
	if (result)
		rk_fail_within(result, "GPU %d: its kernels do not pause for new code to be loaded",
			       gpu->gpu.ordinal);
	else
		result = prepare(kernel, &code);
	if (!result)
		result = launch(kernel, false);
	resumed = resume_all(gpu);
	result = result ? result : resumed;
	if (!result)
		result = await_grid(kernel);
	if (!result)
		choose_blocks(kernel);
	cuda_code_free(&code);
	rk_cuda_leave(&gpu->gpu);
	return result;
}

/* Free what a kernel had that has ended, or never began. In the context. */
static void free_kernel(struct cuda_kernel *kernel)
{
	struct cuda_gpu *gpu = kernel->gpu;

	if (kernel->stream)
		gpu->gpu.cuda->stream_destroy(kernel->stream);
	if (kernel->module)
		gpu->gpu.cuda->module_unload(kernel->module);
	cuda_give(gpu, &kernel->seats_part);
	cuda_give(gpu, &kernel->markers_part);
	cuda_give(gpu, &kernel->status_part);
	cuda_give(gpu, &kernel->image_part);
	for (unsigned int i = 0; kernel->pool && i < kernel->grid; i++)
		arena_free(&kernel->pool[i]);
	free(kernel->pool);
	free(kernel->order);
	free(kernel->seat);
	free(kernel);
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
	/* Also one that did not start: it ends, and is freed, with the others. */
	pthread_mutex_lock(&gpu->mutex);
	kernel->failed = result;
	kernel->next = gpu->kernels;
	gpu->kernels = kernel;
	gpu->blocks_taken += result ? 0 : kernel->blocks;
	pthread_mutex_unlock(&gpu->mutex);
	*out = kernel;
	return result;
}

int cuda_kernel_for(struct cuda_gpu *gpu, const struct rk_actor_type *type,
		    struct cuda_kernel **out, uint32_t *handler)
{
	const struct rk_actor_type *shipped;
	uint32_t index = 0;

	/* Shipped types with a function are those in the library's own module, in their order. */
	for (unsigned int i = 0; (shipped = rk_actor_type_at(i)) && shipped != type; i++)
		index += shipped->function != NULL;
	if (shipped && !shipped->function)
		return rk_fail(ENOENT, "actor '%s': it runs on CPUs only", type->name);
	*handler = shipped ? index : 0;
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (!kernel->failed && kernel->type == (shipped ? NULL : type)) {
			*out = kernel;
			return 0;
		}
	return open_kernel(gpu, shipped ? NULL : type, out);
}

bool cuda_kernels_end(struct cuda_gpu *gpu)
{
	bool ended = !rk_cuda_enter(&gpu->gpu);

	if (!ended)
		return false;
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		if (kernel->seats)
			tell_seats(kernel, true);
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		ended &= !kernel->stream || await_end(kernel, END_NS);
	rk_cuda_leave(&gpu->gpu);
	return ended;
}

bool cuda_kernels_close(struct cuda_gpu *gpu)
{
	struct cuda_kernel *kernel, *next;
	bool ended = cuda_kernels_end(gpu);

	if (!ended || rk_cuda_enter(&gpu->gpu))
		return false;
	for (kernel = gpu->kernels; kernel && ended; kernel = next) {
		next = kernel->next;
		free_kernel(kernel);
	}
	rk_cuda_leave(&gpu->gpu);
	return ended;
}
