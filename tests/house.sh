#!/bin/sh
# The house rules that a machine can check: include arrows, headers that stand alone, the symbol
# map, labels of ordered accesses, kernel-doc of public functions, the README's program, installing.
set -u
# The builds below are of the house, not of every GPU.
export GPU_ARCHS=90
B=${B:-build}
CC=${CC:-cc} CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 status=0

verdict() { # text; findings in $work/found
	number=$((number + 1))
	if [ -s "$work/found" ]; then
		sed 's/^/# /' "$work/found"
		echo "not ok $number - $1"
		status=1
	else
		echo "ok $number - $1"
	fi
	: >"$work/found"
}
skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
: >"$work/found"

headers=$(ls lib/*.h lib/*/*.h lib/ports/dpdk/rk_*.h kernels/*.h)
public=$(find lib/rk_*.h lib/ringkernel.h lib/*/rk_*.h kernels/*.h ! -name mdp3_wire.h)

# --- Includes go one way: base <- ring <- gpudirect <- {backends, ports} <- runtime <- the rest ---

base="clock hlc rk_hlc rk_io rk_base rk_error rk_msg rk_flow rk_frame rk_packet rk_pattern rk_handler rk_wake rk_hist hist error wake hist_log hist_plot
	hist_text hist_gnuplot"
layer_of() { # file -> layer name
	case $1 in
	lib/ring/*) echo ring ;;
	lib/gpudirect/*) echo gpudirect ;;
	lib/io/*) echo io ;;
	lib/snapshot/*) echo snapshot ;;
	lib/backends/*) echo backends ;;
	lib/ports/*) echo ports ;;
	kernels/*) echo kernels ;;
	lib/*)
		name=$(basename "$1" | sed 's/\.[ch]$//')
		for known in $base; do
			[ "$known" != "$name" ] || { echo base && return; }
		done
		echo runtime
		;;
	esac
}
allowed() { # layer -> layers it may include
	case $1 in
	base) echo base ;;
	ring) echo base ring ;;
	gpudirect) echo base ring gpudirect ;;
	backends) echo base ring kernels gpudirect backends ;; # what is shipped, and what a GPU sees
	io) echo base ring gpudirect io ;;
	snapshot) echo base snapshot ;;
	ports) echo base ring gpudirect io ports ;;
	runtime) echo base ring gpudirect io snapshot backends ports runtime ;;
	kernels) echo base ring kernels ;;
	esac
}
for file in lib/*.[ch] lib/*/*.[ch] lib/ports/dpdk/*.[ch] kernels/*.[ch]; do
	from=$(layer_of "$file")
	sed -n 's/^#include "\(.*\)"/\1/p' "$file" | while read -r header; do
		for path in "lib/$header" "kernels/$header" "$(dirname "$file")/$header"; do
			[ -e "$path" ] && break
		done
		[ "$header" = config.h ] && continue
		case $header in *uapi*) continue ;; esac
		if [ ! -e "$path" ]; then
			echo "$file includes \"$header\", which is nowhere"
			continue
		fi
		to=$(layer_of "$path")
		case " $(allowed "$from") " in
		*" $to "*) ;;
		*) echo "$file ($from) includes $path ($to)" ;;
		esac
	done >>"$work/found"
done
verdict "includes go one way"

# --- Every header stands alone, in C and in C++; what device code sees, in nvcc too ---

alone() { # header compiler...
	header=$1
	shift
	echo "#include \"$header\"" >"$work/alone.$suffix"
	"$@" "$work/alone.$suffix" -o "$work/alone.o" >"$work/alone.log" 2>&1 || {
		echo "$header does not stand alone in $1:"
		head -n 5 "$work/alone.log"
	} >>"$work/found"
}
flags="-Ilib -Ikernels -I$B -D_GNU_SOURCE -Wall -Wextra -Werror -c"
suffix=c
for header in $headers; do
	# shellcheck disable=SC2086 # a list of flags
	alone "$header" $CC -std=gnu11 -I. $flags
done
verdict "every header stands alone in C"
suffix=cc
for header in $public lib/ports/dpdk/rk_*.h; do
	# shellcheck disable=SC2086
	alone "$header" $CXX -std=c++17 -I. $flags
done
verdict "every public header stands alone in C++"
if command -v clang >/dev/null; then
	suffix=c
	for header in $public lib/ports/dpdk/rk_*.h; do
		# shellcheck disable=SC2086
		alone "$header" clang -std=gnu11 -I. $flags
	done
	verdict "every public header stands alone in clang"
else
	skip "every public header stands alone in clang" "clang is not installed"
fi
if command -v nvcc >/dev/null; then
	suffix=cu
	for header in lib/rk_base.h lib/rk_msg.h lib/rk_frame.h lib/rk_packet.h lib/rk_io.h lib/rk_handler.h lib/rk_hlc.h \
		lib/ring/rk_slot.h; do
		alone "$header" nvcc -I. -Ilib -c
	done
	verdict "headers of device code stand alone in nvcc"
else
	skip "headers of device code stand alone in nvcc" "nvcc is not installed"
fi

# --- The shared library exports what the headers declare, no more, no less ---

same_names() { # library header...
	library=$1
	shift
	cat "$@" | tr '\n' ' ' | grep -o 'RK_API [^;({]*(' | grep -o 'rk_[a-z0-9_]*(' | tr -d '(' |
		sort -u >"$work/declared"
	nm -D --defined-only "$library" | sed 's/.* //; s/@.*//' |
		grep -v -E '^RINGKERNEL|^rk_dpdk_port_kind$' | sort -u >"$work/exported"
	diff "$work/declared" "$work/exported" >>"$work/found"
}
# shellcheck disable=SC2086 # a list of files
same_names "$(ls "$B"/libringkernel.so.*.*.*)" $public
verdict "the library exports what its headers declare"
if grep -q 'RK_HAVE_DPDK 1' "$B/config.h"; then
	same_names "$(ls "$B"/libringkernel-dpdk.so.*.*.*)" lib/ports/dpdk/rk_dpdk.h
	verdict "so does the library of port dpdk"
