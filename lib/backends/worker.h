/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a pinned thread that polls tasks, and sleeps when none has work; private.
 *
 * Actors and ports are tasks. Tasks are added by a message in the worker's control ring, so the
 * list of tasks belongs to the thread alone. Idle: look some thousand times, then yield, then
 * sleep in ppoll(2) on the worker's eventfd and the tasks' own descriptors until the earliest time
 * at which a task is due. Where the module is loaded and permitted, a doorbell stands for the
 * eventfd: whoever wakes then pays a store and no system call. Whoever feeds a task wakes the
 * worker through rk_wake (rk_wake.h), so no wake-up is lost; still no sleep is longer than
 * RK_WORKER_NAP_NS.
 */
#ifndef RK_BACKENDS_WORKER_H
#define RK_BACKENDS_WORKER_H

#include "rk_wake.h"

#define RK_WORKER_NAP_NS 100000000ULL

/**
 * struct rk_task - something a worker polls; embedded in what it is part of
 * @poll: do some work without waiting; on the worker's thread.
 *	Return: > 0 did some; 0 found none; < 0 finished: never polled again
 * @due_ns: CLOCK_MONOTONIC time at which a poll is next worth while although nothing wakes the
 *	worker; UINT64_MAX when there is none
 * @finished: called after the last poll, on the worker's thread; the task may be freed in it
 * @fd: becomes readable when there is work; -1 if it has none
 * @next: private to the worker
 */
struct rk_task {
	int (*poll)(struct rk_task *task);
	uint64_t (*due_ns)(const struct rk_task *task);
	void (*finished)(struct rk_task *task);
	int fd;
	struct rk_task *next;
};

/**
 * struct rk_worker_stats - what a worker did; counts since it was opened
 * @polls: rounds over all tasks
 * @worked: rounds that found work
 * @sleeps: times it slept
 */
struct rk_worker_stats {
	uint64_t polls;
	uint64_t worked;
	uint64_t sleeps;
};

struct rk_worker;

/*
 * Open a worker on @cpu (-1: not pinned), @doorbells: sleep at one where that can be had.
 * 0 or -errno, said in rk_errmsg().
 */
int rk_worker_open(struct rk_worker **worker, const char *name, int cpu, uint32_t spin_looks,
		   bool doorbells);

/* Hand @task over; it is polled from now on. Threads: callers take turns. 0; -EAGAIN: try again. */
int rk_worker_add(struct rk_worker *worker, struct rk_task *task);

/* What to put into a ring's end so that the other end wakes this worker. */
struct rk_wake rk_worker_wake(const struct rk_worker *worker);

void rk_worker_stats(const struct rk_worker *worker, struct rk_worker_stats *stats);

/* CPU time used by the worker's thread so far; 0 after it ended. */
uint64_t rk_worker_cpu_ns(const struct rk_worker *worker);

/* Send CPU_GUARD_SIGNAL to its thread (cpu_guard.h). Any thread, while it is open. */
void rk_worker_interrupt(struct rk_worker *worker);

/* Ends when its tasks have finished; the caller sees to it that they do. Frees @worker. */
void rk_worker_close(struct rk_worker *worker);

#endif
