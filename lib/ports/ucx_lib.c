// SPDX-License-Identifier: MIT
/* Opening libucp, and the one context of a process. */
#include "ports/ucx_lib.h"

#if RK_HAVE_UCX

#include "rk_error.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ucx_lib lib;
static char why[256];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static ucp_context_h the_context;
static unsigned int users;

/*
 * Open a library without its handlers of fatal signals, which it installs when it is loaded: those
 * are the program's to choose.
 */
static void *open_quietly(const char *file)
{
	static const int signals[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
	enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };
	struct sigaction before[SIGNALS];
	void *handle;

	for (int i = 0; i < SIGNALS; i++)
		sigaction(signals[i], NULL, &before[i]);
	handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	for (int i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	if (!handle)
		snprintf(why, sizeof(why), "%s: apt-get install libucx0", dlerror());
	return handle;
}

static void find(void)
{
	void *ucs = open_quietly("libucs.so.0"), *ucp = ucs ? open_quietly("libucp.so.0") : NULL;

	if (!ucp)
		return;
#define FIND(prefix, name)                                                                       \
	lib.prefix##_##name = (__typeof__(lib.prefix##_##name))dlsym(prefix, #prefix "_" #name); \
	if (!lib.prefix##_##name) {                                                              \
		snprintf(why, sizeof(why),                                                       \
			 #prefix "_" #name " is not in this machine's UCX %s: "                  \
				 "1.12 or later has it",                                         \
			 lib.ucp_get_version_string ? lib.ucp_get_version_string() : "");        \
		return;                                                                          \
	}
	UCX_FUNCTIONS(FIND)
#undef FIND
	/* It prints what it meets; here that is told by return values. */
	if (!getenv("UCX_LOG_LEVEL"))
		lib.ucs_global_opts_set_value("LOG_LEVEL", "fatal");
}

const struct ucx_lib *ucx_lib(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find);
	if (!*why)
		return &lib;
	rk_fail(ENOENT, "%s", why);
	return NULL;
}

int ucx_fail(const struct ucx_lib *ucx, const char *what, ucs_status_t status)
{
	return rk_fail(EIO, "%s: %s", what, ucx->ucs_status_string(status));
}

static int make_context(const struct ucx_lib *ucx)
{
	const ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES |
						   UCP_PARAM_FIELD_MT_WORKERS_SHARED,
				     .features = UCP_FEATURE_AM,
				     .mt_workers_shared = 1};
	ucp_config_t *config;
	ucs_status_t status = ucx->ucp_config_read(NULL, NULL, &config);

	if (status)
		return ucx_fail(ucx, "ucp_config_read", status);
	if (!getenv("UCX_TLS"))
		ucx->ucp_config_modify(config, "TLS", "tcp");
	status = ucx->ucp_init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &the_context);
	ucx->ucp_config_release(config);
	return status ? ucx_fail(ucx, "ucp_init", status) : 0;
}

int ucx_context_get(const struct ucx_lib *ucx, ucp_context_h *context)
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	if (!users)
		result = make_context(ucx);
	if (!result) {
		users++;
		*context = the_context;
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

void ucx_context_put(const struct ucx_lib *ucx)
{
	pthread_mutex_lock(&mutex);
	if (!--users)
		ucx->ucp_cleanup(the_context);
	pthread_mutex_unlock(&mutex);
}

#endif
