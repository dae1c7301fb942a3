// SPDX-License-Identifier: MIT
/*
 * Messages a second into an actor, and through one and back. A burst lasts until the actor has
 * given the last slot back, which it does after its handler returned. Batches and rings of several
 * sizes; the best is reported with its own.
 */
#include "gpu.h"
#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAW_BATCH = 64, GOT_MOST = 1024, NAME_BYTES = 96 };

static const uint32_t batches[] = {64, 256, 1024};
static const uint64_t capacities[] = {16384, 65536};
enum {
	BATCHES = sizeof(batches) / sizeof(batches[0]),
	CAPACITIES = sizeof(capacities) / sizeof(capacities[0]),
};

struct flow {
	struct gpu_bench *bench;
	struct gpu_stage *stage;
	const struct rk_msg *block;
	struct rk_msg *got;
	uint64_t messages; /* of a burst */
	uint64_t total;	   /* sent in all bursts */
	uint32_t batch;
	int result;
};

/* The samples of one way to send. */
struct samples {
	double rate[GPU_REPEATS_MOST];
	uint32_t count;
	uint32_t batch;
	uint64_t capacity;
};

static double median(const struct samples *samples)
{
	double sorted[GPU_REPEATS_MOST];

	for (uint32_t i = 0; i < samples->count; i++) {
		uint32_t at = i;

		for (; at && sorted[at - 1] > samples->rate[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = samples->rate[i];
	}
	return samples->count ? (sorted[(samples->count - 1) / 2] + sorted[samples->count / 2]) / 2
			      : 0;
}

static double rate_of(uint64_t messages, uint64_t from_ns)
{
	return (double)messages * 1e3 / (double)(now_ns() - from_ns);
}

/* The next messages of the block, at most @most. Return: sent, or -errno, said. */
static int send_some(struct flow *flow, uint64_t sent, uint64_t most)
{
	uint32_t at = (uint32_t)(sent % GPU_BLOCK), count = flow->batch;
	int result;

	if (count > GPU_BLOCK - at)
		count = GPU_BLOCK - at;
	if (count > most)
		count = (uint32_t)most;
	result = rk_ring_send_batch(flow->stage->to, flow->block + at, count);
	return result < 0 ? rk_fail(-result, "send: %s", strerror(-result)) : result;
}

/* --- Raw stores: the same codec, the same cells, no ring --- */

static double raw_rate(struct gpu_bench *bench, const struct rk_msg *block, uint64_t messages)
{
	const struct rk_region_info *info = rk_region_info(bench->region);
	const struct rk_codec *codec = rk_codec_far();
	struct rk_slot *slots = info->host_addr;
	uint64_t capacity = capacities[0], from_ns = now_ns();

	for (uint64_t i = 0; i < messages; i += RAW_BATCH)
		codec->pack(slots + i % capacity,
			    rk_slot_tag(i, (uint32_t)__builtin_ctzll(capacity)),
			    block + i % GPU_BLOCK, RAW_BATCH);
	rk_codec_flush();
	return rate_of(messages, from_ns);
}

/* --- In --- */

static int burst_in(struct flow *flow, double *rate)
{
	uint64_t capacity = 1ull << flow->stage->to->capacity_log2, from_ns = now_ns(), sent = 0;
	struct gpu_patience patience = {.misses = 0};

	while (sent < flow->messages) {
		int count = send_some(flow, flow->total + sent, flow->messages - sent);

		if (count < 0 ||
		    (!count && (count = gpu_send_nothing(flow->stage->to, 0, &patience))))
			return count;
		sent += (uint64_t)count;
		if (count)
			gpu_came(&patience);
	}
	while (rk_ring_tx_free(flow->stage->to) != capacity) {
		int result = gpu_send_nothing(flow->stage->to, 0, &patience);

		if (result)
			return result;
	}
	*rate = rate_of(sent, from_ns);
	flow->total += sent;
	return 0;
}

/* The sum of all words of the first @messages of the block, sent over and over. */
static uint64_t sum_of(const struct rk_msg *block, uint64_t messages)
{
	uint64_t sum = 0, words[BENCH_PAYLOAD_WORDS];

	for (uint32_t i = 0; i < GPU_BLOCK; i++) {
		uint64_t times = messages / GPU_BLOCK + (i < messages % GPU_BLOCK);

		memcpy(words, block[i].body, sizeof(words));
		for (uint32_t j = 0; j < BENCH_PAYLOAD_WORDS; j++)
			sum += times * words[j];
	}
	return sum;
}

static int check_sum(const struct flow *flow)
{
	uint64_t right = sum_of(flow->block, flow->total);
	uint64_t sum = gpu_summed(rk_actor_state(flow->stage->actor));

	if (sum == right)
		return 0;
	return rk_fail(EIO, "the GPU's sum of all payloads is %#" PRIx64 ": %#" PRIx64 " is right",
		       sum, right);
}

static void keep_best(struct samples *best, const struct samples *samples)
{
	if (median(samples) > median(best))
		*best = *samples;
}

/* All batches through a ring of one capacity; raw stores in between, unless @raw is NULL. */
static int bursts_in(struct flow *flow, uint64_t capacity, struct samples *best,
		     struct samples *raw, struct gpu_proof *proof)
{
	uint32_t repeats = flow->bench->options.repeats;
	int result = 0;

	for (uint32_t i = 0; i < BATCHES && !result; i++) {
		struct samples samples = {.batch = batches[i], .capacity = capacity};
		double rate = 0;

		flow->batch = batches[i];
		result = burst_in(flow, &rate); /* the first warms up */
		while (samples.count < repeats && !result) {
			if (raw && raw->count < GPU_REPEATS_MOST)
				raw->rate[raw->count++] =
					raw_rate(flow->bench, flow->block, flow->messages);
			result = burst_in(flow, &samples.rate[samples.count]);
			samples.count += !result;
		}
		if (!result)
			keep_best(best, &samples);
	}
	if (!result)
		result = gpu_prove(flow->stage->actor, flow->total, 0, proof);
	return result ? result : check_sum(flow);
}

/* Rings of all capacities; @proof adds up what the GPU counted in all of them. */
static int all_in(struct gpu_bench *bench, const char *provider, struct samples *best,
		  struct samples *raw, struct gpu_proof *proof)
{
	struct rk_msg *block = gpu_block_new();
	int result = block ? 0 : -ENOMEM;

	*proof = (struct gpu_proof){0};
	for (uint32_t i = 0; i < CAPACITIES && !result; i++) {
		const struct gpu_stage_opts opts = {.type = &gpu_sum,
						    .group = RK_GROUP_BLOCK,
						    .slots = capacities[i],
						    .provider = provider};
		struct gpu_proof one = {0};
		struct gpu_stage stage;
		struct flow flow = {.bench = bench,
				    .stage = &stage,
				    .block = block,
				    .messages = bench->options.messages / (provider ? 4 : 1)};

		result = gpu_stage_open(&stage, bench, &opts);
		if (result)
			break;
		gpu_pin(bench);
		result = bursts_in(&flow, capacities[i], best, raw, &one);
		gpu_unpin(bench);
		result = gpu_runtime_close(stage.runtime, result);
		proof->received += one.received;
		proof->counted += one.counted;
	}
	free(block);
	return result;
}

int gpu_row_in(struct gpu_bench *bench)
{
	struct samples best = {.count = 0}, raw = {.count = 0};
	struct gpu_proof proof;
	char name[NAME_BYTES];
	double in, stores;
	int result = all_in(bench, NULL, &best, bench->mapped ? &raw : NULL, &proof);

	if (result)
		return result;
	gpu_report_title(bench->report,
			 "Host to GPU, one producer, actor of one block that sums all words");
	snprintf(name, sizeof(name), "in, %u messages a call, %" PRIu64 " slots", best.batch,
		 best.capacity);
	in = gpu_report_rate(bench->report, name, best.rate, best.count, &proof);
	gpu_report_bar(bench->report, "in_million_per_s", in);
	if (!bench->mapped) {
		gpu_report_skip_bar(bench->report, "in_vs_raw_stores");
		return 0;
	}
	snprintf(name, sizeof(name), "raw stores of the same, %d a call", RAW_BATCH);
	stores = gpu_report_rate(bench->report, name, raw.rate, raw.count, NULL);
	gpu_report_bar(bench->report, "in_vs_raw_stores", in / stores);
	return 0;
}

/* --- Through and back --- */

/* True where @count messages from the burst's @received on are not those that were sent. */
static bool is_wrong(const struct flow *flow, uint64_t received, uint32_t count)
{
	uint32_t at = (uint32_t)(received % GPU_BLOCK), first = GPU_BLOCK - at;

	if (first > count)
		first = count;
	return memcmp(flow->got, flow->block + at, first * sizeof(*flow->got)) ||
	       memcmp(flow->got + first, flow->block, (count - first) * sizeof(*flow->got));
}

/* What has come, checked. Return: messages, or -errno, said. */
static int receive_some(struct flow *flow, uint64_t received)
{
	int count = rk_ring_recv_batch(flow->stage->from, flow->got, GOT_MOST);

	if (count < 0)
		return rk_fail(-count, "receive: %s", strerror(-count));
	if (count && is_wrong(flow, received, (uint32_t)count))
		return rk_fail(EIO,
			       "message %" PRIu64 " or one of %d after it came back wrong or out "
			       "of order",
			       received, count);
	return count;
}

/* One thread sends and receives in turn. */
static int burst_alone(struct flow *flow, double *rate)
{
	uint64_t from_ns = now_ns(), sent = 0, received = 0;
	struct gpu_patience patience = {.misses = 0};

	while (received < flow->messages) {
		int in = 0, out;

		if (sent < flow->messages)
			in = send_some(flow, flow->total + sent, flow->messages - sent);
		if (in < 0)
			return in;
		out = receive_some(flow, flow->total + received);
		if (out < 0)
			return out;
		if (in || out)
			gpu_came(&patience);
		else if ((in = gpu_send_nothing(flow->stage->to, 0, &patience)))
			return in;
		sent += (uint64_t)in;
		received += (uint64_t)out;
	}
	*rate = rate_of(received, from_ns);
	flow->total += received;
	return 0;
}

static void *produce(void *argument)
{
	struct flow *flow = argument;
	struct gpu_patience patience = {.misses = 0};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(flow->bench->other_cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (uint64_t sent = 0; sent < flow->messages && !flow->result;) {
		int count = send_some(flow, flow->total + sent, flow->messages - sent);

		if (!count)
			count = gpu_send_nothing(flow->stage->to, 0, &patience);
		else
			gpu_came(&patience);
		if (count < 0)
			flow->result = count;
		else
			sent += (uint64_t)count;
	}
	return NULL;
}

/* One thread sends, this one receives. */
static int burst_two(struct flow *flow, double *rate)
{
	uint64_t from_ns = now_ns(), received = 0;
	struct gpu_patience patience = {.misses = 0};
	pthread_t thread;
	int count = 0, result = pthread_create(&thread, NULL, produce, flow);

	if (result)
		return rk_fail(result, "a second thread: %s", strerror(result));
	while (received < flow->messages && count >= 0) {
		count = receive_some(flow, flow->total + received);
		if (count > 0) {
			received += (uint64_t)count;
			gpu_came(&patience);
		} else if (!count) {
			count = gpu_still_waiting(&patience, "messages");
		}
	}
	*rate = rate_of(received, from_ns);
	pthread_join(thread, NULL);
	flow->total += received;
	return count < 0 ? count : flow->result;
}

/* Bursts through one echo; the median of what is best so far is kept. */
static int bursts_through(struct flow *flow, int (*burst)(struct flow *flow, double *rate),
			  uint64_t capacity, struct samples *best)
{
	int result = 0;

	for (uint32_t i = 0; i < BATCHES && !result; i++) {
		struct samples samples = {.batch = batches[i], .capacity = capacity};
		double rate = 0;

		flow->batch = batches[i];
		result = burst(flow, &rate);
		while (samples.count < flow->bench->options.repeats && !result) {
			result = burst(flow, &samples.rate[samples.count]);
			samples.count += !result;
		}
		if (!result)
			keep_best(best, &samples);
	}
	return result;
}

static int echo_through(struct gpu_bench *bench, const struct rk_msg *block, uint64_t capacity,
			struct samples best[2], struct gpu_proof *proof)
{
	const struct gpu_stage_opts opts = {.type = rk_actor_type_find("echo"),
					    .group = RK_GROUP_BLOCK,
					    .slots = capacity,
					    .answers = true};
	struct gpu_proof one = {0};
	struct gpu_stage stage;
	struct flow flow = {.bench = bench,
			    .stage = &stage,
			    .block = block,
			    .got = calloc(GOT_MOST, sizeof(*flow.got)),
			    .messages = bench->options.messages / 2};
	int result = flow.got ? gpu_stage_open(&stage, bench, &opts) : rk_fail(ENOMEM, "no memory");

	if (!result) {
		gpu_pin(bench);
		result = bursts_through(&flow, burst_alone, capacity, &best[0]);
		if (!result && bench->other_cpu != bench->cpu)
			result = bursts_through(&flow, burst_two, capacity, &best[1]);
		gpu_unpin(bench);
		if (!result)
			result = gpu_prove(stage.actor, flow.total, flow.total, &one);
		result = gpu_runtime_close(stage.runtime, result);
	}
	proof->received += one.received;
	proof->sent += one.sent;
	proof->counted += one.counted;
	free(flow.got);
	return result;
}

int gpu_row_echo(struct gpu_bench *bench)
{
	static const char *const names[] = {"one thread in and out", "one thread in, one out"};
	struct samples best[2] = {{.count = 0}, {.count = 0}};
	struct rk_msg *block = gpu_block_new();
	struct gpu_proof proof = {0};
	int result = block ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < CAPACITIES && !result; i++)
		result = echo_through(bench, block, capacities[i], best, &proof);
	free(block);
	if (result)
		return result;
	gpu_report_title(bench->report,
			 "Echo by an actor of one block, every byte checked, in order");
	for (int i = 0; i < 2; i++) {
		char name[NAME_BYTES];
		double rate;

		if (!best[i].count)
			continue;
		snprintf(name, sizeof(name), "%s, %u a call, %" PRIu64 " slots", names[i],
			 best[i].batch, best[i].capacity);
		rate = gpu_report_rate(bench->report, name, best[i].rate, best[i].count,
				       i ? NULL : &proof);
		if (!i)
			gpu_report_bar(bench->report, "echo_million_per_s", rate);
	}
	return 0;
}

/* --- With slots in host memory --- */

int gpu_row_pinned(struct gpu_bench *bench)
{
	struct samples best = {.count = 0};
	struct gpu_proof proof;
	char name[NAME_BYTES];
	int result = gpu_pinned_trip(bench);

	if (!result)
		result = all_in(bench, "pinned", &best, NULL, &proof);
	if (result)
		return result;
	snprintf(name, sizeof(name), "in, %u messages a call, %" PRIu64 " slots", best.batch,
		 best.capacity);
	gpu_report_bar(bench->report, "pinned_in_million_per_s",
		       gpu_report_rate(bench->report, name, best.rate, best.count, &proof));
	return 0;
}
