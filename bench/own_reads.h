/* SPDX-License-Identifier: MIT */
/*
 * own_reads.h - operations on a file that are started by stores into an io_uring (rk_io.h), by a thread
 * of a CPU: what a device's are compared with, and the file for both.
 */
#ifndef BENCH_OWN_READS_H
#define BENCH_OWN_READS_H

#include "rk_io.h"

enum {
	OWN_BLOCK_BYTES = 4096,
	OWN_FILE_BYTES = 16 << 20,
	OWN_DEPTH_MOST = 64,
	OWN_PATH_BYTES = 32,
};

RK_BEGIN_DECLS

/* A file in the working directory. Its descriptor, or -errno, said; @path is the caller's to unlink. */
int bench_own_file(char path[OWN_PATH_BYTES]);

/*
 * Keep @depth of @op in flight until @count have completed: RK_IO_READ of a block, or RK_IO_NOP, which
 * is the kernel's work without the file. ns of each, or 0 if one failed or all took too long.
 */
double bench_own_many(struct rk_io *io, enum rk_io_op op, uint32_t depth, uint32_t count);

RK_END_DECLS

#endif
