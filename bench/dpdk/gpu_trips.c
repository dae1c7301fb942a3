// SPDX-License-Identifier: MIT
/* The time of a single frame in flight, through actors on a GPU and by a flag list, in turn. */
#include "actors.h"
#include "bench.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>

enum { TRIP_SLOTS = 64, WARM_TRIPS = 2000 };

#define WAIT_NS 2000000000ULL

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

		if (rk_dpdk_enqueue_burst(f->path->queue, &mbuf, 1) != 1)
			check(rk_fail(EIO, "a ring with room takes no frame"), "latency");
		while (!rk_dpdk_dequeue_burst(f->path->queue, &mbuf, 1))
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
		if (rk_ring_send(f->path->to, &msg) != 1)
			check(rk_fail(EIO, "a ring with room takes no message"), "latency");
		while (rk_ring_recv(f->path->from, &answer, 1) < 1)
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

struct trips {
	struct series ring, echo, heads, whole, lists;
};

/* One row: the median trip, in ns. */
static void take(const char *name, void (*trips_of)(struct forwarder *, uint64_t, struct rk_hist *),
		 struct forwarder *f, struct series *series)
{
	struct rk_hist *hist;
	double ns;

	begin_row(name);
	check(rk_hist_open(&hist, 0), "histogram");
	trips_of(f, options.ns, hist);
	ns = ns_of(rk_hist_percentile(hist, 50));
	add(series, ns);
	end_row("p50 %5.2f us, p99 %5.2f", ns / 1e3, ns_of(rk_hist_percentile(hist, 99)) / 1e3);
	rk_hist_close(hist);
}

static void measure_round(const int *cpus, struct trips *trips)
{
	const struct forwarder_opts echo = {.vdev = GPU_DEVICE,
					    .type = rk_actor_type_find("echo"),
					    .cpu = cpus[1],
					    .slots = TRIP_SLOTS,
					    .heads = true,
					    .on_gpu = true};
	struct forwarder f;

	begin_row("actors on a GPU begin");
	forwarder_open(&f, &echo);
	end_row("done");
	take("the ring's own round trip", trips_of_ring, &f, &trips->ring);
	take("RX to TX, its head, echo", trips_of_frames, &f, &trips->echo);
	forwarder_close(&f);
	open_l2(&f, cpus, RK_GROUP_WARP, TRIP_SLOTS, 1, true);
	take("RX to TX, its head, l2_forward", trips_of_frames, &f, &trips->heads);
	forwarder_close(&f);
	open_l2(&f, cpus, RK_GROUP_WARP, TRIP_SLOTS, 1, false);
	take("RX to TX, whole, l2_forward", trips_of_frames, &f, &trips->whole);
	forwarder_close(&f);
	/* By itself, as it would be. */
	f = (struct forwarder){.paths = 1};
	forwarder_open_port(&f, GPU_DEVICE, true);
	write_frames(f.mempool);
	take("RX to TX, by a flag list", trips_of_lists, &f, &trips->lists);
	forwarder_close_port(&f);
}

void measure_trips(const int *cpus)
{
	static struct trips trips;
	double ring, heads;

	say("a single frame in flight, on a warp of a GPU\n");
	for (unsigned int i = 0; i < options.rounds; i++)
		measure_round(cpus, &trips);
	ring = median(&trips.ring);
	heads = median(&trips.heads);
	say("p50, medians of %u rounds, us: ring %.2f, echo %.2f, l2_forward %.2f, whole frames %.2f,"
	    " flag list %.2f\n\n",
	    options.rounds, ring / 1e3, median(&trips.echo) / 1e3, heads / 1e3,
	    median(&trips.whole) / 1e3, median(&trips.lists) / 1e3);
	judge("gpu_rx_to_tx_over_ring_us", (heads - ring) / 1e3, 'l', 1);
	judge("gpu_echo_rx_to_tx_over_ring_us", (median(&trips.echo) - ring) / 1e3, '-', 0);
	judge("gpu_flag_list_vs_rx_to_tx", median(&trips.lists) / heads, 'g', 1);
}
