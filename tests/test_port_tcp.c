// SPDX-License-Identifier: MIT
/*
 * Port tcp: messages through connections that cut them anywhere, peers that lie, die and stall.
 * All of it by io_uring, then without. What was sent = messages + drops by reason.
 */
#include "no_uring.h"
#include "ports_aid.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>

/* A TCP port of the loopback that nobody has. */
static uint16_t free_tcp_port(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	close(fd);
	return ntohs(name.sin_port);
}

/* A socket of the test's own: connected to @number, or listening there. */
static int raw_socket(uint16_t number, bool listening)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(number),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (!listening) {
		assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		return fd;
	}
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* Message @index of @connection behind its length; returns bytes. */
static uint32_t frame(uint8_t *at, uint32_t length_bytes, uint32_t index, uint32_t bytes)
{
	for (uint32_t i = 0; i < length_bytes; i++)
		at[i] = (uint8_t)(bytes >> 8 * (length_bytes - 1 - i));
	fill_payload(at + length_bytes, index, bytes);
	return length_bytes + bytes;
}

enum { SENDERS = 5, MESSAGES = 400 };

static uint32_t bytes_of(uint32_t sender, uint32_t index)
{
	return 4 + (index * 7919 + sender * 104729) % (index % 40 ? 300 : MAX_BYTES - 3);
}

/* Sends its messages in pieces of any size. */
static void send_pieces(uint16_t number, uint32_t length_bytes, uint32_t sender)
{
	static uint8_t all[MESSAGES * 1000];
	uint32_t bytes = 0, at = 0;
	int fd = raw_socket(number, false);

	for (uint32_t i = 0; i < MESSAGES; i++)
		bytes += frame(all + bytes, length_bytes, sender << 16 | i, bytes_of(sender, i));
	srand(sender);
	while (at < bytes) {
		uint32_t part = 1 + (uint32_t)rand() % (rand() % 20 ? 700 : 60000);
		ssize_t put = send(fd, all + at, part < bytes - at ? part : bytes - at, 0);

		if (put < 0)
			_exit(1);
		at += (uint32_t)put;
		if (rand() % 50 == 0)
			usleep(100);
	}
	close(fd);
	_exit(0);
}

static void many_senders(uint32_t length_bytes, uint64_t capacity)
{
	uint16_t number = free_tcp_port();
	struct rk_port *port = must_open(text_of("tcp:127.0.0.1:%u,listen,frame=%u,count=%u",
						 number, length_bytes, SENDERS * MESSAGES),
					 RK_PORT_IN);
	uint32_t next[SENDERS] = {0};
	struct rk_port_stats stats;
	uint64_t bytes = 0;

	for (uint32_t sender = 0; sender < SENDERS; sender++)
		if (!fork())
			send_pieces(number, length_bytes, sender);
	forget(&seen);
	assert_int_equal(run_to_end(port, capacity, 3, 64), -ENODATA);
	assert_non_null(strstr(rk_errmsg(), "count reached"));
	assert_int_equal(seen.count, SENDERS * MESSAGES);
	for (uint32_t i = 0; i < seen.count; i++) {
		const struct entry *entry = &seen.entry[i];
		uint32_t sender = entry->data[2] | (uint32_t)entry->data[3] << 8;

		assert_true(sender < SENDERS && next[sender] < MESSAGES);
		check_payload(entry, sender << 16 | next[sender], bytes_of(sender, next[sender]));
		bytes += entry->packet.bytes;
		next[sender]++;
	}
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, seen.count);
	assert_int_equal(stats.bytes, bytes);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(port), 0);
	while (wait(NULL) > 0)
		continue;
}

static void test_messages_cut_anywhere_come_whole(void **state)
{
	(void)state;
	many_senders(2, 512);
	many_senders(4, 4096);
}

