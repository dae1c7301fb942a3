/* SPDX-License-Identifier: MIT */
/*
 * cpu_flow.h - the two ends of a link as its policies see them; private.
 *
 * Each half is written by the worker at that end alone, and read by anyone: relaxed. Nothing of
 * this lies on the way of a message that finds room and has no deadline.
 *
 * Drop oldest is the sender's own doing. The producer of a ring cannot take back what it has
 * written: those slots live with the consumer, who may be reading them. A word by which it asked
 * the consumer to skip would cost every receive a look at it, and would not help while the consumer
 * is busy: the newest would have to wait at the sender all the same, for the credit. So what finds
 * no room waits here, as always, but bounded, and the oldest of that goes.
 */
#ifndef RK_BACKENDS_CPU_FLOW_H
#define RK_BACKENDS_CPU_FLOW_H

#include "gpu_layout.h"
#include "ring/rk_ring.h"
#include "rk_flow.h"

struct rk_ctx;
struct cpu_outbox;

/* The worker's end of a ring of dead letters; the host's is in lib/dead_letter.c. */
struct cpu_dead {
	struct rk_ring_tx tx;
	bool open;
	uint64_t lost; /* found no room */
};

/**
 * struct cpu_flow_out - of the sender
 * @full: policy
 * @backlog: cells that may wait, with RK_FULL_DROP_OLDEST
 * @high_slots: the link holds as many: it is high; 0: nobody wants to know
 * @low_slots: it is not any more
 * @is_high: which of the two its actor was told last
 * @waiting: cells that wait
 * @room: cells allocated for them; grows, never shrinks
 * @pinned: cells of the outbox up to the last message that the runtime sent for itself
 * @dropped: by enum rk_drop
 */
struct cpu_flow_out {
	enum rk_full full;
	uint32_t backlog;
	uint64_t high_slots;
	uint64_t low_slots;
	uint32_t is_high;
	uint64_t highs;
	uint64_t lows;
	uint64_t waiting;
	uint32_t room;
	uint32_t pinned;
	uint64_t dropped[RK_DROP_REASONS];
	struct cpu_dead dead;
};

/**
 * struct cpu_flow_in - of the receiver
 * @share_slots: that it takes in one turn, before it looks at its other inboxes
 * @share_messages: the same; of the two, one is not 0 where the link has a share
 * @unused_slots: of its shares, because its next message is longer
 * @shed_at: level from which what comes here is shed; 0: never
 * @expired: messages that came too late
 * @shed: messages that were shed
 */
struct cpu_flow_in {
	uint32_t share_slots;
	uint32_t share_messages;
	uint32_t unused_slots;
	uint32_t shed_at;
	uint64_t expired;
	uint64_t shed;
	struct cpu_dead dead;
};

/**
 * struct cpu_pace - how fast an actor may take messages
 * @slots_per_s: 0: as fast as it can
 * @left_slots: that it may take now; a turn is begun with one left, so it may be below 0 after
 * @counted_ns: up to when what it has earned is in @left_slots
 * @waits: at the last poll it would have taken more
 */
struct cpu_pace {
	uint32_t slots_per_s;
	int64_t left_slots;
	uint64_t counted_ns;
	bool waits;
};

/* Letters that are sent again: the host's until it is told, then the worker's until it has obeyed.
 */
struct cpu_replay {
	struct rk_ring_tx *tx;
	struct rk_msg **msgs;
	uint32_t count;
	uint32_t sent;
	int failed; /* -EPIPE: the link is closed; -EMSGSIZE: it takes none so long */
};

/* A message has found no room, or an outbox that is closed. 1 when it waits, 0 when it is dropped.
 */
int cpu_flow_no_room(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg);

/* Put a message behind those that wait already; 0 when there is no memory, and it is dropped. */
int cpu_flow_append(struct rk_ctx *ctx, struct cpu_outbox *box, const struct rk_msg *msg);

/* More waits, or less: for whoever looks at the link. */
void cpu_flow_note_waiting(struct cpu_outbox *box);

/* Drop all that waits, but for the runtime's own messages, which are of use no more. */
void cpu_flow_drop_waiting(struct rk_ctx *ctx, struct cpu_outbox *box, enum rk_drop why);

/* Whether @msg has a deadline that is over; then it is counted, and a dead letter where wanted. */
bool cpu_flow_is_late(struct cpu_flow_in *flow, const struct rk_msg *msg);

/* @msg is shed: it is counted, and a dead letter where wanted. */
void cpu_flow_shed(struct cpu_flow_in *flow, const struct rk_msg *msg);

/*
 * Take a turn at an inbox that has a share: cells received; 0 when none is there; -EMSGSIZE when
 * the next message is longer than its share yet, so that it has to wait for another turn.
 */
int cpu_flow_take(struct cpu_flow_in *flow, struct rk_ring_rx *rx, struct rk_msg *cells,
		  uint32_t room);

/* The next level of outbox @index that its actor is to hear of: RK_MSG_HIGH, RK_MSG_LOW, or false.
 */
bool cpu_flow_crossed(struct cpu_outbox *box, uint32_t index, struct rk_msg *event);

/* Whether it has to wait before it takes more; and until when, if it waits. */
bool cpu_pace_holds(struct cpu_pace *pace);
uint64_t cpu_pace_due_ns(const struct cpu_pace *pace);

/* Send letters again for as long as there is room: by CPU_CALL, and on a thread of the host. */
void cpu_replay(struct rk_ctx *actor, void *order);
void cpu_replay_here(struct cpu_replay *order);

#endif
