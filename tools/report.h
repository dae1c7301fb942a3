/* SPDX-License-Identifier: MIT */
/* report.h - what a run did, as text or JSON, and whether every message is accounted for. */
#ifndef REPORT_H
#define REPORT_H

#include "run.h"

enum {
	REPORT_CHECKS = 2 * PLAN_ACTORS + 4, /* of one pipeline, at most */
	REPORT_SIDE_BYTES = 160,
	REPORT_PLACE_BYTES = 32,
};

/* Two counts of the same messages. */
struct report_check {
	char left_text[REPORT_SIDE_BYTES];
	char right_text[REPORT_SIDE_BYTES];
	uint64_t left;
	uint64_t right;
};

/* A u64 counter of a struct, and what people call it. */
struct report_counter {
	const char *name;
	size_t offset;
};

/* Drops by reason; ended by a NULL name. */
extern const struct report_counter report_port_drops[], report_actor_drops[];

static inline uint64_t report_count(const void *of, const struct report_counter *counter)
{
	return *(const uint64_t *)((const char *)of + counter->offset);
}

/* Where an actor ran: "cpu", or as the words say it. */
const char *report_place(const struct plan_actor *plan, char text[REPORT_PLACE_BYTES]);

/* What all pipelines did together. */
struct report_totals {
	uint64_t messages; /* that came in */
	uint64_t cpu_ns;   /* of all workers */
	double seconds;
	double per_second;
	double per_core_second; /* of workers' CPU time */
};

double report_seconds(const struct run *run);
void report_totals(const struct run *run, struct report_totals *totals);

/* Messages that came into @pipeline. */
uint64_t report_messages_in(const struct run_pipeline *pipeline);

/* Everything that @pipeline lost, wherever. */
uint64_t report_drops(const struct run_pipeline *pipeline);

/* The counts that must agree now that @pipeline is at rest; returns how many. */
unsigned int report_checks(const struct run_pipeline *pipeline,
			   struct report_check check[REPORT_CHECKS]);

/* Whether every message of every pipeline is accounted for. */
bool report_conserved(const struct run *run);

/* What ended the run, for people. */
const char *report_end(const struct run *run);

/* Everything, on stdout. Context: the runtime is open, nothing moves any more. */
void report_text(const struct run *run);
void report_json(const struct run *run);

/* Messages in and out so far, for a line of progress. */
void report_progress(const struct run *run, uint64_t *in, uint64_t *out, uint64_t *dropped);

#endif
