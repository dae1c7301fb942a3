// SPDX-License-Identifier: MIT
/*
 * actors.c - the one table of shipped actors. What the host should know of each stands here, so
 * that the handler files hold nothing but what every backend compiles.
 */
#include "actors.h"

#include "broadcast.h"
#include "count.h"
#include "echo.h"
#include "file_scan.h"
#include "l2_forward.h"
#include "mdp3_book.h"
#include "partition.h"
#include "rk_error.h"
#include "topic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNTER(state, field, name)                           \
	{                                                     \
		name, (uint32_t)offsetof(struct state, field) \
	}

static const struct rk_counter_name echo_counters[] = {
	COUNTER(rk_echo_state, messages, "messages"),
	COUNTER(rk_echo_state, sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const struct rk_counter_name count_counters[] = {
	COUNTER(rk_count_state, count.messages, "messages"),
	COUNTER(rk_count_state, count.packets, "packets"),
	COUNTER(rk_count_state, count.payload_bytes, "payload_bytes"),
	COUNTER(rk_count_state, replies, "replies"),
	COUNTER(rk_count_state, sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const char *const file_scan_args[] = {"block", NULL};

#define FILE_SCAN(field, name) COUNTER(rk_file_scan_state, field, name)

static const struct rk_counter_name file_scan_counters[] = {
	FILE_SCAN(result.bytes, "bytes"),
	FILE_SCAN(result.sum, "sum"),
	FILE_SCAN(result.weighted_sum, "weighted_sum"),
	FILE_SCAN(file_bytes, "file_bytes"),
	FILE_SCAN(reads, "reads"),
	FILE_SCAN(short_reads, "short_reads"),
	FILE_SCAN(errors, "errors"),
	FILE_SCAN(first_error, "first_error"),
	FILE_SCAN(sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const char *const mdp3_args[] = {"window_packets", "gap_ns", "first_sequence", NULL};

#define MDP3(field, name) COUNTER(rk_mdp3_state, counters.field, name)

static const struct rk_counter_name mdp3_counters[] = {
	MDP3(packets, "packets"),
	MDP3(unique, "unique"),
	MDP3(duplicates[0], "duplicates_a"),
	MDP3(duplicates[1], "duplicates_b"),
	MDP3(duplicates[2], "duplicates_other"),
	MDP3(malformed[RK_MDP3_GOOD], "malformed"),
	MDP3(malformed[RK_MDP3_SHORT], "malformed_short"),
	MDP3(malformed[RK_MDP3_LONG], "malformed_long"),
	MDP3(malformed[RK_MDP3_SIZE], "malformed_message_size"),
	MDP3(malformed[RK_MDP3_SCHEMA], "malformed_schema"),
	MDP3(malformed[RK_MDP3_GROUP], "malformed_group"),
	MDP3(malformed[RK_MDP3_ACTION], "malformed_action"),
	MDP3(malformed[RK_MDP3_LEVEL], "malformed_level"),
	MDP3(malformed[RK_MDP3_TYPE], "malformed_type"),
	MDP3(held, "held"),
	MDP3(gaps, "gaps"),
	MDP3(packets_missing, "packets_missing"),
	MDP3(source_dropped, "source_dropped"),
	MDP3(messages, "messages"),
	MDP3(templates[4], "messages_4_channel_reset"),
	MDP3(templates[12], "messages_12_heartbeat"),
	MDP3(templates[15], "messages_15_login"),
	MDP3(templates[16], "messages_16_logout"),
	MDP3(templates[27], "messages_27_future"),
	MDP3(templates[29], "messages_29_spread"),
	MDP3(templates[30], "messages_30_security_status"),
	MDP3(templates[32], "messages_32_book"),
	MDP3(templates[33], "messages_33_daily_statistics"),
	MDP3(templates[34], "messages_34_limits"),
	MDP3(templates[35], "messages_35_session_statistics"),
	MDP3(templates[36], "messages_36_trade"),
	MDP3(templates[37], "messages_37_volume"),
	MDP3(templates[38], "messages_38_snapshot"),
	MDP3(templates[39], "messages_39_quote_request"),
	MDP3(templates[41], "messages_41_option"),
	MDP3(templates[42], "messages_42_trade_summary"),
	MDP3(templates[0], "messages_unknown"),
	MDP3(entries, "entries"),
	MDP3(entries_implied, "entries_implied"),
	MDP3(entries_untracked, "entries_untracked"),
	MDP3(securities, "securities"),
	MDP3(securities_tracked, "securities_tracked"),
	MDP3(bbo_updates, "bbo_updates"),
	MDP3(sends_dropped, "sends_dropped"),
	MDP3(messages_ignored, "messages_ignored"),
	{NULL, 0},
};

static const char *const l2_args[] = {"port_xor",	    "swap_macs",     "source_mac",
				      "destination_mac", "drop_udp_port", "drop_tcp_port",
				      "region",		    "region_bytes",  NULL};

#define L2(field, name) COUNTER(rk_l2_state, counters.field, name)

static const struct rk_counter_name l2_counters[] = {
	L2(frames, "frames"),
	L2(bytes, "bytes"),
	L2(forwarded, "forwarded"),
	L2(dropped[RK_L2_FORWARD], "dropped"),
	L2(dropped[RK_L2_RUNT], "dropped_runt"),
	L2(dropped[RK_L2_MALFORMED], "dropped_malformed"),
	L2(dropped[RK_L2_IP_CHECKSUM], "dropped_ip_checksum"),
	L2(dropped[RK_L2_L4_CHECKSUM], "dropped_l4_checksum"),
	L2(dropped[RK_L2_RULE], "dropped_rule"),
	L2(dropped[RK_L2_REFERENCE], "dropped_reference"),
	L2(kinds[RK_L2_VLAN], "vlan"),
	L2(kinds[RK_L2_QINQ], "qinq"),
	L2(kinds[RK_L2_IPV4], "ipv4"),
	L2(kinds[RK_L2_IPV6], "ipv6"),
	L2(kinds[RK_L2_FRAGMENT], "fragments"),
	L2(kinds[RK_L2_UDP], "udp"),
	L2(kinds[RK_L2_TCP], "tcp"),
	L2(kinds[RK_L2_OTHER], "other"),
	L2(sends_dropped, "sends_dropped"),
	L2(messages_ignored, "messages_ignored"),
	{NULL, 0},
};

static const char *const broadcast_args[] = {"outboxes", NULL};

static const struct rk_counter_name broadcast_counters[] = {
	COUNTER(rk_broadcast_state, messages, "messages"),
	COUNTER(rk_broadcast_state, sent, "sent"),
	COUNTER(rk_broadcast_state, sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const char *const partition_args[] = {"partitions", "key_offset", "key_bytes", NULL};

static const struct rk_counter_name partition_counters[] = {
	COUNTER(rk_partition_state, partitions, "partitions"),
	COUNTER(rk_partition_state, too_short, "too_short"),
	COUNTER(rk_partition_state, refused, "refused"),
	COUNTER(rk_partition_state, sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const struct rk_counter_name topic_counters[] = {
	COUNTER(rk_topic_state, subscriptions, "subscriptions"),
	COUNTER(rk_topic_state, published, "published"),
	COUNTER(rk_topic_state, sent, "sent"),
	COUNTER(rk_topic_state, unwanted, "unwanted"),
	COUNTER(rk_topic_state, malformed, "malformed"),
	COUNTER(rk_topic_state, refused, "refused"),
	COUNTER(rk_topic_state, sends_dropped, "sends_dropped"),
	{NULL, 0},
};

static const struct rk_actor_type types[] = {
	{
		.name = "echo",
		.summary = "sends packets and messages back unchanged",
		.handle = rk_echo,
		.function = "rk_echo",
		.batch = rk_echo_batch,
		.state_bytes = sizeof(struct rk_echo_state),
		.counters = echo_counters,
	},
	{
		.name = "count",
		.summary = "counts messages and bytes, replies when asked",
		.handle = rk_count,
		.function = "rk_count",
		.state_bytes = sizeof(struct rk_count_state),
		.counters = count_counters,
	},
	{
		.name = "file_scan",
		.summary = "reads a file by itself: checksum and histogram of byte values",
		.handle = rk_file_scan,
		.function = "rk_file_scan",
		.state_bytes = sizeof(struct rk_file_scan_state),
		.args = file_scan_args,
		.counters = file_scan_counters,
	},
	{
		.name = "mdp3_book",
		.summary = "CME MDP 3.0 feeds A and B to books: best bids and offers, gaps",
		.handle = rk_mdp3_book,
		.function = "rk_mdp3_book",
		.state_bytes = sizeof(struct rk_mdp3_state),
		.args = mdp3_args,
		.counters = mdp3_counters,
	},
	{
		.name = "l2_forward",
		.summary = "reads the headers of frames, drops or rewrites and forwards them",
		.handle = rk_l2_forward,
		.function = "rk_l2_forward",
		.batch = rk_l2_forward_batch,
		.state_bytes = sizeof(struct rk_l2_state),
		.args = l2_args,
		.counters = l2_counters,
	},
	{
		.name = "broadcast",
		.summary = "sends what comes to every outbox",
		.handle = rk_broadcast,
		.function = "rk_broadcast",
		.batch = rk_broadcast_batch,
		.state_bytes = sizeof(struct rk_broadcast_state),
		.args = broadcast_args,
		.counters = broadcast_counters,
	},
	{
		.name = "partition",
		.summary = "sends what comes to the outbox of its key",
		.handle = rk_partition,
		.function = "rk_partition",
		.state_bytes = sizeof(struct rk_partition_state),
		.args = partition_args,
		.counters = partition_counters,
	},
	{
		.name = "topic",
		.summary = "sends what is published to those who subscribe to its topic",
		.handle = rk_topic_route,
		.function = "rk_topic_route",
		.state_bytes = sizeof(struct rk_topic_state),
		.counters = topic_counters,
	},
};

enum { TYPES = sizeof(types) / sizeof(types[0]) };

const struct rk_actor_type *rk_actor_type_at(uint32_t index)
{
	return index < TYPES ? &types[index] : NULL;
}

const struct rk_actor_type *rk_actor_type_find(const char *name)
{
	char names[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < TYPES; i++) {
		if (!strcmp(types[i].name, name))
			return &types[i];
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
					 types[i].name);
	}
	rk_fail(ENOENT, "actor '%s': not shipped: take one of %s", name, names);
	return NULL;
}
