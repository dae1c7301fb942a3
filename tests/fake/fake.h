/* SPDX-License-Identifier: MIT */
/*
 * fake.h - stand-ins for libcuda.so.1 and libvulkan.so.1 that keep what GPUs would in memfds: what
 * the tests of regions may ask of them, and turn. A CPU mapping and the GPU's own view are two
 * mappings of one memfd, so a provider that mixes memory up is found out.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_GPUS = 2 };

/* Exported as `fake_cuda` by libcuda.so.1. */
struct fake_cuda {
	int version;
	int gpus;
	bool no_vmm;		 /* cuMemAlloc only */
	bool no_dma_buf_mmap;	 /* attribute 152 says no */
	bool no_host_register;	 /* attribute 99 says no */
	bool dma_buf_of_nothing; /* exported descriptors are of other memory */
	int ordering; /* attribute 118: how far writes of a NIC are ordered */
	int flushing; /* attribute 117: who may flush them */
	int flushes;  /* that were asked for */
	int init_error;
	/* The call with this number, counted down, fails with @fail_with. 0: none does. */
	int fail_at;
	int fail_with;
	/* Made and not yet ended. */
	int contexts, allocations, pages, addresses, maps, registered, externals, streams;
	int pushed; /* of all threads together */
};

/* Exported as `fake_vulkan` by libvulkan.so.1. */
struct fake_vulkan {
	bool no_gpu;	   /* devices, but not those of CUDA */
	bool no_memory;	   /* no memory that is mapped and the GPU's */
	bool cached_only;  /* it is, and cached by the CPU */
	bool wrong_memory; /* exported descriptors are of other memory */
	bool private;	   /* what the CPU stores stays with the CPU */
	int fail_at;
	int fail_with;
	int instances, devices, allocations, mappings;
	int devices_made; /* ever */
};

/* UUID of the fake GPU @ordinal: CUDA and Vulkan agree, and list them in opposite orders. */
static inline void fake_uuid(uint8_t uuid[16], int ordinal)
{
	for (int i = 0; i < 16; i++)
		uuid[i] = (uint8_t)(16 * ordinal + i + 1);
}

#endif
