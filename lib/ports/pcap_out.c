// SPDX-License-Identifier: MIT
/* Port pcap, output: records messages as Ethernet frames with nanosecond stamps. */
#include "config.h"
#include "ports/port.h"

#if RK_HAVE_PCAP

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	WRITE_BYTES = 1 << 18,	  /* to the file, at once */
	FEED_IP = 0xe9fc0001,	  /* 233.252.0.1, of the addresses for documentation (RFC 6676) */
	FEED_PORT = 14340,	  /* feed k goes to 233.252.0.(1+k):(14340+k) */
	OTHER_IP = 0xe9fc00ff,	  /* 233.252.0.255, port: the message's type */
	SNAPSHOT_BYTES = 1 << 16, /* above every frame */
};

/**
 * struct pcap_out - a recording
 * @failed: 0, or the negative errno of the first write that failed
 * @frame: being built
 */
struct pcap_out {
	struct rk_port port;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	FILE *file; /* the dumper's, which closes it if there is one */
	struct port_feeds feeds;
	int failed;
	uint8_t frame[FRAME_HEAD_BYTES + RK_MSG_MAX_SLOTS * RK_CELL_BYTES];
};

static int set_feeds(struct rk_port *port, const char *value)
{
	return port_parse_feeds("feeds", value, &((struct pcap_out *)port)->feeds);
}

static const struct port_option options[] = {
	{"feeds", false, set_feeds},
	{NULL, false, NULL},
};

static int pcap_out_open(struct rk_port *port, const char *what)
{
	struct pcap_out *out = (struct pcap_out *)port;

	for (uint32_t i = 0; !out->feeds.count && i < PORT_MAX_FEEDS; i++)
		out->feeds.at[i] = (struct frame_address){FEED_IP + i, (uint16_t)(FEED_PORT + i)};
	if (!out->feeds.count)
		out->feeds.count = PORT_MAX_FEEDS;
	out->pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAPSHOT_BYTES,
							 PCAP_TSTAMP_PRECISION_NANO);
	if (!out->pcap)
		return rk_fail(ENOMEM, "no memory");
	out->file = fopen(what, "we");
	if (!out->file)
		return rk_fail(errno, "create '%s': %s", what, strerror(errno));
	setvbuf(out->file, NULL, _IOFBF, WRITE_BYTES);
	errno = 0;
	out->dumper = pcap_dump_fopen(out->pcap, out->file);
	/* The head goes out now, so that a disk already full is told when opening. */
	if (!out->dumper || fflush(out->file))
		return rk_fail(errno ? errno : EIO, "write '%s': %s", what,
			       errno ? strerror(errno) : pcap_geterr(out->pcap));
	return 0;
}

static int failed(struct pcap_out *out)
{
	return rk_fail(-out->failed, "port '%s': write: %s: the recording is incomplete",
		       out->port.uri, strerror(-out->failed));
}

/* Where @view goes; false for a feed without an address. */
static bool find_address(const struct pcap_out *out, const struct rk_msg *msg,
			 const struct port_view *view, struct frame_address *to)
{
	if (!view->packet)
		*to = (struct frame_address){OTHER_IP, msg->type};
	else if (view->feed < out->feeds.count)
		*to = out->feeds.at[view->feed];
	else
		return false;
	return true;
}

static int pcap_out_write(struct rk_port *port, const struct rk_msg *msg)
{
	struct pcap_out *out = (struct pcap_out *)port;
	struct pcap_pkthdr record;
	struct frame_address to;
	struct port_view view;
	uint64_t stamp;

	if (out->failed)
		return failed(out);
	if (!port_view(msg, &view)) {
		port_count(&port->stats.dropped_malformed, 1);
		return 1;
	}
	if (!find_address(out, msg, &view, &to)) {
		port_count(&port->stats.dropped_foreign, 1);
		return 1;
	}
	stamp = view.rx_time_ns ? view.rx_time_ns : clock_ns(CLOCK_REALTIME);
	memcpy(out->frame + FRAME_HEAD_BYTES, view.data, view.bytes);
	record.caplen = record.len = frame_build(out->frame, to, view.bytes);
	record.ts.tv_sec = (time_t)(stamp / 1000000000);
	record.ts.tv_usec = (suseconds_t)(stamp % 1000000000);
	pcap_dump((u_char *)out->dumper, &record, out->frame);
	if (ferror(out->file)) {
		out->failed = -(errno ? errno : EIO);
		return failed(out);
	}
	port_count(&port->stats.messages, 1);
	port_count(&port->stats.bytes, view.bytes);
	return 1;
}

static int pcap_out_flush(struct rk_port *port)
{
	struct pcap_out *out = (struct pcap_out *)port;

	if (!out->failed && fflush(out->file))
		out->failed = -(errno ? errno : EIO);
	return out->failed ? failed(out) : 1;
}

static int pcap_out_close(struct rk_port *port)
{
	struct pcap_out *out = (struct pcap_out *)port;
	int error = 0;

	if (out->file) {
		/* Devices and pipes have no disk to be synchronised with: EINVAL, EROFS. */
		if (fflush(out->file) ||
		    (fsync(fileno(out->file)) && errno != EINVAL && errno != EROFS))
			error = errno;
		/* Nothing is left for this to write, so it has nothing to tell. */
		if (out->dumper)
			pcap_dump_close(out->dumper);
		else
			fclose(out->file);
	}
	if (out->pcap)
		pcap_close(out->pcap);
	if (!out->failed && error)
		out->failed = -error;
	return out->failed ? rk_fail(-out->failed, "write: %s: the recording is incomplete",
				     strerror(-out->failed))
			   : 0;
}

const struct port_ops port_pcap_out = {
	.bytes = sizeof(struct pcap_out),
	.options = options,
	.open = pcap_out_open,
	.poll_in = port_no_poll_in,
	.write = pcap_out_write,
	.flush = pcap_out_flush,
	.fd = port_no_fd,
	.due_ns = port_no_due_ns,
	.close = pcap_out_close,
};

#endif
