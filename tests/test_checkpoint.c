// SPDX-License-Identifier: MIT
/*
 * Snapshots of actors under load, and going on from them: the same states and outputs as a run that
 * nothing disturbed, every message's effect exactly once.
 */
#include "checkpoint_aid.h"

/* Snapshots of a run are ten; of all, a hundred where that is quick. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { RUNS = 1, SNAPSHOTS = 10 };
#else
enum { RUNS = 10, SNAPSHOTS = 10 };
#endif

enum { MOST_RUNS = 40 };

/* What it left is what a run that nothing disturbed leaves. */
static void expect_same(const struct pipeline *p, const struct pipeline *whole)
{
	uint8_t *seen = calloc(1, p->count);

	for (int i = 0; i < MOST_ACTORS; i++)
		assert_memory_equal(rk_actor_state(p->actor[i]), rk_actor_state(whole->actor[i]),
				    sizeof(struct step_state));
	for (uint64_t i = 0; i < p->count; i++) {
		assert_true(p->out[i].tag < p->count);
		assert_int_equal(seen[p->out[i].tag]++, 0);
	}
	/* Its value is that of the same message in the whole run. */
	for (uint64_t i = 0; i < p->count; i++)
		seen[whole->out[i].tag]--;
	for (uint64_t i = 0; i < p->count; i++)
		assert_int_equal(seen[i], 0);
	free(seen);
}

/* Replay from @snapshot what came after it; the outputs before it are @whole's. */
static void restore_and_replay(const struct rk_snapshot *snapshot, const struct pipeline *whole)
{
	struct rk_restore_opts opts;
	struct pipeline p;

	open_pipeline(&p, whole->count);
	opts = restoring(&p);
	ok(rk_snapshot_restore(p.actor, p.runtime, snapshot, &opts));
	memcpy(p.out, whole->out, p.outs * sizeof(*p.out));
	begin_load(&p);
	end_load(&p);
	expect_same(&p, whole);
	{
		struct output *others = malloc(whole->count * sizeof(*others));

		memcpy(others, whole->out, whole->count * sizeof(*others));
		expect_same_outputs(p.out, others, p.count);
		free(others);
	}
	close_pipeline(&p);
}

static uint64_t in_flight(const struct rk_snapshot *snapshot)
{
	uint64_t cells = 0;

	for (uint32_t i = 0; i < snapshot->links; i++)
		cells += snapshot->link[i].count;
	return cells;
}

/* From worker to worker, until all is over. */
static void *move_about(void *argument)
{
	struct pipeline *p = argument;
	uint64_t random = 6;

	while (!is_over(p)) {
		int result = rk_actor_move(p->actor[aid_below(&random, MOST_ACTORS)],
					   (int)aid_below(&random, 2), LONG_NS);

		if (result != -EPIPE)
			ok(result);
		usleep((useconds_t)aid_below(&random, 200));
	}
	return NULL;
}

/* Taken at any moment, a snapshot leads to the same end. */
static void snapshots_lead_to_the_same_end(uint64_t capacity, uint64_t messages, bool moves)
{
	uint64_t random = aid_choose_seed(capacity), cells = 0, between = 0, taken = 0;

	/* A loaded machine may let few of them come amid the messages: then there are more. */
	for (int run = 0; run < RUNS || (run < MOST_RUNS && !(cells && between)); run++) {
		struct rk_snapshot *snapshot[SNAPSHOTS];
		struct pipeline whole;
		pthread_t moving;
		int count = 0;

		make_pipeline(&whole, messages, capacity);
		whole.steps = SNAPSHOTS;
		begin_load(&whole);
		if (moves)
			pthread_create(&moving, NULL, move_about, &whole);
		for (; count < SNAPSHOTS; count++) {
			usleep((useconds_t)aid_below(&random, 100));
			ok(rk_snapshot_take(&snapshot[count], whole.actor, MOST_ACTORS, LONG_NS));
			cells += in_flight(snapshot[count]);
			between +=
				((struct step_state *)snapshot[count]->actor[4].state)->count > 0;
			__atomic_store_n(&whole.let, count + 1, __ATOMIC_RELEASE);
		}
		if (moves)
			pthread_join(moving, NULL);
		end_load(&whole);
		for (int i = 0; i < count; i++) {
			restore_and_replay(snapshot[i], &whole);
			rk_snapshot_free(snapshot[i]);
		}
		taken += (uint64_t)count;
		close_pipeline(&whole);
	}
	print_message("# %" PRIu64 " snapshots, %" PRIu64 " between, %" PRIu64 " cells in flight\n",
		      taken, between, cells);
	assert_true(between > 0);
	assert_true(cells > 0);
}

