// SPDX-License-Identifier: MIT
/* Drives dpdk-testpmd by its console. */
#include "testpmd.h"
#include "clock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int testpmd_start(struct testpmd *testpmd, int main_cpu, int cpu, const char *vdev,
		  const char *mode)
{
	char cpus[32], device[256], forward[64];
	int in[2], out[2];

	/* Two on one CPU: the console sleeps while the other forwards. */
	snprintf(cpus, sizeof(cpus), "0@%d,1@%d", main_cpu, cpu);
	snprintf(device, sizeof(device), "--vdev=%s", vdev);
	snprintf(forward, sizeof(forward), "--forward-mode=%s", mode);
	signal(SIGPIPE, SIG_IGN); /* that it has ended is said where its answer is missing */
	if (pipe(in) || pipe(out))
		return -1;
	testpmd->pid = fork();
	if (!testpmd->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(in[1]);
		close(out[0]);
		/* Line by line, although nobody types. */
		execlp("stdbuf", "stdbuf", "-oL", "dpdk-testpmd", "--lcores", cpus, "--no-huge", "-m", "64",
		       "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", device,
		       "--", "-i", "--auto-start", "--total-num-mbufs=8192", forward, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	testpmd->to = fdopen(in[1], "w");
	testpmd->from = fdopen(out[0], "r");
	if (testpmd->pid > 0 && testpmd->to && testpmd->from)
		return 0;
	fprintf(stderr, "dpdk-testpmd: does not start\n");
	return -1;
}

/* The number behind the next @label that it prints. */
static uint64_t read_number(struct testpmd *testpmd, const char *label)
{
	char line[512];

	while (fgets(line, sizeof(line), testpmd->from)) {
		const char *at = strstr(line, label);

		if (at)
			return strtoull(at + strlen(label), NULL, 10);
	}
	fprintf(stderr, "dpdk-testpmd: has ended\n");
	exit(1);
}

static uint64_t sent(struct testpmd *testpmd, uint64_t *now_ns)
{
	uint64_t packets;

	fputs("show port stats 0\n", testpmd->to);
	fflush(testpmd->to);
	packets = read_number(testpmd, "TX-packets:");
	*now_ns = clock_ns(CLOCK_MONOTONIC);
	return packets;
}

double testpmd_rate(struct testpmd *testpmd, uint64_t ns)
{
	const struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000),
				       .tv_nsec = (long)(ns % 1000000000)};
	uint64_t before_ns, after_ns, before, after;

	before = sent(testpmd, &before_ns);
	nanosleep(&pause, NULL);
	after = sent(testpmd, &after_ns);
	return (double)(after - before) * 1e9 / (double)(after_ns - before_ns);
}

void testpmd_stop(struct testpmd *testpmd)
{
	fclose(testpmd->to);
	kill(testpmd->pid, SIGKILL);
	waitpid(testpmd->pid, NULL, 0);
	fclose(testpmd->from);
}
