// SPDX-License-Identifier: MIT
/*
 * Port dpdk, input: bursts of a device become messages.
 *
 * As datagrams (the default) the headers are taken off and what is for no feed is dropped; as
 * frames they go through a queue of rk_dpdk.h. A burst that the full ring does not take is held,
 * and nothing more is received until it is in: what comes meanwhile waits in the device, and what
 * has no room there is counted by the device and told by us.
 */
#include "ports/dpdk/port_dpdk.h"
#include "ports/gather.h"

#include <inttypes.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf_dyn.h>
#include <string.h>

enum { ROOM_BYTES = 16384 }; /* of a frame in several segments */

/* How often the device is asked what it lost, and how far off a stamp of our clock may be. */
#define LOST_NS	 10000000
#define CLOCK_NS 1000000000

/**
 * struct dpdk_in - a device and the burst received last
 * @as_frames: whole frames; then @frames is how they go
 * @fixed: the feeds were given; others are foreign
 * @lost: datagrams of each feed lost since its last message
 * @turn: the queue to receive from next
 * @next: of @held, the first frame that is no message yet
 * @have: behind the last
 * @left: messages left to receive
 * @last_ns: when a message came last; 0: never
 * @asked_ns: when the device was last asked what it lost
 */
struct dpdk_in {
	struct dpdk_port dpdk;
	bool as_frames, copy, verify, fixed, ended;
	uint64_t inline_bytes, idle_ms, left;
	uint16_t lost[PORT_MAX_FEEDS];
	uint16_t turn, next, have;
	uint64_t last_ns, asked_ns, now_ns, to_monotonic_ns;
	uint64_t stamp_flag;
	int stamp_offset;
	bool stamps;
	struct rk_dpdk_queue *frames;
	struct rk_dpdk_stats before;
	struct dpdk_watched watched;
	struct rte_mbuf *held[DPDK_BURST];
	uint8_t room[ROOM_BYTES];
	struct port_gather gather;
};

static struct dpdk_in *in_of(struct rk_port *port)
{
	return (struct dpdk_in *)port;
}

/* --- Options --- */

static int set_frames(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->as_frames = true;
	return 0;
}

static int set_copy(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->copy = true;
	return 0;
}

static int set_verify(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->verify = true;
	return 0;
}

static int set_hwtime(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->dpdk.want.hwtime = true;
	return 0;
}

static int set_unicast(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->dpdk.want.unicast = true;
	return 0;
}

static int set_inline(struct rk_port *port, const char *value)
{
	return port_parse_count("inline", value, 1, PORT_MAX_BYTES, &in_of(port)->inline_bytes);
}

static int set_split(struct rk_port *port, const char *value)
{
	return port_parse_count("split", value, 14, 1024, &in_of(port)->dpdk.want.split);
}

static int set_idle(struct rk_port *port, const char *value)
{
	return port_parse_count("idle", value, 1, UINT32_MAX, &in_of(port)->idle_ms);
}

static int set_count(struct rk_port *port, const char *value)
{
	return port_parse_count("count", value, 1, UINT64_MAX - 1, &in_of(port)->left);
}

static int set_steer(struct rk_port *port, const char *value)
{
	static const char *const ways[] = {"auto", "hw", "soft"};

	for (uint32_t i = 0; i < 3; i++) {
		if (strcmp(value, ways[i]))
			continue;
		in_of(port)->dpdk.want.steering = (enum device_steering)i;
		return 0;
	}
	return rk_fail(EINVAL, "steer=%s: write auto, hw or soft", value);
}

static const struct port_option options[] = {
	PORT_DPDK_OPTIONS,
	{"frames", true, set_frames},
	{"copy", true, set_copy},
	{"verify", true, set_verify},
	{"hwtime", true, set_hwtime},
	{"unicast", true, set_unicast},
	{"inline", false, set_inline},
	{"split", false, set_split},
	{"steer", false, set_steer},
	{"idle", false, set_idle},
	{"count", false, set_count},
	{NULL, false, NULL},
};

