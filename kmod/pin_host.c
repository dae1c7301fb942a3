// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of the caller, pinned for as long as a device may want them.
 */
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

/* Pages pinned between two looks for a fatal signal: 16 MiB. */
#define PIN_BATCH	4096ul

static void host_release(struct rk_mem *mem)
{
	if (!mem->pages)
		return;
	unpin_user_pages_dirty_lock(mem->pages, mem->bytes >> PAGE_SHIFT, true);
}

static void host_free(struct rk_mem *mem)
{
	kfree(mem);
}

static const struct rk_mem_ops host_ops = {
	.release = host_release,
	.free = host_free,
};

static int check_args(const struct rk_pin_host *in)
{
	u64 end;

	if (in->flags) {
		rk_refuse("PIN_HOST", "flags", in->flags);
		return -EINVAL;
	}
	if (in->reserved[0] || in->reserved[1]) {
		rk_refuse("PIN_HOST", "reserved", in->reserved[0] | in->reserved[1]);
		return -EINVAL;
	}
	if (!PAGE_ALIGNED(in->addr)) {
		rk_refuse("PIN_HOST", "addr", in->addr);
		return -EINVAL;
	}
	if (!in->bytes || !PAGE_ALIGNED(in->bytes)) {
		rk_refuse("PIN_HOST", "bytes", in->bytes);
		return -EINVAL;
	}
	if (check_add_overflow(in->addr, in->bytes, &end)) {
		rk_refuse("PIN_HOST", "addr + bytes", in->bytes);
		return -EOVERFLOW;
	}
	if (in->bytes > RK_MAX_BYTES) {
		rk_refuse("PIN_HOST", "bytes", in->bytes);
		return -EINVAL;
	}
	return 0;
}

/* All pages or none. */
static int pin_range(unsigned long addr, unsigned long count, struct page **pages)
{
	unsigned long done = 0;
	int n = 0;

	while (done < count) {
		if (fatal_signal_pending(current)) {
			n = -EINTR;
			break;
		}
		n = pin_user_pages_fast(addr + (done << PAGE_SHIFT), min(count - done, PIN_BATCH),
					FOLL_WRITE | FOLL_LONGTERM, pages + done);
		if (n <= 0)
			break;
		done += n;
	}
	if (done == count)
		return 0;
	unpin_user_pages(pages, done);
	return n < 0 ? n : -EFAULT;
}

int rk_pin_host(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_pin_host *io = arg;
	struct rk_cost cost = { .objects = 1 };
	struct rk_mem *mem;
	struct page **pages;
	int err = check_args(io);

	if (err)
		return err;
	cost.pages = io->bytes >> PAGE_SHIFT;
	cost.locked = cost.pages;
	mem = kzalloc(sizeof(*mem), GFP_KERNEL_ACCOUNT);
	if (!mem)
		return -ENOMEM;
	/* Charged before the array is allocated: what a quota forbids costs no memory either. */
	err = rk_mem_init(mem, ctx, &host_ops, RK_MEM_HOST, io->bytes, &cost);
	if (err) {
		kfree(mem);
		return err;
	}
	/* Too large for one array is for the quota to say, not for a stack trace. */
	pages = kvmalloc_array(cost.pages, sizeof(*pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	err = pages ? pin_range(io->addr, cost.pages, pages) : -ENOMEM;
	if (err) {
		kvfree(pages);
		rk_mem_drop(mem);
		return err;
	}
	mem->pages = pages;
	err = rk_mem_publish(mem, &io->handle, &io->mmap_offset, to, io, sizeof(*io));
	if (err) {
		rk_mem_drop(mem);
		return err;
	}
	rk_stat_add(RK_STAT_PINS_HOST, 1);
	return 0;
}
