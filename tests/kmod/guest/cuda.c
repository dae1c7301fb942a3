// SPDX-License-Identifier: GPL-2.0
/*
 * As much of CUDA as regions on a GPU use, over the stand-in's memory, in the place of libcuda.so.1:
 * dlopen() and dlsym() are wrapped. Copies go by the stand-in, not through the module's mapping.
 */
#include <dlfcn.h>

#include "gpudirect/cuda.h"
#include "t.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* 256 bytes into a page, as CUDA may: what is mapped must be aligned. */
#define ALLOCATED	(SI_GPU_BASE + 64 * SI_PAGE + 256)

void *__real_dlopen(const char *name, int flags);
void *__real_dlsym(void *library, const char *symbol);

static int allocated;

void *__wrap_dlopen(const char *name, int flags)
{
	return strcmp(name, "libcuda.so.1") ? __real_dlopen(name, flags) : &allocated;
}

#define PAIR(name, symbol, parameters) { #symbol, (void *)symbol },
#define DECLARE(name, symbol, parameters) int symbol parameters;
RK_CUDA_FUNCTIONS(DECLARE)

void *__wrap_dlsym(void *library, const char *symbol)
{
	static const struct {
		const char *name;
		void *function;
	} functions[] = { RK_CUDA_FUNCTIONS(PAIR) };
	size_t i;

	if (library != &allocated)
		return __real_dlsym(library, symbol);
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!strcmp(functions[i].name, symbol))
			return functions[i].function;
	return NULL;
}

int cuInit(unsigned int flags)
{
	return 0;
}

int cuDriverGetVersion(int *version)
{
	*version = 12000;
	return 0;
}

int cuDeviceGetCount(int *count)
{
	*count = 1;
	return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
	*device = ordinal;
	return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
	*value = attribute == RK_CUDA_ATTR_RDMA;
	return 0;
}

int cuDevicePrimaryCtxRetain(struct rk_cuda_context **ctx, int device)
{
	*ctx = NULL;
	return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
	return 0;
}

int cuCtxPushCurrent_v2(struct rk_cuda_context *ctx)
{
	return 0;
}

int cuCtxPopCurrent_v2(struct rk_cuda_context **ctx)
{
	return 0;
}

int cuMemAlloc_v2(uint64_t *gpu_addr, size_t bytes)
{
	if (allocated++)
		return RK_CUDA_OUT_OF_MEMORY;
	*gpu_addr = ALLOCATED;
	return 0;
}

int cuMemFree_v2(uint64_t gpu_addr)
{
	CHECK_EQ(gpu_addr, ALLOCATED);
	allocated--;
	return 0;
}

int cuStreamCreateWithPriority(struct rk_cuda_stream **stream, unsigned int flags, int priority)
{
	return 0;
}

int cuStreamDestroy_v2(struct rk_cuda_stream *stream)
{
	return 0;
}

int cuStreamSynchronize(struct rk_cuda_stream *stream)
{
	return 0;
}

static int copy(uint64_t gpu_addr, unsigned char *host, size_t bytes, unsigned long command)
{
	size_t i;

	for (i = 0; i < bytes; i += 8) {
		struct si_peek io = { .offset = gpu_addr - SI_GPU_BASE + i };

		memcpy(&io.value, host + i, 8);
		if (t_ioctl(t_standin(), command, &io))
			return RK_CUDA_INVALID_VALUE;
		memcpy(host + i, &io.value, 8);
	}
	return 0;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct rk_cuda_stream *stream)
{
	return copy(to, (unsigned char *)(uintptr_t)from, bytes, SI_IOC_POKE);
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, struct rk_cuda_stream *stream)
{
	return copy(from, to, bytes, SI_IOC_PEEK);
}
