// SPDX-License-Identifier: MIT
/*
 * l2_forward.c - the handler of l2_forward.h. Every byte of a frame may be hostile.
 */
#include "l2_forward.h"

enum {
	ETHERNET_BYTES = 14,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	UDP_BYTES = 8,
	TCP_BYTES = 20,
	PORTS_BYTES = 4, /* both begin with their ports */
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	EXTENSIONS_MAX = 8, /* IPv6 extension headers that are followed */
};

/*
 * A frame being read. @at moves over its headers, within the inline @bytes at @data; what follows
 * those lies at @rest, if it can be reached, else that is NULL.
 */
struct reading {
	const uint8_t *data;
	const uint8_t *rest;
	uint32_t bytes;
	uint32_t frame_bytes;
	uint32_t at;
	uint32_t end; /* of the IP packet, within the frame */
	uint32_t addresses; /* where those of the pseudo header begin, and their length */
	uint32_t addresses_bytes;
	uint32_t protocol;
};

static RK_DEVICE uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/*
 * True if @bytes more can be read at @r->at. If not, *@drop tells whether the frame is to blame:
 * what lies behind the inline bytes of a longer frame is merely not looked at.
 */
static RK_DEVICE int has(const struct reading *r, uint32_t bytes, enum rk_l2_drop *drop)
{
	if (r->at + bytes <= r->bytes)
		return 1;
	*drop = r->at + bytes > r->frame_bytes ? RK_L2_MALFORMED : RK_L2_FORWARD;
	return 0;
}

/* One's complement sum of @bytes from position @from of the frame on. */
static RK_DEVICE uint32_t sum(const struct reading *r, uint32_t from, uint32_t bytes)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < bytes; i++) {
		uint32_t at = from + i;
		uint32_t byte = at < r->bytes ? r->data[at] : r->rest[at - r->bytes];

		total += i & 1 ? byte : byte << 8;
	}
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

/* The checksum of UDP or TCP over @bytes from @r->at on, if all of that can be reached. */
static RK_DEVICE enum rk_l2_drop check_l4(const struct reading *r, uint32_t bytes)
{
	uint32_t total;

	if (r->at + bytes > r->bytes && !r->rest)
		return RK_L2_FORWARD;
	total = sum(r, r->addresses, r->addresses_bytes) + r->protocol + bytes +
		sum(r, r->at, bytes);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total == 0xffff ? RK_L2_FORWARD : RK_L2_L4_CHECKSUM;
}

static RK_DEVICE enum rk_l2_drop read_udp(struct rk_l2_state *s, const struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	uint32_t length;

	if (r->end - r->at < UDP_BYTES)
		return RK_L2_MALFORMED;
	if (!has(r, UDP_BYTES, &drop))
		return drop;
	s->counters.kinds[RK_L2_UDP]++;
	length = get16(r->data + r->at + 4);
	if (length < UDP_BYTES || length > r->end - r->at)
		return RK_L2_MALFORMED;
	if (get16(r->data + r->at + 6)) /* 0: the sender made none */
		drop = check_l4(r, length);
	if (!drop && s->args[RK_L2_DROP_UDP_PORT] &&
	    get16(r->data + r->at + 2) == s->args[RK_L2_DROP_UDP_PORT])
		drop = RK_L2_RULE;
	return drop;
}

static RK_DEVICE enum rk_l2_drop read_tcp(struct rk_l2_state *s, const struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	uint32_t head;

	if (r->end - r->at < TCP_BYTES)
		return RK_L2_MALFORMED;
	if (!has(r, PORTS_BYTES, &drop))
		return drop;
	s->counters.kinds[RK_L2_TCP]++;
	if (has(r, TCP_BYTES, &drop)) {
		head = (uint32_t)(r->data[r->at + 12] >> 4) * 4;
		if (head < TCP_BYTES || head > r->end - r->at)
			return RK_L2_MALFORMED;
		drop = check_l4(r, r->end - r->at);
	}
	if (!drop && s->args[RK_L2_DROP_TCP_PORT] &&
	    get16(r->data + r->at + 2) == s->args[RK_L2_DROP_TCP_PORT])
		drop = RK_L2_RULE;
	return drop;
}

