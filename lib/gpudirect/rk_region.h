/* SPDX-License-Identifier: MIT */
/*
 * rk_region.h - one pinned piece of memory, made once and registered with all who will touch it.
 *
 * A provider makes the memory. They are tried in the order of rk_region_provider_at(), and each
 * can say why it is absent. What could not be had (huge pages, the NUMA node, the lock) is not an
 * error: the region works without, and its note says what happened and what to do.
 *
 * Memory of a GPU is mapped here for writing: stores reach it in half a microsecond, a load waits
 * for a bus round trip. Where no provider can map it, the last one gives host memory that the GPU
 * reaches across the bus: slower for the GPU, and all else works.
 */
#ifndef RK_REGION_H
#define RK_REGION_H

#include "rk_base.h"

#include <stdbool.h>

#define RK_REGION_NOTE_BYTES 768

/**
 * struct rk_region_opts - what memory is wanted; zero is the default
 * @size: sizeof(struct rk_region_opts)
 * @provider: name of one provider, or NULL for the first that works
 * @numa_node: node for the pages, if @on_node
 * @on_node: bind to @numa_node; otherwise the node of the CPU that opens
 * @small_pages: do not try huge pages
 * @unlocked: do not pin (mlock) the pages
 * @gpu: ordinal of a GPU, as CUDA counts them
 * @on_gpu: memory of that GPU, mapped here
 * @cuda: host memory that GPUs reach too: registered with CUDA, on all GPUs
 */
struct rk_region_opts {
	size_t size;
	const char *provider;
	int numa_node;
	bool on_node;
	bool small_pages;
	bool unlocked;
	int gpu;
	bool on_gpu;
	bool cuda;
};

/**
 * struct rk_region_info - what memory was got
 * @provider: name
 * @host_addr: where this process sees it
 * @bytes: usable, a multiple of @page_bytes
 * @page_bytes: 2 MiB, 64 KiB or 4 KiB
 * @numa_node: of the first page; -1 unknown, or not of the host
 * @locked: pages cannot be paged out
 * @gpu_addr: where GPUs see it; 0: they do not
 * @on_gpu: the memory is the GPU's; false for `pinned`, whose memory is the host's
 * @write_combined: stores gather in buffers of the CPU and loads are slow: far, for rings
 * @note: what could not be had, why, and what to do; "" if nothing
 */
struct rk_region_info {
	const char *provider;
	void *host_addr;
	size_t bytes;
	size_t page_bytes;
	int numa_node;
	bool locked;
	uint64_t gpu_addr;
	bool on_gpu;
	bool write_combined;
	char note[RK_REGION_NOTE_BYTES];
};

/**
 * struct rk_region_provider - one way to make regions, for people
 * @name: lower case
 * @summary: one line
 * @gpu: for opts with @on_gpu; otherwise for those without
 */
struct rk_region_provider {
	const char *name;
	const char *summary;
	bool gpu;
};

struct rk_region;

RK_BEGIN_DECLS

/**
 * rk_region_provider_at() - walk the providers
 * @index: from 0, in the order in which they are tried
 * @absent: out; "" if it works here (for GPUs: with GPU 0), else why not and what to do
 * @absent_bytes: room in @absent
 *
 * Context: any thread; sleeps.
 * Return: static storage; NULL past the last.
 */
RK_API const struct rk_region_provider *rk_region_provider_at(unsigned int index, char *absent,
							      size_t absent_bytes);

/**
 * rk_region_open() - make a region
 * @region: out
 * @bytes: at least this many
 * @opts: NULL for the default
 *
 * The thread's CUDA context stays what it was.
 *
 * Context: any thread; sleeps.
 * Owner: rk_region_close() frees @region.
 * Return: 0; -EINVAL for no bytes, a wrong @opts->size, an unknown provider, node or GPU; -ENODEV
 * without CUDA where @opts ask for it; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_region_open(struct rk_region **region, size_t bytes,
			  const struct rk_region_opts *opts);

/**
 * rk_region_info() - what was got
 * @region: open
 *
 * Context: any thread; never sleeps.
 * Return: lives as long as @region.
 */
RK_API const struct rk_region_info *rk_region_info(const struct rk_region *region);

/**
 * rk_region_take() - hand out the next part of a region
 * @region: open
 * @bytes: of the part; rounded up to a whole 4 KiB page
 *
 * Context: one thread at a time; never sleeps.
 * Owner: the part lives as long as @region; parts are not given back one by one.
 * Return: zeroed memory aligned to a page; NULL when the region has less left.
 */
RK_API void *rk_region_take(struct rk_region *region, size_t bytes);

/**
 * rk_region_gpu_addr() - where GPUs see a part
 * @region: open
 * @part: within it, as rk_region_take() gave it or beyond
 *
 * Context: any thread; never sleeps.
 * Return: address on the GPU; 0 when GPUs do not see the region, or @part is outside it.
 */
RK_API uint64_t rk_region_gpu_addr(const struct rk_region *region, const void *part);

/**
 * rk_region_close() - unmap a region
 * @region: or NULL
 *
 * Context: any thread, when nobody uses it any more; sleeps.
 */
RK_API void rk_region_close(struct rk_region *region);

RK_END_DECLS

#endif
