// SPDX-License-Identifier: MIT
/*
 * Regions on GPUs, with stand-ins for the drivers (tests/fake): the order of providers, what each
 * says when it is absent or refuses, the self-test, and, by letting every call of a driver fail in
 * turn, that nothing is left behind on any way out.
 */
#include "fake_aid.h"
#include "gpu_region_aid.h"
#include "gpudirect/nvrtc.h"
#include "gpudirect/rk_region_share.h"
#include "ring/rk_ring.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The stand-ins, in the state that a test begins with. */
static int reset(void **unused)
{
	(void)unused;
	*fake = (struct fake_cuda){.version = 13030, .gpus = 2, .fail_with = 999};
	*vulkan = (struct fake_vulkan){.fail_with = -3};
	return 0;
}

static void expect_nothing_left(void)
{
	assert_int_equal(fake->contexts, 0);
	assert_int_equal(fake->allocations, 0);
	assert_int_equal(fake->pages, 0);
	assert_int_equal(fake->addresses, 0);
	assert_int_equal(fake->maps, 0);
	assert_int_equal(fake->registered, 0);
	assert_int_equal(fake->externals, 0);
	assert_int_equal(fake->streams, 0);
	assert_int_equal(fake->pushed, 0);
	assert_int_equal(vulkan->instances, 0);
	assert_int_equal(vulkan->devices, 0);
	assert_int_equal(vulkan->allocations, 0);
	assert_int_equal(vulkan->mappings, 0);
}

static int settle(void **unused)
{
	(void)unused;
	expect_nothing_left();
	return 0;
}

static struct rk_region_opts on_gpu(int gpu, const char *provider)
{
	return (struct rk_region_opts){.size = sizeof(struct rk_region_opts),
				       .provider = provider,
				       .gpu = gpu,
				       .on_gpu = true};
}

static void expect_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' does not say '%s'", text, words);
}

static void expect_refused(const struct rk_region_opts *opts, int error, const char *words)
{
	struct rk_region *region = NULL;

	assert_int_equal(rk_region_open(&region, 4096, opts), -error);
	assert_null(region);
	expect_says(rk_errmsg(), words);
}

/* --- Each provider --- */

static void check_provider(const char *name, int gpu, bool is_on_gpu, bool write_combined)
{
	const size_t sizes[] = {1, 65536, 65537, 3 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct rk_region_opts opts = on_gpu(gpu, name);
		struct rk_region *region = aid_open(sizes[i], &opts);
		const struct rk_region_info *info = rk_region_info(region);

		assert_string_equal(info->provider, name);
		assert_true(info->bytes >= sizes[i]);
		assert_int_equal(info->on_gpu, is_on_gpu);
		assert_int_equal(info->write_combined, write_combined);
		assert_int_equal(info->gpu_addr % 4096, 0);
		aid_check_region(region, gpu);
		if (info->bytes > 4096)
			aid_check_parts(region);
		rk_region_close(region);
	}
}

static void dmabuf_is_one_memory_for_both(void **unused)
{
	(void)unused;
	check_provider("dmabuf", 0, true, true);
	check_provider("dmabuf", 1, true, true);
}

static void vulkan_is_one_memory_for_both(void **unused)
{
	(void)unused;
	check_provider("vulkan", 0, true, true);
	check_provider("vulkan", 1, true, true);
}

static void vulkan_takes_cached_memory_where_there_is_no_other(void **unused)
{
	(void)unused;
	vulkan->cached_only = true;
	check_provider("vulkan", 0, true, false);
}

static void pinned_is_host_memory(void **unused)
{
	(void)unused;
	check_provider("pinned", 1, false, false);
}

static void memory_without_vmm_serves_too(void **unused)
{
	(void)unused;
	fake->no_vmm = true;
	check_provider("dmabuf", 0, true, true);
}

/* --- The order, and reasons --- */

