// SPDX-License-Identifier: GPL-2.0
/* Every call with every bad field; unknown calls; bad pointers; what the log says of them. */
#include "t.h"

static int fd;

/* A good argument, and one field of it made bad. */
struct bad {
	const char *field;	/* as the log names it; NULL: no line */
	size_t offset;
	uint64_t value;
	unsigned int bytes;
	int err;
};

#define F(type, member, val, error, log) \
	{ log, offsetof(struct type, member), val, sizeof(((struct type *)0)->member), error }

static void try_all(const char *call, unsigned long cmd, const void *good, size_t size,
		    const struct bad *bad, unsigned int count)
{
	char arg[128], text[128];
	unsigned int i;

	for (i = 0; i < count; i++) {
		int err;

		memcpy(arg, good, size);
		memcpy(arg + bad[i].offset, &bad[i].value, bad[i].bytes);
		err = t_ioctl(fd, cmd, arg);
		if (err != bad[i].err)
			printf("%s, bad field %u (%s):\n", call, i, bad[i].field ?: "-");
		CHECK_EQ(err, bad[i].err);
		if (!bad[i].field)
			continue;
		snprintf(text, sizeof(text), "%s: bad %s", call, bad[i].field);
		if (!t_log_has(text))
			printf("no line in the log: %s\n", text);
		CHECK(t_log_has(text));
	}
	CHECK_EQ(t_ioctl(fd, cmd, NULL), -EFAULT);
	CHECK_EQ(t_ioctl(fd, cmd, (void *)~0xfffull), -EFAULT);
}

#define TRY(call, cmd, good, ...) do { \
		const struct bad bad_[] = { __VA_ARGS__ }; \
		try_all(call, cmd, &(good), sizeof(good), bad_, sizeof(bad_) / sizeof(bad_[0])); \
	} while (0)

#define RESERVED(type) \
	F(type, reserved[0], 1, -EINVAL, "reserved"), F(type, reserved[1], 1, -EINVAL, "reserved")

