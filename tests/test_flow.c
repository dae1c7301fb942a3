// SPDX-License-Identifier: MIT
/*
 * Links that are full: each policy, levels, and what else happens to their actors meanwhile. Every
 * message is accounted for: received, waiting, or dropped for a reason; and what is kept is what
 * was dropped, byte for byte.
 */
#include "flow_aid.h"

#include "runtime.h"

#include <inttypes.h>

/* --- Full --- */

static void the_newest_are_dropped(void **state)
{
	const struct placing *on = *state;
	const struct rk_link_opts opts = dropping(RK_FULL_DROP_NEWEST, LETTERS);
	struct line line = open_line(on, &opts);
	struct rk_actor_info info;
	struct rk_link_info link;

	send_count(&line, 100);
	info = info_of(line.actor);
	link = link_of(line.link);
	assert_int_equal(info.sent, RING);
	assert_int_equal(info.dropped_full, 100 - RING);
	assert_int_equal(dropped(&info), 100 - RING);
	assert_int_equal(link.slots, RING);
	assert_int_equal(link.used, RING);
	assert_int_equal(link.waiting, 0);
	assert_int_equal(link.dropped[RK_DROP_FULL], 100 - RING);
	assert_int_equal(link.dead_lost, 0);
	assert_int_equal(letters_of(&line, NULL), 100 - RING);
	for (uint32_t i = RING; i < 100; i++)
		expect_letter(&line, i - RING, RK_DROP_FULL, i);
	expect_words(line.out, 0, RING);
	rk_ring_rx_credit(line.out);
	assert_int_equal(link_of(line.link).used, 0);
	assert_int_equal(link_of(line.link).credited, RING);
	expect_end(&line);
	close_runtime(line.runtime);
}

static void the_oldest_that_wait_are_dropped(void **state)
{
	const struct placing *on = *state;
	struct rk_link_opts opts = dropping(RK_FULL_DROP_OLDEST, LETTERS);
	struct rk_actor_info info;
	struct line line;

	opts.backlog_slots = 10;
	line = open_line(on, &opts);
	send_count(&line, 100);
	info = info_of(line.actor);
	assert_int_equal(info.sent, RING);
	assert_int_equal(info.dropped_old, 100 - RING - 10);
	assert_int_equal(dropped(&info), 100 - RING - 10);
	assert_int_equal(link_of(line.link).waiting, 10);
	assert_int_equal(link_of(line.link).dropped[RK_DROP_OLD], 100 - RING - 10);
	assert_int_equal(letters_of(&line, NULL), 100 - RING - 10);
	for (uint32_t i = RING; i < 90; i++)
		expect_letter(&line, i - RING, RK_DROP_OLD, i);
	expect_words(line.out, 0, RING);
	expect_words(line.out, 90, 10);
	expect_end(&line);
	info = info_of(line.actor);
	assert_int_equal(info.sent, RING + 10);
	assert_int_equal(link_of(line.link).waiting, 0);
	close_runtime(line.runtime);
}

/* One outbox is full, and what goes to the other goes on. */
static void who_drops_does_not_wait(void **state)
{
	static const enum rk_full policies[] = {RK_FULL_DROP_NEWEST, RK_FULL_DROP_OLDEST};

	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct rk_link_opts opts = dropping(policies[i], 0), wide = slots(1024);
		struct line line = open_line(&cpu, &opts);
		struct rk_ring_rx *other;
		struct rk_msg msg;

		ok(rk_link_host_out(&other, line.actor, &wide));
		for (uint32_t j = 0; j < 200; j++)
			send_words(line.in, TEST_TO, j, j * 3, j & 1);
		await_taken(line.actor, 200);
		for (uint32_t j = 1; j < 200; j += 2) {
			assert_true(receive(other, &msg, 1));
			assert_int_equal(msg.tag, j);
		}
		assert_int_equal(letters_of(&line, NULL), 0);
		close_runtime(line.runtime);
	}
}

/* Memory for letters is bounded, and what finds none is counted. */
/* --- Levels --- */

