// SPDX-License-Identifier: MIT
/* What of CUDA's driver regions use, over memfds. An address on the GPU is the fake's mapping. */
#include "fake.h"
#include "gpudirect/cuda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CUDA __attribute__((visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { DEPTH = 8, PLACES = 256, VMM_PAGE_BYTES = 2 << 20 };

CUDA struct fake_cuda fake_cuda = {.version = 13030, .gpus = 1, .fail_with = 999};

struct rk_cuda_context {
	int device;
	int users;
};

static struct rk_cuda_context contexts[FAKE_GPUS];
static _Thread_local struct rk_cuda_context *stack[DEPTH];
static _Thread_local int depth;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Memory that the GPU sees at @addr. */
static struct place {
	uint64_t addr;
	size_t bytes;
	int fd;	      /* of what lies there; -1: reserved only, or memory of the host */
	bool writable;
} places[PLACES];

/* Fails when it is this call's turn; to be called with the mutex held. */
#define TURN()                                                                                     \
	do {                                                                                       \
		if (fake_cuda.fail_at && --fake_cuda.fail_at == 0)                                 \
			return fake_cuda.fail_with;                                                \
	} while (0)
#define LOCKED(...)                                                                                \
	int result;                                                                                \
	pthread_mutex_lock(&mutex);                                                                \
	result = __VA_ARGS__;                                                                      \
	pthread_mutex_unlock(&mutex);                                                              \
	return result

static struct place *find(uint64_t addr)
{
	for (int i = 0; i < PLACES; i++)
		if (places[i].bytes && addr >= places[i].addr &&
		    addr - places[i].addr < places[i].bytes)
			return &places[i];
	return NULL;
}

static struct place *add(uint64_t addr, size_t bytes, int fd, bool writable)
{
	for (int i = 0; i < PLACES; i++)
		if (!places[i].bytes) {
			places[i] = (struct place){addr, bytes, fd, writable};
			return &places[i];
		}
	abort();
}

static int new_memory(size_t bytes)
{
	int fd = memfd_create("gpu", MFD_CLOEXEC);

	/* Not zeroed on a GPU: whoever needs zeroes must write them. */
	if (fd < 0 || ftruncate(fd, (off_t)bytes) || pwrite(fd, "dirty", 5, 64) != 5)
		abort();
	return fd;
}

/* --- The driver, devices, contexts --- */

CUDA int cuInit(unsigned int flags)
{
	(void)flags;
	return fake_cuda.init_error;
}

CUDA int cuDriverGetVersion(int *version)
{
	*version = fake_cuda.version;
	return 0;
}

CUDA int cuGetErrorName(int error, const char **text)
{
	*text = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
	return 0;
}

CUDA int cuGetErrorString(int error, const char **text)
{
	*text = error == 2 ? "out of memory" : "as the test asked";
	return 0;
}

CUDA int cuDeviceGetCount(int *count)
{
	*count = fake_cuda.gpus;
	return 0;
}

CUDA int cuDeviceGet(int *device, int ordinal)
{
	*device = ordinal + 100;
	return ordinal < fake_cuda.gpus ? 0 : RK_CUDA_INVALID_DEVICE;
}

static int uuid(struct rk_cuda_uuid *out, int device)
{
	TURN();
	fake_uuid(out->bytes, device - 100);
	return 0;
}

CUDA int cuDeviceGetUuid_v2(struct rk_cuda_uuid *out, int device)
{
	LOCKED(uuid(out, device));
}

/* Where kernels run (tests/lanes) there are more. */
__attribute__((weak)) int fake_attribute(int *value, int attribute);
__attribute__((weak)) int fake_attribute(int *value, int attribute)
{
	(void)value;
	(void)attribute;
	return RK_CUDA_INVALID_VALUE;
}

