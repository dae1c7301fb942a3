#!/bin/sh
# SPDX-License-Identifier: MIT
# A histogram log as others read it: HdrHistogram for Java and hdr-histogram-js must find the
# same times, tags, counts, maxima and percentiles that were written. Prints TAP; a reader that is
# not installed is skipped with its reason.
set -u

B=${B:-build}
here=$(dirname "$0")
write=$B/release/tests/hist_write
jar=/usr/share/java/hdrhistogram.jar
npm_package=hdr-histogram-js@3.0.1
npm_home=$B/hist_readers
number=0
failed=0

verdict() # ok|not ok TEXT
{
	number=$((number + 1))
	echo "$1 $number - $2"
	[ "$1" = ok ] || failed=1
}

skip()
{
	verdict ok "$1 reads our log # SKIP $2"
}

# same OURS THEIRS READER
same()
{
	if cmp "$1" "$2"; then
		verdict ok "$3 agrees in $(wc -l <"$1") lines"
		return
	fi
	diff "$1" "$2" | head -n 10
	verdict "not ok" "$3 agrees (RK_SEED=${RK_SEED:-default})"
}

read_by_java()
{
	command -v javac >/dev/null || { skip java "no JDK: apt install default-jdk-headless"; return; }
	[ -e "$jar" ] || { skip java "no $jar: apt install libhdrhistogram-java"; return; }
	java -cp "$jar" "$here/hist_read.java" "$work/latency.hlog" "$work/java.hgrm" \
		>"$work/java.txt" || verdict "not ok" "HdrHistogram for Java runs"
	same "$work/ours.txt" "$work/java.txt" "HdrHistogram for Java, log"
	same "$work/ours.hgrm" "$work/java.hgrm" "HdrHistogram for Java, distribution"
}

read_by_js()
{
	command -v node >/dev/null || { skip js "no node: apt install nodejs"; return; }
	if [ ! -d "$npm_home/node_modules/hdr-histogram-js" ]; then
		command -v npm >/dev/null || { skip js "no npm: apt install npm"; return; }
		npm install --prefix "$npm_home" --ignore-scripts --fetch-retries=0 --no-audit --no-fund --no-save \
			"$npm_package" >"$work/npm" 2>&1 || {
			skip js "npm could not install $npm_package: $(tail -n 1 "$work/npm")"
			return
		}
	fi
	NODE_PATH=$npm_home/node_modules node "$here/hist_read.js" "$work/latency.hlog" \
		>"$work/js.txt" || verdict "not ok" "hdr-histogram-js runs"
	same "$work/ours.txt" "$work/js.txt" "hdr-histogram-js, log"
}

if [ ! -x "$write" ]; then
	echo "hist_readers: no $write: run make test"
	exit 1
fi
if grep -q 'RK_HAVE_ZLIB 0' "$B/config.h"; then
	skip all "built without zlib, so there is no log: apt install zlib1g-dev"
	exit 77
fi
npm_home=$(realpath -m "$npm_home")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
"$write" "$work" || exit 1
read_by_java
read_by_js
exit $failed
