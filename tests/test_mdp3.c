// SPDX-License-Identifier: MIT
/*
 * mdp3_book against the real capture, against the slow reference on generated feeds, and against
 * malformed packets; then echo, count and the table of shipped actors.
 *
 * RK_SEED sets the first seed of the generated feeds, RK_CAPTURES the folder of the capture.
 */
#include "config.h"

#include "actors.h"
#include "count.h"
#include "echo.h"
#include "gen.h"
#include "mdp3_aid.h"
#include "mdp3_reference.h"
#include "rk_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { ROUNDS = 12 };

static uint64_t seed_now;

/* As assert_int_equal(), and says which seed to repeat. */
#define CHECK_EQ(a, b)                                                                          \
	do {                                                                                    \
		const uint64_t left = (uint64_t)(a), right = (uint64_t)(b);                     \
		if (left != right)                                                              \
			print_error("to repeat: RK_SEED=%llu\n", (unsigned long long)seed_now); \
		assert_int_equal(left, right);                                                  \
	} while (0)

/* A mdp3_book that runs here, and all that it sent. */
struct bench {
	struct rk_mdp3_state *state;
	struct rk_ctx ctx;
	struct ref_event *event;
	size_t events, room;
};

static void keep_event(void *user, uint32_t outbox, uint16_t type, uint32_t tag,
		       const void *payload, uint32_t bytes)
{
	struct bench *bench = user;
	struct ref_event *event;

	assert_int_equal(outbox, 0);
	if (bench->events == bench->room) {
		bench->room = 2 * bench->room + 1024;
		bench->event = realloc(bench->event, bench->room * sizeof(*event));
	}
	event = &bench->event[bench->events++];
	memset(event, 0, sizeof(*event));
	event->type = type;
	event->tag = tag;
	assert_int_equal(bytes, type == RK_MDP3_GAP ? sizeof(event->gap) : sizeof(event->bbo));
	memcpy(&event->bbo, payload, bytes);
}

static void give(struct bench *bench, struct rk_msg *msg)
{
	const char *broken;

	rk_mdp3_book(&bench->ctx, bench->state, msg);
	free(msg);
	broken = aid_broken_rule(bench->state);
	if (broken)
		print_error("to repeat: RK_SEED=%llu\n", (unsigned long long)seed_now);
	assert_string_equal(broken ? broken : "", "");
}

static void bench_open(struct bench *bench, uint64_t window, uint64_t gap_ns, uint64_t first)
{
	memset(bench, 0, sizeof(*bench));
	bench->state = calloc(1, sizeof(*bench->state));
	bench->ctx.on_send = keep_event;
	bench->ctx.user = bench;
	give(bench, aid_start(window, gap_ns, first));
}

static void bench_stop(struct bench *bench)
{
	give(bench, aid_message(RK_MSG_STOP, 0, 0, NULL, 0));
	assert_int_equal(bench->state->counters.held, 0);
}

static void bench_close(struct bench *bench)
{
	free(bench->state);
	free(bench->event);
}

/* All that was sent, in order, is what the reference says. */
static void check_events(const struct bench *bench, const struct ref *ref)
{
	CHECK_EQ(bench->events, ref->events);
	for (size_t i = 0; i < ref->events; i++) {
		struct ref_event event = bench->event[i];

		if (event.type == RK_MDP3_GAP)
			event.gap.time_ns = 0;
		if (memcmp(&event, &ref->event[i], sizeof(event)))
			print_error("event %zu of %zu; to repeat: RK_SEED=%llu\n", i, ref->events,
				    (unsigned long long)seed_now);
		assert_memory_equal(&event, &ref->event[i], sizeof(event));
	}
}

/* --- The real capture --- */

#if RK_HAVE_PCAP

#include <pcap/pcap.h>

static const char *capture_path(void)
{
	static char path[4096];
	const char *folder = getenv("RK_CAPTURES");

	snprintf(path, sizeof(path), "%s/cme_mdp3_sbe_ab.pcap", folder ? folder : "../shared/data");
	return path;
}

