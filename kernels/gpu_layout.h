/* SPDX-License-Identifier: MIT */
/*
 * gpu_layout.h - what the host and a persistent kernel both see: seats, their control messages and
 * their status lines. Private to lib/backends and kernels/.
 *
 *   grid    blocks of RK_GPU_WARPS warps; each warp is a seat, which hosts one actor at a time
 *   seat    a control ring and a host line (written by the host, near the GPU), a marker line
 *           (written by the GPU, where the host can read it after a fault), and a status line
 *           (written by the GPU, near the host)
 *
 * A warp actor takes one seat; a block actor sits at the first seat of a block and uses all its
 * warps. An empty seat polls its control ring: spawning an actor is a message.
 */
#ifndef RK_GPU_LAYOUT_H
#define RK_GPU_LAYOUT_H

#include "rk_msg.h"
#include "ring/rk_slot.h"

#define RK_GPU_WARP_LANES 32
#define RK_GPU_WARPS 16	      /* seats of a block */
#define RK_GPU_LINKS 16	      /* inboxes, and outboxes, of one actor: they lie in shared memory */
#define RK_GPU_GRANTS 8	      /* parts of memory that an actor of a tenant may touch */
#define RK_GPU_CONTROL_SLOTS 64
#define RK_GPU_CAPACITY_LOG2 24 /* of a ring that a GPU has an end of, at most */
#define RK_GPU_WAITING 8192   /* cells that found no room in a ring */
#define RK_GPU_BACKLOG 1024   /* of them, at most, for one outbox that drops the oldest */
#define RK_GPU_LONG_CELLS 256 /* of a message of more than one cell */
#define RK_GPU_FORGOTTEN_AT 16 /* in a credit line: struct rk_ring_credit */
#define RK_GPU_OUTGOING_AT (RK_GPU_LONG_CELLS * RK_CELL_BYTES) /* in struct rk_gpu_scratch */

/* Types that travel in a seat's control ring only. */
enum rk_gpu_control {
	RK_GPU_SPAWN = RK_MSG_USER, /* struct rk_gpu_spawn */
	RK_GPU_INBOX,		    /* struct rk_gpu_ring */
	RK_GPU_OUTBOX,		    /* struct rk_gpu_ring */
	RK_GPU_IO,		    /* u64: device address of struct rk_io, for its own I/O */
	RK_GPU_GRANT,		    /* struct rk_gpu_grant */
	RK_GPU_BEGIN,		    /* as RK_MSG_START, but from zeros, whatever it did before */
	RK_GPU_RESTORE,		    /* u64: device address of the state to go on with */
	RK_GPU_COPY,		    /* u64: device address for its state, and struct rk_gpu_copied */
	RK_GPU_MOVE,		    /* u64: device address for what it takes along to another seat */
	RK_GPU_CUT,		    /* struct rk_gpu_cut */
	RK_GPU_REFILL,		    /* struct rk_gpu_refill */
};

enum rk_gpu_phase {
	RK_GPU_EMPTY,
	RK_GPU_DORMANT, /* it takes no messages: RK_MSG_START has not come, or it was paused */
	RK_GPU_STARTING,
	RK_GPU_RUNNING,
	RK_GPU_DRAINING,
	RK_GPU_CLOSING, /* the handler has had its RK_MSG_STOP; outboxes are being closed */
	RK_GPU_DONE,
};

enum rk_gpu_hurry {
	RK_GPU_PATIENT,
	RK_GPU_DRAIN,  /* no hurry: stop once the inboxes are empty */
	RK_GPU_HURRY,  /* stop now; wait for no room */
	RK_GPU_KILL,   /* and do not ask the handler */
	RK_GPU_LET_GO, /* and do not wait for outboxes to take RK_MSG_CLOSED */
	RK_GPU_PAUSE,  /* no hurry: leave the seat as it is; the kernel ends, and is resumed */
};

/* What an empty seat is told when no actor is to come. */
enum rk_gpu_leave {
	RK_GPU_STAY,
	RK_GPU_LEAVE,
};

