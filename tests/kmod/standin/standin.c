// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for the GPU driver, for tests: the nvidia_p2p functions over the memory BAR of QEMU's
 * ivshmem-plain device, and an importer of dma-bufs.
 *
 * It keeps the rules of the real one and is stricter in one: the free callback runs under the lock
 * that get_pages and put_pages take, so that lockdep sees what order the module takes locks in.
 * A put that would wait for that lock for ever gives up and counts, so that a test can tell.
 */
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "compat.h"
#include "nv_p2p.h"
#include "standin.h"

RK_IMPORT_DMA_BUF;

#define TABLE_VERSION	0x00020000u

struct pin {
	struct list_head node;
	struct nvidia_p2p_page_table table;
	struct nvidia_p2p_page *pages;
	u32 page_count;
	u64 addr;
	u64 bytes;
	bool persistent;
	void (*callback)(void *data);
	void *data;
};

static struct pci_dev *bar_dev;
static phys_addr_t bar_phys;
static u64 bar_bytes;

/* Protects all below; held around callbacks. */
static DEFINE_MUTEX(gpu_lock);
static struct task_struct *callback_task;
static LIST_HEAD(pins);
static DEFINE_XARRAY(put_tables);	/* table that was put -> its GPU page, until used again */
static struct si_mode mode = { .page_size = NV_P2P_PAGE_64K };
static struct si_state state;

static bool lock_or_give_up(void)
{
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (mutex_trylock(&gpu_lock))
			return true;
		msleep(20);
	}
	return false;
}

static void free_pin(struct pin *pin)
{
	/* Whoever still reads the table sees nonsense, also without KASAN. */
	memset(pin->pages, 0x5a, pin->page_count * sizeof(*pin->pages));
	kfree(pin->pages);
	kfree(pin->table.pages);
	memset(&pin->table, 0x5a, sizeof(pin->table));
	kfree(pin);
}

static u32 size_of_page(void)
{
	static const u32 sizes[] = { SZ_4K, SZ_64K, SZ_128K };

	return mode.page_size < ARRAY_SIZE(sizes) ? sizes[mode.page_size] : SZ_64K;
}

static int fill_table(struct pin *pin)
{
	u32 size = size_of_page();
	u32 n = DIV_ROUND_UP_ULL(pin->bytes, size);
	u32 i;

	pin->pages = kcalloc(n + 1, sizeof(*pin->pages), GFP_KERNEL);
	pin->table.pages = kcalloc(n + 1, sizeof(*pin->table.pages), GFP_KERNEL);
	if (!pin->pages || !pin->table.pages)
		return -ENOMEM;
	pin->page_count = n + 1;
	pin->table.version = TABLE_VERSION;
	pin->table.page_size = mode.page_size;
	pin->table.entries = n;
	for (i = 0; i <= n; i++) {
		u32 place = mode.scatter ? i ^ 1 : i;

		pin->pages[i].physical_address =
			bar_phys + (pin->addr - SI_GPU_BASE) + (u64)place * size;
		pin->table.pages[i] = &pin->pages[i];
	}
	switch (mode.fail) {
	case SI_FAIL_SHORT:
		pin->table.entries--;
		break;
	case SI_FAIL_LONG:
		pin->table.entries++;
		break;
	case SI_FAIL_VERSION:
		pin->table.version = 0x00030000;
		break;
	case SI_FAIL_PAGE_SIZE:
		pin->table.page_size = 77;
		break;
	case SI_FAIL_NULL_PAGE:
		pin->table.pages[n - 1] = NULL;
		break;
	case SI_FAIL_RAM:
		pin->pages[n - 1].physical_address = SZ_16M;
		break;
	case SI_FAIL_ALIGN:
		pin->pages[n - 1].physical_address += SZ_2K;
		break;
	}
	return 0;
}

/*
 * Memory that cudaFree gave back, in the hands of its next owner.  Mapped only for this moment: a
 * lasting mapping would reserve the memory type for everyone.
 */
