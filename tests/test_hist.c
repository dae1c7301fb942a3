// SPDX-License-Identifier: MIT
/* The histogram against plain arrays: layout, percentiles, arithmetic, reading while writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rk_error.h"
#include "rk_hist.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 5000, ROUNDS = 12 };

static uint64_t seed;
static uint64_t state;

static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Any magnitude is as likely as any other. */
static uint64_t draw_any_size(void)
{
	uint64_t value = draw();

	return value >> (draw() % 64);
}

static struct rk_hist *open_hist(uint64_t highest_ns)
{
	struct rk_hist *hist;

	assert_int_equal(rk_hist_open(&hist, highest_ns), 0);
	return hist;
}

static void assert_same(const struct rk_hist *a, const struct rk_hist *b)
{
	assert_int_equal(a->length, b->length);
	assert_memory_equal(a->counts, b->counts, a->length * sizeof(*a->counts));
	assert_true(a->over == b->over);
}

static void open_checks_its_range(void **unused)
{
	struct rk_hist *hist = NULL;

	(void)unused;
	assert_int_equal(rk_hist_open(&hist, 1), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "highest value 1 ns"));
	assert_int_equal(rk_hist_open(&hist, (uint64_t)INT64_MAX + 1), -EINVAL);
	assert_null(hist);

	hist = open_hist(0);
	assert_true(hist->highest_ns == RK_HIST_HIGHEST_NS);
	assert_int_equal(hist->length, 27 * 1024); /* 26 buckets, as HdrHistogram sizes it */
	rk_hist_close(hist);
	hist = open_hist(2047);
	assert_int_equal(hist->length, 2 * 1024);
	rk_hist_close(hist);
	hist = open_hist(2048);
	assert_int_equal(hist->length, 3 * 1024);
	rk_hist_close(hist);
	hist = open_hist(INT64_MAX);
	assert_int_equal(hist->length, 54 * 1024);
	rk_hist_close(hist);
}

/* The counts share out all values: none missing, none twice, each within three digits. */
static void layout_shares_out_the_range(void **unused)
{
	struct rk_hist *hist = open_hist(INT64_MAX);
	uint64_t lowest = 0;
	uint64_t width = 1;

	(void)unused;
	for (uint32_t i = 0; i < hist->length; i++) {
		if (i >= 2048 && i % 1024 == 0)
			width *= 2;
		assert_true(rk_hist_index_lowest(i) == lowest);
		assert_true(rk_hist_index_highest(i) == lowest + width - 1);
		assert_int_equal(rk_hist_index(lowest), i);
		assert_int_equal(rk_hist_index(lowest + width - 1), i);
		assert_true(width == 1 || width - 1 < lowest / 1000);
		lowest += width;
	}
	assert_true(lowest == (uint64_t)INT64_MAX + 1);
	rk_hist_close(hist);
}

static void check_alone(uint64_t highest_ns, uint64_t value)
{
	struct rk_hist *hist = open_hist(highest_ns);

	rk_hist_record(hist, value);
	assert_true(rk_hist_count(hist) == 1);
	if (value > highest_ns) {
		assert_true(rk_hist_over(hist) == 1);
		assert_true(rk_hist_min(hist) == RK_HIST_OVER);
		assert_true(rk_hist_max(hist) == RK_HIST_OVER);
		assert_true(rk_hist_percentile(hist, 50) == RK_HIST_OVER);
	} else {
		assert_true(rk_hist_over(hist) == 0);
		assert_true(rk_hist_min(hist) <= value && value <= rk_hist_max(hist));
		assert_true(rk_hist_max(hist) - rk_hist_min(hist) <= value / 1000);
		assert_true(value >= 2048 || rk_hist_max(hist) == rk_hist_min(hist));
		assert_true(rk_hist_percentile(hist, 0) == rk_hist_min(hist));
		assert_true(rk_hist_percentile(hist, 50) == rk_hist_max(hist));
		assert_true(rk_hist_stddev(hist) == 0);
	}
	rk_hist_close(hist);
}

