// SPDX-License-Identifier: MIT
/* Opening libibverbs and librdmacm, and saying why not. */
#include "ports/verbs_lib.h"

#if RK_HAVE_VERBS

#include "rk_error.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct verbs_lib lib;
static int error; /* positive errno */
static char why[256];

static void *library(const char *file)
{
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		error = ENOENT;
		snprintf(why, sizeof(why), "%s: apt-get install librdmacm1 ibverbs-providers",
			 dlerror());
	}
	return handle;
}

static bool find_functions(void)
{
	void *ibv = library("libibverbs.so.1"), *rdma = ibv ? library("librdmacm.so.1") : NULL;

	if (!rdma)
		return false;
#define FIND(prefix, name)                                                                       \
	lib.prefix##_##name = (__typeof__(lib.prefix##_##name))dlsym(prefix, #prefix "_" #name); \
	if (!lib.prefix##_##name) {                                                              \
		error = ENOSYS;                                                                  \
		snprintf(why, sizeof(why),                                                       \
			 #prefix "_" #name " is not in this machine's library: "                 \
				 "rdma-core 34 or later has it");                                \
		return false;                                                                    \
	}
	VERBS_FUNCTIONS(FIND)
#undef FIND
	return true;
}

static void find(void)
{
	if (!find_functions() && !error)
		error = ENOENT;
}

/* Asked anew each time: a device may come later. */
static int check_device(void)
{
	int count = 0;
	struct ibv_device **devices = lib.ibv_get_device_list(&count);

	if (devices)
		lib.ibv_free_device_list(devices);
	if (!devices || !count)
		return rk_fail(ENODEV,
			       "no RDMA device: load its driver, or make one of an Ethernet "
			       "interface: rdma link add rxe0 type rxe netdev eth0");
	if (access("/dev/infiniband/rdma_cm", R_OK | W_OK))
		return rk_fail(errno, "/dev/infiniband/rdma_cm: %s: %s", strerror(errno),
			       errno == ENOENT ? "modprobe rdma_ucm"
					       : "let this user read and write it");
	return 0;
}

const struct verbs_lib *verbs_lib(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find);
	if (error) {
		rk_fail(error, "%s", why);
		return NULL;
	}
	return check_device() ? NULL : &lib;
}

#endif
