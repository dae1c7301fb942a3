#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Port dpdk and l2fwd-gpu against peers in processes of their own: traffic (tests/dpdk/traffic.c),
# dpdk-testpmd, the kernel. Over memif, tap, a capture file, and a veth pair between two network
# namespaces. Peers are killed, links go down, actors stop: what was accepted is accounted for, and
# every mbuf is back. FRAMES=n sets the length of the longest run. RK_ON='on gpu' runs all actors on
# the first GPU.
set -u
B=${B:-build}
FRAMES=${FRAMES:-200000}
LIMIT=${LIMIT:-90} # seconds for them
on=${RK_ON:-}
rk=$B/ringkernel l2fwd=$B/examples/l2fwd-gpu traffic=$B/release/tests/dpdk/traffic
number=0 status=0 pids='' gpu=${on:+--gpu 0}

if ! grep -q 'RK_HAVE_DPDK 1' "$B/config.h"; then
	echo "dpdk_peers: built without libdpdk: apt-get install libdpdk-dev dpdk"
	exit 77
fi
if ! grep -q 'RK_HAVE_PCAP 1' "$B/config.h" || ! grep -q 'RK_HAVE_JANSSON 1' "$B/config.h"; then
	echo "dpdk_peers: built without libpcap or jansson: apt-get install libpcap-dev libjansson-dev"
	exit 77
fi
work=$(mktemp -d) || exit 1
net_a=rk-a-$$ net_b=rk-b-$$

cleanup() {
	for pid in $pids; do
		kill -9 "$pid" 2>/dev/null
	done
	ip netns del "$net_a" 2>/dev/null
	ip netns del "$net_b" 2>/dev/null
	rm -rf "$work" "/var/run/dpdk/rkh$$"
}
trap cleanup EXIT

