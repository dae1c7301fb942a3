// SPDX-License-Identifier: MIT
/*
 * Port pcap, input: replays the UDP datagrams of a capture, as fast as possible or by a schedule.
 *
 * One record is held at a time: libpcap's buffer keeps it until the next one is read, so what does
 * not fit or is not due yet stays there. Messages are gathered by the batch and sent together.
 */
#include "config.h"
#include "ports/gather.h"

#if RK_HAVE_PCAP

#include <fcntl.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_BYTES = 1 << 18, /* of the file, at once */
	RECORDS_MAX = 4096,   /* that one poll looks at, with or without a message in them */
};

#define FOREVER_NS ((uint64_t)INT64_MAX) /* the end of every schedule */

/**
 * struct pcap_in - a capture being replayed
 * @fixed: the feeds were given; others are foreign
 * @lost: datagrams of each feed lost since its last message
 * @speed: times the recorded pace; 0: not by the record
 * @rate: messages per second; 0: not by a rate
 * @loops: times to replay the file that are left, this one included
 * @left: messages left to read
 * @record: number of the last record read, from 1 in each loop
 * @began_ns: when the first datagram was due
 * @numbered: datagrams that have a place in the schedule
 * @stamp_first: recorded time of the loop's first datagram
 * @offset_loop: where the loop began in the recorded time since the start
 * @offset: where the held datagram lies in it
 * @held: a datagram is waiting to be gathered: @datagram, @stamp, @due_ns, @index
 * @end: 0, or the negative errno with which the source ended, said in @end_text
 */
struct pcap_in {
	struct rk_port port;
	pcap_t *pcap;
	int fd;
	enum frame_link link;
	struct port_feeds feeds;
	bool fixed;
	uint16_t lost[PORT_MAX_FEEDS];
	long double speed, rate;
	uint64_t loops, left;
	uint64_t record;
	uint64_t began_ns, numbered, stamp_first, offset_loop, offset;
	bool began, stamped;
	bool held;
	struct frame_datagram datagram;
	uint64_t stamp, due_ns;
	uint32_t index;
	int end;
	char end_text[PORT_NOTE_BYTES * 2];
	struct port_gather gather;
};

static int set_speed(struct rk_port *port, const char *value)
{
	struct pcap_in *in = (struct pcap_in *)port;

	return strcmp(value, "max") ? port_parse_real("speed", value, &in->speed) : 0;
}

static int set_rate(struct rk_port *port, const char *value)
{
	return port_parse_real("rate", value, &((struct pcap_in *)port)->rate);
}

static int set_loops(struct rk_port *port, const char *value)
{
	return port_parse_count("loops", value, 1, UINT32_MAX, &((struct pcap_in *)port)->loops);
}

static int set_feeds(struct rk_port *port, const char *value)
{
	struct pcap_in *in = (struct pcap_in *)port;

	in->fixed = true;
	return port_parse_feeds("feeds", value, &in->feeds);
}

static int set_count(struct rk_port *port, const char *value)
{
	return port_parse_count("count", value, 1, UINT64_MAX - 1, &((struct pcap_in *)port)->left);
}

static const struct port_option options[] = {
	{"speed", false, set_speed}, {"rate", false, set_rate},	  {"loops", false, set_loops},
	{"feeds", false, set_feeds}, {"count", false, set_count}, {NULL, false, NULL},
};

/* -EOPNOTSUPP and a text for a capture of frames that we cannot read. */
static int find_link(int type, enum frame_link *link)
{
	const char *name;

	switch (type) {
	case DLT_EN10MB:
		*link = FRAME_ETHERNET;
		return 0;
	case DLT_RAW:
	case DLT_IPV4:
		*link = FRAME_IP;
		return 0;
	case DLT_LINUX_SLL:
		*link = FRAME_LINUX_SLL;
		return 0;
	case DLT_LINUX_SLL2:
		*link = FRAME_LINUX_SLL2;
		return 0;
	case DLT_NULL:
	case DLT_LOOP:
		*link = FRAME_LOOPBACK;
		return 0;
	}
	name = pcap_datalink_val_to_name(type);
	return rk_fail(EOPNOTSUPP,
		       "frames of type %s: capture on Ethernet, raw IP, Linux cooked or loopback",
		       name ? name : pcap_datalink_val_to_description_or_dlt(type));
}

/* Let libpcap read the file from its start. */
static int begin_file(struct pcap_in *in)
{
	char text[PCAP_ERRBUF_SIZE];
	int fd = dup(in->fd);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (!file) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return rk_fail(error, "open: %s", strerror(error));
	}
	setvbuf(file, NULL, _IOFBF, READ_BYTES);
	if (lseek(fd, 0, SEEK_SET)) {
		int error = errno;

		fclose(file);
		return rk_fail(error, "go to its start: %s", strerror(error));
	}
	in->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, text);
	if (!in->pcap) {
		fclose(file);
		return rk_fail(EPROTO, "no capture in pcap or pcapng format: %s", text);
	}
	in->record = 0;
	in->stamped = false;
	return find_link(pcap_datalink(in->pcap), &in->link);
}

