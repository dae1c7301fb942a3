// SPDX-License-Identifier: MIT
/*
 * Actors on a GPU behind a port: frames a second into one, through one and out again, and the time
 * of a single frame; all of it beside the flag lists of flag_list.cu, in turn. net_null makes the
 * frames of what lies in its pool: there each buffer has the headers of one of its own.
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
	OUT_SLOTS = 4096,
	TRIP_SLOTS = 64,
	LISTS = 16,
	WARM_TRIPS = 2000,
};

#define DEVICE	"net_null0,size=64"
#define WAIT_NS 2000000000ULL

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

static void write_frames(struct rte_mempool *pool)
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

	while (rte_rdtsc() < end) {
		const uint8_t *data[BURST];
		uint16_t taken;

		if (!f->held_count)
			f->held_count = rte_eth_rx_burst(f->port, 0, f->held, BURST);
		for (uint16_t i = 0; i < f->held_count; i++) {
			data[i] = rte_pktmbuf_mtod(f->held[i], const uint8_t *);
			rte_prefetch0(data[i]);
		}
		taken = rk_dpdk_enqueue_burst(f->queue, f->held, f->held_count);
		for (uint16_t i = 0; i < taken; i++)
			given->sum += source_of(data[i]);
		given->frames += taken;
		f->held_count -= taken;
		memmove(f->held, f->held + taken, f->held_count * sizeof(struct rte_mbuf *));
	}
}

static void check_given(const struct forwarder *f, const struct given *given)
{
	struct frame_check_result got = frame_check_result(rk_actor_state(f->actor));

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
	const struct forwarder_opts opts = {.vdev = DEVICE,
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
	while (rk_ring_tx_free(f.to) != IN_SLOTS && rte_rdtsc() - start < cycles_of(2 * options.ns))
		;
	seconds = ns_of(rte_rdtsc() - start) / 1e9;
	forwarder_drain(&f);
	check_given(&f, &given);
	forwarder_close(&f);
	return (double)frames / seconds;
}

/* --- Through an actor and out again --- */

static void check_forwarded(const struct forwarder *f)
{
	const struct rk_l2_state *state = rk_actor_state(f->actor);
	const struct rk_l2_counters *c = &state->counters;
	struct rk_dpdk_stats stats;

	rk_dpdk_queue_stats(f->queue, &stats);
	if (c->frames != stats.ipackets || c->forwarded != c->frames ||
	    c->kinds[RK_L2_UDP] != c->frames || stats.opackets != c->frames)
		check(rk_fail(EIO,
			      "given %" PRIu64 ", the GPU counted %" PRIu64 ", UDP %" PRIu64
			      ", forwarded %" PRIu64 ", came back %" PRIu64,
			      stats.ipackets, c->frames, c->kinds[RK_L2_UDP], c->forwarded,
			      stats.opackets),
		      "frames through the GPU");
}

static void open_l2(struct forwarder *f, const int *cpus, enum rk_group group, uint64_t slots,
		    bool heads)
{
	static const uint64_t args[] = {[RK_L2_SWAP_MACS] = 1}; /* as flag_list.cu does */
	const struct forwarder_opts opts = {.vdev = DEVICE,
					    .type = rk_actor_type_find("l2_forward"),
					    .args = args,
					    .arg_count = sizeof(args) / sizeof(args[0]),
					    .cpu = cpus[1],
					    .slots = slots,
					    .heads = heads,
					    .on_gpu = true,
					    .group = group};

	forwarder_open(f, &opts);
	write_frames(f->mempool);
}

/* What a way through the GPU gave: frames a second, and the median time from RX to TX. */
struct flow {
	struct series rate, us;
};

