// SPDX-License-Identifier: GPL-2.0
/* GPU memory: pinned through the p2p interface, mapped write-combined, taken back by the driver. */
#include <pthread.h>
#include <sched.h>

#include "t.h"

#define SIZES_4K	0u
#define SIZES_64K	1u
#define SIZES_128K	2u

static const uint64_t base = SI_GPU_BASE + 64 * SI_PAGE;

static void nothing_left(void)
{
	struct si_state state = t_state();

	CHECK_EQ(state.pins, 0);
	CHECK_EQ(state.double_puts, 0);
	CHECK_EQ(state.puts_in_callback, 0);
	CHECK_EQ(state.stuck, 0);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
}

static uint64_t peek(uint64_t gpu_addr)
{
	struct si_peek io = { .offset = gpu_addr - SI_GPU_BASE };

	CHECK_EQ(t_ioctl(t_standin(), SI_IOC_PEEK, &io), 0);
	return io.value;
}

static void contiguous(int fd)
{
	uint64_t bytes = 4 * SI_PAGE, value;
	struct rk_pin_gpu gpu;
	char *map;

	t_mode(SI_FAIL_NONE, SIZES_64K, 0);
	CHECK_EQ(t_pin_gpu(fd, base, bytes, 0, &gpu), 0);
	CHECK_EQ(gpu.page_bytes, SI_PAGE);
	CHECK_EQ(gpu.runs, 1);
	CHECK_EQ(gpu.wc_runs, 1);
	CHECK_EQ(t_state().pins, 1);
	map = t_map(fd, gpu.mmap_offset, bytes);
	CHECK(map);
	CHECK_EQ(t_type_at(fd, gpu.handle, map), RK_TYPE_NONE);
	CHECK_EQ(t_write(map + 3 * SI_PAGE, 0x1122334455667788), 0);
	CHECK_EQ(t_type_at(fd, gpu.handle, map + 3 * SI_PAGE), RK_TYPE_WC);
	CHECK_EQ(t_write(map, 0), 0);
	CHECK_EQ(t_type_at(fd, gpu.handle, map), RK_TYPE_WC);
	CHECK_EQ(peek(base + 3 * SI_PAGE), 0x1122334455667788);
	CHECK_EQ(t_read(map + 3 * SI_PAGE, &value), 0);
	CHECK_EQ(value, 0x1122334455667788);
	CHECK(munmap(map, SI_PAGE) && errno == EINVAL);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(munmap(map, bytes), 0);
	nothing_left();
}

/* Each contiguous run is an area of its own, and write-combined, every one. */
static void scattered(int fd, uint32_t page_size, uint32_t page_bytes)
{
	uint64_t bytes = 4 * SI_PAGE;
	struct rk_pin_gpu gpu;
	uint32_t i;

	t_mode(SI_FAIL_NONE, page_size, 1);
	CHECK_EQ(t_pin_gpu(fd, base, bytes, 0, &gpu), 0);
	CHECK_EQ(gpu.page_bytes, page_bytes);
	CHECK_EQ(gpu.runs, bytes / page_bytes);
	CHECK_EQ(gpu.wc_runs, gpu.runs);
	CHECK(!t_map(fd, gpu.mmap_offset, bytes) && errno == EINVAL);
	CHECK(!t_map(fd, gpu.mmap_offset + page_bytes / 2, page_bytes) && errno == EINVAL);
	for (i = 0; i < gpu.runs && i < 8; i++) {
		struct rk_run run = { .handle = gpu.handle, .index = i };
		char *map;

		CHECK_EQ(t_ioctl(fd, RK_IOC_RUN, &run), 0);
		CHECK_EQ(run.bytes, page_bytes);
		CHECK_EQ(run.offset, (uint64_t)i * page_bytes);
		map = t_map(fd, gpu.mmap_offset + run.offset, run.bytes);
		CHECK(map);
		CHECK_EQ(t_write(map, 0xabc000 + i), 0);
		CHECK_EQ(t_type_at(fd, gpu.handle, map), RK_TYPE_WC);
		CHECK_EQ(peek(base + (uint64_t)(i ^ 1) * page_bytes), 0xabc000 + i);
		munmap(map, run.bytes);
	}
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	nothing_left();
}

