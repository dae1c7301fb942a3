#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Handlers are written once for every backend. This compiles each handler file as C11 (gcc,
# clang), as C++17 (g++) and as CUDA (nvcc, several architectures), warnings fatal, and looks at
# the objects: no data that changes, nothing called but the handler API. Prints TAP, a line for each
# compiler and file; a compiler that is not here is skipped with a reason.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
failed=0

include="-I$root/lib -I$root/kernels -I$root/tests"
strict="-O2 -Wall -Wextra -Wshadow -pedantic -Werror"

verdict() # ok|not ok TEXT
{
	number=$((number + 1))
	echo "$1 $number - $2"
	[ "$1" = ok ] || failed=1
}

# usage: check_object OBJECT: what it defines and needs stays within the subset.
# Compilers turn copy loops into calls of memcpy and the like, which every backend's C library has.
check_object()
{
	nm "$1" | awk '
		$(NF - 1) ~ /^[BbDdCSs]$/ { print "data that changes: " $NF; bad = 1 }
		$1 == "U" && $2 !~ /^(rk_send|rk_send_batch|rk_add|rk_any|rk_acquire|rk_reach|rk_lane|rk_lanes|memcpy|memmove|memset|_GLOBAL_OFFSET_TABLE_)$/ {
			print "calls " $2; bad = 1 }
		END { exit bad }'
}

# usage: compile NAME COMPILER ARGS...: every handler file, if the compiler is here.
# shellcheck disable=SC2086 # the lists of flags are split on purpose
compile()
{
	name=$1
	compiler=$2
	shift 2
	if ! command -v "$compiler" >/dev/null 2>&1; then
		verdict ok "handlers compile as $name # SKIP no $compiler in PATH"
		return 0
	fi
	for file in $handlers; do
		base=$(basename "$file" .c)
		object="$work/$name-$base.o"
		if ! "$compiler" "$@" $include -c "$file" -o "$object"; then
			verdict "not ok" "$base compiles as $name"
		elif [ "$compiler" != nvcc ] && ! check_object "$object"; then
			verdict "not ok" "$base as $name stays within the subset"
		else
			verdict ok "$base compiles as $name"
		fi
	done
}

# A handler file is one that defines a handler; actors.c is the host's table of them.
handlers=$(grep -lE '^RK_DEVICE void rk_[a-z0-9_]+\(struct rk_ctx \*ctx, void \*state,' \
	"$root"/kernels/*.c)
# Those of the tests stand in a header, which tests also carry as text.
echo '#include "actor_handlers.h"' >"$work/actor_handlers.c"
handlers="$handlers $work/actor_handlers.c"

# shellcheck disable=SC2086
compile gcc gcc -std=c11 $strict -Wmissing-prototypes
# shellcheck disable=SC2086
compile clang clang -std=c11 $strict -Wmissing-prototypes
# shellcheck disable=SC2086
compile g++ g++ -x c++ -std=c++17 $strict
for arch in sm_80 sm_90 sm_100; do
	compile "nvcc-$arch" nvcc -x cu -std=c++17 -rdc=true -arch=$arch -Werror all-warnings
done

exit $failed
