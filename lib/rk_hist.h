/* SPDX-License-Identifier: MIT */
/*
 * rk_hist.h - latency recording: a histogram of nanoseconds from 1 ns to a chosen highest, with
 * three significant digits, laid out as HdrHistogram's counts array; its log, its percentile
 * table and its plots.
 *
 * Layout. Values below 2048 have a count each. Every doubling after that has 1024 counts, so a
 * count covers less than 1/1000 of its values:
 *
 *      counts  0 ........ 2047 | 2048 ...... 3071 | 3072 ...... 4095 | ...
 *      values  0 ........ 2047 | 2048 ...... 4095 | 4096 ...... 8191 | ...
 *      width   1               | 2                | 4                | ...
 *
 * Recording changes one word and nothing else: no total, no minimum, no maximum is kept. All of
 * them are derived from the counts by whoever asks. A value above the highest is counted in @over
 * and is from then on a sample larger than all others: percentiles know it, they cannot name it.
 *
 * Contract: one thread at a time writes a histogram (record, add, subtract, reset, copy into).
 * Any number of others may read it meanwhile; for figures that agree with one another they take a
 * copy (rk_hist_copy) and read that. Every word of the copy was there at some moment of the
 * copying, so a sample recorded meanwhile is in it wholly or not at all, and a later copy never
 * holds less than an earlier one. An interval is a copy minus the copy before (rk_hist_subtract),
 * without stopping the writer. Words are read and written by relaxed atomics: no order is needed,
 * since no word says anything about another.
 */
#ifndef RK_HIST_H
#define RK_HIST_H

#include "rk_base.h"

#include <stdio.h>

#define RK_HIST_HIGHEST_NS	60000000000ULL /* default: one minute */
#define RK_HIST_COUNT_MAX	INT64_MAX  /* counts stay there: the log carries no larger ones */
#define RK_HIST_OVER		UINT64_MAX /* as a value: above the highest, how far is unknown */
#define RK_HIST_P9999_MIN_COUNT 100000	   /* below that fewer than ten samples lie beyond p99.99 */

/**
 * struct rk_hist - a histogram; open, so that recording is inline
 * @highest_ns: values above it are counted in @over
 * @over: samples above @highest_ns, at most RK_HIST_COUNT_MAX
 * @length: number of @counts
 * @counts: samples by rk_hist_index() of their value, each at most RK_HIST_COUNT_MAX
 */
struct rk_hist {
	uint64_t highest_ns;
	uint64_t over;
	uint32_t length;
	uint64_t *counts;
};

/**
 * struct rk_hist_series - a histogram with what people call it, for tables and plots
 * @label: shown as it is; control characters are shown as blanks
 * @hist: borrowed for the call
 * @drops: messages that were lost instead of measured
 */
struct rk_hist_series {
	const char *label;
	const struct rk_hist *hist;
	uint64_t drops;
};

/* What rk_hist_plot() made. */
enum rk_hist_plotted {
	RK_HIST_PLOTTED_IMAGE = 0,
	RK_HIST_PLOTTED_TEXT = 1,
};

struct rk_hist_log;

/* Index of the count that holds @value_ns. */
static inline uint32_t rk_hist_index(uint64_t value_ns)
{
	uint32_t doubling = 53 - (uint32_t)__builtin_clzll(value_ns | 2047);

	return (doubling << 10) + (uint32_t)(value_ns >> doubling);
}

/* Smallest value that the count at @index holds. */
static inline uint64_t rk_hist_index_lowest(uint32_t index)
{
	return index < 2048 ? index : (uint64_t)(1024 + (index & 1023)) << ((index >> 10) - 1);
}

/* Largest value that the count at @index holds. */
static inline uint64_t rk_hist_index_highest(uint32_t index)
{
	return rk_hist_index_lowest(index) +
	       (index < 2048 ? 0 : ((uint64_t)1 << ((index >> 10) - 1)) - 1);
}

/**
 * rk_hist_record_n() - record the same value a number of times
 * @hist: the writer's own
 * @value_ns: any
 * @samples: how many; counts stop at RK_HIST_COUNT_MAX
 *
 * Context: the writer only; no lock, no allocation, no system call. One word is changed.
 */
static inline void rk_hist_record_n(struct rk_hist *hist, uint64_t value_ns, uint64_t samples)
{
	uint64_t *word = rk_likely(value_ns <= hist->highest_ns)
				 ? &hist->counts[rk_hist_index(value_ns)]
				 : &hist->over;
	uint64_t sum;

	/* Relaxed, load and store apart: only this thread writes the word, and it orders nothing.
	 */
	if (rk_unlikely(__builtin_add_overflow(__atomic_load_n(word, __ATOMIC_RELAXED), samples,
					       &sum) ||
			sum > RK_HIST_COUNT_MAX))
		sum = RK_HIST_COUNT_MAX;
	__atomic_store_n(word, sum, __ATOMIC_RELAXED);
}

/**
 * rk_hist_record() - record one value
 * @hist: the writer's own
 * @value_ns: any; above @hist's highest it counts as over
 *
 * Context: the writer only; no lock, no allocation, no system call. One word is changed.
 */
