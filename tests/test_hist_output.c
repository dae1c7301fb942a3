// SPDX-License-Identifier: MIT
/* What the histogram writes: the log, read back by a decoder of its own; the texts; the plots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config.h"
#include "rk_error.h"
#include "rk_hist.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if RK_HAVE_ZLIB
#include <zlib.h>
#endif

enum { FILE_BYTES = 1 << 21 };

static uint64_t seed;
static uint64_t state;
static char directory[] = "/tmp/rk_hist_XXXXXX";

static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static struct rk_hist *open_hist(uint64_t highest_ns)
{
	struct rk_hist *hist;

	assert_int_equal(rk_hist_open(&hist, highest_ns), 0);
	return hist;
}

/* 1 us and a tail. */
static struct rk_hist *open_typical(uint64_t samples)
{
	struct rk_hist *hist = open_hist(0);

	for (uint64_t i = 0; i < samples; i++)
		rk_hist_record(hist, 1000 + draw() % 500 + (draw() % 100 ? 0 : draw() % 200000));
	return hist;
}

static const char *in_directory(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static char *read_all(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(FILE_BYTES);
	size_t bytes;

	assert_non_null(file);
	assert_non_null(text);
	bytes = fread(text, 1, FILE_BYTES - 1, file);
	text[bytes] = '\0';
	fclose(file);
	return text;
}

/* --- The log --- */

#if RK_HAVE_ZLIB

static size_t decode_base64(const char *text, uint8_t *bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = strcspn(text, "=\n");
	uint32_t bits = 0;
	size_t count = 0;

	assert_int_equal(strspn(text + length, "=") + length, (length + 3) / 4 * 4);
	for (size_t i = 0; i < length; i++) {
		const char *digit = strchr(digits, text[i]);

		assert_non_null(digit);
		bits = bits << 6 | (uint32_t)(digit - digits);
		if (i % 4)
			bytes[count++] = (uint8_t)(bits >> (6 - i % 4 * 2));
	}
	return count;
}

static uint64_t big_endian(const uint8_t *bytes, int count)
{
	uint64_t value = 0;

	for (int i = 0; i < count; i++)
		value = value * 256 + bytes[i];
	return value;
}

static int64_t decode_number(const uint8_t **at)
{
	uint64_t value = 0;
	int shift = 0;

	for (; shift < 56 && (**at & 128); shift += 7)
		value |= (uint64_t)(*(*at)++ & 127) << shift;
	value |= (uint64_t) * (*at)++ << shift;
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* The last field of an interval line must hold exactly the counts of @hist. */
static void assert_encodes(const char *text, const struct rk_hist *hist)
{
	static uint8_t deflated[FILE_BYTES];
	static uint8_t plain[FILE_BYTES];
	size_t bytes = decode_base64(text, deflated);
	uLongf plain_bytes = sizeof(plain);
	const uint8_t *at = plain + 40;
	uint32_t index = 0;

	assert_true(bytes > 8);
	assert_int_equal(big_endian(deflated, 4), 0x1c849314);
	assert_int_equal(big_endian(deflated + 4, 4), bytes - 8);
	assert_int_equal(uncompress(plain, &plain_bytes, deflated + 8, bytes - 8), Z_OK);
	assert_int_equal(big_endian(plain, 4), 0x1c849313);
	assert_int_equal(big_endian(plain + 4, 4), plain_bytes - 40);
	assert_int_equal(big_endian(plain + 8, 4), 0);
	assert_int_equal(big_endian(plain + 12, 4), 3);
	assert_true(big_endian(plain + 16, 8) == 1);
	assert_true(big_endian(plain + 24, 8) == hist->highest_ns);
	assert_true(big_endian(plain + 32, 8) == 0x3ff0000000000000);
	while (at < plain + plain_bytes) {
		int64_t number = decode_number(&at);

		if (number < 0) {
			assert_true(number < -1);
			for (; number < 0; number++)
				assert_true(index < hist->length && hist->counts[index++] == 0);
		} else {
			assert_true(index < hist->length);
			assert_true(hist->counts[index++] == (uint64_t)number);
		}
	}
	assert_ptr_equal(at, plain + plain_bytes);
	assert_true(index == 1 || hist->counts[index - 1] > 0);
	while (index < hist->length)
		assert_true(hist->counts[index++] == 0);
}

static void log_decodes_to_the_same_counts(void **unused)
{
	static const uint64_t highests[] = {2, 2048, 0, INT64_MAX};
	const char *path = in_directory("counts.hlog");
	struct rk_hist *hists[24];
	struct rk_hist_log *log;
	char *text, *line;

	(void)unused;
	assert_int_equal(rk_hist_log_open(&log, path, "made by a test", 1700000000123000000), 0);
	for (size_t h = 0; h < 24; h++) {
		hists[h] = open_hist(highests[h % 4]);
		/* The first four stay empty; counts of all sizes; first and last count included. */
		for (uint64_t i = 0; h >= 4 && i < draw() % 3000; i++)
			rk_hist_record_n(hists[h], draw() >> (draw() % 64),
					 draw() >> (draw() % 64));
		if (h % 8 == 4)
			rk_hist_record_n(hists[h], hists[h]->highest_ns, INT64_MAX);
		if (h >= 20)
			rk_hist_record(hists[h], 0);
		/* The longest there is. */
		for (uint32_t i = 0; h == 7 && i < hists[h]->length; i++)
			hists[h]->counts[i] = INT64_MAX;
		assert_int_equal(rk_hist_log_write(log, h % 2 ? "odd" : NULL,
						   1700000001000000000 + h * 1500000000,
						   1700000002500000000 + h * 1500000000, hists[h]),
				 0);
	}
	assert_int_equal(rk_hist_log_close(log), 0);

	text = read_all(path);
	line = strtok(text, "\n");
	assert_string_equal(line, "#made by a test");
	assert_string_equal(strtok(NULL, "\n"), "#[Histogram log format version 1.3]");
	assert_string_equal(strtok(NULL, "\n"),
			    "#[StartTime: 1700000000.123 (seconds since epoch), "
			    "2023-11-14T22:13:20Z]");
	assert_string_equal(strtok(NULL, "\n"),
			    "\"StartTimestamp\",\"Interval_Length\","
			    "\"Interval_Max\",\"Interval_Compressed_Histogram\"");
	for (size_t h = 0; h < 24; h++) {
		char times[64], over[96];

		line = strtok(NULL, "\n");
		assert_non_null(line);
		if (rk_hist_over(hists[h])) {
			snprintf(over, sizeof(over),
				 "#[Over: %" PRIu64 " samples above %" PRIu64 " ns]",
				 rk_hist_over(hists[h]), hists[h]->highest_ns);
			assert_string_equal(line, over);
			line = strtok(NULL, "\n");
		}
		snprintf(times, sizeof(times), "%s%zu.%s00,1.500,", h % 2 ? "Tag=odd," : "",
			 1700000001 + h * 15 / 10, h % 2 ? "5" : "0");
		assert_memory_equal(line, times, strlen(times));
		assert_encodes(strrchr(line, ',') + 1, hists[h]);
		rk_hist_close(hists[h]);
	}
	assert_null(strtok(NULL, "\n"));
	free(text);
}

static void log_refuses_what_readers_could_not_read(void **unused)
{
	static const char *const tags[] = {"", "a,b", "a b", "a\nb", "a\rb"};
	const char *path = in_directory("refused.hlog");
	struct rk_hist *hist = open_hist(0);
	struct rk_hist_log *log = NULL;
	char *before, *after;

	(void)unused;
	assert_int_equal(rk_hist_log_open(&log, path, "two\nlines", 0), -EINVAL);
	assert_int_equal(rk_hist_log_open(&log, "/nonexistent/x.hlog", NULL, 0), -ENOENT);
	assert_non_null(strstr(rk_errmsg(), "/nonexistent/x.hlog"));
	assert_int_equal(rk_hist_log_open(&log, directory, NULL, 0), -EISDIR);
	assert_non_null(strstr(rk_errmsg(), directory));
	assert_null(log);

	assert_int_equal(rk_hist_log_open(&log, path, NULL, 0), 0);
	before = read_all(path);
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		assert_int_equal(rk_hist_log_write(log, tags[i], 0, 1, hist), -EINVAL);
	assert_int_equal(rk_hist_log_write(log, NULL, 2, 1, hist), -EINVAL);
	after = read_all(path);
	assert_string_equal(before, after);
	assert_int_equal(rk_hist_log_close(log), 0);
	assert_int_equal(rk_hist_log_close(NULL), 0);
	free(before);
	free(after);
	rk_hist_close(hist);
}

static void log_reports_a_full_disk(void **unused)
{
	const char *path = in_directory("limited.hlog");
	struct rk_hist *hist = open_typical(20000);
	struct rk_hist_log *log = NULL;
	struct rlimit before, limit;
	int result = 0;

	(void)unused;
	assert_int_equal(rk_hist_log_open(&log, "/dev/full", NULL, 0), -ENOSPC);
	assert_non_null(strstr(rk_errmsg(), "/dev/full"));
	assert_null(log);

	/* A limit on the file's size lets the disk fill up half way. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 10000;
	assert_int_equal(rk_hist_log_open(&log, path, NULL, 0), 0);
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 100 && !result; i++)
		result = rk_hist_log_write(log, NULL, 0, 1, hist);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(result, -EFBIG);
	assert_non_null(strstr(rk_errmsg(), path));
	/* The disk has room again, but the log has half a line: it stays refused, and close says
	 * so. */
	assert_int_equal(rk_hist_log_write(log, NULL, 0, 1, hist), -EFBIG);
	assert_non_null(strstr(rk_errmsg(), "earlier write"));
	assert_int_equal(rk_hist_log_close(log), -EFBIG);
	assert_non_null(strstr(rk_errmsg(), path));
	rk_hist_close(hist);
}

#else

static void log_says_that_zlib_is_missing(void **unused)
{
	struct rk_hist_log *log = NULL;

	(void)unused;
	assert_int_equal(rk_hist_log_open(&log, in_directory("none.hlog"), NULL, 0), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "zlib1g-dev"));
	assert_null(log);
}

#endif

/* --- The texts --- */

static char *table_of(const struct rk_hist_series *series, size_t count)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);

	assert_int_equal(rk_hist_write_table(file, series, count), 0);
	fclose(file);
	return text;
}

