// SPDX-License-Identifier: MIT
#include "backends/cuda_clock.h"
#include "clock.h"
#include "rk_error.h"

#define ANSWER_NS 1000000000ULL

int cuda_clock_sample(struct cuda_actor *actor, struct rk_gpu_clock_sample *sample)
{
	const struct rk_msg msg = {.type = RK_MSG_PROBE, .slots = 1};
	const struct cuda_seat *seat = cuda_seat_of(actor);
	const uint64_t *gpu_ns = &seat->kernel->status[seat->index].gpu_ns;
	uint64_t before = __atomic_load_n(gpu_ns, __ATOMIC_RELAXED);
	int result;

	sample->before_ns = now_ns();
	result = cuda_actor_tell(actor, &msg);
	if (result)
		return result;
	/* Relaxed: the time is one word, and new when it differs, for two answers are further apart
	 * than its steps. Which question it answers needs no tag: there is one at a time. */
	while ((sample->gpu_ns = __atomic_load_n(gpu_ns, __ATOMIC_RELAXED)) == before)
		if (now_ns() - sample->before_ns > ANSWER_NS)
			return rk_fail(ETIMEDOUT, "actor '%s': it does not tell the time",
				       actor->name);
	sample->after_ns = now_ns();
	return 0;
}
