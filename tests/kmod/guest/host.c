// SPDX-License-Identifier: GPL-2.0
/* Host memory: pinned, counted, mapped, given back; and who may ask for it. */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>

#include "t.h"

#define BYTES	(64 * PAGE)

static void map_rules(int fd, const struct rk_pin_host *pin, char *pages)
{
	char *map = t_map(fd, pin->mmap_offset, BYTES);
	char *elsewhere = t_pages(BYTES);
	uint64_t value;

	CHECK(map);
	if (!map)
		return;
	strcpy(pages + 5 * PAGE, "through the front");
	CHECK(!strcmp(map + 5 * PAGE, "through the front"));
	strcpy(map + 63 * PAGE, "through the back");
	CHECK(!strcmp(pages + 63 * PAGE, "through the back"));
	CHECK_EQ(t_type_at(fd, pin->handle, map), RK_TYPE_WB);

	/* One area, whole or not at all. */
	CHECK(munmap(map, PAGE) && errno == EINVAL);
	CHECK(munmap(map + PAGE, PAGE) && errno == EINVAL);
	CHECK(mprotect(map, PAGE, PROT_READ) && errno == EINVAL);
	CHECK(madvise(map, PAGE, MADV_DOFORK) && errno == EINVAL);
	CHECK(madvise(map, BYTES, MADV_DOFORK) && errno == EINVAL);
	CHECK(mremap(map, BYTES, 2 * BYTES, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK(mremap(map, BYTES, BYTES / 2, 0) == MAP_FAILED);
	CHECK(mremap(map, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == MAP_FAILED);
	CHECK(mremap(map, 0, BYTES, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK(mprotect(map, BYTES, PROT_READ | PROT_EXEC) && errno == EACCES);
	CHECK_EQ(t_read(map + 5 * PAGE, &value), 0);
	CHECK_EQ(mprotect(map, BYTES, PROT_READ), 0);
	CHECK_EQ(t_write(map, 1), SIGSEGV);
	CHECK_EQ(mprotect(map, BYTES, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(t_write(map, 1), 0);
	CHECK_EQ(munmap(map, BYTES), 0);
}

static void mmap_refusals(int fd, const struct rk_pin_host *pin)
{
	off_t off = (off_t)pin->mmap_offset;

	CHECK(mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, off) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, off) == MAP_FAILED &&
	      errno == EINVAL);
	CHECK(!t_map(fd, off, BYTES + PAGE) && errno == EINVAL);
	CHECK(!t_map(fd, off + BYTES, PAGE) && errno == EINVAL);
	CHECK(!t_map(fd, off + PAGE, BYTES) && errno == EINVAL);
	CHECK(!t_map(fd, 0, PAGE) && errno == EINVAL);
	CHECK(!t_map(fd, off + (1ll << 40), PAGE) && errno == EINVAL);
	CHECK(!t_map(fd, 0x7ffffffffffff000ll, PAGE));
}

static void unpin_while_mapped(int fd, struct rk_pin_host *pin, char *pages)
{
	char *map = t_map(fd, pin->mmap_offset, BYTES);
	char *half = t_map(fd, pin->mmap_offset + BYTES / 2, BYTES / 2);
	uint64_t value;

	pages[0] = 1;
	CHECK(map && half);
	CHECK_EQ(t_write(map, 7), 0);
	CHECK_EQ(t_write(half, 7), 0);
	CHECK_EQ(t_unpin(fd, pin->handle), 0);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(t_write(map + BYTES - 8, 1), SIGBUS);
	CHECK_EQ(t_write(half, 1), SIGBUS);
	CHECK_EQ(*(uint64_t *)pages, 7);
	CHECK_EQ(t_unpin(fd, pin->handle), -ENOENT);
	CHECK_EQ(munmap(map, BYTES), 0);
	CHECK_EQ(munmap(half, BYTES / 2), 0);
}

static void holes(int fd)
{
	char *pages = t_pages(BYTES);
	long long before = t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released");
	struct rk_pin_host pin;

	munmap(pages + BYTES / 2, PAGE);
	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), -EFAULT);
	CHECK_EQ(mprotect(pages, PAGE, PROT_READ), 0);
	CHECK_EQ(t_pin_host(fd, pages, PAGE, &pin), -EFAULT);
	CHECK_EQ(t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released"), before);
	CHECK_EQ(t_status_kb("VmPin"), 0);
	munmap(pages, BYTES);
}

static void as_user(void *arg)
{
	struct rlimit limit = { 16 * PAGE, 16 * PAGE };
	struct rk_pin_host pin, second;
	char *pages = t_pages(BYTES);
	int fd;

	(void)arg;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	CHECK_EQ(setgid(1000), 0);
	CHECK_EQ(setuid(1000), 0);
	fd = t_open();
	if (fd < 0)
		return;
	CHECK_EQ(t_pin_host(fd, pages, 17 * PAGE, &pin), -ENOMEM);
	CHECK_EQ(t_pin_host(fd, pages, 10 * PAGE, &pin), 0);
	CHECK_EQ(t_status_kb("VmPin"), 40);
	CHECK_EQ(t_pin_host(fd, pages, 7 * PAGE, &second), -ENOMEM);
	CHECK_EQ(t_pin_host(fd, pages, 6 * PAGE, &second), 0);
	CHECK_EQ(t_unpin(fd, pin.handle), 0);
	CHECK_EQ(t_unpin(fd, second.handle), 0);
	CHECK_EQ(t_status_kb("VmPin"), 0);
}

static void quotas(void)
{
	char *pages = t_pages(4 * MIB);
	struct rk_pin_host pin[3];
	struct rk_bells bells;
	int fd = t_open(), other = t_open();

	t_param("max_pinned_mib", "2");
	CHECK_EQ(t_pin_host(fd, pages, MIB, &pin[0]), 0);
	CHECK_EQ(t_pin_host(other, pages, MIB, &pin[1]), 0);
	CHECK_EQ(t_pin_host(fd, pages, PAGE, &pin[2]), -EDQUOT);
	CHECK_EQ(t_unpin(other, pin[1].handle), 0);
	CHECK_EQ(t_pin_host(fd, pages, PAGE, &pin[2]), 0);
	t_param("max_pinned_mib", "16384");
	t_param("max_objects", "2");
	CHECK_EQ(t_pin_host(fd, pages, PAGE, &pin[1]), -EDQUOT);
	CHECK_EQ(t_bells(fd, 1, &bells), -EDQUOT);
	t_param("max_objects", "1024");
	t_param("max_bells", "100");
	CHECK_EQ(t_bells(fd, 60, &bells), 0);
	CHECK_EQ(t_bells(other, 41, &bells), -EDQUOT);
	CHECK_EQ(t_bells(other, 40, &bells), 0);
	t_param("max_bells", "16384");
	close(fd);
	close(other);
	CHECK_EQ(t_counter("bells_now"), 0);
	munmap(pages, 4 * MIB);
}

void group_host(void)
{
	long long before = t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released");
	char *pages = t_pages(BYTES);
	struct rk_pin_host pin;
	int fd = t_open();
	char *map;

	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	CHECK_EQ(t_status_kb("VmPin"), BYTES / 1024);
	CHECK_EQ(t_counter("pinned_pages_now"), BYTES / PAGE);
	map_rules(fd, &pin, pages);
	mmap_refusals(fd, &pin);
	unpin_while_mapped(fd, &pin, pages);
	CHECK_EQ(t_status_kb("VmPin"), 0);
	holes(fd);
	quotas();
	t_child(as_user, NULL);

	/* Closed while mapped: the mapping keeps the file, the end of the mapping ends it. */
	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	map = t_map(fd, pin.mmap_offset, BYTES);
	close(fd);
	CHECK_EQ(t_write(map, 5), 0);
	CHECK_EQ(*(uint64_t *)pages, 5);
	CHECK_EQ(munmap(map, BYTES), 0);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK_EQ(t_status_kb("VmPin"), 0);
	munmap(pages, BYTES);
	CHECK_EQ(t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released"), before);
}

/* --- who may ask --- */

struct owned {
	int fd;
	struct rk_pin_host pin;
	struct rk_bells bells;
	char *map;
};

static void stranger(void *arg)
{
	struct owned *own = arg;
	struct rk_version version = { .version = RK_UAPI_VERSION, .oldest = RK_UAPI_VERSION };
	char *pages = t_pages(PAGE);
	struct rk_pin_host pin;
	struct rk_pin_gpu gpu;
	struct rk_bells bells;
	struct rk_run run = { .handle = own->pin.handle };
	struct rk_mem_info info = { .handle = own->pin.handle };
	struct rk_bell_arm arm = { .handle = own->bells.handle };
	struct rk_link_join join = { .token = { 1, 1 }, .handle = own->bells.handle };
	struct rk_link_leave leave = { .link = 1 };
	uint64_t value;

	CHECK_EQ(t_ioctl(own->fd, RK_IOC_VERSION, &version), 0);
	CHECK_EQ(t_pin_host(own->fd, pages, PAGE, &pin), -EPERM);
	CHECK_EQ(t_pin_gpu(own->fd, SI_GPU_BASE, SI_PAGE, 0, &gpu), -EPERM);
	CHECK_EQ(t_unpin(own->fd, own->pin.handle), -EPERM);
	CHECK_EQ(t_ioctl(own->fd, RK_IOC_RUN, &run), -EPERM);
	CHECK_EQ(t_ioctl(own->fd, RK_IOC_MEM_INFO, &info), -EPERM);
	CHECK_EQ(t_export(own->fd, own->pin.handle), -EPERM);
	CHECK_EQ(t_bells(own->fd, 1, &bells), -EPERM);
	CHECK_EQ(t_bind(own->fd, own->bells.handle, 0, -1), -EPERM);
	CHECK_EQ(t_ioctl(own->fd, RK_IOC_BELL_ARM, &arm), -EPERM);
	CHECK_EQ(t_ioctl(own->fd, RK_IOC_LINK_JOIN, &join), -EPERM);
	CHECK_EQ(t_ioctl(own->fd, RK_IOC_LINK_LEAVE, &leave), -EPERM);
	CHECK(!t_map(own->fd, own->pin.mmap_offset, PAGE) && errno == EPERM);
	/* The mapping is not inherited either. */
	CHECK_EQ(t_read(own->map, &value), SIGSEGV);
}

/* The opener dies while a child of its holds the descriptor. */
static void opener(void *arg)
{
	int *release = arg;
	char *pages = t_pages(BYTES), byte;
	struct rk_pin_host pin;
	int fd = t_open();

	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	if (!fork()) {
		/* Ends when the test closes its end of the pipe. */
		close(release[1]);
		if (read(release[0], &byte, 1))
			_exit(1);
		_exit(0);
	}
}

/* A thread that took its own table of descriptors closes them all as it ends. */
static void *with_own_files(void *unused)
{
	(void)unused;
	CHECK_EQ(unshare(CLONE_FILES), 0);
	return NULL;
}

void group_owner(void)
{
	struct owned own;
	char *pages = t_pages(BYTES);
	int release[2], copy;
	pthread_t thread;

	own.fd = t_open();
	CHECK_EQ(t_pin_host(own.fd, pages, BYTES, &own.pin), 0);
	CHECK_EQ(t_bells(own.fd, 4, &own.bells), 0);
	own.map = t_map(own.fd, own.pin.mmap_offset, BYTES);
	CHECK_EQ(t_write(own.map, 1), 0);
	t_child(stranger, &own);
	CHECK_EQ(t_write(own.map, 2), 0);

	CHECK_EQ(pthread_create(&thread, NULL, with_own_files, NULL), 0);
	pthread_join(thread, NULL);
	usleep(20000);
	CHECK_EQ(t_write(own.map, 2), 0);

	/* A duplicate is the same file to the same owner, and closing it ends nothing. */
	copy = dup(own.fd);
	CHECK_EQ(close(own.fd), 0);
	CHECK_EQ(t_write(own.map, 3), 0);
	CHECK_EQ(t_unpin(copy, own.pin.handle), 0);
	CHECK_EQ(t_write(own.map, 4), SIGBUS);
	munmap(own.map, BYTES);
	close(copy);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);

	CHECK_EQ(pipe(release), 0);
	t_child(opener, release);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
	close(release[0]);
	close(release[1]);
	munmap(pages, BYTES);
}
