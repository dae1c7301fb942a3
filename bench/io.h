/* SPDX-License-Identifier: MIT */
/* io.h - sockets and files into rings, against what else reads them. */
#ifndef BENCH_IO_H
#define BENCH_IO_H

#include "results.h"
#include "ring/rk_ring.h"

/* Measure, and print a table and the bars. 0 or -errno, said in rk_errmsg(). */
int bench_io(const struct bench_options *options);

enum { BENCH_IO_CELLS = 1024, BENCH_IO_SLOTS = 4096 };

/* A ring whose both ends are this thread's: what is put in is taken out and summed. */
struct bench_sink {
	void *memory;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t messages;
	uint64_t sum;
	void *cells;
};

int bench_sink_open(struct bench_sink *sink);
void bench_sink_close(struct bench_sink *sink);

/* Take out what is there. */
void bench_sink_drain(struct bench_sink *sink);

double bench_median(double *values, uint32_t count);

/* Each adds its bars at @bars[*count]. */
int bench_udp(const struct bench_options *options, struct bench_bar *bars, uint32_t *count);
int bench_file(const struct bench_options *options, struct bench_bar *bars, uint32_t *count);
/* No bars: what it measures is a device's peer. */
int bench_own(const struct bench_options *options);

#endif
