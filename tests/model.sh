#!/bin/sh
# SPDX-License-Identifier: MIT
# The ring's protocol in the Spin model checker (tests/model/ring.pml): it holds as it is, and
# each of its mutants is caught.
set -u
MUTANTS=10
CC=${CC:-cc}
model=$(cd "$(dirname "$0")" && pwd)/model/ring.pml
number=0 status=0

if ! command -v spin >/dev/null; then
	echo "ok 1 - model of the ring # SKIP no spin: apt-get install spin"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2

verdict() { # 0 for good, text
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		sed 's/^/# /' out
		status=1
	fi
}

# Search every state; 0 when nothing was violated, 1 when something was, 2 when it did not finish.
search() { # defines
	# shellcheck disable=SC2086
	spin -a $1 "$model" >out 2>&1 &&
		$CC -O2 -w -DSAFETY -DCOLLAPSE -DNOFAIR -DVECTORSZ=2048 -o pan pan.c >>out 2>&1 || return 2
	./pan -m400000 >out 2>&1
	if grep -q '^pan:1: \(assertion violated\|invalid end state\)' out; then
		return 1
	fi
	grep -q 'errors: 0' out && ! grep -q 'max search depth too small' out || return 2
}

for size in "-DCAP=2 -DMESSAGES=6 -DKILLS=3" "-DCAP=4 -DMESSAGES=4 -DKILLS=1"; do
	search "$size"
	verdict $? "the ring holds with $size"
	sed -n 's/^ *\([0-9.e+]*\) states, stored.*/# \1 states/p' out
done
mutant=1
while [ $mutant -le $MUTANTS ]; do
	search "-DMUTANT=$mutant"
	[ $? = 1 ]
	verdict $? "mutant $mutant is caught: $(sed -n 's/^pan:1: \(.*\) (at.*/\1/p' out)"
	mutant=$((mutant + 1))
done
echo "1..$number"
exit $status
