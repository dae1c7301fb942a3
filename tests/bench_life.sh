#!/bin/sh
# The benchmark of the life of actors: it ends well, with all of its bars; nonsense is refused.
set -u
B=${B:-build}
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
measures() {
	"$B/ringkernel" bench life count=50 >"$work/out" 2>&1 && [ "$(grep -c '^bar ' "$work/out")" = 12 ]
}
ends_with() { # status words...
	wanted=$1
	shift
	"$B/ringkernel-bench-life" "$@" >"$work/out" 2>&1
	[ $? = "$wanted" ]
}

verdict "all is measured" measures
verdict "help" ends_with 0 --help
for words in count=0 count= count=-1 count=1x nothing; do
	verdict "'$words' is refused" ends_with 2 $words
done
exit $failed
