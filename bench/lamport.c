// SPDX-License-Identifier: MIT
/*
 * The textbook ring as a baseline: two shared indexes, each side keeping a copy of the other's that
 * it renews only when the ring looks full or empty. Messages are written and read in place.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

struct lamport {
	uint64_t written __attribute__((aligned(128))); /* shared, by the producer */
	uint64_t read_seen;
	uint64_t read __attribute__((aligned(128))); /* shared, by the consumer */
	uint64_t written_seen;
	struct bench_element *elements __attribute__((aligned(128))); /* read by both */
	uint64_t capacity;
};

static int lamport_open(void **out, uint32_t capacity)
{
	struct lamport *ring = aligned_alloc(128, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	*ring = (struct lamport){.capacity = capacity};
	ring->elements = aligned_alloc(RK_PAGE_BYTES, capacity * sizeof(*ring->elements));
	if (!ring->elements) {
		free(ring);
		return -ENOMEM;
	}
	*out = ring;
	return 0;
}

static void lamport_close(void *memory)
{
	struct lamport *ring = memory;

	free(ring->elements);
	free(ring);
}

static inline uint32_t push(struct lamport *ring, uint64_t sequence)
{
	uint64_t written = ring->written;

	if (written - ring->read_seen == ring->capacity) {
		/* Pairs with the release in pop(): elements were read before they are written. */
		ring->read_seen = __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE);
		if (written - ring->read_seen == ring->capacity)
			return 0;
	}
	bench_fill(&ring->elements[written & (ring->capacity - 1)], sequence);
	/* Pairs with the acquire in pop(): the element is written before it is seen. */
	__atomic_store_n(&ring->written, written + 1, __ATOMIC_RELEASE);
	return 1;
}

static inline uint32_t pop(struct lamport *ring, uint64_t sequence, struct bench_check *check)
{
	uint64_t read = ring->read;

	if (read == ring->written_seen) {
		ring->written_seen = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
		if (read == ring->written_seen)
			return 0;
	}
	bench_compare(check, &ring->elements[read & (ring->capacity - 1)], sequence);
	__atomic_store_n(&ring->read, read + 1, __ATOMIC_RELEASE);
	return 1;
}

#define CANDIDATE			 bench_lamport
#define LABEL				 "Lamport ring, cached indexes"
#define KIND				 BENCH_SINGLE
#define RING				 struct lamport
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), push(ring, sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 lamport_open
#define CLOSE				 lamport_close
#include "loops.h"
