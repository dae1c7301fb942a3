/* SPDX-License-Identifier: MIT */
/*
 * rk_io.h - I/O that a handler starts itself, on the host or on a device, with no system call.
 *
 * An io_uring whose queues lie in a region: the handler writes submissions and reads completions
 * there with plain loads and stores, and a thread of the kernel carries them out. The host makes
 * it (io/rk_io_ring.h); the handler learns of it by RK_MSG_IO_OPEN, and of each completion by
 * RK_MSG_IO_DONE with the tag it gave. Buffers are named by their offset in the region and checked;
 * of what the completion queue holds nothing is believed that no operation in flight explains.
 *
 *   struct rk_io | submissions | completions and indices | slots | free places | buffers ...
 *
 * For a handler on a GPU the region is registered with it, and struct rk_io, slots and free places,
 * which no kernel looks at, lie in memory of the GPU: each look across the bus costs a microsecond.
 *
 * Two who may be on two threads of a CPU: the handler submits, its leader alone; whoever delivers the
 * actor's messages reaps. On a GPU both are one warp, and what only they share needs no order.
 * Compiles for host and device. The ordered pairs:
 *   R20: the tail of the submissions, stored after they are written; A20 is the kernel's load.
 *   A21: the tail of the completions, loaded before they are read; R21 is the kernel's store. A GPU
 *   acquires the completion itself (kernels/gpu_io.cuh).
 *   R22: the head of the completions, stored after they are read; A22 is the kernel's load.
 *   R23: the handler has finished; A23 in lib/io.
 *   R24: the tail of the free places, stored by who reaps after the place is written;
 *   A24: loaded by who submits before it is read.
 *   R25, A25: an operation, from who submits to who reaps.
 */
#ifndef RK_IO_H
#define RK_IO_H

#include "rk_msg.h"

#define RK_IO_MAGIC  0x31474e52314f4b52ULL /* "RKO1RNG1" */
#define RK_IO_EINVAL (-22)

/* Opcodes and flags of Linux, which device code has no header for. */
enum rk_io_op {
	RK_IO_NOP = 0,
	RK_IO_READ = 22,
	RK_IO_WRITE = 23,
	RK_IO_SEND = 26,
	RK_IO_RECV = 27,
};

enum {
	RK_IO_FIXED_FILE = 1,
	RK_IO_NEED_WAKEUP = 1,
	RK_IO_SQE_BYTES = 64,
	RK_IO_CQE_BYTES = 16,
	RK_IO_MSG_NOSIGNAL = 0x4000,
};

/*
 * What the completion queue holds where no completion lies: before the first lap the host, later who
 * reaps on a GPU puts it there. No operation has that name, and none that result.
 */
#define RK_IO_NO_NAME	0xffffffffffffffffULL
#define RK_IO_NO_RESULT 0x80000000U

/**
 * struct rk_io_slot - an operation in flight, or a free place for one
 * @live: in flight: its turn, which is never 0, stored when all else is written (R25) and loaded first
 *	(A25); else 0
 */
struct rk_io_slot {
	uint32_t live;
	uint32_t tag;
	uint32_t bytes;
	uint16_t op;
	uint16_t file;
	uint64_t offset;
	uint64_t buffer;
};

RK_STATIC_ASSERT(sizeof(struct rk_io_slot) == 32, "slot layout 2");

/**
 * struct rk_io - a ring; offsets are bytes from @region, those of slots and free places from here
 * @region: where the handler sees the queues and the buffers
 * @host_base: where the process that made it sees that
 * @sq_head: of the indices that the kernel writes or reads
 * @slots: operations in flight at most; a power of two
 * @files: descriptors that may be named, from 0
 * @buffers: where the room for data begins
 * @in_order: this machine's stores become visible in their order, so that a completion can be taken as
 *	soon as it is seen, before the tail tells of it
 * @ringer: address of a doorbell's word, 0: none; rung when the kernel's thread sleeps
 * @sq_next: submissions so far
 * @gathering: they are told of together, by whoever set this: rk_io_publish()
 * @free_head: free places taken so far
 * @finished: the handler wants no more; R23, A23; that of the structure which begins the region
 * @rings: of the doorbell
 * @cq_next: completions taken so far
 * @free_tail: places given back so far, and @slots
 * @strange: completions that no operation explains
 */
