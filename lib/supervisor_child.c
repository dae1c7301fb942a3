// SPDX-License-Identifier: MIT
/* A child of a supervisor: looked at, copied, paused, restarted, stopped, a step at a time. */
#include "supervisor.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

static void tell_news(struct child *child, enum rk_supervisor_news news)
{
	child->news |= 1u << news;
}

/* --- Orders --- */

/* False when its control ring is full: at the next look. */
static bool tell(struct child *child, const struct rk_msg *msg)
{
	struct rk_actor *actor = child->actor;

	if (actor->ops->tell(actor, msg))
		return false;
	child->told = ++actor->told;
	return true;
}

static bool has_obeyed(const struct child *child)
{
	return actor_has_obeyed(child->actor, child->told);
}

/* Count from here; returns the messages handled well up to here. */
static uint64_t rebase(struct child *child, uint64_t received, uint64_t failed)
{
	uint64_t well = received - child->base_received - (failed - child->base_failed);

	child->base_received = received;
	child->base_failed = failed;
	return well;
}

static void begin_copy(struct child *child, uint64_t now)
{
	struct actor_copy *copy = &child->copy[!child->last];
	struct rk_actor *actor = child->actor;
	struct rk_msg order;

	/* The actor may have got a larger state since the last one. */
	if (!has_obeyed(child) || !actor_copy_room(copy, actor->type->state_bytes) ||
	    actor->ops->copy(actor, copy, &order) || !tell(child, &order))
		return;
	child->copied_ns = now;
	child->step = STEP_COPYING;
}

static void finish_copy(struct child *child)
{
	struct actor_copy *copy = &child->copy[!child->last];
	struct rk_actor *actor = child->actor;

	if (!has_obeyed(child))
		return;
	child->step = STEP_IDLE;
	if ((actor->ops->copied && actor->ops->copied(actor, copy)) || !copy->sound)
		return;
	child->last = !child->last;
	child->known += rebase(child, copy->received, copy->failed);
}

static void pause_child(struct child *child)
{
	const struct rk_msg msg = {.type = RK_MSG_QUIESCE, .slots = 1};

	if (child->sub)
		supervisor_hold(child->sub);
	if (child->sub || tell(child, &msg))
		child->step = STEP_PAUSING;
}

/* It takes no messages, so its counts stand still. */
static void count_forgotten(struct child *child, bool fresh)
{
	struct rk_actor_info info;

	rk_actor_info(child->actor, &info);
	child->forgotten += rebase(child, info.received, info.failed_messages);
	if (!fresh)
		return;
	child->forgotten += child->known;
	child->known = 0;
}

static void restart_child(struct child *child)
{
	struct actor_copy *last = &child->copy[child->last];
	struct rk_actor *actor = child->actor;
	struct rk_msg order[START_CELLS];
	bool fresh;

	if (child->sub) {
		supervisor_release(child->sub);
		child->step = STEP_RESTARTING;
		return;
	}
	/* It may have another handler since. */
	fresh = !last->sound || last->type != actor->type;
	if (actor->ops->restart(actor, fresh ? NULL : last, order) || !tell(child, order))
		return;
	count_forgotten(child, fresh);
	/* What was forgotten stays so, should the copy's handler come back. */
	if (fresh)
		last->sound = false;
	child->step = STEP_RESTARTING;
}

static void stop_child(struct child *child)
{
	const struct rk_msg msg = {.type = RK_MSG_STOP, .slots = 1};

	if (child->sub) {
		supervisor_fail(child->sub, "the supervisor above it gave up");
		child->step = STEP_STOPPING;
		return;
	}
	child->actor->ops->hurry(child->actor, CPU_HURRY);
	if (tell(child, &msg))
		child->step = STEP_STOPPING;
	child->actor->ops->hurry(child->actor, CPU_PATIENT);
}

static bool wants_copy(const struct child *child, uint64_t now)
{
	return child->actor && child->opts.restart == RK_RESTART_COPY &&
	       now - child->copied_ns >= child->opts.copy_ns &&
	       child->actor->ops->state(child->actor) == RK_ACTOR_RUNNING &&
	       child->supervisor->info.state == RK_SUPERVISOR_WATCHING;
}

static bool is_quiet(const struct child *child)
{
	return child->sub ? supervisor_is_quiet(child->sub) : has_obeyed(child);
}

static void finish_restart(struct child *child)
{
	if (child->sub ? !supervisor_is_idle(child->sub) : !has_obeyed(child))
		return;
	child->step = STEP_IDLE;
	if (child->sub)
		tell_news(child, RK_NEWS_RESTARTED);
}

void child_advance(struct child *child, uint64_t now)
{
	switch (child->step) {
	case STEP_IDLE:
		if (wants_copy(child, now))
			begin_copy(child, now);
		break;
	case STEP_COPYING:
		finish_copy(child);
		break;
	case STEP_PAUSE:
		pause_child(child);
		break;
	case STEP_PAUSING:
		if (is_quiet(child))
			child->step = STEP_READY;
		break;
	case STEP_READY:
		if (supervisor_lets(child->supervisor, child))
			restart_child(child);
		break;
	case STEP_RESTARTING:
		finish_restart(child);
		break;
	case STEP_STOP:
		stop_child(child);
		break;
	default:
		break;
	}
}

