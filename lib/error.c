// SPDX-License-Identifier: MIT
#include "rk_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 512 };

/* Static per thread: an error must be sayable when memory is what ran out. */
static _Thread_local char text[TEXT_BYTES];

const char *rk_errmsg(void)
{
	return text;
}

int rk_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return -error;
}

int rk_fail_within(int result, const char *format, ...)
{
	char inner[TEXT_BYTES];
	va_list args;
	size_t used;

	memcpy(inner, text, sizeof(inner));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The inner text follows; cut at the end if it must be. */
	used = strlen(text);
	strncat(text, ": ", sizeof(text) - used - 1);
	used = strlen(text);
	strncat(text, inner, sizeof(text) - used - 1);
	return result;
}

const char *rk_version(void)
{
#define RK_TEXT(x) #x
#define RK_DOTTED(a, b, c) RK_TEXT(a) "." RK_TEXT(b) "." RK_TEXT(c)
	return RK_DOTTED(RK_VERSION_MAJOR, RK_VERSION_MINOR, RK_VERSION_PATCH);
}
