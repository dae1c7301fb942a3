// SPDX-License-Identifier: MIT
/*
 * Port tcp, output: every message to one connection made, or to all that were accepted.
 *
 * Messages are gathered while those before are being sent, so the slower the peer, the larger the
 * sends. All connections get a block before the next one begins: the slowest sets the pace. Before
 * the first connection, messages wait. A connection that is made and fails ends the port; one that
 * was accepted is let go.
 */
#include "ports/tcp.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 256 << 10, MAX_FRAME_BYTES = 65535 };

/**
 * struct connection - one receiver
 * @fd: -1: the place is free
 * @error: why it ended; 0 while it is whole
 */
struct connection {
	struct reactor_op send;
	struct tcp_out *out;
	int fd, error;
};

/* Messages that go out together. */
struct block {
	uint8_t *data;
	uint32_t used, messages;
	uint64_t payload;
};

/**
 * struct tcp_out - connections, a block being sent and a block being gathered
 * @sending: which of @block the sends are of; the other is gathered
 * @busy: sends in flight
 * @reached: connections that took all of the block
 */
struct tcp_out {
	struct rk_port port;
	struct tcp_socket socket;
	struct reactor_client client;
	struct rk_region *region;
	struct reactor_op accept;
	bool zero_copy;
	uint32_t sending, busy, reached;
	struct block block[2];
	struct connection connection[TCP_CONNECTIONS];
};

static struct tcp_out *out_of(struct rk_port *port)
{
	return (struct tcp_out *)port;
}

static int set_listen(struct rk_port *port, const char *value)
{
	(void)value;
	out_of(port)->socket.listen = true;
	return 0;
}

static int set_frame(struct rk_port *port, const char *value)
{
	return tcp_parse_frame(value, &out_of(port)->socket.frame_bytes);
}

static int set_zero_copy(struct rk_port *port, const char *value)
{
	(void)value;
	out_of(port)->zero_copy = true;
	return 0;
}

static const struct port_option options[] = {
	{"listen", true, set_listen},
	{"frame", false, set_frame},
	{"zerocopy", true, set_zero_copy},
	{NULL, false, NULL},
};

static void send_done(struct reactor_op *op, const struct reactor_done *done);

static void add(struct tcp_out *out, int fd)
{
	struct connection *connection = out->connection;

	while (connection < out->connection + TCP_CONNECTIONS && connection->fd >= 0)
		connection++;
	if (connection == out->connection + TCP_CONNECTIONS) {
		close(fd);
		return;
	}
	*connection = (struct connection){.out = out, .fd = fd};
	connection->send.done = send_done;
	connection->send.kind = out->zero_copy ? REACTOR_SEND_ZC : REACTOR_SEND;
	connection->send.fd = fd;
}

static void accept_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct tcp_out *out = (struct tcp_out *)((char *)op - offsetof(struct tcp_out, accept));

	if (done->result >= 0)
		add(out, done->result);
}

static int tcp_out_open(struct rk_port *port, const char *what)
{
	const struct rk_region_opts opts = {.size = sizeof(opts)};
	struct tcp_out *out = out_of(port);
	int result;

	out->socket.fd = out->client.epoll = out->client.first = -1;
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++)
		out->connection[i].fd = -1;
	result = rk_region_open(&out->region, 2 * (size_t)BLOCK_BYTES, &opts);
	if (!result)
		result = reactor_client_open(&out->client, false, out->port.note,
					     sizeof(out->port.note));
	if (!result)
		result = tcp_open(&out->socket, what);
	if (result)
		return result;
	for (uint32_t i = 0; i < 2; i++)
		out->block[i].data = rk_region_take(out->region, BLOCK_BYTES);
	out->accept = (struct reactor_op){
		.done = accept_done, .kind = REACTOR_ACCEPT, .fd = out->socket.fd};
	if (!out->socket.listen) {
		add(out, out->socket.fd);
		out->socket.fd = -1;
	}
	return 0;
}

/*
 * A send without a copy completes twice: with its result, then when the memory is free. The block
 * is busy until the second.
 */
static void send_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct connection *connection =
		(struct connection *)((char *)op - offsetof(struct connection, send));
	struct tcp_out *out = connection->out;

	if (done->result < 0)
		connection->error = -done->result;
	else if (done->more || op->kind == REACTOR_SEND)
		op->moved += (uint32_t)done->result;
	if (done->more)
		return;
	if (!connection->error && op->moved < op->bytes)
		connection->error = EPIPE;
	out->busy--;
	out->reached += !connection->error;
}

