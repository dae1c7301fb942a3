/* SPDX-License-Identifier: MIT */
/* aid.h - what the tests of port dpdk share: an EAL that needs nothing, seeded chance, a ring. */
#ifndef DPDK_TESTS_AID_H
#define DPDK_TESTS_AID_H

#include "ports/dpdk/rk_dpdk.h"
#include "rk_error.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AID static inline __attribute__((unused))

static uint64_t aid_state;

/* Group setup: the EAL, and RK_SEED or one of our own. */
AID int aid_open(void **state)
{
	char *words[] = {(char *)"test",     (char *)"-l",	(char *)"0",
			 (char *)"--no-pci", (char *)"--no-huge", (char *)"-m",
			 (char *)"64",	     (char *)"--no-shconf",	(char *)"--no-telemetry",
			 (char *)"--log-level=error"};
	const char *asked = getenv("RK_SEED");

	(void)state;
	alarm(240); /* a test that hangs fails */
	aid_state = asked ? strtoull(asked, NULL, 0) : 20261;
	print_message("RK_SEED=%llu\n", (unsigned long long)aid_state);
	return rte_eal_init(sizeof(words) / sizeof(words[0]), words) < 0;
}

AID int aid_close(void **state)
{
	(void)state;
	return rte_eal_cleanup();
}

AID uint64_t chance(uint64_t bound)
{
	uint64_t z = aid_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % bound;
}

/* A ring with both ends. */
struct aid_ring {
	void *memory;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
};

AID void aid_ring_open(struct aid_ring *ring, uint64_t capacity)
{
	size_t bytes = rk_ring_bytes(capacity);
	struct rk_ring parts;

	ring->memory = aligned_alloc(RK_PAGE_BYTES, (bytes + RK_PAGE_BYTES - 1) / RK_PAGE_BYTES * RK_PAGE_BYTES);
	assert_non_null(ring->memory);
	assert_int_equal(
		rk_ring_format(&parts, ring->memory, bytes, capacity, chance(1000), "test"), 0);
	assert_int_equal(rk_ring_tx_open(&ring->tx, &parts), 0);
	assert_int_equal(rk_ring_rx_open(&ring->rx, &parts, NULL), 0);
}

/* Bytes of frame @number: any two differ. */
AID void aid_fill(uint8_t *at, uint32_t bytes, uint32_t number)
{
	for (uint32_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(number * 131 + i * 7 + (i >> 8));
	if (bytes >= 4)
		memcpy(at, &number, 4);
}

/* A frame of @bytes, in as many segments as it takes. */
AID struct rte_mbuf *aid_frame(struct rte_mempool *pool, uint32_t bytes, uint32_t number)
{
	static uint8_t data[65536];
	struct rte_mbuf *head = NULL, *last = NULL;
	uint32_t done = 0;

	aid_fill(data, bytes, number);
	do {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
		uint32_t part = bytes - done;

		if (!mbuf) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		if (part > rte_pktmbuf_tailroom(mbuf))
			part = rte_pktmbuf_tailroom(mbuf);
		memcpy(rte_pktmbuf_mtod(mbuf, void *), data + done, part);
		mbuf->data_len = (uint16_t)part;
		done += part;
		if (head) {
			last->next = mbuf;
			head->nb_segs++;
		} else {
			head = mbuf;
		}
		last = mbuf;
	} while (done < bytes);
	head->pkt_len = bytes;
	head->port = 6;
	return head;
}

/* True if @mbuf is frame @number of @bytes. */
AID bool aid_is(const struct rte_mbuf *mbuf, uint32_t bytes, uint32_t number)
{
	static uint8_t expected[65536], got[65536];
	const char *reason;
	const void *at;

	if (rte_mbuf_check(mbuf, 1, &reason) || rte_pktmbuf_pkt_len(mbuf) != bytes)
		return false;
	aid_fill(expected, bytes, number);
	at = rte_pktmbuf_read(mbuf, 0, bytes, got);
	return at && !memcmp(at, expected, bytes);
}

#endif