static void the_first_that_works_serves(void **unused)
{
	const struct rk_region_opts opts = on_gpu(0, NULL);
	struct rk_region *region;

	(void)unused;
	region = aid_open(4096, &opts);
	assert_string_equal(rk_region_info(region)->provider, "dmabuf");
	assert_string_equal(rk_region_info(region)->note, "");
	rk_region_close(region);

	fake->no_dma_buf_mmap = true;
	region = aid_open(4096, &opts);
	assert_string_equal(rk_region_info(region)->provider, "vulkan");
	assert_string_equal(rk_region_info(region)->note, "");
	rk_region_close(region);

	vulkan->no_gpu = true;
	region = aid_open(4096, &opts);
	assert_string_equal(rk_region_info(region)->provider, "pinned");
	expect_says(rk_region_info(region)->note, "slots stay in host memory: kmod: no /dev");
	expect_says(rk_region_info(region)->note, "dmabuf: GPU 0's dma-bufs cannot be mapped");
	expect_says(rk_region_info(region)->note, "vulkan: none of 1 devices is CUDA's GPU");
	rk_region_close(region);
}

static void absent_providers_say_why(void **unused)
{
	struct rk_region_opts opts;

	(void)unused;
	opts = on_gpu(0, "kmod");
	expect_refused(&opts, ENOENT, "modprobe ringkernel");
	opts = on_gpu(0, "dmabuf");
	fake->version = 13000;
	/* Noted at the first call of the process: what the driver is does not change later. */
	fake->no_dma_buf_mmap = true;
	expect_refused(&opts, ENODEV, "open kernel modules");
	opts = on_gpu(0, "vulkan");
	vulkan->no_memory = true;
	expect_refused(&opts, ENODEV, "resizable BAR");
	vulkan->no_gpu = true;
	expect_refused(&opts, ENODEV, "MIG");
	opts = on_gpu(0, "pinned");
	fake->no_host_register = true;
	expect_refused(&opts, ENODEV, "cannot reach memory of the host");
	opts = on_gpu(0, "host");
	expect_refused(&opts, EINVAL, "no provider 'host' for memory of a GPU");
	opts = on_gpu(7, NULL);
	expect_refused(&opts, EINVAL, "no GPU 7: this process sees GPUs 0 to 1");
	opts = on_gpu(-1, NULL);
	expect_refused(&opts, EINVAL, "no GPU -1");
	opts = on_gpu(0, NULL);
	opts.size = 8;
	expect_refused(&opts, EINVAL, "set size to");
}

static void info_lists_what_works(void **unused)
{
	const struct rk_region_provider *provider;
	char absent[256];
	int working = 0;

	(void)unused;
	vulkan->no_gpu = true;
	for (unsigned int i = 0; (provider = rk_region_provider_at(i, absent, sizeof(absent))); i++) {
		if (!provider->gpu)
			continue;
		working += !*absent;
		if (!strcmp(provider->name, "vulkan"))
			expect_says(absent, "none of 1 devices");
		else if (!strcmp(provider->name, "kmod"))
			expect_says(absent, "modprobe");
		else
			assert_string_equal(absent, "");
	}
	assert_int_equal(working, 2);
}

static void more_than_the_cpu_maps_is_refused(void **unused)
{
	const struct rk_region_opts opts = on_gpu(0, "vulkan");
	struct rk_region *region;

	(void)unused;
	assert_int_equal(rk_region_open(&region, (64 << 20) + 1, &opts), -ENOMEM);
	expect_says(rk_errmsg(), "maps at most 67108864");
}

/* --- The self-test --- */

static void expect_caught(const char *provider, const char *words)
{
	struct rk_region_opts opts = on_gpu(0, provider);
	struct rk_region *region;

	expect_refused(&opts, EIO, words);
	opts.provider = NULL;
	fake->no_dma_buf_mmap = fake->no_dma_buf_mmap || strcmp(provider, "dmabuf") != 0;
	vulkan->no_gpu = strcmp(provider, "vulkan") != 0;
	region = aid_open(4096, &opts);
	assert_string_equal(rk_region_info(region)->provider, "pinned");
	expect_says(rk_region_info(region)->note, words);
	aid_check_region(region, 0);
	rk_region_close(region);
}

