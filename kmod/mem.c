// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a piece of memory, whatever its kind.
 *
 * Two counts.  @ref keeps the struct; @users keeps the pages.  The owner's handle holds one of
 * each.  An importer that has the pages mapped for DMA holds one of @users, so pages of an owner
 * who is gone stay pinned until the device has let go, and not longer.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

static struct workqueue_struct *rk_wq;

int rk_mem_wq_init(void)
{
	rk_wq = alloc_workqueue("ringkernel", 0, 0);
	return rk_wq ? 0 : -ENOMEM;
}

void rk_mem_wq_exit(void)
{
	destroy_workqueue(rk_wq);
}

/* The pages have no user left: back they go, and so does the charge. */
static void release_pages_of(struct rk_mem *mem)
{
	mem->ops->release(mem);
	rk_uncharge(mem->ctx->user, mem->ctx->mm, &mem->cost);
}

static void release_worker(struct work_struct *work)
{
	struct rk_mem *mem = container_of(work, struct rk_mem, release_work);

	release_pages_of(mem);
	rk_mem_put(mem);
}

/**
 * rk_mem_init() - make a piece of memory ready to be filled by its kind
 * @mem: zeroed
 * @ctx: opener
 * @ops: what its kind does
 * @kind: RK_MEM_*
 * @bytes: size
 * @cost: charged to the opener's user
 *
 * On success the caller owns one reference of each count, to be given up by rk_mem_drop(); on
 * failure nothing is held and @mem is the caller's to free.
 *
 * Return: 0, -EDQUOT or -ENOMEM as rk_charge().
 */
int rk_mem_init(struct rk_mem *mem, struct rk_ctx *ctx, const struct rk_mem_ops *ops, u32 kind,
		u64 bytes, const struct rk_cost *cost)
{
	int err = rk_charge(ctx->user, ctx->mm, cost);

	if (err)
		return err;
	kref_init(&mem->ref);
	refcount_set(&mem->users, 1);
	kref_get(&ctx->ref);
	mem->ctx = ctx;
	mem->ops = ops;
	mem->kind = kind;
	mem->bytes = bytes;
	mem->cost = *cost;
	init_rwsem(&mem->lock);
	mutex_init(&mem->exports_lock);
	INIT_LIST_HEAD(&mem->exports);
	INIT_WORK(&mem->release_work, release_worker);
	return 0;
}

/**
 * rk_mem_publish() - give finished memory a handle and tell the caller
 * @mem: the memory; the handle takes over the caller's references on success
 * @handle: where in the answer its handle goes
 * @mmap_offset: where in the answer its mmap offset goes
 * @to: the caller's struct
 * @from: the answer, which holds @handle and @mmap_offset
 * @size: of the answer
 *
 * The handle is reserved first and filled last: an answer that cannot be delivered leaves nothing.
 *
 * Return: 0, or -errno, and then the caller drops @mem.
 */
