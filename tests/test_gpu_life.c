// SPDX-License-Identifier: MIT
/*
 * The life of actors on a GPU: the bodies that hold on every backend, called by a warp, by a block
 * and many at a time; families and supervised groups that reach across backends. Skipped without a
 * GPU.
 */
#include "life_bodies.h"
#include "supervisor_aid.h"
#include "gpu_aid.h"
#include "clock.h"

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

/* --- Other seats, and other handlers, under load --- */

static struct rk_link_opts in_gpu_memory(uint64_t capacity)
{
	struct rk_link_opts link = slots(capacity);

	link.place = RK_PLACE_GPU;
	return link;
}

/* @reloads: now and then to another handler that does the same, which a kernel of its own has. */
static void change_seats(const struct placing *on, uint64_t capacity, bool reloads)
{
	static const struct rk_actor_type *const types[] = {&relay_type, &batch_type};
	struct rk_runtime *runtime = open_runtime(2, 0);
	uint64_t random = aid_choose_seed(5), changes = 0;
	struct load load;

	begin_load(&load, on, runtime, LOAD, in_gpu_memory(capacity), false);
	while (!is_over(&load)) {
		struct rk_actor *actor = load.actor[aid_below(&random, 3)];

		if (reloads && aid_below(&random, 2))
			done_or_over(rk_actor_reload(actor, types[aid_below(&random, 2)], NULL,
						     NULL, LONG_NS));
		else
			done_or_over(rk_actor_reseat(actor, RK_WHERE_ANY, NULL, LONG_NS));
		usleep((useconds_t)aid_below(&random, 200));
		changes++;
	}
	end_load(&load);
	for (unsigned int i = 0; i < 3; i++) {
		const struct test_state *state = rk_actor_state(load.actor[i]);

		assert_int_equal(state->handled, load.count);
		assert_int_equal(state->out_of_order, 0);
		assert_int_equal(state->started, 1);
	}
	print_message("# %llu changes\n", (unsigned long long)changes);
	assert_true(changes > 10);
	close_runtime(runtime);
}

static void changes_of_seat_lose_nothing(void **state)
{
	change_seats(*state, 1024, false);
	change_seats(*state, 2, false);
}

static void changes_of_handler_lose_nothing(void **state)
{
	change_seats(*state, 256, true);
}

/* The state as another type has it: the argument doubled, and words that only this one has. */
struct wide_state {
	struct test_state first;
	uint64_t more[100];
};

static void widen(void *to, const void *from)
{
	struct wide_state *wide = to;

	memcpy(&wide->first, from, sizeof(wide->first));
	wide->first.arg[0] *= 2;
	for (uint64_t i = 0; i < 100; i++)
		wide->more[i] = i;
}

static void a_state_is_converted_for_its_new_handler(void **state)
{
	const struct rk_reload_opts trial = {.size = sizeof(trial), .trial_messages = 1};
	const uint64_t add = 5;
	const struct rk_actor_opts opts = {.args = &add, .arg_count = 1};
	static struct rk_actor_type wide_type;
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct line line = make_line(runtime, *state, opts, 64);
	const struct wide_state *wide;

	wide_type = relay_type;
	wide_type.state_bytes = sizeof(*wide);
	send_word(line.tx, 0, 1);
	expect_word_of(&line, 0, 6);
	assert_int_equal(rk_actor_reload(line.actor, &wide_type, widen, &trial, LONG_NS),
			 -EOPNOTSUPP);
	assert_int_equal(rk_actor_reload(line.actor, &wide_type, NULL, NULL, LONG_NS), -EINVAL);
	ok(rk_actor_reload(line.actor, &wide_type, widen, NULL, LONG_NS));
	send_word(line.tx, 1, 1);
	expect_word_of(&line, 1, 11);
	assert_int_equal(info_of(line.actor).reloads, 1);
	ok(rk_actor_stop(line.actor, RK_STOP_DRAIN, LONG_NS));
	wide = rk_actor_state(line.actor);
	assert_int_equal(wide->first.handled, 2);
	assert_int_equal(wide->first.started, 1);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(wide->more[i], i);
	close_runtime(runtime);
}

