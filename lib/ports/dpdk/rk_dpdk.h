/* SPDX-License-Identifier: MIT */
/*
 * rk_dpdk.h - actors behind a DPDK application: give bursts of mbufs, take bursts back.
 *
 *      rte_eth_rx_burst()          rk_dpdk_dequeue_burst() ---> rte_eth_tx_burst()
 *            |                            ^
 *            v                            |
 *      rk_dpdk_enqueue_burst() -> ring -> actor -> ring
 *
 * The application keeps its main loop, its lcores, its ports and its EAL arguments; a queue is one
 * lcore's way to one actor and back, and takes the two rings that rk_link_host_in() and
 * rk_link_host_out() give. No thread of ours touches an mbuf.
 *
 * A frame of at most `inline_bytes` is copied into the ring and its mbuf freed. Of a longer one
 * that lies in a rk_dpdk_pool the first `inline_bytes` are copied and the whole is referenced: the
 * actor reads it where the NIC wrote it. The mbuf is on loan until the message comes back, or
 * until rk_dpdk_queue_close(), whatever became of the actor. A longer frame from elsewhere, or in
 * several segments, is copied whole into as many slots as it takes.
 *
 * With `heads` every frame is one slot, its first 44 bytes, and every mbuf of any pool is on loan
 * (RK_FRAME_HEAD): the fastest way, for actors that look at headers alone.
 *
 * A full ring is back-pressure: rk_dpdk_enqueue_burst() takes fewer, as rte_eth_tx_burst() does,
 * and the rest stays the application's.
 *
 * rte_telemetry answers under /ringkernel/ (dpdk-telemetry.py): pools, queues, stats,NAME,
 * latency,NAME. Counters are named as ethdev names its own; "rx" is from the NIC to the actor,
 * "tx" from the actor to the NIC.
 *
 * Built as libringkernel-dpdk.so; pkg-config ringkernel-dpdk.
 */
#ifndef RK_DPDK_H
#define RK_DPDK_H

#include "gpudirect/rk_region.h"
#include "ring/rk_ring.h"
#include "rk_frame.h"
#include "rk_hist.h"

#define RK_DPDK_INLINE_BYTES 120 /* default: three slots */
#define RK_DPDK_NAME_BYTES   32
#define RK_DPDK_QUEUES	     255 /* open at once */
#define RK_DPDK_POOLS	     64	 /* open at once */
#define RK_DPDK_POOL_MBUFS   (1U << 24)

struct rte_mbuf;
struct rte_mempool;
struct rk_dpdk_pool;
struct rk_dpdk_queue;

/**
 * struct rk_dpdk_pool_opts - zero is the default
 * @size: sizeof(struct rk_dpdk_pool_opts)
 * @mbufs: how many; 0: 8191
 * @cache: mbufs that each lcore keeps at hand; 0: 256, or what the pool allows
 * @data_room_bytes: of a buffer, headroom included; 0: RTE_MBUF_DEFAULT_BUF_SIZE
 * @region: the buffers' memory; NULL: the pool opens one of its own, by what follows
 * @numa_node: of the mbufs and of the pool's own region, if @on_node
 * @on_node: else any
 * @cuda: actors on GPUs read frames by reference
 * @gpu: whose memory it is, if @on_gpu
 * @on_gpu: the buffers take what a NIC that splits frames puts behind the headers, and nothing else:
 *	the CPU cannot read them
 */
struct rk_dpdk_pool_opts {
	size_t size;
	uint32_t mbufs;
	uint32_t cache;
	uint16_t data_room_bytes;
	struct rk_region *region;
	int numa_node;
	bool on_node;
	bool cuda;
	int gpu;
	bool on_gpu;
};

/**
 * struct rk_dpdk_queue_opts - zero is the default but for the rings and @pool
 * @size: sizeof(struct rk_dpdk_queue_opts)
 * @to_actor: where bursts go; NULL if this queue only takes back
 * @from_actor: where they come back; NULL if this queue only gives
 * @pool: for frames that come back inline; not needed without @from_actor
 * @inline_bytes: see above; 0: RK_DPDK_INLINE_BYTES, at most RK_MSG_MAX_SLOTS cells
 * @copy: lend no mbufs: every frame goes inline
 * @heads: give heads alone. With @from_actor at most as many frames are on loan as the ring to the
 *	actor has slots, and 65536; then enqueuing takes fewer. Without it no frame comes back, and
 *	each is freed as soon as the ring has its head: for actors that count, measure or watch
 * @index: told to the actor as struct rk_frame::queue
 */
struct rk_dpdk_queue_opts {
	size_t size;
	struct rk_ring_tx *to_actor;
	struct rk_ring_rx *from_actor;
	struct rte_mempool *pool;
	uint16_t inline_bytes;
	bool copy;
	bool heads;
	uint16_t index;
};

