// SPDX-License-Identifier: MIT
/*
 * Port tcp, input: the bytes of one connection made, or of up to TCP_CONNECTIONS accepted.
 *
 * With frame= each message is one that its sender marked; without, what was received at once,
 * whose boundaries mean nothing. rk_msg.tag is the number of the connection, from 1. A connection
 * that is made and ends ends the port; one that was accepted makes room for another. The bytes of
 * a message that a connection does not bring to its end are dropped and counted.
 */
#include "ports/tcp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFERS = 64, BUFFER_BYTES = 16 << 10 };

/**
 * struct connection - one sender
 * @fd: -1: the place is free
 * @number: of the connection
 * @waiting: buffers that hold bytes of it
 * @ended: there will be no more; @error says why, 0 if the sender closed
 * @have: of the message being put together: bytes of its length and of its payload
 * @need: bytes of its payload, once its length is known
 * @cells: the message
 */
struct connection {
	struct reactor_op receive;
	struct tcp_in *in;
	int fd, error;
	uint32_t number, waiting, have, need;
	bool ended;
	uint8_t length[4];
	uint8_t *cells;
};

/* What a buffer holds, on its way into messages. */
struct arrival {
	uint16_t buffer, connection;
	uint32_t bytes, done;
};

/**
 * struct tcp_in - connections and what has been received
 * @first: of @arrivals, a ring of BUFFERS
 * @held: the ring had no room
 * @made: connections so far
 */
struct tcp_in {
	struct rk_port port;
	struct tcp_socket socket;
	struct reactor_client client;
	struct reactor_buffers buffers;
	struct reactor_op accept;
	bool held, over;
	uint64_t left;
	uint32_t first, waiting, made, max_slots;
	int accept_error;
	struct arrival arrivals[BUFFERS];
	struct connection connection[TCP_CONNECTIONS];
};

static struct tcp_in *in_of(struct rk_port *port)
{
	return (struct tcp_in *)port;
}

static int set_listen(struct rk_port *port, const char *value)
{
	(void)value;
	in_of(port)->socket.listen = true;
	return 0;
}

static int set_frame(struct rk_port *port, const char *value)
{
	return tcp_parse_frame(value, &in_of(port)->socket.frame_bytes);
}

static int set_count(struct rk_port *port, const char *value)
{
	return port_parse_count("count", value, 1, UINT64_MAX - 1, &in_of(port)->left);
}

static const struct port_option options[] = {
	{"listen", true, set_listen},
	{"frame", false, set_frame},
	{"count", false, set_count},
	{NULL, false, NULL},
};

static void receive_done(struct reactor_op *op, const struct reactor_done *done);

/* A connection at a free place; false, and @fd closed, when there is none. */
static bool add(struct tcp_in *in, int fd)
{
	struct connection *connection = in->connection;

	while (connection < in->connection + TCP_CONNECTIONS && connection->fd >= 0)
		connection++;
	if (connection == in->connection + TCP_CONNECTIONS) {
		close(fd);
		return false;
	}
	if (!connection->cells)
		connection->cells = calloc(RK_MSG_MAX_SLOTS, RK_CELL_BYTES);
	if (!connection->cells) {
		close(fd);
		return false;
	}
	connection->in = in;
	connection->fd = fd;
	connection->number = ++in->made;
	connection->have = connection->need = connection->waiting = 0;
	connection->ended = false;
	connection->error = 0;
	connection->receive = (struct reactor_op){
		.done = receive_done, .kind = REACTOR_RECV, .fd = fd, .buffers = &in->buffers};
	return true;
}

static void accept_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct tcp_in *in = (struct tcp_in *)((char *)op - offsetof(struct tcp_in, accept));

	if (done->result >= 0)
		add(in, done->result);
	else if (done->result != -ECANCELED && done->result != -ECONNABORTED &&
		 done->result != -EINTR && done->result != -EAGAIN)
		in->accept_error = -done->result;
}

static int tcp_in_open(struct rk_port *port, const char *what)
{
	struct tcp_in *in = in_of(port);
	int result;

	in->socket.fd = in->client.epoll = in->client.first = -1;
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++)
		in->connection[i].fd = -1;
	if (!in->left)
		in->left = UINT64_MAX;
	in->client.buffers = &in->buffers;
	result = reactor_buffers_make(&in->buffers, BUFFERS, BUFFER_BYTES, false);
	if (!result)
		result = reactor_client_open(&in->client, true, in->port.note,
					     sizeof(in->port.note));
	if (!result)
		result = tcp_open(&in->socket, what);
	if (result)
		return result;
	in->accept = (struct reactor_op){
		.done = accept_done, .kind = REACTOR_ACCEPT, .fd = in->socket.fd};
	if (!in->socket.listen) {
		int fd = in->socket.fd;

		in->socket.fd = -1;
		if (!add(in, fd))
			return rk_fail(ENOMEM, "no memory");
	}
	return 0;
}

