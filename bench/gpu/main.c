// SPDX-License-Identifier: MIT
/*
 * ringkernel-bench-gpu - actors on a GPU, fed through rings: latencies and rates, beside the floor
 * of the bus and the ways it is done without. A program of its own, so that it needs no library but
 * ours.
 */
#include "gpu.h"
#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct row {
	const char *name;
	const char *what;
	int (*run)(struct gpu_bench *bench);
} rows[] = {
	{"floor", "a read of GPU memory by the CPU: one bus round trip", gpu_row_floor},
	{"trip", "round trip through an actor that computes on the payload", gpu_row_trip},
	{"baselines", "the same by launch, by graph, by a queue in host memory", gpu_row_baselines},
	{"in", "host to GPU, one producer, payload summed", gpu_row_in},
	{"echo", "host to GPU to host", gpu_row_echo},
	{"pinned", "round trip and rate with slots in host memory", gpu_row_pinned},
	{"actors", "actor to actor on one GPU, one way", gpu_row_actors},
	{"peers", "actor to actor on two GPUs, one way", gpu_row_peers},
	{"spawn", "spawn an actor until it answers", gpu_row_spawn},
	{"life", "an actor paused, begun anew, copied, moved, reloaded while it works", gpu_row_life},
	{"io", "reads of a file that an actor starts itself", gpu_row_io},
	{"open", "open loop: latency against the schedule", gpu_row_open},
	{"clock", "the GPU's clock in the host's time", gpu_row_clock},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct {
	const char *name;
	const char *row;
	char relation;
	double goal;
} goals[] = {
	{"roundtrip_vs_bar1_read", "trip", 'l', 1.6},
	{"roundtrip_p99_vs_p50", "trip", 'l', 1.2},
	{"launch_vs_roundtrip", "baselines", 'g', 4},
	{"graph_vs_roundtrip", "baselines", 'g', 4},
	{"host_queue_vs_roundtrip", "baselines", 'g', 1.5},
	{"in_million_per_s", "in", 'g', 200},
	{"in_vs_raw_stores", "in", 'g', 0.8},
	{"echo_million_per_s", "echo", 'g', 60},
	{"pinned_roundtrip_us", "pinned", 'l', 2.1},
	{"pinned_in_million_per_s", "pinned", 'g', 40},
	{"one_way_block_ns", "actors", 'l', 150},
	{"one_way_cluster_ns", "actors", 'l', 300},
	{"one_way_gpu_ns", "actors", 'l', 500},
	{"one_way_peer_vs_flag", "peers", 'l', 1.2},
	{"spawn_to_answer_us", "spawn", 'l', 5},
	{"life_restart_us", "life", 'l', 5},
	{"life_copy_stall_us", "life", 'l', 30},
	{"life_reload_outage_us", "life", 'l', 1000},
	{"life_migration_outage_us", "life", 'l', 100},
	{"io_depth_1_us", "io", 'l', 3},
	{"io_depth_64_million_per_s", "io", 'g', 1},
	{"open_loop_lost", "open", 'l', 0},
};

static const char usage_head[] =
	"usage: ringkernel-bench-gpu [ROW...] [gpu=N] [cpu=N] [trips=N] [messages=N] [repeats=N]\n"
	"                            [seconds=N] [rate=N] [spawns=N] [clock=N] [-j]\n"
	"\n"
	"Measures actors on a GPU and prints a table and one line a bar: 'bar NAME VALUE GOAL\n"
	"met|missed'; skipped is what cannot be measured here. Rows; without any, all:\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"  gpu=N       as CUDA counts (default 0)\n"
	"  cpu=N       to measure on (default: one near the GPU)\n"
	"  trips=N     round trips of a row (default 500000)\n"
	"  messages=N  of a burst (default 20000000)\n"
	"  repeats=N   bursts; medians count (default 5)\n"
	"  seconds=N   of open loop (default 60)\n"
	"  rate=N      of open loop, messages a second (default 10000000)\n"
	"  spawns=N    (default 1000)\n"
	"  clock=N     seconds over which the clocks are compared (default 2)\n"
	"  -j          JSON\n"
	"\n"
	"Exit status: 0, also when a bar is missed or there is no GPU; 1 a row failed; 2 a usage\n"
	"error.\n";

static void help(void)
{
	fputs(usage_head, stdout);
	for (int i = 0; i < ROWS; i++)
		printf("  %-11s %s\n", rows[i].name, rows[i].what);
	fputs(usage_tail, stdout);
}

/* --- Options --- */

static bool parse_number(const char *word, const char *name, uint64_t least, uint64_t most,
			 uint64_t *out)
{
	size_t length = strlen(name);
	char *end;
	uint64_t value;

	if (strncmp(word, name, length) || word[length] != '=' || word[length + 1] < '0' ||
	    word[length + 1] > '9')
		return false;
	errno = 0;
	value = strtoull(word + length + 1, &end, 10);
	if (errno || *end || value < least || value > most)
		return false;
	*out = value;
	return true;
}

static bool parse(const char *word, struct gpu_options *options, uint32_t *chosen)
{
	uint64_t value;

	for (uint32_t i = 0; i < ROWS; i++)
		if (!strcmp(word, rows[i].name)) {
			*chosen |= 1u << i;
			return true;
		}
	if (!strcmp(word, "-j"))
		return options->json = true;
	if (parse_number(word, "gpu", 0, RK_MAX_GPUS - 1, &value))
		options->gpu = (int)value;
	else if (parse_number(word, "cpu", 0, CPU_SETSIZE - 1, &value))
		options->cpu = (int)value;
	else if (parse_number(word, "repeats", 1, GPU_REPEATS_MOST, &value))
		options->repeats = (uint32_t)value;
	else
		return parse_number(word, "trips", 100, 1u << 30, &options->trips) ||
		       parse_number(word, "messages", GPU_BLOCK, 1ull << 36, &options->messages) ||
		       parse_number(word, "seconds", 1, 86400, &options->seconds) ||
		       parse_number(word, "rate", 1000, 1000000000, &options->rate) ||
		       parse_number(word, "spawns", 10, 1000000, &options->spawns) ||
		       parse_number(word, "clock", 1, 3600, &options->clock_seconds);
	return true;
}

/* --- CPUs --- */

/* A list as the kernel prints it ("0-15,32"); false when there is none. */
static bool read_cpus(const char *path, cpu_set_t *set)
{
	FILE *file = fopen(path, "re");
	char text[512] = "";

	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	CPU_ZERO(set);
	for (char *at = text; *at >= '0' && *at <= '9'; at += *at == ',') {
		long first = strtol(at, &at, 10),
		     last = *at == '-' ? strtol(at + 1, &at, 10) : first;

		for (long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			CPU_SET((int)cpu, set);
	}
	return CPU_COUNT(set) > 0;
}

static bool near_cpus(const struct gpu_bench *bench, cpu_set_t *set)
{
	char bus[32] = "", path[96];
	struct rk_cuda_gpu gpu;

	if (rk_cuda_gpu_find(&gpu, bench->options.gpu) ||
	    bench->cuda->device_pci(bus, sizeof(bus), gpu.device))
		return false;
	for (char *at = bus; *at; at++)
		*at = (char)(*at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/local_cpulist", bus);
	return read_cpus(path, set);
}

/* Take @remove out of @set, unless nothing would be left. */
static void leave_out(cpu_set_t *set, const cpu_set_t *remove)
{
	cpu_set_t rest = *set;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, remove))
			CPU_CLR(cpu, &rest);
	if (CPU_COUNT(&rest))
		*set = rest;
}

static int nth_cpu(const cpu_set_t *set, int n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set) && n-- == 0)
			return cpu;
	return -1;
}

