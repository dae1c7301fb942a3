// SPDX-License-Identifier: MIT
#include "gpudirect/cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcuda.so.1"

enum { REASON_BYTES = 384 };

static struct rk_cuda driver;
static int opened; /* 0 or -errno, and why */
static char reason[REASON_BYTES];

/* A function or NULL: ISO C has no conversion from what dlsym() returns, POSIX has. */
#define LOOK_UP(name, symbol, parameters)                                                          \
	*(void **)&driver.name = dlsym(library, #symbol);                                          \
	if (!driver.name)                                                                          \
		missing = missing ? missing : #symbol;

static int look_up(void *library)
{
	const char *missing = NULL;

	RK_CUDA_FUNCTIONS(LOOK_UP)
	if (!missing)
		return 0;
	return rk_fail(ENODEV,
		       "cuda: " LIBRARY " has no %s: the driver is older than CUDA %d.%d: install a "
		       "newer one",
		       missing, RK_CUDA_OLDEST_DRIVER / 1000, RK_CUDA_OLDEST_DRIVER % 1000 / 10);
}

static const char *remedy_of(int error)
{
	switch (error) {
	case RK_CUDA_NO_DEVICE:
		return ": no GPU, or none that this process may use (CUDA_VISIBLE_DEVICES, "
		       "/dev/nvidia*)";
	case RK_CUDA_STUB_LIBRARY:
		return ": " LIBRARY " is the toolkit's stub: install the driver, or take the stub "
		       "out of LD_LIBRARY_PATH";
	case RK_CUDA_DRIVER_MISMATCH:
		return ": the loaded kernel module is of another driver version: reboot";
	case RK_CUDA_SYSTEM_NOT_READY:
		return ": start nvidia-fabricmanager";
	case RK_CUDA_NOT_INITIALIZED:
		return ": a child of a process that used CUDA cannot: fork first";
	default:
		return "";
	}
}

/* cuInit() starts the driver; all else is asked after it. */
static int start(void)
{
	int error = driver.driver_version(&driver.version);

	if (!error && driver.version < RK_CUDA_OLDEST_DRIVER)
		return rk_fail(ENODEV,
			       "cuda: the driver is CUDA %d.%d's: install one of CUDA %d.%d or "
			       "later",
			       driver.version / 1000, driver.version % 1000 / 10,
			       RK_CUDA_OLDEST_DRIVER / 1000, RK_CUDA_OLDEST_DRIVER % 1000 / 10);
	if (!error)
		error = driver.init(0);
	if (!error)
		error = driver.device_count(&driver.devices);
	if (!error && driver.devices < 1)
		error = RK_CUDA_NO_DEVICE;
	if (!error)
		return 0;
	rk_cuda_fail(&driver, error, "start the driver");
	return -ENODEV;
}

static void open_driver(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		opened = rk_fail(ENODEV, "cuda: no NVIDIA driver: %s", dlerror());
	else
		opened = look_up(library);
	if (!opened)
		opened = start();
	/* The library stays: CUDA does not survive being unloaded. */
	if (opened)
		snprintf(reason, sizeof(reason), "%s", rk_errmsg());
}

int rk_cuda(const struct rk_cuda **cuda)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, open_driver);
	if (opened)
		return rk_fail(-opened, "%s", reason);
	*cuda = &driver;
	return 0;
}

static int errno_of(int error)
{
	switch (error) {
	case RK_CUDA_OUT_OF_MEMORY:
		return ENOMEM;
	case RK_CUDA_NO_DEVICE:
	case RK_CUDA_NOT_INITIALIZED:
	case RK_CUDA_DEVICE_UNAVAILABLE:
	case RK_CUDA_STUB_LIBRARY:
	case RK_CUDA_SYSTEM_NOT_READY:
	case RK_CUDA_DRIVER_MISMATCH:
		return ENODEV;
	case RK_CUDA_INVALID_VALUE:
	case RK_CUDA_INVALID_DEVICE:
		return EINVAL;
	case RK_CUDA_NOT_PERMITTED:
		return EPERM;
	case RK_CUDA_NOT_SUPPORTED:
	case RK_CUDA_NO_BINARY_FOR_GPU:
	case RK_CUDA_UNSUPPORTED_PTX:
		return EOPNOTSUPP;
	default:
		return EIO;
	}
}

int rk_cuda_fail(const struct rk_cuda *cuda, int error, const char *what, ...)
{
	const char *name = NULL, *meaning = NULL;
	char text[192];
	va_list args;

	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	if (cuda->error_name(error, &name) || !name)
		name = "unknown";
	if (cuda->error_string(error, &meaning) || !meaning)
		meaning = "no text";
	return rk_fail(errno_of(error), "cuda: %s: %s (%s, %d)%s", text, meaning, name, error,
		       remedy_of(error));
}

int rk_cuda_gpu_find(struct rk_cuda_gpu *gpu, int ordinal)
{
	const struct rk_cuda *cuda;
	int result = rk_cuda(&cuda), error;

	if (result)
		return result;
	if (ordinal < 0 || ordinal >= cuda->devices)
		return rk_fail(EINVAL, "cuda: no GPU %d: this process sees GPUs 0 to %d", ordinal,
			       cuda->devices - 1);
	*gpu = (struct rk_cuda_gpu){.cuda = cuda, .ordinal = ordinal};
	error = cuda->device_get(&gpu->device, ordinal);
	return error ? rk_cuda_fail(cuda, error, "find GPU %d", ordinal) : 0;
}

int rk_cuda_gpu_open(struct rk_cuda_gpu *gpu, int ordinal)
{
	int result = rk_cuda_gpu_find(gpu, ordinal), error;

	if (result)
		return result;
	error = gpu->cuda->primary_retain(&gpu->context, gpu->device);
	return error ? rk_cuda_fail(gpu->cuda, error, "open GPU %d", ordinal) : 0;
}

void rk_cuda_gpu_close(struct rk_cuda_gpu *gpu)
{
	gpu->cuda->primary_release(gpu->device);
}

int rk_cuda_gpu_attribute(const struct rk_cuda_gpu *gpu, int attribute)
{
	int value = 0;

	return gpu->cuda->device_attribute(&value, attribute, gpu->device) ? 0 : value;
}

int rk_cuda_enter(const struct rk_cuda_gpu *gpu)
{
	int error = gpu->cuda->ctx_push(gpu->context);

	return error ? rk_cuda_fail(gpu->cuda, error, "enter GPU %d", gpu->ordinal) : 0;
}

void rk_cuda_leave(const struct rk_cuda_gpu *gpu)
{
	struct rk_cuda_context *ours;

	gpu->cuda->ctx_pop(&ours);
}
