#!/bin/busybox sh
# First process of the test VM: soft-RoCE on eth0, then the cases named on the kernel command line.
#
# rk.side=1|2  which of two guests this is (1 when there is one)
# rk.cases=a,b functions of cases.sh
# rk.messages=N how many each way
# shellcheck disable=SC2034 # for cases.sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin:/sbin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm
mount -t tmpfs tmp /tmp

arg() {
	sed -n "s/.*\brk\.$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

# Status to the outside, as in tests/kmod: 0x10 + result at the exit port.
finish() {
	printf "\\$(printf %o $(($1 + 16)))" | dd of=/dev/port bs=1 seek=244 count=1 conv=notrunc 2>/dev/null
	poweroff -f
}

while read -r module; do
	insmod "/ko/$module" || finish 2
done </ko/order
side=$(arg side)
me=10.0.0.$side proto=verbs peer=/usr/bin/remote_peer
ip link set lo up
/usr/bin/ip addr add "$me/24" dev eth0
/usr/bin/ip link set eth0 up
rdma link add rxe0 type rxe netdev eth0 || finish 2
mkdir -p /tmp/work
cd /tmp/work || finish 2
messages=$(arg messages)
failed=0
. /cases.sh
for case in $(arg cases | tr , ' '); do
	start=$(cut -d. -f1 /proc/uptime)
	"$case"
	echo "case $case: $(($(cut -d. -f1 /proc/uptime) - start)) s"
done
# A program that crashes is told as a trap; that is for its test to notice.
dmesg | grep -v ' traps: ' >kernel.txt
if grep -qE 'BUG:|WARNING:|Oops|general protection|Call Trace:' kernel.txt; then
	echo "not ok - the kernel complains"
	grep -E -A 20 'BUG:|WARNING:|Oops|general protection|Call Trace:' kernel.txt | head -60
	failed=1
fi
finish "$failed"
