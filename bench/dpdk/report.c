// SPDX-License-Identifier: MIT
/* Figures over the rounds, a line as each is there, and bars at the end. */
#include "bench.h"
#include "rk_error.h"

#include <errno.h>
#include <rte_cycles.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BARS_MOST = 32 };

/* Of a measurement, beside its own time: a handler is compiled in it, or an actor begins. */
#define ROW_S 30

struct bar {
	const char *name;
	double value;
	char sense;
	double goal;
	bool skipped;
};

static struct bar bars[BARS_MOST];
static unsigned int bar_count;

/* What is being measured, for whoever finds it overdue. */
static const char *row_name;
static uint64_t row_begun;

void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "ringkernel-bench-dpdk: %s: %s\n", what, rk_errmsg());
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const struct series *series)
{
	struct series sorted = *series;

	qsort(sorted.value, sorted.count, sizeof(double), compare);
	return sorted.count ? sorted.value[sorted.count / 2] : 0;
}

void add(struct series *series, double value)
{
	series->value[series->count++] = value;
}

void say(const char *format, ...)
{
	va_list arguments;

	if (options.json)
		return;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	fflush(stdout);
}

void judge(const char *name, double value, char sense, double goal)
{
	bars[bar_count++] =
		(struct bar){.name = name, .value = value, .sense = sense, .goal = goal};
}

void judge_not(const char *name, char sense, double goal)
{
	bars[bar_count++] =
		(struct bar){.name = name, .sense = sense, .goal = goal, .skipped = true};
}

static void print_json(const struct bar *bar, bool met, bool first)
{
	printf("%s{\"name\": \"%s\", \"value\": ", first ? "{\"bars\": [" : ", ", bar->name);
	if (bar->skipped)
		printf("null");
	else
		printf("%.3f", bar->value);
	printf(", \"goal\": %.3f, \"met\": %s}", bar->goal,
	       bar->sense == '-' || bar->skipped ? "null"
	       : met				 ? "true"
						 : "false");
}

void print_bars(void)
{
	static bool printed;

	if (printed)
		return;
	printed = true;
	for (unsigned int i = 0; i < bar_count; i++) {
		const struct bar *bar = &bars[i];
		bool met = bar->sense == 'g' ? bar->value >= bar->goal : bar->value <= bar->goal;
		const char *relation = bar->sense == 'g' ? ">=" : "<=";

		if (options.json)
			print_json(bar, met, !i);
		else if (bar->skipped)
			printf("bar %s - %s%.2f skipped\n", bar->name, relation, bar->goal);
		else if (bar->sense == '-')
			printf("bar %s %.2f - -\n", bar->name, bar->value);
		else
			printf("bar %s %.2f %s%.2f %s\n", bar->name, bar->value, relation,
			       bar->goal, met ? "met" : "missed");
	}
	if (options.json)
		puts("]}");
}

/* --- Rows: each has its time --- */

static time_t row_seconds(void)
{
	return ROW_S + (time_t)(10 * options.ns / 1000000000);
}

/* In a thread of its own, for the program's waits for what may never come. */
static void overdue(union sigval unused)
{
	(void)unused;
	fprintf(stderr, "ringkernel-bench-dpdk: %s: not done within %lld s\n", row_name,
		(long long)row_seconds());
	print_bars();
	fflush(stdout);
	_exit(1);
}

static void set_deadline(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = overdue};
	const struct itimerspec at = {.it_value = {.tv_sec = row_seconds()}};
	static bool made;
	static timer_t timer;

	if (!made && timer_create(CLOCK_MONOTONIC, &event, &timer))
		check(rk_fail(errno, "no timer"), "deadline");
	made = true;
	timer_settime(timer, 0, &at, NULL);
}

void begin_row(const char *name)
{
	row_name = name;
	row_begun = rte_rdtsc();
	set_deadline();
}

void end_row(const char *format, ...)
{
	va_list arguments;

	set_deadline(); /* for what comes behind it, up to the program's end */
	if (options.json)
		return;
	printf("  %-36s ", row_name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("   (%.1f s)\n", ns_of(rte_rdtsc() - row_begun) / 1e9);
	fflush(stdout);
}
