// SPDX-License-Identifier: MIT
/* One GPU: its memory in three pieces, and the thread that watches its kernels and actors. */
#include "backends/cuda.h"
#include "clock.h"
#include "rk_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WATCH_NS 200000
#define QUERY_EVERY 5	/* watches between two questions to the driver */

static const char *const kind_names[CUDA_KINDS] = {"near", "host", "deep"};

static void add_note(struct cuda_gpu *gpu, const char *note)
{
	size_t used = strlen(gpu->note);

	if (*note && !strstr(gpu->note, note))
		snprintf(gpu->note + used, sizeof(gpu->note) - used, "%s%s", used ? "; " : "", note);
}

/* --- Memory --- */

static int open_region(struct cuda_gpu *gpu, enum cuda_kind kind, size_t bytes,
		       const struct rk_region_opts *opts)
{
	struct cuda_memory *memory = &gpu->memory[kind];
	int result = rk_region_open(&memory->region, bytes, opts);
	const struct rk_region_info *info;

	if (result)
		return rk_fail_within(result, "GPU %d: %s memory", gpu->gpu.ordinal,
				      kind_names[kind]);
	info = rk_region_info(memory->region);
	memory->host = info->host_addr;
	memory->gpu_addr = info->gpu_addr;
	memory->arena.size = info->bytes;
	add_note(gpu, info->note);
	return 0;
}

static int open_deep(struct cuda_gpu *gpu, size_t bytes)
{
	const struct rk_cuda *cuda = gpu->gpu.cuda;
	int error = rk_cuda_enter(&gpu->gpu);

	if (error)
		return error;
	error = cuda->mem_alloc(&gpu->memory[CUDA_DEEP].gpu_addr, bytes);
	if (!error)
		gpu->memory[CUDA_DEEP].arena.size = bytes;
	if (!error)
		error = cuda->fill(gpu->memory[CUDA_DEEP].gpu_addr, 0, bytes);
	if (!error)
		error = cuda->stream_create(&gpu->copies, RK_CUDA_STREAM_NON_BLOCKING, 0);
	rk_cuda_leave(&gpu->gpu);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: %zu MiB of memory", gpu->gpu.ordinal,
				    bytes >> 20) :
		       0;
}

static int open_memory(struct cuda_gpu *gpu, const struct cuda_gpu_opts *opts)
{
	const struct rk_region_opts near = {.size = sizeof(near),
					    .on_gpu = true,
					    .gpu = opts->ordinal,
					    .provider = opts->provider};
	const struct rk_region_opts host = {
		.size = sizeof(host), .cuda = true, .gpu = opts->ordinal};
	int result = open_region(gpu, CUDA_NEAR,
				 opts->near_bytes ? opts->near_bytes : CUDA_NEAR_BYTES, &near);

	if (!result)
		result = open_region(gpu, CUDA_HOST,
				     opts->host_bytes ? opts->host_bytes : CUDA_HOST_BYTES, &host);
	return result ? result :
			open_deep(gpu, opts->deep_bytes ? opts->deep_bytes : CUDA_DEEP_BYTES);
}

static int copy(struct cuda_gpu *gpu, int (*start)(struct cuda_gpu *, const void *), const void *how,
		const char *what)
{
	const struct rk_cuda *cuda = gpu->gpu.cuda;
	int error = rk_cuda_enter(&gpu->gpu);

	if (error)
		return error;
	error = start(gpu, how);
	if (!error)
		error = cuda->stream_synchronize(gpu->copies);
	rk_cuda_leave(&gpu->gpu);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: %s", gpu->gpu.ordinal, what) : 0;
}

struct transfer {
	void *host;
	uint64_t gpu_addr;
	size_t bytes;
};

static int start_out(struct cuda_gpu *gpu, const void *how)
{
	const struct transfer *t = how;

	return gpu->gpu.cuda->copy_to_host_async(t->host, t->gpu_addr, t->bytes, gpu->copies);
}

static int start_zero(struct cuda_gpu *gpu, const void *how)
{
	const struct transfer *t = how;

	return gpu->gpu.cuda->fill_async(t->gpu_addr, 0, t->bytes, gpu->copies);
}

static int start_in(struct cuda_gpu *gpu, const void *how)
{
	const struct transfer *t = how;

	return gpu->gpu.cuda->copy_to_gpu_async(t->gpu_addr, t->host, t->bytes, gpu->copies);
}

