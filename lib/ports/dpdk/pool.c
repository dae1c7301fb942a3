// SPDX-License-Identifier: MIT
/*
 * Pools of mbufs in a region, and their loans to actors.
 *
 * A loan is one word per buffer, so that whoever has the message can return it, on any thread, and
 * only once: the ticket in the message must be the one in the word.
 */
#include "ports/dpdk/dpdk.h"

#include <pthread.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MBUFS = 8191, DEFAULT_CACHE = 256 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, for writing */
static struct rk_dpdk_pool *pools[RK_DPDK_POOLS];
static bool owners[DPDK_OWNERS] = {true};

/* --- Making pools --- */

static bool physical(void)
{
	return rte_eal_iova_mode() == RTE_IOVA_PA;
}

static void add_note(struct rk_dpdk_pool *pool, const char *format, const char *detail)
{
	size_t used = strlen(pool->note);

	if (!*detail)
		return;
	if (used)
		used += (size_t)snprintf(pool->note + used, sizeof(pool->note) - used, "; ");
	snprintf(pool->note + used, sizeof(pool->note) - used, format, detail);
}

/* Buffers that a page, or the whole where addresses are virtual, has room for. */
static uint32_t buffers_in(const struct rk_dpdk_pool *pool, size_t bytes)
{
	size_t page = physical() ? pool->page_bytes : bytes;

	return (uint32_t)(bytes / page * (page / pool->room_bytes));
}

/* Bytes of memory that hold @mbufs buffers, whatever its pages will be. */
static size_t bytes_for(const struct rk_dpdk_pool *pool, uint32_t mbufs)
{
	size_t per_page = RK_PAGE_BYTES / pool->room_bytes;

	if (physical() && per_page)
		return (mbufs + per_page - 1) / per_page * RK_PAGE_BYTES;
	return (size_t)mbufs * pool->room_bytes;
}

static int take_memory(struct rk_dpdk_pool *pool, uint32_t mbufs,
		       const struct rk_dpdk_pool_opts *opts)
{
	const struct rk_region_opts region_opts = {.size = sizeof(region_opts),
						   .numa_node = opts->numa_node,
						   .on_node = opts->on_node,
						   .cuda = opts->cuda,
						   .gpu = opts->gpu,
						   .on_gpu = opts->on_gpu};
	const struct rk_region_info *info;

	pool->region = opts->region;
	if (!pool->region) {
		int result = rk_region_open(&pool->region, bytes_for(pool, mbufs), &region_opts);

		if (result)
			return result;
		pool->own_region = true;
	}
	info = rk_region_info(pool->region);
	add_note(pool, "%s", info->note);
	if (info->on_gpu && physical())
		return rk_fail(EOPNOTSUPP,
			       "memory of a GPU has no physical addresses here: --iova-mode=va");
	/* A NIC is told the GPU's own address: the CPU's mapping is no memory to its driver. */
	pool->base = info->on_gpu ? (uint8_t *)(uintptr_t)info->gpu_addr : info->host_addr;
	pool->bytes = info->bytes;
	pool->page_bytes = info->page_bytes;
	if (buffers_in(pool, pool->bytes) < mbufs)
		return rk_fail(EINVAL,
			       "the region's %zu bytes in pages of %zu hold %u buffers of %u "
			       "bytes, not %u: give a larger one%s",
			       pool->bytes, pool->page_bytes, buffers_in(pool, pool->bytes),
			       pool->room_bytes, mbufs,
			       physical() ? ", huge pages, or --iova-mode=va" : "");
	return 0;
}

/* Tell the EAL of the memory, with the physical addresses of its pages where it uses such. */
static int register_memory(struct rk_dpdk_pool *pool)
{
	unsigned int pages = (unsigned int)(pool->bytes / pool->page_bytes);
	rte_iova_t *iova = NULL;
	int result;

	if (physical()) {
		iova = calloc(pages, sizeof(*iova));
		if (!iova)
			return rk_fail(ENOMEM, "no memory for %u page addresses", pages);
		for (unsigned int i = 0; i < pages; i++)
			iova[i] = rte_mem_virt2iova(pool->base + i * pool->page_bytes);
	}
	result = rte_extmem_register(pool->base, pool->bytes, iova, pages, pool->page_bytes);
	free(iova);
	if (result)
		return rk_fail(rte_errno, "rte_extmem_register of %zu bytes: %s", pool->bytes,
			       rte_strerror(rte_errno));
	pool->registered = true;
	return 0;
}

