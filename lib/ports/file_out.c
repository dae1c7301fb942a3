// SPDX-License-Identifier: MIT
/*
 * Port file, output: payloads one behind the other, written a block at a time.
 *
 * What comes while a write is in flight is gathered, so the slower the disk, the larger the writes.
 * When a write fails, the file is cut behind the last message that is whole before it; messages
 * from there on count as refused. Direct I/O writes whole sectors: what is behind the end is
 * written again with what follows it, and cut off when the port is closed.
 */
#include "ports/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCKS = 4, BLOCK_BYTES = 256 << 10 };

RK_STATIC_ASSERT(BLOCK_BYTES > RK_MSG_MAX_SLOTS * RK_CELL_BYTES, "a message spans two blocks");

/**
 * struct block - bytes on their way to the file
 * @at: its place in the file
 * @used: bytes gathered
 * @done: of them written
 * @target: what @done will be when the write in flight has done all
 * @messages: that end in it and are not counted yet, and @payload their bytes
 * @first: where the first of those begins in the file
 */
struct block {
	struct reactor_op write;
	struct file_out *file;
	uint8_t *data;
	uint64_t at, first, payload;
	uint32_t used, done, target, messages;
};

/**
 * struct file_out - a file and the blocks, from the oldest that is not written to the newest
 * @end: of the file, when all is written
 * @failed: errno of the write that failed
 */
struct file_out {
	struct rk_port port;
	struct reactor_client client;
	struct rk_region *region;
	bool direct, append, sync, registered;
	int fd, failed;
	uint64_t end;
	uint32_t oldest, count;
	struct block block[BLOCKS];
};

static struct file_out *file_of(struct rk_port *port)
{
	return (struct file_out *)port;
}

static int set_direct(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->direct = true;
	return 0;
}

static int set_append(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->append = true;
	return 0;
}

static int set_sync(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->sync = true;
	return 0;
}

static int set_sqpoll(struct rk_port *port, const char *value)
{
	(void)value;
	file_of(port)->client.sqpoll = true;
	return 0;
}

static const struct port_option options[] = {
	{"direct", true, set_direct}, {"append", true, set_append}, {"sync", true, set_sync},
	{"sqpoll", true, set_sqpoll}, {NULL, false, NULL},
};

static void write_done(struct reactor_op *op, const struct reactor_done *done);

static int file_out_open(struct rk_port *port, const char *what)
{
	const struct rk_region_opts opts = {.size = sizeof(opts)};
	struct file_out *file = file_of(port);
	int flags = O_RDWR | O_CREAT | (file->append ? 0 : O_TRUNC) | (file->direct ? O_DIRECT : 0);
	uint8_t *memory;
	int result;

	file->fd = file->client.epoll = file->client.first = file->client.table = -1;
	result = file_open(what, flags, &file->fd, &file->end);
	if (result)
		return result;
	if (!file->append)
		file->end = 0; /* a block device has its size before it is written */
	if (file->direct && file->end % FILE_DIRECT_BYTES)
		return rk_fail(EINVAL,
			       "append: '%s' has %" PRIu64 " bytes: direct wants a "
			       "multiple of %d",
			       what, file->end, FILE_DIRECT_BYTES);
	result = rk_region_open(&file->region, (size_t)BLOCKS * BLOCK_BYTES, &opts);
	if (result)
		return result;
	memory = rk_region_take(file->region, (size_t)BLOCKS * BLOCK_BYTES);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		file->block[i].file = file;
		file->block[i].data = memory + i * (size_t)BLOCK_BYTES;
		file->block[i].write = (struct reactor_op){
			.done = write_done, .kind = REACTOR_WRITE, .fd = file->fd};
	}
	return reactor_client_open(&file->client, false, file->port.note, sizeof(file->port.note));
}

