// SPDX-License-Identifier: MIT
/*
 * Actors on a GPU: the bodies that hold on every backend, called by a warp and by a block, one
 * message at a time and many; chains across backends; rings in every place. Skipped without a GPU.
 */
#include "actor_bodies.h"
#include "fan_bodies.h"
#include "gpu_aid.h"

static const struct placing on_cpu = {&relay_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};
static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const struct placing warp_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};

static void chains_cross_backends_and_groups(void **unused)
{
	(void)unused;
	run_chain(&(struct chain){{&on_cpu, &warp}, 2, 4, 64, 50000, .spin_looks = 0});
	run_chain(&(struct chain){{&block_batch, &on_cpu}, 2, 3, 16, 20000, .spin_looks = 0});
	run_chain(&(struct chain){{&warp, &block}, 2, 4, 64, 50000, .spin_looks = 0});
	run_chain(&(struct chain){{&warp_batch, &block_batch}, 2, 4, 4, 20000, .spin_looks = 0});
	run_chain(&(struct chain){{&on_cpu, &warp}, 2, 4, 8, 3000, true, true, 1});
}

/* --- Rings between actors on GPUs, in every place --- */

static int capability(int ordinal)
{
	struct rk_cuda_gpu gpu;
	int major;

	ok(rk_cuda_gpu_open(&gpu, ordinal));
	major = rk_cuda_gpu_attribute(&gpu, RK_CUDA_ATTR_COMPUTE_MAJOR);
	rk_cuda_gpu_close(&gpu);
	return major;
}

/* One relay after another, which sits @where, over a ring at @place. */
static void run_pair(const struct placing *first, const struct placing *second, enum rk_where where,
		     enum rk_ring_place place, uint64_t capacity)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts opts = opts_of(second, 0);
	struct rk_link_opts middle = slots(capacity);
	const uint64_t add = 2;
	struct sender sender = {.count = 30000};
	struct rk_actor *from, *to;
	struct rk_ring_rx *rx;
	pthread_t thread;

	from = spawn(runtime, first, 0, 1);
	opts.where = where;
	opts.other = where ? from : NULL;
	opts.args = &add;
	opts.arg_count = 1;
	ok(rk_actor_spawn(&to, runtime, second->type, &opts));
	middle.place = place;
	ok(rk_link_actors(NULL, from, to, &middle));
	ok(rk_link_host_out(&rx, to, NULL));
	ok(rk_link_host_in(&sender.tx, from, NULL));
	pthread_create(&thread, NULL, send_all, &sender);
	assert_int_equal(receive_all(rx, 3, false), sender.count);
	pthread_join(thread, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	expect_relayed(from, sender.count, 1);
	expect_relayed(to, sender.count, 2);
	close_runtime(runtime);
}

static void rings_lie_in_shared_memory_of_a_block(void **unused)
{
	(void)unused;
	run_pair(&warp, &warp, RK_WHERE_BLOCK, RK_PLACE_BLOCK, 64);
	run_pair(&warp_batch, &warp_batch, RK_WHERE_BLOCK, RK_PLACE_NEAREST, 0);
	run_pair(&warp, &warp, RK_WHERE_BLOCK, RK_PLACE_BLOCK, 2);
	/* More than shared memory holds beside the credit: it lies elsewhere. */
	run_pair(&warp, &warp, RK_WHERE_BLOCK, RK_PLACE_NEAREST, 1024);
	run_pair(&warp, &warp, RK_WHERE_BLOCK, RK_PLACE_NEAREST, 4096);
}

static void rings_lie_in_shared_memory_of_a_cluster(void **unused)
{
	(void)unused;
	if (capability(0) < 9)
		skip_because("clusters need compute capability 9.0");
	run_pair(&warp, &warp, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER, 64);
	run_pair(&block, &block, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER, 64);
	run_pair(&warp_batch, &block_batch, RK_WHERE_ANY, RK_PLACE_NEAREST, 16);
	run_pair(&warp, &warp, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER, 2);
}

static void rings_lie_in_memory_of_the_gpu_and_of_the_host(void **unused)
{
	static const enum rk_where where[] = {RK_WHERE_BLOCK, RK_WHERE_APART};
	static const enum rk_ring_place place[] = {RK_PLACE_GPU, RK_PLACE_HOST};

	(void)unused;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++) {
			run_pair(&warp, &warp, where[i], place[j], 64);
			run_pair(&warp, &warp, where[i], place[j], 2);
		}
	run_pair(&block, &block, RK_WHERE_APART, RK_PLACE_GPU, 256);
	run_pair(&block_batch, &warp_batch, RK_WHERE_APART, RK_PLACE_HOST, 256);
}

