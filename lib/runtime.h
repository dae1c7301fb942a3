/* SPDX-License-Identifier: MIT */
/* What the files of the runtime share; private to lib/. */
#ifndef RK_LIB_RUNTIME_H
#define RK_LIB_RUNTIME_H

#include "backends/cpu.h"
#include "backends/cpu_cut.h"
#include "backends/cuda.h"
#include "backends/worker.h"
#include "dead_letter.h"
#include "link_memory.h"
#include "rk_runtime.h"

#include <pthread.h>

#define RK_RUNTIME_NOTE_BYTES 512
#define RK_LINK_ERROR_BYTES   512

struct rk_actor;
struct rk_link;
struct rk_supervisor;
struct rk_tenant;
struct actor_reload;

/**
 * struct actor_copy - the state of an actor as it was between two messages
 * @state: here; for @bytes
 * @type: whose it is; NULL: none has been taken
 * @received: messages that the actor had counted then; likewise the next
 * @sound: one to go on with: its handler had been started, had not failed, and was not on trial
 * @gpu: that has @device; NULL: none
 * @device: memory there, on the way
 */
struct actor_copy {
	void *state;
	uint32_t bytes;
	const struct rk_actor_type *type;
	uint64_t received;
	uint64_t failed;
	bool sound;
	struct cuda_gpu *gpu;
	struct cuda_part device;
};

/*
 * What differs between backends. All but @state, @over, @obeyed, @info and @hurry with the
 * runtime's mutex held; what stands after @free may be NULL: the backend cannot do it.
 */
struct actor_ops {
	/* Send a control message. 0; -EAGAIN when its ring is full. */
	int (*tell)(struct rk_actor *actor, const struct rk_msg *msg);
	/* Tell it of the consumer's (@inbox) or the producer's end of a link. As @tell. */
	int (*give_end)(struct rk_actor *actor, struct rk_link *link, bool inbox);
	/* Ask it to be quick, and wake it. */
	void (*hurry)(struct rk_actor *actor, enum cpu_hurry hurry);
	enum rk_actor_state (*state)(const struct rk_actor *actor);
	/* It will handle no more messages, whatever it is told. */
	bool (*over)(const struct rk_actor *actor);
	void (*info)(const struct rk_actor *actor, struct rk_actor_info *info);
	/* The state's memory once it has stopped, or NULL. */
	const void *(*memory)(struct rk_actor *actor);
	/* Control messages that it has obeyed, of those it was told. */
	uint32_t (*obeyed)(const struct rk_actor *actor);
	/* Its parent has stopped. */
	void (*orphan)(struct rk_actor *actor);
	/*
	 * The order to begin anew: with the state @from, which stays until it was obeyed, or (NULL) with
	 * zeros and its RK_MSG_START. Mutex held or not; whoever has @from. 0 or -errno, said.
	 */
	int (*restart)(struct rk_actor *actor, struct actor_copy *from, struct rk_msg *cells);
	/* The order to copy its state to @to, which has room; as @restart. */
	int (*copy)(struct rk_actor *actor, struct actor_copy *to, struct rk_msg *msg);
	/* No worker or kernel runs it any more. */
	void (*free)(struct rk_actor *actor);
	/* @copy has been obeyed: bring @to here. As @restart. */
	int (*copied)(struct rk_actor *actor, struct actor_copy *to);
	/* End call @call of its handler if it still runs. Any thread. */
	void (*interrupt)(struct rk_actor *actor, uint64_t call);
	/* Calls of its handler, begun and ended: odd while one runs. Any thread. */
	uint64_t (*calls)(const struct rk_actor *actor);
	/*
	 * Ready for the actor's part of a snapshot, @cut of which all is set that the host sets. 0 or
	 * -errno, said.
	 */
	int (*lend)(struct rk_actor *actor);
	/* The order to take it, or (@forget) to give it up. */
	void (*cut)(const struct rk_actor *actor, bool forget, struct rk_msg *msg);
	/* It has been taken, or given up. Any thread. */
	bool (*cut_is_back)(const struct rk_actor *actor);
	/* Bring here what was taken; NULL: it is. 0 or -errno, said. Mutex not held. */
	int (*bring_cut)(struct rk_actor *actor);
};

