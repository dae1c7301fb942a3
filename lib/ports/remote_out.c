// SPDX-License-Identifier: MIT
/*
 * The producer's end of a ring across hosts.
 *
 * The port's thread writes messages into the staging ring and puts its slots; the keeper connects
 * (remote_out_keep.c). When the peer offers a ring that is not the one known, the keeper makes a
 * staging ring for it and the port's thread moves over; what the old ring held unconfirmed is
 * counted, never sent twice.
 */
#include "ports/remote_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_LINGER_MS = 5000, GATHER = 32 };

static struct remote_out *out_of(struct rk_port *port)
{
	return (struct remote_out *)port;
}

static int set_name(struct rk_port *port, const char *value)
{
	return remote_set_name(&out_of(port)->end, value);
}

static int set_timeout(struct rk_port *port, const char *value)
{
	return remote_set_timeout(&out_of(port)->end, value);
}

static int set_retry(struct rk_port *port, const char *value)
{
	return remote_set_retry(&out_of(port)->end, value);
}

static int set_linger(struct rk_port *port, const char *value)
{
	out_of(port)->linger_given = true;
	return port_parse_count("linger", value, 0, REMOTE_MAX_TIMEOUT_MS,
				&out_of(port)->linger_ms);
}

static const struct port_option options[] = {
	{"name", false, set_name},   {"timeout", false, set_timeout},
	{"retry", false, set_retry}, {"linger", false, set_linger},
	{NULL, false, NULL},
};

/* --- What is lost --- */

/* The staging ring is of no more use: what it held is lost as far as anyone knows. */
static void lose(struct remote_out *out, struct remote_stage *stage)
{
	uint64_t consumed = __atomic_load_n(&out->end.inbox->consumed, __ATOMIC_RELAXED), lost;
	char last[REMOTE_WHY_BYTES];

	/* Relaxed: nothing is written where it frees room. */
	if (!out->next && consumed - stage->credit <= stage->reached - stage->credit)
		stage->credit = consumed;
	lost = remote_stage_unconfirmed(stage);
	if (!lost)
		return;
	port_count(&out->port.stats.dropped_unconfirmed, lost);
	memcpy(last, out->end.why, sizeof(last));
	remote_say(&out->end, "%" PRIu64 " messages unconfirmed, delivered or not: %.180s", lost,
		   last);
}

/* Move to the ring that the keeper prepared. The port's thread, mutex held. */
static void move_over(struct remote_out *out)
{
	if (!out->next)
		return;
	if (out->stage)
		lose(out, out->stage);
	out->old = out->stage;
	out->stage = out->next;
	out->next = NULL;
	out->gathered = 0;
	pthread_cond_signal(&out->end.changed);
}

/* --- The port's thread --- */

/* Believe the consumer's credit if it can be true, and give the staging ring its room back. */
static int take_credit(struct remote_out *out)
{
	struct remote_end *end = &out->end;
	struct remote_stage *stage = out->stage;
	/* A20: pairs with R20 in ucx.c, or a NIC's write: the slots were read before they are free.
	 */
	uint64_t consumed = __atomic_load_n(&end->inbox->consumed, __ATOMIC_ACQUIRE);
	uint64_t base = stage->credit, free_to = end->conn->completed;

	if (consumed - base > stage->reached - base) {
		remote_say(end,
			   "the peer's credit is %" PRIu64 ", expected %" PRIu64 " to %" PRIu64,
			   consumed, base, stage->reached);
		return end->dead = -EPROTO;
	}
	/* After a reconnection it may be ahead of what was put again. */
	stage->credit = consumed - base < stage->posted - base ? consumed : stage->posted;
	base = stage->tx.credit;
	/* The transport may still read what the consumer has already seen. */
	if (stage->credit - base < free_to - base)
		free_to = stage->credit;
	/* Relaxed: this thread's own; A1 finds it in program order. */
	if (free_to - base <= stage->credit - base)
		__atomic_store_n(&stage->ring.credit->consumed, free_to, __ATOMIC_RELAXED);
	return 0;
}

