// SPDX-License-Identifier: MIT
/*
 * mdp3_book packet by packet: arbitration, gaps by window and by time, staleness, actions, sides,
 * and every way in which a packet can be malformed.
 */
#include "mdp3_bench.h"

enum { SECURITY = 77, MADE_BYTES = 12 + 10 + 11 + 3 + 32 };

/* A packet with one refresh of one entry. */
static void make_packet(uint8_t *data, uint32_t sequence, uint32_t rpt_seq, int action, int level,
			char type, int64_t price)
{
	uint8_t *message = data + MDP3_PACKET_HEADER_BYTES;
	uint8_t *entry = message + MDP3_MESSAGE_HEADER_BYTES + MDP3_REFRESH_BLOCK_BYTES + 3;

	memset(data, 0, MADE_BYTES);
	mdp3_put32(data, sequence);
	mdp3_put64(data + MDP3_PACKET_TIME, sequence);
	mdp3_put16(message + MDP3_MESSAGE_SIZE, MADE_BYTES - MDP3_PACKET_HEADER_BYTES);
	mdp3_put16(message + MDP3_MESSAGE_BLOCK, MDP3_REFRESH_BLOCK_BYTES);
	mdp3_put16(message + MDP3_MESSAGE_TEMPLATE, MDP3_REFRESH_BOOK);
	mdp3_put16(message + MDP3_MESSAGE_SCHEMA, MDP3_SCHEMA);
	mdp3_put16(message + MDP3_MESSAGE_VERSION, MDP3_VERSION);
	mdp3_put16(entry - 3, MDP3_ENTRY_BYTES);
	entry[-1] = 1;
	mdp3_put64(entry + MDP3_ENTRY_PRICE, (uint64_t)price);
	mdp3_put32(entry + MDP3_ENTRY_SIZE, 5);
	mdp3_put32(entry + MDP3_ENTRY_SECURITY, SECURITY);
	mdp3_put32(entry + MDP3_ENTRY_RPT_SEQ, rpt_seq);
	mdp3_put32(entry + MDP3_ENTRY_ORDERS, 2);
	entry[MDP3_ENTRY_LEVEL] = (uint8_t)level;
	entry[MDP3_ENTRY_ACTION] = (uint8_t)action;
	entry[MDP3_ENTRY_TYPE] = (uint8_t)type;
}

/* A bid at level 1 in packet @sequence, price and rpt seq as the sequence, at that time. */
static void give_bid(struct bench *bench, uint32_t feed, uint32_t sequence, uint64_t time_ns)
{
	uint8_t data[MADE_BYTES];

	make_packet(data, sequence, sequence, MDP3_NEW, 1, '0', sequence);
	give(bench, aid_packet(0, feed, time_ns, data, sizeof(data), sizeof(data)));
}

static void give_entry(struct bench *bench, uint32_t sequence, uint32_t rpt_seq, int action,
		       int level, char type, int64_t price)
{
	uint8_t data[MADE_BYTES];

	make_packet(data, sequence, rpt_seq, action, level, type, price);
	give(bench, aid_packet(0, 0, 1, data, sizeof(data), sizeof(data)));
}

static void test_first_copy_counts_and_duplicates_go_by_feed(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	give_bid(&bench, 0, 100, 1);
	give_bid(&bench, 1, 100, 2);
	give_bid(&bench, 1, 101, 3);
	give_bid(&bench, 1, 101, 4);
	give_bid(&bench, 0, 101, 5);
	give_bid(&bench, 0, 103, 6); /* waits */
	give_bid(&bench, 1, 103, 7); /* a duplicate of what waits */
	give_bid(&bench, 5, 103, 8);
	assert_int_equal(bench.state->counters.unique, 2);
	assert_int_equal(bench.state->counters.held, 1);
	assert_int_equal(bench.state->counters.duplicates[0], 1);
	assert_int_equal(bench.state->counters.duplicates[1], 3);
	assert_int_equal(bench.state->counters.duplicates[2], 1);
	assert_int_equal(bench.events, 2);
	bench_close(&bench);
}

