// SPDX-License-Identifier: MIT
/* Actors on the cpu backend: order, content, conservation, back-pressure, and every way to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ringkernel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ULL
#define LONG_NS (60 * SECOND_NS)

enum { DATA = RK_MSG_USER, STUCK };

/* --- Actors under test --- */

struct relay_state {
	uint64_t arg[2];
	uint64_t started, stopped, handled, next, out_of_order;
};

/* Sends every message on, its first word plus the first argument; notes the order. */
static void relay(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct relay_state *s = state;
	uint64_t word;

	if (msg->type == RK_MSG_START) {
		memcpy(s->arg, rk_msg_payload(msg), sizeof(s->arg));
		s->started++;
		return;
	}
	if (msg->type == RK_MSG_STOP) {
		s->stopped++;
		return;
	}
	s->handled++;
	if (msg->tag != (uint32_t)s->next++)
		s->out_of_order++;
	memcpy(&word, rk_msg_payload(msg), sizeof(word));
	word += s->arg[0];
	rk_send(ctx, 0, DATA, msg->tag, &word, sizeof(word));
}

static const char *const relay_args[] = {"add", "other", NULL};
static const struct rk_actor_type relay_type = {
	.name = "relay",
	.summary = "sends on",
	.handle = relay,
	.state_bytes = sizeof(struct relay_state),
	.args = relay_args,
};

/* Does not come back until told. */
static uint32_t stuck_release;

static void stuck(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)ctx;
	(void)state;
	if (msg->type == STUCK)
		while (!__atomic_load_n(&stuck_release, __ATOMIC_ACQUIRE))
			usleep(1000);
}

static const struct rk_actor_type stuck_type = {.name = "stuck", .summary = "", .handle = stuck};

/* --- Help --- */

static uint64_t seed(void)
{
	const char *text = getenv("RK_SEED");

	return text ? strtoull(text, NULL, 0) : 0x5eed;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void ok(int result)
{
	if (result)
		fail_msg("%d: %s", result, rk_errmsg());
}

static struct rk_runtime *open_runtime(unsigned int workers, uint32_t spin_looks)
{
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = workers, .spin_looks = spin_looks};
	struct rk_runtime *runtime;

	ok(rk_runtime_open(&runtime, &opts));
	return runtime;
}

static struct rk_actor *spawn(struct rk_runtime *runtime, const struct rk_actor_type *type,
			      int worker, uint64_t add)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts),
					   .worker = worker,
					   .args = &add,
					   .arg_count = type->args ? 1 : 0};
	struct rk_actor *actor;

	ok(rk_actor_spawn(&actor, runtime, type, &opts));
	return actor;
}

static struct rk_link_opts slots(uint64_t count)
{
	return (struct rk_link_opts){
		.size = sizeof(struct rk_link_opts), .slots = count, .worker = RK_ANY_WORKER};
}

static void send_word(struct rk_ring_tx *tx, uint32_t tag, uint64_t word)
{
	struct rk_msg msg = {.type = DATA, .slots = 1, .tag = tag};
	int sent;

	memcpy(msg.body, &word, sizeof(word));
	while (!(sent = rk_ring_send(tx, &msg)))
		assert_int_equal(rk_ring_wait_send(tx, 1, LONG_NS), 1);
	assert_int_equal(sent, 1);
}

static void finish_sending(struct rk_ring_tx *tx)
{
	while (!rk_ring_close(tx, RK_CLOSE_DONE))
		assert_int_equal(rk_ring_wait_send(tx, 1, LONG_NS), 1);
}

/* A host thread that sends @count words, pausing at random if @pauses. */
struct sender {
	struct rk_ring_tx *tx;
	uint64_t count;
	bool pauses;
};

static void *send_all(void *argument)
{
	struct sender *sender = argument;
	uint64_t random = seed() | 1;

	for (uint64_t i = 0; i < sender->count; i++) {
		send_word(sender->tx, (uint32_t)i, i * 3);
		if (sender->pauses && next_random(&random) % 16 == 0)
			usleep((useconds_t)(next_random(&random) % 300));
	}
	finish_sending(sender->tx);
	return NULL;
}

