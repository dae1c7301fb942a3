// SPDX-License-Identifier: MIT
/*
 * Open loop: messages are due at fixed times and are sent then or, when this thread was late, as
 * soon as it can; latency counts from when each was due. So a stall shows in all that it delayed.
 */
#include "gpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND_MOST = 64, GOT_MOST = 256, OPEN_SLOTS = 65536 };

struct loop {
	struct gpu_bench *bench;
	struct gpu_stage *stage;
	struct rk_hist *hist;
	struct rk_msg *out;
	struct rk_msg *got;
	double ticks_each;
	uint64_t start_ticks;
	uint64_t messages; /* in all */
	uint64_t sent;
	uint64_t received;
	uint64_t late_most; /* messages due and not sent, at the worst */
};

static void fill(struct rk_msg *msg, uint64_t number)
{
	*msg = (struct rk_msg){.type = RK_MSG_USER, .slots = 1, .tag = (uint32_t)number};
	bench_fill(msg->body, number);
}

/* Send what is due by @now. Return: messages, or -errno, said. */
static int send_due(struct loop *loop, uint64_t now)
{
	uint64_t due = (uint64_t)((double)(now - loop->start_ticks) / loop->ticks_each) + 1, late;
	uint32_t count;
	int sent;

	if (due > loop->messages)
		due = loop->messages;
	if (due <= loop->sent)
		return 0;
	late = due - loop->sent;
	if (late > loop->late_most)
		loop->late_most = late;
	count = late < SEND_MOST ? (uint32_t)late : SEND_MOST;
	for (uint32_t i = 0; i < count; i++)
		fill(&loop->out[i], loop->sent + i);
	sent = rk_ring_send_batch(loop->stage->to, loop->out, count);
	if (sent < 0)
		return rk_fail(-sent, "send: %s", strerror(-sent));
	loop->sent += (uint64_t)sent;
	return sent;
}

/* Take what has come and note how long after its due time. Return: messages, or -errno, said. */
static int receive(struct loop *loop)
{
	struct bench_check check = {{{0}}};
	int count = rk_ring_recv_batch(loop->stage->from, loop->got, GOT_MOST);
	uint64_t now = bench_ticks();

	if (count < 0)
		return rk_fail(-count, "receive: %s", strerror(-count));
	for (int i = 0; i < count; i++) {
		uint64_t number = loop->received + (uint64_t)i;
		double due = (double)number * loop->ticks_each,
		       is = (double)(now - loop->start_ticks);

		if (loop->got[i].tag != (uint32_t)number)
			return rk_fail(EIO, "message %" PRIu64 " is missing or out of order",
				       number);
		bench_compare(&check, loop->got[i].body, number);
		rk_hist_record(loop->hist,
			       is > due ? gpu_ns(loop->bench, (uint64_t)(is - due)) : 0);
	}
	loop->received += (uint64_t)count;
	return bench_is_wrong(&check) ? rk_fail(EIO, "a message came back changed") : count;
}

static int run(struct loop *loop)
{
	struct gpu_patience patience = {.misses = 0};

	loop->start_ticks = bench_ticks();
	while (loop->received < loop->messages) {
		int sent = send_due(loop, bench_ticks()), got;

		if (sent < 0)
			return sent;
		got = receive(loop);
		if (got < 0)
			return got;
		if (sent || got)
			gpu_came(&patience);
		else if ((got = gpu_still_waiting(&patience, "messages")))
			return got;
	}
	return 0;
}

static void report(struct loop *loop, const struct gpu_proof *proof)
{
	struct gpu_report *report = loop->bench->report;
	char text[160];

	snprintf(text, sizeof(text),
		 "Open loop, %" PRIu64 " messages/s for %" PRIu64
		 " s through echo (a block), from when each was due, ns",
		 loop->bench->options.rate, loop->bench->options.seconds);
	gpu_report_heading(report, text);
	gpu_report_latency(report, "one thread in and out, at most 64 a call", loop->hist, proof);
	gpu_report_note(report,
			"  %" PRIu64 " sent, %" PRIu64 " lost; at the worst %" PRIu64
			" were due at once",
			loop->sent, loop->sent - loop->received, loop->late_most);
	gpu_report_bar(report, "open_loop_lost", (double)(loop->sent - loop->received));
}

static int measure(struct loop *loop)
{
	const struct gpu_stage_opts opts = {.type = rk_actor_type_find("echo"),
					    .group = RK_GROUP_BLOCK,
					    .slots = OPEN_SLOTS,
					    .answers = true};
	struct gpu_proof proof = {0};
	int result = gpu_stage_open(loop->stage, loop->bench, &opts);

	if (result)
		return result;
	gpu_pin(loop->bench);
	result = run(loop);
	gpu_unpin(loop->bench);
	if (!result)
		result = gpu_prove(loop->stage->actor, loop->sent, loop->sent, &proof);
	if (!result)
		report(loop, &proof);
	return gpu_runtime_close(loop->stage->runtime, result);
}

int gpu_row_open(struct gpu_bench *bench)
{
	struct gpu_stage stage;
	struct loop loop = {.bench = bench,
			    .stage = &stage,
			    .out = calloc(SEND_MOST, sizeof(struct rk_msg)),
			    .got = calloc(GOT_MOST, sizeof(struct rk_msg)),
			    .ticks_each = 1e9 / (double)bench->options.rate / bench->ns_per_tick,
			    .messages = bench->options.rate * bench->options.seconds};
	int result = loop.out && loop.got && !rk_hist_open(&loop.hist, 0)
			     ? measure(&loop)
			     : rk_fail(ENOMEM, "no memory");

	rk_hist_close(loop.hist);
	free(loop.out);
	free(loop.got);
	return result;
}
