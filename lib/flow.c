// SPDX-License-Identifier: MIT
/* Links' policies: whether an end can have them, and how a link stands. */
#include "runtime.h"
#include "rk_error.h"

#include <inttypes.h>

enum { MOST_BACKLOG = 1 << 24 };

#define SAME(one, other) RK_STATIC_ASSERT((int)(one) == (int)(other), "GPUs call it the same")
SAME(RK_FULL_DROP_NEWEST, RK_GPU_DROP_NEWEST);
SAME(RK_FULL_DROP_OLDEST, RK_GPU_DROP_OLDEST);
SAME(RK_DROP_FULL, RK_GPU_FULL);
SAME(RK_DROP_OLD, RK_GPU_OLD);
SAME(RK_DROP_EXPIRED, RK_GPU_EXPIRED);
SAME(RK_DROP_CLOSED, RK_GPU_CLOSED);
SAME(RK_DROP_STOPPED, RK_GPU_STOPPED);
SAME(RK_DROP_REASONS, RK_GPU_DROPS);

static bool on_cpu(const struct rk_actor *actor)
{
	return actor && !actor->gpu;
}

static bool on_gpu(const struct rk_actor *actor)
{
	return actor && actor->gpu;
}

static uint64_t capacity_of(const struct rk_link *link)
{
	return 1ULL << (on_gpu(link->from) && on_gpu(link->to)
				? link->memory.device.capacity_log2
				: link->memory.ring.capacity_log2);
}

/* Slots of a message, at most. */
static uint32_t longest_of(const struct rk_link *link)
{
	uint64_t half = capacity_of(link) / 2;

	return half < RK_MSG_MAX_SLOTS ? (uint32_t)half : RK_MSG_MAX_SLOTS;
}

/* Cells that may wait, at most. */
static uint64_t most_backlog(const struct rk_link *link)
{
	return on_gpu(link->from) ? RK_GPU_BACKLOG : MOST_BACKLOG;
}

/* --- Options --- */

/* What only a sending actor does. */
static int check_sender(const struct rk_link *link, const struct rk_link_opts *opts,
			const char *name)
{
	if ((!opts->full && !opts->backlog_slots && !opts->high_slots) || link->from)
		return 0;
	return rk_fail(EOPNOTSUPP,
		       "link '%s': a policy when full, a backlog or levels: a port or a thread of "
		       "the host sends on it, and an actor must",
		       name);
}

static int check_backlog(const struct rk_link *link, const struct rk_link_opts *opts,
			 uint64_t backlog, const char *name)
{
	if (opts->full > RK_FULL_DROP_OLDEST)
		return rk_fail(EINVAL, "link '%s': policy %d: give one of enum rk_full", name,
			       opts->full);
	if (opts->full != RK_FULL_DROP_OLDEST && opts->backlog_slots)
		return rk_fail(EINVAL,
			       "link '%s': a backlog of %" PRIu64
			       " slots: only with RK_FULL_DROP_OLDEST",
			       name, opts->backlog_slots);
	if (backlog && (backlog < longest_of(link) || backlog > most_backlog(link)))
		return rk_fail(EINVAL,
			       "link '%s': a backlog of %" PRIu64 " slots: give %u, which is "
			       "one message, to %" PRIu64,
			       name, backlog, longest_of(link), most_backlog(link));
	return 0;
}

static int check_levels(const struct rk_link *link, const struct rk_link_opts *opts,
			uint64_t backlog, const char *name)
{
	uint64_t most = capacity_of(link) + backlog;

	if ((!opts->high_slots && !opts->low_slots) ||
	    (opts->low_slots < opts->high_slots && opts->high_slots <= most))
		return 0;
	return rk_fail(EINVAL,
		       "link '%s': levels of %" PRIu64 " and %" PRIu64 " slots: the low must be "
		       "below the high, and that at most %" PRIu64,
		       name, opts->low_slots, opts->high_slots, most);
}

