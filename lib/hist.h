/* SPDX-License-Identifier: MIT */
/* hist.h - what the files of rk_hist.h share; not installed. */
#ifndef HIST_H
#define HIST_H

#include "rk_hist.h"

enum {
	HIST_FIXED_BYTES = 48,
	HIST_MAX_DECADES = 15, /* of a plot's x axis */
};

/* What the axes of a plot must span; x begins at 1. */
struct hist_frame {
	uint64_t low_ns;
	uint64_t high_ns;
	int decades;
	int log_y;
};

struct hist_unit {
	uint64_t ns;
	const char *name;
};

/*
 * Text of whole + part / 10^decimals, where part may carry. From integers, because printf of a
 * double follows the locale of the program and these texts are read by machines.
 */
const char *hist_fixed(char text[HIST_FIXED_BYTES], uint64_t whole, uint64_t part, int decimals);

/* Flushes; returns 0, or -errno and a text that says that @what was not written. */
int hist_flush(FILE *file, const char *what);

/* Prints @text with control characters as blanks and each @quote doubled ('\0' for none). */
void hist_put_label(FILE *file, const char *text, char quote);

/* Samples up to the highest. */
uint64_t hist_in_range(const struct rk_hist *hist);

/* 0, or -ENODATA: no series has a sample up to its highest. */
int hist_find_frame(struct hist_frame *frame, const struct rk_hist_series *series, size_t count);

/* The largest unit in which @ns is at least @whole. */
const struct hist_unit *hist_unit_of(uint64_t ns, uint64_t whole);

/* Three digits, rounded, and a unit: for people. */
const char *hist_ns_text(char text[HIST_FIXED_BYTES], uint64_t ns);

/* "0%", "90%", "99%", "99.9%": what lies at 10^decade of the x axis; @percent is the sign. */
const char *hist_decade_text(char text[HIST_FIXED_BYTES], int decade, const char *percent);

/* Where a line is at @x = 1/(1-p); RK_HIST_OVER beyond the highest. */
uint64_t hist_value_at(const struct rk_hist *hist, double x);

/* The end of a line, its last sample that has a value: where that is, and the value. */
double hist_last_x(const struct rk_hist *hist);
uint64_t hist_last_ns(const struct rk_hist *hist);

/* "label (1,000 samples, max 2.1 us, 3 drops)", each @quote in the label doubled. */
void hist_put_legend(FILE *file, const struct rk_hist_series *series, char quote);

#endif
