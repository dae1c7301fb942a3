// SPDX-License-Identifier: MIT
/* What the RDMA devices of this machine can register, found by asking them. */
#include "ports/verbs_ways.h"
#include "ports/verbs_memory.h"
#include "rk_error.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if RK_HAVE_VERBS

static int with_host(const struct verbs_lib *lib, struct ibv_device *device)
{
	(void)lib;
	(void)device;
	return 0;
}

/*
 * A descriptor that is none: a driver that registers dma-bufs looks at it and says EBADF, another
 * says that it cannot.
 */
static int with_dmabuf(const struct verbs_lib *lib, struct ibv_device *device)
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

static int with_peermem(const struct verbs_lib *lib, struct ibv_device *device)
{
	(void)lib;
	(void)device;
	return access("/sys/module/nvidia_peermem", F_OK)
		       ? rk_fail(ENOENT, "the module is not loaded: modprobe nvidia-peermem")
		       : 0;
}

static const struct {
	const char *name, *summary;
	int (*probe)(const struct verbs_lib *lib, struct ibv_device *device);
} ways[] = {
	{"host", "ibv_reg_mr of host regions", with_host},
	{"gpu_dmabuf", "ibv_reg_dmabuf_mr of GPU regions", with_dmabuf},
	{"gpu_peermem", "ibv_reg_mr of GPU regions by nvidia-peermem", with_peermem},
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* Call @ask with device @index; false past the last. */
static bool with_device(unsigned int index,
			void (*ask)(const struct verbs_lib *lib, struct ibv_device *device,
				    void *argument),
			void *argument)
{
	const struct verbs_lib *lib = verbs_lib();
	int count = 0;
	struct ibv_device **devices = lib ? lib->ibv_get_device_list(&count) : NULL;
	bool there = devices && index < (unsigned int)count;

	if (there)
		ask(lib, devices[index], argument);
	if (devices)
		lib->ibv_free_device_list(devices);
	return there;
}

static void name_way(struct verbs_way *way, const char *device, const char *name,
		     const char *summary)
{
	*way = (struct verbs_way){.name = name};
	snprintf(way->device, sizeof(way->device), "%s", device);
	snprintf(way->summary, sizeof(way->summary), "%s", summary);
}

struct way_question {
	unsigned int way;
	struct verbs_way *answer;
};

static void ask_way(const struct verbs_lib *lib, struct ibv_device *device, void *argument)
{
	const struct way_question *question = argument;
	struct verbs_way *way = question->answer;
	unsigned int i = question->way;

	name_way(way, lib->ibv_get_device_name(device), ways[i].name, ways[i].summary);
	if (ways[i].probe(lib, device))
		snprintf(way->absent, sizeof(way->absent), "%s", rk_errmsg());
}

bool verbs_way_at(unsigned int index, struct verbs_way *way)
{
	struct way_question question = {.way = index % WAYS, .answer = way};

	if (with_device(index / WAYS, ask_way, &question))
		return true;
	if (index || verbs_lib())
		return false;
	name_way(way, "", "devices", "RDMA devices that this process may use");
	snprintf(way->absent, sizeof(way->absent), "%s", rk_errmsg());
	return true;
}

struct trial_question {
	const struct rk_region *region;
	struct verbs_way *answer;
};

static void ask_trial(const struct verbs_lib *lib, struct ibv_device *device, void *argument)
{
	const struct trial_question *question = argument;
	const struct rk_region_info *info = rk_region_info(question->region);
	const struct remote_memory memory = {info->host_addr, info->bytes, question->region};
	struct verbs_way *way = question->answer;
	char how[REMOTE_TEXT_BYTES] = "";

	name_way(way, lib->ibv_get_device_name(device), "rdma", "writes its memory");
	if (verbs_try(lib, device, &memory, how))
		snprintf(way->absent, sizeof(way->absent), "%s", rk_errmsg());
	else
		snprintf(way->summary, sizeof(way->summary), "writes %s",
			 *how ? how : "host memory that the GPU polls");
}

bool verbs_trial_at(unsigned int index, const struct rk_region *region, struct verbs_way *way)
{
	struct trial_question question = {.region = region, .answer = way};

	return with_device(index, ask_trial, &question);
}

#else

bool verbs_way_at(unsigned int index, struct verbs_way *way)
{
	(void)index;
	(void)way;
	return false;
}

bool verbs_trial_at(unsigned int index, const struct rk_region *region, struct verbs_way *way)
{
	(void)index;
	(void)region;
	(void)way;
	return false;
}

#endif