verdict() { # status text
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		for file in "$work"/*.log; do
			sed "s|^|# ${file##*/}: |" "$file" | tail -n 25
		done
		status=1
	fi
}
skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
has() { # text log: a line with all of it
	grep -q -E -- "$1" "$work/$2.log"
}
start() { # log command...: in the background; its id is in $pid
	log=$work/$1.log
	shift
	: >"$log" # now: of an earlier one nothing is to be read there
	timeout -s KILL $((LIMIT + 60)) "$@" >"$log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
}
child_of() { # pid: of the one child that timeout has
	cat "/proc/$1/task/$1/children" 2>/dev/null || ps -o pid= --ppid "$1"
}
end() { # pid: asks it to end, waits; its exit status
	# timeout passes the signal on.
	kill -TERM "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}
wait_for() { # file: some seconds, until it is there
	for _ in $(seq 100); do
		[ -e "$1" ] && return 0
		sleep 0.05
	done
	return 1
}
number_of() { # name of a JSON path in a report, as python
	python3 -c "import json,sys; d=json.load(open('$work/$2.log')); print($1)" 2>/dev/null
}

eal="--no-huge -m 64 --no-pci --no-shconf --no-telemetry --log-level=error"
memif() { # role name: as EAL takes it
	echo "net_memif0,role=$1,socket=$work/$2,socket-abstract=no"
}
port() { # devargs options: as a URI
	echo "dpdk:$(echo "$1" | sed 's/,/\\,/g')$2"
}

# The memif driver of DPDK 22.11 has two faults that are no business of these tests: it corrupts its
# pool where a frame takes several buffers, so they have 16 KiB; and when a peer goes, its thread for
# interrupts unmaps the rings that rte_eth_rx_burst() may be reading on an lcore (SIGSEGV in eth_memif_rx;
# 2 of 60 kills). So whoever is served first ends last, and where a peer is killed, a server that this
# crashed has another try.

# --- Every frame comes back, whole and in order; a peer killed in the middle; no mbuf is lost ---

serve() { # name argument...: l2fwd-gpu on a memif of that name
	name=$1
	shift
	rm -f "$work/$name"
	# shellcheck disable=SC2086 # lists of arguments
	start server $l2fwd -l 0 $eal --vdev "$(memif server "$name"),bsize=16384" -- \
		-p 1 -T 0 --no-mac-updating $gpu "$@"
	server=$pid
	# The socket is there before the port is: who comes in between is sent away, and never comes again.
	for _ in $(seq 400); do
		has 'ports are served' server && return
		sleep 0.05
	done
}
exchange() { # name count longest: sends, expects all back; the device stays open until let_go
	rm -f "$work/fifo" && mkfifo "$work/fifo"
	# shellcheck disable=SC2086
	timeout -s KILL "$LIMIT" $traffic -l 1 $eal --vdev "$(memif client "$1")$4" -- "$2" "$3" \
		>"$work/traffic.log" 2>&1 <"$work/fifo" &
	client=$!
	pids="$pids $client"
	exec 9>"$work/fifo"
	while kill -0 "$client" 2>/dev/null && ! has 'not returned' traffic; do
		sleep 0.1
	done
}
let_go() { # closes the peer's device; its exit status
	exec 9>&-
	wait "$client"
}
cat >"$work/conserved.py" <<'END'
import re, sys
text = open(sys.argv[1]).read()
n = lambda name: int((re.findall(name + r':? +(\d+)', text) or [0])[0])
received, sent, dropped = n('Packets received'), n('Packets sent'), n('Packets dropped')
assert received == n('queue ipackets') + n('queue ierrors'), text
assert n('queue ipackets') == n('queue opackets') + n('queue tx_dropped_packets'), text
assert n('actor frames') == n('actor forwarded') + n('actor dropped'), text
assert n('queue opackets') == sent + dropped, text
assert n('queue rx_reference_packets') > 0 and n('queue rx_copied_packets') > 0, text
assert 'mbufs not returned: 0' in text, text
END

for ways in '' --heads; do
	# shellcheck disable=SC2086
	serve a $ways
	exchange a "$FRAMES" 1500 ,bsize=16384
	end "$server"
	result=$?
	let_go && [ $result = 0 ] && has "frames $FRAMES back $FRAMES wrong 0" traffic &&
		has 'not returned: 0' traffic && has 'not returned: 0' server &&
		has "queue opackets +$FRAMES" server
	verdict $? "memif: $FRAMES frames of 60 to 1500 bytes through l2fwd-gpu $ways and back"
done

for _ in 1 2 3; do
	serve v
	# shellcheck disable=SC2086
	start victim $traffic -l 1 $eal --vdev "$(memif client v),bsize=16384" -- 100000000
	sleep 1
	kill -9 "$(child_of "$pid" | tr -d ' ')" 2>/dev/null
	wait "$pid" 2>/dev/null
	exchange v 20000 9000 ,bsize=16384
	end "$server"
	result=$?
	let_go
	served=$?
	[ $result = 139 ] || break
	echo "# the memif driver crashed when its peer went"
done
[ $served = 0 ] && has 'frames 20000 back 20000 wrong 0' traffic
verdict $? "memif: a peer killed in the middle; the next one is served, frames up to 9000 bytes"
[ $result = 0 ] && python3 "$work/conserved.py" "$work/server.log" 2>>"$work/server.log"
verdict $? "l2fwd-gpu: received = given to actors = came back = sent + dropped; every mbuf is back"

# --- The same by URI, with echo: what goes by reference goes from one port to another ---

start server $rk -j run workers 1 from "$(port "$(memif server b)" ,frames)" actor echo $on \
	to "$(port "$(memif server b)" '')"
server=$pid
wait_for "$work/b"
exchange b 50000 1500 ''
end "$server"
let_go && [ "$(number_of 'd["conserved"]' server)" = True ] &&
	[ "$(number_of 'd["pipelines"][0]["to"]["messages"]' server)" = 50000 ]
verdict $? "memif: 50000 frames through port, echo, port and back"

# --- Market data: the books that the feed's maker knows, by every way in ---

feed=$work/feed.pcap truth=$work/truth.json
$rk gen packets=5000 loss_a=0.02 loss_b=0.02 loss_both=0.002 reorder=0.02 to "$feed" truth "$truth" \
	>"$work/gen.log" 2>&1
verdict $? "a feed with losses on A, on B and on both"
sent=$($rk -j run from "pcap:$feed" to null: 2>/dev/null |
	python3 -c 'import json,sys; print(json.load(sys.stdin)["pipelines"][0]["to"]["messages"])')
feeds=,feeds=$($rk -j run from "pcap:$feed" to null: >/dev/null; tshark -r "$feed" -T fields -e ip.dst \
	-e udp.dstport 2>/dev/null | awk '!seen[$0]++ { printf "%s%s:%s", n++ ? "+" : "", $1, $2 }')
case $feeds in
*+*) ;;
*) feeds=,feeds=224.0.31.64:14340+224.0.32.64:15340 ;; # without tshark
esac

