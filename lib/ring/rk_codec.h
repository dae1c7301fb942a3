/* SPDX-License-Identifier: MIT */
/*
 * rk_codec.h - packs cells into slots and unpacks them, one body for each instruction set.
 *
 * All bodies are equal byte for byte; tests hold each against the plain one. The library picks
 * one at run time for its batch calls; a program compiled for AVX-512 VBMI gets that one inline
 * in rk_ring_send() and rk_ring_recv(), every other program the plain one, which needs nothing.
 *
 * A vector store of a slot is one 64-byte, or two 32-byte, or four 16-byte stores. x86 sees each
 * aligned 8-byte part of them whole, which is all that the format asks. The part with word 0 is
 * stored last (rk_slot.h says why), hence the compiler barriers.
 */
#ifndef RK_CODEC_H
#define RK_CODEC_H

#include "rk_slot.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__CUDA_ARCH__)
#define RK_CODEC_X86 1
#include <immintrin.h>
#endif

/* The race detector sees 8-byte atomics, not the parts of a vector store: under it, plain C. */
#if defined(__SANITIZE_THREAD__)
#define RK_CODEC_PLAIN_ONLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RK_CODEC_PLAIN_ONLY 1
#endif
#endif

/* What rk_ring_send() and rk_ring_recv() inline where they are compiled for it. */
#if defined(__AVX512VBMI__) && defined(__AVX512VL__) && !defined(RK_CODEC_PLAIN_ONLY)
#define RK_CODEC_INLINE_AVX512 1
#endif

#define RK_CODEC_INLINE static inline __attribute__((always_inline, unused))
#define RK_CODEC_TARGET(isa) static inline __attribute__((always_inline, unused, target(isa)))
#define RK_CODEC_AVX512 "avx512f,avx512bw,avx512vl,avx512vbmi"

/*
 * Keeps the compiler from moving other memory accesses across the access to word 0, before a store
 * of it and after a load; x86 itself does not. So R0 and A0 below hold in the vector bodies too.
 */
#define rk_codec_barrier() __asm__ volatile("" ::: "memory")

/*
 * What was stored through a write-combined mapping leaves the CPU, before all that is stored after.
 *
 * Such stores gather in a 64-byte buffer of the CPU. One that is full leaves at once, by one bus
 * transaction; one that is not stays until something pushes it out, which may take a millisecond.
 * A whole-line store (AVX-512) always fills a buffer: no flush, ever. Two 32-byte stores (AVX2),
 * four of 16 (SSE) or eight words (plain) fill it too, unless an interrupt between them empties it
 * half way: then the rest would sit in a new buffer that nothing fills. So after those, sfence once
 * a call, for promptness alone: whatever the order in which parts arrive, a slot validates itself.
 * A credit is one word of a line and needs it always.
 */
