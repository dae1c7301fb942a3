// SPDX-License-Identifier: MIT
/* Medians, the best peers, and the bars. */
#include "results.h"
#include "ring/rk_ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
#include <unistd.h>

enum { SAMPLES_LEAST = 3, ALONE_MESSAGES = 100000, ALONE_CAPACITY = 1024 };

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct bench_spread bench_spread_of(const struct bench_sample *samples, uint32_t count,
				    enum duo_class seen)
{
	struct bench_spread spread = {0};
	double *sorted = malloc(count * sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < count; i++)
		if (samples[i].seen == seen && samples[i].value > 0)
			sorted[spread.count++] = samples[i].value;
	if (spread.count) {
		qsort(sorted, spread.count, sizeof(*sorted), compare);
		spread.low = sorted[spread.count / 4];
		spread.median = (sorted[(spread.count - 1) / 2] + sorted[spread.count / 2]) / 2;
		spread.high = sorted[(spread.count * 3 - 1) / 4];
	}
	free(sorted);
	return spread;
}

double bench_middle_mean(const struct rk_hist *hist)
{
	uint64_t count = rk_hist_count(hist), from = count / 10, to = count - from, before = 0;
	double sum = 0;

	if (!count)
		return 0;
	for (uint32_t i = 0; i < hist->length; i++) {
		uint64_t after = before + hist->counts[i];
		uint64_t low = before > from ? before : from, high = after < to ? after : to;

		if (high > low)
			sum += (double)(high - low) * (double)rk_hist_index_lowest(i);
		before = after;
	}
	return sum / (double)(to - from);
}

static double rate_of(const struct bench_results *results, const struct bench_row *row,
		      enum duo_class seen)
{
	struct bench_spread spread = bench_spread_of(row->rate[0], results->options.rounds, seen);

	return spread.count >= SAMPLES_LEAST ? spread.median : 0;
}

static double rate_named(const struct bench_results *results,
			 const struct bench_candidate *candidate, enum duo_class seen)
{
	for (uint32_t i = 0; i < results->count; i++)
		if (results->rows[i].candidate == candidate)
			return rate_of(results, &results->rows[i], seen);
	return 0;
}

/* The fastest peer, with whichever of the waits up to @last suits it best. */
static double best_rate(const struct bench_results *results, enum bench_kind most,
			enum bench_wait last, enum duo_class seen, const char **name)
{
	double best = 0;

	for (uint32_t i = 0; i < results->count; i++) {
		const struct bench_row *row = &results->rows[i];
		double rate =
			row->candidate->ours || row->candidate->kind > most || row->wait > last
				? 0
				: rate_of(results, row, seen);

		if (rate > best) {
			best = rate;
			*name = row->candidate->name;
		}
	}
	return best;
}

static double best_trip(const struct bench_results *results, bool ours, enum bench_wait last,
			enum duo_class seen, const char **name)
{
	double best = 0;

	for (uint32_t i = 0; i < results->count; i++) {
		const struct bench_row *row = &results->rows[i];
		double p50;

		if (row->candidate->ours != ours || row->wait > last ||
		    !rk_hist_count(row->trip[seen]) ||
		    (ours && row->candidate != &bench_ours_single))
			continue;
		p50 = (double)rk_hist_percentile(row->trip[seen], 50);
		if (!best || p50 < best) {
			best = p50;
			*name = row->candidate->name;
		}
	}
	return best;
}

/*
 * 0 if messages pass without a system call, else 1: in a child that the kernel kills at its first
 * one (all but read, write and exit).
 */
static int system_calls(const struct bench_candidate *candidate)
{
	void *ring;
	int status;
	pid_t child;

	if (candidate->open(&ring, ALONE_CAPACITY))
		return 1;
	child = fork();
	if (child == 0) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(1);
		syscall(SYS_exit, candidate->alone(ring, ALONE_MESSAGES));
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	candidate->close(ring);
	return status != 0;
}

static void add_bar(struct bench_verdict *verdict, const char *name, double value, char relation,
		    double goal)
{
	verdict->bars[verdict->count++] = (struct bench_bar){name, value, goal, relation};
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void judge_rates(struct bench_verdict *verdict, const struct bench_results *results)
{
	enum duo_class seen = verdict->seen;
	double single = rate_named(results, &bench_ours_single, seen);
	double batch = rate_named(results, &bench_ours_batch, seen);
	double stream = rate_named(results, &bench_stream, seen);
	double peer_single =
		best_rate(results, BENCH_SINGLE, BENCH_PAUSE, seen, &verdict->best_single);
	double peer_any = best_rate(results, BENCH_BULK, BENCH_PAUSE, seen, &verdict->best_any);
	const char *name;
	uint64_t capacity = results->options.capacity[0];
	uint64_t beyond = rk_ring_bytes(capacity) - capacity * RK_SLOT_BYTES;

	add_bar(verdict, "single_vs_best_single", ratio(single, peer_single), 'g', 4.0);
	add_bar(verdict, "single_vs_best_any", ratio(single, peer_any), 'g', 2.5);
	add_bar(verdict, "batch_vs_best_any", ratio(batch, peer_any), 'g', 4.0);
	/* The same against peers whose users took our wait, struct rk_spin, for their loops. */
	add_bar(verdict, "single_vs_best_single_with_our_wait",
		ratio(single, best_rate(results, BENCH_SINGLE, BENCH_BACKOFF, seen, &name)), '-',
		0);
	add_bar(verdict, "batch_vs_best_any_with_our_wait",
		ratio(batch, best_rate(results, BENCH_BULK, BENCH_BACKOFF, seen, &name)), '-', 0);
	add_bar(verdict, "single_vs_stream_bound", ratio(single, stream), '-', 0);
	add_bar(verdict, "batch_vs_stream_bound", ratio(batch, stream), '-', 0);
	add_bar(verdict, "stream_bound_vs_best_any", ratio(stream, peer_any), '-', 0);
	add_bar(verdict, "plain_single_vs_best_single",
		ratio(rate_named(results, &bench_ours_single_plain, seen), peer_single), '-', 0);
	add_bar(verdict, "plain_batch_vs_best_any",
		ratio(rate_named(results, &bench_ours_batch_plain, seen), peer_any), '-', 0);
	add_bar(verdict, "ring_memory_pages", (double)beyond / RK_PAGE_BYTES, 'l', 3);
	add_bar(verdict, "system_calls_per_message",
		system_calls(&bench_ours_single) | system_calls(&bench_ours_batch), 'l', 0);
}

void bench_judge(struct bench_verdict *verdict, const struct bench_results *results)
{
	double ours, peer;
	const char *name;

	memset(verdict, 0, sizeof(*verdict));
	/* Neighbouring cores are the rule; where there were none, what there was most of. */
	if (!results->bursts[DUO_NEAR])
		for (int i = 0; i < DUO_CLASSES; i++)
			if (results->bursts[i] > results->bursts[verdict->seen])
				verdict->seen = (enum duo_class)i;
	if (*results->options.only)
		return; /* some that the bars compare are missing */
	if (results->options.ring)
		judge_rates(verdict, results);
	if (results->options.latency) {
		ours = best_trip(results, true, BENCH_BACKOFF, verdict->seen, &name);
		peer = best_trip(results, false, BENCH_PAUSE, verdict->seen, &verdict->best_trip);
		add_bar(verdict, "roundtrip_vs_best", ratio(ours, peer), 'l', 0.85);
		peer = best_trip(results, false, BENCH_BACKOFF, verdict->seen, &name);
		add_bar(verdict, "roundtrip_vs_best_with_our_wait", ratio(ours, peer), '-', 0);
	}
}
