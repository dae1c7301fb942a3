// SPDX-License-Identifier: MIT
/*
 * Port udp, input: one socket a feed, all received from by the thread's reactor (reactor.h).
 *
 * Each datagram lands in a buffer of the port's region, and waits there until its message is in
 * the ring. When all buffers wait, because the ring is full, the kernel receives nothing more:
 * what comes meanwhile waits in the socket, and what that has no room for is counted by the kernel
 * and told by us. As soon as half of the buffers are free again, receiving goes on.
 */
#include "ports/udp_in.h"
#include "rk_packet.h"

#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

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
 * a socket has become silent we ask.
 */
static void ask_dropped(struct udp_in *in, struct feed *feed)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t bytes = sizeof(info);

	feed->unasked = false;
	port_count(&in->port.stats.calls, 1);
	if (!getsockopt(feed->fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) &&
	    bytes > SK_MEMINFO_DROPS * sizeof(info[0]))
		note_dropped(in, feed, info[SK_MEMINFO_DROPS]);
}

static uint64_t time_of(const void *data)
{
	struct timespec time;

	memcpy(&time, data, sizeof(time));
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Read the control messages of a datagram. */
static void read_control(struct udp_in *in, struct feed *feed, struct msghdr *head,
			 struct arrival *arrival)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at; at = CMSG_NXTHDR(head, at)) {
		const uint8_t *data = CMSG_DATA(at);
		uint32_t dropped;
		int segment;

		if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_TIMESTAMPNS) {
			arrival->rx_time_ns = time_of(data);
		} else if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_TIMESTAMPING) {
			/* The NIC's, if it has one, before the kernel's. */
			arrival->rx_time_ns = time_of(data + 2 * sizeof(struct timespec));
			if (!arrival->rx_time_ns)
				arrival->rx_time_ns = time_of(data);
		} else if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&dropped, data, sizeof(dropped));
			note_dropped(in, feed, dropped);
		} else if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO) {
			memcpy(&segment, data, sizeof(segment));
			if (segment > 0 && (uint32_t)segment < arrival->bytes)
				arrival->segment = (uint32_t)segment;
		}
	}
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

/* @bytes received are in buffer @index: what is it? */
static void arrive(struct udp_in *in, struct feed *feed, uint32_t bytes, uint16_t index)
{
	uint8_t *at = reactor_buffer(&in->buffers, index);
	struct arrival *arrival = &in->arrivals[(in->first + in->waiting) % BUFFERS];
	struct reactor_message message;
	struct msghdr head = {.msg_control = at + REACTOR_MESSAGE_HEAD};

	memcpy(&message, at, sizeof(message));
	if (bytes < FRONT_BYTES || message.name_bytes || message.control_bytes > CONTROL_BYTES) {
		port_count(&in->port.stats.dropped_malformed, 1);
		reactor_give(&in->client, index);
		return;
	}
	*arrival = (struct arrival){.buffer = index, .feed = (uint16_t)(feed - in->feed)};
	arrival->bytes = arrival->segment = bytes - FRONT_BYTES;
	head.msg_controllen = message.control_bytes;
	read_control(in, feed, &head, arrival);
	feed->unasked = in->news = true;
	if (message.flags & MSG_TRUNC) {
		port_count(&in->port.stats.dropped_too_long, 1);
		port_lose(&feed->lost, 1);
		reactor_give(&in->client, index);
		return;
	}
	arrival->lost = feed->lost;
	feed->lost = 0;
	in->waiting++;
}

void udp_in_received(struct reactor_op *op, const struct reactor_done *done)
{
	struct feed *feed = (struct feed *)((char *)op - offsetof(struct feed, receive));
	struct udp_in *in = feed->in;

	if (done->buffer >= 0)
		arrive(in, feed, (uint32_t)done->result, (uint16_t)done->buffer);
	else if (done->result < 0 && done->result != -ENOBUFS && done->result != -ECANCELED &&
		 done->result != -EINTR && done->result != -EAGAIN)
		in->failed = done->result;
}

/* The first arrival is in the ring or dropped; its buffer is free again unless it is @kept. */
static void let_go(struct udp_in *in, bool kept)
{
	if (!kept)
		reactor_give(&in->client, in->arrivals[in->first].buffer);
	in->first = (in->first + 1) % BUFFERS;
	in->waiting--;
}

