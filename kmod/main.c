// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/ringkernel: open, calls, mmap, close.
 *
 * All state hangs off the open file.  rk_uapi.h is the manual of what it does; ringkernel.h has the
 * map of the module and its locks.
 */
#include <linux/fs_context.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

#define RK_FS_MAGIC	0x524b6673

/* The layout is the contract; a change must be a new call. */
static_assert(sizeof(struct rk_version) == 32);
static_assert(sizeof(struct rk_pin_host) == 48);
static_assert(sizeof(struct rk_pin_gpu) == 64);
static_assert(sizeof(struct rk_unpin) == 8);
static_assert(sizeof(struct rk_run) == 40);
static_assert(sizeof(struct rk_mem_info) == 64);
static_assert(sizeof(struct rk_export) == 32);
static_assert(sizeof(struct rk_bells) == 48);
static_assert(sizeof(struct rk_bell_bind) == 16);
static_assert(sizeof(struct rk_bell_arm) == 48);
static_assert(sizeof(struct rk_link_join) == 56);
static_assert(sizeof(struct rk_link_leave) == 8);
static_assert(offsetof(struct rk_pin_gpu, page_bytes) == 32);
static_assert(offsetof(struct rk_mem_info, kind) == 24);
static_assert(offsetof(struct rk_bell_arm, reason) == 24);
static_assert(offsetof(struct rk_link_join, end) == 16);

static int rk_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, RK_FS_MAGIC) ? 0 : -ENOMEM;
}

