// SPDX-License-Identifier: MIT
/* Links: a ring between two of actors, ports and host threads, and the tasks that poll the ports.
 */
#include "runtime.h"
#include "clock.h"
#include "rk_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORT_BUDGET = 64,
	OUT_CELLS = RK_MSG_MAX_SLOTS + 1,
};

/* How soon to try again when the outside takes nothing. */
#define BUSY_RETRY_NS 1000000

static const struct rk_link_opts defaults = {.size = sizeof(defaults), .worker = RK_ANY_WORKER};

static struct rk_link *link_of_in(struct rk_task *task)
{
	return (struct rk_link *)((char *)task - offsetof(struct rk_link, in_task));
}

static struct rk_link *link_of_out(struct rk_task *task)
{
	return (struct rk_link *)((char *)task - offsetof(struct rk_link, out_task));
}

static uint32_t hurry_of(const struct rk_link *link)
{
	return __atomic_load_n(&link->hurry, __ATOMIC_RELAXED);
}

/* --- A port that feeds a ring --- */

/* When to look again where the other end wakes nobody, as a device does. */
static uint64_t nap_end_ns(const uint32_t *peer_unguarded)
{
	return *peer_unguarded ? now_ns() + CPU_UNGUARDED_NAP_NS : UINT64_MAX;
}

/* What the end of an input means to the consumer; 0: not the end. */
static uint64_t input_ended(struct rk_link *link, int moved)
{
	if (moved == -ENODATA)
		return RK_CLOSE_DONE;
	if (moved == -EPIPE)
		return RK_CLOSE_STOPPED;
	if (moved < 0) {
		runtime_failed(link->runtime, moved);
		return RK_CLOSE_STOPPED;
	}
	return hurry_of(link) ? RK_CLOSE_DONE : RK_CLOSE_OPEN;
}

static int poll_in(struct rk_task *task)
{
	struct rk_link *link = link_of_in(task);
	int moved = 0;

	if (!link->in_closing) {
		moved = rk_port_poll_in(link->in_port, &link->tx, PORT_BUDGET);
		link->in_closing = input_ended(link, moved);
		if (link->in_closing && link->lent)
			rk_port_take_back(link->in_port, &link->tx);
	}
	if (!link->in_closing)
		return moved > 0;
	if (!rk_ring_close(&link->tx, link->in_closing) && hurry_of(link) != CPU_LET_GO)
		return 0;
	/* What the port has taken and the ring has not is counted as dropped. */
	rk_port_poll_in(link->in_port, &link->tx, PORT_BUDGET);
	return -1;
}

static uint64_t due_in(const struct rk_task *task)
{
	const struct rk_link *link = link_of_in((struct rk_task *)(uintptr_t)task);
	uint64_t due_ns = link->in_closing ? 0 : rk_port_due_ns(link->in_port);
	uint64_t nap_ns = nap_end_ns(link->tx.peer_unguarded);

	return due_ns && due_ns < nap_ns ? due_ns : nap_ns;
}

/* --- A port that a ring feeds --- */

/* Write what was received; false when the outside is busy or the port is dead. */
static bool write_out(struct rk_link *link, int *result)
{
	while (link->out_done < link->out_cells) {
		const struct rk_msg *msg = &link->buffer[link->out_done];
		/* It may wait for the outside, and be late at a later try. */
		bool to_port = msg->type >= RK_MSG_PACKET &&
			       !(rk_unlikely(msg->flags & RK_MSG_F_DEADLINE) &&
				 cpu_flow_is_late(&link->flow_in, msg));

		*result = to_port ? rk_port_write(link->out_port, msg) : 1;
		if (*result <= 0)
			return false;
		if (link->observe && to_port)
			link->observe(link->observer, msg);
		link->out_done += msg->slots;
	}
	*result = rk_port_flush(link->out_port);
	return *result > 0;
}