CUDA int cuDeviceGetAttribute(int *value, int attribute, int device)
{
	(void)device;
	*value = 0;
	switch (attribute) {
	case RK_CUDA_ATTR_VMM:
	case RK_CUDA_ATTR_RDMA_WITH_VMM:
		*value = !fake_cuda.no_vmm;
		return 0;
	case RK_CUDA_ATTR_DMA_BUF_MMAP:
		*value = !fake_cuda.no_dma_buf_mmap;
		return 0;
	case RK_CUDA_ATTR_HOST_REGISTER:
		*value = !fake_cuda.no_host_register;
		return 0;
	case RK_CUDA_ATTR_RDMA_ORDERING:
		*value = fake_cuda.ordering;
		return 0;
	case RK_CUDA_ATTR_RDMA_FLUSH:
		*value = fake_cuda.flushing;
		return 0;
	case RK_CUDA_ATTR_RDMA:
	case RK_CUDA_ATTR_DMA_BUF:
		*value = 1;
		return 0;
	default:
		return fake_attribute(value, attribute);
	}
}

static int retain(struct rk_cuda_context **ctx, int device)
{
	TURN();
	*ctx = &contexts[device - 100];
	(*ctx)->device = device;
	(*ctx)->users++;
	fake_cuda.contexts++;
	return 0;
}

CUDA int cuDevicePrimaryCtxRetain(struct rk_cuda_context **ctx, int device)
{
	LOCKED(retain(ctx, device));
}

static int release(int device)
{
	if (contexts[device - 100].users-- < 1)
		abort();
	fake_cuda.contexts--;
	return 0;
}

CUDA int cuDevicePrimaryCtxRelease_v2(int device)
{
	LOCKED(release(device));
}

static int push(struct rk_cuda_context *ctx)
{
	TURN();
	if (depth == DEPTH)
		abort();
	stack[depth++] = ctx;
	fake_cuda.pushed++;
	return 0;
}

CUDA int cuCtxPushCurrent_v2(struct rk_cuda_context *ctx)
{
	LOCKED(push(ctx));
}

static int pop(struct rk_cuda_context **ctx)
{
	if (!depth)
		abort();
	*ctx = stack[--depth];
	fake_cuda.pushed--;
	return 0;
}

CUDA int cuCtxPopCurrent_v2(struct rk_cuda_context **ctx)
{
	LOCKED(pop(ctx));
}

CUDA int cuCtxGetCurrent(struct rk_cuda_context **ctx)
{
	*ctx = depth ? stack[depth - 1] : NULL;
	return 0;
}

/* --- Memory by cuMemAlloc --- */

/* 256 bytes into a page, as CUDA may: its users must align for themselves. */
static int mem_alloc(uint64_t *addr, size_t bytes)
{
	char *map;
	int fd;

	TURN();
	if (!depth)
		return 201;
	fd = new_memory(bytes + 4096);
	map = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*addr = (uint64_t)(uintptr_t)map + 256;
	add(*addr, bytes, fd, true);
	fake_cuda.allocations++;
	return 0;
}

CUDA int cuMemAlloc_v2(uint64_t *addr, size_t bytes)
{
	LOCKED(mem_alloc(addr, bytes));
}

/* Also ends what cuExternalMemoryGetMappedBuffer() gave, whose descriptor is the import's. */
static int mem_free(uint64_t addr)
{
	struct place *place = find(addr);

	if (!place || place->addr != addr)
		abort();
	if (addr % 4096) {
		munmap((void *)(uintptr_t)(addr - 256), place->bytes + 4096);
		close(place->fd);
	} else {
		munmap((void *)(uintptr_t)addr, place->bytes);
	}
	*place = (struct place){0};
	fake_cuda.allocations--;
	return 0;
}

CUDA int cuMemFree_v2(uint64_t addr)
{
	LOCKED(mem_free(addr));
}

/* --- Memory in its parts --- */

CUDA int cuMemGetAllocationGranularity(size_t *bytes, const struct rk_cuda_allocation *wanted,
				       int option)
{
	(void)option;
	*bytes = VMM_PAGE_BYTES;
	return wanted->rdma_capable ? 0 : RK_CUDA_INVALID_VALUE;
}

static int pages_create(unsigned long long *pages, size_t bytes)
{
	TURN();
	if (bytes % VMM_PAGE_BYTES)
		return RK_CUDA_INVALID_VALUE;
	*pages = (unsigned long long)new_memory(bytes) + 1;
	fake_cuda.pages++;
	return 0;
}

