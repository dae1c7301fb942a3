// SPDX-License-Identifier: MIT
/*
 * The clock of a GPU in the host's time, against clocks whose truth is known: no error is ever
 * beyond its bound, whatever the offset, the rate, the step and the delays; and the bound is not
 * much wider than the quickest round trip says it can be. Then samples that lie.
 */
#include "ring_aid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "gpudirect/rk_gpu_clock.h"
#include "rk_error.h"

#include <math.h>

enum { MOST = 2000, ROUNDS = 3000 };

static struct rk_gpu_clock_sample samples[MOST];
static uint64_t state;

/* Two clocks. Time passes in nanoseconds of the host since the start, as long double: exact. */
struct world {
	uint64_t host_start, gpu_start;
	long double rate; /* GPU nanoseconds for one of the host */
	uint64_t step;
};

static double chance(void)
{
	return (double)(aid_random(&state) >> 11) / 9007199254740992.0;
}

static uint64_t host_at(const struct world *w, long double t)
{
	return w->host_start + (uint64_t)t;
}

static uint64_t gpu_at(const struct world *w, long double t)
{
	uint64_t gpu = w->gpu_start + (uint64_t)(t * w->rate);

	return gpu - gpu % w->step;
}

/* Heavy-tailed: mostly near @least, at times a thousandfold. */
static double delay(double least)
{
	return least / (1e-3 + 0.999 * pow(chance(), 0.3)) - least + least;
}

/* @count samples over @span_ns; each way takes at least @least, either way more than the other. */
static void take(const struct world *w, uint32_t count, double span_ns, double least)
{
	long double t = 0;

	for (uint32_t i = 0; i < count; i++) {
		long double go = delay(least), come = delay(least);

		samples[i].before_ns = host_at(w, t);
		samples[i].gpu_ns = gpu_at(w, t + go);
		samples[i].after_ns = host_at(w, t + go + come) + 1;
		t += go + come + span_ns / count;
	}
}

static struct world random_world(void)
{
	static const uint64_t steps[] = {1, 32, 1000, 1024};

	return (struct world){
		.host_start = aid_random(&state) >> aid_below(&state, 60),
		.gpu_start = aid_random(&state) >> 1 >> aid_below(&state, 60),
		.rate = 1 + (chance() - 0.5) * 400e-6,
		.step = steps[aid_below(&state, 4)],
	};
}

/* The error of @clock for a reading at @t, beyond its bound; negative: within. */
static double excess(const struct world *w, const struct rk_gpu_clock *clock, long double t)
{
	double bound, error;
	uint64_t host = rk_gpu_clock_host_ns(clock, gpu_at(w, t), &bound);

	error = (double)(int64_t)(host - host_at(w, t));
	return fabs(error) - bound;
}

static void no_error_is_beyond_its_bound(void **unused)
{
	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t count = 1 + (uint32_t)aid_below(&state, round % 2 ? MOST : 20);
		double span = pow(10, 3 + 7 * chance()), least = pow(10, 1 + 4 * chance());
		struct world w = random_world();
		struct rk_gpu_clock clock;

		take(&w, count, span, least);
		if (rk_gpu_clock_fit(&clock, samples, count))
			fail_msg("%s", rk_errmsg());
		for (int i = 0; i < 50; i++) {
			/* Within, and as long again after. */
			long double t = span * 2 * chance();

			if (excess(&w, &clock, t) > 0)
				fail_msg("round %d: beyond the bound of %g by %g; rate %.9f", round,
					 clock.error_ns, excess(&w, &clock, t), clock.rate);
		}
	}
}

static void a_second_of_samples_tells_the_rate(void **unused)
{
	(void)unused;
	for (int round = 0; round < 200; round++) {
		struct world w = random_world();
		struct rk_gpu_clock clock;

		w.step = 32;
		take(&w, 1000, 1e9, 900);
		assert_int_equal(rk_gpu_clock_fit(&clock, samples, 1000), 0);
		assert_int_equal(clock.resolution_ns, 32);
		assert_true(clock.used >= 16);
		assert_true(clock.round_trip_ns < 2200);
		/* Half the quickest round trip, what the fit leaves, and steps. */
		assert_true(clock.error_ns < 2200);
		assert_true(clock.error_rate < 1e-5);
		assert_true(fabs(clock.rate * (double)w.rate - 1) < 2e-6);
	}
}

