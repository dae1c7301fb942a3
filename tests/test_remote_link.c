// SPDX-License-Identifier: MIT
/*
 * Actors linked by name across what stands for a network: UCX over TCP on loopback. Two runtimes
 * are two hosts here; between real ones, tests/rdma does the same over RDMA.
 */
#include "ringkernel.h"
#include "actors.h"
#include "clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES = 20000, WAIT_NS = 1000000000 };

static char at[64];

/* Skips where there is no UCX; finds an address that nobody has. */
static int choose_address(void **state)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) ||
	    getsockname(fd, (struct sockaddr *)&name, &bytes))
		return -1;
	close(fd);
	/* UCX's way to take an address again whose last connections are barely gone. */
	setenv("UCX_TCP_CM_REUSEADDR", "y", 1);
	snprintf(at, sizeof(at), "ucx:127.0.0.1:%u", ntohs(name.sin_port));
	alarm(120);
	return 0;
}

static bool is_absent(void)
{
	const struct rk_port_kind *kind;

#ifdef __SANITIZE_THREAD__
	print_message("UCX patches functions that the race detector has replaced\n");
	return true;
#endif
	for (unsigned int i = 0; (kind = rk_port_kind_at(i)); i++)
		if (!strcmp(kind->name, "ucx") && kind->absent) {
			print_message("%s\n", kind->absent);
			return true;
		}
	return false;
}

static struct rk_runtime *open_runtime(void)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1, .unpinned = true};
	struct rk_runtime *runtime;

	assert_int_equal(rk_runtime_open(&runtime, &opts), 0);
	return runtime;
}

static struct rk_actor *spawn(struct rk_runtime *runtime, const char *name)
{
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .name = name, .worker = RK_ANY_WORKER};
	struct rk_actor *actor;

	assert_int_equal(rk_actor_spawn(&actor, runtime, rk_actor_type_find("echo"), &opts), 0);
	return actor;
}

static void send_number(struct rk_ring_tx *tx, uint32_t number)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .tag = number};

	memcpy(msg.body, &number, sizeof(number));
	while (!rk_ring_send(tx, &msg))
		if (rk_ring_wait_send(tx, 1, WAIT_NS) < 0)
			fail_msg("ring closed: %llu", (unsigned long long)tx->closed);
}

/* Here -> "there" on the other host -> "back" on this one: nothing lost, in order. */
static void go_there_and_back(const char *options)
{
	char inbox[128];
	struct rk_runtime *here, *there;
	struct rk_actor *first, *back, *echo;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;
	uint32_t sent = 0, received = 0;

	if (is_absent())
		skip();
	snprintf(inbox, sizeof(inbox), "%s%s", at, options);
	here = open_runtime();
	there = open_runtime();
	first = spawn(here, "first");
	back = spawn(here, "back");
	echo = spawn(there, "there");
	assert_int_equal(rk_link_publish(NULL, echo, NULL, inbox, NULL), 0);
	assert_int_equal(rk_link_publish(NULL, back, NULL, inbox, NULL), 0);
	assert_int_equal(rk_link_name(NULL, first, "there", at, NULL), 0);
	assert_int_equal(rk_link_name(NULL, echo, "back", at, NULL), 0);
	assert_int_equal(rk_link_host_in(&tx, first, NULL), 0);
	assert_int_equal(rk_link_host_out(&rx, back, NULL), 0);
	while (received < MESSAGES) {
		for (int i = 0; i < 32 && sent < MESSAGES; i++)
			send_number(tx, sent++);
		while (rk_ring_recv(rx, &msg, 1) > 0)
			assert_int_equal(msg.tag, received++);
		if (received < sent && sent - received > 500)
			rk_ring_wait_recv(rx, WAIT_NS / 100);
	}
	rk_ring_close(tx, 0);
	assert_int_equal(rk_runtime_stop(here, RK_STOP_NOW, 10 * (uint64_t)WAIT_NS), 0);
	rk_runtime_close(here);
	rk_runtime_close(there);
}

static void test_there_and_back(void **state)
{
	(void)state;
	go_there_and_back("");
}

/* The peers write the actors' own inboxes. */
static void test_direct(void **state)
{
	(void)state;
	go_there_and_back(",direct");
}

/*
 * A direct inbox, whose producer ends, or (@stop) is there and silent when its consumer stops:
 * either learns of the other's end.
 */
static void end_direct(bool stop)
{
	struct rk_runtime *here, *there;
	struct rk_actor *first, *echo;
	struct rk_ring_rx *rx;
	struct rk_ring_tx *tx;
	struct rk_msg msg;
	char inbox[128];
	int got = 0;

	if (is_absent())
		skip();
	snprintf(inbox, sizeof(inbox), "%s,direct", at);
	here = open_runtime();
	there = open_runtime();
	first = spawn(here, "first");
	echo = spawn(there, "there");
	assert_int_equal(rk_link_publish(NULL, echo, NULL, inbox, NULL), 0);
	assert_int_equal(rk_link_name(NULL, first, "there", at, NULL), 0);
	assert_int_equal(rk_link_host_out(&rx, echo, NULL), 0);
	assert_int_equal(rk_link_host_in(&tx, first, NULL), 0);
	send_number(tx, 1);
	for (int tries = 0; !got && tries < 10; tries++) {
		rk_ring_wait_recv(rx, WAIT_NS);
		got = rk_ring_recv(rx, &msg, 1);
	}
	assert_int_equal(got, 1);
	assert_int_equal(msg.tag, 1);
	if (stop) {
		assert_int_equal(rk_runtime_stop(there, RK_STOP_DRAIN, 10 * (uint64_t)WAIT_NS), 0);
		rk_runtime_close(there);
		send_number(tx, 2);
		assert_int_equal(rk_runtime_wait(here, 10 * (uint64_t)WAIT_NS), -EPIPE);
		rk_runtime_close(here);
		return;
	}
	rk_ring_close(tx, 0);
	assert_int_equal(rk_runtime_close(here), 0);
	assert_int_equal(rk_runtime_wait(there, 10 * (uint64_t)WAIT_NS), 0);
	assert_int_equal(rk_ring_recv(rx, &msg, 1), 1);
	assert_int_equal(msg.type, RK_MSG_CLOSED);
	rk_runtime_close(there);
}

