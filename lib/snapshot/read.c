// SPDX-License-Identifier: MIT
/* Reading files, and the chains that they form. */
#include "snapshot/format.h"
#include "rk_error.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void rk_snapshot_free(struct rk_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (uint32_t i = 0; i < snapshot->actors; i++) {
		free(snapshot->actor[i].name);
		free(snapshot->actor[i].type);
		free(snapshot->actor[i].args);
		free(snapshot->actor[i].state);
	}
	for (uint32_t i = 0; i < snapshot->links; i++) {
		free(snapshot->link[i].name);
		free(snapshot->link[i].cells);
	}
	free(snapshot->actor);
	free(snapshot->link);
	free(snapshot);
}

/* --- One file --- */

static int read_whole(struct snapshot_bytes *bytes, int fd, const char *path)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return rk_fail(errno, "snapshot '%s': fstat: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return rk_fail(EINVAL, "snapshot '%s': not a file: name one", path);
	bytes->room = (size_t)stat.st_size;
	bytes->at = malloc(bytes->room + 1);
	if (!bytes->at)
		return rk_fail(ENOMEM, "snapshot '%s': no memory for %zu bytes", path, bytes->room);
	while (bytes->used < bytes->room) {
		ssize_t got = read(fd, bytes->at + bytes->used, bytes->room - bytes->used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return rk_fail(errno, "snapshot '%s': read at offset %zu: %s", path,
				       bytes->used, strerror(errno));
		if (!got)
			break; /* somebody cuts it; the head will not agree */
		bytes->used += (size_t)got;
	}
	return 0;
}

int snapshot_load(struct snapshot_bytes *bytes, int folder, const char *name, const char *path)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC), result;

	*bytes = (struct snapshot_bytes){0};
	if (fd < 0)
		return rk_fail(errno, "snapshot '%s': open: %s", path, strerror(errno));
	result = read_whole(bytes, fd, path);
	close(fd);
	return result;
}

/* --- A file and those it builds upon --- */

/* @below: the file is to build upon fewer others than this. */
static int read_chain(struct rk_snapshot **snapshot, int folder, const char *name, const char *path,
		      uint32_t below)
{
	struct rk_snapshot *parent = NULL;
	struct snapshot_reader reader;
	struct snapshot_bytes bytes;
	int result = snapshot_load(&bytes, folder, name, path);

	if (!result)
		result = snapshot_reader_open(&reader, path, bytes.at, bytes.used);
	if (!result && reader.head.chain >= below)
		result = rk_fail(EPROTO, "snapshot '%s': it cannot be what another builds upon",
				 path);
	/* Each builds upon fewer than the one before, so this ends. */
	if (!result && reader.head.chain) {
		result = read_chain(&parent, folder, reader.head.parent, reader.head.parent,
				    reader.head.chain);
		if (result)
			rk_fail_within(result, "snapshot '%s': it builds upon another", path);
	}
	if (!result)
		result = snapshot_decode(snapshot, &reader, parent);
	rk_snapshot_free(parent);
	free(bytes.at);
	return result;
}

/* Open the folder that @path lies in; @name: the rest. */
static int open_folder_of(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";
	int fd;

	*name = slash ? slash + 1 : path;
	if (slash && (size_t)(slash - path) >= sizeof(folder))
		return rk_fail(ENAMETOOLONG, "snapshot '%s': the path is too long", path);
	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? rk_fail(errno, "snapshot '%s': open '%s': %s", path, folder,
				strerror(errno))
		      : fd;
}

int rk_snapshot_read(struct rk_snapshot **snapshot, const char *path)
{
	const char *name;
	int folder = open_folder_of(path, &name), result;

	if (folder < 0)
		return folder;
	result = read_chain(snapshot, folder, name, path, RK_SNAPSHOT_MAX_CHAIN + 1);
	close(folder);
	return result;
}

/* The highest number below @below; 0: none. */
static uint64_t highest(DIR *folder, uint64_t below)
{
	struct dirent *entry;
	uint64_t found = 0;

	rewinddir(folder);
	while ((entry = readdir(folder))) {
		uint64_t number = snapshot_number(entry->d_name);

		if (number > found && number < below)
			found = number;
	}
	return found;
}

int rk_snapshot_newest(struct rk_snapshot **snapshot, const char *folder)
{
	DIR *entries = opendir(folder);
	uint64_t number = UINT64_MAX;
	int result = -ENOENT, first = 0;
	char first_text[512] = "";

	if (!entries)
		return rk_fail(errno, "snapshots '%s': open: %s", folder, strerror(errno));
	while (result && (number = highest(entries, number))) {
		char name[SNAPSHOT_NAME_BYTES], path[PATH_MAX];

		snprintf(name, sizeof(name), SNAPSHOT_NAME, number);
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		result =
			read_chain(snapshot, dirfd(entries), name, path, RK_SNAPSHOT_MAX_CHAIN + 1);
		if (result && !first) {
			first = result;
			snprintf(first_text, sizeof(first_text), "%s", rk_errmsg());
		}
	}
	closedir(entries);
	if (result && first)
		return rk_fail(-first, "%s", first_text);
	if (result)
		return rk_fail(ENOENT, "snapshots '%s': there is none", folder);
	return 0;
}

/* --- For people --- */

static int inspect(struct snapshot_reader *reader, struct rk_snapshot_file *file,
		   void (*tell)(void *, const struct rk_snapshot_section *), void *argument)
{
	const struct snapshot_head *head = &reader->head;
	struct snapshot_part part;
	int result;

	*file = (struct rk_snapshot_file){.version = head->version,
					  .sections = head->sections,
					  .actors = head->actors,
					  .links = head->links,
					  .chain = head->chain,
					  .bytes = head->file_bytes,
					  .id = head->id,
					  .parent_id = head->parent_id,
					  .time_ns = head->time_ns};
	memcpy(file->parent, head->parent, sizeof(file->parent));
	while (!(result = snapshot_next(reader, &part))) {
		const struct rk_snapshot_section section = {
			.kind = snapshot_kind_name(part.head.kind),
			.index = part.head.index,
			.offset = part.offset,
			.stored_bytes = part.head.stored_bytes,
			.bytes = part.head.bytes,
			.sum = part.head.sum,
			.packed = part.head.packing != SNAPSHOT_PLAIN};

		if (tell)
			tell(argument, &section);
	}
	return result == -ENODATA ? 0 : result;
}

int rk_snapshot_inspect(const char *path, struct rk_snapshot_file *file,
			void (*section)(void *, const struct rk_snapshot_section *), void *argument)
{
	struct snapshot_reader reader;
	struct snapshot_bytes bytes;
	int result = snapshot_load(&bytes, AT_FDCWD, path, path);

	if (!result)
		result = snapshot_reader_open(&reader, path, bytes.at, bytes.used);
	if (!result)
		result = inspect(&reader, file, section, argument);
	free(bytes.at);
	return result;
}
