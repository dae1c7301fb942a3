/* SPDX-License-Identifier: MIT */
/*
 * rk_pattern.h - whether a path matches a pattern, for names (rk_name.h) and topics (topic.h).
 *
 * A path is parts with "/" between them. In a pattern `*` stands for any bytes of one part, `**`
 * for any bytes at all, `?` for one byte of a part, and `\` takes what follows it literally.
 * All ways through the pattern are followed at once, so no pattern makes it slow: at most a time of
 * the product of both lengths. Compiles for host and device; inline: handlers use it.
 */
#ifndef RK_PATTERN_H
#define RK_PATTERN_H

#include "rk_base.h"

#ifndef __CUDACC_RTC__
#include <stdbool.h>
#endif

#define RK_PATTERN_BYTES 256 /* room for the longest, with a NUL */

/* Offsets in a pattern at which a way through it stands. */
struct rk_pattern_ways {
	uint64_t bits[RK_PATTERN_BYTES / 64];
};

enum rk_pattern_take {
	RK_PATTERN_BYTE, /* one byte, this one */
	RK_PATTERN_ONE,	 /* any byte but "/" */
	RK_PATTERN_SOME, /* any number of them */
	RK_PATTERN_ALL,	 /* any number of any bytes */
};

/* What stands at an offset, and where the next begins. */
struct rk_pattern_step {
	enum rk_pattern_take take;
	char byte;
	uint32_t next;
};

RK_HD struct rk_pattern_step rk_pattern_read(const char *pattern, uint32_t bytes, uint32_t at)
{
	struct rk_pattern_step step = {RK_PATTERN_BYTE, pattern[at], at + 1};
	bool more = at + 1 < bytes;

	if (pattern[at] == '?') {
		step.take = RK_PATTERN_ONE;
	} else if (pattern[at] == '*') {
		step.take = more && pattern[at + 1] == '*' ? RK_PATTERN_ALL : RK_PATTERN_SOME;
		step.next += step.take == RK_PATTERN_ALL;
	} else if (pattern[at] == '\\' && more) {
		step.byte = pattern[at + 1];
		step.next++;
	}
	return step;
}

RK_HD bool rk_pattern_stands(const struct rk_pattern_ways *ways, uint32_t at)
{
	return ways->bits[at / 64] >> at % 64 & 1;
}

RK_HD void rk_pattern_stand(struct rk_pattern_ways *ways, uint32_t at)
{
	ways->bits[at / 64] |= 1ULL << at % 64;
}

/* What takes any number may take none: then the next step is due as well. */
RK_HD void rk_pattern_skip(struct rk_pattern_ways *ways, const char *pattern, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes;) {
		struct rk_pattern_step step = rk_pattern_read(pattern, bytes, at);

		if (step.take >= RK_PATTERN_SOME && rk_pattern_stands(ways, at))
			rk_pattern_stand(ways, step.next);
		at = step.next;
	}
}

/* The ways that @byte leaves open. */
RK_HD void rk_pattern_go(struct rk_pattern_ways *ways, const char *pattern, uint32_t bytes,
			 char byte)
{
	struct rk_pattern_ways next = {{0, 0, 0, 0}};

	for (uint32_t at = 0; at < bytes;) {
		struct rk_pattern_step step = rk_pattern_read(pattern, bytes, at);
		bool takes = step.take == RK_PATTERN_BYTE
				     ? step.byte == byte
				     : step.take == RK_PATTERN_ALL || byte != '/';

		if (takes && rk_pattern_stands(ways, at))
			rk_pattern_stand(&next, step.take >= RK_PATTERN_SOME ? at : step.next);
		at = step.next;
	}
	*ways = next;
}

/**
 * rk_pattern_matches() - whether a path matches a pattern
 * @pattern: a `\` at its end stands for itself
 * @pattern_bytes: less than RK_PATTERN_BYTES
 * @text: any bytes
 * @text_bytes: of them
 *
 * Context: any, host or device; never sleeps.
 * Return: whether all of @text matches all of @pattern.
 */
RK_HD bool rk_pattern_matches(const char *pattern, uint32_t pattern_bytes, const char *text,
			      uint32_t text_bytes)
{
	struct rk_pattern_ways ways = {{1, 0, 0, 0}};

	rk_pattern_skip(&ways, pattern, pattern_bytes);
	for (uint32_t i = 0; i < text_bytes; i++) {
		rk_pattern_go(&ways, pattern, pattern_bytes, text[i]);
		rk_pattern_skip(&ways, pattern, pattern_bytes);
	}
	return rk_pattern_stands(&ways, pattern_bytes);
}

#endif
