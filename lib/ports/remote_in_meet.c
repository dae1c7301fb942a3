// SPDX-License-Identifier: MIT
/*
 * The keeper of a ring's consumer, which is the door's thread: it gives a producer that asks the
 * ring it knows, or one of its own, and sees to it that the peer is there.
 */
#include "ports/remote_in.h"

#include <stdlib.h>
#include <string.h>

static struct remote_in *in_of_guest(struct remote_guest *guest)
{
	return (struct remote_in *)((char *)guest - offsetof(struct remote_in, guest));
}

void remote_in_free(struct inlet *inlet)
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
		remote_in_free(inlet);
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
	const struct remote_memory memory = remote_in_slots(inlet);
	struct remote_hello hello;
	int result;

	remote_hello_init(&hello, REMOTE_WELCOME);
	hello.session = ask->session;
	hello.ring = inlet->id;
	hello.consumed = remote_in_release(in, inlet);
	hello.capacity_log2 = inlet->ring.capacity_log2;
	hello.timeout_ms = (uint32_t)in->end.timeout_ms;
	memcpy(hello.name, in->end.name, sizeof(hello.name));
	result = transport->offer_slots(conn, &memory, &hello.slots);
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

int remote_in_meet(struct remote_guest *guest, struct remote_conn *conn,
		   const struct remote_hello *ask)
{
	struct remote_in *in = in_of_guest(guest);
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
		remote_in_free(inlet);
		goto out;
	}
	/* One that was offered and not known to its producer was never written to. */
	remote_in_free(in->next);
	in->next = inlet;
out:
	pthread_mutex_unlock(&in->end.mutex);
	return result;
}

uint64_t remote_in_keep(struct remote_guest *guest)
{
	struct remote_in *in = in_of_guest(guest);
	struct remote_end *end = &in->end;
	uint64_t due_ns = UINT64_MAX;

	pthread_mutex_lock(&end->mutex);
	remote_sweep(end);
	remote_in_free(in->old);
	in->old = NULL;
	if (end->conn)
		due_ns = remote_keep(end);
	if (!end->conn)
		remote_check_alone(end);
	pthread_mutex_unlock(&end->mutex);
	return due_ns;
}
