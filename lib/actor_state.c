// SPDX-License-Identifier: MIT
/* The state of an actor that lives, from outside: copied, and replaced. */
#include "runtime.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

/* --- Memory for a copy --- */

bool actor_copy_room(struct actor_copy *copy, uint32_t bytes)
{
	void *state;

	if (copy->state && bytes <= copy->bytes)
		return true;
	state = malloc(bytes ? bytes : 1);
	if (!state)
		return false;
	actor_copy_free(copy);
	copy->state = state;
	copy->bytes = bytes;
	return true;
}

void actor_copy_free(struct actor_copy *copy)
{
	if (copy->gpu)
		cuda_give(copy->gpu, &copy->device);
	free(copy->state);
	*copy = (struct actor_copy){.state = NULL};
}

/*
 * An actor reads or writes its copy when it obeys. It may do so after we have lost patience, so
 * there is one that is the actor's, and lent to one at a time.
 */
int actor_borrow_spare(struct rk_actor *actor, const char *verb)
{
	uint32_t bytes;
	int result = 0;

	pthread_mutex_lock(&actor->runtime->mutex);
	bytes = actor->type->state_bytes;
	if (actor->spare_lent && !(actor->spare_late && actor_has_obeyed(actor, actor->spare_told)))
		result = rk_fail(
			EBUSY,
			"actor '%s': %s: it has not done with an earlier restart, copy or reload",
			actor->name, verb);
	else if (!actor_copy_room(&actor->spare, bytes))
		result = rk_fail(ENOMEM, "actor '%s': no memory for %u bytes of state", actor->name,
				 bytes);
	if (!result) {
		actor->spare_lent = true;
		actor->spare_late = false;
	}
	pthread_mutex_unlock(&actor->runtime->mutex);
	return result;
}

void actor_give_spare_back(struct rk_actor *actor, int result)
{
	pthread_mutex_lock(&actor->runtime->mutex);
	actor->spare_late = actor->spare_lent = result == -ETIMEDOUT;
	actor->spare_told = actor->told;
	pthread_mutex_unlock(&actor->runtime->mutex);
}

/* --- Restarting --- */

static int check_restarted(struct rk_actor *actor)
{
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	if (info.state == RK_ACTOR_DRAINING || actor_has_stopped(actor))
		return actor_over(actor, "restart");
	if (info.state == RK_ACTOR_FAILED)
		return rk_fail(EFAULT, "actor '%s': restart: it failed again, by signal %d",
			       actor->name, info.failure);
	return 0;
}

static int restart(struct rk_actor *actor, struct actor_copy *from, uint64_t timeout_ns)
{
	struct rk_msg order[START_CELLS];
	int result = actor->ops->restart(actor, from, order);

	return result ? result : actor_command(actor, order, timeout_ns, "restart");
}

int rk_actor_restart(struct rk_actor *actor, const void *state, uint64_t timeout_ns)
{
	int result;

	if (!state) {
		result = restart(actor, NULL, timeout_ns);
		return result ? result : check_restarted(actor);
	}
	result = actor_borrow_spare(actor, "restart");
	if (result)
		return result;
	actor->spare.type = actor->type;
	memcpy(actor->spare.state, state, actor->type->state_bytes);
	result = restart(actor, &actor->spare, timeout_ns);
	actor_give_spare_back(actor, result);
	return result ? result : check_restarted(actor);
}

/* --- Copying --- */

static int copy_running(struct rk_actor *actor, uint64_t timeout_ns)
{
	struct rk_msg order;
	int result = actor->ops->copy(actor, &actor->spare, &order);

	if (!result)
		result = actor_command(actor, &order, timeout_ns, "copy");
	if (!result && actor->ops->copied)
		result = actor->ops->copied(actor, &actor->spare);
	return result;
}

int rk_actor_copy(struct rk_actor *actor, void *state, uint64_t timeout_ns)
{
	const void *left = rk_actor_state(actor);
	int result;

	if (!left) {
		result = actor_borrow_spare(actor, "copy");
		if (result)
			return result;
		result = copy_running(actor, timeout_ns);
		if (!result)
			memcpy(state, actor->spare.state, actor->type->state_bytes);
		actor_give_spare_back(actor, result);
		if (result != -EPIPE)
			return result;
		left = rk_actor_state(actor);
	}
	if (!left)
		return actor_over(actor, "copy");
	memcpy(state, left, actor->type->state_bytes);
	return 0;
}
