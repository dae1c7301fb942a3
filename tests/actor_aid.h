/* SPDX-License-Identifier: MIT */
/*
 * actor_aid.h - what the tests of actors share: types whose handlers every backend runs, where they
 * run, and the host's ends of their rings.
 */
#ifndef ACTOR_AID_H
#define ACTOR_AID_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ringkernel.h"
#include "actor_handlers.h"
#include "ring_aid.h"
#include "ring/rk_codec.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define SECOND_NS 1000000000ULL
#define LONG_NS (60 * SECOND_NS)

RK_SOURCE(test_source, "tests/actor_handlers.h");

static const char *const relay_args[] = {"add", "other", NULL};
static const struct rk_actor_type relay_type = {
	.name = "relay",
	.summary = "sends on",
	.handle = test_relay,
	.source = test_source,
	.function = "test_relay",
	.state_bytes = sizeof(struct test_state),
	.args = relay_args,
};
static const struct rk_actor_type batch_type __attribute__((unused)) = {
	.name = "relay_batch",
	.summary = "sends many on",
	.handle = test_relay,
	.batch = test_relay_batch,
	.source = test_source,
	.function = "test_relay",
	.batch_function = "test_relay_batch",
	.state_bytes = sizeof(struct test_state),
	.args = relay_args,
};

/* Where actors run. */
struct placing {
	const struct rk_actor_type *type;
	enum rk_backend backend;
	enum rk_group group;
	int gpu;
};

/* The same place, with the handler that takes one message at a time: it alone knows all types. */
static inline __attribute__((unused)) struct placing plain(void **state)
{
	struct placing on = *(const struct placing *)*state;

	on.type = &relay_type;
	return on;
}

/* The race detector holds signals back: in a loop without calls for ever, elsewhere for long. */
#ifdef __SANITIZE_THREAD__
#define SIGNALS_WAIT 1
#else
#define SIGNALS_WAIT 0
#endif

/* --- Help --- */

AID void ok(int result)
{
	if (result)
		fail_msg("%d: %s", result, rk_errmsg());
}

/* cmocka prints no reason. */
AID void skip_because(const char *reason)
{
	print_message("# %s\n", reason);
	skip();
}

/* A test that fails leaves its runtime; on a GPU the next would then wait for it for ever. */
static struct rk_runtime *left_open;

/* For cmocka's setup. */
AID int nothing_is_left_open(void **state)
{
	(void)state;
	if (left_open)
		print_message("# not run: an earlier test has left a runtime open\n");
	return left_open ? -1 : 0;
}

AID struct rk_runtime *open_blocks(unsigned int workers, uint32_t spin_looks, unsigned int blocks)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts),
					     .workers = workers,
					     .spin_looks = spin_looks,
					     .gpu_blocks = blocks};

	ok(rk_runtime_open(&left_open, &opts));
	return left_open;
}

AID struct rk_runtime *open_runtime(unsigned int workers, uint32_t spin_looks)
{
	return open_blocks(workers, spin_looks, 8);
}

AID struct rk_runtime *open_guarded(unsigned int workers)
{
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = workers, .guard = true};

	static struct sigaction guards;

	ok(rk_runtime_open(&left_open, &opts));
	/* A process gives its signals to the guard once, and cmocka takes them back for each test.
	 */
	if (!guards.sa_sigaction)
		sigaction(SIGILL, NULL, &guards);
	else
		sigaction(SIGILL, &guards, NULL);
	return left_open;
}

AID void close_runtime(struct rk_runtime *runtime)
{
	left_open = NULL;
	ok(rk_runtime_close(runtime));
}

AID struct rk_actor_opts opts_of(const struct placing *on, int worker)
{
	return (struct rk_actor_opts){.size = sizeof(struct rk_actor_opts),
				      .worker = worker,
				      .backend = on->backend,
				      .group = on->group,
				      .gpu = on->gpu};
}

