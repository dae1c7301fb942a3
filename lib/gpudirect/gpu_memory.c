// SPDX-License-Identifier: MIT
#include "gpudirect/gpu_memory.h"
#include "ring/rk_codec.h"

#include <string.h>

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* Pages, addresses, access: the newer way, which waits for no kernel that runs. */
static int alloc_pages(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu, size_t bytes)
{
	const struct rk_cuda *cuda = gpu->cuda;
	const struct rk_cuda_allocation wanted = {
		.type = RK_CUDA_ALLOCATION_PINNED,
		.location = {RK_CUDA_LOCATION_DEVICE, gpu->device},
		.rdma_capable = 1,
	};
	const struct rk_cuda_access access = {wanted.location, RK_CUDA_ACCESS_READWRITE};
	int error = cuda->page_bytes(&memory->page_bytes, &wanted, RK_CUDA_GRANULARITY_MINIMUM);

	if (error)
		return error;
	memory->bytes = round_up(bytes, round_up(memory->page_bytes, GPU_PAGE_BYTES));
	error = cuda->pages_create(&memory->pages, memory->bytes, &wanted, 0);
	if (error)
		return error;
	error = cuda->address_reserve(&memory->addr, memory->bytes, 0, 0, 0);
	if (error)
		goto err_pages;
	error = cuda->map(memory->addr, memory->bytes, 0, memory->pages, 0);
	if (error)
		goto err_address;
	error = cuda->set_access(memory->addr, memory->bytes, &access, 1);
	if (!error)
		return 0;
	cuda->unmap(memory->addr, memory->bytes);
err_address:
	cuda->address_free(memory->addr, memory->bytes);
err_pages:
	cuda->pages_release(memory->pages);
	return error;
}

static int alloc_plain(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu, size_t bytes)
{
	int error;

	memory->page_bytes = GPU_PAGE_BYTES;
	memory->bytes = round_up(bytes, GPU_PAGE_BYTES);
	/* One page more, for it is aligned to 256 bytes only. */
	error = gpu->cuda->mem_alloc(&memory->allocated, memory->bytes + GPU_PAGE_BYTES);
	memory->addr = round_up(memory->allocated, GPU_PAGE_BYTES);
	return error;
}

int gpu_memory_alloc(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu, size_t bytes)
{
	bool pages = rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_VMM) &&
		     rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_RDMA_WITH_VMM);
	int error;

	*memory = (struct gpu_memory){0};
	error = pages ? alloc_pages(memory, gpu, bytes) : alloc_plain(memory, gpu, bytes);
	return error ? rk_cuda_fail(gpu->cuda, error, "allocate %zu bytes on GPU %d", bytes,
				    gpu->ordinal) :
		       0;
}

void gpu_memory_free(struct gpu_memory *memory, const struct rk_cuda_gpu *gpu)
{
	if (memory->allocated) {
		gpu->cuda->mem_free(memory->allocated);
		return;
	}
	gpu->cuda->unmap(memory->addr, memory->bytes);
	gpu->cuda->address_free(memory->addr, memory->bytes);
	gpu->cuda->pages_release(memory->pages);
}

int gpu_memory_export(const struct rk_region *region)
{
	const struct rk_cuda *cuda = region->gpu.cuda;
	const struct rk_region_info *info = &region->info;
	int fd = -1;
	int error = cuda->range_export(&fd, info->gpu_addr, info->bytes, RK_CUDA_RANGE_DMA_BUF_FD,
				       0);

	return error ? rk_cuda_fail(cuda, error, "%s: export %zu bytes", info->provider,
				    info->bytes) :
		       fd;
}

enum { PROOF_BYTES = 256 };

/* Byte @i of the pattern for one direction at one place: no two alike, none zero. */
static unsigned char pattern(size_t i, unsigned int salt)
{
	return (unsigned char)(1 + (i * 7 + salt * 61) % 255);
}

static int differs(const struct rk_region *region, const unsigned char *seen, size_t offset,
		   unsigned int salt, const char *writer, const char *reader)
{
	for (size_t i = 0; i < PROOF_BYTES; i++)
		if (seen[i] != pattern(i, salt))
			return rk_fail(EIO,
				       "%s: self-test: byte %zu written by %s is %#x, %s reads %#x: "
				       "this driver's mapping is not of the same memory",
				       region->info.provider, offset + i, writer, pattern(i, salt),
				       reader, seen[i]);
	return 0;
}

/* On a stream of its own, so that it waits for no kernel that runs. */
static int copy(const struct rk_region *region, struct rk_cuda_stream *stream, unsigned char *host,
		size_t offset, bool to_gpu)
{
	const struct rk_cuda *cuda = region->gpu.cuda;
	uint64_t addr = region->info.gpu_addr + offset;
	int error = to_gpu ? cuda->copy_to_gpu_async(addr, host, PROOF_BYTES, stream) :
			     cuda->copy_to_host_async(host, addr, PROOF_BYTES, stream);

	if (!error)
		error = cuda->stream_synchronize(stream);
	return error ? rk_cuda_fail(cuda, error, "%s: self-test: copy", region->info.provider) : 0;
}

static int prove_at(const struct rk_region *region, struct rk_cuda_stream *stream, size_t offset)
{
	char *map = (char *)region->info.host_addr + offset;
	unsigned char bytes[PROOF_BYTES];
	int result;

	for (size_t i = 0; i < PROOF_BYTES; i++)
		bytes[i] = pattern(i, 1);
	memcpy(map, bytes, PROOF_BYTES);
	rk_codec_flush();
	memset(bytes, 0, sizeof(bytes));
	result = copy(region, stream, bytes, offset, false);
	if (!result)
		result = differs(region, bytes, offset, 1, "the CPU", "the GPU");
	if (result)
		return result;
	for (size_t i = 0; i < PROOF_BYTES; i++)
		bytes[i] = pattern(i, 2);
	result = copy(region, stream, bytes, offset, true);
	if (result)
		return result;
	memcpy(bytes, map, PROOF_BYTES);
	return differs(region, bytes, offset, 2, "the GPU", "the CPU");
}

int gpu_memory_prove(struct rk_region *region)
{
	const struct rk_cuda *cuda = region->gpu.cuda;
	struct rk_cuda_stream *stream;
	int error = cuda->stream_create(&stream, RK_CUDA_STREAM_NON_BLOCKING, 0);
	int result;

	if (error)
		return rk_cuda_fail(cuda, error, "%s: self-test: make a stream",
				    region->info.provider);
	result = prove_at(region, stream, 0);
	if (!result)
		result = prove_at(region, stream, region->info.bytes - PROOF_BYTES);
	cuda->stream_destroy(stream);
	if (result)
		return result;
	/* By stores: a fill on the GPU would be a kernel, and wait for room among others. */
	memset(region->info.host_addr, 0, region->info.bytes);
	rk_codec_flush();
	return 0;
}
