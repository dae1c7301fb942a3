/* SPDX-License-Identifier: MIT */
/*
 * rk_port.h - a port moves messages between the outside and one ring, a batch per call.
 *
 * A port is named by a URI, "kind:what,key=value,...":
 *
 *   pcap:FILE        in: replays a capture; out: records one
 *   udp:ADDR:PORT    in: receives datagrams (joins a multicast group); out: sends them
 *   tcp:ADDR:PORT    in: receives from connections; out: sends to them
 *   file:PATH        in: reads a file or block device in blocks; out: writes payloads to one
 *   io:PATH          in: a file, or udp:ADDR:PORT, for an actor that does its own I/O (rk_io.h)
 *   dpdk:DEVICE      in: receives by a DPDK driver; out: transmits
 *   verbs:ADDR:PORT  in: a ring that a remote host writes by RDMA; out: writes one
 *   ucx:ADDR:PORT    the same over UCX, for hosts without RDMA
 *   null:            out: counts and forgets
 *
 * In the part before the first option a comma is written "\,". rk_port_kind_at() lists the kinds
 * with their options and, for a kind that this build or machine lacks, why. Ports verbs and ucx
 * carry messages as they are. With the others a datagram, a block or a piece of a stream travels as
 * RK_MSG_PACKET (struct rk_packet, then its bytes), inline in as many slots as it needs, with
 * RK_MSG_F_TIME: the time at which it was meant to arrive.
 *
 * A port never waits: it moves what can be moved now. When the ring is full an input keeps what it
 * holds and counts; nothing that was accepted is lost. Every datagram is received, or counted in
 * the drops by reason.
 */
#ifndef RK_PORT_H
#define RK_PORT_H

#include "rk_base.h"
#include "gpudirect/rk_region.h"
#include "ring/rk_ring.h"

enum rk_port_direction {
	RK_PORT_IN,  /* outside to ring */
	RK_PORT_OUT, /* ring to outside */
};

/**
 * struct rk_port_stats - what went through a port; all counts, since it was opened
 * @messages: moved
 * @bytes: of payload moved
 * @ring_full: times an input found its ring full and held back
 * @calls: system calls made to move messages; 0 for files
 * @uncounted_slots: of messages that a peer wrote into memory of a GPU, which are not in
 *	@messages: to tell them apart takes a read across the bus each
 * @dropped_foreign: not UDP over IPv4, a fragment, or for none of the feeds
 * @dropped_malformed: headers that contradict each other
 * @dropped_truncated: cut short in the capture or by the receive buffer
 * @dropped_too_long: longer than the ring takes
 * @dropped_kernel: lost by the kernel or the NIC before we saw them (full socket buffer, no mbuf)
 * @dropped_refused: the outside did not take them (send error)
 * @dropped_closed: the ring was closed by its consumer
 * @dropped_checksum: wrong checksum of an IP, UDP or TCP header
 * @dropped_verdict: frames that an actor sent on to be dropped
 * @dropped_unconfirmed: sent to a remote ring whose consumer was lost before it confirmed them:
 *	delivered or not
 * @loans: datagrams that were lent (rk_packet.h); each is on loan, or in one of the next three
 * @loans_done: given back by whoever had them
 * @loans_forgotten: by an actor that has begun anew since it took them
 * @loans_ended: still on loan when the port took in no more: with the actor's end, or its own
 */
struct rk_port_stats {
	uint64_t messages;
	uint64_t bytes;
	uint64_t ring_full;
	uint64_t calls;
	uint64_t uncounted_slots;
	uint64_t dropped_foreign;
	uint64_t dropped_malformed;
	uint64_t dropped_truncated;
	uint64_t dropped_too_long;
	uint64_t dropped_kernel;
	uint64_t dropped_refused;
	uint64_t dropped_closed;
	uint64_t dropped_checksum;
	uint64_t dropped_verdict;
	uint64_t dropped_unconfirmed;
	uint64_t loans;
	uint64_t loans_done;
	uint64_t loans_forgotten;
	uint64_t loans_ended;
};

/**
 * struct rk_port_kind - one kind of port, for people
 * @name: what stands before the ':'
 * @summary: one line
 * @options: one line an option, "key=value  meaning"
 * @absent: NULL, or why this build or machine cannot open it and what to do
 */
struct rk_port_kind {
	const char *name;
	const char *summary;
	const char *options;
	const char *absent;
};

struct rk_port;

RK_BEGIN_DECLS

/**
 * rk_port_kind_at() - walk the kinds of ports
 * @index: from 0
 *
 * Context: any thread; never sleeps.
 * Return: static storage; NULL past the last.
 */
RK_API const struct rk_port_kind *rk_port_kind_at(unsigned int index);

/**
 * rk_port_open() - open a port
 * @port: out
 * @uri: "kind:what,key=value,..."
 * @direction: which way messages go
 * @feed: for inputs: rk_packet.feed of the first feed of this port
 *
 * Context: any thread; sleeps.
 * Owner: rk_port_close() frees @port.
 * Return: 0; -EINVAL for an unknown kind, option or value; -EOPNOTSUPP for a kind that is absent or
 * does not go that way; the errno of opening a file or socket; -EPROTO for a file that is no
 * capture; said in rk_errmsg().
 */
RK_API int rk_port_open(struct rk_port **port, const char *uri, enum rk_port_direction direction,
			uint16_t feed);

/**
 * rk_port_own_io() - whether the port is a ring for an actor's own I/O (rk_io.h), and whose
 * @port: an input
 * @gpu_io: out: device address of struct rk_io; 0: the ring is for actors on CPUs
 * @gpu: out: ordinal of the GPU whose actor it is for
 *
 * Context: any thread.
 * Return: 1 with @gpu_io and @gpu; 0 it is no such port.
 */
