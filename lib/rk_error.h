/* SPDX-License-Identifier: MIT */
/*
 * rk_error.h - what went wrong, in words. Cold calls return -errno and leave here a sentence
 * that names the object, the value and the remedy. The library never prints and never exits.
 */
#ifndef RK_ERROR_H
#define RK_ERROR_H

#include "rk_base.h"

#include <errno.h>

RK_BEGIN_DECLS

/**
 * rk_errmsg() - why the last failing call of this thread failed
 *
 * Context: any thread; each thread has its own text. Never sleeps.
 * Return: one line without a newline, valid until this thread's next failing call; "" if none.
 */
RK_API const char *rk_errmsg(void);

/**
 * rk_fail() - note why a call fails
 * @error: positive errno
 * @format: printf format: object, value, remedy; no newline
 *
 * Context: any thread; does not allocate.
 * Return: -@error, so that callers write `return rk_fail(EINVAL, ...)`.
 */
RK_API int rk_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/**
 * rk_fail_within() - prefix the text already noted with the object that met it
 * @result: the negative errno being passed up
 * @format: printf format of the prefix
 *
 * Context: any thread; does not allocate.
 * Return: @result.
 */
RK_API int rk_fail_within(int result, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

RK_END_DECLS

#endif
