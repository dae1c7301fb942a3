// SPDX-License-Identifier: MIT
/*
 * Wake-ups are never lost: sleepers that nothing but their waker ends, by futex and by eventfd,
 * between threads and between processes, with membarrier(2) and without, under a storm of
 * signals, and when a waker is killed half way. A lost one hangs, and the watchdog tells.
 */
#include "ring_aid.h"
#include "ring/rk_share.h"
#include "rk_error.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 3000 };
#else
enum { ROUNDS = 20000 };
#endif
enum { RING_ROUNDS = 2000, TAKEN_ROUNDS = 100 };

/* As good as for ever: the watchdog comes long before. */
#define FOR_EVER_NS (3600 * 1000000000ULL)

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* A short while, of a different length each time; now and then long enough to be asleep. */
static void linger(uint64_t *random)
{
	uint64_t chance = aid_random(random);

	if (chance % 16 == 0)
		usleep((useconds_t)(chance >> 32) % 200);
	else
		for (uint64_t i = (chance >> 32) % 3000; i; i--)
			rk_codec_barrier();
}

/* --- A sleeper and a waker, without a ring --- */

/* One page, so that it can be shared with a child. */
struct pair {
	uint32_t asked __attribute__((aligned(64)));
	uint32_t answered __attribute__((aligned(64)));
	uint32_t word[2] __attribute__((aligned(64)));
	struct rk_wake wake[2];
	uint32_t rounds;
};

static void sleep_on(const struct rk_wake *wake)
{
	struct pollfd ready = {.fd = wake->eventfd, .events = POLLIN};
	uint64_t count;

	if (wake->eventfd < 0) {
		rk_wake_sleep(wake, FOR_EVER_NS);
		return;
	}
	if (poll(&ready, 1, rk_wake_guard(false) ? -1 : 1) > 0 &&
	    read(wake->eventfd, &count, sizeof(count)) < 0)
		abort();
	rk_wake_cancel(wake);
}

static void await(const uint32_t *count, uint32_t value, const struct rk_wake *self)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) != value) {
		rk_wake_announce(self);
		if (__atomic_load_n(count, __ATOMIC_ACQUIRE) == value) {
			rk_wake_cancel(self);
			return;
		}
		sleep_on(self);
	}
}

/* Each answers the other; both sleep while it is not their turn. */
static void *answer(void *argument)
{
	struct pair *p = argument;
	uint64_t random = aid_seed;

	for (uint32_t i = 1; i <= p->rounds; i++) {
		await(&p->asked, i, &p->wake[1]);
		linger(&random);
		/* Relaxed, as the words of a slot are: the waking must not lean on it. */
		__atomic_store_n(&p->answered, i, __ATOMIC_RELAXED);
		rk_wake_up(&p->wake[0]);
	}
	return NULL;
}

static void ask(struct pair *p)
{
	uint64_t random = aid_seed + 1;

	for (uint32_t i = 1; i <= p->rounds; i++) {
		linger(&random);
		__atomic_store_n(&p->asked, i, __ATOMIC_RELAXED);
		rk_wake_up(&p->wake[1]);
		await(&p->answered, i, &p->wake[0]);
	}
}

static struct pair *new_pair(bool eventfds, uint32_t rounds)
{
	struct pair *p = mmap(NULL, RK_PAGE_BYTES, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	p->rounds = rounds;
	for (int i = 0; i < 2; i++)
		p->wake[i] = (struct rk_wake){
			.word = &p->word[i],
			.eventfd = eventfds ? eventfd(0, EFD_NONBLOCK) : -1,
		};
	return p;
}

static void free_pair(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		if (p->wake[i].eventfd >= 0)
			close(p->wake[i].eventfd);
	munmap(p, RK_PAGE_BYTES);
}

static void pair_of_threads(bool eventfds, uint32_t rounds)
{
	struct pair *p = new_pair(eventfds, rounds);
	pthread_t thread;

	if (pthread_create(&thread, NULL, answer, p))
		abort();
	ask(p);
	pthread_join(thread, NULL);
	if (p->asked != rounds || p->answered != rounds)
		abort();
	free_pair(p);
}

/* --- Children --- */

/* Make membarrier(2) fail in this process from here on, as a sandbox or an old kernel does. */
static void refuse_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(77);
}

