// SPDX-License-Identifier: MIT
/*
 * Rings across hosts over a transport of this test's: a fabric that writes words one by one in any
 * order, at any time, breaks connections and tells no one, and peers that lie. What is received is
 * what was sent, in order and whole; what is missing was reported.
 */
#include "ring_aid.h"
#include "ports/remote.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { CONNS = 4, WORDS = 1 << 14, RING_SLOTS = 32, CELLS = 255 };

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
	uint8_t heard[sizeof(struct remote_hello) + 8];
	uint32_t heard_bytes;
	struct rk_slot *slots; /* offered */
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
static bool chaos; /* words land late and in any order */

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
		memcpy(side->peer->heard, hello, sizeof(*hello));
		side->peer->heard_bytes = sizeof(*hello);
	}
	pthread_mutex_unlock(&fabric);
	return result;
}

static int test_hear(struct remote_conn *conn, void *hello, size_t room)
{
	struct side *side = side_of(conn);
	int bytes;

	pthread_mutex_lock(&fabric);
	bytes = (int)(side->heard_bytes < room ? side->heard_bytes : room);
	memcpy(hello, side->heard, (size_t)bytes);
	if (!bytes && is_up(side) < 0)
		bytes = -ENOTCONN;
	pthread_mutex_unlock(&fabric);
	return bytes;
}

static int test_offer_slots(struct remote_conn *conn, struct rk_slot *slots, uint64_t bytes,
			    struct remote_window *window)
{
	side_of(conn)->slots = slots;
	*window = (struct remote_window){(uintptr_t)slots, bytes, 1};
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
	.connect = test_connect,
	.up = test_up,
	.tell = test_tell,
	.hear = test_hear,
	.offer_slots = test_offer_slots,
	.offer_line = test_offer_line,
	.aim = test_aim,
	.aim_line = test_aim_line,
	.put = test_put,
	.put_line = test_put_line,
	.progress = test_progress,
	.close = test_close,
};

/* --- Ports over it --- */

static struct rk_port *open_port(const struct port_ops *ops, const char *key, const char *value)
{
	struct rk_port *port = calloc(1, ops->bytes);
	const struct port_option *option = ops->options;
	int result;

	assert_non_null(port);
	port->ops = ops;
	port->uri = strdup("test:10.0.0.1:1");
	for (; option->key; option++) {
		if (!strcmp(option->key, "timeout"))
			assert_int_equal(option->set(port, "200"), 0);
		if (!strcmp(option->key, "retry"))
			assert_int_equal(option->set(port, "4000"), 0);
		if (!strcmp(option->key, "slots"))
			assert_int_equal(option->set(port, "32"), 0);
		if (key && !strcmp(option->key, key))
			assert_int_equal(option->set(port, value), 0);
	}
	result = ops == &remote_in_ops ? remote_in_open(port, "10.0.0.1:1", &transport)
				       : remote_out_open(port, "10.0.0.1:1", &transport);
	if (result)
		fail_msg("%s", rk_errmsg());
	return port;
}

static struct rk_port *open_in(void)
{
	return open_port(&remote_in_ops, "nap", "0");
}

static struct rk_port *open_out(void)
{
	return open_port(&remote_out_ops, "linger", "4000");
}

static uint32_t slots_of(uint64_t number)
{
	return number % 5 ? 1 : 1 + (uint32_t)(number % 13);
}

static void fill(struct rk_msg *msg, uint64_t number)
{
	uint32_t slots = slots_of(number);
	uint64_t *word = (uint64_t *)msg + 1;

	*msg = (struct rk_msg){
		.type = RK_MSG_USER, .slots = (uint8_t)slots, .tag = (uint32_t)number};
	for (uint32_t i = 0; i < slots * RK_CELL_BYTES / 8 - 1; i++)
		word[i] = number * 0x9e3779b97f4a7c15ULL + i;
}

static struct rk_msg out_cells[CELLS], in_cells[CELLS], due_cells[CELLS];

/* Numbers from @next on; what is missing is counted. */
struct tally {
	uint64_t next, received, lost;
};

/* The ring behind the input. */
struct ends {
	void *memory;
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
};