static void a_mapping_of_other_memory_is_found_out(void **unused)
{
	(void)unused;
	vulkan->wrong_memory = true;
	expect_caught("vulkan", "vulkan: self-test: byte 0 written by the CPU is 0x3e");
	reset(NULL);
	vulkan->private = true;
	expect_caught("vulkan", "self-test");
	reset(NULL);
	fake->dma_buf_of_nothing = true;
	expect_caught("dmabuf", "dmabuf: self-test: byte 0");
}

/* --- Host memory for GPUs --- */

static void host_memory_is_registered(void **unused)
{
	struct rk_region_opts opts = {.size = sizeof(opts), .cuda = true};
	struct rk_region *region = aid_open(100000, &opts);

	(void)unused;
	assert_string_equal(rk_region_info(region)->provider, "host");
	assert_int_equal(fake->registered, 1);
	aid_check_region(region, 0);
	aid_check_parts(region);
	rk_region_close(region);
	opts.cuda = false;
	region = aid_open(4096, &opts);
	assert_true(rk_region_info(region)->gpu_addr == 0);
	assert_true(rk_region_gpu_addr(region, rk_region_info(region)->host_addr) == 0);
	rk_region_close(region);
}

static void what_can_be_exported_is_the_same_memory(void **unused)
{
	struct rk_region_opts opts = on_gpu(0, "dmabuf");
	struct rk_region *region = aid_open(4096, &opts);
	char *map;
	int fd;

	(void)unused;
	fd = rk_region_export(region);
	assert_true(fd >= 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	close(fd);
	map[100] = 42;
	assert_int_equal(((char *)rk_region_info(region)->host_addr)[100], 42);
	munmap(map, 4096);
	fake->fail_at = 2; /* after the context */
	fake->fail_with = 2;
	assert_int_equal(rk_region_export(region), -ENOMEM);
	expect_says(rk_errmsg(), "dmabuf: export 2097152 bytes: out of memory");
	rk_region_close(region);
	opts.provider = "vulkan";
	region = aid_open(4096, &opts);
	fd = rk_region_export(region);
	assert_true(fd >= 0);
	close(fd);
	fake->fail_at = 2;
	assert_int_equal(rk_region_export(region), -ENOMEM);
	expect_says(rk_errmsg(), "vulkan: export");
	rk_region_close(region);
}

/* --- Rings over regions: where the law puts each part --- */

enum { CAPACITY = 64, MESSAGES = 20000 };

/* The two regions of a host and a GPU, and one ring between them. */
struct crossing {
	struct rk_region *gpu, *host;
	struct rk_ring ring;	    /* as the host sees it */
	struct rk_ring gpu_ring;    /* as the GPU does; the stand-in's addresses are addresses here */
	bool to_gpu;
	int bad;
};

static void *gpu_view(const struct rk_region *region, void *part)
{
	return (void *)(uintptr_t)rk_region_gpu_addr(region, part);
}

/* Slots with the consumer, credit with the producer, wake words with the host. */
static void cross(struct crossing *c, bool to_gpu)
{
	const struct rk_region_opts on = on_gpu(0, NULL);
	const struct rk_region_opts host = {.size = sizeof(host), .cuda = true};
	struct rk_ring_parts parts = {.size = sizeof(parts), .device = true};
	bool far;

	*c = (struct crossing){.to_gpu = to_gpu};
	c->gpu = aid_open(CAPACITY * RK_SLOT_BYTES, &on);
	c->host = aid_open(CAPACITY * RK_SLOT_BYTES + 2 * RK_PAGE_BYTES, &host);
	far = rk_region_info(c->gpu)->write_combined;
	parts.sleep = rk_region_take(c->host, sizeof(struct rk_ring_sleep));
	parts.slots = rk_region_take(to_gpu ? c->gpu : c->host, CAPACITY * RK_SLOT_BYTES);
	parts.credit = rk_region_take(to_gpu ? c->host : c->gpu, sizeof(struct rk_ring_credit));
	parts.slots_far = to_gpu && far;
	parts.credit_far = !to_gpu && far;
	assert_int_equal(rk_ring_place(&c->ring, &parts, CAPACITY, 0, "crossing"), 0);
	parts.slots = gpu_view(to_gpu ? c->gpu : c->host, parts.slots);
	parts.credit = gpu_view(to_gpu ? c->host : c->gpu, parts.credit);
	parts.slots_far = parts.credit_far = false;
	assert_int_equal(rk_ring_place(&c->gpu_ring, &parts, CAPACITY, 0, "crossing"), 0);
}

static void *produce(void *argument)
{
	struct crossing *c = argument;
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1};
	struct rk_ring_tx tx;

	if (rk_ring_tx_open(&tx, c->to_gpu ? &c->ring : &c->gpu_ring))
		return c;
	for (msg.tag = 0; msg.tag < MESSAGES;) {
		memset(msg.body, (int)msg.tag, sizeof(msg.body));
		if (rk_ring_send(&tx, &msg))
			msg.tag++;
		else if (rk_ring_wait_send(&tx, 1, 1000000000) < 0)
			return c;
	}
	return NULL;
}

