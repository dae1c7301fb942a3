/* SPDX-License-Identifier: MIT */
/*
 * cpu_cut.h - one actor's part of a snapshot of a group, taken while it runs; private.
 *
 * Chandy and Lamport's: at the host's order, or at the first marker (RK_MSG_CHECKPOINT) from
 * another of the group, an actor copies its state and sends a marker behind all that it had sent to
 * the others. What comes from another of the group after that and before its marker was in flight:
 * it is recorded, and handled as ever. All markers there, its part is done.
 *
 * Nothing of this lies on the way of a message while no snapshot is taken: markers are of the types
 * that the loop sorts out anyway, and while it records, the actor's type is one whose handlers
 * record before they call the real ones.
 *
 * An actor on a GPU aligns the markers instead (kernels/gpu_cut.cuh), and records nothing; what it
 * took is put into the same struct cpu_cut by the host (lib/actor_cuda.c).
 */
#ifndef RK_BACKENDS_CPU_CUT_H
#define RK_BACKENDS_CPU_CUT_H

#include "backends/cpu.h"

/**
 * struct cpu_cut_end - one end of a link, as the cut found it
 * @end: its struct rk_ring_rx or struct rk_ring_tx
 * @inside: the other end is of the group too
 * @marked: an inbox: its marker has come, or nothing will
 * @position: slots handled, or sent; without padding
 * @cells: recorded: in flight
 * @count: of them
 * @room: for them
 */
struct cpu_cut_end {
	const void *end;
	bool inside;
	bool marked;
	uint64_t position;
	struct rk_msg *cells;
	uint32_t count;
	uint32_t room;
};

/**
 * struct cpu_cut - the host's until it is lent, then the worker's until it is given back
 * @lent: the worker has it; given back by a store-release
 * @epoch: which snapshot: markers carry it
 * @inside: ends of this actor's links with others of the group
 * @insides: of them
 * @fed: another of the group sends to it
 * @state: room for its state, copied at the cut
 * @begun: the state is copied
 * @open: what is still to come: the host's order, and a marker of each inbox inside
 * @failed: -ENOMEM: something could not be recorded
 * @real: the actor's type, and one that records in its place
 */
struct cpu_cut {
	uint32_t lent;
	uint32_t epoch;
	const void *inside[2 * CPU_MAX_LINKS];
	uint32_t insides;
	bool fed;
	void *state;
	bool begun;
	uint32_t open;
	int failed;
	const struct rk_actor_type *real;
	struct rk_actor_type recorder;
	struct cpu_cut_end inbox[CPU_MAX_LINKS];
	struct cpu_cut_end outbox[CPU_MAX_LINKS];
	uint32_t inboxes;
	uint32_t outboxes;
};

/* Cells that wait at the sender @tx: in flight when a snapshot was taken. */
struct cpu_refill {
	const struct rk_ring_tx *tx;
	struct rk_msg *cells;
	uint32_t count;
};

/* Lend @cut, ready for @epoch; before the order, and before any other of the group has it. */
void cpu_cut_lend(struct rk_ctx *actor, struct cpu_cut *cut);

/* Whether the worker has given it back. */
bool cpu_cut_is_back(const struct cpu_cut *cut);

/* Free what was recorded and copied. The host's. */
void cpu_cut_reset(struct cpu_cut *cut);

/* --- By CPU_CALL, on the worker's thread --- */

/* The host's order. @argument: the cut that was lent. */
void cpu_cut_order(struct rk_ctx *actor, void *argument);

/* Give it up. @argument: the cut that was lent. */
void cpu_cut_forget(struct rk_ctx *actor, void *argument);

/* Let cells wait in an outbox. @argument: struct cpu_refill. */
void cpu_refill(struct rk_ctx *actor, void *argument);

#endif
