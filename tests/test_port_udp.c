// SPDX-License-Identifier: MIT
/*
 * Port udp: datagrams over loopback, to and from groups and addresses. Every case ends with the
 * same sum: what was sent = messages + drops by reason. All of it by io_uring, then without.
 */
#include "no_uring.h"
#include "ports_aid.h"

#include <netinet/udp.h>
#include <pthread.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* Two groups, and a port that other runs on this machine hardly use. */
static const char *groups(void)
{
	static char text[96];
	int number = getpid();

	snprintf(text, sizeof(text), "udp:239.255.%d.1:%d,feeds=239.255.%d.2:%d,iface=lo",
		 number & 127, 20000 + number % 20000, number & 127, 20001 + number % 20000);
	return text;
}

/* The input of the two groups, or a skip with the reason. */
static struct rk_port *open_groups(const char *options)
{
	struct rk_port *port = NULL;

	if (rk_port_open(&port, text_of("%s%s", groups(), options), RK_PORT_IN, 0)) {
		print_message("skipped: no multicast on loopback: %s\n", rk_errmsg());
		skip();
	}
	return port;
}

/* Send @count datagrams to the two groups, remembered in sent. */
static void send_groups(struct rk_port *out, uint32_t first, uint32_t count, uint32_t most_bytes)
{
	for (uint32_t i = first; i < first + count; i++) {
		sent[i].feed = (uint32_t)(chance() & 1);
		sent[i].bytes = 4 + (uint32_t)(chance() % (most_bytes - 3));
		sent[i].stamp_ns = 1000000 + chance() % 1000000;
		must_write(out, build(RK_MSG_PACKET, 0, sent[i].stamp_ns, sent[i].feed, i,
				      sent[i].bytes));
	}
	while (rk_port_flush(out) == 0)
		usleep(100);
}

/* Every datagram of [0, @count) is there once, each feed in order; @stamped: with its time. */
static void check_groups(uint32_t count, bool stamped, uint64_t before_ns)
{
	uint32_t next[2] = {0, 0};

	assert_int_equal(seen.count, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct entry *entry = &seen.entry[i];
		uint32_t feed = entry->packet.feed, index;

		assert_true(feed < 2);
		while (sent[next[feed]].feed != feed)
			next[feed]++;
		memcpy(&index, entry->data, 4);
		assert_int_equal(index, next[feed]);
		check_payload(entry, index, sent[index].bytes);
		next[feed]++;
		assert_int_equal(entry->packet.dropped, 0);
		if (stamped) {
			assert_int_equal(entry->time_ns, sent[index].stamp_ns);
			continue;
		}
		/* The two clocks are read one after the other: a millisecond between is generous.
		 */
		assert_true(entry->time_ns + 1000000 >= before_ns);
		assert_true(entry->time_ns <= clock_ns(CLOCK_MONOTONIC) + 1000000);
		assert_true(entry->packet.rx_time_ns <= clock_ns(CLOCK_REALTIME));
	}
}

static void groups_deliver(bool stamped)
{
	const char *stamp = stamped ? ",stamp" : "";
	struct rk_port *in = open_groups(stamp);
	struct rk_port *out = must_open(text_of("%s,ttl=0%s", groups(), stamp), RK_PORT_OUT);
	uint64_t before_ns = clock_ns(CLOCK_MONOTONIC);
	struct ends *ends = make_ring(8192);
	struct rk_port_stats stats;

	forget(&seen);
	for (uint32_t burst = 0; burst < 10; burst++) {
		send_groups(out, burst * 1000, 1000, 200);
		drain(in, ends, 512);
	}
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, 10000);
	assert_int_equal(dropped(&stats), 0);
	assert_true(stats.calls * 10 <= stats.messages);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 10000);
	assert_int_equal(dropped(&stats), 0);
	assert_true(stats.calls * 10 <= stats.messages);
	check_groups(10000, stamped, before_ns);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rk_port_close(out), 0);
	free_ring(ends);
}

static void test_groups_deliver_everything(void **state)
{
	(void)state;
	groups_deliver(false);
	groups_deliver(true);
}

