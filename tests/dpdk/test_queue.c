// SPDX-License-Identifier: MIT
/*
 * rk_dpdk.h without a NIC: the tests make the mbufs and are the actor. Every test ends with every
 * mbuf back in its pool.
 */
#include "aid.h"

enum { MBUFS = 511, ROOM = 2176 };

static struct rk_dpdk_pool *pool;   /* in a region */
static struct rte_mempool *mempool; /* of @pool */
static struct rte_mempool *plain;   /* not ours */
static struct aid_ring to, from;
static struct rk_dpdk_queue *queue;
static struct rk_msg cells[RK_MSG_MAX_SLOTS + 1];

static void open_queue(uint64_t capacity, uint16_t inline_bytes)
{
	struct rk_dpdk_queue_opts opts = {.size = sizeof(opts),
					  .to_actor = &to.tx,
					  .from_actor = &from.rx,
					  .pool = mempool,
					  .inline_bytes = inline_bytes,
					  .index = 3};

	aid_ring_open(&to, capacity);
	aid_ring_open(&from, capacity);
	assert_int_equal(rk_dpdk_queue_open(&queue, "q", &opts), 0);
}

/* The last counters, once every mbuf is back. */
static struct rk_dpdk_stats close_queue(void)
{
	struct rk_dpdk_stats stats;

	rk_dpdk_queue_close(queue, &stats);
	free(to.memory);
	free(from.memory);
	assert_int_equal(stats.reference_packets, 0);
	assert_int_equal(rte_mempool_in_use_count(mempool), 0);
	assert_int_equal(rte_mempool_in_use_count(plain), 0);
	return stats;
}

static void give(struct rte_mbuf *mbuf)
{
	assert_non_null(mbuf);
	assert_int_equal(rk_dpdk_enqueue_burst(queue, &mbuf, 1), 1);
}

/* The next message at the actor. */
static struct rk_frame *take(void)
{
	assert_true(rk_ring_recv(&to.rx, cells, RK_MSG_MAX_SLOTS) > 0);
	assert_int_equal(cells->type, RK_FRAME);
	assert_int_equal(cells->flags, RK_MSG_F_TIME);
	assert_non_null(rk_frame_of(cells));
	return (struct rk_frame *)(uintptr_t)rk_frame_of(cells);
}

static void answer(void)
{
	assert_true(rk_ring_send(&from.tx, cells) > 0);
}

static struct rte_mbuf *get_back(void)
{
	struct rte_mbuf *mbuf;

	return rk_dpdk_dequeue_burst(queue, &mbuf, 1) ? mbuf : NULL;
}

static uint8_t *at_region(const struct rk_frame *frame)
{
	return (uint8_t *)rk_region_info(rk_dpdk_pool_region(pool))->host_addr + frame->offset;
}

static void test_short_frames_go_inline(void **unused)
{
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(64, 0);
	for (uint32_t bytes = 1; bytes <= RK_DPDK_INLINE_BYTES; bytes++) {
		struct rte_mbuf *mbuf = aid_frame(bytes & 1 ? mempool : plain, bytes, bytes);
		struct rk_frame *frame;

		mbuf->ol_flags |= RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_L4_CKSUM_BAD;
		mbuf->hash.rss = bytes * 77;
		give(mbuf);
		assert_int_equal(rte_mempool_in_use_count(plain), 0);
		frame = take();
		assert_int_equal(cells->slots, (bytes + 48 + 55) / 56);
		assert_int_equal(frame->flags, RK_FRAME_F_L4_BAD);
		assert_int_equal(frame->hash, bytes * 77);
		assert_int_equal(frame->port, 6);
		assert_int_equal(frame->queue, 3);
		assert_int_equal(frame->inline_bytes, bytes);
		frame->port = 9;
		answer();
		mbuf = get_back();
		assert_true(aid_is(mbuf, bytes, bytes));
		assert_int_equal(mbuf->port, 9);
		rte_pktmbuf_free(mbuf);
	}
	stats = close_queue();
	assert_int_equal(stats.ipackets, RK_DPDK_INLINE_BYTES);
	assert_int_equal(stats.opackets, RK_DPDK_INLINE_BYTES);
	assert_int_equal(stats.ibytes, stats.obytes);
	assert_int_equal(stats.rx_reference_packets, 0);
}

