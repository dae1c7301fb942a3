// SPDX-License-Identifier: MIT
/*
 * Port dpdk by its URI, on drivers that need no hardware: net_ring, whose frames come back to it,
 * so that what one port sends another receives and the tests can put in whatever they like;
 * net_null, which has no end; net_pcap, which reads a file.
 */
#include "aid.h"
#include "clock.h"
#include "ports/frame.h"
#include "ports/rk_port.h"
#include "rk_runtime.h"
#include "actors.h"
#include "l2_forward.h"

#include <rte_ethdev.h>
#include <unistd.h>

enum { FEED_IP = 0xe9fc0001, FEED_PORT = 14340 };

static struct rk_msg cells[RK_MSG_MAX_SLOTS + 1];
static unsigned int number; /* of the device: each test has its own */

static const char *uri(const char *options)
{
	static char text[2][256];
	static int turn;

	turn = !turn;
	snprintf(text[turn], sizeof(text[0]), "dpdk:net_ring%u%s", number, options);
	return text[turn];
}

static struct rk_port *open_port(const char *options, enum rk_port_direction direction)
{
	struct rk_port *port;
	int result = rk_port_open(&port, uri(options), direction, 0);

	if (result)
		print_message("%s\n", rk_errmsg());
	assert_int_equal(result, 0);
	return port;
}

static uint16_t device(void)
{
	char name[32];
	uint16_t id;

	snprintf(name, sizeof(name), "net_ring%u", number);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &id), 0);
	return id;
}

static struct rte_mempool *device_pool(void)
{
	char name[32];

	snprintf(name, sizeof(name), "rk_port_%u", device());
	return rte_mempool_lookup(name);
}

/* A datagram to feed @feed, as a port would have received it. */
static void datagram(uint32_t feed, uint32_t bytes, uint32_t value)
{
	struct rk_packet packet = {.bytes = bytes, .feed = (uint16_t)feed};
	uint8_t *data = (uint8_t *)cells + 8 + sizeof(packet);

	memset(cells, 0, sizeof(cells));
	cells->type = RK_MSG_PACKET;
	cells->slots = (uint8_t)rk_msg_cells(0, (uint32_t)sizeof(packet) + bytes);
	memcpy(cells->body, &packet, sizeof(packet));
	aid_fill(data, bytes, value);
}

/* A frame into the device, past our port. */
static void inject(const uint8_t *data, uint32_t bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(device_pool());

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), data, bytes);
	assert_int_equal(rte_eth_tx_burst(device(), 0, &mbuf, 1), 1);
}

static int receive(struct rk_port *in, struct aid_ring *ring)
{
	int moved = rk_port_poll_in(in, &ring->tx, 64);

	assert_true(moved >= 0);
	return rk_ring_recv(&ring->rx, cells, RK_MSG_MAX_SLOTS);
}

static uint64_t drops(const struct rk_port_stats *s)
{
	return s->dropped_foreign + s->dropped_malformed + s->dropped_truncated +
	       s->dropped_too_long + s->dropped_kernel + s->dropped_refused + s->dropped_closed +
	       s->dropped_checksum + s->dropped_verdict;
}

static void test_datagrams_come_back(void **unused)
{
	struct rk_port *out = open_port("", RK_PORT_OUT), *in = open_port("", RK_PORT_IN);
	uint8_t expected[1500];
	struct aid_ring ring;
	struct rk_port_stats stats;

	(void)unused;
	aid_ring_open(&ring, 256);
	for (uint32_t i = 0; i < 500; i++) {
		struct rk_packet packet;
		uint32_t bytes = 5 + i * 13 % 1400;

		datagram(i % 3, bytes, i);
		assert_int_equal(rk_port_write(out, cells), 1);
		assert_int_equal(rk_port_flush(out), 1);
		assert_true(receive(in, &ring) > 0);
		assert_int_equal(cells->type, RK_MSG_PACKET);
		memcpy(&packet, rk_msg_payload(cells), sizeof(packet));
		assert_int_equal(packet.bytes, bytes);
		assert_int_equal(packet.feed, i % 3);
		assert_true(packet.rx_time_ns > 0);
		aid_fill(expected, bytes, i);
		assert_memory_equal(rk_msg_payload(cells) + sizeof(packet), expected, bytes);
	}
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 500);
	assert_int_equal(drops(&stats), 0);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, 500);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rk_port_close(out), 0);
	free(ring.memory);
}

