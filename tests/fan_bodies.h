/* SPDX-License-Identifier: MIT */
/*
 * fan_bodies.h - tests of the actors that fan out, which hold on every backend: each takes, as its
 * cmocka state, where its actor runs.
 */
#ifndef FAN_BODIES_H
#define FAN_BODIES_H

#include "actor_aid.h"

#include "kernels/actors.h"
#include "kernels/broadcast.h"
#include "kernels/partition.h"
#include "kernels/topic.h"

enum { FAN_MOST = 5, FAN_RING = 4096 };

/* A host thread -> a shipped actor -> as many rings to the host. */
struct fan {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *in;
	struct rk_ring_rx *out[FAN_MOST];
	unsigned int outs;
};

AID struct fan open_fan(const struct placing *on, const char *type, const uint64_t *args,
			unsigned int arg_count, unsigned int outs)
{
	struct fan fan = {.runtime = open_runtime(1, 0), .outs = outs};
	const struct rk_link_opts opts = slots(FAN_RING);
	struct rk_actor_opts with = opts_of(on, 0);

	with.args = args;
	with.arg_count = arg_count;
	ok(rk_actor_spawn(&fan.actor, fan.runtime, rk_actor_type_find(type), &with));
	for (unsigned int i = 0; i < outs; i++)
		ok(rk_link_host_out(&fan.out[i], fan.actor, &opts));
	ok(rk_link_host_in(&fan.in, fan.actor, &opts));
	return fan;
}

/* All sent, and the state once it has stopped; every outbox is closed behind its last message. */
AID const void *end_of(struct fan *fan)
{
	struct rk_msg msg;

	for (unsigned int i = 0; i < fan->outs; i++)
		assert_false(receive(fan->out[i], &msg, 1));
	ok(rk_runtime_wait(fan->runtime, LONG_NS));
	return rk_actor_state(fan->actor);
}

/* --- Broadcast --- */

AID void broadcasts_reach_every_outbox_in_order(void **state)
{
	enum { COUNT = 3000, OUTS = 3 };
	const uint64_t outboxes = OUTS;
	struct fan fan = open_fan(*state, "broadcast", &outboxes, 1, OUTS);
	const struct rk_broadcast_state *s;
	struct rk_msg msg;

	for (uint32_t i = 0; i < COUNT; i++)
		send_word(fan.in, i, i * 7ULL);
	finish_sending(fan.in);
	for (unsigned int out = 0; out < OUTS; out++)
		for (uint32_t i = 0; i < COUNT; i++) {
			assert_true(receive(fan.out[out], &msg, 1));
			assert_int_equal(msg.tag, i);
			assert_int_equal(word_of(&msg), i * 7ULL);
		}
	s = end_of(&fan);
	assert_int_equal(s->messages, COUNT);
	assert_int_equal(s->sent, COUNT * OUTS);
	assert_int_equal(s->sends_dropped, 0);
	close_runtime(fan.runtime);
}

/* --- Partitions --- */

enum { KEYS = 400, KEY_OFFSET = 8, KEY_BYTES = 6 };

AID void send_keyed(struct rk_ring_tx *tx, uint32_t tag, uint64_t key)
{
	struct rk_msg msg = {.type = TEST_ADD, .slots = 1, .tag = tag};
	const uint64_t body[2] = {tag, key | 0xabcdULL << 48}; /* behind the key: not looked at */

	memcpy(msg.body, body, sizeof(body));
	send_msg(tx, &msg);
}

AID uint32_t partition_of_key(uint64_t key, uint32_t partitions)
{
	uint8_t bytes[8];

	memcpy(bytes, &key, 8);
	return rk_partition_of(rk_partition_hash(bytes, KEY_BYTES), partitions);
}

/* What comes out of @partitions outboxes is as computed here, each key's in order. */
AID void expect_partitioned(struct fan *fan, uint32_t count, uint32_t partitions, uint64_t *got)
{
	uint64_t last[KEYS] = {0};
	struct rk_msg msg;
	uint64_t key;

	for (unsigned int out = 0; out < partitions; out++)
		for (uint32_t i = 0; i < count; i++) {
			if (partition_of_key(i % KEYS, partitions) != out)
				continue;
			assert_true(receive(fan->out[out], &msg, 1));
			memcpy(&key, msg.body + KEY_OFFSET, sizeof(key));
			key &= 0xffffffffffffULL;
			assert_int_equal(key, i % KEYS);
			assert_true(word_of(&msg) + 1 > last[key]);
			last[key] = word_of(&msg) + 1;
			got[out]++;
		}
}

