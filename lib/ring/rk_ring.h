/* SPDX-License-Identifier: MIT */
/*
 * rk_ring.h - a lock-free ring for one producer and one consumer.
 *
 * Slots live with the consumer, credits live with the producer; writes cross the bus, reads
 * never do. A slot validates itself (rk_slot.h), so sending a message is storing its slots and
 * receiving one is polling the next slot: no index is shared and the data path has no fence.
 * The consumer hands slots back by one count, the credit, at most once per 1/8 ring or when idle.
 *
 *   memory of a ring      page 0            page 1            page 2          page 3 ...
 *   (rk_ring_format)      header            credit line       wake words      slots
 *   written by            creator, once     consumer          both            producer (+ touch)
 *
 * Contract: at most one thread at a time uses a struct rk_ring_tx, and one a struct rk_ring_rx;
 * a ring has one of each. Send and receive are wait-free, make no system call, allocate nothing.
 * Full and empty are not errors. Whatever comes from the other side is checked before it is
 * believed; a bad value closes the ring with a reason and nothing is read or written outside it.
 *
 * Death: a message is there wholly or not at all, also when its producer is killed half way. A
 * new producer takes over where the dead one stopped (rk_ring_tx_open). A new consumer begins at
 * the last credit, so it sees again at most what followed it; one that recorded its position
 * (rk_ring_rx_position) begins exactly there.
 *
 * Where the two sides are not one memory (a GPU, another host), each part lies where the law puts
 * it, and rk_ring_place() is told: slots with the consumer, credit with the producer. What is far
 * is written through a write-combined mapping and never read, for a read crosses the bus.
 *
 * The only ordered pair is the credit:
 *   R1  rk_ring_rx_credit(): store-release of the count, after the slots were read and touched.
 *   A1  rk_ring_tx_refill(): load-acquire of the count, before the slots are written again.
 * and, where messages lead to something that is lent, what a consumer has forgotten:
 *   R31 rk_ring_rx_forget(): store-release, after all that was lent was read.
 *   A31 rk_ring_tx_forgotten(): load-acquire, before it is written again.
 */
#ifndef RK_RING_H
#define RK_RING_H

#include "rk_base.h"
#include "rk_msg.h"
#include "rk_wake.h"
#include "ring/rk_codec.h"
#include "ring/rk_slot.h"

#define RK_RING_MAGIC 0x31474e4952534b52ULL /* "RKSRING1" */
#define RK_RING_LAYOUT 1
#define RK_RING_PAGES 3 /* header, credit, wake; then the slots */
#define RK_RING_MIN_CAPACITY 2
#define RK_RING_MAX_CAPACITY (1ULL << 31)
#define RK_RING_NAME_BYTES 64

enum rk_role {
	RK_ROLE_PRODUCER = 0,
	RK_ROLE_CONSUMER = 1,
};

/* Page 0. Written once by the creator; each side copies it once and checks it. */
struct rk_ring_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t header_bytes;
	uint64_t capacity; /* slots; a power of two */
	uint64_t start_position;
	uint64_t total_bytes; /* of the whole memory */
	uint32_t slot_bytes;
	uint32_t page_bytes;
	char name[RK_RING_NAME_BYTES];
};

/* Page 1. Written by the consumer alone, in the producer's near memory where the two differ. */
struct rk_ring_credit {
	uint64_t consumed; /* position up to which slots are free again; R1, A1 */
	uint64_t closed;   /* enum rk_close, by the consumer; relaxed: it publishes nothing else */
	uint64_t forgotten; /* position up to which it has begun anew since; R31, A31 */
} __attribute__((aligned(RK_CACHE_LINE_BYTES)));

/*
 * Page 2. One line each, so that one side's sleep does not disturb the other. The last line tells
 * which end lies in a process that membarrier(2) does not reach: whoever sleeps at the other end
 * then naps. Written when an end is attached, read before a sleep.
 */
