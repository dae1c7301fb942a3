// SPDX-License-Identifier: MIT
/*
 * Links that are full: each policy, levels, and what else happens to their actors meanwhile. Every
 * message is accounted for: received, waiting, or dropped for a reason; and what is kept is what
 * was dropped, byte for byte.
 */
#include "flow_bodies.h"

#include "runtime.h"

#include <inttypes.h>

/* --- Shedding --- */

/* @count words, of which the last is @last. */
static void send_more(struct rk_ring_tx *tx, uint32_t count, uint32_t last)
{
	for (uint32_t i = last + 1 - count; i <= last; i++)
		send_word(tx, i, i * 3);
}

/* Level by level: what matters least goes first, and comes back last. */
static void levels_shed_by_priority(void **state)
{
	enum { COUNT = 100 };
	static const uint32_t shed_at[] = {0, 2, 1};
	static const uint32_t levels[] = {0, 1, 2, 3, 1, 0};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 0);
	struct rk_link_opts opts = slots(1024);
	uint64_t handled = 0, shed[3] = {0};
	struct rk_actor_info info;
	struct rk_ring_tx *tx[3];
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	ok(rk_link_host_out(&rx, actor, &opts));
	opts.dead_slots = 2048;
	for (int i = 0; i < 3; i++) {
		opts.shed_at = shed_at[i];
		ok(rk_link_host_in(&tx[i], actor, &opts));
	}
	for (uint32_t round = 0; round < sizeof(levels) / sizeof(levels[0]); round++) {
		rk_runtime_shed(runtime, levels[round]);
		for (uint32_t i = 0; i < 3; i++) {
			bool dropped_now = shed_at[i] && shed_at[i] <= levels[round];

			send_more(tx[i], COUNT, (round + 1) * COUNT - 1);
			shed[i] += dropped_now ? COUNT : 0;
			handled += dropped_now ? 0 : COUNT;
		}
		await_taken(actor, (round + 1) * 3 * COUNT);
		while (rk_ring_recv(rx, &msg, 1) > 0)
			;
		info = info_of(actor);
		assert_int_equal(info.received, handled);
		assert_int_equal(info.dropped_shed, shed[0] + shed[1] + shed[2]);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(link_of(rk_link_of_tx(tx[i])).dropped[RK_DROP_SHED], shed[i]);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, NULL, 0), info.dropped_shed);
	close_runtime(runtime);
}

/* --- With what else happens to an actor --- */

static void *receive_slowly(void *argument)
{
	uint64_t random = aid_choose_seed(3);
	struct rk_msg msg;

	while (receive(argument, &msg, 1))
		pause_at_random(&random);
	return NULL;
}

/* What a snapshot has counted as sent is not dropped after: it is in flight, or was received. */
static void snapshots_count_what_waits(void **state)
{
	struct rk_link_opts opts = slots(RING);
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *pair[2] = {spawn(runtime, &cpu, 0, 0), spawn(runtime, &cpu, 1, 0)};
	struct sender sender = {.count = SIGNALS_WAIT ? 5000 : 50000, .pauses = true};
	struct rk_snapshot *snapshot;
	pthread_t sending, receiving;
	struct rk_actor_info info;
	struct rk_ring_rx *rx;
	uint64_t waited = 0;
	int taken_count = 0;

	(void)state;
	ok(rk_link_host_in(&sender.tx, pair[0], &opts));
	ok(rk_link_host_out(&rx, pair[1], &opts));
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 64;
	ok(rk_link_actors(NULL, pair[0], pair[1], &opts));
	pthread_create(&sending, NULL, send_all, &sender);
	pthread_create(&receiving, NULL, receive_slowly, rx);
	while (!rk_snapshot_take(&snapshot, pair, 2, LONG_NS)) {
		for (uint32_t i = 0; i < snapshot->links; i++) {
			const struct rk_snapshot_link *link = &snapshot->link[i];

			if (link->from != 0 || link->to != 1)
				continue;
			assert_int_equal(link->sent - link->received, link->count);
			waited += link->count;
		}
		rk_snapshot_free(snapshot);
		taken_count++;
	}
	pthread_join(sending, NULL);
	pthread_join(receiving, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	info = info_of(pair[0]);
	print_message("# %d snapshots, %" PRIu64 " in flight, %" PRIu64 " dropped\n", taken_count,
		      waited, info.dropped_old);
	assert_true(taken_count && info.dropped_old);
	assert_int_equal(info.received, info.sent + info.dropped_old);
	assert_int_equal(info.sent, info_of(pair[1]).received);
	close_runtime(runtime);
}

static void *reload(void *argument)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = 4};

	ok(rk_actor_reload(argument, &relay_type, NULL, &opts, LONG_NS));
	return NULL;
}

