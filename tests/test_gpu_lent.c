// SPDX-License-Identifier: MIT
/*
 * Datagrams that stay in the buffer they were received into, read by an actor where they lie: the same
 * bodies on a GPU, by a warp and by a block, and on a CPU.
 */
#include "actor_aid.h"
#include "gpu_aid.h"
#include "lent_handlers.h"

#include <arpa/inet.h>
#include <sys/socket.h>

RK_SOURCE(lent_source, "tests/lent_handlers.h");

static const struct rk_actor_type lent_type = {.name = "lent",
					       .summary = "reads datagrams where they lie",
					       .handle = test_lent,
					       .source = lent_source,
					       .function = "test_lent",
					       .state_bytes = sizeof(struct lent_state)};

static const struct placing on_cpu = {&lent_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};
static const struct placing warp = {&lent_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&lent_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};

/* On a GPU a trap is for good. */
static void lent_or_die(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	if (msg->type == LENT_DIE)
		__builtin_trap();
	test_lent(ctx, state, msg);
}

static const struct rk_actor_type mortal_type = {.name = "mortal",
						 .summary = "dies when it is told to",
						 .handle = lent_or_die,
						 .state_bytes = sizeof(struct lent_state)};

static const struct placing mortal = {&mortal_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};

/* The most that a datagram holds in whole words; a short one, which lies in its message. */
enum { LONGEST = 65504, SHORT = 64, LEND = 1000, MIDDLE = 2000 };
/* Of 128 buffers; and how often an actor is restarted that holds some. */
enum { HELD_MOST = 120, HELD_SOME = 50, TIMES = 20 };

/* --- The actor, its port, and a socket that sends to it --- */

struct stand {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_port *port;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	int fd;
};

/* A port of this machine that nobody has. */
static struct sockaddr_in free_address(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	close(fd);
	return name;
}

static struct stand open_stand_in(struct rk_runtime *runtime, const struct placing *on)
{
	const struct rk_actor_opts opts = opts_of(on, 0);
	struct stand stand = {.runtime = runtime};
	struct sockaddr_in name = free_address();
	char uri[96];

