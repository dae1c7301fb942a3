// SPDX-License-Identifier: MIT
/* Links' policies: whether an end can have them, and how a link stands. */
#include "runtime.h"
#include "rk_error.h"

#include <inttypes.h>

enum { MOST_BACKLOG = 1 << 24 };

static bool on_cpu(const struct rk_actor *actor)
{
	return actor && !actor->gpu;
}

static uint64_t capacity_of(const struct rk_link *link)
{
	bool on_gpus = link->from && link->from->gpu && link->to && link->to->gpu;

	return 1ULL << (on_gpus ? link->memory.device.capacity_log2
				: link->memory.ring.capacity_log2);
}

/* --- Options --- */

/* What only the worker of a sending actor does. */
static int check_sender(const struct rk_link *link, const struct rk_link_opts *opts,
			const char *name)
{
	if ((!opts->full && !opts->backlog_slots && !opts->high_slots) || on_cpu(link->from))
		return 0;
	return rk_fail(EOPNOTSUPP,
		       "link '%s': a policy when full, a backlog or levels: %s sends on it, and an "
		       "actor on cpu must",
		       name, link->from ? "an actor on a GPU" : "a port or a thread of the host");
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
	if (backlog && (backlog < link->tx.max_slots || backlog > MOST_BACKLOG))
		return rk_fail(EINVAL,
			       "link '%s': a backlog of %" PRIu64 " slots: give %u, which is "
			       "one message, to %d",
			       name, backlog, link->tx.max_slots, MOST_BACKLOG);
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

static int open_dead(struct rk_link *link, const struct rk_link_opts *opts, bool to_port,
		     const char *name)
{
	bool drops_out = on_cpu(link->from), drops_in = on_cpu(link->to) || to_port;
	int result;

	if (!opts->dead_slots)
		return 0;
	if (!drops_out && !drops_in)
		return rk_fail(
			EOPNOTSUPP,
			"link '%s': dead letters: neither end is an actor on cpu, nor does it "
			"end in a port: nothing there drops",
			name);
	result = check_dead(link, opts, name);
	if (!result && drops_out)
		result = dead_open(&link->dead[0], &link->flow_out.dead, opts->dead_slots, name);
	if (!result && drops_in)
		result = dead_open(&link->dead[1], &link->flow_in.dead, opts->dead_slots, name);
	return result;
}

int flow_open(struct rk_link *link, const struct rk_link_opts *opts, bool to_port, const char *name)
{
	uint64_t backlog = opts->full != RK_FULL_DROP_OLDEST ? 0
			   : opts->backlog_slots	     ? opts->backlog_slots
							     : capacity_of(link);
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
	return open_dead(link, opts, to_port, name);
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

void rk_link_info(const struct rk_link *link, struct rk_link_info *info)
{
	const struct rk_ring *ring = &link->memory.ring;
	bool seen = (!link->from || !link->from->gpu) && (!link->to || !link->to->gpu);

	/* Relaxed: each is a count of its own. */
	*info = (struct rk_link_info){
		.from = link->from,
		.to = link->to,
		.slots = capacity_of(link),
		.waiting = __atomic_load_n(&link->flow_out.waiting, __ATOMIC_RELAXED),
		.is_high = __atomic_load_n(&link->flow_out.is_high, __ATOMIC_RELAXED),
		.highs = __atomic_load_n(&link->flow_out.highs, __ATOMIC_RELAXED),
		.lows = __atomic_load_n(&link->flow_out.lows, __ATOMIC_RELAXED),
		.dead_lost = __atomic_load_n(&link->flow_out.dead.lost, __ATOMIC_RELAXED) +
			     __atomic_load_n(&link->flow_in.dead.lost, __ATOMIC_RELAXED),
	};
	for (int i = 0; i < RK_DROP_REASONS; i++)
		info->dropped[i] = __atomic_load_n(&link->flow_out.dropped[i], __ATOMIC_RELAXED);
	info->dropped[RK_DROP_EXPIRED] = __atomic_load_n(&link->flow_in.expired, __ATOMIC_RELAXED);
	info->dropped[RK_DROP_SHED] = __atomic_load_n(&link->flow_in.shed, __ATOMIC_RELAXED);
	if (!seen)
		return;
	info->credited = __atomic_load_n(&ring->credit->consumed, __ATOMIC_RELAXED);
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
