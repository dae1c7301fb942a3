// SPDX-License-Identifier: MIT
/*
 * gen.c - options and delivery of gen.h.
 *
 * Delivery runs in turns, one for each packet that the exchange sends. A copy leaves in the turn
 * of its packet, or some turns later if it lags or is late; until then it waits in the list of its
 * turn. Within a turn the packet's own copies leave first, so a copy that is d turns late has been
 * overtaken by d packets.
 */
#include "gen.h"

#include "rk_error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options */

enum kind { WHOLE32, WHOLE64, FRACTION, HALVES };

struct option {
	struct gen_key key;
	enum kind kind;
	size_t offset;
	uint64_t min;
	uint64_t max;
};

#define OPTION(key, preset, kind, field, min, max, help)                              \
	{                                                                             \
		{key, preset, help}, kind, offsetof(struct gen_opts, field), min, max \
	}

static const struct option options[] = {
	OPTION("seed", "1", WHOLE64, feed.seed, 0, UINT64_MAX, "of everything"),
	OPTION("packets", "100000", WHOLE64, packets, 2, UINT32_MAX, "that the exchange sends"),
	OPTION("first_sequence", "1", WHOLE32, feed.first_sequence, 1, UINT32_MAX,
	       "of the first packet"),
	OPTION("start_ns", "1700000000000000000", WHOLE64, feed.start_ns, 0, INT64_MAX,
	       "time of the first packet, ns since 1970"),
	OPTION("rate", "100000", WHOLE32, feed.rate_hz, 1, 100000000, "packets a second, mean"),
	OPTION("securities", "200", WHOLE32, feed.securities, 1, MDP3_FEED_SECURITIES_MAX,
	       "with a book"),
	OPTION("zipf", "1.0", HALVES, feed.zipf_halves, 0, 4,
	       "exponent of their distribution: 0, 0.5, 1, 1.5 or 2"),
	OPTION("burst_ratio", "10", WHOLE32, feed.burst_ratio, 1, 10000,
	       "rate within bursts over the rate outside"),
	OPTION("burst_packets", "50", WHOLE32, feed.burst_packets, 0, 1000000,
	       "mean length of a burst, 0 for none"),
	OPTION("burst_share", "0.5", FRACTION, feed.burst_share_ppb, 0, PPB_ONE,
	       "share of packets that are in bursts"),
	OPTION("messages", "4", WHOLE32, feed.messages_max, 1, 64, "in a packet, at most"),
	OPTION("entries", "4", WHOLE32, feed.entries_max, 1, 40,
	       "of the book in a message, at most"),
	OPTION("implied", "0.3", FRACTION, feed.implied_ppb, 0, PPB_ONE,
	       "share of entries that are of implied books"),
	OPTION("other", "0.05", FRACTION, feed.other_ppb, 0, PPB_ONE,
	       "share of messages that are of other templates"),
	OPTION("reset", "0", FRACTION, feed.reset_ppb, 0, PPB_ONE,
	       "share of messages that are channel resets"),
	OPTION("loss_a", "0", FRACTION, loss_ppb[0], 0, PPB_ONE, "share of packets that A loses"),
	OPTION("loss_b", "0", FRACTION, loss_ppb[1], 0, PPB_ONE, "share of packets that B loses"),
	OPTION("loss_both", "0", FRACTION, loss_both_ppb, 0, PPB_ONE,
	       "chance that a run begins that both feeds lose"),
	OPTION("loss_run", "1", WHOLE32, loss_run, 1, 100000, "longest such run, in packets"),
	OPTION("spare", "0", WHOLE32, spare, 0, 1,
	       "1: A delivers what A and B would lose by loss_a and loss_b"),
	OPTION("duplicate", "0", FRACTION, duplicate_ppb, 0, PPB_ONE,
	       "share of copies that come twice on their feed"),
	OPTION("reorder", "0", FRACTION, reorder_ppb, 0, PPB_ONE, "share of copies that are late"),
	OPTION("reorder_packets", "8", WHOLE32, reorder_packets, 1, 4096,
	       "how late at most, in packets"),
	OPTION("lag_b", "0", WHOLE32, lag_b_packets, 0, 4096, "packets that B is behind A"),
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

/* @text as a decimal number times @unit, which is 1 (no fraction then) or a power of ten. */
static int parse_decimal(const char *text, uint64_t unit, uint64_t *value)
{
	const uint64_t whole_unit = unit;
	uint64_t scaled;
	int point = 0;

	*value = 0;
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	for (; *text; text++) {
		if (*text == '.' && !point && whole_unit > 1) {
			point = 1;
			continue;
		}
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		if (point) {
			unit /= 10;
			if (!unit)
				return -EINVAL;
			scaled = (uint64_t)(*text - '0') * unit;
		} else {
			if (__builtin_mul_overflow(*value, 10u, value) ||
			    __builtin_mul_overflow((uint64_t)(*text - '0'), unit, &scaled))
				return -EINVAL;
		}
		if (__builtin_add_overflow(*value, scaled, value))
			return -EINVAL;
	}
	return 0;
}

static int set_option(struct gen_opts *opts, const struct option *option, const char *text)
{
	const int whole = option->kind == WHOLE32 || option->kind == WHOLE64;
	char *field = (char *)opts + option->offset;
	uint64_t value;
	uint32_t narrow;
	int result = parse_decimal(text, whole ? 1 : PPB_ONE, &value);

	if (!result && option->kind == HALVES) {
		result = value % (PPB_ONE / 2) ? -EINVAL : 0;
		value /= PPB_ONE / 2;
	}
	if (result || value < option->min || value > option->max) {
		if (option->kind == FRACTION)
			return rk_fail(EINVAL,
				       "gen option '%s': '%s': give a fraction, 0 to 1, of up "
				       "to 9 decimals",
				       option->key.name, text);
		if (option->kind == HALVES)
			return rk_fail(EINVAL, "gen option '%s': '%s': give 0, 0.5, 1, 1.5 or 2",
				       option->key.name, text);
		return rk_fail(EINVAL, "gen option '%s': '%s': give a whole number, %llu to %llu",
			       option->key.name, text, (unsigned long long)option->min,
			       (unsigned long long)option->max);
	}
	if (option->kind == WHOLE64) {
		memcpy(field, &value, sizeof(value));
	} else {
		narrow = (uint32_t)value;
		memcpy(field, &narrow, sizeof(narrow));
	}
	return 0;
}

int gen_opts_set(struct gen_opts *opts, const char *key, const char *value)
{
	char names[400] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < OPTIONS; i++) {
		if (!strcmp(options[i].key.name, key))
			return set_option(opts, &options[i], value);
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
					 options[i].key.name);
	}
	return rk_fail(EINVAL, "gen option '%s': not known: take one of %s", key, names);
}