static inline void rk_hist_record(struct rk_hist *hist, uint64_t value_ns)
{
	rk_hist_record_n(hist, value_ns, 1);
}

RK_BEGIN_DECLS

/**
 * rk_hist_open() - make an empty histogram
 * @out: the histogram; freed by rk_hist_close()
 * @highest_ns: largest value told apart, 2 to INT64_MAX; 0: RK_HIST_HIGHEST_NS, which takes 216 KiB
 *
 * Return: 0; -EINVAL @highest_ns is out of range; -ENOMEM.
 * Context: any thread; may sleep.
 */
RK_API int rk_hist_open(struct rk_hist **out, uint64_t highest_ns);

/**
 * rk_hist_close() - free a histogram
 * @hist: nobody uses it any more; NULL does nothing
 *
 * Context: any thread.
 */
RK_API void rk_hist_close(struct rk_hist *hist);

/**
 * rk_hist_record_corrected() - record a value where only the interval between samples is known
 * @hist: the writer's own
 * @value_ns: what was measured
 * @interval_ns: expected between two samples; 0: no correction
 *
 * A sender that waits for each answer does not send while it waits, and so omits the very samples
 * that would have been slow. This records them too: @value_ns, then @value_ns less one interval,
 * less two, down to the last that is not below one interval, as HdrHistogram does. Where intended
 * times are known, measure from those and use rk_hist_record().
 *
 * Context: the writer only; no lock, no allocation. At most one step for each count of @hist.
 */
RK_API void rk_hist_record_corrected(struct rk_hist *hist, uint64_t value_ns, uint64_t interval_ns);

/**
 * rk_hist_add() - merge one histogram into another
 * @to: the writer's own
 * @from: may be written meanwhile; what does not fit below @to's highest becomes over
 *
 * Context: the writer of @to.
 */
RK_API void rk_hist_add(struct rk_hist *to, const struct rk_hist *from);

/**
 * rk_hist_subtract() - take an earlier copy out of a later one: what is left is the interval
 * @from: the later; the writer's own
 * @earlier: of the same histogram, with the same highest
 *
 * Return: 0; -EINVAL the two have different ranges, or @earlier holds something that @from does
 * not: it is no earlier copy, or the writer reset the histogram between. @from is then unchanged.
 * Context: the writer of @from; nobody writes @earlier.
 */
RK_API int rk_hist_subtract(struct rk_hist *from, const struct rk_hist *earlier);

/**
 * rk_hist_copy() - copy a histogram that may be written meanwhile
 * @to: the reader's own; what it held is overwritten
 * @from: with the same highest
 *
 * Return: 0; -EINVAL the two have different ranges.
 * Context: any thread, while @from's writer goes on; see the contract above.
 */
RK_API int rk_hist_copy(struct rk_hist *to, const struct rk_hist *from);

/**
 * rk_hist_reset() - forget all samples
 * @hist: the writer's own
 *
 * Context: the writer only. A copy being taken meanwhile may see half of the reset.
 */
RK_API void rk_hist_reset(struct rk_hist *hist);

/**
 * rk_hist_count() - number of samples, those above the highest included
 * @hist: any
 *
 * Context: any thread.
 * Return: samples, at most RK_HIST_COUNT_MAX.
 */
RK_API uint64_t rk_hist_count(const struct rk_hist *hist);

/**
 * rk_hist_over() - number of samples above the highest
 * @hist: any
 *
 * Context: any thread.
 * Return: samples.
 */
RK_API uint64_t rk_hist_over(const struct rk_hist *hist);

/**
 * rk_hist_min() - smallest sample
 * @hist: any
 *
 * Context: any thread.
 * Return: ns, the smallest value that shares its count (as HdrHistogram gives it); 0 if there is
 * no sample; RK_HIST_OVER if all are above the highest.
 */
RK_API uint64_t rk_hist_min(const struct rk_hist *hist);

/**
 * rk_hist_max() - largest sample
 * @hist: any
 *
 * Context: any thread.
 * Return: ns, the largest value that shares its count (as HdrHistogram gives it); 0 if there is
 * no sample; RK_HIST_OVER if one is above the highest.
 */
RK_API uint64_t rk_hist_max(const struct rk_hist *hist);

/**
 * rk_hist_mean() - mean of the samples up to the highest
 * @hist: any
 *
 * Context: any thread.
 * Return: ns; 0 if there is none. Samples above the highest are left out: see rk_hist_over().
 */
RK_API double rk_hist_mean(const struct rk_hist *hist);

/**
 * rk_hist_stddev() - standard deviation of the samples up to the highest
 * @hist: any
 *
 * Context: any thread.
 * Return: ns; 0 if there is none. Samples above the highest are left out: see rk_hist_over().
 */
RK_API double rk_hist_stddev(const struct rk_hist *hist);

/**
 * rk_hist_percentile() - value that a part of the samples does not exceed
 * @hist: any
 * @percentile: 0 to 100; what is outside is taken as the nearer end
 *
 * Context: any thread. Walks the counts: tens of microseconds.
 * Return: ns, the largest value that shares the count (the smallest for 0), as HdrHistogram gives
 * it; 0 if there is no sample; RK_HIST_OVER if the value is above the highest.
 */
