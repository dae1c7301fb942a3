// SPDX-License-Identifier: MIT
/* The run-time compiler where it is installed: code for every architecture, and errors in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gpudirect/nvrtc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rk_nvrtc *nvrtc;

static int compile(const char *source, const char *arch, struct rk_nvrtc_program **program)
{
	const char *const options[] = {arch};

	assert_int_equal(nvrtc->program_create(program, source, "test.cu", 0, NULL, NULL), 0);
	return nvrtc->compile(*program, 1, options);
}

static void code_comes_out_for_every_architecture(void **unused)
{
	static const char source[] = "extern \"C\" __global__ void add(int *a) { *a += 1; }";
	int archs[64], count;

	(void)unused;
	assert_int_equal(nvrtc->arch_count(&count), 0);
	assert_in_range(count, 1, 64);
	assert_int_equal(nvrtc->archs(archs), 0);
	for (int i = 0; i < count; i++) {
		struct rk_nvrtc_program *program;
		char arch[32], *cubin;
		size_t bytes = 0;

		snprintf(arch, sizeof(arch), "-arch=sm_%d", archs[i]);
		assert_int_equal(compile(source, arch, &program), RK_NVRTC_OK);
		assert_int_equal(nvrtc->cubin_bytes(program, &bytes), 0);
		assert_true(bytes > 64);
		cubin = malloc(bytes);
		assert_non_null(cubin);
		assert_int_equal(nvrtc->cubin(program, cubin), 0);
		assert_memory_equal(cubin, "\177ELF", 4);
		free(cubin);
		assert_int_equal(nvrtc->program_destroy(&program), 0);
	}
}

static void errors_are_in_the_log(void **unused)
{
	struct rk_nvrtc_program *program;
	size_t bytes = 0;
	char *text;

	(void)unused;
	assert_int_equal(compile("no program", "-arch=compute_90", &program),
			 RK_NVRTC_COMPILATION);
	assert_int_equal(nvrtc->log_bytes(program, &bytes), 0);
	text = calloc(1, bytes + 1);
	assert_non_null(text);
	assert_int_equal(nvrtc->log(program, text), 0);
	assert_non_null(strstr(text, "test.cu(1)"));
	assert_non_null(nvrtc->error_string(RK_NVRTC_COMPILATION));
	free(text);
	nvrtc->program_destroy(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_comes_out_for_every_architecture),
		cmocka_unit_test(errors_are_in_the_log),
	};

	if (rk_nvrtc(&nvrtc)) {
		puts(rk_errmsg());
		return 77;
	}
	print_message("# %s %d.%d\n", nvrtc->path, nvrtc->major, nvrtc->minor);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
