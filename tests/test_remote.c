// SPDX-License-Identifier: MIT
/*
 * Rings across hosts over a fabric that does what it likes: what is received is what was sent, in
 * order and whole; what is missing was reported.
 */
#include "remote_aid.h"

/* An input whose peer writes the ring of @ends itself. */
static struct rk_port *open_direct(struct ends *ends)
{
	struct rk_port *in = open_port(true, "direct", "");

	assert_int_equal(rk_port_lend(in, &ends->ring, NULL), 1);
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
	if (!direct)
		assert_int_equal(stats.messages, count);
	set_chaos(false);
	assert_int_equal(close_while_polled(out, in, ends, &tally), 0);
	assert_int_equal(turn(in, NULL, ends, &tally, &sent, 0), -ENODATA);
	if (direct) {
		rk_port_take_back(in, &ends->tx);
		assert_int_equal(ends->tx.closed, RK_CLOSE_DONE);
		rk_port_stats(in, &stats);
		assert_int_equal(stats.messages, count);
		assert_int_equal(stats.dropped_closed, 0);
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
	struct rk_port_stats stats;
	uint64_t sent = 0;

	(void)state;
	set_chaos(true);
	for (int life = 0; life < 8; life++) {
		struct rk_port *out = open_port(false, "linger", "0");

		for (uint64_t until = sent + 300; sent < until;)
			turn(in, out, ends, &tally, &sent, until);
		break_connections(out);
		close_while_polled(out, in, ends, &tally);
	}
	rk_port_take_back(in, &ends->tx);
	take_all(ends, &tally);
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, tally.received);
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

/*
 * A consumer that stops with messages in its ring: sent is what it received and what is counted as
 * dropped, to the message, at both ends.
 */
static void test_direct_stopped(void **state)
{
	enum { SENT = 20, TAKEN = 9 }; /* room for all of them */
	struct ends *ends = make_ring(64);
	struct rk_port *in = open_direct(ends), *out = open_port(false, "linger", "0");
	struct rk_port_stats at_in, at_out;
	uint64_t sent = 0;
	int taken = 0;

	(void)state;
	for (; sent < SENT; sent++) {
		fill(out_cells, sent);
		while (!rk_port_write(out, out_cells))
			;
	}
	while (taken < TAKEN) {
		rk_port_flush(out);
		rk_port_poll_in(in, &ends->tx, 16);
		taken += rk_ring_recv(&ends->rx, in_cells, CELLS) > 0;
	}
	rk_ring_rx_credit(&ends->rx);
	rk_ring_refuse(&ends->rx, RK_CLOSE_STOPPED);
	while (!rk_port_poll_in(in, &ends->tx, 16))
		rk_port_flush(out);
	rk_port_take_back(in, &ends->tx);
	while (rk_port_flush(out) >= 0)
		;
	rk_port_stats(in, &at_in);
	rk_port_stats(out, &at_out);
	assert_int_equal(at_out.messages, SENT);
	assert_int_equal(at_in.messages, TAKEN);
	assert_int_equal(at_in.dropped_closed, SENT - TAKEN);
	assert_int_equal(at_out.dropped_unconfirmed, SENT - TAKEN);
	rk_port_close(out);
	rk_port_close(in);
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
	struct rk_port *out = open_port(false, "retry", "300");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_chaos),
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_new_consumers),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_new_producers),
		cmocka_unit_test(test_direct_stopped),
	};

	return cmocka_run_group_tests_name("remote", tests, setup, NULL);
}
