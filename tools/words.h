/* SPDX-License-Identifier: MIT */
/* words.h - reading the words of pipeline.h one after another; what its files share. */
#ifndef WORDS_H
#define WORDS_H

#include "pipeline.h"

#define WORDS_OPTIONS "workers, slots, duration, log, hgrm, plot, books, verify"

/* The words not read yet. */
struct words {
	char **at;
	int left;
};

/* The next word, which stays; NULL at the end. */
static inline const char *words_peek(const struct words *words)
{
	return words->left ? words->at[0] : NULL;
}

/* The next word; NULL at the end. */
static inline const char *words_take(struct words *words)
{
	if (!words->left)
		return NULL;
	words->left--;
	return *words->at++;
}

/* Take the next word if it is @word. */
bool words_take_if(struct words *words, const char *word);

/* The word after @word; NULL, and a text that shows @form, if there is none. */
const char *words_value(struct words *words, const char *word, const char *form);

/* @text as a whole decimal number; false if it is none. */
bool words_whole(const char *text, uint64_t *number);

/* The same within bounds; -EINVAL, and a text that names @word, if it is not. */
int words_whole_between(const char *word, const char *text, uint64_t least, uint64_t most,
			uint64_t *number);

/* A plan in which nothing is asked for. */
void plan_init(struct plan *plan);

/* Whether an option is next. */
bool words_at_option(const struct words *words);

/* Options, up to the first other word. 0 or -EINVAL. */
int words_read_options(struct plan *plan, struct words *words);

/* One pipeline, if the next word begins one; @expected names what else could be there. */
int words_read_pipeline(struct plan *plan, struct words *words, const char *expected);

/* What no word alone can tell: workers that there will not be. 0 or -EINVAL. */
int words_check_plan(const struct plan *plan);

#endif