RK_API uint64_t rk_hist_percentile(const struct rk_hist *hist, double percentile);

/**
 * rk_hist_write_table() - percentiles for people, a line for each series
 * @file: written and flushed
 * @series: what to show
 * @count: of @series
 *
 * Columns in microseconds: min p50 p90 p99 p99.9 p99.99 max, then count and drops. What cannot be
 * known is shown as '-' (p99.99 of fewer than RK_HIST_P9999_MIN_COUNT samples), what is above the
 * highest as '>' and the highest; a note under the table says why.
 *
 * Context: any thread; may sleep.
 * Return: 0; -errno @file could not be written.
 */
RK_API int rk_hist_write_table(FILE *file, const struct rk_hist_series *series, size_t count);

/**
 * rk_hist_write_hgrm() - percentile distribution as HdrHistogram prints it (.hgrm)
 * @file: written and flushed
 * @hist: samples above its highest are named in a comment and are no part of the distribution
 * @unit_ns: nanoseconds in the unit of the value column: 1, 1000 or 1000000
 *
 * Context: any thread; may sleep.
 * Return: 0; -EINVAL @unit_ns is 0; -errno @file could not be written.
 */
RK_API int rk_hist_write_hgrm(FILE *file, const struct rk_hist *hist, uint64_t unit_ns);

/**
 * rk_hist_log_open() - begin a histogram log (HdrHistogram log format 1.3, encoding V2)
 * @out: the log; closed by rk_hist_log_close()
 * @path: made, or emptied if it is there
 * @comment: one line at the head: who writes what; may be NULL
 * @start_ns: CLOCK_REALTIME, noted as the start time
 *
 * Context: any thread; may sleep.
 * Return: 0; -EINVAL @comment has more than one line; -EOPNOTSUPP built without zlib; -ENOMEM;
 * -errno @path could not be opened or written.
 */
RK_API int rk_hist_log_open(struct rk_hist_log **out, const char *path, const char *comment,
			    uint64_t start_ns);

/**
 * rk_hist_log_write() - add the histogram of one interval and flush
 * @log: one thread at a time
 * @tag: tells several series in a log apart; no comma, blank or line break; NULL for none
 * @start_ns: CLOCK_REALTIME, start of the interval
 * @end_ns: its end, not before @start_ns
 * @hist: of this interval alone. It may be written meanwhile. Samples above its highest cannot
 * be encoded; a comment line before the interval carries their number.
 *
 * Context: any thread; may sleep.
 * Return: 0; -EINVAL bad @tag or times; -ENOMEM; -errno the file could not be written. After a
 * failed write the log may end in half a line, so further writes return the same error.
 */
RK_API int rk_hist_log_write(struct rk_hist_log *log, const char *tag, uint64_t start_ns,
			     uint64_t end_ns, const struct rk_hist *hist);

/**
 * rk_hist_log_close() - end a log and free it
 * @log: NULL does nothing
 *
 * Context: any thread; may sleep.
 * Return: 0; -errno of the first write that failed.
 */
RK_API int rk_hist_log_close(struct rk_hist_log *log);

/**
 * rk_hist_plot() - latency by percentile as an image, or as text where gnuplot is not installed
 * @path: of the image: .svg or .png; made, or overwritten if it is there
 * @text: where the text plot goes instead; NULL: fail instead
 * @title: of the plot
 * @series: one line each; those without samples are only named
 * @count: of @series
 *
 * Context: any thread; runs gnuplot as a child process and waits for it. Allocates.
 * Return: enum rk_hist_plotted; -EINVAL @path has another ending; -ENODATA no series has a sample
 * up to its highest; -EOPNOTSUPP gnuplot is not installed and @text is NULL; -EIO gnuplot failed
 * (its own words are in rk_errmsg()); -errno @path or @text could not be written.
 */
RK_API int rk_hist_plot(const char *path, FILE *text, const char *title,
			const struct rk_hist_series *series, size_t count);

/**
 * rk_hist_plot_text() - latency by percentile as a plain-text plot
 * @file: written and flushed
 * @title: first line of the plot
 * @series: one mark each; those without samples are only named
 * @count: of @series
 *
 * Context: any thread; may sleep.
 * Return: 0; -ENODATA no series has a sample up to its highest; -errno @file could not be written.
 */
RK_API int rk_hist_plot_text(FILE *file, const char *title, const struct rk_hist_series *series,
			     size_t count);

/**
 * rk_hist_plot_script() - the gnuplot script that draws the plot to its standard output
 * @file: written and flushed
 * @title: of the plot
 * @series: as for rk_hist_plot(); their data is within the script
 * @count: of @series
 * @png: nonzero for PNG, zero for SVG
 *
 * Context: any thread; may sleep.
 * Return: 0; -ENODATA no series has a sample up to its highest; -errno @file could not be written.
 */
RK_API int rk_hist_plot_script(FILE *file, const char *title, const struct rk_hist_series *series,
			       size_t count, int png);

RK_END_DECLS

#endif
