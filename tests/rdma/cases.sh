# Cases of the tests of remote rings. In a guest init.sh runs them over RDMA; tests/remote_ucx.sh runs
# some over UCX. Each prints "ok - ..." or "not ok - ...".
# shellcheck shell=sh disable=SC2154,SC2034

verdict() { # true|false text
	if [ "$1" = true ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
		for log in *.log; do
			[ -e "$log" ] && sed "s/^/# $log: /" "$log" | tail -n 12
		done
	fi
	rm -f ./*.log
}

field() { # name file: the number behind a word of the last report
	grep -E '^(sent|received|pinged)' "$2" | tail -n 1 | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"
}

holds() { # expression
	if [ "$(($1))" = 1 ]; then echo true; else echo false; fi
}

# Wait until something stands in a file, SECONDS at most.
await() { # pattern file seconds
	n=0
	until grep -q "$1" "$2" 2>/dev/null || [ $n -ge $(($3 * 10)) ]; do
		sleep 0.1
		n=$((n + 1))
	done
}

kill_hard() {
	kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# --- Over any transport ---

# Both ways at once, small rings so that they wrap and fill, long messages among them.
both_ways() {
	each=$((messages / 2))
	$peer recv "$proto:$me:7001,slots=1024" "count=$each" long=9 ms=600000 >a.log 2>&1 &
	ra=$!
	$peer recv "$proto:$me:7002,slots=256" "count=$each" long=9 ms=600000 >b.log 2>&1 &
	rb=$!
	$peer send "$proto:$me:7001" "count=$each" long=9 ms=600000 >as.log 2>&1 &
	sa=$!
	$peer send "$proto:$me:7002" "count=$each" long=9 ms=600000 >bs.log 2>&1
	sb=$?
	wait $sa && [ $sb = 0 ] && wait $ra && wait $rb && both=true || both=false
	cat a.log b.log
	verdict $both "$each messages each way at once, every byte checked"
}

back_pressure() {
	$peer recv "$proto:$me:7003,slots=16" count=20000 slow=300 local=64 >r.log 2>&1 &
	r=$!
	$peer send "$proto:$me:7003" count=20000 >s.log 2>&1 && wait $r && good=true || good=false
	verdict $good "a slow consumer holds its producer back; nothing is lost"
}

# The consumer dies and another takes its place, time and again. What was received, what is missing
# and what the producer reports must agree.
kill_consumer() {
	$peer send "$proto:$me:7004,timeout=500" "count=200000" rate=30000 ms=60000 >s.log 2>&1 &
	s=$!
	for i in 1 2 3 4; do
		$peer recv "$proto:$me:7004,slots=128,timeout=500" mark=tally slow=200 >r$i.log 2>&1 &
		r=$!
		sleep 1
		kill_hard $r
	done
	$peer recv "$proto:$me:7004,slots=128,timeout=500" mark=tally ms=30000 >r.log 2>&1
	wait $s
	cat s.log r.log
	got=$(field received r.log) lost=$(field lost r.log) sent=$(field sent s.log)
	unconfirmed=$(field unconfirmed s.log) bad=$(field bad r.log)
	verdict "$(holds "$got + $lost == $sent && $lost <= $unconfirmed && $bad == 0 && $unconfirmed > 0 && $sent == 200000")" \
		"4 consumers killed: sent $sent = received $got + lost $lost, of $unconfirmed reported; none twice, torn or out of order"
	rm -f tally
}

producers_killed() { # port receiver-uri-options local-slots text
	$peer recv "$proto:$me:$1,timeout=500,$2" ms=60000 "count=0" mark=tally "local=$3" >r.log 2>&1 &
	r=$!
	for i in 1 2 3 4; do
		$peer send "$proto:$me:$1,timeout=500" count=100000000 mark=sent >s$i.log 2>&1 &
		s=$!
		sleep 1
		kill_hard $s
	done
	$peer send "$proto:$me:$1,timeout=500" count=100000000 mark=sent ms=1000 >s.log 2>&1
	wait $r
	cat s.log r.log
	got=$(field received r.log) lost=$(field lost r.log) sent=$(field sent s.log) bad=$(field bad r.log)
	# A ring's worth and what was written and not put yet, for each that was killed.
	verdict "$(holds "$got + $lost == $sent && $lost <= 4 * 256 && $bad == 0 && $got > 0")" \
		"4 producers killed$4: sent $sent = received $got + lost $lost; none twice, torn or out of order"
	rm -f tally sent
}

kill_producer() {
	producers_killed 7005 slots=128 1024 ""
	producers_killed 7012 direct 128 ", each writing the consumer's own ring"
}

# --- One guest ---

# Who listens there is none of ours, or nobody; a name that is not there.
wrong_peers() {
	$peer send "verbs:$me:7006,retry=3000" count=1 ms=30000 >s.log 2>&1
	grep -q 'no peer for .*nobody listens' s.log && good=true || good=false
	verdict $good "nobody listens: said within retry="
	ib_write_lat -R -s 64 -n 100 -p 7007 >l.log 2>&1 &
	l=$!
	sleep 0.5
	$peer send "verbs:$me:7007,retry=1500" count=1 ms=30000 >s.log 2>&1
	grep -q 'no peer for' s.log && good=true || good=false
	kill_hard $l
	verdict $good "a foreign program listens: no answer, said"
	$peer recv "verbs:$me:7008,name=book" ms=60000 >r.log 2>&1 &
	r=$!
	sleep 0.5
	ib_write_lat -R -s 64 -n 100 -p 7008 "$me" >l.log 2>&1 &
	l=$!
	$peer send "verbs:$me:7008,name=bok,retry=3000" count=1 ms=30000 >s.log 2>&1
	grep -q "no ring 'bok' at this address: there is 'book'" s.log && good=true || good=false
	verdict $good "a wrong name is refused, with those there are"
	$peer send "verbs:$me:7008,name=book" count=1000 ms=30000 >s.log 2>&1 && wait $r && good=true || good=false
	kill_hard $l 2>/dev/null
	verdict $good "a foreign program that connects disturbs nobody"
}

# What the machine can register, each refusal with its reason.
info() {
	ringkernel info >i.log 2>&1 && good=true || good=false
	grep -q 'host  *yes  ibv_reg_mr' i.log || good=false
	grep -A 1 'gpu_dmabuf  *no' i.log | grep -q 'rxe0: Operation not supported' || good=false
	grep -A 1 'gpu_peermem  *no' i.log | grep -q 'modprobe nvidia-peermem' || good=false
	grep -q '^rdma rxe0$' i.log || good=false
	grep -q 'verbs  *yes' i.log || good=false
	verdict $good "ringkernel info says what can be registered, and why not the rest"
}

# The ring lies in memory of a GPU, of a stand-in's whose addresses there are addresses here: soft-RoCE
# registers no dma-buf, which is said, and takes the address.
gpu_memory() {
	LD_LIBRARY_PATH=/data/fake $peer recv "verbs:$me:7013,direct" gpu=1 count=20000 long=9 >r.log 2>&1 &
	r=$!
	$peer send "verbs:$me:7013" count=20000 long=9 >s.log 2>&1 && wait $r && good=true || good=false
	cat r.log
	grep -q 'the peer writes memory of the GPU by its address (ibv_reg_dmabuf_mr: Operation not supported)' r.log || good=false
	verdict $good "a ring in memory of a GPU (a stand-in): no dma-buf, said; by its address"
}

# Two rings at one address, told apart by name; and round trips between two programs.
names() {
	ringkernel run from "verbs:$me:7009,name=a" from "verbs:$me:7009,name=b" actor echo to null: >r.log 2>&1 &
	r=$!
	$peer send "verbs:$me:7009,name=b" count=3000 >b.log 2>&1 && $peer send "verbs:$me:7009,name=a" count=5000 >a.log 2>&1 && wait $r && grep -q '8000 messages in' r.log && good=true || good=false
	verdict $good "two rings at one address, told apart by name"
	$peer pong "verbs:$me:7010,name=there" "verbs:$me:7011,name=back" ms=60000 >q.log 2>&1 &
	q=$!
	$peer ping "verbs:$me:7010,name=there" "verbs:$me:7011,name=back" count=100 >p.log 2>&1 && wait $q && good=true || good=false
	verdict $good "round trips"
}

# --- Bars: the same messages by ours and by perftest, alternating, medians ---

median() { # file
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

bar() { # name ratio*1000 goal-text goal*1000 below|above
	word=missed
	[ "$5" = below ] && [ "$2" -le "$4" ] && word=met
	[ "$5" = above ] && [ "$2" -ge "$4" ] && word=met
	echo "bar $1 $(($2 / 1000)).$(printf %03d $(($2 % 1000))) $3 $word"
}

# A server that its client did not find is not waited for.
against() { # program words... : the column of results
	"$@" >l.log 2>&1 &
	server=$!
	sleep 0.5
	timeout 20 "$@" "$me" 2>/dev/null | awk '$1 == 64 { print $5 }'
	kill_hard $server
}

bars() {
	for _ in 1 2 3 4 5 6 7; do
		timeout 20 $peer pong "verbs:$me:7020,direct" "verbs:$me:7021" ms=10000 >q.log 2>&1 &
		other=$!
		sleep 0.5
		timeout 20 $peer ping "verbs:$me:7020" "verbs:$me:7021,direct" count=1000 ms=8000 >p.log 2>&1
		wait $other
		a=$(field p50 p.log)
		b=$(against ib_write_lat -R -s 64 -n 1000 | awk '{ printf "%d\n", $1 * 2000 }')
		# Of two runs next to each other: the machine is faster at one time than at another.
		[ -n "$a" ] && [ -n "$b" ] && echo "$a $b $((a * 1000 / b))" >>rtt
		timeout 20 $peer recv "verbs:$me:7022" count=100000 ms=10000 >r.log 2>&1 &
		other=$!
		sleep 0.5
		timeout 20 $peer send "verbs:$me:7022" count=100000 ms=8000 >s.log 2>&1
		wait $other
		sed -n 's/.*, \([0-9]*\)\/s.*/\1/p' r.log >>ours.rate
		against ib_write_bw -R -s 64 -n 5000 | awk '{ printf "%d\n", $1 * 1000000 }' >>theirs.rate
		rm -f ./*.log
	done
	c=$(median ours.rate) d=$(median theirs.rate)
	echo "bench round trips, p50, ours and ib_write_lat's in ns: $(awk '{ printf "%s%s %s", t, $1, $2; t = ", " }' rtt)"
	echo "bench messages of 64 bytes: ours $c/s, ib_write_bw $d/s"
	bar rdma-round-trip-vs-ib_write_lat "$(awk '{ print $3 }' rtt >ratio && median ratio)" "<=1.15" 1150 below
	bar rdma-rate-vs-ib_write_bw $((c * 1000 / d)) ">=0.9" 900 above
}

# --- Two guests: 1 receives, 2 sends ---

# Both sides meet here; a number a meeting.
meet() {
	if [ "$side" = 1 ]; then
		nc -l -p $((9000 + $1)) -e true
	else
		until nc 10.0.0.1 $((9000 + $1)) </dev/null 2>/dev/null; do sleep 0.2; done
	fi
}

across() { # meeting text sender-options receiver-options count disturbance messages-a-second
	if [ "$side" = 1 ]; then
		$peer recv "verbs:$me:7100,slots=1024,$4" "count=$5" slow=20 ms=100000 >r.log 2>&1 &
		r=$!
		meet "$1"
		wait $r && good=true || good=false
		cat r.log
		[ "$(field lost r.log)" = 0 ] && [ "$(field received r.log)" = "$5" ] || good=false
		verdict $good "$2"
	else
		meet "$1"
		$peer send "verbs:10.0.0.1:7100,$3" "count=$5" "rate=$7" ms=100000 >s.log 2>&1 &
		s=$!
		$6
		wait $s && good=true || good=false
		cat s.log
		[ "$(field unconfirmed s.log)" = 0 ] || good=false
		verdict $good "$2 (sender)"
	fi
	meet $(($1 + 1))
}

two_plain() {
	across 10 "two guests: $messages messages, nothing lost" timeout=5000 timeout=5000 "$messages" true 0
}

loss() {
	/usr/bin/tc qdisc add dev eth0 root netem delay 2ms 1ms loss 1% reorder 10% duplicate 1%
	sleep 6
	/usr/bin/tc qdisc del dev eth0 root
}

two_netem() {
	across 20 "two guests, packets delayed, dropped, doubled and reordered for 6 s: nothing lost" \
		timeout=10000 timeout=10000 "$messages" loss $((messages / 6))
}

# The host pulls the cable of this guest when it reads this, for 4 s.
cable_out() {
	sleep 1
	echo "cable out, please" >/dev/console
	sleep 6
}

two_down() {
	across 30 "two guests, the cable out for 4 s, longer than the timeout: nothing lost" \
		timeout=1000,retry=60000,linger=20000 timeout=1000,retry=60000 "$messages" cable_out $((messages / 6))
}

# Once more, the peers writing the consumers' own rings.
two_netem_direct() {
	across 50 "two guests, direct, packets delayed, dropped, doubled and reordered for 6 s: nothing lost" \
		timeout=10000 timeout=10000,direct "$messages" loss $((messages / 6))
}

two_down_direct() {
	across 60 "two guests, direct, the cable out for 4 s, longer than the timeout: nothing lost" \
		timeout=1000,retry=60000,linger=20000 timeout=1000,retry=60000,direct "$messages" cable_out $((messages / 6))
}

# Actors of two hosts linked by name: books made here, their best prices checked there, both ways.
exchange() { # meeting text input-options
	if [ "$side" = 1 ]; then
		ringkernel run from "verbs:$me:7200,name=best,timeout=5000$3" to pcap:best.pcap >in.log 2>&1 &
		r=$!
		meet "$1"
		ringkernel run from pcap:/data/feed.pcap to "verbs:10.0.0.2:7201,name=feed,timeout=5000" >out.log 2>&1 && good=true || good=false
		wait $r || good=false
		ringkernel run from pcap:/data/feed.pcap actor mdp3_book to pcap:here.pcap >here.log 2>&1
		$peer same best.pcap here.pcap >same.log 2>&1 || good=false
		cat same.log
		# As many in as out: the reports count, too.
		in=$(sed -n 's/.* \([0-9,]*\) messages in.*/\1/p' in.log | head -n 1)
		[ -n "$in" ] && grep -q "^$(echo "$in" | tr -d ,) packets the same" same.log || good=false
		verdict $good "mdp3_book over there, its output here, as if made here$2"
	else
		ringkernel run verify /data/truth.json from "verbs:$me:7201,name=feed,timeout=5000$3" actor mdp3_book to "verbs:10.0.0.1:7200,name=best,timeout=5000" >in.log 2>&1 &
		r=$!
		meet "$1"
		wait $r && good=true || good=false
		verdict $good "mdp3_book fed from the other guest: books as the truth says$2"
	fi
	meet $(($1 + 1))
}

two_actors() {
	exchange 40 "" ""
}

two_actors_direct() {
	exchange 70 ", direct" ,direct
}
