// SPDX-License-Identifier: MIT
/*
 * ringkernel-bench-dpdk: what a frame costs from a port through an actor and out again, against
 * dpdk-testpmd on the same device and CPUs, in turn, in one run. On net_null, which makes frames
 * of nothing, so that nothing but the forwarder is measured; and on memif, frames made by a
 * testpmd on another CPU.
 */
#include "actors.h"
#include "clock.h"
#include "ports/dpdk/rk_dpdk.h"
#include "rk_error.h"
#include "rk_runtime.h"
#include "testpmd.h"

#include <getopt.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BURST = 32, ROUNDS_MOST = 31, BARS_MOST = 16, RING_SLOTS = 2048, CPUS = 3 };

static const char usage[] =
	"ringkernel-bench-dpdk [-j] [-r ROUNDS] [-t MILLISECONDS]\n"
	"\n"
	"  -j   JSON\n"
	"  -r   rounds, an odd number (default 7); each figure is their median\n"
	"  -t   of each measurement (default 500)\n"
	"\n"
	"Prints a line for each figure, then one a bar: 'bar NAME VALUE GOAL met|missed'.\n";

static struct {
	bool json;
	unsigned int rounds;
	uint64_t ns;
} options = {.rounds = 7, .ns = 500000000};

struct forwarder {
	uint16_t port;
	struct rk_dpdk_pool *pool;
	struct rk_runtime *runtime;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct rk_dpdk_queue *queue;
	struct rte_mbuf *held[BURST];
	uint16_t held_count;
	struct rk_hist *cost; /* TSC cycles of a full burst both ways, the driver left out */
	uint64_t sent;
};

struct series {
	double value[ROUNDS_MOST];
	unsigned int count;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "ringkernel-bench-dpdk: %s: %s\n", what, rk_errmsg());
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct series *series)
{
	struct series sorted = *series;

	qsort(sorted.value, sorted.count, sizeof(double), compare);
	return sorted.count ? sorted.value[sorted.count / 2] : 0;
}

static void add(struct series *series, double value)
{
	series->value[series->count++] = value;
}

/* --- Our forwarder: one lcore, one actor --- */

static void open_port(struct forwarder *f, const char *vdev)
{
	const struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}};
	const struct rk_dpdk_pool_opts opts = {.size = sizeof(opts), .mbufs = 8192};
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(vdev, ","), vdev);
	if (rte_dev_probe(vdev) || rte_eth_dev_get_port_by_name(name, &f->port))
		check(rk_fail(ENODEV, "%s is not to be had", vdev), "device");
	check(rk_dpdk_pool_open(&f->pool, name, &opts), "pool");
	if (rte_eth_dev_configure(f->port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(f->port, 0, 512, SOCKET_ID_ANY, NULL,
				   rk_dpdk_pool_mempool(f->pool)) ||
	    rte_eth_tx_queue_setup(f->port, 0, 512, SOCKET_ID_ANY, NULL) ||
	    rte_eth_dev_start(f->port))
		check(rk_fail(EIO, "%s does not start", vdev), "device");
}

static void open_actor(struct forwarder *f, const char *type, int cpu, bool heads)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1, .cpus = &cpu};
	const struct rk_link_opts link = {.size = sizeof(link), .slots = RING_SLOTS};
	struct rk_dpdk_queue_opts queue = {.size = sizeof(queue),
					   .heads = heads,
					   .pool = rk_dpdk_pool_mempool(f->pool)};
	struct rk_actor *actor;

	check(rk_runtime_open(&f->runtime, &opts), "runtime");
	check(rk_actor_spawn(&actor, f->runtime, rk_actor_type_find(type), NULL), "actor");
	check(rk_link_host_out(&f->from, actor, &link), "link");
	check(rk_link_host_in(&f->to, actor, &link), "link");
	queue.to_actor = f->to;
	queue.from_actor = f->from;
	check(rk_dpdk_queue_open(&f->queue, "bench", &queue), "queue");
	check(rk_hist_open(&f->cost, 0), "histogram");
}

/* One round of the loop of every DPDK application. */
static void forward(struct forwarder *f)
{
	struct rte_mbuf *back[BURST];
	uint64_t start, end;
	uint16_t taken = 0, got, gone = 0;

	if (!f->held_count)
		f->held_count = rte_eth_rx_burst(f->port, 0, f->held, BURST);
	start = rte_rdtsc();
	if (f->held_count)
		taken = rk_dpdk_enqueue_burst(f->queue, f->held, f->held_count);
	got = rk_dpdk_dequeue_burst(f->queue, back, BURST);
	end = rte_rdtsc();
	/* A poll that finds nothing is not a cost of frames. */
	if (taken == BURST && got == BURST)
		rk_hist_record(f->cost, end - start);
	f->held_count -= taken;
	memmove(f->held, f->held + taken, f->held_count * sizeof(struct rte_mbuf *));
	while (gone < got) {
		uint16_t sent = rte_eth_tx_burst(f->port, 0, back + gone, (uint16_t)(got - gone));

		if (!sent) { /* the peer is slow: testpmd drops then, too */
			rte_pktmbuf_free_bulk(back + gone, (unsigned int)(got - gone));
			break;
		}
		gone += sent;
	}
	f->sent += gone;
}

static void run(struct forwarder *f, uint64_t ns)
{
	uint64_t end = rte_rdtsc() + (uint64_t)((double)ns * (double)rte_get_tsc_hz() / 1e9);

	f->sent = 0;
	rk_hist_reset(f->cost);
	while (rte_rdtsc() < end)
		for (int i = 0; i < 32; i++)
			forward(f);
}

