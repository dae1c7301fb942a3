/* SPDX-License-Identifier: MIT */
/*
 * flow_bodies.h - tests of links' policies that hold on every backend: each takes, as its cmocka
 * state, where its actor runs.
 */
#ifndef FLOW_BODIES_H
#define FLOW_BODIES_H

#include "flow_aid.h"
#include "flow_handlers.h"

#include <inttypes.h>

RK_SOURCE(flow_source, "tests/flow_handlers.h");

/* --- Full --- */

AID void the_newest_are_dropped(void **state)
{
	const struct placing *on = *state;
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct line line = open_line(on, &opts);
	struct rk_actor_info info;
	struct rk_link_info link;

	send_count(&line, 100);
	info = info_of(line.actor);
	link = link_of(line.link);
	assert_int_equal(info.sent, RING);
	assert_int_equal(info.dropped_full, 100 - RING);
	assert_int_equal(dropped(&info), 100 - RING);
	assert_int_equal(link.slots, RING);
	assert_int_equal(link.waiting, 0);
	assert_int_equal(link.dropped[RK_DROP_FULL], 100 - RING);
	assert_int_equal(link.dead_lost, 0);
	assert_int_equal(letters_of(&line, NULL), 100 - RING);
	for (uint32_t i = RING; i < 100; i++)
		expect_letter(&line, i - RING, RK_DROP_FULL, i);
	expect_words(line.out, 0, RING);
	rk_ring_rx_credit(line.out);
	expect_end(&line);
	close_runtime(line.runtime);
}

static void the_oldest_that_wait_are_dropped(void **state)
{
	const struct placing *on = *state;
	struct rk_link_opts opts = dropping(RK_FULL_DROP_OLDEST, LETTERS);
	struct rk_actor_info info;
	struct line line;

	opts.backlog_slots = 10;
	line = open_line(on, &opts);
	send_count(&line, 100);
	info = info_of(line.actor);
	assert_int_equal(info.sent, RING);
	assert_int_equal(info.dropped_old, 100 - RING - 10);
	assert_int_equal(dropped(&info), 100 - RING - 10);
	assert_int_equal(link_of(line.link).waiting, 10);
	assert_int_equal(link_of(line.link).dropped[RK_DROP_OLD], 100 - RING - 10);
	assert_int_equal(letters_of(&line, NULL), 100 - RING - 10);
	for (uint32_t i = RING; i < 90; i++)
		expect_letter(&line, i - RING, RK_DROP_OLD, i);
	expect_words(line.out, 0, RING);
	expect_words(line.out, 90, 10);
	expect_end(&line);
	info = info_of(line.actor);
	assert_int_equal(info.sent, RING + 10);
	assert_int_equal(link_of(line.link).waiting, 0);
	close_runtime(line.runtime);
}

/* One outbox is full, and what goes to the other goes on. */
AID void who_drops_does_not_wait(void **state)
{
	const struct placing on = plain(state);
	static const enum rk_full policies[] = {RK_FULL_DROP_NEWEST, RK_FULL_DROP_OLDEST};

	for (int i = 0; i < 2; i++) {
		const struct rk_link_opts opts = dropping(policies[i], 0), wide = slots(1024);
		struct line line = open_line(&on, &opts);
		struct rk_ring_rx *other;
		struct rk_msg msg;

		ok(rk_link_host_out(&other, line.actor, &wide));
		for (uint32_t j = 0; j < 200; j++)
			send_words(line.in, TEST_TO, j, j * 3, j & 1);
		await_taken(line.actor, 200);
		for (uint32_t j = 1; j < 200; j += 2) {
			assert_true(receive(other, &msg, 1));
			assert_int_equal(msg.tag, j);
		}
		assert_int_equal(letters_of(&line, NULL), 0);
		close_runtime(line.runtime);
	}
}

