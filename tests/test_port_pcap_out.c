// SPDX-License-Identifier: MIT
/*
 * Port pcap, output: recordings replay equal, their checksums are right, and a full disk is told.
 * `record FILE` makes a recording for another reader.
 */
#include "ports/frame.h"
#include "ports_capture.h"

#include <signal.h>
#include <sys/resource.h>

/* Words of @bytes bytes, added up as the checksums of the Internet are. */
static uint32_t add_words(uint32_t sum, const uint8_t *at, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void test_frames_have_right_checksums(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t bytes = round < 300 ? round : (uint32_t)(chance() % 65508);
		struct frame_address to = {(uint32_t)chance(), (uint16_t)chance()};
		uint32_t udp_bytes = 8 + bytes;

		for (uint32_t i = 0; i < bytes; i++)
			frame[FRAME_HEAD_BYTES + i] = round % 3 ? (uint8_t)chance() : 0xff;
		assert_int_equal(frame_build(frame, to, bytes), 42 + bytes);
		assert_int_equal(add_words(0, frame + 14, 20), 0xffff);
		/* The addresses, protocol and length stand in front of the datagram's own words. */
		assert_int_equal(
			add_words(add_words(17 + udp_bytes, frame + 26, 8), frame + 34, udp_bytes),
			0xffff);
		assert_true(frame[40] || frame[41]);
	}
}

static void test_recording_replays_equal(void **state)
{
	const char *path = file_path("r.pcap");
	struct rk_port *port = must_open(text_of("pcap:%s", path), RK_PORT_OUT);
	struct rk_port_stats stats;
	uint64_t bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		sent[i].feed = (uint32_t)(chance() % 16);
		sent[i].bytes = (uint32_t)(chance() % (i % 50 ? 300 : MAX_BYTES + 1));
		sent[i].stamp_ns = 1 + (chance() >> 2) % 4000000000000000000ULL;
		bytes += sent[i].bytes;
		must_write(port, build(RK_MSG_PACKET, sent[i].stamp_ns, i & 1 ? 99 : 0,
				       sent[i].feed, i, sent[i].bytes));
	}
	assert_int_equal(rk_port_flush(port), 1);
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, 2000);
	assert_int_equal(stats.bytes, bytes);
	assert_int_equal(rk_port_close(port), 0);
	assert_int_equal(replay(text_of("pcap:%s,feeds=233.252.0.1:14340+233.252.0.2:14341+"
					"233.252.0.3:14342+233.252.0.4:14343+233.252.0.5:14344+"
					"233.252.0.6:14345+233.252.0.7:14346+233.252.0.8:14347+"
					"233.252.0.9:14348+233.252.0.10:14349+233.252.0.11:14350+"
					"233.252.0.12:14351+233.252.0.13:14352+233.252.0.14:14353+"
					"233.252.0.15:14354+233.252.0.16:14355",
					path),
				1024, &stats),
			 -ENODATA);
	assert_int_equal(stats.messages, 2000);
	assert_int_equal(stats.bytes, bytes);
	made.format = PCAP_NANO;
	check_seen(2000, 0);
}

static void test_recording_other_messages_and_strange_ones(void **state)
{
	const char *path = file_path("r.pcap");
	struct rk_port *port = must_open(text_of("pcap:%s,feeds=10.1.2.3:99", path), RK_PORT_OUT);
	uint64_t before_ns = clock_ns(CLOCK_REALTIME);
	struct rk_port_stats stats;
	struct rk_msg *msg;
	uint32_t lie = 25;

	(void)state;
	must_write(port, build(RK_MSG_PACKET, 0, 0, 0, 0, 10));
	must_write(port, build(300, 0, 0, 0, 1, 48));
	must_write(port, build(301, 0, 77, 0, 2, 152));
	must_write(port, build(RK_MSG_PACKET, 0, 0, 1, 0, 10));
	msg = build(RK_MSG_PACKET, 0, 77, 0, 0, 24);
	memcpy(msg->body + 8 + 8, &lie, 4);
	must_write(port, msg);
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, 3);
	assert_int_equal(stats.dropped_foreign, 1);
	assert_int_equal(stats.dropped_malformed, 1);
	assert_int_equal(rk_port_close(port), 0);
	replay(text_of("pcap:%s,feeds=10.1.2.3:99+233.252.0.255:300+233.252.0.255:301", path), 64,
	       &stats);
	assert_int_equal(stats.messages, 3);
	check_payload(&seen.entry[0], 0, 10);
	check_payload(&seen.entry[1], 1, 48);
	check_payload(&seen.entry[2], 2, 152);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(seen.entry[i].packet.feed, i);
		assert_true(seen.entry[i].packet.rx_time_ns >= before_ns);
		assert_true(seen.entry[i].packet.rx_time_ns <= clock_ns(CLOCK_REALTIME));
	}
}

