/* SPDX-License-Identifier: MIT */
/* The memory of a link's ring, laid where its two ends want it; private to lib/. */
#ifndef RK_LIB_LINK_MEMORY_H
#define RK_LIB_LINK_MEMORY_H

#include "backends/cuda.h"
#include "rk_runtime.h"

/*
 * @ring: as the host sees it; of use where an end is the host's
 * @device: as GPUs see it: what a seat is told; @device.position, where all begins, is the caller's
 * @region: between two ends of the host
 * @parts: of GPUs' memory, and whose they are
 * @producer_rank: of its block in the cluster, for rings in shared memory; likewise the consumer's
 * @pool: of the blocks' shared memory: the slots in the consumer's, the credit in the producer's
 */
struct link_memory {
	struct rk_ring ring;
	struct rk_gpu_ring device;
	uint16_t producer_rank;
	uint16_t consumer_rank;
	struct rk_region *region;
	struct cuda_part parts[3];
	struct cuda_gpu *owner[3];
	struct arena *pool[2];
};

/*
 * Lay a ring of @slots between @from and @to (NULL: of the host). 0; -EINVAL for a capacity or a
 * place that the two do not share; -ENOMEM; said in rk_errmsg(). To be freed also after a failure.
 */
int link_memory_open(struct link_memory *memory, const struct rk_actor *from,
		     const struct rk_actor *to, uint64_t slots, enum rk_ring_place place,
		     const char *name);

void link_memory_close(struct link_memory *memory);

/* Of the GPU whose actor is the consumer, where the slots lie; NULL for a ring of the host's. */
const struct rk_region *link_memory_region(const struct link_memory *memory);

#endif
