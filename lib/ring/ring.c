// SPDX-License-Identifier: MIT
/* The memory of a ring: laying one out, and believing nothing of one that someone else laid out. */
#include "ring/rk_ring.h"
#include "rk_error.h"

#include <inttypes.h>
#include <string.h>

static bool capacity_is_allowed(uint64_t capacity)
{
	return capacity >= RK_RING_MIN_CAPACITY && capacity <= RK_RING_MAX_CAPACITY &&
	       !(capacity & (capacity - 1));
}

size_t rk_ring_bytes(uint64_t capacity)
{
	if (!capacity_is_allowed(capacity))
		return 0;
	return RK_RING_PAGES * (size_t)RK_PAGE_BYTES + capacity * RK_SLOT_BYTES;
}

static void find_parts(struct rk_ring *ring, char *memory, const struct rk_ring_header *header)
{
	*ring = (struct rk_ring){
		.credit = (struct rk_ring_credit *)(memory + RK_PAGE_BYTES),
		.sleep = (struct rk_ring_sleep *)(memory + 2 * (size_t)RK_PAGE_BYTES),
		.slots = (struct rk_slot *)(memory + RK_RING_PAGES * (size_t)RK_PAGE_BYTES),
		.start_position = header->start_position,
		.capacity_log2 = (uint32_t)__builtin_ctzll(header->capacity),
	};
	memcpy(ring->name, header->name, sizeof(ring->name) - 1);
}

static int refuse_capacity(const char *name, uint64_t capacity)
{
	return rk_fail(EINVAL,
		       "ring '%s': capacity %" PRIu64 " slots: give a power of two from %d to %llu",
		       name, capacity, RK_RING_MIN_CAPACITY, RK_RING_MAX_CAPACITY);
}

/* Every slot carries the tag of the lap before the one in which it is first written. */
static void begin(const struct rk_ring *ring)
{
	uint64_t capacity = 1ULL << ring->capacity_log2;

	for (uint64_t i = 0; i < capacity; i++) {
		uint64_t position = ring->start_position + i;
		uint64_t before = rk_slot_tag(position - capacity, ring->capacity_log2);
		struct rk_slot *slot = &ring->slots[position & (capacity - 1)];

		for (uint32_t word = 0; word < RK_SLOT_WORDS; word++)
			slot->word[word] = before;
	}
	*ring->credit = (struct rk_ring_credit){.consumed = ring->start_position,
						.forgotten = ring->start_position};
}

int rk_ring_format(struct rk_ring *ring, void *memory, size_t bytes, uint64_t capacity,
		   uint64_t start_position, const char *name)
{
	struct rk_ring_header header = {
		.magic = RK_RING_MAGIC,
		.layout = RK_RING_LAYOUT,
		.header_bytes = sizeof(header),
		.capacity = capacity,
		.start_position = start_position,
		.total_bytes = rk_ring_bytes(capacity),
		.slot_bytes = RK_SLOT_BYTES,
		.page_bytes = RK_PAGE_BYTES,
	};

	strncpy(header.name, name ? name : "", sizeof(header.name) - 1);
	if (!header.total_bytes)
		return refuse_capacity(header.name, capacity);
	if (bytes < header.total_bytes || (uintptr_t)memory % RK_PAGE_BYTES)
		return rk_fail(EINVAL,
			       "ring '%s': memory at %p, %zu bytes: give %" PRIu64
			       " bytes aligned to %d",
			       header.name, memory, bytes, header.total_bytes, RK_PAGE_BYTES);
	memset(memory, 0, RK_RING_PAGES * (size_t)RK_PAGE_BYTES);
	find_parts(ring, memory, &header);
	begin(ring);
	memcpy(memory, &header, sizeof(header));
	return 0;
}

static bool is_line(const void *part)
{
	return part && (uintptr_t)part % RK_CACHE_LINE_BYTES == 0;
}

int rk_ring_place(struct rk_ring *ring, const struct rk_ring_parts *parts, uint64_t capacity,
		  uint64_t start_position, const char *name)
{
	if (!name)
		name = "";
	if (parts->size != sizeof(*parts))
		return rk_fail(EINVAL,
			       "ring '%s': parts of %zu bytes: set size to %zu, the size of struct "
			       "rk_ring_parts",
			       name, parts->size, sizeof(*parts));
	if (!capacity_is_allowed(capacity))
		return refuse_capacity(name, capacity);
	if (!is_line(parts->slots) || !is_line(parts->credit) || !is_line(parts->sleep))
		return rk_fail(EINVAL,
			       "ring '%s': slots at %p, credit at %p, sleep at %p: give all three, "
			       "aligned to %d bytes",
			       name, parts->slots, parts->credit, parts->sleep, RK_CACHE_LINE_BYTES);
	*ring = (struct rk_ring){
		.slots = parts->slots,
		.credit = parts->credit,
		.sleep = parts->sleep,
		.start_position = start_position,
		.capacity_log2 = (uint32_t)__builtin_ctzll(capacity),
		.device = parts->device,
		.slots_far = parts->slots_far,
		.credit_far = parts->credit_far,
	};
	strncpy(ring->name, name, sizeof(ring->name) - 1);
	*ring->sleep = (struct rk_ring_sleep){
		.unguarded = {[RK_ROLE_PRODUCER] = parts->device, [RK_ROLE_CONSUMER] = parts->device},
	};
	begin(ring);
	rk_codec_flush();
	return 0;
}

int rk_ring_attach(struct rk_ring *ring, const void *memory, size_t bytes)
{
	struct rk_ring_header header;

	if ((uintptr_t)memory % RK_PAGE_BYTES)
		return rk_fail(EINVAL, "ring at %p: map it aligned to %d bytes", memory,
			       RK_PAGE_BYTES);
	if (bytes < RK_RING_PAGES * (size_t)RK_PAGE_BYTES)
		return rk_fail(EPROTO, "ring at %p: %zu bytes cannot hold a ring's %d pages",
			       memory, bytes, RK_RING_PAGES);
	/* One copy: what is checked is what is used, whatever the other side writes meanwhile. */
	memcpy(&header, memory, sizeof(header));
	rk_codec_barrier();
	if (header.magic != RK_RING_MAGIC)
		return rk_fail(EPROTO,
			       "ring at %p: magic %#" PRIx64 " is not %#llx: this memory holds no "
			       "ring",
			       memory, header.magic, RK_RING_MAGIC);
	if (header.layout != RK_RING_LAYOUT)
		return rk_fail(EPROTO,
			       "ring at %p: layout %u, this library speaks %d: use the same "
			       "RingKernel on both sides",
			       memory, header.layout, RK_RING_LAYOUT);
	if (header.header_bytes != sizeof(header) || header.slot_bytes != RK_SLOT_BYTES ||
	    header.page_bytes != RK_PAGE_BYTES)
		return rk_fail(EPROTO,
			       "ring at %p: header %u, slot %u, page %u bytes; expected %zu, %d, %d",
			       memory, header.header_bytes, header.slot_bytes, header.page_bytes,
			       sizeof(header), RK_SLOT_BYTES, RK_PAGE_BYTES);
	if (!capacity_is_allowed(header.capacity) ||
	    header.total_bytes != rk_ring_bytes(header.capacity) || header.total_bytes > bytes)
		return rk_fail(EPROTO,
			       "ring at %p: capacity %" PRIu64 " slots and %" PRIu64
			       " bytes do not fit each other or the %zu bytes mapped",
			       memory, header.capacity, header.total_bytes, bytes);
	find_parts(ring, (char *)(uintptr_t)memory, &header);
	return 0;
}
