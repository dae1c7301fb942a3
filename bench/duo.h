/* SPDX-License-Identifier: MIT */
/*
 * duo.h - two threads on two CPUs that run a burst together, and how near to each other those CPUs
 * were while they did.
 *
 * A hypervisor moves virtual CPUs between cores, so what the system says of its topology may not
 * hold: peers differ fivefold between neighbours and cores of different caches. Each burst is
 * therefore probed before and after, and counts only if both probes agree.
 */
#ifndef BENCH_DUO_H
#define BENCH_DUO_H

#include "bench.h"

enum duo_class {
	DUO_NEAR,    /* two cores with one last-level cache */
	DUO_FAR,     /* two cores without */
	DUO_SIBLING, /* two hardware threads of one core */
	DUO_CLASSES,
	DUO_MIXED = DUO_CLASSES, /* it changed during the burst */
};

struct duo;

extern const char *const duo_class_names[DUO_CLASSES + 1];

/**
 * duo_open() - start two threads, one a CPU, under SCHED_FIFO if the system allows it
 * @out: freed by duo_close()
 *
 * Takes the first two CPUs this process may run on. One at a time on a machine.
 *
 * Return: 0; -errno, said in rk_errmsg().
 */
int duo_open(struct duo **out);

void duo_close(struct duo *duo);

/* One line: which CPUs, which scheduling, and what that means for the figures. */
const char *duo_describe(const struct duo *duo);

/**
 * duo_run() - run two functions at once, then rest as long as they took
 * @name: what it is, for a message should it not end
 * @run: one for each thread; they begin together
 * @argument: of both
 * @line_ns: what one line took from one CPU to the other, out
 *
 * Ends the program if they do not return within a minute.
 *
 * Return: the class of the burst.
 */
enum duo_class duo_run(struct duo *duo, const char *name, void (*const run[2])(void *argument),
		       void *argument, double *line_ns);

#endif
