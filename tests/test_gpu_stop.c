// SPDX-License-Identifier: MIT
/*
 * Stopping actors on a GPU: idle, busy and blocked, after draining and at once, a thousand times,
 * each honoured and accounted for; seats that are used again, and none that is left.
 */
#include "actor_aid.h"
#include "gpu_aid.h"

enum { STOPS = 1000 };
enum work { IDLE, BUSY, BLOCKED, WORKS };

static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const char *const work_names[WORKS] = {"idle", "busy", "blocked"};

static uint64_t slowest_ns[WORKS][2];

/* One actor with a ring in and a ring out, and the host's two ends. */
struct stand {
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t messages; /* that the sender has in hand */
	uint64_t sent, received;
};

static uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Send all that is in hand, or what is taken until the actor refuses. */
static void *keep_sending(void *argument)
{
	struct stand *stand = argument;

	while (stand->sent < stand->messages && !stand->tx->closed) {
		struct rk_msg msg = {
			.type = TEST_ADD, .slots = 1, .tag = (uint32_t)stand->sent};

		memcpy(msg.body, &(uint64_t){stand->sent * 3}, 8);
		stand->sent += (uint64_t)rk_ring_send(stand->tx, &msg);
	}
	return NULL;
}

static void *keep_receiving(void *argument)
{
	struct stand *stand = argument;

	stand->received = receive_all(stand->rx, 0, false);
	return NULL;
}

static uint64_t stop_timed(struct stand *stand, enum rk_stop how)
{
	uint64_t start_ns = clock_now_ns();

	ok(rk_actor_stop(stand->actor, how, LONG_NS));
	return clock_now_ns() - start_ns;
}

static uint64_t stop_busy(struct stand *stand, enum rk_stop how, uint64_t random)
{
	pthread_t sender, receiver;
	uint64_t took_ns;

	/* What is to be drained must end. */
	stand->messages = how == RK_STOP_NOW ? UINT64_MAX : 20000;
	pthread_create(&receiver, NULL, keep_receiving, stand);
	pthread_create(&sender, NULL, keep_sending, stand);
	usleep((useconds_t)(random % 2000));
	took_ns = stop_timed(stand, how);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	return took_ns;
}

static uint64_t stop_blocked(struct stand *stand, enum rk_stop how)
{
	struct rk_actor_info info;
	uint64_t took_ns;

	for (stand->sent = 0; stand->sent < 40; stand->sent++)
		send_word(stand->tx, (uint32_t)stand->sent, stand->sent * 3);
	do
		rk_actor_info(stand->actor, &info);
	while (info.sent < 8);
	if (how == RK_STOP_NOW) {
		took_ns = stop_timed(stand, how);
		stand->received = receive_all(stand->rx, 0, false);
		return took_ns;
	}
	/* It waits for its consumer, who then reads. */
	assert_int_equal(rk_actor_stop(stand->actor, how, SECOND_NS / 1000), -ETIMEDOUT);
	for (struct rk_msg msg; stand->received < 40; stand->received++)
		assert_true(receive(stand->rx, &msg, 1));
	took_ns = stop_timed(stand, how);
	assert_int_equal(receive_all(stand->rx, 0, false), 0);
	return took_ns;
}

static void account(const struct stand *stand, enum rk_stop how)
{
	struct rk_actor_info info;
	uint64_t in_ring;

	rk_actor_info(stand->actor, &info);
	in_ring = rk_ring_tx_position(stand->tx) - info.received_slots;
	assert_int_equal(info.state, RK_ACTOR_STOPPED);
	assert_int_equal(stand->sent, info.received + in_ring);
	assert_int_equal(info.received, info.sent + info.dropped_stopped);
	assert_int_equal(stand->received, info.sent);
	if (how == RK_STOP_DRAIN)
		assert_int_equal(info.dropped_stopped, 0);
}

static void stop_one(struct rk_runtime *runtime, const struct placing *on, enum work work,
		     enum rk_stop how, uint64_t random)
{
	const struct rk_link_opts opts = slots(work == BLOCKED ? 8 : 256), wide = slots(64);
	struct stand stand = {.actor = spawn(runtime, on, 0, 0)};
	uint64_t took_ns;

	ok(rk_link_host_out(&stand.rx, stand.actor, &opts));
	ok(rk_link_host_in(&stand.tx, stand.actor, &wide));
	if (work == BUSY) {
		took_ns = stop_busy(&stand, how, random);
	} else if (work == BLOCKED) {
		took_ns = stop_blocked(&stand, how);
	} else {
		took_ns = stop_timed(&stand, how);
		stand.received = receive_all(stand.rx, 0, false);
	}
	account(&stand, how);
	if (took_ns > slowest_ns[work][how])
		slowest_ns[work][how] = took_ns;
}

