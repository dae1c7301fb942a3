// SPDX-License-Identifier: MIT
/*
 * Sending and receiving allocate nothing and make no system call: a million messages each way
 * while malloc and its like are counted and seccomp lets the process do nothing but
 * exit: any other call kills it.
 *
 * Prints TAP. The same is done once with a call in between, to show that it would be seen.
 */
#include "ring_aid.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MESSAGES = 1000000, MOST_CELLS = 64 };

/* --- Allocations: our definitions come before libc's --- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

static uint64_t allocations;

void *malloc(size_t bytes)
{
	allocations++;
	return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	allocations++;
	return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
	allocations++;
	return __libc_realloc(memory, bytes);
}

void free(void *memory)
{
	allocations += memory != NULL;
	__libc_free(memory);
}

/* --- System calls: all but exit kill --- */

static bool forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static struct rk_ring ring[2];
static struct rk_ring_tx tx[2];
static struct rk_ring_rx rx[2];
static struct rk_msg cells[MOST_CELLS];

/* Messages from number *@sent on, until the ring is full. */
static void fill(struct rk_ring_tx *end, bool batch, uint64_t *sent)
{
	int result;

	do {
		uint32_t count = 0, messages = 0;

		while (messages < (batch ? 8 : 1) && count + 4 <= MOST_CELLS) {
			uint32_t slots = aid_slots(*sent + messages, 4);

			aid_fill(&cells[count], slots, *sent + messages++);
			count += slots;
		}
		result = batch ? rk_ring_send_batch(end, cells, count) : rk_ring_send(end, cells);
		for (int i = 0; i < result; i += cells[i].slots)
			++*sent;
	} while (result > 0);
}

static bool empty(struct rk_ring_rx *end, bool batch, uint64_t *received)
{
	int result;

	while ((result = batch ? rk_ring_recv_batch(end, cells, MOST_CELLS) :
				 rk_ring_recv(end, cells, MOST_CELLS)) > 0)
		for (int i = 0; i < result; i += cells[i].slots, ++*received)
			if (!aid_matches(&cells[i], aid_slots(*received, 4), *received))
				return false;
	return true;
}

/* Exit status: 0 good, 1 wrong messages, 2 allocated, 3 no seccomp; killed: a system call. */
static void exchange(bool batch, bool misbehave)
{
	uint64_t sent[2] = {0, 0}, received[2] = {0, 0}, before;

	if (!forbid_system_calls())
		_exit(3);
	before = allocations;
	while (received[0] < MESSAGES || received[1] < MESSAGES) {
		for (int way = 0; way < 2; way++) {
			fill(&tx[way], batch, &sent[way]);
			if (!empty(&rx[way], batch, &received[way]))
				_exit(1);
		}
		if (misbehave)
			getppid();
	}
	_exit(allocations != before ? 2 : 0);
}

static int number, failures;

static void test(const char *text, bool batch, bool misbehave)
{
	pid_t child = fork();
	int status = 0;
	bool killed, good;

	if (!child)
		exchange(batch, misbehave);
	waitpid(child, &status, 0);
	killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	good = misbehave ? killed : status == 0;
	number++;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3) {
		printf("ok %d - %s # SKIP seccomp is refused here\n", number, text);
		return;
	}
	if (!good)
		printf("# status %#x: %s\n", (unsigned int)status,
		       killed		       ? "a system call" :
		       WEXITSTATUS(status) == 2 ? "an allocation" :
						  "wrong messages");
	printf("%sok %d - %s\n", good ? "" : "not ", number, text);
	failures += !good;
}

static void count_is_alive(void)
{
	uint64_t before = allocations;
	void *volatile memory = malloc(1 + (size_t)getpid() % 2);

	free(memory);
	number++;
	printf("%sok %d - allocations are counted\n", allocations == before + 2 ? "" : "not ", number);
	failures += allocations != before + 2;
}

int main(void)
{
	size_t pages = rk_ring_bytes(256) / RK_PAGE_BYTES;

	aid_watchdog(300);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int way = 0; way < 2; way++)
		if (rk_ring_format(&ring[way], aid_guarded(pages), pages * RK_PAGE_BYTES, 256, 0,
				   "quiet") ||
		    rk_ring_tx_open(&tx[way], &ring[way]) ||
		    rk_ring_rx_open(&rx[way], &ring[way], NULL))
			return 2;
	printf("1..4\n");
	count_is_alive();
	test("10^6 single messages each way: no allocation, no system call", false, false);
	test("10^6 messages in batches each way: no allocation, no system call", true, false);
	test("a system call between them is seen", false, true);
	return failures != 0;
}
