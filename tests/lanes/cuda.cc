// SPDX-License-Identifier: MIT
/*
 * The part of CUDA's driver that runs code, beside tests/fake/cuda.c, which has the memory: a module
 * is a shared object that nvrtc.cc made, or, for machine code of a GPU, lanes-shipped.so beside this
 * library, which has the same kernels.
 */
#include "block.h"

extern "C" {
#include "gpudirect/cuda.h"

/* Of tests/fake/cuda.c */
void fake_add_memory(uint64_t addr, size_t bytes);
void fake_drop_memory(uint64_t addr);
}

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <list>
#include <mutex>
#include <stdlib.h>
#include <unistd.h>

#define CUDA extern "C" __attribute__((visibility("default")))

enum { MULTIPROCESSORS = 32 };

struct rk_cuda_module {
	void *library;
	std::list<rk_cuda_function> functions;
	std::vector<uint64_t> globals;
};

struct rk_cuda_function {
	lanes_bind *bind;
	void *(*shared_memory)();
};

static std::mutex mutex;
static std::list<lanes_launch> &launches = *new std::list<lanes_launch>(); /* outlives all threads */

/* --- Devices --- */

extern "C" int fake_attribute(int *value, int attribute)
{
	switch (attribute) {
	case RK_CUDA_ATTR_COMPUTE_MAJOR:
		*value = 9;
		return 0;
	case RK_CUDA_ATTR_MULTIPROCESSORS:
		*value = MULTIPROCESSORS;
		return 0;
	case RK_CUDA_ATTR_SHARED_PER_BLOCK_OPTIN:
	case RK_CUDA_ATTR_SHARED_PER_MULTIPROCESSOR:
		*value = LANES_SHARED_BYTES;
		return 0;
	case RK_CUDA_ATTR_HOST_POINTER_IS_GPU_POINTER:
	case RK_CUDA_ATTR_UNIFIED_ADDRESSING:
	case RK_CUDA_ATTR_CAN_MAP_HOST:
	case RK_CUDA_ATTR_CLUSTER_LAUNCH:
		*value = 1;
		return 0;
	default:
		*value = 0;
		return 0;
	}
}

CUDA int cuDeviceGetName(char *name, int bytes, int)
{
	snprintf(name, (size_t)bytes, "lanes of a CPU");
	return 0;
}

CUDA int cuDeviceCanAccessPeer(int *can, int, int)
{
	*can = 1;
	return 0;
}

CUDA int cuCtxEnablePeerAccess(rk_cuda_context *, unsigned int)
{
	return 0;
}

/* --- Modules --- */

/* The file of this library's folder that has the kernels for which nvcc makes machine code. */
static void *open_shipped()
{
	std::string path;
	Dl_info info;

	if (!dladdr((void *)&open_shipped, &info))
		return nullptr;
	path = info.dli_fname;
	return dlopen((path.substr(0, path.rfind('/') + 1) + "lanes-shipped.so").c_str(),
		      RTLD_NOW | RTLD_LOCAL);
}

/* Bytes of an ELF file in memory: its section headers lie last. */
static size_t elf_bytes(const void *image)
{
	const auto *front = (const ElfW(Ehdr) *)image;

	return front->e_shoff + (size_t)front->e_shnum * front->e_shentsize;
}

/* Under a name that no other had: the linker takes what it has of a name. */
static void *open_image(const void *image)
{
	char path[] = "/tmp/lanes-XXXXXX";
	int fd = mkstemp(path);
	bool written = fd >= 0 && write(fd, image, elf_bytes(image)) == (ssize_t)elf_bytes(image);
	void *library;

	close(fd);
	library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
	if (!getenv("LANES_KEEP"))
		unlink(path);
	return library;
}

CUDA int cuModuleLoadDataEx(rk_cuda_module **module, const void *image, unsigned int, int *, void **)
{
	void *library = memcmp(image, ELFMAG, SELFMAG) ? open_shipped() : open_image(image);

	if (!library) {
		fprintf(stderr, "lanes: %s\n", dlerror());
		return RK_CUDA_NO_BINARY_FOR_GPU;
	}
	*(const lanes_ops **)dlsym(library, "lanes") = &lanes_table;
	*module = new rk_cuda_module{library, {}, {}};
	return 0;
}

