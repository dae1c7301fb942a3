#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The `ringkernel` command as its users meet it: words that make no sense, files that cannot be
# read, feeds that lose packets, signals and sudden deaths, and the examples of its manual page.
# shellcheck disable=SC2016 # $ within quotes is for an inner shell, or for the command's files
set -u

here=$(dirname "$0")
# shellcheck source=tests/tool_aid.inc
. "$here/tool_aid.inc"

if ! grep -q 'RK_HAVE_PCAP 1' "$B/config.h"; then
	echo "1..0 # SKIP built without libpcap: apt-get install libpcap-dev"
	exit 77
fi

# refuses CODE MESSAGE WORDS...: that exit status, and exactly that on standard error.
refuses()
{
	code=$1
	message=$2
	shift 2
	run "$@"
	printf '%s\n' "$message" >"$work/expected"
	judge "refuses: $*" sh -c '[ "$1" = "$2" ] && cmp "$3" "$4" && [ ! -s "$5" ]' - \
		"$status" "$code" "$work/expected" "$work/err" "$work/out"
}

# fails CODE PART WORDS...: that exit status, and PART within standard error.
fails()
{
	code=$1
	part=$2
	shift 2
	run "$@"
	judge "fails: $* ($part)" sh -c '[ "$1" = "$2" ] && grep -qF -e "$3" "$4"' - \
		"$status" "$code" "$part" "$work/err"
}

OPTIONS="workers, slots, duration, log, hgrm, plot, books, verify"
COMMANDS="run, gen, info, bench, snapshot, -j, -q, -V, -h"

