// SPDX-License-Identifier: MIT
/*
 * The ring, one case at a time: what it refuses and in which words, how it closes, what a hostile
 * or dead peer leaves behind, and what a later end makes of it.
 */
#include "ring_aid.h"
#include "rk_error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { CAPACITY = 64, MOST_CAPACITY = 1024 };

static char *memory;
static struct rk_ring ring;
static struct rk_ring_tx tx;
static struct rk_ring_rx rx;
static struct rk_msg cells[600];

/* A fresh ring with both ends open. */
static void fresh_at(uint64_t capacity, uint64_t start)
{
	assert_int_equal(rk_ring_format(&ring, memory, rk_ring_bytes(capacity), capacity, start,
					"unit"),
			 0);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
}

static void fresh(uint64_t capacity)
{
	fresh_at(capacity, 0);
}

static int send_number(uint32_t slots, uint64_t number)
{
	aid_fill(cells, slots, number);
	return rk_ring_send(&tx, cells);
}

static void expect_number(uint32_t slots, uint64_t number)
{
	memset(cells, 0, sizeof(cells));
	assert_int_equal(rk_ring_recv(&rx, cells, 600), slots);
	assert_true(aid_matches(cells, slots, number));
}

/* The text of the last failure holds each of @words. */
static void expect_text(const char *first, const char *second, const char *third)
{
	const char *words[] = {first, second, third};

	for (int i = 0; i < 3; i++)
		if (words[i] && !strstr(rk_errmsg(), words[i]))
			fail_msg("'%s' does not say '%s'", rk_errmsg(), words[i]);
}

/* A slot as a producer that follows no rule would store it. */
static void forge(uint64_t position, uint16_t type, uint8_t flags, uint8_t slots)
{
	struct rk_msg msg = {.type = type, .flags = flags, .slots = slots};

	rk_slot_store_plain(&ring.slots[position & ((1ULL << ring.capacity_log2) - 1)],
			    rk_slot_tag(position, ring.capacity_log2), &msg);
}

/* --- Formatting and attaching --- */

static void test_capacities_that_are_no_ring_are_refused(void **unused)
{
	const uint64_t bad[] = {0, 1, 3, 6, 1000, 1ULL << 32, UINT64_MAX};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char value[32];

		snprintf(value, sizeof(value), "%llu", (unsigned long long)bad[i]);
		assert_int_equal(rk_ring_bytes(bad[i]), 0);
		assert_int_equal(rk_ring_format(&ring, memory, 1 << 20, bad[i], 0, "odd"), -EINVAL);
		expect_text("'odd'", value, "power of two from 2 to 2147483648");
	}
	assert_int_equal(rk_ring_bytes(2), 3 * RK_PAGE_BYTES + 2 * RK_SLOT_BYTES);
	assert_true(rk_ring_bytes(1ULL << 31) == 3 * RK_PAGE_BYTES + (1ULL << 37));
}

static void test_memory_that_does_not_fit_is_refused(void **unused)
{
	size_t bytes = rk_ring_bytes(CAPACITY);

	(void)unused;
	assert_int_equal(rk_ring_format(&ring, memory, bytes - 1, CAPACITY, 0, "tight"), -EINVAL);
	expect_text("'tight'", "16383 bytes", "16384 bytes aligned to 4096");
	assert_int_equal(rk_ring_format(&ring, memory + 64, bytes, CAPACITY, 0, "askew"), -EINVAL);
	expect_text("'askew'", "aligned to 4096", NULL);
	assert_int_equal(rk_ring_format(&ring, memory, bytes, CAPACITY, 0, NULL), 0);
	assert_string_equal(ring.name, "");
}

static void expect_parts_refused(const struct rk_ring_parts *parts, uint64_t capacity,
				 const char *says)
{
	assert_int_equal(rk_ring_place(&ring, parts, capacity, 0, "apart"), -EINVAL);
	expect_text("ring 'apart'", says, NULL);
}

