// SPDX-License-Identifier: MIT
/*
 * One way from actor to actor, through a chain of them: the host sends one message in and awaits it
 * at the end; what it takes longer than through a single actor is the hops' (an actor of a chain
 * has one inbox, as most have). Chain and single actor are measured in turn, so that what drifts
 * drifts for both.
 */
#include "gpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	CHAIN = 9, /* actors: odd, so that both ends are on the first's GPU */
	HOPS = CHAIN - 1,
	WARM_TRIPS = 2000,
	CHAIN_TRIPS = 100000,
	SLOW_TRIPS = 20000, /* across a bus */
	CHAIN_SLOTS = 64,
};

/* Where the second actor is, and all others in turn; and what the rings between them lie in. */
struct way {
	const char *name;
	const char *bar;
	enum rk_where where;
	enum rk_ring_place place;
	int gpu[2];
	uint64_t trips;
};

struct chain {
	struct rk_actor *actor[CHAIN];
	int length;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	uint64_t messages;
};

/* All of one parity sit in one block: that of the first, or of the second. */
static int spawn_one(struct chain *chain, struct rk_runtime *runtime, const struct way *way,
		     int index)
{
	const bool apart = way->gpu[0] != way->gpu[1];
	const struct rk_actor_opts opts = {
		.size = sizeof(opts),
		.worker = RK_ANY_WORKER,
		.backend = RK_BACKEND_CUDA,
		.gpu = way->gpu[index % 2],
		.where = index == 1  ? way->where
			 : index > 1 ? RK_WHERE_BLOCK
				     : RK_WHERE_ANY,
		.other = index == 1  ? (apart ? NULL : chain->actor[0])
			 : index > 1 ? chain->actor[index % 2]
				     : NULL,
	};

	return rk_actor_spawn(&chain->actor[index], runtime, rk_actor_type_find("echo"), &opts);
}

static int open_chain(struct chain *chain, struct rk_runtime *runtime, const struct way *way,
		      int length)
{
	const struct rk_link_opts between = {.size = sizeof(between),
					     .slots = CHAIN_SLOTS,
					     .worker = RK_ANY_WORKER,
					     .place = way->place};
	const struct rk_link_opts host = {
		.size = sizeof(host), .slots = CHAIN_SLOTS, .worker = RK_ANY_WORKER};
	int result = 0;

	*chain = (struct chain){.length = length};
	for (int i = 0; i < length && !result; i++)
		result = spawn_one(chain, runtime, way, i);
	for (int i = 0; i + 1 < length && !result; i++)
		result = rk_link_actors(NULL, chain->actor[i], chain->actor[i + 1], &between);
	if (!result)
		result = rk_link_host_out(&chain->from, chain->actor[length - 1], &host);
	if (!result)
		result = rk_link_host_in(&chain->to, chain->actor[0], &host);
	return result;
}

/* One message through all of a chain; its time. */
static int pass(struct chain *chain, uint64_t *ticks)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .tag = (uint32_t)chain->messages};
	uint64_t before;
	struct rk_msg answer;
	int result;

	bench_fill(msg.body, chain->messages);
	before = bench_ticks();
	result = gpu_send(chain->to, &msg);
	if (!result)
		result = gpu_recv(chain->from, &answer);
	*ticks = bench_ticks() - before;
	chain->messages++;
	if (!result && memcmp(&msg, &answer, sizeof(msg)))
		result = rk_fail(EIO, "message %u came back wrong", msg.tag);
	return result;
}

/* Both in turn; then each passage of the chain against the single actor's median. */
static int measure(struct gpu_bench *bench, struct chain *single, struct chain *chain,
		   uint64_t trips, struct rk_hist *single_hist, struct rk_hist *chain_hist)
{
	uint64_t ticks;
	int result = 0;

	for (uint64_t i = 0; i < trips + WARM_TRIPS && !result; i++) {
		result = pass(single, &ticks);
		if (i >= WARM_TRIPS)
			rk_hist_record(single_hist, gpu_ns(bench, ticks));
		if (!result)
			result = pass(chain, &ticks);
		if (i >= WARM_TRIPS)
			rk_hist_record(chain_hist, gpu_ns(bench, ticks));
	}
	return result;
}

/* A chain's times less the single actor's median, a hop. */
static void take_off(const struct rk_hist *chain, uint64_t single_ns, struct rk_hist *hops)
{
	for (uint32_t i = 0; i < chain->length; i++) {
		uint64_t ns = rk_hist_index_lowest(i), samples = chain->counts[i];

		if (samples)
			rk_hist_record_n(hops, ns > single_ns ? (ns - single_ns) / HOPS : 0,
					 samples);
	}
}

static int prove(struct chain *chain, struct gpu_proof *proof)
{
	int result = 0;

	for (int i = 0; i < chain->length && !result; i++) {
		struct gpu_proof one = {0};

		result = gpu_prove(chain->actor[i], chain->messages, chain->messages, &one);
		proof->received += one.received;
		proof->sent += one.sent;
		proof->counted += one.counted;
	}
	return result;
}

static int measure_way(struct gpu_bench *bench, struct rk_runtime *runtime, const struct way *way,
		       struct rk_hist *hist[3], struct gpu_proof *proof)
{
	struct chain single, chain;
	struct gpu_proof unused = {0};
	int result = open_chain(&chain, runtime, way, CHAIN);