/* Messages of every length, which the backlog must make room for. */
AID void long_messages_make_room_among_the_old(void **state)
{
	const struct placing on = plain(state);
	struct rk_link_opts opts = slots(64);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &on, 0, 0);
	struct rk_msg *msg = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);
	uint64_t sent = 0, received = 0, last = 0, cells = 0;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_actor_info info;

	assert_non_null(msg);
	ok(rk_link_host_in(&tx, actor, &opts));
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 32;
	opts.dead_slots = 16384;
	ok(rk_link_host_out(&rx, actor, &opts));
	for (; sent < 500; sent++) {
		aid_fill(msg, aid_slots(sent, 32), sent);
		msg->type = TEST_ECHO;
		msg->flags &= (uint8_t)~RK_MSG_F_DEADLINE;
		send_msg(tx, msg);
	}
	await_taken(actor, sent);
	assert_in_range(link_of(rk_link_of_rx(rx)).waiting, 1, 32);
	finish_sending(tx);
	while (receive(rx, msg, RK_MSG_MAX_SLOTS)) {
		assert_true(!received || msg->tag > last);
		assert_int_equal(msg->slots, aid_slots(msg->tag, 32));
		last = msg->tag;
		cells += msg->slots;
		received++;
	}
	info = info_of(actor);
	assert_int_equal(last, sent - 1); /* the newest is there */
	assert_int_equal(info.sent, received);
	assert_int_equal(info.sent_slots, cells);
	assert_int_equal(received + info.dropped_old, sent);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, NULL, 0), info.dropped_old);
	close_runtime(runtime);
	free(msg);
}

/* --- Levels --- */

static const struct rk_actor_type level_type = {
	.name = "levels",
	.summary = "sends on to its second outbox, and notes levels",
	.handle = test_note_levels,
	.source = flow_source,
	.function = "test_note_levels",
	.state_bytes = sizeof(struct level_state),
};

AID struct level_state levels_of(struct rk_actor *actor)
{
	struct level_state state;

	ok(rk_actor_copy(actor, &state, LONG_NS));
	return state;
}

AID void senders_hear_of_levels_with_hysteresis(void **state_of_test)
{
	const struct rk_actor_opts opts = opts_of(*state_of_test, 0);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_link_opts in = slots(256), other = slots(64), out = slots(64);
	struct rk_ring_rx *rx, *unused_rx;
	struct level_state state;
	struct rk_link *link;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	uint32_t sent = 0;

	out.high_slots = 48;
	out.low_slots = 16;
	ok(rk_actor_spawn(&actor, runtime, &level_type, &opts));
	ok(rk_link_host_out(&unused_rx, actor, &other));
	ok(rk_link_host_out(&rx, actor, &out));
	ok(rk_link_host_in(&tx, actor, &in));
	link = rk_link_of_rx(rx);
	for (uint32_t round = 1; round <= 5; round++) {
		for (uint32_t i = 0; i < 47; i++, sent++)
			send_word(tx, sent, sent * 3);
		await_taken(actor, sent);
		assert_false(link_of(link).is_high);
		send_word(tx, sent, sent * 3);
		sent++;
		while (!link_of(link).is_high)
			usleep(100);
		/* Between the two levels nothing is said. */
		expect_words(rx, sent - 48, 31);
		rk_ring_rx_credit(rx);
		state = levels_of(actor);
		assert_int_equal(state.high, round);
		assert_int_equal(state.low, round - 1);
		assert_int_equal(state.highest, 48);
		expect_words(rx, sent - 17, 17);
		rk_ring_rx_credit(rx);
		while (link_of(link).is_high)
			usleep(100);
		assert_int_equal(link_of(link).highs, round);
		assert_int_equal(link_of(link).lows, round);
	}
	state = levels_of(actor);
	assert_int_equal(state.wrong, 0);
	assert_int_equal(state.low, 5);
	assert_in_range(state.lowest, 0, 16);
	close_runtime(runtime);
}

/* --- Deadlines --- */

/* Every other has a deadline, and of these every other is over; those are not handled. */
AID void what_is_late_is_not_handled(void **state)
{
	const struct placing *on = *state;
	struct rk_link_opts in = slots(64), out = slots(256);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, on, 0, 0);
	struct rk_dead_letter letters[64];
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;
	/* A GPU learns the time now and then. */
	uint64_t now = monotonic_ns(), over = on->backend == RK_BACKEND_CPU ? now - 1 : 1;

	in.dead_slots = LETTERS;
	ok(rk_link_host_out(&rx, actor, &out));
	ok(rk_link_host_in(&tx, actor, &in));
	for (uint32_t i = 0; i < 200; i++) {
		if (i % 2)
			send_word(tx, i, i * 3);
		else
			send_dated(tx, i, i % 4 ? over : now + 100 * LONG_NS);
	}
	await_taken(actor, 200);
	assert_int_equal(info_of(actor).dropped_expired, 50);
	assert_int_equal(link_of(rk_link_of_tx(tx)).dropped[RK_DROP_EXPIRED], 50);
	assert_int_equal(info_of(actor).received_slots, 200);
	for (uint32_t i = 0; i < 200; i++) {
		if (i % 4 == 2)
			continue;
		assert_true(receive(rx, &msg, 1));
		assert_int_equal(msg.tag, i);
		assert_int_equal(word_of(&msg), i * 3);
		assert_int_equal(rk_msg_deadline(&msg),
				 i % 2 ? RK_NO_DEADLINE : now + 100 * LONG_NS);
	}
	assert_int_equal(rk_dead_letter_list(runtime, NULL, letters, 64), 50);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(letters[i].why, RK_DROP_EXPIRED);
		assert_int_equal(letters[i].tag, 4 * i + 2);
		assert_ptr_equal(letters[i].to, actor);
	}
	/* Sent again, they have no deadline: all are handled. */
	assert_int_equal(rk_dead_letter_replay(runtime, NULL, NULL, LONG_NS), 50);
	for (uint32_t i = 0; i < 50; i++) {
		assert_true(receive(rx, &msg, 1));
		assert_int_equal(msg.tag, 4 * i + 2);
		assert_int_equal(rk_msg_deadline(&msg), RK_NO_DEADLINE);
	}
	finish_sending(tx);
	assert_false(receive(rx, &msg, 1));
	close_runtime(runtime);
}