static void edge_values_are_kept(void **unused)
{
	static const uint64_t highests[] = {2, 2047, 2048, 3000, RK_HIST_HIGHEST_NS, INT64_MAX};

	(void)unused;
	for (size_t h = 0; h < sizeof(highests) / sizeof(highests[0]); h++) {
		check_alone(highests[h], highests[h] - 1);
		check_alone(highests[h], highests[h]);
		check_alone(highests[h], highests[h] + 1);
		check_alone(highests[h], UINT64_MAX);
		for (int k = 0; k < 64; k++)
			for (int off = -1; off <= 1; off++)
				check_alone(highests[h], (UINT64_C(1) << k) + (uint64_t)off);
	}
}

static int ascending(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void check_percentiles(const struct rk_hist *hist, const uint64_t *sorted, uint64_t count)
{
	for (int i = 0; i < 300; i++) {
		/* In thousandths of a per cent, so that the rank is exact. */
		uint64_t milli = i == 0 ? 0 : i == 1 ? 100000 : draw() % 100001;
		uint64_t rank = (milli * count + 99999) / 100000;
		uint64_t exact = sorted[rank ? rank - 1 : 0];
		uint64_t value = rk_hist_percentile(hist, (double)milli / 1000);

		if (exact > hist->highest_ns) {
			assert_true(value == RK_HIST_OVER);
		} else if (milli == 0) {
			assert_true(value <= exact && exact - value <= exact / 1000);
		} else {
			assert_true(value >= exact && value - exact <= exact / 1000);
		}
	}
	assert_true(rk_hist_percentile(hist, -1) == rk_hist_min(hist));
	assert_true(rk_hist_percentile(hist, 1e9) == rk_hist_max(hist));
	assert_true(rk_hist_percentile(hist, NAN) == rk_hist_min(hist));
}

static void percentiles_match_a_sorted_array(void **unused)
{
	static uint64_t sorted[SAMPLES];

	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		struct rk_hist *hist = open_hist(round % 3 ? INT64_MAX : 0);
		uint64_t over = 0;
		double sum = 0, squares = 0, mean;
		uint64_t in_range;

		for (int i = 0; i < SAMPLES; i++) {
			sorted[i] = round % 2 ? draw_any_size() : 1500 + draw() % 4000;
			rk_hist_record(hist, sorted[i]);
			over += sorted[i] > hist->highest_ns;
		}
		qsort(sorted, SAMPLES, sizeof(sorted[0]), ascending);
		in_range = SAMPLES - over;
		for (uint64_t i = 0; i < in_range; i++)
			sum += (double)sorted[i];
		mean = sum / (double)in_range;
		for (uint64_t i = 0; i < in_range; i++)
			squares += ((double)sorted[i] - mean) * ((double)sorted[i] - mean);
		assert_true(rk_hist_count(hist) == SAMPLES);
		assert_true(rk_hist_over(hist) == over);
		assert_true(fabs(rk_hist_mean(hist) - mean) <= mean / 1000);
		assert_true(fabs(rk_hist_stddev(hist) - sqrt(squares / (double)in_range)) <=
			    mean / 100);
		check_percentiles(hist, sorted, SAMPLES);
		rk_hist_close(hist);
	}
}

static void an_empty_histogram_has_no_figures(void **unused)
{
	struct rk_hist *hist = open_hist(0);

	(void)unused;
	rk_hist_record(hist, 5);
	rk_hist_record(hist, UINT64_MAX);
	rk_hist_reset(hist);
	assert_true(rk_hist_count(hist) == 0 && rk_hist_over(hist) == 0);
	assert_true(rk_hist_min(hist) == 0 && rk_hist_max(hist) == 0);
	assert_true(rk_hist_mean(hist) == 0 && rk_hist_stddev(hist) == 0);
	assert_true(rk_hist_percentile(hist, 99) == 0);
	rk_hist_close(hist);
}

static void counts_stop_at_their_end(void **unused)
{
	struct rk_hist *hist = open_hist(1000);
	struct rk_hist *sum = open_hist(1000);

	(void)unused;
	rk_hist_record_n(hist, 7, UINT64_MAX);
	rk_hist_record(hist, 7);
	rk_hist_record_n(hist, 1001, RK_HIST_COUNT_MAX);
	rk_hist_record(hist, 5000);
	rk_hist_record_n(hist, 8, 0);
	assert_true(hist->counts[7] == RK_HIST_COUNT_MAX);
	assert_true(hist->counts[8] == 0);
	assert_true(rk_hist_over(hist) == RK_HIST_COUNT_MAX);
	assert_true(rk_hist_count(hist) == RK_HIST_COUNT_MAX);
	rk_hist_add(sum, hist);
	rk_hist_add(sum, hist);
	assert_same(sum, hist);
	rk_hist_close(hist);
	rk_hist_close(sum);
}

