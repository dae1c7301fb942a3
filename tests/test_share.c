// SPDX-License-Identifier: MIT
/*
 * A ring between two processes: what is refused and in which words, who holds which end, what is
 * sealed and what is read-only, and messages that cross. tests/kill_ring.c does the killing.
 */
#include "ring_aid.h"
#include "ring/rk_share.h"
#include "rk_error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { CAPACITY = 64, CROSSING = 20000 };

static int fd;

static int make_ring(void **unused)
{
	(void)unused;
	return rk_share_create(&fd, CAPACITY, 0, "shared");
}

static int drop_ring(void **unused)
{
	(void)unused;
	return close(fd);
}

static void expect_text(const char *first, const char *second)
{
	if (!strstr(rk_errmsg(), first) || (second && !strstr(rk_errmsg(), second)))
		fail_msg("'%s' does not say '%s' and '%s'", rk_errmsg(), first,
			 second ? second : first);
}

static pid_t start_child(void (*run)(void))
{
	pid_t parent = getpid(), child = fork();

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	aid_watchdog(60);
	run();
	_exit(0);
}

static int end_of(pid_t child)
{
	int status = -1;

	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* --- Creating --- */

static void test_a_capacity_that_is_no_ring_makes_nothing(void **unused)
{
	int none = -7;

	(void)unused;
	assert_int_equal(rk_share_create(&none, 3, 0, "odd"), -EINVAL);
	expect_text("'odd'", "capacity 3 slots: give a power of two");
	assert_int_equal(none, -7);
}

static void test_a_name_may_be_long_or_none(void **unused)
{
	char name[400];
	struct rk_share *share;
	int other;

	(void)unused;
	memset(name, 'n', sizeof(name));
	name[399] = 0;
	assert_int_equal(rk_share_create(&other, 2, 0, name), 0);
	assert_int_equal(rk_share_attach(&share, other, RK_ROLE_PRODUCER), 0);
	assert_int_equal(strlen(rk_share_ring(share)->name), RK_RING_NAME_BYTES - 1);
	rk_share_detach(share);
	close(other);
	assert_int_equal(rk_share_create(&other, 2, 0, NULL), 0);
	close(other);
}

static void test_the_memory_is_sealed_against_resizing(void **unused)
{
	struct stat status;

	(void)unused;
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, rk_ring_bytes(CAPACITY));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* --- Attaching --- */

static void expect_refused(int other, int error, const char *says)
{
	struct rk_share *share = NULL;

	for (int role = 0; role < 2; role++) {
		assert_int_equal(rk_share_attach(&share, other, role), -error);
		expect_text("ring", says);
		assert_null(share);
	}
}

static void test_descriptors_of_other_kinds_are_refused(void **unused)
{
	char path[] = "/tmp/rk-test-share-XXXXXX";
	int ends[2], file = mkstemp(path);

	(void)unused;
	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(ftruncate(file, (off_t)rk_ring_bytes(CAPACITY)), 0);
	expect_refused(file, EPERM, "pass the memfd that rk_share_create() made");
	close(file);
	expect_refused(file, EPERM, "can be resized by others");
	expect_refused(-1, EPERM, "descriptor -1");
	assert_int_equal(pipe(ends), 0);
	expect_refused(ends[0], EPERM, "pass the memfd");
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	expect_refused(ends[0], EPERM, "pass the memfd");
	close(ends[0]);
	close(ends[1]);
}

/* A memfd of @bytes that begins with @bytes of a good ring, less one field, with @seals. */
static int forge(size_t bytes, size_t offset, uint32_t value, int seals)
{
	int other = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t whole = rk_ring_bytes(CAPACITY);
	char *good = mmap(NULL, whole, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(other >= 0 && good != MAP_FAILED);
	assert_int_equal(pwrite(other, good, bytes < whole ? bytes : whole, 0),
			 bytes < whole ? bytes : whole);
	assert_int_equal(ftruncate(other, (off_t)bytes), 0);
	if (offset)
		assert_int_equal(pwrite(other, &value, sizeof(value), (off_t)offset - 1), 4);
	assert_int_equal(fcntl(other, F_ADD_SEALS, seals), 0);
	munmap(good, whole);
	return other;
}

static void expect_forged(size_t bytes, size_t offset, uint32_t value, const char *says)
{
	int other = forge(bytes, offset, value, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

	expect_refused(other, EPROTO, says);
	close(other);
}

#define AFTER(name) (offsetof(struct rk_ring_header, name) + 1)

static void test_memory_that_holds_no_ring_of_ours_is_refused(void **unused)
{
	size_t whole = rk_ring_bytes(CAPACITY);
	struct rk_share *share;
	int other;

	(void)unused;
	expect_forged(0, 0, 0, "0 bytes cannot hold");
	expect_forged(100, 0, 0, "100 bytes cannot hold");
	expect_forged(whole - 64, 0, 0, "do not fit each other or the 16320 bytes mapped");
	expect_forged(whole, AFTER(magic), 0, "holds no ring");
	expect_forged(whole, AFTER(layout), 9, "layout 9");
	expect_forged(whole, AFTER(header_bytes), 9, "header 9");
	expect_forged(whole, AFTER(slot_bytes), 32, "slot 32");
	expect_forged(whole, AFTER(page_bytes), 1, "page 1");
	expect_forged(whole, AFTER(capacity), 128, "capacity 128");
	expect_forged(whole, AFTER(total_bytes), 128, "128 bytes");
	/* Sealed, but not against everything. */
	other = forge(whole, 0, 0, F_SEAL_GROW | F_SEAL_SEAL);
	expect_refused(other, EPERM, "can be resized");
	close(other);
	/* More memory than the ring: what lies beyond is not touched, and no harm. */
	other = forge(whole + 4096, 0, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(rk_share_attach(&share, other, RK_ROLE_CONSUMER), 0);
	rk_share_detach(share);
	rk_share_detach(NULL);
	close(other);
}

static void test_memory_that_cannot_be_written_is_refused(void **unused)
{
	int other = forge(rk_ring_bytes(CAPACITY), 0, 0,
			  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);

	(void)unused;
	expect_refused(other, EPERM, "map 16384 bytes");
	close(other);
}

static void test_a_role_that_is_none_is_refused(void **unused)
{
	struct rk_share *share = NULL;

	(void)unused;
	assert_int_equal(rk_share_attach(&share, fd, 2), -EINVAL);
	expect_text("role 2", "give RK_ROLE_PRODUCER or RK_ROLE_CONSUMER");
	assert_null(share);
}

static void test_an_end_is_held_once(void **unused)
{
	struct rk_share *first, *second = NULL;

	(void)unused;
	for (int role = 0; role < 2; role++) {
		assert_int_equal(rk_share_attach(&first, fd, role), 0);
		assert_int_equal(rk_share_attach(&second, fd, role), -EBUSY);
		expect_text("'shared'", role ? "has a consumer already" : "has a producer already");
		assert_null(second);
		rk_share_detach(first);
		assert_int_equal(rk_share_attach(&second, fd, role), 0);
		rk_share_detach(second);
		second = NULL;
	}
}

/* A child that attaches without being told apart from a stranger: it inherits only @fd. */
static void attach_in_child(void)
{
	struct rk_share *share;

	_exit(rk_share_attach(&share, fd, RK_ROLE_PRODUCER) == -EBUSY ? 0 : 1);
}

static void test_another_process_is_refused_too(void **unused)
{
	struct rk_share *share;

	(void)unused;
	assert_int_equal(rk_share_attach(&share, fd, RK_ROLE_PRODUCER), 0);
	assert_int_equal(end_of(start_child(attach_in_child)), 0);
	rk_share_detach(share);
}

/* --- Who is there --- */

static void hold_producer(void)
{
	struct rk_share *share;

	if (rk_share_attach(&share, fd, RK_ROLE_PRODUCER))
		_exit(1);
	for (;;)
		pause();
}

static void test_the_peer_is_seen_coming_and_dying(void **unused)
{
	struct rk_share *share;

	(void)unused;
	assert_int_equal(rk_share_attach(&share, fd, RK_ROLE_CONSUMER), 0);
	assert_int_equal(rk_share_peer(share), 0);
	for (int round = 0; round < 20; round++) {
		pid_t child = start_child(hold_producer);

		while (rk_share_peer(share) == 0)
			sched_yield();
		assert_int_equal(rk_share_peer(share), 1);
		kill(child, SIGKILL);
		assert_true(WIFSIGNALED(end_of(child)));
		assert_int_equal(rk_share_peer(share), 0);
	}
	rk_share_detach(share);
}

/* --- What each end may write --- */

static enum rk_role writer;
static size_t written_at;

static void write_in_child(void)
{
	struct rk_share *share;

	signal(SIGSEGV, SIG_DFL);
	if (rk_share_attach(&share, fd, writer))
		_exit(1);
	((volatile char *)rk_share_ring(share)->credit - RK_PAGE_BYTES)[written_at] = 0;
	_exit(0);
}

static bool may_write(enum rk_role role, size_t page)
{
	int status;

	writer = role;
	written_at = page * RK_PAGE_BYTES + 2048;
	status = end_of(start_child(write_in_child));
	assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
	return status == 0;
}

static void test_each_end_writes_only_what_is_its_to_write(void **unused)
{
	(void)unused;
	assert_false(may_write(RK_ROLE_PRODUCER, 0));
	assert_false(may_write(RK_ROLE_PRODUCER, 1));
	assert_true(may_write(RK_ROLE_PRODUCER, 2));
	assert_true(may_write(RK_ROLE_PRODUCER, 3));
	assert_false(may_write(RK_ROLE_CONSUMER, 0));
	assert_true(may_write(RK_ROLE_CONSUMER, 1));
	assert_true(may_write(RK_ROLE_CONSUMER, 2));
	assert_true(may_write(RK_ROLE_CONSUMER, 3));
}

/* A child of fork() has no mapping of its parent's end: it cannot become a second one. */
static struct rk_share *parents;

static void use_the_parents_end(void)
{
	signal(SIGSEGV, SIG_DFL);
	_exit((int)rk_share_ring(parents)->slots->word[0]);
}

static void test_a_forked_child_does_not_inherit_the_end(void **unused)
{
	int status;

	(void)unused;
	assert_int_equal(rk_share_attach(&parents, fd, RK_ROLE_PRODUCER), 0);
	status = end_of(start_child(use_the_parents_end));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	rk_share_detach(parents);
}

/* --- Messages --- */

static void produce_in_child(void)
{
	static struct rk_msg cells[CAPACITY];
	struct rk_share *share;
	struct rk_ring_tx tx;

	if (rk_share_attach(&share, fd, RK_ROLE_PRODUCER) ||
	    rk_ring_tx_open(&tx, rk_share_ring(share)))
		_exit(1);
	for (uint64_t number = 0; number < CROSSING; number++) {
		aid_fill(cells, aid_slots(number, tx.max_slots), number);
		while (!rk_ring_send(&tx, cells))
			if (rk_ring_wait_send(&tx, cells[0].slots, 30000000000ULL) <= 0)
				_exit(2);
	}
	while (!rk_ring_close(&tx, RK_CLOSE_DONE))
		if (rk_ring_wait_send(&tx, 1, 30000000000ULL) <= 0)
			_exit(3);
	rk_share_detach(share);
}

static void test_messages_cross_in_order_and_whole(void **unused)
{
	static struct rk_msg cells[CAPACITY];
	uint64_t number = 0;
	struct rk_share *share;
	struct rk_ring_rx rx;
	pid_t child;

	(void)unused;
	assert_int_equal(rk_share_attach(&share, fd, RK_ROLE_CONSUMER), 0);
	assert_int_equal(rk_ring_rx_open(&rx, rk_share_ring(share), NULL), 0);
	child = start_child(produce_in_child);
	while (rk_ring_wait_recv(&rx, 30000000000ULL) > 0) {
		while (rk_ring_recv(&rx, cells, CAPACITY) > 0 && !rx.closed) {
			assert_true(aid_matches(cells, aid_slots(number, rx.max_slots), number));
			number++;
		}
	}
	assert_true(number == CROSSING && rx.closed == RK_CLOSE_DONE);
	assert_int_equal(end_of(child), 0);
	rk_share_detach(share);
}

/* Attaching and detaching, also in vain, leaves no descriptor open. */
static void test_no_descriptor_is_leaked(void **unused)
{
	int before = dup(fd), after;
	struct rk_share *share, *second;

	(void)unused;
	close(before);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(rk_share_attach(&share, fd, RK_ROLE_PRODUCER), 0);
		assert_int_equal(rk_share_attach(&second, fd, RK_ROLE_PRODUCER), -EBUSY);
		rk_share_detach(share);
		assert_int_equal(rk_share_create(&after, 6, 0, "odd"), -EINVAL);
	}
	after = dup(fd);
	close(after);
	assert_int_equal(after, before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_ring, drop_ring)
	const struct CMUnitTest tests[] = {
		TEST(test_a_capacity_that_is_no_ring_makes_nothing),
		TEST(test_a_name_may_be_long_or_none),
		TEST(test_the_memory_is_sealed_against_resizing),
		TEST(test_descriptors_of_other_kinds_are_refused),
		TEST(test_memory_that_holds_no_ring_of_ours_is_refused),
		TEST(test_memory_that_cannot_be_written_is_refused),
		TEST(test_a_role_that_is_none_is_refused),
		TEST(test_an_end_is_held_once),
		TEST(test_another_process_is_refused_too),
		TEST(test_the_peer_is_seen_coming_and_dying),
		TEST(test_each_end_writes_only_what_is_its_to_write),
		TEST(test_a_forked_child_does_not_inherit_the_end),
		TEST(test_messages_cross_in_order_and_whole),
		TEST(test_no_descriptor_is_leaked),
	};

	aid_choose_seed(1);
	aid_watchdog(120);
	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
