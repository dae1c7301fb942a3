// SPDX-License-Identifier: MIT
/* A histogram as text: the percentile table for people and the .hgrm distribution. */
#include "hist.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *hist_fixed(char text[HIST_FIXED_BYTES], uint64_t whole, uint64_t part, int decimals)
{
	uint64_t one = 1;

	for (int i = 0; i < decimals; i++)
		one *= 10;
	snprintf(text, HIST_FIXED_BYTES, "%" PRIu64 ".%0*" PRIu64, whole + part / one, decimals,
		 part % one);
	return text;
}

int hist_flush(FILE *file, const char *what)
{
	errno = 0;
	if (fflush(file) == 0 && !ferror(file))
		return 0;
	if (errno == 0) /* an earlier write failed and kept no errno */
		errno = EIO;
	return rk_fail(errno, "%s: not written: %s", what, strerror(errno));
}

void hist_put_label(FILE *file, const char *text, char quote)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (quote && c == (unsigned char)quote)
			fputc(c, file);
		fputc(c < ' ' || c == 127 ? ' ' : c, file);
	}
}

/* Columns of the table; the ones before COUNT are percentiles. */
enum { MIN, P50, P90, P99, P999, P9999, MAX, COUNT, DROPS, COLUMNS };

static const struct {
	const char *name;
	double percentile;
} columns[COLUMNS] = {
	[MIN] = {"min", 0},   [P50] = {"p50", 50},	[P90] = {"p90", 90},
	[P99] = {"p99", 99},  [P999] = {"p99.9", 99.9}, [P9999] = {"p99.99", 99.99},
	[MAX] = {"max", 100}, [COUNT] = {"count", 0},	[DROPS] = {"drops", 0},
};

static void cell(char text[HIST_FIXED_BYTES], const struct rk_hist_series *series, int column)
{
	uint64_t samples = rk_hist_count(series->hist);
	const char *above = ">";
	uint64_t value_ns;

	if (column >= COUNT) {
		snprintf(text, HIST_FIXED_BYTES, "%" PRIu64,
			 column == COUNT ? samples : series->drops);
		return;
	}
	if (samples == 0 || (column == P9999 && samples < RK_HIST_P9999_MIN_COUNT)) {
		strcpy(text, "-");
		return;
	}
	value_ns = rk_hist_percentile(series->hist, columns[column].percentile);
	if (value_ns == RK_HIST_OVER)
		value_ns = series->hist->highest_ns;
	else
		above = "";
	snprintf(text, HIST_FIXED_BYTES, "%s%" PRIu64 ".%03u", above, value_ns / 1000,
		 (unsigned int)(value_ns % 1000));
}

static void write_notes(FILE *file, const struct rk_hist_series *series)
{
	uint64_t samples = rk_hist_count(series->hist);
	uint64_t over = rk_hist_over(series->hist);

	if (samples < RK_HIST_P9999_MIN_COUNT) {
		fputs("note: ", file);
		hist_put_label(file, series->label, '\0');
		if (samples == 0)
			fputs(": no samples\n", file);
		else
			fprintf(file, ": p99.99 needs %d samples, there are %" PRIu64 "\n",
				RK_HIST_P9999_MIN_COUNT, samples);
	}
	if (over) {
		fputs("note: ", file);
		hist_put_label(file, series->label, '\0');
		fprintf(file,
			": %" PRIu64 " above %" PRIu64 " ns, counted as larger than all others\n",
			over, series->hist->highest_ns);
	}
}