/* A small buffer and a reader that sleeps: what is lost is known to the last datagram. */
static void test_kernel_drops_are_counted_exactly(void **state)
{
	struct rk_port *in = open_groups(",rcvbuf=8192,idle=20");
	struct rk_port *out = must_open(groups(), RK_PORT_OUT);
	struct ends *ends = make_ring(1024);
	uint64_t told = 0, deadline = clock_ns(CLOCK_MONOTONIC) + 30000000000;
	struct rk_port_stats stats;
	uint32_t count = 0;
	int result;

	(void)state;
	forget(&seen);
	for (uint32_t burst = 0; burst < 20; burst++) {
		uint32_t more = 1 + (uint32_t)(chance() % 400);

		send_groups(out, count, more, 200);
		count += more;
		/* Part of what is there, so that drops come before, between and behind. */
		result = rk_port_poll_in(in, &ends->tx, 1 + (uint32_t)(chance() % 20));
		assert_true(result > 0);
		take(ends, UINT32_MAX);
	}
	do {
		result = rk_port_poll_in(in, &ends->tx, 64);
		take(ends, UINT32_MAX);
	} while (result >= 0 && clock_ns(CLOCK_MONOTONIC) < deadline);
	assert_int_equal(result, -ENODATA);
	rk_port_stats(in, &stats);
	assert_true(stats.dropped_kernel > 0);
	assert_int_equal(stats.messages, seen.count);
	assert_int_equal(stats.messages + stats.dropped_kernel, count);
	assert_int_equal(dropped(&stats), stats.dropped_kernel);
	for (uint32_t i = 0; i < seen.count; i++)
		told += seen.entry[i].packet.dropped;
	assert_true(told > 0 && told <= stats.dropped_kernel);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rk_port_close(out), 0);
	free_ring(ends);
}

/* A socket of the test's own, for what no port would send. */
static void send_raw(uint16_t port_number, const void *data, size_t bytes)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port_number),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, data, bytes, 0, (struct sockaddr *)&to, sizeof(to)), bytes);
	close(fd);
}

static void test_full_ring_holds_datagrams_back(void **state)
{
	uint16_t number = free_port();
	struct rk_port *in = must_open(text_of("udp:127.0.0.1:%u,count=300", number), RK_PORT_IN);
	struct rk_port_stats stats;
	uint8_t data[80];

	(void)state;
	for (uint32_t i = 0; i < 301; i++) {
		fill_payload(data, i, 4 + i % 77);
		send_raw(number, data, 4 + i % 77);
	}
	forget(&seen);
	assert_int_equal(run_to_end(in, 4, 1, 64), -ENODATA);
	assert_non_null(strstr(rk_errmsg(), "count reached"));
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 300);
	assert_int_equal(seen.count, 300);
	assert_int_equal(dropped(&stats), 0);
	assert_true(stats.ring_full > 0);
	/* The kernel gives at most 32 datagrams a call; the full ring makes few further ones. */
	assert_true(stats.calls <= 16);
	for (uint32_t i = 0; i < 300; i++)
		check_payload(&seen.entry[i], i, 4 + i % 77);
	assert_int_equal(rk_port_close(in), 0);
}

static void test_long_empty_and_strange_datagrams(void **state)
{
	static uint8_t data[60000];
	static const char magic[9] = "RKPSTMP1";
	uint64_t time_ns = 12345;
	uint16_t number = free_port();
	struct rk_port *in =
		must_open(text_of("udp:127.0.0.1:%u,stamp,rcvbuf=2000000", number), RK_PORT_IN);
	struct ends *ends = make_ring(1024);
	struct rk_port_stats stats;

	(void)state;
	forget(&seen);
	memset(data, 0, sizeof(data));
	send_raw(number, data, 0);
	send_raw(number, data, MAX_BYTES);
	send_raw(number, data, MAX_BYTES + 1);
	send_raw(number, data, MAX_BYTES + 16);
	send_raw(number, data, sizeof(data));
	/* A trailer alone, one cut short, and one behind the longest datagram. */
	memcpy(data, magic, 8);
	memcpy(data + 8, &time_ns, 8);
	send_raw(number, data, 16);
	send_raw(number, data, 15);
	memcpy(data + MAX_BYTES, data, 16);
	send_raw(number, data, MAX_BYTES + 16);
	drain(in, ends, 64);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 5);
	assert_int_equal(stats.dropped_too_long, 3);
	assert_int_equal(dropped(&stats), 3);
	assert_int_equal(seen.entry[0].packet.bytes, 0);
	assert_int_equal(seen.entry[1].packet.bytes, MAX_BYTES);
	assert_int_equal(seen.entry[2].packet.bytes, 0);
	assert_int_equal(seen.entry[2].packet.dropped, 3);
	assert_int_equal(seen.entry[2].time_ns, 12345);
	assert_int_equal(seen.entry[3].packet.bytes, 15);
	assert_int_not_equal(seen.entry[3].time_ns, 12345);
	assert_int_equal(seen.entry[4].packet.bytes, MAX_BYTES);
	assert_int_equal(seen.entry[4].time_ns, 12345);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

