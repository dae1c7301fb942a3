// SPDX-License-Identifier: MIT
/* Regions of host memory: what is asked is got or its lack is said, and nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gpudirect/rk_region.h"
#include "rk_error.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rk_region *open_region(size_t bytes, const struct rk_region_opts *opts)
{
	struct rk_region *region = NULL;

	if (rk_region_open(&region, bytes, opts))
		fail_msg("%s", rk_errmsg());
	return region;
}

static void memory_is_zeroed_and_writable_to_the_last_byte(void **unused)
{
	const size_t sizes[] = {1, 4095, 4096, 4097, 600000, 3 << 20};

	(void)unused;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rk_region *region = open_region(sizes[i], NULL);
		const struct rk_region_info *info = rk_region_info(region);
		unsigned char *bytes = info->host_addr;

		assert_true(info->bytes >= sizes[i]);
		assert_int_equal(info->bytes % info->page_bytes, 0);
		assert_int_equal((uintptr_t)bytes % info->page_bytes, 0);
		for (size_t at = 0; at < info->bytes; at += 61)
			assert_int_equal(bytes[at], 0);
		memset(bytes, 0xa5, info->bytes);
		rk_region_close(region);
	}
}

static void what_could_not_be_had_is_said(void **unused)
{
	struct rk_region *region = open_region(3 << 20, NULL);
	const struct rk_region_info *info = rk_region_info(region);

	(void)unused;
	if (info->page_bytes == 4096)
		assert_non_null(strstr(info->note, "nr_hugepages"));
	else
		assert_int_equal(info->page_bytes, 2 << 20);
	if (!info->locked)
		assert_non_null(strstr(info->note, "RLIMIT_MEMLOCK"));
	rk_region_close(region);
}

/* In a child that may lock nothing. */
static int without_memlock(void)
{
	const struct rlimit none = {0, 0};
	struct rk_region *region;
	int right;

	if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
		return 2;
	if (rk_region_open(&region, 8192, NULL))
		return 3;
	right = !rk_region_info(region)->locked &&
		strstr(rk_region_info(region)->note, "RLIMIT_MEMLOCK is 0");
	rk_region_close(region);
	return !right;
}

static void a_lock_that_is_refused_costs_only_the_lock(void **unused)
{
	pid_t child;
	int status;

	(void)unused;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizers replace mlock(2) by nothing */
#endif
	child = fork();
	if (child == 0)
		_exit(without_memlock());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_node_is_honoured_or_named(void **unused)
{
	struct rk_region_opts opts = {.size = sizeof(opts), .on_node = true, .numa_node = 0};
	struct rk_region *region = open_region(8192, &opts);
	int result;

	(void)unused;
	assert_true(rk_region_info(region)->numa_node <= 0);
	rk_region_close(region);
	opts.numa_node = 4711;
	region = NULL;
	result = rk_region_open(&region, 8192, &opts);
	if (!result) { /* a kernel or build without NUMA binds nothing, and says so */
		assert_non_null(strstr(rk_region_info(region)->note, "node 4711"));
		rk_region_close(region);
		return;
	}
	assert_int_equal(result, -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "NUMA node 4711"));
	assert_null(region);
}

static void parts_are_apart_and_end_with_the_region(void **unused)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .small_pages = true};
	struct rk_region *region = open_region(4 * 4096, &opts);
	char *first = rk_region_take(region, 1), *second = rk_region_take(region, 4097);

	(void)unused;
	assert_non_null(first);
	assert_int_equal(second - first, 4096);
	assert_null(rk_region_take(region, 4097));
	assert_int_equal((char *)rk_region_take(region, 4096) - second, 8192);
	assert_null(rk_region_take(region, 1));
	rk_region_close(region);
}

static void wrong_requests_are_named(void **unused)
{
	struct rk_region_opts opts = {.size = sizeof(opts), .provider = "moon"};
	struct rk_region *region = NULL;
	char absent[256];
	unsigned int count = 0;

	(void)unused;
	assert_int_equal(rk_region_open(&region, 0, NULL), -EINVAL);
	assert_int_equal(rk_region_open(&region, 4096, &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "'moon'"));
	assert_null(region);
	while (rk_region_provider_at(count, absent, sizeof(absent)))
		count++;
	assert_true(count >= 1);
	rk_region_close(NULL);
}

static void a_thousand_regions_leave_nothing_mapped(void **unused)
{
	char line[512];
	long before = 0, after = 0;
	FILE *maps;

	(void)unused;
	for (int round = 0; round < 2; round++) {
		long *count = round ? &after : &before;

		for (int i = 0; i < (round ? 1000 : 10); i++)
			rk_region_close(open_region(65536, NULL));
		maps = fopen("/proc/self/maps", "r");
		assert_non_null(maps);
		while (fgets(line, sizeof(line), maps))
			++*count;
		fclose(maps);
	}
	assert_true(after <= before + 8); /* the C library and sanitizers map a little */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_writable_to_the_last_byte),
		cmocka_unit_test(what_could_not_be_had_is_said),
		cmocka_unit_test(a_lock_that_is_refused_costs_only_the_lock),
		cmocka_unit_test(a_node_is_honoured_or_named),
		cmocka_unit_test(parts_are_apart_and_end_with_the_region),
		cmocka_unit_test(wrong_requests_are_named),
		cmocka_unit_test(a_thousand_regions_leave_nothing_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
