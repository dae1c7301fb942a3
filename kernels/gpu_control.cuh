/* SPDX-License-Identifier: MIT */
/*
 * gpu_control.cuh - what the host tells an actor at its seat, and what it is told back: control
 * messages, phases, counters. All of it is the leader's alone; what the whole group has to do is left
 * to gpu_run.cuh as an event.
 */
#ifndef RK_GPU_CONTROL_CUH
#define RK_GPU_CONTROL_CUH

#include "gpu_cut.cuh"

enum rk_gpu_event {
	RK_GPU_NOTHING,
	RK_GPU_TO_START, /* the message lies in scratch->longer, as for the next */
	RK_GPU_TO_BEGIN, /* in the order of enum rk_gpu_control */
	RK_GPU_TO_RESTORE,
	RK_GPU_TO_COPY,
	RK_GPU_TO_LEAVE,
	RK_GPU_TO_TELL, /* desk->control */
};

/* Tell the host how far this actor is. */
static __device__ void rk_publish(struct rk_gpu_desk *desk)
{
	const uint64_t *from = (const uint64_t *)&desk->counters;
	uint64_t to = desk->status + offsetof(struct rk_gpu_status, counters);

	for (uint32_t i = 0; i < sizeof(struct rk_gpu_counters) / 8; i++)
		rk_store_word(to + 8 * i, from[i]);
	if (rk_likely(!desk->news))
		return;
	desk->news = 0;
	rk_publish_ends(desk->scratch->in, desk->inboxes);
	rk_publish_ends(desk->scratch->out, desk->outboxes);
}

/* R2: pairs with A2 in lib/backends/cuda_actor.c: state and counters are there with a last phase. */
static __device__ void rk_enter(struct rk_gpu_desk *desk, enum rk_gpu_phase phase)
{
	desk->phase = phase;
	if (phase >= RK_GPU_CLOSING) {
		rk_publish(desk);
		__threadfence_system();
	}
	rk_store_word(desk->status + offsetof(struct rk_gpu_status, serial_phase),
		      desk->spawn.serial << 8 | phase);
}

/*
 * It begins anew, and holds nothing of what was lent to it. R31: pairs with A31 in
 * rk_ring_tx_forgotten(): all that was lent was read. Nobody lends through shared memory.
 */
static __device__ void rk_forget(const struct rk_gpu_desk *desk)
{
	__threadfence_system();
	for (uint32_t i = 0; i < desk->inboxes; i++)
		if (!desk->rx[i].shared)
			rk_store_word(desk->rx[i].credit + RK_GPU_FORGOTTEN_AT, desk->rx[i].position);
}

/* Stop once the inboxes are empty. One that never started has no use for what is in them. */
static __device__ void rk_begin_drain(struct rk_gpu_desk *desk)
{
	if (desk->phase < RK_GPU_DRAINING)
		rk_enter(desk, RK_GPU_DRAINING);
}

/*
 * A ring that leads to another tenant is one that is closed already, so that the indices of those
 * behind it are as the host counts.
 */
static __device__ bool rk_leads_elsewhere(struct rk_gpu_desk *desk, const struct rk_gpu_ring *ring)
{
	if (!ring->tenant || !desk->spawn.tenant || ring->tenant == desk->spawn.tenant)
		return false;
	desk->counters.refused++;
	return true;
}

static __device__ void rk_add_inbox(struct rk_gpu_desk *desk, const struct rk_gpu_ring *ring,
				    uint64_t slots, uint64_t credit, uint16_t shared)
{
	struct rk_gpu_rx *rx = &desk->rx[desk->inboxes];

	if (desk->inboxes == RK_GPU_LINKS)
		return;
	rx->slots = slots;
	rx->credit = credit;
	rx->position = rx->credited = ring->position;
	rx->capacity_log2 = ring->capacity_log2;
	rx->closed = rk_leads_elsewhere(desk, ring);
	rx->shared = shared;
	rk_open_end(&desk->scratch->in[desk->inboxes], ring);
	/*
	 * Slots in shared memory are the consumer's to begin, before the producer knows of them: with
	 * the tag of the lap before the one in which each is first written.
	 */
	for (uint32_t i = 0; shared && !rx->closed && i >> ring->capacity_log2 == 0; i++)
		for (uint32_t word = 0; word < RK_SLOT_WORDS; word++)
			rk_store_word_to(rk_slot_at(slots, rx->position + i, rx->capacity_log2) +
						 8 * word,
					 rk_tag_at(rx->position + i - (1u << rx->capacity_log2),
						   rx->capacity_log2),
					 RK_SHARED_HERE);
	desk->inboxes++;
}

