// SPDX-License-Identifier: GPL-2.0
/*
 * Who pays: quotas of a user, and RLIMIT_MEMLOCK of a process.
 *
 * A user's counts span all his open files.  Pinned host pages count in mm->pinned_vm as they do
 * for RDMA, so /proc/PID/status shows them as VmPin.
 */
#include <linux/capability.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "ringkernel.h"

static ulong max_pinned_mib = 16384;
module_param(max_pinned_mib, ulong, 0644);
MODULE_PARM_DESC(max_pinned_mib, "MiB of host and GPU memory a user may have pinned");

static uint max_objects = 1024;
module_param(max_objects, uint, 0644);
MODULE_PARM_DESC(max_objects, "pieces of memory and link ends a user may have");

static uint max_bells = 16384;
module_param(max_bells, uint, 0644);
MODULE_PARM_DESC(max_bells, "doorbells a user may have");

struct rk_user {
	struct list_head node;
	kuid_t uid;
	unsigned int refs;
	struct rk_cost used;
};

static DEFINE_MUTEX(rk_users_lock);
static LIST_HEAD(rk_users);

/**
 * rk_user_get() - the counts of a user
 * @uid: who
 *
 * Return: the user, to be given back by rk_user_put(), or NULL without memory.
 */
struct rk_user *rk_user_get(kuid_t uid)
{
	struct rk_user *user;

	mutex_lock(&rk_users_lock);
	list_for_each_entry(user, &rk_users, node)
		if (uid_eq(user->uid, uid))
			goto found;
	user = kzalloc(sizeof(*user), GFP_KERNEL);
	if (!user)
		goto out;
	user->uid = uid;
	list_add(&user->node, &rk_users);
found:
	user->refs++;
out:
	mutex_unlock(&rk_users_lock);
	return user;
}

void rk_user_put(struct rk_user *user)
{
	mutex_lock(&rk_users_lock);
	if (--user->refs == 0) {
		WARN_ON(user->used.pages || user->used.bells || user->used.objects);
		list_del(&user->node);
		kfree(user);
	}
	mutex_unlock(&rk_users_lock);
}

static int charge_user(struct rk_user *user, const struct rk_cost *cost)
{
	unsigned long max_pages = READ_ONCE(max_pinned_mib);
	int err = 0;

	/* A limit too large to count in pages is no limit. */
	max_pages = max_pages > (ULONG_MAX >> (20 - PAGE_SHIFT)) ? ULONG_MAX :
								   max_pages << (20 - PAGE_SHIFT);
	mutex_lock(&rk_users_lock);
	if (user->used.pages + cost->pages > max_pages ||
	    user->used.bells + cost->bells > READ_ONCE(max_bells) ||
	    user->used.objects + cost->objects > READ_ONCE(max_objects)) {
		err = -EDQUOT;
	} else {
		user->used.pages += cost->pages;
		user->used.bells += cost->bells;
		user->used.objects += cost->objects;
	}
	mutex_unlock(&rk_users_lock);
	return err;
}

static void uncharge_user(struct rk_user *user, const struct rk_cost *cost)
{
	mutex_lock(&rk_users_lock);
	user->used.pages -= cost->pages;
	user->used.bells -= cost->bells;
	user->used.objects -= cost->objects;
	mutex_unlock(&rk_users_lock);
}

/**
 * rk_charge() - count against the quotas of a user and the limit of the current process
 * @user: who
 * @mm: address space of the current process
 * @cost: what for
 *
 * Return: 0, -EDQUOT over a quota, -ENOMEM over RLIMIT_MEMLOCK.
 */
int rk_charge(struct rk_user *user, struct mm_struct *mm, const struct rk_cost *cost)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	int err = charge_user(user, cost);

	if (err) {
		rk_stat_add(RK_STAT_OVER_QUOTA, 1);
		return err;
	}
	if (cost->locked &&
	    (unsigned long)atomic64_add_return(cost->locked, &mm->pinned_vm) > limit &&
	    !capable(CAP_IPC_LOCK)) {
		atomic64_sub(cost->locked, &mm->pinned_vm);
		uncharge_user(user, cost);
		rk_stat_add(RK_STAT_OVER_QUOTA, 1);
		return -ENOMEM;
	}
	rk_stat_add(RK_STAT_PINNED_PAGES, cost->pages);
	rk_stat_add(RK_STAT_BELLS, cost->bells);
	return 0;
}

void rk_uncharge(struct rk_user *user, struct mm_struct *mm, const struct rk_cost *cost)
{
	rk_stat_add(RK_STAT_PINNED_PAGES, -(long)cost->pages);
	rk_stat_add(RK_STAT_BELLS, -(long)cost->bells);
	if (cost->locked)
		atomic64_sub(cost->locked, &mm->pinned_vm);
	uncharge_user(user, cost);
}
