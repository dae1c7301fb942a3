// SPDX-License-Identifier: MIT
/*
 * The life of an actor on a GPU while it works: paused, begun anew, its state copied, a snapshot
 * taken and written to a file, another seat, another handler, another GPU. A thread sends and checks
 * one message at a time all along, and notes the longest time between two answers while each thing
 * is done: what traffic sees of it.
 */
#include "gpu.h"
#include "clock.h"
#include "rk_checkpoint.h"
#include "rk_reload.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_BYTES = 64 << 10, LARGE_BYTES = 1 << 20, TIMES = 500, WARM_TIMES = 10 };

#define LIFE_NS 2000000000ULL

struct traffic {
	struct gpu_bench *bench;
	struct gpu_stage stage;
	uint32_t asked; /* which watch is on; of who measures, as @enough */
	uint32_t enough;
	uint32_t watched;    /* the last watch that has begun; of the thread, as all that follows */
	uint64_t longest_ns; /* in the watch before; written first */
	uint64_t trips;
	int result;
	char why[256];
};

/* --- The thread --- */

static int make_trip(struct traffic *traffic, struct rk_msg *msg)
{
	struct rk_msg answer;
	uint64_t word;
	int result;

	msg->tag = (uint32_t)traffic->trips;
	result = gpu_send(traffic->stage.to, msg);
	if (!result)
		result = gpu_recv(traffic->stage.from, &answer);
	if (result)
		return result;
	memcpy(&word, answer.body, sizeof(word));
	if (answer.tag != msg->tag || word != gpu_computed(msg->tag, msg->tag))
		return rk_fail(EIO, "message %" PRIu64 " came back wrong", traffic->trips);
	traffic->trips++;
	return 0;
}

static void *run_traffic(void *argument)
{
	struct traffic *traffic = argument;
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1};
	uint64_t last, longest = 0;

	gpu_pin(traffic->bench);
	last = bench_ticks();
	while (!traffic->result && !__atomic_load_n(&traffic->enough, __ATOMIC_RELAXED)) {
		uint32_t asked = __atomic_load_n(&traffic->asked, __ATOMIC_RELAXED);
		uint64_t word = (uint32_t)traffic->trips, now;

		memcpy(msg.body, &word, sizeof(word));
		traffic->result = make_trip(traffic, &msg);
		now = bench_ticks();
		longest = now - last > longest ? now - last : longest;
		last = now;
		if (asked == traffic->watched)
			continue;
		traffic->longest_ns = gpu_ns(traffic->bench, longest);
		longest = 0;
		/* R1: pairs with A1 in watch(): what the watch before has seen. */
		__atomic_store_n(&traffic->watched, asked, __ATOMIC_RELEASE);
	}
	if (traffic->result)
		snprintf(traffic->why, sizeof(traffic->why), "%s", rk_errmsg());
	return NULL;
}

/* Begin the next watch; what the one before has seen. */
static int watch(struct traffic *traffic, uint64_t *longest_ns)
{
	uint32_t asked = traffic->asked + 1;
	uint64_t end_ns = now_ns() + LIFE_NS;

	__atomic_store_n(&traffic->asked, asked, __ATOMIC_RELAXED);
	/* A1: pairs with R1 in run_traffic(). */
	while (__atomic_load_n(&traffic->watched, __ATOMIC_ACQUIRE) != asked)
		if (now_ns() > end_ns)
			return rk_fail(ETIMEDOUT, "traffic has come to a stand");
	*longest_ns = traffic->longest_ns;
	return 0;
}

/* --- What is done to it --- */

static int peer_of(const struct gpu_bench *bench)
{
	return bench->options.gpu ? 0 : 1;
}

static int pause_and_start(struct traffic *traffic)
{
	int result = rk_actor_pause(traffic->stage.actor, LIFE_NS);

	return result ? result : rk_actor_start(traffic->stage.actor, LIFE_NS);
}

static char copied[STATE_BYTES];

