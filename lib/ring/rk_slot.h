/* SPDX-License-Identifier: MIT */
/*
 * rk_slot.h - the slot: eight words that validate themselves.
 *
 *              63    56 55                                            0
 *      word 0  |  tag  | cell bytes 0..6: type, flags, slots, ...      |
 *      word 1  |  tag  | cell bytes 7..13                              |
 *      ...
 *      word 7  |  tag  | cell bytes 49..55                             |
 *
 * Word i carries bytes 7i..7i+6 of a 56-byte cell (rk_msg.h) in its low 56 bits, little-endian,
 * and the lap's tag in its top byte. lap = position / capacity + 1, tag = lap mod 256. A slot is
 * valid when all eight tags are the lap's. Every word is rewritten in every lap, so a stale word
 * always carries the tag of the lap before: words may arrive in any order, and no fence is asked
 * of the writer, the bus or the reader. All that is asked is that an aligned 8-byte store is seen
 * whole.
 *
 * Each word is written once a lap by the producer, and word 0 of a message's first slot last:
 * so a message cut short by the death of its producer never becomes valid.
 *
 * Compiled by gcc, clang, g++ and nvcc; needs only fixed-width integers.
 */
#ifndef RK_SLOT_H
#define RK_SLOT_H

#include "rk_base.h"
#include "rk_msg.h"

#define RK_SLOT_BYTES 64
#define RK_SLOT_WORDS 8
#define RK_WORD_CELL_BYTES 7
#define RK_WORD_CELL_BITS 56
#define RK_WORD_CELL_MASK 0x00ffffffffffffffULL
#define RK_WORD_TAG_MASK 0xff00000000000000ULL

struct RK_ALIGNED(RK_SLOT_BYTES) rk_slot {
	uint64_t word[RK_SLOT_WORDS];
};

RK_STATIC_ASSERT(sizeof(struct rk_slot) == RK_SLOT_BYTES, "a slot is one cache line");
RK_STATIC_ASSERT(RK_SLOT_WORDS * RK_WORD_CELL_BYTES == RK_CELL_BYTES, "a slot holds one cell");
#ifdef __BYTE_ORDER__
RK_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the slot format is little-endian");
#endif

/* Tag of the lap that @position is in, already in a word's top byte. */
RK_HD uint64_t rk_slot_tag(uint64_t position, uint32_t capacity_log2)
{
	return ((position >> capacity_log2) + 1) << RK_WORD_CELL_BITS;
}

/* Cell bytes 7i..7i+6 as they stand in word @i, without a tag. @cell: seven u64. */
RK_HD uint64_t rk_slot_word(const uint64_t *cell, uint32_t i)
{
	if (i == 0)
		return cell[0] & RK_WORD_CELL_MASK;
	if (i == 7)
		return cell[6] >> 8;
	return (cell[i - 1] >> (64 - 8 * i) | cell[i] << (8 * i)) & RK_WORD_CELL_MASK;
}

/* u64 @i (0..6) of the cell, from the eight words of a slot. */
RK_HD uint64_t rk_slot_cell(const uint64_t *word, uint32_t i)
{
	return (word[i] & RK_WORD_CELL_MASK) >> (8 * i) |
	       (word[i + 1] & RK_WORD_CELL_MASK) << (56 - 8 * i);
}

#endif
