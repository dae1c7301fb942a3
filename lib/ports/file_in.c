// SPDX-License-Identifier: MIT
/*
 * Port file, input: blocks of a file in their order, many reads in flight.
 *
 * Each read lands where its message will have it, so a block is copied once: into the ring. Reads
 * complete in any order; a block waits for those before it. rk_msg.tag is the number of the block.
 */
#include "ports/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 128, DEFAULT_DEPTH = 32, DEFAULT_BLOCK_BYTES = 4096 };

/**
 * struct block - a read and its message
 * @data: where its bytes land; room for a message's front is before them
 * @want: bytes that belong to it
 * @got: of them read
 * @number: of the block
 */
struct block {
	struct reactor_op read;
	struct file_in *file;
	uint8_t *data;
	uint32_t want, got;
	uint64_t number;
	int error;
};

/**
 * struct file_in - a file, and the blocks on their way; that with number n is at n % depth
 * @next: the next block to read
 * @put: the next to go into the ring
 * @end: behind the last of all loops
 * @blocks: of one loop
 * @held: the ring had no room for @put
 */
struct file_in {
	struct rk_port port;
	struct reactor_client client;
	struct rk_region *region;
	uint64_t block_bytes, depth, offset, bytes, loops;
	bool direct, held, registered, over;
	int fd;
	uint64_t next, put, end, blocks;
	struct block block[MAX_DEPTH];
};

static struct file_in *file_of(struct rk_port *port)
{
	return (struct file_in *)port;
}

static int set_block(struct rk_port *port, const char *value)
{
	return port_parse_count("block", value, 1, PORT_MAX_BYTES, &file_of(port)->block_bytes);
}

static int set_depth(struct rk_port *port, const char *value)
{
	return port_parse_count("qd", value, 1, MAX_DEPTH, &file_of(port)->depth);
}

static int set_offset(struct rk_port *port, const char *value)
{
	return port_parse_count("offset", value, 0, INT64_MAX, &file_of(port)->offset);
}

static int set_bytes(struct rk_port *port, const char *value)
{
	return port_parse_count("bytes", value, 1, INT64_MAX, &file_of(port)->bytes);
}

static int set_loops(struct rk_port *port, const char *value)
{
	return port_parse_count("loops", value, 1, UINT32_MAX, &file_of(port)->loops);
}

static int set_direct(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->direct = true;
	return 0;
}

static int set_sqpoll(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->client.sqpoll = true;
	return 0;
}

static const struct port_option options[] = {
	{"block", false, set_block},  {"qd", false, set_depth},	   {"offset", false, set_offset},
	{"bytes", false, set_bytes},  {"loops", false, set_loops}, {"direct", true, set_direct},
	{"sqpoll", true, set_sqpoll}, {NULL, false, NULL},
};

static void read_done(struct reactor_op *op, const struct reactor_done *done);

/* A page before each block's data holds the front of its message. */
static int make_blocks(struct file_in *file)
{
	const struct rk_region_opts opts = {.size = sizeof(opts)};
	uint64_t room = (file->block_bytes + RK_CELL_BYTES + RK_PAGE_BYTES - 1) & -RK_PAGE_BYTES;
	uint64_t stride = RK_PAGE_BYTES + room;
	uint8_t *memory;
	int result = rk_region_open(&file->region, file->depth * stride, &opts);

	if (result)
		return result;
	memory = rk_region_take(file->region, file->depth * stride);
	for (uint32_t i = 0; i < file->depth; i++) {
		struct block *block = &file->block[i];

		block->file = file;
		block->data = memory + i * stride + RK_PAGE_BYTES;
		block->read = (struct reactor_op){
			.done = read_done, .kind = REACTOR_READ, .fd = file->fd};
	}
	return reactor_client_open(&file->client, true, file->port.note, sizeof(file->port.note));
}

