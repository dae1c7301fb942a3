// SPDX-License-Identifier: MIT
/*
 * The feed generator: equal seeds give equal bytes on every machine, delivery does what its
 * options and its truth say and leaves the content alone, books stay books, frames and capture
 * files are sound, and wrong options are refused in words.
 */
#include "config.h"

#include "gen.h"
#include "rk_error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct setting {
	const char *key, *value;
};

static struct gen *open_feed(const struct setting *setting)
{
	struct gen_opts opts;
	struct gen *gen;

	gen_opts_init(&opts);
	assert_int_equal(gen_opts_set(&opts, "packets", "4000"), 0);
	for (; setting->key; setting++)
		assert_int_equal(gen_opts_set(&opts, setting->key, setting->value), 0);
	assert_int_equal(gen_open(&gen, &opts), 0);
	return gen;
}

static uint64_t digest_bytes(uint64_t digest, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < bytes; i++)
		digest = (digest ^ at[i]) * 0x100000001b3u;
	return digest;
}

static uint64_t digest_feed(const struct setting *setting)
{
	struct gen *gen = open_feed(setting);
	uint64_t digest = 0xcbf29ce484222325u;
	struct gen_packet packet;

	while (gen_next(gen, &packet) == 1) {
		digest = digest_bytes(digest, packet.data, packet.bytes);
		digest = digest_bytes(digest, &packet.feed, sizeof(packet.feed));
		digest = digest_bytes(digest, &packet.time_ns, sizeof(packet.time_ns));
	}
	gen_close(gen);
	return digest;
}

static const struct setting rough[] = {
	{"loss_a", "0.1"},     {"loss_b", "0.2"},  {"loss_both", "0.01"}, {"loss_run", "9"},
	{"duplicate", "0.05"}, {"reset", "0.001"}, {"reorder", "0.1"},	  {"reorder_packets", "7"},
	{"lag_b", "5"},	       {NULL, NULL},
};

/* What the first machine made; another value means that feeds of one seed differ. */
#define CLEAN_DIGEST 0xff520ce747dc5320u
#define ROUGH_DIGEST 0x4a0d67941e40d01bu

static void test_equal_seeds_give_equal_bytes(void **unused)
{
	static const struct setting other[] = {{"seed", "2"}, {NULL, NULL}};
	const struct setting *none = &rough[9];

	(void)unused;
	assert_true(digest_feed(none) == digest_feed(none));
	assert_true(digest_feed(none) != digest_feed(other));
	assert_int_equal(digest_feed(none), CLEAN_DIGEST);
	assert_int_equal(digest_feed(rough), ROUGH_DIGEST);
}

/* All datagrams by sequence, from 1; what no feed delivered stays empty. */
static struct mdp3_packet *collect(struct gen *gen)
{
	struct mdp3_packet *all = calloc(4001, sizeof(*all));
	struct gen_packet packet;

	while (gen_next(gen, &packet) == 1) {
		assert_in_range(packet.sequence, 1, 4000);
		assert_int_equal(mdp3_get32(packet.data), packet.sequence);
		all[packet.sequence].bytes = packet.bytes;
		memcpy(all[packet.sequence].data, packet.data, packet.bytes);
	}
	return all;
}

static void test_delivery_leaves_the_content_alone(void **unused)
{
	static const struct setting clean[] = {{"reset", "0.001"}, {NULL, NULL}};
	struct gen *gen[2] = {open_feed(clean), open_feed(rough)};
	struct mdp3_packet *all[2] = {collect(gen[0]), collect(gen[1])};
	uint64_t missing = 0;

	(void)unused;
	for (int i = 1; i <= 4000; i++) {
		if (!all[1][i].bytes) {
			missing++;
			continue;
		}
		assert_int_equal(all[0][i].bytes, all[1][i].bytes);
		assert_memory_equal(all[0][i].data, all[1][i].data, all[0][i].bytes);
	}
	assert_int_equal(missing, gen_truth(gen[1])->missing_packets);
	assert_memory_equal(&gen_truth(gen[0])->sent, &gen_truth(gen[1])->sent,
			    sizeof(struct mdp3_feed_truth));
	for (int i = 0; i < 2; i++) {
		free(all[i]);
		gen_close(gen[i]);
	}
}