RK_CODEC_INLINE void rk_codec_flush(void)
{
#if defined(__x86_64__)
	_mm_sfence();
#elif defined(__aarch64__)
	__asm__ volatile("dsb st" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Word 7 is rewritten as read, its old tag included: the line becomes the consumer's, and the
 * producer's next store to it costs an order less (1 ns against 8 between two cores). The credit
 * that frees the slot is stored after it, with release (R1 in rk_ring.h).
 */
RK_CODEC_INLINE void rk_slot_touch(struct rk_slot *slot)
{
	uint64_t word = __atomic_load_n(&slot->word[7], __ATOMIC_RELAXED);

	__atomic_store_n(&slot->word[7], word, __ATOMIC_RELAXED);
}

/*
 * The words validate themselves, so for them relaxed is enough. Word 0 alone is stored with release
 * and loaded with acquire (R0 and A0, a plain mov on x86): so between host threads a message may
 * carry a pointer to memory that its sender wrote before.
 */
RK_CODEC_INLINE void rk_slot_store_plain(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	uint64_t in[7];

	memcpy(in, cell, sizeof(in));
	for (uint32_t i = RK_SLOT_WORDS; i-- > 1;)
		__atomic_store_n(&slot->word[i], rk_slot_word(in, i) | tag, __ATOMIC_RELAXED);
	/* R0: pairs with A0 in rk_slot_load_plain(), and what the sender wrote is seen with it. */
	__atomic_store_n(&slot->word[0], rk_slot_word(in, 0) | tag, __ATOMIC_RELEASE);
}

RK_CODEC_INLINE bool rk_slot_load_plain(const struct rk_slot *slot, uint64_t tag, void *cell)
{
	uint64_t word[RK_SLOT_WORDS], stale = 0;
	char *out = (char *)cell;

	/* A0: pairs with R0 in rk_slot_store_plain(). */
	word[0] = __atomic_load_n(&slot->word[0], __ATOMIC_ACQUIRE);
	stale = word[0] ^ tag;
	for (uint32_t i = 1; i < RK_SLOT_WORDS; i++) {
		word[i] = __atomic_load_n(&slot->word[i], __ATOMIC_RELAXED);
		stale |= word[i] ^ tag;
	}
	if (stale & RK_WORD_TAG_MASK)
		return false;
	for (uint32_t i = 0; i < 7; i++) {
		uint64_t bytes = rk_slot_cell(word, i);

		memcpy(out + 8 * i, &bytes, sizeof(bytes));
	}
	return true;
}

#ifdef RK_CODEC_X86

/* Two words a 16-byte lane: byte 7 of each is the tag (index with the top bit set gives zero). */
#define RK_SPREAD_14 0, 1, 2, 3, 4, 5, 6, -1, 7, 8, 9, 10, 11, 12, 13, -1
#define RK_GATHER_14 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, -1, -1
/* The last lane is loaded two bytes early, so as not to read past the cell. */
#define RK_SPREAD_14_LATE 2, 3, 4, 5, 6, 7, 8, -1, 9, 10, 11, 12, 13, 14, 15, -1

/*
 * A cell that the caller has only just written, in quarters. A load over several stores cannot be
 * forwarded and waits for them to leave the store buffer (18 ns). So nothing is loaded wider than
 * it is likely to have been stored: the halves of the header, 8 bytes of the body. By vector
 * instructions, for compilers join scalar loads to the wide one that is to be avoided.
 */
RK_CODEC_TARGET("ssse3")
void rk_codec_load_fresh(__m128i quarter[4], const void *cell)
{
	const char *in = (const char *)cell;
	int head[2];

	memcpy(&head[0], in, 4);
	memcpy(&head[1], in + 4, 4);
	quarter[0] = _mm_unpacklo_epi32(_mm_cvtsi32_si128(head[0]), _mm_cvtsi32_si128(head[1]));
	quarter[1] = _mm_loadl_epi64((const __m128i *)(in + 16));
	quarter[2] = _mm_loadl_epi64((const __m128i *)(in + 32));
	quarter[3] = _mm_loadl_epi64((const __m128i *)(in + 48));
	for (int i = 0; i < 3; i++)
		quarter[i] = _mm_unpacklo_epi64(
			quarter[i], _mm_loadl_epi64((const __m128i *)(in + 16 * i + 8)));
}

/* The same as four lanes of 14 bytes, spread over the words of a slot. */
RK_CODEC_TARGET("ssse3")
void rk_codec_spread_fresh(__m128i lane[4], const void *cell, uint64_t tag)
{
	const __m128i spread = _mm_setr_epi8(RK_SPREAD_14);
	const __m128i tags = _mm_set1_epi64x((long long)tag);
	__m128i in[4];

	rk_codec_load_fresh(in, cell);
	lane[0] = in[0];
	lane[1] = _mm_alignr_epi8(in[1], in[0], 14);
	lane[2] = _mm_alignr_epi8(in[2], in[1], 12);
	lane[3] = _mm_alignr_epi8(in[3], in[2], 10);
	for (int i = 0; i < 4; i++)
		lane[i] = _mm_or_si128(_mm_shuffle_epi8(lane[i], spread), tags);
}

/*
 * Four lanes of a slot to its cell. The stores are cut where the header ends, not at multiples of
 * 14 or 16: so the caller's loads of the body right after lie each in one store and are forwarded.
 */
RK_CODEC_TARGET("ssse3")
void rk_codec_gather(void *cell, __m128i a, __m128i b, __m128i c, __m128i d)
{
	const __m128i gather = _mm_setr_epi8(RK_GATHER_14);
	char *out = (char *)cell;

	a = _mm_shuffle_epi8(a, gather);
	b = _mm_shuffle_epi8(b, gather);
	c = _mm_shuffle_epi8(c, gather);
	d = _mm_shuffle_epi8(d, gather);
	_mm_storel_epi64((__m128i *)out, a);
	_mm_storeu_si128((__m128i *)(out + 8),
			 _mm_or_si128(_mm_srli_si128(a, 8), _mm_slli_si128(b, 6)));
	_mm_storeu_si128((__m128i *)(out + 24),
			 _mm_or_si128(_mm_srli_si128(b, 10), _mm_slli_si128(c, 4)));
	_mm_storeu_si128((__m128i *)(out + 40),
			 _mm_or_si128(_mm_srli_si128(c, 12), _mm_slli_si128(d, 2)));
}

RK_CODEC_TARGET("ssse3")
void rk_slot_store_ssse3(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	const __m128i spread = _mm_setr_epi8(RK_SPREAD_14);
	const __m128i late = _mm_setr_epi8(RK_SPREAD_14_LATE);
	const __m128i tags = _mm_set1_epi64x((long long)tag);
	const char *in = (const char *)cell;
	__m128i *out = (__m128i *)slot;
	__m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + 0)), spread);
	__m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + 14)), spread);
	__m128i c = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + 28)), spread);
	__m128i d = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + 40)), late);

	_mm_store_si128(out + 3, _mm_or_si128(d, tags));
	_mm_store_si128(out + 2, _mm_or_si128(c, tags));
	_mm_store_si128(out + 1, _mm_or_si128(b, tags));
	rk_codec_barrier();
	_mm_store_si128(out + 0, _mm_or_si128(a, tags));
}