static void test_long_frames_are_lent(void **unused)
{
	struct rte_mbuf *lent, *mbuf;
	struct rk_frame *frame;
	uint8_t expected[2000];

	(void)unused;
	open_queue(64, 0);
	for (uint32_t bytes = RK_DPDK_INLINE_BYTES + 1; bytes <= 2000; bytes += 59) {
		lent = aid_frame(mempool, bytes, bytes);
		give(lent);
		frame = take();
		assert_int_equal(cells->slots, 3);
		assert_int_equal(frame->flags, RK_FRAME_F_REFERENCE);
		assert_int_equal(frame->inline_bytes, RK_DPDK_INLINE_BYTES);
		aid_fill(expected, bytes, bytes);
		assert_memory_equal(rk_frame_data(frame), expected, RK_DPDK_INLINE_BYTES);
		assert_memory_equal(at_region(frame), expected, bytes);
		/* What the actor writes into the inline bytes is in the frame that leaves. */
		((uint8_t *)(frame + 1))[5] ^= 0xff;
		answer();
		mbuf = get_back();
		assert_ptr_equal(mbuf, lent);
		assert_int_equal(*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, 5), expected[5] ^ 0xff);
		*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, 5) ^= 0xff;
		assert_true(aid_is(mbuf, bytes, bytes));
		rte_pktmbuf_free(mbuf);
	}
	close_queue();
}

static void test_what_cannot_be_lent_is_copied(void **unused)
{
	static const uint32_t sizes[] = {121, 1500, 2049, 9000, 14000};
	struct rk_dpdk_stats stats;
	struct rte_mbuf *mbuf;

	(void)unused;
	open_queue(1024, 0);
	for (uint32_t i = 0; i < 5; i++) {
		give(aid_frame(plain, sizes[i], i));
		assert_int_equal(take()->inline_bytes, sizes[i]);
		answer();
		mbuf = get_back();
		assert_true(aid_is(mbuf, sizes[i], i));
		rte_pktmbuf_free(mbuf);
		/* Three segments of ours. */
		if (sizes[i] < 5000)
			continue;
		give(aid_frame(mempool, sizes[i], i));
		assert_int_equal(take()->inline_bytes, sizes[i]);
		answer();
		mbuf = get_back();
		assert_true(aid_is(mbuf, sizes[i], i));
		rte_pktmbuf_free(mbuf);
	}
	/* A frame that others hold, too, is not lent: the actor would change theirs. */
	mbuf = aid_frame(mempool, 1000, 1);
	rte_pktmbuf_refcnt_update(mbuf, 1);
	give(mbuf);
	assert_int_equal(take()->inline_bytes, 1000);
	rte_pktmbuf_free(mbuf);
	stats = close_queue();
	assert_int_equal(stats.rx_copied_packets, 8);
	assert_int_equal(stats.rx_reference_packets, 0);
}

static void test_what_fits_no_message_is_counted(void **unused)
{
	struct rte_mbuf *mbufs[3] = {aid_frame(plain, 14228, 1), aid_frame(plain, 14233, 2),
				     aid_frame(plain, 60, 3)};
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(1024, 0);
	mbufs[2]->pkt_len = mbufs[2]->data_len = 0;
	assert_int_equal(rk_dpdk_enqueue_burst(queue, mbufs, 3), 3);
	stats = close_queue();
	assert_int_equal(stats.ipackets, 1);
	assert_int_equal(stats.rx_oversize_errors, 1);
	assert_int_equal(stats.rx_undersize_errors, 1);
	assert_int_equal(stats.ierrors, 2);
}

