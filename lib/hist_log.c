// SPDX-License-Identifier: MIT
/*
 * The histogram log: text lines, each the counts of one interval, which every HdrHistogram reader
 * understands. Encoding V2, from inside out: counts as ZigZag LEB128, runs of zeros as one
 * negative number; a header of seven big-endian fields; deflate in zlib's wrapping; two more
 * fields; base64.
 */
#include "config.h"
#include "hist.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if RK_HAVE_ZLIB

#include <zlib.h>

enum {
	V2_COOKIE = 0x1c849313,
	V2_DEFLATED_COOKIE = 0x1c849314,
	HEADER_BYTES = 40,
	DEFLATED_HEADER_BYTES = 8,
	NUMBER_BYTES = 9, /* the longest LEB128 of 64 bits: the ninth byte carries eight of them */
};

struct rk_hist_log {
	FILE *file;
	char *path;
	int error; /* of the first failed write, negative */
	/* Room for the largest histogram so far. */
	uint32_t length;
	uint8_t *plain;
	uint8_t *deflated;
	uLong deflated_bytes;
};

static uint8_t *put_big_endian(uint8_t *at, uint64_t value, int bytes)
{
	while (bytes-- > 0)
		*at++ = (uint8_t)(value >> (8 * bytes));
	return at;
}

static uint8_t *put_number(uint8_t *at, int64_t number)
{
	uint64_t rest = ((uint64_t)number << 1) ^ (uint64_t)(number >> 63);
	int bytes = 1;

	for (; rest > 127 && bytes < NUMBER_BYTES; bytes++) {
		*at++ = (uint8_t)(rest | 128);
		rest >>= 7;
	}
	*at++ = (uint8_t)rest;
	return at;
}

/* Each word is read once, so a histogram that is being written still encodes to whole counts. */
static size_t encode_plain(uint8_t *plain, const struct rk_hist *hist, uint64_t *highest_ns)
{
	uint8_t *at = plain + HEADER_BYTES;
	uint8_t *end = at;
	int64_t zeros = 0;

	for (uint32_t i = 0; i < hist->length; i++) {
		uint64_t samples = __atomic_load_n(&hist->counts[i], __ATOMIC_RELAXED);

		if (samples == 0) {
			zeros++;
			continue;
		}
		if (zeros) /* a single zero is itself; more are their number, negative */
			at = put_number(at, zeros == 1 ? 0 : -zeros);
		zeros = 0;
		end = at = put_number(at, (int64_t)samples);
		*highest_ns = rk_hist_index_highest(i);
	}
	if (end == plain + HEADER_BYTES)
		end = put_number(end, 0); /* nothing recorded: readers expect one count */

	at = put_big_endian(plain, V2_COOKIE, 4);
	at = put_big_endian(at, (uint64_t)(end - plain) - HEADER_BYTES, 4);
	at = put_big_endian(at, 0, 4); /* counts are not rotated */
	at = put_big_endian(at, 3, 4); /* significant digits */
	at = put_big_endian(at, 1, 8); /* lowest value */
	at = put_big_endian(at, hist->highest_ns, 8);
	put_big_endian(at, 0x3ff0000000000000, 8); /* 1.0: values are what they are */
	return (size_t)(end - plain);
}

static int make_room(struct rk_hist_log *log, uint32_t length)
{
	size_t plain_bytes = HEADER_BYTES + (size_t)NUMBER_BYTES * length;
	uLong deflated_bytes = DEFLATED_HEADER_BYTES + compressBound(plain_bytes);
	uint8_t *plain;
	uint8_t *deflated;

	if (length <= log->length)
		return 0;
	plain = realloc(log->plain, plain_bytes);
	if (plain)
		log->plain = plain;
	deflated = realloc(log->deflated, deflated_bytes);
	if (deflated)
		log->deflated = deflated;
	if (!plain || !deflated)
		return rk_fail(ENOMEM, "histogram log '%s': no memory for %u counts", log->path,
			       length);
	log->deflated_bytes = deflated_bytes;
	log->length = length;
	return 0;
}

static void put_base64(FILE *file, const uint8_t *bytes, size_t count)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (; count >= 3; bytes += 3, count -= 3) {
		fputc(digits[bytes[0] >> 2], file);
		fputc(digits[(bytes[0] & 3) << 4 | bytes[1] >> 4], file);
		fputc(digits[(bytes[1] & 15) << 2 | bytes[2] >> 6], file);
		fputc(digits[bytes[2] & 63], file);
	}
	if (count == 0)
		return;
	fputc(digits[bytes[0] >> 2], file);
	fputc(digits[(bytes[0] & 3) << 4 | (count == 2 ? bytes[1] >> 4 : 0)], file);
	fputc(count == 2 ? digits[(bytes[1] & 15) << 2] : '=', file);
	fputc('=', file);
}

/* Milliseconds: what the format's readers keep. */
static const char *seconds(char text[HIST_FIXED_BYTES], uint64_t ns)
{
	return hist_fixed(text, ns / 1000000000, ns / 1000000 % 1000, 3);
}

static int flush(struct rk_hist_log *log)
{
	int result = hist_flush(log->file, log->path);

	if (result && !log->error)
		log->error = result;
	return result ? rk_fail_within(result, "histogram log") : 0;
}

static void free_log(struct rk_hist_log *log)
{
	free(log->plain);
	free(log->deflated);
	free(log->path);
	free(log);
}

