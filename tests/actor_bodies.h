/* SPDX-License-Identifier: MIT */
/*
 * actor_bodies.h - tests of actors that hold on every backend: each takes, as its cmocka state,
 * where and with which handlers its actors run. Order, content, conservation, back-pressure, stops.
 */
#ifndef ACTOR_BODIES_H
#define ACTOR_BODIES_H

#include "actor_aid.h"

/* --- Chains --- */

/* @actors relays in a row, alternating between two placings, with rings of @capacity slots. */
struct chain {
	const struct placing *on[2];
	unsigned int workers, actors;
	uint64_t capacity, count;
	bool sender_pauses, receiver_pauses;
	uint32_t spin_looks;
};

AID void expect_relayed(struct rk_actor *actor, uint64_t count, uint64_t add)
{
	const struct test_state *state = rk_actor_state(actor);
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	assert_int_equal(info.state, RK_ACTOR_STOPPED);
	assert_int_equal(info.received, count);
	assert_int_equal(info.sent, count);
	assert_int_equal(dropped(&info), 0);
	assert_non_null(state);
	assert_int_equal(state->started, 1);
	assert_int_equal(state->stopped, 1);
	assert_int_equal(state->handled, count);
	assert_int_equal(state->out_of_order, 0);
	assert_int_equal(state->arg[0], add);
	assert_int_equal(state->arg[1], 0);
}

AID void run_chain(const struct chain *chain)
{
	struct rk_runtime *runtime = open_runtime(chain->workers, chain->spin_looks);
	const struct rk_link_opts opts = slots(chain->capacity);
	struct sender sender = {.count = chain->count, .pauses = chain->sender_pauses};
	unsigned int actors = chain->actors;
	struct rk_actor *actor[8];
	struct rk_ring_rx *rx;
	pthread_t thread;

	for (unsigned int i = 0; i < actors; i++) {
		actor[i] = spawn(runtime, chain->on[i % 2], (int)(i % chain->workers), i + 1);
		if (i)
			ok(rk_link_actors(NULL, actor[i - 1], actor[i], &opts));
	}
	ok(rk_link_host_out(&rx, actor[actors - 1], &opts));
	ok(rk_link_host_in(&sender.tx, actor[0], &opts));
	pthread_create(&thread, NULL, send_all, &sender);
	assert_int_equal(receive_all(rx, actors * (actors + 1) / 2, chain->receiver_pauses),
			 chain->count);
	pthread_join(thread, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	for (unsigned int i = 0; i < actors; i++)
		expect_relayed(actor[i], chain->count, i + 1);
	close_runtime(runtime);
}

AID void chain_keeps_order_and_content(void **state)
{
	const struct placing *on = *state;

	run_chain(&(struct chain){{on, on}, 2, 1, 1024, 300000, .spin_looks = 0});
	run_chain(&(struct chain){{on, on}, 2, 3, 64, 100000, .spin_looks = 0});
}

AID void chain_on_one_worker_never_deadlocks_on_tiny_rings(void **state)
{
	const struct placing *on = *state;

	run_chain(&(struct chain){{on, on}, 1, 4, 2, 20000, .spin_looks = 0});
	run_chain(&(struct chain){{on, on}, 1, 8, 4, 5000, .spin_looks = 1});
}

/* One look, then asleep: every pause of the sender finds everybody sleeping. */
AID void sleeping_workers_miss_no_message(void **state)
{
	const struct placing *on = *state;

	run_chain(&(struct chain){{on, on}, 2, 3, 16, 5000, true, false, 1});
}

AID void back_pressure_reaches_through_a_chain_both_ways(void **state)
{
	const struct placing *on = *state;

	run_chain(&(struct chain){{on, on}, 2, 2, 8, 5000, false, true, 0});
	run_chain(&(struct chain){{on, on}, 2, 2, 8, 5000, true, true, 0});
}

/* --- Messages of every length, batches, many inboxes and outboxes --- */

struct lengths {
	struct rk_ring_tx *tx;
	uint64_t count;
};

/* Message @number: length, flags and every byte depend on it. */
AID void make_echo(struct rk_msg *msg, uint32_t most, uint64_t number)
{
	aid_fill(msg, aid_slots(number, most), number);
	msg->type = TEST_ECHO;
}

/* Echoes, and void cells between them, which nobody receives. */
AID void *send_lengths(void *argument)
{
	struct lengths *lengths = argument;
	struct rk_msg *msg = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);

	assert_non_null(msg);
	for (uint64_t i = 0; i < lengths->count; i++) {
		if (i % 11 == 3) {
			msg->type = RK_MSG_PAD;
			msg->flags = 0;
			msg->slots = (uint8_t)(1 + i % lengths->tx->max_slots);
			send_msg(lengths->tx, msg);
		}
		make_echo(msg, lengths->tx->max_slots, i);
		send_msg(lengths->tx, msg);
	}
	finish_sending(lengths->tx);
	free(msg);
	return NULL;
}

