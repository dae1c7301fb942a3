// SPDX-License-Identifier: MIT
/*
 * The reactor by plain system calls, for where io_uring is not to be had: every poll tries each
 * operation once. The completions are the same; they cost a call for each socket that is looked
 * at, and a read or write of a file waits for the disk.
 */
#include "ports/reactor_engine.h"
#include "rk_error.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 64, WAIT_MS = 10 };

/* The operations in the order in which they were submitted. */
struct plain {
	struct reactor_op *first, **end;
};

static struct plain *plain_of(const struct reactor *reactor)
{
	return reactor->private;
}

static int plain_fd(const struct reactor *reactor)
{
	(void)reactor;
	return -1;
}

/* Operations on files are never watched: they are tried at once. */
static void watch(const struct reactor_op *op, int how)
{
	bool out = op->kind == REACTOR_SEND || op->kind == REACTOR_SEND_ZC;
	struct epoll_event event = {.events = out ? EPOLLOUT : EPOLLIN};

	if (op->kind != REACTOR_READ && op->kind != REACTOR_WRITE)
		epoll_ctl(op->client->epoll, how, op->fd, &event);
}

static int plain_submit(struct reactor *reactor, struct reactor_op *op)
{
	struct plain *plain = plain_of(reactor);

	op->next = NULL;
	*plain->end = op;
	plain->end = &op->next;
	watch(op, EPOLL_CTL_ADD);
	return 0;
}

/* Take @op out of the list: its last completion follows. */
static void forget(struct reactor *reactor, struct reactor_op *op)
{
	struct plain *plain = plain_of(reactor);
	struct reactor_op **at = &plain->first;

	while (*at && *at != op)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = op->next;
	if (plain->end == &op->next)
		plain->end = at;
	watch(op, EPOLL_CTL_DEL);
}

static int complete(struct reactor *reactor, struct reactor_op *op, int result, int buffer,
		    bool more)
{
	const struct reactor_done done = {result, buffer, more};

	if (!more)
		forget(reactor, op);
	reactor_complete(reactor, reactor_name(reactor, op), &done);
	return 1;
}

/* The operation cannot go on now: wait, or, if it is an error, end. */
static int refused(struct reactor *reactor, struct reactor_op *op)
{
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return complete(reactor, op, -errno, -1, false);
}

static int try_recvmsg(struct reactor *reactor, struct reactor_op *op)
{
	struct reactor_buffers *buffers = op->buffers;
	uint32_t control = (uint32_t)op->head->msg_controllen;
	uint32_t most = buffers->free_count < BATCH ? buffers->free_count : BATCH;
	struct mmsghdr heads[BATCH];
	struct iovec iovecs[BATCH];
	uint16_t taken[BATCH];
	int got;

	if (!most)
		return complete(reactor, op, -ENOBUFS, -1, false);
	for (uint32_t i = 0; i < most; i++) {
		uint8_t *at = reactor_buffer(buffers,
					     taken[i] = buffers->free[buffers->free_count - 1 - i]);
		uint32_t front = REACTOR_MESSAGE_HEAD + control;

		iovecs[i] = (struct iovec){at + front, buffers->room - front};
		heads[i].msg_hdr = (struct msghdr){.msg_iov = &iovecs[i],
						   .msg_iovlen = 1,
						   .msg_control = at + REACTOR_MESSAGE_HEAD,
						   .msg_controllen = control};
	}
	reactor->calls++;
	got = recvmmsg(op->fd, heads, most, MSG_DONTWAIT, NULL);
	if (got <= 0)
		return got ? refused(reactor, op) : 0;
	buffers->free_count -= (uint32_t)got;
	for (int i = 0; i < got; i++) {
		const struct msghdr *head = &heads[i].msg_hdr;
		const struct reactor_message message = {
			.control_bytes = (uint32_t)head->msg_controllen,
			.bytes = heads[i].msg_len,
			.flags = (uint32_t)head->msg_flags,
		};

		memcpy(reactor_buffer(buffers, taken[i]), &message, sizeof(message));
		complete(reactor, op, (int)(REACTOR_MESSAGE_HEAD + control + heads[i].msg_len),
			 taken[i], true);
	}
	return got;
}

