// SPDX-License-Identifier: MIT
/*
 * The machine code of persistent kernels, without a GPU: a user's handler compiles for several
 * architectures, the cache on disk hits, and believes nothing that is torn, foreign or of another
 * source; errors carry the compiler's words. Skipped where there is no run-time compiler.
 */
#include "actor_aid.h"

#include "backends/cuda.h"
#include "config.h"
#include "gpudirect/nvrtc.h"

#include <dirent.h>
#include <sys/stat.h>

enum { FRONT_BYTES = 144 }; /* of a file, before the code */

static char cache[64], folder[96];

/* Code for @type on a GPU of compute capability @major.@minor. */
static int get(struct cuda_code *code, int major, int minor, const struct rk_actor_type *type)
{
	const struct cuda_gpu gpu = {.major = major, .minor = minor};

	return cuda_code_get(code, &gpu, type);
}

static void expect_code(int major, int minor, const struct rk_actor_type *type)
{
	struct cuda_code code;

	ok(get(&code, major, minor, type));
	assert_non_null(code.image);
	assert_memory_equal(code.image, "\177ELF", 4);
	cuda_code_free(&code);
}

/* Calls @visit with the path of each file in the cache; returns how many. */
static int each_file(void (*visit)(const char *path))
{
	DIR *directory = opendir(folder);
	struct dirent *entry;
	char path[512];
	int files = 0;

	while (directory && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (visit)
			visit(path);
		files++;
	}
	if (directory)
		closedir(directory);
	return files;
}

static void remove_file(const char *path)
{
	assert_int_equal(unlink(path), 0);
}

static struct stat file_status;

static void note_status(const char *path)
{
	assert_int_equal(stat(path, &file_status), 0);
}

static int clear_cache(void **unused)
{
	(void)unused;
	each_file(remove_file);
	return 0;
}

/* Small, so that it compiles in a moment. */
static const struct rk_actor_type small_type = {
	.name = "small",
	.summary = "",
	.handle = test_relay,
	.source = "extern \"C\" __device__ void small(struct rk_ctx *ctx, void *state,\n"
		  "const struct rk_msg *msg) { (void)ctx; *(uint64_t *)state += msg->tag; }\n",
	.function = "small",
	.state_bytes = 8,
};

static void a_handler_compiles_for_several_architectures(void **unused)
{
	static const int capability[][2] = {{7, 5}, {8, 0}, {8, 9}, {9, 0}, {10, 0}, {12, 0}};
	const struct rk_nvrtc *nvrtc;
	int archs[64], count, compiled = 0;

	(void)unused;
	ok(rk_nvrtc(&nvrtc));
	assert_int_equal(nvrtc->arch_count(&count), 0);
	assert_in_range(count, 1, 64);
	assert_int_equal(nvrtc->archs(archs), 0);
	for (unsigned int i = 0; i < sizeof(capability) / sizeof(capability[0]); i++)
		for (int j = 0; j < count; j++)
			if (archs[j] == capability[i][0] * 10 + capability[i][1]) {
				expect_code(capability[i][0], capability[i][1], &small_type);
				compiled++;
			}
	assert_true(compiled > 1);
	assert_int_equal(each_file(NULL), compiled);
}

static void the_handlers_of_the_tests_compile(void **unused)
{
	(void)unused;
	expect_code(9, 0, &relay_type);
	expect_code(9, 0, &batch_type);
	assert_int_equal(each_file(NULL), 2);
}

/* As in a build without nvcc: the shipped actors by the run-time compiler. */
static void a_shipped_handler_compiles_from_its_text(void **unused)
{
	const struct rk_actor_type echo = {
		.name = "echo",
		.handle = test_relay,
		.batch = test_relay_batch,
		.source = "#include \"echo.c\"",
		.function = "rk_echo",
		.batch_function = "rk_echo_batch",
	};

	(void)unused;
	expect_code(9, 0, &echo);
}

/* The second time nothing is compiled: the file is the same one, and read. */
static void the_cache_hits(void **unused)
{
	struct cuda_code first, second;
	struct timespec written;
	ino_t inode;

	(void)unused;
	ok(get(&first, 9, 0, &small_type));
	assert_int_equal(each_file(note_status), 1);
	written = file_status.st_mtim;
	inode = file_status.st_ino;
	ok(get(&second, 9, 0, &small_type));
	assert_int_equal(each_file(note_status), 1);
	assert_int_equal(file_status.st_ino, inode);
	assert_memory_equal(&file_status.st_mtim, &written, sizeof(written));
	assert_memory_equal(first.image, second.image, (size_t)file_status.st_size - FRONT_BYTES);
	cuda_code_free(&first);
	cuda_code_free(&second);
}

static void each_source_and_architecture_has_a_file_of_its_own(void **unused)
{
	struct rk_actor_type other = small_type;

	(void)unused;
	other.source = "extern \"C\" __device__ void small(struct rk_ctx *ctx, void *state,\n"
		       "const struct rk_msg *msg) { (void)ctx; *(uint64_t *)state -= msg->tag; }\n";
	expect_code(9, 0, &small_type);
	expect_code(9, 0, &other);
	expect_code(8, 0, &small_type);
	assert_int_equal(each_file(NULL), 3);
}

/* --- Files that are not what was written --- */

static off_t keep_bytes;
static const char *write_text;
static off_t write_at;

static void cut(const char *path)
{
	assert_int_equal(truncate(path, keep_bytes), 0);
}