/* Its failing is no failure of the runtime: a supervisor restarts it, or it is being killed. */
enum { ACTOR_WATCHED = 1, ACTOR_KILLED = 2 };

enum { START_CELLS = (RK_MSG_HEADER_BYTES + 8 * RK_MAX_ARGS + RK_CELL_BYTES - 1) / RK_CELL_BYTES };

/* What all actors have; the first member of struct cpu_actor and struct gpu_actor. */
struct rk_actor {
	const struct actor_ops *ops;
	struct rk_runtime *runtime;
	struct rk_actor *next;
	const struct rk_actor_type *type;
	struct rk_worker *worker; /* that polls it; NULL on a GPU */
	struct cuda_gpu *gpu;	  /* that it runs on; NULL on cpu */
	char *name;
	unsigned int inboxes; /* links made to it, and how many of them from host threads */
	unsigned int host_inboxes;
	unsigned int outboxes;
	unsigned int max_links;
	struct rk_tenant *tenant; /* whose it is; NULL: the operator's */
	unsigned int grants;	  /* parts of memory that it may touch; under the mutex */
	struct rk_actor *parent; /* and its children */
	struct rk_actor *children;
	struct rk_actor *sibling;
	struct rk_worker *moving_to;
	uint32_t told;	   /* control messages; under the mutex */
	uint32_t awaited;  /* somebody waits until they are obeyed: atomic */
	uint32_t expected; /* who sees to it if it fails: ACTOR_WATCHED, ...; atomic */
	struct rk_msg start[START_CELLS]; /* its RK_MSG_START */
	struct actor_copy spare; /* see lib/actor_state.c; under the mutex, as the next */
	uint32_t spare_told;
	bool spare_lent;
	bool spare_late;
	struct actor_reload *reload; /* the last: see lib/actor_reload.c */
	uint64_t reloads; /* on a GPU; on a CPU its worker counts them */
	struct cpu_cut *cut; /* its part of a snapshot, once one was taken; see lib/checkpoint.c */
	uint32_t cut_told;   /* to forget one: obeyed when as many are */
};

/* Policies of a link's end on a GPU, and what comes of them. */
struct gpu_flow {
	struct cuda_gpu *owner; /* of the memory */
	struct cuda_part part;	/* struct rk_gpu_flow; in memory of the host */
	bool policies;
};

struct rk_link {
	struct rk_ring_tx tx __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct rk_ring_rx rx __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct rk_runtime *runtime;
	struct rk_link *next;
	struct link_memory memory;
	struct rk_actor *from; /* NULL: the host, a port */
	struct rk_actor *to;
	unsigned int inbox; /* of @to, and outbox of @from: from 1 on; 0: it was not given */
	unsigned int outbox;
	bool orphaned; /* its end on a GPU died, and its other end knows */
	uint64_t sent_before; /* slots, before the snapshot that it was restored from */
	uint64_t received_before;
	struct cpu_refill refill; /* what was in flight then, until the sender has it */
	struct dead_end dead[2];   /* letters of the sender, and of the receiver */
	struct dead_replay replay;
	struct cpu_flow_out flow_out __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct cpu_flow_in flow_in __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct gpu_flow gpu_flow[2]; /* of ends on GPUs: the sender's, the receiver's */

	/* Of links with ports: each task belongs to its worker's thread. */
	struct rk_task in_task;
	struct rk_task out_task;
	struct rk_port *in_port;
	struct rk_port *out_port;
	bool lent;	     /* its ring, to in_port */
	char *published;     /* the name by which others find its inbox, at in_port's address */
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
	struct rk_runtime_opts opts;
	struct cuda_gpu *gpu[RK_MAX_GPUS]; /* opened so far */
	bool gpu_held; /* closing: a kernel does not end */

