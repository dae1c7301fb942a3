// SPDX-License-Identifier: MIT
/*
 * mdp3_book.c - the handler of mdp3_book.h: arbitration of feeds A and B above, books below.
 * Every loop is bounded by the window, the depth, the table or the bytes of a packet.
 */
#include "mdp3_book.h"
#include "mdp3_wire.h"

RK_STATIC_ASSERT((int)RK_MDP3_TEMPLATES == (int)MDP3_TEMPLATES, "one counter for each template id");

#define ALL_LEVELS     ((1u << RK_MDP3_DEPTH) - 1)
#define IMPLIED_LEVELS ((1u << RK_MDP3_IMPLIED_DEPTH) - 1)

/* Where the parts of one message lie within its packet; entries only of template 32. */
struct message {
	const uint8_t *at;
	uint32_t bytes;
	uint32_t id; /* template */
	const uint8_t *entry;
	uint32_t entries;
	uint32_t entry_bytes;
};

/* Template ids of schema version 6, one bit each. */
static RK_DEVICE int is_known(uint32_t id)
{
	const uint64_t known = 1ull << 4 | 1ull << 12 | 1ull << 15 | 1ull << 16 | 1ull << 27 |
			       1ull << 29 | 1ull << 30 | 1ull << 32 | 1ull << 33 | 1ull << 34 |
			       1ull << 35 | 1ull << 36 | 1ull << 37 | 1ull << 38 | 1ull << 39 |
			       1ull << 41 | 1ull << 42;

	return id < MDP3_TEMPLATES && (known >> id & 1);
}

static RK_DEVICE void send(struct rk_ctx *ctx, struct rk_mdp3_state *s, uint16_t type, uint32_t tag,
			   const void *payload, uint32_t bytes)
{
	if (!rk_send(ctx, 0, type, tag, payload, bytes))
		s->counters.sends_dropped++;
}

/* Books */

/* The security of an entry, made at its first; NULL when the table is full. */
static RK_DEVICE struct rk_mdp3_security *find_security(struct rk_mdp3_state *s, int32_t id,
							uint32_t rpt_seq)
{
	const int known_empty = s->reset_epoch == s->epoch + 1 || rpt_seq == 1;
	uint32_t bucket = ((uint32_t)id * 2654435761u) >> 16;
	struct rk_mdp3_security *security;

	for (uint32_t i = 0; i < RK_MDP3_BUCKETS; i++, bucket++) {
		const uint32_t found = s->bucket[bucket % RK_MDP3_BUCKETS];

		if (!found)
			break;
		if (s->security[found - 1].id == id)
			return &s->security[found - 1];
	}
	if (s->counters.securities_tracked >= RK_MDP3_SECURITIES)
		return NULL;

	/* Half of the buckets are always free, so the loop ended at a free one. */
	security = &s->security[s->counters.securities_tracked++];
	s->bucket[bucket % RK_MDP3_BUCKETS] = (uint16_t)s->counters.securities_tracked;
	security->id = id;
	security->rpt_seq = rpt_seq;
	security->epoch = s->epoch;
	for (uint32_t i = 0; i < RK_MDP3_SIDES; i++)
		security->side[i].proven = known_empty ? ALL_LEVELS : 0;
	return security;
}

/* Lifts the doubt that a gap cast, or drops the proofs of all levels. */
static RK_DEVICE void settle_doubt(const struct rk_mdp3_state *s, struct rk_mdp3_security *security,
				   uint32_t rpt_seq)
{
	if (security->epoch != s->epoch && rpt_seq != security->rpt_seq + 1) {
		for (uint32_t i = 0; i < RK_MDP3_SIDES; i++)
			security->side[i].proven = 0;
	}
	security->epoch = s->epoch;
	security->rpt_seq = rpt_seq;
}

static RK_DEVICE void insert_level(struct rk_mdp3_side *side, uint32_t at)
{
	const uint32_t above = (1u << at) - 1;

	for (uint32_t i = RK_MDP3_DEPTH - 1; i > at; i--)
		side->level[i] = side->level[i - 1];
	side->present = ((side->present & ~above) << 1 | (side->present & above)) & ALL_LEVELS;
	side->proven = ((side->proven & ~above) << 1 | (side->proven & above)) & ALL_LEVELS;
}

