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

static RK_DEVICE uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static RK_DEVICE void note_kind(struct reading *r, enum rk_l2_kind kind)
{
	r->kinds += (uint64_t)1 << (KIND_BITS * (uint32_t)kind);
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

/* Sum of the big-endian 16-bit words of @bytes from @at on; four at once, so that no load waits. */
static RK_DEVICE uint64_t sum_near(const uint8_t *at, uint32_t bytes)
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

/* One's complement sum of @bytes from position @from of the frame on. */
static RK_DEVICE uint32_t sum(const struct reading *r, uint32_t from, uint32_t bytes)
{
	uint32_t near = from < r->bytes ? r->bytes - from : 0;
	uint64_t total;

	near = near < bytes ? near : bytes;
	total = sum_near(r->data + from, near);
	for (uint32_t i = near; i < bytes; i++) {
		uint32_t byte = r->rest[from + i - r->bytes];

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

static RK_DEVICE enum rk_l2_drop read_udp(const struct rk_l2_state *s, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	uint32_t length;

	if (r->end - r->at < UDP_BYTES)
		return RK_L2_MALFORMED;
	if (!has(r, UDP_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_UDP);
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

static RK_DEVICE enum rk_l2_drop read_tcp(const struct rk_l2_state *s, struct reading *r)
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
	if (!drop && s->args[RK_L2_DROP_TCP_PORT] &&
	    get16(r->data + r->at + 2) == s->args[RK_L2_DROP_TCP_PORT])
		drop = RK_L2_RULE;
	return drop;
}

static RK_DEVICE enum rk_l2_drop read_l4(const struct rk_l2_state *s, struct reading *r)
{
	if (r->protocol == PROTOCOL_UDP)
		return read_udp(s, r);
	if (r->protocol == PROTOCOL_TCP)
		return read_tcp(s, r);
	return RK_L2_FORWARD;
}

static RK_DEVICE enum rk_l2_drop read_ipv4(const struct rk_l2_state *s, struct reading *r)
{
	enum rk_l2_drop drop = RK_L2_FORWARD;
	const uint8_t *ip = r->data + r->at;
	uint32_t head, total;

	if (!has(r, IPV4_BYTES, &drop))
		return drop;
	note_kind(r, RK_L2_IPV4);
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
		note_kind(r, RK_L2_FRAGMENT);
		return RK_L2_FORWARD;
	}
	return read_l4(s, r);
}

/* Hop-by-hop options, routing, destination options: a length in units of 8 bytes, without the first. */
static RK_DEVICE int is_extension(uint32_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60;
}

static RK_DEVICE enum rk_l2_drop read_ipv6(const struct rk_l2_state *s, struct reading *r)
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
	return read_l4(s, r);
}

static RK_DEVICE enum rk_l2_drop read_frame(const struct rk_l2_state *s, struct reading *r)
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
		return read_ipv4(s, r);
	if (type == ETHERTYPE_IPV6)
		return read_ipv6(s, r);
	note_kind(r, RK_L2_OTHER);
	return RK_L2_FORWARD;
}

/* Find the bytes behind the inline ones; RK_L2_REFERENCE if they are not where they should be. */
static RK_DEVICE enum rk_l2_drop reach_rest(const struct rk_ctx *ctx, const struct rk_l2_state *s,
					    const struct rk_frame *frame, struct reading *r)
{
	uint64_t skip = frame->flags & RK_FRAME_F_SPLIT ? 0 : frame->inline_bytes;
	uint64_t bytes = skip + frame->bytes - frame->inline_bytes;

	if (!(frame->flags & RK_FRAME_F_REFERENCE) || !s->args[RK_L2_REGION])
		return RK_L2_FORWARD;
	if (frame->offset > s->args[RK_L2_REGION_BYTES] ||
	    bytes > s->args[RK_L2_REGION_BYTES] - frame->offset)
		return RK_L2_REFERENCE;
	rk_acquire(ctx);
	r->rest = (const uint8_t *)(uintptr_t)(s->args[RK_L2_REGION] + frame->offset + skip);
	return RK_L2_FORWARD;
}

static RK_DEVICE void begin_reading(struct reading *r, const uint8_t *data, uint32_t bytes,
				    uint32_t frame_bytes)
{
	r->data = data;
	r->rest = (const uint8_t *)0;
	r->bytes = bytes;
	r->frame_bytes = frame_bytes;
	r->at = r->end = r->addresses = r->addresses_bytes = r->protocol = 0;
	r->kinds = 0;
}

static RK_DEVICE enum rk_l2_drop read_all(const struct rk_l2_state *s, struct reading *r,
					  uint8_t flags)
{
	if (flags & RK_FRAME_F_IP_BAD)
		return RK_L2_IP_CHECKSUM;
	if (flags & RK_FRAME_F_L4_BAD)
		return RK_L2_L4_CHECKSUM;
	return read_frame(s, r);
}

static RK_DEVICE void note(struct tally *tally, const struct reading *r, enum rk_l2_drop drop)
{
	tally->frames++;
	tally->bytes += r->frame_bytes;
	tally->kinds += r->kinds;
	tally->verdicts += (uint64_t)1 << (REASON_BITS * (uint32_t)drop);
}

static RK_DEVICE enum rk_l2_drop judge(const struct rk_ctx *ctx, const struct rk_l2_state *s,
				       const struct rk_frame *frame, struct tally *tally)
{
	struct reading r;
	enum rk_l2_drop drop;

	begin_reading(&r, rk_frame_data(frame), frame->inline_bytes, frame->bytes);
	drop = reach_rest(ctx, s, frame, &r);
	if (!drop)
		drop = read_all(s, &r, frame->flags);
	note(tally, &r, drop);
	return drop;
}

static RK_DEVICE enum rk_l2_drop judge_head(const struct rk_l2_state *s,
					    const struct rk_frame_head *head, struct tally *tally)
{
	struct reading r;
	enum rk_l2_drop drop;

	begin_reading(&r, head->data,
		      head->bytes < RK_FRAME_HEAD_BYTES ? head->bytes :
							  (uint32_t)RK_FRAME_HEAD_BYTES,
		      head->bytes);
	drop = read_all(s, &r, head->flags);
	note(tally, &r, drop);
	return drop;
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

/* --- Counting --- */

static RK_DEVICE void add(const struct rk_ctx *ctx, uint64_t *sum, uint64_t amount)
{
	if (amount)
		rk_add(ctx, sum, amount);
}

/* What was judged is in the counters once it is known whether anybody took it. */
static RK_DEVICE void count_tally(const struct rk_ctx *ctx, struct rk_l2_state *s,
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

/* --- One message: the leader's --- */

static RK_DEVICE int answer(struct rk_ctx *ctx, struct rk_l2_state *s, const struct rk_msg *msg,
			    const struct rk_frame *frame, struct tally *tally)
{
	enum rk_l2_drop drop = judge(ctx, s, frame, tally);
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
	return rk_send(ctx, 0, RK_FRAME, msg->tag, s->out, bytes);
}

/* Decide on @head, and note the decision in it. */
static RK_DEVICE void mark_head(const struct rk_l2_state *s, struct rk_frame_head *head,
				struct tally *tally)
{
	if (judge_head(s, head, tally)) {
		head->flags |= (uint8_t)RK_FRAME_F_DROP;
	} else {
		head->port ^= (uint8_t)s->args[RK_L2_PORT_XOR];
		rewrite(s, head->data);
	}
}

static RK_DEVICE int answer_head(struct rk_ctx *ctx, const struct rk_l2_state *s,
				 const struct rk_msg *msg, struct tally *tally)
{
	struct rk_frame_head head = *(const struct rk_frame_head *)rk_msg_payload(msg);

	mark_head(s, &head, tally);
	return rk_send(ctx, 0, RK_FRAME_HEAD, msg->tag, &head, (uint32_t)sizeof(head));
}

/* A head fills its cell: one with an extension is none. */
static RK_DEVICE int is_head(const struct rk_msg *msg)
{
	return msg->type == RK_FRAME_HEAD && msg->slots == 1 && !msg->flags;
}

RK_DEVICE void rk_l2_forward(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_l2_state *s = (struct rk_l2_state *)state;
	const struct rk_frame *frame;
	struct tally tally = {0, 0, 0, 0};
	int sent;

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
	frame = rk_frame_of(msg);
	if (!is_head(msg) && !frame) {
		rk_add(ctx, &s->counters.messages_ignored, 1);
		return;
	}
	sent = frame ? answer(ctx, s, msg, frame, &tally) : answer_head(ctx, s, msg, &tally);
	count_tally(ctx, s, &tally, sent);
}

/* --- Many of one cell each: every lane its share --- */

static RK_DEVICE int is_frame(const struct rk_msg *msg)
{
	return is_head(msg) || rk_frame_of(msg);
}

/* Decide on the frame in @msg, and note the decision in it. */
static RK_DEVICE void mark(const struct rk_ctx *ctx, const struct rk_l2_state *s,
			   struct rk_msg *msg, struct tally *tally)
{
	struct rk_frame *frame;

	if (is_head(msg)) {
		mark_head(s, (struct rk_frame_head *)msg->body, tally);
		return;
	}
	frame = (struct rk_frame *)(uintptr_t)rk_frame_of(msg);
	if (judge(ctx, s, frame, tally)) {
		frame->verdict = RK_FRAME_DROP;
		return;
	}
	frame->port ^= (uint16_t)s->args[RK_L2_PORT_XOR];
	if (frame->inline_bytes >= ETHERNET_BYTES)
		rewrite(s, (uint8_t *)(frame + 1));
}

/* Messages that are all frames. */
static RK_DEVICE void forward_run(struct rk_ctx *ctx, struct rk_l2_state *s, struct rk_msg *msgs,
				  uint32_t count)
{
	uint32_t most = TALLY_MOST * rk_lanes(ctx), part;

	for (; count; msgs += part, count -= part) {
		struct tally tally = {0, 0, 0, 0};

		part = count < most ? count : most;
		for (uint32_t i = rk_lane(ctx); i < part; i += rk_lanes(ctx))
			mark(ctx, s, &msgs[i], &tally);
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
	if (!rk_any(ctx, strange)) {
		forward_run(ctx, s, msgs, count);
		return;
	}
	for (uint32_t at = 0, run; at < count; at += run + 1) {
		for (run = 0; at + run < count && is_frame(&msgs[at + run]);)
			run++;
		forward_run(ctx, s, &msgs[at], run);
		if (at + run < count && !rk_lane(ctx))
			rk_add(ctx, &s->counters.messages_ignored, 1);
	}
}
