// SPDX-License-Identifier: MIT
/* The producer's end: credit, long messages, batches, and taking over from a dead producer. */
#include "ring/rk_ring.h"
#include "rk_error.h"

#include <inttypes.h>
#include <string.h>

static uint64_t capacity_of(const struct rk_ring_tx *tx)
{
	return 1ULL << tx->capacity_log2;
}

static struct rk_slot *slot_at(const struct rk_ring_tx *tx, uint64_t position)
{
	return tx->slots + (position & (capacity_of(tx) - 1));
}

static uint64_t tag_at(const struct rk_ring_tx *tx, uint64_t position)
{
	return rk_slot_tag(position, tx->capacity_log2);
}

/* Go to @position; at most @free slots may be written from there. */
static void seek(struct rk_ring_tx *tx, uint64_t position, uint64_t free)
{
	uint64_t lap_rest = capacity_of(tx) - (position & (capacity_of(tx) - 1));
	uint64_t run = free < lap_rest ? free : lap_rest;

	tx->slot = slot_at(tx, position);
	tx->tag = tag_at(tx, position);
	tx->limit = tx->slot + run;
	tx->limit_position = position + run;
}

static void shut(struct rk_ring_tx *tx, uint64_t reason)
{
	tx->closed = reason;
	seek(tx, rk_ring_tx_position(tx), 0);
}

uint64_t rk_ring_tx_free(struct rk_ring_tx *tx)
{
	uint64_t position = rk_ring_tx_position(tx), credit, closed;

	if (tx->closed)
		return 0;
	/* A1: pairs with R1 in rk_ring_rx_credit(): the slots were read before they are written. */
	credit = __atomic_load_n(&tx->credit_line->consumed, __ATOMIC_ACQUIRE);
	/* Unsigned distances: right across the wrap of 2^64, and a credit that fell is a huge one.
	 */
	if (credit - tx->credit > position - tx->credit) {
		shut(tx, RK_CLOSE_BAD_CREDIT);
		return 0;
	}
	tx->credit = credit;
	/* Relaxed: the reason publishes nothing but itself. */
	closed = __atomic_load_n(&tx->credit_line->closed, __ATOMIC_RELAXED);
	if (closed) {
		shut(tx, closed);
		return 0;
	}
	return capacity_of(tx) - (position - credit);
}

uint64_t rk_ring_tx_refill(struct rk_ring_tx *tx)
{
	uint64_t free = rk_ring_tx_free(tx);

	if (free)
		seek(tx, rk_ring_tx_position(tx), free);
	return free;
}

/* Slots known free without looking at the credit again. */
static uint64_t free_known(const struct rk_ring_tx *tx)
{
	return tx->closed ? 0 : capacity_of(tx) - (rk_ring_tx_position(tx) - tx->credit);
}

/* Store @count cells from @position on, across the end of the lap. */
static void pack(const struct rk_ring_tx *tx, uint64_t position, const char *cells, uint32_t count)
{
	while (count) {
		uint64_t lap_rest = capacity_of(tx) - (position & (capacity_of(tx) - 1));
		uint32_t run = count < lap_rest ? count : (uint32_t)lap_rest;

		tx->codec->pack(slot_at(tx, position), tag_at(tx, position), cells, run);
		position += run;
		cells += (size_t)run * RK_CELL_BYTES;
		count -= run;
	}
}

int rk_ring_send_long(struct rk_ring_tx *tx, const struct rk_msg *msg)
{
	uint64_t position = rk_ring_tx_position(tx), free;
	uint32_t slots = msg->slots;

	if (slots == 0 || slots > tx->max_slots)
		return -EMSGSIZE;
	if (msg->flags & ~RK_MSG_F_ALL)
		return -EINVAL;
	free = free_known(tx);
	if (free < slots) {
		free = rk_ring_tx_free(tx);
		if (free < slots)
			return 0;
	}
	/* The first slot last: until it is there, none of this is. */
	pack(tx, position + 1, (const char *)msg + RK_CELL_BYTES, slots - 1);
	rk_codec_barrier();
	pack(tx, position, (const char *)msg, 1);
	seek(tx, position + slots, free - slots);
	rk_wake_up(&tx->consumer);
	return (int)slots;
}