/* Removes @count levels from @at on; the bottom ones are then known to be empty. */
static RK_DEVICE void remove_levels(struct rk_mdp3_side *side, uint32_t at, uint32_t count)
{
	const uint32_t above = (1u << at) - 1;
	const uint32_t emptied = ALL_LEVELS & ~(ALL_LEVELS >> count);

	for (uint32_t i = at; i + count < RK_MDP3_DEPTH; i++)
		side->level[i] = side->level[i + count];
	side->present = (side->present >> count & ~above) | (side->present & above);
	side->proven = (side->proven >> count & ~above) | (side->proven & above) | emptied;
}

static RK_DEVICE void change_side(struct rk_mdp3_side *side, const uint8_t *entry)
{
	const uint32_t at = entry[MDP3_ENTRY_LEVEL] - 1u;

	switch (entry[MDP3_ENTRY_ACTION]) {
	case MDP3_DELETE:
		remove_levels(side, at, 1);
		return;
	case MDP3_DELETE_THRU:
		remove_levels(side, 0, RK_MDP3_DEPTH);
		return;
	case MDP3_DELETE_FROM:
		remove_levels(side, 0, at + 1);
		return;
	case MDP3_NEW:
		insert_level(side, at);
		break;
	default: /* MDP3_CHANGE: the check let no other through */
		break;
	}
	side->level[at].price = (int64_t)mdp3_get64(entry + MDP3_ENTRY_PRICE);
	side->level[at].size = (int32_t)mdp3_get32(entry + MDP3_ENTRY_SIZE);
	side->level[at].orders = (int32_t)mdp3_get32(entry + MDP3_ENTRY_ORDERS);
	side->present |= 1u << at;
	side->proven |= 1u << at;
}

/* Sends the best bid and offer if they differ from @before, values or flags. */
static RK_DEVICE void report_best(struct rk_ctx *ctx, struct rk_mdp3_state *s,
				  const struct rk_mdp3_security *security,
				  const struct rk_mdp3_bbo *before, uint32_t more)
{
	const uint32_t bid_flags = RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_BID_STALE;
	const uint32_t offer_flags = RK_MDP3_BBO_F_OFFER | RK_MDP3_BBO_F_OFFER_STALE;
	struct rk_mdp3_bbo now;
	uint32_t changed = 0;

	rk_mdp3_best(security, &now);
	if (now.bid_price != before->bid_price || now.bid_size != before->bid_size ||
	    now.bid_orders != before->bid_orders || ((now.flags ^ before->flags) & bid_flags))
		changed |= RK_MDP3_BBO_F_BID_CHANGED;
	if (now.offer_price != before->offer_price || now.offer_size != before->offer_size ||
	    now.offer_orders != before->offer_orders || ((now.flags ^ before->flags) & offer_flags))
		changed |= RK_MDP3_BBO_F_OFFER_CHANGED;
	if (!changed)
		return;
	now.flags |= changed | (more ? (uint32_t)RK_MDP3_BBO_F_MORE : 0);
	s->counters.bbo_updates++;
	send(ctx, s, RK_MDP3_BBO, s->applying, &now, sizeof(now));
}

static RK_DEVICE uint32_t side_index(uint8_t type)
{
	switch (type) {
	case '0':
		return RK_MDP3_BID;
	case '1':
		return RK_MDP3_OFFER;
	case 'E':
		return RK_MDP3_IMPLIED_BID;
	case 'F':
		return RK_MDP3_IMPLIED_OFFER;
	default:
		return RK_MDP3_SIDES;
	}
}

