/* SPDX-License-Identifier: MIT */
/*
 * gpu.h - what the parts of ringkernel-bench-gpu share: a row's measure, its stage, its report.
 *
 * A row opens a runtime of its own, measures on a pinned thread, lets the actors stop, and holds
 * the GPU's own counts against what the host sent: a figure without that proof is a failure.
 */
#ifndef BENCH_GPU_H
#define BENCH_GPU_H

#include "actors.h"
#include "bench/bench.h"
#include "bench/gpu/module.h"
#include "gpudirect/cuda.h"
#include "gpudirect/rk_region.h"
#include "rk_error.h"
#include "rk_hist.h"
#include "rk_runtime.h"

#include <sched.h>

enum {
	GPU_TRIP_SLOTS = 64, /* of a ring for one message in flight: it fits one page */
	GPU_BLOCK = 1024,    /* different messages, sent over and over */
	GPU_REPEATS_MOST = 64,
	GPU_BARS_MOST = 32,
	GPU_LOOKS = 256, /* between two thoughts of giving up */
};

#define GPU_WAIT_NS 5000000000ULL /* for an answer, before the row fails */

struct gpu_options {
	int gpu;
	int cpu; /* to measure on; -1: chosen */
	uint64_t trips;
	uint64_t messages; /* of a burst */
	uint32_t repeats;
	uint64_t seconds; /* of open loop */
	uint64_t rate;	  /* of open loop, messages a second */
	uint64_t spawns;
	uint64_t clock_seconds;
	bool json;
};

/* --- Report (report.c): printed as it comes, bars at the end --- */

enum gpu_bar_state { GPU_BAR_OPEN, GPU_BAR_JUDGED, GPU_BAR_SKIPPED };

/* A figure and what it should be; what was not measured is missed. */
struct gpu_bar {
	const char *name;
	char relation; /* 'g' at least, 'l' at most */
	double goal;
	double value;
	enum gpu_bar_state state;
};

/* What the GPU itself counted. */
struct gpu_proof {
	uint64_t received;
	uint64_t sent;
	uint64_t counted; /* by the handler, in its state */
};

struct gpu_report;

int gpu_report_open(struct gpu_report **report, bool json);
void gpu_report_close(struct gpu_report *report);