	/* The mutex guards all below, the producers' ends of control rings, and workers' add. */
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* an actor stopped, a task finished, a port failed */
	struct rk_actor *actors;
	struct rk_link *links;
	uint64_t start_position; /* of new links: 0; other values are for tests of wrap-around */
	struct rk_supervisor *supervisors;
	struct name *names; /* see lib/names.c */
	struct rk_name_watch *watches;
	struct rk_tenant *tenants;
	struct grant *grants; /* to all of them; see lib/tenant.c */
	uint32_t shed_level;	/* written by anyone, read by workers: relaxed */
	struct letter *letters; /* by their numbers; see lib/dead_letter.c */
	uint64_t letters_found;
	unsigned int live; /* tasks that have not finished */
	unsigned int joining; /* links that are being made, and actors that change seats */
	bool taking; /* a snapshot: no links are made meanwhile */
	uint32_t epoch; /* of the last one */
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

/* Wait, mutex held, until @reached; 0 or -ETIMEDOUT. */
int runtime_wait_until(struct rk_runtime *runtime, bool (*reached)(const void *), const void *what,
		       uint64_t timeout_ns);

/* Note the first error, its text in rk_errmsg(). On a worker's thread; takes the mutex. */
void runtime_failed(struct rk_runtime *runtime, int result);

/* The same, mutex held. */
void runtime_keep_failure(struct rk_runtime *runtime, int result);

/* The actor that is registered by @name, or NULL. Mutex held. */
struct rk_actor *names_find(struct rk_runtime *runtime, const char *name);

/* All names and watches, when nobody uses them any more. */
void names_free(struct rk_runtime *runtime);

/* Index of the worker to use for @asked; -EINVAL, said in rk_errmsg(). */
int runtime_worker_index(const struct rk_runtime *runtime, int asked, int otherwise);

/* Add to what rk_runtime_note() tells. Mutex held. */
void runtime_add_note(struct rk_runtime *runtime, const char *note);

/* Send a control message, waiting for room. Mutex held. 0, or -EPIPE when it has stopped. */
int actor_tell(struct rk_actor *actor, const struct rk_msg *msg);

/* Ask an actor to stop. Mutex held. */
void actor_ask_stop(struct rk_actor *actor, enum cpu_hurry hurry);

/*
 * Tell it, and wait until it has obeyed. Takes the mutex. 0; -EPIPE when it has stopped;
 * -ETIMEDOUT; said in rk_errmsg(). @verb: for people.
 */
int actor_command(struct rk_actor *actor, const struct rk_msg *msg, uint64_t timeout_ns,
		  const char *verb);

unsigned int actor_count_args(const struct rk_actor_type *type);

/* A control message with pointers of this process. */
struct rk_msg actor_order(uint16_t type, const void *first, const void *second);

/* Room for @bytes of state; false without memory. */
bool actor_copy_room(struct actor_copy *copy, uint32_t bytes);

/* Free what it has. The actor does nothing with it any more. */
void actor_copy_free(struct actor_copy *copy);

/* -EPIPE, said: it has stopped. */
int actor_over(const struct rk_actor *actor, const char *verb);

/*
 * Its spare copy, and with it the right to use or change its state: for one at a time. Takes the
 * mutex. 0; -EBUSY; -ENOMEM; said.
 */
int actor_borrow_spare(struct rk_actor *actor, const char *verb);
void actor_give_spare_back(struct rk_actor *actor, int result);

/* Look for a moment, then sleep, until @reached. Takes the mutex. 0 or -ETIMEDOUT. */
int actor_await(struct rk_actor *actor, bool (*reached)(const void *), const void *what,
		uint64_t timeout_ns);

/* Its handler is being replaced, or on trial. Mutex held. */
bool actor_is_reloading(const struct rk_actor *actor);

/* What it left; @reload may be NULL. No worker polls the actor any more. */
void actor_reload_free(struct actor_reload *reload);

/* Zeroed memory for a state on cpu, or NULL. */
void *actor_cpu_state(const struct rk_actor_type *type);

/* Tell it of its end of a link. Mutex held. 0; -ENOSPC when it has too many; -EPIPE, said. */
int actor_give_end(struct rk_actor *actor, struct rk_link *link, bool inbox);

/* It has stopped or failed: whoever waits for that is woken. Any thread but those of the runtime.
 */
void actor_stopped(void *actor);

bool actor_has_stopped(const struct rk_actor *actor);

/* It has obeyed the @told-th control message, as rk_actor.told counts. Any thread. */
bool actor_has_obeyed(const struct rk_actor *actor, uint32_t told);

/* It has obeyed more. On its worker's thread. */
void actor_answered(struct rk_actor *actor);

/*
 * Make an actor of @type (lib/actor_cpu.c, lib/actor_cuda.c). Mutex held. 0, and it runs as soon as
 * it has had its RK_MSG_START by actor_tell() and, on cpu, by @start; or -errno, said.
 */
int actor_cpu_create(struct rk_actor **actor, struct rk_runtime *runtime,
		     const struct rk_actor_type *type, const struct rk_actor_opts *opts);
int actor_cpu_start(struct rk_actor *actor);
int actor_cuda_create(struct rk_actor **actor, struct rk_runtime *runtime,
		      const struct rk_actor_type *type, const struct rk_actor_opts *opts);
struct cuda_actor *actor_cuda_of(const struct rk_actor *actor);

/* GPU @ordinal, opened at its first use. Mutex held. 0; what cuda_gpu_open() returns; said. */
int actor_cuda_gpu(struct rk_runtime *runtime, int ordinal, struct cuda_gpu **gpu);

/* Where @where is for the backend, seen from @other on GPU @gpu. 0 or -EINVAL, said. */
int actor_cuda_place(struct cuda_actor_opts *out, int gpu, enum rk_where where,
		     const struct rk_actor *other, const char *name);

/* Another handler for an actor on a GPU (lib/actor_seat.c); as rk_actor_reload(), without a trial. */
int actor_cuda_reload(struct rk_actor *actor, const struct rk_actor_type *type,
		      void (*convert)(void *to, const void *from), uint64_t timeout_ns);

/*
 * @actor died: close the host's ends of its links, with RK_CLOSE_PEER_DIED. False when a ring is
 * too full to say so: call again. Takes the mutex.
 */
bool links_orphaned(struct rk_actor *actor);

/* End the threads of all supervisors; and once no worker runs, free them. Mutex not held. */
void supervisors_close(struct rk_runtime *runtime);
void supervisors_free(struct rk_runtime *runtime);

/*
 * Give a link its policies, once its ends are open. @to_port: it ends in one. 0; -EINVAL;
 * -EOPNOTSUPP for ends that cannot have them; -ENOMEM; said in rk_errmsg().
 */
int flow_open(struct rk_link *link, const struct rk_link_opts *opts, bool to_port,
	      const char *name);
void flow_close(struct rk_link *link);

/*
 * Whether a tenant may have this actor, or these two this link; then it is charged. Mutex held. 0;
 * -EACCES for what would join two; -EDQUOT when the budget does not last; -EINVAL; said.
 */
int tenant_spawns(const struct rk_runtime *runtime, const struct rk_actor_type *type,
		  const struct rk_actor_opts *opts, const char *name);
int tenant_links(const struct rk_actor *from, const struct rk_actor *to,
		 const struct rk_link_opts *opts, const char *name);

/* What a GPU knows a tenant by; 0: NULL. */
uint32_t tenant_id(const struct rk_tenant *tenant);

/* The actor that was charged was not made. Mutex held. */
void tenant_spawned_not(const struct rk_actor_type *type, const struct rk_actor_opts *opts);

/* All of them, when nobody uses them any more. */
void tenants_free(struct rk_runtime *runtime);

/* Free everything of a link whose tasks have finished; closes its ports. 0 or -errno of closing. */
int link_free(struct rk_link *link);

#endif
