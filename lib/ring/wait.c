// SPDX-License-Identifier: MIT
/* Waiting at one ring: look for a while, then sleep until the other end wakes us. */
#include "ring/rk_ring.h"
#include "clock.h"
#include "rk_error.h"


enum { LOOKS_BEFORE_SLEEP = 2000 };

/* One end of one ring, waiting for something. */
struct waiter {
	int (*look)(void *end, uint64_t what);
	void *end;
	uint64_t what;
	const struct rk_wake *self;
	const uint32_t *peer_unguarded;
};

/* How long to sleep at most, once announced: a peer that no barrier reached may not see it. */
static uint64_t sleep_ns(const struct waiter *w, uint64_t rest_ns)
{
	bool nap = __atomic_load_n(w->peer_unguarded, __ATOMIC_SEQ_CST);

	return nap && rest_ns > RK_WAKE_NAP_NS ? RK_WAKE_NAP_NS : rest_ns;
}

static int wait_for(const struct waiter *w, uint64_t timeout_ns)
{
	uint64_t start_ns = now_ns(), spent_ns;
	struct rk_spin spin = {0};
	int found;

	for (int looks = 0; looks < LOOKS_BEFORE_SLEEP; looks++) {
		found = w->look(w->end, w->what);
		if (found || !timeout_ns)
			return found;
		rk_spin_miss(&spin);
	}
	while ((spent_ns = now_ns() - start_ns) < timeout_ns) {
		rk_wake_announce(w->self);
		found = w->look(w->end, w->what);
		if (found) {
			rk_wake_cancel(w->self);
			return found;
		}
		rk_wake_sleep(w->self, sleep_ns(w, timeout_ns - spent_ns));
	}
	return w->look(w->end, w->what);
}

static int look_recv(void *end, uint64_t what)
{
	struct rk_ring_rx *rx = end;
	struct rk_msg cell;

	(void)what;
	if (rx->closed || (rx->slot == rx->limit && !rk_ring_rx_turn(rx)))
		return -EPIPE;
	if (rx->codec->unpack(rx->slot, rx->tag, &cell, 1, false))
		return 1;
	rk_ring_rx_credit(rx);
	return 0;
}

static int look_send(void *end, uint64_t what)
{
	struct rk_ring_tx *tx = end;

	uint64_t free = rk_ring_tx_free(tx);

	return tx->closed ? -EPIPE : free >= what;
}

int rk_ring_wait_recv(struct rk_ring_rx *rx, uint64_t timeout_ns)
{
	const struct waiter waiter = {look_recv, rx, 0, &rx->self, rx->peer_unguarded};

	return wait_for(&waiter, timeout_ns);
}

int rk_ring_wait_send(struct rk_ring_tx *tx, uint64_t slots, uint64_t timeout_ns)
{
	const struct waiter waiter = {look_send, tx, slots, &tx->self, tx->peer_unguarded};

	if (slots > 1ULL << tx->capacity_log2)
		return -EMSGSIZE;
	return tx->closed ? -EPIPE : wait_for(&waiter, timeout_ns);
}
