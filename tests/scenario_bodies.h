/* SPDX-License-Identifier: MIT */
/*
 * scenario_bodies.h - the market-data pipeline under load, mdp3_book and an actor behind it that
 * can be made to fail, while both are paused, moved, copied, restarted and failed at random: every
 * message that comes out, and every byte of the books, as in a run that nobody disturbed. The same
 * with a receiver that cannot keep up, on a link that drops what is old: all that it dropped is
 * replayed. RK_SEED repeats a run; SCENARIO_STEPS says how much happens. The bodies take, as their
 * cmocka state, where the books are; the actor that fails is on a CPU.
 */
#ifndef SCENARIO_BODIES_H
#define SCENARIO_BODIES_H

#include "feed_aid.h"

#include "actors.h"
#include "rk_supervisor.h"

enum {
	WORKERS = 3,
	STEPS = 200,
	POISON_TRAP = 0xfff0, /* types that no feed has */
	POISON_SPIN,
	RING_SLOTS = 1024,
	SHORT_SLOTS = 64,
	LETTER_SLOTS = 1 << 18, /* all there are */
	STUCK_CALLS = 3,
};
#define STUCK_NS 500000000ULL /* more than a loaded machine keeps a thread waiting */

struct passer_state {
	uint64_t passed;
};

static volatile int never;

/* Sends on what it gets; poison fails its call before anything is done. */
static void pass(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct passer_state *s = state;

	if (msg->type < RK_MSG_PACKET)
		return;
	if (msg->type == POISON_TRAP)
		__builtin_trap();
	while (msg->type == POISON_SPIN && !never)
		;
	s->passed++;
	rk_send(ctx, 0, msg->type, msg->tag, rk_msg_payload(msg), rk_msg_payload_bytes(msg));
}

static const struct rk_actor_type passer_type = {
	.name = "passer",
	.summary = "sends on what it gets, and fails at poison",
	.handle = pass,
	.state_bytes = sizeof(struct passer_state),
};

/* Poison and data have each an inbox of their own. */
struct pipeline {
	const struct placing *on; /* the books */
	struct rk_runtime *runtime;
	struct rk_actor *book, *passer;
	struct rk_supervisor *supervisor;
	struct rk_ring_tx *in, *poison;
	struct rk_ring_rx *out;
	const struct cells *packets;
	struct cells sent;
	size_t allowed; /* cells of the packets that may be fed by now */
	pthread_t feeding, taking;
	uint64_t fed, poisoned, replayed; /* messages */
};

/* --- The two ends --- */

static void *feed_as_allowed(void *argument)
{
	struct pipeline *line = argument;
	size_t fed = 0;

	while (fed < line->packets->count) {
		if (fed >= __atomic_load_n(&line->allowed, __ATOMIC_RELAXED)) {
			sched_yield();
			continue;
		}
		send_msg(line->in, &line->packets->at[fed]);
		fed += line->packets->at[fed].slots;
		line->fed++;
	}
	finish_sending(line->in);
	return NULL;
}

static void *take(void *argument)
{
	struct pipeline *line = argument;

	take_cells(line->out, &line->sent);
	return NULL;
}

static void *take_slowly(void *argument)
{
	struct pipeline *line = argument;
	uint64_t random = 1;

	while (!line->out->closed) {
		make_room(&line->sent, RK_MSG_MAX_SLOTS);
		if (!receive(line->out, &line->sent.at[line->sent.count], RK_MSG_MAX_SLOTS))
			line->sent.count++;
		else
			line->sent.count += line->sent.at[line->sent.count].slots;
		pause_at_random(&random);
	}
	return NULL;
}

static void open_pipeline(struct pipeline *line, const struct placing *on,
			  const struct cells *packets, size_t allowed, bool slow)
{
	static const uint64_t args[3] = {128, 1000000000, 0};
	const struct rk_supervisor_opts watch = {
		.size = sizeof(watch), .max_restarts = RK_MAX_RESTARTS, .stuck_ns = STUCK_NS};
	struct rk_actor_opts book = opts_of(on, 0);
	const struct rk_actor_opts passer = {.size = sizeof(passer), .worker = 1};
	const struct rk_link_opts link = slots(RING_SLOTS);
	struct rk_link_opts out = slots(slow ? SHORT_SLOTS : RING_SLOTS);

	out.full = slow ? RK_FULL_DROP_OLDEST : RK_FULL_WAIT;
	out.dead_slots = LETTER_SLOTS;
	book.args = args;
	book.arg_count = 3;
	*line = (struct pipeline){.packets = packets, .allowed = allowed, .on = on};
	line->runtime = open_guarded(WORKERS);
	ok(rk_actor_spawn(&line->book, line->runtime, rk_actor_type_find("mdp3_book"), &book));
	ok(rk_actor_spawn(&line->passer, line->runtime, &passer_type, &passer));
	ok(rk_link_host_out(&line->out, line->passer, &out));
	ok(rk_link_actors(NULL, line->book, line->passer, &link));
	ok(rk_link_host_in(&line->poison, line->passer, &link));
	ok(rk_link_host_in(&line->in, line->book, &link));
	ok(rk_supervisor_open(&line->supervisor, line->runtime, &watch));
	ok(rk_supervisor_add(line->supervisor, line->passer, NULL));
	pthread_create(&line->taking, NULL, slow ? take_slowly : take, line);
	pthread_create(&line->feeding, NULL, feed_as_allowed, line);
}

