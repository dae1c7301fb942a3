// SPDX-License-Identifier: MIT
/* Taking a snapshot of a group: the order to all, their parts, and what they make together. */
#include "runtime.h"
#include "clock.h"
#include "rk_checkpoint.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

struct group {
	struct rk_actor *const *actors;
	unsigned int count;
	struct rk_runtime *runtime;
};

/* RK_SNAPSHOT_OUTSIDE for NULL, and for one that is none of the group. */
static uint32_t index_of(const struct group *group, const struct rk_actor *actor)
{
	for (unsigned int i = 0; actor && i < group->count; i++)
		if (group->actors[i] == actor)
			return i;
	return RK_SNAPSHOT_OUTSIDE;
}

/* --- Whether it can be taken; mutex held --- */

/* The cut of an earlier snapshot that was given up, and the worker has not come back. */
static bool is_held_up(const struct rk_actor *actor)
{
	return actor->cut && (!actor->ops->cut_is_back(actor) ||
			      !actor_has_obeyed(actor, actor->cut_told));
}

static int check_actor(const struct rk_actor *actor)
{
	enum rk_actor_state state = actor->ops->state(actor);
	bool starting;

	/* Its RK_MSG_START lies before our order. */
	starting = state == RK_ACTOR_DORMANT && actor->ops->obeyed(actor) != actor->told;
	if (actor_has_stopped(actor))
		return rk_fail(EPIPE, "actor '%s': snapshot: it has stopped", actor->name);
	if ((state == RK_ACTOR_DORMANT && !starting) || state == RK_ACTOR_FAILED)
		return rk_fail(EBUSY, "actor '%s': snapshot: it %s: %s it first", actor->name,
			       state == RK_ACTOR_FAILED ? "has failed" : "is dormant",
			       state == RK_ACTOR_FAILED ? "restart" : "start");
	if (actor_is_reloading(actor))
		return rk_fail(EBUSY, "actor '%s': snapshot: its handler is being replaced: wait",
			       actor->name);
	if (is_held_up(actor))
		return rk_fail(EBUSY,
			       "actor '%s': snapshot: its handler has not come back since an "
			       "earlier one",
			       actor->name);
	return 0;
}

/*
 * An actor on a GPU sends its marker when it has had all of the others': round a cycle, never. One on
 * a CPU does not wait. @waits: actors that may be of a cycle; whether one of them comes @before
 * @actor, or behind.
 */
static bool has_neighbour(const struct group *group, const bool *waits,
			  const struct rk_actor *actor, bool before)
{
	for (struct rk_link *link = group->runtime->links; link; link = link->next) {
		uint32_t other = index_of(group, before ? link->from : link->to);

		if ((before ? link->to : link->from) == actor && other != RK_SNAPSHOT_OUTSIDE &&
		    waits[other])
			return true;
	}
	return false;
}

static int check_cycles(const struct group *group)
{
	bool *waits = malloc(group->count * sizeof(*waits)), changed = true;
	unsigned int left;
	int result = 0;

	if (!waits)
		return rk_fail(ENOMEM, "snapshot: no memory for %u actors", group->count);
	for (unsigned int i = 0; i < group->count; i++)
		waits[i] = group->actors[i]->gpu != NULL;
	while (changed) {
		changed = false;
		for (unsigned int i = 0; i < group->count; i++) {
			if (!waits[i] || (has_neighbour(group, waits, group->actors[i], true) &&
					  has_neighbour(group, waits, group->actors[i], false)))
				continue;
			waits[i] = false;
			changed = true;
		}
	}
	for (left = 0; left < group->count && !waits[left]; left++)
		;
	if (left < group->count)
		result = rk_fail(EOPNOTSUPP,
				 "actor '%s': snapshot: it is of a cycle of actors on GPUs: have "
				 "one of them on a CPU, or out of the group",
				 group->actors[left]->name);
	free(waits);
	return result;
}