book="actor mdp3_book,first_sequence=1,window_packets=256,gap_ns=1000000000 $on"
# shellcheck disable=SC2086
$rk run verify "$truth" from "$(port "net_pcap0,rx_pcap=$feed" "$feeds,idle=300,hwtime")" \
	$book to null: >"$work/books.log" 2>&1
verdict $? "net_pcap: mdp3_book finds what the feed's maker wrote"

# shellcheck disable=SC2086
start books $rk run verify "$truth" from "$(port "$(memif server c)" "$feeds,verify,idle=1500")" $book to null:
books=$pid
wait_for "$work/c"
$rk run from "pcap:$feed,rate=20000" to "$(port "$(memif client c)" "$feeds")" >"$work/feed.log" 2>&1
wait "$books"
verdict $? "memif: sent by one process, mdp3_book in another finds what the feed's maker wrote"

capture=${RK_CAPTURES:-../../shared/data}/cme_mdp3_sbe_ab.pcap
if [ -r "$capture" ]; then
	cat >"$work/real.json" <<'END'
{
	"packets": 10000, "unique": 5000, "duplicates": 5000, "malformed": 0,
	"missing_packets": 0, "gaps": [], "messages": 10273,
	"templates": {"12": 9, "32": 9569, "35": 307, "37": 194, "42": 194},
	"entries": 14574, "securities": 85,
	"best": {
		"34108": {"bid": [-297500000, 1, 1], "offer": [-292500000, 28, 5]},
		"34661": {"bid": [-317500000, 97, 3], "offer": [-312500000, 42, 7]},
		"49453": {"bid": [-460000000, 14, 1], "offer": [-452500000, 51, 8]}
	}
}
END
	real=,feeds=224.0.31.64:14340+224.0.32.64:15340
	start books $rk run verify "$work/real.json" \
		from "$(port "$(memif server d)" "$real,verify,idle=1500")" actor mdp3_book $on to null:
	books=$pid
	wait_for "$work/d"
	$rk run from "pcap:$capture,rate=20000" to "$(port "$(memif client d)" "$real")" >"$work/feed.log" 2>&1
	wait "$books"
	verdict $? "memif: the exchange's capture, the books of an independent decoder"
else
	skip "memif: the exchange's capture" "no $capture: RK_CAPTURES names its directory"
fi

# --- dpdk-testpmd as the peer ---

testpmd() { # mode seconds name options...: interactive; ends by itself
	mode=$1 seconds=$2 name=$3
	shift 3
	# shellcheck disable=SC2086
	(echo "set fwd $mode" && echo start && sleep "$seconds" && echo stop && echo "show port stats all" &&
		sleep 1 && echo quit) |
		timeout -s KILL 60 dpdk-testpmd -l 0-1 $eal --vdev "$(memif client "$name")" -- \
			-i --total-num-mbufs=8192 "$@" >"$work/testpmd.log" 2>&1
}
of_testpmd() { # RX or TX: packets of its port
	sed -n "s/^ *$1-packets: *\([0-9]*\).*/\1/p" "$work/testpmd.log" | tail -n 1
}