/* What only the worker of a receiving actor does. */
static int check_receiver(const struct rk_link *link, const struct rk_link_opts *opts,
			  const char *name)
{
	if (!opts->share_messages && !opts->share_slots && !opts->shed_at)
		return 0;
	if (!on_cpu(link->to))
		return rk_fail(EOPNOTSUPP,
			       "link '%s': a share, or to be shed: %s receives, and an actor on "
			       "cpu must",
			       name,
			       link->to ? "an actor on a GPU" : "a port or a thread of the host");
	if ((opts->share_messages && opts->share_slots) || opts->share_messages > RK_MAX_SHARE ||
	    opts->share_slots > RK_MAX_SHARE)
		return rk_fail(EINVAL,
			       "link '%s': a share of %u messages and %u slots: give one of the "
			       "two, up to %d",
			       name, opts->share_messages, opts->share_slots, RK_MAX_SHARE);
	return 0;
}

/* A ring of letters takes a whole message of this link, with its front. */
static int check_dead(const struct rk_link *link, const struct rk_link_opts *opts, const char *name)
{
	uint64_t least = capacity_of(link) < 512 ? capacity_of(link) : 512;

	if (least < 4)
		least = 4;
	if (opts->dead_slots >= least && rk_ring_bytes(opts->dead_slots))
		return 0;
	return rk_fail(EINVAL,
		       "link '%s': %" PRIu64 " slots of dead letters: give a power of two from "
		       "%" PRIu64 " to %llu",
		       name, opts->dead_slots, least, RK_RING_MAX_CAPACITY);
}

/* What the GPU is told of the end of @actor, and tells us; the receiver's is the second. */
static int open_on_gpu(struct rk_link *link, struct rk_actor *actor, const struct rk_link_opts *opts,
		       bool receives, const char *name)
{
	struct gpu_flow *end = &link->gpu_flow[receives];
	struct rk_gpu_flow *flow;
	int result = cuda_take(actor->gpu, CUDA_HOST, sizeof(*flow), "a link's policies",
			       &end->part);

	if (result)
		return result;
	end->owner = actor->gpu;
	flow = end->part.host;
	if (!receives) {
		flow->full = link->flow_out.full;
		flow->backlog = link->flow_out.backlog;
		flow->high_slots = (uint32_t)link->flow_out.high_slots;
		flow->low_slots = (uint32_t)link->flow_out.low_slots;
	}
	end->policies = opts->dead_slots || flow->full || flow->high_slots;
	return opts->dead_slots ? dead_open_gpu(&link->dead[receives], flow, actor,
						opts->dead_slots, name)
				: 0;
}

void flow_close(struct rk_link *link)
{
	for (int i = 0; i < 2; i++)
		if (link->gpu_flow[i].owner)
			cuda_give(link->gpu_flow[i].owner, &link->gpu_flow[i].part);
}

static int open_dead(struct rk_link *link, const struct rk_link_opts *opts, bool to_port,
		     const char *name)
{
	bool drops_in = on_cpu(link->to) || to_port;
	int result;

	if (!opts->dead_slots)
		return 0;
	if (!link->from && !link->to && !to_port)
		return rk_fail(EOPNOTSUPP,
			       "link '%s': dead letters: neither end is an actor, nor does it end in "
			       "a port: nothing there drops",
			       name);
	result = check_dead(link, opts, name);
	if (!result && on_cpu(link->from))
		result = dead_open(&link->dead[0], &link->flow_out.dead, opts->dead_slots, name);
	if (!result && drops_in)
		result = dead_open(&link->dead[1], &link->flow_in.dead, opts->dead_slots, name);
	return result;
}

static uint64_t default_backlog(const struct rk_link *link)
{
	uint64_t capacity = capacity_of(link);

	return capacity < most_backlog(link) ? capacity : most_backlog(link);
}