static void test_truth_is_what_arrives(void **unused)
{
	struct gen *gen = open_feed(rough);
	uint32_t copies[2][4001] = {{0}}, newest[2] = {0};
	uint64_t late = 0, delivered[2] = {0}, before_ns = 0, range = 0;
	const struct gen_truth *truth = gen_truth(gen);
	struct gen_packet packet;

	(void)unused;
	while (gen_next(gen, &packet) == 1) {
		assert_true(packet.time_ns > before_ns);
		before_ns = packet.time_ns;
		delivered[packet.feed]++;
		copies[packet.feed][packet.sequence]++;
		late += packet.sequence < newest[packet.feed];
		if (packet.sequence > newest[packet.feed])
			newest[packet.feed] = packet.sequence;
		/* One turn more for a second copy, which may itself come after a late one. */
		assert_true(packet.sequence + 7 + 1 >= newest[packet.feed]);
		assert_true(packet.sequence + 7 + 5 + 1 >= newest[0]);
	}
	assert_true(late > 100);
	for (int feed = 0; feed < 2; feed++) {
		uint64_t lost = 0, twice = 0;

		for (int i = 1; i <= 4000; i++) {
			lost += !copies[feed][i];
			twice += copies[feed][i] == 2;
			assert_true(copies[feed][i] <= 2);
		}
		assert_int_equal(delivered[feed], truth->delivered[feed]);
		assert_int_equal(lost, truth->lost[feed]);
		assert_int_equal(twice, truth->duplicated[feed]);
		assert_true(truth->late[feed] > 100);
	}
	assert_true(copies[0][1] && copies[0][4000]);
	for (uint32_t i = 1; i <= 4000; i++) {
		if (copies[0][i] || copies[1][i])
			continue;
		assert_true(range < truth->missing_ranges);
		assert_in_range(i, truth->missing[range].first, truth->missing[range].last);
		range += i == truth->missing[range].last;
	}
	assert_int_equal(range, truth->missing_ranges);
	assert_true(range > 20);
	assert_int_equal(truth->unique + truth->missing_packets, 4000);
	gen_close(gen);
}

static void test_spare_keeps_one_copy_of_each(void **unused)
{
	static const struct setting setting[] = {
		{"loss_a", "0.5"}, {"loss_b", "0.5"}, {"spare", "1"}, {NULL, NULL}};
	struct gen *gen = open_feed(setting);
	struct gen_packet packet;

	(void)unused;
	while (gen_next(gen, &packet) == 1)
		;
	assert_int_equal(gen_truth(gen)->unique, 4000);
	assert_int_equal(gen_truth(gen)->missing_ranges, 0);
	assert_in_range(gen_truth(gen)->lost[0], 500, 1500);
	assert_in_range(gen_truth(gen)->lost[1], 1500, 2500);
	gen_close(gen);
}

static void test_books_stay_books(void **unused)
{
	struct gen *gen = open_feed(rough);
	const struct mdp3_feed_security *security;
	struct gen_packet packet;
	uint32_t levels = 0;

	(void)unused;
	while (gen_next(gen, &packet) == 1) {
		assert_true(packet.bytes <= MDP3_FEED_PACKET_BYTES);
		if (packet.sequence % 50)
			continue;
		for (uint32_t i = 0; (security = gen_security_at(gen, i)); i++) {
			for (uint32_t s = 0; s < MDP3_FEED_SIDES; s++) {
				const struct mdp3_feed_side *side = &security->side[s];
				const struct mdp3_feed_side *other = &security->side[s ^ 1];
				const int64_t away = s & 1 ? 1 : -1;

				levels += side->levels;
				assert_true(side->levels <= (s < 2 ? 10 : 2));
				for (uint32_t j = 1; j < side->levels; j++)
					assert_true(
						(side->level[j].price - side->level[j - 1].price) *
							away >
						0);
				if (side->levels && other->levels)
					assert_true((side->level[0].price - other->level[0].price) *
							    away >
						    0);
			}
		}
	}
	assert_true(levels > 10000);
	gen_close(gen);
}

