// SPDX-License-Identifier: MIT
/*
 * ringkernel-bench-life - what the life of an actor on a CPU costs: to spawn, restart and stop one;
 * from a failure until a supervisor knows, and until the actor runs again; and what traffic sees of
 * a handler being replaced.
 */
#include "clock.h"
#include "rk_error.h"
#include "rk_hist.h"
#include "rk_reload.h"
#include "rk_supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPAWNS_A_RUNTIME = 500 };
#define WAIT_NS 5000000000ULL

static const char usage[] =
	"usage: ringkernel-bench-life [count=N]\n"
	"\n"
	"Measures the life of actors on a CPU and prints a table and one line a bar:\n"
	"'bar NAME VALUE GOAL met|missed'.\n"
	"\n"
	"  count=N  of each thing measured (default 2000)\n"
	"\n"
	"Exit status: 0, also when a bar is missed; 1 a failure; 2 a usage error.\n";

/* --- The actor: it notes when it starts, and traps or hangs when told to --- */

enum { TRAP = RK_MSG_USER, HANG };

struct marks {
	uint64_t started_ns;
	uint64_t failed_ns;
	uint64_t detected_ns;
	uint64_t outage_ns;
	uint64_t restarts; /* told; written last: whoever sees it sees the rest */
};

struct state {
	struct marks *marks;
	uint64_t never;
};

static void victim(struct rk_ctx *ctx, void *memory, const struct rk_msg *msg)
{
	struct state *state = memory;
	const volatile uint64_t *never = &state->never;
	uint64_t marks;

	(void)ctx;
	if (msg->type == RK_MSG_START) {
		memcpy(&marks, rk_msg_payload(msg), sizeof(marks));
		state->marks = (struct marks *)(uintptr_t)marks;
		state->marks->started_ns = now_ns();
	}
	if (msg->type == TRAP || msg->type == HANG)
		state->marks->failed_ns = now_ns();
	if (msg->type == TRAP)
		__builtin_trap();
	while (msg->type == HANG && !*never)
		;
}

/* The one that is replaced, by itself: how long after its last message it has the next. */
struct replaced {
	struct marks *marks;
	uint64_t last_ns;
	bool fresh;
};

static void replaced(struct rk_ctx *ctx, void *memory, const struct rk_msg *msg)
{
	struct replaced *state = memory;
	const uint64_t now = now_ns();
	uint64_t marks;

	(void)ctx;
	if (msg->type == RK_MSG_START) {
		memcpy(&marks, rk_msg_payload(msg), sizeof(marks));
		state->marks = (struct marks *)(uintptr_t)marks;
	}
	if (state->fresh)
		__atomic_store_n(&state->marks->outage_ns, now - state->last_ns, __ATOMIC_RELAXED);
	state->fresh = false;
	state->last_ns = now;
}

static void convert(void *to, const void *from)
{
	struct replaced *state = to;

	memcpy(state, from, sizeof(*state));
	state->fresh = true;
}

static const char *const args[] = {"marks", NULL};
static const struct rk_actor_type replaced_type = {.name = "replaced",
						   .summary = "notes when it is called",
						   .handle = replaced,
						   .state_bytes = sizeof(struct replaced),
						   .args = args};
static const struct rk_actor_type type = {.name = "victim",
					  .summary = "fails when told to",
					  .handle = victim,
					  .state_bytes = sizeof(struct state),
					  .args = args};

/* --- Rows --- */

struct row {
	const char *name;
	const char *bar; /* NULL: none */
	double goal_us;
	struct rk_hist *hist;
};

enum {
	SPAWN,
	RESTART,
	STOP,
	DETECTED,
	RESTARTED,
	STUCK_DETECTED,
	STUCK_RESTARTED,
	RELOADED,
	TRIED,
	ROWS,
};

static struct row rows[ROWS] = {
	[SPAWN] = {"rk_actor_spawn() until its handler has RK_MSG_START", "spawn_us", 5, NULL},
	[RESTART] = {"rk_actor_restart(), fresh", "restart_us", 5, NULL},
	[STOP] = {"rk_actor_stop(), drained", "stop_us", 5, NULL},
	[DETECTED] = {"a trap until its supervisor knows", "failure_detected_us", 2000, NULL},
	[RESTARTED] = {"a trap until its handler has RK_MSG_START again", "failure_restarted_us",
		       3000, NULL},
	[STUCK_DETECTED] = {"a stuck call (limit 1 ms) until its supervisor knows it has ended",
			    NULL, 0, NULL},
	[STUCK_RESTARTED] = {"until its handler has RK_MSG_START again", NULL, 0, NULL},
	[RELOADED] = {"rk_actor_reload() under load: between two messages", "reload_outage_us", 100,
		      NULL},
	[TRIED] = {"the same, with a trial of 100 messages", NULL, 0, NULL},
};

