// SPDX-License-Identifier: MIT
/* How the commands fail. */
#include "tool.h"

#include <stdio.h>
#include <string.h>

int tool_fail(const char *command, int code)
{
	fflush(stdout);
	fprintf(stderr, "ringkernel: %s: %s\n", command, rk_errmsg());
	return code;
}

int tool_unknown(const char *word, const char *expected)
{
	const char *one_of = strchr(expected, ',') ? "one of " : "";

	if (!word)
		return rk_fail(EINVAL, "the words end too soon: expected %s%s", one_of, expected);
	return rk_fail(EINVAL, "unknown word '%s': expected %s%s", word, one_of, expected);
}

int tool_no_json(const char *what)
{
	return rk_fail(EOPNOTSUPP,
		       "%s: built without jansson: apt-get install libjansson-dev, then make",
		       what);
}