static void table_shows_what_is_known(void **unused)
{
	struct rk_hist *exact = open_hist(0), *over = open_hist(2000000), *none = open_hist(0);
	struct rk_hist_series series[] = {
		{"exact", exact, 3}, {"over\nthe line", over, 0}, {"none", none, 18}};
	char *text;

	(void)unused;
	/* 100 times each of 1 to 1000 ns: percentiles known by hand. */
	for (uint64_t ns = 1; ns <= 1000; ns++)
		rk_hist_record_n(exact, ns, 100);
	rk_hist_record_n(over, 1500, 90);
	rk_hist_record_n(over, 2000001, 10);
	text = table_of(series, 3);
	assert_string_equal(
		text,
		"latency, us      min    p50    p90        p99      p99.9  p99.99        max   "
		"count  drops\n"
		"exact          0.001  0.500  0.900      0.990      0.999   1.000      1.000  "
		"100000      3\n"
		"over the line  1.500  1.500  1.500  >2000.000  >2000.000       -  >2000.000  "
		"   100      0\n"
		"none               -      -      -          -          -       -          -  "
		"     0     18\n"
		"note: over the line: p99.99 needs 100000 samples, there are 100\n"
		"note: over the line: 10 above 2000000 ns, counted as larger than all others\n"
		"note: none: no samples\n");
	free(text);

	rk_hist_reset(exact);
	rk_hist_record_n(exact, 7, RK_HIST_P9999_MIN_COUNT - 1);
	text = table_of(series, 1);
	assert_non_null(strstr(text, "  -  "));
	assert_non_null(strstr(text, "p99.99 needs 100000 samples, there are 99999"));
	free(text);
	rk_hist_close(exact);
	rk_hist_close(over);
	rk_hist_close(none);
}

