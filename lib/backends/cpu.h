/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the cpu backend: runs an actor's handler on a worker thread; private.
 *
 * The runtime talks to an actor through its control ring, in the same slots as everything else:
 * RK_MSG_START with the arguments, which also ends a pause, CPU_INBOX and CPU_OUTBOX with a ring's
 * end, RK_MSG_QUIESCE, RK_MSG_STOP.
 */
#ifndef RK_BACKENDS_CPU_H
#define RK_BACKENDS_CPU_H

#include "backends/cpu_flow.h"
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
	/* struct rk_ring_rx *, of this process as all pointers here; struct cpu_flow_in * */
	CPU_INBOX = RK_MSG_USER,
	CPU_OUTBOX, /* struct rk_ring_tx *, struct cpu_flow_out * */
	/* struct rk_msg *: its RK_MSG_START. void *: its state, or NULL: zeros. struct
	 * rk_actor_type *: whose state that is; no other's is taken.
	 */
	CPU_RESTART,
	CPU_LEAVE, /* the worker: the owner gives it to another */
	CPU_GRANT, /* struct rk_gpu_grant */
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
	uint64_t dropped_full;
	uint64_t dropped_old;
	uint64_t dropped_expired;
	uint64_t dropped_shed;
	uint64_t failures;
	uint64_t failed_messages;
	uint64_t refused;
	uint64_t restarts;
	uint64_t reloads;
	uint64_t rollbacks;
};

/* One way out. What finds no room in the ring waits here, and the actor with it: it gets no more
 * messages until all is out, so what waits is bounded by what one message makes it send; or by the
 * backlog, where the link drops what is old (cpu_flow.h).
 */
struct cpu_outbox {
	struct rk_ring_tx *tx;
	struct rk_msg *waiting;
	uint32_t cells; /* waiting, and how many of them are out */
	uint32_t out;
	struct cpu_flow_out *flow;
};

struct cpu_trial;
struct cpu_cut; /* cpu_cut.h */

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
	bool confined;	      /* to what it was given: it is a tenant's */
	uint32_t grants;
	struct rk_gpu_grant grant[RK_GPU_GRANTS];
	struct rk_ring_rx control;
	struct rk_ring_rx *inbox[CPU_MAX_LINKS];
	struct cpu_flow_in *flow_in[CPU_MAX_LINKS]; /* of the inboxes */
	struct cpu_outbox outbox[CPU_MAX_LINKS];
	uint32_t inboxes;
	uint32_t outboxes;
	uint32_t inboxes_closed;
	uint32_t unguarded; /* the other end of a link is a device, or out of membarrier(2)'s reach
			     */
	bool holding;	    /* all sends wait, and may be forgotten: a call on trial */
	struct cpu_pace pace;
	bool shedding;	    /* what was taken is to be dropped */
	const uint32_t *shed_level;
	bool levels;	    /* it wants to hear how full an outbox is */
	uint32_t phase;	    /* enum cpu_phase; written by the worker, read by anyone */
	uint32_t obeyed;    /* control messages; likewise */
	bool obeying;
	uint32_t why;	   /* it failed: a signal's number */
	uint32_t hurry;	   /* enum cpu_hurry; written by anyone, as the next */
	uint32_t orphaned; /* its parent has stopped: stop */
	struct cpu_cut *cut; /* a snapshot is being taken of it; lent by the host */
	struct cpu_counters counters;
	void (*stopped)(void *owner); /* phase became CPU_CLOSING; on the worker's thread, as all */
	bool (*failed)(void *owner);  /* phase became CPU_FAILED; true: somebody will restart it */
	void (*answered)(void *owner); /* more was obeyed */
	void (*done)(void *owner); /* the worker has let go of it: for good, or after CPU_LEAVE */
	void *owner;
	uint32_t received_cells; /* taken from an inbox, and how many of them are handled */
	uint32_t handled_cells;
	uint32_t from_inbox; /* where they came from */
	uint32_t next_inbox; /* whose turn it is */
	struct rk_msg received[CPU_BATCH_CELLS];
	struct rk_msg sending[CPU_BATCH_CELLS];
	struct cpu_trial *trial; /* of a new handler, while it lasts (cpu_trial.h) */
	struct rk_msg *trial_log;
	uint32_t trial_room;
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

/* --- Among cpu.c, cpu_send.c and cpu_trial.c; on the worker's thread --- */

static inline void cpu_count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

static inline uint32_t cpu_hurry_of(const struct rk_ctx *actor)
{
	return __atomic_load_n(&actor->hurry, __ATOMIC_RELAXED);
}

/* Odd while it runs: for whoever looks whether it ever comes back, and for the guard. */
static inline void cpu_begin_call(struct rk_ctx *actor, const struct rk_msg *msg, uint32_t messages)
{
	actor->current = msg;
	actor->in_call = messages;
	cpu_count(&actor->guarded.calls, 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void cpu_end_call(struct rk_ctx *actor)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	cpu_count(&actor->guarded.calls, 1);
}

/* A signal that is to end the handler's call waits until we are out of here again. */
static inline void cpu_enter_runtime(struct rk_ctx *actor)
{
	actor->guarded.inside = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void cpu_leave_runtime(struct rk_ctx *actor)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	actor->guarded.inside = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (rk_unlikely(actor->guarded.late))
		cpu_guard_jump();
}

/* The same, where the call that was to end has come back by itself. */
static inline void cpu_come_back(struct rk_ctx *actor)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	actor->guarded.late = 0;
	actor->guarded.inside = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Send a message as it is, behind all that waits, also when nothing was being handled. False when
 * there was no memory for it to wait in.
 */
bool cpu_send_own(struct rk_ctx *actor, struct cpu_outbox *box, const struct rk_msg *msg);

/* A message of the runtime's own has come, and means something to a snapshot. (cpu_cut.c) */
void cpu_cut_control(struct rk_ctx *actor, const struct rk_msg *msg);

/* Position in inbox @index up to which its messages were handled. (cpu_cut.c) */
uint64_t cpu_handled(const struct rk_ctx *actor, uint32_t index);

/* Send what waits in all outboxes; true when nothing waits any more that the actor must wait for. */
bool cpu_flush(struct rk_ctx *actor);

/* Say RK_MSG_CLOSED in every outbox; true when all have it or nobody is left to be told. */
bool cpu_close_outboxes(struct rk_ctx *actor);

#endif
