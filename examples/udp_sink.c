// SPDX-License-Identifier: MIT
/*
 * An actor that sends its own datagrams: each message it gets becomes one, by stores into a ring of
 * the kernel's. No port and no system call of ours lies between the handler and the socket.
 *
 *	udp_sink [GPU]    on that GPU; without, on a CPU
 */
#include <rk_handler.h>
#include <rk_io.h>

enum { MESSAGES = 1000, SLOTS = 64, ROOM = 64, SEND = RK_MSG_USER, READY, SENT, END };

/* The tag of a message is that of its buffer; whoever sends it sees to it that this is free. */
struct sink {
	struct rk_io *io;
	uint64_t sent, failed;
};

static RK_DEVICE void send_datagram(struct sink *s, uint32_t tag, const uint64_t *payload)
{
	uint64_t buffer = (uint64_t)tag * ROOM;
	volatile uint64_t *to = (volatile uint64_t *)rk_io_buffer(s->io, buffer);

	for (uint32_t i = 0; i < RK_MSG_BODY_BYTES / sizeof(*to); i++)
		to[i] = payload[i];
	if (rk_io_send(s->io, 0, buffer, RK_MSG_BODY_BYTES, tag) != 1)
		s->failed++;
}

static RK_DEVICE void sink(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	const void *payload = rk_msg_payload(msg);
	struct sink *s = (struct sink *)state;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_IO_OPEN) {
		s->io = (struct rk_io *)(uintptr_t)((const struct rk_io_open *)payload)->io;
		rk_send(ctx, 0, READY, 0, payload, 0);
	} else if (msg->type == SEND) {
		send_datagram(s, msg->tag, (const uint64_t *)payload);
	} else if (msg->type == RK_MSG_IO_DONE) {
		s->failed += ((const struct rk_io_done *)payload)->result != RK_MSG_BODY_BYTES;
		s->sent++;
		rk_send(ctx, 0, SENT, msg->tag, s, sizeof(*s));
	} else if (msg->type == END) {
		rk_io_finish(s->io);
	}
}

/* The same text is compiled for a GPU, without what follows. */
#ifndef __CUDACC__

#include <ringkernel.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

RK_SOURCE(source, "examples/udp_sink.c");

static const struct rk_actor_type type = {.name = "udp_sink",
					  .summary = "sends each message as a datagram",
					  .handle = sink,
					  .source = source,
					  .function = "sink",
					  .state_bytes = sizeof(struct sink)};

/* A socket that receives, and the URI of who sends to it; @gpu: "" or that of the GPU. */
static int receiver(char uri[96], const char *gpu)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, bytes) ||
	    getsockname(fd, (struct sockaddr *)&name, &bytes))
		return -1;
	snprintf(uri, 96, "io:udp:127.0.0.1:%d,qd=%d%s%.9s", ntohs(name.sin_port), SLOTS,
		 *gpu ? ",gpu=" : "", gpu);
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

int main(int count, char **words)
{
	const char *gpu = count > 1 ? words[1] : "";
	const struct rk_actor_opts opts = {.size = sizeof(opts),
					   .backend = *gpu ? RK_BACKEND_CUDA : RK_BACKEND_CPU,
					   .gpu = atoi(gpu)};
	struct rk_msg ready, end = {.type = END, .slots = 1};
	struct rk_runtime *runtime = NULL;
	struct rk_port *port = NULL;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	char uri[96];
	int fd = receiver(uri, gpu), came;

	if (fd < 0 || rk_port_open(&port, uri, RK_PORT_IN, 0) || rk_runtime_open(&runtime, NULL) ||
	    rk_actor_spawn(&actor, runtime, &type, &opts) || rk_link_host_out(&from, actor, NULL) ||
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

#endif
