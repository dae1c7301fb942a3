// SPDX-License-Identifier: MIT
/* Regions whatever their provider: choosing one, notes, handing out parts. */
#include "gpudirect/provider.h"
#include "rk_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are tried. */
static const struct rk_region_ops *const providers[] = {
	&region_kmod_ops,
	&region_host_ops,
};
enum { PROVIDERS = sizeof(providers) / sizeof(providers[0]) };

void region_note(struct rk_region *region, const char *format, ...)
{
	size_t used = strlen(region->info.note);
	va_list args;

	if (used + 2 >= sizeof(region->info.note))
		return;
	if (used)
		used += (size_t)snprintf(region->info.note + used,
					 sizeof(region->info.note) - used, "; ");
	va_start(args, format);
	vsnprintf(region->info.note + used, sizeof(region->info.note) - used, format, args);
	va_end(args);
}

const struct rk_region_provider *rk_region_provider_at(unsigned int index, char *absent,
						       size_t absent_bytes)
{
	if (index >= PROVIDERS)
		return NULL;
	snprintf(absent, absent_bytes, "%s", providers[index]->probe() ? rk_errmsg() : "");
	return &providers[index]->provider;
}

static int open_with(struct rk_region *region, const struct rk_region_ops *ops, size_t bytes,
		     const struct rk_region_opts *opts)
{
	int result = ops->probe();

	if (result)
		return result;
	region->ops = ops;
	region->info.provider = ops->provider.name;
	region->info.note[0] = '\0';
	return ops->open(region, bytes, opts);
}

int rk_region_open(struct rk_region **out, size_t bytes, const struct rk_region_opts *opts)
{
	static const struct rk_region_opts defaults = {.size = sizeof(defaults)};
	char refused[RK_REGION_NOTE_BYTES / 2] = "";
	struct rk_region *region;
	int result;

	if (!opts)
		opts = &defaults;
	if (!bytes)
		return rk_fail(EINVAL, "region: 0 bytes: ask for at least one");
	region = calloc(1, sizeof(*region));
	if (!region)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	result = rk_fail(EINVAL, "region: no provider '%s': see `ringkernel info`",
			 opts->provider ? opts->provider : "");
	for (unsigned int i = 0; i < PROVIDERS && result; i++) {
		if (opts->provider && strcmp(opts->provider, providers[i]->provider.name))
			continue;
		result = open_with(region, providers[i], bytes, opts);
		/* One that is not here is no news; one that is and refuses, is. */
		if (result && result != -ENOENT && result != -ENODEV)
			snprintf(refused, sizeof(refused), "%s", rk_errmsg());
	}
	if (result) {
		free(region);
		return result;
	}
	if (refused[0])
		region_note(region, "%s", refused);
	*out = region;
	return 0;
}

const struct rk_region_info *rk_region_info(const struct rk_region *region)
{
	return &region->info;
}

void *rk_region_take(struct rk_region *region, size_t bytes)
{
	size_t left = region->info.bytes - region->taken_bytes;
	char *part = (char *)region->info.host_addr + region->taken_bytes;

	if (bytes > left)
		return NULL;
	bytes = (bytes + RK_PAGE_BYTES - 1) & ~(size_t)(RK_PAGE_BYTES - 1);
	region->taken_bytes += bytes;
	return part;
}

void rk_region_close(struct rk_region *region)
{
	if (!region)
		return;
	region->ops->close(region);
	free(region);
}
