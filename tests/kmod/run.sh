#!/bin/sh
# run.sh stock|debug: test the kernel module.
#
# stock  build against the headers here and of a newer kernel, style checks, all groups of tests on
#        the distribution's kernel in a VM, 60 s of hammering, planted bugs.
# debug  the groups on a kernel with KASAN, lockdep, kmemleak and fault injection, where every
#        allocation fails once, and the bugs that only such a kernel sees.
#
# Installs nothing; what is missing is skipped with a reason.  Output goes to build/kmod.
#
# RK_KDIR          headers to build against (default: the newest with an image in /boot)
# RK_KERNEL        kernel image to boot (default: /boot/vmlinuz of those headers)
# RK_DEBUG_KERNEL  folder with bzImage* and headers of the debug kernel, packed (headers*.tar.xz) or
#                  not (default: build/kmod/debug-kernel, made by build-debug-kernel.sh)
# RK_HAMMER_S      seconds of hammering (default 60; 10 on the debug kernel)
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
B=$root/build/kmod
mode=${1:-stock}
passed=0 failed=0 skipped=0
mkdir -p "$B"
bar=$(mktemp "/dev/shm/rk-bar.XXXXXX")
trap 'rm -f "$bar"' EXIT

pass() {
	passed=$((passed + 1))
	printf 'ok    %-22s %s\n' "$1" "$2"
}

fail() {
	failed=$((failed + 1))
	printf 'FAIL  %-22s %s\n' "$1" "$2"
}

skip() {
	skipped=$((skipped + 1))
	printf 'skip  %-22s %s\n' "$1" "$2"
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
	exit
}

need() {
	command -v "$1" > /dev/null || { skip "test-kmod" "no $1: apt-get install $2"; finish; }
}

# build KDIR FOLDER SOURCES... -- MAKE-ARGUMENTS: copy what changed and build it there; any word of
# the compiler is a failure.
build() {
	build_kdir=$1 build_in=$2
	shift 2
	# Objects for other headers are of no use, and make does not know.
	[ "$(cat "$build_in/kdir" 2> /dev/null)" = "$build_kdir" ] || rm -rf "$build_in"
	mkdir -p "$build_in"
	echo "$build_kdir" > "$build_in/kdir"
	while [ "$1" != -- ]; do
		cmp -s "$1" "$build_in/$(basename "$1")" || cp "$1" "$build_in/"
		shift
	done
	shift
	# No BTF: it needs the kernel's vmlinux and pahole, and nothing here reads it.
	make -s -C "$build_kdir" "M=$build_in" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules \
		> "$build_in/log" 2>&1 && [ ! -s "$build_in/log" ]
}

module_sources="$root/kmod/*.[ch] $root/kmod/Kbuild"
standin_sources="$here/standin/* $root/kmod/compat.h $root/kmod/nv_p2p.h"

# try NAME LOG COMMAND...: one check that is a command
try() {
	try_name=$1 try_log=$2 try_start=$(date +%s)
	shift 2
	if "$@"; then
		pass "$try_name" "$(($(date +%s) - try_start)) s"
	else
		fail "$try_name" "see $try_log"
		head -20 "$try_log"
		return 1
	fi
}

