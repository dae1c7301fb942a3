// SPDX-License-Identifier: MIT
/*
 * The packing of a slot by four lanes, as the GPU does it, against rk_slot.h: by case for every bit
 * and tag, and at random; and lanes against the host's codecs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gpu_lane.h"
#include "ring/rk_codec.h"
#include "ring_aid.h"

enum { LANES = 4, ROUNDS = 200000 };

/* A lane's pieces of a cell, as it loads them from shared memory. */
static struct rk_pieces load_pieces(const uint8_t *cell, uint32_t lane)
{
	struct rk_pieces pieces;

	memcpy(pieces.four, cell + rk_lane_four(lane), sizeof(pieces.four));
	memcpy(&pieces.two, cell + rk_lane_two(lane), sizeof(pieces.two));
	return pieces;
}

static void store_pieces(uint8_t *cell, uint32_t lane, struct rk_pieces pieces)
{
	memcpy(cell + rk_lane_four(lane), pieces.four, sizeof(pieces.four));
	memcpy(cell + rk_lane_two(lane), &pieces.two, sizeof(pieces.two));
}

static void pack_by_lanes(struct rk_slot *slot, const uint8_t *cell, uint64_t tag)
{
	for (uint32_t lane = 0; lane < LANES; lane++) {
		struct rk_words words = rk_lane_pack(lane, load_pieces(cell, lane), tag);

		slot->word[2 * lane] = words.w0;
		slot->word[2 * lane + 1] = words.w1;
	}
}

static void unpack_by_lanes(uint8_t *cell, const struct rk_slot *slot)
{
	for (uint32_t lane = 0; lane < LANES; lane++) {
		const struct rk_words words = {slot->word[2 * lane], slot->word[2 * lane + 1]};

		store_pieces(cell, lane, rk_lane_unpack(lane, words));
	}
}

/* The slot is what rk_slot.h and the host's codec say, and gives the cell back. */
static void check_cell(const uint8_t *cell, uint64_t position, uint32_t capacity_log2)
{
	uint64_t tag = rk_slot_tag(position, capacity_log2), words[7];
	struct rk_slot slot, plain, packed;
	uint8_t back[RK_CELL_BYTES], room[RK_CELL_BYTES];

	memcpy(words, cell, sizeof(words));
	for (uint32_t i = 0; i < RK_SLOT_WORDS; i++)
		plain.word[i] = rk_slot_word(words, i) | tag;
	pack_by_lanes(&slot, cell, tag);
	assert_memory_equal(&slot, &plain, sizeof(slot));
	rk_codec_best()->pack(&packed, tag, cell, 1);
	assert_memory_equal(&slot, &packed, sizeof(slot));
	memset(back, 0xee, sizeof(back));
	unpack_by_lanes(back, &slot);
	assert_memory_equal(back, cell, sizeof(back));
	assert_int_equal(rk_codec_best()->unpack(&slot, tag, room, 1, false), 1);
	assert_memory_equal(room, cell, sizeof(room));
}

/* Each byte of the cell belongs to one piece of one lane, and pieces are aligned to their size. */
static void pieces_cover_the_cell_once(void **unused)
{
	uint8_t covered[RK_CELL_BYTES] = {0};

	(void)unused;
	for (uint32_t lane = 0; lane < LANES; lane++) {
		assert_int_equal(rk_lane_four(lane) % 4, 0);
		assert_int_equal(rk_lane_two(lane) % 2, 0);
		for (uint32_t i = 0; i < 12; i++)
			covered[rk_lane_four(lane) + i]++;
		for (uint32_t i = 0; i < 2; i++)
			covered[rk_lane_two(lane) + i]++;
		/* The lane's own fourteen bytes: those of its two words. */
		assert_in_range(rk_lane_four(lane), 14 * lane, 14 * lane + 2);
		assert_in_range(rk_lane_two(lane), 14 * lane, 14 * lane + 12);
	}
	for (uint32_t i = 0; i < RK_CELL_BYTES; i++)
		assert_int_equal(covered[i], 1);
}

static void every_bit_goes_to_its_place(void **unused)
{
	(void)unused;
	for (uint32_t bit = 0; bit < 8 * RK_CELL_BYTES; bit++) {
		uint8_t cell[RK_CELL_BYTES] __attribute__((aligned(8))) = {0};

		cell[bit / 8] = (uint8_t)(1u << bit % 8);
		check_cell(cell, 0, 1);
		for (uint32_t i = 0; i < RK_CELL_BYTES; i++)
			cell[i] = (uint8_t)~cell[i];
		check_cell(cell, 0, 1);
	}
}

static void every_tag_fits(void **unused)
{
	uint8_t cell[RK_CELL_BYTES] __attribute__((aligned(8)));

	(void)unused;
	for (uint32_t i = 0; i < RK_CELL_BYTES; i++)
		cell[i] = (uint8_t)(i * 37 + 1);
	for (uint64_t lap = 0; lap < 600; lap++)
		check_cell(cell, lap << 4, 4);
	check_cell(cell, UINT64_MAX, 4);
}

static void cells_at_random(void **unused)
{
	uint64_t state = aid_choose_seed(1);

	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t words[7];

		for (int i = 0; i < 7; i++)
			words[i] = aid_random(&state);
		check_cell((const uint8_t *)words, aid_random(&state),
			   (uint32_t)aid_below(&state, 24));
	}
}

/* What the top byte holds is nobody's: tags do not leak into cells. */
static void tags_are_not_part_of_the_cell(void **unused)
{
	uint64_t state = aid_choose_seed(2);

	(void)unused;
	for (int round = 0; round < 1000; round++) {
		uint8_t one[RK_CELL_BYTES], other[RK_CELL_BYTES];
		struct rk_slot slot;

		for (int i = 0; i < RK_SLOT_WORDS; i++)
			slot.word[i] = aid_random(&state);
		unpack_by_lanes(one, &slot);
		for (int i = 0; i < RK_SLOT_WORDS; i++)
			slot.word[i] ^= aid_random(&state) << RK_WORD_CELL_BITS;
		unpack_by_lanes(other, &slot);
		assert_memory_equal(one, other, sizeof(one));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_cover_the_cell_once),
		cmocka_unit_test(every_bit_goes_to_its_place),
		cmocka_unit_test(every_tag_fits),
		cmocka_unit_test(cells_at_random),
		cmocka_unit_test(tags_are_not_part_of_the_cell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
