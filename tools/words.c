// SPDX-License-Identifier: MIT
/* The words before the first pipeline: options and their values. */
#include "words.h"
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool words_take_if(struct words *words, const char *word)
{
	if (!words->left || strcmp(words->at[0], word))
		return false;
	words_take(words);
	return true;
}

const char *words_value(struct words *words, const char *word, const char *form)
{
	const char *value = words_take(words);

	if (!value)
		rk_fail(EINVAL, "%s: a value is missing: write %s %s", word, word, form);
	return value;
}

bool words_whole(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

int words_whole_between(const char *word, const char *text, uint64_t least, uint64_t most,
			uint64_t *number)
{
	if (words_whole(text, number) && *number >= least && *number <= most)
		return 0;
	return rk_fail(EINVAL, "%s '%s': give a whole number, %" PRIu64 " to %" PRIu64, word, text,
		       least, most);
}

static int set_workers(struct plan *plan, const char *text)
{
	uint64_t number;
	int result = words_whole_between("workers", text, 1, RK_MAX_WORKERS, &number);

	if (!result)
		plan->workers = (unsigned int)number;
	return result;
}

static int set_slots(struct plan *plan, const char *text)
{
	if (words_whole(text, &plan->slots) && rk_ring_bytes(plan->slots))
		return 0;
	return rk_fail(EINVAL, "slots '%s': give a power of two, %d to %llu", text,
		       RK_RING_MIN_CAPACITY, (unsigned long long)RK_RING_MAX_CAPACITY);
}

/* Seconds with up to nine decimals. */
static int set_duration(struct plan *plan, const char *text)
{
	char *end;
	uint64_t seconds = 0, part = 0, unit = 1000000000;
	bool good = *text >= '0' && *text <= '9';

	if (good) {
		seconds = strtoull(text, &end, 10);
		if (*end == '.')
			for (end++; *end >= '0' && *end <= '9' && unit > 1; end++)
				part += (uint64_t)(*end - '0') * (unit /= 10);
		good = !*end && seconds <= 1000000000 && (seconds || part);
	}
	if (!good)
		return rk_fail(EINVAL,
			       "duration '%s': give seconds above 0, with up to nine decimals",
			       text);
	plan->duration_ns = seconds * 1000000000 + part;
	return 0;
}

static int set_log(struct plan *plan, const char *text)
{
	plan->log = text;
	return 0;
}

static int set_hgrm(struct plan *plan, const char *text)
{
	plan->hgrm = text;
	return 0;
}

static int set_plot(struct plan *plan, const char *text)
{
	const char *dot = strrchr(text, '.');

	if (!dot || (strcmp(dot, ".svg") && strcmp(dot, ".png")))
		return rk_fail(EINVAL, "plot '%s': name a file that ends in .svg or .png", text);
	plan->plot = text;
	return 0;
}

static int set_verify(struct plan *plan, const char *text)
{
	plan->verify = text;
	return 0;
}

/* One security of a list; @at is left behind it. */
static bool security(const char **at, int32_t *id)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(*at, &end, 10);
	if (end == *at || errno || number < INT32_MIN || number > INT32_MAX)
		return false;
	*at = end;
	*id = (int32_t)number;
	return true;
}

/* A single number up to this is how many books to show, any other a security. */
enum { BOOKS_FIRST_MAX = 1024 };

static int set_books(struct plan *plan, const char *text)
{
	struct plan_books *books = &plan->books;
	const char *at = text;
	uint64_t number;

	if (!strcmp(text, "all")) {
		books->first = UINT32_MAX;
		return 0;
	}
	if (words_whole(text, &number) && number <= BOOKS_FIRST_MAX) {
		books->first = (uint32_t)number;
		return 0;
	}
	while (books->count < PLAN_BOOKS && security(&at, &books->id[books->count])) {
		books->count++;
		if (!*at || !strcmp(at, ","))
			return 0;
		if (*at++ != ',')
			break;
	}
	return rk_fail(EINVAL,
		       "books '%s': give up to %d security ids with commas between, 'all', or how "
		       "many to show, up to %d",
		       text, PLAN_BOOKS, BOOKS_FIRST_MAX);
}

static const struct option {
	const char *word;
	const char *form;
	int (*set)(struct plan *plan, const char *text);
} options[] = {
	{"workers", "N", set_workers},
	{"slots", "N", set_slots},
	{"duration", "SECONDS", set_duration},
	{"log", "FILE.hlog", set_log},
	{"hgrm", "FILE", set_hgrm},
	{"plot", "FILE.svg", set_plot},
	{"books", "SECURITY,...|all|N", set_books},
	{"verify", "FILE.json", set_verify},
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct option *find_option(const char *word)
{
	for (int i = 0; word && i < OPTIONS; i++)
		if (!strcmp(options[i].word, word))
			return &options[i];
	return NULL;
}

bool words_at_option(const struct words *words)
{
	return find_option(words_peek(words));
}

int words_read_options(struct plan *plan, struct words *words)
{
	const struct option *option;
	uint32_t seen = 0;

	while ((option = find_option(words_peek(words)))) {
		const char *value;
		int result;

		words_take(words);
		if (seen & 1u << (option - options))
			return rk_fail(EINVAL, "%s: given twice: once is enough", option->word);
		seen |= 1u << (option - options);
		value = words_value(words, option->word, option->form);
		result = value ? option->set(plan, value) : -EINVAL;
		if (result)
			return result;
	}
	return 0;
}
