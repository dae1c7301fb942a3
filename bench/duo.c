// SPDX-License-Identifier: MIT
#include "duo.h"
#include "clock.h"
#include "rk_error.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	PROBE_LINES = 512,
	PROBE_REPEATS = 3,
	BURST_SECONDS_MOST = 60,
	REST_NS_LEAST = 500000,
	SIBLING_NS_MOST = 9,
	NEAR_NS_MOST = 45,
};

struct probe_line {
	uint32_t next;
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));

struct duo {
	struct probe_line lines[PROBE_LINES];
	uint32_t arrived __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	sem_t go[2], done;
	pthread_t thread[2];
	int cpu[2];
	int claim; /* a socket: this process is the only one that benches */
	int fifo_error;
	bool stop;
	void (*run[2])(void *argument);
	void *argument;
	double probed_ns[2];
	char text[160];
};

struct end {
	struct duo *duo;
	int side;
};

const char *const duo_class_names[DUO_CLASSES + 1] = {"near", "far", "sibling", "mixed"};

/* Both threads pass together; each waits for as many arrivals as both have made. */
static void meet(struct duo *duo, uint32_t *met)
{
	*met += 2;
	__atomic_add_fetch(&duo->arrived, 1, __ATOMIC_SEQ_CST);
	while ((int32_t)(__atomic_load_n(&duo->arrived, __ATOMIC_ACQUIRE) - *met) < 0)
		;
}

static uint64_t chase_ns(const struct duo *duo)
{
	uint64_t start = now_ns();
	uint32_t at = 0;

	for (int i = 0; i < PROBE_LINES; i++)
		at = __atomic_load_n(&duo->lines[at].next, __ATOMIC_RELAXED);
	return now_ns() - start;
}

/* One thread writes lines, the other follows them in an order that no prefetcher guesses. */
static double probe(struct duo *duo, int side, uint32_t *met)
{
	uint64_t least_ns = UINT64_MAX, ns;

	for (int repeat = 0; repeat < PROBE_REPEATS; repeat++) {
		for (uint32_t i = 0; !side && i < PROBE_LINES; i++)
			__atomic_store_n(&duo->lines[i].next, (i * 197 + 101) % PROBE_LINES,
					 __ATOMIC_RELAXED);
		meet(duo, met);
		ns = side ? chase_ns(duo) : 0;
		least_ns = ns < least_ns ? ns : least_ns;
		meet(duo, met);
	}
	return (double)least_ns / PROBE_LINES;
}

static enum duo_class class_of(double probed_ns)
{
	if (probed_ns <= SIBLING_NS_MOST)
		return DUO_SIBLING;
	return probed_ns <= NEAR_NS_MOST ? DUO_NEAR : DUO_FAR;
}

static void *work(void *argument)
{
	struct end *end = argument;
	struct duo *duo = end->duo;
	int side = end->side;
	uint32_t met = 0;

	free(end);
	for (;;) {
		double probed_ns[2];

		while (sem_wait(&duo->go[side]))
			;
		/* By this thread, for whoever started it may have lost its CPU to it. */
		if (!side)
			sem_post(&duo->go[1]);
		if (duo->stop)
			return NULL;
		meet(duo, &met);
		probed_ns[0] = probe(duo, side, &met);
		meet(duo, &met);
		duo->run[side](duo->argument);
		meet(duo, &met);
		probed_ns[1] = probe(duo, side, &met);
		if (side)
			memcpy(duo->probed_ns, probed_ns, sizeof(probed_ns));
		sem_post(&duo->done);
	}
}

static int start_thread(struct duo *duo, int side)
{
	struct end *end = malloc(sizeof(*end));
	struct sched_param priority = {.sched_priority = 10};
	cpu_set_t cpus;
	int error;

	if (!end)
		return rk_fail(ENOMEM, "bench: no memory");
	*end = (struct end){duo, side};
	error = pthread_create(&duo->thread[side], NULL, work, end);
	if (error) {
		free(end);
		return rk_fail(error, "bench: start a thread: %s", strerror(error));
	}
	CPU_ZERO(&cpus);
	CPU_SET(duo->cpu[side], &cpus);
	error = pthread_setaffinity_np(duo->thread[side], sizeof(cpus), &cpus);
	if (error)
		return rk_fail(error, "bench: pin a thread to CPU %d: %s", duo->cpu[side],
			       strerror(error));
	error = pthread_setschedparam(duo->thread[side], SCHED_FIFO, &priority);
	if (error)
		duo->fifo_error = error;
	return 0;
}

