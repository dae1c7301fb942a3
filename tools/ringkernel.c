// SPDX-License-Identifier: MIT
/* The `ringkernel` command: global options, then the command that the first word names. */
#include "config.h"
#include "ringkernel.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tool_command *const commands[] = {&cmd_run, &cmd_gen, &cmd_info, &cmd_bench,
							     &cmd_snapshot};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const char options_help[] =
	"Options, before or right after the command:\n"
	"  -j, --json     JSON on standard output\n"
	"  -q, --quiet    no progress on standard error\n"
	"  -V, --version  print the version\n"
	"  -h, --help     print help, of a command if one is named\n"
	"\n"
	"Exit status: 0; 1 a failure at work; 2 words that make no sense.\n";

static void print_help(const struct tool_command *command)
{
	if (command) {
		printf("usage: ringkernel [OPTIONS] %s", command->help);
		if (command->more_help)
			command->more_help();
		printf("\n%s", options_help);
		return;
	}
	printf("usage: ringkernel [OPTIONS] COMMAND [WORDS]\n\n");
	for (int i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n%s", options_help);
}

/* What the options ask for instead of a command. */
enum wish { WISH_WORK, WISH_HELP, WISH_VERSION };

/* Take one global option; false if @word is none. */
static bool take_option(struct tool *tool, enum wish *wish, const char *word)
{
	if (!strcmp(word, "-j") || !strcmp(word, "--json"))
		tool->json = true;
	else if (!strcmp(word, "-q") || !strcmp(word, "--quiet"))
		tool->quiet = true;
	else if (!strcmp(word, "-V") || !strcmp(word, "--version"))
		*wish = WISH_VERSION;
	else if (!strcmp(word, "-h") || !strcmp(word, "--help"))
		*wish = WISH_HELP;
	else
		return false;
	return true;
}

static const struct tool_command *find_command(const char *word)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, word))
			return commands[i];
	return NULL;
}

static int misused(const char *word)
{
	tool_unknown(word, "run, gen, info, bench, snapshot, -j, -q, -V, -h");
	fprintf(stderr, "ringkernel: %s\n", rk_errmsg());
	return TOOL_MISUSED;
}

/* A report that did not get out whole is no success. */
static int finish(int code)
{
	int failed = ferror(stdout);

	if (!fflush(stdout) && !failed)
		return code;
	fprintf(stderr, "ringkernel: standard output: %s\n",
		errno ? strerror(errno) : "write failed");
	return TOOL_FAILED;
}

int main(int argc, char **argv)
{
	const struct tool_command *command = NULL;
	enum wish wish = WISH_WORK;
	struct tool tool = {0};
	int at = 1;

	/* UCX would keep an address for a minute after its last listener. */
	setenv("UCX_TCP_CM_REUSEADDR", "y", 0);
	while (at < argc && take_option(&tool, &wish, argv[at]))
		at++;
	if (at < argc) {
		command = find_command(argv[at]);
		if (!command)
			return misused(argv[at]);
		for (at++; at < argc && take_option(&tool, &wish, argv[at]);)
			at++;
	}
	if (wish == WISH_VERSION) {
		printf("ringkernel %s\n", rk_version());
		return finish(TOOL_OK);
	}
	if (wish == WISH_HELP) {
		print_help(command);
		return finish(TOOL_OK);
	}
	if (!command)
		return misused(NULL);
	if (tool.json && !RK_HAVE_JANSSON) {
		tool_no_json("JSON");
		return tool_fail(command->name, TOOL_FAILED);
	}
	return finish(command->run(&tool, argc - at, argv + at));
}
