/* SPDX-License-Identifier: MIT */
/* flag.cuh - flags in host memory, as kernels written by hand use them. NVRTC is given its text. */
#ifndef BENCH_GPU_FLAG_CUH
#define BENCH_GPU_FLAG_CUH

typedef unsigned long long word_t;

static __device__ __forceinline__ word_t load_acquire(const word_t *at)
{
	word_t value;

	asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
	return value;
}

static __device__ __forceinline__ void store_release(word_t *at, word_t value)
{
	asm volatile("st.release.sys.u64 [%0], %1;" ::"l"(at), "l"(value) : "memory");
}

#endif