static uint32_t segment_bytes(const struct arrival *arrival)
{
	uint32_t left = arrival->bytes - arrival->done;

	return left < arrival->segment ? left : arrival->segment;
}

/* --- Loans --- */

/* Where whoever has a loan sees @part of @region. */
static uint64_t seen_at(const struct udp_in *in, const struct rk_region *region, const void *part)
{
	return in->port.lends_gpu ? rk_region_gpu_addr(region, part) : (uintptr_t)part;
}

/* Never 0, which the word of a buffer that was not lent yet holds. */
static uint32_t next_ticket(const struct udp_in *in)
{
	return in->tickets + 1 ? in->tickets + 1 : 1;
}

/* The message of a datagram that stays in buffer @index. */
static void build_loan(struct udp_in *in, uint32_t index, const uint8_t *data, uint64_t time_ns,
		       const struct rk_packet *packet)
{
	struct rk_msg msg = {
		.type = RK_MSG_PACKET_LENT, .flags = RK_MSG_F_TIME, .slots = 1};
	struct rk_packet_lent lent = {.packet = *packet};

	lent.data = seen_at(in, in->buffers.region, data);
	lent.done = seen_at(in, in->words, &in->done[index]);
	lent.ticket = next_ticket(in);
	memcpy(msg.body, &time_ns, sizeof(time_ns));
	memcpy(msg.body + sizeof(time_ns), &lent, sizeof(lent));
	memcpy(in->message, &msg, sizeof(msg));
}

/* The message is in the ring, at @position. */
static void note_loan(struct udp_in *in, uint32_t index, uint64_t position)
{
	in->ticket[index] = in->tickets = next_ticket(in);
	in->sent_at[index] = position;
	in->lent++;
	port_count(&in->port.stats.loans, 1);
}

/* Why the loan of buffer @index is over, as a counter; NULL: it is not. */
static uint64_t *why_over(struct udp_in *in, const struct rk_ring_tx *tx, uint32_t index)
{
	/* A30: pairs with R30 in rk_packet_done(): all was read before. */
	if (__atomic_load_n(&in->done[index], __ATOMIC_ACQUIRE) == in->ticket[index])
		return &in->port.stats.loans_done;
	if (rk_ring_tx_forgotten(tx, in->sent_at[index]))
		return &in->port.stats.loans_forgotten;
	return NULL;
}

/* Buffers whose loan is over are received into again. */
static void take_back(struct udp_in *in, const struct rk_ring_tx *tx)
{
	for (uint32_t i = 0; i < BUFFERS && in->lent; i++) {
		uint64_t *why = in->ticket[i] ? why_over(in, tx, i) : NULL;

		if (!why)
			continue;
		port_count(why, 1);
		in->ticket[i] = 0;
		in->lent--;
		reactor_give(&in->client, (int32_t)i);
	}
}

/* No more is received into any buffer: whoever has one on loan may read it until the port is closed. */
static void end_loans(struct udp_in *in, const struct rk_ring_tx *tx)
{
	take_back(in, tx);
	port_count(&in->port.stats.loans_ended, in->lent);
	memset(in->ticket, 0, sizeof(in->ticket));
	in->lent = 0;
}

/* --- Messages --- */

static bool is_lent(const struct udp_in *in, uint32_t bytes)
{
	return in->lend && bytes > in->lend;
}

/* Make the message of the next datagram of @arrival; 0 if the ring never takes it. */
static uint32_t build(struct udp_in *in, const struct arrival *arrival, uint64_t to_monotonic_ns)
{
	const uint8_t *data =
		reactor_buffer(&in->buffers, arrival->buffer) + FRONT_BYTES + arrival->done;
	struct rk_packet packet = {.rx_time_ns = arrival->rx_time_ns,
				   .bytes = segment_bytes(arrival),
				   .feed = (uint16_t)(in->port.feed + arrival->feed),
				   .dropped = arrival->lost};
	uint64_t time_ns = to_monotonic_ns +
			   (packet.rx_time_ns ? packet.rx_time_ns : clock_ns(CLOCK_REALTIME));

	if (in->stamp)
		time_ns = cut_trailer(data, &packet.bytes, time_ns);
	if (is_lent(in, packet.bytes)) {
		build_loan(in, arrival->buffer, data, time_ns, &packet);
		return packet.bytes + 1;
	}
	if (packet.bytes > PORT_MAX_BYTES || port_cells(packet.bytes) > in->max_slots)
		return 0;
	memcpy(in->message + PORT_HEAD_BYTES, data, packet.bytes);
	port_seal(in->message, time_ns, &packet);
	return packet.bytes + 1;
}

