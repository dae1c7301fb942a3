// SPDX-License-Identifier: MIT
/* The loop of an application that hands lists of frames to the kernel of flag_list.cu. */
#include "bench.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <string.h>

enum { LISTS = 16 };

#define WAIT_NS 2000000000ULL

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

void flow_of_lists(unsigned int burst, unsigned int blocks, struct flow *flow)
{
	struct forwarder f = {.paths = 1};
	uint64_t start, sent = 0, given, good;
	struct flag_lists *lists;
	struct rk_hist *hist;

	check(rk_hist_open(&hist, 0), "histogram");
	forwarder_open_port(&f, GPU_DEVICE, true);
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
