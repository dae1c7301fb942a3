/* SPDX-License-Identifier: MIT */
/*
 * reactor.h - what all ports that one thread polls share: an io_uring. Not installed.
 *
 * A port is a client. It joins the reactor of the thread that polls it at its first poll, submits
 * operations, and is told of each completion by a call while any port of the thread is polled: one
 * system call submits for all of them and reaps for all of them, and none is made when there is
 * nothing to do. Received bytes land in buffers of a region, which the client gives back one by
 * one; when it has given back none, the kernel receives nothing more.
 *
 * Where io_uring is not to be had, reactor_plain.c does the same operations by plain system calls;
 * rk_uring.h says which it is, and why.
 *
 * Completions are not believed: one that names no live operation, a buffer that the kernel was not
 * given, or more bytes than there was room for changes nothing but a counter.
 */
#ifndef REACTOR_H
#define REACTOR_H

#include "gpudirect/rk_region.h"
#include "rk_base.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	REACTOR_OPS = 4096,	   /* in flight, of all clients of a thread */
	REACTOR_MESSAGE_HEAD = 16, /* in front of what REACTOR_RECVMSG receives */
};

enum reactor_kind {
	REACTOR_RECVMSG, /* again and again: struct reactor_message, control bytes, data */
	REACTOR_RECV,	 /* again and again: bytes of a stream */
	REACTOR_ACCEPT,	 /* again and again: a connection */
	REACTOR_SEND,	 /* all of @bytes */
	REACTOR_SEND_ZC, /* the same without a copy: ends when the memory may be written again */
	REACTOR_READ,
	REACTOR_WRITE,
};

/* What a buffer of REACTOR_RECVMSG begins with; the kernel's struct io_uring_recvmsg_out. */
struct reactor_message {
	uint32_t name_bytes;
	uint32_t control_bytes; /* behind which data begin at the room asked for, not here */
	uint32_t bytes;		/* of the datagram; more than there is room for if it was cut */
	uint32_t flags;		/* MSG_TRUNC, MSG_CTRUNC */
};

RK_STATIC_ASSERT(sizeof(struct reactor_message) == REACTOR_MESSAGE_HEAD, "the kernel's layout");

/**
 * struct reactor_done - a completion
 * @result: bytes, or a descriptor, or -errno
 * @buffer: index of the buffer that holds them, now the client's; -1 none
 * @more: others will follow; otherwise the operation is over
 */
struct reactor_done {
	int32_t result;
	int32_t buffer;
	bool more;
};

struct reactor;
struct reactor_client;

/**
 * struct reactor_op - an operation; the client's, untouched by it while @live
 * @done: called for each completion, on the thread that polls; it may submit, not cancel
 * @kind: enum reactor_kind
 * @fd: what it works on
 * @data: bytes to send or write, or room to read into
 * @bytes: of @data
 * @offset: in the file
 * @head: REACTOR_RECVMSG: msg_controllen is the room for control messages
 * @buffers: REACTOR_RECVMSG and REACTOR_RECV
 * @registered: @fd, and the memory that @data lies in, were given to reactor_register()
 * @live: submitted and not over
 */
struct reactor_op {
	void (*done)(struct reactor_op *op, const struct reactor_done *done);
	enum reactor_kind kind;
	int fd;
	void *data;
	uint32_t bytes;
	uint64_t offset;
	struct msghdr *head;
	struct reactor_buffers *buffers;
	bool registered;
	bool live;

	/* The reactor's. */
	struct reactor_client *client;
	struct reactor_op *next;
	uint32_t slot;
	uint32_t moved;
};

/**
 * struct reactor_buffers - room for what is received; in a region
 * @count: a power of two
 * @room: bytes of each
 * @base: of the first; the others follow every @stride bytes
 */
struct reactor_buffers {
	struct rk_region *region;
	uint8_t *base;
	uint32_t count, room, stride;

	/* The reactor's. */
	void *ring;	/* the kernel's ring of them */
	bool *given;	/* to the kernel */
	uint16_t *free; /* of the plain reactor */
	uint32_t free_count;
	uint16_t group;
	bool joined;
};

/**
 * struct reactor_client - a port's part in a reactor
 * @reactor: NULL before it joined and after it left
 * @buffers: NULL, or what the client receives into; joins and leaves with it
 * @sqpoll: by a thread of the kernel, which costs a CPU and saves the system calls; such clients
 *	of a thread have a reactor of their own
 * @epoll: readable when the client should be polled
 * @calls: system calls made while this client polled
 */
struct reactor_client {
	struct reactor *reactor;
	struct reactor_buffers *buffers;
	bool sqpoll;
	int epoll;
	uint64_t calls;

	/* The reactor's. */
	struct reactor_client *next;
	uint32_t live; /* operations */
	int first;     /* makes @epoll readable until the first poll */
	int table;     /* of what is registered: its index; -1 */
};

/* --- Memory of received bytes: made when a port is opened, by any thread --- */

/* @for_gpus: GPUs read them, too. 0 or -errno of rk_region_open(), said. */
int reactor_buffers_make(struct reactor_buffers *buffers, uint32_t count, uint32_t room,
			 bool for_gpus);
void reactor_buffers_free(struct reactor_buffers *buffers);

static inline uint8_t *reactor_buffer(const struct reactor_buffers *buffers, int32_t index)
{
	return buffers->base + (size_t)index * buffers->stride;
}

/* --- Being a client --- */

/*
 * When a port is opened; 0 or -errno, said. Where there is no io_uring, an empty @note will say why
 * and what is used instead. @input: it is polled without being asked to; then its first poll is due
 * at once.
 */
int reactor_client_open(struct reactor_client *client, bool input, char *note, size_t note_bytes);

/*
 * Become a client of the calling thread's reactor; 0 if it is one already. -errno, said.
 * Every function below is for this thread alone.
 */
int reactor_join(struct reactor_client *client);

/* Cancel the client's operations, wait until they are over, and leave. Their done() is called. */
void reactor_leave(struct reactor_client *client);

/*
 * When a port is closed: leave, if that was not done. Any thread whose own it is, or any at all
 * once nothing is in flight or that thread has ended; else -EBUSY, said, and nothing is changed.
 */
int reactor_client_close(struct reactor_client *client);

/* --- Work --- */

/* Start @op; completions come from reactor_poll(). -EAGAIN when too many are in flight. */
int reactor_submit(struct reactor_client *client, struct reactor_op *op);

/* Cancel @op and wait until it is over. */
void reactor_cancel(struct reactor_client *client, struct reactor_op *op);

/* Submit what waits, and call done() for what has completed. Never sleeps. Returns completions. */
int reactor_poll(struct reactor_client *client);

/* Whether a further reactor_poll() would find work at once. */
bool reactor_ready(const struct reactor_client *client);

/* The client is done with buffer @index: the kernel may fill it again. */
void reactor_give(struct reactor_client *client, int32_t index);

/* Tell the kernel of memory and a file that many operations will use; false: they go without. */
bool reactor_register(struct reactor_client *client, void *memory, size_t bytes, int fd);

#endif
