// SPDX-License-Identifier: MIT
/* Going on from a snapshot: actors with their states, links anew, and what was in flight. */
#include "runtime.h"
#include "rk_checkpoint.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

/* --- Actors --- */

static const struct rk_actor_type *find_type(const struct rk_restore_opts *opts, const char *name)
{
	for (unsigned int i = 0; i < opts->type_count; i++)
		if (!strcmp(opts->types[i]->name, name))
			return opts->types[i];
	return NULL;
}

static int spawn(struct rk_actor **actor, struct rk_runtime *runtime,
		 const struct rk_snapshot_actor *from, const struct rk_restore_opts *opts)
{
	struct rk_actor_opts with = {.size = sizeof(with),
					   .name = from->name,
					   .worker = RK_ANY_WORKER,
					   .args = from->args,
					   .arg_count = from->arg_count,
					   .dormant = true,
					   .state = from->state};
	const struct rk_actor_type *type = find_type(opts, from->type);

	if (!type)
		return rk_fail(EINVAL, "actor '%s': restore: type '%s' is not among the %u given",
			       from->name, from->type, opts->type_count);
	if (type->state_bytes != from->state_bytes)
		return rk_fail(EINVAL,
			       "actor '%s': restore: %u bytes of state, and type '%s' has %u: give "
			       "the type that it was taken of",
			       from->name, from->state_bytes, from->type, type->state_bytes);
	if (opts->place)
		opts->place(opts->argument, from, &with);
	return rk_actor_spawn(actor, runtime, type, &with);
}

/* --- Links --- */

static int join(struct rk_actor *from, struct rk_actor *to, const struct rk_snapshot_link *link,
		const struct rk_restore_opts *opts)
{
	const struct rk_link_opts with = {
		.size = sizeof(with), .slots = link->slots, .worker = RK_ANY_WORKER};

	if (from && to)
		return rk_link_actors(NULL, from, to, &with);
	if (!opts->join)
		return rk_fail(
			EINVAL,
			"restore: link '%s' has an end outside: give a function that makes it",
			link->name);
	return opts->join(opts->argument, link, from, to);
}

/* The link that was made just now, with the numbers that it had. */
static struct rk_link *find_link(struct rk_runtime *runtime, const struct rk_actor *from,
				 const struct rk_actor *to, const struct rk_snapshot_link *as)
{
	struct rk_link *link;

	pthread_mutex_lock(&runtime->mutex);
	link = runtime->links;
	while (link && ((from && link->from != from) || (to && link->to != to)))
		link = link->next;
	if (link &&
	    ((from && from->outboxes != as->outbox + 1) || (to && to->inboxes != as->inbox + 1)))
		link = NULL;
	pthread_mutex_unlock(&runtime->mutex);
	return link;
}

/* Let what was in flight wait at the sender, who sends it before all else. */
static int refill_cpu(struct rk_link *link, const struct rk_snapshot_link *as,
		  const struct rk_restore_opts *opts)
{
	const size_t bytes = (size_t)as->count * RK_CELL_BYTES;
	cpu_call_fn *call = cpu_refill;
	struct rk_msg msg;
	int result;

	link->refill =
		(struct cpu_refill){.tx = &link->tx, .cells = malloc(bytes), .count = as->count};
	if (!link->refill.cells)
		return rk_fail(ENOMEM, "restore: link '%s': no memory for %zu bytes in flight",
			       as->name, bytes);
	memcpy(link->refill.cells, as->cells, bytes);
	msg = actor_order(CPU_CALL, *(void **)&call, &link->refill);
	result = actor_command(link->from, &msg, opts->timeout_ns, "restore");
	/* Too late, the worker may come to it still: it is freed with the link. */
	if (!result) {
		free(link->refill.cells);
		link->refill.cells = NULL;
	}
	return result;
}

