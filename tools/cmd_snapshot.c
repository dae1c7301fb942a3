// SPDX-License-Identifier: MIT
/* `ringkernel snapshot`: what is in a snapshot file, and whether it and what it builds upon are
 * whole. */
#include "config.h"
#include "snapshot/rk_snapshot.h"
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if RK_HAVE_JANSSON
#include <jansson.h>
#endif

/* The file, and the snapshot with the files that it builds upon. */
struct seen {
	const char *path;
	struct rk_snapshot_file file;
	struct rk_snapshot_section *section; /* those that are whole */
	unsigned int sections;
	struct rk_snapshot *snapshot; /* NULL: not whole */
	char error[512];
};

static void keep_section(void *argument, const struct rk_snapshot_section *section)
{
	struct seen *seen = argument;
	struct rk_snapshot_section *more =
		realloc(seen->section, (seen->sections + 1) * sizeof(*more));

	if (!more)
		return;
	seen->section = more;
	more[seen->sections++] = *section;
}

/* 0, or -errno, said and kept. */
static int look(struct seen *seen, const char *path)
{
	int result;

	*seen = (struct seen){.path = path};
	result = rk_snapshot_inspect(path, &seen->file, keep_section, seen);
	if (!result)
		result = rk_snapshot_read(&seen->snapshot, path);
	if (result)
		snprintf(seen->error, sizeof(seen->error), "%s", rk_errmsg());
	return result;
}

/* --- As text --- */

static void print_file(const struct seen *seen)
{
	const struct rk_snapshot_file *file = &seen->file;
	time_t seconds = (time_t)(file->time_ns / 1000000000);
	char when[64] = "";
	struct tm parts;

	if (gmtime_r(&seconds, &parts))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
	printf("%s: version %u, taken %s.%03u UTC, id %016" PRIx64 "\n", seen->path, file->version,
	       when, (unsigned int)(file->time_ns / 1000000 % 1000), file->id);
	if (file->chain)
		printf("  builds upon %s, id %016" PRIx64 ", %u files in all\n", file->parent,
		       file->parent_id, file->chain + 1);
	printf("  %" PRIu64 " bytes, %u sections, %u actors, %u links\n", file->bytes,
	       file->sections, file->actors, file->links);
}

static void print_sections(const struct seen *seen)
{
	printf("  %-7s %12s  %-10s %5s %12s %12s  %s\n", "section", "offset", "kind", "of",
	       "stored", "bytes", "checksum");
	for (unsigned int i = 0; i < seen->sections; i++) {
		const struct rk_snapshot_section *section = &seen->section[i];

		printf("  %-7u %12" PRIu64 "  %-10s %5u %12" PRIu64 " %12" PRIu64 "  %016" PRIx64
		       " holds%s\n",
		       i, section->offset, section->kind, section->index, section->stored_bytes,
		       section->bytes, section->sum, section->packed ? ", zstd" : "");
	}
}

static const char *name_of(const struct rk_snapshot *snapshot, uint32_t actor)
{
	return actor == RK_SNAPSHOT_OUTSIDE ? "outside" : snapshot->actor[actor].name;
}

static void print_snapshot(const struct rk_snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->actors; i++)
		printf("  actor %u: '%s', of type '%s', %u bytes of state\n", i,
		       snapshot->actor[i].name, snapshot->actor[i].type,
		       snapshot->actor[i].state_bytes);
	for (uint32_t i = 0; i < snapshot->links; i++) {
		const struct rk_snapshot_link *link = &snapshot->link[i];

		printf("  link %u: %s -> %s, %" PRIu64 " slots, sent %" PRIu64 ", received %" PRIu64
		       ", in flight %u slots\n",
		       i, name_of(snapshot, link->from), name_of(snapshot, link->to), link->slots,
		       link->sent, link->received, link->count);
	}
}

