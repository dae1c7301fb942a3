/* SPDX-License-Identifier: MIT */
/* gather.h - messages on their way into a ring: built one by one, sent together. Not installed. */
#ifndef GATHER_H
#define GATHER_H

#include "ports/port.h"

enum { GATHER_CELLS = 1024 };

/**
 * struct port_gather - messages built but not yet in the ring
 * @start: first cell not sent
 * @end: behind the last cell
 */
struct port_gather {
	uint32_t start;
	uint32_t end;
	uint8_t cells[GATHER_CELLS * RK_CELL_BYTES] __attribute__((aligned(RK_CACHE_LINE_BYTES)));
};

static inline bool port_gather_empty(const struct port_gather *gather)
{
	return gather->start == gather->end;
}

/* Room for a message of @cells, which the caller fills and then adds; NULL if there is none. */
static inline uint8_t *port_gather_room(struct port_gather *gather, uint32_t cells)
{
	if (port_gather_empty(gather))
		gather->start = gather->end = 0;
	return cells > GATHER_CELLS - gather->end ? NULL
						  : gather->cells + gather->end * RK_CELL_BYTES;
}

/*
 * Send at most @budget messages, and count them. Returns how many. Where the ring was full, that
 * is counted; where it was closed, the rest is forgotten and counted as dropped_closed. -errno if
 * the ring refuses what was built, which is an error of the port.
 */
int port_gather_send(struct port_gather *gather, struct rk_port *port, struct rk_ring_tx *tx,
		     uint32_t budget);

#endif
