// SPDX-License-Identifier: MIT
/*
 * Fuzzes what port tcp makes of a stream: bytes of any kind, sent in two pieces, against a parser
 * of ten lines. The messages, and what is dropped and why, must be the same.
 */
#include "ports/rk_port.h"
#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_BYTES = 14248, CELLS = 255 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

static struct {
	struct rk_port *port;
	struct sockaddr_in name;
	void *memory;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
} in;

static void open_port(void)
{
	size_t bytes = rk_ring_bytes(1024);
	socklen_t name_bytes = sizeof(in.name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct rk_ring ring;
	char uri[64];

	in.name = (struct sockaddr_in){.sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(!bind(fd, (struct sockaddr *)&in.name, name_bytes));
	CHECK(!getsockname(fd, (struct sockaddr *)&in.name, &name_bytes));
	close(fd);
	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%d,listen,frame=2", ntohs(in.name.sin_port));
	CHECK(!rk_port_open(&in.port, uri, RK_PORT_IN, 0));
	in.memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	memset(in.memory, 0, bytes);
	CHECK(!rk_ring_format(&ring, in.memory, bytes, 1024, 0, "fuzz"));
	CHECK(!rk_ring_tx_open(&in.tx, &ring) && !rk_ring_rx_open(&in.rx, &ring, NULL));
	CHECK(rk_port_poll_in(in.port, &in.tx, 64) == 0);
}

static void send_in_two(const uint8_t *data, size_t size)
{
	size_t first = size ? data[size - 1] * size / 256 : 0;
	static uint32_t turn;
	/* Another address each time: the ports of one do not suffice. */
	const struct sockaddr_in from = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(0x7f010000 + ++turn % 65000)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(!bind(fd, (const struct sockaddr *)&from, sizeof(from)));
	/* The fuzzer's alarm may interrupt it: then it goes on by itself. */
	while (connect(fd, (struct sockaddr *)&in.name, sizeof(in.name)) && errno != EISCONN)
		CHECK(errno == EINTR || errno == EALREADY);
	/* The port may hang up in between. */
	if (send(fd, data, first, MSG_NOSIGNAL) == (ssize_t)first) {
		rk_port_poll_in(in.port, &in.tx, 64);
		send(fd, data + first, size - first, MSG_NOSIGNAL);
	}
	close(fd);
}

/* What is left of the stream at @*at behind its next message, whose bytes are @*message. */
static bool next_message(const uint8_t *data, size_t size, size_t *at, size_t *bytes)
{
	if (size - *at < 2)
		return false;
	*bytes = (size_t)data[*at] << 8 | data[*at + 1];
	if (*bytes > MOST_BYTES || size - *at - 2 < *bytes)
		return false;
	*at += 2 + *bytes;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t cells[CELLS * RK_CELL_BYTES / 8];
	const struct rk_msg *msg = (const struct rk_msg *)cells;
	struct rk_port_stats before, after;
	uint64_t deadline_ns = now_ns() + 5000000000ULL, ends;
	size_t at = 0, bytes;
	bool lie;

	if (!in.port)
		open_port();
	rk_port_stats(in.port, &before);
	send_in_two(data, size);
	for (;;) {
		CHECK(rk_port_poll_in(in.port, &in.tx, 64) >= 0);
		while (rk_ring_recv(&in.rx, (struct rk_msg *)cells, CELLS) > 0) {
			struct rk_packet packet;
			size_t begin = at + 2;

			CHECK(next_message(data, size, &at, &bytes));
			memcpy(&packet, rk_msg_payload(msg), sizeof(packet));
			CHECK(packet.bytes == bytes);
			CHECK(!memcmp(rk_msg_payload(msg) + sizeof(packet), data + begin, bytes));
		}
		rk_port_stats(in.port, &after);
		ends = after.dropped_malformed + after.dropped_truncated -
		       before.dropped_malformed - before.dropped_truncated;
		if (at == size || ends)
			break;
		CHECK(now_ns() < deadline_ns);
	}
	/* Behind the last message: nothing, a length that cannot be, or a part of a message. */
	CHECK(!next_message(data, size, &at, &bytes));
	lie = size - at >= 2 && ((size_t)data[at] << 8 | data[at + 1]) > MOST_BYTES;
	CHECK(after.dropped_malformed - before.dropped_malformed == lie);
	CHECK(after.dropped_truncated - before.dropped_truncated == (at < size && !lie));
	return 0;
}