struct rk_ring_sleep {
	uint32_t consumer __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	uint32_t producer __attribute__((aligned(RK_CACHE_LINE_BYTES)));
	uint32_t unguarded[2] __attribute__((aligned(RK_CACHE_LINE_BYTES))); /* by enum rk_role */
};

RK_STATIC_ASSERT(sizeof(struct rk_ring_header) == 112, "ring header layout 1");
RK_STATIC_ASSERT(offsetof(struct rk_ring_header, name) == 48, "ring header layout 1");
RK_STATIC_ASSERT(offsetof(struct rk_ring_credit, closed) == 8, "credit line layout 1");
RK_STATIC_ASSERT(offsetof(struct rk_ring_credit, forgotten) == 16, "credit line layout 1");
RK_STATIC_ASSERT(offsetof(struct rk_ring_sleep, producer) == 64, "wake page layout 1");
RK_STATIC_ASSERT(offsetof(struct rk_ring_sleep, unguarded) == 128, "wake page layout 1");

/**
 * struct rk_ring - where the parts of a ring lie, as seen from this side
 * @slots: the consumer's memory
 * @credit: the producer's memory
 * @sleep: words that tell who sleeps
 * @start_position: position of the first message ever sent
 * @capacity_log2: of the number of slots
 * @device: the other end is no CPU: as in struct rk_ring_parts, and so the next two
 * @slots_far: across a bus
 * @credit_far: across a bus
 * @name: for messages to people
 */
struct rk_ring {
	struct rk_slot *slots;
	struct rk_ring_credit *credit;
	struct rk_ring_sleep *sleep;
	uint64_t start_position;
	uint32_t capacity_log2;
	bool device;
	bool slots_far;
	bool credit_far;
	char name[RK_RING_NAME_BYTES];
};

/**
 * struct rk_ring_parts - the memory of a ring whose parts lie apart
 * @size: sizeof(struct rk_ring_parts)
 * @slots: the consumer's: capacity times RK_SLOT_BYTES, aligned to a line
 * @credit: the producer's: sizeof(struct rk_ring_credit), aligned to a line
 * @sleep: of the host: sizeof(struct rk_ring_sleep), aligned to a line
 * @slots_far: across a bus from this side, mapped write-combined: written, never read
 * @credit_far: the same of @credit
 * @device: the other end is no CPU: it wakes nobody, so waits here are cut to RK_WAKE_NAP_NS, and
 *          a line that it writes is not touched
 */
struct rk_ring_parts {
	size_t size;
	void *slots;
	void *credit;
	void *sleep;
	bool slots_far;
	bool credit_far;
	bool device;
};

/**
 * struct rk_ring_tx - the producer's end; fields are private to lib/ring
 * @slot: the next slot to write
 * @limit: the first slot not known to be free, or the end of the lap
 * @tag: the lap's tag in the top byte
 * @limit_position: position of @limit
 * @credit: the last credit believed
 * @closed: enum rk_close; set when the ring takes no more messages
 * @padded_slots: slots this end filled with RK_MSG_PAD when it took over
 * @max_slots: of one message: half the ring, at most RK_MSG_MAX_SLOTS
 */
struct rk_ring_tx {
	struct rk_slot *slot;
	struct rk_slot *limit;
	uint64_t tag;
	uint64_t limit_position;
	struct rk_slot *slots;
	const struct rk_ring_credit *credit_line;
	const struct rk_codec *codec;
	uint64_t credit;
	uint64_t closed;
	uint64_t padded_slots;
	uint32_t capacity_log2;
	uint32_t max_slots;
	struct rk_wake consumer; /* whom to wake after sending */
	struct rk_wake self;	 /* where this end sleeps when full */
	const uint32_t *peer_unguarded;
};

