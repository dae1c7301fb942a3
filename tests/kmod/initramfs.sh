#!/bin/sh
# initramfs.sh OUT RKTEST KO...: an initramfs of busybox, the test program and modules.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1 rktest=$2
shift 2

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/ko"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$rktest" "$root/bin/rktest"
cp "$here/init.sh" "$root/init"
chmod 755 "$root/init"
for ko in "$@"; do
	cp "$ko" "$root/ko/"
	strip --strip-debug "$root/ko/$(basename "$ko")"
done
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) > "$out"