static void hgrm_counts_what_it_names(void **unused)
{
	struct rk_hist *hist = open_typical(12345);
	char *text = NULL, *line;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	double percentile = -1, last = -1, inverse;
	uint64_t whole, part, total = 0;
	int rows = 0;

	(void)unused;
	rk_hist_record(hist, UINT64_MAX);
	assert_int_equal(rk_hist_write_hgrm(file, hist, 1000), 0);
	assert_int_equal(rk_hist_write_hgrm(file, hist, 0), -EINVAL);
	fclose(file);
	assert_non_null(strstr(text, " 0.100000000000 "));
	assert_non_null(strstr(text, " 0.992968750000 "));
	line = strtok(text, "\n");
	assert_string_equal(line, "       Value     Percentile TotalCount 1/(1-Percentile)");
	while ((line = strtok(NULL, "\n")) && *line != '#') {
		uint64_t below = 0;
		int fields = sscanf(line, "%" SCNu64 ".%" SCNu64 " %lf %" SCNu64 " %lf", &whole,
				    &part, &percentile, &total, &inverse);

		/* What lies at or below the value, counted anew. */
		for (uint32_t i = 0; i <= rk_hist_index(whole * 1000 + part); i++)
			below += hist->counts[i];
		assert_true(total == below);
		assert_true(percentile > last);
		assert_true((double)total >= percentile * 12345 - 1e-6);
		assert_int_equal(fields, percentile < 1 ? 5 : 4);
		last = percentile;
		rows++;
	}
	assert_true(rows > 50 && percentile == 1 && total == 12345);
	assert_non_null(line);
	assert_non_null(strstr(line, "#[Mean "));
	line = strtok(NULL, "");
	assert_non_null(strstr(line, "Total count    =        12345]"));
	assert_non_null(strstr(line, "#[Buckets =           26, SubBuckets     =         2048]"));
	assert_non_null(strstr(line, "#[Over    = 1 samples above 60000000000 ns]"));
	free(text);
	rk_hist_close(hist);
}