static void who_cannot_change_seats_is_named(void **unused)
{
	struct rk_runtime *runtime = open_blocks(1, 0, 2);
	struct rk_actor *cpu = spawn(runtime, &on_cpu, 0, 0), *first, *second;
	struct rk_actor_opts opts = opts_of(&warp, 0);

	(void)unused;
	assert_int_equal(rk_actor_reseat(cpu, RK_WHERE_ANY, NULL, LONG_NS), -EOPNOTSUPP);
	first = spawn(runtime, &warp, 0, 0);
	opts.where = RK_WHERE_BLOCK;
	opts.other = first;
	ok(rk_actor_spawn(&second, runtime, warp.type, &opts));
	assert_int_equal(rk_actor_reseat(first, RK_WHERE_APART, NULL, LONG_NS), -EINVAL);
	assert_int_equal(rk_actor_reseat(first, RK_WHERE_BLOCK, cpu, LONG_NS), -EINVAL);
	ok(rk_actor_reseat(first, RK_WHERE_BLOCK, second, LONG_NS));
	ok(rk_link_actors(NULL, first, second, NULL));
	assert_int_equal(rk_actor_reseat(first, RK_WHERE_ANY, NULL, LONG_NS), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "its link with 'relay' lies in shared memory"));
	ok(rk_actor_start(first, LONG_NS));
	assert_int_equal(info_of(first).state, RK_ACTOR_RUNNING);
	ok(rk_actor_stop(first, RK_STOP_NOW, LONG_NS));
	assert_int_equal(rk_actor_reseat(first, RK_WHERE_ANY, NULL, LONG_NS), -EPIPE);
	close_runtime(runtime);
}

/* --- Another GPU, under load --- */

static void need_two_gpus(void)
{
	const struct rk_cuda *cuda;

	ok(rk_cuda(&cuda));
	if (cuda->devices < 2)
		skip_because("one GPU only");
}

static int migrate(struct rk_actor *actor, int gpu)
{
	const struct rk_actor_opts to = {
		.size = sizeof(to), .backend = RK_BACKEND_CUDA, .gpu = gpu};

	return rk_actor_migrate(actor, &to, LONG_NS);
}

enum { MIGRATIONS = 1000 };

static struct rk_link_opts placed(uint64_t capacity, enum rk_ring_place place)
{
	struct rk_link_opts link = slots(capacity);

	link.place = place;
	return link;
}

/* Actors of a chain from one to the other and back, at random. Return: how often. */
static uint64_t run_migrations(struct rk_runtime *runtime, const struct placing *on,
			       struct rk_link_opts link, uint64_t *random)
{
	uint64_t changes = 0;
	int gpu[3] = {0};
	struct load load;

	begin_load_between(&load, on, runtime, LOAD, link, placed(link.slots, RK_PLACE_HOST), false);
	while (!is_over(&load)) {
		uint64_t which = aid_below(random, 3);
		int result = migrate(load.actor[which], !gpu[which]);

		done_or_over(result);
		gpu[which] ^= !result;
		changes += !result;
		usleep((useconds_t)aid_below(random, 200));
	}
	end_load(&load);
	for (unsigned int i = 0; i < 3; i++) {
		const struct test_state *state = rk_actor_state(load.actor[i]);

		assert_non_null(state);
		assert_int_equal(state->handled, load.count);
		assert_int_equal(state->out_of_order, 0);
		assert_int_equal(state->started, 1);
	}
	return changes;
}

static void migrations_lose_nothing(void **state)
{
	uint64_t random, changes = 0, runs = 0;

	need_two_gpus();
	random = aid_choose_seed(6);
	while (changes < MIGRATIONS) {
		struct rk_runtime *runtime = open_runtime(2, 0);

		for (unsigned int i = 0; i < 6 && changes < MIGRATIONS; i++, runs++)
			changes += run_migrations(
				runtime, *state,
				placed(i % 3 ? 1024 : 2, i % 2 ? RK_PLACE_HOST : RK_PLACE_GPU),
				&random);
		close_runtime(runtime);
	}
	print_message("# %llu migrations in %llu runs\n", (unsigned long long)changes,
		      (unsigned long long)runs);
}

