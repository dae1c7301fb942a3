/* SPDX-License-Identifier: MIT */
/*
 * rk_name.h - names for actors of one runtime: registered, looked up, listed by pattern, watched.
 *
 * A name is a path: parts with "/" between them, as "md/cme/book". In a pattern `*` stands for any
 * bytes of one part, `**` for any bytes at all, `?` for one byte of a part, and `\` takes what
 * follows it literally. rk_link_name() (rk_remote.h) finds an actor by such a name too.
 *
 * A name belongs to one actor; an actor may have several. When it has stopped or failed for good,
 * its names go away by themselves.
 */
#ifndef RK_NAME_H
#define RK_NAME_H

#include "rk_actor.h"
#include "rk_runtime.h"

#define RK_NAME_BYTES 256 /* of a name or a pattern, with the NUL */

struct rk_name_watch;

/* What has become of a name. */
enum rk_name_news {
	RK_NAME_CAME,
	RK_NAME_WENT, /* unregistered, or its actor has stopped */
};

/**
 * struct rk_name_entry - a name, and whose it is
 * @name: the path
 * @actor: lives as long as its runtime
 */
struct rk_name_entry {
	char name[RK_NAME_BYTES];
	struct rk_actor *actor;
};

/**
 * struct rk_name_event - one thing that a watch has seen
 * @news: came or went
 * @entry: whose name
 * @lost: events before this one that there was no memory for
 */
struct rk_name_event {
	enum rk_name_news news;
	struct rk_name_entry entry;
	uint64_t lost;
};

RK_BEGIN_DECLS

/**
 * rk_name_register() - give an actor a name
 * @actor: spawned
 * @name: copied; parts of printable bytes, none empty, without `*`, `?` and `\`
 *
 * Context: any thread; may sleep on a mutex.
 * Return: 0; -EEXIST when an actor has it, -EINVAL for a name that is none, with the byte; -EPIPE
 * when the actor has stopped; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_name_register(struct rk_actor *actor, const char *name);

/**
 * rk_name_unregister() - take a name away
 * @runtime: open
 * @name: registered
 *
 * Context: any thread; may sleep on a mutex.
 * Return: 0; -ENOENT when nobody has it, said in rk_errmsg().
 */
RK_API int rk_name_unregister(struct rk_runtime *runtime, const char *name);

/**
 * rk_name_find() - the actor that has a name
 * @actor: out
 * @runtime: open
 * @name: registered
 *
 * Context: any thread; may sleep on a mutex.
 * Return: 0; -ENOENT when nobody has it, said in rk_errmsg().
 */
RK_API int rk_name_find(struct rk_actor **actor, struct rk_runtime *runtime, const char *name);

/**
 * rk_name_list() - the names that match a pattern
 * @runtime: open
 * @pattern: see above
 * @entries: out: the first of them, in the order of their registration
 * @most: room in @entries
 *
 * Context: any thread; may sleep on a mutex.
 * Return: how many match, also beyond @most; -EINVAL for a pattern that is none, with the byte,
 * said in rk_errmsg().
 */
RK_API int rk_name_list(struct rk_runtime *runtime, const char *pattern,
			struct rk_name_entry *entries, unsigned int most);

/**
 * rk_name_matches() - whether a name matches a pattern
 * @pattern: see above
 * @name: any text
 *
 * Takes a time of the product of both lengths at most, whatever the pattern.
 *
 * Context: any.
 * Return: 1 or 0; -EINVAL for a pattern that is none, with the byte, said in rk_errmsg().
 */
RK_API int rk_name_matches(const char *pattern, const char *name);

/**
 * rk_name_watch_open() - learn of names that come and go
 * @watch: out
 * @runtime: open
 * @pattern: of the names; copied
 *
 * Those that are there come first. Events wait in memory until they are read.
 *
 * Context: any thread; may sleep on a mutex.
 * Owner: rk_name_watch_close(), or rk_runtime_close().
 * Return: 0; -EINVAL as rk_name_list(); -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_name_watch_open(struct rk_name_watch **watch, struct rk_runtime *runtime,
			      const char *pattern);

/**
 * rk_name_watch_next() - the next event
 * @watch: open; one thread at a time
 * @event: out
 * @timeout_ns: at most this long
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -ETIMEDOUT when nothing came.
 */
RK_API int rk_name_watch_next(struct rk_name_watch *watch, struct rk_name_event *event,
			      uint64_t timeout_ns);

/**
 * rk_name_watch_close() - watch no more
 * @watch: open, and nobody waits in rk_name_watch_next(); NULL does nothing
 *
 * Context: any thread; may sleep on a mutex.
 */
RK_API void rk_name_watch_close(struct rk_name_watch *watch);

RK_END_DECLS

#endif
