/* SPDX-License-Identifier: MIT */
/*
 * rk_snapshot.h - what a group of actors was at one moment, and the files that keep it.
 *
 *   file      head: magic, version, byte order, counts, id, the parent's id and name, checksum
 *             sections, each with its own checksum: for each actor its name, type and arguments,
 *             then its state (all of it, or the 4 KiB pages that differ from the parent's); for
 *             each link its ends and positions, then the messages in flight
 *   folder    snapshot-00000001.rks, ...: full ones, each with those that build upon it
 *
 * A file appears under its name only when all of it is durable, so a crash leaves the old ones or
 * the old ones and the new one. Reading checks every byte before it is believed: what is torn,
 * damaged or of another version is refused, with the section and its offset.
 *
 * Checksums are xxhash's (XXH3, 64 bits); sections may be packed by zstd. Files are written by
 * io_uring where it may be used, by plain calls elsewhere. Taking a snapshot of running actors and
 * restoring them: rk_checkpoint.h.
 */
#ifndef RK_SNAPSHOT_H
#define RK_SNAPSHOT_H

#include "rk_base.h"
#include "rk_msg.h"

#include <stdbool.h>

#define RK_SNAPSHOT_OUTSIDE   UINT32_MAX
#define RK_SNAPSHOT_MAX_CHAIN 255 /* files that build upon a full one */
#define RK_SNAPSHOT_MAX_STATE (1U << 30)

/**
 * struct rk_snapshot_actor - one actor of a snapshot
 * @name: of the actor
 * @type: name of its type
 * @args: those it was spawned with
 * @arg_count: of them
 * @state_bytes: of @state, at most RK_SNAPSHOT_MAX_STATE
 * @state: as it was between two messages
 */
struct rk_snapshot_actor {
	char *name;
	char *type;
	uint64_t *args;
	uint32_t arg_count;
	uint32_t state_bytes;
	void *state;
};

/**
 * struct rk_snapshot_link - one link of a snapshot, in the order in which they were made
 * @name: of its ring
 * @from: index of the actor that sends; RK_SNAPSHOT_OUTSIDE: none of this snapshot
 * @to: index of the actor that receives; likewise
 * @outbox: number of the link at @from
 * @inbox: number of the link at @to
 * @slots: capacity
 * @sent: slots that @from had sent, what waited for room included; 0 from outside
 * @received: slots of messages that @to had handled; 0 to the outside
 * @cells: messages in flight between two actors of this snapshot, one after the other
 * @count: cells of them
 */
struct rk_snapshot_link {
	char *name;
	uint32_t from;
	uint32_t to;
	uint32_t outbox;
	uint32_t inbox;
	uint64_t slots;
	uint64_t sent;
	uint64_t received;
	struct rk_msg *cells;
	uint32_t count;
};

/**
 * struct rk_snapshot - a group of actors and their links at one moment
 * @id: of the file that it was read from, random; 0 before it is written
 * @parent_id: of the file that it builds upon; 0: none
 * @time_ns: CLOCK_REALTIME, when it was taken
 * @actors: entries of @actor
 * @links: entries of @link
 * @actor: the actors
 * @link: the links
 */
struct rk_snapshot {
	uint64_t id;
	uint64_t parent_id;
	uint64_t time_ns;
	uint32_t actors;
	uint32_t links;
	struct rk_snapshot_actor *actor;
	struct rk_snapshot_link *link;
};

/**
 * struct rk_snapshot_file - what the head of a file says
 * @version: of the format
 * @sections: of the file
 * @actors: of the snapshot
 * @links: of the snapshot
 * @chain: files that it builds upon, one upon the other; 0: it is full
 * @bytes: of the file
 * @id: of this file
 * @parent_id: of the file that it builds upon
 * @time_ns: CLOCK_REALTIME, when it was taken
 * @parent: that file's name, in the same folder; "" for a full one
 */
struct rk_snapshot_file {
	uint32_t version;
	uint32_t sections;
	uint32_t actors;
	uint32_t links;
	uint32_t chain;
	uint64_t bytes;
	uint64_t id;
	uint64_t parent_id;
	uint64_t time_ns;
	char parent[48];
};

/**
 * struct rk_snapshot_section - one section of a file, whose checksum holds
 * @kind: "actor", "state", "pages", "link" or "messages"
 * @index: of the actor or link
 * @offset: in the file
 * @stored_bytes: in the file, without the section's head
 * @bytes: unpacked
 * @sum: checksum of its head and what is stored
 * @packed: by zstd
 */
struct rk_snapshot_section {
	const char *kind;
	uint32_t index;
	uint64_t offset;
	uint64_t stored_bytes;
	uint64_t bytes;
	uint64_t sum;
	bool packed;
};

