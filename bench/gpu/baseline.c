// SPDX-License-Identifier: MIT
/*
 * The same computation without RingKernel: by launch, by graph, and through a queue written by
 * hand. Each has the best of its kind: arguments in the launch, input in memory of the GPU for the
 * graph, streams that do not block, a driver that spins.
 */
#include "gpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

RK_SOURCE(baseline_text, "bench/gpu/baseline.cu");

enum { LANES = 32, WORDS = 7, FLAG = 7, LINE = 64, WARM = 1000 };

#define LEAVE UINT64_MAX

int gpu_baseline_open(struct bench_module *baseline, int ordinal)
{
	return bench_module_open(baseline, baseline_text, "baseline.cu", ordinal);
}

/* --- One trip of each kind --- */

struct trip {
	struct gpu_bench *bench;
	struct bench_module *baseline;
	uint64_t *near; /* for the graph's input: of the GPU, where it can be mapped */
	uint64_t near_gpu;
	uint64_t *host; /* two lines of mapped host memory: request, answer */
	uint64_t host_gpu;
	struct rk_cuda_function *function;
	struct rk_cuda_graph_exec *graph;
	uint64_t sequence;
};

static uint64_t *answer_of(const struct trip *trip)
{
	return trip->host + LINE / 8;
}

static int synchronize(struct trip *trip, int error, const char *what)
{
	const struct rk_cuda *cuda = trip->baseline->gpu.cuda;

	if (!error)
		error = cuda->stream_synchronize(trip->baseline->stream);
	return error ? rk_cuda_fail(cuda, error, "%s", what) : 0;
}

static int by_launch(struct trip *trip, const struct rk_msg *msg)
{
	uint64_t out = trip->host_gpu + LINE;
	void *arguments[] = {(void *)(uintptr_t)msg, &out};

	return synchronize(trip,
			   trip->baseline->gpu.cuda->launch(trip->function, 1, 1, 1, LANES, 1, 1, 0,
							    trip->baseline->stream, arguments,
							    NULL),
			   "launch");
}

static int by_graph(struct trip *trip, const struct rk_msg *msg)
{
	memcpy(trip->near, msg, sizeof(*msg));
	rk_codec_flush();
	return synchronize(
		trip, trip->baseline->gpu.cuda->graph_launch(trip->graph, trip->baseline->stream),
		"graph");
}

static int by_queue(struct trip *trip, const struct rk_msg *msg)
{
	struct gpu_patience patience = {.misses = 0};
	uint64_t *answer = answer_of(trip);
	int result = 0;

	trip->sequence++;
	memcpy(trip->host, msg, sizeof(*msg));
	__atomic_store_n(&trip->host[FLAG], trip->sequence, __ATOMIC_RELEASE);
	while (!result) {
		for (int i = 0; i < GPU_LOOKS; i++) {
			if (__atomic_load_n(&answer[FLAG], __ATOMIC_ACQUIRE) == trip->sequence)
				return 0;
			rk_spin_miss(&patience.spin);
		}
		result = gpu_still_waiting(&patience, "answer through the queue");
	}
	return result;
}

static bool is_right(const struct rk_msg *msg, const uint64_t *answer)
{
	uint64_t words[WORDS];

	memcpy(words, msg, sizeof(words));
	for (int i = 1; i < WORDS; i++)
		if (answer[i] != gpu_computed(words[i], msg->tag))
			return false;
	return answer[0] == words[0];
}

/* Timed as the actor's trips are: until the answer can be used. */
static int measure(struct trip *trip, int (*go)(struct trip *trip, const struct rk_msg *msg),
		   uint64_t trips, struct rk_hist *hist)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1};
	uint64_t before, ticks;

	for (uint64_t i = 0; i < trips + WARM; i++) {
		int result;

		msg.tag = (uint32_t)i;
		bench_fill(msg.body, i);
		before = bench_ticks();
		result = go(trip, &msg);
		ticks = bench_ticks() - before;
		if (result)
			return result;
		if (!is_right(&msg, answer_of(trip)))
			return rk_fail(EIO, "trip %" PRIu64 ": the answer is wrong", i);
		if (i >= WARM)
			rk_hist_record(hist, gpu_ns(trip->bench, ticks));
	}
	return 0;
}

/* --- The kinds --- */

static int report(struct trip *trip, const char *name, const char *bar, const struct rk_hist *hist)
{
	double p50_ns = (double)rk_hist_percentile(hist, 50);

	gpu_report_latency(trip->bench->report, name, hist, NULL);
	if (trip->bench->trip_p50_ns > 0)
		gpu_report_bar(trip->bench->report, bar, p50_ns / trip->bench->trip_p50_ns);
	else
		gpu_report_skip_bar(trip->bench->report, bar);
	return 0;
}