/* Store the short messages that come first in @cells; stops at a long one or when full. */
static uint32_t send_short(struct rk_ring_tx *tx, const char *cells, uint32_t count)
{
	uint32_t sent = 0;

	while (sent < count) {
		uint64_t room;
		uint32_t most, run = 0;

		if (tx->slot == tx->limit && !rk_ring_tx_refill(tx))
			break;
		room = (uint64_t)(tx->limit - tx->slot);
		most = count - sent < room ? count - sent : (uint32_t)room;
		while (run < most &&
		       rk_ring_head_is_short(rk_ring_head(
			       (const struct rk_msg *)(cells +
						       (size_t)(sent + run) * RK_CELL_BYTES))))
			run++;
		tx->codec->pack(tx->slot, tx->tag, cells + (size_t)sent * RK_CELL_BYTES, run);
		tx->slot += run;
		sent += run;
		if (run < most)
			break;
	}
	return sent;
}

int rk_ring_send_batch(struct rk_ring_tx *tx, const void *cells, uint32_t count)
{
	uint32_t sent = 0;
	int result = 0;

	while (sent < count) {
		const struct rk_msg *msg;

		sent += send_short(tx, (const char *)cells + (size_t)sent * RK_CELL_BYTES,
				   count - sent);
		if (sent == count)
			break;
		msg = (const struct rk_msg *)((const char *)cells + (size_t)sent * RK_CELL_BYTES);
		if (rk_ring_head_is_short(rk_ring_head(msg)))
			break;
		result = msg->slots > count - sent ? -EMSGSIZE : rk_ring_send_long(tx, msg);
		if (result <= 0)
			break;
		sent += (uint32_t)result;
	}
	if (!sent)
		return result;
	rk_wake_up(&tx->consumer);
	return (int)sent;
}

int rk_ring_close(struct rk_ring_tx *tx, uint64_t reason)
{
	struct rk_msg msg = {.type = RK_MSG_CLOSED, .slots = 1};

	if (tx->closed)
		return 1;
	if (!reason)
		reason = RK_CLOSE_DONE;
	memcpy(msg.body, &reason, sizeof(reason));
	if (rk_ring_send_long(tx, &msg) != 1)
		return tx->closed != 0;
	shut(tx, reason);
	return 1;
}

void rk_ring_tx_pass(struct rk_ring_tx *tx, uint64_t position, uint64_t closed)
{
	/* A1: pairs with R1 in rk_ring_rx_credit(), as in rk_ring_tx_free(). */
	tx->credit = __atomic_load_n(&tx->credit_line->consumed, __ATOMIC_ACQUIRE);
	seek(tx, position, capacity_of(tx) - (position - tx->credit));
	if (closed)
		shut(tx, closed);
}

/* True if the slot at @position is whole; then its cell is in @cell. */
static bool whole(const struct rk_ring_tx *tx, uint64_t position, struct rk_msg *cell)
{
	return rk_slot_load_plain(slot_at(tx, position), tag_at(tx, position), cell);
}

static bool word_is_new(const struct rk_ring_tx *tx, uint64_t position, uint32_t word)
{
	uint64_t value = __atomic_load_n(&slot_at(tx, position)->word[word], __ATOMIC_RELAXED);

	return !((value ^ tag_at(tx, position)) & RK_WORD_TAG_MASK);
}

/* Slots from @position on, up to and with the last one that an unfinished message has begun. */
static uint32_t unfinished(const struct rk_ring_tx *tx, uint64_t position, uint64_t free)
{
	uint32_t most = free < tx->max_slots ? (uint32_t)free : tx->max_slots, begun = 0;

	for (uint32_t i = 0; i < most; i++)
		for (uint32_t word = 0; word < RK_SLOT_WORDS; word++)
			if (word_is_new(tx, position + i, word))
				begun = i + 1;
	return begun;
}

/*
 * Close off @slots slots as one RK_MSG_PAD. Only words that the dead producer did not write are
 * written, and word 0 of the first slot last, so no word is ever written twice in a lap and the
 * consumer may be reading all the while.
 */
