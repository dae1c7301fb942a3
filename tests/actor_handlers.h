/* SPDX-License-Identifier: MIT */
/*
 * actor_handlers.h - handlers of the tests of actors, for every backend: compiled into the test for
 * cpu, and carried by it as text for the run-time compiler of GPUs. So it needs nothing but
 * rk_handler.h, and keeps to the subset (tests/handler_subset.sh).
 */
#include "rk_handler.h"

/* What test_relay() does with a message, by its type. */
enum test_type {
	TEST_ADD = RK_MSG_USER, /* send its first word on, plus the argument `add` */
	TEST_ECHO,		/* send it back as it is, however long */
	TEST_MANY,		/* send as many words as its first word says, counting up */
	TEST_TO,		/* send its first word to the outbox that the second names */
	TEST_BAD,		/* send three messages that no outbox takes, and its first word */
	TEST_TRAP,		/* store where nothing is */
	TEST_SPIN,		/* never come back */
	TEST_REACH,		/* send on the word at the address and of the bytes that it names */
};

#define TEST_REFUSED 0xdeadULL

struct test_state {
	uint64_t arg[2]; /* add, and one that no test gives */
	uint64_t started, stopped, handled, next, out_of_order;
	uint64_t word;
	uint64_t never; /* 0 for ever */
};

RK_BEGIN_DECLS
RK_DEVICE void test_relay(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_DEVICE void test_relay_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				 uint32_t count);
RK_END_DECLS

static RK_DEVICE uint64_t test_word(const struct rk_msg *msg, uint32_t index)
{
	return ((const uint64_t *)rk_msg_payload(msg))[index];
}

/* START and STOP; true if it was one of them. */
static RK_DEVICE int test_own(struct test_state *s, const struct rk_msg *msg)
{
	if (msg->type == RK_MSG_START) {
		s->arg[0] = test_word(msg, 0);
		s->arg[1] = test_word(msg, 1);
		s->started++;
	} else if (msg->type == RK_MSG_STOP) {
		s->stopped++;
	}
	return msg->type < RK_MSG_PACKET;
}

/* Tags count up, whoever sends. */
static RK_DEVICE void test_note(struct test_state *s, const struct rk_msg *msg)
{
	s->handled++;
	if (msg->tag != (uint32_t)s->next++)
		s->out_of_order++;
}

static RK_DEVICE void test_misbehave(struct test_state *s, const struct rk_msg *msg)
{
	const volatile uint64_t *never = &s->never;

	if (msg->type == TEST_TRAP)
		*(volatile uint64_t *)(uintptr_t)(s->never + 8) = 1;
	while (msg->type == TEST_SPIN && !*never)
		;
}

static RK_DEVICE uint64_t test_reach(struct rk_ctx *ctx, const struct rk_msg *msg)
{
	const uint64_t *there = (const uint64_t *)rk_reach(ctx, test_word(msg, 0),
							   test_word(msg, 1));

	rk_acquire(ctx);
	return there ? *there : TEST_REFUSED;
}

RK_DEVICE void test_relay(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct test_state *s = (struct test_state *)state;
	uint32_t times = 1, outbox = 0, bytes = sizeof(s->word), bad = 0;
	uint16_t type = TEST_ADD;
	const void *payload = &s->word;

	if (rk_lane(ctx) || test_own(s, msg))
		return;
	test_note(s, msg);
	test_misbehave(s, msg);
	s->word = test_word(msg, 0) + (msg->type == TEST_ADD ? s->arg[0] : 0);
	if (msg->type == TEST_ECHO) {
		type = TEST_ECHO;
		payload = rk_msg_payload(msg);
		bytes = rk_msg_payload_bytes(msg);
	} else if (msg->type == TEST_MANY) {
		times = (uint32_t)s->word;
		s->word = 0;
	} else if (msg->type == TEST_TO) {
		outbox = (uint32_t)test_word(msg, 1);
	} else if (msg->type == TEST_BAD) {
		bad = 3;
	} else if (msg->type == TEST_REACH) {
		s->word = test_reach(ctx, msg);
	}
	for (uint32_t i = 0; i < times + bad; i++) {
		uint16_t as = i < bad && i == 0 ? (uint16_t)RK_MSG_STOP : type;
		uint32_t to = i < bad && i == 1 ? 1000 : outbox;
		uint32_t many = i < bad && i == 2 ? 0xffffff : bytes;

		rk_send(ctx, to, as, msg->tag, payload, many);
		if (msg->type == TEST_MANY)
			s->word++;
	}
}

/* The same as test_relay() with TEST_ADD and TEST_ECHO, shared out among the lanes. */
RK_DEVICE void test_relay_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				 uint32_t count)
{
	struct test_state *s = (struct test_state *)state;

	for (uint32_t i = rk_lane(ctx); i < count; i += rk_lanes(ctx))
		if (msgs[i].type == TEST_ADD)
			*(uint64_t *)((uint8_t *)&msgs[i] + RK_MSG_HEADER_BYTES +
				      rk_msg_extension_bytes(msgs[i].flags)) += s->arg[0];
	if (!rk_lane(ctx))
		for (uint32_t i = 0; i < count; i++)
			test_note(s, &msgs[i]);
	rk_send_batch(ctx, 0, msgs, count);
}
