// SPDX-License-Identifier: MIT
/* Where supervisors end: they give up, are closed, or will not watch; and the rarer failures. */
#include "supervisor_aid.h"

/* --- Giving up --- */

static void the_last_restart_allowed_is_the_last(void **unused)
{
	const struct rk_supervisor_opts opts = {
		.name = "watch", .max_restarts = 5, .window_ns = LONG_NS};
	struct rk_supervisor *supervisor;
	struct chain chain;
	struct told told;

	(void)unused;
	open_chain(&chain, 2, 2, 64);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	send_bad(&chain, 1, 5);
	expect_word(&chain, 77);
	while (count_of(&told, RK_NEWS_RESTARTED) < 5)
		usleep(500);
	assert_int_equal(ask(supervisor).state, RK_SUPERVISOR_WATCHING);
	assert_int_equal(info_of(chain.actor[1]).restarts, 5);
	send_bad(&chain, 0, 1);
	assert_int_equal(rk_runtime_wait(chain.runtime, LONG_NS), -EFAULT);
	assert_non_null(strstr(rk_errmsg(), "supervisor 'watch': it gave up: 'stage' failed"));
	assert_non_null(strstr(rk_errmsg(), "after 5 restarts within 60000 ms"));
	while (ask(supervisor).children)
		usleep(500);
	assert_int_equal(ask(supervisor).state, RK_SUPERVISOR_FAILED);
	assert_int_equal(ask(supervisor).failures, 6);
	assert_int_equal(ask(supervisor).restarts, 5);
	assert_int_equal(ask(supervisor).gave_up, 1);
	assert_non_null(strstr(ask(supervisor).reason, "after 5 restarts"));
	assert_int_equal(info_of(chain.actor[0]).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(chain.actor[1]).state, RK_ACTOR_STOPPED);
	assert_int_equal(rk_supervisor_add(supervisor, chain.actor[0], NULL), -EPIPE);
	ok(rk_supervisor_close(supervisor));
	assert_int_equal(count_of(&told, RK_NEWS_GAVE_UP), 1);
	close_runtime(chain.runtime);
}

static void old_restarts_do_not_count(void **unused)
{
	const struct rk_supervisor_opts opts = {.max_restarts = 1, .window_ns = 1};
	struct rk_supervisor *supervisor;
	struct chain chain;
	struct told told;

	(void)unused;
	open_chain(&chain, 1, 1, 64);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	send_bad(&chain, 0, 50);
	expect_word(&chain, 5);
	ok(rk_supervisor_close(supervisor));
	assert_int_equal(count_of(&told, RK_NEWS_FAILED), 50);
	assert_int_equal(ask(supervisor).state, RK_SUPERVISOR_CLOSED);
	close_runtime(chain.runtime);
}

/* Two restarts below, then one above that restarts all below anew; above, two are allowed too. */
static void who_gives_up_counts_as_one_failed_child(void **unused)
{
	struct rk_supervisor_opts opts = {.size = sizeof(opts),
					  .name = "above",
					  .strategy = RK_ONE_FOR_ALL,
					  .max_restarts = 2,
					  .window_ns = LONG_NS};
	struct rk_supervisor *above, *below;
	struct told told, told_above = {.chain = NULL};
	struct rk_actor *sibling;
	struct chain chain;

	(void)unused;
	open_chain(&chain, 2, 2, 64);
	opts.event = note;
	opts.user = &told_above;
	ok(rk_supervisor_open(&above, chain.runtime, &opts));
	sibling = spawn_stage(chain.runtime, 0, false, NULL);
	ok(rk_supervisor_add(above, sibling, NULL));
	opts.name = "below";
	opts.strategy = RK_REST_FOR_ONE;
	opts.parent = above;
	below = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	send_bad(&chain, 1, 8);
	expect_word(&chain, 9);
	while (count_of(&told_above, RK_NEWS_RESTARTED) < 4)
		usleep(500);
	assert_int_equal(info_of(chain.actor[0]).restarts, 2);
	assert_int_equal(info_of(chain.actor[1]).restarts, 8);
	assert_int_equal(info_of(sibling).restarts, 2);
	assert_int_equal(ask(below).gave_up, 2);
	assert_int_equal(ask(above).failures, 2);
	assert_int_equal(ask(above).restarts, 4);
	send_bad(&chain, 1, 1);
	assert_int_equal(rk_runtime_wait(chain.runtime, LONG_NS), -EFAULT);
	while (ask(above).children || ask(below).children)
		usleep(500);
	assert_int_equal(ask(above).state, RK_SUPERVISOR_FAILED);
	assert_int_equal(ask(below).state, RK_SUPERVISOR_FAILED);
	assert_int_equal(ask(above).gave_up, 1);
	assert_non_null(strstr(ask(above).reason, "'below' failed"));
	assert_int_equal(info_of(sibling).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(chain.actor[1]).failures, 9);
	close_runtime(chain.runtime);
}

