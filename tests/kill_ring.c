// SPDX-License-Identifier: MIT
/*
 * Producers and consumers killed with SIGKILL at random times, in the middle of long messages and
 * batches too, and replaced. The other end, which lives, checks every byte and every number:
 * nothing torn, lost, doubled or out of order.
 *
 *	kill_ring [KILLS]	of a producer, and as many of a consumer; prints TAP
 */
#include "ring_aid.h"
#include "ring/rk_share.h"
#include "rk_error.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { KILLS_PER_RING = 100, MOST_CELLS = 512, MOST_LIFE_NS = 150000 };

/* What a killed process leaves to the next, in memory that outlives it. */
struct journal {
	struct {
		uint64_t position; /* of message @number */
		uint64_t number;
	} entry[2];
	uint64_t turn;	 /* entry[turn & 1] counts; one store, so never half written */
	uint64_t pads, padded_slots;
	uint64_t behind; /* consumers that found the credit behind what was recorded */
	uint64_t redelivered;
	char failure[256]; /* of a child, or "" */
};

struct trial {
	int fd;
	struct rk_share *share;
	uint64_t capacity, start;
	uint32_t max_slots;
	uint64_t number; /* next to send or to receive here */
	uint64_t messages, slots;
};

static struct journal *journal;
static uint64_t state;
static uint64_t calls_to_live = UINT64_MAX; /* of the ring, by a child that is about to die */
static uint64_t life;	/* of this producer; 0 where sizes depend on the number alone */
static bool any_size;	/* the consumer knows no life, and takes the header's word for the size */
static int failures, tests;
static struct rk_msg cells[MOST_CELLS];

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		if (!journal->failure[0])                                                          \
			snprintf(journal->failure, sizeof(journal->failure), __VA_ARGS__);         \
	} while (0)

/* A child that met something wrong: said to the parent, never by exit code alone. */
#define CHILD_FAIL(...)                                                                            \
	do {                                                                                       \
		FAIL(__VA_ARGS__);                                                                 \
		_exit(1);                                                                          \
	} while (0)

static void record(uint64_t position, uint64_t number)
{
	uint64_t next = journal->turn + 1;

	journal->entry[next & 1].position = position;
	journal->entry[next & 1].number = number;
	__atomic_store_n(&journal->turn, next, __ATOMIC_RELEASE);
}

/*
 * Cells of message @number: many long ones, so that many a kill hits one. Where no position must be
 * told from them, each life has its own, so that what it sends does not cover what the one before
 * it left half done.
 */
static uint32_t slots_of(uint64_t number, uint32_t most)
{
	uint64_t chance = aid_pattern(number, life);

	return chance & 1 ? 1 : 1 + (uint32_t)((chance >> 32) % (chance & 2 ? most : (most + 3) / 4));
}

static struct rk_msg *cell_at(uint32_t index)
{
	return &cells[index];
}

/* --- Death --- */

#if defined(__x86_64__)
static volatile uint64_t steps_to_live;

static void on_step(int signal_number)
{
	(void)signal_number;
	if (!--steps_to_live)
		kill(getpid(), SIGKILL);
}

/* Single-step from here on: death comes after @steps instructions, whichever they are. */
static void die_after_steps(uint64_t steps)
{
	steps_to_live = steps;
	signal(SIGTRAP, on_step);
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
}
#endif

/*
 * A child arms its own death, by SIGKILL from a timer, so that it comes in the middle of whatever
 * runs then: a kill by the parent comes when the parent runs, and with few cores that is mostly
 * while the child waits. A third come after a number of instructions instead: most of those
 * are in the middle of a call of the ring.
 */
static void doom(uint64_t *random)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct itimerspec when = {.it_value.tv_nsec = 1 + (long)aid_below(random, MOST_LIFE_NS)};
	timer_t timer;

#if defined(__x86_64__)
	if (!aid_below(random, 3)) {
		die_after_steps(1 + aid_below(random, 32ULL << aid_below(random, 5)));
		return;
	}
#endif
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL))
		CHILD_FAIL("timer: %s", strerror(errno));
}

static bool is_dead(pid_t child)
{
	return waitpid(child, NULL, WNOHANG) != 0;
}

/* --- Either end, in the parent or in a child --- */

