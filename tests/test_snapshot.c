// SPDX-License-Identifier: MIT
/*
 * Files of snapshots: what is written is read again, whole or not at all; chains; what is kept; a
 * writer that dies at any moment; a disk that is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "no_uring.h"
#include "rk_error.h"
#include "snapshot/format.h"
#include "snapshot_aid.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A fork of a sanitized process takes its time; each byte is flipped in eight ways, or two. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { DEATHS = 30, FLIP_MORE = 254 };
#else
enum { DEATHS = 200, FLIP_MORE = 1 };
#endif

static void ok(int result)
{
	if (result)
		fail_msg("%d: %s", result, rk_errmsg());
}

/* @result, and a text that has @part. */
static void refused(int result, int with, const char *part)
{
	assert_int_equal(result, with);
	if (!strstr(rk_errmsg(), part))
		fail_msg("\"%s\" says nothing of \"%s\"", rk_errmsg(), part);
}

static struct rk_snapshot_store *open_store(const char *folder, uint32_t chain, uint32_t keep,
					    int pack, bool plain)
{
	const struct rk_snapshot_store_opts opts = {
		.size = sizeof(opts), .chain = chain, .keep = keep, .pack = pack, .plain = plain};
	struct rk_snapshot_store *store;

	ok(rk_snapshot_store_open(&store, folder, &opts));
	return store;
}

static void expect_read(const char *path, const struct rk_snapshot *snapshot)
{
	struct rk_snapshot *again;

	ok(rk_snapshot_read(&again, path));
	assert_true(aid_same_snapshot(again, snapshot));
	rk_snapshot_free(again);
}

static void what_is_put_is_read(void **unused)
{
	uint64_t random = aid_choose_seed(1);
	char folder[SNAPSHOT_FOLDER_BYTES];

	(void)unused;
	for (int way = 0; way < 4; way++) {
		struct rk_snapshot_store *store =
			open_store(aid_folder(folder), 0, 0, way & 1 ? 3 : 0, way & 2);

		assert_string_equal(rk_snapshot_store_path(store), "");
		for (int i = 0; i < 20; i++) {
			struct rk_snapshot *snapshot = aid_make_snapshot(&random, 20000);

			ok(rk_snapshot_store_put(store, snapshot));
			assert_int_equal(snapshot->parent_id, 0);
			expect_read(rk_snapshot_store_path(store), snapshot);
			rk_snapshot_free(snapshot);
		}
		rk_snapshot_store_close(store);
		aid_remove_folder(folder);
	}
}

/* More than the pieces that are in flight at once. */
static void large_states_are_put_and_read(void **unused)
{
	struct rk_snapshot_actor actor = {.name = (char *)(uintptr_t) "large",
					  .type = (char *)(uintptr_t) "",
					  .state_bytes = (9U << 20) + 77};
	struct rk_snapshot snapshot = {.actors = 1, .actor = &actor};
	struct rk_snapshot_store *store;
	char folder[SNAPSHOT_FOLDER_BYTES];
	uint64_t random = 7;

	(void)unused;
	actor.state = malloc(actor.state_bytes);
	for (uint32_t i = 0; i < actor.state_bytes / 8; i++)
		((uint64_t *)actor.state)[i] = aid_random(&random);
	memset((char *)actor.state + actor.state_bytes - 8, 3, 8);
	actor.args = calloc(1, 8);
	store = open_store(aid_folder(folder), 1, 0, 0, false);
	ok(rk_snapshot_store_put(store, &snapshot));
	expect_read(rk_snapshot_store_path(store), &snapshot);
	((char *)actor.state)[actor.state_bytes - 1]++;
	ok(rk_snapshot_store_put(store, &snapshot));
	expect_read(rk_snapshot_store_path(store), &snapshot);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
	free(actor.state);
	free(actor.args);
}

static int in_child(int (*body)(const char *), const char *folder)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(body(folder));
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int put_without_uring(const char *folder)
{
	uint64_t random = 5;
	struct rk_snapshot *snapshot = aid_make_snapshot(&random, 20000);
	struct rk_snapshot_store *store;
	int result;

	if (!no_uring())
		return 77;
	result = rk_snapshot_store_open(&store, folder, NULL);
	result = result ? result : rk_snapshot_store_put(store, snapshot);
	if (!result)
		rk_snapshot_store_close(store);
	rk_snapshot_free(snapshot);
	return result ? 1 : 0;
}

