/* SPDX-License-Identifier: MIT */
/*
 * supervisor_aid.h - what the tests of supervisors share: a chain of stages that a thread feeds,
 * with words in between that one stage is the victim of; and what is told of it.
 */
#ifndef SUPERVISOR_AID_H
#define SUPERVISOR_AID_H

#include "actor_aid.h"

#include <signal.h>

enum {
	STAGES = 4,
	NOBODY = STAGES,
	TAIL = 4000, /* good words at the end: more than all rings and stages hold */
};

/* --- A stage: sends on all but the messages that it is the victim of --- */

struct stage_state {
	uint64_t stage;
	uint64_t *bad_starts; /* so many times its RK_MSG_START traps */
	uint64_t handled;
};

AID void stage(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct stage_state *s = state;
	const uint64_t *words = (const uint64_t *)rk_msg_payload(msg);
	const volatile uint64_t *never = &s->stage;

	if (msg->type == RK_MSG_START) {
		s->stage = words[0];
		s->bad_starts = (uint64_t *)(uintptr_t)words[1];
		if (s->bad_starts && *s->bad_starts && (*s->bad_starts)--)
			__builtin_trap();
	}
	if (msg->type < RK_MSG_PACKET)
		return;
	if (words[1] == s->stage)
		__builtin_trap();
	while (msg->type == TEST_SPIN && *never != STAGES)
		;
	s->handled++;
	rk_send(ctx, 0, msg->type, msg->tag, words, 2 * sizeof(*words));
}

static const char *const stage_args[] = {"stage", "bad_starts", NULL};
static const struct rk_actor_type stage_type = {.name = "stage",
						.summary = "",
						.handle = stage,
						.state_bytes = sizeof(struct stage_state),
						.args = stage_args};

/* --- A chain of stages, a thread that feeds it, and what arrives --- */

struct chain {
	struct rk_runtime *runtime;
	struct rk_actor *actor[STAGES];
	unsigned int stages;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t seed, count, bad; /* so many of @count words are bad */
	unsigned int first_victim, victims;
	uint64_t sent_bad[STAGES + 1];
	pthread_t feeding;
};

AID struct rk_actor *spawn_stage(struct rk_runtime *runtime, uint64_t number, bool dormant,
				 uint64_t *bad_starts)
{
	const uint64_t args[] = {number, (uintptr_t)bad_starts};
	const struct rk_actor_opts opts = {.size = sizeof(opts),
					   .worker = RK_ANY_WORKER,
					   .args = args,
					   .arg_count = 2,
					   .dormant = dormant};
	struct rk_actor *actor;

	ok(rk_actor_spawn(&actor, runtime, &stage_type, &opts));
	return actor;
}

AID void open_chain(struct chain *chain, unsigned int workers, unsigned int stages,
		    uint64_t capacity)
{
	const struct rk_link_opts opts = slots(capacity);

	*chain = (struct chain){.runtime = open_guarded(workers), .stages = stages};
	for (unsigned int i = 0; i < stages; i++) {
		chain->actor[i] = spawn_stage(chain->runtime, i, false, NULL);
		if (i)
			ok(rk_link_actors(NULL, chain->actor[i - 1], chain->actor[i], &opts));
	}
	ok(rk_link_host_out(&chain->rx, chain->actor[stages - 1], &opts));
	ok(rk_link_host_in(&chain->tx, chain->actor[0], &opts));
}

/* Who is the victim of word @i: the same for who sends and who receives. */
AID uint64_t victim_of(const struct chain *chain, uint64_t *random, uint64_t i)
{
	uint64_t left = chain->count - TAIL - i, used = 0;

	if (i >= chain->count - TAIL)
		return NOBODY;
	for (unsigned int v = 0; v < STAGES; v++)
		used += chain->sent_bad[v];
	if (aid_below(random, left) >= chain->bad - used)
		return NOBODY;
	return chain->first_victim + aid_below(random, chain->victims);
}

AID void *feed(void *argument)
{
	struct chain *chain = argument;
	uint64_t random = chain->seed;

	for (uint64_t i = 0; i < chain->count; i++) {
		uint64_t victim = victim_of(chain, &random, i);

		chain->sent_bad[victim]++;
		send_words(chain->tx, TEST_ADD, (uint32_t)i, i, victim);
	}
	finish_sending(chain->tx);
	return NULL;
}

