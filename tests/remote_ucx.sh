#!/bin/sh
# Rings across processes over UCX and TCP on loopback: both ways at once, back-pressure, producers and
# consumers killed. `remote_ucx.sh bars` sets their rate against ucx_perftest's.
set -u
B=${B:-build}
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "$B" && pwd)
peer=$bin/release/tests/remote_peer
me=127.0.0.1 proto=ucx messages=1000000 failed=0 number=0
# UCX's way to take an address again whose last connections are barely gone.
export UCX_TCP_CM_REUSEADDR=y

if ! absent=$("$bin/ringkernel" info | awk '/^ports/ { on = 1 } on && $1 == "ucx" { print $2; getline; print }'); then
	exit 1
fi
case $absent in
yes*) ;;
*)
	echo "ok 1 - rings over UCX # SKIP $(echo "$absent" | tail -n 1)"
	exit 0
	;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$root/tests/rdma/cases.sh"
cd "$work" || exit 1

numbered() { # a number for each line of TAP
	while read -r line; do
		case $line in
		"ok - "*) number=$((number + 1)) && echo "ok $number - ${line#ok - }" ;;
		"not ok - "*) number=$((number + 1)) && echo "not ok $number - ${line#not ok - }" ;;
		*) echo "$line" ;;
		esac
	done
}

rate_of() { # bytes: ucx_perftest's messages a second
	UCX_TLS=tcp ucx_perftest -p 13399 >/dev/null 2>&1 &
	server=$!
	sleep 0.5
	UCX_TLS=tcp timeout 30 ucx_perftest -p 13399 127.0.0.1 -t ucp_am_bw -s "$1" -n 300000 -f 2>/dev/null |
		awk 'NF >= 7 { rate = $NF } END { printf "%d\n", rate }'
	kill_hard $server
}

ucx_bars() {
	if ! command -v ucx_perftest >/dev/null; then
		echo "ok - bar of UCX # SKIP no ucx_perftest: apt-get install ucx-utils"
		return
	fi
	for _ in 1 2 3; do
		$peer recv "ucx:$me:7022" count=1000000 ms=20000 >r.log 2>&1 &
		other=$!
		sleep 0.3
		$peer send "ucx:$me:7022" count=1000000 ms=20000 >s.log 2>&1
		wait $other
		sed -n 's/.*, \([0-9]*\)\/s.*/\1/p' r.log >>ours.rate
		rate_of 64 >>theirs.rate
	done
	c=$(median ours.rate) d=$(median theirs.rate)
	echo "bench messages of 64 bytes over UCX, TCP, loopback: ours $c/s ($(paste -sd' ' ours.rate)), ucx_perftest ucp_am_bw $d/s ($(paste -sd' ' theirs.rate))"
	bar ucx-rate-vs-ucx_perftest $((c * 1000 / (d + 1))) ">=0.9" 900 above
}

if [ "${1:-}" = bars ]; then
	ucx_bars
	exit
fi
{
	both_ways
	back_pressure
	kill_consumer
	kill_producer
	[ $failed = 0 ] || touch failed
} >all.txt 2>&1
numbered <all.txt
[ ! -e failed ]
