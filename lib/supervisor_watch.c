// SPDX-License-Identifier: MIT
/* A supervisor's thread: what it decides when a child has failed, and what it tells. */
#include "supervisor.h"
#include "clock.h"
#include "rk_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* --- Groups of children --- */

bool supervisor_lets(const struct rk_supervisor *supervisor, const struct child *child)
{
	bool before = true;

	if (supervisor->info.state != RK_SUPERVISOR_WATCHING)
		return false;
	if (supervisor->opts.strategy == RK_ONE_FOR_ONE)
		return true;
	for (const struct child *other = supervisor->children; other; other = other->next) {
		before &= other != child;
		if (other->step == STEP_PAUSE || other->step == STEP_PAUSING ||
		    (before && (other->step == STEP_READY || other->step == STEP_RESTARTING)))
			return false;
	}
	return true;
}

/* @from and all after it, down to the last: the last is paused first. */
static void begin_from(struct child *from)
{
	if (from->next)
		begin_from(from->next);
	child_begin(from);
}

void supervisor_hold(struct rk_supervisor *supervisor)
{
	if (supervisor->info.state >= RK_SUPERVISOR_FAILED)
		return;
	supervisor->info.state = RK_SUPERVISOR_HELD;
	if (supervisor->children)
		begin_from(supervisor->children);
	pthread_cond_broadcast(&supervisor->runtime->changed);
}

void supervisor_release(struct rk_supervisor *supervisor)
{
	if (supervisor->info.state != RK_SUPERVISOR_HELD)
		return;
	supervisor->info.state = RK_SUPERVISOR_WATCHING;
	supervisor->escalated = false;
	supervisor->admitted = 0;
	pthread_cond_broadcast(&supervisor->runtime->changed);
}

/* All children stand still; one that is dormant, or ends, is left out of it. */
bool supervisor_is_quiet(const struct rk_supervisor *supervisor)
{
	for (const struct child *child = supervisor->children; child; child = child->next)
		if (child->step == STEP_PAUSE || child->step == STEP_PAUSING ||
		    child->step == STEP_RESTARTING)
			return false;
	return true;
}

bool supervisor_is_idle(const struct rk_supervisor *supervisor)
{
	for (const struct child *child = supervisor->children; child; child = child->next)
		if (child->step != STEP_IDLE && child->step != STEP_COPYING &&
		    child->step != STEP_GONE)
			return false;
	return true;
}

/* --- Giving up --- */

void supervisor_fail(struct rk_supervisor *supervisor, const char *reason)
{
	if (supervisor->info.state >= RK_SUPERVISOR_FAILED)
		return;
	if (!supervisor->escalated)
		snprintf(supervisor->info.reason, sizeof(supervisor->info.reason), "%s", reason);
	supervisor->info.state = RK_SUPERVISOR_FAILED;
	supervisor->escalated = false;
	supervisor->news = true;
	for (struct child *child = supervisor->children; child; child = child->next)
		if (child->step != STEP_GONE)
			child->step = STEP_STOP;
	pthread_cond_broadcast(&supervisor->runtime->changed);
}

/* Nobody is left to see to it: whoever waits for the runtime is told before all is stopped. */
static void fail(struct rk_supervisor *supervisor, const char *reason)
{
	int result = rk_fail(EFAULT, "supervisor '%s': it gave up: %s", supervisor->name, reason);

	runtime_keep_failure(supervisor->runtime, result);
	supervisor_fail(supervisor, reason);
}

static void give_up(struct rk_supervisor *supervisor, const struct child *child, bool lost)
{
	struct rk_supervisor_info *info = &supervisor->info;
	char reason[sizeof(info->reason)], why[57] = "and cannot be restarted in this process";

	info->gave_up++;
	if (!lost)
		snprintf(why, sizeof(why), "after %u restarts within %" PRIu64 " ms",
			 supervisor->opts.max_restarts, supervisor->opts.window_ns / 1000000);
	snprintf(reason, sizeof(reason), "'%.40s' failed (%.48s), %s",
		 child->sub ? child->sub->name : child->actor->name, child_reason(child), why);
	if (!supervisor->as_child) {
		fail(supervisor, reason);
		return;
	}
	memcpy(info->reason, reason, sizeof(reason));
	supervisor->news = true;
	supervisor_hold(supervisor);
	supervisor->escalated = true;
}

/* One more restart, if there have not been too many. */
static bool admit(struct rk_supervisor *supervisor, uint64_t now)
{
	const struct rk_supervisor_opts *opts = &supervisor->opts;
	uint64_t *oldest = &supervisor->restarted_ns[supervisor->admitted % opts->max_restarts];

	if (supervisor->admitted >= opts->max_restarts && now - *oldest < opts->window_ns)
		return false;
	*oldest = now;
	supervisor->admitted++;
	return true;
}

