// SPDX-License-Identifier: MIT
/*
 * A ring between two processes, and what happens when one is killed: the child sends numbers until
 * it is killed in the middle; a second child takes over; the parent receives every number once.
 */
#include <ringkernel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 1024, NUMBERS = 1000000 };

static void die(const char *what)
{
	fprintf(stderr, "two_processes: %s: %s\n", what, rk_errmsg());
	exit(1);
}

/* Send the numbers that no producer before has sent: the ring's position tells which, less what
 * this one had to pad because the other died within a slot.
 */
static void produce(int fd)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1};
	struct rk_share *share;
	struct rk_ring_tx tx;

	if (rk_share_attach(&share, fd, RK_ROLE_PRODUCER) ||
	    rk_ring_tx_open(&tx, rk_share_ring(share)))
		die("producer");
	for (uint64_t number = rk_ring_tx_position(&tx) - tx.padded_slots; number < NUMBERS;) {
		memcpy(msg.body, &number, sizeof(number));
		if (rk_ring_send(&tx, &msg))
			number++;
		else
			rk_ring_wait_send(&tx, 1, 1000000000);
	}
	while (!rk_ring_close(&tx, RK_CLOSE_DONE))
		rk_ring_wait_send(&tx, 1, 1000000000);
	exit(0);
}

static pid_t start_producer(int fd)
{
	pid_t child = fork();

	if (child == 0)
		produce(fd);
	return child;
}

int main(void)
{
	uint64_t expected = 0, number;
	struct rk_share *share;
	struct rk_ring_rx rx;
	struct rk_msg msg;
	pid_t child;
	int fd;

	if (rk_share_create(&fd, SLOTS, 0, "numbers") ||
	    rk_share_attach(&share, fd, RK_ROLE_CONSUMER) ||
	    rk_ring_rx_open(&rx, rk_share_ring(share), NULL))
		die("consumer");
	child = start_producer(fd);
	while (!rx.closed) {
		if (rk_ring_recv(&rx, &msg, 1) <= 0) {
			rk_ring_wait_recv(&rx, 1000000000);
			continue;
		}
		memcpy(&number, msg.body, sizeof(number));
		if (msg.type == RK_MSG_USER && number != expected++)
			die("a number is missing or came twice");
		if (expected == NUMBERS / 2 && child) {
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
			child = start_producer(fd);
		}
	}
	waitpid(child, NULL, 0);
	rk_share_detach(share);
	printf("%d numbers, one producer killed, none lost, none twice\n", NUMBERS);
	return expected != NUMBERS + 0u;
}
