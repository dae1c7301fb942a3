// SPDX-License-Identifier: MIT
/* `ringkernel snapshot`: what it prints of a file and of what is wrong with it, as text and JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config.h"
#include "rk_error.h"
#include "snapshot/format.h"
#include "snapshot_aid.h"
#include "tool.h"

#include <fcntl.h>
#include <limits.h>

#if RK_HAVE_JANSSON
#include <jansson.h>
#endif

/* Two files, the second built upon the first. */
struct files {
	char folder[SNAPSHOT_FOLDER_BYTES];
	char path[2][PATH_MAX];
	struct rk_snapshot *snapshot;
};

static int make_files(void **state)
{
	const struct rk_snapshot_store_opts opts = {.size = sizeof(opts), .chain = 1};
	struct files *files = calloc(1, sizeof(*files));
	struct rk_snapshot_store *store;
	uint64_t random = 2;

	do {
		rk_snapshot_free(files->snapshot);
		files->snapshot = aid_make_snapshot(&random, 20000);
	} while (files->snapshot->actors < 2 || files->snapshot->links < 2);
	if (rk_snapshot_store_open(&store, aid_folder(files->folder), &opts))
		return -1;
	for (int i = 0; i < 2; i++) {
		if (rk_snapshot_store_put(store, files->snapshot))
			return -1;
		snprintf(files->path[i], PATH_MAX, "%s", rk_snapshot_store_path(store));
	}
	rk_snapshot_store_close(store);
	*state = files;
	return 0;
}

static int remove_files(void **state)
{
	struct files *files = *state;

	aid_remove_folder(files->folder);
	rk_snapshot_free(files->snapshot);
	free(files);
	return 0;
}

/* Run the command with its output caught; to be freed. */
static char *caught(char *path, bool json, int expected)
{
	const struct tool tool = {.json = json};
	FILE *out = tmpfile();
	int keep = dup(STDOUT_FILENO), keep_err = dup(STDERR_FILENO), code;
	char *text = calloc(1, 100000);

	fflush(stdout);
	dup2(fileno(out), STDOUT_FILENO);
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	code = cmd_snapshot.run(&tool, 1, &path);
	fflush(stdout);
	dup2(keep, STDOUT_FILENO);
	dup2(keep_err, STDERR_FILENO);
	close(keep);
	close(keep_err);
	rewind(out);
	assert_true(fread(text, 1, 99999, out) < 99999);
	fclose(out);
	assert_int_equal(code, expected);
	return text;
}

static void damage(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void a_whole_file_is_told_of(void **state)
{
	struct files *files = *state;
	char *text = caught(files->path[1], false, TOOL_OK), line[64];

	assert_non_null(strstr(text, "version 1"));
	assert_non_null(strstr(text, "builds upon snapshot-00000001.rks"));
	assert_non_null(strstr(text, "pages"));
	for (uint32_t i = 0; i < files->snapshot->actors; i++) {
		snprintf(line, sizeof(line), "actor %u: 'actor-%u'", i, i);
		assert_non_null(strstr(text, line));
	}
	for (uint32_t i = 0; i < files->snapshot->links; i++) {
		snprintf(line, sizeof(line), "in flight %u slots", files->snapshot->link[i].count);
		assert_non_null(strstr(text, line));
	}
	free(text);
}

static void damage_is_told_after_what_is_whole(void **state)
{
	struct files *files = *state;
	char *text;

	/* The parent's matters, for the states. */
	damage(files->path[0], 130);
	text = caught(files->path[1], false, TOOL_FAILED);
	assert_non_null(strstr(text, "messages"));
	assert_null(strstr(text, "actor 0: "));
	assert_non_null(strstr(rk_errmsg(), "snapshot-00000001.rks"));
	assert_non_null(strstr(rk_errmsg(), "section 0 (actor of actor 0) at offset 128"));
	free(text);
	/* The head's leaves nothing to tell. */
	damage(files->path[1], 0);
	text = caught(files->path[1], false, TOOL_FAILED);
	assert_string_equal(text, "");
	free(text);
}

#if RK_HAVE_JANSSON

static json_int_t count_of(const json_t *all, const char *key)
{
	return (json_int_t)json_array_size(json_object_get(all, key));
}

static void json_says_the_same(void **state)
{
	struct files *files = *state;
	char *text = caught(files->path[1], true, TOOL_OK);
	json_t *all = json_loads(text, 0, NULL), *first;

	assert_non_null(all);
	assert_true(json_is_true(json_object_get(all, "whole")));
	assert_int_equal(count_of(all, "actors"), files->snapshot->actors);
	assert_int_equal(count_of(all, "links"), files->snapshot->links);
	assert_int_equal(count_of(all, "sections"),
			 2 * (files->snapshot->actors + files->snapshot->links));
	first = json_array_get(json_object_get(all, "sections"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "kind")), "actor");
	assert_int_equal(json_integer_value(json_object_get(first, "offset")), 128);
	json_decref(all);
	free(text);
	damage(files->path[1], 130);
	text = caught(files->path[1], true, TOOL_FAILED);
	all = json_loads(text, 0, NULL);
	assert_true(json_is_false(json_object_get(all, "whole")));
	assert_non_null(strstr(json_string_value(json_object_get(all, "error")), "section 0"));
	json_decref(all);
	free(text);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_file_is_told_of, make_files, remove_files),
		cmocka_unit_test_setup_teardown(damage_is_told_after_what_is_whole, make_files,
						remove_files),
#if RK_HAVE_JANSSON
		cmocka_unit_test_setup_teardown(json_says_the_same, make_files, remove_files),
#endif
	};

	aid_watchdog(60);
	if (snapshot_supported()) {
		printf("1..0 # SKIP %s\n", rk_errmsg());
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
