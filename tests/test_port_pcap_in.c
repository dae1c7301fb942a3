// SPDX-License-Identifier: MIT
/*
 * Port pcap, input: captures made byte by byte are replayed, into rings of all sizes and at every
 * pace. Every case ends with the same sum: what was captured = messages + drops by reason.
 */
#include "ports_capture.h"

#include <pthread.h>

static void test_every_format_and_link_replays(void **state)
{
	struct rk_port_stats stats;

	(void)state;
	for (uint32_t format = 0; format < FORMATS; format++)
		for (uint32_t link = 0; link < LINKS; link++) {
			make_capture(format, link, 200, link ? 1500 : 9000);
			save("a.pcap", made.used);
			assert_int_equal(
				replay(text_of("pcap:%s", file_path("a.pcap")), 1024, &stats),
				-ENODATA);
			assert_int_equal(stats.messages, 200);
			assert_int_equal(dropped(&stats), 0);
			check_seen(200, 0);
		}
}

static void test_first_feed_is_the_callers(void **state)
{
	struct rk_port *port = NULL;

	(void)state;
	make_capture(PCAP_NANO, 0, 50, 100);
	save("a.pcap", made.used);
	forget(&seen);
	assert_int_equal(
		rk_port_open(&port, text_of("pcap:%s", file_path("a.pcap")), RK_PORT_IN, 7), 0);
	assert_int_equal(run_to_end(port, 64, UINT32_MAX, 5), -ENODATA);
	assert_int_equal(seen.count, 50);
	check_seen(50, 7);
	assert_int_equal(rk_port_close(port), 0);
}

static void test_feeds_by_destination(void **state)
{
	struct rk_port_stats stats;

	(void)state;
	make_capture(PCAPNG_NANO, 0, 100, 100);
	save("a.pcap", made.used);
	replay(text_of("pcap:%s,feeds=224.1.1.2:7001+224.1.1.1:7000", file_path("a.pcap")), 64,
	       &stats);
	assert_int_equal(stats.messages, 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(seen.entry[i].packet.feed, 1 - sent[i].feed);

	/* One of the two only: the other is foreign. */
	replay(text_of("pcap:%s,feeds=224.1.1.2:7001", file_path("a.pcap")), 64, &stats);
	assert_int_equal(stats.messages + stats.dropped_foreign, 100);
	assert_int_equal(stats.messages + stats.dropped_foreign, stats.messages + dropped(&stats));
	assert_true(stats.dropped_foreign > 0 && stats.messages > 0);

	/* Numbered as they appear, sixteen at most. */
	begin_capture(PCAP_NANO, 1);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t bytes = put_frame(0, i % 20, i, 8);

		add_record(i, frame, bytes, bytes);
	}
	save("a.pcap", made.used);
	replay(text_of("pcap:%s", file_path("a.pcap")), 64, &stats);
	assert_int_equal(stats.messages, 32);
	assert_int_equal(stats.dropped_foreign, 8);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(seen.entry[i].packet.feed, i % 16);
}

