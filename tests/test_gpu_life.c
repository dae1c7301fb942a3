// SPDX-License-Identifier: MIT
/*
 * The life of actors on a GPU: the bodies that hold on every backend, called by a warp, by a block
 * and many at a time; families and supervised groups that reach across backends. Skipped without a
 * GPU.
 */
#include "life_bodies.h"
#include "supervisor_aid.h"
#include "gpu_aid.h"

static const struct placing on_cpu = {&relay_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};
static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const struct placing warp_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};

/* --- A state is what an actor goes on with, wherever it was taken --- */

static void go_on(struct rk_runtime *runtime, const struct placing *on, struct test_state *saved)
{
	const uint64_t before = saved->handled;
	struct line line =
		make_line(runtime, on, (struct rk_actor_opts){.state = saved, .dormant = true}, 64);

	send_word(line.tx, (uint32_t)before, before);
	assert_int_equal(info_of(line.actor).state, RK_ACTOR_DORMANT);
	ok(rk_actor_start(line.actor, LONG_NS));
	expect_word_of(&line, (uint32_t)before, before + 7);
	ok(rk_actor_copy(line.actor, saved, LONG_NS));
	assert_int_equal(saved->started, 1);
	assert_int_equal(saved->handled, before + 1);
	assert_int_equal(saved->out_of_order, 0);
	ok(rk_actor_kill(line.actor, LONG_NS));
	assert_int_equal(info_of(line.actor).state, RK_ACTOR_STOPPED);
}

static void a_state_goes_from_backend_to_backend(void **unused)
{
	static const struct placing *const on[] = {&on_cpu, &warp, &block, &warp_batch, &on_cpu};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct test_state saved = {.arg = {7}, .started = 1};

	(void)unused;
	for (unsigned int i = 0; i < 20; i++)
		go_on(runtime, on[i % 5], &saved);
	assert_int_equal(saved.handled, 20);
	close_runtime(runtime);
}

/* --- Families --- */

static void a_family_may_live_on_both_sides(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor_opts opts = {.worker = RK_ANY_WORKER};
	struct line parent = make_line(runtime, &on_cpu, opts, 64), child, grandchild;

	(void)unused;
	opts.parent = parent.actor;
	child = make_line(runtime, &warp, opts, 64);
	opts.parent = child.actor;
	grandchild = make_line(runtime, &on_cpu, opts, 64);
	for (uint32_t i = 0; i < 20; i++)
		send_word(child.tx, i, i * 3);
	ok(rk_actor_stop(parent.actor, RK_STOP_NOW, LONG_NS));
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(info_of(child.actor).received, 20);
	assert_int_equal(info_of(grandchild.actor).state, RK_ACTOR_STOPPED);
	close_runtime(runtime);
}

/* --- A supervised group: the stage on the CPU fails, and the relay on the GPU begins anew with it
 * --- */

enum { BAD = 200, GOOD = 20 };

struct group {
	struct rk_actor *stage, *relay;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct told told;
	uint64_t forgotten; /* by the relay */
};

static void note_group(void *user, const struct rk_supervisor_event *event)
{
	struct group *group = user;

	note(&group->told, event);
	group->forgotten += event->actor == group->relay ? event->forgotten : 0;
}

static void open_group(struct group *group, struct rk_runtime *runtime, enum rk_restart restart)
{
	const struct rk_supervisor_opts opts = {.size = sizeof(opts),
						.strategy = RK_ONE_FOR_ALL,
						.max_restarts = 100000,
						.event = note_group,
						.user = group};
	const struct rk_child_opts child = {
		.size = sizeof(child), .restart = restart, .copy_ns = 200000};
	struct rk_supervisor *supervisor;

	*group = (struct group){.stage = spawn_stage(runtime, 0, false, NULL)};
	group->relay = spawn(runtime, &warp, RK_ANY_WORKER, 7);
	ok(rk_link_actors(NULL, group->stage, group->relay, NULL));
	ok(rk_link_host_out(&group->rx, group->relay, NULL));
	ok(rk_link_host_in(&group->tx, group->stage, NULL));
	ok(rk_supervisor_open(&supervisor, runtime, &opts));
	ok(rk_supervisor_add(supervisor, group->stage, &child));
	ok(rk_supervisor_add(supervisor, group->relay, &child));
}

static void fail_stage(struct group *group, uint64_t times)
{
	send_words(group->tx, TEST_ADD, 0, 0, 0);
	while (info_of(group->relay).restarts < times || info_of(group->stage).restarts < times ||
	       count_of(&group->told, RK_NEWS_RESTARTED) < 2 * times)
		usleep(100);
}

static void run_group(enum rk_restart restart)
{
	struct rk_runtime *runtime = open_guarded(2);
	const struct test_state *state;
	struct group group;
	struct rk_msg msg;
	uint64_t word = 0;

	open_group(&group, runtime, restart);
	for (uint64_t i = 1; i <= BAD; i++) {
		for (unsigned int j = 0; j < GOOD; j++)
			send_words(group.tx, TEST_ADD, 0, word + j, NOBODY);
		fail_stage(&group, i);
		for (unsigned int j = 0; j < GOOD; j++) {
			assert_true(receive(group.rx, &msg, 1));
			assert_int_equal(word_of(&msg), word++ + 7);
		}
	}
	finish_sending(group.tx);
	assert_false(receive(group.rx, &msg, 1));
	ok(rk_runtime_wait(runtime, LONG_NS));
	state = rk_actor_state(group.relay);
	assert_int_equal(info_of(group.relay).received, BAD * GOOD);
	assert_int_equal(info_of(group.relay).sent, BAD * GOOD);
	assert_int_equal(info_of(group.stage).failures, BAD);
	assert_int_equal(state->handled + group.forgotten, BAD * GOOD);
	close_runtime(runtime);
}

static void a_supervised_group_begins_anew_on_both_sides(void **unused)
{
	(void)unused;
	run_group(RK_RESTART_FRESH);
	run_group(RK_RESTART_COPY);
}

#define NAMED(where, body) \
	{#where ": " #body, body, nothing_is_left_open, NULL, (void *)(uintptr_t)&where},
#define WARP(body)	 NAMED(warp, body)
#define BLOCK(body)	 NAMED(block, body)
#define WARP_BATCH(body) NAMED(warp_batch, body)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		LIFE_BODIES(WARP) LIFE_BODIES(BLOCK) LIFE_BODIES(WARP_BATCH) cmocka_unit_test_setup(
			a_state_goes_from_backend_to_backend, nothing_is_left_open),
		cmocka_unit_test_setup(a_family_may_live_on_both_sides, nothing_is_left_open),
		cmocka_unit_test_setup(a_supervised_group_begins_anew_on_both_sides,
				       nothing_is_left_open),
	};
	const char *absent = gpu_absent();

	if (absent) {
		puts(absent);
		return 77;
	}
	aid_watchdog(200);
	if (count > 1)
		cmocka_set_test_filter(words[1]); /* with * and ? */
	return cmocka_run_group_tests(tests, gpu_hold, NULL);
}
