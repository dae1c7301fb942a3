// SPDX-License-Identifier: MIT
/*
 * Dead letters, listed, filtered, discarded and sent again; and the messages that most often become
 * some: those that come after their deadline.
 */
#include "flow_aid.h"

#include <sched.h>

/* --- Letters, and memory for them --- */

static void letters_that_find_no_room_are_counted(void **state)
{
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, 16);
	struct line line = open_line(&cpu, &opts);

	(void)state;
	send_count(&line, 100);
	assert_int_equal(letters_of(&line, NULL), 8); /* each with its front */
	assert_int_equal(link_of(line.link).dead_lost, 100 - RING - 8);
	assert_int_equal(link_of(line.link).dropped[RK_DROP_FULL], 100 - RING);
	assert_int_equal(rk_dead_letter_discard(line.runtime, NULL), 8);
	assert_int_equal(letters_of(&line, NULL), 0);
	close_runtime(line.runtime);
}

/* What is dropped because the receiver takes no more, or the sender is stopped, is kept too. */
static void letters_of_the_end(void **state)
{
	const struct rk_link_opts waiting = dropping(RK_FULL_WAIT, LETTERS);
	struct line line = open_line(&cpu, &waiting);
	struct rk_actor_info info;

	(void)state;
	send_words(line.in, TEST_MANY, 5, 20, 0); /* twelve find no room, and wait */
	await_taken(line.actor, 1);
	while (link_of(line.link).waiting != 12)
		usleep(100);
	ok(rk_actor_stop(line.actor, RK_STOP_NOW, LONG_NS));
	info = info_of(line.actor);
	assert_int_equal(info.sent, RING);
	assert_int_equal(info.dropped_stopped, 12);
	assert_int_equal(letters_of(&line, NULL), 12);
	close_runtime(line.runtime);

	line = open_line(&cpu, &waiting);
	rk_ring_refuse(line.out, RK_CLOSE_USER);
	send_count(&line, 30);
	info = info_of(line.actor);
	assert_int_equal(info.sent + info.dropped_closed, 30);
	assert_int_equal(letters_of(&line, NULL), info.dropped_closed);
	assert_int_equal(link_of(line.link).dropped[RK_DROP_CLOSED], info.dropped_closed);
	close_runtime(line.runtime);
}

/* --- Letters, one by one --- */

static void filters_choose(void **state)
{
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct line line = open_line(&cpu, &opts);
	struct rk_dead_letter all[40];
	struct rk_dead_filter filter = {.size = sizeof(filter)};

	(void)state;
	for (uint32_t i = 0; i < 48; i++)
		send_words(line.in, i % 3 ? TEST_ADD : TEST_ECHO, i, i * 3, 0);
	await_taken(line.actor, 48);
	assert_int_equal(rk_dead_letter_list(line.runtime, NULL, all, 40), 40);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(all[i].number, i + 1);
		assert_ptr_equal(all[i].link, line.link);
		assert_ptr_equal(all[i].from, line.actor);
		assert_null(all[i].to);
		assert_true(!i || all[i].time_ns >= all[i - 1].time_ns);
	}
	assert_int_equal(letters_of(&line, &filter), 40);
	filter.type = TEST_ECHO;
	assert_int_equal(letters_of(&line, &filter), 13);
	filter.type = 0;
	filter.why = 1 << RK_DROP_OLD | 1 << RK_DROP_EXPIRED;
	assert_int_equal(letters_of(&line, &filter), 0);
	filter.why |= 1 << RK_DROP_FULL;
	assert_int_equal(letters_of(&line, &filter), 40);
	filter.actor = line.actor;
	assert_int_equal(letters_of(&line, &filter), 40);
	filter.link = rk_link_of_tx(line.in);
	assert_int_equal(letters_of(&line, &filter), 0);
	filter.link = line.link;
	filter.since_ns = all[20].time_ns;
	filter.until_ns = all[39].time_ns + 1;
	assert_in_range(letters_of(&line, &filter), 20, 40);
	filter.until_ns = all[0].time_ns;
	assert_int_equal(letters_of(&line, &filter), 0);
	filter = (struct rk_dead_filter){.size = sizeof(filter), .number = all[7].number};
	assert_int_equal(rk_dead_letter_discard(line.runtime, &filter), 1);
	assert_int_equal(letters_of(&line, NULL), 39);
	assert_int_equal(letters_of(&line, &filter), 0);
	filter.size--;
	assert_int_equal(letters_of(&line, &filter), -EINVAL);
	assert_int_equal(rk_dead_letter_discard(line.runtime, &filter), -EINVAL);
	assert_int_equal(rk_dead_letter_replay(line.runtime, &filter, NULL, LONG_NS), -EINVAL);
	assert_int_equal(rk_dead_letter_read(line.runtime, all[7].number, NULL, 0), -ENOENT);
	assert_int_equal(rk_dead_letter_read(line.runtime, all[8].number, NULL, 0), -EMSGSIZE);
	close_runtime(line.runtime);
}

