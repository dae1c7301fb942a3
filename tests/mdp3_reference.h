/* SPDX-License-Identifier: MIT */
/*
 * mdp3_reference.h - what mdp3_book should do, said a second time and slowly, for tests to compare
 * with. It is given the whole list of packets, sorts it, and rebuilds each side as a new list of
 * levels for each entry; securities are found by walking all of them. Nothing is shared with the
 * handler but the structs of its messages.
 *
 * It holds for feeds in which no packet arrives after it was given up. Include it in one test.
 */
#ifndef MDP3_REFERENCE_H
#define MDP3_REFERENCE_H

#include "mdp3_aid.h"

#include <stdlib.h>
#include <string.h>

/* A packet as it arrived, either feed. */
struct ref_packet {
	uint32_t sequence;
	uint32_t bytes;
	uint8_t *data;
};

struct ref_level {
	int proven, present;
	int64_t price;
	int32_t size, orders;
};

struct ref_security {
	struct ref_security *next;
	int32_t id;
	uint32_t rpt_seq;
	int doubt, has_explicit;
	struct ref_level *side[4]; /* lists of ten */
};

struct ref {
	struct ref_packet *packet;
	size_t packets, packet_room;
	struct aid_event *event;
	size_t events, event_room;
	struct ref_security *security;
	int reset_since_gap;
	uint64_t unique, gaps, missing, messages, entries, bbo_updates, securities;
	uint64_t templates[65536];
};

enum { REF_DEPTH = 10, REF_IMPLIED_DEPTH = 2 };

static void ref_add(struct ref *ref, const void *data, uint32_t bytes)
{
	struct ref_packet *packet;

	if (ref->packets == ref->packet_room) {
		ref->packet_room = 2 * ref->packet_room + 1024;
		ref->packet = realloc(ref->packet, ref->packet_room * sizeof(*packet));
	}
	packet = &ref->packet[ref->packets++];
	memcpy(&packet->sequence, data, 4);
	packet->bytes = bytes;
	packet->data = malloc(bytes);
	memcpy(packet->data, data, bytes);
}

static struct aid_event *ref_say(struct ref *ref, uint16_t type, uint32_t tag)
{
	if (ref->events == ref->event_room) {
		ref->event_room = 2 * ref->event_room + 1024;
		ref->event = realloc(ref->event, ref->event_room * sizeof(*ref->event));
	}
	memset(&ref->event[ref->events], 0, sizeof(*ref->event));
	ref->event[ref->events].type = type;
	ref->event[ref->events].tag = tag;
	return &ref->event[ref->events++];
}

static struct ref_level *ref_empty_side(int proven)
{
	struct ref_level *side = calloc(REF_DEPTH, sizeof(*side));

	for (int i = 0; i < REF_DEPTH; i++)
		side[i].proven = proven;
	return side;
}

/* Where the security of that id hangs in the list, or would. */
static struct ref_security **ref_find(struct ref *ref, int32_t id)
{
	struct ref_security **at = &ref->security;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static struct ref_security *ref_make(struct ref_security **at, int32_t id, int known_empty)
{
	*at = calloc(1, sizeof(**at));
	(*at)->id = id;
	for (int i = 0; i < 4; i++)
		(*at)->side[i] = ref_empty_side(known_empty);
	return *at;
}

static void ref_settle(struct ref_security *security, uint32_t rpt_seq)
{
	if (security->doubt && rpt_seq != security->rpt_seq + 1) {
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < REF_DEPTH; j++)
				security->side[i][j].proven = 0;
	}
	security->doubt = 0;
	security->rpt_seq = rpt_seq;
}

static struct rk_mdp3_bbo ref_best(const struct ref_security *security)
{
	const struct ref_level *bid = security->side[0], *offer = security->side[1];
	struct rk_mdp3_bbo best;

	memset(&best, 0, sizeof(best));
	best.security_id = security->id;
	if (bid->present) {
		best.flags |= RK_MDP3_BBO_F_BID;
		best.bid_price = bid->price;
		best.bid_size = bid->size;
		best.bid_orders = bid->orders;
	}
	if (offer->present) {
		best.flags |= RK_MDP3_BBO_F_OFFER;
		best.offer_price = offer->price;
		best.offer_size = offer->size;
		best.offer_orders = offer->orders;
	}
	if (!bid->proven)
		best.flags |= RK_MDP3_BBO_F_BID_STALE;
	if (!offer->proven)
		best.flags |= RK_MDP3_BBO_F_OFFER_STALE;
	return best;
}

static void ref_report(struct ref *ref, const struct ref_security *security,
		       struct rk_mdp3_bbo before, uint32_t sequence, int more)
{
	struct rk_mdp3_bbo now = ref_best(security), bids[2] = {before, now};
	struct rk_mdp3_bbo offers[2] = {before, now};
	uint32_t changed = 0;

	for (int i = 0; i < 2; i++) {
		bids[i].flags &= RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_BID_STALE;
		bids[i].offer_price = bids[i].offer_size = bids[i].offer_orders = 0;
		offers[i].flags &= RK_MDP3_BBO_F_OFFER | RK_MDP3_BBO_F_OFFER_STALE;
		offers[i].bid_price = offers[i].bid_size = offers[i].bid_orders = 0;
	}
	if (memcmp(&bids[0], &bids[1], sizeof(bids[0])))
		changed |= RK_MDP3_BBO_F_BID_CHANGED;
	if (memcmp(&offers[0], &offers[1], sizeof(offers[0])))
		changed |= RK_MDP3_BBO_F_OFFER_CHANGED;
	if (!changed)
		return;
	now.flags |= changed | (more ? RK_MDP3_BBO_F_MORE : 0);
	ref->bbo_updates++;
	ref_say(ref, RK_MDP3_BBO, sequence)->bbo = now;
}

