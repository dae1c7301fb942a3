/* SPDX-License-Identifier: MIT */
/* books.h - what an mdp3_book actor leaves: its gaps on the way out, its books at the end. */
#ifndef BOOKS_H
#define BOOKS_H

#include "config.h"
#include "mdp3_book.h"
#include "pipeline.h"

#include <stdio.h>

#if RK_HAVE_JANSSON
#include <jansson.h>
#endif

enum {
	BOOKS_GAPS = 65536, /* that are kept */
	BOOKS_PRICE_BYTES = 32,
};

struct books_gap {
	uint32_t first;
	uint32_t last;
};

/**
 * struct books_gaps - gaps in the order in which they reached the last port
 * @gap: BOOKS_GAPS of them
 * @count: kept
 * @seen: also those beyond
 */
struct books_gaps {
	struct books_gap *gap;
	uint64_t count;
	uint64_t seen;
};

/* Note @msg if it tells of a gap. Context: the worker's thread; does not allocate. */
void books_note_gap(struct books_gaps *gaps, const struct rk_msg *msg);

/* A mantissa with exponent -7 as a decimal number. */
const char *books_price(char text[BOOKS_PRICE_BYTES], int64_t mantissa);

/* The security of this id; NULL if the feed never named it. */
const struct rk_mdp3_security *books_find(const struct rk_mdp3_state *state, int32_t id);

/* The n-th book that @wanted names, from 0; NULL beyond the last. Fills @best. */
const struct rk_mdp3_security *books_wanted(const struct rk_mdp3_state *state,
					    const struct plan_books *wanted, uint32_t index,
					    struct rk_mdp3_bbo *best);

/* Gaps and books for people. */
void books_print(FILE *file, const struct rk_mdp3_state *state, const struct books_gaps *gaps,
		 const struct plan_books *wanted);

#if RK_HAVE_JANSSON
json_t *books_json(const struct rk_mdp3_state *state, const struct plan_books *wanted);
json_t *books_gaps_json(const struct books_gaps *gaps);
#endif

#endif
