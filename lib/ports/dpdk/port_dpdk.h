/* SPDX-License-Identifier: MIT */
/* port_dpdk.h - what the two directions of port dpdk share. Not installed. */
#ifndef PORT_DPDK_H
#define PORT_DPDK_H

#include "ports/dpdk/device.h"

enum { PORT_DPDK_NAME_BYTES = 512, PORT_DPDK_EAL_BYTES = 1024 };

/* What both directions begin with. */
struct dpdk_port {
	struct rk_port port;
	struct dpdk_device *device;
	struct device_want want;
	struct port_feeds feeds;
	bool queue_given;
	char name[PORT_DPDK_NAME_BYTES];
	char eal[PORT_DPDK_EAL_BYTES];
};

extern const struct port_ops port_dpdk_in, port_dpdk_out;

int port_dpdk_set_queues(struct rk_port *port, const char *value);
int port_dpdk_set_queue(struct rk_port *port, const char *value);
int port_dpdk_set_mtu(struct rk_port *port, const char *value);
int port_dpdk_set_mbufs(struct rk_port *port, const char *value);
int port_dpdk_set_descriptors(struct rk_port *port, const char *value);
int port_dpdk_set_eal(struct rk_port *port, const char *value);
int port_dpdk_set_feeds(struct rk_port *port, const char *value);

#define PORT_DPDK_OPTIONS                                                                \
	{"queues", false, port_dpdk_set_queues}, {"queue", false, port_dpdk_set_queue},  \
		{"mtu", false, port_dpdk_set_mtu}, {"mbufs", false, port_dpdk_set_mbufs}, \
		{"descriptors", false, port_dpdk_set_descriptors},                       \
		{"eal", false, port_dpdk_set_eal}, {"feeds", false, port_dpdk_set_feeds}

int port_dpdk_open(struct dpdk_port *dpdk, const char *what, bool input);

#endif
