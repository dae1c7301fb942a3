// SPDX-License-Identifier: MIT
#include "gpudirect/rk_gpu_map.h"
#include "gpudirect/kmod_device.h"
#include "rk_error.h"

#include <sys/mman.h>
#include <unistd.h>

static int pin(struct rk_gpu_map *map, struct rk_pin_gpu *io)
{
	struct rk_pin_gpu wanted = *io;
	int result;

	io->flags = RK_PIN_GPU_F_PERSISTENT;
	result = kmod_call(map->fd, RK_IOC_PIN_GPU, io, "pin GPU memory");
	map->persistent = !result;
	if (result != -EOPNOTSUPP)
		return result;
	*io = wanted;
	return kmod_call(map->fd, RK_IOC_PIN_GPU, io, "pin GPU memory");
}

/* The runs lie anywhere on the bus; here they follow each other. */
static int map_runs(struct rk_gpu_map *map, const struct rk_pin_gpu *io)
{
	for (uint32_t i = 0; i < io->runs; i++) {
		struct rk_run run = {.handle = io->handle, .index = i};
		int result = kmod_call(map->fd, RK_IOC_RUN, &run, "ask for a run");

		if (result)
			return result;
		if (mmap((char *)map->host_addr + run.offset, run.bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, map->fd,
			 (off_t)(io->mmap_offset + run.offset)) == MAP_FAILED)
			return rk_fail(errno, "kmod: map run %u of GPU memory: %m", i);
	}
	return 0;
}

int rk_gpu_map_open(struct rk_gpu_map *out, uint64_t gpu_addr, size_t bytes)
{
	struct rk_pin_gpu io = {.addr = gpu_addr, .bytes = bytes};
	struct rk_gpu_map map = {.bytes = bytes};
	int result;

	map.fd = kmod_open();
	if (map.fd < 0)
		return map.fd;
	result = pin(&map, &io);
	if (result)
		goto err_fd;
	map.handle = io.handle;
	map.write_combined = io.wc_runs == io.runs;
	map.host_addr = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map.host_addr == MAP_FAILED) {
		result = rk_fail(ENOMEM, "kmod: no room for %zu bytes of GPU memory: %m", bytes);
		goto err_fd;
	}
	result = map_runs(&map, &io);
	if (result)
		goto err_map;
	*out = map;
	return 0;

err_map:
	munmap(map.host_addr, bytes);
err_fd:
	close(map.fd);
	return result;
}

int rk_gpu_map_export(const struct rk_gpu_map *map)
{
	return kmod_export(map->fd, map->handle);
}

void rk_gpu_map_close(struct rk_gpu_map *map)
{
	munmap(map->host_addr, map->bytes);
	close(map->fd);
}
