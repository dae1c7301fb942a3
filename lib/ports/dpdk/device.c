// SPDX-License-Identifier: MIT
/* Devices that ports share: probing, queues, starting; counted users; the end. */
#include "ports/dpdk/device.h"

#include <pthread.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf_dyn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MBUFS = 8191, DEFAULT_DESCRIPTORS = 1024 };

/**
 * struct dpdk_device - a started ethdev
 * @probed: by us, to be removed again
 * @started: to be stopped
 * @plain: instead of @pool, where the driver takes no buffers but its EAL's
 * @split_pool: for the headers, where the NIC splits
 * @in: by queue, whether a port receives from it; @out: sends to it
 * @soft: frames are spread by @steer; set once
 * @lost: what ethdev counts as lost that some port has told already
 * @missed: by queue, what @steer counts of it
 */
struct dpdk_device {
	struct dpdk_device *next;
	char *name;
	uint16_t port_id;
	uint32_t users, queues, hardware_queues;
	bool probed, started, hwtime;
	struct rk_dpdk_pool *pool;
	struct rte_mempool *plain;
	struct rte_mempool *split_pool;
	bool in[DEVICE_QUEUES], out[DEVICE_QUEUES];
	bool soft;
	struct dpdk_steer *steer;
	uint64_t stamp_flag;
	int stamp_offset;
	uint64_t lost, missed[DEVICE_QUEUES];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all but receiving */
static struct dpdk_device *devices;
static struct rk_dpdk_pool *retired[RK_DPDK_POOLS]; /* whose mbufs another device still has */

static int fail(const struct dpdk_device *device, int error, const char *what)
{
	error = error < 0 ? -error : error;
	return rk_fail(error, "device '%s': %s: %s", device->name, what, rte_strerror(error));
}

static void note(struct rk_port *port, const char *text, const char *detail)
{
	size_t used = strlen(port->note);

	if (used + 3 < sizeof(port->note))
		snprintf(port->note + used, sizeof(port->note) - used, "%s%s%s", used ? "; " : "",
			 text, detail);
}

/* --- Opening --- */

/* The port of that name, which the EAL's arguments may have made, or a new one. */
static int probe(struct dpdk_device *device)
{
	struct rte_dev_iterator iterator;
	size_t bytes = strcspn(device->name, ",");
	char *bare = strndup(device->name, bytes);
	int result = bare ? rte_eth_dev_get_port_by_name(bare, &device->port_id) : -ENOMEM;

	free(bare);
	if (!result)
		return 0;
	result = rte_dev_probe(device->name);
	if (result)
		return rk_fail(-result,
			       "device '%s': rte_dev_probe: %s: name a driver and its arguments "
			       "(net_memif0\\,role=client), or a PCI address bound to vfio-pci",
			       device->name, rte_strerror(-result));
	device->probed = true;
	RTE_ETH_FOREACH_MATCHING_DEV (device->port_id, device->name, &iterator) {
		rte_eth_iterator_cleanup(&iterator);
		return 0;
	}
	return rk_fail(ENODEV, "device '%s': it was probed, and is no ethdev", device->name);
}

/* How many queues the hardware gets; fewer than @device->queues means to spread in software. */
static uint32_t choose_queues(const struct dpdk_device *device, const struct device_want *want,
			      const struct rte_eth_dev_info *info)
{
	bool able = info->max_rx_queues >= device->queues &&
		    (info->flow_type_rss_offloads || want->steering == STEER_HW);

	return able && want->steering != STEER_SOFT ? device->queues : 1;
}

static void choose_offloads(struct rte_eth_conf *conf, const struct device_want *want,
			    const struct rte_eth_dev_info *info)
{
	uint64_t rx = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_SCATTER;

	if (want->hwtime)
		rx |= RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	if (want->split)
		rx |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
	conf->rxmode.offloads = rx & info->rx_offload_capa;
	conf->txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS & info->tx_offload_capa;
}

static int configure(struct dpdk_device *device, struct rk_port *port,
		     const struct device_want *want, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}};
	int result;

	device->hardware_queues = choose_queues(device, want, info);
	if (info->max_tx_queues < device->queues)
		return rk_fail(EINVAL, "device '%s': queues=%u: it sends by at most %u",
			       device->name, device->queues, info->max_tx_queues);
	choose_offloads(&conf, want, info);
	if (device->hardware_queues > 1 && info->flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP) &
			info->flow_type_rss_offloads;
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH & info->rx_offload_capa;
	}
	result = rte_eth_dev_configure(device->port_id, (uint16_t)device->hardware_queues,
				       (uint16_t)device->queues, &conf);
	if (result)
		return fail(device, result, "rte_eth_dev_configure");
	if (want->mtu) {
		result = rte_eth_dev_set_mtu(device->port_id, (uint16_t)want->mtu);
		/* Some drivers take what comes and know no limit. */
		if (result && result != -ENOTSUP)
			return fail(device, result, "rte_eth_dev_set_mtu");
	}
	if (want->hwtime && conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TIMESTAMP)
		device->hwtime = !rte_mbuf_dyn_rx_timestamp_register(&device->stamp_offset,
								     &device->stamp_flag);
	if (want->hwtime && !device->hwtime)
		note(port, "hwtime: this driver stamps no frames", "");
	return 0;
}

