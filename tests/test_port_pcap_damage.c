// SPDX-License-Identifier: MIT
/*
 * Port pcap, input, of what is odd, hostile or damaged: every frame is a message or a drop by
 * reason, what is whole comes out, and no step goes over a bound.
 */
#include "ports/frame.h"
#include "ports_capture.h"

enum reason { MESSAGE, FOREIGN, MALFORMED, TRUNCATED, TOO_LONG, REASONS };

/* Record @bytes of the frame, of which @cut are captured, and count what must become of it. */
static uint64_t expected[REASONS];

static void add_odd(uint32_t cut, uint32_t bytes, enum reason reason)
{
	add_record(made.records, frame, cut, bytes);
	expected[reason]++;
}

/* One byte of a frame that is right otherwise; @at counts from the IP header. */
static void add_changed(uint32_t at, uint8_t value, enum reason reason)
{
	uint32_t bytes = put_frame(0, 0, made.records, 40);

	frame[14 + at] = value;
	add_odd(bytes, bytes, reason);
}

static void add_with_vlan(uint32_t tags)
{
	uint8_t tag[4] = {0x81, 0, 0, 5};
	uint32_t bytes = put_frame(0, 0, made.records, 33);

	for (uint32_t i = 0; i < tags; i++) {
		memmove(frame + 16, frame + 12, bytes - 12);
		memcpy(frame + 12, tag, 4);
		tag[0] = 0x88;
		tag[1] = 0xa8;
		bytes += 4;
	}
	add_odd(bytes, bytes, MESSAGE);
	/* Nothing behind the last tag. */
	add_odd(12 + 4 * tags, 12 + 4 * tags, MALFORMED);
}

static void add_with_ip_options(void)
{
	uint32_t bytes = put_frame(0, 0, made.records, 33);

	memmove(frame + 34 + 8, frame + 34, bytes - 34);
	memset(frame + 34, 1, 8);
	frame[14] = 0x47;
	be16(frame + 16, 28 + 8 + 33);
	add_odd(bytes + 8, bytes + 8, MESSAGE);
}

static void make_oddities(void)
{
	uint32_t bytes;

	memset(expected, 0, sizeof(expected));
	begin_capture(PCAP_NANO, 1);
	add_with_vlan(1);
	add_with_vlan(2);
	add_with_vlan(5);
	add_with_ip_options();
	add_changed(0, 0x44, MALFORMED);       /* header of 16 bytes */
	add_changed(0, 0x4f, MALFORMED);       /* header of 60 bytes, more than UDP leaves */
	add_changed(0, 0x65, FOREIGN);	       /* IPv6 under IPv4's type */
	add_changed(2, 0xff, MALFORMED);       /* longer than the frame */
	add_changed(3, 27, MALFORMED);	       /* no room for UDP's header */
	add_changed(3, 19, MALFORMED);	       /* shorter than its own header */
	add_changed(6, 0x20, FOREIGN);	       /* first fragment */
	add_changed(7, 0x01, FOREIGN);	       /* a later one */
	add_changed(6, 0x40, MESSAGE);	       /* "do not fragment" is none */
	add_changed(9, 6, FOREIGN);	       /* TCP */
	add_changed(24, 1, MALFORMED);	       /* UDP longer than IP */
	add_changed(25, 7, MALFORMED);	       /* UDP shorter than its header */
	add_changed(25, 0, MALFORMED);	       /* UDP without a length */
	add_changed(25, 8, MESSAGE);	       /* empty; the rest belongs to nobody */
	add_changed((uint32_t)-1, 6, FOREIGN); /* ARP */
	for (uint32_t runt = 0; runt < 14; runt++)
		add_odd(runt, runt, MALFORMED);
	/* A header of 16 bytes behind which a datagram seems to stand. */
	bytes = put_frame(0, 0, made.records, 30);
	frame[14] = 0x44;
	be16(frame + 14 + 20, 8);
	add_odd(bytes, bytes, MALFORMED);
	bytes = put_frame(0, 0, made.records, 3);
	memset(frame + bytes, 0xaa, 20);
	add_odd(bytes + 20, bytes + 20, MESSAGE); /* padded to Ethernet's least */
	bytes = put_frame(0, 0, made.records, 9000);
	add_odd(bytes, bytes, MESSAGE);
	bytes = put_frame(0, 0, made.records, MAX_BYTES);
	add_odd(bytes, bytes, MESSAGE);
	bytes = put_frame(0, 0, made.records, MAX_BYTES + 1);
	add_odd(bytes, bytes, TOO_LONG);
	bytes = put_frame(0, 0, made.records, 65507 - 28);
	add_odd(bytes, bytes, TOO_LONG);
	bytes = put_frame(0, 0, made.records, 7);
	add_odd(bytes, bytes, MESSAGE);
	/* Cut by the capture at every byte, and behind the datagram, which is then whole. */
	bytes = put_frame(0, 0, made.records, 30);
	for (uint32_t cut = 0; cut < bytes; cut++)
		add_odd(cut, bytes, TRUNCATED);
	add_odd(bytes, bytes + 18, MESSAGE);
}

