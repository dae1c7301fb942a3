/* SPDX-License-Identifier: MIT */
/*
 * life_bodies.h - the life of actors as it is on every backend, under load: dormant, paused,
 * copied, restarted, killed, orphaned. Nothing is lost, doubled or reordered. Each body takes, as
 * its cmocka state, where its actors run.
 */
#ifndef LIFE_BODIES_H
#define LIFE_BODIES_H

#include "actor_aid.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { LOAD = 20000, TINY_LOAD = 2000 };
#else
enum { LOAD = 100000, TINY_LOAD = 20000 };
#endif

/* An actor with a way in and a way out. */
struct line {
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
};

AID struct line make_line(struct rk_runtime *runtime, const struct placing *on,
			  struct rk_actor_opts opts, uint64_t capacity)
{
	const struct rk_link_opts link = slots(capacity);
	struct line line;

	opts.size = sizeof(opts);
	opts.backend = on->backend;
	opts.group = on->group;
	opts.gpu = on->gpu;
	ok(rk_actor_spawn(&line.actor, runtime, on->type, &opts));
	ok(rk_link_host_out(&line.rx, line.actor, &link));
	ok(rk_link_host_in(&line.tx, line.actor, &link));
	return line;
}

AID void expect_word_of(struct line *line, uint32_t tag, uint64_t word)
{
	struct rk_msg msg;

	assert_true(receive(line->rx, &msg, 1));
	assert_int_equal(msg.tag, tag);
	assert_int_equal(word_of(&msg), word);
}

AID void a_dormant_actor_takes_nothing_before_its_start(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct line line = make_line(runtime, on, (struct rk_actor_opts){.dormant = true}, 64);

	for (uint32_t i = 0; i < 10; i++)
		send_word(line.tx, i, i * 3);
	usleep(10000);
	assert_int_equal(info_of(line.actor).state, RK_ACTOR_DORMANT);
	assert_int_equal(info_of(line.actor).received_slots, 0);
	ok(rk_actor_pause(line.actor, LONG_NS));
	ok(rk_actor_start(line.actor, LONG_NS));
	for (uint32_t i = 0; i < 10; i++)
		expect_word_of(&line, i, i * 3);
	ok(rk_actor_start(line.actor, LONG_NS));
	finish_sending(line.tx);
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(((const struct test_state *)rk_actor_state(line.actor))->started, 1);
	assert_int_equal(rk_actor_start(line.actor, LONG_NS), -EPIPE);
	assert_int_equal(rk_actor_pause(line.actor, LONG_NS), -EPIPE);
	assert_int_equal(rk_actor_restart(line.actor, NULL, LONG_NS), -EPIPE);
	close_runtime(runtime);
}

AID void a_dormant_actor_stops_without_having_started(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct line line = make_line(runtime, on, (struct rk_actor_opts){.dormant = true}, 64);

	ok(rk_actor_stop(line.actor, RK_STOP_DRAIN, LONG_NS));
	assert_int_equal(((const struct test_state *)rk_actor_state(line.actor))->stopped, 0);
	assert_int_equal(info_of(line.actor).state, RK_ACTOR_STOPPED);
	close_runtime(runtime);
}

/* --- Under load: a chain of three, a thread that feeds it, a thread that takes --- */

struct load {
	struct rk_runtime *runtime;
	struct rk_actor *actor[3];
	struct sender sender;
	struct rk_ring_rx *rx;
	pthread_t feeding, taking;
	uint64_t count, taken;
	uint32_t over;
};

AID void *take_all(void *argument)
{
	struct load *load = argument;

	load->taken = receive_all(load->rx, 6, false);
	__atomic_store_n(&load->over, 1, __ATOMIC_RELEASE); /* pairs with is_over() */
	return NULL;
}

AID bool is_over(const struct load *load)
{
	return __atomic_load_n(&load->over, __ATOMIC_ACQUIRE); /* pairs with take_all() */
}