enum rk_gpu_group { RK_GPU_GROUP_WARP, RK_GPU_GROUP_BLOCK };

/* Where the memory of a ring between GPU actors lies. */
enum rk_gpu_place {
	RK_GPU_GLOBAL,	/* an address that any GPU or host may write */
	RK_GPU_SHARED,	/* an offset in the shared memory of a block of the cluster */
};

/*
 * Where the two ends of a ring are, whose slots lie in the consumer's memory and whose credit in the
 * producer's: apart, in memory of the GPU or of the host; or in this block; or in two blocks of a
 * cluster, and then the other end's is an address in the cluster's shared memory.
 */
enum rk_gpu_shared_by {
	RK_SHARED_NOT,
	RK_SHARED_HERE,
	RK_SHARED_CLUSTER,
};

/**
 * struct rk_gpu_spawn - payload of RK_GPU_SPAWN
 * @state: device address; zeroed by the seat, unless @kept
 * @scratch: device address of struct rk_gpu_scratch (kernels/gpu_actor.cuh)
 * @serial: of this actor, never 0; status and marker carry it
 * @parcel: device address of what it left another seat with, to go on from there; 0: none
 * @state_bytes: a multiple of 16
 * @handler: index in the module's table
 * @group: enum rk_gpu_group
 * @kept: the state is one to go on with: no RK_MSG_START for the handler
 * @tenant: whose it is; 0: nobody's
 */
struct rk_gpu_spawn {
	uint64_t state;
	uint64_t scratch;
	uint64_t serial;
	uint64_t parcel;
	uint32_t state_bytes;
	uint32_t handler;
	uint16_t group;
	uint16_t kept;
	uint32_t tenant;
};

/**
 * struct rk_gpu_grant - payload of RK_GPU_GRANT: what an actor of a tenant may touch, on a CPU too
 * @address: of the device, or of the host
 * @bytes: from there on
 */
struct rk_gpu_grant {
	uint64_t address;
	uint64_t bytes;
};

/**
 * struct rk_gpu_ring - payload of RK_GPU_INBOX and RK_GPU_OUTBOX: where a ring's parts lie
 * @slots: device address, or offset in the consumer's shared memory
 * @credit: device address, or offset in the producer's shared memory
 * @position: of the first message
 * @capacity_log2: slots
 * @place: enum rk_gpu_place
 * @rank: in the cluster, of the block at the other end (RK_GPU_SHARED)
 * @tenant: of the actor at the other end; 0: none
 * @policies: there are some, in @flow
 * @flow: address of struct rk_gpu_flow
 */
struct rk_gpu_ring {
	uint64_t slots;
	uint64_t credit;
	uint64_t position;
	uint32_t capacity_log2;
	uint16_t place;
	uint16_t rank;
	uint32_t tenant;
	uint32_t policies;
	uint64_t flow;
};

/* As enum rk_full. */
enum rk_gpu_full { RK_GPU_WAIT, RK_GPU_DROP_NEWEST, RK_GPU_DROP_OLDEST };

/* As enum rk_drop, by which it counts; and what else becomes of a message. */
enum rk_gpu_fate {
	RK_GPU_FULL,
	RK_GPU_OLD,
	RK_GPU_EXPIRED,
	RK_GPU_SHED,
	RK_GPU_CLOSED,
	RK_GPU_STOPPED,
	RK_GPU_NO_MEMORY,
	RK_GPU_DROPS,
	RK_GPU_NO_OUTBOX = RK_GPU_DROPS,
	RK_GPU_SENT,
	RK_GPU_WAITS,
};

/**
 * struct rk_gpu_flow_counts - what became of the messages of one end of a link
 * @waiting: cells; where there are policies
 * @is_high: RK_MSG_HIGH was the last that its actor was told
 * @dead_lost: dropped, and found no room among the dead letters
 * @dropped: by enum rk_gpu_fate
 */
struct rk_gpu_flow_counts {
	uint64_t waiting;
	uint64_t is_high;
	uint64_t highs;
	uint64_t lows;
	uint64_t dead_lost;
	uint64_t dropped[RK_GPU_DROPS];
};