static void await_trial(struct rk_actor *actor)
{
	bool begun = false;

	while (!begun) {
		pthread_mutex_lock(&actor->runtime->mutex);
		begun = actor_is_reloading(actor);
		pthread_mutex_unlock(&actor->runtime->mutex);
	}
}

/* A new handler on trial waits for what its predecessor left waiting, and drops nothing itself. */
static void a_trial_drops_nothing(void **state)
{
	static const enum rk_full policies[] = {RK_FULL_DROP_NEWEST, RK_FULL_DROP_OLDEST};

	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct rk_link_opts opts = dropping(policies[i], LETTERS);
		struct line line = open_line(&cpu, &opts);
		uint32_t behind = i ? 100 - RING : RING, left = i ? RING : 0;
		pthread_t thread;

		send_count(&line, 100);
		pthread_create(&thread, NULL, reload, line.actor);
		await_trial(line.actor);
		for (uint32_t j = 100; j < 104; j++)
			send_word(line.in, j, j * 3);
		expect_words(line.out, 0, RING);
		expect_words(line.out, behind, left);
		expect_words(line.out, 100, 4);
		pthread_join(thread, NULL);
		await_taken(line.actor, 104);
		assert_int_equal(info_of(line.actor).reloads, 1);
		assert_int_equal(info_of(line.actor).sent, RING + left + 4);
		assert_int_equal(letters_of(&line, NULL), 100 - RING - left);
		expect_end(&line);
		close_runtime(line.runtime);
	}
}

/* --- What cannot be had --- */

static void refuse(struct rk_actor *actor, const struct rk_link_opts *opts, int expected)
{
	struct rk_ring_rx *rx;

	assert_int_equal(rk_link_host_out(&rx, actor, opts), expected);
}

static void impossible_policies_are_refused(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &cpu, 0, 0);
	struct rk_link_opts opts = slots(RING);
	struct rk_ring_tx *tx;

	(void)state;
	opts.full = RK_FULL_DROP_NEWEST;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	opts.full = (enum rk_full)3;
	refuse(actor, &opts, -EINVAL);
	opts.full = RK_FULL_WAIT;
	opts.backlog_slots = 64;
	refuse(actor, &opts, -EINVAL);
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 3;
	refuse(actor, &opts, -EINVAL);
	opts = slots(RING);
	opts.high_slots = 9;
	refuse(actor, &opts, -EINVAL);
	opts.high_slots = opts.low_slots = 4;
	refuse(actor, &opts, -EINVAL);
	opts.high_slots = 0;
	refuse(actor, &opts, -EINVAL);
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EINVAL);
	opts = slots(RING);
	opts.shed_at = 1;
	refuse(actor, &opts, -EOPNOTSUPP);
	opts = slots(RING);
	opts.dead_slots = 4;
	refuse(actor, &opts, -EINVAL);
	opts.dead_slots = 24;
	refuse(actor, &opts, -EINVAL);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW_BODIES(ON_BOTH)
		ON_BOTH(levels_shed_by_priority)
		cmocka_unit_test(snapshots_count_what_waits),
		cmocka_unit_test(a_trial_drops_nothing),
		cmocka_unit_test(impossible_policies_are_refused),
	};

	aid_watchdog(200);
	return cmocka_run_group_tests(tests, nothing_is_left_open, NULL);
}