static void test_end_direct(void **state)
{
	(void)state;
	end_direct(false);
}

static void test_stop_direct(void **state)
{
	(void)state;
	end_direct(true);
}

/* @count messages from a host thread through @from, linked already, and out of @to: its end. */
static struct rk_ring_rx *pass(struct rk_actor *from, struct rk_actor *to, uint32_t count)
{
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	assert_int_equal(rk_link_host_out(&rx, to, NULL), 0);
	assert_int_equal(rk_link_host_in(&tx, from, NULL), 0);
	for (uint32_t i = 0; i < count; i++) {
		int got = 0;

		send_number(tx, i);
		for (int tries = 0; !got && tries < 10; tries++) {
			rk_ring_wait_recv(rx, WAIT_NS);
			got = rk_ring_recv(rx, &msg, 1);
		}
		assert_int_equal(got, 1);
		assert_int_equal(msg.tag, i);
	}
	rk_ring_close(tx, 0);
	return rx;
}

/* Without hosts: an actor of this runtime. Who has stopped has no name any more. */
static void test_here(void **state)
{
	struct rk_runtime *runtime = open_runtime();
	struct rk_actor *first = spawn(runtime, "first"), *gone = spawn(runtime, "second"), *second;

	(void)state;
	assert_int_equal(rk_link_name(NULL, first, "nobody", NULL, NULL), -ENOENT);
	assert_non_null(strstr(rk_errmsg(), "'nobody': no actor of this runtime"));
	second = spawn(runtime, "second");
	assert_int_equal(rk_link_name(NULL, first, "second", NULL, NULL), -ENOTUNIQ);
	assert_int_equal(rk_actor_stop(gone, RK_STOP_NOW, 10 * (uint64_t)WAIT_NS), 0);
	assert_int_equal(rk_link_name(NULL, first, "second", NULL, NULL), 0);
	pass(first, second, 100);
	rk_runtime_close(runtime);
}

/*
 * The same call with hosts, one of which is this one. Nothing goes by the network: there, a name
 * takes one producer.
 */
static void test_here_among_hosts(void **state)
{
	struct rk_runtime *runtime;
	struct rk_actor *actors[2], *second;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;
	int got = 0;
	char hosts[128];

	(void)state;
	if (is_absent())
		skip();
	runtime = open_runtime();
	actors[0] = spawn(runtime, "first");
	actors[1] = spawn(runtime, "other");
	second = spawn(runtime, "second");
	assert_int_equal(rk_link_publish(NULL, second, "books", at, NULL), 0);
	snprintf(hosts, sizeof(hosts), "ucx:127.0.0.1:1+%s,retry=300", at + strlen("ucx:"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(rk_link_name(NULL, actors[i], "books", hosts, NULL), 0);
	rx = pass(actors[0], second, 100);
	assert_int_equal(rk_link_host_in(&tx, actors[1], NULL), 0);
	send_number(tx, 7);
	for (int tries = 0; !got && tries < 10; tries++) {
		rk_ring_wait_recv(rx, WAIT_NS);
		got = rk_ring_recv(rx, &msg, 1);
	}
	assert_int_equal(got, 1);
	assert_int_equal(msg.tag, 7);
	rk_runtime_close(runtime);
}

/* A name twice, a name that cannot be one, a name that nobody has. */
static void test_names(void **state)
{
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	char hosts[128];
	int result;

	(void)state;
	if (is_absent())
		skip();
	runtime = open_runtime();
	actor = spawn(runtime, "a");
	assert_int_equal(rk_link_publish(NULL, actor, "x", at, NULL), 0);
	assert_int_equal(rk_link_publish(NULL, actor, "x", at, NULL), -EADDRINUSE);
	assert_non_null(strstr(rk_errmsg(), "name=x"));
	assert_int_equal(rk_link_publish(NULL, actor, "x,y", at, NULL), -EINVAL);
	assert_int_equal(rk_link_name(NULL, actor, "a\nb", at, NULL), -EINVAL);
	snprintf(hosts, sizeof(hosts), "%s,retry=300,timeout=200", at);
	assert_int_equal(rk_link_name(NULL, actor, "nobody", hosts, NULL), 0);
	{
		struct rk_ring_tx *tx;

		assert_int_equal(rk_link_host_in(&tx, actor, NULL), 0);
		send_number(tx, 1);
	}
	result = rk_runtime_wait(runtime, 10 * (uint64_t)WAIT_NS);
	assert_int_equal(result, -ENOTCONN);
	assert_non_null(strstr(rk_errmsg(), "no ring 'nobody' at this address: there is 'x'"));
	rk_runtime_close(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_end_direct),
		cmocka_unit_test(test_stop_direct),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_here),
		cmocka_unit_test(test_here_among_hosts),
	};

	return cmocka_run_group_tests_name("remote_link", tests, choose_address, NULL);
}
