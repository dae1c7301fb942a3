// SPDX-License-Identifier: MIT
/*
 * Handlers replaced under load: what comes out is, to the byte, what one handler would have sent
 * that nobody ever replaced, whether the new one is kept, traps, is stuck, or does not please.
 */
#include "actor_aid.h"

#include <signal.h>

/* --- Two handlers that send the sum of all words so far --- */

struct first_state {
	uint64_t sum, handled, started, stopped;
};

enum how { WELL, TRAPS, HANGS, LIES };

/* The same, elsewhere; and it fails at message `bad`. */
struct second_state {
	uint64_t before[9];
	uint64_t bad, never;
	enum how how;
	struct first_state sums;
};

static void add_up(struct rk_ctx *ctx, struct first_state *s, const struct rk_msg *msg)
{
	s->started += msg->type == RK_MSG_START;
	s->stopped += msg->type == RK_MSG_STOP;
	if (msg->type < RK_MSG_PACKET)
		return;
	s->handled++;
	s->sum += word_of(msg);
	rk_send(ctx, 0, TEST_ADD, msg->tag, &s->sum, sizeof(s->sum));
}

static void first(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	add_up(ctx, state, msg);
}

static void second(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct second_state *s = state;
	const volatile uint64_t *never = &s->never;
	const uint64_t nonsense = 0xbad;

	if (msg->type >= RK_MSG_PACKET && s->sums.handled == s->bad && s->how != WELL) {
		for (int i = 0; i < 300; i++)
			rk_send(ctx, 0, TEST_ADD, 7, &nonsense, sizeof(nonsense));
		rk_send(ctx, 1000, TEST_ADD, 7, &nonsense, sizeof(nonsense));
		if (s->how == TRAPS)
			__builtin_trap();
		while (s->how == HANGS && !*never)
			;
	}
	add_up(ctx, &s->sums, msg);
}

static void first_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	struct first_state *s = state;

	for (uint32_t i = 0; i < count; i++) {
		s->handled++;
		s->sum += word_of(&msgs[i]);
		memcpy(msgs[i].body, &s->sum, sizeof(s->sum));
	}
	rk_send_batch(ctx, 0, msgs, count);
}

static const struct rk_actor_type first_type = {.name = "first",
						.summary = "",
						.handle = first,
						.batch = first_batch,
						.state_bytes = sizeof(struct first_state)};
static const struct rk_actor_type second_type = {.name = "second",
						 .summary = "",
						 .handle = second,
						 .state_bytes = sizeof(struct second_state)};

/* What the next conversion plants. */
static struct {
	uint64_t after;
	enum how how;
	bool traps;
} plan;

static void to_second(void *to, const void *from)
{
	struct second_state *s = to;

	if (plan.traps)
		__builtin_trap();
	memcpy(&s->sums, from, sizeof(s->sums));
	s->bad = s->sums.handled + plan.after;
	s->how = plan.how;
}

static void to_first(void *to, const void *from)
{
	memcpy(to, &((const struct second_state *)from)->sums, sizeof(struct first_state));
}

static bool is_honest(void *user, const void *state, const struct rk_msg *msg)
{
	const struct second_state *s = state;

	(void)user;
	(void)msg;
	return s->how != LIES || s->sums.handled <= s->bad;
}

/* --- An actor under load --- */

struct load {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t sent, taken, wrong;
	uint32_t enough;
	pthread_t feeding, taking;
};

static void open_load(struct load *load, uint64_t capacity, bool dormant, bool guard)
{
	static struct sigaction guards;
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 2, .guard = guard};
	const struct rk_link_opts link = slots(capacity);
	const struct rk_actor_opts actor = {
		.size = sizeof(actor), .worker = RK_ANY_WORKER, .dormant = dormant};

	*load = (struct load){.runtime = NULL};
	ok(rk_runtime_open(&left_open, &opts));
	/* A process gives its signals to the guard once, and cmocka takes them back for each test.
	 */
	if (guard && !guards.sa_sigaction)
		sigaction(SIGILL, NULL, &guards);
	else if (guard)
		sigaction(SIGILL, &guards, NULL);
	load->runtime = left_open;
	ok(rk_actor_spawn(&load->actor, load->runtime, &first_type, &actor));
	ok(rk_link_host_out(&load->rx, load->actor, &link));
	ok(rk_link_host_in(&load->tx, load->actor, &link));
}

static void *feed(void *argument)
{
	struct load *load = argument;

	/* pairs with end_load() */
	while (!__atomic_load_n(&load->enough, __ATOMIC_ACQUIRE)) {
		send_word(load->tx, (uint32_t)load->sent, load->sent * 7 + 1);
		load->sent++;
	}
	finish_sending(load->tx);
	return NULL;
}

static void *take(void *argument)
{
	struct load *load = argument;
	uint64_t sum = 0;
	struct rk_msg msg;

	while (receive(load->rx, &msg, 1)) {
		sum += load->taken * 7 + 1;
		load->wrong += word_of(&msg) != sum || msg.tag != (uint32_t)load->taken;
		load->taken++;
	}
	return NULL;
}

