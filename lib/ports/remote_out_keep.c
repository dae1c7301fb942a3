// SPDX-License-Identifier: MIT
/* The keeper of a ring's producer: it connects, greets, and sees to it that the peer is there. */
#include "ports/remote_out.h"

#include <inttypes.h>
#include <string.h>

enum { RETRY_MS = 100, PAUSE_NS = 200000 };

/* Say hello as soon as @conn is up: 1 said; 0 not yet; -errno. */
static int greet(struct remote_out *out, struct remote_conn *conn, struct remote_hello *ask)
{
	const struct remote_transport *transport = out->end.transport;
	int result = transport->up(conn);

	if (result <= 0)
		return result;
	result = transport->offer_line(conn, out->end.inbox, &ask->line);
	if (!result)
		result = transport->tell(conn, ask);
	return result ? result : 1;
}

/* False when it is time to give up. */
static bool pause_until(struct remote_out *out, uint64_t until_ns)
{
	uint64_t now = now_ns();
	bool go_on;

	pthread_mutex_lock(&out->end.mutex);
	if (!out->end.stopping)
		remote_wait(&out->end, now + PAUSE_NS);
	go_on = !out->end.stopping && now < until_ns;
	pthread_mutex_unlock(&out->end.mutex);
	return go_on;
}

/* Greet and wait for the answer. Mutex not held. 0 or -errno. */
static int converse(struct remote_out *out, struct remote_conn *conn, struct remote_hello *ask,
		    struct remote_hello *welcome)
{
	uint64_t until_ns = now_ns() + 2 * out->end.timeout_ms * REMOTE_MS;
	int told = 0, heard = 0;

	while (!heard) {
		if (!told) {
			told = greet(out, conn, ask);
			heard = told < 0 ? told : 0;
		} else {
			/* In this order: an answer may be there from one that has left since. */
			heard = remote_hear(out->end.transport, conn);
			if (!heard && out->end.transport->up(conn) < 0)
				heard = -ENOTCONN;
		}
		if (!heard && !pause_until(out, until_ns))
			return rk_fail(ETIMEDOUT, "%s within %" PRIu64 " ms",
				       told ? "connected, and no answer" : "no connection",
				       2 * out->end.timeout_ms);
	}
	return heard < 0 ? heard
			 : remote_hello_check(conn->heard, conn->heard_bytes, true, welcome);
}

/* Agree on the positions and begin to send. Mutex held. */
static int join(struct remote_out *out, struct remote_conn *conn, struct remote_stage *stage,
		const struct remote_hello *welcome)
{
	int result = 0;

	if (stage == out->stage)
		result = remote_stage_resume(stage, welcome);
	if (result)
		return result;
	conn->completed = welcome->consumed;
	conn->capacity = 1ULL << stage->ring.capacity_log2;
	result = out->end.transport->aim(conn, stage->ring.slots, &welcome->slots);
	if (result)
		return result;
	if (stage != out->stage)
		out->next = stage;
	remote_joined(&out->end, conn, welcome);
	return 0;
}

static void fill_ask(struct remote_out *out, struct remote_hello *ask)
{
	remote_hello_init(ask, REMOTE_ASK);
	ask->session = out->session;
	ask->timeout_ms = (uint32_t)out->end.timeout_ms;
	memcpy(ask->name, out->end.name, sizeof(ask->name));
	pthread_mutex_lock(&out->end.mutex);
	/* What the last peer wrote there must not be taken for the next one's. */
	__atomic_store_n(&out->end.inbox->closed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&out->end.inbox->consumed, out->stage ? out->stage->credit : 0,
			 __ATOMIC_RELAXED);
	ask->ring = out->stage ? out->stage->id : 0;
	pthread_mutex_unlock(&out->end.mutex);
}

/* One attempt at one host. Mutex not held. */
static int attempt(struct remote_out *out)
{
	struct sockaddr_in address = remote_address(out->end.hosts.at[out->host]);
	struct remote_hello ask, welcome;
	struct remote_conn *conn = NULL;
	struct remote_stage *stage = NULL;
	int result;

	fill_ask(out, &ask);
	result = out->end.transport->connect(&conn, &address);
	if (!result)
		result = converse(out, conn, &ask, &welcome);
	if (!result && welcome.session != out->session)
		result = rk_fail(EPROTO, "hello: an answer to another session");
	if (!result && welcome.ring != ask.ring)
		result = remote_stage_make(&stage, &welcome, out->port.uri);
	if (!result) {
		pthread_mutex_lock(&out->end.mutex);
		if (stage) /* nothing has been put there yet, so nothing can be consumed */
			__atomic_store_n(&out->end.inbox->consumed, welcome.consumed,
					 __ATOMIC_RELAXED);
		result = join(out, conn, stage ? stage : out->stage, &welcome);
		pthread_mutex_unlock(&out->end.mutex);
	}
	if (result) {
		remote_stage_free(stage);
		if (conn)
			out->end.transport->close(conn);
	}
	return result;
}

/* The next host, unless the one that has our ring may yet come back. Mutex held. */
static void try_next(struct remote_out *out)
{
	struct remote_end *end = &out->end;

	if (!out->stage || now_ns() - end->alone_since_ns > end->timeout_ms * REMOTE_MS)
		out->host = (out->host + 1) % end->hosts.count;
}

static void connect_again(struct remote_out *out)
{
	struct remote_end *end = &out->end;
	int result;

	pthread_mutex_unlock(&end->mutex);
	result = attempt(out);
	pthread_mutex_lock(&end->mutex);
	if (!result)
		return;
	remote_say(end, "%.200s", rk_errmsg());
	try_next(out);
	if (!end->stopping)
		remote_wait(end, now_ns() + RETRY_MS * REMOTE_MS);
}

/*
 * The connection is gone: did its consumer say before that it takes nothing more? The port's thread
 * may have had nothing to send meanwhile. Mutex held.
 */
static void heed_last_word(struct remote_out *out)
{
	/* Relaxed: the reason publishes nothing but itself. */
	uint64_t closed = __atomic_load_n(&out->end.inbox->closed, __ATOMIC_RELAXED);

	if (!closed || closed == RK_CLOSE_DONE || out->end.dead)
		return;
	remote_say(&out->end, "the peer takes nothing more, reason %" PRIu64, closed);
	out->end.dead = -EPIPE;
}

void *remote_out_keep(void *argument)
{
	struct remote_out *out = argument;
	struct remote_end *end = &out->end;

	pthread_mutex_lock(&end->mutex);
	while (!end->stopping && !end->dead) {
		remote_sweep(end);
		remote_stage_free(out->old);
		out->old = NULL;
		if (end->conn) {
			uint64_t due_ns = remote_keep(end);

			if (end->conn && !end->stopping)
				remote_wait(end, due_ns);
			continue;
		}
		heed_last_word(out);
		/* A ring prepared for a peer that is gone, and never moved to. */
		remote_sweep(end);
		remote_stage_free(out->next);
		out->next = NULL;
		if (!remote_check_alone(end))
			connect_again(out);
	}
	pthread_mutex_unlock(&end->mutex);
	return NULL;
}
