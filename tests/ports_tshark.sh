#!/bin/sh
# SPDX-License-Identifier: MIT
# A recording as Wireshark reads it: stamps to the nanosecond, addresses, lengths, both checksums
# right, and every byte of the payloads.
set -u
B=${B:-build}
tests=$B/release/tests/test_port_pcap_out

if ! command -v tshark >/dev/null; then
	echo "ports_tshark: tshark is not installed: apt-get install tshark"
	exit 77
fi
if grep -q 'RK_HAVE_PCAP 0' "$B/config.h"; then
	echo "ports_tshark: built without libpcap, so nothing records: apt-get install libpcap-dev"
	exit 77
fi
if [ ! -x "$tests" ]; then
	echo "not ok 1 - no $tests: run make test"
	exit 1
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
number=0 status=0

verdict() { # status text
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		status=1
	fi
}

"$tests" record "$work/r.pcap" >"$work/ours.txt"
verdict $? "a recording was made"
tshark -n -r "$work/r.pcap" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -T fields \
	-E separator=/s -E occurrence=f -e frame.time_epoch -e ip.dst -e udp.dstport -e udp.length \
	-e ip.checksum.status -e udp.checksum.status -e udp.payload \
	>"$work/theirs.txt" 2>"$work/tshark.log"
verdict $? "tshark reads it"
[ "$(wc -l <"$work/ours.txt")" = 400 ]
verdict $? "it has 400 frames"
cmp "$work/ours.txt" "$work/theirs.txt"
verdict $? "tshark finds what was written, checksums right"
[ $status = 0 ] || {
	diff "$work/ours.txt" "$work/theirs.txt" | cut -c 1-150 | head -n 10
	cat "$work/tshark.log"
}
exit $status
