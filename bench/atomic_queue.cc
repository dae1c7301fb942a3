// SPDX-License-Identifier: MIT
/* atomic_queue::AtomicQueueB2 in its single-producer, single-consumer form, one a call. */
#include "bench.h"

#if !__has_include(<atomic_queue/atomic_queue.h>)

const struct bench_candidate bench_atomic_queue = {
	"atomic_queue AtomicQueueB2",
	"<atomic_queue/atomic_queue.h> not found (apt-get install libatomic-queue-dev)"};

#else

#include <atomic_queue/atomic_queue.h>
#include <cerrno>
#include <new>

namespace
{

using queue = atomic_queue::AtomicQueueB2<bench_element, std::allocator<bench_element>, true, false,
					  true>;

int queue_open(void **out, uint32_t capacity)
{
	try {
		*out = new queue(capacity);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	return 0;
}

void queue_close(void *ring)
{
	delete static_cast<queue *>(ring);
}

inline uint32_t push(queue *ring, uint64_t sequence)
{
	bench_element element;

	bench_fill(&element, sequence);
	return ring->try_push(element);
}

inline uint32_t pop(queue *ring, uint64_t sequence, struct bench_check *check)
{
	bench_element element;

	if (!ring->try_pop(element))
		return 0;
	bench_compare(check, &element, sequence);
	return 1;
}

} // namespace

#define CANDIDATE			 bench_atomic_queue
#define LABEL				 "atomic_queue AtomicQueueB2"
#define KIND				 BENCH_SINGLE
#define RING				 queue
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), push(ring, sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 queue_open
#define CLOSE				 queue_close
#include "loops.h"

#endif
