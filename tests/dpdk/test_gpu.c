// SPDX-License-Identifier: MIT
/*
 * Frames through an actor on a GPU. The same frames go through it on cpu, too: what comes back,
 * byte by byte and in its order, and every counter must be equal. Every test ends with every mbuf
 * back.
 */
#include "aid.h"
#include "actors.h"
#include "clock.h"
#include "l2_forward.h"
#include "rk_runtime.h"
#include "tests/actor_handlers.h"
#include "tests/gpu_aid.h"
#include "tests/l2_aid.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_hash_crc.h>
#include <sched.h>

enum { MBUFS = 511, DROPPED_PORT = 9, FRAMES = 6000 };

#define STOP_NS 5000000000ULL
#define FULL_NS 300000000ULL

RK_SOURCE(test_source, "tests/actor_handlers.h");

static const struct rk_actor_type trap_type = {
	.name = "trap",
	.summary = "traps when it is told to",
	.handle = test_relay,
	.source = test_source,
	.function = "test_relay",
	.state_bytes = sizeof(struct test_state),
};

struct place {
	const char *name;
	enum rk_backend backend;
	enum rk_group group;
	bool heads;
};

/* An actor behind a queue. */
struct stand {
	struct rk_dpdk_pool *pool;
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct rk_dpdk_queue *queue;
};

struct outcome {
	struct rk_l2_counters counters;
	struct rk_dpdk_stats stats;
	uint32_t crc; /* of all that came back */
};

static void ok(int result)
{
	if (result < 0)
		fail_msg("%d: %s", result, rk_errmsg());
}

static struct rte_mempool *mempool(const struct stand *stand)
{
	return rk_dpdk_pool_mempool(stand->pool);
}

static void open_stand(struct stand *stand, const struct place *place,
		       const struct rk_actor_type *type, uint64_t slots)
{
	const struct rk_dpdk_pool_opts pool = {.size = sizeof(pool), .mbufs = MBUFS, .cuda = true};
	const struct rk_runtime_opts runtime = {.size = sizeof(runtime), .workers = 1};
	const struct rk_link_opts link = {.size = sizeof(link), .slots = slots};
	bool on_gpu = place->backend == RK_BACKEND_CUDA;
	const struct rk_region_info *region;
	uint64_t args[RK_L2_ARGS] = {
		[RK_L2_PORT_XOR] = 1, [RK_L2_SWAP_MACS] = 1, [RK_L2_DROP_UDP_PORT] = DROPPED_PORT};
	struct rk_actor_opts actor = {.size = sizeof(actor),
				      .worker = RK_ANY_WORKER,
				      .backend = place->backend,
				      .group = place->group,
				      .args = args,
				      .arg_count = type->args ? RK_L2_ARGS : 0};
	struct rk_dpdk_queue_opts queue = {.size = sizeof(queue), .heads = place->heads};

	*stand = (struct stand){NULL};
	ok(rk_dpdk_pool_open(&stand->pool, "gpu", &pool));
	region = rk_region_info(rk_dpdk_pool_region(stand->pool));
	args[RK_L2_REGION] = on_gpu ? region->gpu_addr : (uint64_t)(uintptr_t)region->host_addr;
	args[RK_L2_REGION_BYTES] = region->bytes;
	ok(rk_runtime_open(&stand->runtime, &runtime));
	ok(rk_actor_spawn(&stand->actor, stand->runtime, type, &actor));
	ok(rk_link_host_out(&stand->from, stand->actor, &link));
	ok(rk_link_host_in(&stand->to, stand->actor, &link));
	queue.to_actor = stand->to;
	queue.from_actor = stand->from;
	queue.pool = mempool(stand);
	ok(rk_dpdk_queue_open(&stand->queue, "gpu", &queue));
}

/* The last counters, once every mbuf is back. */
static struct rk_dpdk_stats close_stand(struct stand *stand)
{
	struct rk_dpdk_stats stats;

	ok(rk_runtime_close(stand->runtime));
	rk_dpdk_queue_close(stand->queue, &stats);
	assert_int_equal(stats.reference_packets, 0);
	assert_int_equal(rte_mempool_in_use_count(mempool(stand)), 0);
	ok(rk_dpdk_pool_close(stand->pool));
	return stats;
}