/**
 * struct rk_gpu_flow - one end of a link, in memory of the host: its policies, which the host writes
 *	before the end is given, and what came of them, which the GPU writes
 * @dead_slots: address of a ring of dead letters; 0: none are kept
 * @dead_credit: address
 * @dead_capacity_log2: slots
 * @full: enum rk_gpu_full
 * @backlog: cells that may wait, with RK_GPU_DROP_OLDEST
 * @high_slots: the link holds as many: it is high; 0: nobody wants to know
 * @low_slots: it is not any more
 * @unused: 0
 */
struct rk_gpu_flow {
	uint64_t dead_slots;
	uint64_t dead_credit;
	uint32_t dead_capacity_log2;
	uint32_t full;
	uint32_t backlog;
	uint32_t high_slots;
	uint32_t low_slots;
	uint32_t unused;
	struct rk_gpu_flow_counts counts;
};

/* Front of a dead letter in its ring; the message follows as it was. rk_msg.tag: enum rk_gpu_fate */
enum { RK_DEAD_FRONT = RK_MSG_USER };

struct rk_dead_front {
	uint64_t time_ns; /* CLOCK_REALTIME: when it was dropped */
	uint32_t slots;	  /* of the message */
};

/**
 * struct rk_gpu_clock_line - what time it is, as the host last said: by so much it is late, at most,
 *	as the host says it seldom, and never early
 * @monotonic_ns: CLOCK_MONOTONIC
 * @realtime_ns: CLOCK_REALTIME
 */
struct rk_gpu_clock_line {
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
};

/**
 * struct rk_gpu_seat - one seat's part of the region that the host writes and the GPU polls
 * @control: ring of control messages; its credit lies in struct rk_gpu_status
 * @word: what the host has to say: control messages ever sent (written after them), the serial of
 *	the actor that @hurry is about, enum rk_gpu_hurry: rk_gpu_word(). Read alone by the seat's
 *	actor, and with @leave by an empty seat
 * @leave: enum rk_gpu_leave, for an empty seat
 */
struct rk_gpu_seat {
	struct rk_slot control[RK_GPU_CONTROL_SLOTS];
	uint64_t word;
	uint64_t leave;
	uint64_t pad[6];
};

/**
 * struct rk_gpu_marker - where a seat is, for the host to read after a fault
 * @inside: serial of the actor whose handler runs; 0 none
 */
struct rk_gpu_marker {
	uint64_t inside;
	uint64_t pad[7];
};

/**
 * struct rk_gpu_counters - as struct rk_actor_info counts
 */
struct rk_gpu_counters {
	uint64_t received;
	uint64_t received_slots;
	uint64_t sent;
	uint64_t sent_slots;
	uint64_t dropped_no_outbox;
	uint64_t dropped_closed;
	uint64_t dropped_bad;
	uint64_t dropped_stopped;
	uint64_t dropped_full;
	uint64_t dropped_old;
	uint64_t dropped_expired;
	uint64_t refused;
	uint64_t restarts;
};

/**
 * struct rk_gpu_copied - what is written behind a state that RK_GPU_COPY asked for
 * @counters: as they were then
 * @sound: it had had its RK_MSG_START: the state is one to go on with
 */
struct rk_gpu_copied {
	struct rk_gpu_counters counters;
	uint64_t sound;
};

/**
 * struct rk_gpu_cut - payload of RK_GPU_CUT: an actor's part of a snapshot, see kernels/gpu_cut.cuh
 * @at: device address for its state, struct rk_gpu_copied and struct rk_gpu_ends; 0: give up
 * @epoch: which snapshot: markers carry it
 * @inboxes: bit i: a marker will come in inbox i
 * @outboxes: bit i: one is sent to outbox i
 */
struct rk_gpu_cut {
	uint64_t at;
	uint32_t epoch;
	uint32_t inboxes;
	uint32_t outboxes;
	uint32_t pad;
};

/**
 * struct rk_gpu_ends - what is written behind struct rk_gpu_copied for a snapshot, in slots
 * @received: handled, of each inbox
 * @sent: to each outbox, with what waits for room
 */
