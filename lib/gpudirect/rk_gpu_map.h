/* SPDX-License-Identifier: MIT */
/*
 * rk_gpu_map.h - GPU memory mapped for the CPU by the module, on any driver with the p2p interface.
 *
 * Write through the mapping; never read it where it matters: a read crosses the bus and costs a
 * microsecond. Mapped write-combined; @write_combined tells whether the kernel granted it.
 */
#ifndef RK_GPU_MAP_H
#define RK_GPU_MAP_H

#include "rk_base.h"

#include <stdbool.h>

/**
 * struct rk_gpu_map - a mapping
 * @host_addr: where this process sees the memory, in one piece
 * @bytes: size
 * @write_combined: false: every store is a bus transaction of its own: right, and slow
 * @persistent: stays after the memory is freed on the GPU; otherwise accesses then raise SIGBUS
 * @fd: the library's own
 * @handle: the library's own
 */
struct rk_gpu_map {
	void *host_addr;
	size_t bytes;
	bool write_combined;
	bool persistent;
	int fd;
	uint32_t handle;
};

RK_BEGIN_DECLS

/**
 * rk_gpu_map_open() - map GPU memory of this process
 * @map: out
 * @gpu_addr: as CUDA gives it, aligned to 64 KiB
 * @bytes: a multiple of 64 KiB
 *
 * The persistent form is taken where the driver has it.
 *
 * Context: any thread; sleeps.
 * Owner: rk_gpu_map_close() ends it.
 * Return: 0; -ENOENT or -EACCES without the module; -ENODEV without a GPU driver that offers the
 * interface to it; -EINVAL for an address that is not GPU memory; -EDQUOT; said in rk_errmsg().
 */
RK_API int rk_gpu_map_open(struct rk_gpu_map *map, uint64_t gpu_addr, size_t bytes);

/**
 * rk_gpu_map_export() - a dma-buf of mapped GPU memory, for verbs and other processes
 * @map: open
 *
 * Context: any thread; sleeps.
 * Owner: the caller closes the descriptor.
 * Return: the descriptor, else -errno, said in rk_errmsg().
 */
RK_API int rk_gpu_map_export(const struct rk_gpu_map *map);

/**
 * rk_gpu_map_close() - unmap and unpin
 * @map: open
 *
 * Context: any thread, when nobody uses the mapping any more; sleeps.
 */
RK_API void rk_gpu_map_close(struct rk_gpu_map *map);

RK_END_DECLS

#endif