static RK_DEVICE enum rk_l2_drop read_l4(struct rk_l2_state *s, const struct reading *r)
{
	if (r->protocol == PROTOCOL_UDP)
		return read_udp(s, r);
	if (r->protocol == PROTOCOL_TCP)
		return read_tcp(s, r);
	return RK_L2_FORWARD;
}

static RK_DEVICE enum rk_l2_drop read_ipv4(struct rk_l2_state *s, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t head, total;

	if (!has(r, IPV4_BYTES, &drop))
		return drop;
	s->counters.kinds[RK_L2_IPV4]++;
	head = (uint32_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || head < IPV4_BYTES || total < head || total > r->frame_bytes - r->at)
		return RK_L2_MALFORMED;
	if (!has(r, head, &drop))
		return drop;
	if (sum(r, r->at, head) != 0xffff)
		return RK_L2_IP_CHECKSUM;
	r->end = r->at + total;
	r->addresses = r->at + 12;
	r->addresses_bytes = 8;
	r->protocol = ip[9];
	r->at += head;
	if (get16(ip + 6) & 0x3fff) {
		s->counters.kinds[RK_L2_FRAGMENT]++;
		return RK_L2_FORWARD;
	}
	return read_l4(s, r);
}

/* Hop-by-hop options, routing, destination options: a length in units of 8 bytes, without the first. */
static RK_DEVICE int is_extension(uint32_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60;
}

static RK_DEVICE enum rk_l2_drop read_ipv6(struct rk_l2_state *s, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t payload;

	if (!has(r, IPV6_BYTES, &drop))
		return drop;
	s->counters.kinds[RK_L2_IPV6]++;
	payload = get16(ip + 4);
	if (ip[0] >> 4 != 6 || payload > r->frame_bytes - r->at - IPV6_BYTES)
		return RK_L2_MALFORMED;
	r->addresses = r->at + 8;
	r->addresses_bytes = 32;
	r->protocol = ip[6];
	r->at += IPV6_BYTES;
	r->end = r->at + payload;
	for (uint32_t i = 0; is_extension(r->protocol); i++) {
		const uint8_t *extension = r->data + r->at;
		uint32_t bytes;

		if (i == EXTENSIONS_MAX || r->end - r->at < 8)
			return RK_L2_MALFORMED;
		if (!has(r, 8, &drop))
			return drop;
		bytes = ((uint32_t)extension[1] + 1) * 8;
		if (bytes > r->end - r->at)
			return RK_L2_MALFORMED;
		r->protocol = extension[0];
		r->at += bytes;
	}
	if (r->protocol == 44) {
		s->counters.kinds[RK_L2_FRAGMENT]++;
		return RK_L2_FORWARD;
	}
	return read_l4(s, r);
}

static RK_DEVICE enum rk_l2_drop read_frame(struct rk_l2_state *s, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	uint32_t type, tags = 0;

	if (r->frame_bytes < ETHERNET_BYTES)
		return RK_L2_RUNT;
	if (!has(r, ETHERNET_BYTES, &drop))
		return drop;
	type = get16(r->data + 12);
	r->at = ETHERNET_BYTES;
	for (; type == 0x8100 || type == 0x88a8 || type == 0x9100; tags++) {
		if (!has(r, 4, &drop))
			return drop;
		type = get16(r->data + r->at + 2);
		r->at += 4;
	}
	if (tags)
		s->counters.kinds[tags == 1 ? RK_L2_VLAN : RK_L2_QINQ]++;
	if (type == ETHERTYPE_IPV4)
		return read_ipv4(s, r);
	if (type == ETHERTYPE_IPV6)
		return read_ipv6(s, r);
	s->counters.kinds[RK_L2_OTHER]++;
	return RK_L2_FORWARD;
}