static void without_io_uring_all_is_the_same(void **unused)
{
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct rk_snapshot *snapshot;
	int status = in_child(put_without_uring, aid_folder(folder));

	(void)unused;
	if (status == 0) {
		ok(rk_snapshot_newest(&snapshot, folder));
		rk_snapshot_free(snapshot);
	}
	aid_remove_folder(folder);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* --- What is not whole --- */

/* A small file in memory. */
static struct snapshot_bytes small_file(int pack)
{
	uint64_t random = aid_choose_seed(20);
	struct rk_snapshot *snapshot;
	struct snapshot_bytes bytes;

	do {
		snapshot = aid_make_snapshot(&random, 200);
		if (snapshot->actors > 1 && snapshot->links > 1)
			break;
		rk_snapshot_free(snapshot);
	} while (true);
	snapshot->id = 0x1234;
	ok(snapshot_encode(&bytes, snapshot, NULL, NULL, 0, pack));
	rk_snapshot_free(snapshot);
	return bytes;
}

static int decode(const void *bytes, uint64_t size)
{
	struct snapshot_reader reader;
	struct rk_snapshot *snapshot;
	int result = snapshot_reader_open(&reader, "small", bytes, size);

	if (!result)
		result = snapshot_decode(&snapshot, &reader, NULL);
	if (!result)
		rk_snapshot_free(snapshot);
	return result;
}

static void every_flipped_byte_is_refused(void **unused)
{
	(void)unused;
	for (int pack = 0; pack < 2; pack++) {
		struct snapshot_bytes bytes = small_file(pack);

		ok(decode(bytes.at, bytes.used));
		for (size_t i = 0; i < bytes.used; i++)
			for (unsigned int flip = 1; flip < 256;
			     flip = flip * (FLIP_MORE + 1) + FLIP_MORE) {
				int result;

				bytes.at[i] ^= (uint8_t)flip;
				result = decode(bytes.at, bytes.used);
				assert_true(result == -EBADMSG || result == -EPROTO);
				if (i >= sizeof(struct snapshot_head))
					assert_non_null(strstr(rk_errmsg(), "at offset"));
				bytes.at[i] ^= (uint8_t)flip;
			}
		free(bytes.at);
	}
}

static void every_cut_is_refused(void **unused)
{
	struct snapshot_bytes bytes = small_file(0);
	char *longer = calloc(1, bytes.used + 16);

	(void)unused;
	for (size_t cut = 0; cut < bytes.used; cut++) {
		/* Memory of just that size: a read beyond it is found. */
		char *part = malloc(cut + !cut);

		memcpy(part, bytes.at, cut);
		refused(decode(part, cut), -EBADMSG, "offset");
		free(part);
	}
	memcpy(longer, bytes.at, bytes.used);
	for (size_t more = 1; more <= 16; more++)
		refused(decode(longer, bytes.used + more), -EBADMSG, "torn");
	free(longer);
	free(bytes.at);
}

/* The head says so, and its checksum holds. */
static int decode_with(const struct snapshot_bytes *bytes, struct snapshot_head head)
{
	uint8_t *copy = malloc(bytes->used);
	int result;

	head.sum = snapshot_head_sum(&head);
	memcpy(copy, bytes->at, bytes->used);
	memcpy(copy, &head, sizeof(head));
	result = decode(copy, bytes->used);
	free(copy);
	return result;
}

static void other_versions_and_byte_orders_are_refused(void **unused)
{
	struct snapshot_bytes bytes = small_file(0);
	struct snapshot_head head, other;

	(void)unused;
	memcpy(&head, bytes.at, sizeof(head));
	ok(decode_with(&bytes, head));
	other = head;
	other.version = 2;
	refused(decode_with(&bytes, other), -EPROTO, "version 2");
	other = head;
	other.endian = 0x04030201;
	refused(decode_with(&bytes, other), -EPROTO, "byte order");
	other = head;
	other.actors = UINT32_MAX / 2;
	other.sections = 2 * (other.actors + other.links);
	assert_int_equal(decode_with(&bytes, other), -EBADMSG);
	/* Sections of another file, however whole, are none of this one. */
	other = head;
	other.id++;
	refused(decode_with(&bytes, other), -EBADMSG, "section 0");
	free(bytes.at);
}

/* --- Chains --- */

/* Change some pages of some states, and all that is not state. */
static void change(struct rk_snapshot *snapshot, uint64_t *random)
{
	snapshot->time_ns++;
	for (uint32_t i = 0; i < snapshot->actors; i++) {
		struct rk_snapshot_actor *actor = &snapshot->actor[i];

		for (uint64_t n = aid_below(random, 3); n && actor->state_bytes; n--)
			((char *)actor->state)[aid_below(random, actor->state_bytes)]++;
	}
	for (uint32_t i = 0; i < snapshot->links; i++)
		snapshot->link[i].received++;
}

static uint64_t file_bytes(const char *path)
{
	struct stat file;

	assert_int_equal(stat(path, &file), 0);
	return (uint64_t)file.st_size;
}

static void a_chain_is_what_a_full_one_is(void **unused)
{
	uint64_t random = aid_choose_seed(3);
	char folder[SNAPSHOT_FOLDER_BYTES];

	(void)unused;
	for (int round = 0; round < 8; round++) {
		struct rk_snapshot *snapshot = aid_make_snapshot(&random, 200000);
		struct rk_snapshot_store *store =
			open_store(aid_folder(folder), 5, 0, round & 1, false);
		uint64_t parent = 0, full_bytes = 0;

		for (int i = 0; i < 14; i++) {
			ok(rk_snapshot_store_put(store, snapshot));
			expect_read(rk_snapshot_store_path(store), snapshot);
			assert_int_equal(snapshot->parent_id, i % 6 ? parent : 0);
			if (i % 6 == 0)
				full_bytes = file_bytes(rk_snapshot_store_path(store));
			else if (full_bytes > 100000)
				assert_true(file_bytes(rk_snapshot_store_path(store)) <
					    full_bytes / 2);
			parent = snapshot->id;
			change(snapshot, &random);
		}
		rk_snapshot_free(snapshot);
		rk_snapshot_store_close(store);
		aid_remove_folder(folder);
	}
}

/* Other actors than before: nothing to build upon. */
static void other_actors_begin_a_new_chain(void **unused)
{
	struct rk_snapshot_actor actor = {.name = (char *)(uintptr_t) "a",
					  .type = (char *)(uintptr_t) "t",
					  .state_bytes = 5000};
	struct rk_snapshot snapshot = {.actors = 1, .actor = &actor};
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct rk_snapshot_store *store;
	uint64_t none = 0;

	(void)unused;
	actor.state = calloc(1, 5000);
	actor.args = &none;
	store = open_store(aid_folder(folder), 100, 0, 0, false);
	ok(rk_snapshot_store_put(store, &snapshot));
	ok(rk_snapshot_store_put(store, &snapshot));
	assert_int_not_equal(snapshot.parent_id, 0);
	actor.state_bytes = 4999;
	ok(rk_snapshot_store_put(store, &snapshot));
	assert_int_equal(snapshot.parent_id, 0);
	actor.name = (char *)(uintptr_t) "b";
	ok(rk_snapshot_store_put(store, &snapshot));
	assert_int_equal(snapshot.parent_id, 0);
	expect_read(rk_snapshot_store_path(store), &snapshot);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
	free(actor.state);
}

static void copy_file(const char *from, const char *to)
{
	struct snapshot_bytes bytes;
	int fd;

	ok(snapshot_load(&bytes, AT_FDCWD, from, from));
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.at, bytes.used), bytes.used);
	close(fd);
	free(bytes.at);
}