struct level_state {
	uint32_t outbox, high, low, wrong;
	uint64_t highest, lowest;
};

/* Sends on, and keeps what it is told. */
static void note_levels(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct level_state *s = state;
	struct rk_level level;

	memcpy(&level, msg->body, sizeof(level));
	if (msg->type == RK_MSG_HIGH) {
		s->wrong += s->high != s->low || level.outbox != 1;
		s->high++;
		s->highest = level.slots;
	} else if (msg->type == RK_MSG_LOW) {
		s->low++;
		s->wrong += s->high != s->low || level.outbox != 1;
		s->lowest = level.slots;
	} else if (msg->type >= RK_MSG_PACKET) {
		rk_send(ctx, 1, msg->type, msg->tag, rk_msg_payload(msg),
			rk_msg_payload_bytes(msg));
	}
}

static const struct rk_actor_type level_type = {
	.name = "levels",
	.summary = "sends on to its second outbox, and notes levels",
	.handle = note_levels,
	.state_bytes = sizeof(struct level_state),
};

static struct level_state levels_of(struct rk_actor *actor)
{
	struct level_state state;

	ok(rk_actor_copy(actor, &state, LONG_NS));
	return state;
}

static void senders_hear_of_levels_with_hysteresis(void **unused)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts)};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_link_opts in = slots(256), other = slots(64), out = slots(64);
	struct rk_ring_rx *rx, *unused_rx;
	struct level_state state;
	struct rk_link *link;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	uint32_t sent = 0;

	(void)unused;
	out.high_slots = 48;
	out.low_slots = 16;
	ok(rk_actor_spawn(&actor, runtime, &level_type, &opts));
	ok(rk_link_host_out(&unused_rx, actor, &other));
	ok(rk_link_host_out(&rx, actor, &out));
	ok(rk_link_host_in(&tx, actor, &in));
	link = rk_link_of_rx(rx);
	for (uint32_t round = 1; round <= 5; round++) {
		for (uint32_t i = 0; i < 47; i++, sent++)
			send_word(tx, sent, sent * 3);
		await_taken(actor, sent);
		assert_false(link_of(link).is_high);
		send_word(tx, sent, sent * 3);
		sent++;
		while (!link_of(link).is_high)
			usleep(100);
		/* Between the two levels nothing is said. */
		expect_words(rx, sent - 48, 31);
		rk_ring_rx_credit(rx);
		state = levels_of(actor);
		assert_int_equal(state.high, round);
		assert_int_equal(state.low, round - 1);
		assert_int_equal(state.highest, 48);
		expect_words(rx, sent - 17, 17);
		rk_ring_rx_credit(rx);
		while (link_of(link).is_high)
			usleep(100);
		assert_int_equal(link_of(link).highs, round);
		assert_int_equal(link_of(link).lows, round);
	}
	state = levels_of(actor);
	assert_int_equal(state.wrong, 0);
	assert_int_equal(state.low, 5);
	assert_in_range(state.lowest, 0, 16);
	close_runtime(runtime);
}

/* --- Shedding --- */

/* @count words, of which the last is @last. */
static void send_more(struct rk_ring_tx *tx, uint32_t count, uint32_t last)
{
	for (uint32_t i = last + 1 - count; i <= last; i++)
		send_word(tx, i, i * 3);
}

