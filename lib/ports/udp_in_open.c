// SPDX-License-Identifier: MIT
/* Port udp, input: its options, and opening its sockets. */
#include "ports/udp_in.h"

#include <linux/net_tstamp.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static int set_feeds(struct rk_port *port, const char *value)
{
	return port_parse_feeds("feeds", value, &((struct udp_in *)port)->feeds);
}

static int set_interface(struct rk_port *port, const char *value)
{
	struct udp_in *in = (struct udp_in *)port;

	in->interface_given = true;
	return udp_parse_interface(value, &in->interface);
}

static int set_stamp(struct rk_port *port, const char *value)
{
	(void)value;
	((struct udp_in *)port)->stamp = true;
	return 0;
}

static int set_buffer(struct rk_port *port, const char *value)
{
	return port_parse_count("rcvbuf", value, 1, UDP_MAX_BUFFER_BYTES,
				&((struct udp_in *)port)->buffer_bytes);
}

static int set_idle(struct rk_port *port, const char *value)
{
	return port_parse_count("idle", value, 1, UINT32_MAX, &((struct udp_in *)port)->idle_ms);
}

static int set_count(struct rk_port *port, const char *value)
{
	return port_parse_count("count", value, 1, UINT64_MAX - 1, &((struct udp_in *)port)->left);
}

static int set_join(struct rk_port *port, const char *value)
{
	(void)value;
	((struct udp_in *)port)->join_segments = true;
	return 0;
}

static int set_reuse(struct rk_port *port, const char *value)
{
	(void)value;
	((struct udp_in *)port)->reuse = true;
	return 0;
}

static int set_hardware(struct rk_port *port, const char *value)
{
	(void)value;
	((struct udp_in *)port)->hardware = true;
	return 0;
}

static int set_lend(struct rk_port *port, const char *value)
{
	port->lends = true;
	return port_parse_count("lend", value, 1, MAX_DATAGRAM_BYTES,
				&((struct udp_in *)port)->lend);
}

static int set_gpu(struct rk_port *port, const char *value)
{
	(void)value;
	port->lends_gpu = true;
	return 0;
}

const struct port_option udp_in_options[] = {
	{"feeds", false, set_feeds},	 {"iface", false, set_interface},
	{"stamp", true, set_stamp},	 {"rcvbuf", false, set_buffer},
	{"idle", false, set_idle},	 {"count", false, set_count},
	{"gro", true, set_join},	 {"reuseport", true, set_reuse},
	{"hwstamp", true, set_hardware}, {"lend", false, set_lend},
	{"gpu", true, set_gpu},		 {NULL, false, NULL},
};

static int join(const struct udp_in *in, int fd, struct frame_address address, const char *text)
{
	struct ip_mreqn group = in->interface;
	int no = 0;

	group.imr_multiaddr.s_addr = htonl(address.ip);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
		return rk_fail(errno, "join %s: %s: %s", text, strerror(errno),
			       in->interface_given ? "has the interface an IPv4 address?"
						   : "name an interface with iface=");
	/* Only what this socket joined, not what others on this machine did. */
	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &no, sizeof(no)))
		return rk_fail(errno, "%s: IP_MULTICAST_ALL: %s", text, strerror(errno));
	return 0;
}

/* What the kernel shall tell with each datagram. */
static int ask_for_control(const struct udp_in *in, int fd)
{
	int yes = 1, times = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE |
			     SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

	if (in->hardware ? setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &times, sizeof(times))
			 : setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes)))
		return -1;
	if (in->join_segments && setsockopt(fd, SOL_UDP, UDP_GRO, &yes, sizeof(yes)))
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
}

static int open_socket(struct udp_in *in, uint32_t index)
{
	struct frame_address address = in->feeds.at[index];
	struct sockaddr_in name = udp_address(address);
	int fd, yes = 1, result;
	char text[32];

	snprintf(text, sizeof(text), "%u.%u.%u.%u:%u", address.ip >> 24, address.ip >> 16 & 255,
		 address.ip >> 8 & 255, address.ip & 255, address.port);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return rk_fail(errno, "socket: %s", strerror(errno));
	in->feed[index].fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    (in->reuse && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes))) ||
	    ask_for_control(in, fd))
		return rk_fail(errno, "%s: socket options: %s", text, strerror(errno));
	result = udp_set_buffer(&in->port, fd, in->buffer_bytes, true);
	if (result)
		return result;
	if (bind(fd, (const struct sockaddr *)&name, sizeof(name)))
		return rk_fail(errno, "bind %s: %s", text, strerror(errno));
	return port_is_multicast(address) ? join(in, fd, address, text) : 0;
}

/* What a loan needs besides its buffer. */
static int open_loans(struct udp_in *in)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .cuda = in->port.lends_gpu};
	int result;

	if (in->port.lends_gpu && !in->lend)
		return rk_fail(EINVAL, "gpu: it goes with lend=");
	if (in->lend && in->join_segments)
		return rk_fail(EINVAL, "gro: joined datagrams share a buffer, which is lent to one "
				       "alone: leave gro or lend= out");
	if (!in->lend)
		return 0;
	result = rk_region_open(&in->words, BUFFERS * sizeof(*in->done), &opts);
	if (!result)
		in->done = rk_region_take(in->words, BUFFERS * sizeof(*in->done));
	return result;
}

static int open_reactor(struct udp_in *in)
{
	uint32_t most = in->join_segments || in->lend ? MAX_DATAGRAM_BYTES : UDP_ROOM_BYTES;
	int result = open_loans(in);

	if (!result)
		result = reactor_buffers_make(&in->buffers, BUFFERS, FRONT_BYTES + most,
					      in->port.lends_gpu);
	if (!result)
		result = reactor_client_open(&in->client, true, in->port.note,
					     sizeof(in->port.note));
	in->client.buffers = &in->buffers;
	in->head.msg_controllen = CONTROL_BYTES;
	for (uint32_t i = 0; i < in->feeds.count; i++) {
		struct feed *feed = &in->feed[i];

		feed->in = in;
		feed->receive = (struct reactor_op){.done = udp_in_received,
						    .kind = REACTOR_RECVMSG,
						    .head = &in->head,
						    .buffers = &in->buffers};
	}
	return result;
}

int udp_in_open(struct rk_port *port, const char *what)
{
	struct udp_in *in = (struct udp_in *)port;
	bool groups = false;
	int result;

	for (uint32_t i = 0; i < PORT_MAX_FEEDS; i++)
		in->feed[i].fd = -1;
	in->client.epoll = in->client.first = -1;
	if (!in->buffer_bytes)
		in->buffer_bytes = DEFAULT_BUFFER_BYTES;
	if (!in->left)
		in->left = UINT64_MAX;
	result = udp_parse_feeds(&in->feeds, what);
	for (uint32_t i = 0; i < in->feeds.count; i++)
		groups |= port_is_multicast(in->feeds.at[i]);
	if (!result && in->interface_given && !groups)
		result = rk_fail(EINVAL, "iface: no address is a multicast group: leave it out");
	if (!result)
		result = open_reactor(in);
	for (uint32_t i = 0; !result && i < in->feeds.count; i++)
		result = open_socket(in, i);
	return result;
}