static void memory_calls(void)
{
	char *pages = t_pages(MIB);
	struct rk_pin_host pin = { .addr = (uintptr_t)pages, .bytes = MIB };
	struct rk_pin_gpu gpu = { .addr = SI_GPU_BASE, .bytes = SI_PAGE };
	struct rk_pin_host held;
	struct rk_unpin unpin = { 0 };
	struct rk_run run = { 0 };
	struct rk_mem_info info = { 0 };
	struct rk_export export = { 0 };

	CHECK_EQ(t_pin_host(fd, pages, MIB, &held), 0);
	unpin.handle = run.handle = info.handle = export.handle = held.handle;
	TRY("PIN_HOST", RK_IOC_PIN_HOST, pin,
	    F(rk_pin_host, addr, pin.addr + 1, -EINVAL, "addr"),
	    F(rk_pin_host, addr, pin.addr + 512, -EINVAL, "addr"),
	    F(rk_pin_host, addr, 0, -EFAULT, NULL),
	    F(rk_pin_host, addr, 1ull << 63, -EFAULT, NULL),
	    F(rk_pin_host, addr, -PAGE, -EOVERFLOW, "addr + bytes"),
	    F(rk_pin_host, bytes, 0, -EINVAL, "bytes"),
	    F(rk_pin_host, bytes, PAGE + 1, -EINVAL, "bytes"),
	    F(rk_pin_host, bytes, -PAGE, -EOVERFLOW, "addr + bytes"),
	    F(rk_pin_host, bytes, (1ull << 40) + PAGE, -EINVAL, "bytes"),
	    F(rk_pin_host, bytes, 1ull << 40, -EDQUOT, NULL),
	    F(rk_pin_host, flags, 1, -EINVAL, "flags"),
	    F(rk_pin_host, flags, 1u << 31, -EINVAL, "flags"), RESERVED(rk_pin_host));
	TRY("PIN_GPU", RK_IOC_PIN_GPU, gpu,
	    F(rk_pin_gpu, addr, 0, -EINVAL, "addr"),
	    F(rk_pin_gpu, addr, SI_GPU_BASE + PAGE, -EINVAL, "addr"),
	    F(rk_pin_gpu, addr, -(uint64_t)SI_PAGE, -EOVERFLOW, "addr + bytes"),
	    F(rk_pin_gpu, addr, SI_GPU_BASE + (1ull << 32), -EINVAL, NULL),
	    F(rk_pin_gpu, bytes, 0, -EINVAL, "bytes"),
	    F(rk_pin_gpu, bytes, PAGE, -EINVAL, "bytes"),
	    F(rk_pin_gpu, bytes, -(uint64_t)SI_PAGE, -EOVERFLOW, "addr + bytes"),
	    F(rk_pin_gpu, bytes, (1ull << 40) + SI_PAGE, -EINVAL, "bytes"),
	    F(rk_pin_gpu, flags, 2, -EINVAL, "flags"), RESERVED(rk_pin_gpu));
	TRY("UNPIN", RK_IOC_UNPIN, unpin,
	    F(rk_unpin, handle, 0, -ENOENT, NULL), F(rk_unpin, handle, 12345, -ENOENT, NULL),
	    F(rk_unpin, handle, ~0u, -ENOENT, NULL),
	    F(rk_unpin, reserved, 1, -EINVAL, "reserved"));
	TRY("RUN", RK_IOC_RUN, run,
	    F(rk_run, handle, 0, -ENOENT, NULL), F(rk_run, handle, ~0u, -ENOENT, NULL),
	    F(rk_run, index, 1, -ENOENT, NULL), F(rk_run, index, ~0u, -ENOENT, NULL),
	    RESERVED(rk_run));
	TRY("MEM_INFO", RK_IOC_MEM_INFO, info,
	    F(rk_mem_info, handle, 0, -ENOENT, NULL), F(rk_mem_info, flags, 1, -EINVAL, "flags"),
	    F(rk_mem_info, addr, (uintptr_t)pages, -EINVAL, "addr"),
	    F(rk_mem_info, addr, 1, -EINVAL, "addr"), RESERVED(rk_mem_info));
	TRY("EXPORT", RK_IOC_EXPORT, export,
	    F(rk_export, handle, 0, -ENOENT, NULL), F(rk_export, flags, 1, -EINVAL, "flags"),
	    F(rk_export, reserved_in, 1, -EINVAL, "reserved"), RESERVED(rk_export));
	CHECK_EQ(t_unpin(fd, held.handle), 0);
	munmap(pages, MIB);
}

static void bell_calls(void)
{
	struct rk_bells made, bells = { .count = 4 };
	struct rk_bell_bind bind = { .eventfd = -1 };
	struct rk_bell_arm arm = { .seen = 1 };
	struct rk_link_join join = { .token = { 1, 2 }, .end = 1 };
	struct rk_link_leave leave = { 0 };

	CHECK_EQ(t_bells(fd, 4, &made), 0);
	bind.handle = arm.handle = join.handle = made.handle;
	TRY("BELLS", RK_IOC_BELLS, bells,
	    F(rk_bells, count, 0, -EINVAL, "count"),
	    F(rk_bells, count, RK_BELLS_MAX + 1, -EINVAL, "count"),
	    F(rk_bells, count, ~0u, -EINVAL, "count"),
	    F(rk_bells, flags, 1, -EINVAL, "flags"), RESERVED(rk_bells));
	TRY("BELL_BIND", RK_IOC_BELL_BIND, bind,
	    F(rk_bell_bind, handle, 0, -ENOENT, NULL), F(rk_bell_bind, index, 4, -ENOENT, NULL),
	    F(rk_bell_bind, index, ~0u, -ENOENT, NULL),
	    F(rk_bell_bind, eventfd, (uint32_t)-2, -EINVAL, "eventfd"),
	    F(rk_bell_bind, eventfd, 999, -EBADF, NULL),
	    F(rk_bell_bind, eventfd, 1, -EINVAL, NULL),
	    F(rk_bell_bind, reserved, 1, -EINVAL, "reserved"));
	TRY("BELL_ARM", RK_IOC_BELL_ARM, arm,
	    F(rk_bell_arm, handle, 0, -ENOENT, NULL), F(rk_bell_arm, index, 4, -ENOENT, NULL),
	    F(rk_bell_arm, seen, 0, -ENXIO, NULL), RESERVED(rk_bell_arm));
	TRY("LINK_JOIN", RK_IOC_LINK_JOIN, join,
	    F(rk_link_join, end, 2, -EINVAL, "end"), F(rk_link_join, handle, 0, -ENOENT, NULL),
	    F(rk_link_join, index, 4, -ENOENT, NULL),
	    F(rk_link_join, reserved_in, 1, -EINVAL, "reserved"), RESERVED(rk_link_join));
	join.token[0] = 0;
	TRY("LINK_JOIN", RK_IOC_LINK_JOIN, join, F(rk_link_join, token[1], 0, -EINVAL, "token"));
	TRY("LINK_LEAVE", RK_IOC_LINK_LEAVE, leave,
	    F(rk_link_leave, link, 0, -ENOENT, NULL), F(rk_link_leave, link, 77, -ENOENT, NULL),
	    F(rk_link_leave, reserved, 1, -EINVAL, "reserved"));
	CHECK_EQ(t_unpin(fd, made.handle), 0);
}

