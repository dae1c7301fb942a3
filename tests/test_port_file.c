// SPDX-License-Identifier: MIT
/*
 * Port file: blocks of every size and alignment, in order and whole; files cut while they are read,
 * disks that are full. All of it by io_uring, then without. What was accepted is in the file, or
 * counted as refused, to the message.
 */
#include "no_uring.h"
#include "ports_aid.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char folder[80];

static int make_folder(void **state)
{
	/* Beside the build: /tmp may be a file system without direct I/O. */
	snprintf(folder, sizeof(folder), "%s/file-XXXXXX", getenv("B") ? getenv("B") : "build");
	if (!mkdtemp(folder))
		return -1;
	return choose_seed(state);
}

static int remove_folder(void **state)
{
	forget_seen(state);
	return system(text_of("rm -rf '%s'", folder));
}

/* Valid until the next with this name. */
static const char *file_path(const char *name)
{
	static char in[96], out[96];
	char *path = *name == 'o' ? out : in;

	snprintf(path, sizeof(in), "%s/%s", folder, name);
	return path;
}

/* Byte @at of the files of these tests. */
static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 167 ^ at >> 8 ^ at >> 13);
}

static void make_file(const char *path, uint64_t bytes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (uint64_t i = 0; i < bytes; i++)
		putc_unlocked(byte_at(i), file);
	assert_int_equal(fclose(file), 0);
}

/* What was seen is the file from @offset on, @bytes of it, in blocks of @block. */
static void check_blocks(uint64_t offset, uint64_t bytes, uint64_t block)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < seen.count; i++) {
		uint64_t want = bytes - at < block ? bytes - at : block;

		assert_int_equal(seen.entry[i].packet.bytes, want);
		for (uint64_t j = 0; j < want; j++)
			if (seen.entry[i].data[j] != byte_at(offset + at + j))
				fail_msg("byte %llu of block %u is wrong", (unsigned long long)j,
					 i);
		at += want;
	}
	assert_int_equal(at, bytes);
}

static void read_all(uint64_t size, uint64_t offset, uint64_t block, uint32_t depth,
		     const char *options)
{
	struct rk_port_stats stats;
	struct rk_port *port;

	make_file(file_path("in"), size);
	port = must_open(text_of("file:%s,block=%llu,qd=%u,offset=%llu%s", file_path("in"),
				 (unsigned long long)block, depth, (unsigned long long)offset,
				 options),
			 RK_PORT_IN);
	forget(&seen);
	if (run_to_end(port, 512, 1 + (uint32_t)(chance() % 8), 64) != -ENODATA)
		fail_msg("%s", rk_errmsg());
	check_blocks(offset, size - offset, block);
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, seen.count);
	assert_int_equal(stats.bytes, size - offset);
	assert_int_equal(dropped(&stats), 0);
	assert_int_equal(rk_port_close(port), 0);
}

static void test_every_size_comes_whole_and_in_order(void **state)
{
	static const uint64_t sizes[] = {0, 1, 511, 4095, 4096, 4097, 100000, 300001};
	static const uint64_t blocks[] = {512, 4096, 13824, 1000, 14248};

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t j = 0; j < 5; j++) {
			uint32_t depth = 1 + (uint32_t)(chance() % 128);

			if (sizes[i] / blocks[j] >= LOG_MAX)
				continue;
			read_all(sizes[i], 0, blocks[j], depth, "");
			read_all(sizes[i], sizes[i] / 3, blocks[j], depth, ",sqpoll");
			if (j < 3) /* direct: whole sectors */
				read_all(sizes[i], sizes[i] / 3 / 512 * 512, blocks[j], depth,
					 ",direct");
		}
}

static void test_loops_and_parts(void **state)
{
	struct rk_port *port;

	(void)state;
	make_file(file_path("in"), 10000);
	port = must_open(text_of("file:%s,offset=1000,bytes=6000,loops=3", file_path("in")),
			 RK_PORT_IN);
	forget(&seen);
	assert_int_equal(run_to_end(port, 1024, 3, 64), -ENODATA);
	assert_int_equal(seen.count, 6);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(seen.entry[i].packet.bytes, i % 2 ? 6000 - 4096 : 4096);
		assert_int_equal(seen.entry[i].data[0], byte_at(1000 + i % 2 * 4096));
	}
	assert_int_equal(rk_port_close(port), 0);
}

