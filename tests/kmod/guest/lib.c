// SPDX-License-Identifier: GPL-2.0
/* The library over the module: regions lent to another process, rings that sleep on doorbells. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "gpudirect/rk_doorbell.h"
#include "gpudirect/rk_gpu_map.h"
#include "gpudirect/rk_region.h"
#include "gpudirect/rk_region_share.h"
#include "ring/rk_ring.h"
#include "rk_error.h"
#include "rk_runtime.h"
#include "t.h"

#define CAPACITY	256u
#define MESSAGES	20000u
#define WAITS		300u

static const uint64_t token[2] = { 0x1234, 0x5678 };

/* The producer: another process, with its own bell to learn of the consumer's death. */
static void producer(int sock)
{
	int region_fd = t_recv_fd(sock), bells_fd = t_recv_fd(sock);
	struct rk_doorbells *theirs = NULL, *own = NULL;
	struct rk_region *region = NULL;
	struct rk_msg msg = { .type = RK_MSG_USER, .slots = 1 };
	struct rk_ringer ringer;
	struct rk_ring ring;
	struct rk_ring_tx tx;
	uint32_t i;

	CHECK_EQ(rk_region_import(&region, region_fd), 0);
	CHECK_EQ(rk_region_export(region), -EOPNOTSUPP);
	CHECK_EQ(rk_doorbells_attach(&theirs, bells_fd), 0);
	CHECK_EQ(rk_ringer_init(&ringer, theirs, 0, 3), 0);
	CHECK_EQ(rk_doorbells_open(&own, 1), 0);
	CHECK_EQ(rk_doorbell_link(own, 0, token, 1), 1);
	CHECK_EQ(rk_ring_attach(&ring, rk_region_info(region)->host_addr,
				rk_region_info(region)->bytes), 0);
	CHECK_EQ(rk_ring_tx_open(&tx, &ring), 0);
	for (i = 0; i < MESSAGES; i++) {
		msg.tag = i;
		while (!rk_ring_send(&tx, &msg))
			usleep(50);
		rk_ringer_ring(&ringer);
		if (i % 1000 == 0)
			usleep(2000);
	}
	pause();
}

static void consumer(struct rk_doorbells *bells, struct rk_region *region, struct rk_ring_rx *rx)
{
	uint32_t got = 0, news, wrong = 0;
	int64_t rings = 0, sleeps = 0, n;
	struct rk_msg msg;

	(void)region;
	while (got < MESSAGES) {
		while (rk_ring_recv(rx, &msg, 1) > 0)
			wrong += msg.tag != got++;
		rk_ring_rx_credit(rx);
		if (got == MESSAGES)
			break;
		n = rk_doorbell_wait(bells, 0, 5000000000ull, &news);
		CHECK(n > 0);
		if (n <= 0)
			break;
		rings += n;
		sleeps++;
	}
	/* What was received before its ring was counted. */
	for (n = 0; n >= 0 && rings < MESSAGES + 1;) {
		n = rk_doorbell_wait(bells, 0, 1000000000ull, &news);
		if (n <= 0)
			break;
		rings += n;
	}
	CHECK_EQ(got, MESSAGES);
	CHECK_EQ(wrong, 0);
	CHECK_EQ(rings, MESSAGES + 1);
	CHECK_EQ(news, RK_DOORBELL_PEER_CAME);
	printf("ring between processes: %u messages, %lld rings, %lld waits\n", got,
	       (long long)rings, (long long)sleeps);
}

static void shared_ring(void)
{
	struct rk_region_opts opts = { .size = sizeof(opts), .provider = "kmod" };
	struct rk_doorbells *bells = NULL;
	struct rk_region *region = NULL;
	struct rk_ring ring;
	struct rk_ring_rx rx;
	uint32_t news = 0;
	int sock[2], fd;
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		t_failed = 0;
		producer(sock[0]);
		_exit(1);
	}
	CHECK_EQ(rk_region_open(&region, rk_ring_bytes(CAPACITY), &opts), 0);
	CHECK(rk_region_info(region)->locked);
	CHECK_EQ(t_status_kb("VmPin"), rk_region_info(region)->bytes / 1024);
	CHECK_EQ(rk_ring_format(&ring, rk_region_info(region)->host_addr,
				rk_region_info(region)->bytes, CAPACITY, 0, "shared"), 0);
	CHECK_EQ(rk_ring_rx_open(&rx, &ring, NULL), 0);
	CHECK_EQ(rk_doorbells_open(&bells, 2), 0);
	CHECK_EQ(rk_doorbell_link(bells, 0, token, 0), 0);
	CHECK_EQ(rk_doorbell_link(bells, 0, token, 0), -EBUSY);
	fd = rk_region_export(region);
	t_send_fd(sock[1], fd);
	close(fd);
	fd = rk_doorbells_export(bells);
	t_send_fd(sock[1], fd);
	close(fd);
	consumer(bells, region, &rx);
	kill(pid, SIGKILL);
	CHECK_EQ(rk_doorbell_wait(bells, 0, 2000000000ull, &news), 1);
	CHECK_EQ(news, RK_DOORBELL_PEER_DEAD);
	waitpid(pid, NULL, 0);
	rk_doorbells_close(bells);
	rk_region_close(region);
	close(sock[0]);
	close(sock[1]);
}

