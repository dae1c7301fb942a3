// SPDX-License-Identifier: MIT
/*
 * Links that are full, messages that are late and tenants, on a GPU: the bodies that hold on every
 * backend, called by a warp, by a block and many at a time; rings between two actors there; and a
 * ring's end that another tenant is told of. Skipped without a GPU.
 */
#include "flow_bodies.h"
#include "tenant_bodies.h"
#include "gpu_aid.h"

#include "runtime.h"

static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const struct placing warp_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};

/* What finds no room in a ring that no host sees is dropped, and its letters come here. */
static void drop_between(enum rk_ring_place place)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts beside = opts_of(&warp, 0);
	struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS), wide = slots(128);
	struct line line = {.runtime = runtime, .actor = spawn(runtime, &warp, 0, 0)};
	struct rk_dead_letter letter;
	struct rk_actor *second;

	beside.where = RK_WHERE_BLOCK;
	beside.other = line.actor;
	beside.dormant = true;
	ok(rk_actor_spawn(&second, runtime, &relay_type, &beside));
	opts.place = place;
	ok(rk_link_actors(&line.link, line.actor, second, &opts));
	ok(rk_link_host_out(&line.out, second, &wide));
	ok(rk_link_host_in(&line.in, line.actor, &wide));
	send_count(&line, 100);
	assert_int_equal(info_of(line.actor).dropped_full, 100 - RING);
	assert_int_equal(link_of(line.link).dropped[RK_DROP_FULL], 100 - RING);
	assert_int_equal(letters_of(&line, NULL), 100 - RING);
	for (uint32_t i = RING; i < 100; i++)
		expect_letter(&line, i - RING, RK_DROP_FULL, i);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, &letter, 1), 100 - RING);
	assert_ptr_equal(letter.from, line.actor);
	assert_ptr_equal(letter.to, second);
	ok(rk_actor_start(second, LONG_NS));
	expect_words(line.out, 0, RING);
	expect_end(&line);
	close_runtime(runtime);
}

static void rings_between_actors_drop_too(void **state)
{
	(void)state;
	drop_between(RK_PLACE_GPU);
	drop_between(RK_PLACE_BLOCK);
	drop_between(RK_PLACE_HOST);
}

/* As if the host had not looked: the actor itself takes no ring that leads to another tenant. */
static void a_ring_of_another_tenant_is_closed(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_tenant *blue = open_tenant(runtime, "blue", 0);
	struct tenants_line red = open_tenants_line(runtime, *state, open_tenant(runtime, "red", 0));
	struct tenants_line other = open_tenants_line(runtime, *state, blue);
	struct rk_gpu_ring ring = rk_link_of_rx(other.rx)->memory.device;
	struct rk_msg msg = {.type = RK_GPU_OUTBOX, .slots = 1};

	ring.tenant = tenant_id(blue);
	memcpy(msg.body, &ring, sizeof(ring));
	pthread_mutex_lock(&runtime->mutex);
	ok(actor_tell(red.actor, &msg));
	pthread_mutex_unlock(&runtime->mutex);
	send_words(red.tx, TEST_TO, 0, 5, 1);
	send_words(red.tx, TEST_TO, 1, 7, 0);
	assert_true(receive(red.rx, &msg, 1));
	assert_int_equal(msg.tag, 1);
	assert_int_equal(info_of_settled(red.actor).refused, 1);
	assert_int_equal(info_of(red.actor).dropped_closed, 1);
	assert_int_equal(rk_ring_recv(other.rx, &msg, 1), 0);
	close_runtime(runtime);
}

static void impossible_policies_are_refused(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 0);
	struct rk_link_opts opts = dropping(RK_FULL_DROP_OLDEST, 0);
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	opts.backlog_slots = RK_GPU_BACKLOG + 1;
	assert_int_equal(rk_link_host_out(&rx, actor, &opts), -EINVAL);
	opts.backlog_slots = 3;
	assert_int_equal(rk_link_host_out(&rx, actor, &opts), -EINVAL);
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	opts = slots(RING);
	opts.shed_at = 1;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	close_runtime(runtime);
}

#define WARP_BATCH(body) NAMED(warp_batch, body)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		FLOW_BODIES(WARP)
		FLOW_BODIES(BLOCK)
		FLOW_BODIES(WARP_BATCH)
		WARP(references_reach_what_was_given)
		BLOCK(references_reach_what_was_given)
		WARP(a_ring_of_another_tenant_is_closed)
		WARP(impossible_policies_are_refused)
		cmocka_unit_test_setup(rings_between_actors_drop_too, nothing_is_left_open),
	};

	return gpu_run_tests(tests, count, words, 150, gpu_hold);
}
