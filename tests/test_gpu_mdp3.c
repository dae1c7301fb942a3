// SPDX-License-Identifier: MIT
/*
 * mdp3_book on a GPU against the same on cpu: every byte of every message that it sends, and every
 * byte of the state that it leaves, on the real capture and on generated feeds with losses, gaps
 * and reordering. RK_SEED sets the first seed, RK_CAPTURES the folder of the capture.
 */
#include "actor_aid.h"
#include "feed_aid.h"
#include "gpu_aid.h"

#include "actors.h"
#include "config.h"
#include "mdp3_book.h"

enum { ROUNDS = 4 };

struct outcome {
	struct cells sent;
	struct rk_mdp3_state *state;
	struct rk_actor_info info;
};

/* --- One run --- */

static void run_book(const struct placing *on, const struct cells *packets, const uint64_t args[3],
		     struct outcome *out)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	const struct rk_actor_type *type = rk_actor_type_find("mdp3_book");
	struct rk_actor_opts opts = opts_of(on, 0);
	struct feeder feeder = {.cells = packets};
	struct rk_actor *actor;
	struct rk_ring_rx *rx;
	pthread_t thread;

	memset(out, 0, sizeof(*out));
	assert_non_null(type);
	opts.args = args;
	opts.arg_count = 3;
	ok(rk_actor_spawn(&actor, runtime, type, &opts));
	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_host_in(&feeder.tx, actor, NULL));
	pthread_create(&thread, NULL, feed, &feeder);
	take_cells(rx, &out->sent);
	pthread_join(thread, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	rk_actor_info(actor, &out->info);
	out->state = malloc(sizeof(*out->state));
	assert_non_null(out->state);
	assert_non_null(rk_actor_state(actor));
	memcpy(out->state, rk_actor_state(actor), sizeof(*out->state));
	close_runtime(runtime);
}

static void free_outcome(struct outcome *out)
{
	free(out->sent.at);
	free(out->state);
}

/* --- Two runs --- */

static void expect_equal(const struct outcome *cpu, const struct outcome *gpu)
{
	const uint8_t *one = (const uint8_t *)cpu->state, *other = (const uint8_t *)gpu->state;

	expect_equal_messages(&cpu->sent, &gpu->sent);
	for (size_t i = 0; i < sizeof(*cpu->state); i++)
		if (one[i] != other[i])
			fail_msg("byte %zu of the state is %#x on cpu, %#x on the GPU", i, one[i],
				 other[i]);
	assert_int_equal(cpu->info.received, gpu->info.received);
	assert_int_equal(cpu->info.received_slots, gpu->info.received_slots);
	assert_int_equal(cpu->info.sent, gpu->info.sent);
	assert_int_equal(cpu->info.sent_slots, gpu->info.sent_slots);
	assert_int_equal(dropped(&cpu->info), 0);
	assert_int_equal(dropped(&gpu->info), 0);
}

static void compare(const struct cells *packets, const uint64_t args[3])
{
	static const struct placing cpu = {.backend = RK_BACKEND_CPU};
	static const struct placing gpu[] = {
		{.backend = RK_BACKEND_CUDA, .group = RK_GROUP_WARP},
		{.backend = RK_BACKEND_CUDA, .group = RK_GROUP_BLOCK},
	};
	struct outcome expected, got;

	run_book(&cpu, packets, args, &expected);
	assert_true(expected.sent.count > 100);
	for (int i = 0; i < 2; i++) {
		run_book(&gpu[i], packets, args, &got);
		expect_equal(&expected, &got);
		free_outcome(&got);
	}
	print_message("# %llu messages in, %llu out, %zu bytes of state: equal\n",
		      (unsigned long long)expected.info.received,
		      (unsigned long long)expected.info.sent, sizeof(*expected.state));
	free_outcome(&expected);
}

/* --- Generated feeds --- */

static void compare_generated(const struct setting *setting, uint64_t window, uint64_t gap_ns)
{
	uint64_t seed = aid_choose_seed(1), end = seed + (getenv("RK_SEED") ? 1 : ROUNDS);

	for (; seed < end; seed++) {
		const uint64_t args[3] = {window, gap_ns, 0};
		struct cells packets = {0};

		generate(&packets, seed, "5000", setting);
		compare(&packets, args);
		free(packets.at);
	}
}

static void a_clean_feed_gives_equal_bytes(void **unused)
{
	static const struct setting setting[] = {{"reset", "0.002"}, {NULL, NULL}};

	(void)unused;
	compare_generated(setting, 64, 0);
}

