/* SPDX-License-Identifier: MIT */
/* ucx_lib.h - libucp, opened at run time, as verbs_lib.h does with libibverbs. Not installed. */
#ifndef UCX_LIB_H
#define UCX_LIB_H

#include "config.h"

#if RK_HAVE_UCX

#include <ucp/api/ucp.h>
#include <ucs/config/global_opts.h>

#define UCX_FUNCTIONS(X)                   \
	X(ucp, am_send_nbx)                \
	X(ucp, cleanup)                    \
	X(ucp, config_modify)              \
	X(ucp, config_read)                \
	X(ucp, config_release)             \
	X(ucp, ep_close_nbx)               \
	X(ucp, ep_create)                  \
	X(ucp, get_version_string)         \
	X(ucp, init_version)               \
	X(ucp, listener_create)            \
	X(ucp, listener_destroy)           \
	X(ucp, listener_reject)            \
	X(ucp, request_check_status)       \
	X(ucp, request_free)               \
	X(ucp, worker_create)              \
	X(ucp, worker_destroy)             \
	X(ucp, worker_progress)            \
	X(ucp, worker_set_am_recv_handler) \
	X(ucs, status_string)              \
	X(ucs, global_opts_set_value)

struct ucx_lib {
#define UCX_MEMBER(prefix, name) __typeof__(&(prefix##_##name)) prefix##_##name;
	UCX_FUNCTIONS(UCX_MEMBER)
#undef UCX_MEMBER
};

/* The functions, or NULL and why in rk_errmsg(). Context: any thread; sleeps. */
const struct ucx_lib *ucx_lib(void);

/*
 * The one context of this process; counted. 0 or -errno. It speaks TCP unless UCX_TLS in the
 * environment says otherwise.
 */
int ucx_context_get(const struct ucx_lib *lib, ucp_context_h *context);
void ucx_context_put(const struct ucx_lib *lib);

/* A text for @status in rk_errmsg(); returns -EIO. */
int ucx_fail(const struct ucx_lib *lib, const char *what, ucs_status_t status);

#endif
#endif