AID void keys_keep_their_partition_and_move_to_a_new_one_only(void **state)
{
	enum { COUNT = 2000, BEFORE = 4, AFTER = 5 };
	const uint64_t args[] = {BEFORE, KEY_OFFSET, KEY_BYTES};
	struct fan fan = open_fan(*state, "partition", args, 3, AFTER);
	const struct rk_partition_state *s;
	uint64_t got[AFTER] = {0};
	uint32_t moved = 0;

	for (uint32_t i = 0; i < COUNT; i++)
		send_keyed(fan.in, i, i % KEYS);
	expect_partitioned(&fan, COUNT, BEFORE, got);
	assert_int_equal(got[BEFORE], 0);
	for (unsigned int i = 0; i < BEFORE; i++)
		assert_in_range(got[i], COUNT / BEFORE / 2, COUNT / BEFORE * 2);
	send_words(fan.in, RK_PARTITION_GROW, 0, BEFORE, 0); /* not more: refused */
	send_words(fan.in, RK_PARTITION_GROW, 0, RK_PARTITION_MAX + 1, 0);
	send_words(fan.in, RK_PARTITION_GROW, 0, AFTER, 0);
	for (uint32_t i = 0; i < COUNT; i++)
		send_keyed(fan.in, i, i % KEYS);
	finish_sending(fan.in);
	expect_partitioned(&fan, COUNT, AFTER, got);
	for (uint32_t key = 0; key < KEYS; key++) {
		uint32_t before = partition_of_key(key, BEFORE),
			 after = partition_of_key(key, AFTER);

		assert_true(after == before || after == AFTER - 1);
		moved += after != before;
	}
	assert_in_range(moved, KEYS / AFTER / 2, KEYS / AFTER * 2);
	s = end_of(&fan);
	assert_int_equal(s->partitions, AFTER);
	assert_int_equal(s->refused, 2);
	assert_int_equal(s->too_short, 0);
	for (unsigned int i = 0; i < AFTER; i++)
		assert_int_equal(s->sent[i], got[i]);
	close_runtime(fan.runtime);
}

/* A key that does not lie within its message routes nothing, wherever it is said to lie. */
AID void keys_outside_a_message_are_counted(void **state)
{
	const uint64_t args[][3] = {{2, 44, 5}, {2, UINT64_MAX, 2}, {2, 2, UINT64_MAX}, {2, 0, 49}};

	for (int i = 0; i < 4; i++) {
		struct fan fan = open_fan(*state, "partition", args[i], 3, 2);
		const struct rk_partition_state *s;

		for (uint32_t j = 0; j < 10; j++)
			send_word(fan.in, j, j);
		finish_sending(fan.in);
		s = end_of(&fan);
		assert_int_equal(s->too_short, 10);
		close_runtime(fan.runtime);
	}
}

/* --- Topics --- */

AID void send_topic(struct rk_ring_tx *tx, uint16_t type, uint32_t tag, const char *topic,
		    uint32_t number)
{
	struct rk_msg cells[2] = {{.type = type, .slots = 2, .tag = tag}};
	const struct rk_topic front = {.topic_bytes = (uint16_t)strlen(topic),
				       .bytes = sizeof(number)};
	char *at = (char *)cells[0].body;

	memcpy(at, &front, sizeof(front));
	memcpy(at + sizeof(front), topic, strlen(topic));
	memcpy(at + sizeof(front) + strlen(topic), &number, sizeof(number));
	send_msg(tx, cells);
}

/* Whom each pattern stands for; the second outbox has two that overlap, the last one none. */
struct subscription {
	uint32_t outbox;
	const char *pattern;
};

static const struct subscription subscriptions[] = {
	{0, "md/cme/es"}, {1, "md/*/es"}, {1, "md/cme/*"}, {2, "**"}, {3, "md/??e/n?"},
};
enum { SUBSCRIPTIONS = sizeof(subscriptions) / sizeof(subscriptions[0]) };

static const char *const topics[] = {
	"md/cme/es", "md/cme/nq", "md/ice/es", "md/ice/nq", "md/cme/es/depth", "orders", "",
};
enum { TOPICS = sizeof(topics) / sizeof(topics[0]) };

AID bool topic_is_for(const char *topic, uint32_t outbox, bool without_all)
{
	for (int i = 0; i < SUBSCRIPTIONS; i++)
		if (subscriptions[i].outbox == outbox && !(without_all && outbox == 2) &&
		    rk_name_matches(subscriptions[i].pattern, topic) == 1)
			return true;
	return false;
}

