/* SPDX-License-Identifier: MIT */
/* udp.h - what the two directions of port udp share. Not installed. */
#ifndef UDP_H
#define UDP_H

#include "ports/port.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define UDP_MAGIC 0x31504d5453504b52ULL /* "RKPSTMP1" */

/* What `stamp` appends to a datagram; little-endian. */
struct udp_trailer {
	uint64_t magic;
	uint64_t time_ns; /* RK_MSG_F_TIME: CLOCK_MONOTONIC of the sending machine */
};

enum {
	UDP_MAX_BUFFER_BYTES = (1 << 30) - 1, /* the kernel doubles it in an int */
	/*
	 * One message, its trailer, and room to see that there was more. Not a multiple of a page:
	 * the messages of a batch must not all fall into the same sets of the cache.
	 */
	UDP_ROOM_BYTES = 14400,
};

RK_STATIC_ASSERT(UDP_ROOM_BYTES > PORT_HEAD_BYTES + PORT_MAX_BYTES + sizeof(struct udp_trailer),
		 "the room shows that a datagram is too long");
RK_STATIC_ASSERT(UDP_ROOM_BYTES % RK_CACHE_LINE_BYTES == 0, "messages begin a line");

/* 0, or -EINVAL and a text. */
int udp_parse_interface(const char *value, struct ip_mreqn *interface);
/* Put the address @what before the @feeds that were given. */
int udp_parse_feeds(struct port_feeds *feeds, const char *what);
/* Ask for a socket buffer; where less was to be had, the port's note says so. */
int udp_set_buffer(struct rk_port *port, int fd, uint64_t bytes, bool receive);
struct sockaddr_in udp_address(struct frame_address address);

#endif
