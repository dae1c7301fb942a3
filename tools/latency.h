/* SPDX-License-Identifier: MIT */
/*
 * latency.h - how late messages reach the end of a pipeline: now less the time at which they were
 * meant to happen (RK_MSG_F_TIME). A message that was held up on the way counts with all its
 * delay, and so does each that waited behind it: nothing is omitted.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include "ringkernel.h"

enum { LATENCY_LABEL_BYTES = 24 };

/**
 * struct latency - of one pipeline
 * @label: for people, and the tag in a log
 * @origin: what RK_MSG_F_TIME is here, for people
 * @hist: written by the worker's thread
 * @before: as it was at the end of the interval before; the next two are the main thread's
 * @interval: scratch
 * @seen: messages that reached the last port
 * @untimed: of @seen, those without a time
 * @early: of @seen, those from the future; recorded as 0
 */
struct latency {
	char label[LATENCY_LABEL_BYTES];
	const char *origin;
	struct rk_hist *hist;
	struct rk_hist *before;
	struct rk_hist *interval;
	uint64_t seen;
	uint64_t untimed;
	uint64_t early;
};

/* 0 or -ENOMEM; latency_close() releases it either way. */
int latency_open(struct latency *latency, const char *label, const char *origin);

/* Record one message. Context: the worker's thread; no lock, no allocation. */
void latency_record(struct latency *latency, const struct rk_msg *msg);

/* Add to @log what was recorded since the last time. 0 or -errno, said in rk_errmsg(). */
int latency_log(struct latency *latency, struct rk_hist_log *log, uint64_t start_ns,
		uint64_t end_ns);

void latency_close(struct latency *latency);

#endif
