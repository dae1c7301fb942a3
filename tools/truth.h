/* SPDX-License-Identifier: MIT */
/*
 * truth.h - what a feed must lead to, as a JSON file: written beside a generated feed, or by hand
 * for a capture that somebody else has decoded, and held against an mdp3_book actor at its end.
 *
 * Keys, all optional; those not here are refused:
 *
 *	packets, unique, duplicates, malformed, missing_packets, messages, entries,
 *	entries_implied, securities, bbo_updates		whole numbers
 *	templates	{"32": messages, ...}
 *	gaps		[[first, last], ...]: sequences missing on both feeds, in order
 *	best		{"SECURITY": {"bid": [price, size, orders], "offer": ...}, ...}
 *	books		{"SECURITY": {"bid": [[price, size, orders], ...], "offer": ...,
 *			"implied_bid": ..., "implied_offer": ...}, ...}
 *	comment, options, sent	not compared
 *
 * Prices are mantissas with exponent -7. After a gap, what the actor itself calls not proven is not
 * compared; where "gaps" is [] everything is.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include "books.h"
#include "gen.h"

#include <stdio.h>

enum { TRUTH_TEXT_BYTES = 1024 };

/**
 * struct truth_result - what a comparison found
 * @compared: values
 * @not_proven: of books, those left out for that reason
 * @differences: values that differ
 * @text: the first of them, a line each
 */
struct truth_result {
	uint64_t compared;
	uint64_t not_proven;
	uint64_t differences;
	char text[TRUTH_TEXT_BYTES];
};

/* Write the truth of a feed that has ended. 0 or -errno, said in rk_errmsg(). */
int truth_write(const char *path, const struct gen *gen, const struct gen_opts *opts);

/**
 * truth_verify() - hold an actor's end against a file
 * @path: of the file
 * @state: of the actor, stopped
 * @gaps: as they reached the last port
 * @result: out
 *
 * Return: 0 compared, see @result; -EPROTO for a file that is no truth; the errno of reading it;
 * -EOPNOTSUPP when built without jansson; said in rk_errmsg().
 */
int truth_verify(const char *path, const struct rk_mdp3_state *state, const struct books_gaps *gaps,
		 struct truth_result *result);

#endif
