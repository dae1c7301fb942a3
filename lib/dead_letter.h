/* SPDX-License-Identifier: MIT */
/* dead_letter.h - the host's side of dead letters; private to lib/. */
#ifndef RK_LIB_DEAD_LETTER_H
#define RK_LIB_DEAD_LETTER_H

#include "backends/cpu_flow.h"
#include "link_memory.h"
#include "rk_dead_letter.h"

struct letter;

/* Where the letters of one end of a link come out; under the runtime's mutex. */
struct dead_end {
	void *memory;		   /* where a worker writes them */
	struct link_memory device; /* or a GPU */
	struct rk_ring_rx rx;
	uint64_t slots; /* 0: none are kept */
	uint64_t kept; /* slots of letters that have been taken out */
	bool begun;    /* @front is there, and its message is still to come */
	struct rk_msg front;
};

/* Letters on their way out again, by the sender's worker; under the mutex but for what is @order's.
 */
struct dead_replay {
	struct letter *letters;
	struct cpu_replay order;
	bool awaited;  /* whoever asked for it waits, and sees to the rest */
	uint32_t told; /* else over when the sender has obeyed as many; see rk_actor.told */
};

/* Make a ring of @slots between @worker and @host. 0; -EINVAL for @slots; -ENOMEM; said. */
int dead_open(struct dead_end *host, struct cpu_dead *worker, uint64_t slots, const char *name);

/* The same between an @actor on a GPU and @host; @flow is what the GPU is told of it. */
int dead_open_gpu(struct dead_end *host, struct rk_gpu_flow *flow, const struct rk_actor *actor,
		  uint64_t slots, const char *name);

/* Free those of a link, when no worker runs any more. */
void dead_close(struct rk_link *link);

/* All letters, when nobody uses them any more. */
void dead_letters_free(struct rk_runtime *runtime);

#endif