static void react(struct rk_supervisor *supervisor, struct child *child, uint64_t now)
{
	enum rk_strategy strategy = supervisor->opts.strategy;

	if (supervisor->info.state == RK_SUPERVISOR_WATCHING && !admit(supervisor, now)) {
		give_up(supervisor, child, false);
		return;
	}
	if (strategy == RK_ONE_FOR_ALL)
		begin_from(supervisor->children);
	else if (strategy == RK_REST_FOR_ONE)
		begin_from(child);
	else
		child_begin(child);
}

/* --- Telling --- */

/* Mutex held, but not while the event is told. */
static void tell(struct rk_supervisor *supervisor, struct child *child,
		 enum rk_supervisor_news news)
{
	struct rk_supervisor_event event = {.news = news,
					    .supervisor = supervisor,
					    .time_ns = now_ns(),
					    .reason = supervisor->info.reason};
	uint64_t call = child ? child->call : 0;

	if (child) {
		event.actor = child->actor;
		event.child = child->sub;
		event.reason = "";
	}
	if (news == RK_NEWS_FAILED) {
		event.signal = child->signal;
		event.lost = child->lost;
		event.reason = child_reason(child);
		child->lost = 0;
		supervisor->info.failures++;
		supervisor->info.lost += event.lost;
	} else if (news == RK_NEWS_RESTARTED) {
		event.forgotten = child->forgotten;
		child->forgotten = 0;
		supervisor->info.restarts++;
		supervisor->info.forgotten += event.forgotten;
	} else if (news == RK_NEWS_INTERRUPTED) {
		supervisor->info.interrupts++;
	}
	pthread_mutex_unlock(&supervisor->runtime->mutex);
	if (news == RK_NEWS_INTERRUPTED)
		event.actor->ops->interrupt(event.actor, call);
	if (supervisor->opts.event)
		supervisor->opts.event(supervisor->opts.user, &event);
	pthread_mutex_lock(&supervisor->runtime->mutex);
}

static void tell_all(struct rk_supervisor *supervisor)
{
	for (struct child *child = supervisor->children; child; child = child->next)
		while (child->news) {
			unsigned int news = (unsigned int)__builtin_ctz(child->news);

			child->news &= ~(1u << news);
			tell(supervisor, child, (enum rk_supervisor_news)news);
		}
	if (!supervisor->news)
		return;
	supervisor->news = false;
	tell(supervisor, NULL, RK_NEWS_GAVE_UP);
}

/* --- Its thread --- */

static void look(struct rk_supervisor *supervisor)
{
	uint64_t now = now_ns();

	/* Whom it escalated to has gone meanwhile. */
	if (supervisor->escalated && !supervisor->as_child)
		fail(supervisor, supervisor->info.reason);
	for (struct child *child = supervisor->children; child; child = child->next)
		child_advance(child, now);
	for (struct child *child = supervisor->children; child; child = child->next)
		switch (child_look(child, now)) {
		case CHILD_FAILED:
			react(supervisor, child, now);
			break;
		case CHILD_LOST:
			give_up(supervisor, child, true);
			break;
		default:
			break;
		}
	/* What has been decided is begun at once. */
	for (struct child *child = supervisor->children; child; child = child->next)
		if (child->step == STEP_PAUSE || child->step == STEP_READY ||
		    child->step == STEP_STOP)
			child_advance(child, now);
}

static void wait_for_change(struct rk_supervisor *supervisor)
{
	uint64_t end_ns = now_ns() + supervisor->opts.heartbeat_ns;
	const struct timespec end = {.tv_sec = (time_t)(end_ns / 1000000000),
				     .tv_nsec = (long)(end_ns % 1000000000)};

	pthread_cond_timedwait(&supervisor->runtime->changed, &supervisor->runtime->mutex, &end);
}

void *supervisor_run(void *argument)
{
	struct rk_supervisor *supervisor = argument;

	prctl(PR_SET_NAME, "rk-supervisor");
	pthread_mutex_lock(&supervisor->runtime->mutex);
	while (!supervisor->closing) {
		look(supervisor);
		tell_all(supervisor);
		if (!supervisor->closing)
			wait_for_change(supervisor);
	}
	for (struct child *child = supervisor->children; child; child = child->next)
		if (child->step != STEP_GONE)
			child_let_go(child);
	if (supervisor->info.state < RK_SUPERVISOR_FAILED)
		supervisor->info.state = RK_SUPERVISOR_CLOSED;
	pthread_cond_broadcast(&supervisor->runtime->changed);
	pthread_mutex_unlock(&supervisor->runtime->mutex);
	return NULL;
}