/**
 * struct rk_ring_rx - the consumer's end; fields are private to lib/ring
 * @slot: the next slot to read
 * @limit: where the lap ends or credit falls due
 * @tag: the lap's tag in the top byte
 * @limit_position: position of @limit
 * @credited: the last credit given
 * @closed: enum rk_close; set by RK_MSG_CLOSED or a bad message
 * @padded_slots: slots of RK_MSG_PAD skipped
 * @credit_due: slots after which credit is given: 1/8 ring
 * @touch: rewrite a word of each slot read (coherent memory)
 * @credit_far: flush the credit after storing it
 * @untouched: the slot that rk_ring_recv() read last; touched at its next call, or before credit,
 *             so that an answer sent in between need not wait for that store
 */
struct rk_ring_rx {
	struct rk_slot *slot;
	struct rk_slot *limit;
	uint64_t tag;
	uint64_t limit_position;
	struct rk_slot *slots;
	struct rk_ring_credit *credit_line;
	const struct rk_codec *codec;
	uint64_t credited;
	uint64_t closed;
	uint64_t padded_slots;
	uint64_t credit_due;
	uint32_t capacity_log2;
	uint32_t max_slots;
	bool touch;
	bool credit_far;
	struct rk_slot *untouched;
	struct rk_wake producer; /* whom to wake after giving credit */
	struct rk_wake self;	 /* where this end sleeps when empty */
	const uint32_t *peer_unguarded;
};

/**
 * struct rk_ring_rx_opts - how to open the consumer's end; zero is the default
 * @size: sizeof(struct rk_ring_rx_opts)
 * @no_touch: do not rewrite a word of each slot (memory that a device polls or owns)
 * @resume: begin at @position instead of the last credit
 * @position: as told by rk_ring_rx_position() to an earlier consumer of this ring
 */
struct rk_ring_rx_opts {
	size_t size;
	bool no_touch;
	bool resume;
	uint64_t position;
};

RK_BEGIN_DECLS

/**
 * rk_ring_bytes() - memory that a ring needs
 * @capacity: slots, a power of two from RK_RING_MIN_CAPACITY to RK_RING_MAX_CAPACITY
 *
 * Context: any thread; never sleeps.
 * Return: bytes: the slots and three pages; 0 if @capacity is not allowed.
 */
RK_API size_t rk_ring_bytes(uint64_t capacity);

/**
 * rk_ring_format() - lay a new ring into memory
 * @ring: where the parts lie, out
 * @memory: at least rk_ring_bytes(@capacity), aligned to a page
 * @bytes: of @memory
 * @capacity: slots
 * @start_position: 0; other values are for tests of wrap-around
 * @name: cut to RK_RING_NAME_BYTES - 1 bytes
 *
 * Context: any thread, before anyone else sees @memory; never sleeps.
 * Owner: the memory stays the caller's and must outlive both ends.
 * Return: 0; -EINVAL for a capacity, size or alignment that does not fit, said in rk_errmsg().
 */
RK_API int rk_ring_format(struct rk_ring *ring, void *memory, size_t bytes, uint64_t capacity,
			  uint64_t start_position, const char *name);

/**
 * rk_ring_place() - lay a new ring into parts that lie apart
 * @ring: where the parts lie, as seen from here, out
 * @parts: the memory of each
 * @capacity: slots
 * @start_position: 0; other values are for tests of wrap-around
 * @name: cut to RK_RING_NAME_BYTES - 1 bytes
 *
 * There is no header: whoever places the ring tells the other side where its parts are. All parts
 * are written, none is read, and all is on the bus before anything that is stored after.
 *
 * Context: any thread, before anyone else sees the memory; never sleeps.
 * Owner: the memory stays the caller's and must outlive both ends.
 * Return: 0; -EINVAL for a capacity, a part or an alignment that does not fit, said in rk_errmsg().
 */
RK_API int rk_ring_place(struct rk_ring *ring, const struct rk_ring_parts *parts, uint64_t capacity,
			 uint64_t start_position, const char *name);

