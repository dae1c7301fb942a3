// SPDX-License-Identifier: MIT
/* What of Vulkan regions use, over memfds. */
#include "fake.h"
#include "gpudirect/vulkan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VULKAN __attribute__((visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

VULKAN struct fake_vulkan fake_vulkan = {.fail_with = -3};

/* Fails when it is this call's turn; tests that ask for it have one thread. */
#define TURN()                                                                                     \
	do {                                                                                       \
		if (fake_vulkan.fail_at && --fake_vulkan.fail_at == 0)                             \
			return fake_vulkan.fail_with;                                              \
	} while (0)
#define COUNT(what, change) __atomic_fetch_add(&fake_vulkan.what, change, __ATOMIC_RELAXED)

struct vk_instance {
	int dummy;
};

struct vk_physical {
	int ordinal; /* of CUDA; -1: a device that is none of CUDA's */
};

struct vk_device {
	const struct vk_physical *physical;
};

/* A software device first, then the GPUs in the order that CUDA does not have. */
static struct vk_physical physicals[] = {{-1}, {1}, {0}};

struct vk_memory {
	int fd;
	size_t bytes;
	void *map;
};

VULKAN int vkCreateInstance(const struct vk_instance_info *info, const void *none,
			    struct vk_instance **instance)
{
	(void)none;
	TURN();
	if (info->type != VK_TYPE_INSTANCE || info->application->api != VK_API_1_1)
		abort();
	*instance = malloc(sizeof(**instance));
	COUNT(instances, 1);
	return 0;
}

VULKAN void vkDestroyInstance(struct vk_instance *instance, const void *none)
{
	(void)none;
	free(instance);
	COUNT(instances, -1);
}

VULKAN int vkEnumeratePhysicalDevices(struct vk_instance *instance, uint32_t *count,
				      struct vk_physical **list)
{
	(void)instance;
	TURN();
	*count = fake_vulkan.no_gpu ? 1 : 3;
	for (uint32_t i = 0; i < *count; i++)
		list[i] = &physicals[i];
	return 0;
}

VULKAN void vkGetPhysicalDeviceProperties2(struct vk_physical *physical,
					   struct vk_properties *properties)
{
	struct vk_id *id = properties->next;

	if (properties->type != VK_TYPE_PROPERTIES || id->type != VK_TYPE_ID)
		abort();
	memset(properties->limits, 0xff, sizeof(properties->limits)); /* a driver writes them all */
	memset(id->device_uuid, 0, sizeof(id->device_uuid));
	if (physical->ordinal >= 0)
		fake_uuid(id->device_uuid, physical->ordinal);
}

VULKAN void vkGetPhysicalDeviceMemoryProperties(struct vk_physical *physical,
						struct vk_memory_properties *properties)
{
	(void)physical;
	memset(properties, 0, sizeof(*properties));
	properties->types = 5;
	properties->type[0].flags = VK_MEMORY_DEVICE_LOCAL;
	properties->type[1].flags = VK_MEMORY_HOST_VISIBLE | VK_MEMORY_HOST_COHERENT;
	properties->heaps = 2;
	properties->heap[0].bytes = 1ULL << 40;
	properties->heap[1].bytes = 64 << 20;
	if (fake_vulkan.no_memory)
		return;
	properties->type[2].flags = VK_MEMORY_DEVICE_LOCAL | VK_MEMORY_HOST_VISIBLE |
				    VK_MEMORY_HOST_COHERENT | VK_MEMORY_HOST_CACHED;
	properties->type[2].heap = 1;
	if (fake_vulkan.cached_only)
		return;
	properties->type[3].flags = VK_MEMORY_DEVICE_LOCAL | VK_MEMORY_HOST_VISIBLE |
				    VK_MEMORY_HOST_COHERENT | VK_MEMORY_PROTECTED;
	properties->type[4].flags =
		VK_MEMORY_DEVICE_LOCAL | VK_MEMORY_HOST_VISIBLE | VK_MEMORY_HOST_COHERENT;
	properties->type[4].heap = 1;
}

VULKAN int vkCreateDevice(struct vk_physical *physical, const struct vk_device_info *info,
			  const void *none, struct vk_device **device)
{
	(void)none;
	TURN();
	if (info->type != VK_TYPE_DEVICE || info->extensions != 1 || info->queue->count != 1)
		abort();
	*device = malloc(sizeof(**device));
	(*device)->physical = physical;
	COUNT(devices, 1);
	COUNT(devices_made, 1);
	return 0;
}

VULKAN void vkDestroyDevice(struct vk_device *device, const void *none)
{
	(void)none;
	free(device);
	COUNT(devices, -1);
}

static int get_fd(struct vk_device *device, const struct vk_get_fd *info, int *fd)
{
	const struct vk_memory *memory = info->memory;

	(void)device;
	TURN();
	if (fake_vulkan.wrong_memory) {
		*fd = memfd_create("other", MFD_CLOEXEC);
		return ftruncate(*fd, (off_t)memory->bytes);
	}
	*fd = dup(memory->fd);
	return 0;
}

VULKAN void *vkGetDeviceProcAddr(struct vk_device *device, const char *name)
{
	(void)device;
	return strcmp(name, "vkGetMemoryFdKHR") ? NULL : *(void **)&(void *){(void *)get_fd};
}

VULKAN int vkAllocateMemory(struct vk_device *device, const struct vk_allocate *info,
			    const void *none, struct vk_memory **out)
{
	const struct vk_export *export = info->next;
	struct vk_memory *memory;

	(void)device;
	(void)none;
	TURN();
	if (export->type != VK_TYPE_EXPORT || export->handles != VK_HANDLE_OPAQUE_FD ||
	    info->memory_type != (fake_vulkan.cached_only ? 2 : 4))
		abort();
	memory = malloc(sizeof(*memory));
	*memory = (struct vk_memory){memfd_create("gpu", MFD_CLOEXEC), info->bytes, NULL};
	if (ftruncate(memory->fd, (off_t)info->bytes) || pwrite(memory->fd, "dirty", 5, 64) != 5)
		abort();
	*out = memory;
	COUNT(allocations, 1);
	return 0;
}

VULKAN void vkFreeMemory(struct vk_device *device, struct vk_memory *memory, const void *none)
{
	(void)device;
	(void)none;
	if (memory->map)
		munmap(memory->map, memory->bytes);
	close(memory->fd);
	free(memory);
	COUNT(allocations, -1);
}

VULKAN int vkMapMemory(struct vk_device *device, struct vk_memory *memory, uint64_t offset, uint64_t bytes,
		       uint32_t flags, void **addr)
{
	(void)device;
	(void)offset;
	(void)flags;
	TURN();
	memory->map = *addr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   fake_vulkan.private ? MAP_PRIVATE : MAP_SHARED, memory->fd, 0);
	COUNT(mappings, 1);
	return 0;
}

VULKAN void vkUnmapMemory(struct vk_device *device, struct vk_memory *memory)
{
	(void)device;
	munmap(memory->map, memory->bytes);
	memory->map = NULL;
	COUNT(mappings, -1);
}