static int check_direct(const struct file_in *file)
{
	const char *name = file->block_bytes % FILE_SECTOR_BYTES ? "block" : "offset";
	uint64_t value = file->block_bytes % FILE_SECTOR_BYTES ? file->block_bytes : file->offset;

	if (!file->direct || !(value % FILE_SECTOR_BYTES))
		return 0;
	return rk_fail(EINVAL, "%s=%" PRIu64 ": direct wants a multiple of %d", name, value,
		       FILE_SECTOR_BYTES);
}

static int file_in_open(struct rk_port *port, const char *what)
{
	struct file_in *file = file_of(port);
	uint64_t size = 0;
	int result;

	file->fd = file->client.epoll = file->client.first = file->client.table = -1;
	if (!file->block_bytes)
		file->block_bytes = DEFAULT_BLOCK_BYTES;
	if (!file->depth)
		file->depth = DEFAULT_DEPTH;
	if (!file->loops)
		file->loops = 1;
	result = check_direct(file);
	if (!result)
		result =
			file_open(what, O_RDONLY | (file->direct ? O_DIRECT : 0), &file->fd, &size);
	if (result)
		return result;
	if (file->offset > size)
		return rk_fail(EINVAL, "offset=%" PRIu64 ": '%s' has %" PRIu64 " bytes",
			       file->offset, what, size);
	if (!file->bytes || file->bytes > size - file->offset)
		file->bytes = size - file->offset;
	file->blocks = (file->bytes + file->block_bytes - 1) / file->block_bytes;
	file->end = file->blocks * file->loops;
	return make_blocks(file);
}

/* Where block @number begins, behind the offset. */
static uint64_t begin_of(const struct file_in *file, uint64_t number)
{
	return number % file->blocks * file->block_bytes;
}

/* Read what @block lacks. */
static void start(struct block *block)
{
	struct file_in *file = block->file;
	uint64_t begin = begin_of(file, block->number);
	uint32_t bytes = block->want - block->got;

	/* The last block of a file is read whole: direct I/O knows no other size. */
	if (file->direct)
		bytes = (bytes + FILE_SECTOR_BYTES - 1) / FILE_SECTOR_BYTES * FILE_SECTOR_BYTES;
	block->read.data = block->data + block->got;
	block->read.bytes = bytes;
	block->read.offset = file->offset + begin + block->got;
	block->read.registered = file->registered;
	if (reactor_submit(&file->client, &block->read))
		block->error = EAGAIN;
}

static void read_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct block *block = (struct block *)((char *)op - offsetof(struct block, read));

	if (done->result > 0) {
		block->got += (uint32_t)done->result;
		if (block->got > block->want)
			block->got = block->want;
	}
	if (done->result == -EINTR || done->result == -EAGAIN ||
	    (done->result > 0 && block->got < block->want &&
	     !(block->file->direct && block->got % FILE_SECTOR_BYTES)))
		start(block);
	else if (done->result < 0)
		block->error = -done->result;
	else if (block->got < block->want)
		block->error = ENODATA; /* the file is shorter than it was when it was opened */
}

/* Have as many reads in flight as are allowed. */
static void start_more(struct file_in *file)
{
	while (file->next < file->end && file->next - file->put < file->depth) {
		struct block *block = &file->block[file->next % file->depth];
		uint64_t left = file->bytes - begin_of(file, file->next);

		block->number = file->next++;
		block->want = (uint32_t)(left < file->block_bytes ? left : file->block_bytes);
		block->got = 0;
		block->error = 0;
		start(block);
	}
}

/* What has been read of the next block, if that is all that will be; else NULL. */
static struct block *finished(struct file_in *file)
{
	struct block *block = &file->block[file->put % file->depth];

	return file->put < file->next && !block->read.live ? block : NULL;
}