/* Send messages from *@number on, singly or a batch of them; what was sent is counted. */
static void send_some(struct rk_ring_tx *tx, uint64_t *number, uint64_t *random, uint64_t *slots)
{
	uint32_t wanted = aid_below(random, 2) ? 1 : 1 + (uint32_t)aid_below(random, 12);
	uint32_t count = 0;
	int result;

	for (uint32_t i = 0; i < wanted; i++) {
		uint32_t most = slots_of(*number + i, tx->max_slots);

		if (count + most > MOST_CELLS)
			break;
		aid_fill(cell_at(count), most, *number + i);
		count += most;
	}
	if (!calls_to_live--)
		doom(random);
	result = wanted == 1 ? rk_ring_send(tx, cells) : rk_ring_send_batch(tx, cells, count);
	if (result < 0)
		FAIL("send: %d", result);
	if (result <= 0) {
		sched_yield();
		return;
	}
	*slots += (uint64_t)result;
	for (uint32_t sent = 0; sent < (uint32_t)result; ++*number)
		sent += cells[sent].slots;
}

/* Receive one message or a batch; each must be the next, and whole. Returns cells. */
static int receive_some(struct rk_ring_rx *rx, uint64_t *number, uint64_t *random)
{
	bool single = aid_below(random, 2);
	int count;

	if (!calls_to_live--)
		doom(random);
	count = single ? rk_ring_recv(rx, cells, MOST_CELLS) :
			 rk_ring_recv_batch(rx, cells, MOST_CELLS);
	if (!count)
		sched_yield();

	if (count < 0 || rx->closed)
		FAIL("receive: %d, closed %llu", count, (unsigned long long)rx->closed);
	for (int i = 0; i < count; i += cells[i].slots) {
		uint32_t slots = any_size ? cells[i].slots : slots_of(*number, rx->max_slots);

		if (!slots || !aid_matches(cell_at((uint32_t)i), slots, *number)) {
			FAIL("expected message %llu, got tag %u, %u slots",
			     (unsigned long long)*number, cells[i].tag, cells[i].slots);
			return -1;
		}
		++*number;
	}
	return count;
}

static void new_trial(struct trial *t, uint32_t ring, enum rk_role parent)
{
	static const uint64_t capacities[] = {2, 8, 64, 1024, 16};
	const struct rk_codec *codec = rk_codec_at(ring % 4);

	setenv("RK_CODEC", codec ? codec->name : "plain", 1);
	memset(t, 0, sizeof(*t));
	memset(journal, 0, sizeof(journal->entry));
	t->capacity = capacities[ring % 5];
	t->max_slots = t->capacity / 2 < 255 ? (uint32_t)t->capacity / 2 : 255;
	t->start = ring % 3 ? 0 - aid_below(&state, 3 * t->capacity) : 250 * t->capacity;
	if (rk_share_create(&t->fd, t->capacity, t->start, "kill") ||
	    rk_share_attach(&t->share, t->fd, parent))
		FAIL("%s", rk_errmsg());
	record(t->start, 0);
}

static void end_trial(struct trial *t)
{
	rk_share_detach(t->share);
	close(t->fd);
}

/* --- Producers that are killed --- */

/* Which message comes next, from where the dead producer stopped and what it recorded. */
static uint64_t next_number(const struct trial *t, uint64_t stopped)
{
	uint64_t position = journal->entry[journal->turn & 1].position;
	uint64_t number = journal->entry[journal->turn & 1].number;

	while (position != stopped) {
		if (stopped - position > 1ULL << 40)
			CHILD_FAIL("stopped at %llu, within message %llu",
				   (unsigned long long)stopped, (unsigned long long)number);
		position += slots_of(number++, t->max_slots);
	}
	return number;
}

/* @told: the parent says which message is next; otherwise the position does. */
static void child_produces(const struct trial *t, uint64_t seed, bool told)
{
	struct rk_share *share;
	struct rk_ring_tx tx;
	uint64_t number = t->number, slots = 0;

	life = told ? aid_random(&seed) : 0;
	if (rk_share_attach(&share, t->fd, RK_ROLE_PRODUCER))
		CHILD_FAIL("%s", rk_errmsg());
	if (told && aid_below(&seed, 2))
		doom(&seed);
	if (rk_ring_tx_open(&tx, rk_share_ring(share)))
		CHILD_FAIL("%s", rk_errmsg());
	if (!told)
		number = next_number(t, rk_ring_tx_position(&tx) - tx.padded_slots);
	journal->pads += tx.padded_slots != 0;
	journal->padded_slots += tx.padded_slots;
	record(rk_ring_tx_position(&tx), number);
	while (!journal->failure[0])
		send_some(&tx, &number, &seed, &slots);
	_exit(1);
}

