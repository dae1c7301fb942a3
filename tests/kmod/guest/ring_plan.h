/* SPDX-License-Identifier: GPL-2.0 */
/* Where the rings between guest and outside lie in the BAR, and what travels in them. */
#ifndef RK_KMOD_RING_PLAN_H
#define RK_KMOD_RING_PLAN_H

#include "ring/rk_ring.h"

#define PLAN_BYTES	(4u << 20)	/* of the BAR, from its start */
#define PLAN_OUT	0u		/* ring to the outside */
#define PLAN_IN		(2u << 20)	/* ring to the guest */
#define PLAN_FLAG	(PLAN_BYTES - 4096)
#define PLAN_READY	0x52494e4752454459ull
#define PLAN_CAPACITY	4096u
#define PLAN_MESSAGES	100000u
#define PLAN_CELLS	3u

/* Message @i: one to three cells, a body that depends on every bit of @i. */
static inline void plan_fill(struct rk_msg *msg, uint32_t i)
{
	uint8_t *bytes = msg->body;
	uint32_t n, k;

	msg->type = RK_MSG_USER + i % 100;
	msg->flags = 0;
	msg->slots = 1 + i % PLAN_CELLS;
	msg->tag = i;
	n = msg->slots * RK_CELL_BYTES - RK_MSG_HEADER_BYTES;
	for (k = 0; k < n; k++)
		bytes[k] = (uint8_t)((i * 2654435761u) >> (k % 25)) ^ (uint8_t)k;
}

static inline bool plan_is(const struct rk_msg *msg, uint32_t i)
{
	uint64_t want[PLAN_CELLS * RK_CELL_BYTES / 8];

	plan_fill((struct rk_msg *)want, i);
	return !memcmp(want, msg, (1 + i % PLAN_CELLS) * RK_CELL_BYTES);
}

#endif /* RK_KMOD_RING_PLAN_H */
