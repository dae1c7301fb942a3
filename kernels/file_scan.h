/* SPDX-License-Identifier: MIT */
/*
 * file_scan.h - an actor that reads a whole file by itself, many blocks in flight, and says what is
 * in it: a checksum and how often each byte value occurs.
 *
 * The checksum is that of the file, in whatever order its blocks come: two sums, modulo 2^64, over
 * its 8-byte little-endian words w(0), w(1)..., the last filled with zeros: the sum of w(i), and
 * that of (i + 1) * w(i).
 */
#ifndef RK_FILE_SCAN_H
#define RK_FILE_SCAN_H

#include "rk_handler.h"
#include "rk_io.h"

enum {
	RK_FILE_SCAN_RESULT =
		RK_MSG_USER + 0x30,	  /* struct rk_file_scan_result; after the last block */
	RK_FILE_SCAN_BLOCK_BYTES = 65536, /* of a read, if the argument is 0 */
};

/**
 * struct rk_file_scan_result - what is in the file
 * @bytes: read
 * @sum: of words
 * @weighted_sum: of words, each times its number from 1
 * @histogram: occurrences of each byte value
 */
struct rk_file_scan_result {
	uint64_t bytes;
	uint64_t sum;
	uint64_t weighted_sum;
	uint64_t histogram[256];
};

/**
 * struct rk_file_scan_state - the actor's state
 * @result: so far
 * @io: address of struct rk_io; 0 before RK_MSG_IO_OPEN
 * @file_bytes: of the file
 * @next: where the next read begins
 * @block_bytes: of a read
 * @in_flight: reads
 * @reads: completed
 * @short_reads: that brought fewer bytes than were asked for, and were continued
 * @errors: reads that failed
 * @first_error: errno of the first; 0 none
 * @sends_dropped: not taken by rk_send()
 */
struct rk_file_scan_state {
	struct rk_file_scan_result result;
	uint64_t io;
	uint64_t file_bytes;
	uint64_t next;
	uint64_t block_bytes;
	uint64_t in_flight;
	uint64_t reads;
	uint64_t short_reads;
	uint64_t errors;
	uint64_t first_error;
	uint64_t sends_dropped;
};

RK_BEGIN_DECLS

/**
 * rk_file_scan() - the handler
 * @ctx: the actor's context
 * @state: struct rk_file_scan_state
 * @msg: RK_MSG_START: bytes of a block, a multiple of 4096; RK_MSG_IO_OPEN; RK_MSG_IO_DONE
 *
 * Context: called by a backend, host or device; all lanes read what has come, the leader does the rest.
 */
RK_DEVICE void rk_file_scan(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

RK_END_DECLS

#endif