if command -v dpdk-testpmd >/dev/null; then
	start sink $rk -j run workers 1 from "$(port "$(memif server e)" ',frames,idle=2000')" \
		actor l2_forward $on to dpdk:net_null0
	sink=$pid
	wait_for "$work/e"
	testpmd txonly 1 e --txpkts=64
	wait "$sink"
	came=$(number_of 'd["pipelines"][0]["from"][0]["messages"]' sink)
	[ "${came:-0}" -gt 500 ] && [ "$came" = "$(of_testpmd TX)" ] &&
		[ "$(number_of 'd["pipelines"][0]["actors"][0]["counters"]["udp"]' sink)" = "$came" ] &&
		[ "$(number_of 'd["pipelines"][0]["to"]["messages"]' sink)" = "$came" ]
	verdict $? "testpmd txonly: all that it sent was received, parsed as UDP and forwarded (${came:-none})"

	start bounce $rk -j run workers 1 from "pcap:$feed,rate=5000" \
		to "$(port "$(memif server f)" "$feeds")" -- \
		from "$(port "$(memif server f)" ",frames,idle=2500")" actor l2_forward $on to null:
	bounce=$pid
	wait_for "$work/f"
	testpmd macswap 4 f
	wait "$bounce"
	came=$(number_of 'd["pipelines"][1]["actors"][0]["counters"]["udp"]' bounce)
	echo "sent $sent, testpmd $(of_testpmd RX) and $(of_testpmd TX), came $came" >"$work/sum.log"
	[ "$(number_of 'd["conserved"]' bounce)" = True ] && [ "$(of_testpmd RX)" = "$sent" ] &&
		[ "$came" = "$(of_testpmd TX)" ] && [ "$came" -gt 1000 ]
	verdict $? "testpmd macswap: all that it sent back came, with both checksums right"
else
	skip "testpmd txonly" "dpdk-testpmd is not installed (apt-get install dpdk)"
	skip "testpmd macswap" "dpdk-testpmd is not installed (apt-get install dpdk)"
fi

# --- The kernel as the peer: a tap, and a veth pair between two network namespaces ---

if [ "$(id -u)" = 0 ] && ip tuntap add dev "rk-t-$$" mode tap 2>/dev/null; then
	ip link del "rk-t-$$"
	tap=rkt$$
	# shellcheck disable=SC2086
	start books $rk run verify "$truth" from "$(port "net_tap0,iface=$tap" "$feeds,idle=1500")" $book to null:
	books=$pid
	# The driver brings it up when its queues are there. Nobody takes from them before the actor is:
	# on a busy GPU that takes seconds, so the kernel is to hold the whole feed.
	for _ in $(seq 200); do
		[ -n "$(ip -o link show "$tap" up 2>/dev/null)" ] && break
		sleep 0.05
	done
	ip link set "$tap" txqueuelen 20000 && ip addr add 192.0.2.77/24 dev "$tap" && sleep 0.3
	$rk run from "pcap:$feed,rate=10000" \
		to "udp:$(echo "${feeds#,feeds=}" | sed 's/+/,feeds=/'),iface=$tap" >"$work/feed.log" 2>&1
	wait "$books"
	verdict $? "net_tap: datagrams of the kernel's stack, mdp3_book finds what the feed's maker wrote"
else
	skip "net_tap" "needs root and /dev/net/tun"
fi

if [ "$(id -u)" = 0 ] && ip netns add "$net_a" 2>/dev/null && ip netns add "$net_b" &&
	ip link add rkv0 netns "$net_a" type veth peer name rkv1 netns "$net_b" 2>/dev/null; then
	ip -n "$net_a" link set rkv0 up
	ip -n "$net_b" link set rkv1 up
	# shellcheck disable=SC2086
	start books ip netns exec "$net_b" $rk run verify "$truth" \
		from "$(port net_af_packet0,iface=rkv1,framecnt=16384,blocksz=1048576,framesz=2048 "$feeds,verify,idle=2000")" $book to null:
	books=$pid
	# Its socket is there; what comes before the actor is, the kernel holds.
	for _ in $(seq 200); do
		[ "$(ip netns exec "$net_b" cat /proc/net/packet | wc -l)" -gt 1 ] && break
		sleep 0.05
	done
	sleep 0.3
	ip netns exec "$net_a" $rk run from "pcap:$feed,rate=5000" \
		to "$(port net_af_packet0,iface=rkv0 "$feeds")" >"$work/feed.log" 2>&1
	wait "$books"
	verdict $? "af_packet over veth between namespaces: mdp3_book finds what the feed's maker wrote"

	# The same with the kernel's own way past itself, where the kernel has it.
	# shellcheck disable=SC2086
	start books ip netns exec "$net_b" $rk run verify "$truth" \
		from "$(port net_af_xdp0,iface=rkv1 "$feeds,verify,idle=2000")" $book to null:
	books=$pid
	sleep 1
	if kill -0 "$books" 2>/dev/null && ! has 'rk: |ringkernel: ' books; then
		ip netns exec "$net_a" $rk run from "pcap:$feed,rate=5000" \
			to "$(port net_af_packet0,iface=rkv0 "$feeds")" >"$work/feed.log" 2>&1
		wait "$books"
		verdict $? "af_xdp over veth: mdp3_book finds what the feed's maker wrote"
	else
		skip "af_xdp over veth" "$(tail -n 1 "$work/books.log")"
	fi

	received() { # by the kernel at the far end
		ip -n "$net_b" -s -j link show rkv1 |
			python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["stats64"]["rx"]["packets"])'
	}
	# The link goes down for half a second and comes back: what got through is accounted for.
	start sink ip netns exec "$net_b" $rk -j run \
		from "$(port net_af_packet0,iface=rkv1 "$feeds,idle=2500")" actor count $on to null:
	sink=$pid
	sleep 1
	base=$(received)
	start feed ip netns exec "$net_a" $rk -j run from "pcap:$feed,rate=3000" \
		to "$(port net_af_packet0,iface=rkv0 "$feeds")"
	source=$pid
	sleep 0.7
	ip -n "$net_b" link set rkv1 down
	sleep 0.5
	before=$(($(received) - base))
	ip -n "$net_b" link set rkv1 up
	wait "$source" 2>/dev/null
	wait "$sink"
	came=$(number_of 'd["pipelines"][0]["from"][0]["messages"]' sink)
	echo "sent $sent, before $before, came $came" >"$work/sum.log"
	[ "$(number_of 'd["conserved"]' sink)" = True ] && [ "${came:-0}" -gt "$before" ] &&
		[ "$came" -lt "$sent" ]
	verdict $? "af_packet: the link down for half a second: resumed, accounted for ($came of $sent)"