AID void begin_feeding(struct chain *chain, uint64_t count, uint64_t bad, unsigned int first_victim,
		       unsigned int victims)
{
	chain->seed = aid_choose_seed(7);
	chain->count = count;
	chain->bad = bad;
	chain->first_victim = first_victim;
	chain->victims = victims;
	pthread_create(&chain->feeding, NULL, feed, chain);
}

/* All good words, each once, in their order. */
AID void expect_the_good(struct chain *chain)
{
	struct chain again = {.count = chain->count,
			      .bad = chain->bad,
			      .first_victim = chain->first_victim,
			      .victims = chain->victims};
	uint64_t random = chain->seed;
	struct rk_msg msg;

	for (uint64_t i = 0; i < chain->count; i++) {
		uint64_t victim = victim_of(&again, &random, i);

		again.sent_bad[victim]++;
		if (victim != NOBODY)
			continue;
		assert_true(receive(chain->rx, &msg, 1));
		assert_int_equal(msg.tag, (uint32_t)i);
		assert_int_equal(word_of(&msg), i);
	}
	assert_false(receive(chain->rx, &msg, 1));
	pthread_join(chain->feeding, NULL);
}

AID void send_bad(struct chain *chain, uint64_t victim, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		send_words(chain->tx, TEST_ADD, 0, 0, victim);
	chain->sent_bad[victim] += times;
	chain->bad += times;
}

AID void expect_word(struct chain *chain, uint64_t word)
{
	struct rk_msg msg;

	send_words(chain->tx, TEST_ADD, 0, word, NOBODY);
	assert_true(receive(chain->rx, &msg, 1));
	assert_int_equal(word_of(&msg), word);
}

/* --- Supervisors, and what they tell --- */

struct told {
	uint64_t count[RK_NEWS_GAVE_UP + 1];
	uint64_t lost, forgotten[STAGES];
	uint64_t failed[STAGES];
	int signal;
	const struct chain *chain;
};

AID void note(void *user, const struct rk_supervisor_event *event)
{
	struct told *told = user;

	__atomic_fetch_add(&told->count[event->news], 1, __ATOMIC_RELAXED);
	told->lost += event->lost;
	if (event->news == RK_NEWS_FAILED)
		told->signal = event->signal;
	for (unsigned int i = 0; told->chain && i < told->chain->stages; i++)
		if (told->chain->actor[i] == event->actor) {
			told->forgotten[i] += event->forgotten;
			told->failed[i] += event->news == RK_NEWS_FAILED;
		}
}

AID uint64_t count_of(const struct told *told, enum rk_supervisor_news news)
{
	return __atomic_load_n(&told->count[news], __ATOMIC_RELAXED);
}

AID struct rk_supervisor *supervise(struct chain *chain, struct rk_supervisor_opts opts,
				    struct told *told, enum rk_restart restart)
{
	const struct rk_child_opts child = {
		.size = sizeof(child), .restart = restart, .copy_ns = 200000};
	struct rk_supervisor *supervisor;

	*told = (struct told){.chain = chain};
	opts.size = sizeof(opts);
	opts.event = note;
	opts.user = told;
	ok(rk_supervisor_open(&supervisor, chain->runtime, &opts));
	for (unsigned int i = 0; i < chain->stages; i++)
		ok(rk_supervisor_add(supervisor, chain->actor[i], &child));
	return supervisor;
}

AID struct rk_supervisor_info ask(struct rk_supervisor *supervisor)
{
	struct rk_supervisor_info info;

	rk_supervisor_info(supervisor, &info);
	return info;
}

/* To the last message: what came, what failed calls cost, and what the states know. */
AID void expect_balance(struct chain *chain, const struct told *told)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < chain->stages; i++) {
		const struct rk_actor_info info = info_of(chain->actor[i]);
		const struct stage_state *state = rk_actor_state(chain->actor[i]);

		assert_int_equal(info.state, RK_ACTOR_STOPPED);
		assert_int_equal(info.failures, chain->sent_bad[i]);
		assert_int_equal(info.failed_messages, chain->sent_bad[i]);
		assert_int_equal(told->failed[i], chain->sent_bad[i]);
		assert_int_equal(info.received, info.sent + info.failed_messages);
		assert_int_equal(dropped(&info), 0);
		assert_int_equal(state->handled + told->forgotten[i], info.sent);
		lost += info.failed_messages;
	}
	assert_int_equal(told->lost, lost);
	assert_int_equal(lost, chain->bad);
}

#endif