static void odd_tables(int fd)
{
	static const struct { uint32_t fail; int err; } modes[] = {
		{ SI_FAIL_RAM, -EIO }, { SI_FAIL_VERSION, -EIO }, { SI_FAIL_GET, -ENOMEM },
		{ SI_FAIL_SHORT, -EIO }, { SI_FAIL_LONG, -EIO }, { SI_FAIL_PAGE_SIZE, -EIO },
		{ SI_FAIL_NULL_PAGE, -EIO }, { SI_FAIL_ALIGN, -EIO },
	};
	struct rk_pin_gpu gpu;
	unsigned int i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		uint32_t flags;

		for (flags = 0; flags <= RK_PIN_GPU_F_PERSISTENT; flags++) {
			t_mode(modes[i].fail, SIZES_64K, 0);
			CHECK_EQ(t_pin_gpu(fd, base, 2 * SI_PAGE, flags, &gpu), modes[i].err);
			nothing_left();
		}
	}
	/* A 128 KiB page does not fit into 64 KiB: the driver's table covers too much. */
	t_mode(SI_FAIL_NONE, SIZES_128K, 0);
	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, 0, &gpu), -EIO);
	t_mode(SI_FAIL_NONE, SIZES_64K, 0);
	CHECK_EQ(t_pin_gpu(fd, base + (1ull << 30), SI_PAGE, 0, &gpu), -EINVAL);
	nothing_left();
	CHECK(t_log_has("GPU driver's page table: bad version"));
	CHECK(t_log_has("GPU driver's page table: bad address (system memory)"));
}

/* Taken back before pinning has ended: refused or revoked at once, the freed table never used. */
static void early_free(int fd)
{
	int i, err;

	for (i = 0; i < 5; i++) {
		struct rk_mem_info info;
		struct rk_pin_gpu gpu;

		t_mode(SI_FAIL_EARLY_FREE, SIZES_64K, 0);
		err = t_pin_gpu(fd, base, 2 * SI_PAGE, 0, &gpu);
		usleep(50000);
		if (!err) {
			info = (struct rk_mem_info){ .handle = gpu.handle };
			CHECK_EQ(t_ioctl(fd, RK_IOC_MEM_INFO, &info), 0);
			CHECK_EQ(info.revoked, 1);
			CHECK_EQ(gpu.runs, 1);
			CHECK_EQ(t_unpin(fd, gpu.handle), 0);
		} else {
			CHECK_EQ(err, -ENODEV);
		}
		nothing_left();
	}
	t_mode(SI_FAIL_NONE, SIZES_64K, 0);
}

static void failing_put(int fd)
{
	struct rk_pin_gpu gpu;

	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	CHECK_EQ(t_pin_gpu(fd, base + SI_PAGE, SI_PAGE, 0, &gpu), 0);
	t_mode(SI_FAIL_PUT, SIZES_64K, 0);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	CHECK_EQ(t_counter("put_pages_failed"), 1);
	t_mode(SI_FAIL_NONE, SIZES_64K, 0);
	/* The driver still has it; its own clean-up finds nobody to call. */
	CHECK_EQ(t_free(base + SI_PAGE, SI_PAGE), 1);
}

void group_nogpu(void)
{
	struct rk_version version = { .version = RK_UAPI_VERSION, .oldest = RK_UAPI_VERSION };
	struct rk_pin_gpu gpu;
	int fd = t_open();

	CHECK_EQ(t_ioctl(fd, RK_IOC_VERSION, &version), 0);
	CHECK_EQ(version.features, 0);
	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, 0, &gpu), -ENODEV);
	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, RK_PIN_GPU_F_PERSISTENT, &gpu), -ENODEV);
	close(fd);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
}

void group_gpu(void)
{
	int fd = t_open();

	contiguous(fd);
	scattered(fd, SIZES_64K, SI_PAGE);
	scattered(fd, SIZES_128K, 2 * SI_PAGE);
	scattered(fd, SIZES_4K, PAGE);
	odd_tables(fd);
	early_free(fd);
	failing_put(fd);
	close(fd);
	nothing_left();
}

/* --- revoked by the driver --- */

struct writer {
	char *map;
	uint64_t bytes;
	volatile int stop;
	uint64_t good, bus, stale;
};

