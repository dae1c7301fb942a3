/* SPDX-License-Identifier: MIT */
/*
 * device.h - an ethdev that ports opened by URI share: its EAL, its queues and their steering.
 * Not installed.
 */
#ifndef DPDK_DEVICE_H
#define DPDK_DEVICE_H

#include "ports/dpdk/dpdk.h"

enum {
	DEVICE_QUEUES = 64,
	DEVICE_FLOWS = PORT_MAX_FEEDS * DEVICE_QUEUES,
	DEVICE_ALL_QUEUES = UINT16_MAX,
};

enum device_steering { STEER_AUTO, STEER_HW, STEER_SOFT };

/**
 * struct device_want - what a port asks of its device; 0 takes the default
 * @name: devargs: a driver's name and its arguments, or a PCI address
 * @eal: arguments of the EAL, if it does not run yet
 * @queues: each way
 * @queue: this port's, or DEVICE_ALL_QUEUES
 * @input: receives
 * @hwtime: stamps of the NIC
 * @unicast: not promiscuous
 */
struct device_want {
	const char *name;
	const char *eal;
	uint64_t queues, queue, mtu, mbufs, descriptors, split;
	enum device_steering steering;
	bool input, hwtime, unicast;
};

struct dpdk_device;

/* --- eal.c --- */

/*
 * Starts the EAL unless it runs, with @words or, if that is NULL, with what suits @device. 0 or
 * -errno and a text; @note gets what was chosen.
 */
int dpdk_eal_start(const char *words, const char *device, char *note, size_t note_bytes);

/* Before this thread touches an mbuf: gives it caches of its own. */
void dpdk_thread_enter(void);

/* --- device.c --- */

/*
 * Open a device, or join those who have it open; it is started. 0 or -errno and a text. What is
 * opened or not, dpdk_device_close() releases what this port has of it; NULL is nothing.
 */
int dpdk_device_open(struct dpdk_device **device, struct rk_port *port,
		     const struct device_want *want);
void dpdk_device_close(struct dpdk_device *device, const struct device_want *want);

uint16_t dpdk_device_port_id(const struct dpdk_device *device);
struct rte_mempool *dpdk_device_pool(const struct dpdk_device *device);
uint32_t dpdk_device_queues(const struct dpdk_device *device);

/* Frames of one queue, as rte_eth_rx_burst(). */
uint16_t dpdk_device_receive(struct dpdk_device *device, uint16_t queue, struct rte_mbuf **mbufs,
			     uint16_t count);

/* Frames that @queue lost since this was last asked: no descriptor, no mbuf, no room. */
uint64_t dpdk_device_lost(struct dpdk_device *device, uint16_t queue);

/* Steer datagrams to @to into @queue: by the NIC if it can, else in software; @port's note says. */
int dpdk_device_steer(struct dpdk_device *device, struct rk_port *port, struct frame_address to,
		      uint16_t queue);

/* Where stamps of the NIC lie in an mbuf: bit of ol_flags, offset; false if it has none. */
bool dpdk_device_stamps(const struct dpdk_device *device, uint64_t *flag, int *offset);

/* --- steer.c: spreading in software what the NIC does not --- */

struct dpdk_steer;

int dpdk_steer_open(struct dpdk_steer **steer, uint16_t port_id, uint32_t hardware_queues,
		    uint32_t queues);
void dpdk_steer_close(struct dpdk_steer *steer);
int dpdk_steer_add(struct dpdk_steer *steer, struct frame_address to, uint16_t queue);
/* Frames as the NIC steers them: of its queue @queue. */
uint16_t dpdk_steer_pass(struct dpdk_steer *steer, uint16_t queue, struct rte_mbuf **mbufs,
			 uint16_t count);
/* Frames as we steer them. */
uint16_t dpdk_steer_receive(struct dpdk_steer *steer, uint16_t queue, struct rte_mbuf **mbufs,
			    uint16_t count);
/* Frames that found @queue full so far. */
uint64_t dpdk_steer_missed(const struct dpdk_steer *steer, uint16_t queue);

#endif