static void print(const struct seen *seen)
{
	if (!seen->file.version)
		return;
	print_file(seen);
	print_sections(seen);
	if (seen->snapshot)
		print_snapshot(seen->snapshot);
}

/* --- As JSON --- */

#if RK_HAVE_JANSSON

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Of 64 bits, which are more than all readers of JSON keep in a number. */
static json_t *hex(uint64_t value)
{
	return json_sprintf("%016" PRIx64, value);
}

static json_t *sections_json(const struct seen *seen)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < seen->sections; i++) {
		const struct rk_snapshot_section *section = &seen->section[i];

		json_array_append_new(all, json_pack("{s:s,s:i,s:o,s:o,s:o,s:o,s:b}", "kind",
						     section->kind, "of", (int)section->index,
						     "offset", number(section->offset),
						     "stored_bytes", number(section->stored_bytes),
						     "bytes", number(section->bytes), "checksum",
						     hex(section->sum), "packed", section->packed));
	}
	return all;
}

static json_t *actors_json(const struct rk_snapshot *snapshot)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < snapshot->actors; i++)
		json_array_append_new(all,
				      json_pack("{s:s,s:s,s:o}", "name", snapshot->actor[i].name,
						"type", snapshot->actor[i].type, "state_bytes",
						number(snapshot->actor[i].state_bytes)));
	return all;
}

/* null for the outside. */
static json_t *end_json(uint32_t actor)
{
	return actor == RK_SNAPSHOT_OUTSIDE ? json_null() : number(actor);
}

static json_t *links_json(const struct rk_snapshot *snapshot)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < snapshot->links; i++) {
		const struct rk_snapshot_link *link = &snapshot->link[i];

		json_array_append_new(
			all,
			json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name", link->name,
				  "from", end_json(link->from), "to", end_json(link->to), "outbox",
				  number(link->outbox), "inbox", number(link->inbox), "slots",
				  number(link->slots), "sent", number(link->sent), "received",
				  number(link->received), "in_flight_slots", number(link->count)));
	}
	return all;
}

static void print_json(const struct seen *seen)
{
	const struct rk_snapshot_file *file = &seen->file;
	json_t *all =
		json_pack("{s:s,s:b,s:s,s:i,s:o,s:o,s:s,s:o,s:o,s:o}", "file", seen->path, "whole",
			  seen->snapshot != NULL, "error", seen->error, "version",
			  (int)file->version, "time_ns", number(file->time_ns), "id", hex(file->id),
			  "parent", file->parent, "parent_id", hex(file->parent_id), "chain",
			  number(file->chain), "bytes", number(file->bytes));

	json_object_set_new(all, "sections", sections_json(seen));
	if (seen->snapshot) {
		json_object_set_new(all, "actors", actors_json(seen->snapshot));
		json_object_set_new(all, "links", links_json(seen->snapshot));
	}
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(all);
}

#else

/* Never reached: main() refuses -j in a build without jansson. */
static void print_json(const struct seen *seen)
{
	print(seen);
}

#endif

static int run(const struct tool *tool, int count, char **words)
{
	struct seen seen;
	int result;

	if (count != 1) {
		tool_unknown(count ? words[1] : NULL, count ? "the end" : "FILE");
		return tool_fail("snapshot", TOOL_MISUSED);
	}
	result = look(&seen, words[0]);
	if (tool->json)
		print_json(&seen);
	else
		print(&seen);
	rk_snapshot_free(seen.snapshot);
	free(seen.section);
	if (!result)
		return TOOL_OK;
	rk_fail(-result, "%s", seen.error);
	return tool_fail("snapshot", TOOL_FAILED);
}

const struct tool_command cmd_snapshot = {
	.name = "snapshot",
	.summary = "what is in a snapshot of actors, and whether it is whole",
	.help = "snapshot FILE\n"
		"\n"
		"Prints the sections of FILE as far as their checksums hold, then its actors and\n"
		"links, for which the files that it builds upon must be whole too.\n",
	.run = run,
};
