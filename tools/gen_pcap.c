// SPDX-License-Identifier: MIT
/*
 * gen_pcap.c - the datagrams of gen.h as Ethernet frames, and those in capture files.
 */
#include "gen.h"

#include "config.h"
#include "rk_error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_big16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Ones' complement sum of 16-bit words, as IP and UDP have it, on top of @sum. */
static uint32_t add_words(uint32_t sum, const uint8_t *at, uint32_t bytes)
{
	for (uint32_t i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	if (bytes & 1)
		sum += (uint32_t)at[bytes - 1] << 8;
	return sum;
}

static uint32_t fold_sum(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

uint32_t gen_frame(const struct gen_packet *packet, uint8_t *frame)
{
	static const uint8_t front[2][GEN_FRAME_HEADER_BYTES] = {
		{0x01, 0x00, 0x5e, 0x00, 0x1f, 0x40, 0x02, 0,	 0,    0,    0, 0x0a, 0x08, 0x00,
		 0x45, 0,    0,	   0,	 0,    0,    0x40, 0,	 16,   17,   0, 0,    10,   0,
		 0,    10,   224,  0,	 31,   64,   0x38, 0x04, 0x38, 0x04, 0, 0,    0,    0},
		{0x01, 0x00, 0x5e, 0x00, 0x20, 0x40, 0x02, 0,	 0,    0,    0, 0x0b, 0x08, 0x00,
		 0x45, 0,    0,	   0,	 0,    0,    0x40, 0,	 16,   17,   0, 0,    10,   0,
		 0,    11,   224,  0,	 32,   64,   0x3b, 0xec, 0x3b, 0xec, 0, 0,    0,    0},
	};
	uint8_t *ip = frame + 14, *udp = ip + 20;
	const uint32_t udp_bytes = 8 + packet->bytes;
	uint32_t sum;

	memcpy(frame, front[packet->feed & 1], GEN_FRAME_HEADER_BYTES);
	memcpy(udp + 8, packet->data, packet->bytes);
	put_big16(ip + 2, 20 + udp_bytes);
	put_big16(ip + 10, fold_sum(add_words(0, ip, 20)));
	put_big16(udp + 4, udp_bytes);
	/* The pseudo header: addresses, protocol, length. A sum of 0 is sent as its other form. */
	sum = fold_sum(add_words(add_words(17 + udp_bytes, ip + 12, 8), udp, udp_bytes));
	put_big16(udp + 6, sum ? sum : 0xffff);
	return GEN_FRAME_HEADER_BYTES + packet->bytes;
}

#if RK_HAVE_PCAP

#include <pcap/pcap.h>

struct gen_pcap {
	pcap_t *handle;
	pcap_dumper_t *dumper;
};

int gen_pcap_open(struct gen_pcap **out, const char *path)
{
	struct gen_pcap *pcap = calloc(1, sizeof(*pcap));
	int result;

	if (pcap)
		pcap->handle = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535,
								    PCAP_TSTAMP_PRECISION_NANO);
	if (!pcap || !pcap->handle) {
		free(pcap);
		return rk_fail(ENOMEM, "capture '%s': no memory", path);
	}
	pcap->dumper = pcap_dump_open(pcap->handle, path);
	if (!pcap->dumper) {
		result = rk_fail(EIO, "capture '%s': %s: give a path that can be written", path,
				 pcap_geterr(pcap->handle));
		pcap_close(pcap->handle);
		free(pcap);
		return result;
	}
	*out = pcap;
	return 0;
}

void gen_pcap_write(struct gen_pcap *pcap, const struct gen_packet *packet)
{
	uint8_t frame[GEN_FRAME_HEADER_BYTES + MDP3_FEED_PACKET_BYTES];
	struct pcap_pkthdr header;

	memset(&header, 0, sizeof(header));
	header.ts.tv_sec = (time_t)(packet->time_ns / 1000000000u);
	header.ts.tv_usec = (suseconds_t)(packet->time_ns % 1000000000u); /* ns in this file */
	header.caplen = header.len = gen_frame(packet, frame);
	pcap_dump((unsigned char *)pcap->dumper, &header, frame);
}

int gen_pcap_close(struct gen_pcap *pcap)
{
	/* pcap_dump() does not say when it fails; the stream remembers. */
	int failed = pcap_dump_flush(pcap->dumper) || ferror(pcap_dump_file(pcap->dumper));

	pcap_dump_close(pcap->dumper);
	pcap_close(pcap->handle);
	free(pcap);
	return failed ? rk_fail(EIO, "capture: could not be written to its end: is the disk full?")
		      : 0;
}

#else

int gen_pcap_open(struct gen_pcap **out, const char *path)
{
	(void)out;
	return rk_fail(EOPNOTSUPP,
		       "capture '%s': built without libpcap: install libpcap-dev and "
		       "build again",
		       path);
}

void gen_pcap_write(struct gen_pcap *pcap, const struct gen_packet *packet)
{
	(void)pcap;
	(void)packet;
}

int gen_pcap_close(struct gen_pcap *pcap)
{
	(void)pcap;
	return 0;
}

#endif
