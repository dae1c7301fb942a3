// SPDX-License-Identifier: MIT
/*
 * A handler's own I/O: reads, writes, sends and receives by stores into a ring of the kernel's;
 * what is refused, what is not believed, sleeps that end, and the shipped actor that scans a file.
 */
#include "actors.h"
#include "file_scan.h"
#include "io/rk_io_ring.h"
#include "ports_aid.h"
#include "rk_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { FILE_BYTES = 1000003, BLOCK = 4096 };

static char path[128];

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 167 ^ at >> 8 ^ at >> 13);
}

static int make_file(void **state)
{
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "%s/io-XXXXXX", getenv("B") ? getenv("B") : "build");
	fd = mkstemp(path);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		return -1;
	for (uint64_t i = 0; i < FILE_BYTES; i++)
		putc_unlocked(byte_at(i), file);
	return fclose(file) ? -1 : choose_seed(state);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* A ring over @fd, or a skip with the reason. */
static struct rk_io_ring *open_ring(const int *fds, uint32_t count, uint32_t slots)
{
	const struct rk_io_ring_opts opts = {
		.size = sizeof(opts), .slots = slots, .buffers_bytes = slots * BLOCK, .idle_ms = 1};
	struct rk_io_ring *ring = NULL;
	int result = rk_io_ring_open(&ring, fds, count, &opts);

	if (result == -EOPNOTSUPP) {
		print_message("skipped: %s\n", rk_errmsg());
		skip();
	}
	if (result)
		fail_msg("%s", rk_errmsg());
	return ring;
}

static struct rk_io_done await(struct rk_io *io, uint32_t *tag)
{
	uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + 20000000000;
	struct rk_io_done done;
	struct rk_msg msg;

	while (!rk_io_reap(io, &msg))
		if (clock_ns(CLOCK_MONOTONIC) > deadline)
			fail_msg("no completion came");
	assert_int_equal(msg.type, RK_MSG_IO_DONE);
	assert_int_equal(msg.slots, 1);
	*tag = msg.tag;
	memcpy(&done, msg.body, sizeof(done));
	return done;
}

static void check_bytes(struct rk_io *io, const struct rk_io_done *done)
{
	for (int32_t i = 0; i < done->result; i++)
		if (rk_io_buffer(io, done->buffer)[i] != byte_at(done->offset + (uint64_t)i))
			fail_msg("byte %d is wrong", i);
}

static void test_reads_come_back_with_their_tags(void **state)
{
	int fd = open(path, O_RDONLY);
	struct rk_io_ring *ring = open_ring(&fd, 1, 16);
	struct rk_io *io = rk_io_ring_io(ring);
	uint64_t offset_of[16] = {0};
	uint32_t tag, started = 0, done = 0;

	(void)state;
	close(fd); /* the ring has its own */
	while (done < 20000) {
		uint32_t buffer = started % 16;
		struct rk_io_done completion;

		if (started < 20000 && started - done < 16) {
			offset_of[buffer] = chance() % FILE_BYTES;
			assert_int_equal(
				rk_io_read(io, 0, offset_of[buffer], buffer * BLOCK, BLOCK, buffer),
				1);
			started++;
			if (started - done < 16)
				continue;
		}
		if (started - done == 16) /* all slots are taken */
			assert_int_equal(rk_io_read(io, 0, 0, 0, 1, 99), 0);
		completion = await(io, &tag);
		assert_true(tag < 16);
		assert_int_equal(completion.buffer, tag * BLOCK);
		assert_int_equal(completion.offset, offset_of[tag]);
		assert_int_equal(completion.result, FILE_BYTES - offset_of[tag] < BLOCK
							    ? FILE_BYTES - offset_of[tag]
							    : BLOCK);
		check_bytes(io, &completion);
		done++;
		/* In this order only, so that a buffer is not used twice: the next is this one. */
		for (; done < 20000 && started < 20000;) {
			offset_of[tag] = chance() % FILE_BYTES;
			assert_int_equal(rk_io_read(io, 0, offset_of[tag], tag * BLOCK, BLOCK, tag),
					 1);
			started++;
			break;
		}
	}
	assert_int_equal(io->strange, 0);
	rk_io_finish(io);
	assert_true(rk_io_ring_finished(ring));
	assert_int_equal(rk_io_ring_close(ring), 0);
}

