// SPDX-License-Identifier: MIT
/* A snapshot as the bytes of a file. */
#include "snapshot/format.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

/* More at the end; NULL without memory. */
static void *extend(struct snapshot_bytes *bytes, size_t more)
{
	void *at;

	if (more > bytes->room - bytes->used) {
		size_t room = 2 * bytes->used + more;
		uint8_t *bigger = realloc(bytes->at, room);

		if (!bigger)
			return NULL;
		bytes->at = bigger;
		bytes->room = room;
	}
	at = bytes->at + bytes->used;
	bytes->used += more;
	return at;
}

static int add(struct snapshot_bytes *bytes, const void *what, size_t count)
{
	void *at = extend(bytes, count);

	if (!at)
		return rk_fail(ENOMEM, "snapshot: no memory for its file");
	if (count)
		memcpy(at, what, count);
	return 0;
}

/* Where a section began, what of it is plain so far, and how it is to be packed. */
struct writing {
	struct snapshot_bytes *bytes;
	uint64_t id;
	int pack;
	size_t begun;
};

static int begin(struct writing *to, enum snapshot_kind kind, uint32_t index)
{
	const struct snapshot_section head = {.kind = kind, .index = index};

	to->begun = to->bytes->used;
	return add(to->bytes, &head, sizeof(head));
}

/* Pack what was added in its place, if that makes it smaller. */
static int pack(struct writing *to, struct snapshot_section *head)
{
	size_t begun = to->begun + sizeof(*head), room = snapshot_pack_room(head->bytes), packed;
	void *scratch;

	if (!to->pack || !head->bytes)
		return 0;
	scratch = malloc(room);
	if (!scratch)
		return rk_fail(ENOMEM, "snapshot: no memory to pack %zu bytes in", room);
	packed = snapshot_pack(scratch, room, to->bytes->at + begun, head->bytes, to->pack);
	if (packed) {
		memcpy(to->bytes->at + begun, scratch, packed);
		to->bytes->used = begun + packed;
		head->packing = SNAPSHOT_ZSTD;
		head->stored_bytes = packed;
	}
	free(scratch);
	return 0;
}

static int end(struct writing *to)
{
	static const char zeros[8];
	struct snapshot_section head;
	int result;

	memcpy(&head, to->bytes->at + to->begun, sizeof(head));
	head.stored_bytes = head.bytes = to->bytes->used - to->begun - sizeof(head);
	result = pack(to, &head);
	if (result)
		return result;
	head.sum = snapshot_section_sum(&head, to->bytes->at + to->begun + sizeof(head), to->id,
					to->begun);
	memcpy(to->bytes->at + to->begun, &head, sizeof(head));
	return add(to->bytes, zeros, snapshot_padded(to->bytes->used) - to->bytes->used);
}

static int add_actor(struct writing *to, uint32_t index, const struct rk_snapshot_actor *actor)
{
	const struct snapshot_actor front = {.name_bytes = (uint32_t)strlen(actor->name),
					     .type_bytes = (uint32_t)strlen(actor->type),
					     .args = actor->arg_count,
					     .state_bytes = actor->state_bytes};
	int result;

	if (front.name_bytes > SNAPSHOT_TEXT_BYTES || front.type_bytes > SNAPSHOT_TEXT_BYTES ||
	    front.args > SNAPSHOT_MAX_ARGS || front.state_bytes > RK_SNAPSHOT_MAX_STATE)
		return rk_fail(EINVAL,
			       "snapshot: actor '%.64s': %u arguments, %u bytes of state: names up "
			       "to %d bytes, %d arguments and %u bytes of state can be kept",
			       actor->name, front.args, front.state_bytes, SNAPSHOT_TEXT_BYTES,
			       SNAPSHOT_MAX_ARGS, RK_SNAPSHOT_MAX_STATE);
	result = begin(to, SNAPSHOT_ACTOR, index);
	if (!result)
		result = add(to->bytes, &front, sizeof(front));
	if (!result)
		result = add(to->bytes, actor->name, front.name_bytes);
	if (!result)
		result = add(to->bytes, actor->type, front.type_bytes);
	if (!result)
		result = add(to->bytes, actor->args, front.args * sizeof(uint64_t));
	return result ? result : end(to);
}

static int add_state(struct writing *to, uint32_t index, const struct rk_snapshot_actor *actor)
{
	int result = begin(to, SNAPSHOT_STATE, index);

	if (!result)
		result = add(to->bytes, actor->state, actor->state_bytes);
	return result ? result : end(to);
}

static uint32_t page_bytes(uint32_t state_bytes, uint32_t page)
{
	uint32_t left = state_bytes - page * SNAPSHOT_PAGE_BYTES;

	return left < SNAPSHOT_PAGE_BYTES ? left : SNAPSHOT_PAGE_BYTES;
}

static bool differs(const struct rk_snapshot_actor *actor, const struct rk_snapshot_actor *before,
		    uint32_t page)
{
	size_t at = (size_t)page * SNAPSHOT_PAGE_BYTES;

	return memcmp((const char *)actor->state + at, (const char *)before->state + at,
		      page_bytes(actor->state_bytes, page)) != 0;
}

