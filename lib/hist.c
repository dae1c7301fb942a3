// SPDX-License-Identifier: MIT
/* The histogram's cold half: life, arithmetic, and what is derived from the counts. */
#include "hist.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Relaxed throughout: counts are independent of each other, and a reader of a live histogram
 * needs each word whole, not the words in any order.
 */
static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum > RK_HIST_COUNT_MAX ? RK_HIST_COUNT_MAX
									     : sum;
}

int rk_hist_open(struct rk_hist **out, uint64_t highest_ns)
{
	struct rk_hist *hist;
	uint32_t length;

	if (highest_ns == 0)
		highest_ns = RK_HIST_HIGHEST_NS;
	if (highest_ns < 2 || highest_ns > INT64_MAX)
		return rk_fail(EINVAL,
			       "histogram: highest value %" PRIu64 " ns: must be 2 to %" PRId64,
			       highest_ns, INT64_MAX);
	/* Whole doublings, as HdrHistogram sizes it: its readers rebuild the array from the
	 * highest. */
	length = ((rk_hist_index(highest_ns) >> 10) + 1) << 10;
	if (length < 2048)
		length = 2048;
	hist = calloc(1, sizeof(*hist) + length * sizeof(*hist->counts));
	if (!hist)
		return rk_fail(ENOMEM, "histogram: no memory for %u counts", length);
	hist->highest_ns = highest_ns;
	hist->length = length;
	hist->counts = (uint64_t *)(hist + 1);
	*out = hist;
	return 0;
}

void rk_hist_close(struct rk_hist *hist)
{
	free(hist);
}

void rk_hist_record_corrected(struct rk_hist *hist, uint64_t value_ns, uint64_t interval_ns)
{
	uint64_t missing;

	rk_hist_record(hist, value_ns);
	if (interval_ns == 0 || value_ns < interval_ns)
		return;
	/* All missing values that share a count go in one step, so a long stall costs no long loop.
	 */
	missing = value_ns - interval_ns;
	while (missing >= interval_ns) {
		uint64_t lowest = missing > hist->highest_ns
					  ? hist->highest_ns + 1
					  : rk_hist_index_lowest(rk_hist_index(missing));
		uint64_t samples;

		if (lowest < interval_ns)
			lowest = interval_ns;
		samples = (missing - lowest) / interval_ns + 1;
		rk_hist_record_n(hist, missing, samples);
		missing -= samples * interval_ns;
	}
}

void rk_hist_add(struct rk_hist *to, const struct rk_hist *from)
{
	uint64_t over = get(&from->over);

	for (uint32_t i = 0; i < from->length; i++) {
		uint64_t samples = get(&from->counts[i]);

		if (samples == 0)
			continue;
		if (rk_hist_index_lowest(i) <= to->highest_ns)
			set(&to->counts[i], saturating_sum(get(&to->counts[i]), samples));
		else
			over = saturating_sum(over, samples);
	}
	set(&to->over, saturating_sum(get(&to->over), over));
}

static int same_range(const struct rk_hist *a, const struct rk_hist *b)
{
	if (a->highest_ns == b->highest_ns)
		return 0;
	return rk_fail(EINVAL,
		       "histogram: highest values %" PRIu64 " and %" PRIu64
		       " ns differ: open both with the same",
		       a->highest_ns, b->highest_ns);
}

int rk_hist_subtract(struct rk_hist *from, const struct rk_hist *earlier)
{
	int result = same_range(from, earlier);
	int fits = earlier->over <= from->over;

	if (result)
		return result;
	for (uint32_t i = 0; fits && i < from->length; i++)
		fits = earlier->counts[i] <= from->counts[i];
	if (!fits)
		return rk_fail(EINVAL, "histogram: the one to subtract is no earlier copy of this "
				       "one: was it reset between?");
	for (uint32_t i = 0; i < from->length; i++)
		set(&from->counts[i], from->counts[i] - earlier->counts[i]);
	set(&from->over, from->over - earlier->over);
	return 0;
}

