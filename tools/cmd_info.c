// SPDX-License-Identifier: MIT
/* `ringkernel info`: what this machine and this build offer; for what they lack, why and the
 * remedy. */
#include "actors.h"
#include "backends/cuda.h"
#include "config.h"
#include "gpudirect/gpu_order.h"
#include "gpudirect/nvrtc.h"
#include "ports/verbs_ways.h"
#include "ring/rk_codec.h"
#include "ringkernel.h"
#include "tool.h"

#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#if RK_HAVE_JANSSON
#include <jansson.h>
#endif

enum {
	FACTS = 192,
	VALUE_BYTES = 160,
	REMEDY_BYTES = 400,
	WORD_BYTES = 80,
};

/* Whether something is there, where that is the question. */
enum fact_state { FACT_PLAIN, FACT_YES, FACT_NO };

struct fact {
	char group[WORD_BYTES];
	char name[WORD_BYTES];
	enum fact_state state;
	char value[VALUE_BYTES];
	char remedy[REMEDY_BYTES]; /* why not, and what to do; "" if there is nothing to do */
};

struct facts {
	struct fact fact[FACTS];
	unsigned int count;
};

/* A new fact; the last one again when there is no more room. */
__attribute__((format(printf, 5, 6))) static struct fact *add(struct facts *facts,
							      const char *group, const char *name,
							      enum fact_state state,
							      const char *format, ...)
{
	struct fact *fact = &facts->fact[facts->count < FACTS ? facts->count++ : FACTS - 1];
	va_list args;

	*fact = (struct fact){.state = state};
	snprintf(fact->group, sizeof(fact->group), "%s", group);
	snprintf(fact->name, sizeof(fact->name), "%s", name);
	va_start(args, format);
	vsnprintf(fact->value, sizeof(fact->value), format, args);
	va_end(args);
	return fact;
}

__attribute__((format(printf, 2, 3))) static void advise(struct fact *fact, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fact->remedy, sizeof(fact->remedy), format, args);
	va_end(args);
}

/* The first line of a file of the kernel's; false if it is not there. */
static bool read_line(const char *path, char *line, size_t bytes)
{
	FILE *file = fopen(path, "re");
	bool got;

	if (!file)
		return false;
	got = fgets(line, (int)bytes, file) != NULL;
	fclose(file);
	line[got ? strcspn(line, "\n") : 0] = 0;
	return got;
}

static uint64_t read_number(const char *path)
{
	char line[64];

	return read_line(path, line, sizeof(line)) ? strtoull(line, NULL, 10) : 0;
}

/* --- The machine --- */

/* Numbers as "0-3,8". */
static void list_cpus(char *text, size_t bytes, const cpu_set_t *set)
{
	size_t used = 0;

	*text = 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int first = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		if (used + 16 > bytes)
			return;
		used += (size_t)snprintf(text + used, bytes - used, "%s%d", used ? "," : "", first);
		if (cpu > first)
			used += (size_t)snprintf(text + used, bytes - used, "-%d", cpu);
	}
}

static void add_cpus(struct facts *facts)
{
	char list[VALUE_BYTES];
	cpu_set_t set;

	add(facts, "machine", "cpus", FACT_PLAIN, "%ld online", sysconf(_SC_NPROCESSORS_ONLN));
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	list_cpus(list, sizeof(list), &set);
	if (CPU_COUNT(&set) < 2)
		advise(add(facts, "machine", "cpus_usable", FACT_PLAIN, "%s", list),
		       "one CPU only: workers take turns; give it more with taskset or the cpuset");
	else
		add(facts, "machine", "cpus_usable", FACT_PLAIN, "%s", list);
	if (read_line("/sys/devices/system/cpu/isolated", list, sizeof(list)))
		add(facts, "machine", "cpus_isolated", FACT_PLAIN, "%s", *list ? list : "none");
	if (read_line("/sys/devices/system/node/online", list, sizeof(list)))
		add(facts, "machine", "numa_nodes", FACT_PLAIN, "%s", list);
	else
		add(facts, "machine", "numa_nodes", FACT_PLAIN, "this kernel has no NUMA");
}

static void add_clock(struct facts *facts)
{
	char clock[64] = "unknown";
	struct fact *fact;

	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clock,
		  sizeof(clock));
	fact = add(facts, "machine", "clock_source", FACT_PLAIN, "%s", clock);
	if (strcmp(clock, "tsc") && strcmp(clock, "kvm-clock") && strcmp(clock, "arch_sys_counter"))
		advise(fact, "reading it may cost a system call: boot with tsc=reliable if the "
			     "TSC is stable");
}