/* --- Opening --- */

static uint32_t watch_stats(const void *object, const char **names, uint64_t *values, uint32_t room)
{
	static const char *const all[] = {"ipackets",
					  "ibytes",
					  "rx_ring_full",
					  "rx_foreign_packets",
					  "rx_malformed_errors",
					  "rx_truncated_errors",
					  "rx_oversize_errors",
					  "rx_checksum_errors",
					  "imissed",
					  "rx_closed_packets"};
	struct rk_port_stats s;

	rk_port_stats(object, &s);
	(void)room;
	memcpy(names, all, sizeof(all));
	memcpy(values,
	       (const uint64_t[]){s.messages, s.bytes, s.ring_full, s.dropped_foreign,
				  s.dropped_malformed, s.dropped_truncated, s.dropped_too_long,
				  s.dropped_checksum, s.dropped_kernel, s.dropped_closed},
	       sizeof(all) / sizeof(all[0]) * sizeof(uint64_t));
	return sizeof(all) / sizeof(all[0]);
}

static int check(const struct dpdk_in *in)
{
	const char *wrong = in->copy		   ? "copy" :
			    in->inline_bytes	   ? "inline" :
			    in->dpdk.want.split ? "split" :
						     NULL;

	if (wrong && !in->as_frames)
		return rk_fail(EINVAL, "%s: it is about frames: add frames, or leave it out",
			       wrong);
	if (in->as_frames && in->verify)
		return rk_fail(EINVAL, "verify: frames go to their actor as they are: leave it "
				       "out, or frames");
	return 0;
}

static int dpdk_in_open(struct rk_port *port, const char *what)
{
	struct dpdk_in *in = in_of(port);
	int result = check(in);

	if (!in->left)
		in->left = UINT64_MAX;
	in->fixed = in->dpdk.feeds.count != 0;
	if (!result)
		result = port_dpdk_open(&in->dpdk, what, true);
	for (uint32_t i = 0; !result && i < in->dpdk.feeds.count; i++)
		result = dpdk_device_steer(in->dpdk.device, port, in->dpdk.feeds.at[i],
					   (uint16_t)in->dpdk.want.queue);
	if (result)
		return result;
	in->stamps = dpdk_device_stamps(in->dpdk.device, &in->stamp_flag, &in->stamp_offset);
	if (in->dpdk.want.queue != DEVICE_ALL_QUEUES)
		in->turn = (uint16_t)in->dpdk.want.queue;
	in->watched = (struct dpdk_watched){.stats = watch_stats, .object = port};
	snprintf(in->watched.name, sizeof(in->watched.name), "port%u:%u",
		 dpdk_device_port_id(in->dpdk.device), in->turn);
	if (!in->as_frames)
		dpdk_watch(&in->watched);
	return 0;
}

/* --- Receiving --- */

static void next_turn(struct dpdk_in *in)
{
	if (in->dpdk.want.queue == DEVICE_ALL_QUEUES)
		in->turn = (uint16_t)((in->turn + 1u) % dpdk_device_queues(in->dpdk.device));
}

/* A burst of the queue whose turn it is; false if there is none. */
static bool receive(struct dpdk_in *in, uint32_t most)
{
	uint32_t queues = in->dpdk.want.queue == DEVICE_ALL_QUEUES
				  ? dpdk_device_queues(in->dpdk.device)
				  : 1;

	if (most > DPDK_BURST)
		most = DPDK_BURST;
	if (most > in->left)
		most = (uint32_t)in->left;
	in->next = in->have = 0;
	for (uint32_t i = 0; most && !in->have && i < queues; i++) {
		in->have = dpdk_device_receive(in->dpdk.device, in->turn, in->held, (uint16_t)most);
		next_turn(in);
	}
	if (!in->have)
		return false;
	in->now_ns = clock_ns(CLOCK_MONOTONIC);
	in->to_monotonic_ns = in->now_ns - clock_ns(CLOCK_REALTIME);
	return true;
}