static void snapshots_of_a_pipeline_lead_to_the_same_end(void **unused)
{
	(void)unused;
	snapshots_lead_to_the_same_end(RING_SLOTS, 500, false);
}

static void also_with_long_rings(void **unused)
{
	(void)unused;
	snapshots_lead_to_the_same_end(1024, MESSAGES, false);
}

static void also_while_actors_move(void **unused)
{
	(void)unused;
	snapshots_lead_to_the_same_end(64, 1000, true);
}

/* --- A ring of actors, in which messages go round --- */

enum { TOKENS = 64, HOPS = 200 };

struct hop_state {
	uint64_t hops;
};

static void hop(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct hop_state *s = state;
	uint64_t left = msg->type < RK_MSG_PACKET ? 0 : test_word(msg, 0);

	if (msg->type < RK_MSG_PACKET)
		return;
	s->hops++;
	left -= left > 0;
	rk_send(ctx, left ? 0 : 1, RK_MSG_USER, msg->tag, &left, sizeof(left));
}

static const struct rk_actor_type hop_type = {
	.name = "hop", .summary = "", .handle = hop, .state_bytes = sizeof(struct hop_state)};

struct round {
	struct rk_runtime *runtime;
	struct rk_actor *actor[3];
	struct rk_ring_rx *rx[3];
	struct rk_ring_tx *tx;
	int outs;
};

static int make_round_link(void *argument, const struct rk_snapshot_link *link,
			   struct rk_actor *from, struct rk_actor *to)
{
	struct round *round = argument;
	const struct rk_link_opts opts = slots(link->slots);

	return from ? rk_link_host_out(&round->rx[round->outs++], from, &opts)
		    : rk_link_host_in(&round->tx, to, &opts);
}

static void make_round(struct round *round, uint64_t capacity)
{
	const struct rk_link_opts opts = slots(capacity), wide = slots(2 * TOKENS);

	*round = (struct round){.runtime = open_runtime(2, 0)};
	for (int i = 0; i < 3; i++)
		ok(rk_actor_spawn(&round->actor[i], round->runtime, &hop_type, NULL));
	for (int i = 0; i < 3; i++) {
		ok(rk_link_actors(NULL, round->actor[i], round->actor[(i + 1) % 3], &opts));
		ok(rk_link_host_out(&round->rx[i], round->actor[i], &wide));
	}
	ok(rk_link_host_in(&round->tx, round->actor[0], &wide));
}

/* Every token that is not among @seen comes out, once. */
static void expect_tokens(struct round *round, uint8_t seen[TOKENS])
{
	struct rk_msg msg;
	int left = 0;

	for (int i = 0; i < TOKENS; i++)
		left += !seen[i];
	while (left)
		for (int i = 0; i < 3; i++)
			while (rk_ring_recv(round->rx[i], &msg, 1) > 0) {
				assert_int_equal(seen[msg.tag]++, 0);
				left--;
			}
}

/* Those that had come out before the snapshot. */
static void note_past(struct rk_msg got[3][TOKENS], const struct rk_snapshot *snapshot,
		      uint8_t seen[TOKENS])
{
	int out = 0;

	for (uint32_t i = 0; i < snapshot->links; i++)
		if (snapshot->link[i].to == RK_SNAPSHOT_OUTSIDE) {
			for (uint64_t n = 0; n < snapshot->link[i].sent; n++)
				seen[got[out][n].tag]++;
			out++;
		}
}

