#!/bin/sh
# Our declarations of CUDA's driver and compiler and of Vulkan, against their own headers.
set -u
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 status=0

compiles() { # program folder-of-our-headers include
	"$CXX" -std=c++17 -fsyntax-only -I"$2" -Ilib -isystem "$3" "tests/$1" >"$work/log" 2>&1
}

agrees() { # program include
	number=$((number + 1))
	if compiles "$1" lib "$2"; then
		echo "ok $number - $1: functions, structures and constants are those of $2"
		return
	fi
	grep -E 'error|assert' "$work/log" | head -n 20 | sed 's/^/# /'
	echo "not ok $number - $1: functions, structures and constants are those of $2"
	status=1
}

# The comparison itself: this mistake must be found.
finds() { # program include header sed-script
	number=$((number + 1))
	mkdir -p "$work/gpudirect"
	sed "$4" "lib/gpudirect/$3" >"$work/gpudirect/$3"
	if cmp -s "$work/gpudirect/$3" "lib/gpudirect/$3" || compiles "$1" "$work" "$2"; then
		echo "not ok $number - $1 finds $4"
		status=1
	else
		echo "ok $number - $1 finds $4"
	fi
	rm "$work/gpudirect/$3"
}

cuda=
for folder in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda \
	"$(dirname "$(command -v nvcc || echo /)")/.."; do
	[ -z "$cuda" ] && [ -e "$folder/include/nvrtc.h" ] && cuda=$folder/include
done
if [ -z "$cuda" ]; then
	number=$((number + 1))
	echo "ok $number - cuda.h agrees # SKIP no cuda.h and nvrtc.h (CUDA's toolkit)"
else
	agrees cuda_abi.cc "$cuda"
	finds cuda_abi.cc "$cuda" cuda.h \
		's/cuMemAlloc_v2, (uint64_t \*gpu_addr, size_t bytes)/cuMemAlloc_v2, (uint64_t gpu_addr, size_t bytes)/'
	finds cuda_abi.cc "$cuda" cuda.h \
		's/(void \*addr, size_t bytes, unsigned int flags)/(void *addr, unsigned int bytes, unsigned int flags)/'
	finds cuda_abi.cc "$cuda" cuda.h 's/unsigned int shared_bytes;/size_t shared_bytes;/'
	finds cuda_abi.cc "$cuda" cuda.h 's/RK_CUDA_ATTR_RDMA = 116/RK_CUDA_ATTR_RDMA = 115/'
fi

vulkan=/usr/include
if [ ! -e $vulkan/vulkan/vulkan_core.h ]; then
	number=$((number + 1))
	echo "ok $number - vulkan_core.h agrees # SKIP no vulkan_core.h (package libvulkan-dev)"
else
	agrees vulkan_abi.cc $vulkan
	finds vulkan_abi.cc $vulkan vulkan.h 's/uint64_t limits\[68\]/uint64_t limits[67]/'
	finds vulkan_abi.cc $vulkan vulkan.h 's/VK_TYPE_EXPORT = 1000072002/VK_TYPE_EXPORT = 1000072001/'
	finds vulkan_abi.cc $vulkan vulkan.h 's/uint64_t bytes;$/uint32_t bytes;/'
	finds vulkan_abi.cc $vulkan vulkan.h \
		's/(struct vk_device \*device, struct vk_memory \*memory))/(struct vk_device *device))/'
fi
exit $status