/* Headers go to a pool of their own, data to the region: so the driver must be able to. */
static int set_split(struct dpdk_device *device, struct rk_port *port,
		     const struct device_want *want, const struct rte_eth_dev_info *info,
		     struct rte_eth_rxconf *conf, union rte_eth_rxseg segments[2])
{
	char name[RTE_MEMPOOL_NAMESIZE];

	if (!want->split)
		return 0;
	if (!(info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT) ||
	    info->rx_seg_capa.max_nseg < 2) {
		note(port, "split: this driver does not split frames: ", info->driver_name);
		return 0;
	}
	if (!device->split_pool) {
		snprintf(name, sizeof(name), "rk_head_%u", device->port_id);
		device->split_pool = rte_pktmbuf_pool_create(
			name, want->mbufs ? (unsigned int)want->mbufs : DEFAULT_MBUFS, 256, 0,
			RTE_PKTMBUF_HEADROOM + 1024, SOCKET_ID_ANY);
	}
	if (!device->split_pool)
		return fail(device, rte_errno, "pool of headers");
	segments[0].split = (struct rte_eth_rxseg_split){.mp = device->split_pool,
							 .length = (uint16_t)want->split};
	segments[1].split =
		(struct rte_eth_rxseg_split){.mp = rk_dpdk_pool_mempool(device->pool)};
	conf->offloads |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
	conf->rx_seg = segments;
	conf->rx_nseg = 2;
	return 0;
}

/* One queue; with memory of the EAL if the driver refuses that of the region (net_af_xdp does). */
static int set_up_receive(struct dpdk_device *device, struct rk_port *port,
			  const struct device_want *want, uint16_t queue, uint16_t descriptors,
			  const struct rte_eth_rxconf *conf)
{
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(device->port_id);
	char name[RTE_MEMPOOL_NAMESIZE];
	int result;

	result = rte_eth_rx_queue_setup(device->port_id, queue, descriptors, socket, conf,
					conf->rx_nseg ? NULL : dpdk_device_pool(device));
	if (!result || device->plain || conf->rx_nseg || queue)
		return result ? fail(device, result, "rte_eth_rx_queue_setup") : 0;
	snprintf(name, sizeof(name), "rk_plain_%u", device->port_id);
	device->plain = rte_pktmbuf_pool_create(
		name, want->mbufs ? (unsigned int)want->mbufs : DEFAULT_MBUFS, 256, 0,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!device->plain)
		return fail(device, result, "rte_eth_rx_queue_setup");
	result = rte_eth_rx_queue_setup(device->port_id, queue, descriptors, socket, conf,
					device->plain);
	if (result)
		return fail(device, result, "rte_eth_rx_queue_setup");
	note(port, "long frames are copied: this driver takes no buffers of a region", "");
	return 0;
}

static int set_up_queues(struct dpdk_device *device, struct rk_port *port,
			 const struct device_want *want, const struct rte_eth_dev_info *info)
{
	uint16_t rx = want->descriptors ? (uint16_t)want->descriptors : DEFAULT_DESCRIPTORS;
	struct rte_eth_rxconf conf = info->default_rxconf;
	union rte_eth_rxseg segments[2];
	int socket = rte_eth_dev_socket_id(device->port_id), result;
	uint16_t tx = rx;

	memset(segments, 0, sizeof(segments));
	result = rte_eth_dev_adjust_nb_rx_tx_desc(device->port_id, &rx, &tx);
	if (result)
		return fail(device, result, "descriptors");
	result = set_split(device, port, want, info, &conf, segments);
	for (uint32_t i = 0; !result && i < device->hardware_queues; i++)
		result = set_up_receive(device, port, want, (uint16_t)i, rx, &conf);
	for (uint32_t i = 0; !result && i < device->queues; i++) {
		result = rte_eth_tx_queue_setup(device->port_id, (uint16_t)i, tx,
						(unsigned int)socket, NULL);
		if (result)
			return fail(device, result, "rte_eth_tx_queue_setup");
	}
	return result;
}

