// SPDX-License-Identifier: MIT
/*
 * Frames stay where they are while their heads travel. A loan is a place in a table of the queue's
 * own, used by one thread, so that it costs a few instructions; the message's tag names the place
 * and which use of it this is.
 */
#include "ports/dpdk/dpdk.h"

#include <rte_prefetch.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16, USE = 1 << 16 /* added to a tag at each use of its place */ };

struct loan {
	struct rte_mbuf *mbuf; /* NULL: the place is free */
	uint8_t *data;	       /* its first byte */
	uint64_t time_ns;
	uint32_t tag;
};

/**
 * struct dpdk_heads - the loans
 * @places: of @loan, a power of two
 * @free: of @stack, the places that are free
 */
struct dpdk_heads {
	uint32_t places, free;
	uint16_t *stack;
	struct loan loan[];
};

struct dpdk_heads *dpdk_heads_open(uint64_t slots)
{
	uint32_t places = slots < MOST ? (uint32_t)slots : MOST;
	struct dpdk_heads *heads = calloc(1, sizeof(*heads) + places * sizeof(heads->loan[0]));

	if (heads)
		heads->stack = calloc(places, sizeof(heads->stack[0]));
	if (!heads || !heads->stack) {
		free(heads);
		return NULL;
	}
	heads->places = heads->free = places;
	for (uint32_t i = 0; i < places; i++) {
		heads->stack[i] = (uint16_t)(places - 1 - i);
		heads->loan[i].tag = i;
	}
	return heads;
}

uint64_t dpdk_heads_close(struct dpdk_heads *heads)
{
	uint64_t loans;

	if (!heads)
		return 0;
	loans = dpdk_heads_loans(heads);
	for (uint32_t i = 0; i < heads->places; i++)
		rte_pktmbuf_free(heads->loan[i].mbuf);
	free(heads->stack);
	free(heads);
	return loans;
}

uint64_t dpdk_heads_loans(const struct dpdk_heads *heads)
{
	return heads ? heads->places - __atomic_load_n(&heads->free, __ATOMIC_RELAXED) : 0;
}

/* Bytes of @mbuf that a head shows, and that come back. */
static uint32_t head_bytes(const struct rte_mbuf *mbuf)
{
	uint32_t bytes = rte_pktmbuf_data_len(mbuf);

	return bytes < RK_FRAME_HEAD_BYTES ? bytes : RK_FRAME_HEAD_BYTES;
}

static uint8_t flags_of(const struct rte_mbuf *mbuf)
{
	uint64_t ip = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	return (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD ? RK_FRAME_F_IP_BAD : 0) |
	       (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD ? RK_FRAME_F_L4_BAD : 0);
}

static void build(struct rk_msg *msg, const struct rte_mbuf *mbuf, uint32_t tag)
{
	struct rk_frame_head *head = (struct rk_frame_head *)msg->body;
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);

	msg->type = RK_FRAME_HEAD;
	msg->flags = 0;
	msg->slots = 1;
	msg->tag = tag;
	head->bytes = (uint16_t)rte_pktmbuf_pkt_len(mbuf);
	head->port = (uint8_t)mbuf->port;
	head->flags = flags_of(mbuf);
	if (rk_likely(rte_pktmbuf_data_len(mbuf) >= RK_FRAME_HEAD_BYTES)) {
		memcpy(head->data, data, RK_FRAME_HEAD_BYTES);
	} else {
		memset(head->data, 0, RK_FRAME_HEAD_BYTES);
		memcpy(head->data, data, rte_pktmbuf_data_len(mbuf));
	}
}

/* Counts a frame that no head can tell of; false if it is not such a one. */
static bool refuse(struct rk_dpdk_stats *stats, const struct rte_mbuf *mbuf)
{
	uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);

	if (rk_likely(bytes - 1 < UINT16_MAX))
		return false;
	port_count(bytes ? &stats->rx_oversize_errors : &stats->rx_undersize_errors, 1);
	port_count(&stats->ierrors, 1);
	return true;
}

