// SPDX-License-Identifier: MIT
#include "truth.h"
#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#if RK_HAVE_JANSSON

static const char *const side_names[RK_MDP3_SIDES] = {"bid", "offer", "implied_bid",
						      "implied_offer"};

/* --- Writing --- */

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *levels_json(const struct mdp3_feed_side *side)
{
	json_t *levels = json_array();

	for (uint32_t i = 0; i < side->levels; i++)
		json_array_append_new(levels,
				      json_pack("[Iii]", (json_int_t)side->level[i].price,
						side->level[i].size, side->level[i].orders));
	return levels;
}

/* Securities that had no entry have no book. */
static json_t *books_truth(const struct gen *gen)
{
	const struct mdp3_feed_security *security;
	json_t *books = json_object();
	char key[16];

	for (uint32_t i = 0; (security = gen_security_at(gen, i)); i++) {
		json_t *sides = json_object();

		for (uint32_t side = 0; security->rpt_seq && side < RK_MDP3_SIDES; side++)
			json_object_set_new(sides, side_names[side],
					    levels_json(&security->side[side]));
		snprintf(key, sizeof(key), "%d", security->id);
		if (security->rpt_seq)
			json_object_set_new(books, key, sides);
		else
			json_decref(sides);
	}
	return books;
}

static json_t *templates_json(const struct mdp3_feed_truth *sent)
{
	json_t *templates = json_object();
	char key[16];

	for (uint32_t i = 0; i < MDP3_TEMPLATES; i++) {
		snprintf(key, sizeof(key), "%u", i);
		if (sent->templates[i])
			json_object_set_new(templates, key, number(sent->templates[i]));
	}
	return templates;
}

static json_t *sent_json(const struct mdp3_feed_truth *sent)
{
	json_t *all = json_object();

	json_object_set_new(all, "messages", number(sent->messages));
	json_object_set_new(all, "entries", number(sent->entries));
	json_object_set_new(all, "entries_implied", number(sent->entries_implied));
	json_object_set_new(all, "bbo_updates", number(sent->best_changes));
	json_object_set_new(all, "templates", templates_json(sent));
	return all;
}

/* What a receiver of all that was delivered must report. */
static json_t *truth_json(const struct gen *gen, const struct gen_opts *opts)
{
	const struct gen_truth *truth = gen_truth(gen);
	const uint64_t packets = truth->delivered[0] + truth->delivered[1];
	json_t *all = json_object(), *gaps = json_array(), *sent = sent_json(&truth->sent);

	for (uint64_t i = 0; i < truth->missing_ranges; i++)
		json_array_append_new(gaps, json_pack("[II]", (json_int_t)truth->missing[i].first,
						      (json_int_t)truth->missing[i].last));
	json_object_set_new(all, "comment",
			    json_sprintf("ringkernel gen: seed %" PRIu64 ", %" PRIu64
					 " packets sent",
					 opts->feed.seed, truth->sent.packets));
	json_object_set_new(all, "packets", number(packets));
	json_object_set_new(all, "unique", number(truth->unique));
	json_object_set_new(all, "duplicates", number(packets - truth->unique));
	json_object_set_new(all, "malformed", number(0));
	json_object_set_new(all, "missing_packets", number(truth->missing_packets));
	json_object_set_new(all, "gaps", gaps);
	json_object_set(all, "sent", sent);
	/* With all of it delivered, the receiver counts what was sent. */
	if (!truth->missing_packets) {
		json_object_update(all, sent);
		json_object_set_new(all, "securities", number(truth->securities));
	}
	json_decref(sent);
	json_object_set_new(all, "books", books_truth(gen));
	return all;
}

int truth_write(const char *path, const struct gen *gen, const struct gen_opts *opts)
{
	json_t *all = truth_json(gen, opts);
	FILE *file = fopen(path, "we");
	int failed;

	if (!file) {
		json_decref(all);
		return rk_fail(errno, "truth '%s': %s", path, strerror(errno));
	}
	failed = json_dumpf(all, file, JSON_COMPACT | JSON_PRESERVE_ORDER);
	failed |= putc('\n', file) == EOF;
	failed |= fclose(file);
	json_decref(all);
	return failed ? rk_fail(EIO, "truth '%s': could not be written to its end", path) : 0;
}