static void test_oddities_are_counted_by_reason(void **state)
{
	struct rk_port_stats stats;
	uint64_t lost = 0;

	(void)state;
	make_oddities();
	save("a.pcap", made.used);
	assert_int_equal(replay(text_of("pcap:%s", file_path("a.pcap")), 1024, &stats), -ENODATA);
	assert_int_equal(stats.messages, expected[MESSAGE]);
	assert_int_equal(stats.dropped_foreign, expected[FOREIGN]);
	assert_int_equal(stats.dropped_malformed, expected[MALFORMED]);
	assert_int_equal(stats.dropped_truncated, expected[TRUNCATED]);
	assert_int_equal(stats.dropped_too_long, expected[TOO_LONG]);
	assert_int_equal(stats.messages + dropped(&stats), made.records);
	/* Every cut or long datagram whose destination was known is told by the next message. */
	for (uint32_t i = 0; i < seen.count; i++)
		lost += seen.entry[i].packet.dropped;
	assert_int_equal(lost, 2 + 30);
}

/* Hostile bytes, each frame in memory of exactly its size, so that the sanitizer sees a step over.
 */
static void test_hostile_frames_stay_in_bounds(void **state)
{
	uint32_t verdicts[4] = {0, 0, 0, 0};

	(void)state;
	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t link = (uint32_t)(chance() % LINKS);
		uint32_t bytes = put_frame(link, 0, round, (uint32_t)(chance() % 40));
		uint32_t captured = (uint32_t)(chance() % (bytes + 1));
		struct frame_datagram datagram;
		enum frame_verdict verdict;
		uint8_t *copy;

		if (chance() & 1)
			captured = bytes;
		copy = malloc(captured ? captured : 1);
		assert_non_null(copy);
		memcpy(copy, frame, captured);
		for (uint64_t flips = chance() % 4; captured && flips; flips--)
			copy[chance() % captured] = (uint8_t)chance();
		verdict = frame_parse((enum frame_link)(chance() % 5), copy, captured,
				      chance() & 1 ? bytes : (uint32_t)chance(), &datagram);
		verdicts[verdict]++;
		if (verdict == FRAME_UDP) {
			assert_true(datagram.data >= copy);
			assert_true(datagram.data + datagram.bytes <= copy + captured);
		}
		free(copy);
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_true(verdicts[i] > 0);
}

/* What is whole comes out; then the damage is told, unless the file ends between two records. */
static void check_cut(size_t bytes, size_t head_bytes)
{
	const char *uri = text_of("pcap:%s", save("cut.pcap", bytes));
	struct rk_port *port = NULL;
	uint32_t whole = 0;
	int result = rk_port_open(&port, uri, RK_PORT_IN, 0);

	if (bytes < head_bytes) {
		assert_int_equal(result, -EPROTO);
		assert_non_null(strstr(rk_errmsg(), "cut.pcap"));
		return;
	}
	assert_int_equal(result, 0);
	while (whole < made.records && made.end[whole] <= bytes)
		whole++;
	forget(&seen);
	result = run_to_end(port, 1024, UINT32_MAX, 3);
	assert_int_equal(seen.count, whole);
	check_seen(whole, 0);
	if (bytes == (whole ? made.end[whole - 1] : head_bytes)) {
		assert_int_equal(result, -ENODATA);
	} else {
		assert_int_equal(result, -EPROTO);
		assert_non_null(strstr(rk_errmsg(),
				       text_of("'%s': damaged behind packet %u: ", uri, whole)));
	}
	/* Said again when asked again. */
	assert_int_equal(run_to_end(port, 16, 1, 1), result);
	assert_int_equal(rk_port_close(port), 0);
}

static void test_capture_cut_at_every_byte(void **state)
{
	(void)state;
	for (uint32_t format = 0; format < FORMATS; format++) {
		/* pcapng: libpcap reads on to the first interface when opening. */
		size_t head_bytes = format <= PCAP_NANO ? 24 : 28 + 32;

		make_capture(format, 0, 5, 60);
		for (size_t bytes = 0; bytes <= made.used; bytes++)
			check_cut(bytes, head_bytes);
	}
}

static void test_capture_with_any_byte_wrong(void **state)
{
	(void)state;
	for (uint32_t format = 0; format < FORMATS; format++) {
		make_capture(format, 0, 5, 60);
		for (size_t at = 0; at < made.used; at++) {
			uint8_t flip = (uint8_t)(1 << (chance() % 8));
			struct rk_port_stats stats;
			struct rk_port *port = NULL;
			int result;

			if (chance() & 1)
				flip = 0xff;
			made.bytes[at] ^= flip;
			result = rk_port_open(&port, text_of("pcap:%s", save("b.pcap", made.used)),
					      RK_PORT_IN, 0);
			made.bytes[at] ^= flip;
			if (result) {
				assert_true(result == -EPROTO || result == -EOPNOTSUPP);
				assert_non_null(strstr(rk_errmsg(), "b.pcap"));
				continue;
			}
			forget(&seen);
			result = run_to_end(port, 1024, UINT32_MAX, 64);
			assert_true(result == -ENODATA || result == -EPROTO);
			rk_port_stats(port, &stats);
			assert_int_equal(stats.messages, seen.count);
			assert_true(stats.messages + dropped(&stats) <= 5);
			assert_int_equal(rk_port_close(port), 0);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oddities_are_counted_by_reason),
		cmocka_unit_test(test_hostile_frames_stay_in_bounds),
		cmocka_unit_test(test_capture_cut_at_every_byte),
		cmocka_unit_test(test_capture_with_any_byte_wrong),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
