// SPDX-License-Identifier: MIT
/* What the kernel's io_uring offers: each feature is tried, on a ring of its own. */
#include "ports/rk_uring.h"
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NEEDS, SQPOLL, ZERO_COPY, REGISTERED, NO_MMAP, NO_SQARRAY, FEATURES };

static const struct rk_uring_feature features[FEATURES] = {
	[NEEDS] = {"io_uring", "sockets and files: many operations a system call"},
	[SQPOLL] = {"sqpoll", "a kernel thread that submits: no system call at all"},
	[ZERO_COPY] = {"send_zc", "sending without a copy"},
	[REGISTERED] = {"registered", "files and their buffers looked up and pinned once"},
	[NO_MMAP] = {"no_mmap", "rings in memory of ours, which a device can reach"},
	[NO_SQARRAY] = {"no_sqarray", "one write less for each submission"},
};

#if RK_HAVE_URING

#include <liburing.h>

/* Newer than the oldest liburing that this is built with. */
#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP (1U << 14)
#endif
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

/* The last word of the offsets, user_addr, has no name in older headers. */
static void set_address(void *offsets, size_t bytes, const void *memory)
{
	uint64_t address = (uintptr_t)memory;

	memcpy((uint8_t *)offsets + bytes - sizeof(address), &address, sizeof(address));
}

/* A ring with @flags, closed at once if @keep is NULL; 0 or -errno. */
static int try_ring(uint32_t flags, int *keep)
{
	struct io_uring_params params = {.flags = flags};
	uint8_t *memory = NULL;
	int fd;

	if (flags & IORING_SETUP_NO_MMAP) {
		memory = mmap(NULL, 2 * RK_PAGE_BYTES, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return -errno;
		set_address(&params.cq_off, sizeof(params.cq_off), memory);
		set_address(&params.sq_off, sizeof(params.sq_off), memory + RK_PAGE_BYTES);
	}
	fd = (int)syscall(__NR_io_uring_setup, 4, &params);
	if (fd < 0)
		fd = -errno;
	if (memory)
		munmap(memory, 2 * RK_PAGE_BYTES);
	if (fd >= 0 && keep)
		*keep = fd;
	else if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int try_send_zc(void)
{
	struct io_uring_probe *probe = io_uring_get_probe();
	bool there = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);

	io_uring_free_probe(probe);
	return there ? 0 : -EOPNOTSUPP;
}

static int try_registered(void)
{
	void *page = aligned_alloc(RK_PAGE_BYTES, RK_PAGE_BYTES);
	struct iovec memory = {page, RK_PAGE_BYTES};
	int fd, result = try_ring(0, &fd);

	if (!result) {
		if (syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, &memory, 1))
			result = -errno;
		close(fd);
	}
	free(page);
	return result;
}

static int try_feature(unsigned int index)
{
	switch (index) {
	case NEEDS:
		return try_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
					IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
				NULL);
	case SQPOLL:
		return try_ring(IORING_SETUP_SQPOLL, NULL);
	case ZERO_COPY:
		return try_send_zc();
	case REGISTERED:
		return try_registered();
	case NO_MMAP:
		return try_ring(IORING_SETUP_NO_MMAP, NULL);
	default:
		return try_ring(IORING_SETUP_NO_SQARRAY, NULL);
	}
}

/* kernel.io_uring_disabled: 0 for all, 1 for a group only, 2 for nobody. */
static int disabled(void)
{
	FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static void explain(char *text, size_t bytes, unsigned int index, int error)
{
	const char *instead =
		index ? "the ports do without" : "plain system calls are used instead";

	if (error == EPERM && disabled())
		snprintf(text, bytes,
			 "kernel.io_uring_disabled=%d forbids it: %s; as root: "
			 "sysctl kernel.io_uring_disabled=0",
			 disabled(), instead);
	else if (error == EPERM || error == ENOSYS || error == EACCES)
		snprintf(
			text, bytes,
			"io_uring_setup(2): %s: %s; a seccomp filter, as containers have, must let "
			"io_uring_setup, io_uring_enter and io_uring_register pass",
			strerror(error), instead);
	else if (error == EINVAL || error == EOPNOTSUPP)
		snprintf(text, bytes, "this kernel is too old: %s; Linux %s or later has it",
			 instead,
			 index == NO_SQARRAY ? "6.6"
			 : index == NO_MMAP  ? "6.5"
					     : "6.1");
	else if (error == ENOMEM)
		snprintf(text, bytes,
			 "no memory to lock: %s; ulimit -l, or LimitMEMLOCK= of the "
			 "unit",
			 instead);
	else
		snprintf(text, bytes, "io_uring: %s: %s", strerror(error), instead);
}

#else

static int try_feature(unsigned int index)
{
	(void)index;
	return -EOPNOTSUPP;
}

static void explain(char *text, size_t bytes, unsigned int index, int error)
{
	(void)index;
	(void)error;
	snprintf(text, bytes,
		 "built without liburing: plain system calls are used instead; "
		 "apt-get install liburing-dev, then make");
}

#endif

const struct rk_uring_feature *rk_uring_feature_at(unsigned int index, char *absent,
						   size_t absent_bytes)
{
	int result;

	if (index >= FEATURES)
		return NULL;
	*absent = 0;
	result = try_feature(NEEDS);
	if (!result)
		result = try_feature(index);
	if (result)
		explain(absent, absent_bytes, index, -result);
	return &features[index];
}