static void reuse(u64 addr, u64 bytes)
{
	u64 __iomem *map = ioremap_wc(bar_phys + (addr - SI_GPU_BASE), bytes);
	u64 i;

	if (!map)
		return;
	for (i = 0; i < bytes / 8; i++)
		writeq(SI_REUSED, map + i);
	iounmap(map);
}

static u32 free_range(u64 addr, u64 bytes)
{
	struct pin *pin, *next;
	u32 n = 0;

	mutex_lock(&gpu_lock);
	list_for_each_entry_safe(pin, next, &pins, node) {
		if (pin->persistent || pin->addr + pin->bytes <= addr || addr + bytes <= pin->addr)
			continue;
		list_del(&pin->node);
		state.pins--;
		state.callbacks++;
		callback_task = current;
		pin->callback(pin->data);
		callback_task = NULL;
		free_pin(pin);
		n++;
	}
	reuse(addr, bytes);
	mutex_unlock(&gpu_lock);
	return n;
}

static int early_free(void *data)
{
	struct pin *pin = data;

	free_range(pin->addr, pin->bytes);
	return 0;
}

static int get_pages(u64 addr, u64 bytes, struct nvidia_p2p_page_table **table,
		     void (*callback)(void *data), void *data)
{
	struct pin *pin;
	u32 fail;
	int err;

	if (!IS_ALIGNED(addr, SI_PAGE) || !IS_ALIGNED(bytes, SI_PAGE) || addr < SI_GPU_BASE ||
	    bytes > bar_bytes || addr - SI_GPU_BASE > bar_bytes - bytes)
		return -EINVAL;
	pin = kzalloc(sizeof(*pin), GFP_KERNEL);
	if (!pin)
		return -ENOMEM;
	mutex_lock(&gpu_lock);
	pin->addr = addr;
	pin->bytes = bytes;
	pin->callback = callback;
	pin->data = data;
	pin->persistent = !callback;
	fail = mode.fail;
	*table = &pin->table;
	err = fail == SI_FAIL_GET ? -ENOMEM : fill_table(pin);
	if (err) {
		mutex_unlock(&gpu_lock);
		kfree(pin->pages);
		kfree(pin->table.pages);
		kfree(pin);
		return err;
	}
	xa_erase(&put_tables, (unsigned long)&pin->table);
	list_add(&pin->node, &pins);
	state.gets++;
	state.pins++;
	state.persistent += pin->persistent;
	mutex_unlock(&gpu_lock);
	if (fail == SI_FAIL_NO_TABLE)
		*table = NULL;
	if (fail == SI_FAIL_EARLY_FREE) {
		kthread_run(early_free, pin, "early-free");
		msleep(30);
	}
	return 0;
}

/*
 * A put that lost to the callback names a table that is free by now, perhaps somebody else's: so
 * the GPU address has to fit, too.
 */
static int put_pages(u64 addr, struct nvidia_p2p_page_table *table)
{
	void *put = xa_mk_value(addr / SI_PAGE);
	struct pin *pin;

	/* Tells lockdep of the order, which a lock only tried for would hide. */
	might_lock(&gpu_lock);
	if (callback_task == current) {
		state.puts_in_callback++;
		return -EDEADLK;
	}
	if (READ_ONCE(mode.fail) == SI_FAIL_SLOW_PUT)
		msleep(50);
	if (!lock_or_give_up()) {
		state.stuck++;
		return -EDEADLK;
	}
	if (mode.fail == SI_FAIL_PUT) {
		mutex_unlock(&gpu_lock);
		return -ENOMEM;
	}
	list_for_each_entry(pin, &pins, node) {
		if (&pin->table != table || pin->addr != addr)
			continue;
		list_del(&pin->node);
		state.puts++;
		state.pins--;
		state.persistent -= pin->persistent;
		xa_store(&put_tables, (unsigned long)table, put, GFP_KERNEL);
		mutex_unlock(&gpu_lock);
		free_pin(pin);
		return 0;
	}
	if (xa_load(&put_tables, (unsigned long)table) == put)
		state.double_puts++;
	else
		state.late_puts++;
	mutex_unlock(&gpu_lock);
	return 0;
}

