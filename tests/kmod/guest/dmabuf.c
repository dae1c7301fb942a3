// SPDX-License-Identifier: GPL-2.0
/* Memory exported as a dma-buf: to other processes, to drivers, and taken away from both. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "t.h"

#define BYTES	(4 * SI_PAGE)

/* CONFIG_DMABUF_MOVE_NOTIFY of the kernel under test. */
#define KERNEL_MOVES	(getenv("KERNEL_MOVES") && *getenv("KERNEL_MOVES"))

static const uint64_t base = SI_GPU_BASE + 128 * SI_PAGE;

static int import(int fd, uint32_t how, struct si_import *out)
{
	*out = (struct si_import){ .fd = fd, .how = how };
	return t_ioctl(t_standin(), SI_IOC_IMPORT, out);
}

static int unimport(uint32_t id)
{
	return t_ioctl(t_standin(), SI_IOC_UNIMPORT, &id);
}

static void host_to_drivers(int fd)
{
	char *pages = t_pages(BYTES);
	struct rk_pin_host pin;
	struct si_import one, two;
	int buf;

	*(uint64_t *)pages = 0xfeedface;
	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	buf = t_export(fd, pin.handle);
	CHECK(buf >= 0);
	CHECK_EQ(fcntl(buf, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(lseek(buf, 0, SEEK_END), BYTES);
	CHECK_EQ(import(buf, SI_IMPORT_STATIC, &one), 0);
	CHECK_EQ(one.bytes, BYTES);
	CHECK_EQ(one.first, 0xfeedface);
	CHECK_EQ(import(buf, SI_IMPORT_NO_PEER, &two), 0);
	CHECK_EQ(t_state().mapped, 2);
	/* Unpinned: the one that can let go does; the other keeps the pages pinned and charged. */
	CHECK_EQ(t_unpin(fd, pin.handle), 0);
	CHECK_EQ(t_state().mapped, 1);
	CHECK_EQ(t_counter("pinned_pages_now"), BYTES / PAGE);
	CHECK_EQ(t_status_kb("VmPin"), BYTES / 1024);
	CHECK_EQ(unimport(one.id), 0);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK_EQ(t_status_kb("VmPin"), 0);
	CHECK_EQ(unimport(two.id), 0);
	CHECK_EQ(import(buf, SI_IMPORT_STATIC, &one), -ENODEV);
	close(buf);
	munmap(pages, BYTES);
}

static void gpu_to_drivers(int fd)
{
	struct si_state before = t_state();
	struct rk_pin_gpu gpu;
	struct si_import io;
	uint64_t value;
	char *map;
	int buf;

	t_mode(SI_FAIL_NONE, 1, 1);
	CHECK_EQ(t_pin_gpu(fd, base, BYTES, 0, &gpu), 0);
	buf = t_export(fd, gpu.handle);
	map = t_map(fd, gpu.mmap_offset, SI_PAGE);
	CHECK_EQ(t_write(map, 0xc0ffee), 0);
	CHECK_EQ(import(buf, SI_IMPORT_STATIC, &io), -EOPNOTSUPP);
	CHECK_EQ(import(buf, SI_IMPORT_NO_PEER, &io), -EOPNOTSUPP);
	if (KERNEL_MOVES) {
		CHECK_EQ(import(buf, SI_IMPORT_DYNAMIC, &io), 0);
		CHECK_EQ(io.segments, 4);
		CHECK_EQ(io.bytes, BYTES);
		CHECK_EQ(io.first, 0xc0ffee);
		/* Freed: the importer has let go before the memory has a new owner. */
		CHECK_EQ(t_free(base, BYTES), 1);
		CHECK_EQ(t_state().moves, before.moves + 1);
		CHECK_EQ(t_state().mapped, 0);
		CHECK_EQ(t_unpin(fd, gpu.handle), 0);
		CHECK_EQ(unimport(io.id), 0);
	} else {
		/* This kernel pins for every importer, so none can be told in time. */
		CHECK_EQ(import(buf, SI_IMPORT_DYNAMIC, &io), -EOPNOTSUPP);
		CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	}
	close(buf);
	munmap(map, SI_PAGE);

	/* Persistent memory may be pinned by an importer; scattered, it has a segment a page. */
	CHECK_EQ(t_pin_gpu(fd, base, BYTES, RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	buf = t_export(fd, gpu.handle);
	map = t_map(fd, gpu.mmap_offset, SI_PAGE);
	CHECK_EQ(t_write(map, 0xc0ffee), 0);
	CHECK_EQ(import(buf, SI_IMPORT_DYNAMIC, &io), 0);
	CHECK_EQ(io.segments, 4);
	CHECK_EQ(io.bytes, BYTES);
	CHECK_EQ(io.first, 0xc0ffee);
	CHECK_EQ(t_free(base, BYTES), 0);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(unimport(io.id), 0);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	close(buf);
	munmap(map, SI_PAGE);

	/* An importer that is slow to let go keeps the driver's pages, not the owner's handle. */
	CHECK_EQ(t_pin_gpu(fd, base, BYTES, RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	buf = t_export(fd, gpu.handle);
	CHECK_EQ(import(buf, SI_IMPORT_LAZY, &io), 0);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	CHECK_EQ(t_state().pins, 1);
	CHECK_EQ(unimport(io.id), 0);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK_EQ(t_state().pins, 0);
	close(buf);
	t_mode(SI_FAIL_NONE, 1, 0);
}

/* A dma-buf that outlives its maker holds nothing but itself. */
static void outlives_file(void)
{
	char *pages = t_pages(BYTES);
	struct rk_pin_host pin;
	int fd = t_open(), buf;
	uint64_t value;
	char *map;

	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	buf = t_export(fd, pin.handle);
	map = t_map(buf, 0, BYTES);
	CHECK_EQ(t_write(map, 9), 0);
	CHECK_EQ(*(uint64_t *)pages, 9);
	close(fd);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
	CHECK(!t_map(buf, 0, BYTES) && errno == ENODEV);
	CHECK(munmap(map, PAGE) && errno == EINVAL);
	munmap(map, BYTES);
	close(buf);
	munmap(pages, BYTES);
}

/* Two processes: one owns, the other maps what it was sent. */
static void other_process(void *arg)
{
	int sock = *(int *)arg, buf = t_recv_fd(sock);
	uint64_t value;
	char byte;
	char *map = t_map(buf, 0, BYTES), *tail = t_map(buf, SI_PAGE, SI_PAGE);

	CHECK(map && tail);
	CHECK(!t_map(buf, SI_PAGE, BYTES));
	CHECK_EQ(t_read(map, &value), 0);
	CHECK_EQ(value, 0xaaaa);
	CHECK_EQ(t_write(tail, 0xbbbb), 0);
	CHECK_EQ(write(sock, "m", 1), 1);
	CHECK_EQ(read(sock, &byte, 1), 1);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(t_write(tail, 1), SIGBUS);
}

static void between_processes(bool gpu_memory)
{
	char *pages = t_pages(BYTES), byte;
	struct rk_pin_host pin;
	struct rk_pin_gpu gpu;
	uint64_t value = 0;
	int sock[2], fd, status;
	uint32_t handle;
	char *map;
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		t_failed = 0;
		close(sock[1]);
		other_process(&sock[0]);
		fflush(stdout);
		_exit(t_failed ? 1 : 0);
	}
	close(sock[0]);
	fd = t_open();
	if (gpu_memory)
		CHECK_EQ(t_pin_gpu(fd, base, BYTES, 0, &gpu), 0);
	else
		CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	handle = gpu_memory ? gpu.handle : pin.handle;
	map = t_map(fd, gpu_memory ? gpu.mmap_offset : pin.mmap_offset, BYTES);
	CHECK_EQ(t_write(map, 0xaaaa), 0);
	t_send_fd(sock[1], t_export(fd, handle));
	CHECK_EQ(read(sock[1], &byte, 1), 1);
	CHECK_EQ(t_read(map + SI_PAGE, &value), 0);
	CHECK_EQ(value, 0xbbbb);
	if (gpu_memory)
		CHECK_EQ(t_free(base, BYTES), 1);
	else
		CHECK_EQ(t_unpin(fd, handle), 0);
	CHECK_EQ(write(sock[1], "r", 1), 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	close(sock[1]);
	munmap(map, BYTES);
	close(fd);
	munmap(pages, BYTES);
}

void group_dmabuf(void)
{
	long long exports = t_counter("exports_now");
	int fd = t_open();

	host_to_drivers(fd);
	gpu_to_drivers(fd);
	outlives_file();
	close(fd);
	between_processes(false);
	between_processes(true);
	CHECK_EQ(t_state().pins, 0);
	CHECK_EQ(t_state().imports, 0);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
	/* The descriptors made above and sent are closed with this process only. */
	CHECK(t_counter("exports_now") >= exports);
	CHECK_EQ(t_counter("dma_maps_now"), 0);
}
