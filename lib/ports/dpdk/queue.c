// SPDX-License-Identifier: MIT
/* A queue of an application: bursts of mbufs to an actor and back, on one lcore. */
#include "ports/dpdk/dpdk.h"

#include <rte_prefetch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A probe costs looks at the credit, which the consumer writes: not more often than this. */
#define PROBE_NS 100000

enum {
	BACK_CELLS = 256, /* taken from the ring at once; more than any message has */
	CELLS_USUAL = 4,  /* of a frame, and a little more */
	AHEAD = 4,	  /* frames whose bytes are fetched into the cache ahead of their turn */
};

/**
 * struct rk_dpdk_queue - two rings and what is on its way
 * @latency: by enum rk_dpdk_latency
 * @room: slots of @to known to be free
 * @probed: position in @to behind a burst whose arrival at the actor is waited for; 0: none
 * @probed_ns: when it was sent
 * @back_done: of @back, cells that became frames
 * @back_cells: received
 */
struct rk_dpdk_queue {
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct dpdk_encoder encoder;
	struct dpdk_decoder decoder;
	struct dpdk_heads *heads; /* of heads that come back; else NULL */
	bool heads_alone;	  /* and of those that do not */
	struct rk_dpdk_stats stats;
	struct rk_hist *latency[RK_DPDK_LATENCIES];
	struct dpdk_watched watched;
	uint64_t room, probed, probed_ns;
	uint32_t back_done, back_cells;
	uint8_t back[BACK_CELLS * RK_CELL_BYTES] __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	uint8_t gather[DPDK_GATHER_CELLS * RK_CELL_BYTES]
		__attribute__((aligned(RK_CACHE_LINE_BYTES)));
};

RK_STATIC_ASSERT(BACK_CELLS > RK_MSG_MAX_SLOTS, "every message finds room");

static const char *const stat_names[] = {
	"ipackets",
	"opackets",
	"ibytes",
	"obytes",
	"ierrors",
	"oerrors",
	"rx_reference_packets",
	"rx_copied_packets",
	"rx_ring_full",
	"rx_undersize_errors",
	"rx_oversize_errors",
	"tx_dropped_packets",
	"tx_reference_errors",
	"tx_malformed_errors",
	"tx_foreign_errors",
	"tx_mbuf_allocation_errors",
	"reference_packets",
	"reclaimed_packets",
};
enum { STATS = sizeof(stat_names) / sizeof(stat_names[0]) };

RK_STATIC_ASSERT(sizeof(struct rk_dpdk_stats) == STATS * sizeof(uint64_t), "every counter a name");

const char *rk_dpdk_stat_name(unsigned int index)
{
	return index < STATS ? stat_names[index] : NULL;
}

static uint32_t watch_stats(const void *object, const char **names, uint64_t *values, uint32_t room)
{
	struct rk_dpdk_stats stats;
	uint32_t count = STATS < room ? STATS : room;

	rk_dpdk_queue_stats(object, &stats);
	memcpy(names, stat_names, count * sizeof(*names));
	memcpy(values, &stats, count * sizeof(*values));
	return count;
}

static const struct rk_hist *watch_latency(const void *object, uint32_t which)
{
	return which < RK_DPDK_LATENCIES ? rk_dpdk_queue_latency(object, which) : NULL;
}

static int check(const char *name, const struct rk_dpdk_queue_opts *opts, uint32_t inline_bytes)
{
	uint32_t most = RK_MSG_MAX_SLOTS * RK_CELL_BYTES - RK_MSG_HEADER_BYTES - 8 -
			(uint32_t)sizeof(struct rk_frame);

	if (!opts->to_actor && !opts->from_actor)
		return rk_fail(EINVAL, "queue '%s': no ring: give to_actor, from_actor or both",
			       name);
	if (opts->from_actor && !opts->pool)
		return rk_fail(EINVAL, "queue '%s': from_actor without a pool for what comes back",
			       name);
	if (opts->heads && !opts->to_actor)
		return rk_fail(EINVAL, "queue '%s': heads: none are given without to_actor", name);
	if (inline_bytes > most)
		return rk_fail(EINVAL, "queue '%s': inline_bytes %u: at most %u", name,
			       inline_bytes, most);
	if (opts->to_actor && !opts->heads &&
	    rk_msg_cells(RK_MSG_F_TIME, (uint32_t)sizeof(struct rk_frame) + inline_bytes) >
		    opts->to_actor->max_slots)
		return rk_fail(EINVAL,
			       "queue '%s': inline_bytes %u: a message in this ring has at most "
			       "%u slots of 56 bytes: give a larger ring",
			       name, inline_bytes, opts->to_actor->max_slots);
	return 0;
}

