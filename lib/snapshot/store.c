// SPDX-License-Identifier: MIT
/* A folder of snapshots: who writes it, what builds upon what, and what is kept. */
#include "snapshot/format.h"
#include "rk_error.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

struct rk_snapshot_store {
	struct rk_snapshot_store_opts opts;
	int folder; /* locked */
	char *folder_path;
	char path[PATH_MAX]; /* of the last file */
	char name[SNAPSHOT_NAME_BYTES];
	uint64_t number; /* of the last file */
	uint32_t chain;
	struct rk_snapshot *last; /* its actors alone: what the next may build upon; NULL: none */
};

uint64_t snapshot_number(const char *name)
{
	static const char front[] = "snapshot-";
	char again[SNAPSHOT_NAME_BYTES];
	uint64_t number;

	if (strncmp(name, front, sizeof(front) - 1) != 0)
		return 0;
	number = strtoull(name + sizeof(front) - 1, NULL, 10);
	snprintf(again, sizeof(again), SNAPSHOT_NAME, number);
	return strcmp(name, again) ? 0 : number;
}

/* --- Opening --- */

static bool is_unready(const char *name)
{
	size_t bytes = strlen(name), suffix = sizeof(SNAPSHOT_UNREADY) - 1;
	char ready[SNAPSHOT_NAME_BYTES];

	if (bytes <= suffix || bytes - suffix >= sizeof(ready) ||
	    strcmp(name + bytes - suffix, SNAPSHOT_UNREADY) != 0)
		return false;
	snprintf(ready, sizeof(ready), "%.*s", (int)(bytes - suffix), name);
	return snapshot_number(ready) != 0;
}