static void texts_report_a_full_disk(void **unused)
{
	struct rk_hist *hist = open_typical(1000);
	struct rk_hist_series series = {"typical", hist, 0};
	FILE *full = fopen("/dev/full", "w");

	(void)unused;
	assert_non_null(full);
	assert_int_equal(rk_hist_write_table(full, &series, 1), -ENOSPC);
	assert_non_null(strstr(rk_errmsg(), "No space"));
	assert_int_equal(rk_hist_write_hgrm(full, hist, 1000), -ENOSPC);
	assert_int_equal(rk_hist_plot_text(full, "title", &series, 1), -ENOSPC);
	assert_int_equal(rk_hist_plot_script(full, "title", &series, 1, 0), -ENOSPC);
	fclose(full);
	rk_hist_close(hist);
}

/* --- The plots --- */

enum { PLOT_LEFT = 12, PLOT_COLUMNS = 68 };

/* Each column of a text plot has marks, the line only rises, and its ends are the axis' ends. */
static void assert_rises(char *text, char mark)
{
	int top_of[PLOT_COLUMNS], bottom_of[PLOT_COLUMNS], rows = 0, last = -1;
	char *line = strstr(text, "\n\n") + 2;

	for (int i = 0; i < PLOT_COLUMNS; i++)
		top_of[i] = bottom_of[i] = -1;
	for (; strncmp(line, "           +", 12) != 0; line = strchr(line, '\n') + 1, rows++)
		for (int i = 0; line[PLOT_LEFT - 1] != '\n' && line[PLOT_LEFT + i] != '\n'; i++)
			if (line[PLOT_LEFT + i] == mark) {
				top_of[i] = top_of[i] < 0 ? rows : top_of[i];
				bottom_of[i] = rows;
			}
	assert_int_equal(bottom_of[0], rows - 1);
	for (int i = 0; i < PLOT_COLUMNS && top_of[i] >= 0; i++) {
		/* Never below the column before, and no gap. */
		assert_true(i == 0 || bottom_of[i] <= top_of[i - 1]);
		assert_true(i == 0 || bottom_of[i] >= top_of[i - 1] - 1);
		last = i;
	}
	assert_int_equal(top_of[last], 0);
	for (int i = last + 1; i < PLOT_COLUMNS; i++)
		assert_int_equal(top_of[i], -1);
	assert_int_equal(last, PLOT_COLUMNS - 1);
}

