// SPDX-License-Identifier: MIT
/*
 * Reads that a handler starts itself (rk_io.h), driven by a CPU thread. 4 KiB out of the page cache;
 * the kernel's thread has a CPU of its own.
 */
#include "io.h"
#include "bench/own_reads.h"
#include "io/rk_io_ring.h"
#include "rk_error.h"

#include <stdio.h>
#include <unistd.h>

enum { TRIPS = 5000, RUNS_MOST = 5 };

int bench_own(const struct bench_options *options)
{
	const struct rk_io_ring_opts opts = {.size = sizeof(opts),
					     .slots = OWN_DEPTH_MOST,
					     .buffers_bytes = OWN_DEPTH_MOST * OWN_BLOCK_BYTES};
	static const uint32_t depths[] = {1, OWN_DEPTH_MOST};
	uint32_t runs = options->rounds < RUNS_MOST ? options->rounds : RUNS_MOST;
	char path[OWN_PATH_BYTES];
	int fd = bench_own_file(path), result = 0;
	struct rk_io_ring *ring;

	if (fd < 0)
		return fd;
	unlink(path);
	printf("\nreads of %d that a handler starts itself, by a CPU thread, page cache, median of "
	       "%u\n",
	       OWN_BLOCK_BYTES, runs);
	if (rk_io_ring_open(&ring, &fd, 1, &opts)) {
		printf("  not measured: %s\n", rk_errmsg());
		close(fd);
		return 0;
	}
	for (uint32_t i = 0; !result && i < 2; i++) {
		double ns[RUNS_MOST];

		for (uint32_t run = 0; !result && run < runs; run++) {
			ns[run] = bench_own_many(rk_io_ring_io(ring), RK_IO_READ, depths[i], TRIPS);
			if (ns[run] <= 0)
				result = rk_fail(EIO, "reads failed, or took 5 s: has the kernel's "
						      "thread a CPU?");
		}
		if (!result)
			printf("  depth %2u  %8.0f ns a read  %9.0f /s\n", depths[i],
			       bench_median(ns, runs), 1e9 / bench_median(ns, runs));
	}
	if (!result)
		result = rk_io_ring_close(ring);
	close(fd);
	return result;
}
