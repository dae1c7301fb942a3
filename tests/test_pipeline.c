// SPDX-License-Identifier: MIT
/* Ports and actors joined by the runtime: nothing lost, every end reached, every error told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config.h"
#include "actors.h"
#include "gen.h"
#include "mdp3_book.h"
#include "ringkernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_NS (60 * 1000000000ULL)

enum { PACKETS = 4000 };

static char folder[] = "/tmp/rk-pipeline-XXXXXX";
static char capture[64], uri[128], copy_uri[128], copy[64];

/* A capture of A and B, some packets lost on each but none on both. */
static int make_capture(void **state)
{
	struct gen_packet packet;
	struct gen_pcap *pcap;
	struct gen_opts opts;
	struct gen *gen;

	(void)state;
	if (!RK_HAVE_PCAP)
		return 0;
	if (!mkdtemp(folder))
		return -1;
	snprintf(capture, sizeof(capture), "%s/in.pcap", folder);
	snprintf(copy, sizeof(copy), "%s/out.pcap", folder);
	snprintf(uri, sizeof(uri), "pcap:%s,feeds=224.0.31.64:14340+224.0.32.64:15340", capture);
	snprintf(copy_uri, sizeof(copy_uri), "pcap:%s", copy);
	gen_opts_init(&opts);
	opts.packets = PACKETS;
	opts.spare = 1;
	opts.loss_ppb[0] = opts.loss_ppb[1] = 50000000;
	if (gen_open(&gen, &opts) || gen_pcap_open(&pcap, capture))
		return -1;
	while (gen_next(gen, &packet) > 0)
		gen_pcap_write(pcap, &packet);
	gen_close(gen);
	return gen_pcap_close(pcap);
}

static int remove_capture(void **state)
{
	(void)state;
	unlink(capture);
	unlink(copy);
	rmdir(folder);
	return 0;
}

static void ok(int result)
{
	if (result)
		fail_msg("%d: %s", result, rk_errmsg());
}

static struct rk_port *port(const char *name, enum rk_port_direction direction)
{
	struct rk_port *opened = NULL;

	ok(rk_port_open(&opened, name, direction, 0));
	return opened;
}

static struct rk_runtime *runtime_of(unsigned int workers)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = workers};
	struct rk_runtime *runtime;

	ok(rk_runtime_open(&runtime, &opts));
	return runtime;
}

static struct rk_actor *spawn(struct rk_runtime *runtime, const char *name)
{
	const struct rk_actor_type *type = rk_actor_type_find(name);
	struct rk_actor *actor;

	assert_non_null(type);
	ok(rk_actor_spawn(&actor, runtime, type, NULL));
	return actor;
}

static uint64_t dropped(const struct rk_port_stats *s)
{
	return s->dropped_foreign + s->dropped_truncated + s->dropped_too_long +
	       s->dropped_kernel + s->dropped_refused + s->dropped_closed;
}

static void see(void *observer, const struct rk_msg *msg)
{
	uint64_t *seen = observer;

	seen[msg->type == RK_MDP3_BBO]++;
}

/* capture -> mdp3_book -> null; the same on one worker and on two, and through tiny rings. */
static void books_come_out_of_a_capture(unsigned int workers, uint64_t slots,
					struct rk_mdp3_counters *counters)
{
	struct rk_runtime *runtime = runtime_of(workers);
	struct rk_actor *book = spawn(runtime, "mdp3_book");
	struct rk_port *in = port(uri, RK_PORT_IN), *out = port("null:", RK_PORT_OUT);
	uint64_t seen[2] = {0, 0};
	struct rk_link_opts opts = {.size = sizeof(opts),
				    .slots = slots,
				    .worker = RK_ANY_WORKER,
				    .observe = see,
				    .observer = seen};
	const struct rk_mdp3_state *state;
	struct rk_port_stats from, to;
	struct rk_actor_info info;

	ok(rk_link_port_out(NULL, book, out, &opts));
	ok(rk_link_port_in(NULL, in, book, &opts));
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_port_stats(in, &from);
	rk_port_stats(out, &to);
	rk_actor_info(book, &info);
	state = rk_actor_state(book);
	assert_non_null(state);
	*counters = state->counters;
	assert_int_equal(dropped(&from), 0);
	assert_int_equal(from.messages, info.received);
	assert_int_equal(info.received, counters->packets);
	assert_int_equal(counters->unique, PACKETS);
	assert_int_equal(counters->gaps, 0);
	assert_int_equal(info.sent, to.messages);
	assert_int_equal(seen[1], counters->bbo_updates);
	assert_int_equal(seen[0] + seen[1], to.messages);
	ok(rk_runtime_close(runtime));
}

