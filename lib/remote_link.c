// SPDX-License-Identifier: MIT
/* Links by name: a port whose URI says the name. */
#include "rk_remote.h"
#include "ports/remote.h"

#include <stdio.h>

enum { URI_BYTES = 1024 };

static int open_named(struct rk_port **port, const char *address, const char *name,
		      enum rk_port_direction direction)
{
	char uri[URI_BYTES];
	int bytes = snprintf(uri, sizeof(uri), "%s,name=%s", address, name);
	int result = remote_name_check("name", name);

	if (!result && bytes >= URI_BYTES)
		result =
			rk_fail(EINVAL, "'%.80s...': longer than %d bytes", address, URI_BYTES - 1);
	return result ? result : rk_port_open(port, uri, direction, 0);
}

int rk_link_publish(struct rk_link **link, struct rk_actor *to, const char *name, const char *at,
		    const struct rk_link_opts *opts)
{
	struct rk_actor_info info;
	struct rk_port *port;
	int result;

	rk_actor_info(to, &info);
	result = open_named(&port, at, name ? name : info.name, RK_PORT_IN);
	return result ? result : rk_link_port_in(link, port, to, opts);
}

int rk_link_name(struct rk_link **link, struct rk_actor *from, const char *name, const char *hosts,
		 const struct rk_link_opts *opts)
{
	struct rk_port *port;
	int result = open_named(&port, hosts, name, RK_PORT_OUT);

	return result ? result : rk_link_port_out(link, from, port, opts);
}
