// SPDX-License-Identifier: MIT
/* A message becomes a frame again: the mbuf that was lent, or a new one with the inline bytes. */
#include "ports/dpdk/dpdk.h"

#include <rte_memcpy.h>

static int refuse(struct dpdk_decoder *decoder, uint64_t *reason)
{
	port_count(reason, 1);
	port_count(&decoder->stats->oerrors, 1);
	return 0;
}

/* Mbufs are taken a burst at a time: one by one costs three times as much. */
static struct rte_mbuf *take(struct dpdk_decoder *decoder)
{
	if (!decoder->spares) {
		if (!rte_pktmbuf_alloc_bulk(decoder->pool, decoder->spare, DPDK_BURST))
			decoder->spares = DPDK_BURST;
		else if (!rte_pktmbuf_alloc_bulk(decoder->pool, decoder->spare, 1))
			decoder->spares = 1;
		else
			return NULL;
	}
	return decoder->spare[--decoder->spares];
}

struct rte_mbuf *dpdk_mbuf_of(struct dpdk_decoder *decoder, const uint8_t *data, uint32_t bytes)
{
	struct rte_mbuf *head = take(decoder), *last = head;
	uint32_t done = 0;

	while (last) {
		uint32_t room = rte_pktmbuf_tailroom(last), part = bytes - done;

		if (part > room)
			part = room;
		rte_memcpy(rte_pktmbuf_mtod(last, uint8_t *), data + done, part);
		last->data_len = (uint16_t)part;
		done += part;
		if (done == bytes) {
			head->pkt_len = bytes;
			return head;
		}
		last->next = take(decoder);
		last = last->next;
		head->nb_segs += last != NULL;
	}
	rte_pktmbuf_free(head);
	return NULL;
}

/* The lent mbuf, its first bytes as they came back. */
static struct rte_mbuf *redeem(const struct rk_frame *frame)
{
	struct rte_mbuf *mbuf = dpdk_redeem(frame);
	uint32_t bytes = frame->inline_bytes;

	if (!mbuf || frame->verdict == RK_FRAME_DROP)
		return mbuf;
	if (bytes > rte_pktmbuf_data_len(mbuf))
		bytes = rte_pktmbuf_data_len(mbuf);
	rte_memcpy(rte_pktmbuf_mtod(mbuf, uint8_t *), rk_frame_data(frame), bytes);
	return mbuf;
}

int dpdk_decode(struct dpdk_decoder *decoder, const struct rk_msg *msg, struct rte_mbuf **out)
{
	struct rk_dpdk_stats *stats = decoder->stats;
	const struct rk_frame *frame = rk_frame_of(msg);
	struct rte_mbuf *mbuf;
	bool drop, lent;

	if (!frame)
		return refuse(decoder, msg->type == RK_FRAME ? &stats->tx_malformed_errors
							     : &stats->tx_foreign_errors);
	drop = frame->verdict == RK_FRAME_DROP;
	lent = frame->flags & RK_FRAME_F_REFERENCE;
	if (lent) {
		mbuf = redeem(frame);
		if (!mbuf)
			return refuse(decoder, &stats->tx_reference_errors);
		if (drop)
			rte_pktmbuf_free(mbuf);
	}
	if (drop) {
		port_count(&stats->tx_dropped_packets, 1);
		return 0;
	}
	if (!lent) {
		if (frame->inline_bytes != frame->bytes || !frame->bytes)
			return refuse(decoder, &stats->tx_malformed_errors);
		mbuf = dpdk_mbuf_of(decoder, rk_frame_data(frame), frame->bytes);
		if (!mbuf) {
			port_count(&stats->tx_mbuf_allocation_errors, 1);
			return -1;
		}
	}
	mbuf->port = frame->port;
	*out = mbuf;
	return 1;
}

void dpdk_decoder_close(struct dpdk_decoder *decoder)
{
	rte_pktmbuf_free_bulk(decoder->spare, decoder->spares);
	decoder->spares = 0;
}
