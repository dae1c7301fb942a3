// SPDX-License-Identifier: GPL-2.0
/*
 * GPU memory through the NVIDIA p2p interface.
 *
 * The functions are found by symbol_get, so the module loads and serves the rest without any GPU
 * driver; while GPU memory is pinned the references keep that driver loaded.
 *
 * The driver takes memory back by calling rk_gpu_freed(), under locks of its own, and reuses the
 * memory as soon as that returns.  So rk_gpu_freed() calls nothing of the driver, and every mapping
 * is gone when it returns.  What it gets is a number, looked up in gpu_cookies, not a pointer: a
 * call that comes late finds nothing.
 *
 * It may also come early, while rk_pin_gpu() still reads the page table, which the driver frees
 * after the call: it waits for gpu->ready.  The pinning side needs no lock of the driver to get
 * there, since the callback is registered as the last step of nvidia_p2p_get_pages().
 */
#include <linux/ioport.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "ringkernel.h"

/**
 * struct rk_gpu_mem - GPU memory
 * @mem: what it has in common with other memory
 * @addr: GPU virtual address
 * @persistent: made by the persistent variant: never freed under us
 * @table: the driver's page table; not looked into once @ready
 * @gone: the driver has taken the memory back; protected by mem.lock
 * @cookie: our number in gpu_cookies
 * @ready: the page table has been copied, or will not be
 * @get: functions of the driver; NULL if not held
 * @put: same
 * @get_persistent: same
 * @put_persistent: same
 */
struct rk_gpu_mem {
	struct rk_mem mem;
	u64 addr;
	bool persistent;
	struct nvidia_p2p_page_table *table;
	bool gone;
	u32 cookie;
	struct completion ready;
	typeof(nvidia_p2p_get_pages) *get;
	typeof(nvidia_p2p_put_pages) *put;
	typeof(nvidia_p2p_get_pages_persistent) *get_persistent;
	typeof(nvidia_p2p_put_pages_persistent) *put_persistent;
};

static DEFINE_XARRAY_ALLOC1(gpu_cookies);
static u32 gpu_cookie_next;

static struct rk_gpu_mem *to_gpu(struct rk_mem *mem)
{
	return container_of(mem, struct rk_gpu_mem, mem);
}

/* For memory of kind RK_MEM_GPU only. */
bool rk_gpu_is_persistent(struct rk_mem *mem)
{
	return to_gpu(mem)->persistent;
}

static void put_driver(struct rk_gpu_mem *gpu)
{
	if (gpu->get)
		symbol_put(nvidia_p2p_get_pages);
	if (gpu->put)
		symbol_put(nvidia_p2p_put_pages);
	if (gpu->get_persistent)
		symbol_put(nvidia_p2p_get_pages_persistent);
	if (gpu->put_persistent)
		symbol_put(nvidia_p2p_put_pages_persistent);
	gpu->get = NULL;
	gpu->put = NULL;
	gpu->get_persistent = NULL;
	gpu->put_persistent = NULL;
}

static int get_driver(struct rk_gpu_mem *gpu)
{
	gpu->get = symbol_get(nvidia_p2p_get_pages);
	gpu->put = symbol_get(nvidia_p2p_put_pages);
	if (!gpu->get || !gpu->put)
		return -ENODEV;
	if (!gpu->persistent)
		return 0;
	gpu->get_persistent = symbol_get(nvidia_p2p_get_pages_persistent);
	gpu->put_persistent = symbol_get(nvidia_p2p_put_pages_persistent);
	return gpu->get_persistent && gpu->put_persistent ? 0 : -EOPNOTSUPP;
}

/* RK_FEAT_* as of now. */
u64 rk_gpu_features(void)
{
	struct rk_gpu_mem probe = { .persistent = true };
	int err = get_driver(&probe);

	put_driver(&probe);
	if (!err)
		return RK_FEAT_P2P | RK_FEAT_P2P_PERSISTENT;
	return err == -EOPNOTSUPP ? RK_FEAT_P2P : 0;
}

static bool is_gone(struct rk_gpu_mem *gpu)
{
	bool gone;

	down_read(&gpu->mem.lock);
	gone = gpu->gone;
	up_read(&gpu->mem.lock);
	return gone;
}