RK_CODEC_TARGET("ssse3")
void rk_slot_store_fresh_ssse3(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	__m128i *out = (__m128i *)slot;
	__m128i lane[4];

	rk_codec_spread_fresh(lane, cell, tag);
	_mm_store_si128(out + 3, lane[3]);
	_mm_store_si128(out + 2, lane[2]);
	_mm_store_si128(out + 1, lane[1]);
	rk_codec_barrier();
	_mm_store_si128(out + 0, lane[0]);
}

RK_CODEC_TARGET("ssse3")
bool rk_slot_load_ssse3(const struct rk_slot *slot, uint64_t tag, void *cell)
{
	const __m128i tags = _mm_set1_epi64x((long long)tag);
	const __m128i *in = (const __m128i *)slot;
	__m128i a = _mm_load_si128(in + 0), b = _mm_load_si128(in + 1);
	__m128i c = _mm_load_si128(in + 2), d = _mm_load_si128(in + 3);
	__m128i stale = _mm_or_si128(_mm_or_si128(_mm_xor_si128(a, tags), _mm_xor_si128(b, tags)),
				     _mm_or_si128(_mm_xor_si128(c, tags), _mm_xor_si128(d, tags)));

	/* Tags are bytes 7 and 15: equal where the differences of all lanes are zero. */
	if ((_mm_movemask_epi8(_mm_cmpeq_epi8(stale, _mm_setzero_si128())) & 0x8080) != 0x8080)
		return false;
	rk_codec_barrier();
	rk_codec_gather(cell, a, b, c, d);
	return true;
}

RK_CODEC_TARGET("avx2")
void rk_slot_store_avx2(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	const __m256i spread = _mm256_setr_epi8(RK_SPREAD_14, RK_SPREAD_14);
	const __m256i late = _mm256_setr_epi8(RK_SPREAD_14, RK_SPREAD_14_LATE);
	const __m256i tags = _mm256_set1_epi64x((long long)tag);
	const char *in = (const char *)cell;
	__m256i low = _mm256_loadu2_m128i((const __m128i *)(in + 14), (const __m128i *)in);
	__m256i high =
		_mm256_loadu2_m128i((const __m128i *)(in + 40), (const __m128i *)(in + 28));

	high = _mm256_or_si256(_mm256_shuffle_epi8(high, late), tags);
	low = _mm256_or_si256(_mm256_shuffle_epi8(low, spread), tags);
	_mm256_store_si256((__m256i *)slot + 1, high);
	rk_codec_barrier();
	_mm256_store_si256((__m256i *)slot, low);
}

RK_CODEC_TARGET("avx2")
void rk_slot_store_fresh_avx2(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	__m128i lane[4];

	rk_codec_spread_fresh(lane, cell, tag);
	_mm256_store_si256((__m256i *)slot + 1, _mm256_set_m128i(lane[3], lane[2]));
	rk_codec_barrier();
	_mm256_store_si256((__m256i *)slot, _mm256_set_m128i(lane[1], lane[0]));
}