static void test_window_overflow_gives_up_the_hole(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 4, UINT64_MAX, 0);
	give_bid(&bench, 0, 10, 1);
	give_bid(&bench, 0, 13, 1);
	give_bid(&bench, 0, 14, 1);
	assert_int_equal(bench.state->counters.gaps, 0);
	give_bid(&bench, 0, 15, 1); /* 11 is due, 15 is 4 ahead: 11 and 12 are given up */
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(bench.state->counters.packets_missing, 2);
	assert_int_equal(bench.state->counters.unique, 4);
	assert_int_equal(bench.state->counters.held, 0);
	assert_int_equal(bench.event[1].type, RK_MDP3_GAP);
	assert_int_equal(bench.event[1].gap.first, 11);
	assert_int_equal(bench.event[1].gap.last, 12);
	give_bid(&bench, 1, 12, 1); /* too late */
	assert_int_equal(bench.state->counters.duplicates[1], 1);
	bench_close(&bench);
}

static void test_hold_limit_is_judged_by_the_stamps_of_packets(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 64, 1000, 0);
	give_bid(&bench, 0, 10, 5000);
	give_bid(&bench, 0, 12, 6000); /* waits from here */
	give_bid(&bench, 0, 14, 6900); /* behind a second hole */
	give_bid(&bench, 1, 12, 7000); /* exactly the limit: not over it */
	assert_int_equal(bench.state->counters.gaps, 0);
	give_bid(&bench, 1, 12, 7001); /* over it: even a duplicate shows the time */
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(bench.event[1].gap.first, 11);
	assert_int_equal(bench.event[1].gap.time_ns, 7001);
	assert_int_equal(bench.state->counters.held, 1); /* 14 waits since 6900 */
	give_bid(&bench, 1, 13, 9000); /* what was missing comes itself, however late: no gap */
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(bench.state->counters.held, 0);
	bench_close(&bench);
}

static void test_hold_limit_goes_by_the_packet_that_waits_longest(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 64, 1000, 0);
	give_bid(&bench, 0, 10, 5000);
	give_bid(&bench, 0, 12, 6000);
	give_bid(&bench, 0, 17, 6100);
	give_bid(&bench, 0, 15, 6500);
	give_bid(&bench, 1, 11, 6900); /* 12 follows it; 13 is due now, since 6100 */
	assert_int_equal(bench.state->counters.held, 2);
	give_bid(&bench, 1, 10, 7100);
	assert_int_equal(bench.state->counters.gaps, 0);
	give_bid(&bench, 1, 10, 7101);
	assert_int_equal(bench.state->counters.gaps,
			 2); /* for 17, which waited longest: two holes */
	bench_close(&bench);
}

static void test_without_receive_time_the_sending_time_counts(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 64, 5, 0);
	give_bid(&bench, 0, 10, 0); /* sent at 10, and so on */
	give_bid(&bench, 0, 12, 0);
	give_bid(&bench, 0, 17, 0);
	assert_int_equal(bench.state->counters.gaps, 0);
	give_bid(&bench, 0, 18, 0);
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(bench.event[1].gap.time_ns, 18);
	bench_close(&bench);
}

static void test_stop_gives_up_every_hole_and_applies_the_rest(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, UINT64_MAX, 0);
	give_bid(&bench, 0, 1, 1);
	give_bid(&bench, 0, 3, 1);
	give_bid(&bench, 0, 4, 1);
	give_bid(&bench, 0, 7, 1);
	bench_stop(&bench);
	assert_int_equal(bench.state->counters.unique, 4);
	assert_int_equal(bench.state->counters.gaps, 2);
	assert_int_equal(bench.state->counters.packets_missing, 3);
	assert_int_equal(bench.events, 6);
	bench_close(&bench);
}

static void test_first_sequence_and_wrap_and_giant_leap(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 8, UINT64_MAX, UINT32_MAX);
	give_bid(&bench, 0, 1, 1); /* two ahead, across the wrap */
	assert_int_equal(bench.state->counters.held, 1);
	give_bid(&bench, 0, 0, 1);
	give_bid(&bench, 1, UINT32_MAX, 1);
	assert_int_equal(bench.state->counters.unique, 3);
	assert_int_equal(bench.state->counters.gaps, 0);
	give_bid(&bench, 1, UINT32_MAX - 1, 1);
	assert_int_equal(bench.state->counters.duplicates[1], 1);
	give_bid(&bench, 0, 2u + INT32_MAX, 1); /* as far ahead as ahead goes */
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(bench.state->counters.packets_missing, INT32_MAX);
	give_bid(&bench, 0, 2, 1); /* half the circle on: behind */
	assert_int_equal(bench.state->counters.duplicates[0], 1);
	bench_close(&bench);
}

