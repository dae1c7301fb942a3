/* SPDX-License-Identifier: MIT */
/*
 * rk_packet.h - a long datagram that stays where it was received: its message says where.
 *
 *      +--------+------+------------------+------+------+--------+
 *      | header | time | struct rk_packet | data | done | ticket |  RK_MSG_PACKET_LENT, one cell
 *      +--------+------+------------------+------+------+--------+
 *                                            |      +--> a word of the port's
 *                                            +--> rk_packet.bytes bytes, in a region
 *
 * The handler reads the bytes, in this call or in later ones, and then says rk_packet_done(); the port
 * receives into that buffer again. A port whose buffers are all on loan receives nothing more.
 *
 * An actor that begins anew, restarted by whomever, has nothing on loan of what it took before: the port
 * has it back, and counts it (rk_port_stats). What is still in the ring then is lent to the new one. A
 * copy of its state that it goes on from may name such loans: they are to be read and given back no more,
 * so who keeps loans from call to call is restarted from zeros. All loans end with the ring that they
 * were lent through; nothing frees a buffer before the port is closed. A loan is the actor's that the
 * port feeds, and not sent on.
 *
 * A port believes nothing of what is in the word: a ticket other than that of this loan returns nothing.
 * On a device, rk_acquire() before the first byte is read, and rk_any() when all lanes have read, before
 * the leader says that it is done. Compiles for host and device.
 */
#ifndef RK_PACKET_H
#define RK_PACKET_H

#include "rk_msg.h"

/**
 * struct rk_packet_lent - payload of RK_MSG_PACKET_LENT
 * @packet: as of RK_MSG_PACKET; its bytes lie at @data
 * @data: address of the first, as the handler sees it; to be read only
 * @done: address of the word that rk_packet_done() writes
 * @ticket: of this loan; never 0
 * @reserved: 0
 */
struct rk_packet_lent {
	struct rk_packet packet;
	uint64_t data;
	uint64_t done;
	uint32_t ticket;
	uint32_t reserved;
};

RK_STATIC_ASSERT(sizeof(struct rk_packet_lent) + 8 == RK_MSG_BODY_BYTES, "one cell, with a time");

/* The loan in @msg; NULL if it is none. */
RK_HD const struct rk_packet_lent *rk_packet_lent_of(const struct rk_msg *msg)
{
	if (msg->type != RK_MSG_PACKET_LENT ||
	    rk_msg_payload_bytes(msg) < sizeof(struct rk_packet_lent))
		return NULL;
	return (const struct rk_packet_lent *)rk_msg_payload(msg);
}

/* Where the bytes of @lent begin. */
RK_HD const uint8_t *rk_packet_data(const struct rk_packet_lent *lent)
{
	return (const uint8_t *)(uintptr_t)lent->data;
}

/* Give the bytes of @lent back: they are read no more. The leader, host or device. */
RK_HD void rk_packet_done(const struct rk_packet_lent *lent)
{
	uint32_t *word = (uint32_t *)(uintptr_t)lent->done;

	/* R30: pairs with A30 in lib/ports/udp_in.c: all was read before. */
#ifdef __CUDA_ARCH__
	asm volatile("st.release.sys.u32 [%0], %1;" : : "l"(word), "r"(lent->ticket) : "memory");
#else
	__atomic_store_n(word, lent->ticket, __ATOMIC_RELEASE);
#endif
}

#endif