static int try_recv(struct reactor *reactor, struct reactor_op *op)
{
	struct reactor_buffers *buffers = op->buffers;
	uint16_t index;
	ssize_t got;

	if (!buffers->free_count)
		return complete(reactor, op, -ENOBUFS, -1, false);
	index = buffers->free[buffers->free_count - 1];
	reactor->calls++;
	got = recv(op->fd, reactor_buffer(buffers, index), buffers->room, MSG_DONTWAIT);
	if (got < 0)
		return refused(reactor, op);
	if (!got)
		return complete(reactor, op, 0, -1, false);
	buffers->free_count--;
	return complete(reactor, op, (int)got, index, true);
}

static int try_accept(struct reactor *reactor, struct reactor_op *op)
{
	int fd;

	reactor->calls++;
	fd = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd < 0 ? refused(reactor, op) : complete(reactor, op, fd, -1, true);
}

static int try_send(struct reactor *reactor, struct reactor_op *op)
{
	ssize_t sent;

	reactor->calls++;
	sent = send(op->fd, (const uint8_t *)op->data + op->moved, op->bytes - op->moved,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return refused(reactor, op);
	op->moved += (uint32_t)sent;
	return op->moved < op->bytes ? 0 : complete(reactor, op, (int)op->moved, -1, false);
}

static int try_file(struct reactor *reactor, struct reactor_op *op)
{
	ssize_t moved;

	reactor->calls++;
	if (op->kind == REACTOR_READ)
		moved = pread(op->fd, op->data, op->bytes, (off_t)op->offset);
	else
		moved = pwrite(op->fd, op->data, op->bytes, (off_t)op->offset);
	return moved < 0 ? refused(reactor, op) : complete(reactor, op, (int)moved, -1, false);
}

static int try_op(struct reactor *reactor, struct reactor_op *op)
{
	switch (op->kind) {
	case REACTOR_RECVMSG:
		return try_recvmsg(reactor, op);
	case REACTOR_RECV:
		return try_recv(reactor, op);
	case REACTOR_ACCEPT:
		return try_accept(reactor, op);
	case REACTOR_SEND:
	case REACTOR_SEND_ZC:
		return try_send(reactor, op);
	case REACTOR_READ:
	case REACTOR_WRITE:
		return try_file(reactor, op);
	}
	return 0;
}

/* Each operation that is there now gets one try; those that done() submits, the next time. */
static int plain_poll(struct reactor *reactor, bool wait)
{
	struct reactor_op *op = plain_of(reactor)->first, *next;
	struct reactor_op **end = plain_of(reactor)->end;
	int completions = 0;
	bool last = !op;

	for (; !last; op = next) {
		next = op->next;
		last = &op->next == end;
		completions += try_op(reactor, op);
	}
	if (wait && !completions)
		poll(NULL, 0, WAIT_MS);
	return completions;
}

/* Only a call can tell. */
static bool plain_ready(const struct reactor *reactor)
{
	(void)reactor;
	return false;
}

static void plain_cancel(struct reactor *reactor, struct reactor_op *op)
{
	complete(reactor, op, -ECANCELED, -1, false);
}

static void plain_give(struct reactor *reactor, struct reactor_buffers *buffers, uint16_t index)
{
	(void)reactor;
	buffers->free[buffers->free_count++] = index;
}

static int plain_join(struct reactor *reactor, struct reactor_buffers *buffers)
{
	buffers->free_count = 0;
	for (uint32_t i = 0; i < buffers->count; i++)
		plain_give(reactor, buffers, (uint16_t)i);
	return 0;
}

static void plain_leave(struct reactor *reactor, struct reactor_buffers *buffers)
{
	(void)reactor;
	(void)buffers;
}

static bool plain_enroll(struct reactor *reactor, struct iovec memory, int fd, int index)
{
	(void)reactor;
	(void)memory;
	(void)fd;
	(void)index;
	return false;
}

static void plain_withdraw(struct reactor *reactor, int index)
{
	(void)reactor;
	(void)index;
}

static void plain_close(struct reactor *reactor)
{
	free(plain_of(reactor));
}

static const struct reactor_engine engine = {
	.fd = plain_fd,
	.submit = plain_submit,
	.poll = plain_poll,
	.ready = plain_ready,
	.cancel = plain_cancel,
	.join = plain_join,
	.leave = plain_leave,
	.give = plain_give,
	.enroll = plain_enroll,
	.withdraw = plain_withdraw,
	.close = plain_close,
};

int reactor_plain_open(struct reactor *reactor)
{
	struct plain *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return rk_fail(ENOMEM, "reactor: no memory");
	plain->end = &plain->first;
	reactor->private = plain;
	reactor->engine = &engine;
	return 0;
}