/* (a + b) + c, a + (b + c), c + b + a, and all samples in one are the same histogram. */
static void merging_is_recording_together(void **unused)
{
	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		struct rk_hist *parts[3], *left = open_hist(0), *right = open_hist(0);
		struct rk_hist *back = open_hist(0), *all = open_hist(0);

		for (int p = 0; p < 3; p++) {
			parts[p] = open_hist(0);
			for (int i = 0; i < SAMPLES; i++) {
				uint64_t value = draw_any_size();

				rk_hist_record(parts[p], value);
				rk_hist_record(all, value);
			}
		}
		for (int p = 0; p < 3; p++) {
			rk_hist_add(left, parts[p]);
			rk_hist_add(back, parts[2 - p]);
		}
		rk_hist_add(right, parts[1]);
		rk_hist_add(right, parts[2]);
		rk_hist_add(parts[0], right);
		assert_same(left, all);
		assert_same(back, all);
		assert_same(parts[0], all);
		for (int p = 0; p < 3; p++)
			rk_hist_close(parts[p]);
		rk_hist_close(left);
		rk_hist_close(right);
		rk_hist_close(back);
		rk_hist_close(all);
	}
}

static void merging_into_a_smaller_range_loses_nothing(void **unused)
{
	struct rk_hist *wide = open_hist(0);
	struct rk_hist *narrow = open_hist(10000);

	(void)unused;
	for (int i = 0; i < SAMPLES; i++)
		rk_hist_record(wide, draw_any_size());
	rk_hist_add(narrow, wide);
	assert_true(rk_hist_count(narrow) == rk_hist_count(wide));
	assert_true(rk_hist_over(narrow) > rk_hist_over(wide));
	assert_memory_equal(narrow->counts, wide->counts, 2048 * sizeof(*wide->counts));
	for (uint32_t i = rk_hist_index(10000) + 1; i < narrow->length; i++)
		assert_true(narrow->counts[i] == 0);
	rk_hist_reset(wide);
	rk_hist_add(wide, narrow);
	assert_true(rk_hist_count(narrow) == rk_hist_count(wide));
	rk_hist_close(wide);
	rk_hist_close(narrow);
}

static void correction_records_each_missing_sample(void **unused)
{
	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		struct rk_hist *quick = open_hist(round % 2 ? 1000000 : 0);
		struct rk_hist *plain = open_hist(round % 2 ? 1000000 : 0);

		for (int i = 0; i < 400; i++) {
			uint64_t value = draw() % 3 ? draw() % 3000000 : draw_any_size();
			uint64_t interval = i == 0 ? 0 : i == 1 ? 1 : value / (1 + draw() % 2000);

			if (i > 1)
				interval -= draw() % (interval / 2 + 1);
			if (interval < 1000)
				value %= 100000;
			rk_hist_record_corrected(quick, value, interval);
			rk_hist_record(plain, value);
			while (interval && value >= 2 * interval) {
				value -= interval;
				rk_hist_record(plain, value);
			}
		}
		assert_same(quick, plain);
		rk_hist_close(quick);
		rk_hist_close(plain);
	}
}

/* A stall of centuries against an interval of 1 ns must not be a loop over its nanoseconds. */
static void correction_is_bounded(void **unused)
{
	struct rk_hist *hist = open_hist(0);

	(void)unused;
	rk_hist_record_corrected(hist, INT64_MAX, 1);
	assert_true(rk_hist_count(hist) == INT64_MAX);
	assert_true(rk_hist_over(hist) == INT64_MAX - RK_HIST_HIGHEST_NS);
	assert_true(hist->counts[0] == 0 && hist->counts[1] == 1 && hist->counts[2048] == 2);
	rk_hist_close(hist);
}

