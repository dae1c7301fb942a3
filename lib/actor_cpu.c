// SPDX-License-Identifier: MIT
/* Actors of the cpu backend: control rings and state in host memory, a worker that polls. */
#include "runtime.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

RK_STATIC_ASSERT(RK_MAX_LINKS == CPU_MAX_LINKS, "the backend takes as many links as we promise");
RK_STATIC_ASSERT(RK_MSG_HEADER_BYTES + 8 * RK_MAX_ARGS <= CPU_CONTROL_CELLS * RK_CELL_BYTES,
		 "all arguments fit one control message");

struct cpu_actor {
	struct rk_actor base;
	struct rk_ctx ctx;
	struct rk_ring_tx control; /* under runtime->mutex */
	void *control_memory;
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));


static struct cpu_actor *cpu_of(const struct rk_actor *actor)
{
	return (struct cpu_actor *)(uintptr_t)actor;
}

/* Between two workers: whoever wakes it wakes the new one from now on. Mutex held. */
static void turn_wakes(struct rk_actor *actor)
{
	const struct rk_wake wake = rk_worker_wake(actor->worker);

	rk_wake_turn(&cpu_of(actor)->control.consumer, &wake);
	for (struct rk_link *link = actor->runtime->links; link; link = link->next) {
		if (link->to == actor) {
			rk_wake_turn(&link->tx.consumer, &wake);
			link->rx.self = wake;
		}
		if (link->from == actor) {
			rk_wake_turn(&link->rx.producer, &wake);
			link->tx.self = wake;
		}
	}
}

/* The worker has let go of it: it goes on at another. */
static void arrive(struct cpu_actor *cpu)
{
	struct rk_runtime *runtime = cpu->base.runtime;

	pthread_mutex_lock(&runtime->mutex);
	cpu->base.worker = cpu->base.moving_to;
	cpu->base.moving_to = NULL;
	cpu->ctx.leaving = false;
	turn_wakes(&cpu->base);
	while (rk_worker_add(cpu->base.worker, &cpu->ctx.task) == -EAGAIN)
		runtime_give_way(runtime);
	pthread_cond_broadcast(&runtime->changed);
	pthread_mutex_unlock(&runtime->mutex);
}

static void on_done(void *owner)
{
	struct cpu_actor *cpu = owner;

	if (cpu->ctx.leaving)
		arrive(cpu);
	else
		runtime_task_done(cpu->base.runtime);
}

static void on_answered(void *owner)
{
	actor_answered(owner);
}

/* Nobody will restart it: the runtime has failed. */
static bool on_failed(void *owner)
{
	struct cpu_actor *cpu = owner;

	if (__atomic_load_n(&cpu->base.expected, __ATOMIC_RELAXED)) {
		actor_answered(&cpu->base);
		return true;
	}
	runtime_failed(cpu->base.runtime,
		       rk_fail(EFAULT, "actor '%s': its handler was ended by signal %u (%s)",
			       cpu->base.name, cpu->ctx.why, strsignal((int)cpu->ctx.why)));
	return false;
}

static int tell(struct rk_actor *actor, const struct rk_msg *msg)
{
	int sent = rk_ring_send(&cpu_of(actor)->control, msg);

	return sent > 0 ? 0 : sent ? sent : -EAGAIN;
}

static int give_end(struct rk_actor *actor, struct rk_link *link, bool inbox)
{
	const struct rk_msg msg = inbox ? actor_order(CPU_INBOX, &link->rx, &link->flow_in)
					: actor_order(CPU_OUTBOX, &link->tx, &link->flow_out);

	return tell(actor, &msg);
}

static void hurry(struct rk_actor *actor, enum cpu_hurry how)
{
	const struct rk_wake wake = rk_worker_wake(actor->worker);

	/* Relaxed: it orders nothing; the wake makes sure that it is seen. */
	if (how)
		__atomic_store_n(&cpu_of(actor)->ctx.hurry, how, __ATOMIC_RELAXED);
	rk_wake_up(&wake);
}

static uint32_t phase_of(const struct rk_actor *actor)
{
	/* A2: pairs with R2 in enter() of cpu.c: the state is as the handler left it. */
	return __atomic_load_n(&cpu_of(actor)->ctx.phase, __ATOMIC_ACQUIRE);
}

static enum rk_actor_state state_of(const struct rk_actor *actor)
{
	switch (phase_of(actor)) {
	case CPU_DORMANT:
	case CPU_PAUSED:
		return RK_ACTOR_DORMANT;
	case CPU_STARTING:
		return RK_ACTOR_STARTING;
	case CPU_RUNNING:
		return RK_ACTOR_RUNNING;
	case CPU_DRAINING:
		return RK_ACTOR_DRAINING;
	case CPU_FAILED:
		return RK_ACTOR_FAILED;
	default:
		return cpu_of(actor)->ctx.failed_for_good ? RK_ACTOR_FAILED : RK_ACTOR_STOPPED;
	}
}

static bool is_over(const struct rk_actor *actor)
{
	return phase_of(actor) >= CPU_CLOSING;
}