static void test_what_is_not_there_is_refused(void **state)
{
	int fd = open(path, O_RDONLY);
	struct rk_io_ring *ring = open_ring(&fd, 1, 4);
	struct rk_io *io = rk_io_ring_io(ring);
	struct rk_io_done done;
	uint32_t tag;

	(void)state;
	assert_int_equal(rk_io_read(io, 1, 0, 0, 1, 0), RK_IO_EINVAL);
	assert_int_equal(rk_io_read(io, 0, 0, 4 * BLOCK, 1, 0), RK_IO_EINVAL);
	assert_int_equal(rk_io_read(io, 0, 0, 4 * BLOCK - 1, 2, 0), RK_IO_EINVAL);
	assert_int_equal(rk_io_read(io, 0, 0, UINT64_MAX, 2, 0), RK_IO_EINVAL);
	assert_int_equal(rk_io_read(io, 0, 0, 0, UINT32_MAX, 0), RK_IO_EINVAL);
	assert_int_equal(io->sq_next, 0);
	/* Behind the end; a socket's operation on a file; a write without the right to it. */
	assert_int_equal(rk_io_read(io, 0, FILE_BYTES + 5, 0, 10, 1), 1);
	done = await(io, &tag);
	assert_int_equal(done.result, 0);
	assert_int_equal(rk_io_recv(io, 0, 0, 10, 2), 1);
	done = await(io, &tag);
	assert_int_equal(tag, 2);
	assert_int_equal(done.result, -ENOTSOCK);
	assert_int_equal(rk_io_write(io, 0, 0, 0, 10, 3), 1);
	done = await(io, &tag);
	assert_int_equal(done.result, -EBADF);
	assert_int_equal(rk_io_ring_close(ring), 0);
	close(fd);
}

static void test_sockets_and_sleep(void **state)
{
	int pair[2];
	struct rk_io_ring *ring;
	struct rk_io_done done;
	struct rk_io *io;
	uint32_t tag;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	ring = open_ring(pair, 2, 8);
	io = rk_io_ring_io(ring);
	for (uint32_t i = 0; i < 20; i++) {
		usleep(20000); /* the kernel's thread sleeps after a millisecond */
		fill_payload(rk_io_buffer(io, 0), i, 500);
		assert_int_equal(rk_io_recv(io, 1, BLOCK, BLOCK, 7), 1);
		assert_int_equal(rk_io_send(io, 0, 0, 500, 8), 1);
		for (uint32_t j = 0; j < 2; j++) {
			done = await(io, &tag);
			assert_int_equal(done.result, 500);
			assert_int_equal(done.op, tag == 7 ? RK_IO_RECV : RK_IO_SEND);
		}
		assert_memory_equal(rk_io_buffer(io, 0), rk_io_buffer(io, BLOCK), 500);
	}
	assert_true(rk_io_ring_wakeups(ring) >= 10);
	/* Receives of which nothing comes are cancelled: closing does not wait for them. */
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(rk_io_recv(io, i % 2, i * BLOCK, BLOCK, i), 1);
	assert_int_equal(rk_io_recv(io, 0, 0, BLOCK, 9), 0);
	assert_false(rk_io_ring_finished(ring));
	assert_int_equal(rk_io_ring_close(ring), 0);
	close(pair[0]);
	close(pair[1]);
}

/* A ring without a kernel, whose completion queue holds whatever chance puts there. */
static void test_hostile_completions(void **state)
{
	enum { SLOTS = 8, SQES = 4096, CQES = 8192, WORDS = 12288, TABLE = 16384, BUFFERS = 24576 };
	uint8_t *memory = aligned_alloc(4096, 65536);
	struct rk_io *io = (struct rk_io *)memory;
	uint32_t started = 0, believed = 0;
	struct rk_msg msg;

	(void)state;
	memset(memory, 0, 65536);
	*io = (struct rk_io){.region = (uintptr_t)memory,
			     .sqes = SQES,
			     .sq_head = WORDS,
			     .sq_tail = WORDS + 64,
			     .sq_flags = WORDS + 128,
			     .cqes = CQES,
			     .cq_head = WORDS + 192,
			     .cq_tail = WORDS + 256,
			     .slot_table = TABLE,
			     .free_places = TABLE + 4096,
			     .buffers = BUFFERS,
			     .buffers_bytes = 8192,
			     .slots = SLOTS,
			     .cq_entries = 2 * SLOTS,
			     .files = 1,
			     .free_tail = SLOTS};
	for (uint32_t i = 0; i < SLOTS; i++)
		*rk_io_free_place(io, i) = i;
	for (uint32_t round = 0; round < 1000000; round++) {
		uint64_t *cqe = (uint64_t *)(memory + CQES + io->cq_next % (2 * SLOTS) * 16);
		uint64_t *sqe = (uint64_t *)(memory + SQES + chance() % SLOTS * 64);
		struct rk_io_done done;

		if (started - believed < SLOTS && chance() % 2)
			started += rk_io_read(io, 0, chance() % 1000, 0, 100, started) == 1;
		/* The name of a submission that there was, of one that was not, or any. */
		cqe[0] = chance() % 2	? sqe[4]
			 : chance() % 2 ? sqe[4] ^ 1ULL << chance() % 64
					: chance();
		cqe[1] = chance() % 2 ? chance() % 101 : chance();
		++*rk_io_word(io, io->cq_tail);
		if (!rk_io_reap(io, &msg))
			continue;
		memcpy(&done, msg.body, sizeof(done));
		assert_true(done.result <= 100);
		assert_true(msg.tag < started);
		believed++;
	}
	assert_true(believed > 1000 && believed <= started);
	assert_int_equal(believed + io->strange, 1000000);
	free(memory);
}

