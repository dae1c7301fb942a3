// SPDX-License-Identifier: MIT
/*
 * One end of a ring across hosts, for tests.
 *
 *   remote_peer recv URI [key=value...]   receives numbered messages and checks every byte
 *   remote_peer send URI [key=value...]   sends them
 *   remote_peer ping URI URI [...]        sends one by the first, waits for it at the second
 *   remote_peer pong URI URI [...]        sends back by the second what came by the first
 *   remote_peer same FILE FILE            do two captures hold the same packets, whatever the time?
 *
 * count=N    messages (send, ping), or how many must come (recv: 0 any)
 * mark=FILE  where to go on: what was sent or received is kept there, for after a SIGKILL
 * long=N     every seventh message is of up to N slots (default 1)
 * slow=US    pause between calls (recv)
 * rate=N     messages a second, at most (send)
 * ms=N       give up after so long (default 60000)
 * local=N    slots of the ring behind the port (recv; default 1024)
 * gpu=1      they lie in memory of a GPU (recv; the port is direct, and CUDA a stand-in, whose
 *            addresses on the GPU are addresses here)
 *
 * Ends with a line "sent N ..." or "received N lost N ...", and 0 if all was as it should be. A
 * message's number is in its tag and in every byte; numbers rise by one, and a gap is a loss.
 */
#include "clock.h"
#include "ringkernel.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BATCH = 64, MOST_LATENCIES = 1 << 20 };

/* What was sent, or received so far and what was wrong with it; outlives a SIGKILL. */
struct tally {
	uint64_t done, lost, bad, next;
};

static uint64_t count, longest = 1, slow_us, rate, limit_ms = 60000, local = 1024, gpu;
static struct rk_msg cells[RK_MSG_MAX_SLOTS * 2];
static struct tally plain, *tally = &plain;

static bool keep_tally(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*tally)))
		return false;
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return tally != MAP_FAILED;
}

