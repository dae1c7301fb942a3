// SPDX-License-Identifier: MIT
/* Port dpdk: the kind, and the options that both directions share. */
#include "ports/dpdk/port_dpdk.h"

#include <string.h>

const struct port_kind *rk_dpdk_port_kind(const char *version)
{
	static const struct port_kind kind = {
		.about = {.name = "dpdk"}, .in = &port_dpdk_in, .out = &port_dpdk_out};

	return strcmp(version, rk_version()) ? NULL : &kind;
}

static struct device_want *want_of(struct rk_port *port)
{
	return &((struct dpdk_port *)port)->want;
}

int port_dpdk_set_queues(struct rk_port *port, const char *value)
{
	return port_parse_count("queues", value, 1, DEVICE_QUEUES, &want_of(port)->queues);
}

int port_dpdk_set_queue(struct rk_port *port, const char *value)
{
	((struct dpdk_port *)port)->queue_given = true;
	return port_parse_count("queue", value, 0, DEVICE_QUEUES - 1, &want_of(port)->queue);
}

int port_dpdk_set_mtu(struct rk_port *port, const char *value)
{
	return port_parse_count("mtu", value, 68, 65535, &want_of(port)->mtu);
}

int port_dpdk_set_mbufs(struct rk_port *port, const char *value)
{
	return port_parse_count("mbufs", value, 4 * DPDK_BURST, RK_DPDK_POOL_MBUFS, &want_of(port)->mbufs);
}

int port_dpdk_set_descriptors(struct rk_port *port, const char *value)
{
	return port_parse_count("descriptors", value, 1, 32768, &want_of(port)->descriptors);
}

int port_dpdk_set_eal(struct rk_port *port, const char *value)
{
	struct dpdk_port *dpdk = (struct dpdk_port *)port;

	if (strlen(value) >= sizeof(dpdk->eal))
		return rk_fail(EINVAL, "eal=%s: longer than %zu bytes", value,
			       sizeof(dpdk->eal) - 1);
	memcpy(dpdk->eal, value, strlen(value) + 1);
	dpdk->want.eal = dpdk->eal;
	return 0;
}

int port_dpdk_set_feeds(struct rk_port *port, const char *value)
{
	return port_parse_feeds("feeds", value, &((struct dpdk_port *)port)->feeds);
}

int port_dpdk_open(struct dpdk_port *dpdk, const char *what, bool input)
{
	if (!*what)
		return rk_fail(EINVAL, "no device: write dpdk:DEVICE, with \"\\,\" for a comma");
	if (strlen(what) >= sizeof(dpdk->name))
		return rk_fail(EINVAL, "device '%s': longer than %zu bytes", what,
			       sizeof(dpdk->name) - 1);
	memcpy(dpdk->name, what, strlen(what) + 1);
	dpdk->want.name = dpdk->name;
	dpdk->want.input = input;
	if (!dpdk->queue_given && input)
		dpdk->want.queue = DEVICE_ALL_QUEUES;
	return dpdk_device_open(&dpdk->device, &dpdk->port, &dpdk->want);
}