static void test_split_frames_lend_what_follows_the_headers(void **unused)
{
	struct rte_mbuf *head = aid_frame(plain, 54, 1), *data = aid_frame(mempool, 1446, 2);
	struct rte_mbuf *back;
	struct rk_frame *frame;
	uint8_t expected[1446];

	(void)unused;
	open_queue(64, 0);
	head->next = data;
	head->nb_segs = 2;
	head->pkt_len += data->data_len;
	give(head);
	frame = take();
	assert_int_equal(frame->flags, RK_FRAME_F_REFERENCE | RK_FRAME_F_SPLIT);
	assert_int_equal(frame->inline_bytes, 54);
	assert_int_equal(frame->bytes, 1500);
	aid_fill(expected, 1446, 2);
	assert_memory_equal(at_region(frame), expected, 1446);
	((uint8_t *)(frame + 1))[0] = 0xab;
	answer();
	back = get_back();
	assert_ptr_equal(back, head);
	assert_int_equal(back->nb_segs, 2);
	assert_int_equal(*rte_pktmbuf_mtod(back, uint8_t *), 0xab);
	rte_pktmbuf_free(back);
	close_queue();
}

static void test_a_tag_that_the_nic_stripped_is_back(void **unused)
{
	struct rte_mbuf *mbuf = aid_frame(mempool, 60, 5);
	struct rk_frame *frame;
	uint8_t expected[60];

	(void)unused;
	open_queue(64, 0);
	aid_fill(expected, 60, 5);
	mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	mbuf->vlan_tci = 0x0123;
	give(mbuf);
	frame = take();
	assert_int_equal(frame->bytes, 64);
	assert_memory_equal(rk_frame_data(frame), expected, 12);
	assert_memory_equal(rk_frame_data(frame) + 12, "\x81\x00\x01\x23", 4);
	assert_memory_equal(rk_frame_data(frame) + 16, expected + 12, 48);
	close_queue();
}

static void test_a_full_ring_takes_fewer_and_loses_none(void **unused)
{
	struct rte_mbuf *mbufs[100];
	struct rk_dpdk_stats stats;
	uint32_t taken = 0;

	(void)unused;
	open_queue(64, 0);
	for (uint32_t i = 0; i < 100; i++)
		mbufs[i] = aid_frame(mempool, i & 1 ? 64 : 800, i);
	/* 64 + 48 bytes are 2 slots, a lent frame takes 3. */
	taken = rk_dpdk_enqueue_burst(queue, mbufs, 100);
	assert_int_equal(taken, 25);
	assert_int_equal(rk_dpdk_enqueue_burst(queue, mbufs + taken, 75), 0);
	for (uint32_t i = 0; i < 100; i++) {
		struct rte_mbuf *back;

		take();
		answer();
		back = get_back();
		assert_true(aid_is(back, i & 1 ? 64 : 800, i));
		rte_pktmbuf_free(back);
		rk_ring_rx_credit(&to.rx);
		taken += rk_dpdk_enqueue_burst(queue, mbufs + taken, (uint16_t)(100 - taken));
	}
	assert_int_equal(taken, 100);
	stats = close_queue();
	assert_true(stats.rx_ring_full > 0);
	assert_int_equal(stats.opackets, 100);
}

static void test_a_verdict_returns_the_buffer(void **unused)
{
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(64, 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct rk_frame *frame;

		give(aid_frame(mempool, 60 + i * 5, i));
		frame = take();
		frame->verdict = RK_FRAME_DROP;
		frame->inline_bytes = 0;
		cells->slots = 1;
		answer();
		assert_null(get_back());
		assert_int_equal(rte_mempool_in_use_count(mempool), 0);
	}
	stats = close_queue();
	assert_int_equal(stats.tx_dropped_packets, 300);
	assert_int_equal(stats.oerrors, 0);
}