static void receive_done(struct reactor_op *op, const struct reactor_done *done)
{
	struct connection *connection =
		(struct connection *)((char *)op - offsetof(struct connection, receive));
	struct tcp_in *in = connection->in;

	if (done->buffer >= 0 && done->result > 0) {
		in->arrivals[(in->first + in->waiting++) % BUFFERS] = (struct arrival){
			(uint16_t)done->buffer, (uint16_t)(connection - in->connection),
			(uint32_t)done->result, 0};
		connection->waiting++;
		return;
	}
	if (done->buffer >= 0)
		reactor_give(&in->client, done->buffer);
	if (done->result == -ENOBUFS || done->result == -EINTR || done->result == -EAGAIN)
		return;
	if (!connection->ended && done->result != -ECANCELED)
		connection->error = -done->result;
	connection->ended = true;
}

/* The first arrival is used up. */
static void let_go(struct tcp_in *in)
{
	struct arrival *arrival = &in->arrivals[in->first];

	in->connection[arrival->connection].waiting--;
	reactor_give(&in->client, arrival->buffer);
	in->first = (in->first + 1) % BUFFERS;
	in->waiting--;
}

/* --- Bytes to messages --- */

/* The payload a message may have at most. */
static uint32_t most_bytes(const struct tcp_in *in)
{
	uint32_t most = in->max_slots * RK_CELL_BYTES - PORT_HEAD_BYTES;

	return most < PORT_MAX_BYTES ? most : PORT_MAX_BYTES;
}

/* Take up to @most of @arrival to @to; returns how many. */
static uint32_t take(struct tcp_in *in, struct arrival *arrival, void *to, uint32_t most)
{
	uint32_t left = arrival->bytes - arrival->done;

	if (most > left)
		most = left;
	memcpy(to, reactor_buffer(&in->buffers, arrival->buffer) + arrival->done, most);
	arrival->done += most;
	return most;
}

static uint32_t length_of(const struct connection *connection, uint32_t length_bytes)
{
	uint32_t length = 0;

	for (uint32_t i = 0; i < length_bytes; i++)
		length = length << 8 | connection->length[i];
	return length;
}

/* The sender announced more than a message holds: what follows cannot be told apart any more. */
static void break_off(struct connection *connection, struct arrival *arrival)
{
	port_count(&connection->in->port.stats.dropped_malformed, 1);
	connection->have = connection->need = 0;
	connection->ended = true;
	connection->error = EPROTO;
	arrival->done = arrival->bytes;
	shutdown(connection->fd, SHUT_RDWR);
}

/* Put together, from @arrival, the message of @connection; true when it is whole. */
static bool assemble(struct tcp_in *in, struct connection *connection, struct arrival *arrival)
{
	uint32_t front = (uint32_t)in->socket.frame_bytes;
	uint8_t *data = connection->cells + PORT_HEAD_BYTES;

	if (connection->error == EPROTO) {
		arrival->done = arrival->bytes;
		return false;
	}
	if (!front) {
		if (!connection->need)
			connection->need = take(in, arrival, data, most_bytes(in));
		return true;
	}
	if (connection->have < front) {
		connection->have += take(in, arrival, connection->length + connection->have,
					 front - connection->have);
		if (connection->have < front)
			return false;
		connection->need = length_of(connection, front);
		if (connection->need > most_bytes(in)) {
			break_off(connection, arrival);
			return false;
		}
	}
	connection->have += take(in, arrival, data + connection->have - front,
				 connection->need - (connection->have - front));
	return connection->have == front + connection->need;
}

/* Turn the first arrival into messages; returns how many, or sets held. */
static uint32_t put_arrival(struct tcp_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	struct arrival *arrival = &in->arrivals[in->first];
	struct connection *connection = &in->connection[arrival->connection];
	const struct rk_packet about = {.feed = in->port.feed};
	struct rk_msg *msg = (struct rk_msg *)connection->cells;
	uint32_t messages = 0;

	while (messages < budget) {
		struct rk_packet packet = about;

		if (!assemble(in, connection, arrival))
			break;
		packet.bytes = connection->need;
		packet.rx_time_ns = clock_ns(CLOCK_REALTIME);
		port_seal(connection->cells, clock_ns(CLOCK_MONOTONIC), &packet);
		msg->tag = connection->number;
		in->held = rk_ring_send(tx, msg) <= 0;
		if (in->held)
			return messages;
		port_count(&in->port.stats.messages, 1);
		port_count(&in->port.stats.bytes, connection->need);
		connection->have = connection->need = 0;
		messages++;
		if (arrival->done == arrival->bytes)
			break;
	}
	if (arrival->done == arrival->bytes)
		let_go(in);
	return messages;
}

static uint32_t put(struct tcp_in *in, struct rk_ring_tx *tx, uint32_t budget)
{
	uint32_t messages = 0;

	in->held = false;
	while (in->waiting && messages < budget && !in->held)
		messages += put_arrival(in, tx, budget - messages);
	in->left -= messages;
	if (in->held && !tx->closed)
		port_count(&in->port.stats.ring_full, 1);
	return messages;
}

