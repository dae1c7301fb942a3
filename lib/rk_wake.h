/* SPDX-License-Identifier: MIT */
/*
 * rk_wake.h - waiting for work: spin, back off, sleep; and waking whoever sleeps.
 *
 * A sleeper sets its word, makes sure that everyone will see it, looks once more, then sleeps. A
 * waker does its work (stores a slot), then reads the word. Between that store and that load a
 * CPU may reorder, and the usual cure is a full fence in every send. Here the sleeper pays: before
 * its last look it makes every running thread execute a barrier (membarrier(2)), so either the
 * waker's load sees the word or the sleeper's last look sees the work. The sending side stays one
 * plain load of a line that nobody writes while there is traffic.
 *
 * Where membarrier(2) is refused (rk_wake_guard() tells), sleeps are cut to RK_WAKE_NAP_NS; so they
 * are where a waker in another process was refused: no barrier reaches that one (wait.c).
 */
#ifndef RK_WAKE_H
#define RK_WAKE_H

#include "rk_base.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define RK_WAKE_NAP_NS 1000000 /* longest sleep without membarrier(2) */
#define RK_WAKE_SPOT   (-2)    /* instead of an eventfd: @word is that of a struct rk_wake_spot */

/**
 * struct rk_wake_spot - a sleeper that wakers may be turned to while they run
 * @word: as in struct rk_wake
 * @eventfd: likewise
 * @bell: likewise
 *
 * All that a waker needs hangs on the one pointer that rk_wake_turn() changes.
 */
struct rk_wake_spot {
	uint32_t word;
	int eventfd;
	uint64_t *bell;
};

/**
 * struct rk_wake - who may be asleep, and how to wake it
 * @word: 1 while it sleeps; may lie in memory shared with another process
 * @eventfd: written to wake it; -1: it sleeps on @word as a futex; RK_WAKE_SPOT: see there
 * @bell: for the waker: a count of its own that whoever sleeps is woken by, instead of the above
 * @sleep: for the sleeper: how it sleeps, instead of on @word; NULL: on @word
 * @sleeper: first argument of @sleep
 * @place: second argument of @sleep
 */
struct rk_wake {
	uint32_t *word;
	int eventfd;
	uint64_t *bell;
	void (*sleep)(void *sleeper, uint32_t place, uint64_t timeout_ns);
	void *sleeper;
	uint32_t place;
};

RK_BEGIN_DECLS

/**
 * rk_wake_guard() - whether sleeps are guarded by membarrier(2)
 * @shared: for sleepers and wakers in different processes
 *
 * The first call registers this process; wakers must call it before they wake.
 *
 * Context: any thread; may sleep at the first call.
 * Return: 1 guarded; 0 not: sleeps are cut to RK_WAKE_NAP_NS.
 */
RK_API int rk_wake_guard(bool shared);

/**
 * rk_wake_announce() - about to sleep: look once more after this
 * @wake: the sleeper's own
 *
 * Context: the sleeper; costs a system call.
 */
RK_API void rk_wake_announce(const struct rk_wake *wake);

/**
 * rk_wake_cancel() - found work after all
 * @wake: the sleeper's own
 *
 * Context: the sleeper; never sleeps.
 */
RK_API void rk_wake_cancel(const struct rk_wake *wake);

/**
 * rk_wake_sleep() - sleep until woken
 * @wake: the sleeper's own, announced
 * @timeout_ns: at most this long
 *
 * Context: the sleeper; sleeps. Signals and passing time end it early: look for work, try again.
 * Only for wakers without an eventfd; with one, poll it and call rk_wake_cancel() after.
 */
RK_API void rk_wake_sleep(const struct rk_wake *wake, uint64_t timeout_ns);

/**
 * rk_wake_again() - wake it whatever its word says
 * @wake: the sleeper's
 *
 * For whoever takes over from a waker that may have died after it took the word and before it
 * woke: nobody else would.
 *
 * Context: any thread; a system call.
 */
RK_API void rk_wake_again(const struct rk_wake *wake);

/**
 * rk_wake_turn() - from now on wake another
 * @wake: of a spot; a waker may be using it
 * @to: of a spot, which outlives the waker
 *
 * A waker that still sees the former wakes that one in vain. The latter looks for work before it
 * next sleeps, and rk_wake_announce() makes every waker see the change.
 *
 * Context: any thread; callers take turns.
 */
static inline void rk_wake_turn(struct rk_wake *wake, const struct rk_wake *to)
{
	/* Relaxed: what hangs on it never changes. */
	__atomic_store_n(&wake->word, to->word, __ATOMIC_RELAXED);
}

/* The slow half of rk_wake_up(). */
RK_API void rk_wake_now(const struct rk_wake *wake);

RK_END_DECLS

/**
 * rk_wake_up() - after storing work for it: wake it if it sleeps
 * @wake: the sleeper's
 *
 * Context: any thread; one load while the other is awake, a system call when it sleeps.
 */
static inline void rk_wake_up(const struct rk_wake *wake)
{
	/* The compiler must not lift the load above the work; rk_wake_announce() does the CPU's
	 * part. */
	__asm__ volatile("" ::: "memory");
	if (rk_unlikely(__atomic_load_n(__atomic_load_n(&wake->word, __ATOMIC_RELAXED),
					__ATOMIC_RELAXED)))
		rk_wake_now(wake);
}

/**
 * struct rk_spin - how a poll loop waits between two looks
 * @streak: polls in a row that found something
 */
struct rk_spin {
	uint32_t streak;
};

/* A look found something. */
static inline void rk_spin_hit(struct rk_spin *spin)
{
	spin->streak++;
}

/*
 * A look found nothing. On x86 lfence between polls answers 7 ns sooner than pause: it ends the
 * speculation of further polls. After a streak, one burst of pauses lets the producer get ahead by
 * more than a line, so that the two do not meet at every slot.
 */
static inline void rk_spin_miss(struct rk_spin *spin)
{
#if defined(__x86_64__)
	if (spin->streak >= 16) {
		for (int i = 0; i < 48; i++)
			_mm_pause();
	}
	_mm_lfence();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
	spin->streak = 0;
}

#endif