/* The block is with all who will have it. */
static void settle(struct tcp_out *out)
{
	struct rk_port_stats *stats = &out->port.stats;
	struct block *block = &out->block[out->sending];

	if (out->busy || !block->used)
		return;
	if (out->reached) {
		port_count(&stats->messages, block->messages);
		port_count(&stats->bytes, block->payload);
	} else {
		port_count(&stats->dropped_refused, block->messages);
	}
	block->used = block->messages = 0;
	block->payload = 0;
}

/* Let go of connections that failed; -errno, said, when that is the port's end. */
static int end_connections(struct tcp_out *out)
{
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++) {
		struct connection *connection = &out->connection[i];

		if (connection->fd < 0 || !connection->error || connection->send.live)
			continue;
		if (!out->socket.listen)
			return rk_fail(connection->error,
				       "port '%s': send: %s: the receiver is gone", out->port.uri,
				       strerror(connection->error));
		close(connection->fd);
		connection->fd = -1;
	}
	return 0;
}

/* Send the gathered block to all connections, if there are any. */
static void start(struct tcp_out *out)
{
	struct block *block = &out->block[!out->sending];

	if (out->busy || out->block[out->sending].used || !block->used)
		return;
	out->reached = 0;
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++) {
		struct connection *connection = &out->connection[i];

		if (connection->fd < 0 || connection->error)
			continue;
		connection->send.data = block->data;
		connection->send.bytes = block->used;
		if (reactor_submit(&out->client, &connection->send))
			connection->error = EAGAIN;
		else
			out->busy++;
	}
	if (out->busy)
		out->sending = !out->sending;
}

static int tcp_out_flush(struct rk_port *port)
{
	struct tcp_out *out = out_of(port);
	uint64_t calls = out->client.calls;
	int result = reactor_join(&out->client);

	if (result)
		return result;
	if (out->socket.listen && !out->accept.live)
		reactor_submit(&out->client, &out->accept);
	start(out);
	reactor_poll(&out->client);
	port_count(&port->stats.calls, out->client.calls - calls);
	settle(out);
	result = end_connections(out);
	if (result < 0) {
		port_count(&port->stats.dropped_refused, out->block[!out->sending].messages);
		out->block[!out->sending].messages = out->block[!out->sending].used = 0;
		return result;
	}
	start(out);
	return !out->busy && !out->block[0].used && !out->block[1].used;
}

/* Put @view, behind its length, at the end of @block. */
static void gather(const struct tcp_out *out, struct block *block, const struct port_view *view)
{
	for (uint32_t i = (uint32_t)out->socket.frame_bytes; i--;)
		block->data[block->used++] = (uint8_t)(view->bytes >> 8 * i);
	memcpy(block->data + block->used, view->data, view->bytes);
	block->used += view->bytes;
	block->messages++;
	block->payload += view->bytes;
}

static int tcp_out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct tcp_out *out = out_of(port);
	struct port_view view;
	int result;

	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	if (out->block[!out->sending].used + 4 + view.bytes > BLOCK_BYTES) {
		result = tcp_out_flush(port);
		if (result < 0)
			return result;
		if (out->block[!out->sending].used + 4 + view.bytes > BLOCK_BYTES)
			return 0;
	}
	if (!view.bytes && !out->socket.frame_bytes) { /* nothing of it would be seen */
		port_count(&port->stats.messages, 1);
		return 1;
	}
	gather(out, &out->block[!out->sending], &view);
	return 1;
}

static int tcp_out_close(struct rk_port *port)
{
	struct tcp_out *out = out_of(port);
	uint32_t unsent;
	int result;

	result = reactor_client_close(&out->client);
	if (result)
		return result;
	settle(out);
	unsent = out->block[0].messages + out->block[1].messages;
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++)
		if (out->connection[i].fd >= 0)
			close(out->connection[i].fd);
	if (out->socket.fd >= 0)
		close(out->socket.fd);
	rk_region_close(out->region);
	return unsent ? rk_fail(EAGAIN, "%u messages not sent: flush before closing", unsent) : 0;
}

/* Of a port that listens the descriptor would tell of connections, of which nothing need be done.
 */
static int tcp_out_fd(const struct rk_port *port)
{
	const struct tcp_out *out = (const struct tcp_out *)port;

	return out->socket.listen ? -1 : out->client.epoll;
}

const struct port_ops port_tcp_out = {
	.bytes = sizeof(struct tcp_out),
	.options = options,
	.open = tcp_out_open,
	.poll_in = port_no_poll_in,
	.write = tcp_out_write,
	.flush = tcp_out_flush,
	.fd = tcp_out_fd,
	.due_ns = port_no_due_ns,
	.close = tcp_out_close,
};
