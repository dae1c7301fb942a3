#!/bin/sh
# What write-combined memory asks of the compiled codecs: whole lines by single stores with AVX-512,
# hence no flush; a flush after all others. No compiler promises it, so look at what it made.
set -u
B=${B:-build}
object=$B/release/lib/ring/codec.o
if [ "$(uname -m)" != x86_64 ] || ! command -v objdump >/dev/null; then
	echo "ok 1 - stores of whole lines # SKIP no x86-64 or no objdump"
	exit 0
fi
number=0 status=0

body() { # function: its instructions
	objdump -d --no-show-raw-insn "$object" |
		awk -v name="<$1>:" '$2 == name { on = 1; next } /^$/ { on = 0 } on'
}

verdict() { # text, after a test
	good=$?
	number=$((number + 1))
	[ $good = 0 ] || { status=1 && printf 'not '; }
	echo "ok $number - $1"
}

# Stores to memory other than the stack.
body pack_avx512 | grep -E 'mov[a-z0-9]* +%[a-z0-9]+,[^%]*\(%' | grep -v -E '\(%r[sb]p' >"$B/codec_stores"
[ -s "$B/codec_stores" ] && ! grep -v -E 'vmovdqa(64|32) +%zmm[0-9]+,' "$B/codec_stores" | sed 's/^/# /'
[ -s "$B/codec_stores" ] && ! grep -q -v -E 'vmovdqa(64|32) +%zmm[0-9]+,' "$B/codec_stores"
verdict "avx512 stores $(wc -l <"$B/codec_stores") times, always 64 bytes"
! body pack_avx512 | grep -q -E 'fence|lock'
verdict "avx512 never flushes"
for codec in avx2 ssse3 plain; do
	[ "$(body pack_far_$codec | grep -c sfence)" = 1 ]
	verdict "$codec flushes once where slots are far"
	! body pack_$codec | grep -q -E 'fence|lock'
	verdict "$codec never flushes where they are near"
done
rm -f "$B/codec_stores"
exit $status