/* Producer of ring_waits(): messages find the consumer asleep, and a store wakes it. */
static void waited_for(int sock)
{
	int region_fd = t_recv_fd(sock), bells_fd = t_recv_fd(sock);
	struct rk_doorbells *theirs = NULL;
	struct rk_region *region = NULL;
	struct rk_msg msg = { .type = RK_MSG_USER, .slots = 1 };
	struct rk_ringer ringer;
	struct rk_ring ring;
	struct rk_ring_tx tx;
	uint32_t i;

	CHECK_EQ(rk_region_import(&region, region_fd), 0);
	CHECK_EQ(rk_doorbells_attach(&theirs, bells_fd), 0);
	CHECK_EQ(rk_ringer_init(&ringer, theirs, 0, 0), 0);
	CHECK_EQ(rk_ring_attach(&ring, rk_region_info(region)->host_addr,
				rk_region_info(region)->bytes), 0);
	CHECK_EQ(rk_ring_tx_open(&tx, &ring), 0);
	CHECK_EQ(rk_ringer_wake(&tx.consumer, &ringer), 0);
	for (i = 0; i < WAITS; i++) {
		/* Until it says that it will sleep, and long enough that it mostly does. */
		while (!__atomic_load_n(tx.consumer.word, __ATOMIC_RELAXED))
			usleep(100);
		usleep(1000);
		msg.tag = i;
		CHECK_EQ(rk_ring_send(&tx, &msg), 1);
	}
	CHECK(__atomic_load_n(ringer.word, __ATOMIC_RELAXED) > 0);
	printf("ring waits: %u messages, %llu rings\n", WAITS,
	       (unsigned long long)__atomic_load_n(ringer.word, __ATOMIC_RELAXED));
	fflush(stdout);
	CHECK_EQ(rk_ring_close(&tx, RK_CLOSE_DONE), 1);
	_exit(t_failed != 0);
}

/* rk_ring_wait_recv() sleeps at a bell once told to, and no wake is lost. */
static void ring_waits(void)
{
	struct rk_region_opts opts = { .size = sizeof(opts), .provider = "kmod" };
	struct rk_doorbells *bells = NULL;
	struct rk_region *region = NULL;
	struct rk_ring ring;
	struct rk_ring_rx rx;
	struct rk_msg msg;
	int sock[2], fd, status = -1;
	uint32_t got = 0;
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		t_failed = 0;
		waited_for(sock[0]);
	}
	CHECK_EQ(rk_region_open(&region, rk_ring_bytes(CAPACITY), &opts), 0);
	CHECK_EQ(rk_ring_format(&ring, rk_region_info(region)->host_addr,
				rk_region_info(region)->bytes, CAPACITY, 0, "waited for"), 0);
	CHECK_EQ(rk_ring_rx_open(&rx, &ring, NULL), 0);
	CHECK_EQ(rk_doorbells_open(&bells, 1), 0);
	CHECK_EQ(rk_doorbell_sleep(&rx.self, bells, 1), -EINVAL);
	CHECK_EQ(rk_doorbell_sleep(&rx.self, bells, 0), 0);
	fd = rk_region_export(region);
	t_send_fd(sock[1], fd);
	close(fd);
	fd = rk_doorbells_export(bells);
	t_send_fd(sock[1], fd);
	close(fd);
	while (!rx.closed) {
		/* Long enough that a lost wake is no delay but a failure. */
		if (rk_ring_wait_recv(&rx, 20000000000ull) != 1)
			break;
		while (rk_ring_recv(&rx, &msg, 1) > 0 && msg.type == RK_MSG_USER)
			CHECK_EQ(msg.tag, got++);
	}
	CHECK_EQ(got, WAITS);
	CHECK_EQ(rx.closed, RK_CLOSE_DONE);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	rk_doorbells_close(bells);
	rk_region_close(region);
	close(sock[0]);
	close(sock[1]);
}