static void replay(struct pipeline *line)
{
	int sent = rk_dead_letter_replay(line->runtime, NULL, NULL, LONG_NS);

	assert_true(sent >= 0);
	line->replayed += (uint64_t)sent;
}

/* All that the book has sent is handled, and no letter is left. */
static void replay_the_rest(struct pipeline *line)
{
	do {
		usleep(100);
		replay(line);
	} while (info_of(line->book).state != RK_ACTOR_STOPPED ||
		 info_of(line->passer).received < info_of(line->book).sent + line->poisoned ||
		 rk_dead_letter_list(line->runtime, NULL, NULL, 0));
}

/* To the last message: nothing is missing but poison, nothing twice. The state is the caller's. */
static struct rk_mdp3_state *finish(struct pipeline *line)
{
	struct rk_mdp3_state *state = malloc(sizeof(*state));
	struct rk_actor_info book, passer;

	assert_non_null(state);
	__atomic_store_n(&line->allowed, line->packets->count, __ATOMIC_RELAXED);
	pthread_join(line->feeding, NULL);
	replay_the_rest(line);
	finish_sending(line->poison);
	pthread_join(line->taking, NULL);
	ok(rk_runtime_wait(line->runtime, LONG_NS));
	rk_actor_info(line->book, &book);
	rk_actor_info(line->passer, &passer);
	assert_int_equal(book.received, line->fed);
	assert_int_equal(dropped(&book), 0);
	assert_int_equal(dropped(&passer), line->replayed);
	assert_int_equal(passer.received, book.sent + line->poisoned);
	assert_int_equal(passer.sent, book.sent);
	assert_int_equal(passer.failures, line->poisoned);
	assert_int_equal(passer.failed_messages, line->poisoned);
	assert_int_equal(passer.sent_slots + 1, line->sent.count); /* and RK_MSG_CLOSED */
	memcpy(state, rk_actor_state(line->book), sizeof(*state));
	close_runtime(line->runtime);
	return state;
}

/* --- What happens to them --- */

static void poison_it(struct pipeline *line, uint16_t type)
{
	const struct rk_msg msg = {.type = type, .slots = 1};
	struct rk_actor_info info;

	send_msg(line->poison, &msg);
	line->poisoned++;
	do {
		usleep(100);
		rk_actor_info(line->passer, &info);
	} while (info.restarts < line->poisoned || info.state != RK_ACTOR_RUNNING);
}

/* Its own state, as it is between two messages, is what it begins anew with. */
static void begin_anew(struct rk_actor *actor, size_t bytes)
{
	void *state = malloc(bytes);

	assert_non_null(state);
	ok(rk_actor_pause(actor, LONG_NS));
	ok(rk_actor_copy(actor, state, LONG_NS));
	ok(rk_actor_restart(actor, state, LONG_NS));
	free(state);
}

/* What a copy counts never goes back. */
static void look_at_books(struct pipeline *line, uint64_t *packets)
{
	struct rk_mdp3_state *state = malloc(sizeof(*state));

	assert_non_null(state);
	ok(rk_actor_copy(line->book, state, LONG_NS));
	assert_true(state->counters.packets >= *packets);
	*packets = state->counters.packets;
	free(state);
}

enum step {
	STEP_PAUSE,
	STEP_MOVE,
	STEP_RESTART,
	STEP_COPY,
	STEP_REPLAY,
	STEP_TRAP,
	STEP_SPIN,
	STEP_COUNT
};

