// SPDX-License-Identifier: MIT
/* The consumer's end: credit, long messages, batches, and the checks on what a producer wrote. */
#include "ring/rk_ring.h"
#include "rk_error.h"

#include <inttypes.h>
#include <string.h>

static uint64_t capacity_of(const struct rk_ring_rx *rx)
{
	return 1ULL << rx->capacity_log2;
}

static struct rk_slot *slot_at(const struct rk_ring_rx *rx, uint64_t position)
{
	return rx->slots + (position & (capacity_of(rx) - 1));
}

static void seek(struct rk_ring_rx *rx, uint64_t position)
{
	uint64_t lap_rest = capacity_of(rx) - (position & (capacity_of(rx) - 1));
	uint64_t taken = position - rx->credited;
	/* Zero when credit is due: the next call gives it first. So it is when closed: no more calls. */
	uint64_t run = taken < rx->credit_due && !rx->closed ? rx->credit_due - taken : 0;

	if (run > lap_rest)
		run = lap_rest;

	rx->slot = slot_at(rx, position);
	rx->tag = rk_slot_tag(position, rx->capacity_log2);
	rx->limit = rx->slot + run;
	rx->limit_position = position + run;
}

static void give_credit(struct rk_ring_rx *rx, uint64_t position)
{
	if (rx->untouched)
		rk_slot_touch(rx->untouched);
	rx->untouched = NULL;
	/* R1: pairs with A1 in rk_ring_tx_free(): slots are read and touched before they are free. */
	__atomic_store_n(&rx->credit_line->consumed, position, __ATOMIC_RELEASE);
	if (rx->credit_far)
		rk_codec_flush();
	rx->credited = position;
	rk_wake_up(&rx->producer);
}

void rk_ring_rx_credit(struct rk_ring_rx *rx)
{
	uint64_t position = rk_ring_rx_position(rx);

	if (position != rx->credited)
		give_credit(rx, position);
	seek(rx, position);
}

bool rk_ring_rx_turn(struct rk_ring_rx *rx)
{
	uint64_t position = rk_ring_rx_position(rx);

	if (rx->closed) {
		rk_ring_rx_credit(rx);
		return false;
	}
	if (position - rx->credited >= rx->credit_due)
		give_credit(rx, position);
	seek(rx, position);
	return true;
}

void rk_ring_refuse(struct rk_ring_rx *rx, uint64_t reason)
{
	if (!reason)
		reason = RK_CLOSE_STOPPED;
	if (!rx->closed)
		rx->closed = reason;
	seek(rx, rk_ring_rx_position(rx));
	/* Relaxed: the reason publishes nothing but itself. */
	__atomic_store_n(&rx->credit_line->closed, reason, __ATOMIC_RELAXED);
	if (rx->credit_far)
		rk_codec_flush();
	rk_wake_up(&rx->producer);
}

/* Load @count cells from @position on, across the end of the lap; returns how many are valid. */
static uint32_t unpack(const struct rk_ring_rx *rx, uint64_t position, char *cells, uint32_t count)
{
	uint32_t done = 0;

	while (done < count) {
		uint64_t lap_rest = capacity_of(rx) - (position & (capacity_of(rx) - 1));
		uint32_t run = count - done < lap_rest ? count - done : (uint32_t)lap_rest;
		uint32_t valid = rx->codec->unpack(
			slot_at(rx, position), rk_slot_tag(position, rx->capacity_log2),
			cells + (size_t)done * RK_CELL_BYTES, run, rx->touch);

		done += valid;
		position += valid;
		if (valid < run)
			break;
	}
	return done;
}

/* Slots of the message @msg; 0 if no producer of ours can have written it. */
static uint32_t checked_slots(const struct rk_ring_rx *rx, const struct rk_msg *msg)
{
	if (msg->slots > rx->max_slots || msg->flags & ~RK_MSG_F_ALL)
		return 0;
	return msg->slots;
}

