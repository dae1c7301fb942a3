// SPDX-License-Identifier: MIT
/* Operations on a file, started by stores into an io_uring, by a thread of a CPU. */
#include "bench/own_reads.h"
#include "clock.h"
#include "rk_error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS 5000000000ULL

int bench_own_file(char path[OWN_PATH_BYTES])
{
	static uint8_t part[1 << 20];
	int fd;

	strcpy(path, "ringkernel-bench-XXXXXX");
	fd = mkstemp(path);
	for (uint32_t i = 0; fd >= 0 && i < OWN_FILE_BYTES / sizeof(part); i++)
		if (write(fd, part, sizeof(part)) != sizeof(part)) {
			close(fd);
			unlink(path);
			fd = -1;
		}
	if (fd < 0)
		return rk_fail(errno ? errno : EIO, "a file in the working directory: %s",
			       strerror(errno));
	return fd;
}

double bench_own_many(struct rk_io *io, enum rk_io_op op, uint32_t depth, uint32_t count)
{
	const int32_t bytes = op == RK_IO_READ ? OWN_BLOCK_BYTES : 0;
	uint64_t start_ns = now_ns(), deadline_ns = start_ns + PATIENCE_NS;
	uint32_t started = 0, done = 0;
	struct rk_msg msg;

	while (done < count) {
		const struct rk_io_done *about = (const struct rk_io_done *)msg.body;

		for (; started < count && started - done < depth; started++)
			rk_io_submit(io, op, 0, (uint64_t)started * OWN_BLOCK_BYTES % OWN_FILE_BYTES,
				     started % depth * OWN_BLOCK_BYTES, (uint32_t)bytes, started);
		if (rk_io_reap(io, &msg)) {
			if (about->result != bytes)
				return 0;
			done++;
		} else if (now_ns() > deadline_ns) {
			return 0;
		}
	}
	return (double)(now_ns() - start_ns) / count;
}
