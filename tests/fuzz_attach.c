// SPDX-License-Identifier: MIT
/*
 * A ring's memory that someone else wrote: attaching either refuses it in words or gives a ring
 * whose parts lie within it, and both ends opened on it stay within it.
 */
#include "ring/rk_ring.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_PAGES = 8 };

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* Use both ends for a while, whatever they find. */
static void use(const struct rk_ring *ring)
{
	struct rk_msg *cells = calloc(RK_MSG_MAX_SLOTS, sizeof(*cells));
	struct rk_ring_rx rx;
	struct rk_ring_tx tx;
	int result;

	CHECK(rk_ring_rx_open(&rx, ring, NULL) == 0);
	for (int i = 0; i < 64; i++) {
		result = i & 1 ? rk_ring_recv(&rx, cells, RK_MSG_MAX_SLOTS) :
				 rk_ring_recv_batch(&rx, cells, 1 + (uint32_t)i);
		CHECK(result <= RK_MSG_MAX_SLOTS);
	}
	result = rk_ring_tx_open(&tx, ring);
	CHECK(result == 0 || (result == -EPROTO && strstr(rk_errmsg(), "make a new ring")));
	for (int i = 0; i < 64 && result == 0; i++) {
		cells[0] = (struct rk_msg){.type = RK_MSG_USER, .slots = (uint8_t)(1 + i % 3)};
		CHECK(rk_ring_send(&tx, cells) <= 3);
		CHECK(rk_ring_send_batch(&tx, cells, 3) <= 3);
		CHECK(rk_ring_recv(&rx, cells, RK_MSG_MAX_SLOTS) <= RK_MSG_MAX_SLOTS);
	}
	free(cells);
}

/*
 * The input: how many bytes of memory, whether a well-formed ring lies in it to begin with, then
 * pieces of (offset, length, bytes) that the other side wrote over it.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rk_ring ring;
	uint64_t capacity;
	size_t bytes;
	char *memory;
	int result;

	if (size < 4)
		return 0;
	bytes = (size_t)(data[0] | data[1] << 8) % (MOST_PAGES * RK_PAGE_BYTES) + 1;
	capacity = 2ULL << data[2] % 8;
	if (posix_memalign((void **)&memory, RK_PAGE_BYTES, bytes))
		return 0;
	memset(memory, 0, bytes);
	if (data[3] & 1 && rk_ring_bytes(capacity) <= bytes)
		CHECK(rk_ring_format(&ring, memory, bytes, capacity, data[3] >> 1, "fuzz") == 0);
	for (data += 4, size -= 4; size >= 3;) {
		size_t at = (size_t)(data[0] | data[1] << 8) % bytes, length = data[2];

		data += 3;
		size -= 3;
		length = length < size ? length : size;
		length = length < bytes - at ? length : bytes - at;
		memcpy(memory + at, data, length);
		data += length;
		size -= length;
	}
	result = rk_ring_attach(&ring, memory, bytes);
	CHECK(result == 0 || (result == -EPROTO && rk_errmsg()[0]));
	if (result == 0) {
		CHECK((char *)(ring.slots + (1ULL << ring.capacity_log2)) <= memory + bytes);
		use(&ring);
	}
	free(memory);
	return 0;
}
