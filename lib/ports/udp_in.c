// SPDX-License-Identifier: MIT
/*
 * Port udp, input: one socket a feed, read by recvmmsg a batch at a time.
 *
 * The kernel writes each datagram where its message will have it, so what goes into the ring is
 * never copied in between. A batch that the full ring does not take stays where it is, and nothing
 * more is received until it is in: what comes meanwhile waits in the socket's buffer, and what
 * that has no room for is counted by the kernel and told by us.
 */
#include "ports/udp.h"

#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
	DEFAULT_BUFFER_BYTES = 64 << 20,
	CONTROL_BYTES = CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t)),
};

/**
 * struct feed - one address
 * @dropped: the kernel's count of datagrams it had no room for, as last seen
 * @lost: datagrams lost since the last message
 * @drained: received from since @dropped was last asked for
 */
struct feed {
	int fd;
	uint32_t dropped;
	uint16_t lost;
	bool drained;
};

/* What recvmmsg fills for one datagram. */
struct place {
	struct iovec iovec;
	uint32_t bytes; /* of the datagram; meaningful if @slots */
	uint32_t slots; /* of the message; 0: dropped */
	uint8_t control[CONTROL_BYTES] __attribute__((aligned(8)));
};

/**
 * struct udp_in - sockets and the batch that was received last
 * @turn: the feed of the batch; the next one is received from next
 * @next: of the batch, the first message not in the ring
 * @have: datagrams in the batch
 * @left: messages left to receive
 * @last_ns: when something came last; 0: never
 */
struct udp_in {
	struct rk_port port;
	struct port_feeds feeds;
	struct ip_mreqn interface;
	bool interface_given, stamp, ended;
	uint64_t buffer_bytes, idle_ms, left;
	struct feed feed[PORT_MAX_FEEDS];
	int epoll;
	uint32_t turn, next, have;
	uint64_t last_ns;
	uint8_t *rooms;
	struct mmsghdr heads[PORT_BATCH];
	struct place places[PORT_BATCH];
};

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

static const struct port_option options[] = {
	{"feeds", false, set_feeds},   {"iface", false, set_interface}, {"stamp", true, set_stamp},
	{"rcvbuf", false, set_buffer}, {"idle", false, set_idle},	{"count", false, set_count},
	{NULL, false, NULL},
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

static int open_socket(struct udp_in *in, uint32_t index)
{
	struct frame_address address = in->feeds.at[index];
	struct sockaddr_in name = udp_address(address);
	struct epoll_event event = {.events = EPOLLIN};
	int fd, yes = 1, result;
	char text[32];

	snprintf(text, sizeof(text), "%u.%u.%u.%u:%u", address.ip >> 24, address.ip >> 16 & 255,
		 address.ip >> 8 & 255, address.ip & 255, address.port);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return rk_fail(errno, "socket: %s", strerror(errno));
	in->feed[index].fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes)))
		return rk_fail(errno, "%s: socket options: %s", text, strerror(errno));
	result = udp_set_buffer(&in->port, fd, in->buffer_bytes, true);
	if (result)
		return result;
	if (bind(fd, (const struct sockaddr *)&name, sizeof(name)))
		return rk_fail(errno, "bind %s: %s", text, strerror(errno));
	if (port_is_multicast(address)) {
		result = join(in, fd, address, text);
		if (result)
			return result;
	}
	if (epoll_ctl(in->epoll, EPOLL_CTL_ADD, fd, &event))
		return rk_fail(errno, "%s: epoll: %s", text, strerror(errno));
	return 0;
}

static int make_batch(struct udp_in *in)
{
	in->rooms = aligned_alloc(RK_CACHE_LINE_BYTES, PORT_BATCH * (size_t)UDP_ROOM_BYTES);
	if (!in->rooms)
		return rk_fail(ENOMEM, "no memory");
	memset(in->rooms, 0, PORT_BATCH * (size_t)UDP_ROOM_BYTES);
	for (uint32_t i = 0; i < PORT_BATCH; i++) {
		struct place *place = &in->places[i];

		place->iovec.iov_base = in->rooms + i * (size_t)UDP_ROOM_BYTES + PORT_HEAD_BYTES;
		place->iovec.iov_len = UDP_ROOM_BYTES - PORT_HEAD_BYTES;
		in->heads[i].msg_hdr = (struct msghdr){
			.msg_iov = &place->iovec, .msg_iovlen = 1, .msg_control = place->control};
	}
	return 0;
}