static int make_mempool(struct rk_dpdk_pool *pool, uint32_t mbufs, uint16_t data_room,
			const struct rk_dpdk_pool_opts *opts)
{
	size_t piece = physical() ? pool->page_bytes : pool->bytes;
	unsigned int pieces = (unsigned int)(pool->bytes / piece);
	struct rte_pktmbuf_extmem *memory = calloc(pieces, sizeof(*memory));
	uint32_t cache = opts->cache ? opts->cache : DEFAULT_CACHE;

	if (!memory)
		return rk_fail(ENOMEM, "no memory for %u pieces", pieces);
	for (unsigned int i = 0; i < pieces; i++) {
		uint8_t *at = pool->base + i * piece;

		memory[i] = (struct rte_pktmbuf_extmem){
			.buf_ptr = at,
			.buf_iova = physical() ? rte_mem_virt2iova(at) : (rte_iova_t)(uintptr_t)at,
			.buf_len = piece,
			.elt_size = (uint16_t)pool->room_bytes};
	}
	if (cache > RTE_MEMPOOL_CACHE_MAX_SIZE)
		cache = RTE_MEMPOOL_CACHE_MAX_SIZE;
	if (!opts->cache && cache > mbufs * 2 / 3)
		cache = mbufs * 2 / 3;
	pool->mempool = rte_pktmbuf_pool_create_extbuf(
		pool->name, mbufs, cache, 0, data_room,
		opts->on_node ? opts->numa_node : SOCKET_ID_ANY, memory, pieces);
	free(memory);
	if (!pool->mempool)
		return rk_fail(rte_errno,
			       "rte_pktmbuf_pool_create_extbuf of %u mbufs, cache %u: %s", mbufs,
			       cache, rte_strerror(rte_errno));
	return 0;
}

static int enlist(struct rk_dpdk_pool *pool)
{
	int result = -ENOSPC;

	pthread_mutex_lock(&mutex);
	for (uint32_t i = 0; result && i < RK_DPDK_POOLS; i++) {
		if (pools[i])
			continue;
		pool->index = (uint8_t)i;
		/* Relaxed: a frame of this pool comes later, by way of a NIC or a ring. */
		__atomic_store_n(&pools[i], pool, __ATOMIC_RELAXED);
		result = 0;
	}
	pthread_mutex_unlock(&mutex);
	return result ? rk_fail(ENOSPC, "%d pools are open: close one", RK_DPDK_POOLS) : 0;
}

static void dismiss(struct rk_dpdk_pool *pool)
{
	pthread_mutex_lock(&mutex);
	if (pools[pool->index] == pool)
		__atomic_store_n(&pools[pool->index], NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mutex);
}

static void free_pool(struct rk_dpdk_pool *pool)
{
	while (pool->mapped_count)
		rk_dpdk_pool_unmap(pool, pool->mapped[0]);
	if (pool->registered)
		rte_extmem_unregister(pool->base, pool->bytes);
	if (pool->own_region)
		rk_region_close(pool->region);
	free(pool->lent);
	free(pool->ticket);
	free(pool);
}

