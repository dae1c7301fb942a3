// SPDX-License-Identifier: MIT
/*
 * Snapshots of actors under load, and going on from them: the same states and outputs as a run that
 * nothing disturbed, every message's effect exactly once.
 */
#include "checkpoint_bodies.h"

static const struct tour cpu;

/* --- What cannot be --- */

static void groups_that_are_none_are_refused(void **unused)
{
	const struct rk_actor_opts dormant = {.size = sizeof(dormant),
					      .worker = RK_ANY_WORKER,
					      .name = "sleeper",
					      .dormant = true};
	struct pipeline p;
	struct rk_snapshot *snapshot;
	struct rk_actor *pair[2], *sleeper;

	(void)unused;
	make_pipeline(&p, 1, 16);
	pair[0] = pair[1] = p.actor[2];
	refused(rk_snapshot_take(&snapshot, pair, 0, LONG_NS), -EINVAL, "no actor");
	refused(rk_snapshot_take(&snapshot, pair, 2, LONG_NS), -EINVAL, "named twice");
	ok(rk_actor_spawn(&sleeper, p.runtime, &step_type, &dormant));
	pair[1] = sleeper;
	refused(rk_snapshot_take(&snapshot, pair, 2, LONG_NS), -EBUSY, "actor 'sleeper'");
	ok(rk_actor_stop(sleeper, RK_STOP_NOW, LONG_NS));
	refused(rk_snapshot_take(&snapshot, pair, 2, LONG_NS), -EPIPE, "actor 'sleeper'");
	/* One alone: its neighbours are the outside. */
	ok(rk_snapshot_take(&snapshot, pair, 1, LONG_NS));
	assert_int_equal(snapshot->links, 2);
	assert_int_equal(snapshot->link[0].from, RK_SNAPSHOT_OUTSIDE);
	assert_int_equal(snapshot->link[1].to, RK_SNAPSHOT_OUTSIDE);
	rk_snapshot_free(snapshot);
	close_pipeline(&p);
}

/* A handler that does not come back: too late, then busy, then as if nothing had been. */
static void a_snapshot_that_comes_too_late_is_given_up(void **unused)
{
	struct rk_actor_opts opts = {.size = sizeof(opts)};
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *pair[2];
	struct rk_actor_info info;
	struct rk_snapshot *snapshot;
	struct rk_ring_tx *tx;
	int result;

	(void)unused;
	__atomic_store_n(&withheld, 1, __ATOMIC_RELEASE);
	ok(rk_actor_spawn(&pair[0], runtime, &step_type, &opts));
	opts.worker = 1;
	ok(rk_actor_spawn(&pair[1], runtime, &hold_type, &opts));
	ok(rk_link_actors(NULL, pair[0], pair[1], NULL));
	ok(rk_link_host_in(&tx, pair[0], NULL));
	send_words(tx, RK_MSG_USER, 0, 1, 0);
	do
		rk_actor_info(pair[1], &info);
	while (!info.received);
	refused(rk_snapshot_take(&snapshot, pair, 2, SECOND_NS / 20), -ETIMEDOUT, "actor 'hold'");
	refused(rk_snapshot_take(&snapshot, pair, 2, SECOND_NS / 20), -EBUSY,
		"has not come back since");
	__atomic_store_n(&withheld, 0, __ATOMIC_RELEASE);
	while ((result = rk_snapshot_take(&snapshot, pair, 2, LONG_NS)) == -EBUSY)
		usleep(1000);
	ok(result);
	assert_int_equal(snapshot->links, 2);
	assert_int_equal(((struct step_state *)snapshot->actor[0].state)->count, 1);
	rk_snapshot_free(snapshot);
	close_runtime(runtime);
}

static int make_no_link(void *argument, const struct rk_snapshot_link *link, struct rk_actor *from,
			struct rk_actor *to)
{
	(void)argument;
	(void)link;
	(void)from;
	(void)to;
	return 0;
}

