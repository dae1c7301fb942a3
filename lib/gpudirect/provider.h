/* SPDX-License-Identifier: MIT */
/* What a provider of regions implements; private to lib/gpudirect. */
#ifndef RK_GPUDIRECT_PROVIDER_H
#define RK_GPUDIRECT_PROVIDER_H

#include "gpudirect/cuda.h"
#include "gpudirect/rk_region.h"

struct rk_region {
	struct rk_region_info info;
	const struct rk_region_ops *ops;
	size_t taken_bytes;
	void *own;		/* the provider's */
	struct rk_cuda_gpu gpu; /* whose context knows the memory; .cuda is NULL where none does */
};

/* Every op is filled. Providers for GPUs open and close in the context of region->gpu. */
struct rk_region_ops {
	struct rk_region_provider provider;
	/* 0 if it works here; else -errno, and rk_errmsg() says why not and what to do. For GPUs:
	 * with @gpu, which has no context; for others @gpu is NULL. */
	int (*probe)(const struct rk_cuda_gpu *gpu);
	/* Fill info.host_addr, .bytes, .page_bytes, .numa_node, .locked, for GPUs also .gpu_addr,
	 * .on_gpu, .write_combined, and add to .note. */
	int (*open)(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts);
	void (*close)(struct rk_region *region);
	/* A new descriptor for other processes or drivers, else -errno. */
	int (*export)(const struct rk_region *region);
};

/* The export of providers that have none. */
int region_no_export(const struct rk_region *region);

/* Add a sentence to the region's note. */
void region_note(struct rk_region *region, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

extern const struct rk_region_ops region_kmod_ops;
extern const struct rk_region_ops region_host_ops;
extern const struct rk_region_ops region_gpu_kmod_ops;
extern const struct rk_region_ops region_dmabuf_ops;
extern const struct rk_region_ops region_vulkan_ops;
extern const struct rk_region_ops region_pinned_ops;

#endif
