// SPDX-License-Identifier: MIT
/* `ringkernel bench`: becomes a benchmark program, which is built apart from the tool. */
#include "tool.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first whose word comes first; the last has none. */
static const struct {
	const char *word;
	const char *program;
	const char *target; /* of make, which builds it */
} programs[] = {
	{"gpu", "ringkernel-bench-gpu", "bench-gpu"},
	{"life", "ringkernel-bench-life", "bench-life"},
	{"dpdk", "ringkernel-bench-dpdk", "bench-dpdk"},
	{NULL, "ringkernel-bench", "bench"},
};

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

/* The program that the words ask for; its own word is taken off them. */
static int choose(int *count, char ***words)
{
	int which = 0;

	while (programs[which].word && (!*count || strcmp(**words, programs[which].word)))
		which++;
	if (programs[which].word) {
		--*count;
		++*words;
	}
	return which;
}

static int run(const struct tool *tool, int count, char **words)
{
	char **arguments = calloc((size_t)count + 3, sizeof(*arguments));
	char directory[PATH_MAX], path[2 * PATH_MAX];
	int at = 0, which = choose(&count, &words);

	if (!arguments) {
		rk_fail(ENOMEM, "no memory");
		return tool_fail("bench", TOOL_FAILED);
	}
	arguments[at++] = (char *)(uintptr_t)programs[which].program;
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
		snprintf(path, sizeof(path), "%s%s%s", directory, places[i], arguments[0]);
		execv(path, arguments);
		if (errno != ENOENT)
			break;
	}
	if (errno == ENOENT)
		rk_fail(ENOENT, "no %s in %s: run `make %s`, which builds it", arguments[0],
			directory, programs[which].target);
	else
		rk_fail(errno, "%s: %s", path, strerror(errno));
	free(arguments);
	return tool_fail("bench", TOOL_FAILED);
}

const struct tool_command cmd_bench = {
	.name = "bench",
	.summary = "measure the ring against its peers, actors on a GPU, their life, port dpdk",
	.help = "bench [gpu|life|dpdk] [WORDS]\n"
		"\n"
		"Runs ringkernel-bench, which `make bench` builds, or ringkernel-bench-gpu, which\n"
		"`make bench-gpu` builds, or ringkernel-bench-life (`make bench-life`), or\n"
		"ringkernel-bench-dpdk (`make bench-dpdk`), with these WORDS. Their own help: "
		"`ringkernel bench -- --help`, `ringkernel bench gpu --\n"
		"--help`, `ringkernel bench dpdk -- -h`.\n",
	.run = run,
};
