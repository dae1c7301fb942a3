/* SPDX-License-Identifier: MIT */
/*
 * remote_aid.h - ports over the fabric of remote_fabric.h, and numbered messages through them: each
 * is received whole and in order, or missing and reported.
 */
#ifndef REMOTE_AID_H
#define REMOTE_AID_H

#include "remote_fabric.h"

enum { RING_SLOTS = 32, CELLS = 255 };

/* The kind; "in" and "out" are told apart by its operations. */
static struct remote_kind kind = {.kind.about.name = "test", .transport = &transport};

AID struct rk_port *open_port(bool input, const char *key, const char *value)
{
	const struct port_kind *loaded = remote_kind_load(&kind);
	const struct port_ops *ops = input ? loaded->in : loaded->out;
	struct rk_port *port = calloc(1, ops->bytes);
	const struct port_option *option = ops->options;

	assert_non_null(port);
	port->ops = ops;
	port->uri = strdup("test:10.0.0.1:1");
	for (; option->key; option++) {
		if (!strcmp(option->key, "timeout"))
			assert_int_equal(option->set(port, "200"), 0);
		if (!strcmp(option->key, "retry"))
			assert_int_equal(option->set(port, "30000"), 0); /* never for want of a CPU */
		if (!strcmp(option->key, "slots"))
			assert_int_equal(option->set(port, "32"), 0);
		if (key && !strcmp(option->key, key))
			assert_int_equal(option->set(port, value), 0);
	}
	if (ops->open(port, "10.0.0.1:1"))
		fail_msg("%s", rk_errmsg());
	return port;
}

AID int setup(void **state)
{
	(void)state;
	aid_watchdog(300);
	chance_state = aid_choose_seed(20252);
	print_message("RK_SEED=%llu\n", (unsigned long long)aid_seed);
	return 0;
}

AID struct rk_port *open_in(void)
{
	return open_port(true, "nap", "0");
}

AID struct rk_port *open_out(void)
{
	return open_port(false, "linger", "4000");
}

AID uint32_t slots_of(uint64_t number)
{
	return number % 5 ? 1 : 1 + (uint32_t)(number % 13);
}

AID void fill(struct rk_msg *msg, uint64_t number)
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

AID struct ends *make_ring(uint64_t capacity)
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

AID void free_ring(struct ends *ends)
{
	free(ends->memory);
	free(ends);
}

AID void take_all(struct ends *ends, struct tally *tally)
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
AID int turn(struct rk_port *in, struct rk_port *out, struct ends *ends, struct tally *tally,
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
AID void break_connections(struct rk_port *out)
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

AID void *close_it(void *argument)
{
	struct closing *closing = argument;

	closing->result = rk_port_close(closing->port);
	/* R12: pairs with A12 in close_while_polled(). */
	__atomic_store_n(&closing->done, true, __ATOMIC_RELEASE);
	return NULL;
}

AID int close_while_polled(struct rk_port *out, struct rk_port *in, struct ends *ends,
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

AID void set_chaos(bool on)
{
	pthread_mutex_lock(&fabric);
	chaos = on;
	pthread_mutex_unlock(&fabric);
}

#endif
