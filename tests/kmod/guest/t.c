// SPDX-License-Identifier: GPL-2.0
/*
 * Runs groups of checks by name: rktest GROUP...
 * Or ends the VM with a result: rktest exit N, through QEMU's isa-debug-exit device.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "t.h"

unsigned int t_passed, t_failed;

static const struct t_group groups[] = {
	{ "args", group_args },	    { "owner", group_owner },	{ "host", group_host },
	{ "nogpu", group_nogpu },   { "gpu", group_gpu },	{ "revoke", group_revoke },
	{ "dmabuf", group_dmabuf }, { "bells", group_bells },	{ "live", group_live },
	{ "cycles", group_cycles }, { "storm", group_storm },	{ "hammer", group_hammer },
	{ "unload", group_unload }, { "ring", group_ring },	{ "bench", group_bench },
	{ "failnth", group_failnth }, { "lib", group_lib },
};

void t_check(bool ok, const char *file, int line, const char *what, long long got, long long want)
{
	if (ok) {
		__atomic_add_fetch(&t_passed, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_add_fetch(&t_failed, 1, __ATOMIC_RELAXED);
	file = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
	printf("not ok %s:%d: %s (%lld, %lld; errno %d)\n", file, line, what, got, want, errno);
	fflush(stdout);
	/* A planted bug is caught by its first failure; what follows may not end at all. */
	if (getenv("STOP_AT_FIRST") && *getenv("STOP_AT_FIRST"))
		_exit(1);
}

int t_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

int t_open(void)
{
	int fd = open(RK_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int t_standin(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/rk-standin", O_RDWR | O_CLOEXEC);
	return fd;
}

int t_pin_host(int fd, void *addr, uint64_t bytes, struct rk_pin_host *out)
{
	*out = (struct rk_pin_host){ .addr = (uintptr_t)addr, .bytes = bytes };
	return t_ioctl(fd, RK_IOC_PIN_HOST, out);
}

int t_pin_gpu(int fd, uint64_t addr, uint64_t bytes, uint32_t flags, struct rk_pin_gpu *out)
{
	*out = (struct rk_pin_gpu){ .addr = addr, .bytes = bytes, .flags = flags };
	return t_ioctl(fd, RK_IOC_PIN_GPU, out);
}

int t_unpin(int fd, uint32_t handle)
{
	struct rk_unpin io = { .handle = handle };

	return t_ioctl(fd, RK_IOC_UNPIN, &io);
}

int t_export(int fd, uint32_t handle)
{
	struct rk_export io = { .handle = handle, .flags = O_CLOEXEC };
	int err = t_ioctl(fd, RK_IOC_EXPORT, &io);

	return err ? err : io.fd;
}

int t_bells(int fd, uint32_t count, struct rk_bells *out)
{
	*out = (struct rk_bells){ .count = count };
	return t_ioctl(fd, RK_IOC_BELLS, out);
}

int t_bind(int fd, uint32_t handle, uint32_t index, int eventfd)
{
	struct rk_bell_bind io = { .handle = handle, .index = index, .eventfd = eventfd };

	return t_ioctl(fd, RK_IOC_BELL_BIND, &io);
}

void *t_map(int fd, uint64_t offset, uint64_t bytes)
{
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	return map == MAP_FAILED ? NULL : map;
}

uint32_t t_type_at(int fd, uint32_t handle, void *addr)
{
	struct rk_mem_info io = { .handle = handle, .addr = (uintptr_t)addr };

	return t_ioctl(fd, RK_IOC_MEM_INFO, &io) ? ~0u : io.mem_type;
}

void t_mode(uint32_t fail, uint32_t page_size, uint32_t scatter)
{
	struct si_mode io = { .fail = fail, .page_size = page_size, .scatter = scatter };

	CHECK_EQ(t_ioctl(t_standin(), SI_IOC_MODE, &io), 0);
}

uint32_t t_free(uint64_t addr, uint64_t bytes)
{
	struct si_free io = { .addr = addr, .bytes = bytes };

	return t_ioctl(t_standin(), SI_IOC_FREE, &io) ? ~0u : io.pins;
}

struct si_state t_state(void)
{
	struct si_state io = { 0 };

	ioctl(t_standin(), SI_IOC_STATE, &io);
	return io;
}

static long long find_number(const char *path, const char *name)
{
	char word[64];
	long long value;
	FILE *file = fopen(path, "r");

	if (!file)
		return -1;
	while (fscanf(file, "%63s %lld%*[^\n]", word, &value) >= 1) {
		if (!strcmp(word, name)) {
			fclose(file);
			return value;
		}
	}
	fclose(file);
	return -1;
}

long long t_counter(const char *name)
{
	return find_number("/sys/kernel/debug/ringkernel/counters", name);
}

bool t_counter_becomes(const char *name, long long value)
{
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (t_counter(name) == value)
			return true;
		usleep(10000);
	}
	return false;
}

long long t_vmstat(const char *name)
{
	/* Each CPU keeps part of the count to itself until asked. */
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		CHECK_EQ(write(fd, "1", 1), 1);
		close(fd);
	}
	return find_number("/proc/vmstat", name);
}