/**
 * struct rk_dpdk_stats - what went through a queue; all u64, counts since it was opened
 * @ipackets: given to the actor
 * @opackets: taken back for transmit
 * @ibytes: of @ipackets
 * @obytes: of @opackets
 * @ierrors: frames that cannot be given to an actor, and were freed; by reason below
 * @oerrors: messages that cannot be taken back; by reason below
 * @rx_reference_packets: of @ipackets, those lent by reference
 * @rx_copied_packets: of @ipackets, longer than inline_bytes and yet copied whole
 * @rx_ring_full: bursts cut short because the ring was full
 * @rx_undersize_errors: without a byte
 * @rx_oversize_errors: longer than a message can be in this ring
 * @tx_dropped_packets: the actor's verdict
 * @tx_reference_errors: a buffer that was not on loan: returned twice, or never lent
 * @tx_malformed_errors: a frame shorter than it says
 * @tx_foreign_errors: no frame
 * @tx_mbuf_allocation_errors: times the pool was empty; the message waits
 * @reference_packets: on loan now
 * @reclaimed_packets: taken back by rk_dpdk_queue_close()
 */
struct rk_dpdk_stats {
	uint64_t ipackets;
	uint64_t opackets;
	uint64_t ibytes;
	uint64_t obytes;
	uint64_t ierrors;
	uint64_t oerrors;
	uint64_t rx_reference_packets;
	uint64_t rx_copied_packets;
	uint64_t rx_ring_full;
	uint64_t rx_undersize_errors;
	uint64_t rx_oversize_errors;
	uint64_t tx_dropped_packets;
	uint64_t tx_reference_errors;
	uint64_t tx_malformed_errors;
	uint64_t tx_foreign_errors;
	uint64_t tx_mbuf_allocation_errors;
	uint64_t reference_packets;
	uint64_t reclaimed_packets;
};

/* Which way rk_dpdk_queue_latency() looks. */
enum rk_dpdk_latency {
	RK_DPDK_RX_TO_ACTOR, /* until the actor's credit told that it took the frame: an upper bound */
	RK_DPDK_RX_TO_TX,    /* until the frame is given back for transmit */
	RK_DPDK_LATENCIES,
};

RK_BEGIN_DECLS

/**
 * rk_dpdk_pool_open() - make a pool of mbufs whose buffers lie in a region
 * @pool: out
 * @name: of the mempool
 * @opts: NULL for the default
 *
 * Registers the region with the EAL (rte_extmem_register) and builds the mempool on it
 * (rte_pktmbuf_pool_create_extbuf). What could not be had is in rk_dpdk_pool_note().
 *
 * Context: any thread, after rte_eal_init(); sleeps.
 * Owner: rk_dpdk_pool_close() frees @pool; a region given stays the caller's.
 * Return: 0; -EINVAL for a size that is not possible or a region too small; -ENOSPC beyond
 * RK_DPDK_POOLS; -EEXIST for a name in use; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_dpdk_pool_open(struct rk_dpdk_pool **pool, const char *name,
			     const struct rk_dpdk_pool_opts *opts);

/**
 * rk_dpdk_pool_map() - let a device reach the pool by DMA
 * @pool: open
 * @port_id: of an ethdev port that will use it
 *
 * A virtual device needs no mapping; then this does nothing. A pool in memory of a GPU can be mapped
 * for a NIC alone, and only for one that splits frames.
 *
 * Context: any thread, before the port is started; sleeps.
 * Return: 0; -ENODEV for no such port; -ENOSPC for more than 32; -EOPNOTSUPP for one that cannot
 * receive into memory of a GPU; the errno of rte_dev_dma_map(), said
 * in rk_errmsg().
 */
RK_API int rk_dpdk_pool_map(struct rk_dpdk_pool *pool, uint16_t port_id);

/**
 * rk_dpdk_pool_unmap() - undo rk_dpdk_pool_map()
 * @pool: open
 * @port_id: as mapped; another is ignored
 *
 * Context: any thread, after the port is stopped and before it is closed; sleeps.
 */
RK_API void rk_dpdk_pool_unmap(struct rk_dpdk_pool *pool, uint16_t port_id);

/**
 * rk_dpdk_pool_mempool() - what rte_eth_rx_queue_setup() takes
 * @pool: open
 *
 * Context: any thread; never sleeps.
 * Return: lives as long as @pool.
 */
RK_API struct rte_mempool *rk_dpdk_pool_mempool(const struct rk_dpdk_pool *pool);

/**
 * rk_dpdk_pool_region() - where referenced frames lie
 * @pool: open
 *
 * Context: any thread; never sleeps.
 * Return: lives as long as @pool. Handlers find a frame at its host_addr + struct rk_frame::offset, on
 * a GPU at its gpu_addr + that; they call rk_acquire() before they read it.
 */
