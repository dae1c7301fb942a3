/* SPDX-License-Identifier: MIT */
/*
 * rk_handler.h - all that a handler sees: its context, its state, one message, and send.
 *
 * A handler is written once, in the common subset of C11 and C++17, and runs on every backend:
 * compiled by the C compiler for `cpu`, by nvcc or NVRTC for `cuda`. The subset: no library
 * calls, no static data that changes, no recursion, explicit casts from void *.
 *
 * A group of threads calls it: one thread on cpu, a warp or a block on cuda. All of them see the
 * same arguments. Lane 0 is the leader; state is the group's own, and only the leader may send.
 * A sequential handler begins with `if (rk_lane(ctx)) return;`.
 *
 * A type may have a second handler for many messages at once: it is called, where several plain
 * messages (one cell each, RK_MSG_PACKET or the user's, without a deadline) have come in a
 * row, with all of them in their order. They are the handler's to change. Lanes may share them out; what they add up, each
 * lane keeps for itself in the state, until the leader joins it.
 *
 * The first message is RK_MSG_START, its payload the arguments (u64 each, in the order of
 * struct rk_actor_type::args); the last is RK_MSG_STOP. Between them come the user's own, and
 * RK_MSG_HIGH and RK_MSG_LOW where the options of a link ask for them.
 */
#ifndef RK_HANDLER_H
#define RK_HANDLER_H

#include "rk_msg.h"

#ifdef __CUDACC__
#define RK_DEVICE __device__
#else
#define RK_DEVICE
#endif

struct rk_ctx;

