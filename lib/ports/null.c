// SPDX-License-Identifier: MIT
/* Port null: counts messages and forgets them. */
#include "ports/port.h"

static const struct port_option options[] = {{NULL, false, NULL}};

static int null_open(struct rk_port *port, const char *what)
{
	(void)port;
	return *what ? rk_fail(EINVAL, "'%s': null goes nowhere: write null:", what) : 0;
}

static int null_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct port_view view;

	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	port_count(&port->stats.messages, 1);
	port_count(&port->stats.bytes, view.bytes);
	return 1;
}

static int null_flush(struct rk_port *port)
{
	(void)port;
	return 1;
}

static int null_close(struct rk_port *port)
{
	(void)port;
	return 0;
}

static const struct port_ops ops = {
	.bytes = sizeof(struct rk_port),
	.options = options,
	.open = null_open,
	.poll_in = port_no_poll_in,
	.write = null_write,
	.flush = null_flush,
	.fd = port_no_fd,
	.due_ns = port_no_due_ns,
	.close = null_close,
};

const struct port_kind port_null = {
	.about = {.name = "null", .summary = "out: counts and forgets", .options = ""},
	.out = &ops,
};
