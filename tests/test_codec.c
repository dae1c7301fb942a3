// SPDX-License-Identifier: MIT
/*
 * Every codec and every inline body of rk_codec.h against the plain one, byte for byte: packing,
 * unpacking, refusing each stale word, and touching nothing beyond the cells and slots.
 */
#include "ring_aid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MOST = 64, ROUNDS = 2000, GUARD = 0xa5 };

static uint64_t state;

/* --- The inline bodies, as runs of one --- */

#define BODY(name, isa, STORE, LOAD)                                                               \
	isa static void pack_##name(struct rk_slot *slots, uint64_t tag, const void *cells,       \
				    uint32_t count)                                                \
	{                                                                                          \
		for (uint32_t i = 0; i < count; i++)                                               \
			STORE(slots + i, tag, (const char *)cells + (size_t)i * RK_CELL_BYTES);    \
	}                                                                                          \
	isa static uint32_t unpack_##name(struct rk_slot *slots, uint64_t tag, void *cells,        \
					  uint32_t count, bool touch)                              \
	{                                                                                          \
		uint32_t i = 0;                                                                    \
                                                                                                   \
		while (i < count &&                                                                \
		       LOAD(slots + i, tag, (char *)cells + (size_t)i * RK_CELL_BYTES)) {          \
			if (touch)                                                                 \
				rk_slot_touch(slots + i);                                          \
			i++;                                                                       \
		}                                                                                  \
		return i;                                                                          \
	}                                                                                          \
	static const struct rk_codec body_##name = {"inline " #name, pack_##name, unpack_##name};

BODY(plain, , rk_slot_store_plain, rk_slot_load_plain)
#ifdef RK_CODEC_X86
#define ISA(name) __attribute__((target(name)))
BODY(ssse3, ISA("ssse3"), rk_slot_store_ssse3, rk_slot_load_ssse3)
BODY(avx2, ISA("avx2"), rk_slot_store_avx2, rk_slot_load_avx2)
BODY(fresh_ssse3, ISA("ssse3"), rk_slot_store_fresh_ssse3, rk_slot_load_ssse3)
BODY(fresh_avx2, ISA("avx2"), rk_slot_store_fresh_avx2, rk_slot_load_avx2)
BODY(avx512, ISA(RK_CODEC_AVX512), rk_slot_store_avx512, rk_slot_load_avx512)
BODY(fresh_avx512, ISA(RK_CODEC_AVX512), rk_slot_store_fresh_avx512, rk_slot_load_avx512)
#endif

/* Codec @index of all that this CPU runs: the library's, then the inline bodies; NULL at the end. */
static const struct rk_codec *codec_at(unsigned int index)
{
	const struct rk_codec *all[16];
	unsigned int count = 0;

	while (rk_codec_at(count)) {
		all[count] = rk_codec_at(count);
		count++;
	}
	all[count++] = &body_plain;
#ifdef RK_CODEC_X86
	if (__builtin_cpu_supports("ssse3")) {
		all[count++] = &body_ssse3;
		all[count++] = &body_fresh_ssse3;
	}
	if (__builtin_cpu_supports("avx2")) {
		all[count++] = &body_avx2;
		all[count++] = &body_fresh_avx2;
	}
	if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512bw")) {
		all[count++] = &body_avx512;
		all[count++] = &body_fresh_avx512;
	}
#endif
	return index < count ? all[index] : NULL;
}

/* The format as rk_slot.h draws it, a byte at a time: what even the plain body is held against. */
static void pack_by_bytes(struct rk_slot *slot, uint64_t tag, const uint8_t *cell)
{
	for (uint32_t word = 0; word < RK_SLOT_WORDS; word++) {
		slot->word[word] = tag;
		for (uint32_t byte = 0; byte < RK_WORD_CELL_BYTES; byte++)
			slot->word[word] |= (uint64_t)cell[7 * word + byte] << (8 * byte);
	}
}

static void fill_random(void *memory, size_t bytes)
{
	uint8_t *out = memory;

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)aid_random(&state);
}

static uint64_t random_tag(void)
{
	return aid_random(&state) & RK_WORD_TAG_MASK;
}

static bool only_guard_in(const uint8_t *memory, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (memory[i] != GUARD)
			return false;
	return true;
}

/* --- Tests --- */

