/* SPDX-License-Identifier: MIT */
/*
 * mdp3_book.h - the actor that turns the two feeds of a CME MDP 3.0 channel into books: its
 * state, the messages it sends, and how a host reads books out of a copy of the state.
 *
 * In: RK_MSG_PACKET, feed 0 is A and 1 is B. Out, all on outbox 0: RK_MDP3_BBO for each change of
 * a best bid or offer, RK_MDP3_GAP for each run of packets that neither feed brought.
 *
 * Arbitration. The first good copy of each sequence counts; it waits for those before it in a
 * window of `window_packets`. A hole is given up as a whole, when a packet comes that lies beyond
 * the window, or when the packets behind the hole have waited for more than `gap_ns`. Time is only
 * ever that of the packets (rx_time_ns; where that is 0, the sending time within), so the output is
 * a function of the messages in, equal on every backend. A packet that cannot be decoded to its
 * last byte is dropped as malformed before it counts: the other feed's copy may be good, and if it
 * is not, the sequence ends in a gap. At every message boundary
 *
 *      packets = unique + duplicates + malformed + held
 *
 * A copy of a sequence already passed counts as duplicate, also where the sequence was given up.
 * Sequences never restart while the actor lives.
 *
 * Staleness. Each level of a book is proven or not. A gap casts doubt on every book. The next
 * entry of a security lifts it if its rpt seq follows the one before the gap: nothing was lost
 * there. Otherwise no level of that security is proven until an entry writes it (new, change); its
 * proof then moves with it, and a level emptied by a delete is known to be empty. A channel reset
 * (template 4) empties and proves all books. A security first met with rpt seq 1 starts as proven
 * and empty; with any other it starts in doubt. The best bid (offer) is stale while level 1 of
 * its side is not proven.
 *
 * Depth. A new level pushes the one below the depth out: the tenth, the second of implied books.
 * The feed tells the depth of a security only in its definition, which this actor does not read.
 * Where it is less than ten, levels below it hold what was pushed there, and after the book ran
 * empty such a level can come up as best.
 */
#ifndef RK_MDP3_BOOK_H
#define RK_MDP3_BOOK_H

#include "rk_handler.h"

enum {
	RK_MDP3_BBO = RK_MSG_USER + 0x10, /* struct rk_mdp3_bbo; tag: sequence of the packet */
	RK_MDP3_GAP = RK_MSG_USER + 0x11, /* struct rk_mdp3_gap; tag: first missing sequence */
};

enum {
	RK_MDP3_DEPTH = 10,
	RK_MDP3_IMPLIED_DEPTH = 2,
	RK_MDP3_SECURITIES = 1024,
	RK_MDP3_BUCKETS = 2 * RK_MDP3_SECURITIES,
	RK_MDP3_WINDOW_MAX = 256,
	RK_MDP3_WINDOW_DEFAULT = 64,
	RK_MDP3_GAP_NS_DEFAULT = 10 * 1000 * 1000,
	RK_MDP3_PACKET_BYTES = 1472, /* of a datagram: what one Ethernet frame carries */
	RK_MDP3_TEMPLATES = 64,
};

/* Sides of a book; implied ones are kept apart and never part of the best reported. */
enum rk_mdp3_side_index {
	RK_MDP3_BID,
	RK_MDP3_OFFER,
	RK_MDP3_IMPLIED_BID,
	RK_MDP3_IMPLIED_OFFER,
	RK_MDP3_SIDES,
};

enum rk_mdp3_bbo_flag {
	RK_MDP3_BBO_F_BID = 1 << 0,	  /* there is a best bid; else its fields are 0 */
	RK_MDP3_BBO_F_OFFER = 1 << 1,	  /* there is a best offer */
	RK_MDP3_BBO_F_BID_STALE = 1 << 2, /* not proven since a gap or since joining */
	RK_MDP3_BBO_F_OFFER_STALE = 1 << 3,
	RK_MDP3_BBO_F_BID_CHANGED = 1 << 4, /* this message is about the bid: value or flag */
	RK_MDP3_BBO_F_OFFER_CHANGED = 1 << 5,
	RK_MDP3_BBO_F_MORE = 1 << 6, /* entries of the same message follow: maybe passing */
	RK_MDP3_BBO_F_ALL = (1 << 7) - 1,
};

