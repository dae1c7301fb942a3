// SPDX-License-Identifier: MIT
#include "backends/arena.h"

#include <errno.h>
#include <stdlib.h>

#define MOST_ALIGNED ((uint64_t)64 << 10)

static unsigned int class_of(uint64_t bytes)
{
	unsigned int class = 6; /* ARENA_MIN_BYTES */

	while (class < ARENA_CLASSES - 1 && 1ULL << class < bytes)
		class++;
	return class;
}

int arena_take(struct arena *arena, uint64_t bytes, uint64_t *at)
{
	unsigned int class = class_of(bytes);
	uint64_t size = 1ULL << class, align = size < MOST_ALIGNED ? size : MOST_ALIGNED;
	struct arena_part *part = arena->free[class];
	uint64_t next;

	if (part) {
		arena->free[class] = part->next;
		*at = part->at;
		free(part);
		return 0;
	}
	next = (arena->next + align - 1) / align * align;
	if (bytes > size || next > arena->size || arena->size - next < size)
		return -ENOSPC;
	arena->next = next + size;
	*at = next;
	return 0;
}

void arena_give(struct arena *arena, uint64_t bytes, uint64_t at)
{
	struct arena_part *part = malloc(sizeof(*part));

	if (!part)
		return; /* it stays unused until the arena is freed */
	*part = (struct arena_part){.at = at, .next = arena->free[class_of(bytes)]};
	arena->free[class_of(bytes)] = part;
}

void arena_free(struct arena *arena)
{
	for (unsigned int i = 0; i < ARENA_CLASSES; i++)
		for (struct arena_part *part = arena->free[i], *next; part; part = next) {
			next = part->next;
			free(part);
		}
}