/*
 * Two pairs of threads under SCHED_FIFO on the same CPUs would wait for each other for ever. The
 * name goes with the process, however that ends.
 */
static int claim(struct duo *duo)
{
	static const char name[] = "ringkernel-bench";
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path + 1, name, sizeof(name) - 1); /* a leading zero: no file */
	duo->claim = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (duo->claim < 0)
		return rk_fail(errno, "bench: socket: %m");
	if (!bind(duo->claim, (struct sockaddr *)&address,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name))))
		return 0;
	if (errno == EADDRINUSE)
		return rk_fail(EBUSY, "bench: another one runs on this machine: wait for it");
	return rk_fail(errno, "bench: claim the machine: %m");
}

static int choose_cpus(struct duo *duo)
{
	cpu_set_t cpus;
	int found = 0;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return rk_fail(errno, "bench: ask for this process's CPUs: %m");
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			duo->cpu[found++] = cpu;
	if (found < 2)
		return rk_fail(EINVAL, "bench: this process may run on one CPU only; it needs two");
	return 0;
}

/* What runs now, for too_long(). */
static const char *volatile burst_name = "";

static void too_long(int signal_number)
{
	static const char text[] = ": a burst did not end within a minute\n";
	ssize_t written = write(STDERR_FILENO, burst_name, strlen(burst_name));

	written = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)signal_number;
	(void)written;
	_exit(1);
}

int duo_open(struct duo **out)
{
	struct duo *duo = aligned_alloc(RK_CACHE_LINE_BYTES, sizeof(*duo));
	int result;

	if (!duo)
		return rk_fail(ENOMEM, "bench: no memory");
	memset(duo, 0, sizeof(*duo));
	sem_init(&duo->go[0], 0, 0);
	sem_init(&duo->go[1], 0, 0);
	sem_init(&duo->done, 0, 0);
	result = claim(duo);
	if (!result)
		result = choose_cpus(duo);
	for (int side = 0; side < 2 && !result; side++)
		result = start_thread(duo, side);
	if (result) {
		duo_close(duo);
		return result;
	}
	signal(SIGALRM, too_long);
	if (duo->fifo_error)
		snprintf(duo->text, sizeof(duo->text),
			 "CPUs %d and %d, ordinary scheduling (SCHED_FIFO: %s): other work on "
			 "them disturbs every figure",
			 duo->cpu[0], duo->cpu[1], strerror(duo->fifo_error));
	else
		snprintf(duo->text, sizeof(duo->text), "CPUs %d and %d, SCHED_FIFO", duo->cpu[0],
			 duo->cpu[1]);
	*out = duo;
	return 0;
}

void duo_close(struct duo *duo)
{
	duo->stop = true;
	sem_post(&duo->go[0]);
	for (int side = 0; side < 2; side++)
		if (duo->thread[side])
			pthread_join(duo->thread[side], NULL);
	if (duo->claim >= 0)
		close(duo->claim);
	free(duo);
}

const char *duo_describe(const struct duo *duo)
{
	return duo->text;
}

enum duo_class duo_run(struct duo *duo, const char *name, void (*const run[2])(void *argument),
		       void *argument, double *line_ns)
{
	enum duo_class seen[2];
	uint64_t start_ns = now_ns(), rest_ns;
	struct timespec rest;

	memcpy(duo->run, run, sizeof(duo->run));
	duo->argument = argument;
	burst_name = name;
	alarm(BURST_SECONDS_MOST);
	sem_post(&duo->go[0]);
	for (int side = 0; side < 2; side++)
		while (sem_wait(&duo->done))
			;
	alarm(0);
	/* Under SCHED_FIFO nobody else ran on these CPUs: leave them as long to the others. */
	rest_ns = now_ns() - start_ns;
	rest_ns = rest_ns < REST_NS_LEAST ? REST_NS_LEAST : rest_ns;
	rest.tv_sec = (time_t)(rest_ns / 1000000000);
	rest.tv_nsec = (long)(rest_ns % 1000000000);
	nanosleep(&rest, NULL);
	for (int i = 0; i < 2; i++)
		seen[i] = class_of(duo->probed_ns[i]);
	*line_ns = (duo->probed_ns[0] + duo->probed_ns[1]) / 2;
	return seen[0] == seen[1] ? seen[0] : DUO_MIXED;
}