static void test_feed_has_the_shape_that_was_asked_for(void **unused)
{
	static const struct setting setting[] = {{"zipf", "1"},		 {"burst_ratio", "20"},
						 {"burst_share", "0.5"}, {"rate", "1000000"},
						 {"other", "0.1"},	 {NULL, NULL}};
	struct gen *gen = open_feed(setting);
	const struct mdp3_feed_truth *sent = &gen_truth(gen)->sent;
	uint64_t first_ns = 0, before_ns = 0, fast = 0, mean_ns;
	struct gen_packet packet;

	(void)unused;
	while (gen_next(gen, &packet) == 1) {
		const uint64_t now_ns = mdp3_get64(packet.data + MDP3_PACKET_TIME);

		if (!first_ns)
			first_ns = now_ns;
		if (packet.feed == 0 && before_ns)
			fast += now_ns - before_ns < 200;
		if (packet.feed == 0)
			before_ns = now_ns;
	}
	mean_ns = (before_ns - first_ns) / 4000;
	assert_in_range(mean_ns, 700, 1300); /* a million a second */
	assert_in_range(fast, 1200, 2800);   /* half of them in bursts, 95 ns apart in the mean */
	assert_in_range(sent->messages, 4000, 16000);
	assert_in_range(sent->templates[MDP3_REFRESH_BOOK], sent->messages * 85 / 100,
			sent->messages * 95 / 100);
	assert_true(sent->templates[MDP3_HEARTBEAT] && sent->templates[MDP3_REFRESH_STATISTICS]);
	assert_true(sent->templates[MDP3_REFRESH_VOLUME] && sent->templates[MDP3_REFRESH_TRADES]);
	assert_int_equal(sent->templates[MDP3_CHANNEL_RESET], 0);
	for (int i = 0; i < MDP3_ACTIONS; i++)
		assert_true(sent->actions[i] > 0);
	assert_in_range(sent->entries_implied * 100 / sent->entries, 25, 35);
	/* Rank 1 has ten times the entries of rank 10, in the mean. */
	assert_in_range(gen_security_at(gen, 0)->rpt_seq, 5 * gen_security_at(gen, 9)->rpt_seq,
			20 * gen_security_at(gen, 9)->rpt_seq);
	gen_close(gen);
}

static void test_wrong_options_are_refused_in_words(void **unused)
{
	static const struct setting wrong[] = {
		{"loss_a", "1.1"},
		{"loss_a", "-0.1"},
		{"loss_a", ""},
		{"loss_a", "1e-3"},
		{"loss_a", "0.0000000001"},
		{"loss_a", "."},
		{"loss_a", "0.1x"},
		{"zipf", "0.7"},
		{"zipf", "2.5"},
		{"packets", "1"},
		{"packets", "4294967296"},
		{"packets", "10.0"},
		{"spare", "2"},
		{"seed", "18446744073709551616"},
		{"rate", "0"},
		{"rate", "99999999999999999999"},
		{"first_sequence", "0"},
	};
	struct gen_opts opts, before;
	struct gen *gen;

	(void)unused;
	gen_opts_init(&opts);
	before = opts;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(gen_opts_set(&opts, wrong[i].key, wrong[i].value), -EINVAL);
		assert_non_null(strstr(rk_errmsg(), wrong[i].key));
		assert_non_null(strstr(rk_errmsg(), wrong[i].value));
		assert_non_null(strstr(rk_errmsg(), "give"));
	}
	assert_int_equal(gen_opts_set(&opts, "los_a", "0"), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "los_a"));
	for (uint32_t i = 0; gen_key_at(i); i++)
		assert_non_null(strstr(rk_errmsg(), gen_key_at(i)->name));
	assert_memory_equal(&opts, &before, sizeof(opts));

	assert_int_equal(gen_opts_set(&opts, "first_sequence", "4294967295"), 0);
	assert_int_equal(gen_open(&gen, &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "first_sequence"));
}

static void test_options_take_what_they_say(void **unused)
{
	struct gen_opts opts;

	(void)unused;
	gen_opts_init(&opts);
	assert_int_equal(gen_opts_set(&opts, "loss_b", "0.01"), 0);
	assert_int_equal(opts.loss_ppb[1], 10000000);
	assert_int_equal(gen_opts_set(&opts, "loss_b", "1"), 0);
	assert_int_equal(opts.loss_ppb[1], PPB_ONE);
	assert_int_equal(gen_opts_set(&opts, "loss_b", "0.000000001"), 0);
	assert_int_equal(opts.loss_ppb[1], 1);
	assert_int_equal(gen_opts_set(&opts, "zipf", "1.5"), 0);
	assert_int_equal(opts.feed.zipf_halves, 3);
	assert_int_equal(gen_opts_set(&opts, "seed", "18446744073709551615"), 0);
	assert_true(opts.feed.seed == UINT64_MAX);
	for (uint32_t i = 0; gen_key_at(i); i++)
		assert_int_equal(gen_opts_set(&opts, gen_key_at(i)->name, gen_key_at(i)->preset),
				 0);
}