/* Ethernet, IPv4, UDP: the datagram within @frame, and its port; NULL if it is something else. */
static const uint8_t *datagram(const uint8_t *frame, uint32_t bytes, uint32_t *length,
			       uint32_t *port)
{
	const uint32_t front = 14 + (bytes > 14 ? (frame[14] & 15u) * 4 : 0) + 8;

	if (bytes < front || frame[12] != 8 || frame[13] || frame[23] != 17)
		return NULL;
	*port = (uint32_t)frame[front - 6] << 8 | frame[front - 5];
	*length = ((uint32_t)frame[front - 4] << 8 | frame[front - 3]) - 8;
	return *length <= bytes - front ? frame + front : NULL;
}

static void play_capture(struct bench *bench, struct ref *ref, pcap_t *capture)
{
	struct pcap_pkthdr *header;
	const uint8_t *frame, *data;
	uint32_t bytes = 0, port = 0;

	while (pcap_next_ex(capture, &header, &frame) == 1) {
		data = datagram(frame, header->caplen, &bytes, &port);
		assert_non_null(data);
		ref_add(ref, data, bytes);
		give(bench, aid_packet(0, port == 15340,
				       (uint64_t)header->ts.tv_sec * 1000000000u +
					       (uint64_t)header->ts.tv_usec,
				       data, bytes, bytes));
	}
}

static void check_best(const struct bench *bench, const struct rk_mdp3_bbo *expected)
{
	const struct rk_mdp3_security *security;
	struct rk_mdp3_bbo best;

	for (uint32_t i = 0; (security = rk_mdp3_security_at(bench->state, i)); i++) {
		if (security->id == expected->security_id)
			break;
	}
	assert_non_null(security);
	rk_mdp3_best_now(bench->state, security, &best);
	assert_int_equal(best.flags & (RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_OFFER),
			 RK_MDP3_BBO_F_BID | RK_MDP3_BBO_F_OFFER);
	best.flags = 0;
	assert_memory_equal(&best, expected, sizeof(best));
}

static void test_capture_gives_what_an_independent_decoder_found(void **unused)
{
	static const struct rk_mdp3_bbo best[3] = {
		{34108, 0, -297500000, -292500000, 1, 28, 1, 5},
		{34661, 0, -317500000, -312500000, 97, 42, 3, 7},
		{49453, 0, -460000000, -452500000, 14, 51, 1, 8},
	};
	struct ref *ref = calloc(1, sizeof(*ref));
	char why[PCAP_ERRBUF_SIZE];
	const struct rk_mdp3_counters *c;
	struct bench bench;
	pcap_t *capture;

	(void)unused;
	capture = pcap_open_offline_with_tstamp_precision(capture_path(),
							  PCAP_TSTAMP_PRECISION_NANO, why);
	if (!capture) {
		print_message("skipped: %s (RK_CAPTURES names the folder)\n", why);
		free(ref);
		skip();
	}
	bench_open(&bench, 0, 0, 0);
	play_capture(&bench, ref, capture);
	pcap_close(capture);
	c = &bench.state->counters;
	assert_int_equal(c->held, 0);
	bench_stop(&bench);
	assert_int_equal(c->packets, 10000);
	assert_int_equal(c->unique, 5000);
	assert_int_equal(c->duplicates[0] + c->duplicates[1], 5000);
	assert_int_equal(c->gaps, 0);
	assert_int_equal(c->malformed[RK_MDP3_GOOD], 0);
	assert_int_equal(c->messages, 9 + 9569 + 307 + 194 + 194);
	assert_int_equal(c->templates[12], 9);
	assert_int_equal(c->templates[32], 9569);
	assert_int_equal(c->templates[35], 307);
	assert_int_equal(c->templates[37], 194);
	assert_int_equal(c->templates[42], 194);
	assert_int_equal(c->entries, 14574);
	assert_int_equal(c->securities, 85);
	for (int i = 0; i < 3; i++)
		check_best(&bench, &best[i]);

	/* And what no README says, by the reference: every update, in order. */
	ref_run(ref);
	check_events(&bench, ref);
	assert_int_equal(c->bbo_updates, ref->bbo_updates);
	assert_true(c->bbo_updates > 0);
	bench_close(&bench);
	ref_free(ref);
}

