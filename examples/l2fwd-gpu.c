// SPDX-License-Identifier: MIT
/*
 * l2fwd-gpu: DPDK's l2fwd with an actor in the middle. Each lcore receives from its ports and hands
 * the bursts to actors; l2_forward (kernels/l2_forward.c) reads the headers, drops or rewrites,
 * and what comes back is transmitted. Without a NIC:
 *
 *   l2fwd-gpu -l 0 --no-huge -m 64 --no-pci --vdev net_null0 --vdev net_null1 -- -p 3 -T 1
 *
 * With --gpu 0 the actors run on that GPU, and read long frames where the NIC wrote them.
 */
#include "ports/dpdk/rk_dpdk.h"
#include "actors.h"
#include "l2_forward.h"
#include "rk_error.h"
#include "rk_runtime.h"

#include <getopt.h>
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORTS = 32,
	BURST = 32,
	DESCRIPTORS = 1024,
	RING_SLOTS = 4096,
	DRAIN_US = 100,
	MBUFS = 16383,
	HEADER_BYTES = 96, /* that a NIC splits off where the rest goes to memory of a GPU */
};

/**
 * struct port - a port, its actor, and what is on its way
 * @held: received, not yet taken by the ring
 * @buffer: frames to transmit by this port, as every l2fwd gathers them
 */
struct port {
	uint16_t id, peer;
	unsigned int lcore;
	struct rk_actor *actor;
	struct rk_dpdk_queue *queue;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct rte_mbuf *held[BURST];
	uint16_t held_count;
	struct rte_eth_dev_tx_buffer *buffer;
	uint64_t rx, tx, dropped;
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));

static struct port ports[PORTS];
static unsigned int port_count;
static volatile bool stopping;
static struct rk_dpdk_pool *pool;
static struct rte_mempool *headers; /* NULL: frames are not split */
static struct rk_runtime *runtime;

static struct {
	uint32_t mask;
	unsigned int ports_per_lcore, period_s;
	bool keep_macs, heads, block, gpu_mbufs;
	int gpu; /* -1: actors run on CPUs */
	uint64_t drop_udp_port, drop_tcp_port;
} options = {.ports_per_lcore = 1, .period_s = 10, .gpu = -1};

static bool on_gpu(void)
{
	return options.gpu >= 0;
}

static void check(int result, const char *what)
{
	if (result < 0)
		rte_exit(EXIT_FAILURE, "%s: %s\n", what, rk_errmsg());
}

/* --- Statistics, as l2fwd prints them --- */

static void print_actor(const struct port *port)
{
	const struct rk_l2_state *state = rk_actor_state(port->actor);
	const struct rk_actor_type *type = rk_actor_type_find("l2_forward");

	if (!state) /* it is read when the actor has stopped */
		return;
	for (const struct rk_counter_name *counter = type->counters; counter->name; counter++) {
		uint64_t value;

		memcpy(&value, (const char *)state + counter->offset, sizeof(value));
		if (value)
			printf("\n  actor %-24s %14" PRIu64, counter->name, value);
	}
}

static void print_latency(const struct port *port, enum rk_dpdk_latency which, const char *name)
{
	const struct rk_hist *hist = rk_dpdk_queue_latency(port->queue, which);

	if (rk_hist_count(hist))
		printf("\n%s us: p50 %.1f p99 %.1f p99.9 %.1f", name,
		       (double)rk_hist_percentile(hist, 50) / 1e3,
		       (double)rk_hist_percentile(hist, 99) / 1e3,
		       (double)rk_hist_percentile(hist, 99.9) / 1e3);
}

