// SPDX-License-Identifier: MIT
/*
 * The life of actors on cpu, under load: dormant, paused, moved, restarted, killed, failing alone.
 * Nothing is lost, doubled or reordered but what a failure is said to have cost.
 */
#include "actor_aid.h"

#include <sys/mman.h>
#include <sys/wait.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { LOAD = 20000, TINY_LOAD = 2000 };
#else
enum { LOAD = 200000, TINY_LOAD = 20000 };
#endif

static const struct placing relays = {.type = &relay_type};

static struct rk_runtime *open_guarded(unsigned int workers)
{
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = workers, .guard = true};

	ok(rk_runtime_open(&left_open, &opts));
	return left_open;
}

/* An actor with a way in and a way out. */
struct line {
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
};

static struct line make_line(struct rk_runtime *runtime, struct rk_actor_opts opts,
			     uint64_t capacity)
{
	const struct rk_link_opts link = slots(capacity);
	struct line line;

	opts.size = sizeof(opts);
	ok(rk_actor_spawn(&line.actor, runtime, &relay_type, &opts));
	ok(rk_link_host_out(&line.rx, line.actor, &link));
	ok(rk_link_host_in(&line.tx, line.actor, &link));
	return line;
}

static void expect_word(struct line *line, uint32_t tag, uint64_t word)
{
	struct rk_msg msg;

	assert_true(receive(line->rx, &msg, 1));
	assert_int_equal(msg.tag, tag);
	assert_int_equal(word_of(&msg), word);
}

static void a_dormant_actor_takes_nothing_before_its_start(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct line line = make_line(runtime, (struct rk_actor_opts){.dormant = true}, 64);

	(void)unused;
	for (uint32_t i = 0; i < 10; i++)
		send_word(line.tx, i, i * 3);
	usleep(10000);
	assert_int_equal(info_of(line.actor).state, RK_ACTOR_DORMANT);
	assert_int_equal(info_of(line.actor).received_slots, 0);
	ok(rk_actor_pause(line.actor, LONG_NS));
	ok(rk_actor_start(line.actor, LONG_NS));
	for (uint32_t i = 0; i < 10; i++)
		expect_word(&line, i, i * 3);
	ok(rk_actor_start(line.actor, LONG_NS));
	finish_sending(line.tx);
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(((const struct test_state *)rk_actor_state(line.actor))->started, 1);
	assert_int_equal(rk_actor_start(line.actor, LONG_NS), -EPIPE);
	assert_int_equal(rk_actor_pause(line.actor, LONG_NS), -EPIPE);
	assert_int_equal(rk_actor_restart(line.actor, NULL, LONG_NS), -EPIPE);
	assert_int_equal(rk_actor_move(line.actor, 0, LONG_NS), -EPIPE);
	close_runtime(runtime);
}

