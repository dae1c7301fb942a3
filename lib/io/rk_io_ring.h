/* SPDX-License-Identifier: MIT */
/*
 * rk_io_ring.h - the host's part of a ring for a handler's own I/O (rk_io.h): it lays the queues
 * and the buffers into a region, hands both to the kernel, and wakes the kernel's thread.
 *
 * A thread of the kernel (SQPOLL) carries the operations out and sleeps after a while without any.
 * The handler then needs someone who makes the one system call that wakes it: a small thread of
 * ours. It sleeps at a doorbell where the module is loaded and permitted, and looks every
 * RK_IO_NAP_US elsewhere, and for a handler on a GPU, which would pay a look across the bus for it.
 */
#ifndef RK_IO_RING_H
#define RK_IO_RING_H

#include "gpudirect/rk_region.h"
#include "rk_io.h"

#define RK_IO_MAX_SLOTS 4096
#define RK_IO_MAX_FILES 64
#define RK_IO_NAP_US	100

/**
 * struct rk_io_ring_opts - zero is the default
 * @size: sizeof(struct rk_io_ring_opts)
 * @slots: operations in flight at most, a power of two; 0: 64
 * @buffers_bytes: room for data; 0: 64 KiB for each slot
 * @idle_ms: the kernel's thread sleeps after so long without work; 0: 100
 * @on_cpu: pin the kernel's thread to @cpu
 * @cpu: if @on_cpu
 * @on_gpu: for a handler on @gpu: the region is registered with it, and what the kernel does not look
 *	at lies in its memory
 * @gpu: if @on_gpu
 */
struct rk_io_ring_opts {
	size_t size;
	uint32_t slots;
	uint64_t buffers_bytes;
	uint32_t idle_ms;
	bool on_cpu;
	uint32_t cpu;
	bool on_gpu;
	int gpu;
};

struct rk_io_ring;

RK_BEGIN_DECLS

/**
 * rk_io_ring_open() - make a ring
 * @ring: out
 * @fds: what handlers name by their index: files, block devices, connected sockets
 * @count: of @fds, 1 to RK_IO_MAX_FILES
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: rk_io_ring_close() frees @ring; the kernel keeps its own references to @fds.
 * Return: 0; -EINVAL for slots or a count that cannot be; -EOPNOTSUPP when this kernel has no such
 * rings (Linux 6.5) or no right to them; -ENOMEM; with on_gpu what rk_region_open() returns for memory
 * of a GPU; said in rk_errmsg().
 */
RK_API int rk_io_ring_open(struct rk_io_ring **ring, const int *fds, uint32_t count,
			   const struct rk_io_ring_opts *opts);

/**
 * rk_io_ring_io() - what the handler works on
 * @ring: open
 *
 * Context: any thread.
 * Return: for a handler on a CPU; with on_gpu it is for looking at the queues only.
 */
RK_API struct rk_io *rk_io_ring_io(const struct rk_io_ring *ring);

/**
 * rk_io_ring_gpu_io() - what a handler on a GPU works on
 * @ring: open
 *
 * Context: any thread.
 * Return: device address of struct rk_io; 0 without on_gpu.
 */
RK_API uint64_t rk_io_ring_gpu_io(const struct rk_io_ring *ring);

/**
 * rk_io_ring_region() - where it lies, to be registered with a device
 * @ring: open
 *
 * Context: any thread.
 * Return: lives as long as @ring.
 */
RK_API const struct rk_region_info *rk_io_ring_region(const struct rk_io_ring *ring);

/**
 * rk_io_ring_finished() - whether the handler has said that it wants no more
 * @ring: open
 *
 * Context: any thread.
 * Return: true when it has, and nothing is in flight.
 */
RK_API bool rk_io_ring_finished(const struct rk_io_ring *ring);

/**
 * rk_io_ring_wakeups() - how often the kernel's thread was woken
 * @ring: open
 *
 * Context: any thread.
 * Return: system calls made for it.
 */
RK_API uint64_t rk_io_ring_wakeups(const struct rk_io_ring *ring);

/**
 * rk_io_ring_close() - cancel what is in flight, wait until it has ended, free everything
 * @ring: or NULL
 *
 * The handler must be gone, or submit no more: buffers that an operation still writes to are not
 * given back, however long that takes.
 *
 * Context: any thread; sleeps.
 * Return: 0; -ETIMEDOUT when an operation did not end within ten seconds: its memory stays with
 * the kernel; said in rk_errmsg().
 */
RK_API int rk_io_ring_close(struct rk_io_ring *ring);

RK_END_DECLS

#endif