/*
 * The driver may take the memory back between the check and the call.  It settles that race: a put
 * that finds the table unlinked already does nothing, and does not look into it.
 */
static void gpu_release(struct rk_mem *mem)
{
	struct rk_gpu_mem *gpu = to_gpu(mem);
	int err = 0;

	if (gpu->table && !is_gone(gpu)) {
		if (gpu->persistent)
			err = gpu->put_persistent(gpu->addr, gpu->table, 0);
		else
			err = gpu->put(0, 0, gpu->addr, gpu->table);
	}
	if (err) {
		rk_stat_add(RK_STAT_PUT_FAILED, 1);
		pr_warn_ratelimited("the GPU driver did not take back %llu bytes: %d\n", mem->bytes,
				    err);
	}
	gpu->table = NULL;
	if (gpu->cookie)
		xa_erase(&gpu_cookies, gpu->cookie);
	put_driver(gpu);
}

static void gpu_free(struct rk_mem *mem)
{
	kfree(to_gpu(mem));
}

static const struct rk_mem_ops gpu_ops = {
	.release = gpu_release,
	.free = gpu_free,
};

static struct rk_gpu_mem *find_cookie(unsigned long cookie)
{
	struct rk_gpu_mem *gpu;

	xa_lock(&gpu_cookies);
	gpu = xa_load(&gpu_cookies, cookie);
	if (gpu && !kref_get_unless_zero(&gpu->mem.ref))
		gpu = NULL;
	xa_unlock(&gpu_cookies);
	return gpu;
}

/* The driver's call: the memory is freed, or its context has died. */
static void rk_gpu_freed(void *data)
{
	struct rk_gpu_mem *gpu = find_cookie((unsigned long)data);

	if (!gpu)
		return;
	wait_for_completion(&gpu->ready);
	down_write(&gpu->mem.lock);
	gpu->gone = true;
	up_write(&gpu->mem.lock);
	rk_mem_revoke(&gpu->mem);
	rk_stat_add(RK_STAT_REVOKED_BY_DRIVER, 1);
	rk_mem_put(&gpu->mem);
}

static u32 page_bytes_of(const struct nvidia_p2p_page_table *table)
{
	switch (table->page_size) {
	case NV_P2P_PAGE_4K:
		return SZ_4K;
	case NV_P2P_PAGE_64K:
		return SZ_64K;
	case NV_P2P_PAGE_128K:
		return SZ_128K;
	default:
		return 0;
	}
}

static int bad_table(const char *what, u64 value)
{
	pr_warn_ratelimited("GPU driver's page table: bad %s: %#llx\n", what, value);
	return -EIO;
}

static int check_page(phys_addr_t phys, u32 page_bytes, bool cacheable)
{
	if (!phys || !IS_ALIGNED(phys, page_bytes) || phys + page_bytes < phys)
		return bad_table("address", phys);
	/* System memory here would be somebody's; only a coherent GPU's memory may look like it. */
	if (!cacheable && region_intersects(phys, page_bytes, IORESOURCE_SYSTEM_RAM,
					    IORES_DESC_NONE) != REGION_DISJOINT)
		return bad_table("address (system memory)", phys);
	return 0;
}

/* Copies what is needed of the driver's page table, believing nothing. */
static int copy_table(struct rk_gpu_mem *gpu, u32 *page_bytes)
{
	const struct nvidia_p2p_page_table *table = gpu->table;
	struct rk_mem *mem = &gpu->mem;
	struct rk_extent *last = NULL;
	u64 offset = 0;
	bool cacheable;
	u32 size, i;
	int err;

	if (!table || NV_P2P_TABLE_MAJOR(table->version) != NV_P2P_TABLE_MAJOR_KNOWN)
		return bad_table("version", table ? table->version : 0);
	size = page_bytes_of(table);
	if (!size)
		return bad_table("page size", table->page_size);
	if (!IS_ALIGNED(mem->bytes, size) || table->entries != mem->bytes / size || !table->pages)
		return bad_table("number of entries", table->entries);
	mem->extents = kvcalloc(table->entries, sizeof(*mem->extents), GFP_KERNEL_ACCOUNT);
	if (!mem->extents)
		return -ENOMEM;
	cacheable = table->flags & NV_P2P_TABLE_CACHEABLE;
	for (i = 0; i < table->entries; i++, offset += size) {
		phys_addr_t phys = table->pages[i] ? table->pages[i]->physical_address : 0;

		err = check_page(phys, size, cacheable);
		if (err)
			return err;
		if (last && last->phys + last->bytes == phys) {
			last->bytes += size;
			continue;
		}
		last = &mem->extents[mem->nr_extents++];
		*last = (struct rk_extent){ .offset = offset, .bytes = size, .phys = phys };
	}
	mem->page_prot_wc = !cacheable;
	*page_bytes = size;
	return 0;
}

