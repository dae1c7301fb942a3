// SPDX-License-Identifier: GPL-2.0
/*
 * The two ends of a ring learn of each other's coming, leaving and death.
 *
 * Ends find each other by a token that only they know.  An end belongs to an open file; when that
 * goes, for whatever reason, the other end's bell rings in the same breath.
 */
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ringkernel.h"

struct rk_end;

/* @ends: NULL where nobody is; a link without ends is freed. */
struct rk_link {
	struct hlist_node node;
	u64 token[2];
	struct rk_end *ends[2];
};

/* @bells and @index: whom to tell what the other end does. */
struct rk_end {
	struct rk_ctx *ctx;
	struct rk_link *link;
	u32 side;
	struct rk_mem *bells;
	u32 index;
};

/* Protects the table, the links in it and the ends of a link. */
static DEFINE_MUTEX(rk_links_lock);
static DEFINE_HASHTABLE(rk_links, 8);

static const struct rk_cost end_cost = { .objects = 1 };

static struct rk_link *find_link(const u64 *token)
{
	struct rk_link *link;

	hash_for_each_possible(rk_links, link, node, token[0])
		if (link->token[0] == token[0] && link->token[1] == token[1])
			return link;
	return NULL;
}

static void tell(struct rk_end *end, u32 reason)
{
	if (end)
		rk_bell_ring(end->bells, end->index, reason);
}

/* Return: 1 if the other end is there, 0 if not, -EBUSY, -ENOMEM. */
static int attach_end(struct rk_end *end, const u64 *token)
{
	struct rk_link *link;
	int ret;

	mutex_lock(&rk_links_lock);
	link = find_link(token);
	if (link && link->ends[end->side]) {
		ret = -EBUSY;
		goto out;
	}
	if (!link) {
		link = kzalloc(sizeof(*link), GFP_KERNEL_ACCOUNT);
		if (!link) {
			ret = -ENOMEM;
			goto out;
		}
		link->token[0] = token[0];
		link->token[1] = token[1];
		hash_add(rk_links, &link->node, token[0]);
	}
	link->ends[end->side] = end;
	end->link = link;
	tell(link->ends[!end->side], RK_REASON_PEER_CAME);
	ret = !!link->ends[!end->side];
out:
	mutex_unlock(&rk_links_lock);
	return ret;
}

static void detach_end(struct rk_end *end, u32 reason)
{
	struct rk_link *link = end->link;

	mutex_lock(&rk_links_lock);
	link->ends[end->side] = NULL;
	tell(link->ends[!end->side], reason);
	if (!link->ends[!end->side]) {
		hash_del(&link->node);
		kfree(link);
	}
	mutex_unlock(&rk_links_lock);
}

static void free_end(struct rk_end *end)
{
	struct rk_ctx *ctx = end->ctx;

	rk_uncharge(ctx->user, ctx->mm, &end_cost);
	rk_mem_put(end->bells);
	kfree(end);
}

static int check_args(const struct rk_link_join *in)
{
	if (!in->token[0] && !in->token[1]) {
		rk_refuse("LINK_JOIN", "token", 0);
		return -EINVAL;
	}
	if (in->end > 1) {
		rk_refuse("LINK_JOIN", "end", in->end);
		return -EINVAL;
	}
	if (in->reserved_in || in->reserved[0] || in->reserved[1]) {
		rk_refuse("LINK_JOIN", "reserved",
			  in->reserved_in | in->reserved[0] | in->reserved[1]);
		return -EINVAL;
	}
	return 0;
}

static struct rk_end *make_end(struct rk_ctx *ctx, const struct rk_link_join *in)
{
	struct rk_end *end = kzalloc(sizeof(*end), GFP_KERNEL_ACCOUNT);
	int err;

	if (!end)
		return ERR_PTR(-ENOMEM);
	end->ctx = ctx;
	end->side = in->end;
	end->index = in->index;
	end->bells = rk_mem_find(ctx, in->handle);
	err = end->bells ? rk_bell_check(end->bells, in->index) : -ENOENT;
	if (!err)
		err = rk_charge(ctx->user, ctx->mm, &end_cost);
	if (!err)
		return end;
	if (end->bells)
		rk_mem_put(end->bells);
	kfree(end);
	return ERR_PTR(err);
}

int rk_link_join(struct rk_ctx *ctx, void *arg, void __user *to)
{
	struct rk_link_join *io = arg;
	struct rk_end *end;
	int err = check_args(io);
	u32 id;

	if (err)
		return err;
	end = make_end(ctx, io);
	if (IS_ERR(end))
		return PTR_ERR(end);
	err = xa_alloc(&ctx->links, &id, NULL, RK_HANDLE_LIMIT, GFP_KERNEL);
	if (err)
		goto err_end;
	err = attach_end(end, io->token);
	if (err < 0)
		goto err_id;
	io->link = id;
	io->peer = err;
	/* Not under rk_links_lock: a page fault may take as long as it likes. */
	if (copy_to_user(to, io, sizeof(*io))) {
		err = -EFAULT;
		goto err_attached;
	}
	mutex_lock(&ctx->lock);
	err = ctx->dead ? -EPERM : 0;
	if (!err)
		xa_store(&ctx->links, id, end, GFP_KERNEL);
	mutex_unlock(&ctx->lock);
	if (err)
		goto err_attached;
	rk_stat_add(RK_STAT_LINKS, 1);
	return 0;

err_attached:
	detach_end(end, RK_REASON_PEER_LEFT);
err_id:
	xa_erase(&ctx->links, id);
err_end:
	free_end(end);
	return err;
}

int rk_link_leave(struct rk_ctx *ctx, void *arg, void __user *to)
{
	const struct rk_link_leave *in = arg;
	struct rk_end *end;

	if (in->reserved) {
		rk_refuse("LINK_LEAVE", "reserved", in->reserved);
		return -EINVAL;
	}
	mutex_lock(&ctx->lock);
	end = xa_load(&ctx->links, in->link);
	if (end)
		xa_erase(&ctx->links, in->link);
	mutex_unlock(&ctx->lock);
	if (!end)
		return -ENOENT;
	detach_end(end, RK_REASON_PEER_LEFT);
	free_end(end);
	rk_stat_add(RK_STAT_LINKS, -1);
	return 0;
}

/* The opener is gone: so are his ends. */
void rk_links_die(struct rk_ctx *ctx)
{
	struct rk_end *end;
	unsigned long id;

	xa_for_each(&ctx->links, id, end) {
		xa_erase(&ctx->links, id);
		detach_end(end, RK_REASON_PEER_DEAD);
		free_end(end);
		rk_stat_add(RK_STAT_LINKS, -1);
		rk_stat_add(RK_STAT_PEER_DEATHS, 1);
	}
}
