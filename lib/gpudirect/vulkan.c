// SPDX-License-Identifier: MIT
#include "gpudirect/vulkan.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libvulkan.so.1"
#define EXPORT_EXTENSION "VK_KHR_external_memory_fd"

enum { PHYSICALS = 64 };

static struct vulkan_library library;

/* Guards all below, and every call of instances and devices here. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
static struct vulkan *devices;

int vulkan_fail(int result, const char *what)
{
	static const struct {
		int result, error;
		const char *name;
	} known[] = {
		{-1, ENOMEM, "out of host memory"},
		{-2, ENOMEM, "out of device memory: BAR1 may be full"},
		{-3, ENODEV, "initialization failed: is the GPU's /dev/nvidia* permitted?"},
		{-4, EIO, "device lost"},
		{-5, ENOMEM, "memory map failed: BAR1 may be full"},
		{-7, ENODEV, "extension not present"},
		{-9, ENODEV, "no driver for Vulkan: install NVIDIA's (nvidia_icd.json)"},
		{-10, EMFILE, "too many objects"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].result == result)
			return rk_fail(known[i].error, "vulkan: %s: %s", what, known[i].name);
	return rk_fail(EIO, "vulkan: %s: VkResult %d", what, result);
}

#define LOOK_UP(name, symbol, type, parameters)                                                    \
	*(void **)&library.name = dlsym(file, #symbol);                                            \
	if (!library.name)                                                                         \
		return rk_fail(ENODEV,                                                             \
			       "vulkan: " LIBRARY " has no " #symbol ": install Vulkan 1.1 or "    \
			       "later");

static int load(void)
{
	void *file;

	if (loaded)
		return 0;
	file = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!file)
		return rk_fail(ENODEV, "vulkan: %s: install libvulkan1", dlerror());
	RK_VULKAN_FUNCTIONS(LOOK_UP)
	loaded = true;
	return 0;
}

static int create_instance(struct vulkan *vulkan)
{
	const struct vk_application application = {
		.type = VK_TYPE_APPLICATION, .name = "ringkernel", .api = VK_API_1_1};
	const struct vk_instance_info info = {.type = VK_TYPE_INSTANCE,
					      .application = &application};
	int result = library.instance_create(&info, NULL, &vulkan->instance);

	return result ? vulkan_fail(result, "create an instance") : 0;
}

/* The physical device with the UUID that CUDA gives its own. */
static int find_physical(struct vulkan *vulkan)
{
	struct vk_physical *physicals[PHYSICALS];
	uint32_t count = PHYSICALS;
	int result = library.physicals(vulkan->instance, &count, physicals);

	if (result && result != VK_INCOMPLETE_LIST)
		return vulkan_fail(result, "list devices");
	for (uint32_t i = 0; i < count; i++) {
		struct vk_id id = {.type = VK_TYPE_ID};
		struct vk_properties properties = {.type = VK_TYPE_PROPERTIES, .next = &id};

		library.properties(physicals[i], &properties);
		if (!memcmp(id.device_uuid, vulkan->uuid, sizeof(id.device_uuid))) {
			vulkan->physical = physicals[i];
			return 0;
		}
	}
	return rk_fail(ENODEV,
		       "vulkan: none of %u devices is CUDA's GPU: install its driver for Vulkan "
		       "(nvidia_icd.json); a MIG instance has none",
		       count);
}

/* Of the GPU, mapped, coherent; write-combined rather than cached, for nothing here reads. */
static int choose_memory(struct vulkan *vulkan)
{
	const uint32_t wanted =
		VK_MEMORY_DEVICE_LOCAL | VK_MEMORY_HOST_VISIBLE | VK_MEMORY_HOST_COHERENT;
	struct vk_memory_properties memory = {0};
	bool found = false;

	library.memory_properties(vulkan->physical, &memory);
	for (uint32_t i = 0; i < memory.types && i < 32; i++) {
		uint32_t flags = memory.type[i].flags, heap = memory.type[i].heap;
		bool cached = flags & VK_MEMORY_HOST_CACHED;

		if ((flags & wanted) != wanted || flags & VK_MEMORY_PROTECTED || heap >= 16)
			continue;
		if (found && (cached || !vulkan->cached))
			continue;
		vulkan->memory_type = i;
		vulkan->cached = cached;
		vulkan->heap_bytes = memory.heap[heap].bytes;
		found = true;
	}
	if (found)
		return 0;
	return rk_fail(ENODEV, "vulkan: the GPU has no memory that is its own and mapped for the "
			       "CPU: enable resizable BAR in the firmware");
}

static int create_device(struct vulkan *vulkan)
{
	static const float priority = 1;
	static const char *const extensions[] = {EXPORT_EXTENSION};
	const struct vk_queue_info queue = {
		.type = VK_TYPE_QUEUE, .count = 1, .priorities = &priority};
	const struct vk_device_info info = {
		.type = VK_TYPE_DEVICE,
		.queues = 1,
		.queue = &queue,
		.extensions = 1,
		.extension_names = extensions,
	};
	int result = library.device_create(vulkan->physical, &info, NULL, &vulkan->device);

	if (result)
		return vulkan_fail(result, "create a device with " EXPORT_EXTENSION);
	*(void **)&vulkan->memory_get_fd =
		library.device_function(vulkan->device, "vkGetMemoryFdKHR");
	return vulkan->memory_get_fd ?
		       0 :
		       rk_fail(ENODEV, "vulkan: the device has no vkGetMemoryFdKHR");
}

static void destroy(struct vulkan *vulkan)
{
	if (vulkan->device)
		library.device_destroy(vulkan->device, NULL);
	if (vulkan->instance)
		library.instance_destroy(vulkan->instance, NULL);
	free(vulkan);
}

/* Mutex held. */
static int open_new(struct vulkan **out, const uint8_t uuid[16])
{
	struct vulkan *vulkan;
	int result = load();

	if (result)
		return result;
	vulkan = calloc(1, sizeof(*vulkan));
	if (!vulkan)
		return rk_fail(ENOMEM, "vulkan: no memory for its handle");
	vulkan->library = &library;
	memcpy(vulkan->uuid, uuid, sizeof(vulkan->uuid));
	result = create_instance(vulkan);
	if (!result)
		result = find_physical(vulkan);
	if (!result)
		result = choose_memory(vulkan);
	if (!result)
		result = create_device(vulkan);
	if (result) {
		destroy(vulkan);
		return result;
	}
	vulkan->next = devices;
	devices = vulkan;
	*out = vulkan;
	return 0;
}

int vulkan_open(struct vulkan **out, const uint8_t uuid[16])
{
	struct vulkan *vulkan;
	int result = 0;

	pthread_mutex_lock(&mutex);
	for (vulkan = devices; vulkan; vulkan = vulkan->next)
		if (!memcmp(vulkan->uuid, uuid, sizeof(vulkan->uuid)))
			break;
	if (!vulkan)
		result = open_new(&vulkan, uuid);
	if (!result) {
		vulkan->users++;
		*out = vulkan;
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

void vulkan_close(struct vulkan *vulkan)
{
	struct vulkan **at = &devices;

	pthread_mutex_lock(&mutex);
	if (--vulkan->users == 0) {
		while (*at != vulkan)
			at = &(*at)->next;
		*at = vulkan->next;
		destroy(vulkan);
	}
	pthread_mutex_unlock(&mutex);
}