static pid_t start_child(void (*run)(void *), void *argument)
{
	pid_t parent = getpid(), child = fork();

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	aid_watchdog(120);
	run(argument);
	_exit(0);
}

static void expect_end(pid_t child)
{
	int status;

	assert_true(child > 0);
	while (waitpid(child, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# seccomp is refused here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/* --- Tests of pairs --- */

static void test_threads_wake_each_other_by_futex(void **unused)
{
	(void)unused;
	pair_of_threads(false, ROUNDS);
}

static void test_threads_wake_each_other_by_eventfd(void **unused)
{
	(void)unused;
	pair_of_threads(true, ROUNDS);
}

static void answer_in_child(void *argument)
{
	if (!rk_wake_guard(true))
		_exit(2);
	answer(argument);
}

static void test_processes_wake_each_other_by_futex(void **unused)
{
	struct pair *p = new_pair(false, ROUNDS);
	pid_t child;

	(void)unused;
	if (!rk_wake_guard(true)) {
		free_pair(p);
		print_message("# membarrier(2) is refused here\n");
		skip();
	}
	child = start_child(answer_in_child, p);
	ask(p);
	expect_end(child);
	free_pair(p);
}

static void refused_pairs(void *argument)
{
	(void)argument;
	refuse_membarrier();
	/* Registered before, in the parent: must be noticed all the same. */
	pair_of_threads(false, 200);
	if (rk_wake_guard(false))
		_exit(3);
	pair_of_threads(true, 200);
}

static void test_threads_wake_each_other_without_membarrier(void **unused)
{
	(void)unused;
	assert_int_equal(rk_wake_guard(false) & ~1, 0);
	expect_end(start_child(refused_pairs, NULL));
}

static void test_a_word_that_nobody_set_is_not_slept_on(void **unused)
{
	uint32_t word = 0;
	struct rk_wake wake = {.word = &word, .eventfd = -1};

	(void)unused;
	rk_wake_sleep(&wake, FOR_EVER_NS);
	rk_wake_up(&wake);
	assert_int_equal(word, 0);
	rk_wake_announce(&wake);
	assert_int_equal(word, 1);
	rk_wake_up(&wake);
	assert_int_equal(word, 0);
	rk_wake_sleep(&wake, FOR_EVER_NS);
	/* A timeout clears the word: no later waker pays for a sleeper that is gone. */
	rk_wake_announce(&wake);
	rk_wake_sleep(&wake, 1000);
	assert_int_equal(word, 0);
	rk_wake_again(&wake);
	assert_int_equal(word, 0);
}

static void test_an_eventfd_that_refuses_is_tried_again(void **unused)
{
	uint32_t word = 1;
	struct rk_wake wake = {.word = &word, .eventfd = eventfd(0, EFD_NONBLOCK)};
	uint64_t count;

	(void)unused;
	rk_wake_up(&wake);
	rk_wake_up(&wake);
	assert_int_equal(read(wake.eventfd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	close(wake.eventfd);
	word = 1;
	rk_wake_up(&wake);
	assert_int_equal(word, 1);
}

/* --- Rings --- */

/* Two rings between two ends that answer each other, sleeping whenever there is nothing to do. */
struct echo {
	struct rk_share *share[2];
	int fd[2];
	bool child_refused;
	uint32_t rounds;
};

static void wait_and_receive(struct rk_ring_rx *rx, struct rk_msg *msg)
{
	while (!rk_ring_recv(rx, msg, 1))
		if (rk_ring_wait_recv(rx, FOR_EVER_NS) < 0)
			abort();
}

static void wait_and_send(struct rk_ring_tx *tx, const struct rk_msg *msg)
{
	while (!rk_ring_send(tx, msg))
		if (rk_ring_wait_send(tx, 1, FOR_EVER_NS) < 0)
			abort();
}

/* Send and receive @rounds messages in bursts of up to three, more than the ring holds. */
static void converse(struct rk_ring_tx *tx, struct rk_ring_rx *rx, uint32_t rounds, bool first,
		     uint64_t random)
{
	struct rk_msg msg;

	for (uint64_t i = 0; i < rounds; i++) {
		if (first) {
			linger(&random);
			if (i % 8 == 0)
				usleep(300);
			aid_fill(&msg, 1, i);
			wait_and_send(tx, &msg);
		}
		/* The third of three is answered first when all have come. */
		if (!first || i % 3 == 2 || i + 1 == rounds) {
			uint64_t from = first ? i - i % 3 : i, to = i;

			for (uint64_t n = from; n <= to; n++) {
				wait_and_receive(rx, &msg);
				if (!aid_matches(&msg, 1, n))
					abort();
				if (!first) {
					linger(&random);
					wait_and_send(tx, &msg);
				}
			}
		}
	}
}

static void open_ends(struct echo *e, int out, struct rk_ring_tx *tx, struct rk_ring_rx *rx)
{
	if (rk_share_attach(&e->share[out], e->fd[out], RK_ROLE_PRODUCER) ||
	    rk_share_attach(&e->share[!out], e->fd[!out], RK_ROLE_CONSUMER) ||
	    rk_ring_tx_open(tx, rk_share_ring(e->share[out])) ||
	    rk_ring_rx_open(rx, rk_share_ring(e->share[!out]), NULL)) {
		print_message("# %s\n", rk_errmsg());
		abort();
	}
}

static void echo_in_child(void *argument)
{
	struct echo *e = argument;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	uint32_t unguarded;

	if (e->child_refused)
		refuse_membarrier();
	open_ends(e, 1, &tx, &rx);
	unguarded = rk_share_ring(e->share[1])->sleep->unguarded[RK_ROLE_PRODUCER];
	if (unguarded == (uint32_t)rk_wake_guard(true))
		_exit(4);
	converse(&tx, &rx, e->rounds, false, aid_seed);
}

static void echo_between_processes(bool child_refused)
{
	struct echo e = {.child_refused = child_refused, .rounds = RING_ROUNDS};
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	pid_t child;

	for (int i = 0; i < 2; i++)
		assert_int_equal(rk_share_create(&e.fd[i], 2, 0, "echo"), 0);
	child = start_child(echo_in_child, &e);
	open_ends(&e, 0, &tx, &rx);
	converse(&tx, &rx, e.rounds, true, aid_seed + 1);
	expect_end(child);
	for (int i = 0; i < 2; i++) {
		rk_share_detach(e.share[i]);
		close(e.fd[i]);
	}
}

static void test_processes_wake_each_other_through_rings(void **unused)
{
	(void)unused;
	echo_between_processes(false);
}

/* Only one of them is refused: the other must know, since no barrier of its reaches that one. */
static void test_one_process_without_membarrier_is_enough_to_nap(void **unused)
{
	(void)unused;
	echo_between_processes(true);
}

static void refuse_both(void *argument)
{
	(void)argument;
	refuse_membarrier();
	echo_between_processes(true);
}

static void test_both_processes_without_membarrier(void **unused)
{
	(void)unused;
	expect_end(start_child(refuse_both, NULL));
}

/* One ring in private memory, with a thread at its consumer's end. */
struct local {
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	char *memory;
	uint64_t received;
	int result;
};

static void local_open(struct local *l)
{
	memset(l, 0, sizeof(*l));
	l->memory = aid_guarded(4);
	assert_int_equal(rk_ring_format(&l->ring, l->memory, 4 * RK_PAGE_BYTES, 2, 0, "local"), 0);
	assert_int_equal(rk_ring_tx_open(&l->tx, &l->ring), 0);
	assert_int_equal(rk_ring_rx_open(&l->rx, &l->ring, NULL), 0);
}

static void local_close(struct local *l)
{
	aid_unguard(l->memory, 4);
}

/* Receive until closed; what wait says at the end is kept. */
static void *receive_all(void *argument)
{
	struct local *l = argument;
	struct rk_msg msg;

	while ((l->result = rk_ring_wait_recv(&l->rx, FOR_EVER_NS)) > 0)
		while (rk_ring_recv(&l->rx, &msg, 1) > 0)
			l->received += msg.type != RK_MSG_CLOSED;
	return NULL;
}

static void on_storm(int signal_number)
{
	(void)signal_number;
}

/* Both ends sleep and wake all the while signals break into every system call. */
static void test_a_storm_of_signals_loses_nothing(void **unused)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec often = {{0, 150000}, {0, 150000}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_storm};
	uint64_t random = aid_seed, from_ns;
	struct local l;
	struct rk_msg msg;
	pthread_t thread;
	timer_t timer;

	(void)unused;
	local_open(&l);
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
	/* An empty ring: signals end no wait early. */
	from_ns = now_ns();
	assert_int_equal(rk_ring_wait_recv(&l.rx, 20000000), 0);
	assert_true(now_ns() - from_ns >= 20000000);
	assert_int_equal(pthread_create(&thread, NULL, receive_all, &l), 0);
	for (uint64_t i = 0; i < RING_ROUNDS; i++) {
		linger(&random);
		aid_fill(&msg, 1, i);
		wait_and_send(&l.tx, &msg);
	}
	while (!rk_ring_close(&l.tx, RK_CLOSE_DONE))
		assert_int_equal(rk_ring_wait_send(&l.tx, 1, FOR_EVER_NS), 1);
	pthread_join(thread, NULL);
	timer_settime(timer, 0, &never, NULL);
	timer_delete(timer);
	assert_true(l.received == RING_ROUNDS);
	assert_int_equal(l.result, -EPIPE);
	local_close(&l);
}

static void test_waits_end_at_their_time(void **unused)
{
	struct rk_msg msg;
	struct local l;

	(void)unused;
	local_open(&l);
	assert_int_equal(rk_ring_wait_recv(&l.rx, 0), 0);
	assert_int_equal(rk_ring_wait_recv(&l.rx, 1), 0);
	assert_int_equal(rk_ring_wait_recv(&l.rx, 3000000), 0);
	assert_int_equal(rk_ring_wait_send(&l.tx, 2, 0), 1);
	assert_int_equal(rk_ring_wait_send(&l.tx, 3, 0), -EMSGSIZE);
	aid_fill(&msg, 1, 1);
	assert_int_equal(rk_ring_send(&l.tx, &msg), 1);
	assert_int_equal(rk_ring_wait_recv(&l.rx, 0), 1);
	assert_int_equal(rk_ring_wait_send(&l.tx, 1, FOR_EVER_NS), 1);
	assert_int_equal(rk_ring_wait_send(&l.tx, 2, 0), 0);
	assert_int_equal(rk_ring_wait_send(&l.tx, 2, 3000000), 0);
	/* Nobody sleeps any more. */
	assert_int_equal(l.ring.sleep->producer | l.ring.sleep->consumer, 0);
	local_close(&l);
}

static void *close_later(void *argument)
{
	struct local *l = argument;

	usleep(20000);
	assert_int_equal(rk_ring_close(&l->tx, 999), 1);
	return NULL;
}

static void test_closing_wakes_the_consumer(void **unused)
{
	struct rk_msg msg;
	struct local l;
	pthread_t thread;

	(void)unused;
	local_open(&l);
	assert_int_equal(pthread_create(&thread, NULL, close_later, &l), 0);
	assert_int_equal(rk_ring_wait_recv(&l.rx, FOR_EVER_NS), 1);
	assert_int_equal(rk_ring_recv(&l.rx, &msg, 1), 1);
	assert_true(msg.type == RK_MSG_CLOSED && l.rx.closed == 999);
	assert_int_equal(rk_ring_wait_recv(&l.rx, FOR_EVER_NS), -EPIPE);
	pthread_join(thread, NULL);
	assert_int_equal(rk_ring_wait_send(&l.tx, 0, FOR_EVER_NS), -EPIPE);
	local_close(&l);
}

static void *refuse_later(void *argument)
{
	struct local *l = argument;

	usleep(20000);
	rk_ring_refuse(&l->rx, 888);
	return NULL;
}

static void test_refusing_wakes_the_producer(void **unused)
{
	struct rk_msg msg;
	struct local l;
	pthread_t thread;

	(void)unused;
	local_open(&l);
	aid_fill(&msg, 1, 1);
	assert_int_equal(rk_ring_send(&l.tx, &msg), 1);
	assert_int_equal(rk_ring_send(&l.tx, &msg), 1);
	assert_int_equal(pthread_create(&thread, NULL, refuse_later, &l), 0);
	assert_int_equal(rk_ring_wait_send(&l.tx, 1, FOR_EVER_NS), -EPIPE);
	assert_true(l.tx.closed == 888);
	pthread_join(thread, NULL);
	local_close(&l);
}

/*
 * A producer that is killed after it took the consumer's word and before it woke it. Its message
 * is there, nobody wakes: until the next producer opens.
 */
static void test_a_new_producer_wakes_for_a_dead_one(void **unused)
{
	(void)unused;
	for (int round = 0; round < TAKEN_ROUNDS; round++) {
		struct rk_msg msg;
		struct local l;
		pthread_t thread;

		local_open(&l);
		assert_int_equal(pthread_create(&thread, NULL, receive_all, &l), 0);
		while (!__atomic_load_n(&l.ring.sleep->consumer, __ATOMIC_RELAXED))
			sched_yield();
		usleep(500);
		aid_fill(&msg, 1, 1);
		rk_slot_store_plain(l.ring.slots, rk_slot_tag(0, 1), &msg);
		__atomic_store_n(&l.ring.sleep->consumer, 0, __ATOMIC_SEQ_CST);
		assert_int_equal(rk_ring_tx_open(&l.tx, &l.ring), 0);
		while (!rk_ring_close(&l.tx, RK_CLOSE_DONE))
			sched_yield();
		pthread_join(thread, NULL);
		assert_true(l.received == 1);
		local_close(&l);
	}
}

/* Hold an end until killed. */
static void hold_producer(void *argument)
{
	struct rk_share *share;

	if (rk_share_attach(&share, *(int *)argument, RK_ROLE_PRODUCER))
		_exit(1);
	for (;;)
		pause();
}

static void test_a_dead_peer_is_found_out_after_the_timeout(void **unused)
{
	struct rk_share *share;
	struct rk_ring_rx rx;
	pid_t child;
	int fd;

	(void)unused;
	assert_int_equal(rk_share_create(&fd, 64, 0, "widow"), 0);
	assert_int_equal(rk_share_attach(&share, fd, RK_ROLE_CONSUMER), 0);
	assert_int_equal(rk_ring_rx_open(&rx, rk_share_ring(share), NULL), 0);
	child = start_child(hold_producer, &fd);
	while (rk_share_peer(share) == 0)
		usleep(100);
	assert_int_equal(rk_ring_wait_recv(&rx, 1000000), 0);
	assert_int_equal(rk_share_peer(share), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(rk_ring_wait_recv(&rx, 1000000), 0);
	assert_int_equal(rk_share_peer(share), 0);
	rk_share_detach(share);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: a child inherits what this process registered, and here it must not have. */
		cmocka_unit_test(test_one_process_without_membarrier_is_enough_to_nap),
		cmocka_unit_test(test_threads_wake_each_other_by_futex),
		cmocka_unit_test(test_threads_wake_each_other_by_eventfd),
		cmocka_unit_test(test_processes_wake_each_other_by_futex),
		cmocka_unit_test(test_threads_wake_each_other_without_membarrier),
		cmocka_unit_test(test_a_word_that_nobody_set_is_not_slept_on),
		cmocka_unit_test(test_an_eventfd_that_refuses_is_tried_again),
		cmocka_unit_test(test_processes_wake_each_other_through_rings),
		cmocka_unit_test(test_both_processes_without_membarrier),
		cmocka_unit_test(test_a_storm_of_signals_loses_nothing),
		cmocka_unit_test(test_waits_end_at_their_time),
		cmocka_unit_test(test_closing_wakes_the_consumer),
		cmocka_unit_test(test_refusing_wakes_the_producer),
		cmocka_unit_test(test_a_new_producer_wakes_for_a_dead_one),
		cmocka_unit_test(test_a_dead_peer_is_found_out_after_the_timeout),
	};

	aid_choose_seed(now_ns());
	aid_watchdog(150);
	print_message("# RK_SEED=%llu\n", (unsigned long long)aid_seed);
	return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
