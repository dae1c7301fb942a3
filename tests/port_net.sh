#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Sockets between two network namespaces joined by a veth pair: multicast feeds into books, streams
# that outlive a link that is down, peers that are killed. What was sent = what was received + what
# was dropped by reason. Prints how many system calls a steady run makes.
set -u

here=$(dirname "$0")
# shellcheck source=tests/tool_aid.inc
. "$here/tool_aid.inc"

if ! have_jansson || ! have_python || ! grep -q 'RK_HAVE_PCAP 1' "$B/config.h"; then
	echo "1..0 # SKIP jansson, libpcap or python3 is not installed"
	exit 77
fi
a=rka$$ b=rkb$$
if [ "$(id -u)" != 0 ] || ! ip netns add $a 2>/dev/null; then
	echo "1..0 # SKIP network namespaces need root and CAP_SYS_ADMIN"
	exit 77
fi
ip netns add $b
trap 'ip netns del $a; ip netns del $b; rm -rf "$work"' EXIT
if ! ip link add va$$ netns $a type veth peer name vb$$ netns $b 2>/dev/null; then
	echo "1..0 # SKIP no veth: modprobe veth"
	exit 77
fi
ip -n $a link set va$$ name veth0
ip -n $b link set vb$$ name veth0
ip -n $a addr add 10.77.0.1/24 dev veth0
ip -n $b addr add 10.77.0.2/24 dev veth0
for name in $a $b; do
	ip -n $name link set lo up
	ip -n $name link set veth0 up
done

in_a() # OUTPUT WORDS...: ringkernel -j in the sending namespace
{
	output=$1
	shift
	ip netns exec $a timeout 60 "$ringkernel" -j "$@" >"$work/$output" 2>"$work/$output.err" </dev/null
}
in_b()
{
	output=$1
	shift
	ip netns exec $b timeout 60 "$ringkernel" -j "$@" >"$work/$output" 2>"$work/$output.err" </dev/null
}
# Nothing begins before it can: each waits for what it needs, for a minute at most.
await() # CONDITION...
{
	looks=0
	until "$@" || [ $looks -ge 600 ]; do
		sleep 0.1
		looks=$((looks + 1))
	done
}
is_bound() # t|u PORT, in the receiving namespace
{
	[ -n "$(ip netns exec $b ss -Hln"$1" "sport = :$2")" ]
}
has_joined() # GROUP
{
	ip -n $b maddr show dev veth0 | grep -qF "$1"
}
came() # bytes so far
{
	ip netns exec $b cat /sys/class/net/veth0/statistics/rx_bytes
}
have_come() # BYTES since $before
{
	[ $(($(came) - before)) -ge "$1" ]
}
has_bytes() # BYTES FILE
{
	[ "$(stat -c %s "$2" 2>/dev/null || echo 0)" -ge "$1" ]
}
ends_in() # LAST FILE
{
	tail -c 1000 "$2" | cmp -s - "$1"
}
is_refused() # a send found no way out of the sending namespace
{
	ip netns exec $a nstat -asz IpOutNoRoutes | grep -q 'IpOutNoRoutes *[1-9]'
}
# To ringkernel alone: timeout passes on what it gets, and a second signal kills without a report.
signal_in() # NAMESPACE SIGNAL
{
	for pid in $(ip netns pids "$1"); do
		! grep -qx ringkernel "/proc/$pid/comm" || kill -s "$2" "$pid"
	done
}
# An expression over the sender's report s and the receiver's r.
both_hold()
{
	python3 -c '
import json, sys
s, r = (json.load(open(name)) for name in sys.argv[1:3])
def drops(part): return sum(part["dropped"].values())
def inputs(report): return report["pipelines"][0]["from"]
def output(report): return report["pipelines"][0]["to"]
if not eval("(" + sys.argv[3] + ")"):
	sys.exit("false: " + sys.argv[3])
' "$work/sent" "$work/received" "$1"
}

# --- A/B multicast over the pair, joined by interface, into books ---

"$ringkernel" gen packets=20000 loss_a=0.02 loss_b=0.02 to "$work/feed.pcap" truth "$work/truth.json" \
	>/dev/null 2>&1
in_b received run verify "$work/truth.json" \
	from udp:239.77.0.1:7001,feeds=239.77.0.2:7002,iface=veth0,stamp,idle=1500 \
	actor mdp3_book,window_packets=256,first_sequence=1,gap_ns=1000000000 to null: &
await has_joined 239.77.0.2
in_a sent run from "pcap:$work/feed.pcap,rate=20000" \
	to udp:239.77.0.1:7001,feeds=239.77.0.2:7002,iface=veth0,stamp
wait $!
cp "$work/received" "$work/out"
judge "multicast A/B: the books are what the generator knows" json_holds "$work/received" \
	'd["verify"]["differences"] == 0 and d["conserved"]'
judge "multicast A/B: sent = received + dropped" both_hold \
	'output(s)["messages"] == sum(i["messages"] + drops(i) for i in inputs(r)) and
	 drops(output(s)) == 0'

# --- A link slower than its sender: the socket fills, and nothing is lost or doubled ---

