/* SPDX-License-Identifier: MIT */
/*
 * ring_bodies.h - tests of rings that hold wherever the two ends are: each takes, as its cmocka
 * state, a pairing, which makes a pair of ends that the test has in hand. Between them lies one ring,
 * or a chain of rings and actors that send on what comes (ring_relay.h). Order, content, capacities,
 * wrap-around of tags and positions, back-pressure, credit, closing with a reason, hostile bytes.
 */
#ifndef RING_BODIES_H
#define RING_BODIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring_aid.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct pair;

/*
 * @open: new rings, each of the pair's capacity and beginning at @start; whoever is the first to
 *	receive takes nothing before @let_go, if @held
 * @let_go: may be NULL
 * @lost: of @messages that were sent, those that the last ring did not take; waits until it is known
 * @close: what was sent has come, or is accounted for
 * @end: after the last pair of a test; may be NULL
 * @relayed: actors are between the ends: what closes one ring does not close the next
 * @most_slots: capacity, at most
 * @messages: calls at random, and of a stream through 1024 slots
 * @detail: the pairing's own
 */
struct pairing {
	void (*open)(struct pair *pair, uint64_t start, bool held);
	void (*let_go)(struct pair *pair);
	uint64_t (*lost)(struct pair *pair, uint64_t messages);
	void (*close)(struct pair *pair);
	void (*end)(void);
	bool relayed;
	uint64_t most_slots;
	uint64_t messages;
	const void *detail;
};

/*
 * Two ends, and what a test has done with them.
 * @first: the ring that @tx writes; @last: the one that @rx reads. As the host sees them
 * @sent: messages, the next one's number; @received: likewise
 * @random: state of what is left to chance
 * @each_length: message n has 1 + n % most slots; else a length of chance, mostly 1
 * @deaf: the far end takes no more from us: nothing will close @rx
 */
struct pair {
	const struct pairing *on;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	const struct rk_ring *first, *last;
	uint64_t capacity, sent, received;
	uint64_t random;
	bool each_length, deaf;
};

enum { BODY_CELLS = 512 };

/* --- Messages --- */

AID uint32_t body_slots(const struct pair *pair, uint64_t number)
{
	uint32_t most = pair->tx->max_slots;

	return pair->each_length ? 1 + (uint32_t)(number % most) : aid_slots(number, most);
}

AID void *cell_at(void *cells, uint32_t index)
{
	return (char *)cells + (size_t)index * RK_CELL_BYTES;
}

/* Message @number; actors send on what is the user's alone. */
AID uint32_t make_message(const struct pair *pair, void *cells, uint64_t number)
{
	uint32_t slots = body_slots(pair, number);
	struct rk_msg *msg = cells;

	aid_fill(msg, slots, number);
	if (pair->on->relayed) {
		msg->type = RK_MSG_USER + 1;
		rk_msg_set_deadline(msg, RK_NO_DEADLINE);
	}
	return slots;
}

/* The next that was sent, and not one byte of it another. */
AID void expect_message(struct pair *pair, const void *got)
{
	struct rk_msg wanted[RK_MSG_MAX_SLOTS];
	uint32_t slots = make_message(pair, wanted, pair->received);

	if (memcmp(got, wanted, (size_t)slots * RK_CELL_BYTES))
		fail_msg("message %llu of %u slots is not what was sent, RK_SEED=%llu",
			 (unsigned long long)pair->received, slots, (unsigned long long)aid_seed);
	pair->received++;
}

/* The next message; its slots, or 0 when there is no room. */
AID int send_next(struct pair *pair)
{
	struct rk_msg cells[RK_MSG_MAX_SLOTS];
	uint32_t slots = make_message(pair, cells, pair->sent);
	int sent = rk_ring_send(pair->tx, cells);

	assert_true(sent == 0 || sent == (int)slots);
	pair->sent += sent > 0;
	return sent;
}