static RK_DEVICE void apply_entry(struct rk_ctx *ctx, struct rk_mdp3_state *s, const uint8_t *entry,
				  uint32_t more)
{
	const uint32_t side = side_index(entry[MDP3_ENTRY_TYPE]);
	const uint32_t rpt_seq = mdp3_get32(entry + MDP3_ENTRY_RPT_SEQ);
	struct rk_mdp3_security *security;
	struct rk_mdp3_bbo before;
	int may_change;

	s->counters.entries++;
	s->counters.entries_implied += side >= RK_MDP3_IMPLIED_BID;
	security = find_security(s, (int32_t)mdp3_get32(entry + MDP3_ENTRY_SECURITY), rpt_seq);
	if (!security) {
		s->counters.entries_untracked++;
		return;
	}
	s->books_empty = 0;
	/* An implied entry leaves the best as it is, unless it settles a doubt. */
	may_change = side < RK_MDP3_IMPLIED_BID || security->epoch != s->epoch;
	if (may_change)
		rk_mdp3_best(security, &before);
	settle_doubt(s, security, rpt_seq);
	change_side(&security->side[side], entry);
	if (side >= RK_MDP3_IMPLIED_BID) {
		security->side[side].present &= IMPLIED_LEVELS;
	} else if (!security->has_explicit) {
		security->has_explicit = 1;
		s->counters.securities++;
	}
	if (may_change)
		report_best(ctx, s, security, &before, more);
}

static RK_DEVICE void reset_books(struct rk_ctx *ctx, struct rk_mdp3_state *s)
{
	s->reset_epoch = s->epoch + 1;
	if (s->books_empty)
		return;
	for (uint32_t i = 0; i < s->counters.securities_tracked; i++) {
		struct rk_mdp3_security *security = &s->security[i];
		struct rk_mdp3_bbo before;

		rk_mdp3_best(security, &before);
		security->epoch = s->epoch;
		for (uint32_t j = 0; j < RK_MDP3_SIDES; j++) {
			security->side[j].present = 0;
			security->side[j].proven = ALL_LEVELS;
		}
		report_best(ctx, s, security, &before, 0);
	}
	s->books_empty = 1;
}

/* Packets */

/* Finds the message at @at; whatever it says, nothing of @message lies beyond @left bytes. */
static RK_DEVICE uint32_t read_message(const uint8_t *at, uint32_t left, struct message *message)
{
	uint32_t block, front;

	if (left < MDP3_MESSAGE_HEADER_BYTES)
		return RK_MDP3_SIZE;
	message->at = at;
	message->bytes = mdp3_get16(at + MDP3_MESSAGE_SIZE);
	message->id = mdp3_get16(at + MDP3_MESSAGE_TEMPLATE);
	message->entry = at;
	message->entries = 0;
	message->entry_bytes = 0;
	if (message->bytes < MDP3_MESSAGE_HEADER_BYTES || message->bytes > left)
		return RK_MDP3_SIZE;
	if (mdp3_get16(at + MDP3_MESSAGE_SCHEMA) != MDP3_SCHEMA ||
	    mdp3_get16(at + MDP3_MESSAGE_VERSION) < MDP3_VERSION)
		return RK_MDP3_SCHEMA;
	block = mdp3_get16(at + MDP3_MESSAGE_BLOCK);
	if (block > message->bytes - MDP3_MESSAGE_HEADER_BYTES)
		return RK_MDP3_GROUP;
	if (message->id != MDP3_REFRESH_BOOK)
		return RK_MDP3_GOOD;

	front = MDP3_MESSAGE_HEADER_BYTES + block + MDP3_GROUP_HEADER_BYTES;
	if (block < MDP3_REFRESH_BLOCK_BYTES || front > message->bytes)
		return RK_MDP3_GROUP;
	message->entry = at + front;
	message->entry_bytes = mdp3_get16(at + front - MDP3_GROUP_HEADER_BYTES);
	message->entries = at[front - 1];
	if (message->entry_bytes < MDP3_ENTRY_BYTES ||
	    message->entries * message->entry_bytes > message->bytes - front)
		return RK_MDP3_GROUP;
	return RK_MDP3_GOOD;
}

static RK_DEVICE uint32_t check_entries(const struct message *message)
{
	for (uint32_t i = 0; i < message->entries; i++) {
		const uint8_t *entry = message->entry + i * message->entry_bytes;

		if (entry[MDP3_ENTRY_ACTION] >= MDP3_ACTIONS)
			return RK_MDP3_ACTION;
		if (!entry[MDP3_ENTRY_LEVEL] || entry[MDP3_ENTRY_LEVEL] > RK_MDP3_DEPTH)
			return RK_MDP3_LEVEL;
		if (side_index(entry[MDP3_ENTRY_TYPE]) == RK_MDP3_SIDES)
			return RK_MDP3_TYPE;
	}
	return RK_MDP3_GOOD;
}

