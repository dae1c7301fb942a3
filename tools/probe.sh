#!/bin/sh
# Asks what this machine can build: writes config.h and config.mk into the directory $1 and
# prints one line a feature, "name yes" or "name no: reason". A missing feature drops itself and
# nothing else; its functions then say what to install.
set -eu
out=$1
cc=${CC:-cc} cxx=${CXX:-c++}
mkdir -p "$out"
trap 'rm -f "$out"/probe.*' EXIT
: >"$out/config.h.new" && : >"$out/config.mk.new"

compiles() { # language flags...: does the program on standard input link?
	language=$1 && shift
	compiler=$cc && [ "$language" = c++ ] && compiler=$cxx
	cat >"$out/probe.src"
	$compiler -x "$language" "$out/probe.src" -o "$out/probe.out" "$@" >"$out/probe.log" 2>&1
}

# A positive control: if this fails, every "no" below would be a lie.
if ! echo 'int main(void) { return 0; }' | compiles c -pthread; then
	echo "probe: $cc cannot link a program:" >&2
	cat "$out/probe.log" >&2
	exit 1
fi

answer() { # name yes|no reason libraries flags
	if [ "$2" = yes ]; then
		printf '  %-10s yes\n' "$1"
		value=1
	else
		printf '  %-10s no: %s\n' "$1" "$3"
		value=0
	fi
	name=$(echo "$1" | tr a-z A-Z)
	echo "#define RK_HAVE_$name $value" >>"$out/config.h.new"
	echo "HAVE_$name := $value" >>"$out/config.mk.new"
	[ $value = 0 ] || printf '%s_LIBS := %s\n%s_FLAGS := %s\n' \
		"$name" "${4:-}" "$name" "${5:-}" >>"$out/config.mk.new"
}

library() { # name header libraries package [language flags]
	if printf '#include <%s>\nint main(void) { return 0; }\n' "$2" |
		compiles "${5:-c}" ${6:-} $3; then
		answer "$1" yes "" "$3" "${6:-}"
	else
		answer "$1" no "<$2> does not compile and link (apt-get install $4)"
	fi
}

echo "features:"
library pcap pcap/pcap.h -lpcap libpcap-dev
library verbs rdma/rdma_cma.h "" librdmacm-dev
library ucx ucp/api/ucp.h "" libucx-dev
library numa numa.h -lnuma libnuma-dev
library zlib zlib.h -lz zlib1g-dev
library uring liburing.h -luring liburing-dev
library xxhash xxhash.h -lxxhash libxxhash-dev
library zstd zstd.h -lzstd libzstd-dev
library jansson jansson.h -ljansson libjansson-dev
library cmocka "stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h" -lcmocka libcmocka-dev
library boost boost/lockfree/spsc_queue.hpp "" libboost-dev c++
library fibers boost/context/fiber.hpp -lboost_context libboost-context-dev c++
library ck ck_ring.h -lck libck-dev
dpdk_flags=$(pkg-config --cflags libdpdk 2>/dev/null || true)
library dpdk rte_ethdev.h "$(pkg-config --libs libdpdk 2>/dev/null || true)" libdpdk-dev c \
	"$dpdk_flags"

# Device code ahead of time: for each architecture that actors run on and this nvcc knows, and PTX
# of the oldest for all that come later. GPU_ARCHS="90" makes it quick.
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
	gencode=
	oldest=
	for arch in ${GPU_ARCHS:-70 75 80 86 89 90 100 120}; do
		"$nvcc" --list-gpu-arch | grep -q -x "compute_$arch" || continue
		gencode="$gencode -gencode arch=compute_$arch,code=sm_$arch"
		oldest=${oldest:-$arch}
	done
	answer nvcc yes "" "" "$gencode -gencode arch=compute_$oldest,code=compute_$oldest"
	echo "NVCC := $nvcc" >>"$out/config.mk.new"
	echo "#define RK_FATBIN \"$out/kernels/persistent.fatbin\"" >>"$out/config.h.new"
else
	answer nvcc no "no nvcc in PATH nor in /usr/local/cuda: the shipped actors are compiled for the \
GPU when they first run there, which needs the toolkit's libnvrtc"
fi

for file in config.h config.mk; do
	if cmp -s "$out/$file.new" "$out/$file"; then
		rm "$out/$file.new" && touch "$out/$file"
	else
		mv "$out/$file.new" "$out/$file"
	fi
done
