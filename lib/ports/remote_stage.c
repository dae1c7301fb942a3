// SPDX-License-Identifier: MIT
/* The staging ring of a producer whose consumer is on another host. */
#include "ports/remote_stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void remote_stage_free(struct remote_stage *stage)
{
	if (stage)
		rk_region_close(stage->region);
	free(stage);
}

int remote_stage_make(struct remote_stage **out, const struct remote_hello *welcome,
		      const char *name)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .provider = "host"};
	size_t bytes = rk_ring_bytes(1ULL << welcome->capacity_log2);
	struct remote_stage *stage =
		aligned_alloc(RK_CACHE_LINE_BYTES, (sizeof(*stage) + 63) / 64 * 64);
	int result;

	if (!stage)
		return rk_fail(ENOMEM, "no memory for a staging ring");
	memset(stage, 0, sizeof(*stage));
	stage->id = welcome->ring;
	stage->posted = stage->reached = stage->credit = welcome->consumed;
	result = rk_region_open(&stage->region, bytes, &opts);
	if (!result)
		result = rk_ring_format(&stage->ring, rk_region_info(stage->region)->host_addr,
					bytes, 1ULL << welcome->capacity_log2, welcome->consumed,
					name);
	if (!result)
		result = rk_ring_tx_open(&stage->tx, &stage->ring);
	if (result)
		remote_stage_free(stage);
	else
		*out = stage;
	return result;
}

uint64_t remote_stage_unconfirmed(const struct remote_stage *stage)
{
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct rk_msg *cells = calloc(RK_MSG_MAX_SLOTS, sizeof(*cells));
	struct rk_ring ring = stage->ring;
	struct rk_ring_credit credit = {.consumed = stage->credit};
	struct rk_ring_rx rx;
	uint64_t count = 0;

	ring.credit = &credit;
	if (!cells || rk_ring_rx_open(&rx, &ring, &opts))
		count = rk_ring_tx_position(&stage->tx) - stage->credit;
	else
		while (rk_ring_recv(&rx, cells, RK_MSG_MAX_SLOTS) > 0 && !rx.closed)
			count++;
	free(cells);
	return count;
}

int remote_stage_resume(struct remote_stage *stage, const struct remote_hello *welcome)
{
	if (welcome->capacity_log2 != stage->ring.capacity_log2 ||
	    welcome->consumed - stage->credit > stage->reached - stage->credit)
		return rk_fail(EPROTO,
			       "hello: the ring known, 2^%u slots, consumed %" PRIu64
			       "; expected 2^%u, %" PRIu64 " to %" PRIu64,
			       welcome->capacity_log2, welcome->consumed, stage->ring.capacity_log2,
			       stage->credit, stage->reached);
	/*
	 * What is there already is put again, word for word the same: nobody can tell. The credit
	 * itself comes with the next line.
	 */
	stage->posted = welcome->consumed;
	return 0;
}

uint32_t remote_stage_runs(const struct remote_stage *stage, struct remote_run *runs, uint64_t *end)
{
	uint64_t mask = (1ULL << stage->ring.capacity_log2) - 1,
		 to = rk_ring_tx_position(&stage->tx);
	uint64_t at = stage->posted;
	uint32_t count = 0;

	while (at != to && count < REMOTE_MAX_RUNS) {
		uint64_t slots = to - at, lap_rest = mask + 1 - (at & mask);

		if (slots > lap_rest)
			slots = lap_rest;
		if (slots > REMOTE_RUN_BYTES / RK_SLOT_BYTES)
			slots = REMOTE_RUN_BYTES / RK_SLOT_BYTES;
		runs[count++] = (struct remote_run){(at & mask) * RK_SLOT_BYTES,
						    (uint32_t)slots * RK_SLOT_BYTES};
		at += slots;
	}
	*end = at;
	return count;
}