static int prepare(struct rk_dpdk_queue *queue, const char *name,
		   const struct rk_dpdk_queue_opts *opts, uint16_t inline_bytes)
{
	queue->to = opts->to_actor;
	queue->from = opts->from_actor;
	queue->encoder = (struct dpdk_encoder){.inline_bytes = inline_bytes,
					       .index = opts->index,
					       .stats = &queue->stats,
					       .max_cells = queue->to ? queue->to->max_slots : 0};
	queue->decoder = (struct dpdk_decoder){.pool = opts->pool, .stats = &queue->stats};
	for (uint32_t i = 0; i < RK_DPDK_LATENCIES; i++) {
		int result = rk_hist_open(&queue->latency[i], 0);

		if (result)
			return rk_fail(-result, "queue '%s': no memory for latencies", name);
	}
	queue->heads_alone = opts->heads && !opts->from_actor;
	if (opts->heads && opts->from_actor) {
		queue->heads = dpdk_heads_open(1ULL << queue->to->capacity_log2);
		if (!queue->heads)
			return rk_fail(ENOMEM, "queue '%s': no memory for its loans", name);
	} else if (queue->to && !opts->copy && !opts->heads) {
		queue->encoder.owner = dpdk_owner_new();
		if (!queue->encoder.owner)
			return rk_fail(ENOSPC, "queue '%s': %d queues are open: close one", name,
				       RK_DPDK_QUEUES);
	}
	queue->watched = (struct dpdk_watched){
		.stats = watch_stats, .latency = watch_latency, .object = queue};
	snprintf(queue->watched.name, sizeof(queue->watched.name), "%s", name);
	return 0;
}

static void free_queue(struct rk_dpdk_queue *queue)
{
	for (uint32_t i = 0; i < RK_DPDK_LATENCIES; i++)
		rk_hist_close(queue->latency[i]);
	dpdk_heads_close(queue->heads);
	dpdk_owner_free(queue->encoder.owner);
	free(queue);
}

int rk_dpdk_queue_open(struct rk_dpdk_queue **out, const char *name,
		       const struct rk_dpdk_queue_opts *opts)
{
	uint16_t inline_bytes = opts->inline_bytes ? opts->inline_bytes : RK_DPDK_INLINE_BYTES;
	int result = check(name, opts, inline_bytes);
	struct rk_dpdk_queue *queue;

	if (result)
		return result;
	queue = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*queue));
	if (!queue)
		return rk_fail(ENOMEM, "queue '%s': no memory", name);
	memset(queue, 0, sizeof(*queue));
	result = prepare(queue, name, opts, inline_bytes);
	if (result) {
		free_queue(queue);
		return result;
	}
	dpdk_watch(&queue->watched);
	*out = queue;
	return 0;
}

/* --- To the actor --- */

/* Look at the credit: how much room there is, and whether the actor has taken what is probed. */
static void look_at_credit(struct rk_dpdk_queue *queue)
{
	uint64_t capacity = 1ULL << queue->to->capacity_log2, taken;

	queue->room = rk_ring_tx_free(queue->to);
	taken = rk_ring_tx_position(queue->to) - (capacity - queue->room);
	if (!queue->probed || queue->to->closed || (int64_t)(taken - queue->probed) < 0)
		return;
	rk_hist_record(queue->latency[RK_DPDK_RX_TO_ACTOR],
		       clock_ns(CLOCK_MONOTONIC) - queue->probed_ns);
	queue->probed = 0;
}

/* Frames built into cells, and what is to become of their mbufs. */
struct batch {
	uint32_t cells, messages, done;
	uint64_t bytes;
	bool lent;
};

