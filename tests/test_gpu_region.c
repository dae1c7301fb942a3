// SPDX-License-Identifier: MIT
/* Regions on a real GPU, by each provider that works there; skipped with the reason elsewhere. */
#include "gpu_region_aid.h"

#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* cmocka prints no reason. */
static void skip_because(const char *reason)
{
	print_message("# %s\n", reason);
	skip();
}

static void check_provider(const char *name)
{
	const struct rk_region_opts opts = {
		.size = sizeof(opts), .provider = name, .on_gpu = true};
	struct rk_region *region;
	int result;

	result = rk_region_open(&region, 300000, &opts);
	if (result == -ENODEV || result == -ENOENT || result == -EACCES)
		skip_because(rk_errmsg());
	if (result)
		fail_msg("%s", rk_errmsg());
	print_message("# %s: %s\n", name, rk_region_info(region)->note);
	assert_string_equal(rk_region_info(region)->provider, name);
	assert_int_equal(rk_region_info(region)->on_gpu, strcmp(name, "pinned") != 0);
	aid_check_region(region, 0);
	aid_check_parts(region);
	rk_region_close(region);
}

static void kmod_maps_gpu_memory(void **unused)
{
	(void)unused;
	check_provider("kmod");
}

static void dmabuf_maps_gpu_memory(void **unused)
{
	(void)unused;
	check_provider("dmabuf");
}

static void vulkan_maps_gpu_memory(void **unused)
{
	(void)unused;
	check_provider("vulkan");
}

static void pinned_serves_a_gpu(void **unused)
{
	(void)unused;
	check_provider("pinned");
}

static void the_first_that_works_serves_every_gpu(void **unused)
{
	const struct rk_cuda *cuda;

	(void)unused;
	rk_cuda(&cuda);
	for (int gpu = 0; gpu < cuda->devices; gpu++) {
		const struct rk_region_opts opts = {
			.size = sizeof(opts), .gpu = gpu, .on_gpu = true};
		struct rk_region *region = aid_open(3 << 20, &opts);

		print_message("# GPU %d: %s %s\n", gpu, rk_region_info(region)->provider,
			      rk_region_info(region)->note);
		aid_check_region(region, gpu);
		rk_region_close(region);
	}
}

static void host_memory_is_reached_by_a_gpu(void **unused)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .cuda = true};
	struct rk_region *region;

	(void)unused;
	region = aid_open(3 << 20, &opts);
	assert_false(rk_region_info(region)->on_gpu);
	assert_false(rk_region_info(region)->write_combined);
	aid_check_region(region, 0);
	aid_check_parts(region);
	rk_region_close(region);
}

static void many_regions_leave_nothing_behind(void **unused)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .on_gpu = true};
	size_t before = 0, after = 0, total;
	struct rk_cuda_context *context;
	struct rk_cuda_gpu gpu;

	(void)unused;
	assert_int_equal(rk_cuda_gpu_open(&gpu, 0), 0);
	rk_region_close(aid_open(1 << 20, &opts));
	for (int i = 0; i < 50; i++) {
		assert_int_equal(rk_cuda_enter(&gpu), 0);
		gpu.cuda->mem_info(i ? &after : &before, &total);
		rk_cuda_leave(&gpu);
		rk_region_close(aid_open(8 << 20, &opts));
	}
	assert_true(after + (32 << 20) > before);
	assert_int_equal(gpu.cuda->ctx_get(&context), 0);
	assert_null(context);
	rk_cuda_gpu_close(&gpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kmod_maps_gpu_memory),
		cmocka_unit_test(dmabuf_maps_gpu_memory),
		cmocka_unit_test(vulkan_maps_gpu_memory),
		cmocka_unit_test(pinned_serves_a_gpu),
		cmocka_unit_test(the_first_that_works_serves_every_gpu),
		cmocka_unit_test(host_memory_is_reached_by_a_gpu),
		cmocka_unit_test(many_regions_leave_nothing_behind),
	};
	const struct rk_cuda *cuda;

	if (SANITIZED) {
		puts("CUDA maps memory where the sanitizers keep their shadow");
		return 77;
	}
	if (rk_cuda(&cuda)) {
		puts(rk_errmsg());
		return 77;
	}
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
