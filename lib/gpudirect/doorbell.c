// SPDX-License-Identifier: MIT
#include "gpudirect/rk_doorbell.h"
#include "gpudirect/kmod_device.h"
#include "rk_error.h"
#include "clock.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

RK_STATIC_ASSERT(RK_DOORBELL_RINGERS == RK_BELL_WRITERS, "words of a bell");
RK_STATIC_ASSERT(RK_DOORBELL_PEER_CAME == RK_REASON_PEER_CAME, "the module's reasons");
RK_STATIC_ASSERT(RK_DOORBELL_PEER_LEFT == RK_REASON_PEER_LEFT, "the module's reasons");
RK_STATIC_ASSERT(RK_DOORBELL_PEER_DEAD == RK_REASON_PEER_DEAD, "the module's reasons");

/* What the owner keeps of a bell. */
struct bell {
	uint64_t seen; /* count that was returned */
	int eventfd;   /* -1 until first waited for */
};

struct rk_doorbells {
	int fd; /* of the module; -1: attached */
	uint32_t handle;
	uint32_t count;
	char *page;
	size_t bytes;
	struct bell *bells; /* NULL: attached */
};

static uint64_t *word_of(const struct rk_doorbells *bells, uint32_t index, uint32_t word)
{
	return (uint64_t *)(void *)(bells->page + (size_t)index * RK_BELL_BYTES) + word;
}

static int map(struct rk_doorbells *bells, int fd, uint64_t offset)
{
	void *page = mmap(NULL, bells->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  (off_t)offset);

	if (page == MAP_FAILED)
		return rk_fail(errno, "doorbell: map %zu bytes: %m", bells->bytes);
	bells->page = page;
	return 0;
}

static int make(struct rk_doorbells *bells, uint32_t count)
{
	struct rk_bells io = {.count = count};
	int result;

	bells->fd = kmod_open();
	if (bells->fd < 0)
		return bells->fd;
	result = kmod_call(bells->fd, RK_IOC_BELLS, &io, "make bells");
	if (result)
		return result;
	bells->handle = io.handle;
	bells->count = count;
	bells->bytes = io.bytes;
	bells->bells = calloc(count, sizeof(*bells->bells));
	if (!bells->bells)
		return rk_fail(ENOMEM, "doorbell: no memory for %u bells", count);
	for (uint32_t i = 0; i < count; i++)
		bells->bells[i].eventfd = -1;
	return map(bells, bells->fd, io.mmap_offset);
}

static int attach(struct rk_doorbells *bells, int fd)
{
	off_t bytes = lseek(fd, 0, SEEK_END);

	bells->fd = -1;
	if (bytes <= 0 || bytes % RK_PAGE_BYTES)
		return rk_fail(EINVAL, "doorbell: descriptor %d is not a dma-buf of bells", fd);
	bells->bytes = (size_t)bytes;
	bells->count = (uint32_t)(bells->bytes / RK_BELL_BYTES);
	return map(bells, fd, 0);
}

static int finish(struct rk_doorbells **out, struct rk_doorbells *bells, int result)
{
	if (result)
		rk_doorbells_close(bells);
	else
		*out = bells;
	return result;
}

int rk_doorbells_open(struct rk_doorbells **out, uint32_t count)
{
	struct rk_doorbells *bells = calloc(1, sizeof(*bells));

	if (!bells)
		return rk_fail(ENOMEM, "doorbell: no memory");
	return finish(out, bells, make(bells, count));
}

int rk_doorbells_attach(struct rk_doorbells **out, int fd)
{
	struct rk_doorbells *bells = calloc(1, sizeof(*bells));

	if (!bells)
		return rk_fail(ENOMEM, "doorbell: no memory");
	return finish(out, bells, attach(bells, fd));
}

int rk_doorbells_export(const struct rk_doorbells *bells)
{
	if (!bells->bells)
		return rk_fail(EOPNOTSUPP, "doorbell: attached: only their owner can share bells");
	return kmod_export(bells->fd, bells->handle);
}

void rk_doorbells_close(struct rk_doorbells *bells)
{
	if (!bells)
		return;
	for (uint32_t i = 0; bells->bells && i < bells->count; i++)
		if (bells->bells[i].eventfd >= 0)
			close(bells->bells[i].eventfd);
	if (bells->page)
		munmap(bells->page, bells->bytes);
	if (bells->fd >= 0)
		close(bells->fd);
	free(bells->bells);
	free(bells);
}

int rk_ringer_init(struct rk_ringer *ringer, const struct rk_doorbells *bells, uint32_t index,
		   uint32_t word)
{
	if (index >= bells->count || word >= RK_DOORBELL_RINGERS)
		return rk_fail(EINVAL, "doorbell: no word %u of bell %u: there are %u of %u bells",
			       word, index, RK_DOORBELL_RINGERS, bells->count);
	ringer->word = word_of(bells, index, word);
	ringer->rings = *ringer->word;
	return 0;
}

