// SPDX-License-Identifier: MIT
/* The grammar of pipeline.h: one pass over the words, each error naming what was expected. */
#include "pipeline.h"
#include "actors.h"
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_WORDS "workers, slots, duration, log, hgrm, plot, books, verify"

/* The words not read yet. */
struct words {
	char **at;
	int left;
};

static const char *peek(const struct words *words)
{
	return words->left ? words->at[0] : NULL;
}

static const char *take(struct words *words)
{
	if (!words->left)
		return NULL;
	words->left--;
	return *words->at++;
}

static bool take_if(struct words *words, const char *word)
{
	if (!words->left || strcmp(words->at[0], word))
		return false;
	take(words);
	return true;
}

/* The word after @word; NULL, and a text that shows @form, if there is none. */
static const char *value_of(struct words *words, const char *word, const char *form)
{
	const char *value = take(words);

	if (!value)
		rk_fail(EINVAL, "%s: a value is missing: write %s %s", word, word, form);
	return value;
}

/* --- Values --- */

/* @text as a whole decimal number; false if it is none. */
static bool whole(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static int whole_between(const char *word, const char *text, uint64_t least, uint64_t most,
			 uint64_t *number)
{
	if (whole(text, number) && *number >= least && *number <= most)
		return 0;
	return rk_fail(EINVAL, "%s '%s': give a whole number, %" PRIu64 " to %" PRIu64, word, text,
		       least, most);
}

static int set_workers(struct plan *plan, const char *text)
{
	uint64_t number;
	int result = whole_between("workers", text, 1, RK_MAX_WORKERS, &number);

	if (!result)
		plan->workers = (unsigned int)number;
	return result;
}

static int set_slots(struct plan *plan, const char *text)
{
	if (whole(text, &plan->slots) && rk_ring_bytes(plan->slots))
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
	if (whole(text, &number) && number <= BOOKS_FIRST_MAX) {
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

/* Options up to the first other word. */
static int read_options(struct plan *plan, struct words *words)
{
	const struct option *option;
	uint32_t seen = 0;

	while ((option = find_option(peek(words)))) {
		const char *value;
		int result;

		take(words);
		if (seen & 1u << (option - options))
			return rk_fail(EINVAL, "%s: given twice: once is enough", option->word);
		seen |= 1u << (option - options);
		value = value_of(words, option->word, option->form);
		result = value ? option->set(plan, value) : -EINVAL;
		if (result)
			return result;
	}
	return 0;
}

/* --- Pipelines --- */

/* "on N", if it is there. */
static int read_on(struct words *words, int *worker)
{
	const char *text;
	uint64_t number;
	int result;

	*worker = RK_ANY_WORKER;
	if (!take_if(words, "on"))
		return 0;
	text = value_of(words, "on", "WORKER");
	result = text ? whole_between("on", text, 0, RK_MAX_WORKERS - 1, &number) : -EINVAL;
	if (!result)
		*worker = (int)number;
	return result;
}

static int read_port(struct words *words, const char *word, struct plan_port *port)
{
	port->uri = value_of(words, word, "PORT");
	return port->uri ? read_on(words, &port->worker) : -EINVAL;
}

/* How many numbers of feeds a port takes: those that its feeds= names, and the address before. */
static uint16_t feeds_of(const char *uri)
{
	const char *at = strstr(uri, ",feeds=");
	uint16_t feeds = 1;

	if (!at)
		return 1;
	for (at++; *at && *at != ','; at++)
		feeds += *at == '+';
	return strncmp(uri, "udp:", 4) ? feeds : feeds + 1;
}

static int read_from(struct words *words, struct plan_pipeline *pipeline)
{
	struct plan_port *port = &pipeline->from[pipeline->from_count];

	if (pipeline->from_count == PLAN_INPUTS)
		return rk_fail(EINVAL, "from: more than %d in a pipeline", PLAN_INPUTS);
	if (pipeline->from_count)
		port->feed = (uint16_t)(port[-1].feed + feeds_of(port[-1].uri));
	pipeline->from_count++;
	return read_port(words, "from", port);
}

/* Set one "ARG=VALUE" of @actor; @text is changed. */
static int set_argument(struct plan_actor *actor, char *text)
{
	const char *const *args = actor->type->args;
	char *value = strchr(text, '=');
	char list[256] = "none";
	size_t used = 0;

	if (value)
		*value++ = 0;
	for (unsigned int i = 0; args && args[i]; i++) {
		if (strcmp(args[i], text)) {
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", args[i]);
			continue;
		}
		if (!value || !whole(value, &actor->args[i]))
			return rk_fail(EINVAL, "actor '%s': %s: give a whole number: %s=N",
				       actor->type->name, text, text);
		if (actor->arg_count < i + 1)
			actor->arg_count = i + 1;
		return 0;
	}
	return rk_fail(EINVAL, "actor '%s': no argument '%s': it takes %s", actor->type->name, text,
		       list);
}

static int read_actor(struct words *words, struct plan_pipeline *pipeline)
{
	struct plan_actor *actor = &pipeline->actor[pipeline->actor_count];
	const char *value = value_of(words, "actor", "TYPE[,ARG=VALUE]...");
	char *text, *next, *word;
	int result = 0;

	if (!value)
		return -EINVAL;
	if (pipeline->actor_count == PLAN_ACTORS)
		return rk_fail(EINVAL, "actor '%s': more than %d in a pipeline", value,
			       PLAN_ACTORS);
	pipeline->actor_count++;
	next = text = strdup(value);
	if (!text)
		return rk_fail(ENOMEM, "no memory");
	word = strsep(&next, ",");
	actor->type = rk_actor_type_find(word);
	if (!actor->type)
		result = -EINVAL;
	while (!result && (word = strsep(&next, ",")))
		result = set_argument(actor, word);
	free(text);
	return result ? result : read_on(words, &actor->worker);
}

/* Without an actor both ports are one task's, and the output is one task's too. */
static int check_replayer(const struct plan_pipeline *pipeline)
{
	if (pipeline->actor_count)
		return 0;
	if (pipeline->from_count > 1)
		return rk_fail(EINVAL, "a pipeline without an actor takes one 'from': add an actor "
				       "that joins them, or a pipeline for each");
	if (pipeline->from[0].worker != RK_ANY_WORKER && pipeline->to.worker != RK_ANY_WORKER &&
	    pipeline->from[0].worker != pipeline->to.worker)
		return rk_fail(EINVAL,
			       "a pipeline without an actor is one worker's: 'on' %d and %d",
			       pipeline->from[0].worker, pipeline->to.worker);
	return 0;
}

/* One pipeline; what follows it is left. */
static int read_pipeline(struct plan *plan, struct words *words, const char *expected)
{
	struct plan_pipeline *pipeline = &plan->pipeline[plan->pipeline_count];
	int result = 0;

	if (plan->pipeline_count == PLAN_PIPELINES)
		return rk_fail(EINVAL, "more than %d pipelines", PLAN_PIPELINES);
	if (!take_if(words, "from"))
		return tool_unknown(peek(words), expected);
	plan->pipeline_count++;
	result = read_from(words, pipeline);
	while (!result) {
		bool actors = pipeline->actor_count;

		if (!actors && take_if(words, "from")) {
			result = read_from(words, pipeline);
		} else if (take_if(words, "actor")) {
			result = read_actor(words, pipeline);
		} else if (take_if(words, "to")) {
			result = read_port(words, "to", &pipeline->to);
			return result ? result : check_replayer(pipeline);
		} else {
			result = tool_unknown(peek(words),
					      actors ? "on, actor, to" : "on, from, actor, to");
		}
	}
	return result;
}

/* Nobody plans for workers that are not asked for. */
static int check_worker(const struct plan *plan, int worker)
{
	if (!plan->workers || worker < (int)plan->workers)
		return 0;
	return rk_fail(EINVAL, "on %d: with workers %u they are 0 to %u", worker, plan->workers,
		       plan->workers - 1);
}

static int check_workers(const struct plan *plan)
{
	int result = 0;

	for (unsigned int i = 0; i < plan->pipeline_count; i++) {
		const struct plan_pipeline *pipeline = &plan->pipeline[i];

		for (unsigned int j = 0; !result && j < pipeline->from_count; j++)
			result = check_worker(plan, pipeline->from[j].worker);
		for (unsigned int j = 0; !result && j < pipeline->actor_count; j++)
			result = check_worker(plan, pipeline->actor[j].worker);
		if (!result)
			result = check_worker(plan, pipeline->to.worker);
	}
	return result;
}

static void plan_init(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->books.first = 10;
}

int plan_from_words(struct plan *plan, int count, char **words)
{
	struct words left = {words, count};
	const char *expected = "from, " OPTION_WORDS;
	int result;

	plan_init(plan);
	if (take_if(&left, "file"))
		return rk_fail(EINVAL, "file: it stands alone: run file FILE [NAME=VALUE]...");
	result = read_options(plan, &left);
	do {
		if (!result)
			result = read_pipeline(plan, &left, expected);
		expected = "from";
	} while (!result && take_if(&left, "--"));
	if (!result && left.left)
		result = tool_unknown(peek(&left),
				      plan->pipeline[plan->pipeline_count - 1].to.worker ==
						      RK_ANY_WORKER
					      ? "on, --"
					      : "--");
	return result ? result : check_workers(plan);
}

/* --- Files --- */

struct values {
	char **at;
	int count;
	uint64_t used; /* a bit for each */
};

/* The value of the @bytes long name at @name; NULL, and a text. */
static const char *find_value(struct values *values, const char *name, size_t bytes)
{
	for (int i = 0; i < values->count; i++) {
		if (strncmp(values->at[i], name, bytes) || values->at[i][bytes] != '=')
			continue;
		values->used |= UINT64_C(1) << i;
		return values->at[i] + bytes + 1;
	}
	rk_fail(EINVAL, "$%.*s: has no value: give %.*s=VALUE after the file", (int)bytes, name,
		(int)bytes, name);
	return NULL;
}

static size_t name_bytes(const char *at)
{
	return strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
}

/* The word at @text with every $NAME replaced, as one that lives as long as @plan. */
static int keep_word(struct plan *plan, struct values *values, const char *text, char **kept)
{
	char **grown = realloc(plan->text, (plan->text_count + 1) * sizeof(*grown));
	size_t bytes = 0;
	FILE *out;

	if (!grown)
		return rk_fail(ENOMEM, "no memory");
	plan->text = grown;
	out = open_memstream(kept, &bytes);
	if (!out)
		return rk_fail(ENOMEM, "no memory");
	while (*text) {
		const char *value;

		if (*text != '$') {
			putc(*text++, out);
			continue;
		}
		bytes = name_bytes(++text);
		value = find_value(values, text, bytes);
		if (!value) {
			fclose(out);
			free(*kept);
			return -EINVAL;
		}
		fputs(value, out);
		text += bytes;
	}
	if (fclose(out))
		return rk_fail(ENOMEM, "no memory");
	plan->text[plan->text_count++] = *kept;
	return 0;
}

enum { LINE_WORDS = 512 };

/* The words of a whole line, which is changed. */
static int split(struct plan *plan, struct values *values, char *line, char **word,
		 struct words *words)
{
	char *rest = line, *text;

	*words = (struct words){word, 0};
	while ((text = strsep(&rest, " \t\r\n"))) {
		int result;

		if (!*text)
			continue;
		if (*text == '#')
			return 0;
		if (words->left == LINE_WORDS)
			return rk_fail(EINVAL, "more than %d words", LINE_WORDS);
		result = keep_word(plan, values, text, &word[words->left]);
		if (result)
			return result;
		words->left++;
	}
	return 0;
}

/* A line of options, or one of a pipeline. */
static int read_line(struct plan *plan, struct values *values, char *line)
{
	char *word[LINE_WORDS];
	struct words words;
	int result = split(plan, values, line, word, &words);

	if (result || !words.left)
		return result;
	if (find_option(peek(&words))) {
		result = read_options(plan, &words);
		return !result && words.left ? tool_unknown(peek(&words), OPTION_WORDS) : result;
	}
	result = read_pipeline(plan, &words, "from, " OPTION_WORDS);
	return !result && words.left ? tool_unknown(peek(&words), "the end of the line") : result;
}

/* Append the next line of @file to *@line, with those that a backslash joins to it. */
static int next_line(FILE *file, char **line, unsigned int *number)
{
	size_t room = 0, used = 0, more_room = 0;
	char *more = NULL;
	ssize_t bytes;

	*line = NULL;
	while ((bytes = getline(&more, &more_room, file)) > 0) {
		++*number;
		if (used + (size_t)bytes + 1 > room) {
			char *grown = realloc(*line, room = 2 * (used + (size_t)bytes + 1));

			if (!grown)
				break;
			*line = grown;
		}
		memcpy(*line + used, more, (size_t)bytes + 1);
		used += (size_t)bytes;
		if (used < 2 || strcmp(*line + used - 2, "\\\n"))
			break;
		strcpy(*line + used - 2, " ");
		used--;
	}
	free(more);
	return *line != NULL;
}

static int read_lines(struct plan *plan, const char *path, FILE *file, struct values *values)
{
	unsigned int number = 0, first;
	char *line;
	int result = 0;

	while (!result && (first = number + 1) && next_line(file, &line, &number)) {
		result = read_line(plan, values, line);
		if (result)
			rk_fail_within(result, "%s:%u", path, first);
		free(line);
	}
	if (!result && ferror(file))
		result = rk_fail(errno ? errno : EIO, "%s: %s", path, strerror(errno));
	if (!result && !plan->pipeline_count)
		result = rk_fail(EINVAL, "%s: no pipeline in it: from PORT ... to PORT", path);
	for (int i = 0; !result && i < values->count; i++)
		if (!(values->used & UINT64_C(1) << i))
			result = rk_fail(EINVAL, "%s: $%.*s is not used in it", path,
					 (int)name_bytes(values->at[i]), values->at[i]);
	return result ? result : check_workers(plan);
}

int plan_from_file(struct plan *plan, const char *path, int count, char **values)
{
	struct values given = {values, count, 0};
	FILE *file;
	int result;

	plan_init(plan);
	if (count > 64)
		return rk_fail(EINVAL, "more than 64 values");
	for (int i = 0; i < count; i++)
		if (!name_bytes(values[i]) || values[i][name_bytes(values[i])] != '=')
			return rk_fail(EINVAL, "unknown word '%s': expected one of NAME=VALUE",
				       values[i]);
	file = fopen(path, "re");
	if (!file)
		return rk_fail(errno, "%s: %s", path, strerror(errno));
	result = read_lines(plan, path, file, &given);
	fclose(file);
	return result;
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->text_count; i++)
		free(plan->text[i]);
	free(plan->text);
}
