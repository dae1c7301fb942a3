// SPDX-License-Identifier: GPL-2.0
/* Much of everything: cycles, killed processes, hammering, and the module's own end. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gpudirect/rk_doorbell.h"
#include "gpudirect/rk_region.h"
#include "rk_error.h"
#include "t.h"

#define BYTES	(2 * SI_PAGE)

static void all_given_back(long long pins_before)
{
	struct si_state state = t_state();

	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK(t_counter_becomes("bells_now", 0));
	CHECK(t_counter_becomes("link_ends_now", 0));
	CHECK(t_counter_becomes("exports_now", 0));
	CHECK_EQ(t_counter("dma_maps_now"), 0);
	CHECK_EQ(t_counter("opens"), t_counter("closes"));
	CHECK_EQ(t_status_kb("VmPin"), 0);
	CHECK_EQ(t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released"), pins_before);
	CHECK_EQ(state.pins, 0);
	CHECK_EQ(state.double_puts, 0);
	CHECK_EQ(state.stuck, 0);
	CHECK_EQ(state.puts_in_callback, 0);
}

static long long pins_held(void)
{
	return t_vmstat("nr_foll_pin_acquired") - t_vmstat("nr_foll_pin_released");
}

/* --- cycles --- */

static void cycle(int fd, char *pages, unsigned int i)
{
	struct rk_pin_host pin;
	struct rk_pin_gpu gpu;
	struct rk_bells bells;
	char *map;
	int buf;

	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	map = t_map(fd, pin.mmap_offset, BYTES);
	CHECK_EQ(t_write(map, i), 0);
	CHECK_EQ(*(uint64_t *)pages, i);
	buf = t_export(fd, pin.handle);
	CHECK(buf >= 0);
	close(buf);
	if (i % 2)
		munmap(map, BYTES);
	CHECK_EQ(t_unpin(fd, pin.handle), 0);
	if (i % 2 == 0)
		munmap(map, BYTES);

	CHECK_EQ(t_pin_gpu(fd, SI_GPU_BASE, BYTES, i % 3 ? 0 : RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	map = t_map(fd, gpu.mmap_offset, BYTES);
	CHECK_EQ(t_write(map, i), 0);
	if (i % 5 == 1)
		t_free(SI_GPU_BASE, BYTES);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	munmap(map, BYTES);

	CHECK_EQ(t_bells(fd, 1 + i % 100, &bells), 0);
	CHECK_EQ(t_unpin(fd, bells.handle), 0);
}

void group_cycles(void)
{
	long long before = pins_held();
	char *pages = t_pages(BYTES);
	unsigned int i;
	int fd = t_open();

	for (i = 0; i < 1000; i++) {
		cycle(fd, pages, i);
		if (i % 50 == 0) {
			close(fd);
			fd = t_open();
		}
	}
	close(fd);
	munmap(pages, BYTES);
	all_given_back(before);
}

/* --- storms --- */

static void doomed(unsigned int i)
{
	char *pages = t_pages(BYTES);
	int efd = eventfd(0, 0);
	unsigned int n;

	for (n = 0;; n++) {
		int fd = t_open();
		struct rk_pin_host pin;
		struct rk_pin_gpu gpu;
		struct rk_bells bells;
		struct rk_bell_arm arm;
		struct rk_link_join join = { .token = { i / 2, 3 }, .end = i % 2 };
		char *map;

		t_pin_host(fd, pages, BYTES, &pin);
		map = t_map(fd, pin.mmap_offset, BYTES);
		if (map)
			*(volatile char *)map = 1;
		t_pin_gpu(fd, SI_GPU_BASE + i * BYTES, BYTES, 0, &gpu);
		map = t_map(fd, gpu.mmap_offset, BYTES);
		if (map)
			t_write(map, n);
		t_export(fd, pin.handle);
		t_export(fd, gpu.handle);
		t_bells(fd, 3, &bells);
		t_bind(fd, bells.handle, 1, efd);
		arm = (struct rk_bell_arm){ .handle = bells.handle, .index = 1 };
		t_ioctl(fd, RK_IOC_BELL_ARM, &arm);
		join.handle = bells.handle;
		t_ioctl(fd, RK_IOC_LINK_JOIN, &join);
		if (n % 3 == 0)
			close(fd);
		if (n == 60)
			pause();
	}
}

void group_storm(void)
{
	long long before = pins_held();
	unsigned int round, i;
	pid_t pids[4];

	fflush(stdout);
	for (round = 0; round < 25; round++) {
		for (i = 0; i < 4; i++) {
			pids[i] = fork();
			if (!pids[i]) {
				doomed(i);
				_exit(0);
			}
		}
		usleep(1000 * (5 + round * 7 % 40));
		if (round % 4 == 1)
			t_free(SI_GPU_BASE, 8 * BYTES);
		for (i = 0; i < 4; i++)
			kill(pids[i], SIGKILL);
		for (i = 0; i < 4; i++)
			waitpid(pids[i], NULL, 0);
	}
	all_given_back(before);
	printf("storm: 100 processes killed\n");
}

/* --- hammer --- */

struct hammer {
	uint64_t until, base;
	uint64_t pins, frees, faults, stale, errors;
	bool frees_it;
};

/* Pins, maps, writes; and whatever is taken away must not be seen again. */
static void *pin_on(void *arg)
{
	struct hammer *h = arg;
	char *pages = t_pages(BYTES);
	int fd = t_open();

	while (t_now_ns() < h->until) {
		struct rk_pin_host pin;
		struct rk_pin_gpu gpu;
		uint64_t tag = h->pins << 8 | 1, value = 0;
		char *map, *host;
		int i, err;

		err = t_pin_gpu(fd, h->base, BYTES, 0, &gpu);
		if (err) {
			/* Taken back while it was being pinned. */
			h->errors += err != -ENODEV;
			continue;
		}
		h->pins++;
		map = t_map(fd, gpu.mmap_offset, BYTES);
		if (!map)
			h->errors += errno != ENODEV;
		for (i = 0; map && i < 32; i++) {
			char *at = map + i * PAGE;

			if (t_write(at, tag) || t_read(at, &value)) {
				h->faults++;
				break;
			}
			h->stale += value == SI_REUSED;
		}
		h->errors += t_pin_host(fd, pages, BYTES, &pin) != 0;
		host = t_map(fd, pin.mmap_offset, BYTES);
		if (host) {
			t_write(host, tag);
			h->errors += *(volatile uint64_t *)pages != tag;
			munmap(host, BYTES);
		}
		h->errors += t_unpin(fd, pin.handle) != 0;
		h->errors += t_unpin(fd, gpu.handle) != 0;
		if (map) {
			h->errors += !t_write(map, 1);
			munmap(map, BYTES);
		}
	}
	close(fd);
	munmap(pages, BYTES);
	return NULL;
}

static void *free_on(void *arg)
{
	struct hammer *h = arg;

	while (t_now_ns() < h->until) {
		t_free(h->base, 2 * BYTES);
		h->frees++;
		usleep(500);
	}
	return NULL;
}

/* Two threads pin, one takes away, in each of two processes. */
static void hammer_process(void *arg)
{
	const struct hammer *from = arg;
	struct hammer h[3] = { *from, *from, *from };
	pthread_t threads[3];
	int i;

	h[1].base += BYTES;
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, i == 2 ? free_on : pin_on, &h[i]);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	printf("hammer: %llu pins, %llu frees, %llu SIGBUS, %llu stale, %llu errors\n",
	       (unsigned long long)(h[0].pins + h[1].pins), (unsigned long long)h[2].frees,
	       (unsigned long long)(h[0].faults + h[1].faults),
	       (unsigned long long)(h[0].stale + h[1].stale),
	       (unsigned long long)(h[0].errors + h[1].errors));
	CHECK_EQ(h[0].errors + h[1].errors, 0);
	CHECK_EQ(h[0].stale + h[1].stale, 0);
	CHECK(h[0].pins + h[1].pins > 100);
	CHECK(h[2].frees > 10);
}

void group_hammer(void)
{
	const char *seconds = getenv("HAMMER_SECONDS");
	uint64_t ns = (seconds ? atoi(seconds) : 60) * 1000000000ull;
	long long before = pins_held();
	struct hammer h = { .until = t_now_ns() + ns, .base = SI_GPU_BASE };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		t_failed = 0;
		h.base += 16 * BYTES;
		hammer_process(&h);
		fflush(stdout);
		_exit(t_failed ? 1 : 0);
	}
	hammer_process(&h);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	all_given_back(before);
}