void gen_opts_init(struct gen_opts *opts)
{
	memset(opts, 0, sizeof(*opts));
	for (uint32_t i = 0; i < OPTIONS; i++)
		set_option(opts, &options[i], options[i].key.preset);
}

const struct gen_key *gen_key_at(uint32_t index)
{
	return index < OPTIONS ? &options[index].key : NULL;
}

/* Delivery */

enum {
	WIRE_NS = 20000, /* from the exchange to feed A */
	FEED_NS = 300,	 /* from A's copy to B's, at least */
	FLUSH_STEP_NS = 1000,
	NONE = -1,
};

/* A copy on its way. */
struct copy {
	uint64_t turn; /* of its packet */
	int32_t next;  /* in the list of the turn in which it leaves */
	uint32_t feed;
};

struct gen {
	struct gen_opts opts;
	struct gen_truth truth;
	struct mdp3_feed *feed;
	struct prng prng;	 /* of delivery alone */
	uint64_t turn;		 /* the next one */
	uint64_t turns;		 /* span of the lists and of @packet */
	uint64_t turn_ns;	 /* sending time of the latest turn */
	uint64_t arrived_ns;	 /* of the latest copy */
	uint64_t both_lost_left; /* of the run that both feeds lose now */
	int32_t leaving;	 /* list that is leaving now */
	int32_t unused;		 /* list of free copies */
	int32_t *list;		 /* by turn mod @turns */
	struct copy *copy;
	struct mdp3_packet *packet; /* by turn mod @turns */
	struct gen_range *missing;
	uint64_t missing_room;
};

