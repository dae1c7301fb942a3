/* SPDX-License-Identifier: MIT */
/*
 * rk_share.h - a ring between two processes.
 *
 * The ring lies in a memfd, sealed so that nobody can shrink it under the other's feet. Pass the
 * descriptor over a Unix socket, by inheritance, or as /proc/PID/fd/N. Each side maps read-only
 * what is not its to write, and holds an open-file-description lock that says it is there: the
 * kernel drops it when the process dies, so a second producer is refused and a dead one is seen.
 */
#ifndef RK_SHARE_H
#define RK_SHARE_H

#include "ring/rk_ring.h"

struct rk_share;

RK_BEGIN_DECLS

/**
 * rk_share_create() - make a ring that other processes can attach to
 * @fd: out; a sealed memfd, close-on-exec
 * @capacity: slots, as in rk_ring_format()
 * @start_position: 0; other values are for tests of wrap-around
 * @name: shown in /proc/PID/fd and in messages; cut to RK_RING_NAME_BYTES - 1 bytes
 *
 * Context: any thread; sleeps.
 * Owner: the caller closes @fd; the memory lives as long as anyone has it open or mapped.
 * Return: 0; -EINVAL for the capacity; the errno of memfd_create(2), ftruncate(2), mmap(2) or
 * fcntl(2); said in rk_errmsg().
 */
RK_API int rk_share_create(int *fd, uint64_t capacity, uint64_t start_position, const char *name);

/**
 * rk_share_attach() - map a ring and take one of its ends
 * @share: out
 * @fd: from rk_share_create(), possibly of another process; only read, stays the caller's
 * @role: the end to take
 *
 * Context: any thread; sleeps.
 * Owner: rk_share_detach() frees @share. A child of fork() must attach again for itself; while it
 * lives without exec(2), it keeps the parent's end looking held.
 * Return: 0; -EINVAL for @role; -EPERM when @fd can still be shrunk (no sealed memfd); -EPROTO as rk_ring_attach();
 * -EBUSY when a living process holds that end; the errno of open(2), fstat(2) or mmap(2); said in
 * rk_errmsg().
 */
RK_API int rk_share_attach(struct rk_share **share, int fd, enum rk_role role);

/**
 * rk_share_ring() - the parts of an attached ring
 * @share: attached
 *
 * Context: any thread; never sleeps.
 * Return: for rk_ring_tx_open() or rk_ring_rx_open(); lives as long as @share.
 */
RK_API const struct rk_ring *rk_share_ring(const struct rk_share *share);

/**
 * rk_share_peer() - whether the other end is held by a living process
 * @share: attached
 *
 * Context: any thread; a system call.
 * Return: 1 held; 0 nobody holds it: not attached yet, detached, or dead; -errno of fcntl(2).
 */
RK_API int rk_share_peer(const struct rk_share *share);

/**
 * rk_share_detach() - unmap the ring and give up its end
 * @share: attached, or NULL
 *
 * Context: any thread; the ends opened on it must no longer be used.
 */
RK_API void rk_share_detach(struct rk_share *share);

RK_END_DECLS

#endif