int rk_mem_publish(struct rk_mem *mem, u32 *handle, u64 *mmap_offset, void __user *to,
		   const void *from, size_t size)
{
	struct rk_ctx *ctx = mem->ctx;
	u32 id;
	int err;

	err = xa_alloc(&ctx->mems, &id, NULL, RK_HANDLE_LIMIT, GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EDQUOT : err;
	*handle = id;
	*mmap_offset = (u64)id << RK_OFFSET_BITS;
	if (copy_to_user(to, from, size)) {
		xa_erase(&ctx->mems, id);
		return -EFAULT;
	}
	mutex_lock(&ctx->lock);
	if (ctx->dead) {
		err = -EPERM;
		xa_erase(&ctx->mems, id);
	} else {
		mem->handle = id;
		xa_store(&ctx->mems, id, mem, GFP_KERNEL);
	}
	mutex_unlock(&ctx->lock);
	return err;
}

/* Return: the memory with a reference, or NULL. */
struct rk_mem *rk_mem_find(struct rk_ctx *ctx, u32 handle)
{
	struct rk_mem *mem;

	mutex_lock(&ctx->lock);
	mem = xa_load(&ctx->mems, handle);
	if (mem)
		rk_mem_get(mem);
	mutex_unlock(&ctx->lock);
	return mem;
}

void rk_mem_get(struct rk_mem *mem)
{
	kref_get(&mem->ref);
}

static void mem_free(struct kref *ref)
{
	struct rk_mem *mem = container_of(ref, struct rk_mem, ref);
	struct rk_extent *extents = mem->extents;
	struct page **pages = mem->pages;
	struct rk_ctx *ctx = mem->ctx;

	mem->ops->free(mem);
	kvfree(extents);
	kvfree(pages);
	rk_ctx_put(ctx);
}

void rk_mem_put(struct rk_mem *mem)
{
	kref_put(&mem->ref, mem_free);
}

/**
 * rk_mem_drop() - the owner gives memory up: revoke it and let its pages go
 * @mem: memory whose owner's references the caller holds
 *
 * Context: process; takes no lock of its caller's, may call the GPU driver.
 */
void rk_mem_drop(struct rk_mem *mem)
{
	rk_mem_revoke(mem);
	if (refcount_dec_and_test(&mem->users))
		release_pages_of(mem);
	rk_mem_put(mem);
}

/* An importer lets go, under locks that forbid calling the GPU driver. */
void rk_mem_unuse_deferred(struct rk_mem *mem)
{
	if (!refcount_dec_and_test(&mem->users))
		return;
	rk_mem_get(mem);
	queue_work(rk_wq, &mem->release_work);
}

/* The contiguous piece of GPU memory that holds @offset, or NULL beyond the end. */
const struct rk_extent *rk_mem_extent(const struct rk_mem *mem, u64 offset)
{
	u32 low = 0, high = mem->nr_extents;

	while (low < high) {
		u32 mid = low + (high - low) / 2;
		const struct rk_extent *extent = &mem->extents[mid];

		if (offset < extent->offset)
			high = mid;
		else if (offset - extent->offset >= extent->bytes)
			low = mid + 1;
		else
			return extent;
	}
	return NULL;
}

int rk_unpin(struct rk_ctx *ctx, void *arg, void __user *to)
{
	const struct rk_unpin *in = arg;
	struct rk_mem *mem;

	if (in->reserved) {
		rk_refuse("UNPIN", "reserved", in->reserved);
		return -EINVAL;
	}
	mutex_lock(&ctx->lock);
	mem = xa_load(&ctx->mems, in->handle);
	if (mem)
		xa_erase(&ctx->mems, in->handle);
	mutex_unlock(&ctx->lock);
	if (!mem)
		return -ENOENT;
	rk_mem_drop(mem);
	rk_stat_add(RK_STAT_UNPINS, 1);
	return 0;
}

int rk_run(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_run *io = arg;
	struct rk_mem *mem;
	int err = 0;

	if (io->reserved[0] || io->reserved[1]) {
		rk_refuse("RUN", "reserved", io->reserved[0] | io->reserved[1]);
		return -EINVAL;
	}
	mem = rk_mem_find(ctx, io->handle);
	if (!mem)
		return -ENOENT;
	if (io->index >= max(mem->nr_extents, 1u)) {
		err = -ENOENT;
	} else if (mem->extents) {
		io->offset = mem->extents[io->index].offset;
		io->bytes = mem->extents[io->index].bytes;
	} else {
		io->offset = 0;
		io->bytes = mem->bytes;
	}
	rk_mem_put(mem);
	if (!err && copy_to_user(to, io, sizeof(*io)))
		err = -EFAULT;
	return err;
}

int rk_mem_info(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_mem_info *io = arg;
	struct rk_mem *mem;
	int err = 0;

	if (io->flags || io->reserved[0] || io->reserved[1]) {
		rk_refuse("MEM_INFO", io->flags ? "flags" : "reserved",
			  io->flags ? io->flags : io->reserved[0] | io->reserved[1]);
		return -EINVAL;
	}
	mem = rk_mem_find(ctx, io->handle);
	if (!mem)
		return -ENOENT;
	io->bytes = mem->bytes;
	io->kind = mem->kind;
	io->runs = max(mem->nr_extents, 1u);
	io->wc_runs = mem->nr_wc;
	io->reserved_out = 0;
	down_read(&mem->lock);
	io->revoked = mem->dead;
	up_read(&mem->lock);
	io->mem_type = io->addr ? rk_mem_type_at(mem, io->addr, &err) : RK_TYPE_NONE;
	rk_mem_put(mem);
	if (!err && copy_to_user(to, io, sizeof(*io)))
		err = -EFAULT;
	return err;
}
