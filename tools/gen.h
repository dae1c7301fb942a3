/* SPDX-License-Identifier: MIT */
/*
 * gen.h - a seeded MDP 3.0 channel as a receiver sees it: the packets of mdp3_feed.h on feeds A
 * and B, with losses, duplicates and reordering by choice, and the truth to compare with. Equal
 * options give equal bytes on every machine. What the exchange sends depends on none of the
 * options of delivery, so a lossy run can be held against a clean one.
 *
 *	struct gen_opts opts;
 *	struct gen_packet packet;
 *	struct gen *gen;
 *
 *	gen_opts_init(&opts);
 *	gen_opts_set(&opts, "loss_a", "0.01");
 *	gen_open(&gen, &opts);
 *	while (gen_next(gen, &packet))
 *		use(&packet);
 *	check(gen_truth(gen));
 *	gen_close(gen);
 *
 * Every packet is delivered within reorder_packets + lag_b_packets packets of its turn, so an
 * arbiter whose window is larger than that sum, plus the longest run lost, reports exactly the
 * missing ranges of the truth. The first and the last packet are delivered on A, in their turn.
 */
#ifndef GEN_H
#define GEN_H

#include "mdp3_feed.h"

/**
 * struct gen_opts - set by gen_opts_init() and gen_opts_set()
 * @feed: what the exchange sends
 * @packets: how many it sends
 * @loss_ppb: chance that feed A, B loses a packet
 * @loss_both_ppb: chance that a run of packets begins that both feeds lose
 * @loss_run: longest such run; lengths are uniform from 1
 * @spare: a packet that A and B lose independently is delivered on A after all
 * @duplicate_ppb: chance that a delivered copy comes twice on its feed
 * @reorder_ppb: chance that a delivered copy is late
 * @reorder_packets: how late at most, in packets of its feed
 * @lag_b_packets: how far B is behind A, in packets
 */
struct gen_opts {
	struct mdp3_feed_opts feed;
	uint64_t packets;
	uint32_t loss_ppb[2];
	uint32_t loss_both_ppb;
	uint32_t loss_run;
	uint32_t spare;
	uint32_t duplicate_ppb;
	uint32_t reorder_ppb;
	uint32_t reorder_packets;
	uint32_t lag_b_packets;
};

/* One option: its key, its default as text, and a line for people. */
struct gen_key {
	const char *name;
	const char *preset;
	const char *help;
};

/**
 * struct gen_packet - one datagram as it arrives
 * @data: the datagram; valid until the next gen_next()
 * @bytes: of it
 * @feed: 0 for A, 1 for B
 * @sequence: its packet sequence
 * @time_ns: time of arrival, ns since 1970, increasing
 */
struct gen_packet {
	const uint8_t *data;
	uint32_t bytes;
	uint32_t feed;
	uint32_t sequence;
	uint64_t time_ns;
};

/* Sequences that no feed delivered, both ends included. */
struct gen_range {
	uint32_t first;
	uint32_t last;
};

/**
 * struct gen_truth - what was sent and what became of it; complete once gen_next() gave 0
 * @sent: by the exchange; all books are in gen_security_at()
 * @delivered: copies by feed, duplicates included
 * @duplicated: of @delivered, second copies on the same feed
 * @late: of @delivered, copies out of their turn
 * @lost: packets by feed
 * @unique: packets delivered at least once
 * @missing_packets: packets lost on both feeds
 * @missing: those as runs, in order
 * @missing_ranges: how many runs
 * @securities: with a bid or offer entry
 */
struct gen_truth {
	struct mdp3_feed_truth sent;
	uint64_t delivered[2];
	uint64_t duplicated[2];
	uint64_t late[2];
	uint64_t lost[2];
	uint64_t unique;
	uint64_t missing_packets;
	const struct gen_range *missing;
	uint64_t missing_ranges;
	uint64_t securities;
};

struct gen;
struct gen_pcap;

/* Sets every option to its default: a clean feed. */
void gen_opts_init(struct gen_opts *opts);

/**
 * gen_opts_set() - set one option from text
 * @opts: set up by gen_opts_init()
 * @key: struct gen_key::name
 * @value: a whole number; for chances and shares a decimal fraction from 0 to 1
 *
 * Return: 0; -EINVAL, and rk_errmsg() names the key, the value and what would be right.
 */
int gen_opts_set(struct gen_opts *opts, const char *key, const char *value);

/* The options one by one, from 0; NULL beyond the last. */
const struct gen_key *gen_key_at(uint32_t index);

/**
 * gen_open() - a feed at its start
 * @out: freed by gen_close()
 * @opts: copied
 *
 * Return: 0; -EINVAL when options contradict each other; -ENOMEM.
 */
int gen_open(struct gen **out, const struct gen_opts *opts);

/**
 * gen_next() - the next datagram to arrive
 * @gen: the feed
 * @packet: set when there is one
 *
 * Return: 1; 0 at the end; -ENOMEM.
 */
int gen_next(struct gen *gen, struct gen_packet *packet);

const struct gen_truth *gen_truth(const struct gen *gen);

/* The true books one by one, from 0; NULL beyond the last. Some may never have had an entry. */
const struct mdp3_feed_security *gen_security_at(const struct gen *gen, uint32_t index);

void gen_close(struct gen *gen);

enum { GEN_FRAME_HEADER_BYTES = 42 }; /* Ethernet, IPv4, UDP */

/**
 * gen_frame() - a datagram as an Ethernet frame to its feed's multicast group
 * @packet: A goes to 224.0.31.64 port 14340, B to 224.0.32.64 port 15340
 * @frame: GEN_FRAME_HEADER_BYTES + @packet->bytes are written, checksums included
 *
 * Return: bytes written.
 */
uint32_t gen_frame(const struct gen_packet *packet, uint8_t *frame);

/**
 * gen_pcap_open() - a capture file to write to, nanosecond stamps
 * @out: freed by gen_pcap_close()
 * @path: truncated if it exists; "-" is standard output
 *
 * Return: 0; -EIO if it cannot be opened; -ENOMEM; -EOPNOTSUPP when built without libpcap.
 */
int gen_pcap_open(struct gen_pcap **out, const char *path);

void gen_pcap_write(struct gen_pcap *pcap, const struct gen_packet *packet);

/* Return: 0; -EIO if anything could not be written, also earlier. Frees @pcap either way. */
int gen_pcap_close(struct gen_pcap *pcap);

#endif
