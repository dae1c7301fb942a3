/* SPDX-License-Identifier: MIT */
/*
 * ptx.h - what kernels/gpu_ptx.cuh has, in its place, where lanes are fibers of a CPU. Words of
 * shared memory are held apart from others as on a GPU: an address of the one among the other is found
 * out.
 */
#ifndef RK_GPU_PTX_CUH
#define RK_GPU_PTX_CUH

#include "gpu_lane.h"
#include "gpu_layout.h"

/* --- Words --- */

static inline uint64_t rk_load_word(uint64_t address)
{
	lanes->look();
	return __atomic_load_n((uint64_t *)address, __ATOMIC_RELAXED);
}

static inline void rk_store_word(uint64_t address, uint64_t word)
{
	__atomic_store_n((uint64_t *)address, word, __ATOMIC_RELAXED);
}

static inline struct rk_words rk_load_words(uint64_t address)
{
	uint64_t *at = (uint64_t *)address;
	struct rk_words words;

	lanes->look();
	words.w0 = __atomic_load_n(at, __ATOMIC_RELAXED);
	words.w1 = __atomic_load_n(at + 1, __ATOMIC_RELAXED);
	return words;
}

static inline void rk_store_words(uint64_t address, struct rk_words words)
{
	rk_store_word(address, words.w0);
	rk_store_word(address + 8, words.w1);
}

/* Where a word lies, for loads and stores of the CPU. A load is of this block's own memory. */
static inline uint64_t rk_place_of(uint64_t address, uint32_t shared, uint32_t bytes)
{
	return shared ? (uint64_t)lanes->shared((uint32_t)address, bytes) : address;
}

static inline void rk_load_words_of(struct rk_words *words, uint64_t address, uint32_t shared, bool mixed)
{
	*words = rk_load_words(rk_place_of(address, mixed && shared, 16));
}

static inline void rk_load_word_of(uint64_t *word, uint64_t address, uint32_t shared, bool mixed)
{
	*word = rk_load_word(rk_place_of(address, mixed && shared, 8));
}

static inline void rk_store_words_to(uint64_t address, struct rk_words words, uint32_t shared)
{
	rk_store_words(rk_place_of(address, shared, 16), words);
}

static inline void rk_store_word_to(uint64_t address, uint64_t word, uint32_t shared)
{
	rk_store_word(rk_place_of(address, shared, 8), word);
}

static inline struct rk_words rk_acquire_words(uint64_t address)
{
	struct rk_words words = rk_load_words(address);

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return words;
}

static inline void rk_add_to(uint64_t *sum, uint64_t amount)
{
	__atomic_fetch_add(sum, amount, __ATOMIC_RELAXED);
}

static inline void rk_fence()
{
	__atomic_thread_fence(__ATOMIC_ACQ_REL);
}

/* --- Clocks and places --- */

#define RK_IDLE_POLLS 16 /* a look of all lanes takes tens of microseconds */

static inline uint64_t rk_global_ns()
{
	return lanes->now_ns();
}

static inline uint32_t rk_clock()
{
	return (uint32_t)rk_global_ns();
}

static inline uint32_t rk_multiprocessor()
{
	return blockIdx.x;
}

/* --- Clusters --- */

static inline uint32_t rk_own_rank()
{
	return lanes->rank();
}

static inline uint32_t rk_address_in(uint32_t address, uint32_t rank)
{
	return rank == rk_own_rank() ? address : lanes->address_in(address, rank);
}

static inline void rk_sync_cluster()
{
	lanes->barrier(LANES_CLUSTER, false);
}

#endif
