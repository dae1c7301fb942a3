// SPDX-License-Identifier: MIT
/* The codecs over runs of slots, and the choice among them. */
#include "ring/rk_codec.h"

#include <stdlib.h>

#if defined(RK_CODEC_X86) && !defined(RK_CODEC_PLAIN_ONLY)
#define VECTORS 1
#else
#define VECTORS 0
#endif

/*
 * One body for all: the macros' names are inlined with the instruction set of the function. A cell
 * alone is one that rk_ring_send() was given, and likely to be FRESH.
 */
#define DEFINE_CODEC(isa, attribute, STORE, FRESH, LOAD)                                           \
	attribute static void pack_##isa(struct rk_slot *slots, uint64_t tag, const void *cells,   \
					 uint32_t count)                                           \
	{                                                                                          \
		const char *in = cells;                                                            \
                                                                                                   \
		if (count == 1) {                                                                  \
			FRESH(slots, tag, in);                                                     \
			return;                                                                    \
		}                                                                                  \
		for (uint32_t i = 0; i < count; i++)                                               \
			STORE(slots + i, tag, in + (size_t)i * RK_CELL_BYTES);                     \
	}                                                                                          \
	attribute static uint32_t unpack_##isa(struct rk_slot *slots, uint64_t tag, void *cells,   \
					       uint32_t count, bool touch)                         \
	{                                                                                          \
		char *out = cells;                                                                 \
		uint32_t i;                                                                        \
                                                                                                   \
		for (i = 0; i < count; i++) {                                                      \
			if (!LOAD(slots + i, tag, out + (size_t)i * RK_CELL_BYTES))                \
				break;                                                             \
			if (touch)                                                                 \
				rk_slot_touch(slots + i);                                          \
		}                                                                                  \
		return i;                                                                          \
	}                                                                                          \
	static void pack_far_##isa(struct rk_slot *slots, uint64_t tag, const void *cells,         \
				   uint32_t count)                                                 \
	{                                                                                          \
		pack_##isa(slots, tag, cells, count);                                              \
		rk_codec_flush();                                                                  \
	}

DEFINE_CODEC(plain, , rk_slot_store_plain, rk_slot_store_plain, rk_slot_load_plain)
static const struct rk_codec plain = {"plain", pack_plain, unpack_plain};
static const struct rk_codec plain_far = {"plain", pack_far_plain, unpack_plain};

#if VECTORS
#define TARGET(isa) __attribute__((target(isa)))
DEFINE_CODEC(ssse3, TARGET("ssse3"), rk_slot_store_ssse3, rk_slot_store_fresh_ssse3,
	     rk_slot_load_ssse3)
DEFINE_CODEC(avx2, TARGET("avx2"), rk_slot_store_avx2, rk_slot_store_fresh_avx2, rk_slot_load_avx2)

TARGET(RK_CODEC_AVX512)
static void pack_avx512(struct rk_slot *slots, uint64_t tag, const void *cells, uint32_t count)
{
	const char *in = cells;

	if (count == 1) {
		rk_slot_store_fresh_avx512(slots, tag, in);
		return;
	}
	/* Each load takes 8 bytes of the next cell along; the last cell has none. */
	for (; count > 1; count--, in += RK_CELL_BYTES) {
		__m512i cell = _mm512_loadu_si512(in);

		rk_codec_barrier();
		_mm512_store_si512(slots++, rk_slot_pack_avx512(cell, tag, rk_codec_spread_bytes));
	}
	if (count)
		rk_slot_store_avx512(slots, tag, in);
}

/* True if all four are slots of the lap. */
TARGET(RK_CODEC_AVX512)
static inline bool are_valid(__m512i a, __m512i b, __m512i c, __m512i d, __m512i tags)
{
	enum { OR_XOR = 0xf6 }; /* truth table of a | (b ^ c) */
	__m512i stale = _mm512_xor_si512(a, tags);

	stale = _mm512_ternarylogic_epi64(stale, b, tags, OR_XOR);
	stale = _mm512_ternarylogic_epi64(stale, c, tags, OR_XOR);
	stale = _mm512_ternarylogic_epi64(stale, d, tags, OR_XOR);
	return !_mm512_test_epi64_mask(stale, _mm512_set1_epi64((long long)RK_WORD_TAG_MASK));
}

/* Four slots with one test, while there are four; then one by one. */
TARGET(RK_CODEC_AVX512)
static uint32_t unpack_avx512(struct rk_slot *slots, uint64_t tag, void *cells, uint32_t count,
			      bool touch)
{
	const __m512i tags = _mm512_set1_epi64((long long)tag);
	char *out = cells;
	uint32_t i;

	for (i = 0; i + 4 <= count; i += 4, out += 4 * RK_CELL_BYTES) {
		struct rk_slot *slot = slots + i;
		__m512i a = _mm512_load_si512(slot + 0), b = _mm512_load_si512(slot + 1);
		__m512i c = _mm512_load_si512(slot + 2), d = _mm512_load_si512(slot + 3);

		if (!are_valid(a, b, c, d, tags))
			break;
		rk_codec_barrier();
		rk_slot_unpack_avx512(a, out);
		rk_slot_unpack_avx512(b, out + RK_CELL_BYTES);
		rk_slot_unpack_avx512(c, out + 2 * RK_CELL_BYTES);
		rk_slot_unpack_avx512(d, out + 3 * RK_CELL_BYTES);
		for (int j = 0; touch && j < 4; j++)
			rk_slot_touch(slot + j);
	}
	for (; i < count && rk_slot_load_avx512(slots + i, tag, out); i++, out += RK_CELL_BYTES)
		if (touch)
			rk_slot_touch(slots + i);
	return i;
}

static const struct rk_codec ssse3 = {"ssse3", pack_ssse3, unpack_ssse3};
static const struct rk_codec ssse3_far = {"ssse3", pack_far_ssse3, unpack_ssse3};
static const struct rk_codec avx2 = {"avx2", pack_avx2, unpack_avx2};
static const struct rk_codec avx2_far = {"avx2", pack_far_avx2, unpack_avx2};
static const struct rk_codec avx512 = {"avx512vbmi", pack_avx512, unpack_avx512};
#endif

const struct rk_codec *rk_codec_at(unsigned int index)
{
	const struct rk_codec *found[4];
	unsigned int count = 0;

#if VECTORS
	if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512bw"))
		found[count++] = &avx512;
	if (__builtin_cpu_supports("avx2"))
		found[count++] = &avx2;
	if (__builtin_cpu_supports("ssse3"))
		found[count++] = &ssse3;
#endif
	found[count++] = &plain;
	return index < count ? found[index] : NULL;
}

const struct rk_codec *rk_codec_best(void)
{
	const char *asked = secure_getenv("RK_CODEC");
	const struct rk_codec *codec;

	for (unsigned int i = 0; asked && (codec = rk_codec_at(i)); i++)
		if (!strcmp(codec->name, asked))
			return codec;
	return rk_codec_at(0);
}

const struct rk_codec *rk_codec_far(void)
{
	const struct rk_codec *best = rk_codec_best();

#if VECTORS
	if (best == &avx2)
		return &avx2_far;
	if (best == &ssse3)
		return &ssse3_far;
#endif
	return best == &plain ? &plain_far : best;
}