/* A heading over rows of latency, one over other lines, and a remark. */
void gpu_report_heading(struct gpu_report *report, const char *text);
void gpu_report_title(struct gpu_report *report, const char *text);
void gpu_report_note(struct gpu_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What a runtime had to do without, said again only when it differs. */
void gpu_report_once(struct gpu_report *report, const char *text);

/* A row of latencies; @proof may be NULL where no actor takes part. */
void gpu_report_latency(struct gpu_report *report, const char *name, const struct rk_hist *hist,
			const struct gpu_proof *proof);

/* A row of rates, million messages a second: the median of @count samples, which get sorted. */
double gpu_report_rate(struct gpu_report *report, const char *name, double *samples, uint32_t count,
		       const struct gpu_proof *proof);

/* A row that failed, with rk_errmsg(), or was left out. */
void gpu_report_failed(struct gpu_report *report, const char *name);
void gpu_report_skipped(struct gpu_report *report, const char *name, const char *why);

void gpu_report_want(struct gpu_report *report, const char *bar, char relation, double goal);
void gpu_report_bar(struct gpu_report *report, const char *bar, double value);
void gpu_report_skip_bar(struct gpu_report *report, const char *bar);

/* All bars, one line each; or everything as JSON. 0; -EOPNOTSUPP without jansson, said. */
int gpu_report_end(struct gpu_report *report);
uint32_t gpu_report_failures(const struct gpu_report *report);

/* --- The bench --- */

struct gpu_bench {
	struct gpu_options options;
	struct gpu_report *report;
	const struct rk_cuda *cuda;
	struct rk_region *region; /* memory of the GPU, or what stands for it */
	bool mapped;		  /* it is the GPU's, and the CPU writes it through the bus */
	double ns_per_tick;
	uint64_t clock_cost_ns; /* of two readings of the clock with nothing between */
	int cpu;
	int other_cpu;	     /* for a second thread, and for the runtime's */
	cpu_set_t elsewhere; /* all but @cpu and its siblings, where there are more */
	double floor_p50_ns, trip_p50_ns;
};

/*
 * The rows, in their order (rows.c and others). Each returns 0 or -errno, said in rk_errmsg(), and
 * has then left nothing behind.
 */
int gpu_row_floor(struct gpu_bench *bench);	/* a read of GPU memory by the CPU */
int gpu_row_trip(struct gpu_bench *bench);	/* round trip through an actor */
int gpu_row_baselines(struct gpu_bench *bench); /* launch, graph, queue in host memory */
int gpu_row_in(struct gpu_bench *bench);	/* host -> GPU */
int gpu_row_echo(struct gpu_bench *bench);	/* host -> GPU -> host */
int gpu_row_pinned(struct gpu_bench *bench);	/* both, with slots in host memory */
int gpu_row_actors(struct gpu_bench *bench);	/* actor to actor */
int gpu_row_peers(struct gpu_bench *bench);	/* between two GPUs */
int gpu_row_spawn(struct gpu_bench *bench);
int gpu_row_life(struct gpu_bench *bench); /* paused, copied, moved, reloaded */
int gpu_row_io(struct gpu_bench *bench);   /* reads that an actor starts itself */
int gpu_row_open(struct gpu_bench *bench); /* open loop */
int gpu_row_clock(struct gpu_bench *bench);

/* The first half of gpu_row_pinned(): a round trip. */
int gpu_pinned_trip(struct gpu_bench *bench);

/* --- The actors that are measured (handlers.c) --- */

extern const struct rk_actor_type gpu_compute, gpu_sum, gpu_reader;

uint64_t gpu_computed(uint64_t word, uint32_t tag);
uint64_t gpu_summed(const void *state); /* of gpu_sum */

/* --- Baselines (baseline.c) --- */

/* The module of baseline.cu: as bench_module_open(). */
int gpu_baseline_open(struct bench_module *baseline, int ordinal);

/* One way of a bare flag between two GPUs (flag.c). 0 or -errno, said. */
int gpu_raw_flag(struct gpu_bench *bench, const int gpu[2], double *p50_ns);

/* --- A stage (stage.c): a runtime, an actor, a ring to it and one from it --- */

struct gpu_stage {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from; /* NULL: the actor answers nothing */
};

struct gpu_stage_opts {
	const struct rk_actor_type *type;
	enum rk_group group;
	uint64_t slots;
	enum rk_ring_place place; /* of both rings */
	const char *provider; /* NULL: the first that works */
	bool calibrate;
	bool answers;
};

/* The thread runs elsewhere until gpu_pin(), so that what a runtime starts does too. */
int gpu_stage_open(struct gpu_stage *stage, const struct gpu_bench *bench,
		   const struct gpu_stage_opts *opts);
int gpu_runtime_open(struct rk_runtime **runtime, const struct gpu_bench *bench,
		     const char *provider, bool calibrate);

/* Drain and stop an actor; what it counted, which must be @received and @sent. 0 or -EIO, said. */
int gpu_prove(struct rk_actor *actor, uint64_t received, uint64_t sent, struct gpu_proof *proof);

/* Close the runtime; the first of @result and what closing returns, with its text. */
int gpu_runtime_close(struct rk_runtime *runtime, int result);

void gpu_pin(const struct gpu_bench *bench);
void gpu_unpin(const struct gpu_bench *bench);

/* A wait's way out: call it each time nothing came; nonzero once GPU_WAIT_NS passed, said. */
struct gpu_patience {
	struct rk_spin spin;
	uint64_t misses;
	uint64_t end_ns;
};
int gpu_still_waiting(struct gpu_patience *patience, const char *for_what);

/* Something came: waiting begins anew. */
static inline void gpu_came(struct gpu_patience *patience)
{
	patience->misses = patience->end_ns = 0;
}

/* Why nothing comes, or goes; or one wait more. 0; -ETIMEDOUT, -EPIPE, -EMSGSIZE, said. */
int gpu_recv_nothing(const struct rk_ring_rx *from, int got, struct gpu_patience *patience);
int gpu_send_nothing(const struct rk_ring_tx *to, int sent, struct gpu_patience *patience);

/* Wait for one message, or for room for one. 0; -ETIMEDOUT, -EPIPE, said. */
static inline int gpu_recv(struct rk_ring_rx *from, struct rk_msg *msg)
{
	struct gpu_patience patience = {.misses = 0};

	for (;;) {
		int got = 0, result;

		for (int i = 0; i < GPU_LOOKS; i++) {
			got = rk_ring_recv(from, msg, 1);
			if (rk_likely(got > 0))
				return 0;
			rk_spin_miss(&patience.spin);
		}
		result = gpu_recv_nothing(from, got, &patience);
		if (result)
			return result;
	}
}

static inline int gpu_send(struct rk_ring_tx *to, const struct rk_msg *msg)
{
	struct gpu_patience patience = {.misses = 0};

	for (;;) {
		int sent = rk_ring_send(to, msg), result;

		if (rk_likely(sent > 0))
			return 0;
		result = gpu_send_nothing(to, sent, &patience);
		if (result)
			return result;
	}
}

/* GPU_BLOCK messages of user type, each tag its index; freed by free(). NULL: no memory, said. */
struct rk_msg *gpu_block_new(void);

static inline uint64_t gpu_ns(const struct gpu_bench *bench, uint64_t ticks)
{
	return (uint64_t)((double)ticks * bench->ns_per_tick);
}

/* The clock, after all before it and before all after it. */
static inline uint64_t gpu_ticks_between(void)
{
#if defined(__x86_64__)
	uint64_t ticks;

	_mm_lfence();
	ticks = bench_ticks();
	_mm_lfence();
	return ticks;
#else
	uint64_t ticks;

	__asm__ volatile("isb" ::: "memory");
	ticks = bench_ticks();
	__asm__ volatile("isb" ::: "memory");
	return ticks;
#endif
}

#endif