static void test_packing_is_the_format_byte_for_byte(void **unused)
{
	static struct rk_slot slots[MOST + 2], expected[MOST];
	uint8_t room[MOST * RK_CELL_BYTES + 16];

	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t count = (uint32_t)aid_below(&state, MOST + 1);
		uint8_t *cells = room + aid_below(&state, 16);
		uint64_t tag = random_tag();
		const struct rk_codec *codec;

		fill_random(cells, (size_t)count * RK_CELL_BYTES);
		for (uint32_t i = 0; i < count; i++)
			pack_by_bytes(&expected[i], tag, cells + (size_t)i * RK_CELL_BYTES);
		for (unsigned int i = 0; (codec = codec_at(i)); i++) {
			memset(slots, GUARD, sizeof(slots));
			codec->pack(slots + 1, tag, cells, count);
			if (memcmp(slots + 1, expected, count * sizeof(*slots)) ||
			    !only_guard_in((uint8_t *)slots, sizeof(*slots)) ||
			    !only_guard_in((uint8_t *)(slots + 1 + count),
					   sizeof(*slots) * (MOST + 1 - count)))
				fail_msg("codec %s, %u cells, RK_SEED=%llu", codec->name, count,
					 (unsigned long long)aid_seed);
		}
	}
}

static void test_unpacking_gives_back_the_cells(void **unused)
{
	static struct rk_slot slots[MOST], before[MOST];
	uint8_t cells[MOST * RK_CELL_BYTES], room[MOST * RK_CELL_BYTES + 64];

	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t count = (uint32_t)aid_below(&state, MOST + 1);
		size_t front = aid_below(&state, 16), bytes = (size_t)count * RK_CELL_BYTES;
		uint64_t tag = random_tag();
		const struct rk_codec *codec;

		fill_random(cells, bytes);
		for (uint32_t i = 0; i < count; i++)
			pack_by_bytes(&slots[i], tag, cells + (size_t)i * RK_CELL_BYTES);
		memcpy(before, slots, sizeof(slots));
		for (unsigned int i = 0; (codec = codec_at(i)); i++) {
			memset(room, GUARD, sizeof(room));
			if (codec->unpack(slots, tag, room + front, count, round & 1) != count ||
			    memcmp(room + front, cells, bytes) || !only_guard_in(room, front) ||
			    !only_guard_in(room + front + bytes, sizeof(room) - front - bytes) ||
			    memcmp(before, slots, sizeof(slots)))
				fail_msg("codec %s, %u cells, RK_SEED=%llu", codec->name, count,
					 (unsigned long long)aid_seed);
		}
	}
}

/* Each of the eight words with each of the 255 wrong tags. */
static void test_one_stale_word_refuses_the_slot(void **unused)
{
	struct rk_slot slot;
	uint8_t cell[RK_CELL_BYTES], out[RK_CELL_BYTES];
	const struct rk_codec *codec;
	uint64_t tag = random_tag();
	unsigned int refused = 0;

	(void)unused;
	fill_random(cell, sizeof(cell));
	pack_by_bytes(&slot, tag, cell);
	for (unsigned int i = 0; (codec = codec_at(i)); i++) {
		for (uint32_t word = 0; word < RK_SLOT_WORDS; word++) {
			for (uint64_t off = 1; off < 256; off++) {
				slot.word[word] ^= off << RK_WORD_CELL_BITS;
				memset(out, GUARD, sizeof(out));
				if (codec->unpack(&slot, tag, out, 1, true) ||
				    !only_guard_in(out, sizeof(out)))
					fail_msg("codec %s: word %u, tag off by %llu", codec->name,
						 word, (unsigned long long)off);
				slot.word[word] ^= off << RK_WORD_CELL_BITS;
				refused++;
			}
		}
		assert_int_equal(codec->unpack(&slot, tag, out, 1, false), 1);
		assert_int_equal(refused, (i + 1) * 8 * 255);
	}
}

/* Two stale words whose differences would cancel in a sum or an exclusive or. */
static void test_two_equally_stale_words_refuse_the_slot(void **unused)
{
	const struct rk_codec *codec;
	uint8_t cell[RK_CELL_BYTES] = {0}, out[RK_CELL_BYTES];
	struct rk_slot slot;

	(void)unused;
	pack_by_bytes(&slot, 0, cell);
	for (unsigned int i = 0; (codec = codec_at(i)); i++)
		for (uint32_t a = 0; a < RK_SLOT_WORDS; a++)
			for (uint32_t b = 0; b < a; b++)
				for (uint32_t bit = 56; bit < 64; bit++) {
					slot.word[a] ^= 1ULL << bit;
					slot.word[b] ^= 1ULL << bit;
					if (codec->unpack(&slot, 0, out, 1, false))
						fail_msg("codec %s: words %u and %u, bit %u",
							 codec->name, a, b, bit);
					slot.word[a] ^= 1ULL << bit;
					slot.word[b] ^= 1ULL << bit;
				}
}

