/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the parts of the benchmark share: the payload, the waits, a candidate's functions.
 *
 * A candidate is one queue driven in one way: one message a call, or up to BENCH_BATCH a call. All
 * of them carry the same 48 bytes, written word by word by the producer and compared word by word
 * by the consumer, in elements of one cache line. Compiles as C11 and C++17.
 */
#ifndef BENCH_H
#define BENCH_H

#include "rk_base.h"
#include "rk_wake.h"

#include <stdbool.h>

#define BENCH_BATCH	    32
#define BENCH_PAYLOAD_WORDS 6

/* How a loop waits when it finds its ring full or empty: peers are given the choice of all. */
enum bench_wait {
	BENCH_SPIN,    /* not at all */
	BENCH_PAUSE,   /* one pause instruction, as most programs do */
	BENCH_BACKOFF, /* struct rk_spin, our own */
	BENCH_WAITS,
};

enum bench_kind {
	BENCH_SINGLE, /* one message a call */
	BENCH_BULK,   /* many messages a call */
	BENCH_BOUND,  /* no queue: what the memory system gives at most */
};

/* One line, as peers carry it. */
struct bench_element {
	uint64_t word[BENCH_PAYLOAD_WORDS];
	uint64_t unused[2];
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));

/* The two ends of a burst, and of a ping-pong through two rings. */
struct bench_loops {
	void (*produce)(void *ring, uint64_t first, uint64_t count);
	bool (*consume)(void *ring, uint64_t first, uint64_t count); /* true: something was wrong */
	bool (*ping)(void *out, void *in, uint32_t *trip_ticks, uint64_t count); /* the same */
	bool (*echo)(void *in, void *out, uint64_t count);			 /* the same */
};

/**
 * struct bench_candidate - a queue, driven in one way
 * @name: for people
 * @skipped: why it cannot be measured, or NULL; then nothing below is set
 * @ours: RingKernel's
 * @kind: what it may be compared with
 * @open: make a ring of @capacity elements; 0 or -errno
 * @close: free it
 * @loops: by enum bench_wait; ours has BENCH_BACKOFF alone
 * @alone: push and pop in one thread; true: something was wrong
 */
struct bench_candidate {
	const char *name;
	const char *skipped;
	bool ours;
	enum bench_kind kind;
	int (*open)(void **ring, uint32_t capacity);
	void (*close)(void *ring);
	struct bench_loops loops[BENCH_WAITS];
	bool (*alone)(void *ring, uint64_t count);
};

RK_BEGIN_DECLS

extern const struct bench_candidate bench_ours_single, bench_ours_batch;
extern const struct bench_candidate bench_ours_single_no_touch, bench_ours_batch_no_touch;
extern const struct bench_candidate bench_ours_single_plain, bench_ours_batch_plain;
extern const struct bench_candidate bench_lamport, bench_stream;
extern const struct bench_candidate bench_rte_single, bench_rte_bulk, bench_rte_in_place;
extern const struct bench_candidate bench_ck;
extern const struct bench_candidate bench_boost_single, bench_boost_bulk;
extern const struct bench_candidate bench_moodycamel, bench_atomic_queue;

RK_END_DECLS

/* Two words at once, over any type, a message's body among them: as wide as every x86-64 has it. */
typedef uint64_t bench_words __attribute__((vector_size(16), aligned(8), may_alias));

enum { BENCH_PAYLOAD_PAIRS = BENCH_PAYLOAD_WORDS / 2 };

static inline __attribute__((always_inline)) bench_words bench_words_of(uint64_t sequence, int pair)
{
	static const bench_words salt[BENCH_PAYLOAD_PAIRS] = {
		{0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9},
		{0x94d049bb133111eb, 0xd6e8feb86659fd93},
		{0xa0761d6478bd642f, 0xe7037ed1a0b428db}};

	return salt[pair] ^ sequence;
}

static inline __attribute__((always_inline)) void bench_fill(void *payload, uint64_t sequence)
{
	bench_words *words = (bench_words *)payload;

	for (int i = 0; i < BENCH_PAYLOAD_PAIRS; i++)
		words[i] = bench_words_of(sequence, i);
}

/* Bits in which any message so far was not as bench_fill() writes it. */
struct bench_check {
	bench_words difference[BENCH_PAYLOAD_PAIRS];
};

static inline __attribute__((always_inline)) void
bench_compare(struct bench_check *check, const void *payload, uint64_t sequence)
{
	const bench_words *words = (const bench_words *)payload;

	for (int i = 0; i < BENCH_PAYLOAD_PAIRS; i++)
		check->difference[i] |= words[i] ^ bench_words_of(sequence, i);
}

static inline bool bench_is_wrong(const struct bench_check *check)
{
	bench_words difference = check->difference[0] | check->difference[1] | check->difference[2];

	return (difference[0] | difference[1]) != 0;
}

static inline uint32_t bench_most(uint64_t left, uint32_t batch)
{
	return left < batch ? (uint32_t)left : batch;
}

static inline __attribute__((always_inline)) void bench_miss(enum bench_wait wait,
							     struct rk_spin *spin)
{
#if defined(__x86_64__)
	if (wait == BENCH_PAUSE)
		_mm_pause();
#endif
	if (wait == BENCH_BACKOFF)
		rk_spin_miss(spin);
}

static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
#error "bench_ticks: this CPU's clock is not known"
#endif
}

#endif
