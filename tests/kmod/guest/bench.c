// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs: a doorbell's way to a waiter that runs, against an eventfd write and a futex wake;
 * pin and map of 2 MiB against mmap and mlock.  Under emulation only the ratios mean anything.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "t.h"

#define ROUNDS	2000

enum way { BY_BELL, BY_EVENTFD, BY_FUTEX };

struct lane {
	enum way way;
	int fd, efd;
	uint32_t handle;
	uint64_t *word;
	uint32_t futex;
	volatile uint64_t sent;	/* when the ringer rang */
	uint64_t ready;		/* rounds for which the waiter is about to sleep */
	uint64_t took[ROUNDS];
};

static void sleep_once(struct lane *l, uint64_t round)
{
	struct rk_bell_arm arm = { .handle = l->handle, .seen = round };
	struct pollfd p = { .fd = l->efd, .events = POLLIN };
	uint64_t n;

	if (l->way == BY_BELL && (t_ioctl(l->fd, RK_IOC_BELL_ARM, &arm) || !arm.armed))
		return;
	__atomic_store_n(&l->ready, round + 1, __ATOMIC_RELEASE);
	if (l->way == BY_FUTEX) {
		while (__atomic_load_n(&l->futex, __ATOMIC_ACQUIRE) == round)
			syscall(SYS_futex, &l->futex, FUTEX_WAIT_PRIVATE, (uint32_t)round, NULL,
				NULL, 0);
		return;
	}
	poll(&p, 1, -1);
	if (read(l->efd, &n, 8) != 8)
		CHECK(!"eventfd");
}

static void *wait_on(void *arg)
{
	struct lane *l = arg;
	uint64_t i;

	for (i = 0; i < ROUNDS; i++) {
		sleep_once(l, i);
		l->took[i] = t_now_ns() - l->sent;
	}
	return NULL;
}

static void ring_once(struct lane *l, uint64_t round)
{
	uint64_t one = 1;

	switch (l->way) {
	case BY_BELL:
		__atomic_store_n(l->word, round + 1, __ATOMIC_RELEASE);
		break;
	case BY_EVENTFD:
		if (write(l->efd, &one, 8) != 8)
			CHECK(!"eventfd");
		break;
	case BY_FUTEX:
		__atomic_store_n(&l->futex, (uint32_t)round + 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, &l->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		break;
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Rings a while after the waiter has gone to sleep, so that it really sleeps. */
static void measure(struct lane *l, unsigned int pause_us, uint64_t *p50, uint64_t *p99)
{
	pthread_t thread;
	uint64_t i;

	pthread_create(&thread, NULL, wait_on, l);
	for (i = 0; i < ROUNDS; i++) {
		/* Asleep, not spinning: with few CPUs that would keep the others from running. */
		do
			usleep(pause_us);
		while (__atomic_load_n(&l->ready, __ATOMIC_ACQUIRE) <= i);
		l->sent = t_now_ns();
		ring_once(l, i);
	}
	pthread_join(thread, NULL);
	qsort(l->took, ROUNDS, sizeof(l->took[0]), by_value);
	*p50 = l->took[ROUNDS / 2];
	*p99 = l->took[ROUNDS - ROUNDS / 100];
}

static void bar(const char *name, uint64_t value, uint64_t goal)
{
	printf("bar %s %llu %llu %s\n", name, (unsigned long long)value, (unsigned long long)goal,
	       value <= goal ? "met" : "missed");
}

static void wakes(int fd, const char *poller)
{
	static struct lane bell, plain, futex;
	uint64_t p50[3], p99[3];
	struct rk_bells b;
	char name[64];

	memset(&bell, 0, sizeof(bell));
	memset(&plain, 0, sizeof(plain));
	memset(&futex, 0, sizeof(futex));
	CHECK_EQ(t_bells(fd, 1, &b), 0);
	bell.way = BY_BELL;
	bell.fd = fd;
	bell.handle = b.handle;
	bell.word = t_map(fd, b.mmap_offset, b.bytes);
	bell.efd = eventfd(0, EFD_CLOEXEC);
	CHECK_EQ(t_bind(fd, b.handle, 0, bell.efd), 0);
	plain.way = BY_EVENTFD;
	plain.efd = eventfd(0, EFD_CLOEXEC);
	futex.way = BY_FUTEX;
	measure(&futex, 20, &p50[2], &p99[2]);
	measure(&plain, 20, &p50[1], &p99[1]);
	measure(&bell, 20, &p50[0], &p99[0]);
	printf("bench wake ns p50 p99: eventfd write %llu %llu, futex wake %llu %llu\n",
	       (unsigned long long)p50[1], (unsigned long long)p99[1],
	       (unsigned long long)p50[2], (unsigned long long)p99[2]);
	/* The poller's look and its signal come on top of a plain write; a nap comes on top of all. */
	snprintf(name, sizeof(name), "doorbell_wake_%s_p50_ns", poller);
	bar(name, p50[0], 2 * p50[1]);
	snprintf(name, sizeof(name), "doorbell_wake_%s_p99_ns", poller);
	bar(name, p99[0], 2 * p99[1]);
	munmap(bell.word, b.bytes);
	close(bell.efd);
	close(plain.efd);
	CHECK_EQ(t_unpin(fd, b.handle), 0);
}

#define BYTES	(2 * MIB)
#define TRIES	31

static void pins(int fd)
{
	uint64_t ours[TRIES], hand[TRIES];
	int i;

	for (i = 0; i < TRIES; i++) {
		uint64_t start = t_now_ns(), at;
		char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		struct rk_pin_host pin;
		char *map;

		CHECK_EQ(mlock(p, BYTES), 0);
		for (at = 0; at < BYTES; at += PAGE)
			*(volatile char *)(p + at) = 1;
		hand[i] = t_now_ns() - start;
		munlock(p, BYTES);
		munmap(p, BYTES);

		start = t_now_ns();
		p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK_EQ(t_pin_host(fd, p, BYTES, &pin), 0);
		map = t_map(fd, pin.mmap_offset, BYTES);
		for (at = 0; at < BYTES; at += PAGE)
			*(volatile char *)(map + at) = 1;
		ours[i] = t_now_ns() - start;
		t_unpin(fd, pin.handle);
		munmap(map, BYTES);
		munmap(p, BYTES);
	}
	qsort(ours, TRIES, sizeof(ours[0]), by_value);
	qsort(hand, TRIES, sizeof(hand[0]), by_value);
	printf("bench mmap and mlock of 2 MiB, touched: %llu ns\n",
	       (unsigned long long)hand[TRIES / 2]);
	/* Two page tables are filled, not one. */
	bar("pin_map_2MiB_ns", ours[TRIES / 2], 2 * hand[TRIES / 2]);
}

void group_bench(void)
{
	int fd = t_open();

	wakes(fd, "default");
	/* Emulation stretches time: what a real machine does in 50 us takes longer here. */
	t_param("spin_us", "2000");
	wakes(fd, "spinning");
	t_param("spin_us", "50");
	pins(fd);
	close(fd);
}
