/* SPDX-License-Identifier: MIT */
/*
 * rk_hlc.h - hybrid logical clock (Kulkarni et al., Logical Physical Clocks, OPODIS 2014), and the
 * extensions of a message that carry it and the trace context.
 *
 *      63                                            16 15                   0
 *      +-----------------------------------------------+---------------------+
 *      | physical: ns since 1970, in steps of 65536 ns | logical: a count    |
 *      +-----------------------------------------------+---------------------+
 *
 * So a stamp is near the time in ns, and stamps compare as numbers: what happened before has the
 * smaller one. The clock is one word that only grows, by compare-and-swap: each stamp is given
 * once. A logical count that is full carries into the physical part, which the next reading of a
 * physical clock that moves on overtakes. Relaxed order is enough: all threads agree on the order
 * of the changes of one word, and who has learnt of a stamp, however, finds the word at least
 * there.
 *
 * Compiles for host and device; callers on a device say what the physical time is.
 */
#ifndef RK_HLC_H
#define RK_HLC_H

#include "rk_msg.h"

#define RK_HLC_LOGICAL_BITS 16
#define RK_HLC_LOGICAL_MASK 0xffffull
#define RK_HLC_MAX_DRIFT_NS 3600000000000ull /* largest bound that a clock may have: an hour */

/**
 * struct rk_hlc - a clock, for any number of threads of hosts or of devices that reach it
 * @last: stamp given or received last
 * @max_drift_ns: how far a stamp received may be ahead of the physical clock
 * @refused: stamps beyond that, which were not believed
 * @carried: times the logical count was full
 *
 * All zero but for @max_drift_ns is a clock that has given no stamp. Read the counters relaxed.
 */
struct RK_ALIGNED(64) rk_hlc {
	uint64_t last;
	uint64_t max_drift_ns;
	uint64_t refused;
	uint64_t carried;
};

/**
 * struct rk_trace - trace context, as RK_MSG_F_TRACE lays it out
 * @id: of the trace, the same at every hop; all zero: none
 * @span: of the step that sent the message
 *
 * No parent travels: who begins a span reports its own and, as its parent, the one it received.
 */
struct rk_trace {
	uint64_t id[2];
	uint64_t span;
};

RK_STATIC_ASSERT(sizeof(struct rk_trace) == 24, "the extension's 24 bytes");

/* --- One word, two bodies --- */