/* --- Frames: every shape, some of them damaged, by their number --- */

static void build(struct l2_frame *frame, uint32_t number)
{
	static const uint32_t payloads[] = {0, 18, 40, 300, 900, 1400, 1900, 8900};
	const struct l2_shape shape = {.tags = number % 3,
				       .payload_bytes = payloads[number / 3 % 8],
				       .port = number % 29 == 5 ? DROPPED_PORT : 0,
				       .options_bytes = number % 17 == 3 ? 8 : 0,
				       .ipv6 = number % 5 == 1,
				       .extensions = number % 10 == 1,
				       .tcp = number % 7 == 2,
				       .fill = (uint8_t)number};

	l2_build(frame, &shape);
	switch (number % 23) {
	case 4: /* a checksum of the IP header, where there is one */
		frame->data[frame->ip + 8] ^= 0x10;
		break;
	case 9: /* of UDP or TCP, by the last byte */
		frame->data[frame->bytes - 1] ^= 0x10;
		break;
	case 14: /* a runt */
		frame->bytes = 1 + number % 40;
		break;
	case 20: /* lengths that contradict */
		frame->data[frame->ip + 5] ^= 0x40;
		break;
	}
}

static struct rte_mbuf *make(const struct stand *stand, uint32_t number)
{
	static struct l2_frame frame;
	struct rte_mbuf *head = NULL;
	uint32_t done = 0;

	build(&frame, number);
	while (done < frame.bytes) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(mempool(stand));
		uint32_t part = frame.bytes - done;

		if (!mbuf) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		if (part > rte_pktmbuf_tailroom(mbuf))
			part = rte_pktmbuf_tailroom(mbuf);
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)part), frame.data + done, part);
		done += part;
		if (head)
			rte_pktmbuf_chain(head, mbuf);
		else
			head = mbuf;
	}
	head->port = 4;
	return head;
}

static void take_back(struct stand *stand, struct outcome *outcome)
{
	static uint8_t room[16384];
	struct rte_mbuf *mbufs[32];
	uint16_t got = rk_dpdk_dequeue_burst(stand->queue, mbufs, 32);

	for (uint16_t i = 0; i < got; i++) {
		uint32_t bytes = rte_pktmbuf_pkt_len(mbufs[i]);

		assert_int_equal(mbufs[i]->port, 5);
		outcome->crc = rte_hash_crc(rte_pktmbuf_read(mbufs[i], 0, bytes, room), bytes,
					    outcome->crc);
	}
	rte_pktmbuf_free_bulk(mbufs, got);
}

/* All that is with the actor comes back, and it stops. */
static void wind_up(struct stand *stand, struct outcome *outcome)
{
	const struct rk_l2_state *state;

	while (!rk_ring_close(stand->to, RK_CLOSE_DONE))
		take_back(stand, outcome);
	while (!rk_dpdk_queue_closed(stand->queue))
		take_back(stand, outcome);
	ok(rk_actor_stop(stand->actor, RK_STOP_DRAIN, STOP_NS));
	state = rk_actor_state(stand->actor);
	assert_non_null(state);
	outcome->counters = state->counters;
}

static void conserved(const struct outcome *outcome, uint64_t given)
{
	const struct rk_l2_counters *c = &outcome->counters;
	const struct rk_dpdk_stats *s = &outcome->stats;

	assert_int_equal(given, s->ipackets + s->ierrors);
	assert_int_equal(s->ipackets, c->frames);
	assert_int_equal(c->frames, c->forwarded + c->dropped[RK_L2_FORWARD]);
	assert_int_equal(s->opackets, c->forwarded);
	assert_int_equal(s->tx_dropped_packets, c->dropped[RK_L2_FORWARD]);
	assert_int_equal(s->oerrors + c->sends_dropped + c->messages_ignored, 0);
}

/* --- Tests --- */

