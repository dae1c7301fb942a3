/* SPDX-License-Identifier: MIT */
/* remote_in.h - the consumer's end of a ring across hosts. Not installed. */
#ifndef REMOTE_IN_H
#define REMOTE_IN_H

#include "ports/remote.h"

enum { REMOTE_IN_CELLS = 512, REMOTE_IN_EMPTY_LOOKS = 64 };

/* A ring, for one life of a producer; a lent one outlives that. */
struct inlet {
	struct rk_region *region;	/* of its own; NULL: lent */
	const struct rk_region *lender; /* where a lent one lies on a GPU */
	struct rk_ring ring;
	struct rk_ring_rx rx;
	uint64_t session;
	uint64_t id;
};

/**
 * struct remote_in - an input
 * @inlet: where the port's thread reads; NULL before the first peer
 * @next: made by the keeper for a new producer, to be moved to; guarded by the mutex
 * @old: moved away from, for the keeper to free; guarded by the mutex
 * @bound: where the peer writes: @inlet or @next, or NULL; guarded by the mutex
 * @credit_sent: of @bound
 * @consumed_seen: of it, when credit was last thought of
 * @direct: the peer is to write the consumer's own ring
 * @lent: @inlet is that ring; there is no other
 * @counted: lent: the messages before this position are in the counters
 * @looked_ns: lent, on a GPU: when a slot was last read across the bus
 * @empty_looks: polls that found nothing, since the connection was last looked at
 */
struct remote_in {
	struct rk_port port;
	struct remote_end end;
	struct remote_guest guest;
	struct remote_door *door;
	struct inlet *inlet;
	struct inlet *next;
	struct inlet *old;
	struct inlet *bound;
	uint64_t credit_sent;
	uint64_t consumed_seen;
	uint32_t empty_looks;
	uint64_t slots;
	uint64_t nap_us;
	bool nap_given;
	bool stay;
	bool direct;
	bool lent;
	uint64_t counted;
	uint64_t looked_ns;
	uint8_t *cells; /* REMOTE_IN_CELLS */
};

static inline uint64_t remote_in_consumed(const struct inlet *inlet)
{
	/* A1: pairs with R1 in rk_ring_rx_credit(): the slots were read before the peer is told. */
	return __atomic_load_n(&inlet->ring.credit->consumed, __ATOMIC_ACQUIRE);
}

static inline struct remote_memory remote_in_slots(const struct inlet *inlet)
{
	return (struct remote_memory){.addr = inlet->ring.slots,
				      .bytes = (uint64_t)RK_SLOT_BYTES << inlet->ring.capacity_log2,
				      .region = inlet->lender};
}

/* --- remote_in.c --- */

/* Move what the connection has, as far as that needs no waiting. Returns the port's error, or 0. */
int remote_in_service(struct remote_in *in);

/*
 * What of @inlet the peer may write over, once it is told; the messages of a lent ring are counted
 * before. Mutex held.
 */
uint64_t remote_in_release(struct remote_in *in, const struct inlet *inlet);

/* Say the last word: what was consumed, and that nothing more will be; close. Mutex held, or no
 * keeper any more. */
void remote_in_leave(struct remote_in *in);

/* The ring is closed: what that means to the port. */
int remote_in_at_close(struct remote_in *in);

/* --- remote_in_meet.c: the keeper --- */

int remote_in_meet(struct remote_guest *guest, struct remote_conn *conn,
		   const struct remote_hello *ask);
uint64_t remote_in_keep(struct remote_guest *guest);

/* Offer @inlet over @conn. Mutex held. 0 or -errno. */
int remote_in_welcome(struct remote_in *in, struct remote_conn *conn, struct inlet *inlet,
		      const struct remote_hello *ask);

/* @inlet: or NULL */
void remote_in_free(struct inlet *inlet);

/* --- remote_lent.c: the peer writes the consumer's own ring --- */

int remote_lent_lend(struct rk_port *port, const struct rk_ring *ring,
		     const struct rk_region *region);
void remote_lent_take_back(struct rk_port *port, struct rk_ring_tx *tx);

/* Count the messages up to @to, which the consumer is done with. Mutex held. */
void remote_lent_count(struct remote_in *in, uint64_t to);

/* A producer asks. Mutex held, nothing writes into the ring. 0 or -errno. */
int remote_lent_meet(struct remote_in *in, struct remote_conn *conn,
		     const struct remote_hello *ask);

/* The port's thread, as poll_in. */
int remote_lent_poll(struct remote_in *in, const struct rk_ring_tx *tx);

#endif