test_grammar()
{
	refuses 2 "ringkernel: the words end too soon: expected one of $COMMANDS"
	refuses 2 "ringkernel: unknown word 'walk': expected one of $COMMANDS" walk
	refuses 2 "ringkernel: unknown word '-x': expected one of $COMMANDS" -x
	r="ringkernel: run:"
	refuses 2 "$r the words end too soon: expected one of from, $OPTIONS" run
	refuses 2 "$r unknown word 'x': expected one of from, $OPTIONS" run x
	refuses 2 "$r workers: a value is missing: write workers N" run workers
	refuses 2 "$r workers '0': give a whole number, 1 to 64" run workers 0
	refuses 2 "$r workers: given twice: once is enough" run workers 1 workers 1
	refuses 2 "$r slots '3': give a power of two, 2 to 2147483648" run slots 3
	refuses 2 "$r duration '1.x': give seconds above 0, with up to nine decimals" \
		run duration 1.x
	refuses 2 "$r plot 'a.gif': name a file that ends in .svg or .png" run plot a.gif
	refuses 2 "$r books '1,x': give up to 256 security ids with commas between, 'all', or how many to show, up to 1024" \
		run books 1,x
	refuses 2 "$r from: a value is missing: write from PORT" run from
	refuses 2 "$r the words end too soon: expected one of on, from, actor, to" run from a:
	refuses 2 "$r unknown word 'x': expected one of on, from, actor, to" run from a: x
	refuses 2 "$r on 'x': give a whole number, 0 to 63" run from a: on x
	refuses 2 "$r on 2: with workers 2 they are 0 to 1" run workers 2 from a: on 2 to b:
	refuses 2 "$r on: a value is missing: write on WORKER" run from a: actor echo on
	refuses 2 "$r on 'x': give a whole number, 0 to 63" run from a: actor echo on x to b:
	refuses 2 "$r on 'gpux': give gpu, or one of gpu0 to gpu15" run from a: actor echo on gpux
	refuses 2 "$r on 'gpu16': give gpu, or one of gpu0 to gpu15" run from a: actor echo on gpu16
	refuses 2 "$r on 'gpu': give a whole number, 0 to 63" run from a: on gpu to b:
	refuses 2 "$r unknown word 'grid': expected one of on, actor, to" \
		run from a: actor echo on gpu grid to b:
	refuses 2 "$r unknown word 'from': expected one of on, actor, to" \
		run from a: actor echo from b: to c:
	refuses 2 "$r actor 'x': not shipped: take one of echo, count, file_scan, mdp3_book, l2_forward, broadcast, partition, topic" \
		run from a: actor x to b:
	refuses 2 "$r actor 'echo': no argument 'x': it takes none" run from a: actor echo,x=1
	refuses 2 "$r actor 'mdp3_book': no argument 'x': it takes window_packets, gap_ns, first_sequence" \
		run from a: actor mdp3_book,x=1
	refuses 2 "$r actor 'mdp3_book': gap_ns: give a whole number: gap_ns=N" \
		run from a: actor mdp3_book,gap_ns=x
	refuses 2 "$r a pipeline without an actor takes one 'from': add an actor that joins them, or a pipeline for each" \
		run from a: from b: to c:
	refuses 2 "$r a pipeline without an actor is one worker's: 'on' 0 and 1" \
		run from a: on 0 to b: on 1
	refuses 2 "$r unknown word 'x': expected one of on, --" run from a: to b: x
	refuses 2 "$r the words end too soon: expected from" run from a: to b: --
	refuses 2 "$r verify: no pipeline has an mdp3_book actor to compare" \
		run verify x from a: to b:
	refuses 2 "$r port 'a:x': no kind of port: begin with one of pcap, udp, tcp, file, io, dpdk, verbs, ucx, null and a ':'" \
		run from a:x to null:
	refuses 1 "$r port 'null:': a null port is no input" run from null: to null:
	fails 2 "no option 'x' in this direction" run from pcap:x,x=1 to null:
	g="ringkernel: gen:"
	refuses 2 "$g the words end too soon: expected one of KEY=VALUE, to" gen
	refuses 2 "$g unknown word 'x': expected one of KEY=VALUE, to" gen x
	refuses 2 "$g to: a value is missing: write to FILE.pcap" gen to
	refuses 2 "$g unknown word 'y': expected truth" gen to x y
	fails 2 "gen option 'x': not known" gen x=1 to y
	fails 2 "gen option 'loss_a': '2': give a fraction" gen loss_a=2 to y
	refuses 2 "ringkernel: info: unknown word 'x': expected one of gpu, the end" info x
	refuses 2 "ringkernel: info: unknown word 'x': expected the end" info gpu x
	refuses 2 "ringkernel: snapshot: the words end too soon: expected FILE" snapshot
	refuses 2 "ringkernel: snapshot: unknown word 'y': expected the end" snapshot x y
	refuses 1 "ringkernel: snapshot: snapshot '/nowhere': open: No such file or directory" \
		snapshot /nowhere
}

test_help()
{
	for command in "" run gen info bench snapshot; do
		# shellcheck disable=SC2086
		run $command --help
		judge "--help of '$command' is on standard output" \
			sh -c '[ "$1" = 0 ] && grep -q "^usage: ringkernel .*$4" "$2" && [ ! -s "$3" ]' \
			- "$status" "$work/out" "$work/err" "$command"
	done
	run --version
	judge "--version" grep -Eqx 'ringkernel [0-9]+\.[0-9]+\.[0-9]+' "$work/out"
	status=0
	"$ringkernel" info >/dev/full 2>"$work/err" || status=$?
	judge "a report that cannot be written is a failure" [ "$status" = 1 ]
	cp "$ringkernel" "$work/alone"
	status=0
	"$work/alone" bench >"$work/out" 2>"$work/err" || status=$?
	judge "bench without its program says how to get it" \
		sh -c '[ "$1" = 1 ] && grep -q "make bench" "$2"' - "$status" "$work/err"
}