/* A stream of its own, for closedir() closes its descriptor. */
static DIR *entries_of(const struct rk_snapshot_store *store)
{
	int fd = openat(store->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	if (!entries && fd >= 0)
		close(fd);
	return entries;
}

/* Find the highest number, remove what was left unfinished. */
static int look_around(struct rk_snapshot_store *store)
{
	DIR *entries = entries_of(store);
	struct dirent *entry;

	if (!entries)
		return rk_fail(errno, "snapshots '%s': read: %s", store->folder_path,
			       strerror(errno));
	while ((entry = readdir(entries))) {
		uint64_t number = snapshot_number(entry->d_name);

		if (number > store->number)
			store->number = number;
		if (is_unready(entry->d_name))
			unlinkat(store->folder, entry->d_name, 0);
	}
	closedir(entries);
	return 0;
}

static int lock(struct rk_snapshot_store *store)
{
	store->folder = open(store->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->folder < 0)
		return rk_fail(errno, "snapshots '%s': open: %s", store->folder_path,
			       strerror(errno));
	if (flock(store->folder, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK
			       ? rk_fail(EBUSY,
					 "snapshots '%s': somebody writes them already: close that "
					 "store, or give this one a folder of its own",
					 store->folder_path)
			       : rk_fail(errno, "snapshots '%s': flock: %s", store->folder_path,
					 strerror(errno));
	return 0;
}

static int check(const char *folder, const struct rk_snapshot_store_opts *opts)
{
	int result = snapshot_supported();

	if (result)
		return result;
	if (opts->chain > RK_SNAPSHOT_MAX_CHAIN || opts->pack < 0 || opts->pack > 19)
		return rk_fail(EINVAL,
			       "snapshots '%s': chain %u, pack %d: give at most %d, and 0 to 19",
			       folder, opts->chain, opts->pack, RK_SNAPSHOT_MAX_CHAIN);
	if (opts->pack && !snapshot_pack_room(1))
		return rk_fail(EOPNOTSUPP,
			       "snapshots '%s': pack %d: built without zstd: apt-get install "
			       "libzstd-dev, then make; or pack 0",
			       folder, opts->pack);
	return 0;
}

int rk_snapshot_store_open(struct rk_snapshot_store **out, const char *folder,
			   const struct rk_snapshot_store_opts *opts)
{
	static const struct rk_snapshot_store_opts defaults = {.size = sizeof(defaults)};
	struct rk_snapshot_store *store;
	int result = check(folder, opts ? opts : &defaults);

	if (result)
		return result;
	store = calloc(1, sizeof(*store));
	if (!store)
		return rk_fail(ENOMEM, "snapshots '%s': no memory", folder);
	store->opts = opts ? *opts : defaults;
	store->folder = -1;
	store->folder_path = strdup(folder);
	if (!store->folder_path)
		result = rk_fail(ENOMEM, "snapshots '%s': no memory", folder);
	if (!result)
		result = lock(store);
	if (!result)
		result = look_around(store);
	if (result)
		rk_snapshot_store_close(store);
	else
		*out = store;
	return result;
}

void rk_snapshot_store_close(struct rk_snapshot_store *store)
{
	if (!store)
		return;
	if (store->folder >= 0)
		close(store->folder);
	rk_snapshot_free(store->last);
	free(store->folder_path);
	free(store);
}

const char *rk_snapshot_store_path(const struct rk_snapshot_store *store)
{
	return store->path;
}

/* --- What the next file builds upon --- */

/* The actors of @snapshot again; NULL without memory: then the next one is full. */
static struct rk_snapshot *copy_actors(const struct rk_snapshot *snapshot)
{
	struct rk_snapshot *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->id = snapshot->id;
	copy->actor = calloc(snapshot->actors + 1, sizeof(*copy->actor));
	if (!copy->actor)
		goto failed;
	copy->actors = snapshot->actors;
	for (uint32_t i = 0; i < copy->actors; i++) {
		const struct rk_snapshot_actor *from = &snapshot->actor[i];
		struct rk_snapshot_actor *to = &copy->actor[i];

		to->name = strdup(from->name);
		to->type = strdup(from->type);
		to->state_bytes = from->state_bytes;
		to->state = malloc(from->state_bytes + 1);
		if (!to->name || !to->type || !to->state)
			goto failed;
		memcpy(to->state, from->state, from->state_bytes);
	}
	return copy;
failed:
	rk_snapshot_free(copy);
	return NULL;
}

static void remember(struct rk_snapshot_store *store, const struct rk_snapshot *snapshot)
{
	rk_snapshot_free(store->last);
	store->last = store->opts.chain ? copy_actors(snapshot) : NULL;
}

/* --- What is kept --- */

struct found {
	uint64_t *number;
	size_t count;
};

static int downwards(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? 1 : *a > *b ? -1 : 0;
}

/* The numbers of all files, the newest first; none at all without memory. */
static struct found find_all(const struct rk_snapshot_store *store)
{
	DIR *entries = entries_of(store);
	struct found found = {0};
	struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		uint64_t number = snapshot_number(entry->d_name);
		uint64_t *more;

		if (!number)
			continue;
		more = realloc(found.number, (found.count + 1) * sizeof(*more));
		if (!more) {
			found.count = 0;
			break;
		}
		found.number = more;
		more[found.count++] = number;
	}
	if (entries)
		closedir(entries);
	if (found.count)
		qsort(found.number, found.count, sizeof(*found.number), downwards);
	return found;
}

/* Whether the file is whole and builds upon none. */
static bool is_full(const struct rk_snapshot_store *store, const char *name)
{
	struct snapshot_reader reader;
	struct snapshot_bytes bytes;
	bool full = false;

	if (!snapshot_load(&bytes, store->folder, name, name) &&
	    !snapshot_reader_open(&reader, name, bytes.at, bytes.used)) {
		struct snapshot_part part;
		int result;

		while (!(result = snapshot_next(&reader, &part)))
			;
		full = result == -ENODATA && !reader.head.chain;
	}
	free(bytes.at);
	return full;
}

/*
 * Delete all that is older than the oldest full one to be kept. The newest first: whatever is
 * left when we die in between finds what it builds upon.
 */
static void delete_old(const struct rk_snapshot_store *store)
{
	struct found found = find_all(store);
	uint32_t full = 0;

	for (size_t i = 0; i < found.count; i++) {
		char name[SNAPSHOT_NAME_BYTES];

		snprintf(name, sizeof(name), SNAPSHOT_NAME, found.number[i]);
		if (full >= store->opts.keep)
			unlinkat(store->folder, name, 0);
		else
			full += is_full(store, name);
	}
	free(found.number);
}

/* --- Putting --- */

static int new_id(uint64_t *id)
{
	do
		if (getrandom(id, sizeof(*id), 0) != sizeof(*id))
			return rk_fail(errno, "snapshot: getrandom: %s", strerror(errno));
	while (!*id);
	return 0;
}

static int put(struct rk_snapshot_store *store, const struct rk_snapshot *snapshot,
	       const struct rk_snapshot *parent, const char *name)
{
	struct snapshot_bytes bytes;
	int result = snapshot_encode(&bytes, snapshot, parent, store->name,
				     parent ? store->chain + 1 : 0, store->opts.pack);

	if (!result)
		result = snapshot_save(&bytes, store->folder, name, store->opts.plain);
	free(bytes.at);
	return result;
}

int rk_snapshot_store_put(struct rk_snapshot_store *store, struct rk_snapshot *snapshot)
{
	bool builds = store->last && store->chain < store->opts.chain &&
		      snapshot_alike(snapshot, store->last);
	const struct rk_snapshot *parent = builds ? store->last : NULL;
	char name[SNAPSHOT_NAME_BYTES];
	int result = new_id(&snapshot->id);

	if (result)
		return result;
	snapshot->parent_id = parent ? parent->id : 0;
	snprintf(name, sizeof(name), SNAPSHOT_NAME, store->number + 1);
	result = put(store, snapshot, parent, name);
	if (result)
		return rk_fail_within(result, "snapshots '%s'", store->folder_path);
	store->number++;
	store->chain = parent ? store->chain + 1 : 0;
	memcpy(store->name, name, sizeof(name));
	snprintf(store->path, sizeof(store->path), "%s/%s", store->folder_path, name);
	remember(store, snapshot);
	/* What is kept changes with a full one only. */
	if (store->opts.keep && !parent)
		delete_old(store);
	return 0;
}