static void restores_that_do_not_fit_are_refused(void **unused)
{
	struct rk_actor_type other = step_type;
	const struct rk_actor_type *const wrong[] = {&other, &split_type, &batch_step_type,
						     &join_type};
	struct rk_snapshot *snapshot;
	struct rk_restore_opts opts;
	struct pipeline p, again;

	(void)unused;
	make_pipeline(&p, 10, 16);
	ok(rk_snapshot_take(&snapshot, p.actor, MOST_ACTORS, LONG_NS));
	begin_load(&p);
	end_load(&p);
	close_pipeline(&p);
	open_pipeline(&again, 10);
	opts = restoring(&again);
	opts.type_count = 1;
	refused(rk_snapshot_restore(again.actor, again.runtime, snapshot, &opts), -EINVAL,
		"type 'split'");
	opts = restoring(&again);
	opts.types = wrong;
	opts.type_count = 4;
	other.state_bytes++;
	refused(rk_snapshot_restore(again.actor, again.runtime, snapshot, &opts), -EINVAL,
		"bytes of state");
	opts = restoring(&again);
	opts.join = NULL;
	refused(rk_snapshot_restore(again.actor, again.runtime, snapshot, &opts), -EINVAL,
		"an end outside");
	opts.join = make_no_link;
	refused(rk_snapshot_restore(again.actor, again.runtime, snapshot, &opts), -EINVAL,
		"was not made");
	/* All that was begun has stopped. */
	ok(rk_runtime_wait(again.runtime, LONG_NS));
	rk_snapshot_free(snapshot);
	close_pipeline(&again);
}

/* Arguments are kept: a restart of a restored actor begins with them. */
static void arguments_outlive_a_snapshot(void **unused)
{
	static const struct placing relays = {.type = &relay_type};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &relays, 0, 100);
	struct rk_restore_opts opts;
	struct rk_snapshot *snapshot;
	struct pipeline again = {.file = -1};
	struct test_state state;

	(void)unused;
	opts = restoring(&again);
	ok(rk_snapshot_take(&snapshot, &actor, 1, LONG_NS));
	close_runtime(runtime);
	runtime = open_runtime(1, 0);
	ok(rk_snapshot_restore(&actor, runtime, snapshot, &opts));
	ok(rk_actor_copy(actor, &state, LONG_NS));
	assert_int_equal(state.started, 1);
	assert_int_equal(state.arg[0], 100);
	ok(rk_actor_restart(actor, NULL, LONG_NS));
	ok(rk_actor_copy(actor, &state, LONG_NS));
	assert_int_equal(state.arg[0], 100);
	rk_snapshot_free(snapshot);
	close_runtime(runtime);
}

/* A state may be given at birth: the actor runs with it, as if it had begun long ago. */
static void an_actor_goes_on_with_a_state(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct test_state state = {.arg = {50}, .started = 1, .next = 3, .handled = 3};
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .state = &state};
	struct rk_actor *actor;
	struct rk_ring_rx *rx;
	struct rk_ring_tx *tx;
	struct rk_msg msg;

	(void)unused;
	ok(rk_actor_spawn(&actor, runtime, &relay_type, &opts));
	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_host_in(&tx, actor, NULL));
	send_word(tx, 3, 7);
	assert_true(receive(rx, &msg, 1));
	assert_int_equal(word_of(&msg), 57);
	finish_sending(tx);
	ok(rk_runtime_wait(runtime, LONG_NS));
	memcpy(&state, rk_actor_state(actor), sizeof(state));
	assert_int_equal(state.started, 1);
	assert_int_equal(state.stopped, 1);
	assert_int_equal(state.handled, 4);
	assert_int_equal(state.out_of_order, 0);
	close_runtime(runtime);
}

#define CPU(body) \
	{"cpu: " #body, body, nothing_is_left_open, NULL, (void *)(uintptr_t)&cpu},

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHECKPOINT_BODIES(CPU)
		cmocka_unit_test_setup(groups_that_are_none_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(a_snapshot_that_comes_too_late_is_given_up,
				       nothing_is_left_open),
		cmocka_unit_test_setup(restores_that_do_not_fit_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(arguments_outlive_a_snapshot, nothing_is_left_open),
		cmocka_unit_test_setup(an_actor_goes_on_with_a_state, nothing_is_left_open),
	};

	aid_watchdog(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
