// SPDX-License-Identifier: GPL-2.0
/*
 * The project's rings over GPU memory: the guest sends to a process outside the VM, which checks
 * every message and sends it back, and the guest checks it again.
 */
#include "rk_error.h"
#include "t.h"
#include "ring_plan.h"

#define LIMIT_NS	(60 * 1000000000ull)

/* Return: false if nothing came or went for too long. */
static bool exchange(struct rk_ring_tx *tx, struct rk_ring_rx *rx)
{
	uint64_t cells[PLAN_CELLS * RK_CELL_BYTES / 8];
	uint64_t until = t_now_ns() + LIMIT_NS;
	struct rk_msg *msg = (struct rk_msg *)cells;
	uint32_t sent = 0, got = 0, wrong = 0;

	while (got < PLAN_MESSAGES && t_now_ns() < until) {
		if (sent < PLAN_MESSAGES) {
			plan_fill(msg, sent);
			if (rk_ring_send(tx, msg) > 0)
				sent++;
		}
		if (rk_ring_recv(rx, msg, PLAN_CELLS) > 0)
			wrong += !plan_is(msg, got++);
	}
	CHECK_EQ(sent, PLAN_MESSAGES);
	CHECK_EQ(got, PLAN_MESSAGES);
	CHECK_EQ(wrong, 0);
	printf("ring over the BAR: %u messages out, %u back, %u wrong\n", sent, got, wrong);
	return got == PLAN_MESSAGES;
}

void group_ring(void)
{
	struct rk_ring_rx_opts opts = { .size = sizeof(opts), .no_touch = true };
	struct rk_ring out, in;
	struct rk_pin_gpu gpu;
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
	int fd = t_open();
	char *map;

	t_mode(SI_FAIL_NONE, 1, 0);
	CHECK_EQ(t_pin_gpu(fd, SI_GPU_BASE, PLAN_BYTES, 0, &gpu), 0);
	map = t_map(fd, gpu.mmap_offset, PLAN_BYTES);
	CHECK(map);
	if (!map)
		return;
	memset(map, 0, PLAN_BYTES);
	CHECK_EQ(rk_ring_format(&out, map + PLAN_OUT, PLAN_IN - PLAN_OUT, PLAN_CAPACITY, 0, "out"),
		 0);
	CHECK_EQ(rk_ring_format(&in, map + PLAN_IN, PLAN_FLAG - PLAN_IN, PLAN_CAPACITY, 0, "in"),
		 0);
	CHECK_EQ(rk_ring_tx_open(&tx, &out), 0);
	CHECK_EQ(rk_ring_rx_open(&rx, &in, &opts), 0);
	__atomic_store_n((uint64_t *)(map + PLAN_FLAG), PLAN_READY, __ATOMIC_RELEASE);
	if (exchange(&tx, &rx))
		CHECK_EQ(rk_ring_close(&tx, RK_CLOSE_DONE), 1);
	CHECK_EQ(t_type_at(fd, gpu.handle, map), RK_TYPE_WC);
	munmap(map, PLAN_BYTES);
	close(fd);
}