/* --- Other ways to fail --- */

static void a_stuck_handler_is_one_that_failed(void **unused)
{
	const struct rk_supervisor_opts opts = {
		.max_restarts = 100, .stuck_ns = SECOND_NS / 100, .strategy = RK_ONE_FOR_ALL};
	struct rk_supervisor *supervisor;
	struct rk_msg msg;
	struct chain chain;
	struct told told;

	(void)unused;
	if (SIGNALS_WAIT) {
		print_message("the race detector holds signals back in a loop without calls\n");
		skip();
	}
	open_chain(&chain, 1, 2, 64);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_FRESH);
	for (uint64_t i = 0; i < 10; i++) {
		send_words(chain.tx, TEST_SPIN, 0, 0, NOBODY);
		expect_word(&chain, i);
	}
	while (count_of(&told, RK_NEWS_RESTARTED) < 20)
		usleep(500);
	ok(rk_supervisor_close(supervisor));
	assert_int_equal(told.signal, SIGURG);
	assert_true(count_of(&told, RK_NEWS_INTERRUPTED) >= 10);
	assert_int_equal(count_of(&told, RK_NEWS_FAILED), 10);
	assert_int_equal(info_of(chain.actor[0]).failed_messages, 10);
	assert_int_equal(info_of(chain.actor[1]).failures, 0);
	assert_int_equal(info_of(chain.actor[1]).restarts, 10);
	finish_sending(chain.tx);
	assert_false(receive(chain.rx, &msg, 1));
	close_runtime(chain.runtime);
}

/* Its very first call, and those of its first restarts. */
static void a_start_may_fail(void **unused)
{
	const struct rk_supervisor_opts opts = {.size = sizeof(opts), .max_restarts = 10};
	struct rk_runtime *runtime = open_guarded(1);
	struct rk_supervisor *supervisor;
	uint64_t bad_starts = 4;
	struct rk_actor *actor = spawn_stage(runtime, 0, true, &bad_starts);
	struct chain chain = {.runtime = runtime};

	(void)unused;
	ok(rk_link_host_out(&chain.rx, actor, NULL));
	ok(rk_link_host_in(&chain.tx, actor, NULL));
	ok(rk_supervisor_open(&supervisor, runtime, &opts));
	ok(rk_supervisor_add(supervisor, actor, NULL));
	rk_actor_start(actor, LONG_NS);
	expect_word(&chain, 3);
	assert_int_equal(info_of(actor).restarts, 4);
	assert_int_equal(info_of(actor).failures, 4);
	assert_int_equal(info_of(actor).failed_messages, 0);
	close_runtime(runtime);
}

