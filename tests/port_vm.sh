#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The ports on the oldest kernel whose io_uring they use, in a virtual machine: Debian's own, with
# files on ext4 and QEMU's NVMe device read and written past the page cache.
set -u

here=$(dirname "$0")
# shellcheck source=tests/tool_aid.inc
. "$here/tool_aid.inc"

kernel=$(ls -d /boot/vmlinuz-* 2>/dev/null | tail -n 1)
version=${kernel#/boot/vmlinuz-}
for program in qemu-system-x86_64 busybox cpio mkfs.ext4 modinfo; do
	if ! command -v $program >/dev/null || [ -z "$kernel" ]; then
		echo "1..0 # SKIP no $program, or no kernel in /boot"
		exit 77
	fi
done

root=$work/root
mkdir -p "$root/bin" "$root/mod" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/build"
cp "$(command -v busybox)" "$root/bin/"
for applet in sh mount ip ifconfig dd cat echo sleep insmod poweroff ls cmp rm; do
	ln -s busybox "$root/bin/$applet"
done
programs="$ringkernel $(dirname "$ringkernel")/release/tests/test_reactor"
for test in port_udp port_tcp port_file io; do
	programs="$programs $(dirname "$ringkernel")/release/tests/test_$test"
done
for program in $programs; do
	if [ ! -x "$program" ]; then
		echo "1..0 # SKIP $program is not built"
		exit 77
	fi
	cp "$program" "$root/bin/"
	ldd "$program" | grep -o '/[^ ]*'
done | sort -u | while read -r library; do
	mkdir -p "$root/$(dirname "$library")"
	cp -L "$library" "$root/$library"
done

# Modules and what they need, in the order of loading.
needs() {
	for needed in $(modinfo -k "$version" -F depends "$1" | tr , ' '); do
		needs "$needed"
	done
	modinfo -k "$version" -n "$1"
}
(needs nvme && needs crc32c_generic && needs ext4) 2>/dev/null | awk '/^\// && !seen[$0]++' | while read -r module; do
	cp "$module" "$root/mod/"
	basename "$module" >>"$root/mod/order"
done

cat >"$root/init" <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
while read -r module; do insmod /mod/$module; done </mod/order
ifconfig lo up
ip route add 224.0.0.0/4 dev lo
sleep 1
mount -t ext4 /dev/nvme1n1 /build || echo "no ext4"
cd /
export B=build CMOCKA_MESSAGE_OUTPUT=TAP
dd if=/dev/urandom of=/tmp/in bs=65536 count=64 2>/dev/null
ringkernel -q run from file:/tmp/in,block=8192 to file:/dev/nvme0n1,direct &&
	ringkernel -q run from file:/dev/nvme0n1,direct,block=8192,qd=64,bytes=4194304 \
		to file:/tmp/out && cmp /tmp/in /tmp/out && echo "NVME IS SAME"
for test in reactor port_udp port_tcp port_file io; do
	test_$test && echo "TEST $test PASSED"
done
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"
truncate -s 64M "$work/nvme0"
mkfs.ext4 -q "$work/nvme1" 256M >/dev/null 2>&1

timeout 300 qemu-system-x86_64 -accel tcg -m 2G -smp 2 -cpu max -nodefaults -display none \
	-no-reboot -monitor none -serial stdio -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 panic=-1 quiet" \
	-drive "file=$work/nvme0,if=none,id=a,format=raw" -device nvme,drive=a,serial=a \
	-drive "file=$work/nvme1,if=none,id=b,format=raw" -device nvme,drive=b,serial=b \
	>"$work/vm" 2>"$work/err" </dev/null
grep -a "^not ok" "$work/vm" >>"$work/err"
judge "Linux $version: NVMe past the page cache, written and read back" \
	grep -qa "NVME IS SAME" "$work/vm"
for test in reactor port_udp port_tcp port_file io; do
	judge "Linux $version: test_$test" grep -qa "TEST $test PASSED" "$work/vm"
done
finish
