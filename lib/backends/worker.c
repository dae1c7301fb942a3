// SPDX-License-Identifier: MIT
#include "backends/worker.h"
#include "backends/cpu_guard.h"
#include "clock.h"
#include "gpudirect/rk_doorbell.h"
#include "ring/rk_ring.h"
#include "rk_error.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	CONTROL_SLOTS = 64,
	MAX_FDS = 64,
	YIELDS_BEFORE_SLEEP = 64,
};

/* Wake this much before a task is due, and look for it the rest of the time. */
#define DUE_EARLY_NS 60000

enum control_type { CONTROL_ADD = RK_MSG_USER, CONTROL_EXIT };

struct rk_worker {
	struct rk_wake_spot spot __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	struct rk_doorbells *bells; /* NULL: woken by the eventfd */
	struct rk_ringer ringer;
	uint32_t spin_looks;
	struct rk_task *tasks;
	bool exiting;
	struct rk_ring_rx control_rx;
	struct rk_worker_stats stats; /* written by the thread, read by anyone: relaxed */

	struct rk_ring_tx control_tx __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	void *control_memory;
	pthread_t thread;
	clockid_t cpu_clock;
	bool started;
	char name[16];
};

static void bump(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

struct rk_wake rk_worker_wake(const struct rk_worker *worker)
{
	return (struct rk_wake){.word = (uint32_t *)&worker->spot.word, .eventfd = RK_WAKE_SPOT};
}

static int take_control(struct rk_worker *worker)
{
	struct rk_task *task;
	struct rk_msg msg;
	int taken = 0;

	while (rk_ring_recv(&worker->control_rx, &msg, 1) > 0) {
		taken = 1;
		if (msg.type == CONTROL_EXIT) {
			worker->exiting = true;
			continue;
		}
		memcpy(&task, msg.body, sizeof(task));
		task->next = worker->tasks;
		worker->tasks = task;
	}
	return taken;
}

/* Poll every task once; those that have finished leave the list. */
static int poll_tasks(struct rk_worker *worker)
{
	struct rk_task **link = &worker->tasks, *task;
	int worked = 0;

	while ((task = *link)) {
		int result = task->poll(task);

		if (result)
			worked = 1;
		if (result < 0) {
			*link = task->next;
			task->finished(task);
		} else {
			link = &task->next;
		}
	}
	return worked;
}

/* Earliest time at which a task wants to be polled again, and the descriptors to watch. */
static uint64_t gather(struct rk_worker *worker, struct pollfd *fds, nfds_t *count)
{
	uint64_t due_ns = UINT64_MAX;

	fds[0] = (struct pollfd){.fd = worker->spot.eventfd, .events = POLLIN};
	*count = 1;
	for (struct rk_task *task = worker->tasks; task; task = task->next) {
		uint64_t task_due_ns = task->due_ns(task);

		if (task_due_ns < due_ns)
			due_ns = task_due_ns;
		if (task->fd >= 0 && *count < MAX_FDS)
			fds[(*count)++] = (struct pollfd){.fd = task->fd, .events = POLLIN};
	}
	return due_ns;
}

/* Make the bell wake, through @wanted; false when it has rung already: then look again. */
static bool arm(struct rk_worker *worker, struct pollfd *wanted, uint64_t *most_ns)
{
	int armed;

	if (!worker->bells)
		return true;
	armed = rk_doorbell_arm(worker->bells, 0, &wanted->fd);
	if (armed < 0 && *most_ns > RK_WAKE_NAP_NS)
		*most_ns = RK_WAKE_NAP_NS; /* not ours any more (a child of fork): nap */
	if (armed <= 0)
		return true;
	rk_doorbell_wait(worker->bells, 0, 0, NULL);
	return false;
}

/* What woke us is taken, so that the next sleep is not cut short by it. */
static void drain(struct rk_worker *worker, const struct pollfd *woken)
{
	uint64_t drained;

	if (!(woken->revents & POLLIN) || read(woken->fd, &drained, sizeof(drained)) < 0)
		return;
	if (worker->bells)
		rk_doorbell_wait(worker->bells, 0, 0, NULL);
}

/* Sleep until woken or due; returns at once when something is due. */
static void nap(struct rk_worker *worker, const struct rk_wake *self, uint64_t most_ns)
{
	struct pollfd fds[MAX_FDS];
	struct timespec time;
	uint64_t now = now_ns(), due_ns;
	nfds_t count;

	due_ns = gather(worker, fds, &count);
	if (due_ns > now + DUE_EARLY_NS && arm(worker, &fds[0], &most_ns)) {
		if (due_ns - now - DUE_EARLY_NS < most_ns)
			most_ns = due_ns - now - DUE_EARLY_NS;
		time = (struct timespec){.tv_sec = (time_t)(most_ns / 1000000000),
					 .tv_nsec = (long)(most_ns % 1000000000)};
		bump(&worker->stats.sleeps);
		ppoll(fds, count, &time, NULL);
		drain(worker, &fds[0]);
	}
	rk_wake_cancel(self);
}

/* One look at everything; true if there was work, or nothing will ever be. */
static bool look(struct rk_worker *worker)
{
	int worked;

	bump(&worker->stats.polls);
	worked = take_control(worker);
	worked |= poll_tasks(worker);
	if (worked)
		bump(&worker->stats.worked);
	return worked || (worker->exiting && !worker->tasks);
}

/* Look until there was work: hot at first, then yielding, then asleep. */
static void look_until_work(struct rk_worker *worker)
{
	const struct rk_wake self = rk_worker_wake(worker);
	uint64_t most_ns = rk_wake_guard(false) ? RK_WORKER_NAP_NS : RK_WAKE_NAP_NS;
	struct rk_spin spin = {0};
	uint32_t looks = 0;

	while (!look(worker)) {
		if (looks < worker->spin_looks) {
			rk_spin_miss(&spin);
			looks++;
		} else if (looks < worker->spin_looks + YIELDS_BEFORE_SLEEP) {
			sched_yield();
			looks++;
		} else {
			rk_wake_announce(&self);
			if (look(worker)) {
				rk_wake_cancel(&self);
				return;
			}
			nap(worker, &self, most_ns);
		}
	}
}

static void *run(void *argument)
{
	struct rk_worker *worker = argument;

	pthread_setname_np(pthread_self(), worker->name);
	prctl(PR_SET_TIMERSLACK, 1UL);
	cpu_guard_enter();
	while (!worker->exiting || worker->tasks)
		look_until_work(worker);
	cpu_guard_leave();
	return NULL;
}

static int start_thread(struct rk_worker *worker, int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int error;

	pthread_attr_init(&attributes);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((size_t)cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	error = pthread_create(&worker->thread, &attributes, run, worker);
	pthread_attr_destroy(&attributes);
	if (error)
		return rk_fail(error, "worker '%s': thread on CPU %d: %s", worker->name, cpu,
			       strerror(error));
	worker->started = true;
	if (pthread_getcpuclockid(worker->thread, &worker->cpu_clock))
		worker->cpu_clock = -1;
	return 0;
}

static int open_control(struct rk_worker *worker)
{
	size_t bytes = rk_ring_bytes(CONTROL_SLOTS);
	struct rk_ring ring;

	worker->control_memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	if (!worker->control_memory)
		return rk_fail(ENOMEM, "worker '%s': no memory for its control ring", worker->name);
	rk_ring_format(&ring, worker->control_memory, bytes, CONTROL_SLOTS, 0, worker->name);
	rk_ring_tx_open(&worker->control_tx, &ring);
	rk_ring_rx_open(&worker->control_rx, &ring, NULL);
	worker->control_tx.consumer = rk_worker_wake(worker);
	return 0;
}

/* No error: without the module, or without the right to it, the eventfd wakes. */
static void open_bell(struct rk_worker *worker)
{
	if (rk_doorbells_open(&worker->bells, 1)) {
		worker->bells = NULL;
		return;
	}
	rk_ringer_init(&worker->ringer, worker->bells, 0, 0);
	worker->spot.bell = worker->ringer.word;
}

int rk_worker_open(struct rk_worker **out, const char *name, int cpu, uint32_t spin_looks,
		   bool doorbells)
{
	struct rk_worker *worker = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*worker));
	int result;

	if (!worker)
		return rk_fail(ENOMEM, "worker '%s': no memory", name);
	memset(worker, 0, sizeof(*worker));
	snprintf(worker->name, sizeof(worker->name), "%s", name);
	worker->spin_looks = spin_looks;
	if (doorbells)
		open_bell(worker);
	worker->spot.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->spot.eventfd < 0)
		result = rk_fail(errno, "worker '%s': eventfd: %m", name);
	else
		result = open_control(worker);
	rk_wake_guard(false);
	if (!result)
		result = start_thread(worker, cpu);
	if (result) {
		rk_worker_close(worker);
		return result;
	}
	*out = worker;
	return 0;
}