static void test_parts_that_do_not_fit_are_refused(void **unused)
{
	struct rk_ring_parts good = {.size = sizeof(good),
				     .slots = memory + 2 * RK_PAGE_BYTES,
				     .credit = memory,
				     .sleep = memory + RK_PAGE_BYTES};
	struct rk_ring_parts parts = good;

	(void)unused;
	parts.size = 8;
	expect_parts_refused(&parts, 4, "set size to");
	expect_parts_refused(&good, 3, "capacity 3 slots");
	parts = good;
	parts.slots = memory + 32;
	expect_parts_refused(&parts, 4, "aligned to 64 bytes");
	parts = good;
	parts.credit = NULL;
	expect_parts_refused(&parts, 4, "credit at (nil)");
	parts = good;
	parts.sleep = memory + 8;
	expect_parts_refused(&parts, 4, "aligned to 64 bytes");
	assert_int_equal(rk_ring_place(&ring, &good, 4, 0, NULL), 0);
	assert_string_equal(ring.name, "");
}

static void test_far_slots_have_one_producer(void **unused)
{
	struct aid_place place;

	(void)unused;
	assert_int_equal(aid_place(&place, &ring, AID_FAR_SLOTS, 8, 40), 0);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
	assert_int_equal(send_number(1, 1), 1);
	expect_number(1, 1);
	rk_ring_rx_credit(&rx);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), -EPROTO);
	expect_text("ring 'apart'", "its slots are far", "make a new ring");
	aid_unplace(&place);
}

/* Who cannot read what its forerunner gave, gives all again: or the producer might wait for ever. */
static void test_a_far_credit_is_given_again(void **unused)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts), .resume = true};
	struct aid_place place;

	(void)unused;
	assert_int_equal(aid_place(&place, &ring, AID_FAR_CREDIT, 2, 7), 0);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
	assert_int_equal(send_number(1, 1), 1);
	assert_int_equal(send_number(1, 2), 1);
	assert_int_equal(send_number(1, 3), 0);
	expect_number(1, 1);
	opts.position = rk_ring_rx_position(&rx);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), 0);
	assert_true(ring.credit->consumed == 8);
	assert_int_equal(send_number(1, 3), 1);
	expect_number(1, 2);
	expect_number(1, 3);
	rk_ring_refuse(&rx, RK_CLOSE_USER);
	assert_true(rk_ring_tx_free(&tx) == 0 && tx.closed == RK_CLOSE_USER);
	aid_unplace(&place);
}

/* A device wakes nobody: whoever waits for one looks again each millisecond. */
static void test_a_wait_for_a_device_ends_without_a_wake(void **unused)
{
	struct aid_place place;
	struct rk_slot slot;

	(void)unused;
	assert_int_equal(aid_place(&place, &ring, AID_FAR_CREDIT, 8, 0), 0);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
	assert_int_equal(ring.sleep->unguarded[RK_ROLE_PRODUCER], 1);
	assert_int_equal(rk_ring_wait_recv(&rx, 3000000), 0);
	aid_fill(cells, 1, 1);
	rk_slot_store_plain(&slot, rk_slot_tag(0, 3), cells);
	for (int i = 0; i < RK_SLOT_WORDS; i++)
		ring.slots[0].word[i] = slot.word[i];
	assert_int_equal(rk_ring_wait_recv(&rx, 1000000000), 1);
	expect_number(1, 1);
	aid_unplace(&place);
}

static void test_a_long_name_is_cut(void **unused)
{
	char name[200];
	struct rk_ring other = {0};

	(void)unused;
	memset(name, 'n', sizeof(name));
	name[199] = 0;
	assert_int_equal(rk_ring_format(&ring, memory, rk_ring_bytes(2), 2, 0, name), 0);
	assert_int_equal(strlen(ring.name), RK_RING_NAME_BYTES - 1);
	/* And one without an end, written by someone else. */
	memset(memory + offsetof(struct rk_ring_header, name), 'x', RK_RING_NAME_BYTES);
	assert_int_equal(rk_ring_attach(&other, memory, rk_ring_bytes(2)), 0);
	assert_int_equal(strlen(other.name), RK_RING_NAME_BYTES - 1);
}

