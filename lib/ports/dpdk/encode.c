// SPDX-License-Identifier: MIT
/*
 * A frame becomes a message: header, receive time, struct rk_frame, the inline bytes.
 *
 *	one segment, not longer than inline_bytes	inline, whole
 *	its last segment in a pool of ours		inline in part, and lent: the whole frame if
 *							it has one segment, what follows the inline
 *							bytes if the NIC split it behind the headers
 *	anything else					inline, whole
 */
#include "ports/dpdk/dpdk.h"

#include <rte_ether.h>
#include <rte_memcpy.h>
#include <string.h>

enum {
	FRONT_BYTES = RK_MSG_HEADER_BYTES + 8 + sizeof(struct rk_frame), /* before inline bytes */
};

void dpdk_publish_loans(void)
{
	/*
	 * R20: pairs with A20 in dpdk_redeem(): the loan, and what the NIC wrote, are seen by
	 * whoever sees the message. rte_wmb() also holds before stores to a ring whose slots are
	 * mapped write-combined, which pass stores to ordinary memory.
	 */
	rte_wmb();
}

static uint8_t flags_of(const struct rte_mbuf *mbuf)
{
	uint64_t ip = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	return (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD ? RK_FRAME_F_IP_BAD : 0) |
	       (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD ? RK_FRAME_F_L4_BAD : 0);
}

/* The pool to lend @mbuf from, and how; NULL if it cannot be lent. */
static struct rk_dpdk_pool *lender_of(const struct dpdk_encoder *encoder, struct rte_mbuf *mbuf,
				      struct rk_frame *frame)
{
	struct rte_mbuf *segment = mbuf;
	struct rk_dpdk_pool *pool;

	if (!encoder->owner || rte_mbuf_refcnt_read(mbuf) != 1)
		return NULL;
	if (mbuf->nb_segs == 2 && mbuf->data_len &&
	    mbuf->data_len <= encoder->max_cells * RK_CELL_BYTES - FRONT_BYTES) {
		segment = mbuf->next;
		frame->flags |= RK_FRAME_F_SPLIT;
		frame->inline_bytes = mbuf->data_len;
	} else if (mbuf->nb_segs != 1) {
		return NULL;
	}
	pool = dpdk_pool_of(segment);
	if (!pool || rte_mbuf_refcnt_read(segment) != 1) {
		frame->flags &= (uint8_t)~RK_FRAME_F_SPLIT;
		return NULL;
	}
	frame->flags |= RK_FRAME_F_REFERENCE;
	frame->pool = pool->index;
	frame->offset = (uint64_t)(rte_pktmbuf_mtod(segment, uint8_t *) - pool->base);
	return pool;
}

static void lend(struct dpdk_encoder *encoder, struct rk_dpdk_pool *pool, struct rte_mbuf *mbuf,
		 struct rk_frame *frame)
{
	encoder->tickets = (encoder->tickets + 1) & 0xffffff;
	frame->ticket = (uint32_t)encoder->owner << 24 | encoder->tickets;
	frame->buffer = dpdk_lend(
		pool, mbuf, frame->flags & RK_FRAME_F_SPLIT ? mbuf->next : mbuf, frame->ticket);
	port_count(&encoder->stats->rx_reference_packets, 1);
}

static void copy_bytes(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t bytes)
{
	const void *from = rte_pktmbuf_read(mbuf, 0, bytes, to);

	if (from != to)
		rte_memcpy(to, from, bytes);
}

static enum dpdk_encoded refuse(struct dpdk_encoder *encoder, uint64_t *reason)
{
	port_count(reason, 1);
	port_count(&encoder->stats->ierrors, 1);
	return DPDK_REFUSED;
}

/*
 * A tag that the NIC took out goes in again: the actor sees what was on the wire. (Not by
 * rte_vlan_insert(), which refuses every external buffer.) Returns bytes of the frame.
 */
static uint32_t put_tag_back(struct rte_mbuf *mbuf)
{
	uint16_t tag[2] = {rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(mbuf->vlan_tci)};
	uint8_t *at = NULL;

	if (rte_pktmbuf_data_len(mbuf) >= 2 * RTE_ETHER_ADDR_LEN && rte_mbuf_refcnt_read(mbuf) == 1)
		at = (uint8_t *)rte_pktmbuf_prepend(mbuf, sizeof(tag));
	if (at) {
		memmove(at, at + sizeof(tag), 2 * RTE_ETHER_ADDR_LEN);
		memcpy(at + 2 * RTE_ETHER_ADDR_LEN, tag, sizeof(tag));
		mbuf->ol_flags &= ~RTE_MBUF_F_RX_VLAN_STRIPPED;
	}
	return rte_pktmbuf_pkt_len(mbuf);
}

enum dpdk_encoded dpdk_encode(struct dpdk_encoder *encoder, struct rte_mbuf *mbuf, void *cells,
			      uint32_t *count, uint64_t time_ns)
{
	uint32_t bytes = rte_pktmbuf_pkt_len(mbuf), used, slots;
	struct rk_frame frame = {.port = mbuf->port, .queue = encoder->index};
	struct rk_dpdk_pool *pool = NULL;
	struct rk_msg *msg = cells;

	if (rk_unlikely(mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
		bytes = put_tag_back(mbuf);
	if (!bytes)
		return refuse(encoder, &encoder->stats->rx_undersize_errors);
	if (bytes > UINT16_MAX)
		return refuse(encoder, &encoder->stats->rx_oversize_errors);
	frame.bytes = frame.inline_bytes = (uint16_t)bytes;
	if (bytes > encoder->inline_bytes) {
		frame.inline_bytes = encoder->inline_bytes;
		pool = lender_of(encoder, mbuf, &frame);
		if (!pool)
			frame.inline_bytes = (uint16_t)bytes;
	}
	used = FRONT_BYTES + frame.inline_bytes;
	slots = (used + RK_CELL_BYTES - 1) / RK_CELL_BYTES;
	if (slots > encoder->max_cells)
		return refuse(encoder, &encoder->stats->rx_oversize_errors);
	if (slots > *count)
		return DPDK_NO_ROOM;
	frame.flags |= flags_of(mbuf);
	if (mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH)
		frame.hash = mbuf->hash.rss;
	if (pool)
		lend(encoder, pool, mbuf, &frame);
	else if (bytes > encoder->inline_bytes)
		port_count(&encoder->stats->rx_copied_packets, 1);
	msg->type = RK_FRAME;
	msg->flags = RK_MSG_F_TIME;
	msg->slots = (uint8_t)slots;
	msg->tag = 0;
	memcpy(msg->body, &time_ns, sizeof(time_ns));
	memcpy(msg->body + sizeof(time_ns), &frame, sizeof(frame));
	copy_bytes(mbuf, (uint8_t *)msg + FRONT_BYTES, frame.inline_bytes);
	if (slots * RK_CELL_BYTES > used)
		memset((uint8_t *)msg + used, 0, slots * RK_CELL_BYTES - used);
	*count = slots;
	return pool ? DPDK_LENT : DPDK_INLINE;
}