int rk_dpdk_pool_open(struct rk_dpdk_pool **out, const char *name,
		      const struct rk_dpdk_pool_opts *opts)
{
	static const struct rk_dpdk_pool_opts defaults = {.size = sizeof(defaults)};
	uint16_t data_room;
	struct rk_dpdk_pool *pool;
	uint32_t mbufs;
	int result = 0;

	if (!opts)
		opts = &defaults;
	mbufs = opts->mbufs ? opts->mbufs : DEFAULT_MBUFS;
	data_room = opts->data_room_bytes ? opts->data_room_bytes : RTE_MBUF_DEFAULT_BUF_SIZE;
	if (data_room <= RTE_PKTMBUF_HEADROOM || data_room > UINT16_MAX - RTE_CACHE_LINE_SIZE ||
	    mbufs > RK_DPDK_POOL_MBUFS)
		return rk_fail(EINVAL,
			       "pool '%s': %u mbufs of %u bytes: at most %u, of more than the "
			       "headroom's %d and at most %d bytes",
			       name, mbufs, data_room, RK_DPDK_POOL_MBUFS, RTE_PKTMBUF_HEADROOM,
			       UINT16_MAX - RTE_CACHE_LINE_SIZE);
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return rk_fail(ENOMEM, "pool '%s': no memory", name);
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	pool->room_bytes = RTE_CACHE_LINE_ROUNDUP(data_room);
	pool->room_log2 = 31 - (uint32_t)__builtin_clz(pool->room_bytes);
	result = take_memory(pool, mbufs, opts);
	if (!result)
		result = register_memory(pool);
	if (!result)
		result = make_mempool(pool, mbufs, data_room, opts);
	if (!result) {
		pool->buffers = (uint32_t)(pool->bytes >> pool->room_log2) + 1;
		pool->lent = calloc(pool->buffers, sizeof(struct rte_mbuf *));
		pool->ticket = calloc(pool->buffers, sizeof(*pool->ticket));
		result = pool->lent && pool->ticket
				 ? enlist(pool)
				 : rk_fail(ENOMEM, "no memory for %u loans", pool->buffers);
	}
	if (result) {
		rk_fail_within(result, "pool '%s'", name);
		rte_mempool_free(pool->mempool);
		free_pool(pool);
		return result;
	}
	*out = pool;
	return 0;
}

/* Frames may be received into memory of a GPU if a NIC writes them, and their headers elsewhere. */
static int check_gpu(const struct rk_dpdk_pool *pool, uint16_t port_id,
		     const struct rte_eth_dev_info *info)
{
	if (!rk_region_info(pool->region)->on_gpu ||
	    info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT)
		return 0;
	return rk_fail(EOPNOTSUPP,
		       "pool '%s': port %u, %s: it does not split frames, so the CPU would have to "
		       "read their headers in memory of the GPU: give host memory registered with "
		       "CUDA",
		       pool->name, port_id, info->driver_name);
}

int rk_dpdk_pool_map(struct rk_dpdk_pool *pool, uint16_t port_id)
{
	struct rte_eth_dev_info info;
	int result;

	if (rte_eth_dev_info_get(port_id, &info))
		return rk_fail(ENODEV, "pool '%s': there is no port %u", pool->name, port_id);
	if (pool->mapped_count == sizeof(pool->mapped) / sizeof(pool->mapped[0]))
		return rk_fail(ENOSPC, "pool '%s': mapped for %u ports, the most there may be",
			       pool->name, pool->mapped_count);
	result = check_gpu(pool, port_id, &info);
	if (result)
		return result;
	/* Virtual devices have no DMA, and say that they do not support it. */
	if (physical() || !rte_dev_dma_map(info.device, pool->base,
					   (uint64_t)(uintptr_t)pool->base, pool->bytes)) {
		if (!physical())
			pool->mapped[pool->mapped_count++] = port_id;
		return 0;
	}
	if (rte_errno == ENOTSUP && !rk_region_info(pool->region)->on_gpu)
		return 0;
	return rk_fail(rte_errno, "pool '%s': rte_dev_dma_map for port %u: %s", pool->name, port_id,
		       rte_strerror(rte_errno));
}

void rk_dpdk_pool_unmap(struct rk_dpdk_pool *pool, uint16_t port_id)
{
	struct rte_eth_dev_info info;
	uint32_t at = 0;

	while (at < pool->mapped_count && pool->mapped[at] != port_id)
		at++;
	if (at == pool->mapped_count)
		return;
	pool->mapped[at] = pool->mapped[--pool->mapped_count];
	if (rte_eth_dev_is_valid_port(port_id) && !rte_eth_dev_info_get(port_id, &info))
		rte_dev_dma_unmap(info.device, pool->base, (uint64_t)(uintptr_t)pool->base,
				  pool->bytes);
}

struct rte_mempool *rk_dpdk_pool_mempool(const struct rk_dpdk_pool *pool)
{
	return pool->mempool;
}

const struct rk_region *rk_dpdk_pool_region(const struct rk_dpdk_pool *pool)
{
	return pool->region;
}

const char *rk_dpdk_pool_note(const struct rk_dpdk_pool *pool)
{
	return pool->note;
}

