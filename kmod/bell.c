// SPDX-License-Identifier: GPL-2.0
/*
 * Doorbells: a store rings, the poller sees it and wakes whoever sleeps.
 *
 * A bell's count never goes back and is never reset, so a ring cannot be lost: arming compares with
 * the count the waiter knows, under the lock that the poller holds when it compares.  The module's
 * own rings are counted in kernel memory; the word in the page is a copy for user space.
 *
 * The poller looks at armed bells only.  It looks without pause for a while after each ring, since
 * traffic comes in bursts; then it naps on a timer, longer and longer; with nothing armed it sleeps
 * until the next RK_IOC_BELL_ARM.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

static uint spin_us = 50;
module_param(spin_us, uint, 0644);
MODULE_PARM_DESC(spin_us, "how long the poller looks without pause after a ring");

static uint poll_min_us = 20;
module_param(poll_min_us, uint, 0644);
MODULE_PARM_DESC(poll_min_us, "first pause of the poller when it is quiet");

static uint poll_max_us = 200;
module_param(poll_max_us, uint, 0644);
MODULE_PARM_DESC(poll_max_us, "longest pause of the poller while a bell is armed");

#define BELL_WORDS	(RK_BELL_BYTES / sizeof(u64))
#define BELLS_PER_PAGE	(PAGE_SIZE / RK_BELL_BYTES)

/* Bells looked at in one hold of the lock. */
#define SCAN_BATCH	64

/**
 * struct rk_bell - one doorbell; all fields protected by rk_bell_lock
 * @armed: in armed_bells while armed
 * @words: the bell in its page, written by anyone who maps it
 * @seen: count at which it was armed
 * @rings: the module's own rings
 * @reason: RK_REASON_* of the last of them
 * @eventfd: who is woken, or NULL
 */
struct rk_bell {
	struct list_head armed;
	u64 *words;
	u64 seen;
	u64 rings;
	u32 reason;
	struct eventfd_ctx *eventfd;
};

/* @silent: given up by the owner: rings nobody; protected by rk_bell_lock. */
struct rk_bells_mem {
	struct rk_mem mem;
	u32 count;
	bool silent;
	struct rk_bell bells[];
};

static DEFINE_SPINLOCK(rk_bell_lock);
static LIST_HEAD(armed_bells);
/* Written under rk_bell_lock; read without, by the poller deciding whether to sleep. */
static unsigned int armed_count;
static DECLARE_WAIT_QUEUE_HEAD(poller_wait);
static struct task_struct *poller_task;

static struct rk_bells_mem *to_bells(struct rk_mem *mem)
{
	return container_of(mem, struct rk_bells_mem, mem);
}

static u64 bell_count(const struct rk_bell *bell)
{
	u64 sum = bell->rings;
	unsigned int i;

	for (i = 0; i < RK_BELL_WRITERS; i++)
		sum += READ_ONCE(bell->words[i]);
	return sum;
}

static void arm(struct rk_bell *bell)
{
	if (!list_empty(&bell->armed))
		return;
	list_add_tail(&bell->armed, &armed_bells);
	WRITE_ONCE(armed_count, armed_count + 1);
}

static void disarm(struct rk_bell *bell)
{
	if (list_empty(&bell->armed))
		return;
	list_del_init(&bell->armed);
	WRITE_ONCE(armed_count, armed_count - 1);
}

/* Looks at up to SCAN_BATCH bells from the front of the list. Return: bells that had rung. */
static unsigned int scan_batch(unsigned int n)
{
	struct rk_bell *bell;
	unsigned int woken = 0;

	spin_lock(&rk_bell_lock);
	while (n-- && !list_empty(&armed_bells)) {
		bell = list_first_entry(&armed_bells, struct rk_bell, armed);
		if (bell_count(bell) == bell->seen) {
			list_move_tail(&bell->armed, &armed_bells);
			continue;
		}
		disarm(bell);
		rk_eventfd_signal(bell->eventfd);
		woken++;
	}
	spin_unlock(&rk_bell_lock);
	return woken;
}

static unsigned int scan(void)
{
	unsigned int left = READ_ONCE(armed_count);
	unsigned int woken = 0;

	while (left) {
		unsigned int n = min_t(unsigned int, left, SCAN_BATCH);

		woken += scan_batch(n);
		left -= n;
		if (left)
			cond_resched();
	}
	rk_stat_add(RK_STAT_POLLER_SCANS, 1);
	if (woken)
		rk_stat_add(RK_STAT_BELL_WAKES, woken);
	return woken;
}