AID void expect_topics(struct fan *fan, uint32_t first, uint32_t count, bool without_all,
		       uint64_t *sent)
{
	struct rk_msg cells[2];

	for (uint32_t outbox = 0; outbox < fan->outs; outbox++)
		for (uint32_t i = first; i < first + count; i++) {
			const char *topic = topics[i % TOPICS];
			const struct rk_topic *front;
			uint32_t number;

			if (!topic_is_for(topic, outbox, without_all))
				continue;
			assert_true(receive(fan->out[outbox], cells, 2));
			front = rk_topic_of(cells);
			assert_non_null(front);
			assert_int_equal(front->topic_bytes, strlen(topic));
			assert_memory_equal(front + 1, topic, strlen(topic));
			memcpy(&number, (const char *)(front + 1) + strlen(topic), sizeof(number));
			assert_int_equal(number, i);
			++*sent;
		}
}

AID void what_is_published_reaches_those_who_subscribed(void **state)
{
	enum { COUNT = 1400 };
	struct fan fan = open_fan(*state, "topic", NULL, 0, FAN_MOST);
	const struct rk_topic_state *s;
	uint64_t sent = 0;

	for (int twice = 0; twice < 2; twice++)
		for (int i = 0; i < SUBSCRIPTIONS; i++)
			send_topic(fan.in, RK_TOPIC_SUBSCRIBE, subscriptions[i].outbox,
				   subscriptions[i].pattern, 0);
	for (uint32_t i = 0; i < COUNT; i++)
		send_topic(fan.in, RK_TOPIC_PUBLISH, i, topics[i % TOPICS], i);
	expect_topics(&fan, 0, COUNT, false, &sent);
	send_topic(fan.in, RK_TOPIC_UNSUBSCRIBE, 2, "**", 0);
	send_topic(fan.in, RK_TOPIC_UNSUBSCRIBE, 4, "**", 0); /* has none: nothing happens */
	for (uint32_t i = 0; i < COUNT; i++)
		send_topic(fan.in, RK_TOPIC_PUBLISH, i, topics[i % TOPICS], i);
	finish_sending(fan.in);
	expect_topics(&fan, 0, COUNT, true, &sent);
	s = end_of(&fan);
	assert_int_equal(s->subscriptions, SUBSCRIPTIONS - 1);
	assert_int_equal(s->published, 2 * COUNT);
	assert_int_equal(s->sent, sent);
	assert_int_equal(s->unwanted, COUNT / TOPICS * 3); /* three that the others do not want */
	assert_int_equal(s->malformed + s->refused + s->sends_dropped, 0);
	close_runtime(fan.runtime);
}

AID void topics_that_make_no_sense_are_counted(void **state)
{
	struct fan fan = open_fan(*state, "topic", NULL, 0, 1);
	struct rk_msg msg = {.type = RK_TOPIC_PUBLISH, .slots = 1};
	struct rk_topic front = {.topic_bytes = RK_TOPIC_BYTES + 1};
	const struct rk_topic_state *s;
	char pattern[16];

	memcpy(msg.body, &front, sizeof(front));
	send_msg(fan.in, &msg);
	front = (struct rk_topic){.topic_bytes = 40, .bytes = 5};
	memcpy(msg.body, &front, sizeof(front));
	send_msg(fan.in, &msg);
	msg.type = RK_TOPIC_SUBSCRIBE;
	front.bytes = 65535;
	memcpy(msg.body, &front, sizeof(front));
	send_msg(fan.in, &msg);
	send_topic(fan.in, RK_TOPIC_SUBSCRIBE, RK_TOPIC_OUTBOXES, "a", 0);
	for (int i = 0; i < RK_TOPIC_MAX + 3; i++) {
		snprintf(pattern, sizeof(pattern), "p%d", i);
		send_topic(fan.in, RK_TOPIC_SUBSCRIBE, 0, pattern, 0);
	}
	finish_sending(fan.in);
	s = end_of(&fan);
	assert_int_equal(s->malformed, 3);
	assert_int_equal(s->refused, 4);
	assert_int_equal(s->subscriptions, RK_TOPIC_MAX);
	close_runtime(fan.runtime);
}

#define FAN_BODIES(ON)                                           \
	ON(broadcasts_reach_every_outbox_in_order)               \
	ON(keys_keep_their_partition_and_move_to_a_new_one_only) \
	ON(keys_outside_a_message_are_counted)                   \
	ON(what_is_published_reaches_those_who_subscribed)       \
	ON(topics_that_make_no_sense_are_counted)

#endif