/* It is told, and that is all: its links close, its sibling learns by them. */
static void who_is_never_restarted_fails_for_good(void **unused)
{
	struct rk_supervisor *supervisor;
	struct rk_msg msg;
	struct chain chain;
	struct told told;

	(void)unused;
	open_chain(&chain, 1, 2, 64);
	supervisor = supervise(&chain, (struct rk_supervisor_opts){.strategy = RK_ONE_FOR_ALL},
			       &told, RK_RESTART_NEVER);
	expect_word(&chain, 1);
	send_bad(&chain, 0, 1);
	assert_int_equal(rk_runtime_wait(chain.runtime, LONG_NS), -EFAULT);
	assert_false(receive(chain.rx, &msg, 1));
	while (ask(supervisor).children)
		usleep(500);
	assert_int_equal(ask(supervisor).state, RK_SUPERVISOR_WATCHING);
	ok(rk_supervisor_close(supervisor));
	assert_int_equal(count_of(&told, RK_NEWS_FAILED), 1);
	assert_int_equal(count_of(&told, RK_NEWS_STOPPED), 2);
	assert_int_equal(told.lost, 1);
	assert_int_equal(told.signal, SIGILL);
	assert_int_equal(ask(supervisor).restarts, 0);
	close_runtime(chain.runtime);
}

/* --- Handlers replaced meanwhile --- */

static void widen(void *to, const void *from)
{
	memcpy(to, from, sizeof(struct stage_state));
}

/*
 * A copy of the state of another handler is none: then it begins fresh, and all is forgotten, also
 * when the handler of the copy comes back.
 */
static void a_copy_is_of_the_handler_it_was_taken_of(void **unused)
{
	const struct rk_supervisor_opts opts = {.max_restarts = 1000};
	struct rk_actor_type types[2] = {stage_type, stage_type};
	struct rk_supervisor *supervisor;
	struct chain chain;
	struct told told;

	(void)unused;
	types[1].state_bytes += 4096;
	open_chain(&chain, 1, 1, 64);
	supervisor = supervise(&chain, opts, &told, RK_RESTART_COPY);
	for (uint64_t i = 0; i < 40; i++) {
		expect_word(&chain, i);
		if (i % 3 == 0)
			ok(rk_actor_reload(chain.actor[0], &types[i % 2], widen, NULL, LONG_NS));
		if (i / 3 % 2 == 0)
			usleep(2000); /* a copy may come, but none of the second handler */
		send_bad(&chain, 0, 1);
	}
	expect_word(&chain, 40);
	while (count_of(&told, RK_NEWS_RESTARTED) < 40)
		usleep(500);
	finish_sending(chain.tx);
	ok(rk_runtime_wait(chain.runtime, LONG_NS));
	while (ask(supervisor).children)
		usleep(500);
	ok(rk_supervisor_close(supervisor));
	expect_balance(&chain, &told);
	assert_int_equal(info_of(chain.actor[0]).sent, 41);
	close_runtime(chain.runtime);
}

/* --- Closing --- */

/* A burst of failures, and nobody watches any more: what is left is ours to restart. */
static void who_is_closed_leaves_nobody_paused(void **unused)
{
	struct rk_supervisor_opts opts = {.max_restarts = 1000, .strategy = RK_ONE_FOR_ALL};
	struct chain chain;
	uint64_t bad = 0;

	(void)unused;
	open_chain(&chain, 2, STAGES, 64);
	for (uint64_t round = 0; round < 60; round++) {
		struct rk_supervisor *supervisor;
		struct told told;

		opts.strategy = (enum rk_strategy)(round % 3);
		supervisor = supervise(&chain, opts, &told, RK_RESTART_COPY);
		send_bad(&chain, round % STAGES, 1 + round % 3);
		bad += 1 + round % 3;
		for (uint64_t failed = 0; failed < bad;) {
			failed = 0;
			for (int i = 0; i < STAGES; i++)
				failed += info_of(chain.actor[i]).failures;
		}
		ok(rk_supervisor_close(supervisor));
		ok(rk_supervisor_close(supervisor));
		for (int i = 0; i < STAGES; i++)
			if (info_of(chain.actor[i]).state == RK_ACTOR_FAILED)
				ok(rk_actor_restart(chain.actor[i], NULL, LONG_NS));
		expect_word(&chain, round);
	}
	close_runtime(chain.runtime);
}