static void one_sample_is_an_offset(void **unused)
{
	const struct rk_gpu_clock_sample one = {5000, 70, 6000};
	struct rk_gpu_clock clock;
	double error;

	(void)unused;
	assert_int_equal(rk_gpu_clock_fit(&clock, &one, 1), 0);
	assert_true(rk_gpu_clock_host_ns(&clock, 70, &error) == 5500);
	/* It tells no step of the clock: the coarsest is taken. */
	assert_true(error >= 500 + 1024 && error < 500 + 1024 + 5);
	/* A second away from it, what the two rates may differ counts. */
	assert_true(rk_gpu_clock_host_ns(&clock, 1000000070, &error) == 1000005500);
	assert_true(error >= 500000 && error < 502000);
	rk_gpu_clock_host_ns(&clock, 70 - 1000000000, &error);
	assert_true(error >= 500000 && error < 502000);
}

/* A rate that changes half way breaks the line: the bound says so at every sample. */
static void a_rate_that_changes_widens_the_bound(void **unused)
{
	struct world fast = {1000, 1000, 1 + 100e-6L, 1}, slow = fast;
	struct rk_gpu_clock steady, bent;

	(void)unused;
	take(&fast, 1000, 1e9, 500);
	assert_int_equal(rk_gpu_clock_fit(&steady, samples, 1000), 0);
	take(&fast, 500, 5e8, 500);
	slow.rate = 1 - 100e-6L;
	slow.host_start = samples[499].after_ns;
	slow.gpu_start = samples[499].gpu_ns + 1000;
	{
		static struct rk_gpu_clock_sample first[500];

		memcpy(first, samples, sizeof(first));
		take(&slow, 500, 5e8, 500);
		memmove(samples + 500, samples, sizeof(first));
		memcpy(samples, first, sizeof(first));
	}
	assert_int_equal(rk_gpu_clock_fit(&bent, samples, 1000), 0);
	assert_true(bent.error_ns > 10 * steady.error_ns);
	for (int i = 0; i < 1000; i++) {
		uint64_t host = rk_gpu_clock_host_ns(&bent, samples[i].gpu_ns, NULL);
		double off = (double)(int64_t)(host - samples[i].before_ns);
		double width = (double)(samples[i].after_ns - samples[i].before_ns);

		assert_true(off > -bent.error_ns && off < width + bent.error_ns);
	}
}

static void expect_refused(uint32_t count, int error, const char *words)
{
	struct rk_gpu_clock clock;

	assert_int_equal(rk_gpu_clock_fit(&clock, samples, count), -error);
	if (!strstr(rk_errmsg(), words))
		fail_msg("'%s' does not say '%s'", rk_errmsg(), words);
}

static void samples_that_lie_are_refused(void **unused)
{
	struct world w = {5, 7, 1, 1};

	(void)unused;
	expect_refused(0, EINVAL, "no sample");
	take(&w, 100, 1e8, 500);
	samples[40].after_ns = samples[40].before_ns - 3;
	expect_refused(100, EINVAL, "sample 40 ends 3 ns before it begins");
	take(&w, 100, 1e8, 500);
	samples[60].gpu_ns = samples[59].gpu_ns - 12;
	expect_refused(100, ERANGE, "went back by 12 ns before sample 60");
	w.rate = 1.01L;
	take(&w, 100, 1e8, 500);
	expect_refused(100, ERANGE, "ppm");
	w.rate = 0.5L;
	take(&w, 100, 1e8, 500);
	expect_refused(100, ERANGE, "ppm");
}

/* Random bits: refused, or fitted with a bound that is a number. */
static void garbage_harms_nobody(void **unused)
{
	struct rk_gpu_clock clock;
	double error;

	(void)unused;
	for (int round = 0; round < 20000; round++) {
		uint32_t count = 1 + (uint32_t)aid_below(&state, 8);

		for (uint32_t i = 0; i < count; i++)
			samples[i] = (struct rk_gpu_clock_sample){
				aid_random(&state) >> aid_below(&state, 64),
				aid_random(&state) >> aid_below(&state, 64),
				aid_random(&state) >> aid_below(&state, 64)};
		if (rk_gpu_clock_fit(&clock, samples, count))
			continue;
		rk_gpu_clock_host_ns(&clock, aid_random(&state), &error);
		assert_true(isfinite(error) && error > 0 && isfinite(clock.rate));
		assert_true(clock.used >= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_error_is_beyond_its_bound),
		cmocka_unit_test(a_second_of_samples_tells_the_rate),
		cmocka_unit_test(one_sample_is_an_offset),
		cmocka_unit_test(a_rate_that_changes_widens_the_bound),
		cmocka_unit_test(samples_that_lie_are_refused),
		cmocka_unit_test(garbage_harms_nobody),
	};

	state = aid_choose_seed(7);
	aid_watchdog(300);
	print_message("# RK_SEED=%llu\n", (unsigned long long)aid_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