static void test_each_bad_frame_is_counted_by_reason(void **unused)
{
	char options[64];
	struct rk_port *in;
	struct rk_port_stats stats;
	struct aid_ring ring;
	uint8_t good[FRAME_HEAD_BYTES + 100], bad[9000];
	uint32_t bytes;

	(void)unused;
	snprintf(options, sizeof(options), ",verify,feeds=233.252.0.1:14340");
	in = open_port(options, RK_PORT_IN);
	aid_ring_open(&ring, 256);
	memset(good + FRAME_HEAD_BYTES, 7, 100);
	bytes = frame_build(good, (struct frame_address){FEED_IP, FEED_PORT}, 100);
	inject(good, bytes);
	for (uint32_t runt = 1; runt <= 41; runt++)
		inject(good, runt);
	memcpy(bad, good, bytes);
	bad[24] ^= 1; /* IP checksum */
	inject(bad, bytes);
	memcpy(bad, good, bytes);
	bad[bytes - 1] ^= 1; /* UDP checksum */
	inject(bad, bytes);
	memcpy(bad, good, bytes);
	bad[12] = 0x86; /* another protocol */
	inject(bad, bytes);
	memcpy(bad + FRAME_HEAD_BYTES, good + FRAME_HEAD_BYTES, 100);
	bytes = frame_build(bad, (struct frame_address){FEED_IP, FEED_PORT + 1}, 100);
	inject(bad, bytes); /* another feed */
	/* A tag, and two, in front of a good one. */
	for (uint32_t tags = 1; tags <= 2; tags++) {
		memcpy(bad, good, 12);
		for (uint32_t i = 0; i < tags; i++)
			memcpy(bad + 12 + 4 * i, i + 1 < tags ? "\x88\xa8\x00\x01" : "\x81\0\0\x02",
			       4);
		memcpy(bad + 12 + 4 * tags, good + 12, FRAME_HEAD_BYTES + 100 - 12);
		inject(bad, FRAME_HEAD_BYTES + 100 + 4 * tags);
	}
	for (int i = 0; i < 10; i++)
		rk_port_poll_in(in, &ring.tx, 64);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 3);
	assert_int_equal(stats.dropped_checksum, 2);
	assert_int_equal(stats.dropped_foreign, 2);
	assert_int_equal(stats.dropped_malformed, 41);
	assert_int_equal(stats.messages + drops(&stats), 48);
	assert_int_equal(rte_mempool_in_use_count(device_pool()), 0);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

static void test_a_full_ring_holds_and_resumes(void **unused)
{
	struct rk_port *out = open_port("", RK_PORT_OUT), *in = open_port("", RK_PORT_IN);
	struct rk_port_stats stats;
	struct aid_ring ring;
	uint32_t seen = 0;

	(void)unused;
	aid_ring_open(&ring, 16);
	for (uint32_t i = 0; i < 600; i++) {
		datagram(0, 200, i);
		assert_int_equal(rk_port_write(out, cells), 1);
	}
	rk_port_flush(out);
	for (int i = 0; i < 100; i++)
		rk_port_poll_in(in, &ring.tx, 64);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 3);
	assert_true(stats.ring_full > 0);
	while (seen < 600) {
		uint32_t value;

		if (receive(in, &ring) <= 0)
			continue;
		memcpy(&value, rk_msg_payload(cells) + sizeof(struct rk_packet), 4);
		assert_int_equal(value, seen++);
	}
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 600);
	assert_int_equal(drops(&stats), 0);
	assert_int_equal(rk_port_close(out), 0);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

/* The device holds a thousand: what it does not take waits at the output, and is told as busy. */
static void test_a_full_device_is_a_busy_outside(void **unused)
{
	struct rk_port *out = open_port("", RK_PORT_OUT), *in = open_port("", RK_PORT_IN);
	struct rk_port_stats stats;
	struct aid_ring ring;
	uint32_t taken = 0, seen = 0;

	(void)unused;
	aid_ring_open(&ring, 1024);
	for (;; taken++) {
		datagram(0, 60, taken);
		if (!rk_port_write(out, cells))
			break;
	}
	assert_int_equal(rk_port_flush(out), 0);
	while (seen < taken) {
		uint32_t value;

		if (receive(in, &ring) <= 0) {
			rk_port_flush(out);
			continue;
		}
		memcpy(&value, rk_msg_payload(cells) + sizeof(struct rk_packet), 4);
		assert_int_equal(value, seen++);
	}
	assert_int_equal(rk_port_flush(out), 1);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, taken);
	assert_int_equal(rk_port_close(out), 0);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