static struct ends *make_ring(uint64_t capacity)
{
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct ends *ends = calloc(1, sizeof(*ends));
	size_t bytes = rk_ring_bytes(capacity);

	assert_non_null(ends);
	ends->memory = aligned_alloc(RK_PAGE_BYTES, (bytes + 4095) / 4096 * 4096);
	assert_non_null(ends->memory);
	assert_int_equal(rk_ring_format(&ends->ring, ends->memory, bytes, capacity, 0, "test"), 0);
	assert_int_equal(rk_ring_tx_open(&ends->tx, &ends->ring), 0);
	assert_int_equal(rk_ring_rx_open(&ends->rx, &ends->ring, &opts), 0);
	return ends;
}

static void free_ring(struct ends *ends)
{
	free(ends->memory);
	free(ends);
}

static void take_all(struct ends *ends, struct tally *tally)
{
	while (rk_ring_recv(&ends->rx, in_cells, CELLS) > 0) {
		uint64_t number = in_cells->tag;

		if (in_cells->type == RK_MSG_CLOSED)
			return;
		assert_true(number >= tally->next);
		fill(due_cells, number);
		assert_memory_equal(in_cells, due_cells, slots_of(number) * RK_CELL_BYTES);
		tally->lost += number - tally->next;
		tally->next = number + 1;
		tally->received++;
	}
}

/* One round of both ends; returns the input's result. */
static int turn(struct rk_port *in, struct rk_port *out, struct ends *ends, struct tally *tally,
		uint64_t *number, uint64_t count)
{
	int result = 0;

	for (int i = 0; i < 8 && *number < count; i++) {
		fill(out_cells, *number);
		result = rk_port_write(out, out_cells);
		if (result < 0)
			fail_msg("%s", rk_errmsg());
		if (!result)
			break;
		++*number;
	}
	if (out)
		rk_port_flush(out);
	result = in ? rk_port_poll_in(in, &ends->tx, 16) : 0;
	take_all(ends, tally);
	return result;
}

/* Break every connection there is, as a fabric does: nobody is told but by silence or an error. */
static void break_connections(struct rk_port *out)
{
	/* It stands behind the port. */
	struct remote_end *end = (struct remote_end *)(out + 1);

	pthread_mutex_lock(&end->mutex);
	if (end->conn) {
		pthread_mutex_lock(&fabric);
		side_of(end->conn)->broken = true;
		if (side_of(end->conn)->peer)
			side_of(end->conn)->peer->broken = true;
		broken_connections++;
		pthread_mutex_unlock(&fabric);
	}
	pthread_mutex_unlock(&end->mutex);
}

/* rk_port_close() of an output waits for the peer, which this thread also is: so it is polled. */
struct closing {
	struct rk_port *port;
	int result;
	bool done;
};

static void *close_it(void *argument)
{
	struct closing *closing = argument;

	closing->result = rk_port_close(closing->port);
	/* R12: pairs with A12 in close_while_polled(). */
	__atomic_store_n(&closing->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static int close_while_polled(struct rk_port *out, struct rk_port *in, struct ends *ends,
			      struct tally *tally)
{
	struct closing closing = {.port = out};
	uint64_t none = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, close_it, &closing), 0);
	/* A12: pairs with R12 in close_it(). */
	while (!__atomic_load_n(&closing.done, __ATOMIC_ACQUIRE))
		turn(in, NULL, ends, tally, &none, 0);
	pthread_join(thread, NULL);
	return closing.result;
}

static void set_chaos(bool on)
{
	pthread_mutex_lock(&fabric);
	chaos = on;
	pthread_mutex_unlock(&fabric);
}

/* An input whose peer writes the ring of @ends itself. */
static struct rk_port *open_direct(struct ends *ends)
{
	struct rk_port *in = open_port(&remote_in_ops, "direct", "");

	assert_int_equal(rk_port_lend(in, &ends->ring), 1);
	return in;
}

