/* SPDX-License-Identifier: MIT */
/* testpmd.h - dpdk-testpmd, the floor: a forwarder that does as little as one can. */
#ifndef BENCH_DPDK_TESTPMD_H
#define BENCH_DPDK_TESTPMD_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/**
 * struct testpmd - one that runs
 * @pid: of it
 * @to: its standard input
 * @from: its standard output
 */
struct testpmd {
	pid_t pid;
	FILE *to;
	FILE *from;
};

/**
 * testpmd_start() - start it, forwarding in @mode
 * @main_cpu: where its console runs
 * @cpu: where it forwards
 * @vdev: the device
 *
 * Return: 0; -1, with a word on stderr.
 */
int testpmd_start(struct testpmd *testpmd, int main_cpu, int cpu, const char *vdev,
		  const char *mode);

/* Frames a second that it transmits, over @ns; 0 if it does not say. */
double testpmd_rate(struct testpmd *testpmd, uint64_t ns);

void testpmd_stop(struct testpmd *testpmd);

#endif
