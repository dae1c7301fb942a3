// SPDX-License-Identifier: MIT
/*
 * The consumer's end of a ring across hosts.
 *
 * The peer writes into the ring; the port's thread takes messages out and sends credit back, every
 * 1/8 ring or when idle. A producer that comes back goes on in its ring; a new one gets a ring of
 * its own, which is read when the old one is empty; the keeper sees to both: remote_in_meet.c. With
 * `direct` the consumer's own ring is lent instead, and nothing is copied here: remote_lent.c.
 */
#include "ports/remote_in.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_SLOTS = 4096,
	DEFAULT_NAP_US = 50,
	IDLE_CREDIT_NS = 1000000,
	PARTING_MS = 300,
	LINE_AGAIN_MS = 10,
};

static struct remote_in *in_of(struct rk_port *port)
{
	return (struct remote_in *)port;
}

static int set_name(struct rk_port *port, const char *value)
{
	return remote_set_name(&in_of(port)->end, value);
}

static int set_timeout(struct rk_port *port, const char *value)
{
	return remote_set_timeout(&in_of(port)->end, value);
}

static int set_retry(struct rk_port *port, const char *value)
{
	return remote_set_retry(&in_of(port)->end, value);
}

static int set_slots(struct rk_port *port, const char *value)
{
	uint64_t *slots = &in_of(port)->slots;
	int result = port_parse_count("slots", value, RK_RING_MIN_CAPACITY,
				      1 << REMOTE_MAX_SLOTS_LOG2, slots);

	if (!result && *slots & (*slots - 1))
		return rk_fail(EINVAL, "slots=%s: write a power of two", value);
	return result;
}

static int set_nap(struct rk_port *port, const char *value)
{
	in_of(port)->nap_given = true;
	return port_parse_count("nap", value, 0, 100000, &in_of(port)->nap_us);
}

static int set_stay(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->stay = true;
	return 0;
}

static int set_direct(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->direct = true;
	return 0;
}

static const struct port_option options[] = {
	{"direct", true, set_direct}, {"name", false, set_name},   {"timeout", false, set_timeout},
	{"retry", false, set_retry},  {"slots", false, set_slots}, {"nap", false, set_nap},
	{"stay", true, set_stay},     {NULL, false, NULL},
};

/* --- The port's thread --- */

uint64_t remote_in_release(struct remote_in *in, const struct inlet *inlet)
{
	uint64_t consumed = remote_in_consumed(inlet);

	if (in->lent)
		remote_lent_count(in, consumed);
	return consumed;
}

/* Tell the peer what was consumed, when that is worth a line. Mutex held. */
static void give_credit(struct remote_in *in)
{
	struct remote_end *end = &in->end;
	struct inlet *inlet = in->inlet;
	/* Refused by us, or, as a receipt, closed by the producer. */
	uint64_t closed = inlet->rx.closed, consumed, fresh, now;

	if (closed)
		rk_ring_rx_credit(&inlet->rx);
	consumed = remote_in_release(in, inlet);
	fresh = consumed - in->credit_sent;
	if (!fresh && closed == end->outbox.closed)
		return;
	/* Something came since the last look: do not read the clock, it may be a system call. */
	if (fresh < inlet->rx.credit_due && !closed && consumed != in->consumed_seen) {
		in->consumed_seen = consumed;
		return;
	}
	now = now_ns();
	if (fresh < inlet->rx.credit_due && !closed && now - end->line_sent_ns < IDLE_CREDIT_NS)
		return;
	end->outbox.consumed = consumed;
	end->outbox.closed = closed;
	in->credit_sent = consumed;
	remote_put_line(end, now);
}

int remote_in_service(struct remote_in *in)
{
	struct remote_end *end = &in->end;
	int dead;

	if (pthread_mutex_trylock(&end->mutex))
		return 0;
	if (end->conn && end->transport->progress(end->conn))
		remote_parted(end);
	if (end->conn && in->inlet && in->bound == in->inlet)
		give_credit(in);
	remote_note(end, &in->port);
	dead = end->dead;
	pthread_mutex_unlock(&end->mutex);
	return dead;
}

/*
 * Is the connection to be looked at? Where slots arrive by themselves only when credit is due, or
 * when there was nothing for a while.
 */
static bool service_due(struct remote_in *in)
{
	if (!in->end.transport->one_sided || !in->inlet || in->inlet->rx.closed)
		return true;
	if (rk_ring_rx_position(&in->inlet->rx) - in->credit_sent >= in->inlet->rx.credit_due)
		return true;
	return ++in->empty_looks >= REMOTE_IN_EMPTY_LOOKS;
}

