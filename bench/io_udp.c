// SPDX-License-Identifier: MIT
/*
 * UDP into a ring, on one core: the port by io_uring, the same by recvmmsg. A burst lies in the
 * socket before the clock starts, so that nothing but receiving is measured; the candidates take
 * turns, and each delivers receive time and drops with every message, as the port does.
 */
#include "io.h"
#include "clock.h"
#include "ports/rk_port.h"
#include "rk_error.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	BURST = 480,
	ROUNDS_MOST = 4000,
	BATCH = 64,
	ROOM = 2048,
	HEAD_BYTES = 8 + 8 + sizeof(struct rk_packet),
	CONTROL_BYTES = CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t)),
	JOINED = 40, /* datagrams that a sender of many gives the kernel at once */
};

/**
 * struct candidate - a way to receive
 * @uri_options: of the port; NULL: by recvmmsg
 * @bare: neither receive time nor drops
 * @joined: the sender gives the kernel many datagrams at once
 */
struct candidate {
	const char *name;
	const char *uri_options;
	bool bare, joined;
	struct rk_port *port;
	int rx, tx;
	double ns[ROUNDS_MOST];
	uint64_t messages, calls;
};

static struct candidate candidates[] = {
	{.name = "port udp", .uri_options = ""},
	{.name = "recvmmsg, 64 a call"},
	{.name = "recvmmsg, no time, no drops", .bare = true},
	{.name = "port udp,gro; sender joins 40", .uri_options = ",gro", .joined = true},
	{.name = "recvmmsg; sender joins 40", .joined = true},
};

enum { CANDIDATES = sizeof(candidates) / sizeof(candidates[0]) };

