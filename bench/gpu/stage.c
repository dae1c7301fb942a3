// SPDX-License-Identifier: MIT
/* What every row stands on: a runtime, an actor on the GPU, pinned threads, waits that end. */
#include "gpu.h"
#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_NS	    2000000000ULL
#define CLOCK_EVERY 256 /* misses between two looks at the time */

void gpu_pin(const struct gpu_bench *bench)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(bench->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

void gpu_unpin(const struct gpu_bench *bench)
{
	sched_setaffinity(0, sizeof(bench->elsewhere), &bench->elsewhere);
}

int gpu_still_waiting(struct gpu_patience *patience, const char *for_what)
{
	rk_spin_miss(&patience->spin);
	if (++patience->misses % CLOCK_EVERY)
		return 0;
	if (!patience->end_ns)
		patience->end_ns = now_ns() + GPU_WAIT_NS;
	if (now_ns() < patience->end_ns)
		return 0;
	return rk_fail(ETIMEDOUT, "no %s from the GPU in %llu s", for_what,
		       GPU_WAIT_NS / 1000000000ULL);
}

int gpu_recv_nothing(const struct rk_ring_rx *from, int got, struct gpu_patience *patience)
{
	if (got < 0)
		return rk_fail(-got, "an answer of many cells");
	if (from->closed)
		return rk_fail(EPIPE, "the actor closed its outbox, reason %" PRIu64, from->closed);
	return gpu_still_waiting(patience, "answer");
}

int gpu_send_nothing(const struct rk_ring_tx *to, int sent, struct gpu_patience *patience)
{
	if (sent < 0)
		return rk_fail(-sent, "send: %s", strerror(-sent));
	if (to->closed)
		return rk_fail(EPIPE, "the actor takes nothing more, reason %" PRIu64, to->closed);
	return gpu_still_waiting(patience, "credit");
}

int gpu_runtime_open(struct rk_runtime **runtime, const struct gpu_bench *bench,
		     const char *provider, bool calibrate)
{
	const int cpus[] = {bench->other_cpu};
	const struct rk_runtime_opts opts = {.size = sizeof(opts),
					     .workers = 1,
					     .cpus = cpus,
					     .gpu_provider = provider,
					     .gpu_calibrate = calibrate};

	gpu_unpin(bench);
	return rk_runtime_open(runtime, &opts);
}

int gpu_runtime_close(struct rk_runtime *runtime, int result)
{
	char why[512];
	int closed;

	snprintf(why, sizeof(why), "%s", result ? rk_errmsg() : "");
	closed = rk_runtime_close(runtime);
	return result ? rk_fail(-result, "%s", why) : closed;
}

int gpu_stage_open(struct gpu_stage *stage, const struct gpu_bench *bench,
		   const struct gpu_stage_opts *opts)
{
	const struct rk_actor_opts actor_opts = {.size = sizeof(actor_opts),
						 .worker = RK_ANY_WORKER,
						 .backend = RK_BACKEND_CUDA,
						 .gpu = bench->options.gpu,
						 .group = opts->group};
	const struct rk_link_opts link_opts = {.size = sizeof(link_opts),
					       .slots = opts->slots,
					       .place = opts->place,
					       .worker = RK_ANY_WORKER};
	int result;

	*stage = (struct gpu_stage){.runtime = NULL};
	result = gpu_runtime_open(&stage->runtime, bench, opts->provider, opts->calibrate);
	if (result)
		return result;
	result = rk_actor_spawn(&stage->actor, stage->runtime, opts->type, &actor_opts);
	if (!result && opts->answers)
		result = rk_link_host_out(&stage->from, stage->actor, &link_opts);
	if (!result)
		result = rk_link_host_in(&stage->to, stage->actor, &link_opts);
	if (result)
		return gpu_runtime_close(stage->runtime, result);
	gpu_report_once(bench->report, rk_runtime_note(stage->runtime));
	return 0;
}

int gpu_prove(struct rk_actor *actor, uint64_t received, uint64_t sent, struct gpu_proof *proof)
{
	const uint64_t *state;
	struct rk_actor_info info;
	int result = rk_actor_stop(actor, RK_STOP_DRAIN, STOP_NS);

	if (result)
		return result;
	rk_actor_info(actor, &info);
	state = rk_actor_state(actor);
	if (!state)
		return rk_fail(EIO, "actor '%s': its state cannot be read", info.name);
	/* The first word of each of our states. */
	*proof = (struct gpu_proof){info.received, info.sent, state[0]};
	if (info.received == received && info.sent == sent && state[0] == received)
		return 0;
	return rk_fail(EIO,
		       "actor '%s': the GPU counted %" PRIu64 " received, %" PRIu64
		       " sent, its handler %" PRIu64 ": %" PRIu64 ", %" PRIu64 " and %" PRIu64
		       " are right",
		       info.name, info.received, info.sent, state[0], received, sent, received);
}

struct rk_msg *gpu_block_new(void)
{
	struct rk_msg *block = aligned_alloc(
		RK_PAGE_BYTES,
		GPU_BLOCK * sizeof(*block) / RK_PAGE_BYTES * RK_PAGE_BYTES + RK_PAGE_BYTES);

	if (!block) {
		rk_fail(ENOMEM, "no memory for %d messages", GPU_BLOCK);
		return NULL;
	}
	for (uint32_t i = 0; i < GPU_BLOCK; i++) {
		block[i] = (struct rk_msg){.type = RK_MSG_USER, .slots = 1, .tag = i};
		bench_fill(block[i].body, i);
	}
	return block;
}