static uint32_t obeyed(const struct rk_actor *actor)
{
	/* A9: pairs with R9 in answer() of cpu.c: what was asked for has been done. */
	return __atomic_load_n(&cpu_of(actor)->ctx.obeyed, __ATOMIC_ACQUIRE);
}

static void orphan(struct rk_actor *actor)
{
	/* Relaxed: it orders nothing; the wake makes sure that it is seen. */
	__atomic_store_n(&cpu_of(actor)->ctx.orphaned, 1, __ATOMIC_RELAXED);
	hurry(actor, CPU_PATIENT);
}

static uint64_t calls(const struct rk_actor *actor)
{
	return __atomic_load_n(&cpu_of(actor)->ctx.guarded.calls, __ATOMIC_RELAXED);
}

static void interrupt(struct rk_actor *actor, uint64_t call)
{
	struct rk_runtime *runtime = actor->runtime;

	if (!runtime->opts.guard)
		return;
	/* Relaxed: the signal orders it. */
	__atomic_store_n(&cpu_of(actor)->ctx.guarded.interrupted, call, __ATOMIC_RELAXED);
	pthread_mutex_lock(&runtime->mutex);
	rk_worker_interrupt(actor->worker);
	pthread_mutex_unlock(&runtime->mutex);
}

static int lend(struct rk_actor *actor)
{
	cpu_cut_lend(&cpu_of(actor)->ctx, actor->cut);
	return 0;
}

static void cut_order(const struct rk_actor *actor, bool forget, struct rk_msg *msg)
{
	cpu_call_fn *call = forget ? cpu_cut_forget : cpu_cut_order;

	*msg = actor_order(CPU_CALL, *(void **)&call, actor->cut);
}

static bool cut_is_back(const struct rk_actor *actor)
{
	return cpu_cut_is_back(actor->cut);
}

/* --- Its state --- */

static int restart_order(struct rk_actor *actor, struct actor_copy *from, struct rk_msg *cells)
{
	const void *what[] = {actor->start, from ? from->state : NULL, from ? from->type : NULL};

	*cells = (struct rk_msg){.type = CPU_RESTART, .slots = 1};
	memcpy(cells->body, what, sizeof(what));
	return 0;
}

/* On its worker. What a failed call left half done, or a handler on trial has made, is not sound. */
static void take_copy(struct rk_ctx *ctx, void *argument)
{
	struct actor_copy *to = argument;

	if (ctx->type->state_bytes > to->bytes)
		return;
	to->type = ctx->type;
	memcpy(to->state, ctx->state, ctx->type->state_bytes);
	to->received = ctx->counters.received;
	to->failed = ctx->counters.failed_messages;
	to->sound = (ctx->phase == CPU_RUNNING || ctx->phase == CPU_PAUSED) && !ctx->trial;
}

static int copy_order(struct rk_actor *actor, struct actor_copy *to, struct rk_msg *msg)
{
	cpu_call_fn *call = take_copy;

	(void)actor;
	to->type = NULL;
	to->sound = false;
	*msg = actor_order(CPU_CALL, *(void **)&call, to);
	return 0;
}

static void get_info(const struct rk_actor *actor, struct rk_actor_info *info)
{
	const struct cpu_counters *from = &cpu_of(actor)->ctx.counters;

	/* Relaxed: each is a count of its own. */
	info->received = __atomic_load_n(&from->received, __ATOMIC_RELAXED);
	info->received_slots = __atomic_load_n(&from->received_slots, __ATOMIC_RELAXED);
	info->sent = __atomic_load_n(&from->sent, __ATOMIC_RELAXED);
	info->sent_slots = __atomic_load_n(&from->sent_slots, __ATOMIC_RELAXED);
	info->dropped_no_outbox = __atomic_load_n(&from->dropped_no_outbox, __ATOMIC_RELAXED);
	info->dropped_closed = __atomic_load_n(&from->dropped_closed, __ATOMIC_RELAXED);
	info->dropped_bad = __atomic_load_n(&from->dropped_bad, __ATOMIC_RELAXED);
	info->dropped_stopped = __atomic_load_n(&from->dropped_stopped, __ATOMIC_RELAXED);
	info->dropped_no_memory = __atomic_load_n(&from->dropped_no_memory, __ATOMIC_RELAXED);
	info->dropped_full = __atomic_load_n(&from->dropped_full, __ATOMIC_RELAXED);
	info->dropped_old = __atomic_load_n(&from->dropped_old, __ATOMIC_RELAXED);
	info->dropped_expired = __atomic_load_n(&from->dropped_expired, __ATOMIC_RELAXED);
	info->dropped_shed = __atomic_load_n(&from->dropped_shed, __ATOMIC_RELAXED);
	info->failures = __atomic_load_n(&from->failures, __ATOMIC_RELAXED);
	info->failed_messages = __atomic_load_n(&from->failed_messages, __ATOMIC_RELAXED);
	info->refused = __atomic_load_n(&from->refused, __ATOMIC_RELAXED);
	info->restarts = __atomic_load_n(&from->restarts, __ATOMIC_RELAXED);
	info->reloads = __atomic_load_n(&from->reloads, __ATOMIC_RELAXED);
	info->rollbacks = __atomic_load_n(&from->rollbacks, __ATOMIC_RELAXED);
	info->failure = (int)__atomic_load_n(&cpu_of(actor)->ctx.why, __ATOMIC_RELAXED);
}

