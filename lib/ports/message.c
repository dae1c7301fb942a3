// SPDX-License-Identifier: MIT
/* The message around a datagram: putting it on, and looking into it. */
#include "ports/port.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

uint32_t port_seal(uint8_t *cells, uint64_t time_ns, const struct rk_packet *packet)
{
	uint32_t slots = port_cells(packet->bytes), end = PORT_HEAD_BYTES + packet->bytes;
	const struct rk_msg head = {
		.type = RK_MSG_PACKET, .flags = RK_MSG_F_TIME, .slots = (uint8_t)slots};

	memcpy(cells, &head, RK_MSG_HEADER_BYTES);
	memcpy(cells + RK_MSG_HEADER_BYTES, &time_ns, sizeof(time_ns));
	memcpy(cells + RK_MSG_HEADER_BYTES + sizeof(time_ns), packet, sizeof(*packet));
	memset(cells + end, 0, slots * RK_CELL_BYTES - end);
	return slots;
}

bool port_view(const struct rk_msg *msg, struct port_view *view)
{
	uint32_t bytes = rk_msg_payload_bytes(msg);
	const uint8_t *payload = rk_msg_payload(msg);
	struct rk_packet packet;

	*view = (struct port_view){.data = payload, .bytes = bytes};
	if (msg->type != RK_MSG_PACKET)
		return true;
	if (bytes < sizeof(packet))
		return false;
	memcpy(&packet, payload, sizeof(packet));
	*view = (struct port_view){payload + sizeof(packet), packet.bytes, true, packet.feed,
				   packet.rx_time_ns};
	return packet.bytes <= bytes - sizeof(packet);
}

uint64_t port_time_ns(const struct rk_msg *msg)
{
	uint64_t time_ns;

	if (!(msg->flags & RK_MSG_F_TIME))
		return clock_ns(CLOCK_MONOTONIC);
	memcpy(&time_ns, msg->body, sizeof(time_ns));
	return time_ns;
}

int port_closed(const struct rk_port *port, const struct rk_ring_tx *tx)
{
	return rk_fail(EPIPE, "port '%s': its ring is closed, reason %" PRIu64, port->uri,
		       tx->closed);
}