AID void echo_lengths(const struct placing *on, uint64_t capacity, uint64_t count)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *actor = spawn(runtime, on, 1, 0);
	struct rk_msg *sent = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);
	struct rk_msg *got = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);
	const struct rk_link_opts opts = slots(capacity);
	struct lengths lengths = {.count = count};
	struct rk_actor_info info;
	struct rk_ring_rx *rx;
	pthread_t thread;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&lengths.tx, actor, &opts));
	pthread_create(&thread, NULL, send_lengths, &lengths);
	for (uint64_t i = 0; i < count; i++) {
		assert_true(receive(rx, got, RK_MSG_MAX_SLOTS));
		make_echo(sent, rx->max_slots, i);
		assert_memory_equal(got, sent, (size_t)sent->slots * RK_CELL_BYTES);
	}
	assert_false(receive(rx, got, RK_MSG_MAX_SLOTS));
	pthread_join(thread, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, count);
	assert_int_equal(info.sent, count);
	assert_int_equal(info.sent_slots, rk_ring_rx_position(rx));
	free(sent);
	free(got);
	close_runtime(runtime);
}

AID void messages_of_every_length_come_back_whole(void **state)
{
	echo_lengths(*state, 4, 3000);
	echo_lengths(*state, 64, 20000);
	echo_lengths(*state, 512, 20000);
}

AID void batches_come_back_whole_and_in_order(void **state)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *actor = spawn(runtime, *state, 1, 7);
	const struct rk_link_opts opts = slots(128);
	uint64_t random = aid_choose_seed(1), sent = 0, received = 0;
	struct rk_msg cells[100];
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	while (received < 200000) {
		uint32_t want = 1 + (uint32_t)aid_below(&random, 100);
		int moved;

		for (uint32_t i = 0; i < want; i++) {
			cells[i] = (struct rk_msg){
				.type = TEST_ADD, .slots = 1, .tag = (uint32_t)(sent + i)};
			memcpy(cells[i].body, &(uint64_t){sent + i}, 8);
		}
		moved = sent < 200000 ? rk_ring_send_batch(tx, cells, want) : 0;
		assert_true(moved >= 0);
		sent += (uint64_t)moved;
		moved = rk_ring_recv_batch(rx, cells, 1 + (uint32_t)aid_below(&random, 100));
		for (int i = 0; i < moved; i++, received++) {
			assert_int_equal(cells[i].tag, (uint32_t)received);
			assert_int_equal(word_of(&cells[i]), received + 7);
		}
		if (!moved)
			assert_true(rk_ring_wait_recv(rx, sent == received ? 0 : LONG_NS) >= 0);
	}
	finish_sending(tx);
	while (receive(rx, cells, 1))
		received++;
	assert_int_equal(received, sent);
	ok(rk_runtime_wait(runtime, LONG_NS));
	expect_relayed(actor, sent, 7);
	close_runtime(runtime);
}