RK_CODEC_TARGET("avx2")
bool rk_slot_load_avx2(const struct rk_slot *slot, uint64_t tag, void *cell)
{
	const __m256i tags = _mm256_set1_epi64x((long long)tag);
	__m256i low = _mm256_load_si256((const __m256i *)slot);
	__m256i high = _mm256_load_si256((const __m256i *)slot + 1);
	__m256i stale = _mm256_or_si256(_mm256_xor_si256(low, tags), _mm256_xor_si256(high, tags));

	if (!_mm256_testz_si256(stale, _mm256_set1_epi64x((long long)RK_WORD_TAG_MASK)))
		return false;
	rk_codec_barrier();
	rk_codec_gather(cell, _mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1),
			_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
	return true;
}

/* Byte 8i+j of the slot is byte 7i+j of the cell; byte 7 of each word is left to the tag. */
#define RK_SPREAD_WORD(i)                                                                          \
	7 * (i), 7 * (i) + 1, 7 * (i) + 2, 7 * (i) + 3, 7 * (i) + 4, 7 * (i) + 5, 7 * (i) + 6, 63
#define RK_GATHER_WORD(i)                                                                          \
	(8 * (i)) / 7 * 8 + (8 * (i)) % 7, (8 * (i) + 1) / 7 * 8 + (8 * (i) + 1) % 7,              \
		(8 * (i) + 2) / 7 * 8 + (8 * (i) + 2) % 7,                                         \
		(8 * (i) + 3) / 7 * 8 + (8 * (i) + 3) % 7,                                         \
		(8 * (i) + 4) / 7 * 8 + (8 * (i) + 4) % 7,                                         \
		(8 * (i) + 5) / 7 * 8 + (8 * (i) + 5) % 7,                                         \
		(8 * (i) + 6) / 7 * 8 + (8 * (i) + 6) % 7,                                         \
		(8 * (i) + 7) / 7 * 8 + (8 * (i) + 7) % 7

static const uint8_t rk_codec_spread_bytes[64] __attribute__((aligned(64), unused)) = {
	RK_SPREAD_WORD(0), RK_SPREAD_WORD(1), RK_SPREAD_WORD(2), RK_SPREAD_WORD(3),
	RK_SPREAD_WORD(4), RK_SPREAD_WORD(5), RK_SPREAD_WORD(6), RK_SPREAD_WORD(7)};
/* The header last: bytes 0..47 are the body, in whole 16-byte lanes, and 48..55 the header. */
#define RK_BODY_FIRST(c) ((c) < 8 ? 48 + (c) : (c) == 63 ? 63 : (c) - 8)
#define RK_SPREAD_FRESH(i)                                                                         \
	RK_BODY_FIRST(7 * (i)), RK_BODY_FIRST(7 * (i) + 1), RK_BODY_FIRST(7 * (i) + 2),            \
		RK_BODY_FIRST(7 * (i) + 3), RK_BODY_FIRST(7 * (i) + 4), RK_BODY_FIRST(7 * (i) + 5), \
		RK_BODY_FIRST(7 * (i) + 6), 63
static const uint8_t rk_codec_spread_fresh_bytes[64] __attribute__((aligned(64), unused)) = {
	RK_SPREAD_FRESH(0), RK_SPREAD_FRESH(1), RK_SPREAD_FRESH(2), RK_SPREAD_FRESH(3),
	RK_SPREAD_FRESH(4), RK_SPREAD_FRESH(5), RK_SPREAD_FRESH(6), RK_SPREAD_FRESH(7)};
static const uint8_t rk_codec_gather_bytes[64] __attribute__((aligned(64), unused)) = {
	RK_GATHER_WORD(1), RK_GATHER_WORD(2), RK_GATHER_WORD(3), RK_GATHER_WORD(4),
	RK_GATHER_WORD(5), RK_GATHER_WORD(6), RK_GATHER_WORD(0)};

#define RK_TAG_BYTES 0x8080808080808080ULL
#define RK_LOW_56_BYTES 0x00ffffffffffffffULL

/* @order: rk_codec_spread_bytes for a cell as it lies in memory, or one for another order. */
RK_CODEC_TARGET(RK_CODEC_AVX512)
__m512i rk_slot_pack_avx512(__m512i cell, uint64_t tag, const uint8_t *order)
{
	const __m512i spread = _mm512_load_si512(order);

	return _mm512_mask_permutexvar_epi8(_mm512_set1_epi64((long long)tag), ~RK_TAG_BYTES,
					    spread, cell);
}

/* For a cell that has lain in memory for a while: one 56-byte load. */
RK_CODEC_TARGET(RK_CODEC_AVX512)
void rk_slot_store_avx512(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	__m512i in = _mm512_maskz_loadu_epi8(RK_LOW_56_BYTES, cell);

	rk_codec_barrier();
	_mm512_store_si512(slot, rk_slot_pack_avx512(in, tag, rk_codec_spread_bytes));
}