/* Write what of @block is not written. */
static void start(struct block *block)
{
	struct file_out *file = block->file;
	uint32_t from = block->done, to = block->used;

	if (file->direct) {
		from &= ~(FILE_DIRECT_BYTES - 1U);
		to = (to + FILE_DIRECT_BYTES - 1) & ~(FILE_DIRECT_BYTES - 1U);
		memset(block->data + block->used, 0, to - block->used);
	}
	block->target = block->used;
	block->write.data = block->data + from;
	block->write.bytes = to - from;
	block->write.offset = block->at + from;
	block->write.registered = file->registered;
	/* Where there is no room for the operation, the next flush tries again. */
	reactor_submit(&file->client, &block->write);
}

static void write_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct block *block = (struct block *)((char *)op - offsetof(struct block, write));
	struct file_out *file = block->file;

	if (done->result > 0) {
		block->done = (uint32_t)(op->offset - block->at) + (uint32_t)done->result;
		if (block->done > block->target)
			block->done = block->target;
	} else if (done->result != -ECANCELED && done->result != -EINTR &&
		   done->result != -EAGAIN && !file->failed) {
		file->failed = done->result ? -done->result : EIO;
	}
}

/* Count what is written, oldest first, and let go of blocks that are full and written. */
static void settle(struct file_out *file)
{
	struct rk_port_stats *stats = &file->port.stats;

	while (file->count) {
		struct block *block = &file->block[file->oldest];

		if (block->write.live || block->done < block->used)
			return;
		port_count(&stats->messages, block->messages);
		port_count(&stats->bytes, block->payload);
		block->payload = block->messages = 0;
		block->first = block->at + block->used;
		if (block->used < BLOCK_BYTES)
			return;
		file->oldest = (file->oldest + 1) % BLOCKS;
		file->count--;
	}
}

/* A write failed: nothing more is written; the file ends with its last whole message. */
static int give_up(struct file_out *file)
{
	uint64_t at = file->end;
	struct stat about;

	reactor_leave(&file->client);
	settle(file);
	if (file->count) {
		at = file->end = file->block[file->oldest].first;
		for (; file->count; file->count--) {
			port_count(&file->port.stats.dropped_refused,
				   file->block[file->oldest].messages);
			file->oldest = (file->oldest + 1) % BLOCKS;
		}
		if (!fstat(file->fd, &about) && S_ISREG(about.st_mode) &&
		    ftruncate(file->fd, (off_t)at))
			file->failed = errno;
	}
	return file_failed("write", at, file->failed);
}

static struct block *newest(struct file_out *file)
{
	return &file->block[(file->oldest + file->count - 1) % BLOCKS];
}

/* The block that takes the next byte; NULL while all are being written. */
static struct block *open_block(struct file_out *file)
{
	struct block *block;

	if (file->count && newest(file)->used < BLOCK_BYTES)
		return newest(file);
	if (file->count == BLOCKS)
		return NULL;
	file->count++;
	block = newest(file);
	block->at = block->first = file->end;
	block->payload = 0;
	block->used = block->done = block->messages = 0;
	return block;
}

/* Room for @bytes more, in this block and one other. */
static bool has_room(const struct file_out *file, const struct block *block, uint32_t bytes)
{
	return bytes <= BLOCK_BYTES - block->used || file->count < BLOCKS;
}

/* Gather @view; there is room. */
static void gather(struct file_out *file, const struct port_view *view)
{
	struct block *block = open_block(file);
	uint64_t begin = file->end;
	uint32_t copied = 0;

	for (;;) {
		uint32_t part = view->bytes - copied;

		if (part > BLOCK_BYTES - block->used)
			part = BLOCK_BYTES - block->used;
		memcpy(block->data + block->used, view->data + copied, part);
		block->used += part;
		file->end += part;
		copied += part;
		if (copied == view->bytes)
			break;
		block = open_block(file);
		block->first = begin;
	}
	block->messages++;
	block->payload += view->bytes;
}

/* Write all blocks that are full, and, when no other is being written, the newest. */
static void start_all(struct file_out *file)
{
	bool writing = false;

	for (uint32_t i = 0; i < file->count; i++) {
		struct block *block = &file->block[(file->oldest + i) % BLOCKS];

		if (!block->write.live && block->done < block->used &&
		    (block->used == BLOCK_BYTES || !writing))
			start(block);
		writing |= block->write.live;
	}
}

