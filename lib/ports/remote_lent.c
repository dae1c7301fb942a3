// SPDX-License-Identifier: MIT
/*
 * The peer writes the consumer's own ring: nothing is copied here, and the port only carries credit
 * back. What the fabric leaves of a producer that is gone is swept before another one, of this host
 * or not, writes there: words may have come in any order, so any slot may be a part of something.
 *
 * Messages are counted when the consumer is done with them and before the peer may write over them:
 * neither of the two waits for that. Where slots lie across a bus none is read for it: then their
 * positions tell the slots, and the consumer's counters how many messages there were.
 */
#include "ports/remote_in.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_ACROSS_NS 1000000

static struct remote_in *in_of(struct rk_port *port)
{
	return (struct remote_in *)port;
}

static uint64_t capacity_of(const struct inlet *inlet)
{
	return 1ULL << inlet->ring.capacity_log2;
}

static struct rk_slot *slot_at(const struct inlet *inlet, uint64_t position)
{
	return inlet->ring.slots + (position & (capacity_of(inlet) - 1));
}

/* Can peers write @inlet? If not the port fills it, and says why. Nobody writes there yet. */
static bool reach(struct remote_in *in, const struct inlet *inlet)
{
	const struct remote_memory memory = remote_in_slots(inlet);
	char how[REMOTE_TEXT_BYTES] = "";
	int result = remote_door_reach(in->door, &memory, how);
	struct remote_end *end = &in->end;

	pthread_mutex_lock(&end->mutex);
	if (result)
		snprintf(end->memory, sizeof(end->memory),
			 "direct: %.180s: messages pass a ring in host memory", rk_errmsg());
	else if (*how)
		snprintf(end->memory, sizeof(end->memory), "direct: the peer writes %s", how);
	in->direct = !result;
	end->why_new = true;
	remote_note(end, &in->port);
	pthread_mutex_unlock(&end->mutex);
	return !result;
}

int remote_lent_lend(struct rk_port *port, const struct rk_ring *ring,
		     const struct rk_region *region)
{
	struct remote_in *in = in_of(port);
	struct inlet *inlet;
	int result;

	if (!in->direct)
		return 0;
	inlet = calloc(1, sizeof(*inlet));
	if (!inlet)
		return rk_fail(ENOMEM, "port '%s': no memory", port->uri);
	inlet->ring = *ring;
	inlet->lender = region;
	/* Of it serve what is due when, and why it is closed: the consumer has its own. */
	result = rk_ring_rx_open(&inlet->rx, &inlet->ring, NULL);
	if (result || !reach(in, inlet)) {
		free(inlet);
		return result;
	}
	pthread_mutex_lock(&in->end.mutex);
	in->inlet = inlet;
	in->counted = remote_in_consumed(inlet);
	in->lent = true;
	pthread_mutex_unlock(&in->end.mutex);
	return 1;
}

/* --- Counting --- */

/* The first @count cells of the message at @position, as far as they are there. */
static uint32_t peek(const struct inlet *inlet, uint64_t position, struct rk_msg *cells,
		     uint32_t count)
{
	uint32_t done = 0;

	while (done < count &&
	       inlet->rx.codec->unpack(slot_at(inlet, position + done),
				       rk_slot_tag(position + done, inlet->ring.capacity_log2),
				       &cells[done], 1, false))
		done++;
	return done;
}

/* Count the message at the front of those that are left, @most slots; its slots. */
static uint64_t count_one(struct remote_in *in, uint64_t most, uint64_t *messages)
{
	enum { FRONT = 2 }; /* cells that hold all extensions and the front of a packet */
	struct rk_port_stats *stats = &in->port.stats;
	struct rk_msg cells[FRONT];
	struct port_view view;
	uint32_t got = peek(in->inlet, in->counted, cells, FRONT);

	/* Written over although it was not free: the peer's rest is not to be told apart. */
	if (!got || !cells->slots || cells->slots > most ||
	    (cells->slots >= FRONT && got < FRONT)) {
		port_count(&stats->dropped_malformed, 1);
		return most;
	}
	if (cells->type == RK_MSG_PAD || cells->type == RK_MSG_CLOSED)
		return cells->slots;
	port_count(messages, 1);
	if (messages == &stats->messages && port_view(cells, &view))
		port_count(&stats->bytes, view.bytes);
	return cells->slots;
}

static void count(struct remote_in *in, uint64_t to, uint64_t *messages)
{
	while (in->counted != to)
		in->counted += count_one(in, to - in->counted, messages);
}

void remote_lent_count(struct remote_in *in, uint64_t to)
{
	struct rk_port_stats *stats = &in->port.stats;

	if (!in->inlet->ring.slots_far) {
		count(in, to, &stats->messages);
		return;
	}
	port_count(&stats->uncounted_slots, to - in->counted);
	in->counted = to;
}

/* --- What a producer left --- */

