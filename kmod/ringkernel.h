/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the module know of each other.
 *
 * An open file is a struct rk_ctx.  It owns pieces of memory (struct rk_mem: host pages, GPU pages,
 * or bells) and ends of links.  main.c opens, dispatches and closes; mem.c keeps the life of
 * memory; pin_host.c, pin_gpu.c and bell.c make it; map.c maps and revokes it; dmabuf.c shares it;
 * live.c links two ends; user.c counts against quotas; stats.c shows counters.
 *
 * Locks, outermost first; a thread holding one may take only those below it:
 *
 *   rk_links_lock     mutex      the table of links (live.c)
 *   ctx->lock         mutex      ctx->mems, ctx->links, ctx->dead
 *   [mmap lock of the caller]
 *   [lock of the GPU driver, held around its calls of rk_gpu_freed() and taken by its put_pages]
 *   mem->exports_lock mutex      mem->exports; keeps a dma-buf from being freed while listed
 *   [dma_resv of an exported dma-buf]
 *   mem->lock         rw_sem     mem->dead and gpu->gone; readers may insert into page tables
 *   rk_users_lock     mutex      the list of users and their counts (user.c)
 *   rk_bell_lock      spinlock   list of armed bells and all of struct rk_bell (bell.c)
 *   [eventfd wait queue]
 *
 * So no call into the GPU driver is made under mem->lock or with a dma_resv held.
 */
#ifndef RK_RINGKERNEL_H
#define RK_RINGKERNEL_H

#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "compat.h"
#include "nv_p2p.h"
#include "rk_uapi.h"

/* A handle is also the upper part of the mmap offset: 1 TiB for each piece of memory. */
#define RK_OFFSET_BITS	40
#define RK_PGOFF_MASK	((1ul << (RK_OFFSET_BITS - PAGE_SHIFT)) - 1)
#define RK_MAX_BYTES	BIT_ULL(RK_OFFSET_BITS)
#define RK_HANDLE_LIMIT	XA_LIMIT(1, 0xffff)

/* One line for each refused field, not one for each try. */
#define rk_refuse(call, field, value) \
	pr_notice_ratelimited("%s[%d]: %s: bad %s: %#llx\n", current->comm, \
			      task_pid_nr(current), call, field, (unsigned long long)(value))

/* --- stats.c --- */

enum rk_stat {
	RK_STAT_OPENS,
	RK_STAT_CLOSES,
	RK_STAT_PINS_HOST,
	RK_STAT_PINS_GPU,
	RK_STAT_UNPINS,
	RK_STAT_PINNED_PAGES,
	RK_STAT_REVOKED_BY_DRIVER,
	RK_STAT_FAULTS,
	RK_STAT_FAULTS_DEAD,
	RK_STAT_WC_REFUSED,
	RK_STAT_EXPORTS,
	RK_STAT_DMA_MAPS,
	RK_STAT_BELLS,
	RK_STAT_BELL_ARMS,
	RK_STAT_BELL_WAKES,
	RK_STAT_POLLER_SCANS,
	RK_STAT_POLLER_NAPS,
	RK_STAT_POLLER_STOPS,
	RK_STAT_LINKS,
	RK_STAT_PEER_DEATHS,
	RK_STAT_OVER_QUOTA,
	RK_STAT_PUT_FAILED,
	RK_STAT_COUNT,
};

extern atomic64_t rk_stats[RK_STAT_COUNT];

static inline void rk_stat_add(enum rk_stat stat, long n)
{
	atomic64_add(n, &rk_stats[stat]);
}

void rk_stats_init(void);
void rk_stats_exit(void);

/* --- user.c --- */

struct rk_user;

/* What a piece of memory or a link costs. */
struct rk_cost {
	unsigned long pages;	/* pinned pages */
	unsigned long locked;	/* those of them that count against RLIMIT_MEMLOCK */
	unsigned int bells;
	unsigned int objects;
};

struct rk_user *rk_user_get(kuid_t uid);
void rk_user_put(struct rk_user *user);
int rk_charge(struct rk_user *user, struct mm_struct *mm, const struct rk_cost *cost);
void rk_uncharge(struct rk_user *user, struct mm_struct *mm, const struct rk_cost *cost);

/* --- main.c --- */

/**
 * struct rk_ctx - an open file
 * @ref: held by the file and by each piece of memory
 * @inode: address space of this opener alone: one zap reaches every mapping of its memory, direct
 *         or through a dma-buf
 * @mm: opener's address space; with @tgid it tells the owner from others
 * @tgid: opener's thread group
 * @user: who pays
 * @lock: protects the fields below
 * @mems: handle -> struct rk_mem
 * @links: handle -> struct rk_end
 * @dead: nothing may be added any more
 */