/* A file that may not grow beyond 600,000 bytes: as a full disk, but without root. */
static int write_to_full_disk(void)
{
	const struct rlimit limit = {600000, 600000};
	struct rk_port *port = NULL;
	struct rk_port_stats stats;
	uint32_t written = 0;
	int result;

	signal(SIGXFSZ, SIG_IGN);
	CHILD_CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHILD_CHECK(
		!rk_port_open(&port, text_of("pcap:%s", file_path("full.pcap")), RK_PORT_OUT, 0));
	do
		result = rk_port_write(port, build(RK_MSG_PACKET, 5, 0, 0, 0, 1000));
	while (result == 1 && ++written < 10000);
	CHILD_CHECK(result == -EFBIG);
	CHILD_CHECK(strstr(rk_errmsg(), "write: File too large: the recording is incomplete"));
	rk_port_stats(port, &stats);
	CHILD_CHECK(stats.messages == written);
	CHILD_CHECK(rk_port_write(port, build(RK_MSG_PACKET, 5, 0, 0, 0, 1000)) == -EFBIG);
	CHILD_CHECK(rk_port_flush(port) == -EFBIG);
	CHILD_CHECK(rk_port_close(port) == -EFBIG);
	CHILD_CHECK(strstr(rk_errmsg(), "full.pcap"));
	return 0;
}

static void test_full_disk_is_told_at_once_and_at_close(void **state)
{
	struct rk_port *port = NULL;

	(void)state;
	need_pcap();
	in_child(write_to_full_disk);
	if (access("/dev/full", W_OK)) {
		print_message("skipped: no /dev/full here\n");
		skip();
	}
	assert_int_equal(rk_port_open(&port, "pcap:/dev/full", RK_PORT_OUT, 0), -ENOSPC);
	assert_string_equal(rk_errmsg(),
			    "port 'pcap:/dev/full': write '/dev/full': No space left on "
			    "device");
}

/* For another reader: record @path, and print what it must find in it, a line a frame. */
static int record_for_others(const char *path)
{
	struct rk_port *port = NULL;

	seed = 1;
	if (rk_port_open(&port, text_of("pcap:%s", path), RK_PORT_OUT, 0))
		goto fail;
	for (uint32_t i = 0; i < 400; i++) {
		uint32_t bytes = (uint32_t)(chance() % (i % 40 ? 300 : MAX_BYTES + 1));
		uint32_t feed = i % 16;
		/* Seconds beyond 2^31 as well, and small parts of a second. */
		uint64_t stamp_ns = (uint64_t)(1 + i * 10000000) * 1000000000 + i;
		uint8_t payload[MAX_BYTES];

		if (rk_port_write(port, build(RK_MSG_PACKET, stamp_ns, 0, feed, i, bytes)) != 1)
			goto fail;
		printf("%llu.%09llu 233.252.0.%u %u %u 1 1 ",
		       (unsigned long long)(stamp_ns / 1000000000),
		       (unsigned long long)(stamp_ns % 1000000000), 1 + feed, 14340 + feed,
		       8 + bytes);
		fill_payload(payload, i, bytes);
		for (uint32_t k = 0; k < bytes; k++)
			printf("%02x", payload[k]);
		printf("\n");
	}
	if (!rk_port_close(port))
		return 0;
fail:
	fprintf(stderr, "%s\n", rk_errmsg());
	return 1;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_have_right_checksums),
		cmocka_unit_test(test_recording_replays_equal),
		cmocka_unit_test(test_recording_other_messages_and_strange_ones),
		cmocka_unit_test(test_full_disk_is_told_at_once_and_at_close),
	};

	if (argc == 3 && !strcmp(argv[1], "record"))
		return record_for_others(argv[2]);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
