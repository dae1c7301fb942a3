// SPDX-License-Identifier: MIT
/* What was measured: lines as it comes, bars at the end; or one JSON object. */
#include "gpu.h"
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if RK_HAVE_JANSSON
#include <jansson.h>
#else
typedef void json_t; /* there is none */
#endif

enum { NAME_WIDTH = 52, TEXT_BYTES = 512 };

struct gpu_report {
	bool json;
	uint32_t failures;
	struct gpu_bar bars[GPU_BARS_MOST];
	uint32_t bar_count;
	json_t *rows;
	json_t *notes;
	char said[TEXT_BYTES]; /* by gpu_report_once() */
};

static const double percentiles[] = {50, 99, 99.9, 99.99};
enum { PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0]) };

#if RK_HAVE_JANSSON
static bool make_arrays(struct gpu_report *report)
{
	report->rows = json_array();
	report->notes = json_array();
	return report->rows && report->notes;
}

static json_t *proof_json(const struct gpu_proof *proof)
{
	return proof ? json_pack("{s:I, s:I, s:I}", "received", (json_int_t)proof->received, "sent",
				 (json_int_t)proof->sent, "counted", (json_int_t)proof->counted)
		     : json_null();
}

static void keep_latency(struct gpu_report *report, const char *name, const struct rk_hist *hist,
			 const struct gpu_proof *proof)
{
	json_t *row = json_pack("{s:s, s:I, s:I, s:o}", "name", name, "count",
				(json_int_t)rk_hist_count(hist), "max_ns",
				(json_int_t)rk_hist_max(hist), "gpu", proof_json(proof));

	for (int i = 0; i < PERCENTILES; i++) {
		char key[40];

		snprintf(key, sizeof(key), "p%g_ns", percentiles[i]);
		json_object_set_new(
			row, key,
			json_integer((json_int_t)rk_hist_percentile(hist, percentiles[i])));
	}
	json_array_append_new(report->rows, row);
}

static void keep_rate(struct gpu_report *report, const char *name, double median, double low,
		      double high, uint32_t count, const struct gpu_proof *proof)
{
	json_array_append_new(report->rows,
			      json_pack("{s:s, s:f, s:f, s:f, s:i, s:o}", "name", name,
					"million_per_s", median, "low", low, "high", high, "bursts",
					(int)count, "gpu", proof_json(proof)));
}

static void keep_text(struct gpu_report *report, const char *key, const char *name,
		      const char *text)
{
	if (name)
		json_array_append_new(report->rows,
				      json_pack("{s:s, s:s}", "name", name, key, text));
	else
		json_array_append_new(report->notes, json_string(text));
}

static const char *const bar_words[] = {"missed", "missed", "skipped"};

static int end_json(struct gpu_report *report)
{
	json_t *bars = json_array(), *all;

	for (uint32_t i = 0; i < report->bar_count; i++) {
		const struct gpu_bar *bar = &report->bars[i];
		bool met =
			bar->state == GPU_BAR_JUDGED &&
			(bar->relation == 'g' ? bar->value >= bar->goal : bar->value <= bar->goal);

		json_array_append_new(bars, json_pack("{s:s, s:f, s:s, s:f, s:s}", "name",
						      bar->name, "value", bar->value, "relation",
						      bar->relation == 'g' ? ">=" : "<=", "goal",
						      bar->goal, "verdict",
						      met ? "met" : bar_words[bar->state]));
	}
	all = json_pack("{s:O, s:O, s:o}", "notes", report->notes, "rows", report->rows, "bars",
			bars);
	json_dumpf(all, stdout, JSON_INDENT(2));
	json_decref(all);
	printf("\n");
	return 0;
}

static void free_arrays(struct gpu_report *report)
{
	json_decref(report->rows);
	json_decref(report->notes);
}
#else
static bool make_arrays(struct gpu_report *report)
{
	return !report->json;
}

#define keep_latency(report, name, hist, proof)			 (void)0
#define keep_rate(report, name, median, low, high, count, proof) (void)0
#define keep_text(report, key, name, text)			 (void)0
#define end_json(report)					 0
#define free_arrays(report)					 (void)0
#endif

int gpu_report_open(struct gpu_report **out, bool json)
{
	struct gpu_report *report = calloc(1, sizeof(*report));

	if (!report)
		return rk_fail(ENOMEM, "no memory");
	report->json = json;
	if (!make_arrays(report)) {
		gpu_report_close(report);
		return rk_fail(EOPNOTSUPP, "JSON: built without jansson (apt-get install "
					   "libjansson-dev), then make again");
	}
	*out = report;
	return 0;
}

void gpu_report_close(struct gpu_report *report)
{
	if (report)
		free_arrays(report);
	free(report);
}

uint32_t gpu_report_failures(const struct gpu_report *report)
{
	return report->failures;
}

/* --- Lines --- */

