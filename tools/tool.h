/* SPDX-License-Identifier: MIT */
/* tool.h - what the commands of `ringkernel` share: global options, exit codes, how they fail. */
#ifndef TOOL_H
#define TOOL_H

#include "rk_error.h"

#include <stdbool.h>

/* Exit codes. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_MISUSED = 2 };

/* Options that every command takes. */
struct tool {
	bool json;
	bool quiet;
};

/**
 * struct tool_command - a row of the table of commands
 * @name: the word that chooses it
 * @summary: one line
 * @help: after "usage: ringkernel "
 * @more_help: prints what follows @help; may be NULL
 * @run: gets the words after the command's name; returns an exit code
 */
struct tool_command {
	const char *name;
	const char *summary;
	const char *help;
	void (*more_help)(void);
	int (*run)(const struct tool *tool, int count, char **words);
};

extern const struct tool_command cmd_run, cmd_gen, cmd_info, cmd_bench, cmd_snapshot;

/* Print "ringkernel: COMMAND: " and rk_errmsg() on stderr; returns @code. */
int tool_fail(const char *command, int code);

/* Note that @word is none of @expected ("a, b, c"); -EINVAL. A NULL word is the end of them. */
int tool_unknown(const char *word, const char *expected);

/* JSON was asked for of a build without it: -EOPNOTSUPP and the remedy. */
int tool_no_json(const char *what);

#endif
