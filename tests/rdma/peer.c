// SPDX-License-Identifier: MIT
/*
 * peer: one end of a ring across hosts, for tests.
 *
 *   peer recv URI [key=value...]   receives numbered messages and checks every byte
 *   peer send URI [key=value...]   sends them
 *   peer ping URI URI [...]        sends one by the first, waits for it at the second
 *   peer pong URI URI [...]        sends back by the second what came by the first
 *
 * count=N    messages (send, ping), or to be received (recv: 0 until the end)
 * first=N    number of the first (send)
 * long=N     every seventh message is of up to N slots (default 1)
 * slow=US    pause between calls (recv)
 * ms=N       give up after so long (default 60000)
 * local=N    slots of the ring behind the port (recv; default 1024)
 *
 * Ends with a line "sent N ..." or "received N lost N ...", and 0 if all was as it should be. A
 * message's number is in its tag and in every byte; numbers rise by one, and a gap is a loss.
 */
#include "clock.h"
#include "ringkernel.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, MOST_LATENCIES = 1 << 20 };

static uint64_t count, first, longest = 1, slow_us, limit_ms = 60000, local = 1024;
static struct rk_msg cells[RK_MSG_MAX_SLOTS * 2];

static bool read_options(int argc, char **argv)
{
	static const struct {
		const char *key;
		uint64_t *value;
	} keys[] = {{"count=", &count},	  {"first=", &first}, {"long=", &longest},
		    {"slow=", &slow_us}, {"ms=", &limit_ms}, {"local=", &local}};
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

	for (; argc; argc--, argv++) {
		size_t i = 0;

		while (i < KEYS && strncmp(*argv, keys[i].key, strlen(keys[i].key)))
			i++;
		if (i == KEYS) {
			printf("no option %s\n", *argv);
			return false;
		}
		*keys[i].value = strtoull(*argv + strlen(keys[i].key), NULL, 0);
	}
	return true;
}

/* The message @number, every byte of it. */
static void fill(struct rk_msg *msg, uint64_t number)
{
	uint32_t slots = number % 7 ? 1 : 1 + (uint32_t)(number / 7 % longest);
	uint64_t *word = (uint64_t *)msg + 1;

	*msg = (struct rk_msg){
		.type = RK_MSG_USER, .slots = (uint8_t)slots, .tag = (uint32_t)number};
	for (uint32_t i = 0; i < slots * RK_CELL_BYTES / 8 - 1; i++)
		word[i] = number * 0x9e3779b97f4a7c15ULL + i;
}

static int report(const char *what, struct rk_port *port, uint64_t number, uint64_t lost,
		  uint64_t bad, uint64_t start_ns)
{
	struct rk_port_stats stats;
	uint64_t ns = now_ns() - start_ns;

	rk_port_stats(port, &stats);
	printf("%s %" PRIu64 " lost %" PRIu64 " bad %" PRIu64 " unconfirmed %" PRIu64
	       " ring_full %" PRIu64 " in %.3f s, %.0f/s; note: %s\n",
	       what, number, lost, bad, stats.dropped_unconfirmed, stats.ring_full,
	       (double)ns / 1e9, (double)number * 1e9 / (double)ns, rk_port_note(port));
	fflush(stdout);
	return bad != 0;
}

static int send_all(struct rk_port *port)
{
	uint64_t start_ns = now_ns(), number = first;
	int result = 0;

	while (number < first + count && now_ns() - start_ns < limit_ms * 1000000) {
		for (int i = 0; i < BATCH && number < first + count; i++) {
			fill(cells, number);
			result = rk_port_write(port, cells);
			if (result <= 0)
				break;
			number++;
		}
		if (result >= 0)
			result = rk_port_flush(port);
		if (result < 0)
			break;
	}
	if (result < 0)
		printf("send: %s\n", rk_errmsg());
	result = report("sent", port, number - first, 0, 0, start_ns);
	if (rk_port_close(port)) {
		printf("close: %s\n", rk_errmsg());
		return 1;
	}
	return result || number != first + count;
}

/* A ring on this host, behind or before a port. */
struct ends {
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
};

static int open_ends(struct ends *ends)
{
	size_t bytes = rk_ring_bytes(local);
	void *memory = bytes ? aligned_alloc(RK_PAGE_BYTES, (bytes + 4095) / 4096 * 4096) : NULL;
	struct rk_ring ring;

	if (!memory || rk_ring_format(&ring, memory, bytes, local, 0, "peer"))
		return 1;
	return rk_ring_tx_open(&ends->tx, &ring) || rk_ring_rx_open(&ends->rx, &ring, NULL);
}

/* What was received so far, and what was wrong with it. */
struct tally {
	uint64_t received, lost, bad, next;
	bool begun;
};