static void add_memory(struct facts *facts)
{
	uint64_t free_pages =
		read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	uint64_t receive = read_number("/proc/sys/net/core/rmem_max");
	struct rlimit limit;
	struct fact *fact;

	fact = add(facts, "machine", "huge_pages_free", FACT_PLAIN, "%" PRIu64 " of 2 MiB",
		   free_pages);
	if (!free_pages)
		advise(fact, "large rings take 4 KiB pages: as root: sysctl vm.nr_hugepages=N");
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		add(facts, "machine", "memlock", FACT_PLAIN, "unlimited");
	else
		advise(add(facts, "machine", "memlock", FACT_PLAIN, "%llu bytes",
			   (unsigned long long)limit.rlim_cur),
		       "rings beyond it are not locked: ulimit -l, or LimitMEMLOCK= of the unit");
	getrlimit(RLIMIT_RTPRIO, &limit);
	add(facts, "machine", "rtprio", FACT_PLAIN, "%llu", (unsigned long long)limit.rlim_cur);
	fact = add(facts, "machine", "udp_receive_buffer", FACT_PLAIN, "%" PRIu64 " bytes at most",
		   receive);
	if (receive < 64 << 20 && geteuid())
		advise(fact, "bursts may be lost: as root: sysctl net.core.rmem_max=67108864");
}

static void add_machine(struct facts *facts)
{
	struct utsname name;
	int guarded = rk_wake_guard(false);
	struct fact *fact;

	uname(&name);
	add(facts, "ringkernel", "version", FACT_PLAIN, "%s", rk_version());
	add(facts, "machine", "kernel", FACT_PLAIN, "%s %s %s", name.sysname, name.release,
	    name.machine);
	add_cpus(facts);
	add_memory(facts);
	add_clock(facts);
	fact = add(facts, "machine", "membarrier", guarded ? FACT_YES : FACT_NO, "%s",
		   guarded ? "sleeps are guarded" : "sleeps are cut");
	if (!guarded)
		advise(fact,
		       "membarrier(2) is refused: sleepers look every %d us; Linux 4.14 or later "
		       "has it, a seccomp filter may hide it",
		       RK_WAKE_NAP_NS / 1000);
}

/* --- The build --- */

static void add_codecs(struct facts *facts)
{
	const struct rk_codec *best = rk_codec_best(), *codec;

	for (unsigned int i = 0; (codec = rk_codec_at(i)); i++)
		add(facts, "codecs", codec->name, FACT_YES, "%s", codec == best ? "chosen" : "");
}

static void add_providers(struct facts *facts)
{
	const struct rk_region_provider *provider;
	char absent[REMEDY_BYTES];

	for (unsigned int i = 0; (provider = rk_region_provider_at(i, absent, sizeof(absent))); i++)
		advise(add(facts, provider->gpu ? "regions on GPUs" : "regions", provider->name,
			   *absent ? FACT_NO : FACT_YES, "%s", provider->summary),
		       "%s", absent);
}

static void add_uring(struct facts *facts)
{
	const struct rk_uring_feature *feature;
	char absent[REMEDY_BYTES];

	for (unsigned int i = 0; (feature = rk_uring_feature_at(i, absent, sizeof(absent))); i++)
		advise(add(facts, "io_uring", feature->name, *absent ? FACT_NO : FACT_YES, "%s",
			   feature->summary),
		       "%s", absent);
}

/* How each RDMA device comes to know memory. */
static void add_rdma(struct facts *facts)
{
	char group[WORD_BYTES];
	struct verbs_way way;

	for (unsigned int i = 0; verbs_way_at(i, &way); i++) {
		snprintf(group, sizeof(group), "rdma%s%s", *way.device ? " " : "", way.device);
		advise(add(facts, group, way.name, *way.absent ? FACT_NO : FACT_YES, "%s",
			   way.summary),
		       "%s", way.absent);
	}
}

static void add_kinds(struct facts *facts)
{
	const struct rk_actor_type *type;
	const struct rk_port_kind *kind;

	for (unsigned int i = 0; (kind = rk_port_kind_at(i)); i++)
		advise(add(facts, "ports", kind->name, kind->absent ? FACT_NO : FACT_YES, "%s",
			   kind->summary),
		       "%s", kind->absent ? kind->absent : "");
	for (uint32_t i = 0; (type = rk_actor_type_at(i)); i++)
		add(facts, "actors", type->name, FACT_YES, "%s", type->summary);
	add(facts, "backends", "cpu", FACT_YES, "actors on pinned threads");
}

