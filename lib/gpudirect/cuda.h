/* SPDX-License-Identifier: MIT */
/*
 * cuda.h - the CUDA driver, opened at run time; private to the library.
 *
 * libcuda.so.1 is there or it is not: nothing is linked, and no header of CUDA is needed to build.
 * What is used of it is declared here: one table of functions, with the exact symbol of each, and
 * the few constants and structures they take. tests/driver_abi.sh holds all of it against cuda.h.
 *
 * A function returns 0 or a CUresult; rk_cuda_fail() makes an errno and a sentence of it. Contexts
 * are entered and left around a few calls (rk_cuda_enter(), rk_cuda_leave()), so that the caller's
 * thread is as it was.
 */
#ifndef RK_GPUDIRECT_CUDA_H
#define RK_GPUDIRECT_CUDA_H

#include "rk_error.h"

#include <stddef.h>
#include <stdint.h>

/* The oldest driver whose table is whole: CUDA 11.8, which is also the first that knows Hopper. */
#define RK_CUDA_OLDEST_DRIVER 11080

struct rk_cuda_context;
struct rk_cuda_module;
struct rk_cuda_function;
struct rk_cuda_stream;
struct rk_cuda_event;
struct rk_cuda_graph;
struct rk_cuda_graph_exec;
struct rk_cuda_external;

/* CUresult: what this library tells apart. */
enum {
	RK_CUDA_OK = 0,
	RK_CUDA_INVALID_VALUE = 1,
	RK_CUDA_OUT_OF_MEMORY = 2,
	RK_CUDA_NOT_INITIALIZED = 3,
	RK_CUDA_STUB_LIBRARY = 34,
	RK_CUDA_DEVICE_UNAVAILABLE = 46,
	RK_CUDA_NO_DEVICE = 100,
	RK_CUDA_INVALID_DEVICE = 101,
	RK_CUDA_NO_BINARY_FOR_GPU = 209,
	RK_CUDA_UNSUPPORTED_PTX = 222,
	RK_CUDA_NOT_FOUND = 500,
	RK_CUDA_NOT_READY = 600,
	RK_CUDA_PEER_ALREADY_ENABLED = 704,
	RK_CUDA_ALREADY_REGISTERED = 712,
	RK_CUDA_COOPERATIVE_TOO_LARGE = 720,
	RK_CUDA_NOT_PERMITTED = 800,
	RK_CUDA_NOT_SUPPORTED = 801,
	RK_CUDA_SYSTEM_NOT_READY = 802,
	RK_CUDA_DRIVER_MISMATCH = 803,
};

/* CUdevice_attribute. */
enum {
	RK_CUDA_ATTR_MAX_THREADS_PER_BLOCK = 1,
	RK_CUDA_ATTR_WARP_SIZE = 10,
	RK_CUDA_ATTR_MULTIPROCESSORS = 16,
	RK_CUDA_ATTR_KERNEL_TIMEOUT = 17, /* the display watchdog ends long kernels */
	RK_CUDA_ATTR_INTEGRATED = 18,
	RK_CUDA_ATTR_CAN_MAP_HOST = 19,
	RK_CUDA_ATTR_COMPUTE_MODE = 20,
	RK_CUDA_ATTR_PCI_BUS = 33,
	RK_CUDA_ATTR_PCI_DEVICE = 34,
	RK_CUDA_ATTR_MAX_THREADS_PER_MULTIPROCESSOR = 39,
	RK_CUDA_ATTR_UNIFIED_ADDRESSING = 41,
	RK_CUDA_ATTR_PCI_DOMAIN = 50,
	RK_CUDA_ATTR_COMPUTE_MAJOR = 75,
	RK_CUDA_ATTR_COMPUTE_MINOR = 76,
	RK_CUDA_ATTR_SHARED_PER_MULTIPROCESSOR = 81,
	RK_CUDA_ATTR_HOST_POINTER_IS_GPU_POINTER = 91,
	RK_CUDA_ATTR_COOPERATIVE_LAUNCH = 95,
	RK_CUDA_ATTR_SHARED_PER_BLOCK_OPTIN = 97,
	RK_CUDA_ATTR_HOST_REGISTER = 99,
	RK_CUDA_ATTR_VMM = 102,
	RK_CUDA_ATTR_RDMA_WITH_VMM = 110,
	RK_CUDA_ATTR_RDMA = 116,
	RK_CUDA_ATTR_RDMA_FLUSH = 117,
	RK_CUDA_ATTR_RDMA_ORDERING = 118,
	RK_CUDA_ATTR_CLUSTER_LAUNCH = 120,
	RK_CUDA_ATTR_DMA_BUF = 124,
	RK_CUDA_ATTR_DMA_BUF_MMAP = 152, /* CUDA 13.3; older drivers do not know the number */
};