/* What the device lost since we last asked; at most every LOST_NS, as it costs a call. */
static void ask_lost(struct dpdk_in *in, uint64_t now_ns)
{
	uint64_t lost;

	if (now_ns - in->asked_ns < LOST_NS)
		return;
	in->asked_ns = now_ns;
	lost = dpdk_device_lost(
		in->dpdk.device,
		in->dpdk.want.queue == DEVICE_ALL_QUEUES ? 0 : (uint16_t)in->dpdk.want.queue);
	if (!lost)
		return;
	port_count(&in->dpdk.port.stats.dropped_kernel, lost);
	/* Nobody knows which feed they were of. */
	port_lose(&in->lost[0], lost);
}

/* --- As datagrams --- */

static bool bad_checksum(const struct dpdk_in *in, const struct rte_mbuf *mbuf,
			 const uint8_t *frame, const struct frame_datagram *datagram)
{
	uint64_t ip = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	const uint8_t *udp = datagram->data - 8, *head = udp - 20;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return true;
	/* With options the header is longer: it begins where its length says that it does. */
	while (head > frame && (head[0] >> 4 != 4 || head + (head[0] & 15) * 4 != udp))
		head -= 4;
	if (head <= frame)
		return false;
	if (ip != RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
	    rte_raw_cksum(head, (size_t)(udp - head)) != 0xffff)
		return true;
	if (!in->verify || l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || !(udp[6] | udp[7]))
		return false;
	return rte_ipv4_udptcp_cksum_verify((const struct rte_ipv4_hdr *)(const void *)head, udp);
}

/* Index of the feed of @to; -1 if it is none of them. */
static int find_feed(struct dpdk_in *in, struct frame_address to)
{
	struct port_feeds *feeds = &in->dpdk.feeds;

	for (uint32_t i = 0; i < feeds->count; i++)
		if (feeds->at[i].ip == to.ip && feeds->at[i].port == to.port)
			return (int)i;
	if (in->fixed || feeds->count == PORT_MAX_FEEDS)
		return -1;
	feeds->at[feeds->count] = to;
	return (int)feeds->count++;
}

/* CLOCK_REALTIME ns: the stamp of the frame, if it has one, else when we took the burst. */
static uint64_t stamp_of(const struct dpdk_in *in, const struct rte_mbuf *mbuf)
{
	if (in->stamps && mbuf->ol_flags & in->stamp_flag)
		return *RTE_MBUF_DYNFIELD(mbuf, in->stamp_offset, const rte_mbuf_timestamp_t *);
	return in->now_ns - in->to_monotonic_ns;
}

/* When the datagram arrived, by our clock: a stamp of another clock, or of old, tells nothing. */
static uint64_t arrival_of(const struct dpdk_in *in, uint64_t stamp)
{
	uint64_t at = stamp + in->to_monotonic_ns;

	return at <= in->now_ns && in->now_ns - at < CLOCK_NS ? at : in->now_ns;
}

/* Judge a frame; the counter of what is wrong with it, or NULL. */
static uint64_t *judge(struct dpdk_in *in, const struct rte_mbuf *mbuf,
		       struct frame_datagram *datagram, int *feed, uint32_t max_slots)
{
	uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);
	struct rk_port_stats *stats = &in->dpdk.port.stats;
	enum frame_verdict verdict;
	const uint8_t *frame;

	if (bytes > ROOM_BYTES)
		return &stats->dropped_too_long;
	frame = rte_pktmbuf_read(mbuf, 0, bytes, in->room);
	verdict = frame_parse(FRAME_ETHERNET, frame, bytes, bytes, datagram);
	if (verdict == FRAME_FOREIGN)
		return &stats->dropped_foreign;
	if (verdict != FRAME_UDP)
		return verdict == FRAME_MALFORMED ? &stats->dropped_malformed
						  : &stats->dropped_truncated;
	if (bad_checksum(in, mbuf, frame, datagram))
		return &stats->dropped_checksum;
	*feed = find_feed(in, datagram->to);
	if (*feed < 0)
		return &stats->dropped_foreign;
	if (datagram->bytes <= PORT_MAX_BYTES && port_cells(datagram->bytes) <= max_slots)
		return NULL;
	port_lose(&in->lost[*feed], 1);
	return &stats->dropped_too_long;
}