/* Level by level: what matters least goes first, and comes back last. */
static void levels_shed_by_priority(void **state)
{
	enum { COUNT = 100 };
	static const uint32_t shed_at[] = {0, 2, 1};
	static const uint32_t levels[] = {0, 1, 2, 3, 1, 0};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, *state, 0, 0);
	struct rk_link_opts opts = slots(1024);
	uint64_t handled = 0, shed[3] = {0};
	struct rk_actor_info info;
	struct rk_ring_tx *tx[3];
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	ok(rk_link_host_out(&rx, actor, &opts));
	opts.dead_slots = 2048;
	for (int i = 0; i < 3; i++) {
		opts.shed_at = shed_at[i];
		ok(rk_link_host_in(&tx[i], actor, &opts));
	}
	for (uint32_t round = 0; round < sizeof(levels) / sizeof(levels[0]); round++) {
		rk_runtime_shed(runtime, levels[round]);
		for (uint32_t i = 0; i < 3; i++) {
			bool dropped_now = shed_at[i] && shed_at[i] <= levels[round];

			send_more(tx[i], COUNT, (round + 1) * COUNT - 1);
			shed[i] += dropped_now ? COUNT : 0;
			handled += dropped_now ? 0 : COUNT;
		}
		await_taken(actor, (round + 1) * 3 * COUNT);
		while (rk_ring_recv(rx, &msg, 1) > 0)
			;
		info = info_of(actor);
		assert_int_equal(info.received, handled);
		assert_int_equal(info.dropped_shed, shed[0] + shed[1] + shed[2]);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(link_of(rk_link_of_tx(tx[i])).dropped[RK_DROP_SHED], shed[i]);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, NULL, 0), info.dropped_shed);
	close_runtime(runtime);
}

/* --- All at once --- */

struct crowd {
	struct rk_runtime *runtime;
	uint8_t *seen; /* by number: received, or a letter */
	uint64_t letters;
	uint32_t done;
};

/* Looks through letters and forgets them, while workers write them. */
static void *read_letters(void *argument)
{
	struct crowd *crowd = argument;
	struct rk_dead_letter letter;
	struct rk_dead_filter filter = {.size = sizeof(filter)};
	bool last;

	do {
		last = __atomic_load_n(&crowd->done, __ATOMIC_ACQUIRE);
		while (rk_dead_letter_list(crowd->runtime, NULL, &letter, 1) > 0) {
			assert_int_equal(crowd->seen[letter.tag]++, 0);
			crowd->letters++;
			filter.number = letter.number;
			assert_int_equal(rk_dead_letter_discard(crowd->runtime, &filter), 1);
		}
	} while (!last);
	return NULL;
}

static void nothing_is_lost_or_doubled(enum rk_full full, uint32_t count)
{
	struct rk_link_opts opts = dropping(full, 8192);
	struct line line = open_line(&cpu, &opts);
	struct sender sender = {.tx = line.in, .count = count, .pauses = true};
	struct crowd crowd = {.runtime = line.runtime, .seen = calloc(count, 1)};
	uint64_t received = 0, random = aid_choose_seed(7), before = 0;
	pthread_t sending, reading;
	struct rk_actor_info info;
	struct rk_link_info link;
	struct rk_msg msg;

	assert_non_null(crowd.seen);
	pthread_create(&sending, NULL, send_all, &sender);
	pthread_create(&reading, NULL, read_letters, &crowd);
	while (receive(line.out, &msg, 1)) {
		assert_int_equal(word_of(&msg), msg.tag * 3ULL);
		assert_true(!received || msg.tag > before);
		before = msg.tag;
		assert_int_equal(crowd.seen[msg.tag]++, 0);
		received++;
		pause_at_random(&random);
	}
	pthread_join(sending, NULL);
	ok(rk_runtime_wait(line.runtime, LONG_NS));
	__atomic_store_n(&crowd.done, 1, __ATOMIC_RELEASE);
	pthread_join(reading, NULL);
	info = info_of(line.actor);
	link = link_of(line.link);
	assert_int_equal(info.received, count);
	assert_int_equal(info.sent, received);
	assert_int_equal(info.sent + dropped(&info), count);
	assert_int_equal(crowd.letters + link.dead_lost, dropped(&info));
	assert_int_equal(link.dropped[full == RK_FULL_DROP_OLDEST ? RK_DROP_OLD : RK_DROP_FULL],
			 dropped(&info));
	free(crowd.seen);
	close_runtime(line.runtime);
}

static void dropping_under_load_keeps_order_and_count(void **state)
{
	(void)state;
	nothing_is_lost_or_doubled(RK_FULL_DROP_NEWEST, 20000);
	nothing_is_lost_or_doubled(RK_FULL_DROP_OLDEST, 20000);
}