	snprintf(uri, sizeof(uri), "udp:127.0.0.1:%d,lend=%d%s", ntohs(name.sin_port), LEND,
		 on->backend == RK_BACKEND_CUDA ? ",gpu" : "");
	ok(rk_port_open(&stand.port, uri, RK_PORT_IN, 0));
	ok(rk_actor_spawn(&stand.actor, stand.runtime, on->type, &opts));
	ok(rk_link_host_out(&stand.rx, stand.actor, NULL));
	ok(rk_link_port_in(NULL, stand.port, stand.actor, NULL));
	ok(rk_link_host_in(&stand.tx, stand.actor, NULL));
	stand.fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_true(stand.fd >= 0);
	assert_int_equal(connect(stand.fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return stand;
}

static struct stand open_stand(const struct placing *on)
{
	return open_stand_in(open_runtime(2, 0), on);
}

static void close_stand(struct stand *stand)
{
	close(stand->fd);
	close_runtime(stand->runtime);
}

static void order(struct stand *stand, uint16_t type)
{
	struct rk_msg msg = {.type = type, .slots = 1};

	send_msg(stand->tx, &msg);
}

/* Datagram @number: its words count up from a number of its own. */
static uint64_t first_of(uint64_t number)
{
	return (number + 1) << 20;
}

static void send_datagram(struct stand *stand, uint64_t number, uint32_t bytes)
{
	static uint64_t words[LONGEST / 8];

	for (uint32_t i = 0; i < bytes / 8; i++)
		words[i] = first_of(number) + i;
	assert_int_equal(send(stand->fd, words, bytes, 0), bytes);
}

static void check(const struct lent_report *report, uint64_t number, uint32_t bytes)
{
	uint64_t words = bytes / 8;

	assert_int_equal(report->first, first_of(number));
	assert_int_equal(report->bytes, bytes);
	assert_int_equal(report->sum, words * first_of(number) + words * (words - 1) / 2);
	assert_int_equal(report->lent, bytes > LEND);
	assert_int_equal(report->dropped, 0);
}

static uint16_t await(struct stand *stand, struct lent_report *report)
{
	struct rk_msg msg[2];

	assert_true(receive(stand->rx, msg, 2));
	memcpy(report, rk_msg_payload(msg), sizeof(*report));
	return msg[0].type;
}

/* An order that is answered. */
static void must(struct stand *stand, uint16_t type)
{
	struct lent_report unused;

	order(stand, type);
	assert_int_equal(await(stand, &unused), type);
}

/* From here on the actor holds what is lent to it: @count datagrams. */
static void hold(struct stand *stand, uint64_t count)
{
	struct lent_report report;

	must(stand, LENT_HOLD);
	for (uint64_t i = 0; i < count; i++) {
		send_datagram(stand, i, MIDDLE);
		assert_int_equal(await(stand, &report), LENT_REPORT);
		check(&report, i, MIDDLE);
	}
}

/* What became of all loans, once none is out. */
static struct rk_port_stats await_loans(const struct stand *stand)
{
	struct rk_port_stats stats;

	do {
		usleep(1000);
		rk_port_stats(stand->port, &stats);
	} while (stats.loans != stats.loans_done + stats.loans_forgotten + stats.loans_ended);
	return stats;
}

/* Nearly all buffers can be held at once, so @forgotten of them have come back from who held them. */
static void expect_all_back(struct stand *stand, uint64_t forgotten)
{
	struct rk_port_stats stats;
	struct lent_report report;

	hold(stand, HELD_MOST);
	order(stand, LENT_LET_GO);
	for (uint64_t i = 0; i < HELD_MOST; i++) {
		assert_int_equal(await(stand, &report), LENT_AGAIN);
		check(&report, i, MIDDLE);
	}
	stats = await_loans(stand);
	assert_int_equal(stats.loans_forgotten, forgotten);
	assert_int_equal(stats.loans_done, HELD_MOST);
	assert_int_equal(stats.loans_ended, 0);
}

/* --- Bodies --- */

/* Many more than there are buffers, so each comes back and is received into again. */
static void long_datagrams_are_read_where_they_lie(void **state)
{
	static const uint32_t bytes[] = {LONGEST, SHORT, MIDDLE, LEND};
	struct stand stand = open_stand(*state);
	struct rk_port_stats stats;
	struct lent_report report;

	for (uint64_t i = 0; i < 800; i++) {
		send_datagram(&stand, i, bytes[i % 4]);
		assert_int_equal(await(&stand, &report), LENT_REPORT);
		check(&report, i, bytes[i % 4]);
	}
	rk_port_stats(stand.port, &stats);
	assert_int_equal(stats.messages, 800);
	assert_int_equal(stats.bytes, 200 * (LONGEST + SHORT + MIDDLE + LEND));
	close_stand(&stand);
}

/* Nearly all buffers are held, and false tickets return none; what finds none waits in the socket. */
static void what_is_held_stays_as_it_is(void **state)
{
	enum { HELD = HELD_MOST, MORE = 40 };
	struct stand stand = open_stand(*state);
	uint32_t came = HELD, again = 0;
	struct lent_report report;

	hold(&stand, HELD);
	must(&stand, LENT_LIE);
	for (uint64_t i = HELD; i < HELD + MORE; i++)
		send_datagram(&stand, i, MIDDLE);
	order(&stand, LENT_LET_GO);
	while (came < HELD + MORE || again < HELD) {
		if (await(&stand, &report) == LENT_AGAIN)
			check(&report, again++, MIDDLE);
		else
			check(&report, came++, MIDDLE);
	}
	for (uint64_t i = 0; i < 200; i++) {
		send_datagram(&stand, i, LONGEST);
		while (await(&stand, &report) == LENT_AGAIN)
			check(&report, again++, MIDDLE);
		check(&report, i, LONGEST);
	}
	close_stand(&stand);
}

static void loans_end_with_their_actor(void **state)
{
	for (int how = 0; how < 3; how++) {
		struct stand stand = open_stand(*state);

		hold(&stand, HELD_SOME);
		if (how == 0)
			ok(rk_actor_stop(stand.actor, RK_STOP_NOW, LONG_NS));
		else if (how == 1)
			ok(rk_actor_kill(stand.actor, LONG_NS));
		if (how < 2)
			assert_int_equal(await_loans(&stand).loans_ended, HELD_SOME);
		close_stand(&stand);
	}
}

static void who_begins_anew_holds_nothing(void **state)
{
	struct stand stand = open_stand(*state);

	for (int i = 0; i < TIMES; i++) {
		hold(&stand, HELD_SOME);
		ok(rk_actor_restart(stand.actor, NULL, LONG_NS));
	}
	expect_all_back(&stand, TIMES * HELD_SOME);
	close_stand(&stand);
}

static void what_waits_is_lent_to_the_next(void **state)
{
	enum { HELD = 20, WAITING = 30 };
	struct stand stand = open_stand(*state);
	struct rk_port_stats stats;
	struct lent_report report;

	hold(&stand, HELD);
	ok(rk_actor_pause(stand.actor, LONG_NS));
	for (uint64_t i = 0; i < WAITING; i++)
		send_datagram(&stand, i, LONGEST);
	do {
		usleep(1000);
		rk_port_stats(stand.port, &stats);
	} while (stats.loans < HELD + WAITING);
	ok(rk_actor_restart(stand.actor, NULL, LONG_NS));
	for (uint64_t i = 0; i < WAITING; i++) {
		assert_int_equal(await(&stand, &report), LENT_REPORT);
		check(&report, i, LONGEST);
	}
	stats = await_loans(&stand);
	assert_int_equal(stats.loans_done, WAITING);
	assert_int_equal(stats.loans_forgotten, HELD);
	close_stand(&stand);
}

static void who_dies_holds_nothing(void **unused)
{
	const struct rk_supervisor_opts opts = {.size = sizeof(opts), .max_restarts = TIMES};
	struct stand stand = open_stand_in(open_guarded(2), &mortal);
	struct rk_supervisor *supervisor;

	(void)unused;
	ok(rk_supervisor_open(&supervisor, stand.runtime, &opts));
	ok(rk_supervisor_add(supervisor, stand.actor, NULL));
	for (int i = 0; i < TIMES; i++) {
		hold(&stand, HELD_SOME);
		order(&stand, LENT_DIE);
	}
	expect_all_back(&stand, TIMES * HELD_SOME);
	assert_int_equal(info_of(stand.actor).failures, TIMES);
	close_stand(&stand);
}

/* --- Who may have it --- */

static void refused(const char *options, const char *why)
{
	struct rk_port *port;
	char uri[96];

	snprintf(uri, sizeof(uri), "udp:127.0.0.1:%d%s", ntohs(free_address().sin_port), options);
	assert_int_equal(rk_port_open(&port, uri, RK_PORT_IN, 0), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), why));
}