static int udp_in_open(struct rk_port *port, const char *what)
{
	struct udp_in *in = (struct udp_in *)port;
	bool groups = false;
	int result;

	for (uint32_t i = 0; i < PORT_MAX_FEEDS; i++)
		in->feed[i].fd = -1;
	in->epoll = -1;
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
		result = make_batch(in);
	if (result)
		return result;
	in->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (in->epoll < 0)
		return rk_fail(errno, "epoll: %s", strerror(errno));
	for (uint32_t i = 0; !result && i < in->feeds.count; i++)
		result = open_socket(in, i);
	in->turn = in->feeds.count - 1;
	return result;
}

/* The kernel's count of drops of @feed is now @dropped. */
static void note_dropped(struct udp_in *in, struct feed *feed, uint32_t dropped)
{
	uint32_t more = dropped - feed->dropped;

	/* An older reading: the count that came with a datagram queued before we asked. */
	if ((int32_t)more <= 0)
		return;
	feed->dropped = dropped;
	port_lose(&feed->lost, more);
	port_count(&in->port.stats.dropped_kernel, more);
}

/*
 * A datagram carries the count of drops before it, so drops behind the last one show nowhere. When
 * a socket is empty we ask.
 */
static void ask_dropped(struct udp_in *in, struct feed *feed)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t bytes = sizeof(info);

	feed->drained = false;
	port_count(&in->port.stats.calls, 1);
	if (!getsockopt(feed->fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) &&
	    bytes > SK_MEMINFO_DROPS * sizeof(info[0]))
		note_dropped(in, feed, info[SK_MEMINFO_DROPS]);
}

/* Read the control messages of a datagram; returns its receive time, CLOCK_REALTIME ns or 0. */
static uint64_t read_control(struct udp_in *in, struct feed *feed, struct msghdr *head)
{
	uint64_t time_ns = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at; at = CMSG_NXTHDR(head, at)) {
		struct timespec time;
		uint32_t dropped;

		if (at->cmsg_level != SOL_SOCKET)
			continue;
		if (at->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&time, CMSG_DATA(at), sizeof(time));
			time_ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
		} else if (at->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&dropped, CMSG_DATA(at), sizeof(dropped));
			note_dropped(in, feed, dropped);
		}
	}
	return time_ns;
}

/* Cut the trailer off the @*bytes at @data, if there is one; returns its time, or @time_ns. */
static uint64_t cut_trailer(const uint8_t *data, uint32_t *bytes, uint64_t time_ns)
{
	struct udp_trailer trailer;

	if (*bytes < sizeof(trailer))
		return time_ns;
	memcpy(&trailer, data + *bytes - sizeof(trailer), sizeof(trailer));
	if (trailer.magic != UDP_MAGIC)
		return time_ns;
	*bytes -= (uint32_t)sizeof(trailer);
	return trailer.time_ns;
}

/* Make a message of the datagram at @i, or drop it. @to_monotonic_ns: what CLOCK_REALTIME lacks. */
static void finish(struct udp_in *in, uint32_t i, uint64_t to_monotonic_ns, uint32_t max_slots)
{
	struct feed *feed = &in->feed[in->turn];
	struct place *place = &in->places[i];
	struct rk_packet packet = {.feed = (uint16_t)(in->port.feed + in->turn)};
	uint64_t time_ns;

	packet.rx_time_ns = read_control(in, feed, &in->heads[i].msg_hdr);
	packet.bytes = in->heads[i].msg_len;
	time_ns = to_monotonic_ns +
		  (packet.rx_time_ns ? packet.rx_time_ns : clock_ns(CLOCK_REALTIME));
	if (in->stamp)
		time_ns = cut_trailer(place->iovec.iov_base, &packet.bytes, time_ns);
	place->slots = 0;
	place->bytes = packet.bytes;
	/* One that was cut fills its room, which is longer than any message. */
	if (packet.bytes > PORT_MAX_BYTES || port_cells(packet.bytes) > max_slots) {
		port_count(&in->port.stats.dropped_too_long, 1);
		port_lose(&feed->lost, 1);
		return;
	}
	packet.dropped = feed->lost;
	feed->lost = 0;
	place->slots =
		port_seal((uint8_t *)place->iovec.iov_base - PORT_HEAD_BYTES, time_ns, &packet);
}