struct rk_io {
	/* The host's, written once. */
	uint64_t magic;
	uint64_t region;
	uint64_t host_base;
	uint64_t sqes, sq_head, sq_tail, sq_flags;
	uint64_t cqes, cq_head, cq_tail;
	uint64_t slot_table, free_places;
	uint64_t buffers, buffers_bytes;
	uint64_t ringer;
	uint32_t slots, cq_entries, files, in_order;

	/* Who submits. */
	uint32_t sq_next __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	uint32_t free_head;
	uint32_t gathering;
	uint32_t finished;
	uint64_t rings;

	/* Who reaps. */
	uint32_t cq_next __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	uint32_t free_tail;
	uint64_t strange;
};

/**
 * struct rk_io_open - payload of RK_MSG_IO_OPEN
 * @io: address of struct rk_io, as the handler sees it
 * @file_bytes: of file 0
 * @buffers_bytes: room for data
 * @slots: operations in flight at most
 * @files: descriptors that may be named
 */
struct rk_io_open {
	uint64_t io;
	uint64_t file_bytes;
	uint64_t buffers_bytes;
	uint32_t slots;
	uint32_t files;
};

/**
 * struct rk_io_done - payload of RK_MSG_IO_DONE; rk_msg.tag is the operation's
 * @result: bytes moved, fewer than asked at a file's end; or -errno (Linux)
 * @bytes: asked for
 * @offset: in the file
 * @buffer: offset among the buffers
 * @op: enum rk_io_op
 * @file: which
 */
struct rk_io_done {
	int32_t result;
	uint32_t bytes;
	uint64_t offset;
	uint64_t buffer;
	uint16_t op;
	uint16_t file;
	uint32_t unused;
};

RK_STATIC_ASSERT(sizeof(struct rk_io_open) <= RK_MSG_BODY_BYTES, "one cell");
RK_STATIC_ASSERT(sizeof(struct rk_io_done) == 32, "one cell");

/* --- Ordered accesses: two bodies, since device code knows no __atomic builtins --- */

#ifdef __CUDA_ARCH__