/* --- unloading --- */

static int unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

void group_unload(void)
{
	char *pages = t_pages(BYTES);
	struct rk_pin_host pin;
	struct rk_pin_gpu gpu;
	struct rk_doorbells *bells;
	struct rk_region *region;
	char *map, why[256];
	int fd, buf;

	fd = t_open();
	CHECK_EQ(unload("ringkernel"), -EWOULDBLOCK);
	CHECK_EQ(t_pin_gpu(fd, SI_GPU_BASE, SI_PAGE, 0, &gpu), 0);
	CHECK_EQ(unload("standin"), -EWOULDBLOCK);
	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	map = t_map(fd, pin.mmap_offset, BYTES);
	close(fd);
	CHECK_EQ(unload("ringkernel"), -EWOULDBLOCK);
	munmap(map, BYTES);
	usleep(20000);
	fd = t_open();
	CHECK_EQ(t_pin_host(fd, pages, BYTES, &pin), 0);
	buf = t_export(fd, pin.handle);
	close(fd);
	CHECK_EQ(unload("ringkernel"), -EWOULDBLOCK);
	close(buf);
	usleep(20000);
	CHECK_EQ(unload("ringkernel"), 0);
	CHECK(access(RK_DEVICE_PATH, F_OK) && errno == ENOENT);
	munmap(pages, BYTES);

	/* The library says what is missing and goes on without. */
	CHECK(rk_region_provider_at(0, why, sizeof(why)) && strstr(why, "modprobe ringkernel"));
	CHECK_EQ(rk_region_open(&region, PAGE, NULL), 0);
	CHECK(!strcmp(rk_region_info(region)->provider, "host"));
	rk_region_close(region);
	CHECK_EQ(rk_doorbells_open(&bells, 1), -ENOENT);
	CHECK(strstr(rk_errmsg(), "modprobe ringkernel"));
}