/* --- GPUs --- */

/* Can each RDMA device write into memory of the GPU? Tried, for no attribute tells. */
static void add_trials(struct facts *facts, const char *group, const struct rk_region *near)
{
	struct verbs_way way;
	char name[WORD_BYTES];

	for (unsigned int i = 0; verbs_trial_at(i, near, &way); i++) {
		snprintf(name, sizeof(name), "rdma_%s", way.device);
		advise(add(facts, group, name, *way.absent ? FACT_NO : FACT_YES, "%s",
			   way.summary),
		       "%s", way.absent);
	}
}

/* What only an open GPU tells: which memory the CPU reaches, and how near it is. */
static void add_open_gpu(struct facts *facts, const char *group, int ordinal)
{
	const struct cuda_gpu_opts opts = {.ordinal = ordinal, .calibrate = true};
	const struct rk_region_info *near;
	struct cuda_gpu *gpu;

	if (cuda_gpu_open(&gpu, &opts)) {
		advise(add(facts, group, "actors", FACT_NO, "it does not open"), "%s", rk_errmsg());
		return;
	}
	near = rk_region_info(gpu->memory[CUDA_NEAR].region);
	advise(add(facts, group, "near_memory", near->on_gpu ? FACT_YES : FACT_NO, "%s",
		   near->provider),
	       "%s", near->note);
	add_trials(facts, group, gpu->memory[CUDA_NEAR].region);
	add(facts, group, "calibration", FACT_PLAIN,
	    "%u multiprocessors to %u pages of it, cycles: least %u, median %u, most %u",
	    gpu->calibration.sms, gpu->calibration.pages, gpu->calibration.least,
	    gpu->calibration.median, gpu->calibration.most);
	cuda_gpu_close(gpu);
}

/* What a NIC writes there: slots need no order, payloads that a message names do. */
static void add_order(struct facts *facts, const char *group, const struct rk_cuda_gpu *gpu)
{
	static const char *const texts[] = {
		[GPU_ORDER_OWN] = "of a NIC: ordered for its own kernels",
		[GPU_ORDER_FLUSHED] = "of a NIC: unordered; the host flushes: rk_region_settle()",
		[GPU_ORDER_NONE] = "of a NIC: unordered: slots only, no payloads by reference",
	};

	add(facts, group, "rdma_writes", FACT_PLAIN, "%s", texts[gpu_order_of(gpu)]);
}

static void add_gpu(struct facts *facts, int ordinal, bool open)
{
	char group[WORD_BYTES], name[64] = "unknown";
	struct rk_cuda_gpu gpu;

	snprintf(group, sizeof(group), "gpu%d", ordinal);
	if (rk_cuda_gpu_find(&gpu, ordinal)) {
		advise(add(facts, group, "name", FACT_NO, "%s", name), "%s", rk_errmsg());
		return;
	}
	gpu.cuda->device_name(name, sizeof(name), gpu.device);
	add(facts, group, "name", FACT_PLAIN, "%s", name);
	add(facts, group, "compute_capability", FACT_PLAIN, "%d.%d",
	    rk_cuda_gpu_attribute(&gpu, RK_CUDA_ATTR_COMPUTE_MAJOR),
	    rk_cuda_gpu_attribute(&gpu, RK_CUDA_ATTR_COMPUTE_MINOR));
	add(facts, group, "multiprocessors", FACT_PLAIN, "%d",
	    rk_cuda_gpu_attribute(&gpu, RK_CUDA_ATTR_MULTIPROCESSORS));
	add_order(facts, group, &gpu);
	if (open)
		add_open_gpu(facts, group, ordinal);
}

static void add_gpus(struct facts *facts, bool open)
{
	const struct rk_cuda *cuda;
	int absent = rk_cuda(&cuda);

	advise(add(facts, "backends", "cuda", absent ? FACT_NO : FACT_YES, "actors on a GPU"), "%s",
	       absent ? rk_errmsg() : "");
	for (int i = 0; !absent && i < cuda->devices && i < CUDA_GPUS; i++)
		add_gpu(facts, i, open);
}

static void add_library(struct facts *facts, const char *name, int there, const char *use,
			const char *package)
{
	struct fact *fact = add(facts, "libraries", name, there ? FACT_YES : FACT_NO, "%s", use);

	if (!there)
		advise(fact, "apt-get install %s, then make", package);
}