static void test_nobody_listens(void **state)
{
	struct rk_port *out = must_open(text_of("udp:127.0.0.1:%u", free_port()), RK_PORT_OUT);
	struct rk_port_stats stats;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		must_write(out, build(RK_MSG_PACKET, 0, 0, i % 3, i, 20));
	assert_int_equal(rk_port_flush(out), 1);
	rk_port_stats(out, &stats);
	assert_true(stats.dropped_refused > 0);
	assert_int_equal(stats.messages + stats.dropped_refused, 1000);
	assert_int_equal(dropped(&stats), stats.dropped_refused);
	assert_int_equal(rk_port_close(out), 0);
}

static void test_out_takes_other_messages_and_counts_strange_ones(void **state)
{
	uint16_t a = free_port(), b = free_port();
	struct rk_port *in, *out;
	struct ends *ends = make_ring(1024);
	struct rk_port_stats stats;
	uint32_t lie = 9000;
	struct rk_msg *msg;

	(void)state;
	in = must_open(text_of("udp:127.0.0.1:%u,feeds=127.0.0.1:%u", a, b), RK_PORT_IN);
	out = must_open(text_of("udp:127.0.0.1:%u,feeds=127.0.0.1:%u", a, b), RK_PORT_OUT);
	must_write(out, build(300, 0, 0, 0, 0, 48));
	must_write(out, build(RK_MSG_PACKET, 0, 0, 1, 1, 33));
	must_write(out, build(RK_MSG_PACKET, 0, 0, 2, 2, 33));
	msg = build(RK_MSG_PACKET, 0, 7, 0, 0, 24);
	memcpy(msg->body + 8 + 8, &lie, 4);
	must_write(out, msg);
	assert_int_equal(rk_port_flush(out), 1);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, 2);
	assert_int_equal(stats.bytes, 48 + 33);
	assert_int_equal(stats.dropped_foreign, 1);
	assert_int_equal(stats.dropped_malformed, 1);
	forget(&seen);
	drain(in, ends, 64);
	assert_int_equal(seen.count, 2);
	check_payload(&seen.entry[0], 0, 48);
	check_payload(&seen.entry[1], 1, 33);
	assert_int_equal(seen.entry[1].packet.feed, 1);
	assert_int_equal(rk_port_close(in), 0);
	assert_int_equal(rk_port_close(out), 0);
	free_ring(ends);
}

static void test_idle_ends_only_after_something_came(void **state)
{
	uint16_t number = free_port();
	struct rk_port *in = must_open(text_of("udp:127.0.0.1:%u,idle=5", number), RK_PORT_IN);
	struct pollfd wait = {.fd = rk_port_fd(in), .events = POLLIN};
	struct ends *ends = make_ring(64);
	int result;

	(void)state;
	forget(&seen);
	usleep(20000);
	assert_int_equal(rk_port_poll_in(in, &ends->tx, 64), 0);
	assert_int_equal(rk_port_due_ns(in), 0);
	assert_int_equal(poll(&wait, 1, 0), 0);
	send_raw(number, "x", 1);
	assert_int_equal(poll(&wait, 1, 10000), 1);
	assert_int_equal(rk_port_poll_in(in, &ends->tx, 64), 1);
	assert_true(rk_port_due_ns(in) > 0);
	do
		result = rk_port_poll_in(in, &ends->tx, 64);
	while (result == 0);
	assert_int_equal(result, -ENODATA);
	assert_true(clock_ns(CLOCK_MONOTONIC) >= rk_port_due_ns(in));
	send_raw(number, "x", 1);
	assert_int_equal(rk_port_poll_in(in, &ends->tx, 64), -ENODATA);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

/* A sender that gives the kernel many datagrams at once: they come apart again, each counted. */
static void test_joined_datagrams_come_apart(void **state)
{
	static uint8_t data[60 * 1000];
	uint16_t number = free_port();
	struct rk_port *in = must_open(text_of("udp:127.0.0.1:%u,gro", number), RK_PORT_IN);
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(number),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ends *ends = make_ring(64); /* full in the middle of a joined one */
	int fd = socket(AF_INET, SOCK_DGRAM, 0), segment = 1000, count = 0;
	struct rk_port_stats stats;

	(void)state;
	if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment))) {
		print_message("skipped: no UDP_SEGMENT: %s\n", strerror(errno));
		skip();
	}
	forget(&seen);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t bytes = 0;

		/* The last one is shorter. */
		for (uint32_t j = 0; j < 60; j++, count++) {
			sent[count].bytes = j == 59 ? 10 + i : 1000;
			fill_payload(data + bytes, (uint32_t)count, sent[count].bytes);
			bytes += sent[count].bytes;
		}
		assert_int_equal(sendto(fd, data, bytes, 0, (struct sockaddr *)&to, sizeof(to)),
				 bytes);
	}
	close(fd);
	for (uint32_t i = 0; i < 100000 && seen.count < (uint32_t)count; i++) {
		assert_true(rk_port_poll_in(in, &ends->tx, 7) >= 0);
		take(ends, 3);
	}
	assert_int_equal(seen.count, count);
	for (int i = 0; i < count; i++)
		check_payload(&seen.entry[i], (uint32_t)i, sent[i].bytes);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, count);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