static void test_a_run_stops_at_its_first_stale_slot(void **unused)
{
	static struct rk_slot slots[MOST];
	uint8_t cells[MOST * RK_CELL_BYTES], out[MOST * RK_CELL_BYTES];
	const struct rk_codec *codec;

	(void)unused;
	for (unsigned int i = 0; (codec = codec_at(i)); i++) {
		for (uint32_t count = 0; count <= MOST; count++) {
			uint32_t stale = (uint32_t)aid_below(&state, count + 1);
			uint64_t tag = random_tag();

			fill_random(cells, sizeof(cells));
			codec->pack(slots, tag, cells, count);
			if (stale < count)
				slots[stale].word[aid_below(&state, 8)] += 1ULL << 56;
			memset(out, GUARD, sizeof(out));
			assert_int_equal(codec->unpack(slots, tag, out, count, true), stale);
			assert_memory_equal(out, cells, (size_t)stale * RK_CELL_BYTES);
			assert_true(only_guard_in(out + (size_t)stale * RK_CELL_BYTES,
						  sizeof(out) - (size_t)stale * RK_CELL_BYTES));
		}
	}
}

/* Cells and slots at both ends of a page between pages that fault. */
static void test_nothing_beyond_the_page_is_reached(void **unused)
{
	char *cells = aid_guarded(1), *slots = aid_guarded(1);
	uint8_t expected[MOST * RK_CELL_BYTES];
	const struct rk_codec *codec;

	(void)unused;
	for (unsigned int i = 0; (codec = codec_at(i)); i++) {
		for (uint32_t count = 0; count <= MOST; count++) {
			size_t bytes = (size_t)count * RK_CELL_BYTES;

			for (int ends = 0; ends < 4; ends++) {
				char *in = cells + (ends & 1 ? RK_PAGE_BYTES - bytes : 0);
				struct rk_slot *at = (struct rk_slot *)(slots +
					(ends & 2 ? RK_PAGE_BYTES - count * sizeof(*at) : 0));
				uint64_t tag = random_tag();

				fill_random(in, bytes);
				memcpy(expected, in, bytes);
				codec->pack(at, tag, in, count);
				memset(in, 0, bytes);
				assert_int_equal(codec->unpack(at, tag, in, count, true), count);
				assert_memory_equal(in, expected, bytes);
			}
		}
	}
	aid_unguard(cells, 1);
	aid_unguard(slots, 1);
}

static void test_a_touch_changes_no_word(void **unused)
{
	struct rk_slot slot, before;

	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		fill_random(&slot, sizeof(slot));
		before = slot;
		rk_slot_touch(&slot);
		assert_memory_equal(&slot, &before, sizeof(slot));
	}
}

static void test_tags_follow_the_lap(void **unused)
{
	(void)unused;
	for (uint32_t log2 = 1; log2 <= 31; log2++) {
		uint64_t capacity = 1ULL << log2;

		assert_true(rk_slot_tag(0, log2) == 1ULL << 56);
		assert_true(rk_slot_tag(capacity - 1, log2) == 1ULL << 56);
		assert_true(rk_slot_tag(capacity, log2) == 2ULL << 56);
		assert_true(rk_slot_tag(254 * capacity, log2) == 255ULL << 56);
		assert_true(rk_slot_tag(255 * capacity, log2) == 0);
		assert_true(rk_slot_tag(256 * capacity, log2) == 1ULL << 56);
		/* The last lap before 2^64 and the first after it differ too. */
		assert_true(rk_slot_tag(UINT64_MAX, log2) == 0);
	}
}

static void test_the_environment_names_the_codec(void **unused)
{
	const struct rk_codec *codec;
	unsigned int count = 0;

	(void)unused;
	for (; (codec = rk_codec_at(count)); count++) {
		setenv("RK_CODEC", codec->name, 1);
		assert_ptr_equal(rk_codec_best(), codec);
		assert_string_equal(rk_codec_far()->name, codec->name);
	}
	assert_true(count >= 1);
	assert_string_equal(rk_codec_at(count - 1)->name, "plain");
	assert_null(rk_codec_at(count + 1));
	setenv("RK_CODEC", "abacus", 1);
	assert_ptr_equal(rk_codec_best(), rk_codec_at(0));
	unsetenv("RK_CODEC");
	assert_ptr_equal(rk_codec_best(), rk_codec_at(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packing_is_the_format_byte_for_byte),
		cmocka_unit_test(test_unpacking_gives_back_the_cells),
		cmocka_unit_test(test_one_stale_word_refuses_the_slot),
		cmocka_unit_test(test_two_equally_stale_words_refuse_the_slot),
		cmocka_unit_test(test_a_run_stops_at_its_first_stale_slot),
		cmocka_unit_test(test_nothing_beyond_the_page_is_reached),
		cmocka_unit_test(test_a_touch_changes_no_word),
		cmocka_unit_test(test_tags_follow_the_lap),
		cmocka_unit_test(test_the_environment_names_the_codec),
	};

	state = aid_choose_seed(20240607);
	aid_watchdog(300);
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