RK_HD uint32_t rk_io_load_acquire(const uint32_t *at)
{
	uint32_t value;

	asm volatile("ld.acquire.sys.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
	return value;
}

RK_HD void rk_io_store_release(uint32_t *at, uint32_t value)
{
	asm volatile("st.release.sys.u32 [%0], %1;" : : "l"(at), "r"(value) : "memory");
}

RK_HD uint32_t rk_io_load(const uint32_t *at)
{
	uint32_t value;

	asm volatile("ld.relaxed.sys.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
	return value;
}

/* R24 and R25, A24 and A25: between the leader and itself. */
RK_HD void rk_io_store_own(uint32_t *at, uint32_t value)
{
	*at = value;
}

RK_HD uint32_t rk_io_load_own(const uint32_t *at)
{
	return *at;
}

/* R22: what was read has come, for it was used. */
RK_HD void rk_io_store_read(uint32_t *at, uint32_t value)
{
	asm volatile("st.relaxed.sys.u32 [%0], %1;" : : "l"(at), "r"(value) : "memory");
}

/* Two words by one store, which crosses the bus as one. */
RK_HD void rk_io_store_pair(uint64_t *at, uint64_t first, uint64_t second)
{
	asm volatile("st.v2.u64 [%0], {%1, %2};" : : "l"(at), "l"(first), "l"(second) : "memory");
}

RK_HD void rk_io_ring_bell(uint64_t *at, uint64_t value)
{
	asm volatile("st.release.sys.u64 [%0], %1;" : : "l"(at), "l"(value) : "memory");
}

RK_HD void rk_io_full_fence(void)
{
	__threadfence_system();
}

#else

RK_HD uint32_t rk_io_load_acquire(const uint32_t *at)
{
	/* A21, A23 */
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

RK_HD void rk_io_store_release(uint32_t *at, uint32_t value)
{
	/* R20, R23 */
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

RK_HD void rk_io_store_own(uint32_t *at, uint32_t value)
{
	/* R24, R25 */
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

RK_HD uint32_t rk_io_load_own(const uint32_t *at)
{
	/* A24, A25 */
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

RK_HD void rk_io_store_read(uint32_t *at, uint32_t value)
{
	/* R22 */
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

RK_HD void rk_io_store_pair(uint64_t *at, uint64_t first, uint64_t second)
{
	at[0] = first;
	at[1] = second;
}

RK_HD uint32_t rk_io_load(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

RK_HD void rk_io_ring_bell(uint64_t *at, uint64_t value)
{
	/* R7: pairs with A7 in doorbell.c, as rk_ringer_ring() does. */
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

RK_HD void rk_io_full_fence(void)
{
	__sync_synchronize();
}

#endif

/* --- Parts --- */

RK_HD uint8_t *rk_io_at(const struct rk_io *io, uint64_t offset)
{
	return (uint8_t *)(uintptr_t)io->region + offset;
}

RK_HD uint32_t *rk_io_word(const struct rk_io *io, uint64_t offset)
{
	return (uint32_t *)rk_io_at(io, offset);
}

RK_HD struct rk_io_slot *rk_io_slot_at(struct rk_io *io, uint32_t index)
{
	return (struct rk_io_slot *)((uint8_t *)io + io->slot_table) + index;
}

/* Free place number @count, of those there were so far. */
RK_HD uint32_t *rk_io_free_place(struct rk_io *io, uint32_t count)
{
	return (uint32_t *)((uint8_t *)io + io->free_places) + (count & (io->slots - 1));
}

/* Where the handler sees byte @buffer of the buffers. */
RK_HD uint8_t *rk_io_buffer(struct rk_io *io, uint64_t buffer)
{
	return rk_io_at(io, io->buffers + buffer);
}

/* --- Submitting --- */

/* The kernel's thread may have gone to sleep before it saw the tail: then someone must wake it. */
RK_HD void rk_io_wake(struct rk_io *io)
{
	/* Without a bell whoever wakes looks by himself. */
	if (!io->ringer)
		return;
	rk_io_full_fence();
	if (rk_io_load(rk_io_word(io, io->sq_flags)) & RK_IO_NEED_WAKEUP)
		rk_io_ring_bell((uint64_t *)(uintptr_t)io->ringer, ++io->rings);
}

/* Tell the kernel of all that was submitted. */
RK_HD void rk_io_publish(struct rk_io *io)
{
	/* R20 */
	rk_io_store_release(rk_io_word(io, io->sq_tail), io->sq_next);
	rk_io_wake(io);
}

/**
 * rk_io_submit() - start an operation
 * @io: from struct rk_io_open
 * @op: what to do
 * @file: which file, from 0
 * @offset: in the file; 0 for sockets
 * @buffer: offset among the buffers; not to be touched until the completion
 * @bytes: of data, or of room
 * @tag: comes back with the completion
 *
 * Context: inside a handler, the leader only, host or device; never waits.
 * Return: 1 started; 0 as many are in flight as there are slots: try after a completion;
 * RK_IO_EINVAL for a file or bytes of buffers that are not there.
 */
RK_HD int rk_io_submit(struct rk_io *io, enum rk_io_op op, uint32_t file, uint64_t offset,
		       uint64_t buffer, uint32_t bytes, uint32_t tag)
{
	/* Another one than before, whatever place it gets: the number of the submission. */
	const uint32_t turn = io->sq_next | 1U << 31;
	struct rk_io_slot *slot;
	uint32_t index;
	uint64_t *sqe;

	if (file >= io->files || buffer > io->buffers_bytes || bytes > io->buffers_bytes - buffer ||
	    bytes > 0x7fffffffU)
		return RK_IO_EINVAL;
	/* A24 */
	if (io->free_head == rk_io_load_own(&io->free_tail))
		return 0;
	index = *rk_io_free_place(io, io->free_head++);
	slot = rk_io_slot_at(io, index);
	slot->tag = tag;
	slot->bytes = bytes;
	slot->op = (uint16_t)op;
	slot->file = (uint16_t)file;
	slot->offset = offset;
	slot->buffer = buffer;
	/* R25 */
	rk_io_store_own(&slot->live, turn);

	sqe = (uint64_t *)rk_io_at(io, io->sqes + (uint64_t)(io->sq_next & (io->slots - 1)) *
							  RK_IO_SQE_BYTES);
	rk_io_store_pair(&sqe[0],
			 (uint64_t)op | (uint64_t)RK_IO_FIXED_FILE << 8 | (uint64_t)file << 32,
			 offset);
	rk_io_store_pair(&sqe[2], io->host_base + io->buffers + buffer,
			 bytes | (uint64_t)(op == RK_IO_SEND ? RK_IO_MSG_NOSIGNAL : 0) << 32);
	/* The last two words are zeros since the ring was made. */
	rk_io_store_pair(&sqe[4], (uint64_t)turn << 32 | index, 0);
	io->sq_next++;
	if (!io->gathering)
		rk_io_publish(io);
	return 1;
}

/* rk_io_submit() by name: read @bytes at @offset of @file to @buffer. */
RK_HD int rk_io_read(struct rk_io *io, uint32_t file, uint64_t offset, uint64_t buffer,
		     uint32_t bytes, uint32_t tag)
{
	return rk_io_submit(io, RK_IO_READ, file, offset, buffer, bytes, tag);
}

/* Write @bytes at @buffer to @offset of @file. */
RK_HD int rk_io_write(struct rk_io *io, uint32_t file, uint64_t offset, uint64_t buffer,
		      uint32_t bytes, uint32_t tag)
{
	return rk_io_submit(io, RK_IO_WRITE, file, offset, buffer, bytes, tag);
}

/* Receive at most @bytes from the socket @file to @buffer. */
RK_HD int rk_io_recv(struct rk_io *io, uint32_t file, uint64_t buffer, uint32_t bytes, uint32_t tag)
{
	return rk_io_submit(io, RK_IO_RECV, file, 0, buffer, bytes, tag);
}

/* Send @bytes at @buffer to the connected socket @file. */
RK_HD int rk_io_send(struct rk_io *io, uint32_t file, uint64_t buffer, uint32_t bytes, uint32_t tag)
{
	return rk_io_submit(io, RK_IO_SEND, file, 0, buffer, bytes, tag);
}

/* Say that no more will be submitted: the ring is closed when all in flight has ended. */
RK_HD void rk_io_finish(struct rk_io *io)
{
	/* R23 */
	rk_io_store_release(rk_io_word(io, offsetof(struct rk_io, finished)), 1);
}

/* --- Completing --- */

/* Whether @result can be that of @slot, and the slot is @turn's. */
RK_HD int rk_io_explains(const struct rk_io_slot *slot, uint32_t turn, int32_t result)
{
	/* A25 */
	return turn && rk_io_load_own(&slot->live) == turn &&
	       (result <= 0 || (uint32_t)result <= slot->bytes);
}

/* The message of the operation in @slot, which ended with @result. */
RK_HD void rk_io_tell(const struct rk_io_slot *slot, int32_t result, struct rk_msg *msg)
{
	struct rk_io_done *done = (struct rk_io_done *)msg->body;

	msg->type = RK_MSG_IO_DONE;
	msg->flags = 0;
	msg->slots = 1;
	msg->tag = slot->tag;
	done->result = result;
	done->bytes = slot->bytes;
	done->offset = slot->offset;
	done->buffer = slot->buffer;
	done->op = slot->op;
	done->file = slot->file;
	done->unused = 0;
}

/* Completion @name with @result, which the kernel has been given back: its message, if it explains one. */
RK_HD int rk_io_take(struct rk_io *io, uint64_t name, int32_t result, struct rk_msg *msg)
{
	uint32_t index = (uint32_t)name;
	struct rk_io_slot *slot = rk_io_slot_at(io, index < io->slots ? index : 0);

	if (index >= io->slots || !rk_io_explains(slot, (uint32_t)(name >> 32), result)) {
		io->strange++;
		return 0;
	}
	rk_io_tell(slot, result, msg);
	rk_io_store_own(&slot->live, 0);
	*rk_io_free_place(io, io->free_tail) = index;
	/* R24 */
	rk_io_store_own(&io->free_tail, io->free_tail + 1);
	return 1;
}

/* Where completion number @count lies: its name, then its result. */
RK_HD const uint64_t *rk_io_completion(const struct rk_io *io, uint32_t count)
{
	return (const uint64_t *)rk_io_at(io, io->cqes + (uint64_t)(count & (io->cq_entries - 1)) *
								  RK_IO_CQE_BYTES);
}

/**
 * rk_io_reap() - take one completion
 * @io: the ring
 * @msg: out: RK_MSG_IO_DONE, one cell
 *
 * A completion that no operation in flight explains is counted in @io->strange and skipped.
 *
 * Context: whoever delivers the actor's messages, host or device; one at a time; never waits.
 * Return: 1 with @msg; 0 when there is none.
 */
RK_HD int rk_io_reap(struct rk_io *io, struct rk_msg *msg)
{
	/* A21 */
	while (io->cq_next != rk_io_load_acquire(rk_io_word(io, io->cq_tail))) {
		const uint64_t *cqe = rk_io_completion(io, io->cq_next);
		uint64_t name = cqe[0];
		int32_t result = (int32_t)(uint32_t)cqe[1];

		rk_io_store_read(rk_io_word(io, io->cq_head), ++io->cq_next);
		if (rk_io_take(io, name, result, msg))
			return 1;
	}
	return 0;
}

#endif