/* --- Connections that end --- */

static void hang_up(struct connection *connection)
{
	/* Bytes of a message without its end. */
	if (connection->have)
		port_count(&connection->in->port.stats.dropped_truncated, 1);
	connection->have = 0;
	close(connection->fd);
	connection->fd = -1;
}

/* All connections that have ended and have given all their bytes; -errno when that is the end. */
static int end_connections(struct tcp_in *in)
{
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++) {
		struct connection *connection = &in->connection[i];
		int error = connection->error;

		if (connection->fd < 0 || !connection->ended || connection->waiting ||
		    connection->receive.live)
			continue;
		hang_up(connection);
		if (in->socket.listen)
			continue;
		in->over = true;
		if (!error)
			return rk_fail(ENODATA, "port '%s': the sender closed", in->port.uri);
		if (error == EPROTO)
			return rk_fail(EPROTO,
				       "port '%s': a message announced as longer than %u "
				       "bytes: is frame=%" PRIu64 " what the sender does?",
				       in->port.uri, most_bytes(in), in->socket.frame_bytes);
		return rk_fail(error, "port '%s': receive: %s", in->port.uri, strerror(error));
	}
	return 0;
}

static void stop(struct tcp_in *in, uint64_t *reason)
{
	in->over = true;
	reactor_leave(&in->client);
	while (in->waiting) {
		if (reason)
			port_count(reason, 1);
		let_go(in);
	}
}

/* Accept, and receive on every connection, unless most buffers wait for the ring. */
static int listen_again(struct tcp_in *in)
{
	int result = 0;

	if (in->socket.listen && !in->accept.live)
		result = reactor_submit(&in->client, &in->accept);
	for (uint32_t i = 0; !result && in->waiting <= BUFFERS / 2 && i < TCP_CONNECTIONS; i++) {
		struct connection *connection = &in->connection[i];

		if (connection->fd >= 0 && !connection->ended && !connection->receive.live)
			result = reactor_submit(&in->client, &connection->receive);
	}
	return result ? rk_fail(EAGAIN, "port '%s': too many operations on one thread",
				in->port.uri)
		      : 0;
}

static int receive(struct tcp_in *in)
{
	uint64_t calls = in->client.calls;
	int result = reactor_join(&in->client);

	if (!result)
		result = listen_again(in);
	if (result)
		return result;
	reactor_poll(&in->client);
	port_count(&in->port.stats.calls, in->client.calls - calls);
	if (in->accept_error)
		return rk_fail(in->accept_error, "port '%s': accept: %s", in->port.uri,
			       strerror(in->accept_error));
	return 0;
}

static int tcp_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct tcp_in *in = in_of(port);
	uint32_t moved, most = budget < in->left ? budget : (uint32_t)in->left;
	int result;

	if (tx->closed) {
		stop(in, &port->stats.dropped_closed);
		return port_closed(port, tx);
	}
	if (in->over)
		return rk_fail(ENODATA, "port '%s': the sender closed", port->uri);
	if (!budget)
		return 0;
	in->max_slots = tx->max_slots;
	result = receive(in);
	if (result)
		return result;
	moved = put(in, tx, most);
	/* Places of those that were accepted become free also while others send without a pause. */
	if (moved && in->socket.listen)
		end_connections(in);
	if (moved)
		return (int)moved;
	if (!in->left) {
		stop(in, NULL);
		return rk_fail(ENODATA, "port '%s': count reached", port->uri);
	}
	result = end_connections(in);
	if (result)
		reactor_leave(&in->client);
	return result;
}

static int tcp_in_fd(const struct rk_port *port)
{
	return ((const struct tcp_in *)port)->client.epoll;
}

static uint64_t tcp_in_due_ns(const struct rk_port *port)
{
	const struct tcp_in *in = (const struct tcp_in *)port;

	if (in->over)
		return 0;
	if (in->waiting)
		return !in->held;
	/* A connection that is to be received from, or that is to be closed. */
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++)
		if (in->connection[i].fd >= 0 && !in->connection[i].receive.live)
			return 1;
	return 0;
}

static int tcp_in_close(struct rk_port *port)
{
	struct tcp_in *in = in_of(port);
	int result = reactor_client_close(&in->client);

	if (result)
		return result;
	for (uint32_t i = 0; i < TCP_CONNECTIONS; i++) {
		if (in->connection[i].fd >= 0)
			hang_up(&in->connection[i]);
		free(in->connection[i].cells);
	}
	if (in->socket.fd >= 0)
		close(in->socket.fd);
	reactor_buffers_free(&in->buffers);
	return 0;
}

const struct port_ops port_tcp_in = {
	.bytes = sizeof(struct tcp_in),
	.options = options,
	.open = tcp_in_open,
	.poll_in = tcp_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = tcp_in_fd,
	.due_ns = tcp_in_due_ns,
	.close = tcp_in_close,
};