static void a_dormant_actor_stops_without_having_started(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct line line = make_line(runtime, (struct rk_actor_opts){.dormant = true}, 64);

	(void)unused;
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

static void *take_all(void *argument)
{
	struct load *load = argument;

	load->taken = receive_all(load->rx, 6, false);
	__atomic_store_n(&load->over, 1, __ATOMIC_RELEASE); /* pairs with is_over() */
	return NULL;
}

static bool is_over(const struct load *load)
{
	return __atomic_load_n(&load->over, __ATOMIC_ACQUIRE); /* pairs with take_all() */
}

static void begin_load(struct load *load, struct rk_runtime *runtime, uint64_t count,
		       uint64_t capacity, bool pauses)
{
	const struct rk_link_opts opts = slots(capacity);

	*load = (struct load){.runtime = runtime, .count = count};
	for (unsigned int i = 0; i < 3; i++) {
		load->actor[i] = spawn(runtime, &relays, RK_ANY_WORKER, i + 1);
		if (i)
			ok(rk_link_actors(NULL, load->actor[i - 1], load->actor[i], &opts));
	}
	ok(rk_link_host_out(&load->rx, load->actor[2], &opts));
	ok(rk_link_host_in(&load->sender.tx, load->actor[0], &opts));
	load->sender.count = count;
	load->sender.pauses = pauses;
	pthread_create(&load->feeding, NULL, send_all, &load->sender);
	pthread_create(&load->taking, NULL, take_all, load);
}

static void end_load(struct load *load)
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
static void done_or_over(int result)
{
	if (result != -EPIPE)
		ok(result);
}

static void pauses_lose_nothing(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct load load;
	uint64_t random = aid_choose_seed(3), pauses = 0;

	(void)unused;
	begin_load(&load, runtime, LOAD, 64, false);
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

static void move_at_random(uint64_t count, uint64_t capacity, bool pauses, uint32_t looks)
{
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = 3, .spin_looks = looks};
	struct load load;
	uint64_t random = aid_choose_seed(4), moves = 0;

	ok(rk_runtime_open(&left_open, &opts));
	begin_load(&load, left_open, count, capacity, pauses);
	while (!is_over(&load)) {
		done_or_over(rk_actor_move(load.actor[aid_below(&random, 3)],
					   (int)aid_below(&random, 3), LONG_NS));
		usleep((useconds_t)aid_below(&random, 200));
		moves++;
	}
	end_load(&load);
	assert_true(moves > 0);
	close_runtime(left_open);
}

static void moves_lose_nothing(void **unused)
{
	(void)unused;
	move_at_random(LOAD, 1024, false, 0);
	move_at_random(TINY_LOAD, 2, false, 0);
}

/* Everybody sleeps between two messages: whoever wakes an actor finds the worker it is at. */
static void moves_lose_no_wake_up(void **unused)
{
	(void)unused;
	move_at_random(5000, 16, true, 1);
}

static void moves_to_nowhere_are_refused(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct line line = make_line(runtime, (struct rk_actor_opts){.worker = 0}, 64);

	(void)unused;
	assert_int_equal(rk_actor_move(line.actor, 2, LONG_NS), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "worker 2"));
	ok(rk_actor_move(line.actor, 0, LONG_NS));
	ok(rk_actor_move(line.actor, 1, LONG_NS));
	send_word(line.tx, 0, 5);
	expect_word(&line, 0, 5);
	close_runtime(runtime);
}

/* --- State --- */

static void a_copy_is_taken_between_two_messages(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct load load;
	struct test_state copy = {0};
	uint64_t last = 0;

	(void)unused;
	begin_load(&load, runtime, LOAD, 256, false);
	do {
		ok(rk_actor_copy(load.actor[1], &copy, LONG_NS));
		assert_int_equal(copy.started, 1);
		assert_int_equal(copy.handled, copy.next);
		assert_int_equal(copy.out_of_order, 0);
		assert_true(copy.handled >= last);
		last = copy.handled;
		/* What it sent on last is the message that it counted last. */
		if (copy.handled)
			assert_int_equal(copy.word, (copy.handled - 1) * 3 + 1 + 2);
	} while (!is_over(&load));
	end_load(&load);
	ok(rk_actor_copy(load.actor[1], &copy, LONG_NS));
	assert_int_equal(copy.handled, LOAD);
	close_runtime(runtime);
}

static void a_restart_begins_anew_and_keeps_what_waits(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	const uint64_t add = 100;
	struct line line =
		make_line(runtime, (struct rk_actor_opts){.args = &add, .arg_count = 1}, 64);
	struct test_state state = {0};

	(void)unused;
	for (uint32_t i = 0; i < 5; i++) {
		send_word(line.tx, i, i);
		expect_word(&line, i, i + 100);
	}
	ok(rk_actor_pause(line.actor, LONG_NS));
	for (uint32_t i = 0; i < 5; i++)
		send_word(line.tx, i, i);
	ok(rk_actor_restart(line.actor, NULL, LONG_NS));
	for (uint32_t i = 0; i < 5; i++)
		expect_word(&line, i, i + 100);
	ok(rk_actor_copy(line.actor, &state, LONG_NS));
	assert_int_equal(state.started, 1);
	assert_int_equal(state.handled, 5);
	/* And once more, as it was before but for the argument. */
	state.arg[0] = 1000;
	ok(rk_actor_restart(line.actor, &state, LONG_NS));
	send_word(line.tx, 5, 5);
	expect_word(&line, 5, 1005);
	ok(rk_actor_stop(line.actor, RK_STOP_DRAIN, LONG_NS));
	memcpy(&state, rk_actor_state(line.actor), sizeof(state));
	assert_int_equal(state.started, 1);
	assert_int_equal(state.handled, 6);
	assert_int_equal(state.out_of_order, 0);
	assert_int_equal(info_of(line.actor).restarts, 2);
	assert_int_equal(info_of(line.actor).received, 11);
	close_runtime(runtime);
}

