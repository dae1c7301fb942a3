// SPDX-License-Identifier: GPL-2.0
/*
 * The process outside the VM that stands for the GPU: it sees the BAR as shared memory, takes part
 * in the guest's rings with the project's own ring code, checks every message and sends it back.
 *
 * Usage: outside SHM SECONDS.  Exit status 0 if every message came, once, in order and right.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest/ring_plan.h"
#include "rk_error.h"

static time_t end;

static bool in_time(void)
{
	return time(NULL) < end;
}

static int echo(struct rk_ring_rx *rx, struct rk_ring_tx *tx)
{
	uint64_t cells[PLAN_CELLS * RK_CELL_BYTES / 8];
	struct rk_msg *msg = (struct rk_msg *)cells;
	uint32_t got = 0, wrong = 0;

	while (in_time() && !rx->closed) {
		int n = rk_ring_recv(rx, msg, PLAN_CELLS);

		if (n < 0) {
			fprintf(stderr, "outside: receive: %s\n", rk_errmsg());
			return 1;
		}
		if (!n || msg->type == RK_MSG_CLOSED)
			continue;
		wrong += !plan_is(msg, got++);
		while (!rk_ring_send(tx, msg) && in_time())
			;
	}
	printf("outside: %u messages, %u wrong, closed with reason %llu\n", got, wrong,
	       (unsigned long long)rx->closed);
	return got != PLAN_MESSAGES || wrong || rx->closed != RK_CLOSE_DONE;
}

int main(int argc, char **argv)
{
	struct rk_ring_rx_opts opts = { .size = sizeof(opts), .no_touch = true };
	struct rk_ring in, out;
	struct rk_ring_rx rx;
	struct rk_ring_tx tx;
	char *bar;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: outside SHM SECONDS\n");
		return 2;
	}
	end = time(NULL) + atoi(argv[2]);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	bar = mmap(NULL, PLAN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || bar == MAP_FAILED) {
		perror(argv[1]);
		return 2;
	}
	while (__atomic_load_n((uint64_t *)(bar + PLAN_FLAG), __ATOMIC_ACQUIRE) != PLAN_READY) {
		if (!in_time()) {
			fprintf(stderr, "outside: the guest made no rings\n");
			return 1;
		}
		usleep(10000);
	}
	if (rk_ring_attach(&in, bar + PLAN_OUT, PLAN_IN - PLAN_OUT) ||
	    rk_ring_attach(&out, bar + PLAN_IN, PLAN_FLAG - PLAN_IN) ||
	    rk_ring_rx_open(&rx, &in, &opts) || rk_ring_tx_open(&tx, &out)) {
		fprintf(stderr, "outside: %s\n", rk_errmsg());
		return 1;
	}
	return echo(&rx, &tx);
}