static void begin_load(struct load *load)
{
	pthread_create(&load->feeding, NULL, feed, load);
	pthread_create(&load->taking, NULL, take, load);
}

/* @in_second: the handler that is in place. */
static void end_load(struct load *load, bool in_second, uint64_t reloads, uint64_t rollbacks)
{
	struct rk_actor_info info;
	struct first_state state;

	__atomic_store_n(&load->enough, 1, __ATOMIC_RELEASE); /* pairs with feed() */
	pthread_join(load->feeding, NULL);
	pthread_join(load->taking, NULL);
	ok(rk_runtime_wait(load->runtime, LONG_NS));
	info = info_of(load->actor);
	assert_int_equal(load->wrong, 0);
	assert_int_equal(load->taken, load->sent);
	assert_int_equal(info.received, load->sent);
	assert_int_equal(info.sent, load->sent);
	assert_int_equal(info.reloads, reloads);
	assert_int_equal(info.rollbacks, rollbacks);
	assert_int_equal(info.failures + info.failed_messages + dropped(&info), 0);
	if (in_second)
		to_first(&state, rk_actor_state(load->actor));
	else
		memcpy(&state, rk_actor_state(load->actor), sizeof(state));
	assert_int_equal(state.handled, load->sent);
	assert_int_equal(state.started, 1);
	assert_int_equal(state.stopped, 1);
	close_runtime(load->runtime);
}

static int to_the_second(struct load *load, enum how how, uint64_t after, uint32_t trial)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts),
					    .trial_messages = trial,
					    .stuck_ns = SECOND_NS / 200,
					    .check = is_honest};

	plan.how = how;
	plan.after = after;
	return rk_actor_reload(load->actor, &second_type, to_second, &opts, LONG_NS);
}

static void back_to_the_first(struct load *load, uint32_t trial)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = trial};

	ok(rk_actor_reload(load->actor, &first_type, to_first, &opts, LONG_NS));
}

static void reload_at_random(uint64_t rounds, uint64_t capacity, unsigned int hangs)
{
	uint64_t random = aid_choose_seed(11), reloads = 0, rollbacks = 0;
	struct load load;

	open_load(&load, capacity, false, true);
	begin_load(&load);
	for (uint64_t i = 0; i < rounds; i++) {
		enum how how = (enum how)aid_below(&random, LIES + 1);
		uint32_t trial = (uint32_t)aid_below(&random, 200);
		uint64_t after = aid_below(&random, trial + 1);

		if (how == HANGS && (SIGNALS_WAIT || !hangs))
			how = LIES;
		hangs -= how == HANGS;
		/* Past the trial nobody would undo it. */
		if (after >= trial)
			how = WELL;
		if (how == WELL) {
			ok(to_the_second(&load, how, 0, trial));
			back_to_the_first(&load, (uint32_t)aid_below(&random, 50));
			reloads += 2;
		} else {
			assert_int_equal(to_the_second(&load, how, after, trial), -EFAULT);
			assert_non_null(strstr(rk_errmsg(), "reload: undone:"));
			rollbacks++;
		}
		if (aid_below(&random, 4) == 0)
			ok(rk_actor_move(load.actor, (int)aid_below(&random, 2), LONG_NS));
	}
	end_load(&load, false, reloads, rollbacks);
}

static void what_comes_out_is_as_if_nothing_was_replaced(void **unused)
{
	(void)unused;
	reload_at_random(SIGNALS_WAIT ? 100 : 400, 1024, 10);
	reload_at_random(50, 2, 3);
}

/* --- One at a time --- */

static void expect_sum(struct load *load, uint64_t word)
{
	static uint64_t sum;
	struct rk_msg msg;

	sum = load->sent ? sum + word : word;
	send_word(load->tx, (uint32_t)load->sent++, word);
	assert_true(receive(load->rx, &msg, 1));
	assert_int_equal(word_of(&msg), sum);
}

static void a_trial_waits_for_its_messages(void **unused)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = 3};
	struct first_state copy;
	struct load load;

	(void)unused;
	open_load(&load, 64, false, true);
	expect_sum(&load, 5);
	plan.how = WELL;
	assert_int_equal(
		rk_actor_reload(load.actor, &second_type, to_second, &opts, SECOND_NS / 100),
		-ETIMEDOUT);
	assert_non_null(strstr(rk_errmsg(), "the trial of 3 messages is not over"));
	assert_int_equal(rk_actor_reload(load.actor, &first_type, to_first, &opts, 0), -EBUSY);
	assert_int_equal(rk_actor_copy(load.actor, &copy, LONG_NS), -EBUSY);
	expect_sum(&load, 6);
	ok(rk_actor_pause(load.actor, LONG_NS));
	ok(rk_actor_start(load.actor, LONG_NS));
	expect_sum(&load, 7);
	assert_int_equal(info_of(load.actor).reloads, 0);
	expect_sum(&load, 8);
	while (!info_of(load.actor).reloads)
		usleep(100);
	back_to_the_first(&load, 0);
	expect_sum(&load, 9);
	ok(rk_actor_copy(load.actor, &copy, LONG_NS));
	assert_int_equal(copy.handled, 5);
	assert_int_equal(copy.sum, 5 + 6 + 7 + 8 + 9);
	close_runtime(load.runtime);
}