static void pass(const struct place *place, struct outcome *outcome)
{
	struct rte_mbuf *mbuf = NULL;
	struct stand stand;

	memset(outcome, 0, sizeof(*outcome));
	open_stand(&stand, place, rk_actor_type_find("l2_forward"), 1024);
	for (uint32_t number = 0; number < FRAMES;) {
		if (!mbuf)
			mbuf = make(&stand, number);
		if (mbuf && rk_dpdk_enqueue_burst(stand.queue, &mbuf, 1)) {
			mbuf = NULL;
			number++;
		}
		take_back(&stand, outcome);
	}
	wind_up(&stand, outcome);
	outcome->stats = close_stand(&stand);
	conserved(outcome, FRAMES);
	print_message("# %s: %llu frames, %llu lent, %llu copied, %llu dropped, crc %#x\n",
		      place->name, (unsigned long long)outcome->counters.frames,
		      (unsigned long long)outcome->stats.rx_reference_packets,
		      (unsigned long long)outcome->stats.rx_copied_packets,
		      (unsigned long long)outcome->counters.dropped[RK_L2_FORWARD], outcome->crc);
}

static void expect_equal(const struct outcome *expected, const struct outcome *got)
{
	const uint64_t *one = (const uint64_t *)&expected->counters;
	const uint64_t *other = (const uint64_t *)&got->counters;

	for (size_t i = 0; i < sizeof(expected->counters) / 8; i++)
		if (one[i] != other[i])
			fail_msg("counter %zu is %llu on cpu, %llu on the GPU", i,
				 (unsigned long long)one[i], (unsigned long long)other[i]);
	assert_int_equal(expected->crc, got->crc);
	assert_int_equal(expected->stats.obytes, got->stats.obytes);
	assert_int_equal(expected->stats.rx_reference_packets, got->stats.rx_reference_packets);
	assert_int_equal(expected->stats.rx_copied_packets, got->stats.rx_copied_packets);
}

static void compare(bool heads)
{
	const struct place cpu = {"cpu", RK_BACKEND_CPU, RK_GROUP_WARP, heads};
	const struct place gpu[] = {{"a warp", RK_BACKEND_CUDA, RK_GROUP_WARP, heads},
				    {"a block", RK_BACKEND_CUDA, RK_GROUP_BLOCK, heads}};
	struct outcome expected, got;

	pass(&cpu, &expected);
	for (uint32_t i = 1; i < RK_L2_REFERENCE; i++)
		assert_true(heads || expected.counters.dropped[i] > 0);
	for (int i = 0; i < 2; i++) {
		pass(&gpu[i], &got);
		expect_equal(&expected, &got);
	}
}

/* Short ones inline, long ones read where they lie, buffers used again and again. */
static void test_whole_frames_are_judged_as_on_cpu(void **unused)
{
	(void)unused;
	compare(false);
}

static void test_heads_are_judged_as_on_cpu(void **unused)
{
	(void)unused;
	compare(true);
}

