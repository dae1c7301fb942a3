/* SPDX-License-Identifier: MIT */
/*
 * ports_aid.h - what the tests of the ports share: seeded chance, a ring behind or before a port,
 * what came through it, and messages whose every byte says which message it belongs to.
 */
#ifndef PORTS_AID_H
#define PORTS_AID_H

#include "clock.h"
#include "ports/rk_port.h"
#include "rk_error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AID static __attribute__((unused))

enum { MAX_BYTES = 14248, LOG_MAX = 20000, CELLS = 255 };

static uint64_t seed;

/* Group setup: RK_SEED, else one of our own. */
AID int choose_seed(void **state)
{
	const char *asked = getenv("RK_SEED");

	(void)state;
	seed = asked ? strtoull(asked, NULL, 0) : 20251;
	print_message("RK_SEED=%llu\n", (unsigned long long)seed);
	return 0;
}

AID uint64_t chance(void)
{
	static uint64_t state;
	uint64_t z;

	state = state ? state : seed;
	z = state += 0x9e3779b97f4a7c15ULL;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* printf into one of a few buffers. */
AID const char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
AID const char *text_of(const char *format, ...)
{
	static char text[8][640];
	static int turn;
	va_list args;

	turn = (turn + 1) % 8;
	va_start(args, format);
	vsnprintf(text[turn], sizeof(text[turn]), format, args);
	va_end(args);
	return text[turn];
}

/* --- What came through --- */

struct entry {
	uint64_t time_ns;
	struct rk_packet packet;
	uint8_t *data;
};

struct record {
	struct entry entry[LOG_MAX];
	uint32_t count;
};

static struct record seen;

AID void forget(struct record *record)
{
	for (uint32_t i = 0; i < record->count; i++)
		free(record->entry[i].data);
	record->count = 0;
}

AID void remember(struct record *record, const struct rk_msg *msg)
{
	struct entry *entry = &record->entry[record->count++];

	assert_true(record->count <= LOG_MAX);
	assert_int_equal(msg->type, RK_MSG_PACKET);
	assert_int_equal(msg->flags, RK_MSG_F_TIME);
	memcpy(&entry->time_ns, msg->body, 8);
	memcpy(&entry->packet, rk_msg_payload(msg), sizeof(entry->packet));
	assert_int_equal(msg->slots, rk_msg_cells(RK_MSG_F_TIME, 16 + entry->packet.bytes));
	for (uint32_t at = 32 + entry->packet.bytes; at < msg->slots * RK_CELL_BYTES; at++)
		assert_int_equal(((const uint8_t *)msg)[at], 0);
	entry->data = malloc(entry->packet.bytes + 1);
	assert_non_null(entry->data);
	memcpy(entry->data, rk_msg_payload(msg) + sizeof(entry->packet), entry->packet.bytes);
}

/* Group teardown of programs that need no files. */
AID int forget_seen(void **state)
{
	(void)state;
	forget(&seen);
	return 0;
}

struct ends {
	void *memory;
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	uint8_t cells[CELLS * RK_CELL_BYTES] __attribute__((aligned(8)));
};

AID struct ends *make_ring(uint64_t capacity)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	size_t bytes = rk_ring_bytes(capacity);

	assert_non_null(ends);
	ends->memory = aligned_alloc(RK_PAGE_BYTES, (bytes + 4095) / 4096 * 4096);
	assert_non_null(ends->memory);
	memset(ends->memory, 0, bytes);
	assert_int_equal(rk_ring_format(&ends->ring, ends->memory, bytes, capacity, 0, "test"), 0);
	assert_int_equal(rk_ring_tx_open(&ends->tx, &ends->ring), 0);
	assert_int_equal(rk_ring_rx_open(&ends->rx, &ends->ring, NULL), 0);
	return ends;
}

AID void free_ring(struct ends *ends)
{
	free(ends->memory);
	free(ends);
}

/* Receive up to @most messages into seen. */
AID void take(struct ends *ends, uint32_t most)
{
	while (most-- && rk_ring_recv(&ends->rx, (struct rk_msg *)ends->cells, CELLS) > 0)
		remember(&seen, (const struct rk_msg *)ends->cells);
}