static __device__ void rk_open_outbox(struct rk_gpu_desk *desk, uint32_t index,
				      const struct rk_gpu_ring *ring)
{
	struct rk_gpu_end *end = &desk->scratch->out[index];

	rk_open_end(end, ring);
	if (!ring->policies)
		return;
	desk->flowing |= (uint16_t)(1u << index);
	if (end->high_slots)
		desk->levels |= (uint16_t)(1u << index);
}

static __device__ void rk_add_outbox(struct rk_gpu_desk *desk, const struct rk_gpu_ring *ring,
				     uint64_t slots, uint64_t credit, uint16_t shared)
{
	struct rk_gpu_tx *tx = &desk->tx[desk->outboxes];

	if (desk->outboxes == RK_GPU_LINKS)
		return;
	tx->slots = slots;
	tx->credit = credit;
	tx->position = ring->position;
	tx->limit = ring->position + (1ull << ring->capacity_log2);
	tx->capacity_log2 = ring->capacity_log2;
	tx->closed = rk_leads_elsewhere(desk, ring) ? RK_CLOSE_STOPPED : RK_CLOSE_OPEN;
	tx->shared = shared;
	rk_open_outbox(desk, desk->outboxes, ring);
	if (tx->shared && !tx->closed) {
		rk_store_word_to(credit, ring->position, RK_SHARED_HERE);
		rk_store_word_to(credit + 8, 0, RK_SHARED_HERE);
	}
	desk->outboxes++;
}

/* Address of @offset in the rings' part of the shared memory of the cluster's block @rank. */
static __device__ uint64_t rk_shared_address(uint64_t offset, uint32_t rank)
{
	extern __shared__ uint8_t rk_block_memory[];
	uint32_t address = (uint32_t)__cvta_generic_to_shared(rk_block_memory) +
			   (uint32_t)sizeof(struct rk_gpu_shared) + (uint32_t)offset;

	return rk_address_in(address, rank);
}

static __device__ void rk_take_link(struct rk_gpu_desk *desk, uint32_t type, const uint64_t *cell)
{
	const struct rk_gpu_ring *ring = (const struct rk_gpu_ring *)(cell + 1);
	uint32_t own = rk_own_rank(), consumer = type == RK_GPU_INBOX ? own : ring->rank;
	uint32_t producer = type == RK_GPU_INBOX ? ring->rank : own;
	uint64_t slots = ring->slots, credit = ring->credit;
	uint16_t shared = RK_SHARED_NOT;

	if (ring->place == RK_GPU_SHARED) {
		desk->mixed = 1;
		slots = rk_shared_address(slots, consumer);
		credit = rk_shared_address(credit, producer);
		shared = ring->rank == own ? RK_SHARED_HERE : RK_SHARED_CLUSTER;
	}
	if (type == RK_GPU_INBOX)
		rk_add_inbox(desk, ring, slots, credit, shared);
	else
		rk_add_outbox(desk, ring, slots, credit, shared);
}

static __device__ void rk_take_grant(struct rk_gpu_desk *desk, const struct rk_gpu_grant *grant)
{
	if (desk->grants < RK_GPU_GRANTS)
		desk->grant[desk->grants++] = *grant;
}

/* The seat's control ring, as this end of it stands. */
static __device__ struct rk_gpu_rx rk_control_ring(const struct rk_gpu_desk *desk)
{
	struct rk_gpu_rx rx;

	rx.slots = desk->seat;
	rx.credit = desk->status;
	rx.position = rx.credited = desk->control_position;
	rx.capacity_log2 = 6;
	rx.closed = rx.shared = 0;
	return rx;
}

/* Where a control message is put: near, and unused while no handler runs. */
static __device__ __forceinline__ uint64_t *rk_control_cells(struct rk_gpu_desk *desk)
{
	return (uint64_t *)desk->staging;
}

/* One control message, at most four cells; false when there is none. */
static __device__ bool rk_take_control(struct rk_gpu_desk *desk, uint64_t *cell)
{
	const struct rk_gpu_rx rx = rk_control_ring(desk);
	uint32_t slots;

	if (!rk_load_cell(&rx, rx.position, cell))
		return false;
	slots = (uint32_t)(cell[0] >> 24 & 0xff);
	for (uint32_t i = 1; i < slots && i < 4; i++)
		if (!rk_load_cell(&rx, rx.position + i, cell + 7 * i))
			return false;
	desk->control_position += slots;
	desk->control_taken++;
	return true;
}

/* Give back what was obeyed. Slots that this seat cleared for a link are clear before the host learns
 * so, and tells the other end.
 */
static __device__ void rk_control_done(struct rk_gpu_desk *desk, bool cleared)
{
	struct rk_gpu_rx rx = rk_control_ring(desk);

	if (cleared)
		__threadfence_system();
	rk_give_credit(&rx);
}

