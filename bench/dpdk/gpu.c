// SPDX-License-Identifier: MIT
/*
 * Actors on a GPU behind a port: frames a second into one, through one and out again, beside the flag
 * lists of flag_list.cu, in turn. net_null makes the frames of what lies in its pool: there each
 * buffer has the headers of one of its own.
 */
#include "actors.h"
#include "bench.h"
#include "clock.h"
#include "gpudirect/cuda.h"
#include "gpudirect/nvrtc.h"
#include "l2_forward.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdlib.h>
#include <string.h>

enum {
	FRAME_BYTES = 64,
	IN_SLOTS = 16384,
	OUT_SLOTS = 4096, /* of all queues */
};

/* --- What the frames are --- */

static void write_frame(struct rte_mempool *pool, void *unused, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;
	uint8_t *data = (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
	struct rte_ether_hdr *ethernet = (struct rte_ether_hdr *)data;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ethernet + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	(void)pool;
	(void)unused;
	memset(data, 0, FRAME_BYTES);
	ethernet->dst_addr.addr_bytes[0] = ethernet->src_addr.addr_bytes[0] = 2;
	ethernet->dst_addr.addr_bytes[5] = 1;
	ethernet->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16(FRAME_BYTES - sizeof(*ethernet));
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_UDP;
	ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, 0) + index);
	ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(198, 51, 100, 2));
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->src_port = udp->dst_port = rte_cpu_to_be_16(4000);
	udp->dgram_len = rte_cpu_to_be_16(FRAME_BYTES - sizeof(*ethernet) - sizeof(*ip));
}

void write_frames(struct rte_mempool *pool)
{
	rte_mempool_obj_iter(pool, write_frame, NULL);
}

/* Where a frame came from, as frame_check reads it. */
static uint32_t source_of(const uint8_t *data)
{
	uint32_t source;

	memcpy(&source, data + RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv4_hdr, src_addr),
	       sizeof(source));
	return source;
}

/* --- Into an actor: nothing comes back --- */

struct given {
	uint64_t frames, sum;
};

/* Receive and give for @ns; what was given is added up here, too. */
static void give(struct forwarder *f, uint64_t ns, struct given *given)
{
	uint64_t end = rte_rdtsc() + cycles_of(ns);
	struct path *path = f->path;

	while (rte_rdtsc() < end) {
		const uint8_t *data[BURST];
		uint16_t taken;

		if (!path->held_count)
			path->held_count = rte_eth_rx_burst(f->port, 0, path->held, BURST);
		for (uint16_t i = 0; i < path->held_count; i++) {
			data[i] = rte_pktmbuf_mtod(path->held[i], const uint8_t *);
			rte_prefetch0(data[i]);
		}
		taken = rk_dpdk_enqueue_burst(path->queue, path->held, path->held_count);
		for (uint16_t i = 0; i < taken; i++)
			given->sum += source_of(data[i]);
		given->frames += taken;
		path->held_count -= taken;
		memmove(path->held, path->held + taken,
			path->held_count * sizeof(struct rte_mbuf *));
	}
}

static void check_given(const struct forwarder *f, const struct given *given)
{
	struct frame_check_result got = frame_check_result(rk_actor_state(f->path->actor));

	if (got.frames != given->frames || got.good != given->frames || got.sum != given->sum)
		check(rk_fail(EIO,
			      "the GPU counted %" PRIu64 " frames, %" PRIu64 " good, sum %#" PRIx64
			      ": %" PRIu64 " and %#" PRIx64 " are right",
			      got.frames, got.good, got.sum, given->frames, given->sum),
		      "frames into the GPU");
}

/* Frames a second, once the GPU has counted and verified them all. */
static double rate_in(const int *cpus)
{
	const struct forwarder_opts opts = {.vdev = GPU_DEVICE,
					    .type = &frame_check,
					    .cpu = cpus[1],
					    .slots = IN_SLOTS,
					    .heads = true,
					    .one_way = true,
					    .on_gpu = true,
					    .group = RK_GROUP_BLOCK};
	struct given given = {0, 0};
	uint64_t start, before, frames;
	struct forwarder f;
	double seconds;

	forwarder_open(&f, &opts);
	write_frames(f.mempool);
	give(&f, options.ns / 5, &given);
	before = given.frames;
	start = rte_rdtsc();
	give(&f, options.ns, &given);
	frames = given.frames - before;
	/* All but what the ring holds is counted already; the rest is timed, too. */
	while (rk_ring_tx_free(f.path->to) != IN_SLOTS && rte_rdtsc() - start < cycles_of(2 * options.ns))
		;
	seconds = ns_of(rte_rdtsc() - start) / 1e9;
	forwarder_drain(&f);
	check_given(&f, &given);
	forwarder_close(&f);
	return (double)frames / seconds;
}

/* --- Through an actor and out again --- */

static void check_forwarded(const struct path *path)
{
	const struct rk_l2_state *state = rk_actor_state(path->actor);
	const struct rk_l2_counters *c = &state->counters;
	struct rk_dpdk_stats stats;

	rk_dpdk_queue_stats(path->queue, &stats);
	if (c->frames != stats.ipackets || c->forwarded != c->frames ||
	    c->kinds[RK_L2_UDP] != c->frames || stats.opackets != c->frames)
		check(rk_fail(EIO,
			      "given %" PRIu64 ", the GPU counted %" PRIu64 ", UDP %" PRIu64
			      ", forwarded %" PRIu64 ", came back %" PRIu64,
			      stats.ipackets, c->frames, c->kinds[RK_L2_UDP], c->forwarded,
			      stats.opackets),
		      "frames through the GPU");
}

