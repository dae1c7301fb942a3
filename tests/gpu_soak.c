// SPDX-License-Identifier: MIT
/*
 * gpu_soak - messages from a host thread to an actor on a GPU and back to another host thread,
 * every word of each verified, over rings that are small so that they wrap and fill both ways.
 *
 *	gpu_soak [COUNT [SLOTS [block|warp|cpu]]]
 *
 * Exit status: 0 all came back in order and whole; 1 something did not, or hung; 77 no GPU here.
 */
#include "ringkernel.h"
#include "actors.h"
#include "gpu_aid.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 256, WORDS = RK_MSG_BODY_BYTES / 8 };

#define STALL_NS 10000000000ULL /* nothing for so long is a failure */
#define PAUSE_EVERY (1ULL << 22) /* messages; each side in its own turn, so both rings fill */
#define PAUSE_US 500

struct soak {
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint64_t count;
	uint64_t full, empty; /* times a side had to wait */
	const char *wrong;
	uint64_t wrong_at;
};

/* Word 0 of message @number; no two are alike, and each next word has NEXT_WORD more. */
static inline uint64_t pattern(uint64_t number)
{
	uint64_t mixed = number * 0xbf58476d1ce4e5b9ULL;

	return mixed ^ mixed >> 29;
}

#define NEXT_WORD 0x9e3779b97f4a7c15ULL

static void wrong(struct soak *soak, uint64_t at, const char *what)
{
	if (!soak->wrong) {
		soak->wrong_at = at;
		__atomic_store_n(&soak->wrong, what, __ATOMIC_RELAXED);
	}
}

static bool is_wrong(const struct soak *soak)
{
	return __atomic_load_n(&soak->wrong, __ATOMIC_RELAXED) != NULL;
}

static void make(struct rk_msg *msg, uint64_t number)
{
	uint64_t words[WORDS], first = pattern(number);

	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = first + i * NEXT_WORD;
	*msg = (struct rk_msg){.type = RK_MSG_USER, .slots = 1, .tag = (uint32_t)number};
	memcpy(msg->body, words, sizeof(words));
}

/* 0 if @msg is message @number and whole. */
static inline uint64_t differs(const struct rk_msg *msg, uint64_t number)
{
	uint64_t words[WORDS], wrong_bits = msg->tag ^ (uint32_t)number, first = pattern(number);

	memcpy(words, msg->body, sizeof(words));
	wrong_bits |= rk_ring_head(msg) ^ (1u << 24 | RK_MSG_USER);
	for (uint64_t i = 0; i < WORDS; i++)
		wrong_bits |= words[i] ^ (first + i * NEXT_WORD);
	return wrong_bits;
}

static void *send_all(void *argument)
{
	struct rk_msg cells[BATCH];
	struct soak *soak = argument;
	uint64_t sent = 0;

	while (sent < soak->count && !is_wrong(soak)) {
		uint32_t batch = soak->count - sent < BATCH ? (uint32_t)(soak->count - sent) : BATCH;

		for (uint32_t i = 0; i < batch; i++)
			make(&cells[i], sent + i);
		for (uint32_t done = 0; done < batch && !is_wrong(soak);) {
			int moved = rk_ring_send_batch(soak->tx, cells + done, batch - done);

			done += moved > 0 ? (uint32_t)moved : 0;
			if (done == batch)
				break;
			soak->full++;
			if (rk_ring_wait_send(soak->tx, 1, STALL_NS) != 1)
				wrong(soak, sent + done, "no room came back, or the ring is closed");
		}
		sent += batch;
		if (sent % PAUSE_EVERY == 0)
			usleep(PAUSE_US);
	}
	while (!is_wrong(soak) && !rk_ring_close(soak->tx, RK_CLOSE_DONE))
		rk_ring_wait_send(soak->tx, 1, STALL_NS);
	return NULL;
}