CUDA int cuModuleUnload(rk_cuda_module *module)
{
	for (uint64_t global : module->globals)
		fake_drop_memory(global);
	dlclose(module->library);
	delete module;
	return 0;
}

CUDA int cuModuleGetFunction(rk_cuda_function **function, rk_cuda_module *module, const char *name)
{
	void *bind = dlsym(module->library, (std::string("lanes_bind_") + name).c_str());

	if (!bind)
		return RK_CUDA_NOT_FOUND;
	module->functions.push_back({(lanes_bind *)bind,
				     (void *(*)())dlsym(module->library, "lanes_shared_memory")});
	*function = &module->functions.back();
	return 0;
}

CUDA int cuModuleGetGlobal_v2(uint64_t *addr, size_t *bytes, rk_cuda_module *module, const char *name)
{
	void *found = dlsym(module->library, name);
	const ElfW(Sym) *symbol;
	Dl_info info;

	if (!found || !dladdr1(found, &info, (void **)&symbol, RTLD_DL_SYMENT))
		return RK_CUDA_NOT_FOUND;
	*addr = (uint64_t)found;
	*bytes = symbol->st_size;
	fake_add_memory(*addr, *bytes);
	module->globals.push_back(*addr);
	return 0;
}

CUDA int cuFuncSetAttribute(rk_cuda_function *, int, int)
{
	return 0;
}

CUDA int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, rk_cuda_function *, int, size_t)
{
	*blocks = 1;
	return 0;
}

/* --- Launches --- */

/* The error that a kernel of this process died of, or 0: as with CUDA, every call has it then. */
static int died()
{
	for (lanes_launch &launch : launches)
		if (launch.error)
			return launch.error;
	return 0;
}

/* Those of @stream that have ended are gone then. Whether one is left. */
static bool is_busy(const void *stream)
{
	bool busy = false;

	for (auto launch = launches.begin(); launch != launches.end();) {
		if (launch->stream == stream && !launch->running && !launch->error) {
			launch->end();
			launch = launches.erase(launch);
			continue;
		}
		busy |= launch->stream == stream;
		launch++;
	}
	return busy;
}

static int launch(rk_cuda_function *function, unsigned int blocks, unsigned int threads,
		  unsigned int cluster, const void *stream, void **arguments)
{
	std::lock_guard<std::mutex> lock(mutex);

	if (int error = died())
		return error;
	if (threads % LANES_WARP || blocks % cluster)
		return RK_CUDA_INVALID_VALUE;
	launches.emplace_back();
	lanes_launch &launch = launches.back();
	launch.kernel.reset(function->bind(arguments));
	launch.shared_memory = function->shared_memory;
	launch.blocks = blocks;
	launch.threads = threads;
	launch.cluster = cluster;
	launch.stream = stream;
	launch.start();
	return 0;
}

CUDA int cuLaunchKernel(rk_cuda_function *function, unsigned int grid_x, unsigned int, unsigned int,
			unsigned int block_x, unsigned int, unsigned int, unsigned int,
			rk_cuda_stream *stream, void **arguments, void **)
{
	return launch(function, grid_x, block_x, 1, stream, arguments);
}

CUDA int cuLaunchKernelEx(const rk_cuda_launch *how, rk_cuda_function *function, void **arguments,
			  void **)
{
	unsigned int cluster = 1;

	for (unsigned int i = 0; i < how->attr_count; i++)
		if (how->attrs[i].id == RK_CUDA_LAUNCH_CLUSTER)
			cluster = how->attrs[i].value.cluster.x;
	return launch(function, how->grid_x, how->block_x, cluster, how->stream, arguments);
}

CUDA int cuStreamQuery(rk_cuda_stream *stream)
{
	std::lock_guard<std::mutex> lock(mutex);
	int error = died();

	return error ? error : is_busy(stream) ? RK_CUDA_NOT_READY : 0;
}

extern "C" int fake_stream_wait(rk_cuda_stream *stream)
{
	int error;

	while ((error = cuStreamQuery(stream)) == RK_CUDA_NOT_READY)
		usleep(100);
	return error;
}