static bool poller_needed(void)
{
	return READ_ONCE(armed_count) || kthread_should_stop();
}

static int poller(void *unused)
{
	unsigned int nap_us = 0;
	u64 spin_until = 0;

	while (!kthread_should_stop()) {
		bool spinning = ktime_get_ns() < spin_until;

		/* Nor while traffic lasts: who was woken needs a CPU, likely this one. */
		if (!READ_ONCE(armed_count)) {
			rk_stat_add(RK_STAT_POLLER_STOPS, 1);
			wait_event_idle(poller_wait, poller_needed());
			nap_us = 0;
		} else if (scan()) {
			spin_until = ktime_get_ns() + (u64)READ_ONCE(spin_us) * NSEC_PER_USEC;
			nap_us = 0;
		} else if (spinning) {
			cpu_relax();
			cond_resched();
		} else {
			nap_us = clamp(nap_us * 2, max(READ_ONCE(poll_min_us), 1u),
				       max(READ_ONCE(poll_max_us), 1u));
			rk_stat_add(RK_STAT_POLLER_NAPS, 1);
			usleep_idle_range(nap_us, nap_us + nap_us / 4);
		}
	}
	return 0;
}

int rk_poller_start(void)
{
	poller_task = kthread_run(poller, NULL, "ringkernel");
	return PTR_ERR_OR_ZERO(poller_task);
}

void rk_poller_stop(void)
{
	kthread_stop(poller_task);
}

/**
 * rk_bell_ring() - the module rings
 * @mem: bells
 * @index: which, checked by rk_bell_check()
 * @reason: RK_REASON_*
 *
 * Wakes whether armed or not: what the module has to say is never a thing to be polled for.
 */
void rk_bell_ring(struct rk_mem *mem, u32 index, u32 reason)
{
	struct rk_bell *bell = &to_bells(mem)->bells[index];

	spin_lock(&rk_bell_lock);
	bell->rings++;
	bell->reason = reason;
	WRITE_ONCE(bell->words[RK_BELL_MODULE_WORD], bell->rings << RK_BELL_REASON_BITS | reason);
	disarm(bell);
	if (bell->eventfd)
		rk_eventfd_signal(bell->eventfd);
	spin_unlock(&rk_bell_lock);
}

/* Return: 0 if @mem is bells and has one of that index, else -ENOENT. */
int rk_bell_check(struct rk_mem *mem, u32 index)
{
	return mem->kind == RK_MEM_BELLS && index < to_bells(mem)->count ? 0 : -ENOENT;
}

/* The owner gives his bells up: nobody waits for them any more. */
void rk_bells_silence(struct rk_mem *mem)
{
	struct rk_bells_mem *set = to_bells(mem);
	u32 i;

	for (i = 0; i < set->count; i++) {
		struct rk_bell *bell = &set->bells[i];
		struct eventfd_ctx *eventfd;

		spin_lock(&rk_bell_lock);
		set->silent = true;
		disarm(bell);
		eventfd = bell->eventfd;
		bell->eventfd = NULL;
		spin_unlock(&rk_bell_lock);
		if (eventfd)
			eventfd_ctx_put(eventfd);
	}
}

/* The pages stay while anybody maps them: see bells_free(). */
static void bells_release(struct rk_mem *mem)
{
}

static void bells_free(struct rk_mem *mem)
{
	u32 i;

	for (i = 0; mem->pages && i < mem->bytes >> PAGE_SHIFT; i++)
		if (mem->pages[i])
			__free_page(mem->pages[i]);
	kvfree(to_bells(mem));
}

static const struct rk_mem_ops bells_ops = {
	.release = bells_release,
	.free = bells_free,
};

static int fill(struct rk_bells_mem *set)
{
	struct rk_mem *mem = &set->mem;
	u32 nr_pages = mem->bytes >> PAGE_SHIFT;
	u32 i;

	mem->pages = kvcalloc(nr_pages, sizeof(*mem->pages), GFP_KERNEL_ACCOUNT);
	if (!mem->pages)
		return -ENOMEM;
	for (i = 0; i < nr_pages; i++) {
		mem->pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!mem->pages[i])
			return -ENOMEM;
	}
	for (i = 0; i < set->count; i++)
		set->bells[i].words = (u64 *)page_address(mem->pages[i / BELLS_PER_PAGE]) +
				      i % BELLS_PER_PAGE * BELL_WORDS;
	return 0;
}