/* A hostile actor: tickets changed, returned twice, pools and buffers that do not exist. */
static void test_what_was_not_lent_cannot_be_returned(void **unused)
{
	struct rk_dpdk_stats stats;
	struct rk_frame *frame, good;

	(void)unused;
	open_queue(64, 0);
	give(aid_frame(mempool, 1000, 1));
	frame = take();
	good = *frame;
	for (uint32_t i = 0; i < 200; i++) {
		*frame = good;
		switch (i % 5) {
		case 0:
			frame->ticket ^= 1U << chance(32);
			break;
		case 1:
			frame->buffer = (uint32_t)chance(UINT32_MAX);
			frame->buffer += frame->buffer == good.buffer;
			break;
		case 2:
			frame->pool = (uint8_t)(good.pool + 1 + chance(250));
			break;
		case 3:
			frame->ticket = 0;
			break;
		case 4:
			frame->buffer = good.buffer + 1;
			break;
		}
		answer();
		assert_null(get_back());
	}
	*frame = good;
	answer();
	answer();
	rte_pktmbuf_free(get_back());
	assert_null(get_back());
	stats = close_queue();
	assert_int_equal(stats.tx_reference_errors, 201);
	assert_int_equal(stats.opackets, 1);
}

static void test_nonsense_is_counted(void **unused)
{
	struct rk_msg msg = {.type = RK_MSG_USER + 1, .slots = 1};
	struct rk_frame *frame = (struct rk_frame *)msg.body;
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(64, 0);
	assert_int_equal(rk_ring_send(&from.tx, &msg), 1);
	msg.type = RK_FRAME;
	frame->bytes = frame->inline_bytes = 17; /* of 16 */
	assert_int_equal(rk_ring_send(&from.tx, &msg), 1);
	frame->bytes = 60;
	frame->inline_bytes = 16; /* the rest is nowhere */
	assert_int_equal(rk_ring_send(&from.tx, &msg), 1);
	frame->bytes = frame->inline_bytes = 0;
	assert_int_equal(rk_ring_send(&from.tx, &msg), 1);
	frame->bytes = frame->inline_bytes = 16;
	assert_int_equal(rk_ring_send(&from.tx, &msg), 1);
	rte_pktmbuf_free(get_back());
	assert_null(get_back());
	stats = close_queue();
	assert_int_equal(stats.tx_foreign_errors, 1);
	assert_int_equal(stats.tx_malformed_errors, 3);
	assert_int_equal(stats.oerrors, 4);
	assert_int_equal(stats.opackets, 1);
}

static void test_the_actor_died(void **unused)
{
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(1024, 0);
	for (uint32_t i = 0; i < 200; i++)
		give(aid_frame(mempool, 500, i));
	for (uint32_t i = 0; i < 50; i++)
		take();
	assert_int_equal(rte_mempool_in_use_count(mempool), 200);
	rk_ring_refuse(&to.rx, RK_CLOSE_PEER_DIED);
	rk_ring_close(&from.tx, RK_CLOSE_PEER_DIED);
	assert_null(get_back());
	assert_int_equal(rk_dpdk_queue_closed(queue), RK_CLOSE_PEER_DIED);
	rk_dpdk_queue_stats(queue, &stats);
	assert_int_equal(stats.reference_packets, 200);
	stats = close_queue();
	assert_int_equal(stats.reclaimed_packets, 200);
}

static void test_nothing_is_taken_for_an_actor_that_refuses(void **unused)
{
	struct rte_mbuf *mbufs[2] = {aid_frame(mempool, 60, 1), aid_frame(mempool, 600, 1)};
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(64, 0);
	rk_ring_refuse(&to.rx, RK_CLOSE_STOPPED);
	assert_int_equal(rk_dpdk_enqueue_burst(queue, mbufs, 2), 0);
	rte_pktmbuf_free_bulk(mbufs, 2);
	stats = close_queue();
	assert_int_equal(stats.ipackets, 0);
	assert_int_equal(stats.rx_ring_full, 0);
}

static void test_an_empty_pool_delays_and_loses_none(void **unused)
{
	struct rte_mbuf *hog[MBUFS + 1], *back;
	struct rk_dpdk_stats stats;
	uint32_t hogged = 0;

	(void)unused;
	open_queue(64, 0);
	for (uint32_t i = 0; i < 10; i++) {
		give(aid_frame(plain, 90, i));
		take();
		answer();
	}
	while ((hog[hogged] = rte_pktmbuf_alloc(mempool)))
		hogged++;
	assert_null(get_back());
	assert_null(get_back());
	/* One comes back, then all. */
	rte_pktmbuf_free(hog[--hogged]);
	back = get_back();
	assert_true(aid_is(back, 90, 0));
	assert_null(get_back());
	rte_pktmbuf_free_bulk(hog, hogged);
	rte_pktmbuf_free(back);
	for (uint32_t i = 1; i < 10; i++) {
		back = get_back();
		assert_true(aid_is(back, 90, i));
		rte_pktmbuf_free(back);
	}
	stats = close_queue();
	assert_int_equal(stats.tx_mbuf_allocation_errors, 3);
	assert_int_equal(stats.opackets, 10);
}

