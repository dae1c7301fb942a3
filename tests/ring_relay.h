/* SPDX-License-Identifier: MIT */
/*
 * ring_relay.h - a pairing of ring_bodies.h whose two ends are the host's, and between them one actor
 * or two, on any backend, that send on what comes: host to actor, actor to actor, actor to host.
 */
#ifndef RING_RELAY_H
#define RING_RELAY_H

#include "actor_aid.h"
#include "ring_bodies.h"
#include "runtime.h"

/*
 * @on: each of @actors
 * @where: the second, seen from the first
 * @place: of the ring between them
 */
struct relays {
	const struct placing *on[2];
	unsigned int actors;
	enum rk_where where;
	enum rk_ring_place place;
};

/*
 * Links keep their memory until their runtime closes: slots of all that one runtime had, at most. What
 * blocks share is little, and so are the seats of one, which are free again only some time after their
 * actors' end; and a runtime is opened in a tenth of a second or more.
 */
enum { MOST_SLOTS = 1 << 16, MOST_SHARED_SLOTS = 768, MOST_SHARED_PAIRS = RK_GPU_WARPS / 2 };

static struct rk_actor *relay[2];
static struct rk_runtime *relay_runtime;
static uint64_t relay_slots, relay_pairs;

AID void relay_end(void)
{
	if (relay_runtime)
		close_runtime(relay_runtime);
	relay_runtime = NULL;
	relay_slots = relay_pairs = 0;
}

AID void relay_spawn(const struct relays *relays, unsigned int index, bool held)
{
	struct rk_actor_opts opts = opts_of(relays->on[index], (int)index);

	opts.dormant = held && index == 0;
	if (index) {
		opts.where = relays->where;
		opts.other = relays->where ? relay[0] : NULL;
	}
	ok(rk_actor_spawn(&relay[index], relay_runtime, relays->on[index]->type, &opts));
}

AID void relay_open(struct pair *pair, uint64_t start, bool held)
{
	const struct relays *relays = pair->on->detail;
	struct rk_link_opts opts = slots(pair->capacity), between = opts;
	bool shared = relays->place == RK_PLACE_BLOCK || relays->place == RK_PLACE_CLUSTER ||
		      relays->where == RK_WHERE_BLOCK;

	relay_slots += pair->capacity;
	if (relay_slots > (shared ? MOST_SHARED_SLOTS : MOST_SLOTS) ||
	    (shared && relay_pairs == MOST_SHARED_PAIRS)) {
		relay_end();
		relay_slots = pair->capacity;
	}
	if (!relay_runtime)
		relay_runtime = open_runtime(2, 0);
	relay_pairs++;
	relay_runtime->start_position = start;
	between.place = relays->place;
	relay_spawn(relays, 0, held);
	if (relays->actors == 2) {
		relay_spawn(relays, 1, false);
		ok(rk_link_actors(NULL, relay[0], relay[1], &between));
	}
	ok(rk_link_host_out(&pair->rx, relay[relays->actors - 1], &opts));
	ok(rk_link_host_in(&pair->tx, relay[0], &opts));
	pair->first = &rk_link_of_tx(pair->tx)->memory.ring;
	pair->last = &rk_link_of_rx(pair->rx)->memory.ring;
	assert_true(rk_ring_tx_position(pair->tx) == start);
	assert_true(rk_ring_rx_position(pair->rx) == start);
}

AID void relay_let_go(struct pair *pair)
{
	(void)pair;
	ok(rk_actor_start(relay[0], LONG_NS));
}

AID uint64_t relay_lost(struct pair *pair, uint64_t messages)
{
	const struct relays *relays = pair->on->detail;
	struct rk_actor_info info;

	do {
		info = info_of(relay[relays->actors - 1]);
		usleep(50);
	} while (info.received < messages || info.sent + dropped(&info) < messages);
	assert_int_equal(info.sent + info.dropped_closed, messages);
	return info.dropped_closed;
}

/* All that was sent was handled, and went on or is counted; all that went on from the last has come. */
AID void relay_close(struct pair *pair)
{
	const struct relays *relays = pair->on->detail;
	uint64_t come = pair->sent;

	ok(rk_runtime_wait(relay_runtime, LONG_NS));
	for (unsigned int i = 0; i < relays->actors; i++) {
		struct rk_actor_info info = info_of(relay[i]);

		assert_int_equal(info.state, RK_ACTOR_STOPPED);
		assert_int_equal(info.received, come);
		assert_int_equal(info.sent + info.dropped_closed, come);
		assert_int_equal(dropped(&info), info.dropped_closed);
		come = info.sent;
	}
	if (!pair->deaf)
		assert_int_equal(come, pair->received);
}

#define RELAY_PAIRING(name, most, count, ...)                                       \
	static const struct relays name##_relays = __VA_ARGS__;                     \
	static const struct pairing name = {.open = relay_open,                     \
					    .let_go = relay_let_go,                 \
					    .lost = relay_lost,                     \
					    .close = relay_close,                   \
					    .end = relay_end,                       \
					    .relayed = true,                        \
					    .most_slots = most,                     \
					    .messages = count,                      \
					    .detail = &name##_relays}

#define PAIRED(pairing, body) \
	{#pairing ": " #body, body, nothing_is_left_open, NULL, (void *)(uintptr_t)&pairing},

#endif
