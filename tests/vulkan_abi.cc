// SPDX-License-Identifier: MIT
/*
 * What vulkan.h of this project declares, against Vulkan's own header: as cuda_abi.cc, and by the
 * same script.
 */
#include <vulkan/vulkan_core.h>

#include "gpudirect/vulkan.h"

#include "abi.h"

#define VULKAN_ALIKE(name, symbol, type, parameters) SAME_FUNCTION(vulkan_library, name, symbol)
RK_VULKAN_FUNCTIONS(VULKAN_ALIKE)
static_assert(alike<decltype(vulkan::memory_get_fd), PFN_vkGetMemoryFdKHR>::all(), "");

SAME_SIZE(vk_application, VkApplicationInfo);
SAME_PLACE(vk_application, api, VkApplicationInfo, apiVersion);
SAME_SIZE(vk_instance_info, VkInstanceCreateInfo);
SAME_PLACE(vk_instance_info, application, VkInstanceCreateInfo, pApplicationInfo);
SAME_SIZE(vk_id, VkPhysicalDeviceIDProperties);
SAME_PLACE(vk_id, device_uuid, VkPhysicalDeviceIDProperties, deviceUUID);
SAME_SIZE(vk_properties, VkPhysicalDeviceProperties2);
SAME_PLACE(vk_properties, api, VkPhysicalDeviceProperties2, properties.apiVersion);
SAME_SIZE(vk_memory_properties, VkPhysicalDeviceMemoryProperties);
SAME_PLACE(vk_memory_properties, heaps, VkPhysicalDeviceMemoryProperties, memoryHeapCount);
SAME_SIZE(vk_queue_info, VkDeviceQueueCreateInfo);
SAME_PLACE(vk_queue_info, priorities, VkDeviceQueueCreateInfo, pQueuePriorities);
SAME_SIZE(vk_device_info, VkDeviceCreateInfo);
SAME_PLACE(vk_device_info, extension_names, VkDeviceCreateInfo, ppEnabledExtensionNames);
SAME_SIZE(vk_export, VkExportMemoryAllocateInfo);
SAME_PLACE(vk_export, handles, VkExportMemoryAllocateInfo, handleTypes);
SAME_SIZE(vk_allocate, VkMemoryAllocateInfo);
SAME_PLACE(vk_allocate, memory_type, VkMemoryAllocateInfo, memoryTypeIndex);
SAME_SIZE(vk_get_fd, VkMemoryGetFdInfoKHR);
SAME_PLACE(vk_get_fd, handle, VkMemoryGetFdInfoKHR, handleType);
SAME_PLACE(vk_properties, name, VkPhysicalDeviceProperties2, properties.deviceName);
SAME_PLACE(vk_memory_properties, type, VkPhysicalDeviceMemoryProperties, memoryTypes);
SAME_PLACE(vk_memory_properties, heap, VkPhysicalDeviceMemoryProperties, memoryHeaps);
SAME_PLACE(vk_allocate, bytes, VkMemoryAllocateInfo, allocationSize);
SAME_PLACE(vk_get_fd, memory, VkMemoryGetFdInfoKHR, memory);
SAME_PLACE(vk_device_info, queue, VkDeviceCreateInfo, pQueueCreateInfos);
SAME_PLACE(vk_queue_info, count, VkDeviceQueueCreateInfo, queueCount);

SAME_VALUE(VK_OK, VK_SUCCESS);
SAME_VALUE(VK_INCOMPLETE_LIST, VK_INCOMPLETE);
SAME_VALUE(VK_API_1_1, VK_API_VERSION_1_1);
SAME_VALUE(VK_MEMORY_DEVICE_LOCAL, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
SAME_VALUE(VK_MEMORY_HOST_VISIBLE, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
SAME_VALUE(VK_MEMORY_HOST_COHERENT, VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
SAME_VALUE(VK_MEMORY_HOST_CACHED, VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
SAME_VALUE(VK_MEMORY_PROTECTED, VK_MEMORY_PROPERTY_PROTECTED_BIT);
SAME_VALUE(VK_HANDLE_OPAQUE_FD, VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT);
SAME_VALUE(VK_TYPE_APPLICATION, VK_STRUCTURE_TYPE_APPLICATION_INFO);
SAME_VALUE(VK_TYPE_INSTANCE, VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
SAME_VALUE(VK_TYPE_QUEUE, VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
SAME_VALUE(VK_TYPE_DEVICE, VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
SAME_VALUE(VK_TYPE_ALLOCATE, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
SAME_VALUE(VK_TYPE_PROPERTIES, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
SAME_VALUE(VK_TYPE_ID, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES);
SAME_VALUE(VK_TYPE_EXPORT, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
SAME_VALUE(VK_TYPE_GET_FD, VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR);
