// SPDX-License-Identifier: MIT
/*
 * Port udp, output: datagrams go out by sendmmsg, a batch at a time, in the order written.
 *
 * With one address the socket is connected to it, and the refusals of a host without a listener
 * come back to us; with several, one socket serves all, so that their order is kept, and the
 * kernel does not tell.
 */
#include "ports/udp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/**
 * struct udp_out - a socket and the batch being gathered
 * @start: of the batch, the first datagram not sent
 * @end: behind the last gathered
 */
struct udp_out {
	struct rk_port port;
	struct port_feeds feeds;
	struct ip_mreqn interface;
	struct sockaddr_in names[PORT_MAX_FEEDS];
	bool interface_given, ttl_given, stamp;
	uint64_t buffer_bytes, ttl;
	int fd;
	uint32_t start, end;
	uint8_t *rooms;
	struct mmsghdr heads[PORT_BATCH];
	struct iovec iovecs[PORT_BATCH];
	uint32_t payload_bytes[PORT_BATCH];
};

static int set_feeds(struct rk_port *port, const char *value)
{
	return port_parse_feeds("feeds", value, &((struct udp_out *)port)->feeds);
}

static int set_interface(struct rk_port *port, const char *value)
{
	struct udp_out *out = (struct udp_out *)port;

	out->interface_given = true;
	return udp_parse_interface(value, &out->interface);
}

static int set_stamp(struct rk_port *port, const char *value)
{
	(void)value;
	((struct udp_out *)port)->stamp = true;
	return 0;
}

static int set_buffer(struct rk_port *port, const char *value)
{
	return port_parse_count("sndbuf", value, 1, UDP_MAX_BUFFER_BYTES,
				&((struct udp_out *)port)->buffer_bytes);
}

static int set_ttl(struct rk_port *port, const char *value)
{
	struct udp_out *out = (struct udp_out *)port;

	out->ttl_given = true;
	return port_parse_count("ttl", value, 0, 255, &out->ttl);
}

static const struct port_option options[] = {
	{"feeds", false, set_feeds},   {"iface", false, set_interface}, {"stamp", true, set_stamp},
	{"sndbuf", false, set_buffer}, {"ttl", false, set_ttl},		{NULL, false, NULL},
};

/* Options of a socket that sends to multicast groups. */
static int prepare_groups(const struct udp_out *out)
{
	int ttl = (int)out->ttl, loop = 1;

	if (out->interface_given && setsockopt(out->fd, IPPROTO_IP, IP_MULTICAST_IF,
					       &out->interface, sizeof(out->interface)))
		return rk_fail(errno, "iface: %s", strerror(errno));
	if (out->ttl_given && setsockopt(out->fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)))
		return rk_fail(errno, "ttl=%d: %s", ttl, strerror(errno));
	if (setsockopt(out->fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop)))
		return rk_fail(errno, "IP_MULTICAST_LOOP: %s", strerror(errno));
	return 0;
}

static int make_batch(struct udp_out *out)
{
	out->rooms = aligned_alloc(RK_CACHE_LINE_BYTES, PORT_BATCH * (size_t)UDP_ROOM_BYTES);
	if (!out->rooms)
		return rk_fail(ENOMEM, "no memory");
	for (uint32_t i = 0; i < PORT_BATCH; i++) {
		out->iovecs[i].iov_base = out->rooms + i * (size_t)UDP_ROOM_BYTES;
		out->heads[i].msg_hdr =
			(struct msghdr){.msg_iov = &out->iovecs[i], .msg_iovlen = 1};
	}
	return 0;
}

static int open_socket(struct udp_out *out)
{
	int result;

	out->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (out->fd < 0)
		return rk_fail(errno, "socket: %s", strerror(errno));
	result = out->buffer_bytes ? udp_set_buffer(&out->port, out->fd, out->buffer_bytes, false)
				   : 0;
	if (!result)
		result = prepare_groups(out);
	if (result)
		return result;
	if (out->feeds.count == 1 &&
	    connect(out->fd, (const struct sockaddr *)&out->names[0], sizeof(out->names[0])))
		return rk_fail(errno, "connect: %s", strerror(errno));
	return 0;
}

