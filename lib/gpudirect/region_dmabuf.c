// SPDX-License-Identifier: MIT
/* Provider `dmabuf`: device memory that CUDA allocates and whose dma-buf the CPU maps. */
#include "gpudirect/gpu_memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define OLDEST_DRIVER 13030 /* CUDA 13.3 */

static int probe(const struct rk_cuda_gpu *gpu)
{
	int version = gpu->cuda->version;

	/* Older drivers do not know the attribute: what they answer to its number means nothing. */
	if (version >= OLDEST_DRIVER && rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_DMA_BUF_MMAP))
		return 0;
	if (version >= OLDEST_DRIVER)
		return rk_fail(ENODEV,
			       "dmabuf: GPU %d's dma-bufs cannot be mapped: use the open kernel "
			       "modules of the driver",
			       gpu->ordinal);
	return rk_fail(ENODEV,
		       "dmabuf: the driver (CUDA %d.%d) maps no dma-bufs for the CPU: one of CUDA "
		       "%d.%d or later does",
		       version / 1000, version % 1000 / 10, OLDEST_DRIVER / 1000,
		       OLDEST_DRIVER % 1000 / 10);
}

/* The mapping holds the dma-buf, and that the memory; so the descriptor can go at once. */
static int map(struct rk_region *region)
{
	struct rk_region_info *info = &region->info;
	int fd = gpu_memory_export(region), result = 0;

	if (fd < 0)
		return fd;
	info->host_addr = mmap(NULL, info->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (info->host_addr == MAP_FAILED)
		result = rk_fail(errno, "dmabuf: map %zu bytes: %m", info->bytes);
	close(fd);
	return result;
}

static void close_dmabuf(struct rk_region *region)
{
	munmap(region->info.host_addr, region->info.bytes);
	gpu_memory_free(region->own, &region->gpu);
	free(region->own);
}

static int open_dmabuf(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct gpu_memory *memory;
	int result = probe(&region->gpu);

	(void)opts;
	if (result)
		return result;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	result = gpu_memory_alloc(memory, &region->gpu, bytes);
	if (result)
		goto err_own;
	region->own = memory;
	region->info.bytes = memory->bytes;
	region->info.page_bytes = memory->page_bytes;
	region->info.gpu_addr = memory->addr;
	result = map(region);
	if (result)
		goto err_memory;
	region->info.locked = true;
	region->info.on_gpu = true;
	region->info.write_combined = true; /* cached on coherent systems, where a flush costs little */
	madvise(region->info.host_addr, region->info.bytes, MADV_DONTFORK);
	result = gpu_memory_prove(region);
	if (result)
		close_dmabuf(region);
	return result;

err_memory:
	gpu_memory_free(memory, &region->gpu);
err_own:
	free(memory);
	return result;
}

const struct rk_region_ops region_dmabuf_ops = {
	.provider = {"dmabuf", "GPU memory, mapped from CUDA's dma-buf", true},
	.probe = probe,
	.open = open_dmabuf,
	.close = close_dmabuf,
	.export = gpu_memory_export,
};