void open_l2(struct forwarder *f, const int *cpus, enum rk_group group, uint64_t slots,
	     uint16_t paths, bool heads)
{
	static const uint64_t args[] = {[RK_L2_SWAP_MACS] = 1};
	const struct forwarder_opts opts = {.vdev = GPU_DEVICE,
					    .type = rk_actor_type_find("l2_forward"),
					    .args = args,
					    .arg_count = sizeof(args) / sizeof(args[0]),
					    .cpu = cpus[1],
					    .slots = slots,
					    .paths = paths,
					    .heads = heads,
					    .on_gpu = true,
					    .group = group};

	forwarder_open(f, &opts);
	write_frames(f->mempool);
}

/* Each of @paths receive queues through an actor on a block. @bare: the driver's rate, likewise. */
static void flow_through(const int *cpus, uint16_t paths, struct flow *flow, struct series *bare)
{
	struct forwarder f;

	open_l2(&f, cpus, RK_GROUP_BLOCK, OUT_SLOTS / paths, paths, true);
	forwarder_run(&f, options.ns / 5);
	forwarder_run(&f, options.ns);
	add(&flow->rate, (double)f.sent * 1e9 / (double)options.ns);
	add(&flow->us,
	    (double)rk_hist_percentile(rk_dpdk_queue_latency(f.path->queue, RK_DPDK_RX_TO_TX), 50) /
		    1e3);
	forwarder_drain(&f);
	for (uint16_t i = 0; i < f.paths; i++)
		check_forwarded(&f.path[i]);
	add(bare, forwarder_bare_rate(&f, options.ns / 5));
	forwarder_close(&f);
}

/* --- All --- */

/* What goes through a GPU and comes back: by actors, or by lists of @burst; on @blocks. */
struct through {
	const char *name;
	unsigned int burst; /* 0: actors */
	unsigned int blocks;
	struct flow flow;
};

static double last(const struct series *series)
{
	return series->value[series->count - 1];
}

static void measure_in(const int *cpus, struct series *in)
{
	begin_row("heads into an actor");
	add(in, rate_in(cpus));
	end_row("%7.2f M frames/s", last(in) / 1e6);
}

static void measure_through(const int *cpus, struct through *row, struct series *bare)
{
	begin_row(row->name);
	if (row->burst)
		flow_of_lists(row->burst, row->blocks, &row->flow);
	else
		flow_through(cpus, (uint16_t)row->blocks, &row->flow, bare);
	end_row("%7.2f M frames/s, p50 %7.1f us, RX to TX", last(&row->flow.rate) / 1e6,
		last(&row->flow.us));
}

/* l2fwd-nv has lists of 64 and one block: the bar. Longer lists and more blocks carry more, later. */
static struct through rows[] = {
	{.name = "heads through l2_forward", .blocks = 1},
	{.name = "flag lists of 64, one block", .burst = 64, .blocks = 1},
	{.name = "flag lists of 256, one block", .burst = 256, .blocks = 1},
	{.name = "flag lists of 1024, one block", .burst = 1024, .blocks = 1},
	{.name = "heads, 4 queues to 4 blocks", .blocks = 4},
	{.name = "flag lists of 64, 4 blocks", .burst = 64, .blocks = 4},
	{.name = "flag lists of 256, 4 blocks", .burst = 256, .blocks = 4},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* What @ours carries, by what the lists do. */
static double rate_ratio(unsigned int ours, unsigned int lists)
{
	return median(&rows[ours].flow.rate) / median(&rows[lists].flow.rate);
}

static void judge_rates(const struct series *in)
{
	judge("gpu_in_Mpps_per_lcore", median(in) / 1e6, 'g', 30);
	judge("gpu_rate_vs_flag_list", rate_ratio(0, 1), 'g', 1);
	judge("gpu_us_vs_flag_list", median(&rows[0].flow.us) / median(&rows[1].flow.us), 'l', 1);
	judge("gpu_rate_vs_flag_list_of_1024", rate_ratio(0, 3), '-', 0);
	judge("gpu_4_blocks_rate_vs_flag_list", rate_ratio(4, 5), '-', 0);
	judge("gpu_4_blocks_rate_vs_flag_list_of_256", rate_ratio(4, 6), '-', 0);
}

static void measure_rates(const int *cpus)
{
	static struct series in, bare;

	say("net_null, 64 bytes, one lcore, actors on blocks of a GPU\n");
	for (unsigned int i = 0; i < options.rounds; i++) {
		measure_in(cpus, &in);
		for (unsigned int k = 0; k < ROWS; k++)
			measure_through(cpus, &rows[k], &bare);
	}
	say("medians of %u rounds, M frames/s, us from RX to TX\n  %-36s %7.2f\n", options.rounds,
	    "heads into an actor", median(&in) / 1e6);
	for (unsigned int k = 0; k < ROWS; k++)
		say("  %-36s %7.2f %8.1f\n", rows[k].name, median(&rows[k].flow.rate) / 1e6,
		    median(&rows[k].flow.us));
	say("  %-36s %7.2f\n\n", "receive and transmit, no more", median(&bare) / 1e6);
	judge_rates(&in);
}

void measure_gpu(const int *cpus)
{
	const struct rk_nvrtc *nvrtc;
	const struct rk_cuda *cuda;

	if (rk_cuda(&cuda) || rk_nvrtc(&nvrtc)) {
		say("actors on a GPU: skipped: %s\n", rk_errmsg());
		judge_not("gpu_rx_to_tx_over_ring_us", 'l', 1);
		judge_not("gpu_flag_list_vs_rx_to_tx", 'g', 1);
		judge_not("gpu_in_Mpps_per_lcore", 'g', 30);
		judge_not("gpu_rate_vs_flag_list", 'g', 1);
		judge_not("gpu_us_vs_flag_list", 'l', 1);
		return;
	}
	measure_trips(cpus);
	measure_rates(cpus);
}