static char *text_plot_of(const struct rk_hist_series *series, size_t count)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);

	assert_int_equal(rk_hist_plot_text(file, "Round trip", series, count), 0);
	fclose(file);
	return text;
}

static void text_plot_has_axes_and_rises(void **unused)
{
	struct rk_hist *hist = open_typical(100000);
	struct rk_hist *none = open_hist(0), *one = open_hist(0);
	struct rk_hist_series series[] = {{"host to actor", hist, 2}, {"silent", none, 0}};
	struct rk_hist_series lonely = {"lonely", one, 0};
	char *text = text_plot_of(series, 2);

	(void)unused;
	assert_memory_equal(text, "            Round trip\n\n", 24);
	assert_non_null(strstr(text, "latency  0%"));
	assert_non_null(strstr(text, "90%"));
	assert_non_null(strstr(text, " 99.999%\n"));
	assert_non_null(strstr(text, "percentile\n"));
	assert_non_null(strstr(text, "     1 us +*"));
	assert_non_null(strstr(text, "* host to actor (100,000 samples, max "));
	assert_non_null(strstr(text, ", 2 drops)"));
	assert_non_null(strstr(text, "o silent (0 samples)"));
	assert_rises(text, '*');
	free(text);

	/* The extremes: one sample; nothing at all; only what is above the highest. */
	rk_hist_record(one, 0);
	text = text_plot_of(&lonely, 1);
	assert_non_null(strstr(text, "0 ns +*"));
	assert_non_null(strstr(text, "lonely (1 sample, max 0 ns)"));
	free(text);
	assert_int_equal(rk_hist_plot_text(stdout, "x", series + 1, 1), -ENODATA);
	rk_hist_record(none, UINT64_MAX);
	assert_int_equal(rk_hist_plot_text(stdout, "x", series + 1, 1), -ENODATA);
	rk_hist_record_n(one, 1, INT64_MAX);
	rk_hist_record(one, RK_HIST_HIGHEST_NS);
	text = text_plot_of(&lonely, 1);
	assert_non_null(strstr(text, "99.9999999999999%\n"));
	assert_non_null(strstr(text, "60.0 s +"));
	free(text);
	rk_hist_close(hist);
	rk_hist_close(none);
	rk_hist_close(one);
}

static bool have_gnuplot(void)
{
	return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

static void gnuplot_draws_images(void **unused)
{
	struct rk_hist *hist = open_typical(100000), *flat = open_hist(0), *none = open_hist(0);
	struct rk_hist_series series[] = {{"it's 100% \\ \"fast\"\n!touch /tmp/x", hist, 2},
					  {"flat", flat, 0},
					  {"none", none, 0}};
	char *text;

	(void)unused;
	if (!have_gnuplot()) {
		print_message("gnuplot is not installed: apt install gnuplot-nox\n");
		skip();
	}
	rk_hist_record(flat, 1234);
	assert_int_equal(rk_hist_plot(in_directory("a.svg"), NULL, "it's a `title`", series, 3),
			 RK_HIST_PLOTTED_IMAGE);
	text = read_all(in_directory("a.svg"));
	assert_memory_equal(text, "<?xml", 5);
	assert_non_null(strstr(text, "</svg>"));
	assert_non_null(strstr(text, "it's a `title`"));
	assert_non_null(strstr(text, "it's 100% \\ \"fast\" !touch /tmp/x (100,000 samples"));
	assert_non_null(strstr(text, "none (0 samples)"));
	assert_non_null(strstr(text, ">99.999%<"));
	assert_non_null(strstr(text, ">percentile<"));
	free(text);
	/* Alone: a histogram of one sample, and one of 0 ns; neither is an empty range to gnuplot.
	 */
	assert_int_equal(rk_hist_plot(in_directory("a.png"), NULL, "one", series + 1, 1), 0);
	text = read_all(in_directory("a.png"));
	assert_memory_equal(text, "\x89PNG\r\n", 6);
	free(text);
	rk_hist_reset(flat);
	rk_hist_record_n(flat, 0, 1000);
	assert_int_equal(rk_hist_plot(in_directory("a.png"), NULL, "zero", series + 1, 1), 0);
	rk_hist_record(flat, UINT64_MAX);
	assert_int_equal(rk_hist_plot(in_directory("a.png"), NULL, "over", series + 1, 1), 0);

	assert_int_equal(rk_hist_plot("/nonexistent/a.svg", NULL, "x", series, 1), -ENOENT);
	assert_non_null(strstr(rk_errmsg(), "/nonexistent/a.svg"));
	rk_hist_close(hist);
	rk_hist_close(flat);
	rk_hist_close(none);
}

static void make_gnuplot(const char *script)
{
	const char *path = in_directory("gnuplot");
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, strlen(script)), strlen(script));
	close(fd);
}

