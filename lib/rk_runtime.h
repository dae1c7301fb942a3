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
#include "rk_actor.h"
#include "rk_flow.h"
#include "rk_hlc.h"

#define RK_MAX_WORKERS	 64
#define RK_MAX_LINKS	 32 /* inboxes, and outboxes, of one actor on cpu */
#define RK_MAX_GPU_LINKS 16 /* and of one on a GPU */
#define RK_MAX_GPUS	 16
#define RK_LINK_SLOTS	 1024 /* default capacity of a link */
#define RK_MAX_SHARE	 256
#define RK_SPIN_LOOKS	 4000 /* default: some 50 us of looking before yielding */

/* What a ring between two actors on GPUs lies in; the last also one between the host and a GPU. */
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
 *	permitted: sooner than its poller (in a virtual machine 42 against 76 us), dearer to who
 *wakes
 * @gpu_blocks: blocks of each persistent kernel, of 16 seats, each on a multiprocessor of its own;
 *	0: 4. The rest of the GPU is free for other work
 * @gpu_nap_ns: an empty seat sleeps so long between two looks: spawning waits for it, a busy
 *	neighbour gains; 0: 100, or 4000 where the GPU has to look across the bus
 * @gpu_stuck_ns: a handler on a GPU that does not come back for so long has failed; 0: 2 s
 * @gpu_provider: of GPU memory with a CPU mapping (rk_region.h); NULL: the first that works
 * @guard: a handler on cpu that traps, or is interrupted because it does not come back, fails
 *alone. Takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGURG of this process; what is not about a
 *handler goes on to whoever had them. Handlers must keep to the subset of rk_handler.h: one that is
 *	ended within malloc(3) would leave its lock taken
 * @clock: initialised, outlives the runtime; NULL: none. Actors on cpu then stamp by it what has
 *	RK_MSG_F_CLOCK: each message when it is received (a stamp too far ahead is counted as refused
 *	and another put in its place) and when rk_send() sends it. Actors on GPUs pass stamps on as
 *	they are
 * @gpu_calibrate: measure, when a GPU is opened, from which multiprocessors which memory is near
 */
struct rk_runtime_opts {
	size_t size;
	unsigned int workers;
	const int *cpus;
	bool unpinned;
	uint32_t spin_looks;
	bool no_doorbells;
	bool guard;
	struct rk_hlc *clock;
	unsigned int gpu_blocks;
	uint32_t gpu_nap_ns;
	uint64_t gpu_stuck_ns;
	const char *gpu_provider;
	bool gpu_calibrate;
};

/**
 * struct rk_link_opts - zero is the default but for @worker
 * @size: sizeof(struct rk_link_opts)
 * @slots: capacity of the ring, a power of two; 0: RK_LINK_SLOTS
 * @worker: index of the worker that polls the port, or RK_ANY_WORKER; links with ports only
 * @no_touch: see struct rk_ring_rx_opts
 * @place: of a ring between two actors on GPUs; RK_PLACE_HOST also of one that has one end there, for
 *	an actor that is to go to another GPU with it (rk_actor_migrate())
 * @observe: called on the worker's thread for each message that goes to a port; may be NULL
 * @observer: first argument of @observe
 * @full: what happens to a message that finds no room; where an actor sends (rk_flow.h)
 * @backlog_slots: of messages that wait at the sender, with RK_FULL_DROP_OLDEST; on a GPU at most
 *	1024; 0: as many as the ring has, or that most
 * @dead_slots: memory for dead letters, at each end that drops: a power of two, that of the
 *	ring or more, 512 being always enough; 0: what is dropped is counted, and not kept
 * @high_slots: the sender, an actor, gets RK_MSG_HIGH when the link holds as many; 0: never
 * @low_slots: and then RK_MSG_LOW when it holds no more than these; below @high_slots
 * @share_messages: messages that the receiver, an actor on cpu, takes from it in one turn, before it
 *	looks at its other inboxes: so shares are weights. At most RK_MAX_SHARE; 0: what has come
 * @share_slots: the same in slots, 56 bytes each; what a turn leaves over, because the next message
 *	is longer, is added to the next. One of the two
 * @shed_at: what comes on it is dropped by the receiver, an actor on cpu, while rk_runtime_shed()
 *	is at this level or a higher one; 0: never
 */
struct rk_link_opts {
	size_t size;
	uint64_t slots;
	int worker;
	bool no_touch;
	enum rk_ring_place place;
	void (*observe)(void *observer, const struct rk_msg *msg);
	void *observer;
	enum rk_full full;
	uint64_t backlog_slots;
	uint64_t dead_slots;
	uint64_t high_slots;
	uint64_t low_slots;
	uint32_t share_messages;
	uint32_t share_slots;
	uint32_t shed_at;
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
 * A handler that never returns cannot be ended from outside: on cpu this waits for it; on a GPU it
 * is left behind after some seconds, and no runtime of this process opens that GPU again.
 *
 * Context: any thread, when no other uses @runtime or anything made with it; sleeps.
 * Return: 0; -errno when a port could not write what it had accepted, said in rk_errmsg().
 */
RK_API int rk_runtime_close(struct rk_runtime *runtime);

/**
 * rk_link_actors() - from one actor to another
 * @link: out; may be NULL
 * @from: gets an outbox
 * @to: gets an inbox
 * @opts: NULL for the default
 *
 * Context: any thread, while both run; sleeps.
 * Owner: the runtime.
 * Return: 0; -EINVAL for a capacity, a backlog, levels or dead letters; -EOPNOTSUPP for a policy that
 * neither end can have; -EACCES between two tenants, and -EDQUOT beyond the budget of one
 * (rk_tenant.h); -ENOSPC for more than RK_MAX_LINKS; -EPIPE when an actor has stopped;
 * -ENOMEM; said in rk_errmsg().
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
