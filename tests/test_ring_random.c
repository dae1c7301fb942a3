// SPDX-License-Identifier: MIT
/*
 * The ring against a model of it, one thread: every call in random order, producers that die half
 * way through a message, consumers that come back, at small and large capacities and from
 * positions at which tags and counts wrap; in one piece, and with parts that lie apart. Then two
 * threads with every byte checked.
 */
#include "ring_bodies.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STEPS = 4000, STREAM_MESSAGES = 40000 };
#else
enum { STEPS = 40000, STREAM_MESSAGES = 500000 };
#endif
enum { MOST_CELLS = 2048 };

/* One message, or padding, as the model remembers it. */
struct item {
	uint64_t position;
	uint64_t number;
	uint32_t slots;
	bool padding;
};

/* The ring, and what it must hold. */
struct model {
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	struct aid_place place;
	struct item *items; /* all since the start */
	uint64_t items_room, sent, received;
	uint64_t next_number, end_position, padded;
	uint64_t capacity;
	uint32_t max_slots;
	bool touch;
	uint64_t state;
};

static struct rk_msg cells[MOST_CELLS];

static void tx_open(struct model *m)
{
	assert_int_equal(rk_ring_tx_open(&m->tx, &m->ring), 0);
	assert_true(rk_ring_tx_position(&m->tx) == m->end_position);
}

static void rx_open(struct model *m, bool resume, uint64_t position)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts),
				       .no_touch = !m->touch,
				       .resume = resume,
				       .position = position};

	assert_int_equal(rk_ring_rx_open(&m->rx, &m->ring, &opts), 0);
}

static void setup(struct model *m, enum aid_layout layout, uint64_t capacity, uint64_t start,
		  bool touch)
{
	memset(m, 0, sizeof(*m));
	m->capacity = capacity;
	m->max_slots = capacity / 2 < 255 ? (uint32_t)(capacity / 2) : 255;
	m->touch = touch;
	m->end_position = start;
	m->items_room = STEPS * 8;
	m->items = malloc(m->items_room * sizeof(*m->items));
	assert_non_null(m->items);
	assert_int_equal(aid_place(&m->place, &m->ring, layout, capacity, start), 0);
	aid_hide_far(&m->place, layout == AID_FAR_SLOTS);
	tx_open(m);
	aid_hide_far(&m->place, layout == AID_FAR_CREDIT);
	rx_open(m, false, 0);
	aid_hide_far(&m->place, false);
	assert_int_equal(m->rx.touch, touch && layout < AID_FAR_SLOTS);
}

static void teardown(struct model *m)
{
	free(m->items);
	aid_unplace(&m->place);
}

static uint64_t credited(const struct model *m)
{
	return __atomic_load_n(&m->ring.credit->consumed, __ATOMIC_RELAXED);
}

static uint64_t room(const struct model *m)
{
	return m->capacity - (m->end_position - credited(m));
}

static void note(struct model *m, uint32_t slots, uint64_t number, bool padding)
{
	assert_true(m->sent < m->items_room);
	m->items[m->sent++] = (struct item){m->end_position, number, slots, padding};
	m->end_position += slots;
	m->padded += padding ? slots : 0;
}

/* What must hold between any two calls. */
static void check(const struct model *m)
{
	uint64_t position = rk_ring_rx_position(&m->rx), held = 0;

	assert_true(rk_ring_tx_position(&m->tx) == m->end_position);
	for (uint64_t i = m->received; i < m->sent && i < m->received + 4; i++)
		held += m->items[i].slots;
	assert_true(m->end_position - position >= held);
	assert_true(m->end_position - credited(m) <= m->capacity);
	assert_true(position - credited(m) <= m->end_position - credited(m));
}

/* --- The producer's moves --- */

static void move_send(struct model *m)
{
	uint32_t slots = aid_slots(m->next_number, m->max_slots);
	uint64_t free = room(m);
	int result;

	aid_fill(cells, slots, m->next_number);
	result = rk_ring_send(&m->tx, cells);
	assert_int_equal(result, free >= slots ? (int)slots : 0);
	if (result)
		note(m, slots, m->next_number++, false);
}

