/* SPDX-License-Identifier: MIT */
/*
 * arena.h - hands out parts of one piece of memory and takes them back; private. It knows
 * addresses only and touches nothing, so that the memory may be a GPU's.
 */
#ifndef RK_BACKENDS_ARENA_H
#define RK_BACKENDS_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_MIN_BYTES 64
#define ARENA_CLASSES 40

struct arena_part {
	uint64_t at;
	struct arena_part *next;
};

/*
 * @size: of the memory, from 0 on; parts are offsets into it
 * @next: first byte never handed out
 * @free: parts given back, by the power of two that they hold
 */
struct arena {
	uint64_t size;
	uint64_t next;
	struct arena_part *free[ARENA_CLASSES];
};

/*
 * A part of @bytes, rounded up to a power of two (ARENA_MIN_BYTES at least) and aligned to it, to
 * 64 KiB at most. Callers take turns. 0 and the offset in @at; -ENOSPC when none is left.
 */
int arena_take(struct arena *arena, uint64_t bytes, uint64_t *at);

/* Give back the part that was taken with the same @bytes. Callers take turns. */
void arena_give(struct arena *arena, uint64_t bytes, uint64_t at);

void arena_free(struct arena *arena);

#endif
