// SPDX-License-Identifier: MIT
/* Rings for a handler's own I/O: laid into a region, handed to the kernel, woken, taken down. */
#include "io/rk_io_ring.h"
#include "clock.h"
#include "config.h"
#include "gpudirect/rk_doorbell.h"
#include "ring/rk_codec.h"
#include "rk_error.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the oldest kernel headers that this is built with. */
#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP (1U << 14)
#endif
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

/* IORING_REGISTER_SYNC_CANCEL and its argument, likewise. */
struct cancel {
	uint64_t name;
	int32_t fd;
	uint32_t flags;
	int64_t timeout_s, timeout_ns;
	uint64_t unused[4];
};

enum {
	REGISTER_SYNC_CANCEL = 24,
	CANCEL_ALL = 1 << 0,
	CANCEL_ANY = 1 << 2,

	DEFAULT_SLOTS = 64,
	DEFAULT_BUFFER_BYTES = 64 << 10,
	DEFAULT_IDLE_MS = 100,
	RINGS_HEAD_BYTES = 256, /* at least, of the kernel's struct io_rings */
	CLOSE_SECONDS = 10,
};

#define BELL_NAP_NS 100000000ULL

/**
 * struct rk_io_ring - the host's side
 * @device: memory of the GPU, with struct rk_io for the handler there, the slots and free places
 * @stopping: the waker shall end
 */
struct rk_io_ring {
	struct rk_region *region;
	struct rk_region *device;
	struct rk_io *io;
	int fd;
	struct rk_doorbells *bells;
	struct rk_ringer ringer;
	pthread_t waker;
	bool waking;
	uint32_t stopping;
	uint64_t wakeups;
};

/* Where the parts lie, from the start of the region; each begins a page. */
struct layout {
	uint64_t sqes, rings, slots, free, buffers, bytes;
};

static uint64_t pages(uint64_t bytes)
{
	return (bytes + RK_PAGE_BYTES - 1) & -(uint64_t)RK_PAGE_BYTES;
}

static struct layout lay_out(uint32_t slots, uint64_t buffers_bytes)
{
	struct layout at = {.sqes = RK_PAGE_BYTES};

	at.rings = at.sqes + pages((uint64_t)slots * RK_IO_SQE_BYTES);
	at.slots = at.rings + pages(RINGS_HEAD_BYTES + 2ULL * slots * RK_IO_CQE_BYTES +
				    slots * sizeof(uint32_t));
	at.free = at.slots + pages(slots * sizeof(struct rk_io_slot));
	at.buffers = at.free + pages(slots * sizeof(uint32_t));
	at.bytes = at.buffers + pages(buffers_bytes);
	return at;
}

/* The last word of the offsets, user_addr, has no name in older headers. */
static void set_address(void *offsets, size_t bytes, const void *memory)
{
	uint64_t address = (uintptr_t)memory;

	memcpy((uint8_t *)offsets + bytes - sizeof(address), &address, sizeof(address));
}

static int explain(int error)
{
	if (error == EINVAL)
		return rk_fail(EOPNOTSUPP, "io_uring: rings in memory of ours: this kernel has "
					   "none: Linux 6.5 or later");
	if (error == EPERM || error == ENOSYS)
		return rk_fail(EOPNOTSUPP, "io_uring is forbidden here (%s): see `ringkernel info`",
			       strerror(error));
	return rk_fail(error, "io_uring_setup: %s%s", strerror(error),
		       error == ENOMEM ? ": fewer slots, or huge pages" : "");
}

/* The ring, in @memory. */
static int set_up(struct rk_io_ring *ring, uint8_t *memory, const struct layout *at,
		  const struct rk_io_ring_opts *opts)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL | IORING_SETUP_NO_MMAP | IORING_SETUP_NO_SQARRAY,
		.sq_thread_idle = opts->idle_ms,
		.sq_thread_cpu = opts->cpu,
	};
	struct rk_io *io = ring->io;
	uint32_t *array;

	if (opts->on_cpu)
		params.flags |= IORING_SETUP_SQ_AFF;
	set_address(&params.cq_off, sizeof(params.cq_off), memory + at->rings);
	set_address(&params.sq_off, sizeof(params.sq_off), memory + at->sqes);
	ring->fd = (int)syscall(__NR_io_uring_setup, opts->slots, &params);
	if (ring->fd < 0 && errno == EINVAL) { /* Linux 6.5: with the indirection */
		params.flags &= ~IORING_SETUP_NO_SQARRAY;
		ring->fd = (int)syscall(__NR_io_uring_setup, opts->slots, &params);
	}
	if (ring->fd < 0)
		return explain(errno);
	if (!(params.flags & IORING_SETUP_NO_SQARRAY)) {
		array = (uint32_t *)(memory + at->rings + params.sq_off.array);
		for (uint32_t i = 0; i < params.sq_entries; i++)
			array[i] = i;
	}
	io->sqes = at->sqes;
	io->sq_head = at->rings + params.sq_off.head;
	io->sq_tail = at->rings + params.sq_off.tail;
	io->sq_flags = at->rings + params.sq_off.flags;
	io->cqes = at->rings + params.cq_off.cqes;
	io->cq_head = at->rings + params.cq_off.head;
	io->cq_tail = at->rings + params.cq_off.tail;
	io->cq_entries = params.cq_entries;
