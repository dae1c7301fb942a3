/* SPDX-License-Identifier: MIT */
/*
 * mdp3_bench.h - a mdp3_book on the bench: runs without a backend, keeps all that it sends, and
 * asserts after every message what must hold at every boundary.
 */
#ifndef MDP3_BENCH_H
#define MDP3_BENCH_H

#include "mdp3_aid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* Seed of the feed that plays now, for messages. */
AID uint64_t seed_now;

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
	struct aid_event *event;
	size_t events, room;
};

AID void keep_event(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		    uint32_t bytes)
{
	struct bench *bench = user;
	struct aid_event *event;

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

AID void give(struct bench *bench, struct rk_msg *msg)
{
	const char *broken;

	rk_mdp3_book(&bench->ctx, bench->state, msg);
	free(msg);
	broken = aid_broken_rule(bench->state);
	if (broken)
		print_error("to repeat: RK_SEED=%llu\n", (unsigned long long)seed_now);
	assert_string_equal(broken ? broken : "", "");
}

AID void bench_open(struct bench *bench, uint64_t window, uint64_t gap_ns, uint64_t first)
{
	memset(bench, 0, sizeof(*bench));
	bench->state = calloc(1, sizeof(*bench->state));
	bench->ctx.on_send = keep_event;
	bench->ctx.user = bench;
	give(bench, aid_start(window, gap_ns, first));
}

AID void bench_stop(struct bench *bench)
{
	give(bench, aid_message(RK_MSG_STOP, 0, 0, NULL, 0));
	assert_int_equal(bench->state->counters.held, 0);
}

AID void bench_close(struct bench *bench)
{
	free(bench->state);
	free(bench->event);
}

#endif
