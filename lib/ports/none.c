// SPDX-License-Identifier: MIT
/* Operations that a direction of a port does not have. */
#include "ports/port.h"

int port_no_poll_in(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	(void)tx;
	(void)budget;
	return rk_fail(EOPNOTSUPP, "port '%s': is an output: nothing comes in here", port->uri);
}

int port_no_write(struct rk_port *port, const struct rk_msg *msg)
{
	(void)msg;
	return rk_fail(EOPNOTSUPP, "port '%s': is an input: nothing goes out here", port->uri);
}

int port_no_flush(struct rk_port *port)
{
	return port_no_write(port, NULL);
}

int port_no_fd(const struct rk_port *port)
{
	(void)port;
	return -1;
}

uint64_t port_no_due_ns(const struct rk_port *port)
{
	(void)port;
	return 0;
}