static void a_restart_or_a_stop_keeps_the_new_handler(void **unused)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = 3};
	const struct second_state *state;
	struct load load;

	(void)unused;
	open_load(&load, 64, false, true);
	expect_sum(&load, 5);
	plan.how = WELL;
	assert_int_equal(rk_actor_reload(load.actor, &second_type, to_second, &opts, 0),
			 -ETIMEDOUT);
	ok(rk_actor_restart(load.actor, NULL, LONG_NS));
	assert_int_equal(info_of(load.actor).reloads, 1);
	load.sent = 0;
	expect_sum(&load, 9);
	assert_int_equal(rk_actor_reload(load.actor, &first_type, to_first, &opts, 0), -ETIMEDOUT);
	ok(rk_actor_stop(load.actor, RK_STOP_DRAIN, LONG_NS));
	assert_int_equal(info_of(load.actor).reloads, 2);
	assert_int_equal(((const struct first_state *)rk_actor_state(load.actor))->handled, 1);
	assert_int_equal(((const struct first_state *)rk_actor_state(load.actor))->stopped, 1);
	assert_int_equal(rk_actor_reload(load.actor, &second_type, to_second, &opts, LONG_NS),
			 -EPIPE);
	close_runtime(load.runtime);

	open_load(&load, 64, true, true);
	ok(rk_actor_reload(load.actor, &second_type, to_second, NULL, LONG_NS));
	ok(rk_actor_start(load.actor, LONG_NS));
	expect_sum(&load, 4);
	ok(rk_actor_stop(load.actor, RK_STOP_DRAIN, LONG_NS));
	state = rk_actor_state(load.actor);
	assert_int_equal(state->sums.started, 1);
	close_runtime(load.runtime);
}

static void what_cannot_be_reloaded_is_named(void **unused)
{
	struct rk_reload_opts opts = {.size = sizeof(opts)};
	struct load load;

	(void)unused;
	open_load(&load, 64, false, true);
	expect_sum(&load, 1);
	assert_int_equal(rk_actor_reload(load.actor, &second_type, NULL, NULL, LONG_NS), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "actor 'first': reload: 32 bytes of state become"));
	opts.trial_messages = RK_MAX_TRIAL + 1;
	assert_int_equal(rk_actor_reload(load.actor, &first_type, NULL, &opts, LONG_NS), -EINVAL);
	plan.traps = true;
	assert_int_equal(to_the_second(&load, WELL, 0, 0), -EFAULT);
	assert_non_null(strstr(rk_errmsg(), "after 0 messages 'second' was ended by signal"));
	plan.traps = false;
	expect_sum(&load, 2);
	ok(rk_actor_reload(load.actor, &first_type, NULL, NULL, LONG_NS));
	expect_sum(&load, 3);
	assert_int_equal(info_of(load.actor).rollbacks, 1);
	assert_int_equal(info_of(load.actor).failures, 0);
	close_runtime(load.runtime);
}

/* What a trial may yet undo is in no snapshot. */
static void a_snapshot_waits_for_a_trial(void **unused)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = 1};
	struct rk_snapshot *snapshot;
	struct load load;

	(void)unused;
	open_load(&load, 64, false, true);
	assert_int_equal(rk_actor_reload(load.actor, &first_type, NULL, &opts, 1000000), -ETIMEDOUT);
	assert_int_equal(rk_snapshot_take(&snapshot, &load.actor, 1, LONG_NS), -EBUSY);
	assert_non_null(strstr(rk_errmsg(), "its handler is being replaced"));
	expect_sum(&load, 1);
	while (rk_snapshot_take(&snapshot, &load.actor, 1, LONG_NS))
		usleep(100);
	rk_snapshot_free(snapshot);
	ok(rk_actor_reload(load.actor, &first_type, NULL, NULL, LONG_NS));
	close_runtime(load.runtime);
}

/* A check needs no guard. */
static void a_lie_is_undone_without_a_guard(void **unused)
{
	struct load load;

	(void)unused;
	open_load(&load, 64, false, false);
	begin_load(&load);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(to_the_second(&load, LIES, i * 5, 200), -EFAULT);
	ok(to_the_second(&load, WELL, 0, 10));
	end_load(&load, true, 1, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_out_is_as_if_nothing_was_replaced),
		cmocka_unit_test(a_trial_waits_for_its_messages),
		cmocka_unit_test(a_restart_or_a_stop_keeps_the_new_handler),
		cmocka_unit_test(what_cannot_be_reloaded_is_named),
		cmocka_unit_test(a_snapshot_waits_for_a_trial),
		cmocka_unit_test(a_lie_is_undone_without_a_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
