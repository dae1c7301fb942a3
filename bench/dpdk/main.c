// SPDX-License-Identifier: MIT
/*
 * ringkernel-bench-dpdk: what a frame costs from a port through an actor and out again, against
 * dpdk-testpmd on the same device and CPUs, in turn, in one run. On net_null, which makes frames
 * of nothing, so that nothing but the forwarder is measured; and on memif, frames made by a
 * testpmd on another CPU. With the actor on a GPU: against a persistent kernel that polls a list of
 * packets, written by hand (gpu.c).
 */
#include "actors.h"
#include "bench.h"
#include "rk_error.h"
#include "testpmd.h"

#include <getopt.h>
#include <rte_eal.h>
#include <rte_cycles.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RING_SLOTS = 2048 };

static const char usage[] =
	"ringkernel-bench-dpdk [-g] [-j] [-r ROUNDS] [-t MILLISECONDS]\n"
	"\n"
	"  -g   actors on a GPU alone\n"
	"  -j   JSON\n"
	"  -r   rounds, an odd number (default 7); each figure is their median\n"
	"  -t   of each measurement (default 500)\n"
	"\n"
	"Prints a line for each figure, then one a bar: 'bar NAME VALUE GOAL met|missed'.\n";

struct bench_options options = {.rounds = 7, .ns = 500000000};

/* --- What is measured --- */

static double rate_of(const struct forwarder *f, uint64_t ns)
{
	return (double)f->sent * 1e9 / (double)ns;
}

/* What one way through the port gave, over the rounds. */
struct way {
	const char *name;
	const char *actor;
	bool heads;
	struct series rate, ns, ratio;
};

static void measure_way(struct way *way, const int *cpus, struct series *bare)
{
	const struct forwarder_opts opts = {.vdev = "net_null0,size=64",
					    .type = rk_actor_type_find(way->actor),
					    .cpu = cpus[1],
					    .slots = RING_SLOTS,
					    .heads = way->heads};
	struct forwarder f;

	forwarder_open(&f, &opts);
	forwarder_run(&f, options.ns / 5); /* to warm up */
	forwarder_run(&f, options.ns);
	add(&way->rate, rate_of(&f, options.ns));
	/* The median burst: other work of the machine that comes between is no cost of ours. */
	add(&way->ns, ns_of(rk_hist_percentile(f.cost, 50)) / BURST);
	add(bare, forwarder_bare_rate(&f, options.ns / 5));
	forwarder_close(&f);
}

/* net_null: everything in turn, round by round, on the same two CPUs. */
static void measure_null(const int *cpus)
{
	static struct way ways[] = {
		{.name = "heads, echo", .actor = "echo", .heads = true},
		{.name = "heads, l2_forward", .actor = "l2_forward", .heads = true},
		{.name = "whole frames inline, echo", .actor = "echo"},
	};
	enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
	static struct series floor, bare;
	double beyond;

	for (unsigned int i = 0; i < options.rounds; i++) {
		struct testpmd testpmd;
		double peer;

		bare.count = i; /* the last way's stand for the round */
		for (unsigned int k = 0; k < WAYS; k++, bare.count = i)
			measure_way(&ways[k], cpus, &bare);
		bare.count = i + 1;
		if (testpmd_start(&testpmd, cpus[1], cpus[0], "net_null0,size=64", "macswap"))
			exit(1);
		testpmd_rate(&testpmd, options.ns / 5);
		peer = testpmd_rate(&testpmd, options.ns);
		testpmd_stop(&testpmd);
		add(&floor, peer);
		for (unsigned int k = 0; k < WAYS; k++)
			add(&ways[k].ratio, peer > 0 ? ways[k].rate.value[i] / peer : 0);
	}
	say("net_null, 64 bytes, bursts of %d, medians of %u rounds; the actor on a CPU of its own\n"
	    "  %-34s %12s %24s\n",
	    BURST, options.rounds, "", "M frames/s", "ns a frame in the port");
	for (unsigned int k = 0; k < WAYS; k++)
		say("  %-34s %12.2f %24.1f\n", ways[k].name, median(&ways[k].rate) / 1e6,
		    median(&ways[k].ns));
	say("  %-34s %12.2f\n  %-34s %12.2f\n", "testpmd macswap", median(&floor) / 1e6,
	    "receive and transmit, no more", median(&bare) / 1e6);
	judge("null_echo_vs_testpmd", median(&ways[0].ratio), 'g', 0.9);
	judge("null_l2_forward_vs_testpmd", median(&ways[1].ratio), '-', 0);
	judge("null_inline_echo_vs_testpmd", median(&ways[2].ratio), '-', 0);
	/* The port thread's time for a frame, driver and port, less testpmd's for its own. */
	beyond = 1e9 / median(&bare) - 1e9 / median(&floor);
	judge("null_port_ns_beyond_testpmd", median(&ways[0].ns) + beyond, 'l', 15);
	judge("null_inline_port_ns_beyond_testpmd", median(&ways[2].ns) + beyond, '-', 0);
}

