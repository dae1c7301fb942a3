// SPDX-License-Identifier: MIT
/*
 * Steering in software, where the NIC cannot: whoever polls first takes what the NIC has and puts
 * each frame into the ring of its queue: by the table of flows, else by the RSS hash of addresses
 * and ports (Toeplitz, the NIC's if it computed one). As in a NIC, a queue that is full loses
 * frames, and counts them.
 */
#include "ports/dpdk/device.h"

#include <rte_ethdev.h>
#include <rte_net.h>
#include <rte_ring.h>
#include <rte_spinlock.h>
#include <rte_thash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_FRAMES = 4096 };

struct flow {
	struct frame_address to;
	uint16_t queue;
};

struct dpdk_steer {
	uint16_t port_id;
	uint32_t hardware_queues, queues;
	rte_spinlock_t lock; /* held by who spreads, and who adds a flow */
	rte_spinlock_t polls[DEVICE_QUEUES]; /* held by who polls that queue of the NIC */
	uint32_t flows;
	struct flow flow[DEVICE_FLOWS];
	uint64_t missed[DEVICE_QUEUES];
	struct rte_ring *ring[DEVICE_QUEUES];
};

/* The key of Microsoft's specification of RSS, which most drivers use. */
static const uint8_t rss_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

int dpdk_steer_open(struct dpdk_steer **out, uint16_t port_id, uint32_t hardware_queues,
		    uint32_t queues)
{
	struct dpdk_steer *steer = calloc(1, sizeof(*steer));

	if (!steer)
		return rk_fail(ENOMEM, "no memory for steering");
	steer->port_id = port_id;
	steer->hardware_queues = hardware_queues;
	steer->queues = queues;
	rte_spinlock_init(&steer->lock);
	for (uint32_t i = 0; i < DEVICE_QUEUES; i++)
		rte_spinlock_init(&steer->polls[i]);
	for (uint32_t i = 0; i < queues; i++) {
		char name[RTE_RING_NAMESIZE];

		snprintf(name, sizeof(name), "rk_steer_%u_%u", port_id, i);
		steer->ring[i] = rte_ring_create(name, RING_FRAMES, SOCKET_ID_ANY,
						 RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!steer->ring[i]) {
			dpdk_steer_close(steer);
			return rk_fail(ENOMEM, "no memory for the ring of queue %u", i);
		}
	}
	*out = steer;
	return 0;
}

void dpdk_steer_close(struct dpdk_steer *steer)
{
	void *mbuf;

	if (!steer)
		return;
	for (uint32_t i = 0; i < steer->queues && steer->ring[i]; i++) {
		while (!rte_ring_sc_dequeue(steer->ring[i], &mbuf))
			rte_pktmbuf_free(mbuf);
		rte_ring_free(steer->ring[i]);
	}
	free(steer);
}

int dpdk_steer_add(struct dpdk_steer *steer, struct frame_address to, uint16_t queue)
{
	int result = 0;

	rte_spinlock_lock(&steer->lock);
	if (steer->flows == DEVICE_FLOWS)
		result = rk_fail(ENOSPC, "%d flows are steered, the most there may be",
				 DEVICE_FLOWS);
	else
		steer->flow[steer->flows++] = (struct flow){to, queue};
	rte_spinlock_unlock(&steer->lock);
	return result;
}