#define FIELD(name)                                                                                \
	offsetof(struct rk_ring_header, name), sizeof(((struct rk_ring_header *)0)->name)
/* A field of the header changed, and what attaching says then. */
static void expect_field_refused(size_t offset, size_t size, uint64_t value, const char *says)
{
	struct rk_ring other;

	fresh(CAPACITY);
	memcpy(memory + offset, &value, size);
	assert_int_equal(rk_ring_attach(&other, memory, rk_ring_bytes(CAPACITY)), -EPROTO);
	expect_text(says, NULL, NULL);
}

static void test_attach_believes_no_header(void **unused)
{
	struct rk_ring other = {0};

	(void)unused;
	expect_field_refused(FIELD(magic), 0, "holds no ring");
	expect_field_refused(FIELD(magic), RK_RING_MAGIC + 1, "magic 0x");
	expect_field_refused(FIELD(layout), 2, "layout 2, this library speaks 1");
	expect_field_refused(FIELD(header_bytes), 113, "header 113");
	expect_field_refused(FIELD(slot_bytes), 128, "slot 128");
	expect_field_refused(FIELD(page_bytes), 8192, "page 8192");
	expect_field_refused(FIELD(capacity), 0, "capacity 0 slots");
	expect_field_refused(FIELD(capacity), 63, "capacity 63 slots");
	expect_field_refused(FIELD(capacity), 128, "capacity 128 slots");
	expect_field_refused(FIELD(capacity), 1ULL << 58, "do not fit");
	expect_field_refused(FIELD(capacity), UINT64_MAX, "do not fit");
	expect_field_refused(FIELD(total_bytes), 16383, "16383 bytes");
	expect_field_refused(FIELD(total_bytes), UINT64_MAX, "do not fit");
	fresh(CAPACITY);
	for (size_t bytes = 0; bytes < rk_ring_bytes(CAPACITY); bytes += 1021)
		assert_int_equal(rk_ring_attach(&other, memory, bytes), -EPROTO);
	assert_int_equal(rk_ring_attach(&other, memory + 8, rk_ring_bytes(CAPACITY)), -EINVAL);
	expect_text("aligned to 4096", NULL, NULL);
	assert_int_equal(rk_ring_attach(&other, memory, rk_ring_bytes(CAPACITY)), 0);
	assert_memory_equal(&other, &ring, sizeof(ring));
}

static void test_a_ring_costs_its_slots_and_three_pages(void **unused)
{
	(void)unused;
	for (uint64_t capacity = 2; capacity <= 1ULL << 31; capacity *= 2)
		assert_true(rk_ring_bytes(capacity) - capacity * 64 == 3 * RK_PAGE_BYTES);
}

/* --- Sending --- */

static void test_a_message_longer_than_half_the_ring_is_refused(void **unused)
{
	(void)unused;
	for (uint64_t capacity = 2; capacity <= MOST_CAPACITY; capacity *= 2) {
		uint32_t most = capacity / 2 < 255 ? (uint32_t)(capacity / 2) : 255;

		fresh(capacity);
		assert_int_equal(tx.max_slots, most);
		assert_int_equal(rx.max_slots, most);
		if (most < 255)
			assert_int_equal(send_number(most + 1, 1), -EMSGSIZE);
		assert_int_equal(send_number(0, 1), -EMSGSIZE);
		assert_int_equal(send_number(most, 2), most);
		expect_number(most, 2);
	}
}

static void test_unknown_flags_are_refused(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	for (uint32_t flags = 0; flags < 256; flags++) {
		aid_fill(cells, 1, 1);
		cells[0].flags = (uint8_t)flags;
		assert_int_equal(rk_ring_send(&tx, cells),
				 flags & ~(uint32_t)RK_MSG_F_ALL ? -EINVAL : 1);
		assert_int_equal(rk_ring_recv(&rx, cells, 1), !(flags & ~(uint32_t)RK_MSG_F_ALL));
	}
}