#if defined(__x86_64__)
	io->in_order = 1;
#endif
	for (uint32_t i = 0; i < io->cq_entries; i++) {
		uint64_t *cqe = (uint64_t *)(memory + io->cqes) + 2 * (size_t)i;

		cqe[0] = RK_IO_NO_NAME;
		cqe[1] = RK_IO_NO_RESULT;
	}
	return 0;
}

/* --- Waking the kernel's thread --- */

static uint32_t word_of(const struct rk_io_ring *ring, uint64_t offset)
{
	return __atomic_load_n(rk_io_word(ring->io, offset), __ATOMIC_RELAXED);
}

static void wake_if_needed(struct rk_io_ring *ring)
{
	const struct rk_io *io = ring->io;

	if (!(word_of(ring, io->sq_flags) & RK_IO_NEED_WAKEUP) ||
	    word_of(ring, io->sq_head) == word_of(ring, io->sq_tail))
		return;
	__atomic_store_n(&ring->wakeups, ring->wakeups + 1, __ATOMIC_RELAXED);
	syscall(__NR_io_uring_enter, ring->fd, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
}

static void *wake(void *argument)
{
	const struct timespec nap = {.tv_nsec = RK_IO_NAP_US * 1000};
	struct rk_io_ring *ring = argument;

	pthread_setname_np(pthread_self(), "rk-io");
	while (!__atomic_load_n(&ring->stopping, __ATOMIC_RELAXED)) {
		if (ring->bells)
			rk_doorbell_wait(ring->bells, 0, BELL_NAP_NS, NULL);
		else
			nanosleep(&nap, NULL);
		wake_if_needed(ring);
	}
	return NULL;
}

static int start_waker(struct rk_io_ring *ring)
{
	int error;

	/* No error: without the module the waker looks by itself. */
	if (ring->device || rk_doorbells_open(&ring->bells, 1))
		ring->bells = NULL;
	else if (!rk_ringer_init(&ring->ringer, ring->bells, 0, 0))
		ring->io->ringer = (uintptr_t)ring->ringer.word;
	error = pthread_create(&ring->waker, NULL, wake, ring);
	if (error)
		return rk_fail(error, "io_uring: a thread that wakes: %s", strerror(error));
	ring->waking = true;
	return 0;
}

/* --- Opening and closing --- */

static void free_all_places(struct rk_io *io)
{
	for (uint32_t i = 0; i < io->slots; i++)
		*rk_io_free_place(io, i) = i;
	io->free_tail = io->slots;
}

/* The same for a handler on the GPU, in its memory, which is written here and never read. */
static int fill_device(struct rk_io_ring *ring, const struct rk_io_ring_opts *opts)
{
	const struct rk_region_opts on_gpu = {
		.size = sizeof(on_gpu), .on_gpu = true, .gpu = opts->gpu};
	size_t bytes = sizeof(struct rk_io) +
		       (size_t)opts->slots * (sizeof(struct rk_io_slot) + sizeof(uint32_t));
	struct rk_io *io = calloc(1, bytes);
	int result;

	if (!io)
		return rk_fail(ENOMEM, "io_uring: no memory");
	result = rk_region_open(&ring->device, bytes, &on_gpu);
	if (!result) {
		*io = *ring->io;
		io->region = rk_region_info(ring->region)->gpu_addr;
		io->slot_table = sizeof(*io);
		io->free_places = io->slot_table + (uint64_t)io->slots * sizeof(struct rk_io_slot);
		free_all_places(io);
		memcpy(rk_region_info(ring->device)->host_addr, io, bytes);
		/* Whoever tells the handler of it does so by a ring, whose stores come after these. */
		rk_codec_flush();
	}
	free(io);
	return result;
}

static int fill(struct rk_io_ring *ring, const int *fds, uint32_t count,
		const struct rk_io_ring_opts *opts)
{
	struct layout at = lay_out(opts->slots, opts->buffers_bytes);
	const struct rk_region_opts region = {
		.size = sizeof(region), .cuda = opts->on_gpu, .gpu = opts->gpu};
	uint8_t *memory;
	struct rk_io *io;
	int result;

	result = rk_region_open(&ring->region, at.bytes, &region);
	if (result)
		return result;
	memory = rk_region_take(ring->region, at.bytes);
	io = ring->io = (struct rk_io *)memory;
	io->region = (uintptr_t)memory;
	result = set_up(ring, memory, &at, opts);
	if (result)
		return result;
	if (syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_FILES, fds, count))
		return rk_fail(errno, "io_uring: %u files: %s", count, strerror(errno));
	io->host_base = (uintptr_t)memory;
	io->slot_table = at.slots;
	io->free_places = at.free;
	io->buffers = at.buffers;
	io->buffers_bytes = opts->buffers_bytes;
	io->slots = opts->slots;
	io->files = count;
	free_all_places(io);
	io->magic = RK_IO_MAGIC;
	result = opts->on_gpu ? fill_device(ring, opts) : 0;
	return result ? result : start_waker(ring);
}

