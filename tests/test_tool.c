// SPDX-License-Identifier: MIT
/* What the tool rests on: plans from words, prices, latencies, books, and a verify that sees all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config.h"
#include "latency.h"
#include "truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORDS(...) (char *[]){__VA_ARGS__}, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)

static struct plan plan;

static int read_plan(char **words, size_t count)
{
	return plan_from_words(&plan, (int)count, words);
}

static void plan_has_all_that_the_words_say(void **unused)
{
	const struct plan_pipeline *first = &plan.pipeline[0], *second = &plan.pipeline[1];

	(void)unused;
	assert_int_equal(
		read_plan(WORDS("workers", "3", "slots", "64", "duration", "1.5", "books", "7,-8,",
				"from", "pcap:a", "on", "2", "to", "udp:b", "--", "from",
				"udp:c,feeds=d+e,stamp", "from", "pcap:f,feeds=g+h", "from",
				"pcap:i", "actor", "mdp3_book,gap_ns=5", "on", "1", "actor", "echo",
				"to", "null:", "on", "0")),
		0);
	assert_int_equal(plan.workers, 3);
	assert_int_equal(plan.slots, 64);
	assert_int_equal(plan.duration_ns, 1500000000);
	assert_int_equal(plan.books.count, 2);
	assert_int_equal(plan.books.id[0], 7);
	assert_int_equal(plan.books.id[1], -8);
	assert_int_equal(plan.pipeline_count, 2);
	assert_int_equal(first->from_count, 1);
	assert_int_equal(first->from[0].worker, 2);
	assert_int_equal(first->to.worker, RK_ANY_WORKER);
	assert_int_equal(first->actor_count, 0);
	assert_int_equal(second->from_count, 3);
	/* A udp port has the feed before its options and those that it names. */
	assert_int_equal(second->from[0].feed, 0);
	assert_int_equal(second->from[1].feed, 3);
	assert_int_equal(second->from[2].feed, 5);
	assert_int_equal(second->actor_count, 2);
	assert_string_equal(second->actor[0].type->name, "mdp3_book");
	assert_int_equal(second->actor[0].arg_count, 2);
	assert_int_equal(second->actor[0].args[0], 0);
	assert_int_equal(second->actor[0].args[1], 5);
	assert_int_equal(second->actor[0].worker, 1);
	assert_int_equal(second->to.worker, 0);
}

static void actors_may_be_put_on_gpus(void **unused)
{
	const struct plan_actor *actor = plan.pipeline[0].actor;

	(void)unused;
	assert_int_equal(read_plan(WORDS("workers", "1", "from", "pcap:a", "actor", "echo", "on", "gpu",
					 "actor", "echo", "on", "gpu3", "block", "actor", "count",
					 "on", "gpu0", "warp", "actor", "echo", "actor", "echo", "on",
					 "0", "to", "null:")),
			 0);
	assert_int_equal(plan.pipeline[0].actor_count, 5);
	for (int i = 0; i < 5; i++) {
		static const int gpu[] = {0, 3, 0, 0, 0};
		static const int worker[] = {RK_ANY_WORKER, RK_ANY_WORKER, RK_ANY_WORKER,
					     RK_ANY_WORKER, 0};

		assert_int_equal(actor[i].backend, i < 3 ? RK_BACKEND_CUDA : RK_BACKEND_CPU);
		assert_int_equal(actor[i].gpu, gpu[i]);
		assert_int_equal(actor[i].group, i == 1 ? RK_GROUP_BLOCK : RK_GROUP_WARP);
		assert_int_equal(actor[i].worker, worker[i]);
	}
}

static void plan_has_its_limits(void **unused)
{
	char *words[4 * PLAN_PIPELINES + 2 * PLAN_INPUTS + 16];
	size_t count = 0;

	(void)unused;
	for (int i = 0; i <= PLAN_PIPELINES; i++) {
		if (i)
			words[count++] = "--";
		words[count++] = "from";
		words[count++] = "pcap:a";
		words[count++] = "to";
		words[count++] = "null:";
		if (i + 1 == PLAN_PIPELINES)
			assert_int_equal(read_plan(words, count), 0);
	}
	assert_int_equal(read_plan(words, count), -EINVAL);
	count = 0;
	for (int i = 0; i <= PLAN_INPUTS; i++) {
		words[count++] = "from";
		words[count++] = "pcap:a";
	}
	assert_int_equal(read_plan(words, count), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "more than"));
	count = 2;
	for (int i = 0; i <= PLAN_ACTORS; i++) {
		words[count++] = "actor";
		words[count++] = "echo";
	}
	assert_int_equal(read_plan(words, count), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "more than"));
}