static uint32_t best_flags(const struct bench *bench)
{
	struct rk_mdp3_bbo best;

	assert_non_null(rk_mdp3_security_at(bench->state, 0));
	rk_mdp3_best_now(bench->state, rk_mdp3_security_at(bench->state, 0), &best);
	return best.flags;
}

static void test_staleness_ends_by_rpt_seq(void **unused)
{
	const uint32_t stale = RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE;
	struct bench bench;

	(void)unused;
	bench_open(&bench, 1, 0, 0);
	give_entry(&bench, 1, 1, MDP3_NEW, 1, '0', 100);
	assert_int_equal(best_flags(&bench) & stale, 0);
	give_entry(&bench, 3, 2, MDP3_NEW, 2, '0', 90); /* packet 2 is lost, this rpt seq follows */
	assert_int_equal(bench.state->counters.gaps, 1);
	assert_int_equal(best_flags(&bench) & stale, 0);
	assert_int_equal(bench.events, 2); /* the first bid, the gap */
	bench_close(&bench);
}

static void test_staleness_ends_level_by_level(void **unused)
{
	const uint32_t stale = RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE;
	struct bench bench;

	(void)unused;
	bench_open(&bench, 1, 0, 0);
	give_entry(&bench, 1, 1, MDP3_NEW, 1, '0', 100);
	give_entry(&bench, 3, 3, MDP3_NEW, 2, '0', 90); /* rpt seq 2 is lost */
	assert_int_equal(best_flags(&bench) & stale, stale);
	assert_int_equal(bench.events, 3);
	assert_int_equal(bench.event[2].type, RK_MDP3_BBO);
	assert_int_equal(bench.event[2].bbo.bid_price, 100);
	assert_int_equal(bench.event[2].bbo.flags, RK_MDP3_BBO_F_BID | stale |
							   RK_MDP3_BBO_F_BID_CHANGED |
							   RK_MDP3_BBO_F_OFFER_CHANGED);
	give_entry(&bench, 4, 4, MDP3_DELETE, 1, '0', 100); /* the proven second comes up */
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_OFFER_STALE);
	give_entry(&bench, 5, 5, MDP3_DELETE_THRU, 1, '1', 0); /* known to be empty */
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID);
	bench_close(&bench);
}

/* A packet whose message is a channel reset: a block of 9 and no entries. */
static void give_reset(struct bench *bench, uint32_t sequence)
{
	uint8_t data[MADE_BYTES];

	make_packet(data, sequence, 0, 0, 0, 0, 0);
	mdp3_put16(data + MDP3_PACKET_HEADER_BYTES + MDP3_MESSAGE_TEMPLATE, MDP3_CHANNEL_RESET);
	give(bench, aid_packet(0, 0, 1, data, sizeof(data), sizeof(data)));
}

static void test_channel_reset_empties_and_proves(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 1, 0, 0);
	give_entry(&bench, 1, 10, MDP3_NEW, 1, '0', 100); /* joins late: the offer is in doubt */
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_OFFER_STALE);
	give_reset(&bench, 2);
	assert_int_equal(best_flags(&bench), 0);
	assert_int_equal(bench.events, 2);
	give_reset(&bench, 4); /* after a gap: what the reset before it proved is proven again */
	assert_int_equal(bench.state->counters.gaps, 1);
	give_entry(&bench, 5, 50, MDP3_NEW, 1, '0', 90);
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID);
	bench_close(&bench);
}

static void test_joining_late_starts_in_doubt(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	give_entry(&bench, 500, 9, MDP3_CHANGE, 3, '0', 100);
	assert_int_equal(bench.events, 0);
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE);
	give_entry(&bench, 501, 10, MDP3_CHANGE, 1, '1', 120);
	assert_int_equal(best_flags(&bench), RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER);
	assert_int_equal(bench.events, 1);
	bench_close(&bench);
}