static void flow(bool with_chaos, uint64_t count, bool breaking, bool direct)
{
	struct ends *ends = make_ring(64);
	struct rk_port *in = direct ? open_direct(ends) : open_in(), *out = open_out();
	struct rk_port_stats stats;
	struct tally tally = {0};
	uint64_t sent = 0, rounds = 0;

	set_chaos(with_chaos);
	broken_connections = 0;
	while (tally.next < count) {
		turn(in, out, ends, &tally, &sent, count);
		if (breaking && ++rounds % 3000 == 0)
			break_connections(out);
	}
	assert_int_equal(tally.received, count);
	assert_int_equal(tally.lost, 0);
	rk_port_stats(out, &stats);
	assert_int_equal(stats.messages, count);
	assert_int_equal(stats.dropped_unconfirmed, 0);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, direct ? 0 : count);
	set_chaos(false);
	assert_int_equal(close_while_polled(out, in, ends, &tally), 0);
	assert_int_equal(turn(in, NULL, ends, &tally, &sent, 0), -ENODATA);
	if (direct) {
		rk_port_take_back(in, &ends->tx);
		assert_int_equal(ends->tx.closed, RK_CLOSE_DONE);
	}
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

static void test_order(void **state)
{
	(void)state;
	flow(false, 50000, false, false);
}

static void test_chaos(void **state)
{
	(void)state;
	flow(true, 20000, false, false);
}

static void test_breaks(void **state)
{
	(void)state;
	flow(true, 20000, true, false);
	assert_true(broken_connections > 0);
}

static void test_direct(void **state)
{
	(void)state;
	flow(false, 20000, false, true);
	flow(true, 20000, true, true);
	assert_true(broken_connections > 0);
}

