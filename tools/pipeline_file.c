// SPDX-License-Identifier: MIT
/* Pipelines from a file: lines, comments, $NAME; the words then go the way of all words. */
#include "tool.h"
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	size_t kept_bytes = 0;
	FILE *out;

	if (!grown)
		return rk_fail(ENOMEM, "no memory");
	plan->text = grown;
	out = open_memstream(kept, &kept_bytes);
	if (!out)
		return rk_fail(ENOMEM, "no memory");
	while (*text) {
		const char *value;
		size_t bytes;

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
	if (words_at_option(&words)) {
		result = words_read_options(plan, &words);
		return !result && words.left ? tool_unknown(words_peek(&words), WORDS_OPTIONS)
					     : result;
	}
	result = words_read_pipeline(plan, &words, "from, " WORDS_OPTIONS);
	return !result && words.left ? tool_unknown(words_peek(&words), "the end of the line")
				     : result;
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
	return result ? result : words_check_plan(plan);
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
