// SPDX-License-Identifier: MIT
/* One actor as the host sees it, whoever runs it: spawning, control, what it did and leaves. */
#include "runtime.h"
#include "rk_error.h"

#include <string.h>

void actor_stopped(void *owner)
{
	struct rk_actor *actor = owner;

	pthread_mutex_lock(&actor->runtime->mutex);
	for (struct rk_actor *child = actor->children; child; child = child->sibling)
		child->ops->orphan(child);
	pthread_cond_broadcast(&actor->runtime->changed);
	pthread_mutex_unlock(&actor->runtime->mutex);
}

bool actor_has_stopped(const struct rk_actor *actor)
{
	return actor->ops->over(actor);
}

/* Until there was room. */
static int send_control(struct rk_actor *actor, struct rk_link *link, bool inbox,
			const struct rk_msg *msg)
{
	int result;

	while ((result = link ? actor->ops->give_end(actor, link, inbox)
			      : actor->ops->tell(actor, msg)) == -EAGAIN) {
		if (actor_has_stopped(actor))
			return rk_fail(EPIPE, "actor '%s': it has stopped", actor->name);
		runtime_give_way(actor->runtime);
	}
	if (!result)
		actor->told++;
	return result;
}

int actor_tell(struct rk_actor *actor, const struct rk_msg *msg)
{
	return send_control(actor, NULL, false, msg);
}

int actor_give_end(struct rk_actor *actor, struct rk_link *link, bool inbox)
{
	unsigned int *links = inbox ? &actor->inboxes : &actor->outboxes;
	int result;

	if (*links >= actor->max_links)
		return rk_fail(ENOSPC, "actor '%s': it has %u %s already, the most there may be",
			       actor->name, *links, inbox ? "inboxes" : "outboxes");
	result = send_control(actor, link, inbox, NULL);
	if (result)
		return result;
	++*links;
	*(inbox ? &link->inbox : &link->outbox) = *links;
	return 0;
}

unsigned int actor_count_args(const struct rk_actor_type *type)
{
	unsigned int count = 0;

	while (type->args && type->args[count])
		count++;
	return count;
}

/* Before anything runs: an actor that is there has had its RK_MSG_START. */
static int check(const struct rk_runtime *runtime, const struct rk_actor_type *type,
		 const struct rk_actor_opts *opts)
{
	unsigned int count = actor_count_args(type);

	if (opts->backend != RK_BACKEND_CPU && opts->backend != RK_BACKEND_CUDA)
		return rk_fail(EINVAL, "actor '%s': backend %d: give one of enum rk_backend",
			       type->name, opts->backend);
	if (opts->backend == RK_BACKEND_CUDA && opts->slots_per_s)
		return rk_fail(EOPNOTSUPP,
			       "actor '%s': %u slots a second: an actor on a GPU keeps no pace",
			       opts->name ? opts->name : type->name, opts->slots_per_s);
	if (opts->parent && opts->parent->runtime != runtime)
		return rk_fail(EINVAL, "actor '%s': parent '%s' is of another runtime", type->name,
			       opts->parent->name);
	if (opts->arg_count > count || count > RK_MAX_ARGS)
		return rk_fail(EINVAL, "actor '%s': %u arguments: type '%s' takes %u",
			       opts->name ? opts->name : type->name, opts->arg_count, type->name,
			       count);
	return 0;
}

/* RK_MSG_START with all arguments of the type; those not given are 0. */
static void make_start(struct rk_actor *actor, const struct rk_actor_opts *opts)
{
	unsigned int count = actor_count_args(actor->type);

	actor->start[0].type = RK_MSG_START;
	if (opts->arg_count)
		memcpy(actor->start[0].body, opts->args, opts->arg_count * sizeof(uint64_t));
	actor->start[0].slots = (uint8_t)rk_msg_cells(0, count * (uint32_t)sizeof(uint64_t));
}

/* @actor is one of @parent's from now on; told at once if that one has stopped meanwhile. */
static void adopt(struct rk_actor *parent, struct rk_actor *actor)
{
	actor->parent = parent;
	actor->sibling = parent->children;
	parent->children = actor;
	if (actor_has_stopped(parent))
		actor->ops->orphan(actor);
}

static int create(struct rk_actor **actor, struct rk_runtime *runtime,
		  const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	bool on_cpu = opts->backend == RK_BACKEND_CPU;
	int result = (on_cpu ? actor_cpu_create : actor_cuda_create)(actor, runtime, type, opts);

	if (result)
		return result;
	(*actor)->tenant = opts->tenant;
	make_start(*actor, opts);
	if (!opts->dormant)
		result = actor_tell(*actor, (*actor)->start);
	if (!result && on_cpu)
		result = actor_cpu_start(*actor);
	if (!result && opts->parent)
		adopt(opts->parent, *actor);
	return result;
}

static int spawn(struct rk_actor **actor, struct rk_runtime *runtime,
		 const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	int result = check(runtime, type, opts);

	if (!result)
		result = tenant_spawns(runtime, type, opts, opts->name ? opts->name : type->name);
	if (result)
		return result;
	result = create(actor, runtime, type, opts);
	if (result)
		tenant_spawned_not(type, opts);
	return result;
}

int rk_actor_spawn(struct rk_actor **out, struct rk_runtime *runtime,
		   const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	static const struct rk_actor_opts defaults = {.size = sizeof(defaults),
						      .worker = RK_ANY_WORKER};
	struct rk_actor *actor = NULL;
	int result;

	pthread_mutex_lock(&runtime->mutex);
	result = spawn(&actor, runtime, type, opts ? opts : &defaults);
	if (!result) {
		actor->next = runtime->actors;
		runtime->actors = actor;
		*out = actor;
	} else if (actor) {
		actor->ops->free(actor);
	}
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

void rk_actor_info(const struct rk_actor *actor, struct rk_actor_info *info)
{
	*info = (struct rk_actor_info){.name = actor->name, .state = actor->ops->state(actor)};
	actor->ops->info(actor, info);
}

const void *rk_actor_state(const struct rk_actor *actor)
{
	return actor->ops->memory((struct rk_actor *)(uintptr_t)actor);
}
