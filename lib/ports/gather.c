// SPDX-License-Identifier: MIT
/* Sending gathered messages, whole ones only, and counting them. */
#include "ports/gather.h"

#include <string.h>

/* Messages that are gathered from the start on. */
struct part {
	uint32_t cells, messages;
	uint64_t bytes;
};

/* The first messages, up to @cells cells and @messages messages. */
static struct part first(const struct port_gather *gather, uint32_t cells, uint32_t messages)
{
	const uint8_t *at = gather->cells + gather->start * RK_CELL_BYTES;
	struct part part = {0, 0, 0};

	while (part.messages < messages && part.cells < cells) {
		const struct rk_msg *msg =
			(const struct rk_msg *)(at + (size_t)part.cells * RK_CELL_BYTES);
		struct rk_packet packet;

		memcpy(&packet, rk_msg_payload(msg), sizeof(packet));
		part.cells += msg->slots;
		part.bytes += packet.bytes;
		part.messages++;
	}
	return part;
}

int port_gather_send(struct port_gather *gather, struct rk_port *port, struct rk_ring_tx *tx,
		     uint32_t budget)
{
	struct part part = first(gather, gather->end - gather->start, budget);
	int sent =
		rk_ring_send_batch(tx, gather->cells + gather->start * RK_CELL_BYTES, part.cells);
	bool held = sent < (int)part.cells;

	if (sent < 0)
		return rk_fail(-sent, "port '%s': the ring refuses a message: %s", port->uri,
			       strerror(-sent));
	if (held)
		part = first(gather, (uint32_t)sent, budget);
	port_count(&port->stats.messages, part.messages);
	port_count(&port->stats.bytes, part.bytes);
	gather->start += part.cells;
	if (tx->closed) {
		struct part lost = first(gather, gather->end - gather->start, UINT32_MAX);

		port_count(&port->stats.dropped_closed, lost.messages);
		gather->start = gather->end;
	} else if (held) {
		port_count(&port->stats.ring_full, 1);
	}
	return (int)part.messages;
}
