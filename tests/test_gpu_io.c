// SPDX-License-Identifier: MIT
/*
 * I/O that an actor does itself, by stores into an io_uring and with no CPU code of ours in its path:
 * the same bodies on a GPU, called by a warp and by a block, and on a CPU.
 */
#include "actor_aid.h"
#include "actors.h"
#include "file_scan.h"
#include "gpu_aid.h"
#include "io_handlers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

RK_SOURCE(io_source, "tests/io_handlers.h");

static const struct rk_actor_type io_type = {.name = "io",
					     .summary = "does the I/O that it is told to",
					     .handle = test_io,
					     .source = io_source,
					     .function = "test_io",
					     .state_bytes = sizeof(struct io_state)};

static const struct placing on_cpu = {&io_type, RK_BACKEND_CPU, RK_GROUP_WARP, 0};
static const struct placing warp = {&io_type, RK_BACKEND_CUDA, RK_GROUP_WARP, 0};
static const struct placing block = {&io_type, RK_BACKEND_CUDA, RK_GROUP_BLOCK, 0};

enum { BLOCK_BYTES = 4096, FILE_BLOCKS = 4096, FILE_BYTES = FILE_BLOCKS * BLOCK_BYTES };

/* --- A file whose first word in each block is the block's number times this --- */

#define WORD_OF_BLOCK 0x9e3779b97f4a7c15ULL

static char path[64];

static int make_file(void **unused)
{
	uint64_t words[BLOCK_BYTES / 8] = {0};
	int fd;

	(void)unused;
	snprintf(path, sizeof(path), "gpu-io-%d.data", getpid());
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0)
		return -1;
	for (uint64_t i = 0; i < FILE_BLOCKS; i++) {
		words[0] = i * WORD_OF_BLOCK;
		if (write(fd, words, sizeof(words)) != sizeof(words))
			return -1;
	}
	return close(fd);
}

static int remove_file(void **unused)
{
	(void)unused;
	return unlink(path);
}

static uint64_t sum_of_blocks(uint64_t first, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++)
		sum += (first + i) * WORD_OF_BLOCK;
	return sum;
}

/* --- The actor, its ring, and the host's ends --- */

struct stand {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	struct rk_port *port;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
};

static struct io_report await(struct stand *stand, uint16_t type, uint32_t *tag)
{
	struct io_report report;
	struct rk_msg msg;

	assert_true(receive(stand->rx, &msg, 1));
	assert_int_equal(msg.type, type);
	memcpy(&report, rk_msg_payload(&msg), sizeof(report));
	if (tag)
		*tag = msg.tag;
	return report;
}

static struct stand open_stand(const struct placing *on, const char *what, const char *options)
{
	const struct rk_actor_opts opts = opts_of(on, 0);
	struct stand stand = {.runtime = open_runtime(2, 0)};
	char uri[256];

	snprintf(uri, sizeof(uri), "io:%s%s%s", what, on->backend == RK_BACKEND_CUDA ? ",gpu=0" : "",
		 options);
	ok(rk_port_open(&stand.port, uri, RK_PORT_IN, 0));
	ok(rk_actor_spawn(&stand.actor, stand.runtime, on->type, &opts));
	ok(rk_link_host_out(&stand.rx, stand.actor, NULL));
	ok(rk_link_port_in(NULL, stand.port, stand.actor, NULL));
	ok(rk_link_host_in(&stand.tx, stand.actor, NULL));
	await(&stand, IO_READY, NULL);
	return stand;
}

static void order(struct stand *stand, uint16_t type, uint32_t tag, const void *body, size_t bytes)
{
	struct rk_msg msg = {.type = type, .slots = 1, .tag = tag};

	if (bytes)
		memcpy(msg.body, body, bytes);
	send_msg(stand->tx, &msg);
}

static struct io_report reads(struct stand *stand, uint64_t count, uint64_t depth, uint64_t bytes,
			      uint64_t offset)
{
	const struct io_reads what = {count, depth, bytes, offset};

	order(stand, IO_READS, 0, &what, sizeof(what));
	return await(stand, IO_READY, NULL);
}

static void close_stand(struct stand *stand)
{
	order(stand, IO_END, 0, NULL, 0);
	finish_sending(stand->tx);
	ok(rk_runtime_wait(stand->runtime, LONG_NS));
	close_runtime(stand->runtime);
}

/* --- Files --- */