static int measure_launch(struct trip *trip, struct rk_hist *hist)
{
	int result = bench_module_function(trip->baseline, "by_argument", &trip->function);

	if (!result)
		result = measure(trip, by_launch, trip->bench->options.trips / 10, hist);
	return result ? result
		      : report(trip, "launch + stream synchronize", "launch_vs_roundtrip", hist);
}

/* One kernel node; its input and output stay where they are. */
static int make_graph(struct trip *trip)
{
	const struct rk_cuda *cuda = trip->baseline->gpu.cuda;
	struct rk_cuda_graph *graph = NULL;
	uint64_t in = trip->near_gpu, out = trip->host_gpu + LINE;
	void *arguments[] = {&in, &out};
	int error = cuda->capture_begin(trip->baseline->stream, RK_CUDA_CAPTURE_THREAD_LOCAL);

	if (!error)
		error = cuda->launch(trip->function, 1, 1, 1, LANES, 1, 1, 0,
				     trip->baseline->stream, arguments, NULL);
	if (!error)
		error = cuda->capture_end(trip->baseline->stream, &graph);
	if (!error)
		error = cuda->graph_instantiate(&trip->graph, graph, 0);
	if (graph)
		cuda->graph_destroy(graph);
	return error ? rk_cuda_fail(cuda, error, "make a graph") : 0;
}

static int measure_graph(struct trip *trip, struct rk_hist *hist)
{
	int result = bench_module_function(trip->baseline, "by_memory", &trip->function);

	if (!result)
		result = make_graph(trip);
	if (!result)
		result = measure(trip, by_graph, trip->bench->options.trips / 10, hist);
	if (trip->graph)
		trip->baseline->gpu.cuda->graph_exec_destroy(trip->graph);
	return result ? result
		      : report(trip, "CUDA graph + stream synchronize", "graph_vs_roundtrip", hist);
}

static int measure_queue(struct trip *trip, struct rk_hist *hist)
{
	uint64_t request = trip->host_gpu, answer = trip->host_gpu + LINE;
	void *arguments[] = {&request, &answer};
	int result = bench_module_function(trip->baseline, "by_queue", &trip->function), error;

	if (result)
		return result;
	memset(trip->host, 0, 2 * LINE);
	error = trip->baseline->gpu.cuda->launch(trip->function, 1, 1, 1, LANES, 1, 1, 0,
						 trip->baseline->stream, arguments, NULL);
	if (error)
		return rk_cuda_fail(trip->baseline->gpu.cuda, error, "launch the queue's kernel");
	result = measure(trip, by_queue, trip->bench->options.trips, hist);
	__atomic_store_n(&trip->host[FLAG], LEAVE, __ATOMIC_RELEASE);
	if (!result)
		result = synchronize(trip, 0, "the queue's kernel");
	return result ? result
		      : report(trip, "queue in host memory, acquire/release, one warp",
			       "host_queue_vs_roundtrip", hist);
}

static int measure_all(struct trip *trip)
{
	int (*const kinds[])(struct trip *, struct rk_hist *) = {measure_launch, measure_graph,
								 measure_queue};
	int result = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !result; i++) {
		struct rk_hist *hist;

		if (rk_hist_open(&hist, 0))
			return rk_fail(ENOMEM, "no memory");
		result = kinds[i](trip, hist);
		rk_hist_close(hist);
	}
	return result;
}

int gpu_row_baselines(struct gpu_bench *bench)
{
	const struct rk_region_info *info = rk_region_info(bench->region);
	const struct rk_region_opts opts = {
		.size = sizeof(opts), .cuda = true, .gpu = bench->options.gpu};
	struct rk_region *region;
	struct bench_module baseline;
	struct trip trip = {.bench = bench, .baseline = &baseline};
	int result = rk_region_open(&region, RK_PAGE_BYTES, &opts);

	if (result)
		return result;
	result = gpu_baseline_open(&baseline, bench->options.gpu);
	if (!result) {
		trip.near = info->host_addr;
		trip.near_gpu = info->gpu_addr;
		trip.host = rk_region_info(region)->host_addr;
		trip.host_gpu = rk_region_info(region)->gpu_addr;
		gpu_report_heading(bench->report, "The same without RingKernel, ns");
		gpu_pin(bench);
		result = measure_all(&trip);
		gpu_unpin(bench);
		bench_module_close(&baseline);
	}
	rk_region_close(region);
	return result;
}