long long t_status_kb(const char *name)
{
	char line[256];
	long long value = -1;
	size_t n = strlen(name);
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, n) && line[n] == ':')
			value = atoll(line + n + 1);
	if (file)
		fclose(file);
	return value;
}

void t_param(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/module/ringkernel/parameters/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, value, strlen(value)) > 0);
	if (fd >= 0)
		close(fd);
}

static __thread sigjmp_buf access_back;
static __thread volatile sig_atomic_t accessing;

static void on_bad_access(int signal)
{
	if (accessing)
		siglongjmp(access_back, signal);
	_exit(120 + signal);
}

int t_read(volatile void *addr, uint64_t *value)
{
	int signal = sigsetjmp(access_back, 1);

	if (!signal) {
		accessing = 1;
		*value = *(volatile uint64_t *)addr;
	}
	accessing = 0;
	return signal;
}

int t_write(volatile void *addr, uint64_t value)
{
	int signal = sigsetjmp(access_back, 1);

	if (!signal) {
		accessing = 1;
		*(volatile uint64_t *)addr = value;
	}
	accessing = 0;
	return signal;
}

uint64_t t_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void *t_pages(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int t_child(void (*body)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		t_failed = 0;
		body(arg);
		fflush(stdout);
		_exit(t_failed ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	return status;
}

void t_send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	CHECK_EQ(sendmsg(sock, &msg, 0), 1);
}

int t_recv_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

bool t_log_has(const char *text)
{
	char line[1024];
	bool found = false;
	ssize_t n;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	while (fd >= 0 && !found && (n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		found = strstr(line, text);
	}
	if (fd >= 0)
		close(fd);
	return found;
}

static int run_group(const char *name)
{
	unsigned int i;
	uint64_t start = t_now_ns();

	t_passed = t_failed = 0;
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (strcmp(groups[i].name, name))
			continue;
		groups[i].run();
		printf("group %s: %u passed, %u failed, %.1f s\n", name, t_passed, t_failed,
		       (t_now_ns() - start) / 1e9);
		fflush(stdout);
		return t_failed || !t_passed;
	}
	printf("group %s: no such group\n", name);
	return 1;
}

/* Not every kernel has both ways to an I/O port. */
static void end_vm(uint8_t result)
{
	int port = open("/dev/port", O_WRONLY | O_CLOEXEC);

	if (port >= 0 && pwrite(port, &result, 1, 0xf4) == 1)
		return;
	if (!iopl(3))
		outb(result, 0xf4);
}

int main(int argc, char **argv)
{
	struct sigaction bad = { .sa_handler = on_bad_access };
	int i, failed = 0;

	if (argc == 3 && !strcmp(argv[1], "exit")) {
		sync();
		end_vm((uint8_t)(0x10 + atoi(argv[2])));
		return 1;
	}
	sigaction(SIGBUS, &bad, NULL);
	sigaction(SIGSEGV, &bad, NULL);
	for (i = 1; i < argc; i++)
		failed |= run_group(argv[i]);
	return failed;
}
