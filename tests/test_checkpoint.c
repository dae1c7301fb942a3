// SPDX-License-Identifier: MIT
/*
 * Snapshots of actors under load, and going on from them: the same states and outputs as a run that
 * nothing disturbed, every message's effect exactly once. Also after kill -9 of the whole process.
 */
#include "actor_aid.h"
#include "snapshot_aid.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/wait.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { RUNS = 3, KILLS = 8 };
#else
enum { RUNS = 10, KILLS = 30 };
#endif

enum { SNAPSHOTS = 10, MOST_ACTORS = 5, RING_SLOTS = 8, MESSAGES = 4000, LIFE_STEPS = 400 };

/* --- The pipeline: one -> split -> left and right -> join -> out, every step with a memory --- */

struct step_state {
	uint64_t count;
	uint64_t sum; /* of values: of the same messages the same, in whatever order */
	uint64_t last;
	uint64_t started;
	uint64_t history[1024]; /* by tag: changes a page here, a page there */
};

static void note(struct step_state *s, uint32_t tag, uint64_t value)
{
	s->count++;
	s->sum += value;
	s->history[tag % 1024] += value;
}

/* What goes out depends on all that came in before: nothing may be missing, doubled or swapped. */
static void step(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = state;
	uint64_t value = msg->type < RK_MSG_PACKET ? 0 : test_word(msg, 0);

	s->started += msg->type == RK_MSG_START;
	if (msg->type < RK_MSG_PACKET)
		return;
	s->last = s->last * 31 + value;
	value += s->last;
	note(s, msg->tag, value);
	rk_send(ctx, 0, RK_MSG_USER, msg->tag, &value, sizeof(value));
}

/* Long and short ones, to the left and to the right. */
static void split(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = state;
	uint64_t words[20] = {msg->type < RK_MSG_PACKET ? 0 : test_word(msg, 0)};

	s->started += msg->type == RK_MSG_START;
	if (msg->type < RK_MSG_PACKET)
		return;
	note(s, msg->tag, words[0]);
	rk_send(ctx, msg->tag % 3 == 0, RK_MSG_USER, msg->tag, words,
		msg->tag % 5 ? 8 : sizeof(words));
}

/* The last: from two sides, so in no order. */
static void join(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = state;
	uint64_t value = msg->type < RK_MSG_PACKET ? 0 : test_word(msg, 0);

	s->started += msg->type == RK_MSG_START;
	if (msg->type < RK_MSG_PACKET)
		return;
	note(s, msg->tag, value);
	rk_send(ctx, 0, RK_MSG_USER, msg->tag, &value, sizeof(value));
}

static void step_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		step(ctx, state, &msgs[i]);
}

