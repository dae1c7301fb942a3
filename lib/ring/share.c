// SPDX-License-Identifier: MIT
#include "ring/rk_share.h"
#include "rk_error.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct rk_share {
	struct rk_ring ring;
	char *memory;
	size_t bytes;
	int fd; /* an open file description of our own: the lock lives and dies with it */
	enum rk_role role;
};

static int format_and_seal(int fd, size_t bytes, uint64_t capacity, uint64_t start_position,
			   const char *name)
{
	struct rk_ring ring;
	void *memory;
	int result;

	if (ftruncate(fd, (off_t)bytes))
		return rk_fail(errno, "ring '%s': %zu bytes of shared memory: %m", name, bytes);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return rk_fail(errno, "ring '%s': map %zu bytes: %m", name, bytes);
	result = rk_ring_format(&ring, memory, bytes, capacity, start_position, name);
	munmap(memory, bytes);
	if (!result && fcntl(fd, F_ADD_SEALS, SEALS))
		result = rk_fail(errno, "ring '%s': seal the memory against resizing: %m", name);
	return result;
}

int rk_share_create(int *fd, uint64_t capacity, uint64_t start_position, const char *name_in)
{
	size_t bytes = rk_ring_bytes(capacity);
	char name[RK_RING_NAME_BYTES];
	int result, memory;

	/* memfd_create(2) refuses long names, the ring cuts them: cut here for both. */
	snprintf(name, sizeof(name), "%s", name_in ? name_in : "");
	if (!bytes)
		return rk_fail(EINVAL,
			       "ring '%s': capacity %llu slots: give a power of two from %d to %llu",
			       name, (unsigned long long)capacity, RK_RING_MIN_CAPACITY,
			       RK_RING_MAX_CAPACITY);
	memory = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0)
		return rk_fail(errno, "ring '%s': memfd_create: %m", name);
	result = format_and_seal(memory, bytes, capacity, start_position, name);
	if (result) {
		close(memory);
		return result;
	}
	*fd = memory;
	return 0;
}

static int lock_end(const struct rk_share *share)
{
	const char *role = share->role == RK_ROLE_PRODUCER ? "producer" : "consumer";
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = share->role, .l_len = 1};

	if (!fcntl(share->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return rk_fail(EBUSY, "ring '%s': it has a %s already: detach that one first",
			       share->ring.name, role);
	return rk_fail(errno, "ring '%s': lock its %s's end: %m", share->ring.name, role);
}

/* Reopen @fd for an open file description that no other process shares. */
static int reopen(int fd, size_t *bytes)
{
	char path[32];
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS), own;

	if (seals < 0 || (seals & SEALS) != SEALS)
		return rk_fail(EPERM,
			       "ring: descriptor %d can be resized by others: pass the memfd that "
			       "rk_share_create() made",
			       fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDWR | O_CLOEXEC);
	if (own < 0)
		return rk_fail(errno, "ring: open %s: %m", path);
	if (fstat(own, &status)) {
		int error = errno;

		close(own);
		return rk_fail(error, "ring: fstat: %s", strerror(error));
	}
	*bytes = (size_t)status.st_size;
	return own;
}

/* What the other side writes, this side maps read-only. */
static int protect(struct rk_share *share)
{
	bool producer = share->role == RK_ROLE_PRODUCER;

	if (mprotect(share->memory, RK_PAGE_BYTES, PROT_READ) ||
	    (producer && mprotect(share->ring.credit, RK_PAGE_BYTES, PROT_READ)))
		return rk_fail(errno, "ring '%s': mprotect: %m", share->ring.name);
	/* A child that went on using our end would be a second one. */
	if (madvise(share->memory, share->bytes, MADV_DONTFORK))
		return rk_fail(errno, "ring '%s': madvise: %m", share->ring.name);
	return 0;
}

int rk_share_attach(struct rk_share **out, int fd, enum rk_role role)
{
	struct rk_share *share;
	int result;

	if (role != RK_ROLE_PRODUCER && role != RK_ROLE_CONSUMER)
		return rk_fail(EINVAL, "ring: role %d: give RK_ROLE_PRODUCER or RK_ROLE_CONSUMER",
			       (int)role);
	share = calloc(1, sizeof(*share));
	if (!share)
		return rk_fail(ENOMEM, "ring: no memory for its handle");
	share->role = role;
	share->memory = MAP_FAILED;
	share->fd = result = reopen(fd, &share->bytes);
	if (result < 0)
		goto fail;
	share->memory = mmap(NULL, share->bytes ? share->bytes : 1, PROT_READ | PROT_WRITE,
			     MAP_SHARED, share->fd, 0);
	if (share->memory == MAP_FAILED) {
		result = rk_fail(errno, "ring: map %zu bytes: %m", share->bytes);
		goto fail;
	}
	result = rk_ring_attach(&share->ring, share->memory, share->bytes);
	if (!result)
		result = lock_end(share);
	if (!result)
		result = protect(share);
	if (result)
		goto fail;
	/* Ordered before anything that this end will send: a sleeper sees it, or its wake comes. */
	__atomic_store_n(&share->ring.sleep->unguarded[role], !rk_wake_guard(true),
			 __ATOMIC_SEQ_CST);
	*out = share;
	return 0;
fail:
	rk_share_detach(share);
	return result;
}

const struct rk_ring *rk_share_ring(const struct rk_share *share)
{
	return &share->ring;
}

int rk_share_peer(const struct rk_share *share)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = !share->role, .l_len = 1};

	if (fcntl(share->fd, F_OFD_GETLK, &lock))
		return rk_fail(errno, "ring '%s': ask for its other end: %m", share->ring.name);
	return lock.l_type != F_UNLCK;
}

void rk_share_detach(struct rk_share *share)
{
	if (!share)
		return;
	if (share->memory != MAP_FAILED)
		munmap(share->memory, share->bytes ? share->bytes : 1);
	if (share->fd >= 0)
		close(share->fd);
	free(share);
}
