/* SPDX-License-Identifier: MIT */
/*
 * gpu_calibrate.cuh - how far memory is from a multiprocessor: the L2 cache is in slices, and those
 * in the other half of the chip are further. One warp for each multiprocessor loads the first line
 * of every page as a seat polls a slot, and keeps the least of some times.
 */
#ifndef RK_GPU_CALIBRATE_CUH
#define RK_GPU_CALIBRATE_CUH

#include "gpu_ring.cuh"

#define RK_CALIBRATE_LOADS 8

/* @cycles: [multiprocessor * pages + page]; blocks that share a multiprocessor write the same. */
extern "C" __global__ void rk_calibrate(uint64_t memory, uint64_t page_bytes, uint32_t pages,
					uint32_t *cycles)
{
	uint32_t sm, page, least;

	asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
	for (page = 0; page < pages; page++) {
		uint64_t at = memory + page * page_bytes + threadIdx.x % 4 * sizeof(struct rk_words);

		least = UINT32_MAX;
		for (uint32_t i = 0; i < RK_CALIBRATE_LOADS; i++) {
			uint32_t before = (uint32_t)clock64(), spent;
			struct rk_words words = rk_load_words(at);

			/* The second reading of the clock waits for the load's value. */
			spent = (uint32_t)clock64() - before + (uint32_t)((words.w0 ^ words.w0) & 1);
			least = spent < least ? spent : least;
		}
		if (threadIdx.x == 0)
			cycles[(uint64_t)sm * pages + page] = least;
	}
}

#endif