static void without_gnuplot_there_is_a_text_plot(void **unused)
{
	struct rk_hist *hist = open_typical(100000);
	struct rk_hist_series series = {"typical", hist, 0};
	char *path = strdup(getenv("PATH"));
	char *image = strdup(in_directory("b.svg"));
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);

	(void)unused;
	assert_int_equal(rk_hist_plot("a.gif", file, "x", &series, 1), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "a.gif"));

	setenv("PATH", directory, 1);
	assert_int_equal(rk_hist_plot(image, file, "Title", &series, 1), RK_HIST_PLOTTED_TEXT);
	assert_int_equal(rk_hist_plot(image, NULL, "Title", &series, 1), -EOPNOTSUPP);
	assert_non_null(strstr(rk_errmsg(), "gnuplot-nox"));
	assert_int_equal(access(image, F_OK), -1);

	/* One that may not be run is none either. */
	make_gnuplot("");
	chmod(in_directory("gnuplot"), 0644);
	assert_int_equal(rk_hist_plot(image, NULL, "Title", &series, 1), -EOPNOTSUPP);
	chmod(in_directory("gnuplot"), 0755);

	/* A gnuplot that fails is no reason to be silent about it. */
	make_gnuplot("#!/bin/sh\necho image\necho broken build >&2\nexit 3\n");
	assert_int_equal(rk_hist_plot(image, file, "Title", &series, 1), -EIO);
	assert_non_null(strstr(rk_errmsg(), "broken build"));
	assert_int_equal(access(image, F_OK), -1);
	make_gnuplot("#!/bin/sh\nexit 0\n");
	assert_int_equal(rk_hist_plot(image, file, "Title", &series, 1), -EIO);
	make_gnuplot("#!/bin/sh\necho image\n");
	assert_int_equal(rk_hist_plot(image, file, "Title", &series, 1), RK_HIST_PLOTTED_IMAGE);
	setenv("PATH", path, 1);

	fclose(file);
	assert_rises(text, '*');
	free(text);
	text = read_all(image);
	assert_string_equal(text, "image\n");
	free(text);
	free(path);
	free(image);
	rk_hist_close(hist);
}

static int make_directory(void **unused)
{
	(void)unused;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **unused)
{
	static const char *const names[] = {"counts.hlog", "refused.hlog", "limited.hlog", "a.svg",
					    "a.png",	   "b.svg",	   "gnuplot"};

	(void)unused;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(in_directory(names[i]));
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if RK_HAVE_ZLIB
		cmocka_unit_test(log_decodes_to_the_same_counts),
		cmocka_unit_test(log_refuses_what_readers_could_not_read),
		cmocka_unit_test(log_reports_a_full_disk),
#else
		cmocka_unit_test(log_says_that_zlib_is_missing),
#endif
		cmocka_unit_test(table_shows_what_is_known),
		cmocka_unit_test(hgrm_counts_what_it_names),
		cmocka_unit_test(texts_report_a_full_disk),
		cmocka_unit_test(text_plot_has_axes_and_rises),
		cmocka_unit_test(gnuplot_draws_images),
		cmocka_unit_test(without_gnuplot_there_is_a_text_plot),
	};
	const char *asked = getenv("RK_SEED");
	int failed;

	seed = asked ? strtoull(asked, NULL, 0) : 20262;
	state = seed;
	failed =
		cmocka_run_group_tests_name("hist_output", tests, make_directory, remove_directory);
	if (failed)
		print_message("RK_SEED=%" PRIu64 "\n", seed);
	return failed;
}