static void every_read_brings_its_block(void **state)
{
	static const uint64_t depths[] = {1, 7, 64};
	struct stand stand = open_stand(*state, path, "");

	for (unsigned int i = 0; i < 3; i++) {
		struct timespec begin, end;
		struct io_report report;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		report = reads(&stand, FILE_BLOCKS, depths[i], BLOCK_BYTES, 0);
		clock_gettime(CLOCK_MONOTONIC, &end);
		print_message("# %llu in flight: %.2f us a read\n", (unsigned long long)depths[i],
			      ((double)(end.tv_sec - begin.tv_sec) * 1e6 +
			       (double)(end.tv_nsec - begin.tv_nsec) / 1e3) / FILE_BLOCKS);
		assert_int_equal(report.done, FILE_BLOCKS);
		assert_int_equal(report.failed, 0);
		assert_int_equal(report.bytes, FILE_BYTES);
		assert_int_equal(report.sum, sum_of_blocks(0, FILE_BLOCKS));
	}
	close_stand(&stand);
}

static void what_goes_wrong_is_a_value(void **state)
{
	struct stand stand = open_stand(*state, path, ",qd=4,buffers=65536");
	struct io_report report;

	/* The file's end in the middle of a read, and behind it. */
	report = reads(&stand, 1, 1, BLOCK_BYTES, FILE_BYTES - 1000);
	assert_int_equal(report.bytes, 1000);
	report = reads(&stand, 3, 3, BLOCK_BYTES, FILE_BYTES);
	assert_int_equal(report.done, 3);
	assert_int_equal(report.bytes + report.failed, 0);
	/* Buffers that are not there. */
	report = reads(&stand, 1, 1, 65537, 0);
	assert_int_equal(report.done, 0);
	assert_int_equal(report.failed, 1);
	/* More at once than there are slots: those that found one are done. */
	report = reads(&stand, 16, 16, BLOCK_BYTES, 0);
	assert_int_equal(report.done, 16);
	assert_int_equal(report.full, 12);
	assert_int_equal(report.sum, sum_of_blocks(0, 16));
	/* A file that is there to be read. */
	order(&stand, IO_WRITE, 0, NULL, 0);
	report = await(&stand, IO_READY, NULL);
	assert_int_equal(report.failed, 1);
	assert_int_equal(report.error, -EBADF);
	report = reads(&stand, 64, 4, BLOCK_BYTES, 0);
	assert_int_equal(report.sum, sum_of_blocks(0, 64));
	close_stand(&stand);
}

/* The kernel's thread sleeps after a millisecond: whoever wakes it sees to it that nothing hangs. */
static void a_sleeping_kernel_is_woken(void **state)
{
	struct stand stand = open_stand(*state, path, ",idle=1");

	for (int i = 0; i < 20; i++) {
		usleep(5000);
		assert_int_equal(reads(&stand, 10, 2, BLOCK_BYTES, 0).sum, sum_of_blocks(0, 10));
	}
	close_stand(&stand);
}

/* --- Datagrams --- */

static int open_receiver(char what[64])
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval patience = {.tv_sec = 10};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	snprintf(what, 64, "udp:127.0.0.1:%d", ntohs(name.sin_port));
	return fd;
}

static void datagrams_leave_as_they_were_given(void **state)
{
	char what[64], datagram[RK_MSG_BODY_BYTES], expected[RK_MSG_BODY_BYTES];
	int fd = open_receiver(what);
	struct stand stand = open_stand(*state, what, ",qd=16");

	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t tag;

		memset(expected, 0, sizeof(expected));
		snprintf(expected, sizeof(expected), "datagram %u", i);
		order(&stand, IO_SEND, i % 16, expected, sizeof(expected));
		assert_int_equal(await(&stand, IO_SENT, &tag).failed, 0);
		assert_int_equal(tag, i % 16);
		assert_int_equal(recv(fd, datagram, sizeof(datagram), 0), sizeof(datagram));
		assert_memory_equal(datagram, expected, sizeof(expected));
	}
	close(fd);
	close_stand(&stand);
}

/* Nobody sends: what is in flight is cancelled, and its buffers stay until it has ended. */
static void what_is_in_flight_ends_with_its_actor(void **state)
{
	char what[64];
	int fd = open_receiver(what);

	for (int how = 0; how < 3; how++) {
		struct stand stand = open_stand(*state, what, ",qd=16");

		order(&stand, IO_RECV, 0, NULL, 0);
		usleep(2000);
		if (how == 0)
			ok(rk_actor_stop(stand.actor, RK_STOP_NOW, LONG_NS));
		else if (how == 1)
			ok(rk_actor_kill(stand.actor, LONG_NS));
		close_runtime(stand.runtime);
	}
	close(fd);
}