static int check_group(const struct group *group)
{
	if (group->runtime->taking)
		return rk_fail(EBUSY, "snapshot: another is being taken in this runtime: wait");
	for (unsigned int i = 0; i < group->count; i++) {
		const struct rk_actor *actor = group->actors[i];
		int result = check_actor(actor);

		if (result)
			return result;
		if (actor->runtime != group->runtime || index_of(group, actor) != i)
			return rk_fail(
				EINVAL,
				"snapshot: actor '%s' is %s: name actors of one runtime, each "
				"once",
				actor->name,
				actor->runtime != group->runtime ? "of another runtime"
								 : "named twice");
	}
	return check_cycles(group);
}

/* --- Beginning; mutex held --- */

/* The cut of @actor, empty but for room and its epoch. */
static int prepare(struct rk_actor *actor)
{
	uint32_t bytes = actor->type->state_bytes;

	if (actor->cut)
		cpu_cut_reset(actor->cut);
	else
		actor->cut = calloc(1, sizeof(*actor->cut));
	if (!actor->cut || !(actor->cut->state = malloc(bytes + 1)))
		return rk_fail(ENOMEM, "actor '%s': snapshot: no memory for %u bytes of state",
			       actor->name, bytes);
	actor->cut->epoch = actor->runtime->epoch;
	return 0;
}

/* Tell the cuts which ends of links have others of the group at their other end. */
static void note_inside(const struct group *group)
{
	for (struct rk_link *link = group->runtime->links; link; link = link->next) {
		if (index_of(group, link->from) == RK_SNAPSHOT_OUTSIDE ||
		    index_of(group, link->to) == RK_SNAPSHOT_OUTSIDE)
			continue;
		link->from->cut->inside[link->from->cut->insides++] = &link->tx;
		link->to->cut->inside[link->to->cut->insides++] = &link->rx;
		link->to->cut->fed = true;
	}
}

static int tell_cut(struct rk_actor *actor, bool forget)
{
	struct rk_msg msg;

	actor->ops->cut(actor, forget, &msg);
	return actor_tell(actor, &msg);
}

/* It does nothing before a marker comes, but must know of it before. */
static bool awaits_marker(const struct rk_actor *actor)
{
	return actor->gpu && actor->cut->fed;
}

/* Until the workers and GPUs have given their cuts back, or are told to. */
static int begin(const struct group *group)
{
	int result = check_group(group);

	if (result)
		return result;
	group->runtime->epoch++;
	for (unsigned int i = 0; !result && i < group->count; i++)
		result = prepare(group->actors[i]);
	if (result)
		return result;
	note_inside(group);
	group->runtime->taking = true;
	/* All have theirs before the first marker can reach one of them. */
	for (unsigned int i = 0; !result && i < group->count; i++)
		result = group->actors[i]->ops->lend(group->actors[i]);
	for (unsigned int i = 0; !result && i < group->count; i++)
		if (awaits_marker(group->actors[i])) {
			result = tell_cut(group->actors[i], false);
			group->actors[i]->cut_told = group->actors[i]->told;
		}
	return result;
}

/* Those that await markers know; from here on there are some. */
static int tell_others(const struct group *group)
{
	int result = 0;

	pthread_mutex_lock(&group->runtime->mutex);
	for (unsigned int i = 0; !result && i < group->count; i++)
		if (!awaits_marker(group->actors[i]))
			result = tell_cut(group->actors[i], false);
	pthread_mutex_unlock(&group->runtime->mutex);
	return result;
}

/* --- Waiting --- */

static bool is_back(const struct rk_actor *actor)
{
	return actor->ops->cut_is_back(actor);
}

static bool knows(const struct rk_actor *actor)
{
	return !awaits_marker(actor) || actor_has_obeyed(actor, actor->cut_told);
}

struct awaited {
	const struct rk_actor *actor;
	bool (*reached)(const struct rk_actor *actor);
};