/* Feeds of two actors on one device whose driver steers nothing: we do. */
static void test_feeds_are_steered_to_queues(void **unused)
{
	struct rk_port *a, *b;
	struct rk_port_stats stats;
	struct aid_ring ring[2];
	uint8_t frame[FRAME_HEAD_BYTES + 20] = {0};
	uint32_t bytes;

	(void)unused;
	a = open_port(",queues=2,queue=0,steer=soft,feeds=233.252.0.1:14340", RK_PORT_IN);
	b = open_port(",queues=2,queue=1,steer=soft,feeds=233.252.0.2:14341", RK_PORT_IN);
	aid_ring_open(&ring[0], 4096);
	aid_ring_open(&ring[1], 4096);
	for (uint32_t i = 0; i < 900; i++) {
		bytes = frame_build(frame, (struct frame_address){FEED_IP + i % 3, FEED_PORT + i % 3},
				    20);
		inject(frame, bytes);
		rk_port_poll_in(i & 1 ? a : b, &ring[!(i & 1)].tx, 64);
	}
	for (int i = 0; i < 100; i++) {
		rk_port_poll_in(a, &ring[0].tx, 64);
		rk_port_poll_in(b, &ring[1].tx, 64);
	}
	rk_port_stats(a, &stats);
	assert_int_equal(stats.messages, 300);
	rk_port_stats(b, &stats);
	assert_int_equal(stats.messages, 300);
	assert_int_equal(rk_port_close(a), 0);
	assert_int_equal(rk_port_close(b), 0);
	free(ring[0].memory);
	free(ring[1].memory);
}

/* Without feeds the hash of addresses decides: each flow has one queue, and all have some. */
static void test_flows_are_spread_by_hash(void **unused)
{
	struct rk_port *port[4];
	struct aid_ring ring[4];
	uint8_t frame[FRAME_HEAD_BYTES + 20] = {0};
	uint64_t messages = 0;
	int8_t queue_of[64];

	(void)unused;
	memset(queue_of, -1, sizeof(queue_of));
	for (uint32_t i = 0; i < 4; i++) {
		char options[64];

		snprintf(options, sizeof(options), ",queues=4,queue=%u,frames", i);
		port[i] = open_port(options, RK_PORT_IN);
		aid_ring_open(&ring[i], 4096);
	}
	for (uint32_t i = 0; i < 640; i++)
		inject(frame, frame_build(frame, (struct frame_address){FEED_IP, 1000 + i % 64},
					  20));
	for (uint32_t i = 0; i < 400; i++)
		rk_port_poll_in(port[i % 4], &ring[i % 4].tx, 64);
	for (uint32_t i = 0; i < 4; i++) {
		struct rk_port_stats stats;

		while (rk_ring_recv(&ring[i].rx, cells, RK_MSG_MAX_SLOTS) > 0) {
			const uint8_t *data = rk_frame_data(rk_frame_of(cells));
			uint32_t flow = ((uint32_t)data[36] << 8 | data[37]) - 1000;

			assert_int_equal(rk_frame_of(cells)->queue, i);
			assert_true(queue_of[flow] == -1 || queue_of[flow] == (int8_t)i);
			queue_of[flow] = (int8_t)i;
		}
		rk_port_stats(port[i], &stats);
		assert_true(stats.messages > 60);
		messages += stats.messages;
		assert_int_equal(rk_port_close(port[i]), 0);
		free(ring[i].memory);
	}
	assert_int_equal(messages, 640);
}

