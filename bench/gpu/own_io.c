// SPDX-License-Identifier: MIT
/*
 * Reads of 4 KiB out of the page cache by stores into an io_uring: of an actor on the GPU, and of a CPU
 * thread; and no-ops, which is the kernel's work without the file. What the GPU takes longer than the
 * CPU is the bus, and the actor. The kernel's thread has a CPU of its own.
 */
#include "gpu.h"
#include "bench/own_reads.h"
#include "clock.h"
#include "io/rk_io_ring.h"
#include "ports/rk_port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IO_NS 5000000000ULL

enum { READER_END = RK_MSG_USER + 1, KINDS = 4 };

/* @type: of the message to the actor (handlers.c). */
static const struct kind {
	const char *name;
	enum rk_io_op op;
	uint16_t type;
	uint32_t depth, count;
} kinds[KINDS] = {
	{"no-op, one in flight", RK_IO_NOP, RK_MSG_USER + 2, 1, 5000},
	{"read, one in flight", RK_IO_READ, RK_MSG_USER, 1, 5000},
	{"no-op, 64 in flight", RK_IO_NOP, RK_MSG_USER + 2, OWN_DEPTH_MOST, 50000},
	{"read, 64 in flight", RK_IO_READ, RK_MSG_USER, OWN_DEPTH_MOST, 50000},
};

struct own_io {
	struct gpu_bench *bench;
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	uint64_t operations;
};

static int open_io(struct own_io *own, const char *path)
{
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .backend = RK_BACKEND_CUDA, .gpu = own->bench->options.gpu};
	struct rk_port *port = NULL;
	char uri[64];
	int result = gpu_runtime_open(&own->runtime, own->bench, NULL, false);

	if (result)
		return result;
	snprintf(uri, sizeof(uri), "io:%s,gpu=%d", path, opts.gpu);
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

/* The actor says that every byte came. */
static int many_on_gpu(struct own_io *own, const struct kind *kind, double *ns)
{
	struct rk_msg msg = {.type = kind->type, .slots = 1, .tag = kind->depth}, answer;
	uint64_t count = kind->count, begin_ns = now_ns(), bytes;
	int result;

	memcpy(msg.body, &count, sizeof(count));
	result = gpu_send(own->to, &msg);
	if (!result)
		result = gpu_recv(own->from, &answer);
	if (result)
		return result;
	*ns = (double)(now_ns() - begin_ns) / (double)count;
	memcpy(&bytes, answer.body, sizeof(bytes));
	own->operations += count;
	if (bytes == (kind->op == RK_IO_READ ? count * OWN_BLOCK_BYTES : 0))
		return 0;
	return rk_fail(EIO, "%s: %llu bytes came of %llu operations", kind->name,
		       (unsigned long long)bytes, (unsigned long long)count);
}

/* As a row of the report; @million_per_s: the median, the first burst left out. */
static int measure(struct own_io *own, struct rk_io *io, const struct kind *kind,
		   double *million_per_s)
{
	uint32_t repeats = own->bench->options.repeats;
	double samples[GPU_REPEATS_MOST] = {0}, ns = 0;
	int result = 0;
	char name[64];

	for (uint32_t i = 0; i <= repeats && !result; i++) {
		if (!io)
			result = many_on_gpu(own, kind, &ns);
		else
			ns = bench_own_many(io, kind->op, kind->depth, kind->count);
		if (!result && ns <= 0)
			result = rk_fail(EIO, "%s: one failed, or all took 5 s", kind->name);
		if (i)
			samples[i - 1] = 1e3 / ns;
	}
	if (result)
		return result;
	snprintf(name, sizeof(name), "%s: %s", io ? "a CPU thread" : "the GPU", kind->name);
	*million_per_s = gpu_report_rate(own->bench->report, name, samples, repeats, NULL);
	return 0;
}

static int run_gpu(struct gpu_bench *bench, const char *path, double rates[KINDS])
{
	const struct rk_msg end = {.type = READER_END, .slots = 1};
	struct own_io own = {.bench = bench};
	int result = open_io(&own, path);

	if (result)
		return result;
	gpu_pin(bench);
	for (uint32_t i = 0; i < KINDS && !result; i++)
		result = measure(&own, NULL, &kinds[i], &rates[i]);
	gpu_unpin(bench);
	if (!result)
		result = gpu_send(own.to, &end);
	if (!result)
		result = rk_actor_stop(own.actor, RK_STOP_DRAIN, IO_NS);
	if (!result && *(const uint64_t *)rk_actor_state(own.actor) != own.operations)
		result = rk_fail(EIO, "the handler counted other operations than the host");
	return gpu_runtime_close(own.runtime, result);
}

static int run_cpu(struct gpu_bench *bench, int fd, double rates[KINDS])
{
	const struct rk_io_ring_opts opts = {.size = sizeof(opts), .slots = OWN_DEPTH_MOST};
	struct own_io own = {.bench = bench};
	struct rk_io_ring *ring;
	int closed, result = rk_io_ring_open(&ring, &fd, 1, &opts);

	if (result)
		return result;
	gpu_pin(bench);
	for (uint32_t i = 0; i < KINDS && !result; i++)
		result = measure(&own, rk_io_ring_io(ring), &kinds[i], &rates[i]);
	gpu_unpin(bench);
	closed = rk_io_ring_close(ring);
	return result ? result : closed;
}

static void tell(struct gpu_report *report, const double gpu[KINDS], const double cpu[KINDS])
{
	gpu_report_note(report,
			"one in flight: the GPU %.2f us, no-op %.2f; a CPU thread %.2f, no-op %.2f; "
			"bus and actor %.2f",
			1 / gpu[1], 1 / gpu[0], 1 / cpu[1], 1 / cpu[0], 1 / gpu[1] - 1 / cpu[1]);
	gpu_report_note(report, "64 in flight: the GPU %.2f x a CPU thread", gpu[3] / cpu[3]);
	gpu_report_bar(report, "io_depth_1_us", 1 / gpu[1]);
	gpu_report_bar(report, "io_depth_64_million_per_s", gpu[3]);
}

int gpu_row_io(struct gpu_bench *bench)
{
	struct gpu_report *report = bench->report;
	double gpu[KINDS], cpu[KINDS];
	char path[OWN_PATH_BYTES];
	int fd = bench_own_file(path), result;

	if (fd < 0)
		return fd;
	gpu_report_title(report, "Reads of 4 KiB by stores into an io_uring, page cache, every byte "
				 "counted: million operations a second");
	result = run_gpu(bench, path, gpu);
	if (!result)
		result = run_cpu(bench, fd, cpu);
	close(fd);
	unlink(path);
	if (result == -EOPNOTSUPP) {
		gpu_report_skipped(report, "reads that an actor starts itself", rk_errmsg());
		gpu_report_skip_bar(report, "io_depth_1_us");
		gpu_report_skip_bar(report, "io_depth_64_million_per_s");
		return 0;
	}
	if (!result)
		tell(report, gpu, cpu);
	return result;
}
