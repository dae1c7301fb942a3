/* SPDX-License-Identifier: MIT */
/*
 * mdp3_aid.h - runs one handler without a backend: a context that hands every message sent to a
 * function, messages made from datagrams, and what must hold of mdp3_book at every boundary.
 * Include it in one file of a program, which then must not be linked with a backend.
 */
#ifndef MDP3_AID_H
#define MDP3_AID_H

#include "mdp3_book.h"
#include "mdp3_wire.h"

#include <stdlib.h>
#include <string.h>

/* Not every program uses every helper. */
#define AID static __attribute__((unused))

/* A message that mdp3_book sent, or should send. */
struct aid_event {
	uint16_t type;
	uint32_t tag;
	union {
		struct rk_mdp3_bbo bbo;
		struct rk_mdp3_gap gap;
	};
};

struct rk_ctx {
	uint32_t lane;
	int refuse; /* rk_send() drops, as where nobody listens */
	void (*on_send)(void *user, uint32_t outbox, uint16_t type, uint32_t tag,
			const void *payload, uint32_t bytes);
	void *user;
};

uint32_t rk_lane(const struct rk_ctx *ctx)
{
	return ctx->lane;
}

uint32_t rk_lanes(const struct rk_ctx *ctx)
{
	return ctx->lane + 1;
}

int rk_send(struct rk_ctx *ctx, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
	    uint32_t bytes)
{
	if (ctx->refuse)
		return 0;
	ctx->on_send(ctx->user, outbox, type, tag, payload, bytes);
	return 1;
}

void rk_add(const struct rk_ctx *ctx, uint64_t *sum, uint64_t amount)
{
	(void)ctx;
	*sum += amount;
}

int rk_any(struct rk_ctx *ctx, int said)
{
	(void)ctx;
	return said;
}

void rk_acquire(const struct rk_ctx *ctx)
{
	(void)ctx;
}

uint32_t rk_send_batch(struct rk_ctx *ctx, uint32_t outbox, const struct rk_msg *msgs, uint32_t count)
{
	uint32_t sent = 0;

	for (uint32_t i = 0; i < count; i++)
		sent += (uint32_t)rk_send(ctx, outbox, msgs[i].type, msgs[i].tag,
					  rk_msg_payload(&msgs[i]), rk_msg_payload_bytes(&msgs[i]));
	return sent;
}

/*
 * A message of exactly its cells on the heap, so that a read beyond them is caught; freed by the
 * caller. A payload too long for a message is cut.
 */
AID struct rk_msg *aid_message(uint16_t type, uint8_t flags, uint32_t tag, const void *payload,
			       uint32_t bytes)
{
	uint32_t most = RK_MSG_MAX_SLOTS * RK_CELL_BYTES - RK_MSG_HEADER_BYTES -
			rk_msg_extension_bytes(flags);
	uint32_t cells = rk_msg_cells(flags, bytes < most ? bytes : most);
	struct rk_msg *msg = calloc(cells, RK_CELL_BYTES);

	msg->type = type;
	msg->flags = flags;
	msg->slots = (uint8_t)cells;
	msg->tag = tag;
	memset(msg->body, 0xee, rk_msg_extension_bytes(flags));
	if (bytes)
		memcpy((uint8_t *)msg + RK_MSG_HEADER_BYTES + rk_msg_extension_bytes(flags),
		       payload, bytes < most ? bytes : most);
	return msg;
}

/* RK_MSG_PACKET of @bytes of @data that announces @announced of them. */
AID struct rk_msg *aid_packet(uint8_t flags, uint32_t feed, uint64_t time_ns, const void *data,
			      uint32_t bytes, uint32_t announced)
{
	struct rk_packet front = {
		.rx_time_ns = time_ns, .bytes = announced, .feed = (uint16_t)feed};
	uint8_t *payload = malloc(sizeof(front) + bytes);
	struct rk_msg *msg;

	memcpy(payload, &front, sizeof(front));
	if (bytes)
		memcpy(payload + sizeof(front), data, bytes);
	msg = aid_message(RK_MSG_PACKET, flags, 0, payload, (uint32_t)sizeof(front) + bytes);
	free(payload);
	return msg;
}

AID struct rk_msg *aid_start(uint64_t window_packets, uint64_t gap_ns, uint64_t first_sequence)
{
	const uint64_t args[3] = {window_packets, gap_ns, first_sequence};

	return aid_message(RK_MSG_START, 0, 0, args, sizeof(args));
}

/* What holds of @s between any two messages; NULL, or which rule is broken. */
AID const char *aid_broken_rule(const struct rk_mdp3_state *s)
{
	const struct rk_mdp3_counters *c = &s->counters;
	uint64_t malformed = 0, templates = 0, held = 0;

	for (int i = RK_MDP3_GOOD + 1; i < RK_MDP3_FAULTS; i++)
		malformed += c->malformed[i];
	for (int i = 0; i < RK_MDP3_TEMPLATES; i++)
		templates += c->templates[i];
	for (int i = 0; i < RK_MDP3_WINDOW_MAX; i++)
		held += s->held[i].bytes != 0;
	if (c->packets != c->unique + c->duplicates[0] + c->duplicates[1] + c->duplicates[2] +
				  c->malformed[RK_MDP3_GOOD] + c->held)
		return "packets = unique + duplicates + malformed + held";
	if (malformed != c->malformed[RK_MDP3_GOOD])
		return "malformed = sum of its reasons";
	if (templates != c->messages)
		return "messages = sum of templates";
	if (held != c->held)
		return "held = packets in the window";
	if (c->held >= s->window_packets + !s->window_packets)
		return "held < window";
	if (c->entries_implied > c->entries || c->entries_untracked > c->entries)
		return "implied and untracked entries are entries";
	if (c->securities > c->securities_tracked || c->securities_tracked > RK_MDP3_SECURITIES)
		return "securities <= tracked <= capacity";
	for (uint32_t i = 0; i < c->securities_tracked; i++) {
		for (int j = 0; j < RK_MDP3_SIDES; j++) {
			if ((s->security[i].side[j].present | s->security[i].side[j].proven) >>
			    RK_MDP3_DEPTH)
				return "levels within the depth";
		}
	}
	return NULL;
}

#endif
