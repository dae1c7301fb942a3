// SPDX-License-Identifier: MIT
/* The arena: parts are aligned, apart, within, given back and used again; or there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/arena.h"
#include "ring_aid.h"

#include <errno.h>

enum { MOST_PARTS = 512 };

struct part {
	uint64_t at, bytes;
};

static uint64_t rounded(uint64_t bytes)
{
	uint64_t size = ARENA_MIN_BYTES;

	while (size < bytes)
		size *= 2;
	return size;
}

static void expect_apart(const struct part *parts, int count)
{
	const struct part *last = &parts[count - 1];

	for (int i = 0; i < count - 1; i++)
		assert_true(last->at + rounded(last->bytes) <= parts[i].at ||
			    parts[i].at + rounded(parts[i].bytes) <= last->at);
}

static void parts_are_aligned_apart_and_within(void **unused)
{
	uint64_t random = aid_choose_seed(1);

	(void)unused;
	for (int round = 0; round < 30; round++) {
		struct arena arena = {.size = 1 + aid_below(&random, 8 << 20)};
		struct part parts[MOST_PARTS];
		int count = 0;

		for (int i = 0; i < 3000; i++) {
			struct part *part = &parts[count];

			if (count && (count == MOST_PARTS || aid_below(&random, 2))) {
				int gone = (int)aid_below(&random, (uint64_t)count);

				arena_give(&arena, parts[gone].bytes, parts[gone].at);
				parts[gone] = parts[--count];
				continue;
			}
			part->bytes = 1 + aid_below(&random, 1ULL << aid_below(&random, 20));
			if (arena_take(&arena, part->bytes, &part->at))
				continue;
			assert_int_equal(part->at % (rounded(part->bytes) < 65536 ?
							     rounded(part->bytes) :
							     65536),
					 0);
			assert_true(part->at + rounded(part->bytes) <= arena.size);
			expect_apart(parts, ++count);
		}
		arena_free(&arena);
	}
}

static void what_is_given_back_is_taken_again(void **unused)
{
	struct arena arena = {.size = 1 << 20};
	uint64_t first, second, again;

	(void)unused;
	assert_int_equal(arena_take(&arena, 1000, &first), 0);
	assert_int_equal(arena_take(&arena, 1000, &second), 0);
	assert_int_not_equal(first, second);
	arena_give(&arena, 1000, first);
	/* Of the same power of two, though not of the same size. */
	assert_int_equal(arena_take(&arena, 513, &again), 0);
	assert_int_equal(again, first);
	arena_give(&arena, 513, again);
	arena_give(&arena, 1000, second);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(arena_take(&arena, 700, &again), 0);
		arena_give(&arena, 700, again);
	}
	assert_int_equal(arena.next, 2048);
	arena_free(&arena);
}

static void a_full_arena_says_so_and_goes_on(void **unused)
{
	struct arena arena = {.size = 4096};
	uint64_t at[64], more;

	(void)unused;
	for (int i = 0; i < 64; i++)
		assert_int_equal(arena_take(&arena, 64, &at[i]), 0);
	assert_int_equal(arena_take(&arena, 1, &more), -ENOSPC);
	arena_give(&arena, 64, at[17]);
	assert_int_equal(arena_take(&arena, 65, &more), -ENOSPC);
	assert_int_equal(arena_take(&arena, 1, &more), 0);
	assert_int_equal(more, at[17]);
	arena_free(&arena);
}

static void sizes_that_cannot_be_are_refused(void **unused)
{
	struct arena arena = {.size = 1 << 20}, empty = {0};
	uint64_t at;

	(void)unused;
	assert_int_equal(arena_take(&empty, 1, &at), -ENOSPC);
	assert_int_equal(arena_take(&arena, (1 << 20) + 1, &at), -ENOSPC);
	assert_int_equal(arena_take(&arena, 1ULL << 50, &at), -ENOSPC);
	assert_int_equal(arena_take(&arena, UINT64_MAX, &at), -ENOSPC);
	assert_int_equal(arena_take(&arena, 1 << 20, &at), 0);
	assert_int_equal(at, 0);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_aligned_apart_and_within),
		cmocka_unit_test(what_is_given_back_is_taken_again),
		cmocka_unit_test(a_full_arena_says_so_and_goes_on),
		cmocka_unit_test(sizes_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