/* Frames of any length through an actor of the runtime and out again, by reference. */
static void test_frames_through_an_actor(void **unused)
{
	const uint64_t args[] = {[RK_L2_PORT_XOR] = 0, [RK_L2_SWAP_MACS] = 1};
	const struct rk_actor_opts actor_opts = {
		.size = sizeof(actor_opts), .worker = RK_ANY_WORKER, .args = args, .arg_count = 2};
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1};
	struct rk_port *in = open_port(",frames,count=3000", RK_PORT_IN), *out;
	struct rk_runtime *runtime;
	struct rk_port_stats stats;
	struct rk_actor *actor;
	struct rk_actor_info info;
	const struct rk_l2_state *state;
	uint8_t frame[1600];
	uint16_t id = device();

	(void)unused;
	number++;
	out = open_port("", RK_PORT_OUT);
	assert_int_equal(rk_runtime_open(&runtime, &opts), 0);
	assert_int_equal(rk_actor_spawn(&actor, runtime, rk_actor_type_find("l2_forward"),
					&actor_opts),
			 0);
	assert_int_equal(rk_link_port_out(NULL, actor, out, NULL), 0);
	number--;
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t bytes = 20 + i * 7 % 1400;

		memset(frame + FRAME_HEAD_BYTES, (int)i, bytes);
		inject(frame, frame_build(frame, (struct frame_address){FEED_IP, 5}, bytes));
	}
	assert_int_equal(rk_link_port_in(NULL, in, actor, NULL), 0);
	number++;
	/* What came out of it, in order, its addresses changed places, is put in again. */
	for (uint32_t seen = 0, i = 0; seen < 3000; i++) {
		struct rte_mbuf *mbufs[32];
		uint16_t got = rte_eth_rx_burst(device(), 0, mbufs, 32);

		for (uint16_t k = 0; k < got; k++, seen++) {
			const uint8_t *data = rte_pktmbuf_mtod(mbufs[k], uint8_t *);

			assert_int_equal(rte_pktmbuf_pkt_len(mbufs[k]),
					 FRAME_HEAD_BYTES + 20 + seen % 500 * 7 % 1400);
			assert_int_equal(data[rte_pktmbuf_pkt_len(mbufs[k]) - 1],
					 (uint8_t)(seen % 500));
			assert_int_equal(data[5], seen / 500 % 2 ? 0xef - 0xee : 1);
			if (seen < 2500)
				while (!rte_eth_tx_burst(id, 0, &mbufs[k], 1))
					;
			else
				rte_pktmbuf_free(mbufs[k]);
		}
		if (!got)
			usleep(100);
	}
	assert_int_equal(rk_runtime_wait(runtime, 20000000000), 0);
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, 3000);
	state = rk_actor_state(actor);
	assert_int_equal(state->counters.forwarded, 3000);
	assert_int_equal(state->counters.kinds[RK_L2_UDP], 3000);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 3000);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, 3000);
	assert_int_equal(rk_runtime_close(runtime), 0);
}

/* An actor that keeps what it is lent: the port closes, and every mbuf is back. */
static void test_what_an_actor_keeps_is_taken_back(void **unused)
{
	struct rk_port *other = open_port("", RK_PORT_OUT);
	struct rk_port *in = open_port(",frames,mbufs=8191", RK_PORT_IN);
	struct rte_mempool *pool = device_pool();
	struct aid_ring ring;
	uint8_t frame[1000] = {0};

	(void)unused;
	aid_ring_open(&ring, 4096);
	for (uint32_t i = 0; i < 300; i++)
		inject(frame, 1000);
	for (int i = 0; i < 20; i++)
		rk_port_poll_in(in, &ring.tx, 64);
	assert_int_equal(rte_mempool_in_use_count(pool), 300);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	assert_int_equal(rk_port_close(other), 0);
	free(ring.memory);
}

static void test_an_endless_source_stops_at_its_count(void **unused)
{
	struct rk_port *in;
	struct rk_port_stats stats;
	struct aid_ring ring;
	int moved;

	(void)unused;
	assert_int_equal(rk_port_open(&in, "dpdk:net_null9\\,size=64,frames,count=100000",
				      RK_PORT_IN, 0),
			 0);
	aid_ring_open(&ring, 1024);
	while ((moved = rk_port_poll_in(in, &ring.tx, 64)) >= 0)
		while (rk_ring_recv(&ring.rx, cells, RK_MSG_MAX_SLOTS) > 0)
			;
	assert_int_equal(moved, -ENODATA);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 100000);
	assert_int_equal(stats.bytes, 6400000);
	rk_ring_refuse(&ring.rx, RK_CLOSE_STOPPED);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

/* Frames that are no messages are counted, come back to their caller, and keep no source alive. */
static void test_noise_without_end(void **unused)
{
	static const uint8_t noise[20];
	struct rk_port *out = open_port("", RK_PORT_OUT), *in = open_port(",idle=30", RK_PORT_IN);
	struct rk_port_stats stats;
	struct aid_ring ring;
	int moved = 0;

	(void)unused;
	aid_ring_open(&ring, 64);
	datagram(0, 100, 1);
	assert_int_equal(rk_port_write(out, cells), 1);
	assert_int_equal(rk_port_flush(out), 1);
	assert_int_equal(rk_port_poll_in(in, &ring.tx, 64), 1);
	for (int i = 0; i < 1000 && moved >= 0; i++) {
		inject(noise, sizeof(noise));
		moved = rk_port_poll_in(in, &ring.tx, 64);
		usleep(1000);
	}
	assert_int_equal(moved, -ENODATA);
	rk_port_stats(in, &stats);
	assert_true(drops(&stats) > 0);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rk_port_close(out), 0);
	assert_int_equal(rk_port_open(&in, "dpdk:net_null9\\,size=64", RK_PORT_IN, 0), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(rk_port_poll_in(in, &ring.tx, 64), 0);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 0);
	assert_int_equal(drops(&stats), 640);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