/* Home of the openers' inodes; mounted while there are any. */
static struct file_system_type rk_fs_type = {
	.name = "ringkernel",
	.owner = THIS_MODULE,
	.init_fs_context = rk_init_fs_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *rk_mnt;
static int rk_mnt_count;

static int make_inode(struct rk_ctx *ctx)
{
	int err = simple_pin_fs(&rk_fs_type, &rk_mnt, &rk_mnt_count);

	if (err)
		return err;
	ctx->inode = alloc_anon_inode(rk_mnt->mnt_sb);
	if (!IS_ERR(ctx->inode))
		return 0;
	simple_release_fs(&rk_mnt, &rk_mnt_count);
	return PTR_ERR(ctx->inode);
}

static void ctx_free(struct kref *ref)
{
	struct rk_ctx *ctx = container_of(ref, struct rk_ctx, ref);

	xa_destroy(&ctx->mems);
	xa_destroy(&ctx->links);
	iput(ctx->inode);
	simple_release_fs(&rk_mnt, &rk_mnt_count);
	rk_user_put(ctx->user);
	mmdrop(ctx->mm);
	kfree(ctx);
	rk_stat_add(RK_STAT_CLOSES, 1);
}

void rk_ctx_put(struct rk_ctx *ctx)
{
	kref_put(&ctx->ref, ctx_free);
}

static int rk_open(struct inode *inode, struct file *file)
{
	struct rk_ctx *ctx;
	int err;

	if (!current->mm)
		return -EPERM;
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return -ENOMEM;
	kref_init(&ctx->ref);
	mutex_init(&ctx->lock);
	xa_init_flags(&ctx->mems, XA_FLAGS_ALLOC1);
	xa_init_flags(&ctx->links, XA_FLAGS_ALLOC1);
	ctx->user = rk_user_get(current_uid());
	if (!ctx->user) {
		err = -ENOMEM;
		goto err_ctx;
	}
	err = make_inode(ctx);
	if (err)
		goto err_user;
	ctx->tgid = current->tgid;
	ctx->mm = current->mm;
	mmgrab(ctx->mm);
	file->private_data = ctx;
	file->f_mapping = ctx->inode->i_mapping;
	rk_stat_add(RK_STAT_OPENS, 1);
	return nonseekable_open(inode, file);

err_user:
	rk_user_put(ctx->user);
err_ctx:
	kfree(ctx);
	return err;
}

/* The opener's objects go: links first, so that the other ends hear of it at once. */
static void rk_ctx_die(struct rk_ctx *ctx)
{
	struct rk_mem *mem;
	unsigned long id;

	mutex_lock(&ctx->lock);
	ctx->dead = true;
	mutex_unlock(&ctx->lock);
	rk_links_die(ctx);
	xa_for_each(&ctx->mems, id, mem) {
		xa_erase(&ctx->mems, id);
		rk_mem_drop(mem);
	}
}

/*
 * Called for each descriptor closed.  The one that matters is the end of the opener, all threads of
 * it: a child that inherited the descriptor keeps the file open, but not the opener alive.
 */
static int rk_flush(struct file *file, fl_owner_t id)
{
	struct rk_ctx *ctx = file->private_data;

	if (current->tgid == ctx->tgid && !atomic_read(&current->signal->live))
		rk_ctx_die(ctx);
	return 0;
}

static int rk_release(struct inode *inode, struct file *file)
{
	struct rk_ctx *ctx = file->private_data;

	rk_ctx_die(ctx);
	rk_ctx_put(ctx);
	return 0;
}

static bool is_owner(const struct rk_ctx *ctx)
{
	return current->tgid == ctx->tgid && current->mm == ctx->mm;
}

static int rk_query_version(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_version *io = arg;
	bool fits;

	if (io->features || io->reserved[0] || io->reserved[1]) {
		rk_refuse("VERSION", io->features ? "features" : "reserved",
			  io->features ? io->features : io->reserved[0] | io->reserved[1]);
		return -EINVAL;
	}
	fits = io->version >= RK_UAPI_VERSION && io->oldest <= RK_UAPI_VERSION;
	io->version = RK_UAPI_VERSION;
	io->oldest = RK_UAPI_VERSION;
	io->features = rk_gpu_features();
	if (copy_to_user(to, io, sizeof(*io)))
		return -EFAULT;
	return fits ? 0 : -EPROTONOSUPPORT;
}

struct rk_call {
	unsigned int cmd;
	int (*run)(struct rk_ctx *ctx, void *arg, void __user *to);
};

static const struct rk_call calls[] = {
	{ RK_IOC_VERSION, rk_query_version },
	{ RK_IOC_PIN_HOST, rk_pin_host },
	{ RK_IOC_PIN_GPU, rk_pin_gpu },
	{ RK_IOC_UNPIN, rk_unpin },
	{ RK_IOC_RUN, rk_run },
	{ RK_IOC_MEM_INFO, rk_mem_info },
	{ RK_IOC_EXPORT, rk_export },
	{ RK_IOC_BELLS, rk_bells },
	{ RK_IOC_BELL_BIND, rk_bell_bind },
	{ RK_IOC_BELL_ARM, rk_bell_arm },
	{ RK_IOC_LINK_JOIN, rk_link_join },
	{ RK_IOC_LINK_LEAVE, rk_link_leave },
};

static long rk_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	union {
		struct rk_version version;
		struct rk_pin_host pin_host;
		struct rk_pin_gpu pin_gpu;
		struct rk_unpin unpin;
		struct rk_run run;
		struct rk_mem_info mem_info;
		struct rk_export export;
		struct rk_bells bells;
		struct rk_bell_bind bell_bind;
		struct rk_bell_arm bell_arm;
		struct rk_link_join link_join;
		struct rk_link_leave link_leave;
	} in;
	struct rk_ctx *ctx = file->private_data;
	void __user *user = (void __user *)arg;
	int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].cmd == cmd)
			break;
	if (i == ARRAY_SIZE(calls))
		return -ENOTTY;
	if (cmd != RK_IOC_VERSION && !is_owner(ctx))
		return -EPERM;
	if (copy_from_user(&in, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	return calls[i].run(ctx, &in, user);
}

static int rk_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct rk_ctx *ctx = file->private_data;
	struct rk_mem *mem;
	int err;

	if (!is_owner(ctx))
		return -EPERM;
	mem = rk_mem_find(ctx, vma->vm_pgoff >> (RK_OFFSET_BITS - PAGE_SHIFT));
	if (!mem) {
		rk_refuse("mmap", "offset", (u64)vma->vm_pgoff << PAGE_SHIFT);
		return -EINVAL;
	}
	err = rk_mem_mmap(mem, vma, vma->vm_pgoff & RK_PGOFF_MASK);
	rk_mem_put(mem);
	return err;
}

static const struct file_operations rk_fops = {
	.owner = THIS_MODULE,
	.open = rk_open,
	.flush = rk_flush,
	.release = rk_release,
	.unlocked_ioctl = rk_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = rk_mmap,
};

static struct miscdevice rk_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ringkernel",
	.fops = &rk_fops,
	.mode = 0660,
};

static int __init rk_init(void)
{
	int err = rk_mem_wq_init();

	if (err)
		return err;
	err = rk_poller_start();
	if (err)
		goto err_wq;
	rk_stats_init();
	err = misc_register(&rk_misc);
	if (err)
		goto err_poller;
	return 0;

err_poller:
	rk_stats_exit();
	rk_poller_stop();
err_wq:
	rk_mem_wq_exit();
	return err;
}

static void __exit rk_exit(void)
{
	misc_deregister(&rk_misc);
	rk_stats_exit();
	rk_poller_stop();
	rk_mem_wq_exit();
}

module_init(rk_init);
module_exit(rk_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The RingKernel authors");
MODULE_DESCRIPTION("Pinned and GPU memory, doorbells and liveness for lock-free rings");
MODULE_VERSION("0.1.0");
