// SPDX-License-Identifier: MIT
/*
 * One file, durably: written under another name, synced, renamed, and the folder synced. Whoever
 * dies in between leaves the old files, and one that nobody takes for a snapshot.
 */
#include "snapshot/format.h"
#include "rk_error.h"
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20)

static int write_plainly(int fd, const uint8_t *at, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t wrote = pwrite(fd, at + done, bytes - done, (off_t)done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote ? -errno : -EIO;
		done += (size_t)wrote;
	}
	return fsync(fd) ? -errno : 0;
}

#if RK_HAVE_URING

#include <liburing.h>

enum { DEPTH = 8 };

/* A part of the file in flight: [from, to). */
struct piece {
	size_t from;
	size_t to;
};

static void submit(struct io_uring *ring, int fd, const uint8_t *at, struct piece *piece)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_write(sqe, fd, at + piece->from, (unsigned int)(piece->to - piece->from),
			    piece->from);
	io_uring_sqe_set_data(sqe, piece);
}

/* One completion, waited for: its result, and what it was about. 0 or -errno. */
static int reap(struct io_uring *ring, struct piece **piece, int *done)
{
	struct io_uring_cqe *cqe;
	int result;

	do
		result = io_uring_submit_and_wait(ring, 1);
	while (result == -EINTR);
	if (result < 0)
		return result;
	result = io_uring_peek_cqe(ring, &cqe);
	if (result)
		return result;
	*done = cqe->res;
	*piece = io_uring_cqe_get_data(cqe);
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

/* What comes after all that was handed out; empty at the end. */
static struct piece next_piece(size_t *next, size_t bytes)
{
	struct piece piece = {.from = *next};

	*next += bytes - *next < CHUNK_BYTES ? bytes - *next : CHUNK_BYTES;
	piece.to = *next;
	return piece;
}

/* Pieces of the file, up to DEPTH at once; the first error, once none is in flight any more. */
static int write_pieces(struct io_uring *ring, int fd, const uint8_t *at, size_t bytes)
{
	struct piece pieces[DEPTH], *piece;
	size_t next = 0;
	int busy = 0, failed = 0, done, result;

	for (; busy < DEPTH && next < bytes; busy++) {
		pieces[busy] = next_piece(&next, bytes);
		submit(ring, fd, at, &pieces[busy]);
	}
	while (busy) {
		result = reap(ring, &piece, &done);
		if (result)
			return result;
		if (done > 0)
			piece->from += (size_t)done;
		else if (done != -EINTR && done != -EAGAIN && !failed)
			failed = done ? done : -EIO;
		if (piece->from == piece->to)
			*piece = next_piece(&next, bytes);
		if (piece->from == piece->to || failed)
			busy--;
		else
			submit(ring, fd, at, piece);
	}
	return failed;
}

static int sync_file(struct io_uring *ring, int fd)
{
	struct piece *none;
	int done = 0, result;

	io_uring_prep_fsync(io_uring_get_sqe(ring), fd, 0);
	result = reap(ring, &none, &done);
	return result ? result : done;
}

static int write_and_sync(int fd, const uint8_t *at, size_t bytes, bool plain)
{
	struct io_uring ring;
	int result;

	if (plain || io_uring_queue_init(DEPTH, &ring, 0))
		return write_plainly(fd, at, bytes);
	result = write_pieces(&ring, fd, at, bytes);
	if (!result)
		result = sync_file(&ring, fd);
	io_uring_queue_exit(&ring);
	return result;
}

#else

static int write_and_sync(int fd, const uint8_t *at, size_t bytes, bool plain)
{
	(void)plain;
	return write_plainly(fd, at, bytes);
}

#endif

int snapshot_save(const struct snapshot_bytes *bytes, int folder, const char *name, bool plain)
{
	char unready[SNAPSHOT_NAME_BYTES + sizeof(SNAPSHOT_UNREADY)];
	int fd, result;

	snprintf(unready, sizeof(unready), "%s%s", name, SNAPSHOT_UNREADY);
	fd = openat(folder, unready, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return rk_fail(errno, "snapshot '%s': open: %s", unready, strerror(errno));
	result = write_and_sync(fd, bytes->at, bytes->used, plain);
	close(fd);
	if (!result && renameat(folder, unready, folder, name))
		result = -errno;
	if (result) {
		unlinkat(folder, unready, 0);
		return rk_fail(
			-result,
			"snapshot '%s': write of %zu bytes: %s: the earlier ones are as they "
			"were",
			name, bytes->used, strerror(-result));
	}
	if (fsync(folder))
		return rk_fail(errno, "snapshot '%s': fsync of its folder: %s", name,
			       strerror(errno));
	return 0;
}