/* --- The end --- */

static void a_kill_asks_nobody(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct line line = make_line(runtime, (struct rk_actor_opts){.worker = 0}, 4);
	struct rk_actor_info info;
	uint64_t sent = 0;
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1};

	(void)unused;
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

static void children_stop_after_their_parent(void **unused)
{
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor_opts opts = {.size = sizeof(opts), .worker = RK_ANY_WORKER};
	struct line parent = make_line(runtime, opts, 64), child, grandchild;

	(void)unused;
	opts.parent = parent.actor;
	child = make_line(runtime, opts, 64);
	opts.parent = child.actor;
	grandchild = make_line(runtime, opts, 64);
	for (uint32_t i = 0; i < 20; i++)
		send_word(grandchild.tx, i, i * 3);
	ok(rk_actor_stop(parent.actor, RK_STOP_DRAIN, LONG_NS));
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(info_of(child.actor).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(grandchild.actor).received, 20);
	opts.parent = child.actor;
	child = make_line(runtime, opts, 64);
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(info_of(child.actor).state, RK_ACTOR_STOPPED);
	close_runtime(runtime);
}

/* --- Failing alone --- */

static void trap(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	const volatile uint32_t zero = 0;
	static const struct rk_msg *const nowhere = (const struct rk_msg *)8;
	const uint64_t what = msg->type == TEST_ADD ? word_of(msg) : 0;

	(void)state;
	if (what == SIGSEGV)
		*(volatile uint32_t *)(uintptr_t)(zero + 8) = 1;
	else if (what == SIGILL)
		__asm__ volatile("ud2");
	else if (what == SIGFPE)
		__asm__ volatile("divl %0" : : "r"(zero), "a"(1), "d"(0));
	else if (what == SIGUSR2)
		raise(SIGUSR2);
	else if (what == 1000)
		rk_send(ctx, 0, TEST_ADD, 0, nowhere, 40);
	else if (what == 1001)
		rk_send_batch(ctx, 0, nowhere, 3);
	else if (what)
		rk_send(ctx, 0, TEST_ADD, msg->tag, &what, sizeof(what));
}

static const struct rk_actor_type trap_type = {.name = "trap", .summary = "", .handle = trap};

/* Two actors of one worker: the one that traps fails, its neighbours learn why, the other goes on.
 */
static void fail_alone(uint64_t what, int signal)
{
	struct rk_runtime *runtime = open_guarded(1);
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .name = "victim"};
	struct line victim = {0}, other = make_line(runtime, opts, 64);
	struct rk_msg msg;

	ok(rk_actor_spawn(&victim.actor, runtime, &trap_type, &opts));
	ok(rk_link_host_out(&victim.rx, victim.actor, NULL));
	ok(rk_link_host_in(&victim.tx, victim.actor, NULL));
	send_word(victim.tx, 0, 2);
	expect_word(&victim, 0, 2);
	/* A signal that somebody else handles changes nothing. */
	send_word(victim.tx, 1, SIGUSR2);
	send_word(victim.tx, 2, what);
	assert_int_equal(rk_runtime_wait(runtime, LONG_NS), -EFAULT);
	assert_non_null(strstr(rk_errmsg(), "actor 'victim'"));
	assert_false(receive(victim.rx, &msg, 1));
	assert_int_equal(victim.rx->closed, RK_CLOSE_PEER_DIED);
	assert_int_equal(info_of(victim.actor).state, RK_ACTOR_FAILED);
	assert_int_equal(info_of(victim.actor).failure, signal);
	assert_int_equal(info_of(victim.actor).failures, 1);
	assert_int_equal(info_of(victim.actor).failed_messages, 1);
	assert_int_equal(info_of(victim.actor).received, 3);
	send_word(other.tx, 0, 7);
	expect_word(&other, 0, 7);
	close_runtime(runtime);
}

