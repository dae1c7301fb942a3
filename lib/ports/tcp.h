/* SPDX-License-Identifier: MIT */
/* tcp.h - what the two directions of port tcp share. Not installed. */
#ifndef TCP_H
#define TCP_H

#include "ports/port.h"
#include "ports/reactor.h"

enum { TCP_CONNECTIONS = 64, TCP_CONNECT_MS = 10000 };

/**
 * struct tcp_socket - what the URI names
 * @listen: wait for connections instead of making one
 * @frame_bytes: of the length in front of each message, big-endian; 0: none, a stream
 * @fd: connected, or listening
 */
struct tcp_socket {
	bool listen;
	uint64_t frame_bytes;
	int fd;
};

/* Values of the options "frame" and "listen". */
int tcp_parse_frame(const char *value, uint64_t *bytes);

/* Connect, or listen, at the address @what. 0, or -errno and a text. */
int tcp_open(struct tcp_socket *socket, const char *what);

#endif