static void test_a_consumer_that_went_is_told(void **unused)
{
	struct rk_port *in;
	struct rk_port_stats stats;
	struct aid_ring ring;
	int moved = 0;

	(void)unused;
	assert_int_equal(rk_port_open(&in, "dpdk:net_null9\\,size=64,frames", RK_PORT_IN, 0), 0);
	aid_ring_open(&ring, 64);
	rk_port_poll_in(in, &ring.tx, 10);
	rk_ring_refuse(&ring.rx, RK_CLOSE_STOPPED);
	for (int i = 0; i < 100 && moved >= 0; i++)
		moved = rk_port_poll_in(in, &ring.tx, 64);
	assert_int_equal(moved, -EPIPE);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages + stats.dropped_closed, stats.messages + 32);
	assert_int_equal(rk_port_close(in), 0);
	free(ring.memory);
}

static void test_refusals_name_the_remedy(void **unused)
{
	static const struct {
		const char *uri;
		int result;
		const char *text;
	} refused[] = {
		{"dpdk:", -EINVAL, "no device"},
		{"dpdk:net_nosuch0", -ENODEV, "rte_dev_probe"},
		{"dpdk:net_null8,queues=0", -EINVAL, "queues=0"},
		{"dpdk:net_null8,queues=99", -EINVAL, "from 1 to 64"},
		{"dpdk:net_null8,queue=1", -EINVAL, "queue=1"},
		{"dpdk:net_null8,steer=me", -EINVAL, "auto, hw or soft"},
		{"dpdk:net_null8,copy", -EINVAL, "add frames"},
		{"dpdk:net_null8,verify,frames", -EINVAL, "verify"},
		{"dpdk:net_null8,eal=-l 0", -EINVAL, "runs already"},
		{"dpdk:net_null8,nonsense", -EINVAL, "no option"},
		{"dpdk:net_null8,mbufs=1", -EINVAL, "mbufs=1"},
	};
	struct rk_port *port, *again;

	(void)unused;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int result = rk_port_open(&port, refused[i].uri, RK_PORT_IN, 0);

		if (!result || !strstr(rk_errmsg(), refused[i].text))
			print_message("%s: %s\n", refused[i].uri, rk_errmsg());
		assert_true(result < 0);
		assert_non_null(strstr(rk_errmsg(), refused[i].text));
	}
	port = open_port("", RK_PORT_IN);
	assert_int_equal(rk_port_open(&again, uri(""), RK_PORT_IN, 0), -EBUSY);
	assert_non_null(strstr(rk_errmsg(), "queue=K"));
	assert_int_equal(rk_port_open(&again, uri(",queues=2"), RK_PORT_OUT, 0), -EINVAL);
	assert_int_equal(rk_port_close(port), 0);
}

/* Every option that people are told of is one that can be given. */
static void test_the_kind_says_what_it_takes(void **unused)
{
	const struct rk_port_kind *kind = NULL;
	uint32_t options = 0;

	(void)unused;
	for (unsigned int i = 0; (kind = rk_port_kind_at(i)) && strcmp(kind->name, "dpdk"); i++)
		;
	assert_non_null(kind);
	assert_null(kind->absent);
	for (const char *line = kind->options; *line; line += strcspn(line, "\n") + 1) {
		struct rk_port *port;
		char text[96];

		if (*line == ' ')
			continue;
		snprintf(text, sizeof(text), "dpdk:,%.*s=", (int)strcspn(line, "= "), line);
		options++;
		assert_int_equal(rk_port_open(&port, text, RK_PORT_IN, 0), -EINVAL);
		assert_null(strstr(rk_errmsg(), "no option"));
		if (!line[strcspn(line, "\n")])
			break;
	}
	assert_int_equal(options, 17);
}

static int next_device(void **state)
{
	(void)state;
	number += 2;
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, next_device)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_datagrams_come_back),
		TEST(test_each_bad_frame_is_counted_by_reason),
		TEST(test_a_full_ring_holds_and_resumes),
		TEST(test_a_full_device_is_a_busy_outside),
		TEST(test_feeds_are_steered_to_queues),
		TEST(test_flows_are_spread_by_hash),
		TEST(test_frames_through_an_actor),
		TEST(test_what_an_actor_keeps_is_taken_back),
		TEST(test_an_endless_source_stops_at_its_count),
		TEST(test_noise_without_end),
		TEST(test_a_consumer_that_went_is_told),
		TEST(test_refusals_name_the_remedy),
		TEST(test_the_kind_says_what_it_takes),
	};

	return cmocka_run_group_tests(tests, aid_open, aid_close);
}
