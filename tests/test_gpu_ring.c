// SPDX-License-Identifier: MIT
/*
 * Rings with a GPU at one end or both, by the bodies of test_ring_ends.c: from the host to an actor
 * and back, and from actor to actor in each place where a ring may lie. Skipped without a GPU.
 */
#include "ring_relay.h"
#include "gpu_aid.h"

enum { MESSAGES = 10000 };

static const struct placing warp = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&relay_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};
static const struct placing warp_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block_batch = {&batch_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};

RELAY_PAIRING(a_warp, 1024, MESSAGES, {{&warp}, .actors = 1});
RELAY_PAIRING(a_warp_of_batches, 1024, MESSAGES, {{&warp_batch}, .actors = 1});
RELAY_PAIRING(a_block, 1024, MESSAGES, {{&block}, .actors = 1});
RELAY_PAIRING(a_block_of_batches, 1024, MESSAGES, {{&block_batch}, .actors = 1});
RELAY_PAIRING(in_a_block, 64, MESSAGES, {{&warp_batch, &warp_batch}, 2, RK_WHERE_BLOCK, RK_PLACE_BLOCK});
RELAY_PAIRING(in_a_cluster, 64, MESSAGES,
	      {{&warp, &block}, 2, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER});
RELAY_PAIRING(on_a_gpu, 1024, MESSAGES, {{&block_batch, &warp}, 2, RK_WHERE_APART, RK_PLACE_GPU});
RELAY_PAIRING(by_the_host, 64, MESSAGES, {{&warp, &block_batch}, 2, RK_WHERE_APART, RK_PLACE_HOST});

#define A_WARP(body) PAIRED(a_warp, body)
#define A_WARP_OF_BATCHES(body) PAIRED(a_warp_of_batches, body)
#define A_BLOCK(body) PAIRED(a_block, body)
#define A_BLOCK_OF_BATCHES(body) PAIRED(a_block_of_batches, body)
#define IN_A_BLOCK(body) PAIRED(in_a_block, body)
#define IN_A_CLUSTER(body) PAIRED(in_a_cluster, body)
#define ON_A_GPU(body) PAIRED(on_a_gpu, body)
#define BY_THE_HOST(body) PAIRED(by_the_host, body)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		RING_BODIES(A_WARP)
		RING_BODIES(A_WARP_OF_BATCHES)
		RING_BODIES(A_BLOCK)
		RING_BODIES(A_BLOCK_OF_BATCHES)
		RING_BODIES(IN_A_BLOCK)
		RING_BODIES(IN_A_CLUSTER)
		RING_BODIES(ON_A_GPU)
		RING_BODIES(BY_THE_HOST)
	};

	aid_choose_seed(1);
	return gpu_run_tests(tests, count, words, 200, gpu_hold);
}
