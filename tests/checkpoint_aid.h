/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_aid.h - a pipeline whose every step depends on all that came before, the threads that
 * feed it and take from it, and making its outer links anew after a restore.
 */
#ifndef CHECKPOINT_AID_H
#define CHECKPOINT_AID_H

#include "actor_aid.h"
#include "checkpoint_handlers.h"
#include "snapshot_aid.h"

#include <inttypes.h>
#include <sched.h>

enum { MOST_ACTORS = 5, RING_SLOTS = 8, MESSAGES = 4000 };

/* --- The pipeline: one -> split -> left and right -> join -> out, every step with a memory --- */

RK_SOURCE(checkpoint_source, "tests/checkpoint_handlers.h");

#define STEP_TYPE(of)                                                                             \
	{.name = #of, .summary = "", .handle = of, .source = checkpoint_source, .function = #of, \
	 .state_bytes = sizeof(struct step_state)}

static const struct rk_actor_type step_type __attribute__((unused)) = STEP_TYPE(step);
static const struct rk_actor_type split_type __attribute__((unused)) = STEP_TYPE(split);
static const struct rk_actor_type join_type __attribute__((unused)) = STEP_TYPE(join);
static const struct rk_actor_type batch_step_type
	__attribute__((unused)) = {.name = "batch_step",
				   .summary = "",
				   .handle = step,
				   .batch = step_batch,
				   .source = checkpoint_source,
				   .function = "step",
				   .batch_function = "step_batch",
				   .state_bytes = sizeof(struct step_state)};

static const struct rk_actor_type *const types[] = {&step_type, &batch_step_type, &split_type,
						    &join_type, &relay_type};

/* Where the actors of a group run: bit i of @gpus: actor i on a GPU; others on CPUs. */
struct places {
	uint32_t gpus;
	enum rk_group group;
};

/* Where the next of them is to go. */
AID void place_next(const struct places *at, int *placed, struct rk_actor_opts *with)
{
	with->backend = at->gpus >> (*placed)++ & 1 ? RK_BACKEND_CUDA : RK_BACKEND_CPU;
	with->group = with->backend == RK_BACKEND_CUDA ? at->group : RK_GROUP_WARP;
}

/* One message that came out. */
struct output {
	uint32_t tag;
	uint64_t value;
};

struct pipeline {
	struct rk_runtime *runtime;
	struct places at;
	int placed; /* actors, so far */
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

AID void *feed(void *argument)
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

AID void *take_out(void *argument)
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

AID uint64_t outs_of(const struct pipeline *p)
{
	return __atomic_load_n(&p->outs, __ATOMIC_ACQUIRE); /* pairs with take_out() */
}

AID bool is_over(const struct pipeline *p)
{
	return __atomic_load_n(&p->over, __ATOMIC_ACQUIRE); /* pairs with take_out() */
}

AID void open_pipeline_at(struct pipeline *p, const struct places *at, uint64_t count)
{
	*p = (struct pipeline){.at = *at, .count = count, .file = -1};
	p->out = calloc(count, sizeof(*p->out));
	p->runtime = open_runtime(2, 0);
}

AID void make_pipeline_at(struct pipeline *p, const struct places *at, uint64_t count,
			  uint64_t capacity)
{
	const struct rk_actor_type *const kind[] = {&step_type, &split_type, &step_type,
						    &batch_step_type, &join_type};
	static const int from[] = {0, 1, 1, 2, 3}, to[] = {1, 2, 3, 4, 4};
	const struct rk_link_opts opts = slots(capacity);

	open_pipeline_at(p, at, count);
	for (int i = 0; i < MOST_ACTORS; i++) {
		struct rk_actor_opts with = {.size = sizeof(with), .worker = RK_ANY_WORKER};

		place_next(&p->at, &p->placed, &with);
		ok(rk_actor_spawn(&p->actor[i], p->runtime, kind[i], &with));
	}
	for (int i = 0; i < MOST_ACTORS; i++)
		ok(rk_link_actors(NULL, p->actor[from[i]], p->actor[to[i]], &opts));
	ok(rk_link_host_out(&p->rx, p->actor[4], &opts));
	ok(rk_link_host_in(&p->tx, p->actor[0], &opts));
}

static const struct places all_on_cpus __attribute__((unused));

AID void open_pipeline(struct pipeline *p, uint64_t count)
{
	open_pipeline_at(p, &all_on_cpus, count);
}

AID void make_pipeline(struct pipeline *p, uint64_t count, uint64_t capacity)
{
	make_pipeline_at(p, &all_on_cpus, count, capacity);
}

AID void begin_load(struct pipeline *p)
{
	pthread_create(&p->feeding, NULL, feed, p);
	pthread_create(&p->taking, NULL, take_out, p);
}

AID void end_load(struct pipeline *p)
{
	pthread_join(p->feeding, NULL);
	pthread_join(p->taking, NULL);
	assert_int_equal(p->outs, p->count);
	ok(rk_runtime_wait(p->runtime, LONG_NS));
}

AID void close_pipeline(struct pipeline *p)
{
	close_runtime(p->runtime);
	free(p->out);
}

AID int make_outer_link(void *argument, const struct rk_snapshot_link *link, struct rk_actor *from,
			struct rk_actor *to)
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

AID void place_again(void *argument, const struct rk_snapshot_actor *actor,
		     struct rk_actor_opts *with)
{
	struct pipeline *p = argument;

	(void)actor;
	place_next(&p->at, &p->placed, with);
}

AID struct rk_restore_opts restoring(struct pipeline *p)
{
	return (struct rk_restore_opts){.size = sizeof(struct rk_restore_opts),
					.types = types,
					.type_count = sizeof(types) / sizeof(types[0]),
					.timeout_ns = LONG_NS,
					.join = make_outer_link,
					.argument = p,
					.place = place_again};
}

AID int by_tag(const void *left, const void *right)
{
	const struct output *a = left, *b = right;

	return a->tag < b->tag ? -1 : a->tag > b->tag;
}

AID void expect_same_outputs(struct output *some, struct output *others, uint64_t count)
{
	qsort(some, count, sizeof(*some), by_tag);
	qsort(others, count, sizeof(*others), by_tag);
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(some[i].tag, i);
		assert_int_equal(others[i].tag, i);
		assert_int_equal(some[i].value, others[i].value);
	}
}

#endif
