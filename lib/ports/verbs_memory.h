/* SPDX-License-Identifier: MIT */
/* verbs_memory.h - memory made known to an RDMA device, wherever it lies. Not installed. */
#ifndef VERBS_MEMORY_H
#define VERBS_MEMORY_H

#include "ports/remote.h"
#include "ports/verbs_lib.h"

#if RK_HAVE_VERBS

/* What was registered: where peers find it, and how it is known, "" for memory of the host. */
struct verbs_memory {
	struct ibv_mr *mr;
	uint64_t addr;
	char how[REMOTE_TEXT_BYTES];
};

/*
 * Let peers write @memory. That of the host by its pages; that of a GPU by its dma-buf, else by its
 * address there, if nvidia-peermem explains it. 0; -errno, and in rk_errmsg() why each refused. The
 * caller ends it by ibv_dereg_mr(). Any thread; sleeps.
 */
int verbs_register(const struct verbs_lib *lib, struct ibv_pd *pd,
		   const struct remote_memory *memory, struct verbs_memory *out);

/* Try that, and undo it: 0 and @how it went, or -errno and a text that begins with the device's
 * name. */
int verbs_try(const struct verbs_lib *lib, struct ibv_device *device,
	      const struct remote_memory *memory, char how[REMOTE_TEXT_BYTES]);

#endif
#endif