/* Writes and reads without pause.  What the next owner wrote must never be seen. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	uint64_t i, value;

	for (i = 0; !w->stop; i++) {
		char *at = w->map + i * 4096 % w->bytes;
		int signal = t_write(at, i);

		if (!signal)
			signal = t_read(at + 8, &value);
		else
			value = 0;
		if (!signal && value == SI_REUSED)
			w->stale++;
		if (signal)
			w->bus++;
		else
			w->good++;
	}
	return NULL;
}

static void revoke_under_fire(void)
{
	uint64_t bytes = 4 * SI_PAGE, stale = 0, good = 0, bus = 0;
	int round;

	for (round = 0; round < 20; round++) {
		struct writer w = { .bytes = bytes };
		struct rk_pin_gpu gpu;
		pthread_t thread;
		uint64_t i;
		int fd = t_open();

		CHECK_EQ(t_pin_gpu(fd, base, bytes, 0, &gpu), 0);
		w.map = t_map(fd, gpu.mmap_offset, bytes);
		CHECK(w.map);
		for (i = 0; i < bytes; i += 8)
			*(volatile uint64_t *)(w.map + i) = 0;
		pthread_create(&thread, NULL, write_on, &w);
		usleep(3000);
		CHECK_EQ(t_free(base, bytes), 1);
		usleep(3000);
		w.stop = 1;
		pthread_join(thread, NULL);
		/* Nothing was written behind the driver's back either. */
		for (i = 0; i < bytes; i += 4096)
			stale += peek(base + i) != SI_REUSED;
		stale += w.stale;
		good += w.good;
		bus += w.bus;
		CHECK_EQ(t_unpin(fd, gpu.handle), 0);
		munmap(w.map, bytes);
		close(fd);
	}
	printf("revoked under fire: %llu accesses before, %llu SIGBUS after, %llu stale\n",
	       (unsigned long long)good, (unsigned long long)bus, (unsigned long long)stale);
	CHECK_EQ(stale, 0);
	CHECK(good && bus);
}

static void revoke_states(int fd)
{
	struct rk_mem_info info;
	struct rk_pin_gpu gpu;
	uint64_t value;
	char *map, *untouched;

	/* Touched and untouched areas alike. */
	CHECK_EQ(t_pin_gpu(fd, base, 2 * SI_PAGE, 0, &gpu), 0);
	map = t_map(fd, gpu.mmap_offset, 2 * SI_PAGE);
	untouched = t_map(fd, gpu.mmap_offset + SI_PAGE, SI_PAGE);
	CHECK_EQ(t_write(map, 1), 0);
	CHECK_EQ(t_free(base, SI_PAGE), 1);
	CHECK_EQ(t_read(map, &value), SIGBUS);
	CHECK_EQ(t_read(untouched, &value), SIGBUS);
	CHECK(!t_map(fd, gpu.mmap_offset, SI_PAGE) && errno == ENODEV);
	CHECK_EQ(t_export(fd, gpu.handle), -ENODEV);
	info = (struct rk_mem_info){ .handle = gpu.handle };
	CHECK_EQ(t_ioctl(fd, RK_IOC_MEM_INFO, &info), 0);
	CHECK_EQ(info.revoked, 1);
	CHECK_EQ(t_state().pins, 0);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	munmap(map, 2 * SI_PAGE);
	munmap(untouched, SI_PAGE);
	nothing_left();

	/* Persistent memory outlives its cudaFree. */
	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, RK_PIN_GPU_F_PERSISTENT, &gpu), 0);
	map = t_map(fd, gpu.mmap_offset, SI_PAGE);
	CHECK_EQ(t_free(base, SI_PAGE), 0);
	CHECK_EQ(t_write(map, 1), 0);
	CHECK_EQ(t_state().persistent, 1);
	CHECK_EQ(t_unpin(fd, gpu.handle), 0);
	CHECK_EQ(t_write(map, 1), SIGBUS);
	munmap(map, SI_PAGE);
	nothing_left();

	/* Freed after the file was closed: nobody is called. */
	fd = t_open();
	CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, 0, &gpu), 0);
	close(fd);
	CHECK_EQ(t_free(base, SI_PAGE), 0);
	nothing_left();
}

struct racer {
	int fd;
	uint32_t handle;
};

static void *unpin_on(void *arg)
{
	struct racer *r = arg;

	CHECK_EQ(t_unpin(r->fd, r->handle), 0);
	return NULL;
}

/* The driver takes back what is being given back, with every lock held for long. */
static void revoke_against_unpin(int fd, uint32_t fail, int rounds)
{
	int i;

	t_mode(fail, SIZES_64K, 0);
	for (i = 0; i < rounds; i++) {
		struct racer r = { .fd = fd };
		struct rk_pin_gpu gpu;
		pthread_t thread;

		CHECK_EQ(t_pin_gpu(fd, base, SI_PAGE, 0, &gpu), 0);
		r.handle = gpu.handle;
		pthread_create(&thread, NULL, unpin_on, &r);
		usleep(fail == SI_FAIL_SLOW_PUT ? 10000 : (unsigned int)i * 20);
		t_free(base, SI_PAGE);
		pthread_join(thread, NULL);
		nothing_left();
	}
	t_mode(SI_FAIL_NONE, SIZES_64K, 0);
}

void group_revoke(void)
{
	int fd = t_open();

	revoke_states(fd);
	revoke_against_unpin(fd, SI_FAIL_SLOW_PUT, 3);
	revoke_against_unpin(fd, SI_FAIL_NONE, 50);
	close(fd);
	revoke_under_fire();
	nothing_left();
}
