// SPDX-License-Identifier: MIT
/*
 * ringkernel-bench - RingKernel's ring against its peers: the same messages between the same two
 * threads, all candidates in every round in a new order, medians for each placement of the CPUs.
 */
#include "io.h"
#include "clock.h"
#include "rk_error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct bench_candidate *const bench_candidates[BENCH_CANDIDATES] = {
	&bench_ours_single,
	&bench_ours_batch,
	&bench_ours_single_no_touch,
	&bench_ours_batch_no_touch,
	&bench_ours_single_plain,
	&bench_ours_batch_plain,
	&bench_stream,
	&bench_rte_single,
	&bench_rte_bulk,
	&bench_rte_in_place,
	&bench_boost_single,
	&bench_boost_bulk,
	&bench_ck,
	&bench_lamport,
	&bench_moodycamel,
	&bench_atomic_queue,
};

const char *const bench_wait_names[BENCH_WAITS] = {"spin", "pause", "backoff"};

static const char usage[] =
	"usage: ringkernel-bench [ring|latency|all|io] [rounds=N] [messages=N] [trips=N]\n"
	"                        [capacity=N,...] [seed=N] [only=TEXT] [-j]\n"
	"\n"
	"Measures RingKernel's ring and its peers between two CPUs, in turn, and prints a table\n"
	"and one line a bar: 'bar NAME VALUE GOAL met|missed'.\n"
	"\n"
	"  ring        throughput; one thread alone; memory and system calls\n"
	"  latency     round trips through two rings\n"
	"  all         both (default)\n"
	"  io          UDP and files into rings, against recvmmsg and fio; wants only rounds=N\n"
	"  rounds=N    bursts of every candidate (default 20)\n"
	"  messages=N  of a burst (default 1000000)\n"
	"  trips=N     round trips of a burst (default 20000)\n"
	"  capacity=N  slots of a ring, a power of two; up to four, the bars hold for the first\n"
	"              (default 1024,4096)\n"
	"  seed=N      of the order of candidates (default RK_SEED, or 1)\n"
	"  only=TEXT   candidates with TEXT in their name, and no bars\n"
	"  -j          JSON\n"
	"\n"
	"Exit status: 0, also when a bar is missed; 1 a failure; 2 a usage error.\n";

struct burst {
	const struct bench_candidate *candidate;
	const struct bench_loops *loops;
	void *ring[2];
	uint64_t first, count;
	uint32_t *trip_ticks;
	bool wrong[2];
	uint64_t start_ns, end_ns;
};

static void run_produce(void *argument)
{
	struct burst *burst = argument;

	burst->start_ns = now_ns();
	burst->loops->produce(burst->ring[0], burst->first, burst->count);
}

static void run_consume(void *argument)
{
	struct burst *burst = argument;

	burst->wrong[1] = burst->loops->consume(burst->ring[0], burst->first, burst->count);
	burst->end_ns = now_ns();
}

static void run_ping(void *argument)
{
	struct burst *burst = argument;

	burst->wrong[0] =
		burst->loops->ping(burst->ring[0], burst->ring[1], burst->trip_ticks, burst->count);
}

static void run_echo(void *argument)
{
	struct burst *burst = argument;

	burst->wrong[1] = burst->loops->echo(burst->ring[0], burst->ring[1], burst->count);
}

static void run_alone(void *argument)
{
	struct burst *burst = argument;

	burst->start_ns = now_ns();
	burst->wrong[0] = burst->candidate->alone(burst->ring[0], burst->count);
	burst->end_ns = now_ns();
}

static void run_nothing(void *argument)
{
	(void)argument;
}

static int open_rings(struct burst *burst, uint32_t capacity)
{
	for (int i = 0; i < 2; i++) {
		int result = burst->candidate->open(&burst->ring[i], capacity);

		if (result) {
			if (i)
				burst->candidate->close(burst->ring[0]);
			return rk_fail(-result, "bench: %s: a ring of %u: %s",
				       burst->candidate->name, capacity, strerror(-result));
		}
	}
	return 0;
}

/* Open rings, let each of the two threads run its part, check what arrived. */
static int run_burst(struct bench_results *results, struct duo *duo, struct burst *burst,
		     uint32_t capacity, void (*const run[2])(void *), enum duo_class *seen)
{
	int result = open_rings(burst, capacity);
	double line_ns;

	if (result)
		return result;
	*seen = duo_run(duo, burst->candidate->name, run, burst, &line_ns);
	results->bursts[*seen]++;
	results->line_ns[*seen] += line_ns;
	burst->candidate->close(burst->ring[0]);
	burst->candidate->close(burst->ring[1]);
	if (burst->wrong[0] || burst->wrong[1])
		return rk_fail(EIO, "bench: %s: messages arrived changed", burst->candidate->name);
	return 0;
}

