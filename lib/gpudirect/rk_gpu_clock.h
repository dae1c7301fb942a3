/* SPDX-License-Identifier: MIT */
/*
 * rk_gpu_clock.h - the time of a GPU in the time of the host, with a bound of the error.
 *
 * A sample is taken by asking: the host notes its clock, the GPU answers with its own, the host
 * notes its clock again. The GPU read its clock somewhere between: that is all a sample says, and it
 * is certain. So the quickest samples say most. A line through them gives offset and rate; how far
 * its samples' own intervals reach from it bounds its error, whatever the delays were made of.
 *
 * The bound holds where both clocks run at constant rates from the first sample to where it is used.
 * A rate that changes shows as a wider bound among the samples, and not at all after them: so take
 * new samples now and then.
 */
#ifndef RK_GPU_CLOCK_H
#define RK_GPU_CLOCK_H

#include "rk_base.h"

#define RK_GPU_CLOCK_MAX_PPM 500 /* two clocks that differ by more are not what they claim */

/**
 * struct rk_gpu_clock_sample - one question and answer
 * @before_ns: CLOCK_MONOTONIC before the GPU read its clock
 * @gpu_ns: what it read
 * @after_ns: CLOCK_MONOTONIC after it
 */
struct rk_gpu_clock_sample {
	uint64_t before_ns;
	uint64_t gpu_ns;
	uint64_t after_ns;
};

/**
 * struct rk_gpu_clock - how the two clocks lie to each other
 * @host_ns: an instant on the host's clock
 * @gpu_ns: the same instant on the GPU's
 * @rate: nanoseconds of the host for one of the GPU
 * @error_ns: bound of the error, from @first_ns to @last_ns on the GPU's clock
 * @error_rate: by how much it grows for each nanosecond outside
 * @first_ns: first sample, GPU's clock
 * @last_ns: last sample
 * @resolution_ns: step of the GPU's clock, as far as the samples tell; in the bound
 * @round_trip_ns: of the quickest sample
 * @used: samples that the line was laid through
 */
struct rk_gpu_clock {
	uint64_t host_ns;
	uint64_t gpu_ns;
	double rate;
	double error_ns;
	double error_rate;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t resolution_ns;
	uint64_t round_trip_ns;
	uint32_t used;
};

RK_BEGIN_DECLS

/**
 * rk_gpu_clock_fit() - find offset, rate and the bound of their error
 * @clock: out
 * @samples: in the order in which they were taken
 * @count: at least 1; hundreds over a second give rates to parts in 10^8
 *
 * Context: any thread; never sleeps.
 * Return: 0; -EINVAL for no sample or one that ends before it begins; -ERANGE when the GPU's clock
 * went back, or at a rate beyond RK_GPU_CLOCK_MAX_PPM; said in rk_errmsg().
 */
RK_API int rk_gpu_clock_fit(struct rk_gpu_clock *clock, const struct rk_gpu_clock_sample *samples,
			    uint32_t count);

/**
 * rk_gpu_clock_host_ns() - an instant of the GPU's clock on the host's
 * @clock: as fitted
 * @gpu_ns: as the GPU read it
 * @error_ns: out, or NULL: bound of the error
 *
 * Context: any thread; never sleeps.
 * Return: CLOCK_MONOTONIC.
 */
RK_API uint64_t rk_gpu_clock_host_ns(const struct rk_gpu_clock *clock, uint64_t gpu_ns,
				     double *error_ns);

RK_END_DECLS

#endif
