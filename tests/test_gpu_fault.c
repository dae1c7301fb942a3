// SPDX-License-Identifier: MIT
/*
 * What goes wrong on a GPU: a handler that traps, one that never comes back, a process that is
 * killed or ends without a word. Each in a child of its own, for what a fault leaves in a process is
 * part of what is tested; a child that hangs is killed by its alarm, and that is a failure.
 */
#include "actor_aid.h"
#include "gpu_aid.h"

enum { CHILD_SECONDS = 90 };

static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const struct placing warp_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};

/* In a child: say what did not hold, and end. cmocka's own asserts belong to the parent. */
#define EXPECT(what) expect(what, #what, __LINE__)

static void expect(bool held, const char *what, int line)
{
	if (held)
		return;
	printf("# line %d: not so: %s; the library says: %s\n", line, what, rk_errmsg());
	fflush(stdout);
	_exit(1);
}

static void in_child(void (*scenario)(const struct placing *on), const struct placing *on)
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		signal(SIGALRM, SIG_DFL);
		alarm(CHILD_SECONDS);
		scenario(on);
		fflush(stdout);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		fail_msg("the child ended by signal %d%s", WTERMSIG(status),
			 WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* --- An actor with a host thread at each end, which waits there for ever --- */

struct stand {
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	pthread_t sender, receiver;
	uint64_t sent, received;
};

/* The waits have no end of their own: what ends them is the ring that is closed. */
static void *run_sender(void *argument)
{
	struct stand *stand = argument;
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1};

	while (!stand->tx->closed) {
		msg.tag = (uint32_t)stand->sent;
		if (rk_ring_send(stand->tx, &msg) == 1)
			stand->sent++;
		else
			rk_ring_wait_send(stand->tx, 1, UINT64_MAX);
	}
	return NULL;
}

static void *run_receiver(void *argument)
{
	struct stand *stand = argument;
	struct rk_msg msg;

	while (!stand->rx->closed) {
		if (rk_ring_recv(stand->rx, &msg, 1) > 0)
			EXPECT(msg.type == RK_MSG_CLOSED ||
			       msg.tag == (uint32_t)__atomic_fetch_add(&stand->received, 1,
								      __ATOMIC_RELAXED));
		else
			rk_ring_wait_recv(stand->rx, UINT64_MAX);
	}
	return NULL;
}

static void open_stand(struct stand *stand, struct rk_runtime *runtime, const struct placing *on,
		       const char *name)
{
	struct rk_actor_opts opts = opts_of(on, 0);

	*stand = (struct stand){0};
	opts.name = name;
	EXPECT(!rk_actor_spawn(&stand->actor, runtime, on->type, &opts));
	EXPECT(!rk_link_host_out(&stand->rx, stand->actor, NULL));
	EXPECT(!rk_link_host_in(&stand->tx, stand->actor, NULL));
}

static void start_threads(struct stand *stand)
{
	EXPECT(!pthread_create(&stand->sender, NULL, run_sender, stand));
	EXPECT(!pthread_create(&stand->receiver, NULL, run_receiver, stand));
}

static void join_threads(struct stand *stand)
{
	pthread_join(stand->sender, NULL);
	pthread_join(stand->receiver, NULL);
}

/* @count words through an actor and back. */
static void echo_words(struct stand *stand, uint32_t count)
{
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1};

	for (uint32_t i = 0; i < count; i++) {
		msg.tag = (uint32_t)stand->sent++;
		EXPECT(rk_ring_send(stand->tx, &msg) == 1);
		EXPECT(rk_ring_wait_recv(stand->rx, 5 * SECOND_NS) == 1);
		EXPECT(rk_ring_recv(stand->rx, &msg, 1) == 1);
		EXPECT(msg.tag == (uint32_t)stand->received++);
	}
}

static struct rk_runtime *open_child_runtime(void)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1};
	struct rk_runtime *runtime = NULL;

	EXPECT(!rk_runtime_open(&runtime, &opts));
	return runtime;
}

