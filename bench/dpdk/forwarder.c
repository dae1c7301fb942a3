// SPDX-License-Identifier: MIT
/* A forwarder as every DPDK application is one: one lcore, one port, and an actor behind each queue. */
#include "bench.h"
#include "rk_error.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_NS 2000000000ULL

/* A pool's mbufs come round in turn: more than are needed cost cache. Lists hold many. */
enum { MBUFS = 8192, MBUFS_OF_LISTS = 16383, DESCRIPTORS = 512 };

uint64_t cycles_of(uint64_t ns)
{
	return (uint64_t)((double)ns * (double)rte_get_tsc_hz() / 1e9);
}

double ns_of(uint64_t cycles)
{
	return (double)cycles * 1e9 / (double)rte_get_tsc_hz();
}

void forwarder_open_port(struct forwarder *f, const char *vdev, bool cuda)
{
	const struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}};
	const struct rk_dpdk_pool_opts opts = {
		.size = sizeof(opts), .mbufs = cuda ? MBUFS_OF_LISTS : MBUFS, .cuda = cuda};
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(vdev, ","), vdev);
	if (rte_dev_probe(vdev) || rte_eth_dev_get_port_by_name(name, &f->port))
		check(rk_fail(ENODEV, "%s is not to be had", vdev), "device");
	check(rk_dpdk_pool_open(&f->pool, name, &opts), "pool");
	f->mempool = rk_dpdk_pool_mempool(f->pool);
	if (rte_eth_dev_configure(f->port, f->paths, 1, &conf))
		check(rk_fail(EIO, "%s: no %u receive queues", vdev, f->paths), "device");
	for (uint16_t i = 0; i < f->paths; i++)
		if (rte_eth_rx_queue_setup(f->port, i, DESCRIPTORS, SOCKET_ID_ANY, NULL,
					   f->mempool))
			check(rk_fail(EIO, "%s: no receive queue %u", vdev, i), "device");
	if (rte_eth_tx_queue_setup(f->port, 0, DESCRIPTORS, SOCKET_ID_ANY, NULL) ||
	    rte_eth_dev_start(f->port))
		check(rk_fail(EIO, "%s does not start", vdev), "device");
}

void forwarder_close_port(struct forwarder *f)
{
	struct rte_eth_dev_info info;

	rte_eth_dev_stop(f->port);
	rte_eth_dev_info_get(f->port, &info);
	rte_eth_dev_close(f->port);
	rte_dev_remove(info.device);
	check(rk_dpdk_pool_close(f->pool), "pool");
}

static void open_path(const struct forwarder *f, struct path *path,
		      const struct forwarder_opts *opts)
{
	const struct rk_actor_opts actor = {.size = sizeof(actor),
					    .worker = RK_ANY_WORKER,
					    .args = opts->args,
					    .arg_count = opts->arg_count,
					    .backend =
						    opts->on_gpu ? RK_BACKEND_CUDA : RK_BACKEND_CPU,
					    .group = opts->group};
	const struct rk_link_opts link = {.size = sizeof(link), .slots = opts->slots};
	struct rk_dpdk_queue_opts queue = {
		.size = sizeof(queue), .heads = opts->heads, .pool = f->mempool};

	check(rk_actor_spawn(&path->actor, f->runtime, opts->type, &actor), "actor");
	if (!opts->one_way)
		check(rk_link_host_out(&path->from, path->actor, &link), "link");
	check(rk_link_host_in(&path->to, path->actor, &link), "link");
	queue.to_actor = path->to;
	queue.from_actor = path->from;
	check(rk_dpdk_queue_open(&path->queue, "bench", &queue), "queue");
}

void forwarder_open(struct forwarder *f, const struct forwarder_opts *opts)
{
	const struct rk_runtime_opts runtime = {.size = sizeof(runtime),
						.workers = 1,
						.cpus = &opts->cpu,
						.gpu_calibrate = opts->on_gpu};

	*f = (struct forwarder){.paths = opts->paths ? opts->paths : 1};
	/* Of frames whose heads travel no actor reads more. */
	forwarder_open_port(f, opts->vdev, opts->on_gpu && !opts->heads);
	check(rk_runtime_open(&f->runtime, &runtime), "runtime");
	for (uint16_t i = 0; i < f->paths; i++)
		open_path(f, &f->path[i], opts);
	check(rk_hist_open(&f->cost, 0), "histogram");
}