/* Those in memory of a GPU go along where the other reaches them, or it is said that it does not. */
static void rings_near_a_gpu_stay_or_are_named(void **state)
{
	struct rk_runtime *runtime;
	struct line line;
	int result;

	need_two_gpus();
	runtime = open_runtime(1, 0);
	line = make_line(runtime, *state, (struct rk_actor_opts){.worker = RK_ANY_WORKER}, 64);
	for (uint32_t i = 0; i < 200; i++) {
		send_word(line.tx, i, i);
		result = migrate(line.actor, i % 2 ? 0 : 1);
		if (result)
			break;
		expect_word_of(&line, i, i);
	}
	print_message("# %s\n", result ? rk_errmsg() : "reached");
	if (result) {
		assert_int_equal(result, -EOPNOTSUPP);
		assert_non_null(strstr(rk_errmsg(), "RK_PLACE_HOST"));
		expect_word_of(&line, 0, 0);
	}
	close_runtime(runtime);
}

/* --- State and end of one that migrates --- */

enum { LARGE_BYTES = 1 << 20 };

static void a_large_state_arrives_whole(void **state)
{
	struct rk_actor_type large = *((const struct placing *)*state)->type;
	struct placing on = *(const struct placing *)*state;
	struct rk_runtime *runtime;
	uint64_t random;
	uint8_t *before, *after;
	struct line line;

	need_two_gpus();
	random = aid_choose_seed(7);
	runtime = open_runtime(1, 0);
	before = malloc(LARGE_BYTES);
	after = malloc(LARGE_BYTES);
	for (uint32_t i = 0; i < LARGE_BYTES; i++)
		before[i] = (uint8_t)aid_below(&random, 256);
	*(struct test_state *)before = (struct test_state){.arg = {7}, .started = 1};
	large.state_bytes = LARGE_BYTES;
	on.type = &large;
	line.actor = spawn(runtime, &on, RK_ANY_WORKER, 7);
	for (int i = 0; i < 50; i++) {
		ok(rk_actor_restart(line.actor, before, LONG_NS));
		ok(migrate(line.actor, i % 2 ? 0 : 1));
		ok(rk_actor_copy(line.actor, after, LONG_NS));
		assert_memory_equal(before, after, LARGE_BYTES);
		before[LARGE_BYTES - 1 - i]++;
	}
	assert_int_equal(info_of(line.actor).restarts, 50);
	close_runtime(runtime);
	free(before);
	free(after);
}

struct mover {
	struct rk_actor *actor;
	uint64_t changes;
	int result;
};

static void *keep_moving(void *argument)
{
	struct mover *mover = argument;

	while (!(mover->result = migrate(mover->actor, mover->changes % 2 ? 0 : 1)))
		mover->changes++;
	return NULL;
}

static void die_on_the_way(struct rk_runtime *runtime, const struct placing *on, uint64_t *random,
			   bool kill)
{
	const struct rk_link_opts link = placed(64, RK_PLACE_HOST);
	struct mover mover = {.actor = spawn(runtime, on, RK_ANY_WORKER, 1)};
	uint64_t end_ns = now_ns() + aid_below(random, 3000000), sent = 0, got = 0;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_actor_info info;
	struct rk_msg msg;
	pthread_t thread;

	ok(rk_link_host_out(&rx, mover.actor, &link));
	ok(rk_link_host_in(&tx, mover.actor, &link));
	pthread_create(&thread, NULL, keep_moving, &mover);
	while (now_ns() < end_ns) {
		msg = (struct rk_msg){.type = TEST_ADD, .slots = 1, .tag = (uint32_t)sent};
		sent += rk_ring_send(tx, &msg) > 0;
		while (rk_ring_recv(rx, &msg, 1) > 0)
			assert_int_equal(msg.tag, got++);
	}
	ok(kill ? rk_actor_kill(mover.actor, LONG_NS) :
		  rk_actor_stop(mover.actor, RK_STOP_DRAIN, LONG_NS));
	while (receive(rx, &msg, 1))
		assert_int_equal(msg.tag, got++);
	pthread_join(thread, NULL);
	assert_int_equal(mover.result, -EPIPE);
	info = info_of(mover.actor);
	assert_int_equal(info.state, RK_ACTOR_STOPPED);
	assert_int_equal(info.sent, got);
	assert_int_equal(info.received, info.sent + info.dropped_stopped);
	assert_true(info.received <= sent);
	if (!kill)
		assert_int_equal(info.received, sent);
}

