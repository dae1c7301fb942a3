// SPDX-License-Identifier: MIT
/*
 * Tenants: no ring and no parent joins two of them, whichever way it is asked for; each has what
 * its budget allows, to the byte, and what is refused has cost it nothing.
 */
#include "tenant_bodies.h"

enum { SLOTS = 64 };

static const struct placing cpu = {.type = &relay_type};

static int spawn_for(struct rk_actor **actor, struct rk_runtime *runtime, struct rk_tenant *tenant,
		     struct rk_actor *parent)
{
	struct rk_actor_opts opts = opts_of(&cpu, 0);

	opts.tenant = tenant;
	opts.parent = parent;
	return rk_actor_spawn(actor, runtime, &relay_type, &opts);
}

/* Two of each, of a tenant, another, and of none: who may be linked with whom, by every way. */
static void no_ring_joins_two_tenants(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_tenant *tenant[3] = {open_tenant(runtime, "red", 0),
				       open_tenant(runtime, "blue", 0), NULL};
	const struct rk_link_opts opts = slots(SLOTS);
	struct rk_actor *actor[6];
	unsigned int refused = 0;
	struct rk_tenant_info info;

	(void)state;
	for (int i = 0; i < 6; i++)
		ok(spawn_for(&actor[i], runtime, tenant[i % 3], NULL));
	ok(rk_name_register(actor[1], "blue/one"));
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 6; j++) {
			bool apart = i % 3 + j % 3 == 1; /* red and blue */
			int result = rk_link_actors(NULL, actor[i], actor[j], &opts);

			assert_int_equal(result, apart ? -EACCES : 0);
			if (!apart)
				continue;
			refused++;
			assert_non_null(strstr(rk_errmsg(), "'red'"));
			assert_non_null(strstr(rk_errmsg(), "'blue'"));
		}
	assert_int_equal(refused, 8);
	assert_int_equal(rk_link_name(NULL, actor[0], "blue/one", NULL, &opts), -EACCES);
	ok(rk_link_name(NULL, actor[2], "blue/one", NULL, &opts));
	info = info_of_tenant(tenant[0]);
	assert_int_equal(info.refused_links, refused + 1);
	assert_int_equal(info.actors, 2);
	assert_int_equal(info_of_tenant(tenant[1]).refused_links, refused + 1);
	close_runtime(runtime);
}

static void no_parent_is_of_another_tenant(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0), *other;
	struct rk_tenant *red = open_tenant(runtime, "red", 0);
	struct rk_tenant *blue = open_tenant(runtime, "blue", 0);
	struct rk_actor *parent, *child;

	(void)state;
	ok(spawn_for(&parent, runtime, red, NULL));
	assert_int_equal(spawn_for(&child, runtime, blue, parent), -EACCES);
	ok(spawn_for(&child, runtime, red, parent));
	ok(spawn_for(&child, runtime, NULL, parent));
	assert_int_equal(info_of_tenant(blue).actors, 0);
	ok(rk_runtime_open(&other, NULL));
	assert_int_equal(spawn_for(&child, other, red, NULL), -EINVAL);
	ok(rk_runtime_close(other));
	close_runtime(runtime);
}

/* With exactly as much as it takes, it works; with a byte less, the last is refused. */
static void budgets_last_to_the_byte(void **state)
{
	struct rk_link_opts opts = slots(SLOTS);
	uint64_t most = 0;

	(void)state;
	opts.dead_slots = 2 * SLOTS;
	for (int less = 0; less < 3; less++) {
		struct rk_runtime *runtime = open_runtime(1, 0);
		struct rk_tenant *tenant = open_tenant(runtime, "red", most ? most - less / 2 : 0);
		struct rk_actor *actor[2];
		struct rk_tenant_info info;
		struct rk_ring_rx *rx;

		ok(spawn_for(&actor[0], runtime, tenant, NULL));
		ok(spawn_for(&actor[1], runtime, tenant, NULL));
		ok(rk_link_actors(NULL, actor[0], actor[1], &opts));
		assert_int_equal(rk_link_host_out(&rx, actor[1], &opts), less == 2 ? -EDQUOT : 0);
		info = info_of_tenant(tenant);
		assert_int_equal(info.refused_budget, less == 2);
		assert_true(!most || info.memory_bytes <= info.memory_most_bytes);
		if (!most)
			most = info.memory_bytes;
		/* What there is none for is refused, and nothing is charged. */
		if (less == 1) {
			assert_int_equal(info.memory_bytes, most);
			assert_int_equal(spawn_for(&actor[0], runtime, tenant, NULL), -EDQUOT);
			assert_non_null(strstr(rk_errmsg(), "it has 0 of"));
			assert_int_equal(info_of_tenant(tenant).memory_bytes, most);
		}
		close_runtime(runtime);
	}
	assert_true(most > 4 * SLOTS * RK_SLOT_BYTES + 2 * sizeof(struct test_state));
}

