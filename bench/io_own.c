// SPDX-License-Identifier: MIT
/*
 * Reads that a handler starts itself (rk_io.h), driven by a CPU thread: what a device's are to be
 * compared with. 4 KiB out of the page cache; the kernel's thread has a CPU of its own.
 */
#include "io.h"
#include "clock.h"
#include "io/rk_io_ring.h"
#include "rk_error.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, FILE_BYTES = 16 << 20, TRIPS = 5000, DEPTH_MOST = 64, RUNS_MOST = 5 };

/* Keep @depth reads in flight until @reads have completed; ns a read, or 0 if one failed. */
static double read_many(struct rk_io *io, uint32_t depth, uint32_t reads)
{
	uint64_t start_ns = now_ns(), deadline_ns = start_ns + 5000000000ULL;
	uint32_t started = 0, done = 0;
	struct rk_msg msg;

	while (done < reads) {
		const struct rk_io_done *about = (const struct rk_io_done *)msg.body;

		for (; started < reads && started - done < depth; started++)
			rk_io_read(io, 0, (uint64_t)started * BLOCK_BYTES % FILE_BYTES,
				   started % depth * BLOCK_BYTES, BLOCK_BYTES, started);
		if (rk_io_reap(io, &msg)) {
			if (about->result != BLOCK_BYTES)
				return 0;
			done++;
		} else if (now_ns() > deadline_ns) {
			return 0;
		}
	}
	return (double)(now_ns() - start_ns) / reads;
}

static int make_file(void)
{
	static uint8_t part[1 << 20];
	char path[] = "ringkernel-bench-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		return rk_fail(errno, "a file in the working directory: %s", strerror(errno));
	unlink(path);
	for (uint32_t i = 0; i < FILE_BYTES / sizeof(part); i++)
		if (write(fd, part, sizeof(part)) != sizeof(part)) {
			close(fd);
			return rk_fail(errno, "a file in the working directory: %s",
				       strerror(errno));
		}
	return fd;
}

int bench_own(const struct bench_options *options)
{
	const struct rk_io_ring_opts opts = {.size = sizeof(opts),
					     .slots = DEPTH_MOST,
					     .buffers_bytes = DEPTH_MOST * BLOCK_BYTES};
	static const uint32_t depths[] = {1, DEPTH_MOST};
	struct rk_io_ring *ring;
	uint32_t runs = options->rounds < RUNS_MOST ? options->rounds : RUNS_MOST;
	int fd = make_file(), result = 0;

	if (fd < 0)
		return fd;
	printf("\nreads of %d that a handler starts itself, by a CPU thread, page cache, median of "
	       "%u\n",
	       BLOCK_BYTES, runs);
	if (rk_io_ring_open(&ring, &fd, 1, &opts)) {
		printf("  not measured: %s\n", rk_errmsg());
		close(fd);
		return 0;
	}
	for (uint32_t i = 0; !result && i < 2; i++) {
		double ns[RUNS_MOST];

		for (uint32_t run = 0; !result && run < runs; run++) {
			ns[run] = read_many(rk_io_ring_io(ring), depths[i], TRIPS);
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