static void note_closed(struct rk_ring_rx *rx, const struct rk_msg *msg)
{
	uint64_t reason = 0;

	/* Extensions, all of them, leave no room for one in the only cell that is sure to be there. */
	if (rk_msg_payload_bytes(msg) >= sizeof(reason))
		memcpy(&reason, rk_msg_payload(msg), sizeof(reason));
	rx->closed = reason ? reason : RK_CLOSE_DONE;
}

int rk_ring_recv_rest(struct rk_ring_rx *rx, struct rk_msg *msg, uint32_t count)
{
	for (;;) {
		uint64_t position = rk_ring_rx_position(rx);
		uint32_t slots;

		/* Padding skipped is given back at a later call, like all that was received. */
		if (!unpack(rx, position, (char *)msg, 1))
			return 0;
		slots = checked_slots(rx, msg);
		if (!slots) {
			rk_ring_refuse(rx, RK_CLOSE_BAD_HEADER);
			return 0;
		}
		if (slots > count && msg->type != RK_MSG_PAD)
			return -EMSGSIZE;
		if (msg->type == RK_MSG_PAD) {
			/* No producer sends beyond its credit: so this loop ends, whoever writes. */
			if (position + slots - rx->credited > capacity_of(rx)) {
				rk_ring_refuse(rx, RK_CLOSE_BAD_HEADER);
				return 0;
			}
			/* Word 0 was the last to be written, so all of it is there. */
			rx->padded_slots += slots;
			seek(rx, position + slots);
			continue;
		}
		if (unpack(rx, position + 1, (char *)msg + RK_CELL_BYTES, slots - 1) != slots - 1) {
			/* Whose producer is gone never comes: what was before it is given back all the same. */
			rk_ring_rx_credit(rx);
			return 0;
		}
		if (msg->type == RK_MSG_CLOSED) {
			/* It stays in the ring, never given back: whoever comes later meets it. */
			note_closed(rx, msg);
			seek(rx, position);
		} else {
			seek(rx, position + slots);
		}
		return (int)slots;
	}
}

/* What a walk over received cells found. */
struct walk {
	uint32_t kept; /* cells of whole messages, padding removed */
	uint32_t used; /* slots consumed, padding included, the closing message not */
	int result;    /* 0, or -EMSGSIZE when the first message is longer than the room */
};

/* Messages at the front of @cells that need no second look: one cell, of a type free to users. */
static uint32_t count_plain(const char *cells, uint32_t valid)
{
	uint32_t count = 0;

	while (count < valid) {
		uint32_t head = rk_ring_head((const struct rk_msg *)cells);

		if (!rk_ring_head_is_short(head) || (uint16_t)head <= RK_MSG_CLOSED)
			break;
		cells += RK_CELL_BYTES;
		count++;
	}
	return count;
}

/* Find the whole messages in @cells, squeeze padding out, stop at what is cut off or bad. */
static struct walk walk(struct rk_ring_rx *rx, char *cells, uint32_t valid, uint32_t count)
{
	uint32_t plain = count_plain(cells, valid);
	struct walk w = {plain, plain, 0};

	while (w.used < valid) {
		struct rk_msg *msg = (struct rk_msg *)(cells + (size_t)w.used * RK_CELL_BYTES);
		uint32_t slots = 1;

		if (rk_unlikely(!rk_ring_head_is_short(rk_ring_head(msg)))) {
			slots = checked_slots(rx, msg);
			if (!slots) {
				rk_ring_refuse(rx, RK_CLOSE_BAD_HEADER);
				break;
			}
			if (slots > count && msg->type != RK_MSG_PAD) {
				w.result = -EMSGSIZE;
				break;
			}
		}
		if (rk_unlikely(msg->type == RK_MSG_PAD)) {
			rx->padded_slots += slots;
			w.used += slots;
			continue;
		}
		if (slots > valid - w.used)
			break;
		if (rk_unlikely(w.kept != w.used))
			memmove(cells + (size_t)w.kept * RK_CELL_BYTES, msg,
				(size_t)slots * RK_CELL_BYTES);
		msg = (struct rk_msg *)(cells + (size_t)w.kept * RK_CELL_BYTES);
		w.kept += slots;
		if (rk_unlikely(msg->type == RK_MSG_CLOSED)) {
			note_closed(rx, msg);
			break;
		}
		w.used += slots;
	}
	return w;
}

