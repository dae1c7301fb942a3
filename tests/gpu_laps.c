// SPDX-License-Identifier: MIT
/*
 * gpu_laps - a little of everything that the device code does, for compute-sanitizer to watch: each
 * kind of group, each place of a ring, small rings that wrap and fill, and an actor's whole life.
 *Empty seats sleep long, for what they do is watched too, and would be most of it.
 *
 *	gpu_laps [MESSAGES [COURSE...]]
 *
 * Exit status: 0 all came back in order and whole; 1 something did not, or hung; 77 no GPU here.
 */
#include "ringkernel.h"
#include "actors.h"
#include "echo.h"
#include "gpu_aid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGES = 100, NAP_NS = 10000000, SLOTS = 8 };

#define WAIT_NS 60000000000ULL /* a watched kernel takes a thousand times as long */

/* One actor behind another; or one alone. */
struct course {
	const char *name;
	enum rk_group group;
	bool pair;
	enum rk_where where;
	enum rk_ring_place place;
};

static const struct course courses[] = {
	{"warp", .group = RK_GROUP_WARP},
	{"block", .group = RK_GROUP_BLOCK},
	{"same block", RK_GROUP_WARP, true, RK_WHERE_BLOCK, RK_PLACE_BLOCK},
	{"same cluster", RK_GROUP_WARP, true, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER},
	{"two blocks of a cluster", RK_GROUP_BLOCK, true, RK_WHERE_CLUSTER, RK_PLACE_CLUSTER},
	{"same GPU", RK_GROUP_WARP, true, RK_WHERE_APART, RK_PLACE_GPU},
};

static struct rk_runtime *runtime;

/* Nothing is closed: what does not answer would hold that up. */
static void fail(const char *what)
{
	printf("%s: %s\n", what, rk_errmsg());
	if (runtime && rk_runtime_wait(runtime, 1000000000) != -ETIMEDOUT)
		printf("runtime: %s\n", rk_errmsg());
	fflush(stdout);
	_exit(1);
}

static void check(int result, const char *what)
{
	if (result)
		fail(what);
}

static struct rk_actor *spawn(const struct course *course, const struct rk_actor *other)
{
	const struct rk_actor_opts opts = {.size = sizeof(opts),
					   .backend = RK_BACKEND_CUDA,
					   .group = course->group,
					   .where = other ? course->where : RK_WHERE_ANY,
					   .other = other};
	struct rk_actor *actor;

	check(rk_actor_spawn(&actor, runtime, rk_actor_type_find("echo"), &opts), "spawn");
	return actor;
}

static void make(struct rk_msg *msg, uint32_t number)
{
	*msg = (struct rk_msg){.type = RK_MSG_USER, .slots = 1, .tag = number};
	memset(msg->body, (int)number, sizeof(msg->body));
}

static void expect(const struct rk_msg *msg, uint32_t number)
{
	struct rk_msg wanted;

	make(&wanted, number);
	if (!memcmp(msg, &wanted, sizeof(wanted)))
		return;
	printf("not message %u as it was sent: type %u, tag %u, body", number, msg->type, msg->tag);
	for (int i = 0; i < RK_MSG_BODY_BYTES; i++)
		printf(" %02x", msg->body[i]);
	puts("");
	fail("another message");
}

/* Each message alone, then as many as the rings hold at once. */
static void run(struct rk_ring_tx *tx, struct rk_ring_rx *rx, uint32_t count)
{
	uint32_t sent = 0, received = 0;

	while (received < count) {
		uint32_t ahead = received < count / 2 ? 1 : count;
		struct rk_msg msg;

		while (sent < count && sent - received < ahead) {
			make(&msg, sent);
			if (rk_ring_send(tx, &msg) != 1)
				break;
			sent++;
		}
		check(rk_ring_wait_recv(rx, WAIT_NS) != 1, "no answer");
		check(rk_ring_recv(rx, &msg, 1) != 1, "no message");
		expect(&msg, received++);
	}
}

static void live(struct rk_actor *actor, struct rk_ring_tx *tx, struct rk_ring_rx *rx,
		 uint32_t count)
{
	char state[sizeof(struct rk_echo_state)];

	run(tx, rx, count);
	check(rk_actor_pause(actor, WAIT_NS), "pause");
	check(rk_actor_copy(actor, state, WAIT_NS), "copy");
	check(rk_actor_restart(actor, state, WAIT_NS), "restart");
	run(tx, rx, count);
	check(rk_actor_restart(actor, NULL, WAIT_NS), "restart from zeros");
	run(tx, rx, count);
	check(rk_actor_stop(actor, RK_STOP_DRAIN, WAIT_NS), "stop");
}

static void run_course(const struct course *course, uint32_t count)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts),
					     .workers = 1,
					     .gpu_blocks = 4,
					     .gpu_nap_ns = NAP_NS,
					     .gpu_stuck_ns = WAIT_NS};
	const struct rk_link_opts link = {.size = sizeof(link), .slots = SLOTS};
	struct rk_link_opts middle = link;
	struct rk_actor *first, *last;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;

	middle.place = course->place;
	check(rk_runtime_open(&runtime, &opts), "open");
	first = last = spawn(course, NULL);
	if (course->pair) {
		last = spawn(course, first);
		check(rk_link_actors(NULL, first, last, &middle), "link");
	}
	check(rk_link_host_out(&rx, last, &link), "link");
	check(rk_link_host_in(&tx, first, &link), "link");
	live(first, tx, rx, count);
	check(rk_runtime_close(runtime), "close");
	runtime = NULL;
}

static bool wanted(const struct course *course, int words, char **word)
{
	for (int i = 0; i < words; i++)
		if (!strcmp(word[i], course->name))
			return true;
	return words <= 0;
}

int main(int argc, char **argv)
{
	uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : MESSAGES;
	const char *absent = gpu_absent();

	if (absent) {
		puts(absent);
		return 77;
	}
	for (size_t i = 0; i < sizeof(courses) / sizeof(*courses); i++) {
		time_t begin = time(NULL);

		if (!wanted(&courses[i], argc - 2, argv + 2))
			continue;
		run_course(&courses[i], count);
		printf("%s: %u messages there and back, %ld s\n", courses[i].name, 3 * count,
		       (long)(time(NULL) - begin));
		fflush(stdout);
	}
	return 0;
}