static int open_sockets(struct candidate *candidate, int segment)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int yes = 1, room = 8 << 20;
	char uri[96];

	candidate->rx = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	candidate->tx = socket(AF_INET, SOCK_DGRAM, 0);
	if (candidate->rx < 0 || candidate->tx < 0 ||
	    bind(candidate->rx, (struct sockaddr *)&name, sizeof(name)) ||
	    getsockname(candidate->rx, (struct sockaddr *)&name, &bytes) ||
	    connect(candidate->tx, (struct sockaddr *)&name, sizeof(name)))
		return rk_fail(errno, "udp sockets: %s", strerror(errno));
	if (candidate->joined &&
	    setsockopt(candidate->tx, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		return rk_fail(errno, "UDP_SEGMENT: %s", strerror(errno));
	if (candidate->uri_options) {
		close(candidate->rx);
		candidate->rx = -1;
		snprintf(uri, sizeof(uri), "udp:127.0.0.1:%u%s", ntohs(name.sin_port),
			 candidate->uri_options);
		return rk_port_open(&candidate->port, uri, RK_PORT_IN, 0);
	}
	if (setsockopt(candidate->rx, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(candidate->rx, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (!candidate->bare) {
		setsockopt(candidate->rx, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
		setsockopt(candidate->rx, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
	}
	return 0;
}

static int send_burst(const struct candidate *candidate, uint32_t bytes)
{
	static uint8_t data[JOINED * ROOM];
	struct iovec iovec = {data, bytes};
	struct mmsghdr heads[BATCH];

	if (candidate->joined) {
		for (uint32_t i = 0; i < BURST; i += JOINED)
			if (send(candidate->tx, data, JOINED * bytes, 0) < 0)
				return rk_fail(errno, "send: %s", strerror(errno));
		return 0;
	}
	for (uint32_t i = 0; i < BATCH; i++)
		heads[i].msg_hdr = (struct msghdr){.msg_iov = &iovec, .msg_iovlen = 1};
	for (uint32_t i = 0; i < BURST;) {
		int sent = sendmmsg(candidate->tx, heads, BURST - i < BATCH ? BURST - i : BATCH, 0);

		if (sent < 0)
			return rk_fail(errno, "sendmmsg: %s", strerror(errno));
		i += (uint32_t)sent;
	}
	return 0;
}

static uint64_t control_time_ns(struct msghdr *head, uint32_t *dropped)
{
	uint64_t time_ns = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at; at = CMSG_NXTHDR(head, at)) {
		struct timespec time;

		if (at->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&time, CMSG_DATA(at), sizeof(time));
			time_ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
		} else if (at->cmsg_type == SO_RXQ_OVFL) {
			memcpy(dropped, CMSG_DATA(at), sizeof(*dropped));
		}
	}
	return time_ns;
}

/* The best loop around recvmmsg: datagrams land where their messages are, which go out as they are.
 */
static int receive_plain(struct candidate *candidate, struct bench_sink *sink)
{
	static uint8_t rooms[BATCH][ROOM] __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	static uint8_t control[BATCH][CONTROL_BYTES] __attribute__((aligned(8)));
	struct mmsghdr heads[BATCH];
	struct iovec iovecs[BATCH];
	uint32_t dropped = 0;
	int got;

	for (uint32_t i = 0; i < BATCH; i++) {
		iovecs[i] = (struct iovec){rooms[i] + HEAD_BYTES, ROOM - HEAD_BYTES};
		heads[i].msg_hdr =
			(struct msghdr){.msg_iov = &iovecs[i],
					.msg_iovlen = 1,
					.msg_control = candidate->bare ? NULL : control[i],
					.msg_controllen = candidate->bare ? 0 : CONTROL_BYTES};
	}
	candidate->calls++;
	got = recvmmsg(candidate->rx, heads, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++) {
		struct rk_msg *msg = (struct rk_msg *)rooms[i];
		struct rk_packet packet = {.bytes = heads[i].msg_len};

		packet.rx_time_ns = control_time_ns(&heads[i].msg_hdr, &dropped);
		msg->type = RK_MSG_PACKET;
		msg->flags = RK_MSG_F_TIME;
		msg->slots = (uint8_t)rk_msg_cells(msg->flags, sizeof(packet) + packet.bytes);
		memcpy(msg->body, &packet.rx_time_ns, 8);
		memcpy(msg->body + 8, &packet, sizeof(packet));
		rk_ring_send(sink->tx, msg);
	}
	bench_sink_drain(sink);
	return got;
}

/* Receive the burst; its ns a message at @round. */
static int receive_burst(struct candidate *candidate, struct bench_sink *sink, uint32_t round)
{
	uint64_t start_ns = now_ns(), until = sink->messages + BURST;
	uint32_t empty = 0;

	while (sink->messages < until && empty < 1000) {
		int got = candidate->port ? rk_port_poll_in(candidate->port, sink->tx, BATCH)
					  : receive_plain(candidate, sink);

		if (candidate->port && got < 0)
			return got;
		bench_sink_drain(sink);
		empty = got > 0 ? 0 : empty + 1;
	}
	if (sink->messages < until)
		return rk_fail(EIO, "%s: %llu of %d datagrams did not come", candidate->name,
			       (unsigned long long)(until - sink->messages), BURST);
	candidate->ns[round] = (double)(now_ns() - start_ns) / BURST;
	candidate->messages += BURST;
	return 0;
}

static int measure(struct bench_sink *sink, uint32_t rounds, uint32_t bytes)
{
	int result = 0;

	for (uint32_t i = 0; !result && i < CANDIDATES; i++) {
		candidates[i].messages = candidates[i].calls = 0;
		candidates[i].port = NULL;
		result = open_sockets(&candidates[i], (int)bytes);
		/* The first poll makes the port's ring. */
		if (!result && candidates[i].port)
			rk_port_poll_in(candidates[i].port, sink->tx, BATCH);
	}
	for (uint32_t round = 0; !result && round < rounds; round++)
		for (uint32_t i = 0; !result && i < CANDIDATES; i++) {
			struct candidate *candidate = &candidates[(i + round) % CANDIDATES];

			result = send_burst(candidate, bytes);
			if (!result)
				result = receive_burst(candidate, sink, round);
		}
	return result;
}

static void close_all(void)
{
	for (uint32_t i = 0; i < CANDIDATES; i++) {
		struct rk_port_stats stats = {0};

		if (candidates[i].port) {
			rk_port_stats(candidates[i].port, &stats);
			candidates[i].calls = stats.calls;
			rk_port_close(candidates[i].port);
		}
		if (candidates[i].rx >= 0)
			close(candidates[i].rx);
		close(candidates[i].tx);
	}
}

int bench_udp(const struct bench_options *options, struct bench_bar *bars, uint32_t *count)
{
	static const uint32_t sizes[] = {64, 300};
	static const char *const names[2][3] = {
		{"udp_64_vs_recvmmsg", "udp_64_joined_vs_recvmmsg", "udp_64_calls_per_message"},
		{"udp_300_vs_recvmmsg", "udp_300_joined_vs_recvmmsg", "udp_300_calls_per_message"},
	};
	uint32_t rounds = options->rounds * 30 < ROUNDS_MOST ? options->rounds * 30 : ROUNDS_MOST;
	struct bench_sink sink;
	int result = bench_sink_open(&sink);

	printf("UDP into a ring, one core, bursts of %d, median of %u\n", BURST, rounds);
	for (uint32_t size = 0; !result && size < 2; size++) {
		double ns[CANDIDATES];

		result = measure(&sink, rounds, sizes[size]);
		close_all();
		for (uint32_t i = 0; !result && i < CANDIDATES; i++) {
			const struct candidate *candidate = &candidates[i];

			ns[i] = bench_median(candidates[i].ns, rounds);
			printf("  %4u bytes  %-30s %7.1f ns  %6.2f M/s  %.4f calls a message\n",
			       sizes[size], candidate->name, ns[i], 1000 / ns[i],
			       (double)candidate->calls / (double)candidate->messages);
		}
		if (result)
			break;
		bars[(*count)++] = (struct bench_bar){names[size][0], ns[1] / ns[0], 1.3, 'g'};
		bars[(*count)++] = (struct bench_bar){names[size][1], ns[4] / ns[3], 1.3, 'g'};
		bars[(*count)++] = (struct bench_bar){
			names[size][2],
			(double)candidates[0].calls / (double)candidates[0].messages, 0.1, 'l'};
	}
	bench_sink_close(&sink);
	return result;
}
