/* SPDX-License-Identifier: MIT */
/* udp_in.h - port udp, input: what its opening and its receiving share. Not installed. */
#ifndef UDP_IN_H
#define UDP_IN_H

#include "ports/reactor.h"
#include "ports/udp.h"

#include <time.h>

enum {
	DEFAULT_BUFFER_BYTES = 64 << 20,
	BUFFERS = 128,
	/* Control messages: a time or the three of SO_TIMESTAMPING, drops, the size of segments. */
	CONTROL_BYTES = CMSG_SPACE(3 * sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t)) +
			CMSG_SPACE(sizeof(int)),
	FRONT_BYTES = REACTOR_MESSAGE_HEAD + CONTROL_BYTES,
	MAX_DATAGRAM_BYTES = 65507,
};

/* Nothing tells of a buffer that comes back but looking. */
#define LOAN_LOOK_NS 100000

/* How long a socket must have been silent before the kernel is asked what it dropped. */
#define SILENT_NS 1000000

struct udp_in;

/**
 * struct feed - one address
 * @receive: the reactor's operation, live but for when all buffers wait
 * @dropped: the kernel's count of datagrams it had no room for, as last seen
 * @lost: datagrams lost since the last message
 * @unasked: something came since the kernel was last asked for @dropped
 */
struct feed {
	struct reactor_op receive;
	struct udp_in *in;
	int fd;
	uint32_t dropped;
	uint16_t lost;
	bool unasked;
};

/**
 * struct arrival - what a buffer holds, on its way into the ring
 * @buffer: its index
 * @lost: by this feed before it
 * @bytes: of all its datagrams
 * @segment: of each but the last, when the kernel joined several; else @bytes
 * @done: bytes that are in the ring, or dropped
 */
struct arrival {
	uint16_t buffer, feed, lost;
	uint32_t bytes, segment, done;
	uint64_t rx_time_ns;
};

/**
 * struct udp_in - sockets and what has been received
 * @head: receive's control room, of all feeds
 * @first: of @arrivals, a ring of BUFFERS
 * @held: the ring had no room for the first
 * @news: something came since @last_ns
 * @failed: -errno of a receive that cannot go on
 * @left: messages left to receive
 * @max_slots: of the ring
 * @lend: datagrams of more bytes are lent where they lie (rk_packet.h); 0: none
 * @words: region of @done
 * @done: by buffer, the ticket of a loan that is over: whoever has it writes it
 * @ticket: by buffer, of its loan; 0: it is not on loan
 * @sent_at: by buffer, the position of that loan's message
 * @tickets: so far
 * @lent: buffers on loan
 * @last_ns: when something came last; 0: never
 */
struct udp_in {
	struct rk_port port;
	struct port_feeds feeds;
	struct ip_mreqn interface;
	bool interface_given, stamp, join_segments, reuse, hardware, ended, held, news;
	uint64_t buffer_bytes, idle_ms, left;
	struct feed feed[PORT_MAX_FEEDS];
	struct reactor_client client;
	struct reactor_buffers buffers;
	uint64_t lend;
	struct rk_region *words;
	uint32_t *done;
	uint32_t ticket[BUFFERS];
	uint64_t sent_at[BUFFERS];
	uint32_t tickets, lent;
	struct msghdr head;
	struct arrival arrivals[BUFFERS];
	uint32_t first, waiting, max_slots;
	int failed;
	uint64_t last_ns;
	uint8_t message[RK_MSG_MAX_SLOTS * RK_CELL_BYTES]
		__attribute__((aligned(RK_CACHE_LINE_BYTES)));
};

extern const struct port_option udp_in_options[];

int udp_in_open(struct rk_port *port, const char *what);

/* A datagram has come, or receiving has stopped. */
void udp_in_received(struct reactor_op *op, const struct reactor_done *done);

#endif