/* @link: between the actors; @outer: with the host. */
AID void begin_load_between(struct load *load, const struct placing *on, struct rk_runtime *runtime,
			    uint64_t count, struct rk_link_opts link, struct rk_link_opts outer,
			    bool pauses)
{
	*load = (struct load){.runtime = runtime, .count = count};
	for (unsigned int i = 0; i < 3; i++) {
		load->actor[i] = spawn(runtime, on, RK_ANY_WORKER, i + 1);
		if (i)
			ok(rk_link_actors(NULL, load->actor[i - 1], load->actor[i], &link));
	}
	ok(rk_link_host_out(&load->rx, load->actor[2], &outer));
	ok(rk_link_host_in(&load->sender.tx, load->actor[0], &outer));
	load->sender.count = count;
	load->sender.pauses = pauses;
	pthread_create(&load->feeding, NULL, send_all, &load->sender);
	pthread_create(&load->taking, NULL, take_all, load);
}

AID void begin_load(struct load *load, const struct placing *on, struct rk_runtime *runtime,
		    uint64_t count, struct rk_link_opts link, bool pauses)
{
	struct rk_link_opts outer = link;

	outer.place = RK_PLACE_NEAREST;
	begin_load_between(load, on, runtime, count, link, outer, pauses);
}

AID void end_load(struct load *load)
{
	pthread_join(load->feeding, NULL);
	pthread_join(load->taking, NULL);
	assert_int_equal(load->taken, load->count);
	ok(rk_runtime_wait(load->runtime, LONG_NS));
	for (int i = 0; i < 3; i++) {
		const struct rk_actor_info info = info_of(load->actor[i]);

		assert_int_equal(info.received, load->count);
		assert_int_equal(info.sent, load->count);
		assert_int_equal(dropped(&info), 0);
	}
}

/* What was asked for was done, or the load was over before it came. */
AID void done_or_over(int result)
{
	if (result != -EPIPE)
		ok(result);
}

AID void pauses_lose_nothing(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct load load;
	uint64_t random = aid_choose_seed(3), pauses = 0;

	begin_load(&load, on, runtime, LOAD, slots(64), false);
	while (!is_over(&load)) {
		struct rk_actor *actor = load.actor[aid_below(&random, 3)];
		int result = rk_actor_pause(actor, LONG_NS);

		done_or_over(result);
		if (!result) {
			const uint64_t before = info_of(actor).received;

			usleep((useconds_t)aid_below(&random, 200));
			assert_int_equal(info_of(actor).received, before);
			pauses++;
		}
		done_or_over(rk_actor_start(actor, LONG_NS));
	}
	end_load(&load);
	assert_true(pauses > 0);
	close_runtime(runtime);
}

/* --- State --- */

AID void a_copy_is_taken_between_two_messages(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct load load;
	struct test_state copy = {0};
	uint64_t last = 0;

	begin_load(&load, on, runtime, LOAD, slots(256), false);
	do {
		ok(rk_actor_copy(load.actor[1], &copy, LONG_NS));
		assert_int_equal(copy.started, 1);
		assert_int_equal(copy.handled, copy.next);
		assert_int_equal(copy.out_of_order, 0);
		assert_true(copy.handled >= last);
		last = copy.handled;
		/* What it sent on last is the message that it counted last; in a batch it notes
		 * none. */
		if (copy.handled && !on->type->batch)
			assert_int_equal(copy.word, (copy.handled - 1) * 3 + 1 + 2);
	} while (!is_over(&load));
	end_load(&load);
	ok(rk_actor_copy(load.actor[1], &copy, LONG_NS));
	assert_int_equal(copy.handled, LOAD);
	close_runtime(runtime);
}