static void prices_are_decimal(void **unused)
{
	static const struct {
		int64_t mantissa;
		const char *text;
	} all[] = {
		{0, "0.00"},
		{1, "0.0000001"},
		{-1, "-0.0000001"},
		{2500000, "0.25"},
		{-297500000, "-29.75"},
		{10000000, "1.00"},
		{12345678901, "1234.5678901"},
		{INT64_MAX, "922337203685.4775807"},
		{INT64_MIN, "-922337203685.4775808"},
	};
	char text[BOOKS_PRICE_BYTES];

	(void)unused;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_string_equal(books_price(text, all[i].mantissa), all[i].text);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void latency_counts_from_the_intended_time(void **unused)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .flags = RK_MSG_F_TIME, .slots = 1};
	uint64_t meant_ns = now_ns() - 5000000000;
	struct latency latency;

	(void)unused;
	assert_int_equal(latency_open(&latency, "x", "y"), 0);
	memcpy(msg.body, &meant_ns, sizeof(meant_ns));
	latency_record(&latency, &msg);
	assert_in_range(rk_hist_max(latency.hist), 5000000000, RK_HIST_HIGHEST_NS);
	assert_true(rk_hist_min(latency.hist) > 4990000000);
	meant_ns += 1000000000000;
	memcpy(msg.body, &meant_ns, sizeof(meant_ns));
	latency_record(&latency, &msg);
	assert_int_equal(rk_hist_min(latency.hist), 0);
	msg.flags = 0;
	latency_record(&latency, &msg);
	assert_int_equal(latency.seen, 3);
	assert_int_equal(latency.early, 1);
	assert_int_equal(latency.untimed, 1);
	assert_int_equal(rk_hist_count(latency.hist), 2);
	latency_close(&latency);
}

static void gaps_are_kept_and_counted(void **unused)
{
	struct books_gaps gaps = {.gap = calloc(BOOKS_GAPS, sizeof(struct books_gap))};
	struct rk_msg msg = {.type = RK_MDP3_GAP, .slots = 1};
	struct rk_mdp3_gap gap = {.first = 7, .last = 9};

	(void)unused;
	memcpy(msg.body, &gap, sizeof(gap));
	for (int i = 0; i < BOOKS_GAPS + 2; i++)
		books_note_gap(&gaps, &msg);
	msg.type = RK_MDP3_BBO;
	books_note_gap(&gaps, &msg);
	assert_int_equal(gaps.count, BOOKS_GAPS);
	assert_int_equal(gaps.seen, BOOKS_GAPS + 2);
	assert_int_equal(gaps.gap[BOOKS_GAPS - 1].last, 9);
	free(gaps.gap);
}

/* An actor's end: security 11 with a bid and two offers, security 12 with implied levels only. */
static struct rk_mdp3_state *make_state(void)
{
	struct rk_mdp3_state *state = calloc(1, sizeof(*state));
	struct rk_mdp3_security *security = state->security;

	state->counters.packets = 10;
	state->counters.unique = 6;
	state->counters.duplicates[0] = 1;
	state->counters.duplicates[1] = 3;
	state->counters.templates[32] = 4;
	state->counters.securities_tracked = 2;
	security[0].id = 11;
	security[0].has_explicit = 1;
	security[1].id = 12;
	for (int i = 0; i < 2; i++)
		for (int side = 0; side < RK_MDP3_SIDES; side++)
			security[i].side[side].proven = (1 << RK_MDP3_DEPTH) - 1;
	security[0].side[RK_MDP3_BID].present = 1;
	security[0].side[RK_MDP3_BID].level[0] = (struct rk_mdp3_level){-25, 2, 1};
	security[0].side[RK_MDP3_OFFER].present = 3;
	security[0].side[RK_MDP3_OFFER].level[0] = (struct rk_mdp3_level){50, 3, 2};
	security[0].side[RK_MDP3_OFFER].level[1] = (struct rk_mdp3_level){75, 4, 3};
	security[1].side[RK_MDP3_IMPLIED_BID].present = 1;
	security[1].side[RK_MDP3_IMPLIED_BID].level[0] = (struct rk_mdp3_level){1, 1, 1};
	return state;
}

static void books_are_chosen(void **unused)
{
	struct rk_mdp3_state *state = make_state();
	struct plan_books wanted = {.first = 10};
	struct rk_mdp3_bbo best;

	(void)unused;
	assert_ptr_equal(books_wanted(state, &wanted, 0, &best), &state->security[0]);
	assert_int_equal(best.bid_price, -25);
	assert_int_equal(best.offer_size, 3);
	/* Only implied entries: no book to show, unless it is asked for by name. */
	assert_null(books_wanted(state, &wanted, 1, &best));
	wanted = (struct plan_books){.id = {12, 99}, .count = 2};
	assert_ptr_equal(books_wanted(state, &wanted, 0, &best), &state->security[1]);
	assert_non_null(books_wanted(state, &wanted, 1, &best));
	assert_int_equal(best.security_id, 99);
	assert_int_equal(best.flags, 0);
	assert_null(books_wanted(state, &wanted, 2, &best));
	wanted = (struct plan_books){.first = 0};
	assert_null(books_wanted(state, &wanted, 0, &best));
	free(state);
}