/* Poll @port to its end, @slow receives a poll; returns the error it ended with. */
AID int run_to_end(struct rk_port *port, uint64_t capacity, uint32_t slow, uint32_t budget)
{
	struct ends *ends = make_ring(capacity);
	uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + 60000000000;
	int result;

	do {
		result = rk_port_poll_in(port, &ends->tx, budget);
		take(ends, slow);
	} while (result >= 0 && clock_ns(CLOCK_MONOTONIC) < deadline);
	take(ends, UINT32_MAX);
	free_ring(ends);
	return result;
}

AID uint64_t dropped(const struct rk_port_stats *stats)
{
	return stats->dropped_foreign + stats->dropped_malformed + stats->dropped_truncated +
	       stats->dropped_too_long + stats->dropped_kernel + stats->dropped_refused +
	       stats->dropped_closed;
}

AID void need_pcap(void)
{
	if (rk_port_kind_at(0)->absent) {
		print_message("skipped: pcap is %s\n", rk_port_kind_at(0)->absent);
		skip();
	}
}

AID struct rk_port *must_open(const char *uri, enum rk_port_direction direction)
{
	struct rk_port *port = NULL;

	if (!strncmp(uri, "pcap:", 5))
		need_pcap();
	if (rk_port_open(&port, uri, direction, 0))
		fail_msg("%s", rk_errmsg());
	assert_string_equal(rk_port_uri(port), uri);
	return port;
}

/* --- Messages whose bytes say which they are --- */

/* The bytes of datagram @index; its first say which it is. */
AID void fill_payload(uint8_t *at, uint32_t index, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(i < 4 ? index >> (8 * i) : index * 31 + i * 7);
}

AID void check_payload(const struct entry *entry, uint32_t index, uint32_t bytes)
{
	uint8_t want[MAX_BYTES];

	assert_int_equal(entry->packet.bytes, bytes);
	fill_payload(want, index, bytes);
	assert_memory_equal(entry->data, want, bytes);
}

/* What was sent, by index. */
AID struct {
	uint32_t feed, bytes;
	uint64_t stamp_ns;
} sent[LOG_MAX];

/* A message as a ring would hand it out. */
AID struct rk_msg *build(uint16_t type, uint64_t rx_time_ns, uint64_t time_ns, uint32_t feed,
			 uint32_t index, uint32_t bytes)
{
	static uint64_t cells[CELLS * RK_CELL_BYTES / 8];
	const struct rk_packet packet = {rx_time_ns, bytes, (uint16_t)feed, 0};
	struct rk_msg *msg = (struct rk_msg *)cells;
	uint32_t front = type == RK_MSG_PACKET ? 16 : 0;
	uint8_t *payload;

	memset(cells, 0, sizeof(cells));
	msg->type = type;
	msg->flags = time_ns ? RK_MSG_F_TIME : 0;
	msg->slots = (uint8_t)rk_msg_cells(msg->flags, front + bytes);
	if (time_ns)
		memcpy(msg->body, &time_ns, 8);
	payload = (uint8_t *)(uintptr_t)rk_msg_payload(msg);
	memcpy(payload, &packet, front);
	fill_payload(payload + front, index, bytes);
	return msg;
}

AID void must_write(struct rk_port *port, const struct rk_msg *msg)
{
	int result = rk_port_write(port, msg);

	for (uint32_t i = 0; result == 0 && i < 100000; i++) {
		usleep(100);
		result = rk_port_write(port, msg);
	}
	if (result != 1)
		fail_msg("write: %d: %s", result, rk_errmsg());
}

/* --- Around a port --- */

/* A UDP port of the loopback that nobody has. */
AID uint16_t free_port(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	close(fd);
	return ntohs(name.sin_port);
}

/* Poll until nothing has come for a while; enough, since loopback delivers within the send. */
AID void drain(struct rk_port *port, struct ends *ends, uint32_t budget)
{
	struct pollfd wait = {.fd = rk_port_fd(port), .events = POLLIN};
	int result;

	do {
		result = rk_port_poll_in(port, &ends->tx, budget);
		take(ends, UINT32_MAX);
		if (result < 0)
			fail_msg("%s", rk_errmsg());
	} while (result > 0 || poll(&wait, 1, 50) > 0);
}

/* Run @body in a child, which says what failed and then exits with 1. */
AID void in_child(int (*body)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		_exit(body());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHILD_CHECK(condition)                                                             \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
				rk_errmsg());                                              \
			return 1;                                                          \
		}                                                                          \
	} while (0)

#endif
