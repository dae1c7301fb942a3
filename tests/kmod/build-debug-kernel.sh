#!/bin/sh
# build-debug-kernel.sh [FOLDER]: a kernel with every check that can tell a bug of the module, from
# the distribution's source; FOLDER (default build/kmod/debug-kernel) gets bzImage and headers/.
#
# Takes about 14 minutes on two cores and 2 GB in build/kmod.  Needs
#   apt-get install linux-source-6.1 bc bison flex libelf-dev libssl-dev xz-utils rsync
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/build/kmod/debug-kernel}
work=$root/build/kmod/debug-build
packed=$(ls /usr/src/linux-source-*.tar.xz | sort -V | tail -1)

mkdir -p "$work/obj" "$out"
source=$work/$(basename "$packed" .tar.xz)
[ -d "$source" ] || tar -C "$work" -xf "$packed"
make -s -C "$source" "O=$work/obj" "KCONFIG_ALLCONFIG=$here/debug.config" allnoconfig

# An option that did not stick is a check that would silently not be made.
missing=$(sed -n 's/^\(CONFIG_[A-Z0-9_]*=y\)$/\1/p' "$here/debug.config" |
	grep -vxF -f "$work/obj/.config" || true)
if [ "$missing" ]; then
	echo "not taken by this kernel:" $missing >&2
	exit 1
fi
make -s -C "$source" "O=$work/obj" "-j$(nproc)" bzImage modules
cp "$work/obj/arch/x86/boot/bzImage" "$out/bzImage"

# What a module's build reads of the two trees: sources of headers and scripts, and what was made.
rm -rf "$out/headers"
mkdir -p "$out/headers"
(cd "$source" && find . \( -name 'Makefile*' -o -name 'Kconfig*' -o -name 'Kbuild*' \) -print0 \
	| cpio -0pdm --quiet "$out/headers")
(cd "$source" && find include scripts arch/x86/include arch/x86/Makefile* tools/include \
	-type f -print0 | cpio -0pdm --quiet "$out/headers")
(cd "$work/obj" && find include scripts arch/x86/include -type f ! -name '*.o' -print0 |
	cpio -0pdmu --quiet "$out/headers")
(cd "$work/obj" && find .config Module.symvers tools/objtool/objtool -print0 2> /dev/null |
	cpio -0pdmu --quiet "$out/headers")
echo "$out"
