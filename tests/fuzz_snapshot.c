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

/* Make checksums hold, and sizes fit, so that what is behind them is reached. */
static void seal(uint8_t *bytes, size_t size)
{
	struct snapshot_head head;
	size_t at = sizeof(head);

	memcpy(&head, bytes, sizeof(head));
	head.magic = SNAPSHOT_MAGIC;
	head.version = SNAPSHOT_VERSION;
	head.endian = SNAPSHOT_ENDIAN;
	head.head_bytes = sizeof(head);
	head.actors %= 8;
	head.links %= 8;
	head.sections = 2 * (head.actors + head.links);
	head.file_bytes = size;
	head.id |= 1;
	head.parent_id &= 2;
	head.chain = head.parent_id != 0;
	memset(head.parent, 0, sizeof(head.parent));
	head.parent[0] = head.chain ? 'p' : 0;
	head.zero = 0;
	head.sum = snapshot_head_sum(&head);
	memcpy(bytes, &head, sizeof(head));
	for (uint32_t i = 0; i < head.sections && size - at >= sizeof(struct snapshot_section);
	     i++) {
		struct snapshot_section section;
		uint64_t left = size - at - sizeof(section);

		memcpy(&section, bytes + at, sizeof(section));
		section.zero = 0;
		if (section.stored_bytes > left)
			section.stored_bytes %= left + 1;
		if (section.packing != SNAPSHOT_ZSTD) {
			section.packing = SNAPSHOT_PLAIN;
			section.bytes = section.stored_bytes;
		}
		section.sum =
			snapshot_section_sum(&section, bytes + at + sizeof(section), head.id, at);
		memcpy(bytes + at, &section, sizeof(section));
		if (snapshot_padded(section.stored_bytes) > left)
			return;
		at += sizeof(section) + snapshot_padded(section.stored_bytes);
	}
}

/* What a file may build upon: as many actors as it has, of 5000 bytes each. */
static struct rk_snapshot *make_parent(uint32_t actors)
{
	struct rk_snapshot *parent = calloc(1, sizeof(*parent));

	parent->id = 2;
	parent->actors = actors;
	parent->actor = calloc(actors + 1, sizeof(*parent->actor));
	for (uint32_t i = 0; i < actors; i++) {
		parent->actor[i].state_bytes = 5000;
		parent->actor[i].state = calloc(1, 5000);
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

/* The input: whether to seal it, then the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rk_snapshot *snapshot;
	uint8_t *bytes;
	int result;

	if (size < 1 + sizeof(struct snapshot_head) || snapshot_supported())
		return 0;
	bytes = malloc(size - 1);
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & 1)
		seal(bytes, size - 1);
	result = decode(&snapshot, bytes, size - 1);
	CHECK(result == 0 || ((result == -EBADMSG || result == -EPROTO) && rk_errmsg()[0]));
	if (!result) {
		expect_same_again(snapshot);
		rk_snapshot_free(snapshot);
	}
	free(bytes);
	return 0;
}
