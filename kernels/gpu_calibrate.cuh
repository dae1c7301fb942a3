/* SPDX-License-Identifier: MIT */
/*
 * gpu_calibrate.cuh - how far memory is from a multiprocessor: the L2 cache is in slices, and those
 * in the other half of the chip are further. One warp for each multiprocessor loads the first line
 * of every page as a seat polls a slot, and keeps the least of some times.
 */
#ifndef RK_GPU_CALIBRATE_CUH
#define RK_GPU_CALIBRATE_CUH

#include "gpu_ring.cuh"

#define RK_CALIBRATE_TIMES 3
#define RK_CALIBRATE_LOADS 4 /* in a row */

static __device__ __forceinline__ uint32_t rk_clock()
{
	uint32_t now;

	asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
	return now;
}

/*
 * @cycles: [multiprocessor * (pages + 1) + page], the last of each to @host, memory of the host;
 * blocks that share a multiprocessor write the same.
 */
extern "C" __global__ void rk_calibrate(uint64_t memory, uint64_t page_bytes, uint32_t pages,
					uint64_t host, uint32_t *cycles)
{
	uint32_t sm, page, least;

	asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
	for (page = 0; page <= pages; page++) {
		uint64_t at = (page < pages ? memory + page * page_bytes : host) + threadIdx.x % 4 * sizeof(struct rk_words);

		least = UINT32_MAX;
		for (uint32_t i = 0; i < RK_CALIBRATE_TIMES; i++) {
			uint32_t before = rk_clock(), spent, load = 0;

			/* The memory holds zeros; that each is looked at makes the next wait. */
#pragma unroll 1
			while (load < RK_CALIBRATE_LOADS && !rk_load_words(at).w0)
				load++;
			spent = (rk_clock() - before) / RK_CALIBRATE_LOADS;
			least = spent < least ? spent : least;
		}
		if (threadIdx.x == 0)
			cycles[(uint64_t)sm * (pages + 1) + page] = least;
	}
}

#endif