static bool read_options(int argc, char **argv)
{
	static const struct {
		const char *key;
		uint64_t *value;
	} keys[] = {{"count=", &count}, {"long=", &longest}, {"slow=", &slow_us},
		    {"rate=", &rate},	{"ms=", &limit_ms},  {"local=", &local},
		    {"gpu=", &gpu}};
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

	for (; argc; argc--, argv++) {
		size_t i = 0;

		if (!strncmp(*argv, "mark=", 5)) {
			if (!keep_tally(*argv + 5))
				return false;
			continue;
		}
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

static int report(const char *what, struct rk_port *port, uint64_t moved, uint64_t start_ns)
{
	struct rk_port_stats stats;
	uint64_t ns = now_ns() - start_ns;

	rk_port_stats(port, &stats);
	printf("%s %" PRIu64 " lost %" PRIu64 " bad %" PRIu64 " unconfirmed %" PRIu64
	       " ring_full %" PRIu64 " moved %" PRIu64 " in %.3f s, %.0f/s; note: %s\n",
	       what, tally->done, tally->lost, tally->bad, stats.dropped_unconfirmed,
	       stats.ring_full, moved, (double)ns / 1e9, (double)moved * 1e9 / (double)ns,
	       rk_port_note(port));
	fflush(stdout);
	return tally->bad != 0;
}

/* Nothing moved: leave the processor to the other side. */
static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* Is it too early for the next message? */
static bool is_early(uint64_t sent, uint64_t start_ns)
{
	return rate && sent * 1000000000 / rate > now_ns() - start_ns;
}

static int send_all(struct rk_port *port)
{
	uint64_t start_ns = now_ns(), before = tally->done;
	int result = 0;

	while (tally->done < count && now_ns() - start_ns < limit_ms * 1000000) {
		for (int i = 0; i < BATCH && tally->done < count; i++) {
			if (is_early(tally->done - before, start_ns))
				break;
			fill(cells, tally->done);
			result = rk_port_write(port, cells);
			if (result <= 0)
				break;
			tally->done++;
		}
		if (result >= 0)
			result = rk_port_flush(port);
		if (result < 0)
			break;
		if (!result || rate)
			rest();
	}
	if (result < 0)
		printf("send: %s\n", rk_errmsg());
	if (tally->done == count && rk_port_flush(port) >= 0)
		result = 0;
	report("sent", port, tally->done - before, start_ns);
	if (rk_port_close(port)) {
		printf("close: %s\n", rk_errmsg());
		return 1;
	}
	return result || tally->done != count;
}

/* A ring on this host, behind or before a port. */
struct ends {
	struct rk_ring_tx tx;
	struct rk_ring_rx rx;
};

/* With the slots in memory of a GPU, which is the consumer. */
static int open_gpu_ends(struct ends *ends, struct rk_port *in)
{
	const struct rk_region_opts on_gpu = {.size = sizeof(on_gpu), .on_gpu = true};
	const struct rk_region_opts on_host = {.size = sizeof(on_host), .cuda = true};
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct rk_ring_parts parts = {.size = sizeof(parts), .device = true, .slots_far = true};
	struct rk_region *near, *host;
	struct rk_ring ring, seen;

	if (rk_region_open(&near, local * RK_SLOT_BYTES, &on_gpu) ||
	    rk_region_open(&host, 2 * RK_PAGE_BYTES, &on_host))
		return 1;
	parts.slots = rk_region_info(near)->host_addr;
	parts.credit = rk_region_take(host, sizeof(struct rk_ring_credit));
	parts.sleep = rk_region_take(host, sizeof(struct rk_ring_sleep));
	if (rk_ring_place(&ring, &parts, local, 0, "peer") || rk_port_lend(in, &ring, near) != 1)
		return 1;
	seen = ring;
	seen.slots = (struct rk_slot *)(uintptr_t)rk_region_info(near)->gpu_addr;
	return rk_ring_tx_open(&ends->tx, &ring) || rk_ring_rx_open(&ends->rx, &seen, &opts);
}

static int open_ends(struct ends *ends, struct rk_port *in)
{
	size_t bytes = rk_ring_bytes(local);
	void *memory = bytes ? aligned_alloc(RK_PAGE_BYTES, (bytes + 4095) / 4096 * 4096) : NULL;
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct rk_ring ring;

	if (gpu)
		return open_gpu_ends(ends, in);
	if (!memory || rk_ring_format(&ring, memory, bytes, local, 0, "peer"))
		return 1;
	/* Where the port is `direct`, the peer writes this ring. */
	if (rk_port_lend(in, &ring, NULL) < 0)
		return 1;
	return rk_ring_tx_open(&ends->tx, &ring) || rk_ring_rx_open(&ends->rx, &ring, &opts);
}

static void check(const struct rk_msg *msg)
{
	static struct rk_msg expected[RK_MSG_MAX_SLOTS];
	uint32_t ahead = msg->tag - (uint32_t)tally->next;

	/* Behind: twice, or out of order. */
	if (ahead > UINT32_MAX / 2) {
		tally->bad++;
		printf("bad: %u where %" PRIu64 " was due\n", msg->tag, tally->next);
		return;
	}
	fill(expected, tally->next + ahead);
	if (msg->slots != expected->slots ||
	    memcmp(msg, expected, (size_t)msg->slots * RK_CELL_BYTES)) {
		tally->bad++;
		printf("bad: message %u is torn\n", msg->tag);
	}
	tally->lost += ahead;
	tally->next += ahead + 1;
	tally->done++;
}

static int recv_all(struct rk_port *port)
{
	uint64_t start_ns = 0, open_ns = now_ns(), before = tally->done;
	struct ends ends;
	int result = 0, got;

	if (open_ends(&ends, port)) {
		printf("ring: %s; %s\n", rk_errmsg(), rk_port_note(port));
		return 1;
	}
	while (result >= 0 && now_ns() - open_ns < limit_ms * 1000000) {
		result = rk_port_poll_in(port, &ends.tx, BATCH);
		got = 0;
		while (!ends.rx.closed && rk_ring_recv(&ends.rx, cells, RK_MSG_MAX_SLOTS) > 0 &&
		       ++got && cells->type != RK_MSG_CLOSED)
			check(cells);
		if (ends.rx.closed)
			rk_ring_rx_credit(&ends.rx);
		if (got && !start_ns)
			start_ns = now_ns();
		if (!got)
			rest();
		if (slow_us)
			nanosleep(&(struct timespec){.tv_nsec = (long)slow_us * 1000}, NULL);
	}
	if (result < 0 && result != -ENODATA)
		printf("recv: %s\n", rk_errmsg());
	result = report("received", port, tally->done - before, start_ns ? start_ns : open_ns);
	rk_port_close(port);
	return result || (count && tally->done != count);
}

/*
 * Is it too late? Asked in loops where reading the clock would be the longest part: in a virtual
 * machine it may be a system call.
 */
static bool is_late(uint64_t until_ns)
{
	static uint32_t asked;

	return ++asked % 4096 == 0 && now_ns() > until_ns;
}

/* Send one message; false when it cannot be. */
static bool send_one(struct rk_port *port, uint64_t until_ns)
{
	int result = 0;

	while (!result && !is_late(until_ns))
		result = rk_port_write(port, cells);
	if (result > 0)
		result = 0;
	while (!result && !is_late(until_ns))
		result = rk_port_flush(port);
	return result > 0;
}

/* Wait for one message. */
static bool recv_one(struct rk_port *port, struct ends *ends, uint64_t until_ns)
{
	while (rk_ring_recv(&ends->rx, cells, RK_MSG_MAX_SLOTS) <= 0)
		if (rk_port_poll_in(port, &ends->tx, BATCH) < 0 || is_late(until_ns))
			return false;
	return true;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* What the processor counts, for intervals; a plain clock where it has no such counter. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return now_ns();
#endif
}

static int ping(struct rk_port *out, struct rk_port *in)
{
	uint64_t *rtt = calloc(count, sizeof(*rtt)), until_ns = now_ns() + limit_ms * 1000000;
	uint64_t start_ns = now_ns(), start_ticks = ticks(), done = 0;
	double ns_a_tick;
	struct ends ends;

	if (!rtt || open_ends(&ends, in))
		return 1;
	for (; done < count; done++) {
		uint64_t before = ticks();

		fill(cells, done);
		if (!send_one(out, until_ns) || !recv_one(in, &ends, until_ns)) {
			printf("ping %" PRIu64 ": %s\n", done, rk_errmsg());
			break;
		}
		if (cells->tag != (uint32_t)done) {
			printf("ping %" PRIu64 ": got %u\n", done, cells->tag);
			break;
		}
		rtt[done] = ticks() - before;
	}
	ns_a_tick = (double)(now_ns() - start_ns) / (double)(ticks() - start_ticks);
	qsort(rtt, done, sizeof(*rtt), by_size);
	if (done)
		printf("pinged %" PRIu64 " p50 %.0f p99 %.0f p99.9 %.0f max %.0f ns round trip\n",
		       done, (double)rtt[done / 2] * ns_a_tick,
		       (double)rtt[done * 99 / 100] * ns_a_tick,
		       (double)rtt[done * 999 / 1000] * ns_a_tick,
		       (double)rtt[done - 1] * ns_a_tick);
	free(rtt);
	rk_port_close(out);
	rk_port_close(in);
	return done != count;
}

static int pong(struct rk_port *in, struct rk_port *out)
{
	uint64_t until_ns = now_ns() + limit_ms * 1000000;
	struct ends ends;

	if (open_ends(&ends, in))
		return 1;
	while (recv_one(in, &ends, until_ns) && send_one(out, until_ns))
		;
	rk_port_close(out);
	rk_port_close(in);
	return 0;
}

/* The next packet of a capture; 0 at its end. */
static uint32_t next_packet(FILE *file, uint8_t *data, size_t room)
{
	uint32_t head[4];

	if (fread(head, sizeof(head), 1, file) != 1 || head[2] > room ||
	    fread(data, 1, head[2], file) != head[2])
		return 0;
	return head[2];
}

static int same(const char *path_a, const char *path_b)
{
	enum { CAPTURE_HEAD_BYTES = 24, MOST_BYTES = 1 << 16 };
	FILE *a = fopen(path_a, "r"), *b = fopen(path_b, "r");
	uint8_t *data = malloc(2 * MOST_BYTES);
	uint32_t packets = 0, bytes;
	bool alike;

	if (!a || !b || !data || fseek(a, CAPTURE_HEAD_BYTES, SEEK_SET) ||
	    fseek(b, CAPTURE_HEAD_BYTES, SEEK_SET))
		return 2;
	do {
		bytes = next_packet(a, data, MOST_BYTES);
		alike = next_packet(b, data + MOST_BYTES, MOST_BYTES) == bytes &&
			!memcmp(data, data + MOST_BYTES, bytes);
		packets += alike && bytes;
	} while (alike && bytes);
	printf("%u packets the same%s\n", packets, alike ? "" : ", the next differ");
	fclose(a);
	fclose(b);
	free(data);
	return !alike || !packets;
}

int main(int argc, char **argv)
{
	bool two = argc > 1 && (!strcmp(argv[1], "ping") || !strcmp(argv[1], "pong"));
	bool in_first = argc > 1 && (!strcmp(argv[1], "recv") || !strcmp(argv[1], "pong"));
	struct rk_port *port[2] = {NULL, NULL};

	if (argc == 4 && !strcmp(argv[1], "same"))
		return same(argv[2], argv[3]);
	if (argc < 3 + two || !read_options(argc - 3 - two, argv + 3 + two))
		return 2;
	for (int i = 0; i < 1 + two; i++)
		if (rk_port_open(&port[i], argv[2 + i], in_first == !i ? RK_PORT_IN : RK_PORT_OUT,
				 0)) {
			printf("%s\n", rk_errmsg());
			return 2;
		}
	if (two)
		return in_first ? pong(port[0], port[1]) : ping(port[0], port[1]);
	return in_first ? recv_all(port[0]) : send_all(port[0]);
}
