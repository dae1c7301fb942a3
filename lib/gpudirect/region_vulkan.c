// SPDX-License-Identifier: MIT
/*
 * Provider `vulkan`: device memory that Vulkan allocates and maps, and CUDA imports. It needs no
 * module and no root. Drivers do not list this type of memory among those that can be exported,
 * and export it all the same; so it is proven at open, and not used where it fails.
 */
#include "gpudirect/gpu_memory.h"
#include "gpudirect/vulkan.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared {
	struct vulkan *vulkan;
	struct vk_memory *memory; /* Vulkan's, and the same as CUDA sees it */
	struct rk_cuda_external *external;
};

static int open_device(struct vulkan **vulkan, const struct rk_cuda_gpu *gpu)
{
	struct rk_cuda_uuid uuid;
	int error = gpu->cuda->device_uuid(&uuid, gpu->device);

	if (error)
		return rk_cuda_fail(gpu->cuda, error, "UUID of GPU %d", gpu->ordinal);
	return vulkan_open(vulkan, uuid.bytes);
}

static int probe(const struct rk_cuda_gpu *gpu)
{
	struct vulkan *vulkan;
	int result = open_device(&vulkan, gpu);

	if (!result)
		vulkan_close(vulkan);
	return result;
}

static int allocate(struct shared *own, struct rk_region_info *info)
{
	const struct vk_export export = {.type = VK_TYPE_EXPORT, .handles = VK_HANDLE_OPAQUE_FD};
	const struct vulkan *vulkan = own->vulkan;
	const struct vk_allocate wanted = {
		.type = VK_TYPE_ALLOCATE,
		.next = &export,
		.bytes = info->bytes,
		.memory_type = vulkan->memory_type,
	};
	int result;

	if (info->bytes > vulkan->heap_bytes)
		return rk_fail(ENOMEM, "vulkan: %zu bytes: the CPU maps at most %llu of this GPU",
			       info->bytes, (unsigned long long)vulkan->heap_bytes);
	result = vulkan->library->memory_allocate(vulkan->device, &wanted, NULL, &own->memory);
	if (result)
		return vulkan_fail(result, "allocate memory that the CPU maps");
	result = vulkan->library->memory_map(vulkan->device, own->memory, 0, info->bytes, 0,
					     &info->host_addr);
	if (!result)
		return 0;
	vulkan->library->memory_free(vulkan->device, own->memory, NULL);
	return vulkan_fail(result, "map memory");
}

static int import(struct shared *own, struct rk_region *region)
{
	const struct rk_cuda *cuda = region->gpu.cuda;
	const struct vk_get_fd wanted = {
		.type = VK_TYPE_GET_FD, .memory = own->memory, .handle = VK_HANDLE_OPAQUE_FD};
	struct rk_cuda_external_memory memory = {.type = RK_CUDA_EXTERNAL_OPAQUE_FD,
						 .bytes = region->info.bytes};
	const struct rk_cuda_external_buffer buffer = {.bytes = region->info.bytes};
	int error = own->vulkan->memory_get_fd(own->vulkan->device, &wanted, &memory.handle.fd);

	if (error)
		return vulkan_fail(error, "export memory");
	error = cuda->external_import(&own->external, &memory);
	if (error) {
		close(memory.handle.fd); /* a successful import would have taken it */
		return rk_cuda_fail(cuda, error, "import Vulkan's memory");
	}
	error = cuda->external_map(&region->info.gpu_addr, own->external, &buffer);
	if (!error)
		return 0;
	cuda->external_destroy(own->external);
	return rk_cuda_fail(cuda, error, "map Vulkan's memory");
}

static void free_shared(struct shared *own)
{
	const struct vulkan_library *library = own->vulkan->library;

	library->memory_unmap(own->vulkan->device, own->memory);
	library->memory_free(own->vulkan->device, own->memory, NULL);
}

static void close_shared(struct rk_region *region)
{
	struct shared *own = region->own;

	region->gpu.cuda->mem_free(region->info.gpu_addr);
	region->gpu.cuda->external_destroy(own->external);
	free_shared(own);
	vulkan_close(own->vulkan);
	free(own);
}

static int open_shared(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct rk_region_info *info = &region->info;
	struct shared *own = calloc(1, sizeof(*own));
	int result;

	(void)opts;
	if (!own)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	result = open_device(&own->vulkan, &region->gpu);
	if (result)
		goto err_own;
	info->page_bytes = GPU_PAGE_BYTES;
	info->bytes = (bytes + GPU_PAGE_BYTES - 1) / GPU_PAGE_BYTES * GPU_PAGE_BYTES;
	result = allocate(own, info);
	if (result)
		goto err_vulkan;
	result = import(own, region);
	if (result)
		goto err_memory;
	region->own = own;
	info->locked = true;
	info->on_gpu = true;
	info->write_combined = !own->vulkan->cached;
	madvise(info->host_addr, info->bytes, MADV_DONTFORK);
	result = gpu_memory_prove(region);
	if (result)
		close_shared(region);
	return result;

err_memory:
	free_shared(own);
err_vulkan:
	vulkan_close(own->vulkan);
err_own:
	free(own);
	return result;
}

const struct rk_region_ops region_vulkan_ops = {
	.provider = {"vulkan", "GPU memory, mapped by Vulkan and imported by CUDA", true},
	.probe = probe,
	.open = open_shared,
	.close = close_shared,
	.export = gpu_memory_export, /* the driver may refuse: it is not of its own allocating */
};
