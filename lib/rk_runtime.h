/* SPDX-License-Identifier: MIT */
/*
 * rk_runtime.h - actors, and the links among actors, ports and host threads.
 *
 *   struct rk_runtime        workers: pinned threads that poll
 *     rk_actor_spawn()       an actor: handler + state, hosted by a worker
 *     rk_link_actors()       actor -> actor
 *     rk_link_port_in()      port  -> actor      the port is polled by a worker
 *     rk_link_port_out()     actor -> port
 *     rk_link_ports()        port  -> port
 *     rk_link_host_in()      host thread -> actor
 *     rk_link_host_out()     actor -> host thread
 *
 * A link is a ring. An actor's outboxes are numbered from 0 in the order of its links out.
 *
 * The end of things travels in the rings: a port at the end of its capture closes its ring, an
 * actor whose inboxes are all closed receives RK_MSG_STOP and closes its outboxes, and so on to
 * the last port. rk_runtime_wait() waits for that. rk_actor_stop() ends an actor sooner.
 */
#ifndef RK_RUNTIME_H
#define RK_RUNTIME_H

#include "ports/rk_port.h"
#include "ring/rk_ring.h"
#include "rk_handler.h"

#define RK_MAX_WORKERS 64
#define RK_MAX_LINKS 32	   /* inboxes, and outboxes, of one actor on cpu */
#define RK_MAX_GPU_LINKS 16 /* and of one on a GPU */
#define RK_MAX_GPUS 16
#define RK_MAX_ARGS 16	   /* of one actor type */
#define RK_LINK_SLOTS 1024 /* default capacity of a link */
#define RK_ANY_WORKER (-1)
#define RK_SPIN_LOOKS 4000 /* default: some 50 us of looking before yielding */

struct rk_runtime;
struct rk_actor;
struct rk_link;

/* Who runs an actor. */
enum rk_backend {
	RK_BACKEND_CPU,	 /* a worker: a pinned thread */
	RK_BACKEND_CUDA, /* a seat in a persistent kernel on an NVIDIA GPU */
};

/* The threads that call a handler together. */
enum rk_group {
	RK_GROUP_WARP,	/* 32 lanes on a GPU, one thread on cpu */
	RK_GROUP_BLOCK, /* 256 lanes on a GPU: eight times the rate, at some more latency */
};

/* Where on its GPU an actor sits, seen from another. */
enum rk_where {
	RK_WHERE_ANY,
	RK_WHERE_BLOCK,	  /* in the same block */
	RK_WHERE_CLUSTER, /* in another block of the same cluster (compute capability 9.0 and later) */
	RK_WHERE_APART,	  /* in a block of another cluster */
};

/* What a ring between two actors on GPUs lies in. */
enum rk_ring_place {
	RK_PLACE_NEAREST, /* the first of the following that both reach */
	RK_PLACE_BLOCK,	  /* shared memory of their block */
	RK_PLACE_CLUSTER, /* shared memory of the consumer's block */
	RK_PLACE_GPU,	  /* memory of the consumer's GPU */
	RK_PLACE_HOST,	  /* memory of the host */
};

/**
 * struct rk_runtime_opts - zero is the default
 * @size: sizeof(struct rk_runtime_opts)
 * @workers: threads; 0: one for each CPU this process may use, at most RK_MAX_WORKERS
 * @cpus: CPU of each worker, @workers entries; NULL: the CPUs this process may use, in turn
 * @unpinned: do not pin the workers
 * @spin_looks: looks for work before a worker yields, then sleeps; 0: RK_SPIN_LOOKS
 * @no_doorbells: wake sleeping workers by a system call also where the module is loaded and
 *	permitted: sooner than its poller (in a virtual machine 42 against 76 us), dearer to who wakes
 * @gpu_blocks: blocks of each persistent kernel, of 8 seats, each on a multiprocessor of its own;
 *	0: 4. The rest of the GPU is free for other work
 * @gpu_provider: of GPU memory with a CPU mapping (rk_region.h); NULL: the first that works
 * @gpu_calibrate: measure, when a GPU is opened, from which multiprocessors which memory is near
 */
struct rk_runtime_opts {
	size_t size;
	unsigned int workers;
	const int *cpus;
	bool unpinned;
	uint32_t spin_looks;
	bool no_doorbells;
	unsigned int gpu_blocks;
	const char *gpu_provider;
	bool gpu_calibrate;
};

/**
 * struct rk_actor_opts - zero is the default but for @worker
 * @size: sizeof(struct rk_actor_opts)
 * @name: for messages to people; NULL: the type's
 * @worker: index of the worker that hosts it, or RK_ANY_WORKER
 * @args: values for the type's arguments, in their order; the handler sees missing ones as 0
 * @arg_count: at most RK_MAX_ARGS
 * @backend: who runs it
 * @gpu: ordinal, as CUDA counts; RK_BACKEND_CUDA only, as the following
 * @group: who calls its handler
 * @where: where it sits, seen from @other
 * @other: an actor on the same GPU, with @where
 */
