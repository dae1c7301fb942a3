/* SPDX-License-Identifier: MIT */
/* What the files of the runtime share; private to lib/. */
#ifndef RK_LIB_RUNTIME_H
#define RK_LIB_RUNTIME_H

#include "backends/cpu.h"
#include "backends/worker.h"
#include "gpudirect/rk_region.h"
#include "rk_runtime.h"

#include <pthread.h>

#define RK_RUNTIME_NOTE_BYTES 512
#define RK_LINK_ERROR_BYTES 512

struct rk_actor {
	struct rk_ctx ctx;
	struct rk_runtime *runtime;
	struct rk_actor *next;
	struct rk_ring_tx control; /* under runtime->mutex */
	unsigned int inboxes;	   /* links made to it, and how many of them from host threads */
	unsigned int host_inboxes;
	unsigned int outboxes;
	void *control_memory;
	void *state;
	char *name;
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));

struct rk_link {
	struct rk_ring_tx tx __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct rk_ring_rx rx __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct rk_runtime *runtime;
	struct rk_link *next;
	struct rk_region *region;

	/* Of links with ports: each task belongs to its worker's thread. */
	struct rk_task in_task;
	struct rk_task out_task;
	struct rk_port *in_port;
	struct rk_port *out_port;
	uint64_t in_closing; /* enum rk_close, once the input takes nothing more */
	uint32_t out_cells;  /* received, and how many of them are written */
	uint32_t out_done;
	bool out_busy; /* the outside took nothing at the last try */
	void (*observe)(void *observer, const struct rk_msg *msg);
	void *observer;
	uint32_t hurry; /* enum cpu_hurry; written by anyone */
	struct rk_msg *buffer;
};

struct rk_runtime {
	struct rk_worker *worker[RK_MAX_WORKERS];
	int cpu[RK_MAX_WORKERS];
	unsigned int workers;
	unsigned int next_worker; /* for the next actor that does not say where */

	/* The mutex guards all below, the producers' ends of control rings, and workers' add. */
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* an actor stopped, a task finished, a port failed */
	struct rk_actor *actors;
	struct rk_link *links;
	unsigned int live; /* tasks that have not finished */
	int result;	   /* first error of a port, and its text */
	char result_text[RK_LINK_ERROR_BYTES];
	char note[RK_RUNTIME_NOTE_BYTES];
};

/*
 * Release the mutex for a millisecond at most: a worker whose control ring is full may itself be
 * waiting for it.
 */
void runtime_give_way(struct rk_runtime *runtime);

/* Give @task to worker @index; it counts as live until runtime_task_done(). Mutex held. */
int runtime_add_task(struct rk_runtime *runtime, int index, struct rk_task *task);

/* A task has finished. On a worker's thread; takes the mutex. */
void runtime_task_done(struct rk_runtime *runtime);

/* Note the first error, its text in rk_errmsg(). On a worker's thread; takes the mutex. */
void runtime_failed(struct rk_runtime *runtime, int result);

/* Index of the worker to use for @asked; -EINVAL, said in rk_errmsg(). */
int runtime_worker_index(const struct rk_runtime *runtime, int asked, int otherwise);

/* Send @message to an actor's control ring. Mutex held. 0, or -EPIPE when it has stopped. */
int runtime_control(struct rk_actor *actor, const struct rk_msg *message);

/* Free everything of an actor that no worker polls; NULL is nothing. */
void actor_free(struct rk_actor *actor);

/* Free everything of a link whose tasks have finished; closes its ports. 0 or -errno of closing. */
int link_free(struct rk_link *link);

#endif
