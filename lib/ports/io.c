// SPDX-License-Identifier: MIT
/*
 * Port io: a file or socket for an actor that reads or writes it by itself (rk_io.h).
 *
 * Its first message, RK_MSG_IO_OPEN, tells the actor of the ring. From then on the actor submits,
 * and this port brings the completions: on the cpu backend, whose actors look at nothing but their
 * inboxes. An actor on a GPU (option gpu) takes them by itself. It ends when the actor has called
 * rk_io_finish().
 */
#include "io/rk_io_ring.h"
#include "ports/file.h"
#include "ports/udp.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

/**
 * struct io_in - a file or socket, and the ring for whoever works on it
 * @message: not in the ring yet, if @held
 */
struct io_in {
	struct rk_port port;
	struct rk_io_ring *ring;
	uint64_t slots, buffers_bytes, idle_ms, cpu, gpu;
	bool direct, write, on_cpu, on_gpu, held, over;
	int fd;
	struct rk_msg message;
};

static struct io_in *io_of(struct rk_port *port)
{
	return (struct io_in *)port;
}

static int set_depth(struct rk_port *port, const char *value)
{
	return port_parse_count("qd", value, 1, RK_IO_MAX_SLOTS, &io_of(port)->slots);
}

static int set_buffers(struct rk_port *port, const char *value)
{
	return port_parse_count("buffers", value, RK_PAGE_BYTES, 1ULL << 40,
				&io_of(port)->buffers_bytes);
}

static int set_idle(struct rk_port *port, const char *value)
{
	return port_parse_count("idle", value, 1, 1000000, &io_of(port)->idle_ms);
}

static int set_cpu(struct rk_port *port, const char *value)
{
	io_of(port)->on_cpu = true;
	return port_parse_count("cpu", value, 0, 65535, &io_of(port)->cpu);
}

static int set_gpu(struct rk_port *port, const char *value)
{
	io_of(port)->on_gpu = true;
	return port_parse_count("gpu", value, 0, 15, &io_of(port)->gpu);
}

static int set_direct(struct rk_port *port, const char *value)
{
	(void)value;
	io_of(port)->direct = true;
	return 0;
}

static int set_write(struct rk_port *port, const char *value)
{
	(void)value;
	io_of(port)->write = true;
	return 0;
}

static const struct port_option options[] = {
	{"qd", false, set_depth},   {"buffers", false, set_buffers}, {"idle", false, set_idle},
	{"write", true, set_write}, {"cpu", false, set_cpu},	     {"direct", true, set_direct},
	{"gpu", false, set_gpu},
	{NULL, false, NULL},
};

/* A socket connected to the address @what. */
static int open_udp(const char *what, int *fd)
{
	struct port_feeds feeds = {.count = 0};
	struct sockaddr_in name;
	int result = udp_parse_feeds(&feeds, what);

	if (result)
		return result;
	name = udp_address(feeds.at[0]);
	*fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return rk_fail(errno, "socket: %s", strerror(errno));
	if (connect(*fd, (const struct sockaddr *)&name, sizeof(name)))
		return rk_fail(errno, "connect %s: %s", what, strerror(errno));
	return 0;
}

static int open_what(struct io_in *in, const char *what, uint64_t *bytes)
{
	if (!strncmp(what, "udp:", 4) && in->direct)
		return rk_fail(EINVAL, "direct: a socket has no page cache: leave it out");
	if (!strncmp(what, "udp:", 4))
		return open_udp(what + 4, &in->fd);
	return file_open(what, (in->write ? O_RDWR : O_RDONLY) | (in->direct ? O_DIRECT : 0),
			 &in->fd, bytes);
}