static void a_parent_that_is_not_the_one_is_refused(void **unused)
{
	uint64_t random = 9;
	struct rk_snapshot *snapshot = aid_make_snapshot(&random, 20000), *again;
	char folder[SNAPSHOT_FOLDER_BYTES], path[3][PATH_MAX];
	struct rk_snapshot_store *store = open_store(aid_folder(folder), 1, 0, 0, false);

	(void)unused;
	for (int i = 0; i < 3; i++) {
		ok(rk_snapshot_store_put(store, snapshot));
		snprintf(path[i], sizeof(path[i]), "%s", rk_snapshot_store_path(store));
	}
	copy_file(path[2], path[0]);
	refused(rk_snapshot_read(&again, path[1]), -EPROTO, "snapshot-00000001.rks");
	/* It builds upon itself, at the same length of chain. */
	copy_file(path[1], path[0]);
	refused(rk_snapshot_read(&again, path[1]), -EPROTO, "builds upon");
	unlink(path[0]);
	refused(rk_snapshot_read(&again, path[1]), -ENOENT, "snapshot-00000001.rks");
	ok(rk_snapshot_newest(&again, folder));
	assert_int_equal(again->id, snapshot->id);
	rk_snapshot_free(again);
	/* What it builds upon is no matter of one file's. */
	ok(rk_snapshot_inspect(path[1], &(struct rk_snapshot_file){0}, NULL, NULL));
	rk_snapshot_free(snapshot);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
}

