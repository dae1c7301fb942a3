// SPDX-License-Identifier: MIT
/* Latencies with one message in flight: the floor of the bus, and a round trip through an actor. */
#include "gpu.h"

#include <errno.h>
#include <inttypes.h>

enum { WARM_TRIPS = 10000, WARM_READS = 1000 };

/*
 * A read of eight bytes of GPU memory by the CPU: one request and one completion on the bus. Lines
 * and pages in turn, so that none is near by chance. Nothing crosses the bus twice in less; what
 * reading the clock takes is taken off, here only.
 */
int gpu_row_floor(struct gpu_bench *bench)
{
	const struct rk_region_info *info = rk_region_info(bench->region);
	const volatile char *memory = info->host_addr;
	uint64_t lines = info->bytes / RK_CACHE_LINE_BYTES, reads = bench->options.trips / 2 + 1;
	struct rk_hist *hist;

	if (!bench->mapped) {
		gpu_report_skipped(bench->report, "read of GPU memory by the CPU",
				   "no provider maps it");
		return 0;
	}
	if (rk_hist_open(&hist, 0))
		return -ENOMEM;
	gpu_report_heading(bench->report, "Floor, ns");
	gpu_pin(bench);
	for (uint64_t i = 0; i < reads + WARM_READS; i++) {
		uint64_t from = gpu_ticks_between(), ns;

		(void)*(const volatile uint64_t *)(memory + i * 67 % lines * RK_CACHE_LINE_BYTES);
		ns = gpu_ns(bench, gpu_ticks_between() - from);
		if (i >= WARM_READS)
			rk_hist_record(hist,
				       ns > bench->clock_cost_ns ? ns - bench->clock_cost_ns : 0);
	}
	bench->floor_p50_ns = (double)rk_hist_percentile(hist, 50);
	gpu_report_latency(bench->report, "read of 8 bytes through the bus (BAR1)", hist, NULL);
	rk_hist_close(hist);
	return 0;
}

static bool is_right(const struct rk_msg *msg, const struct rk_msg *answer)
{
	const bench_words *sent = (const bench_words *)msg->body;
	const bench_words *got = (const bench_words *)answer->body;

	if (answer->tag != msg->tag || answer->type != msg->type || answer->slots != 1)
		return false;
	for (int i = 0; i < BENCH_PAYLOAD_PAIRS; i++)
		for (int j = 0; j < 2; j++)
			if (got[i][j] != gpu_computed(sent[i][j], msg->tag))
				return false;
	return true;
}

/* A trip lasts from before the send until the answer is unpacked. */
static int measure(struct gpu_bench *bench, struct gpu_stage *stage, struct rk_hist *hist)
{
	uint64_t trips = bench->options.trips + WARM_TRIPS, before, ticks;
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1}, answer;

	for (uint64_t i = 0; i < trips; i++) {
		int result;

		msg.tag = (uint32_t)i;
		bench_fill(msg.body, i);
		before = bench_ticks();
		result = gpu_send(stage->to, &msg);
		if (!result)
			result = gpu_recv(stage->from, &answer);
		ticks = bench_ticks() - before;
		if (result)
			return result;
		if (!is_right(&msg, &answer))
			return rk_fail(EIO, "trip %" PRIu64 ": the answer is wrong", i);
		if (i >= WARM_TRIPS)
			rk_hist_record(hist, gpu_ns(bench, ticks));
	}
	return 0;
}

/* Round trips through gpu_compute, a warp; @p50_ns and @p99_ns out. */
static int round_trip(struct gpu_bench *bench, const char *name, const char *provider,
		      struct rk_hist *hist)
{
	const struct gpu_stage_opts opts = {.type = &gpu_compute,
					    .group = RK_GROUP_WARP,
					    .slots = GPU_TRIP_SLOTS,
					    .provider = provider,
					    .calibrate = true,
					    .answers = true};
	uint64_t trips = bench->options.trips + WARM_TRIPS;
	struct gpu_proof proof;
	struct gpu_stage stage;
	int result = gpu_stage_open(&stage, bench, &opts);

	if (result)
		return result;
	gpu_pin(bench);
	result = measure(bench, &stage, hist);
	gpu_unpin(bench);
	if (!result)
		result = gpu_prove(stage.actor, trips, trips, &proof);
	if (!result)
		gpu_report_latency(bench->report, name, hist, &proof);
	return gpu_runtime_close(stage.runtime, result);
}

int gpu_row_trip(struct gpu_bench *bench)
{
	struct rk_hist *hist;
	int result;

	if (rk_hist_open(&hist, 0))
		return -ENOMEM;
	gpu_report_heading(bench->report,
			   "Round trip, 48-byte body, every word computed and checked, ns");
	result = round_trip(bench, "actor of one warp, ring of 64 slots", NULL, hist);
	if (!result) {
		bench->trip_p50_ns = (double)rk_hist_percentile(hist, 50);
		gpu_report_bar(bench->report, "roundtrip_p99_vs_p50",
			       (double)rk_hist_percentile(hist, 99) / bench->trip_p50_ns);
		if (bench->floor_p50_ns > 0)
			gpu_report_bar(bench->report, "roundtrip_vs_bar1_read",
				       bench->trip_p50_ns / bench->floor_p50_ns);
		else
			gpu_report_skip_bar(bench->report, "roundtrip_vs_bar1_read");
	}
	rk_hist_close(hist);
	return result;
}

int gpu_pinned_trip(struct gpu_bench *bench)
{
	struct rk_hist *hist;
	int result;

	if (rk_hist_open(&hist, 0))
		return -ENOMEM;
	gpu_report_heading(bench->report, "Slots in host memory (provider pinned), ns");
	result = round_trip(bench, "actor of one warp, ring of 64 slots", "pinned", hist);
	if (!result)
		gpu_report_bar(bench->report, "pinned_roundtrip_us",
			       (double)rk_hist_percentile(hist, 50) / 1e3);
	rk_hist_close(hist);
	return result;
}