static void test_a_file_that_is_cut_while_it_is_read(void **state)
{
	const char *path = file_path("cut");

	(void)state;
	for (uint32_t round = 0; round < 6; round++) {
		const char *options = round % 2 ? ",direct" : "";
		uint64_t cut = 100 * 4096 + chance() % 4096;
		struct ends *ends = make_ring(1024);
		struct rk_port *port;
		int result;

		make_file(path, 1 << 20);
		port = must_open(text_of("file:%s,qd=8%s", path, options), RK_PORT_IN);
		forget(&seen);
		while (seen.count < 20) {
			assert_true(rk_port_poll_in(port, &ends->tx, 4) >= 0);
			take(ends, UINT32_MAX);
		}
		assert_int_equal(truncate(path, (off_t)cut), 0);
		do {
			result = rk_port_poll_in(port, &ends->tx, 64);
			take(ends, UINT32_MAX);
		} while (result >= 0);
		assert_int_equal(result, -EIO);
		assert_string_equal(
			rk_errmsg(),
			text_of("port 'file:%s,qd=8%s': ends at byte %llu of 1048576: it was cut "
				"while it was read",
				path, options, (unsigned long long)cut));
		check_blocks(0, cut, 4096);
		assert_int_equal(rk_port_close(port), 0);
		free_ring(ends);
	}
}

static void test_reading_into_a_closed_ring(void **state)
{
	struct ends *ends = make_ring(512);
	struct rk_port_stats stats;
	struct rk_port *port;

	(void)state;
	make_file(file_path("in"), 1 << 20);
	port = must_open(text_of("file:%s,qd=16", file_path("in")), RK_PORT_IN);
	while (rk_port_poll_in(port, &ends->tx, 64) > 0)
		continue;
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, 6); /* of 74 slots each */
	assert_true(stats.ring_full > 0);
	rk_ring_refuse(&ends->rx, RK_CLOSE_STOPPED);
	while (rk_port_poll_in(port, &ends->tx, 64) >= 0)
		continue;
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, 6);
	assert_true(stats.dropped_closed > 0 && stats.dropped_closed <= 16);
	assert_int_equal(rk_port_close(port), 0);
	free_ring(ends);
}

/* --- Writing --- */

/* The file holds the messages [0, @count) of @sent, behind @before bytes. */
static void check_file(const char *path, uint64_t before, uint64_t count)
{
	static uint8_t want[MAX_BYTES], got[MAX_BYTES];
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)before, SEEK_SET), 0);
	for (uint32_t i = 0; i < count; i++) {
		fill_payload(want, i, sent[i].bytes);
		assert_int_equal(fread(got, 1, sent[i].bytes, file), sent[i].bytes);
		assert_memory_equal(got, want, sent[i].bytes);
	}
	assert_int_equal(getc(file), EOF);
	fclose(file);
}

static void flush_all(struct rk_port *port)
{
	int result = 0;

	for (uint32_t i = 0; i < 50000 && !(result = rk_port_flush(port)); i++)
		usleep(100);
	if (result != 1)
		fail_msg("flush: %d: %s", result, rk_errmsg());
}

static void write_some(const char *options, uint32_t count, uint64_t before, bool flushed)
{
	const char *path = file_path("out");
	struct rk_port *port = must_open(text_of("file:%s%s", path, options), RK_PORT_OUT);
	struct rk_port_stats stats;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		sent[i].bytes = (uint32_t)(chance() % (i % 50 ? 600 : MAX_BYTES));
		bytes += sent[i].bytes;
		must_write(port, build(RK_MSG_PACKET, 0, 7, 0, i, sent[i].bytes));
		if (chance() % 100 == 0)
			rk_port_flush(port);
		if (chance() % 1000 == 0)
			flush_all(port);
	}
	if (flushed) {
		flush_all(port);
		rk_port_stats(port, &stats);
		assert_int_equal(stats.messages, count);
		assert_int_equal(stats.bytes, bytes);
		assert_int_equal(dropped(&stats), 0);
	}
	assert_int_equal(rk_port_close(port), 0);
	check_file(path, before, count);
}