static int pcap_in_open(struct rk_port *port, const char *what)
{
	struct pcap_in *in = (struct pcap_in *)port;
	struct stat status;

	if (!in->loops)
		in->loops = 1;
	if (!in->left)
		in->left = UINT64_MAX;
	in->fd = -1;
	if (in->speed > 0 && in->rate > 0)
		return rk_fail(EINVAL,
			       "speed and rate: the pace is one or the other: leave one out");
	/* Not to wait for the other end of a FIFO; no change for files. */
	in->fd = open(what, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (in->fd < 0)
		return rk_fail(errno, "open '%s': %s", what, strerror(errno));
	if (fstat(in->fd, &status))
		return rk_fail(errno, "'%s': %s", what, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return rk_fail(EISDIR, "'%s' is a directory: name a file in it", what);
	if (!S_ISREG(status.st_mode))
		return rk_fail(EINVAL, "'%s' is no regular file: save the capture to one", what);
	return begin_file(in);
}

/* The source ended with @result; its text is said again whenever it is asked. */
static void end_with(struct pcap_in *in, int result)
{
	in->end = result;
	strncpy(in->end_text, rk_errmsg(), sizeof(in->end_text) - 1);
}

/* @length / @pace in ns, cut to the end of every schedule. */
static uint64_t paced_ns(long double length, long double pace)
{
	long double ns = length / pace;

	return ns < (long double)FOREVER_NS ? (uint64_t)ns : FOREVER_NS;
}

/* When the held datagram is due; 0: at once. Time that runs backwards in a capture stands still. */
static void schedule(struct pcap_in *in)
{
	uint64_t offset_ns = 0;

	if (!in->stamped) {
		in->stamped = true;
		in->stamp_first = in->stamp;
		in->offset_loop = in->offset;
	}
	if ((int64_t)(in->stamp - in->stamp_first) > 0 &&
	    in->offset_loop + (in->stamp - in->stamp_first) > in->offset)
		in->offset = in->offset_loop + (in->stamp - in->stamp_first);
	if (in->rate > 0)
		offset_ns = paced_ns((long double)in->numbered * 1e9L, in->rate);
	else if (in->speed > 0)
		offset_ns = paced_ns((long double)in->offset, in->speed);
	in->numbered++;
	in->due_ns = 0;
	if (in->rate > 0 || in->speed > 0)
		in->due_ns = offset_ns > FOREVER_NS - in->began_ns ? FOREVER_NS
								   : in->began_ns + offset_ns;
}

/* Index of the feed of @to; -1 if it is none of them. */
static int find_feed(struct pcap_in *in, struct frame_address to)
{
	struct port_feeds *feeds = &in->feeds;

	for (uint32_t i = 0; i < feeds->count; i++)
		if (feeds->at[i].ip == to.ip && feeds->at[i].port == to.port)
			return (int)i;
	if (in->fixed || feeds->count == PORT_MAX_FEEDS)
		return -1;
	feeds->at[feeds->count] = to;
	return (int)feeds->count++;
}

/* libpcap takes the 32 bits of seconds for signed, the format does not: they last until 2106. */
static uint64_t stamp_of(const struct pcap_pkthdr *record)
{
	uint64_t seconds =
		record->ts.tv_sec < 0 ? (uint32_t)record->ts.tv_sec : (uint64_t)record->ts.tv_sec;

	return seconds * 1000000000 + (uint64_t)record->ts.tv_usec;
}

/* Judge a record: true when its datagram is now held. */
static bool accept_record(struct pcap_in *in, const struct pcap_pkthdr *record,
			  const uint8_t *frame, uint32_t max_slots)
{
	struct rk_port_stats *stats = &in->port.stats;
	enum frame_verdict verdict =
		frame_parse(in->link, frame, record->caplen, record->len, &in->datagram);
	int feed = in->datagram.to.port ? find_feed(in, in->datagram.to) : 0;

	if (verdict == FRAME_FOREIGN || feed < 0) {
		port_count(&stats->dropped_foreign, 1);
		return false;
	}
	if (verdict == FRAME_MALFORMED) {
		port_count(&stats->dropped_malformed, 1);
		return false;
	}
	if (verdict == FRAME_TRUNCATED) {
		port_count(&stats->dropped_truncated, 1);
		if (in->datagram.to.port)
			port_lose(&in->lost[feed], 1);
		return false;
	}
	if (in->datagram.bytes > PORT_MAX_BYTES || port_cells(in->datagram.bytes) > max_slots) {
		port_count(&stats->dropped_too_long, 1);
		port_lose(&in->lost[feed], 1);
		return false;
	}
	in->index = (uint32_t)feed;
	in->stamp = stamp_of(record);
	schedule(in);
	in->held = true;
	return true;
}

/* The file is over: begin it again, or end the source. */
static void next_loop(struct pcap_in *in)
{
	uint64_t records = in->record;

	/* A file without a record would be begun again and again within one poll. */
	if (!--in->loops || !records) {
		end_with(in, rk_fail(ENODATA, "port '%s': end of the capture", in->port.uri));
		return;
	}
	pcap_close(in->pcap);
	in->pcap = NULL;
	end_with(in, begin_file(in));
	if (in->end)
		end_with(in, rk_fail_within(in->end, "port '%s'", in->port.uri));
}

/* Read on until a datagram is held, the source ended, or *@records were looked at. */
static void hold_next(struct pcap_in *in, uint32_t *records, uint32_t max_slots)
{
	struct pcap_pkthdr *record;
	const uint8_t *frame;

	while (!in->held && !in->end && *records) {
		int result = pcap_next_ex(in->pcap, &record, &frame);

		--*records;
		if (result == 1) {
			in->record++;
			accept_record(in, record, frame, max_slots);
		} else if (result == PCAP_ERROR_BREAK) {
			next_loop(in);
		} else {
			end_with(in, rk_fail(EPROTO, "port '%s': damaged behind packet %llu: %s",
					     in->port.uri, (unsigned long long)in->record,
					     pcap_geterr(in->pcap)));
		}
	}
}

/* Build the message of the held datagram; false when there is no room for it now. */
static bool gather_held(struct pcap_in *in, uint64_t now_ns)
{
	const struct rk_packet packet = {.rx_time_ns = in->stamp,
					 .bytes = in->datagram.bytes,
					 .feed = (uint16_t)(in->port.feed + in->index),
					 .dropped = in->lost[in->index]};
	uint8_t *cells = port_gather_room(&in->gather, port_cells(packet.bytes));

	if (!cells)
		return false;
	memcpy(cells + PORT_HEAD_BYTES, in->datagram.data, packet.bytes);
	in->gather.end += port_seal(cells, in->due_ns ? in->due_ns : now_ns, &packet);
	in->lost[in->index] = 0;
	in->held = false;
	if (!--in->left)
		end_with(in, rk_fail(ENODATA, "port '%s': count reached", in->port.uri));
	return true;
}

/* Gather up to @messages datagrams that are due, at most a batch. */
static void fill(struct pcap_in *in, uint32_t messages, uint32_t *records, uint32_t max_slots)
{
	/* One look at the clock a batch: the time read of a datagram is never later than true. */
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (!in->began) {
		in->began = true;
		in->began_ns = now_ns;
	}
	if (messages > PORT_BATCH)
		messages = PORT_BATCH;
	while (messages--) {
		hold_next(in, records, max_slots);
		if (!in->held ||
		    (in->due_ns > now_ns && in->due_ns > (now_ns = clock_ns(CLOCK_MONOTONIC))))
			break;
		if (!gather_held(in, now_ns))
			break;
	}
}

static int pcap_in_poll(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	struct pcap_in *in = (struct pcap_in *)port;
	uint32_t moved = 0, records = RECORDS_MAX;

	while (moved < budget && !tx->closed) {
		int sent;

		if (port_gather_empty(&in->gather))
			fill(in, budget - moved, &records, tx->max_slots);
		if (port_gather_empty(&in->gather))
			break;
		sent = port_gather_send(&in->gather, port, tx, budget - moved);
		if (sent < 0)
			return sent;
		moved += (uint32_t)sent;
		if (!port_gather_empty(&in->gather))
			break;
	}
	if (moved || !budget)
		return (int)moved;
	if (tx->closed)
		return port_closed(port, tx);
	return in->end && port_gather_empty(&in->gather) ? rk_fail(-in->end, "%s", in->end_text)
							 : 0;
}

static uint64_t pcap_in_due_ns(const struct rk_port *port)
{
	const struct pcap_in *in = (const struct pcap_in *)port;

	return in->held && port_gather_empty(&in->gather) ? in->due_ns : 0;
}

static int pcap_in_close(struct rk_port *port)
{
	struct pcap_in *in = (struct pcap_in *)port;

	if (in->pcap)
		pcap_close(in->pcap);
	if (in->fd >= 0)
		close(in->fd);
	return 0;
}

const struct port_ops port_pcap_in = {
	.bytes = sizeof(struct pcap_in),
	.options = options,
	.open = pcap_in_open,
	.poll_in = pcap_in_poll,
	.write = port_no_write,
	.flush = port_no_flush,
	.fd = port_no_fd,
	.due_ns = pcap_in_due_ns,
	.close = pcap_in_close,
};

#endif
