// SPDX-License-Identifier: MIT
/*
 * Blocks of a file into a ring, against fio's io_uring engine on the same file with registered
 * buffers and files, in turns; past the page cache and out of it.
 */
#include "io.h"
#include "clock.h"
#include "ports/rk_port.h"
#include "rk_error.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = 128 << 20, BLOCK_BYTES = 4096, RUNS_MOST = 9, RUN_MS = 400 };

static const uint32_t depths[] = {1, 16, 128};

enum { DEPTHS = sizeof(depths) / sizeof(depths[0]) };

static int make_file(const char *path)
{
	static uint8_t part[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), result = 0;

	for (uint32_t i = 0; fd >= 0 && !result && i < FILE_BYTES / sizeof(part); i++) {
		memset(part, (int)i, sizeof(part));
		if (write(fd, part, sizeof(part)) != sizeof(part))
			result = rk_fail(errno, "'%s': %s", path, strerror(errno));
	}
	if (fd < 0 || (!result && fsync(fd)))
		result = rk_fail(errno, "'%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

/* Blocks a second through the port; -errno. */
static int read_port(struct bench_sink *sink, const char *path, uint32_t depth, bool direct,
		     double *rate)
{
	uint64_t start_ns, until_ns, before = sink->messages;
	struct rk_port *port;
	char uri[256];
	int result;

	snprintf(uri, sizeof(uri), "file:%s,block=%d,qd=%u,loops=1000000%s", path, BLOCK_BYTES,
		 depth, direct ? ",direct" : "");
	result = rk_port_open(&port, uri, RK_PORT_IN, 0);
	if (result)
		return result;
	start_ns = now_ns();
	until_ns = start_ns + RUN_MS * 1000000ULL;
	do {
		result = rk_port_poll_in(port, sink->tx, 128);
		bench_sink_drain(sink);
	} while (result >= 0 && now_ns() < until_ns);
	*rate = (double)(sink->messages - before) * 1e9 / (double)(now_ns() - start_ns);
	rk_port_close(port);
	return result < 0 ? result : 0;
}

/* The same by fio: field 8 of its terse output. */
static int read_fio(const char *path, uint32_t depth, bool direct, double *rate)
{
	char command[512], line[8192] = "", *at = line;
	FILE *pipe;

	snprintf(command, sizeof(command),
		 "fio --thread --name=x --ioengine=io_uring --registerfiles --fixedbufs --rw=read "
		 "--bs=%d "
		 "--direct=%d --iodepth=%u --filename='%s' --size=%d --runtime=%dms --time_based "
		 "--minimal 2>/dev/null",
		 BLOCK_BYTES, direct, depth, path, FILE_BYTES, RUN_MS);
	pipe = popen(command, "re");
	if (!pipe)
		return rk_fail(errno, "fio: %s", strerror(errno));
	while (fgets(line, sizeof(line), pipe) && strncmp(line, "3;", 2))
		continue;
	pclose(pipe);
	for (uint32_t i = 0; at && i < 7; i++) {
		at = strchr(at, ';');
		at = at ? at + 1 : NULL;
	}
	*rate = at ? atof(at) : 0;
	return *rate > 0 ? 0
			 : rk_fail(ENOENT, "fio gave no figure: apt-get install fio, and see "
					   "whether it may use io_uring");
}

static int measure(struct bench_sink *sink, const char *path, uint32_t runs, bool direct,
		   double *worst)
{
	int result = 0;

	for (uint32_t i = 0; !result && i < DEPTHS; i++) {
		double ours[RUNS_MOST], fio[RUNS_MOST];

		for (uint32_t run = 0; !result && run < runs; run++) {
			result = read_port(sink, path, depths[i], direct, &ours[run]);
			if (!result)
				result = read_fio(path, depths[i], direct, &fio[run]);
		}
		if (result)
			return result;
		printf("  %-6s qd %3u   port %9.0f /s   fio %9.0f /s   %.2f\n",
		       direct ? "direct" : "cached", depths[i], bench_median(ours, runs),
		       bench_median(fio, runs), bench_median(ours, runs) / bench_median(fio, runs));
		if (bench_median(ours, runs) / bench_median(fio, runs) < *worst)
			*worst = bench_median(ours, runs) / bench_median(fio, runs);
	}
	return result;
}

int bench_file(const struct bench_options *options, struct bench_bar *bars, uint32_t *count)
{
	uint32_t runs = options->rounds / 4 < 3		  ? 3
			: options->rounds / 4 > RUNS_MOST ? RUNS_MOST
							  : options->rounds / 4;
	char path[] = "ringkernel-bench-XXXXXX";
	struct bench_sink sink;
	double worst[2] = {1e9, 1e9};
	int fd, result;

	if (system("command -v fio >/dev/null")) {
		printf("\nfiles: not measured: fio is not installed: apt-get install fio\n");
		return 0;
	}
	fd = mkstemp(path);
	if (fd < 0)
		return rk_fail(errno, "a file in the working directory: %s", strerror(errno));
	close(fd);
	result = bench_sink_open(&sink);
	if (!result)
		result = make_file(path);
	printf("\nfile of %d MiB into a ring, blocks of %d, one core, median of %u\n",
	       FILE_BYTES >> 20, BLOCK_BYTES, runs);
	if (!result)
		result = measure(&sink, path, runs, true, &worst[0]);
	if (!result)
		result = measure(&sink, path, runs, false, &worst[1]);
	bench_sink_close(&sink);
	unlink(path);
	if (result)
		return result;
	bars[(*count)++] =
		(struct bench_bar){"file_direct_vs_fio_worst_depth", worst[0], 0.95, 'g'};
	bars[(*count)++] =
		(struct bench_bar){"file_cached_vs_fio_worst_depth", worst[1], 0.95, 'g'};
	return 0;
}