/* As rk_codec_load_fresh(), but in lanes of the body: what is in registers already stays there. */
RK_CODEC_TARGET(RK_CODEC_AVX512)
void rk_slot_store_fresh_avx512(struct rk_slot *slot, uint64_t tag, const void *cell)
{
	const char *in = (const char *)cell;
	__m128i lane[4];
	__m512i bytes;
	int head[2];

	memcpy(&head[0], in, 4);
	memcpy(&head[1], in + 4, 4);
	for (int i = 0; i < 3; i++)
		lane[i] = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(in + 8 + 16 * i)),
					     _mm_loadl_epi64((const __m128i *)(in + 16 + 16 * i)));
	lane[3] = _mm_unpacklo_epi32(_mm_cvtsi32_si128(head[0]), _mm_cvtsi32_si128(head[1]));
	bytes = _mm512_castsi256_si512(_mm256_set_m128i(lane[1], lane[0]));
	bytes = _mm512_inserti64x4(bytes, _mm256_set_m128i(lane[3], lane[2]), 1);
	rk_codec_barrier();
	_mm512_store_si512(slot, rk_slot_pack_avx512(bytes, tag, rk_codec_spread_fresh_bytes));
}

/* Whole stores, not one masked, cut where the header ends: rk_codec_gather() says why. */
RK_CODEC_TARGET(RK_CODEC_AVX512)
void rk_slot_unpack_avx512(__m512i slot, void *cell)
{
	__m512i bytes = _mm512_permutexvar_epi8(_mm512_load_si512(rk_codec_gather_bytes), slot);
	char *out = (char *)cell;

	_mm_storel_epi64((__m128i *)out, _mm512_extracti32x4_epi32(bytes, 3));
	_mm256_storeu_si256((__m256i *)(out + 8), _mm512_castsi512_si256(bytes));
	_mm_storeu_si128((__m128i *)(out + 40), _mm512_extracti32x4_epi32(bytes, 2));
}

RK_CODEC_TARGET(RK_CODEC_AVX512)
bool rk_slot_load_avx512(const struct rk_slot *slot, uint64_t tag, void *cell)
{
	__m512i in = _mm512_load_si512(slot);
	__m512i stale = _mm512_xor_si512(in, _mm512_set1_epi64((long long)tag));

	if (_mm512_test_epi64_mask(stale, _mm512_set1_epi64((long long)RK_WORD_TAG_MASK)))
		return false;
	rk_codec_barrier();
	rk_slot_unpack_avx512(in, cell);
	return true;
}

#endif /* RK_CODEC_X86 */

/**
 * struct rk_codec - one instruction set's bodies, over runs of slots
 * @name: "avx512vbmi", "avx2", "ssse3" or "plain"
 * @pack: store @count cells into @count consecutive slots of one lap, in ascending order
 * @unpack: load up to @count cells, stopping at the first slot that is not valid; touch each
 *          slot read if @touch; returns how many
 */
struct rk_codec {
	const char *name;
	void (*pack)(struct rk_slot *slots, uint64_t tag, const void *cells, uint32_t count);
	uint32_t (*unpack)(struct rk_slot *slots, uint64_t tag, void *cells, uint32_t count,
			   bool touch);
};

RK_BEGIN_DECLS

/**
 * rk_codec_best() - the fastest codec that this CPU runs
 *
 * The environment variable RK_CODEC names another one that the CPU runs, for tests.
 *
 * Context: any thread, host; never sleeps.
 * Return: a codec, never NULL, static storage.
 */
RK_API const struct rk_codec *rk_codec_best(void);

/**
 * rk_codec_far() - the fastest codec for slots that are mapped write-combined
 *
 * The bodies of rk_codec_best(); those that do not store whole lines flush at the end of a call:
 * rk_codec_flush() says why.
 *
 * Context: any thread, host; never sleeps.
 * Return: a codec, never NULL, static storage.
 */
RK_API const struct rk_codec *rk_codec_far(void);

/**
 * rk_codec_at() - walk the codecs that this CPU runs
 * @index: from 0, best first
 *
 * Context: any thread, host; never sleeps.
 * Return: a codec, or NULL past the last; the last is always "plain".
 */
RK_API const struct rk_codec *rk_codec_at(unsigned int index);

RK_END_DECLS

#endif
