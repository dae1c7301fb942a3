// SPDX-License-Identifier: MIT
/*
 * Completions that nobody should believe: a million of random names, buffers and results, among
 * those that are true. The true ones arrive once and in order; of the others only a counter knows.
 */
#include "ports/reactor_engine.h"
#include "ports_aid.h"

#include <pthread.h>

enum { BUFFERS = 8, ROOM = 256 };

/* What the operations were told. */
static struct {
	uint32_t calls, errors, buffers, ends;
	struct reactor_done last;
} told;

static struct reactor_client client;
static struct reactor_buffers buffers;

static void note(struct reactor_op *op, const struct reactor_done *done)
{
	(void)op;
	told.calls++;
	told.errors += done->result == -EPROTO;
	told.ends += !done->more;
	told.last = *done;
	if (done->buffer < 0)
		return;
	assert_true(done->buffer < BUFFERS && done->result >= 0 && done->result <= ROOM);
	assert_false(buffers.given[done->buffer]);
	told.buffers++;
	reactor_give(&client, done->buffer);
}

static int join(void **state)
{
	static char note[300];

	choose_seed(state);
	memset(&told, 0, sizeof(told));
	client = (struct reactor_client){.buffers = &buffers};
	return reactor_buffers_make(&buffers, BUFFERS, ROOM, false) ||
	       reactor_client_open(&client, true, note, sizeof(note)) || reactor_join(&client);
}

static int leave(void **state)
{
	(void)state;
	if (reactor_client_close(&client))
		return -1;
	reactor_buffers_free(&buffers);
	return 0;
}

/* A datagram socket of which nothing ever comes, received from. */
static struct reactor_op receiving(struct msghdr *head)
{
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	*head = (struct msghdr){.msg_controllen = 64};
	return (struct reactor_op){
		.done = note, .kind = REACTOR_RECVMSG, .fd = fd, .head = head, .buffers = &buffers};
}

/* Completions in which everything is chance; those that are possible are told apart. */
static void test_hostile_completions(void **state)
{
	struct msghdr head;
	struct reactor_op op = receiving(&head);
	struct reactor *reactor = client.reactor;
	uint32_t possible = 0, of_op = 0;

	(void)state;
	assert_int_equal(reactor_submit(&client, &op), 0);
	for (uint32_t i = 0; i < 1000000; i++) {
		uint64_t name = chance() % 4 ? reactor_name(reactor, &op) : chance();
		struct reactor_done done = {
			.result = (int32_t)chance(), .buffer = (int32_t)chance(), .more = true};

		if (chance() % 2)
			done.buffer = (int32_t)(chance() % (BUFFERS + 2)) - 1;
		if (chance() % 2)
			done.result = (int32_t)(chance() % (2 * ROOM)) - ROOM / 2;
		if (chance() % 8 == 0)
			name ^= 1ULL << (chance() % 64);
		of_op += name == reactor_name(reactor, &op);
		if (name == reactor_name(reactor, &op))
			possible += done.buffer >= 0 && done.buffer < BUFFERS && done.result >= 0 &&
				    done.result <= ROOM;
		reactor_complete(reactor, name, &done);
	}
	assert_int_equal(told.calls, of_op);
	assert_int_equal(told.buffers, possible);
	assert_true(told.errors > 0 && possible > 0);
	assert_true(reactor->strange >= 1000000 - of_op);
	assert_true(op.live);
	reactor_cancel(&client, &op);
	assert_false(op.live);
	assert_int_equal(told.ends, 1);
}

/* A buffer that was handed out comes only back by being given. */
static void test_a_buffer_is_not_given_twice(void **state)
{
	struct msghdr head;
	struct reactor_op op = receiving(&head);
	const struct reactor_done done = {.result = 10, .buffer = 3, .more = true};

	(void)state;
	assert_int_equal(reactor_submit(&client, &op), 0);
	buffers.given[3] = false; /* as if the port held it */
	reactor_complete(client.reactor, reactor_name(client.reactor, &op), &done);
	assert_int_equal(told.buffers, 0);
	assert_int_equal(told.last.result, -EPROTO);
	assert_int_equal(told.last.buffer, -1);
	buffers.given[3] = true;
	reactor_cancel(&client, &op);
}

/* The name of an operation that is over is not that of the next at its place. */
static void test_names_are_not_used_again(void **state)
{
	struct msghdr head;
	struct reactor_op op = receiving(&head);
	const struct reactor_done done = {.result = -EIO, .buffer = -1, .more = true};
	uint64_t old;

	(void)state;
	assert_int_equal(reactor_submit(&client, &op), 0);
	old = reactor_name(client.reactor, &op);
	reactor_cancel(&client, &op);
	assert_int_equal(reactor_submit(&client, &op), 0);
	told.calls = 0;
	reactor_complete(client.reactor, old, &done);
	assert_int_equal(told.calls, 0);
	reactor_cancel(&client, &op);
	assert_int_equal(told.calls, 1);
}

/* More operations than there is room for: refused, and room comes back. */
static void test_room_for_operations_ends(void **state)
{
	static struct reactor_op ops[REACTOR_OPS + 1];
	struct msghdr head;

	(void)state;
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < REACTOR_OPS; i++) {
			ops[i] = receiving(&head);
			assert_int_equal(reactor_submit(&client, &ops[i]), 0);
		}
		ops[REACTOR_OPS] = receiving(&head);
		assert_int_equal(reactor_submit(&client, &ops[REACTOR_OPS]), -EAGAIN);
		for (uint32_t i = 0; i < REACTOR_OPS; i++)
			reactor_cancel(&client, &ops[i]);
		assert_int_equal(client.live, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hostile_completions, join, leave),
		cmocka_unit_test_setup_teardown(test_a_buffer_is_not_given_twice, join, leave),
		cmocka_unit_test_setup_teardown(test_names_are_not_used_again, join, leave),
		cmocka_unit_test_setup_teardown(test_room_for_operations_ends, join, leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