struct rk_actor_opts {
	size_t size;
	const char *name;
	int worker;
	const uint64_t *args;
	unsigned int arg_count;
	enum rk_backend backend;
	int gpu;
	enum rk_group group;
	enum rk_where where;
	const struct rk_actor *other;
};

/**
 * struct rk_link_opts - zero is the default but for @worker
 * @size: sizeof(struct rk_link_opts)
 * @slots: capacity of the ring, a power of two; 0: RK_LINK_SLOTS
 * @worker: index of the worker that polls the port, or RK_ANY_WORKER; links with ports only
 * @no_touch: see struct rk_ring_rx_opts
 * @place: of a ring between two actors on GPUs
 * @observe: called on the worker's thread for each message that goes to a port; may be NULL
 * @observer: first argument of @observe
 */
struct rk_link_opts {
	size_t size;
	uint64_t slots;
	int worker;
	bool no_touch;
	enum rk_ring_place place;
	void (*observe)(void *observer, const struct rk_msg *msg);
	void *observer;
};

enum rk_actor_state {
	RK_ACTOR_RUNNING,
	RK_ACTOR_DRAINING, /* asked to stop after what is in its inboxes */
	RK_ACTOR_STOPPED,  /* RK_MSG_STOP was handled; nothing will be received any more */
	RK_ACTOR_FAILED,   /* its handler trapped or never came back, or its GPU failed */
};

enum rk_stop {
	RK_STOP_DRAIN, /* after what is in the inboxes now */
	RK_STOP_NOW,   /* after what it has taken out already; the rest stays in the inboxes */
};

/**
 * struct rk_actor_info - what an actor did; counts since it was spawned
 * @name: of the actor
 * @state: at the time of asking
 * @received: messages handled, without the runtime's own
 * @received_slots: slots of all messages taken from its inboxes
 * @sent: messages sent
 * @sent_slots: slots of them
 * @dropped_no_outbox: sends to an outbox that does not exist
 * @dropped_closed: sends to an outbox that its consumer closed
 * @dropped_bad: sends of a type of the runtime's own, or too long for the outbox
 * @dropped_stopped: sends that were waiting for room when the actor was stopped
 * @dropped_no_memory: sends that found no room in the ring and no memory to wait in
 */