/* All is as it should be on this GPU. */
static void work_well(const struct placing *on)
{
	struct rk_runtime *runtime = open_child_runtime();
	struct stand stand;

	open_stand(&stand, runtime, on, "healthy");
	echo_words(&stand, 1000);
	EXPECT(!rk_actor_stop(stand.actor, RK_STOP_DRAIN, 5 * SECOND_NS));
	EXPECT(((const struct test_state *)rk_actor_state(stand.actor))->handled == 1000);
	EXPECT(!rk_runtime_close(runtime));
}

static enum rk_actor_state state_of(const struct rk_actor *actor)
{
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	return info.state;
}

/* --- A trap --- */

static void trap_once(const struct placing *on)
{
	struct rk_runtime *runtime = open_child_runtime();
	struct stand victim, other;
	struct rk_msg trap = {.type = TEST_TRAP, .slots = 1};
	struct rk_actor_opts opts = opts_of(on, 0);
	struct rk_ring_tx *tx, *late;
	struct rk_actor *more;
	struct timespec start;

	open_stand(&victim, runtime, on, "victim");
	open_stand(&other, runtime, &warp, "bystander");
	EXPECT(!rk_link_host_in(&tx, victim.actor, NULL));
	start_threads(&victim);
	start_threads(&other);
	usleep(20000);
	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT(rk_ring_send(tx, &trap) == 1);
	EXPECT(rk_runtime_wait(runtime, 10 * SECOND_NS) == -EIO);
	printf("# a trap is reported after %.3f s: %s\n", seconds_since(&start), rk_errmsg());
	EXPECT(strstr(rk_errmsg(), "'victim'") != NULL);
	/* Both were on the GPU that died; who waits for them comes back. */
	join_threads(&victim);
	join_threads(&other);
	EXPECT(victim.tx->closed == RK_CLOSE_PEER_DIED && victim.rx->closed == RK_CLOSE_PEER_DIED);
	EXPECT(other.tx->closed == RK_CLOSE_PEER_DIED && other.rx->closed == RK_CLOSE_PEER_DIED);
	EXPECT(state_of(victim.actor) == RK_ACTOR_FAILED);
	EXPECT(state_of(other.actor) == RK_ACTOR_FAILED);
	EXPECT(!rk_actor_state(victim.actor));
	EXPECT(!rk_actor_stop(victim.actor, RK_STOP_DRAIN, SECOND_NS));
	EXPECT(rk_actor_spawn(&more, runtime, on->type, &opts) == -EIO);
	EXPECT(rk_link_host_in(&late, victim.actor, NULL) == -EPIPE);
	EXPECT(rk_runtime_wait(runtime, 10 * SECOND_NS) == -EIO);
	clock_gettime(CLOCK_MONOTONIC, &start);
	rk_runtime_close(runtime);
	printf("# and its runtime closes in %.3f s\n", seconds_since(&start));
}

/* CUDA gives a process that met a fault no GPU any more: that is said, and the next process has it. */
static void trap_and_be_told(const struct placing *on)
{
	struct rk_actor_opts opts = opts_of(on, 0);
	struct rk_runtime *runtime;
	struct rk_actor *more;

	trap_once(on);
	runtime = open_child_runtime();
	EXPECT(rk_actor_spawn(&more, runtime, on->type, &opts) == -EIO);
	EXPECT(strstr(rk_errmsg(), "start it anew") != NULL);
	EXPECT(!rk_runtime_close(runtime));
}

static void a_handler_that_traps_is_named_and_the_next_process_has_the_gpu(void **unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		in_child(trap_and_be_told, i % 2 ? &block : &warp);
		in_child(work_well, &warp);
	}
}

/* --- A handler that never comes back --- */