static void gaps_and_reordering_give_equal_bytes(void **unused)
{
	static const struct setting setting[] = {
		{"loss_a", "0.2"},  {"loss_b", "0.2"},	  {"loss_both", "0.003"},
		{"loss_run", "20"}, {"reorder", "0.3"},	  {"reorder_packets", "30"},
		{"lag_b", "30"},    {"duplicate", "0.1"}, {"reset", "0.001"},
		{NULL, NULL},
	};

	(void)unused;
	compare_generated(setting, 128, 1000000000);
}

/* Time decides what is given up, and the window is too small for what comes late. */
static void gaps_by_time_and_window_give_equal_bytes(void **unused)
{
	static const struct setting setting[] = {
		{"loss_both", "0.01"},	   {"loss_run", "5"}, {"reorder", "0.4"},
		{"reorder_packets", "40"}, {"lag_b", "10"},   {NULL, NULL},
	};

	(void)unused;
	compare_generated(setting, 16, 50000);
}

/* Datagrams of chance: nothing that a feed brings may part the two. */
static void damaged_packets_give_equal_bytes(void **unused)
{
	const uint64_t args[3] = {64, 0, 0};
	uint64_t random = aid_choose_seed(1);
	struct cells packets = {0};
	struct gen_packet packet;
	struct gen_opts opts;
	struct gen *gen;

	(void)unused;
	gen_opts_init(&opts);
	ok(gen_opts_set(&opts, "packets", "5000"));
	ok(gen_open(&gen, &opts));
	while (gen_next(gen, &packet) == 1) {
		uint8_t data[2048];

		memcpy(data, packet.data, packet.bytes);
		if (aid_below(&random, 4) == 0)
			for (uint64_t i = aid_below(&random, 8); i > 0; i--)
				data[aid_below(&random, packet.bytes)] =
					(uint8_t)aid_random(&random);
		if (aid_below(&random, 8) == 0)
			packet.bytes = (uint32_t)aid_below(&random, packet.bytes + 1);
		add_packet(&packets, packet.feed, packet.time_ns, data, packet.bytes);
	}
	gen_close(gen);
	compare(&packets, args);
	free(packets.at);
}

/* --- The real capture --- */

#if RK_HAVE_PCAP

#include <pcap/pcap.h>

/* Ethernet, IPv4, UDP: the datagram within the frame goes to @cells. */
static void add_frame(struct cells *cells, const struct pcap_pkthdr *header, const uint8_t *frame)
{
	uint32_t front = 14 + (frame[14] & 15u) * 4 + 8, port, bytes;

	assert_true(header->caplen >= front && frame[23] == 17);
	port = (uint32_t)frame[front - 6] << 8 | frame[front - 5];
	bytes = ((uint32_t)frame[front - 4] << 8 | frame[front - 3]) - 8;
	assert_true(bytes <= header->caplen - front);
	add_packet(cells, port == 15340,
		   (uint64_t)header->ts.tv_sec * SECOND_NS + (uint64_t)header->ts.tv_usec,
		   frame + front, bytes);
}

static void the_capture_gives_equal_bytes(void **unused)
{
	const char *folder = getenv("RK_CAPTURES");
	const uint64_t args[3] = {0, 0, 0};
	struct cells packets = {0};
	struct pcap_pkthdr *header;
	char path[4096], why[PCAP_ERRBUF_SIZE];
	const uint8_t *frame;
	pcap_t *capture;

	(void)unused;
	snprintf(path, sizeof(path), "%s/cme_mdp3_sbe_ab.pcap", folder ? folder : "../shared/data");
	capture = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!capture) {
		print_message("# %s (RK_CAPTURES names the folder)\n", why);
		skip();
	}
	while (pcap_next_ex(capture, &header, &frame) == 1)
		add_frame(&packets, header, frame);
	pcap_close(capture);
	compare(&packets, args);
	free(packets.at);
}

#else

static void the_capture_gives_equal_bytes(void **unused)
{
	(void)unused;
	print_message("# built without libpcap\n");
	skip();
}

#endif

int main(int count, char **words)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_capture_gives_equal_bytes, nothing_is_left_open),
		cmocka_unit_test_setup(a_clean_feed_gives_equal_bytes, nothing_is_left_open),
		cmocka_unit_test_setup(gaps_and_reordering_give_equal_bytes, nothing_is_left_open),
		cmocka_unit_test_setup(gaps_by_time_and_window_give_equal_bytes,
				       nothing_is_left_open),
		cmocka_unit_test_setup(damaged_packets_give_equal_bytes, nothing_is_left_open),
	};

	return gpu_run_tests(tests, count, words, 300, NULL);
}