if ip netns exec $a tc qdisc add dev veth0 root tbf rate 40mbit burst 20k limit 10m 2>/dev/null; then
	in_b received run from udp:10.77.0.2:7008,idle=1500 to "file:$work/slow" &
	receiver=$!
	await is_bound u 7008
	in_a sent run from "pcap:$work/feed.pcap,speed=max" to udp:10.77.0.2:7008,sndbuf=40000
	wait $receiver
	ip netns exec $a tc qdisc del dev veth0 root
	run run from "pcap:$work/feed.pcap,speed=max" to "file:$work/fast"
	judge "udp, a slow link: the sender was held back" both_hold \
		'inputs(s)[0]["ring_full"] > 0 and drops(output(s)) == 0'
	judge "udp, a slow link: every byte arrived, in order" cmp "$work/slow" "$work/fast"
else
	skip "udp, a slow link" "no tbf: modprobe sch_tbf"
fi

# --- The link goes down and comes up ---

in_b received run from udp:10.77.0.2:7003,idle=1500 to null: &
receiver=$!
await is_bound u 7003
before=$(came)
in_a sent run from "pcap:$work/feed.pcap,rate=10000" to udp:10.77.0.2:7003 &
sender=$!
await have_come 100000
ip -n $a link set veth0 down
await is_refused
ip -n $a link set veth0 up
wait $sender
wait $receiver
judge "udp, link down: what the kernel refused is counted" both_hold \
	'output(s)["dropped"]["refused"] > 0 and s["conserved"] and r["conserved"]'
judge "udp, link down: what was sent later came" both_hold \
	'inputs(r)[0]["messages"] + output(s)["dropped"]["refused"] > 0.99 * inputs(s)[0]["messages"]'

run -j run from "pcap:$work/feed.pcap" to "file:$work/bytes"
datagrams=$(python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))["messages"])' "$work/out")
in_b received run from "tcp:10.77.0.2:7004,listen,frame=4,count=$datagrams" to "file:$work/copy" &
receiver=$!
await is_bound t 7004
before=$(came)
in_a sent run from "pcap:$work/feed.pcap,rate=20000" to tcp:10.77.0.2:7004,frame=4 &
sender=$!
await have_come 100000
for _ in 1 2 3; do
	ip -n $a link set veth0 down
	sleep 0.2
	ip -n $a link set veth0 up
	sleep 0.3
done
wait $sender
wait $receiver
cp "$work/received.err" "$work/err"
judge "tcp, link down three times: every byte arrived" cmp "$work/bytes" "$work/copy"
judge "tcp, link down three times: sent = received" both_hold \
	'output(s)["messages"] == inputs(r)[0]["messages"] == '"$datagrams"' and
	 drops(output(s)) == 0 and drops(inputs(r)[0]) == 0'

# --- Peers that are killed ---

head -c 30000000 /dev/urandom >"$work/bytes"
in_b received run from tcp:10.77.0.2:7005,listen,frame=4 to null: &
receiver=$!
await is_bound t 7005
before=$(came)
in_a sent run from "file:$work/bytes,block=1000,loops=100" to tcp:10.77.0.2:7005,frame=4 &
sender=$!
await have_come 1000000
signal_in $b KILL
status=0
wait $sender || status=$?
wait $receiver 2>/dev/null
cp "$work/sent.err" "$work/err"
judge "tcp, the receiver is killed: the sender fails and says why" \
	sh -c "[ $status = 1 ] && grep -q 'the receiver is gone' $work/sent.err"

in_b received run from tcp:10.77.0.2:7006,listen,frame=4 to "file:$work/tail" &
receiver=$!
await is_bound t 7006
in_a sent run from "file:$work/bytes,block=1000,loops=100" to tcp:10.77.0.2:7006,frame=4 &
sender=$!
await has_bytes 1000000 "$work/tail"
signal_in $a KILL
wait $sender 2>/dev/null
in_a sent run from "file:$work/bytes,block=1000,bytes=1000000" to tcp:10.77.0.2:7006,frame=4
head -c 1000000 "$work/bytes" | tail -c 1000 >"$work/last"
await ends_in "$work/last" "$work/tail"
signal_in $b INT
wait $receiver
judge "tcp, the sender is killed: the receiver goes on with the next" both_hold \
	'r["conserved"] and inputs(r)[0]["messages"] >= 1000 and
	 inputs(r)[0]["dropped"]["truncated"] <= 1'

# --- System calls of a steady run ---

if command -v strace >/dev/null; then
	ip netns exec $b timeout 60 strace -f -c -o "$work/calls" "$ringkernel" -j \
		run from udp:10.77.0.2:7007,idle=1000 to null: >"$work/received" 2>"$work/err" </dev/null &
	receiver=$!
	await is_bound u 7007
	in_a sent run from "pcap:$work/feed.pcap,loops=10,rate=100000" to udp:10.77.0.2:7007
	wait $receiver
	for call in io_uring_enter recvmmsg read getsockopt sched_yield ppoll; do
		awk -v call=$call '$NF == call { n = $4 } END { if (n) printf "# %-16s %d\n", call, n }' \
			"$work/calls"
	done
	python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))["pipelines"][0]["from"][0]
print("# system calls of the port: %d for %d messages: %.1f per 1000" %
      (r["calls"], r["messages"], 1000 * r["calls"] / max(r["messages"], 1)))
' "$work/received"
	judge "steady udp: at most 0.5 system calls a message, whatever the pace" json_holds \
		"$work/received" \
		'(lambda i: i["messages"] > 0 and i["calls"] <= 0.5 * i["messages"])(
			d["pipelines"][0]["from"][0])'
else
	skip "system calls of a steady run" "strace is not installed"
fi
finish
