/* SPDX-License-Identifier: MIT */
/*
 * gpu_cut.cuh - an actor's part of a snapshot of a group that runs; all of it is the leader's, but
 * for the copy of the state (gpu_run.cuh).
 *
 * Markers are aligned: once that of another of the group (RK_MSG_CHECKPOINT) has come, the inbox is
 * held, until all of them have. Then what was handled is what was sent before them, to the message:
 * the state is copied, a marker goes behind all that was sent, and the inboxes are let go. So nothing
 * is in flight to an actor on a GPU. One that nobody of the group sends to does so when it is told.
 */
#ifndef RK_GPU_CUT_CUH
#define RK_GPU_CUT_CUH

#include "gpu_flow.cuh"

/* Done, or given up. R28: pairs with A28 in lib/backends/cuda_actor.c: what was copied is there. */
static __device__ void rk_end_cut(struct rk_gpu_desk *desk)
{
	for (uint32_t i = 0; i < desk->inboxes; i++)
		if (desk->rx[i].closed == RK_INBOX_HELD)
			desk->rx[i].closed = RK_INBOX_OPEN;
	desk->cut.at = 0;
	__threadfence_system();
	rk_store_word(desk->status + offsetof(struct rk_gpu_status, cut),
		      desk->spawn.serial << 32 | desk->cut.epoch);
}

static __device__ void rk_obey_cut(struct rk_gpu_desk *desk, const struct rk_gpu_cut *cut)
{
	desk->cut = *cut;
	for (uint32_t i = 0; i < desk->inboxes; i++)
		if (desk->rx[i].closed == RK_INBOX_CLOSED)
			desk->cut.inboxes &= ~(1u << i);
	if (!cut->at)
		rk_end_cut(desk);
}

/* No marker will come any more. */
static __device__ void rk_take_closed(struct rk_gpu_desk *desk, uint32_t index)
{
	desk->rx[index].closed = RK_INBOX_CLOSED;
	desk->cut.inboxes &= ~(1u << index);
}

/*
 * A message of the runtime's own, in scratch->longer. Anyone may send anything from outside: a marker
 * counts where one of the group sends it.
 */
static __device__ void rk_take_marker(struct rk_gpu_desk *desk, uint32_t index)
{
	uint64_t head = *(const uint64_t *)desk->scratch->longer;

	if ((head & 0xffff) != RK_MSG_CHECKPOINT || (uint32_t)(head >> 32) != desk->cut.epoch ||
	    !desk->cut.at || !(desk->cut.inboxes >> index & 1))
		return;
	desk->cut.inboxes &= ~(1u << index);
	desk->rx[index].closed = RK_INBOX_HELD;
}

static __device__ void rk_note_ends(struct rk_gpu_desk *desk, uint64_t to)
{
	uint64_t *sent = (uint64_t *)desk->staging; /* unused while no handler runs */

	for (uint32_t i = 0; i < desk->outboxes; i++)
		sent[i] = desk->tx[i].position;
	for (uint32_t i = 0; i < desk->waiting_cells; i++) {
		uint32_t at = (desk->waiting_first + i) % RK_GPU_WAITING;

		if (desk->scratch->waiting_to[at] < desk->outboxes)
			sent[desk->scratch->waiting_to[at]]++;
	}
	for (uint32_t i = 0; i < desk->inboxes; i++)
		rk_store_word(to + offsetof(struct rk_gpu_ends, received) + 8 * i,
			      desk->rx[i].position);
	for (uint32_t i = 0; i < desk->outboxes; i++)
		rk_store_word(to + offsetof(struct rk_gpu_ends, sent) + 8 * i, sent[i]);
}

/* The state has been copied: what else belongs to it, and the markers. */
static __device__ void rk_cut(struct rk_gpu_desk *desk)
{
	const uint64_t marker[7] = {(uint64_t)desk->cut.epoch << 32 | 1u << 24 | RK_MSG_CHECKPOINT};

	rk_note_ends(desk, desk->cut.at + desk->spawn.state_bytes + sizeof(struct rk_gpu_copied));
	for (uint32_t i = 0; i < desk->outboxes; i++)
		if (desk->cut.outboxes >> i & 1 && !desk->tx[i].closed)
			rk_append(desk, i, (const uint8_t *)marker, 1);
	rk_drain(desk);
	rk_end_cut(desk);
}

/* Relaxed loads, for the host wrote them: a cache may have what was there before. */
static __device__ void rk_obey_refill(struct rk_gpu_desk *desk, const struct rk_gpu_refill *refill)
{
	uint64_t *cell = (uint64_t *)desk->scratch->outgoing;
	uint32_t slots;

	for (uint32_t i = 0; i < refill->count * 7; i++)
		cell[i] = rk_load_word((uint64_t)&cell[i]);
	for (uint32_t at = 0; at < refill->count; at += slots) {
		slots = (uint32_t)(cell[7 * at] >> 24 & 0xff);
		rk_append(desk, refill->outbox, (const uint8_t *)(cell + 7 * at), slots);
	}
}

#endif
