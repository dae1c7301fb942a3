#!/bin/sh
# Our declarations of CUDA's driver and compiler against CUDA's own headers, where they are.
set -u
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

include=
for folder in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda \
	"$(dirname "$(command -v nvcc || echo /)")/.."; do
	[ -z "$include" ] && [ -e "$folder/include/cuda.h" ] && include=$folder/include
done
if [ -z "$include" ] || [ ! -e "$include/nvrtc.h" ]; then
	echo "ok 1 - cuda.h agrees # SKIP no cuda.h and nvrtc.h (package cuda-cudart-dev, cuda-nvrtc-dev)"
	exit 0
fi

compiles() { # directory with our headers in gpudirect/
	"$CXX" -std=c++17 -fsyntax-only -I"$1" -Ilib -isystem "$include" tests/cuda_abi.cc \
		>"$work/log" 2>&1
}

if compiles lib; then
	echo "ok 1 - functions, structures and constants are those of $include"
else
	sed 's/^/# /' "$work/log" | grep -E 'error|assert' | head -n 20
	echo "not ok 1 - functions, structures and constants are those of $include"
	exit 1
fi
# The comparison itself: each of these mistakes must be found.
number=1
while IFS= read -r mistake; do
	number=$((number + 1))
	mkdir -p "$work/gpudirect"
	sed "$mistake" lib/gpudirect/cuda.h >"$work/gpudirect/cuda.h"
	if cmp -s "$work/gpudirect/cuda.h" lib/gpudirect/cuda.h || compiles "$work"; then
		echo "not ok $number - finds $mistake"
		exit 1
	fi
	echo "ok $number - finds $mistake"
done <<'END'
s/cuMemAlloc_v2, (uint64_t \*gpu_addr, size_t bytes)/cuMemAlloc_v2, (uint64_t gpu_addr, size_t bytes)/
s/(void \*addr, size_t bytes, unsigned int flags)/(void *addr, unsigned int bytes, unsigned int flags)/
s/unsigned int shared_bytes;/size_t shared_bytes;/
s/RK_CUDA_ATTR_RDMA = 116/RK_CUDA_ATTR_RDMA = 115/
END
