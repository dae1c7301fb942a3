// SPDX-License-Identifier: MIT
/*
 * Fan-out on cpu (fan_bodies.h), and fan-in: how an actor shares its time among its inboxes, shown
 * by counts of what it has taken from each.
 */
#include "fan_bodies.h"

enum { INBOXES = 4, ROUNDS = 50 };

static const struct placing cpu = {.type = &relay_type};

/* Host threads' rings -> one actor, which does not take anything yet -> a ring to the host. */
struct merge {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *in[INBOXES];
	struct rk_ring_rx *out;
	uint64_t got[INBOXES], slots[INBOXES];
};

static struct merge open_merge(const struct rk_link_opts *in, uint64_t out_slots)
{
	const struct rk_link_opts out = slots(out_slots);
	struct merge merge = {.runtime = open_runtime(1, 0)};

	merge.actor = spawn(merge.runtime, &cpu, 0, 0);
	ok(rk_link_host_out(&merge.out, merge.actor, &out));
	for (int i = 0; i < INBOXES; i++)
		ok(rk_link_host_in(&merge.in[i], merge.actor, &in[i]));
	ok(rk_actor_pause(merge.actor, LONG_NS));
	return merge;
}

/* @count messages of @cells cells in inbox @from; their tags say where they came from. */
static void fill(struct merge *merge, uint32_t from, uint32_t count, uint8_t cells)
{
	struct rk_msg msg[16] = {{.type = TEST_ECHO, .slots = cells, .tag = from}};

	for (uint32_t i = 0; i < count; i++) {
		const uint64_t number = i;

		memcpy(msg->body, &number, sizeof(number));
		send_msg(merge->in[from], msg);
	}
}

/* One more, the next of its inbox. */
static void take_one(struct merge *merge)
{
	struct rk_msg msg[16];

	assert_true(receive(merge->out, msg, 16));
	assert_true(msg->tag < INBOXES);
	assert_int_equal(word_of(msg), merge->got[msg->tag]);
	merge->got[msg->tag]++;
	merge->slots[msg->tag] += msg->slots;
}

static void end_merge(struct merge *merge)
{
	struct rk_msg msg[16];

	for (int i = 0; i < INBOXES; i++)
		finish_sending(merge->in[i]);
	while (receive(merge->out, msg, 16))
		;
	ok(rk_runtime_wait(merge->runtime, LONG_NS));
	close_runtime(merge->runtime);
}

/* As long as all have something, every round of turns takes each one's share exactly. */
static void shares_in_messages_are_weights(void **state)
{
	static const uint32_t share[INBOXES] = {1, 2, 5, 8};
	struct rk_link_opts in[INBOXES];
	struct merge merge;

	(void)state;
	for (int i = 0; i < INBOXES; i++) {
		in[i] = slots(8192);
		in[i].share_messages = share[i];
	}
	merge = open_merge(in, 1024);
	for (uint32_t i = 0; i < INBOXES; i++)
		fill(&merge, i, share[i] * ROUNDS, (uint8_t)(1 + 3 * i));
	ok(rk_actor_start(merge.actor, LONG_NS));
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		for (uint32_t i = 0; i < 1 + 2 + 5 + 8; i++)
			take_one(&merge);
		for (int i = 0; i < INBOXES; i++)
			assert_int_equal(merge.got[i], share[i] * round);
	}
	end_merge(&merge);
}

/* The same bytes from each, though one sends messages of ten slots and another of one. */
static void shares_in_slots_are_of_bytes(void **state)
{
	static const uint8_t cells[INBOXES] = {1, 10, 3, 7};
	enum { SHARE = 4, TAKEN = 1000 };
	struct rk_link_opts in[INBOXES];
	uint64_t least = UINT64_MAX, most = 0;
	struct merge merge;

	(void)state;
	for (int i = 0; i < INBOXES; i++) {
		in[i] = slots(8192);
		in[i].share_slots = SHARE;
	}
	merge = open_merge(in, 64);
	for (uint32_t i = 0; i < INBOXES; i++)
		fill(&merge, i, 4000 / cells[i], cells[i]);
	ok(rk_actor_start(merge.actor, LONG_NS));
	for (int i = 0; i < TAKEN; i++)
		take_one(&merge);
	for (int i = 0; i < INBOXES; i++) {
		least = merge.slots[i] < least ? merge.slots[i] : least;
		most = merge.slots[i] > most ? merge.slots[i] : most;
	}
	/* A turn and the longest message are all that one may be ahead. */
	assert_in_range(most - least, 0, SHARE + 10);
	end_merge(&merge);
}

/* Held up at nearly every message: none is served again before all others were. */
static void no_inbox_starves_behind_a_full_outbox(void **state)
{
	struct rk_link_opts in[INBOXES];
	struct merge merge;

	(void)state;
	for (int i = 0; i < INBOXES; i++)
		in[i] = slots(4096);
	merge = open_merge(in, 2);
	for (uint32_t i = 0; i < INBOXES; i++)
		fill(&merge, i, 4000, 1);
	ok(rk_actor_start(merge.actor, LONG_NS));
	for (int turn = 1; turn <= 10; turn++) {
		for (int i = 0; i < INBOXES * RK_MAX_SHARE; i++)
			take_one(&merge);
		for (int i = 0; i < INBOXES; i++)
			assert_int_equal(merge.got[i], turn * RK_MAX_SHARE);
	}
	end_merge(&merge);
}

static void impossible_shares_are_refused(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &cpu, 0, 0);
	struct rk_link_opts opts = slots(64);
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	(void)state;
	opts.share_slots = 1;
	assert_int_equal(rk_link_host_out(&rx, actor, &opts), -EOPNOTSUPP);
	opts.share_messages = 1;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EINVAL);
	opts.share_slots = 0;
	opts.share_messages = RK_MAX_SHARE + 1;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EINVAL);
	close_runtime(runtime);
}

int main(void)
{
#define ON_CPU(body) cmocka_unit_test_prestate(body, (void *)(uintptr_t)&cpu),
	const struct CMUnitTest tests[] = {
		FAN_BODIES(ON_CPU) cmocka_unit_test(shares_in_messages_are_weights),
		cmocka_unit_test(shares_in_slots_are_of_bytes),
		cmocka_unit_test(no_inbox_starves_behind_a_full_outbox),
		cmocka_unit_test(impossible_shares_are_refused),
	};

	aid_watchdog(200);
	return cmocka_run_group_tests(tests, nothing_is_left_open, NULL);
}
