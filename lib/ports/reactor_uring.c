// SPDX-License-Identifier: MIT
/*
 * The reactor by io_uring: SINGLE_ISSUER and DEFER_TASKRUN, so that nothing runs but when this
 * thread asks; TASKRUN_FLAG, so that it asks only when there is something. All that needs Linux
 * 6.1; a kernel that has less is left to reactor_plain.c.
 *
 * With DEFER_TASKRUN the ring's own descriptor does not tell of work to come; a registered eventfd
 * does. It is armed by the first poll that finds nothing, and disarmed while there is work, which
 * then signals nothing. What it was signalled is read by the next poll that finds nothing.
 */
#include "config.h"
#include "ports/reactor_engine.h"
#include "ports/rk_uring.h"
#include "rk_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if RK_HAVE_URING

#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	SUBMISSIONS = 256,
	COMPLETIONS = 4096,
	WAIT_NS = 10000000,
	SQPOLL_IDLE_MS = 50,
};

#define NAME_OF_CANCEL UINT64_MAX

RK_STATIC_ASSERT(sizeof(struct io_uring_recvmsg_out) == sizeof(struct reactor_message),
		 "what a buffer of REACTOR_RECVMSG begins with");
RK_STATIC_ASSERT(sizeof(struct io_uring_buf) == sizeof(struct iovec),
		 "a ring of buffers has the room that reactor_buffers_make() left");

/**
 * struct uring - a ring and what wakes its thread
 * @armed: work signals @eventfd
 * @signalled: it may have been
 */
struct uring {
	struct io_uring ring;
	int eventfd;
	bool armed, signalled;
};

static struct uring *uring_of(const struct reactor *reactor)
{
	return reactor->private;
}

static struct io_uring *ring_of(const struct reactor *reactor)
{
	return &uring_of(reactor)->ring;
}

static int uring_fd(const struct reactor *reactor)
{
	return uring_of(reactor)->eventfd;
}

/* Whether the kernel, or with SQPOLL its thread, does not yet know of all submissions. */
static bool must_submit(const struct io_uring *ring, uint32_t flags)
{
	if (!(ring->flags & IORING_SETUP_SQPOLL))
		return io_uring_sq_ready(ring);
	return ring->sq.sqe_head != ring->sq.sqe_tail ||
	       (flags & IORING_SQ_NEED_WAKEUP && io_uring_sq_ready(ring));
}

static bool must_enter(const struct io_uring *ring)
{
	const uint32_t flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);

	return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) || must_submit(ring, flags);
}

static bool uring_ready(const struct reactor *reactor)
{
	return io_uring_cq_ready(ring_of(reactor)) || must_enter(ring_of(reactor));
}

/* A place for a submission; those before it go out when there is none. */
static struct io_uring_sqe *next_sqe(struct reactor *reactor)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring_of(reactor));

	if (!sqe) {
		reactor->calls++;
		io_uring_submit(ring_of(reactor));
		sqe = io_uring_get_sqe(ring_of(reactor));
	}
	return sqe;
}

static void prepare_file(struct io_uring_sqe *sqe, const struct reactor_op *op)
{
	bool write = op->kind == REACTOR_WRITE;
	int index = op->client->table;

	if (op->registered && write)
		io_uring_prep_write_fixed(sqe, index, op->data, op->bytes, op->offset, index);
	else if (op->registered)
		io_uring_prep_read_fixed(sqe, index, op->data, op->bytes, op->offset, index);
	else if (write)
		io_uring_prep_write(sqe, op->fd, op->data, op->bytes, op->offset);
	else
		io_uring_prep_read(sqe, op->fd, op->data, op->bytes, op->offset);
	if (op->registered)
		sqe->flags |= IOSQE_FIXED_FILE;
}

