/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_bodies.h - snapshots of actors under load, and going on from them, on any backend and
 * from one to another. Each body takes, as its cmocka state, where actors run before and after.
 */
#ifndef CHECKPOINT_BODIES_H
#define CHECKPOINT_BODIES_H

#include "checkpoint_aid.h"

/* Where a snapshot is taken, and where a restored one goes on. */
struct tour {
	struct places first;
	struct places then;
};

/* Snapshots of a run are ten; of all, a hundred where that is quick. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { RUNS = 1, SNAPSHOTS = 10 };
#else
enum { RUNS = 10, SNAPSHOTS = 10 };
#endif

enum { MOST_RUNS = 40 };

/* A runtime with GPUs takes half a second to open. */
AID int runs_of(const struct tour *tour)
{
	return tour->first.gpus || tour->then.gpus ? 1 : RUNS;
}

AID int snapshots_of(const struct tour *tour)
{
	return tour->first.gpus || tour->then.gpus ? 4 : SNAPSHOTS;
}

/* What it left is what a run that nothing disturbed leaves. */
AID void expect_same(const struct pipeline *p, const struct pipeline *whole)
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
AID void restore_and_replay(const struct tour *tour, const struct rk_snapshot *snapshot,
			    const struct pipeline *whole)
{
	struct rk_restore_opts opts;
	struct pipeline p;

	open_pipeline_at(&p, &tour->then, whole->count);
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

AID uint64_t in_flight(const struct rk_snapshot *snapshot)
{
	uint64_t cells = 0;

	for (uint32_t i = 0; i < snapshot->links; i++)
		cells += snapshot->link[i].count;
	return cells;
}

/* From worker to worker, until all is over. */
AID void *move_about(void *argument)
{
	struct pipeline *p = argument;
	uint64_t random = 6;

	while (!is_over(p)) {
		uint64_t which = aid_below(&random, MOST_ACTORS);
		int to = (int)aid_below(&random, 2), result;

		result = p->at.gpus >> which & 1 ?
				 rk_actor_reseat(p->actor[which], RK_WHERE_ANY, NULL, LONG_NS) :
				 rk_actor_move(p->actor[which], to, LONG_NS);

		if (result != -EPIPE)
			ok(result);
		usleep((useconds_t)aid_below(&random, 200));
	}
	return NULL;
}

/* Taken at any moment, a snapshot leads to the same end. */
AID void snapshots_lead_to_the_same_end(const struct tour *tour, uint64_t capacity,
					uint64_t messages, bool moves)
{
	/* Those on CPUs find something in flight, those on GPUs never. */
	const bool all_cpus = !tour->first.gpus;
	const bool all_gpus = tour->first.gpus == (1U << MOST_ACTORS) - 1;
	uint64_t random = aid_choose_seed(capacity), cells = 0, between = 0, taken = 0;

	/* A loaded machine may let few of them come amid the messages: then there are more. */
	for (int run = 0; run < runs_of(tour) ||
			  (run < MOST_RUNS && !((cells || !all_cpus) && between));
	     run++) {
		struct rk_snapshot *snapshot[SNAPSHOTS];
		struct pipeline whole;
		pthread_t moving;
		int count = 0;

		make_pipeline_at(&whole, &tour->first, messages, capacity);
		whole.steps = (uint32_t)snapshots_of(tour);
		begin_load(&whole);
		if (moves)
			pthread_create(&moving, NULL, move_about, &whole);
		for (; count < snapshots_of(tour); count++) {
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
			restore_and_replay(tour, snapshot[i], &whole);
			rk_snapshot_free(snapshot[i]);
		}
		taken += (uint64_t)count;
		close_pipeline(&whole);
	}
	print_message("# %" PRIu64 " snapshots, %" PRIu64 " between, %" PRIu64 " cells in flight\n",
		      taken, between, cells);
	assert_true(between > 0);
	assert_true(cells > 0 || !all_cpus);
	assert_true(cells == 0 || !all_gpus);
}

AID void snapshots_of_a_pipeline_lead_to_the_same_end(void **state)
{
	snapshots_lead_to_the_same_end(*state, RING_SLOTS, 500, false);
}

AID void also_with_long_rings(void **state)
{
	snapshots_lead_to_the_same_end(*state, 1024, MESSAGES, false);
}

AID void also_while_actors_move(void **state)
{
	snapshots_lead_to_the_same_end(*state, 64, 1000, true);
}

/* --- A ring of actors, in which messages go round --- */

enum { TOKENS = 64, HOPS = 200 };

static const struct rk_actor_type hop_type = {
	.name = "hop", .summary = "", .handle = hop, .source = checkpoint_source, .function = "hop",
	.state_bytes = sizeof(struct hop_state)};

struct round {
	struct rk_runtime *runtime;
	struct places at;
	int placed;
	struct rk_actor *actor[3];
	struct rk_ring_rx *rx[3];
	struct rk_ring_tx *tx;
	int outs;
};

AID int make_round_link(void *argument, const struct rk_snapshot_link *link,
			   struct rk_actor *from, struct rk_actor *to)
{
	struct round *round = argument;
	const struct rk_link_opts opts = slots(link->slots);

	return from ? rk_link_host_out(&round->rx[round->outs++], from, &opts)
		    : rk_link_host_in(&round->tx, to, &opts);
}

AID void place_hop(void *argument, const struct rk_snapshot_actor *actor, struct rk_actor_opts *with)
{
	struct round *round = argument;

	(void)actor;
	place_next(&round->at, &round->placed, with);
}

AID void make_round(struct round *round, const struct places *at, uint64_t capacity)
{
	const struct rk_link_opts opts = slots(capacity), wide = slots(2 * TOKENS);

	*round = (struct round){.runtime = open_runtime(2, 0), .at = *at};
	for (int i = 0; i < 3; i++) {
		struct rk_actor_opts with = {.size = sizeof(with), .worker = RK_ANY_WORKER};

		place_hop(round, NULL, &with);
		ok(rk_actor_spawn(&round->actor[i], round->runtime, &hop_type, &with));
	}
	for (int i = 0; i < 3; i++) {
		ok(rk_link_actors(NULL, round->actor[i], round->actor[(i + 1) % 3], &opts));
		ok(rk_link_host_out(&round->rx[i], round->actor[i], &wide));
	}
	ok(rk_link_host_in(&round->tx, round->actor[0], &wide));
}

/* Every token that is not among @seen comes out, once. */
AID void expect_tokens(struct round *round, uint8_t seen[TOKENS])
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
AID void note_past(struct rk_msg got[3][TOKENS], const struct rk_snapshot *snapshot,
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

AID void messages_that_go_round_are_in_flight_once(void **state)
{
	const struct tour *tour = *state;
	static const struct rk_actor_type *const hop_types[] = {&hop_type};
	uint64_t random = aid_choose_seed(77), cells = 0;

	for (int i = 0; i < 2 * runs_of(tour) + 2; i++) {
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
					       .argument = &again,
					       .place = place_hop};

		make_round(&round, &tour->first, 128);
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
		again = (struct round){.runtime = open_runtime(2, 0), .at = tour->then};
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

AID void refused(int result, int with, const char *part)
{
	assert_int_equal(result, with);
	if (!strstr(rk_errmsg(), part))
		fail_msg("\"%s\" says nothing of \"%s\"", rk_errmsg(), part);
}

/* From outside, a marker is a message that means nothing. */
AID void markers_from_outside_mean_nothing(void **state)
{
	const struct tour *tour = *state;
	struct rk_msg marker = {.type = RK_MSG_CHECKPOINT, .slots = 1};
	struct rk_snapshot *snapshot;
	struct pipeline p;

	make_pipeline_at(&p, &tour->first, 1000, 16);
	for (marker.tag = 0; marker.tag < 5; marker.tag++)
		send_msg(p.tx, &marker);
	ok(rk_snapshot_take(&snapshot, p.actor, MOST_ACTORS, LONG_NS));
	rk_snapshot_free(snapshot);
	begin_load(&p);
	end_load(&p);
	close_pipeline(&p);
}

static uint32_t withheld __attribute__((unused));

AID void hold(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)ctx;
	(void)state;
	while (msg->type >= RK_MSG_PACKET && __atomic_load_n(&withheld, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static const struct rk_actor_type hold_type
	__attribute__((unused)) = {.name = "hold", .summary = "", .handle = hold};

#define CHECKPOINT_BODIES(X)                               \
	X(snapshots_of_a_pipeline_lead_to_the_same_end)    \
	X(also_with_long_rings)                            \
	X(also_while_actors_move)                          \
	X(messages_that_go_round_are_in_flight_once)       \
	X(markers_from_outside_mean_nothing)

#endif
