// SPDX-License-Identifier: MIT
/* Tables for people, lines for scripts. */
#include "results.h"

#include <stdio.h>

enum { NAME_WIDTH = 46 };

static const char *isa(void)
{
#if defined(__AVX512VBMI__)
	return "AVX-512 VBMI";
#elif defined(__AVX2__)
	return "AVX2, without AVX-512 VBMI";
#else
	return "this CPU's baseline, without vectors";
#endif
}

static void print_name(const struct bench_row *row)
{
	char name[80];

	if (row->candidate->ours || row->candidate->kind == BENCH_BOUND)
		snprintf(name, sizeof(name), "%s", row->candidate->name);
	else
		snprintf(name, sizeof(name), "%s (%s)", row->candidate->name,
			 bench_wait_names[row->wait]);
	printf("  %-*s", NAME_WIDTH, name);
}

/* The rows in falling order of what @value says; @order is as long as there are rows. */
static void sort_rows(const struct bench_results *results, uint32_t *order,
		      double (*value)(const struct bench_results *, const struct bench_row *))
{
	for (uint32_t i = 0; i < results->count; i++) {
		uint32_t at = i;

		for (; at && value(results, &results->rows[order[at - 1]]) <
				     value(results, &results->rows[i]);
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

static double by_rate(const struct bench_results *results, const struct bench_row *row)
{
	double most = 0;

	for (int seen = DUO_CLASSES - 1; seen >= 0; seen--) {
		struct bench_spread spread = bench_spread_of(row->rate[0], results->options.rounds,
							     (enum duo_class)seen);

		if (spread.count)
			most = spread.median;
	}
	return most;
}

static double by_trip(const struct bench_results *results, const struct bench_row *row)
{
	(void)results;
	for (int seen = 0; seen < DUO_CLASSES; seen++)
		if (rk_hist_count(row->trip[seen]))
			return -bench_middle_mean(row->trip[seen]);
	return -1e9;
}

static void print_rates(const struct bench_results *results, const uint32_t *order, uint32_t index)
{
	printf("\nThroughput, capacity %u, million messages a second: median [quartiles] of "
	       "bursts\n  %-*s",
	       results->options.capacity[index], NAME_WIDTH, "");
	for (int seen = 0; seen < DUO_CLASSES; seen++)
		printf("  %-22s", duo_class_names[seen]);
	printf("\n");
	for (uint32_t i = 0; i < results->count; i++) {
		const struct bench_row *row = &results->rows[order[i]];

		print_name(row);
		for (int seen = 0; seen < DUO_CLASSES; seen++) {
			struct bench_spread s = bench_spread_of(
				row->rate[index], results->options.rounds, (enum duo_class)seen);

			if (s.count)
				printf("  %5.0f [%3.0f..%3.0f] %-6u", s.median, s.low, s.high,
				       s.count);
			else
				printf("  %-22s", "    -");
		}
		printf("\n");
	}
}

static void print_alone(const struct bench_results *results)
{
	printf("\nOne thread alone, push and pop (a batch: %d pushed, %d popped), ns a message\n",
	       BENCH_BATCH, BENCH_BATCH);
	for (uint32_t i = 0; i < results->count; i++) {
		const struct bench_row *row = &results->rows[i];
		struct bench_spread s =
			bench_spread_of(row->alone, results->options.rounds, DUO_NEAR);

		if (s.count)
			printf("  %-*s  %5.2f [%.2f..%.2f]\n", NAME_WIDTH, row->candidate->name,
			       s.median, s.low, s.high);
	}
}

static void print_trips(const struct bench_results *results, const uint32_t *order)
{
	printf("\nRound trip through two rings of %u, ns\n  %-*s  %-8s %6s %8s %6s %7s %9s\n",
	       results->options.capacity[0], NAME_WIDTH, "", "class", "p50", "mean80", "p99",
	       "p99.9", "trips");
	for (uint32_t i = 0; i < results->count; i++)
		for (int seen = 0; seen < DUO_CLASSES; seen++) {
			const struct bench_row *row = &results->rows[order[i]];
			const struct rk_hist *hist = row->trip[seen];

			if (!rk_hist_count(hist))
				continue;
			print_name(row);
			printf("  %-8s %6llu %8.1f %6llu %7llu %9llu\n", duo_class_names[seen],
			       (unsigned long long)rk_hist_percentile(hist, 50),
			       bench_middle_mean(hist),
			       (unsigned long long)rk_hist_percentile(hist, 99),
			       (unsigned long long)rk_hist_percentile(hist, 99.9),
			       (unsigned long long)rk_hist_count(hist));
		}
	printf("  (mean80: mean of the middle 80 %%, finer than the clock's steps)\n");
}

static void print_head(const struct bench_results *results)
{
	uint32_t total = 0;

	printf("%s; compiled for %s; %u rounds, seed %llu\n", results->machine, isa(),
	       results->options.rounds, (unsigned long long)results->options.seed);
	for (int i = 0; i <= DUO_CLASSES; i++)
		total += results->bursts[i];
	printf("placement of the two CPUs, with ns a line from one to the other:");
	for (int i = 0; i <= DUO_CLASSES; i++)
		if (results->bursts[i])
			printf(" %s %.1f %% (%.0f ns)%s", duo_class_names[i],
			       100.0 * results->bursts[i] / total,
			       results->line_ns[i] / results->bursts[i],
			       i == DUO_MIXED ? ", left out" : "");
	printf("\n");
	for (uint32_t i = 0; i < BENCH_CANDIDATES; i++)
		if (bench_candidates[i]->skipped)
			printf("skipped: %s: %s\n", bench_candidates[i]->name,
			       bench_candidates[i]->skipped);
}

static void print_bars(const struct bench_results *results, const struct bench_verdict *verdict)
{
	printf("\nbars: class %s%s, capacity %u, peers that spin or pause",
	       duo_class_names[verdict->seen],
	       verdict->seen == DUO_NEAR ? "" : " (near, for which they were set, was not seen)",
	       results->options.capacity[0]);
	if (verdict->best_single)
		printf("; best single-message peer: %s; best peer: %s", verdict->best_single,
		       verdict->best_any);
	if (verdict->best_trip)
		printf("; best round trip: %s", verdict->best_trip);
	printf("\n");
	for (uint32_t i = 0; i < verdict->count; i++) {
		const struct bench_bar *bar = &verdict->bars[i];

		if (bar->relation == '-')
			printf("bar %s %.2f - -\n", bar->name, bar->value);
		else
			printf("bar %s %.2f %s%.2f %s\n", bar->name, bar->value,
			       bar->relation == 'g' ? ">=" : "<=", bar->goal,
			       bench_bar_is_met(bar) ? "met" : "missed");
	}
}

void bench_print(const struct bench_results *results, const struct bench_verdict *verdict)
{
	uint32_t order[BENCH_CANDIDATES * BENCH_WAITS];

	print_head(results);
	if (results->options.ring) {
		sort_rows(results, order, by_rate);
		for (uint32_t i = 0; i < results->options.capacities; i++)
			print_rates(results, order, i);
		print_alone(results);
	}
	if (results->options.latency) {
		sort_rows(results, order, by_trip);
		print_trips(results, order);
	}
	if (verdict->count)
		print_bars(results, verdict);
}
