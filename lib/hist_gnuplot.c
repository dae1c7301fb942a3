// SPDX-License-Identifier: MIT
/* Latency by percentile as an image: the script for gnuplot, and running it without a shell. */
#include "hist.h"
#include "rk_error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
	DECADE_POINTS = 80, /* for each decade of x */
	WORDS_BYTES = 300,
};

/* Data as integers: 1000 x and ns. */
static void put_data(FILE *file, const struct rk_hist *hist, size_t number)
{
	/* A single sample is a dash, not an invisible point. */
	double end = fmin(fmax(hist_last_x(hist), 1.2), pow(10, HIST_MAX_DECADES));

	fprintf(file, "$line%zu << END\n", number);
	for (int k = 0; hist_in_range(hist); k++) {
		double x = pow(10, (double)k / DECADE_POINTS);
		uint64_t value_ns = hist_value_at(hist, x);

		if (x >= end || value_ns == RK_HIST_OVER)
			break;
		fprintf(file, "%.0f %" PRIu64 "\n", x * 1000, value_ns);
	}
	if (hist_in_range(hist))
		fprintf(file, "%.0f %" PRIu64 "\n", end * 1000, hist_last_ns(hist));
	fputs("END\n", file);
}

/* As expressions over integers, which no locale changes. */
static void put_range(FILE *file, const struct hist_frame *frame, const struct hist_unit *unit)
{
	uint64_t low = frame->low_ns;
	uint64_t high = frame->high_ns;
	uint64_t margin = (high - low > high / 10 ? high - low : high / 10) / 16 + 1;

	if (frame->log_y)
		fprintf(file,
			"set yrange [%" PRIu64 "/1.5/%" PRIu64 ":%" PRIu64 "*1.5/%" PRIu64 "]\n",
			low, unit->ns, high, unit->ns);
	else
		fprintf(file, "set yrange [%" PRIu64 ".0/%" PRIu64 ":%" PRIu64 ".0/%" PRIu64 "]\n",
			low > margin ? low - margin : 0, unit->ns, high + margin, unit->ns);
}

static void put_axes(FILE *file, const struct hist_frame *frame, const struct hist_unit *unit)
{
	char text[HIST_FIXED_BYTES];

	/* A tick's label is a format: its per cent sign is doubled. */
	fprintf(file, "set logscale x 10\nset xrange [1:1e%d]\nset xtics ('50%%%%' 2",
		frame->decades);
	for (int k = 0; k <= frame->decades; k++)
		fprintf(file, ", '%s' 1e%d", hist_decade_text(text, k, "%%"), k);
	fputs(") scale 0.6\nset xlabel 'percentile' offset 0,0.2\n", file);
	if (!frame->log_y) {
		fprintf(file, "set ylabel 'latency, %s' offset -0.5,0\n", unit->name);
		put_range(file, frame, unit);
		fputs("set format y '%g'\nset ytics scale 0.6\n", file);
		return;
	}
	fputs("set ylabel 'latency' offset -0.5,0\nset logscale y 10\n", file);
	put_range(file, frame, unit);
	fputs("set mytics 10\nset ytics scale 0.6 (", file);
	/* Labels with their unit; by 1, 2, 5 where the decades are few. */
	for (uint64_t ns = 1; ns <= 1000000000000000000; ns *= 10) {
		static const int steps[] = {1, 2, 5};
		int few = frame->high_ns / frame->low_ns < 20000;

		for (int s = 0; s < (few ? 3 : 1); s++)
			fprintf(file, "%s'%s' %" PRIu64 ".0/%" PRIu64,
				ns == 1 && s == 0 ? "" : ", ",
				hist_ns_text(text, ns * (uint64_t)steps[s]),
				ns * (uint64_t)steps[s], unit->ns);
	}
	fputs(")\n", file);
}

static void put_lines(FILE *file, const struct rk_hist_series *series, size_t count,
		      const struct hist_unit *unit)
{
	/* Told apart also by those who see colours differently (Okabe and Ito). */
	static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
					      "#E69F00", "#56B4E9", "#000000"};
	const size_t kinds = sizeof(colours) / sizeof(colours[0]);

	fputs("plot ", file);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ", \\\n  " : "", file);
		if (hist_in_range(series[i].hist))
			fprintf(file, "$line%zu using ($1/1000):($2/%" PRIu64 ".0) with lines", i,
				unit->ns);
		else
			fputs("NaN with lines", file);
		fprintf(file, " lw 2 lc rgb '%s' dt %zu title '", colours[i % kinds],
			1 + i / kinds % 5);
		hist_put_legend(file, &series[i], '\'');
		fputc('\'', file);
	}
	fputc('\n', file);
}

