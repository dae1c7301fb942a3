/* SPDX-License-Identifier: MIT */
/*
 * remote_fabric.h - a transport for tests of rings across hosts: a fabric that writes words one by
 * one in any order, at any time, breaks connections and tells no one.
 */
#ifndef REMOTE_FABRIC_H
#define REMOTE_FABRIC_H

#include "ring_aid.h"
#include "ports/remote.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { CONNS = 4, WORDS = 1 << 14 };

/* A word under way, or a completion behind it. */
struct flight {
	uint64_t *to;
	uint64_t value;
	uint64_t position; /* that is completed when all words before it have landed */
	bool landed;
};

/* A connection's end. */
struct side {
	struct remote_conn conn; /* first */
	struct side *peer;	 /* NULL: gone */
	bool accepted, broken;
	struct remote_hello mail; /* under way, then in the hands of who made progress */
	struct remote_hello heard;
	bool mailed;
	struct rk_slot *slots; /* offered; as its GPU sees them, where they are on one */
	struct remote_line *line;
	struct rk_slot *stage;
	struct flight flight[WORDS];
	uint32_t head, tail;
	uint64_t position;
};

static pthread_mutex_t fabric = PTHREAD_MUTEX_INITIALIZER;
static struct side *knocking[CONNS];
static bool listening, cut; /* cut: nothing connects */
static uint64_t broken_connections;
static bool chaos;  /* words land late and in any order */
static bool by_cpu; /* memory of GPUs is written through its mapping: there is no NIC to do it */
static const char *unreachable; /* why nothing is written into memory of GPUs; NULL: it is */

static struct side *side_of(struct remote_conn *conn)
{
	return (struct side *)conn;
}

static uint64_t chance_state; /* under the fabric's mutex */

static uint64_t chance(void)
{
	return aid_random(&chance_state);
}

static bool one_in(uint32_t n)
{
	return chance() % n == 0;
}

static int test_ready(void)
{
	return 0;
}

static int test_listen(struct remote_listener **out, const struct sockaddr_in *address)
{
	(void)address;
	*out = (struct remote_listener *)&listening;
	pthread_mutex_lock(&fabric);
	listening = true;
	pthread_mutex_unlock(&fabric);
	return 0;
}

static void test_unlisten(struct remote_listener *listener)
{
	(void)listener;
	pthread_mutex_lock(&fabric);
	listening = false;
	pthread_mutex_unlock(&fabric);
}

static int test_fd(const struct remote_listener *listener)
{
	(void)listener;
	return -1;
}

static int test_connect(struct remote_conn **out, const struct sockaddr_in *address)
{
	int result = rk_fail(ECONNREFUSED, "nobody listens there");

	(void)address;
	pthread_mutex_lock(&fabric);
	for (int i = 0; i < CONNS && result && !cut && listening; i++) {
		struct side *side;

		if (knocking[i])
			continue;
		side = calloc(1, sizeof(*side));
		knocking[i] = calloc(1, sizeof(*side));
		assert_non_null(side);
		assert_non_null(knocking[i]);
		side->peer = knocking[i];
		side->peer->peer = side;
		*out = &side->conn;
		result = 0;
	}
	pthread_mutex_unlock(&fabric);
	return result;
}

static int test_accept(struct remote_listener *listener, struct remote_conn **out)
{
	int got = 0;

	(void)listener;
	pthread_mutex_lock(&fabric);
	for (int i = 0; i < CONNS && !got; i++)
		if (knocking[i]) {
			*out = &knocking[i]->conn;
			knocking[i]->accepted = true;
			if (knocking[i]->peer)
				knocking[i]->peer->accepted = true;
			knocking[i] = NULL;
			got = 1;
		}
	pthread_mutex_unlock(&fabric);
	return got;
}

static int is_up(const struct side *side)
{
	if (side->broken || !side->peer)
		return rk_fail(ENOTCONN, "the peer is gone");
	return side->accepted;
}

static int test_up(struct remote_conn *conn)
{
	int result;

	pthread_mutex_lock(&fabric);
	result = is_up(side_of(conn));
	pthread_mutex_unlock(&fabric);
	return result;
}

static int test_tell(struct remote_conn *conn, const struct remote_hello *hello)
{
	struct side *side = side_of(conn);
	int result;

	pthread_mutex_lock(&fabric);
	result = is_up(side) < 0 ? -ENOTCONN : 0;
	if (!result) {
		side->peer->mail = *hello;
		side->peer->mailed = true;
	}
	pthread_mutex_unlock(&fabric);
	return result;
}

static int fabric_reach(struct remote_listener *listener, const struct remote_memory *memory,
		      char how[REMOTE_TEXT_BYTES])
{
	(void)listener;
	if (!remote_is_on_gpu(memory))
		return 0;
	if (unreachable)
		return rk_fail(EOPNOTSUPP, "%s", unreachable);
	strcpy(how, "memory of a GPU");
	return 0;
}

static int test_offer_slots(struct remote_conn *conn, const struct remote_memory *memory,
			    struct remote_window *window)
{
	uint64_t addr = remote_is_on_gpu(memory) && !by_cpu
				? rk_region_gpu_addr(memory->region, memory->addr)
				: (uintptr_t)memory->addr;

	side_of(conn)->slots = (struct rk_slot *)(uintptr_t)addr;
	*window = (struct remote_window){addr, memory->bytes, 1};
	return 0;
}

static int test_offer_line(struct remote_conn *conn, struct remote_line *line,
			   struct remote_window *window)
{
	side_of(conn)->line = line;
	*window = (struct remote_window){(uintptr_t)line, sizeof(*line), 2};
	return 0;
}

