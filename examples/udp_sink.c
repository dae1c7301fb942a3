// SPDX-License-Identifier: MIT
/*
 * An actor that sends its own datagrams: each message it gets becomes one, by stores into a ring of
 * the kernel's. No port and no system call of ours lies between the handler and the socket.
 */
#include <ringkernel.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES = 1000, SLOTS = 64, ROOM = 64, SEND = RK_MSG_USER, READY, SENT, END };

/* The tag of a message is that of its buffer; whoever sends it sees to it that this is free. */
struct sink {
	struct rk_io *io;
	uint64_t sent, failed;
};

static void sink(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	const void *payload = rk_msg_payload(msg);
	struct sink *s = (struct sink *)state;

	if (msg->type == RK_MSG_IO_OPEN) {
		s->io = (struct rk_io *)(uintptr_t)((const struct rk_io_open *)payload)->io;
		rk_send(ctx, 0, READY, 0, NULL, 0);
	} else if (msg->type == SEND) {
		uint64_t buffer = msg->tag * ROOM;

		memcpy(rk_io_buffer(s->io, buffer), payload, RK_MSG_BODY_BYTES);
		if (rk_io_send(s->io, 0, buffer, RK_MSG_BODY_BYTES, msg->tag) != 1)
			s->failed++;
	} else if (msg->type == RK_MSG_IO_DONE) {
		s->failed += ((const struct rk_io_done *)payload)->result != RK_MSG_BODY_BYTES;
		s->sent++;
		rk_send(ctx, 0, SENT, msg->tag, s, sizeof(*s));
	} else if (msg->type == END) {
		rk_io_finish(s->io);
	}
}

static const struct rk_actor_type type = {.name = "udp_sink",
					  .summary = "sends each message as a datagram",
					  .handle = sink,
					  .state_bytes = sizeof(struct sink)};

/* A socket that receives, and the URI of who sends to it. */
static int receiver(char uri[64])
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, bytes) ||
	    getsockname(fd, (struct sockaddr *)&name, &bytes))
		return -1;
	snprintf(uri, 64, "io:udp:127.0.0.1:%d,qd=%d", ntohs(name.sin_port), SLOTS);
	return fd;
}

/* Send all, at most SLOTS at a time, each to its own buffer; returns datagrams that came. */
static int run(struct rk_ring_tx *to, struct rk_ring_rx *from, int fd)
{
	int given = 0, sent = 0, came = 0;
	char datagram[ROOM];

	while (sent < MESSAGES) {
		struct rk_msg msg = {.type = SEND, .slots = 1, .tag = (uint32_t)(given % SLOTS)};

		if (given < MESSAGES && given - sent < SLOTS) {
			snprintf((char *)msg.body, sizeof(msg.body), "datagram %d", given);
			given += rk_ring_send(to, &msg);
		}
		/* Completions come in the order of the sends: a datagram socket has no other. */
		while (rk_ring_recv(from, &msg, 1) > 0)
			sent++;
		while (recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT) > 0)
			came++;
	}
	while (came < MESSAGES && recv(fd, datagram, sizeof(datagram), 0) > 0)
		came++;
	return came;
}

int main(void)
{
	struct rk_msg ready, end = {.type = END, .slots = 1};
	struct rk_runtime *runtime = NULL;
	struct rk_port *port = NULL;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	char uri[64];
	int fd = receiver(uri), came;

	if (fd < 0 || rk_port_open(&port, uri, RK_PORT_IN, 0) || rk_runtime_open(&runtime, NULL) ||
	    rk_actor_spawn(&actor, runtime, &type, NULL) || rk_link_host_out(&from, actor, NULL) ||
	    rk_link_port_in(NULL, port, actor, NULL) || rk_link_host_in(&to, actor, NULL)) {
		fprintf(stderr, "udp_sink: %s\n", rk_errmsg());
		rk_runtime_close(runtime);
		return 1;
	}
	while (!rk_ring_recv(from, &ready, 1)) /* the actor knows its ring */
		rk_ring_wait_recv(from, 1000000);
	came = run(to, from, fd);
	rk_ring_send(to, &end);
	rk_ring_close(to, 0);
	rk_runtime_wait(runtime, 1000000000);
	printf("%d datagrams\n", came);
	close(fd);
	return rk_runtime_close(runtime) || came != MESSAGES;
}