/* The old ring is empty and its producer will not come back to it: read the new one. */
static bool move_over(struct remote_in *in)
{
	bool moved = false;

	if (pthread_mutex_trylock(&in->end.mutex))
		return false;
	if (in->next) {
		in->old = in->inlet;
		in->inlet = in->next;
		in->next = NULL;
		moved = true;
	}
	pthread_mutex_unlock(&in->end.mutex);
	return moved;
}

/* Is this a message that may go on? Control is for this host's own to send. */
static bool passes(struct remote_in *in, const struct rk_ring_tx *tx, const struct rk_msg *msg)
{
	struct rk_port_stats *stats = &in->port.stats;
	struct port_view view;

	if (msg->type == RK_MSG_CLOSED)
		return false;
	if (msg->type != RK_MSG_PACKET && msg->type < RK_MSG_USER) {
		port_count(&stats->dropped_foreign, 1);
		return false;
	}
	if (!port_view(msg, &view)) {
		port_count(&stats->dropped_malformed, 1);
		return false;
	}
	if (tx && msg->slots > tx->max_slots) {
		port_count(&stats->dropped_too_long, 1);
		return false;
	}
	port_count(tx ? &stats->messages : &stats->dropped_closed, 1);
	port_count(&stats->bytes, tx ? view.bytes : 0);
	return true;
}

/* Squeeze out of @count cells what may not go on; returns the cells that stay. */
static uint32_t sift(struct remote_in *in, const struct rk_ring_tx *tx, uint32_t count,
		     uint32_t *messages)
{
	uint32_t kept = 0, at = 0;

	while (at < count) {
		uint8_t *cell = in->cells + (size_t)at * RK_CELL_BYTES;
		uint32_t slots = ((const struct rk_msg *)cell)->slots;

		if (passes(in, tx, (const struct rk_msg *)cell)) {
			memmove(in->cells + (size_t)kept * RK_CELL_BYTES, cell,
				(size_t)slots * RK_CELL_BYTES);
			kept += slots;
			++*messages;
		}
		at += slots;
	}
	return kept;
}

/* The next message is longer than the budget: cells received, 0 not now. */
static int take_long(struct remote_in *in, const struct rk_ring_tx *tx, uint64_t room)
{
	struct rk_msg *cells = (struct rk_msg *)in->cells;
	uint32_t most = room < RK_MSG_MAX_SLOTS ? (uint32_t)room : RK_MSG_MAX_SLOTS;
	int got = rk_ring_recv(&in->inlet->rx, cells, most);

	if (got != -EMSGSIZE)
		return got;
	if (room < tx->max_slots) {
		port_count(&in->port.stats.ring_full, 1);
		return 0;
	}
	/* There will never be room for it: sift() counts it. */
	return rk_ring_recv(&in->inlet->rx, cells, RK_MSG_MAX_SLOTS);
}

/* Messages moved to @tx; 0 none now. */
static int transfer(struct remote_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	uint64_t room = rk_ring_tx_free(tx), most = room < REMOTE_IN_CELLS ? room : REMOTE_IN_CELLS;
	uint32_t kept, messages = 0;
	int got;

	if (!room) {
		port_count(&in->port.stats.ring_full, 1);
		return 0;
	}
	if (most > budget)
		most = budget;
	got = rk_ring_recv_batch(&in->inlet->rx, in->cells, (uint32_t)most);
	if (got == -EMSGSIZE)
		got = take_long(in, tx, room);
	if (got <= 0)
		return 0;
	kept = sift(in, tx, (uint32_t)got, &messages);
	if (kept)
		rk_ring_send_batch(tx, in->cells, kept);
	return (int)messages;
}

/* Nobody takes anything more: what lies in the ring is counted, and the producer told. */
static int give_up(struct remote_in *in, const struct rk_ring_tx *tx)
{
	uint32_t none = 0;
	int got;

	if (in->inlet) {
		while ((got = rk_ring_recv_batch(&in->inlet->rx, in->cells, REMOTE_IN_CELLS)) > 0)
			sift(in, NULL, (uint32_t)got, &none);
		rk_ring_refuse(&in->inlet->rx, RK_CLOSE_STOPPED);
	}
	remote_in_service(in);
	return port_closed(&in->port, tx);
}

int remote_in_at_close(struct remote_in *in)
{
	uint64_t closed = in->inlet->rx.closed;

	remote_in_service(in);
	if (closed == RK_CLOSE_BAD_HEADER)
		return rk_fail(EPROTO,
			       "port '%s': the peer wrote a message with impossible slots or flags",
			       in->port.uri);
	if (!in->stay)
		return -ENODATA;
	pthread_mutex_lock(&in->end.mutex);
	in->end.alone_since_ns = 0; /* it left as it should */
	pthread_mutex_unlock(&in->end.mutex);
	return 0;
}

