/* SPDX-License-Identifier: MIT */
/*
 * remote_stage.h - the producer's copy of a ring across hosts: written by rk_ring_send(), read by
 * the transport. Not installed.
 */
#ifndef REMOTE_STAGE_H
#define REMOTE_STAGE_H

#include "ports/remote.h"

/* A staging ring, for one life of the consumer's ring. Positions are guarded by the end's mutex. */
struct remote_stage {
	struct rk_region *region;
	struct rk_ring ring;
	struct rk_ring_tx tx;
	uint64_t id;	  /* of the consumer's ring */
	uint64_t posted;  /* put up to here, over this connection */
	uint64_t reached; /* put up to here, over any */
	uint64_t credit;  /* the consumer's last that was believed */
};

/* For the ring of @welcome. 0 or -errno. */
int remote_stage_make(struct remote_stage **out, const struct remote_hello *welcome,
		      const char *name);

/* @stage: or NULL */
void remote_stage_free(struct remote_stage *stage);

/* Messages whose slots were never given back: delivered or not, nobody will ever say. */
uint64_t remote_stage_unconfirmed(const struct remote_stage *stage);

/* The peer's ring is the one known: its credit must lie within what was put. 0 or -EPROTO. */
int remote_stage_resume(struct remote_stage *stage, const struct remote_hello *welcome);

/* Split what was written and not put into runs; returns how many, *@end set behind them. */
uint32_t remote_stage_runs(const struct remote_stage *stage, struct remote_run *runs,
			   uint64_t *end);

#endif
