// SPDX-License-Identifier: MIT
/*
 * A snapshot file that somebody else wrote, its checksums right or not: decoding refuses it in
 * words, or gives a snapshot that is the same once it was encoded and decoded again.
 */
#include "snapshot/format.h"
#include "rk_error.h"
#include "snapshot_aid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* What is made to fit, by bits of the first byte: the deeper, the more. */
enum { SEAL_SUMS = 1, SEAL_KINDS = 2, SEAL_SIZES = 4 };

enum { PARENT_BYTES = SNAPSHOT_PAGE_BYTES + 20 };

static void seal_head(uint8_t *bytes, size_t size, struct snapshot_head *head)
{
	memcpy(head, bytes, sizeof(*head));
	head->magic = SNAPSHOT_MAGIC;
	head->version = SNAPSHOT_VERSION;
	head->endian = SNAPSHOT_ENDIAN;
	head->head_bytes = sizeof(*head);
	head->actors %= 4;
	head->links %= 4;
	head->sections = 2 * (head->actors + head->links);
	head->file_bytes = size;
	head->id |= 1;
	head->parent_id &= 2;
	head->chain = head->parent_id != 0;
	memset(head->parent, 0, sizeof(head->parent));
	head->parent[0] = head->chain ? 'p' : 0;
	head->zero = 0;
	head->sum = snapshot_head_sum(head);
	memcpy(bytes, head, sizeof(*head));
}

static void seal_kind(struct snapshot_section *section, const struct snapshot_head *head,
		      uint32_t number)
{
	bool of_actor = number < 2 * head->actors;
	uint32_t even = of_actor ? SNAPSHOT_ACTOR : SNAPSHOT_LINK;
	uint32_t odd = !of_actor ? SNAPSHOT_CELLS : head->chain ? SNAPSHOT_PAGES : SNAPSHOT_STATE;

	section->kind = number & 1 ? odd : even;
	section->index = (of_actor ? number : number - 2 * head->actors) / 2;
}

/* Fronts that say how long their sections are; @follows: bytes of the section after this one. */
static uint64_t seal_front(const struct snapshot_section *section, uint8_t *stored,
			   const struct snapshot_head *head, uint64_t *follows)
{
	uint64_t bytes = *follows;
	struct snapshot_actor actor;
	struct snapshot_link link;

	if (section->kind == SNAPSHOT_ACTOR) {
		memcpy(&actor, stored, sizeof(actor));
		actor.name_bytes %= 4;
		actor.type_bytes %= 4;
		actor.args %= 3;
		actor.state_bytes = head->chain ? PARENT_BYTES : actor.state_bytes % 64;
		memcpy(stored, &actor, sizeof(actor));
		*follows = head->chain ? section->stored_bytes : actor.state_bytes;
		bytes = sizeof(actor) + actor.name_bytes + actor.type_bytes + 8 * actor.args;
	} else if (section->kind == SNAPSHOT_LINK) {
		memcpy(&link, stored, sizeof(link));
		link.from = link.from & 1 ? RK_SNAPSHOT_OUTSIDE : link.from % (head->actors + 1);
		link.to = link.to & 1 ? RK_SNAPSHOT_OUTSIDE : link.to % (head->actors + 1);
		link.name_bytes %= 4;
		link.cells %= 4;
		memcpy(stored, &link, sizeof(link));
		*follows = (uint64_t)link.cells * RK_CELL_BYTES;
		bytes = sizeof(link) + link.name_bytes;
	} else if (section->kind == SNAPSHOT_PAGES) {
		bytes = section->stored_bytes;
	}
	return bytes;
}

