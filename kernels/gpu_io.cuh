/* SPDX-License-Identifier: MIT */
/*
 * gpu_io.cuh - completions of an actor's own I/O (rk_io.h), taken by a warp.
 *
 * The queues lie in host memory, and whoever looks at them waits until the answer has crossed the bus.
 * With one operation in flight its time is the sum of
 *
 *   1. the handler's looks at the ring's structure, which lies behind the L2 cache;
 *   2. the submission's way to the host and back, for R20 waits until it is there;
 *   3. the tail's way to the host;
 *   4. the kernel's: to see the tail, to do the work, to write the completion;
 *   5. the look that finds it, and half of the one before, which did not.
 *
 * So the tail of the completions is not asked first: that would be one look more. A completion tells
 * by itself that it is there. Its place was vacant: neither the name nor the result was one that an
 * operation can have (RK_IO_NO_NAME, RK_IO_NO_RESULT). The kernel writes each of them once and whole,
 * so when both are others both are this completion's; what it wrote before, the data among it, is
 * there too, where stores become visible in their order (@in_order), for the look acquires.
 *
 * A place is made vacant when its completion is taken, and that is in host memory before the kernel
 * writes there again. The queue has more places than operations can be in flight, so before that
 * completion something was submitted after this one was taken: R20 comes after the store, by the
 * barriers between the lanes, and the kernel's load of that tail before its next lap.
 *
 * The tail is looked at, too, in the same instruction. What it covered at the look before is there
 * whatever it holds: so the queue goes on past a completion that nobody would know as one.
 */
#ifndef RK_GPU_IO_CUH
#define RK_GPU_IO_CUH

#include "gpu_take.cuh"

#define RK_REAP_LANES 16 /* completions of one look: as many messages as a seat has cells for */
#define RK_TAIL_LANE  31 /* looks at the tail */

/* What looks need, in registers: each look empties the first level of cache. */
struct rk_gpu_reaper {
	struct rk_io *io;
	struct rk_io_slot *slots;
	uint64_t queue; /* the completions */
	uint64_t tail;	/* the word with their tail */
	uint32_t slot_count, entries;
	uint32_t next;	    /* completion to be taken */
	uint32_t covered;   /* the tail, at the look before */
	uint32_t submitted; /* and known to the kernel */
	bool in_order;
};

static __device__ __forceinline__ void rk_reap_begin(struct rk_gpu_reaper *reaper, struct rk_io *io)
{
	reaper->io = io;
	reaper->slots = rk_io_slot_at(io, 0);
	reaper->queue = (uint64_t)rk_io_at(io, io->cqes);
	reaper->tail = (uint64_t)rk_io_word(io, io->cq_tail);
	reaper->slot_count = io->slots;
	reaper->entries = io->cq_entries;
	reaper->next = reaper->covered = io->cq_next;
	reaper->submitted = io->sq_next;
	reaper->in_order = io->in_order;
}

/* Nothing is in flight, and nothing lies in the queue. */
static __device__ __forceinline__ bool rk_reap_is_over(const struct rk_gpu_reaper *reaper)
{
	return reaper->submitted == reaper->next && reaper->covered == reaper->next;
}

static __device__ __forceinline__ uint64_t rk_reap_place(const struct rk_gpu_reaper *reaper,
							 uint32_t lane)
{
	uint32_t index = (reaper->next + lane) & (reaper->entries - 1);

	return reaper->queue + (uint64_t)index * RK_IO_CQE_BYTES;
}

/* Completions that are there, without a hole; @words: this lane's. All lanes of a warp. */
static __device__ __forceinline__ uint32_t rk_reap_look(struct rk_gpu_reaper *reaper, uint32_t lane,
							struct rk_words *words)
{
	uint32_t most = reaper->submitted - reaper->next;
	int32_t sure = (int32_t)(reaper->covered - reaper->next);
	uint64_t tail;
	bool there;

	most = most < 1 ? 1 : most < RK_REAP_LANES ? most : RK_REAP_LANES;
	words->w0 = RK_IO_NO_NAME;
	words->w1 = 0;
	/* A21 */
	if (lane < most || lane == RK_TAIL_LANE)
		*words = rk_acquire_words(lane == RK_TAIL_LANE ? reaper->tail & ~15ull :
								 rk_reap_place(reaper, lane));
	there = reaper->in_order && words->w0 != RK_IO_NO_NAME &&
		(uint32_t)words->w1 != RK_IO_NO_RESULT;
	there = lane < most && (there || (int32_t)lane < sure);
	tail = (reaper->tail & 8 ? words->w1 : words->w0) >> (reaper->tail & 4) * 8;
	reaper->covered = __shfl_sync(RK_FULL_WARP, (uint32_t)tail, RK_TAIL_LANE);
	return (uint32_t)__ffs((int)~__ballot_sync(RK_FULL_WARP, there)) - 1;
}

/*
 * Take @count completions, one a lane, each explained by an operation in flight a message at the lane's
 * place in @msgs. Return: which. All lanes of a warp.
 */
static __device__ __forceinline__ uint32_t rk_reap_take(struct rk_gpu_reaper *reaper, uint32_t lane,
							uint32_t count, struct rk_words words,
							struct rk_msg *msgs)
{
	const struct rk_words vacant = {RK_IO_NO_NAME, RK_IO_NO_RESULT};
	uint32_t index = (uint32_t)words.w0, turn = (uint32_t)(words.w0 >> 32), same, which;
	bool known = lane < count && index < reaper->slot_count;
	struct rk_io_slot *slot = &reaper->slots[known ? index : 0];
	struct rk_io *io = reaper->io;
	uint32_t place = io->free_tail;

	known = known && rk_io_explains(slot, turn, (int32_t)(uint32_t)words.w1);
	/* Each operation ends once, whatever the queue holds. */
	same = __match_any_sync(RK_FULL_WARP, words.w0) & __ballot_sync(RK_FULL_WARP, known);
	known = known && (uint32_t)__ffs((int)same) - 1 == lane;
	which = __ballot_sync(RK_FULL_WARP, known);
	if (known) {
		place += (uint32_t)__popc(which & ((1u << lane) - 1));
		rk_io_tell(slot, (int32_t)(uint32_t)words.w1, &msgs[lane]);
		rk_io_store_own(&slot->live, 0);
		*rk_io_free_place(io, place) = index;
	}
	if (lane < count)
		rk_store_words(rk_reap_place(reaper, lane), vacant);
	__syncwarp();
	reaper->next += count;
	if (lane == 0) {
		io->cq_next = reaper->next;
		io->free_tail = place + (uint32_t)__popc(which);
		io->strange += count - (uint32_t)__popc(which);
		/* R22 */
		rk_io_store_read(rk_io_word(io, io->cq_head), reaper->next);
	}
	return which;
}

#endif
