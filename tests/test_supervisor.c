// SPDX-License-Identifier: MIT
/*
 * Supervisors and what they watch, under load: every message that was not about a call that failed
 * arrives, once and in order, and what is lost or forgotten is told to the last message.
 */
#include "supervisor_aid.h"

static void fail_at_random(enum rk_strategy strategy, enum rk_restart restart, uint64_t bad,
			   unsigned int first_victim, unsigned int victims, uint64_t capacity)
{
	const struct rk_supervisor_opts opts = {.strategy = strategy, .max_restarts = 100000};
	struct rk_supervisor *supervisor;
	struct chain chain;
	struct told told;

	bad = SIGNALS_WAIT ? bad / 5 : bad;
	open_chain(&chain, 2, STAGES, capacity);
	supervisor = supervise(&chain, opts, &told, restart);
	begin_feeding(&chain, bad * 20 + TAIL, bad, first_victim, victims);
	expect_the_good(&chain);
	ok(rk_runtime_wait(chain.runtime, LONG_NS));
	while (ask(supervisor).children)
		usleep(500);
	ok(rk_supervisor_close(supervisor));
	expect_balance(&chain, &told);
	assert_int_equal(count_of(&told, RK_NEWS_FAILED), bad);
	assert_int_equal(count_of(&told, RK_NEWS_STOPPED), STAGES);
	assert_int_equal(count_of(&told, RK_NEWS_GAVE_UP), 0);
	assert_int_equal(ask(supervisor).failures, bad);
	assert_int_equal(ask(supervisor).lost, bad);
	for (unsigned int i = 0; i < STAGES; i++) {
		uint64_t restarts = info_of(chain.actor[i]).restarts;

		/* One restart of a sibling may do for two failures, if they come at once. */
		if (strategy == RK_ONE_FOR_ONE || chain.sent_bad[i])
			assert_int_equal(restarts, chain.sent_bad[i]);
		else if (strategy == RK_ONE_FOR_ALL || i >= first_victim)
			assert_in_range(restarts, 1, bad);
		else
			assert_int_equal(restarts, 0);
	}
	close_runtime(chain.runtime);
}

static void a_thousand_failures_cost_a_thousand_messages(void **unused)
{
	(void)unused;
	fail_at_random(RK_ONE_FOR_ONE, RK_RESTART_FRESH, 1000, 0, STAGES, 64);
	fail_at_random(RK_ONE_FOR_ONE, RK_RESTART_FRESH, 100, 0, STAGES, 2);
}

static void a_restart_from_a_copy_forgets_what_came_after_it(void **unused)
{
	(void)unused;
	fail_at_random(RK_ONE_FOR_ONE, RK_RESTART_COPY, 300, 0, STAGES, 256);
}

/* One failure at a time: so many restarts each. */
static void fail_one_by_one(enum rk_strategy strategy, unsigned int victim)
{
	const struct rk_supervisor_opts opts = {.strategy = strategy, .max_restarts = 100000};
	unsigned int first = strategy == RK_ONE_FOR_ALL ? 0 : victim;
	unsigned int last = strategy == RK_ONE_FOR_ONE ? victim : STAGES - 1;
	struct rk_supervisor *supervisor;
	struct chain chain;
	struct told told;

	open_chain(&chain, 2, STAGES, 16);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	for (uint64_t i = 1; i <= 20; i++) {
		expect_word(&chain, i);
		send_bad(&chain, victim, 1);
		while (count_of(&told, RK_NEWS_RESTARTED) < i * (last - first + 1))
			usleep(100);
		for (unsigned int j = 0; j < STAGES; j++)
			assert_int_equal(info_of(chain.actor[j]).restarts,
					 j >= first && j <= last ? i : 0);
	}
	ok(rk_supervisor_close(supervisor));
	close_runtime(chain.runtime);
}

static void one_by_one_each_restarts_its_group(void **unused)
{
	(void)unused;
	for (unsigned int victim = 0; victim < STAGES; victim++) {
		fail_one_by_one(RK_ONE_FOR_ONE, victim);
		fail_one_by_one(RK_ONE_FOR_ALL, victim);
		fail_one_by_one(RK_REST_FOR_ONE, victim);
	}
}

static void one_for_all_restarts_all(void **unused)
{
	(void)unused;
	fail_at_random(RK_ONE_FOR_ALL, RK_RESTART_FRESH, 100, 1, 1, 64);
	fail_at_random(RK_ONE_FOR_ALL, RK_RESTART_COPY, 100, 3, 1, 64);
}

static void rest_for_one_restarts_those_after_it(void **unused)
{
	(void)unused;
	fail_at_random(RK_REST_FOR_ONE, RK_RESTART_FRESH, 100, 2, 1, 64);
	fail_at_random(RK_REST_FOR_ONE, RK_RESTART_FRESH, 100, 0, 1, 64);
}

/* Nobody but the children of its supervisor notices. */
static void others_go_on(void **unused)
{
	const struct rk_supervisor_opts opts = {.max_restarts = 100000};
	struct rk_supervisor *supervisor;
	struct sender sender = {.count = 20000};
	struct rk_actor *other;
	struct rk_ring_rx *rx;
	struct chain chain;
	struct told told;
	pthread_t feeding;

	(void)unused;
	open_chain(&chain, 1, 1, 64);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	other = spawn(chain.runtime, &(const struct placing){.type = &relay_type}, 0, 1);
	ok(rk_link_host_out(&rx, other, NULL));
	ok(rk_link_host_in(&sender.tx, other, NULL));
	begin_feeding(&chain, 5000 + TAIL, 500, 0, 1);
	pthread_create(&feeding, NULL, send_all, &sender);
	assert_int_equal(receive_all(rx, 1, false), sender.count);
	expect_the_good(&chain);
	pthread_join(feeding, NULL);
	ok(rk_runtime_wait(chain.runtime, LONG_NS));
	assert_int_equal(info_of(other).failures, 0);
	assert_int_equal(info_of(other).received, sender.count);
	ok(rk_supervisor_close(supervisor));
	close_runtime(chain.runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_failures_cost_a_thousand_messages),
		cmocka_unit_test(a_restart_from_a_copy_forgets_what_came_after_it),
		cmocka_unit_test(one_by_one_each_restarts_its_group),
		cmocka_unit_test(one_for_all_restarts_all),
		cmocka_unit_test(rest_for_one_restarts_those_after_it),
		cmocka_unit_test(others_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
