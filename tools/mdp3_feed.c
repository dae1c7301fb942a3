// SPDX-License-Identifier: MIT
/*
 * mdp3_feed.c - makes the packets of mdp3_feed.h. Every entry first changes the true book of its
 * security and is then written as that change, so the books stay consistent by construction.
 */
#include "mdp3_feed.h"

#include "rk_error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	TICK = 2500000, /* a quarter, as a mantissa with exponent -7 */
	IMPLIED_DEPTH = 2,
	OTHER_ENTRY_BYTES = 24,
};

struct mdp3_feed {
	struct mdp3_feed_opts opts;
	struct mdp3_feed_truth truth;
	struct prng prng;
	uint64_t now_ns;
	uint32_t sequence;
	uint32_t bursting;
	uint64_t burst_interval_ns;
	uint64_t calm_interval_ns;
	uint32_t enter_burst_ppb;
	uint64_t *zipf; /* running sum of the weights of the securities */
	struct mdp3_feed_security *security;
};

uint64_t prng_next(struct prng *prng)
{
	uint64_t z = prng->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t prng_below(struct prng *prng, uint32_t below)
{
	return (uint32_t)((prng_next(prng) >> 32) * below >> 32);
}

int prng_chance(struct prng *prng, uint32_t ppb)
{
	return prng_below(prng, PPB_ONE) < ppb;
}

/* Largest integer whose square is at most @value. */
static uint64_t square_root(uint64_t value)
{
	uint64_t root = 0;

	for (uint64_t bit = 1ull << 31; bit; bit >>= 1) {
		if ((root | bit) * (root | bit) <= value)
			root |= bit;
	}
	return root;
}

/* Weight of the rank-th security: rank to the power of -halves/2, scaled by 2^31. */
static uint64_t zipf_weight(uint32_t rank, uint32_t halves)
{
	uint64_t square = 1ull << 62;

	for (uint32_t i = 0; i < halves; i++)
		square /= rank;
	return square_root(square) + 1;
}

static uint32_t pick_security(struct mdp3_feed *feed)
{
	const uint64_t total = feed->zipf[feed->opts.securities - 1];
	const uint64_t at = (uint64_t)((unsigned __int128)prng_next(&feed->prng) * total >> 64);
	uint32_t low = 0, high = feed->opts.securities - 1;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (feed->zipf[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Splits the mean rate so that share and ratio of the bursts come out as asked. */
static void set_pace(struct mdp3_feed *feed)
{
	const struct mdp3_feed_opts *opts = &feed->opts;
	const uint64_t mean_ns = 1000000000u / opts->rate_hz;
	const uint64_t share = opts->burst_packets ? opts->burst_share_ppb : 0;
	const uint64_t calm = PPB_ONE - share;
	const uint64_t weight = share + calm * opts->burst_ratio;
	uint64_t enter_ppb;

	feed->burst_interval_ns = mean_ns * PPB_ONE / weight;
	feed->calm_interval_ns = feed->burst_interval_ns * opts->burst_ratio;
	if (share && calm) {
		enter_ppb = share * (PPB_ONE / opts->burst_packets) / calm;
		feed->enter_burst_ppb = enter_ppb < PPB_ONE ? (uint32_t)enter_ppb : PPB_ONE;
	}
	feed->bursting = share && !calm;
}

int mdp3_feed_open(struct mdp3_feed **out, const struct mdp3_feed_opts *opts)
{
	struct mdp3_feed *feed = calloc(1, sizeof(*feed));
	uint64_t total = 0;

	if (feed) {
		feed->zipf = calloc(opts->securities, sizeof(*feed->zipf));
		feed->security = calloc(opts->securities, sizeof(*feed->security));
	}
	if (!feed || !feed->zipf || !feed->security) {
		mdp3_feed_close(feed);
		return rk_fail(ENOMEM, "feed of %u securities: no memory: take fewer",
			       opts->securities);
	}
	feed->opts = *opts;
	feed->prng.state = opts->seed;
	feed->now_ns = opts->start_ns;
	feed->sequence = opts->first_sequence;
	set_pace(feed);
	for (uint32_t i = 0; i < opts->securities; i++) {
		total += zipf_weight(i + 1, opts->zipf_halves);
		feed->zipf[i] = total;
		feed->security[i].id = (int32_t)(10001 + 37 * i);
		feed->security[i].middle = 4000 + prng_below(&feed->prng, 8000);
	}
	*out = feed;
	return 0;
}

void mdp3_feed_close(struct mdp3_feed *feed)
{
	if (!feed)
		return;
	free(feed->zipf);
	free(feed->security);
	free(feed);
}

const struct mdp3_feed_truth *mdp3_feed_truth(const struct mdp3_feed *feed)
{
	return &feed->truth;
}

const struct mdp3_feed_security *mdp3_feed_security_at(const struct mdp3_feed *feed, uint32_t index)
{
	return index < feed->opts.securities ? &feed->security[index] : NULL;
}

/* Books */

/* One change of one side: which action, at which 0-based level, and that level's values. */
struct change {
	uint32_t action;
	uint32_t at;
	struct mdp3_feed_level level;
};

static void pick_size(struct mdp3_feed *feed, struct mdp3_feed_level *level)
{
	level->orders = 1 + (int32_t)prng_below(&feed->prng, 1 + prng_below(&feed->prng, 40));
	level->size =
		level->orders + (int32_t)prng_below(&feed->prng, 20 * (uint32_t)level->orders);
}

/* Near the top more often than deep: the smaller of two draws. */
static uint32_t pick_near(struct mdp3_feed *feed, uint32_t below)
{
	const uint32_t a = prng_below(&feed->prng, below), b = prng_below(&feed->prng, below);

	return a < b ? a : b;
}

/* The best price that this side could bid or offer without crossing the other, in ticks. */
static int64_t best_possible(struct mdp3_feed_security *security, uint32_t index)
{
	const struct mdp3_feed_side *own = &security->side[index];
	const struct mdp3_feed_side *other = &security->side[index ^ 1];
	const int64_t away = index & 1 ? 1 : -1;

	if (other->levels)
		return other->level[0].price / TICK + away;
	if (own->levels)
		return own->level[0].price / TICK - away;
	return security->middle;
}

/* A new price near the top; where that price is there already, or lies too deep, a change. */
static void insert_price(struct mdp3_feed *feed, struct mdp3_feed_security *security,
			 uint32_t index, uint32_t depth, struct change *change)
{
	struct mdp3_feed_side *side = &security->side[index];
	const int64_t away = index & 1 ? 1 : -1;
	const int64_t ticks =
		best_possible(security, index) + away * (int64_t)pick_near(feed, depth + 2);
	uint32_t at = 0;

	while (at < side->levels && (side->level[at].price / TICK - ticks) * away < 0)
		at++;
	if (at >= depth)
		at = depth - 1;
	else if (at >= side->levels || side->level[at].price != ticks * TICK)
		change->action = MDP3_NEW;
	change->at = at;
	if (change->action == MDP3_NEW) {
		if (side->levels < depth)
			side->levels++;
		memmove(&side->level[at + 1], &side->level[at],
			(side->levels - at - 1) * sizeof(side->level[0]));
		side->level[at].price = ticks * TICK;
	}
	pick_size(feed, &side->level[at]);
	change->level = side->level[at];
}

static void remove_prices(struct mdp3_feed_side *side, uint32_t at, uint32_t count)
{
	memmove(&side->level[at], &side->level[at + count],
		(side->levels - at - count) * sizeof(side->level[0]));
	side->levels -= count;
}

static void change_side(struct mdp3_feed *feed, struct mdp3_feed_security *security, uint32_t index,
			struct change *change)
{
	const uint32_t depth = index < 2 ? MDP3_FEED_DEPTH : IMPLIED_DEPTH;
	struct mdp3_feed_side *side = &security->side[index];
	const uint32_t roll = prng_below(&feed->prng, 1000);

	/* Of a thousand: 480 changes, 280 new prices, 234 deletes, 4 from the top, 2 of the side.
	 */
	change->action = MDP3_CHANGE;
	if (!side->levels || (roll >= 480 && roll < 760)) {
		insert_price(feed, security, index, depth, change);
		return;
	}
	change->at = pick_near(feed, side->levels);
	change->level = side->level[change->at];
	if (roll < 480) {
		pick_size(feed, &side->level[change->at]);
		change->level = side->level[change->at];
	} else if (roll < 994) {
		change->action = MDP3_DELETE;
		remove_prices(side, change->at, 1);
	} else if (roll < 998) {
		change->action = MDP3_DELETE_FROM;
		remove_prices(side, 0, change->at + 1);
	} else {
		change->action = MDP3_DELETE_THRU;
		remove_prices(side, 0, side->levels);
	}
	if (!side->levels && !security->side[index ^ 1].levels)
		security->middle += (int64_t)prng_below(&feed->prng, 5) - 2;
}

static int same_best(const struct mdp3_feed_side *a, const struct mdp3_feed_side *b)
{
	if (!a->levels || !b->levels)
		return !a->levels && !b->levels;
	return a->level[0].price == b->level[0].price && a->level[0].size == b->level[0].size &&
	       a->level[0].orders == b->level[0].orders;
}

static void write_entry(struct mdp3_feed *feed, struct mdp3_feed_security *security, uint8_t *at)
{
	static const char types[MDP3_FEED_SIDES] = {'0', '1', 'E', 'F'};
	const int implied = prng_chance(&feed->prng, feed->opts.implied_ppb);
	const uint32_t index = prng_below(&feed->prng, 2) + (implied ? 2 : 0);
	const struct mdp3_feed_side before = security->side[index];
	struct change change;

	change_side(feed, security, index, &change);
	mdp3_put64(at + MDP3_ENTRY_PRICE, (uint64_t)change.level.price);
	mdp3_put32(at + MDP3_ENTRY_SIZE, (uint32_t)change.level.size);
	mdp3_put32(at + MDP3_ENTRY_SECURITY, (uint32_t)security->id);
	mdp3_put32(at + MDP3_ENTRY_RPT_SEQ, ++security->rpt_seq);
	mdp3_put32(at + MDP3_ENTRY_ORDERS, (uint32_t)change.level.orders);
	at[MDP3_ENTRY_LEVEL] = (uint8_t)(change.at + 1);
	at[MDP3_ENTRY_ACTION] = (uint8_t)change.action;
	at[MDP3_ENTRY_TYPE] = (uint8_t)types[index];
	feed->truth.entries++;
	feed->truth.entries_implied += (uint64_t)implied;
	feed->truth.actions[change.action]++;
	if (!implied) {
		security->explicit_seen = 1;
		feed->truth.best_changes += !same_best(&before, &security->side[index]);
	}
}

/* Messages */

static uint32_t write_message(struct mdp3_feed *feed, uint8_t *at, uint32_t id, uint32_t block,
			      uint32_t entry_bytes, uint32_t entries)
{
	uint32_t bytes = MDP3_MESSAGE_HEADER_BYTES + block;

	mdp3_put16(at + MDP3_MESSAGE_BLOCK, (uint16_t)block);
	mdp3_put16(at + MDP3_MESSAGE_TEMPLATE, (uint16_t)id);
	mdp3_put16(at + MDP3_MESSAGE_SCHEMA, MDP3_SCHEMA);
	mdp3_put16(at + MDP3_MESSAGE_VERSION, MDP3_VERSION);
	if (block >= MDP3_REFRESH_BLOCK_BYTES) {
		mdp3_put64(at + MDP3_MESSAGE_HEADER_BYTES, feed->now_ns);
		at[MDP3_MESSAGE_HEADER_BYTES + 8] = 0x84; /* last quote, end of event */
	}
	if (entry_bytes) {
		mdp3_put16(at + bytes, (uint16_t)entry_bytes);
		at[bytes + 2] = (uint8_t)entries;
		bytes += MDP3_GROUP_HEADER_BYTES + entry_bytes * entries;
	}
	mdp3_put16(at + MDP3_MESSAGE_SIZE, (uint16_t)bytes);
	feed->truth.messages++;
	feed->truth.templates[id]++;
	return bytes;
}

/* A book refresh of up to @room bytes, mostly of one security; at least one entry fits. */
static uint32_t write_refresh(struct mdp3_feed *feed, uint8_t *at, uint32_t room)
{
	const uint32_t front =
		MDP3_MESSAGE_HEADER_BYTES + MDP3_REFRESH_BLOCK_BYTES + MDP3_GROUP_HEADER_BYTES;
	const uint32_t fit = (room - front) / MDP3_ENTRY_BYTES;
	uint32_t entries = 1 + pick_near(feed, feed->opts.entries_max);
	uint32_t security = pick_security(feed);

	if (entries > fit)
		entries = fit;
	for (uint32_t i = 0; i < entries; i++) {
		if (i && !prng_below(&feed->prng, 4))
			security = pick_security(feed);
		write_entry(feed, &feed->security[security], at + front + i * MDP3_ENTRY_BYTES);
	}
	return write_message(feed, at, MDP3_REFRESH_BOOK, MDP3_REFRESH_BLOCK_BYTES,
			     MDP3_ENTRY_BYTES, entries);
}

static uint32_t write_reset(struct mdp3_feed *feed, uint8_t *at)
{
	for (uint32_t i = 0; i < feed->opts.securities; i++) {
		struct mdp3_feed_side *side = feed->security[i].side;

		feed->truth.best_changes += side[0].levels || side[1].levels;
		for (uint32_t j = 0; j < MDP3_FEED_SIDES; j++)
			side[j].levels = 0;
	}
	at[MDP3_MESSAGE_HEADER_BYTES + 9] = 2; /* one channel follows, of 2 bytes */
	at[MDP3_MESSAGE_HEADER_BYTES + 11] = 1;
	write_message(feed, at, MDP3_CHANNEL_RESET, 9, 2, 1);
	return MDP3_MESSAGE_HEADER_BYTES + 9 + MDP3_GROUP_HEADER_BYTES + 2;
}

static uint32_t write_other(struct mdp3_feed *feed, uint8_t *at)
{
	static const uint32_t ids[] = {MDP3_REFRESH_STATISTICS, MDP3_REFRESH_VOLUME,
				       MDP3_REFRESH_TRADES, MDP3_HEARTBEAT};
	const uint32_t id = ids[prng_below(&feed->prng, 4)];

	if (id == MDP3_HEARTBEAT)
		return write_message(feed, at, id, 0, 0, 0);
	return write_message(feed, at, id, MDP3_REFRESH_BLOCK_BYTES, OTHER_ENTRY_BYTES,
			     1 + prng_below(&feed->prng, 2));
}

/* On-off Markov chain: a packet in a burst ends it, and one outside begins it, by chance. */
static void advance_clock(struct mdp3_feed *feed)
{
	const uint64_t mean_ns = feed->bursting ? feed->burst_interval_ns : feed->calm_interval_ns;

	feed->now_ns += 1 + mean_ns / 2 + prng_next(&feed->prng) % (mean_ns + 1);
	if (!feed->enter_burst_ppb)
		return;
	if (feed->bursting)
		feed->bursting = !prng_chance(&feed->prng, PPB_ONE / feed->opts.burst_packets);
	else
		feed->bursting = (uint32_t)prng_chance(&feed->prng, feed->enter_burst_ppb);
}

void mdp3_feed_next(struct mdp3_feed *feed, struct mdp3_packet *packet)
{
	const uint32_t smallest = MDP3_MESSAGE_HEADER_BYTES + MDP3_REFRESH_BLOCK_BYTES +
				  MDP3_GROUP_HEADER_BYTES + 2 * MDP3_ENTRY_BYTES;
	uint32_t messages = 1 + pick_near(feed, feed->opts.messages_max);
	uint32_t bytes = MDP3_PACKET_HEADER_BYTES;

	memset(packet, 0, sizeof(*packet));
	packet->sequence = feed->sequence++;
	packet->time_ns = feed->now_ns;
	mdp3_put32(packet->data + MDP3_PACKET_SEQUENCE, packet->sequence);
	mdp3_put64(packet->data + MDP3_PACKET_TIME, packet->time_ns);
	while (messages-- && bytes + smallest <= MDP3_FEED_PACKET_BYTES) {
		uint8_t *at = packet->data + bytes;

		if (prng_chance(&feed->prng, feed->opts.reset_ppb))
			bytes += write_reset(feed, at);
		else if (prng_chance(&feed->prng, feed->opts.other_ppb))
			bytes += write_other(feed, at);
		else
			bytes += write_refresh(feed, at, MDP3_FEED_PACKET_BYTES - bytes);
	}
	packet->bytes = bytes;
	feed->truth.packets++;
	advance_clock(feed);
}
