#!/bin/sh
# Runs every test and closes with "N passed, N failed, N skipped".
#
# A test is a program or script that prints TAP lines ("ok", "not ok", "# SKIP reason"); cmocka
# does with CMOCKA_MESSAGE_OUTPUT=TAP. One that ends with a failure of its own (a crash, a time-out,
# a sanitizer's report) counts as one more failure; exit status 77 as one skip, its last line the
# reason. Logs lie in $B/log. `ONLY=pattern` runs the tests whose name matches.
set -u
B=${B:-build}
FUZZ_SECONDS=${FUZZ_SECONDS:-20}
LIMIT=${TEST_LIMIT_SECONDS:-600}
ONLY=${ONLY:-}
log=$B/log
mkdir -p "$log"
passed=0 failed=0 skipped=0
failures=$log/failures
: >"$failures"

unset MAKEFLAGS MFLAGS MAKELEVEL # a make that a test starts is no part of this one
export B CMOCKA_MESSAGE_OUTPUT=TAP
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
export ASAN_OPTIONS="detect_leaks=1 detect_stack_use_after_return=1 ${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1 ${UBSAN_OPTIONS:-}"

count() { # pattern file
	grep -c -E "$1" "$2" || true
}

# What the log of the test that just ended says of its failure; shown again last, where one looks.
failure() {
	echo "  failed: $name, exit status $status; from $file:"
	grep -E -B 15 '^not ok|ERROR|SUMMARY|fail' "$file" | tail -n 60 | sed 's/^/  | /'
	[ ! -s "$file" ] || tail -n 15 "$file" | sed 's/^/  | /'
}

run() { # name command...
	name=$1 file=$log/$1.log
	shift
	case $name in *$ONLY*) ;; *) return ;; esac
	start=$(date +%s)
	timeout -k 10 "$LIMIT" "$@" >"$file" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - start))
	closing=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$file" | tail -n 1)
	if [ -n "$closing" ]; then
		good=$(echo "$closing" | sed 's/ passed.*//')
		bad=$(echo "$closing" | sed 's/.*passed, \([0-9]*\) failed.*/\1/')
		skip=$(echo "$closing" | sed -n 's/.*failed, \([0-9]*\) skipped.*/\1/p')
		skip=${skip:-0}
	else
		# cmocka writes "not ok N # SKIP" for what it skipped.
		grep -v -E '# *(SKIP|skip)' "$file" >"$file.run"
		skip=$(count '^(not )?ok .*# *(SKIP|skip)' "$file")
		good=$(count '^ok ' "$file.run")
		bad=$(count '^not ok ' "$file.run")
	fi
	if [ $status = 77 ] && [ "$good$bad" = 00 ]; then
		skip=$((skip + 1))
		grep . "$file" | tail -n 1 | sed "s|^|  skipped $name: |"
	elif [ $status != 0 ] && [ "$bad" = 0 ]; then
		bad=1
	elif [ $((good + bad + skip)) = 0 ]; then
		echo "  $name ran no test"
		bad=1
	fi
	printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' \
		"$name" "$good" "$bad" "$skip" "$took"
	grep -E '^(not )?ok .*# *(SKIP|skip)' "$file" |
		sed -E 's/^(not )?ok [0-9]* *-* */  skipped: /'
	[ "$bad" = 0 ] || failure | tee -a "$failures"
	passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

# A fuzzer starts from what it found in earlier runs here, and keeps what it finds.
fuzz() { # program
	corpus=$B/corpus/$1
	mkdir -p "$corpus"
	if "$B/fuzz/tests/$1" -max_total_time="$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=4096 \
		-artifact_prefix="$log/$1-" "$corpus"; then
		echo "ok 1 - $1: nothing found in $FUZZ_SECONDS s"
	else
		echo "not ok 1 - $1"
		return 1
	fi
}

# Fuzzers and virtual machines take minutes of one CPU: beside the scripts, and shown after them.
beside() {
	passed=0 failed=0 skipped=0 # a shell of its own, which counts its own
	for fuzzer in tests/fuzz_*.c; do
		fuzzer=$(basename "$fuzzer" .c)
		case fuzz-$fuzzer in *$ONLY*) ;; *) continue ;; esac
		fuzz "$fuzzer" >"$log/$fuzzer.out" 2>&1
		run "fuzz-$fuzzer" sh -c \
			"cat '$log/$fuzzer.out'; ! grep -q '^not ok' '$log/$fuzzer.out'"
	done
	[ ! -e tests/rdma/run.sh ] || run rdma sh tests/rdma/run.sh short
	[ ! -e tests/kmod/run.sh ] || run kmod sh tests/kmod/run.sh stock
	echo "$passed $failed $skipped" >"$log/beside.counts"
}
for build in release native thread address; do
	for test in tests/test_*.c; do
		test=$(basename "$test" .c)
		# The native build differs where rings are used from a program: those tests only. What
		# only drives a compiler is built once.
		case $build-$test in
		thread-test_cuda_code | address-test_cuda_code) ;;
		thread-test_gpu_bench_code | address-test_gpu_bench_code) ;;
		native-test_ring* | native-test_share | native-test_runtime | [!n]*)
			run "$build-$test" "$B/$build/tests/$test"
			;;
		esac
	done
done

# Actors on a GPU of fibers (tests/lanes), where it was built: no time of it means anything.
for test in scenarios flow lent; do
	[ ! -e "$B/lanes/libcuda.so.1" ] || run "lanes-$test" env LD_LIBRARY_PATH="$B/lanes" \
		XDG_CACHE_HOME="$(cd "$B/lanes" && pwd)" "$B/release/tests/test_gpu_$test"
done

# Port dpdk, where it was built; the race detector does not know DPDK's locks.
for build in release address; do
	for test in tests/dpdk/test_*.c; do
		test=$(basename "$test" .c)
		[ ! -x "$B/$build/tests/dpdk/$test" ] ||
			run "$build-dpdk-$test" "$B/$build/tests/dpdk/$test"
	done
done

echo "0 1 0" >"$log/beside.counts" # should it end before it has counted
beside >"$log/beside.out" 2>&1 &

for script in tests/*.sh; do
	[ "$script" = tests/run.sh ] || run "$(basename "$script" .sh)" sh "$script"
done

wait
cat "$log/beside.out"
read -r good bad skip <"$log/beside.counts"
passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
cat "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