/* --- The actor that scans files --- */

static struct rk_file_scan_result scan(enum rk_backend backend, enum rk_group group,
				       const char *options)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts), .backend = backend, .group = group};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_file_scan_result result;
	struct rk_msg cells[64];
	struct rk_actor *actor;
	struct rk_port *port;
	struct rk_ring_rx *rx;
	char uri[128];

	snprintf(uri, sizeof(uri), "io:%s%s%s", path, backend == RK_BACKEND_CUDA ? ",gpu=0" : "",
		 options);
	ok(rk_port_open(&port, uri, RK_PORT_IN, 0));
	ok(rk_actor_spawn(&actor, runtime, rk_actor_type_find("file_scan"), &opts));
	ok(rk_link_host_out(&rx, actor, NULL));
	ok(rk_link_port_in(NULL, port, actor, NULL));
	assert_true(receive(rx, cells, 64));
	assert_int_equal(cells[0].type, RK_FILE_SCAN_RESULT);
	memcpy(&result, rk_msg_payload(cells), sizeof(result));
	ok(rk_runtime_wait(runtime, LONG_NS));
	close_runtime(runtime);
	return result;
}

static void a_gpu_scans_a_file_as_a_cpu_does(void **unused)
{
	static const off_t bytes[] = {FILE_BYTES, 1000003, 0};
	static const char *const options[] = {"", ",qd=4", ",qd=1,buffers=65536"};

	(void)unused;
	for (unsigned int i = 0; i < 3; i++) {
		struct rk_file_scan_result cpu, warps, blocks;

		assert_int_equal(truncate(path, bytes[i]), 0);
		cpu = scan(RK_BACKEND_CPU, RK_GROUP_WARP, "");
		assert_int_equal(cpu.bytes, bytes[i]);
		warps = scan(RK_BACKEND_CUDA, RK_GROUP_WARP, options[i]);
		blocks = scan(RK_BACKEND_CUDA, RK_GROUP_BLOCK, options[i]);
		assert_memory_equal(&cpu, &warps, sizeof(cpu));
		assert_memory_equal(&cpu, &blocks, sizeof(cpu));
	}
}

/* --- Who may have it --- */

static void a_ring_is_for_one_place(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor_opts opts = opts_of(&on_cpu, 0);
	struct rk_actor *cpu, *gpu;
	struct rk_port *port;
	char uri[128];

	(void)unused;
	ok(rk_actor_spawn(&cpu, runtime, &io_type, &opts));
	opts = opts_of(&warp, 0);
	ok(rk_actor_spawn(&gpu, runtime, &io_type, &opts));
	snprintf(uri, sizeof(uri), "io:%s,gpu=0", path);
	ok(rk_port_open(&port, uri, RK_PORT_IN, 0));
	assert_int_equal(rk_link_port_in(NULL, port, cpu, NULL), -EINVAL);
	snprintf(uri, sizeof(uri), "io:%s", path);
	ok(rk_port_open(&port, uri, RK_PORT_IN, 0));
	assert_int_equal(rk_link_port_in(NULL, port, gpu, NULL), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "its ring is for an actor on a CPU, not on GPU 0"));
	close_runtime(runtime);
}

#define IO_BODIES(X)                          \
	X(every_read_brings_its_block)        \
	X(what_goes_wrong_is_a_value)         \
	X(a_sleeping_kernel_is_woken)         \
	X(datagrams_leave_as_they_were_given) \
	X(what_is_in_flight_ends_with_its_actor)

int main(void)
{
	const struct CMUnitTest on_cpus[] = {
		IO_BODIES(CPU)
	};
	const struct CMUnitTest on_gpus[] = {
		IO_BODIES(WARP)
		BLOCK(every_read_brings_its_block)
		BLOCK(what_is_in_flight_ends_with_its_actor)
		cmocka_unit_test_setup(a_ring_is_for_one_place, nothing_is_left_open),
		cmocka_unit_test_setup(a_gpu_scans_a_file_as_a_cpu_does, nothing_is_left_open),
	};
	int failed;

	aid_watchdog(120);
	failed = cmocka_run_group_tests(on_cpus, make_file, remove_file);
	return failed + gpu_run_rest(on_gpus, make_file, remove_file);
}