uint16_t forwarder_transmit(const struct forwarder *f, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t gone = 0;

	while (gone < count) {
		uint16_t sent =
			rte_eth_tx_burst(f->port, 0, mbufs + gone, (uint16_t)(count - gone));

		if (!sent) {
			rte_pktmbuf_free_bulk(mbufs + gone, (unsigned int)(count - gone));
			break;
		}
		gone += sent;
	}
	return gone;
}

/* One round of the loop of every DPDK application, for one queue. */
static void forward(struct forwarder *f, uint16_t index)
{
	struct path *path = &f->path[index];
	struct rte_mbuf *back[BURST];
	uint64_t start, end;
	uint16_t taken = 0, got = 0;

	if (!path->held_count)
		path->held_count = rte_eth_rx_burst(f->port, index, path->held, BURST);
	start = rte_rdtsc();
	if (path->held_count)
		taken = rk_dpdk_enqueue_burst(path->queue, path->held, path->held_count);
	got = rk_dpdk_dequeue_burst(path->queue, back, BURST);
	end = rte_rdtsc();
	/* A poll that finds nothing is not a cost of frames. */
	if (taken == BURST && got == BURST)
		rk_hist_record(f->cost, end - start);
	path->held_count -= taken;
	memmove(path->held, path->held + taken, path->held_count * sizeof(struct rte_mbuf *));
	f->sent += forwarder_transmit(f, back, got);
}

void forwarder_run(struct forwarder *f, uint64_t ns)
{
	uint64_t end = rte_rdtsc() + cycles_of(ns);

	f->sent = 0;
	rk_hist_reset(f->cost);
	while (rte_rdtsc() < end)
		for (uint16_t i = 0; i < 32; i++)
			forward(f, i % f->paths);
}

static void free_held(struct path *path)
{
	rte_pktmbuf_free_bulk(path->held, path->held_count);
	path->held_count = 0;
}

static void drain(struct path *path)
{
	uint64_t end = rte_rdtsc() + cycles_of(DRAIN_NS);
	struct rte_mbuf *back[BURST];
	bool closed = false;

	free_held(path);
	while (rte_rdtsc() < end && (!closed || (path->from && !rk_dpdk_queue_closed(path->queue)))) {
		if (!closed)
			closed = rk_ring_close(path->to, RK_CLOSE_DONE);
		if (path->from)
			rte_pktmbuf_free_bulk(back,
					      rk_dpdk_dequeue_burst(path->queue, back, BURST));
	}
	check(rk_actor_stop(path->actor, RK_STOP_DRAIN, DRAIN_NS), "actor");
}

void forwarder_drain(struct forwarder *f)
{
	for (uint16_t i = 0; i < f->paths; i++)
		drain(&f->path[i]);
}

void forwarder_close(struct forwarder *f)
{
	for (uint16_t i = 0; i < f->paths; i++)
		free_held(&f->path[i]);
	/* The actors first: what they have been lent is theirs until they are gone. */
	check(rk_runtime_close(f->runtime), "runtime");
	for (uint16_t i = 0; i < f->paths; i++)
		rk_dpdk_queue_close(f->path[i].queue, NULL);
	rk_hist_close(f->cost);
	forwarder_close_port(f);
}

double forwarder_bare_rate(const struct forwarder *f, uint64_t ns)
{
	uint64_t start = rte_rdtsc(), end = start + cycles_of(ns), sent = 0;

	while (rte_rdtsc() < end) {
		struct rte_mbuf *mbufs[BURST];
		uint16_t got = rte_eth_rx_burst(f->port, 0, mbufs, BURST);

		sent += rte_eth_tx_burst(f->port, 0, mbufs, got);
	}
	return (double)sent * 1e9 / ns_of(rte_rdtsc() - start);
}
