// SPDX-License-Identifier: MIT
/* Frames: reading them without believing a byte, and building them with right checksums. */
#include "ports/frame.h"

#include <stdbool.h>
#include <string.h>

enum {
	ETHERTYPE_IPV4 = 0x0800,
	IP_PROTOCOL_UDP = 17,
	IP_MIN_BYTES = 20,
	UDP_HEAD_BYTES = 8,
	SOURCE_IP = 0xc0000201, /* 192.0.2.1 */
};

/* What is left of a frame. */
struct rest {
	const uint8_t *at;
	uint32_t captured; /* bytes at @at */
	uint32_t bytes;	   /* that were on the wire; never less */
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* The next @bytes bytes, which are consumed; NULL if they are not there. */
static const uint8_t *take(struct rest *rest, uint32_t bytes)
{
	const uint8_t *at = rest->at;

	if (bytes > rest->captured)
		return NULL;
	rest->at += bytes;
	rest->captured -= bytes;
	rest->bytes -= bytes;
	return at;
}

/* Why @bytes bytes are not there. */
static enum frame_verdict missing(const struct rest *rest, uint32_t bytes)
{
	return bytes <= rest->bytes ? FRAME_TRUNCATED : FRAME_MALFORMED;
}

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/* Consume the link header; FRAME_UDP when IPv4 follows. */
static enum frame_verdict skip_link(enum frame_link link, struct rest *rest)
{
	static const struct {
		uint8_t bytes, type_at;
	} heads[] = {
		[FRAME_ETHERNET] = {14, 12},  [FRAME_IP] = {0, 0},
		[FRAME_LINUX_SLL] = {16, 14}, [FRAME_LINUX_SLL2] = {20, 0},
		[FRAME_LOOPBACK] = {4, 0},
	};
	const uint8_t *head = take(rest, heads[link].bytes);
	uint16_t type;

	if (!head)
		return missing(rest, heads[link].bytes);
	if (link == FRAME_IP)
		return FRAME_UDP;
	if (link == FRAME_LOOPBACK)
		return get32(head) == 2 || get32(head) == 0x02000000 ? FRAME_UDP : FRAME_FOREIGN;
	type = get16(head + heads[link].type_at);
	while (is_vlan(type)) {
		const uint8_t *tag = take(rest, 4);

		if (!tag)
			return missing(rest, 4);
		type = get16(tag + 2);
	}
	return type == ETHERTYPE_IPV4 ? FRAME_UDP : FRAME_FOREIGN;
}

/* Consume the IPv4 header and cut @rest to its payload; FRAME_UDP when UDP follows. */
static enum frame_verdict skip_ip(struct rest *rest, struct frame_address *to)
{
	const uint8_t *head;
	uint32_t head_bytes, total;

	if (!rest->captured)
		return missing(rest, 1);
	if (rest->at[0] >> 4 != 4)
		return FRAME_FOREIGN;
	if (rest->captured < IP_MIN_BYTES)
		return missing(rest, IP_MIN_BYTES);
	head = rest->at;
	head_bytes = (head[0] & 15) * 4u;
	total = get16(head + 2);
	if (head_bytes < IP_MIN_BYTES || total < head_bytes || total > rest->bytes)
		return FRAME_MALFORMED;
	/* More fragments, or not the first one. */
	if (head[9] != IP_PROTOCOL_UDP || get16(head + 6) & 0x3fff)
		return FRAME_FOREIGN;
	if (!take(rest, head_bytes))
		return missing(rest, head_bytes);
	rest->bytes = total - head_bytes;
	if (rest->captured > rest->bytes)
		rest->captured = rest->bytes;
	to->ip = get32(head + 16);
	return FRAME_UDP;
}

enum frame_verdict frame_parse(enum frame_link link, const uint8_t *frame, uint32_t captured,
			       uint32_t bytes, struct frame_datagram *datagram)
{
	struct rest rest = {frame, captured, bytes > captured ? bytes : captured};
	enum frame_verdict verdict;
	const uint8_t *head;
	uint32_t udp_bytes;

	memset(datagram, 0, sizeof(*datagram));
	verdict = skip_link(link, &rest);
	if (verdict != FRAME_UDP)
		return verdict;
	verdict = skip_ip(&rest, &datagram->to);
	if (verdict != FRAME_UDP)
		return verdict;
	udp_bytes = rest.bytes;
	head = take(&rest, UDP_HEAD_BYTES);
	if (!head)
		return missing(&rest, UDP_HEAD_BYTES);
	/* Bytes behind the UDP length belong to nobody. */
	if (get16(head + 4) < UDP_HEAD_BYTES || get16(head + 4) > udp_bytes)
		return FRAME_MALFORMED;
	datagram->to.port = get16(head + 2);
	datagram->bytes = get16(head + 4) - UDP_HEAD_BYTES;
	datagram->data = take(&rest, datagram->bytes);
	return datagram->data ? FRAME_UDP : FRAME_TRUNCATED;
}

/* One's complement sum of RFC 1071, not yet folded. */
static uint64_t sum(uint64_t sum_before, const uint8_t *at, uint32_t bytes)
{
	for (; bytes > 1; at += 2, bytes -= 2)
		sum_before += get16(at);
	return bytes ? sum_before + (uint32_t)(at[0] << 8) : sum_before;
}

static uint16_t fold(uint64_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return (uint16_t)~value;
}

static void build_ethernet(uint8_t *at, uint32_t ip)
{
	static const uint8_t host[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};

	memcpy(at, host, sizeof(host));
	if (ip >> 28 == 14) {
		put32(at, 0x01005e00);
		put32(at + 2, 0x5e000000 | (ip & 0x7fffff));
	}
	put16(at + 12, ETHERTYPE_IPV4);
}

uint32_t frame_build(uint8_t *frame, struct frame_address to, uint32_t bytes)
{
	uint8_t *ip = frame + 14, *udp = ip + IP_MIN_BYTES;
	uint32_t udp_bytes = UDP_HEAD_BYTES + bytes;
	uint16_t checksum;

	build_ethernet(frame, to.ip);
	memset(ip, 0, IP_MIN_BYTES + UDP_HEAD_BYTES);
	ip[0] = 0x45;
	put16(ip + 2, IP_MIN_BYTES + udp_bytes);
	put16(ip + 6, 0x4000); /* do not fragment, so that an id of 0 is right (RFC 6864) */
	ip[8] = 1;
	ip[9] = IP_PROTOCOL_UDP;
	put32(ip + 12, SOURCE_IP);
	put32(ip + 16, to.ip);
	put16(ip + 10, fold(sum(0, ip, IP_MIN_BYTES)));

	put16(udp, to.port);
	put16(udp + 2, to.port);
	put16(udp + 4, udp_bytes);
	/* The pseudo header: addresses, protocol, length. */
	checksum = fold(sum(sum(IP_PROTOCOL_UDP + udp_bytes, ip + 12, 8), udp, udp_bytes));
	put16(udp + 6, checksum ? checksum : 0xffff);
	return FRAME_HEAD_BYTES + bytes;
}