static void close_forwarder(struct forwarder *f)
{
	struct rte_eth_dev_info info;

	rte_pktmbuf_free_bulk(f->held, f->held_count);
	f->held_count = 0;
	/* The actor first: what it has been lent is its until it is gone. */
	check(rk_runtime_close(f->runtime), "runtime");
	rk_dpdk_queue_close(f->queue, NULL);
	rk_hist_close(f->cost);
	rte_eth_dev_stop(f->port);
	rte_eth_dev_info_get(f->port, &info);
	rte_eth_dev_close(f->port);
	rte_dev_remove(info.device);
	check(rk_dpdk_pool_close(f->pool), "pool");
}

/* Receive and transmit, and nothing between: the driver alone. */
static double bare_rate(const struct forwarder *f, uint64_t ns)
{
	uint64_t start = rte_rdtsc(), sent = 0;
	uint64_t end = start + (uint64_t)((double)ns * (double)rte_get_tsc_hz() / 1e9);

	while (rte_rdtsc() < end) {
		struct rte_mbuf *mbufs[BURST];
		uint16_t got = rte_eth_rx_burst(f->port, 0, mbufs, BURST);

		sent += rte_eth_tx_burst(f->port, 0, mbufs, got);
	}
	return (double)sent / ((double)(rte_rdtsc() - start) / (double)rte_get_tsc_hz());
}

/* --- What is measured --- */

struct bar {
	const char *name;
	double value;
	char sense; /* 'g' at least, 'l' at most, '-' no goal */
	double goal;
};

static struct bar bars[BARS_MOST];
static unsigned int bar_count;

static void judge(const char *name, double value, char sense, double goal)
{
	bars[bar_count++] = (struct bar){name, value, sense, goal};
}

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
	struct forwarder f;

	memset(&f, 0, sizeof(f));
	open_port(&f, "net_null0,size=64");
	open_actor(&f, way->actor, cpus[1], way->heads);
	run(&f, options.ns / 5); /* to warm up */
	run(&f, options.ns);
	add(&way->rate, rate_of(&f, options.ns));
	/* The median burst: other work of the machine that comes between is no cost of ours. */
	add(&way->ns,
	    (double)rk_hist_percentile(f.cost, 50) * 1e9 / (double)rte_get_tsc_hz() / BURST);
	add(bare, bare_rate(&f, options.ns / 5));
	close_forwarder(&f);
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
	if (!options.json) {
		printf("net_null, 64 bytes, bursts of %d, medians of %u rounds; the actor on a CPU of "
		       "its own\n  %-34s %12s %24s\n",
		       BURST, options.rounds, "", "M frames/s", "ns a frame in the port");
		for (unsigned int k = 0; k < WAYS; k++)
			printf("  %-34s %12.2f %24.1f\n", ways[k].name,
			       median(&ways[k].rate) / 1e6, median(&ways[k].ns));
		printf("  %-34s %12.2f\n  %-34s %12.2f\n", "testpmd macswap",
		       median(&floor) / 1e6, "receive and transmit, no more", median(&bare) / 1e6);
	}
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
	struct forwarder f = {.port = 0};
	struct testpmd generator;
	char server[256], client[256];
	double rate;

	snprintf(server, sizeof(server), "net_memif0,role=server,socket-abstract=no,socket=%s/r",
		 directory);
	snprintf(client, sizeof(client), "net_memif0,role=client,socket-abstract=no,socket=%s/r",
		 directory);
	open_port(&f, server);
	open_actor(&f, "echo", cpus[1], true);
	if (testpmd_start(&generator, cpus[1], cpus[CPUS - 1], client, "txonly"))
		exit(1);
	run(&f, 1000000000);
	run(&f, options.ns);
	rate = rate_of(&f, options.ns);
	testpmd_stop(&generator);
	close_forwarder(&f);
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
	if (!options.json)
		printf("memif, 64 bytes, made by testpmd on a CPU of its own, M frames/s:\n"
		       "  heads, echo                        %12.2f\n"
		       "  testpmd macswap                    %12.2f\n",
		       median(&ours) / 1e6, median(&floor) / 1e6);
	judge("memif_echo_vs_testpmd", median(&ratio), 'g', 0.9);
}

static void print_bars(void)
{
	for (unsigned int i = 0; i < bar_count; i++) {
		const struct bar *bar = &bars[i];
		bool met = bar->sense == 'g' ? bar->value >= bar->goal : bar->value <= bar->goal;

		if (options.json)
			printf("%s{\"name\": \"%s\", \"value\": %.3f, \"goal\": %.3f, \"met\": %s}",
			       i ? ", " : "{\"bars\": [", bar->name, bar->value, bar->goal,
			       bar->sense == '-' ? "null" : met ? "true" : "false");
		else if (bar->sense == '-')
			printf("bar %s %.2f - -\n", bar->name, bar->value);
		else
			printf("bar %s %.2f %s%.2f %s\n", bar->name, bar->value,
			       bar->sense == 'g' ? ">=" : "<=", bar->goal, met ? "met" : "missed");
	}
	if (options.json)
		puts("]}");
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

	while ((option = getopt(argc, argv, "jr:t:h")) != -1) {
		if (option == 'j')
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

	parse(argc, argv);
	count = find_cpus(cpus);
	if (count < 2) {
		fprintf(stderr, "ringkernel-bench-dpdk: two CPUs are needed, one for the actor\n");
		return 1;
	}
	snprintf(lcore, sizeof(lcore), "0@%d", cpus[0]);
	if (rte_eal_init(sizeof(words) / sizeof(words[0]), words) < 0)
		return 1;
	measure_null(cpus);
	if (count >= CPUS)
		measure_memif(cpus);
	else if (!options.json)
		printf("memif: not measured: it needs a third CPU, for who makes the frames\n");
	print_bars();
	rte_eal_cleanup();
	return 0;
}
