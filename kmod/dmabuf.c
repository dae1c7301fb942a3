// SPDX-License-Identifier: GPL-2.0
/*
 * Memory shared with other processes and with drivers (verbs), as a dma-buf.
 *
 * GPU memory that its driver may take back goes only to importers that can be told (move_notify);
 * they must reach peer memory, for there are no struct pages behind it.
 *
 * The dma-buf's file gets the opener's address space, so that one zap reaches its mappings too.
 */
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

RK_IMPORT_DMA_BUF;

/* Longest piece in a scatterlist of GPU memory, whose lengths are 32 bits. */
#define SEGMENT_BYTES	SZ_1G

struct rk_export_node {
	struct list_head node;
	struct dma_buf *dmabuf;
	struct rk_mem *mem;
};

static struct rk_mem *mem_of(struct dma_buf *dmabuf)
{
	struct rk_export_node *export = dmabuf->priv;

	return export->mem;
}

static int rk_dmabuf_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	if (mem_of(dmabuf)->kind == RK_MEM_GPU && !attach->peer2peer)
		return -EOPNOTSUPP;
	return 0;
}

/* An importer that cannot be told to let go. */
static int rk_dmabuf_pin(struct dma_buf_attachment *attach)
{
	struct rk_mem *mem = mem_of(attach->dmabuf);

	return mem->kind == RK_MEM_GPU && !rk_gpu_is_persistent(mem) ? -EOPNOTSUPP : 0;
}

static void rk_dmabuf_unpin(struct dma_buf_attachment *attach)
{
}

static void unmap_extents(struct device *dev, struct sg_table *sgt, unsigned int mapped,
			  enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (i == mapped)
			break;
		dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg), dir,
				   DMA_ATTR_SKIP_CPU_SYNC);
	}
}

static int map_extents(struct device *dev, const struct rk_mem *mem, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int n = 0, done = 0;
	u64 at = 0;
	u32 i;
	int err;

	for (i = 0; i < mem->nr_extents; i++)
		n += DIV_ROUND_UP_ULL(mem->extents[i].bytes, SEGMENT_BYTES);
	err = sg_alloc_table(sgt, n, GFP_KERNEL);
	if (err)
		return err;
	for_each_sgtable_sg(sgt, sg, i) {
		const struct rk_extent *extent = rk_mem_extent(mem, at);
		u64 skip = at - extent->offset;
		size_t bytes = min_t(u64, extent->bytes - skip, SEGMENT_BYTES);
		dma_addr_t addr = dma_map_resource(dev, extent->phys + skip, bytes, dir,
						   DMA_ATTR_SKIP_CPU_SYNC);

		if (dma_mapping_error(dev, addr)) {
			unmap_extents(dev, sgt, done, dir);
			sg_free_table(sgt);
			return -EIO;
		}
		sg_set_page(sg, NULL, bytes, 0);
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = bytes;
		at += bytes;
		done++;
	}
	return 0;
}

/* Rings are written by both sides all the time: there is no moment at which to sync caches. */
static int map_pages(struct device *dev, const struct rk_mem *mem, struct sg_table *sgt,
		     enum dma_data_direction dir)
{
	int err = sg_alloc_table_from_pages(sgt, mem->pages, mem->bytes >> PAGE_SHIFT, 0,
					    mem->bytes, GFP_KERNEL);

	if (err)
		return err;
	err = dma_map_sgtable(dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (err)
		sg_free_table(sgt);
	return err;
}

static bool use_unless_dead(struct rk_mem *mem)
{
	bool alive;

	down_read(&mem->lock);
	alive = !mem->dead;
	if (alive)
		refcount_inc(&mem->users);
	up_read(&mem->lock);
	return alive;
}

static struct sg_table *rk_dmabuf_map(struct dma_buf_attachment *attach,
				      enum dma_data_direction dir)
{
	struct rk_mem *mem = mem_of(attach->dmabuf);
	struct sg_table *sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	int err;

	if (!sgt)
		return ERR_PTR(-ENOMEM);
	err = -ENODEV;
	if (!use_unless_dead(mem))
		goto err_free;
	err = mem->pages ? map_pages(attach->dev, mem, sgt, dir) :
			   map_extents(attach->dev, mem, sgt, dir);
	if (err)
		goto err_unuse;
	rk_stat_add(RK_STAT_DMA_MAPS, 1);
	return sgt;

err_unuse:
	rk_mem_unuse_deferred(mem);
err_free:
	kfree(sgt);
	return ERR_PTR(err);
}

static void rk_dmabuf_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			    enum dma_data_direction dir)
{
	struct rk_mem *mem = mem_of(attach->dmabuf);

	if (mem->pages)
		dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	else
		unmap_extents(attach->dev, sgt, sgt->nents, dir);
	sg_free_table(sgt);
	kfree(sgt);
	rk_stat_add(RK_STAT_DMA_MAPS, -1);
	rk_mem_unuse_deferred(mem);
}

