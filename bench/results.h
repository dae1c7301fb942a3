/* SPDX-License-Identifier: MIT */
/* results.h - what was asked for, what was measured, and how it is told. */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "bench.h"
#include "duo.h"
#include "rk_hist.h"

enum { BENCH_CAPACITIES_MOST = 4, BENCH_CANDIDATES = 16 };

extern const struct bench_candidate *const bench_candidates[BENCH_CANDIDATES];
extern const char *const bench_wait_names[BENCH_WAITS];

struct bench_options {
	bool ring;    /* throughput, and push and pop alone */
	bool latency; /* round trips */
	bool io;      /* sockets and files instead */
	bool json;
	uint32_t rounds;
	uint64_t messages; /* a burst */
	uint64_t trips;	   /* a burst */
	uint32_t capacity[BENCH_CAPACITIES_MOST];
	uint32_t capacities;
	uint64_t seed;
	const char *only; /* candidates whose names contain it; empty: all */
};

struct bench_sample {
	double value;
	enum duo_class seen;
};

/* One candidate with one way of waiting; a sample a round. */
struct bench_row {
	const struct bench_candidate *candidate;
	enum bench_wait wait;
	struct bench_sample *rate[BENCH_CAPACITIES_MOST]; /* million messages a second */
	struct bench_sample *alone;			  /* ns a message */
	struct rk_hist *trip[DUO_CLASSES + 1];
};

struct bench_results {
	struct bench_options options;
	const char *machine; /* duo_describe() */
	struct bench_row *rows;
	uint32_t count;
	uint32_t bursts[DUO_CLASSES + 1];
	double line_ns[DUO_CLASSES + 1]; /* sum over the bursts */
};

/* Quartiles of the samples of one class; zero of none. */
struct bench_spread {
	uint32_t count;
	double low, median, high;
};

struct bench_spread bench_spread_of(const struct bench_sample *samples, uint32_t count,
				    enum duo_class seen);

/* Mean of the middle 80 % of a histogram, ns; 0 if it is empty. */
double bench_middle_mean(const struct rk_hist *hist);

/* A figure and what it should be. */
struct bench_bar {
	const char *name;
	double value;
	double goal;
	char relation; /* 'g' at least, 'l' at most, '-' no goal */
};

/* A value of 0 was not measured and meets no lower bound. */
static inline bool bench_bar_is_met(const struct bench_bar *bar)
{
	return bar->relation == 'g' ? bar->value >= bar->goal : bar->value <= bar->goal;
}

enum { BENCH_BARS_MOST = 16 };

/* What the bars were judged on. */
struct bench_verdict {
	enum duo_class seen;
	const char *best_single, *best_any, *best_trip;
	struct bench_bar bars[BENCH_BARS_MOST];
	uint32_t count;
};

void bench_judge(struct bench_verdict *verdict, const struct bench_results *results);

/* Tables for people and one line a bar. */
void bench_print(const struct bench_results *results, const struct bench_verdict *verdict);

/* 0; -EOPNOTSUPP when built without jansson, said in rk_errmsg(). */
int bench_print_json(const struct bench_results *results, const struct bench_verdict *verdict);

#endif
