// SPDX-License-Identifier: MIT
/* What the market-data pipeline goes through on CPUs, and comes out of as if nothing had happened. */
#include "scenario_bodies.h"

static const struct placing on_cpu = {.backend = RK_BACKEND_CPU};

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(books_are_as_if_nothing_had_happened,
					  (void *)(uintptr_t)&on_cpu),
		cmocka_unit_test_prestate(what_a_full_link_dropped_is_replayed,
					  (void *)(uintptr_t)&on_cpu),
	};

	aid_watchdog(500);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