/* Messages of every length, which the backlog must make room for. */
static void long_messages_make_room_among_the_old(void **state)
{
	struct rk_link_opts opts = slots(64);
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &cpu, 0, 0);
	struct rk_msg *msg = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);
	uint64_t sent = 0, received = 0, last = 0, cells = 0;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_actor_info info;

	(void)state;
	assert_non_null(msg);
	ok(rk_link_host_in(&tx, actor, &opts));
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 32;
	opts.dead_slots = 16384;
	ok(rk_link_host_out(&rx, actor, &opts));
	for (; sent < 500; sent++) {
		aid_fill(msg, aid_slots(sent, 32), sent);
		msg->type = TEST_ECHO;
		msg->flags &= (uint8_t)~RK_MSG_F_DEADLINE;
		send_msg(tx, msg);
	}
	await_taken(actor, sent);
	assert_in_range(link_of(rk_link_of_rx(rx)).waiting, 1, 32);
	finish_sending(tx);
	while (receive(rx, msg, RK_MSG_MAX_SLOTS)) {
		assert_true(!received || msg->tag > last);
		assert_int_equal(msg->slots, aid_slots(msg->tag, 32));
		last = msg->tag;
		cells += msg->slots;
		received++;
	}
	info = info_of(actor);
	assert_int_equal(last, sent - 1); /* the newest is there */
	assert_int_equal(info.sent, received);
	assert_int_equal(info.sent_slots, cells);
	assert_int_equal(received + info.dropped_old, sent);
	assert_int_equal(rk_dead_letter_list(runtime, NULL, NULL, 0), info.dropped_old);
	close_runtime(runtime);
	free(msg);
}

/* --- With what else happens to an actor --- */

static void *receive_slowly(void *argument)
{
	uint64_t random = aid_choose_seed(3);
	struct rk_msg msg;

	while (receive(argument, &msg, 1))
		pause_at_random(&random);
	return NULL;
}

/* What a snapshot has counted as sent is not dropped after: it is in flight, or was received. */
static void snapshots_count_what_waits(void **state)
{
	struct rk_link_opts opts = slots(RING);
	struct rk_runtime *runtime = open_runtime(2, 0);
	struct rk_actor *pair[2] = {spawn(runtime, &cpu, 0, 0), spawn(runtime, &cpu, 1, 0)};
	struct sender sender = {.count = SIGNALS_WAIT ? 5000 : 50000, .pauses = true};
	struct rk_snapshot *snapshot;
	pthread_t sending, receiving;
	struct rk_actor_info info;
	struct rk_ring_rx *rx;
	uint64_t waited = 0;
	int taken_count = 0;

	(void)state;
	ok(rk_link_host_in(&sender.tx, pair[0], &opts));
	ok(rk_link_host_out(&rx, pair[1], &opts));
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 64;
	ok(rk_link_actors(NULL, pair[0], pair[1], &opts));
	pthread_create(&sending, NULL, send_all, &sender);
	pthread_create(&receiving, NULL, receive_slowly, rx);
	while (!rk_snapshot_take(&snapshot, pair, 2, LONG_NS)) {
		for (uint32_t i = 0; i < snapshot->links; i++) {
			const struct rk_snapshot_link *link = &snapshot->link[i];

			if (link->from != 0 || link->to != 1)
				continue;
			assert_int_equal(link->sent - link->received, link->count);
			waited += link->count;
		}
		rk_snapshot_free(snapshot);
		taken_count++;
	}
	pthread_join(sending, NULL);
	pthread_join(receiving, NULL);
	ok(rk_runtime_wait(runtime, LONG_NS));
	info = info_of(pair[0]);
	print_message("# %d snapshots, %" PRIu64 " in flight, %" PRIu64 " dropped\n", taken_count,
		      waited, info.dropped_old);
	assert_true(taken_count && info.dropped_old);
	assert_int_equal(info.received, info.sent + info.dropped_old);
	assert_int_equal(info.sent, info_of(pair[1]).received);
	close_runtime(runtime);
}