int rk_hist_copy(struct rk_hist *to, const struct rk_hist *from)
{
	int result = same_range(to, from);

	if (result)
		return result;
	for (uint32_t i = 0; i < from->length; i++)
		set(&to->counts[i], get(&from->counts[i]));
	set(&to->over, get(&from->over));
	return 0;
}

void rk_hist_reset(struct rk_hist *hist)
{
	for (uint32_t i = 0; i < hist->length; i++)
		set(&hist->counts[i], 0);
	set(&hist->over, 0);
}

uint64_t hist_in_range(const struct rk_hist *hist)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < hist->length; i++)
		total = saturating_sum(total, get(&hist->counts[i]));
	return total;
}

uint64_t rk_hist_count(const struct rk_hist *hist)
{
	return saturating_sum(hist_in_range(hist), rk_hist_over(hist));
}

uint64_t rk_hist_over(const struct rk_hist *hist)
{
	return get(&hist->over);
}

uint64_t rk_hist_min(const struct rk_hist *hist)
{
	for (uint32_t i = 0; i < hist->length; i++)
		if (get(&hist->counts[i]))
			return rk_hist_index_lowest(i);
	return rk_hist_over(hist) ? RK_HIST_OVER : 0;
}

uint64_t rk_hist_max(const struct rk_hist *hist)
{
	if (rk_hist_over(hist))
		return RK_HIST_OVER;
	for (uint32_t i = hist->length; i-- > 0;)
		if (get(&hist->counts[i]))
			return rk_hist_index_highest(i);
	return 0;
}

/* The value that stands for all of a count: its middle, as HdrHistogram takes it. */
static double middle(uint32_t index)
{
	uint64_t lowest = rk_hist_index_lowest(index);

	return (double)(lowest + ((rk_hist_index_highest(index) - lowest + 1) >> 1));
}

double rk_hist_mean(const struct rk_hist *hist)
{
	uint64_t total = 0;
	double sum = 0;

	for (uint32_t i = 0; i < hist->length; i++) {
		uint64_t samples = get(&hist->counts[i]);

		if (samples == 0)
			continue;
		total = saturating_sum(total, samples);
		sum += middle(i) * (double)samples;
	}
	return total ? sum / (double)total : 0;
}

double rk_hist_stddev(const struct rk_hist *hist)
{
	double mean = rk_hist_mean(hist);
	uint64_t total = 0;
	double sum = 0;

	for (uint32_t i = 0; i < hist->length; i++) {
		uint64_t samples = get(&hist->counts[i]);
		double off = middle(i) - mean;

		if (samples == 0)
			continue;
		total = saturating_sum(total, samples);
		sum += off * off * (double)samples;
	}
	return total ? sqrt(sum / (double)total) : 0;
}

/* How many of @total samples, counted from the smallest, reach @percentile; at least one. */
static uint64_t rank_of(double percentile, uint64_t total)
{
	double rank;

	if (!(percentile > 0)) /* NaN as well */
		return 1;
	if (percentile >= 100)
		return total;
	/* One step down first: a product that rounds up must not ask for a sample too many. */
	rank = ceil(nextafter(percentile, 0) * (double)total / 100);
	return rank < 1 ? 1 : rank < (double)total ? (uint64_t)rank : total;
}

uint64_t rk_hist_percentile(const struct rk_hist *hist, double percentile)
{
	uint64_t total = rk_hist_count(hist);
	uint64_t rank = rank_of(percentile, total);
	uint64_t seen = 0;

	if (total == 0)
		return 0;
	for (uint32_t i = 0; i < hist->length; i++) {
		uint64_t samples = get(&hist->counts[i]);

		if (samples == 0)
			continue;
		seen = saturating_sum(seen, samples);
		if (seen >= rank)
			return percentile > 0 ? rk_hist_index_highest(i) : rk_hist_index_lowest(i);
	}
	return RK_HIST_OVER;
}
