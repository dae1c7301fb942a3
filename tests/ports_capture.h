/* SPDX-License-Identifier: MIT */
/*
 * ports_capture.h - what the tests of port pcap share: a folder for their files, captures made byte
 * by byte, and their replay.
 */
#ifndef PORTS_CAPTURE_H
#define PORTS_CAPTURE_H

#include "ports_aid.h"

static char folder[64];

/* The path of a file of this run. */
AID const char *file_path(const char *name)
{
	static char path[4][128];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

AID int make_folder(void **state)
{
	choose_seed(state);
	snprintf(folder, sizeof(folder), "%s/rk_ports_XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

AID int remove_folder(void **state)
{
	static const char *const names[] = {"a.pcap", "b.pcap",	   "cut.pcap", "r.pcap",
					    "u.pcap", "full.pcap", "x.pcap",   "f.pcap"};

	(void)state;
	forget(&seen);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(file_path(names[i]));
	return rmdir(folder);
}

/* Replay @uri through a ring; returns the error it ended with. */
AID int replay(const char *uri, uint64_t capacity, struct rk_port_stats *stats)
{
	struct rk_port *port = must_open(uri, RK_PORT_IN);
	int result;

	forget(&seen);
	result = run_to_end(port, capacity, UINT32_MAX, 64);
	rk_port_stats(port, stats);
	assert_int_equal(stats->messages, seen.count);
	assert_int_equal(rk_port_close(port), 0);
	return result;
}

/* --- Making captures --- */

enum format { PCAP_MICRO, PCAP_NANO, PCAPNG_MICRO, PCAPNG_NANO, FORMATS };

struct capture {
	enum format format;
	size_t used;
	uint32_t records;
	size_t end[LOG_MAX]; /* of each record */
	uint8_t bytes[64 << 20];
};

static struct capture made;

AID void put(const void *bytes, size_t count)
{
	assert_true(made.used + count <= sizeof(made.bytes));
	memcpy(made.bytes + made.used, bytes, count);
	made.used += count;
}

AID void put32s(uint32_t count, ...)
{
	va_list args;

	va_start(args, count);
	while (count--) {
		uint32_t value = va_arg(args, uint32_t);

		put(&value, 4);
	}
	va_end(args);
}

AID void begin_capture(enum format format, uint32_t link)
{
	need_pcap();
	made.format = format;
	made.used = made.records = 0;
	if (format <= PCAP_NANO) {
		put32s(6, format == PCAP_NANO ? 0xa1b23c4dU : 0xa1b2c3d4U, 0x00040002U, 0U, 0U,
		       65535U, link);
		return;
	}
	put32s(7, 0x0a0d0d0aU, 28U, 0x1a2b3c4dU, 1U, 0xffffffffU, 0xffffffffU, 28U);
	/* if_tsresol: 10^-6 or 10^-9. */
	put32s(8, 1U, 32U, link, 65535U, 0x00010009U, format == PCAPNG_NANO ? 9U : 6U, 0U, 32U);
}

AID uint64_t stamp_kept(uint64_t stamp_ns)
{
	bool micro = made.format == PCAP_MICRO || made.format == PCAPNG_MICRO;

	return micro ? stamp_ns / 1000 * 1000 : stamp_ns;
}

AID void add_record(uint64_t stamp_ns, const uint8_t *frame, uint32_t caplen, uint32_t len)
{
	static const uint8_t zeros[4];
	uint32_t padded = (caplen + 3) / 4 * 4;
	uint64_t unit = made.format == PCAPNG_NANO ? 1 : 1000;

	if (made.format <= PCAP_NANO) {
		put32s(4, (uint32_t)(stamp_ns / 1000000000),
		       (uint32_t)(stamp_ns % 1000000000) / (made.format == PCAP_NANO ? 1 : 1000),
		       caplen, len);
		put(frame, caplen);
	} else {
		put32s(7, 6U, 32 + padded, 0U, (uint32_t)(stamp_ns / unit >> 32),
		       (uint32_t)(stamp_ns / unit), caplen, len);
		put(frame, caplen);
		put(zeros, padded - caplen);
		put32s(1, 32 + padded);
	}
	made.end[made.records++] = made.used;
}

/* Write the first @bytes of what was made. */
AID const char *save(const char *name, size_t bytes)
{
	const char *path = file_path(name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(made.bytes, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
	return path;
}

AID void be16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint8_t frame[65536 + 64];

/* IPv4 and UDP headers and payload @index at @at, to 224.1.1.(1+feed):(7000+feed). */
AID uint32_t put_datagram(uint8_t *at, uint32_t feed, uint32_t index, uint32_t bytes)
{
	static const uint8_t ip[20] = {0x45, 0, 0,  0, 0, 1, 0,	  0, 9, 17,
				       0,    0, 10, 0, 0, 1, 224, 1, 1, 0};

	memcpy(at, ip, sizeof(ip));
	be16(at + 2, 28 + bytes);
	at[19] = (uint8_t)(1 + feed);
	be16(at + 20, 5555);
	be16(at + 22, 7000 + feed);
	be16(at + 24, 8 + bytes);
	be16(at + 26, 0);
	if (bytes <= MAX_BYTES)
		fill_payload(at + 28, index, bytes);
	return 28 + bytes;
}

static const struct {
	uint32_t type, head_bytes;
	const char *head;
} links[] = {
	{1, 14, "\1\0\x5e\1\1\1\2\0\0\0\0\1\x08\0"},
	{101, 0, ""},
	{228, 0, ""},
	{113, 16, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0"},
	{276, 20, "\x08\0\0\0\0\0\0\1\0\1\0\6\2\0\0\0\0\1\0\0"},
	{0, 4, "\2\0\0\0"},
	{0, 4, "\0\0\0\2"},
	{108, 4, "\0\0\0\2"},
};

enum { LINKS = sizeof(links) / sizeof(links[0]) };

AID uint32_t put_frame(uint32_t link, uint32_t feed, uint32_t index, uint32_t bytes)
{
	memcpy(frame, links[link].head, links[link].head_bytes);
	return links[link].head_bytes +
	       put_datagram(frame + links[link].head_bytes, feed, index, bytes);
}

/* @count datagrams of two feeds and many lengths; what they were is in sent. */
AID void make_capture(enum format format, uint32_t link, uint32_t count, uint32_t most_bytes)
{
	uint64_t stamp_ns = 1700000000123456789ULL;

	begin_capture(format, links[link].type);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bytes;

		sent[i].feed = i ? (uint32_t)(chance() & 1) : 0;
		if (i == 1)
			sent[i].feed = 1;
		sent[i].bytes = (uint32_t)(chance() % (most_bytes + 1));
		if (i == 3)
			sent[i].bytes = 0;
		sent[i].stamp_ns = stamp_ns += chance() % 5000;
		bytes = put_frame(link, sent[i].feed, i, sent[i].bytes);
		add_record(stamp_ns, frame, bytes, bytes);
	}
}

AID void check_seen(uint32_t count, uint32_t first_feed)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct entry *entry = &seen.entry[i];

		check_payload(entry, i, sent[i].bytes);
		assert_int_equal(entry->packet.feed, first_feed + sent[i].feed);
		assert_int_equal(entry->packet.rx_time_ns, stamp_kept(sent[i].stamp_ns));
		assert_int_equal(entry->packet.dropped, 0);
	}
}

#endif
