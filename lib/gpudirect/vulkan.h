/* SPDX-License-Identifier: MIT */
/*
 * vulkan.h - as much of Vulkan as memory of a GPU with a CPU mapping takes, opened at run time;
 * private to lib/gpudirect. As cuda.h: our own declarations, held against vulkan_core.h by
 * tests/driver_abi.sh. Nothing is drawn: a device is made for its memory alone.
 */
#ifndef RK_GPUDIRECT_VULKAN_H
#define RK_GPUDIRECT_VULKAN_H

#include "rk_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vk_instance;
struct vk_physical;
struct vk_device;
struct vk_memory;

enum {
	VK_OK = 0,
	VK_INCOMPLETE_LIST = 5,
	VK_API_1_1 = 1 << 22 | 1 << 12,
	VK_MEMORY_DEVICE_LOCAL = 1,
	VK_MEMORY_HOST_VISIBLE = 2,
	VK_MEMORY_HOST_COHERENT = 4,
	VK_MEMORY_HOST_CACHED = 8,
	VK_MEMORY_PROTECTED = 32,
	VK_HANDLE_OPAQUE_FD = 1,
	/* Which structure it is. */
	VK_TYPE_APPLICATION = 0,
	VK_TYPE_INSTANCE = 1,
	VK_TYPE_QUEUE = 2,
	VK_TYPE_DEVICE = 3,
	VK_TYPE_ALLOCATE = 5,
	VK_TYPE_PROPERTIES = 1000059001,
	VK_TYPE_ID = 1000071004,
	VK_TYPE_EXPORT = 1000072002,
	VK_TYPE_GET_FD = 1000074002,
};

struct vk_application {
	int type;
	const void *next;
	const char *name;
	uint32_t version;
	const char *engine;
	uint32_t engine_version;
	uint32_t api;
};

struct vk_instance_info {
	int type;
	const void *next;
	uint32_t flags;
	const struct vk_application *application;
	uint32_t layers;
	const char *const *layer_names;
	uint32_t extensions;
	const char *const *extension_names;
};

struct vk_id {
	int type;
	void *next;
	uint8_t device_uuid[16];
	uint8_t driver_uuid[16];
	uint8_t luid[8];
	uint32_t node_mask;
	uint32_t luid_valid;
};

struct vk_properties {
	int type;
	void *next;
	uint32_t api, driver, vendor, device, kind;
	char name[256];
	uint64_t limits[68]; /* and more, that nobody here asks */
};

struct vk_memory_properties {
	uint32_t types;
	struct {
		uint32_t flags;
		uint32_t heap;
	} type[32];
	uint32_t heaps;
	struct {
		uint64_t bytes;
		uint32_t flags;
	} heap[16];
};

struct vk_queue_info {
	int type;
	const void *next;
	uint32_t flags;
	uint32_t family;
	uint32_t count;
	const float *priorities;
};

struct vk_device_info {
	int type;
	const void *next;
	uint32_t flags;
	uint32_t queues;
	const struct vk_queue_info *queue;
	uint32_t layers;
	const char *const *layer_names;
	uint32_t extensions;
	const char *const *extension_names;
	const void *features;
};

struct vk_export {
	int type;
	const void *next;
	uint32_t handles;
};

struct vk_allocate {
	int type;
	const void *next;
	uint64_t bytes;
	uint32_t memory_type;
};

struct vk_get_fd {
	int type;
	const void *next;
	struct vk_memory *memory;
	int handle;
};

/* X(name here, symbol there, type, parameters); all but the last are exported by the loader. */
/* clang-format off */
#define RK_VULKAN_FUNCTIONS(X)                                                                     \
	X(instance_create, vkCreateInstance, int,                                                  \
	  (const struct vk_instance_info *info, const void *none, struct vk_instance **instance))  \
	X(instance_destroy, vkDestroyInstance, void,                                               \
	  (struct vk_instance *instance, const void *none))                                        \
	X(physicals, vkEnumeratePhysicalDevices, int,                                              \
	  (struct vk_instance *instance, uint32_t *count, struct vk_physical **physicals))         \
	X(properties, vkGetPhysicalDeviceProperties2, void,                                        \
	  (struct vk_physical *physical, struct vk_properties *properties))                        \
	X(memory_properties, vkGetPhysicalDeviceMemoryProperties, void,                            \
	  (struct vk_physical *physical, struct vk_memory_properties *properties))                 \
	X(device_create, vkCreateDevice, int,                                                      \
	  (struct vk_physical *physical, const struct vk_device_info *info, const void *none,      \
	   struct vk_device **device))                                                             \
	X(device_destroy, vkDestroyDevice, void, (struct vk_device *device, const void *none))     \
	X(device_function, vkGetDeviceProcAddr, void *,                                            \
	  (struct vk_device *device, const char *name))                                            \
	X(memory_allocate, vkAllocateMemory, int,                                                  \
	  (struct vk_device *device, const struct vk_allocate *info, const void *none,             \
	   struct vk_memory **memory))                                                             \
	X(memory_free, vkFreeMemory, void,                                                         \
	  (struct vk_device *device, struct vk_memory *memory, const void *none))                  \
	X(memory_map, vkMapMemory, int,                                                            \
	  (struct vk_device *device, struct vk_memory *memory, uint64_t offset, uint64_t bytes,    \
	   uint32_t flags, void **addr))                                                           \
	X(memory_unmap, vkUnmapMemory, void, (struct vk_device *device, struct vk_memory *memory))
/* clang-format on */

struct vulkan_library {
#define RK_VULKAN_MEMBER(name, symbol, type, parameters) type(*name) parameters;
	RK_VULKAN_FUNCTIONS(RK_VULKAN_MEMBER)
#undef RK_VULKAN_MEMBER
};

/* One GPU's device, shared by all of its regions. */
struct vulkan {
	const struct vulkan_library *library;
	struct vk_instance *instance;
	struct vk_physical *physical;
	struct vk_device *device;
	int (*memory_get_fd)(struct vk_device *device, const struct vk_get_fd *info, int *fd);
	uint32_t memory_type;
	bool cached; /* the CPU caches what it reads of it: not write-combined */
	uint64_t heap_bytes;
	uint8_t uuid[16];
	unsigned int users;
	struct vulkan *next;
};

/*
 * The device of the GPU with @uuid, with a type of memory that is its own and that the CPU maps.
 * Any thread. vulkan_close() ends its use. 0; -ENODEV without Vulkan, such a device or such memory;
 * said in rk_errmsg().
 */
int vulkan_open(struct vulkan **vulkan, const uint8_t uuid[16]);
void vulkan_close(struct vulkan *vulkan);

/* An errno for the VkResult @result of @what, said in rk_errmsg(). */
int vulkan_fail(int result, const char *what);

#endif