/* Receive until closed; check that word i is i * 3 + @add. Returns how many. */
static uint64_t receive_all(struct rk_ring_rx *rx, uint64_t add)
{
	uint64_t count = 0, word;
	struct rk_msg msg;

	while (!rx->closed) {
		int got = rk_ring_recv(rx, &msg, 1);

		assert_true(got >= 0);
		if (!got) {
			assert_int_not_equal(rk_ring_wait_recv(rx, LONG_NS), 0);
			continue;
		}
		if (msg.type == RK_MSG_CLOSED)
			break;
		memcpy(&word, msg.body, sizeof(word));
		assert_int_equal(msg.tag, (uint32_t)count);
		assert_int_equal(word, count * 3 + add);
		count++;
	}
	return count;
}

/* --- Tests --- */

/* A chain of @actors relays over @workers workers, rings of @capacity slots. */
static void run_chain(unsigned int workers, unsigned int actors, uint64_t capacity, uint64_t count,
		      bool pauses, uint32_t spin_looks)
{
	struct rk_runtime *runtime = open_runtime(workers, spin_looks);
	const struct rk_link_opts opts = slots(capacity);
	struct rk_actor *actor[8];
	struct rk_actor_info info;
	struct sender sender = {.count = count, .pauses = pauses};
	struct rk_ring_rx *rx;
	pthread_t thread;

	for (unsigned int i = 0; i < actors; i++) {
		actor[i] = spawn(runtime, &relay_type, (int)(i % workers), i + 1);
		if (i)
			ok(rk_link_actors(NULL, actor[i - 1], actor[i], &opts));
	}
	ok(rk_link_host_out(&rx, actor[actors - 1], &opts));
	ok(rk_link_host_in(&sender.tx, actor[0], &opts));
	pthread_create(&thread, NULL, send_all, &sender);
	assert_int_equal(receive_all(rx, actors * (actors + 1) / 2), count);
	pthread_join(thread, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	for (unsigned int i = 0; i < actors; i++) {
		const struct relay_state *state = rk_actor_state(actor[i]);

		rk_actor_info(actor[i], &info);
		assert_int_equal(info.state, RK_ACTOR_STOPPED);
		assert_int_equal(info.received, count);
		assert_int_equal(info.sent, count);
		assert_int_equal(info.dropped_closed + info.dropped_bad + info.dropped_stopped +
					 info.dropped_no_outbox,
				 0);
		assert_int_equal(state->started, 1);
		assert_int_equal(state->stopped, 1);
		assert_int_equal(state->handled, count);
		assert_int_equal(state->out_of_order, 0);
		assert_int_equal(state->arg[0], i + 1);
		assert_int_equal(state->arg[1], 0);
	}
	ok(rk_runtime_close(runtime));
}

static void chain_keeps_order_and_content(void **unused)
{
	(void)unused;
	run_chain(2, 1, 1024, 300000, false, 0);
	run_chain(2, 3, 64, 100000, false, 0);
}

static void chain_on_one_worker_never_deadlocks_on_tiny_rings(void **unused)
{
	(void)unused;
	run_chain(1, 4, 2, 20000, false, 0);
	run_chain(1, 8, 4, 5000, false, 1);
}

static void sleeping_workers_miss_no_message(void **unused)
{
	(void)unused;
	/* One look, then asleep: every pause of the sender finds everybody sleeping. */
	run_chain(2, 3, 16, 5000, true, 1);
}

static void drain_handles_what_is_in_the_inboxes(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const struct rk_link_opts opts = slots(1024);
	struct rk_actor *actor = spawn(runtime, &relay_type, 1, 0);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	(void)unused;
	ok(rk_link_host_out(&rx, actor, &opts));
	ok(rk_link_host_in(&tx, actor, &opts));
	for (uint32_t i = 0; i < 700; i++)
		send_word(tx, i, i * 3);
	ok(rk_actor_stop(actor, RK_STOP_DRAIN, LONG_NS));
	rk_actor_info(actor, &info);
	assert_int_equal(info.received, 700);
	assert_int_equal(info.sent, 700);
	assert_int_equal(receive_all(rx, 0), 700);
	/* Its inbox refuses from now on, and the producer learns why. */
	for (uint32_t i = 0; i < 2048 && !tx->closed; i++) {
		struct rk_msg msg = {.type = DATA, .slots = 1};

		rk_ring_send(tx, &msg);
	}
	assert_int_equal(tx->closed, RK_CLOSE_STOPPED);
	ok(rk_actor_stop(actor, RK_STOP_NOW, 0));
	ok(rk_runtime_close(runtime));
}

static void stop_now_frees_an_actor_that_waits_for_room(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const struct rk_link_opts tiny = slots(4), wide = slots(256);
	struct rk_actor *actor = spawn(runtime, &relay_type, 1, 0);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t in_ring;

	(void)unused;
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
	ok(rk_runtime_close(runtime));
}

static void sends_that_cannot_be_are_counted_by_reason(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &relay_type, 0, 0);
	const struct rk_link_opts opts = slots(64);
	struct rk_actor_info info;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	(void)unused;
	ok(rk_link_host_in(&tx, actor, &opts));
	send_word(tx, 0, 0);
	do {
		usleep(1000);
		rk_actor_info(actor, &info);
	} while (info.received < 1);
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
	ok(rk_runtime_close(runtime));
}

