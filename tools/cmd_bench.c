// SPDX-License-Identifier: MIT
/* `ringkernel bench`: becomes the benchmark program, which is built apart from the tool. */
#include "tool.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "ringkernel-bench"

static const char *const places[] = {"", "../libexec/ringkernel/"};

/* The directory of this program, with a '/' at its end. */
static int own_directory(char directory[PATH_MAX])
{
	ssize_t bytes = readlink("/proc/self/exe", directory, PATH_MAX - 1);

	if (bytes < 0)
		return rk_fail(errno, "/proc/self/exe: %s", strerror(errno));
	directory[bytes] = 0;
	strrchr(directory, '/')[1] = 0;
	return 0;
}

static int run(const struct tool *tool, int count, char **words)
{
	char **arguments = calloc((size_t)count + 3, sizeof(*arguments));
	char directory[PATH_MAX], path[2 * PATH_MAX];
	int at = 0;

	if (!arguments) {
		rk_fail(ENOMEM, "no memory");
		return tool_fail("bench", TOOL_FAILED);
	}
	arguments[at++] = PROGRAM;
	if (tool->json)
		arguments[at++] = "-j";
	if (count && !strcmp(words[0], "--")) { /* what follows is the program's, options too */
		count--;
		words++;
	}
	memcpy(&arguments[at], words, (size_t)count * sizeof(*words));
	if (own_directory(directory)) {
		free(arguments);
		return tool_fail("bench", TOOL_FAILED);
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s" PROGRAM, directory, places[i]);
		execv(path, arguments);
		if (errno != ENOENT)
			break;
	}
	if (errno == ENOENT)
		rk_fail(ENOENT, "no " PROGRAM " in %s: run `make bench`, which builds it",
			directory);
	else
		rk_fail(errno, "%s: %s", path, strerror(errno));
	free(arguments);
	return tool_fail("bench", TOOL_FAILED);
}

const struct tool_command cmd_bench = {
	.name = "bench",
	.summary = "measure the ring against its peers",
	.help = "bench [WORDS]\n"
		"\n"
		"Runs " PROGRAM ", which `make bench` builds, with these WORDS. Its own\n"
		"help: " PROGRAM " --help, or `ringkernel bench -- --help`.\n",
	.run = run,
};
