#!/bin/sh
# checkpatch.sh: the kernel's own style check, strict, over the module and its stand-in.
#
# checkpatch.pl is taken from the distribution's linux-source into build/.
# Exit status 77: not to be had; the last line says why.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tool=$root/build/kmod/checkpatch

if [ ! -f "$tool/checkpatch.pl" ]; then
	source=$(ls /usr/src/linux-source-*.tar.xz 2> /dev/null | head -1)
	if [ -z "$source" ]; then
		echo "no checkpatch.pl: apt-get install linux-source-6.1"
		exit 77
	fi
	mkdir -p "$tool"
	tar -C "$tool" --strip-components=2 --wildcards -xf "$source" '*/scripts/checkpatch.pl' \
		'*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch'
fi
if ! command -v perl > /dev/null; then
	echo "no perl: apt-get install perl"
	exit 77
fi

files=0 bad=0
check() {
	files=$((files + 1))
	perl "$tool/checkpatch.pl" --no-tree --strict --terse --max-line-length=100 --quiet \
		--no-summary ${2:+--ignore "$2"} --file "$1" || bad=1
}

for file in "$root"/kmod/*.[ch] "$here"/standin/*.[ch]; do
	case $file in
	# Bridging the age of kernels is what this file is for.
	*/compat.h) check "$file" LINUX_VERSION_CODE,CONSTANT_COMPARISON ;;
	# BIT() is not for user space.
	*/rk_uapi.h) check "$file" BIT_MACRO ;;
	# The functions of another driver are declared and defined here as theirs.
	*) check "$file" ;;
	esac
done
[ "$bad" = 0 ] && echo "$files files"
exit "$bad"