/* --- What is kept --- */

static void flip_a_byte(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void only_the_last_chains_are_kept(void **unused)
{
	uint64_t random = 9;
	struct rk_snapshot *snapshot = aid_make_snapshot(&random, 20000), *newest;
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct rk_snapshot_store *store = open_store(aid_folder(folder), 3, 2, 0, false);

	(void)unused;
	for (int i = 0; i < 30; i++) {
		ok(rk_snapshot_store_put(store, snapshot));
		/* The chain that is being written, and one whole. */
		assert_int_equal(aid_count_files(folder), (i < 4 ? 0 : 4) + i % 4 + 1);
		ok(rk_snapshot_newest(&newest, folder));
		assert_true(aid_same_snapshot(newest, snapshot));
		rk_snapshot_free(newest);
	}
	/* Another writer goes on behind, with a full one. */
	rk_snapshot_store_close(store);
	store = open_store(folder, 0, 2, 0, false);
	ok(rk_snapshot_store_put(store, snapshot));
	assert_non_null(strstr(rk_snapshot_store_path(store), "snapshot-00000031.rks"));
	assert_int_equal(aid_count_files(folder), 3);
	/* A full one that is damaged is none. */
	flip_a_byte(rk_snapshot_store_path(store), 200);
	ok(rk_snapshot_store_put(store, snapshot));
	assert_int_equal(aid_count_files(folder), 4);
	rk_snapshot_free(snapshot);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
}

static void the_newest_that_is_whole_is_found(void **unused)
{
	uint64_t random = 9;
	struct rk_snapshot *snapshot = aid_make_snapshot(&random, 20000), *newest;
	char folder[SNAPSHOT_FOLDER_BYTES], path[2][PATH_MAX];
	struct rk_snapshot_store *store;
	uint64_t first;

	(void)unused;
	refused(rk_snapshot_newest(&newest, aid_folder(folder)), -ENOENT, "there is none");
	store = open_store(folder, 0, 0, 0, false);
	ok(rk_snapshot_store_put(store, snapshot));
	first = snapshot->id;
	snprintf(path[0], sizeof(path[0]), "%s", rk_snapshot_store_path(store));
	ok(rk_snapshot_store_put(store, snapshot));
	snprintf(path[1], sizeof(path[1]), "%s", rk_snapshot_store_path(store));
	flip_a_byte(path[1], 150);
	ok(rk_snapshot_newest(&newest, folder));
	assert_int_equal(newest->id, first);
	rk_snapshot_free(newest);
	assert_int_equal(truncate(path[0], 300), 0);
	refused(rk_snapshot_newest(&newest, folder), -EBADMSG, "section 0");
	rk_snapshot_free(snapshot);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
}

static void wrong_folders_and_options_are_named(void **unused)
{
	struct rk_snapshot_store_opts opts = {.size = sizeof(opts), .pack = 20};
	struct rk_snapshot_store *store, *other;
	char folder[SNAPSHOT_FOLDER_BYTES], path[PATH_MAX];
	struct rk_snapshot *none;

	(void)unused;
	refused(rk_snapshot_store_open(&store, "/nowhere/at/all", NULL), -ENOENT,
		"/nowhere/at/all");
	refused(rk_snapshot_store_open(&store, "/tmp", &opts), -EINVAL, "pack 20");
	refused(rk_snapshot_newest(&none, "/nowhere/at/all"), -ENOENT, "/nowhere/at/all");
	refused(rk_snapshot_read(&none, "/nowhere/at/all"), -ENOENT, "/nowhere/at/all");
	refused(rk_snapshot_read(&none, "/tmp"), -EINVAL, "not a file");
	store = open_store(aid_folder(folder), 0, 0, 0, false);
	refused(rk_snapshot_store_open(&other, folder, NULL), -EBUSY, folder);
	rk_snapshot_store_close(store);
	/* What an earlier writer left goes, what is not ours stays. */
	snprintf(path, sizeof(path), "%s/snapshot-00000009.rks.writing", folder);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	snprintf(path, sizeof(path), "%s/snapshot-9.rks.writing", folder);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	store = open_store(folder, 0, 0, 0, false);
	assert_int_equal(aid_count_files(folder), 1);
	rk_snapshot_store_close(store);
	aid_remove_folder(folder);
}

/* --- Death and full disks --- */

/* State i of the writer's: every word of it is i. */
static void write_for_ever(const char *folder, bool plain)
{
	uint64_t words[3000] = {0}, none = 0;
	struct rk_snapshot_actor actor = {.name = (char *)(uintptr_t) "a",
					  .type = (char *)(uintptr_t) "t",
					  .args = &none,
					  .state_bytes = sizeof(words),
					  .state = words};
	struct rk_snapshot snapshot = {.actors = 1, .actor = &actor};
	struct rk_snapshot_store *store = open_store(folder, 3, 2, 0, plain);

	for (;;) {
		for (size_t i = 0; i < 3000; i++)
			words[i]++;
		ok(rk_snapshot_store_put(store, &snapshot));
	}
}

static void a_writer_may_die_at_any_moment(void **unused)
{
	uint64_t random = aid_choose_seed(11), seen = 0, whole = 0;
	char folder[SNAPSHOT_FOLDER_BYTES];

	(void)unused;
	aid_folder(folder);
	for (int i = 0; i < DEATHS; i++) {
		struct rk_snapshot *snapshot;
		pid_t child = fork();
		int status;

		if (!child)
			write_for_ever(folder, i & 1);
		usleep((useconds_t)aid_below(&random, 6000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		if (rk_snapshot_newest(&snapshot, folder)) {
			/* None before the first. */
			assert_int_equal(whole, 0);
			continue;
		}
		for (size_t w = 0; w < 3000; w++)
			assert_int_equal(((uint64_t *)snapshot->actor[0].state)[w],
					 *(uint64_t *)snapshot->actor[0].state);
		whole++;
		seen += snapshot->parent_id != 0;
		rk_snapshot_free(snapshot);
	}
	print_message("# %" PRIu64 " deaths left a whole one, %" PRIu64 " of them in a chain\n",
		      whole, seen);
	assert_true(whole > 0);
	aid_remove_folder(folder);
}

static int fill_the_disk(const char *folder)
{
	const struct rlimit small = {10000, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	uint64_t random = 4;
	struct rk_snapshot *snapshot = aid_make_snapshot(&random, 0x8000), *newest = NULL;
	struct rk_snapshot_store *store = NULL;
	uint64_t first;
	int good = 1;

	while (snapshot->actors < 2 || snapshot->actor[0].state_bytes < 20000) {
		rk_snapshot_free(snapshot);
		snapshot = aid_make_snapshot(&random, 0x8000);
	}
	signal(SIGXFSZ, SIG_IGN);
	for (int plain = 0; plain < 2; plain++) {
		const struct rk_snapshot_store_opts opts = {.size = sizeof(opts), .plain = plain};

		good &= !rk_snapshot_store_open(&store, folder, &opts);
		good &= good && !rk_snapshot_store_put(store, snapshot);
		first = snapshot->id;
		good &= !setrlimit(RLIMIT_FSIZE, &small);
		good &= good && rk_snapshot_store_put(store, snapshot) == -EFBIG;
		good &= strstr(rk_errmsg(), "the earlier ones are as they were") != NULL;
		good &= aid_count_files(folder) == 1 + 2 * plain;
		good &= !setrlimit(RLIMIT_FSIZE, &all);
		good &= good && !rk_snapshot_newest(&newest, folder) && newest->id == first;
		rk_snapshot_free(newest);
		good &= good && !rk_snapshot_store_put(store, snapshot);
		rk_snapshot_store_close(store);
	}
	rk_snapshot_free(snapshot);
	return !good;
}

static void a_full_disk_leaves_the_old_ones(void **unused)
{
	char folder[SNAPSHOT_FOLDER_BYTES];

	(void)unused;
	assert_int_equal(in_child(fill_the_disk, aid_folder(folder)), 0);
	aid_remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_read),
		cmocka_unit_test(large_states_are_put_and_read),
		cmocka_unit_test(without_io_uring_all_is_the_same),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(other_versions_and_byte_orders_are_refused),
		cmocka_unit_test(a_chain_is_what_a_full_one_is),
		cmocka_unit_test(other_actors_begin_a_new_chain),
		cmocka_unit_test(a_parent_that_is_not_the_one_is_refused),
		cmocka_unit_test(only_the_last_chains_are_kept),
		cmocka_unit_test(the_newest_that_is_whole_is_found),
		cmocka_unit_test(wrong_folders_and_options_are_named),
		cmocka_unit_test(a_writer_may_die_at_any_moment),
		cmocka_unit_test(a_full_disk_leaves_the_old_ones),
	};

	aid_watchdog(200);
	if (snapshot_supported()) {
		printf("1..0 # SKIP %s\n", rk_errmsg());
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