int cuda_copy_in(struct cuda_gpu *gpu, uint64_t to, const void *from, size_t bytes)
{
	const struct transfer t = {.host = (void *)(uintptr_t)from, .gpu_addr = to, .bytes = bytes};

	return copy(gpu, start_in, &t, "copy in");
}

int cuda_copy_out(struct cuda_gpu *gpu, void *to, uint64_t from, size_t bytes)
{
	const struct transfer t = {.host = to, .gpu_addr = from, .bytes = bytes};

	return copy(gpu, start_out, &t, "copy out");
}

int cuda_take(struct cuda_gpu *gpu, enum cuda_kind kind, uint64_t bytes, const char *what,
	      struct cuda_part *part)
{
	struct cuda_memory *memory = &gpu->memory[kind];
	int result;

	pthread_mutex_lock(&gpu->mutex);
	result = arena_take(&memory->arena, bytes, &part->at);
	pthread_mutex_unlock(&gpu->mutex);
	if (result)
		return rk_fail(ENOMEM,
			       "GPU %d: no room for %s, %llu bytes, in %llu MiB of %s memory: ask "
			       "for more when the runtime opens",
			       gpu->gpu.ordinal, what, (unsigned long long)bytes,
			       (unsigned long long)memory->arena.size >> 20, kind_names[kind]);
	part->kind = kind;
	part->bytes = bytes;
	part->host = memory->host ? memory->host + part->at : NULL;
	part->gpu_addr = memory->gpu_addr + part->at;
	if (part->host) {
		memset(part->host, 0, bytes);
		rk_codec_flush();
	}
	return 0;
}

int cuda_zero(struct cuda_gpu *gpu, const struct cuda_part *part)
{
	const struct transfer t = {.gpu_addr = part->gpu_addr, .bytes = part->bytes};

	return part->host ? 0 : copy(gpu, start_zero, &t, "clear memory");
}

void cuda_give(struct cuda_gpu *gpu, const struct cuda_part *part)
{
	if (!part->bytes)
		return;
	pthread_mutex_lock(&gpu->mutex);
	if (part->kind == CUDA_NEAREST)
		gpu->calibration.taken[part->at] = false;
	else
		arena_give(&gpu->memory[part->kind].arena, part->bytes, part->at);
	pthread_mutex_unlock(&gpu->mutex);
}

/* --- The watcher --- */

/* Names of the actors whose handlers were running, as far as there is room. */
static size_t name_running(const struct cuda_gpu *gpu, char *text, size_t room)
{
	size_t used = 0;

	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next)
		for (unsigned int i = 0; kernel->seat && i < kernel->grid * RK_GPU_WARPS; i++) {
			const struct cuda_actor *actor = kernel->seat[i].actor;

			if (!actor || actor->at != &kernel->seat[i] ||
			    kernel->markers[i].inside != actor->serial || used >= room)
				continue;
			used += (size_t)snprintf(text + used, room - used, "%s'%s'",
						 used ? ", " : "", actor->name);
		}
	return used;
}

/* Whose handler was running when the GPU failed, and what the driver says. */
static void note_failure(struct cuda_gpu *gpu, int error)
{
	char names[CUDA_NOTE_BYTES / 2] = "";

	gpu->failed = rk_cuda_fail(gpu->gpu.cuda, error, "GPU %d: its kernels died",
				   gpu->gpu.ordinal);
	name_running(gpu, names, sizeof(names));
	snprintf(gpu->failure, sizeof(gpu->failure), "%.*s; handler running then: %s",
		 CUDA_NOTE_BYTES / 2 - 32, rk_errmsg(), *names ? names : "none");
}

/* Ask the driver how the kernels are. Mutex held. */
static void query(struct cuda_gpu *gpu)
{
	if (gpu->failed || rk_cuda_enter(&gpu->gpu))
		return;
	for (struct cuda_kernel *kernel = gpu->kernels; kernel; kernel = kernel->next) {
		int error = kernel->stream ? gpu->gpu.cuda->stream_query(kernel->stream) : 0;

		if (error && error != RK_CUDA_NOT_READY && !gpu->failed)
			note_failure(gpu, error);
	}
	rk_cuda_leave(&gpu->gpu);
}

