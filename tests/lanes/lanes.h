/* SPDX-License-Identifier: MIT */
/*
 * lanes.h - between the device code, compiled for the host, and what runs it (lanes.cc): every lane
 * of a kernel is a fiber, and calls this table wherever lanes meet or wait.
 */
#ifndef LANES_H
#define LANES_H

#include <cstdint>
#include <functional>

enum { LANES_WARP = 32, LANES_SHARED_BYTES = 232448 }; /* as many as a block of Hopper may have */

/* Where lanes of a warp meet, and what each learns there; in all cases what all wrote before. */
enum lanes_meeting {
	LANES_SYNC,
	LANES_BALLOT,	/* which have said something */
	LANES_SHUFFLE,	/* what lane @from says */
	LANES_MATCH,	/* who says the same */
};

enum lanes_barrier {
	LANES_BLOCK,   /* whether any of the block has said something */
	LANES_CLUSTER, /* the same, behind all blocks of the cluster */
};

struct lanes_index {
	unsigned int x, y, z;
};

struct lanes_place {
	lanes_index thread, block, threads;
};

struct lanes_ops {
	uint64_t (*meet)(lanes_meeting, uint32_t mask, uint64_t said, uint32_t from);
	bool (*barrier)(lanes_barrier, bool said);
	void (*look)();		      /* a load that others may have to store for: they have their turn */
	void (*sleep)(uint64_t ns);
	uint64_t (*now_ns)();
	const lanes_place *(*place)();
	uint32_t (*rank)();	      /* of the block in its cluster */
	char *(*shared)(uint32_t address, uint64_t bytes); /* in this block or another of the cluster */
	uint32_t (*address_in)(uint32_t address, uint32_t rank);
};

/* What a module exports: where its table goes, and for each kernel what binds its arguments. */
using lanes_kernel = std::function<void()>;
using lanes_bind = lanes_kernel *(void **arguments);

#endif
