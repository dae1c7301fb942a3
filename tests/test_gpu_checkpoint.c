// SPDX-License-Identifier: MIT
/*
 * Snapshots of actors on GPUs and on both sides, under load, and going on from them on either side:
 * the same states, byte for byte, and the same outputs as a run that nothing disturbed. Skipped
 * without a GPU.
 */
#include "checkpoint_bodies.h"
#include "gpu_aid.h"
#include "snapshot/format.h"

/* --- What cannot be, and what is given up --- */

static void a_cycle_on_gpus_is_refused(void **unused)
{
	static const struct places gpu = {.gpus = 7};
	struct rk_snapshot *snapshot;
	struct round round;

	(void)unused;
	make_round(&round, &gpu, 16);
	refused(rk_snapshot_take(&snapshot, round.actor, 3, LONG_NS), -EOPNOTSUPP,
		"a cycle of actors on GPUs");
	/* Two of them are none. */
	ok(rk_snapshot_take(&snapshot, round.actor, 2, LONG_NS));
	assert_int_equal(snapshot->actors, 2);
	rk_snapshot_free(snapshot);
	close_runtime(round.runtime);
}

/* Two feed one on a GPU: a handler of one does not come back, so its marker does not come. */
struct fan {
	struct rk_runtime *runtime;
	struct rk_actor *actor[3]; /* hold and step on CPUs, join on the GPU */
	struct rk_ring_tx *tx[2];
	struct rk_ring_rx *rx;
};

static void make_fan(struct fan *fan)
{
	static const struct rk_actor_type *const kind[] = {&hold_type, &step_type, &join_type};

	*fan = (struct fan){.runtime = open_runtime(2, 0)};
	for (int i = 0; i < 3; i++) {
		const struct rk_actor_opts with = {.size = sizeof(with),
						   .worker = i == 0,
						   .backend = i == 2 ? RK_BACKEND_CUDA :
								       RK_BACKEND_CPU};

		ok(rk_actor_spawn(&fan->actor[i], fan->runtime, kind[i], &with));
	}
	for (int i = 0; i < 2; i++) {
		ok(rk_link_actors(NULL, fan->actor[i], fan->actor[2], NULL));
		ok(rk_link_host_in(&fan->tx[i], fan->actor[i], NULL));
	}
	ok(rk_link_host_out(&fan->rx, fan->actor[2], NULL));
}

static void what_is_held_is_let_go_when_a_snapshot_is_given_up(void **unused)
{
	struct rk_snapshot *snapshot;
	struct rk_msg msg;
	struct fan fan;
	int result;

	(void)unused;
	make_fan(&fan);
	__atomic_store_n(&withheld, 1, __ATOMIC_RELEASE);
	send_words(fan.tx[0], RK_MSG_USER, 0, 1, 0);
	while (!info_of(fan.actor[0]).received)
		usleep(100);
	refused(rk_snapshot_take(&snapshot, fan.actor, 3, SECOND_NS / 20), -ETIMEDOUT,
		"actor 'hold'");
	refused(rk_snapshot_take(&snapshot, fan.actor, 3, SECOND_NS / 20), -EBUSY,
		"has not come back since");
	for (uint32_t i = 0; i < 10; i++) {
		send_words(fan.tx[1], RK_MSG_USER, i, i, 0);
		assert_true(receive(fan.rx, &msg, 1));
		assert_int_equal(msg.tag, i);
	}
	__atomic_store_n(&withheld, 0, __ATOMIC_RELEASE);
	while ((result = rk_snapshot_take(&snapshot, fan.actor, 3, LONG_NS)) == -EBUSY)
		usleep(1000);
	ok(result);
	assert_int_equal(((struct step_state *)snapshot->actor[2].state)->count, 10);
	rk_snapshot_free(snapshot);
	close_runtime(fan.runtime);
}

/* --- A kill meanwhile --- */

struct taker {
	struct pipeline pipeline;
	uint64_t taken;
	int result;
	char why[256];
};

static void *take_until_it_fails(void *argument)
{
	struct taker *taker = argument;
	struct rk_snapshot *snapshot;

	while (!(taker->result = rk_snapshot_take(&snapshot, taker->pipeline.actor, MOST_ACTORS,
						  10 * SECOND_NS))) {
		rk_snapshot_free(snapshot);
		__atomic_fetch_add(&taker->taken, 1, __ATOMIC_RELAXED);
	}
	strncpy(taker->why, rk_errmsg(), sizeof(taker->why) - 1);
	return NULL;
}

