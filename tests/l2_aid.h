/* SPDX-License-Identifier: MIT */
/*
 * l2_aid.h - frames for tests: built header by header, so that each can be broken by itself.
 * Checksums are computed here by other code than the handler's.
 */
#ifndef L2_AID_H
#define L2_AID_H

#include <stdint.h>
#include <string.h>

struct l2_frame {
	uint32_t bytes;
	uint32_t ip; /* where the IP header begins, and the UDP or TCP header */
	uint32_t l4;
	uint8_t data[16384];
};

/* What a frame has; zero is UDP over IPv4 without a tag. */
struct l2_shape {
	uint32_t tags, options_bytes, payload_bytes, port;
	uint32_t extensions; /* of IPv6 */
	uint8_t fill;
	uint8_t ipv6, tcp;
};

static inline void l2_put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* 32-bit words, the carry brought round: not the way of the handler. */
static inline uint32_t l2_sum(const uint8_t *at, uint32_t bytes)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < bytes; i += 2)
		total += (uint32_t)at[i] << 8 | (i + 1 < bytes ? at[i + 1] : 0);
	total = (total & 0xffff) + total / 0x10000;
	return (uint32_t)((total & 0xffff) + total / 0x10000);
}

static inline void l2_seal(struct l2_frame *f, const struct l2_shape *s)
{
	uint8_t pseudo[40] = {0};
	uint32_t l4_bytes = f->bytes - f->l4, addresses = s->ipv6 ? 32 : 8, sum;
	uint32_t at = s->tcp ? 16 : 6;

	memcpy(pseudo, f->data + f->ip + (s->ipv6 ? 8 : 12), addresses);
	l2_put16(pseudo + addresses, l4_bytes);
	pseudo[addresses + 3] = s->tcp ? 6 : 17;
	l2_put16(f->data + f->l4 + at, 0);
	sum = l2_sum(pseudo, addresses + 4) + l2_sum(f->data + f->l4, l4_bytes);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	l2_put16(f->data + f->l4 + at, sum ? sum : 0xffff);
}

static inline void l2_build(struct l2_frame *f, const struct l2_shape *s)
{
	uint32_t l4_bytes = (s->tcp ? 20 : 8) + s->payload_bytes;
	uint8_t *ip, *l4;

	memset(f, 0, sizeof(*f));
	memcpy(f->data, "\x02\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x0a", 12);
	f->ip = 12;
	for (uint32_t i = 0; i < s->tags; i++, f->ip += 4) {
		l2_put16(f->data + f->ip, i + 1 < s->tags ? 0x88a8 : 0x8100);
		l2_put16(f->data + f->ip + 2, 100 + i);
	}
	l2_put16(f->data + f->ip, s->ipv6 ? 0x86dd : 0x0800);
	f->ip += 2;
	ip = f->data + f->ip;
	if (s->ipv6) {
		ip[0] = 0x60;
		l2_put16(ip + 4, 8 * s->extensions + l4_bytes);
		ip[6] = s->extensions ? 0 : s->tcp ? 6 : 17;
		ip[7] = 64;
		ip[23] = 1;
		ip[39] = 2;
		f->l4 = f->ip + 40;
		for (uint32_t i = 0; i < s->extensions; i++, f->l4 += 8)
			f->data[f->l4] = i + 1 < s->extensions ? 60 : s->tcp ? 6 : 17;
	} else {
		uint32_t head = 20 + s->options_bytes;

		ip[0] = (uint8_t)(0x40 | head / 4);
		l2_put16(ip + 2, head + l4_bytes);
		ip[8] = 64;
		ip[9] = s->tcp ? 6 : 17;
		memcpy(ip + 12, "\xc0\x00\x02\x01\xc6\x33\x64\x02", 8);
		memset(ip + 20, 1, s->options_bytes);
		l2_put16(ip + 10, ~l2_sum(ip, head) & 0xffff);
		f->l4 = f->ip + head;
	}
	l4 = f->data + f->l4;
	l2_put16(l4, 4000);
	l2_put16(l4 + 2, s->port ? s->port : 5000);
	if (s->tcp)
		l4[12] = 0x50;
	else
		l2_put16(l4 + 4, l4_bytes);
	memset(l4 + (s->tcp ? 20 : 8), s->fill, s->payload_bytes);
	f->bytes = f->l4 + l4_bytes;
	l2_seal(f, s);
}

#endif
