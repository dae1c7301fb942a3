// SPDX-License-Identifier: MIT
/*
 * Listening: one door an address and process, its inputs told apart by name. The door's thread
 * is the keeper of all of them. That is the whole directory of names: who knows the hosts asks
 * them, over the connection itself.
 */
#include "ports/remote.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WAITING = 8, GREET_MS = 1000, LOOK_MS = 20, NO_FD_LOOK_MS = 2 };

/* Connected, and has not said hello yet. */
struct waiting {
	struct remote_conn *conn;
	uint64_t until_ns;
};

struct remote_door {
	const struct remote_transport *transport;
	struct remote_listener *listener;
	struct frame_address address;
	struct remote_door *next;
	struct remote_guest *guests; /* with all below, under the door's mutex */
	struct waiting waiting[MOST_WAITING];
	bool stopping;
	pthread_mutex_t mutex;
	pthread_t thread;
};

/* The doors of this process. */
static struct remote_door *doors;
static pthread_mutex_t doors_mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- The door's thread --- */

static void refuse(struct remote_door *door, struct remote_conn *conn)
{
	struct remote_hello hello;

	remote_hello_init(&hello, REMOTE_REFUSE);
	strncpy(hello.text, rk_errmsg(), sizeof(hello.text) - 1);
	for (char *at = hello.text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	door->transport->tell(conn, &hello);
	door->transport->close(conn);
}

static int no_such_name(const struct remote_door *door, const char *name)
{
	char list[REMOTE_TEXT_BYTES / 2] = "";

	for (const struct remote_guest *guest = door->guests; guest; guest = guest->next) {
		const char *known = guest->end->name;

		if (strlen(list) + strlen(known) + 5 > sizeof(list))
			break;
		strcat(strcat(strcat(list, *list ? ", '" : "'"), known), "'");
	}
	return rk_fail(ENOENT, "no ring '%s' at this address: there is %s", name,
		       *list ? list : "none");
}

/* A hello is there: give the connection to the guest that is asked for, or refuse it. */
static void answer(struct remote_door *door, struct remote_conn *conn)
{
	struct remote_guest *guest = door->guests;
	struct remote_hello ask;
	int result = remote_hello_check(conn->heard, conn->heard_bytes, false, &ask);

	while (!result && guest && strcmp(guest->end->name, ask.name))
		guest = guest->next;
	if (!result)
		result = guest ? guest->meet(guest, conn, &ask) : no_such_name(door, ask.name);
	if (result)
		refuse(door, conn);
}

/* Returns true while it still waits. */
static bool hear(struct remote_door *door, struct waiting *waiting)
{
	int heard = door->transport->up(waiting->conn);

	if (heard >= 0)
		heard = remote_hear(door->transport, waiting->conn);
	if (!heard && now_ns() < waiting->until_ns)
		return true;
	if (heard > 0)
		answer(door, waiting->conn);
	else
		door->transport->close(waiting->conn);
	waiting->conn = NULL;
	return false;
}

/* Take new connections in, and hear those that have said nothing yet; true if there are any. */
static bool receive(struct remote_door *door)
{
	bool any = false;

	for (int i = 0; i < MOST_WAITING; i++) {
		struct waiting *waiting = &door->waiting[i];

		if (!waiting->conn && door->transport->accept(door->listener, &waiting->conn) == 1)
			waiting->until_ns = now_ns() + GREET_MS * REMOTE_MS;
		if (waiting->conn)
			any |= hear(door, waiting);
	}
	return any;
}

/* Until the next round, or a new connection. */
static void rest(const struct remote_door *door, bool busy, uint64_t due_ns)
{
	struct pollfd fd = {.fd = door->transport->listen_fd(door->listener), .events = POLLIN};
	uint64_t now = now_ns(), most_ns = (fd.fd < 0 ? NO_FD_LOOK_MS : LOOK_MS) * REMOTE_MS;
	struct timespec time = {0};

	if (due_ns > now)
		time.tv_nsec = (long)(due_ns - now < most_ns ? due_ns - now : most_ns);
	if (busy && time.tv_nsec > 200000)
		time.tv_nsec = 200000;
	ppoll(&fd, 1, &time, NULL);
}

static void *run(void *argument)
{
	struct remote_door *door = argument;

	pthread_mutex_lock(&door->mutex);
	while (!door->stopping) {
		uint64_t due_ns = UINT64_MAX;
		bool busy = receive(door);

		for (struct remote_guest *guest = door->guests; guest; guest = guest->next) {
			uint64_t guest_due_ns = guest->keep(guest);

			if (guest_due_ns < due_ns)
				due_ns = guest_due_ns;
		}
		pthread_mutex_unlock(&door->mutex);
		rest(door, busy, due_ns);
		pthread_mutex_lock(&door->mutex);
	}
	pthread_mutex_unlock(&door->mutex);
	return NULL;
}

/* --- Opening and closing doors; doors_mutex held --- */

static void close_door(struct remote_door *door)
{
	for (int i = 0; i < MOST_WAITING; i++)
		if (door->waiting[i].conn)
			door->transport->close(door->waiting[i].conn);
	if (door->listener)
		door->transport->unlisten(door->listener);
	pthread_mutex_destroy(&door->mutex);
	free(door);
}

static int open_door(struct remote_door **out, const struct remote_transport *transport,
		     struct frame_address at)
{
	struct sockaddr_in address = remote_address(at);
	struct remote_door *door = calloc(1, sizeof(*door));
	int result;

	if (!door)
		return rk_fail(ENOMEM, "no memory to listen");
	door->transport = transport;
	door->address = at;
	pthread_mutex_init(&door->mutex, NULL);
	result = transport->listen(&door->listener, &address);
	if (!result) {
		result = pthread_create(&door->thread, NULL, run, door);
		if (result)
			result = rk_fail(result, "a thread to listen: %s", strerror(result));
	}
	if (result) {
		close_door(door);
		return result;
	}
	door->next = doors;
	doors = door;
	*out = door;
	return 0;
}

static struct remote_door *find_door(const struct remote_transport *transport,
				     struct frame_address at)
{
	struct remote_door *door = doors;

	while (door && (door->transport != transport || door->address.ip != at.ip ||
			door->address.port != at.port))
		door = door->next;
	return door;
}

int remote_door_enter(struct remote_door **out, struct remote_guest *guest)
{
	struct frame_address at = guest->end->hosts.at[0];
	struct remote_door *door;
	int result = 0;

	pthread_mutex_lock(&doors_mutex);
	door = find_door(guest->end->transport, at);
	if (!door)
		result = open_door(&door, guest->end->transport, at);
	if (!result) {
		pthread_mutex_lock(&door->mutex);
		for (struct remote_guest *other = door->guests; other; other = other->next)
			if (!strcmp(other->end->name, guest->end->name))
				result = rk_fail(EADDRINUSE,
						 "name=%s: another port of this process has it at "
						 "this address",
						 guest->end->name);
		if (!result) {
			guest->next = door->guests;
			door->guests = guest;
		}
		pthread_mutex_unlock(&door->mutex);
	}
	pthread_mutex_unlock(&doors_mutex);
	*out = result ? NULL : door;
	return result;
}

static void unlink_door(struct remote_door *door)
{
	struct remote_door **at = &doors;

	while (*at != door)
		at = &(*at)->next;
	*at = door->next;
}

void remote_door_leave(struct remote_door *door, struct remote_guest *guest)
{
	struct remote_guest **at;
	bool last;

	pthread_mutex_lock(&doors_mutex);
	pthread_mutex_lock(&door->mutex);
	for (at = &door->guests; *at != guest; at = &(*at)->next)
		;
	*at = guest->next;
	last = door->stopping = !door->guests;
	pthread_mutex_unlock(&door->mutex);
	if (last) {
		pthread_join(door->thread, NULL);
		unlink_door(door);
		close_door(door);
	}
	pthread_mutex_unlock(&doors_mutex);
}

int remote_door_reach(struct remote_door *door, const struct remote_memory *memory,
		      char how[REMOTE_TEXT_BYTES])
{
	int result;

	pthread_mutex_lock(&door->mutex);
	result = door->transport->reach(door->listener, memory, how);
	pthread_mutex_unlock(&door->mutex);
	return result;
}
