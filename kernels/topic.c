// SPDX-License-Identifier: MIT
/*
 * topic.c - the handler of topic.h.
 */
#include "topic.h"

#include "rk_pattern.h"

static RK_DEVICE bool topic_is_entry(const struct rk_topic_subscription *entry, uint32_t outbox,
				     const char *pattern, uint32_t bytes)
{
	if (entry->outbox != outbox || entry->bytes != bytes)
		return false;
	for (uint32_t i = 0; i < bytes; i++)
		if (entry->pattern[i] != pattern[i])
			return false;
	return true;
}

/* Index of the entry, or of the end of the table. */
static RK_DEVICE uint32_t topic_find(const struct rk_topic_state *s, uint32_t outbox,
				     const char *pattern, uint32_t bytes)
{
	uint32_t i = 0;

	while (i < s->subscriptions && !topic_is_entry(&s->table[i], outbox, pattern, bytes))
		i++;
	return i;
}

static RK_DEVICE void topic_subscribe(struct rk_topic_state *s, uint32_t outbox,
				      const char *pattern, uint32_t bytes)
{
	uint32_t at = topic_find(s, outbox, pattern, bytes);

	if (at < s->subscriptions)
		return;
	if (at == RK_TOPIC_MAX || outbox >= RK_TOPIC_OUTBOXES) {
		s->refused++;
		return;
	}
	s->table[at].outbox = (uint16_t)outbox;
	s->table[at].bytes = (uint16_t)bytes;
	for (uint32_t i = 0; i < bytes; i++)
		s->table[at].pattern[i] = pattern[i];
	s->subscriptions++;
}

static RK_DEVICE void topic_unsubscribe(struct rk_topic_state *s, uint32_t outbox,
					const char *pattern, uint32_t bytes)
{
	uint32_t at = topic_find(s, outbox, pattern, bytes);

	if (at == s->subscriptions)
		return;
	s->subscriptions--;
	for (; at < s->subscriptions; at++)
		s->table[at] = s->table[at + 1];
}

/* Outboxes that want @topic, a bit each. */
static RK_DEVICE uint32_t topic_wanted(const struct rk_topic_state *s, const char *topic,
				       uint32_t bytes)
{
	uint32_t wanted = 0;

	for (uint32_t i = 0; i < s->subscriptions; i++) {
		const struct rk_topic_subscription *entry = &s->table[i];

		if (!(wanted >> entry->outbox & 1) &&
		    rk_pattern_matches(entry->pattern, entry->bytes, topic, bytes))
			wanted |= 1u << entry->outbox;
	}
	return wanted;
}

static RK_DEVICE void topic_publish(struct rk_ctx *ctx, struct rk_topic_state *s,
				    const struct rk_msg *msg, uint32_t wanted)
{
	s->published++;
	s->unwanted += !wanted;
	for (uint32_t outbox = 0; outbox < RK_TOPIC_OUTBOXES; outbox++) {
		if (!(wanted >> outbox & 1))
			continue;
		if (rk_send(ctx, outbox, msg->type, msg->tag, rk_msg_payload(msg),
			    rk_msg_payload_bytes(msg)))
			s->sent++;
		else
			s->sends_dropped++;
	}
}

RK_DEVICE void rk_topic_route(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_topic_state *s = (struct rk_topic_state *)state;
	const struct rk_topic *topic;
	const char *text;

	if (rk_lane(ctx) || msg->type < RK_TOPIC_PUBLISH || msg->type > RK_TOPIC_UNSUBSCRIBE)
		return;
	topic = rk_topic_of(msg);
	if (!topic) {
		s->malformed++;
		return;
	}
	text = (const char *)(topic + 1);
	if (msg->type == RK_TOPIC_SUBSCRIBE)
		topic_subscribe(s, msg->tag, text, topic->topic_bytes);
	else if (msg->type == RK_TOPIC_UNSUBSCRIBE)
		topic_unsubscribe(s, msg->tag, text, topic->topic_bytes);
	else
		topic_publish(ctx, s, msg, topic_wanted(s, text, topic->topic_bytes));
}
