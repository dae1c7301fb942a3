/* SPDX-License-Identifier: MIT */
/*
 * feed_aid.h - market-data feeds for tests of mdp3_book: generated, as messages in memory, sent by
 * a thread, and what comes of them compared cell by cell. Behind actor_aid.h.
 */
#ifndef FEED_AID_H
#define FEED_AID_H

#include "actor_aid.h"
#include "gen.h"
#include "mdp3_book.h"

enum { MORE_CELLS = 65536 };

/* Whole messages, one behind the other. */
struct cells {
	struct rk_msg *at;
	size_t count, room;
};

AID void make_room(struct cells *cells, size_t more)
{
	if (cells->count + more <= cells->room)
		return;
	cells->room = 2 * cells->room + MORE_CELLS;
	cells->at = realloc(cells->at, cells->room * sizeof(*cells->at));
	assert_non_null(cells->at);
}

/* RK_MSG_PACKET with the datagram, as a port makes it. */
AID void add_packet(struct cells *cells, uint32_t feed, uint64_t time_ns, const void *data,
		    uint32_t bytes)
{
	const struct rk_packet front = {
		.rx_time_ns = time_ns, .bytes = bytes, .feed = (uint16_t)feed};
	uint32_t slots = rk_msg_cells(0, (uint32_t)sizeof(front) + bytes);
	struct rk_msg *msg;

	make_room(cells, slots);
	msg = &cells->at[cells->count];
	memset(msg, 0, slots * sizeof(*msg));
	msg->type = RK_MSG_PACKET;
	msg->slots = (uint8_t)slots;
	msg->tag = (uint32_t)cells->count;
	memcpy(msg->body, &front, sizeof(front));
	memcpy(msg->body + sizeof(front), data, bytes);
	cells->count += slots;
}

struct feeder {
	struct rk_ring_tx *tx;
	const struct cells *cells;
};

AID void *feed(void *argument)
{
	const struct feeder *feeder = argument;

	for (size_t i = 0; i < feeder->cells->count; i += feeder->cells->at[i].slots)
		send_msg(feeder->tx, &feeder->cells->at[i]);
	finish_sending(feeder->tx);
	return NULL;
}

/* All that comes, until the ring is closed. */
AID void take_cells(struct rk_ring_rx *rx, struct cells *cells)
{
	int got;

	while (!rx->closed) {
		make_room(cells, MORE_CELLS / 2);
		got = rk_ring_recv_batch(rx, &cells->at[cells->count], MORE_CELLS / 2);
		assert_true(got >= 0);
		cells->count += (size_t)got;
		if (!got && !rx->closed)
			assert_int_not_equal(rk_ring_wait_recv(rx, LONG_NS), 0);
	}
}

AID void expect_equal_messages(const struct cells *one, const struct cells *other)
{
	size_t count = one->count < other->count ? one->count : other->count, i = 0;

	while (i < count && !memcmp(&one->at[i], &other->at[i], RK_CELL_BYTES))
		i++;
	if (i < count)
		fail_msg("cell %zu of what was sent differs: type %u tag %u, type %u tag %u", i,
			 one->at[i].type, one->at[i].tag, other->at[i].type, other->at[i].tag);
	assert_int_equal(one->count, other->count);
}

struct setting {
	const char *key, *value;
};

/* The datagrams of a generated feed, each a message. */
AID void generate(struct cells *packets, uint64_t seed, const char *count,
		  const struct setting *setting)
{
	struct gen_packet packet;
	struct gen_opts opts;
	struct gen *gen;
	char text[32];

	print_message("# seed %llu\n", (unsigned long long)seed);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
	gen_opts_init(&opts);
	ok(gen_opts_set(&opts, "seed", text));
	ok(gen_opts_set(&opts, "packets", count));
	for (const struct setting *s = setting; s->key; s++)
		ok(gen_opts_set(&opts, s->key, s->value));
	ok(gen_open(&gen, &opts));
	while (gen_next(gen, &packet) == 1)
		add_packet(packets, packet.feed, packet.time_ns, packet.data, packet.bytes);
	gen_close(gen);
}

#endif
