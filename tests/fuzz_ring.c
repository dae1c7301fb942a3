// SPDX-License-Identifier: MIT
/*
 * Both ends of a ring against a peer that owns the slots and the credit line and writes there
 * whatever the fuzzer says, in between any calls. Nothing is read or written outside the ring and
 * the buffers (the sanitizers tell), every call ends, and positions account for what moved.
 */
#include "ring/rk_ring.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

struct fuzz {
	struct rk_ring ring;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	bool tx_is_open, rx_is_open;
	uint64_t capacity;
};

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;

	if (bytes > in->size)
		bytes = in->size;
	memcpy(&value, in->data, bytes);
	in->data += bytes;
	in->size -= bytes;
	return value;
}

/* --- What the peer writes --- */

/* A slot near the consumer's or the producer's position, valid for its lap, any header. */
static void forge_slot(struct fuzz *f, struct input *in)
{
	uint64_t where = take(in, 1);
	uint64_t base = where & 0x80 ? rk_ring_tx_position(&f->tx) : rk_ring_rx_position(&f->rx);
	uint64_t position = base + (where & 0x7f) % (2 * f->capacity);
	struct rk_msg msg = {.type = (uint16_t)take(in, 1),
			     .flags = (uint8_t)take(in, 1),
			     .slots = (uint8_t)take(in, 1)};

	rk_slot_store_plain(&f->ring.slots[position & (f->capacity - 1)],
			    rk_slot_tag(position, f->ring.capacity_log2), &msg);
}

static void scribble(struct fuzz *f, struct input *in)
{
	uint64_t slot = take(in, 1), word = take(in, 1);

	f->ring.slots[slot & (f->capacity - 1)].word[word & 7] = take(in, 8);
}

static void forge_credit(struct fuzz *f, struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	if (how == 0xff)
		f->ring.credit->consumed = take(in, 8);
	else if (how == 0xfe)
		f->ring.credit->closed = take(in, 8);
	else if (how == 0xfd)
		f->ring.sleep->consumer = (uint32_t)take(in, 4);
	else
		f->ring.credit->consumed += how;
}

/* --- What this side calls --- */

static void send(struct fuzz *f, struct input *in, bool batch)
{
	uint32_t count = batch ? (uint32_t)take(in, 1) : RK_MSG_MAX_SLOTS;
	uint64_t before = rk_ring_tx_position(&f->tx);
	char *cells = calloc(count ? count : 1, RK_CELL_BYTES);
	int result;

	for (uint32_t i = 0; i < count && (batch || !i); i++) {
		struct rk_msg msg = {.type = (uint16_t)take(in, 1)};
		uint64_t header = take(in, 2);

		msg.slots = header & 0x80 ? (uint8_t)(header >> 8) : (uint8_t)(header % 4);
		msg.flags = header & 0x40 ? (uint8_t)(header >> 3) : 0;
		memcpy(cells + (size_t)i * RK_CELL_BYTES, &msg, sizeof(msg));
	}
	result = batch ? rk_ring_send_batch(&f->tx, cells, count) :
			 rk_ring_send(&f->tx, (struct rk_msg *)cells);
	free(cells);
	CHECK(result <= (int)count);
	CHECK(rk_ring_tx_position(&f->tx) == before + (uint64_t)(result > 0 ? result : 0));
	CHECK(rk_ring_tx_position(&f->tx) - f->tx.credit <= f->capacity);
}