/**
 * rk_ring_attach() - find the parts of a ring that someone else formatted
 * @ring: where the parts lie, out
 * @memory: mapped, aligned to a page
 * @bytes: of @memory; what lies beyond is never touched
 *
 * Believes nothing: every field is copied once and checked against @bytes and against this
 * library's layout.
 *
 * Context: any thread; never sleeps.
 * Return: 0; -EPROTO for a wrong magic, layout, size or capacity, said in rk_errmsg();
 * -EINVAL for @memory not aligned.
 */
RK_API int rk_ring_attach(struct rk_ring *ring, const void *memory, size_t bytes);

/**
 * rk_ring_tx_open() - become the producer of a ring
 * @tx: out
 * @ring: the parts
 *
 * On a ring that had a producer before, this one goes on after the last whole message; slots of a
 * message that the former producer left unfinished are closed off as RK_MSG_PAD. Positions count
 * slots, padding included: to know which message was the last, number them yourself (rk_msg.tag).
 * A ring whose slots are far has one producer only, which begins at the start and reads none.
 *
 * Context: one thread, no other producer alive; never sleeps. At most a scan of the ring.
 * Return: 0; -EPROTO when the slots contradict each other, or are far and the ring is not new; said
 * in rk_errmsg().
 */
RK_API int rk_ring_tx_open(struct rk_ring_tx *tx, const struct rk_ring *ring);

/**
 * rk_ring_tx_pass() - go on behind what another wrote into the ring
 * @tx: the producer's end
 * @position: behind its last message; the slots from there on hold nothing of this lap
 * @closed: enum rk_close, if that message closed the ring; else 0
 *
 * Context: the producer's thread, when the other writes no more; wait-free, never sleeps.
 */
RK_API void rk_ring_tx_pass(struct rk_ring_tx *tx, uint64_t position, uint64_t closed);

/**
 * rk_ring_rx_open() - become the consumer of a ring
 * @rx: out
 * @ring: the parts
 * @opts: NULL for the default
 *
 * A credit that is far is not read: the consumer begins at the start, or where @opts resumes, and
 * then gives credit for all before.
 *
 * Context: one thread, no other consumer alive; never sleeps.
 * Return: 0; -EINVAL for a position that is not within the ring or a wrong @opts->size, said in
 * rk_errmsg().
 */
RK_API int rk_ring_rx_open(struct rk_ring_rx *rx, const struct rk_ring *ring,
			   const struct rk_ring_rx_opts *opts);

/**
 * rk_ring_send_batch() - send many messages
 * @tx: the producer's end
 * @cells: messages one after the other, each of @slots cells; aligned to 8 bytes
 * @count: cells
 *
 * Sends whole messages in order for as long as there is room.
 *
 * Context: the producer's thread; wait-free, never sleeps.
 * Return: cells sent; -EMSGSIZE when the first unsent message has no slots, more slots than half
 * the ring, or more than @cells hold; -EINVAL when it has unknown flags.
 */
RK_API int rk_ring_send_batch(struct rk_ring_tx *tx, const void *cells, uint32_t count);

/**
 * rk_ring_recv_batch() - receive many messages
 * @rx: the consumer's end
 * @cells: room for them; aligned to 8 bytes
 * @count: cells of room
 *
 * Context: the consumer's thread; wait-free, never sleeps.
 * Return: cells received, whole messages only; 0 when none is there;
 * -EMSGSIZE when the next message needs more than @count cells: it stays.
 */
RK_API int rk_ring_recv_batch(struct rk_ring_rx *rx, void *cells, uint32_t count);

/**
 * rk_ring_close() - say that nothing more will be sent
 * @tx: the producer's end
 * @reason: enum rk_close, or the user's from RK_CLOSE_USER up; 0 is RK_CLOSE_DONE
 *
 * The consumer receives RK_MSG_CLOSED after all that was sent before. That message stays in the
 * ring for good: a later consumer receives it too, a later producer is refused.
 *
 * Context: the producer's thread; wait-free, never sleeps.
 * Return: 1 when sent, or when the ring is closed already; 0 when full: try again.
 */