static void waits(void)
{
	struct rk_doorbells *bells = NULL;
	struct rk_ringer ringer;
	uint64_t start;
	int efd;

	CHECK_EQ(rk_doorbells_open(&bells, 0), -EINVAL);
	CHECK_EQ(rk_doorbells_open(&bells, 3), 0);
	CHECK_EQ(rk_ringer_init(&ringer, bells, 3, 0), -EINVAL);
	CHECK_EQ(rk_ringer_init(&ringer, bells, 0, 7), -EINVAL);
	CHECK_EQ(rk_ringer_init(&ringer, bells, 2, 6), 0);
	CHECK_EQ(rk_doorbell_wait(bells, 3, 0, NULL), -EINVAL);
	CHECK_EQ(rk_doorbell_wait(bells, 2, 0, NULL), 0);
	start = t_now_ns();
	CHECK_EQ(rk_doorbell_wait(bells, 2, 30000000, NULL), 0);
	CHECK(t_now_ns() - start >= 30000000);
	rk_ringer_ring(&ringer);
	rk_ringer_ring(&ringer);
	CHECK_EQ(rk_doorbell_wait(bells, 1, 0, NULL), 0);
	CHECK_EQ(rk_doorbell_arm(bells, 2, &efd), 1);
	CHECK_EQ(rk_doorbell_wait(bells, 2, UINT64_MAX, NULL), 2);
	CHECK_EQ(rk_doorbell_arm(bells, 2, &efd), 0);
	/* A later ringer of the same word goes on counting. */
	CHECK_EQ(rk_ringer_init(&ringer, bells, 2, 6), 0);
	rk_ringer_ring(&ringer);
	CHECK_EQ(rk_doorbell_wait(bells, 2, 1000000000ull, NULL), 1);
	rk_doorbells_close(bells);
}

static void answer(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	(void)state;
	if (msg->type >= RK_MSG_USER)
		rk_send(ctx, 0, msg->type, msg->tag, rk_msg_payload(msg), 8);
}

static const struct rk_actor_type answer_type = { .name = "answer", .handle = answer };

/* The runtime's workers sleep at bells of their own, and no message finds one that stays asleep. */
static void worker_waits(void)
{
	struct rk_runtime_opts opts = { .size = sizeof(opts), .workers = 2, .spin_looks = 1 };
	struct rk_msg msg = { .type = RK_MSG_USER, .slots = 1 };
	long long bells = t_counter("bells_now"), wakes = t_counter("bell_wakes");
	struct rk_runtime *runtime = NULL;
	struct rk_actor *actor;
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	uint32_t i;

	CHECK_EQ(rk_runtime_open(&runtime, &opts), 0);
	CHECK_EQ(t_counter("bells_now"), bells + 2);
	CHECK_EQ(rk_actor_spawn(&actor, runtime, &answer_type, NULL), 0);
	CHECK_EQ(rk_link_host_out(&rx, actor, NULL), 0);
	CHECK_EQ(rk_link_host_in(&tx, actor, NULL), 0);
	for (i = 0; i < WAITS; i++) {
		usleep(2000);
		msg.tag = i;
		CHECK_EQ(rk_ring_send(tx, &msg), 1);
		CHECK_EQ(rk_ring_wait_recv(rx, 20000000000ull), 1);
		CHECK_EQ(rk_ring_recv(rx, &msg, 1), 1);
		CHECK_EQ(msg.tag, i);
	}
	CHECK(t_counter("bell_wakes") > wakes);
	CHECK_EQ(rk_runtime_close(runtime), 0);
	opts.no_doorbells = true;
	CHECK_EQ(rk_runtime_open(&runtime, &opts), 0);
	CHECK(t_counter_becomes("bells_now", bells));
	CHECK_EQ(rk_runtime_close(runtime), 0);
}