/* CUfunction_attribute. */
enum {
	RK_CUDA_FUNC_MAX_THREADS = 0,
	RK_CUDA_FUNC_SHARED_BYTES = 1,
	RK_CUDA_FUNC_LOCAL_BYTES = 3,
	RK_CUDA_FUNC_REGISTERS = 4,
	RK_CUDA_FUNC_MAX_DYNAMIC_SHARED_BYTES = 8,
	RK_CUDA_FUNC_SHARED_CARVEOUT = 9,
	RK_CUDA_FUNC_NON_PORTABLE_CLUSTER = 14,
};

/* CUjit_option. */
enum {
	RK_CUDA_JIT_INFO_LOG = 3,
	RK_CUDA_JIT_INFO_LOG_BYTES = 4,
	RK_CUDA_JIT_ERROR_LOG = 5,
	RK_CUDA_JIT_ERROR_LOG_BYTES = 6,
	RK_CUDA_JIT_LOG_VERBOSE = 12,
};

enum {
	RK_CUDA_HOST_PORTABLE = 1, /* cuMemHostAlloc and cuMemHostRegister alike */
	RK_CUDA_HOST_DEVICEMAP = 2,
	RK_CUDA_HOST_WRITE_COMBINED = 4, /* cuMemHostAlloc */
	RK_CUDA_HOST_IOMEMORY = 4,	 /* cuMemHostRegister */
	RK_CUDA_STREAM_NON_BLOCKING = 1,
	RK_CUDA_EVENT_DEFAULT = 0,
	RK_CUDA_EVENT_BLOCKING = 1,
	RK_CUDA_EVENT_NO_TIMING = 2,
	RK_CUDA_CAPTURE_THREAD_LOCAL = 1,
	RK_CUDA_POINTER_GPU_POINTER = 3, /* as kernels of the current context see it */
	RK_CUDA_POINTER_SYNC_MEMOPS = 6,
	RK_CUDA_POINTER_RDMA_CAPABLE = 15,
	RK_CUDA_LOCATION_DEVICE = 1,
	RK_CUDA_ALLOCATION_PINNED = 1,
	RK_CUDA_GRANULARITY_MINIMUM = 0,
	RK_CUDA_ACCESS_READWRITE = 3,
	RK_CUDA_HANDLE_NONE = 0,
	RK_CUDA_HANDLE_FD = 1,
	RK_CUDA_RANGE_DMA_BUF_FD = 1,
	RK_CUDA_RANGE_MAPPING_PCIE = 1, /* from driver 12080 on */
	RK_CUDA_EXTERNAL_OPAQUE_FD = 1,
	RK_CUDA_FLUSH_BY_HOST = 1, /* a bit of what RK_CUDA_ATTR_RDMA_FLUSH says */
	RK_CUDA_FLUSH_CURRENT_CONTEXT = 0,
	RK_CUDA_FLUSH_TO_OWNER = 100,
	RK_CUDA_FLUSH_TO_ALL = 200,
	RK_CUDA_LAUNCH_COOPERATIVE = 2,
	RK_CUDA_LAUNCH_CLUSTER = 4,
	RK_CUDA_LAUNCH_PRIORITY = 8,
	RK_CUDA_P2P_RANK = 1,
	RK_CUDA_P2P_ACCESS = 2,
	RK_CUDA_P2P_ATOMICS = 3,
};

