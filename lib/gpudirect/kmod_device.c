// SPDX-License-Identifier: MIT
#include "gpudirect/kmod_device.h"
#include "rk_error.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int no_device(int error)
{
	switch (error) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return rk_fail(error, "kmod: no " RK_DEVICE_PATH ": the module is not loaded: "
				      "modprobe ringkernel (kmod/)");
	case EACCES:
	case EPERM:
		return rk_fail(error, "kmod: " RK_DEVICE_PATH " is not permitted: join the group "
				      "ringkernel (kmod/60-ringkernel.rules)");
	default:
		return rk_fail(error, "kmod: open " RK_DEVICE_PATH ": %m");
	}
}

int kmod_call(int fd, unsigned long command, void *argument, const char *what)
{
	if (!ioctl(fd, command, argument))
		return 0;
	switch (errno) {
	case ENOMEM:
		return rk_fail(ENOMEM, "kmod: %s: %m; RLIMIT_MEMLOCK may be too low", what);
	case EDQUOT:
		return rk_fail(EDQUOT, "kmod: %s: over the user's quota: see max_pinned_mib, "
				       "max_objects and max_bells in "
				       "/sys/module/ringkernel/parameters", what);
	default:
		return rk_fail(errno, "kmod: %s: %m; the kernel log may name the field", what);
	}
}

int kmod_open(void)
{
	struct rk_version version = {.version = RK_UAPI_VERSION, .oldest = RK_UAPI_VERSION};
	int fd = open(RK_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	int result;

	if (fd < 0)
		return no_device(errno);
	result = kmod_call(fd, RK_IOC_VERSION, &version, "version");
	if (!result)
		return fd;
	close(fd);
	if (result == -EPROTONOSUPPORT)
		return rk_fail(EPROTONOSUPPORT,
			       "kmod: the module speaks version %#x, this library %#x: install "
			       "both from one release",
			       version.version, RK_UAPI_VERSION);
	return result;
}

int kmod_export(int fd, uint32_t handle)
{
	struct rk_export io = {.handle = handle, .flags = O_CLOEXEC};
	int result = kmod_call(fd, RK_IOC_EXPORT, &io, "export");

	return result ? result : io.fd;
}
