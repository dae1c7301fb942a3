/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests inside the VM share: checks, calls, and looking at memory that may be gone. */
#ifndef RK_KMOD_T_H
#define RK_KMOD_T_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rk_uapi.h"
#include "standin.h"

#define PAGE	4096ul
#define MIB	(1ul << 20)

extern unsigned int t_passed, t_failed;

void t_check(bool ok, const char *file, int line, const char *what, long long got, long long want);

#define CHECK(cond)	t_check((cond), __FILE__, __LINE__, #cond, 0, 0)
#define CHECK_EQ(a, b)	do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
		t_check(a_ == b_, __FILE__, __LINE__, #a " == " #b, a_, b_); \
	} while (0)

/* 0 or -errno. */
int t_ioctl(int fd, unsigned long cmd, void *arg);
int t_open(void);
int t_standin(void);

int t_pin_host(int fd, void *addr, uint64_t bytes, struct rk_pin_host *out);
int t_pin_gpu(int fd, uint64_t addr, uint64_t bytes, uint32_t flags, struct rk_pin_gpu *out);
int t_unpin(int fd, uint32_t handle);
int t_export(int fd, uint32_t handle);
int t_bells(int fd, uint32_t count, struct rk_bells *out);
int t_bind(int fd, uint32_t handle, uint32_t index, int eventfd);
/* MAP_SHARED, read and write; NULL with errno. */
void *t_map(int fd, uint64_t offset, uint64_t bytes);
uint32_t t_type_at(int fd, uint32_t handle, void *addr);

void t_mode(uint32_t fail, uint32_t page_size, uint32_t scatter);
uint32_t t_free(uint64_t addr, uint64_t bytes);
struct si_state t_state(void);

/* A counter of the module, by name. */
long long t_counter(const char *name);
/* Waits up to a second for a counter to have a value. */
bool t_counter_becomes(const char *name, long long value);
long long t_vmstat(const char *name);
long long t_status_kb(const char *name);
void t_param(const char *name, const char *value);

/* 0, or the signal that the access raised. */
int t_read(volatile void *addr, uint64_t *value);
int t_write(volatile void *addr, uint64_t value);

uint64_t t_now_ns(void);
void *t_pages(uint64_t bytes);
/* Runs @body in a child; its failed checks count here. Return: exit status. */
int t_child(void (*body)(void *arg), void *arg);
void t_send_fd(int sock, int fd);
int t_recv_fd(int sock);
bool t_log_has(const char *text);

struct t_group {
	const char *name;
	void (*run)(void);
};

void group_args(void);
void group_owner(void);
void group_host(void);
void group_nogpu(void);
void group_gpu(void);
void group_revoke(void);
void group_dmabuf(void);
void group_bells(void);
void group_live(void);
void group_cycles(void);
void group_storm(void);
void group_hammer(void);
void group_unload(void);
void group_ring(void);
void group_bench(void);
void group_failnth(void);
void group_lib(void);

#endif /* RK_KMOD_T_H */