struct rk_cuda_uuid {
	uint8_t bytes[16];
};

struct rk_cuda_launch_attr {
	uint32_t id; /* RK_CUDA_LAUNCH_* */
	uint32_t pad;
	union {
		struct {
			unsigned int x, y, z;
		} cluster;
		int cooperative;
		int priority;
		uint64_t space[8];
	} value;
};

struct rk_cuda_launch {
	unsigned int grid_x, grid_y, grid_z;
	unsigned int block_x, block_y, block_z;
	unsigned int shared_bytes;
	struct rk_cuda_stream *stream;
	struct rk_cuda_launch_attr *attrs;
	unsigned int attr_count;
};

struct rk_cuda_location {
	int type; /* RK_CUDA_LOCATION_DEVICE */
	int id;
};

struct rk_cuda_allocation {
	int type;    /* RK_CUDA_ALLOCATION_PINNED */
	int handles; /* RK_CUDA_HANDLE_* that may be exported */
	struct rk_cuda_location location;
	void *unused;
	uint8_t compression;
	uint8_t rdma_capable;
	uint16_t usage;
	uint8_t reserved[4];
};

struct rk_cuda_access {
	struct rk_cuda_location location;
	int flags; /* RK_CUDA_ACCESS_READWRITE */
};

struct rk_cuda_external_memory {
	int type; /* RK_CUDA_EXTERNAL_OPAQUE_FD */
	union {
		int fd; /* CUDA's from a successful import on */
		uint64_t space[2];
	} handle;
	unsigned long long bytes;
	unsigned int flags;
	unsigned int reserved[16];
};

struct rk_cuda_external_buffer {
	unsigned long long offset;
	unsigned long long bytes;
	unsigned int flags;
	unsigned int reserved[16];
};

/*
 * X(name here, symbol there, parameters). Addresses on the GPU are uint64_t, devices int.
 * Symbols are those that cuda.h of CUDA 13 stands for; all are in drivers from 11.8 on.
 */