static void prepare(struct io_uring_sqe *sqe, const struct reactor_op *op)
{
	switch (op->kind) {
	case REACTOR_RECVMSG:
		io_uring_prep_recvmsg_multishot(sqe, op->fd, op->head, 0);
		break;
	case REACTOR_RECV:
		io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
		break;
	case REACTOR_ACCEPT:
		io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL,
					       SOCK_CLOEXEC | SOCK_NONBLOCK);
		break;
	case REACTOR_SEND:
		io_uring_prep_send(sqe, op->fd, op->data, op->bytes, MSG_NOSIGNAL | MSG_WAITALL);
		break;
	case REACTOR_SEND_ZC:
		io_uring_prep_send_zc(sqe, op->fd, op->data, op->bytes, MSG_NOSIGNAL | MSG_WAITALL,
				      0);
		break;
	case REACTOR_READ:
	case REACTOR_WRITE:
		prepare_file(sqe, op);
		break;
	}
	if (op->kind == REACTOR_RECVMSG || op->kind == REACTOR_RECV) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = op->buffers->group;
	}
}

static int uring_submit(struct reactor *reactor, struct reactor_op *op)
{
	struct io_uring_sqe *sqe = next_sqe(reactor);

	if (!sqe)
		return -EAGAIN;
	prepare(sqe, op);
	sqe->user_data = reactor_name(reactor, op);
	return 0;
}

static void uring_cancel(struct reactor *reactor, struct reactor_op *op)
{
	struct io_uring_sqe *sqe = next_sqe(reactor);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, reactor_name(reactor, op), 0);
	sqe->user_data = NAME_OF_CANCEL;
}

/* Hand out what has completed. done() may submit; it does not come here. */
static int reap(struct reactor *reactor)
{
	struct io_uring *ring = ring_of(reactor);
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(ring, head, cqe)
	{
		struct reactor_done done = {.result = cqe->res, .buffer = -1};

		done.more = cqe->flags & IORING_CQE_F_MORE;
		if (cqe->flags & IORING_CQE_F_BUFFER)
			done.buffer = (int32_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		if (cqe->user_data != NAME_OF_CANCEL)
			reactor_complete(reactor, cqe->user_data, &done);
		count++;
	}
	io_uring_cq_advance(ring, count);
	return (int)count;
}

static void arm(struct uring *uring, bool armed)
{
	uring->armed = armed;
	uring->signalled |= !armed;
	io_uring_cq_eventfd_toggle(&uring->ring, armed);
}

/* Nothing to do: from now on work signals. Returns whether some came just before. */
static bool rest(struct reactor *reactor)
{
	struct uring *uring = uring_of(reactor);
	uint64_t count;

	if (uring->armed)
		return false;
	if (uring->signalled) {
		reactor->calls++;
		uring->signalled =
			read(uring->eventfd, &count, sizeof(count)) < 0 && errno == EINTR;
	}
	arm(uring, true);
	/* The kernel notes the work, then looks whether to signal; we the other way round. */
	__sync_synchronize();
	return uring_ready(reactor);
}

/* With SQPOLL that is a store, unless the kernel's thread sleeps or completions overflowed. */
static void submit(struct reactor *reactor)
{
	struct io_uring *ring = ring_of(reactor);
	uint32_t flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);

	if (ring->flags & IORING_SETUP_SQPOLL && !(flags & IORING_SQ_CQ_OVERFLOW)) {
		reactor->calls += (flags & IORING_SQ_NEED_WAKEUP) != 0;
		io_uring_submit(ring);
		return;
	}
	reactor->calls++;
	io_uring_submit_and_get_events(ring);
}

/* Submit, let the kernel finish what it can, and hand out what has completed. */
static int work(struct reactor *reactor, bool wait)
{
	struct __kernel_timespec time = {.tv_nsec = WAIT_NS};
	struct uring *uring = uring_of(reactor);
	struct io_uring_cqe *cqe;

	if (uring->armed)
		arm(uring, false);
	if (wait && !io_uring_cq_ready(&uring->ring)) {
		reactor->calls++;
		io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &time, NULL);
	} else if (must_enter(&uring->ring)) {
		submit(reactor);
	}
	return reap(reactor);
}

static int uring_poll(struct reactor *reactor, bool wait)
{
	int completions = wait || uring_ready(reactor) ? work(reactor, wait) : 0;

	while (!completions && !wait && rest(reactor))
		completions = work(reactor, false);
	return completions;
}

static void uring_give(struct reactor *reactor, struct reactor_buffers *buffers, uint16_t index)
{
	struct io_uring_buf_ring *ring = buffers->ring;

	(void)reactor;
	io_uring_buf_ring_add(ring, reactor_buffer(buffers, index), buffers->room, index,
			      (int)buffers->count - 1, 0);
	io_uring_buf_ring_advance(ring, 1);
}