int rk_ring_recv_batch(struct rk_ring_rx *rx, void *cells, uint32_t count)
{
	uint64_t position = rk_ring_rx_position(rx);
	uint32_t valid;
	struct walk w;

	if (rk_unlikely(rx->closed)) {
		rk_ring_rx_credit(rx);
		return 0;
	}
	if (position - rx->credited >= rx->credit_due)
		give_credit(rx, position);
	valid = unpack(rx, position, cells, count);
	if (!valid) {
		rk_ring_rx_credit(rx);
		return 0;
	}
	w = walk(rx, cells, valid, count);
	seek(rx, position + w.used);
	if (rk_unlikely(!w.used))
		rk_ring_rx_credit(rx);
	/* Padding took the room of a message that is there: receive that one alone. */
	if (rk_unlikely(w.used && !w.kept && !w.result && !rx->closed))
		return rk_ring_recv_rest(rx, cells, count);
	return w.kept ? (int)w.kept : w.result;
}

int rk_ring_rx_open(struct rk_ring_rx *rx, const struct rk_ring *ring,
		    const struct rk_ring_rx_opts *opts)
{
	uint64_t half = 1ULL << (ring->capacity_log2 - 1);
	uint64_t position;

	if (opts && opts->size != sizeof(*opts))
		return rk_fail(EINVAL,
			       "ring '%s': options of %zu bytes: set size to %zu, the size of struct "
			       "rk_ring_rx_opts",
			       ring->name, opts->size, sizeof(*opts));
	memset(rx, 0, sizeof(*rx));
	rx->slots = ring->slots;
	rx->credit_line = ring->credit;
	rx->codec = rk_codec_best();
	rx->capacity_log2 = ring->capacity_log2;
	rx->max_slots = half < RK_MSG_MAX_SLOTS ? (uint32_t)half : RK_MSG_MAX_SLOTS;
	rx->credit_due = half < 4 ? 1 : half / 4;
	rx->touch = !ring->device && !(opts && opts->no_touch);
	rx->credit_far = ring->credit_far;
	rx->producer = (struct rk_wake){.word = &ring->sleep->producer, .eventfd = -1};
	rx->self = (struct rk_wake){.word = &ring->sleep->consumer, .eventfd = -1};
	rx->peer_unguarded = &ring->sleep->unguarded[RK_ROLE_PRODUCER];
	if (ring->credit_far) {
		rx->credited = opts && opts->resume ? opts->position : ring->start_position;
	} else {
		/* By a consumer before this one: program order or its death orders it. */
		rx->credited = __atomic_load_n(&ring->credit->consumed, __ATOMIC_RELAXED);
		rx->closed = __atomic_load_n(&ring->credit->closed, __ATOMIC_RELAXED);
	}
	position = opts && opts->resume ? opts->position : rx->credited;
	if (position - rx->credited > capacity_of(rx))
		return rk_fail(EINVAL,
			       "ring '%s': resume at %" PRIu64 ": the last credit is %" PRIu64
			       " of %" PRIu64 " slots; give a position within them",
			       ring->name, position, rx->credited, capacity_of(rx));
	/* What the one before gave cannot be read: so give again all that it took. */
	if (ring->credit_far && opts && opts->resume)
		give_credit(rx, position);
	seek(rx, position);
	rk_wake_again(&rx->producer);
	return 0;
}