int nvidia_p2p_get_pages(u64 token, u32 va_space, u64 addr, u64 bytes,
			 struct nvidia_p2p_page_table **table,
			 void (*free_callback)(void *data), void *data)
{
	return free_callback && data ? get_pages(addr, bytes, table, free_callback, data) : -EINVAL;
}
EXPORT_SYMBOL_GPL(nvidia_p2p_get_pages);

int nvidia_p2p_put_pages(u64 token, u32 va_space, u64 addr, struct nvidia_p2p_page_table *table)
{
	return put_pages(addr, table);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_put_pages);

#ifndef STANDIN_NO_PERSISTENT
int nvidia_p2p_get_pages_persistent(u64 addr, u64 bytes, struct nvidia_p2p_page_table **table,
				    u32 flags)
{
	return flags ? -EINVAL : get_pages(addr, bytes, table, NULL, NULL);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_get_pages_persistent);

int nvidia_p2p_put_pages_persistent(u64 addr, struct nvidia_p2p_page_table *table, u32 flags)
{
	return flags ? -EINVAL : put_pages(addr, table);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_put_pages_persistent);
#endif

/* --- the importer --- */

struct import {
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;	/* protected by the dma-buf's reservation */
	u32 how;
};

static DEFINE_XARRAY_ALLOC1(imports);

static void unmap_locked(struct import *import)
{
	if (!import->sgt)
		return;
	dma_buf_unmap_attachment(import->attach, import->sgt, DMA_BIDIRECTIONAL);
	import->sgt = NULL;
	state.mapped--;
}

static void move_notify(struct dma_buf_attachment *attach)
{
	struct import *import = attach->importer_priv;

	state.moves++;
	if (import->how != SI_IMPORT_LAZY)
		unmap_locked(import);
}

static const struct dma_buf_attach_ops peer_ops = {
	.allow_peer2peer = true,
	.move_notify = move_notify,
};

static const struct dma_buf_attach_ops no_peer_ops = {
	.move_notify = move_notify,
};

static void drop_import(struct import *import)
{
	if (!IS_ERR_OR_NULL(import->attach)) {
		dma_resv_lock(import->dmabuf->resv, NULL);
		unmap_locked(import);
		dma_resv_unlock(import->dmabuf->resv);
		dma_buf_detach(import->dmabuf, import->attach);
	}
	dma_buf_put(import->dmabuf);
	kfree(import);
}

static int map_import(struct import *import, struct si_import *io)
{
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;
	void *first;

	dma_resv_lock(import->dmabuf->resv, NULL);
	sgt = dma_buf_map_attachment(import->attach, DMA_BIDIRECTIONAL);
	if (!IS_ERR(sgt)) {
		import->sgt = sgt;
		state.mapped++;
	}
	dma_resv_unlock(import->dmabuf->resv);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	io->segments = 0;
	io->bytes = 0;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		io->segments++;
		io->bytes += sg_dma_len(sg);
	}
	/* No IOMMU here: a bus address is a physical one. */
	first = memremap(sg_dma_address(sgt->sgl), 8,
			 io->how == SI_IMPORT_STATIC || sg_page(sgt->sgl) ? MEMREMAP_WB :
									    MEMREMAP_WC);
	if (!first)
		return -EIO;
	io->first = READ_ONCE(*(u64 *)first);
	memunmap(first);
	return 0;
}

static int do_import(struct si_import *io)
{
	struct import *import = kzalloc(sizeof(*import), GFP_KERNEL);
	int err;

	if (!import)
		return -ENOMEM;
	import->how = io->how;
	import->dmabuf = dma_buf_get(io->fd);
	if (IS_ERR(import->dmabuf)) {
		err = PTR_ERR(import->dmabuf);
		kfree(import);
		return err;
	}
	if (io->how == SI_IMPORT_STATIC)
		import->attach = dma_buf_attach(import->dmabuf, &bar_dev->dev);
	else
		import->attach = dma_buf_dynamic_attach(import->dmabuf, &bar_dev->dev,
							io->how == SI_IMPORT_NO_PEER ?
								&no_peer_ops : &peer_ops,
							import);
	err = PTR_ERR_OR_ZERO(import->attach);
	if (!err)
		err = map_import(import, io);
	if (!err)
		err = xa_alloc(&imports, &io->id, import, xa_limit_31b, GFP_KERNEL);
	if (err)
		drop_import(import);
	else
		state.imports++;
	return err;
}