/* The RSS hash of IPv4 or IPv6, with the ports of UDP and TCP; 0 for anything else. */
static uint32_t hash_of(const struct rte_mbuf *mbuf)
{
	struct rte_net_hdr_lens lens;
	union rte_thash_tuple tuple;
	uint32_t type, words, ports = 0;
	const void *ip;
	uint8_t room[60];

	if (mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH)
		return mbuf->hash.rss;
	type = rte_net_get_ptype(mbuf, &lens, RTE_PTYPE_ALL_MASK);
	if (RTE_ETH_IS_IPV4_HDR(type)) {
		const struct rte_ipv4_hdr *ip4 =
			rte_pktmbuf_read(mbuf, lens.l2_len, sizeof(*ip4), room);

		ip = ip4;
		if (!ip)
			return 0;
		tuple.v4.src_addr = rte_be_to_cpu_32(ip4->src_addr);
		tuple.v4.dst_addr = rte_be_to_cpu_32(ip4->dst_addr);
		words = RTE_THASH_V4_L3_LEN;
	} else if (RTE_ETH_IS_IPV6_HDR(type)) {
		ip = rte_pktmbuf_read(mbuf, lens.l2_len, sizeof(struct rte_ipv6_hdr), room);
		if (!ip)
			return 0;
		rte_thash_load_v6_addrs(ip, &tuple);
		words = RTE_THASH_V6_L3_LEN;
	} else {
		return 0;
	}
	type &= RTE_PTYPE_L4_MASK;
	if (type == RTE_PTYPE_L4_UDP || type == RTE_PTYPE_L4_TCP) {
		const rte_be32_t *at = rte_pktmbuf_read(mbuf, lens.l2_len + lens.l3_len,
							sizeof(*at), &ports);

		if (at) {
			memcpy(&ports, at, sizeof(ports));
			((uint32_t *)&tuple)[words++] = rte_be_to_cpu_32(ports);
		}
	}
	return rte_softrss((uint32_t *)&tuple, words, rss_key);
}

static uint16_t queue_of(const struct dpdk_steer *steer, struct rte_mbuf *mbuf)
{
	struct frame_datagram datagram = {.to = {0, 0}};

	if (steer->flows)
		frame_parse(FRAME_ETHERNET, rte_pktmbuf_mtod(mbuf, uint8_t *),
			    rte_pktmbuf_data_len(mbuf), rte_pktmbuf_pkt_len(mbuf), &datagram);
	for (uint32_t i = 0; datagram.to.port && i < steer->flows; i++)
		if (steer->flow[i].to.ip == datagram.to.ip &&
		    steer->flow[i].to.port == datagram.to.port)
			return steer->flow[i].queue;
	return (uint16_t)(hash_of(mbuf) % steer->queues);
}

static void spread(struct dpdk_steer *steer, struct rte_mbuf **mbufs, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		uint16_t queue = queue_of(steer, mbufs[i]);

		if (!rte_ring_sp_enqueue(steer->ring[queue], mbufs[i]))
			continue;
		port_count(&steer->missed[queue], 1);
		rte_pktmbuf_free(mbufs[i]);
	}
}

uint16_t dpdk_steer_pass(struct dpdk_steer *steer, uint16_t queue, struct rte_mbuf **mbufs,
			 uint16_t count)
{
	uint16_t got;

	if (!rte_spinlock_trylock(&steer->polls[queue]))
		return 0;
	got = rte_eth_rx_burst(steer->port_id, queue, mbufs, count);
	rte_spinlock_unlock(&steer->polls[queue]);
	return got;
}

uint16_t dpdk_steer_receive(struct dpdk_steer *steer, uint16_t queue, struct rte_mbuf **mbufs,
			    uint16_t count)
{
	struct rte_mbuf *burst[DPDK_BURST];

	if (rte_spinlock_trylock(&steer->lock)) {
		for (uint32_t i = 0; i < steer->hardware_queues; i++)
			spread(steer, burst,
			       dpdk_steer_pass(steer, (uint16_t)i, burst, DPDK_BURST));
		rte_spinlock_unlock(&steer->lock);
	}
	return (uint16_t)rte_ring_sc_dequeue_burst(steer->ring[queue], (void **)mbufs, count, NULL);
}

uint64_t dpdk_steer_missed(const struct dpdk_steer *steer, uint16_t queue)
{
	return __atomic_load_n(&steer->missed[queue], __ATOMIC_RELAXED);
}