/* With its children held below: they go on, or are stopped where that supervisor had given up. */
static void a_closed_parent_holds_nobody(void **unused)
{
	struct rk_supervisor_opts opts = {.size = sizeof(opts), .max_restarts = 1};
	struct rk_supervisor *above;
	struct chain chain;
	struct told told;

	(void)unused;
	open_chain(&chain, 1, 1, 64);
	ok(rk_supervisor_open(&above, chain.runtime, &opts));
	opts.parent = above;
	opts.window_ns = LONG_NS;
	supervise(&chain, opts, &told, RK_RESTART_FRESH);
	send_bad(&chain, 0, 1);
	expect_word(&chain, 1);
	ok(rk_supervisor_close(above));
	send_bad(&chain, 0, 1);
	assert_int_equal(rk_runtime_wait(chain.runtime, LONG_NS), -EFAULT);
	close_runtime(chain.runtime);
}

static void close_own(void *user, const struct rk_supervisor_event *event)
{
	*(int *)user = rk_supervisor_close(event->supervisor);
}

static void what_cannot_be_watched_is_named(void **unused)
{
	struct rk_supervisor_opts opts = {.size = sizeof(opts), .name = "watch"};
	const struct rk_child_opts odd = {.size = sizeof(odd), .restart = (enum rk_restart)7};
	struct rk_supervisor *supervisor, *second;
	struct rk_runtime *plain_one;
	struct rk_actor *actor, *stopped;
	int closed = 0;

	(void)unused;
	ok(rk_runtime_open(&plain_one, NULL));
	assert_int_equal(rk_supervisor_open(&supervisor, plain_one, &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "supervisor 'watch': where handlers are not guarded"));
	actor = spawn_stage(plain_one, 0, false, NULL);
	open_guarded(1);
	opts.max_restarts = RK_MAX_RESTARTS + 1;
	assert_int_equal(rk_supervisor_open(&supervisor, left_open, &opts), -EINVAL);
	opts.max_restarts = 1;
	opts.event = close_own;
	opts.user = &closed;
	ok(rk_supervisor_open(&supervisor, left_open, &opts));
	assert_int_equal(rk_supervisor_add(supervisor, actor, NULL), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "is of another runtime"));
	stopped = spawn_stage(left_open, 0, false, NULL);
	ok(rk_actor_stop(stopped, RK_STOP_NOW, LONG_NS));
	assert_int_equal(rk_supervisor_add(supervisor, stopped, NULL), -EPIPE);
	actor = spawn_stage(left_open, 0, false, NULL);
	assert_int_equal(rk_supervisor_add(supervisor, actor, &odd), -EINVAL);
	ok(rk_supervisor_add(supervisor, actor, NULL));
	assert_int_equal(rk_supervisor_add(supervisor, actor, NULL), -EBUSY);
	assert_int_equal(ask(supervisor).children, 1);
	ok(rk_actor_kill(actor, LONG_NS));
	while (ask(supervisor).children)
		usleep(500);
	ok(rk_supervisor_close(supervisor));
	assert_int_equal(closed, -EDEADLK);
	opts.parent = supervisor;
	assert_int_equal(rk_supervisor_open(&second, left_open, &opts), -EPIPE);
	ok(rk_supervisor_close(NULL));
	ok(rk_runtime_close(plain_one));
	close_runtime(left_open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_restart_allowed_is_the_last),
		cmocka_unit_test(old_restarts_do_not_count),
		cmocka_unit_test(who_gives_up_counts_as_one_failed_child),
		cmocka_unit_test(a_stuck_handler_is_one_that_failed),
		cmocka_unit_test(a_start_may_fail),
		cmocka_unit_test(who_is_never_restarted_fails_for_good),
		cmocka_unit_test(a_copy_is_of_the_handler_it_was_taken_of),
		cmocka_unit_test(who_is_closed_leaves_nobody_paused),
		cmocka_unit_test(a_closed_parent_holds_nobody),
		cmocka_unit_test(what_cannot_be_watched_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
