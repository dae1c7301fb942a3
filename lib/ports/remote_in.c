// SPDX-License-Identifier: MIT
/*
 * The consumer's end of a ring across hosts.
 *
 * The peer writes into the ring; the port's thread takes messages out and sends credit back, every
 * 1/8 ring or when idle. A producer that comes back goes on in its ring; a new one gets a ring of
 * its own, which is read when the old one is empty. With `direct` the consumer's own ring is lent
 * instead, and nothing is copied here: remote_lent.c.
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

/* --- The keeper: a producer asks --- */

static void free_inlet(struct inlet *inlet)
{
	if (inlet)
		rk_region_close(inlet->region);
	free(inlet);
}

static int make_inlet(struct inlet **out, uint64_t session, uint64_t slots, const char *name)
{
	const struct rk_region_opts region_opts = {.size = sizeof(region_opts), .provider = "host"};
	/* A device writes there: it gains nothing from a line touched. */
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct inlet *inlet = calloc(1, sizeof(*inlet));
	size_t bytes = rk_ring_bytes(slots);
	int result;

	if (!inlet)
		return rk_fail(ENOMEM, "no memory for a ring");
	inlet->session = session;
	inlet->id = remote_id();
	result = rk_region_open(&inlet->region, bytes, &region_opts);
	if (!result)
		result = rk_ring_format(&inlet->ring, rk_region_info(inlet->region)->host_addr,
					bytes, slots, 0, name);
	if (!result)
		result = rk_ring_rx_open(&inlet->rx, &inlet->ring, &opts);
	if (result)
		free_inlet(inlet);
	else
		*out = inlet;
	return result;
}

/* May this producer have the ring now? 0, or -EBUSY and a text for it. Mutex held. */
static int admit(struct remote_in *in, const struct remote_hello *ask)
{
	bool same = in->bound && in->bound->session == ask->session;

	if (in->end.dead || in->end.stopping)
		return rk_fail(EBUSY, "its port is closed");
	if (in->direct && !in->lent)
		return rk_fail(EBUSY, "nobody has linked its port yet");
	if (in->end.conn && !same)
		return rk_fail(EBUSY, "another producer is connected");
	if (in->next && !same)
		return rk_fail(EBUSY, "what the last producer sent is still being read");
	return 0;
}

int remote_in_welcome(struct remote_in *in, struct remote_conn *conn, struct inlet *inlet,
		      const struct remote_hello *ask)
{
	const struct remote_transport *transport = in->end.transport;
	struct remote_hello hello;
	int result;

	remote_hello_init(&hello, REMOTE_WELCOME);
	hello.session = ask->session;
	hello.ring = inlet->id;
	hello.consumed = remote_in_consumed(inlet);
	hello.capacity_log2 = inlet->ring.capacity_log2;
	hello.timeout_ms = (uint32_t)in->end.timeout_ms;
	memcpy(hello.name, in->end.name, sizeof(hello.name));
	result = transport->offer_slots(conn, inlet->ring.slots,
					(uint64_t)RK_SLOT_BYTES << inlet->ring.capacity_log2,
					&hello.slots);
	if (!result)
		result = transport->offer_line(conn, in->end.inbox, &hello.line);
	if (!result)
		result = transport->tell(conn, &hello);
	if (result)
		return result;
	in->bound = inlet;
	in->credit_sent = in->end.outbox.consumed = hello.consumed;
	in->end.outbox.closed = 0;
	remote_joined(&in->end, conn, ask);
	return 0;
}

/* The last connection is nobody's any more: after this, nothing writes into the rings. */
static void hang_up(struct remote_in *in)
{
	if (in->end.conn) {
		rk_fail(ECONNRESET, "the producer connected again");
		remote_parted(&in->end);
	}
	remote_sweep(&in->end);
}

static int meet(struct remote_guest *guest, struct remote_conn *conn,
		const struct remote_hello *ask)
{
	struct remote_in *in =
		(struct remote_in *)((char *)guest - offsetof(struct remote_in, guest));
	struct inlet *inlet = NULL;
	int result;

	pthread_mutex_lock(&in->end.mutex);
	result = admit(in, ask);
	if (result)
		goto out;
	hang_up(in);
	if (in->lent) {
		result = remote_lent_meet(in, conn, ask);
		goto out;
	}
	if (in->bound && in->bound->session == ask->session && in->bound->id == ask->ring) {
		result = remote_in_welcome(in, conn, in->bound, ask);
		goto out;
	}
	result = make_inlet(&inlet, ask->session, in->slots, in->port.uri);
	if (!result)
		result = remote_in_welcome(in, conn, inlet, ask);
	if (result) {
		free_inlet(inlet);
		goto out;
	}
	/* One that was offered and not known to its producer was never written to. */
	free_inlet(in->next);
	in->next = inlet;
out:
	pthread_mutex_unlock(&in->end.mutex);
	return result;
}

static uint64_t keep(struct remote_guest *guest)
{
	struct remote_in *in =
		(struct remote_in *)((char *)guest - offsetof(struct remote_in, guest));
	struct remote_end *end = &in->end;
	uint64_t due_ns = UINT64_MAX;

	pthread_mutex_lock(&end->mutex);
	remote_sweep(end);
	free_inlet(in->old);
	in->old = NULL;
	if (end->conn)
		due_ns = remote_keep(end);
	if (!end->conn)
		remote_check_alone(end);
	pthread_mutex_unlock(&end->mutex);
	return due_ns;
}

/* --- The port's thread --- */

/* Tell the peer what was consumed, when that is worth a line. Mutex held. */
static void give_credit(struct remote_in *in)
{
	struct remote_end *end = &in->end;
	struct inlet *inlet = in->inlet;
	/* Refused by us, or, as a receipt, closed by the producer. */
	uint64_t closed = inlet->rx.closed, consumed, fresh, now;

	if (closed)
		rk_ring_rx_credit(&inlet->rx);
	consumed = remote_in_consumed(inlet);
	fresh = consumed - in->credit_sent;
	if (!fresh && closed == end->outbox.closed)
		return;
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

int remote_in_open(struct rk_port *port, const char *what, const struct remote_transport *transport)
{
	struct remote_in *in = in_of(port);
	int result = port_parse_feeds("address", what, &in->end.hosts);

	if (!result && in->end.hosts.count != 1)
		result = rk_fail(EINVAL, "'%s': an input listens at one address", what);
	if (!result && in->direct && in->stay)
		result = rk_fail(EINVAL,
				 "direct,stay: a ring that its producer closed stays closed: "
				 "leave one of them out");
	if (!result)
		result = transport->ready();
	if (!result)
		result = remote_make(&in->end, transport);
	if (result)
		return result;
	in->slots = in->slots ? in->slots : DEFAULT_SLOTS;
	in->nap_us = in->nap_given ? in->nap_us : DEFAULT_NAP_US;
	in->cells = calloc(REMOTE_IN_CELLS, RK_CELL_BYTES);
	if (!in->cells)
		return rk_fail(ENOMEM, "no memory");
	in->guest = (struct remote_guest){.end = &in->end, .meet = meet, .keep = keep};
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
		end->outbox.consumed = remote_in_consumed(in->inlet);
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
	free_inlet(in->old);
	free_inlet(in->next);
	free_inlet(in->inlet);
	remote_unmake(&in->end);
	free(in->cells);
	return 0;
}

const struct port_ops remote_in_ops = {
	.bytes = sizeof(struct remote_in),
	.options = options,
	.lend = remote_lent_lend,
	.take_back = remote_lent_take_back,
	.poll_in = in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = port_no_fd,
	.due_ns = in_due_ns,
	.close = in_close,
};
