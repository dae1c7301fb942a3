/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the cpu backend: runs an actor's handler on a worker thread; private.
 *
 * The runtime talks to an actor through its control ring, in the same slots as everything else:
 * RK_MSG_START with the arguments, CPU_INBOX and CPU_OUTBOX with a ring's end, RK_MSG_STOP.
 */
#ifndef RK_BACKENDS_CPU_H
#define RK_BACKENDS_CPU_H

#include "backends/worker.h"
#include "ring/rk_ring.h"
#include "rk_handler.h"

enum {
	CPU_CONTROL_SLOTS = 64,
	CPU_MAX_LINKS = 32,
	CPU_CONTROL_CELLS = 4, /* of the longest control message: sixteen arguments */
	CPU_BATCH_CELLS = RK_MSG_MAX_SLOTS + 1,
};

/* Where nobody wakes the worker for sure, an idle actor is polled again after this. */
#define CPU_UNGUARDED_NAP_NS 160000

/* Types that travel in a control ring only; their payload is a pointer of this process. */
enum cpu_control { CPU_INBOX = RK_MSG_USER, CPU_OUTBOX };

enum cpu_phase {
	CPU_RUNNING,
	CPU_DRAINING,
	CPU_CLOSING, /* the handler has had its RK_MSG_STOP; outboxes are being closed */
	CPU_DONE,
};

enum cpu_hurry {
	CPU_PATIENT,
	CPU_HURRY,  /* stop now; wait for no room */
	CPU_LET_GO, /* and do not wait for outboxes to take RK_MSG_CLOSED */
};

/* Written by the worker's thread alone, read by anyone: relaxed. */
struct cpu_counters {
	uint64_t received;
	uint64_t received_slots;
	uint64_t sent;
	uint64_t sent_slots;
	uint64_t dropped_no_outbox;
	uint64_t dropped_closed;
	uint64_t dropped_bad;
	uint64_t dropped_stopped;
	uint64_t dropped_no_memory;
};

/* One way out. What finds no room in the ring waits here, and the actor with it: it gets no more
 * messages until all is out, so what waits is bounded by what one message makes it send.
 */
struct cpu_outbox {
	struct rk_ring_tx *tx;
	struct rk_msg *waiting;
	uint32_t cells; /* waiting, and how many of them are out */
	uint32_t out;
	uint32_t room; /* cells allocated; grows, never shrinks */
};

/* One actor, and the context its handler is given. */
struct rk_ctx {
	struct rk_task task;
	const struct rk_actor_type *type;
	struct rk_worker *worker;
	void *state;
	const struct rk_msg *current; /* being handled: its extensions go out with what is sent */
	struct rk_ring_rx control;
	struct rk_ring_rx *inbox[CPU_MAX_LINKS];
	struct cpu_outbox outbox[CPU_MAX_LINKS];
	uint32_t inboxes;
	uint32_t outboxes;
	uint32_t inboxes_closed;
	uint32_t unguarded; /* the other end of a link is a device, or out of membarrier(2)'s reach */
	uint32_t phase; /* enum cpu_phase; written by the worker, read by anyone */
	uint32_t hurry; /* enum cpu_hurry; written by anyone */
	struct cpu_counters counters;
	void (*stopped)(void *owner); /* phase became CPU_CLOSING; on the worker's thread */
	void (*done)(void *owner);    /* the worker has let go of it */
	void *owner;
	uint32_t received_cells; /* taken from an inbox, and how many of them are handled */
	uint32_t handled_cells;
	struct rk_msg received[CPU_BATCH_CELLS];
	struct rk_msg sending[CPU_BATCH_CELLS];
};

/* Make @actor ready to be given to @worker; control, owner and callbacks are set by the caller. */
void cpu_actor_prepare(struct rk_ctx *actor, const struct rk_actor_type *type, void *state,
		       struct rk_worker *worker);

/* Free what it allocated; no worker polls it any more. */
void cpu_actor_release(struct rk_ctx *actor);

#endif
