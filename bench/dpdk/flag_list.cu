// SPDX-License-Identifier: MIT
/*
 * flag_list.cu - what l2fwd-nv does with gpudev's communication lists, written by hand as well as it
 * goes: a persistent kernel polls the flag of one list after another in host memory, reads the
 * addresses of its packets there, then their headers where they lie; it verifies the checksum of
 * IPv4 and swaps the MAC addresses, and says in the flag that the list is done. Unlike the model it
 * acquires and releases its flags. NVRTC compiles it at run time.
 */
#include "bench/gpu/flag.cuh"

#define FREE 0
#define READY 1
#define LEAVE 2

struct packet {
	word_t address;
	word_t bytes;
};

struct list {
	word_t flag;
	word_t count;
	word_t unused[6];
	struct packet packet[1024];
};

static __device__ __forceinline__ void load_two(word_t address, word_t *a, word_t *b)
{
	asm volatile("ld.relaxed.sys.v2.u64 {%0, %1}, [%2];"
		     : "=l"(*a), "=l"(*b)
		     : "l"(address)
		     : "memory");
}

/* The four halves of a word, added up. */
static __device__ __forceinline__ unsigned halves(word_t word)
{
	return (unsigned)(word & 0xffff) + (unsigned)(word >> 16 & 0xffff) +
	       (unsigned)(word >> 32 & 0xffff) + (unsigned)(word >> 48);
}

/* UDP over IPv4 without options, its checksum right: then its addresses change places. */
static __device__ bool handle(word_t address)
{
	word_t w0, w1, w2, w3, w4, w5, to, from;
	unsigned sum;

	load_two(address, &w0, &w1);
	load_two(address + 16, &w2, &w3);
	load_two(address + 32, &w4, &w5);
	sum = (unsigned)(w1 >> 48) + halves(w2) + halves(w3) + (unsigned)(w4 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if ((w1 >> 32 & 0xffffff) != 0x450008 || w2 >> 56 != 17 || sum != 0xffff)
		return false;
	to = w0 & 0xffffffffffff;
	from = w0 >> 48 | (w1 & 0xffffffff) << 16;
	w0 = from | to << 48;
	w1 = (w1 & 0xffffffff00000000) | to >> 16;
	asm volatile("st.relaxed.sys.v2.u64 [%0], {%1, %2};" ::"l"(address), "l"(w0), "l"(w1)
		     : "memory");
	return true;
}

extern "C" __global__ void __launch_bounds__(1024, 1)
	poll_lists(struct list *lists, unsigned count, word_t *good)
{
	__shared__ word_t said, packets, sum;
	word_t mine = 0;

	if (threadIdx.x == 0)
		sum = 0;
	for (unsigned i = blockIdx.x;; i = (i + gridDim.x) % count) {
		struct list *list = &lists[i];

		if (threadIdx.x == 0) {
			do
				said = load_acquire(&list->flag);
			while (said == FREE);
			packets = *(volatile word_t *)&list->count;
		}
		__syncthreads();
		if (said == LEAVE)
			break;
		for (unsigned k = threadIdx.x; k < packets; k += blockDim.x) {
			word_t address, bytes;

			load_two((word_t)&list->packet[k], &address, &bytes);
			mine += bytes >= 42 && handle(address);
		}
		__threadfence_system();
		__syncthreads();
		if (threadIdx.x == 0)
			store_release(&list->flag, FREE);
	}
	atomicAdd(&sum, mine);
	__syncthreads();
	if (threadIdx.x == 0)
		good[blockIdx.x] = sum;
}