/* Make checksums hold, and more as @how says, so that what is behind them is reached. */
static void seal(uint8_t *bytes, size_t size, int how)
{
	struct snapshot_head head;
	size_t at = sizeof(head);
	uint64_t follows = 0;

	seal_head(bytes, size, &head);
	for (uint32_t i = 0; i < head.sections && size - at >= sizeof(struct snapshot_section);
	     i++) {
		struct snapshot_section section;
		uint8_t *stored = bytes + at + sizeof(section);
		uint64_t left = size - at - sizeof(section);

		memcpy(&section, bytes + at, sizeof(section));
		section.zero = 0;
		if (how & SEAL_KINDS)
			seal_kind(&section, &head, i);
		if (section.stored_bytes > left)
			section.stored_bytes %= left + 1;
		if (how & SEAL_SIZES && left >= sizeof(struct snapshot_link)) {
			section.stored_bytes = seal_front(&section, stored, &head, &follows);
			section.packing = SNAPSHOT_PLAIN;
		}
		if (snapshot_padded(section.stored_bytes) > left)
			return;
		memset(stored + section.stored_bytes, 0,
		       snapshot_padded(section.stored_bytes) - section.stored_bytes);
		if (section.packing != SNAPSHOT_ZSTD) {
			section.packing = SNAPSHOT_PLAIN;
			section.bytes = section.stored_bytes;
		}
		section.sum = snapshot_section_sum(&section, stored, head.id, at);
		memcpy(bytes + at, &section, sizeof(section));
		at += sizeof(section) + snapshot_padded(section.stored_bytes);
	}
	/* Nothing behind the last. */
	if (how & SEAL_SIZES) {
		head.file_bytes = at;
		head.sum = snapshot_head_sum(&head);
		memcpy(bytes, &head, sizeof(head));
	}
}

/* What a file may build upon: as many actors as it has. */
static struct rk_snapshot *make_parent(uint32_t actors)
{
	struct rk_snapshot *parent = calloc(1, sizeof(*parent));

	parent->id = 2;
	parent->actors = actors;
	parent->actor = calloc(actors + 1, sizeof(*parent->actor));
	for (uint32_t i = 0; i < actors; i++) {
		parent->actor[i].state_bytes = PARENT_BYTES;
		parent->actor[i].state = calloc(1, PARENT_BYTES);
	}
	return parent;
}

static int decode(struct rk_snapshot **snapshot, const uint8_t *bytes, size_t size)
{
	struct snapshot_reader reader;
	struct rk_snapshot *parent = NULL;
	int result = snapshot_reader_open(&reader, "fuzz", bytes, size);

	if (!result) {
		parent = make_parent(reader.head.actors);
		result = snapshot_decode(snapshot, &reader, parent);
	}
	rk_snapshot_free(parent);
	return result;
}

/* Names end at their first zero byte, so what was read is encoded before it is compared. */
static void expect_same_again(struct rk_snapshot *snapshot)
{
	struct snapshot_bytes bytes;
	struct rk_snapshot *again;

	snapshot->parent_id = 0;
	CHECK(snapshot_encode(&bytes, snapshot, NULL, NULL, 0, 0) == 0);
	CHECK(decode(&again, bytes.at, bytes.used) == 0);
	CHECK(aid_same_snapshot(again, snapshot));
	rk_snapshot_free(again);
	free(bytes.at);
}

/* What the head says, where it was sealed; else all that there is. */
static size_t size_of(const uint8_t *bytes, size_t size, int how)
{
	struct snapshot_head head;

	memcpy(&head, bytes, sizeof(head));
	return how & SEAL_SIZES ? head.file_bytes : size;
}

/* The input: what to seal, then the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rk_snapshot *snapshot;
	uint8_t *bytes;
	int how, result;

	if (size < 1 + sizeof(struct snapshot_head) || snapshot_supported())
		return 0;
	how = data[0] & SEAL_SUMS ? data[0] : 0;
	size--;
	bytes = malloc(size);
	memcpy(bytes, data + 1, size);
	if (how)
		seal(bytes, size, how);
	result = decode(&snapshot, bytes, size_of(bytes, size, how));
	CHECK(result == 0 || ((result == -EBADMSG || result == -EPROTO) && rk_errmsg()[0]));
	if (!result) {
		expect_same_again(snapshot);
		rk_snapshot_free(snapshot);
	}
	free(bytes);
	return 0;
}