/**
 * struct rk_mdp3_bbo - best bid and offer of one security; payload of RK_MDP3_BBO
 * @security_id: as on the feed
 * @flags: enum rk_mdp3_bbo_flag
 * @bid_price: mantissa, exponent -7
 * @offer_price: mantissa, exponent -7
 * @bid_size: contracts
 * @offer_size: contracts
 * @bid_orders: orders that make up the size
 * @offer_orders: orders that make up the size
 */
struct rk_mdp3_bbo {
	int32_t security_id;
	uint32_t flags;
	int64_t bid_price;
	int64_t offer_price;
	int32_t bid_size;
	int32_t offer_size;
	int32_t bid_orders;
	int32_t offer_orders;
};

RK_STATIC_ASSERT(sizeof(struct rk_mdp3_bbo) == 40, "fits one cell beside a time stamp");

/**
 * struct rk_mdp3_gap - packets that neither feed brought in time; payload of RK_MDP3_GAP
 * @first: first missing sequence
 * @last: last missing sequence
 * @time_ns: time of the packet that decided it, 0 if the stop did
 */
struct rk_mdp3_gap {
	uint32_t first;
	uint32_t last;
	uint64_t time_ns;
};

RK_STATIC_ASSERT(sizeof(struct rk_mdp3_gap) == 16, "no holes");

/* Why a packet was dropped: the first fault found. */
enum rk_mdp3_fault {
	RK_MDP3_GOOD,
	RK_MDP3_SHORT,	/* no whole packet header, or fewer bytes than announced */
	RK_MDP3_LONG,	/* more than RK_MDP3_PACKET_BYTES */
	RK_MDP3_SIZE,	/* message size below its header or beyond the packet */
	RK_MDP3_SCHEMA, /* another schema, or an older version */
	RK_MDP3_GROUP,	/* block or entries too short, or beyond the message */
	RK_MDP3_ACTION, /* update action above 4 */
	RK_MDP3_LEVEL,	/* price level 0 or above 10 */
	RK_MDP3_TYPE,	/* entry type not '0', '1', 'E', 'F' */
	RK_MDP3_FAULTS,
};

/**
 * struct rk_mdp3_counters - what happened so far; all u64
 * @packets: messages RK_MSG_PACKET
 * @unique: packets applied to the books
 * @duplicates: by feed A, B, any other
 * @malformed: packets dropped, by enum rk_mdp3_fault; [RK_MDP3_GOOD] is their sum
 * @held: packets waiting now for one before them
 * @gaps: runs given up
 * @packets_missing: sequences given up
 * @source_dropped: datagrams that the sources say they lost
 * @messages: within unique packets
 * @templates: messages by template; [0] those unknown
 * @entries: of template 32
 * @entries_implied: of @entries, those of implied books
 * @entries_untracked: of @entries, those beyond RK_MDP3_SECURITIES securities
 * @securities: securities with a bid or offer entry
 * @securities_tracked: securities with any entry: a bound for rk_mdp3_security_at()
 * @bbo_updates: changes of a best bid or offer
 * @sends_dropped: messages that rk_send() did not take
 * @messages_ignored: messages in of a type not known here
 */
struct rk_mdp3_counters {
	uint64_t packets;
	uint64_t unique;
	uint64_t duplicates[3];
	uint64_t malformed[RK_MDP3_FAULTS];
	uint64_t held;
	uint64_t gaps;
	uint64_t packets_missing;
	uint64_t source_dropped;
	uint64_t messages;
	uint64_t templates[RK_MDP3_TEMPLATES];
	uint64_t entries;
	uint64_t entries_implied;
	uint64_t entries_untracked;
	uint64_t securities;
	uint64_t securities_tracked;
	uint64_t bbo_updates;
	uint64_t sends_dropped;
	uint64_t messages_ignored;
};

struct rk_mdp3_level {
	int64_t price; /* mantissa, exponent -7 */
	int32_t size;
	int32_t orders;
};

/**
 * struct rk_mdp3_side - one side of a book
 * @level: best first
 * @present: bit i: level[i] holds a price
 * @proven: bit i: level[i] is known to be as the exchange has it, be it empty
 */
struct rk_mdp3_side {
	struct rk_mdp3_level level[RK_MDP3_DEPTH];
	uint32_t present;
	uint32_t proven;
};

/**
 * struct rk_mdp3_security - the books of one security
 * @id: as on the feed
 * @rpt_seq: of its latest entry
 * @epoch: the actor's when doubt was last settled; another value means a gap since
 * @has_explicit: a bid or offer entry came, not only implied ones
 * @side: enum rk_mdp3_side_index
 */