static void a_handler_that_does_not_return_is_reported_by_name(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .name = "sleeper"};
	struct rk_msg msg = {.type = STUCK, .slots = 1};
	struct rk_actor *actor;
	struct rk_ring_tx *tx;

	(void)unused;
	__atomic_store_n(&stuck_release, 0, __ATOMIC_RELEASE);
	ok(rk_actor_spawn(&actor, runtime, &stuck_type, &opts));
	ok(rk_link_host_in(&tx, actor, NULL));
	assert_int_equal(rk_ring_send(tx, &msg), 1);
	while (rk_ring_tx_free(tx) == RK_LINK_SLOTS - 1 && rk_actor_state(actor))
		usleep(1000);
	usleep(20000);
	assert_int_equal(rk_actor_stop(actor, RK_STOP_NOW, SECOND_NS / 20), -ETIMEDOUT);
	assert_non_null(strstr(rk_errmsg(), "actor 'sleeper'"));
	assert_null(rk_actor_state(actor));
	__atomic_store_n(&stuck_release, 1, __ATOMIC_RELEASE);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	ok(rk_runtime_close(runtime));
}

static void wrong_arguments_are_named(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	const uint64_t args[3] = {1, 2, 3};
	struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .args = args, .arg_count = 3};
	const struct rk_link_opts odd = slots(1000);
	const int no_such_cpu = 100000;
	struct rk_runtime_opts bad = {.size = sizeof(bad), .workers = RK_MAX_WORKERS + 1};
	struct rk_runtime *none = NULL;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;

	(void)unused;
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EINVAL);
	assert_string_equal(rk_errmsg(), "actor 'relay': 3 arguments: type 'relay' takes 2");
	opts.arg_count = 0;
	opts.worker = 2;
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EINVAL);
	assert_string_equal(rk_errmsg(), "worker 2: this runtime has 0 to 1");
	actor = spawn(runtime, &relay_type, 0, 0);
	assert_int_equal(rk_link_host_in(&tx, actor, &odd), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "capacity 1000 slots"));
	for (int i = 0; i < RK_MAX_LINKS; i++)
		ok(rk_link_host_in(&tx, actor, NULL));
	assert_int_equal(rk_link_host_in(&tx, actor, NULL), -ENOSPC);
	ok(rk_actor_stop(actor, RK_STOP_NOW, LONG_NS));
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(rk_link_host_in(&tx, actor, NULL), -ENOSPC);
	ok(rk_runtime_close(runtime));
	assert_int_equal(rk_runtime_open(&none, &bad), -EINVAL);
	bad.workers = 1;
	bad.cpus = &no_such_cpu;
	assert_int_equal(rk_runtime_open(&none, &bad), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "CPU 100000"));
	assert_null(none);
}

