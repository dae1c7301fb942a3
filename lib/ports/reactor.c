// SPDX-License-Identifier: MIT
/* Reactors: one for each thread that polls ports, from its first client to its last. */
#include "ports/reactor_engine.h"
#include "ports/rk_uring.h"
#include "rk_error.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long an operation may take to end after it was cancelled: a disk may be slow. */
enum { CANCEL_POLLS = 3000 };

/* Guards every reactor's list of clients: another thread may close one that is idle. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t keys[2]; /* of the thread's reactor; of that with sqpoll */
static bool keyed;

static void reactor_free(struct reactor *reactor)
{
	reactor->engine->close(reactor);
	free(reactor);
}

/* A thread ends: what it polled is over. */
static void thread_ends(void *argument)
{
	struct reactor *reactor = argument;
	struct reactor_client *client;

	/* Until the last has left, which frees it, it is still found as this thread's. */
	pthread_setspecific(keys[reactor->sqpoll], reactor);
	while ((client = reactor->clients)) {
		bool last = !client->next;

		reactor_leave(client);
		if (last)
			return;
	}
	pthread_setspecific(keys[reactor->sqpoll], NULL);
	reactor_free(reactor);
}

static void make_keys(void)
{
	keyed = !pthread_key_create(&keys[0], thread_ends) &&
		!pthread_key_create(&keys[1], thread_ends);
}

static struct reactor *own(bool sqpoll)
{
	pthread_once(&once, make_keys);
	return keyed ? pthread_getspecific(keys[sqpoll]) : NULL;
}

static int reactor_open(struct reactor **out, bool sqpoll)
{
	struct reactor *reactor = calloc(1, sizeof(*reactor));
	int result;

	if (!reactor || !keyed) {
		free(reactor);
		return rk_fail(ENOMEM, "reactor: no memory");
	}
	for (uint32_t i = 0; i < REACTOR_OPS; i++) {
		reactor->free[i] = (uint16_t)(REACTOR_OPS - 1 - i);
		reactor->slots[i].turn = 1;
	}
	reactor->free_count = REACTOR_OPS;
	reactor->sqpoll = sqpoll;
	if (reactor_uring_open(reactor)) {
		result = reactor_plain_open(reactor);
		if (result) {
			free(reactor);
			return result;
		}
	}
	pthread_setspecific(keys[sqpoll], reactor);
	*out = reactor;
	return 0;
}

/* --- Buffers --- */

int reactor_buffers_make(struct reactor_buffers *buffers, uint32_t count, uint32_t room,
			 bool for_gpus)
{
	const struct rk_region_opts opts = {.size = sizeof(opts), .cuda = for_gpus};
	/* Not a multiple of a page: what lies in front of each must not share sets of the cache. */
	uint32_t stride =
		(room + RK_CACHE_LINE_BYTES - 1) / RK_CACHE_LINE_BYTES * RK_CACHE_LINE_BYTES |
		RK_CACHE_LINE_BYTES;
	size_t ring_bytes = (count * sizeof(struct iovec) + RK_PAGE_BYTES - 1) & -RK_PAGE_BYTES;
	int result;

	result = rk_region_open(&buffers->region, ring_bytes + (size_t)count * stride, &opts);
	if (result)
		return result;
	buffers->ring = rk_region_take(buffers->region, ring_bytes);
	buffers->base = rk_region_take(buffers->region, (size_t)count * stride);
	buffers->given = calloc(count, sizeof(*buffers->given));
	buffers->free = calloc(count, sizeof(*buffers->free));
	if (!buffers->base || !buffers->given || !buffers->free) {
		reactor_buffers_free(buffers);
		return rk_fail(ENOMEM, "no memory for %u buffers", count);
	}
	buffers->count = count;
	buffers->room = room;
	buffers->stride = stride;
	return 0;
}

void reactor_buffers_free(struct reactor_buffers *buffers)
{
	rk_region_close(buffers->region);
	free(buffers->given);
	free(buffers->free);
	memset(buffers, 0, sizeof(*buffers));
}