static const void *memory_of(struct rk_actor *actor)
{
	return state_of(actor) >= RK_ACTOR_STOPPED ? cpu_of(actor)->ctx.state : NULL;
}

static void free_actor(struct rk_actor *actor)
{
	struct cpu_actor *cpu = cpu_of(actor);

	cpu_actor_release(&cpu->ctx);
	free(cpu->control_memory);
	free(cpu->ctx.state);
	actor_copy_free(&actor->spare);
	actor_reload_free(actor->reload);
	if (actor->cut)
		cpu_cut_reset(actor->cut);
	free(actor->cut);
	free(actor->name);
	free(cpu);
}

static const struct actor_ops ops = {
	.tell = tell,
	.give_end = give_end,
	.hurry = hurry,
	.state = state_of,
	.over = is_over,
	.info = get_info,
	.memory = memory_of,
	.obeyed = obeyed,
	.orphan = orphan,
	.restart = restart_order,
	.copy = copy_order,
	.free = free_actor,
	.interrupt = interrupt,
	.calls = calls,
	.lend = lend,
	.cut = cut_order,
	.cut_is_back = cut_is_back,
};

static int open_control(struct cpu_actor *cpu)
{
	size_t bytes = rk_ring_bytes(CPU_CONTROL_SLOTS);
	struct rk_ring ring;

	cpu->control_memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	if (!cpu->control_memory)
		return rk_fail(ENOMEM, "actor '%s': no memory for its control ring",
			       cpu->base.name);
	rk_ring_format(&ring, cpu->control_memory, bytes, CPU_CONTROL_SLOTS, 0, cpu->base.name);
	rk_ring_tx_open(&cpu->control, &ring);
	rk_ring_rx_open(&cpu->ctx.control, &ring, NULL);
	cpu->control.consumer = rk_worker_wake(cpu->base.worker);
	return 0;
}

void *actor_cpu_state(const struct rk_actor_type *type)
{
	size_t state_bytes = (type->state_bytes + RK_CACHE_LINE_BYTES) / RK_CACHE_LINE_BYTES *
			     RK_CACHE_LINE_BYTES;
	void *state = aligned_alloc(RK_CACHE_LINE_BYTES, state_bytes);

	return state ? memset(state, 0, state_bytes) : NULL;
}

static int create_memory(struct cpu_actor *cpu, void **state, const struct rk_actor_type *type,
			 const char *name)
{
	cpu->base.name = strdup(name);
	*state = actor_cpu_state(type);
	if (!cpu->base.name || !*state)
		return rk_fail(ENOMEM, "actor '%s': no memory for %u bytes of state", name,
			       type->state_bytes);
	return 0;
}

int actor_cpu_create(struct rk_actor **actor, struct rk_runtime *runtime,
		     const struct rk_actor_type *type, const struct rk_actor_opts *opts)
{
	int worker = runtime_worker_index(runtime, opts->worker, (int)runtime->next_worker);
	const char *name = opts->name ? opts->name : type->name;
	struct cpu_actor *cpu;
	void *state = NULL;
	int result;

	if (worker < 0)
		return worker;
	cpu = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*cpu));
	if (!cpu)
		return rk_fail(ENOMEM, "actor '%s': no memory", name);
	memset(cpu, 0, sizeof(*cpu));
	*actor = &cpu->base;
	cpu->base = (struct rk_actor){.ops = &ops,
				      .runtime = runtime,
				      .type = type,
				      .worker = runtime->worker[worker],
				      .max_links = RK_MAX_LINKS};
	result = create_memory(cpu, &state, type, name);
	cpu_actor_prepare(&cpu->ctx, type, state, runtime->opts.guard);
	if (result)
		return result;
	if (opts->state) {
		/* As if it had been paused: it has had its RK_MSG_START. */
		memcpy(state, opts->state, type->state_bytes);
		cpu->ctx.phase = CPU_PAUSED;
	}
	cpu->ctx.owner = cpu;
	cpu->ctx.clock = runtime->opts.clock;
	cpu->ctx.pace.slots_per_s = opts->slots_per_s;
	cpu->ctx.confined = opts->tenant;
	cpu->ctx.shed_level = &runtime->shed_level;
	cpu->ctx.stopped = actor_stopped;
	cpu->ctx.answered = on_answered;
	cpu->ctx.failed = on_failed;
	cpu->ctx.done = on_done;
	return open_control(cpu);
}

int actor_cpu_start(struct rk_actor *actor)
{
	struct rk_runtime *runtime = actor->runtime;
	int worker = 0, result;

	while (runtime->worker[worker] != actor->worker)
		worker++;
	result = runtime_add_task(runtime, worker, &cpu_of(actor)->ctx.task);
	if (result)
		return result;
	/* Worker 0 polls the ports that do not say where. */
	runtime->next_worker++;
	if (runtime->next_worker % runtime->workers == 0)
		runtime->next_worker++;
	return 0;
}