# Lines of a file, and what is wrong with them.
test_file()
{
	file=$work/pipelines
	r="ringkernel: run: $file"
	printf 'workers 1\nwalk\n' >"$file"
	refuses 2 "$r:2: unknown word 'walk': expected one of from, $OPTIONS" run file "$file"
	printf '# nothing\n\n' >"$file"
	refuses 2 "$r: no pipeline in it: from PORT ... to PORT" run file "$file"
	printf 'from $X to null:\n' >"$file"
	refuses 2 "$r:1: \$X: has no value: give X=VALUE after the file" run file "$file"
	refuses 2 "$r: \$Y is not used in it" run file "$file" X=null: Y=1
	printf 'from a: \\\n  to b: -- \n' >"$file"
	refuses 2 "$r:1: unknown word '--': expected the end of the line" run file "$file"
	refuses 1 "$r.not: No such file or directory" run file "$file.not"
	printf 'workers 1 # one\nbooks 0\n\nfrom pcap:$DIR/clean.pcap,speed=max \\\n\tactor echo to null:\n' >"$file"
	mkdir -p "$work/a dir"
	cp "$work/clean.pcap" "$work/a dir/clean.pcap"
	run -j run file "$file" "DIR=$work/a dir"
	judge "a pipeline from a file, a blank in its value" \
		json_holds "$work/out" 'd["messages"] == 4000 and d["conserved"]'
}

make_feeds()
{
	run gen packets=2000 to "$work/clean.pcap" truth "$work/clean.json"
	judge "gen: a clean feed" [ "$status" = 0 ]
	run -j gen packets=5000 seed=7 loss_a=0.02 loss_b=0.02 loss_both=0.002 loss_run=4 \
		duplicate=0.01 reorder=0.01 lag_b=2 to "$work/lossy.pcap" truth "$work/lossy.json"
	cp "$work/out" "$work/lossy.gen"
	judge "gen: a lossy feed, -j" json_holds "$work/lossy.gen" \
		'd["gaps"] > 3 and d["missing_packets"] >= d["gaps"] and d["sent"] == 5000'
}

arbiter=mdp3_book,first_sequence=1,window_packets=256,gap_ns=1000000000

test_verify()
{
	run -j run verify "$work/clean.json" from "pcap:$work/clean.pcap" actor "$arbiter" to null:
	judge "a clean feed: every book at every level" json_holds "$work/out" '
d["verify"]["differences"] == 0 and d["verify"]["not_proven"] == 0 and
d["verify"]["compared"] > 1000 and d["conserved"]'
	run -j run verify "$work/lossy.json" from "pcap:$work/lossy.pcap" actor "$arbiter" to null:
	cp "$work/out" "$work/lossy.out"
	judge "a lossy feed: verify agrees" [ "$status" = 0 ]
	judge "a lossy feed: exactly the gaps that were made" python3 -c '
import json, sys
report, truth = (json.load(open(file)) for file in sys.argv[1:])
gaps = report["pipelines"][0]["gaps"]
assert gaps == truth["gaps"], gaps
assert sum(last - first + 1 for first, last in gaps) == truth["missing_packets"] > 0
' "$work/lossy.out" "$work/lossy.json"
	sed 's/"unique":\([0-9]*\)/"unique":1\1/' "$work/clean.json" >"$work/wrong.json"
	fails 1 "1 values differ" run verify "$work/wrong.json" from "pcap:$work/clean.pcap" \
		actor "$arbiter" to null:
	judge "verify names what differs" grep -q '^unique: expected 12000, got 2000$' "$work/out"
	fails 1 "values differ" run verify "$work/clean.json" from "pcap:$work/lossy.pcap" \
		actor "$arbiter" to null:
	echo '{"nonsense": 1}' >"$work/wrong.json"
	fails 1 "key 'nonsense' is not known" run verify "$work/wrong.json" \
		from "pcap:$work/clean.pcap" actor "$arbiter" to null:
	echo 'nonsense' >"$work/wrong.json"
	fails 1 "no JSON object" run verify "$work/wrong.json" \
		from "pcap:$work/clean.pcap" actor "$arbiter" to null:
	fails 1 "No such file" run verify "$work/none.json" \
		from "pcap:$work/clean.pcap" actor "$arbiter" to null:
}