/* Four producers into one actor, which sends to one of four consumers, as each message says. */
AID void many_inboxes_and_outboxes_keep_each_its_order(void **state)
{
	enum { ENDS = 4, EACH = 20000 };
	const struct placing on = plain(state);
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *actor = spawn(runtime, &on, 1, 0);
	const struct rk_link_opts opts = slots(32);
	uint64_t sent[ENDS] = {0}, next[ENDS][ENDS] = {{0}}, received = 0, random = 5;
	struct rk_ring_tx *tx[ENDS];
	struct rk_ring_rx *rx[ENDS];
	struct rk_actor_info info;

	for (int i = 0; i < ENDS; i++) {
		ok(rk_link_host_in(&tx[i], actor, &opts));
		ok(rk_link_host_out(&rx[i], actor, &opts));
	}
	while (received < ENDS * EACH) {
		for (int i = 0; i < ENDS; i++) {
			struct rk_msg msg = {.type = TEST_TO, .slots = 1};
			const uint64_t body[2] = {(uint64_t)i << 32 | sent[i],
						  aid_below(&random, ENDS)};

			memcpy(msg.body, body, sizeof(body));
			if (sent[i] < EACH && rk_ring_send(tx[i], &msg) == 1)
				sent[i]++;
		}
		for (int i = 0; i < ENDS; i++) {
			struct rk_msg msg;

			while (rk_ring_recv(rx[i], &msg, 1) == 1) {
				uint64_t word = word_of(&msg);

				assert_true(word >> 32 < ENDS);
				assert_true((uint32_t)word >= next[i][word >> 32]);
				next[i][word >> 32] = (uint32_t)word + 1;
				received++;
			}
		}
	}
	ok(rk_actor_stop(actor, RK_STOP_DRAIN, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, ENDS * EACH);
	assert_int_equal(info.sent, ENDS * EACH);
	assert_int_equal(dropped(&info), 0);
	close_runtime(runtime);
}

/* One message that makes more than any queue holds; the consumer reads meanwhile. */
AID void a_handler_may_send_more_than_a_ring_holds(void **state)
{
	static const uint64_t times[] = {1, 5, 100, 3000, 20000};
	const struct placing on = plain(state);
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *actor = spawn(runtime, &on, 1, 0);
	const struct rk_link_opts opts = slots(8);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;
	uint64_t all = 0;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	for (uint32_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		send_words(tx, TEST_MANY, i, times[i], 0);
		for (uint64_t word = 0; word < times[i]; word++, all++) {
			assert_true(receive(rx, &msg, 1));
			assert_int_equal(word_of(&msg), word);
			assert_int_equal(msg.tag, i);
		}
	}
	ok(rk_actor_stop(actor, RK_STOP_DRAIN, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.sent, all);
	assert_int_equal(dropped(&info), 0);
	close_runtime(runtime);
}

/* --- Stopping --- */

AID void drain_handles_what_is_in_the_inboxes(void **state)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const struct rk_link_opts opts = slots(1024);
	struct rk_actor *actor = spawn(runtime, *state, 1, 0);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	for (uint32_t i = 0; i < 700; i++)
		send_word(tx, i, i * 3);
	assert_null(rk_actor_state(actor));
	ok(rk_actor_stop(actor, RK_STOP_DRAIN, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, 700);
	assert_int_equal(info.sent, 700);
	assert_int_equal(receive_all(rx, 0, false), 700);
	/* Its inbox refuses from now on, and the producer learns why. */
	for (uint32_t i = 0; i < 2048 && !tx->closed; i++) {
		struct rk_msg msg = {.type = TEST_ADD, .slots = 1};

		rk_ring_send(tx, &msg);
	}
	assert_int_equal(tx->closed, RK_CLOSE_STOPPED);
	ok(rk_actor_stop(actor, RK_STOP_NOW, 0));
	close_runtime(runtime);
}

AID void stop_now_frees_an_actor_that_waits_for_room(void **state)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const struct rk_link_opts tiny = slots(4), wide = slots(256);
	struct rk_actor *actor = spawn(runtime, *state, 1, 0);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t in_ring;

	ok(rk_link_host_out(&rx, actor, &tiny));
	ok(rk_link_host_in(&tx, actor, &wide));
	for (uint32_t i = 0; i < 100; i++)
		send_word(tx, i, i * 3);
	do {
		usleep(1000);
		rk_actor_info(actor, &info);
	} while (info.sent < 4);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	rk_actor_info(actor, &info);
	/* sent = received + in the ring; received = passed on + drops by reason */
	in_ring = rk_ring_tx_position(tx) - info.received_slots;
	assert_int_equal(100, info.received + in_ring);
	assert_int_equal(info.sent, 4);
	assert_int_equal(info.received, info.sent + info.dropped_stopped);
	close_runtime(runtime);
}

/* The handler has not even come back: it waits within rk_send(). */
AID void stop_now_frees_a_handler_that_sends_without_end(void **state)
{
	enum { TIMES = 50000 };
	const struct placing on = plain(state);
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *actor = spawn(runtime, &on, 1, 0);
	const struct rk_link_opts opts = slots(4);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	send_words(tx, TEST_MANY, 0, TIMES, 0);
	usleep(20000);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received + rk_ring_tx_position(tx) - info.received_slots, 1);
	if (info.received)
		assert_int_equal(info.sent + info.dropped_stopped, TIMES);
	close_runtime(runtime);
}