static void receive(struct fuzz *f, struct input *in, bool batch)
{
	uint32_t count = (uint32_t)take(in, 1) + !batch;
	uint64_t before = rk_ring_rx_position(&f->rx), padded = f->rx.padded_slots, moved;
	bool was_closed = f->rx.closed;
	char *cells = malloc((size_t)(count ? count : 1) * RK_CELL_BYTES);
	int result = batch ? rk_ring_recv_batch(&f->rx, cells, count) :
			     rk_ring_recv(&f->rx, (struct rk_msg *)cells, count);
	uint32_t closing = 0;

	moved = rk_ring_rx_position(&f->rx) - before;
	CHECK(result <= (int)count);
	CHECK(!was_closed || (result == 0 && moved == 0));
	for (int i = 0; i < result;) {
		const struct rk_msg *msg = (struct rk_msg *)(cells + (size_t)i * RK_CELL_BYTES);

		CHECK(msg->slots && msg->slots <= f->rx.max_slots && !(msg->flags & ~RK_MSG_F_ALL));
		CHECK(msg->type != RK_MSG_PAD && i + msg->slots <= result);
		closing += msg->type == RK_MSG_CLOSED ? msg->slots : 0;
		i += msg->slots;
	}
	free(cells);
	/* Received = moved, less the padding, and the closing message stays in the ring. */
	CHECK(moved + closing ==
	      (uint64_t)(result > 0 ? result : 0) + (f->rx.padded_slots - padded));
	CHECK(!closing || f->rx.closed);
}

static void open_tx(struct fuzz *f)
{
	f->tx_is_open = rk_ring_tx_open(&f->tx, &f->ring) == 0;
	CHECK(!f->tx_is_open || rk_ring_tx_position(&f->tx) - f->tx.credit <= f->capacity);
	CHECK(f->tx.padded_slots <= f->tx.max_slots);
}

static void open_rx(struct fuzz *f, struct input *in)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts)};
	uint64_t how = take(in, 1);

	opts.no_touch = how & 1;
	opts.resume = how & 2;
	opts.position = how & 4 ? take(in, 8) : rk_ring_rx_position(&f->rx);
	f->rx_is_open = rk_ring_rx_open(&f->rx, &f->ring, &opts) == 0;
	if (!f->rx_is_open)
		f->rx_is_open = rk_ring_rx_open(&f->rx, &f->ring, NULL) == 0;
	CHECK(f->rx_is_open);
}

static void step(struct fuzz *f, struct input *in)
{
	switch (take(in, 1) % 16) {
	case 0 ... 2:
		forge_slot(f, in);
		break;
	case 3:
		scribble(f, in);
		break;
	case 4:
		forge_credit(f, in);
		break;
	case 5 ... 6:
		receive(f, in, false);
		break;
	case 7 ... 8:
		receive(f, in, true);
		break;
	case 9:
		if (f->tx_is_open)
			send(f, in, false);
		break;
	case 10:
		if (f->tx_is_open)
			send(f, in, true);
		break;
	case 11:
		open_tx(f);
		break;
	case 12:
		open_rx(f, in);
		break;
	case 13:
		if (f->tx_is_open)
			CHECK(rk_ring_tx_free(&f->tx) <= f->capacity);
		rk_ring_rx_credit(&f->rx);
		break;
	case 14:
		if (f->tx_is_open && take(in, 1) == 0)
			rk_ring_close(&f->tx, take(in, 2));
		else if (take(in, 1) == 0)
			rk_ring_refuse(&f->rx, take(in, 2));
		break;
	case 15:
		CHECK(rk_ring_wait_recv(&f->rx, 0) <= 1);
		if (f->tx_is_open)
			CHECK(rk_ring_wait_send(&f->tx, take(in, 1), 0) <= 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct fuzz f = {.capacity = 2ULL << take(&in, 1) % 7};
	uint64_t kind = take(&in, 1), start = kind & 1 ? 0 - (kind >> 1) : (kind >> 1) * 255;
	size_t bytes = rk_ring_bytes(f.capacity);
	const struct rk_codec *codec = rk_codec_at((unsigned int)take(&in, 1) % 4);
	void *memory;

	/* Exactly so many bytes: one beyond is one that the sanitizer sees. */
	if (posix_memalign(&memory, RK_PAGE_BYTES, bytes))
		return 0;
	setenv("RK_CODEC", codec ? codec->name : "plain", 1);
	CHECK(rk_ring_format(&f.ring, memory, bytes, f.capacity, start, "fuzz") == 0);
	open_tx(&f);
	CHECK(rk_ring_rx_open(&f.rx, &f.ring, NULL) == 0);
	while (in.size)
		step(&f, &in);
	free(memory);
	return 0;
}
