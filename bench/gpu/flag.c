// SPDX-License-Identifier: MIT
/* The floor between two GPUs: a bare flag of eight bytes that they bounce, each polling its own. */
#include "gpu.h"

#include <errno.h>

enum { FLAG_CHUNKS = 300, FLAG_TRIPS = 500 };

#define FLAG_LIMIT_NS 20000000000ULL

/* One side of the raw flag. */
struct side {
	struct bench_module baseline;
	struct rk_cuda_function *function;
	uint64_t flag;	/* memory of this GPU: what it polls */
	uint64_t times; /* of each chunk, the first side's */
	bool open;
};

static int open_side(struct side *side, int ordinal)
{
	const struct rk_cuda *cuda;
	int error, result = gpu_baseline_open(&side->baseline, ordinal);

	if (result)
		return result;
	side->open = true;
	cuda = side->baseline.gpu.cuda;
	result = bench_module_function(&side->baseline, "bounce_flag", &side->function);
	if (result)
		return result;
	error = cuda->mem_alloc(&side->flag, RK_PAGE_BYTES);
	if (!error)
		error = cuda->fill(side->flag, 0, RK_PAGE_BYTES);
	if (!error)
		error = cuda->mem_alloc(&side->times, FLAG_CHUNKS * sizeof(uint64_t));
	if (!error)
		error = cuda->fill(side->times, 0, FLAG_CHUNKS * sizeof(uint64_t));
	return error ? rk_cuda_fail(cuda, error, "GPU %d: memory for a flag", ordinal) : 0;
}

static void close_side(struct side *side)
{
	if (!side->open)
		return;
	if (side->times)
		side->baseline.gpu.cuda->mem_free(side->times);
	if (side->flag)
		side->baseline.gpu.cuda->mem_free(side->flag);
	bench_module_close(&side->baseline);
}

static int join_sides(struct side *from, struct side *to)
{
	const struct rk_cuda *cuda = from->baseline.gpu.cuda;
	int error = rk_cuda_enter(&from->baseline.gpu);

	if (error)
		return error;
	error = cuda->ctx_enable_peer(to->baseline.gpu.context, 0);
	rk_cuda_leave(&from->baseline.gpu);
	return error && error != RK_CUDA_PEER_ALREADY_ENABLED
		       ? rk_cuda_fail(cuda, error, "GPU %d: access to the memory of GPU %d",
				      from->baseline.gpu.ordinal, to->baseline.gpu.ordinal)
		       : 0;
}

static int launch_side(struct side *side, uint64_t theirs, unsigned int first)
{
	const struct rk_cuda *cuda = side->baseline.gpu.cuda;
	uint64_t chunks = FLAG_CHUNKS, trips = FLAG_TRIPS, limit_ns = FLAG_LIMIT_NS;
	void *arguments[] = {&side->flag, &theirs,	&first,	  &chunks,
			     &trips,	  &side->times, &limit_ns};
	int error = rk_cuda_enter(&side->baseline.gpu);

	if (error)
		return error;
	error = cuda->launch(side->function, 1, 1, 1, 1, 1, 1, 0, side->baseline.stream, arguments,
			     NULL);
	rk_cuda_leave(&side->baseline.gpu);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: launch a flag's kernel",
				    side->baseline.gpu.ordinal)
		     : 0;
}

static int await_side(struct side *side, uint64_t *times)
{
	const struct rk_cuda *cuda = side->baseline.gpu.cuda;
	int error = rk_cuda_enter(&side->baseline.gpu);

	if (error)
		return error;
	error = cuda->stream_synchronize(side->baseline.stream);
	if (!error && times)
		error = cuda->copy_to_host(times, side->times, FLAG_CHUNKS * sizeof(uint64_t));
	rk_cuda_leave(&side->baseline.gpu);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: a flag's kernel",
				    side->baseline.gpu.ordinal)
		     : 0;
}

/* One way of a bare flag of eight bytes, by the first GPU's own clock. */
static int bounce_flags(struct side sides[2], uint64_t *times)
{
	int result = join_sides(&sides[0], &sides[1]);

	if (!result)
		result = join_sides(&sides[1], &sides[0]);
	if (!result)
		result = launch_side(&sides[1], sides[0].flag, 0);
	if (!result)
		result = launch_side(&sides[0], sides[1].flag, 1);
	if (!result)
		result = await_side(&sides[0], times);
	return result ? result : await_side(&sides[1], NULL);
}

int gpu_raw_flag(struct gpu_bench *bench, const int gpu[2], double *p50_ns)
{
	struct side sides[2] = {{.open = false}, {.open = false}};
	uint64_t times[FLAG_CHUNKS] = {0};
	struct rk_hist *hist;
	int result;

	if (rk_hist_open(&hist, 0))
		return rk_fail(ENOMEM, "no memory");
	result = open_side(&sides[0], gpu[0]);
	if (!result)
		result = open_side(&sides[1], gpu[1]);
	if (!result)
		result = bounce_flags(sides, times);
	/* Contexts are entered and left in pairs. */
	close_side(&sides[1]);
	close_side(&sides[0]);
	for (int i = 1; i < FLAG_CHUNKS && !result; i++) {
		if (!times[i])
			result = rk_fail(ETIMEDOUT, "a flag did not come back within %llu s",
					 FLAG_LIMIT_NS / 1000000000ULL);
		rk_hist_record(hist, times[i] / (2 * FLAG_TRIPS));
	}
	if (!result)
		gpu_report_latency(bench->report, "a bare flag of 8 bytes", hist, NULL);
	*p50_ns = (double)rk_hist_percentile(hist, 50);
	rk_hist_close(hist);
	return result;
}
