/* SPDX-License-Identifier: MIT */
/* fake_aid.h - a test that runs with the stand-ins for drivers of tests/fake. */
#ifndef FAKE_AID_H
#define FAKE_AID_H

#include "fake/fake.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The stand-ins, once found. */
static struct fake_cuda *fake;
static struct fake_vulkan *vulkan;

/* They lie beside the program: build/release/tests/.. -> build/fake. Returns only if it fails. */
static inline void fake_run_again(char **arguments)
{
	char path[400], folder[512];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length <= 0)
		return;
	path[length] = 0;
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = 0;
	snprintf(folder, sizeof(folder), "%s/fake", path);
	setenv("LD_LIBRARY_PATH", folder, 1);
	setenv("RK_TEST_AGAIN", "1", 1);
	execv("/proc/self/exe", arguments);
}

/* First thing in main(): runs the program anew where the linker finds them. */
static inline void fake_find(char **arguments)
{
	void *library;

	if (!getenv("RK_TEST_AGAIN"))
		fake_run_again(arguments);
	library = dlopen("libcuda.so.1", RTLD_NOW);
	fake = library ? dlsym(library, "fake_cuda") : NULL;
	library = dlopen("libvulkan.so.1", RTLD_NOW);
	vulkan = library ? dlsym(library, "fake_vulkan") : NULL;
}

static inline int fake_missing(void)
{
	puts("Bail out! no stand-ins for the drivers in build/fake");
	return 1;
}

#endif