static int udp_out_open(struct rk_port *port, const char *what)
{
	struct udp_out *out = (struct udp_out *)port;
	bool groups = false;
	int result;

	out->fd = -1;
	result = udp_parse_feeds(&out->feeds, what);
	for (uint32_t i = 0; i < out->feeds.count; i++) {
		out->names[i] = udp_address(out->feeds.at[i]);
		groups |= port_is_multicast(out->feeds.at[i]);
	}
	if (!result && (out->interface_given || out->ttl_given) && !groups)
		result = rk_fail(EINVAL, "%s: no address is a multicast group: leave it out",
				 out->interface_given ? "iface" : "ttl");
	if (!result)
		result = make_batch(out);
	return result ? result : open_socket(out);
}

/* The first datagram of the batch cannot be sent: drop it, by reason. */
static void drop_first(struct udp_out *out, int error)
{
	struct rk_port_stats *stats = &out->port.stats;

	port_count(error == EMSGSIZE ? &stats->dropped_too_long : &stats->dropped_refused, 1);
	out->start++;
}

/* Send what is gathered; 1 when all is out, 0 when the outside is busy. */
static int udp_out_flush(struct rk_port *port)
{
	struct udp_out *out = (struct udp_out *)port;

	while (out->start < out->end) {
		uint64_t bytes = 0;
		int sent;

		port_count(&port->stats.calls, 1);
		sent = sendmmsg(out->fd, &out->heads[out->start], out->end - out->start,
				MSG_DONTWAIT);
		if (sent < 0) {
			if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
				return 0;
			drop_first(out, errno);
			continue;
		}
		for (int i = 0; i < sent; i++)
			bytes += out->payload_bytes[out->start++];
		port_count(&port->stats.messages, (uint64_t)sent);
		port_count(&port->stats.bytes, bytes);
	}
	out->start = out->end = 0;
	return 1;
}

/* Put the datagram of @view at the end of the batch. */
static void gather(struct udp_out *out, const struct rk_msg *msg, const struct port_view *view)
{
	struct udp_trailer trailer = {UDP_MAGIC, 0};
	struct msghdr *head = &out->heads[out->end].msg_hdr;
	struct iovec *iovec = &out->iovecs[out->end];

	memcpy(iovec->iov_base, view->data, view->bytes);
	iovec->iov_len = view->bytes;
	if (out->stamp) {
		trailer.time_ns = port_time_ns(msg);
		memcpy((uint8_t *)iovec->iov_base + view->bytes, &trailer, sizeof(trailer));
		iovec->iov_len += sizeof(trailer);
	}
	if (out->feeds.count > 1) {
		head->msg_name = &out->names[view->packet ? view->feed : 0];
		head->msg_namelen = sizeof(out->names[0]);
	}
	out->payload_bytes[out->end++] = view->bytes;
}

static int udp_out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct udp_out *out = (struct udp_out *)port;
	struct port_view view;

	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	/* One address takes all feeds. */
	if (view.packet && out->feeds.count > 1 && view.feed >= out->feeds.count) {
		port_count(&port->stats.dropped_foreign, 1);
		return 1;
	}
	if (out->end == PORT_BATCH && udp_out_flush(port) == 0)
		return 0;
	gather(out, msg, &view);
	if (out->end == PORT_BATCH)
		udp_out_flush(port);
	return 1;
}

static int udp_out_close(struct rk_port *port)
{
	struct udp_out *out = (struct udp_out *)port;
	uint32_t unsent = out->end - out->start;

	if (out->fd >= 0 && unsent && udp_out_flush(port))
		unsent = 0;
	if (out->fd >= 0)
		close(out->fd);
	free(out->rooms);
	return unsent ? rk_fail(EAGAIN, "%u datagrams not sent: flush before closing",
				out->end - out->start)
		      : 0;
}

const struct port_ops port_udp_out = {
	.bytes = sizeof(struct udp_out),
	.options = options,
	.open = udp_out_open,
	.poll_in = port_no_poll_in,
	.write = udp_out_write,
	.flush = udp_out_flush,
	.fd = port_no_fd,
	.due_ns = port_no_due_ns,
	.close = udp_out_close,
};
