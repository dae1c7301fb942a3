/* SPDX-License-Identifier: MIT */
/* gpu_aid.h - what the tests on GPUs share: whether there is one to test on, and if not, why. */
#ifndef GPU_AID_H
#define GPU_AID_H

#include "gpudirect/cuda.h"
#include "gpudirect/nvrtc.h"
#include "gpudirect/rk_region.h"
#include "rk_error.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GPU_SANITIZED 1
#else
#define GPU_SANITIZED 0
#endif

/* Why no actor of a test's own can run on a GPU here; NULL if it can. */
static inline const char *gpu_absent(void)
{
	const struct rk_nvrtc *nvrtc;
	const struct rk_cuda *cuda;

	if (GPU_SANITIZED)
		return "CUDA maps memory where the sanitizers keep their shadow";
	return rk_cuda(&cuda) || rk_nvrtc(&nvrtc) ? rk_errmsg() : NULL;
}

/* Whether there is none, which is said. */
static inline bool gpu_is_absent(void)
{
	const char *why = gpu_absent();

	if (why)
		puts(why);
	return why != NULL;
}

/* Hold the first GPU, as CUDA and Vulkan know it, until the process ends: each test would open it. */
static inline int gpu_hold(void **unused)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .on_gpu = true};
	static struct rk_region *held;

	(void)unused;
	return rk_region_open(&held, 1, &opts);
}

/* A body where the test has it called: static const struct placing on_cpu, warp, block. Needs actor_aid.h. */
#define NAMED(where, body) \
	{#where ": " #body, body, nothing_is_left_open, NULL, (void *)(uintptr_t)&where},
#define CPU(body)   NAMED(on_cpu, body)
#define WARP(body)  NAMED(warp, body)
#define BLOCK(body) NAMED(block, body)

/*
 * The end of main(): run @tests, of them those that the first word names (with * and ?); they hang after
 * @seconds. 77, and why, where there is no GPU. Needs cmocka.h and ring_aid.h.
 */
#define gpu_run_tests(tests, count, words, seconds, setup)                        \
	(gpu_is_absent() ? 77 :                                                    \
			   (aid_watchdog(seconds),                                 \
			    (count) > 1 ? cmocka_set_test_filter((words)[1]) : (void)0, \
			    cmocka_run_group_tests(tests, setup, NULL)))

/* Whether there is none, which is one test skipped. */
static inline bool gpu_is_skipped(void)
{
	const char *why = gpu_absent();

	if (why)
		printf("ok 1 - on a GPU # SKIP %s\n", why);
	return why != NULL;
}

/* Behind the same bodies on CPUs: run @tests, or skip them where there is no GPU. Needs cmocka.h. */
#define gpu_run_rest(tests, setup, teardown) \
	(gpu_is_skipped() ? 0 : gpu_hold(NULL) || cmocka_run_group_tests(tests, setup, teardown))

/* The same asked in a child, for tests that fork: CUDA is of no use in the child of who used it. */
static inline int gpu_absent_for_children(void)
{
	int status = 0, absent;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		absent = gpu_is_absent();
		fflush(stdout);
		_exit(absent);
	}
	return waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status);
}

#endif