static bool put_block(struct file_in *file, struct block *block, struct rk_ring_tx *tx,
		      uint64_t time_ns)
{
	const struct rk_packet packet = {.bytes = block->got, .feed = file->port.feed};
	uint8_t *cells = block->data - PORT_HEAD_BYTES;
	struct rk_msg *msg = (struct rk_msg *)cells;

	if (!block->got)
		return true;
	if (port_cells(block->got) > tx->max_slots) {
		port_count(&file->port.stats.dropped_too_long, 1);
		return true;
	}
	port_seal(cells, time_ns, &packet);
	msg->tag = (uint32_t)block->number;
	if (rk_ring_send(tx, msg) <= 0)
		return false;
	port_count(&file->port.stats.messages, 1);
	port_count(&file->port.stats.bytes, block->got);
	return true;
}

/* Put blocks into the ring, in order; -errno, said, when one cannot be read whole. */
static int put(struct file_in *file, struct rk_ring_tx *tx, uint32_t budget)
{
	uint64_t time_ns = clock_ns(CLOCK_MONOTONIC);
	struct block *block;
	uint32_t moved = 0;

	file->held = false;
	while (moved < budget && (block = finished(file))) {
		uint64_t at = file->offset + begin_of(file, block->number) + block->got;

		file->held = !put_block(file, block, tx, time_ns);
		if (file->held)
			break;
		moved += block->got > 0;
		block->got = 0; /* it is out, also if its end could not be read */
		if (block->error == ENODATA)
			return rk_fail(EIO,
				       "port '%s': ends at byte %" PRIu64 " of %" PRIu64
				       ": it was cut while it was read",
				       file->port.uri, at, file->offset + file->bytes);
		if (block->error)
			return rk_fail_within(file_failed("read", at, block->error), "port '%s'",
					      file->port.uri);
		file->put++;
	}
	if (file->held && !tx->closed)
		port_count(&file->port.stats.ring_full, 1);
	return (int)moved;
}

/* No more reads; blocks that are not in the ring were dropped for this @reason. */
static void stop(struct file_in *file, uint64_t *reason)
{
	file->over = true;
	reactor_leave(&file->client);
	for (; file->put < file->next; file->put++)
		if (reason && file->block[file->put % file->depth].got)
			port_count(reason, 1);
}

static int begin(struct file_in *file)
{
	bool joined = file->client.reactor;
	const struct rk_region_info *info = rk_region_info(file->region);
	int result = reactor_join(&file->client);

	if (!result && !joined)
		file->registered =
			reactor_register(&file->client, info->host_addr, info->bytes, file->fd);
	return result;
}

static int file_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct file_in *file = file_of(port);
	uint64_t calls = file->client.calls;
	int moved;

	if (tx->closed && !file->over)
		stop(file, &port->stats.dropped_closed);
	if (tx->closed)
		return port_closed(port, tx);
	if (file->over || file->put == file->end) {
		stop(file, NULL);
		return rk_fail(ENODATA, "port '%s': all is read", port->uri);
	}
	if (!budget)
		return 0;
	moved = begin(file);
	if (moved)
		return moved;
	start_more(file);
	reactor_poll(&file->client);
	port_count(&port->stats.calls, file->client.calls - calls);
	moved = put(file, tx, budget);
	if (moved < 0)
		stop(file, NULL);
	return moved;
}

static int file_in_fd(const struct rk_port *port)
{
	return ((const struct file_in *)port)->client.epoll;
}

static uint64_t file_in_due_ns(const struct rk_port *port)
{
	struct file_in *file = (struct file_in *)(uintptr_t)port;
	bool more = file->next < file->end && file->next - file->put < file->depth;

	return !file->over && !file->held && (more || finished(file)) ? 1 : 0;
}

static int file_in_close(struct rk_port *port)
{
	struct file_in *file = file_of(port);
	int result = reactor_client_close(&file->client);

	if (result)
		return result;
	if (file->fd >= 0)
		close(file->fd);
	rk_region_close(file->region);
	return 0;
}

const struct port_ops port_file_in = {
	.bytes = sizeof(struct file_in),
	.options = options,
	.open = file_in_open,
	.poll_in = file_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = file_in_fd,
	.due_ns = file_in_due_ns,
	.close = file_in_close,
};