static void *reload(void *argument)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts), .trial_messages = 4};

	ok(rk_actor_reload(argument, &relay_type, NULL, &opts, LONG_NS));
	return NULL;
}

static void await_trial(struct rk_actor *actor)
{
	bool begun = false;

	while (!begun) {
		pthread_mutex_lock(&actor->runtime->mutex);
		begun = actor_is_reloading(actor);
		pthread_mutex_unlock(&actor->runtime->mutex);
	}
}

/* A new handler on trial waits for what its predecessor left waiting, and drops nothing itself. */
static void a_trial_drops_nothing(void **state)
{
	static const enum rk_full policies[] = {RK_FULL_DROP_NEWEST, RK_FULL_DROP_OLDEST};

	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct rk_link_opts opts = dropping(policies[i], LETTERS);
		struct line line = open_line(&cpu, &opts);
		uint32_t behind = i ? 100 - RING : RING, left = i ? RING : 0;
		pthread_t thread;

		send_count(&line, 100);
		pthread_create(&thread, NULL, reload, line.actor);
		await_trial(line.actor);
		for (uint32_t j = 100; j < 104; j++)
			send_word(line.in, j, j * 3);
		expect_words(line.out, 0, RING);
		expect_words(line.out, behind, left);
		expect_words(line.out, 100, 4);
		pthread_join(thread, NULL);
		await_taken(line.actor, 104);
		assert_int_equal(info_of(line.actor).reloads, 1);
		assert_int_equal(info_of(line.actor).sent, RING + left + 4);
		assert_int_equal(letters_of(&line, NULL), 100 - RING - left);
		expect_end(&line);
		close_runtime(line.runtime);
	}
}

/* --- What cannot be had --- */

static void refuse(struct rk_actor *actor, const struct rk_link_opts *opts, int expected)
{
	struct rk_ring_rx *rx;

	assert_int_equal(rk_link_host_out(&rx, actor, opts), expected);
}

static void impossible_policies_are_refused(void **state)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &cpu, 0, 0);
	struct rk_link_opts opts = slots(RING);
	struct rk_ring_tx *tx;

	(void)state;
	opts.full = RK_FULL_DROP_NEWEST;
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EOPNOTSUPP);
	opts.full = (enum rk_full)3;
	refuse(actor, &opts, -EINVAL);
	opts.full = RK_FULL_WAIT;
	opts.backlog_slots = 64;
	refuse(actor, &opts, -EINVAL);
	opts.full = RK_FULL_DROP_OLDEST;
	opts.backlog_slots = 3;
	refuse(actor, &opts, -EINVAL);
	opts = slots(RING);
	opts.high_slots = 9;
	refuse(actor, &opts, -EINVAL);
	opts.high_slots = opts.low_slots = 4;
	refuse(actor, &opts, -EINVAL);
	opts.high_slots = 0;
	refuse(actor, &opts, -EINVAL);
	assert_int_equal(rk_link_host_in(&tx, actor, &opts), -EINVAL);
	opts = slots(RING);
	opts.shed_at = 1;
	refuse(actor, &opts, -EOPNOTSUPP);
	opts = slots(RING);
	opts.dead_slots = 4;
	refuse(actor, &opts, -EINVAL);
	opts.dead_slots = 24;
	refuse(actor, &opts, -EINVAL);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(the_newest_are_dropped),
		ON_BOTH(the_oldest_that_wait_are_dropped),
		cmocka_unit_test(who_drops_does_not_wait),
		cmocka_unit_test(senders_hear_of_levels_with_hysteresis),
		ON_BOTH(levels_shed_by_priority),
		cmocka_unit_test(dropping_under_load_keeps_order_and_count),
		cmocka_unit_test(long_messages_make_room_among_the_old),
		cmocka_unit_test(snapshots_count_what_waits),
		cmocka_unit_test(a_trial_drops_nothing),
		cmocka_unit_test(impossible_policies_are_refused),
	};

	aid_watchdog(200);
	return cmocka_run_group_tests(tests, nothing_is_left_open, NULL);
}
