// SPDX-License-Identifier: MIT
/* The grammar of pipeline.h: one pass over the words, each error naming what was expected. */
#include "actors.h"
#include "tool.h"
#include "words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_worker(struct words *words, int *worker)
{
	const char *text = words_value(words, "on", "WORKER");
	uint64_t number;
	int result;

	result = text ? words_whole_between("on", text, 0, RK_MAX_WORKERS - 1, &number) : -EINVAL;
	if (!result)
		*worker = (int)number;
	return result;
}

/* "on N", if it is there. */
static int read_on(struct words *words, int *worker)
{
	*worker = RK_ANY_WORKER;
	return words_take_if(words, "on") ? read_worker(words, worker) : 0;
}

/* "gpu" or "gpuN", and who calls its handler. */
static int read_gpu(struct words *words, struct plan_actor *actor)
{
	const char *text = words_take(words);
	uint64_t number = 0;

	if (text[3] && (!words_whole(text + 3, &number) || number >= RK_MAX_GPUS))
		return rk_fail(EINVAL, "on '%s': give gpu, or one of gpu0 to gpu%d", text,
			       RK_MAX_GPUS - 1);
	actor->backend = RK_BACKEND_CUDA;
	actor->gpu = (int)number;
	if (words_take_if(words, "block"))
		actor->group = RK_GROUP_BLOCK;
	else
		words_take_if(words, "warp");
	return 0;
}

/* "on N" or "on gpuN", if it is there. */
static int read_actor_on(struct words *words, struct plan_actor *actor)
{
	actor->worker = RK_ANY_WORKER;
	if (!words_take_if(words, "on"))
		return 0;
	if (words_peek(words) && !strncmp(words_peek(words), "gpu", 3))
		return read_gpu(words, actor);
	return read_worker(words, &actor->worker);
}

static int read_port(struct words *words, const char *word, struct plan_port *port)
{
	port->uri = words_value(words, word, "PORT");
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
		if (!value || !words_whole(value, &actor->args[i]))
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
	const char *value = words_value(words, "actor", "TYPE[,ARG=VALUE]...");
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
	return result ? result : read_actor_on(words, actor);
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

int words_read_pipeline(struct plan *plan, struct words *words, const char *expected)
{
	struct plan_pipeline *pipeline = &plan->pipeline[plan->pipeline_count];
	int result = 0;

	if (plan->pipeline_count == PLAN_PIPELINES)
		return rk_fail(EINVAL, "more than %d pipelines", PLAN_PIPELINES);
	if (!words_take_if(words, "from"))
		return tool_unknown(words_peek(words), expected);
	plan->pipeline_count++;
	result = read_from(words, pipeline);
	while (!result) {
		bool actors = pipeline->actor_count;

		if (!actors && words_take_if(words, "from")) {
			result = read_from(words, pipeline);
		} else if (words_take_if(words, "actor")) {
			result = read_actor(words, pipeline);
		} else if (words_take_if(words, "to")) {
			result = read_port(words, "to", &pipeline->to);
			return result ? result : check_replayer(pipeline);
		} else {
			result = tool_unknown(words_peek(words),
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

int words_check_plan(const struct plan *plan)
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

void plan_init(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->books.first = 10;
}

int plan_from_words(struct plan *plan, int count, char **words)
{
	struct words left = {words, count};
	const char *expected = "from, " WORDS_OPTIONS;
	int result;

	plan_init(plan);
	if (words_take_if(&left, "file"))
		return rk_fail(EINVAL, "file: it stands alone: run file FILE [NAME=VALUE]...");
	result = words_read_options(plan, &left);
	do {
		if (!result)
			result = words_read_pipeline(plan, &left, expected);
		expected = "from";
	} while (!result && words_take_if(&left, "--"));
	if (!result && left.left)
		result = tool_unknown(words_peek(&left),
				      plan->pipeline[plan->pipeline_count - 1].to.worker ==
						      RK_ANY_WORKER
					      ? "on, --"
					      : "--");
	return result ? result : words_check_plan(plan);
}