static void move_send_bad(struct model *m)
{
	uint32_t kind = (uint32_t)aid_below(&m->state, 3);

	aid_fill(cells, 1, m->next_number);
	if (kind == 0)
		cells[0].slots = 0;
	if (kind == 1 && m->max_slots < 255)
		cells[0].slots = (uint8_t)(m->max_slots + 1);
	if (kind == 1 && m->max_slots == 255)
		cells[0].slots = 0;
	if (kind == 2)
		cells[0].flags |= (uint8_t)(16u << aid_below(&m->state, 4));
	assert_int_equal(rk_ring_send(&m->tx, cells), kind == 2 ? -EINVAL : -EMSGSIZE);
	assert_int_equal(rk_ring_send_batch(&m->tx, cells, 1), kind == 2 ? -EINVAL : -EMSGSIZE);
}

/* Some messages, the last of them at times cut short. */
static void move_send_batch(struct model *m)
{
	uint32_t wanted = (uint32_t)aid_below(&m->state, 24), count = 0, whole = 0;
	uint32_t expected = 0;
	uint64_t free = room(m), number = m->next_number;
	int result;

	for (; whole < wanted; whole++, number++) {
		uint32_t slots = aid_slots(number, m->max_slots);

		if (count + slots > MOST_CELLS)
			break;
		aid_fill(cells + count, slots, number);
		if (expected == count && count + slots <= free)
			expected += slots;
		count += slots;
	}
	if (count < MOST_CELLS && m->max_slots >= 2 && !aid_below(&m->state, 4)) {
		aid_fill(cells + count, 1, number);
		cells[count].slots = 2;
		result = rk_ring_send_batch(&m->tx, cells, count + 1);
		if (!count) {
			assert_int_equal(result, -EMSGSIZE);
			return;
		}
	} else {
		result = rk_ring_send_batch(&m->tx, cells, count);
	}
	assert_int_equal(result, expected);
	for (uint32_t sent = 0; sent < expected; m->next_number++) {
		uint32_t slots = aid_slots(m->next_number, m->max_slots);

		note(m, slots, m->next_number, false);
		sent += slots;
	}
}

/*
 * Store only the first words of a message, in the order in which the ring stores them, and let a
 * new producer take over. Nothing of it may arrive; what was begun is padding.
 */
static void move_die(struct model *m)
{
	uint32_t slots = 1 + (uint32_t)aid_below(&m->state, m->max_slots), begun = 0;
	uint32_t words = (uint32_t)aid_below(&m->state, 8 * (uint64_t)slots);
	uint32_t log2 = m->ring.capacity_log2;

	if (room(m) < slots)
		return;
	for (uint32_t i = 0; i < words; i++) {
		uint32_t index = (i / 8 + 1) % slots;
		uint64_t position = m->end_position + index;
		struct rk_slot *slot = &m->ring.slots[position & (m->capacity - 1)];

		slot->word[7 - i % 8] =
			(aid_random(&m->state) & RK_WORD_CELL_MASK) | rk_slot_tag(position, log2);
		begun = index ? index + 1 : slots;
	}
	if (begun)
		note(m, begun, 0, true);
	tx_open(m);
	assert_true(m->tx.padded_slots == begun);
}

/* --- The consumer's moves --- */

/* Messages, not padding, that are waiting; the first is @m->items[*at]. */
static bool next_message(const struct model *m, uint64_t *at)
{
	for (*at = m->received; *at < m->sent; ++*at)
		if (!m->items[*at].padding)
			return true;
	return false;
}

static void check_message(const struct model *m, const struct rk_msg *msg, const struct item *item)
{
	(void)m;
	if (!aid_matches(msg, item->slots, item->number))
		fail_msg("message %llu of %u slots is not what was sent, RK_SEED=%llu",
			 (unsigned long long)item->number, item->slots,
			 (unsigned long long)aid_seed);
}

