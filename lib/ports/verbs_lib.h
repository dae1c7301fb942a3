/* SPDX-License-Identifier: MIT */
/*
 * verbs_lib.h - libibverbs and librdmacm, opened at run time. Not installed.
 *
 * A table of the functions used, not a library of ours that links them: one binary serves hosts
 * with and without RDMA, also linked statically, and there is no second file to find.
 */
#ifndef VERBS_LIB_H
#define VERBS_LIB_H

#include "config.h"

#if RK_HAVE_VERBS

#include <rdma/rdma_cma.h>
#undef ibv_reg_mr /* a macro that chooses between two functions by its flags */

#define VERBS_FUNCTIONS(X)             \
	X(ibv, alloc_pd)               \
	X(ibv, close_device)           \
	X(ibv, create_cq)              \
	X(ibv, dealloc_pd)             \
	X(ibv, dereg_mr)               \
	X(ibv, destroy_cq)             \
	X(ibv, free_device_list)       \
	X(ibv, get_device_list)        \
	X(ibv, get_device_name)        \
	X(ibv, open_device)            \
	X(ibv, reg_dmabuf_mr)          \
	X(ibv, reg_mr)                 \
	X(ibv, wc_status_str)          \
	X(rdma, accept)                \
	X(rdma, ack_cm_event)          \
	X(rdma, bind_addr)             \
	X(rdma, connect)               \
	X(rdma, create_event_channel)  \
	X(rdma, create_id)             \
	X(rdma, create_qp)             \
	X(rdma, destroy_event_channel) \
	X(rdma, destroy_id)            \
	X(rdma, destroy_qp)            \
	X(rdma, disconnect)            \
	X(rdma, event_str)             \
	X(rdma, get_cm_event)          \
	X(rdma, listen)                \
	X(rdma, migrate_id)            \
	X(rdma, resolve_addr)          \
	X(rdma, resolve_route)         \
	X(rdma, set_option)

struct verbs_lib {
#define VERBS_MEMBER(prefix, name) __typeof__(&(prefix##_##name)) prefix##_##name;
	VERBS_FUNCTIONS(VERBS_MEMBER)
#undef VERBS_MEMBER
};

/*
 * The functions, or NULL and why in rk_errmsg(): no library, or no device that this process may
 * use. Context: any thread; sleeps.
 */
const struct verbs_lib *verbs_lib(void);

#endif
#endif