/* --- All at once --- */

struct crowd {
	struct rk_runtime *runtime;
	uint8_t *seen; /* by number: received, or a letter */
	uint64_t letters;
	uint32_t done;
};

/* Looks through letters and forgets them, while workers write them. */
AID void *read_letters(void *argument)
{
	struct crowd *crowd = argument;
	struct rk_dead_letter letter;
	struct rk_dead_filter filter = {.size = sizeof(filter)};
	bool last;

	do {
		last = __atomic_load_n(&crowd->done, __ATOMIC_ACQUIRE);
		while (rk_dead_letter_list(crowd->runtime, NULL, &letter, 1) > 0) {
			assert_int_equal(crowd->seen[letter.tag]++, 0);
			crowd->letters++;
			filter.number = letter.number;
			assert_int_equal(rk_dead_letter_discard(crowd->runtime, &filter), 1);
		}
	} while (!last);
	return NULL;
}

AID void nothing_is_lost_or_doubled(const struct placing *on, enum rk_full full,
				    uint32_t count)
{
	struct rk_link_opts opts = dropping(full, 8192);
	struct line line = open_line(on, &opts);
	struct sender sender = {.tx = line.in, .count = count, .pauses = true};
	struct crowd crowd = {.runtime = line.runtime, .seen = calloc(count, 1)};
	uint64_t received = 0, random = aid_choose_seed(7), before = 0;
	pthread_t sending, reading;
	struct rk_actor_info info;
	struct rk_link_info link;
	struct rk_msg msg;

	assert_non_null(crowd.seen);
	pthread_create(&sending, NULL, send_all, &sender);
	pthread_create(&reading, NULL, read_letters, &crowd);
	while (receive(line.out, &msg, 1)) {
		assert_int_equal(word_of(&msg), msg.tag * 3ULL);
		assert_true(!received || msg.tag > before);
		before = msg.tag;
		assert_int_equal(crowd.seen[msg.tag]++, 0);
		received++;
		pause_at_random(&random);
	}
	pthread_join(sending, NULL);
	ok(rk_runtime_wait(line.runtime, LONG_NS));
	__atomic_store_n(&crowd.done, 1, __ATOMIC_RELEASE);
	pthread_join(reading, NULL);
	info = info_of(line.actor);
	link = link_of(line.link);
	assert_int_equal(info.received, count);
	assert_int_equal(info.sent, received);
	assert_int_equal(info.sent + dropped(&info), count);
	assert_int_equal(crowd.letters + link.dead_lost, dropped(&info));
	assert_int_equal(link.dropped[full == RK_FULL_DROP_OLDEST ? RK_DROP_OLD : RK_DROP_FULL],
			 dropped(&info));
	free(crowd.seen);
	close_runtime(line.runtime);
}

AID void dropping_under_load_keeps_order_and_count(void **state)
{
	nothing_is_lost_or_doubled(*state, RK_FULL_DROP_NEWEST, 20000);
	nothing_is_lost_or_doubled(*state, RK_FULL_DROP_OLDEST, 20000);
}

#define FLOW_BODIES(X)                            \
	X(the_newest_are_dropped)                 \
	X(the_oldest_that_wait_are_dropped)       \
	X(who_drops_does_not_wait)                \
	X(long_messages_make_room_among_the_old)  \
	X(senders_hear_of_levels_with_hysteresis) \
	X(what_is_late_is_not_handled)            \
	X(dropping_under_load_keeps_order_and_count)

#endif
