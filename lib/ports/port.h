/* SPDX-License-Identifier: MIT */
/*
 * port.h - what the kinds of ports share: the table of operations that each fills, the reading of
 * options, and the message around a datagram. Not installed.
 */
#ifndef PORT_H
#define PORT_H

#include "gpudirect/rk_region.h"
#include "ports/frame.h"
#include "ports/rk_port.h"
#include "clock.h"
#include "rk_error.h"

#include <stdbool.h>

enum {
	PORT_MAX_FEEDS = 16,
	PORT_BATCH = 64, /* datagrams that go through together */
	PORT_NOTE_BYTES = 512,
	/* In front of a datagram's bytes: header, time, struct rk_packet. */
	PORT_HEAD_BYTES = RK_MSG_HEADER_BYTES + 8 + sizeof(struct rk_packet),
	PORT_MAX_BYTES = RK_MSG_MAX_SLOTS * RK_CELL_BYTES - PORT_HEAD_BYTES,
};

struct port_ops;

/* What every port begins with. */
struct rk_port {
	const struct port_ops *ops;
	char *uri;
	uint16_t feed;		    /* rk_packet.feed of an input's first feed */
	struct rk_port_stats stats; /* written by the port's thread through port_count() */
	char note[PORT_NOTE_BYTES];
	bool lends, lends_gpu; /* its buffers, to actors on CPUs or on GPUs; known when it is open */
};

/**
 * struct port_option - one option of a kind in one direction
 * @key: what stands before the '='
 * @flag: stands alone, without a value
 * @set: notes the value, "" for a flag, and opens nothing; returns 0, or -EINVAL and a text that begins "KEY=VALUE: "
 */
struct port_option {
	const char *key;
	bool flag;
	int (*set)(struct rk_port *port, const char *value);
};

/**
 * struct port_ops - a kind of port in one direction; every pointer is filled but where said
 * @bytes: of the kind's structure, which begins with struct rk_port and is zeroed before open
 * @options: ended by a NULL key
 * @open: @what is the part before the options, which are set already. Returns 0 or -errno with a
 *        text; then close is called for whatever was opened
 * @lend: rk_port_lend(); NULL: the port fills rings itself
 * @take_back: rk_port_take_back(); NULL where @lend is
 * @poll_in: rk_port_poll_in()
 * @write: rk_port_write()
 * @flush: rk_port_flush()
 * @fd: rk_port_fd()
 * @due_ns: rk_port_due_ns()
 * @gpu_io: device address of the ring for an actor's own I/O on GPU @gpu; 0: it is for no GPU's; NULL:
 *        the kind has no such ring
 * @close: releases everything but the structure, also after a failed open; returns rk_port_close()
 */
struct port_ops {
	size_t bytes;
	const struct port_option *options;
	int (*open)(struct rk_port *port, const char *what);
	int (*lend)(struct rk_port *port, const struct rk_ring *ring,
		    const struct rk_region *region);
	void (*take_back)(struct rk_port *port, struct rk_ring_tx *tx);
	int (*poll_in)(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget);
	int (*write)(struct rk_port *port, const struct rk_msg *msg);
	int (*flush)(struct rk_port *port);
	int (*fd)(const struct rk_port *port);
	uint64_t (*due_ns)(const struct rk_port *port);
	uint64_t (*gpu_io)(const struct rk_port *port, int *gpu);
	int (*close)(struct rk_port *port);
};

/**
 * struct port_kind - a row of the table of kinds
 * @about: for people; a kind with @about.absent is never opened
 * @in: NULL if it does not go that way
 * @out: NULL if it does not go that way
 * @load: NULL, or finds the kind proper, in a library that is opened at run time; never NULL
 */
struct port_kind {
	struct rk_port_kind about;
	const struct port_ops *in;
	const struct port_ops *out;
	const struct port_kind *(*load)(void);
};

extern const struct port_kind port_null, port_pcap, port_udp, port_tcp, port_file, port_io, port_dpdk;
extern const struct port_kind port_verbs, port_ucx;
extern const struct port_ops port_pcap_in, port_pcap_out, port_udp_in, port_udp_out;
extern const struct port_ops port_tcp_in, port_tcp_out, port_file_in, port_file_out;

/* What libringkernel-dpdk.so has for us: NULL if it is not of @version. */
#define PORT_DPDK_SYMBOL "rk_dpdk_port_kind"
typedef const struct port_kind *port_dpdk_fn(const char *version);
RK_API extern port_dpdk_fn rk_dpdk_port_kind;

/* Addresses of feeds, in the order of their index. */
struct port_feeds {
	struct frame_address at[PORT_MAX_FEEDS];
	uint32_t count;
};

/* A message as an output sees it. */
struct port_view {
	const uint8_t *data;
	uint32_t bytes;
	bool packet; /* a datagram; else the payload of another message */
	uint16_t feed;
	uint64_t rx_time_ns;
};

/* --- none.c --- */

/* For operations that a direction does not have: -EOPNOTSUPP, no descriptor, no time. */
int port_no_poll_in(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget);
int port_no_write(struct rk_port *port, const struct rk_msg *msg);
int port_no_flush(struct rk_port *port);
int port_no_fd(const struct rk_port *port);
uint64_t port_no_due_ns(const struct rk_port *port);

/* --- message.c --- */

/*
 * Put the front of a RK_MSG_PACKET at @cells, whose data lie at @cells + PORT_HEAD_BYTES already,
 * and zero the rest of its last cell. Returns cells.
 */
uint32_t port_seal(uint8_t *cells, uint64_t time_ns, const struct rk_packet *packet);

/* What @msg has for the outside; false if it says that it has more bytes than it has. */
bool port_view(const struct rk_msg *msg, struct port_view *view);

/* RK_MSG_F_TIME of @msg, or now. */
uint64_t port_time_ns(const struct rk_msg *msg);

/* -EPIPE, and a text that says why @tx is closed. */
int port_closed(const struct rk_port *port, const struct rk_ring_tx *tx);

/* --- options.c: each returns 0, or -EINVAL and a text that begins "KEY=VALUE: " --- */

int port_parse_count(const char *key, const char *value, uint64_t least, uint64_t most,
		     uint64_t *out);
/* A number above 0 with up to nine digits before and after the point. */
int port_parse_real(const char *key, const char *value, long double *out);
/* ADDR:PORT+ADDR:PORT...; goes on after the @feeds->count that are there. */
int port_parse_feeds(const char *key, const char *value, struct port_feeds *feeds);

/* Adds to a counter that other threads may be reading; relaxed: it orders nothing. */
static inline void port_count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + more,
			 __ATOMIC_RELAXED);
}

/* Cells of a RK_MSG_PACKET of @bytes. */
static inline uint32_t port_cells(uint32_t bytes)
{
	return rk_msg_cells(RK_MSG_F_TIME, (uint32_t)sizeof(struct rk_packet) + bytes);
}

static inline bool port_is_multicast(struct frame_address address)
{
	return address.ip >> 28 == 14;
}

/* Adds to a count of lost datagrams that saturates. */
static inline void port_lose(uint16_t *lost, uint64_t more)
{
	*lost = more + *lost > UINT16_MAX ? UINT16_MAX : (uint16_t)(*lost + more);
}

#endif
