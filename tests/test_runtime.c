// SPDX-License-Identifier: MIT
/*
 * Actors on the cpu backend: the bodies that hold on every backend (actor_bodies.h), and what only
 * workers do.
 */
#include "actor_bodies.h"

static const struct placing relays = {.type = &relay_type};
static const struct placing batches = {.type = &batch_type};

/* Does not come back until told. */
static uint32_t stuck_release;

static void stuck(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)ctx;
	(void)state;
	if (msg->type == TEST_ADD)
		while (!__atomic_load_n(&stuck_release, __ATOMIC_ACQUIRE))
			usleep(1000);
}

static const struct rk_actor_type stuck_type = {.name = "stuck", .summary = "", .handle = stuck};

static void a_handler_that_does_not_return_is_reported_by_name(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .name = "sleeper"};
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1};
	struct rk_actor *actor;
	struct rk_ring_tx *tx;

	(void)unused;
	__atomic_store_n(&stuck_release, 0, __ATOMIC_RELEASE);
	ok(rk_actor_spawn(&actor, runtime, &stuck_type, &opts));
	ok(rk_link_host_in(&tx, actor, NULL));
	assert_int_equal(rk_ring_send(tx, &msg), 1);
	while (rk_ring_tx_free(tx) == RK_LINK_SLOTS - 1 && rk_actor_state(actor))
		usleep(1000);
	usleep(20000);
	assert_int_equal(rk_actor_stop(actor, RK_STOP_NOW, SECOND_NS / 20), -ETIMEDOUT);
	assert_non_null(strstr(rk_errmsg(), "actor 'sleeper'"));
	assert_null(rk_actor_state(actor));
	__atomic_store_n(&stuck_release, 1, __ATOMIC_RELEASE);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	close_runtime(runtime);
}

static void wrong_workers_and_cpus_are_named(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const struct rk_actor_opts opts = {.size = sizeof(opts), .worker = 2};
	const int no_such_cpu = 100000;
	struct rk_runtime_opts bad = {.size = sizeof(bad), .workers = RK_MAX_WORKERS + 1};
	struct rk_runtime *none = NULL;
	struct rk_actor *actor;

	(void)unused;
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EINVAL);
	assert_string_equal(rk_errmsg(), "worker 2: this runtime has 0 to 1");
	close_runtime(runtime);
	assert_int_equal(rk_runtime_open(&none, &bad), -EINVAL);
	bad.workers = 1;
	bad.cpus = &no_such_cpu;
	assert_int_equal(rk_runtime_open(&none, &bad), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "CPU 100000"));
	assert_null(none);
}

/* Spawning outruns the worker, whose control ring fills while stopped actors want the mutex. */
static void more_actors_than_a_control_ring_holds(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor[400];

	(void)unused;
	for (int i = 0; i < 400; i++) {
		actor[i] = spawn(runtime, &relays, 0, 0);
		if (i % 3 == 2)
			ok(rk_actor_stop(actor[i - 1], RK_STOP_NOW, LONG_NS));
	}
	ok(rk_runtime_stop(runtime, RK_STOP_NOW, LONG_NS));
	for (int i = 0; i < 400; i++) {
		const struct test_state *state = rk_actor_state(actor[i]);

		assert_non_null(state);
		assert_int_equal(state->started, 1);
		assert_int_equal(state->stopped, 1);
	}
	close_runtime(runtime);
}

#define RELAY(body) {#body, body, NULL, NULL, (void *)(uintptr_t)&relays},
#define BATCH(body) {"batches: " #body, body, NULL, NULL, (void *)(uintptr_t)&batches},

int main(void)
{
	const struct CMUnitTest tests[] = {
		RELAY_BODIES(RELAY)
		PLAIN_BODIES(RELAY)
		RELAY_BODIES(BATCH)
		cmocka_unit_test(a_handler_that_does_not_return_is_reported_by_name),
		cmocka_unit_test(wrong_workers_and_cpus_are_named),
		cmocka_unit_test(more_actors_than_a_control_ring_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