static void test_a_full_ring_takes_nothing_and_then_goes_on(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	for (uint64_t i = 0; i < CAPACITY; i++) {
		assert_true(rk_ring_tx_free(&tx) == CAPACITY - i);
		assert_int_equal(send_number(1, i), 1);
	}
	assert_int_equal(send_number(1, 99), 0);
	assert_int_equal(send_number(2, 99), 0);
	assert_int_equal(rk_ring_send_batch(&tx, cells, 2), 0);
	assert_true(tx.closed == RK_CLOSE_OPEN && rk_ring_tx_free(&tx) == 0);
	for (uint64_t i = 0; i < CAPACITY; i++)
		expect_number(1, i);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 0);
	assert_int_equal(send_number(CAPACITY / 2, 100), CAPACITY / 2);
	expect_number(CAPACITY / 2, 100);
}

/* A long message waits for room even when some is free, and does not let others pass it. */
static void test_a_batch_stops_at_the_message_that_does_not_fit(void **unused)
{
	(void)unused;
	fresh(8);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(send_number(1, i), 1);
	aid_fill(cells, 1, 6);
	aid_fill(cells + 1, 3, 7);
	aid_fill(cells + 4, 1, 8);
	assert_int_equal(rk_ring_send_batch(&tx, cells, 5), 1);
	aid_fill(cells, 3, 7);
	assert_int_equal(rk_ring_send_batch(&tx, cells, 3), 0);
	for (uint64_t i = 0; i < 7; i++)
		expect_number(1, i);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 0);
	assert_int_equal(send_number(3, 7), 3);
	expect_number(3, 7);
}

/* --- Receiving --- */

static void test_too_little_room_leaves_the_message(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	assert_int_equal(send_number(5, 1), 5);
	for (uint32_t count = 1; count < 5; count++) {
		memset(cells, 0xee, sizeof(cells));
		assert_int_equal(rk_ring_recv(&rx, cells, count), -EMSGSIZE);
		assert_int_equal(rk_ring_recv_batch(&rx, cells, count), -EMSGSIZE);
		/* No cell beyond the room is written. */
		assert_int_equal(((uint8_t *)cells)[(size_t)count * RK_CELL_BYTES], 0xee);
	}
	assert_true(rk_ring_rx_position(&rx) == 0);
	expect_number(5, 1);
}

/* Whatever is received is free again after 1/8 ring, or when a look finds nothing. */
static void test_credit_is_given_each_eighth_and_when_idle(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	for (uint64_t i = 0; i < 9; i++)
		assert_int_equal(send_number(1, i), 1);
	for (uint64_t i = 0; i < 8; i++)
		expect_number(1, i);
	assert_true(ring.credit->consumed == 0);
	expect_number(1, 8);
	assert_true(ring.credit->consumed == 8);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 0);
	assert_true(ring.credit->consumed == 9);
	assert_int_equal(send_number(1, 9), 1);
	expect_number(1, 9);
	rk_ring_rx_credit(&rx);
	assert_true(ring.credit->consumed == 10);
}

static void expect_bad_header(uint16_t type, uint8_t flags, uint8_t slots, bool batch)
{
	fresh(CAPACITY);
	assert_int_equal(send_number(1, 1), 1);
	forge(1, type, flags, slots);
	if (batch)
		assert_int_equal(rk_ring_recv_batch(&rx, cells, 64), 1);
	else
		expect_number(1, 1);
	assert_int_equal(rk_ring_recv(&rx, cells, 600), 0);
	assert_int_equal(rk_ring_recv_batch(&rx, cells, 600), 0);
	assert_true(rx.closed == RK_CLOSE_BAD_HEADER);
	assert_true(rk_ring_rx_position(&rx) == 1);
	/* The producer learns it as soon as it looks. */
	assert_true(rk_ring_tx_free(&tx) == 0);
	assert_true(tx.closed == RK_CLOSE_BAD_HEADER);
	assert_int_equal(send_number(1, 2), 0);
	assert_int_equal(rk_ring_close(&tx, RK_CLOSE_DONE), 1);
	assert_true(tx.closed == RK_CLOSE_BAD_HEADER);
}

