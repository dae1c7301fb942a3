// SPDX-License-Identifier: MIT
/*
 * What holds of rings wherever their ends are, with both on CPUs: a ring in one piece, one whose parts
 * lie apart, one with a side across a bus; and chains of rings with actors between. test_gpu_ring.c
 * runs the same with GPUs at the ends.
 */
#include "ring_relay.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { MESSAGES = 4000, RELAYED = 300 };
#else
enum { MESSAGES = 60000, RELAYED = 2000 };
#endif

/* --- One ring --- */

static struct rk_ring ring;
static struct rk_ring_tx ring_tx;
static struct rk_ring_rx ring_rx;
static struct aid_place place;
static unsigned int rings;

/* Each codec in turn, and the consumer's touch with every second. */
static void open_one(struct pair *pair, uint64_t start, bool held)
{
	const struct rk_codec *codec = rk_codec_at(rings % 4);
	struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = rings / 4 % 2};

	(void)held; /* by the test, which takes nothing */
	rings++;
	setenv("RK_CODEC", codec ? codec->name : "plain", 1);
	assert_int_equal(aid_place(&place, &ring, *(const enum aid_layout *)pair->on->detail,
				   pair->capacity, start),
			 0);
	assert_int_equal(rk_ring_tx_open(&ring_tx, &ring), 0);
	assert_int_equal(rk_ring_rx_open(&ring_rx, &ring, &opts), 0);
	pair->tx = &ring_tx;
	pair->rx = &ring_rx;
	pair->first = pair->last = &ring;
}

/* Who sends is told, and has lost nothing. */
static uint64_t lost_in_one(struct pair *pair, uint64_t messages)
{
	(void)pair;
	(void)messages;
	return 0;
}

/* Sent = received + in the ring: the closing message stays there. */
static void close_one(struct pair *pair)
{
	if (!pair->deaf && ring_tx.closed != RK_CLOSE_BAD_HEADER)
		assert_true(rk_ring_tx_position(pair->tx) == rk_ring_rx_position(pair->rx) + 1);
	assert_int_equal(ring_tx.padded_slots, 0);
	aid_unplace(&place);
	unsetenv("RK_CODEC");
}

#define ONE_RING(name, layout)                                        \
	static const enum aid_layout name##_layout = layout;          \
	static const struct pairing name = {.open = open_one,         \
					    .lost = lost_in_one,      \
					    .close = close_one,       \
					    .most_slots = 1024,       \
					    .messages = MESSAGES,     \
					    .detail = &name##_layout}

ONE_RING(whole, AID_WHOLE);
ONE_RING(apart, AID_APART);
ONE_RING(far_slots, AID_FAR_SLOTS);
ONE_RING(far_credit, AID_FAR_CREDIT);

/* --- Actors between --- */

static const struct placing cpu = {&relay_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};
static const struct placing cpu_batch = {&batch_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};

RELAY_PAIRING(one_actor, 1024, RELAYED, {{&cpu}, .actors = 1});
RELAY_PAIRING(two_actors, 64, RELAYED, {{&cpu_batch, &cpu}, .actors = 2});

#define WHOLE(body) PAIRED(whole, body)
#define APART(body) PAIRED(apart, body)
#define FAR_SLOTS(body) PAIRED(far_slots, body)
#define FAR_CREDIT(body) PAIRED(far_credit, body)
#define ONE_ACTOR(body) PAIRED(one_actor, body)
#define TWO_ACTORS(body) PAIRED(two_actors, body)

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		RING_BODIES(WHOLE)
		RING_BODIES(APART)
		RING_BODIES(FAR_SLOTS)
		RING_BODIES(FAR_CREDIT)
		RING_BODIES(ONE_ACTOR)
		RING_BODIES(TWO_ACTORS)
	};

	aid_choose_seed(1);
	aid_watchdog(600);
	print_message("# RK_SEED=%llu\n", (unsigned long long)aid_seed);
	if (count > 1)
		cmocka_set_test_filter(words[1]); /* with * and ? */
	return cmocka_run_group_tests_name("the ends of rings", tests, NULL, NULL);
}
