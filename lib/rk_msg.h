/* SPDX-License-Identifier: MIT */
/*
 * rk_msg.h - the message: an 8-byte header and a body, in whole 56-byte cells.
 *
 *      0     2   3    4       8                                              56
 *      +-----+---+----+-------+-----------------------------------------------+
 *      |type |flg|slts|  tag  | [time] [trace] [clock] [deadline] payload ... | cell 0
 *      +-----+---+----+-------+-----------------------------------------------+
 *      | ... body goes on, 56 bytes a cell ...                                | cell 1..
 *      +----------------------------------------------------------------------+
 *
 * A message is @slots cells, contiguous in memory; its body is 56 * slots - 8 bytes. One cell
 * travels in one slot of a ring (lib/ring/rk_slot.h). There is no length field: each type says
 * how long its payload is. All fields are little-endian. Compiles for host and device.
 */
#ifndef RK_MSG_H
#define RK_MSG_H

#include "rk_base.h"

#define RK_CELL_BYTES 56
#define RK_MSG_HEADER_BYTES 8
#define RK_MSG_BODY_BYTES 48 /* body of a message of one cell */
#define RK_MSG_MAX_SLOTS 255

/* Types below RK_MSG_USER are the runtime's own; control travels in the rings with the data. */
enum rk_msg_type {
	RK_MSG_NONE = 0,
	RK_MSG_PAD = 1,	       /* void cells a resuming producer left; receive skips them */
	RK_MSG_START = 2,      /* first message of an actor; payload: its arguments */
	RK_MSG_STOP = 3,       /* last message of an actor; no payload */
	RK_MSG_QUIESCE = 4,    /* payload: none; reserved for the runtime */
	RK_MSG_CHECKPOINT = 5, /* payload: none; reserved for the runtime */
	RK_MSG_PROBE = 6,      /* payload: none; reserved for the runtime */
	RK_MSG_CLOSED = 7,     /* last message of a ring; payload: u64 reason (enum rk_close) */
	RK_MSG_HIGH = 8,       /* an outbox fills up; payload: struct rk_level */
	RK_MSG_LOW = 9,	       /* it has emptied again; payload: struct rk_level */
	RK_MSG_PACKET = 16,    /* a datagram from a port; payload: struct rk_packet, then bytes */
	RK_MSG_IO_OPEN = 17,   /* a ring for an actor's own I/O; payload: struct rk_io_open */
	RK_MSG_IO_DONE = 18,   /* one of its operations is over; payload: struct rk_io_done */
	RK_MSG_PACKET_LENT = 19, /* a datagram that stays where it is; payload: struct rk_packet_lent */
	RK_MSG_USER = 256,     /* first type that is free to users */
};

/* Why a ring takes or gives no more messages. */
enum rk_close {
	RK_CLOSE_OPEN = 0,
	RK_CLOSE_DONE = 1,	 /* the producer has nothing more to send */
	RK_CLOSE_STOPPED = 2,	 /* an end was stopped before it was done */
	RK_CLOSE_BAD_HEADER = 3, /* the consumer met a message with impossible slots or flags */
	RK_CLOSE_BAD_CREDIT = 4, /* the producer met a credit beyond what it had sent */
	RK_CLOSE_PEER_DIED = 5,	 /* the process of the other end is gone */
	RK_CLOSE_USER = 256,	 /* first reason that is free to users */
};

/* Extensions at the front of the body, in the order of their bits. */
enum rk_msg_flag {
	RK_MSG_F_TIME = 1 << 0,	 /* u64 ns, CLOCK_MONOTONIC: when this was meant to happen */
	RK_MSG_F_TRACE = 1 << 1, /* 16 bytes trace id, 8 bytes span id */
	RK_MSG_F_CLOCK = 1 << 2, /* u64 hybrid logical clock */
	RK_MSG_F_DEADLINE = 1 << 3, /* u64 ns, CLOCK_MONOTONIC where it is received: of no use after */
	RK_MSG_F_ALL = RK_MSG_F_TIME | RK_MSG_F_TRACE | RK_MSG_F_CLOCK | RK_MSG_F_DEADLINE,
};

#define RK_NO_DEADLINE (~(uint64_t)0) /* as a deadline: there is none */

/**
 * struct rk_msg - a message of one cell, or the first cell of a longer one
 * @type: enum rk_msg_type, or the user's from RK_MSG_USER up
 * @flags: enum rk_msg_flag; other bits are zero
 * @slots: cells of the whole message, 1 to RK_MSG_MAX_SLOTS
 * @tag: correlation, free to the user
 * @body: extensions, then payload; goes on in the following cells
 */