static int start(struct dpdk_device *device, struct rk_port *port, const struct device_want *want)
{
	const struct rk_dpdk_pool_opts opts = {.size = sizeof(opts),
					       .mbufs = (uint32_t)want->mbufs};
	char name[RK_DPDK_NAME_BYTES];
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(device->port_id, &info);

	if (result)
		return fail(device, result, "rte_eth_dev_info_get");
	snprintf(name, sizeof(name), "rk_port_%u", device->port_id);
	result = rk_dpdk_pool_open(&device->pool, name, &opts);
	if (!result)
		result = rk_dpdk_pool_map(device->pool, device->port_id);
	if (result)
		return result;
	note(port, "", rk_dpdk_pool_note(device->pool));
	result = configure(device, port, want, &info);
	if (!result)
		result = set_up_queues(device, port, want, &info);
	if (!result && device->queues > 1)
		result = dpdk_steer_open(&device->steer, device->port_id, device->hardware_queues,
					 device->queues);
	if (result)
		return result;
	device->soft = device->hardware_queues < device->queues;
	if (device->soft && want->steering != STEER_SOFT)
		note(port, "queues are spread in software: no RSS in ", info.driver_name);
	result = rte_eth_dev_start(device->port_id);
	if (result)
		return fail(device, result, "rte_eth_dev_start");
	device->started = true;
	/* Where a driver cannot, it receives what it receives. */
	if (!want->unicast) {
		rte_eth_promiscuous_enable(device->port_id);
		rte_eth_allmulticast_enable(device->port_id);
	}
	return 0;
}

static struct dpdk_device *find(const char *name)
{
	struct dpdk_device *device = devices;

	while (device && strcmp(device->name, name))
		device = device->next;
	return device;
}

/* Closes a pool, and those before it, as soon as all its mbufs are back; mutex held. */
static void retire(struct rk_dpdk_pool *pool)
{
	for (uint32_t i = 0; i < RK_DPDK_POOLS; i++) {
		if (!retired[i]) {
			retired[i] = pool;
			pool = NULL;
		}
		if (retired[i] && !rk_dpdk_pool_close(retired[i]))
			retired[i] = NULL;
	}
}

/* Frees what was made of a device that nobody uses; mutex held. */
static void destroy(struct dpdk_device *device)
{
	struct dpdk_device **at = &devices;

	while (*at && *at != device)
		at = &(*at)->next;
	if (*at)
		*at = device->next;
	if (device->started)
		rte_eth_dev_stop(device->port_id);
	dpdk_steer_close(device->steer);
	if (device->pool)
		rk_dpdk_pool_unmap(device->pool, device->port_id);
	if (device->probed) {
		struct rte_eth_dev_info info;
		int known = rte_eth_dev_info_get(device->port_id, &info);

		rte_eth_dev_close(device->port_id);
		if (!known && info.device)
			rte_dev_remove(info.device);
	}
	retire(device->pool);
	rte_mempool_free(device->plain);
	rte_mempool_free(device->split_pool);
	free(device->name);
	free(device);
}

static int make(struct dpdk_device **out, struct rk_port *port, const struct device_want *want)
{
	struct dpdk_device *device = calloc(1, sizeof(*device));
	int result;

	if (device)
		device->name = strdup(want->name);
	if (!device || !device->name) {
		free(device);
		return rk_fail(ENOMEM, "device '%s': no memory", want->name);
	}
	device->queues = want->queues ? (uint32_t)want->queues : 1;
	result = probe(device);
	if (!result)
		result = start(device, port, want);
	if (result) {
		destroy(device);
		return result;
	}
	device->next = devices;
	devices = device;
	*out = device;
	return 0;
}

/* Takes the queues for this port; mutex held. */
static int take(struct dpdk_device *device, const struct device_want *want)
{
	bool *taken = want->input ? device->in : device->out;
	bool all = want->queue == DEVICE_ALL_QUEUES;
	uint32_t first = all ? 0 : (uint32_t)want->queue, end = all ? device->queues : first + 1;

	if (want->queues && want->queues != device->queues)
		return rk_fail(EINVAL, "queues=%u: the device is open with %u",
			       (unsigned int)want->queues, device->queues);
	if (first >= device->queues)
		return rk_fail(EINVAL, "queue=%u: there are %u, from 0", first, device->queues);
	for (uint32_t i = first; i < end; i++)
		if (taken[i])
			return rk_fail(EBUSY,
				       "queue %u is another port's: open both with queues=N, and "
				       "each with its queue=K",
				       i);
	for (uint32_t i = first; i < end; i++)
		taken[i] = true;
	return 0;
}