static void spin_once(const struct placing *on)
{
	struct rk_runtime *runtime = open_child_runtime();
	struct rk_msg spin = {.type = TEST_SPIN, .slots = 1};
	struct rk_actor_opts opts = opts_of(&warp, 0);
	struct stand victim, other, neighbour;
	struct timespec start;
	struct rk_actor *more;
	int result;

	open_stand(&victim, runtime, on, "victim");
	open_stand(&other, runtime, &warp, "bystander");
	open_stand(&neighbour, runtime, &warp_batch, "neighbour");
	echo_words(&victim, 100);
	echo_words(&other, 100);
	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT(rk_ring_send(victim.tx, &spin) == 1);
	EXPECT(rk_runtime_wait(runtime, 10 * SECOND_NS) == -EIO);
	printf("# a handler that spins is reported after %.3f s: %s\n", seconds_since(&start),
	       rk_errmsg());
	EXPECT(strstr(rk_errmsg(), "'victim'") != NULL);
	EXPECT(state_of(victim.actor) == RK_ACTOR_FAILED);
	EXPECT(rk_ring_wait_recv(victim.rx, 5 * SECOND_NS) != 0);
	EXPECT(state_of(other.actor) == RK_ACTOR_RUNNING);
	EXPECT(!rk_actor_stop(victim.actor, RK_STOP_NOW, SECOND_NS));
	/* The others go on, in the same kernel and in another. */
	echo_words(&other, 1000);
	echo_words(&neighbour, 1000);
	EXPECT(!rk_actor_stop(other.actor, RK_STOP_DRAIN, 5 * SECOND_NS));
	EXPECT(!rk_actor_stop(neighbour.actor, RK_STOP_NOW, 5 * SECOND_NS));
	EXPECT(state_of(other.actor) == RK_ACTOR_STOPPED);
	clock_gettime(CLOCK_MONOTONIC, &start);
	result = rk_runtime_close(runtime);
	printf("# and its runtime closes in %.3f s: %d\n", seconds_since(&start), result);
	/* The GPU is lost to this process, and it is told so, in words. */
	runtime = open_child_runtime();
	EXPECT(rk_actor_spawn(&more, runtime, &relay_type, &opts) == -EBUSY);
	EXPECT(strstr(rk_errmsg(), "has not come back") != NULL);
	EXPECT(!rk_runtime_close(runtime));
}

static void a_handler_that_never_returns_is_named_and_the_others_go_on(void **unused)
{
	(void)unused;
	in_child(spin_once, &warp);
	in_child(spin_once, &block);
	in_child(work_well, &warp);
}

/* --- Processes that end under load --- */

static int report_fd;

static void work_until_killed(const struct placing *on)
{
	struct rk_runtime *runtime = open_child_runtime();
	struct stand stand[4];

	for (int i = 0; i < 4; i++) {
		open_stand(&stand[i], runtime, on, "loaded");
		start_threads(&stand[i]);
	}
	for (int i = 0; i < 4; i++)
		while (__atomic_load_n(&stand[i].received, __ATOMIC_RELAXED) < 10000)
			usleep(1000);
	EXPECT(write(report_fd, "r", 1) == 1);
	for (;;)
		pause();
}

static void a_killed_process_leaves_a_gpu_that_starts_clean(void **unused)
{
	(void)unused;
	for (int i = 0; i < 6; i++) {
		struct timespec start;
		int ends[2], status;
		char ready = 0;
		pid_t child;

		assert_int_equal(pipe(ends), 0);
		fflush(stdout);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			signal(SIGALRM, SIG_DFL);
			alarm(CHILD_SECONDS);
			report_fd = ends[1];
			close(ends[0]);
			work_until_killed(i % 2 ? &block : &warp);
		}
		close(ends[1]);
		assert_int_equal(read(ends[0], &ready, 1), 1);
		close(ends[0]);
		usleep((useconds_t)(1000 * i));
		clock_gettime(CLOCK_MONOTONIC, &start);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		print_message("# killed under load: gone after %.3f s\n", seconds_since(&start));
		in_child(work_well, i % 2 ? &warp : &block);
	}
}

/* main() returns with the kernel running and messages in the rings. */
static void end_without_closing(const struct placing *on)
{
	struct rk_runtime *runtime = open_child_runtime();
	struct stand stand;

	open_stand(&stand, runtime, on, "left");
	echo_words(&stand, 100);
	fflush(stdout);
	exit(0);
}

static void a_process_that_does_not_close_ends_all_the_same(void **unused)
{
	(void)unused;
	in_child(end_without_closing, &warp);
	in_child(work_well, &warp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_that_traps_is_named_and_the_next_process_has_the_gpu),
		cmocka_unit_test(a_handler_that_never_returns_is_named_and_the_others_go_on),
		cmocka_unit_test(a_killed_process_leaves_a_gpu_that_starts_clean),
		cmocka_unit_test(a_process_that_does_not_close_ends_all_the_same),
	};

	if (gpu_absent_for_children())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
