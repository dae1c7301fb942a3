/* SPDX-License-Identifier: MIT */
/*
 * io_handlers.h - an actor that does I/O of its own as it is told, for every backend: compiled into
 * the test for cpu, and carried by it as text for the run-time compiler of GPUs.
 */
#include "rk_handler.h"
#include "rk_io.h"

enum io_type {
	IO_READY =
		RK_MSG_USER, /* the ring is there; and the answer to IO_READS: struct io_report */
	IO_READS,	     /* struct io_reads */
	IO_WRITE,	     /* write to a file that is there to be read */
	IO_RECV,	     /* as many receives as there is room for */
	IO_SEND,	     /* the payload, as a datagram, from the buffer of the message's tag */
	IO_SENT,
	IO_END,
};

enum { IO_ROOM = 64 }; /* of one datagram */

/* So many reads of so many bytes, one behind the other, from an offset on; so many at once. */
struct io_reads {
	uint64_t count, depth, bytes, offset;
};

/* Of what was read: the sum of the first word of each, which tells where in the file it was. */
struct io_report {
	uint64_t done, bytes, failed, full, sum;
	int64_t error; /* the last */
};

struct io_state {
	struct io_reads reads;
	struct io_report report;
	struct rk_io *io;
	uint64_t started, in_flight;
};

RK_BEGIN_DECLS
RK_DEVICE void test_io(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_END_DECLS

static RK_DEVICE void io_start(struct io_state *s, uint32_t tag)
{
	int result;

	if (s->started == s->reads.count)
		return;
	result = rk_io_read(s->io, 0, s->reads.offset + s->started * s->reads.bytes,
			    tag * s->reads.bytes, (uint32_t)s->reads.bytes, tag);
	s->report.full += result == 0;
	s->report.failed += result < 0;
	s->started += result != 0;
	s->in_flight += result > 0;
}

static RK_DEVICE void io_done(struct rk_ctx *ctx, struct io_state *s, uint32_t tag,
			      const struct rk_io_done *done)
{
	s->in_flight--;
	s->report.done++;
	if (done->result < 0) {
		s->report.failed++;
		s->report.error = done->result;
	} else {
		s->report.bytes += (uint32_t)done->result;
	}
	if (done->result >= 8)
		s->report.sum += *(const volatile uint64_t *)rk_io_buffer(s->io, done->buffer);
	io_start(s, tag);
	if (!s->in_flight)
		rk_send(ctx, 0, IO_READY, 0, &s->report, sizeof(s->report));
}

static RK_DEVICE void io_send(struct io_state *s, uint32_t tag, const void *payload)
{
	const uint64_t *from = (const uint64_t *)payload;
	volatile uint64_t *to = (volatile uint64_t *)rk_io_buffer(s->io, (uint64_t)tag * IO_ROOM);

	for (uint32_t i = 0; i < RK_MSG_BODY_BYTES / 8; i++)
		to[i] = from[i];
	s->report.failed +=
		rk_io_send(s->io, 0, (uint64_t)tag * IO_ROOM, RK_MSG_BODY_BYTES, tag) != 1;
}

static RK_DEVICE void io_order(struct rk_ctx *ctx, struct io_state *s, const struct rk_msg *msg,
			       const void *payload)
{
	const struct io_report none = {0, 0, 0, 0, 0, 0};

	s->report = none;
	s->started = s->in_flight = 0;
	if (msg->type == IO_READS) {
		s->reads = *(const struct io_reads *)payload;
		for (uint32_t i = 0; i < s->reads.depth; i++)
			io_start(s, i);
	} else if (msg->type == IO_WRITE) {
		s->reads.count = 0;
		s->in_flight += rk_io_write(s->io, 0, 0, 0, 8, 0) == 1;
	} else {
		for (uint32_t i = 0; rk_io_recv(s->io, 0, (uint64_t)i * IO_ROOM, IO_ROOM, i) == 1;
		     i++)
			s->in_flight++;
	}
	if (!s->in_flight)
		rk_send(ctx, 0, IO_READY, 0, &s->report, sizeof(s->report));
}

RK_DEVICE void test_io(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct io_state *s = (struct io_state *)state;
	const void *payload = rk_msg_payload(msg);
	const struct rk_io_done *done = (const struct rk_io_done *)payload;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_IO_OPEN) {
		s->io = (struct rk_io *)(uintptr_t)((const struct rk_io_open *)payload)->io;
		rk_send(ctx, 0, IO_READY, 0, &s->report, sizeof(s->report));
	} else if (msg->type == RK_MSG_IO_DONE && done->op == RK_IO_SEND) {
		s->report.failed += done->result != RK_MSG_BODY_BYTES;
		rk_send(ctx, 0, IO_SENT, msg->tag, &s->report, sizeof(s->report));
	} else if (msg->type == RK_MSG_IO_DONE) {
		io_done(ctx, s, msg->tag, done);
	} else if (msg->type == IO_SEND) {
		io_send(s, msg->tag, payload);
	} else if (msg->type == IO_END) {
		rk_io_finish(s->io);
	} else if (msg->type >= RK_MSG_USER) {
		io_order(ctx, s, msg, payload);
	}
}