static void take_step(struct pipeline *line, enum step step, uint64_t *random, uint64_t *packets)
{
	struct rk_actor *either = aid_below(random, 2) ? line->book : line->passer;

	switch (step) {
	case STEP_PAUSE:
		ok(rk_actor_pause(either, LONG_NS));
		usleep((unsigned int)aid_below(random, 500));
		ok(rk_actor_start(either, LONG_NS));
		break;
	case STEP_MOVE:
		if (line->on->backend == RK_BACKEND_CUDA && either == line->book)
			ok(rk_actor_reseat(either, RK_WHERE_ANY, NULL, LONG_NS));
		else
			ok(rk_actor_move(either, (int)aid_below(random, WORKERS), LONG_NS));
		break;
	case STEP_RESTART:
		begin_anew(line->book, sizeof(struct rk_mdp3_state));
		break;
	case STEP_COPY:
		look_at_books(line, packets);
		break;
	case STEP_REPLAY:
		replay(line);
		break;
	case STEP_TRAP:
		poison_it(line, POISON_TRAP);
		break;
	default:
		poison_it(line, SIGNALS_WAIT ? POISON_TRAP : POISON_SPIN);
		break;
	}
}

/* What is fed goes on meanwhile: to each step belongs a share of the packets. */
static void disturb(struct pipeline *line, uint64_t steps, uint64_t *random)
{
	uint64_t packets = 0, taken[STEP_COUNT] = {0};

	for (uint64_t i = 0; i < steps; i++) {
		enum step step = (enum step)aid_below(random, STEP_SPIN);

		if (i % (steps / STUCK_CALLS + 1) == steps / STUCK_CALLS / 2)
			step = STEP_SPIN; /* takes its time */

		__atomic_store_n(&line->allowed, (i + 2) * line->packets->count / (steps + 2),
				 __ATOMIC_RELAXED);
		take_step(line, step, random, &packets);
		taken[step]++;
	}
	print_message(
		"# pauses %llu, moves %llu, restarts %llu, copies %llu, traps %llu, stuck %llu, replayed "
		"%llu\n",
		(unsigned long long)taken[STEP_PAUSE], (unsigned long long)taken[STEP_MOVE],
		(unsigned long long)taken[STEP_RESTART], (unsigned long long)taken[STEP_COPY],
		(unsigned long long)taken[STEP_TRAP], (unsigned long long)taken[STEP_SPIN],
		(unsigned long long)line->replayed);
}

static uint64_t steps_wanted(void)
{
	const char *text = getenv("SCENARIO_STEPS");

	return text ? strtoull(text, NULL, 10) : SIGNALS_WAIT ? STEPS / 4 : STEPS;
}

static int compare(const void *one, const void *other)
{
	const struct rk_msg *a = *(const struct rk_msg *const *)one,
			    *b = *(const struct rk_msg *const *)other;

	return memcmp(a, b, (size_t)a->slots * RK_CELL_BYTES);
}

/* In one order, whatever it was: what is replayed comes late. */
static void sort(struct cells *cells)
{
	const struct rk_msg **msgs = calloc(cells->count, sizeof(*msgs));
	struct cells sorted = {0};
	size_t count = 0;

	assert_non_null(msgs);
	for (size_t at = 0; at < cells->count; at += cells->at[at].slots)
		msgs[count++] = &cells->at[at];
	qsort(msgs, count, sizeof(*msgs), compare);
	for (size_t i = 0; i < count; i++) {
		make_room(&sorted, msgs[i]->slots);
		memcpy(&sorted.at[sorted.count], msgs[i], msgs[i]->slots * RK_CELL_BYTES);
		sorted.count += msgs[i]->slots;
	}
	free(msgs);
	free(cells->at);
	*cells = sorted;
}

static void compare_with_a_quiet_run(const struct placing *on, bool slow)
{
	static const struct setting setting[] = {
		{"loss_a", "0.1"}, {"loss_b", "0.1"},	 {"loss_both", "0.002"}, {"reorder", "0.2"},
		{"lag_b", "10"},   {"duplicate", "0.1"}, {"reset", "0.001"},	 {NULL, NULL},
	};
	uint64_t random = aid_choose_seed(1);
	struct rk_mdp3_state *expected, *got;
	struct pipeline quiet, disturbed;
	struct cells packets = {0};

	generate(&packets, random, "20000", setting);
	open_pipeline(&quiet, on, &packets, packets.count, false);
	expected = finish(&quiet);
	assert_true(quiet.sent.count > 1000);
	open_pipeline(&disturbed, on, &packets, 0, slow);
	disturb(&disturbed, steps_wanted(), &random);
	got = finish(&disturbed);
	if (slow) {
		assert_true(disturbed.replayed);
		sort(&quiet.sent);
		sort(&disturbed.sent);
	}
	expect_equal_messages(&quiet.sent, &disturbed.sent);
	assert_memory_equal(expected, got, sizeof(*expected));
	free(expected);
	free(got);
	free(quiet.sent.at);
	free(disturbed.sent.at);
	free(packets.at);
}

static void books_are_as_if_nothing_had_happened(void **state)
{
	compare_with_a_quiet_run(*state, false);
}

static void what_a_full_link_dropped_is_replayed(void **state)
{
	compare_with_a_quiet_run(*state, true);
}

#endif
