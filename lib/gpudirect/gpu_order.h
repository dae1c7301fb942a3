/* SPDX-License-Identifier: MIT */
/* gpu_order.h - how a GPU orders what other devices write into its memory; private. */
#ifndef RK_GPUDIRECT_GPU_ORDER_H
#define RK_GPUDIRECT_GPU_ORDER_H

#include "gpudirect/cuda.h"

enum gpu_order {
	GPU_ORDER_OWN,	   /* its own kernels see them in order */
	GPU_ORDER_FLUSHED, /* the host asks for it: rk_region_settle() */
	GPU_ORDER_NONE,	   /* nobody can: no payloads by reference */
};

/* By CUDA's attributes of the device. */
enum gpu_order gpu_order_of(const struct rk_cuda_gpu *gpu);

#endif
