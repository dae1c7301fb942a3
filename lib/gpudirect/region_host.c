// SPDX-License-Identifier: MIT
/* Provider `host`: pages of this machine, huge and on a named NUMA node where that can be had. */
#include "config.h"
#include "gpudirect/provider.h"
#include "rk_error.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if RK_HAVE_NUMA
#include <numa.h>
#include <numaif.h>
#endif

#define HUGE_BYTES ((size_t)2 << 20)

static int probe(const struct rk_cuda_gpu *gpu)
{
	(void)gpu;
	return 0;
}

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static void *map(size_t bytes, int flags)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
		    0);
}

/* Huge pages first; 4 KiB pages when there are none, or for so little that one would be wasted. */
static int map_pages(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct rk_region_info *info = &region->info;

	if (!opts->small_pages && bytes > HUGE_BYTES / 4) {
		info->bytes = round_up(bytes, HUGE_BYTES);
		info->page_bytes = HUGE_BYTES;
		info->host_addr = map(info->bytes, MAP_HUGETLB);
		if (info->host_addr != MAP_FAILED)
			return 0;
		region_note(region,
			    "4 KiB pages: no %zu free huge pages of 2 MiB (%m); as root: sysctl "
			    "vm.nr_hugepages=N",
			    info->bytes / HUGE_BYTES);
	}
	info->bytes = round_up(bytes, RK_PAGE_BYTES);
	info->page_bytes = RK_PAGE_BYTES;
	info->host_addr = map(info->bytes, 0);
	if (info->host_addr == MAP_FAILED)
		return rk_fail(ENOMEM, "region: map %zu bytes: %m", info->bytes);
	return 0;
}

static int bind_node(struct rk_region *region, const struct rk_region_opts *opts)
{
	if (!opts->on_node)
		return 0;
#if RK_HAVE_NUMA
	if (numa_available() < 0) {
		region_note(region, "not bound to node %d: this kernel has no NUMA",
			    opts->numa_node);
		return 0;
	}
	if (opts->numa_node < 0 || opts->numa_node > numa_max_node())
		return rk_fail(EINVAL, "region: NUMA node %d: this machine has 0 to %d",
			       opts->numa_node, numa_max_node());
	numa_tonode_memory(region->info.host_addr, region->info.bytes, opts->numa_node);
#else
	region_note(region, "not bound to node %d: built without libnuma (libnuma-dev)",
		    opts->numa_node);
#endif
	return 0;
}

static int node_of(const void *address)
{
	void *page = (void *)(uintptr_t)address;
	int node = -1;

	/* move_pages(2) without target nodes only asks. */
	if (syscall(SYS_move_pages, 0, 1UL, &page, NULL, &node, 0) || node < 0)
		return -1;
	return node;
}

static void lock(struct rk_region *region, const struct rk_region_opts *opts)
{
	struct rlimit limit;

	if (opts->unlocked)
		return;
	if (!mlock(region->info.host_addr, region->info.bytes)) {
		region->info.locked = true;
		return;
	}
	getrlimit(RLIMIT_MEMLOCK, &limit);
	region_note(region, "not locked: mlock of %zu bytes: %m; RLIMIT_MEMLOCK is %llu: raise it",
		    region->info.bytes, (unsigned long long)limit.rlim_cur);
}

static void close_host(struct rk_region *region)
{
	munmap(region->info.host_addr, region->info.bytes);
}

static int open_host(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	int result = map_pages(region, bytes, opts);

	if (result)
		return result;
	result = bind_node(region, opts);
	if (result) {
		close_host(region);
		return result;
	}
	/* A ring of ours is no business of a child's. */
	madvise(region->info.host_addr, region->info.bytes, MADV_DONTFORK);
	lock(region, opts);
	/* Pages appear here, on the node chosen, not at the first message. */
	memset(region->info.host_addr, 0, region->info.bytes);
	region->info.numa_node = node_of(region->info.host_addr);
	return 0;
}

const struct rk_region_ops region_host_ops = {
	.provider = {"host", "pages of this machine: huge, locked, on a NUMA node", false},
	.probe = probe,
	.open = open_host,
	.close = close_host,
	.export = region_no_export,
};