static int copy(struct traffic *traffic)
{
	return rk_actor_copy(traffic->stage.actor, copied, LIFE_NS);
}

static int take(struct traffic *traffic)
{
	struct rk_snapshot *snapshot;
	int result = rk_snapshot_take(&snapshot, &traffic->stage.actor, 1, LIFE_NS);

	if (!result)
		rk_snapshot_free(snapshot);
	return result;
}

static struct rk_snapshot_store *store;

/* A file of its own that is durable when this returns. */
static int keep(struct traffic *traffic)
{
	struct rk_snapshot *snapshot;
	int result = rk_snapshot_take(&snapshot, &traffic->stage.actor, 1, LIFE_NS);

	if (result)
		return result;
	result = rk_snapshot_store_put(store, snapshot);
	rk_snapshot_free(snapshot);
	return result;
}

/* In a folder of its own where this runs, for what is durable depends on the disk. */
static int open_store(char *folder)
{
	const struct rk_snapshot_store_opts opts = {.size = sizeof(opts), .keep = 1};

	if (!mkdtemp(folder))
		return rk_fail(errno, "folder '%s': %s", folder, strerror(errno));
	return rk_snapshot_store_open(&store, folder, &opts);
}

static void close_store(const char *folder)
{
	if (store)
		unlink(rk_snapshot_store_path(store));
	rk_snapshot_store_close(store);
	store = NULL;
	rmdir(folder);
}

static int restart(struct traffic *traffic)
{
	return rk_actor_restart(traffic->stage.actor, NULL, LIFE_NS);
}

static int reseat(struct traffic *traffic)
{
	return rk_actor_reseat(traffic->stage.actor, RK_WHERE_ANY, NULL, LIFE_NS);
}

static struct rk_actor_type types[3];

static int reload(struct traffic *traffic)
{
	static unsigned int which;

	return rk_actor_reload(traffic->stage.actor, &types[++which % 2], NULL, NULL, LIFE_NS);
}

/* There and back, in turns. */
static int migrate(struct traffic *traffic)
{
	static unsigned int which;
	struct rk_actor_opts to = {.size = sizeof(to), .backend = RK_BACKEND_CUDA};

	which ^= 1;
	to.gpu = which ? peer_of(traffic->bench) : traffic->bench->options.gpu;
	return rk_actor_migrate(traffic->stage.actor, &to, LIFE_NS);
}

struct thing {
	const char *name;
	int (*run)(struct traffic *traffic);
	const char
		*call_bar; /* of the median of the calls, and of the longest time seen by traffic */
	const char *seen_bar;
};

static const struct thing things[] = {
	{"paused, and started again", pause_and_start, NULL, NULL},
	{"begun anew, 64 KiB of zeros", restart, "life_restart_us", NULL},
	{"64 KiB of state copied to the host", copy, NULL, "life_copy_stall_us"},
	{"a snapshot of it", take, NULL, NULL},
	{"a snapshot of it, into a durable file", keep, NULL, NULL},
	{"another seat", reseat, NULL, NULL},
	{"another handler, its code loaded before", reload, NULL, "life_reload_outage_us"},
};
enum { THINGS = sizeof(things) / sizeof(*things) };

static const struct thing migration = {"another GPU, with 1 MiB of state", migrate, NULL,
				       "life_migration_outage_us"};

static int measure(struct traffic *traffic, const struct thing *thing, struct rk_hist *call,
		   struct rk_hist *seen)
{
	uint64_t longest_ns;
	int result = 0;

	for (uint32_t i = 0; i < TIMES + WARM_TIMES && !result; i++) {
		uint64_t begin_ns;

		result = watch(traffic, &longest_ns);
		begin_ns = now_ns();
		if (!result)
			result = thing->run(traffic);
		if (i >= WARM_TIMES)
			rk_hist_record(call, now_ns() - begin_ns);
		if (!result)
			result = watch(traffic, &longest_ns);
		if (i >= WARM_TIMES)
			rk_hist_record(seen, longest_ns);
	}
	return result;
}