/* Who tells of what was lost now: the next datagram of the feed. */
static uint16_t *lost_after(struct udp_in *in, struct arrival *arrival)
{
	uint32_t begin = arrival->done + segment_bytes(arrival) < arrival->bytes ? 0 : 1;

	for (uint32_t i = begin; i < in->waiting; i++) {
		struct arrival *next = &in->arrivals[(in->first + i) % BUFFERS];

		if (next->feed == arrival->feed)
			return &next->lost;
	}
	return &in->feed[arrival->feed].lost;
}

/* Put the next datagram of the first arrival into the ring; false when that has no room. */
static bool put_one(struct udp_in *in, struct rk_ring_tx *tx, uint64_t to_monotonic_ns,
		    uint64_t *bytes, uint32_t *messages)
{
	struct arrival *arrival = &in->arrivals[in->first];
	uint32_t built = build(in, arrival, to_monotonic_ns);
	uint64_t position = rk_ring_tx_position(tx);
	uint16_t lost = arrival->lost;
	bool lent = false;

	if (!built) {
		port_count(&in->port.stats.dropped_too_long, 1);
		arrival->lost = 0;
		port_lose(lost_after(in, arrival), lost + 1U);
	} else if (rk_ring_send(tx, (const struct rk_msg *)in->message) <= 0) {
		return false;
	} else {
		arrival->lost = 0;
		*bytes += built - 1;
		++*messages;
		lent = is_lent(in, built - 1);
	}
	if (lent)
		note_loan(in, arrival->buffer, position);
	arrival->done += segment_bytes(arrival);
	if (arrival->done >= arrival->bytes)
		let_go(in, lent);
	return true;
}

/* Put up to @budget messages into the ring; returns how many. */
static uint32_t put(struct udp_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	struct rk_port_stats *stats = &in->port.stats;
	uint32_t messages = 0;
	uint64_t bytes = 0, to_monotonic_ns;

	if (!in->waiting)
		return 0;
	to_monotonic_ns = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
	in->held = false;
	while (in->waiting && messages < budget && !in->held)
		in->held = !put_one(in, tx, to_monotonic_ns, &bytes, &messages);
	port_count(&stats->messages, messages);
	port_count(&stats->bytes, bytes);
	in->left -= messages;
	if (in->held && !tx->closed)
		port_count(&stats->ring_full, 1);
	return messages;
}

/* Stop receiving. What was received and is not in the ring was dropped for this @reason. */
static void stop(struct udp_in *in, const struct rk_ring_tx *tx, uint64_t *reason)
{
	for (uint32_t i = 0; i < in->feeds.count; i++)
		if (in->feed[i].unasked)
			ask_dropped(in, &in->feed[i]);
	reactor_leave(&in->client);
	end_loans(in, tx);
	while (in->waiting) {
		struct arrival *arrival = &in->arrivals[in->first];
		uint32_t left = arrival->bytes - arrival->done, segment = arrival->segment;

		if (reason)
			port_count(reason, segment ? (left + segment - 1) / segment : 1);
		let_go(in, false);
	}
}

/* The ring is closed: forget what waits. */
static int drop_all(struct udp_in *in, const struct rk_ring_tx *tx)
{
	stop(in, tx, &in->port.stats.dropped_closed);
	return port_closed(&in->port, tx);
}

/* Receive on every feed, unless most buffers wait for the ring or are on loan. */
static int listen_again(struct udp_in *in)
{
	if (in->waiting + in->lent > BUFFERS / 2)
		return 0;
	for (uint32_t i = 0; i < in->feeds.count; i++) {
		struct feed *feed = &in->feed[i];

		feed->receive.fd = feed->fd;
		if (!feed->receive.live && reactor_submit(&in->client, &feed->receive))
			return rk_fail(EAGAIN, "port '%s': too many operations on one thread",
				       in->port.uri);
	}
	return 0;
}