static void move_recv(struct model *m)
{
	uint32_t count = 1 + (uint32_t)aid_below(&m->state, 2ULL * m->max_slots);
	int result = rk_ring_recv(&m->rx, cells, count);
	uint64_t at;

	if (!next_message(m, &at)) {
		assert_int_equal(result, 0);
		m->received = m->sent;
		return;
	}
	if (m->items[at].slots > count) {
		assert_int_equal(result, -EMSGSIZE);
		m->received = at;
		return;
	}
	assert_int_equal(result, m->items[at].slots);
	check_message(m, cells, &m->items[at]);
	m->received = at + 1;
}

static void move_recv_batch(struct model *m)
{
	uint32_t count = 1 + (uint32_t)aid_below(&m->state, MOST_CELLS - 1), done = 0;
	bool padding = false;
	uint64_t at;
	int result;

	if (aid_below(&m->state, 2))
		count = 1 + (uint32_t)aid_below(&m->state, 2ULL * m->max_slots);
	result = rk_ring_recv_batch(&m->rx, cells, count);
	if (!next_message(m, &at)) {
		assert_int_equal(result, 0);
	} else if (m->items[at].slots > count) {
		assert_int_equal(result, -EMSGSIZE);
	} else {
		assert_true(result > 0);
		for (; done < (uint32_t)result; m->received++) {
			const struct item *item = &m->items[m->received];

			padding |= item->padding;
			if (item->padding)
				continue;
			check_message(m, (struct rk_msg *)((char *)cells + (size_t)done * RK_CELL_BYTES),
				      item);
			done += item->slots;
		}
		assert_int_equal(done, result);
		/* As many as fit; padding may take room of what would have. */
		at = m->received;
		if (!padding && at < m->sent && !m->items[at].padding)
			assert_true(m->items[at].slots > count - done);
	}
	/* Padding at the front is skipped even when nothing else comes. */
	while (m->received < m->sent && m->items[m->received].padding &&
	       rk_ring_rx_position(&m->rx) != m->items[m->received].position)
		m->received++;
}

/* A new consumer: where the old one recorded, or at the last credit. */
static void move_reopen_rx(struct model *m)
{
	bool resume = aid_below(&m->state, 2) || m->ring.credit_far;

	rx_open(m, resume, rk_ring_rx_position(&m->rx));
	if (resume)
		return;
	while (m->received && m->items[m->received - 1].position - credited(m) < m->capacity)
		m->received--;
	assert_true(m->received == m->sent || m->items[m->received].position == credited(m));
}

/* After a move of the consumer: its position must be that of the model's next item. */
static void settle_rx(struct model *m)
{
	uint64_t position = rk_ring_rx_position(&m->rx);

	while (m->received < m->sent && m->items[m->received].padding &&
	       m->items[m->received].position != position)
		m->received++;
	assert_true(position ==
		    (m->received < m->sent ? m->items[m->received].position : m->end_position));
}

static void move(struct model *m)
{
	switch (aid_below(&m->state, 16)) {
	case 0 ... 3:
		move_send(m);
		break;
	case 4 ... 5:
		move_send_batch(m);
		break;
	case 6 ... 9:
		move_recv(m);
		break;
	case 10 ... 11:
		move_recv_batch(m);
		break;
	case 12:
		move_send_bad(m);
		break;
	case 13:
		if (aid_below(&m->state, 2))
			rk_ring_rx_credit(&m->rx);
		else
			assert_true(rk_ring_tx_free(&m->tx) == room(m));
		break;
	case 14:
		if (!m->ring.slots_far)
			move_die(m);
		break;
	case 15:
		if (!m->ring.slots_far && aid_below(&m->state, 2))
			tx_open(m);
		else
			move_reopen_rx(m);
		break;
	}
	settle_rx(m);
	check(m);
}