/* Find the bytes behind the inline ones; RK_L2_REFERENCE if they are not where they should be. */
static RK_DEVICE enum rk_l2_drop reach_rest(const struct rk_l2_state *s,
					    const struct rk_frame *frame, struct reading *r)
{
	uint64_t skip = frame->flags & RK_FRAME_F_SPLIT ? 0 : frame->inline_bytes;
	uint64_t bytes = skip + frame->bytes - frame->inline_bytes;

	if (!(frame->flags & RK_FRAME_F_REFERENCE) || !s->args[RK_L2_REGION])
		return RK_L2_FORWARD;
	if (frame->offset > s->args[RK_L2_REGION_BYTES] ||
	    bytes > s->args[RK_L2_REGION_BYTES] - frame->offset)
		return RK_L2_REFERENCE;
	r->rest = (const uint8_t *)(uintptr_t)(s->args[RK_L2_REGION] + frame->offset + skip);
	return RK_L2_FORWARD;
}

static RK_DEVICE enum rk_l2_drop judge(struct rk_l2_state *s, const struct rk_frame *frame)
{
	struct reading r;
	enum rk_l2_drop drop;

	r.data = rk_frame_data(frame);
	r.rest = (const uint8_t *)0;
	r.bytes = frame->inline_bytes;
	r.frame_bytes = frame->bytes;
	r.at = r.end = r.addresses = r.addresses_bytes = r.protocol = 0;
	drop = reach_rest(s, frame, &r);
	if (!drop && frame->flags & RK_FRAME_F_IP_BAD)
		drop = RK_L2_IP_CHECKSUM;
	if (!drop && frame->flags & RK_FRAME_F_L4_BAD)
		drop = RK_L2_L4_CHECKSUM;
	return drop ? drop : read_frame(s, &r);
}

static RK_DEVICE enum rk_l2_drop judge_head(struct rk_l2_state *s, const struct rk_frame_head *head)
{
	struct reading r;

	r.data = head->data;
	r.rest = (const uint8_t *)0;
	r.bytes = head->bytes < RK_FRAME_HEAD_BYTES ? head->bytes : (uint32_t)RK_FRAME_HEAD_BYTES;
	r.frame_bytes = head->bytes;
	r.at = r.end = r.addresses = r.addresses_bytes = r.protocol = 0;
	if (head->flags & RK_FRAME_F_IP_BAD)
		return RK_L2_IP_CHECKSUM;
	if (head->flags & RK_FRAME_F_L4_BAD)
		return RK_L2_L4_CHECKSUM;
	return read_frame(s, &r);
}

static RK_DEVICE void put_mac(uint8_t *at, uint64_t mac)
{
	for (uint32_t i = 0; i < 6; i++)
		at[i] = (uint8_t)(mac >> (40 - 8 * i));
}

static RK_DEVICE void rewrite(const struct rk_l2_state *s, uint8_t *data)
{
	if (s->args[RK_L2_SWAP_MACS]) {
		for (uint32_t i = 0; i < 6; i++) {
			uint8_t byte = data[i];

			data[i] = data[6 + i];
			data[6 + i] = byte;
		}
	}
	if (s->args[RK_L2_SOURCE_MAC])
		put_mac(data + 6, s->args[RK_L2_SOURCE_MAC]);
	if (s->args[RK_L2_DESTINATION_MAC])
		put_mac(data, s->args[RK_L2_DESTINATION_MAC]);
}

static RK_DEVICE void count_answer(struct rk_l2_state *s, enum rk_l2_drop drop)
{
	if (drop) {
		s->counters.dropped[drop]++;
		s->counters.dropped[RK_L2_FORWARD]++;
	} else {
		s->counters.forwarded++;
	}
}