/* --- Comparing --- */

struct comparison {
	const char *path;
	const struct rk_mdp3_state *state;
	const struct books_gaps *gaps;
	struct truth_result *result;
	bool all; /* nothing is left out as not proven */
};

__attribute__((format(printf, 2, 3))) static void differ(struct comparison *at, const char *format,
							 ...)
{
	char *text = at->result->text;
	size_t used = strlen(text);
	char line[192];
	va_list args;

	at->result->differences++;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (used + strlen(line) + 2 < TRUTH_TEXT_BYTES)
		sprintf(text + used, "%s\n", line);
}

static void compare(struct comparison *at, const char *what, uint64_t expected, uint64_t got)
{
	at->result->compared++;
	if (expected != got)
		differ(at, "%s: expected %" PRIu64 ", got %" PRIu64, what, expected, got);
}

static int no_truth(const struct comparison *at, const char *what)
{
	return rk_fail(EPROTO, "verify '%s': %s", at->path, what);
}

/* Where the actor counts what a key names; false if it names no count. */
static bool counted(const struct rk_mdp3_counters *counters, const char *key, uint64_t *count)
{
	const struct {
		const char *key;
		uint64_t count;
	} all[] = {
		{"packets", counters->packets},
		{"unique", counters->unique},
		{"duplicates",
		 counters->duplicates[0] + counters->duplicates[1] + counters->duplicates[2]},
		{"malformed", counters->malformed[RK_MDP3_GOOD]},
		{"missing_packets", counters->packets_missing},
		{"messages", counters->messages},
		{"entries", counters->entries},
		{"entries_implied", counters->entries_implied},
		{"securities", counters->securities},
		{"bbo_updates", counters->bbo_updates},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i].key, key))
			continue;
		*count = all[i].count;
		return true;
	}
	return false;
}

static int compare_templates(struct comparison *at, json_t *templates)
{
	const char *key;
	json_t *value;

	json_object_foreach(templates, key, value)
	{
		unsigned long id = strtoul(key, NULL, 10);
		char what[32];

		if (id >= RK_MDP3_TEMPLATES || !json_is_integer(value))
			return no_truth(at, "templates: a template is a number below 64, and has "
					    "a count");
		snprintf(what, sizeof(what), "template %lu", id);
		compare(at, what, (uint64_t)json_integer_value(value),
			at->state->counters.templates[id]);
	}
	return json_is_object(templates) ? 0 : no_truth(at, "templates: is no object");
}

static int compare_gaps(struct comparison *at, json_t *gaps)
{
	const struct books_gaps *seen = at->gaps;
	json_int_t first, last;
	json_t *gap;
	size_t i;

	if (!json_is_array(gaps))
		return no_truth(at, "gaps: is no array");
	compare(at, "gaps", json_array_size(gaps), at->state->counters.gaps);
	compare(at, "gaps that reached the last port", at->state->counters.gaps, seen->seen);
	json_array_foreach(gaps, i, gap)
	{
		if (json_unpack(gap, "[II!]", &first, &last))
			return no_truth(at, "gaps: a gap is [first, last]");
		if (i >= seen->count)
			break;
		at->result->compared++;
		if (first != seen->gap[i].first || last != seen->gap[i].last)
			differ(at, "gap %zu: expected %lld-%lld, got %u-%u", i, first, last,
			       seen->gap[i].first, seen->gap[i].last);
	}
	return 0;
}

/* @expected is [price, size, orders], or NULL for an empty level. */
static int compare_level(struct comparison *at, const struct rk_mdp3_security *security,
			 uint32_t side_index, uint32_t level, json_t *expected)
{
	const struct rk_mdp3_side *side = &security->side[side_index];
	bool proven = side->proven >> level & 1 && security->epoch == at->state->epoch;
	bool present = side->present >> level & 1;
	const struct rk_mdp3_level *got = &side->level[level];
	json_int_t price = 0, size = 0, orders = 0;

	if (expected && json_unpack(expected, "[III!]", &price, &size, &orders))
		return no_truth(at, "a level is [price, size, orders]");
	if (!proven && !at->all) {
		at->result->not_proven++;
		return 0;
	}
	at->result->compared++;
	if (present == !!expected &&
	    (!present || (got->price == price && got->size == size && got->orders == orders)))
		return 0;
	differ(at,
	       "security %d, %s, level %u: expected %s%lld, %lld, %lld; got %s%" PRId64 ", %d, %d",
	       security->id, side_names[side_index], level + 1, expected ? "" : "nothing: ", price,
	       size, orders, present ? "" : "nothing: ", present ? got->price : 0,
	       present ? got->size : 0, present ? got->orders : 0);
	return 0;
}