#endif

/* --- Generated feeds against the truth and the reference --- */

struct setting {
	const char *key, *value;
};

static void open_feed(struct gen **gen, uint64_t seed, const struct setting *setting)
{
	struct gen_opts opts;

	seed_now = seed;
	gen_opts_init(&opts);
	assert_int_equal(gen_opts_set(&opts, "packets", "3000"), 0);
	assert_int_equal(gen_opts_set(&opts, "securities", "40"), 0);
	for (; setting->key; setting++)
		assert_int_equal(gen_opts_set(&opts, setting->key, setting->value), 0);
	opts.feed.seed = seed;
	assert_int_equal(gen_open(gen, &opts), 0);
}

/* Plays a feed; every fourth packet carries extensions, so that payloads move. */
static void play_feed(struct bench *bench, struct ref *ref, struct gen *gen)
{
	struct gen_packet packet;

	while (gen_next(gen, &packet) == 1) {
		const uint8_t flags = packet.sequence % 4 ? 0 : packet.sequence / 4 % 8;

		ref_add(ref, packet.data, packet.bytes);
		give(bench, aid_packet(flags, packet.feed, packet.time_ns, packet.data,
				       packet.bytes, packet.bytes));
	}
}

static uint64_t first_seed(void)
{
	const char *text = getenv("RK_SEED");

	return text ? strtoull(text, NULL, 0) : 1;
}

static uint64_t rounds(void)
{
	return getenv("RK_SEED") ? 1 : ROUNDS;
}

static void check_side(const struct rk_mdp3_side *side, const struct mdp3_feed_side *truth)
{
	CHECK_EQ(side->present, (1u << truth->levels) - 1);
	for (uint32_t i = 0; i < truth->levels; i++) {
		CHECK_EQ(side->level[i].price, truth->level[i].price);
		CHECK_EQ(side->level[i].size, truth->level[i].size);
		CHECK_EQ(side->level[i].orders, truth->level[i].orders);
	}
}

/* Every book of the exchange is there, level by level, and none is stale. */
static void check_books(const struct bench *bench, const struct gen *gen)
{
	const struct mdp3_feed_security *truth;
	const struct rk_mdp3_security *security;
	struct rk_mdp3_bbo best;
	uint32_t seen = 0;

	for (uint32_t i = 0; (truth = gen_security_at(gen, i)); i++) {
		if (!truth->rpt_seq)
			continue;
		for (uint32_t j = 0; (security = rk_mdp3_security_at(bench->state, j)); j++) {
			if (security->id == truth->id)
				break;
		}
		assert_non_null(security);
		seen++;
		for (int side = 0; side < RK_MDP3_SIDES; side++)
			check_side(&security->side[side], &truth->side[side]);
		rk_mdp3_best_now(bench->state, security, &best);
		CHECK_EQ(best.flags & (RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE), 0);
	}
	CHECK_EQ(bench->state->counters.securities_tracked, seen);
	CHECK_EQ(bench->state->counters.securities, gen_truth(gen)->securities);
}