static RK_DEVICE void answer(struct rk_ctx *ctx, struct rk_l2_state *s, const struct rk_msg *msg,
			     const struct rk_frame *frame, enum rk_l2_drop drop)
{
	const uint64_t *from = (const uint64_t *)frame;
	struct rk_frame *out = (struct rk_frame *)s->out;
	uint32_t bytes = (uint32_t)sizeof(*frame) + (drop ? 0 : frame->inline_bytes);

	for (uint32_t i = 0; i < (bytes + 7) / 8; i++)
		s->out[i] = from[i];
	if (drop) {
		out->inline_bytes = 0;
		out->verdict = RK_FRAME_DROP;
	} else {
		out->port ^= (uint16_t)s->args[RK_L2_PORT_XOR];
		if (frame->inline_bytes >= ETHERNET_BYTES)
			rewrite(s, (uint8_t *)(out + 1));
	}
	if (rk_send(ctx, 0, RK_FRAME, msg->tag, s->out, bytes))
		count_answer(s, drop);
	else
		s->counters.sends_dropped++;
}

/* Decide on @head, and note the decision in it. */
static RK_DEVICE enum rk_l2_drop mark_head(struct rk_l2_state *s, struct rk_frame_head *head)
{
	enum rk_l2_drop drop = judge_head(s, head);

	s->counters.frames++;
	s->counters.bytes += head->bytes;
	if (drop) {
		head->flags |= (uint8_t)RK_FRAME_F_DROP;
	} else {
		head->port ^= (uint8_t)s->args[RK_L2_PORT_XOR];
		rewrite(s, head->data);
	}
	return drop;
}

static RK_DEVICE void answer_head(struct rk_ctx *ctx, struct rk_l2_state *s,
				  const struct rk_msg *msg)
{
	struct rk_frame_head head = *(const struct rk_frame_head *)rk_msg_payload(msg);
	enum rk_l2_drop drop = mark_head(s, &head);

	if (rk_send(ctx, 0, RK_FRAME_HEAD, msg->tag, &head, (uint32_t)sizeof(head)))
		count_answer(s, drop);
	else
		s->counters.sends_dropped++;
}

/* A head fills its cell: one with an extension is none. */
static RK_DEVICE int is_head(const struct rk_msg *msg)
{
	return msg->type == RK_FRAME_HEAD && msg->slots == 1 && !msg->flags;
}

/* Decide on @run heads and send them; what nobody takes was not decided. */
static RK_DEVICE void send_heads(struct rk_ctx *ctx, struct rk_l2_state *s, struct rk_msg *msgs,
				 uint32_t run)
{
	struct rk_l2_counters *c = &s->counters;
	uint64_t before[RK_L2_DROPS], forwarded = c->forwarded;

	for (uint32_t i = 0; i < RK_L2_DROPS; i++)
		before[i] = c->dropped[i];
	for (uint32_t i = 0; i < run; i++)
		count_answer(s, mark_head(s, (struct rk_frame_head *)msgs[i].body));
	if (!run || rk_send_batch(ctx, 0, msgs, run))
		return;
	for (uint32_t i = 0; i < RK_L2_DROPS; i++)
		c->dropped[i] = before[i];
	c->forwarded = forwarded;
	c->sends_dropped += run;
}

RK_DEVICE void rk_l2_forward_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				   uint32_t count)
{
	uint32_t at = 0;

	while (at < count) {
		uint32_t run = 0;

		while (at + run < count && is_head(&msgs[at + run]))
			run++;
		send_heads(ctx, (struct rk_l2_state *)state, &msgs[at], run);
		at += run;
		if (at < count)
			rk_l2_forward(ctx, state, &msgs[at++]);
	}
}

RK_DEVICE void rk_l2_forward(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_l2_state *s = (struct rk_l2_state *)state;
	const struct rk_frame *frame;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START) {
		const uint64_t *args = (const uint64_t *)rk_msg_payload(msg);

		for (uint32_t i = 0; i < RK_L2_ARGS && i < rk_msg_payload_bytes(msg) / 8; i++)
			s->args[i] = args[i];
		return;
	}
	if (msg->type < RK_MSG_PACKET)
		return;
	if (is_head(msg)) {
		answer_head(ctx, s, msg);
		return;
	}
	frame = rk_frame_of(msg);
	if (!frame) {
		s->counters.messages_ignored++;
		return;
	}
	s->counters.frames++;
	s->counters.bytes += frame->bytes;
	answer(ctx, s, msg, frame, judge(s, frame));
}
