// SPDX-License-Identifier: MIT
/*
 * file_scan.c - the handler of file_scan.h.
 *
 * The buffers are cut into blocks; each block is one read in flight, and its tag. When a block has
 * come it is scanned where it lies and its buffer is used for the next read.
 */
#include "file_scan.h"

static RK_DEVICE struct rk_io *io_of(const struct rk_file_scan_state *s)
{
	return (struct rk_io *)(uintptr_t)s->io;
}

/* Bytes behind the end of the file count as zeros in the last word, and nowhere else. */
static RK_DEVICE void scan(struct rk_file_scan_result *result, const uint8_t *data, uint64_t offset,
			   uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at++) {
		uint64_t position = offset + at;
		uint64_t part = (uint64_t)data[at] << (position % 8 * 8);

		result->sum += part;
		result->weighted_sum += (position / 8 + 1) * part;
		result->histogram[data[at]]++;
	}
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

static RK_DEVICE void finish(struct rk_ctx *ctx, struct rk_file_scan_state *s)
{
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
	} else if (done->result) {
		scan(&s->result, rk_io_buffer(io_of(s), done->buffer), done->offset,
		     (uint32_t)done->result);
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

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START) {
		s->block_bytes = *(const uint64_t *)payload;
		if (!s->block_bytes)
			s->block_bytes = RK_FILE_SCAN_BLOCK_BYTES;
	} else if (msg->type == RK_MSG_IO_OPEN && !s->io) {
		open_ring(ctx, s, (const struct rk_io_open *)payload);
	} else if (msg->type == RK_MSG_IO_DONE && s->io) {
		take_block(ctx, s, msg->tag, (const struct rk_io_done *)payload);
	}
}
