# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the tests of the `ringkernel` command share: TAP lines, runs, and looks into JSON. Sourced.

B=${B:-build}
ringkernel=$(realpath "$B")/ringkernel
count=0
failures=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

ok()
{
	count=$((count + 1))
	echo "ok $count - $*"
}

not_ok()
{
	count=$((count + 1))
	failures=$((failures + 1))
	echo "not ok $count - $*"
	head -n 20 "$work/out" "$work/err" | sed 's/^/# /'
}

skip() # TEXT REASON
{
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# The last line of a test program.
finish()
{
	echo "1..$count"
	[ "$failures" -eq 0 ]
	exit
}

# run WORDS...: the command, its output in $work/out and $work/err, its exit status in $status.
# shellcheck disable=SC2034 # whoever sources this reads it
run()
{
	status=0
	timeout 120 "$ringkernel" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# judge TEXT CONDITION...: one TAP line; the condition is a command.
judge()
{
	text=$1
	shift
	if "$@" >>"$work/err" 2>&1; then ok "$text"; else not_ok "$text"; fi
}

# The JSON in file $1 as `d`: is the Python expression $2 true?
json_holds()
{
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
if not eval("(" + sys.argv[2] + ")"):
	sys.exit("false: " + sys.argv[2])
' "$1" "$2"
}

have_python()
{
	command -v python3 >/dev/null
}

have_jansson()
{
	grep -q 'RK_HAVE_JANSSON 1' "$B/config.h"
}
