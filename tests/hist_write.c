// SPDX-License-Identifier: MIT
/*
 * Writes a histogram log, what it must say (ours.txt) and the distribution of all its intervals
 * (ours.hgrm) into a directory, for the readers that hist_readers.sh compares with.
 */
#include "rk_error.h"
#include "rk_hist.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define START_NS    UINT64_C(1700000000000000000)
#define INTERVAL_NS UINT64_C(1500000000)

static uint64_t state;

static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void fill_any_size(struct rk_hist *hist)
{
	for (int i = 0; i < 10000; i++)
		rk_hist_record(hist, (draw() % RK_HIST_HIGHEST_NS + 1) >> (draw() % 36));
	rk_hist_record(hist, RK_HIST_HIGHEST_NS);
}

static void fill_typical(struct rk_hist *hist)
{
	for (int i = 0; i < 100000; i++)
		rk_hist_record(hist, 1700 + draw() % 300 + (draw() % 50 ? 0 : draw() % 100000));
}

static void fill_corrected(struct rk_hist *hist)
{
	for (int i = 0; i < 1000; i++)
		rk_hist_record_corrected(hist, draw() % 3000000, 1000);
}

static void fill_nothing(struct rk_hist *hist)
{
	(void)hist;
}

static void fill_zero(struct rk_hist *hist)
{
	rk_hist_record(hist, 0);
}

static void fill_large_counts(struct rk_hist *hist)
{
	for (int i = 0; i < 40; i++)
		rk_hist_record_n(hist, draw() % 100000, 1ULL << i);
}

static const struct {
	const char *tag;
	void (*fill)(struct rk_hist *hist);
} intervals[] = {
	{NULL, fill_any_size},	 {"ring", fill_typical}, {"corrected", fill_corrected},
	{"empty", fill_nothing}, {NULL, fill_zero},	 {"large", fill_large_counts},
};

/* One line of figures, then a line for each count. hist_read.java and .js print the same. */
static void describe(FILE *file, const struct rk_hist *hist, const char *tag, uint64_t start_ns)
{
	static const double percentiles[] = {0,	 1,  10,   25,	  50,	  75, 90,
					     95, 99, 99.9, 99.99, 99.999, 100};

	fprintf(file, "interval %s %" PRIu64 " %" PRIu64 " count %" PRIu64 " max %" PRIu64,
		tag ? tag : "-", start_ns / 1000000, (start_ns + INTERVAL_NS) / 1000000,
		rk_hist_count(hist), rk_hist_max(hist));
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		fprintf(file, " %" PRIu64, rk_hist_percentile(hist, percentiles[i]));
	fputc('\n', file);
	for (uint32_t i = 0; i < hist->length; i++)
		if (hist->counts[i])
			fprintf(file, "%" PRIu64 " %" PRIu64 "\n", rk_hist_index_lowest(i),
				hist->counts[i]);
}

static FILE *create(const char *directory, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	if (!file)
		perror(path);
	return file;
}

static int write_all(struct rk_hist_log *log, FILE *ours, FILE *hgrm)
{
	struct rk_hist *hist = NULL, *all = NULL;
	int result = rk_hist_open(&hist, 0);

	if (!result)
		result = rk_hist_open(&all, 0);
	for (size_t i = 0; !result && i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		uint64_t start_ns = START_NS + i * INTERVAL_NS;

		rk_hist_reset(hist);
		intervals[i].fill(hist);
		rk_hist_add(all, hist);
		describe(ours, hist, intervals[i].tag, start_ns);
		result = rk_hist_log_write(log, intervals[i].tag, start_ns, start_ns + INTERVAL_NS,
					   hist);
	}
	if (!result)
		result = rk_hist_write_hgrm(hgrm, all, 1000);
	rk_hist_close(hist);
	rk_hist_close(all);
	return result;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("RK_SEED");
	struct rk_hist_log *log = NULL;
	FILE *ours, *hgrm;
	char path[4096];
	int result, closed;

	if (argc != 2) {
		fprintf(stderr, "usage: hist_write DIRECTORY\n");
		return 2;
	}
	state = seed ? strtoull(seed, NULL, 0) : 20263;
	ours = create(argv[1], "ours.txt");
	hgrm = create(argv[1], "ours.hgrm");
	if (!ours || !hgrm)
		return 1;
	snprintf(path, sizeof(path), "%s/latency.hlog", argv[1]);
	result = rk_hist_log_open(&log, path, "hist_write", START_NS);
	if (!result)
		result = write_all(log, ours, hgrm);
	closed = rk_hist_log_close(log);
	if (result || closed)
		fprintf(stderr, "hist_write: %s\n", rk_errmsg());
	return fclose(ours) || fclose(hgrm) || result || closed;
}
