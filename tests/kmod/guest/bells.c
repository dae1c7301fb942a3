// SPDX-License-Identifier: GPL-2.0
/* Doorbells: no ring lost, one wake for many, nobody watching when nobody waits; and dead peers. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "t.h"

static uint64_t *word(void *bells, uint32_t index, uint32_t writer)
{
	return (uint64_t *)((char *)bells + index * RK_BELL_BYTES) + writer;
}

static void ring(uint64_t *w)
{
	__atomic_store_n(w, *w + 1, __ATOMIC_RELEASE);
}

static int arm(int fd, uint32_t handle, uint32_t index, uint64_t seen, struct rk_bell_arm *out)
{
	*out = (struct rk_bell_arm){ .handle = handle, .index = index, .seen = seen };
	return t_ioctl(fd, RK_IOC_BELL_ARM, out);
}

/* Return: whether it became readable in time. */
static bool woken(int eventfd, int timeout_ms)
{
	struct pollfd p = { .fd = eventfd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, timeout_ms) != 1)
		return false;
	CHECK_EQ(read(eventfd, &n, 8), 8);
	CHECK_EQ(n, 1);
	return true;
}

static void one_by_one(int fd)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct rk_bell_arm a;
	struct rk_bells b;
	char *map;
	int i;

	CHECK_EQ(t_bells(fd, 130, &b), 0);
	CHECK_EQ(b.bytes, 3 * PAGE);
	map = t_map(fd, b.mmap_offset, b.bytes);
	CHECK(map);
	CHECK_EQ(arm(fd, b.handle, 129, 0, &a), -ENXIO);
	CHECK_EQ(t_bind(fd, b.handle, 129, efd), 0);

	/* What rang before arming is told at once. */
	for (i = 0; i < 5; i++)
		ring(word(map, 129, 3));
	CHECK_EQ(arm(fd, b.handle, 129, 0, &a), 0);
	CHECK_EQ(a.armed, 0);
	CHECK_EQ(a.count, 5);
	CHECK_EQ(a.reason, RK_REASON_NONE);
	CHECK(!woken(efd, 5));

	/* What rings after it wakes, once. */
	CHECK_EQ(arm(fd, b.handle, 129, 5, &a), 0);
	CHECK_EQ(a.armed, 1);
	CHECK(!woken(efd, 20));
	ring(word(map, 129, 0));
	CHECK(woken(efd, 1000));
	ring(word(map, 129, 6));
	CHECK(!woken(efd, 20));
	CHECK_EQ(arm(fd, b.handle, 129, 6, &a), 0);
	CHECK_EQ(a.armed, 0);
	CHECK_EQ(a.count, 7);

	/* A neighbour is no business of this bell, nor the module's word a writer's. */
	CHECK_EQ(arm(fd, b.handle, 129, 7, &a), 0);
	ring(word(map, 128, 0));
	*word(map, 129, RK_BELL_MODULE_WORD) = 77;
	CHECK(!woken(efd, 20));

	/* Unbound is disarmed. */
	CHECK_EQ(t_bind(fd, b.handle, 129, -1), 0);
	ring(word(map, 129, 0));
	CHECK(!woken(efd, 20));
	CHECK_EQ(t_unpin(fd, b.handle), 0);
	/* The page stays for those who map it; the bell rings nobody. */
	CHECK_EQ(t_write(word(map, 129, 0), 1), 0);
	CHECK_EQ(munmap(map, b.bytes), 0);
	close(efd);
}

static long long poller_ticks(void)
{
	char line[512], *p;
	long long ticks = -1;
	unsigned long user = 0, system = 0;
	FILE *file, *pipe = popen("grep -l '^ringkernel$' /proc/[0-9]*/comm", "r");

	if (!pipe || !fgets(line, sizeof(line), pipe))
		goto out;
	p = strstr(line, "comm");
	if (!p)
		goto out;
	strcpy(p, "stat");
	file = fopen(line, "r");
	if (!file)
		goto out;
	if (fgets(line, sizeof(line), file) &&
	    sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &system) == 2)
		ticks = (long long)(user + system);
	fclose(file);
out:
	if (pipe)
		pclose(pipe);
	return ticks;
}