/* A seat that does not come round although its handler was called: the handler never returns. */
static void watch_beat(struct cuda_kernel *kernel, unsigned int index)
{
	struct cuda_seat *seat = &kernel->seat[index];
	uint64_t beat = __atomic_load_n(&kernel->status[index].beat, __ATOMIC_RELAXED);
	uint64_t now = now_ns();

	if (beat != seat->beat || !seat->beat_ns) {
		seat->beat = beat;
		seat->beat_ns = now;
	} else if (now - seat->beat_ns > kernel->gpu->stuck_ns && !seat->actor->failed) {
		seat->actor->failed = true;
		snprintf(kernel->gpu->failure, sizeof(kernel->gpu->failure),
			 "actor '%s': its handler has not come back for %llu s: it keeps its seat on "
			 "GPU %d until the process ends",
			 seat->actor->name, (unsigned long long)(now - seat->beat_ns) / 1000000000,
			 kernel->gpu->gpu.ordinal);
	}
}

/* Who calls back may take locks of its own, so the mutex is not held then. */
static void watch_seat(struct cuda_kernel *kernel, unsigned int index)
{
	struct cuda_gpu *gpu = kernel->gpu;
	struct cuda_actor_opts tell = {0};
	struct cuda_actor *actor;
	unsigned int news = 0;

	pthread_mutex_lock(&gpu->mutex);
	actor = kernel->seat[index].actor;
	if (actor && actor->at == &kernel->seat[index]) {
		if (!gpu->failed && cuda_actor_phase(actor) != RK_GPU_EMPTY)
			watch_beat(kernel, index);
		tell = actor->opts;
		news = cuda_actor_watch(actor);
	}
	pthread_mutex_unlock(&gpu->mutex);
	if (news & CUDA_ANSWERED)
		tell.answered(tell.owner);
	if (news & CUDA_STOPPED)
		tell.stopped(tell.owner);
	if (news & CUDA_FAILED)
		actor->closed = tell.failed(tell.owner);
	if (news & CUDA_FINISHED)
		tell.done(tell.owner);
}

/* Tell the owners of the actors that are done. */
static void tell_done(struct cuda_gpu *gpu)
{
	for (;;) {
		struct cuda_actor *actor;

		pthread_mutex_lock(&gpu->mutex);
		actor = gpu->done;
		if (actor)
			gpu->done = actor->next_done;
		pthread_mutex_unlock(&gpu->mutex);
		if (!actor)
			return;
		if (!actor->told_stopped)
			actor->opts.stopped(actor->opts.owner);
		actor->told_stopped = true;
		if (!actor->told_finished)
			actor->opts.done(actor->opts.owner);
		actor->told_finished = true;
	}
}

/* Tell the GPU what time it is. Whoever reads one of the two reads whole words. */
static void tell_time(struct cuda_gpu *gpu)
{
	struct rk_gpu_clock_line *line = gpu->clock_part.host;

	__atomic_store_n(&line->monotonic_ns, now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&line->realtime_ns, clock_ns(CLOCK_REALTIME), __ATOMIC_RELAXED);
	rk_codec_flush();
}

static void *run_watcher(void *argument)
{
	const struct timespec nap = {.tv_nsec = WATCH_NS};
	struct cuda_gpu *gpu = argument;
	unsigned int round = 0;

	for (;;) {
		struct cuda_kernel *kernel;
		bool ending;

		tell_time(gpu);
		pthread_mutex_lock(&gpu->mutex);
		ending = gpu->ending;
		if (++round % QUERY_EVERY == 0)
			query(gpu);
		kernel = gpu->kernels; /* only ever grows at its head, until the watcher has ended */
		pthread_mutex_unlock(&gpu->mutex);
		for (; kernel; kernel = kernel->next)
			for (unsigned int i = 0; kernel->seat && i < kernel->grid * RK_GPU_WARPS; i++)
				if (kernel->seat[i].actor)
					watch_seat(kernel, i);
		tell_done(gpu);
		if (ending)
			return NULL;
		nanosleep(&nap, NULL);
	}
}

/* --- Opening and closing --- */

static int identify(struct cuda_gpu *gpu)
{
	const struct rk_cuda *cuda = gpu->gpu.cuda;

	gpu->major = rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_COMPUTE_MAJOR);
	gpu->minor = rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_COMPUTE_MINOR);
	gpu->multiprocessors = rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_MULTIPROCESSORS);
	if (cuda->device_name(gpu->name, sizeof(gpu->name), gpu->gpu.device))
		snprintf(gpu->name, sizeof(gpu->name), "GPU %d", gpu->gpu.ordinal);
	if (gpu->major < 7)
		return rk_fail(ENODEV,
			       "GPU %d (%s): compute capability %d.%d: actors need 7.0 or later",
			       gpu->gpu.ordinal, gpu->name, gpu->major, gpu->minor);
	if (rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_KERNEL_TIMEOUT))
		return rk_fail(ENODEV,
			       "GPU %d (%s): a display runs on it, whose watchdog ends every kernel "
			       "after seconds: use another GPU, or run without the display",
			       gpu->gpu.ordinal, gpu->name);
	return 0;
}

