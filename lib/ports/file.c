// SPDX-License-Identifier: MIT
/* Port file, the kind, and what its two directions share. */
#include "ports/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(const char *path, int flags, int *fd, uint64_t *bytes)
{
	const char *doing = flags & O_CREAT ? "create" : "open";
	struct stat about;
	off_t end;

	*fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0666);
	if (*fd < 0 && errno == EINVAL && flags & O_DIRECT)
		return rk_fail(EINVAL,
			       "%s '%s': its file system has no direct I/O: leave out direct",
			       doing, path);
	if (*fd < 0)
		return rk_fail(errno, "%s '%s': %s", doing, path, strerror(errno));
	if (fstat(*fd, &about))
		return rk_fail(errno, "'%s': %s", path, strerror(errno));
	if (S_ISDIR(about.st_mode))
		return rk_fail(EISDIR, "'%s' is a directory: name a file in it", path);
	if (!S_ISREG(about.st_mode) && !S_ISBLK(about.st_mode))
		return rk_fail(EINVAL, "'%s' is neither a regular file nor a block device", path);
	end = lseek(*fd, 0, SEEK_END);
	if (end < 0)
		return rk_fail(errno, "'%s': %s", path, strerror(errno));
	*bytes = (uint64_t)end;
	return 0;
}

int file_failed(const char *doing, uint64_t offset, int error)
{
	return rk_fail(error, "%s at byte %" PRIu64 ": %s%s", doing, offset, strerror(error),
		       error == ENOSPC	 ? ": what was whole before it is in the file: make room"
		       : error == EINVAL ? ": direct I/O wants larger blocks here"
					 : "");
}

#define OPTIONS                                                                                    \
	"block=BYTES        in: of a message (default 4096, at most 14248); the last is shorter\n" \
	"qd=N               in: reads in flight, 1 to 128 (default 32)\n"                          \
	"offset=BYTES       in: begin there\n"                                                     \
	"bytes=N            in: end after N bytes of the file\n"                                   \
	"loops=N            in: read it N times\n"                                                 \
	"direct             past the page cache (O_DIRECT)\n"                                      \
	"sqpoll             by a thread of the kernel: no system calls, and a CPU more\n"          \
	"append             out: behind what is in the file\n"                                     \
	"sync               out: closing waits until it is on the disk"

const struct port_kind port_file = {
	.about = {"file", "in: reads a file or block device in blocks; out: writes payloads to one",
		  OPTIONS, NULL},
	.in = &port_file_in,
	.out = &port_file_out,
};