static void test_a_bad_header_closes_the_ring(void **unused)
{
	(void)unused;
	for (int batch = 0; batch < 2; batch++) {
		expect_bad_header(RK_MSG_USER, 0, 0, batch);
		expect_bad_header(RK_MSG_USER, 0, CAPACITY / 2 + 1, batch);
		expect_bad_header(RK_MSG_USER, 0, 255, batch);
		expect_bad_header(RK_MSG_USER, 0x10, 1, batch);
		expect_bad_header(RK_MSG_USER, 0x80, 1, batch);
		expect_bad_header(RK_MSG_PAD, 0, 0, batch);
		expect_bad_header(RK_MSG_PAD, 0, CAPACITY / 2 + 1, batch);
		expect_bad_header(RK_MSG_CLOSED, 0x40, 1, batch);
	}
}

/* Padding all round the ring, always ahead of the credit: one call ends all the same. */
static void test_padding_beyond_the_credit_closes_the_ring(void **unused)
{
	(void)unused;
	fresh(8);
	for (uint64_t position = 0; position < 8; position += 4)
		forge(position, RK_MSG_PAD, 0, 4);
	/* The first slot of the second lap, written before its credit was given. */
	assert_int_equal(rk_ring_recv(&rx, cells, 8), 0);
	assert_true(rx.padded_slots == 8 && rx.closed == RK_CLOSE_OPEN);
	fresh(8);
	forge(0, RK_MSG_PAD, 0, 3);
	forge(3, RK_MSG_PAD, 0, 3);
	forge(6, RK_MSG_PAD, 0, 3);
	assert_int_equal(rk_ring_recv(&rx, cells, 8), 0);
	assert_true(rx.closed == RK_CLOSE_BAD_HEADER);
}

static void test_a_message_whose_rest_never_comes_is_never_received(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	forge(0, RK_MSG_USER, 0, 3);
	forge(1, RK_MSG_USER, 0, 1);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rk_ring_recv(&rx, cells, 600), 0);
		assert_int_equal(rk_ring_recv_batch(&rx, cells, 600), 0);
	}
	assert_true(rk_ring_rx_position(&rx) == 0 && rx.closed == RK_CLOSE_OPEN);
	/* Words may come in any order: it is there as soon as all are. */
	forge(2, RK_MSG_USER, 0, 1);
	assert_int_equal(rk_ring_recv(&rx, cells, 600), 3);
}

/* A producer that was killed may have left its front: room for the next must not wait for the rest. */
static void test_what_came_before_a_torn_message_is_given_back(void **unused)
{
	(void)unused;
	for (int batch = 0; batch < 2; batch++) {
		fresh(CAPACITY);
		forge(0, RK_MSG_USER, 0, 1);
		forge(1, RK_MSG_USER, 0, 3);
		assert_int_equal(rk_ring_recv(&rx, cells, 600), 1);
		assert_int_equal(ring.credit->consumed, 0);
		if (batch)
			assert_int_equal(rk_ring_recv_batch(&rx, cells, 600), 0);
		else
			assert_int_equal(rk_ring_recv(&rx, cells, 600), 0);
		assert_int_equal(ring.credit->consumed, 1);
		assert_int_equal(rk_ring_rx_position(&rx), 1);
	}
}

static void test_a_message_behind_padding_is_received_at_once(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	forge(0, RK_MSG_PAD, 0, 3);
	tx.slot += 3;
	assert_int_equal(send_number(4, 7), 4);
	assert_int_equal(rk_ring_recv_batch(&rx, cells, 4), 4);
	assert_true(aid_matches(cells, 4, 7));
	assert_true(rx.padded_slots == 3);
}

/* --- Closing --- */

