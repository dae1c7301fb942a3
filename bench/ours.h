/* SPDX-License-Identifier: MIT */
/*
 * ours.h - RingKernel's ring as a candidate. Included by ours.c, compiled for this CPU, and by
 * plain.c, compiled as a program is by default.
 */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include "bench.h"
#include "ring/rk_ring.h"

#include <errno.h>
#include <stdlib.h>

/* Each end on lines of its own, as two threads would have them. */
struct ours {
	struct rk_ring_tx tx __attribute__((aligned(128)));
	struct rk_msg fresh[BENCH_BATCH]; /* written, not all of them sent yet */
	uint32_t sent;
	uint32_t filled;
	struct rk_ring_rx rx __attribute__((aligned(128)));
	struct rk_msg got[BENCH_BATCH];
	void *memory __attribute__((aligned(128)));
};

static inline int ours_open_with(void **out, uint32_t capacity, bool no_touch)
{
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = no_touch};
	size_t bytes = rk_ring_bytes(capacity);
	struct ours *ours = aligned_alloc(128, sizeof(*ours));
	struct rk_ring ring;
	int result;

	if (!ours)
		return -ENOMEM;
	ours->sent = ours->filled = 0;
	ours->memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	result = ours->memory ? rk_ring_format(&ring, ours->memory, bytes, capacity, 0, "bench")
			      : -ENOMEM;
	if (!result)
		result = rk_ring_tx_open(&ours->tx, &ring);
	if (!result)
		result = rk_ring_rx_open(&ours->rx, &ring, &opts);
	if (result) {
		free(ours->memory);
		free(ours);
		return result;
	}
	*out = ours;
	return 0;
}

static inline int ours_open(void **out, uint32_t capacity)
{
	return ours_open_with(out, capacity, false);
}

static inline void ours_close(void *ring)
{
	struct ours *ours = ring;

	free(ours->memory);
	free(ours);
}

static inline __attribute__((always_inline)) uint32_t ours_send(struct ours *ours,
								uint64_t sequence)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .tag = (uint32_t)sequence};

	bench_fill(msg.body, sequence);
	return (uint32_t)rk_ring_send(&ours->tx, &msg);
}

static inline __attribute__((always_inline)) uint32_t
ours_recv(struct ours *ours, uint64_t sequence, struct bench_check *check)
{
	struct rk_msg msg;
	int got = rk_ring_recv(&ours->rx, &msg, 1);

	if (got <= 0)
		return 0;
	bench_compare(check, msg.body, sequence);
	return 1;
}

static inline __attribute__((always_inline)) uint32_t
ours_send_batch(struct ours *ours, uint64_t sequence, uint32_t most)
{
	int sent;

	if (ours->sent == ours->filled) {
		for (uint32_t i = 0; i < most; i++) {
			struct rk_msg *msg = &ours->fresh[i];

			msg->type = RK_MSG_USER;
			msg->flags = 0;
			msg->slots = 1;
			msg->tag = (uint32_t)(sequence + i);
			bench_fill(msg->body, sequence + i);
		}
		ours->sent = 0;
		ours->filled = most;
	}
	sent = rk_ring_send_batch(&ours->tx, ours->fresh + ours->sent, ours->filled - ours->sent);
	ours->sent += (uint32_t)sent;
	return (uint32_t)sent;
}

static inline __attribute__((always_inline)) uint32_t
ours_recv_batch(struct ours *ours, uint64_t sequence, uint32_t most, struct bench_check *check)
{
	uint32_t got = (uint32_t)rk_ring_recv_batch(&ours->rx, ours->got, most);

	for (uint32_t i = 0; i < got; i++)
		bench_compare(check, ours->got[i].body, sequence + i);
	return got;
}

#define OURS
#define OURS_PUSH(ring, sequence, most)	      ((void)(most), ours_send(ring, sequence))
#define OURS_POP(ring, sequence, most, check) ((void)(most), ours_recv(ring, sequence, check))

#endif