static int test_aim(struct remote_conn *conn, struct rk_slot *slots, const struct remote_window *to)
{
	(void)to;
	side_of(conn)->stage = slots;
	side_of(conn)->position = conn->completed;
	return 0;
}

static void test_aim_line(struct remote_conn *conn, const struct remote_window *to)
{
	(void)conn;
	(void)to;
}

/* The words of a slot leave in any order among themselves, and are read when they land. */
static void fly(struct side *side, uint64_t offset, uint64_t position)
{
	uint64_t *from = (uint64_t *)((char *)side->stage + offset);
	uint64_t *to = (uint64_t *)((char *)side->peer->slots + offset);
	uint32_t turn = (uint32_t)chance() % RK_SLOT_WORDS;

	for (uint32_t i = 0; i < RK_SLOT_WORDS; i++) {
		uint32_t word = (i + turn) % RK_SLOT_WORDS;

		side->flight[side->head++ % WORDS] =
			(struct flight){&to[word], __atomic_load_n(&from[word], __ATOMIC_RELAXED),
					i == RK_SLOT_WORDS - 1 ? position : 0, false};
	}
}

static int test_put(struct remote_conn *conn, const struct remote_run *runs, uint32_t count,
		    uint64_t position)
{
	struct side *side = side_of(conn);
	uint32_t taken = 0;
	int result;

	(void)position;
	pthread_mutex_lock(&fabric);
	result = is_up(side);
	while (result > 0 && taken < count && !(chaos && one_in(8)) &&
	       side->head - side->tail + REMOTE_RUN_BYTES / 8 < WORDS) {
		for (uint64_t at = 0; at < runs[taken].bytes; at += RK_SLOT_BYTES)
			fly(side, runs[taken].offset + at, ++side->position);
		taken++;
	}
	pthread_mutex_unlock(&fabric);
	return result < 0 ? result : (int)taken;
}

/* Straight, without flight: each word is whole by itself. */
static int test_put_line(struct remote_conn *conn, const struct remote_line *line)
{
	struct side *side = side_of(conn);
	struct remote_line *to;
	int result;

	pthread_mutex_lock(&fabric);
	result = is_up(side);
	to = result > 0 ? side->peer->line : NULL;
	if (to && !(chaos && one_in(8))) {
		__atomic_store_n(&to->consumed, line->consumed, __ATOMIC_RELEASE);
		__atomic_store_n(&to->closed, line->closed, __ATOMIC_RELAXED);
		__atomic_store_n(&to->beat, line->beat, __ATOMIC_RELAXED);
	} else if (result > 0) {
		result = 0;
	}
	pthread_mutex_unlock(&fabric);
	return result;
}

/* Let some words land, anywhere within the next few slots. */
static void land(struct side *side)
{
	uint32_t most = chaos ? (uint32_t)chance() % 400 : UINT32_MAX;

	for (uint32_t i = 0; i < most && side->tail != side->head; i++) {
		uint32_t ahead = chaos ? (uint32_t)chance() % 64 : 0;
		struct flight *flight;

		if (ahead >= side->head - side->tail)
			ahead = 0;
		flight = &side->flight[(side->tail + ahead) % WORDS];
		if (!flight->landed && side->peer && !side->broken)
			__atomic_store_n(flight->to, flight->value, __ATOMIC_RELAXED);
		flight->landed = true;
		while (side->tail != side->head && side->flight[side->tail % WORDS].landed) {
			if (side->flight[side->tail % WORDS].position)
				side->conn.completed = side->flight[side->tail % WORDS].position;
			side->tail++;
		}
	}
	if (by_cpu)
		rk_codec_flush();
}

/* What was sent before a close arrives, unless the connection is broken. */
static void land_all(struct side *side)
{
	bool before = chaos;

	chaos = false;
	land(side);
	chaos = before;
}

static int test_progress(struct remote_conn *conn)
{
	struct side *side = side_of(conn);
	int result;

	pthread_mutex_lock(&fabric);
	if (side->mailed && !conn->heard) {
		side->heard = side->mail;
		conn->heard = &side->heard;
		conn->heard_bytes = sizeof(side->heard);
	}
	result = is_up(side) < 0 ? -ENOTCONN : 0;
	if (!result)
		land(side);
	pthread_mutex_unlock(&fabric);
	return result;
}

static void test_close(struct remote_conn *conn)
{
	struct side *side = side_of(conn);

	pthread_mutex_lock(&fabric);
	for (int i = 0; i < CONNS; i++) {
		if (side->peer && knocking[i] == side->peer) {
			free(knocking[i]);
			knocking[i] = NULL;
			side->peer = NULL;
		}
	}
	if (side->peer) {
		land_all(side);
		side->peer->peer = NULL;
	}
	pthread_mutex_unlock(&fabric);
	free(side);
}

static const struct remote_transport transport = {
	.name = "test",
	.one_sided = false,
	.ready = test_ready,
	.listen = test_listen,
	.accept = test_accept,
	.unlisten = test_unlisten,
	.listen_fd = test_fd,
	.reach = fabric_reach,
	.connect = test_connect,
	.up = test_up,
	.tell = test_tell,
	.offer_slots = test_offer_slots,
	.offer_line = test_offer_line,
	.aim = test_aim,
	.aim_line = test_aim_line,
	.put = test_put,
	.put_line = test_put_line,
	.progress = test_progress,
	.close = test_close,
};

#endif
