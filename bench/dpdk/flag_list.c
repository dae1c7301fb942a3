// SPDX-License-Identifier: MIT
/* The host's side of flag_list.cu: lists in host memory that the GPU polls. */
#include "bench.h"
#include "bench/gpu/module.h"
#include "gpudirect/rk_region.h"
#include "rk_error.h"
#include "rk_handler.h"

#include <errno.h>
#include <stdlib.h>

RK_SOURCE(flag_list_text, "bench/dpdk/flag_list.cu");

enum { FREE, READY, LEAVE }; /* as in flag_list.cu */
enum { THREADS = 1024 };

struct packet {
	uint64_t address, bytes;
};

struct list {
	uint64_t flag, count, unused[6];
	struct packet packet[FLAG_LIST_FRAMES];
};

struct flag_lists {
	struct bench_module module;
	struct rk_region *region;
	struct list *list;
	uint64_t *good; /* of each block, behind the lists */
	unsigned int count, blocks;
	uint64_t to_gpu; /* added to an address of the host's in the pool */
	bool running;
};

static int start(struct flag_lists *lists)
{
	struct rk_cuda_function *function;
	uint64_t list = rk_region_gpu_addr(lists->region, lists->list);
	uint64_t good = rk_region_gpu_addr(lists->region, lists->good);
	void *arguments[] = {&list, &lists->count, &good};
	int result = bench_module_function(&lists->module, "poll_lists", &function), error;

	if (result)
		return result;
	error = lists->module.gpu.cuda->launch(function, lists->blocks, 1, 1, THREADS, 1, 1, 0,
					       lists->module.stream, arguments, NULL);
	if (error)
		return rk_cuda_fail(lists->module.gpu.cuda, error, "launch the lists' kernel");
	lists->running = true;
	return 0;
}

int flag_lists_open(struct flag_lists **out, unsigned int count, unsigned int blocks,
		    const struct rk_dpdk_pool *pool)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .cuda = true};
	const struct rk_region_info *frames = rk_region_info(rk_dpdk_pool_region(pool));
	size_t bytes = count * sizeof(struct list);
	struct flag_lists *lists = calloc(1, sizeof(*lists));
	int result;

	if (!lists)
		return rk_fail(ENOMEM, "no memory for lists");
	lists->count = count;
	lists->blocks = blocks;
	lists->to_gpu = frames->gpu_addr - (uint64_t)(uintptr_t)frames->host_addr;
	result = rk_region_open(&lists->region, bytes + RK_PAGE_BYTES, &opts);
	if (!result)
		result = bench_module_open(&lists->module, flag_list_text, "flag_list.cu", 0);
	if (result) {
		rk_region_close(lists->region);
		free(lists);
		return result;
	}
	lists->list = rk_region_take(lists->region, bytes);
	lists->good = rk_region_take(lists->region, blocks * sizeof(*lists->good));
	result = start(lists);
	if (result)
		flag_lists_close(lists, NULL);
	else
		*out = lists;
	return result;
}

void flag_lists_give(struct flag_lists *lists, unsigned int index, struct rte_mbuf **mbufs,
		     unsigned int count)
{
	struct list *list = &lists->list[index];

	for (unsigned int i = 0; i < count; i++)
		list->packet[i] =
			(struct packet){rte_pktmbuf_mtod(mbufs[i], uint64_t) + lists->to_gpu,
					rte_pktmbuf_pkt_len(mbufs[i])};
	list->count = count;
	__atomic_store_n(&list->flag, READY, __ATOMIC_RELEASE);
}

bool flag_lists_done(struct flag_lists *lists, unsigned int index)
{
	return __atomic_load_n(&lists->list[index].flag, __ATOMIC_ACQUIRE) == FREE;
}

int flag_lists_close(struct flag_lists *lists, uint64_t *good)
{
	const struct rk_cuda *cuda = lists->module.gpu.cuda;
	int error = 0;

	if (good)
		*good = 0;
	for (unsigned int i = 0; i < lists->count; i++)
		__atomic_store_n(&lists->list[i].flag, LEAVE, __ATOMIC_RELEASE);
	if (lists->running)
		error = cuda->stream_synchronize(lists->module.stream);
	if (error)
		rk_cuda_fail(cuda, error, "the lists' kernel");
	for (unsigned int i = 0; good && i < lists->blocks; i++)
		*good += lists->good[i];
	bench_module_close(&lists->module);
	rk_region_close(lists->region);
	free(lists);
	return error ? -EIO : 0;
}