/* clang-format off */
#define RK_CUDA_FUNCTIONS(X)                                                                       \
	X(init, cuInit, (unsigned int flags))                                                      \
	X(driver_version, cuDriverGetVersion, (int *version))                                      \
	X(error_name, cuGetErrorName, (int error, const char **text))                              \
	X(error_string, cuGetErrorString, (int error, const char **text))                          \
	/* devices and contexts */                                                                 \
	X(device_count, cuDeviceGetCount, (int *count))                                            \
	X(device_get, cuDeviceGet, (int *device, int ordinal))                                     \
	X(device_name, cuDeviceGetName, (char *name, int bytes, int device))                       \
	X(device_uuid, cuDeviceGetUuid_v2, (struct rk_cuda_uuid *uuid, int device))                \
	X(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, int device))         \
	X(device_memory, cuDeviceTotalMem_v2, (size_t *bytes, int device))                         \
	X(device_pci, cuDeviceGetPCIBusId, (char *text, int bytes, int device))                    \
	X(device_can_access_peer, cuDeviceCanAccessPeer, (int *can, int device, int peer))         \
	X(device_p2p, cuDeviceGetP2PAttribute, (int *value, int attribute, int from, int to))      \
	X(primary_retain, cuDevicePrimaryCtxRetain, (struct rk_cuda_context **ctx, int device))    \
	X(primary_release, cuDevicePrimaryCtxRelease_v2, (int device))                             \
	X(primary_reset, cuDevicePrimaryCtxReset_v2, (int device))                                 \
	X(primary_state, cuDevicePrimaryCtxGetState,                                               \
	  (int device, unsigned int *flags, int *active))                                          \
	X(ctx_push, cuCtxPushCurrent_v2, (struct rk_cuda_context *ctx))                            \
	X(ctx_pop, cuCtxPopCurrent_v2, (struct rk_cuda_context **ctx))                             \
	X(ctx_set, cuCtxSetCurrent, (struct rk_cuda_context *ctx))                                 \
	X(ctx_get, cuCtxGetCurrent, (struct rk_cuda_context **ctx))                                \
	X(ctx_synchronize, cuCtxSynchronize, (void))                                               \
	X(ctx_priorities, cuCtxGetStreamPriorityRange, (int *least, int *greatest))                \
	X(ctx_enable_peer, cuCtxEnablePeerAccess,                                                  \
	  (struct rk_cuda_context *peer, unsigned int flags))                                      \
	X(ctx_disable_peer, cuCtxDisablePeerAccess, (struct rk_cuda_context *peer))                \
	/* memory */                                                                               \
	X(mem_info, cuMemGetInfo_v2, (size_t *free, size_t *total))                                \
	X(mem_alloc, cuMemAlloc_v2, (uint64_t *gpu_addr, size_t bytes))                            \
	X(mem_free, cuMemFree_v2, (uint64_t gpu_addr))                                             \
	X(host_alloc, cuMemHostAlloc, (void **addr, size_t bytes, unsigned int flags))             \
	X(host_free, cuMemFreeHost, (void *addr))                                                  \
	X(host_register, cuMemHostRegister_v2, (void *addr, size_t bytes, unsigned int flags))     \
	X(host_unregister, cuMemHostUnregister, (void *addr))                                      \
	X(host_gpu_addr, cuMemHostGetDevicePointer_v2,                                             \
	  (uint64_t *gpu_addr, void *addr, unsigned int flags))                                    \
	X(pointer_set, cuPointerSetAttribute,                                                      \
	  (const void *value, int attribute, uint64_t gpu_addr))                                   \
	X(pointer_get, cuPointerGetAttribute, (void *value, int attribute, uint64_t gpu_addr))     \
	X(copy_to_gpu, cuMemcpyHtoD_v2, (uint64_t to, const void *from, size_t bytes))             \
	X(copy_to_host, cuMemcpyDtoH_v2, (void *to, uint64_t from, size_t bytes))                  \
	X(copy_to_gpu_async, cuMemcpyHtoDAsync_v2,                                                 \
	  (uint64_t to, const void *from, size_t bytes, struct rk_cuda_stream *stream))            \
	X(copy_to_host_async, cuMemcpyDtoHAsync_v2,                                                \
	  (void *to, uint64_t from, size_t bytes, struct rk_cuda_stream *stream))                  \
	X(copy_async, cuMemcpyAsync,                                                               \
	  (uint64_t to, uint64_t from, size_t bytes, struct rk_cuda_stream *stream))               \
	X(copy_peer_async, cuMemcpyPeerAsync,                                                      \
	  (uint64_t to, struct rk_cuda_context *to_ctx, uint64_t from,                             \
	   struct rk_cuda_context *from_ctx, size_t bytes, struct rk_cuda_stream *stream))         \
	X(fill, cuMemsetD8_v2, (uint64_t to, unsigned char value, size_t bytes))                   \
	X(fill_async, cuMemsetD8Async,                                                             \
	  (uint64_t to, unsigned char value, size_t bytes, struct rk_cuda_stream *stream))         \
	X(flush_rdma_writes, cuFlushGPUDirectRDMAWrites, (int target, int scope))                  \
	/* memory in its parts: pages, addresses, access */                                        \
	X(page_bytes, cuMemGetAllocationGranularity,                                               \
	  (size_t *bytes, const struct rk_cuda_allocation *wanted, int option))                    \
	X(pages_create, cuMemCreate,                                                               \
	  (unsigned long long *pages, size_t bytes, const struct rk_cuda_allocation *wanted,       \
	   unsigned long long flags))                                                              \
	X(pages_release, cuMemRelease, (unsigned long long pages))                                 \
	X(pages_export, cuMemExportToShareableHandle,                                              \
	  (void *handle, unsigned long long pages, int type, unsigned long long flags))            \
	X(address_reserve, cuMemAddressReserve,                                                    \
	  (uint64_t *gpu_addr, size_t bytes, size_t alignment, uint64_t hint,                      \
	   unsigned long long flags))                                                              \
	X(address_free, cuMemAddressFree, (uint64_t gpu_addr, size_t bytes))                       \
	X(map, cuMemMap,                                                                           \
	  (uint64_t gpu_addr, size_t bytes, size_t offset, unsigned long long pages,               \
	   unsigned long long flags))                                                              \
	X(unmap, cuMemUnmap, (uint64_t gpu_addr, size_t bytes))                                    \
	X(set_access, cuMemSetAccess,                                                              \
	  (uint64_t gpu_addr, size_t bytes, const struct rk_cuda_access *access, size_t count))    \
	X(range_export, cuMemGetHandleForAddressRange,                                             \
	  (void *handle, uint64_t gpu_addr, size_t bytes, int type, unsigned long long flags))     \
	X(external_import, cuImportExternalMemory,                                                 \
	  (struct rk_cuda_external **external, const struct rk_cuda_external_memory *memory))      \
	X(external_map, cuExternalMemoryGetMappedBuffer,                                           \
	  (uint64_t *gpu_addr, struct rk_cuda_external *external,                                  \
	   const struct rk_cuda_external_buffer *buffer))                                          \
	X(external_destroy, cuDestroyExternalMemory, (struct rk_cuda_external *external))          \
	/* code */                                                                                 \
	X(module_load, cuModuleLoadDataEx,                                                         \
	  (struct rk_cuda_module **module, const void *image, unsigned int count, int *options,    \
	   void **values))                                                                         \
	X(module_unload, cuModuleUnload, (struct rk_cuda_module *module))                          \
	X(module_function, cuModuleGetFunction,                                                    \
	  (struct rk_cuda_function **function, struct rk_cuda_module *module, const char *name))   \
	X(module_global, cuModuleGetGlobal_v2,                                                     \
	  (uint64_t *gpu_addr, size_t *bytes, struct rk_cuda_module *module, const char *name))    \
	X(function_attribute, cuFuncGetAttribute,                                                  \
	  (int *value, int attribute, struct rk_cuda_function *function))                          \
	X(function_set_attribute, cuFuncSetAttribute,                                              \
	  (struct rk_cuda_function *function, int attribute, int value))                           \
	X(occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor,                                  \
	  (int *blocks, struct rk_cuda_function *function, int threads, size_t shared_bytes))      \
	X(occupancy_clusters, cuOccupancyMaxActiveClusters,                                        \
	  (int *clusters, struct rk_cuda_function *function, const struct rk_cuda_launch *launch)) \
	X(launch, cuLaunchKernel,                                                                  \
	  (struct rk_cuda_function *function, unsigned int grid_x, unsigned int grid_y,            \
	   unsigned int grid_z, unsigned int block_x, unsigned int block_y, unsigned int block_z,  \
	   unsigned int shared_bytes, struct rk_cuda_stream *stream, void **arguments,             \
	   void **extra))                                                                          \
	X(launch_ex, cuLaunchKernelEx,                                                             \
	  (const struct rk_cuda_launch *launch, struct rk_cuda_function *function,                 \
	   void **arguments, void **extra))                                                        \
	/* streams, events, graphs */                                                              \
	X(stream_create, cuStreamCreateWithPriority,                                               \
	  (struct rk_cuda_stream **stream, unsigned int flags, int priority))                      \
	X(stream_destroy, cuStreamDestroy_v2, (struct rk_cuda_stream *stream))                     \
	X(stream_query, cuStreamQuery, (struct rk_cuda_stream *stream))                            \
	X(stream_synchronize, cuStreamSynchronize, (struct rk_cuda_stream *stream))                \
	X(stream_wait, cuStreamWaitEvent,                                                          \
	  (struct rk_cuda_stream *stream, struct rk_cuda_event *event, unsigned int flags))        \
	X(event_create, cuEventCreate, (struct rk_cuda_event **event, unsigned int flags))         \
	X(event_destroy, cuEventDestroy_v2, (struct rk_cuda_event *event))                         \
	X(event_record, cuEventRecord,                                                             \
	  (struct rk_cuda_event *event, struct rk_cuda_stream *stream))                            \
	X(event_query, cuEventQuery, (struct rk_cuda_event *event))                                \
	X(event_synchronize, cuEventSynchronize, (struct rk_cuda_event *event))                    \
	X(event_elapsed_ms, cuEventElapsedTime,                                                    \
	  (float *elapsed_ms, struct rk_cuda_event *from, struct rk_cuda_event *to))               \
	X(capture_begin, cuStreamBeginCapture_v2, (struct rk_cuda_stream *stream, int mode))       \
	X(capture_end, cuStreamEndCapture,                                                         \
	  (struct rk_cuda_stream *stream, struct rk_cuda_graph **graph))                           \
	X(graph_instantiate, cuGraphInstantiateWithFlags,                                          \
	  (struct rk_cuda_graph_exec **exec, struct rk_cuda_graph *graph,                          \
	   unsigned long long flags))                                                              \
	X(graph_launch, cuGraphLaunch,                                                             \
	  (struct rk_cuda_graph_exec *exec, struct rk_cuda_stream *stream))                        \
	X(graph_exec_destroy, cuGraphExecDestroy, (struct rk_cuda_graph_exec *exec))               \
	X(graph_destroy, cuGraphDestroy, (struct rk_cuda_graph *graph))