static int poll_out(struct rk_task *task)
{
	struct rk_link *link = link_of_out(task);
	int cells = 0, result;

	if (link->out_done == link->out_cells && !link->rx.closed) {
		cells = rk_ring_recv_batch(&link->rx, link->buffer, OUT_CELLS);
		link->out_cells = cells > 0 ? (uint32_t)cells : 0;
		link->out_done = 0;
	}
	if (!cells && !link->out_busy && link->out_done == link->out_cells && !link->rx.closed)
		return hurry_of(link) == CPU_LET_GO ? -1 : 0;
	link->out_busy = !write_out(link, &result);
	if (result < 0) {
		runtime_failed(link->runtime, result);
		rk_ring_refuse(&link->rx, RK_CLOSE_STOPPED);
		return -1;
	}
	if ((link->rx.closed && !link->out_busy) || hurry_of(link) == CPU_LET_GO)
		return -1;
	return cells > 0;
}

static uint64_t due_out(const struct rk_task *task)
{
	const struct rk_link *link = link_of_out((struct rk_task *)(uintptr_t)task);

	return link->out_busy ? now_ns() + BUSY_RETRY_NS : nap_end_ns(link->rx.peer_unguarded);
}

static void in_finished(struct rk_task *task)
{
	runtime_task_done(link_of_in(task)->runtime);
}

static void out_finished(struct rk_task *task)
{
	runtime_task_done(link_of_out(task)->runtime);
}

/* --- Making links --- */

/*
 * Close a ring for its consumer, in the place of a producer that died: behind its last whole
 * message. Its credit lies with it, out of reach; what the consumer gave last stands in for it.
 */
static bool close_orphan(struct rk_link *link)
{
	struct rk_ring_credit credit = {
		.consumed = __atomic_load_n(&link->rx.credited, __ATOMIC_RELAXED)};
	struct rk_ring ring = link->memory.ring;
	struct rk_ring_tx tx;

	ring.credit = &credit;
	ring.credit_far = false;
	return rk_ring_tx_open(&tx, &ring) || rk_ring_close(&tx, RK_CLOSE_PEER_DIED);
}

bool links_orphaned(struct rk_actor *actor)
{
	bool all = true;

	pthread_mutex_lock(&actor->runtime->mutex);
	for (struct rk_link *link = actor->runtime->links; link; link = link->next) {
		if (link->orphaned || (link->from != actor && link->to != actor))
			continue;
		link->orphaned = true;
		if (link->to == actor && (!link->from || !link->from->gpu))
			/* Relaxed: the reason publishes nothing but itself. */
			__atomic_store_n(&link->memory.ring.credit->closed, RK_CLOSE_PEER_DIED,
					 __ATOMIC_RELAXED);
		if (link->from == actor && (!link->to || !link->to->gpu))
			all &= link->orphaned = close_orphan(link);
	}
	pthread_mutex_unlock(&actor->runtime->mutex);
	return all;
}

int link_free(struct rk_link *link)
{
	/* What a kernel that does not end may still touch stays until the process ends. */
	bool held = link->runtime->gpu_held && link->to && link->to->gpu;
	int in = held ? 0 : rk_port_close(link->in_port), out = rk_port_close(link->out_port);

	link_memory_close(&link->memory);
	dead_close(link);
	flow_close(link);
	free(link->refill.cells);
	free(link->buffer);
	free(link->published);
	free(link);
	return in ? in : out;
}

/* What a link joins; NULL is a host thread. */
struct ends {
	struct rk_port *in_port;
	struct rk_actor *from;
	struct rk_actor *to;
	struct rk_port *out_port;
};

/* Open the ends that are the host's; each sleeps and is woken as two host threads would. */
static int open_ends(struct rk_link *link, const struct ends *ends, const struct rk_link_opts *opts)
{
	const struct rk_ring_rx_opts rx_opts = {.size = sizeof(rx_opts),
						.no_touch = opts->no_touch};
	int result = 0;

	if (!ends->from || !ends->from->gpu)
		result = rk_ring_tx_open(&link->tx, &link->memory.ring);
	if (!result && (!ends->to || !ends->to->gpu))
		result = rk_ring_rx_open(&link->rx, &link->memory.ring, &rx_opts);
	return result;
}

/* To a port that would rather have the outside write it. */
static int lend(struct rk_link *link, struct rk_port *port)
{
	struct rk_ring *ring = &link->memory.ring;
	int result = rk_port_lend(port, ring, link_memory_region(&link->memory));

	if (result <= 0)
		return result;
	link->lent = true;
	/* No CPU of this process stores there, nor wakes who sleeps. */
	ring->device = true;
	ring->sleep->unguarded[RK_ROLE_PRODUCER] = 1;
	return 0;
}