static void check_counts(const struct bench *bench, const struct gen_truth *truth,
			 const struct ref *ref)
{
	const struct rk_mdp3_counters *c = &bench->state->counters;

	CHECK_EQ(c->packets, truth->delivered[0] + truth->delivered[1]);
	CHECK_EQ(c->unique, truth->unique);
	CHECK_EQ(c->malformed[RK_MDP3_GOOD], 0);
	CHECK_EQ(c->gaps, truth->missing_ranges);
	CHECK_EQ(c->packets_missing, truth->missing_packets);
	CHECK_EQ(c->messages, ref->messages);
	CHECK_EQ(c->entries, ref->entries);
	CHECK_EQ(c->securities, ref->securities);
	CHECK_EQ(c->bbo_updates, ref->bbo_updates);
	for (int i = 1; i < RK_MDP3_TEMPLATES; i++)
		CHECK_EQ(c->templates[i], ref->templates[i]);
}

/* Nothing may be missing: as the exchange's own books. */
static void run_complete(const struct setting *setting, uint64_t window)
{
	for (uint64_t seed = first_seed(), end = seed + rounds(); seed < end; seed++) {
		struct ref *ref = calloc(1, sizeof(*ref));
		const struct gen_truth *truth;
		struct bench bench;
		struct gen *gen;

		open_feed(&gen, seed, setting);
		bench_open(&bench, window, 1000000000, 0);
		play_feed(&bench, ref, gen);
		ref_run(ref);
		truth = gen_truth(gen);
		CHECK_EQ(truth->missing_packets, 0);
		CHECK_EQ(bench.state->counters.held, 0);
		check_counts(&bench, truth, ref);
		CHECK_EQ(bench.state->counters.entries, truth->sent.entries);
		CHECK_EQ(bench.state->counters.entries_implied, truth->sent.entries_implied);
		CHECK_EQ(bench.state->counters.bbo_updates, truth->sent.best_changes);
		check_events(&bench, ref);
		check_books(&bench, gen);
		bench_close(&bench);
		ref_free(ref);
		gen_close(gen);
	}
}

static void test_clean_feed_gives_the_books_of_the_exchange(void **unused)
{
	static const struct setting setting[] = {{"reset", "0.002"}, {NULL, NULL}};

	(void)unused;
	run_complete(setting, 1);
}

static void test_losses_that_spare_one_copy_lose_nothing(void **unused)
{
	static const struct setting setting[] = {
		{"loss_a", "0.4"}, {"loss_b", "0.4"},	 {"spare", "1"},
		{"lag_b", "20"},   {"duplicate", "0.1"}, {NULL, NULL},
	};

	(void)unused;
	run_complete(setting, 64);
}

static void test_reordering_within_the_window_loses_nothing(void **unused)
{
	static const struct setting setting[] = {
		{"loss_a", "0.2"},    {"loss_b", "0.2"},	 {"spare", "1"},
		{"reorder", "0.3"},   {"reorder_packets", "30"}, {"lag_b", "30"},
		{"duplicate", "0.1"}, {"reset", "0.001"},	 {NULL, NULL},
	};

	(void)unused;
	run_complete(setting, 64);
}

/* Runs that both feeds lose: exact ranges, doubt where it belongs, the rest as the reference. */
static void run_lossy(const struct setting *setting, uint64_t window, uint64_t gap_ns)
{
	for (uint64_t seed = first_seed(), end = seed + rounds(); seed < end; seed++) {
		struct ref *ref = calloc(1, sizeof(*ref));
		const struct gen_truth *truth;
		struct bench bench;
		struct gen *gen;
		uint64_t gap = 0;

		open_feed(&gen, seed, setting);
		bench_open(&bench, window, gap_ns, 0);
		play_feed(&bench, ref, gen);
		bench_stop(&bench);
		ref_run(ref);
		truth = gen_truth(gen);
		assert_true(truth->missing_ranges > 3);
		check_counts(&bench, truth, ref);
		check_events(&bench, ref);
		for (size_t i = 0; i < bench.events; i++) {
			if (bench.event[i].type != RK_MDP3_GAP)
				continue;
			CHECK_EQ(bench.event[i].gap.first, truth->missing[gap].first);
			CHECK_EQ(bench.event[i].gap.last, truth->missing[gap].last);
			gap++;
		}
		CHECK_EQ(gap, truth->missing_ranges);
		bench_close(&bench);
		ref_free(ref);
		gen_close(gen);
	}
}