/* --- The actor --- */

static struct rk_file_scan_result expected(uint64_t bytes)
{
	struct rk_file_scan_result result = {.bytes = bytes};

	for (uint64_t word = 0; word * 8 < bytes; word++) {
		uint64_t value = 0;

		for (uint64_t i = 0; i < 8 && word * 8 + i < bytes; i++) {
			value |= (uint64_t)byte_at(word * 8 + i) << (8 * i);
			result.histogram[byte_at(word * 8 + i)]++;
		}
		result.sum += value;
		result.weighted_sum += (word + 1) * value;
	}
	return result;
}

static void scan(const char *options, uint64_t block, uint64_t bytes)
{
	const struct rk_actor_opts opts = {
		.size = sizeof(opts), .worker = RK_ANY_WORKER, .args = &block, .arg_count = 1};
	const struct rk_file_scan_result want = expected(bytes);
	static uint64_t cells[CELLS * RK_CELL_BYTES / 8];
	struct rk_msg *msg = (struct rk_msg *)cells;
	struct rk_runtime *runtime;
	struct rk_port *port = NULL;
	struct rk_actor *actor;
	struct rk_ring_rx *from;

	assert_int_equal(truncate(path, (off_t)bytes), 0);
	if (rk_port_open(&port, text_of("io:%s%s", path, options), RK_PORT_IN, 0)) {
		print_message("skipped: %s\n", rk_errmsg());
		skip();
	}
	assert_int_equal(rk_runtime_open(&runtime, NULL), 0);
	assert_int_equal(rk_actor_spawn(&actor, runtime, rk_actor_type_find("file_scan"), &opts),
			 0);
	assert_int_equal(rk_link_host_out(&from, actor, NULL), 0);
	assert_int_equal(rk_link_port_in(NULL, port, actor, NULL), 0);
	assert_int_equal(rk_ring_wait_recv(from, 60000000000), 1);
	assert_true(rk_ring_recv(from, msg, CELLS) > 0);
	assert_int_equal(msg->type, RK_FILE_SCAN_RESULT);
	assert_memory_equal(rk_msg_payload(msg), &want, sizeof(want));
	assert_int_equal(rk_runtime_wait(runtime, 20000000000), 0);
	assert_int_equal(rk_runtime_close(runtime), 0);
}

static void test_file_scan_finds_what_is_there(void **state)
{
	static const uint64_t sizes[] = {FILE_BYTES, 999999, 65536, 4097, 4096, 4095, 7, 1, 0};

	(void)state;
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		scan("", 0, sizes[i]);
		scan(",qd=2,buffers=8192", 4096, sizes[i]);
		scan(",qd=16,direct", 8192, sizes[i]);
	}
}

/* Stopped in the middle, with reads in flight: nothing hangs, nothing is written afterwards. */
static void test_file_scan_is_stopped(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		struct rk_runtime *runtime;
		struct rk_port *port = NULL;
		struct rk_actor *actor;

		assert_int_equal(truncate(path, 200 << 20), 0); /* sparse */
		if (rk_port_open(&port, text_of("io:%s", path), RK_PORT_IN, 0)) {
			print_message("skipped: %s\n", rk_errmsg());
			skip();
		}
		assert_int_equal(rk_runtime_open(&runtime, NULL), 0);
		assert_int_equal(
			rk_actor_spawn(&actor, runtime, rk_actor_type_find("file_scan"), NULL), 0);
		assert_int_equal(rk_link_port_in(NULL, port, actor, NULL), 0);
		usleep((useconds_t)(chance() % 20000));
		assert_int_equal(rk_runtime_stop(runtime, round % 2 ? RK_STOP_NOW : RK_STOP_DRAIN,
						 20000000000),
				 0);
		assert_int_equal(rk_runtime_close(runtime), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_come_back_with_their_tags),
		cmocka_unit_test(test_what_is_not_there_is_refused),
		cmocka_unit_test(test_sockets_and_sleep),
		cmocka_unit_test(test_hostile_completions),
		cmocka_unit_test(test_file_scan_finds_what_is_there),
		cmocka_unit_test(test_file_scan_is_stopped),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