	if (!result)
		result = open_chain(&single, runtime, way, 1);
	if (result)
		return result;
	gpu_pin(bench);
	result = measure(bench, &single, &chain, way->trips, hist[0], hist[1]);
	gpu_unpin(bench);
	if (!result)
		result = prove(&single, &unused);
	if (!result)
		result = prove(&chain, proof);
	take_off(hist[1], rk_hist_percentile(hist[0], 50), hist[2]);
	return result;
}

/* A sample is the mean of the hops of one passage, with the jitter of the way in and out. */
static int one_way(struct gpu_bench *bench, const struct way *way, double *p50_ns)
{
	struct rk_hist *hist[3] = {NULL, NULL, NULL}; /* single, chain, a hop */
	struct gpu_proof proof = {0};
	struct rk_runtime *runtime;
	int result = 0;

	for (int i = 0; i < 3 && !result; i++)
		result = rk_hist_open(&hist[i], 0);
	if (!result)
		result = gpu_runtime_open(&runtime, bench, NULL, true);
	if (!result) {
		result = measure_way(bench, runtime, way, hist, &proof);
		if (!result)
			gpu_report_latency(bench->report, way->name, hist[2], &proof);
		result = gpu_runtime_close(runtime, result);
	}
	if (!result)
		gpu_report_note(
			bench->report, "  of %" PRIu64 " ns through %d and %" PRIu64 " through one",
			rk_hist_percentile(hist[1], 50), CHAIN, rk_hist_percentile(hist[0], 50));
	*p50_ns = hist[2] ? (double)rk_hist_percentile(hist[2], 50) : 0;
	for (int i = 0; i < 3; i++)
		rk_hist_close(hist[i]);
	return result;
}

static void head(struct gpu_bench *bench, const char *which)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "%s, one way, 48-byte body, rings of %d slots, ns a hop: the mean of %d", which,
		 CHAIN_SLOTS, HOPS);
	gpu_report_heading(bench->report, text);
}

int gpu_row_actors(struct gpu_bench *bench)
{
	int gpu = bench->options.gpu, major = 0;
	const struct way ways[] = {
		{"same block: shared memory",
		 "one_way_block_ns",
		 RK_WHERE_BLOCK,
		 RK_PLACE_BLOCK,
		 {gpu, gpu},
		 CHAIN_TRIPS},
		{"same cluster: shared memory of the consumer's block",
		 "one_way_cluster_ns",
		 RK_WHERE_CLUSTER,
		 RK_PLACE_CLUSTER,
		 {gpu, gpu},
		 CHAIN_TRIPS},
		{"same GPU: its memory",
		 "one_way_gpu_ns",
		 RK_WHERE_APART,
		 RK_PLACE_GPU,
		 {gpu, gpu},
		 CHAIN_TRIPS},
		{"same GPU: memory of the host",
		 "",
		 RK_WHERE_APART,
		 RK_PLACE_HOST,
		 {gpu, gpu},
		 SLOW_TRIPS},
	};
	struct rk_cuda_gpu found;

	if (!rk_cuda_gpu_find(&found, gpu))
		major = rk_cuda_gpu_attribute(&found, RK_CUDA_ATTR_COMPUTE_MAJOR);
	head(bench, "Actor to actor");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		double p50_ns = 0;
		int failed;

		if (ways[i].where == RK_WHERE_CLUSTER && major < 9) {
			gpu_report_skipped(bench->report, ways[i].name,
					   "clusters need compute capability 9.0");
			gpu_report_skip_bar(bench->report, ways[i].bar);
			continue;
		}
		failed = one_way(bench, &ways[i], &p50_ns);
		if (failed)
			gpu_report_failed(bench->report, ways[i].name);
		else
			gpu_report_bar(bench->report, ways[i].bar, p50_ns);
	}
	return 0;
}

/* --- Two GPUs --- */

int gpu_row_peers(struct gpu_bench *bench)
{
	static const char name[] = "actor to actor on two GPUs", bar[] = "one_way_peer_vs_flag";
	int gpu = bench->options.gpu, peer = gpu ? 0 : 1, can[2] = {0, 0}, result;
	const struct way way = {name, bar, RK_WHERE_ANY, RK_PLACE_GPU, {gpu, peer}, CHAIN_TRIPS};
	double flag_ns, one_way_ns;

	if (bench->cuda->devices > 1) {
		bench->cuda->device_can_access_peer(&can[0], gpu, peer);
		bench->cuda->device_can_access_peer(&can[1], peer, gpu);
	}
	if (!can[0] || !can[1]) {
		gpu_report_skipped(bench->report, name,
				   bench->cuda->devices < 2
					   ? "this process sees one GPU"
					   : "the two do not reach each other's memory");
		gpu_report_skip_bar(bench->report, bar);
		return 0;
	}
	head(bench, "Two GPUs");
	result = gpu_raw_flag(bench, way.gpu, &flag_ns);
	if (!result)
		result = one_way(bench, &way, &one_way_ns);
	if (!result)
		gpu_report_bar(bench->report, bar, one_way_ns / flag_ns);
	return result;
}
