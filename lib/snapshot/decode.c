// SPDX-License-Identifier: MIT
/* The bytes of a file as a snapshot: each is checked before it is believed. */
#include "snapshot/format.h"
#include "rk_error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What zstd makes of zeros, and then some: a section that claims more is no section. */
#define MOST_PACKED 100000

const char *snapshot_kind_name(uint32_t kind)
{
	static const char *const names[] = {"unknown", "actor", "state",
					    "pages",   "link",	"messages"};

	return names[kind <= SNAPSHOT_CELLS ? kind : 0];
}

/* --- The head --- */

int snapshot_reader_open(struct snapshot_reader *reader, const char *path, const void *bytes,
			 uint64_t size)
{
	struct snapshot_head *head = &reader->head;

	*reader = (struct snapshot_reader){
		.path = path, .bytes = bytes, .size = size, .offset = sizeof(*head)};
	if (snapshot_supported())
		return -EOPNOTSUPP;
	if (size < sizeof(*head))
		return rk_fail(EBADMSG,
			       "snapshot '%s': head at offset 0: the file ends after %" PRIu64
			       " of its %zu bytes: use an earlier one",
			       path, size, sizeof(*head));
	memcpy(head, bytes, sizeof(*head));
	if (head->magic != SNAPSHOT_MAGIC)
		return rk_fail(EBADMSG, "snapshot '%s': head at offset 0: this is no snapshot",
			       path);
	if (head->endian != SNAPSHOT_ENDIAN)
		return rk_fail(EPROTO,
			       "snapshot '%s': byte order 0x%08x, this machine has 0x%08x: read it "
			       "where it was written",
			       path, head->endian, SNAPSHOT_ENDIAN);
	if (head->version != SNAPSHOT_VERSION)
		return rk_fail(EPROTO,
			       "snapshot '%s': version %u, this library reads %u: use the library "
			       "that wrote it",
			       path, head->version, SNAPSHOT_VERSION);
	if (head->sum != snapshot_head_sum(head) || head->head_bytes != sizeof(*head) ||
	    head->zero || head->chain > RK_SNAPSHOT_MAX_CHAIN || !head->id ||
	    !head->chain != !head->parent_id || !head->chain != !head->parent[0] ||
	    head->parent[sizeof(head->parent) - 1] || strchr(head->parent, '/') ||
	    head->sections != 2 * ((uint64_t)head->actors + head->links))
		return rk_fail(EBADMSG,
			       "snapshot '%s': head at offset 0: damaged, its checksum does not "
			       "hold: use an earlier one",
			       path);
	if (size != head->file_bytes)
		return rk_fail(EBADMSG,
			       "snapshot '%s': %" PRIu64 " bytes at offset %" PRIu64 ", where it "
			       "should have %" PRIu64 " in all: torn: use an earlier one",
			       path, size, size < head->file_bytes ? size : head->file_bytes,
			       head->file_bytes);
	return 0;
}

/* --- Sections --- */

/* What section @number is about; its kind, but for STATE or PAGES. */
static uint32_t expected(const struct snapshot_head *head, uint32_t number, uint32_t *index)
{
	bool of_actor = number < 2 * head->actors;

	*index = (of_actor ? number : number - 2 * head->actors) / 2;
	if (of_actor)
		return !(number & 1) ? SNAPSHOT_ACTOR
		       : head->chain ? SNAPSHOT_PAGES
				     : SNAPSHOT_STATE;
	return number & 1 ? SNAPSHOT_CELLS : SNAPSHOT_LINK;
}

static int damaged(const struct snapshot_reader *reader, uint32_t number, uint64_t offset,
		   const char *how)
{
	uint32_t index, kind = expected(&reader->head, number, &index);

	return rk_fail(EBADMSG,
		       "snapshot '%s': section %u (%s of %s %u) at offset %" PRIu64
		       ": %s: use an earlier one",
		       reader->path, number, snapshot_kind_name(kind),
		       number < 2 * reader->head.actors ? "actor" : "link", index, offset, how);
}