static void test_reasons_go_both_ways(void **unused)
{
	uint64_t reason;

	(void)unused;
	fresh(CAPACITY);
	assert_int_equal(send_number(1, 1), 1);
	assert_int_equal(rk_ring_close(&tx, 4711), 1);
	expect_number(1, 1);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
	assert_int_equal(cells[0].type, RK_MSG_CLOSED);
	memcpy(&reason, cells[0].body, sizeof(reason));
	assert_true(reason == 4711 && rx.closed == 4711 && tx.closed == 4711);
	fresh(CAPACITY);
	rk_ring_refuse(&rx, RK_CLOSE_STOPPED);
	assert_true(rx.closed == RK_CLOSE_STOPPED);
	assert_true(rk_ring_tx_free(&tx) == 0 && tx.closed == RK_CLOSE_STOPPED);
}

static void test_reason_zero_closes_too(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	assert_int_equal(rk_ring_close(&tx, 0), 1);
	assert_true(tx.closed == RK_CLOSE_DONE);
	assert_int_equal(send_number(1, 1), 0);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
	assert_true(rx.closed == RK_CLOSE_DONE);
	fresh(CAPACITY);
	rk_ring_refuse(&rx, 0);
	assert_true(rx.closed == RK_CLOSE_STOPPED);
	assert_true(rk_ring_tx_free(&tx) == 0 && tx.closed == RK_CLOSE_STOPPED);
}

static void test_a_full_ring_closes_later(void **unused)
{
	(void)unused;
	fresh(2);
	assert_int_equal(send_number(1, 1), 1);
	assert_int_equal(send_number(1, 2), 1);
	assert_int_equal(rk_ring_close(&tx, RK_CLOSE_DONE), 0);
	assert_true(tx.closed == RK_CLOSE_OPEN);
	expect_number(1, 1);
	expect_number(1, 2);
	assert_int_equal(rk_ring_close(&tx, RK_CLOSE_DONE), 1);
}

static void test_the_closing_message_outlives_its_consumer(void **unused)
{
	(void)unused;
	for (int batch = 0; batch < 2; batch++) {
		fresh(CAPACITY);
		assert_int_equal(send_number(1, 1), 1);
		assert_int_equal(rk_ring_close(&tx, 300), 1);
		if (batch) {
			assert_int_equal(rk_ring_recv_batch(&rx, cells, 10), 2);
		} else {
			expect_number(1, 1);
			assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
		}
		assert_true(rx.closed == 300);
		assert_int_equal(rk_ring_recv(&rx, cells, 1), 0);
		assert_true(ring.credit->consumed == 1);
		assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
		assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
		assert_int_equal(cells[0].type, RK_MSG_CLOSED);
		assert_true(rx.closed == 300);
		assert_int_equal(rk_ring_tx_open(&tx, &ring), -EPROTO);
		expect_text("'unit'", "closed it", "make a new ring");
	}
}

static void test_a_closed_message_with_every_extension_stays_in_its_cell(void **unused)
{
	const uint8_t flags = RK_MSG_F_ALL & ~RK_MSG_F_CLOCK;
	uint64_t reason = 600;

	(void)unused;
	fresh(CAPACITY);
	cells[0] = (struct rk_msg){.type = RK_MSG_CLOSED, .flags = flags, .slots = 1};
	memcpy(cells[0].body + 40, &reason, sizeof(reason));
	assert_int_equal(rk_ring_send(&tx, cells), 1);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
	assert_true(rx.closed == 600);
	/* With all of them there is no room for a reason: what lies behind the cell is not one. */
	fresh(CAPACITY);
	cells[0] = (struct rk_msg){.type = RK_MSG_CLOSED, .flags = RK_MSG_F_ALL, .slots = 1};
	assert_int_equal(rk_ring_send(&tx, cells), 1);
	memcpy(&cells[1], &reason, sizeof(reason));
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 1);
	assert_true(rx.closed == RK_CLOSE_DONE);
}