/* Messages given to one port come out of the other. */
static void through(const char *options, uint64_t capacity, bool out_listens)
{
	uint16_t number = free_tcp_port();
	const char *client = text_of("tcp:127.0.0.1:%u,%s", number, options);
	const char *server = text_of("tcp:127.0.0.1:%u,listen,%s", number, options);
	struct ends *ends = make_ring(capacity);
	struct rk_port *in, *out;
	struct rk_port_stats stats;
	uint32_t written = 0;
	int result = 0;

	if (out_listens)
		out = must_open(server, RK_PORT_OUT);
	in = must_open(out_listens ? client : server, RK_PORT_IN);
	if (!out_listens)
		out = must_open(client, RK_PORT_OUT);
	forget(&seen);
	for (uint32_t rounds = 0; seen.count < 3000 && rounds < 3000000; rounds++) {
		if (written < 3000) {
			sent[written].bytes = (written * 31) % (written % 60 ? 400 : MAX_BYTES);
			result = rk_port_write(
				out, build(RK_MSG_PACKET, 0, 7, 0, written, sent[written].bytes));
			assert_true(result >= 0);
			written += (uint32_t)result;
		}
		if (written == 3000 || chance() % 32 == 0)
			assert_true(rk_port_flush(out) >= 0);
		result = rk_port_poll_in(in, &ends->tx, 64);
		if (result < 0)
			fail_msg("%s", rk_errmsg());
		take(ends, (uint32_t)(chance() % 9));
	}
	assert_int_equal(seen.count, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		check_payload(&seen.entry[i], i, sent[i].bytes);
	for (uint32_t i = 0; i < 1000 && rk_port_flush(out) == 0; i++)
		usleep(100);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, 3000);
	assert_int_equal(dropped(&stats), 0);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 3000);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(out), 0);
	if (out_listens) {
		do
			result = rk_port_poll_in(in, &ends->tx, 64);
		while (result >= 0);
		assert_int_equal(result, -ENODATA);
		assert_non_null(strstr(rk_errmsg(), "the sender closed"));
	}
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

static void test_port_to_port(void **state)
{
	(void)state;
	through("frame=2", 1024, false);
	through("frame=4", 512, true);
}

static void test_zero_copy_sends(void **state)
{
	uint16_t number = free_tcp_port();
	int listening = raw_socket(number, true), fd;
	struct rk_port *out = must_open(text_of("tcp:127.0.0.1:%u,zerocopy", number), RK_PORT_OUT);
	static uint8_t got[200 * 10000], want[10000];
	uint32_t bytes = 0;
	int result;

	(void)state;
	fd = accept(listening, NULL, NULL);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (uint32_t i = 0, done = 0; bytes < sizeof(got) && i < 10000000; i++) {
		ssize_t more;

		if (done < 200) {
			result = rk_port_write(out, build(RK_MSG_PACKET, 0, 7, 0, done, 10000));
			assert_true(result >= 0);
			done += (uint32_t)result;
		}
		assert_true(rk_port_flush(out) >= 0);
		more = recv(fd, got + bytes, sizeof(got) - bytes, 0);
		bytes += more > 0 ? (uint32_t)more : 0;
	}
	assert_int_equal(bytes, sizeof(got));
	for (uint32_t i = 0; i < 200; i++) {
		fill_payload(want, i, 10000);
		assert_memory_equal(got + i * 10000, want, 10000);
	}
	do
		result = rk_port_flush(out);
	while (result == 0);
	assert_int_equal(rk_port_close(out), 0);
	close(fd);
	close(listening);
}

static void poll_for(struct rk_port *port, struct ends *ends, uint32_t ms)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + ms * 1000000ULL;

	while (clock_ns(CLOCK_MONOTONIC) < until) {
		if (rk_port_poll_in(port, &ends->tx, 64) < 0)
			fail_msg("%s", rk_errmsg());
		take(ends, UINT32_MAX);
	}
}

