#!/bin/sh
# initramfs.sh OUT KERNEL-VERSION FOLDER PROGRAM...: busybox, the modules of soft-RoCE, programs with
# their libraries, and what lies in FOLDER, at /data.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1 version=$2 data=$3
shift 3

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
for folder in bin sbin usr/bin etc/libibverbs.d dev proc sys tmp run var/run ko; do
	mkdir -p "$root/$folder"
done

with_libraries() { # file as-path
	mkdir -p "$root/$(dirname "$2")"
	cp -L "$1" "$root/$2"
	ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' | while read -r library; do
		[ -e "$root$library" ] && continue
		mkdir -p "$root$(dirname "$library")"
		cp -L "$library" "$root$library"
	done
}

cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
cp "$here/cases.sh" "$root/cases.sh"
cp -r "$data" "$root/data"
chmod 755 "$root/init"
for module in virtio_pci virtio_net crc32_generic rdma_rxe rdma_ucm sch_netem; do
	modprobe -S "$version" --ignore-install --show-depends "$module"
done | while read -r kind path _; do
	name=$(basename "$path")
	[ "$kind" = insmod ] && [ ! -e "$root/ko/$name" ] || continue
	cp "$path" "$root/ko/$name"
	echo "$name" >>"$root/ko/order"
done
for program in "$@"; do
	with_libraries "$(command -v "$program")" "usr/bin/$(basename "$program")"
done
# What is opened at run time: ldd names neither.
for library in $(ldconfig -p | sed -n 's/.*=> //p' |
	grep -E '/(libibverbs\.so\.1|librdmacm\.so\.1|librxe-rdmav[0-9]*\.so)$') \
	$(find /usr/lib -name 'librxe-rdmav*.so'); do
	[ -e "$root$library" ] || with_libraries "$library" "${library#/}"
done
cp /etc/libibverbs.d/rxe.driver "$root/etc/libibverbs.d/"
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$out"