static bool is_reached_or_over(const void *what)
{
	const struct awaited *awaited = what;

	return awaited->reached(awaited->actor) || actor_has_stopped(awaited->actor);
}

static int wait_for_all(const struct group *group, bool (*reached)(const struct rk_actor *actor),
			uint64_t end_ns)
{
	for (unsigned int i = 0; i < group->count; i++) {
		struct rk_actor *actor = group->actors[i];
		const struct awaited awaited = {.actor = actor, .reached = reached};
		uint64_t now = now_ns(), left_ns = now < end_ns ? end_ns - now : 0;

		if (actor_await(actor, is_reached_or_over, &awaited, left_ns))
			return rk_fail(
				ETIMEDOUT,
				"actor '%s': snapshot: not done in time: its handler, or one that "
				"sends to it, has not come back",
				actor->name);
		if (!reached(actor))
			return rk_fail(EPIPE, "actor '%s': snapshot: it has stopped", actor->name);
		if (actor->cut->failed)
			return rk_fail(-actor->cut->failed,
				       "actor '%s': snapshot: no memory for what is in flight",
				       actor->name);
	}
	return 0;
}

/* All parts, here. */
static int bring(const struct group *group, uint64_t timeout_ns)
{
	uint64_t end_ns = deadline_ns(timeout_ns);
	int result = wait_for_all(group, knows, end_ns);

	if (!result)
		result = tell_others(group);
	if (!result)
		result = wait_for_all(group, is_back, end_ns);
	for (unsigned int i = 0; !result && i < group->count; i++)
		if (group->actors[i]->ops->bring_cut)
			result = group->actors[i]->ops->bring_cut(group->actors[i]);
	return result;
}

/* Whoever still has a cut gives it back when he comes to it. */
static void forget(const struct group *group)
{
	pthread_mutex_lock(&group->runtime->mutex);
	for (unsigned int i = 0; i < group->count; i++) {
		struct rk_actor *actor = group->actors[i];

		if (actor_has_stopped(actor) || tell_cut(actor, true))
			continue;
		actor->cut_told = actor->told;
	}
	pthread_mutex_unlock(&group->runtime->mutex);
}

/* --- What the parts make together --- */

static char *copy_text(const char *text)
{
	return strdup(text);
}

static int add_actor(struct rk_snapshot *snapshot, const struct rk_actor *actor)
{
	struct rk_snapshot_actor *to = &snapshot->actor[snapshot->actors++];

	to->name = copy_text(actor->name);
	to->type = copy_text(actor->type->name);
	to->arg_count = actor_count_args(actor->type);
	to->args = malloc((to->arg_count + 1) * sizeof(*to->args));
	to->state_bytes = actor->type->state_bytes;
	to->state = actor->cut->state;
	actor->cut->state = NULL;
	if (!to->name || !to->type || !to->args)
		return rk_fail(ENOMEM, "actor '%s': snapshot: no memory", actor->name);
	memcpy(to->args, actor->start[0].body, to->arg_count * sizeof(*to->args));
	return 0;
}

/* How the cut found @end of a link; NULL: the actor was never given it. */
static struct cpu_cut_end *find_end(struct cpu_cut_end *ends, uint32_t count, const void *end)
{
	for (uint32_t i = 0; i < count; i++)
		if (ends[i].end == end)
			return &ends[i];
	return NULL;
}

/* Such a ring is nothing that the host has an end of. */
static bool between_gpus(const struct rk_link *link)
{
	return link->from && link->from->gpu && link->to && link->to->gpu;
}

static uint32_t capacity_log2(const struct rk_link *link)
{
	return between_gpus(link) ? link->memory.device.capacity_log2
				  : link->memory.ring.capacity_log2;
}

