/* SPDX-License-Identifier: MIT */
/* module.h - kernels written by hand, that ours are compared with: NVRTC compiles them at run time.
 */
#ifndef BENCH_GPU_MODULE_H
#define BENCH_GPU_MODULE_H

#include "gpudirect/cuda.h"

/**
 * struct bench_module - code on one GPU, and a stream
 * @name: of its text, for messages to people
 */
struct bench_module {
	struct rk_cuda_gpu gpu;
	struct rk_cuda_module *module;
	struct rk_cuda_stream *stream;
	const char *name;
};

/* 0; what rk_nvrtc() and CUDA refuse, said. The context is current between open and close. */
int bench_module_open(struct bench_module *module, const char *text, const char *name, int ordinal);
void bench_module_close(struct bench_module *module);
int bench_module_function(struct bench_module *module, const char *name,
			  struct rk_cuda_function **function);

#endif