static int do_unimport(u32 id)
{
	struct import *import = xa_erase(&imports, id);

	if (!import)
		return -ENOENT;
	drop_import(import);
	state.imports--;
	return 0;
}

/* --- the device --- */

static int touch_bar(struct si_peek *io, bool write)
{
	u64 __iomem *map;

	if (io->offset > bar_bytes - 8 || io->offset % 8)
		return -EINVAL;
	map = ioremap_wc(bar_phys + io->offset, 8);
	if (!map)
		return -ENOMEM;
	if (write)
		writeq(io->value, map);
	else
		io->value = readq(map);
	iounmap(map);
	return 0;
}

static long standin_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	union {
		struct si_mode mode;
		struct si_free free;
		struct si_import import;
		struct si_peek peek;
		u32 id;
	} io;
	int err = 0;

	if (_IOC_SIZE(cmd) > sizeof(io) && cmd != SI_IOC_STATE)
		return -ENOTTY;
	if ((_IOC_DIR(cmd) & _IOC_WRITE) && copy_from_user(&io, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	switch (cmd) {
	case SI_IOC_MODE:
		mutex_lock(&gpu_lock);
		mode = io.mode;
		mutex_unlock(&gpu_lock);
		return 0;
	case SI_IOC_STATE:
		return copy_to_user(user, &state, sizeof(state)) ? -EFAULT : 0;
	case SI_IOC_FREE:
		if (io.free.addr < SI_GPU_BASE || io.free.bytes > bar_bytes ||
		    io.free.addr - SI_GPU_BASE > bar_bytes - io.free.bytes)
			return -EINVAL;
		io.free.pins = free_range(io.free.addr, io.free.bytes);
		break;
	case SI_IOC_IMPORT:
		err = do_import(&io.import);
		break;
	case SI_IOC_UNIMPORT:
		return do_unimport(io.id);
	case SI_IOC_PEEK:
	case SI_IOC_POKE:
		err = touch_bar(&io.peek, cmd == SI_IOC_POKE);
		break;
	default:
		return -ENOTTY;
	}
	if (!err && (_IOC_DIR(cmd) & _IOC_READ) && copy_to_user(user, &io, _IOC_SIZE(cmd))) {
		err = -EFAULT;
		if (cmd == SI_IOC_IMPORT)
			do_unimport(io.import.id);
	}
	return err;
}

static const struct file_operations standin_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = standin_ioctl,
};

static struct miscdevice standin_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "rk-standin",
	.fops = &standin_fops,
	.mode = 0666,
};

static int standin_probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	int err = pcim_enable_device(dev);

	if (err)
		return err;
	pci_set_master(dev);
	err = dma_set_mask_and_coherent(&dev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	bar_dev = dev;
	bar_phys = pci_resource_start(dev, 2);
	bar_bytes = pci_resource_len(dev, 2);
	return misc_register(&standin_misc);
}

static void standin_remove(struct pci_dev *dev)
{
	struct import *import;
	unsigned long id;

	misc_deregister(&standin_misc);
	xa_for_each(&imports, id, import)
		drop_import(import);
	xa_destroy(&imports);
	xa_destroy(&put_tables);
}

static const struct pci_device_id standin_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110) },
	{ }
};

static struct pci_driver standin_driver = {
	.name = "rk-standin",
	.id_table = standin_ids,
	.probe = standin_probe,
	.remove = standin_remove,
};
module_pci_driver(standin_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test stand-in for the p2p interface of a GPU driver");
