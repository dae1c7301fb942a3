#!/bin/sh
# run.sh short|long|bars: rings across hosts by RDMA, on soft-RoCE in virtual machines: one guest, and
# two guests on one Ethernet. The library and the tool as they are built here run inside.
#
# Installs nothing; what is missing is skipped with a reason. Output goes to $B/rdma.
# long: a million messages where short has fewer; bars: against perftest.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
B=${B:-$root/build}
mode=${1:-short}
out=$B/rdma
number=0 failed=0
mkdir -p "$out/data/fake"

skip() {
	echo "ok 1 - rdma # SKIP $1"
	exit 0
}

need() { # command package
	command -v "$1" >/dev/null || skip "no $1: apt-get install $2"
}

need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need ip iproute2
need rdma iproute2
need tc iproute2
need modprobe kmod
need ib_write_lat perftest
[ -e /etc/libibverbs.d/rxe.driver ] || skip "no rxe.driver: apt-get install ibverbs-providers"
grep -q 'RK_HAVE_VERBS 1' "$B/config.h" || skip "built without verbs: apt-get install librdmacm-dev"
version=$(cd /lib/modules 2>/dev/null && for v in $(ls | sort -rV); do
	[ -e "$v/kernel/drivers/infiniband/sw/rxe" ] && [ -r "/boot/vmlinuz-$v" ] && echo "$v" && break
done)
[ -n "$version" ] || skip "no kernel with rdma_rxe: apt-get install linux-image-amd64"

# The kernel image unpacked, where it is packed by xz: that saves 3 s of each boot.
kernel=/boot/vmlinuz-$version
offset=$(LC_ALL=C grep -abo -m1 -P '\xfd7zXZ\x00' "$kernel" 2>/dev/null | head -1 | cut -d: -f1)
if [ -n "$offset" ] && command -v unxz >/dev/null; then
	elf=$out/vmlinux-$version
	[ -s "$elf" ] || tail -c "+$((offset + 1))" "$kernel" | unxz >"$elf" 2>/dev/null
	[ ! -s "$elf" ] || kernel=$elf
fi

if [ ! -e "$out/data/truth.json" ]; then
	"$B/ringkernel" gen packets=20000 loss_a=0.01 loss_b=0.01 to "$out/data/feed.pcap" \
		truth "$out/data/truth.json" >"$out/gen.log" || skip "no feed: see $out/gen.log"
fi
cp "$B/fake/libcuda.so.1" "$out/data/fake" || skip "no stand-in for CUDA: make test builds it"
sh "$here/initramfs.sh" "$out/image.cpio" "$version" "$out/data" "$B/ringkernel" \
	"$B/release/tests/remote_peer" /sbin/ip "$(command -v rdma)" "$(command -v tc)" \
	ib_write_lat ib_write_bw >"$out/image.log" 2>&1 || skip "no image: see $out/image.log"

vm() { # log side cpus cases messages network-arguments...
	log=$1 side=$2 cpus=$3 cases=$4 messages=$5
	shift 5
	rm -f "$out/monitor-$side".*
	mkfifo "$out/monitor-$side.in" "$out/monitor-$side.out"
	timeout -k 5 "$limit" nice qemu-system-x86_64 -accel tcg,thread=multi \
		-M q35,kernel-irqchip=off -cpu "${RK_CPU:-qemu64}" -smp "$cpus" -m 320 -nodefaults -no-user-config \
		-display none -no-reboot -serial stdio \
		-chardev "pipe,id=monitor,path=$out/monitor-$side" -mon chardev=monitor,mode=readline \
		-device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel "$kernel" \
		-initrd "$out/image.cpio" "$@" \
		-append "console=ttyS0 panic=-1 quiet no_timer_check rk.side=$side rk.cases=$cases rk.messages=$messages" \
		>"$log" 2>&1 </dev/null
	[ $? = 33 ] # what no other end of it gives
}

report() { # name log passed
	tr -d '\r' <"$2" | grep -E '^(ok|not ok|#|bar|bench|sent|received|case)' >"$2.txt"
	while read -r line; do
		case $line in
		"ok - "*) number=$((number + 1)) && echo "ok $number - $1: ${line#ok - }" ;;
		"not ok - "*) number=$((number + 1)) failed=1 && echo "not ok $number - $1: ${line#not ok - }" ;;
		*) echo "$line" ;;
		esac
	done <"$2.txt"
	if [ "$3" != 0 ]; then
		number=$((number + 1)) failed=1
		echo "not ok $number - $1: the guest, see $2"
		tr -d '\r' <"$2" | tail -n 15 | sed 's/^/# /'
	fi
}

one() { # cases messages
	vm "$out/one.log" 1 2 "$1" "$2" -netdev user,id=n,restrict=on \
		-device virtio-net-pci,netdev=n,romfile=
	report "one guest" "$out/one.log" $?
}

# Pull the cable of guest 2 when it asks for that, for 4 s.
pull_cable() {
	until grep -q 'cable out, please' "$out/two-2.log" 2>/dev/null; do sleep 0.2; done
	echo 'set_link n off' >"$out/monitor-2.in"
	sleep 4
	echo 'set_link n on' >"$out/monitor-2.in"
}

two() { # cases messages
	socket=$out/ethernet.sock
	rm -f "$socket"
	vm "$out/two-1.log" 1 1 "$1" "$2" -netdev "stream,id=n,server=on,addr.type=unix,addr.path=$socket" \
		-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:01,romfile= &
	first=$!
	: >"$out/two-2.log"
	pull_cable &
	puller=$!
	until [ -S "$socket" ] || ! kill -0 $first 2>/dev/null; do sleep 0.1; done
	vm "$out/two-2.log" 2 1 "$1" "$2" -netdev "stream,id=n,server=off,addr.type=unix,addr.path=$socket" \
		-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:02,romfile=
	second=$?
	wait $first
	first_status=$?
	kill $puller 2>/dev/null
	report "guest 1 of 2" "$out/two-1.log" $first_status
	report "guest 2 of 2" "$out/two-2.log" $second
}

everything=info,wrong_peers,names,gpu_memory,both_ways,back_pressure,kill_consumer,kill_producer
across=two_plain,two_netem,two_down,two_actors
direct=two_netem_direct,two_down_direct,two_actors_direct
case $mode in
short)
	limit=240
	one "${CASES:-$everything}" 1000000
	[ "${CASES2:-x}" = none ] || two "${CASES2:-$across}" 50000
	;;
long)
	limit=900
	one "${CASES:-$everything,bars}" 3000000
	two "${CASES2:-$across,$direct}" 1000000
	;;
bars)
	limit=240
	one bars 0
	;;
*)
	echo "usage: run.sh short|long|bars" >&2
	exit 2
	;;
esac
exit $failed