static void print_stats(void)
{
	uint64_t tx = 0, rx = 0, dropped = 0;

	printf("\nPort statistics ====================================");
	for (unsigned int i = 0; i < port_count; i++) {
		const struct port *port = &ports[i];
		struct rk_dpdk_stats stats;

		rk_dpdk_queue_stats(port->queue, &stats);
		printf("\nStatistics for port %u ------------------------------"
		       "\nPackets sent: %24" PRIu64 "\nPackets received: %20" PRIu64
		       "\nPackets dropped: %21" PRIu64,
		       port->id, port->tx, port->rx, port->dropped);
		for (unsigned int k = 0; rk_dpdk_stat_name(k); k++)
			if (((uint64_t *)&stats)[k])
				printf("\n  queue %-24s %14" PRIu64, rk_dpdk_stat_name(k),
				       ((uint64_t *)&stats)[k]);
		print_actor(port);
		print_latency(port, RK_DPDK_RX_TO_ACTOR, "RX to actor");
		print_latency(port, RK_DPDK_RX_TO_TX, "RX to TX");
		tx += port->tx;
		rx += port->rx;
		dropped += port->dropped + stats.tx_dropped_packets;
	}
	printf("\nAggregate statistics ==============================="
	       "\nTotal packets sent: %18" PRIu64 "\nTotal packets received: %14" PRIu64
	       "\nTotal packets dropped: %15" PRIu64
	       "\n====================================================\n",
	       tx, rx, dropped);
	fflush(stdout);
}

/* --- The lcores --- */

static struct port *port_by_id(uint16_t id)
{
	for (unsigned int i = 0; i < port_count; i++)
		if (ports[i].id == id)
			return &ports[i];
	return NULL;
}

static void to_actor(struct port *port)
{
	uint16_t taken;

	/* A full ring: what was received waits, and the NIC's queue fills. */
	if (!port->held_count) {
		port->held_count = rte_eth_rx_burst(port->id, 0, port->held, BURST);
		port->rx += port->held_count;
	}
	if (!port->held_count)
		return;
	taken = rk_dpdk_enqueue_burst(port->queue, port->held, port->held_count);
	port->held_count -= taken;
	memmove(port->held, port->held + taken, port->held_count * sizeof(struct rte_mbuf *));
}

static void from_actor(struct port *port)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count = rk_dpdk_dequeue_burst(port->queue, mbufs, BURST);

	for (uint16_t i = 0; i < count; i++) {
		struct port *out = port_by_id(port->peer);

		/* The actor names the port; only the peer's queue is this lcore's to send by. */
		if (mbufs[i]->port != port->peer) {
			rte_pktmbuf_free(mbufs[i]);
			port->dropped++;
			continue;
		}
		out->tx += rte_eth_tx_buffer(out->id, 0, out->buffer, mbufs[i]);
	}
}

static void drain(unsigned int lcore)
{
	for (unsigned int i = 0; i < port_count; i++)
		if (port_by_id(ports[i].peer)->lcore == lcore)
			ports[i].tx += rte_eth_tx_buffer_flush(ports[i].id, 0, ports[i].buffer);
}

/* Nothing more goes to the actor; what it has comes back, or two seconds pass. */
static void wind_up(struct port *port)
{
	uint64_t end = rte_get_timer_cycles() + 2 * rte_get_timer_hz();

	while (port->held_count && rte_get_timer_cycles() < end) {
		to_actor(port);
		from_actor(port);
	}
	rte_pktmbuf_free_bulk(port->held, port->held_count);
	while (!rk_ring_close(port->to, RK_CLOSE_DONE) && rte_get_timer_cycles() < end)
		from_actor(port);
	while (!rk_dpdk_queue_closed(port->queue) && rte_get_timer_cycles() < end)
		from_actor(port);
}

static int run(void *unused)
{
	const uint64_t drain_cycles = rte_get_timer_hz() / 1000000 * DRAIN_US;
	const uint64_t print_cycles = options.period_s * rte_get_timer_hz();
	unsigned int lcore = rte_lcore_id();
	uint64_t drained = 0, printed = rte_get_timer_cycles();

	(void)unused;
	while (!stopping) {
		for (unsigned int i = 0; i < port_count; i++) {
			if (ports[i].lcore != lcore)
				continue;
			to_actor(&ports[i]);
			from_actor(&ports[i]);
		}
		if (rte_get_timer_cycles() - drained > drain_cycles) {
			drain(lcore);
			drained = rte_get_timer_cycles();
		}
		if (print_cycles && lcore == rte_get_main_lcore() && drained - printed > print_cycles) {
			print_stats();
			printed = drained;
		}
	}
	for (unsigned int i = 0; i < port_count; i++)
		if (ports[i].lcore == lcore)
			wind_up(&ports[i]);
	drain(lcore);
	return 0;
}

/* --- Where frames lie --- */