static void test_every_action_moves_the_levels_it_should(void **unused)
{
	static const struct {
		int action, level;
		int64_t price, book[5];
	} step[] = {
		{MDP3_NEW, 1, 100, {100}},
		{MDP3_NEW, 2, 80, {100, 80}},
		{MDP3_NEW, 2, 90, {100, 90, 80}},
		{MDP3_CHANGE, 3, 70, {100, 90, 70}},
		{MDP3_NEW, 4, 60, {100, 90, 70, 60}},
		{MDP3_DELETE, 2, 90, {100, 70, 60}},
		{MDP3_DELETE_FROM, 2, 0, {60}},
		{MDP3_NEW, 1, 65, {65, 60}},
		{MDP3_DELETE_THRU, 1, 0, {0}},
	};
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	for (uint32_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		const struct rk_mdp3_side *side = &bench.state->security[0].side[RK_MDP3_BID];

		give_entry(&bench, 1 + i, 1 + i, step[i].action, step[i].level, '0', step[i].price);
		for (int level = 0; level < 5; level++)
			assert_int_equal(side->present >> level & 1 ? side->level[level].price : 0,
					 step[i].book[level]);
	}
	for (uint32_t i = 0; i < 12; i++)
		give_entry(&bench, 20 + i, 20 + i, MDP3_NEW, 1, '1', 200 - i);
	bench_stop(&bench);
	assert_int_equal(bench.state->security[0].side[RK_MDP3_OFFER].present, 1023);
	assert_int_equal(bench.state->security[0].side[RK_MDP3_OFFER].level[9].price, 198);
	bench_close(&bench);
}

static void test_implied_entries_are_kept_apart(void **unused)
{
	const struct rk_mdp3_security *security;
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	give_entry(&bench, 1, 1, MDP3_NEW, 1, 'E', 100);
	give_entry(&bench, 2, 2, MDP3_NEW, 1, 'F', 110);
	give_entry(&bench, 3, 3, MDP3_NEW, 1, 'F', 109);
	give_entry(&bench, 4, 4, MDP3_NEW, 1, 'F', 108);
	assert_int_equal(bench.events, 0);
	assert_int_equal(bench.state->counters.entries_implied, 4);
	assert_int_equal(bench.state->counters.securities, 0);
	assert_int_equal(bench.state->counters.securities_tracked, 1);
	security = rk_mdp3_security_at(bench.state, 0);
	assert_int_equal(security->side[RK_MDP3_IMPLIED_BID].level[0].price, 100);
	assert_int_equal(security->side[RK_MDP3_IMPLIED_OFFER].present, 3);
	assert_int_equal(security->side[RK_MDP3_IMPLIED_OFFER].level[1].price, 109);
	bench_close(&bench);
}

static void test_only_the_leader_works_and_dropped_sends_are_counted(void **unused)
{
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	bench.ctx.lane = 3;
	give_bid(&bench, 0, 1, 1);
	assert_int_equal(bench.state->counters.packets, 0);
	bench.ctx.lane = 0;
	bench.ctx.refuse = 1;
	give_bid(&bench, 0, 1, 1);
	assert_int_equal(bench.events, 0);
	assert_int_equal(bench.state->counters.bbo_updates, 1);
	assert_int_equal(bench.state->counters.sends_dropped, 1);
	give(&bench, aid_message(RK_MSG_USER + 999, 0, 0, NULL, 0));
	assert_int_equal(bench.state->counters.messages_ignored, 1);
	bench_close(&bench);
}

/* --- Malformed packets --- */

/* Gives one packet to a fresh actor: the fault counted, or 0 where it was applied. */
static int fault_of(const uint8_t *data, uint32_t bytes, uint32_t announced)
{
	struct bench bench;
	int fault = 0;

	bench_open(&bench, 0, 0, 0);
	give(&bench, aid_packet(RK_MSG_F_TIME, 0, 1, data, bytes, announced));
	for (int i = RK_MDP3_GOOD + 1; i < RK_MDP3_FAULTS; i++) {
		if (bench.state->counters.malformed[i])
			fault = i;
	}
	assert_int_equal(bench.state->counters.unique, fault == 0);
	assert_int_equal(bench.state->counters.malformed[RK_MDP3_GOOD], fault != 0);
	assert_true(fault == 0 || (bench.events == 0 && !bench.state->started));
	bench_stop(&bench);
	bench_close(&bench);
	return fault;
}