static void on_usr2(int signal)
{
	(void)signal;
}

static void a_handler_that_traps_fails_alone(void **unused)
{
	(void)unused;
	signal(SIGUSR2, on_usr2);
	fail_alone(SIGSEGV, SIGSEGV);
	fail_alone(SIGILL, SIGILL);
	fail_alone(SIGFPE, SIGFPE);
	fail_alone(1000, SIGSEGV);
	fail_alone(1001, SIGSEGV);
}

static void a_stuck_handler_is_killed_alone(void **unused)
{
	struct rk_runtime *runtime;
	struct line victim, other;

	(void)unused;
	if (SIGNALS_WAIT) {
		print_message("the race detector holds signals back in a loop without calls\n");
		skip();
	}
	runtime = open_guarded(1);
	victim = make_line(runtime, (struct rk_actor_opts){0}, 64);
	other = make_line(runtime, (struct rk_actor_opts){0}, 64);
	send_words(victim.tx, TEST_SPIN, 0, 0, 0);
	while (!info_of(victim.actor).received)
		usleep(200);
	assert_int_equal(rk_actor_stop(victim.actor, RK_STOP_NOW, SECOND_NS / 100), -ETIMEDOUT);
	ok(rk_actor_kill(victim.actor, LONG_NS));
	assert_int_equal(info_of(victim.actor).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(victim.actor).failure, SIGURG);
	send_word(other.tx, 0, 7);
	expect_word(&other, 0, 7);
	close_runtime(runtime);
}

/* A call that sends without end is left between two sends. */
static void a_handler_that_sends_without_end_is_killed(void **unused)
{
	struct rk_runtime *runtime = open_guarded(1);
	struct line victim = make_line(runtime, (struct rk_actor_opts){0}, 1024);
	struct rk_actor_info info;
	uint64_t got = 0;
	struct rk_msg msg;

	(void)unused;
	send_words(victim.tx, TEST_MANY, 0, 5000000, 0);
	while (!info_of(victim.actor).received)
		usleep(200);
	ok(rk_actor_kill(victim.actor, LONG_NS));
	/* Closing may still find room for some that waited. */
	while (!victim.rx->closed)
		if (receive(victim.rx, &msg, 1))
			assert_int_equal(word_of(&msg), got++);
	info = info_of(victim.actor);
	assert_int_equal(info.sent, got);
	close_runtime(runtime);
}

/* A trap that is no handler's ends the process, or goes to whoever had the signal before. */
static void die_outside_of_handlers(bool with_handler)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1, .guard = true};
	volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rk_runtime *runtime;
	int status;
	pid_t child = fork();

	if (!child) {
		struct sigaction mine = {.sa_handler = with_handler ? _exit : SIG_DFL};

		sigaction(SIGSEGV, &mine, NULL);
		if (rk_runtime_open(&runtime, &opts))
			_exit(99);
		*page = 1;
		_exit(98);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (with_handler)
		assert_int_equal(WEXITSTATUS(status), SIGSEGV);
	else
		assert_int_equal(WTERMSIG(status), SIGSEGV);
}

/* First of all, for a process takes the signals once. */
static void other_traps_are_not_ours(void **unused)
{
	(void)unused;
	die_outside_of_handlers(true);
	die_outside_of_handlers(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_traps_are_not_ours),
		cmocka_unit_test(a_dormant_actor_takes_nothing_before_its_start),
		cmocka_unit_test(a_dormant_actor_stops_without_having_started),
		cmocka_unit_test(pauses_lose_nothing),
		cmocka_unit_test(moves_lose_nothing),
		cmocka_unit_test(moves_lose_no_wake_up),
		cmocka_unit_test(moves_to_nowhere_are_refused),
		cmocka_unit_test(a_copy_is_taken_between_two_messages),
		cmocka_unit_test(a_restart_begins_anew_and_keeps_what_waits),
		cmocka_unit_test(a_kill_asks_nobody),
		cmocka_unit_test(children_stop_after_their_parent),
		cmocka_unit_test(a_handler_that_traps_fails_alone),
		cmocka_unit_test(a_stuck_handler_is_killed_alone),
		cmocka_unit_test(a_handler_that_sends_without_end_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