static RK_DEVICE uint32_t check_packet(const uint8_t *data, uint32_t bytes)
{
	uint32_t at = MDP3_PACKET_HEADER_BYTES;
	struct message message;

	while (at < bytes) {
		uint32_t fault = read_message(data + at, bytes - at, &message);

		if (!fault)
			fault = check_entries(&message);
		if (fault)
			return fault;
		at += message.bytes;
	}
	return RK_MDP3_GOOD;
}

/* Applies the packet that is due; it has passed check_packet(). */
static RK_DEVICE void apply_packet(struct rk_ctx *ctx, struct rk_mdp3_state *s, const uint8_t *data,
				   uint32_t bytes)
{
	uint32_t at = MDP3_PACKET_HEADER_BYTES;
	struct message message;

	s->applying = s->next++;
	s->counters.unique++;
	while (at < bytes && !read_message(data + at, bytes - at, &message)) {
		s->counters.messages++;
		s->counters.templates[is_known(message.id) ? message.id : 0]++;
		for (uint32_t i = 0; i < message.entries; i++)
			apply_entry(ctx, s, message.entry + i * message.entry_bytes,
				    i + 1 < message.entries);
		if (message.id == MDP3_CHANNEL_RESET)
			reset_books(ctx, s);
		at += message.bytes;
	}
}

static RK_DEVICE struct rk_mdp3_held *held_at(struct rk_mdp3_state *s, uint32_t sequence)
{
	return &s->held[sequence % RK_MDP3_WINDOW_MAX];
}

/* Applies what waits from the sequence due on, up to the next hole. */
static RK_DEVICE void apply_held(struct rk_ctx *ctx, struct rk_mdp3_state *s)
{
	const uint64_t before = s->counters.held;
	uint64_t since_ns = UINT64_MAX;

	while (s->counters.held && held_at(s, s->next)->bytes) {
		struct rk_mdp3_held *held = held_at(s, s->next);

		apply_packet(ctx, s, held->data, held->bytes);
		held->bytes = 0;
		s->counters.held--;
	}
	if (!s->counters.held || s->counters.held == before)
		return;
	for (uint32_t i = 1; i < s->window_packets; i++) {
		const struct rk_mdp3_held *held = held_at(s, s->next + i);

		if (held->bytes && held->time_ns < since_ns)
			since_ns = held->time_ns;
	}
	s->held_since_ns = since_ns;
}

/* Gives up the hole before the first packet that waits, or before @sequence if none does. */
static RK_DEVICE void give_up_hole(struct rk_ctx *ctx, struct rk_mdp3_state *s, uint32_t sequence,
				   uint64_t time_ns)
{
	struct rk_mdp3_gap gap;

	gap.first = s->next;
	gap.time_ns = time_ns;
	if (s->counters.held) {
		sequence = s->next + 1;
		for (uint32_t i = 1; i < s->window_packets && !held_at(s, sequence)->bytes; i++)
			sequence++;
	}
	gap.last = sequence - 1;
	s->counters.gaps++;
	s->counters.packets_missing += sequence - s->next;
	s->epoch++;
	s->books_empty = 0; /* not known any more: the reset was before the gap */
	s->next = sequence;
	send(ctx, s, RK_MDP3_GAP, gap.first, &gap, sizeof(gap));
	apply_held(ctx, s);
}

static RK_DEVICE void hold_packet(struct rk_mdp3_state *s, uint32_t sequence, uint64_t time_ns,
				  const uint8_t *data, uint32_t bytes)
{
	struct rk_mdp3_held *held = held_at(s, sequence);

	if (!s->counters.held)
		s->held_since_ns = time_ns;
	s->counters.held++;
	held->time_ns = time_ns;
	held->bytes = bytes;
	for (uint32_t i = 0; i < bytes; i++)
		held->data[i] = data[i];
}

/* Takes a good packet that is due or ahead. */
static RK_DEVICE void accept_packet(struct rk_ctx *ctx, struct rk_mdp3_state *s, uint32_t sequence,
				    uint64_t time_ns, const uint8_t *data, uint32_t bytes)
{
	/* Each turn gives up to this packet at once or applies one that waits. */
	while (sequence - s->next >= s->window_packets && sequence != s->next)
		give_up_hole(ctx, s, sequence, time_ns);
	if (sequence != s->next) {
		hold_packet(s, sequence, time_ns, data, bytes);
		return;
	}
	apply_packet(ctx, s, data, bytes);
	apply_held(ctx, s);
}

