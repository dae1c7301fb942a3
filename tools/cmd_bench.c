// SPDX-License-Identifier: MIT
/*
 * `ringkernel bench`: becomes a benchmark program, which is built apart from the tool. Where there
 * is one for the first word (ringkernel-bench-dpdk), it is that one, and the word is gone.
 */
#include "tool.h"

#include <limits.h>
#include <stdbool.h>
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

/* "ringkernel-bench", or that with "-WORD" behind it; from a word no path can be made. */
static void name_program(char *name, size_t bytes, const char *word)
{
	bool plain = word && *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyz")] == 0;

	snprintf(name, bytes, PROGRAM "%s%s", plain ? "-" : "", plain ? word : "");
}

/* Becomes @name if it is in one of the places; else errno says why not. */
static void become(const char *directory, const char *name, char **arguments)
{
	char path[2 * PATH_MAX];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s%s", directory, places[i], name);
		execv(path, arguments);
		if (errno != ENOENT)
			break;
	}
}

static int run(const struct tool *tool, int count, char **words)
{
	char **arguments = calloc((size_t)count + 3, sizeof(*arguments));
	char directory[PATH_MAX], name[PATH_MAX];
	int at = 1;

	if (!arguments) {
		rk_fail(ENOMEM, "no memory");
		return tool_fail("bench", TOOL_FAILED);
	}
	if (own_directory(directory)) {
		free(arguments);
		return tool_fail("bench", TOOL_FAILED);
	}
	if (tool->json)
		arguments[at++] = "-j";
	arguments[0] = name;
	name_program(name, sizeof(name), count ? words[0] : NULL);
	if (strcmp(name, PROGRAM)) {
		memcpy(&arguments[at], words + 1, ((size_t)count - 1) * sizeof(*words));
		become(directory, name, arguments);
		memset(&arguments[at], 0, (size_t)count * sizeof(*words));
	}
	if (count && !strcmp(words[0], "--")) { /* what follows is the program's, options too */
		count--;
		words++;
	}
	memcpy(&arguments[at], words, (size_t)count * sizeof(*words));
	name_program(name, sizeof(name), NULL);
	become(directory, name, arguments);
	if (errno == ENOENT)
		rk_fail(ENOENT, "no " PROGRAM " in %s: run `make bench`, which builds it",
			directory);
	else
		rk_fail(errno, "%s%s: %s", directory, name, strerror(errno));
	free(arguments);
	return tool_fail("bench", TOOL_FAILED);
}

const struct tool_command cmd_bench = {
	.name = "bench",
	.summary = "measure the ring, or port dpdk, against its peers",
	.help = "bench [dpdk] [WORDS]\n"
		"\n"
		"Runs " PROGRAM ", or " PROGRAM "-dpdk, which `make bench` builds, with\n"
		"these WORDS. Their own help: `ringkernel bench -- --help`, and\n"
		"`ringkernel bench dpdk -h`.\n",
	.run = run,
};