static int measure_rate(struct bench_results *results, struct duo *duo, struct bench_row *row,
			uint32_t capacity_index, uint32_t round)
{
	void (*const run[2])(void *) = {run_produce, run_consume};
	struct bench_sample *sample = &row->rate[capacity_index][round];
	struct burst burst = {
		.candidate = row->candidate,
		.loops = &row->candidate->loops[row->wait],
		.first = (uint64_t)round << 32,
		.count = results->options.messages,
	};
	int result;

	if (!burst.loops->produce)
		return 0;
	result = run_burst(results, duo, &burst, results->options.capacity[capacity_index], run,
			   &sample->seen);
	sample->value = (double)burst.count * 1e3 / (double)(burst.end_ns - burst.start_ns);
	return result;
}

static int measure_alone(struct bench_results *results, struct duo *duo, struct bench_row *row,
			 uint32_t round)
{
	void (*const run[2])(void *) = {run_alone, run_nothing};
	struct bench_sample *sample = &row->alone[round];
	enum duo_class seen;
	struct burst burst = {
		.candidate = row->candidate,
		.count = results->options.messages / 4 + 1,
	};
	int result;

	/* The wait plays no part in it: once a candidate is enough. */
	if (!row->candidate->alone ||
	    row->wait != (row->candidate->ours ? BENCH_BACKOFF : BENCH_SPIN))
		return 0;
	result = run_burst(results, duo, &burst, results->options.capacity[0], run, &seen);
	sample->value = (double)(burst.end_ns - burst.start_ns) / (double)burst.count;
	sample->seen = DUO_NEAR;
	return result;
}

static int measure_trips(struct bench_results *results, struct duo *duo, struct bench_row *row,
			 uint32_t *trip_ticks, double ns_per_tick)
{
	void (*const run[2])(void *) = {run_ping, run_echo};
	enum duo_class seen;
	struct burst burst = {
		.candidate = row->candidate,
		.loops = &row->candidate->loops[row->wait],
		.count = results->options.trips,
		.trip_ticks = trip_ticks,
	};
	int result;

	if (!burst.loops->ping || row->candidate->kind != BENCH_SINGLE)
		return 0;
	result = run_burst(results, duo, &burst, results->options.capacity[0], run, &seen);
	for (uint64_t i = 0; !result && i < burst.count; i++)
		rk_hist_record(row->trip[seen], (uint64_t)((double)trip_ticks[i] * ns_per_tick));
	return result;
}

static double calibrate(void)
{
	const struct timespec time = {0, 50000000};
	uint64_t ticks = bench_ticks(), ns = now_ns();

	nanosleep(&time, NULL);
	ticks = bench_ticks() - ticks;
	return (double)(now_ns() - ns) / (double)ticks;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void shuffle(uint32_t *order, uint32_t count, uint64_t *state)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = (uint32_t)(random_next(state) % i), kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}

static int measure_row(struct bench_results *results, struct duo *duo, struct bench_row *row,
		       uint32_t round, uint32_t *trip_ticks, double ns_per_tick)
{
	const struct bench_options *options = &results->options;
	int result = 0;

	for (uint32_t i = 0; options->ring && i < options->capacities && !result; i++)
		result = measure_rate(results, duo, row, i, round);
	if (options->ring && !result)
		result = measure_alone(results, duo, row, round);
	if (options->latency && !result)
		result = measure_trips(results, duo, row, trip_ticks, ns_per_tick);
	return result;
}