/* Receive up to @most datagrams of feed @in->turn as the new batch; -errno when that fails. */
static int receive(struct udp_in *in, uint32_t most, uint32_t max_slots)
{
	struct feed *feed = &in->feed[in->turn];
	uint64_t now_ns;
	int got;

	if (most > PORT_BATCH)
		most = PORT_BATCH;
	if (most > in->left)
		most = (uint32_t)in->left;
	for (uint32_t i = 0; i < most; i++)
		in->heads[i].msg_hdr.msg_controllen = CONTROL_BYTES;
	port_count(&in->port.stats.calls, 1);
	got = recvmmsg(feed->fd, in->heads, most, MSG_DONTWAIT, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		return rk_fail(errno, "port '%s': receive: %s", in->port.uri, strerror(errno));
	if (got <= 0) {
		if (feed->drained)
			ask_dropped(in, feed);
		return 0;
	}
	feed->drained = true;
	now_ns = clock_ns(CLOCK_MONOTONIC);
	in->last_ns = now_ns;
	now_ns -= clock_ns(CLOCK_REALTIME);
	for (uint32_t i = 0; i < (uint32_t)got; i++)
		finish(in, i, now_ns, max_slots);
	in->next = 0;
	in->have = (uint32_t)got;
	return got;
}

/* Put up to @budget messages of the batch into the ring; returns how many. */
static uint32_t put(struct udp_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	struct rk_port_stats *stats = &in->port.stats;
	uint32_t messages = 0;
	uint64_t bytes = 0;

	for (; in->next < in->have && messages < budget; in->next++) {
		const struct place *place = &in->places[in->next];
		const uint8_t *data = place->iovec.iov_base;

		if (!place->slots)
			continue;
		if (rk_ring_send(tx, (const struct rk_msg *)(data - PORT_HEAD_BYTES)) <= 0)
			break;
		bytes += place->bytes;
		messages++;
	}
	port_count(&stats->messages, messages);
	port_count(&stats->bytes, bytes);
	in->left -= messages;
	if (in->next < in->have && messages < budget && !tx->closed)
		port_count(&stats->ring_full, 1);
	return messages;
}

/* The ring is closed: forget the batch. */
static int drop_batch(struct udp_in *in, const struct rk_ring_tx *tx)
{
	for (; in->next < in->have; in->next++)
		port_count(&in->port.stats.dropped_closed, in->places[in->next].slots != 0);
	return port_closed(&in->port, tx);
}

/* Nothing came: is that the end? */
static int nothing(struct udp_in *in)
{
	if (in->idle_ms && in->last_ns && !in->ended)
		in->ended = clock_ns(CLOCK_MONOTONIC) - in->last_ns >= in->idle_ms * 1000000;
	if (in->ended)
		return rk_fail(ENODATA, "port '%s': nothing came for %llu ms", in->port.uri,
			       (unsigned long long)in->idle_ms);
	return 0;
}

static int udp_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct udp_in *in = (struct udp_in *)port;
	uint32_t moved = 0;
	int result;

	if (in->ended || !budget)
		return nothing(in);
	if (tx->closed)
		return drop_batch(in, tx);
	/* Each feed has its turn, once a call; a call that fills its budget goes on with the next.
	 */
	for (uint32_t turns = 0; turns <= in->feeds.count && moved < budget; turns++) {
		moved += put(in, tx, budget - moved);
		if (in->next < in->have || turns == in->feeds.count || !in->left || moved == budget)
			break;
		in->turn = (in->turn + 1) % in->feeds.count;
		result = receive(in, budget - moved, tx->max_slots);
		if (result < 0)
			return moved ? (int)moved : result;
	}
	if (moved)
		return (int)moved;
	if (tx->closed)
		return drop_batch(in, tx);
	if (!in->left)
		return rk_fail(ENODATA, "port '%s': count reached", port->uri);
	return in->next < in->have ? 0 : nothing(in);
}

static int udp_in_fd(const struct rk_port *port)
{
	return ((const struct udp_in *)port)->epoll;
}

static uint64_t udp_in_due_ns(const struct rk_port *port)
{
	const struct udp_in *in = (const struct udp_in *)port;

	return in->idle_ms && in->last_ns && !in->ended ? in->last_ns + in->idle_ms * 1000000 : 0;
}

static int udp_in_close(struct rk_port *port)
{
	struct udp_in *in = (struct udp_in *)port;

	for (uint32_t i = 0; i < in->feeds.count; i++)
		if (in->feed[i].fd >= 0)
			close(in->feed[i].fd);
	if (in->epoll >= 0)
		close(in->epoll);
	free(in->rooms);
	return 0;
}

const struct port_ops port_udp_in = {
	.bytes = sizeof(struct udp_in),
	.options = options,
	.open = udp_in_open,
	.poll_in = udp_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = udp_in_fd,
	.due_ns = udp_in_due_ns,
	.close = udp_in_close,
};
