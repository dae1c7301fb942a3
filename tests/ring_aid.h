/* SPDX-License-Identifier: MIT */
/*
 * ring_aid.h - what the tests of the ring share: seeded chance, a watchdog, guarded pages, and
 * messages whose every byte says which message it belongs to.
 */
#ifndef RING_AID_H
#define RING_AID_H

#include "ring/rk_ring.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AID static inline __attribute__((unused))

static uint64_t aid_seed;

/* RK_SEED, else @fallback; kept so that a failure can print it. */
AID uint64_t aid_choose_seed(uint64_t fallback)
{
	const char *asked = getenv("RK_SEED");

	aid_seed = asked ? strtoull(asked, NULL, 0) : fallback;
	return aid_seed;
}

/* splitmix64: every seed, 0 too, is a good one. */
AID uint64_t aid_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

AID uint64_t aid_below(uint64_t *state, uint64_t bound)
{
	return aid_random(state) % bound;
}

AID void aid_on_alarm(int signal_number)
{
	static const char text[] = "Bail out! watchdog: a test hung\n";

	(void)signal_number;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(3);
	_exit(2);
}

/* A test that hangs fails instead: generous, so that a slow machine is no failure. */
AID void aid_watchdog(unsigned int seconds)
{
	signal(SIGALRM, aid_on_alarm);
	alarm(seconds);
}

/* @pages pages between two that fault. */
AID char *aid_guarded(size_t pages)
{
	size_t bytes = pages * RK_PAGE_BYTES;
	char *memory = mmap(NULL, bytes + 2 * (size_t)RK_PAGE_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED ||
	    mprotect(memory + RK_PAGE_BYTES, bytes, PROT_READ | PROT_WRITE))
		abort();
	return memory + RK_PAGE_BYTES;
}

AID void aid_unguard(char *memory, size_t pages)
{
	munmap(memory - RK_PAGE_BYTES, (pages + 2) * RK_PAGE_BYTES);
}

/* How the parts of a ring lie: in one piece; apart and near; with one side across a bus. */
enum aid_layout { AID_WHOLE, AID_APART, AID_FAR_SLOTS, AID_FAR_CREDIT, AID_LAYOUTS };

struct aid_place {
	enum aid_layout layout;
	size_t slot_pages;
	char *whole, *slots, *credit, *sleep;
};

/* A new ring of @capacity slots; each part between pages that fault. 0 or -errno. */
AID int aid_place(struct aid_place *place, struct rk_ring *ring, enum aid_layout layout,
		  uint64_t capacity, uint64_t start)
{
	size_t bytes = rk_ring_bytes(capacity);
	struct rk_ring_parts parts = {.size = sizeof(parts),
				      .slots_far = layout == AID_FAR_SLOTS,
				      .credit_far = layout == AID_FAR_CREDIT,
				      .device = layout >= AID_FAR_SLOTS};

	*place = (struct aid_place){.layout = layout,
				    .slot_pages = (bytes + RK_PAGE_BYTES - 1) / RK_PAGE_BYTES};
	if (layout == AID_WHOLE) {
		place->whole = aid_guarded(place->slot_pages);
		return rk_ring_format(ring, place->whole, bytes, capacity, start, "whole");
	}
	parts.slots = place->slots = aid_guarded(place->slot_pages);
	parts.credit = place->credit = aid_guarded(1);
	parts.sleep = place->sleep = aid_guarded(1);
	return rk_ring_place(ring, &parts, capacity, start, "apart");
}

AID void aid_unplace(struct aid_place *place)
{
	if (place->layout == AID_WHOLE) {
		aid_unguard(place->whole, place->slot_pages);
		return;
	}
	aid_unguard(place->slots, place->slot_pages);
	aid_unguard(place->credit, 1);
	aid_unguard(place->sleep, 1);
}

/* What is far faults while @hidden: whoever opens an end must not look. */
AID void aid_hide_far(const struct aid_place *place, int hidden)
{
	int access = hidden ? PROT_NONE : PROT_READ | PROT_WRITE;

	if (place->layout == AID_FAR_SLOTS)
		mprotect(place->slots, place->slot_pages * RK_PAGE_BYTES, access);
	if (place->layout == AID_FAR_CREDIT)
		mprotect(place->credit, RK_PAGE_BYTES, access);
}

/* Word @word of message @number. */
AID uint64_t aid_pattern(uint64_t number, uint64_t word)
{
	uint64_t state = number * 0x100000001b3ULL + word;

	return aid_random(&state);
}

/* Of users and, now and then, of the runtime: those take the longer way through recv. */
AID uint16_t aid_type(uint64_t number)
{
	return (uint16_t)(number % 17 ? RK_MSG_USER + number % 1000 : RK_MSG_START);
}

/* Cells of message @number: mostly one, at times a few, at times up to @most. */
AID uint32_t aid_slots(uint64_t number, uint32_t most)
{
	uint64_t chance = aid_pattern(number, 0);
	uint32_t few = most < 4 ? most : 4;

	if (chance % 8)
		return 1;
	return 1 + (uint32_t)((chance >> 32) % (chance % 64 ? few : most));
}

/* Fill a message of @slots cells: header, then words that depend on @number and their place. */
AID void aid_fill(struct rk_msg *msg, uint32_t slots, uint64_t number)
{
	char *words = (char *)msg;

	*msg = (struct rk_msg){.type = aid_type(number),
			       .flags = (uint8_t)(number % (RK_MSG_F_ALL + 1)),
			       .slots = (uint8_t)slots,
			       .tag = (uint32_t)number};
	for (uint32_t i = 1; i < slots * RK_CELL_BYTES / 8; i++) {
		uint64_t word = aid_pattern(number, i);

		memcpy(words + (size_t)i * 8, &word, 8);
	}
}

/* Whether @msg is whole and the one that aid_fill(@slots, @number) made. */
AID int aid_matches(const struct rk_msg *msg, uint32_t slots, uint64_t number)
{
	const char *words = (const char *)msg;

	if (msg->type != aid_type(number) || msg->slots != slots ||
	    msg->flags != number % (RK_MSG_F_ALL + 1) || msg->tag != (uint32_t)number)
		return 0;
	for (uint32_t i = 1; i < slots * RK_CELL_BYTES / 8; i++) {
		uint64_t word;

		memcpy(&word, words + (size_t)i * 8, 8);
		if (word != aid_pattern(number, i))
			return 0;
	}
	return 1;
}

#endif