static void test_truncated_at_every_byte(void **unused)
{
	uint8_t data[MADE_BYTES];
	uint64_t cells, room;

	(void)unused;
	make_packet(data, 1, 1, MDP3_NEW, 1, '0', 100);
	for (uint32_t bytes = 0; bytes < MADE_BYTES; bytes++) {
		/* With nothing behind its header it is a packet without messages, and good. */
		const int expected = bytes < 12	   ? RK_MDP3_SHORT
				     : bytes == 12 ? RK_MDP3_GOOD
						   : RK_MDP3_SIZE;

		assert_int_equal(fault_of(data, bytes, bytes), expected);
		/* And where it announces more than its cells hold. */
		cells = rk_msg_cells(RK_MSG_F_TIME, (uint32_t)sizeof(struct rk_packet) + bytes);
		room = cells * RK_CELL_BYTES - RK_MSG_HEADER_BYTES - 8 - sizeof(struct rk_packet);
		if (room < MADE_BYTES)
			assert_int_equal(fault_of(data, bytes, MADE_BYTES), RK_MDP3_SHORT);
	}
	assert_int_equal(fault_of(data, MADE_BYTES, MADE_BYTES), RK_MDP3_GOOD);
	assert_int_equal(fault_of(data, MADE_BYTES, UINT32_MAX), RK_MDP3_SHORT);
	assert_int_equal(fault_of(data, MADE_BYTES, 0), RK_MDP3_SHORT);
	/* Two cells hold 80 bytes of datagram: one more is short, all 80 end in a stub of zeros. */
	assert_int_equal(fault_of(data, MADE_BYTES, 81), RK_MDP3_SHORT);
	assert_int_equal(fault_of(data, MADE_BYTES, 80), RK_MDP3_SIZE);
}

static void test_every_fault_has_its_reason(void **unused)
{
	enum { MESSAGE = 12, GROUP = MESSAGE + 10 + 11, ENTRY = GROUP + 3 };
	static const struct {
		uint32_t at, value;
		int wide, fault;
	} change[] = {
		{MESSAGE, 0, 1, RK_MDP3_SIZE},
		{MESSAGE, 9, 1, RK_MDP3_SIZE},
		{MESSAGE, 10, 1, RK_MDP3_GROUP},
		{MESSAGE, MADE_BYTES - 12 + 1, 1, RK_MDP3_SIZE},
		{MESSAGE, 65535, 1, RK_MDP3_SIZE},
		{MESSAGE, MADE_BYTES - 12 - 1, 1, RK_MDP3_GROUP},
		{MESSAGE + 2, 10, 1, RK_MDP3_GROUP},
		{MESSAGE + 2, 0, 1, RK_MDP3_GROUP},
		{MESSAGE + 2, 65535, 1, RK_MDP3_GROUP},
		{MESSAGE + 2, 56, 1, RK_MDP3_GROUP},
		{MESSAGE + 4, 33, 1, RK_MDP3_GOOD}, /* another template: skipped */
		{MESSAGE + 4, 999, 1, RK_MDP3_GOOD},
		{MESSAGE + 6, 2, 1, RK_MDP3_SCHEMA},
		{MESSAGE + 8, 5, 1, RK_MDP3_SCHEMA},
		{MESSAGE + 8, 13, 1, RK_MDP3_GOOD}, /* later versions only append */
		{GROUP, 31, 1, RK_MDP3_GROUP},
		{GROUP, 33, 1, RK_MDP3_GROUP},
		{GROUP, 65535, 1, RK_MDP3_GROUP},
		{GROUP + 2, 0, 0, RK_MDP3_GOOD},
		{GROUP + 2, 2, 0, RK_MDP3_GROUP},
		{GROUP + 2, 255, 0, RK_MDP3_GROUP},
		{ENTRY + MDP3_ENTRY_LEVEL, 0, 0, RK_MDP3_LEVEL},
		{ENTRY + MDP3_ENTRY_LEVEL, 10, 0, RK_MDP3_GOOD},
		{ENTRY + MDP3_ENTRY_LEVEL, 11, 0, RK_MDP3_LEVEL},
		{ENTRY + MDP3_ENTRY_LEVEL, 255, 0, RK_MDP3_LEVEL},
		{ENTRY + MDP3_ENTRY_ACTION, 5, 0, RK_MDP3_ACTION},
		{ENTRY + MDP3_ENTRY_ACTION, 255, 0, RK_MDP3_ACTION},
		{ENTRY + MDP3_ENTRY_TYPE, '2', 0, RK_MDP3_TYPE},
		{ENTRY + MDP3_ENTRY_TYPE, 'J', 0, RK_MDP3_TYPE},
		{ENTRY + MDP3_ENTRY_TYPE, 0, 0, RK_MDP3_TYPE},
	};
	uint8_t data[MADE_BYTES], large[RK_MDP3_PACKET_BYTES + 1] = {0};

	(void)unused;
	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		make_packet(data, 1, 1, MDP3_NEW, 1, '0', 100);
		if (change[i].wide)
			mdp3_put16(data + change[i].at, (uint16_t)change[i].value);
		else
			data[change[i].at] = (uint8_t)change[i].value;
		assert_int_equal(fault_of(data, sizeof(data), sizeof(data)), change[i].fault);
	}
	assert_int_equal(fault_of(large, sizeof(large), sizeof(large)), RK_MDP3_LONG);
}