int flow_open(struct rk_link *link, const struct rk_link_opts *opts, bool to_port, const char *name)
{
	uint64_t backlog = opts->full != RK_FULL_DROP_OLDEST ? 0
			   : opts->backlog_slots	     ? opts->backlog_slots
							     : default_backlog(link);
	int result = check_sender(link, opts, name);

	if (!result)
		result = check_backlog(link, opts, backlog, name);
	if (!result)
		result = check_levels(link, opts, backlog, name);
	if (!result)
		result = check_receiver(link, opts, name);
	if (result)
		return result;
	link->flow_out.full = opts->full;
	link->flow_out.backlog = (uint32_t)backlog;
	link->flow_out.high_slots = opts->high_slots;
	link->flow_out.low_slots = opts->low_slots;
	link->flow_in.share_messages = opts->share_messages;
	link->flow_in.share_slots = opts->share_slots;
	link->flow_in.shed_at = opts->shed_at;
	result = open_dead(link, opts, to_port, name);
	if (!result && on_gpu(link->from))
		result = open_on_gpu(link, link->from, opts, false, name);
	if (!result && on_gpu(link->to))
		result = open_on_gpu(link, link->to, opts, true, name);
	return result;
}

/* --- How a link stands --- */

static bool is_sent(const struct rk_ring *ring, uint64_t position)
{
	const struct rk_slot *slot = ring->slots + (position & ((1ULL << ring->capacity_log2) - 1));
	uint64_t word = __atomic_load_n(&slot->word[0], __ATOMIC_RELAXED);

	return !((word ^ rk_slot_tag(position, ring->capacity_log2)) & RK_WORD_TAG_MASK);
}

/* Nobody publishes how far it has sent: but slots say of themselves whether they are of this lap.
 */
static uint64_t count_sent(const struct rk_ring *ring, uint64_t credited)
{
	uint64_t sent = 0, most = 1ULL << ring->capacity_log2;

	while (sent < most) {
		uint64_t middle = sent + (most - sent) / 2;

		if (is_sent(ring, credited + middle))
			sent = middle + 1;
		else
			most = middle;
	}
	return sent;
}

/* Relaxed: each is a count of its own. */
static uint64_t count(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* What the GPU at an end of it has told. */
static void add_from_gpu(struct rk_link_info *info, const struct cuda_part *part)
{
	const struct rk_gpu_flow *flow = part->host;
	const struct rk_gpu_flow_counts *from;

	if (!flow)
		return;
	from = &flow->counts;
	info->waiting += count(&from->waiting);
	info->is_high |= count(&from->is_high) != 0;
	info->highs += count(&from->highs);
	info->lows += count(&from->lows);
	info->dead_lost += count(&from->dead_lost);
	for (int i = 0; i < RK_DROP_REASONS; i++)
		info->dropped[i] += count(&from->dropped[i]);
}

void rk_link_info(const struct rk_link *link, struct rk_link_info *info)
{
	const struct rk_ring *ring = &link->memory.ring;

	*info = (struct rk_link_info){
		.from = link->from,
		.to = link->to,
		.slots = capacity_of(link),
		.waiting = count(&link->flow_out.waiting),
		.is_high = __atomic_load_n(&link->flow_out.is_high, __ATOMIC_RELAXED),
		.highs = count(&link->flow_out.highs),
		.lows = count(&link->flow_out.lows),
		.dead_lost = count(&link->flow_out.dead.lost) + count(&link->flow_in.dead.lost),
	};
	for (int i = 0; i < RK_DROP_REASONS; i++)
		info->dropped[i] = count(&link->flow_out.dropped[i]);
	info->dropped[RK_DROP_EXPIRED] = count(&link->flow_in.expired);
	info->dropped[RK_DROP_SHED] = count(&link->flow_in.shed);
	add_from_gpu(info, &link->gpu_flow[0].part);
	add_from_gpu(info, &link->gpu_flow[1].part);
	if (on_gpu(link->from) || on_gpu(link->to))
		return;
	info->credited = count(&ring->credit->consumed);
	info->used = count_sent(ring, info->credited);
}

void rk_runtime_shed(struct rk_runtime *runtime, uint32_t level)
{
	__atomic_store_n(&runtime->shed_level, level, __ATOMIC_RELAXED);
}

struct rk_link *rk_link_of_tx(struct rk_ring_tx *tx)
{
	return (struct rk_link *)((char *)tx - offsetof(struct rk_link, tx));
}

struct rk_link *rk_link_of_rx(struct rk_ring_rx *rx)
{
	return (struct rk_link *)((char *)rx - offsetof(struct rk_link, rx));
}