int rk_worker_add(struct rk_worker *worker, struct rk_task *task)
{
	struct rk_msg msg = {.type = CONTROL_ADD, .slots = 1};

	memcpy(msg.body, &task, sizeof(task));
	return rk_ring_send(&worker->control_tx, &msg) ? 0 : -EAGAIN;
}

void rk_worker_stats(const struct rk_worker *worker, struct rk_worker_stats *stats)
{
	stats->polls = __atomic_load_n(&worker->stats.polls, __ATOMIC_RELAXED);
	stats->worked = __atomic_load_n(&worker->stats.worked, __ATOMIC_RELAXED);
	stats->sleeps = __atomic_load_n(&worker->stats.sleeps, __ATOMIC_RELAXED);
}

uint64_t rk_worker_cpu_ns(const struct rk_worker *worker)
{
	return worker->cpu_clock == -1 ? 0 : clock_ns(worker->cpu_clock);
}

void rk_worker_interrupt(struct rk_worker *worker)
{
	if (worker->started)
		pthread_kill(worker->thread, CPU_GUARD_SIGNAL);
}

void rk_worker_close(struct rk_worker *worker)
{
	struct rk_msg msg = {.type = CONTROL_EXIT, .slots = 1};

	if (worker->started) {
		while (!rk_ring_send(&worker->control_tx, &msg))
			rk_ring_wait_send(&worker->control_tx, 1, RK_WORKER_NAP_NS);
		pthread_join(worker->thread, NULL);
	}
	if (worker->spot.eventfd >= 0)
		close(worker->spot.eventfd);
	rk_doorbells_close(worker->bells);
	free(worker->control_memory);
	free(worker);
}