static void test_other_feed_heals_a_malformed_copy(void **unused)
{
	uint8_t data[MADE_BYTES];
	struct bench bench;

	(void)unused;
	bench_open(&bench, 0, 0, 0);
	give_bid(&bench, 0, 1, 1);
	make_packet(data, 2, 2, MDP3_NEW, 11, '0', 100);
	give(&bench, aid_packet(0, 0, 1, data, sizeof(data), sizeof(data)));
	give_bid(&bench, 1, 2, 1);
	assert_int_equal(bench.state->counters.unique, 2);
	assert_int_equal(bench.state->counters.malformed[RK_MDP3_LEVEL], 1);
	assert_int_equal(bench.state->counters.gaps, 0);
	bench_close(&bench);
}

static void test_appended_fields_are_skipped(void **unused)
{
	uint8_t data[MADE_BYTES], longer[MADE_BYTES + 13] = {0};
	struct bench bench;

	(void)unused;
	/* A block longer by 5 and entries longer by 8, as a later version may have them. */
	make_packet(data, 1, 1, MDP3_NEW, 1, '0', 100);
	memcpy(longer, data, 12 + 10 + 11);
	memcpy(longer + 12 + 10 + 16, data + 12 + 10 + 11, 3 + 32);
	mdp3_put16(longer + 12, (uint16_t)(sizeof(longer) - 12));
	mdp3_put16(longer + 14, 16);
	mdp3_put16(longer + 12 + 10 + 16, 40);
	bench_open(&bench, 0, 0, 0);
	give(&bench, aid_packet(0, 0, 1, longer, sizeof(longer), sizeof(longer)));
	assert_int_equal(bench.events, 1);
	assert_int_equal(bench.event[0].bbo.bid_price, 100);
	bench_close(&bench);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_copy_counts_and_duplicates_go_by_feed),
		cmocka_unit_test(test_window_overflow_gives_up_the_hole),
		cmocka_unit_test(test_hold_limit_is_judged_by_the_stamps_of_packets),
		cmocka_unit_test(test_hold_limit_goes_by_the_packet_that_waits_longest),
		cmocka_unit_test(test_without_receive_time_the_sending_time_counts),
		cmocka_unit_test(test_stop_gives_up_every_hole_and_applies_the_rest),
		cmocka_unit_test(test_first_sequence_and_wrap_and_giant_leap),
		cmocka_unit_test(test_staleness_ends_by_rpt_seq),
		cmocka_unit_test(test_staleness_ends_level_by_level),
		cmocka_unit_test(test_channel_reset_empties_and_proves),
		cmocka_unit_test(test_joining_late_starts_in_doubt),
		cmocka_unit_test(test_every_action_moves_the_levels_it_should),
		cmocka_unit_test(test_implied_entries_are_kept_apart),
		cmocka_unit_test(test_only_the_leader_works_and_dropped_sends_are_counted),
		cmocka_unit_test(test_truncated_at_every_byte),
		cmocka_unit_test(test_every_fault_has_its_reason),
		cmocka_unit_test(test_other_feed_heals_a_malformed_copy),
		cmocka_unit_test(test_appended_fields_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
