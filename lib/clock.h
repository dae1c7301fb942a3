/* SPDX-License-Identifier: MIT */
/* clock.h - the time in nanoseconds, for all of the library and its tools; private. */
#ifndef RK_LIB_CLOCK_H
#define RK_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

/* 0 for a clock that is not there (the CPU clock of a thread that ended). */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		return 0;
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* When @timeout_ns from now are over; what is beyond the clock's range never is. */
static inline uint64_t deadline_ns(uint64_t timeout_ns)
{
	uint64_t now = now_ns();

	return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

#endif