struct rk_mdp3_security {
	int32_t id;
	uint32_t rpt_seq;
	uint32_t epoch;
	uint32_t has_explicit;
	struct rk_mdp3_side side[RK_MDP3_SIDES];
};

/* A packet that waits for one before it; @bytes is 0 where none waits. */
struct rk_mdp3_held {
	uint64_t time_ns;
	uint32_t bytes;
	uint32_t reserved;
	uint8_t data[RK_MDP3_PACKET_BYTES];
};

/**
 * struct rk_mdp3_state - the actor's state
 * @counters: see there
 * @window_packets: argument: how far ahead a packet may wait, in sequences, 1 to 256
 * @gap_ns: argument: how long it may wait
 * @next: sequence that is due
 * @started: a first sequence is known
 * @applying: sequence of the packet being applied
 * @epoch: gaps so far; see struct rk_mdp3_security
 * @reset_epoch: @epoch + 1 at the latest channel reset, 0 before any
 * @books_empty: neither entry nor gap since the latest channel reset
 * @held_since_ns: since when a packet has been waiting, while any is
 * @bucket: hash of security ids: 0, or index + 1 in @security
 * @security: in the order of their first entries
 * @held: at sequence mod RK_MDP3_WINDOW_MAX
 */
struct rk_mdp3_state {
	struct rk_mdp3_counters counters;
	uint32_t window_packets;
	uint32_t next;
	uint64_t gap_ns;
	uint32_t started;
	uint32_t applying;
	uint32_t epoch;
	uint32_t reset_epoch;
	uint32_t books_empty;
	uint32_t reserved;
	uint64_t held_since_ns;
	uint16_t bucket[RK_MDP3_BUCKETS];
	struct rk_mdp3_security security[RK_MDP3_SECURITIES];
	struct rk_mdp3_held held[RK_MDP3_WINDOW_MAX];
};

/* The n-th security of @state in the order of their first entries; NULL beyond the last. */
RK_HD const struct rk_mdp3_security *rk_mdp3_security_at(const struct rk_mdp3_state *state,
							 uint32_t index)
{
	if (index >= state->counters.securities_tracked || index >= RK_MDP3_SECURITIES)
		return NULL;
	return &state->security[index];
}

/* Best bid and offer of @security as its levels and their proofs stand; no flag of change. */
RK_HD void rk_mdp3_best(const struct rk_mdp3_security *security, struct rk_mdp3_bbo *best)
{
	const struct rk_mdp3_side *bid = &security->side[RK_MDP3_BID];
	const struct rk_mdp3_side *offer = &security->side[RK_MDP3_OFFER];
	const uint32_t has_bid = bid->present & 1, has_offer = offer->present & 1;

	best->security_id = security->id;
	best->flags = (has_bid ? (uint32_t)RK_MDP3_BBO_F_BID : 0) |
		      (has_offer ? (uint32_t)RK_MDP3_BBO_F_OFFER : 0) |
		      (bid->proven & 1 ? 0 : (uint32_t)RK_MDP3_BBO_F_BID_STALE) |
		      (offer->proven & 1 ? 0 : (uint32_t)RK_MDP3_BBO_F_OFFER_STALE);
	best->bid_price = has_bid ? bid->level[0].price : 0;
	best->bid_size = has_bid ? bid->level[0].size : 0;
	best->bid_orders = has_bid ? bid->level[0].orders : 0;
	best->offer_price = has_offer ? offer->level[0].price : 0;
	best->offer_size = has_offer ? offer->level[0].size : 0;
	best->offer_orders = has_offer ? offer->level[0].orders : 0;
}

/* The same as a reader of @state should take it: stale after a gap not yet settled. */
RK_HD void rk_mdp3_best_now(const struct rk_mdp3_state *state,
			    const struct rk_mdp3_security *security, struct rk_mdp3_bbo *best)
{
	rk_mdp3_best(security, best);
	if (security->epoch != state->epoch)
		best->flags |= RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE;
}

RK_BEGIN_DECLS

/**
 * rk_mdp3_book() - the handler
 * @ctx: the actor's context
 * @state: struct rk_mdp3_state
 * @msg: RK_MSG_START (window_packets, gap_ns, first_sequence; 0 takes the default),
 *	RK_MSG_PACKET, RK_MSG_STOP; others are counted and dropped
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_mdp3_book(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

RK_END_DECLS

#endif