static bool padding_is_zero(const uint8_t *at, uint64_t bytes)
{
	for (uint64_t i = bytes; i < snapshot_padded(bytes); i++)
		if (at[i])
			return false;
	return true;
}

/* Sizes that fit the file and each other. */
static bool is_sound(const struct snapshot_section *head, uint64_t left)
{
	if (head->stored_bytes > left || snapshot_padded(head->stored_bytes) > left || head->zero)
		return false;
	if (head->packing == SNAPSHOT_PLAIN)
		return head->bytes == head->stored_bytes;
	return head->packing == SNAPSHOT_ZSTD && head->bytes / MOST_PACKED <= head->stored_bytes;
}

int snapshot_next(struct snapshot_reader *reader, struct snapshot_part *part)
{
	uint64_t offset = reader->offset, left = reader->size - offset;
	uint32_t number = reader->number, index;

	if (number == reader->head.sections)
		return left ? rk_fail(EBADMSG,
				      "snapshot '%s': %" PRIu64 " bytes behind the last section at "
				      "offset %" PRIu64 ": use an earlier one",
				      reader->path, left, offset)
			    : -ENODATA;
	part->offset = offset;
	if (left < sizeof(part->head))
		return damaged(reader, number, offset, "cut off");
	memcpy(&part->head, reader->bytes + offset, sizeof(part->head));
	part->stored = reader->bytes + offset + sizeof(part->head);
	if (!is_sound(&part->head, left - sizeof(part->head)))
		return damaged(reader, number, offset, "damaged, its sizes make no sense");
	if (part->head.sum !=
		    snapshot_section_sum(&part->head, part->stored, reader->head.id, offset) ||
	    !padding_is_zero(part->stored, part->head.stored_bytes))
		return damaged(reader, number, offset, "damaged, its checksum does not hold");
	if (part->head.kind != expected(&reader->head, number, &index) || part->head.index != index)
		return damaged(reader, number, offset, "another section is in its place");
	reader->offset += sizeof(part->head) + snapshot_padded(part->head.stored_bytes);
	reader->number++;
	return 0;
}

/* The next section's bytes, unpacked, in memory of its own, a zero behind them. */
static int take(struct snapshot_reader *reader, uint8_t **bytes, uint64_t *count)
{
	struct snapshot_part part;
	int result = snapshot_next(reader, &part);

	*bytes = NULL;
	if (result)
		return result;
	*count = part.head.bytes;
	*bytes = malloc(part.head.bytes + 1);
	if (!*bytes)
		return rk_fail(ENOMEM, "snapshot '%s': no memory for %" PRIu64 " bytes",
			       reader->path, part.head.bytes);
	(*bytes)[*count] = 0;
	if (part.head.packing == SNAPSHOT_PLAIN) {
		memcpy(*bytes, part.stored, *count);
		return 0;
	}
	if (!snapshot_pack_room(1))
		return rk_fail(EOPNOTSUPP,
			       "snapshot '%s': packed by zstd, and this library was built without: "
			       "apt-get install libzstd-dev, then make",
			       reader->path);
	if (!snapshot_unpack(*bytes, *count, part.stored, part.head.stored_bytes))
		return damaged(reader, reader->number - 1, part.offset, "does not unpack");
	return 0;
}

/* The section that was taken last makes no sense although its checksum holds. */
static int nonsense(const struct snapshot_reader *reader)
{
	return damaged(reader, reader->number - 1, reader->offset,
		       "ends before this, makes no sense");
}

/* --- Actors --- */

static char *text(const uint8_t *at, uint32_t bytes)
{
	return strndup((const char *)at, bytes);
}

/* Take a section that begins with @front. */
static int take_front(struct snapshot_reader *reader, void *front, size_t front_bytes,
		      uint8_t **bytes, uint64_t *count)
{
	int result = take(reader, bytes, count);

	if (!result && *count < front_bytes)
		result = nonsense(reader);
	if (!result)
		memcpy(front, *bytes, front_bytes);
	return result;
}