static void *consume(void *argument)
{
	struct crossing *c = argument;
	struct rk_ring_rx rx;
	struct rk_msg msg;

	if (rk_ring_rx_open(&rx, c->to_gpu ? &c->gpu_ring : &c->ring, NULL))
		return c;
	for (uint32_t next = 0; next < MESSAGES;) {
		if (!rk_ring_recv(&rx, &msg, 1)) {
			if (rk_ring_wait_recv(&rx, 1000000000) < 0)
				return c;
			continue;
		}
		for (size_t i = 0; i < sizeof(msg.body); i++)
			c->bad += ((const unsigned char *)msg.body)[i] != (unsigned char)next;
		c->bad += msg.tag != next++;
	}
	return NULL;
}

static void check_crossing(bool to_gpu)
{
	pthread_t producer, consumer;
	void *failed[2];
	struct crossing c;

	cross(&c, to_gpu);
	assert_int_equal(pthread_create(&producer, NULL, produce, &c), 0);
	assert_int_equal(pthread_create(&consumer, NULL, consume, &c), 0);
	pthread_join(producer, &failed[0]);
	pthread_join(consumer, &failed[1]);
	assert_null(failed[0]);
	assert_null(failed[1]);
	assert_int_equal(c.bad, 0);
	rk_region_close(c.gpu);
	rk_region_close(c.host);
}

static void rings_cross_both_ways_by_every_provider(void **unused)
{
	(void)unused;
	check_crossing(true);
	check_crossing(false);
	fake->no_dma_buf_mmap = true;
	check_crossing(true);
	check_crossing(false);
	vulkan->no_gpu = true; /* pinned: all of it in host memory */
	check_crossing(true);
	check_crossing(false);
}

/* --- Every call of a driver fails once --- */

/* Opens with failure @at injected, and closes; whether that many calls were made. */
static bool open_with_failure(const struct rk_region_opts *opts, int *fail_at, int at)
{
	struct rk_region *region = NULL;
	bool reached;
	int result;

	*fail_at = at;
	result = rk_region_open(&region, 70000, opts);
	reached = *fail_at == 0;
	*fail_at = 0;
	if (result) {
		assert_null(region);
		assert_true(reached && result < 0 && *rk_errmsg());
	} else {
		if (reached && opts->on_gpu && !rk_region_info(region)->on_gpu)
			expect_says(rk_region_info(region)->note, "as the test asked");
		aid_check_region(region, opts->gpu);
		rk_region_close(region);
	}
	expect_nothing_left();
	return reached;
}

static void check_every_failure(struct rk_region_opts opts, int *fail_at, int *fail_with,
				int error, int at_least)
{
	int at = 1;

	*fail_with = error;
	while (open_with_failure(&opts, fail_at, at))
		at++;
	if (at <= at_least)
		fail_msg("only %d calls were made", at - 1);
}