/* The data of the frame behind the next few is fetched into the cache. */
static void fetch_ahead(struct rte_mbuf **mbufs, uint32_t at, uint32_t count)
{
	enum { AHEAD = 4 };

	if (at + AHEAD < count)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[at + AHEAD], void *));
}

uint32_t dpdk_heads_lend(struct dpdk_heads *heads, struct rk_dpdk_stats *stats,
			 struct rte_mbuf **mbufs, uint32_t count, void *cells, uint64_t now_ns,
			 uint32_t *messages, uint64_t *bytes)
{
	uint32_t free = heads->free, done = 0;
	struct rk_msg *msg = cells;

	for (; done < count && free; done++) {
		struct loan *loan;

		fetch_ahead(mbufs, done, count);
		if (refuse(stats, mbufs[done])) {
			rte_pktmbuf_free(mbufs[done]);
			continue;
		}
		loan = &heads->loan[heads->stack[--free]];
		loan->mbuf = mbufs[done];
		loan->data = rte_pktmbuf_mtod(mbufs[done], uint8_t *);
		loan->time_ns = now_ns;
		loan->tag += USE;
		build(msg++, mbufs[done], loan->tag);
		*bytes += rte_pktmbuf_pkt_len(mbufs[done]);
	}
	*messages = (uint32_t)(msg - (struct rk_msg *)cells);
	/* Relaxed: telemetry looks. */
	__atomic_store_n(&heads->free, free, __ATOMIC_RELAXED);
	return done;
}

uint32_t dpdk_heads_show(struct rk_dpdk_stats *stats, struct rte_mbuf **mbufs, uint32_t count,
			 void *cells, uint64_t *bytes)
{
	struct rk_msg *msg = cells;

	for (uint32_t i = 0; i < count; i++) {
		fetch_ahead(mbufs, i, count);
		if (refuse(stats, mbufs[i]))
			continue;
		build(msg++, mbufs[i], 0);
		*bytes += rte_pktmbuf_pkt_len(mbufs[i]);
	}
	return (uint32_t)(msg - (struct rk_msg *)cells);
}

void dpdk_heads_fetch(const struct dpdk_heads *heads, const struct rk_msg *msg, uint32_t count)
{
	enum { LOAN_AHEAD = 8, MBUF_AHEAD = 4 };

	if (count > LOAN_AHEAD)
		rte_prefetch0(&heads->loan[msg[LOAN_AHEAD].tag & (heads->places - 1)]);
	if (count > MBUF_AHEAD) {
		const struct loan *loan =
			&heads->loan[msg[MBUF_AHEAD].tag & (heads->places - 1)];

		rte_prefetch0(loan->mbuf);
		rte_prefetch0(loan->data);
	}
}

struct rte_mbuf *dpdk_heads_redeem(struct dpdk_heads *heads, struct rk_dpdk_stats *stats,
				   const struct rk_msg *msg, uint64_t *time_ns)
{
	const struct rk_frame_head *head = (const struct rk_frame_head *)msg->body;
	struct loan *loan = &heads->loan[msg->tag & (MOST - 1)];
	struct rte_mbuf *mbuf;

	if ((msg->tag & (MOST - 1)) >= heads->places || !loan->mbuf || loan->tag != msg->tag) {
		port_count(&stats->tx_reference_errors, 1);
		port_count(&stats->oerrors, 1);
		return NULL;
	}
	mbuf = loan->mbuf;
	*time_ns = loan->time_ns;
	loan->mbuf = NULL;
	heads->stack[heads->free] = (uint16_t)(msg->tag & (MOST - 1));
	__atomic_store_n(&heads->free, heads->free + 1, __ATOMIC_RELAXED);
	if (head->flags & RK_FRAME_F_DROP) {
		port_count(&stats->tx_dropped_packets, 1);
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	if (rk_likely(head_bytes(mbuf) == RK_FRAME_HEAD_BYTES))
		memcpy(loan->data, head->data, RK_FRAME_HEAD_BYTES);
	else
		memcpy(loan->data, head->data, head_bytes(mbuf));
	if (head->port != (uint8_t)mbuf->port)
		mbuf->port = head->port;
	return mbuf;
}
