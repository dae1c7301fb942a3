// SPDX-License-Identifier: MIT
/* Provider `kmod` for GPUs: device memory that CUDA allocates and /dev/ringkernel maps. */
#include "gpudirect/gpu_memory.h"
#include "gpudirect/kmod_device.h"
#include "gpudirect/rk_gpu_map.h"

#include <stdlib.h>
#include <unistd.h>

struct mapped {
	struct gpu_memory memory;
	struct rk_gpu_map map;
};

static int probe(const struct rk_cuda_gpu *gpu)
{
	int fd = kmod_open();

	if (fd < 0)
		return fd;
	close(fd);
	if (rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_RDMA))
		return 0;
	return rk_fail(ENODEV, "kmod: GPU %d has no GPUDirect RDMA: its memory cannot be pinned",
		       gpu->ordinal);
}

static void close_mapped(struct rk_region *region)
{
	struct mapped *own = region->own;

	rk_gpu_map_close(&own->map);
	gpu_memory_free(&own->memory, &region->gpu);
	free(own);
}

static int open_mapped(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct mapped *own;
	int result = probe(&region->gpu);

	(void)opts;
	if (result)
		return result;
	own = calloc(1, sizeof(*own));
	if (!own)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	result = gpu_memory_alloc(&own->memory, &region->gpu, bytes);
	if (result)
		goto err_own;
	result = rk_gpu_map_open(&own->map, own->memory.addr, own->memory.bytes);
	if (result)
		goto err_memory;
	region->own = own;
	region->info.host_addr = own->map.host_addr;
	region->info.bytes = own->map.bytes;
	region->info.page_bytes = own->memory.page_bytes;
	region->info.locked = true;
	region->info.gpu_addr = own->memory.addr;
	region->info.on_gpu = true;
	region->info.write_combined = true;
	if (!own->map.write_combined)
		region_note(region, "kmod: not write-combined: every store is a bus transaction");
	result = gpu_memory_prove(region);
	if (result)
		close_mapped(region);
	return result;

err_memory:
	gpu_memory_free(&own->memory, &region->gpu);
err_own:
	free(own);
	return result;
}

static int export_mapped(const struct rk_region *region)
{
	const struct mapped *own = region->own;

	return rk_gpu_map_export(&own->map);
}

const struct rk_region_ops region_gpu_kmod_ops = {
	.provider = {"kmod", "GPU memory, mapped by /dev/ringkernel", true},
	.probe = probe,
	.open = open_mapped,
	.close = close_mapped,
	.export = export_mapped,
};
