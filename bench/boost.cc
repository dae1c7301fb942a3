// SPDX-License-Identifier: MIT
/* boost::lockfree::spsc_queue: one a call, read in place; and 32 a call, all that is there read. */
#include "config.h"
#include "bench.h"

#if !RK_HAVE_BOOST

#define SKIPPED "<boost/lockfree/spsc_queue.hpp> not found (apt-get install libboost-dev)"
const struct bench_candidate bench_boost_single = {"boost spsc_queue", SKIPPED};
const struct bench_candidate bench_boost_bulk = {"boost spsc_queue, bulk of 32", SKIPPED};

#else

#include <boost/lockfree/spsc_queue.hpp>
#include <cerrno>
#include <new>

namespace
{

struct boost_ring {
	explicit boost_ring(uint32_t capacity) : queue(capacity)
	{
	}

	boost::lockfree::spsc_queue<bench_element> queue;
	alignas(128) bench_element fresh[BENCH_BATCH]; /* written, not all of them sent yet */
	uint32_t sent = 0;
	uint32_t filled = 0;
};

int boost_open(void **out, uint32_t capacity)
{
	try {
		*out = new boost_ring(capacity);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	return 0;
}

void boost_close(void *ring)
{
	delete static_cast<boost_ring *>(ring);
}

inline uint32_t push(boost_ring *ring, uint64_t sequence)
{
	bench_element element;

	bench_fill(&element, sequence);
	return ring->queue.push(element);
}

inline uint32_t pop(boost_ring *ring, uint64_t sequence, struct bench_check *check)
{
	return (uint32_t)ring->queue.consume_one(
		[&](const bench_element &element) { bench_compare(check, &element, sequence); });
}

inline uint32_t push_bulk(boost_ring *ring, uint64_t sequence, uint32_t most)
{
	uint32_t sent;

	if (ring->sent == ring->filled) {
		for (uint32_t i = 0; i < most; i++)
			bench_fill(&ring->fresh[i], sequence + i);
		ring->sent = 0;
		ring->filled = most;
	}
	sent = (uint32_t)ring->queue.push(ring->fresh + ring->sent, ring->filled - ring->sent);
	ring->sent += sent;
	return sent;
}

inline uint32_t pop_bulk(boost_ring *ring, uint64_t sequence, struct bench_check *check)
{
	return (uint32_t)ring->queue.consume_all(
		[&](const bench_element &element) { bench_compare(check, &element, sequence++); });
}

} // namespace

#define CANDIDATE			 bench_boost_single
#define LABEL				 "boost spsc_queue"
#define KIND				 BENCH_SINGLE
#define RING				 boost_ring
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), push(ring, sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 boost_open
#define CLOSE				 boost_close
#include "loops.h"

#define CANDIDATE			 bench_boost_bulk
#define LABEL				 "boost spsc_queue, bulk of 32"
#define KIND				 BENCH_BULK
#define RING				 boost_ring
#define BATCH				 BENCH_BATCH
#define PUSH				 push_bulk
#define POP(ring, sequence, most, check) ((void)(most), pop_bulk(ring, sequence, check))
#define OPEN				 boost_open
#define CLOSE				 boost_close
#include "loops.h"

#endif
