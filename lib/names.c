// SPDX-License-Identifier: MIT
/* Names of a runtime's actors, and who watches them. All under the runtime's mutex. */
#include "rk_error.h"
#include "rk_name.h"
#include "rk_pattern.h"
#include "runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

RK_STATIC_ASSERT(RK_NAME_BYTES <= RK_PATTERN_BYTES, "a name's pattern is one");

struct name {
	struct name *next;
	struct rk_name_entry entry;
};

struct event {
	struct event *next;
	struct rk_name_event event;
};

struct rk_name_watch {
	struct rk_name_watch *next;
	struct rk_runtime *runtime;
	struct event *first, **last;
	uint64_t lost;
	char pattern[RK_NAME_BYTES];
};

/* --- Names and patterns --- */

static int check_length(const char *what, const char *text)
{
	if (!*text)
		return rk_fail(EINVAL, "%s '': it is empty", what);
	if (strlen(text) >= RK_NAME_BYTES)
		return rk_fail(EINVAL, "%s '%.32s...': %zu bytes, and %d are the most", what, text,
			       strlen(text), RK_NAME_BYTES - 1);
	return 0;
}

static int check_name(const char *name)
{
	int result = check_length("name", name);

	for (size_t i = 0; !result && name[i]; i++) {
		unsigned char byte = (unsigned char)name[i];

		if (byte < ' ' || byte == 0x7f || strchr("*?\\", byte))
			result = rk_fail(EINVAL,
					 "name '%s': byte %zu (%#x) is for patterns, or none "
					 "that is printed",
					 name, i, byte);
		else if (byte == '/' && (!i || !name[i + 1] || name[i + 1] == '/'))
			result = rk_fail(EINVAL, "name '%s': an empty part at byte %zu", name, i);
	}
	return result;
}

static int check_pattern(const char *pattern)
{
	int result = check_length("pattern", pattern);

	for (size_t i = 0; !result && pattern[i]; i++)
		if (pattern[i] == '\\' && !pattern[++i])
			return rk_fail(
				EINVAL,
				"pattern '%s': nothing follows the \\ at byte %zu: double it",
				pattern, i - 1);
	return result;
}

static bool matches(const char *pattern, const char *name)
{
	return rk_pattern_matches(pattern, (uint32_t)strlen(pattern), name, (uint32_t)strlen(name));
}

int rk_name_matches(const char *pattern, const char *name)
{
	int result = check_pattern(pattern);

	return result ? result : matches(pattern, name);
}

/* --- What watches are told; mutex held --- */

static void tell(struct rk_name_watch *watch, enum rk_name_news news,
		 const struct rk_name_entry *entry)
{
	struct event *event;

	if (!matches(watch->pattern, entry->name))
		return;
	event = malloc(sizeof(*event));
	if (!event) {
		watch->lost++;
		return;
	}
	*event = (struct event){.event = {.news = news, .entry = *entry, .lost = watch->lost}};
	watch->lost = 0;
	*watch->last = event;
	watch->last = &event->next;
}

static void tell_all(struct rk_runtime *runtime, enum rk_name_news news,
		     const struct rk_name_entry *entry)
{
	for (struct rk_name_watch *watch = runtime->watches; watch; watch = watch->next)
		tell(watch, news, entry);
	pthread_cond_broadcast(&runtime->changed);
}

static void forget(struct rk_runtime *runtime, struct name **at)
{
	struct name *name = *at;

	*at = name->next;
	tell_all(runtime, RK_NAME_WENT, &name->entry);
	free(name);
}

/* Names of those that have stopped go. Before anybody looks, so that nobody sees one. */
static void sweep(struct rk_runtime *runtime)
{
	struct name **at = &runtime->names;

	while (*at)
		if (actor_has_stopped((*at)->entry.actor))
			forget(runtime, at);
		else
			at = &(*at)->next;
}

/* Where @name is, or the end of the list. */
static struct name **find(struct rk_runtime *runtime, const char *name)
{
	struct name **at = &runtime->names;

	sweep(runtime);
	while (*at && strcmp((*at)->entry.name, name) != 0)
		at = &(*at)->next;
	return at;
}

struct rk_actor *names_find(struct rk_runtime *runtime, const char *name)
{
	struct name *found = *find(runtime, name);

	return found ? found->entry.actor : NULL;
}

/* --- Registering, looking up --- */