/* Any sizes, any bursts, any verdicts, an actor that sleeps: what goes in comes out, in order. */
static void test_conservation_at_random(void **unused)
{
	(void)unused;
	for (uint32_t round = 0; round < 40; round++) {
		uint32_t sent = 0, seen = 0, expected[512], count = 0, out = 0, frames = 2000;
		struct rk_dpdk_stats stats;

		open_queue(16 << chance(6), (uint16_t)(14 + chance(200)));
		while (seen < frames) {
			struct rte_mbuf *mbufs[48];
			uint16_t burst = (uint16_t)chance(48), taken, have = 0;

			while (have < burst && sent + have < frames) {
				uint32_t bytes = 14 + (uint32_t)chance(chance(4) ? 120 : 1900);

				mbufs[have] = aid_frame(chance(3) ? mempool : plain, bytes,
							sent + have);
				if (!mbufs[have] || bytes > to.tx.max_slots * 56u - 48)
					break;
				have++;
			}
			if (have < burst && sent + have < frames)
				rte_pktmbuf_free(mbufs[have]);
			taken = rk_dpdk_enqueue_burst(queue, mbufs, have);
			rte_pktmbuf_free_bulk(mbufs + taken, have - taken);
			/* What was not taken is numbered anew. */
			sent += taken;
			for (uint32_t i = (uint32_t)chance(40); i && count < 400; i--) {
				struct rk_frame *frame;

				if (rk_ring_recv(&to.rx, cells, RK_MSG_MAX_SLOTS) <= 0)
					break;
				frame = (struct rk_frame *)(uintptr_t)rk_frame_of(cells);
				memcpy(&expected[count], frame + 1, 4);
				assert_int_equal(expected[count], seen);
				seen++;
				if (chance(5) == 0)
					frame->verdict = RK_FRAME_DROP;
				else
					count++;
				while (!rk_ring_send(&from.tx, cells)) {
					struct rte_mbuf *back = get_back();

					if (!back)
						continue;
					assert_memory_equal(rte_pktmbuf_mtod(back, void *),
							    &expected[out++], 4);
					rte_pktmbuf_free(back);
				}
			}
			for (uint32_t i = (uint32_t)chance(60); i; i--) {
				struct rte_mbuf *back = get_back();

				if (!back)
					break;
				assert_memory_equal(rte_pktmbuf_mtod(back, void *),
						    &expected[out++], 4);
				rte_pktmbuf_free(back);
			}
			if (out == count)
				out = count = 0;
		}
		for (struct rte_mbuf *back; (back = get_back()); out++)
			rte_pktmbuf_free(back);
		assert_int_equal(out, count);
		stats = close_queue();
		assert_int_equal(stats.ipackets, frames);
		assert_int_equal(stats.opackets + stats.tx_dropped_packets, frames);
		assert_int_equal(stats.oerrors, 0);
		assert_int_equal(stats.reclaimed_packets, 0);
	}
}

static void open_heads(uint64_t capacity)
{
	struct rk_dpdk_queue_opts opts = {.size = sizeof(opts),
					  .to_actor = &to.tx,
					  .from_actor = &from.rx,
					  .pool = mempool,
					  .heads = true};

	aid_ring_open(&to, capacity);
	aid_ring_open(&from, capacity);
	assert_int_equal(rk_dpdk_queue_open(&queue, "q", &opts), 0);
}

static struct rk_frame_head *take_head(void)
{
	assert_int_equal(rk_ring_recv(&to.rx, cells, 1), 1);
	assert_int_equal(cells->type, RK_FRAME_HEAD);
	assert_int_equal(cells->flags, 0);
	return (struct rk_frame_head *)cells->body;
}

