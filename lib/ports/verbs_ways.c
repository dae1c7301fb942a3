// SPDX-License-Identifier: MIT
/* What the RDMA devices of this machine can register, found by asking them. */
#include "ports/verbs_ways.h"
#include "ports/verbs_lib.h"
#include "rk_error.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if RK_HAVE_VERBS

static int with_host(const struct verbs_lib *lib)
{
	return lib ? 0 : -ENODEV;
}

/*
 * A descriptor that is none: a driver that registers dma-bufs looks at it and says EBADF, another
 * says that it cannot.
 */
static int ask_device(const struct verbs_lib *lib, struct ibv_device *device)
{
	struct ibv_context *context = lib->ibv_open_device(device);
	struct ibv_pd *pd = context ? lib->ibv_alloc_pd(context) : NULL;
	int error = errno;

	if (pd) {
		lib->ibv_reg_dmabuf_mr(pd, 0, RK_PAGE_BYTES, 0, -1, IBV_ACCESS_LOCAL_WRITE);
		error = errno;
		lib->ibv_dealloc_pd(pd);
	}
	if (context)
		lib->ibv_close_device(context);
	if (error == EBADF)
		return 0;
	return rk_fail(error,
		       "%s: %s: the drivers mlx5, irdma and efa have it, on Linux 5.12 or "
		       "later",
		       lib->ibv_get_device_name(device), strerror(error));
}

static int with_dmabuf(const struct verbs_lib *lib)
{
	int count = 0, result = -ENODEV;
	struct ibv_device **devices = lib ? lib->ibv_get_device_list(&count) : NULL;

	for (int i = 0; devices && i < count && result; i++)
		result = ask_device(lib, devices[i]);
	if (devices)
		lib->ibv_free_device_list(devices);
	return result;
}

static int with_peermem(const struct verbs_lib *lib)
{
	if (!lib)
		return -ENODEV;
	return access("/sys/module/nvidia_peermem", F_OK)
		       ? rk_fail(ENOENT, "the module is not loaded: modprobe nvidia-peermem")
		       : 0;
}

static const struct {
	const char *name, *summary;
	bool used;
	int (*probe)(const struct verbs_lib *lib);
} ways[] = {
	{"host", "ibv_reg_mr of host regions", true, with_host},
	{"gpu_dmabuf", "ibv_reg_dmabuf_mr of GPU regions", false, with_dmabuf},
	{"gpu_peermem", "ibv_reg_mr of GPU regions by nvidia-peermem", false, with_peermem},
};

bool verbs_way_at(unsigned int index, struct verbs_way *way)
{
	const struct verbs_lib *lib = verbs_lib();

	if (index >= sizeof(ways) / sizeof(ways[0]))
		return false;
	*way = (struct verbs_way){ways[index].name, ways[index].summary, ways[index].used, ""};
	if (ways[index].probe(lib))
		snprintf(way->absent, sizeof(way->absent), "%s", rk_errmsg());
	return true;
}

#else

bool verbs_way_at(unsigned int index, struct verbs_way *way)
{
	(void)index;
	(void)way;
	return false;
}

#endif