static int open_pool(bool in_gpu)
{
	const struct rk_dpdk_pool_opts opts = {.size = sizeof(opts),
					       .mbufs = MBUFS,
					       .cuda = on_gpu() && !in_gpu,
					       .on_gpu = in_gpu,
					       .gpu = options.gpu};

	return rk_dpdk_pool_open(&pool, "l2fwd", &opts);
}

static int map_ports(void)
{
	int result = 0;

	for (unsigned int i = 0; i < port_count && !result; i++)
		result = rk_dpdk_pool_map(pool, ports[i].id);
	return result;
}

/* In memory of the GPU if that is wanted and can be, else of the host. */
static void open_pools(void)
{
	int result = -1;

	if (options.gpu_mbufs) {
		result = open_pool(true);
		if (!result)
			result = map_ports();
		if (result) {
			printf("mbufs are in memory of the host: %s\n", rk_errmsg());
			rk_dpdk_pool_close(pool);
		} else {
			headers = rte_pktmbuf_pool_create("headers", MBUFS, 256, 0,
							  RTE_PKTMBUF_HEADROOM + HEADER_BYTES,
							  SOCKET_ID_ANY);
		}
	}
	if (result) {
		check(open_pool(false), "pool");
		check(map_ports(), "DMA");
	}
	if (*rk_dpdk_pool_note(pool))
		printf("pool: %s\n", rk_dpdk_pool_note(pool));
}

/* --- Setting up --- */

static uint64_t mac_of(uint16_t id)
{
	struct rte_ether_addr address;
	uint64_t mac = 0;

	rte_eth_macaddr_get(id, &address);
	for (unsigned int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		mac = mac << 8 | address.addr_bytes[i];
	return mac;
}

/* The headers to a pool of the host's, what follows to the GPU's; or all to one pool. */
static int set_up_receive(const struct port *port, uint16_t descriptors,
			  const struct rte_eth_dev_info *info)
{
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(port->id);
	struct rte_eth_rxconf conf = info->default_rxconf;
	union rte_eth_rxseg segments[2];

	if (!headers)
		return rte_eth_rx_queue_setup(port->id, 0, descriptors, socket, NULL,
					      rk_dpdk_pool_mempool(pool));
	memset(segments, 0, sizeof(segments));
	segments[0].split = (struct rte_eth_rxseg_split){.mp = headers, .length = HEADER_BYTES};
	segments[1].split = (struct rte_eth_rxseg_split){.mp = rk_dpdk_pool_mempool(pool)};
	conf.offloads |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
	conf.rx_seg = segments;
	conf.rx_nseg = 2;
	return rte_eth_rx_queue_setup(port->id, 0, descriptors, socket, &conf, NULL);
}

static void start_port(struct port *port)
{
	struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}};
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port->id, &info);

	if (!result) {
		conf.rxmode.offloads = (RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_SCATTER |
					(headers ? RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT : 0)) &
				       info.rx_offload_capa;
		conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS & info.tx_offload_capa;
		result = rte_eth_dev_configure(port->id, 1, 1, &conf);
	}
	if (!result)
		result = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
	if (!result)
		result = set_up_receive(port, rx, &info);
	if (!result)
		result = rte_eth_tx_queue_setup(
			port->id, 0, tx, (unsigned int)rte_eth_dev_socket_id(port->id), NULL);
	if (!result)
		result = rte_eth_dev_start(port->id);
	if (result)
		rte_exit(EXIT_FAILURE, "port %u: %s\n", port->id, rte_strerror(-result));
	rte_eth_promiscuous_enable(port->id);
	port->buffer = calloc(1, RTE_ETH_TX_BUFFER_SIZE(BURST));
	if (!port->buffer)
		rte_exit(EXIT_FAILURE, "no memory\n");
	rte_eth_tx_buffer_init(port->buffer, BURST);
	rte_eth_tx_buffer_set_err_callback(port->buffer, rte_eth_tx_buffer_count_callback,
					   &port->dropped);
}

