// SPDX-License-Identifier: MIT
/*
 * file_scan.c - the handler of file_scan.h.
 *
 * The buffers are cut into blocks; each block is one read in flight, and its tag. When a block has
 * come all lanes scan it where it lies, and its buffer is used for the next read.
 */
#include "file_scan.h"

static RK_DEVICE struct rk_io *io_of(const struct rk_file_scan_state *s)
{
	return (struct rk_io *)(uintptr_t)s->io;
}

/* One byte of the file at @position; it may be the last of a word that the file does not fill. */
static RK_DEVICE void scan_byte(const struct rk_ctx *ctx, struct rk_file_scan_result *result,
				uint64_t position, uint8_t byte)
{
	uint64_t part = (uint64_t)byte << (position % 8 * 8);

	rk_add(ctx, &result->sum, part);
	rk_add(ctx, &result->weighted_sum, (position / 8 + 1) * part);
	rk_add(ctx, &result->histogram[byte], 1);
}

/* A whole word; equal bytes in a row are counted together. */
static RK_DEVICE void scan_histogram(const struct rk_ctx *ctx, struct rk_file_scan_result *result,
				     uint64_t word)
{
	uint32_t run = 1;

	for (uint32_t i = 0; i < 8; i++, run++) {
		uint8_t byte = (uint8_t)(word >> (8 * i));

		if (i < 7 && byte == (uint8_t)(word >> (8 * i + 8)))
			continue;
		rk_add(ctx, &result->histogram[byte], run);
		run = 0;
	}
}

/*
 * @bytes that were read, each lane its words; what is no whole word the leader. A read that came short
 * goes on in the middle of a word, of the file as of the buffer.
 */
static RK_DEVICE void scan(struct rk_ctx *ctx, struct rk_file_scan_result *result,
			   const uint8_t *data, uint64_t offset, uint32_t bytes)
{
	uint32_t before = (uint32_t)(-offset % 8), words;
	uint64_t sum = 0, weighted_sum = 0, first;

	before = before < bytes ? before : bytes;
	words = (bytes - before) / 8;
	first = (offset + before) / 8;
	for (uint32_t i = rk_lane(ctx); i < words; i += rk_lanes(ctx)) {
		uint64_t word = *(const uint64_t *)(data + before + 8 * i);

		sum += word;
		weighted_sum += (first + i + 1) * word;
		scan_histogram(ctx, result, word);
	}
	rk_add(ctx, &result->sum, sum);
	rk_add(ctx, &result->weighted_sum, weighted_sum);
	if (rk_lane(ctx))
		return;
	for (uint32_t at = 0; at < before; at++)
		scan_byte(ctx, result, offset + at, data[at]);
	for (uint32_t at = before + 8 * words; at < bytes; at++)
		scan_byte(ctx, result, offset + at, data[at]);
	result->bytes += bytes;
}

/* Read @bytes at @offset to @buffer, as block @tag. */
static RK_DEVICE void read_block(struct rk_file_scan_state *s, uint64_t offset, uint64_t buffer,
				 uint32_t bytes, uint32_t tag)
{
	int started = rk_io_read(io_of(s), 0, offset, buffer, bytes, tag);

	if (started > 0) {
		s->in_flight++;
		return;
	}
	/* Not to be: there are no more blocks than slots, and no block beyond the buffers. */
	s->errors++;
	s->first_error = s->first_error ? s->first_error : (uint64_t)-RK_IO_EINVAL;
}

/* Read the next block of the file into the buffer of block @tag, if there is one. */
static RK_DEVICE void read_next(struct rk_file_scan_state *s, uint32_t tag)
{
	if (s->next >= s->file_bytes || s->errors)
		return;
	/* Whole blocks, also at the file's end: direct I/O knows nothing else. */
	read_block(s, s->next, tag * s->block_bytes, (uint32_t)s->block_bytes, tag);
	s->next += s->block_bytes;
}

/* What all lanes have added is there. */
static RK_DEVICE void finish(struct rk_ctx *ctx, struct rk_file_scan_state *s)
{
	rk_acquire(ctx);
	if (!rk_send(ctx, 0, RK_FILE_SCAN_RESULT, 0, &s->result, sizeof(s->result)))
		s->sends_dropped++;
	rk_io_finish(io_of(s));
	s->io = 0;
}

static RK_DEVICE void open_ring(struct rk_ctx *ctx, struct rk_file_scan_state *s,
				const struct rk_io_open *about)
{
	uint64_t blocks = about->buffers_bytes / s->block_bytes;

	s->io = about->io;
	s->file_bytes = about->file_bytes;
	if (blocks > about->slots)
		blocks = about->slots;
	if (!blocks && s->file_bytes) {
		s->errors++;
		s->first_error = (uint64_t)-RK_IO_EINVAL;
	}
	for (uint32_t tag = 0; tag < blocks; tag++)
		read_next(s, tag);
	if (!s->in_flight)
		finish(ctx, s);
}

static RK_DEVICE void take_block(struct rk_ctx *ctx, struct rk_file_scan_state *s, uint32_t tag,
				 const struct rk_io_done *done)
{
	uint64_t end = done->offset + (done->result > 0 ? (uint64_t)done->result : 0);

	s->in_flight--;
	s->reads++;
	if (done->result < 0) {
		s->errors++;
		s->first_error =
			s->first_error ? s->first_error : (uint64_t) - (int64_t)done->result;
	}
	if (done->result > 0 && (uint32_t)done->result < done->bytes && end < s->file_bytes) {
		s->short_reads++;
		read_block(s, end, done->buffer + (uint32_t)done->result,
			   done->bytes - (uint32_t)done->result, tag);
	} else {
		read_next(s, tag);
	}
	if (!s->in_flight)
		finish(ctx, s);
}

RK_DEVICE void rk_file_scan(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_file_scan_state *s = (struct rk_file_scan_state *)state;
	const uint8_t *payload = rk_msg_payload(msg);
	const struct rk_io_done *done = (const struct rk_io_done *)payload;
	int read = msg->type == RK_MSG_IO_DONE && s->io;

	if (read && done->result > 0) {
		rk_acquire(ctx);
		scan(ctx, &s->result, rk_io_buffer(io_of(s), done->buffer), done->offset,
		     (uint32_t)done->result);
	}
	/* Nobody reads the buffer any more: it is used for the next block. */
	rk_any(ctx, 0);
	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START) {
		s->block_bytes = *(const uint64_t *)payload;
		if (!s->block_bytes)
			s->block_bytes = RK_FILE_SCAN_BLOCK_BYTES;
	} else if (msg->type == RK_MSG_IO_OPEN && !s->io) {
		open_ring(ctx, s, (const struct rk_io_open *)payload);
	} else if (read) {
		take_block(ctx, s, msg->tag, done);
	}
}