/* The same on a GPU: whole messages, as many at a time as it has a place for. */
static int refill_gpu(struct rk_link *link, const struct rk_snapshot_link *as,
		      const struct rk_restore_opts *opts)
{
	int result = 0;

	if (as->count > as->slots + RK_GPU_WAITING)
		return rk_fail(ENOSPC,
			       "actor '%s': restore: %u cells in flight, and on a GPU it has room "
			       "for %u: have it on a CPU",
			       link->from->name, as->count, RK_GPU_WAITING);
	for (uint32_t at = 0, end = 0; !result && at < as->count; at = end) {
		struct rk_msg msg = {.type = RK_GPU_REFILL, .slots = 1};
		struct rk_gpu_refill order = {.outbox = as->outbox};

		while (end < as->count && end + as->cells[end].slots - at <= RK_GPU_LONG_CELLS)
			end += as->cells[end].slots;
		order.count = end - at;
		memcpy(msg.body, &order, sizeof(order));
		result = cuda_actor_put(actor_cuda_of(link->from), as->cells + at, order.count);
		if (!result)
			result = actor_command(link->from, &msg, opts->timeout_ns, "restore");
	}
	return result;
}

static int refill(struct rk_link *link, const struct rk_snapshot_link *as,
		  const struct rk_restore_opts *opts)
{
	if (!as->count)
		return 0;
	return (link->from->gpu ? refill_gpu : refill_cpu)(link, as, opts);
}

static int restore_link(struct rk_actor *const *actors, struct rk_runtime *runtime,
			const struct rk_snapshot_link *as, const struct rk_restore_opts *opts)
{
	struct rk_actor *from = as->from == RK_SNAPSHOT_OUTSIDE ? NULL : actors[as->from];
	struct rk_actor *to = as->to == RK_SNAPSHOT_OUTSIDE ? NULL : actors[as->to];
	struct rk_link *link;
	int result;

	if (!from && !to)
		return rk_fail(EINVAL, "restore: link '%s' joins nobody", as->name);
	result = join(from, to, as, opts);
	if (result)
		return rk_fail_within(result, "restore: link '%s'", as->name);
	link = find_link(runtime, from, to, as);
	if (!link)
		return rk_fail(EINVAL,
			       "restore: link '%s': it was not made, or not as outbox %u and inbox "
			       "%u: make links in the order asked for, and no others",
			       as->name, as->outbox, as->inbox);
	/* Nobody else reads them before the actors run. */
	link->sent_before = as->sent;
	link->received_before = as->received;
	return from && to ? refill(link, as, opts) : 0;
}

/* --- All of it --- */

static int restore(struct rk_actor **actors, unsigned int *spawned, struct rk_runtime *runtime,
		   const struct rk_snapshot *snapshot, const struct rk_restore_opts *opts)
{
	int result = 0;

	for (uint32_t i = 0; i < snapshot->actors; i++) {
		result = spawn(&actors[i], runtime, &snapshot->actor[i], opts);
		if (result)
			return result;
		++*spawned;
	}
	for (uint32_t i = 0; !result && i < snapshot->links; i++)
		result = restore_link(actors, runtime, &snapshot->link[i], opts);
	for (uint32_t i = 0; !result && i < snapshot->actors; i++)
		result = rk_actor_start(actors[i], opts->timeout_ns);
	return result;
}

int rk_snapshot_restore(struct rk_actor **actors, struct rk_runtime *runtime,
			const struct rk_snapshot *snapshot, const struct rk_restore_opts *opts)
{
	unsigned int spawned = 0;
	int result = restore(actors, &spawned, runtime, snapshot, opts);

	/* The text says why; those that end now have no part in it. */
	if (result) {
		char text[256];

		strncpy(text, rk_errmsg(), sizeof(text) - 1);
		text[sizeof(text) - 1] = 0;
		while (spawned)
			rk_actor_kill(actors[--spawned], opts->timeout_ns);
		rk_fail(-result, "%s", text);
	}
	return result;
}