static void start_actor(struct port *port)
{
	const struct rk_region_info *region = rk_region_info(rk_dpdk_pool_region(pool));
	const uint64_t args[RK_L2_ARGS] = {
		[RK_L2_PORT_XOR] = port->id ^ port->peer,
		[RK_L2_SOURCE_MAC] = options.keep_macs ? 0 : mac_of(port->peer),
		[RK_L2_DESTINATION_MAC] =
			options.keep_macs ? 0 : UINT64_C(0x020000000000) + port->peer,
		[RK_L2_DROP_UDP_PORT] = options.drop_udp_port,
		[RK_L2_DROP_TCP_PORT] = options.drop_tcp_port,
		[RK_L2_REGION] = on_gpu() ? region->gpu_addr
					  : (uint64_t)(uintptr_t)region->host_addr,
		[RK_L2_REGION_BYTES] = region->bytes,
	};
	const struct rk_actor_opts actor_opts = {.size = sizeof(actor_opts),
						 .worker = RK_ANY_WORKER,
						 .backend = on_gpu() ? RK_BACKEND_CUDA
								     : RK_BACKEND_CPU,
						 .gpu = on_gpu() ? options.gpu : 0,
						 .group = options.block ? RK_GROUP_BLOCK
									: RK_GROUP_WARP,
						 .args = args,
						 .arg_count = RK_L2_ARGS};
	const struct rk_link_opts link = {.size = sizeof(link), .slots = RING_SLOTS};
	struct rk_dpdk_queue_opts queue_opts = {.size = sizeof(queue_opts),
						.heads = options.heads,
						.pool = rk_dpdk_pool_mempool(pool)};
	char name[RK_DPDK_NAME_BYTES];

	check(rk_actor_spawn(&port->actor, runtime, rk_actor_type_find("l2_forward"), &actor_opts),
	      "actor");
	check(rk_link_host_out(&port->from, port->actor, &link), "link");
	check(rk_link_host_in(&port->to, port->actor, &link), "link");
	queue_opts.to_actor = port->to;
	queue_opts.from_actor = port->from;
	snprintf(name, sizeof(name), "port%u", port->id);
	check(rk_dpdk_queue_open(&port->queue, name, &queue_opts), "queue");
}

/* Ports in pairs, the last of an odd number with itself; lcores in turn. */
static void assign_ports(void)
{
	unsigned int lcore = rte_get_next_lcore((unsigned int)-1, 0, 0), on_lcore = 0;
	uint16_t id;

	RTE_ETH_FOREACH_DEV (id) {
		if (id >= PORTS || !(options.mask & 1U << id))
			continue;
		if (on_lcore++ == options.ports_per_lcore) {
			lcore = rte_get_next_lcore(lcore, 0, 1);
			on_lcore = 1;
		}
		ports[port_count++] = (struct port){.id = id, .peer = id, .lcore = lcore};
	}
	for (unsigned int i = 0; i + 1 < port_count; i += 2) {
		ports[i].peer = ports[i + 1].id;
		ports[i + 1].peer = ports[i].id;
	}
	if (!port_count)
		rte_exit(EXIT_FAILURE, "no port: give -p MASK of those there are, or --vdev\n");
}

/* Actors run on CPUs that no lcore has, as far as there are some. */
static void start_runtime(const cpu_set_t *allowed)
{
	struct rk_runtime_opts opts = {.size = sizeof(opts)};
	int cpus[PORTS];
	unsigned int lcore;
	cpu_set_t left = *allowed;

	RTE_LCORE_FOREACH (lcore)
		CPU_CLR((size_t)rte_lcore_to_cpu_id((int)lcore), &left);
	/* Where a GPU runs them there is one worker, which sleeps. */
	for (int cpu = 0; cpu < CPU_SETSIZE && opts.workers < (on_gpu() ? 1 : port_count); cpu++)
		if (CPU_ISSET((size_t)cpu, &left))
			cpus[opts.workers++] = cpu;
	opts.cpus = cpus;
	opts.unpinned = !opts.workers;
	if (!opts.workers) {
		if (!on_gpu())
			printf("no CPU is left for actors: they share those of the lcores\n");
		opts.workers = 1;
		opts.cpus = NULL;
	}
	check(rk_runtime_open(&runtime, &opts), "runtime");
}

