/* SPDX-License-Identifier: MIT */
/*
 * gpu_lane.h - one lane's part in packing and unpacking a slot: four lanes, two words each.
 *
 *   slot  | w0 w1    | w2 w3    | w4 w5    | w6 w7    |   lane k loads and stores words 2k, 2k + 1,
 *   cell  | 4 4 4 2  | 2 4 4 4  | 4 4 4 2  | 2 4 4 4  |   which carry cell bytes 14k .. 14k + 13
 *
 * A lane's fourteen bytes begin at a multiple of four, or two bytes before one: so they are three
 * aligned pieces of four bytes, and one of two behind or before them. All in registers, and no lane
 * needs another's; compiles for the host too, so that tests hold it against rk_slot.h.
 */
#ifndef RK_GPU_LANE_H
#define RK_GPU_LANE_H

#include "ring/rk_slot.h"

struct rk_words {
	uint64_t w0;
	uint64_t w1;
};

struct rk_pieces {
	uint32_t four[3];
	uint16_t two;
};

/* Where lane @k's pieces of four, and its piece of two, begin in the cell. */
RK_HD uint32_t rk_lane_four(uint32_t k)
{
	return 14 * k + 2 * (k & 1);
}

RK_HD uint32_t rk_lane_two(uint32_t k)
{
	return 14 * k + (k & 1 ? 0 : 12);
}

/* The lower half of @high:@low shifted right, and the upper half shifted left, by 0 or 16 bits. */
RK_HD uint32_t rk_shift_right(uint32_t low, uint32_t high, uint32_t bits)
{
	return (uint32_t)(((uint64_t)high << 32 | low) >> bits);
}

RK_HD uint32_t rk_shift_left(uint32_t low, uint32_t high, uint32_t bits)
{
	return (uint32_t)(((uint64_t)high << 32 | low) << bits >> 32);
}

RK_HD struct rk_pieces rk_lane_unpack(uint32_t k, struct rk_words words)
{
	uint32_t bits = 16 * (k & 1), a[4];
	struct rk_pieces pieces;

	a[0] = (uint32_t)words.w0;
	a[1] = (uint32_t)(words.w0 >> 32 & 0xffffff) | (uint32_t)words.w1 << 24;
	a[2] = (uint32_t)(words.w1 >> 8);
	a[3] = (uint32_t)(words.w1 >> 40 & 0xffff);
	for (int i = 0; i < 3; i++)
		pieces.four[i] = rk_shift_right(a[i], a[i + 1], bits);
	pieces.two = (uint16_t)(bits ? a[0] : a[3]);
	return pieces;
}

RK_HD struct rk_words rk_lane_pack(uint32_t k, struct rk_pieces pieces, uint64_t tag)
{
	uint32_t bits = 16 * (k & 1), a[4];
	struct rk_words words;

	a[0] = rk_shift_left((uint32_t)pieces.two << 16, pieces.four[0], bits);
	a[1] = rk_shift_left(pieces.four[0], pieces.four[1], bits);
	a[2] = rk_shift_left(pieces.four[1], pieces.four[2], bits);
	a[3] = bits ? pieces.four[2] >> 16 : pieces.two;
	words.w0 = (uint64_t)(a[1] & 0xffffff) << 32 | a[0] | tag;
	words.w1 = (uint64_t)a[3] << 40 | (uint64_t)a[2] << 8 | a[1] >> 24 | tag;
	return words;
}

#endif
