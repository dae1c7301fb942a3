// SPDX-License-Identifier: MIT
/*
 * l2_forward.c - the handler of l2_forward.h. Every byte of a frame may be hostile.
 */
#include "l2_forward.h"

enum {
	MAC_BYTES = 6,
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
	TALLY_MOST = 128,   /* frames that a tally holds */
	REASON_BITS = 9,
	KIND_BITS = 8,
};

/*
 * What one lane counted: @verdicts has REASON_BITS for each enum rk_l2_drop, @kinds has KIND_BITS for
 * each enum rk_l2_kind. Packed, they stay in registers.
 */
struct tally {
	uint64_t verdicts;
	uint64_t kinds;
	uint64_t bytes;
	uint32_t frames;
};

RK_STATIC_ASSERT(RK_L2_DROPS * REASON_BITS <= 64 && RK_L2_KINDS * KIND_BITS <= 64,
		 "a word holds them");
RK_STATIC_ASSERT(TALLY_MOST < 1 << KIND_BITS, "no count runs into the next");

/*
 * What the arguments say, taken from the state at once: on a GPU a load from there takes as long as
 * reading a header.
 */
struct rules {
	uint64_t port_xor;
	uint64_t swap_macs;
	uint64_t source_mac;
	uint64_t destination_mac;
	uint64_t udp_port;
	uint64_t tcp_port;
	uint64_t region;
	uint64_t region_bytes;
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
	uint64_t kinds; /* as of struct tally */
};

/*
 * Inlined, all of it: called, it would keep the frame being read in memory, which on a GPU is as
 * slow as the work itself.
 */
#define L2_INLINE static __attribute__((always_inline)) inline RK_DEVICE

L2_INLINE uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

L2_INLINE void note_kind(struct reading *r, enum rk_l2_kind kind)
{
	r->kinds += (uint64_t)1 << (KIND_BITS * (uint32_t)kind);
}

/*
 * True if @bytes more can be read at @r->at. If not, *@drop tells whether the frame is to blame:
 * what lies behind the inline bytes of a longer frame is merely not looked at.
 */
L2_INLINE int has(const struct reading *r, uint32_t bytes, enum rk_l2_drop *drop)
{
	if (r->at + bytes <= r->bytes)
		return 1;
	*drop = r->at + bytes > r->frame_bytes ? RK_L2_MALFORMED : RK_L2_FORWARD;
	return 0;
}

/* Sum of the big-endian 16-bit words of @bytes from @at on; four at once, so that no load waits. */
L2_INLINE uint64_t sum_near(const uint8_t *at, uint32_t bytes)
{
	uint64_t total = 0;
	uint32_t i = 0;

	for (; i + 8 <= bytes; i += 8)
		total += (uint64_t)get16(at + i) + get16(at + i + 2) + get16(at + i + 4) +
			 get16(at + i + 6);
	for (; i + 2 <= bytes; i += 2)
		total += get16(at + i);
	return i < bytes ? total + ((uint32_t)at[i] << 8) : total;
}

