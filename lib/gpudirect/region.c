// SPDX-License-Identifier: MIT
/* Regions whatever their provider: choosing one, notes, handing out parts. */
#include "gpudirect/provider.h"
#include "gpudirect/rk_region_share.h"
#include "rk_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are tried. */
static const struct rk_region_ops *const providers[] = {
	&region_kmod_ops,     &region_host_ops,	  &region_gpu_kmod_ops,
	&region_dmabuf_ops,   &region_vulkan_ops, &region_pinned_ops,
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

/* Ask a provider for GPUs about GPU 0. */
static int probe_gpu(const struct rk_region_ops *ops)
{
	struct rk_cuda_gpu gpu;
	int result = rk_cuda_gpu_find(&gpu, 0);

	return result ? result : ops->probe(&gpu);
}

const struct rk_region_provider *rk_region_provider_at(unsigned int index, char *absent,
						       size_t absent_bytes)
{
	const struct rk_region_ops *ops;
	int result;

	if (index >= PROVIDERS)
		return NULL;
	ops = providers[index];
	result = ops->provider.gpu ? probe_gpu(ops) : ops->probe(NULL);
	snprintf(absent, absent_bytes, "%s", result ? rk_errmsg() : "");
	return &ops->provider;
}

static int register_with_cuda(struct rk_region *region)
{
	struct rk_region_info *info = &region->info;
	const struct rk_cuda *cuda = region->gpu.cuda;
	int error = cuda->host_register(info->host_addr, info->bytes,
					RK_CUDA_HOST_PORTABLE | RK_CUDA_HOST_DEVICEMAP);

	if (error)
		return rk_cuda_fail(cuda, error, "register %zu bytes of host memory at %p",
				    info->bytes, info->host_addr);
	error = cuda->host_gpu_addr(&info->gpu_addr, info->host_addr, 0);
	if (!error)
		return 0;
	cuda->host_unregister(info->host_addr);
	return rk_cuda_fail(cuda, error, "find host memory at %p on the GPU", info->host_addr);
}

static void unregister_with_cuda(struct rk_region *region)
{
	/* Memory that is the GPU's, or was never registered, has nothing to undo. */
	if (region->info.gpu_addr && !region->info.on_gpu)
		region->gpu.cuda->host_unregister(region->info.host_addr);
}

/* In the context of the region's GPU, if it has one. */
static int open_with(struct rk_region *region, const struct rk_region_ops *ops, size_t bytes,
		     const struct rk_region_opts *opts)
{
	int result;

	region->ops = ops;
	region->info = (struct rk_region_info){.provider = ops->provider.name, .numa_node = -1};
	result = ops->open(region, bytes, opts);
	if (result || !region->gpu.cuda || region->info.on_gpu)
		return result;
	result = register_with_cuda(region);
	if (result)
		ops->close(region);
	return result;
}

/* Reasons for which providers did not serve, one after the other. */
struct reasons {
	char text[RK_REGION_NOTE_BYTES - 64];
};

static void add_reason(struct reasons *reasons)
{
	size_t used = strlen(reasons->text);

	snprintf(reasons->text + used, sizeof(reasons->text) - used, "%s%s", used ? "; " : "",
		 rk_errmsg());
}

/* The first provider that serves @opts. */
static int open_any(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct reasons absent = {""}, refused = {""};
	int result = rk_fail(EINVAL, "region: no provider '%s'%s: see `ringkernel info`",
			     opts->provider ? opts->provider : "",
			     opts->on_gpu ? " for memory of a GPU" : "");

	for (unsigned int i = 0; i < PROVIDERS && result; i++) {
		const struct rk_region_ops *ops = providers[i];

		if (ops->provider.gpu != opts->on_gpu ||
		    (opts->provider && strcmp(opts->provider, ops->provider.name)))
			continue;
		result = open_with(region, ops, bytes, opts);
		if (!result)
			break;
		add_reason(&absent);
		/* One that is not here is no news; one that is and refuses, is. */
		if (result != -ENOENT && result != -ENODEV)
			add_reason(&refused);
	}
	if (result)
		return result;
	if (opts->on_gpu && !region->info.on_gpu)
		region_note(region, "slots stay in host memory%s%s", absent.text[0] ? ": " : "",
			    absent.text);
	else if (refused.text[0])
		region_note(region, "%s", refused.text);
	return 0;
}

static int open_on_gpu(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	int result = rk_cuda_gpu_open(&region->gpu, opts->gpu);

	if (result) {
		region->gpu.cuda = NULL;
		return rk_fail_within(result, "region");
	}
	result = rk_cuda_enter(&region->gpu);
	if (!result) {
		result = open_any(region, bytes, opts);
		rk_cuda_leave(&region->gpu);
	}
	if (result)
		rk_cuda_gpu_close(&region->gpu);
	return result;
}

int rk_region_open(struct rk_region **out, size_t bytes, const struct rk_region_opts *opts)
{
	static const struct rk_region_opts defaults = {.size = sizeof(defaults)};
	struct rk_region *region;
	int result;

	if (!opts)
		opts = &defaults;
	if (opts->size != sizeof(*opts))
		return rk_fail(EINVAL,
			       "region: options of %zu bytes: set size to %zu, the size of struct "
			       "rk_region_opts",
			       opts->size, sizeof(*opts));
	if (!bytes || bytes > PTRDIFF_MAX)
		return rk_fail(EINVAL, "region: %zu bytes: ask for one to %td", bytes, PTRDIFF_MAX);
	region = calloc(1, sizeof(*region));
	if (!region)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	if (opts->on_gpu || opts->cuda)
		result = open_on_gpu(region, bytes, opts);
	else
		result = open_any(region, bytes, opts);
	if (result) {
		free(region);
		return result;
	}
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

uint64_t rk_region_gpu_addr(const struct rk_region *region, const void *part)
{
	uintptr_t start = (uintptr_t)region->info.host_addr, offset = (uintptr_t)part - start;

	if (!region->info.gpu_addr || offset >= region->info.bytes)
		return 0;
	return region->info.gpu_addr + offset;
}

int region_no_export(const struct rk_region *region)
{
	return rk_fail(EOPNOTSUPP,
		       "region: provider %s cannot be shared: open it with provider kmod",
		       region->info.provider);
}

int rk_region_export(const struct rk_region *region)
{
	int result;

	if (!region->gpu.cuda)
		return region->ops->export(region);
	result = rk_cuda_enter(&region->gpu);
	if (result)
		return result;
	result = region->ops->export(region);
	rk_cuda_leave(&region->gpu);
	return result;
}

void rk_region_close(struct rk_region *region)
{
	bool entered;

	if (!region)
		return;
	/* A context that a trap has ended cannot be entered, nor hold anything any more. */
	entered = region->gpu.cuda && !rk_cuda_enter(&region->gpu);
	if (entered)
		unregister_with_cuda(region);
	region->ops->close(region);
	if (entered)
		rk_cuda_leave(&region->gpu);
	if (region->gpu.cuda)
		rk_cuda_gpu_close(&region->gpu);
	free(region);
}
