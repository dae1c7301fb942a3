// SPDX-License-Identifier: MIT
/*
 * DPDK's rte_ring, one producer and one consumer, elements of 64 bytes: copied one a call, copied
 * 32 a call, and 32 a call written and read in place ("zero copy").
 */
#include "config.h"
#include "bench.h"

#if !RK_HAVE_DPDK

#define SKIPPED "<rte_ring_elem.h> not found (apt-get install libdpdk-dev)"
const struct bench_candidate bench_rte_single = {.name = "rte_ring", .skipped = SKIPPED};
const struct bench_candidate bench_rte_bulk = {.name = "rte_ring, bulk of 32", .skipped = SKIPPED};
const struct bench_candidate bench_rte_in_place = {.name = "rte_ring, zero-copy bulk of 32",
						   .skipped = SKIPPED};

#else

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>
#include <stdlib.h>

enum { LINE = sizeof(struct bench_element) };

struct rte {
	struct rte_ring *ring;
	struct bench_element fresh[BENCH_BATCH]; /* written, not all of them sent yet */
	uint32_t sent;
	uint32_t filled;
	struct bench_element got[BENCH_BATCH] __attribute__((aligned(128)));
};

static int rte_open(void **out, uint32_t capacity)
{
	ssize_t bytes = rte_ring_get_memsize_elem(LINE, capacity);
	struct rte *rte = aligned_alloc(128, sizeof(*rte));

	if (!rte || bytes < 0) {
		free(rte);
		return -ENOMEM;
	}
	rte->sent = rte->filled = 0;
	rte->ring = aligned_alloc(RK_PAGE_BYTES,
				  ((size_t)bytes + RK_PAGE_BYTES - 1) & -(size_t)RK_PAGE_BYTES);
	if (!rte->ring ||
	    rte_ring_init(rte->ring, "bench", capacity, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
		free(rte->ring);
		free(rte);
		return -ENOMEM;
	}
	*out = rte;
	return 0;
}

static void rte_close(void *memory)
{
	struct rte *rte = memory;

	free(rte->ring);
	free(rte);
}

static inline uint32_t push(struct rte *rte, uint64_t sequence)
{
	struct bench_element element;

	bench_fill(&element, sequence);
	return rte_ring_sp_enqueue_elem(rte->ring, &element, LINE) == 0;
}

static inline uint32_t pop(struct rte *rte, uint64_t sequence, struct bench_check *check)
{
	struct bench_element element;

	if (rte_ring_sc_dequeue_elem(rte->ring, &element, LINE))
		return 0;
	bench_compare(check, &element, sequence);
	return 1;
}

static inline uint32_t push_bulk(struct rte *rte, uint64_t sequence, uint32_t most)
{
	uint32_t sent;

	if (rte->sent == rte->filled) {
		for (uint32_t i = 0; i < most; i++)
			bench_fill(&rte->fresh[i], sequence + i);
		rte->sent = 0;
		rte->filled = most;
	}
	sent = rte_ring_sp_enqueue_burst_elem(rte->ring, rte->fresh + rte->sent, LINE,
					      rte->filled - rte->sent, NULL);
	rte->sent += sent;
	return sent;
}

static inline uint32_t pop_bulk(struct rte *rte, uint64_t sequence, uint32_t most,
				struct bench_check *check)
{
	uint32_t got = rte_ring_sc_dequeue_burst_elem(rte->ring, rte->got, LINE, most, NULL);

	for (uint32_t i = 0; i < got; i++)
		bench_compare(check, &rte->got[i], sequence + i);
	return got;
}

static inline uint32_t push_in_place(struct rte *rte, uint64_t sequence, uint32_t most)
{
	struct rte_ring_zc_data stretch;
	uint32_t got = rte_ring_enqueue_zc_burst_elem_start(rte->ring, LINE, most, &stretch, NULL);
	struct bench_element *element;

	if (!got)
		return 0;
	/* The stretch may go on at the start of the ring. */
	element = stretch.ptr1;
	for (uint32_t i = 0; i < stretch.n1; i++)
		bench_fill(&element[i], sequence++);
	element = stretch.ptr2;
	for (uint32_t i = 0; i < got - stretch.n1; i++)
		bench_fill(&element[i], sequence++);
	rte_ring_enqueue_zc_elem_finish(rte->ring, got);
	return got;
}

static inline uint32_t pop_in_place(struct rte *rte, uint64_t sequence, uint32_t most,
				    struct bench_check *check)
{
	struct rte_ring_zc_data stretch;
	uint32_t got = rte_ring_dequeue_zc_burst_elem_start(rte->ring, LINE, most, &stretch, NULL);
	struct bench_element *element;

	if (!got)
		return 0;
	element = stretch.ptr1;
	for (uint32_t i = 0; i < stretch.n1; i++)
		bench_compare(check, &element[i], sequence++);
	element = stretch.ptr2;
	for (uint32_t i = 0; i < got - stretch.n1; i++)
		bench_compare(check, &element[i], sequence++);
	rte_ring_dequeue_zc_elem_finish(rte->ring, got);
	return got;
}

#define CANDIDATE			 bench_rte_single
#define LABEL				 "rte_ring"
#define KIND				 BENCH_SINGLE
#define RING				 struct rte
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), push(ring, sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 rte_open
#define CLOSE				 rte_close
#include "loops.h"

#define CANDIDATE bench_rte_bulk
#define LABEL	  "rte_ring, bulk of 32"
#define KIND	  BENCH_BULK
#define RING	  struct rte
#define BATCH	  BENCH_BATCH
#define PUSH	  push_bulk
#define POP	  pop_bulk
#define OPEN	  rte_open
#define CLOSE	  rte_close
#include "loops.h"

#define CANDIDATE bench_rte_in_place
#define LABEL	  "rte_ring, zero-copy bulk of 32"
#define KIND	  BENCH_BULK
#define RING	  struct rte
#define BATCH	  BENCH_BATCH
#define PUSH	  push_in_place
#define POP	  pop_in_place
#define OPEN	  rte_open
#define CLOSE	  rte_close
#include "loops.h"

#endif
