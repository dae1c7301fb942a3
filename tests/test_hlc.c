// SPDX-License-Identifier: MIT
/*
 * The hybrid logical clock and the trace context: unique and monotone under threads, equal to a
 * plain reference with clocks that stand still and go back, and carried by a pipeline of actors.
 */
#include "actor_aid.h"

#include <errno.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STAMPS 20000u
#define MESSAGES 240u
#else
#define STAMPS 1000000u
#define MESSAGES 2000u
#endif

enum { THREADS = 8, ROUNDS = 200000, HOPS = 4 };

#define HOUR_NS RK_HLC_MAX_DRIFT_NS

/* --- Threads --- */

struct stamper {
	struct rk_hlc *clock;
	uint64_t *stamp;
	uint32_t index;
};

static void *stamp_many(void *argument)
{
	struct stamper *me = argument;

	for (uint32_t i = 0; i < STAMPS; i++)
		me->stamp[i] = i % 3 || !i ? rk_hlc_now(me->clock)
					   : rk_hlc_receive(me->clock, me->stamp[i - 1]);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Those of each thread grow; those of all are as many as they are different. */
static void test_stamps_of_many_threads(void **state)
{
	uint64_t *all = malloc(sizeof(*all) * THREADS * STAMPS);
	struct stamper stamper[THREADS];
	pthread_t thread[THREADS];
	struct rk_hlc clock;

	(void)state;
	assert_non_null(all);
	ok(rk_hlc_init(&clock, HOUR_NS));
	for (uint32_t i = 0; i < THREADS; i++) {
		stamper[i] = (struct stamper){&clock, all + (size_t)i * STAMPS, i};
		assert_int_equal(pthread_create(&thread[i], NULL, stamp_many, &stamper[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		for (uint32_t k = 1; k < STAMPS; k++)
			assert_true(stamper[i].stamp[k] > stamper[i].stamp[k - 1]);
	qsort(all, (size_t)THREADS * STAMPS, sizeof(*all), by_value);
	for (size_t i = 1; i < (size_t)THREADS * STAMPS; i++)
		assert_true(all[i] > all[i - 1]);
	assert_true(all[(size_t)THREADS * STAMPS - 1] == clock.last && !clock.refused);
	free(all);
}

/* --- Reference: the paper's two numbers, with the carry --- */

struct reference {
	uint64_t ticks, count;
};

static void step(struct reference *ref, const struct reference *other, uint64_t physical_ns)
{
	uint64_t ticks = physical_ns >> RK_HLC_LOGICAL_BITS;
	struct reference from = *ref;

	if (other && (other->ticks > from.ticks ||
		      (other->ticks == from.ticks && other->count > from.count)))
		from = *other;
	if (ticks > from.ticks) {
		*ref = (struct reference){ticks, 0};
		return;
	}
	from.count++;
	if (from.count > RK_HLC_LOGICAL_MASK)
		from = (struct reference){from.ticks + 1, 0};
	*ref = from;
}

static uint64_t word_of_reference(const struct reference *ref)
{
	return ref->ticks << RK_HLC_LOGICAL_BITS | ref->count;
}

static void test_skewed_clocks_equal_the_reference(void **state)
{
	uint64_t random = aid_choose_seed(0xc10c);
	uint64_t physical[3] = {1700000000000000000ull, 1700000000000700000ull,
				1699999999990000000ull};
	struct reference ref[3] = {{0, 0}, {0, 0}, {0, 0}};
	struct rk_hlc clock[3];
	uint64_t refused = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		ok(rk_hlc_init(&clock[i], 20000000));
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t me = (uint32_t)aid_below(&random, 3);
		uint32_t peer = (uint32_t)aid_below(&random, 3);
		uint64_t before = clock[me].last, got;
		int hears = aid_below(&random, 2) && clock[peer].last;

		physical[me] += aid_below(&random, 200000);
		physical[me] -= aid_below(&random, 10) ? 0 : aid_below(&random, 900000);
		if (!hears) {
			step(&ref[me], NULL, physical[me]);
			got = rk_hlc_now_at(&clock[me], physical[me]);
		} else if (clock[peer].last > physical[me] + 20000000) {
			refused++;
			assert_true(!rk_hlc_receive_at(&clock[me], clock[peer].last, physical[me]));
			assert_true(clock[me].last == before);
			continue;
		} else {
			uint64_t heard = clock[peer].last;

			step(&ref[me], &ref[peer], physical[me]);
			got = rk_hlc_receive_at(&clock[me], heard, physical[me]);
			assert_true(got > heard);
		}
		assert_true(got > before && got == word_of_reference(&ref[me]));
	}
	assert_true(clock[0].refused + clock[1].refused + clock[2].refused == refused);
}

/* A clock that stands still: the count fills, carries once, and goes on. */
static void test_a_full_count_carries(void **state)
{
	const uint64_t physical = 5ull << RK_HLC_LOGICAL_BITS;
	struct rk_hlc clock;

	(void)state;
	ok(rk_hlc_init(&clock, 0));
	assert_true(rk_hlc_now_at(&clock, physical) == physical);
	for (uint64_t i = 1; i <= RK_HLC_LOGICAL_MASK + 3; i++)
		assert_true(rk_hlc_now_at(&clock, physical - i) == physical + i);
	assert_true(clock.carried == 1);
	assert_true(rk_hlc_now_at(&clock, physical * 2) == physical * 2);
}

static void test_bounds_are_said(void **state)
{
	struct rk_hlc clock;
	uint64_t now;

	(void)state;
	assert_int_equal(rk_hlc_init(&clock, HOUR_NS + 1), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "3600000000001"));
	ok(rk_hlc_init(&clock, SECOND_NS));
	now = rk_hlc_now(&clock);
	assert_true(!rk_hlc_receive(&clock, now + HOUR_NS) && clock.refused == 1);
	assert_non_null(strstr(rk_errmsg(), "ahead of this host"));
	assert_true(!rk_hlc_receive(&clock, UINT64_MAX) && clock.refused == 2);
	assert_true(clock.last == now);
	assert_true(rk_hlc_receive(&clock, 1) > now);
}

static void test_spans_of_a_trace(void **state)
{
	struct rk_trace first = rk_trace_begin(7, 1), other = rk_trace_begin(8, 1);
	struct rk_trace child = rk_trace_child(first, 1), sibling = rk_trace_child(first, 2);

	(void)state;
	assert_true(first.span && child.span && first.id[0] && first.id[1]);
	assert_memory_not_equal(first.id, other.id, sizeof(first.id));
	assert_memory_equal(first.id, child.id, sizeof(first.id));
	assert_true(child.span != first.span && child.span != sibling.span);
	assert_true(rk_trace_child(first, 1).span == child.span);
}

/* --- A pipeline --- */

static const struct placing on_cpu = {.type = &relay_type};
static const struct placing on_cpu_batch = {.type = &batch_type};

struct message {
	struct rk_msg cell[5];
};

/* Message @i: any of the extensions, one cell or several. */
static uint32_t make(struct message *message, uint32_t i, struct rk_hlc *clock, bool plain_only)
{
	uint8_t flags = (uint8_t)(i % (RK_MSG_F_ALL + 1));
	struct rk_msg *msg = message->cell;
	uint64_t time = i + 1;

	memset(message, 0, sizeof(*message));
	msg->type = TEST_ECHO;
	msg->tag = i;
	msg->flags = flags;
	msg->slots = (uint8_t)(plain_only ? 1 : 1 + i / 8 % 5);
	if (flags & RK_MSG_F_TIME)
		memcpy(msg->body, &time, 8);
	rk_msg_set_trace(msg, rk_trace_begin(i, 1));
	rk_msg_set_clock(msg, rk_hlc_now(clock));
	rk_msg_set_deadline(msg, RK_NO_DEADLINE - 1 - i);
	memset((uint8_t *)msg + RK_MSG_HEADER_BYTES + rk_msg_extension_bytes(flags), (int)i,
	       rk_msg_payload_bytes(msg));
	return msg->slots;
}

/* As it was sent, but for a later stamp if @stamped; that of @sent is put in its place. */
static void check_arrived(struct message *got, const struct message *sent, bool stamped)
{
	struct rk_msg *msg = got->cell;
	uint64_t before = rk_msg_clock(sent->cell);

	assert_int_equal(msg->flags, sent->cell->flags);
	assert_int_equal(msg->slots, sent->cell->slots);
	if (stamped && msg->flags & RK_MSG_F_CLOCK)
		assert_true(rk_msg_clock(msg) >= before + HOPS);
	rk_msg_set_clock(msg, before);
	assert_memory_equal(msg, sent->cell, (size_t)msg->slots * RK_CELL_BYTES);
}

static void pipeline(const struct placing *on, bool stamped)
{
	bool plain_only = on->type == &batch_type;
	struct rk_hlc clock, host;
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = 2, .clock = stamped ? &clock : NULL};
	const struct rk_link_opts link = slots(16);
	struct rk_actor *actor[HOPS];
	struct message sent, got;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t last = 0;

	ok(rk_hlc_init(&clock, SECOND_NS));
	ok(rk_hlc_init(&host, SECOND_NS));
	ok(rk_runtime_open(&left_open, &opts));
	for (int i = 0; i < HOPS; i++)
		actor[i] = spawn(left_open, on, i % 2, 0);
	ok(rk_link_host_in(&tx, actor[0], &link));
	for (int i = 0; i + 1 < HOPS; i++)
		ok(rk_link_actors(NULL, actor[i], actor[i + 1], &link));
	ok(rk_link_host_out(&rx, actor[HOPS - 1], &link));
	for (uint32_t i = 0; i < MESSAGES; i++) {
		make(&sent, i, &host, plain_only);
		send_msg(tx, sent.cell);
		assert_true(receive(rx, got.cell, 5));
		if (stamped && got.cell->flags & RK_MSG_F_CLOCK) {
			assert_true(rk_msg_clock(got.cell) > last);
			last = rk_msg_clock(got.cell);
			assert_true(rk_hlc_receive(&host, last) > last);
		}
		check_arrived(&got, &sent, stamped);
	}
	assert_true(!clock.refused && (clock.last != 0) == stamped);
	finish_sending(tx);
	assert_false(receive(rx, got.cell, 5));
	close_runtime(left_open);
}

static void test_extensions_over_every_hop(void **state)
{
	(void)state;
	pipeline(&on_cpu, false);
	pipeline(&on_cpu_batch, false);
}

static void test_stamps_grow_over_every_hop(void **state)
{
	(void)state;
	pipeline(&on_cpu, true);
	pipeline(&on_cpu_batch, true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamps_of_many_threads),
		cmocka_unit_test(test_skewed_clocks_equal_the_reference),
		cmocka_unit_test(test_a_full_count_carries),
		cmocka_unit_test(test_bounds_are_said),
		cmocka_unit_test(test_spans_of_a_trace),
		cmocka_unit_test_setup(test_extensions_over_every_hop, nothing_is_left_open),
		cmocka_unit_test_setup(test_stamps_grow_over_every_hop, nothing_is_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