/* Replayed until none is left: all arrive, none twice; what finds no room stays a letter. */
static void letters_go_out_again(void **state)
{
	const struct placing *on = *state;
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct line line = open_line(on, &opts);
	uint32_t out = 0;
	int sent;

	send_count(&line, 100);
	assert_int_equal(rk_dead_letter_replay(line.runtime, NULL, NULL, LONG_NS), 0);
	assert_int_equal(letters_of(&line, NULL), 100 - RING);
	expect_words(line.out, 0, RING);
	rk_ring_rx_credit(line.out);
	for (out = RING; out < 100; out += (uint32_t)sent) {
		sent = rk_dead_letter_replay(line.runtime, NULL, NULL, LONG_NS);
		assert_in_range(sent, 1, RING);
		assert_int_equal(letters_of(&line, NULL), 100 - out - (uint32_t)sent);
		expect_words(line.out, out, (uint32_t)sent);
		rk_ring_rx_credit(line.out);
	}
	assert_int_equal(info_of(line.actor).sent, 100);
	assert_int_equal(info_of(line.actor).dropped_full, 100 - RING);
	assert_int_equal(rk_dead_letter_replay(line.runtime, NULL, line.link, LONG_NS), 0);
	expect_end(&line);
	assert_int_equal(rk_dead_letter_replay(line.runtime, NULL, line.link, LONG_NS), -EPIPE);
	close_runtime(line.runtime);
}

struct looker {
	struct rk_runtime *runtime;
	uint32_t done;
};

static void *look_all_the_time(void *argument)
{
	struct looker *looker = argument;
	struct rk_dead_letter letters[100];

	while (!__atomic_load_n(&looker->done, __ATOMIC_ACQUIRE)) {
		int found = rk_dead_letter_list(looker->runtime, NULL, letters, 100);

		assert_in_range(found, 0, 100 - RING);
		for (int i = 1; i < found; i++)
			assert_true(letters[i].number > letters[i - 1].number);
	}
	return NULL;
}

/* Somebody else looks all the while: what is on its way is no letter, and none goes twice. */
static void letters_are_looked_at_while_they_go_out(void **state)
{
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct line line = open_line(&cpu, &opts);
	struct looker looker = {.runtime = line.runtime};
	pthread_t looking;

	(void)state;
	send_count(&line, 100);
	pthread_create(&looking, NULL, look_all_the_time, &looker);
	expect_words(line.out, 0, RING);
	for (uint32_t out = RING; out < 100;) {
		int sent = rk_dead_letter_replay(line.runtime, NULL, NULL, LONG_NS);

		assert_in_range(sent, 0, RING);
		expect_words(line.out, out, (uint32_t)sent);
		rk_ring_rx_credit(line.out);
		out += (uint32_t)sent;
	}
	__atomic_store_n(&looker.done, 1, __ATOMIC_RELEASE);
	pthread_join(looking, NULL);
	assert_int_equal(letters_of(&line, NULL), 0);
	expect_end(&line);
	close_runtime(line.runtime);
}

static uint32_t held, let_go;

/* Sends on what it gets, but holds on to one message until it is let go. */
static void hold(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)state;
	if (msg->type == TEST_SPIN) {
		__atomic_store_n(&held, 1, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&let_go, __ATOMIC_ACQUIRE))
			sched_yield();
	} else if (msg->type >= RK_MSG_PACKET) {
		rk_send(ctx, 0, msg->type, msg->tag, rk_msg_payload(msg),
			rk_msg_payload_bytes(msg));
	}
}

static const struct rk_actor_type holder_type = {
	.name = "holder", .summary = "sends on, or holds on", .handle = hold};

/* Too late for who asked: but what went out went out once, and the rest is there again. */
static void a_replay_that_comes_too_late_is_accounted_for(void **state)
{
	const struct placing holder = {.type = &holder_type};
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct rk_runtime *runtime = open_runtime(1, 0);
	const struct rk_actor_opts with = opts_of(&holder, 0);
	struct line line = {.runtime = runtime};

	(void)state;
	ok(rk_actor_spawn(&line.actor, runtime, &holder_type, &with));
	ok(rk_link_host_out(&line.out, line.actor, &opts));
	ok(rk_link_host_in(&line.in, line.actor, NULL));
	line.link = rk_link_of_rx(line.out);
	send_count(&line, 20);
	assert_int_equal(letters_of(&line, NULL), 20 - RING);
	expect_words(line.out, 0, RING);
	rk_ring_rx_credit(line.out);
	send_words(line.in, TEST_SPIN, 20, 0, 0);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(rk_dead_letter_replay(runtime, NULL, NULL, 1000000), -ETIMEDOUT);
	assert_int_equal(letters_of(&line, NULL), 0);
	assert_int_equal(rk_dead_letter_replay(runtime, NULL, line.link, LONG_NS), -EBUSY);
	__atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
	await_taken(line.actor, 21);
	assert_int_equal(letters_of(&line, NULL), 20 - 2 * RING);
	expect_words(line.out, RING, RING);
	rk_ring_rx_credit(line.out);
	assert_int_equal(rk_dead_letter_replay(runtime, NULL, NULL, LONG_NS), 20 - 2 * RING);
	expect_words(line.out, 2 * RING, 20 - 2 * RING);
	expect_end(&line);
	close_runtime(runtime);
}