static const char truth_text[] =
	"{\"packets\": 10, \"unique\": 6, \"duplicates\": 4, \"templates\": {\"32\": 4},"
	"\"gaps\": [%s], \"best\": {\"11\": {\"bid\": [-25, 2, 1], \"offer\": [50, 3, 2]}},"
	"\"books\": {\"11\": {\"bid\": [[-25, 2, 1]], \"offer\": [[50, 3, 2], [75, 4, 3]]},"
	"\"12\": {\"bid\": [], \"implied_bid\": [[1, 1, 1]]}}}";

static struct truth_result verified(const struct rk_mdp3_state *state,
				    const struct books_gaps *gaps, const char *gaps_text)
{
	char path[] = "/tmp/rk_tool_XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");
	struct truth_result result;
	int failed;

	fprintf(file, truth_text, gaps_text);
	fclose(file);
	failed = truth_verify(path, state, gaps, &result);
	unlink(path);
	if (failed)
		fail_msg("%s", rk_errmsg());
	return result;
}

/* Each of these is a fault that verify must see. */
static void spoil(struct rk_mdp3_state *state, int how)
{
	struct rk_mdp3_side *bid = &state->security[0].side[RK_MDP3_BID];
	struct rk_mdp3_side *offer = &state->security[0].side[RK_MDP3_OFFER];

	switch (how) {
	case 0:
		state->counters.packets++;
		break;
	case 1:
		state->counters.duplicates[2]++;
		break;
	case 2:
		state->counters.templates[32]--;
		break;
	case 3:
		state->counters.gaps++;
		break;
	case 4:
		bid->level[0].price++;
		break;
	case 5:
		offer->level[1].size++;
		break;
	case 6:
		offer->level[1].orders++;
		break;
	case 7:
		bid->present = 0;
		break;
	case 8:
		offer->present |= 1 << 5;
		break;
	case 9:
		state->security[0].id = 13;
		break;
	case 10:
		state->security[1].side[RK_MDP3_IMPLIED_BID].present |= 2;
		break;
	case 11:
		state->security[1].side[RK_MDP3_BID].present = 1;
		break;
	}
}

enum { SPOILS = 12 };

static void verify_sees_every_fault(void **unused)
{
	const struct books_gaps none = {0};

	(void)unused;
	if (!RK_HAVE_JANSSON)
		skip();
	for (int how = -1; how < SPOILS; how++) {
		struct rk_mdp3_state *state = make_state();
		struct truth_result result;

		spoil(state, how);
		result = verified(state, &none, "");
		if ((result.differences != 0) != (how >= 0))
			fail_msg("fault %d: %d differences", how, (int)result.differences);
		assert_int_equal(result.not_proven, 0);
		free(state);
	}
}

static void verify_holds_gaps_one_by_one(void **unused)
{
	struct books_gap seen[] = {{3, 4}, {8, 8}};
	struct books_gaps gaps = {.gap = seen, .count = 2, .seen = 2};
	struct rk_mdp3_state *state = make_state();

	(void)unused;
	if (!RK_HAVE_JANSSON)
		skip();
	state->counters.gaps = 2;
	assert_int_equal(verified(state, &gaps, "[3, 4], [8, 8]").differences, 0);
	assert_int_equal(verified(state, &gaps, "[3, 4], [8, 9]").differences, 1);
	assert_int_equal(verified(state, &gaps, "[2, 4], [8, 8]").differences, 1);
	assert_int_not_equal(verified(state, &gaps, "[3, 4]").differences, 0);
	gaps.seen = 3;
	assert_int_equal(verified(state, &gaps, "[3, 4], [8, 8]").differences, 1);
	gaps.seen = 2;
	/* What a gap made doubtful is left out, and counted. */
	state->epoch = 1;
	state->security[1].epoch = 1;
	state->security[0].side[RK_MDP3_BID].level[0].price = 1;
	assert_int_equal(verified(state, &gaps, "[3, 4], [8, 8]").differences, 0);
	assert_int_equal(verified(state, &gaps, "[3, 4], [8, 8]").not_proven, 22);
	free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_has_all_that_the_words_say),
		cmocka_unit_test(actors_may_be_put_on_gpus),
		cmocka_unit_test(plan_has_its_limits),
		cmocka_unit_test(prices_are_decimal),
		cmocka_unit_test(latency_counts_from_the_intended_time),
		cmocka_unit_test(gaps_are_kept_and_counted),
		cmocka_unit_test(books_are_chosen),
		cmocka_unit_test(verify_sees_every_fault),
		cmocka_unit_test(verify_holds_gaps_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
