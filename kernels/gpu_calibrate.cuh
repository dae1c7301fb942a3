/* SPDX-License-Identifier: MIT */
/*
 * gpu_calibrate.cuh - how far memory is from a multiprocessor: the L2 cache is in slices, and those
 * in the other half of the chip are further. One warp for each multiprocessor loads the first line
 * of every page as a seat polls a slot, and keeps the least of some times. Then they load from the host,
 * one after the other, for the bus would be full of them.
 */
#ifndef RK_GPU_CALIBRATE_CUH
#define RK_GPU_CALIBRATE_CUH

#include "gpu_ring.cuh"

#define RK_CALIBRATE_TIMES 3
#define RK_CALIBRATE_LOADS 4 /* in a row */

/* Cycles of one load from @at, which holds zero: the least of some means. */
static __device__ uint32_t rk_time_load(uint64_t at)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < RK_CALIBRATE_TIMES; i++) {
		uint32_t before = rk_clock(), spent, load = 0;

		/* That each is looked at makes the next wait. */
#pragma unroll 1
		while (load < RK_CALIBRATE_LOADS && !rk_load_words(at).w0)
			load++;
		spent = (rk_clock() - before) / RK_CALIBRATE_LOADS;
		least = spent < least ? spent : least;
	}
	return least;
}

/*
 * @cycles: [multiprocessor * (pages + 1) + page], the last of each to @host, memory of the host;
 * blocks that share a multiprocessor write the same. @ticket: 0 at first; whose turn it is.
 */
extern "C" __global__ void rk_calibrate(uint64_t memory, uint64_t page_bytes, uint32_t pages,
					uint64_t host, uint32_t *cycles, uint32_t *ticket)
{
	uint32_t lane_bytes = threadIdx.x % 4 * (uint32_t)sizeof(struct rk_words);
	uint32_t sm = rk_multiprocessor(), spent;

	for (uint32_t page = 0; page < pages; page++) {
		spent = rk_time_load(memory + page * page_bytes + lane_bytes);
		if (threadIdx.x == 0)
			cycles[(uint64_t)sm * (pages + 1) + page] = spent;
	}
	/* Every block is resident: there is one for each multiprocessor. */
	while (atomicAdd(ticket, 0) != blockIdx.x)
		__nanosleep(100);
	spent = rk_time_load(host + lane_bytes);
	if (threadIdx.x == 0)
		cycles[(uint64_t)sm * (pages + 1) + pages] = spent;
	__syncwarp();
	if (threadIdx.x == 0)
		atomicAdd(ticket, 1);
}

#endif
