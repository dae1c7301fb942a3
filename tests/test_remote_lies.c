// SPDX-License-Identifier: MIT
/* Peers of a ring across hosts that lie: refused with the reason, and nothing of theirs is
 * believed. */
#include "remote_aid.h"

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

	assert_int_equal(test_connect(&conn, &address), 0);
	while (!test_up(conn))
		;
	assert_int_equal(test_tell(conn, hello), 0);
	while (!remote_hear(&transport, conn))
		;
	assert_int_equal(conn->heard_bytes, sizeof(answer));
	answer = *(const struct remote_hello *)conn->heard;
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
	struct rk_port *in = open_port(true, "name", "book");
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
	const struct remote_memory slots = {.addr = lying_slots, .bytes = sizeof(lying_slots)};
	struct remote_hello hello;
	struct remote_conn *conn;

	while (!test_accept(NULL, &conn))
		;
	while (!remote_hear(&transport, conn))
		;
	assert_int_equal(conn->heard_bytes, sizeof(hello));
	remote_hello_init(&hello, REMOTE_WELCOME);
	hello.session = ((const struct remote_hello *)conn->heard)->session;
	hello.ring = 9;
	hello.capacity_log2 = 5;
	hello.timeout_ms = 1000;
	test_offer_slots(conn, &slots, &hello.slots);
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
	out = open_port(false, "linger", "0");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_asks),
		cmocka_unit_test(test_bad_consumers),
	};

	return cmocka_run_group_tests_name("remote_lies", tests, setup, NULL);
}
