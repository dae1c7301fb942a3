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

/*
 * Four of the eight bytes of @high:@low, by the nibbles of @which, the lowest first: one instruction
 * on the GPU.
 */
RK_HD uint32_t rk_permute(uint32_t low, uint32_t high, uint32_t which)
{
#ifdef __CUDA_ARCH__
	return __byte_perm(low, high, which);
#else
	uint64_t from = (uint64_t)high << 32 | low;
	uint32_t bytes = 0;

	for (int i = 0; i < 4; i++)
		bytes |= (uint32_t)(from >> (which >> 4 * i & 7) * 8 & 0xff) << 8 * i;
	return bytes;
#endif
}

RK_HD struct rk_pieces rk_lane_unpack(uint32_t k, struct rk_words words)
{
	uint32_t a = (uint32_t)words.w0, b = (uint32_t)(words.w0 >> 32);
	uint32_t c = (uint32_t)words.w1, d = (uint32_t)(words.w1 >> 32);
	uint32_t odd = k & 1;
	struct rk_pieces pieces;

	pieces.four[0] = rk_permute(a, b, odd ? 0x5432 : 0x3210);
	pieces.four[1] = rk_permute(b, c, odd ? 0x6542 : 0x4210);
	pieces.four[2] = rk_permute(c, d, odd ? 0x6543 : 0x4321);
	pieces.two = (uint16_t)rk_permute(a, d, odd ? 0x1010 : 0x6565);
	return pieces;
}

RK_HD struct rk_words rk_lane_pack(uint32_t k, struct rk_pieces pieces, uint64_t tag)
{
	const uint32_t *four = pieces.four, odd = k & 1, high_tag = (uint32_t)(tag >> 32);
	struct rk_words words;
	uint32_t a, b, c, d;

	a = rk_permute(pieces.two, four[0], odd ? 0x5410 : 0x7654);
	b = rk_permute(four[0], four[1], odd ? 0x4432 : 0x6654);
	c = rk_permute(four[1], four[2], odd ? 0x4321 : 0x6543);
	d = rk_permute(four[2], pieces.two, odd ? 0x3321 : 0x5543);
	b = rk_permute(b, high_tag, 0x7210);
	d = rk_permute(d, high_tag, 0x7210);
	words.w0 = (uint64_t)b << 32 | a;
	words.w1 = (uint64_t)d << 32 | c;
	return words;
}

#endif