static const struct place places[] = {
	{"whole, a warp", RK_BACKEND_CUDA, RK_GROUP_WARP, false},
	{"heads, a warp", RK_BACKEND_CUDA, RK_GROUP_WARP, true},
	{"heads, a block", RK_BACKEND_CUDA, RK_GROUP_BLOCK, true},
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

/* Nobody takes back for a while: all rings fill, then nothing is taken, and nothing is lost. */
static void test_full_rings_hold_and_resume(void **unused)
{
	(void)unused;
	for (int i = 0; i < PLACES; i++) {
		struct outcome outcome;
		struct stand stand;
		uint64_t refused_ns = 0;
		uint32_t number = 0;

		memset(&outcome, 0, sizeof(outcome));
		open_stand(&stand, &places[i], rk_actor_type_find("l2_forward"), 64);
		while (!refused_ns || now_ns() - refused_ns < FULL_NS) {
			struct rte_mbuf *mbuf = make(&stand, 3);

			assert_non_null(mbuf);
			if (rk_dpdk_enqueue_burst(stand.queue, &mbuf, 1)) {
				number++;
				refused_ns = 0;
				continue;
			}
			rte_pktmbuf_free(mbuf);
			if (!refused_ns)
				refused_ns = now_ns();
		}
		assert_true(number >= 30);
		wind_up(&stand, &outcome);
		outcome.stats = close_stand(&stand);
		assert_true(outcome.stats.rx_ring_full > 0);
		conserved(&outcome, number);
	}
}

/* What had not come back is taken back when the queue is closed. */
static void test_an_actor_stops_with_frames_in_its_rings(void **unused)
{
	(void)unused;
	for (int i = 0; i < PLACES; i++) {
		struct rk_dpdk_stats stats;
		struct outcome outcome;
		struct stand stand;

		open_stand(&stand, &places[i], rk_actor_type_find("l2_forward"), 64);
		for (uint32_t k = 0; k < 400; k++) {
			/* Long: each is lent. */
			struct rte_mbuf *mbuf = make(&stand, 9);

			if (!rk_dpdk_enqueue_burst(stand.queue, &mbuf, 1))
				rte_pktmbuf_free(mbuf);
		}
		ok(rk_actor_stop(stand.actor, RK_STOP_NOW, STOP_NS));
		memset(&outcome, 0, sizeof(outcome));
		while (!rk_dpdk_queue_closed(stand.queue))
			take_back(&stand, &outcome);
		stats = close_stand(&stand);
		assert_true(stats.ipackets >= 15);
		assert_int_equal(stats.ipackets, stats.opackets + stats.tx_dropped_packets +
							 stats.reclaimed_packets);
	}
}

/* The CPU could not read what lands there: said, and nothing is left behind. */
static void test_memory_of_the_gpu_needs_a_nic_that_splits(void **unused)
{
	const struct rk_dpdk_pool_opts opts = {
		.size = sizeof(opts), .mbufs = MBUFS, .on_gpu = true};
	struct rk_dpdk_pool *pool;
	uint16_t id;

	(void)unused;
	ok(rk_dpdk_pool_open(&pool, "in_gpu", &opts));
	if (rk_region_info(rk_dpdk_pool_region(pool))->on_gpu) {
		assert_int_equal(rte_dev_probe("net_null7"), 0);
		assert_int_equal(rte_eth_dev_get_port_by_name("net_null7", &id), 0);
		assert_int_equal(rk_dpdk_pool_map(pool, id), -EOPNOTSUPP);
		print_message("# %s\n", rk_errmsg());
		assert_non_null(strstr(rk_errmsg(), "does not split frames"));
		rte_eth_dev_close(id);
	} else {
		print_message("# %s\n", rk_dpdk_pool_note(pool));
	}
	ok(rk_dpdk_pool_close(pool));
}

/* The last: after a trap this process has no GPU any more. */
static void test_an_actor_traps_with_frames_in_its_rings(void **unused)
{
	const struct rk_msg trap = {.type = TEST_TRAP, .slots = 1};
	struct rk_dpdk_stats stats;
	struct stand stand;

	(void)unused;
	open_stand(&stand, &places[1], &trap_type, 64);
	assert_int_equal(rk_ring_send(stand.to, &trap), 1);
	for (uint32_t k = 0; k < 40; k++) {
		struct rte_mbuf *mbuf = make(&stand, 9);

		if (!rk_dpdk_enqueue_burst(stand.queue, &mbuf, 1))
			rte_pktmbuf_free(mbuf);
	}
	while (!rk_dpdk_queue_closed(stand.queue)) {
		struct rte_mbuf *mbuf;

		assert_int_equal(rk_dpdk_dequeue_burst(stand.queue, &mbuf, 1), 0);
	}
	rk_runtime_close(stand.runtime); /* which says what has failed */
	print_message("# %s\n", rk_errmsg());
	rk_dpdk_queue_close(stand.queue, &stats);
	assert_int_equal(stats.ipackets, stats.reclaimed_packets);
	assert_true(stats.ipackets > 0);
	assert_int_equal(rte_mempool_in_use_count(mempool(&stand)), 0);
	ok(rk_dpdk_pool_close(stand.pool));
}

/* The EAL pins who starts it: the actors' threads are to run elsewhere. */
static int open_eal(void **state)
{
	cpu_set_t cpus;
	int result;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	result = aid_open(state);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	return result;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_frames_are_judged_as_on_cpu),
		cmocka_unit_test(test_heads_are_judged_as_on_cpu),
		cmocka_unit_test(test_full_rings_hold_and_resume),
		cmocka_unit_test(test_an_actor_stops_with_frames_in_its_rings),
		cmocka_unit_test(test_memory_of_the_gpu_needs_a_nic_that_splits),
		cmocka_unit_test(test_an_actor_traps_with_frames_in_its_rings),
	};

	if (gpu_is_absent())
		return 77;
	return cmocka_run_group_tests(tests, open_eal, aid_close);
}