/* @bare: the driver's own rate, with the same mbufs. */
static void flow_through(const int *cpus, struct flow *flow, struct series *bare)
{
	struct forwarder f;

	open_l2(&f, cpus, RK_GROUP_BLOCK, OUT_SLOTS, true);
	forwarder_run(&f, options.ns / 5);
	forwarder_run(&f, options.ns);
	add(&flow->rate, (double)f.sent * 1e9 / (double)options.ns);
	add(&flow->us,
	    (double)rk_hist_percentile(rk_dpdk_queue_latency(f.queue, RK_DPDK_RX_TO_TX), 50) / 1e3);
	forwarder_drain(&f);
	check_forwarded(&f);
	add(bare, forwarder_bare_rate(&f, options.ns / 5));
	forwarder_close(&f);
}

/* The frames of one list. */
struct lent {
	struct rte_mbuf *mbufs[FLAG_LIST_FRAMES];
	unsigned int count; /* 0: the list is free */
	uint64_t since;	    /* TSC, when the first was received */
};

static struct lent lent[LISTS];

/* Fill a free list with up to @burst frames; false when there are none. */
static bool receive_list(const struct forwarder *f, struct lent *list, unsigned int burst)
{
	uint16_t got = BURST;

	list->since = rte_rdtsc();
	while (list->count < burst && got) {
		unsigned int most = burst - list->count;

		got = rte_eth_rx_burst(f->port, 0, list->mbufs + list->count,
				       most < BURST ? (uint16_t)most : (uint16_t)BURST);
		list->count += got;
	}
	return list->count > 0;
}

/* The loop of an application with lists instead of a queue; returns frames given. */
static uint64_t run_lists(const struct forwarder *f, struct flag_lists *lists, unsigned int burst,
			  uint64_t *sent, struct rk_hist *hist)
{
	unsigned int in = 0, out = 0, waiting = 0;
	uint64_t end = rte_rdtsc() + cycles_of(options.ns), given = 0, now;

	memset(lent, 0, sizeof(lent));
	while ((now = rte_rdtsc()) < end || (waiting && now < end + cycles_of(WAIT_NS))) {
		if (!lent[in].count && now < end && receive_list(f, &lent[in], burst)) {
			given += lent[in].count;
			flag_lists_give(lists, in, lent[in].mbufs, lent[in].count);
			in = (in + 1) % LISTS;
			waiting++;
		}
		if (waiting && flag_lists_done(lists, out)) {
			rk_hist_record(hist, rte_rdtsc() - lent[out].since);
			*sent += forwarder_transmit(f, lent[out].mbufs, (uint16_t)lent[out].count);
			lent[out].count = 0;
			out = (out + 1) % LISTS;
			waiting--;
		}
	}
	return given;
}

static void flow_of_lists(unsigned int burst, unsigned int blocks, struct flow *flow)
{
	struct forwarder f = {.port = 0};
	uint64_t start, sent = 0, given, good;
	struct flag_lists *lists;
	struct rk_hist *hist;

	check(rk_hist_open(&hist, 0), "histogram");
	forwarder_open_port(&f, DEVICE, true);
	write_frames(f.mempool);
	check(flag_lists_open(&lists, LISTS, blocks, f.pool), "flag lists");
	start = rte_rdtsc();
	given = run_lists(&f, lists, burst, &sent, hist);
	add(&flow->rate, (double)sent * 1e9 / ns_of(rte_rdtsc() - start));
	add(&flow->us, ns_of(rk_hist_percentile(hist, 50)) / 1e3);
	check(flag_lists_close(lists, &good), "flag lists");
	if (good != given || sent != given)
		check(rk_fail(EIO, "given %" PRIu64 ", good %" PRIu64 ", came back %" PRIu64, given,
			      good, sent),
		      "flag lists");
	forwarder_close_port(&f);
	rk_hist_close(hist);
}

/* --- A single frame in flight --- */

static struct rte_mbuf *receive_one(const struct forwarder *f)
{
	struct rte_mbuf *mbuf;

	if (!rte_eth_rx_burst(f->port, 0, &mbuf, 1))
		check(rk_fail(EIO, "net_null gives nothing"), "device");
	return mbuf;
}

static void expect_within(uint64_t start, const char *what)
{
	if (rte_rdtsc() - start > cycles_of(WAIT_NS))
		check(rk_fail(ETIMEDOUT, "%s does not come back from the GPU", what), "latency");
}