/* Take what has come, up to @most. */
static int receive(struct udp_in *in, uint32_t most)
{
	uint64_t calls = in->client.calls;
	int result = reactor_join(&in->client), got = 0, now;

	if (!result)
		result = listen_again(in);
	if (result)
		return result;
	do {
		now = reactor_poll(&in->client);
		got += now;
	} while (now && in->waiting < most && in->waiting < BUFFERS && reactor_ready(&in->client));
	port_count(&in->port.stats.calls, in->client.calls - calls);
	if (in->failed)
		return rk_fail(-in->failed, "port '%s': receive: %s", in->port.uri,
			       strerror(-in->failed));
	return got;
}

/* Nothing came: ask what was lost, and whether that is the end. */
static int nothing(struct udp_in *in, const struct rk_ring_tx *tx)
{
	uint64_t silent_ns = in->last_ns ? clock_ns(CLOCK_MONOTONIC) - in->last_ns : 0;

	for (uint32_t i = 0; silent_ns >= SILENT_NS && i < in->feeds.count; i++)
		if (in->feed[i].unasked)
			ask_dropped(in, &in->feed[i]);
	if (in->idle_ms && silent_ns >= in->idle_ms * 1000000 && !in->ended) {
		in->ended = true;
		stop(in, tx, NULL);
	}
	if (in->ended)
		return rk_fail(ENODATA, "port '%s': nothing came for %llu ms", in->port.uri,
			       (unsigned long long)in->idle_ms);
	return 0;
}

static int udp_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct udp_in *in = (struct udp_in *)port;
	uint32_t moved, most = budget < in->left ? budget : (uint32_t)in->left;
	int got;

	if (in->ended || !budget)
		return nothing(in, tx);
	/* With its buffers on loan a port sends nothing by which it would hear of the ring's end. */
	if (in->lent)
		rk_ring_tx_free(tx);
	if (tx->closed)
		return drop_all(in, tx);
	in->max_slots = tx->max_slots;
	take_back(in, tx);
	moved = put(in, tx, most);
	got = in->held || moved == most ? 0 : receive(in, most - moved);
	if (in->news)
		in->last_ns = clock_ns(CLOCK_MONOTONIC);
	in->news = false;
	moved += in->held ? 0 : put(in, tx, most - moved);
	if (moved)
		return (int)moved;
	if (got < 0)
		return got;
	if (tx->closed)
		return drop_all(in, tx);
	if (!in->left) {
		stop(in, tx, NULL);
		return rk_fail(ENODATA, "port '%s': count reached", port->uri);
	}
	return in->waiting ? 0 : nothing(in, tx);
}

static int udp_in_fd(const struct rk_port *port)
{
	return ((const struct udp_in *)port)->client.epoll;
}

static uint64_t udp_in_due_ns(const struct rk_port *port)
{
	const struct udp_in *in = (const struct udp_in *)port;
	uint64_t ask_ns = UINT64_MAX, idle_ns = UINT64_MAX, look_ns = UINT64_MAX;

	/* Another port of this thread took it in for us: now. */
	if (in->waiting && !in->held && !in->ended)
		return 1;
	if (in->ended || !in->last_ns)
		return 0;
	for (uint32_t i = 0; i < in->feeds.count; i++)
		if (in->feed[i].unasked)
			ask_ns = in->last_ns + SILENT_NS;
	if (in->idle_ms)
		idle_ns = in->last_ns + in->idle_ms * 1000000;
	if (in->lent)
		look_ns = clock_ns(CLOCK_MONOTONIC) + LOAN_LOOK_NS;
	if (ask_ns > idle_ns)
		ask_ns = idle_ns;
	if (ask_ns > look_ns)
		ask_ns = look_ns;
	return ask_ns == UINT64_MAX ? 0 : ask_ns;
}

static int udp_in_close(struct rk_port *port)
{
	struct udp_in *in = (struct udp_in *)port;
	int result = reactor_client_close(&in->client);

	if (result)
		return result;
	for (uint32_t i = 0; i < in->feeds.count; i++)
		if (in->feed[i].fd >= 0)
			close(in->feed[i].fd);
	reactor_buffers_free(&in->buffers);
	rk_region_close(in->words);
	return 0;
}

const struct port_ops port_udp_in = {
	.bytes = sizeof(struct udp_in),
	.options = udp_in_options,
	.open = udp_in_open,
	.poll_in = udp_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = udp_in_fd,
	.due_ns = udp_in_due_ns,
	.close = udp_in_close,
};