static int read_actor(struct snapshot_reader *reader, struct rk_snapshot_actor *actor)
{
	struct snapshot_actor front;
	uint64_t count = 0;
	uint8_t *bytes;
	int result = take_front(reader, &front, sizeof(front), &bytes, &count);

	if (!result &&
	    (front.name_bytes > SNAPSHOT_TEXT_BYTES || front.type_bytes > SNAPSHOT_TEXT_BYTES ||
	     front.args > SNAPSHOT_MAX_ARGS || front.state_bytes > RK_SNAPSHOT_MAX_STATE ||
	     count != sizeof(front) + front.name_bytes + front.type_bytes +
			      front.args * sizeof(uint64_t)))
		result = nonsense(reader);
	if (!result) {
		const uint8_t *at = bytes + sizeof(front);

		actor->name = text(at, front.name_bytes);
		actor->type = text(at + front.name_bytes, front.type_bytes);
		actor->args = calloc(front.args + 1, sizeof(uint64_t));
		actor->arg_count = front.args;
		actor->state_bytes = front.state_bytes;
		if (!actor->name || !actor->type || !actor->args)
			result = rk_fail(ENOMEM, "snapshot '%s': no memory", reader->path);
		else
			memcpy(actor->args, at + front.name_bytes + front.type_bytes,
			       front.args * sizeof(uint64_t));
	}
	free(bytes);
	return result;
}

/* Lay the pages of a section over @state; false if they do not fit. */
static bool overlay(const struct rk_snapshot_actor *actor, const uint8_t *bytes, uint64_t count)
{
	uint32_t pages, index;
	uint64_t at;

	if (count < sizeof(pages))
		return false;
	memcpy(&pages, bytes, sizeof(pages));
	at = sizeof(pages) * (1 + (uint64_t)pages);
	if (at > count)
		return false;
	for (uint32_t i = 0, next = 0; i < pages; i++, next = index + 1) {
		uint64_t to, more;

		memcpy(&index, bytes + sizeof(index) * (1 + (uint64_t)i), sizeof(index));
		to = (uint64_t)index * SNAPSHOT_PAGE_BYTES;
		if (index < next || to >= actor->state_bytes)
			return false;
		more = actor->state_bytes - to;
		more = more < SNAPSHOT_PAGE_BYTES ? more : SNAPSHOT_PAGE_BYTES;
		if (more > count - at)
			return false;
		memcpy((uint8_t *)actor->state + to, bytes + at, more);
		at += more;
	}
	return at == count;
}

static int read_state(struct snapshot_reader *reader, struct rk_snapshot_actor *actor,
		      struct rk_snapshot_actor *before)
{
	uint64_t count = 0;
	uint8_t *bytes;
	int result = take(reader, &bytes, &count);

	if (!result && !before) {
		if (count != actor->state_bytes) {
			result = nonsense(reader);
		} else {
			actor->state = bytes;
			bytes = NULL;
		}
	} else if (!result) {
		actor->state = before->state;
		before->state = NULL;
		if (!overlay(actor, bytes, count))
			result = nonsense(reader);
	}
	free(bytes);
	return result;
}

/* --- Links --- */

static bool is_end(const struct snapshot_head *head, uint32_t actor)
{
	return actor < head->actors || actor == RK_SNAPSHOT_OUTSIDE;
}

static int read_link(struct snapshot_reader *reader, struct rk_snapshot_link *link)
{
	struct snapshot_link front;
	uint64_t count = 0;
	uint8_t *bytes;
	int result = take_front(reader, &front, sizeof(front), &bytes, &count);

	if (!result && (front.name_bytes > SNAPSHOT_TEXT_BYTES ||
			count != sizeof(front) + front.name_bytes ||
			!is_end(&reader->head, front.from) || !is_end(&reader->head, front.to)))
		result = nonsense(reader);
	if (!result) {
		*link = (struct rk_snapshot_link){
			.from = front.from,
			.to = front.to,
			.outbox = front.outbox,
			.inbox = front.inbox,
			.slots = front.slots,
			.sent = front.sent,
			.received = front.received,
			.count = front.cells,
			.name = text(bytes + sizeof(front), front.name_bytes)};
		if (!link->name)
			result = rk_fail(ENOMEM, "snapshot '%s': no memory", reader->path);
	}
	free(bytes);
	return result;
}