test_json()
{
	run -j info
	judge "info -j has every group" json_holds "$work/out" '
{"ringkernel", "machine", "codecs", "regions", "ports", "actors", "backends"} <= set(d) and
d["backends"]["cpu"]["present"] and d["ports"]["pcap"]["present"] and
all(e["remedy"] for g in d.values() for e in g.values() if e.get("present") is False) and
sum(e["value"] == "chosen" for e in d["codecs"].values()) == 1'
	run -j run workers 2 books all log "$work/a.hlog" hgrm "$work/a.hgrm" plot "$work/a.svg" \
		from "pcap:$work/clean.pcap" actor "$arbiter" on 1 to null:
	cp "$work/out" "$work/run.json"
	judge "run -j has every key" json_holds "$work/run.json" '
{"version", "seconds", "end", "messages", "messages_per_second", "messages_per_core_second",
 "conserved", "pipelines", "workers", "verify", "plot", "log", "hgrm", "note"} == set(d) and
{"messages", "messages_per_second", "from", "actors", "to", "conservation", "latency", "gaps",
 "books"} == set(d["pipelines"][0])'
	judge "run -j: counts agree" json_holds "$work/run.json" '
all(c["holds"] and c["left_count"] == c["right_count"]
    for c in d["pipelines"][0]["conservation"]) and
d["pipelines"][0]["latency"]["count"] == d["pipelines"][0]["to"]["messages"] and
len(d["workers"]) == 2 and len(d["pipelines"][0]["books"]) > 100'
	if grep -q 'RK_HAVE_ZLIB 1' "$B/config.h"; then
		judge "a latency log of this pipeline" grep -q '^Tag=pipeline-1,' "$work/a.hlog"
	else
		skip "a latency log of this pipeline" "built without zlib"
	fi
	judge "a percentile distribution" grep -q '^#\[Max' "$work/a.hgrm"
	if command -v gnuplot >/dev/null; then
		judge "a plot as an image" grep -q '</svg>' "$work/a.svg"
	else
		skip "a plot as an image" "gnuplot is not installed"
	fi
	PATH=/nonexistent "$ringkernel" run plot "$work/b.svg" from "pcap:$work/clean.pcap" to null: \
		>"$work/out" 2>"$work/err"
	judge "a text plot where there is no gnuplot" \
		grep -q '^plot: as text: gnuplot is not installed' "$work/out"
}

# A capture cut at byte $1 of the file $2.
cut_at()
{
	head -c "$1" "$2" >"$work/cut.pcap"
}

