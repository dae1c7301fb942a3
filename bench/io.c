// SPDX-License-Identifier: MIT
/* `ringkernel-bench io`: what it has in common, and its bars. */
#include "io.h"
#include "rk_error.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bench_sink_open(struct bench_sink *sink)
{
	size_t bytes = rk_ring_bytes(BENCH_IO_SLOTS);
	struct rk_ring ring;

	memset(sink, 0, sizeof(*sink));
	sink->memory = aligned_alloc(RK_PAGE_BYTES, bytes);
	sink->tx = aligned_alloc(RK_CACHE_LINE_BYTES, 512);
	sink->rx = aligned_alloc(RK_CACHE_LINE_BYTES, 512);
	sink->cells = aligned_alloc(RK_CACHE_LINE_BYTES, BENCH_IO_CELLS * RK_CELL_BYTES);
	if (!sink->memory || !sink->tx || !sink->rx || !sink->cells)
		return rk_fail(ENOMEM, "no memory for a ring");
	memset(sink->memory, 0, bytes);
	rk_ring_format(&ring, sink->memory, bytes, BENCH_IO_SLOTS, 0, "bench");
	rk_ring_tx_open(sink->tx, &ring);
	return rk_ring_rx_open(sink->rx, &ring, NULL);
}

void bench_sink_close(struct bench_sink *sink)
{
	free(sink->memory);
	free(sink->tx);
	free(sink->rx);
	free(sink->cells);
}

void bench_sink_drain(struct bench_sink *sink)
{
	int cells;

	while ((cells = rk_ring_recv_batch(sink->rx, sink->cells, BENCH_IO_CELLS)) > 0)
		for (int at = 0; at < cells;) {
			const struct rk_msg *msg =
				(const struct rk_msg *)((const uint8_t *)sink->cells +
							(size_t)at * RK_CELL_BYTES);

			sink->sum += msg->body[RK_MSG_BODY_BYTES - 1];
			sink->messages++;
			at += msg->slots;
		}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return count ? (values[(count - 1) / 2] + values[count / 2]) / 2 : 0;
}

int bench_io(const struct bench_options *options)
{
	struct bench_bar bars[BENCH_BARS_MOST];
	uint32_t count = 0;
	cpu_set_t cpus, one;
	int result, cpu = 0;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return rk_fail(errno, "sched_getaffinity: %s", strerror(errno));
	while (!CPU_ISSET((size_t)cpu, &cpus))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	result = bench_udp(options, bars, &count);
	if (!result)
		result = bench_file(options, bars, &count);
	/* Here the kernel works on another one. */
	sched_setaffinity(0, sizeof(cpus), &cpus);
	if (!result)
		result = bench_own(options);
	if (result)
		return result;
	printf("\n");
	for (uint32_t i = 0; i < count; i++)
		printf("bar %s %.2f %s%.2f %s\n", bars[i].name, bars[i].value,
		       bars[i].relation == 'g' ? ">=" : "<=", bars[i].goal,
		       bench_bar_is_met(&bars[i]) ? "met" : "missed");
	return 0;
}