RK_API int rk_ring_close(struct rk_ring_tx *tx, uint64_t reason);

/**
 * rk_ring_refuse() - say that nothing more will be received
 * @rx: the consumer's end
 * @reason: enum rk_close, or the user's from RK_CLOSE_USER up; 0 is RK_CLOSE_STOPPED
 *
 * The producer learns it when it next runs out of credit. What is in the ring stays there.
 *
 * Context: the consumer's thread; wait-free, never sleeps.
 */
RK_API void rk_ring_refuse(struct rk_ring_rx *rx, uint64_t reason);

/**
 * rk_ring_tx_free() - slots that can be written now
 * @tx: the producer's end
 *
 * Context: the producer's thread; wait-free. Looks at the credit.
 * Return: slots; 0 when full or closed.
 */
RK_API uint64_t rk_ring_tx_free(struct rk_ring_tx *tx);

/**
 * rk_ring_rx_credit() - give back now all that was received
 * @rx: the consumer's end
 *
 * Receiving does this by itself in time; call it before a long pause.
 *
 * Context: the consumer's thread; wait-free.
 */
RK_API void rk_ring_rx_credit(struct rk_ring_rx *rx);

/**
 * rk_ring_wait_recv() - wait until a slot has arrived
 * @rx: the consumer's end
 * @timeout_ns: at most this long; 0 only looks
 *
 * Looks for a while, then sleeps; whoever sends wakes it.
 *
 * Context: the consumer's thread; sleeps.
 * Return: 1 when a slot is there; 0 after @timeout_ns; -EPIPE when the ring is closed.
 */
RK_API int rk_ring_wait_recv(struct rk_ring_rx *rx, uint64_t timeout_ns);

/**
 * rk_ring_wait_send() - wait until there is room
 * @tx: the producer's end
 * @slots: of room
 * @timeout_ns: at most this long; 0 only looks
 *
 * Looks for a while, then sleeps; the consumer's credit wakes it.
 *
 * Context: the producer's thread; sleeps.
 * Return: 1 when there is room; 0 after @timeout_ns; -EPIPE when the ring is closed;
 * -EMSGSIZE when the ring never has so much room.
 */
RK_API int rk_ring_wait_send(struct rk_ring_tx *tx, uint64_t slots, uint64_t timeout_ns);

/* Out of line parts of the functions below. */
RK_API uint64_t rk_ring_tx_refill(struct rk_ring_tx *tx);
RK_API int rk_ring_send_long(struct rk_ring_tx *tx, const struct rk_msg *msg);
RK_API bool rk_ring_rx_turn(struct rk_ring_rx *rx);
RK_API int rk_ring_recv_rest(struct rk_ring_rx *rx, struct rk_msg *msg, uint32_t count);

RK_END_DECLS

/* Slots sent since the ring was formatted; @padded_slots of them void. */
static inline uint64_t rk_ring_tx_position(const struct rk_ring_tx *tx)
{
	return tx->limit_position - (uint64_t)(tx->limit - tx->slot);
}

/*
 * Slots received since the ring was formatted; where a later consumer may resume. To be exact,
 * record it after each receive, also one that returned 0: that may have skipped padding, and the
 * next receive gives back what this position covers.
 */
static inline uint64_t rk_ring_rx_position(const struct rk_ring_rx *rx)
{
	return rx->limit_position - (uint64_t)(rx->limit - rx->slot);
}

/*
 * Tell the producer that what was received up to @position is forgotten: who received it began anew.
 * It holds nothing any more that was lent to it by those messages.
 */
static inline void rk_ring_rx_forget(struct rk_ring_rx *rx, uint64_t position)
{
	/* R31 */
	__atomic_store_n(&rx->credit_line->forgotten, position, __ATOMIC_RELEASE);
}

