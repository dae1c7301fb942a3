#!/bin/busybox sh
# First process of the test VM: load the modules, run the groups named on the kernel command line
# (rk.groups=a,b,c), look for complaints of the kernel, hand the result to the outside.
#
# rk.module=NAME  which build of the module to load (default ringkernel)
# rk.leaks=1      ask kmemleak at the end
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs tmp /tmp

arg() {
	sed -n "s/.*\brk\.$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

complaints='BUG:|WARNING:|Oops|KASAN|UBSAN|possible (recursive|circular) locking|suspicious RCU'
complaints="$complaints|general protection|scheduling while atomic|sleeping function called"
complaints="$complaints|Call Trace:|refcount_t|Bad rss-counter|Bad page|list_(add|del) corruption"
complaints="$complaints|inconsistent lock state|held lock|blocked for more than"

module=$(arg module)
failed=0

echo 0 > /proc/sys/kernel/printk_ratelimit_burst
# Without the module nothing below means anything.
load() {
	insmod "/ko/$1.ko" && return
	echo "not ok: $1 cannot be loaded"
	dmesg | tail -5
	rktest exit 2
}

load "${module:-ringkernel}"
chmod 666 /dev/ringkernel
groups=$(arg groups | tr , ' ')
export HAMMER_SECONDS=$(arg hammer) STOP_AT_FIRST=$(arg stop) KERNEL_MOVES=$(arg moves)
case $groups in
nogpu*)
	rktest nogpu || failed=1
	groups=${groups#nogpu}
	;;
esac
load standin
for group in $groups; do
	rktest "$group" || failed=1
done
# A busy module is a leak of references, whatever the counters say.
if grep -q '^ringkernel ' /proc/modules; then
	rmmod ringkernel || { echo "not ok: the module cannot be unloaded"; failed=1; }
fi
rmmod standin || { echo "not ok: the stand-in cannot be unloaded"; failed=1; }

if [ "$(arg leaks)" ] && [ -w /sys/kernel/debug/kmemleak ]; then
	sleep 5
	echo scan > /sys/kernel/debug/kmemleak
	echo scan > /sys/kernel/debug/kmemleak
	cat /sys/kernel/debug/kmemleak > /tmp/leaks
	if [ -s /tmp/leaks ]; then
		echo "not ok: kmemleak"
		head -60 /tmp/leaks
		failed=1
	else
		echo "kmemleak: nothing"
	fi
fi
if dmesg | grep -qE "$complaints"; then
	echo "not ok: the kernel complains"
	dmesg | grep -nE -A 40 "$complaints" | head -120
	failed=1
else
	echo "kernel log: no complaint in $(dmesg | wc -l) lines"
fi
rktest exit "$failed"
