// SPDX-License-Identifier: MIT
/*
 * l2_forward.c - the handler of l2_forward.h. Every byte of a frame may be hostile.
 */
#include "l2_forward.h"

enum {
	MAC_HALVES = 3,
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
 * What the arguments say of every frame, taken from the state at once: on a GPU a load from there
 * takes as long as reading a header. In as few words as will do, for they stay in registers.
 */
struct rules {
	uint64_t source_mac;
	uint64_t destination_mac;
	uint32_t port_xor;
	uint32_t swap_macs;
	uint32_t udp_port; /* 0: none is dropped */
	uint32_t tcp_port;
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

/*
 * Two bytes at once: inline bytes lie at a multiple of four, and every header is an even number of
 * bytes long.
 */
typedef uint16_t half_word __attribute__((may_alias));
typedef uint32_t whole_word __attribute__((may_alias));

L2_INLINE uint32_t get_half(const uint8_t *at)
{
	return *(const half_word *)at;
}

L2_INLINE uint32_t swap_half(uint32_t half)
{
	return (half << 8 | half >> 8) & 0xffff;
}

L2_INLINE uint32_t get16(const uint8_t *at)
{
	return swap_half(get_half(at));
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

/*
 * Sum of the 16-bit words of @bytes from @at on, as they lie in memory: a sum of one's complement
 * that is right in one order of bytes is so in the other. Four at once, so that no load waits. Of a
 * frame's 65,535 bytes and a pseudo header it stays below 2^32.
 */
L2_INLINE uint32_t sum_near(const uint8_t *at, uint32_t bytes)
{
	uint32_t total = 0, i = 0;

	for (; i + 8 <= bytes; i += 8)
		total += get_half(at + i) + get_half(at + i + 2) + get_half(at + i + 4) +
			 get_half(at + i + 6);
	for (; i + 2 <= bytes; i += 2)
		total += get_half(at + i);
	return i < bytes ? total + at[i] : total;
}

/* One's complement: the carry comes round, and that may carry once more. */
L2_INLINE uint32_t fold(uint32_t total)
{
	total = (total & 0xffff) + (total >> 16);
	return (total & 0xffff) + (total >> 16);
}

/* The sum of @bytes from position @from of the frame on. */
L2_INLINE uint32_t sum(const struct reading *r, uint32_t from, uint32_t bytes)
{
	uint32_t near = from < r->bytes ? r->bytes - from : 0, total;

	near = near < bytes ? near : bytes;
	total = sum_near(r->data + from, near);
	for (uint32_t i = near; i < bytes; i++) {
		uint32_t byte = r->rest[from + i - r->bytes];

		total += i & 1 ? byte << 8 : byte;
	}
	return total;
}

/* The checksum of UDP or TCP over @bytes from @r->at on, if all of that can be reached. */
L2_INLINE enum rk_l2_drop check_l4(const struct reading *r, uint32_t bytes)
{
	if (r->at + bytes > r->bytes && !r->rest)
		return RK_L2_FORWARD;
	return fold(sum_near(r->data + r->addresses, r->addresses_bytes) +
		    swap_half(r->protocol) + swap_half(bytes) + sum(r, r->at, bytes)) == 0xffff ?
		       RK_L2_FORWARD :
		       RK_L2_L4_CHECKSUM;
}

/* Bytes that the checksum of UDP covers, 0 when the sender made none; ~0 for a wrong length. */
L2_INLINE uint32_t udp_bytes(const struct reading *r)
{
	const uint8_t *udp = r->data + r->at;
	uint32_t length = get16(udp + 4), checksum = get_half(udp + 6);

	if (length < UDP_BYTES || length > r->end - r->at)
		return ~0u;
	return checksum ? length : 0;
}

/* Likewise of TCP; 0 where more than its ports are not to be seen. */
L2_INLINE uint32_t tcp_bytes(const struct reading *r)
{
	enum rk_l2_drop drop;
	uint32_t head;

	if (!has(r, TCP_BYTES, &drop))
		return 0;
	head = (uint32_t)(r->data[r->at + 12] >> 4) * 4;
	return head < TCP_BYTES || head > r->end - r->at ? ~0u : r->end - r->at;
}

/* UDP or TCP, in one piece: a GPU fetches code as slowly as data, and each frame runs through all. */
L2_INLINE enum rk_l2_drop read_l4(const struct rules *rules, struct reading *r)
{
	int is_tcp = r->protocol == PROTOCOL_TCP;
	uint32_t port = is_tcp ? rules->tcp_port : rules->udp_port, bytes;
	enum rk_l2_drop drop = RK_L2_FORWARD;

	if (r->end - r->at < (uint32_t)(is_tcp ? TCP_BYTES : UDP_BYTES))
		return RK_L2_MALFORMED;
	if (!has(r, is_tcp ? PORTS_BYTES : UDP_BYTES, &drop))
		return drop;
	note_kind(r, is_tcp ? RK_L2_TCP : RK_L2_UDP);
	bytes = is_tcp ? tcp_bytes(r) : udp_bytes(r);
	if (bytes == ~0u)
		return RK_L2_MALFORMED;
	if (bytes)
		drop = check_l4(r, bytes);
	if (!drop && port && get16(r->data + r->at + 2) == port)
		drop = RK_L2_RULE;
	return drop;
}

/* The header of IPv4. What follows it is none of ours if @r->protocol is 0 then. */
L2_INLINE enum rk_l2_drop read_ipv4(struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t head, total, fragment, protocol, version, checksum;

	if (!has(r, IPV4_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_IPV4);
	/* All is loaded before any of it is judged: so nothing waits for what it does not need. */
	version = get16(ip) >> 8;
	total = get16(ip + 2);
	fragment = get16(ip + 6);
	protocol = get16(ip + 8) & 0xff;
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
	r->at += head;
	if (fragment & 0x3fff)
		note_kind(r, RK_L2_FRAGMENT);
	else
		r->protocol = protocol;
	return RK_L2_FORWARD;
}

/* Hop-by-hop options, routing, destination options: a length in units of 8 bytes, without the first. */
L2_INLINE int is_extension(uint32_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60;
}

L2_INLINE enum rk_l2_drop read_ipv6(struct reading *r)
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
	if (r->protocol == 44)
		note_kind(r, RK_L2_FRAGMENT);
	return RK_L2_FORWARD;
}

/*
 * Most frames have no tag and a short, sound IPv4 header: of those all is asked at once, for a lane of
 * a GPU waits at every branch. Any other is read header by header.
 */
L2_INLINE int is_usual(const struct reading *r)
{
	const uint8_t *ip = r->data + ETHERNET_BYTES;
	uint32_t total, differs;

	if (r->bytes < ETHERNET_BYTES + IPV4_BYTES)
		return 0;
	total = get16(ip + 2);
	differs = get16(r->data + 12) ^ ETHERTYPE_IPV4;
	differs |= get16(ip) >> 8 ^ 0x45; /* version 4, a header of 20 bytes */
	differs |= get16(ip + 6) & 0x3fff;
	differs |= fold(sum_near(ip, IPV4_BYTES)) ^ 0xffff;
	differs |= (uint32_t)(total < IPV4_BYTES || total > r->frame_bytes - ETHERNET_BYTES);
	return !differs;
}

L2_INLINE void read_usual(struct reading *r)
{
	const uint8_t *ip = r->data + ETHERNET_BYTES;

	note_kind(r, RK_L2_IPV4);
	r->at = ETHERNET_BYTES + IPV4_BYTES;
	r->end = ETHERNET_BYTES + get16(ip + 2);
	r->addresses = ETHERNET_BYTES + 12;
	r->addresses_bytes = 8;
	r->protocol = get16(ip + 8) & 0xff;
}

/* What lies before UDP or TCP. */
L2_INLINE enum rk_l2_drop read_layers(struct reading *r)
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
		return read_ipv4(r);
	if (type == ETHERTYPE_IPV6)
		return read_ipv6(r);
	note_kind(r, RK_L2_OTHER);
	return RK_L2_FORWARD;
}

L2_INLINE enum rk_l2_drop read_frame(const struct rules *rules, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;

	if (is_usual(r))
		read_usual(r);
	else
		drop = read_layers(r);
	if (!drop && (r->protocol == PROTOCOL_UDP || r->protocol == PROTOCOL_TCP))
		drop = read_l4(rules, r);
	return drop;
}

/* Find the bytes behind the inline ones; RK_L2_REFERENCE if they are not where they should be. */
L2_INLINE enum rk_l2_drop reach_rest(const struct rk_ctx *ctx, const struct rk_l2_state *s,
				     const struct rk_frame *frame, struct reading *r)
{
	uint64_t skip = frame->flags & RK_FRAME_F_SPLIT ? 0 : frame->inline_bytes;
	uint64_t bytes = skip + frame->bytes - frame->inline_bytes;
	uint64_t region = s->args[RK_L2_REGION], region_bytes = s->args[RK_L2_REGION_BYTES];

	if (!(frame->flags & RK_FRAME_F_REFERENCE) || !region)
		return RK_L2_FORWARD;
	if (frame->offset > region_bytes || bytes > region_bytes - frame->offset)
		return RK_L2_REFERENCE;
	rk_acquire(ctx);
	r->rest = (const uint8_t *)(uintptr_t)(region + frame->offset + skip);
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

/* A port that no frame can have is none. */
L2_INLINE uint32_t port_of(uint64_t arg)
{
	return arg < 0x10000 ? (uint32_t)arg : 0;
}

L2_INLINE void take_rules(struct rules *rules, const struct rk_l2_state *s)
{
	rules->port_xor = (uint32_t)s->args[RK_L2_PORT_XOR];
	rules->swap_macs = s->args[RK_L2_SWAP_MACS] != 0;
	rules->source_mac = s->args[RK_L2_SOURCE_MAC];
	rules->destination_mac = s->args[RK_L2_DESTINATION_MAC];
	rules->udp_port = port_of(s->args[RK_L2_DROP_UDP_PORT]);
	rules->tcp_port = port_of(s->args[RK_L2_DROP_TCP_PORT]);
}

/* --- Deciding --- */

L2_INLINE void put_mac(half_word *at, uint64_t mac)
{
	for (uint32_t i = 0; i < MAC_HALVES; i++)
		at[i] = (half_word)swap_half((uint32_t)(mac >> (32 - 16 * i)) & 0xffff);
}

L2_INLINE void rewrite(const struct rules *rules, uint8_t *data)
{
	half_word *halves = (half_word *)data;

	if (rules->swap_macs) {
		whole_word *words = (whole_word *)data;
		uint32_t a = words[0], b = words[1], c = words[2];

		words[0] = b >> 16 | c << 16;
		words[1] = c >> 16 | a << 16;
		words[2] = a >> 16 | b << 16;
	}
	if (rules->source_mac)
		put_mac(halves + MAC_HALVES, rules->source_mac);
	if (rules->destination_mac)
		put_mac(halves, rules->destination_mac);
}

L2_INLINE void note(struct tally *tally, const struct reading *r, enum rk_l2_drop drop)
{
	tally->frames++;
	tally->bytes += r->frame_bytes;
	tally->kinds += r->kinds;
	tally->verdicts += (uint64_t)1 << (REASON_BITS * (uint32_t)drop);
}

/* Decide on the frame or head at @payload, and note the decision there and in @tally. */
L2_INLINE enum rk_l2_drop mark(const struct rk_ctx *ctx, const struct rk_l2_state *s,
			       const struct rules *rules, int is_head, void *payload,
			       struct tally *tally)
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
		drop = reach_rest(ctx, s, frame, &r);
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
	if (mark(ctx, s, &rules, !frame, s->out, &tally) && frame) {
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
			mark(ctx, s, &rules, is_head(&msgs[i]),
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