/* The bell, with an eventfd bound to it; NULL with the reason noted. */
static struct bell *ready(struct rk_doorbells *bells, uint32_t index, int *result)
{
	struct rk_bell_bind io = {.handle = bells->handle, .index = index};
	struct bell *bell;

	*result = -EINVAL;
	if (!bells->bells || index >= bells->count) {
		rk_fail(EINVAL, "doorbell: no bell %u of our own: there are %u", index,
			bells->bells ? bells->count : 0);
		return NULL;
	}
	bell = &bells->bells[index];
	if (bell->eventfd >= 0)
		return bell;
	io.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io.eventfd < 0) {
		*result = rk_fail(errno, "doorbell: eventfd: %m");
		return NULL;
	}
	*result = kmod_call(bells->fd, RK_IOC_BELL_BIND, &io, "bind a bell");
	if (*result) {
		close(io.eventfd);
		return NULL;
	}
	bell->eventfd = io.eventfd;
	return bell;
}

static void sleep_until(int eventfd, uint64_t deadline_ns)
{
	uint64_t now = now_ns(), rest = deadline_ns > now ? deadline_ns - now : 0, drained;
	struct timespec time = {(time_t)(rest / 1000000000), (long)(rest % 1000000000)};
	struct pollfd wanted = {.fd = eventfd, .events = POLLIN};

	/* A spurious end is harmless: the caller looks at the count. */
	if (ppoll(&wanted, 1, &time, NULL) == 1 &&
	    read(eventfd, &drained, sizeof(drained)) != (ssize_t)sizeof(drained))
		return;
}

int64_t rk_doorbell_wait(struct rk_doorbells *bells, uint32_t index, uint64_t timeout_ns,
			 uint32_t *news)
{
	uint64_t start_ns = now_ns(), deadline_ns = start_ns + timeout_ns;
	struct rk_bell_arm io;
	struct bell *bell;
	int64_t rings;
	int result;

	if (deadline_ns < start_ns)
		deadline_ns = UINT64_MAX;
	bell = ready(bells, index, &result);
	if (!bell)
		return result;
	for (;;) {
		io = (struct rk_bell_arm){
			.handle = bells->handle, .index = index, .seen = bell->seen};
		result = kmod_call(bells->fd, RK_IOC_BELL_ARM, &io, "arm a bell");
		if (result)
			return result;
		if (!io.armed || now_ns() >= deadline_ns)
			break;
		sleep_until(bell->eventfd, deadline_ns);
	}
	/* A7: pairs with R7 in rk_ringer_ring(): what the ringers wrote before is seen after. */
	for (uint32_t word = 0; word < RK_DOORBELL_RINGERS; word++)
		(void)__atomic_load_n(word_of(bells, index, word), __ATOMIC_ACQUIRE);
	rings = (int64_t)(io.count - bell->seen);
	bell->seen = io.count;
	if (news)
		*news = io.reason;
	return rings;
}

int rk_doorbell_arm(struct rk_doorbells *bells, uint32_t index, int *eventfd)
{
	struct rk_bell_arm io = {.handle = bells->handle, .index = index};
	struct bell *bell;
	int result;

	bell = ready(bells, index, &result);
	if (!bell)
		return result;
	if (eventfd)
		*eventfd = bell->eventfd;
	io.seen = bell->seen;
	result = kmod_call(bells->fd, RK_IOC_BELL_ARM, &io, "arm a bell");
	return result ? result : !io.armed;
}

int rk_doorbell_link(struct rk_doorbells *bells, uint32_t index, const uint64_t token[2],
		     uint32_t end)
{
	struct rk_link_join io = {
		.token = {token[0], token[1]}, .end = end, .handle = bells->handle, .index = index};
	int result;

	if (!ready(bells, index, &result))
		return result;
	result = kmod_call(bells->fd, RK_IOC_LINK_JOIN, &io, "join a link");
	return result ? result : (int)io.peer;
}

/* Both sides of a ring between processes: sleeps are noticed there only by this barrier. */
static int guard(void)
{
	if (rk_wake_guard(true))
		return 0;
	return rk_fail(EPERM, "doorbell: membarrier(2) is refused here (a sandbox?): wait with "
			      "rk_doorbell_wait() and ring after every send");
}

static void sleep_at(void *sleeper, uint32_t place, uint64_t timeout_ns)
{
	/* Whatever ends it: the caller looks for work, and again. */
	rk_doorbell_wait(sleeper, place, timeout_ns, NULL);
}

int rk_doorbell_sleep(struct rk_wake *self, struct rk_doorbells *bells, uint32_t index)
{
	int result;

	if (!ready(bells, index, &result))
		return result;
	result = guard();
	if (result)
		return result;
	self->sleep = sleep_at;
	self->sleeper = bells;
	self->place = index;
	return 0;
}

int rk_ringer_wake(struct rk_wake *peer, const struct rk_ringer *ringer)
{
	int result = guard();

	if (result)
		return result;
	peer->bell = ringer->word;
	/* It may sleep at the bell already, woken in vain by the opening of this end. */
	rk_wake_again(peer);
	return 0;
}