/* Ones' complement sum over whole words; what it covers includes the checksum, so it is ffff. */
static uint32_t checksum(uint32_t sum, const uint8_t *at, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void test_frames_are_sound(void **unused)
{
	static const uint8_t group[2][4] = {{224, 0, 31, 64}, {224, 0, 32, 64}};
	static const uint32_t port[2] = {14340, 15340};
	uint8_t frame[GEN_FRAME_HEADER_BYTES + MDP3_FEED_PACKET_BYTES];
	struct gen *gen = open_feed(rough);
	struct gen_packet packet;
	int odd = 0;

	(void)unused;
	while (gen_next(gen, &packet) == 1) {
		uint32_t bytes, udp;

		packet.bytes -= packet.sequence % 2; /* what the exchange sends is always even */
		bytes = gen_frame(&packet, frame);
		udp = bytes - 34;
		assert_int_equal(bytes, 42 + packet.bytes);
		assert_memory_equal(frame + 42, packet.data, packet.bytes);
		assert_memory_equal(frame + 30, group[packet.feed], 4);
		assert_memory_equal(frame + 4, group[packet.feed] + 2, 2);
		assert_int_equal(frame[36] << 8 | frame[37], port[packet.feed]);
		assert_int_equal(frame[16] << 8 | frame[17], 20 + udp);
		assert_int_equal(frame[38] << 8 | frame[39], udp);
		assert_int_equal(checksum(0, frame + 14, 20), 0xffff);
		assert_int_equal(checksum(checksum(17 + udp, frame + 26, 8), frame + 34, udp),
				 0xffff);
		assert_true(frame[40] || frame[41]);
		odd += packet.bytes & 1;
	}
	assert_true(odd > 100);
	gen_close(gen);
}

#if RK_HAVE_PCAP

#include <pcap/pcap.h>

static void test_capture_reads_back(void **unused)
{
	char path[] = "/tmp/rk-test-gen-XXXXXX", why[PCAP_ERRBUF_SIZE];
	uint8_t expected[GEN_FRAME_HEADER_BYTES + MDP3_FEED_PACKET_BYTES];
	struct gen *gen = open_feed(rough);
	struct pcap_pkthdr *header;
	struct gen_packet packet;
	struct gen_pcap *pcap;
	const uint8_t *frame;
	pcap_t *capture;

	(void)unused;
	close(mkstemp(path));
	assert_int_equal(gen_pcap_open(&pcap, path), 0);
	while (gen_next(gen, &packet) == 1)
		gen_pcap_write(pcap, &packet);
	assert_int_equal(gen_pcap_close(pcap), 0);
	gen_close(gen);

	gen = open_feed(rough);
	capture = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	assert_non_null(capture);
	assert_int_equal(pcap_datalink(capture), DLT_EN10MB);
	while (gen_next(gen, &packet) == 1) {
		assert_int_equal(pcap_next_ex(capture, &header, &frame), 1);
		assert_int_equal(header->caplen, gen_frame(&packet, expected));
		assert_memory_equal(frame, expected, header->caplen);
		assert_true((uint64_t)header->ts.tv_sec * 1000000000u +
				    (uint64_t)header->ts.tv_usec ==
			    packet.time_ns);
	}
	assert_int_equal(pcap_next_ex(capture, &header, &frame), PCAP_ERROR_BREAK);
	pcap_close(capture);
	gen_close(gen);
	unlink(path);
}

static void test_capture_that_cannot_be_written_says_so(void **unused)
{
	struct gen *gen = open_feed(rough);
	struct gen_packet packet;
	struct gen_pcap *pcap;

	(void)unused;
	assert_int_equal(gen_pcap_open(&pcap, "/no/such/folder/x.pcap"), -EIO);
	assert_non_null(strstr(rk_errmsg(), "/no/such/folder/x.pcap"));
	if (!access("/dev/full", W_OK)) {
		assert_int_equal(gen_pcap_open(&pcap, "/dev/full"), 0);
		while (gen_next(gen, &packet) == 1)
			gen_pcap_write(pcap, &packet);
		assert_int_equal(gen_pcap_close(pcap), -EIO);
		assert_non_null(strstr(rk_errmsg(), "disk"));
	}
	gen_close(gen);
}

#else

static void test_without_libpcap_it_says_so(void **unused)
{
	struct gen_pcap *pcap;

	(void)unused;
	assert_int_equal(gen_pcap_open(&pcap, "/tmp/x"), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "libpcap-dev"));
}

#endif

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_seeds_give_equal_bytes),
		cmocka_unit_test(test_delivery_leaves_the_content_alone),
		cmocka_unit_test(test_truth_is_what_arrives),
		cmocka_unit_test(test_spare_keeps_one_copy_of_each),
		cmocka_unit_test(test_books_stay_books),
		cmocka_unit_test(test_feed_has_the_shape_that_was_asked_for),
		cmocka_unit_test(test_wrong_options_are_refused_in_words),
		cmocka_unit_test(test_options_take_what_they_say),
		cmocka_unit_test(test_frames_are_sound),
#if RK_HAVE_PCAP
		cmocka_unit_test(test_capture_reads_back),
		cmocka_unit_test(test_capture_that_cannot_be_written_says_so),
#else
		cmocka_unit_test(test_without_libpcap_it_says_so),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
