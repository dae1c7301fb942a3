// SPDX-License-Identifier: MIT
/* Port pcap, the kind: what it takes, or why this build lacks it. */
#include "config.h"
#include "ports/port.h"

#define OPTIONS                                                                                \
	"speed=max          in: as fast as possible (default)\n"                               \
	"speed=N            in: N times the recorded pace; may be fractional\n"                \
	"rate=N             in: N datagrams per second; may be fractional\n"                   \
	"loops=N            in: replay the file N times\n"                                     \
	"count=N            in: end after N messages\n"                                        \
	"feeds=A:P+A:P...   in: destinations of feed 0, 1...; default: as they appear\n"       \
	"                   out: the same; default: 233.252.0.1:14340, 233.252.0.2:14341...\n" \
	"                   Messages that are no packets go to 233.252.0.255, port: their type"

#if RK_HAVE_PCAP
#define ABSENT NULL
#define IN     &port_pcap_in
#define OUT    &port_pcap_out
#else
#define ABSENT "built without libpcap: apt-get install libpcap-dev, then make"
#define IN     NULL
#define OUT    NULL
#endif

const struct port_kind port_pcap = {
	.about = {"pcap", "in: replays the datagrams of a capture; out: records one", OPTIONS,
		  ABSENT},
	.in = IN,
	.out = OUT,
};