/* From before it is received until it is transmitted. */
static void trips_of_frames(struct forwarder *f, uint64_t ns, struct rk_hist *hist)
{
	uint64_t end = rte_rdtsc() + cycles_of(ns);

	for (uint64_t trip = 0; rte_rdtsc() < end; trip++) {
		uint64_t start = rte_rdtsc();
		struct rte_mbuf *mbuf = receive_one(f);

		if (rk_dpdk_enqueue_burst(f->queue, &mbuf, 1) != 1)
			check(rk_fail(EIO, "a ring with room takes no frame"), "latency");
		while (!rk_dpdk_dequeue_burst(f->queue, &mbuf, 1))
			expect_within(start, "a frame");
		forwarder_transmit(f, &mbuf, 1);
		if (trip >= WARM_TRIPS)
			rk_hist_record(hist, rte_rdtsc() - start);
	}
}

/* The ring's own: one message, through the shipped actor echo. */
static void trips_of_ring(struct forwarder *f, uint64_t ns, struct rk_hist *hist)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1}, answer;
	uint64_t end = rte_rdtsc() + cycles_of(ns);

	for (uint64_t trip = 0; rte_rdtsc() < end; trip++) {
		uint64_t start = rte_rdtsc();

		msg.tag = (uint32_t)trip;
		if (rk_ring_send(f->to, &msg) != 1)
			check(rk_fail(EIO, "a ring with room takes no message"), "latency");
		while (rk_ring_recv(f->from, &answer, 1) < 1)
			expect_within(start, "a message");
		if (answer.tag != msg.tag)
			check(rk_fail(EIO, "trip %" PRIu64 ": a wrong answer", trip), "latency");
		if (trip >= WARM_TRIPS)
			rk_hist_record(hist, rte_rdtsc() - start);
	}
}

static void trips_of_lists(struct forwarder *f, uint64_t ns, struct rk_hist *hist)
{
	uint64_t end, good, given = 0;
	struct flag_lists *lists;

	check(flag_lists_open(&lists, 1, 1, f->pool), "flag lists");
	end = rte_rdtsc() + cycles_of(ns);
	for (; rte_rdtsc() < end; given++) {
		uint64_t start = rte_rdtsc();
		struct rte_mbuf *mbuf = receive_one(f);

		flag_lists_give(lists, 0, &mbuf, 1);
		while (!flag_lists_done(lists, 0))
			expect_within(start, "a list");
		forwarder_transmit(f, &mbuf, 1);
		if (given >= WARM_TRIPS)
			rk_hist_record(hist, rte_rdtsc() - start);
	}
	check(flag_lists_close(lists, &good), "flag lists");
	if (good != given)
		check(rk_fail(EIO, "given %" PRIu64 ", good %" PRIu64, given, good), "flag lists");
}

static double p50_of(struct rk_hist *hist)
{
	double ns = ns_of(rk_hist_percentile(hist, 50));

	rk_hist_reset(hist);
	return ns;
}

struct trips {
	struct series ring, echo, heads, whole, lists;
};

static void measure_trips(const int *cpus, struct trips *trips)
{
	const struct forwarder_opts echo = {.vdev = DEVICE,
					    .type = rk_actor_type_find("echo"),
					    .cpu = cpus[1],
					    .slots = TRIP_SLOTS,
					    .heads = true,
					    .on_gpu = true};
	struct rk_hist *hist;
	struct forwarder f;

	check(rk_hist_open(&hist, 0), "histogram");
	forwarder_open(&f, &echo);
	trips_of_ring(&f, options.ns, hist);
	add(&trips->ring, p50_of(hist));
	trips_of_frames(&f, options.ns, hist);
	add(&trips->echo, p50_of(hist));
	forwarder_close(&f);
	open_l2(&f, cpus, RK_GROUP_WARP, TRIP_SLOTS, true);
	trips_of_frames(&f, options.ns, hist);
	add(&trips->heads, p50_of(hist));
	forwarder_close(&f);
	open_l2(&f, cpus, RK_GROUP_WARP, TRIP_SLOTS, false);
	trips_of_frames(&f, options.ns, hist);
	add(&trips->whole, p50_of(hist));
	trips_of_lists(&f, options.ns, hist);
	add(&trips->lists, p50_of(hist));
	forwarder_close(&f);
	rk_hist_close(hist);
}