static bool all_written(const struct file_out *file)
{
	for (uint32_t i = 0; i < file->count; i++) {
		const struct block *block = &file->block[(file->oldest + i) % BLOCKS];

		if (block->write.live || block->done < block->used)
			return false;
	}
	return true;
}

static int begin(struct file_out *file)
{
	const struct rk_region_info *info = rk_region_info(file->region);
	bool joined = file->client.reactor;
	int result = reactor_join(&file->client);

	if (!result && !joined)
		file->registered =
			reactor_register(&file->client, info->host_addr, info->bytes, file->fd);
	return result;
}

static int file_out_flush(struct rk_port *port)
{
	struct file_out *file = file_of(port);
	uint64_t calls = file->client.calls;
	int result = file->failed ? 0 : begin(file);

	if (result)
		return result;
	if (!file->failed) {
		start_all(file);
		reactor_poll(&file->client);
		port_count(&port->stats.calls, file->client.calls - calls);
		settle(file);
	}
	if (file->failed)
		return rk_fail_within(give_up(file), "port '%s'", port->uri);
	return all_written(file);
}

static int file_out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct file_out *file = file_of(port);
	struct block *block;
	struct port_view view;
	int result;

	if (file->failed)
		return rk_fail_within(give_up(file), "port '%s'", port->uri);
	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	if (!view.bytes) {
		port_count(&port->stats.messages, 1);
		return 1;
	}
	block = open_block(file);
	if (!block || !has_room(file, block, view.bytes)) {
		result = file_out_flush(port);
		block = result < 0 ? NULL : open_block(file);
		if (!block || !has_room(file, block, view.bytes))
			return result < 0 ? result : 0;
	}
	gather(file, &view);
	return 1;
}

/* What no operation wrote; and cut off what direct I/O wrote behind the end. */
static int write_rest(struct file_out *file)
{
	struct stat about;

	if (file->direct && fcntl(file->fd, F_SETFL, 0))
		return errno;
	for (uint32_t i = 0; i < file->count; i++) {
		struct block *block = &file->block[(file->oldest + i) % BLOCKS];

		while (block->done < block->used) {
			ssize_t written =
				pwrite(file->fd, block->data + block->done,
				       block->used - block->done, (off_t)(block->at + block->done));

			port_count(&file->port.stats.calls, 1);
			if (written < 0 && errno == EINTR)
				continue;
			if (written <= 0)
				return written ? errno : EIO;
			block->done += (uint32_t)written;
		}
	}
	settle(file);
	if (file->direct && !fstat(file->fd, &about) && S_ISREG(about.st_mode) &&
	    ftruncate(file->fd, (off_t)file->end))
		return errno;
	return 0;
}

static int file_out_close(struct rk_port *port)
{
	struct file_out *file = file_of(port);
	bool gave_up = file->failed && !file->count;
	int result = reactor_client_close(&file->client);

	if (result)
		return result;
	if (file->fd >= 0 && !gave_up) {
		if (!file->failed)
			file->failed = write_rest(file);
		if (!file->failed && file->sync && fdatasync(file->fd))
			file->failed = errno;
		if (file->failed)
			result = give_up(file);
	}
	if (file->fd >= 0 && close(file->fd) && !result)
		result = rk_fail(errno, "close: %s", strerror(errno));
	rk_region_close(file->region);
	return result;
}

static int file_out_fd(const struct rk_port *port)
{
	return ((const struct file_out *)port)->client.epoll;
}

const struct port_ops port_file_out = {
	.bytes = sizeof(struct file_out),
	.options = options,
	.open = file_out_open,
	.poll_in = port_no_poll_in,
	.write = file_out_write,
	.flush = file_out_flush,
	.fd = file_out_fd,
	.due_ns = port_no_due_ns,
	.close = file_out_close,
};