int dpdk_device_open(struct dpdk_device **out, struct rk_port *port, const struct device_want *want)
{
	struct dpdk_device *device;
	int result = 0;

	pthread_mutex_lock(&mutex);
	device = find(want->name);
	if (!device)
		result = dpdk_eal_start(want->eal, want->name, port->note,
					sizeof(port->note));
	if (!device && !result)
		result = make(&device, port, want);
	if (!result) {
		device->users++;
		result = take(device, want);
		if (!result)
			*out = device;
		else if (!--device->users)
			destroy(device);
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

void dpdk_device_close(struct dpdk_device *device, const struct device_want *want)
{
	bool all = want->queue == DEVICE_ALL_QUEUES;

	if (!device)
		return;
	pthread_mutex_lock(&mutex);
	for (uint32_t i = 0; i < device->queues; i++)
		if (all || i == want->queue)
			(want->input ? device->in : device->out)[i] = false;
	if (!--device->users)
		destroy(device);
	pthread_mutex_unlock(&mutex);
}

/* --- Using --- */

uint16_t dpdk_device_port_id(const struct dpdk_device *device)
{
	return device->port_id;
}

struct rte_mempool *dpdk_device_pool(const struct dpdk_device *device)
{
	return device->plain ? device->plain : rk_dpdk_pool_mempool(device->pool);
}

uint32_t dpdk_device_queues(const struct dpdk_device *device)
{
	return device->queues;
}

uint16_t dpdk_device_receive(struct dpdk_device *device, uint16_t queue, struct rte_mbuf **mbufs,
			     uint16_t count)
{
	if (!device->steer)
		return rte_eth_rx_burst(device->port_id, queue, mbufs, count);
	/* Relaxed: who sees it late takes one more burst as the NIC steered it. */
	if (__atomic_load_n(&device->soft, __ATOMIC_RELAXED))
		return dpdk_steer_receive(device->steer, queue, mbufs, count);
	return dpdk_steer_pass(device->steer, queue, mbufs, count);
}

uint64_t dpdk_device_lost(struct dpdk_device *device, uint16_t queue)
{
	struct rte_eth_stats stats;
	uint64_t lost = 0, missed;

	pthread_mutex_lock(&mutex);
	if (!rte_eth_stats_get(device->port_id, &stats)) {
		/* Not rx_nombuf: what waits for an mbuf is counted there again and again. */
		missed = stats.imissed;
		if (missed > device->lost) {
			lost = missed - device->lost;
			device->lost = missed;
		}
	}
	if (device->steer) {
		missed = dpdk_steer_missed(device->steer, queue);
		lost += missed - device->missed[queue];
		device->missed[queue] = missed;
	}
	pthread_mutex_unlock(&mutex);
	return lost;
}

/* Ask the NIC to put datagrams to @to into @queue. */
static int create_rule(const struct dpdk_device *device, struct frame_address to, uint16_t queue,
		       struct rte_flow_error *error)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_item_ipv4 ip = {.hdr.dst_addr = rte_cpu_to_be_32(to.ip)};
	const struct rte_flow_item_ipv4 ip_mask = {.hdr.dst_addr = UINT32_MAX};
	const struct rte_flow_item_udp udp = {.hdr.dst_port = rte_cpu_to_be_16(to.port)};
	const struct rte_flow_item_udp udp_mask = {.hdr.dst_port = UINT16_MAX};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask},
		{.type = RTE_FLOW_ITEM_TYPE_END}};
	const struct rte_flow_action_queue to_queue = {.index = queue};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to_queue},
		{.type = RTE_FLOW_ACTION_TYPE_END}};

	memset(error, 0, sizeof(*error));
	if (rte_flow_create(device->port_id, &attr, pattern, actions, error))
		return 0;
	return -rte_errno;
}

int dpdk_device_steer(struct dpdk_device *device, struct rk_port *port, struct frame_address to,
		      uint16_t queue)
{
	struct rte_flow_error error;
	int result = 0;

	if (device->queues == 1 || queue == DEVICE_ALL_QUEUES)
		return 0;
	pthread_mutex_lock(&mutex);
	if (!device->soft && create_rule(device, to, queue, &error)) {
		/* One that the NIC does not steer may arrive anywhere: then we spread them all. */
		note(port, "flows are steered in software: rte_flow: ",
		     error.message ? error.message : rte_strerror(rte_errno));
		__atomic_store_n(&device->soft, true, __ATOMIC_RELAXED);
	}
	/* Also where the NIC steers, in case it refuses a later one. */
	result = dpdk_steer_add(device->steer, to, queue);
	pthread_mutex_unlock(&mutex);
	return result;
}

bool dpdk_device_stamps(const struct dpdk_device *device, uint64_t *flag, int *offset)
{
	*flag = device->stamp_flag;
	*offset = device->stamp_offset;
	return device->hwtime;
}