static void test_a_refused_ring_stays_refused_for_later_ends(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	rk_ring_refuse(&rx, 500);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, NULL), 0);
	assert_true(rx.closed == 500);
	assert_int_equal(rk_ring_recv(&rx, cells, 1), 0);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
	assert_true(rk_ring_tx_free(&tx) == 0 && tx.closed == 500);
}

/* --- A hostile consumer --- */

static void expect_bad_credit(uint64_t start, uint64_t sent, uint64_t credit)
{
	fresh_at(CAPACITY, start);
	for (uint64_t i = 0; i < sent; i++)
		assert_int_equal(send_number(1, i), 1);
	ring.credit->consumed = credit;
	assert_true(rk_ring_tx_free(&tx) == 0);
	assert_true(tx.closed == RK_CLOSE_BAD_CREDIT);
	assert_int_equal(send_number(1, 1), 0);
	assert_int_equal(send_number(2, 1), 0);
	assert_int_equal(rk_ring_send_batch(&tx, cells, 2), 0);
	assert_true(rk_ring_tx_position(&tx) == start + sent);
}

static void test_a_credit_that_cannot_be_closes_the_ring(void **unused)
{
	const uint64_t starts[] = {0, 1000, UINT64_MAX - 5, UINT64_MAX};

	(void)unused;
	for (int i = 0; i < 4; i++) {
		uint64_t start = starts[i];

		expect_bad_credit(start, 10, start + 11);
		expect_bad_credit(start, 10, start - 1);
		expect_bad_credit(start, 10, start + (1ULL << 63));
		expect_bad_credit(start, 0, start + 1);
		expect_bad_credit(start, CAPACITY, start + CAPACITY + 1);
	}
	/* A credit that falls back is none either. */
	fresh(CAPACITY);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(send_number(1, i), 1);
	ring.credit->consumed = 5;
	assert_true(rk_ring_tx_free(&tx) == CAPACITY - 5);
	ring.credit->consumed = 4;
	assert_true(rk_ring_tx_free(&tx) == 0 && tx.closed == RK_CLOSE_BAD_CREDIT);
}

/* --- Ends that come later --- */

static void test_a_consumer_resumes_only_within_the_ring(void **unused)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts), .resume = true};

	(void)unused;
	fresh_at(CAPACITY, UINT64_MAX - 3);
	opts.position = UINT64_MAX - 4;
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), -EINVAL);
	expect_text("'unit'", "resume at 18446744073709551611", "give a position within");
	opts.position = UINT64_MAX - 3 + CAPACITY + 1;
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), -EINVAL);
	opts.position = UINT64_MAX - 3 + CAPACITY;
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), 0);
	opts.size--;
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), -EINVAL);
	expect_text("'unit'", "options of", "set size to");
}

static void expect_damage(const char *says)
{
	assert_int_equal(rk_ring_tx_open(&tx, &ring), -EPROTO);
	expect_text("'unit'", says, "make a new ring");
}

static void test_damaged_slots_are_not_taken_over(void **unused)
{
	(void)unused;
	fresh(CAPACITY);
	forge(0, RK_MSG_USER, 0, 0);
	expect_damage("a message of 0 slots at position 0");
	fresh(CAPACITY);
	forge(0, RK_MSG_USER, 0, CAPACITY / 2 + 1);
	expect_damage("a message of 33 slots at position 0");
	fresh(CAPACITY);
	forge(0, RK_MSG_USER, 0, 3);
	forge(2, RK_MSG_USER, 0, 1);
	expect_damage("slot 1 of 3 missing at position 0");
	fresh(CAPACITY);
	ring.slots[0].word[0] = rk_slot_tag(0, ring.capacity_log2);
	expect_damage("a first word without its slot at position 0");
	fresh(4);
	forge(0, RK_MSG_USER, 0, 1);
	forge(1, RK_MSG_USER, 0, 2);
	forge(2, RK_MSG_USER, 0, 1);
	forge(3, RK_MSG_USER, 0, 2);
	expect_damage("a message of 2 slots at position 3");
}