/* --- All --- */

static void measure_rates(const int *cpus)
{
	/* l2fwd-nv has one block; longer lists and more blocks carry more, later. */
	static struct {
		unsigned int burst, blocks;
		struct flow flow;
	} lists[] = {{.burst = 64, .blocks = 1},
		     {.burst = 256, .blocks = 1},
		     {.burst = 1024, .blocks = 1},
		     {.burst = 256, .blocks = 4}};
	enum { LIST_KINDS = sizeof(lists) / sizeof(lists[0]) };
	static struct series in, bare;
	static struct flow through;

	for (unsigned int i = 0; i < options.rounds; i++) {
		add(&in, rate_in(cpus));
		flow_through(cpus, &through, &bare);
		for (unsigned int k = 0; k < LIST_KINDS; k++)
			flow_of_lists(lists[k].burst, lists[k].blocks, &lists[k].flow);
	}
	say("net_null, 64 bytes, one lcore, actors on a block of a GPU\n"
	    "  %-34s %12s %16s\n  %-34s %12.2f\n  %-34s %12.2f %16.1f\n",
	    "", "M frames/s", "us, RX to TX", "heads into an actor", median(&in) / 1e6,
	    "heads through l2_forward", median(&through.rate) / 1e6, median(&through.us));
	for (unsigned int k = 0; k < LIST_KINDS; k++)
		say("  flag lists of %4u, %u block%s       %12.2f %16.1f\n", lists[k].burst,
		    lists[k].blocks, lists[k].blocks > 1 ? "s" : " ",
		    median(&lists[k].flow.rate) / 1e6, median(&lists[k].flow.us));
	say("  %-34s %12.2f\n", "receive and transmit, no more", median(&bare) / 1e6);
	judge("gpu_in_Mpps_per_lcore", median(&in) / 1e6, 'g', 30);
	judge("gpu_rate_vs_flag_list", median(&through.rate) / median(&lists[0].flow.rate), 'g', 1);
}

static void say_trips(const struct trips *trips)
{
	say("a single frame in flight, p50, us\n"
	    "  the ring's own round trip          %10.2f\n"
	    "  RX to TX, its head, echo           %10.2f\n"
	    "  RX to TX, its head, l2_forward     %10.2f\n"
	    "  RX to TX, whole, l2_forward        %10.2f\n"
	    "  by a flag list                     %10.2f\n",
	    median(&trips->ring) / 1e3, median(&trips->echo) / 1e3, median(&trips->heads) / 1e3,
	    median(&trips->whole) / 1e3, median(&trips->lists) / 1e3);
	judge("gpu_rx_to_tx_over_ring_us", (median(&trips->heads) - median(&trips->ring)) / 1e3,
	      'l', 1);
	judge("gpu_flag_list_vs_rx_to_tx", median(&trips->lists) / median(&trips->heads), 'g', 1);
}

void measure_gpu(const int *cpus)
{
	static struct trips trips;
	const struct rk_nvrtc *nvrtc;
	const struct rk_cuda *cuda;

	if (rk_cuda(&cuda) || rk_nvrtc(&nvrtc)) {
		say("actors on a GPU: skipped: %s\n", rk_errmsg());
		judge_not("gpu_in_Mpps_per_lcore", 'g', 30);
		judge_not("gpu_rate_vs_flag_list", 'g', 1);
		judge_not("gpu_rx_to_tx_over_ring_us", 'l', 1);
		judge_not("gpu_flag_list_vs_rx_to_tx", 'g', 1);
		return;
	}
	for (unsigned int i = 0; i < options.rounds; i++)
		measure_trips(cpus, &trips);
	say_trips(&trips);
	measure_rates(cpus);
}