/**
 * struct rk_snapshot_store_opts - zero is the default
 * @size: sizeof(struct rk_snapshot_store_opts)
 * @chain: files that may build upon a full one, at most RK_SNAPSHOT_MAX_CHAIN; 0: each is full
 * @keep: full ones that are kept, with those that build upon them; 0: all
 * @pack: level of zstd, 1 to 19; 0: not packed
 * @plain: do without io_uring
 */
struct rk_snapshot_store_opts {
	size_t size;
	uint32_t chain;
	uint32_t keep;
	int pack;
	bool plain;
};

struct rk_snapshot_store;

RK_BEGIN_DECLS

/**
 * rk_snapshot_free() - free a snapshot and all in it
 * @snapshot: every pointer in it from malloc(3); or NULL
 *
 * Context: any thread.
 */
RK_API void rk_snapshot_free(struct rk_snapshot *snapshot);

/**
 * rk_snapshot_store_open() - become the one who writes snapshots into a folder
 * @store: out
 * @folder: there already
 * @opts: NULL for the default
 *
 * What an earlier writer left unfinished is removed. The first snapshot put is a full one.
 *
 * Context: any thread; sleeps.
 * Owner: rk_snapshot_store_close() frees @store.
 * Return: 0; -EBUSY when another store has the folder open; -EINVAL for options out of bounds;
 * -EOPNOTSUPP built without libxxhash, or with @pack without libzstd; -ENOMEM; the errno of
 * open(2); said in rk_errmsg().
 */
RK_API int rk_snapshot_store_open(struct rk_snapshot_store **store, const char *folder,
				  const struct rk_snapshot_store_opts *opts);

/**
 * rk_snapshot_store_put() - write a snapshot to a new file
 * @store: open
 * @snapshot: what to write; @snapshot->id and @snapshot->parent_id are set
 *
 * When this returns the file is durable; then what is not to be kept is deleted, those that build
 * upon others first. After a failure the files are as they were.
 *
 * Context: any thread but a worker's, one at a time; sleeps.
 * Return: 0; -EINVAL for a snapshot that no file holds; -ENOMEM; the errno of writing (-ENOSPC,
 * -EFBIG, -EDQUOT, -EIO); said in rk_errmsg().
 */
RK_API int rk_snapshot_store_put(struct rk_snapshot_store *store, struct rk_snapshot *snapshot);

/**
 * rk_snapshot_store_path() - the file that was written last
 * @store: open
 *
 * Context: as rk_snapshot_store_put().
 * Return: its path, valid until the next put; "" before the first.
 */
RK_API const char *rk_snapshot_store_path(const struct rk_snapshot_store *store);

/**
 * rk_snapshot_store_close() - give the folder back
 * @store: or NULL
 *
 * Context: any thread, when no other uses @store; sleeps.
 */
RK_API void rk_snapshot_store_close(struct rk_snapshot_store *store);

/**
 * rk_snapshot_read() - read a snapshot, with the files that it builds upon
 * @snapshot: out
 * @path: of the file; those that it builds upon lie in the same folder
 *
 * Context: any thread; sleeps.
 * Owner: rk_snapshot_free() frees @snapshot.
 * Return: 0; -EBADMSG for a file that is torn or damaged, with the section and the offset; -EPROTO
 * for one of another version or byte order, or a parent that is not the one it was; -ENOENT, also
 * of a parent; -EOPNOTSUPP built without the library; -ENOMEM; the errno of open(2) or read(2);
 * said in rk_errmsg().
 */
RK_API int rk_snapshot_read(struct rk_snapshot **snapshot, const char *path);

/**
 * rk_snapshot_newest() - read the newest snapshot of a folder that is whole
 * @snapshot: out
 * @folder: of a store, open or not
 *
 * Context: any thread; sleeps.
 * Owner: rk_snapshot_free() frees @snapshot.
 * Return: 0; -ENOENT when the folder has none; what rk_snapshot_read() said of the newest when none
 * is whole; said in rk_errmsg().
 */
RK_API int rk_snapshot_newest(struct rk_snapshot **snapshot, const char *folder);

/**
 * rk_snapshot_inspect() - check one file, section by section
 * @path: of the file; those that it builds upon are not looked at
 * @file: out: what its head says
 * @section: called for each section whose checksum holds, in order; may be NULL
 * @argument: first argument of @section
 *
 * Context: any thread; sleeps.
 * Return: 0; as rk_snapshot_read(), of the first section that is not whole.
 */
RK_API int rk_snapshot_inspect(const char *path, struct rk_snapshot_file *file,
			       void (*section)(void *argument,
					       const struct rk_snapshot_section *section),
			       void *argument);

RK_END_DECLS

#endif