struct rk_gpu_ends {
	uint64_t received[RK_GPU_LINKS];
	uint64_t sent[RK_GPU_LINKS];
};

/**
 * struct rk_gpu_refill - payload of RK_GPU_REFILL: messages that were in flight wait to be sent again
 * @count: cells, RK_GPU_LONG_CELLS at most, at RK_GPU_OUTGOING_AT of its scratch
 * @outbox: for which
 */
struct rk_gpu_refill {
	uint32_t count;
	uint32_t outbox;
};

/**
 * struct rk_gpu_status - one seat's part of the host memory that the GPU writes
 * @consumed: credit of the control ring
 * @closed: of the control ring; always 0
 * @beat: counts up, some ten thousand times a second, while the seat's warp comes round
 * @serial: of the actor that the following words are about
 * @phase: enum rk_gpu_phase
 * @gpu_ns: global timer when the seat last answered RK_MSG_PROBE
 * @probe: tag of that probe
 * @place: SM the warp runs on, plus 1
 * @obeyed: serial << 32 | control messages that the actor has obeyed
 * @counters: of the actor
 * @cut: serial << 32 | epoch of the last snapshot that its part of is done, or given up
 */
struct rk_gpu_status {
	uint64_t consumed;
	uint64_t closed;
	uint64_t beat;
	uint64_t serial_phase; /* serial << 8 | enum rk_gpu_phase */
	uint64_t gpu_ns;
	uint64_t probe;
	uint64_t place;
	uint64_t obeyed;
	struct rk_gpu_counters counters;
	uint64_t cut;
	uint64_t pad[2];
};

/**
 * struct rk_gpu_params - argument of the persistent kernel; all device addresses
 * @seats: struct rk_gpu_seat, one for each warp of the grid
 * @markers: struct rk_gpu_marker, likewise
 * @status: struct rk_gpu_status, likewise
 * @nap_ns: how long an empty seat sleeps between two looks: a spawn waits for it, a busy neighbour
 *	gains, and so does the bus where seats lie in memory of the host
 * @clock: struct rk_gpu_clock_line
 * @image: where blocks leave their shared memory when they end, one behind the other
 * @image_bytes: of each; a multiple of 16
 * @resume: take it up again from there
 */
struct rk_gpu_params {
	uint64_t seats;
	uint64_t markers;
	uint64_t status;
	uint64_t nap_ns;
	uint64_t clock;
	uint64_t image;
	uint32_t image_bytes;
	uint32_t resume;
};

RK_STATIC_ASSERT(sizeof(struct rk_gpu_spawn) <= RK_MSG_BODY_BYTES, "one cell");
RK_STATIC_ASSERT(sizeof(struct rk_gpu_ring) <= RK_MSG_BODY_BYTES, "one cell");
RK_STATIC_ASSERT(sizeof(struct rk_gpu_flow) % 8 == 0, "read and written by words");
RK_STATIC_ASSERT(sizeof(struct rk_gpu_seat) == 65 * 64, "a seat is its control ring and a line");
RK_STATIC_ASSERT(sizeof(struct rk_gpu_status) == 192, "three lines");
RK_STATIC_ASSERT(offsetof(struct rk_gpu_status, gpu_ns) % 16 == 0, "stored with @probe at once");
RK_STATIC_ASSERT(offsetof(struct rk_gpu_seat, word) % 16 == 0, "loaded with @leave at once");

/* Whether the @bytes at @address are part of @grant. */
RK_HD int rk_gpu_grants(const struct rk_gpu_grant *grant, uint64_t address, uint64_t bytes)
{
	/* What lies before it is, unsigned, far behind its end. */
	uint64_t offset = address - grant->address;

	return offset <= grant->bytes && bytes <= grant->bytes - offset;
}

RK_HD uint64_t rk_gpu_word(uint64_t told, uint64_t serial, uint32_t hurry)
{
	return told << 32 | (serial & 0xffffff) << 8 | hurry;
}

#endif