static const struct rk_actor_type step_type = {
	.name = "step", .summary = "", .handle = step, .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type batch_step_type = {.name = "batch_step",
						     .summary = "",
						     .handle = step,
						     .batch = step_batch,
						     .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type split_type = {
	.name = "split", .summary = "", .handle = split, .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type join_type = {
	.name = "join", .summary = "", .handle = join, .state_bytes = sizeof(struct step_state)};

static const struct rk_actor_type *const types[] = {&step_type, &batch_step_type, &split_type,
						    &join_type, &relay_type};

/* One message that came out. */
struct output {
	uint32_t tag;
	uint64_t value;
};

struct pipeline {
	struct rk_runtime *runtime;
	struct rk_actor *actor[MOST_ACTORS];
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t from; /* the first message that is sent */
	uint64_t count;
	struct output *out; /* @first of them, from a restored run's past, are left alone */
	uint64_t outs;
	pthread_t feeding, taking;
	uint32_t over;
	uint32_t steps; /* the feeder stops before each until it is let go on */
	uint32_t let;
	int file; /* what comes out, also there; -1 */
};

static void *feed(void *argument)
{
	struct pipeline *p = argument;

	for (uint64_t i = p->from; i < p->count; i++) {
		while (i * (p->steps + 1) / p->count > __atomic_load_n(&p->let, __ATOMIC_ACQUIRE))
			sched_yield();
		send_words(p->tx, RK_MSG_USER, (uint32_t)i, i * 7, 0);
	}
	finish_sending(p->tx);
	return NULL;
}

static void *take_out(void *argument)
{
	struct pipeline *p = argument;
	struct rk_msg msg;

	while (receive(p->rx, &msg, 1)) {
		uint64_t at = p->outs;
		const struct output output = {.tag = msg.tag, .value = word_of(&msg)};

		assert_true(at < p->count);
		p->out[at] = output;
		if (p->file >= 0)
			assert_int_equal(pwrite(p->file, &output, sizeof(output),
						(off_t)(at * sizeof(output))),
					 sizeof(output));
		/* Pairs with outs_of(). */
		__atomic_store_n(&p->outs, at + 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&p->over, 1, __ATOMIC_RELEASE); /* pairs with is_over() */
	return NULL;
}

static uint64_t outs_of(const struct pipeline *p)
{
	return __atomic_load_n(&p->outs, __ATOMIC_ACQUIRE); /* pairs with take_out() */
}

static bool is_over(const struct pipeline *p)
{
	return __atomic_load_n(&p->over, __ATOMIC_ACQUIRE); /* pairs with take_out() */
}

static void open_pipeline(struct pipeline *p, uint64_t count)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 2};

	*p = (struct pipeline){.count = count, .file = -1};
	p->out = calloc(count, sizeof(*p->out));
	ok(rk_runtime_open(&left_open, &opts));
	p->runtime = left_open;
}

static void make_pipeline(struct pipeline *p, uint64_t count, uint64_t capacity)
{
	const struct rk_actor_type *const kind[] = {&step_type, &split_type, &step_type,
						    &batch_step_type, &join_type};
	static const int from[] = {0, 1, 1, 2, 3}, to[] = {1, 2, 3, 4, 4};
	const struct rk_link_opts opts = slots(capacity);

	open_pipeline(p, count);
	for (int i = 0; i < MOST_ACTORS; i++)
		ok(rk_actor_spawn(&p->actor[i], p->runtime, kind[i], NULL));
	for (int i = 0; i < MOST_ACTORS; i++)
		ok(rk_link_actors(NULL, p->actor[from[i]], p->actor[to[i]], &opts));
	ok(rk_link_host_out(&p->rx, p->actor[4], &opts));
	ok(rk_link_host_in(&p->tx, p->actor[0], &opts));
}

static void begin_load(struct pipeline *p)
{
	pthread_create(&p->feeding, NULL, feed, p);
	pthread_create(&p->taking, NULL, take_out, p);
}

static void end_load(struct pipeline *p)
{
	pthread_join(p->feeding, NULL);
	pthread_join(p->taking, NULL);
	assert_int_equal(p->outs, p->count);
	ok(rk_runtime_wait(p->runtime, LONG_NS));
}

static void close_pipeline(struct pipeline *p)
{
	close_runtime(p->runtime);
	free(p->out);
}

static int make_outer_link(void *argument, const struct rk_snapshot_link *link,
			   struct rk_actor *from, struct rk_actor *to)
{
	struct pipeline *p = argument;
	const struct rk_link_opts opts = slots(link->slots);

	if (from) {
		p->outs = link->sent;
		return rk_link_host_out(&p->rx, from, &opts);
	}
	p->from = link->received;
	return rk_link_host_in(&p->tx, to, &opts);
}

static struct rk_restore_opts restoring(struct pipeline *p)
{
	return (struct rk_restore_opts){.size = sizeof(struct rk_restore_opts),
					.types = types,
					.type_count = sizeof(types) / sizeof(types[0]),
					.timeout_ns = LONG_NS,
					.join = make_outer_link,
					.argument = p};
}

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

static int by_tag(const void *left, const void *right)
{
	const struct output *a = left, *b = right;

	return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static void expect_same_outputs(struct output *some, struct output *others, uint64_t count)
{
	qsort(some, count, sizeof(*some), by_tag);
	qsort(others, count, sizeof(*others), by_tag);
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(some[i].tag, i);
		assert_int_equal(others[i].tag, i);
		assert_int_equal(some[i].value, others[i].value);
	}
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

/* Taken at any moment, a snapshot leads to the same end. */
static void snapshots_lead_to_the_same_end(uint64_t capacity, uint64_t messages)
{
	uint64_t random = aid_choose_seed(capacity), cells = 0, between = 0, taken = 0;

	for (int run = 0; run < RUNS; run++) {
		struct rk_snapshot *snapshot[SNAPSHOTS];
		struct pipeline whole;
		int count = 0;

		make_pipeline(&whole, messages, capacity);
		whole.steps = SNAPSHOTS;
		begin_load(&whole);
		for (; count < SNAPSHOTS; count++) {
			usleep((useconds_t)aid_below(&random, 100));
			ok(rk_snapshot_take(&snapshot[count], whole.actor, MOST_ACTORS, LONG_NS));
			cells += in_flight(snapshot[count]);
			between +=
				((struct step_state *)snapshot[count]->actor[4].state)->count > 0;
			__atomic_store_n(&whole.let, count + 1, __ATOMIC_RELEASE);
		}
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
	snapshots_lead_to_the_same_end(RING_SLOTS, 500);
}

static void also_with_long_rings(void **unused)
{
	(void)unused;
	snapshots_lead_to_the_same_end(1024, MESSAGES);
}

/* --- A ring of actors, in which messages go round --- */

enum { TOKENS = 64, HOPS = 400 };

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
	for (int i = 0; i < 20; i++) {
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

/* --- kill -9 of the whole process --- */

/*
 * A life: from the newest snapshot, or from the beginning; snapshots all the while. What came out
 * is kept up to where a snapshot is, then the snapshot is. Ends when all is done.
 */
static int live(const char *folder, int file, uint32_t *puts)
{
	const struct rk_snapshot_store_opts store_opts = {
		.size = sizeof(store_opts), .chain = 4, .keep = 2};
	struct rk_snapshot_store *store;
	struct rk_snapshot *snapshot;
	struct pipeline p;

	ok(rk_snapshot_store_open(&store, folder, &store_opts));
	if (rk_snapshot_newest(&snapshot, folder)) {
		make_pipeline(&p, MESSAGES, RING_SLOTS);
	} else {
		struct rk_restore_opts opts;

		open_pipeline(&p, MESSAGES);
		opts = restoring(&p);
		ok(rk_snapshot_restore(p.actor, p.runtime, snapshot, &opts));
		rk_snapshot_free(snapshot);
	}
	p.file = file;
	p.steps = LIFE_STEPS;
	p.let = (uint32_t)(p.from * (LIFE_STEPS + 1) / p.count);
	begin_load(&p);
	while (!is_over(&p) && !rk_snapshot_take(&snapshot, p.actor, MOST_ACTORS, LONG_NS)) {
		for (uint32_t i = 0; i < snapshot->links; i++)
			while (snapshot->link[i].to == RK_SNAPSHOT_OUTSIDE &&
			       outs_of(&p) < snapshot->link[i].sent)
				usleep(20);
		ok(rk_snapshot_store_put(store, snapshot));
		rk_snapshot_free(snapshot);
		__atomic_fetch_add(puts, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&p.let, p.let + 1, __ATOMIC_RELEASE);
	}
	end_load(&p);
	for (int i = 0; i < MOST_ACTORS; i++)
		assert_int_equal(pwrite(file, rk_actor_state(p.actor[i]), sizeof(struct step_state),
					(off_t)(MESSAGES * sizeof(struct output) +
						(size_t)i * sizeof(struct step_state))),
				 sizeof(struct step_state));
	close_pipeline(&p);
	rk_snapshot_store_close(store);
	return 0;
}

static void expect_what_was_kept(int file, const struct pipeline *whole)
{
	struct output *out = malloc(MESSAGES * sizeof(*out));
	struct step_state state;

	assert_int_equal(pread(file, out, MESSAGES * sizeof(*out), 0), MESSAGES * sizeof(*out));
	expect_same_outputs(out, whole->out, MESSAGES);
	for (int i = 0; i < MOST_ACTORS; i++) {
		assert_int_equal(
			pread(file, &state, sizeof(state),
			      (off_t)(MESSAGES * sizeof(*out) + (size_t)i * sizeof(state))),
			sizeof(state));
		assert_memory_equal(&state, rk_actor_state(whole->actor[i]), sizeof(state));
	}
	free(out);
}

/* Kill it some snapshots later, at any moment; or it ends. Returns its status. */
static int kill_after_a_while(pid_t child, const uint32_t *puts, uint64_t *random)
{
	uint32_t until = __atomic_load_n(puts, __ATOMIC_RELAXED) + (uint32_t)aid_below(random, 8);
	int status;

	while (__atomic_load_n(puts, __ATOMIC_RELAXED) < until) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(50);
	}
	usleep((useconds_t)aid_below(random, 2000));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void after_a_kill_it_goes_on_as_if_nothing_had_been(void **unused)
{
	uint32_t *puts =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t random = aid_choose_seed(5);
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct pipeline whole;
	int file = fileno(tmpfile()), lives = 0, restored = 0, status;

	(void)unused;
	aid_folder(folder);
	do {
		pid_t child = fork();

		if (!child)
			_exit(live(folder, file, puts));
		restored += *puts > 0;
		if (lives++ < KILLS)
			status = kill_after_a_while(child, puts, &random);
		else
			assert_int_equal(waitpid(child, &status, 0), child);
	} while (!WIFEXITED(status));
	assert_int_equal(status, 0);
	print_message("# %d lives, %d of them from a snapshot, %u snapshots\n", lives, restored,
		      *puts);
	assert_true(restored > 0);
	make_pipeline(&whole, MESSAGES, RING_SLOTS);
	begin_load(&whole);
	end_load(&whole);
	expect_what_was_kept(file, &whole);
	close_pipeline(&whole);
	munmap(puts, 4096);
	aid_remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(after_a_kill_it_goes_on_as_if_nothing_had_been,
				       nothing_is_left_open),
		cmocka_unit_test_setup(snapshots_of_a_pipeline_lead_to_the_same_end,
				       nothing_is_left_open),
		cmocka_unit_test_setup(also_with_long_rings, nothing_is_left_open),
		cmocka_unit_test_setup(messages_that_go_round_are_in_flight_once,
				       nothing_is_left_open),
		cmocka_unit_test_setup(groups_that_are_none_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(a_snapshot_that_comes_too_late_is_given_up,
				       nothing_is_left_open),
		cmocka_unit_test_setup(markers_from_outside_mean_nothing, nothing_is_left_open),
		cmocka_unit_test_setup(restores_that_do_not_fit_are_refused, nothing_is_left_open),
		cmocka_unit_test_setup(arguments_outlive_a_snapshot, nothing_is_left_open),
	};

	aid_watchdog(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