static int create(struct rk_link **out, struct rk_runtime *runtime, const struct ends *ends,
		  const struct rk_link_opts *opts, const char *name)
{
	struct rk_link *link = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*link));
	int result;

	if (!link)
		return rk_fail(ENOMEM, "link '%s': no memory", name);
	memset(link, 0, sizeof(*link));
	link->runtime = runtime;
	link->from = ends->from;
	link->to = ends->to;
	link->observe = opts->observe;
	link->observer = opts->observer;
	link->memory.device.position = runtime->start_position;
	*out = link;
	if (ends->out_port && !(link->buffer = calloc(OUT_CELLS, RK_CELL_BYTES)))
		return rk_fail(ENOMEM, "link '%s': no memory", name);
	result = link_memory_open(&link->memory, ends->from, ends->to, opts->slots, opts->place,
				  name);
	if (result)
		return result;
	if (link->memory.region)
		runtime_add_note(runtime, rk_region_info(link->memory.region)->note);
	result = ends->in_port ? lend(link, ends->in_port) : 0;
	if (!result)
		result = open_ends(link, ends, opts);
	return result ? result : flow_open(link, opts, ends->out_port, name);
}

/* Whom the two ends wake, and where they sleep. */
static void join_wakes(struct rk_link *link, const struct ends *ends, struct rk_worker *port_worker)
{
	struct rk_worker *producer = ends->from	     ? ends->from->worker
				     : ends->in_port ? port_worker
						     : NULL;
	struct rk_worker *consumer = ends->to	      ? ends->to->worker
				     : ends->out_port ? port_worker
						      : NULL;

	if (producer)
		link->tx.self = link->rx.producer = rk_worker_wake(producer);
	if (consumer)
		link->rx.self = link->tx.consumer = rk_worker_wake(consumer);
}

/* A ring for an actor's own I/O is for one on a CPU, or on one GPU, which is told where it lies. */
static int give_io(const struct ends *ends)
{
	struct rk_msg msg;
	int gpu = 0, here = ends->to && ends->to->gpu ? ends->to->gpu->gpu.ordinal : -1;
	uint64_t gpu_io = 0;

	if (!ends->in_port || !ends->to || !rk_port_own_io(ends->in_port, &gpu_io, &gpu))
		return 0;
	if (!gpu_io && here < 0)
		return 0;
	if (!gpu_io || gpu != here)
		return rk_fail(EINVAL,
			       "port '%s': its ring is for an actor on %s %d, and '%s' is not there: "
			       "option gpu=N says for which GPU",
			       rk_port_uri(ends->in_port), gpu_io ? "GPU" : "a CPU, not on GPU",
			       gpu_io ? gpu : here, ends->to->name);
	msg = actor_order(RK_GPU_IO, (const void *)(uintptr_t)gpu_io, NULL);
	return actor_tell(ends->to, &msg);
}

/* Buffers are lent to an actor, which sees them where the port was told that it is. */
static int check_loan(const struct ends *ends)
{
	int for_gpu;

	if (!ends->in_port || !rk_port_lends(ends->in_port, &for_gpu))
		return 0;
	if (!ends->to)
		return rk_fail(EINVAL,
			       "port '%s': it lends its buffers to an actor: leave lend= out",
			       rk_port_uri(ends->in_port));
	if (for_gpu != (ends->to->gpu != NULL))
		return rk_fail(EINVAL,
			       "port '%s': it lends its buffers to an actor on a %s, and '%s' is on a "
			       "%s: option gpu says for which",
			       rk_port_uri(ends->in_port), for_gpu ? "GPU" : "CPU", ends->to->name,
			       for_gpu ? "CPU" : "GPU");
	return 0;
}

