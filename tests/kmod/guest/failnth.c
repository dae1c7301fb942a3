// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and user copy of every call fails once (debug kernel): the call must say so,
 * hold nothing, and succeed when nothing fails.
 */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "t.h"

#define BYTES	(4 * SI_PAGE)

static int nth_fd, dev;
static char *pages;

static void set(const char *path, const char *value)
{
	char full[128];
	int fd;

	snprintf(full, sizeof(full), "/sys/kernel/debug/%s", path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, value, strlen(value)) > 0);
	if (fd >= 0)
		close(fd);
}

static void set_up(void)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[128];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/verbose", kinds[i]);
		set(path, "0");
		if (i < 2) {
			snprintf(path, sizeof(path), "%s/ignore-gfp-wait", kinds[i]);
			set(path, "N");
		}
	}
	set("fail_page_alloc/min-order", "0");
	set("fail_page_alloc/ignore-gfp-highmem", "N");
}

static bool arm_failure(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	return pwrite(nth_fd, text, len, 0) == len;
}

/* Return: whether the failure asked for has happened; disarms. */
static bool failure_happened(void)
{
	char text[16] = { 0 };
	int tries;
	bool happened = false;

	/* Reading and resetting can fail by what is being tested. */
	for (tries = 0; tries < 5; tries++) {
		if (pread(nth_fd, text, sizeof(text) - 1, 0) > 0) {
			happened = atoi(text) == 0;
			break;
		}
		happened = true;
	}
	for (tries = 0; tries < 5 && !arm_failure(0); tries++)
		;
	return happened;
}

static int do_open(void)
{
	int fd = open(RK_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int do_pin_host(void)
{
	struct rk_pin_host pin;
	int err = t_pin_host(dev, pages, BYTES, &pin);

	return err ? err : t_unpin(dev, pin.handle);
}

static int do_pin_gpu(void)
{
	struct rk_pin_gpu gpu;
	int err = t_pin_gpu(dev, SI_GPU_BASE, BYTES, 0, &gpu);

	return err ? err : t_unpin(dev, gpu.handle);
}

static int do_pin_gpu_persistent(void)
{
	struct rk_pin_gpu gpu;
	int err = t_pin_gpu(dev, SI_GPU_BASE, BYTES, RK_PIN_GPU_F_PERSISTENT, &gpu);

	return err ? err : t_unpin(dev, gpu.handle);
}

static uint32_t held_handle;
static uint64_t held_offset;

static int do_map(void)
{
	char *map = t_map(dev, held_offset, BYTES);
	int signal;

	if (!map)
		return -errno;
	signal = t_write(map, 1);
	/* Unmapping allocates, too. */
	while (munmap(map, BYTES) && errno == ENOMEM)
		;
	return signal ? -ENOMEM : 0;
}

static int do_export(void)
{
	struct si_import io = { .how = SI_IMPORT_DYNAMIC };
	int fd = t_export(dev, held_handle), err;

	if (fd < 0)
		return fd;
	io.fd = fd;
	err = t_ioctl(t_standin(), SI_IOC_IMPORT, &io);
	/* A call that gives something back and fails has given nothing back: again. */
	if (!err && t_ioctl(t_standin(), SI_IOC_UNIMPORT, &io.id))
		err = t_ioctl(t_standin(), SI_IOC_UNIMPORT, &io.id);
	close(fd);
	return err;
}

static int do_bells(void)
{
	struct rk_link_join join = { .token = { 5, 5 } };
	struct rk_bell_arm arm = { 0 };
	struct rk_link_leave leave = { 0 };
	struct rk_bells bells;
	int efd = eventfd(0, 0);
	int err = efd < 0 ? -errno : t_bells(dev, 70, &bells);

	if (err) {
		if (efd >= 0)
			close(efd);
		return err;
	}
	arm.handle = join.handle = bells.handle;
	err = t_bind(dev, bells.handle, 0, efd);
	if (!err)
		err = t_ioctl(dev, RK_IOC_BELL_ARM, &arm);
	if (!err)
		err = t_ioctl(dev, RK_IOC_LINK_JOIN, &join);
	if (!err) {
		leave.link = join.link;
		err = t_ioctl(dev, RK_IOC_LINK_LEAVE, &leave);
		if (err)
			CHECK_EQ(t_ioctl(dev, RK_IOC_LINK_LEAVE, &leave), 0);
	}
	if (t_unpin(dev, bells.handle))
		t_unpin(dev, bells.handle);
	close(efd);
	return err;
}

static int do_info(void)
{
	struct rk_version version = { .version = RK_UAPI_VERSION, .oldest = RK_UAPI_VERSION };
	struct rk_mem_info info = { .handle = held_handle };
	struct rk_run run = { .handle = held_handle };
	int err = t_ioctl(dev, RK_IOC_VERSION, &version);

	if (!err)
		err = t_ioctl(dev, RK_IOC_MEM_INFO, &info);
	return err ? err : t_ioctl(dev, RK_IOC_RUN, &run);
}

static void sweep(const char *name, int (*call)(void))
{
	long long held = t_counter("pinned_pages_now");
	int n, err, failures = 0;

	for (n = 1; n < 400; n++) {
		if (!arm_failure(n))
			continue;
		err = call();
		if (!failure_happened()) {
			CHECK_EQ(err, 0);
			break;
		}
		failures += err != 0;
		if (err)
			CHECK(err == -ENOMEM || err == -EFAULT || err == -ENODEV || err == -EIO);
		/* A failed unpin is tried again by closing: nothing else may be left. */
		if (t_counter("pinned_pages_now") != held) {
			int fresh = open(RK_DEVICE_PATH, O_RDWR | O_CLOEXEC);

			close(fresh);
			t_unpin(dev, held_handle + 1);
			t_unpin(dev, held_handle + 2);
		}
		CHECK_EQ(t_counter("pinned_pages_now"), held);
	}
	CHECK(n < 400);
	printf("failnth %s: %d points, %d of them an error of the call\n", name, n - 1, failures);
}

void group_failnth(void)
{
	struct rk_pin_host pin;
	struct rk_pin_gpu gpu;

	set_up();
	pages = t_pages(BYTES);
	dev = t_open();
	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	CHECK(nth_fd >= 0);
	CHECK_EQ(t_pin_host(dev, pages, BYTES, &pin), 0);
	held_handle = pin.handle;
	held_offset = pin.mmap_offset;
	sweep("open", do_open);
	sweep("pin_host", do_pin_host);
	sweep("map host", do_map);
	sweep("export host", do_export);
	sweep("bells", do_bells);
	sweep("info", do_info);
	t_unpin(dev, pin.handle);
	close(dev);
	dev = t_open();
	/* Persistent, so that it can be exported whatever the kernel lets importers do. */
	CHECK_EQ(t_pin_gpu(dev, SI_GPU_BASE + BYTES, BYTES, RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	held_handle = gpu.handle;
	held_offset = gpu.mmap_offset;
	sweep("pin_gpu", do_pin_gpu);
	sweep("pin_gpu persistent", do_pin_gpu_persistent);
	sweep("map gpu", do_map);
	sweep("export gpu", do_export);
	close(nth_fd);
	close(dev);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK_EQ(t_counter("bells_now"), 0);
	CHECK_EQ(t_counter("exports_now"), 0);
	CHECK_EQ(t_counter("link_ends_now"), 0);
	CHECK_EQ(t_counter("opens"), t_counter("closes"));
	CHECK_EQ(t_state().imports, 0);
	CHECK_EQ(t_state().pins, 0);
}
