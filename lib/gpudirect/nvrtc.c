// SPDX-License-Identifier: MIT
#include "gpudirect/nvrtc.h"
#include "gpudirect/cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static struct rk_nvrtc compiler;
static int opened = -ENOENT;

/* Newest first; 11's name says 11.2, which all later 11s kept. */
static const struct {
	int major;
	const char *file;
} names[] = {
	{13, "libnvrtc.so.13"},
	{12, "libnvrtc.so.12"},
	{11, "libnvrtc.so.11.2"},
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

#define LOOK_UP(name, symbol, type, parameters)                                                    \
	*(void **)&compiler.name = dlsym(library, #symbol);                                        \
	if (!compiler.name)                                                                        \
		return false;

/* Open the file @file of @directory, or where the linker looks when that is NULL. */
static bool open_file(const char *directory, const char *folder, const char *file)
{
	void *library;

	snprintf(compiler.path, sizeof(compiler.path), "%s%s%s", directory ? directory : "",
		 directory ? folder : "", file);
	library = dlopen(compiler.path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	RK_NVRTC_FUNCTIONS(LOOK_UP)
	return !compiler.version(&compiler.major, &compiler.minor);
}

static bool open_version(const char *file)
{
	static const char *const folders[] = {"/lib64/", "/lib/"};
	/* A program of more rights than its user must not load what the user names. */
	const char *const toolkits[] = {secure_getenv("CUDA_HOME"), secure_getenv("CUDA_PATH"),
					"/usr/local/cuda"};

	if (open_file(NULL, "", file))
		return true;
	for (size_t i = 0; i < sizeof(toolkits) / sizeof(toolkits[0]); i++)
		for (size_t j = 0; toolkits[i] && j < sizeof(folders) / sizeof(folders[0]); j++)
			if (open_file(toolkits[i], folders[j], file))
				return true;
	return false;
}

/* The first that is there, among those that the driver can load the code of. */
static bool open_up_to(int major)
{
	for (size_t i = 0; i < NAMES; i++)
		if (names[i].major <= major && open_version(names[i].file))
			return true;
	return false;
}

static void open_compiler(void)
{
	const struct rk_cuda *cuda;
	int newest = names[0].major;

	if ((!rk_cuda(&cuda) && open_up_to(cuda->version / 1000)) || open_up_to(newest))
		opened = 0;
}

int rk_nvrtc(const struct rk_nvrtc **nvrtc)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, open_compiler);
	if (opened)
		return rk_fail(-opened,
			       "nvrtc: no %s or older where the linker looks, in CUDA_HOME, "
			       "CUDA_PATH or /usr/local/cuda: install CUDA's NVRTC (package "
			       "cuda-nvrtc), or use actors that are compiled already",
			       names[0].file);
	*nvrtc = &compiler;
	return 0;
}