static void no_failure_leaves_anything_behind(void **unused)
{
	static const char *const names[] = {"dmabuf", "vulkan", "pinned", NULL};
	const int errors[] = {2, 999};
	const struct rk_region_opts host = {.size = sizeof(host), .cuda = true};

	(void)unused;
	for (size_t e = 0; e < 2; e++) {
		for (size_t i = 0; i < 4; i++)
			check_every_failure(on_gpu(1, names[i]), &fake->fail_at, &fake->fail_with,
					    errors[e], 3);
		check_every_failure(host, &fake->fail_at, &fake->fail_with, errors[e], 3);
		fake->no_vmm = true;
		check_every_failure(on_gpu(0, "dmabuf"), &fake->fail_at, &fake->fail_with,
				    errors[e], 3);
		fake->no_vmm = false;
	}
	for (int error = 1; error < 12; error++)
		check_every_failure(on_gpu(0, "vulkan"), &vulkan->fail_at, &vulkan->fail_with,
				    -error, 5);
}

/* --- The thread, and others --- */

static void the_threads_context_stays(void **unused)
{
	const struct rk_region_opts opts = on_gpu(0, "dmabuf");
	struct rk_cuda_context *before, *after;
	struct rk_region *region;
	struct rk_cuda_gpu gpu;

	(void)unused;
	assert_int_equal(rk_cuda_gpu_open(&gpu, 1), 0);
	assert_int_equal(rk_cuda_enter(&gpu), 0);
	gpu.cuda->ctx_get(&before);
	region = aid_open(4096, &opts);
	gpu.cuda->ctx_get(&after);
	assert_ptr_equal(before, after);
	rk_region_close(region);
	gpu.cuda->ctx_get(&after);
	assert_ptr_equal(before, after);
	assert_int_equal(fake->pushed, 1);
	rk_cuda_leave(&gpu);
	rk_cuda_gpu_close(&gpu);
}

static void regions_of_a_gpu_share_its_device(void **unused)
{
	const struct rk_region_opts first = on_gpu(0, "vulkan"), second = on_gpu(1, "vulkan");
	struct rk_region *a, *b, *c;

	(void)unused;
	a = aid_open(4096, &first);
	b = aid_open(4096, &first);
	c = aid_open(4096, &second);
	assert_int_equal(vulkan->devices_made, 2);
	rk_region_close(a);
	aid_check_region(b, 0);
	rk_region_close(b);
	assert_int_equal(vulkan->devices, 1);
	rk_region_close(c);
}

static void *open_and_close(void *failed)
{
	for (int i = 0; i < 30; i++) {
		const struct rk_region_opts opts = on_gpu(i % 2, i % 3 ? "vulkan" : NULL);
		struct rk_region *region;

		if (rk_region_open(&region, 4096, &opts))
			__atomic_fetch_add((int *)failed, 1, __ATOMIC_RELAXED);
		else
			rk_region_close(region);
	}
	return NULL;
}

static void threads_open_and_close_at_will(void **unused)
{
	pthread_t threads[4];
	int failed = 0;

	(void)unused;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &failed), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(failed, 0);
}

/* --- Drivers that are not there, too old or broken: each in a process of its own --- */

enum child {
	CHILD_OLD_VERSION,
	CHILD_NO_DEVICE,
	CHILD_STUB,
	CHILD_OLD_SYMBOLS,
	CHILD_ABSENT,
	CHILD_COMPILER,
};

/* The compiler that a driver of CUDA 12 takes, whatever else is installed. */
static int print_compiler(void)
{
	const struct rk_nvrtc *nvrtc;

	fake->version = 12020;
	if (rk_nvrtc(&nvrtc))
		return puts(rk_errmsg()) < 0;
	return printf("0 %d.%d %s\n", nvrtc->major, nvrtc->minor, nvrtc->path) < 0;
}