else
	skip "so does the library of port dpdk" "built without libdpdk"
fi

# --- Every acquire and release is labelled, and its partner names it back ---

grep -n -E '__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL)' lib/*.[ch] lib/*/*.[ch] lib/ports/dpdk/*.[ch] | while IFS=: read -r file line _; do
	first=$((line > 4 ? line - 4 : 1))
	sed -n "${first},${line}p" "$file" | grep -q -E '\b[AR][0-9]+\b' ||
		echo "$file:$line: no label (A1, R1, ...) that names the partner"
done >>"$work/found"
for label in $(grep -h -o -E '\b[AR][0-9]+: ' lib/*.[ch] lib/*/*.[ch] lib/ports/dpdk/*.[ch] | tr -d ': ' | sort -u); do
	case $label in
	A*) partner=R${label#A} ;;
	R*) partner=A${label#R} ;;
	esac
	grep -q -E "\b$partner\b" lib/*.[ch] lib/*/*.[ch] lib/ports/dpdk/*.[ch] ||
		echo "label $label has no $partner" >>"$work/found"
done
verdict "ordered accesses name their partners"

# --- Every public function of lib/ has kernel-doc that says its context ---

for header in lib/rk_*.h lib/*/rk_*.h lib/ports/dpdk/rk_*.h; do
	tr '\n' '\001' <"$header" | sed 's/RK_API \([^;]*;\)/\n@@\1\n/g' | grep -o '^@@[^(]*(' |
		grep -o 'rk_[a-z0-9_]*($' | tr -d '(' | while read -r name; do
		block=$(awk -v name="$name" '
			/^\/\*\*/ { text = ""; on = 1 }
			on { text = text $0 "\n" }
			/\*\// { on = 0; if (index(text, " * " name "() - ")) print text }' "$header")
		if [ -n "$block" ]; then
			echo "$block" | grep -q 'Context:' || echo "$header: $name(): no Context:"
		elif ! grep -q -i 'out of line\|slow half' "$header"; then
			echo "$header: $name(): no kernel-doc"
		fi
	done
done >>"$work/found"
verdict "public functions say their contract"

# --- The README's program builds and runs as it stands; CHANGELOG knows the version ---

version=$(sed -n 's/^#define RK_VERSION_[A-Z]* //p' lib/rk_base.h | paste -sd .)
grep -q "^## $version" CHANGELOG.md || echo "CHANGELOG.md has no section $version" >>"$work/found"
verdict "the change log has the version $version"

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/readme.c"
# shellcheck disable=SC2046
if [ ! -s "$work/readme.c" ]; then
	echo "README.md has no program" >>"$work/found"
elif ! $CC -std=gnu11 -Wall -Werror -I. -Ilib "$work/readme.c" "$B/release/libringkernel.a" \
	$(sed -n 's/^Libs.private: //p' "$B/ringkernel.pc") -o "$work/readme" 2>>"$work/found"; then
	echo "README.md: the program does not build" >>"$work/found"
else
	timeout 20 "$work/readme" >"$work/readme.out" 2>&1 ||
		echo "README.md: the program fails: $(cat "$work/readme.out")" >>"$work/found"
	sed -n 's/^.*\/\* prints: \(.*\) \*\/.*/\1/p' "$work/readme.c" | diff - "$work/readme.out" \
		>>"$work/found"
fi
verdict "the README's program builds, runs and prints what it says"

# Its commands too: lines of the shell blocks that begin with `ringkernel`.
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on && /^ringkernel /' README.md >"$work/readme.sh"
if ! grep -q HAVE_PCAP.1 "$B/config.h"; then
	skip "the README's commands run" "built without libpcap"
else
	[ -s "$work/readme.sh" ] || echo "README.md has no ringkernel command" >>"$work/found"
	bin=$(cd "$B" && pwd)
	(cd "$work" && PATH=$bin:$PATH sh -e readme.sh) >"$work/readme.out" 2>&1 ||
		echo "README.md: a command fails: $(tail -n 3 "$work/readme.out")" >>"$work/found"
	verdict "the README's commands run"
fi

# --- Installed, a program finds it by pkg-config; uninstalled, nothing is left ---

root=$work/root
make -s install DESTDIR="$root" PREFIX=/opt/rk B="$B" >"$work/install.log" 2>&1 ||
	cat "$work/install.log" >>"$work/found"
cat >"$work/consumer.c" <<'EOF'
#include <ringkernel.h>
#include <stdio.h>
int main(void)
{
	return puts(rk_version()) < 0;
}
EOF
if command -v pkg-config >/dev/null; then
	export PKG_CONFIG_PATH="$root/opt/rk/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
	# shellcheck disable=SC2046
	$CC "$work/consumer.c" $(pkg-config --cflags --libs ringkernel) -o "$work/consumer" 2>>"$work/found"
	[ "$(LD_LIBRARY_PATH=$root/opt/rk/lib "$work/consumer" 2>&1)" = "$version" ] ||
		echo "a program built against the installed library does not run" >>"$work/found"
fi
readelf -d "$root"/opt/rk/lib/libringkernel.so 2>/dev/null | grep -q "SONAME.*libringkernel.so.${version%%.*}" ||
	echo "the soname is not libringkernel.so.${version%%.*}" >>"$work/found"
make -s uninstall DESTDIR="$root" PREFIX=/opt/rk B="$B" >>"$work/install.log" 2>&1
find "$root" -type f -o -type l | sed "s|^$root|left behind: |" >>"$work/found"
verdict "install, build against it, uninstall"

if command -v shellcheck >/dev/null; then
	shellcheck -x -s sh -S warning -e SC2046,SC2155,SC3013 tests/*.sh tools/*.sh tools/gpu-check examples/*.sh tests/kmod/*.sh tests/rdma/*.sh .ci/run >>"$work/found" 2>&1
	verdict "shell scripts pass shellcheck"
else
	skip "shell scripts pass shellcheck" "shellcheck is not installed"
fi

exit $status