static void options_that_do_not_go_together(void **unused)
{
	(void)unused;
	refused(",gpu", "it goes with lend=");
	refused(",lend=1000,gro", "leave gro or lend= out");
	refused(",lend=0", "lend=0");
}

static void a_loan_is_for_one_side(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts opts = opts_of(&on_cpu, 0);
	struct rk_actor *cpu, *gpu;
	struct rk_port *port;
	char uri[96];

	(void)unused;
	ok(rk_actor_spawn(&cpu, runtime, &lent_type, &opts));
	opts = opts_of(&warp, 0);
	ok(rk_actor_spawn(&gpu, runtime, &lent_type, &opts));
	snprintf(uri, sizeof(uri), "udp:127.0.0.1:%d,lend=1000,gpu", ntohs(free_address().sin_port));
	ok(rk_port_open(&port, uri, RK_PORT_IN, 0));
	assert_int_equal(rk_link_port_in(NULL, port, cpu, NULL), -EINVAL);
	snprintf(uri, sizeof(uri), "udp:127.0.0.1:%d,lend=1000", ntohs(free_address().sin_port));
	ok(rk_port_open(&port, uri, RK_PORT_IN, 0));
	assert_int_equal(rk_link_port_in(NULL, port, gpu, NULL), -EINVAL);
	close_runtime(runtime);
}

#define LENT_BODIES(X)                            \
	X(long_datagrams_are_read_where_they_lie) \
	X(what_is_held_stays_as_it_is)            \
	X(loans_end_with_their_actor)             \
	X(who_begins_anew_holds_nothing)          \
	X(what_waits_is_lent_to_the_next)

int main(void)
{
	const struct CMUnitTest on_cpus[] = {
		LENT_BODIES(CPU)
		cmocka_unit_test_setup(who_dies_holds_nothing, nothing_is_left_open),
		cmocka_unit_test(options_that_do_not_go_together),
	};
	const struct CMUnitTest on_gpus[] = {
		LENT_BODIES(WARP)
		LENT_BODIES(BLOCK)
		cmocka_unit_test_setup(a_loan_is_for_one_side, nothing_is_left_open),
	};
	int failed;

	aid_watchdog(120);
	failed = cmocka_run_group_tests(on_cpus, NULL, NULL);
	return failed + gpu_run_rest(on_gpus, NULL, NULL);
}