else
	skip "af_xdp over veth" "needs root, network namespaces and veth"
	skip "af_packet over veth" "needs root, network namespaces and veth"
	skip "af_packet, the link down" "needs root, network namespaces and veth"
fi

# --- Telemetry ---

if command -v dpdk-telemetry.py >/dev/null; then
	start server $rk run workers 1 from "$(port net_null0,size=64 ,frames)" actor echo $on to dpdk:net_null1
	server=$pid
	sleep 0.5 # for timeout to start it
	child=$(child_of "$pid" | tr -d ' ')
	wait_for "/var/run/dpdk/ringkernel-$child/dpdk_telemetry.v2"
	sleep 0.5
	for command in /ringkernel/info /ringkernel/queues /ringkernel/pools /ringkernel/stats,port0:0 \
		/ringkernel/stats,port1:0:out /ringkernel/latency,port0:0 /ringkernel/stats,none; do
		echo $command
	done | timeout 20 dpdk-telemetry.py -f "ringkernel-$child" >"$work/telemetry.log" 2>&1
	end "$server"
	has '"version"' telemetry && has '"port1:0:out"' telemetry && has '"ipackets": [1-9]' telemetry &&
		has '"opackets": [1-9]' telemetry && has '"rx_to_actor_p50_ns": [1-9]' telemetry &&
		has '"in_use"' telemetry && [ ! -e "/var/run/dpdk/ringkernel-$child" ]
	verdict $? "rte_telemetry answers under /ringkernel"
else
	skip "rte_telemetry" "dpdk-telemetry.py is not installed (apt-get install dpdk)"
fi

# --- With huge pages ---

pages=/proc/sys/vm/nr_hugepages
had=$(cat $pages)
if [ "$(id -u)" = 0 ] && echo $((had + 160)) >$pages 2>/dev/null && [ "$(cat $pages)" -ge 128 ] &&
	mkdir "$work/huge" && mount -t hugetlbfs none "$work/huge" 2>/dev/null; then
	start server $rk run workers 1 from "$(port net_null0,size=600 \
		",frames,count=300000,eal=-l 0 --no-pci -m 64 --huge-dir $work/huge --file-prefix rkh$$ --log-level error")" \
		actor echo $on to dpdk:net_null1
	wait "$pid"
	result=$?
	umount "$work/huge"
	[ $result = 0 ] && ! has '4 KiB pages' server
	verdict $? "huge pages: 300000 frames by reference"
	echo "$had" >$pages
else
	echo "$had" >$pages 2>/dev/null
	skip "huge pages" "none can be reserved here"
fi

exit $status
