// SPDX-License-Identifier: MIT
/*
 * Latency by percentile as a plot: what every plot shares, and the plot in characters. The x axis
 * is 1/(1-p) in logarithmic scale, so each further nine takes the same room; a line ends at its
 * largest sample, where 1/(1-p) is the number of samples.
 */
#include "hist.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
	TEXT_COLUMNS = 68,
	TEXT_ROWS = 17,
	LOG_FROM = 30, /* a range wider than that many times its start gets a logarithmic y */
};

static const struct hist_unit units[] = {
	{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};

const struct hist_unit *hist_unit_of(uint64_t ns, uint64_t whole)
{
	const struct hist_unit *unit = units;

	while (unit->ns > 1 && ns / unit->ns < whole)
		unit++;
	return unit;
}

const char *hist_ns_text(char text[HIST_FIXED_BYTES], uint64_t ns)
{
	const struct hist_unit *unit = hist_unit_of(ns, 1);
	uint64_t whole = ns / unit->ns;
	uint64_t part = ns % unit->ns;
	uint64_t steps = whole >= 100 ? 1 : whole >= 10 ? 10 : 100; /* in a unit, to round to */
	uint64_t rounded = (part * steps + unit->ns / 2) / unit->ns;
	char number[HIST_FIXED_BYTES];

	if (part == 0 || steps == 1)
		snprintf(text, HIST_FIXED_BYTES, "%" PRIu64 " %s", whole + rounded, unit->name);
	else
		snprintf(text, HIST_FIXED_BYTES, "%.32s %s",
			 hist_fixed(number, whole, rounded, steps == 10 ? 1 : 2), unit->name);
	return text;
}

const char *hist_decade_text(char text[HIST_FIXED_BYTES], int decade, const char *percent)
{
	int digits = decade > 2 ? decade - 2 : 0;

	snprintf(text, HIST_FIXED_BYTES, "%s%.*s%s",
		 decade == 0   ? "0"
		 : decade == 1 ? "90"
		 : decade == 2 ? "99"
			       : "99.",
		 digits, "9999999999999", percent);
	return text;
}

uint64_t hist_value_at(const struct rk_hist *hist, double x)
{
	return rk_hist_percentile(hist, 100 - 100 / x);
}

double hist_last_x(const struct rk_hist *hist)
{
	double total = (double)rk_hist_count(hist);
	double over = (double)rk_hist_over(hist);

	return over > 0 ? total / over : total;
}

uint64_t hist_last_ns(const struct rk_hist *hist)
{
	for (uint32_t i = hist->length; i-- > 0;)
		if (__atomic_load_n(&hist->counts[i], __ATOMIC_RELAXED))
			return rk_hist_index_highest(i);
	return 0;
}

int hist_find_frame(struct hist_frame *frame, const struct rk_hist_series *series, size_t count)
{
	double x = 1;

	*frame = (struct hist_frame){.low_ns = UINT64_MAX};
	for (size_t i = 0; i < count; i++) {
		const struct rk_hist *hist = series[i].hist;

		if (hist_in_range(hist) == 0)
			continue;
		x = fmax(x, hist_last_x(hist));
		if (frame->low_ns > rk_hist_min(hist))
			frame->low_ns = rk_hist_min(hist);
		if (frame->high_ns < hist_last_ns(hist))
			frame->high_ns = hist_last_ns(hist);
	}
	if (frame->low_ns == UINT64_MAX)
		return rk_fail(ENODATA, "plot: no series has a sample: record first");
	frame->decades = (int)fmin(fmax(ceil(log10(x)), 2), HIST_MAX_DECADES);
	frame->log_y = frame->high_ns / LOG_FROM > frame->low_ns;
	if (frame->log_y && frame->low_ns == 0)
		frame->low_ns = 1;
	return 0;
}

/* 1234567 as 1,234,567: for people. */
static void put_grouped(FILE *file, uint64_t number)
{
	char digits[HIST_FIXED_BYTES];
	int left = snprintf(digits, sizeof(digits), "%" PRIu64, number);

	for (const char *at = digits; *at; at++) {
		fputc(*at, file);
		if (--left > 0 && left % 3 == 0)
			fputc(',', file);
	}
}

void hist_put_legend(FILE *file, const struct rk_hist_series *series, char quote)
{
	char text[HIST_FIXED_BYTES];
	uint64_t samples = rk_hist_count(series->hist);
	uint64_t over = rk_hist_over(series->hist);

	hist_put_label(file, series->label, quote);
	fputs(" (", file);
	put_grouped(file, samples);
	fputs(samples == 1 ? " sample" : " samples", file);
	if (over) {
		fputs(", ", file);
		put_grouped(file, over);
		fprintf(file, " above %s", hist_ns_text(text, series->hist->highest_ns));
	} else if (samples) {
		fprintf(file, ", max %s", hist_ns_text(text, hist_last_ns(series->hist)));
	}
	if (series->drops) {
		fputs(", ", file);
		put_grouped(file, series->drops);
		fputs(series->drops == 1 ? " drop" : " drops", file);
	}
	fputc(')', file);
}

/* Row of @value_ns, 0 at the bottom. */
static int row_of(const struct hist_frame *frame, uint64_t value_ns)
{
	double low = (double)frame->low_ns;
	double high = (double)frame->high_ns;
	double at = fmin(fmax((double)value_ns, low), high);
	double part;

	if (frame->high_ns <= frame->low_ns)
		return 0;
	part = frame->log_y ? log(at / low) / log(high / low) : (at - low) / (high - low);
	return (int)lround(part * (TEXT_ROWS - 1));
}

static uint64_t value_of_row(const struct hist_frame *frame, int row)
{
	double low = (double)frame->low_ns;
	double high = (double)frame->high_ns;
	double part = (double)row / (TEXT_ROWS - 1);

	return (uint64_t)round(frame->log_y ? low * pow(high / low, part)
					    : low + (high - low) * part);
}

static void draw_line(char grid[TEXT_ROWS][TEXT_COLUMNS + 1], const struct hist_frame *frame,
		      const struct rk_hist *hist, char mark)
{
	double end = hist_last_x(hist);
	int below = -1;

	for (int column = 0; column < TEXT_COLUMNS; column++) {
		double x = pow(10, (double)column * frame->decades / (TEXT_COLUMNS - 1));
		uint64_t value_ns = x <= end ? hist_value_at(hist, x) : RK_HIST_OVER;
		int row;

		if (value_ns == RK_HIST_OVER)
			return;
		row = row_of(frame, value_ns);
		/* A jump is drawn upright, so that the line holds together. */
		for (int r = below < 0 || below >= row ? row : below + 1; r <= row; r++)
			grid[r][column] = mark;
		below = row;
	}
}

/* Prints @text without the blanks at its end. */
static void put_trimmed(FILE *file, const char *text)
{
	size_t bytes = strlen(text);

	while (bytes > 0 && text[bytes - 1] == ' ')
		bytes--;
	fprintf(file, "%.*s\n", (int)bytes, text);
}

static void put_grid(FILE *file, char grid[TEXT_ROWS][TEXT_COLUMNS + 1],
		     const struct hist_frame *frame)
{
	char labels[TEXT_COLUMNS + 24];
	char text[HIST_FIXED_BYTES];

	for (int row = TEXT_ROWS - 1; row >= 0; row--) {
		int labelled = row == 0 || (row % 4 == 0 && frame->low_ns < frame->high_ns);

		fprintf(file, "%10s %c",
			labelled ? hist_ns_text(text, value_of_row(frame, row)) : "",
			labelled ? '+' : '|');
		put_trimmed(file, grid[row]);
	}
	memset(labels, '-', TEXT_COLUMNS);
	labels[TEXT_COLUMNS] = '\0';
	for (int k = 0; k <= frame->decades; k++)
		labels[k * (TEXT_COLUMNS - 1) / frame->decades] = '+';
	fprintf(file, "%10s +%s\n", "", labels);
	memset(labels, ' ', sizeof(labels));
	for (int k = 0; k <= frame->decades; k++) {
		int at = k * (TEXT_COLUMNS - 1) / frame->decades;

		/* Of many decades the labels would run into each other. */
		if (frame->decades <= 7 || k <= 2 || k == frame->decades) {
			hist_decade_text(text, k, "%");
			memcpy(labels + at, text, strlen(text));
		}
	}
	labels[sizeof(labels) - 1] = '\0';
	fprintf(file, "%10s  ", "latency");
	put_trimmed(file, labels);
	fprintf(file, "%10s  %*s\n", "", TEXT_COLUMNS / 2 + 5, "percentile");
}

int rk_hist_plot_text(FILE *file, const char *title, const struct rk_hist_series *series,
		      size_t count)
{
	static const char marks[] = "*o+x#@%&";
	char grid[TEXT_ROWS][TEXT_COLUMNS + 1];
	struct hist_frame frame;
	int result = hist_find_frame(&frame, series, count);

	if (result)
		return result;
	for (int row = 0; row < TEXT_ROWS; row++) {
		memset(grid[row], ' ', TEXT_COLUMNS);
		grid[row][TEXT_COLUMNS] = '\0';
	}
	for (size_t i = 0; i < count; i++)
		if (hist_in_range(series[i].hist))
			draw_line(grid, &frame, series[i].hist, marks[i % (sizeof(marks) - 1)]);
	fprintf(file, "%10s  ", "");
	hist_put_label(file, title, '\0');
	fputs("\n\n", file);
	put_grid(file, grid, &frame);
	for (size_t i = 0; i < count; i++) {
		fprintf(file, "%10s  %c ", "", marks[i % (sizeof(marks) - 1)]);
		hist_put_legend(file, &series[i], '\0');
		fputc('\n', file);
	}
	return hist_flush(file, "text plot");
}