/* A tenant's rate is dealt out: each names its part, and together they have no more than there is.
 */
static void rates_are_dealt_out(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	const struct rk_tenant_opts most = {
		.size = sizeof(most), .name = "red", .slots_per_s = 1000};
	struct rk_actor_opts opts = opts_of(&cpu, 0);
	struct rk_tenant *tenant;
	struct rk_actor *actor;

	(void)state;
	ok(rk_tenant_open(&tenant, runtime, &most));
	opts.tenant = tenant;
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EDQUOT);
	opts.slots_per_s = 600;
	ok(rk_actor_spawn(&actor, runtime, &relay_type, &opts));
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EDQUOT);
	assert_non_null(strstr(rk_errmsg(), "from 1 to the 400 of 1000"));
	opts.slots_per_s = 400;
	ok(rk_actor_spawn(&actor, runtime, &relay_type, &opts));
	assert_int_equal(info_of_tenant(tenant).slots_per_s, 1000);
	assert_int_equal(info_of_tenant(tenant).actors, 2);
	assert_int_equal(info_of_tenant(tenant).refused_budget, 2);
	close_runtime(runtime);
}

static uint64_t monotonic_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

/* However long it takes, it has never taken more than that time and a burst are worth; and all. */
static void an_actor_keeps_its_pace(void **state)
{
	enum { RATE = 20000, BURST = 256, COUNT = 3000 };
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_link_opts link = slots(8192);
	struct rk_actor_opts opts = opts_of(&cpu, 0);
	struct rk_msg msg[3] = {{.type = TEST_ECHO, .slots = 3}};
	uint64_t begun_ns, slots_sent = 0;
	struct rk_actor_info info;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint32_t received = 0;

	(void)state;
	opts.slots_per_s = RATE;
	begun_ns = monotonic_ns();
	ok(rk_actor_spawn(&actor, runtime, &relay_type, &opts));
	ok(rk_link_host_out(&rx, actor, &link));
	ok(rk_link_host_in(&tx, actor, &link));
	for (uint32_t i = 0; i < COUNT; i++) {
		msg->tag = i;
		msg->slots = i % 2 ? 3 : 1;
		slots_sent += msg->slots;
		send_msg(tx, msg);
	}
	finish_sending(tx);
	while (receive(rx, msg, 3)) {
		/* The time after the count: more of it than the actor had. */
		info = info_of(actor);
		assert_true(info.received_slots <=
			    2 * BURST + (monotonic_ns() - begun_ns) * RATE / SECOND_NS);
		assert_int_equal(msg->tag, received++);
	}
	ok(rk_runtime_wait(runtime, LONG_NS));
	assert_int_equal(received, COUNT);
	assert_int_equal(info_of(actor).received, COUNT);
	assert_int_equal(info_of(actor).received_slots, slots_sent + 1); /* and RK_MSG_CLOSED */
	close_runtime(runtime);
}

/* An actor that was not made, for another reason, is not charged. */
static void failures_cost_nothing(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_tenant *tenant = open_tenant(runtime, "red", 0);
	const struct rk_tenant_opts nameless = {.size = sizeof(nameless)};
	struct rk_actor_opts opts = opts_of(&cpu, 17);
	struct rk_tenant *none;
	struct rk_actor *actor;

	(void)state;
	opts.tenant = tenant;
	assert_int_equal(rk_actor_spawn(&actor, runtime, &relay_type, &opts), -EINVAL);
	assert_int_equal(info_of_tenant(tenant).memory_bytes, 0);
	assert_int_equal(info_of_tenant(tenant).actors, 0);
	assert_int_equal(rk_tenant_open(&none, runtime, &nameless), -EINVAL);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_ring_joins_two_tenants),
		cmocka_unit_test(no_parent_is_of_another_tenant),
		cmocka_unit_test(budgets_last_to_the_byte),
		cmocka_unit_test(rates_are_dealt_out),
		cmocka_unit_test(an_actor_keeps_its_pace),
		cmocka_unit_test(failures_cost_nothing),
		cmocka_unit_test_prestate(references_reach_what_was_given, (void *)(uintptr_t)&cpu),
	};

	aid_watchdog(100);
	return cmocka_run_group_tests(tests, nothing_is_left_open, NULL);
}
