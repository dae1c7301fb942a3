#!/bin/sh
# SPDX-License-Identifier: MIT
# Protocols in the Spin model checker (tests/model/*.pml): the ring, the markers of a snapshot,
# supervision. Each holds as it is, and each of its mutants is caught.
set -u
CC=${CC:-cc}
models=$(cd "$(dirname "$0")" && pwd)/model
number=0 status=0

if ! command -v spin >/dev/null; then
	echo "ok 1 - models # SKIP no spin: apt-get install spin"
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
search() { # model, defines
	# shellcheck disable=SC2086
	spin -a $2 "$models/$1.pml" >out 2>&1 &&
		$CC -O2 -w -DSAFETY -DCOLLAPSE -DNOFAIR -DVECTORSZ=2048 -o pan pan.c >>out 2>&1 || return 2
	./pan -m400000 >out 2>&1
	if grep -q '^pan:1: \(assertion violated\|invalid end state\)' out; then
		return 1
	fi
	grep -q 'errors: 0' out && ! grep -q 'max search depth too small' out || return 2
}

holds() { # model, defines
	search "$1" "$2"
	verdict $? "$1 holds${2:+ with $2}"
	sed -n 's/^ *\([0-9.e+]*\) states, stored.*/# \1 states/p' out
}

catches() { # model, mutants
	mutant=1
	while [ $mutant -le "$2" ]; do
		search "$1" "-DMUTANT=$mutant"
		[ $? = 1 ]
		verdict $? "$1: mutant $mutant is caught: $(sed -n 's/^pan:1: \(.*\) (at.*/\1/p' out)"
		mutant=$((mutant + 1))
	done
}

holds ring "-DCAP=2 -DMESSAGES=6 -DKILLS=3"
holds ring "-DCAP=4 -DMESSAGES=4 -DKILLS=1"
catches ring 10
holds snapshot ""
catches snapshot 4
holds supervise "-DREST=0"
holds supervise "-DREST=1"
catches supervise 6
echo "1..$number"
exit $status
