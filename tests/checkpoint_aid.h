/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_aid.h - a pipeline whose every step depends on all that came before, the threads that
 * feed it and take from it, and making its outer links anew after a restore.
 */
#ifndef CHECKPOINT_AID_H
#define CHECKPOINT_AID_H

#include "actor_aid.h"
#include "snapshot_aid.h"

#include <inttypes.h>
#include <sched.h>

enum { MOST_ACTORS = 5, RING_SLOTS = 8, MESSAGES = 4000 };

/* --- The pipeline: one -> split -> left and right -> join -> out, every step with a memory --- */

struct step_state {
	uint64_t count;
	uint64_t sum; /* of values: of the same messages the same, in whatever order */
	uint64_t last;
	uint64_t started;
	uint64_t history[1024]; /* by tag: changes a page here, a page there */
};

AID void note(struct step_state *s, uint32_t tag, uint64_t value)
{
	s->count++;
	s->sum += value;
	s->history[tag % 1024] += value;
}

/* What goes out depends on all that came in before: nothing may be missing, doubled or swapped. */
AID void step(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
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
AID void split(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
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
AID void join(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct step_state *s = state;
	uint64_t value = msg->type < RK_MSG_PACKET ? 0 : test_word(msg, 0);

	s->started += msg->type == RK_MSG_START;
	if (msg->type < RK_MSG_PACKET)
		return;
	note(s, msg->tag, value);
	rk_send(ctx, 0, RK_MSG_USER, msg->tag, &value, sizeof(value));
}

AID void step_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		step(ctx, state, &msgs[i]);
}

static const struct rk_actor_type step_type __attribute__((unused)) = {
	.name = "step", .summary = "", .handle = step, .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type batch_step_type
	__attribute__((unused)) = {.name = "batch_step",
				   .summary = "",
				   .handle = step,
				   .batch = step_batch,
				   .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type split_type __attribute__((unused)) = {
	.name = "split", .summary = "", .handle = split, .state_bytes = sizeof(struct step_state)};
static const struct rk_actor_type join_type __attribute__((unused)) = {
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

AID void open_pipeline(struct pipeline *p, uint64_t count)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 2};

	*p = (struct pipeline){.count = count, .file = -1};
	p->out = calloc(count, sizeof(*p->out));
	ok(rk_runtime_open(&left_open, &opts));
	p->runtime = left_open;
}

AID void make_pipeline(struct pipeline *p, uint64_t count, uint64_t capacity)
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

AID struct rk_restore_opts restoring(struct pipeline *p)
{
	return (struct rk_restore_opts){.size = sizeof(struct rk_restore_opts),
					.types = types,
					.type_count = sizeof(types) / sizeof(types[0]),
					.timeout_ns = LONG_NS,
					.join = make_outer_link,
					.argument = p};
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