static void idle_poller(void)
{
	long long ticks, scans;

	usleep(50000);
	scans = t_counter("poller_scans");
	ticks = poller_ticks();
	CHECK(ticks >= 0);
	sleep(1);
	CHECK_EQ(t_counter("poller_scans"), scans);
	CHECK_EQ(poller_ticks(), ticks);
	printf("bar poller_idle_cpu_ticks_in_1s %lld 0 %s\n", poller_ticks() - ticks,
	       poller_ticks() == ticks ? "met" : "missed");
}

#define WRITERS		4
#define RINGS		100000

struct ringer {
	uint64_t *word;
	unsigned int pause;
};

static void *ring_on(void *arg)
{
	struct ringer *r = arg;
	uint64_t i;

	for (i = 1; i <= RINGS; i++) {
		__atomic_store_n(r->word, i, __ATOMIC_RELEASE);
		if (r->pause && i % r->pause == 0)
			usleep(100);
	}
	return NULL;
}

/* Four writers, one sleeper that counts what it is told. */
static void exact(int fd)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t seen = 0, wakes = 0, told = 0;
	struct ringer ringers[WRITERS];
	pthread_t threads[WRITERS];
	struct rk_bell_arm a;
	struct rk_bells b;
	char *map;
	int i;

	CHECK_EQ(t_bells(fd, 1, &b), 0);
	map = t_map(fd, b.mmap_offset, b.bytes);
	CHECK_EQ(t_bind(fd, b.handle, 0, efd), 0);
	for (i = 0; i < WRITERS; i++) {
		ringers[i] = (struct ringer){ word(map, 0, i), 500u << i };
		pthread_create(&threads[i], NULL, ring_on, &ringers[i]);
	}
	while (seen < WRITERS * RINGS) {
		CHECK_EQ(arm(fd, b.handle, 0, seen, &a), 0);
		if (a.armed) {
			if (!woken(efd, 5000)) {
				CHECK(!"a ring was lost");
				break;
			}
			wakes++;
			continue;
		}
		CHECK(a.count > seen);
		told += a.count - seen;
		seen = a.count;
	}
	for (i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(told, WRITERS * RINGS);
	CHECK(wakes > 0 && wakes < told);
	printf("bells: %u rings by %u writers, %llu counted, %llu sleeps ended\n",
	       WRITERS * RINGS, WRITERS, (unsigned long long)told, (unsigned long long)wakes);
	CHECK(!woken(efd, 20));
	munmap(map, b.bytes);
	t_unpin(fd, b.handle);
	close(efd);
}

/* Ringing as close to arming as can be: each ring must be told or must wake. */
static void *ring_when_told(void *arg)
{
	uint64_t **shared = arg;
	uint64_t *go = shared[1], i;

	for (i = 1; i <= 5000; i++) {
		while (__atomic_load_n(go, __ATOMIC_ACQUIRE) < i)
			;
		ring(shared[0]);
	}
	return NULL;
}

static void at_the_edge(int fd)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct rk_bell_arm a;
	struct rk_bells b;
	uint64_t go = 0, i;
	uint64_t *shared[2];
	pthread_t thread;
	char *map;

	CHECK_EQ(t_bells(fd, 1, &b), 0);
	map = t_map(fd, b.mmap_offset, b.bytes);
	CHECK_EQ(t_bind(fd, b.handle, 0, efd), 0);
	shared[0] = word(map, 0, 0);
	shared[1] = &go;
	pthread_create(&thread, NULL, ring_when_told, shared);
	for (i = 1; i <= 5000; i++) {
		__atomic_store_n(&go, i, __ATOMIC_RELEASE);
		CHECK_EQ(arm(fd, b.handle, 0, i - 1, &a), 0);
		if (a.armed ? !woken(efd, 5000) : a.count != i) {
			CHECK(!"a ring was lost at the edge");
			break;
		}
	}
	__atomic_store_n(&go, 5000, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	munmap(map, b.bytes);
	t_unpin(fd, b.handle);
	close(efd);
}

