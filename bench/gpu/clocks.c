// SPDX-License-Identifier: MIT
/*
 * The GPU's clock in the host's time: an actor is asked what time it is, through its control ring;
 * offset and rate are fitted, with a bound of their error; then it is asked again, and the bound is
 * held against what it answers.
 */
#include "gpu.h"
#include "backends/cuda.h"
#include "backends/cuda_clock.h"
#include "clock.h"
#include "gpudirect/rk_gpu_clock.h"
#include "runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES_A_SECOND = 1000, CHECKS = 200 };

static int sample(struct cuda_actor *actor, struct rk_gpu_clock_sample *samples, uint32_t count)
{
	const struct timespec nap = {.tv_nsec = 1000000000 / SAMPLES_A_SECOND};
	int result = 0;

	for (uint32_t i = 0; i < count && !result; i++) {
		result = cuda_clock_sample(actor, &samples[i]);
		nanosleep(&nap, NULL);
	}
	return result;
}

/* How many of @count samples the fitted clock contradicts: its bound and theirs do not meet. */
static uint32_t contradictions(const struct rk_gpu_clock *clock,
			       const struct rk_gpu_clock_sample *samples, uint32_t count)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < count; i++) {
		double error_ns;
		double at = (double)rk_gpu_clock_host_ns(clock, samples[i].gpu_ns, &error_ns);

		wrong += at + error_ns < (double)samples[i].before_ns ||
			 at - error_ns > (double)samples[i].after_ns;
	}
	return wrong;
}

static void report(struct gpu_bench *bench, const struct rk_gpu_clock *clock, double error_ns,
		   uint32_t wrong)
{
	gpu_report_note(bench->report,
			"offset %" PRId64
			" ns (GPU less CLOCK_MONOTONIC), drift %+.4f ppm, known to "
			"within %.0f ns",
			(int64_t)(clock->gpu_ns - clock->host_ns), (1 / clock->rate - 1) * 1e6,
			clock->error_ns);
	gpu_report_note(bench->report,
			"from %u samples over %" PRIu64 " s, the quickest %" PRIu64
			" ns; the GPU's clock steps by %" PRIu64 " ns",
			clock->used, bench->options.clock_seconds, clock->round_trip_ns,
			clock->resolution_ns);
	gpu_report_note(
		bench->report,
		"asked %d times more: %u answers outside the bound, which had grown to %.0f ns",
		CHECKS, wrong, error_ns);
}

static int measure(struct gpu_bench *bench, struct cuda_actor *actor,
		   struct rk_gpu_clock_sample *samples, uint32_t count)
{
	struct rk_gpu_clock clock;
	double error_ns = 0;
	int result = sample(actor, samples, count + CHECKS);

	if (!result)
		result = rk_gpu_clock_fit(&clock, samples, count);
	if (result)
		return result;
	rk_gpu_clock_host_ns(&clock, samples[count + CHECKS - 1].gpu_ns, &error_ns);
	report(bench, &clock, error_ns, contradictions(&clock, samples + count, CHECKS));
	return 0;
}

int gpu_row_clock(struct gpu_bench *bench)
{
	const struct gpu_stage_opts opts = {.type = rk_actor_type_find("echo"),
					    .group = RK_GROUP_WARP,
					    .slots = GPU_TRIP_SLOTS};
	uint32_t count = (uint32_t)bench->options.clock_seconds * SAMPLES_A_SECOND;
	struct rk_gpu_clock_sample *samples = calloc(count + CHECKS, sizeof(*samples));
	struct gpu_stage stage;
	int result = samples ? gpu_stage_open(&stage, bench, &opts) : rk_fail(ENOMEM, "no memory");

	if (!result) {
		gpu_report_title(bench->report, "Clock of the GPU");
		gpu_pin(bench);
		result = measure(bench, actor_cuda_of(stage.actor), samples, count);
		gpu_unpin(bench);
		result = gpu_runtime_close(stage.runtime, result);
	}
	free(samples);
	return result;
}