/* The last CPU near the GPU to measure on, for the first ones serve interrupts. */
static int choose_cpus(struct gpu_bench *bench)
{
	cpu_set_t allowed, near, siblings;
	char path[96];

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return rk_fail(errno, "sched_getaffinity: %s", strerror(errno));
	if (near_cpus(bench, &near)) {
		CPU_AND(&near, &near, &allowed);
		if (CPU_COUNT(&near) > 1)
			allowed = near;
	}
	bench->cpu = bench->options.cpu >= 0 ? bench->options.cpu
					     : nth_cpu(&allowed, CPU_COUNT(&allowed) - 1);
	bench->elsewhere = allowed;
	CPU_ZERO(&siblings);
	CPU_SET(bench->cpu, &siblings);
	leave_out(&bench->elsewhere, &siblings);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 bench->cpu);
	if (read_cpus(path, &siblings))
		leave_out(&bench->elsewhere, &siblings);
	bench->other_cpu = nth_cpu(&bench->elsewhere, CPU_COUNT(&bench->elsewhere) > 1);
	gpu_pin(bench);
	if (sched_getcpu() != bench->cpu)
		return rk_fail(EINVAL, "cpu=%d: this process may not run there", bench->cpu);
	return 0;
}

/* --- The clock --- */

static double calibrate(void)
{
	const struct timespec time = {0, 100000000};
	uint64_t ticks = bench_ticks(), ns = now_ns();

	nanosleep(&time, NULL);
	ticks = bench_ticks() - ticks;
	return (double)(now_ns() - ns) / (double)ticks;
}

