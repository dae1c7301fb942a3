// SPDX-License-Identifier: MIT
#include "gpudirect/gpu_order.h"
#include "gpudirect/provider.h"
#include "gpudirect/rk_region_share.h"

enum gpu_order gpu_order_of(const struct rk_cuda_gpu *gpu)
{
	if (rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_RDMA_ORDERING) >= RK_CUDA_FLUSH_TO_OWNER)
		return GPU_ORDER_OWN;
	if (rk_cuda_gpu_attribute(gpu, RK_CUDA_ATTR_RDMA_FLUSH) & RK_CUDA_FLUSH_BY_HOST)
		return GPU_ORDER_FLUSHED;
	return GPU_ORDER_NONE;
}

int rk_region_settle(const struct rk_region *region)
{
	const struct rk_cuda_gpu *gpu = &region->gpu;
	enum gpu_order order = region->info.on_gpu ? gpu_order_of(gpu) : GPU_ORDER_OWN;
	int error;

	if (order == GPU_ORDER_OWN)
		return 0;
	if (order == GPU_ORDER_NONE)
		return rk_fail(
			EOPNOTSUPP,
			"GPU %d neither orders what a NIC writes nor flushes it for the host: "
			"let it write into host memory",
			gpu->ordinal);
	error = rk_cuda_enter(gpu);
	if (error)
		return error;
	error = gpu->cuda->flush_rdma_writes(RK_CUDA_FLUSH_CURRENT_CONTEXT, RK_CUDA_FLUSH_TO_OWNER);
	rk_cuda_leave(gpu);
	return error ? rk_cuda_fail(gpu->cuda, error, "GPU %d: flush what a NIC wrote",
				    gpu->ordinal)
		     : 0;
}