void child_begin(struct child *child)
{
	enum rk_actor_state state =
		child->sub ? RK_ACTOR_RUNNING : child->actor->ops->state(child->actor);

	if (child->opts.restart == RK_RESTART_NEVER)
		return;
	if (child->step == STEP_COPYING) {
		finish_copy(child);
		child->step = STEP_IDLE;
	}
	if (child->step != STEP_IDLE && child->step != STEP_RESTARTING)
		return;
	if (state == RK_ACTOR_FAILED && child->step == STEP_IDLE)
		child->step = STEP_READY;
	else if (state != RK_ACTOR_DORMANT && state != RK_ACTOR_DRAINING)
		child->step = STEP_PAUSE;
	if (child->step == STEP_PAUSE)
		pause_child(child);
}

/* --- Looking --- */

static void leave(struct child *child)
{
	tell_news(child, RK_NEWS_STOPPED);
	child_let_go(child);
}

static enum child_looks look_at_sub(struct child *child)
{
	struct rk_supervisor *sub = child->sub;

	if (sub->info.state >= RK_SUPERVISOR_FAILED) {
		leave(child);
		return CHILD_WELL;
	}
	if (!sub->escalated || (child->step != STEP_IDLE && child->step != STEP_RESTARTING))
		return CHILD_WELL;
	/* It gave up once more before we saw that it had restarted. */
	if (child->step == STEP_RESTARTING)
		tell_news(child, RK_NEWS_RESTARTED);
	child->step = STEP_IDLE;
	sub->escalated = false;
	tell_news(child, RK_NEWS_FAILED);
	return CHILD_FAILED;
}

/* A call that began long ago is to end; again and again, should a signal have come too early. */
static void look_at_call(struct child *child, uint64_t now)
{
	uint64_t call = child->actor->ops->calls ? child->actor->ops->calls(child->actor) : 0;

	if (!(call & 1) || call != child->call) {
		child->call = call;
		child->call_ns = now;
	} else if (now - child->call_ns >= child->supervisor->opts.stuck_ns) {
		child->call_ns = now;
		tell_news(child, RK_NEWS_INTERRUPTED);
	}
}

static void look_at_counts(struct child *child, const struct rk_actor_info *info, bool over)
{
	if (info->restarts != child->restarts && child->step != STEP_RESTARTING) {
		child->restarts = info->restarts;
		tell_news(child, RK_NEWS_RESTARTED);
	}
	/* Actors on GPUs do not count theirs. */
	if (info->failures != child->failures ||
	    (child->actor->gpu && over && info->state == RK_ACTOR_FAILED)) {
		child->signal = info->failure;
		child->lost += info->failed_messages - child->failed_messages;
		child->failures = info->failures;
		child->failed_messages = info->failed_messages;
		tell_news(child, RK_NEWS_FAILED);
	}
}

static enum child_looks look_at_actor(struct child *child, uint64_t now)
{
	/* Its end is looked at first: what it has counted by then is all it ever will. */
	bool over = actor_has_stopped(child->actor);
	struct rk_actor_info info;

	rk_actor_info(child->actor, &info);
	look_at_counts(child, &info, over);
	if (over) {
		leave(child);
		return info.state == RK_ACTOR_FAILED && child->opts.restart != RK_RESTART_NEVER ?
			       CHILD_LOST :
			       CHILD_WELL;
	}
	look_at_call(child, now);
	return info.state == RK_ACTOR_FAILED && child->step == STEP_IDLE ? CHILD_FAILED :
									   CHILD_WELL;
}

enum child_looks child_look(struct child *child, uint64_t now)
{
	if (child->step == STEP_GONE)
		return CHILD_WELL;
	if (child->step == STEP_COPYING)
		finish_copy(child);
	return child->sub ? look_at_sub(child) : look_at_actor(child, now);
}

const char *child_reason(const struct child *child)
{
	if (child->sub)
		return child->sub->info.reason;
	if (child->actor->gpu)
		return child->actor->gpu->failure;
	return strsignal(child->signal);
}

/* --- From the first to the last --- */

int child_init(struct child *child, struct rk_supervisor *supervisor, struct rk_actor *actor,
	       struct rk_supervisor *sub, const struct rk_child_opts *opts)
{
	struct rk_actor_info info;

	*child =
		(struct child){.supervisor = supervisor, .actor = actor, .sub = sub, .opts = *opts};
	if (!actor)
		return 0;
	rk_actor_info(actor, &info);
	child->failures = info.failures;
	child->failed_messages = child->base_failed = info.failed_messages;
	child->restarts = info.restarts;
	child->base_received = info.received;
	for (int i = 0; i < 2 && opts->restart == RK_RESTART_COPY; i++)
		if (!actor_copy_room(&child->copy[i], actor->type->state_bytes))
			return rk_fail(ENOMEM, "actor '%s': no memory for %u bytes of state",
				       actor->name, actor->type->state_bytes);
	return 0;
}

void child_free(struct child *child)
{
	for (int i = 0; i < 2; i++)
		actor_copy_free(&child->copy[i]);
	free(child);
}

void child_let_go(struct child *child)
{
	enum step step = child->step;

	child->step = STEP_GONE;
	child->supervisor->info.children--;
	if (child->sub) {
		child->sub->as_child = NULL;
		if (child->sub->info.state == RK_SUPERVISOR_HELD && !child->sub->escalated)
			supervisor_release(child->sub);
		return;
	}
	__atomic_fetch_sub(&child->actor->awaited, 1, __ATOMIC_RELAXED);
	if (child->opts.restart == RK_RESTART_NEVER)
		return;
	if (!actor_has_stopped(child->actor)) {
		__atomic_fetch_and(&child->actor->expected, ~ACTOR_WATCHED, __ATOMIC_RELAXED);
		if (step == STEP_PAUSING || step == STEP_READY)
			actor_tell(child->actor, child->actor->start);
	}
}