RK_API int rk_port_own_io(const struct rk_port *port, uint64_t *gpu_io, int *gpu);

/**
 * rk_port_lends() - whether the port lends its buffers (rk_packet.h), and to whom
 * @port: an input
 * @for_gpu: out: to actors on GPUs, else on CPUs
 *
 * Context: any thread.
 * Return: 1 with @for_gpu; 0 it lends none.
 */
RK_API int rk_port_lends(const struct rk_port *port, int *for_gpu);

/**
 * rk_port_lend() - let the outside write a ring itself
 * @port: an input, before its first poll
 * @ring: that rk_port_poll_in() would fill; new, and without a producer that sends. Its consumer's
 *	end must not touch slots (struct rk_ring_rx_opts), nor sleep without a nap
 * @region: where its slots lie, if in one that GPUs reach; else NULL
 *
 * Where it is taken, rk_port_poll_in() moves no messages: it carries credit back, and is called as
 * before. It counts them once the consumer is done with them; on a GPU it counts slots alone.
 * Control messages of the outside are then in the ring, too. Where a device cannot write them the
 * port's note says why.
 *
 * Context: one thread; sleeps, where memory of a GPU is registered with a device.
 * Owner: ring and region stay the caller's and must outlive @port.
 * Return: 1 taken; 0 the port fills it by itself, as most do; -ENOMEM, said in rk_errmsg().
 */
RK_API int rk_port_lend(struct rk_port *port, const struct rk_ring *ring,
			const struct rk_region *region);

/**
 * rk_port_take_back() - end what rk_port_lend() began
 * @port: that took the ring
 * @tx: the producer's end of it here, which has sent nothing: goes on behind the last whole message,
 *	or is closed if the outside has closed the ring
 *
 * The outside writes nothing any more when this returns.
 *
 * Context: the thread that polls; sleeps a fraction of a second if the peer is still there.
 */
RK_API void rk_port_take_back(struct rk_port *port, struct rk_ring_tx *tx);

/**
 * rk_port_poll_in() - take what the outside has and put it into a ring
 * @port: an input
 * @tx: always the same ring
 * @budget: messages, at most
 *
 * Context: one thread; never sleeps.
 * Return: messages moved; 0 nothing now; -ENODATA at the end of a finite source, everything moved
 * before; -EPIPE when @tx is closed; another -errno when the port is dead; said in rk_errmsg().
 */
RK_API int rk_port_poll_in(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget);

/**
 * rk_port_write() - give one message to the outside
 * @port: an output
 * @msg: received from a ring; RK_MSG_PACKET goes out as its datagram, others as their payload
 *
 * A port may gather messages; rk_port_flush() sends what it holds.
 *
 * Context: one thread; never sleeps.
 * Return: 1 taken (or dropped and counted); 0 the outside is busy: try again;
 * -errno when the port is dead, said in rk_errmsg().
 */
RK_API int rk_port_write(struct rk_port *port, const struct rk_msg *msg);

/**
 * rk_port_flush() - send what rk_port_write() gathered
 * @port: an output
 *
 * Context: one thread; never sleeps.
 * Return: 1 all is out; 0 the outside is busy: try again; -errno when the port is dead.
 */
RK_API int rk_port_flush(struct rk_port *port);

/**
 * rk_port_fd() - a descriptor that becomes readable when an input has something, or when an output
 * that was busy should be tried again
 * @port: open
 *
 * What rk_port_poll_in() holds back for a full ring does not show here: wait for the ring then.
 *
 * Context: any thread.
 * Return: the port's own descriptor, for poll(2) only; -1 if it has none and must be polled.
 */
RK_API int rk_port_fd(const struct rk_port *port);

/**
 * rk_port_due_ns() - when an input should be polled next, whatever its descriptor says
 * @port: open
 *
 * The time of the next datagram of a paced replay, or when an idle source counts as ended.
 *
 * Context: the thread that polls it.
 * Return: CLOCK_MONOTONIC ns; 0 when not known or already.
 */
RK_API uint64_t rk_port_due_ns(const struct rk_port *port);

/**
 * rk_port_stats() - what went through
 * @port: open
 * @stats: out
 *
 * Context: any thread; a reading while the port runs may be a few messages old.
 */
RK_API void rk_port_stats(const struct rk_port *port, struct rk_port_stats *stats);

/**
 * rk_port_uri() - the URI it was opened with
 * @port: open
 *
 * Context: any thread; never sleeps.
 * Return: lives as long as @port.
 */
RK_API const char *rk_port_uri(const struct rk_port *port);

/**
 * rk_port_note() - what the port got less of than was asked for, and the remedy
 * @port: open
 *
 * Of ports with a peer: what last became of the connection, as of the last poll, write or flush.
 *
 * Context: any thread; of ports with a peer, the thread that polls it; never sleeps.
 * Return: one line for people, "" if there is nothing to say; lives as long as @port.
 */
RK_API const char *rk_port_note(const struct rk_port *port);

/**
 * rk_port_close() - close a port
 * @port: or NULL
 *
 * Context: the thread that polled it; any, once that thread has ended, or the port has: an input
 * when rk_port_poll_in() returned an error. Sleeps. A recording is complete on disk after it.
 * Return: 0; -EBUSY, and nothing is closed, when the thread that polls it still has operations of
 * it in flight; -errno when data that was accepted could not be written; said in rk_errmsg();
 * a port with a peer first waits for it to take the rest, linger= at most.
 */
RK_API int rk_port_close(struct rk_port *port);

RK_END_DECLS

#endif