build_programs() {
	ring="$root/lib/ring/*.c $root/lib/error.c $root/lib/wake.c"
	flags="-O2 -g -std=gnu11 -Wall -Wextra -Wshadow -Werror -static -pthread -D_GNU_SOURCE"
	flags="$flags -I$root/kmod -I$here -I$here/standin -I$here/guest -I$root/lib -I$root/kernels -I$B/user"
	mkdir -p "$B/user"
	# The VM has no NUMA nodes: built without, whatever this machine has.
	printf '#define RK_HAVE_%s 0\n' NUMA PCAP > "$B/user/config.h"
	runtime="$root/lib/runtime.c $root/lib/actor*.c $root/lib/supervisor*.c $root/lib/link*.c"
	runtime="$runtime $root/lib/hlc.c $root/lib/names.c $root/lib/flow.c $root/lib/dead_letter.c $root/lib/tenant.c"
	runtime="$runtime $root/kernels/*.c"
	runtime="$runtime $root/lib/backends/*.c $root/lib/io/*.c $root/lib/ports/*.c"
	# From the root, where the device sources that the library carries are found.
	# shellcheck disable=SC2086
	(cd "$root" && gcc $flags -Wl,--wrap=dlopen,--wrap=dlsym -o "$B/user/rktest" "$here"/guest/*.c \
		"$root"/tests/fake/cuda_stubs.c "$root"/lib/gpudirect/*.c $ring $runtime -lm \
		> "$B/user/log" 2>&1) &&
		gcc $flags -o "$B/user/outside" "$here/outside.c" $ring >> "$B/user/log" 2>&1
}

# vm LOG SECONDS KERNEL INITRAMFS ARGUMENTS...
vm() {
	vm_log=$1 vm_seconds=$2
	shift 2
	rm -f "$bar"
	truncate -s 16M "$bar"
	vm_kernel=$1 vm_initramfs=$2
	shift 2
	nice sh "$here/vm.sh" "$vm_kernel" "$vm_initramfs" "$bar" "$vm_seconds" "$@" > "$vm_log" 2>&1
}

# One line for each group that a VM ran, and one for the VM as a whole.
report_vm() {
	report_name=$1 report_log=$2 report_status=$3
	tr -d '\r' < "$report_log" > "$report_log.txt"
	while read -r word name p _ f _ seconds _; do
		[ "$word" = group ] || continue
		if [ "$f" = 0 ]; then
			pass "$report_name ${name%:}" "$p checks, $seconds s"
		else
			fail "$report_name ${name%:}" "$f of $((p + f)) checks"
		fi
	done < "$report_log.txt"
	grep -E '^not ok' "$report_log.txt" | head -20
	grep -E '^(bar|bench|failnth|hammer:|storm:|ring |revoked under|bells:)' "$report_log.txt"
	if [ "$report_status" = 0 ]; then
		pass "$report_name VM" "$(grep -E '^(kernel log|kmemleak)' "$report_log.txt" | paste -sd, )"
	else
		fail "$report_name VM" "status $report_status; see $report_log"
		tail -15 "$report_log.txt"
	fi
}

# The kernel image unpacked, where it is packed by xz: that saves 3 s of each boot.
unpacked() {
	offset=$(LC_ALL=C grep -abo -m1 -P '\xfd7zXZ\x00' "$1" 2>/dev/null | head -1 | cut -d: -f1)
	if [ -z "$offset" ] || ! command -v unxz > /dev/null; then
		echo "$1"
		return
	fi
	unpacked_in=$B/$(basename "$1").elf
	if [ ! -s "$unpacked_in" ] || [ "$1" -nt "$unpacked_in" ]; then
		tail -c "+$((offset + 1))" "$1" | unxz > "$unpacked_in" 2> /dev/null
	fi
	if [ -s "$unpacked_in" ]; then echo "$unpacked_in"; else echo "$1"; fi
}

# mutants KDIR KERNEL FOLDER NAMES...: each planted bug must make a test fail.
build_mutant() {
	mutant_in=$2/$3
	rm -rf "$mutant_in.ko"
	file=$(sed -n 's/^# file: //p' "$here/mutants/$3.sed")
	sed -f "$here/mutants/$3.sed" "$root/kmod/$file" > "$2/mutated"
	if cmp -s "$2/mutated" "$root/kmod/$file"; then
		echo "mutants/$3.sed changes nothing in kmod/$file" > "$2/log"
		return 1
	fi
	cp "$2/mutated" "$2/$file"
	make -s -C "$1" "M=$2" CONFIG_DEBUG_INFO_BTF_MODULES= modules > "$2/log" 2>&1
	mutant_status=$?
	cp "$root/kmod/$file" "$2/$file"
	[ "$mutant_status" = 0 ] && cp "$2/ringkernel.ko" "$mutant_in.ko"
}

build_mutants() {
	mutants_kdir=$1 mutants_in=$2
	shift 2
	# shellcheck disable=SC2086
	build "$mutants_kdir" "$mutants_in" $module_sources -- || return 1
	for mutant in "$@"; do
		build_mutant "$mutants_kdir" "$mutants_in" "$mutant" ||
			{ cp "$mutants_in/log" "$mutants_in/$mutant.log"; }
	done
}

# run_mutant KERNEL FOLDER STANDIN SECONDS ARGUMENTS NAME
run_mutant() {
	start=$(date +%s)
	own_bar=$(mktemp /dev/shm/rk-bar.XXXXXX)
	truncate -s 16M "$own_bar"
	groups=$(sed -n 's/^# groups: //p' "$here/mutants/$6.sed")
	sh "$here/initramfs.sh" "$2/$6.cpio" "$B/user/rktest" "$2/$6.ko" "$3"
	# shellcheck disable=SC2086
	nice sh "$here/vm.sh" "$1" "$2/$6.cpio" "$own_bar" "$4" "rk.module=$6" \
		"rk.groups=$groups" rk.hammer=2 $5 > "$2/$6.out" 2>&1
	status=$?
	rm -f "$2/$6.cpio" "$own_bar"
	by=$(tr -d '\r' < "$2/$6.out" | grep -m1 -E '^not ok' | cut -c8-70)
	said=$(tr -d '\r' < "$2/$6.out" | grep -m1 -oE 'BUG: KASAN: [a-z-]*|possible [a-z]* locking.*')
	by=$by${said:+; $said}
	case $status in
	124) by=${by:-"no end"} ;;
	125) by=${by:-"the kernel died"} ;;
	esac
	echo "$status $(($(date +%s) - start)) s; caught: $by" > "$2/$6.verdict"
}

# run_mutants KERNEL FOLDER STANDIN SECONDS ARGUMENTS NAMES...: two at a time; each must be caught.
run_mutants() {
	mutants_kernel=$1 mutants_in=$2 mutants_standin=$3 mutants_seconds=$4 mutants_args=$5
	shift 5
	running=0
	rm -f "$mutants_in"/*.verdict
	for mutant in "$@"; do
		[ -s "$mutants_in/$mutant.ko" ] || continue
		run_mutant "$mutants_kernel" "$mutants_in" "$mutants_standin" "$mutants_seconds" \
			"$mutants_args" "$mutant" &
		running=$((running + 1))
		[ $((running % 2)) = 0 ] && wait
	done
	wait
	for mutant in "$@"; do
		if [ ! -s "$mutants_in/$mutant.ko" ]; then
			fail "bug $mutant" "not built; see $mutants_in/$mutant.log"
			continue
		fi
		read -r status verdict < "$mutants_in/$mutant.verdict"
		case $status in
		0) fail "bug $mutant" "not noticed; see $mutants_in/$mutant.out" ;;
		123 | 126) fail "bug $mutant" "not run; see $mutants_in/$mutant.out" ;;
		*) pass "bug $mutant" "$verdict" ;;
		esac
	done
}

style() {
	if command -v sparse > /dev/null; then
		# shellcheck disable=SC2086
		try "sparse" "$B/sparse/log" build "$kdir" "$B/sparse" $module_sources -- \
			C=2 CF=-D__CHECK_ENDIAN__
	else
		skip "sparse" "no sparse: apt-get install sparse"
	fi
	if sh "$here/checkpatch.sh" > "$B/checkpatch.log" 2>&1; then
		pass "checkpatch --strict" "$(tail -1 "$B/checkpatch.log")"
	elif [ $? = 77 ]; then
		skip "checkpatch --strict" "$(tail -1 "$B/checkpatch.log")"
	else
		fail "checkpatch --strict" "see $B/checkpatch.log"
		head -20 "$B/checkpatch.log"
	fi
}

release_of() {
	sed -n 's/^#define UTS_RELEASE "\(.*\)"/\1/p' "$1/include/generated/utsrelease.h"
}

newer() {
	for newer_kdir in "$B"/newer/usr/src/linux-headers-*-amd64 /lib/modules/*/build; do
		case $newer_kdir in
		*/linux-headers-6.1.* | */modules/6.1.*) continue ;;
		esac
		[ -f "$newer_kdir/Module.symvers" ] || continue
		[ "$newer_kdir" != "$kdir" ] || continue
		newer_name=$(release_of "$newer_kdir")
		# shellcheck disable=SC2086
		try "W=1 $newer_name" "$B/newer-build/log" build "$newer_kdir" "$B/newer-build" \
			$module_sources -- W=1
		# shellcheck disable=SC2086
		build "$newer_kdir" "$B/newer-standin" $standin_sources -- ||
			fail "stand-in $newer_name" "see $B/newer-standin/log"
		return
	done
	skip "W=1 newer kernel" "no headers: sh tests/kmod/newer-headers.sh (into build/, not installed)"
}