int gen_open(struct gen **out, const struct gen_opts *opts)
{
	struct gen *gen;
	uint64_t copies;
	int result;

	if (opts->packets - 1 > UINT32_MAX - opts->feed.first_sequence)
		return rk_fail(EINVAL,
			       "gen: sequences from %u for %llu packets: pass 2^32: take a "
			       "lower first_sequence or fewer packets",
			       opts->feed.first_sequence, (unsigned long long)opts->packets);
	gen = calloc(1, sizeof(*gen));
	if (!gen)
		return rk_fail(ENOMEM, "gen: no memory");
	gen->opts = *opts;
	/* A copy waits lag + late turns, and a second one leaves a turn after that. */
	gen->turns = (uint64_t)opts->lag_b_packets + opts->reorder_packets + 2;
	copies = 4 * (gen->turns + 1);
	gen->list = malloc(gen->turns * sizeof(*gen->list));
	gen->copy = malloc(copies * sizeof(*gen->copy));
	gen->packet = malloc(gen->turns * sizeof(*gen->packet));
	result = mdp3_feed_open(&gen->feed, &opts->feed);
	if (!result && (!gen->list || !gen->copy || !gen->packet))
		result = rk_fail(ENOMEM,
				 "gen: %llu packets under way: no memory: lower "
				 "reorder_packets or lag_b",
				 (unsigned long long)gen->turns);
	if (result) {
		gen_close(gen);
		return result;
	}
	gen->prng.state = ~opts->feed.seed;
	gen->leaving = NONE;
	for (uint64_t i = 0; i < gen->turns; i++)
		gen->list[i] = NONE;
	for (uint64_t i = 0; i < copies; i++)
		gen->copy[i].next = i + 1 < copies ? (int32_t)(i + 1) : NONE;
	*out = gen;
	return 0;
}

void gen_close(struct gen *gen)
{
	if (!gen)
		return;
	mdp3_feed_close(gen->feed);
	free(gen->list);
	free(gen->copy);
	free(gen->packet);
	free(gen->missing);
	free(gen);
}

static void put_copy(struct gen *gen, uint32_t feed, uint64_t after)
{
	int32_t *list = &gen->list[(gen->turn + after) % gen->turns];
	const int32_t taken = gen->unused;

	gen->unused = gen->copy[taken].next;
	gen->copy[taken].turn = gen->turn;
	gen->copy[taken].feed = feed;
	gen->copy[taken].next = *list;
	*list = taken;
	gen->truth.delivered[feed]++;
}

static void deliver(struct gen *gen, uint32_t feed, int in_turn)
{
	uint64_t after = feed ? gen->opts.lag_b_packets : 0;

	if (prng_chance(&gen->prng, gen->opts.reorder_ppb) && !in_turn) {
		after += 1 + prng_below(&gen->prng, gen->opts.reorder_packets);
		gen->truth.late[feed]++;
	}
	if (prng_chance(&gen->prng, gen->opts.duplicate_ppb)) {
		put_copy(gen, feed, after + 1);
		gen->truth.duplicated[feed]++;
	}
	put_copy(gen, feed, after);
}

