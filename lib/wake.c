// SPDX-License-Identifier: MIT
#include "rk_wake.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* 0 unknown, 1 guarded, -1 refused; one each for private and shared. */
static int guard[2];

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

int rk_wake_guard(bool shared)
{
	int known = __atomic_load_n(&guard[shared], __ATOMIC_RELAXED);

	if (!known) {
		known = membarrier(shared ? MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
					  : MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
				? -1
				: 1;
		/* Relaxed: registering twice is harmless, and the kernel keeps the state. */
		__atomic_store_n(&guard[shared], known, __ATOMIC_RELAXED);
	}
	return known > 0;
}

/* Refused later than registered, by a sandbox: from then on sleeps are cut. */
static void expedite(bool shared, int command)
{
	if (membarrier(command))
		__atomic_store_n(&guard[shared], -1, __ATOMIC_RELAXED);
}

void rk_wake_announce(const struct rk_wake *wake)
{
	__atomic_store_n(wake->word, 1, __ATOMIC_SEQ_CST);
	/* Wakers of another process registered for the global form when they attached. */
	if (rk_wake_guard(false))
		expedite(false, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	if (__atomic_load_n(&guard[true], __ATOMIC_RELAXED) > 0)
		expedite(true, MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

void rk_wake_cancel(const struct rk_wake *wake)
{
	__atomic_store_n(wake->word, 0, __ATOMIC_RELAXED);
}

void rk_wake_sleep(const struct rk_wake *wake, uint64_t timeout_ns)
{
	struct timespec time;
	bool guarded = rk_wake_guard(false) && __atomic_load_n(&guard[true], __ATOMIC_RELAXED) >= 0;

	if (!guarded && timeout_ns > RK_WAKE_NAP_NS)
		timeout_ns = RK_WAKE_NAP_NS;
	if (wake->sleep) {
		wake->sleep(wake->sleeper, wake->place, timeout_ns);
		rk_wake_cancel(wake);
		return;
	}
	time.tv_sec = (time_t)(timeout_ns / 1000000000);
	time.tv_nsec = (long)(timeout_ns % 1000000000);
	/* Not FUTEX_PRIVATE: the word may be shared with another process. */
	syscall(SYS_futex, wake->word, FUTEX_WAIT, 1, &time, NULL, 0);
	rk_wake_cancel(wake);
}

void rk_wake_again(const struct rk_wake *wake)
{
	__atomic_store_n(wake->word, 1, __ATOMIC_SEQ_CST);
	rk_wake_now(wake);
}

static void wake_by_eventfd(uint32_t *word, int eventfd)
{
	uint64_t one = 1;

	if (write(eventfd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		__atomic_store_n(word, 1, __ATOMIC_SEQ_CST); /* let the next send try */
}

void rk_wake_now(const struct rk_wake *wake)
{
	uint32_t *word = __atomic_load_n(&wake->word, __ATOMIC_RELAXED);
	const struct rk_wake_spot *spot = (const struct rk_wake_spot *)word;
	bool by_spot = wake->eventfd == RK_WAKE_SPOT;
	uint64_t *bell = by_spot ? spot->bell : wake->bell;
	int eventfd = by_spot ? spot->eventfd : wake->eventfd;

	/* Whoever takes the word wakes; the others have no need to. */
	if (!__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST))
		return;
	if (bell) /* R7: pairs with A7 in doorbell.c; added, for threads may share the word */
		__atomic_fetch_add(bell, 1, __ATOMIC_RELEASE);
	else if (eventfd < 0)
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	else
		wake_by_eventfd(word, eventfd);
}