/* Many armed bells, more than the poller looks at in one go; each wakes its own. */
static void many(int fd)
{
	int efds[200], i;
	struct rk_bell_arm a;
	struct rk_bells b;
	char *map;

	CHECK_EQ(t_bells(fd, 200, &b), 0);
	map = t_map(fd, b.mmap_offset, b.bytes);
	for (i = 0; i < 200; i++) {
		efds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		CHECK_EQ(t_bind(fd, b.handle, i, efds[i]), 0);
		CHECK_EQ(arm(fd, b.handle, i, 0, &a), 0);
	}
	for (i = 0; i < 200; i += 3)
		ring(word(map, i, i % RK_BELL_WRITERS));
	for (i = 0; i < 200; i++)
		CHECK_EQ(woken(efds[i], i % 3 ? 0 : 1000), i % 3 == 0);
	/* Unpinned while armed. */
	CHECK_EQ(t_unpin(fd, b.handle), 0);
	ring(word(map, 1, 0));
	CHECK(!woken(efds[1], 20));
	for (i = 0; i < 200; i++)
		close(efds[i]);
	munmap(map, b.bytes);
}

/* The ringer is another process that got the page as a dma-buf. */
static void ringer_process(void *arg)
{
	int sock = *(int *)arg;
	char *map = t_map(t_recv_fd(sock), 0, PAGE);

	CHECK(map);
	ring(word(map, 7, 2));
}

static void between_processes(int fd)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), sock[2], buf;
	struct rk_bell_arm a;
	struct rk_bells b;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	CHECK_EQ(t_bells(fd, 8, &b), 0);
	CHECK_EQ(t_bind(fd, b.handle, 7, efd), 0);
	CHECK_EQ(arm(fd, b.handle, 7, 0, &a), 0);
	buf = t_export(fd, b.handle);
	t_send_fd(sock[1], buf);
	t_child(ringer_process, &sock[0]);
	CHECK(woken(efd, 1000));
	CHECK_EQ(arm(fd, b.handle, 7, 0, &a), 0);
	CHECK_EQ(a.count, 1);
	close(buf);
	close(sock[0]);
	close(sock[1]);
	close(efd);
	t_unpin(fd, b.handle);
}

void group_bells(void)
{
	int fd = t_open();

	one_by_one(fd);
	exact(fd);
	at_the_edge(fd);
	many(fd);
	between_processes(fd);
	idle_poller();
	close(fd);
	CHECK_EQ(t_counter("bells_now"), 0);
}

/* --- liveness --- */

struct end {
	int fd, efd;
	struct rk_bells bells;
	uint64_t seen;
	struct rk_link_join join;
};

static int join_as(struct end *e, uint64_t token, uint32_t side)
{
	struct rk_link_join io = { .token = { token, ~token }, .end = side,
				   .handle = e->bells.handle };
	int err = t_ioctl(e->fd, RK_IOC_LINK_JOIN, &io);

	e->join = io;
	return err;
}

static void make_end(struct end *e)
{
	e->fd = t_open();
	e->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->seen = 0;
	CHECK_EQ(t_bells(e->fd, 1, &e->bells), 0);
	CHECK_EQ(t_bind(e->fd, e->bells.handle, 0, e->efd), 0);
}

static void drop_end(struct end *e)
{
	close(e->fd);
	close(e->efd);
}

/* Return: the reason of the module's ring, or ~0 if there was none in time. */
static uint32_t heard(struct end *e, int timeout_ms)
{
	struct rk_bell_arm a;

	if (!woken(e->efd, timeout_ms))
		return ~0u;
	CHECK_EQ(arm(e->fd, e->bells.handle, 0, e->seen, &a), 0);
	CHECK_EQ(a.armed, 0);
	CHECK_EQ(a.count, e->seen + 1);
	e->seen = a.count;
	return a.reason;
}