static void one_dies_on_the_way(void **state)
{
	struct rk_runtime *runtime;
	uint64_t random;

	need_two_gpus();
	random = aid_choose_seed(8);
	runtime = open_runtime(1, 0);
	for (unsigned int i = 0; i < 100; i++)
		die_on_the_way(runtime, *state, &random, i % 2);
	close_runtime(runtime);
}

static void who_cannot_migrate_is_named(void **unused)
{
	const struct rk_actor_opts to_cpu = {.size = sizeof(to_cpu), .worker = 0};
	struct rk_runtime *runtime = open_blocks(1, 0, 2);
	struct rk_actor *cpu = spawn(runtime, &on_cpu, 0, 0), *first, *second;
	struct rk_actor_opts opts = opts_of(&warp, 0);

	(void)unused;
	first = spawn(runtime, &warp, 0, 0);
	assert_int_equal(migrate(cpu, 0), -EOPNOTSUPP);
	assert_int_equal(rk_actor_migrate(first, &to_cpu, LONG_NS), -EOPNOTSUPP);
	assert_int_equal(migrate(first, 0), -EINVAL);
	assert_int_equal(migrate(first, RK_MAX_GPUS), -EINVAL);
	assert_int_equal(migrate(first, RK_MAX_GPUS - 1), -EINVAL);
	opts.where = RK_WHERE_BLOCK;
	opts.other = first;
	ok(rk_actor_spawn(&second, runtime, warp.type, &opts));
	ok(rk_link_actors(NULL, first, second, NULL));
	assert_int_equal(migrate(first, 1), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "its link with 'relay' lies in shared memory"));
	ok(rk_actor_start(first, LONG_NS)); /* it goes on by itself as soon as it can */
	assert_int_equal(info_of(first).state, RK_ACTOR_RUNNING);
	ok(rk_actor_stop(first, RK_STOP_NOW, LONG_NS));
	assert_int_equal(migrate(first, 1), -EPIPE);
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

#define WARP_BATCH(body) NAMED(warp_batch, body)
#define SEAT_BODIES(X)                     \
	X(changes_of_seat_lose_nothing)    \
	X(changes_of_handler_lose_nothing) \
	X(a_state_is_converted_for_its_new_handler)
#define GPU_BODIES(X)                  \
	X(migrations_lose_nothing)     \
	X(a_large_state_arrives_whole) \
	X(one_dies_on_the_way)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		LIFE_BODIES(WARP)
		LIFE_BODIES(BLOCK)
		LIFE_BODIES(WARP_BATCH)
		SEAT_BODIES(WARP)
		SEAT_BODIES(BLOCK)
		cmocka_unit_test_setup(who_cannot_change_seats_is_named, nothing_is_left_open),
		cmocka_unit_test_setup(who_cannot_migrate_is_named, nothing_is_left_open),
		GPU_BODIES(WARP)
		GPU_BODIES(BLOCK)
		WARP(rings_near_a_gpu_stay_or_are_named)
		cmocka_unit_test_setup(a_state_goes_from_backend_to_backend, nothing_is_left_open),
		cmocka_unit_test_setup(a_family_may_live_on_both_sides, nothing_is_left_open),
		cmocka_unit_test_setup(a_supervised_group_begins_anew_on_both_sides,
				       nothing_is_left_open),
	};

	return gpu_run_tests(tests, count, words, 120, gpu_hold);
}