static pid_t start_child(const struct trial *t, void (*run)(const struct trial *, uint64_t, bool),
			 bool flag)
{
	pid_t parent = getpid(), child;
	uint64_t seed = aid_random(&state);

	child = fork();
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	calls_to_live = aid_below(&seed, 12);
	run(t, seed, flag);
	_exit(1);
}

/* Receive for as long as the child lives. */
static void outlive(struct trial *t, struct rk_ring_rx *rx, pid_t child)
{
	do {
		for (int i = 0; i < 8 && !journal->failure[0]; i++) {
			int count = receive_some(rx, &t->number, &state);

			t->slots += count > 0 ? (uint64_t)count : 0;
		}
	} while (!is_dead(child));
}

static void drain(struct trial *t, struct rk_ring_rx *rx)
{
	int count;

	/* Twice nothing: the first may have skipped padding alone. */
	for (int nothing = 0; nothing < 2 && !journal->failure[0];) {
		count = receive_some(rx, &t->number, &state);
		nothing = count ? 0 : nothing + 1;
		t->slots += count > 0 ? (uint64_t)count : 0;
	}
}

static void kill_producers(uint32_t kills, bool told)
{
	uint64_t messages = 0, padding = 0;
	struct trial t;
	struct rk_ring_rx rx;

	any_size = told;

	for (uint32_t i = 0; i < kills && !journal->failure[0]; i++) {
		if (i % KILLS_PER_RING == 0) {
			new_trial(&t, i / KILLS_PER_RING, RK_ROLE_CONSUMER);
			if (rk_ring_rx_open(&rx, rk_share_ring(t.share), NULL))
				FAIL("%s", rk_errmsg());
		}
		outlive(&t, &rx, start_child(&t, child_produces, told));
		/* Only when it is told must the next producer find an empty ring. */
		if (told || (i + 1) % KILLS_PER_RING == 0 || i + 1 == kills)
			drain(&t, &rx);
		if ((i + 1) % KILLS_PER_RING && i + 1 != kills)
			continue;
		if (rk_ring_rx_position(&rx) - t.start != t.slots + rx.padded_slots)
			FAIL("%llu slots received and %llu padded do not make the position",
			     (unsigned long long)t.slots, (unsigned long long)rx.padded_slots);
		messages += t.number;
		padding += rx.padded_slots;
		end_trial(&t);
	}
	printf("# %u producers killed, %llu messages whole, %llu left one unfinished, %llu slots "
	       "padded\n",
	       kills, (unsigned long long)messages, (unsigned long long)journal->pads,
	       (unsigned long long)padding);
	if (kills >= 1000 && !journal->pads)
		FAIL("no kill hit a message half way: the test shows nothing");
}

/* --- Consumers that are killed --- */

/* The number of the message at @position, counted back from what was recorded. */
static uint64_t number_at(const struct trial *t, uint64_t position)
{
	uint64_t at = journal->entry[journal->turn & 1].position;
	uint64_t number = journal->entry[journal->turn & 1].number;

	while (at != position) {
		if (!number || at - position > t->capacity)
			CHILD_FAIL("the last credit, %llu, is not at a message",
				   (unsigned long long)position);
		at -= slots_of(--number, t->max_slots);
	}
	return number;
}