static int rk_dmabuf_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	return rk_mem_mmap(mem_of(dmabuf), vma, vma->vm_pgoff);
}

static void rk_dmabuf_release(struct dma_buf *dmabuf)
{
	struct rk_export_node *export = dmabuf->priv;
	struct rk_mem *mem = export->mem;

	mutex_lock(&mem->exports_lock);
	list_del(&export->node);
	mutex_unlock(&mem->exports_lock);
	kfree(export);
	rk_stat_add(RK_STAT_EXPORTS, -1);
	rk_mem_put(mem);
}

static const struct dma_buf_ops rk_dmabuf_ops = {
	.attach = rk_dmabuf_attach,
	.pin = rk_dmabuf_pin,
	.unpin = rk_dmabuf_unpin,
	.map_dma_buf = rk_dmabuf_map,
	.unmap_dma_buf = rk_dmabuf_unmap,
	.mmap = rk_dmabuf_mmap,
	.release = rk_dmabuf_release,
};

/**
 * rk_exports_invalidate() - tell importers that the memory is revoked
 * @mem: dead memory
 *
 * When this returns, importers that follow move_notify have unmapped or were waited for.
 */
void rk_exports_invalidate(struct rk_mem *mem)
{
	struct rk_export_node *export;

	mutex_lock(&mem->exports_lock);
	list_for_each_entry(export, &mem->exports, node) {
		dma_resv_lock(export->dmabuf->resv, NULL);
		dma_buf_move_notify(export->dmabuf);
		dma_resv_wait_timeout(export->dmabuf->resv, DMA_RESV_USAGE_BOOKKEEP, false,
				      MAX_SCHEDULE_TIMEOUT);
		dma_resv_unlock(export->dmabuf->resv);
	}
	mutex_unlock(&mem->exports_lock);
}

/* Return: a dma-buf that owns a reference of @mem, or an error pointer. */
static struct dma_buf *make_dmabuf(struct rk_mem *mem)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct rk_export_node *export = kzalloc(sizeof(*export), GFP_KERNEL_ACCOUNT);
	struct dma_buf *dmabuf;

	if (!export)
		return ERR_PTR(-ENOMEM);
	export->mem = mem;
	INIT_LIST_HEAD(&export->node);
	info.ops = &rk_dmabuf_ops;
	info.size = mem->bytes;
	info.flags = O_RDWR;
	info.priv = export;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kfree(export);
		return dmabuf;
	}
	rk_mem_get(mem);
	rk_stat_add(RK_STAT_EXPORTS, 1);
	export->dmabuf = dmabuf;
	dmabuf->file->f_mapping = mem->ctx->inode->i_mapping;
	/* Nobody else knows it yet; a revocation before this line has no mapping of it to find. */
	mutex_lock(&mem->exports_lock);
	list_add(&export->node, &mem->exports);
	mutex_unlock(&mem->exports_lock);
	return dmabuf;
}

static int check_args(const struct rk_export *in)
{
	if (in->flags & ~O_CLOEXEC) {
		rk_refuse("EXPORT", "flags", in->flags);
		return -EINVAL;
	}
	if (in->reserved_in || in->reserved[0] || in->reserved[1]) {
		rk_refuse("EXPORT", "reserved",
			  in->reserved_in | in->reserved[0] | in->reserved[1]);
		return -EINVAL;
	}
	return 0;
}

int rk_export(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_export *io = arg;
	struct dma_buf *dmabuf;
	struct rk_mem *mem;
	int err = check_args(io);
	int fd;

	if (err)
		return err;
	mem = rk_mem_find(ctx, io->handle);
	if (!mem)
		return -ENOENT;
	fd = get_unused_fd_flags(io->flags);
	if (fd < 0) {
		err = fd;
		goto out_mem;
	}
	down_read(&mem->lock);
	err = mem->dead ? -ENODEV : 0;
	up_read(&mem->lock);
	if (err)
		goto out_fd;
	dmabuf = make_dmabuf(mem);
	if (IS_ERR(dmabuf)) {
		err = PTR_ERR(dmabuf);
		goto out_fd;
	}
	io->fd = fd;
	if (copy_to_user(to, io, sizeof(*io))) {
		err = -EFAULT;
		dma_buf_put(dmabuf);
		goto out_fd;
	}
	fd_install(fd, dmabuf->file);
	rk_mem_put(mem);
	return 0;

out_fd:
	put_unused_fd(fd);
out_mem:
	rk_mem_put(mem);
	return err;
}