/* Build heads of as many of @mbufs as @room cells take. */
static void build_heads(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint32_t count,
			uint32_t room, uint64_t now_ns, struct batch *batch)
{
	batch->done = dpdk_heads_lend(queue->heads, &queue->stats, mbufs,
				      count < room ? count : room, queue->gather, now_ns,
				      &batch->messages, &batch->bytes);
	batch->cells = batch->messages;
}

/* The same of heads that do not come back: their mbufs go to @spent. */
static void build_heads_alone(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint32_t count,
			      uint32_t room, struct batch *batch, struct rte_mbuf **spent,
			      uint32_t *spent_count)
{
	batch->done = count < room ? count : room;
	batch->messages = dpdk_heads_show(&queue->stats, mbufs, batch->done, queue->gather,
					  &batch->bytes);
	batch->cells = batch->messages;
	memcpy(spent, mbufs, batch->done * sizeof(*spent));
	*spent_count = batch->done;
}

/* Build as many of @mbufs as @room cells take; mbufs that are done with go to @spent. */
static void build(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint16_t count,
		  uint32_t room, uint64_t now_ns, struct batch *batch, struct rte_mbuf **spent,
		  uint32_t *spent_count)
{
	for (; batch->done < count; batch->done++) {
		struct rte_mbuf *mbuf = mbufs[batch->done];
		uint32_t cells = room - batch->cells, bytes = rte_pktmbuf_pkt_len(mbuf);
		enum dpdk_encoded encoded;

		if (batch->done + AHEAD < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[batch->done + AHEAD], void *));
		encoded = dpdk_encode(&queue->encoder, mbuf,
				      queue->gather + batch->cells * RK_CELL_BYTES, &cells, now_ns);
		if (encoded == DPDK_NO_ROOM)
			return;
		if (encoded == DPDK_LENT)
			batch->lent = true;
		else
			spent[(*spent_count)++] = mbuf;
		if (encoded == DPDK_REFUSED)
			continue;
		batch->cells += cells;
		batch->bytes += bytes;
		batch->messages++;
	}
}

/* At most DPDK_BURST frames; returns those taken. */
static uint16_t enqueue(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint16_t count,
			uint64_t now_ns)
{
	struct rte_mbuf *spent[DPDK_BURST];
	struct batch batch = {.cells = 0};
	uint32_t spent_count = 0, room;

	/* The credit is the consumer's line: fetched when what is known may not do. */
	if (queue->room < RK_MSG_MAX_SLOTS || queue->room < (uint64_t)count * CELLS_USUAL)
		look_at_credit(queue);
	if (queue->to->closed)
		return 0;
	room = queue->room < DPDK_GATHER_CELLS ? (uint32_t)queue->room : DPDK_GATHER_CELLS;
	if (queue->heads)
		build_heads(queue, mbufs, count, room, now_ns, &batch);
	else if (queue->heads_alone)
		build_heads_alone(queue, mbufs, count, room, &batch, spent, &spent_count);
	else
		build(queue, mbufs, count, room, now_ns, &batch, spent, &spent_count);
	if (batch.lent)
		dpdk_publish_loans();
	/* There is room for all of it: only this end fills the ring. */
	rk_ring_send_batch(queue->to, queue->gather, batch.cells);
	queue->room -= batch.cells;
	rte_pktmbuf_free_bulk(spent, spent_count);
	if (!queue->probed && batch.messages && now_ns - queue->probed_ns >= PROBE_NS) {
		queue->probed = rk_ring_tx_position(queue->to);
		queue->probed_ns = now_ns;
	}
	port_count(&queue->stats.ipackets, batch.messages);
	port_count(&queue->stats.ibytes, batch.bytes);
	return (uint16_t)batch.done;
}

uint16_t rk_dpdk_enqueue_burst(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	uint16_t done = 0;

	while (done < count) {
		uint16_t part = count - done < DPDK_BURST ? (uint16_t)(count - done) : DPDK_BURST;
		uint16_t taken = enqueue(queue, mbufs + done, part, now_ns);

		done += taken;
		/* Fewer than asked for, but some: the next look may find room for more. */
		if (!taken) {
			port_count(&queue->stats.rx_ring_full, !queue->to->closed);
			break;
		}
	}
	return done;
}