/* Receive all, close with a reason, and see that the consumer learns it. */
static void finish(struct model *m)
{
	uint64_t reason = RK_CLOSE_USER + aid_below(&m->state, 1000), at, got;

	while (next_message(m, &at)) {
		move_recv(m);
		settle_rx(m);
	}
	/* One look may still skip padding, the next gives it back. */
	move_recv(m);
	move_recv(m);
	assert_true(credited(m) == m->end_position);
	assert_int_equal(rk_ring_close(&m->tx, reason), 1);
	assert_int_equal(rk_ring_close(&m->tx, 0), 1);
	assert_true(m->tx.closed == reason);
	aid_fill(cells, 1, 1);
	assert_int_equal(rk_ring_send(&m->tx, cells), 0);
	assert_int_equal(rk_ring_send_batch(&m->tx, cells, 1), 0);
	assert_true(rk_ring_tx_free(&m->tx) == 0);
	assert_int_equal(rk_ring_recv(&m->rx, cells, 1), 1);
	assert_int_equal(cells[0].type, RK_MSG_CLOSED);
	memcpy(&got, cells[0].body, sizeof(got));
	assert_true(got == reason && m->rx.closed == reason);
	assert_int_equal(rk_ring_recv(&m->rx, cells, 1), 0);
	assert_int_equal(rk_ring_recv_batch(&m->rx, cells, 8), 0);
	assert_int_equal(rk_ring_tx_open(&m->tx, &m->ring), -EPROTO);
}

static void test_random_calls_agree_with_the_model(void **unused)
{
	uint64_t state = aid_seed;
	struct model m;

	(void)unused;
	for (uint32_t trial = 0; trial < CAPACITIES * STARTS * AID_LAYOUTS; trial++) {
		enum aid_layout layout = (enum aid_layout)(trial / (CAPACITIES * STARTS));
		uint64_t capacity = capacities[trial % 5];
		uint64_t start = start_of(trial / 5 % STARTS, capacity, &state);
		const struct rk_codec *codec = rk_codec_at(trial % 4);

		setenv("RK_CODEC", codec ? codec->name : "plain", 1);
		setup(&m, layout, capacity, start, trial & 1);
		m.state = aid_random(&state);
		for (uint32_t step = 0; step < STEPS; step++)
			move(&m);
		finish(&m);
		teardown(&m);
	}
	unsetenv("RK_CODEC");
}

/* --- Two threads --- */

static void run(enum aid_layout layout, uint64_t capacity, uint64_t start, int mode, bool touch,
		uint64_t messages)
{
	static const struct pairing one_ring;
	struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = !touch};
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	struct pair pair = {.on = &one_ring, .tx = &tx, .rx = &rx, .random = aid_seed + start};
	struct aid_place place;

	assert_int_equal(aid_place(&place, &ring, layout, capacity, start), 0);
	assert_int_equal(rk_ring_tx_open(&tx, &ring), 0);
	assert_int_equal(rk_ring_rx_open(&rx, &ring, &opts), 0);
	run_stream(&pair, messages, mode);
	/* Sent = received + in the ring: the closing message stays there. */
	assert_true(rk_ring_tx_position(&tx) == rk_ring_rx_position(&rx) + 1);
	assert_true(rx.padded_slots == 0 && tx.padded_slots == 0);
	aid_unplace(&place);
}

static void test_two_threads_lose_and_change_nothing(void **unused)
{
	uint64_t state = aid_seed, total = 0;

	(void)unused;
	for (uint32_t trial = 0; trial < 30; trial++) {
		uint64_t capacity = capacities[trial % 5];
		/* Small rings cost a switch of threads every few messages. */
		uint64_t messages = capacity < 64 ? STREAM_MESSAGES / 2 : STREAM_MESSAGES;
		const struct rk_codec *codec = rk_codec_at(trial % 4);

		setenv("RK_CODEC", codec ? codec->name : "plain", 1);
		run((enum aid_layout)(trial / 3 % AID_LAYOUTS), capacity,
			   start_of(trial % STARTS, capacity, &state), (int)(trial / 5 % 3),
			   trial / 15 & 1, messages);
		total += messages;
	}
	unsetenv("RK_CODEC");
	print_message("# %llu messages between two threads\n", (unsigned long long)total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_calls_agree_with_the_model),
		cmocka_unit_test(test_two_threads_lose_and_change_nothing),
	};

	aid_choose_seed(1);
	aid_watchdog(600);
	print_message("# RK_SEED=%llu\n", (unsigned long long)aid_seed);
	return cmocka_run_group_tests_name("ring, at random", tests, NULL, NULL);
}
