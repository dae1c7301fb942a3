// SPDX-License-Identifier: MIT
/* rte_telemetry: what runs here, its counters and latencies, under /ringkernel. */
#include "ports/dpdk/dpdk.h"

#include <pthread.h>
#include <rte_mempool.h>
#include <rte_telemetry.h>
#include <rte_version.h>
#include <string.h>

enum { MOST = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct dpdk_watched *first;
static bool registered;

/* Mutex held. */
static const struct dpdk_watched *find(const char *name)
{
	const struct dpdk_watched *watched = first;

	while (watched && name && strcmp(watched->name, name))
		watched = watched->next;
	return name ? watched : NULL;
}

static void add_u64(struct rte_tel_data *data, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	rte_tel_data_add_dict_uint(data, name, value);
#else
	rte_tel_data_add_dict_u64(data, name, value);
#endif
}

static int info(const char *command, const char *parameters, struct rte_tel_data *data)
{
	(void)command;
	(void)parameters;
	rte_tel_data_start_dict(data);
	return rte_tel_data_add_dict_string(data, "version", rk_version());
}

static int list(const char *command, const char *parameters, struct rte_tel_data *data)
{
	(void)command;
	(void)parameters;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	pthread_mutex_lock(&mutex);
	for (const struct dpdk_watched *at = first; at; at = at->next)
		rte_tel_data_add_array_string(data, at->name);
	pthread_mutex_unlock(&mutex);
	return 0;
}

static int stats(const char *command, const char *parameters, struct rte_tel_data *data)
{
	const struct dpdk_watched *watched;
	const char *names[MOST];
	uint64_t values[MOST];
	uint32_t count = 0;

	(void)command;
	pthread_mutex_lock(&mutex);
	watched = find(parameters);
	if (watched)
		count = watched->stats(watched->object, names, values, MOST);
	rte_tel_data_start_dict(data);
	for (uint32_t i = 0; i < count; i++)
		add_u64(data, names[i], values[i]);
	pthread_mutex_unlock(&mutex);
	return watched ? 0 : -ENOENT;
}

static void add_latency(struct rte_tel_data *data, const char *prefix, const struct rk_hist *hist)
{
	static const struct {
		const char *name;
		double percentile;
	} rows[] = {{"p50", 50}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100}};
	char name[48];

	snprintf(name, sizeof(name), "%s_count", prefix);
	add_u64(data, name, rk_hist_count(hist));
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(name, sizeof(name), "%s_%s_ns", prefix, rows[i].name);
		for (char *at = name; *at; at++)
			if (*at == '.')
				*at = '_'; /* a name in telemetry has no point */
		add_u64(data, name, rk_hist_percentile(hist, rows[i].percentile));
	}
}

static int latency(const char *command, const char *parameters, struct rte_tel_data *data)
{
	static const char *const prefixes[] = {"rx_to_actor", "rx_to_tx"};
	const struct dpdk_watched *watched;
	bool found;

	(void)command;
	pthread_mutex_lock(&mutex);
	watched = find(parameters);
	found = watched && watched->latency;
	rte_tel_data_start_dict(data);
	for (uint32_t i = 0; found && i < RK_DPDK_LATENCIES; i++)
		add_latency(data, prefixes[i], watched->latency(watched->object, i));
	pthread_mutex_unlock(&mutex);
	return found ? 0 : -ENOENT;
}

static void add_pool(const struct rk_dpdk_pool *pool, void *data)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();

	if (!dict)
		return;
	rte_tel_data_start_dict(dict);
	add_u64(dict, "size", pool->mempool->size);
	add_u64(dict, "in_use", rte_mempool_in_use_count(pool->mempool));
	add_u64(dict, "region_bytes", pool->bytes);
	add_u64(dict, "page_bytes", pool->page_bytes);
	if (rte_tel_data_add_dict_container(data, pool->name, dict, 0))
		rte_tel_data_free(dict);
}

static int pools(const char *command, const char *parameters, struct rte_tel_data *data)
{
	(void)command;
	(void)parameters;
	rte_tel_data_start_dict(data);
	dpdk_pools_each(add_pool, data);
	return 0;
}

void dpdk_watch(struct dpdk_watched *watched)
{
	pthread_mutex_lock(&mutex);
	if (!registered) {
		registered = true;
		rte_telemetry_register_cmd("/ringkernel/info", info, "Version. No parameters.");
		rte_telemetry_register_cmd("/ringkernel/queues", list,
					   "Names of queues and ports. No parameters.");
		rte_telemetry_register_cmd("/ringkernel/stats", stats,
					   "Counters of a queue or port. Parameters: its name");
		rte_telemetry_register_cmd("/ringkernel/latency", latency,
					   "Latencies of a queue, ns. Parameters: its name");
		rte_telemetry_register_cmd("/ringkernel/pools", pools,
					   "Pools in regions. No parameters.");
	}
	watched->next = first;
	first = watched;
	pthread_mutex_unlock(&mutex);
}

void dpdk_unwatch(struct dpdk_watched *watched)
{
	pthread_mutex_lock(&mutex);
	for (struct dpdk_watched **at = &first; *at; at = &(*at)->next) {
		if (*at != watched)
			continue;
		*at = watched->next;
		break;
	}
	pthread_mutex_unlock(&mutex);
}
