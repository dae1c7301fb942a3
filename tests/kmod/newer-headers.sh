#!/bin/sh
# newer-headers.sh: headers of the newest kernel in Debian's backports, unpacked into build/kmod/newer.
#
# Installs nothing and leaves the system's package lists alone.  With --image, the kernel image too
# (106 MB), to run the tests on it:
#   RK_KDIR=build/kmod/newer/usr/src/linux-headers-VERSION-amd64 \
#   RK_KERNEL=build/kmod/newer/boot/vmlinuz-VERSION-amd64 sh tests/kmod/run.sh stock
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
into=$root/build/kmod/newer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suite=${RK_SUITE:-bookworm-backports}

mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$into"
echo "deb http://deb.debian.org/debian $suite main" > "$work/sources.list"
apt_with() {
	command=$1
	shift
	"$command" -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" "$@"
}
apt_with apt-get -q update
headers=$(apt_with apt-cache show "linux-headers-amd64/$suite" |
	sed -n 's/^Depends: \(linux-headers-[^ ,]*\).*/\1/p' | head -1)
release=${headers#linux-headers-}
release=${release%-amd64}
packages="$headers linux-headers-$release-common linux-kbuild-$release"
[ "${1:-}" = --image ] && packages="$packages linux-image-$release-amd64"
cd "$work"
# shellcheck disable=SC2086
apt_with apt-get -q download $packages
for deb in ./*.deb; do
	dpkg-deb -x "$deb" "$into"
done
# The packages expect to lie in /usr/src.
sed -i "s| /usr/src| $into/usr/src|" "$into/usr/src/$headers/Makefile"
echo "$into/usr/src/$headers"