static uint64_t clock_cost_ns(const struct gpu_bench *bench)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 10000; i++) {
		uint64_t from = gpu_ticks_between(), spent = gpu_ticks_between() - from;

		least = spent < least ? spent : least;
	}
	return gpu_ns(bench, least);
}

/* --- Together --- */

static int open_region(struct gpu_bench *bench)
{
	const struct rk_region_opts opts = {
		.size = sizeof(opts), .on_gpu = true, .gpu = bench->options.gpu};
	int result = rk_region_open(&bench->region, 8 << 20, &opts);

	if (!result)
		bench->mapped = rk_region_info(bench->region)->on_gpu;
	return result;
}

static void describe(struct gpu_bench *bench)
{
	const struct rk_region_info *info = rk_region_info(bench->region);
	char name[96] = "?";
	struct rk_cuda_gpu gpu;

	if (!rk_cuda_gpu_find(&gpu, bench->options.gpu))
		bench->cuda->device_name(name, sizeof(name), gpu.device);
	gpu_report_note(bench->report,
			"GPU %d of %d: %s; CUDA driver %d.%d; memory for slots by %s%s",
			bench->options.gpu, bench->cuda->devices, name, bench->cuda->version / 1000,
			bench->cuda->version % 1000 / 10, info->provider,
			info->write_combined ? ", write-combined" : "");
	if (*info->note)
		gpu_report_note(bench->report, "%s", info->note);
	gpu_report_note(
		bench->report,
		"measured on CPU %d, all else elsewhere; CPU codec %s; reading the clock takes "
		"%" PRIu64 " ns, which latencies but the floor include",
		bench->cpu, rk_codec_far()->name, bench->clock_cost_ns);
}

static void want_bars(struct gpu_bench *bench, uint32_t chosen)
{
	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++)
		for (uint32_t j = 0; j < ROWS; j++)
			if (chosen >> j & 1 && !strcmp(goals[i].row, rows[j].name))
				gpu_report_want(bench->report, goals[i].name, goals[i].relation,
						goals[i].goal);
}

static int prepare(struct gpu_bench *bench, uint32_t chosen)
{
	struct rk_cuda_gpu gpu;
	int result = rk_cuda_gpu_find(&gpu, bench->options.gpu);

	if (!result)
		result = choose_cpus(bench);
	if (result)
		return result;
	bench->ns_per_tick = calibrate();
	bench->clock_cost_ns = clock_cost_ns(bench);
	gpu_unpin(bench);
	result = open_region(bench);
	if (result)
		return result;
	describe(bench);
	want_bars(bench, chosen);
	return 0;
}

static int run(struct gpu_bench *bench, uint32_t chosen)
{
	int result;

	if (rk_cuda(&bench->cuda)) {
		gpu_report_skipped(bench->report, "all", rk_errmsg());
		return gpu_report_end(bench->report);
	}
	result = prepare(bench, chosen);
	if (result)
		return result;
	for (uint32_t i = 0; i < ROWS; i++) {
		if (!(chosen >> i & 1))
			continue;
		if (rows[i].run(bench))
			gpu_report_failed(bench->report, rows[i].name);
		gpu_unpin(bench);
	}
	return gpu_report_end(bench->report);
}

int main(int argc, char **argv)
{
	struct gpu_bench bench = {.options = {.cpu = -1,
					      .trips = 500000,
					      .messages = 20000000,
					      .repeats = 5,
					      .seconds = 60,
					      .rate = 10000000,
					      .spawns = 1000,
					      .clock_seconds = 2}};
	uint32_t chosen = 0;
	int result;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			help();
			return 0;
		}
		if (!parse(argv[i], &bench.options, &chosen)) {
			fprintf(stderr, "ringkernel-bench-gpu: '%s': see --help\n", argv[i]);
			return 2;
		}
	}
	result = gpu_report_open(&bench.report, bench.options.json);
	if (!result)
		result = run(&bench, chosen ? chosen : (1u << ROWS) - 1);
	if (result)
		fprintf(stderr, "ringkernel-bench-gpu: %s\n", rk_errmsg());
	else
		result = gpu_report_failures(bench.report) ? 1 : 0;
	rk_region_close(bench.region);
	gpu_report_close(bench.report);
	return result ? 1 : 0;
}
