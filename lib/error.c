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
	int used;

	memcpy(inner, text, sizeof(inner));
	va_start(args, format);
	used = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Cut at the end of the text, if it must be. */
	if (used >= 0 && (size_t)used + 2 < sizeof(text))
		snprintf(text + used, sizeof(text) - (size_t)used, ": %.*s",
			 (int)(sizeof(text) - (size_t)used - 3), inner);
	return result;
}

const char *rk_version(void)
{
#define RK_TEXT(x) #x
#define RK_DOTTED(a, b, c) RK_TEXT(a) "." RK_TEXT(b) "." RK_TEXT(c)
	return RK_DOTTED(RK_VERSION_MAJOR, RK_VERSION_MINOR, RK_VERSION_PATCH);
}
