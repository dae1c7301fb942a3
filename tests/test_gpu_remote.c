// SPDX-License-Identifier: MIT
/*
 * A peer of another host writes the inbox of an actor on a GPU. The fabric is a test's own, which
 * writes through the CPU's mapping what a NIC would write by itself: words in any order,
 * connections that break; all else is as with a NIC.
 */
#include "remote_aid.h"
#include "actor_aid.h"
#include "gpu_aid.h"

#include "actors.h"

enum { MESSAGES = 5000, BREAK_EVERY = 1500 };

/* Take what the actor has sent on; true at its end. */
static bool take_echoes(struct rk_ring_rx *rx, uint64_t *next)
{
	while (rk_ring_recv(rx, in_cells, CELLS) > 0) {
		if (in_cells->type == RK_MSG_CLOSED)
			return true;
		fill(due_cells, *next);
		assert_memory_equal(in_cells, due_cells, slots_of(*next) * RK_CELL_BYTES);
		++*next;
	}
	return false;
}

static void send_numbers(struct rk_port *out, struct rk_ring_rx *rx, uint64_t *next)
{
	for (uint64_t sent = 0; *next < MESSAGES;) {
		fill(out_cells, sent);
		if (sent < MESSAGES && rk_port_write(out, out_cells) == 1 &&
		    ++sent % BREAK_EVERY == 0)
			break_connections(out);
		rk_port_flush(out);
		assert_false(take_echoes(rx, next));
	}
}

/* Each message is there once, whole and in order, and the counters of port and actor agree. */
static void a_peer_writes_an_actors_inbox(void **unused)
{
	static const struct placing on = {.backend = RK_BACKEND_CUDA, .group = RK_GROUP_WARP};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts opts = opts_of(&on, 0);
	struct rk_port *in = open_port(true, "direct", ""), *out;
	struct rk_port_stats stats;
	struct rk_actor_info info;
	struct rk_actor *actor;
	struct rk_ring_rx *rx;
	uint64_t next = 0;

	(void)unused;
	by_cpu = true;
	ok(rk_actor_spawn(&actor, runtime, rk_actor_type_find("echo"), &opts));
	ok(rk_link_port_in(NULL, in, actor, NULL));
	ok(rk_link_host_out(&rx, actor, NULL));
	print_message("# %s\n", rk_port_note(in));
	set_chaos(true);
	out = open_out();
	send_numbers(out, rx, &next);
	set_chaos(false);
	assert_true(broken_connections > 0);
	ok(rk_port_close(out));
	while (!take_echoes(rx, &next))
		;
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_actor_info(actor, &info);
	rk_port_stats(in, &stats);
	assert_int_equal(next, MESSAGES);
	assert_int_equal(info.received, MESSAGES);
	/* Where the GPU's memory has no mapping they are counted one by one. */
	if (stats.uncounted_slots)
		assert_int_equal(stats.uncounted_slots + 1, info.received_slots);
	else
		assert_int_equal(stats.messages, MESSAGES);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_writes_an_actors_inbox),
	};

	if (gpu_is_absent())
		return 77;
	return cmocka_run_group_tests_name("gpu_remote", tests, setup, NULL);
}