struct RK_ALIGNED(8) rk_msg {
	uint16_t type;
	uint8_t flags;
	uint8_t slots;
	uint32_t tag;
	uint8_t body[RK_MSG_BODY_BYTES];
};

RK_STATIC_ASSERT(sizeof(struct rk_msg) == RK_CELL_BYTES, "a message of one slot is one cell");
RK_STATIC_ASSERT(offsetof(struct rk_msg, flags) == 2, "flags at byte 2");
RK_STATIC_ASSERT(offsetof(struct rk_msg, slots) == 3, "slots at byte 3");
RK_STATIC_ASSERT(offsetof(struct rk_msg, tag) == 4, "tag at byte 4");
RK_STATIC_ASSERT(offsetof(struct rk_msg, body) == RK_MSG_HEADER_BYTES, "body after the header");

/**
 * struct rk_packet - front of the payload of RK_MSG_PACKET
 * @rx_time_ns: receive time, CLOCK_REALTIME (from the capture, the kernel or the NIC); 0 unknown
 * @bytes: bytes of the datagram that follow
 * @feed: index of the source within its pipeline: 0 for the first `from`, 1 for the next
 * @dropped: datagrams lost by this source since its last packet message, saturating
 */
struct rk_packet {
	uint64_t rx_time_ns;
	uint32_t bytes;
	uint16_t feed;
	uint16_t dropped;
};

RK_STATIC_ASSERT(sizeof(struct rk_packet) == 16, "packet front is 16 bytes");

/**
 * struct rk_level - payload of RK_MSG_HIGH and RK_MSG_LOW
 * @slots: sent on this link, and not yet given back by its consumer
 * @outbox: whose link it is
 * @reserved: 0
 */
struct rk_level {
	uint64_t slots;
	uint32_t outbox;
	uint32_t reserved;
};

/*
 * Bytes that the extensions named by @flags take at the front of the body. In a table of four bits
 * for each value of the flags: words. It is asked several times a message.
 */
RK_HD uint32_t rk_msg_extension_bytes(uint8_t flags)
{
	return (uint32_t)(0x6532542154214310ULL >> 4 * (flags & RK_MSG_F_ALL)) % 16 * 8;
}

/* Cells that a payload of @bytes takes with the extensions of @flags before it. */
RK_HD uint32_t rk_msg_cells(uint8_t flags, uint32_t bytes)
{
	return (RK_MSG_HEADER_BYTES + rk_msg_extension_bytes(flags) + bytes + RK_CELL_BYTES - 1) /
	       RK_CELL_BYTES;
}

/* Bytes of payload, at most, that a message with this header holds. */
RK_HD uint32_t rk_msg_payload_bytes(const struct rk_msg *msg)
{
	uint32_t whole = (uint32_t)msg->slots * RK_CELL_BYTES;
	uint32_t front = RK_MSG_HEADER_BYTES + rk_msg_extension_bytes(msg->flags);

	return whole > front ? whole - front : 0;
}

/* First byte of the payload, after the extensions. */
RK_HD const uint8_t *rk_msg_payload(const struct rk_msg *msg)
{
	return (const uint8_t *)msg + RK_MSG_HEADER_BYTES + rk_msg_extension_bytes(msg->flags);
}

/* A word of a body, which is bytes to C. */
#ifdef __CUDACC__
typedef uint64_t rk_msg_word;
#else
typedef uint64_t __attribute__((may_alias)) rk_msg_word;
#endif

/* Where the deadline stands in the body; the message has RK_MSG_F_DEADLINE. */
RK_HD uint32_t rk_msg_deadline_offset(uint8_t flags)
{
	return rk_msg_extension_bytes((uint8_t)(flags & (RK_MSG_F_DEADLINE - 1)));
}

/* Deadline that a message carries; RK_NO_DEADLINE: none. */
RK_HD uint64_t rk_msg_deadline(const struct rk_msg *msg)
{
	if (!(msg->flags & RK_MSG_F_DEADLINE))
		return RK_NO_DEADLINE;
	return *(const rk_msg_word *)(const void *)(msg->body + rk_msg_deadline_offset(msg->flags));
}

/* Put @deadline_ns into a message that has room for it, which RK_MSG_F_DEADLINE says; else nothing. */
RK_HD void rk_msg_set_deadline(struct rk_msg *msg, uint64_t deadline_ns)
{
	if (msg->flags & RK_MSG_F_DEADLINE)
		*(rk_msg_word *)(void *)(msg->body + rk_msg_deadline_offset(msg->flags)) =
			deadline_ns;
}

#endif
