#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The main job: a market-data feed becomes order books. Usage:
#
#	sh examples/market-data.sh RINGKERNEL OUTDIR [CAPTURE]
#
# Without CAPTURE a feed is generated: MDP 3.0 on feeds A and B, with bursts, and on each feed some
# packets lost and some late, so that the arbitration of the two has something to do. It is sent
# as UDP multicast over loopback at its own pace and received through rings and the mdp3_book
# actor; what the actor found is compared with what the generator knows. With CAPTURE the same
# is done with that file at an even pace: the first two destinations in it count as feeds A and B,
# any further ones are dropped and counted. At the end the file is replayed straight into the
# actor, as fast as it goes, all on one core.
set -eu

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
	echo "usage: sh $0 RINGKERNEL OUTDIR [CAPTURE]" >&2
	exit 2
fi
ringkernel=$1
out=$2
capture=${3:-}
mkdir -p "$out"

# Administratively scoped groups, on loopback only: nothing leaves this machine.
feed_a=239.255.31.64:14340
feed_b=239.255.32.64:15340
seed=1
packets=150000
rate=30000
repeats=5

# What this build lacks is left out, and said.
has()
{
	"$ringkernel" info | grep -q "^  $1 *yes" && return
	echo "without $1: no $2"
	return 1
}

heading()
{
	printf '\n== %s\n\n' "$*"
}

# Without the right to a large socket buffer, a pace at which a small one is enough.
receive_limit=$(cat /proc/sys/net/core/rmem_max 2>/dev/null || echo 0)
if [ "$(id -u)" != 0 ] && [ "$receive_limit" -lt 33554432 ]; then
	packets=20000
	rate=5000
fi

if [ -n "$capture" ]; then
	pace="rate=20000"
	verify=
	books=all
	arguments=
	end_a=idle=3000
	end_b=idle=3000
else
	capture=$out/feed.pcap
	pace="speed=1"
	truth=
	verify=
	books=10
	if has jansson "comparison with what the generator knows"; then
		truth="truth $out/truth.json"
		verify="verify $out/truth.json"
	fi
	# The generator's first packet is 1. Holes are judged by the window alone, never by time, so
	# that a busy machine finds the same gaps.
	arguments=,first_sequence=1,window_packets=256,gap_ns=1000000000
	heading "feed: $packets packets on each of two feeds, some lost, some late (seed $seed)"
	# shellcheck disable=SC2086 # the words of $truth are words
	"$ringkernel" gen seed="$seed" packets="$packets" rate="$rate" burst_ratio=5 \
		loss_a=0.002 loss_b=0.003 loss_both=0.00005 loss_run=3 \
		reorder=0.002 reorder_packets=8 lag_b=3 \
		to "$capture" $truth | tee "$out/feed.txt"
	# Each feed has come to its end when all that was delivered is in. If something is lost on the
	# way, the silence tells.
	end_a=count=$(sed -n 's/^feed A  delivered \([0-9]*\).*/\1/p' "$out/feed.txt"),idle=10000
	end_b=count=$(sed -n 's/^feed B  delivered \([0-9]*\).*/\1/p' "$out/feed.txt"),idle=10000
fi
log=
if has zlib "latency log"; then
	log="log $out/latency.hlog"
fi
# In a port's name a comma would begin an option.
port="pcap:$(printf %s "$capture" | sed 's/[,\\]/\\&/g')"

heading "books: multicast $feed_a and $feed_b on loopback, through rings and an actor"
# Pipeline 1 sends, on worker 0; pipeline 2 receives, all on worker 1.
# shellcheck disable=SC2086 # the words of $verify and $log are words
"$ringkernel" run workers 2 books $books $verify $log \
	hgrm "$out/latency.hgrm" plot "$out/latency.svg" \
	from "$port,$pace" on 0 \
	to "udp:$feed_a,feeds=$feed_b,iface=lo,stamp" on 0 -- \
	from "udp:$feed_a,iface=lo,stamp,$end_a" on 1 \
	from "udp:$feed_b,iface=lo,stamp,$end_b" on 1 \
	actor "mdp3_book$arguments" on 1 to null: on 1

heading "throughput: the same file straight into the actor, one core, $repeats times"
i=0
while [ $i -lt $repeats ]; do
	# shellcheck disable=SC2086
	"$ringkernel" -q run workers 1 books 0 $verify from "$port" \
		actor "mdp3_book$arguments" to null: >"$out/throughput.$i.txt"
	sed -n '/^in .* messages in,/p' "$out/throughput.$i.txt"
	i=$((i + 1))
done
sed -n 's/.* \([0-9]*\)\/s per core$/\1/p' "$out"/throughput.*.txt | sort -n |
	sed -n "$((repeats / 2 + 1))s/\$/ messages per second per core (median)/p"