static void usage(const char *program)
{
	rte_exit(EXIT_FAILURE,
		 "%s [EAL options] -- -p PORTMASK [-q NQ] [-T PERIOD] [--no-mac-updating]\n"
		 "  -p PORTMASK            hexadecimal mask of the ports to use\n"
		 "  -q NQ                  ports per lcore (default 1)\n"
		 "  -T PERIOD              seconds between statistics, 0: at the end (default 10)\n"
		 "  --no-mac-updating      leave the addresses\n"
		 "  --heads                actors get the first 44 bytes of frames, which is faster\n"
		 "  --gpu N                actors run on that GPU, each on a warp; with --heads, for it\n"
		 "                         takes messages of several slots one by one\n"
		 "  --block                on a block: more frames a second, at some more latency\n"
		 "  --gpu-mbufs            frames lie in memory of the GPU, if the NIC can\n"
		 "  --drop-udp-port PORT   the actor drops datagrams to this port\n"
		 "  --drop-tcp-port PORT   and segments to this one\n",
		 program);
}

static void parse(int count, char **words)
{
	static const struct option longs[] = {{"no-mac-updating", no_argument, NULL, 'n'},
					      {"heads", no_argument, NULL, 'h'},
					      {"gpu", required_argument, NULL, 'g'},
					      {"block", no_argument, NULL, 'b'},
					      {"gpu-mbufs", no_argument, NULL, 'm'},
					      {"drop-udp-port", required_argument, NULL, 'u'},
					      {"drop-tcp-port", required_argument, NULL, 't'},
					      {NULL, 0, NULL, 0}};
	int option;

	optind = 1;
	while ((option = getopt_long(count, words, "p:q:T:P", longs, NULL)) != -1) {
		if (option == 'p')
			options.mask = (uint32_t)strtoul(optarg, NULL, 16);
		else if (option == 'q')
			options.ports_per_lcore = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'T')
			options.period_s = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			options.keep_macs = true;
		else if (option == 'h')
			options.heads = true;
		else if (option == 'g')
			options.gpu = atoi(optarg);
		else if (option == 'b')
			options.block = true;
		else if (option == 'm')
			options.gpu_mbufs = true;
		else if (option == 'u')
			options.drop_udp_port = strtoul(optarg, NULL, 10);
		else if (option == 't')
			options.drop_tcp_port = strtoul(optarg, NULL, 10);
		else
			usage(words[0]);
	}
	if (!options.mask || !options.ports_per_lcore ||
	    ((options.block || options.gpu_mbufs) && !on_gpu()))
		usage(words[0]);
}

static void on_signal(int signal)
{
	(void)signal;
	stopping = true;
}

/* Everything in the reverse order; says whether a single mbuf is missing. */
static int finish(void)
{
	unsigned int out;

	rk_runtime_stop(runtime, RK_STOP_NOW, 1000000000);
	print_stats();
	for (unsigned int i = 0; i < port_count; i++) {
		rk_dpdk_queue_close(ports[i].queue, NULL);
		rte_eth_dev_stop(ports[i].id);
		rk_dpdk_pool_unmap(pool, ports[i].id);
		rte_eth_dev_close(ports[i].id);
		free(ports[i].buffer);
	}
	rk_runtime_close(runtime);
	out = rte_mempool_in_use_count(rk_dpdk_pool_mempool(pool)) +
	      (headers ? rte_mempool_in_use_count(headers) : 0);
	printf("mbufs not returned: %u\n", out);
	check(rk_dpdk_pool_close(pool), "pool");
	rte_mempool_free(headers);
	rte_eal_cleanup();
	return out ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	cpu_set_t allowed;
	int used;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	used = rte_eal_init(argc, argv);
	if (used < 0)
		rte_exit(EXIT_FAILURE, "rte_eal_init: %s\n", rte_strerror(rte_errno));
	parse(argc - used, argv + used);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	assign_ports();
	open_pools();
	start_runtime(&allowed);
	/* Ports last: a GPU takes a second or two to open, and who is connected expects to be served. */
	for (unsigned int i = 0; i < port_count; i++)
		start_actor(&ports[i]);
	for (unsigned int i = 0; i < port_count; i++)
		start_port(&ports[i]);
	printf("%u ports are served\n", port_count);
	fflush(stdout);
	rte_eal_mp_remote_launch(run, NULL, CALL_MAIN);
	rte_eal_mp_wait_lcore();
	return finish();
}