static void test_small_ring_and_slow_consumer_lose_nothing(void **state)
{
	static const struct {
		uint64_t capacity;
		uint32_t most_bytes;
	} cases[] = {{2, 24}, {4, 80}, {64, 1700}, {256, 7000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (uint32_t budget = 2; budget <= 100; budget += 33) {
			struct rk_port_stats stats;
			struct rk_port *port;

			make_capture(PCAPNG_NANO, 0, 500, cases[i].most_bytes);
			port = must_open(text_of("pcap:%s", save("a.pcap", made.used)), RK_PORT_IN);
			forget(&seen);
			assert_int_equal(run_to_end(port, cases[i].capacity, 1, budget), -ENODATA);
			rk_port_stats(port, &stats);
			assert_int_equal(stats.messages, 500);
			assert_int_equal(seen.count, 500);
			assert_int_equal(dropped(&stats), 0);
			assert_true(stats.ring_full > 0);
			check_seen(500, 0);
			assert_int_equal(rk_port_close(port), 0);
		}
}

static void test_too_long_for_the_ring_is_counted(void **state)
{
	struct rk_port_stats stats;
	uint32_t fit = 0;

	(void)state;
	make_capture(PCAP_NANO, 0, 300, 160);
	for (uint32_t i = 0; i < 300; i++)
		fit += sent[i].bytes <= 80;
	/* Two slots at most: 112 bytes, 32 of them in front of the datagram. */
	assert_int_equal(replay(text_of("pcap:%s", save("a.pcap", made.used)), 4, &stats),
			 -ENODATA);
	assert_int_equal(stats.messages, fit);
	assert_int_equal(stats.dropped_too_long, 300 - fit);
	assert_int_equal(dropped(&stats), 300 - fit);
}

static void test_closed_ring_ends_the_replay(void **state)
{
	struct ends *ends = make_ring(16);
	struct rk_port_stats stats;
	struct rk_port *port;
	int result;

	(void)state;
	make_capture(PCAP_NANO, 0, 100, 40);
	port = must_open(text_of("pcap:%s", save("a.pcap", made.used)), RK_PORT_IN);
	forget(&seen);
	assert_true(rk_port_poll_in(port, &ends->tx, 64) > 0);
	rk_ring_refuse(&ends->rx, RK_CLOSE_STOPPED);
	do
		result = rk_port_poll_in(port, &ends->tx, 64);
	while (result >= 0);
	assert_int_equal(result, -EPIPE);
	assert_string_equal(rk_errmsg(),
			    text_of("port '%s': its ring is closed, reason 2", rk_port_uri(port)));
	assert_int_equal(rk_port_poll_in(port, &ends->tx, 64), -EPIPE);
	rk_port_stats(port, &stats);
	/* A batch was read: what of it is not in the ring was lost by the closing. */
	assert_int_equal(stats.messages + stats.dropped_closed, 64);
	assert_int_equal(rk_port_close(port), 0);
	free_ring(ends);
}

/* Poll @port until it ends, noting that nothing comes before its time. */
static void run_paced(struct rk_port *port)
{
	struct ends *ends = make_ring(256);
	int result;

	forget(&seen);
	do {
		uint32_t before = seen.count;
		uint64_t due_ns, after_ns;

		result = rk_port_poll_in(port, &ends->tx, 64);
		after_ns = clock_ns(CLOCK_MONOTONIC);
		take(ends, UINT32_MAX);
		for (; before < seen.count; before++)
			assert_true(seen.entry[before].time_ns <= after_ns);
		due_ns = rk_port_due_ns(port);
		if (result == 0 && due_ns > after_ns)
			usleep((useconds_t)((due_ns - after_ns) / 1000));
	} while (result >= 0);
	assert_int_equal(result, -ENODATA);
	free_ring(ends);
}

static void check_pace(const char *option, uint64_t scale, uint32_t messages)
{
	struct rk_port *port =
		must_open(text_of("pcap:%s,%s", file_path("a.pcap"), option), RK_PORT_IN);

	run_paced(port);
	assert_int_equal(seen.count, messages);
	for (uint32_t i = 0; i < messages; i++) {
		uint64_t offset_ns = sent[i].stamp_ns - sent[0].stamp_ns;

		/* Four times the offset over @scale, cut to whole ns as the schedule does. */
		assert_int_equal(seen.entry[i].time_ns - seen.entry[0].time_ns,
				 offset_ns * 4 / scale);
	}
	assert_int_equal(rk_port_close(port), 0);
}

static void test_pace_is_the_recorded_one_times_n(void **state)
{
	(void)state;
	make_capture(PCAP_NANO, 0, 400, 40);
	save("a.pcap", made.used);
	check_pace("speed=1", 4, 400);
	check_pace("speed=2", 8, 400);
	check_pace("speed=0.25", 1, 400);
	check_pace("speed=1,count=17", 4, 17);
}

static void test_fixed_rate_and_loops(void **state)
{
	struct rk_port *port;

	(void)state;
	make_capture(PCAPNG_NANO, 0, 50, 40);
	port = must_open(text_of("pcap:%s,rate=50000,loops=3", save("a.pcap", made.used)),
			 RK_PORT_IN);
	run_paced(port);
	assert_int_equal(seen.count, 150);
	for (uint32_t i = 0; i < 150; i++) {
		assert_int_equal(seen.entry[i].time_ns - seen.entry[0].time_ns, i * 20000);
		check_payload(&seen.entry[i], i % 50, sent[i % 50].bytes);
	}
	assert_int_equal(rk_port_close(port), 0);

	/* At the recorded pace each loop begins when the one before has ended. */
	port = must_open(text_of("pcap:%s,speed=1,loops=2", file_path("a.pcap")), RK_PORT_IN);
	run_paced(port);
	assert_int_equal(seen.count, 100);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(seen.entry[50 + i].time_ns - seen.entry[i].time_ns,
				 sent[49].stamp_ns - sent[0].stamp_ns);
	assert_int_equal(rk_port_close(port), 0);
}

static void test_recorded_time_that_runs_backwards_stands_still(void **state)
{
	static const uint64_t stamps[] = {5000, 1000, 4000, 9000, 8000, 9500};
	static const uint64_t offsets[] = {0, 0, 0, 4000, 4000, 4500};
	struct rk_port *port;

	(void)state;
	begin_capture(PCAP_NANO, 1);
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t bytes = put_frame(0, 0, i, 8);

		add_record(stamps[i], frame, bytes, bytes);
	}
	port = must_open(text_of("pcap:%s,speed=1", save("a.pcap", made.used)), RK_PORT_IN);
	run_paced(port);
	assert_int_equal(seen.count, 6);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(seen.entry[i].time_ns - seen.entry[0].time_ns, offsets[i]);
		assert_int_equal(seen.entry[i].packet.rx_time_ns, stamps[i]);
	}
	assert_int_equal(rk_port_close(port), 0);
}

