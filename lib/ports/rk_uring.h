/* SPDX-License-Identifier: MIT */
/*
 * rk_uring.h - what this kernel's io_uring offers to the ports, asked of the kernel itself.
 *
 * Sockets and files are moved by io_uring where it may be used and is new enough (Linux 6.1), and
 * by plain system calls elsewhere: nothing is lost but speed.
 */
#ifndef RK_URING_H
#define RK_URING_H

#include "rk_base.h"

/**
 * struct rk_uring_feature - one thing that io_uring may offer, for people
 * @name: lower case
 * @summary: one line: what it is used for
 */
struct rk_uring_feature {
	const char *name;
	const char *summary;
};

RK_BEGIN_DECLS

/**
 * rk_uring_feature_at() - walk the features
 * @index: from 0; 0 is io_uring itself, without which the others are not there either
 * @absent: out; "" if it can be used here, else why not, what is used instead, and what to do
 * @absent_bytes: room in @absent
 *
 * Context: any thread; sleeps.
 * Return: static storage; NULL past the last.
 */
RK_API const struct rk_uring_feature *rk_uring_feature_at(unsigned int index, char *absent,
							  size_t absent_bytes);

RK_END_DECLS

#endif
