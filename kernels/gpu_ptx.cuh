/* SPDX-License-Identifier: MIT */
/*
 * gpu_ptx.cuh - the instructions that the kernel asks for by name: loads and stores of words, fences,
 * clocks, and what a cluster of blocks has. No other file of the kernel has any: what runs these
 * sources without a GPU (tests/lanes) has this file of its own.
 *
 * Loads and stores of slots are relaxed and of system scope: the words validate themselves, so
 * nothing is asked of them but to be whole, and never to be served from the L1 cache. They are
 * explicit instructions: of a plain load the compiler may make a non-coherent one.
 */
#ifndef RK_GPU_PTX_CUH
#define RK_GPU_PTX_CUH

#include "gpu_lane.h"
#include "gpu_layout.h"

/* --- Words --- */

static __device__ __forceinline__ struct rk_words rk_load_words(uint64_t address)
{
	struct rk_words words;

	asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];"
		     : "=l"(words.w0), "=l"(words.w1)
		     : "l"(address));
	return words;
}

static __device__ __forceinline__ void rk_store_words(uint64_t address, struct rk_words words)
{
	asm volatile("st.relaxed.sys.global.v2.u64 [%0], {%1, %2};" ::"l"(address), "l"(words.w0),
		     "l"(words.w1));
}

/*
 * The same, and of shared memory, which has instructions of its own: system scope traps there. What
 * is loaded lies with who loads it, in this block: a load of the cluster's shared memory takes
 * longer. Where it is not known before it is compiled (@mixed), both loads stand in one piece and
 * load the same registers: a choice between two results would wait for the load where it is made,
 * and not where its words are needed. They are zeroed first, or else what was in them would have to
 * be kept for the case that neither load is made.
 */
#define RK_SHARED_LOAD "ld.volatile.shared"

static __device__ __forceinline__ void rk_load_words_of(struct rk_words *words, uint64_t address,
							uint32_t shared, bool mixed)
{
	if (!mixed) {
		*words = rk_load_words(address);
		return;
	}
	asm volatile("{ .reg .pred p;\n\t"
		     "setp.ne.u32 p, %4, 0;\n\t"
		     "mov.u64 %0, 0;\n\t"
		     "mov.u64 %1, 0;\n\t"
		     "@p " RK_SHARED_LOAD ".v2.u64 {%0, %1}, [%3];\n\t"
		     "@!p ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2]; }"
		     : "=&l"(words->w0), "=&l"(words->w1)
		     : "l"(address), "r"((uint32_t)address), "r"(shared));
}

static __device__ __forceinline__ void rk_load_word_of(uint64_t *word, uint64_t address,
						       uint32_t shared, bool mixed)
{
	if (mixed)
		asm volatile("{ .reg .pred p;\n\t"
			     "setp.ne.u32 p, %3, 0;\n\t"
			     "mov.u64 %0, 0;\n\t"
			     "@p " RK_SHARED_LOAD ".u64 %0, [%2];\n\t"
			     "@!p ld.relaxed.sys.global.u64 %0, [%1]; }"
			     : "=&l"(*word)
			     : "l"(address), "r"((uint32_t)address), "r"(shared));
	else
		asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(*word) : "l"(address));
}

static __device__ __forceinline__ void rk_store_words_to(uint64_t address, struct rk_words words,
							 uint32_t shared)
{
	if (shared == RK_SHARED_HERE)
		asm volatile("st.volatile.shared.v2.u64 [%0], {%1, %2};" ::"r"((uint32_t)address),
			     "l"(words.w0), "l"(words.w1));
#if __CUDA_ARCH__ >= 900
	else if (shared)
		asm volatile("st.relaxed.cluster.shared::cluster.v2.u64 [%0], {%1, %2};" ::"r"(
				     (uint32_t)address),
			     "l"(words.w0), "l"(words.w1));
#endif
	else
		rk_store_words(address, words);
}

static __device__ __forceinline__ void rk_store_word_to(uint64_t address, uint64_t word,
							uint32_t shared)
{
	if (shared == RK_SHARED_HERE)
		asm volatile("st.volatile.shared.u64 [%0], %1;" ::"r"((uint32_t)address), "l"(word));
#if __CUDA_ARCH__ >= 900
	else if (shared)
		asm volatile("st.relaxed.cluster.shared::cluster.u64 [%0], %1;" ::"r"(
				     (uint32_t)address),
			     "l"(word));
#endif
	else
		asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(address), "l"(word));
}

static __device__ __forceinline__ uint64_t rk_load_word(uint64_t address)
{
	uint64_t word;

	asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(word) : "l"(address));
	return word;
}

static __device__ __forceinline__ void rk_store_word(uint64_t address, uint64_t word)
{
	asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(address), "l"(word));
}

/* The same, and what was written before that word was is seen then. */
static __device__ __forceinline__ struct rk_words rk_acquire_words(uint64_t address)
{
	struct rk_words words;

	asm volatile("ld.acquire.sys.global.v2.u64 {%0, %1}, [%2];"
		     : "=l"(words.w0), "=l"(words.w1)
		     : "l"(address)
		     : "memory");
	return words;
}

/* Add to a sum in global memory. The result is not asked for, so nobody waits for it. */
static __device__ __forceinline__ void rk_add_to(uint64_t *sum, uint64_t amount)
{
	asm volatile("red.relaxed.gpu.global.add.u64 [%0], %1;" ::"l"(sum), "l"(amount) : "memory");
}

/* Also drops what the first level of cache holds. */
static __device__ __forceinline__ void rk_fence()
{
	asm volatile("fence.acq_rel.sys;" ::: "memory");
}

/* --- Clocks and places --- */

#define RK_IDLE_POLLS 1024 /* loads from afar, between two looks aside while nothing comes: some 0.3 ms */

/* Cycles of this multiprocessor. */
static __device__ __forceinline__ uint32_t rk_clock()
{
	uint32_t now;

	asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
	return now;
}

/* The GPU's clock, in nanoseconds. */
static __device__ __forceinline__ uint64_t rk_global_ns()
{
	uint64_t now;

	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
	return now;
}

static __device__ __forceinline__ uint32_t rk_multiprocessor()
{
	uint32_t sm;

	asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
	return sm;
}

/* --- Clusters --- */

/* This block's number in its cluster. */
static __device__ uint32_t rk_own_rank()
{
	uint32_t rank = 0;

#if __CUDA_ARCH__ >= 900
	asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
	return rank;
}

/* What lies at @address of this block's shared memory, in that of the cluster's block @rank. */
static __device__ uint32_t rk_address_in(uint32_t address, uint32_t rank)
{
#if __CUDA_ARCH__ >= 900
	if (rank != rk_own_rank())
		asm volatile("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(address) : "r"(rank));
#endif
	(void)rank;
	return address;
}

/* All blocks of a cluster: they reach into each other's shared memory between two of these. */
static __device__ void rk_sync_cluster()
{
#if __CUDA_ARCH__ >= 900
	asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
#endif
}

#endif