/* clang-format on */

/* The driver. Every function is there. */
struct rk_cuda {
	int version; /* 13000 is CUDA 13.0 */
	int devices; /* at least 1 */
#define RK_CUDA_MEMBER(name, symbol, parameters) int(*name) parameters;
	RK_CUDA_FUNCTIONS(RK_CUDA_MEMBER)
#undef RK_CUDA_MEMBER
};

/* One GPU and this process's context on it. */
struct rk_cuda_gpu {
	const struct rk_cuda *cuda;
	struct rk_cuda_context *context; /* the primary one, which CUDA's runtime uses as well */
	int ordinal;
	int device;
};

/*
 * The driver, opened by the first call. Any thread. 0; -ENODEV when there is no driver, no device
 * or a driver too old, said in rk_errmsg().
 */
int rk_cuda(const struct rk_cuda **cuda);

/* What the CUresult @error of @what means: -ENOMEM, -ENODEV, -EOPNOTSUPP, -EPERM, -EINVAL or -EIO,
 * said in rk_errmsg() with CUDA's own name of it. */
int rk_cuda_fail(const struct rk_cuda *cuda, int error, const char *what, ...)
	__attribute__((format(printf, 3, 4), cold));

/* GPU @ordinal, without a context: for its attributes. 0; -EINVAL for an ordinal that is not there;
 * -ENODEV; said in rk_errmsg(). */
int rk_cuda_gpu_find(struct rk_cuda_gpu *gpu, int ordinal);

/*
 * The same, and retain its context; rk_cuda_gpu_close() releases it. The thread's current context
 * stays what it was.
 */
int rk_cuda_gpu_open(struct rk_cuda_gpu *gpu, int ordinal);
void rk_cuda_gpu_close(struct rk_cuda_gpu *gpu);

/* An attribute of the device; 0 where the driver does not know it. */
int rk_cuda_gpu_attribute(const struct rk_cuda_gpu *gpu, int attribute);

/* Make the context current on this thread, and what was current before again. In pairs. */
int rk_cuda_enter(const struct rk_cuda_gpu *gpu);
void rk_cuda_leave(const struct rk_cuda_gpu *gpu);

#endif