/* One's complement: the carry comes round. */
L2_INLINE uint32_t fold(uint64_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

/* The sum of @bytes from position @from of the frame on. */
L2_INLINE uint64_t sum(const struct reading *r, uint32_t from, uint32_t bytes)
{
	uint32_t near = from < r->bytes ? r->bytes - from : 0;
	uint64_t total;

	near = near < bytes ? near : bytes;
	total = sum_near(r->data + from, near);
	for (uint32_t i = near; i < bytes; i++) {
		uint32_t byte = r->rest[from + i - r->bytes];

		total += i & 1 ? byte : byte << 8;
	}
	return total;
}

/* The checksum of UDP or TCP over @bytes from @r->at on, if all of that can be reached. */
L2_INLINE enum rk_l2_drop check_l4(const struct reading *r, uint32_t bytes)
{
	if (r->at + bytes > r->bytes && !r->rest)
		return RK_L2_FORWARD;
	return fold(sum(r, r->addresses, r->addresses_bytes) + r->protocol + bytes +
		    sum(r, r->at, bytes)) == 0xffff ?
		       RK_L2_FORWARD :
		       RK_L2_L4_CHECKSUM;
}

L2_INLINE enum rk_l2_drop read_udp(const struct rules *rules, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *udp = r->data + r->at;
	uint32_t to, length, checksum;

	if (r->end - r->at < UDP_BYTES)
		return RK_L2_MALFORMED;
	if (!has(r, UDP_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_UDP);
	to = get16(udp + 2);
	length = get16(udp + 4);
	checksum = get16(udp + 6);
	if (length < UDP_BYTES || length > r->end - r->at)
		return RK_L2_MALFORMED;
	if (checksum) /* 0: the sender made none */
		drop = check_l4(r, length);
	if (!drop && rules->udp_port && to == rules->udp_port)
		drop = RK_L2_RULE;
	return drop;
}

L2_INLINE enum rk_l2_drop read_tcp(const struct rules *rules, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	uint32_t head;

	if (r->end - r->at < TCP_BYTES)
		return RK_L2_MALFORMED;
	if (!has(r, PORTS_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_TCP);
	if (has(r, TCP_BYTES, &drop)) {
		head = (uint32_t)(r->data[r->at + 12] >> 4) * 4;
		if (head < TCP_BYTES || head > r->end - r->at)
			return RK_L2_MALFORMED;
		drop = check_l4(r, r->end - r->at);
	}
	if (!drop && rules->tcp_port && get16(r->data + r->at + 2) == rules->tcp_port)
		drop = RK_L2_RULE;
	return drop;
}

L2_INLINE enum rk_l2_drop read_l4(const struct rules *rules, struct reading *r)
{
	if (r->protocol == PROTOCOL_UDP)
		return read_udp(rules, r);
	if (r->protocol == PROTOCOL_TCP)
		return read_tcp(rules, r);
	return RK_L2_FORWARD;
}

L2_INLINE enum rk_l2_drop read_ipv4(const struct rules *rules, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t head, total, fragment, protocol, version;
	uint64_t checksum;

	if (!has(r, IPV4_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_IPV4);
	/* All is loaded before any of it is judged: so nothing waits for what it does not need. */
	version = ip[0];
	total = get16(ip + 2);
	fragment = get16(ip + 6);
	protocol = ip[9];
	checksum = sum_near(ip, IPV4_BYTES);
	head = (version & 15) * 4;
	if (version >> 4 != 4 || head < IPV4_BYTES || total < head || total > r->frame_bytes - r->at)
		return RK_L2_MALFORMED;
	if (!has(r, head, &drop))
		return drop;
	if (head > IPV4_BYTES)
		checksum += sum_near(ip + IPV4_BYTES, head - IPV4_BYTES);
	if (fold(checksum) != 0xffff)
		return RK_L2_IP_CHECKSUM;
	r->end = r->at + total;
	r->addresses = r->at + 12;
	r->addresses_bytes = 8;
	r->protocol = protocol;
	r->at += head;
	if (fragment & 0x3fff) {
		note_kind(r, RK_L2_FRAGMENT);
		return RK_L2_FORWARD;
	}
	return read_l4(rules, r);
}

/* Hop-by-hop options, routing, destination options: a length in units of 8 bytes, without the first. */
L2_INLINE int is_extension(uint32_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60;
}

L2_INLINE enum rk_l2_drop read_ipv6(const struct rules *rules, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t payload;

	if (!has(r, IPV6_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_IPV6);
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
		note_kind(r, RK_L2_FRAGMENT);
		return RK_L2_FORWARD;
	}
	return read_l4(rules, r);
}

L2_INLINE enum rk_l2_drop read_frame(const struct rules *rules, struct reading *r)
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
		note_kind(r, tags == 1 ? RK_L2_VLAN : RK_L2_QINQ);
	if (type == ETHERTYPE_IPV4)
		return read_ipv4(rules, r);
	if (type == ETHERTYPE_IPV6)
		return read_ipv6(rules, r);
	note_kind(r, RK_L2_OTHER);
	return RK_L2_FORWARD;
}

/* Find the bytes behind the inline ones; RK_L2_REFERENCE if they are not where they should be. */
L2_INLINE enum rk_l2_drop reach_rest(const struct rk_ctx *ctx, const struct rules *rules,
				     const struct rk_frame *frame, struct reading *r)
{
	uint64_t skip = frame->flags & RK_FRAME_F_SPLIT ? 0 : frame->inline_bytes;
	uint64_t bytes = skip + frame->bytes - frame->inline_bytes;

	if (!(frame->flags & RK_FRAME_F_REFERENCE) || !rules->region)
		return RK_L2_FORWARD;
	if (frame->offset > rules->region_bytes || bytes > rules->region_bytes - frame->offset)
		return RK_L2_REFERENCE;
	rk_acquire(ctx);
	r->rest = (const uint8_t *)(uintptr_t)(rules->region + frame->offset + skip);
	return RK_L2_FORWARD;
}

L2_INLINE void begin_reading(struct reading *r, const uint8_t *data, uint32_t bytes,
			     uint32_t frame_bytes)
{
	r->data = data;
	r->rest = (const uint8_t *)0;
	r->bytes = bytes < frame_bytes ? bytes : frame_bytes;
	r->frame_bytes = frame_bytes;
	r->at = r->end = r->addresses = r->addresses_bytes = r->protocol = 0;
	r->kinds = 0;
}

L2_INLINE void take_rules(struct rules *rules, const struct rk_l2_state *s)
{
	rules->port_xor = s->args[RK_L2_PORT_XOR];
	rules->swap_macs = s->args[RK_L2_SWAP_MACS];
	rules->source_mac = s->args[RK_L2_SOURCE_MAC];
	rules->destination_mac = s->args[RK_L2_DESTINATION_MAC];
	rules->udp_port = s->args[RK_L2_DROP_UDP_PORT];
	rules->tcp_port = s->args[RK_L2_DROP_TCP_PORT];
	rules->region = s->args[RK_L2_REGION];
	rules->region_bytes = s->args[RK_L2_REGION_BYTES];
}

/* --- Deciding --- */

L2_INLINE void put_mac(uint8_t *at, uint64_t mac)
{
	for (uint32_t i = 0; i < MAC_BYTES; i++)
		at[i] = (uint8_t)(mac >> (40 - 8 * i));
}

L2_INLINE void rewrite(const struct rules *rules, uint8_t *data)
{
	uint8_t old[2 * MAC_BYTES];

	if (rules->swap_macs) {
		for (uint32_t i = 0; i < 2 * MAC_BYTES; i++)
			old[i] = data[i];
		for (uint32_t i = 0; i < MAC_BYTES; i++) {
			data[i] = old[MAC_BYTES + i];
			data[MAC_BYTES + i] = old[i];
		}
	}
	if (rules->source_mac)
		put_mac(data + MAC_BYTES, rules->source_mac);
	if (rules->destination_mac)
		put_mac(data, rules->destination_mac);
}

L2_INLINE void note(struct tally *tally, const struct reading *r, enum rk_l2_drop drop)
{
	tally->frames++;
	tally->bytes += r->frame_bytes;
	tally->kinds += r->kinds;
	tally->verdicts += (uint64_t)1 << (REASON_BITS * (uint32_t)drop);
}

/* Decide on the frame or head at @payload, and note the decision there and in @tally. */
L2_INLINE enum rk_l2_drop mark(const struct rk_ctx *ctx, const struct rules *rules, int is_head,
			       void *payload, struct tally *tally)
{
	struct rk_frame_head *head = (struct rk_frame_head *)payload;
	struct rk_frame *frame = (struct rk_frame *)payload;
	uint8_t *data = is_head ? head->data : (uint8_t *)(frame + 1);
	uint8_t flags = is_head ? head->flags : frame->flags;
	enum rk_l2_drop drop = RK_L2_FORWARD;
	struct reading r;

	begin_reading(&r, data, is_head ? (uint32_t)RK_FRAME_HEAD_BYTES : frame->inline_bytes,
		      is_head ? head->bytes : frame->bytes);
	if (!is_head)
		drop = reach_rest(ctx, rules, frame, &r);
	if (!drop && flags & RK_FRAME_F_IP_BAD)
		drop = RK_L2_IP_CHECKSUM;
	if (!drop && flags & RK_FRAME_F_L4_BAD)
		drop = RK_L2_L4_CHECKSUM;
	if (!drop)
		drop = read_frame(rules, &r);
	note(tally, &r, drop);
	if (drop && is_head)
		head->flags |= (uint8_t)RK_FRAME_F_DROP;
	else if (drop)
		frame->verdict = RK_FRAME_DROP;
	else if (is_head)
		head->port ^= (uint8_t)rules->port_xor;
	else
		frame->port ^= (uint16_t)rules->port_xor;
	if (!drop && r.bytes >= ETHERNET_BYTES)
		rewrite(rules, data);
	return drop;
}

/* --- Counting --- */

L2_INLINE void add(const struct rk_ctx *ctx, uint64_t *sum, uint64_t amount)
{
	if (amount)
		rk_add(ctx, sum, amount);
}

/* What was judged is in the counters once it is known whether anybody took it. */
L2_INLINE void count_tally(const struct rk_ctx *ctx, struct rk_l2_state *s,
			   const struct tally *tally, int sent)
{
	struct rk_l2_counters *c = &s->counters;
	uint64_t dropped = 0;

	add(ctx, &c->frames, tally->frames);
	add(ctx, &c->bytes, tally->bytes);
	for (uint32_t i = 0; i < RK_L2_KINDS; i++)
		add(ctx, &c->kinds[i], tally->kinds >> (KIND_BITS * i) & ((1u << KIND_BITS) - 1));
	if (!sent) {
		add(ctx, &c->sends_dropped, tally->frames);
		return;
	}
	for (uint32_t i = 0; i < RK_L2_DROPS; i++) {
		uint64_t frames =
			tally->verdicts >> (REASON_BITS * i) & ((1u << REASON_BITS) - 1);

		add(ctx, i ? &c->dropped[i] : &c->forwarded, frames);
		dropped += i ? frames : 0;
	}
	add(ctx, &c->dropped[RK_L2_FORWARD], dropped);
}

/* A head fills its cell: one with an extension is none. */
L2_INLINE int is_head(const struct rk_msg *msg)
{
	return msg->type == RK_FRAME_HEAD && msg->slots == 1 && !msg->flags;
}

/* --- One message: the leader's --- */

RK_DEVICE void rk_l2_forward(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_l2_state *s = (struct rk_l2_state *)state;
	const uint64_t *from = (const uint64_t *)rk_msg_payload(msg);
	const struct rk_frame *frame = rk_frame_of(msg);
	struct rk_frame *out = (struct rk_frame *)s->out;
	struct tally tally = {0, 0, 0, 0};
	uint32_t bytes = RK_MSG_BODY_BYTES;
	struct rules rules;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START) {
		for (uint32_t i = 0; i < RK_L2_ARGS && i < rk_msg_payload_bytes(msg) / 8; i++)
			s->args[i] = from[i];
		return;
	}
	if (msg->type < RK_MSG_PACKET)
		return;
	if (!frame && !is_head(msg)) {
		rk_add(ctx, &s->counters.messages_ignored, 1);
		return;
	}
	if (frame)
		bytes = (uint32_t)sizeof(*frame) + frame->inline_bytes;
	for (uint32_t i = 0; i < (bytes + 7) / 8; i++)
		s->out[i] = from[i];
	take_rules(&rules, s);
	if (mark(ctx, &rules, !frame, s->out, &tally) && frame) {
		out->inline_bytes = 0;
		bytes = sizeof(*out);
	}
	count_tally(ctx, s, &tally, rk_send(ctx, 0, msg->type, msg->tag, s->out, bytes));
}

/* --- Many of one cell each: every lane its share --- */

L2_INLINE int is_frame(const struct rk_msg *msg)
{
	return is_head(msg) || rk_frame_of(msg);
}

/* Messages that are all frames. */
L2_INLINE void forward_run(struct rk_ctx *ctx, struct rk_l2_state *s, struct rk_msg *msgs,
			   uint32_t count)
{
	uint32_t most = TALLY_MOST * rk_lanes(ctx), part;
	struct rules rules;

	take_rules(&rules, s);
	for (; count; msgs += part, count -= part) {
		struct tally tally = {0, 0, 0, 0};

		part = count < most ? count : most;
		for (uint32_t i = rk_lane(ctx); i < part; i += rk_lanes(ctx))
			mark(ctx, &rules, is_head(&msgs[i]),
			     (void *)(uintptr_t)rk_msg_payload(&msgs[i]), &tally);
		count_tally(ctx, s, &tally, rk_send_batch(ctx, 0, msgs, part) != 0);
	}
}

RK_DEVICE void rk_l2_forward_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				   uint32_t count)
{
	struct rk_l2_state *s = (struct rk_l2_state *)state;
	int strange = 0;

	for (uint32_t i = rk_lane(ctx); i < count; i += rk_lanes(ctx))
		strange |= !is_frame(&msgs[i]);
	strange = rk_any(ctx, strange);
	/* One run, or those between what is no frame. */
	for (uint32_t at = 0, run = count; at < count; at += run + 1) {
		if (strange)
			for (run = 0; at + run < count && is_frame(&msgs[at + run]);)
				run++;
		forward_run(ctx, s, &msgs[at], run);
		if (at + run < count && !rk_lane(ctx))
			rk_add(ctx, &s->counters.messages_ignored, 1);
	}
}
