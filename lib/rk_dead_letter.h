/* SPDX-License-Identifier: MIT */
/*
 * rk_dead_letter.h - messages that links have dropped and kept: listed, read, replayed, discarded.
 *
 * A link made with @dead_slots (struct rk_link_opts) keeps what it drops, for whatever reason of
 * enum rk_drop. Each end that can drop writes letters into a ring of its own, which the host
 * empties whenever it looks here: no lock lies between a worker and its letters. Memory is bounded:
 * of each end at most @dead_slots slots are kept here, and as many more wait in the ring; what
 * finds it full is counted (struct rk_link_info::dead_lost) and gone.
 */
#ifndef RK_DEAD_LETTER_H
#define RK_DEAD_LETTER_H

#include "rk_flow.h"

struct rk_runtime;

/**
 * struct rk_dead_letter - a message that was dropped, without its body
 * @number: of the letter; unique in its runtime, counts up as letters are found
 * @time_ns: when it was dropped, CLOCK_REALTIME
 * @why: it was dropped
 * @link: that dropped it
 * @from: sender: NULL: a port or a thread of the host
 * @to: receiver: likewise
 * @type: of the message, as all that follows
 * @flags: enum rk_msg_flag
 * @slots: cells
 * @tag: correlation
 */
struct rk_dead_letter {
	uint64_t number;
	uint64_t time_ns;
	enum rk_drop why;
	struct rk_link *link;
	const struct rk_actor *from;
	const struct rk_actor *to;
	uint16_t type;
	uint8_t flags;
	uint8_t slots;
	uint32_t tag;
};

/**
 * struct rk_dead_filter - which letters are meant; zero means all
 * @size: sizeof(struct rk_dead_filter)
 * @number: this one alone; 0: any
 * @actor: at either end of their link; NULL: any
 * @link: that dropped them; NULL: any
 * @type: of the message; 0: any
 * @why: bits 1 << enum rk_drop; 0: any
 * @since_ns: dropped then or later, CLOCK_REALTIME
 * @until_ns: dropped before; 0: no end
 */
struct rk_dead_filter {
	size_t size;
	uint64_t number;
	const struct rk_actor *actor;
	const struct rk_link *link;
	uint16_t type;
	uint32_t why;
	uint64_t since_ns;
	uint64_t until_ns;
};

RK_BEGIN_DECLS

/**
 * rk_dead_letter_list() - the letters that a filter lets through
 * @runtime: open
 * @filter: NULL: all
 * @letters: out: the first of them, by their numbers
 * @most: room in @letters
 *
 * Letters of one end of a link are numbered in the order in which they were dropped.
 *
 * Context: any thread but a worker's; may sleep on a mutex.
 * Return: how many there are, also beyond @most; -EINVAL for a wrong @filter->size, said in
 * rk_errmsg().
 */
RK_API int rk_dead_letter_list(struct rk_runtime *runtime, const struct rk_dead_filter *filter,
			       struct rk_dead_letter *letters, unsigned int most);

/**
 * rk_dead_letter_read() - the message of a letter
 * @runtime: open
 * @number: of the letter
 * @msg: out: the message as it was, @cells of room
 * @cells: RK_MSG_MAX_SLOTS is always enough
 *
 * Context: any thread but a worker's; may sleep on a mutex.
 * Return: its cells; -ENOENT when there is no such letter any more; -EMSGSIZE when it has more than
 * @cells; said in rk_errmsg().
 */
RK_API int rk_dead_letter_read(struct rk_runtime *runtime, uint64_t number, struct rk_msg *msg,
			       uint32_t cells);

/**
 * rk_dead_letter_replay() - send letters again, by their numbers
 * @runtime: open
 * @filter: which; NULL: all
 * @link: to send them on; NULL: each on that which dropped it
 * @timeout_ns: at most this long, for each link
 *
 * A letter goes out behind all that its sender has sent, and only where it finds room at once: what
 * finds none is a letter still, and so is all behind it on that link. What is sent again is counted
 * as sent. Its deadline, if it had one, is RK_NO_DEADLINE from then on.
 *
 * Where a thread of the host sends on the link, it is for that thread to call this, or for another
 * while that one does not send.
 *
 * Context: any thread but a worker's; sleeps.
 * Return: letters sent, which are none any more; -EINVAL for a wrong @filter->size; -EOPNOTSUPP
 * when a port or a GPU sends on the link: name another; -EPIPE when the link is closed or its
 * sender has stopped; -ETIMEDOUT when the sender has not come to it: what it sends later is then
 * found to have been sent; -EBUSY while that lasts; -ENOMEM; said in rk_errmsg(). After an error
 * some may have been sent.
 */
RK_API int rk_dead_letter_replay(struct rk_runtime *runtime, const struct rk_dead_filter *filter,
				 struct rk_link *link, uint64_t timeout_ns);

/**
 * rk_dead_letter_discard() - forget letters
 * @runtime: open
 * @filter: which; NULL: all
 *
 * Context: any thread but a worker's; may sleep on a mutex.
 * Return: how many; -EINVAL for a wrong @filter->size, said in rk_errmsg().
 */
RK_API int rk_dead_letter_discard(struct rk_runtime *runtime, const struct rk_dead_filter *filter);

RK_END_DECLS

#endif
