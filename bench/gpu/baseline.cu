// SPDX-License-Identifier: MIT
/*
 * baseline.cu - what the ring is compared with, written by hand as it usually is and as well as it
 * goes: the computation of handlers.c by launch, by a graph, and behind a queue in mapped host
 * memory; and a bare flag between two GPUs. NVRTC compiles it at run time.
 *
 * A message is seven words: the header, whose upper half is the tag, and six of payload.
 */
#include "bench/gpu/flag.cuh"

#define WORDS 7
#define FLAG 7 /* word of the line that tells that the others are there */
#define LEAVE (~0ull)
#define FACTOR 6364136223846793005ull
#define POLLS 1024 /* between two looks at the clock */

struct message {
	word_t word[WORDS];
};

static __device__ __forceinline__ word_t compute(word_t word, word_t header, unsigned lane)
{
	return lane ? word * FACTOR + (header >> 32) : word;
}

static __device__ __forceinline__ word_t load_relaxed(const word_t *at)
{
	word_t value;

	asm volatile("ld.relaxed.sys.u64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
	return value;
}

static __device__ __forceinline__ void store_relaxed(word_t *at, word_t value)
{
	asm volatile("st.relaxed.sys.u64 [%0], %1;" ::"l"(at), "l"(value) : "memory");
}

static __device__ __forceinline__ word_t now_ns()
{
	word_t ns;

	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns)::"memory");
	return ns;
}

/* By launch: the message comes as the kernel's argument, the quickest way in. */
extern "C" __global__ void by_argument(struct message in, word_t *out)
{
	if (threadIdx.x < WORDS)
		out[threadIdx.x] = compute(in.word[threadIdx.x], in.word[0], threadIdx.x);
}

/* By graph, whose arguments stay: it lies in memory of the GPU, where the host has written it. */
extern "C" __global__ void by_memory(const volatile word_t *in, word_t *out)
{
	if (threadIdx.x < WORDS)
		out[threadIdx.x] = compute(in[threadIdx.x], in[0], threadIdx.x);
}

/*
 * By a queue: one warp polls a flag in host memory with acquire, reads the message, writes the
 * answer to host memory, and a flag behind it with release. Depth is one, so one line each.
 */
extern "C" __global__ void by_queue(const word_t *request, word_t *reply)
{
	unsigned lane = threadIdx.x;

	for (word_t next = 1;; next++) {
		word_t flag = 0, word = 0;

		if (lane == 0)
			do
				flag = load_acquire(request + FLAG);
			while (flag != next && flag != LEAVE);
		flag = __shfl_sync(~0u, flag, 0);
		__syncwarp();
		if (flag == LEAVE)
			return;
		if (lane < WORDS)
			word = load_relaxed(request + lane);
		word = compute(word, __shfl_sync(~0u, word, 0), lane);
		if (lane < WORDS)
			store_relaxed(reply + lane, word);
		__syncwarp();
		if (lane == 0)
			store_release(reply + FLAG, next);
	}
}

/*
 * A flag back and forth between two GPUs, each of which polls memory of its own: one thread each.
 * @first begins. Its @ns gets the time of each of @chunks chunks of @trips round trips. Whoever has
 * waited for @limit_ns in all leaves.
 */
extern "C" __global__ void bounce_flag(const word_t *mine, word_t *theirs, unsigned first,
				       word_t chunks, word_t trips, word_t *ns, word_t limit_ns)
{
	word_t begun_ns = now_ns(), count = 0;

	for (word_t chunk = 0; chunk < chunks; chunk++) {
		word_t from_ns = now_ns();

		for (word_t trip = 0; trip < trips; trip++) {
			count++;
			if (first)
				store_relaxed(theirs, count);
			for (unsigned polls = 1; load_relaxed(mine) != count; polls++)
				if (polls % POLLS == 0 && now_ns() - begun_ns > limit_ns)
					return;
			if (!first)
				store_relaxed(theirs, count);
		}
		if (first)
			ns[chunk] = now_ns() - from_ns;
	}
}
