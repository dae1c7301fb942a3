/* SPDX-License-Identifier: MIT */
/*
 * cpu_guard.h - a handler that traps, or never comes back, fails alone; private.
 *
 * A guarded worker calls handlers between sigsetjmp(3) and signals that jump back to it: SIGSEGV,
 * SIGBUS, SIGFPE and SIGILL when the handler itself raised them, CPU_GUARD_SIGNAL when the runtime
 * sends it to end a call that takes too long. That is sound because handlers keep to the subset of
 * rk_handler.h: they hold no lock and call nothing but the runtime, and the runtime's own functions
 * are left first. A signal that is about no handler goes on to whoever had it before.
 */
#ifndef RK_BACKENDS_CPU_GUARD_H
#define RK_BACKENDS_CPU_GUARD_H

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

/* Ignored by a process that knows nothing of it. */
#define CPU_GUARD_SIGNAL SIGURG

/**
 * struct cpu_guarded - what of an actor the guard looks at
 * @calls: of its handler: odd while one is running. Written by its worker, read by anyone
 * @interrupted: the call that is to end; written by anyone
 * @inside: within the runtime, which is left first
 * @late: a call was to end meanwhile
 */
struct cpu_guarded {
	uint64_t calls;
	uint64_t interrupted;
	uint32_t inside;
	uint32_t late;
};

/* The signals are ours from now on, for this process. 0 or -errno, said in rk_errmsg(). */
int cpu_guard_install(void);

/* This thread is a worker's: give it a stack for signals. And take it back. */
void cpu_guard_enter(void);
void cpu_guard_leave(void);

/* From now on this thread runs @guarded (NULL: none), and jumps to @env when a call fails. */
void cpu_guard_run(struct cpu_guarded *guarded, sigjmp_buf *env);

/*
 * After a jump that a signal made: what was blocked while it was handled is so no more, by us or by who
 * stands between the kernel and us (a race detector does).
 */
void cpu_guard_unblock(void);

/* Leave the call at once: what a signal wanted while the runtime was inside. Does not return. */
void cpu_guard_jump(void) __attribute__((noreturn));

#endif