static void extensions_travel_with_what_a_handler_sends(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &relay_type, 0, 5);
	struct rk_msg msg = {.type = DATA, .flags = RK_MSG_F_TIME | RK_MSG_F_CLOCK, .slots = 1};
	const uint64_t in[3] = {111, 222, 333};
	uint64_t out[3];
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	(void)unused;
	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_host_in(&tx, actor, NULL));
	memcpy(msg.body, in, sizeof(in));
	assert_int_equal(rk_ring_send(tx, &msg), 1);
	assert_int_equal(rk_ring_wait_recv(rx, LONG_NS), 1);
	assert_int_equal(rk_ring_recv(rx, &msg, 1), 1);
	assert_int_equal(msg.flags, RK_MSG_F_TIME | RK_MSG_F_CLOCK);
	memcpy(out, msg.body, sizeof(out));
	assert_int_equal(out[0], 111);
	assert_int_equal(out[1], 222);
	assert_int_equal(out[2], 338);
	ok(rk_runtime_close(runtime));
}

static void spawn_and_stop_a_thousand_times_leaves_nothing(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	uint64_t random = seed() | 1;

	(void)unused;
	for (int i = 0; i < 1000; i++) {
		struct rk_actor *actor = spawn(runtime, &relay_type, i % 2, 0);
		uint64_t messages = next_random(&random) % 20;
		const struct rk_link_opts opts = slots(32);
		struct rk_actor_info info;
		struct rk_ring_tx *tx;
		struct rk_ring_rx *rx;

		ok(rk_link_host_out(&rx, actor, &opts));
		ok(rk_link_host_in(&tx, actor, &opts));
		for (uint32_t m = 0; m < messages; m++)
			send_word(tx, m, m * 3);
		ok(rk_actor_stop(actor, next_random(&random) % 2 ? RK_STOP_NOW : RK_STOP_DRAIN,
				 LONG_NS));
		rk_actor_info(actor, &info);
		assert_int_equal(messages, info.received + (rk_ring_tx_position(tx) -
							    info.received_slots));
		assert_int_equal(receive_all(rx, 0), info.sent);
		assert_int_equal(info.sent + info.dropped_stopped, info.received);
	}
	ok(rk_runtime_wait(runtime, LONG_NS));
	ok(rk_runtime_close(runtime));
}

/* Spawning outruns the worker, whose control ring fills while stopped actors want the mutex. */
static void more_actors_than_a_control_ring_holds(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor[400];

	(void)unused;
	for (int i = 0; i < 400; i++) {
		actor[i] = spawn(runtime, &relay_type, 0, 0);
		if (i % 3 == 2)
			ok(rk_actor_stop(actor[i - 1], RK_STOP_NOW, LONG_NS));
	}
	ok(rk_runtime_stop(runtime, RK_STOP_NOW, LONG_NS));
	for (int i = 0; i < 400; i++) {
		const struct relay_state *state = rk_actor_state(actor[i]);

		assert_non_null(state);
		assert_int_equal(state->started, 1);
		assert_int_equal(state->stopped, 1);
	}
	ok(rk_runtime_close(runtime));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_keeps_order_and_content),
		cmocka_unit_test(chain_on_one_worker_never_deadlocks_on_tiny_rings),
		cmocka_unit_test(sleeping_workers_miss_no_message),
		cmocka_unit_test(drain_handles_what_is_in_the_inboxes),
		cmocka_unit_test(stop_now_frees_an_actor_that_waits_for_room),
		cmocka_unit_test(sends_that_cannot_be_are_counted_by_reason),
		cmocka_unit_test(a_handler_that_does_not_return_is_reported_by_name),
		cmocka_unit_test(wrong_arguments_are_named),
		cmocka_unit_test(extensions_travel_with_what_a_handler_sends),
		cmocka_unit_test(spawn_and_stop_a_thousand_times_leaves_nothing),
		cmocka_unit_test(more_actors_than_a_control_ring_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
