// SPDX-License-Identifier: MIT
/* The same as test_scenarios.c with the books on a GPU. Skipped without one. */
#include "scenario_bodies.h"
#include "gpu_aid.h"

static const struct placing on_gpu = {.backend = RK_BACKEND_CUDA};

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(books_are_as_if_nothing_had_happened,
					  (void *)(uintptr_t)&on_gpu),
		cmocka_unit_test_prestate(what_a_full_link_dropped_is_replayed,
					  (void *)(uintptr_t)&on_gpu),
	};
	const char *absent = gpu_absent();

	if (absent) {
		puts(absent);
		return 77;
	}
	aid_watchdog(200);
	return cmocka_run_group_tests(tests, gpu_hold, NULL);
}
