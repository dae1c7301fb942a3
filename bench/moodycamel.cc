// SPDX-License-Identifier: MIT
/* moodycamel::ReaderWriterQueue: elements made and read in place, one a call. */
#include "bench.h"

#if !__has_include(<readerwriterqueue/readerwriterqueue.h>)

const struct bench_candidate bench_moodycamel = {
	"moodycamel ReaderWriterQueue", "<readerwriterqueue/readerwriterqueue.h> not found "
					"(apt-get install libreaderwriterqueue-dev)"};

#else

#include <cerrno>
#include <new>
#include <readerwriterqueue/readerwriterqueue.h>

namespace
{

struct element : bench_element {
	explicit element(uint64_t sequence)
	{
		bench_fill(word, sequence);
	}
};

using queue = moodycamel::ReaderWriterQueue<element>;

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

inline uint32_t pop(queue *ring, uint64_t sequence, struct bench_check *check)
{
	const element *front = ring->peek();

	if (!front)
		return 0;
	bench_compare(check, front, sequence);
	ring->pop();
	return 1;
}

} // namespace

#define CANDIDATE			 bench_moodycamel
#define LABEL				 "moodycamel ReaderWriterQueue"
#define KIND				 BENCH_SINGLE
#define RING				 queue
#define BATCH				 1
#define PUSH(ring, sequence, most)	 ((void)(most), (uint32_t)ring->try_emplace(sequence))
#define POP(ring, sequence, most, check) ((void)(most), pop(ring, sequence, check))
#define OPEN				 queue_open
#define CLOSE				 queue_close
#include "loops.h"

#endif