static int spawn(struct rk_actor **actor, struct rk_runtime *runtime,
		 const struct rk_actor_type *of, const struct marks *marks)
{
	const uint64_t value = (uintptr_t)marks;
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = 0, .args = &value, .arg_count = 1};

	return rk_actor_spawn(actor, runtime, of, &opts);
}

static int open_runtime(struct rk_runtime **runtime)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1, .guard = true};

	return rk_runtime_open(runtime, &opts);
}

static uint64_t seen(const uint64_t *mark)
{
	return __atomic_load_n(mark, __ATOMIC_RELAXED);
}

static int await(const uint64_t *mark, uint64_t at_least)
{
	uint64_t end_ns = now_ns() + WAIT_NS;
	struct rk_spin spin = {0};

	while (seen(mark) < at_least) {
		if (now_ns() > end_ns)
			return rk_fail(ETIMEDOUT, "the actor does not answer");
		rk_spin_miss(&spin);
	}
	return 0;
}

static int live_once(struct rk_runtime *runtime)
{
	struct marks marks = {0};
	uint64_t begun_ns = now_ns();
	struct rk_actor *actor;
	int result = spawn(&actor, runtime, &type, &marks);

	if (!result)
		result = await(&marks.started_ns, 1);
	if (result)
		return result;
	rk_hist_record(rows[SPAWN].hist, seen(&marks.started_ns) - begun_ns);
	begun_ns = now_ns();
	result = rk_actor_restart(actor, NULL, WAIT_NS);
	rk_hist_record(rows[RESTART].hist, now_ns() - begun_ns);
	begun_ns = now_ns();
	if (!result)
		result = rk_actor_stop(actor, RK_STOP_DRAIN, WAIT_NS);
	rk_hist_record(rows[STOP].hist, now_ns() - begun_ns);
	return result;
}

/* What an actor leaves is freed with its runtime: so many a runtime. */
static int measure_lives(uint64_t count)
{
	int result = 0;

	while (count && !result) {
		uint64_t some = count < SPAWNS_A_RUNTIME ? count : SPAWNS_A_RUNTIME;
		struct rk_runtime *runtime;

		result = open_runtime(&runtime);
		if (result)
			return result;
		for (uint64_t i = 0; i < some && !result; i++)
			result = live_once(runtime);
		count -= some;
		rk_runtime_close(runtime);
	}
	return result;
}

static void on_event(void *user, const struct rk_supervisor_event *event)
{
	struct marks *marks = user;

	if (event->news == RK_NEWS_FAILED)
		marks->detected_ns = event->time_ns;
	/* R1: pairs with A1 in fail_once(): the other marks are there. */
	if (event->news == RK_NEWS_RESTARTED)
		__atomic_store_n(&marks->restarts, marks->restarts + 1, __ATOMIC_RELEASE);
}