test_captures()
{
	echo "this is no capture" >"$work/bad.pcap"
	fails 1 "no capture in pcap or pcapng format" run from "pcap:$work/bad.pcap" to null:
	: >"$work/bad.pcap"
	fails 1 "no capture in pcap or pcapng format" run from "pcap:$work/bad.pcap" to null:
	fails 1 "No such file or directory" run from "pcap:$work/none.pcap" to null:
	fails 1 "is a directory" run from "pcap:$work" to null:
	cut_at 100000 "$work/clean.pcap"
	run -j run from "pcap:$work/cut.pcap" actor "$arbiter" to null:
	judge "a capture cut within a record fails and says where" \
		sh -c '[ "$1" = 1 ] && grep -q "damaged behind packet [1-9]" "$2"' - \
		"$status" "$work/err"
	judge "nothing before the cut is lost" python3 -c '
import json, re, sys
report = json.load(open(sys.argv[1]))
packets = int(re.search("behind packet ([0-9]+)", open(sys.argv[2]).read())[1])
counters = report["pipelines"][0]["actors"][0]["counters"]
assert report["conserved"] and counters["packets"] == packets, packets
assert counters["malformed"] == 0
' "$work/out" "$work/err"
	# The second packet captured with 20 bytes less than it has, in a file of nanosecond stamps.
	python3 -c '
import struct, sys
data = open(sys.argv[1], "rb").read()
at = 24 + 16 + struct.unpack_from("<I", data, 32)[0]
captured, = struct.unpack_from("<I", data, at + 8)
head = bytearray(data[at:at + 16])
struct.pack_into("<I", head, 8, captured - 20)
open(sys.argv[2], "wb").write(data[:at] + bytes(head) + data[at + 16:at + 16 + captured - 20] +
                              data[at + 16 + captured:])
' "$work/clean.pcap" "$work/cut.pcap"
	run -j run from "pcap:$work/cut.pcap" actor "$arbiter" to null:
	judge "a truncated packet is dropped and counted" json_holds "$work/out" '
d["pipelines"][0]["from"][0]["dropped"]["truncated"] == 1 and
d["pipelines"][0]["actors"][0]["received"] == 3999 and
d["pipelines"][0]["actors"][0]["counters"]["unique"] == 2000 and
d["pipelines"][0]["actors"][0]["counters"]["source_dropped"] == 1 and d["conserved"]'
	run -j run from "pcap:$work/clean.pcap" to "pcap:$work/copy.pcap"
	run -j run verify "$work/clean.json" from "pcap:$work/copy.pcap" actor "$arbiter" to null:
	judge "a recording replays to the same books" json_holds "$work/out" \
		'd["verify"]["differences"] == 0'
	fails 1 "No space left" run from "pcap:$work/clean.pcap" to pcap:/dev/full
	fails 1 "No such file or directory" run from "pcap:$work/clean.pcap" to pcap:/none/x
	fails 1 "No such file or directory" run log /none/x from "pcap:$work/clean.pcap" to null:
	fails 1 "No such file or directory" run hgrm /none/x from "pcap:$work/clean.pcap" to null:
	fails 1 "No such file or directory" gen to /none/x
	fails 1 "could not be written" gen packets=100000 to /dev/full
}

# The command as a user who may do nothing.
test_permission()
{
	cp "$work/clean.pcap" "$work/secret.pcap"
	chmod 755 "$work"
	chmod 000 "$work/secret.pcap"
	user=
	if [ "$(id -u)" = 0 ]; then
		user="setpriv --reuid 65534 --regid 65534 --clear-groups"
		if ! command -v setpriv >/dev/null || ! $user test -x "$ringkernel"; then
			skip "no permission" "setpriv is missing, or cannot reach the program"
			return
		fi
	fi
	status=0
	$user "$ringkernel" run from "pcap:$work/secret.pcap" to null: >"$work/out" \
		2>"$work/err" || status=$?
	judge "a capture that may not be read: exit 1, and why" \
		sh -c '[ "$1" = 1 ] && grep -q "Permission denied" "$2"' - "$status" "$work/err"
	status=0
	mkdir "$work/shut"
	chmod 555 "$work/shut"
	$user "$ringkernel" run from "pcap:$work/clean.pcap" to "pcap:$work/shut/x.pcap" \
		>"$work/out" 2>"$work/err" || status=$?
	judge "a recording that may not be made: exit 1, and why" \
		sh -c '[ "$1" = 1 ] && grep -q "Permission denied" "$2"' - "$status" "$work/err"
	status=0
	$user "$ringkernel" -j run from "pcap:$work/clean.pcap" actor "$arbiter" to null: \
		>"$work/out" 2>"$work/err" || status=$?
	judge "without any right the pipeline works all the same" \
		json_holds "$work/out" 'd["messages"] == 4000 and d["conserved"]'
}

# start WORDS...: in the background; its output in $work/out, its process in $child.
start()
{
	timeout 120 "$ringkernel" "$@" >"$work/out" 2>"$work/err" </dev/null &
	child=$!
}