/* One who lies and one who stops in the middle do not disturb a third. */
static void test_hostile_lengths_and_halves(void **state)
{
	uint16_t number = free_tcp_port();
	struct rk_port *in =
		must_open(text_of("tcp:127.0.0.1:%u,listen,frame=4", number), RK_PORT_IN);
	struct ends *ends = make_ring(1024);
	struct rk_port_stats stats;
	uint8_t bytes[256], end;
	int liar, half, good;

	(void)state;
	forget(&seen);
	poll_for(in, ends, 1);
	good = raw_socket(number, false);
	liar = raw_socket(number, false);
	half = raw_socket(number, false);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(send(liar, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(send(half, bytes, frame(bytes, 4, 0, 100) - 1, 0), 103);
	poll_for(in, ends, 20);
	close(half);
	poll_for(in, ends, 20);
	/* The liar was hung up on. */
	assert_true(recv(liar, &end, 1, 0) <= 0);
	assert_int_equal(send(good, bytes, frame(bytes, 4, 7, 100), 0), 104);
	poll_for(in, ends, 20);
	assert_int_equal(seen.count, 1);
	check_payload(&seen.entry[0], 7, 100);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 1);
	assert_int_equal(stats.dropped_malformed, 1);
	assert_int_equal(stats.dropped_truncated, 1);
	assert_int_equal(dropped(&stats), 2);
	assert_int_equal(rk_port_close(in), 0);
	close(good);
	close(liar);
	free_ring(ends);
}

static void test_a_connection_made_that_lies(void **state)
{
	uint16_t number = free_tcp_port();
	int listening = raw_socket(number, true), fd;
	struct rk_port *in = must_open(text_of("tcp:127.0.0.1:%u,frame=4", number), RK_PORT_IN);
	struct ends *ends = make_ring(1024);
	int result;

	(void)state;
	fd = accept(listening, NULL, NULL);
	assert_int_equal(send(fd, "\xff\xff\xff\xff", 4, 0), 4);
	do
		result = rk_port_poll_in(in, &ends->tx, 64);
	while (!result);
	assert_int_equal(result, -EPROTO);
	assert_non_null(strstr(rk_errmsg(), "a message announced as longer than 14248 bytes: is "
					    "frame=4 what the sender does?"));
	assert_int_equal(rk_port_close(in), 0);
	close(fd);
	close(listening);
	free_ring(ends);
}

/* What a sender that is to be killed tells of itself, in memory that outlives it. */
struct told {
	uint32_t whole; /* messages that the kernel has taken to their last byte */
	uint32_t half;	/* and the half one after them */
};

enum { KILLED = 10, KILLED_MESSAGES = 1500 };

/* Sends its messages in two parts each, half a message more, and waits to be killed. */
static void send_until_killed(uint16_t number, uint32_t round, struct told *told)
{
	uint8_t bytes[1000];
	int fd = raw_socket(number, false);

	for (uint32_t i = 0; i < KILLED_MESSAGES; i++) {
		uint32_t all = frame(bytes, 2, round << 20 | i, 500);
		uint32_t part = (i * 37) % all;

		if (send(fd, bytes, part, 0) < 0 || send(fd, bytes + part, all - part, 0) < 0)
			_exit(1);
		__atomic_store_n(&told->whole, i + 1, __ATOMIC_RELAXED);
	}
	if (send(fd, bytes, 100, 0) != 100)
		_exit(1);
	__atomic_store_n(&told->half, 1, __ATOMIC_RELAXED);
	for (;;)
		pause();
}

/* Of each sender in turn: what it told, and how many of its messages have come. */
struct killed {
	struct told *told;
	uint32_t come[KILLED];
	uint32_t checked; /* of all that was seen */
};

/* What came last is whole, and in its sender's order. */
static void check_new(struct killed *killed)
{
	for (; killed->checked < seen.count; killed->checked++) {
		const struct entry *entry = &seen.entry[killed->checked];
		uint32_t index, round;

		memcpy(&index, entry->data, 4);
		round = index >> 20;
		assert_true(round < KILLED);
		check_payload(entry, round << 20 | killed->come[round]++, 500);
	}
}

/* Poll until so much of @round has come; a minute is the way out of a test that will fail. */
static void poll_until(struct rk_port *in, struct ends *ends, struct killed *killed, uint32_t round,
		       uint32_t messages, uint64_t truncated)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + 60000000000ULL;
	struct rk_port_stats stats = {0};

	while (killed->come[round] < messages || stats.dropped_truncated < truncated) {
		if (clock_ns(CLOCK_MONOTONIC) > until)
			fail_msg("sender %u: %u of %u messages, %u of %u halves", round,
				 killed->come[round], messages, (uint32_t)stats.dropped_truncated,
				 (uint32_t)truncated);
		poll_for(in, ends, 1);
		check_new(killed);
		rk_port_stats(in, &stats);
	}
}

