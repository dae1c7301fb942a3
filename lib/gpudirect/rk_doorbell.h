/* SPDX-License-Identifier: MIT */
/*
 * rk_doorbell.h - a store that wakes a sleeper, in another process or thread, or from a device.
 *
 * The sleeper makes bells; a page of them is shared with whoever rings. Each ringer of a bell has a
 * word of its own in it, in which it counts its rings: rk_ringer_ring() is one store and no system
 * call. The module watches the bells that somebody waits for and signals an eventfd; however many
 * rings there were, that is one wake, and the wait returns how many. None is ever lost.
 *
 * Bells also tell of a dead peer: link the two ends of a ring by a token both know.
 */
#ifndef RK_DOORBELL_H
#define RK_DOORBELL_H

#include "rk_base.h"
#include "rk_wake.h"

#define RK_DOORBELL_RINGERS 7 /* of one bell */

/* What a wait may learn besides rings; values of the module. */
enum rk_doorbell_news {
	RK_DOORBELL_NO_NEWS = 0,
	RK_DOORBELL_PEER_CAME = 1,
	RK_DOORBELL_PEER_LEFT = 2,
	RK_DOORBELL_PEER_DEAD = 3,
};

struct rk_doorbells;

/**
 * struct rk_ringer - the right to ring a bell
 * @word: of this ringer alone
 * @rings: rings so far
 */
struct rk_ringer {
	uint64_t *word;
	uint64_t rings;
};

RK_BEGIN_DECLS

/**
 * rk_doorbells_open() - make bells
 * @bells: out
 * @count: 1 to 4096
 *
 * Context: any thread; sleeps.
 * Owner: rk_doorbells_close() frees @bells. They belong to this process: a child cannot use them.
 * Return: 0; -ENOENT or -EACCES without the module; -EDQUOT; -EINVAL; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_doorbells_open(struct rk_doorbells **bells, uint32_t count);

/**
 * rk_doorbells_attach() - map the bells of another process, to ring them
 * @bells: out
 * @fd: as made by rk_doorbells_export(); stays the caller's and may be closed at once
 *
 * Context: any thread; sleeps.
 * Owner: rk_doorbells_close() frees @bells. They stay rung without effect when the owner is gone.
 * Return: 0; -EINVAL for a descriptor that is no dma-buf of bells; -ENOMEM; said in rk_errmsg().
 */
RK_API int rk_doorbells_attach(struct rk_doorbells **bells, int fd);

/**
 * rk_doorbells_export() - a descriptor of one's own bells for whoever rings
 * @bells: made by rk_doorbells_open()
 *
 * Context: any thread; sleeps.
 * Owner: the caller closes the descriptor; send it by SCM_RIGHTS.
 * Return: the descriptor; -EOPNOTSUPP for attached bells; -EMFILE; said in rk_errmsg().
 */
RK_API int rk_doorbells_export(const struct rk_doorbells *bells);

/**
 * rk_doorbells_close() - give bells up
 * @bells: or NULL
 *
 * Context: any thread, when nobody waits for or rings them; sleeps.
 */
RK_API void rk_doorbells_close(struct rk_doorbells *bells);

/**
 * rk_ringer_init() - take a word of a bell
 * @ringer: out
 * @bells: own or attached
 * @index: which bell
 * @word: 0 to RK_DOORBELL_RINGERS - 1; one ringer each
 *
 * Goes on counting where a former ringer of that word stopped.
 *
 * Context: any thread; never sleeps. @bells must outlive @ringer.
 * Return: 0; -EINVAL for an index or word that is not there, said in rk_errmsg().
 */
RK_API int rk_ringer_init(struct rk_ringer *ringer, const struct rk_doorbells *bells,
			  uint32_t index, uint32_t word);

/**
 * rk_doorbell_wait() - sleep until a bell rings
 * @bells: own
 * @index: which bell
 * @timeout_ns: at most this long; 0 only looks
 * @news: out, or NULL; enum rk_doorbell_news, the last of the module's
 *
 * Context: one thread at a time for each bell; sleeps.
 * Return: rings since the last call that returned any, the module's included; 0 after @timeout_ns;
 * -EINVAL for an index that is not there or attached bells; said in rk_errmsg().
 */
RK_API int64_t rk_doorbell_wait(struct rk_doorbells *bells, uint32_t index, uint64_t timeout_ns,
				uint32_t *news);

/**
 * rk_doorbell_arm() - for those who poll(2) for several things: make the descriptor wake
 * @bells: own
 * @index: which bell
 * @eventfd: out, or NULL; becomes readable at the next ring, belongs to @bells
 *
 * After poll() has returned, read 8 bytes from @eventfd and call rk_doorbell_wait() with timeout 0.
 *
 * Context: as rk_doorbell_wait().
 * Return: 0 armed; 1 it has rung already: do not sleep; else -errno, said in rk_errmsg().
 */
RK_API int rk_doorbell_arm(struct rk_doorbells *bells, uint32_t index, int *eventfd);

/**
 * rk_doorbell_link() - be told of the other end of a ring
 * @bells: own
 * @index: the bell that tells
 * @token: 128 random bits that both ends know and nobody else
 * @end: 0 or 1; the other end takes the other
 *
 * The link lasts until rk_doorbells_close() or this process ends, of which the other end is told
 * at once.
 *
 * Context: any thread; sleeps.
 * Return: 1 the other end is there; 0 not yet; -EBUSY that end is taken; said in rk_errmsg().
 */
RK_API int rk_doorbell_link(struct rk_doorbells *bells, uint32_t index, const uint64_t token[2],
			    uint32_t end);

/**
 * rk_doorbell_sleep() - let the waits of a ring's end sleep at a bell
 * @self: the end's own, as rk_ring_rx.self; from now on rk_ring_wait_recv() sleeps at the bell
 * @bells: own; must outlive the end
 * @index: the bell, for this end alone
 *
 * The other end rings it: rk_ringer_wake().
 *
 * Context: the end's thread; sleeps.
 * Return: 0; -EINVAL for an index that is not there or attached bells; -EPERM when membarrier(2) is
 * refused, so that a sleep would not be noticed: wait with rk_doorbell_wait() and ring after every
 * send; said in rk_errmsg().
 */
RK_API int rk_doorbell_sleep(struct rk_wake *self, struct rk_doorbells *bells, uint32_t index);

/**
 * rk_ringer_wake() - let a ring's end wake the other one by a bell
 * @peer: whom the end wakes, as rk_ring_tx.consumer; from now on that costs a store, no system call
 * @ringer: initialised, for this end alone; its word must outlive the end
 *
 * Context: the end's thread; sleeps.
 * Return: 0; -EPERM as rk_doorbell_sleep(); said in rk_errmsg().
 */
RK_API int rk_ringer_wake(struct rk_wake *peer, const struct rk_ringer *ringer);

RK_END_DECLS

/**
 * rk_ringer_ring() - ring
 * @ringer: initialised
 *
 * Context: one thread at a time; wait-free, one store, no system call.
 */
static inline void rk_ringer_ring(struct rk_ringer *ringer)
{
	/* R7: pairs with A7 in doorbell.c: what was written before is seen by whoever is woken. */
	__atomic_store_n(ringer->word, ++ringer->rings, __ATOMIC_RELEASE);
}

#endif