/* Put what was written; true when all of it is. */
static bool put(struct remote_out *out)
{
	struct remote_run runs[REMOTE_MAX_RUNS];
	struct remote_stage *stage = out->stage;
	uint64_t position;
	uint32_t count;
	int taken;

	while ((count = remote_stage_runs(stage, runs, &position))) {
		taken = out->end.transport->put(out->end.conn, runs, count, position);
		if (taken < 0)
			remote_parted(&out->end);
		if (taken <= 0)
			return false;
		for (int i = 0; i < taken; i++)
			stage->posted += runs[i].bytes / RK_SLOT_BYTES;
		if (stage->posted - stage->credit > stage->reached - stage->credit)
			stage->reached = stage->posted;
	}
	out->gathered = 0;
	return true;
}

/* The port is dead: count what is lost once, and say why each time. */
static int say_dead(struct remote_out *out)
{
	if (out->stage && !out->lost)
		lose(out, out->stage);
	out->lost = true;
	return rk_fail(-out->end.dead, "port '%s': %s", out->port.uri, out->end.why);
}

/*
 * Is what comes back to be looked at? Where it comes by itself only when the ring is half full, or
 * somebody waits for the last of it.
 */
static bool look_back_due(const struct remote_out *out)
{
	const struct remote_stage *stage = out->stage;
	uint64_t used = rk_ring_tx_position(&stage->tx) - stage->tx.credit;

	return !out->end.transport->one_sided || out->draining ||
	       used >= 1ULL << (stage->ring.capacity_log2 - 1) || stage->tx.limit == stage->tx.slot;
}

/* The consumer takes nothing more. Mutex held. */
static void end_by_peer(struct remote_out *out, uint64_t closed)
{
	uint64_t left = rk_ring_tx_position(&out->stage->tx) - out->stage->credit;

	/* Its receipt for our close: the words of its line may come one by one. */
	if (closed == RK_CLOSE_DONE && out->draining && left > 1)
		return;
	if (closed != RK_CLOSE_DONE)
		remote_say(&out->end, "the peer takes nothing more, reason %" PRIu64, closed);
	out->end.dead = -EPIPE;
}

/* Move what the connection can move: 1 all is put; 0 not all. Mutex held. */
static int move(struct remote_out *out)
{
	struct remote_end *end = &out->end;
	/* Relaxed: the reason publishes nothing but itself. */
	uint64_t closed = __atomic_load_n(&end->inbox->closed, __ATOMIC_RELAXED);

	if (look_back_due(out) || closed) {
		if (end->transport->progress(end->conn)) {
			remote_parted(end);
			return 0;
		}
		if (take_credit(out))
			return 0;
	}
	if (closed)
		end_by_peer(out, closed);
	return end->dead ? 0 : put(out);
}

/* Move what can be moved. 1 all is put; 0 not all; -errno dead. */
static int pump(struct remote_out *out)
{
	struct remote_end *end = &out->end;
	int result = 0;

	if (pthread_mutex_trylock(&end->mutex))
		return 0;
	move_over(out);
	if (end->conn && out->stage && !end->dead)
		result = move(out);
	if (end->dead)
		result = say_dead(out);
	remote_note(end, &out->port);
	pthread_mutex_unlock(&end->mutex);
	return result;
}

static int out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct remote_out *out = out_of(port);
	struct port_view view;
	int sent = 0, result;

	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	for (int tries = 0; !sent && tries < 2; tries++) {
		if (tries || !out->stage || out->gathered >= GATHER) {
			result = pump(out);
			if (result < 0)
				return result;
		}
		if (out->stage)
			sent = rk_ring_send(&out->stage->tx, msg);
	}
	if (sent < 0) {
		port_count(&port->stats.dropped_too_long, 1);
		return 1;
	}
	if (!sent)
		return 0;
	out->gathered++;
	port_count(&port->stats.messages, 1);
	port_count(&port->stats.bytes, view.bytes);
	return 1;
}

