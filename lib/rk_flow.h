/* SPDX-License-Identifier: MIT */
/*
 * rk_flow.h - what becomes of a message that a link has no room for, or that comes too late.
 *
 * Back-pressure is the default: a message that finds its ring full waits at the sender, and the
 * sender with it. A link may drop instead (enum rk_full, struct rk_link_opts), and may keep what it
 * drops as dead letters (rk_dead_letter.h). Whatever it does, nothing goes uncounted:
 *
 *   what a handler sends     = sent + dropped by reason + waiting
 *   what an actor has sent   = handled + dropped as expired or shed + in the ring
 *
 * A message may carry a deadline (RK_MSG_F_DEADLINE). It is judged when the message is delivered to
 * an actor or to a port, by the clock there; on a GPU by the time that the host has told it last, some
 * five thousand times a second, so that none is dropped early, and some are handled that much late.
 * What an actor sends carries the deadline of the message that it handles. A thread of the host judges
 * by itself what it receives.
 *
 * On a GPU what finds no room is judged when the handler has come back from the messages at hand: so
 * rk_send() does not say that it is dropped, and up to then it waits among up to 8192 cells, of which
 * a link that drops lets the oldest go first if even that is too little (and keeps no letter of these).
 *
 * Where there is more to do than can be done, a runtime is told how far to shed: from level n on,
 * actors drop what comes on links whose options say @shed_at n, unhandled, so that they get to what
 * matters more (rk_runtime_shed()).
 *
 * A link whose options name levels tells its sender when it fills up: the handler gets RK_MSG_HIGH
 * once the link holds @high_slots, and RK_MSG_LOW once it holds @low_slots or fewer again; never
 * two of a kind in a row. It is looked at between batches of messages; who is held up by a full
 * link hears of it as soon as he is not.
 */
#ifndef RK_FLOW_H
#define RK_FLOW_H

#include "rk_msg.h"

#include <stdbool.h>

struct rk_actor;
struct rk_link;
struct rk_ring_rx;
struct rk_ring_tx;
struct rk_runtime;

/* What happens to a message of an actor that finds the ring full. */
enum rk_full {
	RK_FULL_WAIT,	     /* it waits, and its sender gets no more messages */
	RK_FULL_DROP_NEWEST, /* it is dropped */
	/*
	 * It waits, its sender goes on, and when the backlog is full too, the oldest that wait are
	 * dropped. What is in the ring is the consumer's: a short ring and a long backlog keep
	 * little that is old.
	 */
	RK_FULL_DROP_OLDEST,
};

/* Why a link has dropped a message. */
enum rk_drop {
	RK_DROP_FULL,	   /* RK_FULL_DROP_NEWEST: no room for it */
	RK_DROP_OLD,	   /* RK_FULL_DROP_OLDEST: no room for newer ones */
	RK_DROP_EXPIRED,   /* it came after its deadline */
	RK_DROP_SHED,	   /* its link is one that is shed at the level the runtime is at */
	RK_DROP_CLOSED,	   /* the consumer takes no more */
	RK_DROP_STOPPED,   /* it waited for room when its sender was stopped */
	RK_DROP_NO_MEMORY, /* it found neither room in the ring nor memory to wait in */
	RK_DROP_REASONS,
};

/**
 * struct rk_link_info - how a link stands; counts since it was made
 * @from: NULL: a port or a thread of the host
 * @to: likewise
 * @slots: capacity
 * @credited: slots that the consumer has given back: what a producer learns as its credit
 * @used: slots sent and not given back; 0 where an end is on a GPU, for that is not seen from here
 * @waiting: slots of messages that wait at an actor for room; on a GPU where the link has policies
 * @dropped: messages, by enum rk_drop
 * @dead_lost: messages that were dropped and found no room among the dead letters
 * @is_high: RK_MSG_HIGH was the last that its sender heard
 * @highs: times that it heard so
 * @lows: times that it heard RK_MSG_LOW
 */
struct rk_link_info {
	const struct rk_actor *from;
	const struct rk_actor *to;
	uint64_t slots;
	uint64_t credited;
	uint64_t used;
	uint64_t waiting;
	uint64_t dropped[RK_DROP_REASONS];
	uint64_t dead_lost;
	bool is_high;
	uint64_t highs;
	uint64_t lows;
};

RK_BEGIN_DECLS

/**
 * rk_link_info() - how a link stands
 * @link: made
 * @info: out
 *
 * Context: any thread; disturbs neither end. A reading of a link in use may be a few messages old.
 */
RK_API void rk_link_info(const struct rk_link *link, struct rk_link_info *info);

/**
 * rk_runtime_shed() - how far to shed
 * @runtime: open
 * @level: links whose @shed_at is this or less are shed; 0: none
 *
 * In effect for what actors on cpu take from their inboxes from now on; a batch that one is about
 * to handle is handled.
 *
 * Context: any thread; never sleeps.
 */
RK_API void rk_runtime_shed(struct rk_runtime *runtime, uint32_t level);

/**
 * rk_link_of_tx() - the link whose producer's end rk_link_host_in() gave
 * @tx: given
 *
 * Context: any thread.
 * Return: lives as long as @tx.
 */
RK_API struct rk_link *rk_link_of_tx(struct rk_ring_tx *tx);

/**
 * rk_link_of_rx() - the link whose consumer's end rk_link_host_out() gave
 * @rx: given
 *
 * Context: any thread.
 * Return: lives as long as @rx.
 */
RK_API struct rk_link *rk_link_of_rx(struct rk_ring_rx *rx);

RK_END_DECLS

#endif