static int get_pages(struct rk_gpu_mem *gpu, u32 *page_bytes)
{
	int err;

	if (gpu->persistent) {
		err = gpu->get_persistent(gpu->addr, gpu->mem.bytes, &gpu->table, 0);
	} else {
		/* Cookies are not used again soon, so a late callback cannot hit another's. */
		err = xa_alloc_cyclic(&gpu_cookies, &gpu->cookie, gpu, xa_limit_31b,
				      &gpu_cookie_next, GFP_KERNEL);
		if (err < 0) {
			gpu->cookie = 0;
			return err;
		}
		err = gpu->get(0, 0, gpu->addr, gpu->mem.bytes, &gpu->table, rk_gpu_freed,
			       (void *)(unsigned long)gpu->cookie);
	}
	if (err)
		gpu->table = NULL; /* a failed get may leave a stale pointer behind */
	else
		err = copy_table(gpu, page_bytes);
	complete_all(&gpu->ready);
	return err == -ENOTSUPP ? -EOPNOTSUPP : err;
}

static int check_args(const struct rk_pin_gpu *in)
{
	u64 end;

	if (in->flags & ~RK_PIN_GPU_F_ALL) {
		rk_refuse("PIN_GPU", "flags", in->flags);
		return -EINVAL;
	}
	if (in->reserved[0] || in->reserved[1]) {
		rk_refuse("PIN_GPU", "reserved", in->reserved[0] | in->reserved[1]);
		return -EINVAL;
	}
	if (!in->addr || !IS_ALIGNED(in->addr, SZ_64K)) {
		rk_refuse("PIN_GPU", "addr", in->addr);
		return -EINVAL;
	}
	if (!in->bytes || !IS_ALIGNED(in->bytes, SZ_64K)) {
		rk_refuse("PIN_GPU", "bytes", in->bytes);
		return -EINVAL;
	}
	if (check_add_overflow(in->addr, in->bytes, &end)) {
		rk_refuse("PIN_GPU", "addr + bytes", in->bytes);
		return -EOVERFLOW;
	}
	if (in->bytes > RK_MAX_BYTES) {
		rk_refuse("PIN_GPU", "bytes", in->bytes);
		return -EINVAL;
	}
	return 0;
}

int rk_pin_gpu(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_pin_gpu *io = arg;
	struct rk_cost cost = { .objects = 1 };
	struct rk_gpu_mem *gpu;
	int err = check_args(io);

	if (err)
		return err;
	cost.pages = io->bytes >> PAGE_SHIFT;
	gpu = kzalloc(sizeof(*gpu), GFP_KERNEL_ACCOUNT);
	if (!gpu)
		return -ENOMEM;
	gpu->addr = io->addr;
	gpu->persistent = io->flags & RK_PIN_GPU_F_PERSISTENT;
	init_completion(&gpu->ready);
	err = rk_mem_init(&gpu->mem, ctx, &gpu_ops, RK_MEM_GPU, io->bytes, &cost);
	if (err) {
		kfree(gpu);
		return err;
	}
	err = get_driver(gpu);
	if (!err)
		err = get_pages(gpu, &io->page_bytes);
	if (!err && is_gone(gpu))
		err = -ENODEV;
	if (!err) {
		rk_wc_reserve(&gpu->mem);
		io->runs = gpu->mem.nr_extents;
		io->wc_runs = gpu->mem.nr_wc;
		io->reserved_out = 0;
		err = rk_mem_publish(&gpu->mem, &io->handle, &io->mmap_offset, to, io, sizeof(*io));
	}
	if (err) {
		rk_mem_drop(&gpu->mem);
		return err;
	}
	rk_stat_add(RK_STAT_PINS_GPU, 1);
	return 0;
}
