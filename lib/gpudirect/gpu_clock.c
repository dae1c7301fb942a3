// SPDX-License-Identifier: MIT
#include "gpudirect/rk_gpu_clock.h"
#include "rk_error.h"

#include <inttypes.h>
#include <math.h>

/* The span of the samples is cut into so many windows, and the quickest sample of each is kept. */
enum { WINDOWS = 32 };

/* The coarsest step of known GPUs, for samples that all read the same. */
#define COARSEST_NS 1024

#define MAX_DRIFT (RK_GPU_CLOCK_MAX_PPM * 1e-6)

/* A kept sample, around the reference instant: at @gpu the host's clock was at @host +- @half. */
struct point {
	double gpu;
	double host;
	double half;
	double reach; /* how far its interval reaches from the line: bounds the line's error there */
};

struct fit {
	const struct rk_gpu_clock_sample *samples;
	uint32_t count;
	struct rk_gpu_clock *clock;
	struct point points[WINDOWS];
	uint32_t kept;
};

static uint64_t round_trip(const struct rk_gpu_clock_sample *sample)
{
	return sample->after_ns - sample->before_ns;
}

/* Differences of two readings, whatever their size: right across the wrap of 2^64. */
static double distance(uint64_t to, uint64_t from)
{
	return (double)(int64_t)(to - from);
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static int check_sample(const struct fit *fit, uint32_t i)
{
	const struct rk_gpu_clock_sample *sample = &fit->samples[i], *last = sample - 1;

	if ((int64_t)round_trip(sample) < 0)
		return rk_fail(EINVAL,
			       "gpu clock: sample %u ends %" PRIu64 " ns before it begins: give "
			       "CLOCK_MONOTONIC before and after",
			       i, 0 - round_trip(sample));
	if (i && ((int64_t)(sample->gpu_ns - last->gpu_ns) < 0 ||
		  (int64_t)(sample->gpu_ns - fit->samples[0].gpu_ns) < 0))
		return rk_fail(ERANGE,
			       "gpu clock: it went back by %" PRIu64 " ns before sample %u: was the "
			       "GPU reset? Take new samples",
			       last->gpu_ns - sample->gpu_ns, i);
	return 0;
}

/* Check all, and learn the span, the quickest round trip and the step of the GPU's clock. */
static int survey(struct fit *fit)
{
	const struct rk_gpu_clock_sample *samples = fit->samples;
	struct rk_gpu_clock *clock = fit->clock;

	*clock = (struct rk_gpu_clock){
		.gpu_ns = samples[0].gpu_ns,
		.first_ns = samples[0].gpu_ns,
		.last_ns = samples[fit->count - 1].gpu_ns,
		.round_trip_ns = UINT64_MAX,
		.rate = 1,
	};
	for (uint32_t i = 0; i < fit->count; i++) {
		int result = check_sample(fit, i);

		if (result)
			return result;
		if (round_trip(&samples[i]) < clock->round_trip_ns)
			clock->round_trip_ns = round_trip(&samples[i]);
		clock->resolution_ns = gcd(clock->resolution_ns, samples[i].gpu_ns - clock->first_ns);
	}
	if (!clock->resolution_ns)
		clock->resolution_ns = COARSEST_NS;
	clock->host_ns = samples[0].before_ns + round_trip(&samples[0]) / 2;
	return 0;
}

static void keep(struct fit *fit, const struct rk_gpu_clock_sample *sample)
{
	double before = distance(sample->before_ns, fit->clock->host_ns);
	double after = distance(sample->after_ns, fit->clock->host_ns);

	fit->points[fit->kept++] = (struct point){
		.gpu = distance(sample->gpu_ns, fit->clock->gpu_ns),
		.host = (before + after) / 2,
		.half = (after - before) / 2,
	};
}

/* The quickest of each window, but not of one that saw only slow ones: those say little. */
static void keep_quickest(struct fit *fit)
{
	uint64_t span = fit->clock->last_ns - fit->clock->first_ns;
	uint64_t slow = fit->clock->round_trip_ns + fit->clock->resolution_ns;
	uint32_t i = 0;

	for (uint64_t window = 1; window <= WINDOWS; window++) {
		const struct rk_gpu_clock_sample *best = NULL;
		uint64_t end = window == WINDOWS ? span : span / WINDOWS * window;

		for (; i < fit->count && fit->samples[i].gpu_ns - fit->clock->first_ns <= end; i++)
			if (!best || round_trip(&fit->samples[i]) < round_trip(best))
				best = &fit->samples[i];
		if (best && round_trip(best) / 2 <= slow)
			keep(fit, best);
	}
}

/* The line through the points that matters most to the narrowest of them. */
static void lay_line(struct fit *fit, double *offset)
{
	double weights = 0, gpu = 0, host = 0, square = 0, product = 0;

	for (uint32_t i = 0; i < fit->kept; i++) {
		double half = fit->points[i].half + (double)fit->clock->resolution_ns;
		double weight = 1 / (half * half);

		weights += weight;
		gpu += weight * fit->points[i].gpu;
		host += weight * fit->points[i].host;
	}
	gpu /= weights;
	host /= weights;
	for (uint32_t i = 0; i < fit->kept; i++) {
		double half = fit->points[i].half + (double)fit->clock->resolution_ns;
		double x = fit->points[i].gpu - gpu, y = fit->points[i].host - host;

		square += x * x / (half * half);
		product += x * y / (half * half);
	}
	if (square > 0)
		fit->clock->rate = product / square;
	*offset = host - gpu * fit->clock->rate;
}

/*
 * How far each point's interval reaches from the line. A reading is up to one step old, those of
 * the samples and that which will be converted: half a step either way, here and in bound().
 */
static void measure_reach(struct fit *fit, double offset)
{
	double half_step = (double)fit->clock->resolution_ns / 2 * (1 + MAX_DRIFT);

	for (uint32_t i = 0; i < fit->kept; i++) {
		struct point *point = &fit->points[i];
		double line = offset + point->gpu * fit->clock->rate;

		point->reach = point->half + half_step + fabs(point->host - line);
	}
}

/* The least bound of the rate's error that two points give. */
static double error_of_rate(const struct fit *fit)
{
	double least = INFINITY;

	for (uint32_t i = 0; i < fit->kept; i++)
		for (uint32_t j = i + 1; j < fit->kept; j++) {
			const struct point *a = &fit->points[i], *b = &fit->points[j];
			double error = (a->reach + b->reach) / (b->gpu - a->gpu);

			if (b->gpu > a->gpu && error < least)
				least = error;
		}
	return least;
}

/*
 * The error of a line against a line is itself a line, and at each point no more than its reach. So
 * two points bound it anywhere, and the best pair does so at @gpu.
 */
static double error_at(const struct fit *fit, double gpu)
{
	double least = INFINITY;

	for (uint32_t i = 0; i < fit->kept; i++) {
		const struct point *a = &fit->points[i];
		double alone = a->reach + fabs(gpu - a->gpu) * fit->clock->error_rate;

		least = fmin(least, alone);
		for (uint32_t j = i + 1; j < fit->kept; j++) {
			const struct point *b = &fit->points[j];
			double part = (gpu - a->gpu) / (b->gpu - a->gpu);

			if (b->gpu > a->gpu)
				least = fmin(least, fabs(1 - part) * a->reach +
							    fabs(part) * b->reach);
		}
	}
	return least;
}

/* How far the line passes outside the interval of a sample. */
static double outside(const struct fit *fit, const struct rk_gpu_clock_sample *sample,
		      double offset)
{
	const struct rk_gpu_clock *clock = fit->clock;
	double line = offset + distance(sample->gpu_ns, clock->gpu_ns) * clock->rate;

	return fmax(distance(sample->before_ns, clock->host_ns) - line,
		    line - distance(sample->after_ns, clock->host_ns));
}

static void bound(struct fit *fit, double offset)
{
	struct rk_gpu_clock *clock = fit->clock;
	double last = distance(clock->last_ns, clock->gpu_ns);

	clock->error_ns = fmax(error_at(fit, 0), error_at(fit, last));
	/* Were a rate not constant, the line would still be as far as this from what is certain. */
	for (uint32_t i = 0; i < fit->kept; i++)
		clock->error_ns = fmax(clock->error_ns, fit->points[i].reach);
	for (uint32_t i = 0; i < fit->count; i++)
		clock->error_ns = fmax(clock->error_ns, outside(fit, &fit->samples[i], offset));
	/* The reading that is converted; and all is rounded to nanoseconds. */
	clock->error_ns += (double)clock->resolution_ns / 2 * (1 + MAX_DRIFT) + 2;
}

int rk_gpu_clock_fit(struct rk_gpu_clock *clock, const struct rk_gpu_clock_sample *samples,
		     uint32_t count)
{
	struct fit fit = {.samples = samples, .count = count, .clock = clock};
	double offset;
	int result;

	if (!count)
		return rk_fail(EINVAL, "gpu clock: no sample: take at least one");
	result = survey(&fit);
	if (result)
		return result;
	keep_quickest(&fit);
	lay_line(&fit, &offset);
	measure_reach(&fit, offset);
	clock->error_rate = error_of_rate(&fit);
	if (clock->error_rate > MAX_DRIFT) {
		/* Too short a span to tell the rate: both clocks are what they claim, or close. */
		clock->rate = 1;
		offset = 0;
		for (uint32_t i = 0; i < fit.kept; i++)
			offset += (fit.points[i].host - fit.points[i].gpu) / fit.kept;
		measure_reach(&fit, offset);
		clock->error_rate = MAX_DRIFT;
	}
	if (fabs(clock->rate - 1) > MAX_DRIFT + clock->error_rate)
		return rk_fail(ERANGE,
			       "gpu clock: its rate differs from the host's by %.0f ppm: was one of "
			       "them set, or the GPU reset? Take new samples",
			       (clock->rate - 1) * 1e6);
	clock->used = fit.kept;
	bound(&fit, offset);
	clock->host_ns += (uint64_t)(int64_t)llround(offset);
	return 0;
}

uint64_t rk_gpu_clock_host_ns(const struct rk_gpu_clock *clock, uint64_t gpu_ns, double *error_ns)
{
	double from_first = distance(gpu_ns, clock->first_ns);
	double from_last = distance(gpu_ns, clock->last_ns);

	if (error_ns)
		*error_ns = clock->error_ns +
			    fmax(fmax(-from_first, from_last), 0) * clock->error_rate;
	return clock->host_ns + (uint64_t)(int64_t)llround(distance(gpu_ns, clock->gpu_ns) *
							    clock->rate);
}
