// SPDX-License-Identifier: MIT
/* Port udp, the kind, and what its two directions share: interfaces and buffer sizes. */
#include "ports/udp.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

int udp_parse_interface(const char *value, struct ip_mreqn *interface)
{
	memset(interface, 0, sizeof(*interface));
	if (inet_pton(AF_INET, value, &interface->imr_address) == 1)
		return 0;
	interface->imr_ifindex = (int)if_nametoindex(value);
	if (!interface->imr_ifindex)
		return rk_fail(EINVAL,
			       "iface=%s: no such interface: `ip link` lists them, or write an "
			       "IPv4 address of one",
			       value);
	return 0;
}

int udp_parse_feeds(struct port_feeds *feeds, const char *what)
{
	struct port_feeds all = {.count = 0};
	int result = port_parse_feeds("address", what, &all);

	if (result)
		return result;
	if (all.count != 1)
		return rk_fail(EINVAL,
			       "'%s': one address stands here: the others go to feeds=", what);
	if (feeds->count == PORT_MAX_FEEDS)
		return rk_fail(EINVAL, "more than %d feeds: open another port", PORT_MAX_FEEDS);
	memcpy(&all.at[1], feeds->at, feeds->count * sizeof(feeds->at[0]));
	all.count += feeds->count;
	*feeds = all;
	return 0;
}

int udp_set_buffer(struct rk_port *port, int fd, uint64_t bytes, bool receive)
{
	const char *key = receive ? "rcvbuf" : "sndbuf";
	int want = (int)bytes, got = 0;
	socklen_t got_bytes = sizeof(got);
	int force = receive ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;
	int plain = receive ? SO_RCVBUF : SO_SNDBUF;

	/* Past the administrator's limit where we may, else as far as it goes. */
	if (setsockopt(fd, SOL_SOCKET, force, &want, sizeof(want)) &&
	    setsockopt(fd, SOL_SOCKET, plain, &want, sizeof(want)))
		return rk_fail(errno, "%s=%d: %s", key, want, strerror(errno));
	if (getsockopt(fd, SOL_SOCKET, plain, &got, &got_bytes))
		return rk_fail(errno, "%s: %s", key, strerror(errno));
	/* The kernel doubles what it is asked for, to have room for its own. */
	if (got / 2 < want)
		snprintf(port->note, sizeof(port->note),
			 "%s: got %d bytes of %d: sysctl -w net.core.%cmem_max=%d, or run with "
			 "CAP_NET_ADMIN",
			 key, got / 2, want, receive ? 'r' : 'w', want);
	return 0;
}

struct sockaddr_in udp_address(struct frame_address address)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(address.port),
				    .sin_addr.s_addr = htonl(address.ip)};
}

#define OPTIONS                                                                                 \
	"feeds=A:P+A:P...   addresses of feed 1, 2...; feed 0 is the one before the options\n"  \
	"iface=NAME         of multicast groups; or an IPv4 address of the interface\n"         \
	"stamp              in: take the intended time from a trailer of 16 bytes, if there\n"  \
	"                   out: append it (this machine's CLOCK_MONOTONIC)\n"                  \
	"rcvbuf=BYTES       in: of the socket (default 67108864)\n"                             \
	"idle=MS            in: end when something came and then nothing for MS\n"              \
	"count=N            in: end after N messages\n"                                         \
	"gro                in: let the kernel join datagrams of a flow; they come out apart\n" \
	"reuseport          in: share the address with other processes, flow by flow\n"         \
	"hwstamp            in: receive times of the NIC's clock, where it has one\n"           \
	"lend=BYTES         in: longer datagrams stay where they were received, and their\n"    \
	"                   message says where (rk_packet.h)\n"                                 \
	"gpu                in: with lend: to an actor on a GPU\n"                              \
	"sndbuf=BYTES       out: of the socket (default: the system's)\n"                       \
	"ttl=N              out: of multicast datagrams, 0 to 255 (default 1)"

const struct port_kind port_udp = {
	.about = {"udp", "in: receives datagrams, joining multicast groups; out: sends them",
		  OPTIONS, NULL},
	.in = &port_udp_in,
	.out = &port_udp_out,
};