/* Of every length and pool, in any number of segments: the head travels, the mbuf stays. */
static void test_heads_travel_alone(void **unused)
{
	struct rk_dpdk_stats stats;

	(void)unused;
	open_heads(64);
	for (uint32_t bytes = 1; bytes < 9000; bytes += 1 + bytes / 9) {
		struct rte_mbuf *lent = aid_frame(bytes & 1 ? mempool : plain, bytes, bytes);
		struct rk_frame_head *head;
		uint8_t expected[9000];
		uint32_t shown = bytes < RK_FRAME_HEAD_BYTES ? bytes : RK_FRAME_HEAD_BYTES;

		aid_fill(expected, bytes, bytes);
		give(lent);
		head = take_head();
		assert_int_equal(head->bytes, bytes);
		assert_int_equal(head->port, 6);
		assert_memory_equal(head->data, expected, shown);
		for (uint32_t i = shown; i < RK_FRAME_HEAD_BYTES; i++)
			assert_int_equal(head->data[i], 0);
		head->data[0] ^= 0x55;
		head->port = 9;
		answer();
		assert_ptr_equal(get_back(), lent);
		assert_int_equal(lent->port, 9);
		*rte_pktmbuf_mtod(lent, uint8_t *) ^= 0x55;
		assert_true(aid_is(lent, bytes, bytes));
		rte_pktmbuf_free(lent);
	}
	stats = close_queue();
	assert_int_equal(stats.ipackets, stats.opackets);
	assert_int_equal(stats.oerrors, 0);
}

/* Nothing comes back: the mbuf is free as soon as the ring has its head, and stays when it has not. */
static void test_heads_without_a_way_back(void **unused)
{
	struct rk_dpdk_queue_opts opts = {
		.size = sizeof(opts), .to_actor = &to.tx, .heads = true};
	struct rk_dpdk_stats stats;
	uint32_t given = 0;

	(void)unused;
	aid_ring_open(&to, 64);
	aid_ring_open(&from, 64);
	assert_int_equal(rk_dpdk_queue_open(&queue, "q", &opts), 0);
	for (uint32_t round = 0; round < 20; round++) {
		struct rte_mbuf *mbufs[48];
		uint16_t taken;

		for (uint32_t i = 0; i < 48; i++)
			mbufs[i] = aid_frame(i & 1 ? mempool : plain, i % 9 ? 60 + i * 40 : 9000, i);
		mbufs[7]->pkt_len = 0; /* tells nothing: counted, and freed */
		taken = rk_dpdk_enqueue_burst(queue, mbufs, 48);
		assert_int_equal(taken, 48);
		assert_int_equal(rte_mempool_in_use_count(mempool), 0);
		assert_int_equal(rte_mempool_in_use_count(plain), 0);
		given += taken - 1U;
		for (uint32_t i = 0; i < 48; i++) {
			if (i == 7)
				continue;
			assert_int_equal(take_head()->bytes, i % 9 ? 60 + i * 40 : 9000);
		}
		rk_ring_rx_credit(&to.rx);
	}
	for (uint32_t i = 0; i < 70; i++) {
		struct rte_mbuf *mbuf = aid_frame(plain, 60, i);

		if (rk_dpdk_enqueue_burst(queue, &mbuf, 1))
			given++;
		else
			rte_pktmbuf_free(mbuf);
	}
	stats = close_queue();
	assert_int_equal(stats.ipackets, given);
	assert_int_equal(given, 20 * 47 + 64);
	assert_int_equal(stats.rx_undersize_errors, 20);
	assert_true(stats.rx_ring_full > 0);
}