static int join_buffers(struct reactor *reactor, struct reactor_buffers *buffers)
{
	int result;

	if (reactor->groups == UINT64_MAX)
		return rk_fail(ENOSPC, "more than %d ports that receive on one thread",
			       REACTOR_GROUPS);
	buffers->group = (uint16_t)__builtin_ctzll(~reactor->groups);
	result = reactor->engine->join(reactor, buffers);
	if (result)
		return result;
	reactor->groups |= 1ULL << buffers->group;
	buffers->joined = true;
	memset(buffers->given, true, buffers->count * sizeof(*buffers->given));
	return 0;
}

static void leave_buffers(struct reactor *reactor, struct reactor_buffers *buffers)
{
	if (!buffers || !buffers->joined)
		return;
	reactor->engine->leave(reactor, buffers);
	reactor->groups &= ~(1ULL << buffers->group);
	buffers->joined = false;
}

void reactor_give(struct reactor_client *client, int32_t index)
{
	struct reactor_buffers *buffers = client->buffers;

	if (!client->reactor || buffers->given[index])
		return;
	buffers->given[index] = true;
	client->reactor->engine->give(client->reactor, buffers, (uint16_t)index);
}

bool reactor_register(struct reactor_client *client, void *memory, size_t bytes, int fd)
{
	struct reactor *reactor = client->reactor;
	int index;

	if (reactor->tables == UINT64_MAX)
		return false;
	index = __builtin_ctzll(~reactor->tables);
	if (!reactor->engine->enroll(reactor, (struct iovec){memory, bytes}, fd, index))
		return false;
	reactor->tables |= 1ULL << index;
	client->table = index;
	return true;
}

/* --- Clients --- */

int reactor_client_open(struct reactor_client *client, bool input, char *note, size_t note_bytes)
{
	struct epoll_event event = {.events = EPOLLIN};
	char why[REACTOR_WHY_BYTES];

	client->table = client->first = -1;
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll < 0)
		return rk_fail(errno, "epoll: %s", strerror(errno));
	if (input)
		client->first = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (input &&
	    (client->first < 0 || epoll_ctl(client->epoll, EPOLL_CTL_ADD, client->first, &event)))
		return rk_fail(errno, "epoll: %s", strerror(errno));
	rk_uring_feature_at(0, why, sizeof(why));
	if (*why && !*note)
		snprintf(note, note_bytes, "no io_uring: %s", why);
	return 0;
}

int reactor_join(struct reactor_client *client)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct reactor *reactor = own(client->sqpoll);
	int result = 0, fd;

	if (client->reactor)
		return 0;
	if (!reactor)
		result = reactor_open(&reactor, client->sqpoll);
	if (!result && client->buffers)
		result = join_buffers(reactor, client->buffers);
	if (result)
		return result;
	fd = reactor->engine->fd(reactor);
	if (fd >= 0 && epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event))
		result = rk_fail(errno, "epoll: %s", strerror(errno));
	if (client->first >= 0)
		close(client->first);
	client->first = -1;
	pthread_mutex_lock(&mutex);
	client->reactor = reactor;
	client->next = reactor->clients;
	reactor->clients = client;
	pthread_mutex_unlock(&mutex);
	return result;
}

/* Out of the list. Returns whether it was the last. */
static bool unlink_client(struct reactor_client *client)
{
	struct reactor_client **at = &client->reactor->clients;
	bool last;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	last = !client->reactor->clients;
	client->reactor = NULL;
	return last;
}

static void cancel_all(struct reactor_client *client)
{
	struct reactor *reactor = client->reactor;

	for (uint32_t i = 0; client->live && i < REACTOR_OPS; i++) {
		struct reactor_op *op = reactor->slots[i].op;

		if (op && op->client == client)
			reactor->engine->cancel(reactor, op);
	}
	for (uint32_t i = 0; client->live && i < CANCEL_POLLS; i++)
		reactor->engine->poll(reactor, true);
}

