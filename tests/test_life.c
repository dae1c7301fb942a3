// SPDX-License-Identifier: MIT
/*
 * The life of actors on cpu, under load: dormant, paused, moved, restarted, killed, failing alone.
 * Nothing is lost, doubled or reordered but what a failure is said to have cost.
 */
#include "life_bodies.h"

#include <sys/mman.h>
#include <sys/wait.h>

static const struct placing relays = {.type = &relay_type};

/* --- Moving --- */

static void move_at_random(uint64_t count, uint64_t capacity, bool pauses, uint32_t looks)
{
	const struct rk_runtime_opts opts = {
		.size = sizeof(opts), .workers = 3, .spin_looks = looks};
	struct load load;
	uint64_t random = aid_choose_seed(4), moves = 0;

	ok(rk_runtime_open(&left_open, &opts));
	begin_load(&load, &relays, left_open, count, slots(capacity), pauses);
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
	struct line line = make_line(runtime, &relays, (struct rk_actor_opts){.worker = 0}, 64);

	(void)unused;
	assert_int_equal(rk_actor_move(line.actor, 2, LONG_NS), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "worker 2"));
	ok(rk_actor_move(line.actor, 0, LONG_NS));
	ok(rk_actor_move(line.actor, 1, LONG_NS));
	send_word(line.tx, 0, 5);
	expect_word_of(&line, 0, 5);
	ok(rk_actor_stop(line.actor, RK_STOP_DRAIN, LONG_NS));
	assert_int_equal(rk_actor_move(line.actor, 0, LONG_NS), -EPIPE);
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
	struct line victim = {0}, other = make_line(runtime, &relays, opts, 64);
	struct rk_msg msg;

	ok(rk_actor_spawn(&victim.actor, runtime, &trap_type, &opts));
	ok(rk_link_host_out(&victim.rx, victim.actor, NULL));
	ok(rk_link_host_in(&victim.tx, victim.actor, NULL));
	send_word(victim.tx, 0, 2);
	expect_word_of(&victim, 0, 2);
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
	expect_word_of(&other, 0, 7);
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
	victim = make_line(runtime, &relays, (struct rk_actor_opts){0}, 64);
	other = make_line(runtime, &relays, (struct rk_actor_opts){0}, 64);
	send_words(victim.tx, TEST_SPIN, 0, 0, 0);
	while (!info_of(victim.actor).received)
		usleep(200);
	assert_int_equal(rk_actor_stop(victim.actor, RK_STOP_NOW, SECOND_NS / 100), -ETIMEDOUT);
	ok(rk_actor_kill(victim.actor, LONG_NS));
	assert_int_equal(info_of(victim.actor).state, RK_ACTOR_STOPPED);
	assert_int_equal(info_of(victim.actor).failure, SIGURG);
	send_word(other.tx, 0, 7);
	expect_word_of(&other, 0, 7);
	close_runtime(runtime);
}

/* A call that sends without end is left between two sends. */
static void a_handler_that_sends_without_end_is_killed(void **unused)
{
	struct rk_runtime *runtime = open_guarded(1);
	struct line victim = make_line(runtime, &relays, (struct rk_actor_opts){0}, 1024);
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

#define HERE(body) cmocka_unit_test_prestate(body, (void *)(uintptr_t)&relays),

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_traps_are_not_ours),
		LIFE_BODIES(HERE)
		cmocka_unit_test(moves_lose_nothing),
		cmocka_unit_test(moves_lose_no_wake_up),
		cmocka_unit_test(moves_to_nowhere_are_refused),
		cmocka_unit_test(a_handler_that_traps_fails_alone),
		cmocka_unit_test(a_stuck_handler_is_killed_alone),
		cmocka_unit_test(a_handler_that_sends_without_end_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