/* As many messages as @count cells of room take, in one call or one by one. Return: cells. */
AID int take_some(struct pair *pair, uint32_t count, bool batch)
{
	struct rk_msg cells[BODY_CELLS];
	int got = batch ? rk_ring_recv_batch(pair->rx, cells, count) :
			  rk_ring_recv(pair->rx, cells, count);

	for (int i = 0; i < got;) {
		const struct rk_msg *msg = cell_at(cells, (uint32_t)i);

		if (msg->type == RK_MSG_CLOSED)
			break;
		expect_message(pair, msg);
		i += msg->slots;
	}
	return got;
}

/* Room for any message: it cannot be too little. */
AID bool take_one(struct pair *pair)
{
	int got = take_some(pair, RK_MSG_MAX_SLOTS, false);

	assert_true(got >= 0);
	return got;
}

AID void send_and_take(struct pair *pair, uint64_t count)
{
	for (uint64_t end = pair->sent + count; pair->sent < end;)
		if (!send_next(pair) && !take_one(pair))
			sched_yield();
	while (pair->received < pair->sent)
		if (!take_one(pair))
			sched_yield();
}

/* Close with @reason, and take what is left. All that was sent has come, and nothing else. */
AID void finish_pair(struct pair *pair, uint64_t reason)
{
	while (!rk_ring_close(pair->tx, reason))
		if (!take_one(pair))
			sched_yield();
	while (!pair->deaf && !pair->rx->closed)
		if (!take_one(pair))
			sched_yield();
	if (!pair->deaf)
		assert_int_equal(pair->received, pair->sent);
	pair->on->close(pair);
}

/* --- Where rings begin --- */

static const uint64_t capacities[] = {2, 4, 8, 64, 1024};

enum { CAPACITIES = 5, STARTS = 12 };

/* In trial @kind: at the start, before tags wrap, before half a position does, before all of it does. */
AID uint64_t start_of(uint32_t kind, uint64_t capacity, uint64_t *state)
{
	const uint64_t half = 1ULL << 32;
	const uint64_t starts[STARTS] = {
		0,	      253 * capacity, 254 * capacity - 1, 255 * capacity - 1,
		256 * capacity,	UINT64_MAX - capacity, UINT64_MAX, 0 - 2 * capacity,
		half - capacity, half - 1, half + 255 * capacity - 1, aid_random(state)};

	return starts[kind % STARTS];
}

AID void open_pair(const struct pairing *on, struct pair *pair, uint64_t capacity, uint64_t start,
		   bool held)
{
	*pair = (struct pair){.on = on, .capacity = capacity};
	on->open(pair, start, held);
}

/* Each capacity that there is room for, from each start. */
AID void at_each_start(const struct pairing *on, bool held, void (*body)(struct pair *pair))
{
	uint64_t state = aid_seed;

	for (uint32_t trial = 0; trial < CAPACITIES * STARTS; trial++) {
		uint64_t capacity = capacities[trial / STARTS];
		struct pair pair;

		if (capacity > on->most_slots)
			break;
		open_pair(on, &pair, capacity, start_of(trial % STARTS, capacity, &state), held);
		pair.random = aid_random(&state);
		body(&pair);
	}
	if (on->end)
		on->end();
}

/* --- What is sent comes --- */