static int add_link(struct rk_snapshot *snapshot, const struct group *group,
		    const struct rk_link *link)
{
	struct rk_snapshot_link *to = &snapshot->link[snapshot->links];
	struct cpu_cut_end *sent = NULL, *received = NULL;

	*to = (struct rk_snapshot_link){.from = index_of(group, link->from),
					.to = index_of(group, link->to),
					.slots = 1ULL << capacity_log2(link)};
	if (to->from != RK_SNAPSHOT_OUTSIDE &&
	    !(sent = find_end(link->from->cut->outbox, link->from->cut->outboxes, &link->tx)))
		return 0;
	if (to->to != RK_SNAPSHOT_OUTSIDE &&
	    !(received = find_end(link->to->cut->inbox, link->to->cut->inboxes, &link->rx)))
		return 0;
	if (!sent && !received)
		return 0;
	snapshot->links++;
	to->name = copy_text(between_gpus(link) ? link->to->name : link->memory.ring.name);
	if (sent) {
		to->outbox = (uint32_t)(sent - link->from->cut->outbox);
		to->sent = sent->position + link->sent_before;
	}
	if (received) {
		to->inbox = (uint32_t)(received - link->to->cut->inbox);
		to->received = received->position + link->received_before;
		to->cells = received->cells;
		to->count = received->count;
		received->cells = NULL;
	}
	return to->name ? 0 : rk_fail(ENOMEM, "snapshot: no memory");
}

/* In the order in which they were made: the list has the last first. */
static int add_links(struct rk_snapshot *snapshot, const struct group *group)
{
	const struct rk_link **links;
	unsigned int count = 0;
	int result = 0;

	for (const struct rk_link *link = group->runtime->links; link; link = link->next)
		count++;
	links = malloc((count + 1) * sizeof(*links));
	snapshot->link = calloc(count + 1, sizeof(*snapshot->link));
	if (!links || !snapshot->link) {
		free(links);
		return rk_fail(ENOMEM, "snapshot: no memory for %u links", count);
	}
	count = 0;
	for (const struct rk_link *link = group->runtime->links; link; link = link->next)
		links[count++] = link;
	while (!result && count)
		result = add_link(snapshot, group, links[--count]);
	free(links);
	return result;
}

static int assemble(struct rk_snapshot **out, const struct group *group)
{
	struct rk_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int result = 0;

	if (snapshot)
		snapshot->actor = calloc(group->count, sizeof(*snapshot->actor));
	if (!snapshot || !snapshot->actor) {
		free(snapshot);
		return rk_fail(ENOMEM, "snapshot: no memory");
	}
	snapshot->time_ns = clock_ns(CLOCK_REALTIME);
	for (unsigned int i = 0; !result && i < group->count; i++)
		result = add_actor(snapshot, group->actors[i]);
	if (!result)
		result = add_links(snapshot, group);
	if (result)
		rk_snapshot_free(snapshot);
	else
		*out = snapshot;
	return result;
}

int rk_snapshot_take(struct rk_snapshot **snapshot, struct rk_actor *const *actors,
		     unsigned int count, uint64_t timeout_ns)
{
	const struct group group = {
		.actors = actors, .count = count, .runtime = count ? actors[0]->runtime : NULL};
	bool mine;
	int result;

	if (!count)
		return rk_fail(EINVAL, "snapshot: no actor: name one at least");
	pthread_mutex_lock(&group.runtime->mutex);
	/* A link is known to both its ends, or to none. */
	while (group.runtime->joining)
		runtime_give_way(group.runtime);
	mine = !group.runtime->taking;
	result = begin(&group);
	mine &= group.runtime->taking;
	pthread_mutex_unlock(&group.runtime->mutex);
	if (!mine)
		return result;
	if (!result)
		result = bring(&group, timeout_ns);
	if (result)
		forget(&group);
	/* No link is made before we have looked at all of them. */
	else
		result = assemble(snapshot, &group);
	pthread_mutex_lock(&group.runtime->mutex);
	group.runtime->taking = false;
	pthread_cond_broadcast(&group.runtime->changed);
	pthread_mutex_unlock(&group.runtime->mutex);
	return result;
}