static void a_kill_meanwhile_ends_the_snapshot(void **state)
{
	const struct tour *tour = *state;
	struct taker taker = {.taken = 0};
	pthread_t thread;

	make_pipeline_at(&taker.pipeline, &tour->first, 1, 16);
	pthread_create(&thread, NULL, take_until_it_fails, &taker);
	while (__atomic_load_n(&taker.taken, __ATOMIC_RELAXED) < 20)
		usleep(100);
	ok(rk_actor_kill(taker.pipeline.actor[1], LONG_NS));
	pthread_join(thread, NULL);
	print_message("# after %llu: %s\n", (unsigned long long)taker.taken, taker.why);
	assert_int_equal(taker.result, -EPIPE);
	assert_non_null(strstr(taker.why, "actor 'split'"));
	close_pipeline(&taker.pipeline);
}

/* --- In a file --- */

/* What one on a GPU left in a folder, one that builds upon another, is what was taken. */
static void a_file_keeps_what_a_gpu_had(void **state)
{
	const struct tour *tour = *state;
	const struct rk_snapshot_store_opts opts = {.size = sizeof(opts), .chain = 4};
	struct rk_snapshot *taken, *read;
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct rk_snapshot_store *store;
	struct pipeline p;

	if (snapshot_supported())
		skip();
	aid_folder(folder);
	ok(rk_snapshot_store_open(&store, folder, &opts));
	make_pipeline_at(&p, &tour->first, 100, 16);
	p.steps = 3;
	begin_load(&p);
	for (uint32_t i = 0; i < 3; i++) {
		ok(rk_snapshot_take(&taken, p.actor, MOST_ACTORS, LONG_NS));
		ok(rk_snapshot_store_put(store, taken));
		ok(rk_snapshot_newest(&read, folder));
		for (uint32_t a = 0; a < MOST_ACTORS; a++)
			assert_memory_equal(read->actor[a].state, taken->actor[a].state,
					    sizeof(struct step_state));
		rk_snapshot_free(read);
		rk_snapshot_free(taken);
		__atomic_store_n(&p.let, i + 1, __ATOMIC_RELEASE);
	}
	end_load(&p);
	close_pipeline(&p);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
}

static const struct tour gpu_to_cpu = {{.gpus = 31}, {.gpus = 0}};
static const struct tour cpu_to_gpu = {{.gpus = 0}, {.gpus = 31}};
static const struct tour mixed = {{.gpus = 10}, {.gpus = 21}};
static const struct tour block = {{.gpus = 31, .group = RK_GROUP_BLOCK},
				  {.gpus = 31, .group = RK_GROUP_BLOCK}};
/* Round a cycle, one at least is on a CPU. */
static const struct tour round_trip = {{.gpus = 6}, {.gpus = 3}};

#define ON(tour, body) \
	{#tour ": " #body, body, nothing_is_left_open, NULL, (void *)(uintptr_t)&tour},

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		ON(gpu_to_cpu, markers_from_outside_mean_nothing)
		cmocka_unit_test_setup(a_cycle_on_gpus_is_refused, nothing_is_left_open),
		cmocka_unit_test_setup(what_is_held_is_let_go_when_a_snapshot_is_given_up,
				       nothing_is_left_open),
		ON(gpu_to_cpu, a_kill_meanwhile_ends_the_snapshot)
		ON(gpu_to_cpu, snapshots_of_a_pipeline_lead_to_the_same_end)
		ON(cpu_to_gpu, snapshots_of_a_pipeline_lead_to_the_same_end)
		ON(mixed, snapshots_of_a_pipeline_lead_to_the_same_end)
		ON(block, snapshots_of_a_pipeline_lead_to_the_same_end)
		ON(round_trip, messages_that_go_round_are_in_flight_once)
		ON(gpu_to_cpu, a_file_keeps_what_a_gpu_had)
		ON(gpu_to_cpu, also_with_long_rings)
		ON(cpu_to_gpu, also_with_long_rings)
		ON(mixed, also_with_long_rings)
		ON(mixed, also_while_actors_move)
		ON(gpu_to_cpu, also_while_actors_move)
	};

	return gpu_run_tests(tests, count, words, 300, gpu_hold);
}