# Until the command that was started has made this file, which it does before it runs.
await_file()
{
	for _ in $(seq 100); do
		[ ! -s "$1" ] || return 0
		sleep 0.1
	done
	return 1
}

test_signals()
{
	for signal in INT TERM; do
		rm -f "$work/live.pcap"
		start -j run workers 2 duration 100 \
			from "pcap:$work/clean.pcap,rate=50000,loops=1000000" \
			actor "$arbiter" on 1 to "pcap:$work/live.pcap"
		await_file "$work/live.pcap"
		sleep 0.5
		kill -s $signal "$child"
		status=0
		wait "$child" || status=$?
		judge "SIG$signal ends a run with exit status 0" [ "$status" = 0 ]
		judge "SIG$signal: every message is accounted for" json_holds "$work/out" '
d["conserved"] and d["end"] == "stopped by a signal" and d["messages"] > 0 and
d["seconds"] < 90'
	done
	run -j run duration 0.3 from "pcap:$work/clean.pcap,rate=1000" actor echo to null:
	judge "a duration ends a run, and every message is accounted for" json_holds "$work/out" '
d["conserved"] and d["end"] == "the duration was over" and 0 < d["messages"] < 4000'
}

multicast_works()
{
	run run duration 0.1 from udp:239.255.77.1:17001,iface=lo to null:
	[ "$status" = 0 ]
}

test_udp()
{
	if ! multicast_works; then
		skip "feeds over loopback" "no multicast: $(cat "$work/err")"
		return
	fi
	a=239.255.77.1:17001
	b=239.255.77.2:17002
	run -j run verify "$work/lossy.json" \
		from "pcap:$work/lossy.pcap,rate=20000" to "udp:$a,feeds=$b,iface=lo,stamp" -- \
		from "udp:$a,iface=lo,stamp,idle=3000" from "udp:$b,iface=lo,stamp,idle=3000" \
		actor "$arbiter" to null:
	judge "a lossy feed over UDP: the same gaps and books" json_holds "$work/out" '
d["verify"]["differences"] == 0 and d["conserved"] and
sum(p["messages"] for p in d["pipelines"][1]["from"]) == d["pipelines"][0]["to"]["messages"]'
	judge "latency is from the sender's stamp" json_holds "$work/out" '
d["pipelines"][1]["latency"]["from"].startswith("the sender") and
d["pipelines"][1]["latency"]["count"] + d["pipelines"][1]["latency"]["untimed"] ==
d["pipelines"][1]["to"]["messages"]'
	"$ringkernel" -q gen packets=2000 to "$work/live.pcap" truth "$work/live.json" >/dev/null
	start -j run log "$work/live.hlog" verify "$work/live.json" \
		from "udp:$a,iface=lo,stamp,count=2000,idle=20000" \
		from "udp:$b,iface=lo,stamp,count=2000,idle=20000" actor "$arbiter" to null:
	await_file "$work/live.hlog"
	"$ringkernel" gen packets=2000 to "udp:$a,feeds=$b,iface=lo,stamp" >"$work/live.out" 2>&1
	judge "gen sends a feed live" grep -q "4000 datagrams" "$work/live.out"
	wait "$child"
	judge "a feed sent live arrives whole" json_holds "$work/out" '
d["verify"]["differences"] == 0 and d["conserved"] and
[p["messages"] for p in d["pipelines"][0]["from"]] == [2000, 2000]'
	run gen packets=10 to udp:nonsense
	judge "gen refuses a port that cannot be" grep -q "udp:nonsense" "$work/err"

	start -j run log "$work/killed.hlog" from "udp:$a,iface=lo,idle=2000" \
		from "udp:$b,iface=lo,idle=2000" actor "$arbiter" to null:
	await_file "$work/killed.hlog"
	"$ringkernel" run from "pcap:$work/lossy.pcap,rate=2000" to "udp:$a,feeds=$b,iface=lo" \
		>/dev/null 2>&1 &
	sender=$!
	sleep 1.5
	kill -9 "$sender"
	wait "$sender" 2>/dev/null
	status=0
	wait "$child" || status=$?
	judge "a sender is killed: the receiver ends by itself" [ "$status" = 0 ]
	judge "a sender is killed: what came is whole and accounted for" json_holds "$work/out" '
d["conserved"] and 0 < d["messages"] < 9000 and
d["pipelines"][0]["actors"][0]["counters"]["malformed"] == 0 and
d["pipelines"][0]["actors"][0]["counters"]["source_dropped"] == 0'
}

