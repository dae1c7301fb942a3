// SPDX-License-Identifier: MIT
/*
 * A user's handlers become machine code for GPUs: by NVRTC, from the sources that the library
 * carries. It needs the compiler and no GPU. nvcc accepts more than NVRTC does, so that it compiles
 * says little.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/cuda.h"
#include "gpudirect/nvrtc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char source[64 << 10];

/* Never called here: a type says by it that it has a batch handler. */
static void batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	(void)ctx;
	(void)state;
	(void)msgs;
	(void)count;
}

/* The text of a file of handlers, for compile(). */
static void read_source(const char *path)
{
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	source[fread(source, 1, sizeof(source) - 1, file)] = 0;
	fclose(file);
}

/* For a GPU of compute capability @major.0. */
static int compile(const char *function, const char *batch_function, int major)
{
	struct rk_actor_type type = {.name = function,
				     .source = source,
				     .function = function,
				     .batch = batch_function ? batch : NULL,
				     .batch_function = batch_function,
				     .state_bytes = 16};
	struct cuda_gpu gpu = {.major = major};
	struct cuda_code code;
	int result = cuda_code_get(&code, &gpu, &type);

	if (result)
		print_message("# %s\n", rk_errmsg());
	else
		assert_memory_equal(code.image, "\177ELF", 4);
	cuda_code_free(&code);
	return result;
}

static void handlers_become_machine_code(void **unused)
{
	(void)unused;
	read_source("bench/gpu/handlers.c");
	assert_int_equal(compile("compute", "compute_batch", 8), 0);
	assert_int_equal(compile("compute", "compute_batch", 9), 0);
	assert_int_equal(compile("sum", "sum_batch", 9), 0);
	assert_int_equal(compile("sum", NULL, 9), 0);
	read_source("bench/dpdk/handlers.c");
	assert_int_equal(compile("frame_check_one", "frame_check_batch", 9), 0);
}

static void what_does_not_compile_is_said(void **unused)
{
	(void)unused;
	read_source("bench/gpu/handlers.c");
	assert_int_equal(compile("no_such_handler", NULL, 9), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "no_such_handler"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_become_machine_code),
		cmocka_unit_test(what_does_not_compile_is_said),
	};
	const struct rk_nvrtc *nvrtc;
	char cache[] = "/tmp/rk-code-XXXXXX", command[64];
	int result;

	if (rk_nvrtc(&nvrtc)) {
		puts(rk_errmsg());
		return 77;
	}
	if (access("bench/gpu/handlers.c", R_OK)) {
		puts("no bench/gpu/handlers.c below this directory");
		return 77;
	}
	/* A cache of its own, empty. */
	if (!mkdtemp(cache) || setenv("XDG_CACHE_HOME", cache, 1))
		return 1;
	result = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", cache);
	return system(command) ? 1 : result;
}
