// SPDX-License-Identifier: MIT
#include "backends/cpu_guard.h"
#include "rk_error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STACK_BYTES = 64 << 10 };

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, CPU_GUARD_SIGNAL};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static struct sigaction before[SIGNALS];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int installed; /* 0 or -errno */

/* Of the worker's thread; a handler of signals may read them, for its thread alone writes them. */
static __thread struct cpu_guarded *running;
static __thread sigjmp_buf *way_out;
static __thread void *stack;
static __thread stack_t former_stack;

/* Whoever had the signal before; by default the process ends as without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	const struct sigaction *old = NULL;

	for (int i = 0; i < SIGNALS; i++)
		if (signals[i] == signal)
			old = &before[i];
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(signal, info, context);
	} else if (old->sa_handler == SIG_DFL) {
		if (signal == CPU_GUARD_SIGNAL)
			return;
		/* The instruction runs again when we return, and ends the process. */
		sigaction(signal, old, NULL);
		if (info->si_code <= 0)
			raise(signal);
	} else if (old->sa_handler != SIG_IGN) {
		old->sa_handler(signal);
	}
}

/* A call of the handler that this thread runs is on, and, for our own signal, it is the one meant.
 */
static bool is_about_a_call(int signal, const siginfo_t *info)
{
	uint64_t calls;

	if (!running)
		return false;
	calls = __atomic_load_n(&running->calls, __ATOMIC_RELAXED);
	if (!(calls & 1))
		return false;
	if (signal == CPU_GUARD_SIGNAL)
		return __atomic_load_n(&running->interrupted, __ATOMIC_RELAXED) == calls;
	return info->si_code > 0; /* raised by an instruction, not sent */
}

void cpu_guard_unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	if (!is_about_a_call(signal, info)) {
		pass_on(signal, info, context);
		return;
	}
	if (signal == CPU_GUARD_SIGNAL && running->inside) {
		running->late = 1;
		return;
	}
	siglongjmp(*way_out, signal);
}

static void install(void)
{
	/*
	 * Not deferred: we leave by a jump, and the mask stays as it is. Our own is: sent again and again
	 * to a thread that is slow to leave, it would fill the stack.
	 */
	struct sigaction action = {.sa_sigaction = on_signal,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, CPU_GUARD_SIGNAL);
	for (int i = 0; i < SIGNALS; i++)
		if (sigaction(signals[i], &action, &before[i]))
			installed = rk_fail(errno, "guard: signal %d: %m", signals[i]);
}

int cpu_guard_install(void)
{
	pthread_once(&once, install);
	return installed;
}

/* A handler may have run out of the worker's own stack. */
void cpu_guard_enter(void)
{
	const stack_t own = {.ss_sp = stack = malloc(STACK_BYTES), .ss_size = STACK_BYTES};

	if (stack)
		sigaltstack(&own, &former_stack);
}

void cpu_guard_leave(void)
{
	if (stack)
		sigaltstack(&former_stack, NULL);
	free(stack);
	stack = NULL;
}

void cpu_guard_run(struct cpu_guarded *guarded, sigjmp_buf *env)
{
	way_out = env;
	running = guarded;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void cpu_guard_jump(void)
{
	running->late = 0;
	siglongjmp(*way_out, CPU_GUARD_SIGNAL);
}