AID void spawn_and_stop_a_thousand_times_leaves_nothing(void **state)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	uint64_t random = aid_choose_seed(0x5eed);

	for (int i = 0; i < 1000; i++) {
		struct rk_actor *actor = spawn(runtime, *state, i % 2, 0);
		uint64_t messages = aid_below(&random, 20);
		const struct rk_link_opts opts = slots(32);
		struct rk_actor_info info;
		struct rk_ring_tx *tx;
		struct rk_ring_rx *rx;

		ok(rk_link_host_out(&rx, actor, &opts));
		ok(rk_link_host_in(&tx, actor, &opts));
		for (uint32_t m = 0; m < messages; m++)
			send_word(tx, m, m * 3);
		ok(rk_actor_stop(actor, aid_below(&random, 2) ? RK_STOP_NOW : RK_STOP_DRAIN,
				 LONG_NS));
		rk_actor_info(actor, &info);
		assert_int_equal(messages, info.received + (rk_ring_tx_position(tx) -
							    info.received_slots));
		assert_int_equal(receive_all(rx, 0, false), info.sent);
		assert_int_equal(info.sent + info.dropped_stopped, info.received);
	}
	ok(rk_runtime_wait(runtime, LONG_NS));
	close_runtime(runtime);
}

/* --- What cannot be --- */

AID void sends_that_cannot_be_are_counted_by_reason(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 0);
	const struct rk_link_opts opts = slots(64);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	ok(rk_link_host_in(&tx, actor, &opts));
	send_word(tx, 0, 0);
	do {
		usleep(1000);
		rk_actor_info(actor, &info);
	} while (!info.received || !info.dropped_no_outbox);
	assert_int_equal(info.dropped_no_outbox, 1);
	ok(rk_link_host_out(&rx, actor, &opts));
	rk_ring_refuse(rx, RK_CLOSE_USER + 7);
	/* The actor learns of it when it runs out of credit: one ring later at most. */
	for (uint32_t i = 1; i <= 200; i++)
		send_word(tx, i, i * 3);
	finish_sending(tx);
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, 201);
	assert_true(info.dropped_closed >= 200 - 64);
	assert_int_equal(info.received, info.sent + info.dropped_closed + info.dropped_no_outbox);
	close_runtime(runtime);
}

/* A type of the runtime's own, a payload too long, an outbox that is not there; then a good one. */
AID void bad_sends_leave_the_good_ones(void **state)
{
	const struct placing on = plain(state);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &on, 0, 0);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_host_in(&tx, actor, NULL));
	for (uint32_t i = 0; i < 100; i++)
		send_words(tx, TEST_BAD, i, i, 0);
	finish_sending(tx);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(receive(rx, &msg, 1));
		assert_int_equal(msg.tag, i);
		assert_int_equal(word_of(&msg), i);
	}
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.sent, 100);
	assert_int_equal(info.dropped_bad, 200);
	assert_int_equal(info.dropped_no_outbox, 100);
	close_runtime(runtime);
}

/* Store @cell as a producer that follows no rule would. */
AID void forge_cell(struct rk_ring_tx *tx, const struct rk_msg *cell)
{
	tx->codec->pack(tx->slot, tx->tag, cell, 1);
	rk_codec_flush();
	rk_wake_up(&tx->consumer);
}

/* Bytes that no producer of ours writes: the ring closes, the actor ends, the producer knows. */
AID void a_bad_header_ends_the_ring_and_what_came_before_counts(void **state)
{
	static const struct rk_msg bad[] = {
		{.type = TEST_ADD, .flags = 0x80, .slots = 1},
		{.type = TEST_ADD, .slots = 0},
		{.type = TEST_ADD, .slots = 200},
		{.type = RK_MSG_PAD, .slots = 33},
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rk_runtime *runtime = open_runtime(1, 0);
		struct rk_actor *actor = spawn(runtime, *state, 0, 0);
		const struct rk_link_opts opts = slots(64);
		struct rk_ring_tx *tx;
		struct rk_ring_rx *rx;

		ok(rk_link_host_out(&rx, actor, &opts));
		ok(rk_link_host_in(&tx, actor, &opts));
		for (uint32_t m = 0; m < 10; m++)
			send_word(tx, m, m * 3);
		forge_cell(tx, &bad[i]);
		assert_int_equal(receive_all(rx, 0, false), 10);
		while (!tx->closed) {
			rk_ring_tx_free(tx);
			usleep(100);
		}
		assert_int_equal(tx->closed, RK_CLOSE_BAD_HEADER);
		ok(rk_runtime_wait(runtime, LONG_NS));
		close_runtime(runtime);
	}
}