int rk_dpdk_pool_close(struct rk_dpdk_pool *pool)
{
	unsigned int out;

	if (!pool)
		return 0;
	out = rte_mempool_in_use_count(pool->mempool);
	if (out)
		return rk_fail(EBUSY,
			       "pool '%s': %u mbufs are out: stop the ports that use it, close "
			       "its queues and free what the application holds",
			       pool->name, out);
	dismiss(pool);
	rte_mempool_free(pool->mempool);
	free_pool(pool);
	return 0;
}

void dpdk_pools_each(void (*each)(const struct rk_dpdk_pool *pool, void *argument), void *argument)
{
	pthread_mutex_lock(&mutex);
	for (uint32_t i = 0; i < RK_DPDK_POOLS; i++)
		if (pools[i])
			each(pools[i], argument);
	pthread_mutex_unlock(&mutex);
}

/* --- Loans --- */

struct rk_dpdk_pool *dpdk_pool_of(const struct rte_mbuf *mbuf)
{
	for (uint32_t i = 0; i < RK_DPDK_POOLS; i++) {
		struct rk_dpdk_pool *pool = __atomic_load_n(&pools[i], __ATOMIC_RELAXED);

		/* Buffers of such a pool are pinned: its mbufs never point elsewhere. */
		if (pool && pool->mempool == mbuf->pool)
			return pool;
	}
	return NULL;
}

uint32_t dpdk_lend(struct rk_dpdk_pool *pool, struct rte_mbuf *frame, struct rte_mbuf *segment,
		   uint32_t ticket)
{
	uint32_t index = (uint32_t)((size_t)((uint8_t *)segment->buf_addr - pool->base) >>
				    pool->room_log2);

	pool->lent[index] = frame;
	/* Relaxed: dpdk_publish_loans() orders it before the message. */
	__atomic_store_n(&pool->ticket[index], ticket, __ATOMIC_RELAXED);
	return index;
}

struct rte_mbuf *dpdk_redeem(const struct rk_frame *frame)
{
	struct rk_dpdk_pool *pool;
	uint32_t ticket = frame->ticket;

	/* A20: pairs with R20 in dpdk_publish_loans(), by way of the ring: the loan is seen. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (frame->pool >= RK_DPDK_POOLS || !ticket)
		return NULL;
	pool = __atomic_load_n(&pools[frame->pool], __ATOMIC_RELAXED);
	/* Relaxed: the exchange only decides who has the frame; the fences order its bytes. */
	if (!pool || frame->buffer >= pool->buffers ||
	    !__atomic_compare_exchange_n(&pool->ticket[frame->buffer], &ticket, 0, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return NULL;
	return pool->lent[frame->buffer];
}

uint8_t dpdk_owner_new(void)
{
	uint8_t owner = 0;

	pthread_mutex_lock(&mutex);
	for (uint32_t i = 1; !owner && i < DPDK_OWNERS; i++)
		if (!owners[i])
			owner = (uint8_t)i;
	owners[owner] = true;
	pthread_mutex_unlock(&mutex);
	return owner;
}

void dpdk_owner_free(uint8_t owner)
{
	if (!owner)
		return;
	pthread_mutex_lock(&mutex);
	owners[owner] = false;
	pthread_mutex_unlock(&mutex);
}

/* Loans of @owner in one pool; with @reclaim they end. */
static uint64_t walk(struct rk_dpdk_pool *pool, uint8_t owner, bool reclaim)
{
	uint64_t loans = 0;

	for (uint32_t i = 0; i < pool->buffers; i++) {
		uint32_t ticket = __atomic_load_n(&pool->ticket[i], __ATOMIC_RELAXED);

		if (!ticket || ticket >> 24 != owner)
			continue;
		if (reclaim) {
			if (!__atomic_compare_exchange_n(&pool->ticket[i], &ticket, 0, false,
							 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				continue;
			rte_pktmbuf_free(pool->lent[i]);
		}
		loans++;
	}
	return loans;
}

static uint64_t walk_all(uint8_t owner, bool reclaim)
{
	uint64_t loans = 0;

	pthread_mutex_lock(&mutex);
	for (uint32_t i = 0; owner && i < RK_DPDK_POOLS; i++)
		if (pools[i])
			loans += walk(pools[i], owner, reclaim);
	pthread_mutex_unlock(&mutex);
	return loans;
}

uint64_t dpdk_owner_loans(uint8_t owner)
{
	return walk_all(owner, false);
}

uint64_t dpdk_owner_reclaim(uint8_t owner)
{
	return walk_all(owner, true);
}