/* Whole messages of users' types, such as an actor sends. */
static bool are_messages(const struct rk_snapshot_link *link)
{
	uint32_t at = 0;

	while (at < link->count) {
		const struct rk_msg *msg = &link->cells[at];

		if (!msg->slots || msg->slots > link->count - at || msg->flags & ~RK_MSG_F_ALL ||
		    msg->type < RK_MSG_PACKET)
			return false;
		at += msg->slots;
	}
	return true;
}

static int read_cells(struct snapshot_reader *reader, struct rk_snapshot_link *link)
{
	uint64_t count = 0;
	uint8_t *bytes;
	int result = take(reader, &bytes, &count);

	link->cells = (struct rk_msg *)bytes;
	if (!result && (count != (uint64_t)link->count * RK_CELL_BYTES || !are_messages(link)))
		result = nonsense(reader);
	return result;
}

/* --- All of it --- */

/* Room for @count entries, of which each takes two sections of the file. */
static void *room_for(const struct snapshot_reader *reader, uint32_t count, size_t bytes)
{
	if (count > reader->size / (2 * sizeof(struct snapshot_section)))
		return NULL;
	return calloc(count + 1, bytes);
}

static int read_all(struct snapshot_reader *reader, struct rk_snapshot *snapshot,
		    struct rk_snapshot *parent)
{
	struct snapshot_part none;
	int result = 0;

	for (uint32_t i = 0; !result && i < snapshot->actors; i++) {
		struct rk_snapshot_actor *actor = &snapshot->actor[i];

		result = read_actor(reader, actor);
		if (!result && parent && actor->state_bytes != parent->actor[i].state_bytes)
			result = nonsense(reader);
		if (!result)
			result = read_state(reader, actor, parent ? &parent->actor[i] : NULL);
	}
	for (uint32_t i = 0; !result && i < snapshot->links; i++) {
		result = read_link(reader, &snapshot->link[i]);
		if (!result)
			result = read_cells(reader, &snapshot->link[i]);
	}
	if (!result)
		result = snapshot_next(reader, &none);
	return result == -ENODATA ? 0 : result;
}

int snapshot_decode(struct rk_snapshot **out, struct snapshot_reader *reader,
		    struct rk_snapshot *parent)
{
	const struct snapshot_head *head = &reader->head;
	struct rk_snapshot *snapshot;
	int result;

	if (head->parent_id &&
	    (!parent || parent->id != head->parent_id || parent->actors != head->actors))
		return rk_fail(EPROTO,
			       "snapshot '%s': it builds upon '%s' of id %016" PRIx64
			       ", and that is not the one there: use an earlier one",
			       reader->path, head->parent, head->parent_id);
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot)
		return rk_fail(ENOMEM, "snapshot '%s': no memory", reader->path);
	*snapshot = (struct rk_snapshot){
		.id = head->id,
		.parent_id = head->parent_id,
		.time_ns = head->time_ns,
		.actor = room_for(reader, head->actors, sizeof(*snapshot->actor)),
		.link = room_for(reader, head->links, sizeof(*snapshot->link))};
	if (snapshot->actor && snapshot->link) {
		snapshot->actors = head->actors;
		snapshot->links = head->links;
		result = read_all(reader, snapshot, head->parent_id ? parent : NULL);
	} else {
		result = rk_fail(
			EBADMSG,
			"snapshot '%s': head at offset 0: %u actors and %u links do not fit "
			"a file of %" PRIu64 " bytes: use an earlier one",
			reader->path, head->actors, head->links, reader->size);
	}
	if (result)
		rk_snapshot_free(snapshot);
	else
		*out = snapshot;
	return result;
}