static int fail_once(struct rk_ring_tx *tx, struct marks *marks, uint16_t how, uint64_t number)
{
	const struct rk_msg msg = {.type = how, .slots = 1};
	bool stuck = how == HANG;
	int result;

	while (!rk_ring_send(tx, &msg))
		rk_ring_wait_send(tx, 1, WAIT_NS);
	result = await(&marks->restarts, number);
	if (result)
		return result;
	/* A1: pairs with R1 in on_event(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	rk_hist_record(rows[stuck ? STUCK_DETECTED : DETECTED].hist,
		       marks->detected_ns - marks->failed_ns);
	rk_hist_record(rows[stuck ? STUCK_RESTARTED : RESTARTED].hist,
		       marks->started_ns - marks->failed_ns);
	return 0;
}

static int measure_failures(uint64_t count, uint16_t how)
{
	struct marks marks = {0};
	const struct rk_supervisor_opts opts = {.size = sizeof(opts),
						.max_restarts = RK_MAX_RESTARTS,
						.stuck_ns = how == HANG ? 1000000 : UINT64_MAX,
						.event = on_event,
						.user = &marks};
	struct rk_supervisor *supervisor;
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	int result = open_runtime(&runtime);

	if (result)
		return result;
	result = spawn(&actor, runtime, &type, &marks);
	if (!result)
		result = rk_link_host_in(&tx, actor, NULL);
	if (!result)
		result = rk_supervisor_open(&supervisor, runtime, &opts);
	if (!result)
		result = rk_supervisor_add(supervisor, actor, NULL);
	for (uint64_t i = 0; i < count && !result; i++)
		result = fail_once(tx, &marks, how, i + 1);
	rk_runtime_close(runtime);
	return result;
}

struct feed {
	struct rk_ring_tx *tx;
	uint32_t enough;
};

static void *feed(void *argument)
{
	struct feed *feed = argument;
	const struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1};

	while (!__atomic_load_n(&feed->enough, __ATOMIC_RELAXED))
		if (!rk_ring_send(feed->tx, &msg))
			rk_ring_wait_send(feed->tx, 1, WAIT_NS);
	return NULL;
}

static int reload_once(struct rk_actor *actor, struct marks *marks, struct row *row)
{
	const struct rk_reload_opts opts = {.size = sizeof(opts),
					    .trial_messages = row == &rows[TRIED] ? 100 : 0};
	int result;

	__atomic_store_n(&marks->outage_ns, 0, __ATOMIC_RELAXED);
	result = rk_actor_reload(actor, &replaced_type, convert, &opts, WAIT_NS);
	if (!result)
		result = await(&marks->outage_ns, 1);
	if (!result)
		rk_hist_record(row->hist, seen(&marks->outage_ns));
	return result;
}

static int measure_reloads(uint64_t count, struct row *row)
{
	/* Long enough that the actor never waits for a feeder that has lost its CPU for a moment.
	 */
	const struct rk_link_opts link = {
		.size = sizeof(link), .slots = 65536, .worker = RK_ANY_WORKER};
	struct marks marks = {0};
	struct feed feeding = {.tx = NULL};
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	pthread_t thread;
	int result = open_runtime(&runtime);

	if (result)
		return result;
	result = spawn(&actor, runtime, &replaced_type, &marks);
	if (!result)
		result = rk_link_host_in(&feeding.tx, actor, &link);
	if (!result && pthread_create(&thread, NULL, feed, &feeding))
		result = rk_fail(EAGAIN, "no thread");
	else if (!result) {
		for (uint64_t i = 0; i < count && !result; i++)
			result = reload_once(actor, &marks, row);
		__atomic_store_n(&feeding.enough, 1, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
	}
	rk_runtime_close(runtime);
	return result;
}

/* --- Report --- */

static void print_bar(const struct row *row, const char *which, double percentile)
{
	double value = (double)rk_hist_percentile(row->hist, percentile) / 1e3;

	printf("bar %s_%s %.2f <=%.2f %s\n", row->bar, which, value, row->goal_us,
	       value <= row->goal_us ? "met" : "missed");
}

static void report(void)
{
	printf("%-64s %8s %8s %8s %8s  us\n", "", "p50", "p99", "p99.9", "max");
	for (int i = 0; i < ROWS; i++)
		printf("%-64s %8.2f %8.2f %8.2f %8.2f\n", rows[i].name,
		       (double)rk_hist_percentile(rows[i].hist, 50) / 1e3,
		       (double)rk_hist_percentile(rows[i].hist, 99) / 1e3,
		       (double)rk_hist_percentile(rows[i].hist, 99.9) / 1e3,
		       (double)rk_hist_max(rows[i].hist) / 1e3);
	printf("\n");
	for (int i = 0; i < ROWS; i++)
		if (rows[i].bar) {
			print_bar(&rows[i], "p50", 50);
			print_bar(&rows[i], "p99", 99);
		}
}

static int measure(uint64_t count)
{
	int result = 0;

	for (int i = 0; i < ROWS && !result; i++)
		result = rk_hist_open(&rows[i].hist, 0);
	if (!result)
		result = measure_lives(count);
	if (!result)
		result = measure_failures(count, TRAP);
	if (!result)
		result = measure_failures(count / 10 + 1, HANG);
	if (!result)
		result = measure_reloads(count, &rows[RELOADED]);
	if (!result)
		result = measure_reloads(count / 10 + 1, &rows[TRIED]);
	if (!result)
		report();
	for (int i = 0; i < ROWS; i++)
		rk_hist_close(rows[i].hist);
	return result;
}

int main(int count, char **words)
{
	uint64_t of_each = 2000;

	for (int i = 1; i < count; i++) {
		char *end = NULL;

		if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h"))
			return fputs(usage, stdout) < 0;
		errno = 0;
		if (!strncmp(words[i], "count=", 6))
			of_each = strtoull(words[i] + 6, &end, 10);
		if (!end || *end || errno || !of_each || of_each > 10000000) {
			fprintf(stderr, "ringkernel-bench-life: '%s': give count=1 to 10000000\n%s",
				words[i], usage);
			return 2;
		}
	}
	if (measure(of_each)) {
		fprintf(stderr, "ringkernel-bench-life: %s\n", rk_errmsg());
		return 1;
	}
	return 0;
}
