// SPDX-License-Identifier: MIT
/* Tenants: whose an actor is, what it costs its owner, and who may be linked with whom. */
#include "rk_tenant.h"
#include "rk_error.h"
#include "runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct rk_tenant {
	struct rk_tenant *next;
	struct rk_runtime *runtime;
	struct rk_tenant_info info; /* under the runtime's mutex */
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

	while ((tenant = runtime->tenants)) {
		runtime->tenants = tenant->next;
		free((char *)(uintptr_t)tenant->info.name);
		free(tenant);
	}
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
