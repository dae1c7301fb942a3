// SPDX-License-Identifier: MIT
/*
 * The hello of a peer: whatever bytes come, they are refused in words, or every field is such that
 * what is done with it stays within bounds.
 */
#include "ports/remote.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void check_window(const struct remote_window *window, uint64_t bytes)
{
	CHECK(window->bytes == bytes);
	CHECK(window->addr && window->addr <= UINT64_MAX - bytes + 1);
}

/* A hello that was believed. */
static void check(const struct remote_hello *hello, bool answer)
{
	CHECK(hello->session);
	CHECK(hello->timeout_ms >= REMOTE_MIN_TIMEOUT_MS &&
	      hello->timeout_ms <= REMOTE_MAX_TIMEOUT_MS);
	CHECK(strnlen(hello->name, sizeof(hello->name)) < sizeof(hello->name));
	CHECK(!remote_name_check("name", hello->name) || strchr(hello->name, ','));
	check_window(&hello->line, sizeof(struct remote_line));
	if (!answer)
		return;
	CHECK(hello->ring);
	CHECK(hello->capacity_log2 >= 1 && hello->capacity_log2 <= REMOTE_MAX_SLOTS_LOG2);
	CHECK(rk_ring_bytes(1ULL << hello->capacity_log2));
	check_window(&hello->slots, (uint64_t)RK_SLOT_BYTES << hello->capacity_log2);
}

/* A good one, for the fuzzer to damage. */
static void make(struct remote_hello *hello, bool answer)
{
	remote_hello_init(hello, answer ? REMOTE_WELCOME : REMOTE_ASK);
	hello->session = 7;
	hello->timeout_ms = 2000;
	hello->line = (struct remote_window){64, sizeof(struct remote_line), 1};
	if (!answer)
		return;
	hello->ring = 8;
	hello->capacity_log2 = 10;
	hello->slots = (struct remote_window){4096, 64 << 10, 2};
}

/* The input: which side hears; whether a good hello lies below; pieces of (offset, length, bytes).
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t room[sizeof(struct remote_hello) + 64] = {0};
	struct remote_hello hello, good;
	size_t bytes;
	bool answer;
	int result;

	if (size < 2)
		return 0;
	answer = data[0] & 1;
	bytes = data[0] & 2 ? sizeof(good) : (size_t)data[1] * 2 % sizeof(room);
	if (data[0] & 4) {
		make(&good, answer);
		memcpy(room, &good, sizeof(good));
	}
	for (data += 2, size -= 2; size >= 3;) {
		size_t at = (size_t)(data[0] | data[1] << 8) % sizeof(room), length = data[2];

		data += 3;
		size -= 3;
		length = length < size ? length : size;
		length = length < sizeof(room) - at ? length : sizeof(room) - at;
		memcpy(room + at, data, length);
		data += length;
		size -= length;
	}
	result = remote_hello_check(room, bytes, answer, &hello);
	if (!result)
		check(&hello, answer);
	else
		CHECK((result == -EPROTO || result == -ECONNREFUSED) && rk_errmsg()[0]);
	return 0;
}
