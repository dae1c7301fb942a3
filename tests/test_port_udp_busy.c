// SPDX-License-Identifier: MIT
/*
 * Port udp, output, when the socket has no room: it says so, and later everything is delivered,
 * once and in order. The loopback by itself never fills a socket, so sendmmsg is played here: it
 * hands on to the kernel what there is room for.
 */
#include "ports/port.h"
#include "ports_aid.h"

#include <errno.h>
#include <sys/syscall.h>

/**
 * struct outside - the socket's buffer
 * @room: datagrams it takes before it is full
 * @refill: a call that finds it full makes room for fewer than this; 0: it stays full
 * @error: what such a call fails with
 */
static struct outside {
	uint32_t room, refill;
	int error;
	uint32_t calls, refused;
} outside;

/* In front of the system's: a static library's calls end here. */
int sendmmsg(int fd, struct mmsghdr *heads, unsigned int count, int flags)
{
	int taken;

	outside.calls++;
	if (!outside.room) {
		outside.refused++;
		outside.room = outside.refill ? (uint32_t)(chance() % outside.refill) : 0;
		errno = outside.error;
		return -1;
	}
	if (count > outside.room)
		count = outside.room;
	taken = (int)syscall(SYS_sendmmsg, fd, heads, count, flags);
	if (taken > 0)
		outside.room -= (uint32_t)taken;
	return taken;
}

struct pair {
	struct rk_port *in, *out;
	struct ends *ends;
};

/* Both ends of an address, the outside as @start says. */
static struct pair open_pair(struct outside start)
{
	const char *uri = text_of("udp:127.0.0.1:%u,stamp", free_port());
	struct pair pair = {.in = must_open(uri, RK_PORT_IN)};

	pair.out = must_open(uri, RK_PORT_OUT);
	pair.ends = make_ring(1024);
	outside = start;
	forget(&seen);
	return pair;
}

static void close_input(struct pair *pair)
{
	assert_int_equal(rk_port_close(pair->in), 0);
	free_ring(pair->ends);
}

static int write_one(struct pair *pair, uint32_t index)
{
	sent[index].bytes = 4 + index * 7 % 150;
	sent[index].stamp_ns = 1000000 + index;
	return rk_port_write(pair->out, build(RK_MSG_PACKET, 0, sent[index].stamp_ns, 0, index,
					      sent[index].bytes));
}

/* The first @count, and no other, came in and are counted as gone out. */
static void check_delivered(struct pair *pair, uint32_t count)
{
	struct rk_port_stats stats;
	uint64_t bytes = 0;

	drain(pair->in, pair->ends, 64);
	assert_int_equal(seen.count, count);
	for (uint32_t i = 0; i < count; i++) {
		check_payload(&seen.entry[i], i, sent[i].bytes);
		assert_int_equal(seen.entry[i].time_ns, sent[i].stamp_ns);
		bytes += sent[i].bytes;
	}
	rk_port_stats(pair->in, &stats);
	assert_int_equal(stats.messages, count);
	assert_int_equal(dropped(&stats), 0);
	rk_port_stats(pair->out, &stats);
	assert_int_equal(stats.messages, count);
	assert_int_equal(stats.bytes, bytes);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(stats.calls, outside.calls);
}

static void test_a_full_socket_takes_no_more_than_a_batch(void **state)
{
	struct pair pair = open_pair((struct outside){.error = EAGAIN});

	(void)state;
	for (uint32_t i = 0; i < PORT_BATCH; i++)
		assert_int_equal(write_one(&pair, i), 1);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(write_one(&pair, PORT_BATCH), 0);
		assert_int_equal(rk_port_flush(pair.out), 0);
	}
	/* The write that filled the batch tried too. */
	assert_int_equal(outside.refused, 7);
	check_delivered(&pair, 0);

	/* Room for a part: the rest still fills the batch. */
	outside.room = 10;
	assert_int_equal(rk_port_flush(pair.out), 0);
	assert_int_equal(write_one(&pair, PORT_BATCH), 0);
	check_delivered(&pair, 10);

	outside.room = UINT32_MAX;
	assert_int_equal(write_one(&pair, PORT_BATCH), 1);
	check_delivered(&pair, PORT_BATCH);
	assert_int_equal(rk_port_flush(pair.out), 1);
	check_delivered(&pair, PORT_BATCH + 1);
	assert_int_equal(rk_port_close(pair.out), 0);
	close_input(&pair);
}

/* Write @count, each as often as it takes, flushing at times; returns how often it was busy. */
static uint32_t write_all(struct pair *pair, uint32_t count)
{
	uint32_t busy = 0, most = 1000 * count;
	int result;

	for (uint32_t i = 0; i < count; i++) {
		while ((result = write_one(pair, i)) == 0 && busy < most)
			busy++;
		assert_int_equal(result, 1);
		if (chance() % 40)
			continue;
		result = rk_port_flush(pair->out);
		assert_true(result == 0 || result == 1);
		busy += result == 0;
	}
	while ((result = rk_port_flush(pair->out)) == 0 && busy < most)
		busy++;
	assert_int_equal(result, 1);
	return busy;
}

static void test_room_that_comes_and_goes_loses_nothing(void **state)
{
	static const int errors[] = {EAGAIN, ENOBUFS, EINTR};
	static const uint32_t refills[] = {2, 20, 100};

	(void)state;
	for (uint32_t i = 0; i < 9; i++) {
		struct pair pair = open_pair(
			(struct outside){.refill = refills[i / 3], .error = errors[i % 3]});

		assert_true(write_all(&pair, 300) > 0);
		assert_true(outside.refused > 0);
		check_delivered(&pair, 300);
		assert_int_equal(rk_port_flush(pair.out), 1);
		assert_int_equal(rk_port_close(pair.out), 0);
		close_input(&pair);
	}
}

static void test_closing_a_full_socket_says_what_is_lost(void **state)
{
	struct pair pair = open_pair((struct outside){.room = 10, .error = EAGAIN});
	const char *text = text_of("port '%s': 15 datagrams not sent: flush before closing",
				   rk_port_uri(pair.out));

	(void)state;
	for (uint32_t i = 0; i < 25; i++)
		assert_int_equal(write_one(&pair, i), 1);
	assert_int_equal(rk_port_flush(pair.out), 0);
	check_delivered(&pair, 10);
	assert_int_equal(rk_port_close(pair.out), -EAGAIN);
	assert_string_equal(rk_errmsg(), text);
	drain(pair.in, pair.ends, 64);
	assert_int_equal(seen.count, 10);
	close_input(&pair);
}

static void test_closing_sends_what_has_room_by_then(void **state)
{
	struct pair pair = open_pair((struct outside){.room = 10, .error = EAGAIN});

	(void)state;
	for (uint32_t i = 0; i < 25; i++)
		assert_int_equal(write_one(&pair, i), 1);
	assert_int_equal(rk_port_flush(pair.out), 0);
	outside.room = 15;
	assert_int_equal(rk_port_close(pair.out), 0);
	drain(pair.in, pair.ends, 64);
	assert_int_equal(seen.count, 25);
	for (uint32_t i = 0; i < 25; i++)
		check_payload(&seen.entry[i], i, sent[i].bytes);
	close_input(&pair);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_full_socket_takes_no_more_than_a_batch),
		cmocka_unit_test(test_room_that_comes_and_goes_loses_nothing),
		cmocka_unit_test(test_closing_a_full_socket_says_what_is_lost),
		cmocka_unit_test(test_closing_sends_what_has_room_by_then),
	};

	return cmocka_run_group_tests(tests, choose_seed, forget_seen);
}
