/* SPDX-License-Identifier: MIT */
/*
 * frame.h - a UDP datagram in the bytes of a captured frame, and a frame around a datagram.
 * Not installed. Knows no file, socket or ring. Every byte of a frame may be hostile.
 */
#ifndef FRAME_H
#define FRAME_H

#include "rk_base.h"

enum { FRAME_HEAD_BYTES = 14 + 20 + 8 }; /* Ethernet, IPv4 and UDP headers of frame_build() */

/* What a frame begins with. */
enum frame_link {
	FRAME_ETHERNET,	  /* with any number of VLAN tags */
	FRAME_IP,	  /* nothing: the IP header */
	FRAME_LINUX_SLL,  /* "cooked" */
	FRAME_LINUX_SLL2, /* "cooked", version 2 */
	FRAME_LOOPBACK,	  /* an address family in either byte order */
};

enum frame_verdict {
	FRAME_UDP,	 /* a whole datagram */
	FRAME_FOREIGN,	 /* not UDP over IPv4, or a fragment */
	FRAME_TRUNCATED, /* the capture kept too little of it */
	FRAME_MALFORMED, /* its headers contradict each other or its length */
};

/* Both in host byte order. */
struct frame_address {
	uint32_t ip;
	uint16_t port;
};

/**
 * struct frame_datagram - a datagram within a frame
 * @to: destination; port 0 when the verdict came before it was known
 * @bytes: of @data
 * @data: within the frame
 */
struct frame_datagram {
	struct frame_address to;
	uint32_t bytes;
	const uint8_t *data;
};

/*
 * Find the datagram in @frame, of which @captured bytes are there and @bytes were on the wire.
 * A frame cut behind the datagram still holds it whole. Checksums are not looked at: captures of
 * a sending host have none yet.
 */
enum frame_verdict frame_parse(enum frame_link link, const uint8_t *frame, uint32_t captured,
			       uint32_t bytes, struct frame_datagram *datagram);

/*
 * Put the headers of an Ethernet frame in front of the @bytes bytes of data, at most 65507, that
 * lie at @frame + FRAME_HEAD_BYTES; checksums included. The source is 192.0.2.1 (reserved for
 * documentation), the same port. Returns bytes of the frame.
 */
uint32_t frame_build(uint8_t *frame, struct frame_address to, uint32_t bytes);

#endif