/* @exact: begin where the dead consumer recorded; otherwise at its last credit. */
static void child_consumes(const struct trial *t, uint64_t seed, bool exact)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts),
				       .no_touch = seed & 1,
				       .resume = exact,
				       .position = journal->entry[journal->turn & 1].position};
	uint64_t recorded = journal->entry[journal->turn & 1].number, number;
	struct rk_share *share;
	struct rk_ring_rx rx;

	if (rk_share_attach(&share, t->fd, RK_ROLE_CONSUMER) ||
	    rk_ring_rx_open(&rx, rk_share_ring(share), &opts))
		CHILD_FAIL("%s", rk_errmsg());
	number = number_at(t, rk_ring_rx_position(&rx));
	if (exact && number != recorded)
		CHILD_FAIL("resumed at message %llu, not %llu", (unsigned long long)number,
			   (unsigned long long)recorded);
	journal->behind += rx.credited != opts.position;
	journal->redelivered += recorded - number;
	while (!journal->failure[0]) {
		receive_some(&rx, &number, &seed);
		/* At times slow, so that the ring fills and the credit falls behind. */
		for (uint64_t i = seed % 64 ? 0 : 20000; i; i--)
			rk_codec_barrier();
		/* What comes again does not count again. */
		if (number >= recorded)
			record(rk_ring_rx_position(&rx), number);
	}
	_exit(1);
}

/* Send for as long as the child lives. */
static void feed(struct trial *t, struct rk_ring_tx *tx, pid_t child)
{
	do {
		for (int i = 0; i < 8 && !journal->failure[0]; i++)
			send_some(tx, &t->number, &state, &t->slots);
	} while (!is_dead(child));
}

/* After the last kill: everything that was sent and not recorded is still there, in order. */
static void check_rest(struct trial *t)
{
	struct rk_ring_rx_opts opts = {.size = sizeof(opts),
				       .resume = true,
				       .position = journal->entry[journal->turn & 1].position};
	uint64_t number = journal->entry[journal->turn & 1].number;
	struct rk_ring_rx rx;
	struct rk_share *share;

	if (rk_share_attach(&share, t->fd, RK_ROLE_CONSUMER) ||
	    rk_ring_rx_open(&rx, rk_share_ring(share), &opts)) {
		FAIL("%s", rk_errmsg());
		return;
	}
	while (receive_some(&rx, &number, &state) > 0)
		;
	if (number != t->number || rk_ring_rx_position(&rx) - t->start != t->slots)
		FAIL("%llu messages sent, %llu received", (unsigned long long)t->number,
		     (unsigned long long)number);
	rk_share_detach(share);
}

static void kill_consumers(uint32_t kills, bool exact)
{
	uint64_t messages = 0;
	struct trial t;
	struct rk_ring_tx tx;

	any_size = false;

	for (uint32_t i = 0; i < kills && !journal->failure[0]; i++) {
		if (i % KILLS_PER_RING == 0) {
			new_trial(&t, i / KILLS_PER_RING, RK_ROLE_PRODUCER);
			if (rk_ring_tx_open(&tx, rk_share_ring(t.share)))
				FAIL("%s", rk_errmsg());
		}
		feed(&t, &tx, start_child(&t, child_consumes, exact));
		if ((i + 1) % KILLS_PER_RING && i + 1 != kills)
			continue;
		check_rest(&t);
		messages += t.number;
		end_trial(&t);
	}
	printf("# %u consumers killed, %llu messages whole, %llu with the credit behind, %llu "
	       "messages delivered again\n",
	       kills, (unsigned long long)messages, (unsigned long long)journal->behind,
	       (unsigned long long)journal->redelivered);
	if (exact && journal->redelivered)
		FAIL("messages came twice though the position was recorded");
}

static void test(const char *name, void (*run)(uint32_t, bool), uint32_t kills, bool flag)
{
	uint64_t from_ns = now_ns();

	memset(journal, 0, sizeof(*journal));
	run(kills, flag);
	if (journal->failure[0]) {
		printf("# %s, RK_SEED=%llu\nnot ", journal->failure, (unsigned long long)aid_seed);
		failures++;
	}
	printf("ok %d - %s\n# %.1f s\n", ++tests, name, (double)(now_ns() - from_ns) / 1e9);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint32_t kills = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 10000;

	journal = mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (journal == MAP_FAILED)
		return 2;
	state = aid_choose_seed(now_ns());
	aid_watchdog(900);
	printf("1..4\n");
	test("producers killed, the next goes on by position", kill_producers, kills / 2, false);
	test("producers killed, at taking over too", kill_producers, kills - kills / 2, true);
	test("consumers killed, the next goes on where recorded", kill_consumers, kills / 2, true);
	test("consumers killed, the next goes on at the last credit", kill_consumers,
	     kills - kills / 2, false);
	return failures != 0;
}