struct rk_actor_info {
	const char *name;
	enum rk_actor_state state;
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

/**
 * struct rk_worker_info - what a worker did; counts since it was opened
 * @cpu: it is pinned to; -1 none
 * @polls: rounds over its tasks
 * @worked: rounds that found work
 * @sleeps: times it slept
 * @cpu_ns: CPU time used
 */
struct rk_worker_info {
	int cpu;
	uint64_t polls;
	uint64_t worked;
	uint64_t sleeps;
	uint64_t cpu_ns;
};

RK_BEGIN_DECLS

/**
 * rk_runtime_open() - start the workers
 * @runtime: out
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: rk_runtime_close() frees @runtime and all that was made with it.
 * Return: 0; -EINVAL for a worker count or CPU that is not there; -ENOMEM; the errno of eventfd(2)
 * or of starting a thread; said in rk_errmsg().
 */
RK_API int rk_runtime_open(struct rk_runtime **runtime, const struct rk_runtime_opts *opts);

/**
 * rk_runtime_wait() - wait until every actor has stopped and every port is done, or one has failed
 * @runtime: open
 * @timeout_ns: at most this long
 *
 * Context: any thread; sleeps.
 * Return: 0 all done; -ETIMEDOUT; or the first error of a port, said in rk_errmsg(), at once: the
 * others go on, until rk_runtime_stop().
 */
RK_API int rk_runtime_wait(struct rk_runtime *runtime, uint64_t timeout_ns);

/**
 * rk_runtime_stop() - stop all: ports take nothing more, actors stop
 * @runtime: open
 * @how: RK_STOP_DRAIN lets what is in the rings flow out first
 * @timeout_ns: at most this long
 *
 * Context: any thread; sleeps.
 * Return: 0 all done; -ETIMEDOUT; or the first error of a port, once all is done; said in
 * rk_errmsg().
 */
RK_API int rk_runtime_stop(struct rk_runtime *runtime, enum rk_stop how, uint64_t timeout_ns);

/**
 * rk_runtime_worker() - what a worker did
 * @runtime: open
 * @index: of the worker
 * @info: out
 *
 * Context: any thread.
 * Return: 0; -ENOENT past the last.
 */
RK_API int rk_runtime_worker(const struct rk_runtime *runtime, unsigned int index,
			     struct rk_worker_info *info);

/**
 * rk_runtime_note() - what the runtime had to do without
 * @runtime: open
 *
 * Context: any thread, after the links were made.
 * Return: sentences joined by "; ", "" if nothing; lives as long as @runtime.
 */
RK_API const char *rk_runtime_note(const struct rk_runtime *runtime);

/**
 * rk_runtime_close() - stop all now, end the workers, close the ports, free everything
 * @runtime: or NULL
 *
 * A handler that never returns cannot be ended from outside: on cpu this waits for it; on a GPU it is
 * left behind after some seconds, and no runtime of this process opens that GPU again.
 *
 * Context: any thread, when no other uses @runtime or anything made with it; sleeps.
 * Return: 0; -errno when a port could not write what it had accepted, said in rk_errmsg().
 */
RK_API int rk_runtime_close(struct rk_runtime *runtime);

/**
 * rk_actor_spawn() - start an actor
 * @actor: out
 * @runtime: open
 * @type: its handler and state; must outlive @runtime
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; @actor is valid until rk_runtime_close().
 * The first actor on a GPU opens it and launches its kernel; after that, spawning is a message.
 *
 * Return: 0; -EINVAL for a worker, GPU or arguments that do not exist; -ENOMEM; -ENODEV without a
 * driver or with one too old; -ENOENT for a type without code for GPUs; -EBUSY when no seat is free
 * or the kernel does not fit; -EIO after the GPU failed; said in rk_errmsg().
 */
RK_API int rk_actor_spawn(struct rk_actor **actor, struct rk_runtime *runtime,
			  const struct rk_actor_type *type, const struct rk_actor_opts *opts);

/**
 * rk_actor_stop() - stop an actor
 * @actor: spawned
 * @how: now, or after what is in its inboxes
 * @timeout_ns: at most this long; the stop goes on after it
 *
 * Its handler gets RK_MSG_STOP, its outboxes are closed, its inboxes refuse.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: 0 stopped, or had stopped; -ETIMEDOUT when its handler has not come back, said in
 * rk_errmsg().
 */
RK_API int rk_actor_stop(struct rk_actor *actor, enum rk_stop how, uint64_t timeout_ns);

/**
 * rk_actor_info() - what an actor did
 * @actor: spawned
 * @info: out
 *
 * Context: any thread; a reading of a running actor may be a few messages old.
 */
RK_API void rk_actor_info(const struct rk_actor *actor, struct rk_actor_info *info);

/**
 * rk_actor_state() - the state of a stopped actor
 * @actor: spawned
 *
 * Context: any thread.
 * Return: @type->state_bytes bytes that live as long as the runtime; NULL while it is running.
 */
RK_API const void *rk_actor_state(const struct rk_actor *actor);

/**
 * rk_link_actors() - from one actor to another
 * @link: out; may be NULL
 * @from: gets an outbox
 * @to: gets an inbox
 * @opts: NULL for the default
 *
 * Context: any thread, while both run; sleeps.
 * Owner: the runtime.
 * Return: 0; -EINVAL for a capacity; -ENOSPC for more than RK_MAX_LINKS; -EPIPE when an actor has
 * stopped; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_link_actors(struct rk_link **link, struct rk_actor *from, struct rk_actor *to,
			  const struct rk_link_opts *opts);

/**
 * rk_link_port_in() - from a port to an actor
 * @link: out; may be NULL
 * @port: an input; the runtime's from now on, also when this fails
 * @to: gets an inbox
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; it closes the ports.
 * Return: as rk_link_actors(); -EINVAL for a worker that is not there.
 */
RK_API int rk_link_port_in(struct rk_link **link, struct rk_port *port, struct rk_actor *to,
			   const struct rk_link_opts *opts);

/**
 * rk_link_port_out() - from an actor to a port
 * @link: out; may be NULL
 * @from: gets an outbox
 * @port: an output; the runtime's from now on, also when this fails
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; it closes the ports.
 * Return: as rk_link_actors(); -EINVAL for a worker that is not there.
 */
RK_API int rk_link_port_out(struct rk_link **link, struct rk_actor *from, struct rk_port *port,
			    const struct rk_link_opts *opts);

/**
 * rk_link_ports() - from a port to a port, with no actor between
 * @link: out; may be NULL
 * @runtime: open
 * @in: an input; the runtime's from now on, also when this fails
 * @out: an output; likewise
 * @opts: NULL for the default; both ports are polled by the same worker
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; it closes the ports.
 * Return: as rk_link_actors(); -EINVAL for a worker that is not there.
 */
RK_API int rk_link_ports(struct rk_link **link, struct rk_runtime *runtime, struct rk_port *in,
			 struct rk_port *out, const struct rk_link_opts *opts);

/**
 * rk_link_host_in() - from a thread of the host program to an actor
 * @tx: out; the producer's end, for one thread at a time
 * @to: gets an inbox
 * @opts: NULL for the default
 *
 * Close it with rk_ring_close(): an actor stops by itself when all its inboxes are closed.
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; @tx lives as long as it does.
 * Return: as rk_link_actors().
 */
RK_API int rk_link_host_in(struct rk_ring_tx **tx, struct rk_actor *to,
			   const struct rk_link_opts *opts);

/**
 * rk_link_host_out() - from an actor to a thread of the host program
 * @rx: out; the consumer's end, for one thread at a time
 * @from: gets an outbox
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime; @rx lives as long as it does.
 * Return: as rk_link_actors().
 */
RK_API int rk_link_host_out(struct rk_ring_rx **rx, struct rk_actor *from,
			    const struct rk_link_opts *opts);

RK_END_DECLS

#endif
