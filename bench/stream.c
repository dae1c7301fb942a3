// SPDX-License-Identifier: MIT
/*
 * What two cores can stream through a buffer at all: lines are written a block (1/8 buffer) at a
 * time, handed over by one shared count, read, touched and handed back by another. No queue: it
 * delivers nothing before a block is full. The bound to hold a ring against.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

struct stream {
	uint64_t written __attribute__((aligned(128)));
	uint64_t read __attribute__((aligned(128)));
	struct bench_element *lines __attribute__((aligned(128)));
	uint64_t capacity;
};

static int stream_open(void **out, uint32_t capacity)
{
	struct stream *stream = aligned_alloc(128, sizeof(*stream));

	if (!stream)
		return -ENOMEM;
	*stream = (struct stream){.capacity = capacity};
	stream->lines = aligned_alloc(RK_PAGE_BYTES, capacity * sizeof(*stream->lines));
	if (!stream->lines) {
		free(stream);
		return -ENOMEM;
	}
	*out = stream;
	return 0;
}

static void stream_close(void *memory)
{
	struct stream *stream = memory;

	free(stream->lines);
	free(stream);
}

/* Lines of the block that begins at @position; the last block of a burst may be short. */
static uint64_t block(const struct stream *stream, uint64_t position, uint64_t end)
{
	uint64_t lines = stream->capacity < 8 ? 1 : stream->capacity / 8;

	lines -= position & (lines - 1);
	return end - position < lines ? end - position : lines;
}

static void produce(void *memory, uint64_t first, uint64_t count)
{
	struct stream *stream = memory;
	uint64_t position = __atomic_load_n(&stream->written, __ATOMIC_RELAXED);
	uint64_t end = position + count;
	struct rk_spin spin = {0};

	while (position != end) {
		uint64_t lines = block(stream, position, end);
		struct bench_element *line = &stream->lines[position & (stream->capacity - 1)];

		/* Pairs with the release in consume(): read before it is written again. */
		while (position + lines - __atomic_load_n(&stream->read, __ATOMIC_ACQUIRE) >
		       stream->capacity)
			rk_spin_miss(&spin);
		for (uint64_t i = 0; i < lines; i++, first++)
			bench_fill(&line[i], first);
		position += lines;
		/* Pairs with the acquire in consume(): written before it is read. */
		__atomic_store_n(&stream->written, position, __ATOMIC_RELEASE);
	}
}

static bool consume(void *memory, uint64_t first, uint64_t count)
{
	struct stream *stream = memory;
	uint64_t position = __atomic_load_n(&stream->read, __ATOMIC_RELAXED);
	uint64_t end = position + count;
	struct bench_check check = {{{0}}};
	struct rk_spin spin = {0};

	while (position != end) {
		uint64_t lines = block(stream, position, end);
		struct bench_element *line = &stream->lines[position & (stream->capacity - 1)];

		while (__atomic_load_n(&stream->written, __ATOMIC_ACQUIRE) - position < lines)
			rk_spin_miss(&spin);
		for (uint64_t i = 0; i < lines; i++, first++) {
			bench_compare(&check, &line[i], first);
			__atomic_store_n(&line[i].unused[1], 0, __ATOMIC_RELAXED);
		}
		position += lines;
		__atomic_store_n(&stream->read, position, __ATOMIC_RELEASE);
	}
	return bench_is_wrong(&check);
}

const struct bench_candidate bench_stream = {
	.name = "streaming bound, no queue",
	.kind = BENCH_BOUND,
	.open = stream_open,
	.close = stream_close,
	.loops[BENCH_BACKOFF] = {.produce = produce, .consume = consume},
};