static void receive_all(struct soak *soak)
{
	struct rk_msg cells[BATCH];
	uint64_t received = 0;

	while (!soak->rx->closed && !is_wrong(soak)) {
		int got = rk_ring_recv_batch(soak->rx, cells, BATCH);

		if (soak->rx->closed && got > 0)
			got--; /* RK_MSG_CLOSED */
		for (int i = 0; i < got; i++)
			if (differs(&cells[i], received + (uint64_t)i)) {
				wrong(soak, received + (uint64_t)i, "a message differs");
				return;
			}
		if (got > 0) {
			/* Halfway between the sender's pauses. */
			if ((received + PAUSE_EVERY / 2) / PAUSE_EVERY !=
			    (received + (uint64_t)got + PAUSE_EVERY / 2) / PAUSE_EVERY)
				usleep(PAUSE_US);
			received += (uint64_t)got;
			continue;
		}
		if (soak->rx->closed)
			break;
		soak->empty++;
		if (got < 0 || rk_ring_wait_recv(soak->rx, STALL_NS) != 1)
			wrong(soak, received, "nothing came, or the ring is closed");
	}
	if (received != soak->count)
		wrong(soak, received, "the ring closed before all came");
}

static int fail(const char *what)
{
	printf("gpu_soak: %s: %s\n", what, rk_errmsg());
	return 1;
}

static int open_all(struct soak *soak, struct rk_runtime **runtime, struct rk_actor **actor,
		    uint64_t slots, const char *group)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = 1};
	const struct rk_link_opts link = {
		.size = sizeof(link), .slots = slots, .worker = RK_ANY_WORKER};
	struct rk_actor_opts actor_opts = {
		.size = sizeof(actor_opts),
		.worker = RK_ANY_WORKER,
		.backend = strcmp(group, "cpu") ? RK_BACKEND_CUDA : RK_BACKEND_CPU,
		.group = strcmp(group, "block") ? RK_GROUP_WARP : RK_GROUP_BLOCK,
	};
	int result = rk_runtime_open(runtime, &opts);

	if (!result)
		result = rk_actor_spawn(actor, *runtime, rk_actor_type_find("echo"), &actor_opts);
	if (!result)
		result = rk_link_host_out(&soak->rx, *actor, &link);
	return result ? result : rk_link_host_in(&soak->tx, *actor, &link);
}

static double seconds_between(const struct timespec *start, const struct timespec *end)
{
	return (double)(end->tv_sec - start->tv_sec) + (double)(end->tv_nsec - start->tv_nsec) / 1e9;
}

/* What the actor counted is what was sent. */
static bool conserved(struct soak *soak, const struct rk_actor *actor)
{
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	if (info.received == soak->count && info.sent == soak->count)
		return true;
	printf("gpu_soak: %" PRIu64 " sent to the actor, %" PRIu64 " received there, %" PRIu64
	       " sent back\n",
	       soak->count, info.received, info.sent);
	return false;
}

static int work(struct soak *soak, struct rk_runtime *runtime, const struct rk_actor *actor,
		uint64_t slots)
{
	struct timespec start, end;
	pthread_t sender;
	double took;

	clock_gettime(CLOCK_MONOTONIC, &start);
	if (pthread_create(&sender, NULL, send_all, soak))
		return fail("no thread");
	receive_all(soak);
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(sender, NULL);
	if (soak->wrong) {
		printf("gpu_soak: message %" PRIu64 ": %s\n", soak->wrong_at, soak->wrong);
		return 1;
	}
	if (rk_runtime_wait(runtime, STALL_NS))
		return fail("the end");
	if (!conserved(soak, actor))
		return 1;
	took = seconds_between(&start, &end);
	printf("gpu_soak: %" PRIu64 " messages there and back, each word verified, in order, none "
	       "lost: %.2f s, %.1f M/s; rings of %" PRIu64 " slots, %" PRIu64 " laps; the sender "
	       "waited %" PRIu64 " times for room, the receiver %" PRIu64 " for messages\n",
	       soak->count, took, (double)soak->count / took / 1e6, slots, soak->count / slots,
	       soak->full, soak->empty);
	return 0;
}

int main(int count, char **words)
{
	struct soak soak = {.count = count > 1 ? strtoull(words[1], NULL, 0) : 1000000000};
	uint64_t slots = count > 2 ? strtoull(words[2], NULL, 0) : 4096;
	const char *group = count > 3 ? words[3] : "block", *absent = NULL;
	struct rk_runtime *runtime = NULL;
	struct rk_actor *actor;
	int code;

	if (strcmp(group, "cpu"))
		absent = gpu_absent();
	if (absent) {
		puts(absent);
		return 77;
	}
	code = open_all(&soak, &runtime, &actor, slots, group) ?
		       fail("open") :
		       work(&soak, runtime, actor, slots);
	if (rk_runtime_close(runtime) && !code)
		code = fail("close");
	return code;
}
