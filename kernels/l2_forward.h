/* SPDX-License-Identifier: MIT */
/*
 * l2_forward.h - the actor behind a NIC: reads the headers of each frame, decides, rewrites its
 * addresses and sends it on. In: RK_FRAME or RK_FRAME_HEAD. Out, on outbox 0: the same, with a
 * verdict.
 *
 * Headers: Ethernet, any number of VLAN tags, IPv4 with options, IPv6 with extension headers, UDP
 * and TCP. Checksums: of the IPv4 header always; of UDP and TCP where the whole frame can be
 * reached, which for frames by reference needs `region`. What it cannot read it forwards. At
 * every message boundary
 *
 *      frames = forwarded + dropped (the sum over enum rk_l2_drop) + sends_dropped
 */
#ifndef RK_L2_FORWARD_H
#define RK_L2_FORWARD_H

#include "rk_frame.h"
#include "rk_handler.h"

/* Why a frame is dropped: the first reason found. */
enum rk_l2_drop {
	RK_L2_FORWARD,	   /* not at all */
	RK_L2_RUNT,	   /* shorter than an Ethernet header */
	RK_L2_MALFORMED,   /* a header beyond the frame's end, or lengths that contradict it */
	RK_L2_IP_CHECKSUM, /* of the IPv4 header; found here or by the NIC */
	RK_L2_L4_CHECKSUM, /* of UDP or TCP; found here or by the NIC */
	RK_L2_RULE,	   /* drop_udp_port, drop_tcp_port */
	RK_L2_REFERENCE,   /* lies outside of the region */
	RK_L2_DROPS,
};

/* What frames were, by their outermost readable headers. */
enum rk_l2_kind {
	RK_L2_VLAN, /* one tag */
	RK_L2_QINQ, /* more */
	RK_L2_IPV4,
	RK_L2_IPV6,
	RK_L2_FRAGMENT, /* of either: not looked into further */
	RK_L2_UDP,
	RK_L2_TCP,
	RK_L2_OTHER, /* neither IPv4 nor IPv6 */
	RK_L2_KINDS,
};

/* Arguments, u64 each; 0 is the default. */
enum rk_l2_arg {
	RK_L2_PORT_XOR,	       /* leaves by its port of arrival XOR this */
	RK_L2_SWAP_MACS,       /* not 0: source and destination change places */
	RK_L2_SOURCE_MAC,      /* then not 0: becomes the source, 0x0200c0ffee01 for 02:00:c0:ff:ee:01 */
	RK_L2_DESTINATION_MAC, /* likewise */
	RK_L2_DROP_UDP_PORT,   /* not 0: drop what goes to this port */
	RK_L2_DROP_TCP_PORT,
	RK_L2_REGION,	    /* where the handler sees the region of referenced frames; 0: nowhere */
	RK_L2_REGION_BYTES, /* of it */
	RK_L2_ARGS,
};

/**
 * struct rk_l2_counters - what happened so far; all u64
 * @frames: RK_FRAME and RK_FRAME_HEAD messages
 * @bytes: of them
 * @forwarded: sent on
 * @dropped: by enum rk_l2_drop; [RK_L2_FORWARD] is their sum
 * @kinds: by enum rk_l2_kind
 * @sends_dropped: not taken by rk_send()
 * @messages_ignored: no frame
 */
struct rk_l2_counters {
	uint64_t frames;
	uint64_t bytes;
	uint64_t forwarded;
	uint64_t dropped[RK_L2_DROPS];
	uint64_t kinds[RK_L2_KINDS];
	uint64_t sends_dropped;
	uint64_t messages_ignored;
};

/**
 * struct rk_l2_state - the actor's state
 * @args: by enum rk_l2_arg
 * @out: the message being built
 * @counters: see there. Apart from @args, which a GPU keeps near while nothing beside them changes
 */
struct rk_l2_state {
	uint64_t args[RK_L2_ARGS];
	uint64_t out[RK_MSG_MAX_SLOTS * RK_CELL_BYTES / 8];
	struct rk_l2_counters counters;
};

RK_BEGIN_DECLS

/**
 * rk_l2_forward() - the handler
 * @ctx: the actor's context
 * @state: struct rk_l2_state
 * @msg: RK_MSG_START, RK_FRAME, RK_FRAME_HEAD; others are counted and left
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_l2_forward(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

/**
 * rk_l2_forward_batch() - the same for messages of one cell that came in a row
 * @ctx: the actor's context
 * @state: struct rk_l2_state
 * @msgs: one cell each
 * @count: messages
 *
 * Context: called by a backend, host or device; the lanes share them out.
 */
RK_DEVICE void rk_l2_forward_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				   uint32_t count);

RK_END_DECLS

#endif