static double us(const struct rk_hist *hist)
{
	return (double)rk_hist_percentile(hist, 50) / 1e3;
}

static int report(struct traffic *traffic, const struct thing *thing)
{
	struct gpu_report *report = traffic->bench->report;
	struct rk_hist *call = NULL, *seen = NULL;
	char name[80];
	int result = rk_hist_open(&call, 0);

	if (!result)
		result = rk_hist_open(&seen, 0);
	if (!result)
		result = measure(traffic, thing, call, seen);
	if (!result) {
		snprintf(name, sizeof(name), "%s: the call", thing->name);
		gpu_report_latency(report, name, call, NULL);
		gpu_report_latency(report, "  longest time between two answers", seen, NULL);
		if (thing->call_bar)
			gpu_report_bar(report, thing->call_bar, us(call));
		if (thing->seen_bar)
			gpu_report_bar(report, thing->seen_bar, us(seen));
	}
	rk_hist_close(call);
	rk_hist_close(seen);
	return result;
}

/* What @count @some things do to an actor as @opts say, one after the other. */
static int run(struct gpu_bench *bench, const struct gpu_stage_opts *opts, const struct thing *some,
	       int count)
{
	struct traffic traffic = {.bench = bench};
	pthread_t thread;
	int result = gpu_stage_open(&traffic.stage, bench, opts);

	if (result)
		return result;
	result = -pthread_create(&thread, NULL, run_traffic, &traffic);
	if (result)
		return gpu_runtime_close(traffic.stage.runtime,
					 rk_fail(-result, "a thread: %s", strerror(-result)));
	for (int i = 0; i < count && !result; i++)
		if (store || some[i].run != keep)
			result = report(&traffic, &some[i]);
	__atomic_store_n(&traffic.enough, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (traffic.result)
		result = rk_fail(-traffic.result, "%s", traffic.why);
	gpu_report_note(bench->report, "  %" PRIu64 " messages meanwhile, each answer checked",
			traffic.trips);
	return gpu_runtime_close(traffic.stage.runtime, result);
}

static int run_migration(struct gpu_bench *bench)
{
	/* Both GPUs reach the host's memory, and neither its ring better than the other. */
	const struct gpu_stage_opts opts = {.type = &types[2],
					    .group = RK_GROUP_WARP,
					    .slots = GPU_TRIP_SLOTS,
					    .place = RK_PLACE_HOST,
					    .answers = true};
	int gpu = bench->options.gpu, peer = peer_of(bench), can[2] = {0, 0};

	if (bench->cuda->devices > 1) {
		bench->cuda->device_can_access_peer(&can[0], gpu, peer);
		bench->cuda->device_can_access_peer(&can[1], peer, gpu);
	}
	if (can[0] && can[1])
		return run(bench, &opts, &migration, 1);
	gpu_report_skipped(bench->report, migration.name,
			   bench->cuda->devices < 2 ? "this process sees one GPU"
						    : "the two do not reach each other's memory");
	gpu_report_skip_bar(bench->report, migration.seen_bar);
	return 0;
}

int gpu_row_life(struct gpu_bench *bench)
{
	const struct gpu_stage_opts opts = {.type = &types[0],
					    .group = RK_GROUP_WARP,
					    .slots = GPU_TRIP_SLOTS,
					    .answers = true};
	char folder[] = "./rk-snapshots-XXXXXX";
	int result;

	types[0] = types[1] = types[2] = gpu_compute;
	types[0].state_bytes = types[1].state_bytes = STATE_BYTES;
	types[2].state_bytes = LARGE_BYTES;
	gpu_report_heading(bench->report, "The life of a working actor, ns");
	result = open_store(folder);
	if (result == -EOPNOTSUPP) {
		gpu_report_note(bench->report, "  no snapshots in files: %s", rk_errmsg());
		result = 0;
	}
	if (!result)
		result = run(bench, &opts, things, THINGS);
	close_store(folder);
	return result ? result : run_migration(bench);
}