static void a_copy_less_an_earlier_one_is_the_interval(void **unused)
{
	struct rk_hist *live = open_hist(0), *before = open_hist(0), *now = open_hist(0);
	struct rk_hist *interval = open_hist(0), *other = open_hist(1000);

	(void)unused;
	for (int i = 0; i < SAMPLES; i++)
		rk_hist_record(live, draw_any_size());
	assert_int_equal(rk_hist_copy(before, live), 0);
	assert_same(before, live);
	for (int i = 0; i < SAMPLES; i++) {
		uint64_t value = draw_any_size();

		rk_hist_record(live, value);
		rk_hist_record(interval, value);
	}
	assert_int_equal(rk_hist_copy(now, live), 0);
	assert_int_equal(rk_hist_subtract(now, before), 0);
	assert_same(now, interval);

	/* Less than before, once among the counts, once above the highest. */
	rk_hist_reset(live);
	rk_hist_record_n(live, UINT64_MAX, SAMPLES);
	assert_int_equal(rk_hist_copy(now, live), 0);
	assert_int_equal(rk_hist_subtract(now, before), -EINVAL);
	assert_same(now, live);
	assert_int_equal(rk_hist_copy(live, before), 0);
	live->over--;
	assert_int_equal(rk_hist_copy(now, live), 0);
	assert_int_equal(rk_hist_subtract(now, before), -EINVAL);
	assert_same(now, live); /* untouched by the refusal */
	assert_int_equal(rk_hist_copy(other, live), -EINVAL);
	assert_int_equal(rk_hist_subtract(other, live), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "differ"));
	rk_hist_close(live);
	rk_hist_close(before);
	rk_hist_close(now);
	rk_hist_close(interval);
	rk_hist_close(other);
}

struct writer {
	struct rk_hist *hist;
	uint64_t samples;
	bool done;
};

static void *write_samples(void *argument)
{
	struct writer *writer = argument;
	uint64_t value = 1;

	for (uint64_t i = 0; i < writer->samples; i++) {
		value = value * 6364136223846793005 + 1442695040888963407;
		rk_hist_record(writer->hist, value >> (20 + value % 40));
	}
	__atomic_store_n(&writer->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void readers_copy_while_the_writer_records(void **unused)
{
	struct writer writer = {.hist = open_hist(0), .samples = 300000};
	struct rk_hist *before = open_hist(0), *now = open_hist(0);
	struct rk_hist *interval = open_hist(0), *sum = open_hist(0);
	pthread_t thread;
	bool done;

	(void)unused;
	assert_int_equal(pthread_create(&thread, NULL, write_samples, &writer), 0);
	do { /* the intervals, one by one, add up to the whole */
		done = __atomic_load_n(&writer.done, __ATOMIC_ACQUIRE);
		assert_int_equal(rk_hist_copy(now, writer.hist), 0);
		assert_true(rk_hist_count(now) <= writer.samples);
		assert_int_equal(rk_hist_copy(interval, now), 0);
		assert_int_equal(rk_hist_subtract(interval, before), 0);
		rk_hist_add(sum, interval);
		assert_same(sum, now);
		assert_int_equal(rk_hist_copy(before, now), 0);
		assert_true(rk_hist_count(writer.hist) >= rk_hist_count(now));
	} while (!done);
	pthread_join(thread, NULL);
	assert_true(rk_hist_count(now) == writer.samples);
	assert_same(now, writer.hist);
	rk_hist_close(writer.hist);
	rk_hist_close(before);
	rk_hist_close(now);
	rk_hist_close(interval);
	rk_hist_close(sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_checks_its_range),
		cmocka_unit_test(layout_shares_out_the_range),
		cmocka_unit_test(edge_values_are_kept),
		cmocka_unit_test(percentiles_match_a_sorted_array),
		cmocka_unit_test(an_empty_histogram_has_no_figures),
		cmocka_unit_test(counts_stop_at_their_end),
		cmocka_unit_test(merging_is_recording_together),
		cmocka_unit_test(merging_into_a_smaller_range_loses_nothing),
		cmocka_unit_test(correction_records_each_missing_sample),
		cmocka_unit_test(correction_is_bounded),
		cmocka_unit_test(a_copy_less_an_earlier_one_is_the_interval),
		cmocka_unit_test(readers_copy_while_the_writer_records),
	};
	const char *asked = getenv("RK_SEED");
	int failed;

	seed = asked ? strtoull(asked, NULL, 0) : 20261;
	state = seed;
	failed = cmocka_run_group_tests_name("hist", tests, NULL, NULL);
	if (failed)
		print_message("RK_SEED=%" PRIu64 "\n", seed);
	return failed;
}