static void test_heads_are_lent_once(void **unused)
{
	struct rk_dpdk_stats stats;
	uint32_t tag;

	(void)unused;
	open_heads(64);
	give(aid_frame(plain, 500, 1));
	take_head();
	tag = cells->tag;
	for (uint32_t i = 0; i < 100; i++) {
		cells->tag = tag ^ 1U << chance(32);
		answer();
		assert_null(get_back());
	}
	cells->tag = tag;
	answer();
	answer();
	rte_pktmbuf_free(get_back());
	assert_null(get_back());
	/* The same place is lent again: the old tag does not fit it. */
	give(aid_frame(plain, 500, 2));
	answer();
	assert_null(get_back());
	take_head();
	((struct rk_frame_head *)cells->body)->flags |= RK_FRAME_F_DROP;
	answer();
	assert_null(get_back());
	assert_int_equal(rte_mempool_in_use_count(plain), 0);
	stats = close_queue();
	assert_int_equal(stats.tx_reference_errors, 102);
	assert_int_equal(stats.tx_dropped_packets, 1);
	assert_int_equal(stats.opackets, 1);
}

/* Any bursts, verdicts and orders of return, more frames than places, an actor that dies. */
static void test_heads_at_random(void **unused)
{
	(void)unused;
	for (uint32_t round = 0; round < 60; round++) {
		uint64_t capacity = 2 << chance(7), given = 0, back = 0;
		struct rk_msg held[256];
		uint32_t holds = 0;
		struct rk_dpdk_stats stats;

		open_heads(capacity);
		for (uint32_t step = 0; step < 400; step++) {
			struct rte_mbuf *mbufs[40];
			uint16_t burst = (uint16_t)chance(40), taken;

			for (uint16_t i = 0; i < burst; i++)
				mbufs[i] = aid_frame(plain, 60 + (uint32_t)chance(900), i);
			taken = rk_dpdk_enqueue_burst(queue, mbufs, burst);
			rte_pktmbuf_free_bulk(mbufs + taken, (unsigned int)(burst - taken));
			given += taken;
			while (holds < 256 && chance(8) && rk_ring_recv(&to.rx, &held[holds], 1))
				holds++;
			while (holds && chance(8)) {
				uint32_t which = (uint32_t)chance(holds);
				struct rk_frame_head *head =
					(struct rk_frame_head *)held[which].body;

				head->flags |= chance(4) ? 0 : RK_FRAME_F_DROP;
				if (!rk_ring_send(&from.tx, &held[which]))
					break;
				held[which] = held[--holds];
			}
			taken = rk_dpdk_dequeue_burst(queue, mbufs, (uint16_t)chance(40));
			rte_pktmbuf_free_bulk(mbufs, taken);
			back += taken;
		}
		stats = close_queue();
		assert_int_equal(stats.ipackets, given);
		assert_int_equal(stats.opackets, back);
		assert_int_equal(given, back + stats.tx_dropped_packets + stats.reclaimed_packets);
		assert_int_equal(stats.oerrors, 0);
	}
}

static void test_latencies_are_sampled(void **unused)
{
	struct rk_dpdk_stats stats;

	(void)unused;
	open_queue(64, 0);
	for (uint32_t i = 0; i < 20; i++) {
		give(aid_frame(mempool, 60, i));
		take();
		answer();
		rk_ring_rx_credit(&to.rx);
		rte_pktmbuf_free(get_back());
		usleep(200); /* arrivals are probed every 0.1 ms at most */
	}
	assert_int_equal(rk_hist_count(rk_dpdk_queue_latency(queue, RK_DPDK_RX_TO_TX)), 20);
	assert_true(rk_hist_count(rk_dpdk_queue_latency(queue, RK_DPDK_RX_TO_ACTOR)) >= 19);
	stats = close_queue();
	assert_int_equal(stats.opackets, 20);
}

