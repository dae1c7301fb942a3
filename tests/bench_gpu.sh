#!/bin/sh
# The GPU benchmark where there is no GPU: it says why it leaves all out, and ends well; words that
# make no sense are refused; and its device code compiles.
set -u
B=${B:-build}
bench=$B/ringkernel-bench-gpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 failed=0

verdict() { # text command...
	text=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number - $text"
	else
		echo "not ok $number - $text"
		sed 's/^/# /' "$work/out"
		failed=1
	fi
}
skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
ends_with() { # status words...
	wanted=$1
	shift
	"$bench" "$@" >"$work/out" 2>&1
	[ $? = "$wanted" ]
}
through_ringkernel() {
	"$B/ringkernel" bench gpu trip >"$work/out" 2>&1
}

verdict "help" ends_with 0 --help
for words in nothing trips=0 trips= trips=-1 trips=1x gpu=99 cpu=-1 seconds=99999999999999999999; do
	verdict "'$words' is refused" ends_with 2 $words
done
if "$B/ringkernel" info | grep -q 'cuda  *yes'; then
	skip "without a GPU it says so" "there is one"
else
	verdict "without a GPU it ends well" ends_with 0
	verdict "without a GPU it says why" grep -q 'skipped: cuda: .' "$work/out"
	verdict "and so through ringkernel" through_ringkernel
fi

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if [ ! -x "$nvcc" ]; then
	skip "device code compiles" "nvcc is not installed"
	exit $failed
fi
compile() { # arch file
	"$nvcc" -std=c++17 -arch="$1" -cubin -Werror all-warnings -I. -Ilib -Ikernels -o "$work/cubin" "$2" \
		>"$work/out" 2>&1
}
for handler in compute sum; do
	printf '#include "bench/gpu/handlers.c"\n#define RK_HANDLERS(X) X(0, %s, %s_batch)\n%s\n' \
		$handler $handler '#include "persistent.cu"' >"$work/$handler.cu"
done
for arch in sm_80 sm_90 sm_100; do
	verdict "the baselines compile for $arch" compile $arch bench/gpu/baseline.cu
done
verdict "the handler compute compiles for a GPU" compile sm_90 "$work/compute.cu"
verdict "the handler sum compiles for a GPU" compile sm_90 "$work/sum.cu"
exit $failed