/*
 * kill -9 of a sender: its whole messages are there, the half one is counted. Every other one is
 * killed after its half message, the rest somewhere on the way.
 */
static void test_a_sender_that_is_killed(void **state)
{
	uint16_t number = free_tcp_port();
	struct rk_port *in =
		must_open(text_of("tcp:127.0.0.1:%u,listen,frame=2", number), RK_PORT_IN);
	const size_t bytes = KILLED * sizeof(struct told);
	struct ends *ends = make_ring(4096);
	struct killed killed = {0};
	struct rk_port_stats stats;

	(void)state;
	killed.told = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(killed.told, MAP_FAILED);
	forget(&seen);
	for (uint32_t i = 0; i < KILLED; i++) {
		struct told *told = &killed.told[i];
		pid_t child = fork();

		if (!child)
			send_until_killed(number, i, told);
		poll_until(in, ends, &killed, i, i % 2 ? 1 + i * 100 : KILLED_MESSAGES, 0);
		while (i % 2 == 0 && !__atomic_load_n(&told->half, __ATOMIC_RELAXED))
			poll_for(in, ends, 1);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		poll_until(in, ends, &killed, i, told->whole, i / 2 + 1);
	}
	check_new(&killed);
	for (uint32_t i = 0; i < KILLED; i++)
		assert_in_range(killed.come[i], killed.told[i].whole, killed.told[i].whole + 1);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, seen.count);
	assert_in_range(stats.dropped_truncated, KILLED / 2, KILLED);
	assert_int_equal(dropped(&stats), stats.dropped_truncated);
	assert_int_equal(rk_port_close(in), 0);
	munmap(killed.told, bytes);
	free_ring(ends);
}

/* kill -9 of the receiver: the sender learns it, and every message is sent or counted. */
static void test_a_receiver_that_is_killed(void **state)
{
	uint16_t number = free_tcp_port();
	int listening = raw_socket(number, true), result = 1;
	struct rk_port_stats stats;
	struct rk_port *out;
	uint64_t accepted = 0;
	pid_t child = fork();

	(void)state;
	if (!child) {
		static uint8_t bytes[100000];
		int fd = accept(listening, NULL, NULL);

		for (uint32_t i = 0; i < 20; i++)
			recv(fd, bytes, sizeof(bytes), 0);
		kill(getpid(), SIGKILL);
	}
	close(listening);
	out = must_open(text_of("tcp:127.0.0.1:%u,frame=2", number), RK_PORT_OUT);
	while (result >= 0 && accepted < 100000000) {
		result = rk_port_write(out, build(RK_MSG_PACKET, 0, 7, 0, 1, 1000));
		accepted += result > 0;
		if (accepted % 8 == 0 && result >= 0)
			result = rk_port_flush(out);
	}
	assert_true(result == -ECONNRESET || result == -EPIPE);
	assert_non_null(strstr(rk_errmsg(), "the receiver is gone"));
	rk_port_stats(out, &stats);
	assert_true(stats.dropped_refused > 0);
	assert_int_equal(stats.messages + stats.dropped_refused, accepted);
	assert_int_equal(rk_port_close(out), 0);
	waitpid(child, NULL, 0);
}