static void the_result_does_not_depend_on_workers_or_rings(void **unused)
{
	struct rk_mdp3_counters one, two, tiny;

	(void)unused;
	if (!RK_HAVE_PCAP)
		skip();
	books_come_out_of_a_capture(1, 1024, &one);
	books_come_out_of_a_capture(2, 1024, &two);
	books_come_out_of_a_capture(2, 64, &tiny);
	assert_memory_equal(&one, &two, sizeof(one));
	assert_memory_equal(&one, &tiny, sizeof(one));
}

static void a_port_feeds_a_port(void **unused)
{
	struct rk_runtime *runtime = runtime_of(1);
	struct rk_port *in, *out;
	struct rk_port_stats from, to, again;
	struct stat original, copied;

	(void)unused;
	if (!RK_HAVE_PCAP)
		skip();
	in = port(uri, RK_PORT_IN);
	out = port(copy_uri, RK_PORT_OUT);
	ok(rk_link_ports(NULL, runtime, in, out, NULL));
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_port_stats(in, &from);
	rk_port_stats(out, &to);
	assert_int_equal(from.messages, to.messages);
	assert_int_equal(dropped(&to), 0);
	ok(rk_runtime_close(runtime));
	stat(capture, &original);
	stat(copy, &copied);
	assert_int_equal(original.st_size, copied.st_size);

	runtime = runtime_of(1);
	in = port(copy_uri, RK_PORT_IN);
	ok(rk_link_ports(NULL, runtime, in, port("null:", RK_PORT_OUT), NULL));
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_port_stats(in, &again);
	assert_int_equal(again.messages, from.messages);
	assert_int_equal(again.bytes, from.bytes);
	ok(rk_runtime_close(runtime));
}

static void a_damaged_capture_is_told_and_what_came_before_is_handled(void **unused)
{
	struct rk_runtime *runtime = runtime_of(2);
	struct rk_actor *count;
	struct rk_port_stats from;
	struct rk_actor_info info;
	struct rk_port *in;
	struct stat status;
	int result;

	(void)unused;
	if (!RK_HAVE_PCAP)
		skip();
	stat(copy, &status);
	assert_int_equal(truncate(copy, status.st_size / 2 + 5), 0);
	count = spawn(runtime, "count");
	in = port(copy_uri, RK_PORT_IN);
	ok(rk_link_port_in(NULL, in, count, NULL));
	result = rk_runtime_wait(runtime, LONG_NS);
	assert_int_equal(result, -EPROTO);
	assert_non_null(strstr(rk_errmsg(), "out.pcap"));
	assert_int_equal(rk_runtime_stop(runtime, RK_STOP_DRAIN, LONG_NS), -EPROTO);
	rk_port_stats(in, &from);
	rk_actor_info(count, &info);
	assert_true(from.messages > PACKETS / 2);
	assert_int_equal(from.messages, info.received);
	ok(rk_runtime_close(runtime));
}

static void an_endless_source_is_drained_or_cut(void **unused)
{
	char endless[160];

	(void)unused;
	if (!RK_HAVE_PCAP)
		skip();
	snprintf(endless, sizeof(endless), "%s,loops=1000000", uri);
	for (int round = 0; round < 20; round++) {
		enum rk_stop how = round % 2 ? RK_STOP_NOW : RK_STOP_DRAIN;
		struct rk_runtime *runtime = runtime_of(1 + (unsigned int)round % 3);
		struct rk_actor *first = spawn(runtime, "echo"), *second = spawn(runtime, "count");
		struct rk_port *in = port(endless, RK_PORT_IN);
		struct rk_actor_info one, two;
		struct rk_port_stats from;

		ok(rk_link_actors(NULL, first, second, NULL));
		ok(rk_link_port_in(NULL, in, first, NULL));
		usleep(3000);
		ok(rk_runtime_stop(runtime, how, LONG_NS));
		rk_port_stats(in, &from);
		rk_actor_info(first, &one);
		rk_actor_info(second, &two);
		assert_int_equal(one.state, RK_ACTOR_STOPPED);
		assert_int_equal(two.state, RK_ACTOR_STOPPED);
		assert_int_equal(one.received,
				 one.sent + one.dropped_closed + one.dropped_stopped);
		if (how == RK_STOP_DRAIN) {
			assert_int_equal(from.messages, one.received);
			assert_int_equal(one.sent, two.received);
		} else {
			assert_true(from.messages >= one.received);
			assert_true(one.sent >= two.received);
		}
		ok(rk_runtime_close(runtime));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_result_does_not_depend_on_workers_or_rings),
		cmocka_unit_test(a_port_feeds_a_port),
		cmocka_unit_test(a_damaged_capture_is_told_and_what_came_before_is_handled),
		cmocka_unit_test(an_endless_source_is_drained_or_cut),
	};

	return cmocka_run_group_tests(tests, make_capture, remove_capture);
}
