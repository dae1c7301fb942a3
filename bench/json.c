// SPDX-License-Identifier: MIT
/* The results as one JSON object. */
#include "config.h"
#include "results.h"
#include "rk_error.h"

#if !RK_HAVE_JANSSON

int bench_print_json(const struct bench_results *results, const struct bench_verdict *verdict)
{
	(void)results;
	(void)verdict;
	return rk_fail(EOPNOTSUPP, "bench: JSON: built without jansson (apt-get install "
				   "libjansson-dev), then make again");
}

#else

#include <jansson.h>
#include <stdio.h>

static json_t *spread(const struct bench_sample *samples, uint32_t count, enum duo_class seen)
{
	struct bench_spread s = bench_spread_of(samples, count, seen);

	return json_pack("{s:f, s:f, s:f, s:i}", "median", s.median, "low_quartile", s.low,
			 "high_quartile", s.high, "bursts", (int)s.count);
}

static json_t *rates(const struct bench_results *results, const struct bench_row *row)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < results->options.capacities; i++)
		for (int seen = 0; seen < DUO_CLASSES; seen++)
			json_array_append_new(
				array, json_pack("{s:i, s:s, s:o}", "capacity",
						 (int)results->options.capacity[i], "class",
						 duo_class_names[seen], "million_per_s",
						 spread(row->rate[i], results->options.rounds,
							(enum duo_class)seen)));
	return array;
}

static json_t *trips(const struct bench_row *row)
{
	json_t *array = json_array();

	for (int seen = 0; seen < DUO_CLASSES; seen++) {
		const struct rk_hist *hist = row->trip[seen];

		if (rk_hist_count(hist))
			json_array_append_new(
				array,
				json_pack("{s:s, s:I, s:f, s:I, s:I, s:I}", "class",
					  duo_class_names[seen], "p50_ns",
					  (json_int_t)rk_hist_percentile(hist, 50), "mean80_ns",
					  bench_middle_mean(hist), "p99_ns",
					  (json_int_t)rk_hist_percentile(hist, 99), "p99.9_ns",
					  (json_int_t)rk_hist_percentile(hist, 99.9), "trips",
					  (json_int_t)rk_hist_count(hist)));
	}
	return array;
}

static json_t *candidates(const struct bench_results *results)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < results->count; i++) {
		const struct bench_row *row = &results->rows[i];
		json_t *object =
			json_pack("{s:s, s:s, s:b}", "name", row->candidate->name, "wait",
				  bench_wait_names[row->wait], "ours", row->candidate->ours);

		if (results->options.ring) {
			json_object_set_new(object, "rates", rates(results, row));
			json_object_set_new(object, "alone_ns",
					    spread(row->alone, results->options.rounds, DUO_NEAR));
		}
		if (results->options.latency)
			json_object_set_new(object, "round_trips", trips(row));
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *bars(const struct bench_verdict *verdict)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < verdict->count; i++) {
		const struct bench_bar *bar = &verdict->bars[i];
		json_t *object = json_pack("{s:s, s:f}", "name", bar->name, "value", bar->value);

		if (bar->relation != '-') {
			json_object_set_new(object, bar->relation == 'g' ? "at_least" : "at_most",
					    json_real(bar->goal));
			json_object_set_new(object, "met", json_boolean(bench_bar_is_met(bar)));
		}
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *skipped(void)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < BENCH_CANDIDATES; i++)
		if (bench_candidates[i]->skipped)
			json_array_append_new(array, json_pack("{s:s, s:s}", "name",
							       bench_candidates[i]->name, "reason",
							       bench_candidates[i]->skipped));
	return array;
}

int bench_print_json(const struct bench_results *results, const struct bench_verdict *verdict)
{
	json_t *bursts = json_object(), *object;
	int result;

	for (int i = 0; i <= DUO_CLASSES; i++)
		json_object_set_new(bursts, duo_class_names[i], json_integer(results->bursts[i]));
	object = json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:o}", "machine",
			   results->machine, "rounds", (json_int_t)results->options.rounds,
			   "messages", (json_int_t)results->options.messages, "seed",
			   (json_int_t)results->options.seed, "bursts", bursts, "candidates",
			   candidates(results), "skipped", skipped(), "class",
			   duo_class_names[verdict->seen], "bars", bars(verdict));
	result = object && !json_dumpf(object, stdout, JSON_INDENT(1))
			 ? 0
			 : rk_fail(ENOMEM, "bench: the JSON could not be written");
	json_decref(object);
	printf("\n");
	return result;
}

#endif