static void versions(void)
{
	struct rk_version io = { .version = RK_UAPI_VERSION, .oldest = RK_UAPI_VERSION };

	TRY("VERSION", RK_IOC_VERSION, io,
	    F(rk_version, features, 1, -EINVAL, "features"), RESERVED(rk_version));
	CHECK_EQ(t_ioctl(fd, RK_IOC_VERSION, &io), 0);
	CHECK_EQ(io.version, RK_UAPI_VERSION);
	CHECK(io.features & RK_FEAT_P2P);
	/* A caller too old for the module, and one that wants a newer module. */
	io = (struct rk_version){ .version = 1, .oldest = 1 };
	CHECK_EQ(t_ioctl(fd, RK_IOC_VERSION, &io), -EPROTONOSUPPORT);
	CHECK_EQ(io.version, RK_UAPI_VERSION);
	io = (struct rk_version){ .version = RK_UAPI_VERSION + 5, .oldest = RK_UAPI_VERSION + 5 };
	CHECK_EQ(t_ioctl(fd, RK_IOC_VERSION, &io), -EPROTONOSUPPORT);
	io = (struct rk_version){ .version = RK_UAPI_VERSION + 5, .oldest = RK_UAPI_VERSION };
	CHECK_EQ(t_ioctl(fd, RK_IOC_VERSION, &io), 0);
}

static void unknown_calls(void)
{
	char arg[256] = { 0 };
	unsigned int nr;

	for (nr = 0; nr < 256; nr++) {
		CHECK_EQ(t_ioctl(fd, _IO(RK_IOC_TYPE, nr), arg), -ENOTTY);
		CHECK_EQ(t_ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, RK_IOC_TYPE, nr, 200), arg),
			 -ENOTTY);
	}
	CHECK_EQ(t_ioctl(fd, _IOC(_IOC_WRITE, RK_IOC_TYPE, 0x01, sizeof(struct rk_pin_host)), arg),
		 -ENOTTY);
	CHECK_EQ(t_ioctl(fd, _IOWR('k', 0x01, struct rk_pin_host), arg), -ENOTTY);
}

void group_args(void)
{
	long long pinned = t_counter("pinned_pages_now");

	fd = t_open();
	versions();
	unknown_calls();
	memory_calls();
	bell_calls();
	CHECK_EQ(lseek(fd, 0, SEEK_SET), -1);
	CHECK_EQ(read(fd, &pinned, 1), -1);
	close(fd);
	CHECK_EQ(t_counter("pinned_pages_now"), 0);
	CHECK_EQ(t_counter("bells_now"), 0);
	CHECK_EQ(t_counter("link_ends_now"), 0);
}