void reactor_leave(struct reactor_client *client)
{
	struct reactor *reactor = client->reactor;
	int fd;
	bool last;

	if (!reactor)
		return;
	cancel_all(client);
	leave_buffers(reactor, client->buffers);
	if (client->table >= 0) {
		reactor->engine->withdraw(reactor, client->table);
		reactor->tables &= ~(1ULL << client->table);
		client->table = -1;
	}
	fd = reactor->engine->fd(reactor);
	if (fd >= 0)
		epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, NULL);
	pthread_mutex_lock(&mutex);
	last = unlink_client(client);
	pthread_mutex_unlock(&mutex);
	if (last && own(reactor->sqpoll) == reactor) {
		pthread_setspecific(keys[reactor->sqpoll], NULL);
		reactor_free(reactor);
	}
}

int reactor_client_close(struct reactor_client *client)
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	if (client->reactor && client->reactor != own(client->sqpoll)) {
		if (client->live || client->buffers || client->table >= 0)
			result = rk_fail(EBUSY, "another thread polls it: close it there, or when "
						"that thread has ended");
		else
			unlink_client(client);
	}
	pthread_mutex_unlock(&mutex);
	if (result)
		return result;
	reactor_leave(client);
	if (client->first >= 0)
		close(client->first);
	if (client->epoll >= 0)
		close(client->epoll);
	return 0;
}

/* --- Operations --- */

int reactor_submit(struct reactor_client *client, struct reactor_op *op)
{
	struct reactor *reactor = client->reactor;
	int result;

	if (!reactor->free_count)
		return -EAGAIN;
	op->client = client;
	op->moved = 0;
	op->slot = reactor->free[--reactor->free_count];
	reactor->slots[op->slot].op = op;
	result = reactor->engine->submit(reactor, op);
	if (result) {
		reactor->slots[op->slot].op = NULL;
		reactor->free[reactor->free_count++] = (uint16_t)op->slot;
		return result;
	}
	op->live = true;
	client->live++;
	return 0;
}

/* The operation is over: its name is never valid again. */
static void retire(struct reactor *reactor, struct reactor_op *op)
{
	struct reactor_slot *slot = &reactor->slots[op->slot];

	slot->op = NULL;
	slot->turn++;
	reactor->free[reactor->free_count++] = (uint16_t)op->slot;
	op->live = false;
	op->client->live--;
}

/* Whether @done can be true of @op. */
static bool plausible(const struct reactor_op *op, const struct reactor_done *done)
{
	const struct reactor_buffers *buffers = op->buffers;

	if (done->buffer >= 0) {
		return buffers && done->result >= 0 && (uint32_t)done->buffer < buffers->count &&
		       buffers->given[done->buffer] && (uint32_t)done->result <= buffers->room;
	}
	if (done->result <= 0 || op->kind == REACTOR_ACCEPT)
		return true;
	return op->kind != REACTOR_RECVMSG && op->kind != REACTOR_RECV &&
	       (uint32_t)done->result <= op->bytes;
}

void reactor_complete(struct reactor *reactor, uint64_t name, const struct reactor_done *done)
{
	const struct reactor_done bad = {-EPROTO, -1, done->more};
	uint32_t index = (uint32_t)name;
	struct reactor_op *op = index < REACTOR_OPS ? reactor->slots[index].op : NULL;

	if (!op || reactor->slots[index].turn != name >> 32) {
		reactor->strange++;
		return;
	}
	if (!plausible(op, done)) {
		reactor->strange++;
		done = &bad;
	} else if (done->buffer >= 0) {
		op->buffers->given[done->buffer] = false;
	}
	if (!done->more)
		retire(reactor, op);
	op->done(op, done);
}

void reactor_cancel(struct reactor_client *client, struct reactor_op *op)
{
	struct reactor *reactor = client->reactor;

	if (!reactor || !op->live)
		return;
	reactor->engine->cancel(reactor, op);
	for (uint32_t i = 0; op->live && i < CANCEL_POLLS; i++)
		reactor->engine->poll(reactor, true);
}

int reactor_poll(struct reactor_client *client)
{
	struct reactor *reactor = client->reactor;
	uint64_t before = reactor->calls;
	int completions = reactor->engine->poll(reactor, false);

	client->calls += reactor->calls - before;
	return completions;
}

bool reactor_ready(const struct reactor_client *client)
{
	return client->reactor->engine->ready(client->reactor);
}