static int measure(struct bench_results *results, struct duo *duo)
{
	const struct bench_options *options = &results->options;
	uint32_t *trip_ticks = malloc(options->trips * sizeof(*trip_ticks));
	uint32_t *order = malloc(results->count * sizeof(*order));
	double ns_per_tick = calibrate();
	uint64_t random = options->seed;
	int result = trip_ticks && order ? 0 : rk_fail(ENOMEM, "bench: no memory");

	for (uint32_t round = 0; round < options->rounds && !result; round++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", round + 1, options->rounds);
		shuffle(order, results->count, &random);
		for (uint32_t i = 0; i < results->count && !result; i++)
			result = measure_row(results, duo, &results->rows[order[i]], round,
					     trip_ticks, ns_per_tick);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	free(order);
	free(trip_ticks);
	return result;
}

static int add_row(struct bench_results *results, const struct bench_candidate *candidate,
		   enum bench_wait wait)
{
	struct bench_row *row = &results->rows[results->count++];
	uint32_t rounds = results->options.rounds;
	bool there = true;

	row->candidate = candidate;
	row->wait = wait;
	row->alone = calloc(rounds, sizeof(*row->alone));
	there = row->alone;
	for (uint32_t i = 0; i < results->options.capacities; i++) {
		row->rate[i] = calloc(rounds, sizeof(*row->rate[i]));
		there = there && row->rate[i];
	}
	for (int i = 0; i <= DUO_CLASSES; i++)
		if (rk_hist_open(&row->trip[i], 0))
			return -ENOMEM;
	return there ? 0 : rk_fail(ENOMEM, "bench: no memory");
}

static int add_rows(struct bench_results *results)
{
	int result = 0;

	results->rows = calloc(BENCH_CANDIDATES * BENCH_WAITS, sizeof(*results->rows));
	if (!results->rows)
		return rk_fail(ENOMEM, "bench: no memory");
	for (uint32_t i = 0; i < BENCH_CANDIDATES; i++)
		for (enum bench_wait wait = BENCH_SPIN; wait < BENCH_WAITS && !result; wait++)
			if (bench_candidates[i]->loops[wait].produce &&
			    strstr(bench_candidates[i]->name, results->options.only))
				result = add_row(results, bench_candidates[i], wait);
	return result;
}

static void free_rows(struct bench_results *results)
{
	for (uint32_t i = 0; i < results->count; i++) {
		struct bench_row *row = &results->rows[i];

		free(row->alone);
		for (uint32_t j = 0; j < BENCH_CAPACITIES_MOST; j++)
			free(row->rate[j]);
		for (int j = 0; j <= DUO_CLASSES; j++)
			rk_hist_close(row->trip[j]);
	}
	free(results->rows);
}

static bool parse_number(const char *text, uint64_t most, uint64_t *out, const char **rest)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	*rest = end;
	return end != text && *text != '-' && !errno && *out && *out <= most;
}

static bool parse_capacities(const char *text, struct bench_options *options)
{
	uint64_t value;

	options->capacities = 0;
	for (;; text++) {
		if (!parse_number(text, 1 << 24, &value, &text) || value & (value - 1) ||
		    value < 16 || options->capacities == BENCH_CAPACITIES_MOST)
			return false;
		options->capacity[options->capacities++] = (uint32_t)value;
		if (*text != ',')
			return !*text;
	}
}

static bool parse_count(const char *word, struct bench_options *options)
{
	const char *value = strchr(word, '='), *rest;
	uint64_t number;

	if (!value || !parse_number(value + 1, 1ULL << 40, &number, &rest) || *rest)
		return false;
	if (!strncmp(word, "rounds=", 7) && number <= 100000)
		options->rounds = (uint32_t)number;
	else if (!strncmp(word, "messages=", 9))
		options->messages = number;
	else if (!strncmp(word, "trips=", 6) && number <= 10000000)
		options->trips = number;
	else if (!strncmp(word, "seed=", 5))
		options->seed = number;
	else
		return false;
	return true;
}

static bool parse(const char *word, struct bench_options *options)
{
	bool ring = !strcmp(word, "ring"), latency = !strcmp(word, "latency");

	if (!strcmp(word, "-j")) {
		options->json = true;
		return true;
	}
	if (!strcmp(word, "io")) {
		options->io = true;
		return true;
	}
	if (ring || latency || !strcmp(word, "all")) {
		options->ring = !latency;
		options->latency = !ring;
		return true;
	}
	if (!strncmp(word, "only=", 5)) {
		options->only = word + 5;
		return true;
	}
	if (!strncmp(word, "capacity=", 9))
		return parse_capacities(word + 9, options);
	return parse_count(word, options);
}

int main(int argc, char **argv)
{
	struct bench_results results = {.options = {.ring = true,
						    .latency = true,
						    .rounds = 20,
						    .messages = 1000000,
						    .trips = 20000,
						    .capacity = {1024, 4096},
						    .capacities = 2,
						    .seed = 1,
						    .only = ""}};
	const char *seed = getenv("RK_SEED");
	struct bench_verdict verdict;
	struct duo *duo = NULL;
	int result;

	if (seed && strtoull(seed, NULL, 0))
		results.options.seed = strtoull(seed, NULL, 0);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 0;
		}
		if (!parse(argv[i], &results.options)) {
			fprintf(stderr, "ringkernel-bench: '%s': see --help\n", argv[i]);
			return 2;
		}
	}
	if (results.options.io) {
		result = bench_io(&results.options);
		if (result)
			fprintf(stderr, "ringkernel-bench: %s\n", rk_errmsg());
		return result ? 1 : 0;
	}
	result = duo_open(&duo);
	if (!result)
		result = add_rows(&results);
	if (!result) {
		results.machine = duo_describe(duo);
		result = measure(&results, duo);
	}
	if (!result) {
		bench_judge(&verdict, &results);
		if (results.options.json)
			result = bench_print_json(&results, &verdict);
		else
			bench_print(&results, &verdict);
	}
	if (result)
		fprintf(stderr, "ringkernel-bench: %s\n", rk_errmsg());
	free_rows(&results);
	if (duo)
		duo_close(duo);
	return result ? 1 : 0;
}