static void gpu_memory(void)
{
	struct si_peek peek = { .offset = 5 * SI_PAGE };
	struct rk_gpu_map map;
	uint64_t i;

	t_mode(SI_FAIL_NONE, 1, 1);
	CHECK_EQ(rk_gpu_map_open(&map, SI_GPU_BASE + 1, SI_PAGE), -EINVAL);
	CHECK_EQ(rk_gpu_map_open(&map, SI_GPU_BASE, 8 * SI_PAGE), 0);
	CHECK(map.write_combined && map.persistent);
	for (i = 0; i < 8; i++)
		*(volatile uint64_t *)((char *)map.host_addr + i * SI_PAGE) = 0x1000 + i;
	/* Swapped in pairs on the bus, in one piece here. */
	CHECK_EQ(t_ioctl(t_standin(), SI_IOC_PEEK, &peek), 0);
	CHECK_EQ(peek.value, 0x1004);
	rk_gpu_map_close(&map);
	t_mode(SI_FAIL_NONE, 1, 0);
	CHECK_EQ(t_state().pins, 0);
}

/* A region of "GPU memory" that "CUDA" allocates, proven by its self-test. */
static void gpu_region(void)
{
	struct rk_region_opts opts = { .size = sizeof(opts), .on_gpu = true };
	const struct rk_region_info *info;
	struct rk_region *region = NULL;
	uint64_t *words;

	t_mode(SI_FAIL_NONE, 1, 0);
	CHECK_EQ(rk_region_open(&region, 3 * SI_PAGE - 5, &opts), 0);
	info = rk_region_info(region);
	CHECK(!strcmp(info->provider, "kmod") && info->on_gpu && info->write_combined);
	CHECK_EQ(info->gpu_addr, SI_GPU_BASE + 65 * SI_PAGE);
	CHECK_EQ(info->bytes, 3 * SI_PAGE);
	CHECK_EQ(t_state().pins, 1);
	words = rk_region_take(region, 8);
	CHECK_EQ(*words, 0);
	CHECK_EQ(rk_region_gpu_addr(region, words), info->gpu_addr);
	rk_region_close(region);
	CHECK_EQ(t_state().pins, 0);

	/* Refused by the driver: nothing is kept. */
	t_mode(SI_FAIL_GET, 1, 0);
	opts.provider = "kmod";
	CHECK_EQ(rk_region_open(&region, SI_PAGE, &opts), -ENOMEM);
	t_mode(SI_FAIL_NONE, 1, 0);
	CHECK_EQ(rk_region_open(&region, SI_PAGE, &opts), 0);
	rk_region_close(region);
	CHECK_EQ(t_state().pins, 0);
}

/* Not permitted: the library says so and takes the next provider. */
static void not_permitted(void *arg)
{
	struct rk_region_opts opts = { .size = sizeof(opts), .provider = "kmod" };
	struct rk_doorbells *bells = NULL;
	struct rk_region *region = NULL;
	char why[256];

	(void)arg;
	CHECK_EQ(setgid(1000), 0);
	CHECK_EQ(setuid(1000), 0);
	CHECK(rk_region_provider_at(0, why, sizeof(why)) && strstr(why, "join the group"));
	CHECK_EQ(rk_region_open(&region, PAGE, &opts), -EACCES);
	CHECK_EQ(rk_doorbells_open(&bells, 1), -EACCES);
	CHECK_EQ(rk_region_open(&region, PAGE, NULL), 0);
	CHECK(!strcmp(rk_region_info(region)->provider, "host"));
	CHECK(strstr(rk_region_info(region)->note, "join the group"));
	rk_region_close(region);
}

void group_lib(void)
{
	struct rk_region *region = NULL;
	char why[256];

	CHECK(!strcmp(rk_region_provider_at(0, why, sizeof(why))->name, "kmod"));
	CHECK_EQ(why[0], 0);
	CHECK_EQ(rk_region_open(&region, 3 * MIB, NULL), 0);
	CHECK(!strcmp(rk_region_info(region)->provider, "kmod"));
	memset(rk_region_info(region)->host_addr, 0xa5, rk_region_info(region)->bytes);
	rk_region_close(region);
	shared_ring();
	ring_waits();
	worker_waits();
	waits();
	gpu_memory();
	gpu_region();
	CHECK_EQ(chmod(RK_DEVICE_PATH, 0660), 0);
	t_child(not_permitted, NULL);
	CHECK_EQ(chmod(RK_DEVICE_PATH, 0666), 0);
	CHECK(t_counter_becomes("pinned_pages_now", 0));
	CHECK(t_counter_becomes("bells_now", 0));
	CHECK(t_counter_becomes("exports_now", 0));
	CHECK(t_counter_becomes("link_ends_now", 0));
}