/* A stalled receiver makes the port busy; it takes no more than it has room for, and resumes. */
static void test_a_receiver_that_stalls(void **state)
{
	uint16_t number = free_tcp_port();
	int listening = raw_socket(number, true), fd, small = 20000;
	struct rk_port *out = must_open(text_of("tcp:127.0.0.1:%u,frame=2", number), RK_PORT_OUT);
	static uint8_t bytes[100000];
	struct rk_port_stats stats;
	uint64_t accepted = 0, got = 0;
	uint32_t busy = 0;

	(void)state;
	setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fd = accept(listening, NULL, NULL);
	while (busy < 1000) {
		int result = rk_port_write(out, build(RK_MSG_PACKET, 0, 7, 0, 1, 998));

		assert_true(result >= 0);
		accepted += (uint64_t)result;
		busy = result ? 0 : busy + 1;
	}
	assert_int_equal(rk_port_flush(out), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (uint32_t i = 0; got < accepted * 1000 && i < 10000000; i++) {
		ssize_t more = recv(fd, bytes, sizeof(bytes), 0);

		got += more > 0 ? (uint64_t)more : 0;
		assert_true(rk_port_flush(out) >= 0);
	}
	assert_int_equal(got, accepted * 1000);
	while (rk_port_flush(out) == 0)
		usleep(100);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, accepted);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(out), 0);
	close(fd);
	close(listening);
}

/* Senders that come and go, one message each, never a pause: each finds a place. */
static void test_senders_come_and_go(void **state)
{
	uint16_t number = free_tcp_port();
	struct rk_port *in =
		must_open(text_of("tcp:127.0.0.1:%u,listen,frame=2", number), RK_PORT_IN);
	struct ends *ends = make_ring(1024);
	struct rk_port_stats stats;
	uint8_t bytes[64];

	(void)state;
	forget(&seen);
	poll_for(in, ends, 1);
	for (uint32_t i = 0; i < 500; i++) {
		int fd = raw_socket(number, false);

		assert_int_equal(send(fd, bytes, frame(bytes, 2, i, 40), 0), 42);
		close(fd);
		for (uint32_t j = 0; seen.count <= i && j < 1000000; j++) {
			assert_true(rk_port_poll_in(in, &ends->tx, 64) >= 0);
			take(ends, UINT32_MAX);
		}
		assert_int_equal(seen.count, i + 1);
		check_payload(&seen.entry[i], i, 40);
	}
	rk_port_stats(in, &stats);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

static void test_closing_unsent_says_so(void **state)
{
	uint16_t number = free_tcp_port();
	const char *uri = text_of("tcp:127.0.0.1:%u,listen", number);
	struct rk_port *out = must_open(uri, RK_PORT_OUT);

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(rk_port_write(out, build(RK_MSG_PACKET, 0, 7, 0, i, 10)), 1);
	assert_int_equal(rk_port_flush(out), 0); /* nobody is there */
	assert_int_equal(rk_port_close(out), -EAGAIN);
	assert_string_equal(
		rk_errmsg(),
		text_of("port 'tcp:127.0.0.1:%u,listen': 3 messages not sent: flush before closing",
			number));
}

static void test_nobody_listens(void **state)
{
	uint16_t number = free_tcp_port();
	struct rk_port *port;

	(void)state;
	assert_int_equal(rk_port_open(&port, text_of("tcp:127.0.0.1:%u", number), RK_PORT_IN, 0),
			 -ECONNREFUSED);
	assert_string_equal(rk_errmsg(),
			    text_of("port 'tcp:127.0.0.1:%u': connect 127.0.0.1:%u: Connection "
				    "refused: nobody listens there: start that side first",
				    number, number));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_cut_anywhere_come_whole),
		cmocka_unit_test(test_port_to_port),
		cmocka_unit_test(test_zero_copy_sends),
		cmocka_unit_test(test_hostile_lengths_and_halves),
		cmocka_unit_test(test_a_connection_made_that_lies),
		cmocka_unit_test(test_a_sender_that_is_killed),
		cmocka_unit_test(test_a_receiver_that_is_killed),
		cmocka_unit_test(test_a_receiver_that_stalls),
		cmocka_unit_test(test_senders_come_and_go),
		cmocka_unit_test(test_closing_unsent_says_so),
		cmocka_unit_test(test_nobody_listens),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	failed = cmocka_run_group_tests_name("io_uring", tests, choose_seed, forget_seen);
	if (!no_uring())
		return failed;
	return failed + cmocka_run_group_tests_name("plain", tests, choose_seed, forget_seen);
}