static void overwrite(const char *path)
{
	FILE *file = fopen(path, "r+");

	assert_non_null(file);
	assert_int_equal(fseek(file, write_at, SEEK_SET), 0);
	assert_int_equal(fwrite(write_text, 1, strlen(write_text), file), strlen(write_text));
	assert_int_equal(fclose(file), 0);
}

/* Spoilt by @spoil, the file is refused and made anew, whole; then it hits again. */
static void expect_made_anew(const struct cuda_code *good, void (*spoil)(const char *path))
{
	struct cuda_code code;
	off_t bytes;

	assert_int_equal(each_file(note_status), 1);
	bytes = file_status.st_size;
	assert_int_equal(each_file(spoil), 1);
	for (int i = 0; i < 2; i++) {
		ok(get(&code, 9, 0, &small_type));
		assert_memory_equal(good->image, code.image, (size_t)bytes - FRONT_BYTES);
		cuda_code_free(&code);
		assert_int_equal(each_file(note_status), 1);
		assert_int_equal(file_status.st_size, bytes);
	}
}

static void a_torn_file_is_made_anew(void **unused)
{
	static const off_t keep[] = {0, FRONT_BYTES - 1, FRONT_BYTES, 4096};
	struct cuda_code good;

	(void)unused;
	ok(get(&good, 9, 0, &small_type));
	for (unsigned int i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
		keep_bytes = keep[i];
		expect_made_anew(&good, cut);
	}
	/* All but the last byte. */
	keep_bytes = file_status.st_size - 1;
	expect_made_anew(&good, cut);
	cuda_code_free(&good);
}

static void a_foreign_file_is_made_anew(void **unused)
{
	struct cuda_code good;

	(void)unused;
	ok(get(&good, 9, 0, &small_type));
	write_text = "ringkernel 9.9.9 sm_90 nvrtc 1.0";
	write_at = 0;
	expect_made_anew(&good, overwrite);
	/* Bytes of the code itself. */
	write_text = "something else";
	write_at = 5000;
	expect_made_anew(&good, overwrite);
	cuda_code_free(&good);
}

static void a_cache_that_cannot_be_written_is_no_error(void **unused)
{
	(void)unused;
	setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
	expect_code(9, 0, &small_type);
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", cache, 1);
	expect_code(9, 0, &small_type);
	setenv("XDG_CACHE_HOME", cache, 1);
	assert_int_equal(each_file(NULL), 0);
}

/* --- Sources that are wrong --- */

static void expect_refused(const struct rk_actor_type *type, int error, const char *says)
{
	struct cuda_code code;

	assert_int_equal(get(&code, 9, 0, type), error);
	if (!strstr(rk_errmsg(), says))
		fail_msg("'%s' does not say '%s'", rk_errmsg(), says);
	assert_non_null(strstr(rk_errmsg(), "actor 'wrong'"));
	assert_int_equal(each_file(NULL), 0);
}

static void errors_are_in_the_compilers_words(void **unused)
{
	struct rk_actor_type wrong = small_type;
	char *text = malloc(400 << 10);

	(void)unused;
	assert_non_null(text);
	wrong.name = "wrong";
	wrong.source = "\n\nint a = no_such_thing;\n";
	expect_refused(&wrong, -EINVAL, "wrong(3): error: identifier \"no_such_thing\" is undefined");
	wrong.source = "#include <stdio.h>\n";
	expect_refused(&wrong, -EINVAL, "stdio.h");
	wrong.source = small_type.source;
	wrong.function = "large";
	expect_refused(&wrong, -EINVAL, "\"large\" is undefined");
	wrong.function = NULL;
	expect_refused(&wrong, -ENOENT, "no code for GPUs");
	memset(text, ' ', 400 << 10);
	text[(400 << 10) - 1] = 0;
	wrong.source = text;
	wrong.function = "small";
	expect_refused(&wrong, -EINVAL, "its source is longer than");
	free(text);
}

static int open_cache(void **unused)
{
	(void)unused;
	snprintf(cache, sizeof(cache), "/tmp/rk_cache_XXXXXX");
	if (!mkdtemp(cache))
		return -1;
	snprintf(folder, sizeof(folder), "%s/ringkernel", cache);
	return setenv("XDG_CACHE_HOME", cache, 1);
}

static int close_cache(void **unused)
{
	char below[128];

	clear_cache(unused);
	rmdir(folder);
	snprintf(below, sizeof(below), "%s/.cache/ringkernel", cache);
	strcpy(folder, below);
	clear_cache(unused);
	rmdir(folder);
	snprintf(below, sizeof(below), "%s/.cache", cache);
	rmdir(below);
	return rmdir(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_handler_compiles_for_several_architectures, clear_cache),
		cmocka_unit_test_teardown(the_handlers_of_the_tests_compile, clear_cache),
		cmocka_unit_test_teardown(a_shipped_handler_compiles_from_its_text, clear_cache),
		cmocka_unit_test_teardown(the_cache_hits, clear_cache),
		cmocka_unit_test_teardown(each_source_and_architecture_has_a_file_of_its_own,
					  clear_cache),
		cmocka_unit_test_teardown(a_torn_file_is_made_anew, clear_cache),
		cmocka_unit_test_teardown(a_foreign_file_is_made_anew, clear_cache),
		cmocka_unit_test_teardown(a_cache_that_cannot_be_written_is_no_error, clear_cache),
		cmocka_unit_test_teardown(errors_are_in_the_compilers_words, clear_cache),
	};
	const struct rk_nvrtc *nvrtc;

	if (rk_nvrtc(&nvrtc)) {
		puts(rk_errmsg());
		return 77;
	}
	return cmocka_run_group_tests(tests, open_cache, close_cache);
}
