// SPDX-License-Identifier: MIT
/* The same as test_scenarios.c with the books on a GPU. Skipped without one. */
#include "scenario_bodies.h"
#include "gpu_aid.h"

static const struct placing on_gpu = {.backend = RK_BACKEND_CUDA};

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(books_are_as_if_nothing_had_happened,
					  (void *)(uintptr_t)&on_gpu),
		cmocka_unit_test_prestate(what_a_full_link_dropped_is_replayed,
					  (void *)(uintptr_t)&on_gpu),
	};

	return gpu_run_tests(tests, count, words, 200, gpu_hold);
}
