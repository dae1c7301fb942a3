#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A real capture of the exchange's feeds through the `ringkernel` command: what it finds must be what
# an independent decoder found, replayed straight into the actor and over UDP. The capture is not
# part of this tree: RK_CAPTURES names the directory where it lies.
set -u

here=$(dirname "$0")
# shellcheck source=tests/tool_aid.inc
. "$here/tool_aid.inc"

capture=$(realpath -m "${RK_CAPTURES:-$here/../../shared/data}")/cme_mdp3_sbe_ab.pcap
if [ ! -r "$capture" ]; then
	echo "1..0 # SKIP no $capture: RK_CAPTURES names its directory"
	exit 77
fi
if ! have_jansson || ! have_python || ! grep -q 'RK_HAVE_PCAP 1' "$B/config.h"; then
	echo "1..0 # SKIP jansson, libpcap or python3 is not installed"
	exit 77
fi

# What the other decoder says. Without a gap, every value is compared.
cat >"$work/truth.json" <<'END'
{
	"packets": 10000, "unique": 5000, "duplicates": 5000, "malformed": 0,
	"missing_packets": 0, "gaps": [],
	"messages": 10273,
	"templates": {"12": 9, "32": 9569, "35": 307, "37": 194, "42": 194},
	"entries": 14574, "securities": 85,
	"best": {
		"34108": {"bid": [-297500000, 1, 1], "offer": [-292500000, 28, 5]},
		"34661": {"bid": [-317500000, 97, 3], "offer": [-312500000, 42, 7]},
		"49453": {"bid": [-460000000, 14, 1], "offer": [-452500000, 51, 8]}
	}
}
END

# What each way through must find; the pipeline with the actor is the last one.
nothing_dropped='all(not any(part["dropped"].values()) for p in d["pipelines"]
	for part in p["from"] + p["actors"] + [p["to"]])'

judge_report()
{
	judge "$1: exit status 0" [ "$status" = 0 ]
	judge "$1: all that the other decoder found" json_holds "$work/out" '
d["verify"]["differences"] == 0 and d["verify"]["not_proven"] == 0 and
d["verify"]["compared"] == 21'
	judge "$1: no drop" json_holds "$work/out" "$nothing_dropped"
	judge "$1: conserved" json_holds "$work/out" 'd["conserved"]'
	judge "$1: the books that were asked for" json_holds "$work/out" '
[(b["security"], b["bid"]["price"], b["offer"]["price"], b["bid"]["stale"])
 for b in d["pipelines"][-1]["books"]] ==
[(34108, "-29.75", "-29.25", False), (34661, "-31.75", "-31.25", False),
 (49453, "-46.00", "-45.25", False)]'
}

books=34108,34661,49453
run -j run verify "$work/truth.json" books $books from "pcap:$capture" actor mdp3_book to null:
judge_report "straight"
run -j run workers 1 slots 64 verify "$work/truth.json" books $books \
	from "pcap:$capture,feeds=224.0.31.64:14340+224.0.32.64:15340" \
	actor mdp3_book to "pcap:$work/books.pcap"
judge_report "feeds named, one worker, short rings, recorded"

a=239.255.78.1:17101
b=239.255.78.2:17102
run run duration 0.1 from "udp:$a,iface=lo" to null:
if [ "$status" != 0 ]; then
	skip "over UDP" "no multicast on lo: $(cat "$work/err")"
	finish
fi
# Each feed ends when all of it is in; silence ends it only where something was lost.
run -j run workers 2 verify "$work/truth.json" books $books \
	from "pcap:$capture,rate=20000" to "udp:$a,feeds=$b,iface=lo,stamp" -- \
	from "udp:$a,iface=lo,stamp,count=5000,idle=10000" on 1 \
	from "udp:$b,iface=lo,stamp,count=5000,idle=10000" on 1 \
	actor mdp3_book on 1 to null: on 1
judge_report "over UDP"

run_example()
{
	status=0
	timeout 300 sh "$here/../examples/market-data.sh" "$ringkernel" "$work/run" "$@" \
		>"$work/out" 2>"$work/err" || status=$?
}

run_example "$capture"
judge "the main job with the capture" [ "$status" = 0 ]
judge "the main job with the capture: counts" grep -q \
	'packets 10000  unique 5000  duplicates_a [0-9]*  duplicates_b [0-9]*' "$work/out"
judge "the main job with the capture: throughput" \
	grep -Eq '^[1-9][0-9]* messages per second per core' "$work/out"
run_example
judge "the main job with a generated feed: as the generator knows it" \
	grep -q ' values compared, 0 differ' "$work/out"
judge "the main job with a generated feed: exit status 0" [ "$status" = 0 ]
finish
