/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the cpu backend: runs an actor's handler on a worker thread; private.
 *
 * The runtime talks to an actor through its control ring, in the same slots as everything else:
 * RK_MSG_START with the arguments, CPU_INBOX and CPU_OUTBOX with a ring's end, RK_MSG_STOP.
 */
#ifndef RK_BACKENDS_CPU_H
#define RK_BACKENDS_CPU_H

#include "backends/cpu_guard.h"
#include "backends/worker.h"
#include "ring/rk_ring.h"
#include "rk_handler.h"
#include "rk_hlc.h"

enum {
	CPU_CONTROL_SLOTS = 64,
	CPU_MAX_LINKS = 32,
	CPU_CONTROL_CELLS = 4, /* of the longest control message: sixteen arguments */
	CPU_BATCH_CELLS = RK_MSG_MAX_SLOTS + 1,
};

/* Where nobody wakes the worker for sure, an idle actor is polled again after this. */
#define CPU_UNGUARDED_NAP_NS 160000

/* Types that travel in a control ring only. */
enum cpu_control {
	CPU_INBOX = RK_MSG_USER, /* struct rk_ring_rx *, of this process as all pointers here */
	CPU_OUTBOX,		 /* struct rk_ring_tx * */
	CPU_RESUME,		 /* struct rk_msg *: its RK_MSG_START, if it had none yet */
	CPU_RESTART, /* struct rk_msg *: likewise; NULL: none. void *: its state; NULL: zeros */
	CPU_KILL,
	CPU_LEAVE, /* the worker: the owner gives it to another */
	CPU_CALL,  /* cpu_call_fn *, void * */
};

enum cpu_phase {
	CPU_DORMANT, /* RK_MSG_START has not come */
	CPU_STARTING,
	CPU_RUNNING,
	CPU_PAUSED,
	CPU_DRAINING,
	CPU_FAILED,
	CPU_CLOSING, /* no more messages are handled; outboxes are being closed */
	CPU_DONE,
};

enum cpu_hurry {
	CPU_PATIENT,
	CPU_HURRY,  /* stop now; wait for no room */
	CPU_KILLED, /* and do not ask the handler */
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
	uint64_t failures;
	uint64_t failed_messages;
	uint64_t restarts;
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
	void *state;
	const struct rk_msg *current; /* being handled: its extensions go out with what is sent */
	struct cpu_guarded guarded;
	struct rk_hlc *clock; /* what carries a stamp is stamped anew by it; NULL: not */
	uint32_t in_call;     /* messages that the handler was called with last */
	bool leaving;
	bool failed_for_good; /* it closed because it failed */
	struct rk_ring_rx control;
	struct rk_ring_rx *inbox[CPU_MAX_LINKS];
	struct cpu_outbox outbox[CPU_MAX_LINKS];
	uint32_t inboxes;
	uint32_t outboxes;
	uint32_t inboxes_closed;
	uint32_t unguarded; /* the other end of a link is a device, or out of membarrier(2)'s reach
			     */
	uint32_t phase;	    /* enum cpu_phase; written by the worker, read by anyone */
	uint32_t obeyed;    /* control messages; likewise */
	bool obeying;
	uint32_t why;	   /* it failed: a signal's number */
	uint32_t hurry;	   /* enum cpu_hurry; written by anyone, as the next */
	uint32_t orphaned; /* its parent has stopped: stop */
	struct cpu_counters counters;
	void (*stopped)(void *owner); /* phase became CPU_CLOSING; on the worker's thread, as all */
	bool (*failed)(void *owner);  /* phase became CPU_FAILED; true: somebody will restart it */
	void (*answered)(void *owner); /* more was obeyed */
	void (*done)(void *owner); /* the worker has let go of it: for good, or after CPU_LEAVE */
	void *owner;
	uint32_t received_cells; /* taken from an inbox, and how many of them are handled */
	uint32_t handled_cells;
	uint32_t from_inbox; /* where they came from */
	struct rk_msg received[CPU_BATCH_CELLS];
	struct rk_msg sending[CPU_BATCH_CELLS];
};

typedef void cpu_call_fn(struct rk_ctx *actor, void *argument);

/*
 * Make @actor ready to be given to a worker; control, owner and callbacks are set by the caller.
 * @guarded: a call of its handler that traps fails it (cpu_guard.h, installed).
 */
void cpu_actor_prepare(struct rk_ctx *actor, const struct rk_actor_type *type, void *state,
		       bool guarded);

/* Free what it allocated; no worker polls it any more. */
void cpu_actor_release(struct rk_ctx *actor);

/* --- Between cpu.c and cpu_send.c; on the worker's thread --- */

static inline void cpu_count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

static inline uint32_t cpu_hurry_of(const struct rk_ctx *actor)
{
	return __atomic_load_n(&actor->hurry, __ATOMIC_RELAXED);
}

/* Send what waits in all outboxes; true when nothing waits any more. */
bool cpu_flush(struct rk_ctx *actor);

/* Say RK_MSG_CLOSED in every outbox; true when all have it or nobody is left to be told. */
bool cpu_close_outboxes(struct rk_ctx *actor);

#endif
