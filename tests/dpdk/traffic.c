// SPDX-License-Identifier: MIT
/*
 * traffic: a foreign peer that knows nothing of RingKernel. Sends numbered frames of every size
 * by one device, and expects each of them back, unchanged, in order:
 *
 *   traffic EAL-ARGUMENTS -- COUNT [LONGEST]
 *
 * Prints "frames N back N wrong 0", keeps its device open until its standard input ends, and ends
 * with 1 if anything was missing or wrong.
 */
#include "clock.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BURST = 32, WINDOW = 512, SHORTEST = 60, HEAD = 14 };

#define GIVE_UP_NS UINT64_C(30000000000)

static struct rte_mempool *pool;
static uint32_t longest = 1500;

/* Length and bytes of frame @number: of any two numbers they differ. */
static uint32_t length_of(uint64_t number)
{
	uint64_t z = number * 0x9e3779b97f4a7c15ULL;

	/* Half of them short, as most traffic is. */
	z ^= z >> 31;
	return z & 1 ? SHORTEST + (uint32_t)(z >> 8) % 61
		     : SHORTEST + (uint32_t)(z >> 8) % (longest - SHORTEST + 1);
}

static uint64_t word_of(uint64_t number, uint32_t index)
{
	return (number + 1) * 0x9e3779b97f4a7c15ULL ^ index * 0xbf58476d1ce4e5b9ULL;
}

static void build(uint8_t *data, uint64_t number)
{
	static const uint8_t head[HEAD] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
	uint32_t bytes = length_of(number);

	memcpy(data, head, HEAD);
	memcpy(data + HEAD, &number, 8);
	for (uint32_t at = HEAD + 8; at < bytes; at += 8) {
		uint64_t word = word_of(number, at);

		memcpy(data + at, &word, bytes - at < 8 ? bytes - at : 8);
	}
}

static bool is_right(const struct rte_mbuf *mbuf, uint64_t number)
{
	static uint8_t expected[16384], got[16384];
	uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);
	const void *data = rte_pktmbuf_read(mbuf, 0, bytes, got);

	build(expected, number);
	return bytes == length_of(number) && data && !memcmp(data, expected, bytes);
}

static struct rte_mbuf *make(uint64_t number)
{
	static uint8_t data[16384];
	uint32_t bytes = length_of(number), done = 0;
	struct rte_mbuf *head = NULL;

	build(data, number);
	while (done < bytes) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
		uint32_t part = bytes - done;

		if (!mbuf)
			break;
		if (part > rte_pktmbuf_tailroom(mbuf))
			part = rte_pktmbuf_tailroom(mbuf);
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)part), data + done, part);
		done += part;
		if (!head)
			head = mbuf;
		else
			rte_pktmbuf_chain(head, mbuf);
	}
	if (done == bytes)
		return head;
	rte_pktmbuf_free(head);
	return NULL;
}

static void open_device(void)
{
	struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}};
	struct rte_eth_dev_info info;
	struct rte_eth_link link;
	uint64_t start = clock_ns(CLOCK_MONOTONIC);

	pool = rte_pktmbuf_pool_create("traffic", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || rte_eth_dev_info_get(0, &info))
		rte_exit(2, "no pool or no device\n");
	conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER & info.rx_offload_capa;
	conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS & info.tx_offload_capa;
	if (rte_eth_dev_configure(0, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(0))
		rte_exit(2, "the device does not start\n");
	do {
		rte_delay_ms(1);
		rte_eth_link_get_nowait(0, &link);
	} while (!link.link_status && clock_ns(CLOCK_MONOTONIC) - start < GIVE_UP_NS);
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	uint64_t count, sent = 0, back = 0, wrong = 0, first = 0, last_ns;
	bool first_known = false;

	if (used < 0 || argc - used < 2)
		rte_exit(2, "traffic EAL-ARGUMENTS -- COUNT [LONGEST]\n");
	count = strtoull(argv[used + 1], NULL, 10);
	if (argc - used > 2)
		longest = (uint32_t)strtoul(argv[used + 2], NULL, 10);
	open_device();
	last_ns = clock_ns(CLOCK_MONOTONIC);
	while (back < count && clock_ns(CLOCK_MONOTONIC) - last_ns < GIVE_UP_NS) {
		struct rte_mbuf *mbufs[BURST];
		uint16_t got, gone, have = 0;

		while (have < BURST && sent + have < count && sent + have - back < WINDOW) {
			mbufs[have] = make(sent + have);
			if (!mbufs[have])
				break;
			have++;
		}
		gone = rte_eth_tx_burst(0, 0, mbufs, have);
		rte_pktmbuf_free_bulk(mbufs + gone, (unsigned int)(have - gone));
		sent += gone;
		got = rte_eth_rx_burst(0, 0, mbufs, BURST);
		for (uint16_t i = 0; i < got; i++) {
			uint64_t number = 0;

			/* Of a peer that was killed before us some may be on their way still. */
			if (rte_pktmbuf_data_len(mbufs[i]) >= HEAD + 8)
				memcpy(&number, rte_pktmbuf_mtod_offset(mbufs[i], void *, HEAD), 8);
			if (!first_known && number) {
				first++;
				continue;
			}
			first_known = true;
			wrong += !is_right(mbufs[i], back++);
		}
		rte_pktmbuf_free_bulk(mbufs, got);
		if (got)
			last_ns = clock_ns(CLOCK_MONOTONIC);
		else if (!gone)
			sched_yield(); /* both sides may have one CPU */
	}
	printf("frames %llu back %llu wrong %llu left over %llu\n", (unsigned long long)sent,
	       (unsigned long long)back, (unsigned long long)wrong, (unsigned long long)first);
	printf("mbufs not returned: %u\n", rte_mempool_in_use_count(pool));
	fflush(stdout);
	while (getchar() != EOF)
		;
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return back != count || wrong;
}