static int add(struct name **at, struct rk_actor *actor, const char *text)
{
	struct name *name;

	if (*at)
		return rk_fail(EEXIST, "name '%s': actor '%s' has it: unregister it first", text,
			       (*at)->entry.actor->name);
	if (actor_has_stopped(actor))
		return rk_fail(EPIPE, "name '%s': actor '%s' has stopped", text, actor->name);
	name = calloc(1, sizeof(*name));
	if (!name)
		return rk_fail(ENOMEM, "name '%s': no memory", text);
	strcpy(name->entry.name, text); /* as long as was checked */
	name->entry.actor = actor;
	*at = name;
	tell_all(actor->runtime, RK_NAME_CAME, &name->entry);
	return 0;
}

int rk_name_register(struct rk_actor *actor, const char *name)
{
	int result = check_name(name);

	if (result)
		return result;
	pthread_mutex_lock(&actor->runtime->mutex);
	result = add(find(actor->runtime, name), actor, name);
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

static int nobody(const char *name)
{
	return rk_fail(ENOENT, "name '%s': no actor that runs has it", name);
}

int rk_name_unregister(struct rk_runtime *runtime, const char *name)
{
	struct name **at;
	bool found;

	pthread_mutex_lock(&runtime->mutex);
	at = find(runtime, name);
	found = *at;
	if (found)
		forget(runtime, at);
	pthread_mutex_unlock(&runtime->mutex);
	return found ? 0 : nobody(name);
}

int rk_name_find(struct rk_actor **actor, struct rk_runtime *runtime, const char *name)
{
	pthread_mutex_lock(&runtime->mutex);
	*actor = names_find(runtime, name);
	pthread_mutex_unlock(&runtime->mutex);
	return *actor ? 0 : nobody(name);
}

int rk_name_list(struct rk_runtime *runtime, const char *pattern, struct rk_name_entry *entries,
		 unsigned int most)
{
	int result = check_pattern(pattern);
	unsigned int found = 0;

	if (result)
		return result;
	pthread_mutex_lock(&runtime->mutex);
	sweep(runtime);
	for (struct name *name = runtime->names; name; name = name->next) {
		if (!matches(pattern, name->entry.name))
			continue;
		if (found < most)
			entries[found] = name->entry;
		found++;
	}
	pthread_mutex_unlock(&runtime->mutex);
	return (int)found;
}

/* --- Watching --- */

int rk_name_watch_open(struct rk_name_watch **out, struct rk_runtime *runtime, const char *pattern)
{
	int result = check_pattern(pattern);
	struct rk_name_watch *watch;

	if (result)
		return result;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return rk_fail(ENOMEM, "watch of '%s': no memory", pattern);
	watch->runtime = runtime;
	watch->last = &watch->first;
	strcpy(watch->pattern, pattern); /* as long as was checked */
	pthread_mutex_lock(&runtime->mutex);
	sweep(runtime);
	for (struct name *name = runtime->names; name; name = name->next)
		tell(watch, RK_NAME_CAME, &name->entry);
	watch->next = runtime->watches;
	runtime->watches = watch;
	pthread_mutex_unlock(&runtime->mutex);
	*out = watch;
	return 0;
}

static bool has_event(const void *what)
{
	const struct rk_name_watch *watch = what;

	sweep(watch->runtime);
	return watch->first;
}

/* The first event leaves the queue. */
static void take(struct rk_name_watch *watch, struct rk_name_event *out)
{
	struct event *event = watch->first;

	*out = event->event;
	watch->first = event->next;
	if (!watch->first)
		watch->last = &watch->first;
	free(event);
}

int rk_name_watch_next(struct rk_name_watch *watch, struct rk_name_event *event,
		       uint64_t timeout_ns)
{
	int result;

	pthread_mutex_lock(&watch->runtime->mutex);
	result = runtime_wait_until(watch->runtime, has_event, watch, timeout_ns);
	if (!result)
		take(watch, event);
	pthread_mutex_unlock(&watch->runtime->mutex);
	return result;
}

static void free_watch(struct rk_name_watch *watch)
{
	struct rk_name_event unread;

	while (watch->first)
		take(watch, &unread);
	free(watch);
}

void rk_name_watch_close(struct rk_name_watch *watch)
{
	struct rk_name_watch **at;

	if (!watch)
		return;
	pthread_mutex_lock(&watch->runtime->mutex);
	for (at = &watch->runtime->watches; *at != watch;)
		at = &(*at)->next;
	*at = watch->next;
	pthread_mutex_unlock(&watch->runtime->mutex);
	free_watch(watch);
}

void names_free(struct rk_runtime *runtime)
{
	struct rk_name_watch *watch;
	struct name *name;

	while ((watch = runtime->watches)) {
		runtime->watches = watch->next;
		free_watch(watch);
	}
	while ((name = runtime->names)) {
		runtime->names = name->next;
		free(name);
	}
}