static void pad(struct rk_ring_tx *tx, uint64_t position, uint32_t slots)
{
	const struct rk_msg head = {.type = RK_MSG_PAD, .slots = (uint8_t)slots};
	uint64_t cell[7];

	memcpy(cell, &head, sizeof(cell));
	for (uint32_t i = slots; i-- > 0;) {
		uint64_t tag = tag_at(tx, position + i);
		struct rk_slot *slot = slot_at(tx, position + i);

		for (uint32_t word = RK_SLOT_WORDS; word-- > 0;) {
			uint64_t value = i ? 0 : rk_slot_word(cell, word);

			if (!word_is_new(tx, position + i, word))
				__atomic_store_n(&slot->word[word], value | tag, __ATOMIC_RELAXED);
			rk_codec_barrier();
		}
	}
	tx->padded_slots += slots;
}

/* Walk the whole messages from the last credit on, and close off what is unfinished after them. */
static int take_over(struct rk_ring_tx *tx, const struct rk_ring *ring)
{
	uint64_t position = tx->credit, end = tx->credit + capacity_of(tx);
	struct rk_msg msg, rest;
	uint32_t begun;

	while (position != end && whole(tx, position, &msg)) {
		if (msg.slots == 0 || msg.slots > tx->max_slots || msg.slots > end - position)
			return rk_fail(EPROTO,
				       "ring '%s': a message of %u slots at position %" PRIu64
				       ": the slots are damaged; make a new ring",
				       ring->name, msg.slots, position);
		for (uint32_t i = 1; i < msg.slots; i++)
			if (!whole(tx, position + i, &rest))
				return rk_fail(
					EPROTO,
					"ring '%s': slot %u of %u missing at position %" PRIu64
					": the slots are damaged; make a new ring",
					ring->name, i, msg.slots, position);
		position += msg.slots;
		if (msg.type == RK_MSG_CLOSED)
			return rk_fail(EPROTO, "ring '%s': its producer closed it; make a new ring",
				       ring->name);
	}
	begun = unfinished(tx, position, end - position);
	if (begun) {
		if (word_is_new(tx, position, 0))
			return rk_fail(
				EPROTO,
				"ring '%s': a first word without its slot at position %" PRIu64
				": the slots are damaged; make a new ring",
				ring->name, position);
		pad(tx, position, begun);
		position += begun;
	}
	seek(tx, position, end - position);
	return 0;
}

/* Become the first producer: the slots are not asked, for they are across a bus. */
static int begin(struct rk_ring_tx *tx, const struct rk_ring *ring)
{
	if (tx->credit != ring->start_position)
		return rk_fail(
			EPROTO,
			"ring '%s': it had a producer, and its slots are far: make a new ring",
			ring->name);
	seek(tx, ring->start_position, capacity_of(tx));
	return 0;
}

int rk_ring_tx_open(struct rk_ring_tx *tx, const struct rk_ring *ring)
{
	uint64_t half = 1ULL << (ring->capacity_log2 - 1);
	int result;

	memset(tx, 0, sizeof(*tx));
	tx->slots = ring->slots;
	tx->credit_line = ring->credit;
	tx->codec = ring->slots_far ? rk_codec_far() : rk_codec_best();
	tx->capacity_log2 = ring->capacity_log2;
	tx->max_slots = half < RK_MSG_MAX_SLOTS ? (uint32_t)half : RK_MSG_MAX_SLOTS;
	tx->consumer = (struct rk_wake){.word = &ring->sleep->consumer, .eventfd = -1};
	tx->self = (struct rk_wake){.word = &ring->sleep->producer, .eventfd = -1};
	tx->peer_unguarded = &ring->sleep->unguarded[RK_ROLE_CONSUMER];
	/* A1: pairs with R1 in rk_ring_rx_credit(), as in rk_ring_tx_free(). */
	tx->credit = __atomic_load_n(&ring->credit->consumed, __ATOMIC_ACQUIRE);
	result = ring->slots_far ? begin(tx, ring) : take_over(tx, ring);
	rk_wake_again(&tx->consumer);
	return result;
}
