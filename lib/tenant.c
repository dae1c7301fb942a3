// SPDX-License-Identifier: MIT
/* Tenants: whose an actor is, what it costs its owner, and who may be linked with whom. */
#include "rk_tenant.h"
#include "gpudirect/rk_region.h"
#include "rk_error.h"
#include "runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct rk_tenant {
	struct rk_tenant *next;
	struct rk_runtime *runtime;
	uint32_t id;
	struct rk_tenant_info info; /* under the runtime's mutex */
};

/* Memory that actors of a tenant may touch, and so no others. */
struct grant {
	struct grant *next;
	const struct rk_tenant *tenant;
	uint64_t first; /* where this process sees it, and where it ends */
	uint64_t end;
};

int rk_tenant_open(struct rk_tenant **out, struct rk_runtime *runtime,
		   const struct rk_tenant_opts *opts)
{
	struct rk_tenant *tenant;

	if (opts->size != sizeof(*opts) || !opts->name)
		return rk_fail(
			EINVAL,
			"tenant: options of %zu bytes, %s name: set size to %zu, the size of "
			"struct rk_tenant_opts, and a name",
			opts->size, opts->name ? "a" : "no", sizeof(*opts));
	tenant = calloc(1, sizeof(*tenant));
	if (tenant)
		tenant->info.name = strdup(opts->name);
	if (!tenant || !tenant->info.name) {
		free(tenant);
		return rk_fail(ENOMEM, "tenant '%s': no memory", opts->name);
	}
	tenant->runtime = runtime;
	tenant->info.memory_most_bytes = opts->memory_bytes;
	tenant->info.slots_most_per_s = opts->slots_per_s;
	pthread_mutex_lock(&runtime->mutex);
	tenant->id = runtime->tenants ? runtime->tenants->id + 1 : 1;
	tenant->next = runtime->tenants;
	runtime->tenants = tenant;
	pthread_mutex_unlock(&runtime->mutex);
	*out = tenant;
	return 0;
}

void rk_tenant_info(struct rk_tenant *tenant, struct rk_tenant_info *info)
{
	pthread_mutex_lock(&tenant->runtime->mutex);
	*info = tenant->info;
	pthread_mutex_unlock(&tenant->runtime->mutex);
}

void tenants_free(struct rk_runtime *runtime)
{
	struct rk_tenant *tenant;
	struct grant *grant;

	while ((tenant = runtime->tenants)) {
		runtime->tenants = tenant->next;
		free((char *)(uintptr_t)tenant->info.name);
		free(tenant);
	}
	while ((grant = runtime->grants)) {
		runtime->grants = grant->next;
		free(grant);
	}
}

uint32_t tenant_id(const struct rk_tenant *tenant)
{
	return tenant ? tenant->id : 0;
}

/* --- Mutex held --- */

static int charge(struct rk_tenant *tenant, uint64_t bytes, const char *what, const char *name)
{
	struct rk_tenant_info *info = &tenant->info;

	if (info->memory_most_bytes && bytes > info->memory_most_bytes - info->memory_bytes) {
		info->refused_budget++;
		return rk_fail(EDQUOT,
			       "tenant '%s': %s '%s' takes %" PRIu64 " bytes: it has %" PRIu64
			       " of %" PRIu64 " left",
			       info->name, what, name, bytes,
			       info->memory_most_bytes - info->memory_bytes,
			       info->memory_most_bytes);
	}
	info->memory_bytes += bytes;
	return 0;
}

/* An actor without a pace of its own would take whatever there is. */
static int check_rate(struct rk_tenant *tenant, uint32_t slots_per_s, const char *name)
{
	struct rk_tenant_info *info = &tenant->info;

	if (!info->slots_most_per_s ||
	    (slots_per_s && slots_per_s <= info->slots_most_per_s - info->slots_per_s))
		return 0;
	info->refused_budget++;
	return rk_fail(EDQUOT,
		       "tenant '%s': actor '%s': %u slots a second: name from 1 to the %" PRIu64
		       " of %" PRIu64 " that are left",
		       info->name, name, slots_per_s, info->slots_most_per_s - info->slots_per_s,
		       info->slots_most_per_s);
}

/* Both are of one tenant, or one of them is of none. */
static int check_together(const struct rk_actor *one, struct rk_tenant *other, const char *what,
			  const char *name)
{
	if (!one->tenant || !other || one->tenant == other)
		return 0;
	one->tenant->info.refused_links++;
	other->info.refused_links++;
	return rk_fail(EACCES, "%s '%s': it would join tenant '%s' with tenant '%s'", what, name,
		       one->tenant->info.name, other->info.name);
}