static int note_missing(struct gen *gen, uint32_t sequence)
{
	struct gen_truth *truth = &gen->truth;
	struct gen_range *grown;

	truth->missing_packets++;
	if (truth->missing_ranges && gen->missing[truth->missing_ranges - 1].last == sequence - 1) {
		gen->missing[truth->missing_ranges - 1].last = sequence;
		return 0;
	}
	if (truth->missing_ranges == gen->missing_room) {
		gen->missing_room = 2 * gen->missing_room + 64;
		grown = realloc(gen->missing, gen->missing_room * sizeof(*grown));
		if (!grown)
			return rk_fail(ENOMEM,
				       "gen: %llu missing ranges: no memory: lower the "
				       "losses",
				       (unsigned long long)truth->missing_ranges);
		gen->missing = grown;
		truth->missing = grown;
	}
	gen->missing[truth->missing_ranges].first = sequence;
	gen->missing[truth->missing_ranges++].last = sequence;
	return 0;
}

/* Decides which feeds lose the packet of this turn. */
static void draw_losses(struct gen *gen, int lost[2])
{
	lost[0] = prng_chance(&gen->prng, gen->opts.loss_ppb[0]);
	lost[1] = prng_chance(&gen->prng, gen->opts.loss_ppb[1]);
	if (gen->opts.spare && lost[1])
		lost[0] = 0;
	if (prng_chance(&gen->prng, gen->opts.loss_both_ppb) && !gen->both_lost_left)
		gen->both_lost_left = 1 + prng_below(&gen->prng, gen->opts.loss_run);
	if (gen->both_lost_left) {
		gen->both_lost_left--;
		lost[0] = lost[1] = 1;
	}
}

/* The exchange sends a packet; its copies take their places, feed A's before B's. */
static int take_turn(struct gen *gen)
{
	struct mdp3_packet *packet = &gen->packet[gen->turn % gen->turns];
	const int edge = gen->turn == 0 || gen->turn + 1 == gen->opts.packets;
	int lost[2];

	mdp3_feed_next(gen->feed, packet);
	gen->turn_ns = packet->time_ns;
	draw_losses(gen, lost);
	if (edge)
		lost[0] = 0;
	for (uint32_t feed = 2; feed--;) {
		gen->truth.lost[feed] += (uint64_t)lost[feed];
		if (!lost[feed])
			deliver(gen, feed, edge);
	}
	if (lost[0] && lost[1])
		return note_missing(gen, packet->sequence);
	gen->truth.unique++;
	return 0;
}

static void complete_truth(struct gen *gen)
{
	gen->truth.sent = *mdp3_feed_truth(gen->feed);
	gen->truth.securities = 0;
	for (uint32_t i = 0; i < gen->opts.feed.securities; i++)
		gen->truth.securities += mdp3_feed_security_at(gen->feed, i)->explicit_seen;
}

int gen_next(struct gen *gen, struct gen_packet *packet)
{
	const struct mdp3_packet *sent;
	struct copy *copy;
	int32_t left;
	int result;

	while (gen->leaving == NONE) {
		if (gen->turn < gen->opts.packets) {
			result = take_turn(gen);
			if (result)
				return result;
		} else if (gen->turn < gen->opts.packets + gen->turns) {
			gen->turn_ns += FLUSH_STEP_NS;
		} else {
			complete_truth(gen);
			return 0;
		}
		gen->leaving = gen->list[gen->turn % gen->turns];
		gen->list[gen->turn % gen->turns] = NONE;
		gen->turn++;
	}
	left = gen->leaving;
	copy = &gen->copy[left];
	sent = &gen->packet[copy->turn % gen->turns];
	gen->leaving = copy->next;
	copy->next = gen->unused;
	gen->unused = left;

	gen->arrived_ns++;
	if (gen->arrived_ns < gen->turn_ns + WIRE_NS + copy->feed * FEED_NS)
		gen->arrived_ns = gen->turn_ns + WIRE_NS + copy->feed * FEED_NS;
	packet->data = sent->data;
	packet->bytes = sent->bytes;
	packet->feed = copy->feed;
	packet->sequence = sent->sequence;
	packet->time_ns = gen->arrived_ns;
	return 1;
}

const struct gen_truth *gen_truth(const struct gen *gen)
{
	return &gen->truth;
}

const struct mdp3_feed_security *gen_security_at(const struct gen *gen, uint32_t index)
{
	return mdp3_feed_security_at(gen->feed, index);
}