static void in_order(void)
{
	struct rk_link_leave leave;
	struct end a, b, c;

	make_end(&a);
	make_end(&b);
	make_end(&c);
	CHECK_EQ(join_as(&a, 11, 0), 0);
	CHECK_EQ(a.join.peer, 0);
	CHECK_EQ(join_as(&c, 11, 0), -EBUSY);
	CHECK_EQ(join_as(&b, 11, 1), 0);
	CHECK_EQ(b.join.peer, 1);
	CHECK_EQ(heard(&a, 1000), RK_REASON_PEER_CAME);
	CHECK_EQ(heard(&b, 0), ~0u);
	leave = (struct rk_link_leave){ .link = b.join.link };
	CHECK_EQ(t_ioctl(b.fd, RK_IOC_LINK_LEAVE, &leave), 0);
	CHECK_EQ(t_ioctl(b.fd, RK_IOC_LINK_LEAVE, &leave), -ENOENT);
	CHECK_EQ(heard(&a, 1000), RK_REASON_PEER_LEFT);
	/* The place is free again; a new peer comes, and its file is closed. */
	CHECK_EQ(join_as(&c, 11, 1), 0);
	CHECK_EQ(heard(&a, 1000), RK_REASON_PEER_CAME);
	drop_end(&c);
	CHECK_EQ(heard(&a, 1000), RK_REASON_PEER_DEAD);
	/* The one told may be gone itself, or have given its bell up. */
	CHECK_EQ(join_as(&b, 11, 1), 0);
	CHECK_EQ(t_unpin(a.fd, a.bells.handle), 0);
	drop_end(&b);
	drop_end(&a);
	CHECK_EQ(t_counter("link_ends_now"), 0);
}

struct victim {
	uint64_t token;
	int ready;
	bool holder;
};

static void victim(const struct victim *v)
{
	struct end e;

	make_end(&e);
	CHECK_EQ(join_as(&e, v->token, 1), 0);
	if (v->holder && !fork()) {
		pause();
		_exit(0);
	}
	CHECK_EQ(write(v->ready, "r", 1), 1);
	pause();
}

/* A peer that closes its file: how long from there to this process running with the news. */
static uint64_t close_one(struct end *e, uint64_t token)
{
	/* When it was closed, and whether it may be. */
	volatile uint64_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t took;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct end own;

		make_end(&own);
		CHECK_EQ(join_as(&own, token, 1), 0);
		while (!shared[1])
			usleep(500);
		usleep(2000);
		shared[0] = t_now_ns();
		close(own.fd);
		_exit(0);
	}
	CHECK_EQ(heard(e, 1000), RK_REASON_PEER_CAME);
	shared[1] = 1;
	CHECK_EQ(heard(e, 2000), RK_REASON_PEER_DEAD);
	took = t_now_ns() - shared[0];
	waitpid(pid, NULL, 0);
	munmap((void *)shared, PAGE);
	return took;
}

/* Return: nanoseconds from the kill to this process running with the news. */
static uint64_t kill_one(struct end *e, uint64_t token, bool holder)
{
	uint64_t start, took;
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK_EQ(pipe(ready), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		victim(&(struct victim){ token, ready[1], holder });
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK_EQ(heard(e, 1000), RK_REASON_PEER_CAME);
	start = t_now_ns();
	kill(pid, SIGKILL);
	CHECK_EQ(heard(e, 2000), RK_REASON_PEER_DEAD);
	took = t_now_ns() - start;
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL);
	close(ready[0]);
	close(ready[1]);
	return took;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void notice(const char *name, uint64_t *took, unsigned int n)
{
	qsort(took, n, sizeof(*took), by_value);
	printf("bar %s_p50_ns %llu 1000000 %s\n", name, (unsigned long long)took[n / 2],
	       took[n / 2] <= 1000000 ? "met" : "missed");
	printf("bench %s ns: min %llu, p90 %llu, max %llu\n", name, (unsigned long long)took[0],
	       (unsigned long long)took[n * 9 / 10], (unsigned long long)took[n - 1]);
}

#define DEATHS	41

void group_live(void)
{
	uint64_t took[DEATHS];
	struct end e;
	int i;

	in_order();
	make_end(&e);
	CHECK_EQ(join_as(&e, 21, 0), 0);
	for (i = 0; i < DEATHS; i++)
		took[i] = close_one(&e, 21);
	notice("peer_closed_notice", took, DEATHS);
	for (i = 0; i < DEATHS; i++)
		took[i] = kill_one(&e, 21, i % 2);
	notice("peer_killed_notice", took, DEATHS);
	drop_end(&e);
	CHECK(t_counter_becomes("link_ends_now", 0));
	CHECK(t_counter_becomes("bells_now", 0));
}