int rk_io_ring_open(struct rk_io_ring **out, const int *fds, uint32_t count,
		    const struct rk_io_ring_opts *asked)
{
	struct rk_io_ring_opts opts = {.size = sizeof(opts)};
	struct rk_io_ring *ring;
	int result;

	if (asked && asked->size != sizeof(opts))
		return rk_fail(EINVAL, "io_uring: options of %zu bytes: set their size",
			       asked->size);
	if (asked)
		opts = *asked;
	opts.slots = opts.slots ? opts.slots : DEFAULT_SLOTS;
	opts.idle_ms = opts.idle_ms ? opts.idle_ms : DEFAULT_IDLE_MS;
	if (!opts.buffers_bytes)
		opts.buffers_bytes = (uint64_t)opts.slots * DEFAULT_BUFFER_BYTES;
	if (opts.slots & (opts.slots - 1) || opts.slots > RK_IO_MAX_SLOTS)
		return rk_fail(EINVAL, "io_uring: %u slots: give a power of two up to %d",
			       opts.slots, RK_IO_MAX_SLOTS);
	if (!count || count > RK_IO_MAX_FILES)
		return rk_fail(EINVAL, "io_uring: %u files: give 1 to %d", count, RK_IO_MAX_FILES);
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return rk_fail(ENOMEM, "io_uring: no memory");
	ring->fd = -1;
	result = fill(ring, fds, count, &opts);
	if (result) {
		rk_io_ring_close(ring);
		return result;
	}
	*out = ring;
	return 0;
}

struct rk_io *rk_io_ring_io(const struct rk_io_ring *ring)
{
	return ring->io;
}

uint64_t rk_io_ring_gpu_io(const struct rk_io_ring *ring)
{
	return ring->device ? rk_region_info(ring->device)->gpu_addr : 0;
}

const struct rk_region_info *rk_io_ring_region(const struct rk_io_ring *ring)
{
	return rk_region_info(ring->region);
}

/* Every submission completes once, so this many are with the kernel, or on their way to it. */
static uint32_t in_flight(const struct rk_io_ring *ring)
{
	const struct rk_io *io = ring->io;

	return word_of(ring, io->sq_tail) - word_of(ring, io->cq_tail);
}

bool rk_io_ring_finished(const struct rk_io_ring *ring)
{
	/* A23: pairs with R23 in rk_io_finish(): what was submitted before is seen. */
	return rk_io_load_acquire(&ring->io->finished) && !in_flight(ring);
}

uint64_t rk_io_ring_wakeups(const struct rk_io_ring *ring)
{
	return __atomic_load_n(&ring->wakeups, __ATOMIC_RELAXED);
}

/* Cancel all, and wait until the kernel has let go of every buffer. */
static bool quiesce(struct rk_io_ring *ring)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	uint64_t deadline_ns = now_ns() + CLOSE_SECONDS * 1000000000ULL;
	struct cancel all = {.fd = -1, .flags = CANCEL_ANY | CANCEL_ALL, .timeout_ns = 1000000};

	while (in_flight(ring)) {
		wake_if_needed(ring);
		syscall(__NR_io_uring_register, ring->fd, REGISTER_SYNC_CANCEL, &all, 1);
		if (now_ns() > deadline_ns)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

int rk_io_ring_close(struct rk_io_ring *ring)
{
	bool quiet = true;

	if (!ring)
		return 0;
	__atomic_store_n(&ring->stopping, 1, __ATOMIC_RELAXED);
	if (ring->bells && ring->waking)
		rk_ringer_ring(&ring->ringer);
	if (ring->waking)
		pthread_join(ring->waker, NULL);
	if (ring->fd >= 0 && ring->io->magic == RK_IO_MAGIC)
		quiet = quiesce(ring);
	if (ring->fd >= 0)
		close(ring->fd);
	rk_doorbells_close(ring->bells);
	if (quiet)
		rk_region_close(ring->region);
	rk_region_close(ring->device);
	free(ring);
	return quiet ? 0
		     : rk_fail(ETIMEDOUT,
			       "io_uring: operations did not end in %d s: their memory "
			       "stays with the kernel",
			       CLOSE_SECONDS);
}