static int uring_join(struct reactor *reactor, struct reactor_buffers *buffers)
{
	struct io_uring_buf_reg ring = {.ring_addr = (uintptr_t)buffers->ring,
					.ring_entries = buffers->count,
					.bgid = buffers->group};
	int result = io_uring_register_buf_ring(ring_of(reactor), &ring, 0);

	if (result)
		return rk_fail(-result, "io_uring: %u buffers: %s", buffers->count,
			       strerror(-result));
	io_uring_buf_ring_init(buffers->ring);
	for (uint32_t i = 0; i < buffers->count; i++)
		uring_give(reactor, buffers, (uint16_t)i);
	return 0;
}

static void uring_leave(struct reactor *reactor, struct reactor_buffers *buffers)
{
	io_uring_unregister_buf_ring(ring_of(reactor), buffers->group);
}

/* What stands at @index of the tables of registered memory and files. */
static bool set_tables(struct io_uring *ring, struct iovec memory, int fd, int index)
{
	__u64 tag = 0;

	return io_uring_register_buffers_update_tag(ring, (unsigned int)index, &memory, &tag, 1) ==
		       1 &&
	       io_uring_register_files_update(ring, (unsigned int)index, &fd, 1) == 1;
}

static void uring_withdraw(struct reactor *reactor, int index)
{
	set_tables(ring_of(reactor), (struct iovec){0}, -1, index);
}

static bool uring_enroll(struct reactor *reactor, struct iovec memory, int fd, int index)
{
	/* Tables with holes, made at the first use; -EBUSY: they are there. */
	io_uring_register_buffers_sparse(ring_of(reactor), REACTOR_TABLE);
	io_uring_register_files_sparse(ring_of(reactor), REACTOR_TABLE);
	if (set_tables(ring_of(reactor), memory, fd, index))
		return true;
	uring_withdraw(reactor, index);
	return false;
}

static void uring_close(struct reactor *reactor)
{
	io_uring_queue_exit(ring_of(reactor));
	close(uring_of(reactor)->eventfd);
	free(uring_of(reactor));
}

static const struct reactor_engine engine = {
	.fd = uring_fd,
	.submit = uring_submit,
	.poll = uring_poll,
	.ready = uring_ready,
	.cancel = uring_cancel,
	.join = uring_join,
	.leave = uring_leave,
	.give = uring_give,
	.enroll = uring_enroll,
	.withdraw = uring_withdraw,
	.close = uring_close,
};

/* 0 or -errno. */
static int uring_open(struct uring *uring, bool sqpoll)
{
	const uint32_t how = sqpoll ? IORING_SETUP_SQPOLL
				    : IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	struct io_uring_params params = {
		.flags = how | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = COMPLETIONS,
		.sq_thread_idle = SQPOLL_IDLE_MS,
	};
	int result;

	uring->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uring->eventfd < 0)
		return -errno;
	result = io_uring_queue_init_params(SUBMISSIONS, &uring->ring, &params);
	if (!result) {
		result = io_uring_register_eventfd(&uring->ring, uring->eventfd);
		if (result)
			io_uring_queue_exit(&uring->ring);
	}
	if (result) {
		close(uring->eventfd);
		return result;
	}
	arm(uring, false);
	io_uring_register_ring_fd(&uring->ring); /* a cheaper call, where the kernel has it */
	return 0;
}

int reactor_uring_open(struct reactor *reactor)
{
	struct uring *uring;
	int result;

	rk_uring_feature_at(0, reactor->why, sizeof(reactor->why));
	if (*reactor->why)
		return -EOPNOTSUPP;
	uring = calloc(1, sizeof(*uring));
	result = uring ? uring_open(uring, reactor->sqpoll) : -ENOMEM;
	if (result) {
		snprintf(reactor->why, sizeof(reactor->why), "io_uring: %s", strerror(-result));
		free(uring);
		return result;
	}
	reactor->private = uring;
	reactor->engine = &engine;
	return 0;
}

#else

int reactor_uring_open(struct reactor *reactor)
{
	rk_uring_feature_at(0, reactor->why, sizeof(reactor->why));
	return -EOPNOTSUPP;
}

#endif