static RK_DEVICE int is_duplicate(struct rk_mdp3_state *s, uint32_t sequence)
{
	const uint32_t ahead = sequence - s->next;

	if (!s->started)
		return 0;
	return ahead > INT32_MAX || (ahead < s->window_packets && held_at(s, sequence)->bytes);
}

static RK_DEVICE void handle_packet(struct rk_ctx *ctx, struct rk_mdp3_state *s,
				    const struct rk_msg *msg)
{
	const uint8_t *front = rk_msg_payload(msg), *data = front + sizeof(struct rk_packet);
	const uint32_t room = rk_msg_payload_bytes(msg);
	uint32_t bytes = 0, fault = RK_MDP3_GOOD, sequence, feed;
	uint64_t time_ns;

	s->counters.packets++;
	if (room >= sizeof(struct rk_packet)) {
		bytes = mdp3_get32(front + offsetof(struct rk_packet, bytes));
		s->counters.source_dropped +=
			mdp3_get16(front + offsetof(struct rk_packet, dropped));
	}
	if (bytes < MDP3_PACKET_HEADER_BYTES || bytes > room - sizeof(struct rk_packet))
		fault = RK_MDP3_SHORT;
	else if (bytes > RK_MDP3_PACKET_BYTES)
		fault = RK_MDP3_LONG;
	if (fault) {
		s->counters.malformed[RK_MDP3_GOOD]++;
		s->counters.malformed[fault]++;
		return;
	}

	sequence = mdp3_get32(data + MDP3_PACKET_SEQUENCE);
	time_ns = mdp3_get64(front + offsetof(struct rk_packet, rx_time_ns));
	if (!time_ns)
		time_ns = mdp3_get64(data + MDP3_PACKET_TIME);
	if (is_duplicate(s, sequence)) {
		feed = mdp3_get16(front + offsetof(struct rk_packet, feed));
		s->counters.duplicates[feed < 2 ? feed : 2]++;
	} else {
		fault = check_packet(data, bytes);
		if (fault) {
			s->counters.malformed[RK_MDP3_GOOD]++;
			s->counters.malformed[fault]++;
			return;
		}
		if (!s->started) {
			s->next = sequence;
			s->started = 1;
		}
		accept_packet(ctx, s, sequence, time_ns, data, bytes);
	}
	while (s->counters.held && time_ns > s->held_since_ns &&
	       time_ns - s->held_since_ns > s->gap_ns)
		give_up_hole(ctx, s, s->next, time_ns);
}

static RK_DEVICE uint64_t argument(const struct rk_msg *msg, uint32_t index)
{
	if (rk_msg_payload_bytes(msg) < (index + 1) * 8)
		return 0;
	return mdp3_get64(rk_msg_payload(msg) + index * 8);
}

static RK_DEVICE void start(struct rk_mdp3_state *s, const struct rk_msg *msg)
{
	const uint64_t window_packets = argument(msg, 0), gap_ns = argument(msg, 1);
	const uint64_t first_sequence = argument(msg, 2);

	s->window_packets = RK_MDP3_WINDOW_DEFAULT;
	s->gap_ns = RK_MDP3_GAP_NS_DEFAULT;
	if (window_packets > RK_MDP3_WINDOW_MAX)
		s->window_packets = RK_MDP3_WINDOW_MAX;
	else if (window_packets)
		s->window_packets = (uint32_t)window_packets;
	if (gap_ns)
		s->gap_ns = gap_ns;
	s->started = first_sequence != 0;
	s->next = (uint32_t)first_sequence;
}

RK_DEVICE void rk_mdp3_book(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_mdp3_state *s = (struct rk_mdp3_state *)state;

	if (rk_lane(ctx))
		return;
	switch (msg->type) {
	case RK_MSG_PACKET:
		handle_packet(ctx, s, msg);
		break;
	case RK_MSG_START:
		start(s, msg);
		break;
	case RK_MSG_STOP:
		while (s->counters.held)
			give_up_hole(ctx, s, s->next, 0);
		break;
	default:
		s->counters.messages_ignored++;
		break;
	}
}
