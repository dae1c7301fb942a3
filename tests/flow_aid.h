/* SPDX-License-Identifier: MIT */
/*
 * flow_aid.h - what the tests of links' policies share: an actor with one link in and one out.
 */
#ifndef FLOW_AID_H
#define FLOW_AID_H

#include "actor_aid.h"

enum {
	RING = 8,
	LETTERS = 512,
};

static const struct placing cpu = {.type = &relay_type};
static const struct placing cpu_batch __attribute__((unused)) = {.type = &batch_type};

AID struct rk_link_opts dropping(enum rk_full full, uint64_t dead_slots)
{
	struct rk_link_opts opts = slots(RING);

	opts.full = full;
	opts.dead_slots = dead_slots;
	return opts;
}

/* A host thread -> one actor -> a host thread that takes nothing until it is asked to. */
struct line {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *in;
	struct rk_ring_rx *out;
	struct rk_link *link; /* out */
};

AID struct line open_line(const struct placing *on, const struct rk_link_opts *out)
{
	struct line line = {.runtime = open_runtime(1, 0)};
	const struct rk_link_opts in = slots(64);

	line.actor = spawn(line.runtime, on, 0, 0);
	ok(rk_link_host_out(&line.out, line.actor, out));
	ok(rk_link_host_in(&line.in, line.actor, &in));
	line.link = rk_link_of_rx(line.out);
	return line;
}

AID struct rk_link_info link_of(const struct rk_link *link)
{
	struct rk_link_info info;

	rk_link_info(link, &info);
	return info;
}

AID uint64_t taken(const struct rk_actor_info *info)
{
	return info->received + info->dropped_expired + info->dropped_shed;
}

/* Until the actor has taken @count messages from its inboxes, and handled them. */
AID void await_taken(struct rk_actor *actor, uint64_t count)
{
	struct rk_actor_info info = info_of(actor);

	while (taken(&info) < count) {
		usleep(100);
		info = info_of(actor);
	}
	assert_int_equal(taken(&info), count);
	/* Between two messages. */
	ok(rk_actor_pause(actor, LONG_NS));
	ok(rk_actor_start(actor, LONG_NS));
}

AID void send_count(struct line *line, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		send_word(line->in, i, i * 3);
	await_taken(line->actor, count);
}

/* The next @count words that come out are those from @first on. */
AID void expect_words(struct rk_ring_rx *rx, uint32_t first, uint32_t count)
{
	struct rk_msg msg;

	for (uint32_t i = first; i < first + count; i++) {
		assert_true(receive(rx, &msg, 1));
		assert_int_equal(msg.tag, i);
		assert_int_equal(word_of(&msg), i * 3);
	}
}

AID void expect_end(struct line *line)
{
	struct rk_msg msg;

	finish_sending(line->in);
	assert_false(receive(line->out, &msg, 1));
	ok(rk_runtime_wait(line->runtime, LONG_NS));
}

AID int letters_of(const struct line *line, const struct rk_dead_filter *filter)
{
	return rk_dead_letter_list(line->runtime, filter, NULL, 0);
}

/* Letter @index, with its message, is word @number, dropped for @why. */
AID void expect_letter(const struct line *line, unsigned int index, enum rk_drop why,
		       uint32_t number)
{
	struct rk_dead_letter letters[256];
	struct rk_msg msg;

	assert_in_range(rk_dead_letter_list(line->runtime, NULL, letters, 256), index + 1, 256);
	assert_int_equal(letters[index].why, why);
	assert_int_equal(letters[index].type, TEST_ADD);
	assert_int_equal(letters[index].tag, number);
	assert_int_equal(letters[index].slots, 1);
	assert_int_equal(rk_dead_letter_read(line->runtime, letters[index].number, &msg, 1), 1);
	assert_int_equal(msg.tag, number);
	assert_int_equal(word_of(&msg), number * 3);
}

AID uint64_t monotonic_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}


AID void send_dated(struct rk_ring_tx *tx, uint32_t tag, uint64_t deadline_ns)
{
	struct rk_msg msg = {.type = TEST_ADD,
			     .flags = RK_MSG_F_TIME | RK_MSG_F_DEADLINE,
			     .slots = 1,
			     .tag = tag};
	const uint64_t word = tag * 3ULL;

	rk_msg_set_deadline(&msg, deadline_ns);
	memcpy(msg.body + 16, &word, sizeof(word));
	send_msg(tx, &msg);
}


#define ON_BOTH(test)                                             \
	cmocka_unit_test_prestate(test, (void *)(uintptr_t)&cpu), \
		cmocka_unit_test_prestate(test, (void *)(uintptr_t)&cpu_batch),

#endif