RK_API const struct rk_region *rk_dpdk_pool_region(const struct rk_dpdk_pool *pool);

/**
 * rk_dpdk_pool_note() - what the pool got less of than was wanted, and the remedy
 * @pool: open
 *
 * Context: any thread; never sleeps.
 * Return: "" if nothing; lives as long as @pool.
 */
RK_API const char *rk_dpdk_pool_note(const struct rk_dpdk_pool *pool);

/**
 * rk_dpdk_pool_close() - unmap and free a pool
 * @pool: or NULL
 *
 * Context: any thread, when the ports that use it are closed, and its queues; sleeps.
 * Return: 0; -EBUSY while mbufs are out, and nothing is freed; said in rk_errmsg().
 */
RK_API int rk_dpdk_pool_close(struct rk_dpdk_pool *pool);

/**
 * rk_dpdk_queue_open() - open a way to an actor and back
 * @queue: out
 * @name: for people and telemetry
 * @opts: the rings, and the pool
 *
 * Context: any thread, after rte_eal_init(); sleeps.
 * Owner: rk_dpdk_queue_close() frees @queue; rings and pool stay the caller's.
 * Return: 0; -EINVAL for options that do not fit each other; -ENOSPC beyond RK_DPDK_QUEUES; -ENOMEM;
 * said in rk_errmsg().
 */
RK_API int rk_dpdk_queue_open(struct rk_dpdk_queue **queue, const char *name,
			      const struct rk_dpdk_queue_opts *opts);

/**
 * rk_dpdk_enqueue_burst() - give frames to the actor
 * @queue: open
 * @mbufs: as rte_eth_rx_burst() gives them
 * @count: of @mbufs
 *
 * Context: one lcore, or registered thread; wait-free, never sleeps.
 * Owner: the first mbufs, as many as are returned, are the queue's from now on; frames that fit no
 * message are among them, freed and counted.
 * Return: frames taken; fewer than @count when the ring is full or closed.
 */
RK_API uint16_t rk_dpdk_enqueue_burst(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs,
				      uint16_t count);

/**
 * rk_dpdk_dequeue_burst() - take frames back that the actor wants to be transmitted
 * @queue: open
 * @mbufs: out
 * @count: room in @mbufs
 *
 * rte_mbuf::port is the port to transmit by, as the actor set it. Check it: an actor may err.
 *
 * Context: the same lcore; wait-free, never sleeps.
 * Owner: the mbufs are the caller's.
 * Return: frames; 0 when none is there.
 */
RK_API uint16_t rk_dpdk_dequeue_burst(struct rk_dpdk_queue *queue, struct rte_mbuf **mbufs,
				      uint16_t count);

/**
 * rk_dpdk_queue_closed() - whether an actor is done with a queue
 * @queue: open
 *
 * Of a queue with from_actor: nothing more will come back. Of one without: nothing more is taken.
 *
 * Context: the same lcore; never sleeps.
 * Return: 0; else why (enum rk_close).
 */
RK_API uint64_t rk_dpdk_queue_closed(const struct rk_dpdk_queue *queue);

/**
 * rk_dpdk_queue_stats() - what went through
 * @queue: open
 * @stats: out
 *
 * Context: any thread; a reading while the queue runs may be a few frames old.
 */
RK_API void rk_dpdk_queue_stats(const struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats);

/**
 * rk_dpdk_stat_name() - name of a counter
 * @index: of the u64 in struct rk_dpdk_stats, from 0
 *
 * Context: any thread; never sleeps.
 * Return: static storage; NULL past the last.
 */
RK_API const char *rk_dpdk_stat_name(unsigned int index);

/**
 * rk_dpdk_queue_latency() - how long frames took, one sample a burst
 * @queue: open
 * @which: from when to when; RX is when rk_dpdk_enqueue_burst() took it
 *
 * Context: any thread.
 * Return: lives as long as @queue; copy it (rk_hist_copy()) for figures that agree.
 */
RK_API const struct rk_hist *rk_dpdk_queue_latency(const struct rk_dpdk_queue *queue,
						   enum rk_dpdk_latency which);

/**
 * rk_dpdk_queue_close() - take back every mbuf on loan, and free the queue
 * @queue: or NULL
 * @stats: out, the last word; may be NULL
 *
 * What lies in the rings, not yet taken, is lost with the actor; mbufs are not. The rings may be gone
 * already.
 *
 * Context: any thread, when the actor has stopped, or will never look at a referenced frame again.
 */
RK_API void rk_dpdk_queue_close(struct rk_dpdk_queue *queue, struct rk_dpdk_stats *stats);

RK_END_DECLS

#endif
