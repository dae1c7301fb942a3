/* SPDX-License-Identifier: MIT */
/*
 * rk_frame.h - an Ethernet frame as an actor sees it: short ones whole, long ones by reference.
 *
 *      +--------+--------+-----------------+----------------------------------+
 *      | header | [time] | struct rk_frame | the first @inline_bytes of it     |
 *      +--------+--------+-----------------+----------------------------------+
 *                                 |
 *                                 +--> RK_FRAME_F_REFERENCE: the frame lies at @offset of a region
 *
 * The handler looks at the inline bytes, may change them and @port, sets @verdict and sends the
 * message on; that hands the buffer back, too. The frame leaves with the inline bytes as they came
 * back. A frame to be dropped needs no inline bytes on its way back. Nothing else returns a
 * buffer before the port (or the queue of an application) that lent it is closed.
 *
 * A port believes nothing of what comes back: a buffer it did not lend, or had back already, is
 * counted and left alone.
 *
 * RK_FRAME_HEAD is for actors that look at headers alone: one cell, whatever the length of the
 * frame, which stays where it is. So a batch handler takes many at once, and nothing is copied but
 * the headers. Compiles for host and device.
 */
#ifndef RK_FRAME_H
#define RK_FRAME_H

#include "rk_msg.h"

enum {
	RK_FRAME = RK_MSG_USER + 0x30,	    /* struct rk_frame, then its inline bytes */
	RK_FRAME_HEAD = RK_MSG_USER + 0x31, /* struct rk_frame_head; rk_msg.tag names the frame */
};

enum { RK_FRAME_HEAD_BYTES = 44 }; /* Ethernet, IPv4, UDP or the ports of TCP; a tag more for these */

enum rk_frame_verdict {
	RK_FRAME_FORWARD = 0, /* as it comes from a port */
	RK_FRAME_DROP = 1,
};

enum rk_frame_flag {
	RK_FRAME_F_REFERENCE = 1 << 0, /* @offset, @buffer, @pool, @ticket name a buffer */
	RK_FRAME_F_SPLIT = 1 << 1,     /* the buffer holds what follows the inline bytes, not all */
	RK_FRAME_F_IP_BAD = 1 << 2,    /* the NIC met a wrong checksum of the IP header */
	RK_FRAME_F_L4_BAD = 1 << 3,    /* the NIC met a wrong checksum of UDP or TCP */
	RK_FRAME_F_DROP = 1 << 7,      /* of a head, set by its actor: the verdict */
};

/**
 * struct rk_frame - front of the payload of RK_FRAME
 * @offset: of the referenced bytes, from the start of the region
 * @buffer: index of the buffer within its pool
 * @ticket: of this lending of it
 * @hash: the NIC's RSS hash; 0 if it gave none
 * @bytes: of the frame, without its check sequence
 * @inline_bytes: of the frame that follow; all of them where nothing is referenced
 * @port: it came from, and then that it leaves by: numbers of the application, or of ethdev
 * @queue: it came from
 * @pool: of the buffer
 * @verdict: enum rk_frame_verdict
 * @flags: enum rk_frame_flag
 * @reserved: 0
 */
struct rk_frame {
	uint64_t offset;
	uint32_t buffer;
	uint32_t ticket;
	uint32_t hash;
	uint16_t bytes;
	uint16_t inline_bytes;
	uint16_t port;
	uint16_t queue;
	uint8_t pool;
	uint8_t verdict;
	uint8_t flags;
	uint8_t reserved;
};

RK_STATIC_ASSERT(sizeof(struct rk_frame) == 32, "64 bytes of a frame and a time fit two cells");

/**
 * struct rk_frame_head - payload of RK_FRAME_HEAD, which has no extension
 * @bytes: of the frame
 * @port: it came from, and then that it leaves by
 * @flags: enum rk_frame_flag
 * @data: its first bytes, zeros behind a shorter one; as they come back, it leaves with them
 */
struct rk_frame_head {
	uint16_t bytes;
	uint8_t port;
	uint8_t flags;
	uint8_t data[RK_FRAME_HEAD_BYTES];
};

RK_STATIC_ASSERT(sizeof(struct rk_frame_head) == RK_MSG_BODY_BYTES, "one cell, wholly used");

/* The inline bytes of @frame. */
RK_HD const uint8_t *rk_frame_data(const struct rk_frame *frame)
{
	return (const uint8_t *)(frame + 1);
}

/* The frame in @msg; NULL if it is none, or announces more inline bytes than @msg holds. */
RK_HD const struct rk_frame *rk_frame_of(const struct rk_msg *msg)
{
	const struct rk_frame *frame = (const struct rk_frame *)rk_msg_payload(msg);
	uint32_t bytes = rk_msg_payload_bytes(msg);

	if (msg->type != RK_FRAME || bytes < sizeof(*frame) ||
	    frame->inline_bytes > bytes - sizeof(*frame) || frame->inline_bytes > frame->bytes)
		return NULL;
	return frame;
}

#endif
