// SPDX-License-Identifier: MIT
#include "clock.h"
#include "gen_send.h"
#include "ports/rk_port.h"
#include "rk_error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_NS	 UINT64_C(50000)       /* how soon to try a busy port again */
#define PATIENCE UINT64_C(10000000000) /* how long it may be busy */

struct gen_send {
	struct rk_port *port;
	uint64_t start_ns; /* when the first packet was sent, and its time in the feed */
	uint64_t first_ns;
	uint64_t packets;
	struct rk_msg cells[RK_MSG_MAX_SLOTS];
};

int gen_send_is_uri(const char *path)
{
	return !strncmp(path, "udp:", 4);
}

int gen_send_open(struct gen_send **out, const char *uri)
{
	struct gen_send *send = calloc(1, sizeof(*send));
	int result;

	if (!send)
		return rk_fail(ENOMEM, "gen: no memory");
	result = rk_port_open(&send->port, uri, RK_PORT_OUT, 0);
	if (result) {
		free(send);
		return result;
	}
	*out = send;
	return 0;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	nanosleep(&time, NULL);
}

/* Until the port has taken what @give gives it. */
static int insist(struct gen_send *send, int (*give)(struct gen_send *))
{
	uint64_t began_ns = now_ns();
	int result;

	while (!(result = give(send))) {
		if (now_ns() - began_ns > PATIENCE)
			return rk_fail(ETIMEDOUT, "gen: port '%s' takes nothing for 10 s",
				       rk_port_uri(send->port));
		sleep_ns(BUSY_NS);
	}
	return result < 0 ? result : 0;
}

static int give_message(struct gen_send *send)
{
	return rk_port_write(send->port, send->cells);
}

static int give_rest(struct gen_send *send)
{
	return rk_port_flush(send->port);
}

static void build(struct gen_send *send, const struct gen_packet *packet, uint64_t due_ns)
{
	const struct rk_packet front = {.rx_time_ns = packet->time_ns,
					.bytes = packet->bytes,
					.feed = (uint16_t)packet->feed};
	uint32_t cells = rk_msg_cells(RK_MSG_F_TIME, (uint32_t)sizeof(front) + packet->bytes);
	uint8_t *at = send->cells[0].body;

	memset(send->cells, 0, (size_t)cells * RK_CELL_BYTES);
	send->cells[0].type = RK_MSG_PACKET;
	send->cells[0].flags = RK_MSG_F_TIME;
	send->cells[0].slots = (uint8_t)cells;
	at = memcpy(at, &due_ns, sizeof(due_ns));
	memcpy(at + sizeof(due_ns), &front, sizeof(front));
	memcpy((uint8_t *)send->cells + RK_MSG_HEADER_BYTES + sizeof(due_ns) + sizeof(front),
	       packet->data, packet->bytes);
}

int gen_send_packet(struct gen_send *send, const struct gen_packet *packet)
{
	uint64_t due_ns, now;
	int result;

	if (!send->packets++) {
		send->start_ns = now_ns();
		send->first_ns = packet->time_ns;
	}
	due_ns = send->start_ns + (packet->time_ns - send->first_ns);
	now = now_ns();
	if (due_ns > now) {
		/* Nothing to do until then: what the port gathered goes out first. */
		result = insist(send, give_rest);
		if (result)
			return result;
		now = now_ns();
		if (due_ns > now)
			sleep_ns(due_ns - now);
	}
	build(send, packet, due_ns);
	return insist(send, give_message);
}

int gen_send_close(struct gen_send *send)
{
	struct rk_port_stats stats;
	int result = insist(send, give_rest), closed;

	rk_port_stats(send->port, &stats);
	if (!result && stats.dropped_refused)
		result = rk_fail(EIO, "gen: port '%s': %" PRIu64 " of %" PRIu64
				      " datagrams were refused by the outside",
				 rk_port_uri(send->port), stats.dropped_refused, send->packets);
	closed = rk_port_close(send->port);
	free(send);
	return result ? result : closed;
}
