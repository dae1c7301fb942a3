/* SPDX-License-Identifier: MIT */
/*
 * remote.h - a ring whose producer and consumer are on two hosts. Not installed.
 *
 *      producer's host                              consumer's host
 *      rk_ring_tx -> staging ring ---- slots ---->  ring -> rk_ring_rx
 *                    line         <--- line ------  credit
 *                                 ---- line ---->   line
 *
 * The staging ring has the capacity and the positions of the consumer's, so a slot goes where it
 * stands, as it is, in any order: it validates itself. Credit comes back in a line of three words,
 * each whole by itself; both sides send lines also as keep-alive. A transport (struct
 * remote_transport) connects, says hello and moves slots and lines; all else is here, once.
 *
 * A keeper thread on each side connects, greets, sends lines while nothing else does, and finds
 * that the peer is gone. The port's own thread moves messages; it never waits for the keeper.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include "gpudirect/rk_region.h"
#include "ports/port.h"

#include <netinet/in.h>
#include <pthread.h>

#define REMOTE_MAGIC 0x31474e4952524b52ULL /* "RKRRING1" */

enum {
	REMOTE_VERSION = 1,
	REMOTE_NAME_BYTES = 64,
	REMOTE_TEXT_BYTES = 192,
	REMOTE_WHY_BYTES = 240, /* two of them make a note */
	REMOTE_MAX_TIMEOUT_MS = 3600000,
	REMOTE_MIN_TIMEOUT_MS = 20,
	REMOTE_MAX_SLOTS_LOG2 = 24, /* of a ring: 1 GiB of slots */
	REMOTE_HOSTS = PORT_MAX_FEEDS,
};

/* Nanoseconds in a millisecond. */
#define REMOTE_MS ((uint64_t)1000000)

enum remote_hello_kind {
	REMOTE_ASK = 1,	    /* producer: I want the ring of that name */
	REMOTE_WELCOME = 2, /* consumer: write here */
	REMOTE_REFUSE = 3,  /* consumer: no, and why */
};

/* Memory of the sender that the receiver may write; the key is the transport's. */
struct remote_window {
	uint64_t addr;
	uint64_t bytes;
	uint64_t key;
};

/*
 * What each side says once after connecting. Little-endian.
 *
 * @session names this life of the producer, @ring this life of the consumer's ring: a producer that
 * meets the ring it knows goes on in it from @consumed, the consumer's last credit; one that meets
 * another begins there.
 */
struct remote_hello {
	uint64_t magic;
	uint16_t version;
	uint16_t bytes; /* of this structure */
	uint16_t kind;	/* enum remote_hello_kind */
	uint16_t slot_bytes;
	uint64_t session;
	uint64_t ring; /* ASK: the one known, 0 none; WELCOME: the one to write to */
	uint64_t consumed;
	uint32_t capacity_log2;
	uint32_t timeout_ms; /* the sender takes the receiver for dead after so long without a line
			      */
	struct remote_window slots;
	struct remote_window line;
	char name[REMOTE_NAME_BYTES]; /* ASK: of the ring wanted */
	char text[REMOTE_TEXT_BYTES]; /* REFUSE: why */
};

RK_STATIC_ASSERT(sizeof(struct remote_hello) == 352, "hello version 1");
RK_STATIC_ASSERT(offsetof(struct remote_hello, slots) == 48, "hello version 1");

/* Written by the peer, word by word. */
struct remote_line {
	uint64_t consumed; /* consumer: position up to which slots are free again; R20, A20 */
	uint64_t closed;   /* consumer: enum rk_close, why it takes nothing more */
	uint64_t beat;	   /* changes with every line */
};

/*
 * Slots at @offset of the staging ring that go to the same offset of the consumer's: at most
 * REMOTE_RUN_BYTES, which with its header is one segment of UCX's over TCP.
 */
struct remote_run {
	uint64_t offset;
	uint32_t bytes;
};

enum { REMOTE_RUN_BYTES = 120 * RK_SLOT_BYTES, REMOTE_MAX_RUNS = 16 };

struct remote_conn;
struct remote_listener;

/* Memory of ours that a peer is to write. */
struct remote_memory {
	void *addr; /* as this process sees it */
	uint64_t bytes;
	const struct rk_region *region; /* where it lies; NULL: in host memory */
};

static inline bool remote_is_on_gpu(const struct remote_memory *memory)
{
	return memory->region && rk_region_info(memory->region)->on_gpu;
}