/* One side: a single best level, or all levels. */
static int compare_side(struct comparison *at, const struct rk_mdp3_security *security,
			uint32_t side, json_t *value, bool whole)
{
	uint32_t depth = side < RK_MDP3_IMPLIED_BID ? RK_MDP3_DEPTH : RK_MDP3_IMPLIED_DEPTH;
	int result = 0;

	if (!whole)
		return compare_level(at, security, side, 0, json_is_null(value) ? NULL : value);
	if (!json_is_array(value))
		return no_truth(at, "books: a side is an array of levels");
	for (uint32_t i = 0; !result && i < depth; i++)
		result = compare_level(at, security, side, i, json_array_get(value, i));
	return result;
}

static int compare_books(struct comparison *at, json_t *books, bool whole)
{
	const char *key;
	json_t *sides;
	int result = 0;

	if (!json_is_object(books))
		return no_truth(at, "best, books: are objects by security");
	json_object_foreach(books, key, sides)
	{
		const struct rk_mdp3_security *security =
			books_find(at->state, (int32_t)strtol(key, NULL, 10));

		if (!security && (at->all || !whole))
			differ(at, "security %s: expected a book, got none", key);
		else if (!security)
			at->result->not_proven++; /* all its packets may be missing */
		for (uint32_t i = 0; security && !result && i < RK_MDP3_SIDES; i++) {
			json_t *side = json_object_get(sides, side_names[i]);

			if (side)
				result = compare_side(at, security, i, side, whole);
		}
		if (result)
			break;
	}
	return result;
}

static bool is_note(const char *key)
{
	return !strcmp(key, "comment") || !strcmp(key, "options") || !strcmp(key, "sent");
}

static int compare_key(struct comparison *at, const char *key, json_t *value)
{
	uint64_t count;

	if (is_note(key))
		return 0;
	if (!strcmp(key, "templates"))
		return compare_templates(at, value);
	if (!strcmp(key, "gaps"))
		return compare_gaps(at, value);
	if (!strcmp(key, "books") || !strcmp(key, "best"))
		return compare_books(at, value, key[1] == 'o');
	if (!counted(&at->state->counters, key, &count))
		return rk_fail(EPROTO, "verify '%s': key '%s' is not known", at->path, key);
	if (!json_is_integer(value))
		return rk_fail(EPROTO, "verify '%s': %s: is no whole number", at->path, key);
	compare(at, key, (uint64_t)json_integer_value(value), count);
	return 0;
}

int truth_verify(const char *path, const struct rk_mdp3_state *state, const struct books_gaps *gaps,
		 struct truth_result *result)
{
	struct comparison at = {path, state, gaps, result, false};
	FILE *file = fopen(path, "re");
	json_error_t error;
	const char *key;
	json_t *all, *value;
	int failed = 0;

	memset(result, 0, sizeof(*result));
	if (!file)
		return rk_fail(errno, "verify '%s': %s", path, strerror(errno));
	all = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (!json_is_object(all)) {
		json_decref(all);
		return rk_fail(EPROTO, "verify '%s': no JSON object: line %d: %s", path, error.line,
			       error.text);
	}
	value = json_object_get(all, "gaps");
	at.all = json_is_array(value) && !json_array_size(value);
	json_object_foreach(all, key, value)
	{
		failed = compare_key(&at, key, value);
		if (failed)
			break;
	}
	json_decref(all);
	return failed;
}

#else

int truth_write(const char *path, const struct gen *gen, const struct gen_opts *opts)
{
	(void)path;
	(void)gen;
	(void)opts;
	return tool_no_json("truth");
}

int truth_verify(const char *path, const struct rk_mdp3_state *state, const struct books_gaps *gaps,
		 struct truth_result *result)
{
	(void)path;
	(void)state;
	(void)gaps;
	(void)result;
	return tool_no_json("verify");
}

#endif