static void messages_that_go_round_are_in_flight_once(void **unused)
{
	static const struct rk_actor_type *const hop_types[] = {&hop_type};
	uint64_t random = aid_choose_seed(77), cells = 0;

	(void)unused;
	for (int i = 0; i < 2 * RUNS + 2; i++) {
		uint8_t seen[TOKENS] = {0}, all[TOKENS] = {0};
		static struct rk_msg got[3][TOKENS];
		int counts[3] = {0}, left = TOKENS;
		struct rk_snapshot *snapshot;
		struct round round, again;
		struct rk_restore_opts opts = {.size = sizeof(opts),
					       .types = hop_types,
					       .type_count = 1,
					       .timeout_ns = LONG_NS,
					       .join = make_round_link,
					       .argument = &again};

		make_round(&round, 128);
		for (uint32_t t = 0; t < TOKENS; t++)
			send_words(round.tx, RK_MSG_USER, t, HOPS, 0);
		usleep((useconds_t)aid_below(&random, 500));
		ok(rk_snapshot_take(&snapshot, round.actor, 3, LONG_NS));
		while (left)
			for (int o = 0; o < 3; o++)
				while (rk_ring_recv(round.rx[o], &got[o][counts[o]], 1) > 0) {
					assert_int_equal(all[got[o][counts[o]].tag]++, 0);
					counts[o]++;
					left--;
				}
		cells += in_flight(snapshot);
		close_runtime(round.runtime);
		again = (struct round){.runtime = open_runtime(2, 0)};
		ok(rk_snapshot_restore(again.actor, again.runtime, snapshot, &opts));
		note_past(got, snapshot, seen);
		/* What had not been handled is sent again. */
		for (uint32_t l = 0; l < snapshot->links; l++)
			if (snapshot->link[l].from == RK_SNAPSHOT_OUTSIDE)
				for (uint32_t t = (uint32_t)snapshot->link[l].received; t < TOKENS;
				     t++)
					send_words(again.tx, RK_MSG_USER, t, HOPS, 0);
		expect_tokens(&again, seen);
		rk_snapshot_free(snapshot);
		close_runtime(again.runtime);
	}
	print_message("# %" PRIu64 " cells in flight\n", cells);
	assert_true(cells > 0);
}

/* --- What cannot be --- */

static void refused(int result, int with, const char *part)
{
	assert_int_equal(result, with);
	if (!strstr(rk_errmsg(), part))
		fail_msg("\"%s\" says nothing of \"%s\"", rk_errmsg(), part);
}

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

static uint32_t held;

static void hold(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)ctx;
	(void)state;
	while (msg->type >= RK_MSG_PACKET && __atomic_load_n(&held, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static const struct rk_actor_type hold_type = {.name = "hold", .summary = "", .handle = hold};

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
	__atomic_store_n(&held, 1, __ATOMIC_RELEASE);
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
	__atomic_store_n(&held, 0, __ATOMIC_RELEASE);
	while ((result = rk_snapshot_take(&snapshot, pair, 2, LONG_NS)) == -EBUSY)
		usleep(1000);
	ok(result);
	assert_int_equal(snapshot->links, 2);
	assert_int_equal(((struct step_state *)snapshot->actor[0].state)->count, 1);
	rk_snapshot_free(snapshot);
	close_runtime(runtime);
}

/* From outside, a marker is a message that means nothing. */
static void markers_from_outside_mean_nothing(void **unused)
{
	struct rk_msg marker = {.type = RK_MSG_CHECKPOINT, .slots = 1};
	struct rk_snapshot *snapshot;
	struct pipeline p;

	(void)unused;
	make_pipeline(&p, 1000, 16);
	for (marker.tag = 0; marker.tag < 5; marker.tag++)
		send_msg(p.tx, &marker);
	ok(rk_snapshot_take(&snapshot, p.actor, MOST_ACTORS, LONG_NS));
	rk_snapshot_free(snapshot);
	begin_load(&p);
	end_load(&p);
	close_pipeline(&p);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(snapshots_of_a_pipeline_lead_to_the_same_end,
				       nothing_is_left_open),
		cmocka_unit_test_setup(also_with_long_rings, nothing_is_left_open),
		cmocka_unit_test_setup(also_while_actors_move, nothing_is_left_open),
		cmocka_unit_test_setup(messages_that_go_round_are_in_flight_once,
				       nothing_is_left_open),
		cmocka_unit_test_setup(groups_that_are_none_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(a_snapshot_that_comes_too_late_is_given_up,
				       nothing_is_left_open),
		cmocka_unit_test_setup(markers_from_outside_mean_nothing, nothing_is_left_open),
		cmocka_unit_test_setup(restores_that_do_not_fit_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(arguments_outlive_a_snapshot, nothing_is_left_open),
		cmocka_unit_test_setup(an_actor_goes_on_with_a_state, nothing_is_left_open),
	};

	aid_watchdog(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