static void test_time_read_at_full_speed(void **state)
{
	struct rk_port_stats stats;
	uint64_t before_ns = clock_ns(CLOCK_MONOTONIC), last_ns = before_ns;

	(void)state;
	make_capture(PCAP_MICRO, 0, 1000, 40);
	save("a.pcap", made.used);
	assert_int_equal(
		replay(text_of("pcap:%s,speed=max,loops=4", file_path("a.pcap")), 1024, &stats),
		-ENODATA);
	assert_int_equal(stats.messages, 4000);
	for (uint32_t i = 0; i < seen.count; i++) {
		assert_true(seen.entry[i].time_ns >= last_ns);
		last_ns = seen.entry[i].time_ns;
	}
	assert_true(last_ns <= clock_ns(CLOCK_MONOTONIC));
}

/* A file without a message, looped for long, is neither a hang nor an error. */
static void test_captures_without_messages_end(void **state)
{
	struct rk_port_stats stats;

	(void)state;
	begin_capture(PCAP_NANO, 1);
	save("a.pcap", made.used);
	assert_int_equal(
		replay(text_of("pcap:%s,loops=4000000000", file_path("a.pcap")), 16, &stats),
		-ENODATA);
	assert_int_equal(stats.messages + dropped(&stats), 0);
	memset(frame, 0xff, 60);
	for (uint32_t i = 0; i < 10000; i++)
		add_record(i, frame, 60, 60);
	save("a.pcap", made.used);
	assert_int_equal(replay(text_of("pcap:%s,loops=2", file_path("a.pcap")), 16, &stats),
			 -ENODATA);
	assert_int_equal(stats.messages, 0);
	assert_int_equal(stats.dropped_foreign, 20000);
}

static void *read_stats(void *argument)
{
	struct rk_port_stats stats = {.messages = 0}, before;

	while (stats.messages < 5000) {
		before = stats;
		rk_port_stats(argument, &stats);
		if (stats.messages < before.messages || stats.bytes < before.bytes)
			return argument;
		sched_yield();
	}
	return NULL;
}

static void test_stats_may_be_read_by_another_thread(void **state)
{
	struct rk_port *port;
	pthread_t thread;
	void *bad;

	(void)state;
	make_capture(PCAP_NANO, 0, 5000, 40);
	port = must_open(text_of("pcap:%s", save("a.pcap", made.used)), RK_PORT_IN);
	forget(&seen);
	assert_int_equal(pthread_create(&thread, NULL, read_stats, port), 0);
	assert_int_equal(run_to_end(port, 64, UINT32_MAX, 8), -ENODATA);
	assert_int_equal(pthread_join(thread, &bad), 0);
	assert_null(bad);
	assert_int_equal(rk_port_close(port), 0);
}

static void test_real_capture(void **state)
{
	const char *captures = getenv("RK_CAPTURES");
	const char *path =
		text_of("%s/cme_mdp3_sbe_ab.pcap", captures ? captures : "../shared/data");
	struct rk_port_stats stats;
	uint32_t next[2] = {5615, 5615};

	(void)state;
	if (access(path, R_OK)) {
		print_message("skipped: no %s: set RK_CAPTURES to the captures' folder\n", path);
		skip();
	}
	assert_int_equal(replay(text_of("pcap:%s", path), 4096, &stats), -ENODATA);
	assert_int_equal(stats.messages, 10000);
	assert_int_equal(dropped(&stats), 0);
	for (uint32_t i = 0; i < seen.count; i++) {
		const struct entry *entry = &seen.entry[i];
		uint32_t sequence;

		assert_true(entry->packet.feed < 2);
		memcpy(&sequence, entry->data, 4);
		assert_int_equal(sequence, next[entry->packet.feed]++);
	}
	assert_int_equal(next[0], 5615 + 5000);
	assert_int_equal(next[1], 5615 + 5000);
	assert_int_equal(replay(text_of("pcap:%s,feeds=224.0.32.64:15340+224.0.31.64:14340", path),
				4096, &stats),
			 -ENODATA);
	assert_int_equal(stats.messages, 10000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_format_and_link_replays),
		cmocka_unit_test(test_first_feed_is_the_callers),
		cmocka_unit_test(test_feeds_by_destination),
		cmocka_unit_test(test_small_ring_and_slow_consumer_lose_nothing),
		cmocka_unit_test(test_too_long_for_the_ring_is_counted),
		cmocka_unit_test(test_closed_ring_ends_the_replay),
		cmocka_unit_test(test_pace_is_the_recorded_one_times_n),
		cmocka_unit_test(test_fixed_rate_and_loops),
		cmocka_unit_test(test_recorded_time_that_runs_backwards_stands_still),
		cmocka_unit_test(test_time_read_at_full_speed),
		cmocka_unit_test(test_captures_without_messages_end),
		cmocka_unit_test(test_stats_may_be_read_by_another_thread),
		cmocka_unit_test(test_real_capture),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
