// SPDX-License-Identifier: MIT
/* How the commands fail. */
#include "tool.h"

#include <stdio.h>

int tool_fail(const char *command, int code)
{
	fflush(stdout);
	fprintf(stderr, "ringkernel: %s: %s\n", command, rk_errmsg());
	return code;
}

int tool_unknown(const char *word, const char *expected)
{
	if (!word)
		return rk_fail(EINVAL, "the words end too soon: expected one of %s", expected);
	return rk_fail(EINVAL, "unknown word '%s': expected one of %s", word, expected);
}

int tool_no_json(const char *what)
{
	return rk_fail(EOPNOTSUPP,
		       "%s: built without jansson: apt-get install libjansson-dev, then make",
		       what);
}