AID void extensions_travel_with_what_a_handler_sends(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 5);
	struct rk_msg msg = {.type = TEST_ADD, .flags = RK_MSG_F_TIME | RK_MSG_F_CLOCK, .slots = 1};
	const uint64_t in[3] = {111, 222, 333};
	uint64_t out[3];
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_host_in(&tx, actor, NULL));
	memcpy(msg.body, in, sizeof(in));
	assert_int_equal(rk_ring_send(tx, &msg), 1);
	assert_true(receive(rx, &msg, 1));
	assert_int_equal(msg.flags, RK_MSG_F_TIME | RK_MSG_F_CLOCK);
	memcpy(out, msg.body, sizeof(out));
	assert_int_equal(out[0], 111);
	assert_int_equal(out[1], 222);
	assert_int_equal(out[2], 338);
	close_runtime(runtime);
}

AID void wrong_arguments_and_too_many_links_are_named(void **state)
{
	const struct placing *on = *state;
	unsigned int most = on->backend == RK_BACKEND_CPU ? RK_MAX_LINKS : RK_MAX_GPU_LINKS;
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor_opts opts = opts_of(on, RK_ANY_WORKER);
	const struct rk_link_opts odd = slots(1000);
	const uint64_t args[3] = {1, 2, 3};
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	opts.args = args;
	opts.arg_count = 3;
	opts.name = "relay";
	assert_int_equal(rk_actor_spawn(&actor, runtime, on->type, &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "actor 'relay': 3 arguments: type 'relay"));
	actor = spawn(runtime, on, 0, 0);
	assert_int_equal(rk_link_host_in(&tx, actor, &odd), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "capacity 1000 slots"));
	for (unsigned int i = 0; i < most; i++) {
		ok(rk_link_host_in(&tx, actor, NULL));
		ok(rk_link_host_out(&rx, actor, NULL));
	}
	assert_int_equal(rk_link_host_in(&tx, actor, NULL), -ENOSPC);
	assert_int_equal(rk_link_host_out(&rx, actor, NULL), -ENOSPC);
	assert_non_null(strstr(rk_errmsg(), "outboxes already"));
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(rk_link_host_in(&tx, actor, NULL), -ENOSPC);
	close_runtime(runtime);
}

/* Only the front of a message ever comes: whoever waits for room does not wait for the rest. */
AID void what_came_before_a_torn_message_is_given_back(void **state)
{
	static const struct rk_msg front = {.type = TEST_ADD, .slots = 3};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 0);
	const struct rk_link_opts opts = slots(64);
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	for (uint32_t i = 0; i < 3; i++)
		send_word(tx, i, i * 3);
	forge_cell(tx, &front);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(receive(rx, &msg, 1));
		assert_int_equal(msg.tag, i);
	}
	while (rk_ring_tx_free(tx) != 64)
		usleep(100);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	close_runtime(runtime);
}

/* X(BODY) for what every handler serves, and for what test_relay() alone does. */
#define RELAY_BODIES(X)                                           \
	X(chain_keeps_order_and_content)                          \
	X(chain_on_one_worker_never_deadlocks_on_tiny_rings)      \
	X(sleeping_workers_miss_no_message)                       \
	X(back_pressure_reaches_through_a_chain_both_ways)        \
	X(messages_of_every_length_come_back_whole)               \
	X(batches_come_back_whole_and_in_order)                   \
	X(drain_handles_what_is_in_the_inboxes)                   \
	X(stop_now_frees_an_actor_that_waits_for_room)            \
	X(spawn_and_stop_a_thousand_times_leaves_nothing)         \
	X(sends_that_cannot_be_are_counted_by_reason)             \
	X(a_bad_header_ends_the_ring_and_what_came_before_counts) \
	X(what_came_before_a_torn_message_is_given_back)          \
	X(extensions_travel_with_what_a_handler_sends)            \
	X(wrong_arguments_and_too_many_links_are_named)
#define PLAIN_BODIES(X)                                    \
	X(many_inboxes_and_outboxes_keep_each_its_order)   \
	X(a_handler_may_send_more_than_a_ring_holds)       \
	X(stop_now_frees_a_handler_that_sends_without_end) \
	X(bad_sends_leave_the_good_ones)

#endif