CUDA int cuMemCreate(unsigned long long *pages, size_t bytes,
		     const struct rk_cuda_allocation *wanted, unsigned long long flags)
{
	(void)wanted;
	(void)flags;
	LOCKED(pages_create(pages, bytes));
}

static int pages_release(unsigned long long pages)
{
	close((int)pages - 1);
	fake_cuda.pages--;
	return 0;
}

CUDA int cuMemRelease(unsigned long long pages)
{
	LOCKED(pages_release(pages));
}

/* Aligned to 2 MiB, as on a GPU. */
static int address_reserve(uint64_t *addr, size_t bytes)
{
	uint64_t map;

	TURN();
	map = (uint64_t)(uintptr_t)mmap(NULL, bytes + VMM_PAGE_BYTES, PROT_NONE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*addr = (map + VMM_PAGE_BYTES - 1) / VMM_PAGE_BYTES * VMM_PAGE_BYTES;
	munmap((void *)(uintptr_t)map, *addr - map);
	munmap((void *)(uintptr_t)(*addr + bytes), map + VMM_PAGE_BYTES - *addr);
	add(*addr, bytes, -1, false);
	fake_cuda.addresses++;
	return 0;
}

CUDA int cuMemAddressReserve(uint64_t *addr, size_t bytes, size_t alignment, uint64_t hint,
			     unsigned long long flags)
{
	(void)alignment;
	(void)hint;
	(void)flags;
	LOCKED(address_reserve(addr, bytes));
}

static int address_free(uint64_t addr, size_t bytes)
{
	struct place *place = find(addr);

	if (!place || place->fd >= 0 || place->bytes != bytes)
		abort();
	munmap((void *)(uintptr_t)addr, bytes);
	*place = (struct place){0};
	fake_cuda.addresses--;
	return 0;
}

CUDA int cuMemAddressFree(uint64_t addr, size_t bytes)
{
	LOCKED(address_free(addr, bytes));
}

static int map(uint64_t addr, size_t bytes, unsigned long long pages)
{
	struct place *place = find(addr);

	TURN();
	if (!place || place->bytes != bytes || place->fd >= 0)
		return RK_CUDA_INVALID_VALUE;
	place->fd = (int)pages - 1;
	mmap((void *)(uintptr_t)addr, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, place->fd, 0);
	fake_cuda.maps++;
	return 0;
}

CUDA int cuMemMap(uint64_t addr, size_t bytes, size_t offset, unsigned long long pages,
		  unsigned long long flags)
{
	(void)offset;
	(void)flags;
	LOCKED(map(addr, bytes, pages));
}

static int unmap(uint64_t addr, size_t bytes)
{
	struct place *place = find(addr);

	if (!place || place->fd < 0)
		abort();
	mmap((void *)(uintptr_t)addr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
	     0);
	place->fd = -1;
	place->writable = false;
	fake_cuda.maps--;
	return 0;
}

CUDA int cuMemUnmap(uint64_t addr, size_t bytes)
{
	LOCKED(unmap(addr, bytes));
}

static int set_access(uint64_t addr, size_t bytes)
{
	struct place *place = find(addr);

	TURN();
	if (!place || place->fd < 0)
		return RK_CUDA_INVALID_VALUE;
	mprotect((void *)(uintptr_t)addr, bytes, PROT_READ | PROT_WRITE);
	place->writable = true;
	return 0;
}

CUDA int cuMemSetAccess(uint64_t addr, size_t bytes, const struct rk_cuda_access *access,
			size_t count)
{
	(void)access;
	(void)count;
	LOCKED(set_access(addr, bytes));
}

/* A memfd is mapped from its start: so a part of an allocation moves to one of its own. */
static int part_of(uint64_t addr, size_t bytes)
{
	int fd = new_memory(bytes);

	if (pwrite(fd, (void *)(uintptr_t)addr, bytes, 0) != (ssize_t)bytes)
		abort();
	mmap((void *)(uintptr_t)addr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	return fd;
}

static int range_export(int *fd, uint64_t addr, size_t bytes)
{
	struct place *place = find(addr);

	TURN();
	if (!place || place->fd < 0 || addr % 4096 || bytes % 4096 ||
	    addr + bytes > place->addr + place->bytes)
		return RK_CUDA_INVALID_VALUE;
	if (fake_cuda.dma_buf_of_nothing)
		*fd = new_memory(bytes);
	else if (place->addr == addr && place->bytes == bytes)
		*fd = dup(place->fd);
	else
		*fd = part_of(addr, bytes);
	return 0;
}

CUDA int cuMemGetHandleForAddressRange(void *handle, uint64_t addr, size_t bytes, int type,
				       unsigned long long flags)
{
	(void)type;
	(void)flags;
	LOCKED(range_export(handle, addr, bytes));
}

static int flush(void)
{
	TURN();
	if (!depth)
		return 201;
	fake_cuda.flushes++;
	return 0;
}

CUDA int cuFlushGPUDirectRDMAWrites(int target, int scope)
{
	if (target != RK_CUDA_FLUSH_CURRENT_CONTEXT || scope != RK_CUDA_FLUSH_TO_OWNER)
		return RK_CUDA_INVALID_VALUE;
	LOCKED(flush());
}

/* --- Memory of others --- */

struct rk_cuda_external {
	int fd;
	size_t bytes;
};

static int external_import(struct rk_cuda_external **external,
			   const struct rk_cuda_external_memory *memory)
{
	struct stat status;

	TURN();
	if (fstat(memory->handle.fd, &status) || (size_t)status.st_size != memory->bytes)
		return RK_CUDA_INVALID_VALUE;
	*external = malloc(sizeof(**external));
	**external = (struct rk_cuda_external){memory->handle.fd, memory->bytes};
	fake_cuda.externals++;
	return 0;
}

CUDA int cuImportExternalMemory(struct rk_cuda_external **external,
				const struct rk_cuda_external_memory *memory)
{
	LOCKED(external_import(external, memory));
}

static int external_map(uint64_t *addr, struct rk_cuda_external *external)
{
	TURN();
	*addr = (uint64_t)(uintptr_t)mmap(NULL, external->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
					  external->fd, 0);
	add(*addr, external->bytes, external->fd, true);
	fake_cuda.allocations++;
	return 0;
}

CUDA int cuExternalMemoryGetMappedBuffer(uint64_t *addr, struct rk_cuda_external *external,
					 const struct rk_cuda_external_buffer *buffer)
{
	(void)buffer;
	LOCKED(external_map(addr, external));
}

static int external_destroy(struct rk_cuda_external *external)
{
	close(external->fd);
	free(external);
	fake_cuda.externals--;
	return 0;
}

CUDA int cuDestroyExternalMemory(struct rk_cuda_external *external)
{
	LOCKED(external_destroy(external));
}

static int host_register(void *addr, size_t bytes)
{
	TURN();
	if (!depth)
		return 201;
	if (find((uint64_t)(uintptr_t)addr))
		return RK_CUDA_ALREADY_REGISTERED;
	add((uint64_t)(uintptr_t)addr, bytes, -1, true);
	fake_cuda.registered++;
	return 0;
}

CUDA int cuMemHostRegister_v2(void *addr, size_t bytes, unsigned int flags)
{
	(void)flags;
	LOCKED(host_register(addr, bytes));
}

static int host_unregister(void *addr)
{
	struct place *place = find((uint64_t)(uintptr_t)addr);

	if (!place)
		abort();
	*place = (struct place){0};
	fake_cuda.registered--;
	return 0;
}

CUDA int cuMemHostUnregister(void *addr)
{
	LOCKED(host_unregister(addr));
}

static int host_gpu_addr(uint64_t *gpu_addr, void *addr)
{
	TURN();
	*gpu_addr = (uint64_t)(uintptr_t)addr;
	return find(*gpu_addr) ? 0 : RK_CUDA_INVALID_VALUE;
}

CUDA int cuMemHostGetDevicePointer_v2(uint64_t *gpu_addr, void *addr, unsigned int flags)
{
	(void)flags;
	LOCKED(host_gpu_addr(gpu_addr, addr));
}

/* --- Streams and copies --- */

struct rk_cuda_stream {
	unsigned int flags;
};

static int stream_create(struct rk_cuda_stream **stream, unsigned int flags)
{
	TURN();
	if (!depth)
		return 201;
	*stream = malloc(sizeof(**stream));
	(*stream)->flags = flags;
	fake_cuda.streams++;
	return 0;
}

CUDA int cuStreamCreateWithPriority(struct rk_cuda_stream **stream, unsigned int flags,
				    int priority)
{
	(void)priority;
	LOCKED(stream_create(stream, flags));
}

static int stream_destroy(struct rk_cuda_stream *stream)
{
	free(stream);
	fake_cuda.streams--;
	return 0;
}

CUDA int cuStreamDestroy_v2(struct rk_cuda_stream *stream)
{
	LOCKED(stream_destroy(stream));
}

static int turn_alone(void)
{
	TURN();
	return 0;
}

/* Copies are done when they are asked for; kernels, where they run (tests/lanes), take their time. */
__attribute__((weak)) int fake_stream_wait(struct rk_cuda_stream *stream);
__attribute__((weak)) int fake_stream_wait(struct rk_cuda_stream *stream)
{
	(void)stream;
	LOCKED(turn_alone());
}

CUDA int cuStreamSynchronize(struct rk_cuda_stream *stream)
{
	return fake_stream_wait(stream);
}

/* Whether all of it is memory that may be written. */
static bool is_memory(uint64_t addr, size_t bytes)
{
	struct place *place = find(addr);

	return place && place->writable && addr + bytes <= place->addr + place->bytes;
}

static int copy(uint64_t gpu_addr, void *host, size_t bytes, bool to_gpu)
{
	TURN();
	if (!is_memory(gpu_addr, bytes))
		return 700;
	if (to_gpu)
		memcpy((void *)(uintptr_t)gpu_addr, host, bytes);
	else
		memcpy(host, (void *)(uintptr_t)gpu_addr, bytes);
	return 0;
}

CUDA int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes,
			      struct rk_cuda_stream *stream)
{
	(void)stream;
	LOCKED(copy(to, (void *)(uintptr_t)from, bytes, true));
}

CUDA int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, struct rk_cuda_stream *stream)
{
	(void)stream;
	LOCKED(copy(from, to, bytes, false));
}