static void test_losses_on_both_feeds_are_reported_exactly(void **unused)
{
	static const struct setting setting[] = {
		{"loss_a", "0.1"}, {"loss_b", "0.1"},	 {"loss_both", "0.01"}, {"loss_run", "12"},
		{"lag_b", "10"},   {"duplicate", "0.1"}, {"reset", "0.002"},	{NULL, NULL},
	};

	(void)unused;
	run_lossy(setting, 64, UINT64_MAX);
}

static void test_losses_with_reordering_are_reported_exactly(void **unused)
{
	static const struct setting setting[] = {
		{"loss_both", "0.01"}, {"loss_run", "12"},
		{"reorder", "0.2"},    {"reorder_packets", "20"},
		{"lag_b", "15"},       {"duplicate", "0.1"},
		{NULL, NULL},
	};

	(void)unused;
	run_lossy(setting, 64, UINT64_MAX);
}

static void test_runs_longer_than_the_window_are_reported_as_one(void **unused)
{
	static const struct setting setting[] = {
		{"loss_both", "0.004"},
		{"loss_run", "300"},
		{"securities", "400"},
		{NULL, NULL},
	};

	(void)unused;
	run_lossy(setting, 16, UINT64_MAX);
}

static void test_gap_by_time_gives_the_same_as_by_window(void **unused)
{
	static const struct setting setting[] = {
		{"loss_both", "0.01"},
		{"loss_run", "12"},
		{NULL, NULL},
	};

	(void)unused;
	run_lossy(setting, 256, 1);
}

static void test_more_securities_than_the_table_holds_are_counted(void **unused)
{
	static const struct setting setting[] = {
		{"securities", "5000"},
		{"zipf", "0"},
		{NULL, NULL},
	};
	struct ref *ref = calloc(1, sizeof(*ref));
	struct bench bench;
	struct gen *gen;

	(void)unused;
	open_feed(&gen, first_seed(), setting);
	bench_open(&bench, 0, 0, 0);
	play_feed(&bench, ref, gen);
	CHECK_EQ(bench.state->counters.securities_tracked, RK_MDP3_SECURITIES);
	CHECK_EQ(bench.state->counters.entries, gen_truth(gen)->sent.entries);
	assert_true(bench.state->counters.entries_untracked > 1000);
	assert_null(rk_mdp3_security_at(bench.state, RK_MDP3_SECURITIES));
	bench_close(&bench);
	ref_free(ref);
	gen_close(gen);
}

/* --- Single packets, made here --- */

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
	assert_int_equal(bench.state->counters.gaps, 2); /* for 17, which waited longest: two holes */
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

/* --- The other actors, and the table --- */

struct last_sent {
	uint32_t count, outbox, tag, bytes;
	uint16_t type;
	uint8_t payload[256];
};

static void keep_last(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		      uint32_t bytes)
{
	struct last_sent *last = user;

	assert_true(bytes <= sizeof(last->payload));
	last->count++;
	last->outbox = outbox;
	last->type = type;
	last->tag = tag;
	last->bytes = bytes;
	memcpy(last->payload, payload, bytes);
}

static void run_actor(rk_handler_fn *handle, struct rk_ctx *ctx, void *state, struct rk_msg *msg)
{
	handle(ctx, state, msg);
	free(msg);
}

