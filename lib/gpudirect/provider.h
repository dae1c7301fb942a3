/* SPDX-License-Identifier: MIT */
/* What a provider of regions implements; private to lib/gpudirect. */
#ifndef RK_GPUDIRECT_PROVIDER_H
#define RK_GPUDIRECT_PROVIDER_H

#include "gpudirect/rk_region.h"

struct rk_region {
	struct rk_region_info info;
	const struct rk_region_ops *ops;
	size_t taken_bytes;
	void *own; /* the provider's */
};

/* Every op is filled. */
struct rk_region_ops {
	struct rk_region_provider provider;
	/* 0 if it works here; else -errno, and rk_errmsg() says why not and what to do. */
	int (*probe)(void);
	/* Fill info.host_addr, .bytes, .page_bytes, .numa_node, .locked and add to .note. */
	int (*open)(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts);
	void (*close)(struct rk_region *region);
};

/* Add a sentence to the region's note. */
void region_note(struct rk_region *region, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

extern const struct rk_region_ops region_kmod_ops;
extern const struct rk_region_ops region_host_ops;

#endif
