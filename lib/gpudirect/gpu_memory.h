/* SPDX-License-Identifier: MIT */
/* Memory of a GPU for providers of its mapping, and the proof that a mapping works; private. */
#ifndef RK_GPUDIRECT_GPU_MEMORY_H
#define RK_GPUDIRECT_GPU_MEMORY_H

#include "gpudirect/provider.h"

#define GPU_PAGE_BYTES ((size_t)64 << 10) /* what GPUs map and the kernel pins at the least */

/* Device memory that other drivers may reach (GPUDirect RDMA). */
struct gpu_memory {
	uint64_t addr;
	size_t bytes;
	size_t page_bytes;
	unsigned long long pages; /* 0: by cuMemAlloc, from @allocated on */
	uint64_t allocated;
};

/* At least @bytes, aligned to 64 KiB. In the context of @gpu. 0 or -errno, said in rk_errmsg(). */
int gpu_memory_alloc(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu, size_t bytes);
void gpu_memory_free(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu);

/*
 * Whether the region's host_addr and gpu_addr are one memory: a pattern stored through the mapping
 * is what CUDA copies back, and the other way round, at both ends of the region. Then zeroes all.
 * 0; -EIO with what differed; said in rk_errmsg().
 */
int gpu_memory_prove(struct rk_region *region);

/* CUDA's dma-buf of a region of its memory: a new descriptor, or -errno, said in rk_errmsg(). */
int gpu_memory_export(const struct rk_region *region);

#endif
