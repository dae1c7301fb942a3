/* SPDX-License-Identifier: MIT */
/*
 * pipeline.h - the words of `ringkernel run` as structures:
 *
 *	[OPTION VALUE]... PIPELINE [-- PIPELINE]...
 *	PIPELINE := from PORT [on N] [from PORT [on N]]...
 *		    [actor TYPE[,ARG=VALUE]... [on N | on gpu[N] [warp | block]]]... to PORT [on N]
 *
 * from the command line or from a file, where options have lines of their own, each pipeline has
 * one (a backslash at the end joins lines), '#' begins a comment, and $NAME stands for a value.
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include "ringkernel.h"

enum {
	PLAN_PIPELINES = 16,
	PLAN_INPUTS = 16, /* of one pipeline */
	PLAN_ACTORS = 8,
	PLAN_BOOKS = 256, /* securities named by `books` */
};

/* A port as planned; @worker may be RK_ANY_WORKER, @feed is of inputs. */
struct plan_port {
	const char *uri;
	int worker;
	uint16_t feed;
};

/* An actor as planned; @worker may be RK_ANY_WORKER, @gpu and @group are of those on a GPU. */
struct plan_actor {
	const struct rk_actor_type *type;
	uint64_t args[RK_MAX_ARGS];
	unsigned int arg_count;
	int worker;
	enum rk_backend backend;
	int gpu;
	enum rk_group group;
};

struct plan_pipeline {
	struct plan_port from[PLAN_INPUTS];
	unsigned int from_count;
	struct plan_actor actor[PLAN_ACTORS];
	unsigned int actor_count;
	struct plan_port to;
};

/**
 * struct plan_books - which books to show
 * @first: so many, in the order in which the feed named them; UINT32_MAX for all
 * @id: these instead, if @count
 */
struct plan_books {
	uint32_t first;
	int32_t id[PLAN_BOOKS];
	uint32_t count;
};

/**
 * struct plan - all that `run` is to do
 * @workers: 0: the runtime's choice
 * @slots: of each ring; 0: the runtime's choice
 * @duration_ns: 0: until all inputs end
 * @log: NULL or a file's name, as the next three
 * @text: the words of a file, which all names point into
 */
struct plan {
	unsigned int workers;
	uint64_t slots;
	uint64_t duration_ns;
	const char *log;
	const char *hgrm;
	const char *plot;
	const char *verify;
	struct plan_books books;
	struct plan_pipeline pipeline[PLAN_PIPELINES];
	unsigned int pipeline_count;
	char **text;
	size_t text_count;
};

/**
 * plan_from_words() - read the command line
 * @plan: out; its names point into @words
 * @count: of @words
 * @words: after `run`
 *
 * Return: 0; -EINVAL, and rk_errmsg() names the word and what was expected.
 */
int plan_from_words(struct plan *plan, int count, char **words);

/**
 * plan_from_file() - read a file
 * @plan: out; plan_free() releases it, also after a failure
 * @path: of the file
 * @count: of @values
 * @values: NAME=VALUE
 *
 * Return: 0; -EINVAL, and rk_errmsg() begins with file and line; -ENOMEM; the errno of reading.
 */
int plan_from_file(struct plan *plan, const char *path, int count, char **values);

void plan_free(struct plan *plan);

#endif
