/* SPDX-License-Identifier: MIT */
/* run.h - pipelines at work: what cmd_run.c starts and report.c reads. */
#ifndef RUN_H
#define RUN_H

#include "books.h"
#include "latency.h"
#include "pipeline.h"
#include "truth.h"

enum { RUN_ORIGIN_BYTES = 160 };

/* A port, and whether the runtime closes it. */
struct run_port {
	struct rk_port *port;
	bool given;
};

struct run_pipeline {
	const struct plan_pipeline *plan;
	struct run_port in[PLAN_INPUTS];
	struct run_port out;
	struct rk_actor *actor[PLAN_ACTORS];
	struct latency latency;
	struct books_gaps gaps;
	char origin[RUN_ORIGIN_BYTES];
};

/* Why it ended. */
enum run_end { RUN_SOURCES_ENDED, RUN_DURATION_OVER, RUN_SIGNALLED };

/**
 * struct run - pipelines at work
 * @began_ns: CLOCK_MONOTONIC, as @ended_ns
 * @began_real_ns: CLOCK_REALTIME
 * @cut: what was in the rings did not flow out in time
 * @plotted: text where the plot went, or why there is none; "" if none was asked for
 * @verified: meaningful if the plan has a file to verify with
 */
struct run {
	const struct plan *plan;
	struct rk_runtime *runtime;
	struct run_pipeline pipeline[PLAN_PIPELINES];
	unsigned int pipelines;
	uint64_t began_ns;
	uint64_t began_real_ns;
	uint64_t ended_ns;
	enum run_end end;
	bool cut;
	char plotted[512];
	struct truth_result verified;
};

/* The state of the pipeline's mdp3_book actor, stopped; NULL if it has none. */
const struct rk_mdp3_state *run_books(const struct run_pipeline *pipeline);

#endif
