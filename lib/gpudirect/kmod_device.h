/* SPDX-License-Identifier: MIT */
/* /dev/ringkernel: opening it, and saying why it cannot be had; private to lib/gpudirect. */
#ifndef RK_GPUDIRECT_KMOD_DEVICE_H
#define RK_GPUDIRECT_KMOD_DEVICE_H

#include "../kmod/rk_uapi.h"

#include <stdint.h>

/* A descriptor of the module whose version fits, else -errno with the reason in rk_errmsg(). */
int kmod_open(void);

/* An ioctl: 0, else -errno with @what and the reason in rk_errmsg(). */
int kmod_call(int fd, unsigned long command, void *argument, const char *what);

/* A new dma-buf descriptor of memory or bells, else -errno. */
int kmod_export(int fd, uint32_t handle);

#endif
