/* SPDX-License-Identifier: MIT */
/*
 * lent_handlers.h - an actor that reads datagrams where they lie and gives them back at once or when it
 * is told to, for every backend: compiled into the test for cpu, and carried by it as text for the
 * run-time compiler of GPUs.
 */
#include "rk_handler.h"
#include "rk_packet.h"

enum lent_type {
	LENT_REPORT = RK_MSG_USER, /* struct lent_report, of a datagram as it came */
	LENT_AGAIN,		   /* the same, of one that was held */
	LENT_HOLD,		   /* from now on keep what is lent; sent back when it is so */
	LENT_LIE, /* say of all that is held, with false tickets, that it is done; the same */
	LENT_LET_GO,		   /* read again what is held, and give it back */
	LENT_DIE,		   /* trap: on a CPU */
};

enum { LENT_MOST = 128 };

/* @first: its first word; @sum: of all. */
struct lent_report {
	uint64_t first, sum, bytes, lent, dropped;
};

struct lent_state {
	uint64_t sum, before;
	uint64_t hold, held;
	struct rk_packet_lent loans[LENT_MOST];
};

RK_BEGIN_DECLS
RK_DEVICE void test_lent(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_END_DECLS

/* Each lane its words; then the leader tells. All lanes. */
static RK_DEVICE void lent_tell(struct rk_ctx *ctx, struct lent_state *s, uint16_t type,
				const struct rk_packet *packet, const uint8_t *data, int lent)
{
	const uint64_t *words = (const uint64_t *)(const void *)data;
	struct lent_report report = {0, 0, packet->bytes, (uint64_t)lent, packet->dropped};
	uint64_t sum = 0;

	rk_acquire(ctx);
	for (uint32_t i = rk_lane(ctx); i < packet->bytes / 8; i += rk_lanes(ctx))
		sum += words[i];
	rk_add(ctx, &s->sum, sum);
	rk_any(ctx, 0);
	if (rk_lane(ctx))
		return;
	rk_acquire(ctx);
	report.first = words[0];
	report.sum = s->sum - s->before;
	s->before = s->sum;
	rk_send(ctx, 0, type, 0, &report, sizeof(report));
}

static RK_DEVICE void lent_take(struct lent_state *s, const struct rk_packet_lent *lent)
{
	if (s->hold && s->held < LENT_MOST)
		s->loans[s->held++] = *lent;
	else
		rk_packet_done(lent);
}

static RK_DEVICE void lent_lie(struct lent_state *s)
{
	for (uint32_t i = 0; i < s->held; i++) {
		struct rk_packet_lent lie = s->loans[i];

		lie.ticket += 1000;
		rk_packet_done(&lie);
	}
}

static RK_DEVICE void lent_let_go(struct rk_ctx *ctx, struct lent_state *s)
{
	uint64_t held = s->held;

	for (uint32_t i = 0; i < held; i++) {
		lent_tell(ctx, s, LENT_AGAIN, &s->loans[i].packet, rk_packet_data(&s->loans[i]), 1);
		rk_any(ctx, 0);
		if (!rk_lane(ctx))
			rk_packet_done(&s->loans[i]);
	}
	rk_any(ctx, 0);
	if (!rk_lane(ctx))
		s->hold = s->held = 0;
}

RK_DEVICE void test_lent(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct lent_state *s = (struct lent_state *)state;
	const struct rk_packet_lent *lent = rk_packet_lent_of(msg);
	const struct rk_packet *packet = (const struct rk_packet *)rk_msg_payload(msg);

	if (lent)
		lent_tell(ctx, s, LENT_REPORT, &lent->packet, rk_packet_data(lent), 1);
	else if (msg->type == RK_MSG_PACKET)
		lent_tell(ctx, s, LENT_REPORT, packet, (const uint8_t *)(packet + 1), 0);
	else if (msg->type == LENT_LET_GO)
		lent_let_go(ctx, s);
	if (rk_lane(ctx))
		return;
	if (lent)
		lent_take(s, lent);
	else if (msg->type == LENT_HOLD)
		s->hold = 1;
	else if (msg->type == LENT_LIE)
		lent_lie(s);
	if (msg->type == LENT_HOLD || msg->type == LENT_LIE)
		rk_send(ctx, 0, msg->type, 0, s, 8);
}