static int in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct remote_in *in = in_of(port);
	int dead = 0, moved = 0;

	if (in->lent)
		return tx->closed ? port_closed(port, tx) : remote_lent_poll(in, tx);
	if (tx->closed)
		return give_up(in, tx);
	if (in->direct)
		return 0;
	/* First, so that what was there before the peer was lost is still received. */
	if (service_due(in)) {
		in->empty_looks = 0;
		dead = remote_in_service(in);
	}
	if (in->inlet)
		moved = transfer(in, tx, budget);
	if (moved || rk_ring_tx_free(tx) == 0)
		return tx->closed ? give_up(in, tx) : moved;
	if (in->inlet && in->inlet->rx.closed && !in->stay)
		return remote_in_at_close(in);
	if (!in->empty_looks && move_over(in))
		return 0;
	if (in->inlet && in->inlet->rx.closed)
		return remote_in_at_close(in);
	return dead ? rk_fail(-dead, "port '%s': %s", port->uri, port->note) : 0;
}

static uint64_t in_due_ns(const struct rk_port *port)
{
	return now_ns() + ((const struct remote_in *)port)->nap_us * 1000;
}

/* --- Opening and closing --- */

static int in_open(struct rk_port *port, const char *what)
{
	const struct remote_kind *kind =
		(const void *)((const char *)port->ops - offsetof(struct remote_kind, in));
	struct remote_in *in = in_of(port);
	int result = port_parse_feeds("address", what, &in->end.hosts);

	if (!result && in->end.hosts.count != 1)
		result = rk_fail(EINVAL, "'%s': an input listens at one address", what);
	if (!result && in->direct && in->stay)
		result = rk_fail(EINVAL,
				 "direct,stay: a ring that its producer closed stays closed: "
				 "leave one of them out");
	if (!result)
		result = kind->transport->ready();
	if (!result)
		result = remote_make(&in->end, kind->transport);
	if (result)
		return result;
	in->slots = in->slots ? in->slots : DEFAULT_SLOTS;
	in->nap_us = in->nap_given ? in->nap_us : DEFAULT_NAP_US;
	in->cells = calloc(REMOTE_IN_CELLS, RK_CELL_BYTES);
	if (!in->cells)
		return rk_fail(ENOMEM, "no memory");
	in->guest = (struct remote_guest){
		.end = &in->end, .meet = remote_in_meet, .keep = remote_in_keep};
	return remote_door_enter(&in->door, &in->guest);
}

/*
 * Say the last line until the peer has left, for a while: whoever leaves first may take along what
 * was on its way to the other.
 */
static void await_parting(struct remote_end *end)
{
	uint64_t now = now_ns(), until_ns = now + PARTING_MS * REMOTE_MS, line_ns = now;
	struct timespec pause = {.tv_nsec = 200000};

	for (; end->conn && now < until_ns; now = now_ns()) {
		if (now >= line_ns) {
			remote_put_line(end, now);
			line_ns = now + LINE_AGAIN_MS * REMOTE_MS;
		}
		if (end->conn &&
		    (end->transport->progress(end->conn) || end->transport->up(end->conn) < 0))
			return;
		nanosleep(&pause, NULL);
	}
}

void remote_in_leave(struct remote_in *in)
{
	struct remote_end *end = &in->end;

	if (!end->conn)
		return;
	if (in->inlet && !in->inlet->rx.closed)
		rk_ring_refuse(&in->inlet->rx, RK_CLOSE_STOPPED);
	if (in->inlet && in->bound == in->inlet) {
		rk_ring_rx_credit(&in->inlet->rx);
		end->outbox.consumed = remote_in_release(in, in->inlet);
		end->outbox.closed = in->inlet->rx.closed;
	} else {
		end->outbox.closed = RK_CLOSE_STOPPED;
	}
	await_parting(end);
	if (end->conn)
		end->transport->close(end->conn);
	end->conn = NULL;
}

static int in_close(struct rk_port *port)
{
	struct remote_in *in = in_of(port);

	if (in->door)
		remote_door_leave(in->door, &in->guest);
	if (in->end.made) {
		remote_in_leave(in);
		remote_sweep(&in->end);
	}
	remote_in_free(in->old);
	remote_in_free(in->next);
	remote_in_free(in->inlet);
	remote_unmake(&in->end);
	free(in->cells);
	return 0;
}

const struct port_ops remote_in_ops = {
	.bytes = sizeof(struct remote_in),
	.options = options,
	.open = in_open,
	.lend = remote_lent_lend,
	.take_back = remote_lent_take_back,
	.poll_in = in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = port_no_fd,
	.due_ns = in_due_ns,
	.close = in_close,
};
