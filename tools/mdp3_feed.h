/* SPDX-License-Identifier: MIT */
/*
 * mdp3_feed.h - the exchange's side of a generated MDP 3.0 channel: securities with books, a clock
 * with bursts, and one packet after another, each a function of the seed alone. Integers only, so
 * that every machine makes the same bytes. What happens to packets on their way is gen.h's.
 */
#ifndef MDP3_FEED_H
#define MDP3_FEED_H

#include "mdp3_wire.h"

enum {
	MDP3_FEED_PACKET_BYTES = 1420, /* as the exchange limits itself */
	MDP3_FEED_SECURITIES_MAX = 16384,
	MDP3_FEED_DEPTH = 10,
	MDP3_FEED_SIDES = 4, /* bid, offer, implied bid, implied offer */
};

/* One in a billion: the unit of all probabilities, so that none needs a float. */
#define PPB_ONE 1000000000u

/**
 * struct prng - a small random generator (SplitMix64), equal on every machine
 * @state: any value is a seed
 */
struct prng {
	uint64_t state;
};

uint64_t prng_next(struct prng *prng);
/* Uniform in 0 to @below - 1; @below is at least 1. */
uint32_t prng_below(struct prng *prng, uint32_t below);
/* 1 with probability @ppb / PPB_ONE, else 0. */
int prng_chance(struct prng *prng, uint32_t ppb);

/**
 * struct mdp3_feed_opts - what the exchange does; gen.h explains and checks the values
 * @seed: of everything
 * @first_sequence: of the first packet
 * @start_ns: time of the first packet, ns since 1970
 * @rate_hz: packets a second in the long run
 * @securities: how many
 * @zipf_halves: twice the exponent of their distribution, 0 (uniform) to 4
 * @burst_ratio: rate within a burst over the rate outside
 * @burst_packets: mean length of a burst; 0 for none
 * @burst_share_ppb: share of packets that are in bursts
 * @messages_max: messages a packet, at most
 * @entries_max: book entries a message, at most
 * @implied_ppb: chance that an entry is of an implied book
 * @other_ppb: chance that a message is of another template
 * @reset_ppb: chance that a message is a channel reset
 */
struct mdp3_feed_opts {
	uint64_t seed;
	uint64_t start_ns;
	uint32_t first_sequence;
	uint32_t rate_hz;
	uint32_t securities;
	uint32_t zipf_halves;
	uint32_t burst_ratio;
	uint32_t burst_packets;
	uint32_t burst_share_ppb;
	uint32_t messages_max;
	uint32_t entries_max;
	uint32_t implied_ppb;
	uint32_t other_ppb;
	uint32_t reset_ppb;
};

/**
 * struct mdp3_packet - one packet as the exchange sends it
 * @sequence: its number
 * @bytes: of @data
 * @time_ns: sending time
 * @data: the datagram
 */
struct mdp3_packet {
	uint32_t sequence;
	uint32_t bytes;
	uint64_t time_ns;
	uint8_t data[MDP3_FEED_PACKET_BYTES];
};

/* One price level of a true book. */
struct mdp3_feed_level {
	int64_t price;
	int32_t size;
	int32_t orders;
};

struct mdp3_feed_side {
	uint32_t levels;
	struct mdp3_feed_level level[MDP3_FEED_DEPTH];
};

/**
 * struct mdp3_feed_security - a true book
 * @id: as on the wire
 * @rpt_seq: of its latest entry; the first has 1
 * @middle: where prices start from, in ticks
 * @explicit_seen: a bid or offer entry went out
 * @side: as enum rk_mdp3_side_index
 */
struct mdp3_feed_security {
	int32_t id;
	uint32_t rpt_seq;
	int64_t middle;
	uint32_t explicit_seen;
	struct mdp3_feed_side side[MDP3_FEED_SIDES];
};

/**
 * struct mdp3_feed_truth - what was sent
 * @packets: so far
 * @messages: in them
 * @templates: of @messages, by template
 * @entries: of template 32
 * @entries_implied: of @entries, those of implied books
 * @actions: of @entries, by enum mdp3_action
 * @best_changes: changes of a best bid or offer, entry by entry
 */
struct mdp3_feed_truth {
	uint64_t packets;
	uint64_t messages;
	uint64_t templates[MDP3_TEMPLATES];
	uint64_t entries;
	uint64_t entries_implied;
	uint64_t actions[MDP3_ACTIONS];
	uint64_t best_changes;
};

struct mdp3_feed;

/**
 * mdp3_feed_open() - a channel at its start, all books empty
 * @out: the feed, freed by mdp3_feed_close()
 * @opts: copied
 *
 * Return: 0; -ENOMEM.
 */
int mdp3_feed_open(struct mdp3_feed **out, const struct mdp3_feed_opts *opts);

/* Makes the next packet; a feed never ends. */
void mdp3_feed_next(struct mdp3_feed *feed, struct mdp3_packet *packet);

const struct mdp3_feed_truth *mdp3_feed_truth(const struct mdp3_feed *feed);
const struct mdp3_feed_security *mdp3_feed_security_at(const struct mdp3_feed *feed,
						       uint32_t index);
void mdp3_feed_close(struct mdp3_feed *feed);

#endif