AID void a_restart_begins_anew_and_keeps_what_waits(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(1, 0);
	const uint64_t add = 100;
	struct line line =
		make_line(runtime, on, (struct rk_actor_opts){.args = &add, .arg_count = 1}, 64);
	struct test_state saved = {0};

	for (uint32_t i = 0; i < 5; i++) {
		send_word(line.tx, i, i);
		expect_word_of(&line, i, i + 100);
	}
	ok(rk_actor_pause(line.actor, LONG_NS));
	for (uint32_t i = 0; i < 5; i++)
		send_word(line.tx, i, i);
	ok(rk_actor_restart(line.actor, NULL, LONG_NS));
	for (uint32_t i = 0; i < 5; i++)
		expect_word_of(&line, i, i + 100);
	ok(rk_actor_copy(line.actor, &saved, LONG_NS));
	assert_int_equal(saved.started, 1);
	assert_int_equal(saved.handled, 5);
	/* And once more, as it was before but for the argument. */
	saved.arg[0] = 1000;
	ok(rk_actor_restart(line.actor, &saved, LONG_NS));
	send_word(line.tx, 5, 5);
	expect_word_of(&line, 5, 1005);
	ok(rk_actor_stop(line.actor, RK_STOP_DRAIN, LONG_NS));
	memcpy(&saved, rk_actor_state(line.actor), sizeof(saved));
	assert_int_equal(saved.started, 1);
	assert_int_equal(saved.handled, 6);
	assert_int_equal(saved.out_of_order, 0);
	assert_int_equal(info_of(line.actor).restarts, 2);
	assert_int_equal(info_of(line.actor).received, 11);
	close_runtime(runtime);
}

/* --- The end --- */

AID void a_kill_asks_nobody(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct line line = make_line(runtime, on, (struct rk_actor_opts){.worker = 0}, 4);
	struct rk_actor_info info;
	uint64_t sent = 0;
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1};

	while (sent < 10) {
		msg.tag = (uint32_t)sent;
		sent += (uint64_t)rk_ring_send(line.tx, &msg);
		if (info_of(line.actor).sent == 4 && !rk_ring_tx_free(line.tx))
			break;
	}
	ok(rk_actor_kill(line.actor, LONG_NS));
	info = info_of(line.actor);
	assert_int_equal(info.state, RK_ACTOR_STOPPED);
	assert_int_equal(((const struct test_state *)rk_actor_state(line.actor))->stopped, 0);
	assert_int_equal(info.received, info.sent + info.dropped_stopped);
	while (!line.tx->closed)
		rk_ring_send(line.tx, &msg);
	assert_int_equal(line.tx->closed, RK_CLOSE_STOPPED);
	ok(rk_actor_kill(line.actor, 0));
	close_runtime(runtime);
}

AID void children_stop_after_their_parent(void **state)
{
	const struct placing *on = *state;
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor_opts opts = {.size = sizeof(opts), .worker = RK_ANY_WORKER};
	struct line parent = make_line(runtime, on, opts, 64), child, grandchild;

	opts.parent = parent.actor;
	child = make_line(runtime, on, opts, 64);
	opts.parent = child.actor;
	grandchild = make_line(runtime, on, opts, 64);
	for (uint32_t i = 0; i < 20; i++)
		send_word(grandchild.tx, i, i * 3);
	ok(rk_actor_stop(parent.actor, RK_STOP_DRAIN, LONG_NS));
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(info_of(child.actor).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(grandchild.actor).received, 20);
	opts.parent = child.actor;
	child = make_line(runtime, on, opts, 64);
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(info_of(child.actor).state, RK_ACTOR_STOPPED);
	close_runtime(runtime);
}

#define LIFE_BODIES(X)                                    \
	X(a_dormant_actor_takes_nothing_before_its_start) \
	X(a_dormant_actor_stops_without_having_started)   \
	X(pauses_lose_nothing)                            \
	X(a_copy_is_taken_between_two_messages)           \
	X(a_restart_begins_anew_and_keeps_what_waits)     \
	X(a_kill_asks_nobody)                             \
	X(children_stop_after_their_parent)

#endif