/* --- Back from it --- */

static void note_latency(struct rk_dpdk_queue *queue, uint64_t sent_ns)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (sent_ns <= now_ns) /* an actor may err */
		rk_hist_record(queue->latency[RK_DPDK_RX_TO_TX], now_ns - sent_ns);
}

/* When the frame of @msg was received, as it says; 0 if it does not. */
static uint64_t time_of(const struct rk_msg *msg)
{
	uint64_t sent_ns = 0;

	if (msg->flags & RK_MSG_F_TIME && msg->type == RK_FRAME)
		memcpy(&sent_ns, msg->body, sizeof(sent_ns));
	return sent_ns;
}

/* More cells to take frames from; false when there are none. */
static bool receive(struct rk_dpdk_queue *queue)
{
	int cells = rk_ring_recv_batch(queue->from, queue->back, BACK_CELLS);

	queue->back_done = 0;
	queue->back_cells = cells > 0 ? (uint32_t)cells : 0;
	return cells > 0;
}

/* The frame of @msg: 1 to transmit, 0 none, -1 not now. When it was lent is in *@time_ns. */
static int take_back(struct rk_dpdk_queue *queue, const struct rk_msg *msg, struct rte_mbuf **mbuf,
		     uint64_t *time_ns)
{
	if (queue->heads && rk_likely(msg->type == RK_FRAME_HEAD)) {
		dpdk_heads_fetch(queue->heads, msg, queue->back_cells - queue->back_done);
		*mbuf = dpdk_heads_redeem(queue->heads, &queue->stats, msg, time_ns);
		return *mbuf != NULL;
	}
	if (msg->type < RK_MSG_PACKET)
		return 0;
	*time_ns = time_of(msg);
	return dpdk_decode(&queue->decoder, msg, mbuf);
}

uint16_t rk_dpdk_dequeue_burst(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	uint64_t bytes = 0, time_ns = 0, first_ns = 0;
	uint16_t have = 0;

	if (queue->probed)
		look_at_credit(queue);
	while (have < count) {
		const struct rk_msg *msg;
		int taken;

		if (queue->back_done == queue->back_cells && !receive(queue))
			break;
		msg = (const struct rk_msg *)(queue->back + queue->back_done * RK_CELL_BYTES);
		taken = take_back(queue, msg, &mbufs[have], &time_ns);
		if (taken < 0)
			break;
		if (!have)
			first_ns = time_ns;
		if (taken)
			bytes += rte_pktmbuf_pkt_len(mbufs[have++]);
		queue->back_done += msg->slots;
	}
	if (first_ns)
		note_latency(queue, first_ns);
	port_count(&queue->stats.opackets, have);
	port_count(&queue->stats.obytes, bytes);
	return have;
}

uint64_t rk_dpdk_queue_closed(const struct rk_dpdk_queue *queue)
{
	if (!queue->from)
		return queue->to->closed;
	return queue->back_done == queue->back_cells ? queue->from->closed : 0;
}

/* --- Looking at it, and the end --- */

void dpdk_queue_counts(const struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&queue->stats;
	uint64_t *to = (uint64_t *)stats;

	/* Relaxed: a count says nothing about another. */
	for (size_t i = 0; i < STATS; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void rk_dpdk_queue_stats(const struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats)
{
	dpdk_queue_counts(queue, stats);
	stats->reference_packets =
		dpdk_owner_loans(queue->encoder.owner) + dpdk_heads_loans(queue->heads);
}

const struct rk_hist *rk_dpdk_queue_latency(const struct rk_dpdk_queue *queue,
					    enum rk_dpdk_latency which)
{
	return queue->latency[which];
}

void rk_dpdk_queue_close(struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats)
{
	if (!queue)
		return;
	dpdk_unwatch(&queue->watched);
	dpdk_decoder_close(&queue->decoder);
	port_count(&queue->stats.reclaimed_packets, dpdk_heads_close(queue->heads) +
							    dpdk_owner_reclaim(queue->encoder.owner));
	queue->heads = NULL;
	if (stats)
		rk_dpdk_queue_stats(queue, stats);
	free_queue(queue);
}