/* By ordinal: a kernel of this process does not end, and whoever loads code would wait for it. */
static bool held[CUDA_GPUS];

/* A kernel of this process died by a fault: seen with CUDA 13.0, every context refuses from then on. */
static bool faulted;

int cuda_gpu_open(struct cuda_gpu **out, const struct cuda_gpu_opts *opts)
{
	struct cuda_gpu *gpu;
	int result;

	if (__atomic_load_n(&held[opts->ordinal], __ATOMIC_RELAXED))
		return rk_fail(EBUSY,
			       "GPU %d: a handler of an earlier runtime of this process has not come "
			       "back, and no code is loaded beside it: start the process anew",
			       opts->ordinal);
	if (__atomic_load_n(&faulted, __ATOMIC_RELAXED))
		return rk_fail(EIO,
			       "GPU %d: a kernel of this process died by a fault, after which CUDA gives "
			       "the process no GPU: start it anew",
			       opts->ordinal);
	gpu = calloc(1, sizeof(*gpu));
	if (!gpu)
		return rk_fail(ENOMEM, "GPU %d: no memory", opts->ordinal);
	pthread_mutex_init(&gpu->mutex, NULL);
	gpu->blocks = opts->blocks ? opts->blocks : CUDA_BLOCKS;
	gpu->nap_ns = opts->nap_ns;
	gpu->stuck_ns = opts->stuck_ns ? opts->stuck_ns : CUDA_STUCK_NS;
	result = rk_cuda_gpu_open(&gpu->gpu, opts->ordinal);
	if (!result)
		result = identify(gpu);
	if (!result)
		result = open_memory(gpu, opts);
	if (!result)
		result = cuda_take(gpu, CUDA_NEAR, sizeof(struct rk_gpu_clock_line), "the time",
				   &gpu->clock_part);
	if (!result && opts->calibrate)
		result = cuda_calibrate(gpu);
	if (!result) {
		result = pthread_create(&gpu->watcher, NULL, run_watcher, gpu);
		gpu->watching = !result;
		if (result)
			result = rk_fail(result, "GPU %d: its watcher's thread: %s", opts->ordinal,
					 strerror(result));
	}
	if (result) {
		cuda_gpu_close(gpu);
		return result;
	}
	*out = gpu;
	return 0;
}

static void free_memory(struct cuda_gpu *gpu)
{
	if (gpu->memory[CUDA_DEEP].gpu_addr && !rk_cuda_enter(&gpu->gpu)) {
		if (gpu->copies)
			gpu->gpu.cuda->stream_destroy(gpu->copies);
		gpu->gpu.cuda->mem_free(gpu->memory[CUDA_DEEP].gpu_addr);
		rk_cuda_leave(&gpu->gpu);
	}
	rk_region_close(gpu->memory[CUDA_HOST].region);
	rk_region_close(gpu->memory[CUDA_NEAR].region);
}

static void end_watcher(struct cuda_gpu *gpu)
{
	if (!gpu->watching)
		return;
	pthread_mutex_lock(&gpu->mutex);
	gpu->ending = true;
	pthread_mutex_unlock(&gpu->mutex);
	pthread_join(gpu->watcher, NULL);
	gpu->watching = false;
}

bool cuda_gpu_halt(struct cuda_gpu *gpu)
{
	end_watcher(gpu);
	return cuda_kernels_end(gpu);
}

void cuda_gpu_close(struct cuda_gpu *gpu)
{
	if (!gpu)
		return;
	end_watcher(gpu);
	/* What a kernel that does not end may still touch stays until the process ends. */
	if (gpu->gpu.cuda && cuda_kernels_close(gpu)) {
		free_memory(gpu);
		rk_cuda_gpu_close(&gpu->gpu);
	} else if (gpu->kernels) {
		__atomic_store_n(&held[gpu->gpu.ordinal], true, __ATOMIC_RELAXED);
	}
	if (gpu->failed)
		__atomic_store_n(&faulted, true, __ATOMIC_RELAXED);
	for (unsigned int kind = 0; kind < CUDA_KINDS; kind++)
		arena_free(&gpu->memory[kind].arena);
	free(gpu->calibration.cycles);
	pthread_mutex_destroy(&gpu->mutex);
	free(gpu);
}