static bool in_path(const char *program)
{
	char *path = strdup(getenv("PATH") ? getenv("PATH") : ""), *rest = path, *directory;
	char file[4096];
	bool found = false;

	while (!found && (directory = strsep(&rest, ":"))) {
		snprintf(file, sizeof(file), "%s/%s", directory, program);
		found = *directory && !access(file, X_OK);
	}
	free(path);
	return found;
}

static void add_libraries(struct facts *facts)
{
	bool gnuplot = in_path("gnuplot");
	const struct rk_nvrtc *nvrtc;
	struct fact *fact;
	int absent;

	add_library(facts, "pcap", RK_HAVE_PCAP, "captures", "libpcap-dev");
	add_library(facts, "uring", RK_HAVE_URING, "sockets and files by io_uring",
		    "liburing-dev");
	add_library(facts, "verbs", RK_HAVE_VERBS, "port verbs", "librdmacm-dev");
	add_library(facts, "ucx", RK_HAVE_UCX, "port ucx", "libucx-dev");
	add_library(facts, "numa", RK_HAVE_NUMA, "memory on a named node", "libnuma-dev");
	add_library(facts, "zlib", RK_HAVE_ZLIB, "histogram logs", "zlib1g-dev");
	add_library(facts, "xxhash", RK_HAVE_XXHASH, "snapshots", "libxxhash-dev");
	add_library(facts, "zstd", RK_HAVE_ZSTD, "compressed snapshots", "libzstd-dev");
	add_library(facts, "jansson", RK_HAVE_JANSSON, "JSON: -j, truth, verify", "libjansson-dev");
	absent = rk_nvrtc(&nvrtc);
	advise(add(facts, "libraries", "nvrtc", absent ? FACT_NO : FACT_YES,
		   "handlers of a program's own on a GPU"),
	       "%s", absent ? rk_errmsg() : "");
	fact = add(facts, "programs", "gnuplot", gnuplot ? FACT_YES : FACT_NO, "plots as images");
	if (!gnuplot)
		advise(fact, "plots are text: apt-get install gnuplot-nox");
}

/* --- Output --- */

static void print(const struct facts *facts)
{
	static const char *const marks[] = {"", "yes", "no"};
	const char *group = "";

	for (unsigned int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->fact[i];

		if (strcmp(group, fact->group))
			printf("%s\n", fact->group);
		group = fact->group;
		printf("  %-18s  ", fact->name);
		if (fact->state == FACT_PLAIN)
			printf("%s\n", fact->value);
		else
			printf("%-3s  %s\n", marks[fact->state], fact->value);
		if (*fact->remedy)
			printf("  %-18s  %s%s\n", "",
			       fact->state == FACT_NO ? "why: " : "note: ", fact->remedy);
	}
}

#if RK_HAVE_JANSSON

static void print_json(const struct facts *facts)
{
	json_t *all = json_object();

	for (unsigned int i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->fact[i];
		json_t *group = json_object_get(all, fact->group), *entry;

		if (!group) {
			group = json_object();
			json_object_set_new(all, fact->group, group);
		}
		entry = json_pack("{s:s,s:s}", "value", fact->value, "remedy", fact->remedy);
		if (fact->state != FACT_PLAIN)
			json_object_set_new(entry, "present",
					    json_boolean(fact->state == FACT_YES));
		json_object_set_new(group, fact->name, entry);
	}
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(all);
}

#else

static void print_json(const struct facts *facts)
{
	print(facts);
}

#endif

static int run(const struct tool *tool, int count, char **words)
{
	bool open_gpus = count && !strcmp(words[0], "gpu");
	struct facts *facts;

	if (count > open_gpus) {
		tool_unknown(words[open_gpus], open_gpus ? "the end" : "gpu, the end");
		return tool_fail("info", TOOL_MISUSED);
	}
	facts = calloc(1, sizeof(*facts));
	if (!facts) {
		rk_fail(ENOMEM, "no memory");
		return tool_fail("info", TOOL_FAILED);
	}
	add_machine(facts);
	add_codecs(facts);
	add_providers(facts);
	add_uring(facts);
	add_kinds(facts);
	add_gpus(facts, open_gpus);
	add_rdma(facts);
	add_libraries(facts);
	if (tool->json)
		print_json(facts);
	else
		print(facts);
	free(facts);
	return TOOL_OK;
}

const struct tool_command cmd_info = {
	.name = "info",
	.summary = "what this machine and build offer, and what to do about the rest",
	.help = "info [gpu]\n"
		"\n"
		"  gpu   open each GPU too: which of its memory the CPU reaches, whether RDMA\n"
		"        devices write it, and how near it is to its multiprocessors, measured\n",
	.run = run,
};