/* The pages that differ: how many, which, then each. */
static int add_pages(struct writing *to, uint32_t index, const struct rk_snapshot_actor *actor,
		     const struct rk_snapshot_actor *before)
{
	uint32_t pages = (actor->state_bytes + SNAPSHOT_PAGE_BYTES - 1) / SNAPSHOT_PAGE_BYTES;
	uint32_t count = 0;
	size_t count_at;
	int result = begin(to, SNAPSHOT_PAGES, index);

	count_at = to->bytes->used;
	if (!result)
		result = add(to->bytes, &count, sizeof(count));
	for (uint32_t page = 0; !result && page < pages; page++)
		if (differs(actor, before, page)) {
			result = add(to->bytes, &page, sizeof(page));
			count++;
		}
	if (result)
		return result;
	memcpy(to->bytes->at + count_at, &count, sizeof(count));
	for (uint32_t i = 0; !result && i < count; i++) {
		uint32_t page;

		memcpy(&page, to->bytes->at + count_at + (i + 1) * sizeof(page), sizeof(page));
		result = add(to->bytes,
			     (const char *)actor->state + (size_t)page * SNAPSHOT_PAGE_BYTES,
			     page_bytes(actor->state_bytes, page));
	}
	return result ? result : end(to);
}

static int add_link(struct writing *to, uint32_t index, const struct rk_snapshot_link *link)
{
	const struct snapshot_link front = {.from = link->from,
					    .to = link->to,
					    .outbox = link->outbox,
					    .inbox = link->inbox,
					    .slots = link->slots,
					    .sent = link->sent,
					    .received = link->received,
					    .name_bytes = (uint32_t)strlen(link->name),
					    .cells = link->count};
	int result;

	if (front.name_bytes > SNAPSHOT_TEXT_BYTES)
		return rk_fail(EINVAL,
			       "snapshot: link '%.64s...': names up to %d bytes can be kept",
			       link->name, SNAPSHOT_TEXT_BYTES);
	result = begin(to, SNAPSHOT_LINK, index);
	if (!result)
		result = add(to->bytes, &front, sizeof(front));
	if (!result)
		result = add(to->bytes, link->name, front.name_bytes);
	if (!result)
		result = end(to);
	if (!result)
		result = begin(to, SNAPSHOT_CELLS, index);
	if (!result)
		result = add(to->bytes, link->cells, (size_t)link->count * RK_CELL_BYTES);
	return result ? result : end(to);
}

bool snapshot_alike(const struct rk_snapshot *snapshot, const struct rk_snapshot *parent)
{
	if (snapshot->actors != parent->actors)
		return false;
	for (uint32_t i = 0; i < snapshot->actors; i++)
		if (snapshot->actor[i].state_bytes != parent->actor[i].state_bytes ||
		    strcmp(snapshot->actor[i].name, parent->actor[i].name) != 0 ||
		    strcmp(snapshot->actor[i].type, parent->actor[i].type) != 0)
			return false;
	return true;
}

static int add_sections(struct writing *to, const struct rk_snapshot *snapshot,
			const struct rk_snapshot *parent)
{
	int result = 0;

	for (uint32_t i = 0; !result && i < snapshot->actors; i++) {
		const struct rk_snapshot_actor *actor = &snapshot->actor[i];

		result = add_actor(to, i, actor);
		if (!result)
			result = parent ? add_pages(to, i, actor, &parent->actor[i])
					: add_state(to, i, actor);
	}
	for (uint32_t i = 0; !result && i < snapshot->links; i++)
		result = add_link(to, i, &snapshot->link[i]);
	return result;
}

int snapshot_encode(struct snapshot_bytes *bytes, const struct rk_snapshot *snapshot,
		    const struct rk_snapshot *parent, const char *name, uint32_t chain, int level)
{
	struct snapshot_head head = {.magic = SNAPSHOT_MAGIC,
				     .version = SNAPSHOT_VERSION,
				     .endian = SNAPSHOT_ENDIAN,
				     .head_bytes = sizeof(head),
				     .sections = 2 * (snapshot->actors + snapshot->links),
				     .id = snapshot->id,
				     .parent_id = parent ? parent->id : 0,
				     .time_ns = snapshot->time_ns,
				     .actors = snapshot->actors,
				     .links = snapshot->links,
				     .chain = chain};
	struct writing to = {.bytes = bytes, .id = snapshot->id, .pack = level};
	int result;

	*bytes = (struct snapshot_bytes){0};
	if (parent)
		strncpy(head.parent, name, sizeof(head.parent) - 1);
	result = add(bytes, &head, sizeof(head));
	if (!result)
		result = add_sections(&to, snapshot, parent);
	if (result)
		return result;
	head.file_bytes = bytes->used;
	head.sum = snapshot_head_sum(&head);
	memcpy(bytes->at, &head, sizeof(head));
	return 0;
}
