// SPDX-License-Identifier: MIT
/*
 * Bytes to packets on feeds A and B to mdp3_book: nothing out of bounds, every message sent well
 * formed, every packet accounted for, and equal input gives equal output.
 *
 * Input: u8 window, then records of u8 feed and flags, u8 time step (as a power of two), u16
 * length, datagram. When a corpus directory named on the command line is empty or missing, seeds
 * from the feed generator are written there first.
 */
#include "gen.h"
#include "mdp3_aid.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SEEDS = 32, RECORD_HEADER_BYTES = 4 };

struct sent {
	uint64_t messages;
	uint64_t bbos;
	uint64_t gaps;
	uint64_t digest;
};

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "fuzz_mdp3: %s does not hold\n", #condition); \
			abort();                                                      \
		}                                                                     \
	} while (0)

static void check_bbo(const struct rk_mdp3_bbo *bbo)
{
	CHECK(!(bbo->flags & ~(uint32_t)RK_MDP3_BBO_F_ALL));
	CHECK(bbo->flags & (RK_MDP3_BBO_F_BID_CHANGED | RK_MDP3_BBO_F_OFFER_CHANGED));
	if (!(bbo->flags & RK_MDP3_BBO_F_BID))
		CHECK(!bbo->bid_price && !bbo->bid_size && !bbo->bid_orders);
	if (!(bbo->flags & RK_MDP3_BBO_F_OFFER))
		CHECK(!bbo->offer_price && !bbo->offer_size && !bbo->offer_orders);
}

static void on_send(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		    uint32_t bytes)
{
	const uint8_t *at = payload;
	struct sent *sent = user;
	struct rk_mdp3_bbo bbo;
	struct rk_mdp3_gap gap;

	CHECK(outbox == 0);
	CHECK(type == RK_MDP3_BBO || type == RK_MDP3_GAP);
	if (type == RK_MDP3_BBO) {
		CHECK(bytes == sizeof(bbo));
		memcpy(&bbo, payload, sizeof(bbo));
		check_bbo(&bbo);
		sent->bbos++;
	} else {
		CHECK(bytes == sizeof(gap));
		memcpy(&gap, payload, sizeof(gap));
		CHECK(gap.first == tag);
		CHECK((int32_t)(gap.last - gap.first) >= 0);
		sent->gaps++;
	}
	sent->messages++;
	sent->digest = sent->digest * 31 + tag;
	for (uint32_t i = 0; i < bytes; i++)
		sent->digest = sent->digest * 31 + at[i];
}

static void give(struct rk_ctx *ctx, struct rk_mdp3_state *state, struct rk_msg *msg)
{
	const char *broken;

	rk_mdp3_book(ctx, state, msg);
	free(msg);
	broken = aid_broken_rule(state);
	if (broken) {
		fprintf(stderr, "fuzz_mdp3: broken: %s\n", broken);
		abort();
	}
}

static struct sent play(const uint8_t *data, size_t size)
{
	static struct rk_mdp3_state room;
	struct rk_mdp3_state *state = memset(&room, 0, sizeof(room));
	struct sent sent = {0};
	struct rk_ctx ctx = {.on_send = on_send, .user = &sent};
	uint64_t now_ns = 1;

	give(&ctx, state, aid_start(size ? data[0] : 0, 1000, 0));
	for (size_t at = 1; at + RECORD_HEADER_BYTES <= size;) {
		uint32_t bytes = mdp3_get16(data + at + 2), announced = bytes;
		const uint8_t control = data[at];

		now_ns += 1ull << (data[at + 1] & 15);
		at += RECORD_HEADER_BYTES;
		if (bytes > size - at)
			bytes = (uint32_t)(size - at);
		give(&ctx, state,
		     aid_packet(control >> 5 & RK_MSG_F_ALL, control & 3, control & 16 ? 0 : now_ns,
				data + at, bytes, control & 8 ? announced : bytes));
		at += bytes;
	}
	give(&ctx, state, aid_message(RK_MSG_STOP, 0, 0, NULL, 0));
	CHECK(!state->counters.held);
	CHECK(state->counters.bbo_updates == sent.bbos);
	CHECK(state->counters.gaps == sent.gaps);
	return sent;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sent once = play(data, size), again = play(data, size);

	CHECK(once.messages == again.messages && once.digest == again.digest);
	return 0;
}

/* One seed: a short feed with a bit of everything. */
static void write_seed(const char *directory, uint32_t seed)
{
	static const char *const keys[][2] = {
		{"packets", "24"},	  {"securities", "6"},	{"reset", "0.02"},
		{"other", "0.2"},	  {"loss_a", "0.3"},	{"loss_b", "0.3"},
		{"loss_both", "0.1"},	  {"loss_run", "3"},	{"reorder", "0.2"},
		{"reorder_packets", "4"}, {"duplicate", "0.1"},
	};
	uint8_t front[1 + RECORD_HEADER_BYTES] = {8};
	struct gen_packet packet;
	struct gen_opts opts;
	struct gen *gen;
	char path[4096];
	FILE *file;

	gen_opts_init(&opts);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CHECK(!gen_opts_set(&opts, keys[i][0], keys[i][1]));
	opts.feed.seed = seed;
	snprintf(path, sizeof(path), "%s/seed-%02u", directory, seed);
	file = fopen(path, "wb");
	CHECK(file && !gen_open(&gen, &opts));
	fwrite(front, 1, 1, file);
	while (gen_next(gen, &packet) == 1) {
		front[1] = (uint8_t)packet.feed;
		front[2] = 7;
		mdp3_put16(front + 3, (uint16_t)packet.bytes);
		fwrite(front + 1, RECORD_HEADER_BYTES, 1, file);
		fwrite(packet.data, packet.bytes, 1, file);
	}
	gen_close(gen);
	CHECK(!fclose(file));
}

static int is_empty(const char *directory)
{
	DIR *dir = opendir(directory);
	int entries = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries <= 2;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	for (int i = 1; i < *argc; i++) {
		const char *directory = (*argv)[i];

		if (directory[0] == '-')
			continue;
		mkdir(directory, 0777);
		if (!is_empty(directory))
			break;
		for (uint32_t seed = 1; seed <= SEEDS; seed++)
			write_seed(directory, seed);
		break;
	}
	return 0;
}
