// SPDX-License-Identifier: MIT
/*
 * mdp3_book against the real capture, and on generated feeds against the slow reference and the
 * truth that the generator tells.
 *
 * RK_SEED sets the first seed of the generated feeds, RK_CAPTURES the folder of the capture.
 */
#include "config.h"

#include "gen.h"
#include "mdp3_bench.h"
#include "mdp3_reference.h"

enum { ROUNDS = 12 };

/* All that was sent, in order, is what the reference says. */
static void check_events(const struct bench *bench, const struct ref *ref)
{
	CHECK_EQ(bench->events, ref->events);
	for (size_t i = 0; i < ref->events; i++) {
		struct aid_event event = bench->event[i];

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

#else

static void test_capture_gives_what_an_independent_decoder_found(void **unused)
{
	(void)unused;
	print_message("skipped: built without libpcap (apt-get install libpcap-dev)\n");
	skip();
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capture_gives_what_an_independent_decoder_found),
		cmocka_unit_test(test_clean_feed_gives_the_books_of_the_exchange),
		cmocka_unit_test(test_losses_that_spare_one_copy_lose_nothing),
		cmocka_unit_test(test_reordering_within_the_window_loses_nothing),
		cmocka_unit_test(test_losses_on_both_feeds_are_reported_exactly),
		cmocka_unit_test(test_losses_with_reordering_are_reported_exactly),
		cmocka_unit_test(test_runs_longer_than_the_window_are_reported_as_one),
		cmocka_unit_test(test_gap_by_time_gives_the_same_as_by_window),
		cmocka_unit_test(test_more_securities_than_the_table_holds_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