/* Gather the messages of what is held, as far as there is room. */
static void gather(struct dpdk_in *in, uint32_t max_slots)
{
	uint16_t first = in->next;

	for (; in->next < in->have; in->next++) {
		const struct rte_mbuf *mbuf = in->held[in->next];
		struct frame_datagram datagram;
		struct rk_packet packet = {0};
		uint64_t *reason;
		uint8_t *cells;
		int feed = 0;

		reason = judge(in, mbuf, &datagram, &feed, max_slots);
		if (reason) {
			port_count(reason, 1);
			continue;
		}
		cells = port_gather_room(&in->gather, port_cells(datagram.bytes));
		if (!cells)
			break;
		packet.rx_time_ns = stamp_of(in, mbuf);
		packet.bytes = datagram.bytes;
		packet.feed = (uint16_t)(in->dpdk.port.feed + feed);
		packet.dropped = in->lost[feed];
		in->lost[feed] = 0;
		memcpy(cells + PORT_HEAD_BYTES, datagram.data, datagram.bytes);
		in->gather.end += port_seal(cells, arrival_of(in, packet.rx_time_ns), &packet);
	}
	rte_pktmbuf_free_bulk(&in->held[first], (unsigned int)(in->next - first));
}

/*
 * Send up to @budget datagrams; returns how many, or -errno. It looks at no more frames than that,
 * either: of those that are no datagrams there may be no end.
 */
static int poll_datagrams(struct dpdk_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	uint32_t moved = 0, looked = 0;

	while (moved < budget && looked < budget) {
		int sent;

		if (port_gather_empty(&in->gather)) {
			if (in->next == in->have && !receive(in, budget - moved))
				break;
			looked += in->have - in->next;
			gather(in, tx->max_slots);
			if (port_gather_empty(&in->gather))
				continue;
		}
		sent = port_gather_send(&in->gather, &in->dpdk.port, tx, budget - moved);
		if (sent < 0)
			return sent;
		moved += (uint32_t)sent;
		in->left -= (uint32_t)sent;
		if (!port_gather_empty(&in->gather) || tx->closed)
			break;
	}
	return (int)moved;
}

/* --- As frames --- */

static int open_frames(struct dpdk_in *in, struct rk_ring_tx *tx)
{
	const struct rk_dpdk_queue_opts opts = {.size = sizeof(opts),
						.to_actor = tx,
						.inline_bytes = (uint16_t)in->inline_bytes,
						.copy = in->copy,
						.index = in->turn};

	return rk_dpdk_queue_open(&in->frames, in->watched.name, &opts);
}

/* What the queue counted since we last looked, in our names. */
static void count_frames(struct dpdk_in *in)
{
	struct rk_port_stats *stats = &in->dpdk.port.stats;
	struct rk_dpdk_stats now;

	dpdk_queue_counts(in->frames, &now);
	port_count(&stats->messages, now.ipackets - in->before.ipackets);
	port_count(&stats->bytes, now.ibytes - in->before.ibytes);
	port_count(&stats->ring_full, now.rx_ring_full - in->before.rx_ring_full);
	port_count(&stats->dropped_malformed,
		   now.rx_undersize_errors - in->before.rx_undersize_errors);
	port_count(&stats->dropped_too_long,
		   now.rx_oversize_errors - in->before.rx_oversize_errors);
	in->before = now;
}