static void check(struct tally *tally, const struct rk_msg *msg)
{
	static struct rk_msg expected[RK_MSG_MAX_SLOTS];
	uint32_t ahead = msg->tag - (uint32_t)tally->next;
	uint64_t number = tally->begun ? tally->next + ahead : msg->tag;

	/* Behind: twice or out of order. */
	if (tally->begun && ahead > UINT32_MAX / 2) {
		tally->bad++;
		printf("bad: %u after %" PRIu64 "\n", msg->tag, tally->next - 1);
		return;
	}
	if (tally->begun)
		tally->lost += ahead;
	fill(expected, number);
	if (msg->slots != expected->slots ||
	    memcmp(msg, expected, (size_t)msg->slots * RK_CELL_BYTES)) {
		tally->bad++;
		printf("bad: message %" PRIu64 " is torn\n", number);
	}
	tally->begun = true;
	tally->next = number + 1;
	tally->received++;
}

static int recv_all(struct rk_port *port)
{
	uint64_t start_ns = 0, open_ns = now_ns();
	struct tally tally = {0};
	struct ends ends;
	int result = 0;

	if (open_ends(&ends))
		return 1;
	while (result >= 0 && (!count || tally.received < count) &&
	       now_ns() - open_ns < limit_ms * 1000000) {
		int got;

		result = rk_port_poll_in(port, &ends.tx, BATCH);
		while ((got = rk_ring_recv(&ends.rx, cells, RK_MSG_MAX_SLOTS)) > 0)
			check(&tally, cells);
		if (result > 0 && !start_ns)
			start_ns = now_ns();
		if (slow_us)
			nanosleep(&(struct timespec){.tv_nsec = (long)slow_us * 1000}, NULL);
	}
	if (result < 0 && result != -ENODATA)
		printf("recv: %s\n", rk_errmsg());
	result = report("received", port, tally.received, tally.lost, tally.bad,
			start_ns ? start_ns : open_ns);
	rk_port_close(port);
	return result || (count && tally.received < count);
}

/* Send one message; false when it cannot be. */
static bool send_one(struct rk_port *port, uint64_t until_ns)
{
	int result;

	while (!(result = rk_port_write(port, cells)) && now_ns() < until_ns)
		;
	while (result > 0 && !(result = rk_port_flush(port)) && now_ns() < until_ns)
		;
	return result > 0;
}

/* Wait for one message. */
static bool recv_one(struct rk_port *port, struct ends *ends, uint64_t until_ns)
{
	while (rk_ring_recv(&ends->rx, cells, RK_MSG_MAX_SLOTS) <= 0)
		if (rk_port_poll_in(port, &ends->tx, BATCH) < 0 || now_ns() > until_ns)
			return false;
	return true;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int ping(struct rk_port *out, struct rk_port *in)
{
	uint64_t *rtt_ns = calloc(count, sizeof(*rtt_ns)), until_ns = now_ns() + limit_ms * 1000000;
	struct ends ends;
	uint64_t done = 0;

	if (!rtt_ns || open_ends(&ends))
		return 1;
	for (; done < count; done++) {
		uint64_t start_ns = now_ns();

		fill(cells, done);
		if (!send_one(out, until_ns) || !recv_one(in, &ends, until_ns) ||
		    cells->tag != (uint32_t)done)
			break;
		rtt_ns[done] = now_ns() - start_ns;
	}
	qsort(rtt_ns, done, sizeof(*rtt_ns), by_size);
	if (done)
		printf("pinged %" PRIu64 " p50 %" PRIu64 " p99 %" PRIu64 " p99.9 %" PRIu64
		       " max %" PRIu64 " ns round trip\n",
		       done, rtt_ns[done / 2], rtt_ns[done * 99 / 100], rtt_ns[done * 999 / 1000],
		       rtt_ns[done - 1]);
	else
		printf("ping: %s\n", rk_errmsg());
	free(rtt_ns);
	rk_port_close(out);
	rk_port_close(in);
	return done != count;
}

static int pong(struct rk_port *in, struct rk_port *out)
{
	uint64_t until_ns = now_ns() + limit_ms * 1000000;
	struct ends ends;

	if (open_ends(&ends))
		return 1;
	while (recv_one(in, &ends, until_ns) && send_one(out, until_ns))
		;
	rk_port_close(out);
	rk_port_close(in);
	return 0;
}

int main(int argc, char **argv)
{
	bool two = argc > 1 && (!strcmp(argv[1], "ping") || !strcmp(argv[1], "pong"));
	bool in_first = argc > 1 && (!strcmp(argv[1], "recv") || !strcmp(argv[1], "pong"));
	struct rk_port *port[2] = {NULL, NULL};

	if (argc < 3 + two || !read_options(argc - 3 - two, argv + 3 + two))
		return 2;
	for (int i = 0; i < 1 + two; i++)
		if (rk_port_open(&port[i], argv[2 + i],
				 in_first == !i ? RK_PORT_IN : RK_PORT_OUT, 0)) {
			printf("%s\n", rk_errmsg());
			return 2;
		}
	if (two)
		return in_first ? pong(port[0], port[1]) : ping(port[0], port[1]);
	return in_first ? recv_all(port[0]) : send_all(port[0]);
}
