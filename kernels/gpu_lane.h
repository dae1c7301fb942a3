/* SPDX-License-Identifier: MIT */
/*
 * gpu_lane.h - one lane's part in packing and unpacking a slot: four lanes, 16 bytes each.
 *
 *   slot   | w0 w1 | w2 w3 | w4 w5 | w6 w7 |   lane k loads and stores words 2k and 2k + 1
 *   cell   | 14 bytes | 14 | 14 | 14       |   which carry cell bytes 14k .. 14k + 13
 *   chunks | 16 bytes | 16 | 16 | 8        |   lane k holds cell bytes 16k .. 16k + 15
 *
 * So a chunk needs the lane's own 14 bytes and the first word of the lane above; a pair of words
 * needs the lane's own chunk and the upper half of the chunk below: one shuffle of eight bytes
 * either way. All in registers; compiles for the host too, so that tests hold it against rk_slot.h.
 */
#ifndef RK_GPU_LANE_H
#define RK_GPU_LANE_H

#include "ring/rk_slot.h"

struct rk_chunk {
	uint64_t low;
	uint64_t high;
};

struct rk_words {
	uint64_t w0;
	uint64_t w1;
};

/* Bytes @high:@low shifted right by @bits (0, 16, 32 or 48), the lower half. */
RK_HD uint64_t rk_shift_pair(uint64_t low, uint64_t high, uint32_t bits)
{
	return low >> bits | (high << 1) << (63 - bits);
}

/* The chunk of lane @k, from its words and word 0 of lane @k + 1 (any, for lane 3: its chunk's
 * upper half lies behind the cell).
 */
RK_HD struct rk_chunk rk_lane_unpack(uint32_t k, struct rk_words own, uint64_t next)
{
	uint64_t a = (own.w0 & RK_WORD_CELL_MASK) | own.w1 << 56;
	uint64_t b = (own.w1 & RK_WORD_CELL_MASK) >> 8 | next << 48;
	uint64_t c = (next & RK_WORD_CELL_MASK) >> 16;
	struct rk_chunk chunk;

	chunk.low = rk_shift_pair(a, b, 16 * k);
	chunk.high = rk_shift_pair(b, c, 16 * k);
	return chunk;
}

/* The words of lane @k, from its chunk and the upper half of lane @k - 1's (any, for lane 0). */
RK_HD struct rk_words rk_lane_pack(uint32_t k, struct rk_chunk own, uint64_t below, uint64_t tag)
{
	uint64_t first = own.low << (16 * k) | (below >> 1) >> (63 - 16 * k);
	uint64_t second = own.high << (16 * k) | (own.low >> 1) >> (63 - 16 * k);
	struct rk_words words;

	words.w0 = (first & RK_WORD_CELL_MASK) | tag;
	words.w1 = ((first >> 56 | second << 8) & RK_WORD_CELL_MASK) | tag;
	return words;
}

#endif
