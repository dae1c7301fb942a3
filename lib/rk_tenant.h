/* SPDX-License-Identifier: MIT */
/*
 * rk_tenant.h - actors of several owners in one runtime: how much memory each may take, and that no
 * ring leads from one to another, nor any reference to memory.
 *
 * An actor belongs to the tenant that its options name, or to none, as those of the operator do:
 * they may be linked with anyone. A link between actors of two tenants is refused, by whatever name
 * or way it was asked for, and so is a child whose parent is another's. Both are enforced where the
 * ring or the actor is made, so nothing of it costs a message anything; an actor on a GPU looks once
 * more when it takes a ring's end, and one that leads to another tenant is closed to it.
 *
 * A message may refer to memory: an offset in a region, which the handler adds to where that begins.
 * Actors of a tenant are given parts of regions (rk_actor_grant()), no byte of which actors of another
 * tenant can be given; and a handler that asks rk_reach() for what a message refers to gets it only
 * where it lies in what its actor was given. So a message, whoever made it, leads such a handler
 * nowhere else.
 *
 * A tenant's rate is dealt out to its actors, each of which keeps to its own part: so where there
 * is a bound, each must name one. To a tenant are charged its actors' states and control rings, and
 * the rings of all links with an end at one of them, with their dead letters and backlogs; all of
 * it lives as long as the runtime.
 *
 * What keeps a handler from memory that it does not ask for is not this: handlers on cpu run in the
 * process of the host, and those on a GPU in one address space, in which the hardware keeps no actor
 * of a kernel from what another has. Load no code that is not trusted.
 */
#ifndef RK_TENANT_H
#define RK_TENANT_H

#include "rk_runtime.h"

#define RK_MAX_GRANTS 8 /* parts of memory that one actor may touch */

struct rk_region;

/**
 * struct rk_tenant_opts - zero is the default but for @name
 * @size: sizeof(struct rk_tenant_opts)
 * @name: for messages to people; copied
 * @memory_bytes: at most; 0: no bound
 * @slots_per_s: at most, of all its actors together (struct rk_actor_opts); 0: no bound
 */
struct rk_tenant_opts {
	size_t size;
	const char *name;
	uint64_t memory_bytes;
	uint64_t slots_per_s;
};

/**
 * struct rk_tenant_info - what a tenant has
 * @name: lives as long as the runtime
 * @memory_bytes: taken
 * @memory_most_bytes: the bound; 0: none
 * @slots_per_s: that its actors may take
 * @slots_most_per_s: the bound; 0: none
 * @actors: spawned
 * @refused_budget: actors and links that there was no budget for
 * @refused_links: links, and children, that would have joined it with another tenant
 * @refused_memory: parts of memory that another tenant has
 */
struct rk_tenant_info {
	const char *name;
	uint64_t memory_bytes;
	uint64_t memory_most_bytes;
	uint64_t slots_per_s;
	uint64_t slots_most_per_s;
	uint64_t actors;
	uint64_t refused_budget;
	uint64_t refused_links;
	uint64_t refused_memory;
};

RK_BEGIN_DECLS

/**
 * rk_tenant_open() - one more owner of actors
 * @tenant: out
 * @runtime: open
 * @opts: a name at least
 *
 * Context: any thread; may sleep on a mutex.
 * Owner: the runtime.
 * Return: 0; -EINVAL for a wrong @opts->size, or no name; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_tenant_open(struct rk_tenant **tenant, struct rk_runtime *runtime,
			  const struct rk_tenant_opts *opts);

/**
 * rk_tenant_info() - what a tenant has
 * @tenant: open
 * @info: out
 *
 * Context: any thread; may sleep on a mutex.
 */
RK_API void rk_tenant_info(struct rk_tenant *tenant, struct rk_tenant_info *info);

/**
 * rk_actor_grant() - memory that an actor of a tenant may touch (rk_reach())
 * @actor: spawned; one of no tenant may touch all anyway
 * @region: open, for as long as the runtime
 * @offset: where the part begins
 * @bytes: of it
 * @timeout_ns: at most this long; it is granted after it
 *
 * In effect for what the actor handles from then on. One that asks in its RK_MSG_START is spawned
 * dormant, and started when it has been given all. It is the actor's for good; one that is restored
 * from a snapshot is given it anew.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0; -EINVAL for what is not in the region, or a region that the actor's GPU does not see;
 * -EACCES when actors of another tenant have been given some of it; -ENOSPC beyond RK_MAX_GRANTS;
 * -EPIPE when the actor has stopped; -ETIMEDOUT when its handler has not come back; -ENOMEM; said in
 * rk_errmsg().
 */
RK_API int rk_actor_grant(struct rk_actor *actor, const struct rk_region *region, uint64_t offset,
			  uint64_t bytes, uint64_t timeout_ns);

RK_END_DECLS

#endif
