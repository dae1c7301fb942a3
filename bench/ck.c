// SPDX-License-Identifier: MIT
/* Concurrency Kit's ck_ring, one producer and one consumer, elements of 64 bytes inline. */
#include "config.h"
#include "bench.h"

#if !RK_HAVE_CK

const struct bench_candidate bench_ck = {
	.name = "ck_ring", .skipped = "<ck_ring.h> not found (apt-get install libck-dev)"};

#else

#include <ck_ring.h>
#include <errno.h>
#include <stdlib.h>

CK_RING_PROTOTYPE(bench, bench_element)

struct ck {
	ck_ring_t ring __attribute__((aligned(128)));
	struct bench_element *elements __attribute__((aligned(128)));
};

static int ck_open(void **out, uint32_t capacity)
{
	struct ck *ck = aligned_alloc(128, sizeof(*ck));

	if (!ck)
		return -ENOMEM;
	ck->elements = aligned_alloc(RK_PAGE_BYTES, capacity * sizeof(*ck->elements));
	if (!ck->elements) {
		free(ck);
		return -ENOMEM;
	}
	ck_ring_init(&ck->ring, capacity);
	*out = ck;
	return 0;
}

static void ck_close(void *memory)
{
	struct ck *ck = memory;

	free(ck->elements);
	free(ck);
}

/* Written in place: reserve, fill, commit. */
static inline uint32_t push(struct ck *ck, uint64_t sequence)
{
	struct bench_element *element = ck_ring_enqueue_reserve_spsc_bench(&ck->ring, ck->elements);

	if (!element)
		return 0;
	bench_fill(element, sequence);
	ck_ring_enqueue_commit_spsc(&ck->ring);
	return 1;
}

static inline uint32_t pop(struct ck *ck, uint64_t sequence, struct bench_check *check)
{
	struct bench_element element;

	if (!ck_ring_dequeue_spsc_bench(&ck->ring, ck->elements, &element))
		return 0;
	bench_compare(check, &element, sequence);
	return 1;
}

#define CANDIDATE			 bench_ck
#define LABEL				 "ck_ring"
#define KIND				 BENCH_SINGLE
#define RING				 struct ck
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), push(ring, sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 ck_open
#define CLOSE				 ck_close
#include "loops.h"

#endif
