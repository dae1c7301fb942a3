/* SPDX-License-Identifier: MIT */
/*
 * topic.h - publish and subscribe: what is published on a topic goes to every outbox that has a
 * subscription for it, once, however many of its patterns match.
 *
 *      +--------+-----------------+---------------------+----------------------+
 *      | header | struct rk_topic | @topic_bytes of it   | what is published    |
 *      +--------+-----------------+---------------------+----------------------+
 *
 * Topics and patterns are those of rk_pattern.h: "md/cme/es", "md/cme/?*".
 * Subscriptions come in the rings like any message: RK_TOPIC_SUBSCRIBE is in effect for all that
 * its actor handles after it.
 */
#ifndef RK_TOPIC_H
#define RK_TOPIC_H

#include "rk_handler.h"

enum {
	RK_TOPIC_PUBLISH = RK_MSG_USER + 0x50,	 /* struct rk_topic, the topic, what is published */
	RK_TOPIC_SUBSCRIBE = RK_MSG_USER + 0x51, /* struct rk_topic, the pattern; tag: outbox */
	RK_TOPIC_UNSUBSCRIBE = RK_MSG_USER + 0x52, /* likewise: the same pattern and outbox */
	RK_TOPIC_BYTES = 60,			   /* of a topic or a pattern, at most */
	RK_TOPIC_MAX = 64,			   /* subscriptions of one actor */
	RK_TOPIC_OUTBOXES = 32,
};

/**
 * struct rk_topic - front of the payload
 * @topic_bytes: of the topic, or pattern, that follows
 * @bytes: published, behind the topic
 */
struct rk_topic {
	uint16_t topic_bytes;
	uint16_t bytes;
};

RK_STATIC_ASSERT(sizeof(struct rk_topic) == 4, "a topic's front is 4 bytes");

/**
 * struct rk_topic_subscription - one entry of the table
 * @outbox: that wants it
 * @bytes: of the pattern
 * @pattern: without a NUL
 */
struct rk_topic_subscription {
	uint16_t outbox;
	uint16_t bytes;
	char pattern[RK_TOPIC_BYTES];
};

/**
 * struct rk_topic_state - the actor's state
 * @subscriptions: entries of @table
 * @published: messages on a topic
 * @sent: of them, for each outbox that took one
 * @unwanted: of them, those that no pattern matches
 * @malformed: of all, those whose front does not fit: dropped
 * @refused: subscriptions beyond RK_TOPIC_MAX, or for no outbox
 * @sends_dropped: not taken by rk_send()
 * @table: in the order of subscribing; twice the same is one entry
 */
struct rk_topic_state {
	uint64_t subscriptions;
	uint64_t published;
	uint64_t sent;
	uint64_t unwanted;
	uint64_t malformed;
	uint64_t refused;
	uint64_t sends_dropped;
	struct rk_topic_subscription table[RK_TOPIC_MAX];
};

/* The front of @msg, with its topic behind it; NULL if it has none, or announces what does not fit.
 */
RK_HD const struct rk_topic *rk_topic_of(const struct rk_msg *msg)
{
	const struct rk_topic *topic = (const struct rk_topic *)rk_msg_payload(msg);
	uint32_t bytes = rk_msg_payload_bytes(msg);

	if (bytes < sizeof(*topic) || topic->topic_bytes > RK_TOPIC_BYTES ||
	    topic->topic_bytes + topic->bytes > bytes - sizeof(*topic))
		return NULL;
	return topic;
}

RK_BEGIN_DECLS

/**
 * rk_topic_route() - the handler
 * @ctx: the actor's context
 * @state: struct rk_topic_state
 * @msg: one of the above; others are ignored
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_topic_route(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

RK_END_DECLS

#endif
