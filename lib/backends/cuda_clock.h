/* SPDX-License-Identifier: MIT */
/* cuda_clock.h - asking an actor for the time of its GPU, as rk_gpu_clock.h takes samples; private.
 */
#ifndef RK_BACKENDS_CUDA_CLOCK_H
#define RK_BACKENDS_CUDA_CLOCK_H

#include "backends/cuda.h"
#include "gpudirect/rk_gpu_clock.h"

/*
 * Ask once: a message through the actor's control ring, answered in its seat's status line. Spins,
 * some microseconds. Callers take turns, with those of cuda_actor_tell() too. 0; -EAGAIN when the
 * control ring is full; -EPIPE once it has stopped; -ETIMEDOUT when it does not answer; said.
 */
int cuda_clock_sample(struct cuda_actor *actor, struct rk_gpu_clock_sample *sample);

#endif