AID void take_each_length(struct pair *pair)
{
	uint32_t most = pair->tx->max_slots;

	assert_int_equal(most, pair->capacity / 2 < 255 ? pair->capacity / 2 : 255);
	pair->each_length = true;
	send_and_take(pair, most < 4 ? 64 : 2ULL * most);
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void every_length_comes_whole_at_every_capacity(void **state)
{
	at_each_start(*state, false, take_each_length);
}

/* One after the other: none finds another before it, and every look in between finds nothing. */
AID void take_one_by_one(struct pair *pair)
{
	for (int i = 0; i < 40; i++) {
		assert_int_equal(rk_ring_recv(pair->rx, (struct rk_msg[1]){{0}}, 1), 0);
		send_and_take(pair, 1);
	}
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void one_message_at_a_time_comes_at_once(void **state)
{
	at_each_start(*state, false, take_one_by_one);
}

/* --- Back-pressure --- */

AID void fill_hold_and_go_on(struct pair *pair)
{
	struct rk_msg short_one = {.type = RK_MSG_USER, .slots = 1}, two[2] = {short_one, short_one};
	uint64_t free = pair->capacity;

	while (send_next(pair))
		free -= body_slots(pair, pair->sent - 1);
	assert_true(free < body_slots(pair, pair->sent));
	assert_int_equal(rk_ring_tx_free(pair->tx), free);
	/* A longer message does not let a shorter one pass; whatever is free, it is told. */
	if (!free) {
		assert_int_equal(rk_ring_send(pair->tx, &short_one), 0);
		assert_int_equal(rk_ring_send_batch(pair->tx, two, 2), 0);
		assert_int_equal(rk_ring_close(pair->tx, RK_CLOSE_DONE), 0);
	}
	assert_true(pair->tx->closed == RK_CLOSE_OPEN);
	if (pair->on->let_go)
		pair->on->let_go(pair);
	send_and_take(pair, 20);
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void a_full_ring_takes_nothing_and_then_goes_on(void **state)
{
	at_each_start(*state, true, fill_hold_and_go_on);
}

/* --- Calls at random, from one thread --- */

AID void send_some(struct pair *pair, uint64_t *random)
{
	struct rk_msg cells[BODY_CELLS];
	uint32_t wanted = (uint32_t)aid_below(random, 24), count = 0;
	uint64_t number = pair->sent;
	int sent;

	for (; wanted && count + body_slots(pair, number) <= BODY_CELLS; wanted--)
		count += make_message(pair, cell_at(cells, count), number++);
	sent = rk_ring_send_batch(pair->tx, cells, count);
	assert_true(sent >= 0);
	for (int done = 0; done < sent; pair->sent++)
		done += (int)body_slots(pair, pair->sent);
}

/* What cannot be sent is refused, and void cells are nobody's message. */
AID void send_odd(struct pair *pair, uint64_t *random)
{
	struct rk_msg odd = {.type = RK_MSG_USER, .slots = 1};

	switch (aid_below(random, 4)) {
	case 0:
		odd.slots = 0;
		assert_int_equal(rk_ring_send(pair->tx, &odd), -EMSGSIZE);
		break;
	case 1:
		odd.flags = (uint8_t)(16u << aid_below(random, 4));
		assert_int_equal(rk_ring_send(pair->tx, &odd), -EINVAL);
		break;
	case 2:
		odd.slots = (uint8_t)(pair->tx->max_slots + 1); /* 0 where the header says no more */
		assert_int_equal(rk_ring_send_batch(pair->tx, &odd, 1), -EMSGSIZE);
		break;
	default:
		odd.type = RK_MSG_PAD;
		assert_in_range(rk_ring_send(pair->tx, &odd), 0, 1);
		break;
	}
}

AID void take_too_little(struct pair *pair, uint64_t *random)
{
	uint32_t slots = body_slots(pair, pair->received);
	uint32_t room = 1 + (uint32_t)aid_below(random, 2ULL * pair->rx->max_slots);
	int got;

	if (room > BODY_CELLS)
		room = BODY_CELLS;
	got = take_some(pair, room, aid_below(random, 2));
	if (slots > room)
		assert_true(got == 0 || got == -EMSGSIZE);
	else
		assert_true(got >= 0);
}

AID void move_at_random(struct pair *pair)
{
	uint64_t random = pair->random;

	for (uint32_t step = 0; step < pair->on->messages; step++) {
		switch (aid_below(&random, 12)) {
		case 0 ... 3:
			send_next(pair);
			break;
		case 4 ... 5:
			send_some(pair, &random);
			break;
		case 6:
			send_odd(pair, &random);
			break;
		case 7 ... 10:
			take_too_little(pair, &random);
			break;
		default:
			rk_ring_rx_credit(pair->rx);
			assert_true(rk_ring_tx_free(pair->tx) <= pair->capacity);
			break;
		}
		assert_true(pair->received <= pair->sent);
	}
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void calls_at_random_lose_and_change_nothing(void **state)
{
	at_each_start(*state, false, move_at_random);
}

/* --- Two threads --- */

struct stream {
	struct pair *pair;
	uint64_t messages, random;
	int mode; /* 0 single calls, 1 batches, 2 mixed */
};

AID bool batches(const struct stream *s, uint64_t *random)
{
	return s->mode == 1 || (s->mode == 2 && aid_below(random, 2));
}

AID void *produce(void *argument)
{
	struct rk_msg out[BODY_CELLS];
	const struct stream *s = argument;
	struct rk_ring_tx *tx = s->pair->tx;
	uint64_t random = s->random, number = 0;

	while (number < s->messages) {
		uint32_t wanted = batches(s, &random) ? 1 + (uint32_t)aid_below(&random, 16) : 1;
		uint32_t count = 0, sent = 0;

		for (uint32_t i = 0; i < wanted && number < s->messages; i++) {
			if (count + body_slots(s->pair, number) > BODY_CELLS)
				break;
			count += make_message(s->pair, cell_at(out, count), number++);
		}
		while (sent < count) {
			const struct rk_msg *at = cell_at(out, sent);
			int result = wanted == 1 ? rk_ring_send(tx, at) :
						   rk_ring_send_batch(tx, at, count - sent);

			if (result <= 0)
				sched_yield();
			else
				sent += (uint32_t)result;
		}
	}
	s->pair->sent = number;
	while (!rk_ring_close(tx, RK_CLOSE_DONE))
		sched_yield();
	return NULL;
}

/* This thread takes what another sends. @mode: as in struct stream */
AID void run_stream(struct pair *pair, uint64_t messages, int mode)
{
	struct stream s = {pair, messages, ~pair->random, mode};
	uint64_t random = pair->random;
	pthread_t producer;

	assert_int_equal(pthread_create(&producer, NULL, produce, &s), 0);
	while (!pair->rx->closed) {
		bool batch = batches(&s, &random);
		uint32_t room = batch ? 1 + (uint32_t)aid_below(&random, BODY_CELLS - 1) :
					BODY_CELLS;

		if (take_some(pair, room, batch) <= 0)
			sched_yield();
	}
	pthread_join(producer, NULL);
	assert_int_equal(pair->received, messages);
	assert_int_equal(pair->sent, messages);
	assert_true(pair->rx->closed == RK_CLOSE_DONE);
}

/* As many laps of each ring, for each costs a switch of threads. */
AID void run_some_stream(struct pair *pair)
{
	run_stream(pair, 1 + pair->on->messages * pair->capacity / 1024, (int)(pair->random % 3));
	pair->on->close(pair);
}

AID void two_threads_lose_and_change_nothing(void **state)
{
	at_each_start(*state, false, run_some_stream);
}

/* --- Closing --- */

AID void close_with_a_reason(struct pair *pair)
{
	const uint64_t reason = RK_CLOSE_USER + 4711;

	send_and_take(pair, 5);
	send_next(pair);
	while (!rk_ring_close(pair->tx, reason))
		take_one(pair);
	assert_true(pair->tx->closed == reason);
	assert_int_equal(rk_ring_close(pair->tx, 0), 1);
	assert_int_equal(rk_ring_tx_free(pair->tx), 0);
	finish_pair(pair, 0);
	/* An actor has its own reasons. */
	assert_true(pair->rx->closed == (pair->on->relayed ? RK_CLOSE_DONE : reason));
}

AID void what_was_sent_comes_before_the_reason(void **state)
{
	at_each_start(*state, false, close_with_a_reason);
}

/*
 * Send until the producer is told that its ring is closed, or @messages: what the last ring had no
 * place for is lost, and counted.
 */
AID void send_in_vain(struct pair *pair, uint64_t messages)
{
	for (uint64_t end = pair->sent + messages; pair->sent < end && !pair->tx->closed;)
		if (!send_next(pair))
			sched_yield();
}

AID void refuse_and_send(struct pair *pair)
{
	const uint64_t reason = RK_CLOSE_USER + 12, vain = 2 * pair->capacity + 100;
	uint64_t lost;

	send_and_take(pair, 9);
	rk_ring_refuse(pair->rx, reason);
	assert_true(pair->rx->closed == reason);
	send_in_vain(pair, vain);
	assert_true(pair->on->relayed || pair->tx->closed == reason);
	lost = pair->on->lost(pair, pair->sent);
	assert_in_range(pair->sent - lost, 9, 9 + pair->capacity);
	if (!pair->on->relayed)
		assert_int_equal(send_next(pair), 0);
	pair->deaf = true;
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void what_is_refused_is_counted(void **state)
{
	at_each_start(*state, false, refuse_and_send);
}

/* --- Hostile bytes --- */

/* A slot as a producer that follows no rule would store it, @ahead of what was sent. */
AID void forge(const struct pair *pair, uint64_t ahead, uint16_t type, uint8_t flags, uint8_t slots)
{
	const struct rk_ring *ring = pair->first;
	uint64_t position = rk_ring_tx_position(pair->tx) + ahead;
	struct rk_msg msg = {.type = type, .flags = flags, .slots = slots};

	rk_slot_store_plain(&ring->slots[position & (pair->capacity - 1)],
			    rk_slot_tag(position, ring->capacity_log2), &msg);
	rk_codec_flush();
	rk_wake_up(&pair->tx->consumer);
}

/* What came before it counts, nothing after; and the producer is told why. */
AID void expect_bad_header(const struct pairing *on, uint64_t start, uint16_t type, uint8_t flags,
			   uint8_t slots)
{
	struct pair pair;

	open_pair(on, &pair, 64, start, false);
	send_and_take(&pair, 3);
	for (int i = 0; i < 5; i++)
		send_next(&pair);
	forge(&pair, 0, type, flags, slots);
	while (!pair.tx->closed) {
		take_one(&pair);
		rk_ring_tx_free(pair.tx);
	}
	assert_true(pair.tx->closed == RK_CLOSE_BAD_HEADER);
	while (!pair.rx->closed)
		take_one(&pair);
	assert_true(pair.rx->closed == (on->relayed ? RK_CLOSE_DONE : RK_CLOSE_BAD_HEADER));
	assert_int_equal(take_one(&pair), 0);
	assert_int_equal(send_next(&pair), 0);
	finish_pair(&pair, RK_CLOSE_DONE);
}

AID void a_bad_header_closes_the_ring(void **state)
{
	static const struct rk_msg bad[] = {
		{.type = RK_MSG_USER, .slots = 0},   {.type = RK_MSG_USER, .slots = 33},
		{.type = RK_MSG_USER, .slots = 255}, {.type = RK_MSG_USER, .flags = 0x10, .slots = 1},
		{.type = RK_MSG_USER, .flags = 0x80, .slots = 2},
		{.type = RK_MSG_PACKET, .slots = 0}, {.type = RK_MSG_PAD, .slots = 0},
		{.type = RK_MSG_PAD, .slots = 33},   {.type = RK_MSG_CLOSED, .flags = 0x40, .slots = 1},
		{.type = RK_MSG_NONE, .slots = 64},
	};
	const struct pairing *on = *state;
	uint64_t random = aid_seed;

	for (uint32_t i = 0; i < STARTS; i++) {
		const struct rk_msg *msg = &bad[i % (sizeof(bad) / sizeof(bad[0]))];

		expect_bad_header(on, start_of(i, 64, &random), msg->type, msg->flags, msg->slots);
	}
	if (on->end)
		on->end();
}

/* Words may come in any order: it is there as soon as all are, and not before. */
AID void forge_in_parts(struct pair *pair)
{
	struct rk_msg got[4];

	if (pair->capacity < 8) {
		finish_pair(pair, RK_CLOSE_DONE);
		return;
	}
	forge(pair, 2, RK_MSG_USER + 1, 0, 1);
	forge(pair, 0, RK_MSG_USER + 1, 0, 3);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rk_ring_recv(pair->rx, got, 4), 0);
		assert_int_equal(rk_ring_recv_batch(pair->rx, got, 4), 0);
		usleep(pair->on->relayed ? 10 : 0);
	}
	forge(pair, 1, RK_MSG_USER + 1, 0, 1);
	while (!rk_ring_recv(pair->rx, got, 4))
		sched_yield();
	assert_int_equal(got[0].slots, 3);
	assert_int_equal(got[0].type, RK_MSG_USER + 1);
	rk_ring_tx_pass(pair->tx, rk_ring_tx_position(pair->tx) + 3, 0);
	send_and_take(pair, 30);
	pair->sent++;
	pair->received++;
	finish_pair(pair, RK_CLOSE_DONE);
}

AID void a_message_whose_rest_never_comes_is_never_received(void **state)
{
	at_each_start(*state, false, forge_in_parts);
}

/*
 * A consumer that gives back what it cannot have: @credit, after @given slots of which were given back
 * as they should. The last ring closes; who sends into it knows, and what it sends on is counted.
 */
AID void expect_bad_credit(const struct pairing *on, uint64_t start, uint64_t given, uint64_t credit)
{
	struct pair pair;
	uint64_t lost;

	open_pair(on, &pair, 64, start, false);
	send_and_take(&pair, given);
	rk_ring_rx_credit(pair.rx);
	__atomic_store_n(&pair.last->credit->consumed, rk_ring_rx_position(pair.rx) + credit,
			 __ATOMIC_RELAXED);
	rk_codec_flush();
	send_in_vain(&pair, 2 * pair.capacity + 100);
	assert_true(on->relayed || pair.tx->closed == RK_CLOSE_BAD_CREDIT);
	lost = on->lost(&pair, pair.sent);
	assert_in_range(pair.sent - lost, given, given + pair.capacity);
	pair.deaf = true;
	finish_pair(&pair, RK_CLOSE_DONE);
}

AID void a_credit_that_cannot_be_closes_the_ring(void **state)
{
	const struct pairing *on = *state;
	uint64_t random = aid_seed;

	for (uint32_t i = 0; i < STARTS; i++) {
		uint64_t start = start_of(i, 64, &random);

		expect_bad_credit(on, start, 0, 65);
		expect_bad_credit(on, start, 0, 0ULL - 1);
		expect_bad_credit(on, start, 0, 1ULL << 63);
		expect_bad_credit(on, start, 200, 65 + 1000);
		expect_bad_credit(on, start, 200, 0ULL - 65);
	}
	if (on->end)
		on->end();
}

/* X(BODY) for every pairing. */
#define RING_BODIES(X)                                         \
	X(every_length_comes_whole_at_every_capacity)          \
	X(one_message_at_a_time_comes_at_once)                 \
	X(a_full_ring_takes_nothing_and_then_goes_on)          \
	X(calls_at_random_lose_and_change_nothing)             \
	X(two_threads_lose_and_change_nothing)                 \
	X(what_was_sent_comes_before_the_reason)               \
	X(what_is_refused_is_counted)                          \
	X(a_bad_header_closes_the_ring)                        \
	X(a_message_whose_rest_never_comes_is_never_received)  \
	X(a_credit_that_cannot_be_closes_the_ring)

#endif