/* Two ports at one address: each datagram reaches one of them. */
static void test_an_address_is_shared(void **state)
{
	const char *uri = text_of("udp:127.0.0.1:%u,reuseport,hwstamp", free_port());
	struct rk_port *in[2] = {must_open(uri, RK_PORT_IN), must_open(uri, RK_PORT_IN)};
	struct ends *ends = make_ring(1024);
	uint64_t before_ns = clock_ns(CLOCK_REALTIME), messages = 0;
	uint16_t number = (uint16_t)atoi(strchr(uri + 4, ':') + 1);
	struct rk_port_stats stats;

	(void)state;
	forget(&seen);
	for (uint32_t i = 0; i < 200; i++) /* each from a port of its own */
		send_raw(number, "x", 1);
	for (uint32_t i = 0; i < 2; i++) {
		drain(in[i], ends, 64);
		rk_port_stats(in[i], &stats);
		assert_true(stats.messages > 0 && stats.messages < 200);
		assert_int_equal(dropped(&stats), 0);
		messages += stats.messages;
	}
	assert_int_equal(messages, 200);
	/* Loopback has no clock of its own: the kernel's time stands for it. */
	for (uint32_t i = 0; i < seen.count; i++) {
		assert_true(seen.entry[i].packet.rx_time_ns >= before_ns);
		assert_true(seen.entry[i].packet.rx_time_ns <= clock_ns(CLOCK_REALTIME));
	}
	assert_int_equal(rk_port_close(in[0]), 0);
	assert_int_equal(rk_port_close(in[1]), 0);
	free_ring(ends);
}

static void *poll_once(void *argument)
{
	struct ends *ends = make_ring(64);

	rk_port_poll_in(argument, &ends->tx, 64);
	free_ring(ends);
	return NULL;
}

static pthread_barrier_t barrier;

static void *poll_and_stay(void *argument)
{
	poll_once(argument);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* A port is closed where it was polled, or when that thread has ended; else that is refused. */
static void test_closing_on_another_thread(void **state)
{
	const char *uri = text_of("udp:127.0.0.1:%u", free_port());
	struct rk_port *in = must_open(uri, RK_PORT_IN);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, poll_once, in), 0);
	pthread_join(thread, NULL);
	assert_int_equal(rk_port_close(in), 0);

	in = must_open(uri, RK_PORT_IN);
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, poll_and_stay, in), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(rk_port_close(in), -EBUSY);
	assert_non_null(strstr(rk_errmsg(), "another thread polls it: close it there, or when"));
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	assert_int_equal(rk_port_close(in), 0);
	pthread_barrier_destroy(&barrier);
}

static void test_udp_to_a_closed_ring(void **state)
{
	uint16_t number = free_port();
	struct rk_port *in = must_open(text_of("udp:127.0.0.1:%u", number), RK_PORT_IN);
	struct ends *ends = make_ring(16);
	struct rk_port_stats stats;
	int result;

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		send_raw(number, "x", 1);
	assert_int_equal(rk_port_poll_in(in, &ends->tx, 64), 16);
	rk_ring_refuse(&ends->rx, RK_CLOSE_STOPPED);
	do
		result = rk_port_poll_in(in, &ends->tx, 64);
	while (result >= 0);
	assert_int_equal(result, -EPIPE);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 16);
	assert_int_equal(stats.dropped_closed, 48);
	assert_int_equal(rk_port_poll_in(in, &ends->tx, 64), -EPIPE);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups_deliver_everything),
		cmocka_unit_test(test_kernel_drops_are_counted_exactly),
		cmocka_unit_test(test_full_ring_holds_datagrams_back),
		cmocka_unit_test(test_long_empty_and_strange_datagrams),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_out_takes_other_messages_and_counts_strange_ones),
		cmocka_unit_test(test_idle_ends_only_after_something_came),
		cmocka_unit_test(test_udp_to_a_closed_ring),
		cmocka_unit_test(test_joined_datagrams_come_apart),
		cmocka_unit_test(test_an_address_is_shared),
		cmocka_unit_test(test_closing_on_another_thread),
	};

	int failed = cmocka_run_group_tests_name("io_uring", tests, choose_seed, forget_seen);

	if (!no_uring())
		return failed;
	return failed + cmocka_run_group_tests_name("plain", tests, choose_seed, forget_seen);
}