/* Whether the message that was sent at @position was received and is forgotten. */
static inline bool rk_ring_tx_forgotten(const struct rk_ring_tx *tx, uint64_t position)
{
	/* A31 */
	return (int64_t)(__atomic_load_n(&tx->credit_line->forgotten, __ATOMIC_ACQUIRE) -
			 position) > 0;
}

/* First four bytes of a message: type, flags, slots. */
static inline uint32_t rk_ring_head(const struct rk_msg *msg)
{
	uint32_t head;

	memcpy(&head, msg, sizeof(head));
	return head;
}

/* One slot and no unknown flag: true for almost every message. */
static inline bool rk_ring_head_is_short(uint32_t head)
{
	return (head & (0xff000000U | (0xffU & ~RK_MSG_F_ALL) << 16)) == 0x01000000U;
}

/**
 * rk_ring_send() - send one message
 * @tx: the producer's end
 * @msg: @msg->slots cells; copied
 *
 * Context: the producer's thread; wait-free, never sleeps.
 * Return: slots sent; 0 when there is no room or the ring is closed (@tx->closed says why);
 * -EMSGSIZE when @msg->slots is 0 or more than half the ring; -EINVAL for unknown flags.
 */
static inline int rk_ring_send(struct rk_ring_tx *tx, const struct rk_msg *msg)
{
	struct rk_slot *slot = tx->slot;

	if (rk_unlikely(!rk_ring_head_is_short(rk_ring_head(msg))))
		return rk_ring_send_long(tx, msg);
	if (rk_unlikely(slot == tx->limit)) {
		if (!rk_ring_tx_refill(tx))
			return 0;
		slot = tx->slot;
	}
#ifdef RK_CODEC_INLINE_AVX512
	rk_slot_store_fresh_avx512(slot, tx->tag, msg);
#else
	tx->codec->pack(slot, tx->tag, msg, 1);
#endif
	rk_wake_up(&tx->consumer);
	/* Last, behind the compiler barriers: in a loop it can then stay in a register. */
	tx->slot = slot + 1;
	return 1;
}

/**
 * rk_ring_recv() - receive one message
 * @rx: the consumer's end
 * @msg: room for it
 * @count: cells of room, at least 1; @rx->max_slots is always enough
 *
 * What was received is given back to the producer at a later call, so a message is still in the
 * ring if the consumer dies while it works on it.
 *
 * Context: the consumer's thread; wait-free, never sleeps.
 * Return: cells received; 0 when none is there or the ring is closed (@rx->closed says why);
 * -EMSGSIZE when the next message needs more than @count cells: it stays.
 */
static inline int rk_ring_recv(struct rk_ring_rx *rx, struct rk_msg *msg, uint32_t count)
{
	struct rk_slot *slot = rx->slot;
	uint32_t head;

	if (rk_likely(rx->untouched != NULL))
		rk_slot_touch(rx->untouched);
	if (rk_unlikely(slot == rx->limit)) {
		if (!rk_ring_rx_turn(rx))
			return 0;
		slot = rx->slot;
	}
#ifdef RK_CODEC_INLINE_AVX512
	if (!rk_slot_load_avx512(slot, rx->tag, msg)) {
#else
	if (!rx->codec->unpack(slot, rx->tag, msg, 1, false)) {
#endif
		if (rk_unlikely(rk_ring_rx_position(rx) != rx->credited))
			rk_ring_rx_credit(rx);
		return 0;
	}
	head = rk_ring_head(msg);
	if (rk_unlikely(!rk_ring_head_is_short(head) || (uint16_t)head <= RK_MSG_CLOSED))
		return rk_ring_recv_rest(rx, msg, count);
	/* Last, as in rk_ring_send(). */
	rx->untouched = rx->touch ? slot : NULL;
	rx->slot = slot + 1;
	return 1;
}

#endif