/* A second producer that dies while padding leaves no more and no less to the third. */
static void test_padding_cut_short_is_padded_the_same(void **unused)
{
	(void)unused;
	for (uint32_t words = 0; words <= 23; words++) {
		fresh(CAPACITY);
		assert_int_equal(send_number(1, 1), 1);
		/* Of a message of five, the second slot and a word of the third. */
		forge(2, RK_MSG_USER, 0, 1);
		ring.slots[3].word[7] = rk_slot_tag(3, ring.capacity_log2) | 1;
		for (uint32_t i = 0; i < words; i++) {
			struct rk_slot *slot = &ring.slots[3 - i / 8];

			if (slot->word[7 - i % 8] >> 56 != 1)
				slot->word[7 - i % 8] = rk_slot_tag(1, ring.capacity_log2);
		}
		assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
		assert_true(tx.padded_slots == 3 && rk_ring_tx_position(&tx) == 4);
		assert_int_equal(send_number(2, 2), 2);
		expect_number(1, 1);
		expect_number(2, 2);
		assert_true(rx.padded_slots == 3);
	}
}

static int map_memory(void **unused)
{
	(void)unused;
	memory = aid_guarded(rk_ring_bytes(MOST_CAPACITY) / RK_PAGE_BYTES + 1);
	return 0;
}

static int unmap_memory(void **unused)
{
	(void)unused;
	aid_unguard(memory, rk_ring_bytes(MOST_CAPACITY) / RK_PAGE_BYTES + 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacities_that_are_no_ring_are_refused),
		cmocka_unit_test(test_memory_that_does_not_fit_is_refused),
		cmocka_unit_test(test_parts_that_do_not_fit_are_refused),
		cmocka_unit_test(test_far_slots_have_one_producer),
		cmocka_unit_test(test_a_far_credit_is_given_again),
		cmocka_unit_test(test_a_wait_for_a_device_ends_without_a_wake),
		cmocka_unit_test(test_a_long_name_is_cut),
		cmocka_unit_test(test_attach_believes_no_header),
		cmocka_unit_test(test_a_ring_costs_its_slots_and_three_pages),
		cmocka_unit_test(test_a_message_longer_than_half_the_ring_is_refused),
		cmocka_unit_test(test_unknown_flags_are_refused),
		cmocka_unit_test(test_a_full_ring_takes_nothing_and_then_goes_on),
		cmocka_unit_test(test_a_batch_stops_at_the_message_that_does_not_fit),
		cmocka_unit_test(test_too_little_room_leaves_the_message),
		cmocka_unit_test(test_credit_is_given_each_eighth_and_when_idle),
		cmocka_unit_test(test_a_bad_header_closes_the_ring),
		cmocka_unit_test(test_padding_beyond_the_credit_closes_the_ring),
		cmocka_unit_test(test_a_message_whose_rest_never_comes_is_never_received),
		cmocka_unit_test(test_what_came_before_a_torn_message_is_given_back),
		cmocka_unit_test(test_a_message_behind_padding_is_received_at_once),
		cmocka_unit_test(test_reasons_go_both_ways),
		cmocka_unit_test(test_reason_zero_closes_too),
		cmocka_unit_test(test_a_full_ring_closes_later),
		cmocka_unit_test(test_the_closing_message_outlives_its_consumer),
		cmocka_unit_test(test_a_closed_message_with_every_extension_stays_in_its_cell),
		cmocka_unit_test(test_a_refused_ring_stays_refused_for_later_ends),
		cmocka_unit_test(test_a_credit_that_cannot_be_closes_the_ring),
		cmocka_unit_test(test_a_consumer_resumes_only_within_the_ring),
		cmocka_unit_test(test_damaged_slots_are_not_taken_over),
		cmocka_unit_test(test_padding_cut_short_is_padded_the_same),
	};

	aid_choose_seed(1);
	aid_watchdog(120);
	return cmocka_run_group_tests_name("ring", tests, map_memory, unmap_memory);
}