/* A side after an entry, as a new list: @keep levels of the old, @fresh, then the old from @from.
 */
static struct ref_level *ref_rebuild(struct ref_level *old, int keep, const struct ref_level *fresh,
				     int from, int depth)
{
	struct ref_level *side = ref_empty_side(1);
	int to = 0;

	for (int i = 0; i < keep; i++)
		side[to++] = old[i];
	if (fresh)
		side[to++] = *fresh;
	for (int i = from; i < REF_DEPTH && to < REF_DEPTH; i++)
		side[to++] = old[i];
	for (int i = depth; i < REF_DEPTH; i++)
		side[i].present = 0;
	free(old);
	return side;
}

static void ref_entry(struct ref *ref, const uint8_t *at, uint32_t sequence, int more)
{
	const int level = at[24] - 1, action = at[25];
	const int side = (int)(strchr("01EF", at[26]) - "01EF");
	const int depth = side < 2 ? REF_DEPTH : REF_IMPLIED_DEPTH;
	struct ref_level fresh = {.proven = 1, .present = 1};
	struct ref_security *security;
	struct rk_mdp3_bbo before;
	struct ref_level **list;
	uint32_t rpt_seq;
	int32_t id;

	memcpy(&fresh.price, at, 8);
	memcpy(&fresh.size, at + 8, 4);
	memcpy(&id, at + 12, 4);
	memcpy(&rpt_seq, at + 16, 4);
	memcpy(&fresh.orders, at + 20, 4);
	ref->entries++;
	security = *ref_find(ref, id);
	if (!security)
		security = ref_make(ref_find(ref, id), id, rpt_seq == 1 || ref->reset_since_gap);
	before = ref_best(security);
	ref_settle(security, rpt_seq);
	if (side < 2 && !security->has_explicit) {
		security->has_explicit = 1;
		ref->securities++;
	}
	list = &security->side[side];
	if (action == 0)
		*list = ref_rebuild(*list, level, &fresh, level, depth);
	else if (action == 1)
		*list = ref_rebuild(*list, level, &fresh, level + 1, depth);
	else if (action == 2)
		*list = ref_rebuild(*list, level, NULL, level + 1, depth);
	else if (action == 3)
		*list = ref_rebuild(*list, 0, NULL, REF_DEPTH, depth);
	else
		*list = ref_rebuild(*list, 0, NULL, level + 1, depth);
	ref_report(ref, security, before, sequence, more);
}

static void ref_reset(struct ref *ref, uint32_t sequence)
{
	for (struct ref_security *at = ref->security; at; at = at->next) {
		struct rk_mdp3_bbo before = ref_best(at);

		for (int i = 0; i < 4; i++) {
			free(at->side[i]);
			at->side[i] = ref_empty_side(1);
		}
		at->doubt = 0;
		ref_report(ref, at, before, sequence, 0);
	}
	ref->reset_since_gap = 1;
}

static void ref_apply(struct ref *ref, const struct ref_packet *packet)
{
	uint32_t at = 12;

	ref->unique++;
	while (at < packet->bytes) {
		const uint8_t *data = packet->data + at;
		uint16_t size, block, template, entry_bytes;

		memcpy(&size, data, 2);
		memcpy(&block, data + 2, 2);
		memcpy(&template, data + 4, 2);
		ref->messages++;
		ref->templates[template]++;
		if (template == 32) {
			memcpy(&entry_bytes, data + 10 + block, 2);
			for (int i = 0; i < data[12 + block]; i++)
				ref_entry(ref, data + 13 + block + i * entry_bytes,
					  packet->sequence, i + 1 < data[12 + block]);
		}
		if (template == 4)
			ref_reset(ref, packet->sequence);
		at += size;
	}
}

static int ref_by_sequence(const void *a, const void *b)
{
	const uint32_t left = ((const struct ref_packet *)a)->sequence;
	const uint32_t right = ((const struct ref_packet *)b)->sequence;

	return (left > right) - (left < right);
}

/* Plays all packets added; what mdp3_book should say is then in @event. */
static void ref_run(struct ref *ref)
{
	qsort(ref->packet, ref->packets, sizeof(*ref->packet), ref_by_sequence);
	for (size_t i = 0; i < ref->packets; i++) {
		const uint32_t sequence = ref->packet[i].sequence;
		uint32_t due = i ? ref->packet[i - 1].sequence + 1 : sequence;

		if (i && sequence + 1 == due)
			continue; /* another copy */
		if (sequence != due) {
			struct aid_event *event = ref_say(ref, RK_MDP3_GAP, due);

			event->gap.first = due;
			event->gap.last = sequence - 1;
			ref->gaps++;
			ref->missing += sequence - due;
			for (struct ref_security *at = ref->security; at; at = at->next)
				at->doubt = 1;
			ref->reset_since_gap = 0;
		}
		ref_apply(ref, &ref->packet[i]);
	}
}

static void ref_free(struct ref *ref)
{
	while (ref->security) {
		struct ref_security *security = ref->security;

		ref->security = security->next;
		for (int i = 0; i < 4; i++)
			free(security->side[i]);
		free(security);
	}
	for (size_t i = 0; i < ref->packets; i++)
		free(ref->packet[i].data);
	free(ref->packet);
	free(ref->event);
	free(ref);
}

#endif
