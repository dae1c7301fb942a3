/* SPDX-License-Identifier: MIT */
/* snapshot_aid.h - snapshots made by chance, compared, and folders for them. */
#ifndef SNAPSHOT_AID_H
#define SNAPSHOT_AID_H

#include "ring_aid.h"
#include "snapshot/rk_snapshot.h"

#include <dirent.h>
#include <stdio.h>

#define SNAPSHOT_FOLDER_BYTES 64

/* A fresh folder; its name in @path. */
AID const char *aid_folder(char path[SNAPSHOT_FOLDER_BYTES])
{
	snprintf(path, SNAPSHOT_FOLDER_BYTES, "/tmp/rk-snapshot-XXXXXX");
	if (!mkdtemp(path))
		abort();
	return path;
}

AID int aid_count_files(const char *path)
{
	DIR *entries = opendir(path);
	struct dirent *entry;
	int count = 0;

	while (entries && (entry = readdir(entries)))
		count += entry->d_name[0] != '.';
	if (entries)
		closedir(entries);
	return count;
}

AID void aid_remove_folder(const char *path)
{
	DIR *entries = opendir(path);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(entries), entry->d_name, 0);
	if (entries)
		closedir(entries);
	rmdir(path);
}

AID void aid_scatter(void *to, size_t bytes, uint64_t *random)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] = (uint8_t)aid_random(random);
}

AID void aid_make_cells(struct rk_snapshot_link *link, uint64_t *random)
{
	uint32_t most = (uint32_t)aid_below(random, 12);

	link->cells = malloc((most + 4) * sizeof(*link->cells));
	aid_scatter(link->cells, (most + 4) * sizeof(*link->cells), random);
	while (link->count < most) {
		struct rk_msg *msg = &link->cells[link->count];

		msg->type = (uint16_t)(RK_MSG_USER + aid_below(random, 100));
		msg->flags = (uint8_t)aid_below(random, RK_MSG_F_ALL + 1);
		msg->slots = (uint8_t)(1 + aid_below(random, 4));
		link->count += msg->slots;
	}
}

/* Up to four actors with up to five pages each, and links among them and to the outside. */
AID struct rk_snapshot *aid_make_snapshot(uint64_t *random, uint32_t most_bytes)
{
	struct rk_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	char name[32];

	snapshot->time_ns = aid_random(random);
	snapshot->actors = (uint32_t)aid_below(random, 5);
	snapshot->links = snapshot->actors ? (uint32_t)aid_below(random, 6) : 0;
	snapshot->actor = calloc(snapshot->actors + 1, sizeof(*snapshot->actor));
	snapshot->link = calloc(snapshot->links + 1, sizeof(*snapshot->link));
	for (uint32_t i = 0; i < snapshot->actors; i++) {
		struct rk_snapshot_actor *actor = &snapshot->actor[i];

		snprintf(name, sizeof(name), "actor-%u", i);
		actor->name = strdup(name);
		actor->type = strdup(i & 1 ? "" : "relay");
		actor->arg_count = (uint32_t)aid_below(random, 4);
		actor->args = calloc(actor->arg_count + 1, sizeof(uint64_t));
		aid_scatter(actor->args, actor->arg_count * sizeof(uint64_t), random);
		actor->state_bytes = (uint32_t)aid_below(random, most_bytes);
		actor->state = calloc(1, actor->state_bytes + 1);
		aid_scatter(actor->state, actor->state_bytes / 2, random);
	}
	for (uint32_t i = 0; i < snapshot->links; i++) {
		struct rk_snapshot_link *link = &snapshot->link[i];

		*link = (struct rk_snapshot_link){
			.from = aid_below(random, 2) ? (uint32_t)aid_below(random, snapshot->actors)
						     : RK_SNAPSHOT_OUTSIDE,
			.to = (uint32_t)aid_below(random, snapshot->actors),
			.outbox = (uint32_t)aid_below(random, 4),
			.inbox = (uint32_t)aid_below(random, 4),
			.slots = 2ULL << aid_below(random, 10),
			.sent = aid_random(random),
			.received = aid_random(random)};
		snprintf(name, sizeof(name), "link-%u", i);
		link->name = strdup(name);
		aid_make_cells(link, random);
	}
	return snapshot;
}

AID bool aid_same_actor(const struct rk_snapshot_actor *a, const struct rk_snapshot_actor *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->type, b->type) &&
	       a->arg_count == b->arg_count && a->state_bytes == b->state_bytes &&
	       !memcmp(a->args, b->args, a->arg_count * sizeof(uint64_t)) &&
	       !memcmp(a->state, b->state, a->state_bytes);
}

AID bool aid_same_link(const struct rk_snapshot_link *a, const struct rk_snapshot_link *b)
{
	return !strcmp(a->name, b->name) && a->from == b->from && a->to == b->to &&
	       a->outbox == b->outbox && a->inbox == b->inbox && a->slots == b->slots &&
	       a->sent == b->sent && a->received == b->received && a->count == b->count &&
	       !memcmp(a->cells, b->cells, (size_t)a->count * RK_CELL_BYTES);
}

AID bool aid_same_snapshot(const struct rk_snapshot *a, const struct rk_snapshot *b)
{
	bool same = a->id == b->id && a->parent_id == b->parent_id && a->time_ns == b->time_ns &&
		    a->actors == b->actors && a->links == b->links;

	for (uint32_t i = 0; same && i < a->actors; i++)
		same = aid_same_actor(&a->actor[i], &b->actor[i]);
	for (uint32_t i = 0; same && i < a->links; i++)
		same = aid_same_link(&a->link[i], &b->link[i]);
	return same;
}

#endif
