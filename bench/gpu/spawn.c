// SPDX-License-Identifier: MIT
/*
 * Spawning an actor into a kernel that runs, until it answers its first message: the host's whole
 * call, memory and links included; and from when the messages that spawn it are sent.
 */
#include "gpu.h"

#include <errno.h>
#include <inttypes.h>

/* What an actor leaves is freed with its runtime: so many a runtime. */
enum { SPAWNS_A_RUNTIME = 200, WARM_SPAWNS = 10 };

struct times {
	struct rk_hist *call;	 /* rk_actor_spawn() to the answer */
	struct rk_hist *spawned; /* its return to the answer */
	struct rk_hist *linked;	 /* the second link's return to the answer */
	struct rk_hist *stop;	 /* rk_actor_stop() */
};

static int spawn_once(struct gpu_bench *bench, struct rk_runtime *runtime, uint64_t number,
		      struct times *times, struct gpu_proof *proof)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts),
					   .worker = RK_ANY_WORKER,
					   .backend = RK_BACKEND_CUDA,
					   .gpu = bench->options.gpu};
	const struct rk_link_opts link_opts = {
		.size = sizeof(link_opts), .slots = GPU_TRIP_SLOTS, .worker = RK_ANY_WORKER};
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .tag = (uint32_t)number}, answer;
	uint64_t before = bench_ticks(), spawned, linked, answered;
	struct gpu_proof one = {0};
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct rk_actor *actor;
	int result = rk_actor_spawn(&actor, runtime, rk_actor_type_find("echo"), &opts);

	spawned = bench_ticks();
	if (!result)
		result = rk_link_host_out(&from, actor, &link_opts);
	if (!result)
		result = rk_link_host_in(&to, actor, &link_opts);
	linked = bench_ticks();
	if (!result)
		result = gpu_send(to, &msg);
	if (!result)
		result = gpu_recv(from, &answer);
	answered = bench_ticks();
	if (!result && answer.tag != msg.tag)
		result = rk_fail(EIO, "actor %" PRIu64 " answered wrong", number);
	if (!result)
		result = gpu_prove(actor, 1, 1, &one);
	if (result || number < WARM_SPAWNS)
		return result;
	rk_hist_record(times->stop, gpu_ns(bench, bench_ticks() - answered));
	rk_hist_record(times->call, gpu_ns(bench, answered - before));
	rk_hist_record(times->spawned, gpu_ns(bench, answered - spawned));
	rk_hist_record(times->linked, gpu_ns(bench, answered - linked));
	proof->received += one.received;
	proof->sent += one.sent;
	proof->counted += one.counted;
	return 0;
}

/* A neighbour keeps the kernel running, as in a program that spawns into one. */
static int spawn_some(struct gpu_bench *bench, uint64_t count, struct times *times,
		      struct gpu_proof *proof)
{
	const struct gpu_stage_opts opts = {.type = rk_actor_type_find("echo"),
					    .group = RK_GROUP_WARP,
					    .slots = GPU_TRIP_SLOTS,
					    .answers = true};
	struct gpu_stage stage;
	int result = gpu_stage_open(&stage, bench, &opts);

	if (result)
		return result;
	gpu_pin(bench);
	for (uint64_t i = 0; i < count + WARM_SPAWNS && !result; i++)
		result = spawn_once(bench, stage.runtime, i, times, proof);
	gpu_unpin(bench);
	return gpu_runtime_close(stage.runtime, result);
}

static void report(struct gpu_bench *bench, const struct times *times,
		   const struct gpu_proof *proof)
{
	gpu_report_heading(bench->report, "Spawn into a running kernel, one message answered, ns");
	gpu_report_latency(bench->report, "from the spawn's being sent, with two links",
			   times->spawned, proof);
	gpu_report_latency(bench->report, "from the links' being sent", times->linked, NULL);
	gpu_report_latency(bench->report, "all the host's calls, with the actor's memory",
			   times->call, NULL);
	gpu_report_latency(bench->report, "to stop it, drained, and read its state", times->stop,
			   NULL);
	gpu_report_bar(bench->report, "spawn_to_answer_us",
		       (double)rk_hist_percentile(times->spawned, 50) / 1e3);
}

int gpu_row_spawn(struct gpu_bench *bench)
{
	struct times times = {NULL, NULL, NULL, NULL};
	struct gpu_proof proof = {0};
	uint64_t left = bench->options.spawns;
	int result = rk_hist_open(&times.call, 0);

	if (!result)
		result = rk_hist_open(&times.spawned, 0);
	if (!result)
		result = rk_hist_open(&times.linked, 0);
	if (!result)
		result = rk_hist_open(&times.stop, 0);
	while (left && !result) {
		uint64_t count = left < SPAWNS_A_RUNTIME ? left : SPAWNS_A_RUNTIME;

		result = spawn_some(bench, count, &times, &proof);
		left -= count;
	}
	if (!result)
		report(bench, &times, &proof);
	rk_hist_close(times.call);
	rk_hist_close(times.spawned);
	rk_hist_close(times.linked);
	rk_hist_close(times.stop);
	return result;
}