/* Time and tag in one store: whoever sees the tag sees the time. */
static __device__ void rk_answer_probe(struct rk_gpu_desk *desk, uint32_t tag)
{
	const struct rk_words answer = {rk_global_ns(), tag};

	rk_store_words(desk->status + offsetof(struct rk_gpu_status, gpu_ns), answer);
}

/* Keep a message for the handler until the group comes to it. */
static __device__ void rk_keep_start(struct rk_gpu_desk *desk, const uint64_t *cell)
{
	uint64_t *to = (uint64_t *)desk->scratch->longer;

	for (uint32_t i = 0; i < (cell[0] >> 24 & 0xff) * 7; i++)
		to[i] = cell[i];
	to[0] = (cell[0] & ~0xffffull) | RK_MSG_START;
}

/* Begin, or go on after a pause. */
static __device__ void rk_obey_start(struct rk_gpu_desk *desk, const uint64_t *cell)
{
	if (desk->phase != RK_GPU_DORMANT)
		return;
	if (desk->started) {
		rk_enter(desk, RK_GPU_RUNNING);
		return;
	}
	rk_keep_start(desk, cell);
	desk->event = RK_GPU_TO_START;
}

/* What is about the state is the group's. An actor that is to stop begins nothing anew. */
static __device__ void rk_obey_state(struct rk_gpu_desk *desk, const uint64_t *cell)
{
	uint32_t type = (uint32_t)(cell[0] & 0xffff);

	if (type < RK_GPU_COPY && desk->phase >= RK_GPU_DRAINING)
		return;
	if (type == RK_GPU_BEGIN)
		rk_keep_start(desk, cell);
	desk->event_at = cell[1];
	desk->event = RK_GPU_TO_BEGIN + type - RK_GPU_BEGIN;
}

/* Do what the message says. Words for an earlier actor of the seat are passed over. */
static __device__ void rk_obey_cell(struct rk_gpu_desk *desk, const uint64_t *cell)
{
	uint32_t type = (uint32_t)(cell[0] & 0xffff), tag = (uint32_t)(cell[0] >> 32);

	if (type == RK_MSG_PROBE)
		rk_answer_probe(desk, tag);
	if (type == RK_MSG_PROBE || tag != (uint32_t)desk->spawn.serial)
		return;
	desk->obeyed++;
	switch (type) {
	case RK_MSG_START:
		rk_obey_start(desk, cell);
		break;
	case RK_MSG_QUIESCE:
		if (desk->phase == RK_GPU_RUNNING)
			rk_enter(desk, RK_GPU_DORMANT);
		break;
	case RK_MSG_STOP:
		rk_begin_drain(desk);
		break;
	case RK_GPU_GRANT:
		rk_take_grant(desk, (const struct rk_gpu_grant *)(cell + 1));
		break;
	case RK_GPU_IO:
		desk->io = (struct rk_io *)cell[1];
		break;
	case RK_GPU_BEGIN:
	case RK_GPU_RESTORE:
	case RK_GPU_COPY:
	case RK_GPU_MOVE:
		rk_obey_state(desk, cell);
		break;
	case RK_GPU_CUT:
		rk_obey_cut(desk, (const struct rk_gpu_cut *)(cell + 1));
		break;
	case RK_GPU_REFILL:
		rk_obey_refill(desk, (const struct rk_gpu_refill *)(cell + 1));
		break;
	case RK_GPU_INBOX:
	case RK_GPU_OUTBOX:
		rk_take_link(desk, type, cell);
		break;
	}
}

/* Take one control message and obey it; false when there is none. */
static __device__ __noinline__ bool rk_obey(struct rk_gpu_desk *desk)
{
	uint64_t *cell = rk_control_cells(desk);

	if (!rk_take_control(desk, cell))
		return false;
	rk_obey_cell(desk, cell);
	rk_control_done(desk, desk->mixed && (cell[0] & 0xffff) == RK_GPU_INBOX);
	return true;
}

/*
 * All that was obeyed is done. R11: pairs with A11 in lib/backends/cuda_actor.c: phase and counters
 * are those after it, and what was copied is there, by whichever lanes, for they came to a barrier.
 */
static __device__ __forceinline__ void rk_answer(struct rk_gpu_desk *desk)
{
	if (desk->answered == desk->obeyed)
		return;
	desk->answered = desk->obeyed;
	rk_publish(desk);
	__threadfence_system();
	rk_store_word(desk->status + offsetof(struct rk_gpu_status, obeyed),
		      desk->spawn.serial << 32 | desk->obeyed);
}

#endif