AID struct rk_actor *spawn(struct rk_runtime *runtime, const struct placing *on, int worker,
			   uint64_t add)
{
	struct rk_actor_opts opts = opts_of(on, worker);
	struct rk_actor *actor;

	opts.args = &add;
	opts.arg_count = 1;
	ok(rk_actor_spawn(&actor, runtime, on->type, &opts));
	return actor;
}

AID struct rk_link_opts slots(uint64_t count)
{
	return (struct rk_link_opts){
		.size = sizeof(struct rk_link_opts), .slots = count, .worker = RK_ANY_WORKER};
}

AID void send_msg(struct rk_ring_tx *tx, const struct rk_msg *msg)
{
	int sent;

	while (!(sent = rk_ring_send(tx, msg)))
		assert_int_equal(rk_ring_wait_send(tx, msg->slots, LONG_NS), 1);
	assert_int_equal(sent, msg->slots);
}

AID void send_words(struct rk_ring_tx *tx, uint16_t type, uint32_t tag, uint64_t word,
		    uint64_t more)
{
	struct rk_msg msg = {.type = type, .slots = 1, .tag = tag};
	const uint64_t body[2] = {word, more};

	memcpy(msg.body, body, sizeof(body));
	send_msg(tx, &msg);
}

AID void send_word(struct rk_ring_tx *tx, uint32_t tag, uint64_t word)
{
	send_words(tx, TEST_ADD, tag, word, 0);
}

AID void finish_sending(struct rk_ring_tx *tx)
{
	while (!rk_ring_close(tx, RK_CLOSE_DONE))
		assert_int_equal(rk_ring_wait_send(tx, 1, LONG_NS), 1);
}

/* One message; false when the ring is closed. */
AID bool receive(struct rk_ring_rx *rx, struct rk_msg *msg, uint32_t cells)
{
	for (;;) {
		int got = rk_ring_recv(rx, msg, cells);

		assert_true(got >= 0);
		if (got)
			return msg->type != RK_MSG_CLOSED;
		if (rx->closed)
			return false;
		assert_int_not_equal(rk_ring_wait_recv(rx, LONG_NS), 0);
	}
}

AID uint64_t word_of(const struct rk_msg *msg)
{
	uint64_t word;

	memcpy(&word, rk_msg_payload(msg), sizeof(word));
	return word;
}

/* Now and then a pause, of which the other side must not make anything. */
AID void pause_at_random(uint64_t *random)
{
	if (aid_below(random, 16) == 0)
		usleep((useconds_t)aid_below(random, 300));
}

/* A host thread that sends @count words, pausing at random if @pauses. */
struct sender {
	struct rk_ring_tx *tx;
	uint64_t count;
	bool pauses;
};

AID void *send_all(void *argument)
{
	struct sender *sender = argument;
	uint64_t random = aid_choose_seed(0x5eed);

	for (uint64_t i = 0; i < sender->count; i++) {
		send_word(sender->tx, (uint32_t)i, i * 3);
		if (sender->pauses)
			pause_at_random(&random);
	}
	finish_sending(sender->tx);
	return NULL;
}

/* Receive until closed; check that word i is i * 3 + @add. Returns how many. */
AID uint64_t receive_all(struct rk_ring_rx *rx, uint64_t add, bool pauses)
{
	uint64_t count = 0, random = 1;
	struct rk_msg msg;

	while (receive(rx, &msg, 1)) {
		assert_int_equal(msg.tag, (uint32_t)count);
		assert_int_equal(word_of(&msg), count * 3 + add);
		count++;
		if (pauses)
			pause_at_random(&random);
	}
	return count;
}

AID struct rk_actor_info info_of(const struct rk_actor *actor)
{
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	return info;
}

/* The same between two messages, when all that was done is counted. */
AID struct rk_actor_info info_of_settled(struct rk_actor *actor)
{
	ok(rk_actor_pause(actor, LONG_NS));
	ok(rk_actor_start(actor, LONG_NS));
	return info_of(actor);
}

AID uint64_t dropped(const struct rk_actor_info *info)
{
	return info->dropped_closed + info->dropped_bad + info->dropped_stopped +
	       info->dropped_no_outbox + info->dropped_no_memory + info->dropped_full +
	       info->dropped_old;
}

#endif