/* The consumer's side first, so that nothing is sent that nobody will receive. */
static int give_ends(struct rk_link *link, const struct ends *ends, int port_worker)
{
	int result = check_loan(ends);

	if (!result && ends->to)
		result = actor_give_end(ends->to, link, true);
	if (!result && ends->to && !ends->from && !ends->in_port)
		ends->to->host_inboxes++;
	if (!result && ends->out_port) {
		link->out_task = (struct rk_task){.poll = poll_out,
						  .due_ns = due_out,
						  .finished = out_finished,
						  .fd = rk_port_fd(ends->out_port)};
		result = runtime_add_task(link->runtime, port_worker, &link->out_task);
	}
	if (!result && ends->from)
		result = actor_give_end(ends->from, link, false);
	if (!result)
		result = give_io(ends);
	if (!result && ends->in_port) {
		link->in_task = (struct rk_task){.poll = poll_in,
						 .due_ns = due_in,
						 .finished = in_finished,
						 .fd = rk_port_fd(ends->in_port)};
		result = runtime_add_task(link->runtime, port_worker, &link->in_task);
	}
	/* Whoever has the other end learns that nothing will come. */
	if (result && (!ends->from || !ends->from->gpu))
		rk_ring_close(&link->tx, RK_CLOSE_STOPPED);
	return result;
}

static int join(struct rk_link **out, struct rk_runtime *runtime, const struct ends *ends,
		const struct rk_link_opts *opts)
{
	const char *name = ends->to	    ? ends->to->name
			   : ends->out_port ? rk_port_uri(ends->out_port)
			   : ends->from	    ? ends->from->name
					    : "host";
	struct rk_link *link = NULL;
	int worker, result;

	if (!opts)
		opts = &defaults;
	pthread_mutex_lock(&runtime->mutex);
	while (runtime->taking)
		runtime_give_way(runtime);
	runtime->joining++;
	result = tenant_links(ends->from, ends->to, opts, name);
	if (!result)
		result = create(&link, runtime, ends, opts, name);
	if (link) {
		/* The runtime's from here on, whatever happens: rk_runtime_close() frees it. */
		link->in_port = ends->in_port;
		link->out_port = ends->out_port;
		link->next = runtime->links;
		runtime->links = link;
	} else {
		rk_port_close(ends->in_port);
		rk_port_close(ends->out_port);
	}
	worker = runtime_worker_index(runtime, opts->worker, 0);
	if (!result && worker < 0)
		result = worker;
	if (!result) {
		join_wakes(link, ends, runtime->worker[worker]);
		result = give_ends(link, ends, worker);
	}
	runtime->joining--;
	pthread_mutex_unlock(&runtime->mutex);
	if (!result && out)
		*out = link;
	return result;
}

int rk_link_actors(struct rk_link **link, struct rk_actor *from, struct rk_actor *to,
		   const struct rk_link_opts *opts)
{
	const struct ends ends = {.from = from, .to = to};

	return join(link, from->runtime, &ends, opts);
}

int rk_link_port_in(struct rk_link **link, struct rk_port *port, struct rk_actor *to,
		    const struct rk_link_opts *opts)
{
	const struct ends ends = {.in_port = port, .to = to};

	return join(link, to->runtime, &ends, opts);
}

int rk_link_port_out(struct rk_link **link, struct rk_actor *from, struct rk_port *port,
		     const struct rk_link_opts *opts)
{
	const struct ends ends = {.from = from, .out_port = port};

	return join(link, from->runtime, &ends, opts);
}

int rk_link_ports(struct rk_link **link, struct rk_runtime *runtime, struct rk_port *in,
		  struct rk_port *out, const struct rk_link_opts *opts)
{
	const struct ends ends = {.in_port = in, .out_port = out};

	return join(link, runtime, &ends, opts);
}

int rk_link_host_in(struct rk_ring_tx **tx, struct rk_actor *to, const struct rk_link_opts *opts)
{
	const struct ends ends = {.to = to};
	struct rk_link *link;
	int result = join(&link, to->runtime, &ends, opts);

	if (!result)
		*tx = &link->tx;
	return result;
}

int rk_link_host_out(struct rk_ring_rx **rx, struct rk_actor *from, const struct rk_link_opts *opts)
{
	const struct ends ends = {.from = from};
	struct rk_link *link;
	int result = join(&link, from->runtime, &ends, opts);

	if (!result)
		*rx = &link->rx;
	return result;
}