# Each literal block of the section EXAMPLES, as a shell script.
test_manual()
{
	page=$here/../tools/ringkernel.1
	mkdir -p "$work/manual"
	awk -v directory="$work/manual" '
		/^\.Sh/ { examples = /EXAMPLES/ }
		/^\.Ed/ { inside = 0 }
		inside { gsub(/\\e/, "\\"); print >(directory "/" blocks ".sh") }
		examples && /^\.Bd/ { inside = 1; blocks++ }' "$page"
	for number in 1 2 3 4 5 6 7; do
		if [ "$number" = 3 ] && ! multicast_works; then
			skip "manual page: example $number" "no multicast on lo"
			continue
		fi
		if [ "$number" = 5 ]; then
			skip "manual page: example $number" "two hosts with RDMA; make test-rdma has them"
			continue
		fi
		status=0
		(cd "$work/manual" && PATH=$(dirname "$ringkernel"):$PATH timeout 60 \
			sh -e "$number.sh") >"$work/out" 2>"$work/err" || status=$?
		judge "manual page: example $number" [ "$status" = 0 ]
	done
	judge "manual page: no example is left out" [ ! -e "$work/manual/8.sh" ]
	if command -v groff >/dev/null; then
		groff -mdoc -Tascii -ww "$page" >"$work/out" 2>"$work/err"
		judge "manual page: no warning" [ ! -s "$work/err" ]
	else
		skip "manual page: no warning" "groff is not installed"
	fi
}

# An actor on a GPU finds what it finds on cpu; without one it is said which actor cannot be, and why.
test_gpu()
{
	run -j info
	if json_holds "$work/out" 'not d["backends"]["cuda"]["present"]' 2>"$work/err"; then
		fails 1 "ringkernel: run: actor 'mdp3_book': cuda: " run from "pcap:$work/clean.pcap" \
			actor "$arbiter" on gpu to null:
		skip "books of an actor on a GPU" "$(sed 's/^.*mdp3_book.: //' "$work/err")"
		return
	fi
	for place in warp block; do
		run -j run verify "$work/clean.json" from "pcap:$work/clean.pcap" \
			actor "$arbiter" on gpu0 "$place" to null:
		judge "books of an actor on a $place of a GPU" [ "$status" = 0 ]
		judge "and where it ran is told" json_holds "$work/out" '
d["pipelines"][0]["actors"][0]["on"] == "gpu0 '"$place"'" and d["conserved"]'
	done
	run -j run from "pcap:$work/clean.pcap" actor echo on gpu actor "$arbiter" actor echo \
		on gpu0 block to null:
	judge "a pipeline goes to a GPU and back" json_holds "$work/out" 'd["conserved"]'
	run -j info gpu
	judge "info gpu tells how near its memory is" json_holds "$work/out" '
"median" in d["gpu0"]["calibration"]["value"] and "near_memory" in d["gpu0"]'
}

test_grammar
test_help
if ! have_jansson || ! have_python; then
	skip "all that needs JSON" "jansson or python3 is not installed"
	finish
fi
make_feeds
test_file
test_verify
test_json
test_gpu
test_captures
test_permission
test_signals
test_udp
test_manual
finish