/* On another link: back into the inbox of the actor, by the thread that sends there. */
static void letters_go_another_way(void **state)
{
	struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct rk_dead_filter filter = {.size = sizeof(filter), .type = TEST_ADD};
	struct line line = open_line(&cpu, &opts);
	struct rk_msg msg;

	(void)state;
	send_count(&line, 20);
	expect_words(line.out, 0, RING);
	rk_ring_rx_credit(line.out);
	assert_int_equal(
		rk_dead_letter_replay(line.runtime, &filter, rk_link_of_tx(line.in), LONG_NS), 12);
	await_taken(line.actor, 32);
	expect_words(line.out, RING, RING);
	rk_ring_rx_credit(line.out);
	assert_int_equal(letters_of(&line, NULL), 4);
	assert_int_equal(rk_dead_letter_replay(line.runtime, NULL, NULL, LONG_NS), 4);
	expect_words(line.out, 16, 4);
	finish_sending(line.in);
	assert_false(receive(line.out, &msg, 1));
	close_runtime(line.runtime);
}

/* --- Deadlines --- */

/* The table of their bytes is right: each has its place, behind those before it. */
static void extensions_lie_in_their_order(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags <= RK_MSG_F_ALL; flags++) {
		struct rk_msg msg = {.flags = (uint8_t)flags, .slots = 1};
		uint32_t before = (flags & RK_MSG_F_TIME ? 8u : 0u) +
				  (flags & RK_MSG_F_TRACE ? 24u : 0u) +
				  (flags & RK_MSG_F_CLOCK ? 8u : 0u);
		bool dated = flags & RK_MSG_F_DEADLINE;

		assert_int_equal(rk_msg_extension_bytes(msg.flags), before + (dated ? 8 : 0));
		assert_int_equal(rk_msg_deadline(&msg), dated ? 0 : RK_NO_DEADLINE);
		rk_msg_set_deadline(&msg, 0x0102030405060708);
		for (uint32_t i = 0; i < RK_MSG_BODY_BYTES; i++)
			assert_int_equal(msg.body[i],
					 dated && i - before < 8 ? 8 - (i - before) : 0);
	}
}

/* Sends on what it gets once that is late. */
static void dawdle(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)state;
	if (msg->type < RK_MSG_PACKET)
		return;
	while (msg->tag % 2 && monotonic_ns() <= rk_msg_deadline(msg))
		;
	rk_send(ctx, 0, msg->type, msg->tag, rk_msg_payload(msg), rk_msg_payload_bytes(msg));
}

static const struct rk_actor_type dawdler_type = {
	.name = "dawdler", .summary = "sends on what is late", .handle = dawdle};

static void ports_write_nothing_late(void **state)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts)};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_link_opts in = slots(64), out = slots(64);
	struct rk_port_stats stats;
	struct rk_actor *actor;
	struct rk_link *link;
	struct rk_port *port;
	struct rk_ring_tx *tx;

	(void)state;
	out.dead_slots = LETTERS;
	ok(rk_actor_spawn(&actor, runtime, &dawdler_type, &opts));
	ok(rk_port_open(&port, "null:", RK_PORT_OUT, 0));
	ok(rk_link_port_out(&link, actor, port, &out));
	ok(rk_link_host_in(&tx, actor, &in));
	for (uint32_t i = 0; i < 20; i++)
		send_dated(tx, i, i % 2 ? monotonic_ns() + SECOND_NS / 10 : RK_NO_DEADLINE);
	finish_sending(tx);
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages,
			 info_of(actor).sent - link_of(link).dropped[RK_DROP_EXPIRED]);
	assert_int_equal(info_of(actor).sent + info_of(actor).dropped_expired, 20);
	assert_in_range(link_of(link).dropped[RK_DROP_EXPIRED], 1, 10);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, NULL, 0),
			 link_of(link).dropped[RK_DROP_EXPIRED]);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_that_find_no_room_are_counted),
		cmocka_unit_test(letters_of_the_end),
		cmocka_unit_test(filters_choose),
		ON_BOTH(letters_go_out_again)
		cmocka_unit_test(letters_are_looked_at_while_they_go_out),
		cmocka_unit_test(a_replay_that_comes_too_late_is_accounted_for),
		cmocka_unit_test(letters_go_another_way),
		cmocka_unit_test(extensions_lie_in_their_order),
		cmocka_unit_test(ports_write_nothing_late),
	};

	aid_watchdog(200);
	return cmocka_run_group_tests(tests, nothing_is_left_open, NULL);
}