find_kernel() {
	kdir=${RK_KDIR:-}
	kernel=${RK_KERNEL:-}
	[ "$kdir" ] && return
	for version in $(cd /lib/modules 2>/dev/null && ls | sort -rV); do
		if [ -f "/lib/modules/$version/build/Module.symvers" ] &&
		   [ -r "/boot/vmlinuz-$version" ]; then
			kdir=/lib/modules/$version/build
			kernel=${kernel:-/boot/vmlinuz-$version}
			return
		fi
	done
	skip "test-kmod" "no kernel with headers: apt-get install linux-image-amd64 linux-headers-amd64"
	finish
}

moves() {
	grep -q '^CONFIG_DMABUF_MOVE_NOTIFY=y' "$1/.config" && echo rk.moves=1
}

all_mutants=$(cd "$here/mutants" && ls ./*.sed | sed 's|^\./||; s|\.sed$||')
basic_groups=args,owner,host,gpu,revoke,dmabuf,bells,live,lib,cycles,storm

stock() {
	find_kernel
	# shellcheck disable=SC2086
	try "W=1 $(release_of "$kdir")" "$B/stock/log" build "$kdir" "$B/stock" \
		$module_sources -- W=1 || finish
	# shellcheck disable=SC2086
	try "stand-in" "$B/standin/log" build "$kdir" "$B/standin" $standin_sources -- W=1 || finish
	newer
	style
	try "programs" "$B/user/log" build_programs || finish
	kernel=$(unpacked "$kernel")
	sh "$here/initramfs.sh" "$B/stock.cpio" "$B/user/rktest" "$B/stock/ringkernel.ko" \
		"$B/standin/standin.ko"

	rm -f "$bar"
	truncate -s 16M "$bar"
	vm "$B/stock.out" 150 "$kernel" "$B/stock.cpio" \
		"rk.groups=nogpu,$basic_groups,bench,unload" "$(moves "$kdir")"
	report_vm stock "$B/stock.out" $?

	# The bugs are built while the VM hammers: neither measures anything.
	# shellcheck disable=SC2086
	build_mutants "$kdir" "$B/mutants" $all_mutants &
	vm "$B/hammer.out" 200 "$kernel" "$B/stock.cpio" rk.groups=hammer \
		"rk.hammer=${RK_HAMMER_S:-60}"
	report_vm hammer "$B/hammer.out" $?
	wait

	ring_outside "$kernel" "$B/stock.cpio"
	# shellcheck disable=SC2086
	run_mutants "$kernel" "$B/mutants" "$B/standin/standin.ko" 60 rk.stop=1 $all_mutants
	finish
}

ring_outside() {
	rm -f "$bar"
	truncate -s 16M "$bar"
	# The VM gets the file as it is: both sides must hold the same one.
	"$B/user/outside" "$bar" 90 > "$B/outside.out" 2>&1 &
	outside=$!
	nice sh "$here/vm.sh" "$1" "$2" "$bar" 90 rk.groups=ring > "$B/ring.out" 2>&1
	report_vm ring "$B/ring.out" $?
	if wait "$outside"; then
		pass "ring outside" "$(cat "$B/outside.out")"
	else
		fail "ring outside" "$(cat "$B/outside.out")"
	fi
}

debug() {
	folder=${RK_DEBUG_KERNEL:-$B/debug-kernel}
	kernel=$(ls "$folder"/bzImage* 2> /dev/null | head -1)
	if [ -z "$kernel" ]; then
		skip "test-kmod-debug" "no kernel in $folder: sh tests/kmod/build-debug-kernel.sh (14 min)"
		finish
	fi
	kdir=$folder/headers
	if [ ! -f "$kdir/Module.symvers" ]; then
		kdir=$B/debug-headers
		# Unpacked once for each archive.
		[ "$(cat "$kdir/from" 2> /dev/null)" = "$folder" ] || rm -rf "$kdir"
		if [ ! -f "$kdir/Module.symvers" ]; then
			mkdir -p "$kdir"
			tar -C "$kdir" --strip-components=1 -xf "$folder"/headers*.tar.xz ||
				{ skip "test-kmod-debug" "no headers in $folder"; finish; }
			echo "$folder" > "$kdir/from"
		fi
	fi
	# shellcheck disable=SC2086
	try "debug build" "$B/debug/log" build "$kdir" "$B/debug" $module_sources -- || finish
	# shellcheck disable=SC2086
	try "debug stand-in" "$B/debug-standin/log" build "$kdir" "$B/debug-standin" \
		$standin_sources -- || finish
	try "programs" "$B/user/log" build_programs || finish
	sh "$here/initramfs.sh" "$B/debug.cpio" "$B/user/rktest" "$B/debug/ringkernel.ko" \
		"$B/debug-standin/standin.ko"
	vm "$B/debug.out" 400 "$kernel" "$B/debug.cpio" \
		"rk.groups=nogpu,$basic_groups,hammer,failnth" "rk.hammer=${RK_HAMMER_S:-10}" \
		rk.leaks=1 hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=20 "$(moves "$kdir")"
	report_vm debug "$B/debug.out" $?
	# Not stopped at the first failed check: this kernel has more to say.
	debug_mutants="lock-inversion put-in-callback leak early-callback"
	# shellcheck disable=SC2086
	build_mutants "$kdir" "$B/debug-mutants" $debug_mutants
	# shellcheck disable=SC2086
	run_mutants "$kernel" "$B/debug-mutants" "$B/debug-standin/standin.ko" 120 "" \
		$debug_mutants
	finish
}

need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need gcc gcc
need make make
case $mode in
stock) stock ;;
debug) debug ;;
*)
	echo "usage: run.sh stock|debug" >&2
	exit 2
	;;
esac
