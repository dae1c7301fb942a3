// SPDX-License-Identifier: MIT
#include "ports/verbs_memory.h"
#include "gpudirect/rk_region_share.h"

#if RK_HAVE_VERBS

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE };

static int by_pages(const struct verbs_lib *lib, struct ibv_pd *pd,
		    const struct remote_memory *memory, struct verbs_memory *out)
{
	out->mr = lib->ibv_reg_mr(pd, memory->addr, memory->bytes, ACCESS);
	if (!out->mr)
		return rk_fail(errno, "ibv_reg_mr of %llu bytes: %s: see `ulimit -l`",
			       (unsigned long long)memory->bytes, strerror(errno));
	out->addr = (uintptr_t)memory->addr;
	return 0;
}

/* The descriptor may go at once: the registration holds the buffer. */
static int by_dmabuf(const struct verbs_lib *lib, struct ibv_pd *pd,
		     const struct remote_memory *memory, struct verbs_memory *out)
{
	const struct rk_region_info *info = rk_region_info(memory->region);
	uint64_t offset = (uintptr_t)memory->addr - (uintptr_t)info->host_addr;
	int fd = rk_region_export(memory->region), error;

	if (fd < 0)
		return fd;
	out->addr = info->gpu_addr + offset;
	out->mr = lib->ibv_reg_dmabuf_mr(pd, offset, memory->bytes, out->addr, fd, ACCESS);
	error = errno;
	close(fd);
	snprintf(out->how, sizeof(out->how), "memory of the GPU by its dma-buf");
	return out->mr ? 0 : rk_fail(error, "ibv_reg_dmabuf_mr: %s", strerror(error));
}

/* As if it were the host's: the module finds out whose it is. */
static int by_peermem(const struct verbs_lib *lib, struct ibv_pd *pd,
		      const struct remote_memory *memory, struct verbs_memory *out)
{
	out->addr = rk_region_gpu_addr(memory->region, memory->addr);
	out->mr = lib->ibv_reg_mr(pd, (void *)(uintptr_t)out->addr, memory->bytes, ACCESS);
	return out->mr ? 0
		       : rk_fail(errno, "ibv_reg_mr: %s: modprobe nvidia-peermem", strerror(errno));
}

int verbs_register(const struct verbs_lib *lib, struct ibv_pd *pd,
		   const struct remote_memory *memory, struct verbs_memory *out)
{
	char first[REMOTE_TEXT_BYTES], both[2 * REMOTE_TEXT_BYTES];
	int result;

	*out = (struct verbs_memory){.mr = NULL};
	if (!remote_is_on_gpu(memory))
		return by_pages(lib, pd, memory, out);
	if (!by_dmabuf(lib, pd, memory, out))
		return 0;
	snprintf(first, sizeof(first), "%s", rk_errmsg());
	result = by_peermem(lib, pd, memory, out);
	if (!result) {
		snprintf(out->how, sizeof(out->how), "memory of the GPU by its address (%.140s)",
			 first);
		return 0;
	}
	snprintf(both, sizeof(both), "%s; %.180s", first, rk_errmsg());
	return rk_fail(-result, "%s", both);
}

int verbs_try(const struct verbs_lib *lib, struct ibv_device *device,
	      const struct remote_memory *memory, char how[REMOTE_TEXT_BYTES])
{
	struct ibv_context *context = lib->ibv_open_device(device);
	struct ibv_pd *pd = context ? lib->ibv_alloc_pd(context) : NULL;
	struct verbs_memory registered;
	int result = pd ? 0 : rk_fail(errno, "cannot be opened: %s", strerror(errno));

	if (!result)
		result = verbs_register(lib, pd, memory, &registered);
	if (!result) {
		memcpy(how, registered.how, sizeof(registered.how));
		lib->ibv_dereg_mr(registered.mr);
	}
	if (pd)
		lib->ibv_dealloc_pd(pd);
	if (context)
		lib->ibv_close_device(context);
	return result ? rk_fail_within(result, "%s", lib->ibv_get_device_name(device)) : 0;
}

#endif