static void rings_lie_between_two_gpus(void **unused)
{
	const struct placing other = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 1};
	const struct rk_cuda *cuda;

	(void)unused;
	ok(rk_cuda(&cuda));
	if (cuda->devices < 2)
		skip_because("one GPU only");
	run_pair(&warp, &other, RK_WHERE_ANY, RK_PLACE_HOST, 64);
	run_pair(&warp, &other, RK_WHERE_ANY, RK_PLACE_GPU, 64);
	run_pair(&other, &warp, RK_WHERE_ANY, RK_PLACE_NEAREST, 4);
}

/* --- What cannot be --- */

static void expect_refused(struct rk_runtime *runtime, const struct rk_actor_type *type,
			   const struct rk_actor_opts *opts, int error, const char *says)
{
	struct rk_actor *actor;

	assert_int_equal(rk_actor_spawn(&actor, runtime, type, opts), error);
	if (!strstr(rk_errmsg(), says))
		fail_msg("'%s' does not say '%s'", rk_errmsg(), says);
}

static void what_a_gpu_cannot_run_is_named(void **unused)
{
	struct rk_actor_type no_source = relay_type, bad_source = relay_type;
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts opts = opts_of(&warp, 0);
	struct rk_link_opts link = slots(64);
	struct rk_actor *first, *second;

	(void)unused;
	opts.gpu = RK_MAX_GPUS;
	expect_refused(runtime, &relay_type, &opts, -EINVAL, "GPU 16: give one from 0 to 15");
	opts.gpu = RK_MAX_GPUS - 1;
	expect_refused(runtime, &relay_type, &opts, -EINVAL, "no GPU 15");
	opts.gpu = 0;
	no_source.source = NULL;
	expect_refused(runtime, &no_source, &opts, -ENOENT, "actor 'relay': no code for GPUs");
	bad_source.source = "this is no C";
	expect_refused(runtime, &bad_source, &opts, -EINVAL, "does not compile for the GPU");
	opts.where = RK_WHERE_BLOCK;
	expect_refused(runtime, &relay_type, &opts, -EINVAL, "a place seen from another");
	first = spawn(runtime, &warp, 0, 0);
	opts.where = RK_WHERE_APART;
	opts.other = first;
	ok(rk_actor_spawn(&second, runtime, &relay_type, &opts));
	link.place = RK_PLACE_BLOCK;
	assert_int_equal(rk_link_actors(NULL, first, second, &link), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "the nearest is gpu"));
	close_runtime(runtime);
}

/* What links and actors have on CPUs alone is refused, not forgotten. */
static void what_a_gpu_does_not_keep_to_is_refused(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &warp, 0, 0);
	struct rk_actor_opts paced = opts_of(&warp, 0);
	struct rk_link_opts opts = slots(64);
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	(void)unused;
	opts.full = RK_FULL_DROP_NEWEST;
	assert_int_equal(rk_link_host_out(&rx, actor, &opts), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "an actor on a GPU sends on it"));
	opts = slots(64);
	opts.high_slots = 32;
	assert_int_equal(rk_link_host_out(&rx, actor, &opts), -EOPNOTSUPP);
	opts = slots(64);
	opts.share_slots = opts.shed_at = 1;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "an actor on a GPU receives"));
	opts = slots(64);
	opts.dead_slots = 512;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	paced.slots_per_s = 1;
	expect_refused(runtime, &relay_type, &paced, -EOPNOTSUPP, "keeps no pace");
	close_runtime(runtime);
}

#define WARP_BATCH(body) NAMED(warp_batch, body)
#define BLOCK_BATCH(body) NAMED(block_batch, body)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		RELAY_BODIES(WARP)
		PLAIN_BODIES(WARP)
		RELAY_BODIES(BLOCK)
		PLAIN_BODIES(BLOCK)
		FAN_BODIES(WARP)
		FAN_BODIES(BLOCK)
		RELAY_BODIES(WARP_BATCH)
		RELAY_BODIES(BLOCK_BATCH)
		cmocka_unit_test_setup(chains_cross_backends_and_groups, nothing_is_left_open),
		cmocka_unit_test_setup(rings_lie_in_shared_memory_of_a_block, nothing_is_left_open),
		cmocka_unit_test_setup(rings_lie_in_shared_memory_of_a_cluster, nothing_is_left_open),
		cmocka_unit_test_setup(rings_lie_in_memory_of_the_gpu_and_of_the_host, nothing_is_left_open),
		cmocka_unit_test_setup(rings_lie_between_two_gpus, nothing_is_left_open),
		cmocka_unit_test_setup(what_a_gpu_cannot_run_is_named, nothing_is_left_open),
		cmocka_unit_test_setup(what_a_gpu_does_not_keep_to_is_refused, nothing_is_left_open),
	};

	return gpu_run_tests(tests, count, words, 500, gpu_hold);
}
