// SPDX-License-Identifier: MIT
/* The hello: what two hosts say to each other before either writes into the other's memory. */
#include "ports/remote.h"

#include <inttypes.h>
#include <string.h>

void remote_hello_init(struct remote_hello *hello, enum remote_hello_kind kind)
{
	*hello = (struct remote_hello){
		.magic = REMOTE_MAGIC,
		.version = REMOTE_VERSION,
		.bytes = sizeof(*hello),
		.kind = (uint16_t)kind,
		.slot_bytes = RK_SLOT_BYTES,
	};
}

/* Ended by a 0 within @room, of printable ASCII alone: it will be shown to people. */
static bool is_text(const char *text, size_t room)
{
	size_t bytes = strnlen(text, room);

	for (size_t i = 0; i < bytes; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return bytes < room;
}

int remote_name_check(const char *key, const char *name)
{
	char room[REMOTE_NAME_BYTES] = "";

	memcpy(room, name, strnlen(name, sizeof(room)));
	if (!is_text(room, sizeof(room)) || strpbrk(name, ","))
		return rk_fail(EINVAL, "%s=%.80s: write at most %d printable characters, no comma",
			       key, name, REMOTE_NAME_BYTES - 1);
	return 0;
}

/* Memory of the peer's that is @bytes long, aligned, and does not wrap around. */
static int check_window(const char *what, const struct remote_window *window, uint64_t bytes,
			uint64_t align)
{
	if (window->bytes != bytes)
		return rk_fail(EPROTO, "hello: %s of %" PRIu64 " bytes, not %" PRIu64, what,
			       window->bytes, bytes);
	if (!window->addr || window->addr % align || window->addr + bytes < window->addr)
		return rk_fail(EPROTO, "hello: %s at %#" PRIx64 ": no address of %" PRIu64 " bytes",
			       what, window->addr, bytes);
	return 0;
}

/* What every hello must have; first of all what tells that it is one. */
static int check_front(const struct remote_hello *hello, size_t bytes)
{
	if (bytes < offsetof(struct remote_hello, kind) || hello->magic != REMOTE_MAGIC)
		return rk_fail(EPROTO,
			       "hello: %zu bytes that do not begin with a RingKernel's "
			       "magic: what answers there is no RingKernel",
			       bytes);
	if (hello->version != REMOTE_VERSION)
		return rk_fail(EPROTO,
			       "hello: version %u, this library speaks %d: use the same "
			       "RingKernel on both hosts",
			       hello->version, REMOTE_VERSION);
	if (bytes != sizeof(*hello) || hello->bytes != sizeof(*hello))
		return rk_fail(EPROTO, "hello: %zu bytes that say %u, not %zu", bytes, hello->bytes,
			       sizeof(*hello));
	if (hello->slot_bytes != RK_SLOT_BYTES)
		return rk_fail(EPROTO, "hello: slots of %u bytes, not %d", hello->slot_bytes,
			       RK_SLOT_BYTES);
	if (!is_text(hello->name, sizeof(hello->name)) ||
	    !is_text(hello->text, sizeof(hello->text)))
		return rk_fail(EPROTO, "hello: a name or text without an end or unprintable");
	return 0;
}

static int check_ask(const struct remote_hello *hello)
{
	if (hello->capacity_log2 || hello->consumed || hello->slots.addr || hello->slots.bytes)
		return rk_fail(EPROTO, "hello: a producer that offers slots");
	return 0;
}

static int check_welcome(const struct remote_hello *hello)
{
	if (!hello->ring)
		return rk_fail(EPROTO, "hello: a ring without a number");
	if (!hello->capacity_log2 || hello->capacity_log2 > REMOTE_MAX_SLOTS_LOG2)
		return rk_fail(EPROTO, "hello: a ring of 2^%u slots; 2^1 to 2^%d are taken",
			       hello->capacity_log2, REMOTE_MAX_SLOTS_LOG2);
	return check_window("slots", &hello->slots, (uint64_t)RK_SLOT_BYTES << hello->capacity_log2,
			    RK_SLOT_BYTES);
}

int remote_hello_check(const void *data, size_t bytes, bool answer, struct remote_hello *hello)
{
	int result;

	memset(hello, 0, sizeof(*hello));
	memcpy(hello, data, bytes < sizeof(*hello) ? bytes : sizeof(*hello));
	result = check_front(hello, bytes);
	if (result)
		return result;
	if (answer && hello->kind == REMOTE_REFUSE)
		return rk_fail(ECONNREFUSED, "refused: %s", hello->text);
	if (hello->kind != (answer ? REMOTE_WELCOME : REMOTE_ASK))
		return rk_fail(EPROTO, "hello: kind %u is not due from this side", hello->kind);
	if (!hello->session)
		return rk_fail(EPROTO, "hello: a session without a number");
	if (hello->timeout_ms < REMOTE_MIN_TIMEOUT_MS || hello->timeout_ms > REMOTE_MAX_TIMEOUT_MS)
		return rk_fail(EPROTO, "hello: a timeout of %u ms; %d to %d are taken",
			       hello->timeout_ms, REMOTE_MIN_TIMEOUT_MS, REMOTE_MAX_TIMEOUT_MS);
	result =
		check_window("line", &hello->line, sizeof(struct remote_line), RK_CACHE_LINE_BYTES);
	if (result)
		return result;
	return answer ? check_welcome(hello) : check_ask(hello);
}