static void every_stop_of_a_thousand_is_honoured(void **unused)
{
	struct rk_runtime *runtime = NULL;
	uint64_t random = aid_choose_seed(1);

	(void)unused;
	for (int i = 0; i < STOPS; i++) {
		/* Links keep their memory until their runtime closes. */
		if (i % 250 == 0) {
			close_runtime(runtime); /* of nothing, at first */
			runtime = open_blocks(1, 0, 2);
		}
		stop_one(runtime, i % 3 == 0 ? &block : &warp, (enum work)(i / 2 % WORKS),
			 i % 2 ? RK_STOP_NOW : RK_STOP_DRAIN, aid_random(&random));
	}
	close_runtime(runtime);
	for (int work = 0; work < WORKS; work++)
		print_message("# slowest stop while %s: drain %.3f ms, now %.3f ms\n",
			      work_names[work], (double)slowest_ns[work][RK_STOP_DRAIN] / 1e6,
			      (double)slowest_ns[work][RK_STOP_NOW] / 1e6);
}

/* Closing the runtime stops whatever runs, whoever does not read. */
static void closing_stops_idle_busy_and_blocked(void **unused)
{
	(void)unused;
	for (int i = 0; i < 10; i++) {
		struct rk_runtime *runtime = open_blocks(1, 0, 2);
		struct stand blocked = {.actor = spawn(runtime, i % 2 ? &warp : &block, 0, 0)};
		const struct rk_link_opts tiny = slots(4);

		spawn(runtime, &warp, 0, 0);
		ok(rk_link_host_out(&blocked.rx, blocked.actor, &tiny));
		ok(rk_link_host_in(&blocked.tx, blocked.actor, NULL));
		blocked.messages = 300;
		keep_sending(&blocked);
		close_runtime(runtime);
	}
}

static void more_actors_than_seats_is_an_error(void **unused)
{
	struct rk_runtime *runtime = open_blocks(1, 0, 1);
	struct rk_actor_opts as_block = opts_of(&block, 0), as_warp = opts_of(&warp, 0);
	struct rk_actor *actor[16], *more;

	(void)unused;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			actor[i] = spawn(runtime, &warp, 0, 0);
		assert_int_equal(rk_actor_spawn(&more, runtime, &relay_type, &as_warp), -EBUSY);
		assert_non_null(strstr(rk_errmsg(), "actor 'relay': no free seat"));
		assert_int_equal(rk_actor_spawn(&more, runtime, &relay_type, &as_block), -EBUSY);
		assert_non_null(strstr(rk_errmsg(), "actor 'relay': no free block"));
		for (int i = 0; i < 16; i++)
			ok(rk_actor_stop(actor[i], RK_STOP_NOW, LONG_NS));
		ok(rk_runtime_wait(runtime, LONG_NS));
		/* All seats are free again: the block takes them all. */
		more = spawn(runtime, &block, 0, 0);
		assert_int_equal(rk_actor_spawn(&actor[0], runtime, &relay_type, &as_warp), -EBUSY);
		ok(rk_actor_stop(more, RK_STOP_DRAIN, LONG_NS));
		ok(rk_runtime_wait(runtime, LONG_NS));
	}
	close_runtime(runtime);
}

/* A seat is free again a moment after its actor has stopped. */
static void seats_are_used_again(void **unused)
{
	struct rk_runtime *runtime = open_blocks(1, 0, 1);
	struct rk_actor *actor[16];

	(void)unused;
	for (int i = 0; i < 16; i++)
		actor[i] = spawn(runtime, &warp, 0, (uint64_t)i);
	for (int i = 0; i < 500; i++) {
		struct rk_actor_opts opts = opts_of(&warp, 0);
		const struct test_state *state;
		int at = i * 7 % 16, result;

		ok(rk_actor_stop(actor[at], i % 2 ? RK_STOP_NOW : RK_STOP_DRAIN, LONG_NS));
		state = rk_actor_state(actor[at]);
		assert_non_null(state);
		assert_int_equal(state->started, 1);
		assert_int_equal(state->stopped, 1);
		while ((result = rk_actor_spawn(&actor[at], runtime, &relay_type, &opts)) == -EBUSY)
			usleep(50);
		ok(result);
	}
	close_runtime(runtime);
}

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_stop_of_a_thousand_is_honoured, nothing_is_left_open),
		cmocka_unit_test_setup(closing_stops_idle_busy_and_blocked, nothing_is_left_open),
		cmocka_unit_test_setup(more_actors_than_seats_is_an_error, nothing_is_left_open),
		cmocka_unit_test_setup(seats_are_used_again, nothing_is_left_open),
	};

	return gpu_run_tests(tests, count, words, 300, NULL);
}
