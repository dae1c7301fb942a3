// SPDX-License-Identifier: MIT
/*
 * Reads of 4 KiB out of the page cache that an actor starts itself, by stores into an io_uring: on
 * the GPU, and the same handler on a CPU thread. The kernel's thread has a CPU of its own.
 */
#include "gpu.h"
#include "clock.h"
#include "ports/rk_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = 16 << 20, READ_BYTES = 4096, DEPTH_MOST = 64 };

#define IO_NS 5000000000ULL

struct own_io {
	struct gpu_bench *bench;
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	uint64_t reads;
};

static int make_file(char path[32])
{
	static char part[1 << 20];
	int fd;

	strcpy(path, "ringkernel-bench-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return rk_fail(errno, "a file in the working directory: %s", strerror(errno));
	for (size_t i = 0; i < FILE_BYTES / sizeof(part); i++)
		if (write(fd, part, sizeof(part)) != sizeof(part)) {
			close(fd);
			unlink(path);
			return rk_fail(EIO, "%s: it cannot be written", path);
		}
	close(fd);
	return 0;
}

static int open_io(struct own_io *own, enum rk_backend backend, const char *path)
{
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .backend = backend, .gpu = own->bench->options.gpu};
	struct rk_port *port = NULL;
	char uri[64];
	int result = gpu_runtime_open(&own->runtime, own->bench, NULL, false);

	if (result)
		return result;
	if (backend == RK_BACKEND_CUDA)
		snprintf(uri, sizeof(uri), "io:%s,gpu=%d", path, opts.gpu);
	else
		snprintf(uri, sizeof(uri), "io:%s", path);
	result = rk_port_open(&port, uri, RK_PORT_IN, 0);
	if (!result)
		result = rk_actor_spawn(&own->actor, own->runtime, &gpu_reader, &opts);
	if (!result)
		result = rk_link_host_out(&own->from, own->actor, NULL);
	if (!result)
		result = rk_link_port_in(NULL, port, own->actor, NULL);
	if (!result)
		result = rk_link_host_in(&own->to, own->actor, NULL);
	return result ? gpu_runtime_close(own->runtime, result) : 0;
}

/* ns a read; the actor says that every byte came. */
static int read_many(struct own_io *own, uint64_t count, uint32_t depth, double *ns)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .tag = depth}, answer;
	uint64_t begin_ns = now_ns(), bytes;
	int result;

	memcpy(msg.body, &count, sizeof(count));
	result = gpu_send(own->to, &msg);
	if (!result)
		result = gpu_recv(own->from, &answer);
	if (result)
		return result;
	*ns = (double)(now_ns() - begin_ns) / (double)count;
	memcpy(&bytes, answer.body, sizeof(bytes));
	own->reads += count;
	if (bytes == count * READ_BYTES)
		return 0;
	return rk_fail(EIO, "%llu bytes came of %llu reads of %d", (unsigned long long)bytes,
		       (unsigned long long)count, READ_BYTES);
}

/* The median of some bursts, in ns. */
static int measure(struct own_io *own, uint32_t depth, double *median)
{
	uint64_t count = depth == 1 ? 2000 : 20000;
	double ns[GPU_REPEATS_MOST] = {0};
	uint32_t repeats = own->bench->options.repeats;
	int result = read_many(own, count / 10, depth, &ns[0]);

	for (uint32_t i = 0; i < repeats && !result; i++)
		result = read_many(own, count, depth, &ns[i]);
	for (uint32_t i = 1; i < repeats; i++)
		for (uint32_t j = i; j && ns[j - 1] > ns[j]; j--) {
			double other = ns[j];

			ns[j] = ns[j - 1];
			ns[j - 1] = other;
		}
	*median = ns[repeats / 2];
	return result;
}

/* @ns: of depth 1 and of DEPTH_MOST. */
static int run(struct gpu_bench *bench, enum rk_backend backend, const char *path, double ns[2])
{
	const struct rk_msg end = {.type = RK_MSG_USER + 1, .slots = 1};
	struct own_io own = {.bench = bench};
	int result = open_io(&own, backend, path);

	if (result)
		return result;
	gpu_pin(bench);
	result = measure(&own, 1, &ns[0]);
	if (!result)
		result = measure(&own, DEPTH_MOST, &ns[1]);
	gpu_unpin(bench);
	if (!result)
		result = gpu_send(own.to, &end);
	if (!result)
		result = rk_actor_stop(own.actor, RK_STOP_DRAIN, IO_NS);
	if (!result && *(const uint64_t *)rk_actor_state(own.actor) != own.reads)
		result = rk_fail(EIO, "the handler counted other reads than the host");
	return gpu_runtime_close(own.runtime, result);
}

int gpu_row_io(struct gpu_bench *bench)
{
	struct gpu_report *report = bench->report;
	double gpu[2], cpu[2];
	char path[32];
	int result = make_file(path);

	if (result)
		return result;
	result = run(bench, RK_BACKEND_CUDA, path, gpu);
	if (!result)
		result = run(bench, RK_BACKEND_CPU, path, cpu);
	unlink(path);
	if (result == -EOPNOTSUPP) {
		gpu_report_skipped(report, "reads that an actor starts itself", rk_errmsg());
		gpu_report_skip_bar(report, "io_depth_1_us");
		gpu_report_skip_bar(report, "io_depth_64_million_per_s");
		return 0;
	}
	if (result)
		return result;
	gpu_report_title(
		report,
		"Reads of 4 KiB that an actor starts itself, page cache, every byte counted");
	gpu_report_note(report, "  on the GPU: one in flight %.2f us, 64 in flight %.2f M/s",
			gpu[0] / 1e3, 1e3 / gpu[1]);
	gpu_report_note(
		report,
		"  on a CPU:   one in flight %.2f us, 64 in flight %.2f M/s (the GPU: %.2f x)",
		cpu[0] / 1e3, 1e3 / cpu[1], cpu[1] / gpu[1]);
	gpu_report_bar(report, "io_depth_1_us", gpu[0] / 1e3);
	gpu_report_bar(report, "io_depth_64_million_per_s", 1e3 / gpu[1]);
	return 0;
}
