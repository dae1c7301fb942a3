/* SPDX-License-Identifier: MIT */
/*
 * loops.h - the loops of one candidate, made from its push and pop. Included once a candidate,
 * without a guard, after defining
 *
 *   CANDIDATE  name of the struct bench_candidate, and prefix of the functions
 *   RING       type of the ring
 *   BATCH      messages a call, at most
 *   PUSH(ring, sequence, most)         messages taken, from @sequence on; 0: full
 *   POP(ring, sequence, most, &check)  messages got, compared with those from @sequence on; 0:
 * empty
 *
 * so that every candidate is measured by the same text, with its own calls inline.
 */
#define LOOP_PASTE(a, b)  a##_##b
#define LOOP_EXPAND(a, b) LOOP_PASTE(a, b)
#define LOOP(name)	  LOOP_EXPAND(CANDIDATE, name)
#define LOOP_INLINE	  static inline __attribute__((always_inline))

LOOP_INLINE void LOOP(send)(RING *ring, uint64_t sequence, uint64_t count, enum bench_wait wait)
{
	struct rk_spin spin = {0};

	for (uint64_t end = sequence + count; sequence != end;) {
		uint32_t taken = PUSH(ring, sequence, bench_most(end - sequence, BATCH));

		sequence += taken;
		if (taken)
			rk_spin_hit(&spin);
		else
			bench_miss(wait, &spin);
	}
}

LOOP_INLINE void LOOP(receive)(RING *ring, uint64_t sequence, uint64_t count,
			       struct bench_check *check, enum bench_wait wait)
{
	struct rk_spin spin = {0};

	for (uint64_t end = sequence + count; sequence != end;) {
		uint32_t got = POP(ring, sequence, bench_most(end - sequence, BATCH), check);

		sequence += got;
		if (got)
			rk_spin_hit(&spin);
		else
			bench_miss(wait, &spin);
	}
}

/* A trip lasts from one answer to the next: nothing between two trips goes unmeasured. */
LOOP_INLINE bool LOOP(trips)(RING *out, RING *in, uint32_t *trip_ticks, uint64_t count,
			     enum bench_wait wait)
{
	struct bench_check check = {{{0}}};
	uint64_t before = bench_ticks(), now;

	for (uint64_t i = 0; i < count; i++) {
		LOOP(send)(out, i, 1, wait);
		LOOP(receive)(in, i, 1, &check, wait);
		now = bench_ticks();
		trip_ticks[i] = now - before < UINT32_MAX ? (uint32_t)(now - before) : UINT32_MAX;
		before = now;
	}
	return bench_is_wrong(&check);
}

LOOP_INLINE bool LOOP(answers)(RING *in, RING *out, uint64_t count, enum bench_wait wait)
{
	struct bench_check check = {{{0}}};

	for (uint64_t i = 0; i < count; i++) {
		LOOP(receive)(in, i, 1, &check, wait);
		LOOP(send)(out, i, 1, wait);
	}
	return bench_is_wrong(&check);
}

#define LOOP_WAIT(wait, WAIT)                                                               \
	static void LOOP(produce_##wait)(void *ring, uint64_t first, uint64_t count)        \
	{                                                                                   \
		LOOP(send)((RING *)ring, first, count, WAIT);                               \
	}                                                                                   \
	static bool LOOP(consume_##wait)(void *ring, uint64_t first, uint64_t count)        \
	{                                                                                   \
		struct bench_check check = {{{0}}};                                         \
                                                                                            \
		LOOP(receive)((RING *)ring, first, count, &check, WAIT);                    \
		return bench_is_wrong(&check);                                              \
	}                                                                                   \
	static bool LOOP(ping_##wait)(void *out, void *in, uint32_t *ticks, uint64_t count) \
	{                                                                                   \
		return LOOP(trips)((RING *)out, (RING *)in, ticks, count, WAIT);            \
	}                                                                                   \
	static bool LOOP(echo_##wait)(void *in, void *out, uint64_t count)                  \
	{                                                                                   \
		return LOOP(answers)((RING *)in, (RING *)out, count, WAIT);                 \
	}

#define LOOP_SET(wait)                                                                           \
	{                                                                                        \
		LOOP(produce_##wait), LOOP(consume_##wait), LOOP(ping_##wait), LOOP(echo_##wait) \
	}

static bool LOOP(alone)(void *ring, uint64_t count)
{
	struct bench_check check = {{{0}}};

	for (uint64_t i = 0; i < count; i += BATCH) {
		LOOP(send)((RING *)ring, i, bench_most(count - i, BATCH), BENCH_SPIN);
		LOOP(receive)((RING *)ring, i, bench_most(count - i, BATCH), &check, BENCH_SPIN);
	}
	return bench_is_wrong(&check);
}

LOOP_WAIT(backoff, BENCH_BACKOFF)
#ifdef OURS
#define LOOP_SETS                           \
	{                                   \
		{0}, {0}, LOOP_SET(backoff) \
	}
#define LOOP_OURS true
#else
LOOP_WAIT(spin, BENCH_SPIN)
LOOP_WAIT(pause, BENCH_PAUSE)
#define LOOP_SETS                                                  \
	{                                                          \
		LOOP_SET(spin), LOOP_SET(pause), LOOP_SET(backoff) \
	}
#define LOOP_OURS false
#endif

const struct bench_candidate CANDIDATE = {
	LABEL, NULL, LOOP_OURS, KIND, OPEN, CLOSE, LOOP_SETS, LOOP(alone),
};

#undef LOOP_PASTE
#undef LOOP_EXPAND
#undef LOOP
#undef LOOP_INLINE
#undef LOOP_WAIT
#undef LOOP_SET
#undef LOOP_SETS
#undef LOOP_OURS
#undef CANDIDATE
#undef LABEL
#undef KIND
#undef RING
#undef BATCH
#undef PUSH
#undef POP
#undef OPEN
#undef CLOSE