/* memif: a testpmd makes frames on one CPU and counts what comes back. */
static double memif_rate_of_testpmd(const int *cpus, const char *directory)
{
	struct testpmd forwarder, generator;
	char server[256], client[256];
	double rate;

	snprintf(server, sizeof(server), "net_memif0,role=server,socket-abstract=no,socket=%s/t",
		 directory);
	snprintf(client, sizeof(client), "net_memif0,role=client,socket-abstract=no,socket=%s/t",
		 directory);
	if (testpmd_start(&forwarder, cpus[1], cpus[0], server, "macswap"))
		exit(1);
	sleep(1);
	if (testpmd_start(&generator, cpus[1], cpus[CPUS - 1], client, "txonly"))
		exit(1);
	testpmd_rate(&forwarder, 1000000000);
	rate = testpmd_rate(&forwarder, options.ns);
	testpmd_stop(&generator);
	testpmd_stop(&forwarder);
	return rate;
}

static double memif_rate_of_ours(const int *cpus, const char *directory)
{
	struct forwarder_opts opts = {.type = rk_actor_type_find("echo"),
				      .cpu = cpus[1],
				      .slots = RING_SLOTS,
				      .heads = true};
	struct forwarder f;
	struct testpmd generator;
	char server[256], client[256];
	double rate;

	snprintf(server, sizeof(server), "net_memif0,role=server,socket-abstract=no,socket=%s/r",
		 directory);
	snprintf(client, sizeof(client), "net_memif0,role=client,socket-abstract=no,socket=%s/r",
		 directory);
	opts.vdev = server;
	forwarder_open(&f, &opts);
	if (testpmd_start(&generator, cpus[1], cpus[CPUS - 1], client, "txonly"))
		exit(1);
	forwarder_run(&f, 1000000000);
	forwarder_run(&f, options.ns);
	rate = rate_of(&f, options.ns);
	testpmd_stop(&generator);
	forwarder_close(&f);
	return rate;
}

static void measure_memif(const int *cpus)
{
	struct series ours = {.count = 0}, floor = {.count = 0}, ratio = {.count = 0};
	char directory[] = "/tmp/rk-bench-XXXXXX", path[64];

	if (!mkdtemp(directory))
		return;
	for (unsigned int i = 0; i < options.rounds && i < 5; i++) {
		add(&ours, memif_rate_of_ours(cpus, directory));
		add(&floor, memif_rate_of_testpmd(cpus, directory));
		if (floor.value[i] > 0)
			add(&ratio, ours.value[i] / floor.value[i]);
	}
	for (const char *name = "rt"; *name; name++) {
		snprintf(path, sizeof(path), "%s/%c", directory, *name);
		unlink(path);
	}
	rmdir(directory);
	say("memif, 64 bytes, made by testpmd on a CPU of its own, M frames/s:\n"
	    "  heads, echo                        %12.2f\n"
	    "  testpmd macswap                    %12.2f\n",
	    median(&ours) / 1e6, median(&floor) / 1e6);
	judge("memif_echo_vs_testpmd", median(&ratio), 'g', 0.9);
}

/* The first CPUs that this process may use. */
static unsigned int find_cpus(int cpus[CPUS])
{
	unsigned int count = 0;
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE && count < CPUS; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			cpus[count++] = cpu;
	return count;
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "gjr:t:h")) != -1) {
		if (option == 'g')
			options.gpu_alone = true;
		else if (option == 'j')
			options.json = true;
		else if (option == 'r')
			options.rounds = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 't')
			options.ns = strtoull(optarg, NULL, 10) * 1000000;
		else {
			fputs(usage, option == 'h' ? stdout : stderr);
			exit(option == 'h' ? 0 : 2);
		}
	}
	if (options.rounds < 1 || options.rounds > ROUNDS_MOST || options.ns < 1000000 ||
	    optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	char lcore[32];
	char *words[] = {argv[0],	       (char *)"--lcores", lcore,
			 (char *)"--no-pci",     (char *)"--no-huge", (char *)"-m",
			 (char *)"64",	       (char *)"--no-shconf", (char *)"--no-telemetry",
			 (char *)"--log-level=error"};
	unsigned int count;
	int cpus[CPUS];

	setvbuf(stdout, NULL, _IOLBF, 0); /* what was measured stays, should it be ended */
	parse(argc, argv);
	count = find_cpus(cpus);
	if (count < 2) {
		fprintf(stderr, "ringkernel-bench-dpdk: two CPUs are needed, one for the actor\n");
		return 1;
	}
	snprintf(lcore, sizeof(lcore), "0@%d", cpus[0]);
	if (rte_eal_init(sizeof(words) / sizeof(words[0]), words) < 0)
		return 1;
	if (!options.gpu_alone) {
		measure_null(cpus);
		if (count >= CPUS)
			measure_memif(cpus);
		else
			say("memif: not measured: it needs a third CPU, for who makes the frames\n");
	}
	measure_gpu(cpus);
	print_bars();
	rte_eal_cleanup();
	return 0;
}
