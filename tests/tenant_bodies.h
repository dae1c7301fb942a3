/* SPDX-License-Identifier: MIT */
/*
 * tenant_bodies.h - tests of tenants that hold on every backend: each takes, as its cmocka state,
 * where its actors run.
 */
#ifndef TENANT_BODIES_H
#define TENANT_BODIES_H

#include "actor_aid.h"

#include "gpudirect/rk_region.h"

AID struct rk_tenant *open_tenant(struct rk_runtime *runtime, const char *name, uint64_t most)
{
	const struct rk_tenant_opts opts = {
		.size = sizeof(opts), .name = name, .memory_bytes = most};
	struct rk_tenant *tenant;

	ok(rk_tenant_open(&tenant, runtime, &opts));
	return tenant;
}

AID struct rk_tenant_info info_of_tenant(struct rk_tenant *tenant)
{
	struct rk_tenant_info info;

	rk_tenant_info(tenant, &info);
	return info;
}

/* A host thread -> an actor of a tenant -> a host thread. */
struct tenants_line {
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
};

AID struct tenants_line open_tenants_line(struct rk_runtime *runtime, const struct placing *on,
					  struct rk_tenant *tenant)
{
	struct rk_actor_opts opts = opts_of(on, 0);
	const struct rk_link_opts link = slots(64);
	struct tenants_line line;

	opts.tenant = tenant;
	ok(rk_actor_spawn(&line.actor, runtime, on->type, &opts));
	ok(rk_link_host_out(&line.rx, line.actor, &link));
	ok(rk_link_host_in(&line.tx, line.actor, &link));
	return line;
}

/* What the actor answers to a message that refers to @bytes at @address. */
AID uint64_t refer(struct tenants_line *line, uint32_t tag, uint64_t address, uint64_t bytes)
{
	struct rk_msg msg;

	send_words(line->tx, TEST_REACH, tag, address, bytes);
	assert_true(receive(line->rx, &msg, 1));
	assert_int_equal(msg.tag, tag);
	return word_of(&msg);
}

enum { GRANT_BYTES = 4096, GRANTED = 3, GRANT_CASES = 10 };

/* A region of which each of two tenants has a page, with words of which each is known. */
AID struct rk_region *open_granted(const struct placing *on, uint64_t *base)
{
	const struct rk_region_opts opts = {.size = sizeof(opts),
					    .cuda = on->backend == RK_BACKEND_CUDA};
	const struct rk_region_info *info;
	struct rk_region *region;
	uint64_t *words;

	ok(rk_region_open(&region, GRANTED * GRANT_BYTES, &opts));
	info = rk_region_info(region);
	words = info->host_addr;
	for (uint64_t i = 0; i < GRANTED * GRANT_BYTES / 8; i++)
		words[i] = i * 5;
	*base = opts.cuda ? info->gpu_addr : (uint64_t)(uintptr_t)info->host_addr;
	return region;
}

/* Whatever a message refers to: its actor gets what its tenant was given, and nothing else. */
AID void references_reach_what_was_given(void **state)
{
	static const struct {
		uint64_t offset, bytes;
		bool reached[2];
	} cases[GRANT_CASES] = {
		{0, 8, {true, false}},
		{8, GRANT_BYTES - 8, {true, false}},
		{GRANT_BYTES - 8, 8, {true, false}},
		{GRANT_BYTES - 8, 9, {false, false}},	   /* the last byte is the other's */
		{GRANT_BYTES, 8, {false, true}},
		{0, 2 * GRANT_BYTES, {false, false}},	   /* both */
		{2 * GRANT_BYTES, 8, {false, false}},	   /* nobody's */
		{0 - (uint64_t)8, 16, {false, false}},	   /* begins before */
		{8, 0 - (uint64_t)8, {false, false}},	   /* ends beyond the last address */
		{GRANT_BYTES + 16, GRANT_BYTES - 16, {false, true}},
	};
	const struct placing on = plain(state);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_tenant *tenant[2] = {open_tenant(runtime, "red", 0),
				       open_tenant(runtime, "blue", 0)};
	uint64_t base, refused[2] = {0};
	struct rk_region *region = open_granted(&on, &base);
	struct tenants_line line[2], nobodys = open_tenants_line(runtime, &on, NULL);

	for (int i = 0; i < 2; i++) {
		line[i] = open_tenants_line(runtime, &on, tenant[i]);
		assert_int_equal(refer(&line[i], 0, base, 8), TEST_REFUSED);
		ok(rk_actor_grant(line[i].actor, region, (uint64_t)i * GRANT_BYTES, GRANT_BYTES,
				  LONG_NS));
	}
	for (uint32_t j = 0; j < GRANT_CASES; j++) {
		uint64_t address = base + cases[j].offset, there = cases[j].offset / 8 * 5;

		for (int i = 0; i < 2; i++) {
			assert_int_equal(refer(&line[i], j + 1, address, cases[j].bytes),
					 cases[j].reached[i] ? there : TEST_REFUSED);
			refused[i] += !cases[j].reached[i];
			assert_int_equal(info_of_settled(line[i].actor).refused, refused[i] + 1);
		}
	}
	assert_int_equal(refer(&nobodys, 0, base + GRANT_BYTES, 8), GRANT_BYTES / 8 * 5);
	assert_int_equal(info_of_settled(nobodys.actor).refused, 0);
	/* Not a byte of what is another's. */
	assert_int_equal(rk_actor_grant(line[1].actor, region, GRANT_BYTES - 1, 2, LONG_NS), -EACCES);
	assert_int_equal(rk_actor_grant(line[0].actor, region, GRANTED * GRANT_BYTES - 1, 2, LONG_NS),
			 rk_region_info(region)->bytes > GRANTED * GRANT_BYTES ? 0 : -EINVAL);
	assert_int_equal(rk_actor_grant(line[0].actor, region, rk_region_info(region)->bytes, 1,
					LONG_NS),
			 -EINVAL);
	assert_int_equal(info_of_tenant(tenant[1]).refused_memory, 1);
	assert_int_equal(info_of_tenant(tenant[0]).refused_memory, 0);
	close_runtime(runtime);
	rk_region_close(region);
}

#endif