static int poll_frames(struct dpdk_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	uint64_t before = in->dpdk.port.stats.messages;
	uint32_t moved = 0;

	if (!in->frames) {
		int result = open_frames(in, tx);

		if (result)
			return rk_fail_within(result, "port '%s'", in->dpdk.port.uri);
	}
	while (moved < budget) {
		uint16_t taken;

		if (in->next == in->have && !receive(in, budget - moved))
			break;
		taken = rk_dpdk_enqueue_burst(in->frames, &in->held[in->next],
					      (uint16_t)(in->have - in->next));
		in->next += taken;
		moved += taken;
		in->left -= taken;
		if (in->next < in->have)
			break;
	}
	if (moved || in->next < in->have)
		count_frames(in);
	/* What was no message does not count. */
	in->left += moved - (uint32_t)(in->dpdk.port.stats.messages - before);
	return (int)(in->dpdk.port.stats.messages - before);
}

/* --- All --- */

/* The ring is closed: forget what is held. */
static int drop_held(struct dpdk_in *in, const struct rk_ring_tx *tx)
{
	unsigned int held = in->have - in->next;

	rte_pktmbuf_free_bulk(&in->held[in->next], held);
	port_count(&in->dpdk.port.stats.dropped_closed, held);
	in->next = in->have;
	return port_closed(&in->dpdk.port, tx);
}

/* Nothing came: is that the end? */
static int nothing(struct dpdk_in *in, uint64_t now_ns)
{
	if (!in->left)
		return rk_fail(ENODATA, "port '%s': count reached", in->dpdk.port.uri);
	if (in->idle_ms && in->last_ns && !in->ended)
		in->ended = now_ns - in->last_ns >= in->idle_ms * 1000000;
	if (in->ended)
		return rk_fail(ENODATA, "port '%s': nothing came for %" PRIu64 " ms",
			       in->dpdk.port.uri, in->idle_ms);
	return 0;
}

static int dpdk_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct dpdk_in *in = in_of(port);
	uint64_t now_ns;
	int moved;

	dpdk_thread_enter();
	if (tx->closed)
		return drop_held(in, tx);
	if (in->ended || !budget)
		return in->ended ? nothing(in, 0) : 0;
	moved = in->as_frames ? poll_frames(in, tx, budget) : poll_datagrams(in, tx, budget);
	/* What is no message keeps no source alive: a kernel at the far end talks of itself. */
	if (moved > 0)
		in->last_ns = in->now_ns;
	if (moved)
		return moved;
	if (tx->closed)
		return drop_held(in, tx);
	now_ns = clock_ns(CLOCK_MONOTONIC);
	ask_lost(in, now_ns);
	return in->next < in->have || !port_gather_empty(&in->gather) ? 0 : nothing(in, now_ns);
}

/* No descriptor tells of frames: poll at once, always. */
static uint64_t dpdk_in_due_ns(const struct rk_port *port)
{
	return !((const struct dpdk_in *)port)->ended;
}

static int dpdk_in_close(struct rk_port *port)
{
	struct dpdk_in *in = in_of(port);

	if (!in->dpdk.device)
		return 0;
	in->asked_ns = 0;
	ask_lost(in, LOST_NS);
	rte_pktmbuf_free_bulk(&in->held[in->next], (unsigned int)(in->have - in->next));
	if (!in->as_frames)
		dpdk_unwatch(&in->watched);
	rk_dpdk_queue_close(in->frames, NULL);
	dpdk_device_close(in->dpdk.device, &in->dpdk.want);
	return 0;
}

const struct port_ops port_dpdk_in = {
	.bytes = sizeof(struct dpdk_in),
	.options = options,
	.open = dpdk_in_open,
	.poll_in = dpdk_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = port_no_fd,
	.due_ns = dpdk_in_due_ns,
	.close = dpdk_in_close,
};