static int copy_any(uint64_t to, uint64_t from, size_t bytes)
{
	bool to_gpu = find(to);

	return to_gpu || find(from) ?
		       copy(to_gpu ? to : from, (void *)(uintptr_t)(to_gpu ? from : to), bytes,
			    to_gpu) :
		       RK_CUDA_INVALID_VALUE;
}

CUDA int cuMemcpyAsync(uint64_t to, uint64_t from, size_t bytes, struct rk_cuda_stream *stream)
{
	(void)stream;
	LOCKED(copy_any(to, from, bytes));
}

CUDA int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes)
{
	LOCKED(copy(to, (void *)(uintptr_t)from, bytes, true));
}

CUDA int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes)
{
	LOCKED(copy(from, to, bytes, false));
}

static int fill(uint64_t to, unsigned char value, size_t bytes)
{
	TURN();
	if (!is_memory(to, bytes))
		return 700;
	memset((void *)(uintptr_t)to, value, bytes);
	return 0;
}

CUDA int cuMemsetD8_v2(uint64_t to, unsigned char value, size_t bytes)
{
	LOCKED(fill(to, value, bytes));
}

CUDA int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, struct rk_cuda_stream *stream)
{
	(void)stream;
	LOCKED(fill(to, value, bytes));
}

/* --- Memory that a module has --- */

void fake_add_memory(uint64_t addr, size_t bytes);
void fake_add_memory(uint64_t addr, size_t bytes)
{
	pthread_mutex_lock(&mutex);
	if (!find(addr))
		add(addr, bytes, -1, true);
	pthread_mutex_unlock(&mutex);
}

void fake_drop_memory(uint64_t addr);
void fake_drop_memory(uint64_t addr)
{
	struct place *place;

	pthread_mutex_lock(&mutex);
	place = find(addr);
	if (place)
		*place = (struct place){0};
	pthread_mutex_unlock(&mutex);
}