struct rk_ctx {
	struct kref ref;
	struct inode *inode;
	struct mm_struct *mm;
	pid_t tgid;
	struct rk_user *user;
	struct mutex lock;	/* mems, links, dead */
	struct xarray mems;
	struct xarray links;
	bool dead;
};

void rk_ctx_put(struct rk_ctx *ctx);

/* --- mem.c --- */

struct rk_mem;

/* Physically contiguous piece of GPU memory. */
struct rk_extent {
	u64 offset;
	u64 bytes;
	phys_addr_t phys;
	bool wc;		/* write-combining is reserved */
};

/**
 * struct rk_mem_ops - what differs between the kinds of memory
 * @release: gives the pages back; called once, without locks, when neither the owner nor an
 *           importer uses them
 * @free: frees what the kind allocated; last call
 */
struct rk_mem_ops {
	void (*release)(struct rk_mem *mem);
	void (*free)(struct rk_mem *mem);
};

/**
 * struct rk_mem - a piece of memory
 * @ref: the struct: held by the handle, mappings, exports, and whoever works on it
 * @users: the pages: held by the handle and by each DMA mapping of an importer
 * @ctx: opener it belongs to
 * @ops: what its kind does
 * @kind: RK_MEM_*
 * @handle: on @ctx; 0 until published
 * @bytes: size
 * @page_prot_wc: map write-combined
 * @cost: what was charged
 * @pages: host pages and bells; else NULL
 * @extents: GPU memory; else NULL
 * @nr_extents: 0 if @extents is NULL
 * @nr_wc: extents with write-combining reserved
 * @lock: protects @dead; read-held across check and use of the pages
 * @dead: revoked: no new mapping, no new page table entry
 * @wc_held: the reservations of @extents are held
 * @exports_lock: protects @exports
 * @exports: struct rk_export_node, one for each dma-buf
 * @release_work: gives pages back when an importer was the last user
 */
struct rk_mem {
	struct kref ref;
	refcount_t users;
	struct rk_ctx *ctx;
	const struct rk_mem_ops *ops;
	u32 kind;
	u32 handle;
	u64 bytes;
	bool page_prot_wc;
	struct rk_cost cost;
	struct page **pages;
	struct rk_extent *extents;
	u32 nr_extents;
	u32 nr_wc;
	struct rw_semaphore lock;
	bool dead;
	atomic_t wc_held;
	struct mutex exports_lock;	/* exports */
	struct list_head exports;
	struct work_struct release_work;
};

int rk_mem_init(struct rk_mem *mem, struct rk_ctx *ctx, const struct rk_mem_ops *ops, u32 kind,
		u64 bytes, const struct rk_cost *cost);
int rk_mem_publish(struct rk_mem *mem, u32 *handle, u64 *mmap_offset, void __user *to,
		   const void *from, size_t size);
struct rk_mem *rk_mem_find(struct rk_ctx *ctx, u32 handle);
void rk_mem_get(struct rk_mem *mem);
void rk_mem_put(struct rk_mem *mem);
void rk_mem_drop(struct rk_mem *mem);
void rk_mem_unuse_deferred(struct rk_mem *mem);
const struct rk_extent *rk_mem_extent(const struct rk_mem *mem, u64 offset);
int rk_mem_wq_init(void);
void rk_mem_wq_exit(void);

/* --- the calls; each gets its own copy of the argument and writes the answer to @to --- */

int rk_pin_host(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_pin_gpu(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_unpin(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_run(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_mem_info(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_export(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_bells(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_bell_bind(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_bell_arm(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_link_join(struct rk_ctx *ctx, void *arg, void __user *to);
int rk_link_leave(struct rk_ctx *ctx, void *arg, void __user *to);

/* --- pin_gpu.c --- */

u64 rk_gpu_features(void);
bool rk_gpu_is_persistent(struct rk_mem *mem);

/* --- map.c --- */

int rk_mem_mmap(struct rk_mem *mem, struct vm_area_struct *vma, unsigned long pgoff);
void rk_mem_revoke(struct rk_mem *mem);
u32 rk_mem_type_at(struct rk_mem *mem, unsigned long addr, int *err);
void rk_wc_reserve(struct rk_mem *mem);

/* --- dmabuf.c --- */

void rk_exports_invalidate(struct rk_mem *mem);

/* --- bell.c --- */

int rk_bell_check(struct rk_mem *mem, u32 index);
void rk_bell_ring(struct rk_mem *mem, u32 index, u32 reason);
void rk_bells_silence(struct rk_mem *mem);
int rk_poller_start(void);
void rk_poller_stop(void);

/* --- live.c --- */

void rk_links_die(struct rk_ctx *ctx);

#endif /* RK_RINGKERNEL_H */
