/* SPDX-License-Identifier: MIT */
/*
 * reactor_engine.h - between reactor.c, which knows clients, operations and buffers, and the two
 * ways to carry them out: reactor_uring.c and reactor_plain.c. Not installed.
 */
#ifndef REACTOR_ENGINE_H
#define REACTOR_ENGINE_H

#include "ports/reactor.h"

enum { REACTOR_WHY_BYTES = 256, REACTOR_GROUPS = 64, REACTOR_TABLE = 64 };

/* A live operation is named to the kernel by its place here and that place's turn. */
struct reactor_slot {
	struct reactor_op *op;
	uint32_t turn;
};

/**
 * struct reactor_engine - a way to carry out operations; all pointers are filled
 * @fd: readable when poll() has something; -1: operations are watched one by one
 * @submit: 0, or -EAGAIN
 * @poll: @wait: sleep until something completed, or 10 ms. Returns completions
 * @ready: poll() would find something
 * @cancel: ask for the end of @op, which poll() will tell
 * @join: give all buffers to the kernel; 0 or -errno, said
 * @leave: take them back
 * @give: one buffer
 * @enroll: memory and a file, at index client->table; false: not to be had
 * @withdraw: undo it
 */
struct reactor_engine {
	int (*fd)(const struct reactor *reactor);
	int (*submit)(struct reactor *reactor, struct reactor_op *op);
	int (*poll)(struct reactor *reactor, bool wait);
	bool (*ready)(const struct reactor *reactor);
	void (*cancel)(struct reactor *reactor, struct reactor_op *op);
	int (*join)(struct reactor *reactor, struct reactor_buffers *buffers);
	void (*leave)(struct reactor *reactor, struct reactor_buffers *buffers);
	void (*give)(struct reactor *reactor, struct reactor_buffers *buffers, uint16_t index);
	bool (*enroll)(struct reactor *reactor, struct iovec memory, int fd, int index);
	void (*withdraw)(struct reactor *reactor, int index);
	void (*close)(struct reactor *reactor);
};

/**
 * struct reactor - of one thread
 * @engine: how
 * @why: why not by io_uring; "" if by it
 * @sqpoll: asked for
 * @calls: system calls made
 * @strange: completions that were not believed
 * @private: the engine's
 */
struct reactor {
	const struct reactor_engine *engine;
	void *private;
	bool sqpoll;
	char why[REACTOR_WHY_BYTES];
	uint64_t calls, strange;
	struct reactor_client *clients;
	uint64_t groups, tables; /* a bit for each one in use */
	struct reactor_slot slots[REACTOR_OPS];
	uint16_t free[REACTOR_OPS];
	uint32_t free_count;
};

/* 0, or -errno and @reactor->why. */
int reactor_uring_open(struct reactor *reactor);
int reactor_plain_open(struct reactor *reactor);

/* The name of a live operation. */
static inline uint64_t reactor_name(const struct reactor *reactor, const struct reactor_op *op)
{
	return (uint64_t)reactor->slots[op->slot].turn << 32 | op->slot;
}

/* A completion came in; nothing of it is believed. */
void reactor_complete(struct reactor *reactor, uint64_t name, const struct reactor_done *done);

#endif
