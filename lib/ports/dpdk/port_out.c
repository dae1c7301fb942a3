// SPDX-License-Identifier: MIT
/*
 * Port dpdk, output: messages become frames that a device transmits, a burst at a time.
 *
 * Frames (RK_FRAME) go out as their actor left them. Datagrams and other messages get Ethernet,
 * IPv4 and UDP headers, as port pcap records them. What the device does not take is held, and
 * nothing more is accepted until it has: a link that is down is a busy outside.
 */
#include "ports/dpdk/port_dpdk.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <string.h>

/* For what a driver that is about to be stopped still holds: none tells whether it has gone out. */
#define LINGER_US 100000

enum {
	FEED_IP = 0xe9fc0001,  /* 233.252.0.1, of the addresses for documentation (RFC 6676) */
	FEED_PORT = 14340,     /* feed k goes to 233.252.0.(1+k):(14340+k) */
	OTHER_IP = 0xe9fc00ff, /* 233.252.0.255, port: the message's type */
};

/**
 * struct dpdk_out - a device and the burst being gathered
 * @start: of @burst, the first frame not sent
 * @end: behind the last
 * @bytes: of payload in each
 * @frame: being built
 */
struct dpdk_out {
	struct dpdk_port dpdk;
	struct dpdk_decoder decoder;
	struct rk_dpdk_stats stats, before;
	struct dpdk_watched watched;
	uint32_t start, end;
	uint32_t bytes[DPDK_BURST];
	struct rte_mbuf *burst[DPDK_BURST];
	uint8_t frame[FRAME_HEAD_BYTES + RK_MSG_MAX_SLOTS * RK_CELL_BYTES];
};

static const struct port_option options[] = {
	PORT_DPDK_OPTIONS,
	{NULL, false, NULL},
};

