// SPDX-License-Identifier: MIT
/*
 * Provider `kmod`: host pages pinned by the module. They are the pages of provider `host`, which
 * the module keeps in place for devices and lends to other processes, with notice of the owner's
 * death.
 */
#include "gpudirect/kmod_device.h"
#include "gpudirect/provider.h"
#include "gpudirect/rk_region_share.h"
#include "rk_error.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct pinned {
	int fd; /* -1: imported */
	uint32_t handle;
};

static int probe(const struct rk_cuda_gpu *gpu)
{
	int fd = kmod_open();

	(void)gpu;
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int pin(const struct rk_region *region, struct pinned *own)
{
	struct rk_pin_host io = {.addr = (uintptr_t)region->info.host_addr,
				 .bytes = region->info.bytes};
	int result = kmod_call(own->fd, RK_IOC_PIN_HOST, &io, "pin");

	own->handle = io.handle;
	return result;
}

static int open_kmod(struct rk_region *region, size_t bytes, const struct rk_region_opts *opts)
{
	struct rk_region_opts unlocked = *opts;
	struct pinned *own = calloc(1, sizeof(*own));
	int result;

	if (!own)
		return rk_fail(ENOMEM, "region: no memory for its handle");
	own->fd = result = kmod_open();
	if (result < 0)
		goto err_own;
	unlocked.unlocked = true; /* the module pins, which locks as well */
	result = region_host_ops.open(region, bytes, &unlocked);
	if (result)
		goto err_fd;
	result = pin(region, own);
	if (result)
		goto err_host;
	region->info.locked = true;
	region->own = own;
	return 0;

err_host:
	region_host_ops.close(region);
err_fd:
	close(own->fd);
err_own:
	free(own);
	return result;
}

static void close_kmod(struct rk_region *region)
{
	struct pinned *own = region->own;

	if (own->fd >= 0)
		close(own->fd);
	munmap(region->info.host_addr, region->info.bytes);
	free(own);
}

static int export_kmod(const struct rk_region *region)
{
	const struct pinned *own = region->own;

	if (own->fd < 0)
		return rk_fail(EOPNOTSUPP, "region: imported: only its owner can share it");
	return kmod_export(own->fd, own->handle);
}

const struct rk_region_ops region_kmod_ops = {
	.provider = {"kmod", "pages of this machine, pinned by /dev/ringkernel; can be shared",
		     false},
	.probe = probe,
	.open = open_kmod,
	.close = close_kmod,
	.export = export_kmod,
};

static int map_import(struct rk_region *region, int fd)
{
	off_t bytes = lseek(fd, 0, SEEK_END);
	void *map;

	if (bytes <= 0)
		return rk_fail(EINVAL, "region: descriptor %d has no size: not a dma-buf", fd);
	map = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return rk_fail(errno, "region: map descriptor %d: %m%s", fd,
			       errno == ENODEV ? " (its owner is gone)" : "");
	region->ops = &region_kmod_ops;
	region->info.provider = region_kmod_ops.provider.name;
	region->info.host_addr = map;
	region->info.bytes = (size_t)bytes;
	region->info.page_bytes = RK_PAGE_BYTES;
	region->info.numa_node = -1;
	region->info.locked = true;
	return 0;
}

int rk_region_import(struct rk_region **out, int fd)
{
	struct rk_region *region = calloc(1, sizeof(*region));
	struct pinned *own = calloc(1, sizeof(*own));
	int result;

	if (!region || !own)
		result = rk_fail(ENOMEM, "region: no memory for its handle");
	else
		result = map_import(region, fd);
	if (result) {
		free(region);
		free(own);
		return result;
	}
	own->fd = -1;
	region->own = own;
	region_note(region, "imported: the owner's pages");
	*out = region;
	return 0;
}