static void test_options_that_cannot_be(void **unused)
{
	struct rk_dpdk_queue_opts opts = {.size = sizeof(opts)};
	struct rk_dpdk_pool_opts pool_opts = {.size = sizeof(pool_opts), .data_room_bytes = 100};
	struct rk_dpdk_queue *none;
	struct rk_dpdk_pool *other;
	struct rk_region *region;

	(void)unused;
	assert_int_equal(rk_dpdk_queue_open(&none, "q", &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "no ring"));
	aid_ring_open(&to, 4);
	aid_ring_open(&from, 4);
	opts.from_actor = &from.rx;
	assert_int_equal(rk_dpdk_queue_open(&none, "q", &opts), -EINVAL);
	opts.pool = mempool;
	opts.to_actor = &to.tx;
	assert_int_equal(rk_dpdk_queue_open(&none, "q", &opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "larger ring"));
	opts.inline_bytes = 15000;
	assert_int_equal(rk_dpdk_queue_open(&none, "q", &opts), -EINVAL);
	free(to.memory);
	free(from.memory);
	assert_int_equal(rk_dpdk_pool_open(&other, "other", &pool_opts), -EINVAL);
	pool_opts.data_room_bytes = 0;
	assert_int_equal(rk_dpdk_pool_open(&other, "test", &pool_opts), -EEXIST);
	assert_int_equal(rk_region_open(&region, 100000, NULL), 0);
	pool_opts.region = region;
	assert_int_equal(rk_dpdk_pool_open(&other, "other", &pool_opts), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "larger one"));
	pool_opts.mbufs = 40;
	assert_int_equal(rk_dpdk_pool_open(&other, "other", &pool_opts), 0);
	assert_int_equal(rk_dpdk_pool_map(other, 77), -ENODEV);
	assert_int_equal(rk_dpdk_pool_close(other), 0);
	rk_region_close(region);
}

static void test_a_pool_waits_for_its_mbufs(void **unused)
{
	struct rk_dpdk_pool_opts opts = {.size = sizeof(opts), .mbufs = 63};
	struct rk_dpdk_pool *other;
	struct rte_mbuf *mbuf;

	(void)unused;
	assert_int_equal(rk_dpdk_pool_open(&other, "other", &opts), 0);
	mbuf = rte_pktmbuf_alloc(rk_dpdk_pool_mempool(other));
	assert_int_equal(rk_dpdk_pool_close(other), -EBUSY);
	assert_non_null(strstr(rk_errmsg(), "1 mbufs are out"));
	rte_pktmbuf_free(mbuf);
	assert_int_equal(rk_dpdk_pool_close(other), 0);
}

static int open_pools(void **state)
{
	const struct rk_dpdk_pool_opts opts = {.size = sizeof(opts), .mbufs = MBUFS, .cache = 32};

	if (aid_open(state) || rk_dpdk_pool_open(&pool, "test", &opts))
		return -1;
	mempool = rk_dpdk_pool_mempool(pool);
	plain = rte_pktmbuf_pool_create("plain", MBUFS, 32, 0, ROOM, SOCKET_ID_ANY);
	return plain ? 0 : -1;
}

static int close_pools(void **state)
{
	rte_mempool_free(plain);
	return rk_dpdk_pool_close(pool) || aid_close(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_frames_go_inline),
		cmocka_unit_test(test_long_frames_are_lent),
		cmocka_unit_test(test_what_cannot_be_lent_is_copied),
		cmocka_unit_test(test_what_fits_no_message_is_counted),
		cmocka_unit_test(test_split_frames_lend_what_follows_the_headers),
		cmocka_unit_test(test_a_tag_that_the_nic_stripped_is_back),
		cmocka_unit_test(test_a_full_ring_takes_fewer_and_loses_none),
		cmocka_unit_test(test_a_verdict_returns_the_buffer),
		cmocka_unit_test(test_what_was_not_lent_cannot_be_returned),
		cmocka_unit_test(test_nonsense_is_counted),
		cmocka_unit_test(test_the_actor_died),
		cmocka_unit_test(test_nothing_is_taken_for_an_actor_that_refuses),
		cmocka_unit_test(test_an_empty_pool_delays_and_loses_none),
		cmocka_unit_test(test_conservation_at_random),
		cmocka_unit_test(test_heads_travel_alone),
		cmocka_unit_test(test_heads_without_a_way_back),
		cmocka_unit_test(test_heads_are_lent_once),
		cmocka_unit_test(test_heads_at_random),
		cmocka_unit_test(test_latencies_are_sampled),
		cmocka_unit_test(test_options_that_cannot_be),
		cmocka_unit_test(test_a_pool_waits_for_its_mbufs),
	};

	return cmocka_run_group_tests(tests, open_pools, close_pools);
}
