/* SPDX-License-Identifier: MIT */
/*
 * format.h - the bytes of a snapshot file, version 1; private.
 *
 *   struct snapshot_head
 *   for each actor: section ACTOR (struct snapshot_actor, name, type, arguments)
 *                   section STATE (the bytes) or PAGES (u32 count, u32 indexes, then the pages)
 *   for each link:  section LINK (struct snapshot_link, name)
 *                   section CELLS (messages in flight)
 *
 * A section is a struct snapshot_section, what it stores, and zeros up to a multiple of 8. All is
 * little-endian. Its checksum is of its head and of what is stored, seeded with the file's id and
 * its offset: a section of another file, or of another place, is not mistaken for this one.
 */
#ifndef RK_SNAPSHOT_FORMAT_H
#define RK_SNAPSHOT_FORMAT_H

#include "snapshot/rk_snapshot.h"

#define SNAPSHOT_MAGIC	 0x31504e534b52ULL /* "RKSNP1" */
#define SNAPSHOT_VERSION 1
#define SNAPSHOT_ENDIAN	 0x01020304U
#define SNAPSHOT_NAME	 "snapshot-%08" PRIu64 ".rks"
#define SNAPSHOT_SUFFIX	 ".rks"
#define SNAPSHOT_UNREADY ".writing" /* behind the name, until all is durable */

enum {
	SNAPSHOT_PAGE_BYTES = 4096,
	SNAPSHOT_NAME_BYTES = 48,
	SNAPSHOT_TEXT_BYTES = 4096, /* of a name of an actor, type or link, at most */
	SNAPSHOT_MAX_ARGS = 256,
};

enum snapshot_kind {
	SNAPSHOT_ACTOR = 1,
	SNAPSHOT_STATE,
	SNAPSHOT_PAGES,
	SNAPSHOT_LINK,
	SNAPSHOT_CELLS,
};

enum snapshot_packing { SNAPSHOT_PLAIN, SNAPSHOT_ZSTD };

struct snapshot_head {
	uint64_t magic;
	uint32_t version;
	uint32_t endian;
	uint32_t head_bytes;
	uint32_t sections;
	uint64_t file_bytes;
	uint64_t id;
	uint64_t parent_id;
	uint64_t time_ns;
	uint32_t actors;
	uint32_t links;
	uint32_t chain;
	uint32_t zero;
	char parent[SNAPSHOT_NAME_BYTES];
	uint64_t sum; /* of all before it */
};

struct snapshot_section {
	uint32_t kind;
	uint32_t index;
	uint64_t stored_bytes;
	uint64_t bytes;
	uint32_t packing;
	uint32_t zero;
	uint64_t sum; /* of all before it, and of what is stored */
};

struct snapshot_actor {
	uint32_t name_bytes;
	uint32_t type_bytes;
	uint32_t args;
	uint32_t state_bytes;
};

struct snapshot_link {
	uint32_t from;
	uint32_t to;
	uint32_t outbox;
	uint32_t inbox;
	uint64_t slots;
	uint64_t sent;
	uint64_t received;
	uint32_t name_bytes;
	uint32_t cells;
};

RK_STATIC_ASSERT(sizeof(struct snapshot_head) == 128, "snapshot layout 1");
RK_STATIC_ASSERT(sizeof(struct snapshot_section) == 40, "snapshot layout 1");
RK_STATIC_ASSERT(sizeof(struct snapshot_actor) == 16, "snapshot layout 1");
RK_STATIC_ASSERT(sizeof(struct snapshot_link) == 48, "snapshot layout 1");

static inline uint64_t snapshot_padded(uint64_t bytes)
{
	return (bytes + 7) & ~7ULL;
}

/* --- Checksums and packing (pack.c) --- */

/* 0, or -EOPNOTSUPP, said: built without the library for checksums. */
int snapshot_supported(void);

uint64_t snapshot_head_sum(const struct snapshot_head *head);
uint64_t snapshot_section_sum(const struct snapshot_section *section, const void *stored,
			      uint64_t id, uint64_t offset);

/* Room that packing @bytes may take; 0: built without zstd. */
size_t snapshot_pack_room(size_t bytes);

/* Bytes it took; 0 when it would not be smaller. */
size_t snapshot_pack(void *to, size_t room, const void *from, size_t bytes, int level);

/* True if it was exactly @bytes. */
bool snapshot_unpack(void *to, size_t bytes, const void *from, size_t stored_bytes);

/* --- Files in memory --- */

struct snapshot_bytes {
	uint8_t *at;
	size_t used;
	size_t room;
};

/*
 * Lay @snapshot into @bytes (encode.c), to be freed. @parent: what it builds upon, of the same
 * actors; NULL: it is full. @name: of the parent's file. 0; -EINVAL; -ENOMEM, said.
 */
int snapshot_encode(struct snapshot_bytes *bytes, const struct rk_snapshot *snapshot,
		    const struct rk_snapshot *parent, const char *name, uint32_t chain, int pack);

/* Whether @snapshot can build upon @parent: the same actors, in the same order. */
bool snapshot_alike(const struct rk_snapshot *snapshot, const struct rk_snapshot *parent);

/* A file being decoded (decode.c). @path: for people. */
struct snapshot_reader {
	const char *path;
	const uint8_t *bytes;
	uint64_t size;
	uint64_t offset; /* of the next section */
	uint32_t number;
	struct snapshot_head head;
};

/* One section, its checksum found right. */
struct snapshot_part {
	struct snapshot_section head;
	uint64_t offset;
	const void *stored;
};

/* Check the head. 0, -EBADMSG or -EPROTO, said. */
int snapshot_reader_open(struct snapshot_reader *reader, const char *path, const void *bytes,
			 uint64_t size);

/* The next section. 0; -EBADMSG, said; -ENODATA past the last, when nothing follows. */
int snapshot_next(struct snapshot_reader *reader, struct snapshot_part *part);

const char *snapshot_kind_name(uint32_t kind);

/*
 * The whole snapshot. @parent: of the file that this one builds upon; its states are taken out of
 * it; NULL: none is needed. 0; -EBADMSG; -EPROTO; -ENOMEM; said.
 */
int snapshot_decode(struct rk_snapshot **snapshot, struct snapshot_reader *reader,
		    struct rk_snapshot *parent);

/* --- Files on disk --- */

/* Read @name in @folder whole, to be freed (read.c). 0 or -errno, said with @path. */
int snapshot_load(struct snapshot_bytes *bytes, int folder, const char *name, const char *path);

/* Write @bytes to the new file @name in @folder, durably (write.c). 0 or -errno, said. */
int snapshot_save(const struct snapshot_bytes *bytes, int folder, const char *name, bool plain);

/* The number in the name of a file of a store; 0: it is none (store.c). */
uint64_t snapshot_number(const char *name);

#endif