static uint32_t watch_stats(const void *object, const char **names, uint64_t *values, uint32_t room)
{
	const struct dpdk_out *out = object;
	const uint64_t *from = (const uint64_t *)&out->stats;
	uint32_t count = 0;

	for (uint32_t i = 0; count < room && rk_dpdk_stat_name(i); i++) {
		const char *name = rk_dpdk_stat_name(i);

		if (name[0] != 'o' && strncmp(name, "tx_", 3))
			continue;
		names[count] = name;
		values[count++] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
	return count;
}

static int dpdk_out_open(struct rk_port *port, const char *what)
{
	struct dpdk_out *out = (struct dpdk_out *)port;
	struct port_feeds *feeds = &out->dpdk.feeds;
	int result;

	for (uint32_t i = 0; !feeds->count && i < PORT_MAX_FEEDS; i++)
		feeds->at[i] = (struct frame_address){FEED_IP + i, (uint16_t)(FEED_PORT + i)};
	if (!feeds->count)
		feeds->count = PORT_MAX_FEEDS;
	result = port_dpdk_open(&out->dpdk, what, false);
	if (result)
		return result;
	out->decoder = (struct dpdk_decoder){.pool = dpdk_device_pool(out->dpdk.device),
					     .stats = &out->stats};
	out->watched = (struct dpdk_watched){.stats = watch_stats, .object = out};
	snprintf(out->watched.name, sizeof(out->watched.name), "port%u:%u:out",
		 dpdk_device_port_id(out->dpdk.device), (unsigned int)out->dpdk.want.queue);
	dpdk_watch(&out->watched);
	return 0;
}

/* The device takes what it takes; 1 when all is out, 0 when it is busy. */
static int dpdk_out_flush(struct rk_port *port)
{
	struct dpdk_out *out = (struct dpdk_out *)port;
	uint64_t bytes = 0;
	uint16_t sent;

	if (out->start == out->end)
		return 1;
	dpdk_thread_enter();
	sent = rte_eth_tx_burst(dpdk_device_port_id(out->dpdk.device),
				(uint16_t)out->dpdk.want.queue, &out->burst[out->start],
				(uint16_t)(out->end - out->start));
	for (uint32_t i = 0; i < sent; i++)
		bytes += out->bytes[out->start++];
	port_count(&port->stats.messages, sent);
	port_count(&port->stats.bytes, bytes);
	port_count(&out->stats.opackets, sent);
	port_count(&out->stats.obytes, bytes);
	if (out->start < out->end)
		return 0;
	out->start = out->end = 0;
	return 1;
}

/* What the decoder counted since we last looked, in our names. */
static void count_refused(struct dpdk_out *out)
{
	struct rk_port_stats *stats = &out->dpdk.port.stats;

	port_count(&stats->dropped_malformed, out->stats.oerrors - out->before.oerrors);
	port_count(&stats->dropped_verdict,
		   out->stats.tx_dropped_packets - out->before.tx_dropped_packets);
	out->before = out->stats;
}

/* A frame around a datagram or another message; results as dpdk_decode(). */
static int wrap(struct dpdk_out *out, const struct rk_msg *msg, struct rte_mbuf **mbuf)
{
	struct rk_port_stats *stats = &out->dpdk.port.stats;
	struct frame_address to;
	struct port_view view;
	uint32_t bytes;

	if (!port_view(msg, &view)) {
		port_count(&stats->dropped_malformed, 1);
		return 0;
	}
	if (view.packet && view.feed >= out->dpdk.feeds.count) {
		port_count(&stats->dropped_foreign, 1);
		return 0;
	}
	to = view.packet ? out->dpdk.feeds.at[view.feed]
			 : (struct frame_address){OTHER_IP, msg->type};
	memcpy(out->frame + FRAME_HEAD_BYTES, view.data, view.bytes);
	bytes = frame_build(out->frame, to, view.bytes);
	*mbuf = dpdk_mbuf_of(&out->decoder, out->frame, bytes);
	if (!*mbuf) {
		port_count(&out->stats.tx_mbuf_allocation_errors, 1);
		return -1;
	}
	out->bytes[out->end] = view.bytes;
	return 1;
}

static int dpdk_out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct dpdk_out *out = (struct dpdk_out *)port;
	struct rte_mbuf *mbuf;
	int result;

	dpdk_thread_enter();
	if (out->end == DPDK_BURST && dpdk_out_flush(port) == 0)
		return 0;
	if (msg->type == RK_FRAME) {
		result = dpdk_decode(&out->decoder, msg, &mbuf);
		out->bytes[out->end] = result > 0 ? rte_pktmbuf_pkt_len(mbuf) : 0;
		count_refused(out);
	} else {
		result = wrap(out, msg, &mbuf);
	}
	/* No mbuf now: what was sent may give some back. */
	if (result < 0)
		dpdk_out_flush(port);
	if (result <= 0)
		return result == 0;
	out->burst[out->end++] = mbuf;
	if (out->end == DPDK_BURST)
		dpdk_out_flush(port);
	return 1;
}

static int dpdk_out_close(struct rk_port *port)
{
	struct dpdk_out *out = (struct dpdk_out *)port;
	uint32_t unsent = 0;

	if (!out->dpdk.device)
		return 0;
	if (dpdk_out_flush(port) == 0) {
		unsent = out->end - out->start;
		rte_pktmbuf_free_bulk(&out->burst[out->start], unsent);
	}
	if (out->stats.opackets)
		rte_delay_us_sleep(LINGER_US);
	dpdk_decoder_close(&out->decoder);
	dpdk_unwatch(&out->watched);
	dpdk_device_close(out->dpdk.device, &out->dpdk.want);
	return unsent ? rk_fail(EAGAIN, "%u frames not sent: the device takes none", unsent) : 0;
}

const struct port_ops port_dpdk_out = {
	.bytes = sizeof(struct dpdk_out),
	.options = options,
	.open = dpdk_out_open,
	.poll_in = port_no_poll_in,
	.write = dpdk_out_write,
	.flush = dpdk_out_flush,
	.fd = port_no_fd,
	.due_ns = port_no_due_ns,
	.close = dpdk_out_close,
};