/* Where the whole messages end, and whether by a closing one: enum rk_close. */
static uint64_t find_end(struct remote_in *in, uint64_t *closed)
{
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct rk_ring_credit credit = {.consumed = remote_in_consumed(in->inlet)};
	struct rk_ring ring = in->inlet->ring;
	struct rk_ring_rx rx;

	ring.credit = &credit;
	ring.credit_far = false;
	*closed = 0;
	/* Not to fail: the position is the credit itself. */
	if (rk_ring_rx_open(&rx, &ring, &opts))
		return credit.consumed;
	while (rk_ring_recv(&rx, (struct rk_msg *)in->cells, RK_MSG_MAX_SLOTS) > 0 && !rx.closed)
		;
	*closed = rx.closed;
	return rk_ring_rx_position(&rx);
}

/*
 * Make the slots from @position on as if this lap had not been there. Nothing else writes them, and
 * the messages before are counted: it goes round the whole ring.
 */
static void sweep(struct inlet *inlet, uint64_t position)
{
	uint64_t end = remote_in_consumed(inlet) + capacity_of(inlet);

	for (; position != end; position++) {
		struct rk_slot *slot = slot_at(inlet, position);
		uint64_t stale =
			rk_slot_tag(position - capacity_of(inlet), inlet->ring.capacity_log2);

		/* Relaxed: the message that begins at the first of them was not whole before. */
		for (int i = 0; i < RK_SLOT_WORDS; i++)
			__atomic_store_n(&slot->word[i], stale, __ATOMIC_RELAXED);
	}
	rk_codec_flush();
}

int remote_lent_meet(struct remote_in *in, struct remote_conn *conn, const struct remote_hello *ask)
{
	struct inlet *inlet = in->inlet;
	uint64_t closed, end;

	if (in->bound && inlet->session == ask->session && inlet->id == ask->ring)
		return remote_in_welcome(in, conn, inlet, ask);
	end = find_end(in, &closed);
	/* Relaxed: the reason publishes nothing but itself. */
	if (closed || __atomic_load_n(&inlet->ring.credit->closed, __ATOMIC_RELAXED))
		return rk_fail(EBUSY, "its ring is closed");
	if (end != remote_in_consumed(inlet))
		return rk_fail(EBUSY, "what the last producer sent is still being read");
	remote_lent_count(in, end);
	sweep(inlet, end);
	inlet->session = ask->session;
	inlet->id = remote_id();
	return remote_in_welcome(in, conn, inlet, ask);
}

void remote_lent_take_back(struct rk_port *port, struct rk_ring_tx *tx)
{
	struct remote_in *in = in_of(port);
	uint64_t closed, end;

	pthread_mutex_lock(&in->end.mutex);
	in->end.stopping = true; /* nobody is admitted any more */
	end = find_end(in, &closed);
	/* Behind a closing message nobody looks. */
	if (!closed) {
		remote_in_leave(in);
		remote_sweep(&in->end);
		end = find_end(in, &closed);
	}
	remote_lent_count(in, remote_in_consumed(in->inlet));
	/* Relaxed: the reason publishes nothing but itself. */
	if (__atomic_load_n(&in->inlet->ring.credit->closed, __ATOMIC_RELAXED))
		count(in, end, &in->port.stats.dropped_closed);
	else
		remote_lent_count(in, end);
	if (!closed)
		sweep(in->inlet, end);
	rk_ring_tx_pass(tx, end, closed);
	pthread_mutex_unlock(&in->end.mutex);
}

/* --- The port's thread --- */

/* Is the connection to be looked at? As for other rings, but that the consumer's credit tells. */
static bool service_due(struct remote_in *in)
{
	if (!in->end.transport->one_sided)
		return true;
	if (remote_in_consumed(in->inlet) - in->credit_sent >= in->inlet->rx.credit_due)
		return true;
	return ++in->empty_looks >= REMOTE_IN_EMPTY_LOOKS;
}

/* May the next slot be looked at? Across a bus a look takes a microsecond: seldom. */
static bool look_due(struct remote_in *in)
{
	uint64_t now;

	if (!in->inlet->ring.slots_far)
		return true;
	now = now_ns();
	if (now - in->looked_ns < LOOK_ACROSS_NS)
		return false;
	in->looked_ns = now;
	return true;
}

/* Has the consumer come to the end, its producer's or its own? */
static void look_for_end(struct remote_in *in)
{
	struct inlet *inlet = in->inlet;
	struct rk_msg cell;

	if (inlet->rx.closed)
		return;
	/* Relaxed: the reason publishes nothing but itself. */
	inlet->rx.closed = __atomic_load_n(&inlet->ring.credit->closed, __ATOMIC_RELAXED);
	if (!inlet->rx.closed && look_due(in) && peek(inlet, remote_in_consumed(inlet), &cell, 1) &&
	    cell.type == RK_MSG_CLOSED)
		inlet->rx.closed = RK_CLOSE_DONE;
}

int remote_lent_poll(struct remote_in *in, const struct rk_ring_tx *tx)
{
	int dead;

	if (!service_due(in))
		return 0;
	in->empty_looks = 0;
	look_for_end(in);
	dead = remote_in_service(in);
	/* Who sleeps there is woken by nobody else. */
	rk_wake_up((struct rk_wake *)&tx->consumer);
	if (in->inlet->rx.closed)
		return remote_in_at_close(in);
	return dead ? rk_fail(-dead, "port '%s': %s", in->port.uri, in->port.note) : 0;
}
