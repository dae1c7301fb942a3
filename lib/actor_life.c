// SPDX-License-Identifier: MIT
/* What is asked of an actor that lives: each a control message, and waiting until it is obeyed. */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"

#include <inttypes.h>
#include <string.h>

/* Most answers come within microseconds: a sleep would take longer than that. */
#define LOOK_NS 50000
/* A call that is to be killed and lasts longer than this is interrupted. */
#define KILL_PATIENCE_NS 1000000

static bool has_stopped(const void *what)
{
	return actor_has_stopped(what);
}

/* --- Telling, and waiting --- */

struct ticket {
	struct rk_actor *actor;
	uint32_t told;
};

/* A difference, for the counts wrap. */
bool actor_has_obeyed(const struct rk_actor *actor, uint32_t told)
{
	return (int32_t)(actor->ops->obeyed(actor) - told) >= 0;
}

static bool is_obeyed(const void *what)
{
	const struct ticket *ticket = what;

	return actor_has_obeyed(ticket->actor, ticket->told);
}

static bool is_obeyed_or_over(const void *what)
{
	const struct ticket *ticket = what;

	return is_obeyed(what) || actor_has_stopped(ticket->actor);
}

int actor_await(struct rk_actor *actor, bool (*reached)(const void *), const void *what,
		uint64_t timeout_ns)
{
	uint64_t end_ns = now_ns() + (timeout_ns < LOOK_NS ? timeout_ns : LOOK_NS);
	struct rk_spin spin = {0};
	int result;

	while (!reached(what) && now_ns() < end_ns)
		rk_spin_miss(&spin);
	pthread_mutex_lock(&actor->runtime->mutex);
	/* A10: pairs with R10 in actor_answered(): it sees this, or we see that it has obeyed. */
	__atomic_fetch_add(&actor->awaited, 1, __ATOMIC_SEQ_CST);
	result = runtime_wait_until(actor->runtime, reached, what, timeout_ns);
	__atomic_fetch_sub(&actor->awaited, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

void actor_answered(struct rk_actor *actor)
{
	/*
	 * R10: pairs with A10 in actor_await(). Both change the word, so one of them comes first: this one,
	 * and what was obeyed is seen there; or that, and it is seen here that somebody waits.
	 */
	if (!__atomic_fetch_add(&actor->awaited, 0, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_lock(&actor->runtime->mutex);
	pthread_cond_broadcast(&actor->runtime->changed);
	pthread_mutex_unlock(&actor->runtime->mutex);
}

struct rk_msg actor_order(uint16_t type, const void *first, const void *second)
{
	struct rk_msg msg = {.type = type, .slots = 1};
	const void *what[] = {first, second};

	memcpy(msg.body, what, sizeof(what));
	return msg;
}

static int late(const struct rk_actor *actor, const char *verb, uint64_t timeout_ns)
{
	return rk_fail(ETIMEDOUT,
		       "actor '%s': %s: not done after %" PRIu64
		       " ms: its handler has not come back",
		       actor->name, verb, timeout_ns / 1000000);
}

int actor_over(const struct rk_actor *actor, const char *verb)
{
	return rk_fail(EPIPE, "actor '%s': %s: it has stopped", actor->name, verb);
}

int actor_command(struct rk_actor *actor, const struct rk_msg *msg, uint64_t timeout_ns,
		  const char *verb)
{
	struct ticket ticket = {.actor = actor};
	int result;

	pthread_mutex_lock(&actor->runtime->mutex);
	result = actor_has_stopped(actor) ? actor_over(actor, verb) : actor_tell(actor, msg);
	ticket.told = actor->told;
	pthread_mutex_unlock(&actor->runtime->mutex);
	if (result)
		return result;
	if (actor_await(actor, is_obeyed_or_over, &ticket, timeout_ns))
		return late(actor, verb, timeout_ns);
	return is_obeyed(&ticket) ? 0 : actor_over(actor, verb);
}

/* --- Stopping --- */

void actor_ask_stop(struct rk_actor *actor, enum cpu_hurry hurry)
{
	const struct rk_msg msg = {.type = RK_MSG_STOP, .slots = 1};

	actor->ops->hurry(actor, hurry);
	actor_tell(actor, &msg);
	actor->ops->hurry(actor, CPU_PATIENT);
}

int rk_actor_stop(struct rk_actor *actor, enum rk_stop how, uint64_t timeout_ns)
{
	struct rk_runtime *runtime = actor->runtime;

	pthread_mutex_lock(&runtime->mutex);
	if (!has_stopped(actor))
		actor_ask_stop(actor, how == RK_STOP_NOW ? CPU_HURRY : CPU_PATIENT);
	pthread_mutex_unlock(&runtime->mutex);
	if (actor_await(actor, has_stopped, actor, timeout_ns))
		return rk_fail(ETIMEDOUT,
			       "actor '%s': still running after %" PRIu64
			       " ms: its handler has not come back, or its inboxes never empty",
			       actor->name, timeout_ns / 1000000);
	return 0;
}

int rk_actor_kill(struct rk_actor *actor, uint64_t timeout_ns)
{
	uint64_t end_ns = deadline_ns(timeout_ns), now;

	/* Its failing on the way is what we want: nobody else is to see to it. */
	__atomic_fetch_or(&actor->expected, ACTOR_KILLED, __ATOMIC_RELAXED);
	pthread_mutex_lock(&actor->runtime->mutex);
	if (!actor_has_stopped(actor))
		actor_ask_stop(actor, CPU_KILLED);
	pthread_mutex_unlock(&actor->runtime->mutex);
	while (actor_await(actor, has_stopped, actor, KILL_PATIENCE_NS) &&
	       (now = now_ns()) < end_ns) {
		uint64_t call = actor->ops->calls ? actor->ops->calls(actor) : 0;

		if (call & 1)
			actor->ops->interrupt(actor, call);
	}
	return has_stopped(actor) ? 0 : late(actor, "kill", timeout_ns);
}

/* --- Pausing, starting, restarting --- */

int rk_actor_pause(struct rk_actor *actor, uint64_t timeout_ns)
{
	const struct rk_msg msg = {.type = RK_MSG_QUIESCE, .slots = 1};
	int result = actor_command(actor, &msg, timeout_ns, "pause");

	if (!result && actor->ops->state(actor) != RK_ACTOR_DORMANT)
		return rk_fail(EPIPE, "actor '%s': pause: it drains, or has failed", actor->name);
	return result;
}

int rk_actor_start(struct rk_actor *actor, uint64_t timeout_ns)
{
	int result = actor_command(actor, actor->start, timeout_ns, "start");

	if (!result && actor->ops->state(actor) == RK_ACTOR_FAILED)
		return rk_fail(EPIPE, "actor '%s': start: it has failed; rk_actor_restart() it",
			       actor->name);
	return result;
}

/* --- Moving --- */

static bool has_moved(const void *what)
{
	const struct rk_actor *actor = what;

	return !actor->moving_to || actor_has_stopped(actor);
}

int rk_actor_move(struct rk_actor *actor, int worker, uint64_t timeout_ns)
{
	const struct rk_msg msg = actor_order(CPU_LEAVE, NULL, NULL);
	struct rk_runtime *runtime = actor->runtime;
	int index = runtime_worker_index(runtime, worker, 0), result = 0;

	if (actor->gpu)
		return rk_fail(EOPNOTSUPP, "actor '%s': move: an actor on a GPU cannot", actor->name);
	if (index < 0)
		return index;
	pthread_mutex_lock(&runtime->mutex);
	if (actor_has_stopped(actor)) {
		result = actor_over(actor, "move");
	} else if (actor->moving_to) {
		result = rk_fail(EBUSY, "actor '%s': move: it is moving", actor->name);
	} else if (actor->worker != runtime->worker[index]) {
		actor->moving_to = runtime->worker[index];
		result = actor_tell(actor, &msg);
		if (!result && runtime_wait_until(runtime, has_moved, actor, timeout_ns))
			result = late(actor, "move", timeout_ns);
		else if (!result && actor->moving_to)
			result = actor_over(actor, "move");
	}
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}
