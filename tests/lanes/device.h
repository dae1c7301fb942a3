/* SPDX-License-Identifier: MIT */
/* device.h - CUDA's words for device code that is compiled for the host and runs by lanes.h. */
#ifndef LANES_DEVICE_H
#define LANES_DEVICE_H

#include "lanes.h"

#include <cstring>
#include <utility>

#define __CUDACC__
#define __CUDACC_RTC__
#define __device__
#define __host__
#define __global__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__	__attribute__((noinline))
#define __align__(n)	__attribute__((aligned(n)))
#define __shared__	thread_local

/* A block runs in one thread, which has its shared memory. */
alignas(1024) thread_local uint8_t rk_block_memory[LANES_SHARED_BYTES];

extern "C" const lanes_ops *lanes;
const lanes_ops *lanes;

/* Where shared memory begins, for the thread that runs a block. */
extern "C" void *lanes_shared_memory()
{
	return rk_block_memory;
}

template <class... WORDS, size_t... AT>
static lanes_kernel *lanes_bind_to(void (*kernel)(WORDS...), void **arguments, std::index_sequence<AT...>)
{
	return new lanes_kernel(std::bind(kernel, *(WORDS *)arguments[AT]...));
}

template <class... WORDS> static lanes_kernel *lanes_bind_to(void (*kernel)(WORDS...), void **arguments)
{
	return lanes_bind_to(kernel, arguments, std::index_sequence_for<WORDS...>());
}

#define LANES_KERNEL(name)                                              \
	extern "C" lanes_kernel *lanes_bind_##name(void **arguments)    \
	{                                                               \
		return lanes_bind_to(name, arguments);                  \
	}

#define threadIdx (lanes->place()->thread)
#define blockIdx  (lanes->place()->block)
#define blockDim  (lanes->place()->threads)

struct alignas(16) ulonglong2 {
	unsigned long long x, y;
};

static inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y)
{
	return {x, y};
}

/* --- A warp --- */

static inline void __syncwarp(uint32_t mask = 0xffffffffu)
{
	lanes->meet(LANES_SYNC, mask, 0, 0);
}

template <class WORD> static inline WORD __shfl_sync(uint32_t mask, WORD said, int from)
{
	return (WORD)lanes->meet(LANES_SHUFFLE, mask, (uint64_t)said, (uint32_t)from);
}

static inline uint32_t __ballot_sync(uint32_t mask, int said)
{
	return (uint32_t)lanes->meet(LANES_BALLOT, mask, said != 0, 0);
}

static inline int __any_sync(uint32_t mask, int said)
{
	return __ballot_sync(mask, said) != 0;
}

template <class WORD> static inline uint32_t __match_any_sync(uint32_t mask, WORD said)
{
	return (uint32_t)lanes->meet(LANES_MATCH, mask, (uint64_t)said, 0);
}

/* --- A block --- */

static inline void __syncthreads()
{
	lanes->barrier(LANES_BLOCK, false);
}

static inline int __syncthreads_or(int said)
{
	return lanes->barrier(LANES_BLOCK, said != 0);
}

static inline void __nanosleep(uint32_t ns)
{
	lanes->sleep(ns);
}

/* --- A lane --- */

static inline void __threadfence_system()
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Whoever asks again and again waits for others. */
template <class WORD> static inline WORD atomicAdd(WORD *at, WORD more)
{
	lanes->look();
	return __atomic_fetch_add(at, more, __ATOMIC_RELAXED);
}

static inline uint32_t atomicAdd(uint32_t *at, int more)
{
	return atomicAdd(at, (uint32_t)more);
}

template <class WORD> static inline WORD atomicExch(WORD *at, WORD next)
{
	return __atomic_exchange_n(at, next, __ATOMIC_RELAXED);
}

static inline uint32_t atomicExch(uint32_t *at, int next)
{
	return atomicExch(at, (uint32_t)next);
}

static inline int __ffs(int word)
{
	return __builtin_ffs(word);
}

static inline int __popc(uint32_t word)
{
	return __builtin_popcount(word);
}

static inline uint64_t __cvta_generic_to_shared(const void *at)
{
	return (uint64_t)((const uint8_t *)at - rk_block_memory);
}

#endif
