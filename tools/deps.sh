#!/bin/sh
# Makes sure that the Debian packages of one job are there: deps.sh run|test|bench.
# With everything in place it only asks dpkg and uses no network. As root it installs what is
# missing; otherwise it prints the line to run. Without gcc and make nothing works; every other
# package serves an optional feature or test, which says itself what it lacks.
set -eu

required="gcc make libc6-dev"
# command/package: any package that brings the command will do.
run="$required pkg-config liburing-dev libpcap-dev libnuma-dev zlib1g-dev libjansson-dev gnuplot/gnuplot-nox
	librdmacm-dev libibverbs-dev libucx-dev libxxhash-dev libzstd-dev"
test="$run libcmocka-dev libvulkan-dev clang libclang-rt-14-dev spin tshark libhdrhistogram-java
	java/default-jre-headless node/nodejs qemu-system-x86_64/qemu-system-x86
	busybox/busybox-static cpio kmod linux-image-amd64 linux-headers-amd64 sparse
	iproute2 strace g++ shellcheck python3 libdpdk-dev dpdk-testpmd/dpdk dpdk-telemetry.py/dpdk-dev
	libboost-context-dev ibverbs-providers ib_write_lat/perftest ucx_perftest/ucx-utils xz-utils"
bench="$run g++ fio libboost-dev libck-dev libdpdk-dev dpdk-testpmd/dpdk libreaderwriterqueue-dev libatomic-queue-dev"

case ${1:-} in
run) wanted=$run ;;
test) wanted=$test ;;
bench) wanted=$bench ;;
*)
	echo "usage: sh tools/deps.sh run|test|bench" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "deps: not a Debian system; what make $1 uses, by Debian's names:"
	for entry in $wanted; do
		echo "  ${entry#*/}"
	done
	exit 0
fi

installed() { # command/package, or package
	case $1 in
	*/*) ! command -v "${1%/*}" >/dev/null || return 0 ;;
	esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "${1#*/}" 2>/dev/null)" = installed ]
}

missing=
for entry in $wanted; do
	installed "$entry" || missing="$missing ${entry#*/}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: make $1 needs packages that are not installed; run:" >&2
	echo "  sudo apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi

known() {
	apt-cache show "$1" >/dev/null 2>&1
}

export DEBIAN_FRONTEND=noninteractive
for package in $missing; do
	if ! known "$package"; then
		apt-get update -q || echo "deps: apt-get update failed; going on without" >&2
		break
	fi
done
found=
for package in $missing; do
	if known "$package"; then
		found="$found $package"
		continue
	fi
	case " $required " in
	*" $package "*)
		echo "deps: no package '$package' in the configured sources, and nothing" \
			"builds without it: check /etc/apt/sources.list" >&2
		exit 1
		;;
	esac
	echo "deps: no package '$package' in the configured sources; going on without" >&2
done
[ -n "$found" ] || exit 0

echo "deps: installing$found"
rm -f "${B:-build}/config.mk" # the machine must be asked again what it has
# One by one only if all at once fails, so that one bad package costs no other.
# shellcheck disable=SC2086 # a list of words
if ! apt-get install -q -y --no-install-recommends $found; then
	for package in $found; do
		apt-get install -q -y --no-install-recommends "$package" ||
			echo "deps: could not install '$package'; going on without" >&2
	done
fi
for package in $required; do
	installed "$package" || exit 1
done