static int out_flush(struct rk_port *port)
{
	struct remote_out *out = out_of(port);
	int result = pump(out);

	/* Before the first peer there is nothing to flush. */
	return result || out->stage ? result : 1;
}

/* --- Opening and closing --- */

static int out_open(struct rk_port *port, const char *what)
{
	const struct remote_kind *kind =
		(const void *)((const char *)port->ops - offsetof(struct remote_kind, out));
	struct remote_out *out = out_of(port);
	int result = port_parse_feeds("address", what, &out->end.hosts);

	if (!result)
		result = kind->transport->ready();
	if (!result)
		result = remote_make(&out->end, kind->transport);
	if (result)
		return result;
	out->session = remote_id();
	out->linger_ms = out->linger_given ? out->linger_ms : DEFAULT_LINGER_MS;
	out->end.alone_since_ns = now_ns();
	result = pthread_create(&out->keeper, NULL, remote_out_keep, out);
	if (result)
		return rk_fail(result, "a thread for its connection: %s", strerror(result));
	out->started = true;
	return 0;
}

/* Close the ring and wait until the peer has taken all that is before. 0 or -errno, with a text. */
static int drain(struct remote_out *out)
{
	uint64_t until_ns = now_ns() + out->linger_ms * REMOTE_MS, left;
	const struct remote_stage *of = out->stage;
	bool closed = false;
	int result;

	if (!out->stage)
		return 0;
	out->draining = true;
	for (;;) {
		struct timespec pause = {.tv_nsec = 100000};

		result = pump(out);
		/* Another consumer has come meanwhile: its ring is to be closed too. */
		closed &= of == out->stage;
		of = out->stage;
		/* The closing message is never given back; it is answered by a closed line. */
		left = rk_ring_tx_position(&out->stage->tx) - out->stage->credit - closed;
		if (result == -EPIPE && !left)
			return 0;
		if (result < 0)
			return rk_fail(-out->end.dead, "%s", out->end.why);
		if (!closed)
			closed = rk_ring_close(&out->stage->tx, RK_CLOSE_DONE);
		if (now_ns() > until_ns)
			break;
		nanosleep(&pause, NULL);
	}
	if (closed && !left)
		return 0; /* all was taken; only the receipt is missing */
	/* The keeper may find another reason at any time. */
	pthread_mutex_lock(&out->end.mutex);
	lose(out, out->stage);
	result = rk_fail(ETIMEDOUT, "not all was taken within %" PRIu64 " ms (linger=): %s",
			 out->linger_ms, out->end.why);
	pthread_mutex_unlock(&out->end.mutex);
	return result;
}

static int out_close(struct rk_port *port)
{
	struct remote_out *out = out_of(port);
	const struct remote_transport *transport = out->end.transport;
	int result = out->started ? drain(out) : 0;

	if (out->started) {
		pthread_mutex_lock(&out->end.mutex);
		out->end.stopping = true;
		pthread_cond_signal(&out->end.changed);
		pthread_mutex_unlock(&out->end.mutex);
		pthread_join(out->keeper, NULL);
	}
	remote_sweep(&out->end);
	if (out->end.conn)
		transport->close(out->end.conn);
	remote_stage_free(out->old);
	remote_stage_free(out->next);
	remote_stage_free(out->stage);
	remote_unmake(&out->end);
	return result;
}

const struct port_ops remote_out_ops = {
	.bytes = sizeof(struct remote_out),
	.options = options,
	.open = out_open,
	.poll_in = port_no_poll_in,
	.write = out_write,
	.flush = out_flush,
	.fd = port_no_fd,
	.due_ns = port_no_due_ns,
	.close = out_close,
};