static int io_open(struct rk_port *port, const char *what)
{
	struct io_in *in = io_of(port);
	struct rk_io_ring_opts opts = {.size = sizeof(opts),
				       .slots = (uint32_t)in->slots,
				       .buffers_bytes = in->buffers_bytes,
				       .idle_ms = (uint32_t)in->idle_ms,
				       .on_cpu = in->on_cpu,
				       .cpu = (uint32_t)in->cpu,
				       .on_gpu = in->on_gpu,
				       .gpu = (int)in->gpu};
	struct rk_io_open about = {0};
	struct rk_io *io;
	int result;

	in->fd = -1;
	result = open_what(in, what, &about.file_bytes);
	if (!result)
		result = rk_io_ring_open(&in->ring, &in->fd, 1, &opts);
	if (result)
		return result;
	io = rk_io_ring_io(in->ring);
	about.io = in->on_gpu ? rk_io_ring_gpu_io(in->ring) : (uintptr_t)io;
	about.buffers_bytes = io->buffers_bytes;
	about.slots = io->slots;
	about.files = io->files;
	in->message = (struct rk_msg){.type = RK_MSG_IO_OPEN, .slots = 1};
	memcpy(in->message.body, &about, sizeof(about));
	in->held = true;
	return 0;
}

static int io_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct io_in *in = io_of(port);
	bool finished;
	int moved = 0;

	if (tx->closed) {
		port_count(&port->stats.dropped_closed, in->held);
		in->held = false;
		in->over = true;
		return port_closed(port, tx);
	}
	if (in->over)
		return rk_fail(ENODATA, "port '%s': the actor has finished", port->uri);
	/* Before the completions are looked for: then none comes later. */
	finished = rk_io_ring_finished(in->ring);
	while (moved < (int)budget &&
	       (in->held || (!in->on_gpu && rk_io_reap(rk_io_ring_io(in->ring), &in->message)))) {
		in->held = rk_ring_send(tx, &in->message) <= 0;
		if (in->held) {
			port_count(&port->stats.ring_full, !tx->closed);
			break;
		}
		moved++;
	}
	port_count(&port->stats.messages, (uint64_t)moved);
	if (moved || in->held || !finished)
		return moved;
	in->over = true;
	port_count(&port->stats.calls, rk_io_ring_wakeups(in->ring));
	return rk_fail(ENODATA, "port '%s': the actor has finished", port->uri);
}

/* Nothing tells of completions but looking: soon, while any is to come. */
static uint64_t io_due_ns(const struct rk_port *port)
{
	const struct io_in *in = (const struct io_in *)port;

	return in->over || in->held ? 0 : clock_ns(CLOCK_MONOTONIC) + RK_IO_NAP_US * 1000ULL;
}

static uint64_t io_gpu_io(const struct rk_port *port, int *gpu)
{
	const struct io_in *in = (const struct io_in *)port;

	*gpu = (int)in->gpu;
	return in->on_gpu ? rk_io_ring_gpu_io(in->ring) : 0;
}

/* Only now is the actor gone for sure, and nobody reads the buffers any more. */
static int io_close(struct rk_port *port)
{
	struct io_in *in = io_of(port);
	int result = rk_io_ring_close(in->ring);

	if (in->fd >= 0)
		close(in->fd);
	return result;
}

static const struct port_ops io_in = {
	.bytes = sizeof(struct io_in),
	.options = options,
	.open = io_open,
	.poll_in = io_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = port_no_fd,
	.due_ns = io_due_ns,
	.gpu_io = io_gpu_io,
	.close = io_close,
};

#define OPTIONS                                                                          \
	"qd=N               in flight at most, a power of two up to 4096 (default 64)\n" \
	"buffers=BYTES      room for data (default 65536 for each in flight)\n"          \
	"idle=MS            the kernel's thread sleeps after so long (default 100)\n"    \
	"cpu=N              where the kernel's thread runs\n"                            \
	"write              the actor may write the file too\n"                          \
	"gpu=N              for an actor on that GPU\n"                                  \
	"direct             past the page cache (O_DIRECT)"

const struct port_kind port_io = {
	.about = {"io",
		  "in: a file, or udp:ADDR:PORT, for an actor that does its own I/O (file_scan)",
		  OPTIONS, NULL},
	.in = &io_in,
};