int rk_hist_plot_script(FILE *file, const char *title, const struct rk_hist_series *series,
			size_t count, int png)
{
	const struct hist_unit *unit;
	struct hist_frame frame;
	int result = hist_find_frame(&frame, series, count);

	if (result)
		return result;
	unit = hist_unit_of(frame.high_ns, 10);
	for (size_t i = 0; i < count; i++)
		put_data(file, series[i].hist, i);
	if (png)
		fputs("if (strstrt(GPVAL_TERMINALS, ' pngcairo ')) {\n"
		      "  set terminal pngcairo noenhanced size 1200,720 font 'DejaVu Sans,13'\n"
		      "} else {\n"
		      "  set terminal png noenhanced size 1200,720\n}\n",
		      file);
	else
		fputs("set terminal svg noenhanced size 960,576 font 'DejaVu Sans,sans-serif,12' "
		      "background rgb 'white'\n",
		      file);
	fputs("set title '", file);
	hist_put_label(file, title, '\'');
	fputs("' font ',16' offset 0,0.3\n"
	      "set border 3 lc rgb '#606060'\nset tics nomirror textcolor rgb 'black'\n"
	      "set grid xtics ytics lt 1 lw 0.6 lc rgb '#d8d8d8'\n"
	      "set key below left vertical maxcols 1 reverse Left samplen 2 spacing 1.25 height "
	      "0.7\n"
	      "set rmargin 6\n",
	      file);
	put_axes(file, &frame, unit);
	put_lines(file, series, count, unit);
	return hist_flush(file, "gnuplot script");
}

/* A nameless file to hand to the child or to read back; never one of the standard three. */
static FILE *memory_file(void)
{
	int low = memfd_create("ringkernel-plot", MFD_CLOEXEC);
	int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 3);
	FILE *file;

	if (low >= 0)
		close(low);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "w+e");
	if (!file)
		close(fd);
	return file;
}

/* Returns 0; or positive errno: the program could not be started; or -1: it failed. */
static int run_gnuplot(FILE *script, FILE *image, FILE *words)
{
	/* Its own settings files could draw anything: none are read. */
	char *arguments[] = {"gnuplot", "--default-settings", "-", NULL};
	posix_spawn_file_actions_t files;
	int status = -1;
	pid_t child;
	int error;

	if (lseek(fileno(script), 0, SEEK_SET) < 0)
		return errno;
	error = posix_spawn_file_actions_init(&files);
	if (error)
		return error;
	error = posix_spawn_file_actions_adddup2(&files, fileno(script), 0);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&files, fileno(image), 1);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&files, fileno(words), 2);
	if (!error)
		error = posix_spawnp(&child, "gnuplot", &files, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&files);
	if (error)
		return error;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno == ECHILD ? 0 : -1; /* the program reaps for itself */
	return status == 0 ? 0 : -1;
}

static int fail_in_gnuplot(FILE *words, const char *path)
{
	char said[WORDS_BYTES] = "";
	size_t bytes;

	rewind(words);
	bytes = fread(said, 1, sizeof(said) - 1, words);
	for (size_t i = 0; i < bytes; i++)
		if (said[i] < ' ')
			said[i] = ' ';
	return rk_fail(EIO, "plot '%s': gnuplot failed: %s", path, said);
}

static int copy_to(const char *path, FILE *image)
{
	char block[16384];
	size_t bytes;
	FILE *file = fopen(path, "we");
	int result = 0;

	if (!file)
		return rk_fail(errno, "plot '%s': %s", path, strerror(errno));
	rewind(image);
	while (!result && (bytes = fread(block, 1, sizeof(block), image)) > 0)
		if (fwrite(block, 1, bytes, file) != bytes)
			result = rk_fail(errno, "plot '%s': %s", path, strerror(errno));
	if (fclose(file) != 0 && !result)
		result = rk_fail(errno, "plot '%s': %s", path, strerror(errno));
	return result;
}

static int plot_text_instead(FILE *text, const char *path, const char *title,
			     const struct rk_hist_series *series, size_t count)
{
	int result;

	if (!text)
		return rk_fail(EOPNOTSUPP, "plot '%s': no gnuplot: apt install gnuplot-nox", path);
	result = rk_hist_plot_text(text, title, series, count);
	return result ? result : RK_HIST_PLOTTED_TEXT;
}

static int ends_in(const char *path, const char *ending)
{
	size_t bytes = strlen(path);

	return bytes > strlen(ending) && strcmp(path + bytes - strlen(ending), ending) == 0;
}

int rk_hist_plot(const char *path, FILE *text, const char *title,
		 const struct rk_hist_series *series, size_t count)
{
	int png = ends_in(path, ".png");
	FILE *script, *image, *words;
	int result;

	if (!png && !ends_in(path, ".svg"))
		return rk_fail(EINVAL, "plot '%s': must end in .svg or .png", path);
	script = memory_file();
	image = memory_file();
	words = memory_file();
	if (!script || !image || !words)
		result = rk_fail(errno, "plot '%s': no memory file: %s", path, strerror(errno));
	else
		result = rk_hist_plot_script(script, title, series, count, png);
	if (!result) {
		int error = run_gnuplot(script, image, words);

		/* A directory of PATH that may not be searched also makes a missing program EACCES.
		 */
		if (error == ENOENT || error == EACCES || error == ENOTDIR)
			result = plot_text_instead(text, path, title, series, count);
		else if (error > 0)
			result = rk_fail(error, "plot '%s': gnuplot: %s", path, strerror(error));
		else if (error < 0 || lseek(fileno(image), 0, SEEK_END) <= 0)
			result = fail_in_gnuplot(words, path);
		else
			result = copy_to(path, image);
	}
	if (script)
		fclose(script);
	if (image)
		fclose(image);
	if (words)
		fclose(words);
	return result;
}