static void put_head(FILE *file, const char *comment, uint64_t start_ns)
{
	time_t start_s = (time_t)(start_ns / 1000000000);
	char text[HIST_FIXED_BYTES];
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&start_s, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (comment)
		fprintf(file, "#%s\n", comment);
	fputs("#[Histogram log format version 1.3]\n", file);
	fprintf(file, "#[StartTime: %s (seconds since epoch), %s]\n", seconds(text, start_ns),
		date);
	fputs("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
	      "\"Interval_Compressed_Histogram\"\n",
	      file);
}

int rk_hist_log_open(struct rk_hist_log **out, const char *path, const char *comment,
		     uint64_t start_ns)
{
	struct rk_hist_log *log;
	int result;

	if (comment && strpbrk(comment, "\r\n"))
		return rk_fail(EINVAL, "histogram log '%s': comment of several lines: give one",
			       path);
	log = calloc(1, sizeof(*log));
	if (log)
		log->path = strdup(path);
	if (!log || !log->path) {
		free(log);
		return rk_fail(ENOMEM, "histogram log '%s': no memory", path);
	}
	log->file = fopen(path, "we");
	if (!log->file) {
		result = rk_fail(errno, "histogram log '%s': %s", path, strerror(errno));
		free_log(log);
		return result;
	}
	put_head(log->file, comment, start_ns);
	result = flush(log);
	if (result) {
		fclose(log->file);
		free_log(log);
		return result;
	}
	*out = log;
	return 0;
}

/* Returns the bytes in log->deflated, or -errno. */
static int64_t encode(struct rk_hist_log *log, const struct rk_hist *hist, uint64_t *highest_ns)
{
	int result = make_room(log, hist->length);
	uLongf bytes;
	size_t plain_bytes;
	uint8_t *at;

	if (result)
		return result;
	plain_bytes = encode_plain(log->plain, hist, highest_ns);
	bytes = log->deflated_bytes - DEFLATED_HEADER_BYTES;
	result = compress2(log->deflated + DEFLATED_HEADER_BYTES, &bytes, log->plain, plain_bytes,
			   Z_BEST_COMPRESSION);
	if (result != Z_OK)
		return rk_fail(ENOMEM, "histogram log '%s': zlib: %s", log->path, zError(result));
	at = put_big_endian(log->deflated, V2_DEFLATED_COOKIE, 4);
	put_big_endian(at, bytes, 4);
	return (int64_t)bytes + DEFLATED_HEADER_BYTES;
}

int rk_hist_log_write(struct rk_hist_log *log, const char *tag, uint64_t start_ns, uint64_t end_ns,
		      const struct rk_hist *hist)
{
	char text[HIST_FIXED_BYTES];
	uint64_t over = rk_hist_over(hist);
	uint64_t highest_ns = 0;
	int64_t bytes;

	if (log->error)
		return rk_fail(-log->error, "histogram log '%s': an earlier write failed: %s",
			       log->path, strerror(-log->error));
	if (tag && (!*tag || strpbrk(tag, ", \r\n")))
		return rk_fail(EINVAL, "histogram log '%s': tag '%s': no comma, blank, line break",
			       log->path, tag);
	if (end_ns < start_ns)
		return rk_fail(EINVAL, "histogram log '%s': the interval ends before it starts",
			       log->path);
	bytes = encode(log, hist, &highest_ns);
	if (bytes < 0)
		return (int)bytes;

	if (over)
		fprintf(log->file, "#[Over: %" PRIu64 " samples above %" PRIu64 " ns]\n", over,
			hist->highest_ns);
	if (tag)
		fprintf(log->file, "Tag=%s,", tag);
	fprintf(log->file, "%s,", seconds(text, start_ns));
	/* Of the times as written, so that start + length is the end. */
	fprintf(log->file, "%s,", seconds(text, (end_ns / 1000000 - start_ns / 1000000) * 1000000));
	/* By convention in milliseconds. */
	fprintf(log->file, "%s,",
		hist_fixed(text, highest_ns / 1000000, (highest_ns / 100 % 10000 + 5) / 10, 3));
	put_base64(log->file, log->deflated, (size_t)bytes);
	fputc('\n', log->file);
	return flush(log);
}

int rk_hist_log_close(struct rk_hist_log *log)
{
	int result;

	if (!log)
		return 0;
	result = log->error;
	if (result)
		rk_fail(-result, "histogram log '%s': a write failed: %s", log->path,
			strerror(-result));
	if (fclose(log->file) != 0 && !result)
		result = rk_fail(errno, "histogram log '%s': %s", log->path, strerror(errno));
	free_log(log);
	return result;
}

#else

int rk_hist_log_open(struct rk_hist_log **out, const char *path, const char *comment,
		     uint64_t start_ns)
{
	(void)out;
	(void)comment;
	(void)start_ns;
	return rk_fail(EOPNOTSUPP,
		       "histogram log '%s': built without zlib: apt install zlib1g-dev and rebuild",
		       path);
}

int rk_hist_log_write(struct rk_hist_log *log, const char *tag, uint64_t start_ns, uint64_t end_ns,
		      const struct rk_hist *hist)
{
	(void)log;
	(void)tag;
	(void)start_ns;
	(void)end_ns;
	(void)hist;
	return rk_fail(EOPNOTSUPP, "histogram log: built without zlib");
}

int rk_hist_log_close(struct rk_hist_log *log)
{
	(void)log;
	return 0;
}

#endif