void gpu_report_note(struct gpu_report *report, const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	keep_text(report, "note", NULL, text);
	if (!report->json)
		printf("  %s\n", text);
	fflush(stdout);
}

void gpu_report_once(struct gpu_report *report, const char *text)
{
	if (!*text || !strncmp(report->said, text, sizeof(report->said) - 1))
		return;
	snprintf(report->said, sizeof(report->said), "%s", text);
	gpu_report_note(report, "%s", text);
}

void gpu_report_title(struct gpu_report *report, const char *text)
{
	if (!report->json)
		printf("\n%s\n", text);
}

void gpu_report_heading(struct gpu_report *report, const char *text)
{
	if (!report->json)
		printf("\n%s\n  %-*s %7s %7s %7s %8s %9s %9s\n", text, NAME_WIDTH, "", "p50", "p99",
		       "p99.9", "p99.99", "max", "count");
}

static void print_proof(const struct gpu_proof *proof)
{
	if (proof)
		printf("    GPU: received %" PRIu64 ", sent %" PRIu64
		       "; its handler counted %" PRIu64 "\n",
		       proof->received, proof->sent, proof->counted);
	fflush(stdout);
}

void gpu_report_latency(struct gpu_report *report, const char *name, const struct rk_hist *hist,
			const struct gpu_proof *proof)
{
	static const int width[PERCENTILES] = {7, 7, 7, 8};

	keep_latency(report, name, hist, proof);
	if (report->json)
		return;
	printf("  %-*s", NAME_WIDTH, name);
	for (int i = 0; i < PERCENTILES; i++)
		printf(" %*" PRIu64, width[i], rk_hist_percentile(hist, percentiles[i]));
	printf(" %9" PRIu64 " %9" PRIu64 "\n", rk_hist_max(hist), rk_hist_count(hist));
	print_proof(proof);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double gpu_report_rate(struct gpu_report *report, const char *name, double *samples, uint32_t count,
		       const struct gpu_proof *proof)
{
	double median;

	qsort(samples, count, sizeof(*samples), compare);
	median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
	keep_rate(report, name, median, samples[0], samples[count - 1], count, proof);
	if (report->json)
		return median;
	printf("  %-*s %7.1f M/s [%.1f..%.1f] of %u\n", NAME_WIDTH, name, median, samples[0],
	       samples[count - 1], count);
	print_proof(proof);
	return median;
}

void gpu_report_failed(struct gpu_report *report, const char *name)
{
	report->failures++;
	keep_text(report, "failed", name, rk_errmsg());
	if (!report->json)
		printf("  %s: failed: %s\n", name, rk_errmsg());
	fflush(stdout);
}

void gpu_report_skipped(struct gpu_report *report, const char *name, const char *why)
{
	keep_text(report, "skipped", name, why);
	if (!report->json)
		printf("  %s: skipped: %s\n", name, why);
	fflush(stdout);
}

/* --- Bars --- */

static struct gpu_bar *find_bar(struct gpu_report *report, const char *name)
{
	for (uint32_t i = 0; i < report->bar_count; i++)
		if (!strcmp(report->bars[i].name, name))
			return &report->bars[i];
	return NULL;
}

void gpu_report_want(struct gpu_report *report, const char *name, char relation, double goal)
{
	if (report->bar_count < GPU_BARS_MOST)
		report->bars[report->bar_count++] = (struct gpu_bar){
			.name = name, .relation = relation, .goal = goal, .state = GPU_BAR_OPEN};
}

void gpu_report_bar(struct gpu_report *report, const char *name, double value)
{
	struct gpu_bar *bar = find_bar(report, name);

	if (!bar)
		return;
	bar->value = value;
	bar->state = GPU_BAR_JUDGED;
}

void gpu_report_skip_bar(struct gpu_report *report, const char *name)
{
	struct gpu_bar *bar = find_bar(report, name);

	if (bar)
		bar->state = GPU_BAR_SKIPPED;
}

static void print_bar(const struct gpu_bar *bar)
{
	const char *relation = bar->relation == 'g' ? ">=" : "<=";
	bool met = bar->relation == 'g' ? bar->value >= bar->goal : bar->value <= bar->goal;

	if (bar->state == GPU_BAR_JUDGED)
		printf("bar %s %.2f %s%.2f %s\n", bar->name, bar->value, relation, bar->goal,
		       met ? "met" : "missed");
	else
		printf("bar %s - %s%.2f %s\n", bar->name, relation, bar->goal,
		       bar->state == GPU_BAR_SKIPPED ? "skipped" : "missed");
}

int gpu_report_end(struct gpu_report *report)
{
	if (report->json)
		return end_json(report);
	if (report->bar_count)
		printf("\n");
	for (uint32_t i = 0; i < report->bar_count; i++)
		print_bar(&report->bars[i]);
	return 0;
}