int rk_hist_write_table(FILE *file, const struct rk_hist_series *series, size_t count)
{
	static const char corner[] = "latency, us";
	size_t label_width = strlen(corner);
	size_t widths[COLUMNS];
	char text[HIST_FIXED_BYTES];

	for (int c = 0; c < COLUMNS; c++) {
		widths[c] = strlen(columns[c].name);
		for (size_t i = 0; i < count; i++) {
			cell(text, &series[i], c);
			if (widths[c] < strlen(text))
				widths[c] = strlen(text);
		}
	}
	for (size_t i = 0; i < count; i++)
		if (label_width < strlen(series[i].label))
			label_width = strlen(series[i].label);

	fprintf(file, "%-*s", (int)label_width, corner);
	for (int c = 0; c < COLUMNS; c++)
		fprintf(file, "  %*s", (int)widths[c], columns[c].name);
	fputc('\n', file);
	for (size_t i = 0; i < count; i++) {
		hist_put_label(file, series[i].label, '\0');
		fprintf(file, "%*s", (int)(label_width - strlen(series[i].label)), "");
		for (int c = 0; c < COLUMNS; c++) {
			cell(text, &series[i], c);
			fprintf(file, "  %*s", (int)widths[c], text);
		}
		fputc('\n', file);
	}
	for (size_t i = 0; i < count; i++)
		write_notes(file, &series[i]);
	return hist_flush(file, "percentile table");
}

/* Value in units with three decimals, right-aligned as HdrHistogram does. */
static void put_value(FILE *file, uint64_t value_ns, uint64_t unit_ns)
{
	char text[HIST_FIXED_BYTES];
	double part = (double)(value_ns % unit_ns) * 1000 / (double)unit_ns;

	fprintf(file, "%12s", hist_fixed(text, value_ns / unit_ns, (uint64_t)(part + 0.5), 3));
}

static void put_double(FILE *file, int width, double value, int decimals)
{
	char text[HIST_FIXED_BYTES];
	double whole = floor(value);

	fprintf(file, "%*s", width,
		hist_fixed(text, (uint64_t)whole,
			   (uint64_t)((value - whole) * pow(10, decimals) + 0.5), decimals));
}

static void put_hgrm_end(FILE *file, const struct rk_hist *hist, uint64_t last_ns, uint64_t total,
			 uint64_t unit_ns)
{
	fputs("#[Mean    = ", file);
	put_double(file, 12, rk_hist_mean(hist) / (double)unit_ns, 3);
	fputs(", StdDeviation   = ", file);
	put_double(file, 12, rk_hist_stddev(hist) / (double)unit_ns, 3);
	fputs("]\n#[Max     = ", file);
	put_value(file, last_ns, unit_ns);
	fprintf(file, ", Total count    = %12" PRIu64 "]\n", total);
	fprintf(file, "#[Buckets = %12u, SubBuckets     = %12u]\n", (hist->length >> 10) - 1, 2048);
	if (rk_hist_over(hist))
		fprintf(file, "#[Over    = %" PRIu64 " samples above %" PRIu64 " ns]\n",
			rk_hist_over(hist), hist->highest_ns);
}

int rk_hist_write_hgrm(FILE *file, const struct rk_hist *hist, uint64_t unit_ns)
{
	uint64_t total = hist_in_range(hist);
	uint64_t last_ns = 0;
	uint64_t seen = 0;
	double level = 0;

	if (unit_ns == 0)
		return rk_fail(EINVAL, "percentile distribution: unit of 0 ns: 1, 1000 or 1000000");
	fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	for (uint32_t i = 0; i < hist->length && seen < total; i++) {
		uint64_t samples = __atomic_load_n(&hist->counts[i], __ATOMIC_RELAXED);

		if (samples == 0)
			continue;
		seen += samples;
		last_ns = rk_hist_index_highest(i);
		/* Five levels in each half of what is left to 100%; the last count ends the list.
		 */
		while (100.0 * (double)seen / (double)total >= level) {
			put_value(file, last_ns, unit_ns);
			fputc(' ', file);
			put_double(file, 0, level / 100, 12);
			fprintf(file, " %10" PRIu64 " ", seen);
			put_double(file, 14, 1 / (1 - level / 100), 2);
			fputc('\n', file);
			level += 100.0 / (5 * ldexp(1, ilogb(100 / (100 - level)) + 1));
			if (seen >= total)
				break;
		}
	}
	if (total) {
		put_value(file, last_ns, unit_ns);
		fprintf(file, " 1.000000000000 %10" PRIu64 "\n", total);
	}
	put_hgrm_end(file, hist, last_ns, total, unit_ns);
	return hist_flush(file, "percentile distribution");
}