/* The ring of a consumer that is no CPU is filled by the port, which says so. */
static void test_direct_declined(void **state)
{
	struct rk_port *in = open_port(&remote_in_ops, "direct", ""), *out = open_out();
	struct ends *ends = make_ring(64);
	struct tally tally = {0};
	uint64_t sent = 0;

	(void)state;
	ends->ring.device = true;
	assert_int_equal(rk_port_lend(in, &ends->ring), 0);
	assert_non_null(strstr(rk_port_note(in), "the consumer is on a GPU"));
	while (tally.next < 100)
		turn(in, out, ends, &tally, &sent, 100);
	assert_int_equal(tally.lost, 0);
	assert_int_equal(close_while_polled(out, in, ends, &tally), 0);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

/*
 * Producers that come one after the other, each killed amid its messages, write one and the same
 * ring, and this host goes on in it at last: whole messages alone, in order, and none is missing
 * but what the killed ones had in their rings.
 */
static void test_direct_new_producers(void **state)
{
	struct ends *ends = make_ring(RING_SLOTS);
	struct rk_port *in = open_direct(ends);
	struct tally tally = {0};
	uint64_t sent = 0;

	(void)state;
	set_chaos(true);
	for (int life = 0; life < 8; life++) {
		struct rk_port *out = open_port(&remote_out_ops, "linger", "0");

		for (uint64_t until = sent + 300; sent < until;)
			turn(in, out, ends, &tally, &sent, until);
		break_connections(out);
		close_while_polled(out, in, ends, &tally);
	}
	rk_port_take_back(in, &ends->tx);
	take_all(ends, &tally);
	for (uint64_t until = sent + 100; sent < until; sent++) {
		fill(out_cells, sent);
		while (!rk_ring_send(&ends->tx, out_cells))
			take_all(ends, &tally);
	}
	assert_int_equal(rk_ring_close(&ends->tx, RK_CLOSE_STOPPED), 1);
	take_all(ends, &tally);
	assert_int_equal(ends->rx.closed, RK_CLOSE_STOPPED);
	assert_int_equal(tally.next, sent);
	assert_int_equal(tally.received + tally.lost, sent);
	assert_true(tally.lost <= 8 * RING_SLOTS);
	set_chaos(false);
	assert_int_equal(rk_port_close(in), 0);
	free_ring(ends);
}

/* A consumer that goes and comes again: what was received, lost and reported must agree. */
static void test_new_consumers(void **state)
{
	struct rk_port *out = open_out(), *in = open_in();
	struct ends *ends = make_ring(64);
	struct tally tally = {0};
	struct rk_port_stats stats;
	uint64_t sent = 0;

	(void)state;
	for (int life = 0; life < 6; life++) {
		for (uint64_t until = sent + 500; sent < until;)
			turn(in, out, ends, &tally, &sent, until);
		/* As by SIGKILL: no last line. */
		break_connections(out);
		rk_port_close(in);
		in = open_in();
	}
	while (tally.next < sent)
		turn(in, out, ends, &tally, &sent, sent + (sent < 3100));
	rk_port_stats(out, &stats);
	assert_int_equal(tally.received + tally.lost, sent);
	assert_true(tally.lost <= stats.dropped_unconfirmed);
	assert_true(stats.dropped_unconfirmed <= 6 * RING_SLOTS);
	assert_int_equal(close_while_polled(out, in, ends, &tally), 0);
	rk_port_close(in);
	free_ring(ends);
}

/* Nobody there: the port is dead after retry=, and says why; close says what was not delivered. */
static void test_nobody(void **state)
{
	struct rk_port *out = open_port(&remote_out_ops, "retry", "300");
	int result = 0;

	(void)state;
	fill(out_cells, 0);
	while (!result)
		result = rk_port_write(out, out_cells);
	assert_int_equal(result, -ENOTCONN);
	assert_non_null(strstr(rk_errmsg(), "no peer for"));
	assert_non_null(strstr(rk_errmsg(), "nobody listens there"));
	rk_port_close(out);
}

/* --- Peers that lie --- */

static struct remote_hello good_ask(void)
{
	struct remote_hello hello;

	remote_hello_init(&hello, REMOTE_ASK);
	hello.session = 5;
	hello.timeout_ms = 1000;
	hello.line = (struct remote_window){4096, sizeof(struct remote_line), 0};
	return hello;
}

/* Say @hello to an input; its answer. */
static struct remote_hello say(const struct remote_hello *hello)
{
	struct sockaddr_in address = {0};
	struct remote_hello answer;
	struct remote_conn *conn;
	int heard;

	assert_int_equal(test_connect(&conn, &address), 0);
	while (!test_up(conn))
		;
	assert_int_equal(test_tell(conn, hello), 0);
	while (!(heard = test_hear(conn, &answer, sizeof(answer))))
		;
	assert_int_equal(heard, sizeof(answer));
	test_close(conn);
	return answer;
}

static void expect_refusal(struct remote_hello hello, const char *text)
{
	struct remote_hello answer = say(&hello);

	assert_int_equal(answer.kind, REMOTE_REFUSE);
	if (!strstr(answer.text, text))
		fail_msg("'%s' does not say '%s'", answer.text, text);
}

static void test_bad_asks(void **state)
{
	struct rk_port *in = open_port(&remote_in_ops, "name", "book");
	struct remote_hello hello = good_ask();

	(void)state;
	strcpy(hello.name, "bok");
	expect_refusal(hello, "no ring 'bok' at this address: there is 'book'");
	strcpy(hello.name, "book");
	hello.magic++;
	expect_refusal(hello, "magic");
	hello.magic--;
	hello.version = 9;
	expect_refusal(hello, "version 9");
	hello.version = REMOTE_VERSION;
	hello.bytes = 8;
	expect_refusal(hello, "bytes that say 8");
	hello.bytes = sizeof(hello);
	hello.slot_bytes = 128;
	expect_refusal(hello, "slots of 128 bytes");
	hello.slot_bytes = RK_SLOT_BYTES;
	hello.timeout_ms = 1;
	expect_refusal(hello, "timeout of 1 ms");
	hello.timeout_ms = 1000;
	hello.line.addr = UINT64_MAX - 63;
	hello.line.bytes = 1ULL << 60;
	expect_refusal(hello, "line");
	hello.line = good_ask().line;
	memset(hello.name, 'x', sizeof(hello.name));
	expect_refusal(hello, "without an end");
	strcpy(hello.name, "book");
	hello.kind = REMOTE_WELCOME;
	expect_refusal(hello, "not due");
	hello.kind = REMOTE_ASK;
	assert_int_equal(say(&hello).kind, REMOTE_WELCOME);
	rk_port_close(in);
}

/* --- Consumers that lie --- */

static struct rk_slot lying_slots[RING_SLOTS];
static struct remote_line lying_line;

static void spoil_session(struct remote_hello *hello)
{
	hello->session++;
}

static void spoil_version(struct remote_hello *hello)
{
	hello->version = 7;
}

static void spoil_ring(struct remote_hello *hello)
{
	hello->ring = 0;
}

static void spoil_capacity(struct remote_hello *hello)
{
	hello->capacity_log2 = 60;
}

static void spoil_slots(struct remote_hello *hello)
{
	hello->slots.bytes *= 2;
}

static void spoil_address(struct remote_hello *hello)
{
	hello->slots.addr = -(uint64_t)RK_SLOT_BYTES;
}

static void refuse_badly(struct remote_hello *hello)
{
	hello->kind = REMOTE_REFUSE;
	memset(hello->text, 'x', sizeof(hello->text));
}

static const struct {
	void (*spoil)(struct remote_hello *hello);
	const char *text;
} lies[] = {
	{spoil_session, "another session"},
	{spoil_version, "version 7"},
	{spoil_ring, "a ring without a number"},
	{spoil_capacity, "2^60 slots"},
	{spoil_slots, "slots of 4096 bytes, not 2048"},
	{spoil_address, "no address of 2048 bytes"},
	{refuse_badly, "without an end"},
};

/* Answer the next producer, the answer spoilt by @spoil if not NULL; the connection. */
static struct remote_conn *answer(void (*spoil)(struct remote_hello *hello))
{
	struct remote_hello ask, hello;
	struct remote_conn *conn;
	int heard = 0;

	while (!test_accept(NULL, &conn))
		;
	while (!heard)
		heard = test_hear(conn, &ask, sizeof(ask));
	assert_int_equal(heard, sizeof(ask));
	remote_hello_init(&hello, REMOTE_WELCOME);
	hello.session = ask.session;
	hello.ring = 9;
	hello.capacity_log2 = 5;
	hello.timeout_ms = 1000;
	test_offer_slots(conn, lying_slots, sizeof(lying_slots), &hello.slots);
	hello.line = (struct remote_window){4096, sizeof(lying_line), 0};
	side_of(conn)->line = &lying_line;
	if (spoil)
		spoil(&hello);
	assert_int_equal(test_tell(conn, &hello), 0);
	return conn;
}

static void wait_for_note(struct rk_port *out, const char *text)
{
	while (!strstr(rk_port_note(out), text))
		rk_port_flush(out);
}

static void test_bad_consumers(void **state)
{
	const struct remote_line line = {.consumed = 1000000, .beat = 3};
	struct rk_port *out;
	struct remote_conn *conn;
	int result = 0;

	(void)state;
	pthread_mutex_lock(&fabric);
	listening = true;
	pthread_mutex_unlock(&fabric);
	out = open_port(&remote_out_ops, "linger", "0");
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		conn = answer(lies[i].spoil);
		wait_for_note(out, lies[i].text);
		test_close(conn);
	}
	/* One that is believed, and then claims to have read what was never sent. */
	conn = answer(NULL);
	fill(out_cells, 1);
	while (!result)
		result = rk_port_write(out, out_cells);
	assert_int_equal(result, 1);
	assert_int_equal(test_put_line(conn, &line), 1);
	while (result >= 0)
		result = rk_port_flush(out);
	assert_int_equal(result, -EPROTO);
	assert_non_null(strstr(rk_errmsg(), "the peer's credit is 1000000"));
	assert_int_equal(rk_port_close(out), -EPROTO);
	test_close(conn);
}

static int setup(void **state)
{
	(void)state;
	aid_watchdog(300);
	chance_state = aid_choose_seed(20252);
	print_message("RK_SEED=%llu\n", (unsigned long long)aid_seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_chaos),
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_new_consumers),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_bad_asks),
		cmocka_unit_test(test_bad_consumers),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_new_producers),
		cmocka_unit_test(test_direct_declined),
	};

	return cmocka_run_group_tests_name("remote", tests, setup, NULL);
}