static int check_bells(const struct rk_bells *in)
{
	if (!in->count || in->count > RK_BELLS_MAX) {
		rk_refuse("BELLS", "count", in->count);
		return -EINVAL;
	}
	if (in->flags) {
		rk_refuse("BELLS", "flags", in->flags);
		return -EINVAL;
	}
	if (in->reserved[0] || in->reserved[1]) {
		rk_refuse("BELLS", "reserved", in->reserved[0] | in->reserved[1]);
		return -EINVAL;
	}
	return 0;
}

int rk_bells(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_bells *io = arg;
	struct rk_cost cost = { .objects = 1, .bells = io->count };
	struct rk_bells_mem *set;
	int err = check_bells(io);
	u32 i;

	if (err)
		return err;
	set = kvzalloc(struct_size(set, bells, io->count), GFP_KERNEL_ACCOUNT);
	if (!set)
		return -ENOMEM;
	set->count = io->count;
	for (i = 0; i < set->count; i++)
		INIT_LIST_HEAD(&set->bells[i].armed);
	io->bytes = PAGE_ALIGN(io->count * RK_BELL_BYTES);
	io->reserved_out = 0;
	err = rk_mem_init(&set->mem, ctx, &bells_ops, RK_MEM_BELLS, io->bytes, &cost);
	if (err) {
		kvfree(set);
		return err;
	}
	err = fill(set);
	if (!err)
		err = rk_mem_publish(&set->mem, &io->handle, &io->mmap_offset, to, io, sizeof(*io));
	if (err)
		rk_mem_drop(&set->mem);
	return err;
}

/* Return: 0 and the bells with a reference, or -ENOENT. */
static int find_bell(struct rk_ctx *ctx, u32 handle, u32 index, struct rk_mem **mem)
{
	*mem = rk_mem_find(ctx, handle);
	if (!*mem)
		return -ENOENT;
	if (!rk_bell_check(*mem, index))
		return 0;
	rk_mem_put(*mem);
	return -ENOENT;
}

int rk_bell_bind(struct rk_ctx *ctx, void *arg, void __user *to)
{
	const struct rk_bell_bind *in = arg;
	struct eventfd_ctx *eventfd = NULL;
	struct rk_bell *bell;
	struct rk_mem *mem;
	int err;

	if (in->reserved || in->eventfd < -1) {
		rk_refuse("BELL_BIND", in->reserved ? "reserved" : "eventfd",
			  in->reserved ? in->reserved : in->eventfd);
		return -EINVAL;
	}
	err = find_bell(ctx, in->handle, in->index, &mem);
	if (err)
		return err;
	if (in->eventfd >= 0) {
		eventfd = eventfd_ctx_fdget(in->eventfd);
		if (IS_ERR(eventfd)) {
			rk_mem_put(mem);
			return PTR_ERR(eventfd);
		}
	}
	bell = &to_bells(mem)->bells[in->index];
	spin_lock(&rk_bell_lock);
	if (to_bells(mem)->silent) {
		err = -ENOENT;
	} else {
		swap(bell->eventfd, eventfd);
		if (!bell->eventfd)
			disarm(bell);
	}
	spin_unlock(&rk_bell_lock);
	if (eventfd)
		eventfd_ctx_put(eventfd);
	rk_mem_put(mem);
	return err;
}

int rk_bell_arm(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_bell_arm *io = arg;
	struct rk_bell *bell;
	struct rk_mem *mem;
	int err;

	if (io->reserved[0] || io->reserved[1]) {
		rk_refuse("BELL_ARM", "reserved", io->reserved[0] | io->reserved[1]);
		return -EINVAL;
	}
	err = find_bell(ctx, io->handle, io->index, &mem);
	if (err)
		return err;
	bell = &to_bells(mem)->bells[io->index];
	spin_lock(&rk_bell_lock);
	io->count = bell_count(bell);
	io->reason = bell->reason;
	io->armed = io->count == io->seen;
	if (!bell->eventfd) {
		err = -ENXIO;
	} else if (io->armed) {
		bell->seen = io->count;
		arm(bell);
	}
	spin_unlock(&rk_bell_lock);
	rk_mem_put(mem);
	if (err)
		return err;
	if (io->armed)
		wake_up(&poller_wait);
	rk_stat_add(RK_STAT_BELL_ARMS, 1);
	return copy_to_user(to, io, sizeof(*io)) ? -EFAULT : 0;
}