static void test_echo_sends_back_unchanged(void **unused)
{
	struct last_sent last = {0};
	struct rk_ctx ctx = {.on_send = keep_last, .user = &last};
	struct rk_echo_state state = {0};

	(void)unused;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_START, 0, 0, NULL, 0));
	assert_int_equal(last.count, 0);
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER + 9, RK_MSG_F_ALL, 7, "abc", 3));
	assert_int_equal(last.count, 1);
	assert_int_equal(last.type, RK_MSG_USER + 9);
	assert_int_equal(last.tag, 7);
	assert_memory_equal(last.payload, "abc", 4);
	run_actor(rk_echo, &ctx, &state, aid_packet(0, 1, 5, "datagram", 8, 8));
	assert_int_equal(last.type, RK_MSG_PACKET);
	assert_int_equal(last.payload[8], 8);
	assert_memory_equal(last.payload + 16, "datagram", 8);
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_STOP, 0, 0, NULL, 0));
	ctx.lane = 1;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, NULL, 0));
	ctx.lane = 0;
	ctx.refuse = 1;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, NULL, 0));
	assert_int_equal(last.count, 2);
	assert_int_equal(state.messages, 2);
	assert_int_equal(state.sends_dropped, 1);
}

static void test_count_counts_and_replies(void **unused)
{
	struct last_sent last = {0};
	struct rk_ctx ctx = {.on_send = keep_last, .user = &last};
	struct rk_count_state state = {0};
	struct rk_count_reply reply;

	(void)unused;
	run_actor(rk_count, &ctx, &state, aid_message(RK_MSG_START, 0, 0, NULL, 0));
	run_actor(rk_count, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, "x", 1));
	run_actor(rk_count, &ctx, &state, aid_packet(0, 0, 1, "datagram", 8, 8));
	run_actor(rk_count, &ctx, &state, aid_packet(0, 0, 1, "datagram", 8, UINT32_MAX));
	assert_int_equal(last.count, 0);
	run_actor(rk_count, &ctx, &state, aid_message(RK_COUNT_QUERY, 0, 42, NULL, 0));
	assert_int_equal(last.count, 1);
	assert_int_equal(last.type, RK_COUNT_REPLY);
	assert_int_equal(last.tag, 42);
	assert_int_equal(last.bytes, sizeof(reply));
	memcpy(&reply, last.payload, sizeof(reply));
	assert_int_equal(reply.messages, 3);
	assert_int_equal(reply.packets, 2);
	/* One cell, 8 bytes, and what the cell of a liar holds. */
	assert_int_equal(reply.payload_bytes, 48 + 8 + 32);
}

static void test_actors_are_found_by_name(void **unused)
{
	const struct rk_actor_type *type;
	uint32_t count = 0;

	(void)unused;
	for (; (type = rk_actor_type_at(count)); count++) {
		assert_ptr_equal(rk_actor_type_find(type->name), type);
		assert_true(strlen(type->summary) > 0);
		assert_non_null(type->handle);
		for (const struct rk_counter_name *at = type->counters; at->name; at++) {
			assert_int_equal(at->offset % 8, 0);
			assert_true(at->offset + 8 <= type->state_bytes);
		}
	}
	assert_int_equal(count, 3);
	assert_null(rk_actor_type_find("mdp4"));
	assert_non_null(strstr(rk_errmsg(), "mdp4"));
	assert_non_null(strstr(rk_errmsg(), "mdp3_book"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#if RK_HAVE_PCAP
		cmocka_unit_test(test_capture_gives_what_an_independent_decoder_found),
#endif
		cmocka_unit_test(test_clean_feed_gives_the_books_of_the_exchange),
		cmocka_unit_test(test_losses_that_spare_one_copy_lose_nothing),
		cmocka_unit_test(test_reordering_within_the_window_loses_nothing),
		cmocka_unit_test(test_losses_on_both_feeds_are_reported_exactly),
		cmocka_unit_test(test_losses_with_reordering_are_reported_exactly),
		cmocka_unit_test(test_runs_longer_than_the_window_are_reported_as_one),
		cmocka_unit_test(test_gap_by_time_gives_the_same_as_by_window),
		cmocka_unit_test(test_more_securities_than_the_table_holds_are_counted),
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
		cmocka_unit_test(test_echo_sends_back_unchanged),
		cmocka_unit_test(test_count_counts_and_replies),
		cmocka_unit_test(test_actors_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