typedef void rk_handler_fn(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
typedef void rk_batch_fn(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count);

RK_BEGIN_DECLS

/**
 * rk_lane() - index of this thread within its group
 * @ctx: the handler's context
 *
 * Context: inside a handler, any thread of the group, host or device.
 * Return: 0 for the leader, up to rk_lanes() - 1.
 */
RK_API RK_DEVICE uint32_t rk_lane(const struct rk_ctx *ctx);

/**
 * rk_lanes() - threads of the group that runs this handler
 * @ctx: the handler's context
 *
 * Context: inside a handler, any thread of the group, host or device.
 * Return: 1 on cpu.
 */
RK_API RK_DEVICE uint32_t rk_lanes(const struct rk_ctx *ctx);

/**
 * rk_send() - send one message to an outbox
 * @ctx: the handler's context
 * @outbox: index of the link, in the order in which links were made, from 0
 * @type: RK_MSG_USER or above, or RK_MSG_PACKET
 * @tag: free to the user
 * @payload: what to send; copied before the call returns
 * @bytes: of payload; the last cell is filled with zeros
 *
 * The extensions of the message being handled (its time, its trace, its deadline) go out with the
 * new one. When the outbox is full the message waits, and the actor gets no more messages until all
 * that it sent is in the rings (back-pressure), unless the link is one that drops (rk_flow.h).
 *
 * Context: inside a handler, the leader only, host or device.
 * Return: 1 when sent or waiting; 0 when dropped, which the actor's counters show: no such
 * outbox, an outbox whose consumer closed it, or that is full and drops (on a GPU that is found out
 * later, and shows in the counters alone), a type of the runtime's
 * own, or a payload longer than the outbox takes.
 */
RK_API RK_DEVICE int rk_send(struct rk_ctx *ctx, uint32_t outbox, uint16_t type, uint32_t tag,
			     const void *payload, uint32_t bytes);

/**
 * rk_send_batch() - send plain messages on to an outbox as they are
 * @ctx: the handler's context
 * @outbox: index of the link, as for rk_send()
 * @msgs: one cell each; header, extensions and payload go out unchanged
 * @count: messages
 *
 * What finds no room waits, as with rk_send().
 *
 * Context: inside a batch handler, all lanes of the group with the same arguments, host or device.
 * Return: messages sent or waiting; the others are dropped, which the actor's counters show: no such
 * outbox, its consumer closed it, or it is full and drops. The same for all lanes.
 */
RK_API RK_DEVICE uint32_t rk_send_batch(struct rk_ctx *ctx, uint32_t outbox,
					const struct rk_msg *msgs, uint32_t count);

/**
 * rk_add() - add to a sum in the state, from any lane
 * @ctx: the handler's context
 * @sum: in the state
 * @amount: to add
 *
 * What all lanes add is in the sum when the handler gets RK_MSG_STOP, and when the state is read.
 * Nobody waits for it, so it costs less than to load, add and store.
 *
 * Context: inside a handler, any lane, host or device.
 */
RK_API RK_DEVICE void rk_add(const struct rk_ctx *ctx, uint64_t *sum, uint64_t amount);

/**
 * rk_any() - whether any lane says so
 * @ctx: the handler's context
 * @said: by this lane
 *
 * What the lanes wrote before is seen by all after.
 *
 * Context: inside a handler, all lanes of the group, host or device.
 * Return: not 0 if @said was not 0 in some lane; the same for all lanes.
 */
RK_API RK_DEVICE int rk_any(struct rk_ctx *ctx, int said);

/**
 * rk_acquire() - before reading memory that the message refers to
 * @ctx: the handler's context
 *
 * A message is whole by itself; what it names in a region is not. What its sender wrote there, and
 * published before it sent, is seen by what this lane loads after this call.
 *
 * Context: inside a handler, any lane, host or device.
 */
RK_API RK_DEVICE void rk_acquire(const struct rk_ctx *ctx);

/**
 * rk_reach() - the memory that a message refers to, if this actor may touch it
 * @ctx: the handler's context
 * @address: as this actor sees it: where a region begins, and the offset that the message names
 * @bytes: that are to be touched
 *
 * An actor of a tenant may touch what it was given by rk_actor_grant(), and nothing else; an actor of
 * none may touch all. What is refused is counted (struct rk_actor_info). This confines a handler that
 * asks: one that makes pointers by itself is in one address space with all others, on a GPU as on a
 * CPU, and nothing stops it.
 *
 * Context: inside a handler, any lane, host or device.
 * Return: @address; NULL when not all of it may be touched.
 */
RK_API RK_DEVICE void *rk_reach(struct rk_ctx *ctx, uint64_t address, uint64_t bytes);

RK_END_DECLS

/**
 * struct rk_counter_name - a u64 counter within an actor's state
 * @name: as printed: lower case, words joined by '_', units last
 * @offset: bytes from the start of the state
 */
struct rk_counter_name {
	const char *name;
	uint32_t offset;
};

/**
 * RK_SOURCE() - put the text of a handler's file into the program
 * @symbol: name of a `const char` array, declared by this
 * @file: path, as the compiler finds it from where it runs; a string literal
 */
#define RK_SOURCE(symbol, file)                                                            \
	extern const char symbol[];                                                        \
	__asm__(".pushsection .rodata\n.balign 16\n.globl " #symbol "\n.hidden " #symbol  \
		"\n" #symbol ":\n.incbin \"" file "\"\n.byte 0\n.popsection\n")

/**
 * struct rk_actor_type - a kind of actor: its handler and what the host should know of it
 * @name: unique
 * @summary: one line for people
 * @handle: called once for each message, in order
 * @batch: called instead with plain messages that came in a row; may be NULL
 * @source: text of the file that defines the handlers, for backends that compile it themselves;
 *	needed on GPUs, but for the shipped actors. RK_SOURCE() makes it
 * @function: name of @handle in @source
 * @batch_function: name of @batch there; may be NULL
 * @state_bytes: of state; zeroed before RK_MSG_START
 * @args: names of the u64 arguments that RK_MSG_START carries, ended by NULL; may be NULL
 * @counters: u64 counters in the state, ended by a NULL name; may be NULL
 */
struct rk_actor_type {
	const char *name;
	const char *summary;
	rk_handler_fn *handle;
	rk_batch_fn *batch;
	const char *source;
	const char *function;
	const char *batch_function;
	uint32_t state_bytes;
	const char *const *args;
	const struct rk_counter_name *counters;
};

#endif
