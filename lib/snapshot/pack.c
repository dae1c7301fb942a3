// SPDX-License-Identifier: MIT
/* Checksums by xxhash and packing by zstd, where they are. */
#include "snapshot/format.h"
#include "rk_error.h"
#include "config.h"

#if RK_HAVE_XXHASH

#define XXH_INLINE_ALL
#include <xxhash.h>

int snapshot_supported(void)
{
	return 0;
}

uint64_t snapshot_head_sum(const struct snapshot_head *head)
{
	return XXH3_64bits(head, offsetof(struct snapshot_head, sum));
}

uint64_t snapshot_section_sum(const struct snapshot_section *section, const void *stored,
			      uint64_t id, uint64_t offset)
{
	uint64_t seed =
		XXH3_64bits_withSeed(section, offsetof(struct snapshot_section, sum), id + offset);

	return XXH3_64bits_withSeed(stored, section->stored_bytes, seed);
}

#else

int snapshot_supported(void)
{
	return rk_fail(EOPNOTSUPP, "snapshots: built without xxhash: apt-get install "
				   "libxxhash-dev, then make");
}

/* Never asked for: whoever would is refused by snapshot_supported(). */
uint64_t snapshot_head_sum(const struct snapshot_head *head)
{
	return ~head->sum;
}

uint64_t snapshot_section_sum(const struct snapshot_section *section, const void *stored,
			      uint64_t id, uint64_t offset)
{
	(void)stored;
	(void)id;
	(void)offset;
	return ~section->sum;
}

#endif

#if RK_HAVE_ZSTD

#include <zstd.h>

size_t snapshot_pack_room(size_t bytes)
{
	return ZSTD_compressBound(bytes);
}

size_t snapshot_pack(void *to, size_t room, const void *from, size_t bytes, int level)
{
	size_t packed = ZSTD_compress(to, room, from, bytes, level);

	return ZSTD_isError(packed) || packed >= bytes ? 0 : packed;
}

bool snapshot_unpack(void *to, size_t bytes, const void *from, size_t stored_bytes)
{
	return ZSTD_decompress(to, bytes, from, stored_bytes) == bytes;
}

#else

size_t snapshot_pack_room(size_t bytes)
{
	(void)bytes;
	return 0;
}

size_t snapshot_pack(void *to, size_t room, const void *from, size_t bytes, int level)
{
	(void)to;
	(void)room;
	(void)from;
	(void)bytes;
	(void)level;
	return 0;
}

bool snapshot_unpack(void *to, size_t bytes, const void *from, size_t stored_bytes)
{
	(void)to;
	(void)bytes;
	(void)from;
	(void)stored_bytes;
	return false;
}

#endif
