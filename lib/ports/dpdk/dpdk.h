/* SPDX-License-Identifier: MIT */
/*
 * dpdk.h - what the files of libringkernel-dpdk.so share: pools and their loans, a frame on its
 * way into a message (encode.c) and out of one (decode.c). Not installed.
 */
#ifndef DPDK_H
#define DPDK_H

#include "ports/dpdk/rk_dpdk.h"
#include "ports/port.h"

#include <rte_mbuf.h>

enum {
	DPDK_BURST = 32,
	DPDK_OWNERS = RK_DPDK_QUEUES + 1, /* 0 is nobody */
	DPDK_GATHER_CELLS = 1024,
};

/**
 * struct rk_dpdk_pool - mbufs whose buffers lie in a region
 * @base: of the registered memory
 * @bytes: of it
 * @page_bytes: in which it was registered
 * @room_bytes: from one buffer to the next, at least
 * @room_log2: of the largest power of two in it: offsets shifted by that tell buffers apart
 * @buffers: indices that may occur
 * @lent: by index, the first segment of the frame on loan
 * @ticket: by index, 0: not on loan; else the owner in the top byte, and a count
 * @index: of this pool among all
 */
struct rk_dpdk_pool {
	struct rte_mempool *mempool;
	struct rk_region *region;
	bool own_region, registered;
	uint8_t *base;
	size_t bytes;
	size_t page_bytes;
	uint32_t room_bytes;
	uint32_t room_log2;
	uint32_t buffers;
	struct rte_mbuf **lent;
	uint32_t *ticket;
	uint8_t index;
	uint16_t mapped[32];
	uint32_t mapped_count;
	char name[RK_DPDK_NAME_BYTES];
	char note[RK_REGION_NOTE_BYTES + 256];
};

/**
 * struct dpdk_encoder - how frames become messages
 * @owner: of the loans; 0 lends nothing
 * @tickets: loans so far
 * @max_cells: of a message in this ring
 */
struct dpdk_encoder {
	uint8_t owner;
	uint32_t tickets;
	uint32_t max_cells;
	uint16_t inline_bytes;
	uint16_t index;
	struct rk_dpdk_stats *stats;
};

/**
 * struct dpdk_decoder - how messages become frames
 * @pool: for those that come inline
 * @spare: mbufs taken from @pool ahead
 */
struct dpdk_decoder {
	struct rte_mempool *pool;
	struct rte_mbuf *spare[DPDK_BURST];
	uint32_t spares;
	struct rk_dpdk_stats *stats;
};

/* --- pool.c --- */

/* The pool that @mbuf is from, if it is one of ours and its buffer is the pool's. */
struct rk_dpdk_pool *dpdk_pool_of(const struct rte_mbuf *mbuf);

/* Lend @frame, whose segment @segment is @pool's; returns its index. */
uint32_t dpdk_lend(struct rk_dpdk_pool *pool, struct rte_mbuf *frame, struct rte_mbuf *segment,
		   uint32_t ticket);

/* The frame that a message says was lent; NULL if it was not. It is on loan no more. */
struct rte_mbuf *dpdk_redeem(const struct rk_frame *frame);

/* A new owner of loans; 0 when there are too many. */
uint8_t dpdk_owner_new(void);
void dpdk_owner_free(uint8_t owner);

/* Loans of @owner now. */
uint64_t dpdk_owner_loans(uint8_t owner);

/* Free all that is on loan to @owner; returns how many. */
uint64_t dpdk_owner_reclaim(uint8_t owner);

/* --- encode.c --- */

/* What became of a frame. */
enum dpdk_encoded {
	DPDK_INLINE, /* the message holds it: free the mbuf once the ring has the message */
	DPDK_LENT,   /* the message refers to it */
	DPDK_REFUSED, /* no message: counted; free the mbuf */
	DPDK_NO_ROOM, /* the message needs more cells than there are now */
};

/*
 * Build the message of @mbuf at @cells, where there is room for *@count; *@count becomes what it
 * takes. Unless DPDK_NO_ROOM is returned the mbuf must go.
 */
enum dpdk_encoded dpdk_encode(struct dpdk_encoder *encoder, struct rte_mbuf *mbuf, void *cells,
			      uint32_t *count, uint64_t time_ns);

/* Frames lent since the last call are seen by whoever sees the messages that follow. */
void dpdk_publish_loans(void);

/* --- decode.c --- */

/* 1: @mbuf is to be transmitted; 0: there is nothing to transmit; -1: no mbuf now, try again. */
int dpdk_decode(struct dpdk_decoder *decoder, const struct rk_msg *msg, struct rte_mbuf **mbuf);

/* An mbuf, or a chain, that holds @bytes from @data; NULL when the pool is empty. */
struct rte_mbuf *dpdk_mbuf_of(struct dpdk_decoder *decoder, const uint8_t *data, uint32_t bytes);

void dpdk_decoder_close(struct dpdk_decoder *decoder);

/* --- heads.c: frames that stay where they are while their heads travel; one thread's --- */

struct dpdk_heads;

struct dpdk_heads *dpdk_heads_open(uint64_t slots);
/* Frees what is on loan; returns how many. */
uint64_t dpdk_heads_close(struct dpdk_heads *heads);
uint64_t dpdk_heads_loans(const struct dpdk_heads *heads);

/*
 * Lend up to @count of @mbufs, build their messages at @cells; *@messages of them were built, and
 * *@bytes are in these frames. Returns mbufs done with: lent, or refused, counted and freed.
 */
uint32_t dpdk_heads_lend(struct dpdk_heads *heads, struct rk_dpdk_stats *stats,
			 struct rte_mbuf **mbufs, uint32_t count, void *cells, uint64_t now_ns,
			 uint32_t *messages, uint64_t *bytes);

/* The same without loans: nothing comes back. Returns messages; all of @mbufs are to be freed. */
uint32_t dpdk_heads_show(struct rk_dpdk_stats *stats, struct rte_mbuf **mbufs, uint32_t count,
			 void *cells, uint64_t *bytes);

/* Fetch into the cache what the messages behind @msg, of @count heads with it, are about. */
void dpdk_heads_fetch(const struct dpdk_heads *heads, const struct rk_msg *msg, uint32_t count);

/* The frame of @msg if it is to be transmitted, else NULL; when it was lent is in *@time_ns. */
struct rte_mbuf *dpdk_heads_redeem(struct dpdk_heads *heads, struct rk_dpdk_stats *stats,
				   const struct rk_msg *msg, uint64_t *time_ns);

/* --- queue.c --- */

/* rk_dpdk_queue_stats() without a count of what is on loan now, which takes a look at each buffer. */
void dpdk_queue_counts(const struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats);

/* --- telemetry.c --- */

/**
 * struct dpdk_watched - something that telemetry can be asked about
 * @name: unique
 * @stats: fills names and values of at most @room counters; returns how many
 * @latency: NULL, or the histogram @which; NULL past the last
 */
struct dpdk_watched {
	char name[RK_DPDK_NAME_BYTES];
	uint32_t (*stats)(const void *object, const char **names, uint64_t *values, uint32_t room);
	const struct rk_hist *(*latency)(const void *object, uint32_t which);
	const void *object;
	struct dpdk_watched *next;
};

/* The first call registers the commands. */
void dpdk_watch(struct dpdk_watched *watched);
void dpdk_unwatch(struct dpdk_watched *watched);

/* Tell telemetry of every pool: calls @each under the pools' mutex. */
void dpdk_pools_each(void (*each)(const struct rk_dpdk_pool *pool, void *argument), void *argument);

#endif