static uint64_t actor_bytes(const struct rk_actor_type *type)
{
	return rk_ring_bytes(CPU_CONTROL_SLOTS) + type->state_bytes;
}

int tenant_spawns(const struct rk_runtime *runtime, const struct rk_actor_type *type,
		  const struct rk_actor_opts *opts, const char *name)
{
	struct rk_tenant *tenant = opts->tenant;
	int result = opts->parent ? check_together(opts->parent, tenant, "child", name) : 0;

	if (!tenant || result)
		return result;
	if (tenant->runtime != runtime)
		return rk_fail(EINVAL, "actor '%s': tenant '%s' is of another runtime", name,
			       tenant->info.name);
	result = check_rate(tenant, opts->slots_per_s, name);
	if (!result)
		result = charge(tenant, actor_bytes(type), "actor", name);
	if (result)
		return result;
	tenant->info.slots_per_s += opts->slots_per_s;
	tenant->info.actors++;
	return 0;
}

void tenant_spawned_not(const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	if (!opts->tenant)
		return;
	opts->tenant->info.memory_bytes -= actor_bytes(type);
	opts->tenant->info.slots_per_s -= opts->slots_per_s;
	opts->tenant->info.actors--;
}

int tenant_links(const struct rk_actor *from, const struct rk_actor *to,
		 const struct rk_link_opts *opts, const char *name)
{
	struct rk_tenant *tenant = to && to->tenant ? to->tenant : from ? from->tenant : NULL;
	uint64_t slots = opts->slots ? opts->slots : RK_LINK_SLOTS;
	int result = from && to ? check_together(from, to->tenant, "link", name) : 0;

	if (!tenant || result)
		return result;
	/* What is no capacity is refused when the ring is laid. */
	return charge(tenant,
		      rk_ring_bytes(slots) + 2 * rk_ring_bytes(opts->dead_slots) +
			      opts->backlog_slots * RK_CELL_BYTES,
		      "link", name);
}

/* --- Memory --- */

/* Whether no other tenant has any of it; then it is noted. Mutex held. */
static int note_grant(struct rk_actor *actor, uint64_t first, uint64_t bytes)
{
	struct rk_runtime *runtime = actor->runtime;
	struct grant *grant;

	if (actor->grants == RK_MAX_GRANTS)
		return rk_fail(ENOSPC, "actor '%s': grant: it has %d parts of memory already",
			       actor->name, RK_MAX_GRANTS);
	for (grant = runtime->grants; grant; grant = grant->next)
		if (grant->tenant != actor->tenant && first < grant->end && grant->first < first + bytes) {
			actor->tenant->info.refused_memory++;
			return rk_fail(EACCES,
				       "actor '%s' of tenant '%s': grant: tenant '%s' has of it",
				       actor->name, actor->tenant->info.name,
				       grant->tenant->info.name);
		}
	grant = malloc(sizeof(*grant));
	if (!grant)
		return rk_fail(ENOMEM, "actor '%s': grant: no memory", actor->name);
	*grant = (struct grant){runtime->grants, actor->tenant, first, first + bytes};
	runtime->grants = grant;
	actor->grants++;
	return 0;
}

int rk_actor_grant(struct rk_actor *actor, const struct rk_region *region, uint64_t offset,
		   uint64_t bytes, uint64_t timeout_ns)
{
	const struct rk_region_info *info = rk_region_info(region);
	uint64_t here = (uint64_t)(uintptr_t)info->host_addr + offset;
	uint64_t at = actor->gpu ? info->gpu_addr + offset : here;
	struct rk_msg msg = actor_order(actor->gpu ? RK_GPU_GRANT : CPU_GRANT,
					(const void *)(uintptr_t)at,
					(const void *)(uintptr_t)bytes);
	int result;

	if (!bytes || offset > info->bytes || bytes > info->bytes - offset)
		return rk_fail(EINVAL,
			       "actor '%s': grant: %" PRIu64 " bytes at %" PRIu64
			       " of a region of %zu",
			       actor->name, bytes, offset, info->bytes);
	if (actor->gpu && !info->gpu_addr)
		return rk_fail(EINVAL,
			       "actor '%s': grant: GPUs do not see this region: open it with cuda "
			       "or on_gpu",
			       actor->name);
	if (!actor->tenant)
		return 0;
	pthread_mutex_lock(&actor->runtime->mutex);
	result = note_grant(actor, here, bytes);
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result ? result : actor_command(actor, &msg, timeout_ns, "grant");
}