/**
 * struct remote_transport - one way to reach another host; nothing in it waits
 * @name: of the kind of port
 * @one_sided: slots and lines arrive without @progress
 * @ready: the libraries are there: 0, or -errno and a text
 * @listen: at @address; 0 or -errno
 * @accept: the next connection: 1; 0 none now; -errno the listener is dead
 * @unlisten: close the listener; its connections are closed already
 * @listen_fd: readable when @accept should be called; -1 none
 * @reach: can peers that come in there write @memory? 0, and in @how by what, if that is news; or
 *	-errno and why not
 * @connect: begin to connect; 0 or -errno
 * @up: go on connecting: 1 connected; 0 not yet; -errno failed or gone, with a text
 * @tell: send a hello, once; 0 or -errno
 * @offer_slots: the ring's slots, for the peer to write; sets @window
 * @offer_line: @line, for the peer to write; sets @window
 * @aim: from now on slots come from @slots and go to @to; 0 or -errno
 * @aim_line: lines go to @to
 * @put: send slots; @position is the ring's behind them. Returns runs taken, or -errno
 * @put_line: send a line: 1; 0 no room now; -errno
 * @progress: move what can be moved, raise conn->completed and set conn->heard_bytes; 0, or -errno
 *	the connection is gone
 * @close: whatever was begun; waits a little for what was sent. Frees it
 */
struct remote_transport {
	const char *name;
	bool one_sided;
	int (*ready)(void);
	int (*listen)(struct remote_listener **out, const struct sockaddr_in *address);
	int (*accept)(struct remote_listener *listener, struct remote_conn **out);
	void (*unlisten)(struct remote_listener *listener);
	int (*listen_fd)(const struct remote_listener *listener);
	int (*reach)(struct remote_listener *listener, const struct remote_memory *memory,
		     char how[REMOTE_TEXT_BYTES]);
	int (*connect)(struct remote_conn **out, const struct sockaddr_in *address);
	int (*up)(struct remote_conn *conn);
	int (*tell)(struct remote_conn *conn, const struct remote_hello *hello);
	int (*offer_slots)(struct remote_conn *conn, const struct remote_memory *memory,
			   struct remote_window *window);
	int (*offer_line)(struct remote_conn *conn, struct remote_line *line,
			  struct remote_window *window);
	int (*aim)(struct remote_conn *conn, struct rk_slot *slots, const struct remote_window *to);
	void (*aim_line)(struct remote_conn *conn, const struct remote_window *to);
	int (*put)(struct remote_conn *conn, const struct remote_run *runs, uint32_t count,
		   uint64_t position);
	int (*put_line)(struct remote_conn *conn, const struct remote_line *line);
	int (*progress)(struct remote_conn *conn);
	void (*close)(struct remote_conn *conn);
};

/* What every connection begins with. */
struct remote_conn {
	uint64_t completed; /* position up to which the staging ring was read for good */
	uint64_t capacity;  /* slots of the ring, for how often a completion is asked for */
	const void *heard;  /* the peer's hello, once there are */
	size_t heard_bytes;
};

/**
 * struct remote_end - what both ends of a ring across hosts have; embedded behind struct rk_port
 * @transport: of its kind of port
 * @host: in: the address to listen at; out: where to find the ring, in this order
 * @name: of the ring at that address
 * @timeout_ms: without a line from the peer, before it is taken for dead
 * @retry_ms: without a peer, before the port is dead; 0 for ever
 * @mutex: guards what follows; the port's thread only ever tries
 * @changed: the keeper is to look, or to stop
 * @conn: connected and greeted; NULL: no peer
 * @broken: parted from, for the keeper to close
 * @inbox: written by the peer
 * @outbox: what our next line says
 * @interval_ns: between lines, by the peer's timeout
 * @line_sent_ns: when the last line went
 * @beat_seen: the peer's last, and when it was seen
 * @alone_since_ns: when the last peer went; 0 while there is one
 * @peers: connections there were
 * @dead: -errno once the port is dead
 * @stopping: being closed
 * @memory: what the ring's memory is, and why it is no nearer to its consumer; for people
 * @why: what happened last, for people
 * @why_new: the port's note is to be written again
 */
struct remote_end {
	const struct remote_transport *transport;
	struct port_feeds hosts;
	char name[REMOTE_NAME_BYTES];
	uint64_t timeout_ms;
	uint64_t retry_ms;
	bool retry_given;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool made;
	struct remote_conn *conn;
	struct remote_conn *broken;
	struct remote_line *inbox;
	struct remote_line outbox;
	struct rk_region *lines;
	uint64_t interval_ns;
	uint64_t line_sent_ns;
	uint64_t beat_seen;
	uint64_t beat_seen_ns;
	uint64_t alone_since_ns;
	uint64_t peers;
	int dead;
	bool stopping;
	char memory[REMOTE_WHY_BYTES];
	char why[REMOTE_WHY_BYTES];
	bool why_new;
};

/* --- remote_hello.c --- */

/* A hello of @kind with what every one has. */
void remote_hello_init(struct remote_hello *hello, enum remote_hello_kind kind);

/*
 * Check @bytes bytes that a peer sent; every field is copied once and checked before it is
 * believed. @answer: an answer is due (WELCOME or REFUSE), otherwise ASK. 0; -EPROTO and a text
 * that names the field; -ECONNREFUSED for a REFUSE, the text being the peer's.
 */