/* True when @word was @old and is now @next; else what it is goes to @old. */
RK_HD int rk_hlc_swap(uint64_t *word, uint64_t *old, uint64_t next)
{
#ifdef __CUDA_ARCH__
	unsigned long long was = atomicCAS_system(
		(unsigned long long *)word, (unsigned long long)*old, (unsigned long long)next);
	int done = was == *old;

	*old = was;
	return done;
#else
	return __atomic_compare_exchange_n(word, old, next, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

RK_HD uint64_t rk_hlc_load(const uint64_t *word)
{
#ifdef __CUDA_ARCH__
	return *(const volatile uint64_t *)word;
#else
	return __atomic_load_n(word, __ATOMIC_RELAXED);
#endif
}

RK_HD void rk_hlc_count(uint64_t *counter)
{
#ifdef __CUDA_ARCH__
	atomicAdd_system((unsigned long long *)counter, 1ull);
#else
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
#endif
}

/* --- The clock --- */

/* A stamp after all that the clock has given, after @least, and not before @physical_ns. */
RK_HD uint64_t rk_hlc_after(struct rk_hlc *clock, uint64_t least, uint64_t physical_ns)
{
	uint64_t physical = physical_ns & ~RK_HLC_LOGICAL_MASK;
	uint64_t old = rk_hlc_load(&clock->last), next;

	do {
		next = (old > least ? old : least) + 1;
		if (next < physical)
			next = physical;
	} while (!rk_hlc_swap(&clock->last, &old, next));
	if (next > physical && !(next & RK_HLC_LOGICAL_MASK))
		rk_hlc_count(&clock->carried);
	return next;
}

/**
 * rk_hlc_now_at() - stamp an event of one's own, or a message that is sent
 * @clock: the clock
 * @physical_ns: since 1970; may stand still or go back
 *
 * Context: any thread, host or device; never sleeps.
 * Return: a stamp greater than all that this clock gave or received before, never given again.
 */
RK_HD uint64_t rk_hlc_now_at(struct rk_hlc *clock, uint64_t physical_ns)
{
	return rk_hlc_after(clock, 0, physical_ns);
}

/**
 * rk_hlc_receive_at() - stamp the receipt of a message
 * @clock: the clock
 * @stamp: of the message
 * @physical_ns: as for rk_hlc_now_at()
 *
 * Context: any thread, host or device; never sleeps.
 * Return: a stamp as of rk_hlc_now_at(), and greater than @stamp; 0, with the clock unchanged and
 * @clock->refused counted, when @stamp is more than @clock->max_drift_ns ahead of @physical_ns.
 */
RK_HD uint64_t rk_hlc_receive_at(struct rk_hlc *clock, uint64_t stamp, uint64_t physical_ns)
{
	if (stamp > physical_ns && stamp - physical_ns > clock->max_drift_ns) {
		rk_hlc_count(&clock->refused);
		return 0;
	}
	return rk_hlc_after(clock, stamp, physical_ns);
}

/* --- Extensions of a message --- */

/* Where the clock stands in the body; the message has RK_MSG_F_CLOCK. */
RK_HD uint32_t rk_msg_clock_offset(uint8_t flags)
{
	return rk_msg_extension_bytes((uint8_t)(flags & (RK_MSG_F_TIME | RK_MSG_F_TRACE)));
}

/* Stamp that a message carries; 0: none. */
RK_HD uint64_t rk_msg_clock(const struct rk_msg *msg)
{
	if (!(msg->flags & RK_MSG_F_CLOCK))
		return 0;
	return *(const rk_msg_word *)(const void *)(msg->body + rk_msg_clock_offset(msg->flags));
}

/* Put @stamp into a message that has room for it, which RK_MSG_F_CLOCK says; else nothing. */
RK_HD void rk_msg_set_clock(struct rk_msg *msg, uint64_t stamp)
{
	if (msg->flags & RK_MSG_F_CLOCK)
		*(rk_msg_word *)(void *)(msg->body + rk_msg_clock_offset(msg->flags)) = stamp;
}

/* Trace context that a message carries; all zero: none. */
RK_HD struct rk_trace rk_msg_trace(const struct rk_msg *msg)
{
	struct rk_trace trace = {{0, 0}, 0};
	const rk_msg_word *words =
		(const rk_msg_word *)(const void *)(msg->body +
						    (msg->flags & RK_MSG_F_TIME ? 8 : 0));

	if (msg->flags & RK_MSG_F_TRACE) {
		trace.id[0] = words[0];
		trace.id[1] = words[1];
		trace.span = words[2];
	}
	return trace;
}

/* Put @trace into a message that has room for it, which RK_MSG_F_TRACE says; else nothing. */
RK_HD void rk_msg_set_trace(struct rk_msg *msg, struct rk_trace trace)
{
	rk_msg_word *words =
		(rk_msg_word *)(void *)(msg->body + (msg->flags & RK_MSG_F_TIME ? 8 : 0));

	if (msg->flags & RK_MSG_F_TRACE) {
		words[0] = trace.id[0];
		words[1] = trace.id[1];
		words[2] = trace.span;
	}
}

/* A bijection that spreads bits (splitmix64). */
RK_HD uint64_t rk_trace_mix(uint64_t word)
{
	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ull;
	word = (word ^ word >> 27) * 0x94d049bb133111ebull;
	return word ^ word >> 31;
}

/**
 * rk_trace_child() - a new span of the same trace
 * @parent: what was received
 * @unique: differs among the children of one parent, such as a stamp of a clock
 *
 * Context: host or device; never sleeps.
 * Return: the trace with another span, not 0; that of @parent is its parent.
 */
RK_HD struct rk_trace rk_trace_child(struct rk_trace parent, uint64_t unique)
{
	struct rk_trace child = parent;

	child.span = rk_trace_mix(parent.span ^ rk_trace_mix(unique + 0x9e3779b97f4a7c15ull));
	if (!child.span || child.span == parent.span)
		child.span = parent.span + 1 ? parent.span + 1 : 1;
	return child;
}

/**
 * rk_trace_begin() - a new trace
 * @unique: such as a stamp of a clock
 * @origin: differs among those who begin traces with their own @unique
 *
 * Context: host or device; never sleeps.
 * Return: a trace and its first span, none of them 0.
 */
RK_HD struct rk_trace rk_trace_begin(uint64_t unique, uint64_t origin)
{
	struct rk_trace trace = {{rk_trace_mix(origin) | 1, rk_trace_mix(unique)}, 0};

	return rk_trace_child(trace, unique);
}

#ifndef __CUDACC_RTC__
RK_BEGIN_DECLS

/**
 * rk_hlc_init() - a clock that has given no stamp
 * @clock: out
 * @max_drift_ns: bound for stamps received, at most RK_HLC_MAX_DRIFT_NS
 *
 * Context: any thread; never sleeps.
 * Return: 0; -EINVAL for a bound beyond that, said in rk_errmsg().
 */
RK_API int rk_hlc_init(struct rk_hlc *clock, uint64_t max_drift_ns);

/**
 * rk_hlc_now() - rk_hlc_now_at() by CLOCK_REALTIME
 * @clock: initialised
 *
 * Context: any thread of the host; never sleeps.
 * Return: a stamp.
 */
RK_API uint64_t rk_hlc_now(struct rk_hlc *clock);

/**
 * rk_hlc_receive() - rk_hlc_receive_at() by CLOCK_REALTIME
 * @clock: initialised
 * @stamp: of the message
 *
 * Context: any thread of the host; never sleeps.
 * Return: a stamp; 0 when @stamp is too far ahead, said in rk_errmsg() and counted.
 */
RK_API uint64_t rk_hlc_receive(struct rk_hlc *clock, uint64_t stamp);

RK_END_DECLS
#endif

#endif
