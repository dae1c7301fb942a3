/* SPDX-License-Identifier: MIT */
/*
 * mdp3_wire.h - CME MDP 3.0 as it lies on the wire: offsets, sizes, codes, and little-endian
 * access to unaligned bytes. Shared by the handler that reads it and the generator that writes it.
 *
 *      packet    u32 sequence, u64 sending time (ns since 1970), then messages to the end
 *      message   u16 size (of all of it), u16 block length, u16 template, u16 schema, u16 version,
 *                block, and for template 32 a group: u16 entry length, u8 count, entries
 *      entry     i64 price, i32 size, i32 security, u32 rpt seq, i32 orders, u8 level, u8 action,
 *                char type, 5 pad
 *
 * Blocks and entries may be longer than those known here: later schema versions append fields.
 */
#ifndef MDP3_WIRE_H
#define MDP3_WIRE_H

#include "rk_base.h"

enum {
	MDP3_PACKET_SEQUENCE = 0,
	MDP3_PACKET_TIME = 4,
	MDP3_PACKET_HEADER_BYTES = 12,

	MDP3_MESSAGE_SIZE = 0,
	MDP3_MESSAGE_BLOCK = 2,
	MDP3_MESSAGE_TEMPLATE = 4,
	MDP3_MESSAGE_SCHEMA = 6,
	MDP3_MESSAGE_VERSION = 8,
	MDP3_MESSAGE_HEADER_BYTES = 10,

	MDP3_REFRESH_BLOCK_BYTES = 11, /* u64 transact time, u8 match event indicator, 2 pad */
	MDP3_GROUP_HEADER_BYTES = 3,

	MDP3_ENTRY_PRICE = 0,
	MDP3_ENTRY_SIZE = 8,
	MDP3_ENTRY_SECURITY = 12,
	MDP3_ENTRY_RPT_SEQ = 16,
	MDP3_ENTRY_ORDERS = 20,
	MDP3_ENTRY_LEVEL = 24,
	MDP3_ENTRY_ACTION = 25,
	MDP3_ENTRY_TYPE = 26,
	MDP3_ENTRY_BYTES = 32,

	MDP3_SCHEMA = 1,
	MDP3_VERSION = 6, /* the oldest whose template 32 has this layout */
};

enum mdp3_template {
	MDP3_CHANNEL_RESET = 4,
	MDP3_HEARTBEAT = 12,
	MDP3_REFRESH_BOOK = 32,
	MDP3_REFRESH_STATISTICS = 35,
	MDP3_REFRESH_VOLUME = 37,
	MDP3_REFRESH_TRADES = 42,
	MDP3_TEMPLATES = 64, /* the ids known here are below this */
};

enum mdp3_action {
	MDP3_NEW = 0,	      /* insert at the level; those below move down */
	MDP3_CHANGE = 1,      /* replace the level */
	MDP3_DELETE = 2,      /* remove the level; those below move up */
	MDP3_DELETE_THRU = 3, /* remove the whole side */
	MDP3_DELETE_FROM = 4, /* remove the top of the side, down to and with the level */
	MDP3_ACTIONS = 5,
};

RK_HD uint16_t mdp3_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

RK_HD uint32_t mdp3_get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

RK_HD uint64_t mdp3_get64(const uint8_t *at)
{
	return (uint64_t)mdp3_get32(at) | (uint64_t)mdp3_get32(at + 4) << 32;
}

RK_HD void mdp3_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

RK_HD void mdp3_put32(uint8_t *at, uint32_t value)
{
	mdp3_put16(at, (uint16_t)value);
	mdp3_put16(at + 2, (uint16_t)(value >> 16));
}

RK_HD void mdp3_put64(uint8_t *at, uint64_t value)
{
	mdp3_put32(at, (uint32_t)value);
	mdp3_put32(at + 4, (uint32_t)(value >> 32));
}

#endif