static void test_what_is_written_is_in_the_file(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		write_some("", 3000, 0, i % 2);
		write_some(",sync", 500, 0, i % 2);
		write_some(",sqpoll", 3000, 0, i % 2);
		write_some(",direct", 3000, 0, i % 2);
		write_some(",direct,sync", 1 + (uint32_t)(chance() % 9), 0, i % 2);
		make_file(file_path("out"), 8192);
		write_some(",append", 1000, 8192, i % 2);
		make_file(file_path("out"), 8192);
		write_some(",append,direct", 1000, 8192, i % 2);
	}
}

/* Older kernels let go of a file some time after it was closed. */
static void unmount(const char *disk)
{
	for (uint32_t i = 0; umount(disk) && i < 1000; i++)
		usleep(10000);
	assert_int_equal(rmdir(disk), 0);
}

/* A disk of one MiB: what does not fit is counted, and what is in the file is whole. */
static void fill_disk(const char *path)
{
	struct rk_port *port = must_open(text_of("file:%s", path), RK_PORT_OUT);
	struct rk_port_stats stats;
	uint32_t accepted = 0;
	int result = 1;

	while (result >= 0 && accepted < LOG_MAX) {
		sent[accepted].bytes = 400 + accepted % 300;
		result = rk_port_write(
			port, build(RK_MSG_PACKET, 0, 7, 0, accepted, sent[accepted].bytes));
		accepted += result > 0;
		if (result >= 0 && chance() % 16 == 0)
			result = rk_port_flush(port);
	}
	assert_int_equal(result, -ENOSPC);
	assert_non_null(strstr(rk_errmsg(), "No space left on device"));
	rk_port_stats(port, &stats);
	assert_true(stats.messages > 0 && stats.dropped_refused > 0);
	assert_int_equal(stats.messages + stats.dropped_refused, accepted);
	assert_int_equal(rk_port_flush(port), -ENOSPC);
	assert_int_equal(rk_port_close(port), 0);
	check_file(path, 0, stats.messages);
}

static void test_a_full_disk(void **state)
{
	const char *disk = file_path("out");

	(void)state;
	unlink(disk);
	assert_int_equal(mkdir(disk, 0755), 0);
	if (mount("tmpfs", disk, "tmpfs", 0, "size=1m")) {
		rmdir(disk);
		print_message("skipped: mount a tmpfs: %s\n", strerror(errno));
		skip();
	}
	fill_disk(file_path("out/f"));
	unmount(file_path("out"));
}

/* Whatever io_uring or a plain write says at closing, it is told. */
static void test_a_limit_that_is_met_at_closing(void **state)
{
	const char *disk = file_path("out");
	struct rk_port *port;

	(void)state;
	unlink(disk);
	assert_int_equal(mkdir(disk, 0755), 0);
	if (mount("tmpfs", disk, "tmpfs", 0, "size=64k")) {
		rmdir(disk);
		print_message("skipped: mount a tmpfs: %s\n", strerror(errno));
		skip();
	}
	port = must_open(text_of("file:%s", file_path("out/f")), RK_PORT_OUT);
	for (uint32_t i = 0; i < 20; i++) {
		sent[i].bytes = 10000;
		assert_int_equal(rk_port_write(port, build(RK_MSG_PACKET, 0, 7, 0, i, 10000)), 1);
	}
	assert_int_equal(rk_port_close(port), -ENOSPC);
	assert_non_null(strstr(rk_errmsg(), "No space left on device"));
	check_file(file_path("out/f"), 0, 0);
	unmount(file_path("out"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size_comes_whole_and_in_order),
		cmocka_unit_test(test_loops_and_parts),
		cmocka_unit_test(test_a_file_that_is_cut_while_it_is_read),
		cmocka_unit_test(test_reading_into_a_closed_ring),
		cmocka_unit_test(test_what_is_written_is_in_the_file),
		cmocka_unit_test(test_a_full_disk),
		cmocka_unit_test(test_a_limit_that_is_met_at_closing),
	};
	int failed = cmocka_run_group_tests_name("io_uring", tests, make_folder, remove_folder);

	if (!no_uring())
		return failed;
	return failed + cmocka_run_group_tests_name("plain", tests, make_folder, remove_folder);
}