/* In the child: prints what the library says of the driver. */
static int run_child(enum child child)
{
	const struct rk_region_opts opts = on_gpu(0, NULL);
	const struct rk_cuda *cuda;
	struct rk_region *region;
	int result;

	if (child == CHILD_COMPILER)
		return print_compiler();
	/* With no stand-in in the way, the machine's own driver is found, if it has one. */
	if (child == CHILD_ABSENT && dlopen("libcuda.so.1", RTLD_LAZY))
		return puts("0 this machine has one: of no NVIDIA driver nothing can be seen") < 0;
	if (child == CHILD_OLD_VERSION)
		fake->version = 11070;
	if (child == CHILD_NO_DEVICE)
		fake->init_error = 100;
	if (child == CHILD_STUB)
		fake->init_error = 34;
	result = rk_cuda(&cuda);
	printf("%d %s\n", result, result ? rk_errmsg() : "");
	if (rk_region_open(&region, 1, &opts) != result)
		puts("a region says otherwise");
	else
		puts(result ? rk_errmsg() : "a region is there");
	return 0;
}

static void expect_child(enum child child, const char *libraries, const char *words)
{
	char command[1024], path[400], text[1024] = "";
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	FILE *pipe;
	size_t got;

	assert_true(length > 0);
	path[length] = 0;
	snprintf(command, sizeof(command), "LD_LIBRARY_PATH='%s' '%s' child %d", libraries, path,
		 (int)child);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	got = fread(text, 1, sizeof(text) - 1, pipe);
	text[got] = 0;
	assert_int_equal(pclose(pipe), 0);
	expect_says(text, words);
	if (strncmp(text, "0 ", 2))
		assert_non_null(strstr(strchr(text, '\n'), words));
}

static void a_driver_that_does_not_serve_says_why(void **unused)
{
	const char *folder = getenv("LD_LIBRARY_PATH");
	char old[512];

	(void)unused;
	snprintf(old, sizeof(old), "%s/old", folder);
	expect_child(CHILD_OLD_VERSION, folder, "the driver is CUDA 11.7's: install one of CUDA 11.8");
	expect_child(CHILD_NO_DEVICE, folder, "CUDA_VISIBLE_DEVICES");
	expect_child(CHILD_STUB, folder, "is the toolkit's stub");
	expect_child(CHILD_OLD_SYMBOLS, old, "libcuda.so.1 has no cuLaunchKernelEx");
	expect_child(CHILD_ABSENT, "", "no NVIDIA driver");
}

static void the_compiler_is_one_whose_code_the_driver_loads(void **unused)
{
	(void)unused;
	expect_child(CHILD_COMPILER, getenv("LD_LIBRARY_PATH"), "12.8 libnvrtc.so.12");
}

int main(int count, char **arguments)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, settle)
	const struct CMUnitTest tests[] = {
		TEST(dmabuf_is_one_memory_for_both),
		TEST(vulkan_is_one_memory_for_both),
		TEST(vulkan_takes_cached_memory_where_there_is_no_other),
		TEST(pinned_is_host_memory),
		TEST(memory_without_vmm_serves_too),
		TEST(the_first_that_works_serves),
		TEST(absent_providers_say_why),
		TEST(info_lists_what_works),
		TEST(more_than_the_cpu_maps_is_refused),
		TEST(a_mapping_of_other_memory_is_found_out),
		TEST(host_memory_is_registered),
		TEST(what_can_be_exported_is_the_same_memory),
		TEST(rings_cross_both_ways_by_every_provider),
		TEST(no_failure_leaves_anything_behind),
		TEST(the_threads_context_stays),
		TEST(regions_of_a_gpu_share_its_device),
		TEST(threads_open_and_close_at_will),
		TEST(a_driver_that_does_not_serve_says_why),
		TEST(the_compiler_is_one_whose_code_the_driver_loads),
	};

	fake_find(arguments);
	if (count == 3 && !strcmp(arguments[1], "child"))
		return run_child((enum child)atoi(arguments[2]));
	if (!fake || !vulkan)
		return fake_missing();
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