int remote_hello_check(const void *data, size_t bytes, bool answer, struct remote_hello *hello);

/* A name that is fit for a hello and for people: 0, or -EINVAL and a text. */
int remote_name_check(const char *key, const char *name);

/* --- remote.c --- */

/* Options of both directions. */
int remote_set_name(struct remote_end *end, const char *value);
int remote_set_timeout(struct remote_end *end, const char *value);
int remote_set_retry(struct remote_end *end, const char *value);

/* Make the mutex and the line; 0 or -errno. */
int remote_make(struct remote_end *end, const struct remote_transport *transport);
void remote_unmake(struct remote_end *end);

struct sockaddr_in remote_address(struct frame_address address);

/* An unpredictable number that is not 0. */
uint64_t remote_id(void);

/* Note what happened, for rk_port_note(). Mutex held. */
void remote_say(struct remote_end *end, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Copy what is to be said into the port's note. The port's thread, mutex held. */
void remote_note(struct remote_end *end, struct rk_port *port);

/* The peer's hello: 1 it is there, in conn->heard; 0 not yet; -errno, with a text, it never will.
 */
int remote_hear(const struct remote_transport *transport, struct remote_conn *conn);

/* The connection is greeted: lines go both ways from now on. Mutex held. */
void remote_joined(struct remote_end *end, struct remote_conn *conn,
		   const struct remote_hello *peer);

/*
 * The peer is gone, or is nothing to talk to, as rk_errmsg() says. Nothing is sent to it any more;
 * the keeper closes the connection. Mutex held.
 */
void remote_parted(struct remote_end *end);

/* Close the connection that was parted from. The keeper, mutex held. */
void remote_sweep(struct remote_end *end);

/* Send a line; what does not fit now is tried again. Mutex held. */
void remote_put_line(struct remote_end *end, uint64_t now);

/*
 * The keeper's round: progress, a line when it is due, is the peer still there. Parts from a
 * peer that is gone. Mutex held. Returns the time of the next round.
 */
uint64_t remote_keep(struct remote_end *end);

/* Dead for want of a peer? Mutex held; the text is in @end->why. */
int remote_check_alone(struct remote_end *end);

/* Wait for @changed, until @due_ns. Mutex held. */
void remote_wait(struct remote_end *end, uint64_t due_ns);

/* --- remote_door.c --- */

/**
 * struct remote_guest - an input that listens; inputs of one process may share an address
 * @end: its name and transport
 * @meet: a producer asks for it: take @conn over and answer. 0, or -errno and a text for the
 *	producer; @conn is then still the caller's. The keeper's thread
 * @keep: the keeper's round; returns the time of the next
 * @next: private to the door
 */
struct remote_guest {
	struct remote_end *end;
	int (*meet)(struct remote_guest *guest, struct remote_conn *conn,
		    const struct remote_hello *ask);
	uint64_t (*keep)(struct remote_guest *guest);
	struct remote_guest *next;
};

struct remote_door;

/* Listen for @guest at its address, opening the door if this is the first there. 0 or -errno. */
int remote_door_enter(struct remote_door **door, struct remote_guest *guest);

/* Nobody calls @guest any more when this returns; the last one closes the door. */
void remote_door_leave(struct remote_door *door, struct remote_guest *guest);

/* remote_transport.reach() of who comes in there. */
int remote_door_reach(struct remote_door *door, const struct remote_memory *memory,
		      char how[REMOTE_TEXT_BYTES]);

/* --- A kind of port made of a transport --- */

extern const struct port_ops remote_in_ops, remote_out_ops;

/**
 * struct remote_kind - what a transport's file fills in, and what becomes of it
 * @kind: its table row; a transport says @kind.about
 * @transport: moves its messages
 * @in: the operations of remote_in.c; each port finds its kind by them
 * @out: those of remote_out.c
 * @absent: why it is absent, when it is
 */
struct remote_kind {
	struct port_kind kind;
	const struct remote_transport *transport;
	struct port_ops in, out;
	char absent[REMOTE_TEXT_BYTES];
};

/* Fill it in, and say anew whether it is absent. */
const struct port_kind *remote_kind_load(struct remote_kind *kind);

#define REMOTE_OPTIONS                                                                        \
	"name=NAME      of the ring at that address (default \"\"): several may share one\n"  \
	"timeout=MS     without a sign of the peer, until it counts as dead (default 2000)\n" \
	"retry=MS       without a peer, until the port is dead; 0 for ever (default 10000;\n" \
	"               in: counted from the first peer on)\n"                                \
	"slots=N        in: of the ring, a power of two (default 4096)\n"                     \
	"nap=US         in: look at least so often when idle; 0 always (default 50)\n"        \
	"stay           in: when a producer is done, wait for the next\n"                     \
	"direct         in: the peer writes the consumer's own ring, on a GPU too\n"          \
	"linger=MS      out: at close, wait so long for the peer to take the rest\n"          \
	"               (default 5000)"

#endif
